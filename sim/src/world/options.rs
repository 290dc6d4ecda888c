//! What a run is told beside scenario and seed, and who looks on.

use super::digest::Perturb;
use super::plan::Resolved;
use super::record::NodeIndex;
use seedbed::member::TraceEvent;
use seedbed::time::Nanos;

/// Who watches a run: gets every event as text, and the members' own trace events. Watching changes nothing.
pub trait Watcher {
    /// An event of the world is about to happen.
    fn on_event(&mut self, at: Nanos, number: u64, what: &dyn std::fmt::Debug);
    /// Something happened inside a member, in this term.
    fn on_trace(&mut self, at: Nanos, node: NodeIndex, term: u64, event: &TraceEvent);
}

/// What a run is told beside scenario and seed.
#[derive(Default)]
pub struct Options {
    /// Someone to watch.
    pub watcher: Option<Box<dyn Watcher + Send>>,
    /// A resolved plan to follow, in place of the conditions and targets of the scenario.
    pub follow: Option<Vec<Resolved>>,
    /// For tests of the digest.
    pub perturb: Option<Perturb>,
    /// Whether the outcome holds what is on the members' disks at the end.
    pub keep_data: bool,
}
