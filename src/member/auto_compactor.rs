//! Auto-compaction (lesson 11): the leader forgets history without being asked.
//!
//! - **By time**: what is older than a period. Every tenth of it (of an hour, if it is longer) each member notes its
//!   revision. Nothing is forgotten before the first period is over. From then on the leader compacts to the oldest note
//!   that is kept, the one of a period ago: once in a period, or once in an hour. What could not be proposed, or got lost
//!   with a leader, is tried again a tenth later.
//! - **By revisions**: all but so many, every five minutes.
//!
//! It goes through the log like any other compaction, so all members forget the same.

use super::{Effects, Member};
use crate::api::Request;
use crate::apply;
use crate::pb::etcdserverpb::CompactionRequest;
use crate::raft::EntryKind;
use crate::time::{Nanos, Now, SECOND};
use std::collections::VecDeque;

/// What a leader compacts by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AutoCompaction {
    /// What is older than this.
    Periodic(Nanos),
    /// All but so many revisions.
    Revisions(u32),
}

/// A longer period is not waited for between two compactions.
const INTERVAL_MAX: Nanos = 3600 * SECOND;
/// Notes in an interval.
const NOTES: u64 = 10;
/// How often it is looked how many revisions there are.
const REVISIONS_INTERVAL: Nanos = 300 * SECOND;

#[derive(Debug)]
pub(super) struct AutoCompactor {
    /// When it looks next.
    next_at: Nanos,
    /// Revisions that were noted, oldest first.
    notes: VecDeque<i64>,
    /// The last compaction that worked; the start, before the first one.
    done_at: Nanos,
    /// None has worked yet.
    is_first: bool,
    /// A compaction that was proposed, and when.
    tried: Option<(i64, Nanos)>,
}

impl AutoCompactor {
    pub(super) fn new(now: Nanos) -> AutoCompactor {
        AutoCompactor { next_at: now, notes: VecDeque::new(), done_at: now, is_first: true, tried: None }
    }
}

impl Member {
    pub(super) fn auto_compaction_wakes_at(&self) -> Nanos {
        if self.config.auto_compaction.is_some() { self.auto_compactor.next_at } else { Nanos::MAX }
    }

    /// Looks whether there is something to forget.
    pub(super) fn run_auto_compactor(&mut self, now: Now, fx: &Effects) {
        if now.mono < self.auto_compaction_wakes_at() || fx.stop.is_some() {
            return;
        }
        match self.config.auto_compaction {
            Some(AutoCompaction::Periodic(period)) => self.compact_by_time(now.mono, period),
            Some(AutoCompaction::Revisions(kept)) => self.compact_by_revisions(now.mono, kept),
            None => {}
        }
    }

    fn compact_by_time(&mut self, now: Nanos, period: Nanos) {
        let revision = self.state.store.revision();
        let compacted = self.state.store.compact_revision();
        let interval = period.min(INTERVAL_MAX);
        let gap = (interval / NOTES).max(1);
        let auto = &mut self.auto_compactor;
        if let Some((_, at)) = auto.tried.take_if(|(revision, _)| *revision <= compacted) {
            (auto.done_at, auto.is_first) = (at, false);
        }
        let due = auto.done_at + if auto.is_first { period } else { interval };
        let oldest = auto.notes.front().copied();
        auto.notes.push_back(revision);
        while auto.notes.len() as u64 > period / gap {
            auto.notes.pop_front();
        }
        auto.next_at = now + gap;
        if let Some(oldest) = oldest.filter(|_| due <= now) {
            self.propose_compaction(oldest, now);
        }
    }

    fn compact_by_revisions(&mut self, now: Nanos, kept: u32) {
        let is_start = std::mem::take(&mut self.auto_compactor.is_first);
        self.auto_compactor.next_at = now + REVISIONS_INTERVAL;
        let to = self.state.store.revision() - i64::from(kept);
        if !is_start && to > self.state.store.compact_revision() {
            self.propose_compaction(to, now);
        }
    }

    fn propose_compaction(&mut self, revision: i64, now: Nanos) {
        if !self.is_leader() {
            return;
        }
        let request = Request::Compact(CompactionRequest { revision, physical: false });
        let data = apply::encode(self.writes.take_number(), request);
        if self.raft.propose(EntryKind::Normal, data.into()).is_ok() {
            self.auto_compactor.tried = Some((revision, now));
        }
    }
}
