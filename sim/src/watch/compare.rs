//! A run held against the trace of another: where do they part?

use super::trace_file::section;
use crate::world::Watcher;
use crate::world::record::NodeIndex;
use seedbed::member::TraceEvent;
use seedbed::time::Nanos;
use std::fmt::{Debug, Write};
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// The first event that differs. Lines are as in the trace; `None`: there is none any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// What the trace says.
    pub kept: Option<String>,
    /// What happened now.
    pub seen: Option<String>,
}

/// See the module.
#[derive(Debug)]
pub struct Comparison {
    kept: BufReader<File>,
    line: String,
    seen: String,
    found: Arc<Mutex<Found>>,
}

/// What a comparison has found so far; for whoever gave the comparison away.
#[derive(Debug, Default)]
struct Found {
    difference: Option<Difference>,
    /// The next line of the trace, once the run is over.
    rest: Option<String>,
}

/// Asks what a comparison found.
#[derive(Clone, Debug)]
pub struct Findings(Arc<Mutex<Found>>);

impl Findings {
    /// The first difference. To be asked when the run is over and the comparison dropped.
    pub fn difference(&self) -> Option<Difference> {
        let mut found = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let rest = found.rest.take();
        found.difference.take().or_else(|| rest.map(|kept| Difference { kept: Some(kept), seen: None }))
    }
}

impl Comparison {
    /// Opens a trace at the section of a run.
    ///
    /// # Errors
    /// The file cannot be read, or has no such section.
    pub fn open(path: &Path, scenario: &str, arm: Option<&str>, seed: u64) -> io::Result<(Comparison, Findings)> {
        let wanted = section(scenario, arm, seed);
        let mut kept = BufReader::new(File::open(path)?);
        let mut line = String::new();
        while line.trim_end() != wanted {
            line.clear();
            if kept.read_line(&mut line)? == 0 {
                return Err(io::Error::new(io::ErrorKind::InvalidData, format!("has no section \"{wanted}\"")));
            }
        }
        let found = Arc::default();
        let findings = Findings(Arc::clone(&found));
        Ok((Comparison { kept, line, seen: String::new(), found }, findings))
    }

    /// The next event of the trace; `None` at the end of its section.
    fn next_kept(&mut self) -> Option<&str> {
        self.line.clear();
        match self.kept.read_line(&mut self.line) {
            Ok(0) | Err(_) => None,
            Ok(_) => Some(self.line.trim_end_matches('\n')).filter(|line| !line.starts_with('#')),
        }
    }
}

impl Watcher for Comparison {
    fn on_event(&mut self, at: Nanos, number: u64, what: &dyn Debug) {
        let found = Arc::clone(&self.found);
        let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
        if found.difference.is_some() {
            return;
        }
        let mut seen = std::mem::take(&mut self.seen);
        seen.clear();
        let _ = write!(seen, "{number} {at} {what:?}");
        let kept = self.next_kept();
        if kept != Some(seen.as_str()) {
            found.difference = Some(Difference { kept: kept.map(str::to_owned), seen: Some(seen.clone()) });
        }
        self.seen = seen;
    }

    fn on_trace(&mut self, _: Nanos, _: NodeIndex, _: u64, _: &TraceEvent) {}
}

impl Drop for Comparison {
    fn drop(&mut self) {
        let rest = self.next_kept().map(str::to_owned);
        self.found.lock().unwrap_or_else(PoisonError::into_inner).rest = rest;
    }
}
