//! The model under the search: linearizability of histories with every kind of request.
//!
//! The search over the world's own histories (`store_search`) keeps a million operations in small slots and knows four kinds. Here
//! a state is copied for each change: histories of some hundred operations, all kinds.

use super::{Request, Seen, State};
use crate::check::wgl::{self, Budget, Found, Interval, Model, Probe};

/// A request with what was seen of it, and when.
#[derive(Clone, Debug)]
pub struct Timed {
    /// When it was asked, in any unit.
    pub call: u64,
    /// When its answer came, in the same unit; not regarded if none did.
    pub ret: u64,
    /// What was asked.
    pub request: Request,
    /// What was seen.
    pub seen: Seen,
}

impl Timed {
    /// When it had certainly taken place. What was executed did so at some time; the answer that never came bounds nothing.
    fn end(&self) -> Option<u64> {
        match self.seen {
            Seen::Answer(..) => Some(self.ret),
            Seen::Executed(_) => Some(u64::MAX),
            Seen::Unknown => None,
        }
    }
}

/// Searches an order of requests to a store that was empty at first. Returns the steps it took, too.
pub fn search(history: &[Timed], budget: Budget) -> (Found, u64) {
    let interval = |timed: &Timed| Interval { call: timed.call, ret: timed.end(), op: timed.clone() };
    let ops: Vec<Interval<Timed>> = history.iter().map(interval).collect();
    wgl::search(&mut State::default(), &ops, budget)
}

impl Model for State {
    type Op = Timed;
    type Undo = State;

    fn probe(&self, op: &Timed) -> Probe {
        let mut after = self.clone();
        let (expected, _) = after.execute(&op.request);
        if !op.seen.fits(&expected) {
            Probe::Refused
        } else if after != *self {
            Probe::Changes
        } else if op.request.is_read() || matches!(op.seen, Seen::Answer(..)) {
            // An answer that says that nothing changed never fits where something does.
            Probe::Free
        } else {
            Probe::Unchanged
        }
    }

    fn apply(&mut self, op: &Timed) -> State {
        let before = self.clone();
        self.execute(&op.request);
        before
    }

    fn undo(&mut self, before: State) {
        *self = before;
    }

    fn fingerprint(&self) -> u128 {
        State::fingerprint(self)
    }
}
