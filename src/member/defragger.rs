//! Defragmentation: the database is copied into a dense file that takes its place (lesson 13).
//!
//! ```text
//!   asked ─▶ the batch becomes durable ─▶ copy, slice by slice ─▶ sync, rename over db ─▶ answered
//!            └──────────── nothing is applied and nothing read: the store is held ──────────┘
//! ```
//!
//! etcd holds its locks all that time, and so a defragmentation of a large file stops a member's clients for as long as
//! the copy takes. The raft loop runs on: the member keeps its lead and acknowledges entries.

use super::{Effects, Member, StopReason, TraceEvent, with_header};
use crate::api::{RequestId, Response};
use crate::bug::Bug;
use crate::disk::OpSink;
use crate::time::{Nanos, Now};
use std::collections::VecDeque;

/// Bytes that one slice copies.
const SLICE: usize = 256 << 10;

#[derive(Debug, Default)]
pub(super) struct Defragger {
    /// Who asked and has not been answered.
    asked: VecDeque<RequestId>,
    stage: Stage,
    since: Nanos,
    /// When the next slice may begin.
    next_at: Nanos,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Idle,
    /// The batch is to become durable first.
    Committing,
    /// Pairs go into the dense file.
    Copying,
    /// The dense file becomes durable and gets its name.
    Naming,
}

impl Defragger {
    pub(super) fn ask(&mut self, id: RequestId) {
        self.asked.push_back(id);
    }

    /// Whether pairs are still to be copied.
    pub(super) fn has_more(&self) -> bool {
        self.stage == Stage::Copying
    }

    /// Whether somebody wants one, or waits for the one that has begun.
    pub(super) fn has_business(&self) -> bool {
        self.stage != Stage::Idle || !self.asked.is_empty()
    }

    pub(super) fn wakes_at(&self) -> Nanos {
        if self.stage == Stage::Copying { self.next_at } else { Nanos::MAX }
    }
}

impl Member {
    /// Whether a defragmentation has begun: nothing may be applied, lest it miss the batch before the copy, and a
    /// snapshot must not take the name `db`.
    pub(super) fn defragmenting(&self) -> bool {
        self.defragger.stage != Stage::Idle
    }

    /// Whether a dense file is being made: no batch must go out.
    pub(super) fn copying(&self) -> bool {
        matches!(self.defragger.stage, Stage::Copying | Stage::Naming)
    }

    #[inline(always)]
    pub(super) fn run_defragger(&mut self, now: Now, fx: &mut Effects) {
        if self.defragger.has_business() && fx.stop.is_none() {
            self.defragment(now, fx);
        }
    }

    #[inline(never)] // See `Member::run`.
    fn defragment(&mut self, now: Now, fx: &mut Effects) {
        if self.defragger.stage == Stage::Idle && !self.defragger.asked.is_empty() && !self.store_is_held() {
            self.defragger.stage = Stage::Committing;
            self.defragger.since = now.mono;
            if self.config.bugs.on(Bug::DefragSkipsCiHook) {
                // The commit before the copy went past the hook that writes the consistent index (etcd #14685).
                let durable = self.committer.durable();
                self.stop_on_error(|member| member.state.store.write_marks(durable), fx);
            }
            self.committer.demand();
            self.run_committer(now, fx);
        }
        if self.defragger.stage == Stage::Committing && !self.state.store.engine().committing() {
            fx.trace.push(TraceEvent::DefragStarted { size: self.state.store.engine().stats().size });
            self.defragger.stage = Stage::Copying;
            self.defragger.next_at = now.mono;
            let mut ops = OpSink::new(&mut fx.disk, &mut self.next_op);
            if let Err(error) = self.state.store.engine_mut().begin_defrag(&mut ops) {
                fx.stop = Some(StopReason::Backend(error));
                return;
            }
        }
        // With nothing left to copy, it still waits for the images that are being read of the old file.
        if self.copying() && !self.store_is_replaced() && now.mono >= self.defragger.next_at {
            self.copy_slice(now, fx);
        }
    }

    fn copy_slice(&mut self, now: Now, fx: &mut Effects) {
        let mut ops = OpSink::new(&mut fx.disk, &mut self.next_op);
        match self.state.store.engine_mut().defrag_slice(SLICE, &mut ops) {
            Ok(true) => self.defragger.stage = Stage::Naming,
            Ok(false) => {}
            Err(error) => fx.stop = Some(StopReason::Backend(error)),
        }
        let cost = self.config.costs.map_or(0, |costs| costs.kib * (SLICE as u64 / 1024));
        self.defragger.next_at = now.mono + cost;
    }

    /// The dense file is in use.
    pub(super) fn defrag_done(&mut self, now: Now, fx: &mut Effects) {
        let Defragger { asked, since, .. } = std::mem::take(&mut self.defragger);
        fx.trace.push(TraceEvent::DefragDone { size: self.state.store.engine().stats().size, took: now.mono - since });
        let header = self.header(self.state.store.revision());
        fx.replies.extend(asked.into_iter().map(|id| (id, Ok(with_header(Response::Defragment, header)))));
    }
}
