//! Compaction: members that compacted to the same revision kept the same records (`compaction-hash`).
//!
//! While members compact, each at its own pace, the hash of all their records says nothing. What a finished compaction
//! looked at and kept is the same everywhere, and its hash is what etcd 3.5's members compare with their leader's.

use super::Failure;
use seedbed::mvcc::Compacted;
use std::collections::BTreeMap;

/// See the module.
#[derive(Debug, Default)]
pub struct CompactionChecker {
    /// By revision: the first hash, and whose it was.
    seen: BTreeMap<i64, (u32, usize)>,
    compared: u64,
}

impl CompactionChecker {
    /// A member has removed the last record of a compaction.
    pub fn on_done(&mut self, member: usize, Compacted { revision, hash }: Compacted) -> Result<(), Failure> {
        let (first, whose) = *self.seen.entry(revision).or_insert((hash, member));
        if (first, whose) == (hash, member) {
            return Ok(());
        }
        self.compared += 1;
        if first == hash {
            return Ok(());
        }
        let text = format!(
            "n{} compacted to revision {revision} and has hash {hash:08x} of what it kept, n{} had {first:08x}",
            member + 1,
            whose + 1
        );
        Err(Failure::new("compaction-hash", text))
    }

    /// Compactions compared with an earlier one.
    pub fn compared(&self) -> u64 {
        self.compared
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_that_kept_other_records_is_found() {
        let mut checker = CompactionChecker::default();
        assert_eq!(checker.on_done(0, Compacted { revision: 9, hash: 7 }), Ok(()));
        assert_eq!(checker.on_done(1, Compacted { revision: 9, hash: 7 }), Ok(()));
        assert_eq!(checker.on_done(1, Compacted { revision: 12, hash: 8 }), Ok(()));
        assert_eq!(checker.compared(), 1);
        let failure = checker.on_done(2, Compacted { revision: 9, hash: 8 }).unwrap_err();
        assert_eq!(failure.check, "compaction-hash");
        assert!(failure.text.starts_with("n3 compacted to revision 9"), "{}", failure.text);
    }
}
