//! Linearizable reads without a log entry: ReadIndex (Raft dissertation, section 6.4).
//!
//! A leader notes its commit index when the read arrives, then makes sure that it *still leads*: it sends a round of
//! heartbeats and waits for a majority to answer. From then on every write that was acknowledged before the read is at
//! or below the noted index, and the asker serves the read once it has applied that index.
//!
//! The reads of a leader are numbered. A heartbeat carries the latest number, its answer brings it back, and an answer
//! confirms all earlier numbers as well: whoever follows this leader now did not follow another before. So the queue
//! is answered like a log is committed: up to the highest number that a majority has acknowledged.
//!
//! Two rules are easily missed:
//! - A new leader knows the commit index of its predecessors only once it has committed an entry of its own term;
//!   until then reads wait (etcd #7331).
//! - Numbers are never used again while the process lives, so that a late answer cannot confirm a later read. Answers
//!   of an earlier process carry an earlier term and are dropped.

use super::{Body, Message, NodeId, Raft, ReadState, Role};
use crate::bug::Bug;
use std::collections::VecDeque;

#[derive(Clone, Debug)]
struct Read {
    number: u64,
    from: NodeId,
    ctx: u64,
    index: u64,
    /// Who has confirmed it; kept only for the bug of etcd #20418.
    acks: Vec<NodeId>,
}

/// The reads that a leader has not answered yet.
#[derive(Clone, Debug, Default)]
pub(super) struct ReadQueue {
    /// Wait for a majority's confirmation, oldest first.
    confirming: VecDeque<Read>,
    /// Wait for the leader's first commit in its own term: asker and its number.
    postponed: Vec<(NodeId, u64)>,
    /// The last number given.
    last_number: u64,
}

impl ReadQueue {
    pub(super) fn clear(&mut self) {
        self.confirming.clear();
        self.postponed.clear();
    }

    /// What a heartbeat must carry: the latest read that waits, 0 for none.
    pub(super) fn heartbeat_ctx(&self) -> u64 {
        self.confirming.back().map_or(0, |r| r.number)
    }

    pub(super) fn has_postponed(&self) -> bool {
        !self.postponed.is_empty()
    }
}

impl Raft {
    /// Asks for the index at which a linearizable read may be served; `ctx` is the asker's own number for it. The
    /// answer comes in [`Ready::reads`](super::Ready::reads), or never: without a leader, or when the leader changes,
    /// the question is dropped, and the asker asks again.
    pub fn read_index(&mut self, ctx: u64) {
        self.on_read_index(self.config.id, ctx);
    }

    pub(super) fn on_read_index(&mut self, from: NodeId, ctx: u64) {
        if self.role != Role::Leader {
            if self.leader != 0 {
                // The asker's name stays on it, so that the leader answers the asker.
                self.messages.push(Message { from, to: self.leader, term: 0, body: Body::ReadIndex { ctx } });
            }
            return;
        }
        // The bug (etcd #7331): the commit index may still miss what an earlier leader acknowledged.
        if !self.has_committed_in_term() && !self.config.bugs.on(Bug::ReadindexNoTermCommit) {
            self.reads.postponed.push((from, ctx));
            return;
        }
        self.confirm_read(from, ctx);
    }

    fn confirm_read(&mut self, from: NodeId, ctx: u64) {
        let index = self.log.committed();
        if self.peers.is_sole_voter(self.config.id) {
            return self.answer_read(from, ctx, index);
        }
        // The bug (etcd #6005, ReadOnlyLeaseBased): CheckQuorum would have deposed this leader by now if it had lost
        // its majority. But its ticks stand still while the process is paused, and the others' do not.
        if self.config.bugs.on(Bug::LeaseReadUnderPause) && self.config.check_quorum {
            return self.answer_read(from, ctx, index);
        }
        // etcd's Raft knows a read by its asker's number alone: one that comes again after it was answered is a new read,
        // which late answers to the old one's heartbeats confirm, and with it all that wait before it (etcd #20418).
        if self.config.bugs.on(Bug::ReadindexCtxReplay) {
            if !self.reads.confirming.iter().any(|read| read.number == ctx) {
                self.reads.confirming.push_back(Read { number: ctx, from, ctx, index, acks: Vec::new() });
            }
            return self.send_heartbeats();
        }
        self.reads.last_number += 1;
        let number = self.reads.last_number;
        self.reads.confirming.push_back(Read { number, from, ctx, index, acks: Vec::new() });
        if let Some(own) = self.peers.get_mut(self.config.id) {
            own.read_acked = number;
        }
        self.send_heartbeats();
    }

    /// The leader has committed in its own term: reads that waited for it are asked now.
    pub(super) fn ask_postponed_reads(&mut self) {
        for (from, ctx) in std::mem::take(&mut self.reads.postponed) {
            self.confirm_read(from, ctx);
        }
    }

    /// A follower brought back `number` with a heartbeat's answer.
    pub(super) fn on_read_ack(&mut self, from: NodeId, number: u64) {
        if self.config.bugs.on(Bug::ReadindexCtxReplay) {
            return self.release_by_ctx(from, number);
        }
        if let Some(progress) = self.peers.get_mut(from)
            && number > progress.read_acked
        {
            progress.read_acked = number;
            self.release_reads();
        }
    }

    /// Answers the reads that a majority has confirmed.
    pub(super) fn release_reads(&mut self) {
        if self.reads.confirming.is_empty() {
            return;
        }
        let confirmed = self.peers.reads_confirmed();
        while let Some(read) = self.reads.confirming.pop_front_if(|read| read.number <= confirmed) {
            self.answer_read(read.from, read.ctx, read.index);
        }
    }

    /// The bug (etcd #20418): an answer counts for whichever read has that number now, however old it is.
    fn release_by_ctx(&mut self, from: NodeId, ctx: u64) {
        let Some(at) = self.reads.confirming.iter().position(|read| read.number == ctx) else { return };
        let own = self.config.id;
        let acks = &mut self.reads.confirming[at].acks;
        if !acks.contains(&from) {
            acks.push(from);
        }
        let acks = acks.clone();
        if self.peers.quorum_of(|id| id == own || acks.contains(&id)) {
            for read in self.reads.confirming.drain(..=at).collect::<Vec<_>>() {
                self.answer_read(read.from, read.ctx, read.index);
            }
        }
    }

    fn answer_read(&mut self, from: NodeId, ctx: u64, index: u64) {
        if from == self.config.id {
            self.read_states.push(ReadState { ctx, index });
        } else {
            self.send(from, Body::ReadIndexResp { ctx, index });
        }
    }
}
