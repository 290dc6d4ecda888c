//! The commit order that the world knows.
//!
//! etcd numbers its states: every answer carries the revision at which it was computed, and the world notes the
//! revision at which it saw a write applied. So the order of a history is not guessed, it is sorted: by revision, at
//! each revision the write that made it first, then whatever was answered from it, by time of call. What a client never
//! learnt is placed by what the world saw; what was never applied has no place.

use super::history::{History, Input, Operation, Outcome};
use super::violation::{Rule, Violation};

/// What an operation did to its revision. The order of the variants is their order at one revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    /// It made the revision.
    Made,
    /// The world saw it applied at this revision, but nobody knows whether it made it: an unanswered delete may have
    /// found nothing to delete, an unanswered compare may have failed.
    Perhaps,
    /// It was answered from the revision and changed nothing.
    Saw,
}

/// An operation's place. Sorts into the commit order; the index only breaks ties, so that the order is total.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) revision: i64,
    pub(super) part: Part,
    pub(super) call: u64,
    pub(super) index: u32,
}

/// Where an operation belongs; `None` if it has no place (failed, not applied, or an unanswered read).
fn place(index: usize, operation: &Operation) -> Option<Place> {
    let (revision, part) = match operation.outcome {
        Outcome::Ok { revision, .. } if operation.made_revision() => (revision, Part::Made),
        Outcome::Ok { revision, .. } => (revision, Part::Saw),
        Outcome::Failed => return None,
        Outcome::Unknown => match operation.input {
            Input::Put { .. } => (operation.applied?, Part::Made),
            Input::Delete { .. } | Input::Cas { .. } => (operation.applied?, Part::Perhaps),
            Input::Get { .. } | Input::GetSerializable { .. } | Input::List { .. } => return None,
        },
    };
    Some(Place { revision, part, call: operation.call, index: index as u32 })
}

/// The places of all writes, and of those reads that `wanted` accepts, in commit order.
pub(super) fn commit_order(history: &History, wanted: impl Fn(&Input) -> bool) -> Vec<Place> {
    assert!(history.operations.len() < u32::MAX as usize, "operations are numbered by u32");
    let mut order: Vec<Place> = Vec::with_capacity(history.operations.len());
    let placed = history.operations.iter().enumerate().filter(|(_, op)| op.input.is_write() || wanted(&op.input));
    order.extend(placed.filter_map(|(index, operation)| place(index, operation)));
    order.sort_unstable();
    order
}

/// Where the world and an answer contradict each other about one operation. No order of operations mends that, so these
/// violations are final.
pub(super) fn contradiction(history: &History) -> Option<Violation> {
    for (index, operation) in history.operations.iter().enumerate().filter(|(_, op)| op.input.is_write()) {
        let index = index as u32;
        match (&operation.outcome, operation.applied) {
            (Outcome::Ok { revision, .. }, applied) if operation.made_revision() && applied != Some(*revision) => {
                let seen = match applied {
                    None => "no member was seen to apply it".to_owned(),
                    Some(applied) => format!("it was applied at revision {applied}"),
                };
                let sentence = format!("acknowledged at revision {revision}, but {seen}");
                return Some(Violation::new(Rule::AcknowledgedNotApplied, None, index, sentence));
            }
            // A delete or compare that changed nothing leaves no trace, so the world may not have noted it; but if it
            // did, it must agree.
            (Outcome::Ok { revision, .. }, Some(applied)) if applied != *revision => {
                let sentence = format!("answered at revision {revision}, but it was applied at revision {applied}");
                return Some(Violation::new(Rule::WrongRevision, None, index, sentence));
            }
            (Outcome::Failed, Some(applied)) => {
                let sentence = format!("reported as not executed, but it was applied at revision {applied}");
                return Some(Violation::new(Rule::FailedButApplied, None, index, sentence));
            }
            _ => {}
        }
    }
    None
}
