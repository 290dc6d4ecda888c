//! The apply loop: committed entries become changes of the store, in order, and writes are answered.
//!
//! It runs beside the raft loop and may lag behind it. With a cost table it works in slices of a millisecond, each of
//! which takes as long as its entries cost; other inputs are served between them.

use super::{Effects, Member, StopReason, TraceEvent, with_header};
use crate::api::Error;
use crate::apply;
use crate::raft::Entry;
use crate::time::{MILLISECOND, Nanos, Now};
use std::collections::VecDeque;

/// Work in one slice, in simulated CPU time.
const SLICE: Nanos = MILLISECOND;

#[derive(Debug, Default)]
pub(super) struct ApplyLoop {
    /// Committed, not yet applied.
    queue: VecDeque<Entry>,
    /// The work of the slice before is done at this moment.
    busy_until: Nanos,
}

impl ApplyLoop {
    pub(super) fn push(&mut self, committed: Vec<Entry>) {
        self.queue.extend(committed);
    }

    /// Forgets everything up to `index`: a snapshot replaced it.
    pub(super) fn skip_to(&mut self, index: u64) {
        self.queue.retain(|entry| entry.index > index);
    }

    pub(super) fn wake_at(&self) -> Nanos {
        if self.queue.is_empty() { Nanos::MAX } else { self.busy_until }
    }
}

impl Member {
    /// Applies one slice of what is committed, if the last one is done.
    pub(super) fn run_apply_loop(&mut self, now: Now, fx: &mut Effects) {
        if now.mono < self.apply.busy_until {
            return;
        }
        let mut work = 0;
        while work < SLICE && fx.stop.is_none() {
            let Some(entry) = self.apply.queue.pop_front() else { break };
            if let Some(costs) = &self.config.costs {
                work += costs.apply + costs.kib * (entry.data.len() as u64 / 1024);
            }
            self.apply_entry(&entry, fx);
        }
        self.apply.busy_until = now.mono + work;
    }

    fn apply_entry(&mut self, entry: &Entry, fx: &mut Effects) {
        let applied = match apply::apply(&mut self.store, entry) {
            Ok(applied) => applied,
            Err(error) => {
                fx.stop = Some(StopReason::Backend(error));
                return;
            }
        };
        self.raft.applied_to(entry.index);
        fx.trace.push(TraceEvent::Applied {
            index: entry.index,
            term: entry.term,
            request: applied.request,
            revision: applied.revision,
            hash: self.store.hash(),
        });
        if let Some(client) = self.writes.applied(applied.request) {
            let header = self.header(applied.revision);
            let reply = applied.result.map(|response| with_header(response, header)).map_err(Error::from);
            fx.replies.push((client, reply));
        }
    }
}
