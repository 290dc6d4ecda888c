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
//! `releaseRange`). `a` is remembered only for pages that came from the freelist, not for those that grew the file, and
//! only as long as a reader older than `a` is there; 0 stands for "long ago".
//!
//! Two ways to find free pages (lesson 13, and bbolt's own two):
//! - **array**: all ids, ascending. A run of pages is found by walking from the front; what is released is merged in,
//!   which copies the whole array. Both are O(N): with 4 M free pages (16 GB) each commit touches 32 MB.
//! - **hashmap**: runs of adjacent pages, by length and by start. A run is found by its length, released pages join their
//!   neighbours. bbolt keeps a third map of the runs' ends; ordered maps find the neighbour before a page without it,
//!   and, unlike hash maps, always choose the same run: the shortest that fits, then the lowest.
//!
//! [`Freelist::work`] counts what each of them looked at or moved; a cost table charges it.
//!
//! Left out: the page that a synced freelist is written to (its bytes are `page.rs`'s), taking back what an abandoned
//! transaction freed (the engine abandons none).

use crate::backend::FreelistKind;
use std::collections::{BTreeMap, BTreeSet};

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
        self.born.insert(first, txid);
        self.born_in.entry(txid).or_default().push(first);
        Some(first)
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

/// Free pages as bbolt's array keeps them.
#[derive(Debug, Default)]
struct Array {
    /// Ascending. Those before `head` are gone.
    ids: Vec<u64>,
    head: usize,
}

impl Array {
    fn ids(&self) -> &[u64] {
        &self.ids[self.head..]
    }

    fn load(&mut self, sorted_ids: impl IntoIterator<Item = u64>) {
        self.ids = sorted_ids.into_iter().collect();
        self.head = 0;
        assert!(self.ids.is_sorted_by(|a, b| a < b), "invariant: free pages come ascending, each once");
    }

    /// The lowest run of `n` pages, found by walking.
    fn allocate(&mut self, n: u64, work: &mut u64) -> Option<u64> {
        let mut start = self.head;
        for i in self.head..self.ids.len() {
            *work += 1;
            if i > start && self.ids[i] != self.ids[i - 1] + 1 {
                start = i;
            }
            if (i - start) as u64 + 1 < n {
                continue;
            }
            let first = self.ids[start];
            if start == self.head {
                self.head = i + 1;
            } else {
                *work += (self.ids.len() - (i + 1)) as u64;
                self.ids.drain(start..=i);
            }
            return Some(first);
        }
        None
    }

    /// Merges runs (ascending) into a new array, which copies every id.
    fn merge(&mut self, released: &[(u64, u64)], work: &mut u64) {
        let mut old = self.ids().iter().copied().peekable();
        let more: u64 = released.iter().map(|run| run.1).sum();
        let mut ids = Vec::with_capacity(old.len() + more as usize);
        for &(first, pages) in released {
            while let Some(id) = old.next_if(|&id| id < first) {
                ids.push(id);
            }
            ids.extend(first..first + pages);
        }
        ids.extend(old);
        *work += ids.len() as u64;
        self.ids = ids;
        self.head = 0;
    }

    fn touches(&self, first: u64, n: u64) -> bool {
        let at = self.ids().partition_point(|&id| id < first);
        self.ids().get(at).is_some_and(|&id| id < first + n)
    }
}

/// Free pages as bbolt's hashmap keeps them: as runs that no free page adjoins.
#[derive(Debug, Default)]
struct Runs {
    /// First page → pages.
    by_start: BTreeMap<u64, u64>,
    /// (pages, first page).
    by_size: BTreeSet<(u64, u64)>,
    pages: u64,
}

impl Runs {
    fn load(&mut self, sorted_ids: impl IntoIterator<Item = u64>) {
        let mut runs: Vec<(u64, u64)> = Vec::new();
        self.pages = 0;
        for id in sorted_ids {
            self.pages += 1;
            match runs.last_mut() {
                Some((first, pages)) if *first + *pages == id => *pages += 1,
                Some((first, pages)) if *first + *pages > id => {
                    panic!("invariant: free pages come ascending, each once, but page {id} does not")
                }
                _ => runs.push((id, 1)),
            }
        }
        self.by_size = runs.iter().map(|&(first, pages)| (pages, first)).collect();
        self.by_start = runs.into_iter().collect();
    }

    /// The front of the shortest run that fits.
    fn allocate(&mut self, n: u64, work: &mut u64) -> Option<u64> {
        *work += 1;
        let &(pages, first) = self.by_size.range((n, 0)..).next()?;
        self.remove(first, pages);
        if pages > n {
            *work += 1;
            self.insert(first + n, pages - n);
        }
        Some(first)
    }

    /// Adds a run and joins it with its neighbours.
    fn add(&mut self, mut first: u64, mut pages: u64, work: &mut u64) {
        *work += 1;
        if let Some((&before, &length)) = self.by_start.range(..first).next_back()
            && before + length == first
        {
            *work += 1;
            self.remove(before, length);
            (first, pages) = (before, length + pages);
        }
        if let Some(&length) = self.by_start.get(&(first + pages)) {
            *work += 1;
            self.remove(first + pages, length);
            pages += length;
        }
        self.insert(first, pages);
    }

    fn insert(&mut self, first: u64, pages: u64) {
        self.by_start.insert(first, pages);
        self.by_size.insert((pages, first));
        self.pages += pages;
    }

    fn remove(&mut self, first: u64, pages: u64) {
        self.by_start.remove(&first);
        self.by_size.remove(&(pages, first));
        self.pages -= pages;
    }

    fn touches(&self, first: u64, n: u64) -> bool {
        self.by_start.range(..first + n).next_back().is_some_and(|(&at, &pages)| at + pages > first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use FreelistKind::{Array, Hashmap};

    const KINDS: [FreelistKind; 2] = [Array, Hashmap];

    fn list(kind: FreelistKind, ids: &[u64]) -> Freelist {
        let mut list = Freelist::new(kind);
        list.load(ids.iter().copied());
        list
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
