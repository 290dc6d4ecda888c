//! A queue of leases by time: each stands in it at most once.

use crate::time::Nanos;
use std::collections::{BTreeMap, BTreeSet};

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct Queue {
    by_time: BTreeSet<(Nanos, i64)>,
    time_of: BTreeMap<i64, Nanos>,
}

impl Queue {
    /// Puts a lease at `at`, wherever it stood before.
    pub(super) fn set(&mut self, id: i64, at: Nanos) {
        self.remove(id);
        self.by_time.insert((at, id));
        self.time_of.insert(id, at);
    }

    /// Takes a lease out, if it is in.
    pub(super) fn remove(&mut self, id: i64) {
        if let Some(at) = self.time_of.remove(&id) {
            self.by_time.remove(&(at, id));
        }
    }

    /// The first lease whose time has come.
    pub(super) fn due(&self, now: Nanos) -> Option<i64> {
        self.by_time.first().filter(|(at, _)| *at <= now).map(|&(_, id)| id)
    }

    /// Empties the queue.
    pub(super) fn clear(&mut self) {
        *self = Queue::default();
    }
}
