//! What is kept over all pairs, and right after every write: their hash, and how many bytes they are.

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

    pub(super) fn subtract(&mut self, bucket: Bucket, key: &[u8], value: &[u8]) {
        self.hash = self.hash.wrapping_sub(pair_hash(bucket, key, value));
        self.bytes -= (key.len() + value.len()) as u64;
    }
}
