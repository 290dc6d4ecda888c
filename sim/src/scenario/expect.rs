//! `[expect]`: what must be seen.

use super::{
    at::At,
    names::{CauseText, CheckText},
    vocabulary,
};
use schemars::JsonSchema;
use serde::Deserialize;
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
    "lease",
    "transfer-total",
    "auth",
    "liveness",
    "panic",
    "watch-filter",
    "watch-ordered",
    "watch-unique",
    "watch-atomic",
    "watch-bookmarkable",
    "watch-resumable",
    "watch-is-create",
    "watch-reliable",
    "watch-prev-kv",
    "watch-tail",
    "watch-canceled",
    "lock",
    "fencing",
    "informer",
    "membership",
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
        /// Leases that were granted.
        LeasesGranted = "leases_granted",
        /// Leases that ended because their time was over.
        LeasesExpired = "leases_expired",
        /// Leases that are there at the end.
        LeasesLeft = "leases_left",
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
        /// Events that came on watches.
        WatchEvents = "watch_events",
        /// Events that a client wanted and never heard of.
        WatchMissed = "watch_missed",
        /// Events that came again.
        WatchDuplicates = "watch_duplicates",
        /// The longest time from a change to its event, in seconds.
        WatchLagS = "watch_lag_s",
        /// Watches whose streams broke.
        WatchBroken = "watch_broken",
        /// Watches that ended because their history was compacted.
        WatchCompacted = "watch_compacted",
        /// Keys that clients' copies of the store have wrong at the end.
        MirrorWrong = "mirror_wrong",
        /// Changes that a v2 consumer heard of.
        RingTold = "ring_told",
        /// Changes that a v2 server had forgotten before its consumer asked for them.
        RingLost = "ring_lost",
        /// How often a client was given a lock, or elected.
        LocksTaken = "locks_taken",
        /// Updates that found the object changed (workload `kubernetes`).
        Conflicts = "conflicts",
        /// Members added, promoted, moved and removed.
        MemberChanges = "member_changes",
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

/// What must be seen. A figure is compared: `leader_changes = ">= 1"`.
#[derive(Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct ExpectShape {
    /// A fault or a mechanism that must lie on the causal chain of the first leader change.
    pub(super) cause: Option<At<CauseText>>,
    /// The one check that must fail.
    pub(super) violation: Option<At<CheckText>>,
    /// How often the leader changed after the first one.
    pub(super) leader_changes: Option<At<Comparison>>,
    /// The longest time without a leader after the first, in seconds.
    pub(super) leaderless_s: Option<At<Comparison>>,
    /// The whole time without a leader after the first, in seconds.
    pub(super) leaderless_total_s: Option<At<Comparison>>,
    /// The highest term at the end.
    pub(super) final_term: Option<At<Comparison>>,
    /// How often a member campaigned.
    pub(super) campaigns: Option<At<Comparison>>,
    /// Requests that succeeded.
    pub(super) ok: Option<At<Comparison>>,
    /// Requests whose outcome their client never learned.
    pub(super) unknown: Option<At<Comparison>>,
    /// Requests that failed for certain.
    pub(super) failed: Option<At<Comparison>>,
    /// Crashes of members.
    pub(super) crashes: Option<At<Comparison>>,
    /// Snapshots sent from member to member.
    pub(super) snapshots_sent: Option<At<Comparison>>,
    /// The longest time that a successful request took, in seconds.
    pub(super) slowest_s: Option<At<Comparison>>,
    /// Events of the world.
    pub(super) events: Option<At<Comparison>>,
    /// The largest database file at the end, in MiB.
    pub(super) db_size_mib: Option<At<Comparison>>,
    /// The largest that a database file ever was, in MiB.
    pub(super) db_size_max_mib: Option<At<Comparison>>,
    /// What is in use of the largest database at the end, in MiB.
    pub(super) db_in_use_mib: Option<At<Comparison>>,
    /// Free pages of the largest database at the end, those included that wait for a reader.
    pub(super) db_free_pages: Option<At<Comparison>>,
    /// The most pages that waited for a reader, or for the older meta page.
    pub(super) db_pending_pages_max: Option<At<Comparison>>,
    /// The most free pages, or runs of them, that one member looked at since it opened its file.
    pub(super) freelist_work: Option<At<Comparison>>,
    /// Batches that became durable.
    pub(super) commits: Option<At<Comparison>>,
    /// The median of what such a commit took, in milliseconds.
    pub(super) commit_ms: Option<At<Comparison>>,
    /// The longest of them, in milliseconds.
    pub(super) commit_max_ms: Option<At<Comparison>>,
    /// Compactions that removed their last record, by member.
    pub(super) compactions: Option<At<Comparison>>,
    /// Databases that were copied into a dense file.
    pub(super) defrags: Option<At<Comparison>>,
    /// The longest of these copies, in milliseconds.
    pub(super) defrag_max_ms: Option<At<Comparison>>,
    /// Snapshots that replaced a member's store.
    pub(super) snapshots_installed: Option<At<Comparison>>,
    /// The longest time from sending a snapshot to its store being in use, in milliseconds.
    pub(super) snapshot_max_ms: Option<At<Comparison>>,
    /// The longest time of CPU that a restarted member needed to load its store, in milliseconds.
    pub(super) start_max_ms: Option<At<Comparison>>,
    /// What operators asked for and were refused.
    pub(super) operations_failed: Option<At<Comparison>>,
    /// Leases that were granted.
    pub(super) leases_granted: Option<At<Comparison>>,
    /// Leases that ended because their time was over.
    pub(super) leases_expired: Option<At<Comparison>>,
    /// Leases that are there at the end.
    pub(super) leases_left: Option<At<Comparison>>,
    /// How often an alarm was raised.
    pub(super) alarms_raised: Option<At<Comparison>>,
    /// Alarms that are raised at the end.
    pub(super) alarms_end: Option<At<Comparison>>,
    /// Events that came on watches.
    pub(super) watch_events: Option<At<Comparison>>,
    /// Events that a client wanted and never heard of.
    pub(super) watch_missed: Option<At<Comparison>>,
    /// Events that came again.
    pub(super) watch_duplicates: Option<At<Comparison>>,
    /// The longest time from a change to its event, in seconds.
    pub(super) watch_lag_s: Option<At<Comparison>>,
    /// Watches whose streams broke.
    pub(super) watch_broken: Option<At<Comparison>>,
    /// Watches that ended because their history was compacted.
    pub(super) watch_compacted: Option<At<Comparison>>,
    /// Keys that clients' copies of the store have wrong at the end.
    pub(super) mirror_wrong: Option<At<Comparison>>,
    /// Changes that a v2 consumer heard of.
    pub(super) ring_told: Option<At<Comparison>>,
    /// Changes that a v2 server had forgotten before its consumer asked for them.
    pub(super) ring_lost: Option<At<Comparison>>,
    /// How often a client was given a lock, or elected.
    pub(super) locks_taken: Option<At<Comparison>>,
    /// Updates that found the object changed.
    pub(super) conflicts: Option<At<Comparison>>,
    /// Members added, promoted, moved and removed.
    pub(super) member_changes: Option<At<Comparison>>,
}
