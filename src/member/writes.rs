//! Writes: from a client's request to an entry, and back to the client when it is applied (lesson 03).
//!
//! A write is numbered, encoded and proposed. Without a leader it waits, as etcd's proposals block; with one that is
//! another member, Raft forwards it. The answer comes from the apply loop. What is not applied in time is answered with
//! a timeout, and may still take effect.

use super::quota::cost_of;
use super::{Config, Effects, Member, TraceEvent};
use crate::api::{Error, Request, RequestId, Response, validate};
use crate::apply;
use crate::raft::{EntryKind, NodeId, ProposeError};
use crate::time::{MILLISECOND, Nanos, Now};
use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};

#[derive(Debug)]
pub(super) struct Writes {
    next_number: u64,
    /// Numbered writes that wait to be applied, with the client that asked.
    pending: BTreeMap<u64, RequestId>,
    /// The same, by deadline, which is the order of arrival; what is answered meanwhile is skipped.
    deadlines: VecDeque<(Nanos, u64)>,
    /// Encoded writes that wait for a leader.
    leaderless: VecDeque<(u64, Bytes)>,
    /// A request to move leadership: who asked, to whom, until when.
    moving: Option<(RequestId, NodeId, Nanos)>,
    /// When a leader was last lost or replaced.
    leader_lost: Option<Nanos>,
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

    /// The client that waits for this number, if it still does.
    pub(super) fn applied(&mut self, number: u64) -> Option<RequestId> {
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
    pub(super) fn on_write(&mut self, now: Now, id: RequestId, mut request: Request, fx: &mut Effects) {
        if let Err(error) = self.admit(&request) {
            fx.replies.push((id, Err(error)));
            return;
        }
        if !self.has_room(self.database_size(), cost_of(&request)) {
            self.refuse_for_space(now, Some(id), fx);
            return;
        }
        let number = self.writes.take_number();
        if let Request::LeaseGrant(grant) = &mut request
            && grant.id == 0
        {
            // Chosen before it is proposed, so that every member grants the same; clients know only positive ones.
            grant.id = (self.writes.take_number() & (u64::MAX >> 1)) as i64;
        }
        let data = Bytes::from(apply::encode(number, request));
        if data.len() > self.config.max_request_bytes {
            fx.replies.push((id, Err(Error::RequestTooLarge)));
            return;
        }
        self.charge(fx, |costs| costs.propose + costs.kib * (data.len() as u64 / 1024));
        fx.trace.push(TraceEvent::Proposed { client: id, request: number });
        self.writes.pending.insert(number, id);
        self.writes.deadlines.push_back((now.mono + self.config.request_timeout(), number));
        self.writes.leaderless.push_back((number, data));
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
        while let Some((number, data)) = self.writes.leaderless.front() {
            match self.raft.propose(EntryKind::Normal, data.clone()) {
                Ok(()) => {}
                Err(ProposeError::NoLeader) => return,
                Err(_) => {
                    if let Some(client) = self.writes.pending.remove(number) {
                        fx.replies.push((client, Err(Error::ProposalDropped)));
                    }
                }
            }
            self.writes.leaderless.pop_front();
        }
    }

    /// Answers what waited too long.
    pub(super) fn expire_requests(&mut self, now: Now, fx: &mut Effects) {
        self.expire_reads(now, fx);
        while let Some(&(deadline, number)) = self.writes.deadlines.front() {
            let waits = self.writes.pending.contains_key(&number);
            if waits && deadline > now.mono {
                break;
            }
            self.writes.deadlines.pop_front();
            if let Some(client) = self.writes.pending.remove(&number) {
                let asked_at = deadline - self.config.request_timeout();
                let lost = self.writes.leader_lost.is_some_and(|at| at >= asked_at) || self.raft.leader() == 0;
                // What never reached Raft cannot take effect any more.
                self.writes.leaderless.retain(|(waiting, _)| *waiting != number);
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
