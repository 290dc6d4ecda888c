//! Keys and values: the same for every engine and every run.

use bytes::Bytes;
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng as _, SeedableRng as _};
use seedbed::mvcc::Revision;

/// Key and value.
pub type Pair = (Bytes, Bytes);

/// In which order keys come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// As revisions do: each greater than all before it.
    Ascending,
    /// Anywhere.
    Random,
}

/// Pairs by number: a key of 17 bytes, as revisions have, and a value cut out of random bytes.
pub struct Pairs {
    order: Order,
    pool: Bytes,
    value_bytes: usize,
}

impl Pairs {
    /// Pairs with values of `value_bytes`.
    pub fn new(order: Order, value_bytes: usize) -> Pairs {
        let mut pool = vec![0; (1 << 20) + value_bytes];
        Xoshiro256PlusPlus::seed_from_u64(1).fill_bytes(&mut pool);
        Pairs { order, pool: pool.into(), value_bytes }
    }

    /// The key of pair `n`. Different numbers have different keys.
    pub fn key(&self, n: u64) -> Bytes {
        let main = if self.order == Order::Ascending { n } else { mix(n) };
        Revision { main: main as i64, sub: 0 }.encode(false)
    }

    /// Pair `n`.
    pub fn pair(&self, n: u64) -> Pair {
        let at = mix(n) as usize % (1 << 20);
        (self.key(n), self.pool.slice(at..at + self.value_bytes))
    }

    /// Pairs by number.
    pub fn batch(&self, numbers: std::ops::Range<u64>) -> Vec<Pair> {
        numbers.map(|n| self.pair(n)).collect()
    }
}

/// Numbers to numbers, each once (the last steps of SplitMix64).
pub fn mix(n: u64) -> u64 {
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}
