//! The committer: every 100 ms or 10,000 writes the backend's batch becomes durable (lesson 03).
//!
//! The log already remembers what the batch holds, so nobody waits for this but the apply loop, which in etcd shares a
//! lock with it: while a batch is on its way to the disk, nothing is applied. A slow disk under the database therefore
//! shows as a growing backlog, never as a silent leader.

use super::{Effects, Member, StopReason, TraceEvent};
use crate::disk::{OpId, OpSink};
use crate::mvcc::Applied;
use crate::time::{Nanos, Now};

#[derive(Debug, Default)]
pub(super) struct Committer {
    /// When the batch goes out at the latest.
    due_at: Nanos,
    /// Someone cannot wait for that.
    demanded: bool,
    /// The batch that is out: when it left, and the last applied entry in it.
    out: Option<(Nanos, Applied)>,
    /// The last applied entry that is durable in the backend.
    durable: Applied,
    /// Free pages looked at so far, as far as that was charged.
    looked_at: u64,
}

impl Committer {
    /// What a member finds durable at start.
    pub(super) fn new(durable: Applied) -> Committer {
        Committer { durable, ..Committer::default() }
    }

    /// Lets the batch go out now.
    pub(super) fn demand(&mut self) {
        self.demanded = true;
    }

    /// The last applied entry that is durable in the backend.
    pub(super) fn durable(&self) -> Applied {
        self.durable
    }
}

impl Member {
    /// Whether no batch may go out: one is under way, or the file is copied or replaced. (While a snapshot takes the
    /// database's name, a batch of the old one would land in the new file.)
    pub(super) fn batch_is_held(&self) -> bool {
        self.state.store.engine().committing() || self.copying() || self.store_is_replaced()
    }

    pub(super) fn commit_wakes_at(&self) -> Nanos {
        let waits = self.state.store.engine().batched() > 0 && !self.batch_is_held();
        if waits { self.committer.due_at } else { Nanos::MAX }
    }

    /// Sends the batch out if it is due.
    pub(super) fn run_committer(&mut self, now: Now, fx: &mut Effects) {
        let writes = self.state.store.engine().batched();
        if self.batch_is_held() || fx.stop.is_some() {
            return;
        }
        if writes == 0 {
            // The interval counts from the first write of a batch.
            self.committer.due_at = now.mono + self.config.batch_interval;
            if std::mem::take(&mut self.committer.demanded) {
                self.committer.durable = self.state.store.applied();
            }
            return;
        }
        let due = self.committer.demanded || now.mono >= self.committer.due_at || writes >= self.config.batch_limit;
        if !due {
            return;
        }
        self.committer.demanded = false;
        let mut ops = OpSink::new(&mut fx.disk, &mut self.next_op);
        let before = ops.bytes();
        if let Err(error) = self.state.store.engine_mut().commit_batch(&mut ops) {
            fx.stop = Some(StopReason::Backend(error));
            return;
        }
        let written = ops.bytes() - before;
        let applied = self.state.store.applied();
        self.committer.out = Some((now.mono, applied));
        // Splitting and writing pages is CPU time of the loop that applies, not of the one that keeps the lead.
        let looked_at = self.state.store.engine().stats().freelist_work;
        let more = looked_at.saturating_sub(std::mem::replace(&mut self.committer.looked_at, looked_at));
        self.occupy_apply_loop(now, |costs| costs.kib * (written / 1024) + costs.free_page * more);
        fx.trace.push(TraceEvent::BatchStarted { writes, index: applied.index });
    }

    /// A disk operation of the backend is done.
    pub(super) fn batch_done(&mut self, now: Now, fx: &mut Effects) {
        let (since, applied) = self.committer.out.take().expect("invariant: a batch that is done went out");
        self.committer.durable = applied;
        self.committer.due_at = now.mono + self.config.batch_interval;
        fx.trace.push(TraceEvent::BatchDone { took: now.mono - since });
    }

    /// Hands a finished disk operation to the engine, and on to whoever waits for what it completed.
    pub(super) fn backend_op_done(&mut self, now: Now, op: OpId, fx: &mut Effects) {
        use crate::backend::Finished;
        let mut ops = OpSink::new(&mut fx.disk, &mut self.next_op);
        match self.state.store.engine_mut().op_done(op, &mut ops) {
            Ok(Finished::Nothing) => {}
            Ok(Finished::Commit) => self.batch_done(now, fx),
            Ok(Finished::Defrag) => self.defrag_done(now, fx),
            Err(error) => fx.stop = Some(StopReason::Backend(error)),
        }
    }
}
