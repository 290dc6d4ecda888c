//! The search over etcd's own histories.
//!
//! The model is the whole store, and revisions keep the search narrow: an answer with revision *r* fits only a store at
//! *r* (for the write that made *r*: a store at *r* − 1), so everything that was answered has nearly one place. What the
//! world saw applied is evidence like an answer: it pins an unanswered write to its revision, and demands a place for a
//! put. Only writes that nobody knows anything about are free, and they are tried only at revisions that nothing else
//! accounts for.

use super::history::{History, Input, Operation, Outcome};
use super::keys::Keys;
use super::order::{Part, commit_order};
use super::store::{Change, Slot, Store, Undo};
use super::wgl::{self, Budget, Found, Interval, Model, Probe};
use xxhash_rust::xxh3::xxh3_128;

/// Searches an order of a history's linearizable operations. [`Found::NotLinearizable`] names an index into
/// [`History::operations`].
pub fn search(history: &History, budget: Budget) -> Found {
    let keys = Keys::of(history);
    let revisions = Revisions::of(history);
    let ops: Vec<Interval<u32>> = history
        .operations
        .iter()
        .enumerate()
        .filter(|(_, operation)| match operation.outcome {
            Outcome::Ok { .. } => !matches!(operation.input, Input::GetSerializable { .. }),
            Outcome::Failed => false,
            Outcome::Unknown => operation.input.is_write() && revisions.may_be_made_by(operation),
        })
        .map(|(index, operation)| Interval { call: operation.call, ret: end(operation), op: index as u32 })
        .collect();
    let mut model = StoreModel { history, store: Store::new(history, &keys), slots_fingerprint: 0, revisions };
    match wgl::search(&mut model, &ops, budget).0 {
        Found::NotLinearizable { stuck } => Found::NotLinearizable { stuck: ops[stuck].op as usize },
        found => found,
    }
}

/// When an operation has taken place, if it must have: an unanswered put that was applied did so, at some time. (An
/// unanswered delete or compare that was applied may have changed nothing.)
fn end(operation: &Operation) -> Option<u64> {
    let must = operation.applied.is_some() && matches!(operation.input, Input::Put { .. });
    operation.ret().or(must.then_some(u64::MAX))
}

/// Which revisions the evidence accounts for. Both lists ascend.
struct Revisions {
    /// Made by an answered write, or by an unanswered put that the world saw.
    made: Vec<i64>,
    /// Made, or perhaps made by an unanswered delete or compare that the world saw.
    claimed: Vec<i64>,
    /// The highest revision in any evidence.
    highest: i64,
}

impl Revisions {
    fn of(history: &History) -> Self {
        let mut revisions = Revisions { made: Vec::new(), claimed: Vec::new(), highest: 1 };
        for place in commit_order(history, |input| !matches!(input, Input::GetSerializable { .. })) {
            revisions.highest = place.revision.max(1);
            // Nothing made the first revision, whatever somebody claims.
            if place.part != Part::Saw && place.revision > 1 {
                revisions.claimed.push(place.revision);
                if place.part == Part::Made {
                    revisions.made.push(place.revision);
                }
            }
        }
        revisions.claimed.dedup();
        revisions.made.dedup();
        revisions
    }

    /// Whether a write that nobody saw may have made `revision`.
    fn is_gap(&self, revision: i64) -> bool {
        revision <= self.highest && self.claimed.binary_search(&revision).is_err()
    }

    /// Whether an unanswered write may have a place: those that have none would stand in the way of every step.
    fn may_be_made_by(&self, operation: &Operation) -> bool {
        match (operation.applied, &operation.input) {
            (Some(_), Input::Put { .. }) => true,
            // If another made the revision at which it was applied, it changed nothing.
            (Some(applied), _) => self.made.binary_search(&applied).is_err(),
            (None, _) => (self.claimed.len() as i64) < self.highest - 1,
        }
    }
}

struct StoreModel<'h> {
    history: &'h History,
    store: Store<'h>,
    /// XOR of the fingerprints of all slots, kept up to date by each change.
    slots_fingerprint: u128,
    revisions: Revisions,
}

impl StoreModel<'_> {
    fn slot_fingerprint(key: u32, slot: Slot) -> u128 {
        let mut bytes = [0; 32];
        bytes[..4].copy_from_slice(&key.to_le_bytes());
        bytes[4..8].copy_from_slice(&slot.writer.to_le_bytes());
        bytes[8..16].copy_from_slice(&slot.create_revision.to_le_bytes());
        bytes[16..24].copy_from_slice(&slot.mod_revision.to_le_bytes());
        bytes[24..].copy_from_slice(&slot.version.to_le_bytes());
        xxh3_128(&bytes)
    }

    fn exchange(&mut self, key: u32, old: Slot, new: Slot) {
        self.slots_fingerprint ^= Self::slot_fingerprint(key, old) ^ Self::slot_fingerprint(key, new);
    }
}

impl Model for StoreModel<'_> {
    /// An index into the history.
    type Op = u32;
    type Undo = Undo;

    fn probe(&self, &index: &u32) -> Probe {
        let operation = &self.history.operations[index as usize];
        if operation.outcome == Outcome::Unknown {
            let next = self.store.revision() + 1;
            let possible = match operation.applied {
                Some(applied) => applied == next,
                None => self.revisions.is_gap(next),
            };
            if !possible {
                return Probe::Refused;
            }
        }
        match self.store.judge(index) {
            Err(_) => Probe::Refused,
            Ok(Change::None) if operation.outcome == Outcome::Unknown => Probe::Unchanged,
            // An answer that says that nothing changed never fits where something does.
            Ok(Change::None) => Probe::Free,
            Ok(Change::Set { .. }) => Probe::Changes,
        }
    }

    fn apply(&mut self, &index: &u32) -> Undo {
        let change = self.store.change(index);
        let undo = self.store.apply(change).expect("only what changes the store is applied");
        let new = self.store.slot(undo.key);
        self.exchange(undo.key, undo.slot, new);
        undo
    }

    fn undo(&mut self, undo: Undo) {
        let (key, new) = (undo.key, self.store.slot(undo.key));
        self.exchange(key, new, undo.slot);
        self.store.undo(undo);
    }

    /// The revision is the number of changes, hence part of the set of placed operations, but it costs nothing.
    fn fingerprint(&self) -> u128 {
        self.slots_fingerprint ^ xxh3_128(&self.store.revision().to_le_bytes())
    }
}
