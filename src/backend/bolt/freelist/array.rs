//! Free pages as one ascending array: bbolt's older way.

/// Free pages as bbolt's array keeps them.
#[derive(Debug, Default)]
pub(super) struct Array {
    /// Ascending. Those before `head` are gone.
    pub(super) ids: Vec<u64>,
    head: usize,
}

impl Array {
    pub(super) fn ids(&self) -> &[u64] {
        &self.ids[self.head..]
    }

    pub(super) fn load(&mut self, sorted_ids: impl IntoIterator<Item = u64>) {
        self.ids = sorted_ids.into_iter().collect();
        self.head = 0;
        assert!(self.ids.is_sorted_by(|a, b| a < b), "invariant: free pages come ascending, each once");
    }

    /// The lowest run of `n` pages, found by walking.
    pub(super) fn allocate(&mut self, n: u64, work: &mut u64) -> Option<u64> {
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
    pub(super) fn merge(&mut self, released: &[(u64, u64)], work: &mut u64) {
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

    pub(super) fn touches(&self, first: u64, n: u64) -> bool {
        let at = self.ids().partition_point(|&id| id < first);
        self.ids().get(at).is_some_and(|&id| id < first + n)
    }
}
