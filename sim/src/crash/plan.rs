//! What happens to the member while it is cut: a short script for each operation.
//!
//! A script is small, since everything in it is cut at every step, and its numbers are too: segments of 2 KiB,
//! snapshots every ten entries, compactions in slices of three records, so that few writes reach every corner. Values,
//! keys and pauses differ from round to round.

use super::donor::{Donor, value};
use super::leader::Leader;
use super::{Operation, Options};
use crate::world::random::Stream;
use crate::world::settings::peer;
use seedbed::member::{Config, Peer};
use seedbed::pb::ids;
use seedbed::raft::Message;
use seedbed::time::{MILLISECOND, Nanos};

/// What is done to the member, in order.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// A client writes.
    Put { key: Vec<u8>, value: Vec<u8> },
    /// A client deletes a key that is there.
    Delete { key: Vec<u8> },
    /// An operator compacts, so many revisions behind the newest.
    Compact { behind: i64 },
    /// An operator defragments.
    Defragment,
    /// A peer's message arrives.
    Deliver(Message),
    /// Time passes.
    Pass(Nanos),
    /// Everything under way comes to its end.
    Settle,
}

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) config: Config,
    pub(super) steps: Vec<Step>,
    /// Of a follower: its leader.
    pub(super) leader: Option<Leader>,
}

/// The plan of a round.
pub(super) fn plan(operation: Operation, round: u64, options: &Options) -> Plan {
    let mut random = Stream::new(options.seed, &format!("crash/{operation}/{round}"));
    let mut config = config(1, 1, options, random.bits());
    let mut leader = None;
    let steps = match operation {
        Operation::Commit => commit(&mut random),
        Operation::Defrag => defrag(&mut random),
        Operation::Compaction => {
            config.compaction_batch = 3;
            compaction(&mut random)
        }
        Operation::SnapshotInstall => {
            let donor = Donor::new(&self::config(2, 3, options, random.bits()));
            config = self::config(1, 3, options, random.bits());
            config.election_ticks = 10;
            let (steps, its) = snapshot_install(donor, config.id, &mut random);
            leader = Some(its);
            steps
        }
        Operation::WalCut => {
            config.wal_segment_bytes = 2 << 10;
            config.snapshot_count = 10;
            config.snapshot_catchup = 3;
            config.max_snapshots = 2;
            (0..36).map(|_| put(&mut random)).collect()
        }
    };
    Plan { config, steps, leader }
}

/// Member `number` of a cluster of `members`.
fn config(number: u8, members: u8, options: &Options, seed: u64) -> Config {
    let peers: Vec<Peer> = (1..=members).map(peer).collect();
    let cluster_id = ids::cluster_id(&peers.iter().map(|peer| peer.id).collect::<Vec<_>>());
    Config {
        election_ticks: 2,
        wal_segment_bytes: 16 << 10,
        engine: options.engine,
        seed,
        bugs: options.bugs,
        ..Config::new(peers[usize::from(number) - 1].id, cluster_id, peers)
    }
}

fn put(random: &mut Stream) -> Step {
    let key = format!("k{}", random.below(6)).into_bytes();
    Step::Put { key, value: value(random) }
}

fn pass(random: &mut Stream) -> Step {
    Step::Pass((5 + random.below(150)) * MILLISECOND)
}

/// Batches of one to five writes become durable.
fn commit(random: &mut Stream) -> Vec<Step> {
    let mut steps = Vec::new();
    for _ in 0..8 {
        steps.extend((0..1 + random.below(5)).map(|_| put(random)));
        steps.push(pass(random));
    }
    steps
}

/// A database with holes is copied into a dense one, while clients go on writing.
fn defrag(random: &mut Stream) -> Vec<Step> {
    let mut steps: Vec<Step> = (0..12).map(|_| put(random)).collect();
    steps.extend([Step::Compact { behind: 1 }, Step::Settle]);
    for _ in 0..2 {
        steps.extend([put(random), put(random), Step::Defragment]);
        steps.extend([put(random), pass(random), put(random), Step::Settle]);
    }
    steps.push(put(random));
    steps
}

/// Two compactions, with deleted keys among what they remove, and writes beside them.
fn compaction(random: &mut Stream) -> Vec<Step> {
    let mut steps: Vec<Step> = (0..8).map(|_| put(random)).collect();
    steps.push(Step::Put { key: b"gone".to_vec(), value: value(random) });
    steps.push(Step::Delete { key: b"gone".to_vec() });
    steps.extend([put(random), Step::Compact { behind: 1 }, put(random), pass(random)]);
    steps.extend((0..6).map(|_| put(random)));
    steps.extend([Step::Compact { behind: 2 }, put(random), Step::Settle, put(random)]);
    steps
}

/// A follower votes, takes entries, then a snapshot, entries behind it, and a second snapshot.
fn snapshot_install(mut donor: Donor, follower: u64, random: &mut Stream) -> (Vec<Step>, Leader) {
    donor.write(14, random);
    let first = donor.offer_snapshot(follower);
    donor.write(12, random);
    let second = donor.offer_snapshot(follower);
    donor.write(4, random);
    let leader = donor.into_leader(follower, second);
    let (one, two) = (first.meta.index, leader.snapshot.meta.index);
    let before = Leader { snapshot: first, ..leader.clone() };
    let steps = vec![
        Step::Deliver(leader.vote()),
        Step::Settle,
        Step::Deliver(leader.append(4, 7)),
        Step::Deliver(leader.append(8, 9)),
        pass(random),
        Step::Deliver(before.install()),
        Step::Deliver(leader.append(one + 1, one + 3)),
        Step::Settle,
        Step::Deliver(leader.append(one + 4, one + 5)),
        pass(random),
        Step::Deliver(leader.install()),
        Step::Deliver(leader.append(two + 1, leader.last_index())),
        Step::Settle,
    ];
    (steps, leader)
}
