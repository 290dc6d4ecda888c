//! When one key changed: its generations.
//!
//! ```text
//!   put 2, put 4, delete 6, put 8, put 10, delete 12, put 14
//!
//!   ended  ┌ created 2, ver 3: (2,0) (4,0) (6,0)✝ ┐   a tombstone ends a generation
//!          └ created 8, ver 3: (8,0) (10,0) (12,0)✝
//!   live     created 14, ver 1: (14,0)                empty while the key is deleted
//! ```
//!
//! A generation is the life of a key from its creation to its tombstone. `ver` counts all its changes, those that
//! compaction has dropped too, so the version of its n-th revision from the end is `ver - n`, and a put needs to ask
//! nobody what the key's creation revision and next version are.
//!
//! Invariants:
//! - revisions ascend, within a generation and from one to the next;
//! - each ended generation holds at least its tombstone, which is its last revision; the live one holds no tombstone;
//! - only a key in the making, or one that compaction has emptied, holds no revision at all.
//!
//! Most keys were put once, or their older revisions are compacted: a single revision lies in the generation itself.

use super::Revision;
use std::ops::{Deref, DerefMut};

/// A live key as it stands after one of its changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// When it changed.
    pub at: Revision,
    /// Main revision of the put that created the key.
    pub create_revision: i64,
    /// Changes since then, that one included: from 1.
    pub version: i64,
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct KeyIndex {
    ended: Ended,
    live: Generation,
}

impl KeyIndex {
    /// Adds a put. Says what the key is now.
    pub(super) fn put(&mut self, at: Revision) -> Change {
        self.assert_later(at);
        if self.live.revs().is_empty() {
            self.live = Generation { created: at.main, ver: 0, revs: Revs::default() };
        }
        self.live.push(at);
        Change { at, create_revision: self.live.created, version: self.live.ver }
    }

    /// Adds a tombstone: ends the live generation. `false`, and no change, if the key does not live.
    pub(super) fn tombstone(&mut self, at: Revision) -> bool {
        self.assert_later(at);
        if self.live.revs().is_empty() {
            return false;
        }
        self.live.push(at);
        let ended = std::mem::take(&mut self.live);
        self.ended.push(ended);
        true
    }

    /// Adds a put that was recorded, whose generation may have begun with records that are compacted. The error says
    /// what the record should have been.
    pub(super) fn restore(&mut self, change: Change) -> Result<(), &'static str> {
        let Change { at, create_revision, version } = change;
        if self.live.revs().is_empty() {
            if self.ended.last().is_some_and(|ended| create_revision < ended.last().main) {
                return Err("a create revision after the key's last tombstone");
            }
            self.live = Generation { created: create_revision, ver: version - 1, revs: Revs::default() };
        } else if (self.live.created, self.live.ver + 1) != (create_revision, version) {
            return Err("the create revision of the put before it, and the next version");
        }
        self.live.push(at);
        Ok(())
    }

    /// Adds a tombstone that was recorded. What it ended may be compacted, and then it stands alone: an interrupted
    /// compaction has yet to remove it, and would leave it for ever if the index did not know it (etcd #19179).
    pub(super) fn restore_tombstone(&mut self, at: Revision) -> Result<(), &'static str> {
        if self.tombstone(at) {
            return Ok(());
        }
        if !self.ended.is_empty() {
            return Err("a put between two tombstones of a key");
        }
        self.ended.push(Generation { created: at.main, ver: 1, revs: Revs::One(at) });
        Ok(())
    }

    /// Whether the key lives.
    pub(super) fn lives(&self) -> bool {
        !self.live.revs().is_empty()
    }

    /// What the key was at main revision `at`; `None` if it did not live then.
    pub(super) fn get(&self, at: i64) -> Option<Change> {
        let generation = self.find_generation(at)?;
        let n = generation.walk(at)?;
        let revs = generation.revs();
        let version = generation.ver - (revs.len() - 1 - n) as i64;
        Some(Change { at: revs[n], create_revision: generation.created, version })
    }

    /// The generation in which the key lived at main revision `at`.
    fn find_generation(&self, at: i64) -> Option<&Generation> {
        if self.live.revs().first().is_some_and(|first| first.main <= at) {
            return Some(&self.live);
        }
        let generation = &self.ended[self.ended.partition_point(|ended| ended.last().main <= at)..].first()?;
        (generation.revs()[0].main <= at).then_some(generation)
    }

    /// Appends the revisions from main revision `since` on, tombstones too. Of several changes in one transaction only
    /// the last is named: the others were never visible.
    pub(super) fn since(&self, since: i64, revisions: &mut Vec<Revision>) {
        let start = revisions.len();
        let generations = self.ended.iter().chain([&self.live]);
        for &at in generations.flat_map(Generation::revs).filter(|at| at.main >= since) {
            match revisions[start..].last_mut() {
                Some(last) if last.main == at.main => *last = at,
                _ => revisions.push(at),
            }
        }
    }

    /// Drops what nobody can ask for who reads at main revision `at` or later, or watches from there on. Returns the one
    /// revision up to `at` that stays: the newest, unless it is a tombstone from before `at`.
    ///
    /// A tombstone at `at` itself is to be read by nobody, but a watch may start there and has to hear of it. Up to 3.5.15
    /// etcd dropped it (#18089); without `keep_tombstone` this does, too.
    pub(super) fn compact(&mut self, at: i64, keep_tombstone: bool) -> Option<Revision> {
        let over = self.ended.partition_point(|ended| ended.last().main <= at);
        let begins = |n: usize| self.ended.get(n).unwrap_or(&self.live).revs().first().map(|first| first.main);
        // The newest life that is over stays if it ended just now, and none has begun since.
        let ended_now = |n: usize| self.ended[n].last().main == at && begins(n + 1).is_none_or(|begun| begun > at);
        let over = if keep_tombstone && over > 0 && ended_now(over - 1) { over - 1 } else { over };
        self.ended.drop_before(over);
        let oldest = self.ended.first_mut().unwrap_or(&mut self.live);
        let kept = oldest.walk(at)?;
        oldest.revs.drop_before(kept);
        Some(oldest.revs()[0])
    }

    /// Whether nothing is left of the key.
    pub(super) fn is_empty(&self) -> bool {
        self.ended.is_empty() && self.live.revs().is_empty()
    }

    fn assert_later(&self, at: Revision) {
        let last = self.live.revs().last().copied().or_else(|| self.ended.last().map(Generation::last));
        debug_assert!(last.is_none_or(|last| last < at), "invariant: changes of a key ascend");
    }
}

/// The lives that are over, oldest first. Few keys were ever deleted: the others keep a null pointer here, and leave room
/// for the key itself in its slot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::box_collection, reason = "a vector of its own would be three words")]
struct Ended(Option<Box<Vec<Generation>>>);

impl Ended {
    fn push(&mut self, generation: Generation) {
        self.0.get_or_insert_default().push(generation);
    }

    /// Drops the first `n`, and their memory with them.
    fn drop_before(&mut self, n: usize) {
        if n > 0
            && let Some(mut ended) = self.0.take()
        {
            let rest = ended.split_off(n);
            self.0 = (!rest.is_empty()).then(|| Box::new(rest));
        }
    }
}

impl Deref for Ended {
    type Target = [Generation];

    fn deref(&self) -> &[Generation] {
        self.0.as_ref().map_or(&[], |ended| ended)
    }
}

impl DerefMut for Ended {
    fn deref_mut(&mut self) -> &mut [Generation] {
        self.0.as_mut().map_or(&mut [], |ended| ended)
    }
}

/// One life of a key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Generation {
    /// Main revision of the put that began it.
    created: i64,
    /// All its changes, those that are compacted and the tombstone too.
    ver: i64,
    revs: Revs,
}

impl Generation {
    fn revs(&self) -> &[Revision] {
        self.revs.as_slice()
    }

    fn last(&self) -> Revision {
        *self.revs().last().expect("invariant: an ended generation has its tombstone")
    }

    fn push(&mut self, at: Revision) {
        self.revs.push(at);
        self.ver += 1;
    }

    /// Position of the newest revision up to main revision `at`.
    fn walk(&self, at: i64) -> Option<usize> {
        let revs = self.revs();
        // Most reads are at the newest revision: look at the end before searching.
        let after = match revs.last() {
            Some(last) if last.main <= at => revs.len(),
            _ => revs.partition_point(|rev| rev.main <= at),
        };
        after.checked_sub(1)
    }
}

/// Revisions, ascending. A single one needs no allocation.
#[derive(Clone, Debug)]
enum Revs {
    One(Revision),
    Many(Vec<Revision>),
}

impl Revs {
    fn as_slice(&self) -> &[Revision] {
        match self {
            Revs::One(at) => std::slice::from_ref(at),
            Revs::Many(revs) => revs,
        }
    }

    fn push(&mut self, at: Revision) {
        match self {
            Revs::One(first) => *self = Revs::Many(vec![*first, at]),
            Revs::Many(revs) if revs.is_empty() => *self = Revs::One(at),
            Revs::Many(revs) => revs.push(at),
        }
    }

    /// Drops the first `n`, and their memory with them.
    fn drop_before(&mut self, n: usize) {
        if n > 0 {
            *self = match &self.as_slice()[n..] {
                [only] => Revs::One(*only),
                rest => Revs::Many(rest.to_vec()),
            };
        }
    }
}

impl Default for Revs {
    fn default() -> Revs {
        Revs::Many(Vec::new())
    }
}

impl PartialEq for Revs {
    fn eq(&self, other: &Revs) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl Eq for Revs {}

#[cfg(test)]
mod tests {
    use super::super::tests::{number, revision, revisions, table};
    use super::*;

    fn at(main: i64, sub: i64) -> Revision {
        Revision { main, sub }
    }

    /// The history of etcd's own tests: three lives, the last tombstone at 16.
    fn history() -> KeyIndex {
        let mut key_index = KeyIndex::default();
        for [first, second, tombstone] in
            [[at(2, 0), at(4, 0), at(6, 0)], [at(8, 0), at(10, 0), at(12, 0)], [at(14, 0), at(15, 1), at(16, 0)]]
        {
            key_index.put(first);
            key_index.put(second);
            assert!(key_index.tombstone(tombstone));
        }
        key_index
    }

    fn compacted(revision: i64) -> KeyIndex {
        let mut key_index = history();
        key_index.compact(revision, true);
        key_index
    }

    fn since(key_index: &KeyIndex, main: i64) -> Vec<Revision> {
        let mut revisions = Vec::new();
        key_index.since(main, &mut revisions);
        revisions
    }

    #[test]
    fn get_agrees_with_etcds_table() {
        for row in table("TestKeyIndexGet") {
            let found = compacted(4).get(number(&row, "rev"));
            let wanted = row["werr"].is_null().then(|| {
                let create_revision = revision(&row["wcreat"]).main;
                Change { at: revision(&row["wmod"]), create_revision, version: number(&row, "wver") }
            });
            assert_eq!(found, wanted, "{row}");
        }
    }

    #[test]
    fn since_agrees_with_etcds_table() {
        for row in table("TestKeyIndexSince") {
            assert_eq!(since(&compacted(4), number(&row, "rev")), revisions(&row["wrevs"]), "{row}");
        }
    }

    #[test]
    fn find_generation_agrees_with_etcds_table() {
        for row in table("TestKeyIndexFindGeneration") {
            let key_index = history();
            let found = key_index.find_generation(number(&row, "rev"));
            let wanted = row.get("wg").map(|wanted| Generation {
                created: revision(&wanted["created"]).main,
                ver: number(wanted, "ver"),
                revs: Revs::Many(revisions(&wanted["revs"])),
            });
            assert_eq!(found, wanted.as_ref(), "{row}");
        }
    }

    #[test]
    fn walk_agrees_with_etcds_table() {
        let generation = history().ended[0].clone();
        // The table's rows ask for the newest revision up to 6, 5, 4 …
        for (row, at) in table("TestGenerationWalk").iter().zip((0..=6).rev()) {
            let found = generation.walk(at).map_or(-1, |n| n as i64);
            assert_eq!(found, number(row, "wi"), "{row} at {at}");
        }
    }

    #[test]
    fn compactions_leave_the_same_in_whatever_steps_they_come() {
        let mut continuous = history();
        for revision in 0..=17 {
            let kept = continuous.compact(revision, true);
            let mut once = history();
            let lives = once.get(revision).map(|change| change.at);
            let ends = since(&once, revision).first().copied().filter(|first| first.main == revision);
            assert_eq!(kept, lives.or(ends), "the newest up to {revision} if it lives, or ends there");
            assert_eq!(kept, once.compact(revision, true));
            assert_eq!(continuous, once, "at {revision}");
            (revision..=17).for_each(|at| assert_eq!(once.get(at), history().get(at), "{revision}, {at}"));
            assert_eq!(since(&once, revision), since(&history(), revision));
            let first = since(&once, 0).first().copied();
            assert_eq!(first, kept.or_else(|| since(&history(), revision + 1).first().copied()), "nothing else stays");
            assert_eq!(once.is_empty(), revision > 16);
        }
    }

    #[test]
    fn a_tombstone_at_the_revision_stays_until_the_next_compaction() {
        let mut key_index = compacted(16);
        assert_eq!(since(&key_index, 0), [at(16, 0)]);
        assert_eq!((key_index.get(16), key_index.is_empty()), (None, false));
        assert_eq!(key_index.compact(17, true), None);
        assert!(key_index.is_empty());
        let mut dropped = history();
        assert_eq!(dropped.compact(16, false), None, "as etcd did up to 3.5.15");
        assert!(dropped.is_empty());
        // One transaction may delete a key and make it again: what counts is what it left.
        let mut again = history();
        again.put(at(16, 1));
        assert_eq!(again.compact(16, true), Some(at(16, 1)));
    }

    #[test]
    fn compacting_past_the_last_put_keeps_it() {
        let mut key_index = compacted(17);
        assert_eq!(key_index.put(at(20, 0)), Change { at: at(20, 0), create_revision: 20, version: 1 });
        assert_eq!(key_index.put(at(21, 3)), Change { at: at(21, 3), create_revision: 20, version: 2 });
        assert_eq!(key_index.compact(100, true), Some(at(21, 3)));
        assert_eq!(key_index.get(100).map(|change| change.version), Some(2));
    }

    #[test]
    fn a_lone_tombstone_is_known_until_it_is_compacted() {
        let mut key_index = KeyIndex::default();
        key_index.restore_tombstone(at(16, 0)).unwrap();
        assert!((15..=20).all(|at| key_index.get(at).is_none()));
        assert!(!key_index.tombstone(at(17, 0)), "what does not live cannot be deleted");
        key_index.put(at(17, 0));
        key_index.put(at(18, 0));
        assert_eq!(since(&key_index, 16), [at(16, 0), at(17, 0), at(18, 0)]);
        assert_eq!(key_index.compact(17, true), Some(at(17, 0)));
        assert_eq!(since(&key_index, 0), [at(17, 0), at(18, 0)]);
    }

    #[test]
    fn only_the_last_change_of_a_transaction_is_named() {
        let mut key_index = KeyIndex::default();
        key_index.put(at(2, 0));
        key_index.tombstone(at(2, 1));
        key_index.put(at(2, 2));
        assert_eq!(since(&key_index, 0), [at(2, 2)]);
        assert_eq!(key_index.get(2), Some(Change { at: at(2, 2), create_revision: 2, version: 1 }));
    }

    #[test]
    fn a_key_takes_little_memory() {
        assert_eq!(size_of::<KeyIndex>(), 48, "besides its own bytes, if it has one revision");
    }
}
