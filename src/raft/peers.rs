//! The members that this one knows: the configuration, a leader's progress for each, a candidate's votes.

use super::quorum::{self, VoteResult};
use super::{ConfState, NodeId, Progress};

/// Everything that is kept per member. Small sorted vectors: clusters have three to seven members, and iteration order
/// must not depend on hashing.
#[derive(Clone, Debug, Default)]
pub(super) struct Peers {
    conf: ConfState,
    /// Voters and learners of both halves, ascending by id.
    progress: Vec<(NodeId, Progress)>,
    /// The answers of this election, ascending by id. The first answer of a voter counts.
    votes: Vec<(NodeId, bool)>,
}

impl Peers {
    pub(super) fn conf(&self) -> &ConfState {
        &self.conf
    }

    /// Installs a configuration as a value. Known members keep their progress; new ones start to be probed at `next`.
    pub(super) fn install(&mut self, mut conf: ConfState, next: u64, max_inflight: usize) {
        for ids in [&mut conf.voters, &mut conf.learners, &mut conf.voters_outgoing, &mut conf.learners_next] {
            ids.sort_unstable();
            ids.dedup();
        }
        let mut ids = [&conf.voters[..], &conf.voters_outgoing, &conf.learners].concat();
        ids.sort_unstable();
        ids.dedup();
        let mut old = std::mem::take(&mut self.progress);
        for id in ids {
            let learner = !conf.voters.contains(&id) && !conf.voters_outgoing.contains(&id);
            let mut progress = match old.binary_search_by_key(&id, |p| p.0) {
                Ok(at) => old.remove(at).1,
                Err(_) => {
                    let mut new = Progress::new(next, max_inflight, learner);
                    // CheckQuorum must not count a member as silent that had no chance to speak.
                    new.recent_active = true;
                    new
                }
            };
            progress.learner = learner;
            self.progress.push((id, progress));
        }
        self.conf = conf;
    }

    pub(super) fn is_joint(&self) -> bool {
        !self.conf.voters_outgoing.is_empty()
    }

    pub(super) fn is_voter(&self, id: NodeId) -> bool {
        self.get(id).is_some_and(|p| !p.learner)
    }

    /// Whether `id` decides everything alone.
    pub(super) fn is_sole_voter(&self, id: NodeId) -> bool {
        self.conf.voters == [id] && !self.is_joint()
    }

    pub(super) fn get(&self, id: NodeId) -> Option<&Progress> {
        self.progress.binary_search_by_key(&id, |p| p.0).ok().map(|at| &self.progress[at].1)
    }

    pub(super) fn get_mut(&mut self, id: NodeId) -> Option<&mut Progress> {
        self.progress.binary_search_by_key(&id, |p| p.0).ok().map(|at| &mut self.progress[at].1)
    }

    /// All members with their progress, ascending by id.
    pub(super) fn all(&self) -> &[(NodeId, Progress)] {
        &self.progress
    }

    pub(super) fn all_mut(&mut self) -> &mut [(NodeId, Progress)] {
        &mut self.progress
    }

    /// The highest index that the voters' majority holds, as they acknowledged it.
    pub(super) fn committed(&self) -> u64 {
        self.by_quorum(|p| p.match_index)
    }

    /// The highest read batch for which the voters' majority confirmed the leader.
    pub(super) fn reads_confirmed(&self) -> u64 {
        self.by_quorum(|p| p.read_acked)
    }

    fn by_quorum(&self, of: impl Fn(&Progress) -> u64) -> u64 {
        let acked = |id| self.get(id).map(&of);
        quorum::joint_committed(&self.conf.voters, &self.conf.voters_outgoing, acked)
    }

    /// Whether a majority spoke since the last call of [`Peers::forget_active`].
    pub(super) fn quorum_active(&self) -> bool {
        self.quorum_of(|id| self.get(id).is_some_and(|p| p.recent_active))
    }

    /// Whether those of whom `of` is true are a majority.
    pub(super) fn quorum_of(&self, of: impl Fn(NodeId) -> bool) -> bool {
        let vote = |id| Some(of(id));
        quorum::joint_vote(&self.conf.voters, &self.conf.voters_outgoing, vote) == VoteResult::Won
    }

    pub(super) fn forget_active(&mut self, but: NodeId) {
        for (id, progress) in &mut self.progress {
            progress.recent_active = *id == but;
        }
    }

    pub(super) fn clear_votes(&mut self) {
        self.votes.clear();
    }

    /// Counts an answer and says how the vote stands.
    pub(super) fn record_vote(&mut self, id: NodeId, granted: bool) -> VoteResult {
        if let Err(at) = self.votes.binary_search_by_key(&id, |v| v.0) {
            self.votes.insert(at, (id, granted));
        }
        let vote = |id| self.votes.binary_search_by_key(&id, |v| v.0).ok().map(|at| self.votes[at].1);
        quorum::joint_vote(&self.conf.voters, &self.conf.voters_outgoing, vote)
    }

    /// Who granted, ascending.
    pub(super) fn granted(&self) -> Vec<NodeId> {
        self.votes.iter().filter(|v| v.1).map(|v| v.0).collect()
    }
}
