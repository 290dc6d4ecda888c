//! Flow control: probing, the window, sizes, limits.

use crate::harness::*;
use bytes::Bytes;
use seedbed::raft::*;

fn propose(r: &mut Raft, bytes: usize) -> Result<(), ProposeError> {
    r.propose(EntryKind::Normal, Bytes::from(vec![b'x'; bytes]))
}

/// The appends among `sent` to `to`: where each begins, and how many entries it has.
fn appends(sent: &[Message], to: NodeId) -> Vec<(u64, usize)> {
    let of = |m: &Message| match &m.body {
        Body::Append { prev_index, entries, .. } if m.to == to => Some((prev_index + 1, entries.len())),
        _ => None,
    };
    sent.iter().filter_map(of).collect()
}

/// A leader of two whose follower has accepted the first entry.
fn replicating(config: Config) -> Raft {
    let mut r = raft(config, &[1, 2]);
    lead(&mut r, &[2]);
    flush(&mut r);
    answer(&mut r, 2, 1, accepted(1));
    r
}

#[test]
fn while_probing_one_append_is_out_until_an_answer_or_a_heartbeats() {
    let mut r = raft(config(1), &[1, 2]);
    lead(&mut r, &[2]);
    for _ in 0..3 {
        propose(&mut r, 1).unwrap();
    }
    assert_eq!(appends(&flush(&mut r), 2), [(1, 1)]);
    let sent = answer(&mut r, 2, 1, Body::HeartbeatResp { read_ctx: 0 });
    assert_eq!(appends(&sent, 2), [(1, 4)], "the probe, again");
    propose(&mut r, 1).unwrap();
    assert!(appends(&flush(&mut r), 2).is_empty());
    let sent = answer(&mut r, 2, 1, accepted(4));
    assert_eq!(appends(&sent, 2), [(5, 1)]);
}

#[test]
fn while_replicating_appends_are_pipelined_up_to_the_window() {
    let mut r = replicating(Config { max_inflight: 3, ..config(1) });
    for _ in 0..5 {
        propose(&mut r, 1).unwrap();
    }
    assert_eq!(appends(&flush(&mut r), 2), [(2, 1), (3, 1), (4, 1)]);
    let paused = r.progress().find(|p| p.0 == 2).unwrap().1.is_paused();
    assert!(paused);
    // An acknowledgement frees all that it covers, and what had to wait goes together.
    let sent = answer(&mut r, 2, 1, accepted(3));
    assert_eq!(appends(&sent, 2).iter().map(|a| a.1).sum::<usize>(), 2);
    assert_eq!(appends(&sent, 2)[0].0, 5);
}

#[test]
fn a_heartbeats_answer_frees_one_place_of_a_full_window() {
    let mut r = replicating(Config { max_inflight: 2, ..config(1) });
    for _ in 0..4 {
        propose(&mut r, 1).unwrap();
        flush(&mut r);
    }
    for expected in [(4, 2), (6, 0)] {
        let sent = answer(&mut r, 2, 1, Body::HeartbeatResp { read_ctx: 0 });
        assert_eq!(appends(&sent, 2), [expected], "what waited, then an empty one that would show a loss");
    }
}

#[test]
fn a_lost_append_is_found_by_the_next_and_sent_again() {
    let mut c = Cluster::new(2);
    c.elect(1);
    c.drop_if = Some(Box::new(|m| matches!(m.body, Body::Append { .. })));
    c.propose(1, "lost");
    c.heal();
    c.propose(1, "found");
    assert_eq!(c.node(2).data(), ["lost", "found"]);
}

#[test]
fn an_append_carries_what_fits_into_its_size_but_at_least_one_entry() {
    let fits_two = 2 * (100 + ENTRY_OVERHEAD);
    for (max_size_per_msg, expected) in [(fits_two, vec![2, 2, 1]), (0, vec![1; 5]), (u64::MAX, vec![5])] {
        let mut r = raft(Config { max_size_per_msg, ..config(1) }, &[1, 2]);
        lead(&mut r, &[2]);
        flush(&mut r);
        for _ in 0..5 {
            propose(&mut r, 100).unwrap();
        }
        let sent = answer(&mut r, 2, 1, accepted(1));
        assert_eq!(appends(&sent, 2).iter().map(|a| a.1).collect::<Vec<_>>(), expected);
    }
}

#[test]
fn an_unreachable_member_is_probed_from_what_it_acknowledged() {
    let mut r = replicating(config(1));
    for _ in 0..3 {
        propose(&mut r, 1).unwrap();
    }
    flush(&mut r);
    r.report_unreachable(2);
    let progress = r.progress().find(|p| p.0 == 2).unwrap().1;
    assert_eq!((progress.state, progress.next, progress.inflight()), (ProgressState::Probe, 2, 0));
    propose(&mut r, 1).unwrap();
    assert_eq!(appends(&flush(&mut r), 2), [(2, 4)]);
}

#[test]
fn proposals_are_refused_while_too_much_is_uncommitted() {
    let mut r = replicating(Config { max_uncommitted_bytes: 250, ..config(1) });
    propose(&mut r, 100).unwrap();
    propose(&mut r, 100).unwrap();
    assert_eq!(propose(&mut r, 100), Err(ProposeError::TooMuchUncommitted));
    assert_eq!(propose(&mut r, 0), Ok(()), "empty ones pass");
    flush(&mut r);
    answer(&mut r, 2, 1, accepted(3));
    assert_eq!(r.commit(), 3);
    assert_eq!(propose(&mut r, 1000), Ok(()), "one of any size passes when nothing waits");
    assert_eq!(propose(&mut r, 1), Err(ProposeError::TooMuchUncommitted));
}

#[test]
fn a_leader_cut_off_does_not_let_its_log_grow_without_bound() {
    let mut c = Cluster::with(3, |config| Config { max_uncommitted_bytes: 1000, ..config });
    c.elect(1);
    c.isolate(1);
    let taken = (0..100).filter(|_| c.raft(1).propose(EntryKind::Normal, vec![0; 100].into()).is_ok()).count();
    assert_eq!(taken, 10);
    c.heal();
    c.settle();
    c.tick(1, 1);
    assert!(c.raft(1).propose(EntryKind::Normal, vec![0; 100].into()).is_ok());
}

#[test]
fn heartbeats_go_out_at_their_interval_and_keep_followers_quiet() {
    let mut r = raft(Config { heartbeat_ticks: 3, ..config(1) }, &[1, 2, 3]);
    lead(&mut r, &[2]);
    flush(&mut r);
    let beats: Vec<usize> = (0..6)
        .map(|_| {
            r.tick();
            flush(&mut r).iter().filter(|m| matches!(m.body, Body::Heartbeat { .. })).count()
        })
        .collect();
    assert_eq!(beats, [0, 0, 2, 0, 0, 2]);
}
