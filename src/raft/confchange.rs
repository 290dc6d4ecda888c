//! Changes of the configuration: from one [`ConfState`] to the next (Raft dissertation, chapter 4).
//!
//! One voter more or less makes a *simple* change: any majority of the old voters meets any majority of the new ones, so
//! both may decide at the same time. More than one goes by *joint* consensus, through a configuration in which a decision
//! needs a majority of both:
//!
//! ```text
//!   voters (1 2 3)  ── enter ──▶  voters (1 4 5) && (1 2 3)  ── leave ──▶  voters (1 4 5)
//!                                 learners next (2)                        learners (2)
//! ```
//!
//! A voter that is to become a learner while its old majority still counts it is a *learner next*: it turns into one
//! when the joint configuration is left, and votes until then.
//!
//! Everything here is a function of values. When a change takes effect is its owner's business: as in etcd, when its
//! entry is applied, not when it is appended ([`Raft::apply_conf_change`](super::Raft::apply_conf_change)).

use super::{ConfState, NodeId};

/// One step of a change: what becomes of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConfChange {
    /// It votes from now on, as a new member or a promoted learner.
    AddVoter(NodeId),
    /// It receives the log and does not vote, as a new member or a demoted voter.
    AddLearner(NodeId),
    /// It leaves.
    Remove(NodeId),
    /// Something else about it changes, which Raft does not know.
    Update(NodeId),
}

/// Why a configuration cannot become another so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum ConfChangeError {
    /// A simple change asks for two voters more, or less, or one for another.
    #[error("more than one voter changed without entering joint config")]
    NeedsJoint,
    /// Nobody would decide anything any more.
    #[error("removed all voters")]
    NoVoters,
    /// A simple change, or another joint one, while a joint configuration is in force.
    #[error("config is already joint")]
    AlreadyJoint,
    /// There is no joint configuration to leave.
    #[error("can't leave a non-joint config")]
    NotJoint,
    /// The first configuration cannot be a joint one.
    #[error("can't make a zero-voter config joint")]
    NothingToJoin,
}

impl ConfState {
    /// The configuration after a change of at most one voter, and of any number of learners.
    pub fn simple(&self, changes: &[ConfChange]) -> Result<ConfState, ConfChangeError> {
        if self.is_joint() {
            return Err(ConfChangeError::AlreadyJoint);
        }
        let next = self.with_all(changes)?;
        let missing = |from: &[NodeId], of: &[NodeId]| of.iter().filter(|id| !from.contains(id)).count();
        if missing(&self.voters, &next.voters) + missing(&next.voters, &self.voters) > 1 {
            return Err(ConfChangeError::NeedsJoint);
        }
        Ok(next)
    }

    /// The joint configuration on the way to what `changes` make. With `auto_leave` the leader leaves it by itself.
    pub fn enter_joint(&self, auto_leave: bool, changes: &[ConfChange]) -> Result<ConfState, ConfChangeError> {
        if self.is_joint() {
            return Err(ConfChangeError::AlreadyJoint);
        }
        if self.voters.is_empty() {
            return Err(ConfChangeError::NothingToJoin);
        }
        let joint = ConfState { voters_outgoing: self.voters.clone(), ..self.clone() };
        Ok(ConfState { auto_leave, ..joint.with_all(changes)? })
    }

    /// The configuration after the joint one: its incoming half.
    pub fn leave_joint(&self) -> Result<ConfState, ConfChangeError> {
        if !self.is_joint() {
            return Err(ConfChangeError::NotJoint);
        }
        let ConfState { voters, mut learners, learners_next, .. } = self.clone();
        learners.extend(learners_next);
        Ok(ConfState { voters, learners: sorted(learners), ..ConfState::default() })
    }

    /// Whether two majorities decide.
    pub fn is_joint(&self) -> bool {
        !self.voters_outgoing.is_empty()
    }

    /// Whether it knows the member, in whatever part.
    pub fn contains(&self, id: NodeId) -> bool {
        [&self.voters, &self.learners, &self.voters_outgoing].iter().any(|ids| ids.contains(&id))
    }

    fn with_all(&self, changes: &[ConfChange]) -> Result<ConfState, ConfChangeError> {
        let mut next = self.clone();
        changes.iter().for_each(|change| next.make(*change));
        for ids in [&mut next.voters, &mut next.learners, &mut next.learners_next] {
            *ids = sorted(std::mem::take(ids));
        }
        if next.voters.is_empty() { Err(ConfChangeError::NoVoters) } else { Ok(next) }
    }

    fn make(&mut self, change: ConfChange) {
        match change {
            // Nobody: how etcd writes down that a change was refused when it was applied.
            ConfChange::AddVoter(0) | ConfChange::AddLearner(0) | ConfChange::Remove(0) | ConfChange::Update(_) => {}
            ConfChange::AddVoter(id) => {
                self.forget(id);
                self.voters.push(id);
            }
            ConfChange::AddLearner(id) => {
                self.forget(id);
                // It cannot vote in one half and not in the other: it waits until that half is gone.
                let waits = self.voters_outgoing.contains(&id);
                if waits { &mut self.learners_next } else { &mut self.learners }.push(id);
            }
            ConfChange::Remove(id) => self.forget(id),
        }
    }

    /// Takes a member out of everything but the outgoing half, which is only ever left as a whole.
    fn forget(&mut self, id: NodeId) {
        for ids in [&mut self.voters, &mut self.learners, &mut self.learners_next] {
            ids.retain(|other| *other != id);
        }
    }
}

fn sorted(mut ids: Vec<NodeId>) -> Vec<NodeId> {
    ids.sort_unstable();
    ids.dedup();
    ids
}

#[cfg(test)]
mod tests {
    use super::super::quorum::VoteResult::Won;
    use super::super::quorum::majority_vote;
    use super::*;
    use proptest::prelude::*;

    fn voters(ids: &[NodeId]) -> ConfState {
        ConfState { voters: ids.to_vec(), ..ConfState::default() }
    }

    #[test]
    fn a_demoted_voter_votes_until_the_joint_configuration_is_left() {
        let changes = [ConfChange::AddVoter(4), ConfChange::AddLearner(3), ConfChange::Remove(2)];
        let joint = voters(&[1, 2, 3]).enter_joint(true, &changes).unwrap();
        assert_eq!((&joint.voters[..], &joint.voters_outgoing[..]), (&[1, 4][..], &[1, 2, 3][..]));
        assert_eq!((&joint.learners[..], &joint.learners_next[..]), (&[][..], &[3][..]));
        let left = joint.leave_joint().unwrap();
        assert_eq!(left, ConfState { learners: vec![3], ..voters(&[1, 4]) });
    }

    #[test]
    fn what_does_not_fit_the_joint_state_is_refused() {
        let add = [ConfChange::AddVoter(9)];
        let joint = voters(&[1, 2]).enter_joint(false, &add).unwrap();
        assert_eq!(joint.simple(&add), Err(ConfChangeError::AlreadyJoint));
        assert_eq!(joint.enter_joint(false, &add), Err(ConfChangeError::AlreadyJoint));
        assert_eq!(voters(&[1]).leave_joint(), Err(ConfChangeError::NotJoint));
        assert_eq!(voters(&[]).enter_joint(false, &add), Err(ConfChangeError::NothingToJoin));
    }

    fn change() -> impl Strategy<Value = ConfChange> {
        (0..4, 0u64..7).prop_map(|(kind, id)| match kind {
            0 => ConfChange::AddVoter(id),
            1 => ConfChange::AddLearner(id),
            2 => ConfChange::Remove(id),
            _ => ConfChange::Update(id),
        })
    }

    proptest! {
        /// Why one voter at a time is safe: however the members are split in two camps, not both can decide.
        #[test]
        fn majorities_before_and_after_a_simple_change_meet(
            before in prop::collection::btree_set(1u64..7, 1..6),
            changes in prop::collection::vec(change(), 1..4),
            camp in prop::collection::btree_set(1u64..7, 0..7),
        ) {
            let before = voters(&before.into_iter().collect::<Vec<_>>());
            let Ok(after) = before.simple(&changes) else { return Ok(()) };
            let old = majority_vote(&before.voters, |id| Some(camp.contains(&id)));
            let new = majority_vote(&after.voters, |id| Some(!camp.contains(&id)));
            prop_assert!(old != Won || new != Won, "{before:?} {after:?}");
            prop_assert!(after.learners.iter().all(|id| !after.voters.contains(id)));
        }
    }
}
