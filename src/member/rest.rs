//! Rest: the loops that most steps do not concern are not asked in them.
//!
//! Most steps carry Raft's messages, saves that are done, and reads and writes of keys. The raft loop, the apply loop,
//! the committer and the read loop live on these; the others compact, lease, watch, hash, copy, or wait for somebody to
//! want that. Asking all of them costs more than such a step itself: not by what they do, but by the code that has to
//! come into the processor's cache for it. So they are asked only if
//!
//! - something **stirs** them ([`Member::stir`]): an input of another kind ([`Input::stirs`]), an event of Raft
//!   other than that its log grew, a snapshot, an entry that changes more than keys, a job; or
//! - one of them has **business** that an input of the usual kind may move on: it waits for the disk, for the apply
//!   loop, for another member; or
//! - the **moment** has come at which one of them wants to be woken.
//!
//! A step that lets them rest must leave them with nothing to do. In debug builds every such step looks.

use super::{Effects, Input, Member};
use crate::api::{Request, Response};
use crate::raft::RaftEvent;
use crate::time::{Nanos, Now};

/// Until when the other loops rest. At first they do not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Rest {
    /// Unless they are stirred; 0: they are to be asked in this step.
    until: Nanos,
    /// When one of them wants to be woken.
    wake: Nanos,
}

impl Rest {
    /// When one of them wants to be woken, as of when they were last asked.
    pub(super) fn wakes_at(self) -> Nanos {
        self.wake
    }
}

impl Input {
    /// Whether it concerns more than Raft, the log and keys.
    pub(super) fn stirs(&self) -> bool {
        match self {
            Input::Message(_) | Input::Disk(_) | Input::Deadline => false,
            Input::Request(_, request) => {
                !matches!(**request, Request::Range(_) | Request::Put(_) | Request::DeleteRange(_) | Request::Txn(_))
            }
            _ => true,
        }
    }
}

/// Whether an entry with this outcome concerns more than keys.
pub(super) fn outcome_stirs(response: &Response) -> bool {
    !matches!(response, Response::Range(_) | Response::Put(_) | Response::DeleteRange(_) | Response::Txn(_))
}

/// Whether an event of Raft concerns more than the log.
pub(super) fn event_stirs(event: &RaftEvent) -> bool {
    !matches!(event, RaftEvent::Appended { .. } | RaftEvent::Committed { .. })
}

impl Member {
    /// Has the other loops asked from here to the end of the step.
    pub(super) fn stir(&mut self) {
        self.rest.until = 0;
    }

    /// Whether the other loops are to be asked.
    pub(super) fn is_stirred(&self, now: Now) -> bool {
        self.rest.until <= now.mono
    }

    #[inline(never)] // See `Member::run`.
    pub(super) fn run_before_committer(&mut self, now: Now, fx: &mut Effects) {
        self.run_auth_loop(now, fx);
        self.run_compactor(now, fx);
    }

    #[inline(never)] // See `Member::run`.
    pub(super) fn run_before_reads(&mut self, now: Now, fx: &mut Effects) {
        self.run_defragger(now, fx);
        // What was applied can let a snapshot begin.
        self.run_snapshotter(now, fx);
        self.run_sender(now, fx);
        self.run_imager(now, fx);
        self.run_lease_loop(now, fx);
        self.run_auto_compactor(now, fx);
    }

    #[inline(never)] // See `Member::run`.
    pub(super) fn run_last(&mut self, now: Now, fx: &mut Effects) {
        self.run_watch_loop(now, fx);
        self.run_hasher(now, fx);
        self.run_corruption_check(now, fx);
        self.run_membership(now, fx);
    }

    /// The end of a step in which they were asked, or not.
    #[inline(always)]
    pub(super) fn settle(&mut self, now: Now) {
        if self.is_stirred(now) {
            self.rest = self.rest_from(now);
        } else {
            // As if its loop had come by.
            self.watch_loop.nobody_lags(now);
            debug_assert_eq!(self.rest, self.rest_from(now), "invariant: what stirs loops at rest says so");
        }
    }

    #[inline(never)] // See `Member::run`.
    fn rest_from(&self, now: Now) -> Rest {
        let wakes = [
            self.compaction_wakes_at(),
            self.auto_compaction_wakes_at(),
            self.defragger.wakes_at(),
            self.installer.wakes_at(),
            self.sender.wakes_at(),
            self.lease_wakes_at(now),
            self.quota.wake_at(),
            self.hasher_wakes_at(),
            self.corruption_wakes_at(),
            self.watch_wakes_at(),
            self.auth_loop.wake_at(),
            self.membership.wakes_at(),
        ];
        let wake = wakes.into_iter().min().expect("invariant: the list is not empty");
        let until = if self.has_business() { 0 } else { wake.min(self.lease_rests_until()) };
        Rest { until, wake }
    }

    /// Whether one of the other loops has begun something, or waits for what an input of the usual kind may bring.
    fn has_business(&self) -> bool {
        self.store_is_replaced()
            || self.auth_loop.has_business()
            || self.state.store.compacting_to().is_some()
            || self.defragger.has_business()
            || self.snapshotter.has_business()
            || self.snapshot_is_due()
            || self.sender.has_business()
            || self.imager.has_business()
            || self.lease_has_business()
            || self.watch_loop.has_business()
            || self.hasher.has_business()
            || self.corruption.has_business()
            || self.membership.has_business()
    }
}
