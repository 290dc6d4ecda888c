//! What a member is told at start.

use super::AutoCompaction;
use crate::auth::{self, Jwt};
use crate::backend::EngineConfig;
use crate::bug::BugSet;
use crate::lease;
use crate::mvcc::StoreConfig;
use crate::raft::NodeId;
use crate::time::{MILLISECOND, Nanos, SECOND};
use crate::wal;

/// A member of the initial cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Derived from the URLs and the cluster's token (`crate::pb::ids`).
    pub id: NodeId,
    /// Its name.
    pub name: String,
    /// Where its peers reach it.
    pub peer_urls: Vec<String>,
}

/// Whether a member without data begins a cluster or joins one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum InitialClusterState {
    /// It is one of the first, and knows them all.
    #[default]
    New,
    /// It was added: it begins with nothing and learns everything from the leader.
    Existing,
}

/// A member's settings; defaults are etcd's.
#[derive(Clone, Debug)]
pub struct Config {
    /// This member's id.
    pub id: NodeId,
    /// The cluster's id.
    pub cluster_id: u64,
    /// The initial cluster, this member included; used only where there is no data yet.
    pub initial_cluster: Vec<Peer>,
    /// Whether that cluster is there already; used only where there is no data yet.
    pub initial_cluster_state: InitialClusterState,
    /// The cluster's token, which goes into the ids of members that it adds.
    pub cluster_token: String,
    /// Refuse changes of the members that could cost the majority (etcd's `--strict-reconfig-check`).
    pub strict_reconfig: bool,
    /// This member's name, which it tells the others if they do not know it.
    pub name: String,
    /// Where clients reach it, told with the name.
    pub client_urls: Vec<String>,
    /// Heartbeat interval, which is the length of a tick.
    pub tick: Nanos,
    /// Election timeout in ticks; each wait is drawn from [this, twice this).
    pub election_ticks: u32,
    /// A member that is alone in its cluster waits for nobody: it begins with all ticks of the election timeout but one
    /// behind it (etcd's "fast-forwarding election ticks").
    pub fast_forward: bool,
    /// Rehearse elections (etcd 3.5's default, off in 3.4).
    pub pre_vote: bool,
    /// A leader that hears no majority for an election timeout steps down.
    pub check_quorum: bool,
    /// Entries between snapshots.
    pub snapshot_count: u64,
    /// Entries kept in memory behind a snapshot, for followers that lag a little.
    pub snapshot_catchup: u64,
    /// Snapshot files kept.
    pub max_snapshots: usize,
    /// WAL segments kept; more, while they are needed.
    pub max_wals: usize,
    /// A WAL segment is cut when it has grown past this many bytes.
    pub wal_segment_bytes: u64,
    /// Where the store keeps its pairs.
    pub engine: EngineConfig,
    /// How often the backend's batch is made durable.
    pub batch_interval: Nanos,
    /// Writes after which it is made durable without waiting.
    pub batch_limit: u64,
    /// Records that one slice of a compaction looks at.
    pub compaction_batch: usize,
    /// What the leader compacts without being asked; `None`: nothing.
    pub auto_compaction: Option<AutoCompaction>,
    /// Pause between two slices of a compaction.
    pub compaction_pause: Nanos,
    /// Records that one slice of an index restore reads.
    pub restore_chunk: usize,
    /// Longest request, in bytes of its encoding.
    pub max_request_bytes: usize,
    /// Most compares of a transaction, and most operations of each of its branches.
    pub max_txn_ops: usize,
    /// How large the database may become, in bytes, before writes are refused; `None`: without end.
    pub quota: Option<u64>,
    /// How often a leader compares the members' keys; `None`: never (etcd's default).
    pub corrupt_check: Option<Nanos>,
    /// Whether a member that has data compares its keys with the others' before it serves clients.
    pub initial_corrupt_check: bool,
    /// Leases that may expire in a second.
    pub lease_revoke_rate: usize,
    /// After which time what is left of a long lease is written down; `None`: never.
    pub lease_checkpoint: Option<Nanos>,
    /// How often watches that want it hear of their progress.
    pub watch_progress_interval: Nanos,
    /// bcrypt's cost for new passwords: 2^cost rounds, from 4 to 31.
    pub bcrypt_cost: u32,
    /// Signed tokens, if the member gives out these; `None`: simple ones. All members must give out the same.
    pub jwt: Option<Jwt>,
    /// Most entries that may be committed but not applied before requests are refused.
    pub max_backlog: u64,
    /// Most bytes in one append message.
    pub max_append_bytes: u64,
    /// Most append messages in flight to one follower.
    pub max_inflight: usize,
    /// Seed of the election timeouts and of the first tick's offset.
    pub seed: u64,
    /// Historical bugs that are switched on.
    pub bugs: BugSet,
    /// What work costs in simulated CPU time; `None`: it takes the time that it takes.
    pub costs: Option<Costs>,
}

impl Config {
    /// etcd 3.5's defaults for a member of a cluster.
    pub fn new(id: NodeId, cluster_id: u64, initial_cluster: Vec<Peer>) -> Config {
        let own = initial_cluster.iter().find(|peer| peer.id == id);
        Config {
            id,
            cluster_id,
            name: own.map_or_else(|| "default".to_owned(), |peer| peer.name.clone()),
            initial_cluster,
            initial_cluster_state: InitialClusterState::New,
            cluster_token: "etcd-cluster".to_owned(),
            strict_reconfig: true,
            client_urls: Vec::new(),
            tick: 100 * MILLISECOND,
            election_ticks: 10,
            fast_forward: false,
            pre_vote: true,
            check_quorum: true,
            snapshot_count: 100_000,
            snapshot_catchup: 5_000,
            max_snapshots: 5,
            max_wals: 5,
            wal_segment_bytes: wal::SEGMENT_BYTES,
            engine: EngineConfig::Memory,
            batch_interval: 100 * MILLISECOND,
            batch_limit: 10_000,
            compaction_batch: 1_000,
            auto_compaction: None,
            compaction_pause: 10 * MILLISECOND,
            restore_chunk: 10_000,
            max_request_bytes: 3 * 512 * 1024,
            max_txn_ops: 128,
            quota: Some(2 << 30),
            corrupt_check: None,
            initial_corrupt_check: false,
            lease_revoke_rate: 1_000,
            lease_checkpoint: None,
            watch_progress_interval: 600 * SECOND,
            bcrypt_cost: auth::COST_DEFAULT,
            jwt: None,
            max_backlog: 5_000,
            max_append_bytes: 512 * 1024,
            max_inflight: 512,
            seed: 0,
            bugs: BugSet::NONE,
            costs: None,
        }
    }

    /// The store's part.
    pub fn store(&self) -> StoreConfig {
        let Config { restore_chunk, compaction_batch, bugs, .. } = *self;
        StoreConfig { restore_chunk, compaction_batch, bugs }
    }

    /// The leases' part.
    pub fn lease(&self) -> lease::Config {
        let ttl_min = lease::ttl_min(self.election_timeout());
        lease::Config {
            ttl_min,
            revoke_rate: self.lease_revoke_rate,
            checkpoint_interval: self.lease_checkpoint,
            bugs: self.bugs,
        }
    }

    /// The shortest wait of a follower for its leader.
    pub fn election_timeout(&self) -> Nanos {
        self.tick * u64::from(self.election_ticks)
    }

    /// How long a request may take: 5 s for its queueing and disk work, and two election timeouts.
    pub fn request_timeout(&self) -> Nanos {
        5 * SECOND + 2 * self.election_timeout()
    }
}

/// The cost table: CPU nanoseconds by operation. Larger numbers are a slower CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Costs {
    /// Any step.
    pub step: Nanos,
    /// Proposing a write.
    pub propose: Nanos,
    /// Appending an entry to the log.
    pub append: Nanos,
    /// Applying an entry.
    pub apply: Nanos,
    /// Serving a read.
    pub read: Nanos,
    /// Each record that a compaction, a restore of the index or a hash looks at.
    pub record: Nanos,
    /// Each free page, or run of them, that is looked at to find room in the database.
    pub free_page: Nanos,
    /// Each KiB of an entry, a response or a snapshot.
    pub kib: Nanos,
    /// Hashing a password, or checking one: a job beside the member's steps.
    pub bcrypt: Nanos,
}

impl Costs {
    /// Rough figures for one core of a server.
    pub const SERVER: Costs = Costs {
        step: 4_000,
        propose: 8_000,
        append: 1_000,
        apply: 12_000,
        read: 10_000,
        record: 500,
        free_page: 2,
        kib: 1_000,
        bcrypt: 60_000_000,
    };

    /// The same work on a CPU that is `factor` times slower.
    #[must_use]
    pub fn slowed(self, factor: u64) -> Costs {
        let Costs { step, propose, append, apply, read, record, free_page, kib, bcrypt } = self;
        let [step, propose, append, apply, read, record, free_page, kib, bcrypt] =
            [step, propose, append, apply, read, record, free_page, kib, bcrypt].map(|n| n * factor);
        Costs { step, propose, append, apply, read, record, free_page, kib, bcrypt }
    }
}
