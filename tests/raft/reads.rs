//! Linearizable reads by ReadIndex.

use crate::harness::*;
use seedbed::raft::*;

fn acks(sent: &[Message]) -> u64 {
    let of = |m: &Message| match m.body {
        Body::Heartbeat { read_ctx, .. } => Some(read_ctx),
        _ => None,
    };
    sent.iter().filter_map(of).max().unwrap_or(0)
}

#[test]
fn a_read_is_confirmed_by_a_majority_at_the_leader_and_at_a_follower() {
    let mut c = Cluster::new(3);
    c.elect(1);
    for (asker, ctx) in [(1, 7), (2, 8), (3, 9), (1, 10)] {
        c.propose(1, "a");
        let index = c.node(1).raft.commit();
        c.read(asker, ctx);
        assert_eq!(c.node(asker).reads.last(), Some(&ReadState { ctx, index }));
        assert!(c.node(asker).raft.applied() >= index);
    }
}

#[test]
fn a_learner_may_ask() {
    let mut c = Cluster::empty();
    for id in [1, 2] {
        c.add(config(id), with_learners(&[1], &[2]));
    }
    c.elect(1);
    c.read(2, 5);
    assert_eq!(c.node(2).reads, [ReadState { ctx: 5, index: 1 }]);
}

#[test]
fn without_a_leader_a_read_is_dropped() {
    let mut c = Cluster::new(3);
    c.read(2, 1);
    c.elect(1);
    c.tick_all(3);
    assert!(c.nodes.values().all(|n| n.reads.is_empty()));
}

#[test]
fn a_leader_without_a_majority_confirms_nothing() {
    let mut c = Cluster::new(3);
    c.elect(1);
    c.isolate(1);
    c.elect(2);
    c.propose(2, "a");
    c.read(1, 1);
    c.tick(1, 3);
    assert!(c.node(1).reads.is_empty(), "it would answer from before the write of the new leader");
    c.heal();
    c.tick_all(2);
    assert!(c.node(1).reads.is_empty(), "and what it had not answered is forgotten with its leadership");
}

#[test]
fn a_read_waits_until_the_new_leader_has_committed_in_its_own_term() {
    let mut c = Cluster::new(3);
    c.elect(1);
    c.propose(1, "a");
    c.drop_if = Some(Box::new(|m| matches!(m.body, Body::AppendResp { .. }) && m.term == 2));
    c.elect(2);
    c.read(2, 1);
    c.read(3, 2);
    c.tick(2, 2);
    assert!(c.node(2).reads.is_empty() && c.node(3).reads.is_empty());
    c.heal();
    c.tick(2, 2);
    assert_eq!(c.node(2).raft.commit(), 3);
    assert_eq!(c.node(2).reads, [ReadState { ctx: 1, index: 3 }]);
    assert_eq!(c.node(3).reads, [ReadState { ctx: 2, index: 3 }]);
}

#[test]
fn a_confirmation_releases_all_reads_that_were_asked_before_it_in_order() {
    let mut r = raft(config(1), &[1, 2, 3]);
    lead(&mut r, &[2]);
    flush(&mut r);
    answer(&mut r, 2, 1, accepted(1));
    let numbers: Vec<u64> = (1..=3)
        .map(|ctx| {
            r.read_index(ctx);
            acks(&flush(&mut r))
        })
        .collect();
    assert!(numbers.is_sorted());
    let mut answered = |ctx| {
        r.step(Message { from: 2, to: 1, term: 1, body: Body::HeartbeatResp { read_ctx: ctx } });
        let reads: Vec<u64> = r.ready().reads.iter().map(|read| read.ctx).collect();
        r.advance();
        reads
    };
    assert_eq!(answered(numbers[1]), [1, 2]);
    assert_eq!(answered(numbers[2]), [3]);
}

#[test]
fn a_repeated_answer_of_one_voter_is_one_voters_answer() {
    let mut r = raft(config(1), &[1, 2, 3, 4, 5]);
    lead(&mut r, &[2, 3]);
    flush(&mut r);
    for from in [2, 3] {
        answer(&mut r, from, 1, accepted(1));
    }
    r.read_index(1);
    let ctx = acks(&flush(&mut r));
    for from in [2, 2, 2, 9] {
        r.step(Message { from, to: 1, term: 1, body: Body::HeartbeatResp { read_ctx: ctx } });
    }
    flush(&mut r);
    r.step(Message { from: 3, to: 1, term: 1, body: Body::HeartbeatResp { read_ctx: ctx } });
    assert_eq!(r.ready().reads, [ReadState { ctx: 1, index: 1 }]);
}

#[test]
fn a_late_answer_to_an_earlier_read_does_not_confirm_a_later_one_with_the_same_name() {
    // etcd #20418: the asker tries again under the same name; the answer to the first try comes late.
    let mut r = raft(config(1), &[1, 2, 3]);
    lead(&mut r, &[2]);
    flush(&mut r);
    answer(&mut r, 2, 1, accepted(1));
    r.read_index(7);
    let first = acks(&flush(&mut r));
    answer(&mut r, 2, 1, Body::HeartbeatResp { read_ctx: first });
    r.read_index(7);
    flush(&mut r);
    r.step(Message { from: 3, to: 1, term: 1, body: Body::HeartbeatResp { read_ctx: first } });
    assert!(r.ready().reads.is_empty());
}

#[test]
fn a_lost_confirmation_round_is_repeated_by_the_next_heartbeat() {
    let mut c = Cluster::new(3);
    c.elect(1);
    c.drop_if = Some(Box::new(|m| matches!(m.body, Body::Heartbeat { .. })));
    c.read(1, 1);
    assert!(c.node(1).reads.is_empty());
    c.heal();
    c.tick(1, 1);
    assert_eq!(c.node(1).reads.len(), 1);
}

#[test]
fn a_sole_voter_answers_at_once_when_it_has_committed() {
    let mut c = Cluster::new(1);
    c.raft(1).campaign();
    c.raft(1).read_index(1);
    assert!(c.begin(1) && c.node(1).reads.is_empty(), "its first entry is not durable yet");
    c.finish(1);
    c.settle();
    c.read(1, 2);
    assert_eq!(c.node(1).reads, [ReadState { ctx: 1, index: 1 }, ReadState { ctx: 2, index: 1 }]);
}

#[test]
fn a_read_sent_to_a_former_leader_reaches_the_present_one() {
    let mut c = Cluster::new(3);
    c.elect(1);
    c.drop_if = Some(Box::new(|m| m.to == 3));
    c.elect(2);
    c.heal();
    assert_eq!(c.node(3).raft.leader(), 1);
    // It has not heard of the change yet: 1 passes the question on, and 2 answers the asker.
    c.raft(3).read_index(4);
    c.settle();
    assert_eq!(c.node(3).reads, [ReadState { ctx: 4, index: 2 }]);
}
