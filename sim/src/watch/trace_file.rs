//! Every event of the world in a file, a line each: number, time in nanoseconds, what.
//!
//! ```text
//! # leader-crash, seed 42
//! 1 200350 Message { from: 0, to: 1, … }
//! 2 200350 Disk { node: 0, … }
//! ```
//!
//! A scenario with arms has a section for each, headed like the first line. Nothing in the file depends on the machine, the
//! time of day or the build's profile; so two traces of a run can be compared with `cmp` or `diff`.

use crate::world::Watcher;
use crate::world::record::NodeIndex;
use seedbed::member::TraceEvent;
use seedbed::time::Nanos;
use std::fmt::Debug;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// See the module. Clones write to the same file.
#[derive(Clone, Debug)]
pub struct TraceFile {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug)]
struct Inner {
    out: BufWriter<File>,
    /// The first failure; after it nothing is written, since a trace with a hole is worse than a short one.
    failed: Option<io::Error>,
}

/// The heading of a run's section.
pub fn section(scenario: &str, arm: Option<&str>, seed: u64) -> String {
    let arm = arm.map(|arm| format!(", arm {arm}")).unwrap_or_default();
    format!("# {scenario}{arm}, seed {seed}").replace(['\n', '\r'], " ")
}

impl TraceFile {
    /// Begins a file, in place of one that is there.
    ///
    /// # Errors
    /// The file cannot be made.
    pub fn create(path: &Path) -> io::Result<TraceFile> {
        let out = BufWriter::with_capacity(1 << 18, File::create(path)?);
        Ok(TraceFile { inner: Arc::new(Mutex::new(Inner { out, failed: None })) })
    }

    /// Begins a run's section.
    pub fn begin(&self, section: &str) {
        self.write(|out| writeln!(out, "{section}"));
    }

    /// Writes out what is left, and says whether everything could be written.
    ///
    /// # Errors
    /// The first failure since the file was begun.
    pub fn finish(&self) -> io::Result<()> {
        self.write(|out| out.flush());
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.failed.take().map_or(Ok(()), Err)
    }

    fn write(&self, write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.failed.is_none() {
            inner.failed = write(&mut inner.out).err();
        }
    }
}

impl Watcher for TraceFile {
    fn on_event(&mut self, at: Nanos, number: u64, what: &dyn Debug) {
        self.write(|out| writeln!(out, "{number} {at} {what:?}"));
    }

    fn on_trace(&mut self, _: Nanos, _: NodeIndex, _: u64, _: &TraceEvent) {}
}
