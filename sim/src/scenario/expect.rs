//! `[expect]`: what must be seen.

use super::vocabulary;
use std::fmt;

/// What a run must show.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Expect {
    /// What must lie on the causal chain of the first leader change (the first leader is not a change): one of
    /// [`CAUSES`]. A chain has the fault and the mechanism on it, so either can be asked for.
    pub cause: Option<String>,
    /// The one check that must fail: one of [`CHECKS`]. Then the run passes only if exactly that check fails.
    pub violation: Option<String>,
    /// Figures of the run and what they are compared with, in the order of [`Observation::ALL`].
    pub observations: Vec<(Observation, Comparison)>,
}

/// The faults and mechanisms that a leader change can be traced to.
pub const CAUSES: &[&str] = &[
    "crash",
    "fsync-stall",
    "slow-disk",
    "pause",
    "slow-cpu",
    "isolation",
    "partition",
    "deaf",
    "mute",
    "loss",
    "delay",
    "quorum-lost",
    "higher-term",
    "transfer",
    "timers",
];

/// The checks whose failure can be expected.
pub const CHECKS: &[&str] = &[
    "raft-election-safety",
    "raft-vote-once",
    "raft-log-matching",
    "raft-leader-completeness",
    "raft-state-machine-safety",
    "raft-commit-monotonic",
    "linearizable",
    "serializable",
    "members-equal",
    "wal-replay",
    "wal-replay-equals-backend",
    "compaction-hash",
    "backend-check",
    "member-stopped",
    "auth",
    "liveness",
    "panic",
];

vocabulary! {
    /// Figures of a run that can be expected.
    pub enum Observation("observation") {
        /// How often the leader changed, from the first leader to the end of the run, healing included.
        LeaderChanges = "leader_changes",
        /// The longest time without a leader after the first, in seconds.
        LeaderlessS = "leaderless_s",
        /// The whole time without a leader after the first, in seconds.
        LeaderlessTotalS = "leaderless_total_s",
        /// The highest term at the end.
        FinalTerm = "final_term",
        /// How often a member campaigned (PreVotes not counted).
        Campaigns = "campaigns",
        /// Requests that succeeded.
        Ok = "ok",
        /// Requests whose outcome their client never learned.
        Unknown = "unknown",
        /// Requests that failed for certain.
        Failed = "failed",
        /// Crashes of members.
        Crashes = "crashes",
        /// Snapshots sent from member to member.
        SnapshotsSent = "snapshots_sent",
        /// The longest time that a successful request took, in seconds.
        SlowestS = "slowest_s",
        /// Events of the world.
        Events = "events",
        /// The largest database file at the end, in MiB.
        DbSizeMib = "db_size_mib",
        /// The largest that a database file ever was, in MiB.
        DbSizeMaxMib = "db_size_max_mib",
        /// What is in use of the largest database at the end, in MiB.
        DbInUseMib = "db_in_use_mib",
        /// Free pages of the largest database at the end, those included that wait for a reader.
        DbFreePages = "db_free_pages",
        /// The most pages that waited for a reader, or for the older meta page.
        DbPendingPagesMax = "db_pending_pages_max",
        /// The most free pages, or runs of them, that one member looked at since it opened its file.
        FreelistWork = "freelist_work",
        /// Batches that became durable.
        Commits = "commits",
        /// The median of what such a commit took, in milliseconds.
        CommitMs = "commit_ms",
        /// The longest of them, in milliseconds.
        CommitMaxMs = "commit_max_ms",
        /// Compactions that removed their last record, by member.
        Compactions = "compactions",
        /// Databases that were copied into a dense file.
        Defrags = "defrags",
        /// The longest of these copies, in milliseconds.
        DefragMaxMs = "defrag_max_ms",
        /// Snapshots that replaced a member's store.
        SnapshotsInstalled = "snapshots_installed",
        /// The longest time from sending a snapshot to its store being in use, in milliseconds.
        SnapshotMaxMs = "snapshot_max_ms",
        /// The longest time of CPU that a restarted member needed to load its store, in milliseconds.
        StartMaxMs = "start_max_ms",
        /// What operators asked for and were refused.
        OperationsFailed = "operations_failed",
        /// How often an alarm was raised.
        AlarmsRaised = "alarms_raised",
        /// Alarms that are raised at the end.
        AlarmsEnd = "alarms_end",
    }
}

impl Observation {
    /// Whether it tells of the database's file: a table shows it only where the scenario asks for it.
    pub fn is_of_the_database(self) -> bool {
        self >= Observation::DbSizeMib
    }
}

/// What a figure is compared with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Comparison {
    /// `>= x`
    AtLeast(f64),
    /// `<= x`
    AtMost(f64),
    /// `> x`
    MoreThan(f64),
    /// `< x`
    LessThan(f64),
    /// `= x`
    Equal(f64),
    /// `lo..hi`, both included.
    Between(f64, f64),
}

impl Comparison {
    /// Whether a figure passes.
    pub fn check(&self, figure: f64) -> bool {
        match *self {
            Comparison::AtLeast(x) => figure >= x,
            Comparison::AtMost(x) => figure <= x,
            Comparison::MoreThan(x) => figure > x,
            Comparison::LessThan(x) => figure < x,
            Comparison::Equal(x) => figure == x,
            Comparison::Between(lo, hi) => lo <= figure && figure <= hi,
        }
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Comparison::AtLeast(x) => write!(f, ">= {x}"),
            Comparison::AtMost(x) => write!(f, "<= {x}"),
            Comparison::MoreThan(x) => write!(f, "> {x}"),
            Comparison::LessThan(x) => write!(f, "< {x}"),
            Comparison::Equal(x) => write!(f, "= {x}"),
            Comparison::Between(lo, hi) => write!(f, "{lo}..{hi}"),
        }
    }
}
