//! Elections: campaigning, voting, and the changes of role (Raft paper, 5.2 and 5.4.1; PreVote: dissertation, 9.6).
//!
//! ```text
//!              timeout, with PreVote          a majority would vote
//!   Follower ─────────────────────► PreCandidate ────────┐
//!    ▲  │                                                ▼      a majority votes
//!    │  └───────── timeout, or told by the leader ──► Candidate ────────────────► Leader
//!    └── higher term, leader of the term, refusal, lost quorum (from anywhere) ────────┘
//! ```

use super::quorum::VoteResult;
use super::{Body, CampaignCause, EntryKind, NodeId, Raft, RaftEvent, RefuseCause, Role, StepDownCause};
use crate::bug::Bug;
use bytes::Bytes;

impl Raft {
    /// Whether this member may campaign at all: a voter whose snapshot, if it received one, is durable.
    pub(super) fn is_promotable(&self) -> bool {
        self.peers.is_voter(self.config.id) && !self.is_restoring()
    }

    /// Begins an election, or its rehearsal.
    pub(super) fn start_campaign(&mut self, cause: CampaignCause) {
        // The bug (etcd 7f0733cf4): it goes ahead with the configuration that it has.
        let blind = self.config.bugs.on(Bug::CampaignUnappliedConf);
        if self.role == Role::Leader || !self.is_promotable() || (self.has_unapplied_conf_change() && !blind) {
            return;
        }
        let pre = self.config.pre_vote && matches!(cause, CampaignCause::Timeout { .. });
        self.events.push(RaftEvent::Campaigned { term: self.term + 1, pre, cause });
        if pre {
            self.become_pre_candidate()
        } else {
            self.become_candidate()
        }

        let id = self.config.id;
        let term = if pre { self.term + 1 } else { self.term };
        self.events.push(RaftEvent::Voted { term, candidate: id, pre });
        // Its own vote may count at once: whom it asks for votes is asked after the save.
        if self.peers.record_vote(id, true) == VoteResult::Won {
            return self.win(pre);
        }
        let transfer = cause == CampaignCause::Transfer;
        let (last_index, last_term) = (self.log.last_index(), self.log.last_term());
        for at in 0..self.peers.all().len() {
            let (to, learner) = (self.peers.all()[at].0, self.peers.all()[at].1.learner);
            if to != id && !learner {
                self.send_with_term(to, term, Body::Vote { pre, transfer, last_index, last_term });
            }
        }
    }

    /// A configuration change that is committed but not applied may have made others the majority; whoever campaigned
    /// now would count votes under the old one (etcd 7f0733cf4).
    fn has_unapplied_conf_change(&self) -> bool {
        self.log.range(self.log.applied(), self.log.committed()).any(|e| e.kind != EntryKind::Normal)
    }

    fn win(&mut self, pre: bool) {
        if pre {
            self.start_campaign(CampaignCause::PreVoteWon);
        } else {
            self.become_leader();
            self.send_appends();
        }
    }

    /// A candidate asks for this member's vote.
    pub(super) fn on_vote(&mut self, from: NodeId, term: u64, pre: bool, last_index: u64, last_term: u64) {
        // A learner may have been promoted without having applied it: who asks knows whose vote counts. The bug (etcd
        // #10998) is to be silent.
        if self.config.bugs.on(Bug::LearnerNoVote) && !self.peers.is_voter(self.config.id) {
            return;
        }
        // Free to vote: for whom it already voted, or if it neither voted nor knows a leader. Saying that one *would*
        // vote in a later term binds to nothing.
        let free = self.vote == from || (self.vote == 0 && self.leader == 0) || (pre && term > self.term);
        let cause = if !free {
            RefuseCause::AlreadyVoted
        } else if !self.log.is_up_to_date(last_index, last_term) {
            RefuseCause::LogBehind
        } else {
            return self.grant(from, term, pre);
        };
        self.refuse(from, term, pre, cause);
        self.send(from, Body::VoteResp { pre, reject: true });
    }

    fn grant(&mut self, candidate: NodeId, term: u64, pre: bool) {
        self.events.push(RaftEvent::Voted { term, candidate, pre });
        let granted = Body::VoteResp { pre, reject: false };
        if pre {
            // The bug (etcd #8243): the voter's own term, which a candidate of a later one takes for stale.
            let term = if self.config.bugs.on(Bug::PrevoteWedge) { self.term } else { term };
            return self.send_with_term(candidate, term, granted);
        }
        self.vote = candidate;
        self.election_elapsed = 0;
        self.silent_ticks = 0;
        self.send(candidate, granted);
        // The bug (textbook mutant; raft 9d2a465 is akin): the answer may overtake the save of the vote.
        if self.config.bugs.on(Bug::VoteNotDurable) {
            self.messages.extend(self.messages_after_save.pop());
        }
    }

    /// A voter answers this candidate.
    pub(super) fn on_vote_resp(&mut self, from: NodeId, pre: bool, reject: bool) {
        let asked = if pre { Role::PreCandidate } else { Role::Candidate };
        if self.role != asked {
            return;
        }
        match self.peers.record_vote(from, !reject) {
            VoteResult::Won => self.win(pre),
            VoteResult::Lost => self.become_follower(self.term, 0, StepDownCause::Refused),
            VoteResult::Pending => {}
        }
    }

    // ── Roles ────────────────────────────────────────────────────────────────────────────────────────────────────

    pub(super) fn become_follower(&mut self, term: u64, leader: NodeId, cause: StepDownCause) {
        if self.role != Role::Follower {
            self.events.push(RaftEvent::SteppedDown { role: self.role, old_term: self.term, cause });
        }
        self.role = Role::Follower;
        self.reset(term);
        self.set_leader(leader);
    }

    fn become_pre_candidate(&mut self) {
        // Neither term nor vote change: that is the point of it.
        self.role = Role::PreCandidate;
        self.leader = 0;
        self.peers.clear_votes();
        self.draw_timeout();
    }

    fn become_candidate(&mut self) {
        self.role = Role::Candidate;
        self.reset(self.term + 1);
        self.vote = self.config.id;
    }

    fn become_leader(&mut self) {
        assert!(self.role == Role::Candidate, "invariant: only a candidate becomes leader");
        let votes = self.peers.granted();
        self.role = Role::Leader;
        self.reset(self.term);
        self.leader = self.config.id;
        self.events.push(RaftEvent::BecameLeader { term: self.term, votes });
        let own = self.config.id;
        if let Some(own) = self.peers.get_mut(own) {
            own.become_replicate();
            own.recent_active = true;
        }
        // There may be an unapplied configuration change anywhere in the log that it takes over.
        self.pending_conf_index = self.log.last_index();
        // Entries of older terms are committed only by way of one of its own term; so it appends one at once.
        if self.commits_only_own_term() {
            self.append_as_leader(EntryKind::Normal, Bytes::new());
        }
        self.acknowledge_own();
    }

    /// What every change of role forgets.
    fn reset(&mut self, term: u64) {
        debug_assert!(term >= self.term, "invariant: the term never decreases");
        if self.term != term {
            self.term = term;
            self.vote = 0;
        }
        self.leader = 0;
        self.election_elapsed = 0;
        self.heartbeat_elapsed = 0;
        self.draw_timeout();
        self.peers.clear_votes();
        let next = self.log.last_index() + 1;
        for (_, progress) in self.peers.all_mut() {
            progress.reset(next);
        }
        self.transferee = 0;
        self.pending_conf_index = 0;
        self.uncommitted_bytes = 0;
        self.reads.clear();
    }
}
