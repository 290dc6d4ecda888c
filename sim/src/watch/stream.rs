//! What happens inside the members, told while it happens, through `tracing`.
//!
//! Each event goes to a subscriber of our own, not to a global one: several runs of one process can then be watched, or
//! not, each by itself.

use super::lines::Layout;
use super::words::Names;
use crate::world::Watcher;
use crate::world::record::NodeIndex;
use seedbed::disk::OpId;
use seedbed::member::TraceEvent;
use seedbed::time::Nanos;
use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, BufWriter, Write};
use std::sync::{Arc, Mutex, PoisonError};
use tracing::{Dispatch, Level, dispatcher};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Layer, SubscriberExt};

/// The target of the members' events.
pub const TARGET: &str = "seedbed::member";

/// Where the lines go. Clones write to the same place. That a reader went away is of no matter to a run, so errors are
/// swallowed.
#[derive(Clone)]
pub struct Sink(Arc<Mutex<BufWriter<Box<dyn Write + Send>>>>);

impl Sink {
    /// Lines go there, through a buffer.
    pub fn new(out: impl Write + Send + 'static) -> Sink {
        Sink(Arc::new(Mutex::new(BufWriter::with_capacity(1 << 16, Box::new(out)))))
    }

    /// Everything so far is to be seen.
    pub fn finish(&self) {
        let _ = self.0.lock().unwrap_or_else(PoisonError::into_inner).flush();
    }
}

impl fmt::Debug for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sink").finish_non_exhaustive()
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = self.0.lock().unwrap_or_else(PoisonError::into_inner).write_all(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.finish();
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Sink {
    type Writer = Sink;

    fn make_writer(&'a self) -> Sink {
        self.clone()
    }
}

/// See the module.
#[derive(Debug)]
pub struct Stream {
    dispatch: Dispatch,
    names: Names,
    /// Whether the daily work is told too.
    daily: bool,
    /// For each member, the save for which it lost a tick last: the second tick lost to one save is no news.
    lost_to: BTreeMap<NodeIndex, OpId>,
}

impl Stream {
    /// Tells the events into `sink`; with `daily`, also what a healthy member does all the time.
    pub fn new(layout: Layout, daily: bool, mut sink: Sink) -> Stream {
        if let Some(heading) = layout.heading() {
            let _ = writeln!(sink, "{heading}");
        }
        // Others (madsim) trace too; only ours is asked for.
        let level = if daily { LevelFilter::DEBUG } else { LevelFilter::INFO };
        let layer = tracing_subscriber::fmt::layer().event_format(layout).with_writer(sink).log_internal_errors(false);
        let layer = layer.with_filter(Targets::new().with_target(TARGET, level));
        let dispatch = Dispatch::new(tracing_subscriber::registry().with(layer));
        Stream { dispatch, names: Names::new(), daily, lost_to: BTreeMap::new() }
    }
}

impl Watcher for Stream {
    fn on_event(&mut self, _: Nanos, _: u64, _: &dyn fmt::Debug) {}

    fn on_trace(&mut self, at: Nanos, node: NodeIndex, term: u64, event: &TraceEvent) {
        let (mut level, text) = self.names.words(event);
        if let TraceEvent::TickDropped { blocked_on: Some(op), .. } = event
            && self.lost_to.insert(node, *op) == Some(*op)
        {
            level = Level::DEBUG;
        }
        let node = u64::from(node);
        dispatcher::with_default(&self.dispatch, || {
            if level == Level::INFO {
                tracing::event!(target: TARGET, Level::INFO, at, node, term, "{text}");
            } else if self.daily {
                tracing::event!(target: TARGET, Level::DEBUG, at, node, term, "{text}");
            }
        });
    }
}
