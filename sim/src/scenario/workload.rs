//! `[[workload]]`: what the clients do.

use super::{Range32, Range64, Watching, units::SECOND, vocabulary};

/// A group of clients that do the same thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workload {
    /// What they do.
    pub kind: WorkloadKind,
    /// How many clients; each has at most one request under way.
    pub clients: u16,
    /// Requests per second, of all its clients together.
    pub rate: u32,
    /// How many different keys they use.
    pub keys: u32,
    /// Size of a value, in bytes.
    pub value_bytes: Range32,
    /// Which requests, by weight.
    pub mix: Mix,
    /// When a client gives a request up, in nanoseconds. The outcome is then unknown: it may still commit.
    pub timeout: u64,
    /// How long the leases that they ask for live, in nanoseconds (workload `leases`); whole seconds count.
    pub ttl: u64,
    /// Whether they keep their leases alive for a while (workload `leases`).
    pub keep_alive: bool,
    /// Whether each lease has a second holder, who knows nothing of the first (workload `leases`).
    pub shared: bool,
    /// What their transactions compare (workload `transfer`).
    pub guard: Guard,
    /// What keeps writes of former holders away (workload `locks`).
    pub fence: Fence,
    /// How long they stand still now and then (workloads `locks` and `elections`), in nanoseconds.
    pub stall: Range64,
    /// How often each compacts, or tries to (workload `kubernetes`), in nanoseconds.
    pub compact_every: u64,
    /// Which members they talk to.
    pub endpoints: Endpoints,
    /// As whom they ask, where the cluster has auth.
    pub user: User,
    /// When they begin, in nanoseconds of the run.
    pub start: u64,
    /// When they stop; `None`: at the end of the run.
    pub stop: Option<u64>,
    /// How those of them watch that do.
    pub watching: Watching,
}

impl Default for Workload {
    fn default() -> Self {
        Self {
            kind: WorkloadKind::Kv,
            clients: 5,
            rate: 100,
            keys: 16,
            value_bytes: Range32::new(8, 64),
            mix: Mix::default(),
            timeout: 5 * SECOND,
            ttl: 5 * SECOND,
            keep_alive: true,
            shared: false,
            guard: Guard::ModRevisions,
            fence: Fence::Owner,
            stall: Range64::exactly(0),
            compact_every: 300 * SECOND,
            endpoints: Endpoints::All,
            user: User::Root,
            start: 0,
            stop: None,
            watching: Watching::default(),
        }
    }
}

vocabulary! {
    /// What a group of clients does.
    pub enum WorkloadKind("workload kind") {
        /// Reads and writes of single keys and short ranges.
        Kv = "kv",
        /// Every key once, in order: the clients together write `keys` keys of `value_bytes` bytes, then stop.
        Fill = "fill",
        /// Every key once, in order: the clients together delete `keys` keys, then stop.
        Erase = "erase",
        /// Leases with keys on them: granted, kept alive, revoked or left to their end.
        Leases = "leases",
        /// Money between three accounts, in transactions.
        Transfer = "transfer",
        /// Watches of all kinds on the keys of workload `kv`, that come and go.
        WatchAll = "watch-all",
        /// Copies of the keys of workload `kv`: read once, and kept up to date by a watch.
        ListWatch = "list-watch",
        /// How etcd v2 served watches, modelled on the client's side: the last 1,000 changes, and one long poll for each.
        V2Ring = "v2-ring",
        /// Administrators: permissions, roles and users come and go while others work (needs `cluster.auth`).
        Auth = "auth",
        /// Locks that are taken, written under and given back by clients that stall now and then.
        Locks = "locks",
        /// Elections: clients that campaign, proclaim and resign.
        Elections = "elections",
        /// What the API servers of a Kubernetes cluster do: objects, pages, informers, events, compaction.
        Kubernetes = "kubernetes",
    }
}

vocabulary! {
    /// What a transfer's transaction compares.
    pub enum Guard("guard") {
        /// The last changes of both accounts.
        ModRevisions = "mod-revisions",
        /// The payer's balance, and nothing else.
        Value = "value",
    }
}

vocabulary! {
    /// A user that is set up where the cluster has auth.
    pub enum User("user") {
        /// It may do anything.
        Root = "root",
        /// It has the role `r1`.
        U1 = "u1",
        /// It has the role `r2`.
        U2 = "u2",
        /// It has the role `r3`.
        U3 = "u3",
    }
}

vocabulary! {
    /// What keeps writes of former holders of a lock away.
    pub enum Fence("fence") {
        /// Each write compares whether the holder's key is still there.
        Owner = "owner",
        /// What is guarded refuses lower tokens than it has seen.
        Token = "token",
        /// Nothing.
        None = "none",
    }
}

impl WorkloadKind {
    /// Whether its clients ask for other things than the history of keys has.
    pub fn asks_anything(self) -> bool {
        matches!(
            self,
            WorkloadKind::Leases
                | WorkloadKind::Transfer
                | WorkloadKind::Locks
                | WorkloadKind::Elections
                | WorkloadKind::Kubernetes
        )
    }
}

/// Weights of the requests; a weight of 0 leaves one out. Not all are 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Mix {
    /// Write a key.
    pub put: u32,
    /// Linearizable read of a key.
    pub get: u32,
    /// Serializable read of a key: whatever the asked member has applied.
    pub serializable: u32,
    /// Delete a key.
    pub delete: u32,
    /// Transaction: write a key if its mod revision is the one last read.
    pub cas: u32,
    /// Linearizable read of all keys of the workload.
    pub list: u32,
    /// Transaction: read a key as it was up to 100 revisions ago, and write another. If that revision was compacted, it
    /// fails and writes nothing.
    pub past: u32,
}

impl Default for Mix {
    fn default() -> Self {
        Self { put: 40, get: 35, serializable: 5, delete: 5, cas: 13, list: 2, past: 0 }
    }
}

/// Which members a workload's clients talk to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Endpoints {
    /// Each client begins at its own member and goes on to the next when one fails it.
    All,
    /// Only this member.
    Member(u8),
}
