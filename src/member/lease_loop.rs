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
//! Keepalives and questions about what is left are the leader's to answer. Left out: sending them on from another
//! member, which answers that it is not the leader.

use super::{Effects, Member, TraceEvent};
use crate::api::{AuthError, Credentials, Error, Request, RequestId, Response};
use crate::apply::{self, State};
use crate::bug::Bug;
use crate::lease::{LeaseError, Renewal};
use crate::pb::etcdserverpb::{
    LeaseCheckpoint, LeaseCheckpointRequest, LeaseKeepAliveResponse, LeaseLeasesResponse, LeaseRevokeRequest,
    LeaseStatus, LeaseTimeToLiveRequest, LeaseTimeToLiveResponse,
};
use crate::raft::EntryKind;
use crate::time::{MILLISECOND, Nanos, Now};
use std::collections::VecDeque;

/// How often the leader looks for expired leases.
const INTERVAL: Nanos = 500 * MILLISECOND;

#[derive(Debug, Default)]
pub(super) struct LeaseLoop {
    /// When a primary looks again.
    next_at: Nanos,
    /// Keepalives that wait until a lease is revoked or a checkpoint is cleared.
    keepalives: VecDeque<KeepAlive>,
}

#[derive(Debug)]
struct KeepAlive {
    id: RequestId,
    lease: i64,
    deadline: Nanos,
}

impl Member {
    pub(super) fn lease_wakes_at(&self) -> Nanos {
        let loop_ = &self.lease_loop;
        let waits = loop_.keepalives.front().map_or(Nanos::MAX, |keepalive| keepalive.deadline);
        let counts = self.state.lessor.is_primary() && !self.state.lessor.is_empty();
        if counts { waits.min(loop_.next_at) } else { waits }
    }

    /// Lets go of leases that another member counts. Called by the raft loop, which may be late: it waits for the disk.
    pub(super) fn demote_if_deposed(&mut self) {
        if self.state.lessor.is_primary() && !self.is_leader() {
            self.state.lessor.demote();
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
            self.lease_loop.next_at = now.mono + INTERVAL;
            // The rate is that of a second, and the loop comes by twice in it.
            let expired = self.state.lessor.expired(now.mono, self.config.lease_revoke_rate / 2);
            if self.config.bugs.on(Bug::StaleLeaderRevokes) {
                self.revoke_expired(&expired);
            } else if !expired.is_empty() {
                self.confirm_leadership(now, expired);
            }
            let checkpoints = self.state.lessor.due_checkpoints(now.mono);
            self.propose_checkpoints(checkpoints);
        }
        self.answer_keepalives(now, fx);
    }

    /// A majority says that this member leads: what has expired is over.
    pub(super) fn revoke_expired(&mut self, leases: &[i64]) {
        if !self.state.lessor.is_primary() {
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

    fn propose_checkpoints(&mut self, checkpoints: Vec<LeaseCheckpoint>) {
        if checkpoints.is_empty() {
            return;
        }
        let data = apply::encode_checkpoints(self.writes.take_number(), LeaseCheckpointRequest { checkpoints });
        let _ = self.raft.propose(EntryKind::Normal, data.into());
    }

    pub(super) fn on_keepalive(&mut self, now: Now, id: RequestId, lease: i64, fx: &mut Effects) {
        let deadline = now.mono + self.config.request_timeout();
        self.lease_loop.keepalives.push_back(KeepAlive { id, lease, deadline });
        self.answer_keepalives(now, fx);
    }

    fn answer_keepalives(&mut self, now: Now, fx: &mut Effects) {
        for _ in 0..self.lease_loop.keepalives.len() {
            let Some(keepalive) = self.lease_loop.keepalives.pop_front() else { return };
            match self.renew(now, &keepalive) {
                Some(reply) => {
                    if let Ok(Response::LeaseKeepAlive(LeaseKeepAliveResponse { ttl: 1.., id: lease, .. })) = reply {
                        fx.trace.push(TraceEvent::LeaseRenewed { lease });
                    }
                    fx.replies.push((keepalive.id, reply));
                }
                None => self.lease_loop.keepalives.push_back(keepalive),
            }
        }
    }

    /// The answer to a keepalive; `None`: not yet.
    fn renew(&mut self, now: Now, keepalive: &KeepAlive) -> Option<Result<Response, Error>> {
        let ttl = match self.state.lessor.renew(now.mono, keepalive.lease) {
            Ok(Renewal::Renewed(ttl)) => ttl,
            // etcd's way to say that there is no such lease.
            Err(LeaseError::NotFound) => 0,
            Err(_) => return Some(Err(if self.raft.leader() == 0 { Error::NoLeader } else { Error::NotLeader })),
            Ok(_) if keepalive.deadline <= now.mono => return Some(Err(Error::Timeout)),
            Ok(Renewal::Wait) => return None,
            Ok(Renewal::ClearCheckpoint) => {
                self.propose_checkpoints(vec![LeaseCheckpoint { id: keepalive.lease, remaining_ttl: 0 }]);
                return None;
            }
        };
        let header = self.header(self.state.store.revision());
        Some(Ok(Response::LeaseKeepAlive(LeaseKeepAliveResponse { header, id: keepalive.lease, ttl })))
    }

    pub(super) fn on_time_to_live(
        &mut self,
        now: Now,
        id: RequestId,
        who: &Credentials,
        request: LeaseTimeToLiveRequest,
        fx: &mut Effects,
    ) {
        if request.keys
            && let Err(error) = self.may_see_keys(now, who, request.id)
        {
            fx.replies.push((id, Err(error.into())));
            return;
        }
        let header = self.header(self.state.store.revision());
        let absent = LeaseTimeToLiveResponse { header, id: request.id, ttl: -1, granted_ttl: 0, keys: Vec::new() };
        let response = match self.state.lessor.time_to_live(now.mono, request.id) {
            Ok(life) => {
                let keys = if request.keys { life.keys } else { Vec::new() };
                Ok(LeaseTimeToLiveResponse { ttl: life.ttl, granted_ttl: life.granted_ttl, keys, ..absent })
            }
            Err(LeaseError::NotFound) if self.state.lessor.is_primary() => Ok(absent),
            Err(_) => Err(if self.raft.leader() == 0 { Error::NoLeader } else { Error::NotLeader }),
        };
        fx.replies.push((id, response.map(Response::LeaseTimeToLive)));
    }

    fn may_see_keys(&mut self, now: Now, who: &Credentials, lease: i64) -> Result<(), AuthError> {
        let info = self.info(now, who)?;
        let State { auth, lessor, .. } = &self.state;
        auth.check_lease_keys(&info, lease, &|lease| lessor.keys(lease).cloned().collect())
    }

    pub(super) fn on_leases(&mut self, id: RequestId, fx: &mut Effects) {
        let leases = self.state.lessor.leases().into_iter().map(|id| LeaseStatus { id }).collect();
        let header = self.header(self.state.store.revision());
        fx.replies.push((id, Ok(Response::LeaseLeases(LeaseLeasesResponse { header, leases }))));
    }
}
