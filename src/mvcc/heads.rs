//! What a node of [`super::order`] knows of its keys by itself: how they all begin, and the eight bytes after that.
//!
//! The keys themselves lie elsewhere; every method is told how many there are, and how to get at one.

use crate::backend::head;
use std::cmp::Ordering;

/// Keys of a full node.
pub(super) const FULL: usize = 32;
/// Shared bytes that a node knows at most.
const SHARED_MAX: usize = 64;

/// See the module.
#[derive(Debug)]
pub(super) struct Heads {
    /// All keys begin with the same so many bytes, [`SHARED_MAX`] at most.
    skip: usize,
    /// These bytes.
    begin: [u8; SHARED_MAX],
    /// The eight bytes behind those of each key; zeros where it is shorter.
    heads: [u64; FULL],
}

impl Default for Heads {
    fn default() -> Heads {
        Heads { skip: 0, begin: [0; SHARED_MAX], heads: [0; FULL] }
    }
}

impl Heads {
    /// Where a key is among `len` ascending ones, or where it would be.
    pub(super) fn search<'k>(&self, key: &[u8], len: usize, whole: impl Fn(usize) -> &'k [u8]) -> Result<usize, usize> {
        let begin = &self.begin[..self.skip];
        match key[..key.len().min(self.skip)].cmp(begin) {
            Ordering::Less => return Err(0),
            Ordering::Equal => {}
            Ordering::Greater => return Err(len),
        }
        let wanted = head(&key[self.skip..]);
        let heads = &self.heads[..len];
        let mut at = heads.partition_point(|head| *head < wanted);
        let mut end = at + heads[at..].partition_point(|head| *head == wanted);
        // The rest decides; mostly there is one such key.
        while at < end {
            let middle = at.midpoint(end);
            match whole(middle)[self.skip..].cmp(&key[self.skip..]) {
                Ordering::Less => at = middle + 1,
                Ordering::Equal => return Ok(middle),
                Ordering::Greater => end = middle,
            }
        }
        Err(at)
    }

    /// Makes room for a key among `len` others. `false`, and nothing done, if it does not begin as they do.
    pub(super) fn insert(&mut self, at: usize, key: &[u8], len: usize) -> bool {
        let fits = len > 0 && key.starts_with(&self.begin[..self.skip]);
        if fits {
            self.heads.copy_within(at..len, at + 1);
            self.heads[at] = head(&key[self.skip..]);
        }
        fits
    }

    /// Forgets one of `len` keys.
    pub(super) fn remove(&mut self, at: usize, len: usize) {
        self.heads.copy_within(at + 1..len, at);
    }

    /// Finds out how `len` ascending keys begin.
    pub(super) fn measure<'k>(&mut self, len: usize, whole: impl Fn(usize) -> &'k [u8]) {
        if len == 0 {
            return;
        }
        // What the first and the last of them share, all do.
        let (first, last) = (whole(0), whole(len - 1));
        let skip = first.iter().zip(last).take(SHARED_MAX).take_while(|(a, b)| a == b).count();
        self.skip = skip;
        self.begin[..skip].copy_from_slice(&first[..skip]);
        self.heads[..len].iter_mut().enumerate().for_each(|(at, kept)| *kept = head(&whole(at)[skip..]));
    }

    /// Asserts that it knows what it says of these keys.
    #[cfg(test)]
    pub(super) fn check<'k>(&self, len: usize, whole: impl Fn(usize) -> &'k [u8]) {
        for at in 0..len {
            assert!(whole(at).starts_with(&self.begin[..self.skip]) && self.heads[at] == head(&whole(at)[self.skip..]));
        }
    }
}
