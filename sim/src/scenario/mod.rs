//! The scenario file: what happens to a cluster, what its clients do, and what must be seen.
//!
//! The types of this module are a scenario *resolved*: plain values without options that mean "the default", times in
//! nanoseconds, members by number. They are what the world runs.

mod arm;
mod at;
mod cluster;
mod error;
mod expect;
mod fault;
mod file;
mod names;
mod plan;
mod resolve;
mod schema;
mod setting;
mod shape;
mod trigger;
mod units;
mod vocabulary;
mod workload;

pub use cluster::{BugSwitch, Cluster, Profile, bug_by_name, bug_name};
pub use error::ScenarioError;
pub use expect::{CAUSES, CHECKS, Comparison, Expect, Observation};
pub use fault::{
    Action, Condition, DiskErrorKind, Event, Family, Fault, InFlight, MessageKind, Operation, OperationAction, Target,
    Trigger, Unsynced, WalOrSnap,
};
pub use file::ScenarioFile;
pub use names::parse_bug_switch;
pub use schema::schema;
pub use setting::{Check, Clock, Cost, Disk, Network};
pub use units::{Range32, Range64};
pub use workload::{Endpoints, Mix, Workload, WorkloadKind};

use vocabulary::vocabulary;

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
