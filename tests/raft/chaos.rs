//! Random schedules: messages lost, repeated and reordered, saves cut short by crashes, reads, transfers, compaction.
//! Safety holds at every step; after healing the cluster makes progress.

use crate::harness::*;
use bytes::Bytes;
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};
#[cfg(feature = "bugs")]
use seedbed::bug::Bug;
use seedbed::bug::BugSet;
use seedbed::raft::*;
use std::collections::BTreeMap;

struct Dice(Xoshiro256PlusPlus);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.0.next_u64()) * n as u128) >> 64) as usize
    }
}

fn run(seed: u64, bugs: BugSet) -> Cluster {
    let mut dice = Dice(Xoshiro256PlusPlus::seed_from_u64(seed));
    let n = [1, 2, 3, 3, 5][dice.below(5)];
    let (pre_vote, check_quorum) = (dice.below(2) == 0, dice.below(2) == 0);
    let max_inflight = 1 + dice.below(4);
    let max_size_per_msg = [0, 3 * ENTRY_OVERHEAD, 1 << 20][dice.below(3)];
    let mut c = Cluster::with(n, |config| Config {
        pre_vote,
        check_quorum,
        election_ticks: 5,
        max_inflight,
        max_size_per_msg,
        seed: config.id * 1000 + seed,
        bugs,
        ..config
    });
    let mut asked: BTreeMap<u64, u64> = BTreeMap::new();
    for step in 0..3000u64 {
        let id = 1 + dice.below(n as usize) as u64;
        match dice.below(100) {
            0..20 => {
                c.begin(id);
            }
            20..40 => {
                c.finish(id);
            }
            40..75 => {
                for _ in 0..1 + dice.below(4) {
                    deliver_some(&mut c, &mut dice);
                }
            }
            75..87 => c.raft(id).tick(),
            87..93 => {
                let _ = c.raft(id).propose(EntryKind::Normal, Bytes::from(step.to_string()));
            }
            93..97 => {
                // Whatever was applied anywhere may have been acknowledged: the read must not miss it.
                asked.insert(step, c.nodes.values().map(|n| n.raft.applied()).max().unwrap());
                c.raft(id).read_index(step);
            }
            97 => c.raft(id).transfer_leader(1 + (id % n)),
            98 if c.node(id).raft.applied() > 3 => c.compact(id),
            99 => match dice.below(4) {
                0 => c.crash_and_restart(id),
                1 => c.isolate(id),
                _ => c.heal(),
            },
            _ => {}
        }
        for node in c.nodes.values_mut() {
            for read in node.reads.drain(..) {
                if read.index < asked[&read.ctx] {
                    c.violations.push(format!("a read at {} misses {}", read.index, asked[&read.ctx]));
                }
            }
        }
    }
    c
}

/// One message, mostly the oldest; sometimes lost, sometimes twice.
fn deliver_some(c: &mut Cluster, dice: &mut Dice) {
    if c.queue.is_empty() {
        return;
    }
    let at = if dice.below(4) == 0 { dice.below(c.queue.len()) } else { 0 };
    let m = c.queue.remove(at).unwrap();
    match dice.below(40) {
        0 if matches!(m.body, Body::Snapshot(_)) => c.raft(m.from).report_snapshot(m.to, false),
        0 => c.raft(m.from).report_unreachable(m.to),
        1 => {}
        2 => {
            c.queue.push_back(m.clone());
            c.deliver(m);
        }
        _ => c.deliver(m),
    }
}

fn heal(c: &mut Cluster) {
    c.heal();
    for id in c.ids() {
        c.finish(id);
        c.pump(id);
        // What was lost before is reported as a transport would.
        for other in c.ids() {
            c.raft(id).report_snapshot(other, false);
        }
    }
    c.settle();
    c.tick_all(20 * ELECTION_TICKS);
    let leader = c.leader().expect("a leader after healing");
    c.propose(leader, "end");
    c.tick_all(2);
    for id in c.ids() {
        assert_eq!(c.node(id).raft.commit(), c.node(leader).raft.commit());
        assert_eq!(c.node(id).raft.applied(), c.node(leader).raft.commit());
    }
}

#[test]
fn random_schedules_are_safe_and_end_with_progress() {
    for seed in 0..400 {
        let caught = std::panic::catch_unwind(|| {
            let mut c = run(seed, BugSet::NONE);
            c.assert_safe();
            heal(&mut c);
            c.assert_safe();
        });
        assert!(caught.is_ok(), "seed {seed}");
    }
}

#[test]
fn the_same_schedule_runs_the_same_twice() {
    for seed in 0..20 {
        let trace = |c: Cluster| {
            let of =
                |n: &Node| (n.events.clone(), n.raft.hard_state(), n.raft.last_index(), n.raft.randomized_timeout());
            (c.nodes.values().map(of).collect::<Vec<_>>(), c.queue)
        };
        assert_eq!(trace(run(seed, BugSet::NONE)), trace(run(seed, BugSet::NONE)));
    }
}

#[test]
#[cfg(feature = "bugs")]
fn the_schedules_are_hard_enough_to_catch_bugs() {
    for bug in [Bug::ReadindexNoTermCommit, Bug::CommitOlderTerm] {
        let caught = (0..200).filter(|&seed| !run(seed, bugs(bug)).violations.is_empty()).count();
        assert!(caught > 2, "{bug:?}: {caught} of 200");
    }
}
