//! Replication and commit.

use crate::harness::*;
use bytes::Bytes;
use proptest::prelude::*;
use seedbed::raft::*;

#[test]
fn what_a_leader_commits_every_member_applies_in_order() {
    let mut c = Cluster::new(3);
    c.elect(1);
    for data in ["a", "b", "c"] {
        c.propose(1, data);
    }
    c.elect(2);
    c.propose(2, "d");
    for id in c.ids() {
        assert_eq!(c.node(id).data(), ["a", "b", "c", "d"]);
    }
    c.assert_safe();
}

#[test]
fn a_follower_forwards_proposals_and_without_a_leader_refuses_them() {
    let mut c = Cluster::new(3);
    let refused = c.raft(2).propose(EntryKind::Normal, Bytes::from_static(b"x"));
    assert_eq!(refused, Err(ProposeError::NoLeader));
    c.elect(1);
    c.propose(2, "a");
    c.propose(3, "b");
    assert_eq!(c.node(1).data(), ["a", "b"]);
}

#[test]
fn a_minority_commits_nothing() {
    let mut c = Cluster::new(5);
    c.elect(1);
    for id in [3, 4, 5] {
        c.isolate(id);
    }
    c.propose(1, "a");
    assert_eq!(c.commits(), [1, 1, 1, 1, 1]);
    c.heal();
    c.tick(1, 1);
    assert_eq!(c.commits(), [2, 2, 2, 2, 2], "the heartbeat's answers show what is missing");
}

#[test]
fn a_leader_counts_its_own_copy_only_when_it_is_durable() {
    let mut r = raft(config(1), &[1, 2, 3]);
    lead(&mut r, &[2]);
    let own = |r: &Raft| r.progress().find(|p| p.0 == 1).unwrap().1.match_index;
    let ready = r.ready();
    assert_eq!((ready.entries.len(), own(&r)), (1, 0));
    assert!(ready.messages.iter().all(|m| matches!(m.body, Body::Append { .. })), "the offer does not wait");
    r.step(Message { from: 2, to: 1, term: 1, body: accepted(1) });
    assert_eq!(r.commit(), 0, "one of three");
    r.advance();
    assert_eq!((own(&r), r.commit()), (1, 1));
}

#[test]
fn two_followers_commit_before_the_leaders_own_save_and_it_applies_after() {
    let mut r = raft(config(1), &[1, 2, 3]);
    lead(&mut r, &[2]);
    r.ready();
    for from in [2, 3] {
        r.step(Message { from, to: 1, term: 1, body: accepted(1) });
    }
    assert_eq!(r.commit(), 1);
    assert!(!r.has_ready(), "one Ready at a time");
    r.advance();
    assert_eq!(r.ready().committed.len(), 1);
}

#[test]
fn an_entry_of_an_older_term_is_committed_only_by_one_of_the_own() {
    // Figure 8: entry 2 of term 2 comes to stand on a majority in term 4, and must not count.
    let mut r = raft_with(config(1), voters(&[1, 2, 3, 4, 5]), 3, &[1, 2]);
    lead(&mut r, &[2, 3]);
    flush(&mut r);
    for from in [2, 3] {
        answer(&mut r, from, 4, accepted(2));
    }
    assert_eq!(r.commit(), 0);
    for from in [2, 3] {
        answer(&mut r, from, 4, accepted(3));
    }
    assert_eq!(r.commit(), 3, "the own term's first entry commits all before it");
}

#[test]
fn a_new_leaders_first_entry_commits_what_its_predecessor_left() {
    let mut c = Cluster::new(3);
    c.elect(1);
    c.drop_if = Some(Box::new(|m| matches!(m.body, Body::AppendResp { .. })));
    c.propose(1, "a");
    assert_eq!(c.commits()[0], 1);
    c.heal();
    c.isolate(1);
    c.elect(2);
    assert_eq!(c.node(3).data(), ["a"]);
    c.assert_safe();
}

#[test]
fn a_followers_commit_never_passes_what_is_known_to_match() {
    let mut r = raft_with(config(2), voters(&[1, 2, 3]), 1, &[1, 1, 1, 1]);
    // The leader's append ends at 2; what follows here may not be the leader's.
    answer(&mut r, 1, 2, append(1, 1, vec![entry(2, 1)], 4));
    assert_eq!(r.commit(), 2);
    answer(&mut r, 1, 2, append(2, 1, vec![], 4));
    assert_eq!(r.commit(), 2);
    answer(&mut r, 1, 2, append(2, 1, vec![entry(3, 2), entry(4, 2)], 3));
    assert_eq!((r.commit(), r.last_index()), (3, 4));
}

#[test]
fn a_heartbeat_carries_no_more_commit_than_the_receiver_holds() {
    let mut r = raft(config(1), &[1, 2, 3]);
    lead(&mut r, &[2]);
    flush(&mut r);
    answer(&mut r, 2, 1, accepted(1));
    r.tick();
    let commits: Vec<_> = flush(&mut r)
        .into_iter()
        .filter_map(|m| match m.body {
            Body::Heartbeat { commit, .. } => Some((m.to, commit)),
            _ => None,
        })
        .collect();
    assert_eq!(commits, [(2, 1), (3, 0)]);
}

#[test]
fn an_append_is_accepted_where_it_matches_and_refused_with_a_hint_where_not() {
    let reject = |index, hint, term| Body::AppendResp { index, reject: Some(RejectHint { index: hint, term }) };
    let cases = [
        (append(0, 0, vec![], 0), accepted(0)),
        (append(2, 1, vec![], 0), accepted(2)),
        (append(3, 2, vec![entry(4, 3)], 0), accepted(4)),
        // Beyond the end: look at the end.
        (append(9, 3, vec![], 0), reject(9, 3, 2)),
        // The leader's term at 3 is 1, so our 2s are not its entries: look at 2.
        (append(3, 1, vec![], 0), reject(3, 2, 1)),
        (append(3, 3, vec![], 0), reject(3, 3, 2)),
    ];
    for (ask, expected) in cases {
        let mut r = raft_with(config(1), voters(&[1, 2, 3]), 3, &[1, 1, 2]);
        let sent = answer(&mut r, 2, 3, ask.clone());
        assert_eq!(sent[0].body, expected, "{ask:?}");
    }
}

#[test]
fn a_conflicting_suffix_is_replaced_and_an_old_append_cuts_nothing_off() {
    let terms = |r: &Raft| (1..=r.last_index()).map(|i| r.log().term_of(i).unwrap()).collect::<Vec<_>>();
    let mut r = raft_with(config(1), voters(&[1, 2, 3]), 3, &[1, 2, 2, 2]);
    answer(&mut r, 2, 3, append(1, 1, vec![entry(2, 3), entry(3, 3)], 0));
    assert_eq!(terms(&r), [1, 3, 3]);
    let appended = events(&mut r).into_iter().find(|e| matches!(e, RaftEvent::Appended { .. }));
    assert_eq!(appended, Some(RaftEvent::Appended { first: 2, last: 3 }));
    // The same leader's earlier, shorter append arrives late, then one again in full.
    answer(&mut r, 2, 3, append(1, 1, vec![entry(2, 3)], 0));
    assert_eq!(terms(&r), [1, 3, 3]);
    answer(&mut r, 2, 3, append(0, 0, vec![entry(1, 1), entry(2, 3), entry(3, 3)], 0));
    assert_eq!(terms(&r), [1, 3, 3]);
    assert!(events(&mut r).is_empty(), "nothing new");
}

#[test]
fn an_append_before_the_commit_index_is_answered_with_it() {
    let mut r = raft_with(config(1), voters(&[1, 2, 3]), 1, &[1, 1, 1]);
    answer(&mut r, 2, 1, append(3, 1, vec![], 3));
    assert_eq!(answer(&mut r, 2, 1, append(1, 1, vec![entry(2, 1)], 3))[0].body, accepted(3));
}

#[test]
fn the_logs_of_a_diverged_follower_converge_on_the_leaders() {
    // Raft paper, Figure 7: (a)–(f), with the leader's log on 1.
    let leader: &[u64] = &[1, 1, 1, 4, 4, 5, 5, 6, 6, 6];
    let followers: [&[u64]; 6] = [
        &[1, 1, 1, 4, 4, 5, 5, 6, 6],
        &[1, 1, 1, 4],
        &[1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6],
        &[1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7],
        &[1, 1, 1, 4, 4, 4, 4],
        &[1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3],
    ];
    for log in followers {
        let ids = [1, 2, 3];
        let mut c = Cluster::empty();
        c.add_with_log(config(1), voters(&ids), 8, leader);
        c.add_with_log(config(2), voters(&ids), 8, log);
        c.add_with_log(config(3), voters(&ids), 8, &[]);
        c.elect(1);
        let expected: Vec<u64> = leader.iter().copied().chain([9]).collect();
        assert_eq!(c.role(1), Role::Leader);
        for id in ids {
            assert_eq!(c.log_terms(id), expected, "{log:?}");
        }
        c.assert_safe();
    }
}

#[test]
fn a_rejection_skips_a_divergent_term_at_once_on_either_side() {
    // Rejections that it takes the leader until it knows where the logs agree.
    let rejections = |leader: &[u64], follower: &[u64]| {
        let mut c = Cluster::empty();
        c.add_with_log(config(1), voters(&[1, 2, 3]), 20, leader);
        c.add_with_log(config(2), voters(&[1, 2, 3]), 20, follower);
        c.add_with_log(config(3), voters(&[1, 2, 3]), 20, &[]);
        c.raft(1).campaign();
        let mut n = 0;
        loop {
            c.pump(1);
            c.pump(2);
            c.pump(3);
            let Some(m) = c.queue.pop_front() else { break };
            n += u32::from(m.from == 2 && matches!(m.body, Body::AppendResp { reject: Some(_), .. }));
            c.deliver(m);
        }
        assert_eq!(c.log_terms(1), c.log_terms(2));
        n
    };
    let long = |term: u64| [vec![1], vec![term; 500]].concat();
    assert_eq!(rejections(&long(5), &long(3)), 1, "the follower's hint skips its term, the leader skips its own");
    assert_eq!(rejections(&long(5), &[1]), 1);
    assert!(rejections(&[1, 3, 3, 5, 5, 5, 7], &[1, 2, 2, 4, 4, 4, 6]) <= 3);
}

#[test]
fn an_answer_that_came_late_or_twice_changes_nothing() {
    let mut r = raft(config(1), &[1, 2, 3]);
    lead(&mut r, &[2]);
    flush(&mut r);
    answer(&mut r, 2, 1, accepted(1));
    let progress = |r: &Raft| r.progress().find(|p| p.0 == 2).unwrap().1.clone();
    let before = progress(&r);
    answer(&mut r, 2, 1, accepted(1));
    answer(&mut r, 2, 1, accepted(0));
    let stale = Body::AppendResp { index: 0, reject: Some(RejectHint { index: 0, term: 0 }) };
    answer(&mut r, 2, 1, stale);
    assert_eq!(progress(&r), before);
    answer(&mut r, 2, 1, accepted(99));
    assert_eq!(progress(&r), before, "more than the leader has was never sent");
}

#[test]
fn a_disk_that_lost_acknowledged_entries_is_told_and_commits_nothing() {
    let mut r = raft_with(config(2), voters(&[1, 2, 3]), 1, &[1]);
    answer(&mut r, 1, 1, Body::Heartbeat { commit: 5, read_ctx: 0 });
    assert_eq!(r.commit(), 0);
    assert!(events(&mut r).contains(&RaftEvent::LostAcknowledged { commit: 5, last: 1 }));
}

proptest! {
    /// Whatever order appends and answers arrive in, once all have arrived the follower's log is the leader's.
    #[test]
    fn replication_survives_any_order_of_messages(picks in prop::collection::vec((0usize..64, any::<bool>()), 1..200)) {
        let mut c = Cluster::with(2, |config| Config { max_inflight: 4, max_size_per_msg: 0, ..config });
        c.elect(1);
        for (pick, propose) in picks {
            if propose {
                c.raft(1).propose(EntryKind::Normal, Bytes::from_static(b"x")).unwrap();
            }
            c.pump(1);
            c.pump(2);
            if !c.queue.is_empty() {
                let m = c.queue.remove(pick % c.queue.len()).unwrap();
                c.deliver(m);
            }
        }
        c.settle();
        c.tick(1, 2);
        prop_assert_eq!(c.log_terms(1), c.log_terms(2));
        prop_assert_eq!(c.node(1).raft.commit(), c.node(1).raft.last_index());
        c.assert_safe();
    }
}
