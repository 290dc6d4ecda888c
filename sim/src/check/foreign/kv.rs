//! Porcupine's key-value histories: strings under string keys.
//!
//! ```text
//! {:process 0, :type :invoke, :f :append, :key "4", :value "x 0 1 y"}
//! {:process 0, :type :ok, :f :append, :key "4", :value "x 0 1 y"}
//! ```
//! EDN maps, each an event, one after another or all in one vector; further keys are ignored, and events of the nemesis
//! (a keyword for a process) are passed over. Functions are `:get`, `:put` and `:append`; every key holds `""` at first, and nil
//! reads as `""`. What was `:fail` was not executed; what was `:info`, or never completed, is open for ever.
//!
//! Linearizability is local (Herlihy and Wing, 1990): a history is linearizable exactly if the history of each key is. So
//! each key is searched for itself, which turns a product of possibilities into a sum.

use super::chains::{self, Revealed};
use super::edn::{Edn, Form, Reader};
use super::pairing::{Kind, Pairing};
use super::{Position, Unreadable, Verdict, find, search};
use crate::check::wgl::{Budget, Model, Probe};
use std::collections::BTreeMap;
use std::rc::Rc;

pub use super::pairing::Recorded;

/// An operation on one key, with its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Op {
    /// The key.
    pub key: Rc<str>,
    /// What it does.
    pub function: Function,
    /// What it read or writes.
    pub value: Rc<str>,
}

/// What an operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    /// It reads the value.
    Get,
    /// It replaces the value.
    Put,
    /// It appends to the value.
    Append,
}

/// Whether a text is EDN with events in it: it starts with a map of keywords, and some map has a process.
pub(super) fn recognise(text: &str) -> bool {
    let mut rest = text.trim_start_matches('\u{feff}').trim_start();
    while rest.starts_with(';') {
        rest = rest.split_once('\n').map_or("", |(_, rest)| rest).trim_start();
    }
    let rest = rest.strip_prefix(['[', '(']).unwrap_or(rest).trim_start();
    rest.strip_prefix('{').is_some_and(|map| map.trim_start().starts_with(':')) && rest.contains(":process")
}

/// Reads a history.
pub fn read(text: &str) -> Result<Vec<Recorded<Op>>, Unreadable> {
    let mut pairing = Pairing::new();
    let mut keys: BTreeMap<String, Rc<str>> = BTreeMap::new();
    let mut reader = Reader::new(text.trim_start_matches('\u{feff}'), Position { line: 1, column: 1 });
    while let Some(form) = reader.next_form()? {
        match &form.value {
            Edn::Sequence(events) => {
                for event in events {
                    read_event(&mut pairing, &mut keys, event)?;
                }
            }
            _ => read_event(&mut pairing, &mut keys, &form)?,
        }
    }
    Ok(pairing.finish())
}

fn read_event(pairing: &mut Pairing<Op>, keys: &mut BTreeMap<String, Rc<str>>, event: &Form) -> Result<(), Unreadable> {
    const FUNCTION: &str = "a function: :get, :put or :append";
    if !matches!(event.value, Edn::Map(_)) {
        return Err(event.expected("a map, like {:process 0, :type :invoke, :f :get, :key \"a\", :value nil}"));
    }
    let field = |name: &str| event.get(name).ok_or_else(|| event.expected(format!("a map with :{name}")));
    let process = field("process")?;
    if process.keyword().is_some() {
        return Ok(());
    }
    let process = process.int().ok_or_else(|| process.expected("a process number"))?;
    let kind = field("type")?;
    let kind = kind.keyword().and_then(Kind::from_name).ok_or_else(|| kind.expected(Kind::EXPECTED))?;
    let name = field("f")?;
    let function = match name.keyword() {
        Some("get") => Function::Get,
        Some("put") => Function::Put,
        Some("append") => Function::Append,
        _ => return Err(name.expected(FUNCTION)),
    };
    let key = field("key")?;
    let Edn::Str(key_name) = &key.value else { return Err(key.expected("a key, a string")) };

    if kind == Kind::Invoke {
        let key = Rc::clone(keys.entry(key_name.clone()).or_insert_with(|| key_name.as_str().into()));
        // Until it is answered, a get says nothing.
        let value = if function == Function::Get { "".into() } else { string(field("value")?)? };
        return pairing.invoke(process, event.at, Op { key, function, value }, function != Function::Get);
    }

    let recorded = pairing.complete(process, kind, event.at)?;
    if recorded.op.function != function {
        return Err(name.expected(format!("the function that process {process} invoked")));
    }
    if *recorded.op.key != **key_name {
        return Err(key.expected(format!("the key that process {process} invoked: {:?}", recorded.op.key)));
    }
    match (kind, function) {
        (Kind::Ok, Function::Get) => {
            let value = field("value")?;
            recorded.op.value = if value.value == Edn::Nil { "".into() } else { string(value)? };
            recorded.constrains = true;
        }
        (Kind::Ok, Function::Put | Function::Append) => {
            let value = field("value")?;
            if string(value)? != recorded.op.value {
                return Err(
                    value.expected(format!("the value that process {process} invoked: {:?}", recorded.op.value))
                );
            }
        }
        (Kind::Fail, _) => recorded.constrains = false,
        (Kind::Info | Kind::Invoke, _) => {}
    }
    Ok(())
}

fn string(value: &Form) -> Result<Rc<str>, Unreadable> {
    match &value.value {
        Edn::Str(string) => Ok(string.as_str().into()),
        _ => Err(value.expected("a string")),
    }
}

/// Judges each key for itself; the budget's steps are for all of them together, and its memory for each.
pub(super) fn judge_by_key(recorded: &[Recorded<Op>], budget: Budget) -> (Verdict, u64) {
    let mut by_key: BTreeMap<&str, Vec<Recorded<Op>>> = BTreeMap::new();
    for recorded in recorded {
        by_key.entry(&recorded.op.key).or_default().push(recorded.clone());
    }
    let mut verdict = Verdict::Linearizable;
    let mut steps = 0;
    for of_key in by_key.values() {
        let left = Budget { steps: budget.steps - steps, ..budget };
        let (of_key, taken) = judge_key(of_key, left);
        steps += taken;
        match of_key {
            Verdict::Linearizable | Verdict::Empty => {}
            // One key is enough to refute the history, whatever the others are.
            Verdict::NotLinearizable { .. } => return (of_key, steps),
            Verdict::Undecided { .. } => verdict = of_key,
        }
    }
    (verdict, steps)
}

/// By the chains that the gets reveal, if they do.
fn judge_key(recorded: &[Recorded<Op>], budget: Budget) -> (Verdict, u64) {
    match chains::reveal(recorded) {
        Revealed::Nothing => find(&mut Text::default(), recorded, budget),
        Revealed::Contradiction(get) => (Verdict::NotLinearizable { line: recorded[get].line }, 0),
        Revealed::Chains(mut chains, parts) => {
            let lines: Vec<usize> = parts.iter().map(|(index, _)| recorded[*index].line).collect();
            let intervals: Vec<_> = parts.into_iter().map(|(_, interval)| interval).collect();
            search(&mut chains, &intervals, &lines, budget)
        }
    }
}

/// The value of one key.
#[derive(Clone, Debug, Default)]
pub struct Text(String);

/// Takes back a change of [`Text`].
pub enum Undo {
    /// Of an append: the length before it.
    Cut(usize),
    /// Of a put: the value before it.
    Restore(String),
}

impl Model for Text {
    type Op = Op;
    type Undo = Undo;

    fn probe(&self, op: &Op) -> Probe {
        match op.function {
            Function::Get if *op.value == *self.0 => Probe::Free,
            Function::Get => Probe::Refused,
            Function::Put if *op.value == *self.0 => Probe::Unchanged,
            Function::Append if op.value.is_empty() => Probe::Free,
            Function::Put | Function::Append => Probe::Changes,
        }
    }

    fn apply(&mut self, op: &Op) -> Undo {
        match op.function {
            Function::Append => {
                let len = self.0.len();
                self.0.push_str(&op.value);
                Undo::Cut(len)
            }
            Function::Put => Undo::Restore(std::mem::replace(&mut self.0, op.value.to_string())),
            Function::Get => unreachable!("a get changes nothing"),
        }
    }

    fn undo(&mut self, undo: Undo) {
        match undo {
            Undo::Cut(len) => self.0.truncate(len),
            Undo::Restore(value) => self.0 = value,
        }
    }

    fn fingerprint(&self) -> u128 {
        xxhash_rust::xxh3::xxh3_128(self.0.as_bytes())
    }
}
