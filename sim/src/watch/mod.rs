//! Watchers: who looks on while a run goes, and changes nothing.
//!
//! The world shows its watcher every event and everything that happens inside a member ([`Watcher`]). Three look on:
//! - [`TraceFile`] writes every event into a file (`--trace`), byte for byte the same for the same run;
//! - [`Comparison`] holds every event against such a file, and remembers the first that differs (`replay`);
//! - [`Stream`] tells a person what happens inside the members as it happens (`-v`, `--columns`), through `tracing`, so
//!   that whoever embeds the testbed can listen with tools that are there already.
//!
//! Several may watch at once ([`Together`]). None can reach the world: they get references and give nothing back, so no
//! digest can depend on who is watching.

mod compare;
mod lines;
mod stream;
mod trace_file;
mod words;

pub use compare::{Comparison, Difference, Findings};
pub use lines::Layout;
pub use stream::{Sink, Stream, TARGET};
pub use trace_file::{TraceFile, section};

use crate::world::Watcher;
use crate::world::record::NodeIndex;
use seedbed::member::TraceEvent;
use seedbed::time::Nanos;
use std::fmt::Debug;

/// Several watchers as one.
#[derive(Default)]
pub struct Together(Vec<Box<dyn Watcher + Send>>);

impl Together {
    /// One more.
    pub fn add(&mut self, watcher: impl Watcher + Send + 'static) {
        self.0.push(Box::new(watcher));
    }

    /// As the world wants it: nobody at all if nobody watches, which is faster.
    pub fn into_watcher(self) -> Option<Box<dyn Watcher + Send>> {
        if self.0.is_empty() { None } else { Some(Box::new(self)) }
    }
}

impl Watcher for Together {
    fn on_event(&mut self, at: Nanos, number: u64, what: &dyn Debug) {
        self.0.iter_mut().for_each(|watcher| watcher.on_event(at, number, what));
    }

    fn on_trace(&mut self, at: Nanos, node: NodeIndex, term: u64, event: &TraceEvent) {
        self.0.iter_mut().for_each(|watcher| watcher.on_trace(at, node, term, event));
    }
}
