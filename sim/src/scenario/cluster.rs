//! `[cluster]`: how many members, which timers, which version, which bugs.

use super::{
    units::{MILLISECOND, SECOND},
    vocabulary,
};
use seedbed::bug::Bug;
use seedbed::member::AutoCompaction;
use std::fmt;

/// The members. Member `n1` is number 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// How many, 1 to 9.
    pub members: u8,
    /// The last so many of them are spare machines: they are no members until they are added.
    pub spares: u8,
    /// Whose defaults they run.
    pub profile: Profile,
    /// Heartbeat interval = one Raft tick, in nanoseconds (etcd: 100 ms).
    pub heartbeat: u64,
    /// Election timeout T in nanoseconds, drawn from [T, 2T) (etcd: 1 s). At least two heartbeats; etcd itself asks for
    /// five, and a scenario may go lower to show why.
    pub election: u64,
    /// PreVote; the profile's unless the file sets it.
    pub pre_vote: bool,
    /// CheckQuorum: a leader without a quorum steps down, and voters honour the leader's lease.
    pub check_quorum: bool,
    /// Applied entries between two snapshots (etcd: 100,000).
    pub snapshot_count: u64,
    /// Entries that stay in the log behind a snapshot, for slow followers (etcd: 5,000).
    pub snapshot_catchup: u64,
    /// Size at which a WAL segment is cut, in bytes. Small, so that short runs cut some.
    pub wal_segment_bytes: u64,
    /// What the store keeps its pairs in.
    pub engine: Engine,
    /// How the bolt engine finds free pages.
    pub freelist: Freelist,
    /// Whether each commit of the bolt engine writes the freelist down (etcd: no; it is made anew at start).
    pub sync_freelist: bool,
    /// Gap between two commits of the bolt engine, in nanoseconds (etcd: 100 ms).
    pub batch_interval: u64,
    /// Writes after which it commits without waiting (etcd: 10,000).
    pub batch_limit: u64,
    /// Records that one slice of a compaction looks at (etcd: 1,000).
    pub compaction_batch: u32,
    /// Pause between two slices of a compaction, in nanoseconds (etcd: 10 ms).
    pub compaction_pause: u64,
    /// Records that one slice of an index restore reads (etcd: 10,000).
    pub restore_chunk: u32,
    /// Bytes of pages that the bolt engine keeps in memory.
    pub backend_cache: u64,
    /// Largest request that is accepted, in bytes (etcd: 1.5 MiB).
    pub max_request_bytes: u64,
    /// How large a database may become, in bytes, before writes are refused (etcd: 2 GB).
    pub quota: u64,
    /// How often a leader compares the members' keys, in nanoseconds; `None`: never (etcd's default).
    pub corrupt_check: Option<u64>,
    /// Whether a member that starts again compares its keys with the others' before it serves clients.
    pub initial_corrupt_check: bool,
    /// What is forgotten without being asked for; `None`: nothing.
    pub auto_compaction: Option<AutoCompaction>,
    /// Append messages that may be under way to one follower (etcd: 512).
    pub max_inflight: u32,
    /// How often the leader has what is left of long leases written down, in nanoseconds; `None`: never (etcd's default).
    pub lease_checkpoint: Option<u64>,
    /// How often watches that want it hear of their progress, in nanoseconds (etcd: 10 min).
    pub watch_progress_interval: u64,
    /// Whether users and roles are set up at the start, and auth turned on.
    pub auth: bool,
    /// What tokens the members give out.
    pub tokens: Tokens,
    /// Bugs switched on from the start.
    pub bugs: Vec<BugSwitch>,
}

impl Default for Cluster {
    fn default() -> Self {
        Self {
            members: 3,
            spares: 0,
            profile: Profile::default(),
            heartbeat: 100 * MILLISECOND,
            election: SECOND,
            pre_vote: Profile::default().pre_vote(),
            check_quorum: true,
            snapshot_count: 100_000,
            snapshot_catchup: 5_000,
            wal_segment_bytes: 256 << 10,
            engine: Engine::default(),
            freelist: Freelist::default(),
            sync_freelist: false,
            batch_interval: 100 * MILLISECOND,
            batch_limit: 10_000,
            compaction_batch: 1_000,
            compaction_pause: 10 * MILLISECOND,
            restore_chunk: 10_000,
            backend_cache: 8 << 20,
            max_request_bytes: 3 << 19,
            quota: 2 << 30,
            corrupt_check: None,
            initial_corrupt_check: false,
            auto_compaction: None,
            max_inflight: 512,
            lease_checkpoint: None,
            watch_progress_interval: 600 * SECOND,
            auth: false,
            tokens: Tokens::default(),
            bugs: Vec::new(),
        }
    }
}

vocabulary! {
    /// An etcd version whose defaults the members run.
    #[derive(Default)]
    pub enum Profile("profile") {
        /// PreVote off.
        Etcd34 = "etcd-3.4",
        /// PreVote on.
        #[default]
        Etcd35 = "etcd-3.5",
    }
}

vocabulary! {
    /// What a member's store keeps its pairs in.
    #[derive(Default)]
    pub enum Engine("engine") {
        /// Memory alone: a crash leaves the log and the last snapshot.
        Memory = "memory",
        /// A file in bbolt's format.
        #[default]
        Bolt = "bolt",
    }
}

vocabulary! {
    /// How the bolt engine finds free pages.
    #[derive(Default)]
    pub enum Freelist("freelist") {
        /// A sorted array that is walked (etcd before 3.4).
        Array = "array",
        /// Runs by length and by ends, which are looked up.
        #[default]
        Hashmap = "hashmap",
    }
}

vocabulary! {
    /// What a client shows instead of its password.
    #[derive(Default)]
    pub enum Tokens("kind of tokens") {
        /// Letters that each member remembers.
        #[default]
        Simple = "simple",
        /// Signed by the members' common key (JWT).
        Jwt = "jwt",
    }
}

impl Profile {
    /// Whether PreVote is on by default.
    pub fn pre_vote(self) -> bool {
        self == Profile::Etcd35
    }
}

/// A bug and where it is switched on: `name`, or `name@n2`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BugSwitch {
    /// The bug.
    pub bug: Bug,
    /// The one member that has it; `None` for every member.
    pub member: Option<u8>,
}

impl fmt::Display for BugSwitch {
    /// As `--bug` takes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.bug.info().name)?;
        self.member.map_or(Ok(()), |member| write!(f, "@n{member}"))
    }
}

/// Every bug's name.
pub(super) fn bug_names() -> Vec<&'static str> {
    Bug::ALL.iter().map(|bug| bug.info().name).collect()
}

impl Cluster {
    /// Switches a bug on besides those of the file, as `--bug` does. The error names the members that there are.
    pub fn switch_on(&mut self, switch: BugSwitch) -> Result<(), String> {
        if let Some(member) = switch.member.filter(|member| *member > self.members) {
            return Err(format!("there is no n{member}: {}", self.members_named()));
        }
        self.bugs.push(switch);
        Ok(())
    }

    /// "the cluster has n1, n2, n3", for messages.
    pub(super) fn members_named(&self) -> String {
        let names: Vec<String> = (1..=self.members).map(|member| format!("n{member}")).collect();
        format!("the cluster has {}", names.join(", "))
    }
}
