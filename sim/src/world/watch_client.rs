//! A watch client, as etcd's client library has it: many watches on one stream, each resumed behind the last revision that
//! it heard of when the stream breaks, on the next member.
//!
//! ```text
//!                 ┌───────────── created, events, progress, canceled ─────────────┐
//!   next() ◀──────┤                                                               │
//!                 └── stream broke: open one to the next member, create every watch again ──┐
//!                         from the last event's revision + 1, or from R + 1 after "progress at R"  ◀──┘
//! ```
//!
//! - Creates go out one at a time, as in etcd's library: answers come in the order of the requests, and nothing else says
//!   which watch a number belongs to.
//! - A watch that asked for "from now on" is resumed behind the revision at which it was created; etcd's library repeats
//!   that revision itself.
//! - A watch that the member ends (its start was compacted while nobody listened) is not begun anew. That is for the
//!   caller to do, who has to read what it missed; what becomes of callers that do not is a scenario.
//! - A stream is its opener's for good. When a member knows the opener no more (a token is as old as the permissions that
//!   it was given under), the client logs in again and goes on on another stream. etcd's library hands that to its caller.
//!
//! Everything that comes is written down ([`WatchRecord`]), one record for each stream that a watch was on.
//!
//! Left out: several streams of one client (etcd's library has one for each context), and watches that require a leader.

use super::client::Client;
use super::stream::{Told, WatchStream};
use super::tasks::Handle;
use crate::check::model::Detail;
use crate::check::watch::{Content, End, Response, WatchRecord};
use seedbed::mvcc::watch::NO_WATCH;
use seedbed::pb::etcdserverpb::watch_request::RequestUnion;
use seedbed::pb::etcdserverpb::{WatchCancelRequest, WatchCreateRequest, WatchProgressRequest, WatchResponse};
use seedbed::pb::mvccpb::Event;
use seedbed::time::{MILLISECOND, Nanos, SECOND};
use std::collections::{BTreeMap, VecDeque};

/// A pause before a stream is opened again, as etcd's library makes at first.
const BACKOFF: Nanos = 25 * MILLISECOND;

/// How often a client that waits for the end asks how far its stream has come.
const ASK_EVERY: Nanos = SECOND;

/// A watch of a [`WatchClient`]. Numbers are not used again.
pub type WatchNumber = u32;

/// See the module. Dropping it closes its stream and ends its watches.
#[derive(Debug)]
pub struct WatchClient {
    /// Who it is, and the member that it keeps to.
    client: Client,
    window: usize,
    stream: Option<WatchStream>,
    /// When the next stream may be opened.
    open_at: Nanos,
    watches: BTreeMap<WatchNumber, Watch>,
    /// Numbers that the member gave to watches of this stream.
    on_stream: BTreeMap<i64, WatchNumber>,
    /// To be created; the first has been asked for, if there is a stream.
    to_create: VecDeque<WatchNumber>,
    /// What has come and was not handed out.
    heard: VecDeque<(WatchNumber, Response)>,
    next_number: WatchNumber,
}

#[derive(Debug)]
struct Watch {
    /// What to ask for when it is created again.
    request: WatchCreateRequest,
    /// Its caller has no interest in it any more.
    canceled: bool,
    /// The subscription in the log that all its records belong to.
    subscription: u32,
    /// Index of the record that is being written.
    record: Option<usize>,
    /// Parts of a response whose last part has not come.
    parts: Vec<Event>,
}

impl WatchClient {
    pub(super) fn new(client: Client, window: usize) -> WatchClient {
        WatchClient {
            client,
            window,
            stream: None,
            open_at: 0,
            watches: BTreeMap::new(),
            on_stream: BTreeMap::new(),
            to_create: VecDeque::new(),
            heard: VecDeque::new(),
            next_number: 0,
        }
    }

    /// The world's time and timers.
    pub fn handle(&self) -> &Handle {
        self.client.handle()
    }

    /// Begins a watch. What comes of it is heard from [`WatchClient::next`], beginning with [`Content::Created`], once for
    /// each stream that it is on. The member chooses its number: `watch_id` is not used.
    pub fn watch(&mut self, request: WatchCreateRequest) -> WatchNumber {
        let subscription = self.client.log().borrow_mut().subscribe();
        self.watch_on(subscription, request)
    }

    /// The same, for a subscription that earlier watches served.
    pub(super) fn watch_on(&mut self, subscription: u32, request: WatchCreateRequest) -> WatchNumber {
        let number = self.next_number;
        self.next_number += 1;
        let request = WatchCreateRequest { watch_id: 0, ..request };
        let watch = Watch { request, canceled: false, subscription, record: None, parts: Vec::new() };
        self.watches.insert(number, watch);
        self.to_create.push_back(number);
        if self.to_create.len() == 1 {
            self.create_next();
        }
        number
    }

    /// Ends a watch. Nothing more is heard of it.
    pub fn cancel(&mut self, number: WatchNumber) {
        self.heard.retain(|(other, _)| *other != number);
        let Some(watch) = self.watches.get_mut(&number) else { return };
        watch.canceled = true;
        if let Some(record) = watch.record {
            self.client.log().borrow_mut().watches[record].end = End::Asked;
        }
        let id = self.on_stream.iter().find(|(_, other)| **other == number).map(|(id, _)| *id);
        match id {
            Some(watch_id) => self.say(RequestUnion::CancelRequest(WatchCancelRequest { watch_id })),
            // Whether it has been asked for or not: it is canceled as soon as it has a number.
            None if self.to_create.front() == Some(&number) && self.stream.is_some() => {}
            None => {
                self.to_create.retain(|other| *other != number);
                self.watches.remove(&number);
            }
        }
    }

    /// Asks how far the watches have come. All of them hear of it, if the stream lives so long.
    pub fn ask_progress(&mut self) {
        self.say(RequestUnion::ProgressRequest(WatchProgressRequest {}));
    }

    /// Waits for the next thing that a watch hears; `None`: nothing until `deadline`. Whoever is slow to call it is a slow
    /// consumer.
    pub async fn next(&mut self, deadline: Nanos) -> Option<(WatchNumber, Response)> {
        loop {
            if let Some(heard) = self.heard.pop_front() {
                return Some(heard);
            }
            let Some(stream) = &mut self.stream else {
                let open_at = if self.to_create.is_empty() { Nanos::MAX } else { self.open_at };
                if open_at > self.handle().now() {
                    self.handle().sleep_until(open_at.min(deadline)).await;
                }
                if open_at > self.handle().now() {
                    return None;
                }
                if self.client.credentials().is_none() && !self.client.log_in(deadline).await {
                    return None;
                }
                self.create_next();
                continue;
            };
            match stream.next(self.client.handle(), deadline).await? {
                Told::Response(response) => self.on_response(response),
                Told::Broken(_) => {
                    self.client.turn_to_the_next();
                    self.on_broken();
                }
            }
        }
    }

    /// Waits until every watch has heard of everything up to revision `due`, then leaves them alone: they count as
    /// watched until the end. `hear` is given what comes. For the last moments of a run.
    pub async fn hear_all(mut self, due: i64, mut hear: impl FnMut(&Response)) {
        // The progress of a stream is told only when all its watches have begun.
        let ahead = self.watches.iter().filter(|(_, watch)| watch.request.start_revision > due + 1);
        for number in ahead.map(|(number, _)| *number).collect::<Vec<_>>() {
            self.watches.get_mut(&number).expect("invariant: it was found a moment ago").record = None;
            self.cancel(number);
        }
        let mut ask_at = 0;
        while self.watches.values().any(|watch| !watch.canceled && watch.request.start_revision <= due) {
            if ask_at <= self.handle().now() && self.stream.is_some() {
                self.ask_progress();
                ask_at = self.handle().now() + ASK_EVERY;
            }
            if let Some((_, response)) = self.next(self.handle().now() + ASK_EVERY).await {
                hear(&response);
            }
        }
        // What the log says of them stays.
        self.watches.clear();
    }

    fn say(&mut self, request: RequestUnion) {
        if let Some(stream) = &self.stream {
            stream.say(request);
        }
    }

    /// Asks for the first watch that is to be created, on a new stream if there is none.
    fn create_next(&mut self) {
        let Some(&number) = self.to_create.front() else { return };
        if self.stream.is_none() {
            if self.open_at > self.handle().now() {
                return;
            }
            let Some(who) = self.client.credentials() else { return };
            self.stream = Some(self.handle().open_stream(self.client.member(), who, self.window));
        }
        let watch = self.watches.get_mut(&number).expect("invariant: what is to be created is a watch");
        let request = watch.request.clone();
        let mut log = self.client.log().borrow_mut();
        watch.record = Some(log.watches.len());
        let (detail, end) = (Detail::Full, End::Alive { due: 0 });
        log.watches.push(WatchRecord {
            client: self.client.number(),
            request: request.clone(),
            detail,
            responses: vec![],
            end,
        });
        log.subscriptions.push(watch.subscription);
        drop(log);
        self.say(RequestUnion::CreateRequest(request));
    }

    /// The stream is gone: every watch has to be created again.
    fn on_broken(&mut self) {
        self.stream = None;
        self.on_stream.clear();
        self.watches.retain(|_, watch| !watch.canceled);
        let mut log = self.client.log().borrow_mut();
        for watch in self.watches.values_mut() {
            watch.parts.clear();
            if let Some(record) = watch.record.take() {
                log.watches[record].end = End::Broken;
            }
        }
        drop(log);
        self.to_create = self.watches.keys().copied().collect();
        self.open_at = self.handle().now() + BACKOFF;
    }

    fn on_response(&mut self, response: WatchResponse) {
        let revision = response.header.map_or(0, |header| header.revision);
        if response.created {
            self.on_created(response, revision);
        } else if response.watch_id == NO_WATCH && !response.canceled {
            for number in self.on_stream.values().copied().collect::<Vec<_>>() {
                self.write_down(number, revision, Content::Progress);
            }
        } else if let Some(&number) = self.on_stream.get(&response.watch_id) {
            if response.canceled {
                self.on_stream.remove(&response.watch_id);
                let (compact_revision, reason) = (response.compact_revision, response.cancel_reason);
                self.write_down(number, revision, Content::Canceled { compact_revision, reason });
                self.watches.remove(&number);
            } else if response.events.is_empty() {
                self.write_down(number, revision, Content::Progress);
            } else {
                self.on_events(number, revision, response);
            }
        }
    }

    fn on_created(&mut self, response: WatchResponse, revision: i64) {
        if response.canceled && self.client.must_log_in_again(&response.cancel_reason) {
            self.on_broken();
            return;
        }
        let Some(number) = self.to_create.pop_front() else { return };
        if response.canceled {
            let (compact_revision, reason) = (response.compact_revision, response.cancel_reason);
            self.write_down(number, revision, Content::Canceled { compact_revision, reason });
            self.watches.remove(&number);
        } else {
            let watch_id = response.watch_id;
            self.on_stream.insert(watch_id, number);
            self.write_down(number, revision, Content::Created);
            if self.watches[&number].canceled {
                self.say(RequestUnion::CancelRequest(WatchCancelRequest { watch_id }));
            }
        }
        self.create_next();
    }

    fn on_events(&mut self, number: WatchNumber, revision: i64, response: WatchResponse) {
        let watch = self.watches.get_mut(&number).expect("invariant: what is on the stream is a watch");
        watch.parts.extend(response.events);
        if !response.fragment {
            let events = std::mem::take(&mut watch.parts);
            self.write_down(number, revision, Content::Events(events));
        }
    }

    /// Notes where the watch would be resumed, writes down what came, and hands it to the caller.
    fn write_down(&mut self, number: WatchNumber, revision: i64, content: Content) {
        let watch = self.watches.get_mut(&number).expect("invariant: what is on the stream is a watch");
        let start = &mut watch.request.start_revision;
        match &content {
            Content::Created if *start == 0 => *start = revision + 1,
            Content::Created | Content::Canceled { .. } => {}
            Content::Events(events) => {
                let last = events.last().and_then(|event| event.kv.as_ref());
                *start = last.map_or(*start, |kv| kv.mod_revision + 1);
            }
            // etcd #15248: the client resumed at R, and heard of it twice.
            Content::Progress => *start = (*start).max(revision + 1),
        }
        let response = Response { at: self.client.handle().now(), revision, content };
        if let Some(record) = watch.record {
            self.client.log().borrow_mut().watches[record].responses.push(response.clone());
        }
        if !watch.canceled {
            self.heard.push_back((number, response));
        }
    }
}

impl Drop for WatchClient {
    fn drop(&mut self) {
        let mut log = self.client.log().borrow_mut();
        for record in self.watches.values().filter_map(|watch| watch.record) {
            // At the very end of a run the log is closed before its programs are dropped.
            if let Some(record) = log.watches.get_mut(record) {
                record.end = End::Asked;
            }
        }
    }
}
