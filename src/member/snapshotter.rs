//! The snapshotter: every `snapshot_count` applied entries the log may forget what the backend holds durably.
//!
//! What a snapshot file holds depends on the engine: the memory engine's whole store, or, beside a database that holds
//! the store already, only the records of the cluster that etcd 3.4 keeps outside it.
//!
//! The order binds: the backend is durable up to the snapshot's index, then the file is, before the WAL names it; and
//! only then may Raft drop entries and the WAL drop segments. `snapshot_catchup` entries stay in memory, so that a
//! follower that lags a little needs no snapshot; WAL segments stay as far back as the oldest snapshot file kept, so that
//! a restart can fall back on it.

use super::{Effects, Member, StopReason, TraceEvent};
use crate::disk::{OpId, OpSink};
use crate::raft::SnapshotMeta;
use crate::snap;
use crate::time::Now;

#[derive(Debug, Default)]
pub(super) struct Snapshotter {
    /// Index of the newest snapshot; 0 if there is none.
    newest: u64,
    saving: Option<Saving>,
    /// An operator asked for one.
    demanded: bool,
    /// One is due: the backend is to become durable first.
    due: bool,
}

#[derive(Debug)]
struct Saving {
    meta: SnapshotMeta,
    /// Operations not yet done.
    awaited: Vec<OpId>,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The file's bytes.
    File,
    /// The file's name.
    Name,
    /// The WAL's record of it.
    Record,
}

impl Snapshotter {
    /// `newest` is the index of the snapshot that a member starts with; 0 for none.
    pub(super) fn new(newest: u64) -> Snapshotter {
        Snapshotter { newest, ..Snapshotter::default() }
    }

    pub(super) fn demand(&mut self) {
        self.demanded = true;
    }

    /// Whether one waits for entries to be applied, or for the disk.
    pub(super) fn has_business(&self) -> bool {
        self.demanded || self.due || self.saving.is_some()
    }
}

impl Member {
    /// Whether so much was applied since the newest snapshot that the next one is due.
    pub(super) fn snapshot_is_due(&self) -> bool {
        self.state.store.consistent_index() > self.snapshotter.newest + self.config.snapshot_count
    }

    /// Begins a snapshot if one is due.
    pub(super) fn run_snapshotter(&mut self, now: Now, fx: &mut Effects) {
        if self.snapshotter.saving.is_some() || self.store_is_replaced() || fx.stop.is_some() {
            return;
        }
        let last = self.snapshotter.newest;
        let demanded = self.snapshotter.demanded && self.state.store.consistent_index() > last;
        let due = self.snapshot_is_due() || demanded;
        if due && !self.snapshotter.due {
            self.snapshotter.due = true;
            self.snapshotter.demanded = false;
            self.committer.demand();
            self.run_committer(now, fx);
        }
        // In the log the entry is known; below a restart's consistent index it may not be yet.
        let durable = self.committer.durable();
        if self.snapshotter.due && durable.index > last && self.raft.applied() >= durable.index {
            self.snapshotter.due = false;
            let conf = self.membership.at(durable.index).0.clone();
            self.save_snapshot(SnapshotMeta { index: durable.index, term: durable.term, conf }, fx);
        }
    }

    fn save_snapshot(&mut self, meta: SnapshotMeta, fx: &mut Effects) {
        let data = match self.snapshot_data(meta.index) {
            Ok(data) => data,
            Err(error) => {
                fx.stop = Some(StopReason::Backend(error));
                return;
            }
        };
        self.charge(fx, |costs| costs.kib * (data.len() as u64 / 1024));
        let awaited = snap::write(&meta, &data, &mut OpSink::new(&mut fx.disk, &mut self.next_op));
        self.snapshotter.saving = Some(Saving { meta, awaited, stage: Stage::File });
    }

    /// A disk operation is done; if it was the last that the snapshot waited for, the next stage begins.
    pub(super) fn snapshot_op_done(&mut self, op: OpId, fx: &mut Effects) {
        let Some(saving) = &mut self.snapshotter.saving else { return };
        let Some(at) = saving.awaited.iter().position(|&awaited| awaited == op) else { return };
        saving.awaited.swap_remove(at);
        if !saving.awaited.is_empty() {
            return;
        }
        let mut ops = OpSink::new(&mut fx.disk, &mut self.next_op);
        match saving.stage {
            Stage::File => {
                saving.stage = Stage::Name;
                saving.awaited = snap::publish(&saving.meta, &mut ops);
                return;
            }
            Stage::Name => {
                saving.stage = Stage::Record;
                saving.awaited = vec![self.wal.save_snapshot(&saving.meta, &mut ops)];
                return;
            }
            Stage::Record => {}
        }
        let meta = self.snapshotter.saving.take().expect("invariant: checked above").meta;
        // A leader's snapshot may have come in between and gone further.
        if self.snapshotter.newest < meta.index {
            self.raft.set_snapshot(meta.clone());
            self.raft.compact(meta.index.saturating_sub(self.config.snapshot_catchup));
            fx.trace.push(TraceEvent::SnapshotSaved { index: meta.index });
            self.keep(&meta, fx);
        }
    }

    /// Remembers a snapshot that is saved, and removes what no restart can need any more.
    pub(super) fn keep(&mut self, meta: &SnapshotMeta, fx: &mut Effects) {
        self.snapshotter.newest = meta.index;
        self.membership.forget_before(meta.index);
        let mut ops = OpSink::new(&mut fx.disk, &mut self.next_op);
        if let Some(oldest) = snap::purge(&*self.disk, self.config.max_snapshots, &mut ops) {
            self.wal.release(oldest, self.config.max_wals, &mut ops);
        }
    }
}
