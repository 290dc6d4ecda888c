//! From a scenario to its members: who they are, what they are told at start, what their work costs.

use super::World;
use super::clock::MemberClock;
use super::disk::SimDisk;
use super::members::Standing;
use super::node::{Node, Process};
use super::random::{Stream, stream_seed};
use super::record::NodeIndex;
use crate::scenario::{self, Cluster, Engine, Freelist, Scenario, Tokens};
use bytes::Bytes;
use seedbed::auth::Jwt;
use seedbed::backend::{BoltConfig, EngineConfig, FreelistKind};
use seedbed::bug::BugSet;
use seedbed::disk::Shared;
use seedbed::lease;
use seedbed::member::{Config, Costs, InitialClusterState, Peer};
use seedbed::pb::ids;
use seedbed::time::{Nanos, SECOND};
use std::collections::{BTreeMap, VecDeque};

/// The cluster's members, none of them started.
pub(super) fn nodes(scenario: &Scenario, seed: u64) -> Vec<Node> {
    let founders = founders(scenario);
    (0..scenario.cluster.members)
        .map(|index| {
            let number = index + 1;
            let mut random = Stream::new(seed, &format!("clock/n{number}"));
            let ppm = random.within(scenario.clock.drift_ppm) as i32;
            let skew = random.within(scenario.clock.wall_skew) as i64;
            let sign = |random: &mut Stream| if random.chance(500_000) { -1 } else { 1 };
            let clock = MemberClock::new(ppm * sign(&mut random), skew * i64::from(sign(&mut random)));
            Node {
                index,
                id: peer(number).id,
                process: Process::Down,
                life: 0,
                disk: Shared::new(SimDisk::new(scenario.disk.clone(), Stream::new(seed, &format!("disk/n{number}")))),
                own_ppm: clock.rate(),
                clock,
                bugs: bugs_of(scenario, number),
                busy_until: 0,
                jobs: VecDeque::new(),
                inbox: VecDeque::new(),
                turn_scheduled: false,
                deadline: Nanos::MAX,
                woken_at: Nanos::MAX,
                calls: BTreeMap::new(),
                operations: VecDeque::new(),
                last_pause: None,
                commit_seen: 0,
                cut_by: 0,
                holds: Vec::new(),
                damaged: false,
                standing: if number > founders { Standing::Spare } else { Standing::Member },
                joined: false,
                fresh: true,
                disk_fails: false,
            }
        })
        .collect()
}

fn bugs_of(scenario: &Scenario, number: u8) -> BugSet {
    let own = scenario.cluster.bugs.iter().filter(|switch| switch.member.is_none_or(|member| member == number));
    own.fold(BugSet::NONE, |set, switch| set.with(switch.bug))
}

/// How many members the cluster begins with.
pub(super) fn founders(scenario: &Scenario) -> u8 {
    scenario.cluster.members - scenario.cluster.spares
}

fn peers(scenario: &Scenario) -> Vec<Peer> {
    (1..=founders(scenario)).map(peer).collect()
}

/// The clusters' token, which makes their members' ids theirs.
const CLUSTER_TOKEN: &str = "seedbed";

/// The member nK as its cluster knows it.
pub(crate) fn peer(number: u8) -> Peer {
    let peer_urls = vec![format!("http://n{number}:2380")];
    Peer { id: ids::member_id(&peer_urls, CLUSTER_TOKEN, None), name: format!("n{number}"), peer_urls }
}

/// The scenario's cost table, as the member takes it.
pub(super) fn costs(scenario: &Scenario) -> Option<Costs> {
    let scenario::Cost { enabled, step, message, propose, apply, read, per_record, per_kib, bcrypt } = scenario.cost;
    enabled.then_some(Costs {
        step,
        append: message,
        propose,
        apply,
        read,
        record: per_record,
        free_page: Costs::SERVER.free_page,
        kib: per_kib,
        bcrypt,
    })
}

/// Where a member of the cluster keeps its pairs.
fn engine(cluster: &Cluster, bugs: BugSet) -> EngineConfig {
    let freelist = match cluster.freelist {
        Freelist::Array => FreelistKind::Array,
        Freelist::Hashmap => FreelistKind::Hashmap,
    };
    let bolt = BoltConfig {
        freelist,
        sync_freelist: cluster.sync_freelist,
        cache_bytes: cluster.backend_cache as usize,
        bugs,
        ..BoltConfig::default()
    };
    match cluster.engine {
        Engine::Memory => EngineConfig::Memory,
        Engine::Bolt => EngineConfig::Bolt(bolt),
    }
}

fn election_ticks(cluster: &Cluster) -> u32 {
    (cluster.election / cluster.heartbeat).max(2) as u32
}

/// The members' settings of leases, all the same.
pub(super) fn leases(scenario: &Scenario) -> lease::Config {
    let cluster = &scenario.cluster;
    let config = Config {
        tick: cluster.heartbeat,
        election_ticks: election_ticks(cluster),
        lease_checkpoint: cluster.lease_checkpoint,
        ..Config::new(0, 0, vec![])
    };
    config.lease()
}

/// With what the members sign tokens.
const JWT_KEY: Bytes = Bytes::from_static(b"thirty-two bytes of a shared key");

impl World {
    /// What a member is told at start.
    pub(super) fn config(&self, node: NodeIndex) -> Config {
        let cluster = &self.scenario.cluster;
        let peers = peers(&self.scenario);
        let cluster_id = ids::cluster_id(&peers.iter().map(|peer| peer.id).collect::<Vec<_>>());
        let this = &self.nodes[usize::from(node)];
        let stream = format!("member/n{}/{}", node + 1, this.life);
        Config {
            tick: cluster.heartbeat,
            election_ticks: election_ticks(cluster),
            pre_vote: cluster.pre_vote,
            check_quorum: cluster.check_quorum,
            snapshot_count: cluster.snapshot_count,
            snapshot_catchup: cluster.snapshot_catchup,
            wal_segment_bytes: cluster.wal_segment_bytes,
            engine: engine(cluster, this.bugs),
            batch_interval: cluster.batch_interval,
            batch_limit: cluster.batch_limit,
            compaction_batch: cluster.compaction_batch as usize,
            compaction_pause: cluster.compaction_pause,
            restore_chunk: cluster.restore_chunk as usize,
            max_request_bytes: cluster.max_request_bytes as usize,
            quota: Some(cluster.quota),
            corrupt_check: cluster.corrupt_check,
            initial_corrupt_check: cluster.initial_corrupt_check,
            auto_compaction: cluster.auto_compaction,
            max_inflight: cluster.max_inflight as usize,
            lease_checkpoint: cluster.lease_checkpoint,
            watch_progress_interval: cluster.watch_progress_interval,
            // What a hash takes is in the cost table; the cheapest one does.
            bcrypt_cost: 4,
            jwt: (cluster.tokens == Tokens::Jwt).then(|| Jwt { key: JWT_KEY, ttl: 300 * SECOND }),
            seed: stream_seed(self.seed, &stream),
            bugs: this.bugs,
            costs: self.costs,
            cluster_token: CLUSTER_TOKEN.to_owned(),
            name: format!("n{}", node + 1),
            initial_cluster_state: if this.joined { InitialClusterState::Existing } else { InitialClusterState::New },
            ..Config::new(this.id, cluster_id, peers)
        }
    }
}
