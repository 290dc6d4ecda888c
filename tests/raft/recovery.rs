//! Bootstrap, restart, what is saved and handed out when.

use crate::harness::*;
use bytes::Bytes;
use seedbed::raft::*;

fn recovered(commit: u64, snapshot: SnapshotMeta, entries: Vec<Entry>, applied: u64) -> Recovered {
    Recovered { hard_state: HardState { term: 3, vote: 0, commit }, snapshot, entries, applied }
}

fn at(index: u64, term: u64) -> SnapshotMeta {
    SnapshotMeta { index, term, conf: voters(&[1, 2, 3]) }
}

#[test]
fn a_new_clusters_first_ready_saves_the_changes_that_made_it_and_then_hands_them_out() {
    let change = |index| Entry { kind: EntryKind::ConfChange, data: Bytes::from_static(b"add"), ..entry(index, 1) };
    let mut r = Raft::bootstrap(config(1), voters(&[1, 2]), vec![change(1), change(2)]);
    assert_eq!((r.term(), r.commit(), r.applied(), r.conf()), (1, 2, 0, &voters(&[1, 2])));
    let ready = r.ready();
    assert_eq!(ready.entries.len(), 2);
    assert_eq!(ready.hard_state, Some(HardState { term: 1, vote: 0, commit: 2 }));
    assert!(ready.must_sync && ready.committed.is_empty());
    r.advance();
    assert_eq!(r.ready().committed, [change(1), change(2)]);
    r.advance();
    assert!(!r.has_ready());
    r.campaign();
    assert_eq!(r.role(), Role::Follower, "before they are applied it does not campaign");
    r.applied_to(2);
    r.campaign();
    assert_eq!((r.role(), r.term()), (Role::Candidate, 2));
}

#[test]
fn a_restart_hands_out_what_was_committed_and_not_applied() {
    let log = || entries(&[1, 1, 2, 3]);
    let mut r = Raft::new(config(1), recovered(3, at(0, 0), log(), 0)).unwrap();
    assert_eq!((r.term(), r.last_index(), r.log().stable()), (3, 4, 4));
    let ready = r.ready();
    assert_eq!(ready.committed.len(), 3);
    assert!(ready.entries.is_empty() && ready.hard_state.is_none() && !ready.must_sync);
    let mut r = Raft::new(config(1), recovered(3, at(0, 0), log(), 2)).unwrap();
    assert_eq!(r.ready().committed, [entry(3, 2)]);
}

#[test]
fn a_restart_from_a_snapshot_hands_out_only_what_follows_it() {
    let mut r = Raft::new(config(1), recovered(6, at(5, 2), vec![entry(6, 3)], 5)).unwrap();
    assert_eq!((r.first_index(), r.log().term_of(5), r.log().term_of(4)), (6, Some(2), None));
    assert_eq!(r.ready().committed, [entry(6, 3)]);
}

#[test]
fn the_state_machine_may_know_of_a_commit_that_the_hard_state_does_not() {
    // A lone advance of the commit index is not synced.
    let r = Raft::new(config(1), recovered(1, at(0, 0), entries(&[1, 1, 1]), 2)).unwrap();
    assert_eq!((r.commit(), r.applied()), (2, 2));
}

#[test]
fn a_torn_save_that_lost_its_hard_state_does_not_take_the_term_back() {
    let r = Raft::new(config(1), recovered(0, at(0, 0), entries(&[1, 5]), 0)).unwrap();
    assert_eq!((r.term(), r.vote()), (5, 0), "or it could lead term 4 with entries of term 5 before its own");
}

#[test]
fn entries_that_a_snapshot_superseded_are_left_behind() {
    let r = Raft::new(config(1), recovered(5, at(5, 3), vec![entry(6, 2), entry(7, 2)], 5)).unwrap();
    assert_eq!((r.last_index(), r.last_term()), (5, 3));
}

#[test]
fn a_disk_that_cannot_be_a_members_state_is_refused() {
    let start = |r: Recovered| Raft::new(config(1), r).err().unwrap();
    assert_eq!(
        start(recovered(3, at(0, 0), entries(&[1, 1]), 0)),
        RecoverError::LogBehindCommit { last: 2, commit: 3 }
    );
    assert_eq!(start(recovered(4, at(5, 3), vec![], 5)), RecoverError::CommitBehindSnapshot { commit: 4, snapshot: 5 });
    assert_eq!(start(recovered(1, at(0, 0), entries(&[1]), 2)), RecoverError::LogBehindApplied { last: 1, applied: 2 });
    let gap = vec![entry(6, 3), entry(8, 3)];
    assert_eq!(start(recovered(5, at(5, 3), gap, 5)), RecoverError::Gap { expected: 7, found: 8 });
    let after_snapshot = vec![entry(7, 3)];
    assert_eq!(start(recovered(5, at(5, 3), after_snapshot, 5)), RecoverError::Gap { expected: 6, found: 7 });
    let error = start(recovered(0, at(0, 0), entries(&[2, 1]), 0));
    assert_eq!(error, RecoverError::TermDecreases { index: 2, term: 1, before: 2 });
    assert_eq!(error.to_string(), "entry 2 has term 1, but the entry before it has term 2");
}

#[test]
fn a_ready_hands_out_at_most_a_mebibyte_but_at_least_one_entry() {
    let big = |index, len: usize| Entry { data: Bytes::from(vec![0; len]), ..entry(index, 1) };
    let log = vec![big(1, 600 << 10), big(2, 600 << 10), big(3, 3 << 20), big(4, 10), big(5, 10)];
    let mut r = Raft::new(config(1), recovered(5, at(0, 0), log, 0)).unwrap();
    let mut batches = Vec::new();
    while r.has_ready() {
        batches.push(r.ready().committed.iter().map(|e| e.index).collect::<Vec<_>>());
        r.advance();
    }
    assert_eq!(batches, [vec![1], vec![2], vec![3], vec![4, 5]]);
}

#[test]
fn a_lone_commit_needs_no_sync_and_a_follower_hands_out_only_what_is_saved() {
    let mut r = raft(config(2), &[1, 2, 3]);
    r.step(Message { from: 1, to: 2, term: 1, body: append(0, 0, vec![entry(1, 1)], 1) });
    let ready = r.ready();
    assert!(ready.must_sync && ready.committed.is_empty());
    assert_eq!(ready.messages_after_save.len(), 1);
    assert!(!r.has_ready());
    r.advance();
    assert_eq!(r.ready().committed.len(), 1);
    r.advance();
    answer(&mut r, 1, 1, append(1, 1, vec![entry(2, 1)], 1));
    r.step(Message { from: 1, to: 2, term: 1, body: Body::Heartbeat { commit: 2, read_ctx: 0 } });
    let ready = r.ready();
    assert_eq!(ready.hard_state, Some(HardState { term: 1, vote: 0, commit: 2 }));
    assert!(!ready.must_sync && ready.committed.len() == 1);
}

#[test]
fn while_a_save_is_out_messages_pile_up_for_the_next_ready() {
    let mut r = raft(config(2), &[1, 2, 3]);
    r.step(Message { from: 1, to: 2, term: 1, body: append(0, 0, entries(&[1, 1]), 0) });
    r.ready();
    // A new leader cuts off entry 2 while it is being saved.
    r.step(Message { from: 3, to: 2, term: 2, body: append(1, 1, vec![entry(2, 2)], 0) });
    assert!(!r.has_ready());
    r.advance();
    assert_eq!(r.log().stable(), 1, "the entry 2 that was saved is not the log's any more");
    let ready = r.ready();
    assert_eq!(ready.entries, [entry(2, 2)]);
    assert_eq!(ready.messages_after_save.len(), 1);
    r.advance();
    assert_eq!(r.log().stable(), 2);
}

#[test]
#[should_panic(expected = "invariant: one Ready at a time")]
fn a_second_ready_is_an_own_bug() {
    let mut r = raft(config(1), &[1]);
    r.campaign();
    r.ready();
    r.ready();
}

#[test]
#[should_panic(expected = "invariant: only entries that were handed out are applied (1 after 0)")]
fn applying_what_was_not_handed_out_is_an_own_bug() {
    raft_with(config(1), voters(&[1]), 1, &[1]).applied_to(1);
}

#[test]
fn compaction_drops_entries_and_keeps_the_last_ones_term() {
    let mut c = Cluster::new(3);
    c.elect(1);
    for _ in 0..10 {
        c.propose(1, "0123456789");
    }
    let before = c.node(1).raft.log().bytes();
    c.raft(1).compact(6);
    let log = c.node(1).raft.log();
    assert_eq!((log.first_index(), log.term_of(6), log.term_of(5), log.entry(6)), (7, Some(1), None, None));
    assert_eq!(before - log.bytes(), 6 * ENTRY_OVERHEAD + 5 * 10);
    assert_eq!(log.slice(3, 9, u64::MAX), []);
    assert_eq!(log.slice(7, 99, u64::MAX).len(), 5);
    c.propose(1, "after");
    assert_eq!(c.node(2).data().last(), Some(&"after"));
}

#[test]
fn a_member_that_restarts_catches_up_and_keeps_what_it_acknowledged() {
    let mut c = Cluster::modern(3);
    c.elect(1);
    c.propose(1, "a");
    c.crash_and_restart(2);
    c.propose(1, "b");
    c.tick(1, 2);
    assert_eq!(c.node(2).data(), ["a", "b"]);
    c.crash_and_restart(1);
    c.crash_and_restart(3);
    c.tick_all(4 * ELECTION_TICKS);
    assert!(c.leader().is_some());
    for id in c.ids() {
        assert_eq!(c.node(id).data(), ["a", "b"]);
    }
    c.assert_safe();
}
