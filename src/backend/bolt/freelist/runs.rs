//! Free pages as runs of neighbours, by length and by start: bbolt's hashmap with ordered maps.

use std::collections::{BTreeMap, BTreeSet};

/// Free pages as bbolt's hashmap keeps them: as runs that no free page adjoins.
#[derive(Debug, Default)]
pub(super) struct Runs {
    /// First page → pages.
    pub(super) by_start: BTreeMap<u64, u64>,
    /// (pages, first page).
    by_size: BTreeSet<(u64, u64)>,
    pub(super) pages: u64,
    /// Where [`Runs::next`] goes on.
    hand: u64,
}

impl Runs {
    pub(super) fn load(&mut self, sorted_ids: impl IntoIterator<Item = u64>) {
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
    pub(super) fn allocate(&mut self, n: u64, work: &mut u64) -> Option<u64> {
        *work += 1;
        let &(pages, first) = self.by_size.range((n, 0)..).next()?;
        self.remove(first, pages);
        if pages > n {
            *work += 1;
            self.insert(first + n, pages - n);
        }
        Some(first)
    }

    /// All of the shortest run of at least `n` pages, as (first, pages).
    pub(super) fn reserve(&mut self, n: u64, work: &mut u64) -> Option<(u64, u64)> {
        *work += 1;
        let &(pages, first) = self.by_size.range((n, 0)..).next()?;
        self.remove(first, pages);
        Some((first, pages))
    }

    /// All of the first run from where the last one ended, round and round, as (first, pages).
    pub(super) fn next(&mut self, work: &mut u64) -> Option<(u64, u64)> {
        *work += 1;
        let next = self.by_start.range(self.hand..).next().or_else(|| self.by_start.first_key_value());
        let (&first, &pages) = next?;
        self.remove(first, pages);
        self.hand = first + pages;
        Some((first, pages))
    }

    /// Adds what is left of a run from [`Runs::reserve`] or [`Runs::next`], which will come next.
    pub(super) fn give_back(&mut self, first: u64, pages: u64, work: &mut u64) {
        if self.hand == first + pages {
            self.hand = first;
        }
        self.add(first, pages, work);
    }

    /// Adds a run and joins it with its neighbours.
    pub(super) fn add(&mut self, mut first: u64, mut pages: u64, work: &mut u64) {
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

    pub(super) fn touches(&self, first: u64, n: u64) -> bool {
        self.by_start.range(..first + n).next_back().is_some_and(|(&at, &pages)| at + pages > first)
    }
}
