//! The sequential specification: etcd's store, one operation after another.
//!
//! Everything that a client can see of the operations in a [`History`] is here: the header's revision, and a key's value,
//! `create_revision`, `mod_revision` and `version`. The witness runs it forward once; the search runs it forward and
//! back. Values are not copied: a slot names the operation that wrote it.
//!
//! Left out: leases, multi-key transactions, compaction. Their effects on a history are judged by checks of their own.

use super::history::{History, Input, Kv, Outcome, Output};
use super::keys::Keys;
use super::violation::Rule;
use std::collections::BTreeSet;

/// Stands in [`Slot::writer`] for "nobody yet".
pub(super) const NOBODY: u32 = u32::MAX;

/// A key's state. `version` 0 means absent; then `writer` is the delete that removed it, if there was one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot {
    pub(super) create_revision: i64,
    pub(super) mod_revision: i64,
    pub(super) version: i64,
    /// Index of the operation that put this state here.
    pub(super) writer: u32,
}

impl Slot {
    const UNTOUCHED: Slot = Slot { create_revision: 0, mod_revision: 0, version: 0, writer: NOBODY };

    fn is_present(&self) -> bool {
        self.version > 0
    }
}

/// What an operation does to the store if it is executed now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Nothing: it reads, or deletes an absent key, or its comparison fails. No revision is made.
    None,
    /// The key goes to a new state, at the next revision.
    Set { key: u32, slot: Slot },
}

/// Puts a change back.
pub(super) struct Undo {
    pub(super) key: u32,
    pub(super) slot: Slot,
}

/// An answer that the specification does not give.
#[derive(Debug)]
pub(super) struct Mismatch {
    pub(super) rule: Rule,
    /// The operation whose effect the answer contradicts, or [`NOBODY`].
    pub(super) other: u32,
    pub(super) sentence: String,
}

/// The store's state after some prefix of an order.
pub(super) struct Store<'h> {
    history: &'h History,
    keys: &'h Keys<'h>,
    revision: i64,
    slots: Vec<Slot>,
    /// The present keys, so that a list costs what it returns and not what its prefix could hold.
    present: BTreeSet<u32>,
}

impl<'h> Store<'h> {
    /// The empty store, at revision 1.
    pub(super) fn new(history: &'h History, keys: &'h Keys<'h>) -> Self {
        Store { history, keys, revision: 1, slots: vec![Slot::UNTOUCHED; keys.len()], present: BTreeSet::new() }
    }

    pub(super) fn revision(&self) -> i64 {
        self.revision
    }

    pub(super) fn slot(&self, key: u32) -> Slot {
        self.slots[key as usize]
    }

    /// What the operation at `index` would do now.
    pub(super) fn change(&self, index: u32) -> Change {
        let next = self.revision + 1;
        let key = match self.history.operations[index as usize].input {
            Input::Get { .. } | Input::GetSerializable { .. } | Input::List { .. } => return Change::None,
            Input::Put { .. } | Input::Delete { .. } | Input::Cas { .. } => self.keys.of_operation(index),
        };
        let old = self.slot(key);
        let put = Slot {
            create_revision: if old.is_present() { old.create_revision } else { next },
            mod_revision: next,
            version: old.version + 1,
            writer: index,
        };
        match self.history.operations[index as usize].input {
            Input::Put { .. } => Change::Set { key, slot: put },
            Input::Cas { expect_mod_revision, .. } if expect_mod_revision == old.mod_revision => {
                Change::Set { key, slot: put }
            }
            Input::Delete { .. } if old.is_present() => {
                Change::Set { key, slot: Slot { writer: index, ..Slot::UNTOUCHED } }
            }
            _ => Change::None,
        }
    }

    /// Makes a change, at the next revision.
    pub(super) fn apply(&mut self, change: Change) -> Option<Undo> {
        let Change::Set { key, slot } = change else { return None };
        self.revision += 1;
        Some(Undo { key, slot: self.replace(key, slot) })
    }

    /// Takes back the latest change.
    pub(super) fn undo(&mut self, undo: Undo) {
        self.revision -= 1;
        self.replace(undo.key, undo.slot);
    }

    fn replace(&mut self, key: u32, slot: Slot) -> Slot {
        let old = std::mem::replace(&mut self.slots[key as usize], slot);
        match (old.is_present(), slot.is_present()) {
            (false, true) => drop(self.present.insert(key)),
            (true, false) => drop(self.present.remove(&key)),
            _ => {}
        }
        old
    }

    /// Whether the answer of the operation at `index` is the one that it gets if it is executed now, and what it then
    /// changes. An operation without an answer agrees with everything.
    pub(super) fn judge(&self, index: u32) -> Result<Change, Mismatch> {
        let operation = &self.history.operations[index as usize];
        let change = self.change(index);
        let Outcome::Ok { revision, output, .. } = &operation.outcome else { return Ok(change) };
        let changes = change != Change::None;
        let fail = |rule, other, sentence| Err(Mismatch { rule, other, sentence });
        match (&operation.input, output) {
            (Input::Put { .. }, Output::Put) => {}
            (Input::Get { .. } | Input::GetSerializable { .. }, Output::Get(kv)) => {
                self.judge_kv(self.keys.of_operation(index), kv.as_ref())?;
            }
            (Input::Delete { .. }, Output::Deleted(count)) => {
                if *count != u32::from(changes) {
                    let writer = self.slot(self.keys.of_operation(index)).writer;
                    let state = if changes { "present" } else { "absent" };
                    return fail(Rule::WrongCount, writer, format!("deleted {count} keys, but the key was {state}"));
                }
            }
            (Input::Cas { expect_mod_revision, .. }, Output::Cas { succeeded }) => {
                if *succeeded != changes {
                    let slot = self.slot(self.keys.of_operation(index));
                    let (came_out, actual) = (if *succeeded { "succeeded" } else { "failed" }, slot.mod_revision);
                    let sentence = format!(
                        "the compare {came_out}, but the key's mod_revision was {actual} and {expect_mod_revision} was expected"
                    );
                    return fail(Rule::WrongCompare, slot.writer, sentence);
                }
            }
            (Input::List { prefix }, Output::List(entries)) => self.judge_list(prefix, entries)?,
            _ => return fail(Rule::WrongAnswer, NOBODY, format!("a {} was given another's answer", operation.verb())),
        }
        let expected = self.revision + i64::from(changes);
        if *revision != expected {
            let sentence = format!("the header says revision {revision}, but the store was at {expected}");
            return fail(Rule::WrongRevision, NOBODY, sentence);
        }
        Ok(change)
    }

    fn judge_kv(&self, key: u32, seen: Option<&Kv>) -> Result<(), Mismatch> {
        let slot = self.slot(key);
        let fail = |rule, sentence: String| Err(Mismatch { rule, other: slot.writer, sentence });
        let Some(seen) = seen else {
            return match slot.is_present() {
                true => fail(Rule::LostWrite, format!("a finished write of revision {} is missing", slot.mod_revision)),
                false => Ok(()),
            };
        };
        if !slot.is_present() {
            return fail(Rule::WrongValue, "a value, although the key was absent".to_owned());
        }
        if seen.mod_revision < slot.mod_revision {
            let (seen, actual) = (seen.mod_revision, slot.mod_revision);
            return fail(Rule::LostWrite, format!("the value of revision {seen}, although {actual} had replaced it"));
        }
        let written = self.history.operations[slot.writer as usize].input.value();
        if written != Some(&seen.value) {
            return fail(Rule::WrongValue, format!("not the value that revision {} wrote", slot.mod_revision));
        }
        for (name, seen, actual) in [
            ("mod_revision", seen.mod_revision, slot.mod_revision),
            ("create_revision", seen.create_revision, slot.create_revision),
            ("version", seen.version, slot.version),
        ] {
            if seen != actual {
                return fail(Rule::WrongVersion, format!("{name} {seen}, but it was {actual}"));
            }
        }
        Ok(())
    }

    fn judge_list(&self, prefix: &[u8], seen: &[(bytes::Bytes, Kv)]) -> Result<(), Mismatch> {
        let mut seen = seen.iter().peekable();
        for &key in self.present.range(self.keys.with_prefix(prefix)) {
            match seen.peek() {
                Some((name, kv)) if name == self.keys.name(key) => {
                    self.judge_kv(key, Some(kv))?;
                    seen.next();
                }
                // A name that comes first should not be there at all.
                Some((name, _)) if **name < *self.keys.name(key) => break,
                _ => self.judge_kv(key, None)?,
            }
        }
        match seen.next() {
            None => Ok(()),
            Some((name, _)) => Err(Mismatch {
                rule: Rule::WrongValue,
                other: NOBODY,
                sentence: format!("lists the key {}, which was absent or is out of order", super::history::Text(name)),
            }),
        }
    }
}
