//! Writes: from a client's request to an entry, and back to the client when it is applied (lesson 03).
//!
//! A write is numbered, encoded and proposed. Without a leader it waits, as etcd's proposals block; with one that is
//! another member, Raft forwards it. The answer comes from the apply loop. What is not applied in time is answered with
//! a timeout, and may still take effect.

use super::quota::cost_of;
use super::{Config, Effects, Member, TraceEvent};
use crate::api::{Credentials, Error, Request, RequestId, Response, validate};
use crate::apply;
use crate::pb::etcdserverpb::AuthenticateRequest;
use crate::raft::{EntryKind, NodeId, ProposeError};
use crate::time::{MILLISECOND, Nanos, Now};
use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};

#[derive(Debug)]
pub(super) struct Writes {
    next_number: u64,
    /// Numbered writes that wait to be applied.
    pending: BTreeMap<u64, Pending>,
    /// The same, by deadline; what is answered meanwhile is skipped.
    deadlines: VecDeque<(Nanos, u64)>,
    /// Encoded writes that wait for a leader.
    leaderless: VecDeque<(u64, EntryKind, Bytes)>,
    /// A request to move leadership: who asked, to whom, until when.
    moving: Option<(RequestId, NodeId, Nanos)>,
    /// When a leader was last lost or replaced.
    leader_lost: Option<Nanos>,
}

/// A write that waits to be applied.
pub(super) struct Pending {
    /// Who asked.
    pub(super) client: RequestId,
    /// Until when.
    pub(super) deadline: Nanos,
    /// What may have to be done once more when it is applied.
    pub(super) then: Then,
}

/// See [`Member::goes_on`](super::auth_loop).
pub(super) enum Then {
    /// Its outcome is the answer.
    Answer,
    /// It is proposed again if it was refused because the auth revision at which it was admitted is old.
    ProposeAgain(Credentials, u64),
    /// The password is checked again if the auth revision at which it was right is old.
    CheckRevision(AuthenticateRequest, u64),
}

impl std::fmt::Debug for Pending {
    /// Without passwords and tokens.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pending").field("client", &self.client).finish_non_exhaustive()
    }
}

impl Writes {
    /// Numbers are etcd's: two bytes of the member's id, five of the time in ms, one to count with; so they do not
    /// collide between members, nor with those that the member gave before it was restarted.
    pub(super) fn new(config: &Config, now: Now) -> Writes {
        let time = (now.wall / MILLISECOND) & ((1 << 40) - 1);
        let next_number = (config.id << 48) | (time << 8);
        Writes {
            next_number,
            pending: BTreeMap::new(),
            deadlines: VecDeque::new(),
            leaderless: VecDeque::new(),
            moving: None,
            leader_lost: None,
        }
    }

    /// The next number.
    pub(super) fn take_number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number - 1
    }

    /// Whether a client waits for this number.
    pub(super) fn waits(&self, number: u64) -> bool {
        self.pending.contains_key(&number)
    }

    /// Who waits for this number, if somebody still does.
    pub(super) fn applied(&mut self, number: u64) -> Option<Pending> {
        self.pending.remove(&number)
    }

    pub(super) fn wait_for_leader(&mut self, id: RequestId, to: NodeId, deadline: Nanos) {
        self.moving = Some((id, to, deadline));
    }

    pub(super) fn leader_changed(&mut self, now: Now, leader: NodeId, fx: &mut Effects) {
        self.leader_lost = Some(now.mono);
        if let Some((id, to, _)) = self.moving
            && to == leader
        {
            fx.replies.push((id, Ok(Response::MoveLeader)));
            self.moving = None;
        }
    }

    pub(super) fn wake_at(&self) -> Nanos {
        let write = self.deadlines.front().map_or(Nanos::MAX, |&(deadline, _)| deadline);
        write.min(self.moving.map_or(Nanos::MAX, |(_, _, deadline)| deadline))
    }
}

impl Member {
    pub(super) fn on_write(
        &mut self,
        now: Now,
        client: RequestId,
        who: Credentials,
        mut request: Request,
        fx: &mut Effects,
    ) {
        let admitted = self.admit(&request).and_then(|()| Ok(self.info(now, &who)?));
        let info = match admitted {
            Ok(info) => info,
            Err(error) => return fx.replies.push((client, Err(error))),
        };
        if !self.has_room(self.database_size(), cost_of(&request)) {
            self.refuse_for_space(now, Some(client), fx);
            return;
        }
        let number = self.writes.take_number();
        if let Request::LeaseGrant(grant) = &mut request
            && grant.id == 0
        {
            // Chosen before it is proposed, so that every member grants the same; clients know only positive ones.
            grant.id = (self.writes.take_number() & (u64::MAX >> 1)) as i64;
        }
        let data = apply::encode_as(&info, number, request);
        let deadline = now.mono + self.config.request_timeout();
        self.propose_write(
            number,
            data,
            Pending { client, deadline, then: Then::ProposeAgain(who, info.revision) },
            fx,
        );
    }

    /// Proposes an encoded write, and waits for it.
    pub(super) fn propose_write(&mut self, number: u64, data: Vec<u8>, pending: Pending, fx: &mut Effects) {
        if data.len() > self.config.max_request_bytes {
            fx.replies.push((pending.client, Err(Error::RequestTooLarge)));
            return;
        }
        self.enqueue(number, EntryKind::Normal, data.into(), pending, fx);
    }

    /// Proposes a change of the configuration, numbered already.
    pub(super) fn propose_conf_change(&mut self, now: Now, id: RequestId, number: u64, data: Bytes, fx: &mut Effects) {
        let pending = Pending { client: id, deadline: now.mono + self.config.request_timeout(), then: Then::Answer };
        self.enqueue(number, EntryKind::ConfChange, data, pending, fx);
    }

    fn enqueue(&mut self, number: u64, kind: EntryKind, data: Bytes, pending: Pending, fx: &mut Effects) {
        self.charge(fx, |costs| costs.propose + costs.kib * (data.len() as u64 / 1024));
        fx.trace.push(TraceEvent::Proposed { client: pending.client, request: number });
        // One that is tried again has the deadline that it had.
        let place = self.writes.deadlines.partition_point(|(deadline, _)| *deadline <= pending.deadline);
        self.writes.deadlines.insert(place, (pending.deadline, number));
        self.writes.pending.insert(number, pending);
        self.writes.leaderless.push_back((number, kind, data));
        self.propose_waiting(fx);
    }

    /// Refuses what is malformed, and everything while the apply loop is too far behind.
    fn admit(&self, request: &Request) -> Result<(), Error> {
        validate(request, self.config.max_txn_ops)?;
        if self.raft.commit() > self.raft.applied() + self.config.max_backlog {
            return Err(Error::TooManyRequests);
        }
        Ok(())
    }

    /// Proposes what waits, as long as there is a leader.
    pub(super) fn propose_waiting(&mut self, fx: &mut Effects) {
        while let Some((number, kind, data)) = self.writes.leaderless.front() {
            match self.raft.propose(*kind, data.clone()) {
                Ok(()) => {}
                Err(ProposeError::NoLeader) => return,
                Err(_) => {
                    if let Some(pending) = self.writes.pending.remove(number) {
                        fx.replies.push((pending.client, Err(Error::ProposalDropped)));
                    }
                }
            }
            self.writes.leaderless.pop_front();
        }
    }

    /// Answers what waited too long.
    #[inline(always)]
    pub(super) fn expire_requests(&mut self, now: Now, fx: &mut Effects) {
        self.expire_reads(now, fx);
        if !self.writes.deadlines.is_empty() || self.writes.moving.is_some() {
            self.expire_writes(now, fx);
        }
    }

    #[inline(never)] // See `Member::run`.
    fn expire_writes(&mut self, now: Now, fx: &mut Effects) {
        while let Some(&(deadline, number)) = self.writes.deadlines.front() {
            let waits = self.writes.pending.contains_key(&number);
            if waits && deadline > now.mono {
                break;
            }
            self.writes.deadlines.pop_front();
            if let Some(Pending { client, .. }) = self.writes.pending.remove(&number) {
                let asked_at = deadline - self.config.request_timeout();
                let lost = self.writes.leader_lost.is_some_and(|at| at >= asked_at) || self.raft.leader() == 0;
                // What never reached Raft cannot take effect any more.
                self.writes.leaderless.retain(|(waiting, ..)| *waiting != number);
                fx.replies.push((client, Err(if lost { Error::TimeoutLeaderFail } else { Error::Timeout })));
            }
        }
        if let Some((id, _, deadline)) = self.writes.moving
            && deadline <= now.mono
        {
            self.writes.moving = None;
            fx.replies.push((id, Err(Error::Timeout)));
        }
    }
}
