//! The freelist: which pages of the file hold nothing, and which will soon.
//!
//! bbolt never changes a page in place. A transaction writes new pages and *frees* the old ones, which belong to the
//! trees before it. They must stay as they are while such a tree can still be read, by a reader that has pinned it or by
//! a start after a crash. So a page goes round:
//!
//! ```text
//!          allocate(a)              free(t)                 release
//!   free ─────────────► in a tree ──────────► pending of t ─────────► free
//!                       trees a..t can read it
//! ```
//!
//! A page that transaction `a` allocated and transaction `t` freed is part of the trees `a..t` (`t` excluded). It may be
//! reused once `t` is durable and no reader has pinned one of these trees. That `a` counts too is what lets a file under
//! a long reader come to rest: what was born after the reader and died since was never the reader's (bbolt calls this
//! `releaseRange`, and forgets pages by which the file grew). `a` is remembered as long as a reader older than `a` is
//! there; 0 stands for "long ago".
//!
//! Two ways to find free pages (lesson 13, and bbolt's own two):
//! - **array**: all ids, ascending. A run of pages is found by walking from the front; what is released is merged in,
//!   which copies the whole array. Both are O(N): with 4 M free pages (16 GB) each commit touches 32 MB.
//! - **hashmap**: runs of adjacent pages, by length and by start. A run is found by its length, released pages join their
//!   neighbours. bbolt keeps a third map of the runs' ends; ordered maps find the neighbour before a page without it,
//!   and, unlike hash maps, always choose the same run: the shortest that fits, then the lowest.
//!
//! A commit that takes its pages one by one from the shortest runs finds them all over the file. Each becomes a write of
//! its own, and a disk takes three times as long to sync 200 pages from anywhere as 200 from one neighbourhood. So it
//! first *reserves* a run for all the pages that it will need, takes them from its front and gives back the rest. If no
//! run is that long, it takes the runs as they lie, from where the commit before it stopped: behind the one that reserves,
//! pages die and adjoin until it comes round again. Only long values look for the shortest run that fits.
//! (The array takes the lowest pages, which are neighbours as often as can be: nothing is reserved.)
//!
//! [`Freelist::work`] counts what each of them looked at or moved; a cost table charges it.
//!
//! Left out: the page that a synced freelist is written to (its bytes are `page.rs`'s), taking back what an abandoned
//! transaction freed (the engine abandons none).

mod array;
mod runs;

use crate::backend::FreelistKind;
use array::Array;
use runs::Runs;
use std::collections::BTreeMap;
use std::ops::Range;

/// Free and pending pages of one file.
#[derive(Debug)]
pub(super) struct Freelist {
    free: Free,
    /// By the transaction that freed them.
    pending: BTreeMap<u64, Pending>,
    /// The same runs, first page → pages: what is freed twice is seen here.
    pending_runs: BTreeMap<u64, u64>,
    pending_count: u64,
    /// First page of a run → the transaction that allocated it.
    born: BTreeMap<u64, u64>,
    /// The same by transaction, to forget them.
    born_in: BTreeMap<u64, Vec<u64>>,
    work: u64,
}

#[derive(Debug)]
enum Free {
    Array(Array),
    Hashmap(Runs),
}

/// What one transaction freed.
#[derive(Debug, Default)]
struct Pending {
    runs: Vec<Freed>,
    /// Readers older than this transaction when `runs` were last looked at. Later readers are younger than it, so that
    /// while their number is the same, so is the answer.
    older_readers: Option<usize>,
}

/// A run of pages of trees `born..t`, where `t` freed it.
#[derive(Clone, Copy, Debug)]
struct Freed {
    first: u64,
    pages: u64,
    born: u64,
}

impl Freelist {
    /// An empty freelist.
    pub(super) fn new(kind: FreelistKind) -> Freelist {
        let free = match kind {
            FreelistKind::Array => Free::Array(Array::default()),
            FreelistKind::Hashmap => Free::Hashmap(Runs::default()),
        };
        Freelist {
            free,
            pending: BTreeMap::new(),
            pending_runs: BTreeMap::new(),
            pending_count: 0,
            born: BTreeMap::new(),
            born_in: BTreeMap::new(),
            work: 0,
        }
    }

    /// Makes these pages, ascending and each once, the free ones. Nothing else is free or pending afterwards.
    pub(super) fn load(&mut self, sorted_ids: impl IntoIterator<Item = u64>) {
        self.pending.clear();
        self.pending_runs.clear();
        self.pending_count = 0;
        self.born.clear();
        self.born_in.clear();
        match &mut self.free {
            Free::Array(array) => array.load(sorted_ids),
            Free::Hashmap(runs) => runs.load(sorted_ids),
        }
        self.work += self.free_count();
    }

    /// Takes `n` adjacent pages for transaction `txid` and says which is the first. `None`: the file must grow.
    pub(super) fn allocate(&mut self, txid: u64, n: u64) -> Option<u64> {
        assert!(n > 0, "invariant: a run has pages");
        let first = match &mut self.free {
            Free::Array(array) => array.allocate(n, &mut self.work),
            Free::Hashmap(runs) => runs.allocate(n, &mut self.work),
        }?;
        self.was_born(txid, first);
        Some(first)
    }

    /// Sets a run aside for a transaction that needs about `n` pages: one of at least as many, or, if there is none, the
    /// one that comes next. [`Freelist::was_born`] says which pages it took, and [`Freelist::give_back`] which it did not.
    /// An empty run if no page is free, and always from an array.
    pub(super) fn reserve(&mut self, n: u64) -> Range<u64> {
        let run = match &mut self.free {
            Free::Array(_) => None,
            Free::Hashmap(runs) => runs.reserve(n, &mut self.work).or_else(|| runs.next(&mut self.work)),
        };
        run.map_or(0..0, |(first, pages)| first..first + pages)
    }

    /// Pages that were reserved and not taken are free as before.
    pub(super) fn give_back(&mut self, run: Range<u64>) {
        if let Free::Hashmap(runs) = &mut self.free
            && !run.is_empty()
        {
            runs.give_back(run.start, run.end - run.start, &mut self.work);
        }
    }

    /// Transaction `txid` took the run that begins at page `first`, here or where the file grew.
    pub(super) fn was_born(&mut self, txid: u64, first: u64) {
        self.born.insert(first, txid);
        self.born_in.entry(txid).or_default().push(first);
    }

    /// Transaction `txid` needs the `n` pages from `first` no longer.
    ///
    /// # Panics
    /// If one of them is free or pending already, or is a meta page.
    pub(super) fn free(&mut self, txid: u64, first: u64, n: u64) {
        assert!(n > 0 && first > 1, "invariant: {n} pages from page {first} are freed, pages 0 and 1 are the metas");
        let twice = self.holds(first, n);
        assert!(!twice, "invariant: a page is freed once, but of {n} pages from page {first} one was already");
        let born = self.born.remove(&first).unwrap_or(0);
        self.pending.entry(txid).or_default().add(Freed { first, pages: n, born });
        self.pending_runs.insert(first, n);
        self.pending_count += n;
        self.work += 1;
    }

    /// Pending pages that nobody can read any more become free: those freed by a transaction up to `durable` that are
    /// in no tree of `readers` (txids, ascending).
    pub(super) fn release(&mut self, durable: u64, readers: &[u64]) {
        debug_assert!(readers.is_sorted(), "invariant: readers come ascending");
        let mut released = Vec::new();
        for (&txid, pending) in self.pending.range_mut(..=durable) {
            self.work += 1;
            self.work += pending.release(txid, readers, &mut released);
        }
        self.pending.retain(|_, pending| !pending.runs.is_empty());
        self.forget_births(readers.first().map_or(durable, |&oldest| oldest.min(durable)));
        if released.is_empty() {
            return;
        }
        released.sort_unstable();
        for &(first, pages) in &released {
            self.pending_runs.remove(&first);
            self.pending_count -= pages;
        }
        match &mut self.free {
            Free::Array(array) => array.merge(&released, &mut self.work),
            Free::Hashmap(runs) => released.iter().for_each(|&(first, pages)| runs.add(first, pages, &mut self.work)),
        }
    }

    /// Pages born up to `txid` are in the tree of every reader that is there or will come, until they are freed: they
    /// are as good as born long ago.
    fn forget_births(&mut self, txid: u64) {
        while let Some(entry) = self.born_in.first_entry()
            && *entry.key() <= txid
        {
            let (txid, pages) = entry.remove_entry();
            for page in pages {
                // Since then the page may have been freed, released and allocated again.
                if self.born.get(&page) == Some(&txid) {
                    self.born.remove(&page);
                }
            }
        }
    }

    /// Whether one of the `n` pages from `first` is free or pending.
    pub(super) fn holds(&self, first: u64, n: u64) -> bool {
        let before = self.pending_runs.range(..first + n).next_back();
        let pending = before.is_some_and(|(&at, &pages)| at + pages > first);
        pending
            || match &self.free {
                Free::Array(array) => array.touches(first, n),
                Free::Hashmap(runs) => runs.touches(first, n),
            }
    }

    /// Pages that [`Freelist::allocate`] can take.
    pub(super) fn free_count(&self) -> u64 {
        match &self.free {
            Free::Array(array) => array.ids().len() as u64,
            Free::Hashmap(runs) => runs.pages,
        }
    }

    /// Pages that were freed and not released.
    pub(super) fn pending_count(&self) -> u64 {
        self.pending_count
    }

    /// Free and pending pages, ascending: what a start after a crash would find to be free.
    pub(super) fn ids(&self) -> Vec<u64> {
        let mut ids = Vec::with_capacity((self.free_count() + self.pending_count) as usize);
        match &self.free {
            Free::Array(array) => ids.extend_from_slice(array.ids()),
            Free::Hashmap(runs) => ids.extend(runs.by_start.iter().flat_map(|(&first, &n)| first..first + n)),
        }
        ids.extend(self.pending_runs.iter().flat_map(|(&first, &n)| first..first + n));
        ids.sort(); // Two ascending halves: a merge.
        ids
    }

    /// Ids (array) or runs (hashmap) that were looked at or moved since the start: what this costs.
    pub(super) fn work(&self) -> u64 {
        self.work
    }

    /// Memory held, in bytes; that of ordered maps is estimated.
    pub(super) fn bytes(&self) -> u64 {
        let free = match &self.free {
            Free::Array(array) => array.ids.capacity() as u64 * 8,
            Free::Hashmap(runs) => runs.by_start.len() as u64 * 2 * MAP_ENTRY,
        };
        let pending = self.pending_runs.len() as u64 * (MAP_ENTRY + size_of::<Freed>() as u64);
        free + pending + self.born.len() as u64 * (MAP_ENTRY + 8)
    }
}

/// Bytes that a pair of numbers takes in an ordered map whose nodes are two thirds full.
const MAP_ENTRY: u64 = 26;

impl Pending {
    fn add(&mut self, freed: Freed) {
        self.runs.push(freed);
        self.older_readers = None;
    }

    /// Moves the runs of this transaction that no reader has in its tree to `released`, as (first, pages). Returns how
    /// many were looked at.
    fn release(&mut self, txid: u64, readers: &[u64], released: &mut Vec<(u64, u64)>) -> u64 {
        let older = &readers[..readers.partition_point(|&reader| reader < txid)];
        if self.older_readers.replace(older.len()) == Some(older.len()) {
            return 0;
        }
        let looked_at = self.runs.len() as u64;
        self.runs.retain(|run| {
            let visible = older.last().is_some_and(|&youngest| youngest >= run.born);
            if !visible {
                released.push((run.first, run.pages));
            }
            visible
        });
        looked_at
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use FreelistKind::{Array, Hashmap};
    use std::collections::BTreeSet;

    const KINDS: [FreelistKind; 2] = [Array, Hashmap];

    fn list(kind: FreelistKind, ids: &[u64]) -> Freelist {
        let mut list = Freelist::new(kind);
        list.load(ids.iter().copied());
        list
    }

    #[test]
    fn a_reserved_run_is_the_shortest_that_holds_all() {
        let mut list = list(Hashmap, &[3, 5, 6, 7, 9, 10, 12, 13]);
        assert_eq!(list.reserve(2), 9..11);
        list.was_born(9, 9);
        list.give_back(10..11);
        assert_eq!(list.ids(), [3, 5, 6, 7, 10, 12, 13]);
        assert_eq!((list.reserve(3), list.reserve(1)), (5..8, 3..4));
    }

    #[test]
    fn where_no_run_holds_all_they_are_taken_in_turn() {
        let mut list = list(Hashmap, &[3, 5, 6, 9, 12, 13]);
        assert_eq!((list.reserve(4), list.reserve(4), list.reserve(4)), (3..4, 5..7, 9..10));
        // Half a run was enough: the rest of it comes next, and what has become free behind it when the round is over.
        list.give_back(3..4);
        assert_eq!(list.reserve(4), 12..14);
        list.give_back(13..14);
        assert_eq!((list.reserve(4), list.reserve(4), list.reserve(4)), (13..14, 3..4, 0..0));
    }

    #[test]
    fn the_array_takes_the_lowest_run_that_fits() {
        let mut list = list(Array, &[3, 4, 5, 6, 7, 9, 12, 13, 18]);
        let mut take = |n| list.allocate(9, n);
        assert_eq!(
            [take(3), take(1), take(3), take(2), take(1), take(0x100)],
            [Some(3), Some(6), None, Some(12), Some(7), None]
        );
        assert_eq!(list.ids(), [9, 18]);
        assert_eq!([list.allocate(9, 1), list.allocate(9, 1), list.allocate(9, 1)], [Some(9), Some(18), None]);
        assert_eq!(list.free_count(), 0);
    }

    #[test]
    fn the_hashmap_takes_the_shortest_run_that_fits() {
        let mut list = list(Hashmap, &[3, 4, 5, 6, 7, 9, 12, 13, 18]);
        let mut take = |n| list.allocate(9, n);
        assert_eq!(
            [take(1), take(2), take(3), take(3), take(2), take(1), take(1)],
            [Some(9), Some(12), Some(3), None, Some(6), Some(18), None]
        );
        assert_eq!(list.free_count(), 0);
    }

    #[test]
    fn freed_pages_wait_until_their_transaction_is_durable() {
        for kind in KINDS {
            let mut list = list(kind, &[]);
            list.free(100, 12, 2);
            list.free(100, 9, 1);
            list.free(102, 39, 1);
            list.release(99, &[]);
            assert_eq!((list.free_count(), list.pending_count()), (0, 4));
            list.release(101, &[]);
            assert_eq!((list.free_count(), list.pending_count()), (3, 1));
            assert_eq!(list.ids(), [9, 12, 13, 39]);
            assert_eq!(list.allocate(103, 2), Some(12));
            list.release(102, &[]);
            assert_eq!(list.ids(), [9, 39]);
            assert_eq!(list.pending_count(), 0);
        }
    }

    /// Each row: a page's birth (0: before the list) and death, the readers, and whether it may go.
    #[test]
    fn a_page_is_held_by_readers_between_its_birth_and_its_death() {
        let rows: &[(u64, u64, &[u64], bool)] = &[
            (0, 100, &[], true),
            (0, 100, &[99], false),
            (0, 100, &[100], true),
            (0, 100, &[1, 100, 150], false),
            (50, 100, &[49], true),
            (50, 100, &[50], false),
            (50, 100, &[49, 100], true),
            (50, 100, &[49, 70, 100], false),
            (50, 50, &[49, 50], true),
            (50, 200, &[49], true),
            (50, 201, &[49], false),
        ];
        for kind in KINDS {
            for &(born, died, readers, goes) in rows {
                let mut list = list(kind, &[]);
                if born > 0 {
                    list.load([7]);
                    assert_eq!(list.allocate(born, 1), Some(7));
                    list.release(born, readers);
                }
                list.free(died, 7, 1);
                list.release(200, readers);
                assert_eq!(list.free_count() == 1, goes, "{kind:?}: {born}..{died}, readers {readers:?}");
                assert_eq!(list.ids(), [7]);
                list.release(201, &[]);
                assert_eq!(list.free_count(), 1, "nobody is left");
            }
        }
    }

    #[test]
    fn births_are_forgotten_when_no_reader_is_older() {
        for kind in KINDS {
            let mut list = list(kind, &[2, 4, 6]);
            list.allocate(10, 1);
            list.allocate(11, 1);
            list.release(11, &[9]);
            assert_eq!(list.born.len(), 2);
            list.release(11, &[10]);
            assert_eq!(list.born.len(), 1);
            list.release(11, &[]);
            assert!(list.born.is_empty() && list.born_in.is_empty());
        }
    }

    #[test]
    fn a_run_that_was_looked_at_is_looked_at_again_only_after_a_reader_left() {
        let mut list = list(Hashmap, &[]);
        for page in 0..1000 {
            list.free(5, 10 + page, 1);
        }
        list.release(5, &[3, 4]);
        let before = list.work();
        list.release(6, &[3, 4, 6]);
        assert_eq!(list.work() - before, 1, "a reader of a younger tree changes nothing");
        list.release(6, &[3, 6]);
        assert!(list.work() - before > 1000);
        list.release(6, &[6]);
        assert_eq!(list.free_count(), 1000);
    }

    #[test]
    fn a_page_freed_twice_is_an_own_bug() {
        for kind in KINDS {
            for (first, n) in [(5, 1), (4, 2), (6, 3), (8, 1), (3, 9), (20, 1), (19, 2), (1, 1), (30, 0)] {
                let twice = std::panic::catch_unwind(|| {
                    let mut list = list(kind, &[20, 21]);
                    list.free(1, 5, 2);
                    list.free(2, 8, 1);
                    list.free(3, first, n);
                });
                let message = *twice.expect_err("must panic").downcast::<String>().unwrap();
                assert!(message.starts_with("invariant: "), "{message}");
            }
            let mut list = list(kind, &[20, 21]);
            list.free(1, 5, 2);
            list.free(1, 7, 13);
            list.free(1, 22, 1);
        }
    }

    #[test]
    fn the_array_pays_for_its_length_and_the_hashmap_does_not() {
        // Every other page of 2 × 100,000 is free: no two adjoin.
        let cost = |kind| {
            let mut list = Freelist::new(kind);
            list.load((0..100_000).map(|i| 10 + 2 * i));
            let start = list.work();
            assert_eq!(list.allocate(1, 2), None);
            list.free(1, 11, 1);
            list.release(1, &[]);
            assert_eq!(list.allocate(2, 3), Some(10));
            list.work() - start
        };
        assert!(cost(Array) > 200_000, "one walk in vain, one merge");
        assert!(cost(Hashmap) < 20);
    }

    /// Both kinds against a model: each page is in exactly one place, and goes where the rule says.
    #[test]
    fn random_histories_agree_with_a_model() {
        for (kind, seed) in KINDS.into_iter().flat_map(|kind| (1..40u64).map(move |seed| (kind, seed))) {
            let mut model = Model::new(kind, seed);
            for txid in 1..120 {
                model.transaction(txid);
            }
        }
    }

    struct Model {
        list: Freelist,
        random: u64,
        high_water: u64,
        /// First page → (pages, birth as the freelist can know it).
        used: BTreeMap<u64, (u64, u64)>,
        /// (first, pages, birth, death).
        dead: Vec<(u64, u64, u64, u64)>,
        free: BTreeSet<u64>,
        readers: Vec<u64>,
    }

    impl Model {
        fn new(kind: FreelistKind, seed: u64) -> Model {
            let list = Freelist::new(kind);
            let (used, dead, free) = Default::default();
            Model { list, random: seed, high_water: 2, used, dead, free, readers: vec![] }
        }

        fn draw(&mut self, below: u64) -> u64 {
            self.random ^= self.random << 13;
            self.random ^= self.random >> 7;
            self.random ^= self.random << 17;
            (self.random >> 11) % below
        }

        fn transaction(&mut self, txid: u64) {
            for _ in 0..self.draw(12) {
                let n = 1 + self.draw(4) * self.draw(2);
                let (first, born) = match self.list.allocate(txid, n) {
                    Some(first) => (first, txid),
                    None => {
                        assert!(!self.free.iter().any(|&id| (id..id + n).all(|id| self.free.contains(&id))));
                        self.high_water += n;
                        (self.high_water - n, 0)
                    }
                };
                if born > 0 {
                    assert!((first..first + n).all(|id| self.free.remove(&id)), "handed out, but not free");
                }
                self.used.insert(first, (n, born));
            }
            for _ in 0..self.draw(12).min(self.used.len() as u64) {
                let at = self.draw(self.used.len() as u64) as usize;
                let (&first, &(n, born)) = self.used.iter().nth(at).unwrap();
                self.used.remove(&first);
                self.list.free(txid, first, n);
                self.dead.push((first, n, born, txid));
            }
            let durable = txid - self.draw(2);
            if self.draw(3) == 0 && !self.readers.contains(&durable) && self.readers.last() < Some(&durable) {
                self.readers.push(durable);
            } else if self.draw(3) == 0 && !self.readers.is_empty() {
                let at = self.draw(self.readers.len() as u64) as usize;
                self.readers.remove(at);
            }
            self.list.release(durable, &self.readers);
            let readers = &self.readers;
            self.dead.retain(|&(first, n, born, died)| {
                let held = died > durable || readers.iter().any(|&r| born <= r && r < died);
                if !held {
                    self.free.extend(first..first + n);
                }
                held
            });
            self.compare();
        }

        fn compare(&mut self) {
            assert_eq!(self.list.free_count(), self.free.len() as u64);
            assert_eq!(self.list.pending_count(), self.dead.iter().map(|run| run.1).sum::<u64>());
            let dead = self.dead.iter().flat_map(|&(first, n, ..)| first..first + n);
            let all: BTreeSet<u64> = self.free.iter().copied().chain(dead).collect();
            assert_eq!(self.list.ids(), all.iter().copied().collect::<Vec<_>>());
            if let Free::Hashmap(runs) = &self.list.free {
                assert!(
                    runs.by_start.iter().zip(runs.by_start.iter().skip(1)).all(|(a, b)| a.0 + a.1 < *b.0),
                    "joined"
                );
            }
            if self.draw(10) == 0 {
                let copy: Vec<u64> = self.free.iter().copied().collect();
                let mut fresh = Freelist::new(Hashmap);
                fresh.load(copy);
                assert_eq!(fresh.free_count(), self.list.free_count());
            }
        }
    }
}
