//! Each switchable bug, off and on: the same story ends differently.
#![cfg(feature = "bugs")]

use crate::harness::*;
use bytes::Bytes;
use seedbed::bug::{Bug, BugSet};
use seedbed::raft::*;
use std::cell::Cell;

fn off_and_on(bug: Bug) -> [(bool, BugSet); 2] {
    [(false, BugSet::NONE), (true, bugs(bug))]
}

#[test]
fn ack_before_wal_applies_a_sole_voters_entry_that_a_crash_then_loses() {
    for (on, bugs) in off_and_on(Bug::AckBeforeWal) {
        let mut c = Cluster::with(1, |config| Config { bugs, ..config });
        c.elect(1);
        c.raft(1).propose(EntryKind::Normal, Bytes::from_static(b"a")).unwrap();
        c.begin(1);
        assert_eq!(c.node(1).data().contains(&"a"), on, "one Ready carries it to be saved and to be applied");
        c.crash_and_restart(1);
        c.elect(1);
        c.propose(1, "b");
        assert_eq!(c.node(1).data(), ["b"]);
        assert_eq!(c.violations.is_empty(), !on, "{:?}", c.violations);
    }
}

#[test]
fn vote_not_durable_elects_two_leaders_in_a_term() {
    for (on, bugs) in off_and_on(Bug::VoteNotDurable) {
        let mut c = Cluster::with(3, |config| Config { bugs, ..config });
        c.isolate(3);
        c.raft(1).campaign();
        c.pump(1);
        let ask = c.queue.pop_front().unwrap();
        assert_eq!(ask.to, 2);
        c.deliver(ask);
        c.begin(2);
        c.crash_and_restart(2);
        c.drop_if = Some(Box::new(|m| matches!(m.body, Body::Append { .. })));
        c.settle();
        assert_eq!(c.role(1) == Role::Leader, on, "the grant left before the crash, or never");
        c.heal();
        c.isolate(1);
        c.elect(3);
        assert_eq!((c.role(3), c.node(3).raft.term()), (Role::Leader, 1));
        assert_eq!(c.violations.is_empty(), !on, "{:?}", c.violations);
    }
}

#[test]
fn readindex_no_term_commit_lets_a_new_leader_miss_an_acknowledged_write() {
    for (on, bugs) in off_and_on(Bug::ReadindexNoTermCommit) {
        let mut c = Cluster::with(3, |config| Config { bugs, ..config });
        c.elect(1);
        // The followers hold the write; the news of its commit does not reach them.
        c.raft(1).propose(EntryKind::Normal, Bytes::from_static(b"a")).unwrap();
        c.drop_if = Some(Box::new(|m| matches!(m.body, Body::Append { commit: 2, .. })));
        c.settle();
        assert_eq!(c.commits(), [2, 1, 1]);
        // The new leader's first entry finds no answer yet, its heartbeats do.
        c.drop_if = Some(Box::new(|m| m.from == 1 || m.to == 1 || matches!(m.body, Body::AppendResp { .. })));
        c.elect(2);
        c.read(2, 1);
        let stale = ReadState { ctx: 1, index: 1 };
        assert_eq!(c.node(2).reads.contains(&stale), on);
        c.heal();
        c.tick_all(2);
        assert!(c.node(2).reads.last().unwrap().index >= if on { 1 } else { 2 });
    }
}

#[test]
fn commit_older_term_applies_an_entry_that_a_later_leader_overwrites() {
    for (on, bugs) in off_and_on(Bug::CommitOlderTerm) {
        // Raft paper, Figure 8 (c) to (d): 2 stands in the logs of S1 and S2, 3 in that of S5.
        let ids = [1, 2, 3, 4, 5];
        let logs: [&[u64]; 5] = [&[1, 2], &[1, 2], &[1], &[1], &[1, 3]];
        let mut c = Cluster::empty();
        for (id, log) in ids.into_iter().zip(logs) {
            c.add_with_log(Config { bugs, max_size_per_msg: 0, ..config(id) }, voters(&ids), 3, log);
        }
        // S1 leads term 4 and brings 2 to S3. Of its own term's entries only the first offer to S3 arrives, which S3 must
        // refuse, as it lacks 2.
        let offered = Cell::new(false);
        c.drop_if = Some(Box::new(move |m| match &m.body {
            Body::Append { .. } if m.to == 4 => true,
            Body::Append { entries, .. } if entries.iter().any(|e| e.term == 4) => m.to != 3 || offered.replace(true),
            _ => m.to == 5,
        }));
        c.elect(1);
        c.tick(1, 3);
        assert_eq!((c.role(1), c.log_terms(3)), (Role::Leader, vec![1, 2]));
        assert_eq!(c.node(1).raft.commit(), if on { 2 } else { 0 });
        // S1 is gone; S5 wins with the votes of S3 and S4, whose logs end in older terms.
        c.heal();
        c.isolate(1);
        c.elect(5);
        c.elect(5);
        assert_eq!(c.role(5), Role::Leader);
        assert_eq!(c.log_terms(4)[..2], [1, 3], "2 is overwritten, which only the mutant had applied");
        assert_eq!(c.violations.is_empty(), !on, "{:?}", c.violations);
    }
}

#[test]
fn prevote_wedge_leaves_two_of_three_without_a_leader() {
    for (on, bugs) in off_and_on(Bug::PrevoteWedge) {
        let ids = [1, 2, 3];
        let mut c = Cluster::empty();
        // 3 was away, and rejoins as the leader dies: 2 has the longer log and the later term.
        for (id, term, log) in [(1, 5, &[1, 5][..]), (2, 5, &[1, 5]), (3, 3, &[1])] {
            let modern = Config { pre_vote: true, check_quorum: true, bugs, ..config(id) };
            c.add_with_log(modern, voters(&ids), term, log);
        }
        c.isolate(1);
        c.tick_all(50 * ELECTION_TICKS);
        assert_eq!(c.leader(), if on { None } else { Some(2) });
        // 2's rehearsals are granted by 3 under its own old term and look stale; 3's are dropped by 2, so 3 never learns
        // the term. Both go on for ever.
        assert_eq!(c.terms()[1..] == [5, 3], on);
    }
}

#[test]
fn lease_read_under_pause_answers_from_before_a_new_leaders_write() {
    for (on, bugs) in off_and_on(Bug::LeaseReadUnderPause) {
        let mut c = Cluster::with(3, |config| Config { check_quorum: true, bugs, ..config });
        c.elect(1);
        c.propose(1, "a");
        // 1 is paused: it hears nothing and its ticks stand still.
        c.isolate(1);
        for id in [2, 3].into_iter().cycle().take(8 * ELECTION_TICKS as usize) {
            c.tick(id, 1);
        }
        let new = c.leader().unwrap();
        assert_ne!(new, 1);
        c.propose(new, "b");
        c.read(1, 1);
        assert_eq!(c.node(1).reads, if on { vec![ReadState { ctx: 1, index: 2 }] } else { vec![] });
    }
}
