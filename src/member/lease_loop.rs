//! The lease loop (lesson 06): the leader counts leases down and proposes their ends.
//!
//! ```text
//!   leads, and has applied an entry of its own term ──▶ promote: every lease begins anew
//!   every 500 ms: what has expired ──▶ still the leader? (ReadIndex) ──▶ propose the revokes
//!                 what is left of long leases ─────────────────────────▶ propose a checkpoint
//!   the raft loop notices that it leads no longer ──▶ demote: nothing expires here
//! ```
//!
//! A leader that was deposed may be the last to know: while its disk stalls it looks at nothing. What it takes for expired
//! then was renewed elsewhere, and its proposal would be forwarded to the new leader and agreed on. So leadership is
//! confirmed by a majority before anything is revoked (etcd #15247).
//!
//! Keepalives and questions about what is left wait in [`lease_questions`](super::lease_questions) until this loop comes by.

use super::{Effects, Member, TraceEvent};
use crate::api::{Request, RequestId, Response};
use crate::apply;
use crate::bug::Bug;
use crate::pb::etcdserverpb::{
    LeaseCheckpoint, LeaseCheckpointRequest, LeaseLeasesResponse, LeaseRevokeRequest, LeaseStatus,
};
use crate::raft::EntryKind;
use crate::time::{MILLISECOND, Nanos, Now};

/// How often the leader looks for expired leases.
const INTERVAL: Nanos = 500 * MILLISECOND;

#[derive(Debug, Default)]
pub(super) struct LeaseLoop {
    /// When a primary looks again.
    next_at: Nanos,
}

impl Member {
    pub(super) fn lease_wakes_at(&self, now: Now) -> Nanos {
        let waits = self.lease_questions.wake_at(now.mono);
        let counts = self.state.lessor.is_primary() && !self.state.lessor.is_empty();
        if counts { waits.min(self.lease_loop.next_at) } else { waits }
    }

    /// Whether leases wait for the apply loop to be promoted, or questions for an answer.
    pub(super) fn lease_has_business(&self) -> bool {
        (self.is_leader() && !self.state.lessor.is_primary()) || !self.lease_questions.is_empty()
    }

    /// A primary looks even where there are no leases, and so at the same moments when there are some.
    pub(super) fn lease_rests_until(&self) -> Nanos {
        if self.state.lessor.is_primary() { self.lease_loop.next_at } else { Nanos::MAX }
    }

    /// Lets go of leases that another member counts. Called by the raft loop, which may be late: it waits for the disk.
    pub(super) fn demote_if_deposed(&mut self) {
        if self.state.lessor.is_primary() && !self.is_leader() {
            self.state.lessor.demote();
            self.stir();
        }
    }

    pub(super) fn run_lease_loop(&mut self, now: Now, fx: &mut Effects) {
        // An entry of an earlier term may revoke or renew a lease: they must all have been applied (etcd #6570).
        if self.is_leader()
            && !self.state.lessor.is_primary()
            && !self.store_is_replaced()
            && (self.state.store.applied().term == self.raft.term() || self.config.bugs.on(Bug::PromoteBeforeCatchup))
        {
            self.state.lessor.promote(now.mono, self.config.election_timeout());
            fx.trace.push(TraceEvent::LeasesPromoted { term: self.raft.term() });
            self.lease_loop.next_at = now.mono + INTERVAL;
        }
        if self.state.lessor.is_primary() && self.lease_loop.next_at <= now.mono {
            self.count_down(now);
        }
        self.answer_lease_questions(now, fx);
    }

    #[inline(never)] // See `Member::run`.
    fn count_down(&mut self, now: Now) {
        self.lease_loop.next_at = now.mono + INTERVAL;
        // The rate is that of a second, and the loop comes by twice in it.
        let expired = self.state.lessor.expired(now.mono, self.config.lease_revoke_rate / 2);
        if self.config.bugs.on(Bug::StaleLeaderRevokes) {
            self.revoke_expired(self.raft.term(), &expired);
        } else if !expired.is_empty() {
            self.confirm_leadership(now, expired);
        }
        let checkpoints = self.state.lessor.due_checkpoints(now.mono);
        self.propose_checkpoints(checkpoints);
    }

    /// A majority says that this member leads: what has expired is over. But one that lost the lead and won it again while
    /// the question was out has begun to count anew since, and what had expired in the earlier term lives.
    pub(super) fn revoke_expired(&mut self, term: u64, leases: &[i64]) {
        if !self.state.lessor.is_primary() || self.raft.term() != term {
            return;
        }
        for &id in leases.iter().filter(|id| self.state.lessor.contains(**id)) {
            let number = self.writes.take_number();
            // The member itself asks for it, and auth has to let it.
            let root = self.state.auth.root_info();
            let data = apply::encode_as(&root, number, Request::LeaseRevoke(LeaseRevokeRequest { id }));
            // One that is dropped comes again: the lessor names it anew after three seconds.
            let _ = self.raft.propose(EntryKind::Normal, data.into());
        }
    }

    pub(super) fn propose_checkpoints(&mut self, checkpoints: Vec<LeaseCheckpoint>) {
        if checkpoints.is_empty() {
            return;
        }
        let data = apply::encode_checkpoints(self.writes.take_number(), LeaseCheckpointRequest { checkpoints });
        let _ = self.raft.propose(EntryKind::Normal, data.into());
    }

    pub(super) fn on_leases(&mut self, id: RequestId, fx: &mut Effects) {
        let leases = self.state.lessor.leases().into_iter().map(|id| LeaseStatus { id }).collect();
        let header = self.header(self.state.store.revision());
        fx.replies.push((id, Ok(Response::LeaseLeases(LeaseLeasesResponse { header, leases }))));
    }
}
