//! The watch loop (lesson 08): streams of clients, and what goes down them.
//!
//! ```text
//!   client ── create, cancel, progress? ─▶ Watchers ◀── notify ── each applied entry
//!          ── room for n more ──────────▶    │    ◀── every 100 ms: a slice for those that lag
//!          ◀── created, canceled ── at once  │
//!          ◀── events, progress ────────────┘ as many as there is room for
//! ```
//!
//! A receiver says how many responses it can take ([`StreamInput::Room`]); what it cannot take stays in the member's buffer,
//! and behind a full buffer its watchers become victims. So a slow client slows down nobody else, and costs a bounded
//! amount of memory.
//!
//! A watch is checked when it is created, and never again: who loses a permission keeps the watches that he has, as in
//! etcd.
//!
//! Left out: streams that outlive their member: a client whose member is gone watches again, from behind
//! the last revision that it heard of.

use super::{Config, Effects, Member, StopReason};
use crate::api::{AuthError, Credentials};
use crate::mvcc::watch::{NO_WATCH, StreamId, WatchConfig, Watchers, fragments};
use crate::pb::etcdserverpb::watch_request::RequestUnion;
use crate::pb::etcdserverpb::{ResponseHeader, WatchCreateRequest, WatchRequest, WatchResponse};
use crate::time::{MILLISECOND, Nanos, Now};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};

/// How often watchers that lag are served.
const SYNC_INTERVAL: Nanos = 100 * MILLISECOND;

/// What a client's stream brings.
#[derive(Clone, Debug, PartialEq, Hash)]
pub enum StreamInput {
    /// The client asks for something. Its first request opens the stream.
    Request(WatchRequest),
    /// So many more responses can be taken. The answers that a watch was created or canceled need no room.
    Room(usize),
    /// The stream is gone, and its watches with it.
    Closed,
    /// Whose the stream is. Comes before everything else, if at all.
    OpenedBy(Credentials),
}

#[derive(Debug)]
pub(super) struct WatchLoop {
    pub(super) watchers: Watchers,
    lines: BTreeMap<StreamId, Line>,
    /// When watchers that lag are served next.
    next_sync: Nanos,
}

/// A stream's end here.
#[derive(Debug, Default)]
struct Line {
    /// Whose it is.
    owner: Credentials,
    room: usize,
    /// Watches whose long responses are to be cut.
    fragmented: BTreeSet<i64>,
    /// When watches that want it hear of their progress next.
    next_progress: Nanos,
}

impl WatchLoop {
    pub(super) fn new(config: &Config, revision: i64) -> WatchLoop {
        let config = WatchConfig { bugs: config.bugs, ..WatchConfig::default() };
        WatchLoop { watchers: Watchers::new(config, revision), lines: BTreeMap::new(), next_sync: 0 }
    }

    /// Whose a stream is, as far as it said.
    pub(super) fn owner(&self, stream: StreamId) -> Credentials {
        self.lines.get(&stream).map(|line| line.owner.clone()).unwrap_or_default()
    }

    /// Streams that are open and have said something.
    pub(super) fn streams(&self) -> usize {
        self.lines.len()
    }

    fn lags(&self) -> bool {
        self.watchers.counts()[1] > 0
    }

    /// Whether somebody watches.
    pub(super) fn has_business(&self) -> bool {
        self.lags() || !self.lines.is_empty()
    }

    /// Who lags from now on waits for the loop to come by.
    pub(super) fn nobody_lags(&mut self, now: Now) {
        self.next_sync = now.mono + SYNC_INTERVAL;
    }
}

impl Member {
    pub(super) fn watch_wakes_at(&self) -> Nanos {
        let watch = &self.watch_loop;
        let progress = watch.lines.values().map(|line| line.next_progress).min().unwrap_or(Nanos::MAX);
        if watch.lags() && !self.store_is_closed() { progress.min(watch.next_sync) } else { progress }
    }

    pub(super) fn on_stream(&mut self, now: Now, stream: StreamId, input: StreamInput, fx: &mut Effects) {
        if input == StreamInput::Closed {
            self.watch_loop.lines.remove(&stream);
            self.watch_loop.watchers.close(stream);
            return;
        }
        let next_progress = now.mono + self.config.watch_progress_interval;
        let line = self.watch_loop.lines.entry(stream);
        let line = line.or_insert_with(|| Line { next_progress, ..Line::default() });
        match input {
            StreamInput::Room(more) => line.room += more,
            StreamInput::Request(request) => match request.request_union {
                Some(RequestUnion::CreateRequest(create)) => self.create_watch(now, stream, &create, fx),
                Some(RequestUnion::CancelRequest(cancel)) => self.cancel_watch(stream, cancel.watch_id, fx),
                Some(RequestUnion::ProgressRequest(_)) => self.watch_loop.watchers.request_progress(stream),
                None => {}
            },
            StreamInput::OpenedBy(owner) => line.owner = owner,
            StreamInput::Closed => {}
        }
    }

    fn create_watch(&mut self, now: Now, stream: StreamId, create: &WatchCreateRequest, fx: &mut Effects) {
        let mut response = WatchResponse { header: self.header(self.state.store.revision()), ..Default::default() };
        response.created = true;
        if let Err(error) = self.may_watch(now, stream, create, fx) {
            (response.watch_id, response.canceled) = (NO_WATCH, true);
            response.cancel_reason = reason(error);
            fx.watch.push((stream, response));
            return;
        }
        let made = self.watch_loop.watchers.watch(stream, create);
        match made {
            Ok(watch_id) => {
                response.watch_id = watch_id;
                if create.fragment
                    && let Some(line) = self.watch_loop.lines.get_mut(&stream)
                {
                    line.fragmented.insert(watch_id);
                }
            }
            Err(error) => {
                (response.watch_id, response.canceled) = (NO_WATCH, true);
                response.cancel_reason = error.to_string();
            }
        }
        fx.watch.push((stream, response));
    }

    fn may_watch(
        &mut self,
        now: Now,
        stream: StreamId,
        create: &WatchCreateRequest,
        fx: &mut Effects,
    ) -> Result<(), AuthError> {
        // For a watch no key is the first key there can be.
        let key = if create.key.is_empty() { Bytes::from_static(b"\0") } else { create.key.clone() };
        self.may_read(now, &self.watch_loop.owner(stream), (&key, &create.range_end), fx).map(drop)
    }

    fn cancel_watch(&mut self, stream: StreamId, watch_id: i64, fx: &mut Effects) {
        // etcd answers only if there was such a watch.
        if self.watch_loop.watchers.cancel(stream, watch_id) {
            let header = self.header(self.state.store.revision());
            let canceled = WatchResponse { header, watch_id, canceled: true, ..Default::default() };
            fx.watch.push((stream, canceled));
        }
    }

    /// An entry was applied.
    pub(super) fn notify_watchers(&mut self, fx: &mut Effects) {
        if let Err(error) = self.watch_loop.watchers.notify(&self.state.store) {
            fx.stop = Some(StopReason::Backend(error));
        }
    }

    /// Serves those that lag, tells of progress, and sends what there is room for.
    pub(super) fn run_watch_loop(&mut self, now: Now, fx: &mut Effects) {
        if !self.watch_loop.lags() {
            self.watch_loop.nobody_lags(now);
        } else if self.watch_loop.next_sync <= now.mono && !self.store_is_closed() {
            self.sync_watchers(now, fx);
        }
        let WatchLoop { watchers, lines, .. } = &mut self.watch_loop;
        if lines.is_empty() {
            return;
        }
        for (stream, line) in lines.iter_mut().filter(|(_, line)| line.next_progress <= now.mono) {
            line.next_progress = now.mono + self.config.watch_progress_interval;
            watchers.progress_tick(*stream);
        }
        for stream in watchers.ready().collect::<Vec<_>>() {
            self.send_to(stream, fx);
        }
    }

    fn sync_watchers(&mut self, now: Now, fx: &mut Effects) {
        match self.watch_loop.watchers.sync_slice(&self.state.store) {
            Ok(done) => self.watch_loop.next_sync = now.mono + if done { SYNC_INTERVAL } else { 1 },
            Err(error) => fx.stop = Some(StopReason::Backend(error)),
        }
        self.charge(fx, |costs| costs.read);
    }

    fn send_to(&mut self, stream: StreamId, fx: &mut Effects) {
        let own = self.header(0);
        let Some(line) = self.watch_loop.lines.get_mut(&stream) else { return };
        for mut response in self.watch_loop.watchers.take(stream, line.room) {
            line.room -= 1;
            let revision = response.header.map_or(0, |header| header.revision);
            response.header = own.map(|own| ResponseHeader { revision, ..own });
            if line.fragmented.contains(&response.watch_id) {
                let parts = fragments(response, self.config.max_request_bytes);
                fx.watch.extend(parts.into_iter().map(|part| (stream, part)));
            } else {
                fx.watch.push((stream, response));
            }
        }
    }
}

/// Why a watch was refused, as etcd says it: with the status that would stand beside it elsewhere.
fn reason(error: AuthError) -> String {
    format!("rpc error: code = {:?} desc = {error}", error.code())
}
