//! Quorum arithmetic: what a majority has acknowledged, and how a vote stands.
//!
//! Pure functions over voter ids. A configuration is one majority, or while membership changes two of them (joint
//! consensus: Raft dissertation, section 4.3), and then a decision needs *both*. The same arithmetic answers three
//! questions: which index is committed (over match indexes), which reads are confirmed (over acknowledged heartbeat
//! numbers), and whether a vote is won.
//!
//! An empty majority decides nothing by itself: it has committed everything ([`INFINITE`]) and won every vote, so that
//! a joint configuration with an empty half behaves as its other half.

use super::NodeId;

/// What an empty majority has committed.
pub const INFINITE: u64 = u64::MAX;

/// How a vote stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum VoteResult {
    /// Missing votes can still decide it either way.
    Pending,
    /// A majority refused, or so many did that no majority can grant.
    Lost,
    /// A majority granted.
    Won,
}

/// Up to so many voters are sorted on the stack; larger groups are rare and pay for an allocation.
const ON_STACK: usize = 8;

/// The highest index that a majority of `voters` has acknowledged. `acked` is `None` for a voter without information.
pub fn majority_committed(voters: &[NodeId], acked: impl Fn(NodeId) -> Option<u64>) -> u64 {
    let n = voters.len();
    if n == 0 {
        return INFINITE;
    }
    let mut on_stack = [0; ON_STACK];
    let mut on_heap;
    let indexes = if n <= ON_STACK {
        &mut on_stack[..n]
    } else {
        on_heap = vec![0; n];
        &mut on_heap[..]
    };
    for (slot, &id) in indexes.iter_mut().zip(voters) {
        *slot = acked(id).unwrap_or(0);
    }
    indexes.sort_unstable();
    // Ascending: the last n/2 + 1 of them are a majority, and all of those are at or above the first of them.
    indexes[n - (n / 2 + 1)]
}

/// How a vote among `voters` stands. `vote` is `None` for a voter that has not answered.
pub fn majority_vote(voters: &[NodeId], vote: impl Fn(NodeId) -> Option<bool>) -> VoteResult {
    let n = voters.len();
    if n == 0 {
        return VoteResult::Won;
    }
    let quorum = n / 2 + 1;
    let (mut granted, mut missing) = (0, 0);
    for &id in voters {
        match vote(id) {
            Some(true) => granted += 1,
            Some(false) => {}
            None => missing += 1,
        }
    }
    if granted >= quorum {
        VoteResult::Won
    } else if granted + missing >= quorum {
        VoteResult::Pending
    } else {
        VoteResult::Lost
    }
}

/// The highest index that both majorities have acknowledged.
pub fn joint_committed(incoming: &[NodeId], outgoing: &[NodeId], acked: impl Fn(NodeId) -> Option<u64>) -> u64 {
    majority_committed(incoming, &acked).min(majority_committed(outgoing, &acked))
}

/// How a vote stands that needs both majorities: one lost half loses it.
pub fn joint_vote(incoming: &[NodeId], outgoing: &[NodeId], vote: impl Fn(NodeId) -> Option<bool>) -> VoteResult {
    match (majority_vote(incoming, &vote), majority_vote(outgoing, &vote)) {
        (VoteResult::Lost, _) | (_, VoteResult::Lost) => VoteResult::Lost,
        (VoteResult::Won, VoteResult::Won) => VoteResult::Won,
        _ => VoteResult::Pending,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// The definition, word for word: the highest candidate index that more than half of the voters reach.
    fn naive_committed(voters: &[NodeId], acked: &BTreeMap<NodeId, u64>) -> u64 {
        let of = |id: &NodeId| acked.get(id).copied().unwrap_or(0);
        let reached = |index: u64| voters.iter().filter(|id| of(id) >= index).count() * 2 > voters.len();
        if voters.is_empty() {
            return INFINITE;
        }
        voters.iter().map(of).filter(|&index| reached(index)).max().unwrap_or(0)
    }

    /// The definition by trying every way in which the missing votes may fall.
    fn naive_vote(incoming: &[NodeId], outgoing: &[NodeId], votes: &BTreeMap<NodeId, bool>) -> VoteResult {
        let won = |voters: &[NodeId], missing: bool| {
            let granted = voters.iter().filter(|id| votes.get(id).copied().unwrap_or(missing)).count();
            voters.is_empty() || granted * 2 > voters.len()
        };
        match (won(incoming, false) && won(outgoing, false), won(incoming, true) && won(outgoing, true)) {
            (true, _) => VoteResult::Won,
            (false, true) => VoteResult::Pending,
            (false, false) => VoteResult::Lost,
        }
    }

    fn voters() -> impl Strategy<Value = Vec<NodeId>> {
        prop::collection::btree_set(1u64..14, 0..11).prop_map(|set| set.into_iter().collect())
    }

    proptest! {
        #[test]
        fn committed_equals_the_definition(
            incoming in voters(),
            outgoing in voters(),
            acked in prop::collection::btree_map(1u64..14, 0u64..20, 0..14),
        ) {
            let of = |id| acked.get(&id).copied();
            let (i, o) = (naive_committed(&incoming, &acked), naive_committed(&outgoing, &acked));
            prop_assert_eq!(majority_committed(&incoming, of), i);
            prop_assert_eq!(joint_committed(&incoming, &outgoing, of), i.min(o));
        }

        #[test]
        fn vote_equals_the_definition(
            incoming in voters(),
            outgoing in voters(),
            votes in prop::collection::btree_map(1u64..14, any::<bool>(), 0..14),
        ) {
            let of = |id| votes.get(&id).copied();
            prop_assert_eq!(majority_vote(&incoming, of), naive_vote(&incoming, &[], &votes));
            prop_assert_eq!(joint_vote(&incoming, &outgoing, of), naive_vote(&incoming, &outgoing, &votes));
        }
    }

    #[test]
    fn a_joint_configuration_with_an_empty_half_is_its_other_half() {
        let acked = |id| Some(id * 10);
        assert_eq!(joint_committed(&[1, 2, 3], &[], acked), 20);
        assert_eq!(joint_committed(&[], &[], acked), INFINITE);
        assert_eq!(joint_vote(&[], &[1], |_| None), VoteResult::Pending);
    }
}
