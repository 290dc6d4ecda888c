//! Keys as numbers.
//!
//! A checker looks at the same few thousand keys a million times. Interned once, in ascending order, a key is a `u32`,
//! the store's state is a vector, and the keys of a prefix are a range of numbers.

use super::history::History;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::ops::Range;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Every key that some operation of a history names, numbered in ascending order.
pub(super) struct Keys<'h> {
    sorted: Vec<&'h [u8]>,
    of_operation: Vec<u32>,
}

/// In place of the key of an operation that has none (a list).
const NO_KEY: u32 = u32::MAX;

impl<'h> Keys<'h> {
    /// Interns the keys that the operations ask about. (A key that only a list's answer names was never written.)
    pub(super) fn of(history: &'h History) -> Self {
        // Only looked up, never iterated: the numbers come from the sorted vector.
        let mut first_seen: HashMap<&[u8], u32, BuildHasherDefault<KeyHasher>> = HashMap::default();
        let mut sorted: Vec<&[u8]> = Vec::new();
        let mut of_operation: Vec<u32> = Vec::with_capacity(history.operations.len());
        for operation in &history.operations {
            of_operation.push(match operation.input.key() {
                None => NO_KEY,
                Some(key) => *first_seen.entry(key).or_insert_with(|| {
                    sorted.push(key);
                    sorted.len() as u32 - 1
                }),
            });
        }
        let mut by_key: Vec<u32> = (0..sorted.len() as u32).collect();
        by_key.sort_unstable_by_key(|&seen| sorted[seen as usize]);
        let mut number = vec![0; sorted.len()];
        for (rank, &seen) in by_key.iter().enumerate() {
            number[seen as usize] = rank as u32;
        }
        for key in of_operation.iter_mut().filter(|key| **key != NO_KEY) {
            *key = number[*key as usize];
        }
        sorted.sort_unstable();
        Keys { sorted, of_operation }
    }

    /// How many keys there are.
    pub(super) fn len(&self) -> usize {
        self.sorted.len()
    }

    /// The number of the key that the operation at `index` asks about. Panics for a list.
    pub(super) fn of_operation(&self, index: u32) -> u32 {
        let key = self.of_operation[index as usize];
        assert_ne!(key, NO_KEY, "a list has no single key");
        key
    }

    /// The key behind a number.
    pub(super) fn name(&self, key: u32) -> &'h [u8] {
        self.sorted[key as usize]
    }

    /// The numbers of the keys that start with `prefix`.
    pub(super) fn with_prefix(&self, prefix: &[u8]) -> Range<u32> {
        let start = self.sorted.partition_point(|key| *key < prefix);
        let len = self.sorted[start..].partition_point(|key| key.starts_with(prefix));
        start as u32..(start + len) as u32
    }
}

/// XXH3 without a random seed: the same program does the same work on every machine.
#[derive(Default)]
struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0 = xxh3_64_with_seed(bytes, self.0);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::history::{Input, Operation, Outcome};
    use bytes::Bytes;

    #[test]
    fn keys_are_numbered_in_order_and_prefixes_are_ranges() {
        let names = ["b/2", "a", "b/1", "c", "b/2", "b"];
        let history = History {
            operations: names
                .iter()
                .map(|name| Operation {
                    client: 0,
                    member: 0,
                    call: 0,
                    input: Input::Get { key: Bytes::from_static(name.as_bytes()) },
                    outcome: Outcome::Unknown,
                    applied: None,
                })
                .collect(),
        };
        let keys = Keys::of(&history);
        let numbers: Vec<u32> = (0..names.len() as u32).map(|index| keys.of_operation(index)).collect();
        assert_eq!(numbers, [3, 0, 2, 4, 3, 1]);
        assert_eq!(keys.with_prefix(b"b"), 1..4);
        assert_eq!(keys.with_prefix(b"b/"), 2..4);
        assert_eq!(keys.with_prefix(b""), 0..5);
        assert!(keys.with_prefix(b"bb").is_empty());
        assert_eq!(keys.name(2), b"b/1");
    }
}
