//! Leadership transfer.

use crate::harness::*;
use bytes::Bytes;
use seedbed::raft::*;

fn events_of(c: &Cluster, id: NodeId, event: &RaftEvent) -> usize {
    c.node(id).events.iter().filter(|e| *e == event).count()
}

#[test]
fn leadership_goes_to_a_caught_up_voter_despite_lease_and_pre_vote_and_back() {
    for make in [Cluster::new, Cluster::modern] {
        let mut c = make(3);
        c.elect(1);
        c.raft(1).transfer_leader(2);
        c.settle();
        assert_eq!((c.role(1), c.role(2)), (Role::Follower, Role::Leader));
        let campaigned = RaftEvent::Campaigned { term: 2, pre: false, cause: CampaignCause::Transfer };
        assert_eq!(events_of(&c, 2, &campaigned), 1);
        c.propose(1, "a");
        c.raft(2).transfer_leader(1);
        c.settle();
        assert_eq!(c.leader(), Some(1));
        assert_eq!(c.terms(), [3, 3, 3]);
        c.assert_safe();
    }
}

#[test]
fn a_follower_passes_the_wish_on() {
    let mut c = Cluster::modern(3);
    c.elect(1);
    c.raft(2).transfer_leader(2);
    c.settle();
    assert_eq!(c.leader(), Some(2));
    c.raft(1).transfer_leader(3);
    c.settle();
    assert_eq!(c.leader(), Some(3));
}

#[test]
fn a_slow_voter_is_brought_up_to_date_first() {
    let mut c = Cluster::modern(3);
    c.elect(1);
    c.isolate(3);
    c.propose(1, "a");
    c.propose(1, "b");
    c.heal();
    c.raft(1).transfer_leader(3);
    c.settle();
    assert_eq!(c.leader(), Some(3));
    assert_eq!(c.node(3).data(), ["a", "b"]);
}

#[test]
fn a_voter_that_needs_a_snapshot_is_brought_up_to_date_first() {
    let mut c = Cluster::modern(3);
    c.elect(1);
    c.isolate(3);
    c.propose(1, "a");
    c.propose(1, "b");
    c.compact(1);
    c.heal();
    c.raft(1).transfer_leader(3);
    c.settle();
    c.tick(1, 1);
    assert_eq!(c.leader(), Some(3));
    assert!(c.node(3).events.contains(&RaftEvent::Restored { index: 3 }));
}

#[test]
fn a_wish_for_itself_for_a_learner_or_for_nobody_known_changes_nothing() {
    let mut c = Cluster::empty();
    for id in 1..=3 {
        c.add(config(id), with_learners(&[1, 2], &[3]));
    }
    c.elect(1);
    for to in [1, 3, 9] {
        c.raft(1).transfer_leader(to);
        c.settle();
        assert_eq!((c.role(1), c.node(1).raft.transferee()), (Role::Leader, None));
    }
    c.propose(1, "a");
}

#[test]
fn proposals_are_refused_during_a_transfer_which_ends_with_the_election_timeout() {
    let mut c = Cluster::modern(3);
    c.elect(1);
    c.isolate(3);
    c.tick(1, 1);
    c.raft(1).transfer_leader(3);
    c.settle();
    assert_eq!(c.node(1).raft.transferee(), Some(3));
    let refused = c.raft(1).propose(EntryKind::Normal, Bytes::from_static(b"x"));
    assert_eq!(refused, Err(ProposeError::Transferring));
    let last = c.node(1).raft.last_index();
    c.raft(2).propose(EntryKind::Normal, Bytes::from_static(b"x")).unwrap();
    c.settle();
    assert_eq!(c.node(1).raft.last_index(), last, "a forwarded one is dropped");
    c.tick(1, ELECTION_TICKS);
    assert_eq!((c.role(1), c.node(1).raft.transferee()), (Role::Leader, None));
    assert_eq!(events_of(&c, 1, &RaftEvent::TransferAborted { to: 3 }), 1);
    c.propose(1, "a");
}

#[test]
fn a_second_wish_replaces_the_first_and_the_same_again_does_not_extend_it() {
    let mut c = Cluster::modern(3);
    c.elect(1);
    c.isolate(3);
    c.raft(1).transfer_leader(3);
    c.tick(1, ELECTION_TICKS - 1);
    c.raft(1).transfer_leader(3);
    c.tick(1, 1);
    assert_eq!(c.node(1).raft.transferee(), None);
    c.raft(1).transfer_leader(3);
    c.raft(1).transfer_leader(2);
    c.settle();
    assert_eq!(c.leader(), Some(2));
    assert_eq!(events_of(&c, 1, &RaftEvent::TransferAborted { to: 3 }), 2);
}

#[test]
fn a_removed_or_demoted_target_ends_the_transfer() {
    for conf in [voters(&[1, 2]), with_learners(&[1, 2], &[3])] {
        let mut r = raft(config(1), &[1, 2, 3]);
        lead(&mut r, &[2]);
        flush(&mut r);
        r.transfer_leader(3);
        assert_eq!(r.transferee(), Some(3));
        r.apply_conf_change(conf);
        assert_eq!(r.transferee(), None);
    }
}

#[test]
fn a_higher_term_ends_it_all() {
    let mut r = raft(config(1), &[1, 2, 3]);
    lead(&mut r, &[2]);
    r.transfer_leader(3);
    answer(&mut r, 2, 2, vote(1, 1));
    assert_eq!((r.role(), r.transferee(), r.vote()), (Role::Follower, None, 2));
}

#[test]
fn a_member_that_may_not_campaign_ignores_the_order() {
    let mut r = raft(config(4), &[1, 2, 3]);
    assert!(answer(&mut r, 1, 1, Body::TimeoutNow).is_empty());
    assert_eq!((r.role(), r.term()), (Role::Follower, 1));
}
