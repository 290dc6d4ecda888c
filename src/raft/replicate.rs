//! A leader's side: proposals, appends, acknowledgements, commit, heartbeats (Raft paper, 5.3 and 5.4.2).

use super::{
    Body, ConfState, Entry, EntryKind, NodeId, ProgressState, ProposeError, Raft, RaftEvent, RejectHint, Role, Snapshot,
};
use crate::bug::Bug;
use bytes::Bytes;

impl Raft {
    // ── Proposals ────────────────────────────────────────────────────────────────────────────────────────────────

    /// Proposes an entry; a follower forwards it to the leader. Accepted is not committed: the entry may still be lost
    /// with its leader. A configuration change that may not be made now (one is pending, or it does not fit the joint
    /// state) is replaced by an empty entry, as in etcd.
    ///
    /// # Errors
    /// See [`ProposeError`]; nothing was appended. Refusals at the leader of a forwarded proposal are not reported.
    pub fn propose(&mut self, kind: EntryKind, data: Bytes) -> Result<(), ProposeError> {
        if self.role != Role::Leader {
            let entries = vec![Entry { kind, term: 0, index: 0, data }];
            return self.forward(self.config.id, entries);
        }
        self.may_propose(data.len() as u64)?;
        self.propose_as_leader(kind, data);
        self.replicate_appended();
        Ok(())
    }

    /// A follower forwards its proposals.
    pub(super) fn on_propose(&mut self, from: NodeId, entries: Vec<Entry>) {
        if self.role != Role::Leader {
            // It knew a leader that has changed since: try the one known here. Nobody waits for an error.
            let _ = self.forward(from, entries);
            return;
        }
        let size = entries.iter().map(|e| e.data.len() as u64).sum();
        if entries.is_empty() || self.may_propose(size).is_err() {
            return;
        }
        for entry in entries {
            self.propose_as_leader(entry.kind, entry.data);
        }
        self.replicate_appended();
    }

    fn forward(&mut self, from: NodeId, entries: Vec<Entry>) -> Result<(), ProposeError> {
        if self.leader == 0 {
            return Err(ProposeError::NoLeader);
        }
        let body = Body::Propose { entries };
        self.messages.push(super::Message { from, to: self.leader, term: 0, body });
        Ok(())
    }

    fn may_propose(&self, size: u64) -> Result<(), ProposeError> {
        if self.peers.get(self.config.id).is_none() {
            return Err(ProposeError::NotMember);
        }
        if self.transferee != 0 {
            return Err(ProposeError::Transferring);
        }
        let limit = self.config.max_uncommitted_bytes;
        // One proposal of any size is let through, or a large one could never be made; empty ones always are.
        if limit > 0 && size > 0 && self.uncommitted_bytes > 0 && self.uncommitted_bytes + size > limit {
            return Err(ProposeError::TooMuchUncommitted);
        }
        Ok(())
    }

    fn propose_as_leader(&mut self, kind: EntryKind, data: Bytes) {
        if kind == EntryKind::Normal {
            self.append_as_leader(kind, data);
            return;
        }
        // An empty ConfChangeV2 leaves the joint configuration; anything else needs that there is none.
        let leaves = kind == EntryKind::ConfChangeV2 && data.is_empty();
        if self.pending_conf_index > self.log.applied() || leaves != self.peers.is_joint() {
            self.append_as_leader(EntryKind::Normal, Bytes::new());
        } else {
            self.pending_conf_index = self.append_as_leader(kind, data);
        }
    }

    /// Appends to the own log only.
    pub(super) fn append_as_leader(&mut self, kind: EntryKind, data: Bytes) -> u64 {
        self.uncommitted_bytes += data.len() as u64;
        let index = self.log.push(self.term, kind, data);
        self.events.push(RaftEvent::Appended { first: index, last: index });
        index
    }

    fn replicate_appended(&mut self) {
        self.acknowledge_own();
        self.send_appends();
    }

    /// Leaves a joint configuration that says so, once the entry that entered it is applied.
    pub(super) fn leave_joint_if_due(&mut self) {
        let due = self.role == Role::Leader
            && self.peers.is_joint()
            && self.peers.conf().auto_leave
            && self.pending_conf_index <= self.log.applied();
        if due {
            self.propose_as_leader(EntryKind::ConfChangeV2, Bytes::new());
            self.replicate_appended();
        }
    }

    // ── Commit ───────────────────────────────────────────────────────────────────────────────────────────────────

    /// The leader's own acknowledgement: what it holds durably. Returns whether that committed something.
    pub(super) fn acknowledge_own(&mut self) -> bool {
        let index = self.acknowledged();
        let Some(own) = self.peers.get_mut(self.config.id) else { return false };
        own.accepted(index) && self.commit_by_quorum()
    }

    /// Commits what a majority holds. Returns whether the commit index rose.
    pub(super) fn commit_by_quorum(&mut self) -> bool {
        let index = self.peers.committed();
        if index <= self.log.committed() {
            return false;
        }
        // An entry of an older term may be on a majority and still be overwritten (Raft paper, Figure 8); one of the
        // own term may not, and it commits all before it.
        if self.commits_only_own_term() && self.log.term_of(index) != Some(self.term) {
            return false;
        }
        let freed = self.log.range(self.log.committed(), index).map(|e| e.data.len() as u64).sum();
        // Entries that an earlier leader appended were never counted here.
        self.uncommitted_bytes = self.uncommitted_bytes.saturating_sub(freed);
        self.commit_to(index);
        if self.reads.has_postponed() && self.has_committed_in_term() {
            self.ask_postponed_reads();
        }
        true
    }

    pub(super) fn commits_only_own_term(&self) -> bool {
        // The bug (Raft paper, Figure 8; textbook mutant): replicas are counted whatever the entry's term, and so a new
        // leader does without an entry of its own.
        !self.config.bugs.on(Bug::CommitOlderTerm)
    }

    /// Whether the commit index is that of this leader's term, so that it covers all that earlier leaders committed.
    pub(super) fn has_committed_in_term(&self) -> bool {
        !self.commits_only_own_term() || self.log.term_of(self.log.committed()) == Some(self.term)
    }

    // ── Appends ──────────────────────────────────────────────────────────────────────────────────────────────────

    /// Sends every other member what it misses, or at least the commit index.
    pub(super) fn send_appends(&mut self) {
        for at in 0..self.peers.all().len() {
            let to = self.peers.all()[at].0;
            if to != self.config.id {
                self.send_append(to, true);
            }
        }
    }

    /// Sends one append to `to`, or a snapshot if what it misses is compacted away. Returns whether anything was sent:
    /// not if it is paused, nor, unless `even_empty`, if there are no entries for it.
    pub(super) fn send_append(&mut self, to: NodeId, even_empty: bool) -> bool {
        let Some(progress) = self.peers.get_mut(to) else { return false };
        let last = self.log.last_index();
        if progress.is_paused() || (!even_empty && progress.next > last) {
            return false;
        }
        let prev_index = progress.next - 1;
        let Some(prev_term) = self.log.term_of(prev_index) else { return self.send_snapshot(to) };
        let entries = self.log.slice(progress.next, last + 1, self.config.max_size_per_msg);
        progress.sent_append(prev_index + entries.len() as u64, entries.is_empty());
        let commit = self.log.committed();
        self.send(to, Body::Append { prev_index, prev_term, entries, commit });
        true
    }

    fn send_snapshot(&mut self, to: NodeId) -> bool {
        let Some(progress) = self.peers.get_mut(to) else { return false };
        // To a silent member it would be wasted; and it is of no use if the log that should follow it is gone too.
        if !progress.recent_active || self.snapshot.index == 0 || self.snapshot.index + 1 < self.log.first_index() {
            return false;
        }
        progress.become_snapshot(self.snapshot.index);
        let meta = self.snapshot.clone();
        self.send(to, Body::Snapshot(Box::new(Snapshot { meta, data: Bytes::new() })));
        true
    }

    /// A member answers an append or a snapshot.
    pub(super) fn on_append_resp(&mut self, from: NodeId, index: u64, reject: Option<RejectHint>) {
        if self.role != Role::Leader || index > self.log.last_index() {
            return;
        }
        let Some(progress) = self.peers.get_mut(from) else { return };
        progress.recent_active = true;
        match reject {
            Some(hint) => self.on_append_rejected(from, index, hint),
            None => self.on_append_accepted(from, index),
        }
    }

    fn on_append_rejected(&mut self, from: NodeId, rejected: u64, hint: RejectHint) {
        // The member's entries above the hint's term are not ours, so agreement is at or before our last entry of at
        // most that term. This skips our divergent terms as the hint skipped its.
        let agree = if hint.term > 0 { self.log.last_place_within(hint.index, hint.term).0 } else { hint.index };
        let Some(progress) = self.peers.get_mut(from) else { return };
        if progress.rejected(rejected, agree) {
            if progress.state == ProgressState::Replicate {
                progress.become_probe();
            }
            self.send_append(from, true);
        }
    }

    fn on_append_accepted(&mut self, from: NodeId, index: u64) {
        let Some(progress) = self.peers.get_mut(from) else { return };
        let was_paused = progress.is_paused();
        let news = progress.accepted(index);
        // A probe's answer settles where the logs agree even if that was known before.
        let settled = progress.state == ProgressState::Probe && progress.match_index == index;
        if !news && !settled {
            return;
        }
        match progress.state {
            ProgressState::Probe => progress.become_replicate(),
            ProgressState::Snapshot { pending } if progress.match_index >= pending => progress.become_replicate(),
            ProgressState::Snapshot { .. } => {}
            ProgressState::Replicate => progress.free_inflights(index),
        }
        if news && self.commit_by_quorum() {
            self.send_appends();
        } else if was_paused {
            // It may lack the commit index, which no append could carry while it was paused.
            self.send_append(from, true);
        }
        while self.send_append(from, false) {}
        self.hand_over_if_caught_up(from);
    }

    // ── Heartbeats ───────────────────────────────────────────────────────────────────────────────────────────────

    /// Tells every other member that this one still leads.
    pub(super) fn send_heartbeats(&mut self) {
        let (committed, read_ctx) = (self.log.committed(), self.reads.heartbeat_ctx());
        for at in 0..self.peers.all().len() {
            let (to, ref progress) = self.peers.all()[at];
            if to != self.config.id {
                // Never more than it is known to hold: the rest of its log may differ from ours.
                let commit = committed.min(progress.match_index);
                self.send(to, Body::Heartbeat { commit, read_ctx });
            }
        }
    }

    pub(super) fn on_heartbeat_resp(&mut self, from: NodeId, read_ctx: u64) {
        if self.role != Role::Leader {
            return;
        }
        let last = self.log.last_index();
        let Some(progress) = self.peers.get_mut(from) else { return };
        progress.recent_active = true;
        progress.resume();
        if progress.match_index < last || progress.state == ProgressState::Probe {
            self.send_append(from, true);
        }
        if read_ctx > 0 {
            self.on_read_ack(from, read_ctx);
        }
    }

    // ── What the owner reports ───────────────────────────────────────────────────────────────────────────────────

    /// A message to `id` was not delivered: what was sent ahead of its acknowledgements is probably lost.
    pub fn report_unreachable(&mut self, id: NodeId) {
        if self.role != Role::Leader {
            return;
        }
        if let Some(progress) = self.peers.get_mut(id)
            && progress.state == ProgressState::Replicate
        {
            progress.become_probe();
        }
    }

    /// The snapshot for `id` was delivered (`ok`) or not. In either case appends resume with its next answer.
    /// Every snapshot message needs this report: without it a lost one keeps `id` waiting as long as this member leads.
    pub fn report_snapshot(&mut self, id: NodeId, ok: bool) {
        if self.role != Role::Leader {
            return;
        }
        if let Some(progress) = self.peers.get_mut(id)
            && let ProgressState::Snapshot { .. } = progress.state
        {
            if ok {
                progress.become_probe()
            } else {
                progress.abort_snapshot()
            }
            // Delivered is not installed yet, and after a failure a breath is due: wait for it to speak.
            progress.probe_sent = true;
        }
    }

    /// Installs a configuration, when the entry that changes it is applied. Known members keep their progress.
    pub fn apply_conf_change(&mut self, conf: ConfState) {
        self.peers.install(conf, self.log.last_index().max(1), self.config.max_inflight);
        if self.role != Role::Leader || self.peers.conf().voters.is_empty() {
            return;
        }
        if !self.peers.is_voter(self.transferee) {
            self.abort_transfer();
        }
        // A smaller majority may hold already what the larger one did not.
        if self.commit_by_quorum() {
            self.send_appends();
        } else {
            for at in 0..self.peers.all().len() {
                let to = self.peers.all()[at].0;
                if to != self.config.id {
                    self.send_append(to, false);
                }
            }
        }
        self.release_reads();
        self.leave_joint_if_due();
    }
}
