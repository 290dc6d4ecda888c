//! What happened, from the committed entries: the model executes each, and says what changed.

use super::Truth;
use crate::check::log::{Committed, Replay};
use crate::check::model::State;

impl Truth {
    /// What these entries, the first of index 1, make of an empty store.
    pub fn of_log(log: &[Committed]) -> Truth {
        let mut replay = Replay::new(log, State::default());
        let events = replay.by_ref().flat_map(|replayed| replayed.events).collect();
        let compacted = replay.state().compacted().unwrap_or(0);
        Truth { events, compacted, prev_missing_to: compacted }
    }
}
