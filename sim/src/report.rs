//! What a run comes to, as data: the object that `run --json` prints, and what the story is told from.

use crate::world::digest::hex;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A judged run of one arm; or, with `arms`, of all of them.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The scenario's name.
    pub scenario: String,
    /// The scenario's file.
    pub path: String,
    /// The arm, if the scenario has arms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arm: Option<String>,
    /// The seed.
    pub seed: u64,
    /// The bug switches that were on, as `--bug` takes them.
    pub bugs: Vec<String>,
    /// In one word.
    pub verdict: Verdict,
    /// The exit code that stands for it.
    pub exit: u8,
    /// The run's digest; over the arms' digests in order, if there are arms.
    #[serde(with = "hex")]
    pub digest: u64,
    /// Virtual seconds, healing and proof of life included.
    pub simulated_s: f64,
    /// CPU seconds of the world and its judges.
    pub cpu_s: f64,
    /// Events of the world.
    pub events: u64,
    /// Elections after the first, from the first leader to the end of the run.
    pub leader_changes: u64,
    /// Each of them, with its cause.
    pub leader_changes_detail: Vec<LeaderChangeReport>,
    /// Names of the checks that failed.
    pub failed_checks: Vec<String>,
    /// What each of them found.
    pub failures: Vec<FailureReport>,
    /// Every check that was made.
    pub checks: Vec<CheckReport>,
    /// Every expectation of the scenario.
    pub expectations: Vec<ExpectationReport>,
    /// Figures, by the names that `[expect]` uses.
    pub observations: BTreeMap<&'static str, f64>,
    /// Each member's database.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub db: Vec<DatabaseReport>,
    /// The figures that a table of arms shows; empty: the usual ones.
    #[serde(skip)]
    pub columns: Vec<&'static str>,
    /// What clients saw.
    pub clients: ClientFigures,
    /// What groups this failure with others of its kind; `None` if nothing failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signature: Option<String>,
    /// The command that runs this again.
    pub replay: String,
    /// The arms, where there are any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub arms: Vec<Report>,
}

/// A run's end in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Every check and expectation holds.
    Passed,
    /// A safety check failed.
    Unsafe,
    /// No progress after healing.
    NoProgress,
    /// A member panicked.
    Panicked,
    /// An expectation was not met.
    Unexpected,
    /// A checker ran out of its budget.
    Undecided,
    /// Seedbed itself failed.
    Broken,
}

impl Verdict {
    /// The exit code.
    pub fn exit(self) -> u8 {
        match self {
            Verdict::Passed => 0,
            Verdict::Unsafe => 10,
            Verdict::NoProgress => 11,
            Verdict::Panicked => 12,
            Verdict::Unexpected => 13,
            Verdict::Undecided => 14,
            Verdict::Broken => 70,
        }
    }
}

/// A change of leader.
#[derive(Clone, Debug, Serialize)]
pub struct LeaderChangeReport {
    /// When the new leader was elected, in seconds.
    pub at: f64,
    /// The old leader.
    pub from: String,
    /// The new one.
    pub to: String,
    /// Its term.
    pub term: u64,
    /// Seconds since the old leader sent the last message that anyone heard.
    pub leaderless_s: f64,
    /// Why, from the root cause to the election.
    pub cause: Vec<CauseStep>,
    /// What would have helped, and what would not.
    pub advice: String,
}

/// A link of a causal chain.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CauseStep {
    /// The kind, as `[expect] cause` names it.
    pub kind: &'static str,
    /// When it began, in seconds.
    pub at: f64,
    /// The member concerned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub member: Option<String>,
    /// The fault of the plan that was to blame, by its number, if the links lead to one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<u16>,
    /// For a person.
    pub text: String,
}

/// What a failed check found.
#[derive(Clone, Debug, Serialize)]
pub struct FailureReport {
    /// The check.
    pub check: String,
    /// What is wrong.
    pub text: String,
    /// The operations that show it, a line each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub operations: Vec<String>,
}

/// A check and its end.
#[derive(Clone, Debug, Serialize)]
pub struct CheckReport {
    /// The check.
    pub name: String,
    /// How it ended.
    pub result: CheckResult,
    /// How much was looked at.
    pub detail: String,
}

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CheckResult {
    /// It holds.
    Passed,
    /// It does not.
    Failed,
    /// Nobody knows.
    Undecided,
    /// It failed, and the scenario's faults are beyond what the protocol tolerates.
    BeyondTolerance,
}

/// An expectation and what was seen.
#[derive(Clone, Debug, Serialize)]
pub struct ExpectationReport {
    /// What was expected: `leader_changes >= 1`.
    pub expected: String,
    /// What was seen.
    pub seen: String,
    /// Whether it was met.
    pub met: bool,
}

/// A member's database: sizes in bytes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DatabaseReport {
    /// Whose.
    pub member: String,
    /// The largest that the file was.
    pub size_max: u64,
    /// Its size at the end.
    pub size_end: u64,
    /// What is in use of it at the end.
    pub in_use_end: u64,
    /// Free pages at the end.
    pub free_pages_end: u64,
    /// Pages at the end that wait for a reader, or for the older meta page.
    pub pending_pages_end: u64,
    /// The most of these.
    pub pending_pages_max: u64,
    /// The most images that were read at a time.
    pub readers_max: u64,
    /// Batches that became durable.
    pub commits: u64,
    /// How long that took in the median, in milliseconds.
    pub commit_ms_p50: f64,
    /// What 99 of 100 did not exceed.
    pub commit_ms_p99: f64,
    /// The longest.
    pub commit_ms_max: f64,
    /// Compactions that removed their last record.
    pub compactions: u64,
    /// Copies into a dense file.
    pub defrags: Vec<DefragReport>,
    /// Restarts with the data that was there.
    pub starts: u64,
    /// The longest CPU time that loading it took, in milliseconds.
    pub start_ms_max: f64,
    /// Snapshots that replaced it.
    pub snapshots: u64,
    /// The longest time from sending one to its use, in milliseconds.
    pub snapshot_ms_max: f64,
}

/// A copy of a database into a dense file.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DefragReport {
    /// When the new file was in use, in seconds.
    pub at: f64,
    /// How long it took, in milliseconds.
    pub took_ms: f64,
    /// Bytes of the old file.
    pub before: u64,
    /// Bytes of the new one.
    pub after: u64,
}

/// What clients saw.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ClientFigures {
    /// Requests called.
    pub requests: u64,
    /// Answered.
    pub ok: u64,
    /// Of unknown outcome.
    pub unknown: u64,
    /// Certainly not executed.
    pub failed: u64,
    /// Attempts beyond the first.
    pub retried: u64,
    /// The slowest answer, in seconds.
    pub slowest_s: f64,
    /// The median answer, in seconds.
    pub median_s: f64,
}
