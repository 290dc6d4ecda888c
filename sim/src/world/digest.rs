//! The digest: one number that stands for everything that happened.
//!
//! Every event, every disk operation and the final state are written down as bytes and folded in, in order:
//! `digest = XXH3-64(bytes, seed = digest)`. Two runs with equal digests did the same things at the same times with the
//! same payloads. Every 4096 foldings the digest is kept as a checkpoint, so that a replay that diverges can say where.

use std::hash::{Hash, Hasher};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Digest {
    value: u64,
    folded: u64,
    room: Vec<u8>,
    checkpoints: Vec<Checkpoint>,
    perturb: Option<Perturb>,
    /// What [`Perturb::Swap`] folds in late.
    held_back: Option<Vec<u8>>,
}

/// A change to what is folded in, so that tests can see the digest fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Perturb {
    /// Draws one number more from the network's stream before the run.
    Draw,
    /// Exchanges the folding of this number with the next one.
    Swap(u64),
    /// Flips a bit of the last byte of the folding of this number.
    Byte(u64),
}

/// The digest after so many foldings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Checkpoint {
    /// Events of the world so far.
    pub event: u64,
    /// Virtual time in nanoseconds.
    pub at_ns: u64,
    /// The digest.
    #[serde(with = "hex")]
    pub digest: u64,
}

/// Foldings between checkpoints.
const CHECKPOINT_EVERY: u64 = 4096;

impl Digest {
    /// Folds something in.
    pub(crate) fn fold(&mut self, what: &impl Hash) {
        self.room.clear();
        what.hash(&mut Bytes(&mut self.room));
        if self.perturb.is_some() && self.perturb() {
            return;
        }
        self.value = xxh3_64_with_seed(&self.room, self.value);
        self.folded += 1;
    }

    /// A digest that is made to differ.
    pub(crate) fn perturbed(perturb: Option<Perturb>) -> Digest {
        Digest { perturb, ..Digest::default() }
    }

    /// Carries the perturbation out. Says whether what is in the room is held back.
    fn perturb(&mut self) -> bool {
        if let Some(late) = self.held_back.take() {
            self.value = xxh3_64_with_seed(&self.room, self.value);
            self.folded += 1;
            self.room = late;
            return false;
        }
        match self.perturb {
            Some(Perturb::Swap(number)) if number == self.folded => {
                self.held_back = Some(self.room.clone());
                self.perturb = Some(Perturb::Draw);
                return true;
            }
            Some(Perturb::Byte(number)) if number == self.folded => {
                *self.room.last_mut().expect("invariant: every folding has bytes") ^= 1;
            }
            _ => {}
        }
        false
    }

    /// Keeps a checkpoint if one is due.
    pub(crate) fn checkpoint(&mut self, event: u64, at_ns: u64) {
        if self.folded / CHECKPOINT_EVERY > self.checkpoints.len() as u64 {
            self.checkpoints.push(Checkpoint { event, at_ns, digest: self.value });
        }
    }

    pub(crate) fn value(&self) -> u64 {
        self.value
    }

    pub(crate) fn into_checkpoints(self) -> Vec<Checkpoint> {
        self.checkpoints
    }
}

/// A hasher that hashes nothing: it writes down what `#[derive(Hash)]` shows it, which is every field in order.
struct Bytes<'a>(&'a mut Vec<u8>);

impl Hasher for Bytes<'_> {
    fn write(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn write_u64(&mut self, n: u64) {
        self.0.extend_from_slice(&n.to_le_bytes());
    }

    fn write_usize(&mut self, n: usize) {
        self.write_u64(n as u64);
    }

    fn write_isize(&mut self, n: isize) {
        // Discriminants of enums: below 256, one byte is enough.
        self.0.push(n as u8);
    }

    fn finish(&self) -> u64 {
        unreachable!("invariant: only the bytes are wanted")
    }
}

/// Digests as 16 hexadecimal digits, since JSON numbers lose the low bits.
pub(crate) mod hex {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(crate) fn serialize<S: Serializer>(value: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format!("{value:016x}"))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        let text = String::deserialize(deserializer)?;
        u64::from_str_radix(&text, 16).map_err(|_| D::Error::custom("expected a digest of 16 hexadecimal digits"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(folds: &[(u64, &[u8])]) -> u64 {
        let mut digest = Digest::default();
        folds.iter().for_each(|fold| digest.fold(fold));
        digest.value()
    }

    #[test]
    fn every_byte_and_the_order_count() {
        let run = digest(&[(1, b"put"), (2, b"get")]);
        assert_eq!(run, digest(&[(1, b"put"), (2, b"get")]));
        assert_ne!(run, digest(&[(2, b"get"), (1, b"put")]), "two events swapped");
        assert_ne!(run, digest(&[(1, b"pus"), (2, b"get")]), "a payload byte changed");
        assert_ne!(run, digest(&[(1, b"put"), (3, b"get")]), "a time changed");
        assert_ne!(run, digest(&[(1, b"put")]), "an event left out");
    }
}
