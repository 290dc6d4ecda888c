//! `[workload.watch]`: how clients watch.

use super::{
    Range64,
    at::{At, Whole},
    error::Problem,
    units::{Ends, SECOND, Time},
    vocabulary,
};
use schemars::JsonSchema;
use serde::Deserialize;

/// How a client watches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watching {
    /// Watches that it keeps, all on one stream.
    pub watches: u32,
    /// Responses that it takes ahead of what it works on: its side's flow control.
    pub window: u32,
    /// How long it works on each response before it takes the next, in nanoseconds.
    pub pause: Range64,
    /// About how often it ends a watch and begins another, in nanoseconds; 0: never.
    pub churn: u64,
    /// About how often it asks for the progress of its stream, in nanoseconds; 0: never.
    pub progress: u64,
    /// Where its watches start. Not empty.
    pub starts: Vec<WatchStart>,
    /// Where a copy of the store begins to watch after it was read.
    pub after_list: AfterList,
    /// What the keeper of a copy does when its history is compacted.
    pub on_compacted: OnCompacted,
}

impl Default for Watching {
    fn default() -> Self {
        Self {
            watches: 6,
            window: 64,
            pause: Range64::exactly(0),
            churn: 2 * SECOND,
            progress: 3 * SECOND,
            starts: WatchStart::ALL.to_vec(),
            after_list: AfterList::Revision,
            on_compacted: OnCompacted::ListAgain,
        }
    }
}

vocabulary! {
    /// Where a watch starts.
    pub enum WatchStart("start of a watch") {
        /// With the next change.
        Now = "now",
        /// At some revision that was, compacted or not.
        Past = "past",
        /// At the first revision.
        First = "first",
        /// At the oldest revision that is left, as far as the client has heard: the one that a member named when it ended a
        /// watch whose start was compacted.
        Oldest = "oldest",
        /// At a revision that is yet to come.
        Future = "future",
    }
}

vocabulary! {
    /// Where a copy of the store begins to watch after it was read.
    pub enum AfterList("start after a list") {
        /// Behind the revision of the read.
        Revision = "revision",
        /// With the next change, whatever has happened since the read.
        Now = "now",
    }
}

vocabulary! {
    /// What the keeper of a copy does when its history is compacted.
    pub enum OnCompacted("answer to a compaction") {
        /// Reads everything anew, and watches from there.
        ListAgain = "list-again",
        /// Watches on, from the next change.
        WatchOn = "watch-on",
        /// Nothing: its loop has ended, and nobody noticed.
        GiveUp = "give-up",
    }
}

/// How clients watch.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a table, such as { watches = 6 }")]
pub(super) struct WatchShape {
    /// Watches of each client, all on one stream (default 6).
    pub(super) watches: Option<At<Whole<1, 100_000>>>,
    /// Responses that a client takes ahead of what it works on (default 64).
    pub(super) window: Option<At<Whole<1, 1_000_000>>>,
    /// How long it works on each response (default 0).
    pub(super) pause: Option<At<Ends<Time>>>,
    /// About how often it ends a watch and begins another (default 2 s; 0: never).
    pub(super) churn: Option<At<Time>>,
    /// About how often it asks for its stream's progress (default 3 s; 0: never).
    pub(super) progress: Option<At<Time>>,
    /// Where its watches start, one drawn for each (default: all of these).
    pub(super) starts: Option<At<Vec<WatchStart>>>,
    /// Where a copy begins to watch after it was read (list-watch; default revision).
    pub(super) after_list: Option<At<AfterList>>,
    /// What it does when its history is compacted (list-watch; default list-again).
    pub(super) on_compacted: Option<At<OnCompacted>>,
}

/// The settings that a file's table describes.
pub(super) fn resolve(shape: &WatchShape) -> Result<Watching, Problem> {
    let defaults = Watching::default();
    if let Some(starts) = shape.starts.as_ref().filter(|starts| starts.get().is_empty()) {
        return Err(Problem::new(starts.span(), "a watch starts somewhere", "such as starts = [\"now\", \"past\"]"));
    }
    Ok(Watching {
        watches: shape.watches.as_ref().map_or(defaults.watches, |count| count.get().to()),
        window: shape.window.as_ref().map_or(defaults.window, |count| count.get().to()),
        pause: shape.pause.as_ref().map_or(defaults.pause, |pause| {
            let Ends { lo: Time(lo), hi: Time(hi) } = *pause.get();
            Range64::new(lo, hi)
        }),
        churn: shape.churn.as_ref().map_or(defaults.churn, |gap| gap.get().0),
        progress: shape.progress.as_ref().map_or(defaults.progress, |gap| gap.get().0),
        starts: shape.starts.as_ref().map_or(defaults.starts, |starts| starts.get().clone()),
        after_list: shape.after_list.as_ref().map_or(defaults.after_list, |start| *start.get()),
        on_compacted: shape.on_compacted.as_ref().map_or(defaults.on_compacted, |answer| *answer.get()),
    })
}
