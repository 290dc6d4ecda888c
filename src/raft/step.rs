//! Every message passes here: first the rules on terms that hold for all kinds, then the handler of its kind.

use super::{Body, Message, NodeId, Raft, RaftEvent, RefuseCause, Role, StepDownCause};
use crate::bug::Bug;

impl Raft {
    /// Takes a message from a peer. Stale, repeated, reordered and unknown ones are ignored or answered so that the
    /// sender learns; none can fail.
    pub fn step(&mut self, m: Message) {
        // Forwarded wishes carry no term: whoever leads now may fulfil them.
        let termless = matches!(m.body, Body::Propose { .. } | Body::ReadIndex { .. });
        if !termless && !self.settle_term(&m) {
            return;
        }
        let from = m.from;
        match m.body {
            Body::Vote { pre, last_index, last_term, .. } => self.on_vote(from, m.term, pre, last_index, last_term),
            Body::VoteResp { pre, reject } => self.on_vote_resp(from, pre, reject),
            Body::Append { prev_index, prev_term, entries, commit } => {
                if self.hears_leader(from) {
                    self.on_append(from, prev_index, prev_term, entries, commit);
                }
            }
            Body::Heartbeat { commit, read_ctx } => {
                if self.hears_leader(from) {
                    self.on_heartbeat(from, commit, read_ctx);
                }
            }
            Body::Snapshot(snapshot) => {
                if self.hears_leader(from) {
                    self.on_snapshot(from, snapshot);
                }
            }
            Body::AppendResp { index, reject } => self.on_append_resp(from, index, reject),
            Body::HeartbeatResp { read_ctx } => self.on_heartbeat_resp(from, read_ctx),
            Body::ReadIndexResp { ctx, index } => self.read_states.push(super::ReadState { ctx, index }),
            Body::TransferLeader { transferee } => self.transfer_leader(transferee),
            Body::TimeoutNow => self.on_timeout_now(),
            Body::Propose { entries } => self.on_propose(from, entries),
            Body::ReadIndex { ctx } => self.on_read_index(from, ctx),
        }
    }

    /// Brings this member to the message's term, or the sender to ours. Returns whether the message is to be handled.
    fn settle_term(&mut self, m: &Message) -> bool {
        if m.term > self.term {
            return self.settle_higher(m);
        }
        if m.term < self.term {
            self.answer_lower(m);
            return false;
        }
        true
    }

    fn settle_higher(&mut self, m: &Message) -> bool {
        match m.body {
            // CheckQuorum's lease: while a leader is heard, nobody else is needed. A member that was removed, or that
            // is deaf to the leader, cannot disturb the others. Only the leader itself may order a change.
            Body::Vote { pre, transfer: false, .. }
                if self.config.check_quorum
                    && self.leader != 0
                    && self.election_elapsed < self.config.election_ticks =>
            {
                self.refuse(m.from, m.term, pre, RefuseCause::Lease);
                false
            }
            // A rehearsal changes no term, and its grant names the term that *would* come.
            Body::Vote { pre: true, .. } | Body::VoteResp { pre: true, reject: false } => true,
            _ => {
                let leader = match m.body {
                    Body::Append { .. } | Body::Heartbeat { .. } | Body::Snapshot(_) => m.from,
                    _ => 0,
                };
                self.become_follower(m.term, leader, StepDownCause::HigherTerm { from: m.from });
                true
            }
        }
    }

    /// A message of an older term is dropped, but its sender may be stuck: without an answer it would never learn the
    /// term, and with a lease or PreVote around it nobody would come to its help.
    fn answer_lower(&mut self, m: &Message) {
        match m.body {
            // A leader of an older term. This answer's term makes it step down; then one with our term can be elected,
            // which we may be unable to bring about ourselves while the others hear that leader.
            Body::Append { .. } | Body::Heartbeat { .. } if self.config.check_quorum || self.config.pre_vote => {
                self.send(m.from, Body::AppendResp { index: 0, reject: None });
            }
            Body::Vote { pre: true, .. } => {
                // The bug (etcd #8501): dropped, so that a candidate whose term is behind never learns it.
                if self.config.bugs.on(Bug::PrevoteWedge) {
                    return;
                }
                self.refuse(m.from, m.term, true, RefuseCause::OldTerm);
                self.send(m.from, Body::VoteResp { pre: true, reject: true });
            }
            Body::Vote { pre: false, .. } => self.refuse(m.from, m.term, false, RefuseCause::OldTerm),
            _ => {}
        }
    }

    pub(super) fn refuse(&mut self, candidate: NodeId, term: u64, pre: bool, cause: RefuseCause) {
        self.events.push(RaftEvent::Refused { term, candidate, pre, cause });
    }

    /// A message came that only the leader of this term sends. Returns whether to handle it.
    fn hears_leader(&mut self, from: NodeId) -> bool {
        match self.role {
            // Two leaders in a term: some promise was broken. Each goes on as if alone, for checkers to find.
            Role::Leader => return false,
            Role::PreCandidate | Role::Candidate => {
                self.become_follower(self.term, from, StepDownCause::LeaderOfTerm { leader: from });
            }
            Role::Follower => self.set_leader(from),
        }
        self.election_elapsed = 0;
        self.silent_ticks = 0;
        true
    }

    pub(super) fn set_leader(&mut self, leader: NodeId) {
        if self.leader != leader {
            self.leader = leader;
            if leader != 0 {
                self.events.push(RaftEvent::Follows { term: self.term, leader });
            }
        }
    }

    /// Queues a message of this member's term.
    pub(super) fn send(&mut self, to: NodeId, body: Body) {
        self.send_with_term(to, self.term, body);
    }

    /// Queues a message where it may leave: before or after the Ready's save.
    pub(super) fn send_with_term(&mut self, to: NodeId, term: u64, body: Body) {
        let promises = matches!(
            body,
            Body::Vote { .. } | Body::VoteResp { .. } | Body::AppendResp { .. } | Body::HeartbeatResp { .. }
        );
        let queue = if promises { &mut self.messages_after_save } else { &mut self.messages };
        queue.push(Message { from: self.config.id, to, term, body });
    }
}
