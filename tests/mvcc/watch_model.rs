//! Watchers against a list of all events: whatever is written, compacted, restored, drained slowly or cancelled, each
//! hears exactly the events of its keys from its start on, in order, each once, no revision parted — or that what it
//! lacks is compacted.

use super::*;
use proptest::prelude::*;
use proptest::sample::Index;
use seedbed::mvcc::watch::{NO_WATCH, StreamId, WatchConfig, Watchers};
use seedbed::pb::etcdserverpb::{RequestOp, TxnRequest, WatchCreateRequest, WatchResponse, request_op::Request};
use seedbed::pb::mvccpb::{Event, EventType};
use std::collections::BTreeMap;

#[derive(Clone, Debug)]
enum Step {
    Write(Write),
    /// Compacts this far between the oldest readable revision and the newest, down to the last record.
    Compact(Index),
    Watch {
        stream: u64,
        keys: (u8, Option<u8>),
        start: Start,
        prev_kv: bool,
        progress_notify: bool,
        filters: Vec<i32>,
    },
    Cancel(Index),
    /// Takes up to so many responses.
    Take(u64, usize),
    Slice,
    RequestProgress(u64),
    Tick(u64),
    /// A snapshot of a store that went on by these.
    Restore(Vec<Write>),
}

#[derive(Clone, Debug)]
enum Write {
    /// Puts in one transaction; each key once, as a request is checked.
    Puts(Vec<u8>),
    /// The keys from the first to before the second.
    Delete(u8, u8),
}

#[derive(Clone, Debug)]
enum Start {
    Now,
    Past(Index),
    Future(i64),
}

/// What a watch was promised and how much of that came.
#[derive(Debug)]
struct Promise {
    request: WatchCreateRequest,
    start: i64,
    /// Events that came, of those that are due.
    came: usize,
    /// Revision of the last of them.
    last: i64,
    ended: bool,
}

impl Promise {
    fn due<'a>(&self, history: &'a [Event]) -> Vec<&'a Event> {
        let concerns = |event: &&Event| {
            let kv = event.kv.as_ref().unwrap();
            let within = match &self.request.range_end[..] {
                b"" => kv.key == self.request.key,
                b"\0" => kv.key >= self.request.key,
                end => kv.key >= self.request.key && kv.key[..] < *end,
            };
            // The numbers of the filters are those of the event types.
            within && kv.mod_revision >= self.start && !self.request.filters.contains(&event.r#type)
        };
        history.iter().filter(concerns).collect()
    }
}

fn revision(event: &Event) -> i64 {
    event.kv.as_ref().unwrap().mod_revision
}

struct World {
    store: Store,
    watchers: Watchers,
    /// Every event that ever was, with the state before.
    history: Vec<Event>,
    promises: BTreeMap<(u64, i64), Promise>,
}

impl World {
    fn write(&mut self, write: &Write) {
        let before: BTreeMap<Bytes, KeyValue> =
            live(&self.store, 0).into_iter().map(|kv| (kv.key.clone(), kv)).collect();
        let events = self.events_of(write, &before);
        let op = |request| RequestOp { request: Some(request) };
        match write {
            Write::Puts(keys) => {
                let puts = keys.iter().map(|&n| op(Request::RequestPut(put_request(&letter(n), "v"))));
                let txn = TxnRequest { success: puts.collect(), ..Default::default() };
                apply(&mut self.store, |store| store.txn(&txn)).unwrap();
            }
            Write::Delete(from, to) => {
                let request = DeleteRangeRequest {
                    key: bytes(&letter(*from)),
                    range_end: bytes(&letter(*to)),
                    ..Default::default()
                };
                apply(&mut self.store, |store| store.delete_range(&request)).unwrap();
            }
        }
        self.history.extend(events);
    }

    /// What a write makes of the keys that live.
    fn events_of(&self, write: &Write, before: &BTreeMap<Bytes, KeyValue>) -> Vec<Event> {
        let at = self.store.revision() + 1;
        let event = |kind: EventType, kv: KeyValue| {
            let prev_kv = before.get(&kv.key).cloned();
            Event { r#type: kind as i32, kv: Some(kv), prev_kv }
        };
        match write {
            Write::Puts(keys) => keys
                .iter()
                .map(|&n| {
                    let key = bytes(&letter(n));
                    let (create_revision, version) =
                        before.get(&key).map_or((at, 1), |kv| (kv.create_revision, kv.version + 1));
                    let kv = KeyValue { key, create_revision, mod_revision: at, version, value: bytes("v"), lease: 0 };
                    event(EventType::Put, kv)
                })
                .collect(),
            Write::Delete(from, to) => {
                let doomed = before.range(bytes(&letter(*from))..bytes(&letter((*to).max(*from))));
                let gone =
                    |(key, _): (&Bytes, _)| KeyValue { key: key.clone(), mod_revision: at, ..Default::default() };
                doomed.map(gone).map(|kv| event(EventType::Delete, kv)).collect()
            }
        }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Write(write) => {
                self.write(write);
                self.watchers.notify(&self.store).unwrap();
            }
            Step::Compact(index) => {
                let oldest = self.store.compact_revision() + 1;
                let at = oldest + index.index((self.store.revision() + 2 - oldest).max(1) as usize) as i64;
                if at <= self.store.revision() {
                    compact(&mut self.store, at);
                    drain(&mut self.store);
                }
            }
            Step::Watch { stream, keys, start, prev_kv, progress_notify, filters } => {
                let now = self.store.revision();
                let start_revision = match start {
                    Start::Now => 0,
                    Start::Past(index) => 1 + index.index(now as usize) as i64,
                    Start::Future(by) => now + by,
                };
                let request = WatchCreateRequest {
                    key: bytes(&letter(keys.0)),
                    range_end: keys.1.map_or_else(Bytes::new, end),
                    start_revision,
                    progress_notify: *progress_notify,
                    filters: filters.clone(),
                    prev_kv: *prev_kv,
                    ..Default::default()
                };
                let Ok(watch) = self.watchers.watch(StreamId(*stream), &request) else { return };
                let start = if start_revision == 0 { now + 1 } else { start_revision };
                let promise = Promise { request, start, came: 0, last: 0, ended: false };
                assert!(self.promises.insert((*stream, watch), promise).is_none(), "a number of its own");
            }
            Step::Cancel(index) => {
                if !self.promises.is_empty() {
                    let n = index.index(self.promises.len());
                    let (&(stream, watch), promise) = self.promises.iter_mut().nth(n).unwrap();
                    promise.ended |= self.watchers.cancel(StreamId(stream), watch);
                }
            }
            Step::Take(stream, max) => self.take(*stream, *max),
            Step::Slice => drop(self.watchers.sync_slice(&self.store).unwrap()),
            Step::RequestProgress(stream) => self.watchers.request_progress(StreamId(*stream)),
            Step::Tick(stream) => self.watchers.progress_tick(StreamId(*stream)),
            Step::Restore(writes) => {
                self.store = reopened(&mut self.store, small());
                writes.iter().for_each(|write| self.write(write));
                self.watchers.restored(self.store.revision());
            }
        }
    }

    fn take(&mut self, stream: u64, max: usize) {
        for response in self.watchers.take(StreamId(stream), max) {
            self.judge(stream, &response);
        }
    }

    fn judge(&mut self, stream: u64, response: &WatchResponse) {
        let (history, compacted) = (&self.history, self.store.compact_revision());
        let header = response.header.as_ref().unwrap().revision;
        let mut promises: Vec<&mut Promise> = match response.watch_id {
            NO_WATCH => self.promises.range_mut((stream, i64::MIN)..=(stream, i64::MAX)).map(|(_, p)| p).collect(),
            watch => vec![self.promises.get_mut(&(stream, watch)).unwrap()],
        };
        if response.events.is_empty() && !response.canceled {
            for promise in promises.iter().filter(|promise| !promise.ended) {
                let missing = promise.due(history).into_iter().nth(promise.came);
                assert!(missing.is_none_or(|event| revision(event) > header), "progress overtakes {missing:?}");
                assert!(promise.start <= header + 1, "progress before the start");
            }
            return;
        }
        let promise = promises.pop().unwrap();
        assert!(!promise.ended, "nothing follows the end: {response:?}");
        if response.canceled {
            assert!(promise.start < response.compact_revision && promise.last < response.compact_revision);
            assert!(response.compact_revision <= compacted);
            promise.ended = true;
            return;
        }
        let due = promise.due(history);
        let (came, to_come) = due[promise.came..].split_at(response.events.len());
        for (event, wanted) in response.events.iter().zip(came) {
            assert_eq!((event.r#type, &event.kv), (wanted.r#type, &wanted.kv));
            let lost = event.prev_kv.is_none() && revision(event) - 1 < compacted;
            let prev_kv = wanted.prev_kv.as_ref().filter(|_| promise.request.prev_kv && !lost);
            assert_eq!(event.prev_kv.as_ref(), prev_kv);
        }
        promise.last = revision(response.events.last().unwrap());
        assert!(to_come.first().is_none_or(|next| revision(next) > promise.last), "revision {} is split", promise.last);
        assert!(promise.last <= header);
        promise.came += response.events.len();
    }

    /// Lets everybody catch up, and demands that nothing is missing.
    fn settle(&mut self) {
        let mut quiet = 0;
        for _ in 0..100_000 {
            let synced = self.watchers.sync_slice(&self.store).unwrap();
            let ready: Vec<StreamId> = self.watchers.ready().collect();
            ready.iter().for_each(|stream| self.take(stream.0, 1));
            quiet = if synced && ready.is_empty() { quiet + 1 } else { 0 };
            if quiet > 1 {
                break;
            }
        }
        assert!(quiet > 1, "they never come to rest");
        for (watch, promise) in self.promises.iter().filter(|(_, promise)| !promise.ended) {
            assert_eq!(promise.came, promise.due(&self.history).len(), "{watch:?} lacks the last of {promise:?}");
        }
        let living = self.promises.values().filter(|promise| !promise.ended).count();
        assert_eq!(self.watchers.counts(), [living, 0, 0]);
    }
}

fn letter(n: u8) -> String {
    char::from(b'a' + n).into()
}

/// A range's end: 9 for none.
fn end(n: u8) -> Bytes {
    if n == 9 { bytes("\0") } else { bytes(&letter(n)) }
}

fn writes() -> impl Strategy<Value = Write> {
    prop_oneof![
        4 => prop::collection::btree_set(0..6u8, 1..4).prop_map(|keys| Write::Puts(keys.into_iter().collect())),
        1 => (0..6u8, 0..7u8).prop_map(|(from, to)| Write::Delete(from, to.max(from + 1))),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let start = prop_oneof![
        2 => Just(Start::Now),
        3 => any::<Index>().prop_map(Start::Past),
        1 => (1..6i64).prop_map(Start::Future),
    ];
    let keys = (0..6u8, prop::option::of(prop_oneof![0..7u8, Just(9)]));
    let filters = prop::collection::vec(0..2i32, 0..2);
    let watch = (0..3u64, keys, start, any::<bool>(), any::<bool>(), filters).prop_map(
        |(stream, keys, start, prev_kv, progress_notify, filters)| Step::Watch {
            stream,
            keys,
            start,
            prev_kv,
            progress_notify,
            filters,
        },
    );
    let step = prop_oneof![
        12 => writes().prop_map(Step::Write),
        1 => any::<Index>().prop_map(Step::Compact),
        5 => watch,
        1 => any::<Index>().prop_map(Step::Cancel),
        5 => (0..3u64, 1..5usize).prop_map(|(stream, max)| Step::Take(stream, max)),
        4 => Just(Step::Slice),
        2 => (0..3u64).prop_map(Step::RequestProgress),
        1 => (0..3u64).prop_map(Step::Tick),
        1 => prop::collection::vec(writes(), 0..4).prop_map(Step::Restore),
    ];
    prop::collection::vec(step, 1..100)
}

proptest! {
    #[test]
    fn each_watch_hears_exactly_what_it_was_promised(
        steps in steps(),
        buffer in 1..5usize,
        max_watchers in 1..4usize,
        max_revisions in 1..5usize,
    ) {
        let store = store(small());
        let config = WatchConfig { buffer, max_watchers, max_revisions, ..WatchConfig::default() };
        let watchers = Watchers::new(config, store.revision());
        let mut world = World { store, watchers, history: Vec::new(), promises: BTreeMap::new() };
        steps.iter().for_each(|step| world.step(step));
        world.settle();
        world.write(&Write::Puts((0..6).collect()));
        world.watchers.notify(&world.store).unwrap();
        world.settle();
    }
}
