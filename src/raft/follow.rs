//! A follower's side: appends, heartbeats and snapshots from the leader of the term (Raft paper, 5.3 and 7).

use super::{Body, Entry, NodeId, Raft, RaftEvent, RejectHint, Snapshot, SnapshotMeta};

impl Raft {
    /// Entries to follow `(prev_index, prev_term)`. The answer leaves after they are durable.
    pub(super) fn on_append(&mut self, from: NodeId, prev: u64, prev_term: u64, entries: Vec<Entry>, commit: u64) {
        if prev < self.log.committed() {
            // Old: what is committed matches anyway, and the answer brings the leader up to date.
            return self.accept(from, self.log.committed());
        }
        if self.log.term_of(prev) != Some(prev_term) {
            return self.reject(from, prev, prev_term);
        }
        let matched = prev + entries.len() as u64;
        let numbered = entries.iter().zip(prev + 1..).all(|(entry, index)| entry.index == index);
        if !numbered {
            return; // No leader sends this; it is not ours to judge who did.
        }
        if let Some(first) = self.log.merge(entries) {
            self.events.push(RaftEvent::Appended { first, last: self.log.last_index() });
        }
        // Beyond `matched` this log may hold what the leader's does not.
        self.commit_to(commit.min(matched));
        self.accept(from, matched);
    }

    fn accept(&mut self, to: NodeId, index: u64) {
        self.send(to, Body::AppendResp { index, reject: None });
    }

    /// The logs differ at `prev`. The hint spares the leader a step per entry: below `prev`, entries of a term above
    /// `prev_term` cannot be the leader's, so a whole divergent term is skipped at once.
    fn reject(&mut self, to: NodeId, prev: u64, prev_term: u64) {
        let (index, term) = self.log.last_place_within(prev, prev_term);
        self.send(to, Body::AppendResp { index: prev, reject: Some(RejectHint { index, term }) });
    }

    pub(super) fn on_heartbeat(&mut self, from: NodeId, commit: u64, read_ctx: u64) {
        let last = self.log.last_index();
        if commit <= last {
            self.commit_to(commit);
        } else {
            // The leader counts on an acknowledgement whose entries are gone: only a disk that lied brings this about.
            // What is left may not even be a prefix of the leader's log, so nothing is committed by it.
            self.events.push(RaftEvent::LostAcknowledged { commit, last });
        }
        self.send(from, Body::HeartbeatResp { read_ctx });
    }

    pub(super) fn on_snapshot(&mut self, from: NodeId, snapshot: Box<Snapshot>) {
        let index = snapshot.meta.index;
        if self.restore(snapshot) {
            self.events.push(RaftEvent::Restored { index });
        }
        // Also a refused snapshot is answered, with what is committed here: the leader resumes from there.
        self.accept(from, self.log.committed());
    }

    /// Replaces the log by a snapshot, if it is of use. The Ready that carries it makes it durable.
    fn restore(&mut self, snapshot: Box<Snapshot>) -> bool {
        let SnapshotMeta { index, term, ref conf } = snapshot.meta;
        let id = self.config.id;
        let member = [&conf.voters, &conf.learners, &conf.voters_outgoing].iter().any(|ids| ids.contains(&id));
        if index <= self.log.committed() || !member {
            return false;
        }
        if self.log.term_of(index) == Some(term) {
            // All of it is in the log already; only the news of its commit was missing.
            self.commit_to(index);
            return false;
        }
        self.log.restore(&snapshot.meta);
        self.peers = super::Peers::default();
        self.peers.install(conf.clone(), index + 1, self.config.max_inflight);
        self.set_snapshot(snapshot.meta.clone());
        self.incoming = Some(snapshot);
        true
    }

    /// Raises the commit index and tells about it.
    pub(super) fn commit_to(&mut self, index: u64) -> bool {
        let moved = self.log.commit_to(index);
        if moved {
            self.events.push(RaftEvent::Committed { index });
        }
        moved
    }
}
