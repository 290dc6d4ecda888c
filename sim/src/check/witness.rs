//! The witness: one order, verified.
//!
//! To prove a history linearizable it is enough to show one order of its operations that
//! - obeys the sequential specification: every answer is the one that the store (`store.rs`) gives at that place;
//! - obeys real time: nothing is placed after an operation that was asked only when it had already returned.
//!
//! The commit order (`order.rs`) is such an order unless something is wrong, and both properties take one pass over it:
//! O(n log n) with the sorting. Real time needs only the latest call seen so far: an operation that returned before it
//! came too early for whatever made that call.

use super::history::{History, Input};
use super::keys::Keys;
use super::order::{Part, Place, commit_order};
use super::store::{Change, Mismatch, NOBODY, Store};
use super::violation::{Rule, Violation};

/// Verifies the commit order of a history's linearizable operations (serializable reads are judged elsewhere).
/// An error says why this order fails, which does not exclude another.
pub fn check(history: &History) -> Result<(), Violation> {
    let order = commit_order(history, |input| !matches!(input, Input::GetSerializable { .. }));
    let keys = Keys::of(history);
    let mut replay = Replay::new(history, &keys);
    let mut latest_call = 0;
    for (at, place) in order.iter().enumerate() {
        if replay.step(place)? == Stepped::Skipped {
            continue;
        }
        latest_call = latest_call.max(place.call);
        if let Some(ret) = history.operations[place.index as usize].ret()
            && ret < latest_call
        {
            return Err(too_late(history, &order[..at], place, ret));
        }
    }
    Ok(())
}

/// Some operation in `earlier` was asked only after the one at `place` had returned. Names the first of them.
fn too_late(history: &History, earlier: &[Place], place: &Place, ret: u64) -> Violation {
    let late = earlier.iter().filter(|earlier| earlier.call > ret).min_by_key(|earlier| (earlier.call, earlier.index));
    let late = late.expect("the latest call was made by an earlier operation");
    let finished = history.operations[place.index as usize].input.is_write() && place.part == Part::Made;
    let finished = if finished { "write" } else { "read" };
    let (rule, sentence) = match late.part {
        Part::Saw => (Rule::StaleRead, format!("older than a finished {finished}")),
        Part::Made | Part::Perhaps => (
            Rule::ReorderedWrite,
            format!("became revision {}, although revision {} had already been seen", late.revision, place.revision),
        ),
    };
    Violation::new(rule, Some(place.index), late.index, sentence)
}

/// What became of one place of the order.
#[derive(PartialEq, Eq)]
pub(super) enum Stepped {
    /// It stands in the order.
    Taken,
    /// An unanswered write that changed nothing: nobody saw it, so it says nothing about time either.
    Skipped,
}

/// The store, led along a commit order.
pub(super) struct Replay<'h> {
    store: Store<'h>,
    /// The operation that made the current revision.
    maker: Option<u32>,
}

impl<'h> Replay<'h> {
    pub(super) fn new(history: &'h History, keys: &'h Keys<'h>) -> Self {
        Replay { store: Store::new(history, keys), maker: None }
    }

    /// Executes the next operation of the order, if its revision follows and its answer agrees.
    pub(super) fn step(&mut self, place: &Place) -> Result<Stepped, Violation> {
        let current = self.store.revision();
        let expected = if place.part == Part::Saw { current } else { current + 1 };
        if place.part == Part::Perhaps && place.revision == current {
            return Ok(Stepped::Skipped);
        }
        if place.revision != expected {
            let (rule, sentence) = if place.revision > expected {
                (
                    Rule::RevisionGap,
                    format!("revision {}, but nothing is known to have made revision {}", place.revision, current + 1),
                )
            } else if place.part == Part::Saw {
                // Sorting put everything older first, so this is below the first revision.
                (Rule::WrongRevision, format!("revision {}, but the empty store is at {current}", place.revision))
            } else {
                (Rule::RevisionTwice, format!("revision {} was made by another write", place.revision))
            };
            return Err(Violation::new(rule, self.maker, place.index, sentence));
        }
        let change = self.store.judge(place.index).map_err(|Mismatch { rule, other, sentence }| {
            Violation::new(rule, (other != NOBODY).then_some(other), place.index, sentence)
        })?;
        if place.part == Part::Perhaps && change == Change::None {
            return Ok(Stepped::Skipped);
        }
        if self.store.apply(change).is_some() {
            self.maker = Some(place.index);
        }
        Ok(Stepped::Taken)
    }
}
