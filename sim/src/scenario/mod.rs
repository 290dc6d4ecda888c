//! The scenario file: what happens to a cluster, what its clients do, and what must be seen.
//!
//! A scenario is a TOML file (`scenarios/**/*.toml`). It is small because everything has a default: a name, a fault and an
//! expectation make one.
//!
//! ```toml
//! name = "leader-crash"
//! about = "The leader dies; the others notice by its silence and elect a new one."
//! chapter = "04"
//!
//! [[fault]]
//! kind = "crash"
//! when = "leader-elected"       # or at = "4s", or every = ["2s", "5s"]
//! after = "2s"
//! target = "leader"
//! for = "5s"
//!
//! [expect]
//! cause = "crash"
//! leader_changes = ">= 1"
//!
//! [[vary]]                      # an arm: the same with something changed, run beside the others
//! name = "patient"
//! set = { "cluster.election" = "5s" }
//! ```
//!
//! # From text to world
//!
//! ```text
//! text ── toml ──► table with places ──► arm and swarm put values in ──► shape.rs ──► resolve.rs, plan.rs ──► Scenario
//!                                        (arm.rs, file.rs)               one value    values together
//! ```
//!
//! [`ScenarioFile::parse`] is a pure function of a text. It checks every arm and every candidate of the swarm, so that a
//! mistake is found before anything runs, and [`ScenarioFile::resolve`] then gives one arm for one seed. The result,
//! [`Scenario`], is what the world runs: plain values, no option that means "the default", times in nanoseconds, members
//! by number. Ranges stay ranges: the world draws from them, each from its own named stream.
//!
//! # Three rules
//!
//! - **Every error has a place.** Values keep their byte ranges from the parser to the last check, also those that an arm
//!   puts in, and [`ScenarioError`] shows line, column, the line itself and what was expected there.
//! - **Nothing is ignored.** A key that nobody reads is an error, also one that another kind of fault would have read.
//! - **No text makes it panic**, whatever it holds; `tests/scenario_files.rs` tries many.
//!
//! # What is absent
//!
//! No includes, no variables, no conditions: a scenario is read from top to bottom. Whether faults are more than the
//! protocol tolerates is not derived but said (`tolerance`); the fault atlas of the world holds random faults to it.

mod action;
mod arm;
mod at;
mod cluster;
mod error;
mod expect;
mod fault;
mod fault_words;
mod file;
mod names;
mod plan;
mod report;
mod resolve;
mod schema;
mod setting;
mod shape;
#[cfg(test)]
mod tests;
mod trigger;
mod units;
pub(crate) mod vocabulary;
mod watching;
mod workload;

pub use action::Action;
pub use cluster::{BugSwitch, Cluster, Engine, Freelist, Profile, Tokens};
pub use error::ScenarioError;
pub use expect::{CAUSES, CHECKS, Comparison, Expect, Observation};
pub use fault::{Condition, Event, Fault, Operation, OperationAction, Revision, Target, Trigger};
pub use fault_words::{DiskErrorKind, Family, FileKind, InFlight, MessageKind, Unsynced};
pub use file::ScenarioFile;
pub use names::parse_bug_switch;
pub use report::{PlotKind, ReportSettings};
pub use schema::schema;
pub use setting::{Check, Clock, Cost, Disk, Network};
pub use units::{Range32, Range64};
pub use watching::{AfterList, OnCompacted, WatchStart, Watching};
pub use workload::{Endpoints, Fence, Guard, Mix, User, Workload, WorkloadKind};

pub(crate) use vocabulary::vocabulary;

/// A scenario, resolved: one arm, with everything drawn that the file leaves to the seed.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// Its name, the file's name by habit (`leader-crash`).
    pub name: String,
    /// What happens and why, for a person.
    pub about: String,
    /// The chapter of the book that it belongs to (`"04"`); empty when to none.
    pub chapter: String,
    /// How long the chaos phase lasts, in nanoseconds. Healing and the demand for progress come after it.
    pub duration: u64,
    /// Whether the faults stay inside what the protocol tolerates.
    pub tolerance: Tolerance,
    /// The members.
    pub cluster: Cluster,
    /// What the clients do.
    pub workloads: Vec<Workload>,
    /// What goes wrong. [`Condition::fault`] indexes this list.
    pub faults: Vec<Fault>,
    /// What an operator does.
    pub operations: Vec<Operation>,
    /// The network when nothing is wrong with it.
    pub network: Network,
    /// The disks when nothing is wrong with them.
    pub disk: Disk,
    /// The members' clocks.
    pub clock: Clock,
    /// What work costs in CPU time.
    pub cost: Cost,
    /// Which checks judge the run.
    pub check: Check,
    /// What must be seen.
    pub expect: Expect,
    /// What is shown beside the story.
    pub report: ReportSettings,
}

impl Default for Scenario {
    /// Three members, one workload, no fault, 20 s: a world to build tests on.
    fn default() -> Self {
        Self {
            name: "unnamed".into(),
            about: String::new(),
            chapter: String::new(),
            duration: units::SECOND * 20,
            tolerance: Tolerance::default(),
            cluster: Cluster::default(),
            workloads: vec![Workload::default()],
            faults: Vec::new(),
            operations: Vec::new(),
            network: Network::default(),
            disk: Disk::default(),
            clock: Clock::default(),
            cost: Cost::default(),
            check: Check::default(),
            expect: Expect::default(),
            report: ReportSettings::default(),
        }
    }
}

vocabulary! {
    /// Whether a scenario's faults stay inside what the protocol tolerates.
    #[derive(Default)]
    pub enum Tolerance("tolerance") {
        /// They do: every check must hold, and the cluster must make progress once healed.
        #[default]
        Within = "within",
        /// They do not (a lying fsync, a lost majority's disks): checks are reported as beyond tolerance and only the
        /// scenario's own expectations judge.
        Exceeded = "exceeded",
        /// Random faults may take the majority away: safety must hold, progress during the chaos is not asked for, and
        /// the fault atlas does not hold the nemesis back.
        SafetyOnly = "safety-only",
    }
}
