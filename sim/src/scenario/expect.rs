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
