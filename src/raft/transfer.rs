//! Handing leadership over on purpose (Raft dissertation, section 3.10).
//!
//! The leader stops taking proposals, brings the target's log up to its own, and tells it to campaign at once. The
//! target's vote requests are marked, so that voters ignore their lease on the old leader; and it skips PreVote.
//! If nothing comes of it within an election timeout, the leader goes on as before.

use super::{Body, CampaignCause, NodeId, Raft, RaftEvent, Role};

impl Raft {
    /// Wishes `to` to lead. A follower passes the wish on; without a leader it is dropped.
    pub fn transfer_leader(&mut self, to: NodeId) {
        match self.role {
            Role::Leader => self.start_transfer(to),
            Role::Follower if self.leader != 0 => self.send(self.leader, Body::TransferLeader { transferee: to }),
            _ => {}
        }
    }

    fn start_transfer(&mut self, to: NodeId) {
        if !self.peers.is_voter(to) || self.transferee == to {
            return;
        }
        // A later wish replaces an earlier one; the wish that it stay itself does no more than that.
        self.abort_transfer();
        if to == self.config.id {
            return;
        }
        self.events.push(RaftEvent::TransferStarted { to });
        self.election_elapsed = 0;
        self.transferee = to;
        if self.is_caught_up(to) {
            self.send(to, Body::TimeoutNow);
        } else {
            self.send_append(to, true);
        }
    }

    fn is_caught_up(&self, id: NodeId) -> bool {
        self.peers.get(id).is_some_and(|p| p.match_index == self.log.last_index())
    }

    /// A member has acknowledged entries: if it is the one to lead and holds them all, now is the time.
    pub(super) fn hand_over_if_caught_up(&mut self, id: NodeId) {
        if id == self.transferee && self.is_caught_up(id) {
            self.send(id, Body::TimeoutNow);
        }
    }

    pub(super) fn abort_transfer(&mut self) {
        if self.transferee != 0 {
            self.events.push(RaftEvent::TransferAborted { to: self.transferee });
            self.transferee = 0;
        }
    }

    /// The leader tells this member to campaign. PreVote is skipped: the leader itself asks for its own replacement.
    pub(super) fn on_timeout_now(&mut self) {
        if self.role == Role::Follower {
            self.start_campaign(CampaignCause::Transfer);
        }
    }
}
