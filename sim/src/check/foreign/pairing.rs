//! From events to intervals: a process invokes, and later the same process completes.

use super::{Position, Unreadable};
use crate::check::wgl::Interval;
use std::collections::BTreeMap;

/// An operation as a file records it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded<Op> {
    /// Number of the event that invoked it.
    pub call: u64,
    /// Number of the event that completed it; `None` if its outcome is unknown.
    pub ret: Option<u64>,
    /// The line of its invocation, from 1.
    pub line: usize,
    /// The operation, with its answer.
    pub op: Op,
    /// False if nothing follows from it: a read that saw nothing, or what was certainly not executed.
    pub constrains: bool,
}

impl<Op: Clone> Recorded<Op> {
    pub(super) fn interval(&self) -> Interval<Op> {
        Interval { call: self.call, ret: self.ret, op: self.op.clone() }
    }
}

/// The type of an event, in Jepsen's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A process asks.
    Invoke,
    /// It was answered.
    Ok,
    /// It was answered that the operation did not happen.
    Fail,
    /// Nobody knows.
    Info,
}

impl Kind {
    pub(super) const EXPECTED: &str = "a type: :invoke, :ok, :fail or :info";

    pub(super) fn from_name(name: &str) -> Option<Kind> {
        Some(match name {
            "invoke" => Kind::Invoke,
            "ok" => Kind::Ok,
            "fail" => Kind::Fail,
            "info" => Kind::Info,
            _ => return None,
        })
    }
}

/// Pairs the events of a file, in the order in which they stand there.
pub(super) struct Pairing<Op> {
    recorded: Vec<Recorded<Op>>,
    /// By process, the operation that it has not completed. At the end these stay open, like those of unknown outcome.
    open: BTreeMap<i64, usize>,
    events: u64,
}

impl<Op> Pairing<Op> {
    pub(super) fn new() -> Self {
        Pairing { recorded: Vec::new(), open: BTreeMap::new(), events: 0 }
    }

    /// `op` is the operation as if its outcome were unknown.
    pub(super) fn invoke(&mut self, process: i64, at: Position, op: Op, constrains: bool) -> Result<(), Unreadable> {
        self.events += 1;
        if self.open.insert(process, self.recorded.len()).is_some() {
            return Err(Unreadable {
                at,
                expected: format!("the completion of what process {process} invoked before"),
                found: "another invocation".to_owned(),
            });
        }
        self.recorded.push(Recorded { call: self.events, ret: None, line: at.line, op, constrains });
        Ok(())
    }

    /// The operation that `process` completes now. For [`Kind::Info`] it stays open, else it has returned.
    pub(super) fn complete(&mut self, process: i64, kind: Kind, at: Position) -> Result<&mut Recorded<Op>, Unreadable> {
        self.events += 1;
        let Some(index) = self.open.remove(&process) else {
            return Err(Unreadable {
                at,
                expected: format!("an invocation by process {process} first"),
                found: "a completion".to_owned(),
            });
        };
        let recorded = &mut self.recorded[index];
        recorded.ret = (kind != Kind::Info).then_some(self.events);
        Ok(recorded)
    }

    pub(super) fn finish(self) -> Vec<Recorded<Op>> {
        self.recorded
    }
}
