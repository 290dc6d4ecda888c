//! Elections, PreVote, CheckQuorum and its lease.

use crate::harness::*;
use seedbed::raft::*;
use std::collections::BTreeSet;

#[test]
fn a_member_starts_as_follower_without_a_leader() {
    let r = raft(config(1), &[1, 2, 3]);
    assert_eq!((r.role(), r.leader(), r.term()), (Role::Follower, 0, 0));
    assert!(!r.has_ready());
}

#[test]
fn a_candidate_with_a_majority_leads_and_the_others_follow() {
    for make in [Cluster::new, Cluster::modern] {
        for n in [1, 2, 3, 5] {
            let mut c = make(n);
            c.elect(1);
            assert_eq!(c.role(1), Role::Leader);
            assert!(c.nodes.values().all(|node| node.raft.leader() == 1 && node.raft.term() == 1));
            assert!(c.commits().iter().all(|&commit| commit == 1), "the leader's first entry is committed");
        }
    }
}

#[test]
fn a_candidate_without_a_majority_does_not_lead() {
    for (pre_vote, role) in [(false, Role::Candidate), (true, Role::PreCandidate)] {
        let mut c = Cluster::with(5, |config| Config { pre_vote, ..config });
        for silent in [3, 4, 5] {
            c.isolate(silent);
        }
        c.elect(1);
        assert_eq!(c.role(1), role);
        // A rehearsal leaves no trace in any term.
        assert_eq!(c.terms()[0], u64::from(!pre_vote));
    }
}

#[test]
fn every_member_can_lead_in_its_turn() {
    for make in [Cluster::new as fn(u64) -> Cluster, |n| Cluster::with(n, |c| Config { pre_vote: true, ..c })] {
        let mut c = make(3);
        for id in [1, 2, 3, 1] {
            c.elect(id);
            assert_eq!(c.leader(), Some(id));
            assert_eq!(c.roles().iter().filter(|&&role| role == Role::Leader).count(), 1);
        }
        c.assert_safe();
    }
}

#[test]
fn a_vote_is_given_once_a_term_and_survives_a_restart() {
    let mut r = raft(config(1), &[1, 2, 3]);
    let granted = |sent: &[Message]| matches!(sent, [Message { body: Body::VoteResp { reject: false, .. }, .. }]);
    assert!(granted(&answer(&mut r, 2, 1, vote(0, 0))));
    assert!(granted(&answer(&mut r, 2, 1, vote(0, 0))), "the same candidate asks again");
    assert!(!granted(&answer(&mut r, 3, 1, vote(9, 1))), "another candidate of the term");
    let recovered = Recovered {
        hard_state: r.hard_state(),
        snapshot: SnapshotMeta { conf: voters(&[1, 2, 3]), ..SnapshotMeta::default() },
        ..Recovered::default()
    };
    let mut r = Raft::new(config(1), recovered).unwrap();
    assert!(!granted(&answer(&mut r, 3, 1, vote(9, 1))));
    assert!(granted(&answer(&mut r, 3, 2, vote(9, 1))));
}

#[test]
fn only_a_log_at_least_as_up_to_date_gets_the_vote() {
    // The voter's log ends at (2, 2).
    let cases = [
        ((1, 1), false),
        ((2, 1), false),
        ((3, 1), false),
        ((1, 2), false),
        ((2, 2), true),
        ((3, 2), true),
        ((1, 3), true),
    ];
    for pre in [false, true] {
        for ((last_index, last_term), granted) in cases {
            let mut r = raft_with(config(1), voters(&[1, 2, 3]), 2, &[1, 2]);
            let ask = Body::Vote { pre, transfer: false, last_index, last_term };
            let sent = answer(&mut r, 2, 3, ask);
            assert_eq!(sent[0].body, Body::VoteResp { pre, reject: !granted }, "{last_index} {last_term} pre {pre}");
            let refused = RaftEvent::Refused { term: 3, candidate: 2, pre, cause: RefuseCause::LogBehind };
            assert_eq!(events(&mut r).contains(&refused), !granted);
        }
    }
}

#[test]
fn a_pre_vote_grant_names_the_future_term_and_a_reject_the_voters_own() {
    let mut r = raft_with(config(1), voters(&[1, 2, 3]), 2, &[1, 2]);
    let sent = answer(&mut r, 2, 6, pre_vote(2, 2));
    assert_eq!((sent[0].term, &sent[0].body), (6, &Body::VoteResp { pre: true, reject: false }));
    let sent = answer(&mut r, 2, 6, pre_vote(1, 1));
    assert_eq!((sent[0].term, &sent[0].body), (2, &Body::VoteResp { pre: true, reject: true }));
    assert_eq!((r.term(), r.vote()), (2, 0), "a rehearsal binds to nothing");
}

#[test]
fn votes_leave_only_after_the_save_that_records_them() {
    let mut r = raft(config(1), &[1, 2, 3]);
    r.step(Message { from: 2, to: 1, term: 4, body: vote(0, 0) });
    let ready = r.ready();
    assert!(ready.messages.is_empty());
    assert_eq!(ready.messages_after_save.len(), 1);
    assert_eq!(ready.hard_state, Some(HardState { term: 4, vote: 2, commit: 0 }));
    assert!(ready.must_sync);
    r.advance();
    // A candidate's requests too: they stand for its vote for itself.
    r.campaign();
    let ready = r.ready();
    assert!(ready.messages.is_empty());
    assert_eq!(ready.messages_after_save.len(), 2);
    assert_eq!(ready.hard_state, Some(HardState { term: 5, vote: 1, commit: 0 }));
}

#[test]
fn the_election_timeout_is_drawn_from_t_to_2t_and_differs_between_members() {
    let mut r = raft(config(1), &[1, 2, 3]);
    let mut seen = BTreeSet::new();
    for _ in 0..500 {
        r.campaign();
        flush(&mut r);
        seen.insert(r.randomized_timeout());
    }
    assert_eq!(seen, (ELECTION_TICKS..2 * ELECTION_TICKS).collect());
    let first: BTreeSet<u32> = (1..20).map(|id| raft(config(id), &[id]).randomized_timeout()).collect();
    assert!(first.len() > 5, "seeds spread the timeouts: {first:?}");
}

#[test]
fn a_silent_leader_is_replaced_after_the_timeout_and_not_before() {
    let mut c = Cluster::modern(3);
    c.elect(1);
    c.isolate(1);
    c.tick_all(ELECTION_TICKS - 1);
    assert_eq!(c.terms(), [1, 1, 1]);
    c.tick_all(3 * ELECTION_TICKS);
    assert!(matches!(c.leader(), Some(2 | 3)));
    let new = c.leader().unwrap();
    let timeout = c.node(new).events.iter().find_map(|e| match e {
        RaftEvent::Campaigned { cause: CampaignCause::Timeout { silent_ticks, timeout_ticks }, .. } => {
            Some((*silent_ticks, *timeout_ticks))
        }
        _ => None,
    });
    let (silent, timeout) = timeout.unwrap();
    assert!(silent == timeout && (ELECTION_TICKS..2 * ELECTION_TICKS).contains(&timeout));
}

#[test]
fn a_candidate_that_hears_the_leader_of_its_term_concedes() {
    for body in [Body::Heartbeat { commit: 0, read_ctx: 0 }, append(0, 0, vec![], 0)] {
        let mut r = raft(config(1), &[1, 2, 3]);
        r.campaign();
        answer(&mut r, 2, 1, body);
        assert_eq!((r.role(), r.leader(), r.term()), (Role::Follower, 2, 1));
        let stepped = RaftEvent::SteppedDown {
            role: Role::Candidate,
            old_term: 1,
            cause: StepDownCause::LeaderOfTerm { leader: 2 },
        };
        let seen = events(&mut r);
        assert!(seen.contains(&stepped) && seen.contains(&RaftEvent::Follows { term: 1, leader: 2 }));
    }
}

#[test]
fn a_candidate_refused_by_a_majority_becomes_follower_and_keeps_its_vote() {
    let mut r = raft(config(1), &[1, 2, 3]);
    r.campaign();
    for from in [2, 3] {
        answer(&mut r, from, 1, Body::VoteResp { pre: false, reject: true });
    }
    assert_eq!((r.role(), r.term(), r.vote()), (Role::Follower, 1, 1));
    answer(&mut r, 2, 1, Body::VoteResp { pre: false, reject: false });
    assert_eq!(r.role(), Role::Follower, "late grants do not revive it");
}

#[test]
fn a_second_vote_of_one_voter_does_not_count() {
    let mut r = raft(config(1), &[1, 2, 3, 4, 5]);
    r.campaign();
    for _ in 0..4 {
        answer(&mut r, 2, 1, Body::VoteResp { pre: false, reject: false });
    }
    assert_eq!(r.role(), Role::Candidate);
    answer(&mut r, 3, 1, Body::VoteResp { pre: false, reject: false });
    assert_eq!(r.role(), Role::Leader);
    let lead = events(&mut r).into_iter().find(|e| matches!(e, RaftEvent::BecameLeader { .. }));
    assert_eq!(lead, Some(RaftEvent::BecameLeader { term: 1, votes: vec![1, 2, 3] }));
}

#[test]
fn a_pre_vote_does_not_count_in_the_election_that_follows() {
    let mut r = raft(Config { pre_vote: true, ..config(1) }, &[1, 2, 3, 4, 5]);
    r.campaign();
    for from in [2, 3] {
        answer(&mut r, from, 1, Body::VoteResp { pre: true, reject: false });
    }
    assert_eq!((r.role(), r.term()), (Role::Candidate, 1));
    for from in [4, 5] {
        answer(&mut r, from, 1, Body::VoteResp { pre: true, reject: false });
    }
    assert_eq!(r.role(), Role::Candidate);
}

#[test]
fn any_role_takes_up_a_higher_term_and_ignores_a_lower_one() {
    for role in [Role::Follower, Role::Candidate, Role::Leader] {
        let mut r = raft(config(1), &[1, 2, 3]);
        match role {
            Role::Leader => lead(&mut r, &[2]),
            Role::Candidate => r.campaign(),
            _ => {}
        }
        answer(&mut r, 2, 7, append(0, 0, vec![], 0));
        assert_eq!((r.role(), r.term(), r.leader()), (Role::Follower, 7, 2));
        let sent = answer(&mut r, 3, 6, append(0, 0, entries(&[6]), 1));
        assert!(sent.is_empty() && r.leader() == 2, "a message of an old term changes nothing");
    }
}

#[test]
fn a_newer_log_wins_over_the_members_that_it_outdates() {
    for pre_vote in [false, true] {
        // 1 and 2 hold an entry of term 1; 3, 4 and 5 voted in term 2, where 3 appended one that nobody else has.
        let mut c = Cluster::empty();
        let ids = [1, 2, 3, 4, 5];
        let logs: [&[u64]; 5] = [&[1], &[1], &[2], &[], &[]];
        for (id, log) in ids.into_iter().zip(logs) {
            let (term, vote) = if id < 3 { (1, 1) } else { (2, 3) };
            let snapshot = SnapshotMeta { conf: voters(&ids), ..SnapshotMeta::default() };
            let hard_state = HardState { term, vote, commit: 0 };
            c.start(Config { pre_vote, ..config(id) }, Disk { hard_state, snapshot, entries: entries(log) });
        }
        c.elect(1);
        assert_ne!(c.role(1), Role::Leader, "the others voted in its term already");
        c.elect(1);
        assert_eq!(c.role(1), Role::Leader, "2, 4 and 5 do");
        assert!(ids.iter().all(|&id| c.log_terms(id) == c.log_terms(1)), "3's entry is overwritten");
        c.assert_safe();
    }
}

#[test]
fn dueling_candidates_end_with_one_leader() {
    for pre_vote in [false, true] {
        let mut c = Cluster::with(3, |config| Config { pre_vote, ..config });
        c.cut.extend([(1, 3), (3, 1)]);
        c.elect(1);
        c.elect(3);
        assert_eq!(c.role(1), Role::Leader);
        let loser = if pre_vote { Role::Follower } else { Role::Candidate };
        assert_eq!(c.role(3), loser, "2 had voted already, or followed already");
        c.heal();
        c.elect(3);
        // Its log lacks the leader's entry. Without PreVote its higher term still deposes the leader.
        assert_eq!(c.role(3), Role::Follower);
        assert_eq!(c.role(1), if pre_vote { Role::Leader } else { Role::Follower });
        c.assert_safe();
    }
}

#[test]
fn a_split_pre_vote_is_decided_by_the_next_campaign() {
    let mut c = Cluster::with(3, |config| Config { pre_vote: true, ..config });
    c.elect(1);
    c.isolate(1);
    c.raft(2).campaign();
    c.raft(3).campaign();
    c.settle();
    assert_eq!(c.leader(), Some(1));
    c.elect(2);
    assert_eq!(c.role(2), Role::Leader);
}

#[test]
fn a_returning_member_does_not_disturb_with_pre_vote_and_does_without() {
    for (pre_vote, disturbed) in [(false, true), (true, false)] {
        let mut c = Cluster::with(3, |config| Config { pre_vote, check_quorum: true, ..config });
        c.elect(1);
        c.isolate(3);
        c.tick_all(5 * ELECTION_TICKS);
        c.propose(1, "a");
        assert_eq!(c.terms()[2] > 1, disturbed, "alone, its term grows");
        c.heal();
        c.tick_all(3 * ELECTION_TICKS);
        let stepped = c.node(1).events.iter().any(|e| matches!(e, RaftEvent::SteppedDown { .. }));
        assert_eq!(stepped, disturbed);
        assert!(c.leader().is_some() && c.node(3).data() == ["a"]);
        c.assert_safe();
    }
}

#[test]
fn a_leader_that_lost_its_majority_steps_down_with_check_quorum() {
    let mut c = Cluster::modern(3);
    c.elect(1);
    c.tick_all(5 * ELECTION_TICKS);
    assert_eq!((c.role(1), c.node(1).raft.term()), (Role::Leader, 1), "while a majority answers it stays");
    c.isolate(1);
    c.tick(1, 2 * ELECTION_TICKS);
    assert_eq!((c.role(1), c.node(1).raft.leader()), (Role::Follower, 0));
    let stepped = RaftEvent::SteppedDown { role: Role::Leader, old_term: 1, cause: StepDownCause::QuorumLost };
    assert!(c.node(1).events.contains(&stepped));
}

#[test]
fn whoever_hears_a_leader_ignores_candidates_with_check_quorum() {
    let mut c = Cluster::with(3, |config| Config { check_quorum: true, ..config });
    c.elect(1);
    c.raft(3).campaign();
    c.settle();
    assert_eq!((c.role(1), c.role(3)), (Role::Leader, Role::Candidate));
    assert_eq!(c.terms(), [1, 1, 2]);
    let lease = RaftEvent::Refused { term: 2, candidate: 3, pre: false, cause: RefuseCause::Lease };
    assert!(c.node(2).events.contains(&lease));
    // Once 2 no longer hears the leader, its lease ends and it votes.
    c.isolate(1);
    c.tick(2, ELECTION_TICKS);
    c.elect(3);
    assert_eq!(c.role(3), Role::Leader);
}

#[test]
fn a_stuck_candidate_is_freed_by_deposing_the_leader_of_the_older_term() {
    let mut c = Cluster::with(3, |config| Config { check_quorum: true, ..config });
    c.elect(1);
    c.isolate(3);
    c.elect(3);
    c.heal();
    c.elect(3);
    assert_eq!(c.terms(), [1, 1, 3], "the others hold to their lease");
    c.tick(1, 1);
    // The leader's heartbeat was answered with the higher term.
    assert_eq!(c.role(1), Role::Follower);
    assert_eq!(c.node(1).raft.term(), 3);
    c.elect(1);
    assert_eq!(c.leader(), Some(1));
    assert_eq!(c.node(3).raft.leader(), 1, "and the stuck one follows again");
}

#[test]
fn a_member_of_a_smaller_term_can_complete_an_election_with_pre_vote() {
    // 3 missed the last elections; then the leader of those dies.
    let mut c = Cluster::with(3, |config| Config { pre_vote: true, ..config });
    c.elect(1);
    c.isolate(3);
    c.elect(2);
    c.elect(1);
    assert!(c.terms()[2] < c.terms()[1]);
    c.heal();
    c.isolate(1);
    for _ in 0..3 {
        c.elect(3);
        c.elect(2);
    }
    assert_eq!(c.leader().map(|id| c.role(id)), Some(Role::Leader));
    assert!(c.role(2) == Role::Leader || c.role(3) == Role::Leader);
    c.assert_safe();
}

#[test]
fn a_cluster_that_migrates_to_pre_vote_can_still_elect() {
    let mut c = Cluster::empty();
    for id in 1..=3 {
        c.add_with_log(Config { pre_vote: id != 3, ..config(id) }, voters(&[1, 2, 3]), 1, &[1]);
    }
    c.elect(1);
    c.isolate(3);
    c.tick(3, 4 * ELECTION_TICKS);
    c.propose(1, "a");
    c.heal();
    let mut on = Cluster::empty();
    for id in c.ids() {
        on.start(Config { pre_vote: true, ..config(id) }, c.node(id).disk.clone());
    }
    // The longest term and the best log are not on the same member.
    on.isolate(1);
    for _ in 0..3 {
        on.elect(3);
        on.elect(2);
    }
    assert_eq!(on.role(2), Role::Leader, "{:?}", on.terms());
}

#[test]
fn a_deaf_follower_cannot_depose_the_leader() {
    // It hears nothing from the leader, but the others hear it.
    let mut c = Cluster::modern(3);
    c.elect(1);
    c.cut.insert((1, 3));
    c.tick_all(10 * ELECTION_TICKS);
    assert_eq!((c.role(1), c.node(1).raft.term()), (Role::Leader, 1));
    assert_eq!(c.role(3), Role::PreCandidate);
}

#[test]
fn a_sole_voter_leads_at_once_but_offers_nothing_before_its_term_is_durable() {
    let mut r = raft_with(config(1), with_learners(&[1], &[2]), 0, &[]);
    r.campaign();
    assert_eq!(r.role(), Role::Leader);
    let ready = r.ready();
    assert!(ready.messages.is_empty() && ready.committed.is_empty());
    assert!(matches!(ready.messages_after_save[..], [Message { to: 2, body: Body::Append { .. }, .. }]));
    assert_eq!(r.commit(), 0);
    r.advance();
    assert_eq!(r.commit(), 1);
}

#[test]
fn a_learner_never_campaigns_but_may_vote() {
    let mut r = raft_with(config(2), with_learners(&[1], &[2]), 0, &[]);
    for _ in 0..5 * ELECTION_TICKS {
        r.tick();
    }
    r.campaign();
    assert_eq!((r.role(), r.term()), (Role::Follower, 0));
    let sent = answer(&mut r, 1, 1, vote(0, 0));
    assert_eq!(sent[0].body, Body::VoteResp { pre: false, reject: false }, "it may not know of its promotion yet");
}

#[test]
fn a_leader_does_not_campaign() {
    let mut c = Cluster::new(3);
    c.elect(1);
    c.elect(1);
    assert_eq!((c.role(1), c.node(1).raft.term()), (Role::Leader, 1));
}
