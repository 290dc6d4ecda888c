//! What a client writes down of its watches, and what is known to have happened.

use crate::check::model::{self, Detail};
use seedbed::pb::etcdserverpb::WatchCreateRequest;
use seedbed::pb::mvccpb;

/// One watch of one client: from the request that created it to the end of its stream. A watch that is resumed after a
/// break is another one.
#[derive(Clone, Debug, PartialEq)]
pub struct WatchRecord {
    /// The client.
    pub client: u32,
    /// What was asked for. A `start_revision` of 0: from the next change on.
    pub request: WatchCreateRequest,
    /// How much of each event was written down.
    pub detail: Detail,
    /// What came, in the order in which it came. Fragments are put together.
    pub responses: Vec<Response>,
    /// What became of it.
    pub end: End,
}

impl WatchRecord {
    /// How many events came.
    pub fn events(&self) -> usize {
        let events = |response: &Response| match &response.content {
            Content::Events(events) => events.len(),
            _ => 0,
        };
        self.responses.iter().map(events).sum()
    }
}

/// One response on a watch.
#[derive(Clone, Debug, PartialEq)]
pub struct Response {
    /// When it came, virtual nanoseconds.
    pub at: u64,
    /// `header.revision`.
    pub revision: i64,
    /// What it says.
    pub content: Content,
}

/// What a response says.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// The watch is there. If it starts with the next change, that is the one after the header's revision.
    Created,
    /// These changes happened.
    Events(Vec<mvccpb::Event>),
    /// All changes up to the header's revision were sent.
    Progress,
    /// The member ended the watch.
    Canceled {
        /// The oldest revision that is still there, if that is the reason; else 0.
        compact_revision: i64,
        /// The reason in words; empty if the client had asked for it.
        reason: String,
    },
}

/// What became of a watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// It was there when the recording ended.
    Alive {
        /// The revision up to which the member had certainly sent everything by then; 0 if that is not known.
        due: i64,
    },
    /// Its client canceled it, or closed the stream.
    Asked,
    /// The stream broke, or nobody knows.
    Broken,
}

/// What happened, as the applied entries tell it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Truth {
    /// Every change, in the order in which they were made.
    pub events: Vec<model::Event>,
    /// The highest revision that anybody compacted; 0 if nobody did.
    pub compacted: i64,
    /// Previous values of events up to this revision may be missing. Where compactions are known, that is
    /// [`Truth::compacted`]: what was before the event could still be read at the revision before it, if that was there.
    pub prev_missing_to: i64,
}
