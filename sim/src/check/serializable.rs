//! Serializable reads: old answers, but true ones.
//!
//! A serializable read is answered by the asked member from its own state, without asking anybody else (lesson 8). It may be
//! old, so it has no place in the linearizable order. What etcd does promise:
//! 1. **A state that was.** The data is exactly the store's at the revision in the answer's header, in the history of
//!    committed writes.
//! 2. **Not from the future.** That revision's write had been asked for when the answer arrived.
//! 3. **A member does not go back.** What a member answers is at least as new as everything that the same member had
//!    answered, to anybody, before the read was asked, unless the member restarted in between: a member that
//!    restarts serves its backend, which may be behind what it had already shown.
//!
//! What etcd does *not* promise, and this does not check: that one client's serializable reads at *different* members never go
//! back, or that a client reads its own writes.

use super::history::{History, Input, Outcome};
use super::keys::Keys;
use super::order::{Part, Place, commit_order};
use super::violation::{Rule, Violation};
use super::witness::{Replay, Stepped};

/// A member that stopped and came back, whether killed, crashed or upgraded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restart {
    /// Index of the member.
    pub member: u8,
    /// Any moment from its stop to its first answer afterwards, virtual nanoseconds.
    pub at: u64,
}

/// Judges all serializable reads of a history, and says how many there were.
pub fn check(history: &History, restarts: &[Restart]) -> Result<usize, Violation> {
    let reads = states_that_were(history)?;
    members_do_not_go_back(history, restarts)?;
    Ok(reads)
}

/// Rules 1 and 2. The writes are replayed in commit order, each read answered at its revision.
fn states_that_were(history: &History) -> Result<usize, Violation> {
    let order: Vec<Place> = commit_order(history, |input| matches!(input, Input::GetSerializable { .. }));
    let is_read = |place: &Place| is_serializable(history, place.index as usize);
    let keys = Keys::of(history);
    let mut replay = Replay::new(history, &keys);
    // The write that was asked for last, of those replayed so far.
    let mut latest: Option<&Place> = None;
    let mut reads = 0;
    for place in order.iter().filter(|place| place.part != Part::Saw || is_read(place)) {
        let stepped = replay.step(place)?;
        if is_read(place) {
            reads += 1;
            let ret = history.operations[place.index as usize].ret().expect("only answered reads have a place");
            if let Some(write) = latest.filter(|write| ret < write.call) {
                let sentence = format!("revision {} was seen before its write was asked for", write.revision);
                return Err(Violation::new(Rule::FromTheFuture, Some(write.index), place.index, sentence));
            }
        } else if stepped == Stepped::Taken && latest.is_none_or(|latest| latest.call < place.call) {
            latest = Some(place);
        }
    }
    Ok(reads)
}

fn is_serializable(history: &History, index: usize) -> bool {
    matches!(history.operations[index].input, Input::GetSerializable { .. })
}

/// Something that happens at a member. At one instant calls come first: what is simultaneous is not "before".
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Call(u32),
    Restart,
    Return(u32),
}

/// What a member has shown since it last restarted.
#[derive(Clone, Copy, Default)]
struct Floor {
    restarts: u32,
    /// The highest revision it answered, and the operation that it answered.
    highest: Option<(i64, u32)>,
}

/// Rule 3: every answer raises its member's floor when it returns; a serializable read must not be below the floor at
/// its call.
fn members_do_not_go_back(history: &History, restarts: &[Restart]) -> Result<(), Violation> {
    let mut events: Vec<(u64, Event, u8)> =
        restarts.iter().map(|restart| (restart.at, Event::Restart, restart.member)).collect();
    for (index, operation) in history.operations.iter().enumerate() {
        if let Some(ret) = operation.ret() {
            events.push((operation.call, Event::Call(index as u32), operation.member));
            events.push((ret, Event::Return(index as u32), operation.member));
        }
    }
    events.sort_unstable();
    let mut floors = [Floor::default(); u8::MAX as usize + 1];
    let mut floor_at_call: Vec<Floor> = vec![Floor::default(); history.operations.len()];
    for (_, event, member) in events {
        let floor = &mut floors[member as usize];
        match event {
            Event::Call(index) => floor_at_call[index as usize] = *floor,
            Event::Restart => {
                *floor = Floor { restarts: floor.restarts + 1, highest: None };
            }
            Event::Return(index) => {
                let at_call = floor_at_call[index as usize];
                // Over a restart nothing is known: the answer may have been computed on either side of it.
                if at_call.restarts != floor.restarts {
                    continue;
                }
                let Outcome::Ok { revision, .. } = history.operations[index as usize].outcome else { continue };
                if let Some((highest, shown)) = at_call.highest
                    && revision < highest
                    && is_serializable(history, index as usize)
                {
                    let sentence = format!("older than revision {highest}, which the same member had already shown");
                    return Err(Violation::new(Rule::MemberWentBack, Some(shown), index, sentence));
                }
                if floor.highest.is_none_or(|(highest, _)| highest < revision) {
                    floor.highest = Some((revision, index));
                }
            }
        }
    }
    Ok(())
}
