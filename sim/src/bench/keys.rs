//! What keys and values look like: `bench/0000000042`, and bytes that say nothing.

use bytes::Bytes;
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng as _, SeedableRng as _};

/// Room that values are cut from.
const POOL: usize = 64 << 10;

/// See the module.
#[derive(Clone, Debug)]
pub struct Keys {
    /// What all keys begin with.
    pub prefix: String,
    /// Different keys.
    pub count: u64,
    /// Bytes of a key. A prefix and a number that need more have more.
    pub key_size: usize,
    /// Bytes of a value.
    pub val_size: usize,
    /// One after the other, instead of any.
    pub sequential: bool,
}

impl Keys {
    /// The key of a number.
    pub fn key(&self, number: u64) -> Bytes {
        let digits = self.key_size.saturating_sub(self.prefix.len()).max(1);
        format!("{}{number:0digits$}", self.prefix).into()
    }

    /// The range of all keys.
    pub fn all(&self) -> (Bytes, Bytes) {
        range(&self.prefix)
    }
}

/// A prefix as etcd has it: from it to where its last byte is one more.
pub(super) fn range(prefix: &str) -> (Bytes, Bytes) {
    let mut end = prefix.as_bytes().to_vec();
    match end.last_mut() {
        // UTF-8 has no byte of 255.
        Some(last) => *last += 1,
        None => return (Bytes::from_static(b"\0"), Bytes::from_static(b"\0")),
    }
    (Bytes::copy_from_slice(prefix.as_bytes()), end.into())
}

/// What one client draws keys and values from.
pub(super) struct Draw {
    random: Xoshiro256PlusPlus,
    pool: Bytes,
}

impl Draw {
    /// Clients of other numbers draw others.
    pub(super) fn new(client: usize, val_size: usize) -> Draw {
        let mut random = Xoshiro256PlusPlus::seed_from_u64(client as u64);
        let mut pool = vec![0; POOL.max(2 * val_size)];
        random.fill_bytes(&mut pool);
        Draw { random, pool: pool.into() }
    }

    /// A number below another.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.random.next_u64() % end.max(1)
    }

    /// Bytes, without a copy.
    pub(super) fn value(&mut self, size: usize) -> Bytes {
        let at = self.below((self.pool.len() - size) as u64 + 1) as usize;
        self.pool.slice(at..at + size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_their_size_and_lie_in_their_range() {
        let keys = Keys { prefix: "bench/".into(), count: 10, key_size: 12, val_size: 1, sequential: false };
        assert_eq!(keys.key(42), "bench/000042");
        assert_eq!(keys.key(1_234_567), "bench/1234567", "no two numbers share a key");
        assert_eq!(keys.all(), ("bench/".into(), "bench0".into()));
        assert_eq!(range("").0, "\0");
    }

    #[test]
    fn values_have_their_size() {
        let mut draw = Draw::new(1, 100_000);
        for size in [0, 1, 100_000] {
            assert_eq!(draw.value(size).len(), size);
        }
        assert_ne!(draw.value(16), draw.value(16));
    }
}
