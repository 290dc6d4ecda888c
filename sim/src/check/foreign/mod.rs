//! Histories that others recorded, judged from outside.
//!
//! A checker that only ever reads its own world's histories proves little. Two kinds of public files with known verdicts
//! can be read:
//! - [`jepsen`]: the log of a Jepsen test of etcd. One register, first nil; reads, writes and compare-and-swaps.
//! - [`kv`]: porcupine's key-value histories. EDN maps; gets, puts and appends of strings, each key first `""`.
//!
//! The kind is recognised by what a file holds, not by its name. What *is* a line of a history must be readable: anything
//! else is an error that says where and what was expected. A reader that skips what it does not understand passes
//! an empty history, and an empty history is linearizable: which is why a history without operations has a verdict of its
//! own.
//!
//! A third kind, the reports of etcd's own [`robustness`] tests, is read line by line by those who judge it: it has requests and
//! watches of every kind, for [the model](super::model) and for [the watch guarantees](super::watch).
//!
//! Left out: Jepsen's other tests (sets, lists, transactions: Elle's subject), and several registers in one log.

pub mod jepsen;
pub mod kv;
pub mod robustness;

mod chains;
mod edn;
mod pairing;

use super::wgl::{self, Budget, Found, Interval, Model, Spent};
use pairing::Recorded;
use std::fmt;

/// A place in a text. Both count from 1; columns count characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

/// A line of a history that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// Where.
    pub at: Position,
    /// What should have stood there.
    pub expected: String,
    /// What stands there.
    pub found: String,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {}, found {}", self.expected, self.found)
    }
}

impl std::error::Error for Unreadable {}

/// A kind of file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A Jepsen log, see [`jepsen`].
    Jepsen,
    /// A key-value history in EDN, see [`kv`].
    Kv,
    /// Nothing but blanks, which is an empty history of either kind.
    Blank,
}

/// Recognises the kind of a file by its content; `None` if it is no history.
pub fn recognise(content: &[u8]) -> Option<Format> {
    let text = String::from_utf8_lossy(content);
    if text.trim().is_empty() {
        Some(Format::Blank)
    } else if kv::recognise(&text) {
        Some(Format::Kv)
    } else if jepsen::recognise(&text) {
        Some(Format::Jepsen)
    } else {
        None
    }
}

/// What is known about a foreign history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Some order explains it.
    Linearizable,
    /// No order does.
    NotLinearizable {
        /// The line that asks for an operation that found no place where the search came furthest.
        line: usize,
    },
    /// A budget was spent first.
    Undecided {
        /// Which.
        spent: Spent,
    },
    /// It has no operations.
    Empty,
}

/// A verdict and what it is based on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// The verdict.
    pub verdict: Verdict,
    /// Operations that were asked for.
    pub operations: usize,
    /// Of these, how many never returned.
    pub unreturned: usize,
    /// Steps that the search took.
    pub steps: u64,
}

/// Reads a history of the given kind and judges it.
pub fn judge(content: &[u8], format: Format, budget: Budget) -> Result<Judgement, Unreadable> {
    let text = std::str::from_utf8(content).map_err(|error| {
        let good = String::from_utf8_lossy(&content[..error.valid_up_to()]);
        let last_line = good.rsplit('\n').next().unwrap_or_default();
        Unreadable {
            at: Position { line: good.matches('\n').count() + 1, column: last_line.chars().count() + 1 },
            expected: "UTF-8 text".to_owned(),
            found: format!("the byte 0x{:02x}", content[error.valid_up_to()]),
        }
    })?;
    match format {
        Format::Blank => Ok(summarise::<()>(&[], Verdict::Linearizable, 0)),
        Format::Jepsen => {
            let recorded = jepsen::read(text)?;
            let (verdict, steps) = find(&mut jepsen::Register::default(), &recorded, budget);
            Ok(summarise(&recorded, verdict, steps))
        }
        Format::Kv => {
            let recorded = kv::read(text)?;
            let (verdict, steps) = kv::judge_by_key(&recorded, budget);
            Ok(summarise(&recorded, verdict, steps))
        }
    }
}

fn summarise<Op>(recorded: &[Recorded<Op>], verdict: Verdict, steps: u64) -> Judgement {
    Judgement {
        verdict: if recorded.is_empty() { Verdict::Empty } else { verdict },
        operations: recorded.len(),
        unreturned: recorded.iter().filter(|recorded| recorded.ret.is_none()).count(),
        steps,
    }
}

/// Searches an order of what was recorded.
fn find<M: Model>(model: &mut M, recorded: &[Recorded<M::Op>], budget: Budget) -> (Verdict, u64)
where
    M::Op: Clone,
{
    let constraining = || recorded.iter().filter(|recorded| recorded.constrains);
    let intervals: Vec<_> = constraining().map(|recorded| recorded.interval()).collect();
    let lines: Vec<usize> = constraining().map(|recorded| recorded.line).collect();
    search(model, &intervals, &lines, budget)
}

/// Searches an order of intervals, of which each was asked for at its line.
fn search<M: Model>(model: &mut M, ops: &[Interval<M::Op>], lines: &[usize], budget: Budget) -> (Verdict, u64) {
    let (found, steps) = wgl::search(model, ops, budget);
    let verdict = match found {
        Found::Linearizable => Verdict::Linearizable,
        Found::NotLinearizable { stuck } => Verdict::NotLinearizable { line: lines[stuck] },
        Found::Undecided { spent } => Verdict::Undecided { spent },
    };
    (verdict, steps)
}
