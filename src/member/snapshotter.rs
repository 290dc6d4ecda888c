//! The snapshotter: every `snapshot_count` applied entries the store goes to a file and the log before it goes away.
//!
//! The order binds: the file is durable before the WAL names it, and only then may Raft drop entries and the WAL drop
//! segments. `snapshot_catchup` entries stay in memory, so that a follower that lags a little needs no snapshot; WAL
//! segments stay as far back as the oldest snapshot file kept, so that a restart can fall back on it.

use super::{Effects, Member, TraceEvent};
use crate::backend::{BackendError, Engine, Memory};
use crate::disk::{OpId, OpSink};
use crate::mvcc::{RestoreError, Store};
use crate::raft::{Snapshot, SnapshotMeta};
use crate::snap;
use bytes::Bytes;
use std::collections::VecDeque;

#[derive(Debug, Default)]
pub(super) struct Snapshotter {
    /// The snapshots whose files are kept, oldest first.
    kept: VecDeque<SnapshotMeta>,
    saving: Option<Saving>,
    /// An operator asked for one.
    demanded: bool,
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
    pub(super) fn new(kept: VecDeque<SnapshotMeta>) -> Snapshotter {
        Snapshotter { kept, saving: None, demanded: false }
    }

    pub(super) fn demand(&mut self) {
        self.demanded = true;
    }
}

impl Member {
    /// The store as a snapshot, at the index that it has applied.
    pub(super) fn current_snapshot(&mut self) -> Snapshot {
        let index = self.store.consistent_index();
        let term = self.raft.log().term_of(index).expect("invariant: the log knows the term of the applied index");
        let meta = SnapshotMeta { index, term, conf: self.raft.conf().clone() };
        Snapshot { meta, data: image(self.store.engine_mut()) }
    }

    /// Begins a snapshot if one is due.
    pub(super) fn run_snapshotter(&mut self, fx: &mut Effects) {
        let last = self.snapshotter.kept.back().map_or(0, |meta| meta.index);
        let applied = self.store.consistent_index();
        let due = applied > last + self.config.snapshot_count || (self.snapshotter.demanded && applied > last);
        if !due || self.snapshotter.saving.is_some() || fx.stop.is_some() {
            return;
        }
        self.snapshotter.demanded = false;
        let snapshot = self.current_snapshot();
        self.charge(fx, |costs| costs.kib * (snapshot.data.len() as u64 / 1024));
        let mut ops = OpSink::new(&mut fx.disk, &mut self.next_op);
        let awaited = snap::write(&snapshot.meta, &snapshot.data, &mut ops);
        self.snapshotter.saving = Some(Saving { meta: snapshot.meta, awaited, stage: Stage::File });
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
        if self.snapshotter.kept.back().is_none_or(|newest| newest.index < meta.index) {
            self.raft.set_snapshot(meta.clone());
            self.raft.compact(meta.index.saturating_sub(self.config.snapshot_catchup));
            fx.trace.push(TraceEvent::SnapshotSaved { index: meta.index });
            self.keep(meta, fx);
        }
    }

    /// Replaces the store by a leader's snapshot, which is durable by now.
    pub(super) fn install_snapshot(&mut self, snapshot: &Snapshot, fx: &mut Effects) -> Result<(), RestoreError> {
        let engine = Memory::from_image(&snapshot.data).map_err(BackendError::from)?;
        self.store = Store::restore(Box::new(engine), self.config.store())?;
        self.apply.skip_to(snapshot.meta.index);
        self.raft.applied_to(snapshot.meta.index);
        self.raft.set_snapshot(snapshot.meta.clone());
        let (revision, hash) = (self.store.revision(), self.store.hash());
        fx.trace.push(TraceEvent::SnapshotInstalled { index: snapshot.meta.index, revision, hash });
        self.keep(snapshot.meta.clone(), fx);
        Ok(())
    }

    fn keep(&mut self, meta: SnapshotMeta, fx: &mut Effects) {
        let mut ops = OpSink::new(&mut fx.disk, &mut self.next_op);
        self.snapshotter.kept.push_back(meta);
        while self.snapshotter.kept.len() > self.config.max_snapshots {
            let old = self.snapshotter.kept.pop_front().expect("invariant: more than max_snapshots are kept");
            ops.remove(&snap::file_name(&old));
        }
        if let Some(oldest) = self.snapshotter.kept.front() {
            self.wal.release(oldest.index, self.config.max_wals, &mut ops);
        }
    }
}

fn image(engine: &mut dyn Engine) -> Bytes {
    let mut image = engine.begin_image();
    let whole = engine.image_chunk(&mut image, usize::MAX).expect("invariant: memory can be read");
    engine.end_image(image);
    whole.unwrap_or_default()
}
