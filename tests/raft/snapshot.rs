//! Snapshots: sending, installing, failing.

use crate::harness::*;
use bytes::Bytes;
use seedbed::raft::*;

fn meta(index: u64, term: u64, ids: &[NodeId]) -> SnapshotMeta {
    SnapshotMeta { index, term, conf: voters(ids) }
}

fn snapshot(meta: SnapshotMeta) -> Body {
    Body::Snapshot(Box::new(Snapshot { meta, data: Bytes::from_static(b"image") }))
}

fn state(r: &Raft, id: NodeId) -> (ProgressState, u64, u64) {
    let progress = r.progress().find(|p| p.0 == id).unwrap().1;
    (progress.state, progress.match_index, progress.next)
}

/// A leader of term 2 whose log begins after a snapshot at 10, with 2 in need of it.
fn leader_with_snapshot() -> Raft {
    let recovered = Recovered {
        hard_state: HardState { term: 1, vote: 0, commit: 10 },
        snapshot: meta(10, 1, &[1, 2, 3]),
        entries: vec![],
        applied: 10,
    };
    let mut r = Raft::new(config(1), recovered).unwrap();
    lead(&mut r, &[3]);
    flush(&mut r);
    let reject = Body::AppendResp { index: 10, reject: Some(RejectHint { index: 0, term: 0 }) };
    let sent = answer(&mut r, 2, 2, reject);
    let Body::Snapshot(snapshot) = &sent[0].body else { panic!("{sent:?}") };
    assert_eq!((sent[0].to, snapshot.meta.index, snapshot.data.len()), (2, 10, 0));
    r
}

#[test]
fn a_follower_behind_the_compaction_gets_the_snapshot_and_then_the_log() {
    let mut c = Cluster::modern(3);
    c.elect(1);
    c.isolate(3);
    for data in ["a", "b", "c"] {
        c.propose(1, data);
    }
    c.compact(1);
    c.propose(1, "d");
    c.heal();
    c.tick_all(3);
    assert_eq!(c.node(3).disk.snapshot.index, 4);
    assert_eq!(c.node(3).data(), ["d"]);
    assert_eq!(c.commits(), [5, 5, 5]);
    assert_eq!(c.log_terms(3), [1]);
    let log = c.node(3).raft.log();
    assert_eq!((log.first_index(), log.term_of(4), log.entry(4)), (5, Some(1), None));
    c.crash_and_restart(3);
    c.propose(1, "e");
    assert_eq!(c.node(3).data(), ["d", "e"]);
    c.assert_safe();
}

#[test]
fn while_a_snapshot_is_under_way_no_appends_are_sent() {
    let mut r = leader_with_snapshot();
    assert_eq!(state(&r, 2).0, ProgressState::Snapshot { pending: 10 });
    r.propose(EntryKind::Normal, Bytes::from_static(b"x")).unwrap();
    assert!(flush(&mut r).iter().all(|m| m.to != 2));
    let sent = answer(&mut r, 2, 2, Body::HeartbeatResp { read_ctx: 0 });
    assert!(sent.is_empty());
}

#[test]
fn a_failed_snapshot_is_tried_again_after_the_member_speaks() {
    let mut r = leader_with_snapshot();
    r.report_snapshot(2, false);
    assert_eq!(state(&r, 2), (ProgressState::Probe, 0, 1));
    r.propose(EntryKind::Normal, Bytes::from_static(b"x")).unwrap();
    assert!(flush(&mut r).iter().all(|m| m.to != 2));
    let sent = answer(&mut r, 2, 2, Body::HeartbeatResp { read_ctx: 0 });
    assert!(matches!(sent[0].body, Body::Snapshot(_)));
}

#[test]
fn a_delivered_snapshot_is_followed_by_a_probe_after_it() {
    let mut r = leader_with_snapshot();
    r.report_snapshot(2, true);
    assert_eq!(state(&r, 2), (ProgressState::Probe, 0, 11));
    let sent = answer(&mut r, 2, 2, accepted(10));
    assert_eq!(state(&r, 2).0, ProgressState::Replicate);
    assert!(matches!(&sent[0].body, Body::Append { prev_index: 10, entries, .. } if entries.len() == 1));
}

#[test]
fn an_answer_that_reaches_the_snapshots_index_ends_its_wait_without_a_report() {
    let mut r = leader_with_snapshot();
    answer(&mut r, 2, 2, accepted(5));
    assert_eq!(state(&r, 2).0, ProgressState::Snapshot { pending: 10 });
    answer(&mut r, 2, 2, accepted(10));
    assert_eq!(state(&r, 2), (ProgressState::Replicate, 10, 12));
}

#[test]
fn a_silent_member_is_sent_no_snapshot() {
    let mut c = Cluster::modern(3);
    c.elect(1);
    c.isolate(3);
    c.tick_all(2 * ELECTION_TICKS);
    c.propose(1, "a");
    c.compact(1);
    c.propose(1, "b");
    assert_ne!(state(&c.node(1).raft, 3).0, ProgressState::Snapshot { pending: 2 });
}

#[test]
fn a_snapshot_replaces_log_and_configuration_and_is_handed_over_before_anything_after_it() {
    let mut r = raft_with(config(2), voters(&[1, 2]), 1, &[1, 1]);
    r.step(Message { from: 1, to: 2, term: 2, body: snapshot(meta(10, 2, &[1, 2, 3])) });
    r.step(Message { from: 1, to: 2, term: 2, body: append(10, 2, vec![entry(11, 2)], 11) });
    r.campaign();
    assert_eq!(r.role(), Role::Follower, "what it would vote for is not durable");
    let ready = r.ready();
    let taken = ready.snapshot.expect("the snapshot");
    assert_eq!((taken.meta.index, &taken.data[..]), (10, &b"image"[..]));
    assert!(ready.must_sync && ready.committed.is_empty());
    assert_eq!(ready.hard_state.unwrap().commit, 11);
    let acks: Vec<&Body> = ready.messages_after_save.iter().map(|m| &m.body).collect();
    assert_eq!(acks, [&accepted(10), &accepted(11)]);
    r.campaign();
    assert_eq!(r.role(), Role::Follower);
    r.advance();
    assert_eq!((r.conf(), r.commit()), (&voters(&[1, 2, 3]), 11));
    assert_eq!(r.ready().committed, [entry(11, 2)]);
    r.advance();
    r.applied_to(11);
    r.campaign();
    assert_eq!(r.role(), Role::Candidate);
}

#[test]
fn a_snapshot_that_brings_nothing_is_answered_with_the_commit_index() {
    let mut r = raft_with(config(2), voters(&[1, 2]), 1, &[1, 1, 1]);
    answer(&mut r, 1, 1, append(3, 1, vec![], 2));
    // Older than the commit index.
    assert_eq!(answer(&mut r, 1, 1, snapshot(meta(1, 1, &[1, 2])))[0].body, accepted(2));
    // In the log already: only the commit index moves.
    assert_eq!(answer(&mut r, 1, 1, snapshot(meta(3, 1, &[1, 2])))[0].body, accepted(3));
    assert_eq!((r.commit(), r.first_index()), (3, 1));
    // Of a cluster that this member is not in.
    assert_eq!(answer(&mut r, 1, 1, snapshot(meta(9, 1, &[1, 3])))[0].body, accepted(3));
    assert!(!events(&mut r).iter().any(|e| matches!(e, RaftEvent::Restored { .. })));
}

#[test]
fn a_learner_and_an_outgoing_voter_take_snapshots_and_their_part_comes_with_it() {
    let mut r = raft_with(config(2), voters(&[1, 2]), 1, &[]);
    let conf = with_learners(&[1, 3], &[2]);
    answer(&mut r, 1, 1, snapshot(SnapshotMeta { index: 5, term: 1, conf }));
    r.campaign();
    assert_eq!(r.role(), Role::Follower, "a voter became a learner");
    let conf = ConfState { voters: vec![1, 3], voters_outgoing: vec![1, 2], ..ConfState::default() };
    answer(&mut r, 1, 1, snapshot(SnapshotMeta { index: 8, term: 1, conf }));
    r.applied_to(8);
    r.campaign();
    assert_eq!(r.role(), Role::Candidate, "and votes again");
}

#[test]
fn a_save_that_was_out_when_the_snapshot_came_does_not_bring_its_entries_back() {
    let mut r = raft_with(config(2), voters(&[1, 2, 3]), 1, &[]);
    r.step(Message { from: 1, to: 2, term: 1, body: append(0, 0, entries(&[1, 1, 1]), 0) });
    let ready = r.ready();
    assert_eq!(ready.entries.len(), 3);
    r.step(Message { from: 3, to: 2, term: 2, body: snapshot(meta(2, 2, &[1, 2, 3])) });
    r.step(Message { from: 3, to: 2, term: 2, body: append(2, 2, vec![entry(3, 2)], 3) });
    r.advance();
    assert_eq!((r.log().stable(), r.last_index()), (2, 3), "entry 3 of term 1 was saved, entry 3 of term 2 was not");
    let ready = r.ready();
    assert!(ready.snapshot.is_some() && ready.committed.is_empty());
    assert_eq!(ready.entries, [entry(3, 2)]);
}
