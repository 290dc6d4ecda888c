//! The compactor: what a compaction made unreadable is removed in batches with pauses between them (lesson 11).
//!
//! Entry and pause are etcd's (1,000 records, 10 ms), so that a compaction of a million records takes ten seconds in
//! which everything else goes on. A crash in between is no matter: the revision that was scheduled stands in the
//! backend, and the next start goes on.

use super::{Effects, Member, StopReason, TraceEvent};
use crate::time::{Nanos, Now};

#[derive(Debug, Default)]
pub(super) struct Compactor {
    /// When the next slice may begin.
    next_at: Nanos,
}

impl Member {
    pub(super) fn compaction_wakes_at(&self) -> Nanos {
        if self.may_compact() { self.compactor.next_at } else { Nanos::MAX }
    }

    /// A range that is being served may have to read what would be removed.
    fn may_compact(&self) -> bool {
        let to = self.state.store.compacting_to();
        to.is_some_and(|to| !self.reads.reads_before(to)) && !self.store_is_held()
    }

    /// Removes a slice of records, if there is anything to remove and the pause is over.
    pub(super) fn run_compactor(&mut self, now: Now, fx: &mut Effects) {
        if !self.may_compact() || now.mono < self.compactor.next_at || fx.stop.is_some() {
            return;
        }
        let records = self.config.compaction_batch as Nanos;
        match self.state.store.compact_slice() {
            Ok(done) => fx.trace.extend(done.map(TraceEvent::CompactionDone)),
            Err(error) => fx.stop = Some(StopReason::Backend(error)),
        }
        self.compactor.next_at = now.mono + self.config.compaction_pause;
        self.occupy_apply_loop(now, |costs| costs.record * records);
    }
}
