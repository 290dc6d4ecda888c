//! Named streams of randomness.
//!
//! Everything random in a run comes from one seed, but not from one generator: each concern draws from a stream of its
//! own, so that an edit in one place (one more client, one fault less) does not reshuffle the others. The rule: a
//! stream named `name` is xoshiro256++ seeded (by its `seed_from_u64`) with XXH3-64 of the name's bytes, seeded with the
//! run's seed. Names in use: `network`, `network/clients`, `disk/nK`, `clock/nK`, `faults/I` and `faults/I/targets`
//! (the I-th fault of the file, operations behind them), `crash/nK/R` and `member/nK/R` (the R-th life of member K),
//! `client/C` and `swarm`; those of the crash explorer begin with `crash/` and the operation's name.
//!
//! Only integers are drawn: `ln` and its kin differ in their last bits between machines.

use crate::scenario::Range64;
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// The seed of the stream `name`.
pub fn stream_seed(seed: u64, name: &str) -> u64 {
    xxh3_64_with_seed(name.as_bytes(), seed)
}

/// One stream.
#[derive(Clone, Debug)]
pub struct Stream(Xoshiro256PlusPlus);

impl Stream {
    /// The stream `name` of the run with this seed.
    pub fn new(seed: u64, name: &str) -> Stream {
        Stream(Xoshiro256PlusPlus::seed_from_u64(stream_seed(seed, name)))
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Uniform below `n`, which must not be 0. The bias of at most n / 2^64 is of no matter here.
    pub fn below(&mut self, n: u64) -> u64 {
        debug_assert!(n > 0, "invariant: there is something to draw from");
        ((u128::from(self.0.next_u64()) * u128::from(n)) >> 64) as u64
    }

    /// Uniform in the range, both ends included. A range of one value draws nothing.
    pub fn within(&mut self, range: Range64) -> u64 {
        if range.lo == range.hi { range.lo } else { range.lo + self.below(range.hi - range.lo + 1) }
    }

    /// True with a probability of `ppm` in a million. 0 draws nothing.
    pub fn chance(&mut self, ppm: u32) -> bool {
        ppm > 0 && self.below(1_000_000) < u64::from(ppm)
    }

    /// One of them.
    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len() as u64) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_value_stable() {
        // These figures may never change: every seed in every bug report stands on them.
        let mut stream = Stream::new(42, "network");
        let drawn: Vec<u64> = (0..3).map(|_| stream.below(1000)).collect();
        assert_eq!(drawn, [888, 946, 30]);
    }

    #[test]
    fn streams_of_other_names_and_seeds_differ() {
        let first = |seed, name| Stream::new(seed, name).bits();
        assert_ne!(first(1, "disk/n1"), first(1, "disk/n2"));
        assert_ne!(first(1, "disk/n1"), first(2, "disk/n1"));
    }
}
