//! What is kept over all pairs: their hash, and how many bytes they are.

use crate::backend::Bucket;
use crate::backend::memory::pair_hash;

/// What is kept over all pairs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Totals {
    pub(super) hash: u64,
    pub(super) bytes: u64,
}

impl Totals {
    pub(super) fn add(&mut self, bucket: Bucket, key: &[u8], value: &[u8]) {
        self.hash = self.hash.wrapping_add(pair_hash(bucket, key, value));
        self.bytes += (key.len() + value.len()) as u64;
    }

    fn subtract(&mut self, bucket: Bucket, key: &[u8], value: &[u8]) {
        self.hash = self.hash.wrapping_sub(pair_hash(bucket, key, value));
        self.bytes -= (key.len() + value.len()) as u64;
    }

    /// A key's value became another; `None`: the key is not there.
    pub(super) fn change(&mut self, bucket: Bucket, key: &[u8], old: Option<&[u8]>, new: Option<&[u8]>) {
        old.into_iter().for_each(|old| self.subtract(bucket, key, old));
        new.into_iter().for_each(|new| self.add(bucket, key, new));
    }
}
