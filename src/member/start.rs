//! How a member begins: as a new cluster's, or with what its disk holds.
//!
//! - **No log**: the member bootstraps. Its log begins with one configuration change for each member of the initial
//!   cluster, in the order of their ids, committed by definition in term 1; so all begin with the same log.
//! - **A log**: the newest snapshot file that the log names gives the store, the log gives the rest. The store applies
//!   what is known to be committed; more will be once a leader says so.
//!
//! A member that lost something it had promised to others must not start: it could vote twice, or help to elect a
//! leader without a committed entry. The errors say what is missing and what an operator can do.

use super::apply_loop::ApplyLoop;
use super::auth_loop::AuthLoop;
use super::auto_compactor::AutoCompactor;
use super::committer::Committer;
use super::compactor::Compactor;
use super::corruption::Corruption;
use super::defragger::Defragger;
use super::hasher::Hasher;
use super::imager::Imager;
use super::installer::Installer;
use super::lease_loop::LeaseLoop;
use super::membership::Membership;
use super::quota::Quota;
use super::raft_loop::RaftLoop;
use super::reads::ReadLoop;
use super::rest::Rest;
use super::sender::Sender;
use super::snapshotter::Snapshotter;
use super::watch_loop::WatchLoop;
use super::writes::Writes;
use super::{Config, Effects, InitialClusterState, Member, TraceEvent, storage, wal_dir};
use crate::apply::State;
use crate::backend::{BackendError, EngineConfig};
use crate::cluster::Cluster;
use crate::cluster::v2store::{self, V2StoreError};
use crate::disk::{DiskRead, FileName, OpId, OpSink};
use crate::mvcc::RestoreError;
use crate::pb::etcdserverpb::Metadata;
use crate::pb::{ids::MemberJson, raftpb, walpb};
use crate::raft::{self, ConfState, Entry, EntryKind, HardState, Raft, RecoverError, Recovered, SnapshotMeta};
use crate::snap::restart::Misfit;
use crate::snap::{self, SnapError};
use crate::time::Now;
use crate::wal::{self, Wal, WalConfig, WalError};
use prost::Message as _;
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};
use std::rc::Rc;

/// Why a member refuses to start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The log cannot be read.
    #[error(transparent)]
    Wal(#[from] WalError),
    /// Log and snapshot cannot be a member's state.
    #[error(
        "{dir}: {error}; entries that this member promised to hold are lost: remove it from the cluster and add it anew"
    )]
    Log {
        /// The log's directory.
        dir: &'static str,
        /// What does not fit.
        error: RecoverError,
    },
    /// The log begins after entry 1, and no snapshot reaches up to it.
    #[error(
        "no usable snapshot in {dir}: {reason}; restore the file, or remove this member from the cluster and add it anew"
    )]
    NoSnapshot {
        /// The snapshots' directory.
        dir: &'static str,
        /// What was wrong with those that should do.
        reason: String,
    },
    /// The records of a database or snapshot are not a store.
    #[error("{file}: {error}; remove this member from the cluster and add it anew")]
    Store {
        /// The file that holds them.
        file: FileName,
        /// What is wrong.
        error: RestoreError,
    },
    /// The database cannot be opened.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// Log, snapshot file and database are not one member's state.
    #[error(transparent)]
    Misfit(#[from] Misfit),
    /// The data belongs to another member or cluster.
    #[error("{dir}: expected the log of member {expected:x}, found that of {found:x}; is this its data directory?")]
    Foreign {
        /// The log's directory.
        dir: &'static str,
        /// This member.
        expected: u64,
        /// The member in the log's metadata.
        found: u64,
    },
}

/// Raft and log at the beginning, whichever way they began.
struct Begun {
    raft: Raft,
    wal: Wal,
    state: State,
    /// Index of the snapshot that it begins with; 0 for none.
    snapshot: u64,
    /// To wait for before anything else is saved.
    awaited: Vec<OpId>,
    /// Who the members were when that snapshot was taken.
    cluster: Cluster,
}

impl Member {
    /// Starts a member on what `disk` holds. The repair of a torn log, or the making of a new one, is among the effects.
    pub fn open(config: Config, now: Now, disk: &Rc<dyn DiskRead>, fx: &mut Effects) -> Result<Member, StartError> {
        let mut next_op = 1;
        let wal_config = WalConfig { dir: wal_dir(), segment_bytes: config.wal_segment_bytes };
        let mut ops = OpSink::new(&mut fx.disk, &mut next_op);
        let has_data = wal::exists(&**disk, &wal_config)?;
        let begun = if has_data {
            recover(&config, wal_config, disk, &mut fx.trace, &mut ops)?
        } else {
            let metadata = Metadata { node_id: config.id, cluster_id: config.cluster_id }.encode_to_vec();
            let (wal, awaited) = Wal::create(wal_config, &metadata, &mut ops);
            bootstrap(&config, wal, awaited, disk, &mut ops)?
        };
        let kib = begun.state.store.engine().stats().in_use / 1024;
        let Begun { mut raft, wal, mut state, snapshot, awaited, cluster } = begun;
        if config.fast_forward && raft.conf().voters == [config.id] {
            raft.fast_forward(config.election_ticks - 1);
        }
        state.auth.use_tokens(config.jwt.clone());
        // Each member's ticker starts at its own moment, so that their ticks do not fall together.
        let offset = Xoshiro256PlusPlus::seed_from_u64(config.seed ^ TICK_OFFSET).next_u64() % config.tick;
        let mut member = Member {
            raft_loop: RaftLoop::new(now.mono + 1 + offset, now.mono, awaited),
            apply: ApplyLoop::default(),
            reads: ReadLoop::new(config.id, now.wall),
            writes: Writes::new(&config, now),
            lease_loop: LeaseLoop::default(),
            lease_questions: Default::default(),
            auto_compactor: AutoCompactor::new(now.mono),
            quota: Quota::default(),
            hasher: Hasher::default(),
            corruption: Corruption::new(now.mono, config.corrupt_check, config.initial_corrupt_check && has_data),
            membership: Membership::new(snapshot, raft.conf().clone(), cluster),
            watch_loop: WatchLoop::new(&config, state.store.revision()),
            auth_loop: AuthLoop::new(&config),
            snapshotter: Snapshotter::new(snapshot),
            committer: Committer::new(state.store.applied()),
            compactor: Compactor::default(),
            defragger: Defragger::default(),
            installer: Installer::default(),
            sender: Sender::default(),
            imager: Imager::default(),
            rest: Rest::default(),
            disk: disk.clone(),
            last_leader: 0,
            stopped: false,
            raft_events: Vec::new(),
            raft,
            wal,
            state,
            next_op,
            config,
        };
        // Every page is read and every record indexed before anything is served (lesson 13: 14 GB took 84 s).
        member.charge(fx, |costs| costs.kib * kib);
        member.begin_initial_check(now);
        member.run(now, fx);
        Ok(member)
    }
}

/// Keeps the tick offset's generator apart from the election timeouts', which has the plain seed.
const TICK_OFFSET: u64 = 0x7469_636b;

fn raft_config(config: &Config) -> raft::Config {
    raft::Config {
        id: config.id,
        election_ticks: config.election_ticks,
        heartbeat_ticks: 1,
        pre_vote: config.pre_vote,
        check_quorum: config.check_quorum,
        max_size_per_msg: config.max_append_bytes,
        max_inflight: config.max_inflight,
        max_uncommitted_bytes: 0,
        seed: config.seed,
        bugs: config.bugs,
    }
}

fn bootstrap(
    config: &Config,
    wal: Wal,
    awaited: Vec<OpId>,
    disk: &Rc<dyn DiskRead>,
    ops: &mut OpSink<'_>,
) -> Result<Begun, StartError> {
    let state = storage::state_at_start(config, None, None, disk, ops)?;
    if config.initial_cluster_state == InitialClusterState::Existing {
        // It knows nobody and does nothing, until the leader sends it the log or a snapshot.
        let raft = Raft::new(raft_config(config), Recovered::default());
        let raft = raft.map_err(|error| StartError::Log { dir: super::WAL_DIR, error })?;
        return Ok(Begun { raft, wal, state, snapshot: 0, awaited, cluster: Cluster::default() });
    }
    let mut peers = config.initial_cluster.clone();
    peers.sort_by_key(|peer| peer.id);
    let entry = |(index, peer): (u64, &super::Peer)| {
        let json = MemberJson {
            id: peer.id,
            peer_urls: peer.peer_urls.clone(),
            name: peer.name.clone(),
            ..MemberJson::default()
        };
        let change = raftpb::ConfChange {
            r#type: raftpb::ConfChangeType::ConfChangeAddNode.into(),
            node_id: peer.id,
            context: json.to_json().into(),
            ..Default::default()
        };
        Entry { kind: EntryKind::ConfChange, term: 1, index, data: change.encode_to_vec().into() }
    };
    let entries: Vec<Entry> = (1..).zip(&peers).map(entry).collect();
    let conf = ConfState { voters: peers.iter().map(|peer| peer.id).collect(), ..ConfState::default() };
    let raft = Raft::bootstrap(raft_config(config), conf, entries);
    Ok(Begun { raft, wal, state, snapshot: 0, awaited, cluster: Cluster::default() })
}

fn recover(
    config: &Config,
    wal_config: WalConfig,
    disk: &Rc<dyn DiskRead>,
    trace: &mut Vec<TraceEvent>,
    ops: &mut OpSink<'_>,
) -> Result<Begun, StartError> {
    let marks = wal::snapshots(&**disk, &wal_config)?;
    let is_marked = |term, index| marks.iter().any(|mark| (mark.term, mark.index) == (term, index));
    let newest = snap::load_newest(&**disk, is_marked);
    let from = newest.snapshot.as_ref().map(|snapshot| &snapshot.meta);
    let from = from
        .map_or(walpb::Snapshot { index: 0, term: 0 }, |meta| walpb::Snapshot { index: meta.index, term: meta.term });
    let recovered = wal::recover(&**disk, wal_config, from, ops);
    let recovery = match recovered {
        Err(_) if !newest.skipped.is_empty() => return Err(no_snapshot(&newest.skipped)),
        recovered => recovered?,
    };
    let metadata = Metadata::decode(recovery.metadata.clone()).unwrap_or_default();
    if metadata.node_id != config.id {
        return Err(StartError::Foreign { dir: super::WAL_DIR, expected: config.id, found: metadata.node_id });
    }
    if let Some(torn) = &recovery.torn {
        trace.push(TraceEvent::WalRepaired { bytes: torn.bytes });
    }
    if newest.snapshot.is_none() && recovery.state == HardState::default() {
        // The first save never became durable: nothing was promised, and the bootstrap entries come (again).
        return bootstrap(config, recovery.wal, recovery.wait, disk, ops);
    }
    let bootstrap = SnapshotMeta { conf: bootstrap_conf(&recovery.entries), ..SnapshotMeta::default() };
    let meta = newest.snapshot.as_ref().map_or(bootstrap, |snapshot| snapshot.meta.clone());
    let last = recovery.entries.last().map_or(meta.index, |entry| entry.index);
    let state = storage::state_at_start(config, Some(last), newest.snapshot.as_ref(), disk, ops)?;
    let recovered = Recovered {
        hard_state: recovery.state,
        applied: meta.index,
        snapshot: meta.clone(),
        entries: recovery.entries,
    };
    let cluster =
        newest.snapshot.as_ref().map_or(Ok(Cluster::default()), |snapshot| cluster_of(config, snapshot, &state))?;
    let raft = Raft::new(raft_config(config), recovered);
    let mut raft = raft.map_err(|error| StartError::Log { dir: super::WAL_DIR, error })?;
    let snapshot = meta.index;
    if snapshot > 0 {
        raft.set_snapshot(meta);
    }
    Ok(Begun { raft, wal: recovery.wal, state, snapshot, awaited: recovery.wait, cluster })
}

fn no_snapshot(skipped: &[SnapError]) -> StartError {
    let reasons: Vec<String> = skipped.iter().map(ToString::to_string).collect();
    StartError::NoSnapshot { dir: snap::DIR, reason: reasons.join("; ") }
}

/// Who the members were when a snapshot was taken.
fn cluster_of(config: &Config, snapshot: &raft::Snapshot, state: &State) -> Result<Cluster, StartError> {
    if config.engine == EngineConfig::Memory {
        let state = storage::from_image(config, snapshot)?;
        return Ok(Cluster::load(state.store.engine())?);
    }
    let no_store = |reason: V2StoreError| StartError::NoSnapshot { dir: snap::DIR, reason: reason.to_string() };
    let mut cluster = v2store::decode(&snapshot.data).map_err(no_store)?;
    // The file leaves out names that came without addresses of clients; the database has them, or newer ones.
    let named = Cluster::load(state.store.engine())?;
    for member in cluster.members.values_mut().filter(|member| member.name.is_empty()) {
        member.name = named.members.get(&member.id).map(|named| named.name.clone()).unwrap_or_default();
    }
    Ok(cluster)
}

/// The configuration that the bootstrap entries made: those of term 1, in which nobody ever leads.
fn bootstrap_conf(entries: &[Entry]) -> ConfState {
    let changes = entries.iter().filter(|entry| entry.kind == EntryKind::ConfChange && entry.term == 1);
    let added = changes.filter_map(|entry| raftpb::ConfChange::decode(entry.data.clone()).ok());
    let mut voters: Vec<u64> = added.map(|change| change.node_id).collect();
    voters.sort_unstable();
    ConfState { voters, ..ConfState::default() }
}
