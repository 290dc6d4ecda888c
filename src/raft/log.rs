//! The replicated log since its last compaction, in memory, with the marks that divide it.
//!
//! ```text
//!   base          applied       handed     committed          last
//!    │ ◄─ entries ─┼──────────────┼────────────┼────────────────┤
//!    │             │              │            │
//!    └ compacted   └ the owner    └ given out  └ a majority     stable: durable in the owner's WAL up to here
//!      away, only    has applied    to apply     holds it       saving: durable once the Ready that is out is
//! ```
//!
//! Invariants:
//! - Indexes have no gaps: `entries[i].index == base.index + 1 + i`. Terms never decrease along the log.
//! - `base.index ≤ stable ≤ saving ≤ last`: an entry is saved before it is called durable.
//! - `applied ≤ handed ≤ committed ≤ last`; committed entries are never truncated and never change.
//! - `handed ≤ stable`: only durable entries are applied (but for `Bug::AckBeforeWal`).
//! - `base.index ≤ handed`: what is compacted away was applied, or is covered by a snapshot that is.
//!
//! Left out: entries on disk. etcd keeps its raft log in memory between compactions too; the WAL is read only at boot.

use super::{Entry, SnapshotMeta};
use bytes::Bytes;
use std::collections::VecDeque;

/// What an entry costs beside its data: in memory, and roughly as a record on the wire.
pub const ENTRY_OVERHEAD: u64 = size_of::<Entry>() as u64;

/// The bytes that an entry counts for in every size limit and in [`Log::bytes`].
pub fn entry_bytes(entry: &Entry) -> u64 {
    entry.data.len() as u64 + ENTRY_OVERHEAD
}

/// An entry's place: its index and term. By log matching, equal places in two logs mean equal logs up to there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) index: u64,
    pub(super) term: u64,
}

/// The log of one member.
#[derive(Clone, Debug, Default)]
pub struct Log {
    entries: VecDeque<Entry>,
    base: Place,
    stable: u64,
    saving: u64,
    committed: u64,
    handed: u64,
    applied: u64,
    bytes: u64,
}

impl Log {
    /// A durable log: what recovery read back. Commit and applied marks start at the snapshot.
    pub(super) fn recovered(snapshot: &SnapshotMeta, entries: Vec<Entry>) -> Log {
        let base = Place { index: snapshot.index, term: snapshot.term };
        let bytes = entries.iter().map(entry_bytes).sum();
        let last = base.index + entries.len() as u64;
        let entries = VecDeque::from(entries);
        let at = base.index;
        Log { entries, base, stable: last, saving: last, committed: at, handed: at, applied: at, bytes }
    }

    // ── Reading ──────────────────────────────────────────────────────────────────────────────────────────────────

    /// Index of the first entry that is still held (or would be, in an empty log).
    #[inline]
    pub fn first_index(&self) -> u64 {
        self.base.index + 1
    }

    /// Index of the last entry; that of the snapshot if none follows it.
    #[inline]
    pub fn last_index(&self) -> u64 {
        self.base.index + self.entries.len() as u64
    }

    /// Term of the last entry.
    #[inline]
    pub fn last_term(&self) -> u64 {
        self.entries.back().map_or(self.base.term, |e| e.term)
    }

    /// Up to here the log is durable.
    #[inline]
    pub fn stable(&self) -> u64 {
        self.stable
    }

    /// Up to here a majority holds the log, as far as this member knows.
    #[inline]
    pub fn committed(&self) -> u64 {
        self.committed
    }

    /// Up to here the owner has applied the log.
    #[inline]
    pub fn applied(&self) -> u64 {
        self.applied
    }

    /// Up to here entries were handed out to be applied.
    #[inline]
    pub fn handed(&self) -> u64 {
        self.handed
    }

    /// Approximate memory of the entries held, in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The entry at `index`, if it is held.
    #[inline]
    pub fn entry(&self, index: u64) -> Option<&Entry> {
        self.entries.get(index.checked_sub(self.first_index())? as usize)
    }

    /// The term of the entry at `index`; known also for the last compacted one. `None` outside.
    #[inline]
    pub fn term_of(&self, index: u64) -> Option<u64> {
        if index == self.base.index { Some(self.base.term) } else { self.entry(index).map(|e| e.term) }
    }

    /// The entries of `[lo, hi)` that fit into `max_bytes`, at least one of them. Empty if `lo` is not held.
    pub fn slice(&self, lo: u64, hi: u64, max_bytes: u64) -> Vec<Entry> {
        let hi = hi.min(self.last_index() + 1);
        if lo < self.first_index() || lo >= hi {
            return Vec::new();
        }
        let (from, to) = ((lo - self.first_index()) as usize, (hi - self.first_index()) as usize);
        let mut size = entry_bytes(&self.entries[from]);
        let mut end = from + 1;
        while end < to {
            size += entry_bytes(&self.entries[end]);
            if size > max_bytes {
                break;
            }
            end += 1;
        }
        let mut out = Vec::with_capacity(end - from);
        out.extend(self.entries.range(from..end).cloned());
        out
    }

    /// The held entries of `(after, upto]`, without copying them.
    pub(super) fn range(&self, after: u64, upto: u64) -> impl Iterator<Item = &Entry> {
        let len = self.entries.len();
        let lo = (after.saturating_sub(self.base.index) as usize).min(len);
        let hi = (upto.saturating_sub(self.base.index) as usize).clamp(lo, len);
        self.entries.range(lo..hi)
    }

    /// Whether a log that ends at `(last_index, last_term)` is at least as up to date as this one (Raft paper, 5.4.1).
    pub(super) fn is_up_to_date(&self, last_index: u64, last_term: u64) -> bool {
        (last_term, last_index) >= (self.last_term(), self.last_index())
    }

    /// The last place at or before `index` whose term is at most `term`: where two logs may still agree, given that
    /// one holds `term` at `index`. Terms never decrease, so a binary search finds it. Term 0 means unknown.
    pub(super) fn last_place_within(&self, index: u64, term: u64) -> (u64, u64) {
        let index = index.min(self.last_index());
        if index < self.base.index {
            return (index, 0);
        }
        let held = (index - self.base.index) as usize;
        let (mut lo, mut hi) = (0, held);
        while lo < hi {
            let mid = (lo + hi) / 2;
            if self.entries[mid].term <= term { lo = mid + 1 } else { hi = mid }
        }
        let found = self.base.index + lo as u64;
        if lo == 0 && self.base.term > term {
            // Even the last compacted entry's term is too high: they may agree only below what is held here.
            return (self.base.index.saturating_sub(1), 0);
        }
        (found, self.term_of(found).unwrap_or(0))
    }

    // ── Writing ──────────────────────────────────────────────────────────────────────────────────────────────────

    /// Appends as leader: the entry gets its place here.
    pub(super) fn push(&mut self, term: u64, kind: super::EntryKind, data: Bytes) -> u64 {
        debug_assert!(term >= self.last_term(), "invariant: terms never decrease along the log");
        let index = self.last_index() + 1;
        let entry = Entry { kind, term, index, data };
        self.bytes += entry_bytes(&entry);
        self.entries.push_back(entry);
        index
    }

    /// Appends as follower what follows a matching place. Entries that are held already stay (an old message may
    /// arrive after a newer one, and must not cut off what the newer one brought); from the first conflict on, the
    /// leader's replace ours. Returns the first new index, or `None` if all were held.
    pub(super) fn merge(&mut self, entries: Vec<Entry>) -> Option<u64> {
        let held = entries.iter().take_while(|e| self.term_of(e.index) == Some(e.term)).count();
        let first = entries.get(held)?.index;
        self.truncate_from(first);
        for entry in entries.into_iter().skip(held) {
            debug_assert!(entry.term >= self.last_term(), "invariant: terms never decrease along the log");
            self.bytes += entry_bytes(&entry);
            self.entries.push_back(entry);
        }
        Some(first)
    }

    fn truncate_from(&mut self, index: u64) {
        assert!(
            index > self.committed,
            "invariant: a committed entry is never truncated (commit {}, truncating from {index})",
            self.committed
        );
        while self.last_index() >= index {
            let cut = self.entries.pop_back().expect("invariant: entries reach last_index");
            self.bytes -= entry_bytes(&cut);
        }
        // What the WAL holds, or is about to hold, from here on is no longer the log's.
        self.stable = self.stable.min(index - 1);
        self.saving = self.saving.min(index - 1);
    }

    /// Raises the commit mark. Returns whether it moved.
    pub(super) fn commit_to(&mut self, index: u64) -> bool {
        let last = self.last_index();
        assert!(index <= last, "invariant: the commit index never passes the log's end (commit {index}, last {last})");
        let moved = index > self.committed;
        self.committed = self.committed.max(index);
        moved
    }

    /// The entries that a Ready must save; they count as being saved from now on.
    pub(super) fn begin_save(&mut self) -> Vec<Entry> {
        let from = self.saving - self.base.index;
        let out = self.entries.range(from as usize..).cloned().collect();
        self.saving = self.last_index();
        out
    }

    /// Whether there are entries that no Ready has taken to save.
    pub(super) fn has_unsaved(&self) -> bool {
        self.saving < self.last_index()
    }

    /// What was being saved is durable, but for what was truncated meanwhile.
    pub(super) fn finish_save(&mut self) {
        self.stable = self.saving;
    }

    /// Committed entries up to `limit` that were not handed out yet, as many as fit into `max_bytes`.
    pub(super) fn hand_out(&mut self, limit: u64, max_bytes: u64) -> Vec<Entry> {
        let limit = limit.min(self.committed);
        let out = self.slice(self.handed + 1, limit + 1, max_bytes);
        if let Some(last) = out.last() {
            self.handed = last.index;
        }
        out
    }

    /// Notes that recovery found the state machine at `index` already: it is committed and need not be handed out.
    pub(super) fn recover_applied(&mut self, index: u64) {
        self.commit_to(index);
        self.handed = self.handed.max(index);
        self.applied = self.applied.max(index);
    }

    pub(super) fn applied_to(&mut self, index: u64) {
        assert!(
            index <= self.handed,
            "invariant: only entries that were handed out are applied ({index} after {})",
            self.handed
        );
        self.applied = self.applied.max(index);
    }

    /// Drops entries up to `index`, which must be applied.
    pub(super) fn compact(&mut self, index: u64) {
        assert!(index <= self.applied, "invariant: only applied entries are compacted ({index} > {})", self.applied);
        // Entries on their way to the WAL stay (reachable only where Bug::AckBeforeWal applies before it saves).
        let index = index.min(self.stable);
        while self.base.index < index {
            let cut = self.entries.pop_front().expect("invariant: entries reach last_index");
            self.bytes -= entry_bytes(&cut);
            self.base = Place { index: cut.index, term: cut.term };
        }
        if self.entries.capacity() > 64 && self.entries.len() < self.entries.capacity() / 8 {
            self.entries.shrink_to(self.entries.len() * 2);
        }
    }

    /// Replaces the whole log by a snapshot. The snapshot itself becomes durable with the next Ready.
    pub(super) fn restore(&mut self, meta: &SnapshotMeta) {
        assert!(meta.index > self.committed, "invariant: a snapshot never takes back a commit");
        let at = meta.index;
        self.entries.clear();
        self.bytes = 0;
        self.base = Place { index: at, term: meta.term };
        (self.stable, self.saving, self.committed, self.handed) = (at, at, at, at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raft::EntryKind;
    use proptest::prelude::*;

    fn entry(index: u64, term: u64) -> Entry {
        Entry { kind: EntryKind::Normal, term, index, data: Bytes::new() }
    }

    /// A durable log after a snapshot at `base`.
    fn log(base: u64, base_term: u64, terms: &[u64]) -> Log {
        let snapshot = SnapshotMeta { index: base, term: base_term, ..SnapshotMeta::default() };
        Log::recovered(&snapshot, terms.iter().zip(base + 1..).map(|(&term, index)| entry(index, term)).collect())
    }

    #[test]
    fn terms_are_known_from_the_snapshot_to_the_end_and_nowhere_else() {
        let l = log(5, 2, &[2, 3]);
        let terms: Vec<_> = (4..=8).map(|index| l.term_of(index)).collect();
        assert_eq!(terms, [None, Some(2), Some(2), Some(3), None]);
        assert_eq!((l.entry(5), l.entry(6)), (None, Some(&entry(6, 2))));
        assert_eq!((l.first_index(), l.last_index(), l.last_term()), (6, 7, 3));
        assert_eq!((log(5, 2, &[]).last_index(), log(5, 2, &[]).last_term()), (5, 2));
    }

    #[test]
    fn a_merge_begins_at_the_first_conflict() {
        let mut l = log(0, 0, &[1, 1, 2]);
        assert_eq!(l.merge(vec![entry(1, 1), entry(2, 1)]), None);
        assert_eq!(l.last_index(), 3);
        assert_eq!(l.merge(vec![entry(2, 1), entry(3, 3), entry(4, 3)]), Some(3));
        assert_eq!((l.last_index(), l.term_of(3), l.stable()), (4, Some(3), 2));
        assert_eq!(l.merge(vec![entry(5, 3)]), Some(5));
        assert_eq!(l.bytes(), 5 * ENTRY_OVERHEAD);
    }

    #[test]
    #[should_panic(expected = "invariant: a committed entry is never truncated (commit 2, truncating from 2)")]
    fn truncating_a_committed_entry_is_an_own_bug() {
        let mut l = log(0, 0, &[1, 1, 1]);
        l.commit_to(2);
        l.merge(vec![entry(2, 2)]);
    }

    #[test]
    #[should_panic(expected = "invariant: the commit index never passes the log's end (commit 2, last 1)")]
    fn committing_past_the_end_is_an_own_bug() {
        log(0, 0, &[1]).commit_to(2);
    }

    #[test]
    #[should_panic(expected = "invariant: only applied entries are compacted (1 > 0)")]
    fn compacting_what_is_not_applied_is_an_own_bug() {
        log(0, 0, &[1]).compact(1);
    }

    #[test]
    fn what_is_truncated_during_its_save_is_not_durable_when_the_save_is_done() {
        let mut l = log(0, 0, &[1]);
        l.merge(vec![entry(2, 1), entry(3, 1)]);
        assert_eq!(l.begin_save().len(), 2);
        assert!(!l.has_unsaved());
        l.merge(vec![entry(3, 2)]);
        l.finish_save();
        assert_eq!(l.stable(), 2);
        assert_eq!(l.begin_save(), [entry(3, 2)]);
    }

    #[test]
    fn entries_are_handed_out_once_and_within_every_limit() {
        let mut l = log(0, 0, &[1, 1, 1, 1]);
        l.commit_to(3);
        assert_eq!(l.hand_out(2, u64::MAX).len(), 2);
        assert_eq!(l.hand_out(2, u64::MAX), []);
        assert_eq!(l.hand_out(9, u64::MAX), [entry(3, 1)]);
        l.commit_to(4);
        assert_eq!(l.hand_out(9, 0), [entry(4, 1)]);
    }

    proptest! {
        #[test]
        fn the_last_place_within_a_term_equals_the_search_step_by_step(
            mut terms in prop::collection::vec(1u64..8, 0..12),
            base in 0u64..4,
            index in 0u64..20,
            term in 0u64..9,
        ) {
            terms.sort_unstable();
            let base_term = if base == 0 { 0 } else { terms.first().copied().unwrap_or(3) };
            let l = log(base, base_term, &terms);
            let mut at = index.min(l.last_index());
            while l.term_of(at).is_some_and(|t| t > term) && at > 0 {
                at -= 1;
            }
            prop_assert_eq!(l.last_place_within(index, term), (at, l.term_of(at).unwrap_or(0)));
        }

        #[test]
        fn a_slice_is_the_longest_prefix_that_fits(lo in 0u64..12, hi in 0u64..12, max in 0u64..600) {
            let l = log(2, 1, &[1; 6]);
            let fits = (max / ENTRY_OVERHEAD).max(1);
            let expected: Vec<u64> = if lo < 3 { vec![] } else { (lo..hi.min(9)).take(fits as usize).collect() };
            let found: Vec<u64> = l.slice(lo, hi, max).iter().map(|e| e.index).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
