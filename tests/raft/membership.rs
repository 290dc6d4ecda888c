//! The seam for configuration changes: quorums, progress, pending changes, joint consensus.

use crate::harness::*;
use bytes::Bytes;
use seedbed::raft::*;

#[test]
fn a_new_member_is_probed_from_the_logs_end_and_the_known_keep_their_progress() {
    let mut r = raft(config(1), &[1, 2]);
    lead(&mut r, &[2]);
    flush(&mut r);
    answer(&mut r, 2, 1, accepted(1));
    r.apply_conf_change(voters(&[1, 2, 3]));
    let progress: Vec<_> = r.progress().map(|(id, p)| (id, p.match_index, p.next, p.state)).collect();
    assert_eq!(progress[1], (2, 1, 2, ProgressState::Replicate));
    assert_eq!((progress[2].0, progress[2].1, progress[2].3), (3, 0, ProgressState::Probe));
}

#[test]
fn members_join_as_learners_are_promoted_and_lead() {
    let mut c = Cluster::new(1);
    c.elect(1);
    c.propose(1, "a");
    c.propose_conf(1, &with_learners(&[1], &[2]));
    c.add(config(2), ConfState::default());
    c.tick(1, 3);
    assert_eq!(c.node(2).data(), ["a"]);
    assert_eq!(c.node(2).raft.conf(), &with_learners(&[1], &[2]));
    c.elect(2);
    assert_eq!(c.role(2), Role::Follower);
    c.propose_conf(1, &voters(&[1, 2]));
    c.elect(2);
    assert_eq!(c.leader(), Some(2));
    c.assert_safe();
}

#[test]
fn removing_a_silent_voter_commits_what_waited_for_it() {
    let mut r = raft(config(1), &[1, 2]);
    lead(&mut r, &[2]);
    flush(&mut r);
    answer(&mut r, 2, 1, accepted(1));
    r.propose(EntryKind::Normal, Bytes::from_static(b"x")).unwrap();
    r.read_index(1);
    flush(&mut r);
    assert_eq!(r.commit(), 1);
    r.apply_conf_change(voters(&[1]));
    assert_eq!(r.commit(), 2);
    assert_eq!(r.ready().reads, [ReadState { ctx: 1, index: 1 }], "the read that waited for it, too");
}

#[test]
fn only_one_configuration_change_is_pending_at_a_time() {
    let mut r = raft_with(config(1), voters(&[1, 2, 3]), 1, &[1]);
    lead(&mut r, &[2]);
    let kind = |r: &Raft, index| r.log().entry(index).unwrap().kind;
    let change = || encode_conf(&voters(&[1, 2]));
    r.propose(EntryKind::ConfChange, change()).unwrap();
    assert_eq!(kind(&r, 3), EntryKind::Normal, "what the log may hold from before is not applied yet: replaced");
    flush(&mut r);
    answer(&mut r, 2, 2, accepted(3));
    r.propose(EntryKind::ConfChange, change()).unwrap();
    r.propose(EntryKind::ConfChange, change()).unwrap();
    assert_eq!((kind(&r, 4), kind(&r, 5)), (EntryKind::ConfChange, EntryKind::Normal));
    answer(&mut r, 2, 2, accepted(5));
    r.propose(EntryKind::ConfChange, change()).unwrap();
    assert_eq!(kind(&r, 6), EntryKind::ConfChange);
    // Leaving a joint configuration that there is none of.
    answer(&mut r, 2, 2, accepted(6));
    r.propose(EntryKind::ConfChangeV2, Bytes::new()).unwrap();
    assert_eq!(kind(&r, 7), EntryKind::Normal);
}

#[test]
fn nobody_campaigns_before_it_has_applied_a_committed_configuration_change() {
    let change = Entry { kind: EntryKind::ConfChange, data: encode_conf(&voters(&[1])), ..entry(1, 1) };
    let recovered = Recovered {
        hard_state: HardState { term: 1, vote: 0, commit: 1 },
        snapshot: SnapshotMeta { conf: voters(&[1, 2]), ..SnapshotMeta::default() },
        entries: vec![change],
        applied: 0,
    };
    let mut r = Raft::new(config(1), recovered).unwrap();
    r.campaign();
    r.step(Message { from: 2, to: 1, term: 1, body: Body::TimeoutNow });
    assert_eq!(r.role(), Role::Follower);
    assert_eq!(r.ready().committed.len(), 1);
    r.advance();
    r.apply_conf_change(voters(&[1]));
    r.applied_to(1);
    r.campaign();
    assert_eq!(r.role(), Role::Leader);
}

#[test]
fn a_joint_configuration_needs_both_majorities_and_leaves_by_itself() {
    let mut c = Cluster::new(3);
    for id in [4, 5] {
        c.add(config(id), ConfState::default());
    }
    c.elect(1);
    let joint = ConfState {
        voters: vec![1, 4, 5],
        voters_outgoing: vec![1, 2, 3],
        learners_next: vec![2],
        auto_leave: true,
        ..ConfState::default()
    };
    // 4 and 5 do not answer: the joint configuration is entered by the old majority, and left by both only.
    for id in [4, 5] {
        c.isolate(id);
    }
    c.propose_conf(1, &joint);
    assert_eq!(c.node(1).raft.conf(), &joint);
    let stuck = c.node(1).raft.commit();
    c.raft(1).propose(EntryKind::Normal, Bytes::from_static(b"a")).unwrap();
    c.settle();
    assert_eq!(c.node(1).raft.commit(), stuck);
    c.heal();
    c.tick(1, 2);
    let left = ConfState { voters: vec![1, 4, 5], learners: vec![2], ..ConfState::default() };
    assert_eq!(c.node(1).raft.conf(), &left);
    assert_eq!(c.node(4).data(), ["a"]);
    c.elect(5);
    assert_eq!(c.leader(), Some(5));
    c.assert_safe();
}

#[test]
fn a_leader_that_is_removed_takes_no_more_proposals() {
    let mut r = raft(config(1), &[1, 2, 3]);
    lead(&mut r, &[2]);
    flush(&mut r);
    r.apply_conf_change(voters(&[2, 3]));
    assert_eq!(r.propose(EntryKind::Normal, Bytes::new()), Err(ProposeError::NotMember));
    // It still commits by the others' majority, so that they learn of the removal (as in etcd).
    for from in [2, 3] {
        answer(&mut r, from, 1, accepted(1));
    }
    assert_eq!(r.commit(), 1);
}

#[test]
fn adding_a_member_does_not_depose_a_leader_by_check_quorum() {
    let mut c = Cluster::with(1, |config| Config { check_quorum: true, ..config });
    c.elect(1);
    c.tick(1, ELECTION_TICKS - 1);
    c.propose_conf(1, &voters(&[1, 2]));
    c.tick(1, 2);
    assert_eq!(c.role(1), Role::Leader, "the new member had no time to speak");
}
