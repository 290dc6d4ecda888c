//! Watches: who asked for which keys, and what each is told (lesson 08).
//!
//! A watcher is to hear every event of its keys from its start revision on, in order, each once, the events of one
//! revision together — or that its start is compacted, and then nothing more. Receivers are slow and histories long, so
//! a watcher is in one of three states:
//!
//! ```text
//!                  start is behind                          start is 0 or ahead
//!   watch ───────────────┬──────────────────────────────────────────┐
//!                        ▼                                          ▼
//!                    unsynced ──── read up to the present ────►  synced          hears of a revision as it is applied
//!                     ▲    │                                     │     │
//!                     │    │ buffer full                         │     │ buffer full
//!                     │    ▼                                     │     ▼
//!                     │  victim ◄────────────────────────────────┼── victim      its response stands in the overflow
//!                     │    │                                     │     │
//!                     └────┴── the response found room: behind? ─┼─────┴──► or not?
//!                     ▲                                          │
//!                     └────────── a snapshot replaced the store ─┘
//! ```
//!
//! - A *synced* watcher was told everything up to the revision that was last [notified](Watchers::notify). It stands in
//!   a [`group::Group`], where a key finds its watchers without asking the others.
//! - An *unsynced* one lacks what lies between its `min_rev` and that revision, and is served by
//!   [`Watchers::sync_slice`] from the store's records, a bounded piece at a time.
//! - A *victim* has one response that its stream's buffer had no room for. It gets no other until that one is in the
//!   buffer, which is looked at whenever the buffer is drained; then it goes where its `min_rev` belongs.
//!
//! Watchers of one client's stream share a buffer ([`stream::Stream`]). Whoever owns this drains it with
//! [`Watchers::take`] and calls, in this order, after each applied entry [`Watchers::notify`], every 100 ms
//! [`Watchers::sync_slice`] until that says there is no more, after a snapshot [`Watchers::restored`].
//!
//! # Invariants
//! - Each watcher is in one state, and only there: in the group, in the set of unsynced ones, or in an overflow.
//! - `min_rev` of an unsynced watcher or a victim is the first revision of which it was told nothing. For a synced one it
//!   counts only while it lies ahead: a start in the future is kept through every change of state.
//! - An overflow holds something only while its buffer is full, and at most one response of a watcher.
//! - What is said of progress goes through the same buffer as events, so it never overtakes any.
//!
//! # Differences from etcd
//! - A full buffer is tried again when it is drained, not every 10 ms.
//! - `PrevKv` is read when a response is made, not when it is sent: a compaction between the two does not lose it.
//! - A slice reads at most [`WatchConfig::max_revisions`] revisions, not all up to the present, and ends when it has told
//!   20,000 events; see `sync` for who gets its turn.
//! - A watch that joins a stream takes back an answer about the stream's progress that is still queued: it was not said
//!   of this one. In etcd the client hears it, and may resume the new watch too early.
//! - A request for progress waits until it can be answered. In etcd it lapses, and the client asks again.
//!
//! Reading order: `group` and `stream` are what watchers stand in, `notify` and `sync` what they are told, `progress`
//! what is said when there is nothing to tell, `fragment` how a long response is cut.
//!
//! Left out: the responses that a watch was created, or ended because its client said so. They are the answers of
//! whoever owns this, who knows the client. So are permissions, and the timer behind [`Watchers::progress_tick`].

mod fragment;
mod group;
mod notify;
mod progress;
mod stream;
mod sync;

pub use fragment::fragments;

use crate::bug::BugSet;
use crate::interval::Span;
use crate::pb::etcdserverpb::{FilterType, ResponseHeader, WatchCreateRequest, WatchResponse};
use crate::pb::mvccpb::Event;
use bytes::Bytes;
use group::{Group, Interest};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use stream::Stream;

/// A client's stream, numbered by whoever owns the watchers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId(pub u64);

/// A watcher: its stream, and its number there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct WatcherId {
    stream: StreamId,
    watch: i64,
}

/// Settings; defaults are etcd's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WatchConfig {
    /// Responses that a stream's buffer takes (etcd: 1024).
    pub buffer: usize,
    /// Watchers that one slice serves (etcd: 512).
    pub max_watchers: usize,
    /// Revisions that one slice reads (etcd: 1000, of those that matter to a watcher).
    pub max_revisions: usize,
    /// Historical bugs that are switched on.
    pub bugs: BugSet,
}

impl Default for WatchConfig {
    fn default() -> WatchConfig {
        WatchConfig { buffer: 1024, max_watchers: 512, max_revisions: 1000, bugs: BugSet::NONE }
    }
}

/// Why there is no such watch; the texts are etcd's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum WatchError {
    /// The range's end is not behind its key.
    #[error("mvcc: watcher range is empty")]
    EmptyRange,
    /// The stream has a watch of that number.
    #[error("mvcc: duplicate watch ID provided on the WatchStream")]
    DuplicateId,
}

/// The number that stands for all watches of a stream, and for a watch that could not be made.
pub const NO_WATCH: i64 = -1;

/// All watchers of a member, see the module.
#[derive(Debug)]
pub struct Watchers {
    config: WatchConfig,
    /// The revision that was last notified.
    revision: i64,
    watchers: BTreeMap<WatcherId, Watcher>,
    synced: Group,
    /// By what they lack, for [`Watchers::sync_slice`].
    unsynced: BTreeSet<(i64, WatcherId)>,
    /// Where the next slice goes on: with the first unsynced watcher behind this place.
    lift: (i64, WatcherId),
    streams: BTreeMap<StreamId, Stream>,
    /// Streams with something to take.
    ready: BTreeSet<StreamId>,
    /// Streams that asked for their progress and were not answered yet.
    asking: BTreeSet<StreamId>,
}

#[derive(Debug)]
struct Watcher {
    interest: Interest,
    state: State,
    /// The first revision that it is to hear of next, see the module.
    min_rev: i64,
    /// It wants to hear of progress.
    progress_notify: bool,
    /// It heard something since the last tick.
    told: bool,
    prev_kv: bool,
    no_put: bool,
    no_delete: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Synced,
    Unsynced,
    Victim,
}

impl WatcherId {
    const FIRST: WatcherId = WatcherId { stream: StreamId(0), watch: i64::MIN };
    const LAST: WatcherId = WatcherId { stream: StreamId(u64::MAX), watch: i64::MAX };
}

impl Watchers {
    /// No watchers, of a store that stands at `revision`.
    pub fn new(config: WatchConfig, revision: i64) -> Watchers {
        Watchers {
            config,
            revision,
            watchers: BTreeMap::new(),
            synced: Group::default(),
            unsynced: BTreeSet::new(),
            lift: (0, WatcherId::LAST),
            streams: BTreeMap::new(),
            ready: BTreeSet::new(),
            asking: BTreeSet::new(),
        }
    }

    /// Begins a watch. Returns its number: the one asked for, or, for 0, the next from 0 on that is not taken.
    ///
    /// A stream is there from its first watch on, until [`Watchers::close`]. What is found out later (that the start is
    /// compacted) comes as a response.
    pub fn watch(&mut self, stream: StreamId, request: &WatchCreateRequest) -> Result<i64, WatchError> {
        let interest = interest(request)?;
        let watch = match request.watch_id {
            0 => self.free_number(stream),
            chosen if self.watchers.contains_key(&WatcherId { stream, watch: chosen }) => {
                return Err(WatchError::DuplicateId);
            }
            chosen => chosen,
        };
        self.streams.entry(stream).or_default();
        let filters = |filter: FilterType| request.filters.contains(&(filter as i32));
        let id = WatcherId { stream, watch };
        let watcher = Watcher {
            interest,
            state: State::Synced,
            min_rev: if request.start_revision == 0 { self.revision + 1 } else { request.start_revision.max(1) },
            progress_notify: request.progress_notify,
            told: false,
            prev_kv: request.prev_kv,
            no_put: filters(FilterType::Noput),
            no_delete: filters(FilterType::Nodelete),
        };
        self.watchers.insert(id, watcher);
        self.settle(id);
        self.retract_progress(stream);
        Ok(watch)
    }

    /// Ends a watch, and what was still to be told goes with it. `false`, and no change, if there is none.
    pub fn cancel(&mut self, stream: StreamId, watch: i64) -> bool {
        let id = WatcherId { stream, watch };
        let Some(watcher) = self.watchers.remove(&id) else { return false };
        self.leave(&watcher, id);
        self.drain(stream, |line| line.forget(watch));
        self.answer_progress(stream);
        true
    }

    /// Ends a stream and its watches.
    pub fn close(&mut self, stream: StreamId) {
        let ids: Vec<WatcherId> = self.of_stream(stream).map(|(id, _)| *id).collect();
        for id in ids {
            let watcher = self.watchers.remove(&id).expect("invariant: it was found a moment ago");
            self.leave(&watcher, id);
        }
        self.streams.remove(&stream);
        self.ready.remove(&stream);
        self.asking.remove(&stream);
    }

    /// Streams with something to take, in order.
    pub fn ready(&self) -> impl Iterator<Item = StreamId> + '_ {
        self.ready.iter().copied()
    }

    /// Takes up to `max` responses out of a stream's buffer. What stood in its overflow moves up.
    pub fn take(&mut self, stream: StreamId, max: usize) -> Vec<WatchResponse> {
        let taken = self.drain(stream, |line| line.take(max)).unwrap_or_default();
        self.answer_progress(stream);
        taken
    }

    /// Watchers: synced, unsynced, victims (etcd's `slow_watcher_total` counts the latter two).
    pub fn counts(&self) -> [usize; 3] {
        let (synced, unsynced) = (self.synced.len(), self.unsynced.len());
        [synced, unsynced, self.watchers.len() - synced - unsynced]
    }

    /// Events that wait in streams' buffers for room at their clients.
    pub fn pending_events(&self) -> usize {
        self.streams.values().map(Stream::events).sum()
    }

    fn free_number(&mut self, stream: StreamId) -> i64 {
        let next = &mut self.streams.entry(stream).or_default().next_watch;
        while self.watchers.contains_key(&WatcherId { stream, watch: *next }) {
            *next += 1;
        }
        *next += 1;
        *next - 1
    }

    fn of_stream(&self, stream: StreamId) -> impl Iterator<Item = (&WatcherId, &Watcher)> {
        self.watchers.range(Self::ids_of(stream))
    }

    fn ids_of(stream: StreamId) -> RangeInclusive<WatcherId> {
        WatcherId { stream, ..WatcherId::FIRST }..=WatcherId { stream, ..WatcherId::LAST }
    }

    fn watcher(&mut self, id: WatcherId) -> &mut Watcher {
        self.watchers.get_mut(&id).expect("invariant: whoever stands in a state is a watcher")
    }

    /// Puts a watcher that stands nowhere where its `min_rev` belongs.
    fn settle(&mut self, id: WatcherId) {
        let watcher = self.watchers.get_mut(&id).expect("invariant: only watchers are settled");
        if watcher.min_rev > self.revision {
            watcher.state = State::Synced;
            self.synced.insert(&watcher.interest, id);
        } else {
            watcher.state = State::Unsynced;
            self.unsynced.insert((watcher.min_rev, id));
        }
    }

    /// Takes a watcher out of where it stands.
    fn leave(&mut self, watcher: &Watcher, id: WatcherId) {
        match watcher.state {
            State::Synced => self.synced.remove(&watcher.interest, id),
            State::Unsynced => {
                self.unsynced.remove(&(watcher.min_rev, id));
            }
            State::Victim => {}
        }
    }

    fn is_full(&self, stream: StreamId) -> bool {
        self.streams.get(&stream).is_some_and(|line| line.is_full(self.config.buffer))
    }

    /// Puts a response into its stream's buffer; `false`: there was no room, and it stands in the overflow.
    fn send(&mut self, stream: StreamId, response: WatchResponse) -> bool {
        self.ready.insert(stream);
        let line = self.streams.get_mut(&stream).expect("invariant: a watcher's stream is there");
        line.push(response, self.config.buffer)
    }

    /// Makes room in a stream's buffer. What stood in its overflow moves up, and its victims are victims no more.
    fn drain<T>(&mut self, stream: StreamId, make_room: impl FnOnce(&mut Stream) -> T) -> Option<T> {
        let line = self.streams.get_mut(&stream)?;
        let result = make_room(line);
        let risen = line.rise(self.config.buffer);
        if line.is_empty() {
            self.ready.remove(&stream);
        }
        for watch in risen {
            let id = WatcherId { stream, watch };
            // The last word to a watcher that has ended concerns nobody.
            if self.watchers.get(&id).is_some_and(|watcher| watcher.state == State::Victim) {
                self.settle(id);
            }
        }
        Some(result)
    }
}

/// The keys that a request means, as etcd's server reads it: an empty key stands for the least one.
fn interest(request: &WatchCreateRequest) -> Result<Interest, WatchError> {
    // Copies: a slice of the request would keep all of it in memory, and a watcher may live for months.
    let key = if request.key.is_empty() { Bytes::from_static(b"\0") } else { Bytes::copy_from_slice(&request.key) };
    let span = match &request.range_end[..] {
        b"" => return Ok(Interest::Key(key)),
        b"\0" => Span { from: key, to: None },
        to => Span { from: key, to: Some(Bytes::copy_from_slice(to)) },
    };
    if span.is_empty() { Err(WatchError::EmptyRange) } else { Ok(Interest::Span(span)) }
}

/// A response without the parts of its header that only the member knows.
fn response(watch_id: i64, revision: i64, events: Vec<Event>) -> WatchResponse {
    let header = Some(ResponseHeader { revision, ..ResponseHeader::default() });
    WatchResponse { header, watch_id, events, ..WatchResponse::default() }
}
