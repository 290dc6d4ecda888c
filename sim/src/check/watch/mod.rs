//! The watch guarantees: does a watcher see what happened, all of it, once, in order?
//!
//! etcd promises its watchers a history without holes (lesson 9). The promises, by the names under which etcd's own
//! robustness tests check them, each a [`Guarantee`]:
//!
//! | name | what it says |
//! |---|---|
//! | Filter | only what was asked for: keys of the interval, no kind of event that was filtered out |
//! | Ordered | revisions never go back |
//! | Unique | no event comes twice, nor more events of a revision than it had |
//! | Atomic | one revision is not split over two responses |
//! | Bookmarkable | a progress notification at revision *r* says that everything up to *r* has come |
//! | Resumable | a watch from revision *r* begins with the first matching event at *r* or later |
//! | IsCreate | a put is said to create its key exactly if the key was absent |
//! | Reliable | between the first and the last revision that the watch reached, exactly what happened has come |
//! | PrevKV | the previous value is the one before, and missing only if there was none or it was compacted |
//!
//! Two more, which those tests leave open:
//!
//! | name | what it says |
//! |---|---|
//! | Tail | a watch that is alive at the end has got everything that its member had time to send (etcd #17529: starved streams) |
//! | Canceled | a watch ends only if its client asked for it, or because what it needs next was compacted; then it is silent |
//!
//! What happened is known from elsewhere ([`Truth`]: the entries that were applied, executed by [the model](super::model)), never from
//! the watches themselves. Each watch is judged by itself, in time linear in what it got.
//!
//! **Left out.** The header's revision of responses with events; watches that were refused (for their form, or for want of
//! a permission); fragments, which a client puts together before it records them.

mod past;
mod record;
mod rules;
mod truth;

pub use record::{Content, End, Response, Truth, WatchRecord};

use super::history::Text;
use past::Past;
use std::fmt;

/// What is promised. In the order in which they are judged: a watch that breaks one often breaks those behind it, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Guarantee {
    /// Only what was asked for.
    Filter,
    /// Revisions never go back.
    Ordered,
    /// No event comes twice.
    Unique,
    /// One revision, one response.
    Atomic,
    /// Progress says what has come.
    Bookmarkable,
    /// It begins where it was told to.
    Resumable,
    /// A put that creates says so, and no other.
    IsCreate,
    /// No holes.
    Reliable,
    /// The value before is the value before.
    PrevKv,
    /// It does not fall silent.
    Tail,
    /// It does not end without a reason.
    Canceled,
}

impl Guarantee {
    /// All of them, in order.
    pub const ALL: [Guarantee; 11] = [
        Guarantee::Filter,
        Guarantee::Ordered,
        Guarantee::Unique,
        Guarantee::Atomic,
        Guarantee::Bookmarkable,
        Guarantee::Resumable,
        Guarantee::IsCreate,
        Guarantee::Reliable,
        Guarantee::PrevKv,
        Guarantee::Tail,
        Guarantee::Canceled,
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Guarantee::Filter => "Filter",
            Guarantee::Ordered => "Ordered",
            Guarantee::Unique => "Unique",
            Guarantee::Atomic => "Atomic",
            Guarantee::Bookmarkable => "Bookmarkable",
            Guarantee::Resumable => "Resumable",
            Guarantee::IsCreate => "IsCreate",
            Guarantee::Reliable => "Reliable",
            Guarantee::PrevKv => "PrevKV",
            Guarantee::Tail => "Tail",
            Guarantee::Canceled => "Canceled",
        }
    }

    /// The check of a run that fails where it is broken.
    pub fn check(self) -> &'static str {
        match self {
            Guarantee::Filter => "watch-filter",
            Guarantee::Ordered => "watch-ordered",
            Guarantee::Unique => "watch-unique",
            Guarantee::Atomic => "watch-atomic",
            Guarantee::Bookmarkable => "watch-bookmarkable",
            Guarantee::Resumable => "watch-resumable",
            Guarantee::IsCreate => "watch-is-create",
            Guarantee::Reliable => "watch-reliable",
            Guarantee::PrevKv => "watch-prev-kv",
            Guarantee::Tail => "watch-tail",
            Guarantee::Canceled => "watch-canceled",
        }
    }
}

/// A guarantee that a watch broke.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub guarantee: Guarantee,
    /// Whose watch.
    pub client: u32,
    /// Index into the records.
    pub watch: usize,
    /// The revision at fault.
    pub revision: i64,
    /// What is wrong, naming client, watch and revision.
    pub sentence: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "watch broke {}: {}", self.guarantee.name(), self.sentence)
    }
}

/// What a rule finds: the revision, and what is wrong there.
type Found = Option<(i64, String)>;

/// Judges all watches. Of each guarantee that a watch breaks the first failure is reported; sorted by client, guarantee and
/// watch.
pub fn check(records: &[WatchRecord], truth: &Truth) -> Vec<Violation> {
    let past = Past::of(truth);
    let mut violations = Vec::new();
    for (watch, record) in records.iter().enumerate() {
        for guarantee in Guarantee::ALL {
            if let Some((revision, what)) = rules::judge(guarantee, record, &past) {
                let client = record.client;
                let keys = Watched(&record.request.key, &record.request.range_end);
                let sentence = format!("client {client}, watch {watch} on {keys}, revision {revision}: {what}");
                violations.push(Violation { guarantee, client, watch, revision, sentence });
            }
        }
    }
    violations.sort_by_key(|violation| (violation.client, violation.guarantee, violation.watch));
    violations
}

/// The keys of a watch, for a person.
struct Watched<'a>(&'a [u8], &'a [u8]);

impl fmt::Display for Watched<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Watched(key, b"") => write!(f, "{}", Text(key)),
            Watched(key, b"\0") => write!(f, "[{}, ∞)", Text(key)),
            Watched(key, end) => write!(f, "[{}, {})", Text(key), Text(end)),
        }
    }
}
