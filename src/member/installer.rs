//! The installer: a leader's snapshot takes the place of the database.
//!
//! By the time it comes here the snapshot is durable, under a name of its own: the raft loop has seen to that. It waits
//! its turn in the apply loop's queue, behind the entries that were committed before it.
//!
//! ```text
//!   its turn ─▶ rename <index>.snap.db over db ─▶ sync dir ─▶ restore the index, slice by slice ─▶ the new store serves
//!               └──────────────── the store is held: nothing applied, nothing read ────────────┘
//! ```
//!
//! A crash in between is no matter: the start looks whether the database reaches as far as the newest snapshot, and
//! fetches the `.snap.db` if it does not.

use super::storage::{copy_file, db_file, open_database};
use super::{Effects, Member, StopReason, TraceEvent};
use crate::apply::{RestoringState, State};
use crate::backend::{BackendError, Engine, EngineConfig, Memory};
use crate::bug::Bug;
use crate::cluster::Cluster;
use crate::disk::{FileName, OpId, OpSink};
use crate::mvcc::{RestoreError, Store};
use crate::raft::{Snapshot, SnapshotMeta};
use crate::snap::{self, db, db::SnapDb};
use crate::time::{Nanos, Now};

#[derive(Debug, Default)]
pub(super) struct Installer {
    /// A database that the raft loop receives.
    receiving: Option<SnapDb>,
    stage: Stage,
    /// When the next slice may begin.
    next_at: Nanos,
}

#[derive(Debug, Default)]
enum Stage {
    #[default]
    Idle,
    /// The received database gets the name `db`.
    Naming { meta: SnapshotMeta, awaited: OpId },
    /// Its index is rebuilt.
    Restoring { meta: SnapshotMeta, restoring: Box<RestoringState> },
}

impl Installer {
    /// A database is being received.
    pub(super) fn receive(&mut self, database: SnapDb) {
        self.receiving = Some(database);
    }

    /// The database that was being received: its bytes are durable.
    pub(super) fn received(&mut self) -> Option<SnapDb> {
        self.receiving.take()
    }

    pub(super) fn wakes_at(&self) -> Nanos {
        if matches!(self.stage, Stage::Restoring { .. }) { self.next_at } else { Nanos::MAX }
    }
}

impl Member {
    /// Whether a snapshot is taking the store's place: it can be neither read nor written.
    pub(super) fn store_is_replaced(&self) -> bool {
        !matches!(self.installer.stage, Stage::Idle)
    }

    /// Whether `snapshot`, which is next in the apply loop's queue, may be installed now.
    pub(super) fn may_install(&self) -> bool {
        // Both rename onto the same database: without waiting, the copy of the old data comes last (etcd #20271).
        let waits = self.defragmenting() && !(self.config.bugs.on(Bug::DefragVsSnapshot) && self.defragger.has_more());
        !waits && !self.state.store.engine().committing() && !self.store_is_replaced()
    }

    /// Begins to replace the store by a leader's snapshot.
    pub(super) fn begin_install(&mut self, now: Now, snapshot: Snapshot, fx: &mut Effects) {
        let Snapshot { meta, data } = snapshot;
        self.stir();
        self.forget_images();
        match self.config.engine {
            EngineConfig::Memory => match Memory::from_image(&data) {
                Ok(engine) => self.begin_restore(now, meta, Box::new(engine), fx),
                Err(error) => fx.stop = Some(StopReason::Snapshot(BackendError::from(error).to_string())),
            },
            EngineConfig::Bolt(_) => {
                let file = self.installed_file();
                let mut ops = OpSink::new(&mut fx.disk, &mut self.next_op);
                ops.rename(&db::file_name(meta.index), &file);
                let awaited = ops.sync_dir(&snap::DIR.into());
                self.installer.stage = Stage::Naming { meta, awaited };
            }
        }
    }

    /// A disk operation is done; if the database has its name now, it is opened.
    pub(super) fn install_op_done(&mut self, now: Now, op: OpId, fx: &mut Effects) {
        let Stage::Naming { awaited, .. } = &self.installer.stage else { return };
        if *awaited != op {
            return;
        }
        let Stage::Naming { meta, .. } = std::mem::take(&mut self.installer.stage) else { return };
        match open_database(&self.config, &self.installed_file(), &self.disk) {
            Ok(engine) => self.begin_restore(now, meta, engine, fx),
            Err(error) => fx.stop = Some(StopReason::Backend(error)),
        }
    }

    fn begin_restore(&mut self, now: Now, meta: SnapshotMeta, engine: Box<dyn Engine>, fx: &mut Effects) {
        let restoring = match RestoringState::new(engine, self.config.store(), self.config.lease()) {
            Ok(restoring) => Box::new(restoring),
            Err(error) => return fx.stop = Some(StopReason::Backend(error)),
        };
        self.installer.stage = Stage::Restoring { meta, restoring };
        self.installer.next_at = now.mono;
        self.run_installer(now, fx);
    }

    /// Restores a slice of the index.
    pub(super) fn run_installer(&mut self, now: Now, fx: &mut Effects) {
        let Stage::Restoring { restoring, .. } = &mut self.installer.stage else { return };
        if now.mono < self.installer.next_at || fx.stop.is_some() {
            return;
        }
        let restored = restoring.step();
        let cost = self.config.costs.map_or(0, |costs| costs.record * self.config.restore_chunk as u64);
        self.installer.next_at = now.mono + cost;
        match restored {
            Ok(false) => {}
            Ok(true) => self.installed(now, fx),
            Err(error) => fx.stop = Some(unreadable(&error)),
        }
    }

    fn installed(&mut self, now: Now, fx: &mut Effects) {
        let Stage::Restoring { meta, restoring } = std::mem::take(&mut self.installer.stage) else { return };
        let State { store: old, auth, .. } = std::mem::replace(&mut self.state, restoring.finish());
        self.state.auth.succeed(auth);
        let stale = old.applied();
        self.watch_loop.watchers.restored(self.state.store.revision());
        self.serve_anew(fx);
        if self.copying() {
            self.finish_copy_of(old, now, fx);
        }
        match Cluster::load(self.state.store.engine()) {
            Ok(cluster) => self.membership.restored(meta.index, meta.conf.clone(), cluster),
            Err(error) => return fx.stop = Some(StopReason::Backend(error)),
        }
        self.raft.applied_to(meta.index);
        self.raft.set_snapshot(meta.clone());
        self.committer = super::committer::Committer::new(self.state.store.applied());
        if self.config.bugs.on(Bug::SnapshotCiOverwritten) {
            // The lessor's loading commits, and whoever knows the index knows that of the old database (etcd #13933).
            self.stop_on_error(|member| member.state.store.write_marks(stale), fx);
            self.committer.demand();
            self.run_committer(now, fx);
        }
        let (revision, hash) = (self.state.store.revision(), self.state.store.hash());
        fx.trace.push(TraceEvent::SnapshotInstalled { index: meta.index, revision, hash });
        self.keep(&meta, fx);
        self.run_apply_loop(now, fx);
    }
}

/// What happens when a snapshot does not wait for a defragmentation (etcd #20271): the copy of the old database is
/// renamed over the new one. The member has that open and goes on in it, though no name leads to it any more; on a disk
/// of names alone it gets one that no start looks for.
impl Member {
    /// What becomes of the received database's file.
    fn installed_file(&self) -> FileName {
        if self.copying() { format!("{}.unlinked", db_file()).into() } else { db_file() }
    }

    /// Ends the defragmentation of a store that was replaced.
    fn finish_copy_of(&mut self, mut old: Store, now: Now, fx: &mut Effects) {
        let mut ops = OpSink::new(&mut fx.disk, &mut self.next_op);
        while matches!(old.engine_mut().defrag_slice(usize::MAX, &mut ops), Ok(false)) {}
        ops.rename(&copy_file(), &db_file());
        ops.sync_dir(&snap::DIR.into());
        self.defrag_done(now, fx);
    }
}

fn unreadable(error: &RestoreError) -> StopReason {
    StopReason::Snapshot(error.to_string())
}
