//! Jepsen's log of an etcd test: one register.
//!
//! ```text
//! INFO  jepsen.util - 3\t:invoke\t:cas\t[3 0]
//! INFO  jepsen.util - 3\t:ok\t:cas\t[3 0]
//! ```
//! Fields are the process, the type, the function and the value, with tabs or any other blanks between them; what follows
//! the value is Jepsen's note of an error, and is not read. What the types mean:
//!
//! | | `:read` | `:write` | `:cas [a b]` |
//! |---|---|---|---|
//! | `:ok` | it saw the value | done | the register held `a` |
//! | `:fail` | it saw nothing: any value will do | not done | the register did *not* hold `a` |
//! | `:info` | as for `:fail` | open for ever | open for ever |
//!
//! (`:fail :cas` without the pair, as in `:fail :cas :timed-out`, only says that it was not done.)
//!
//! A log has other lines, too. A line is part of the history if it is `jepsen.util`'s (or, as in a `history.txt`, has no logger)
//! and its message starts with a number or holds one of the four types as a field; it must then be readable. The nemesis has a
//! keyword for a process, and is passed over. Everything else (other loggers, stack traces, banners) is not history.

use super::edn::{Edn, Form, Reader};
use super::pairing::{Kind, Pairing};
use super::{Position, Unreadable};
use crate::check::wgl::{Model, Probe};

pub use super::pairing::Recorded;

/// An operation on the register, with its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// It saw this value, or nil.
    Read(Option<i64>),
    /// It writes this value.
    Write(i64),
    /// It writes `to` if the register holds `from`.
    Cas {
        /// The expected value.
        from: i64,
        /// The new value.
        to: i64,
        /// Whether it was; `None` if nobody knows.
        succeeded: Option<bool>,
    },
}

/// Whether a text that is no EDN is a Jepsen log: some line is a logger's, or one of a history.
pub(super) fn recognise(text: &str) -> bool {
    text.lines().any(|line| is_logged(line) || history_message(line).is_some())
}

/// `INFO  jepsen.core - …`, perhaps behind a date and a time: a level in capitals, then soon a dotted logger.
fn is_logged(line: &str) -> bool {
    const LEVELS: [&str; 6] = ["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"];
    let mut fields = line.split_whitespace();
    let mut logger = "";
    // A thread's name in brackets may stand between the two, with blanks in it.
    fields.by_ref().take(3).any(|field| LEVELS.contains(&field))
        && fields.take(6).any(|field| match field {
            "-" => is_dotted(logger),
            _ => {
                logger = field;
                field.strip_suffix(':').is_some_and(is_dotted)
            }
        })
}

fn is_dotted(name: &str) -> bool {
    let is_part =
        |part: &str| !part.is_empty() && part.chars().all(|char| char.is_alphanumeric() || "-_$".contains(char));
    name.contains('.') && name.split('.').all(is_part)
}

/// The part of a line that is a history's, and its byte offset.
fn history_message(line: &str) -> Option<(usize, &str)> {
    const LOGGER: &str = "jepsen.util";
    let offset = match line.find(LOGGER) {
        None => 0,
        Some(at) => {
            let behind = at + LOGGER.len();
            let separator = line[behind..].find(|char: char| !char.is_whitespace())? + behind;
            match line.as_bytes()[separator] {
                b'-' | b':' => separator + 1,
                _ => return None,
            }
        }
    };
    let logged = offset > 0;
    let message = &line[offset..];
    let mut fields = message.split_whitespace();
    let process = fields.next()?;
    let has_type = fields.any(|field| field.strip_prefix(':').is_some_and(|name| Kind::from_name(name).is_some()));
    let is_number = process.parse::<i64>().is_ok();
    let is_history = if logged { is_number || has_type } else { is_number && has_type };
    (is_history && !process.starts_with(':')).then_some((offset, message))
}

/// Reads a log.
pub fn read(text: &str) -> Result<Vec<Recorded<Op>>, Unreadable> {
    let mut pairing = Pairing::new();
    for (line, number) in text.lines().zip(1..) {
        if let Some((offset, message)) = history_message(line) {
            let column = line[..offset].chars().count() + 1;
            read_event(&mut pairing, message, Position { line: number, column })?;
        }
    }
    Ok(pairing.finish())
}

fn read_event(pairing: &mut Pairing<Op>, message: &str, at: Position) -> Result<(), Unreadable> {
    const FUNCTION: &str = "a function: :read, :write or :cas";
    let mut fields = Reader::new(message, at);
    let process = fields.form("a process number")?;
    let at = process.at;
    let process = process.int().ok_or_else(|| process.expected("a process number"))?;
    let kind = fields.form(Kind::EXPECTED)?;
    let kind = kind.keyword().and_then(Kind::from_name).ok_or_else(|| kind.expected(Kind::EXPECTED))?;
    let function = fields.form(FUNCTION)?;
    let name = function.keyword().filter(|name| ["read", "write", "cas"].contains(name));
    let name = name.ok_or_else(|| function.expected(FUNCTION))?;

    if kind == Kind::Invoke {
        let (op, constrains) = match name {
            // Until it is answered, a read says nothing.
            "read" => (Op::Read(None), false),
            "write" => (Op::Write(written(&fields.form("an integer")?)?), true),
            _ => {
                let (from, to) = pair(&fields.form("a pair of integers")?)?;
                (Op::Cas { from, to, succeeded: None }, true)
            }
        };
        return pairing.invoke(process, at, op, constrains);
    }

    let recorded = pairing.complete(process, kind, at)?;
    let invoked = match recorded.op {
        Op::Read(_) => "read",
        Op::Write(_) => "write",
        Op::Cas { .. } => "cas",
    };
    if name != invoked {
        return Err(function.expected(format!(":{invoked}, which process {process} invoked")));
    }
    match (kind, recorded.op) {
        (Kind::Invoke, _) => unreachable!("invocations are read above"),
        (Kind::Info, _) | (Kind::Fail, Op::Read(_)) => {}
        (Kind::Fail, Op::Write(_)) => recorded.constrains = false,
        (Kind::Ok, Op::Read(_)) => {
            let value = fields.form("nil or an integer")?;
            recorded.op = Op::Read(match value.value {
                Edn::Nil => None,
                Edn::Int(int) => Some(int),
                _ => return Err(value.expected("nil or an integer")),
            });
            recorded.constrains = true;
        }
        (Kind::Ok, Op::Write(invoked)) => {
            let value = fields.form("an integer")?;
            if written(&value)? != invoked {
                return Err(value.expected(format!("{invoked}, which process {process} invoked")));
            }
        }
        (Kind::Ok | Kind::Fail, Op::Cas { from, to, .. }) => {
            let value = fields.form("a pair of integers")?;
            if kind == Kind::Fail && value.keyword().is_some() {
                recorded.constrains = false;
                return Ok(());
            }
            if pair(&value)? != (from, to) {
                return Err(value.expected(format!("[{from} {to}], which process {process} invoked")));
            }
            recorded.op = Op::Cas { from, to, succeeded: Some(kind == Kind::Ok) };
        }
    }
    Ok(())
}

fn written(value: &Form) -> Result<i64, Unreadable> {
    value.int().ok_or_else(|| value.expected("an integer"))
}

fn pair(value: &Form) -> Result<(i64, i64), Unreadable> {
    if let Edn::Sequence(forms) = &value.value
        && let [from, to] = &forms[..]
        && let (Some(from), Some(to)) = (from.int(), to.int())
    {
        return Ok((from, to));
    }
    Err(value.expected("a pair of integers, like [3 0]"))
}

/// The register: a number, or nil at first.
#[derive(Clone, Copy, Debug, Default)]
pub struct Register(Option<i64>);

impl Model for Register {
    type Op = Op;
    type Undo = Option<i64>;

    fn probe(&self, op: &Op) -> Probe {
        let (fits, then) = match *op {
            Op::Read(value) => (value == self.0, Probe::Free),
            Op::Write(value) if self.0 == Some(value) => (true, Probe::Unchanged),
            Op::Write(_) => (true, Probe::Changes),
            Op::Cas { from, succeeded: Some(false), .. } => (self.0 != Some(from), Probe::Free),
            // A comparison of which nobody knows how it came out changes nothing unless it holds.
            Op::Cas { from, to, .. } if from == to => (self.0 == Some(from), Probe::Free),
            Op::Cas { from, .. } => (self.0 == Some(from), Probe::Changes),
        };
        if fits { then } else { Probe::Refused }
    }

    fn apply(&mut self, op: &Op) -> Option<i64> {
        match *op {
            Op::Write(value) | Op::Cas { to: value, .. } => self.0.replace(value),
            Op::Read(_) => unreachable!("a read changes nothing"),
        }
    }

    fn undo(&mut self, undo: Option<i64>) {
        self.0 = undo;
    }

    fn fingerprint(&self) -> u128 {
        let value = self.0.unwrap_or_default().to_le_bytes();
        xxhash_rust::xxh3::xxh3_128_with_seed(&value, u64::from(self.0.is_some()))
    }
}
