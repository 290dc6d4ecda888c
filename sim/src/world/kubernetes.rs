//! Workload `kubernetes`: what the API servers of a Kubernetes cluster ask of etcd.
//!
//! Each client is an API server with three parts. Its **writer** creates, updates and deletes objects, by transactions that
//! compare the mod revision which it knows, and read the object anew where that has changed; it lists them, page by page,
//! all pages at the revision of the first; it writes events with a lease that nobody keeps alive. Its **informer** keeps a
//! copy: it lists, watches from there, asks for bookmarks (progress), and lists again when its history was compacted. Its
//! **compactor** wakes up from time to time: whoever of all API servers moves the version of `compact_rev_key` on compacts
//! at the revision that it noted the time before.
//!
//! ```text
//!   /registry/pods/p7       Txn mod(key) = 0 → put                          create
//!                           Txn mod(key) = 41 → put, else range             update: the conflict brings the object along
//!   /registry/pods/ …       Range limit 5, then from the last key + \0 at the first page's revision
//!   /registry/events/c3.9   Txn mod(key) = 0 → put with lease
//!   compact_rev_key         Txn version(key) = 4 → put, else range          then Compact
//! ```
//!
//! The shapes are those of Kubernetes 1.3x (`pkg/storage/etcd3`). Left out: selectors, watch caches that serve reads, and
//! lists as streams.

use super::client::Client;
use super::random::Stream;
use crate::check::asked::Ending;
use crate::check::informer::{PREFIX, PREFIX_END, SeenCache};
use crate::check::watch::Content;
use crate::scenario::Workload;
use bytes::Bytes;
use seedbed::api::{Error, Request, Response};
use seedbed::pb::etcdserverpb::response_op::Response as Done;
use seedbed::pb::etcdserverpb::{
    CompactionRequest, Compare, CompareResult, CompareTarget, DeleteRangeRequest, LeaseGrantRequest, PutRequest,
    RangeRequest, RequestOp, TxnRequest, TxnResponse, WatchCreateRequest, compare::TargetUnion, request_op,
};
use seedbed::pb::mvccpb::{EventType, KeyValue};
use seedbed::time::{MILLISECOND, Nanos, SECOND};
use std::collections::BTreeMap;

/// Objects on a page of a list. (500 in Kubernetes.)
const PAGE: i64 = 5;
/// Objects that share a lease. (1000 in Kubernetes.)
const ON_A_LEASE: u32 = 8;
/// How often an update is tried with what the conflict brought along.
const TRIES: u32 = 4;
/// A pause after what failed.
const PAUSE: Nanos = 100 * MILLISECOND;
/// How often an informer looks whether the run is over.
const LOOK_EVERY: Nanos = 100 * MILLISECOND;

/// The writer of a client.
pub(super) async fn writer(client: Client, workload: Workload, mut random: Stream, until: Nanos) {
    let until = workload.stop.unwrap_or(until).min(until);
    let gap = SECOND * u64::from(workload.clients) / u64::from(workload.rate.max(1));
    let mut next = workload.start + random.below(gap.max(1));
    let mut writer = Writer { client, random, workload, lease: None, count: 0 };
    loop {
        next = next.max(writer.client.handle().now());
        if next >= until {
            return;
        }
        writer.client.handle().sleep_until(next).await;
        next += gap;
        let pod = writer.pod();
        match writer.random.below(10) {
            0..3 => writer.create(pod, 0).await,
            3..7 => writer.change(pod, Change::Update).await,
            7 => writer.change(pod, Change::Delete).await,
            8 => writer.event().await,
            _ => drop(list(&mut writer.client).await),
        }
    }
}

struct Writer {
    client: Client,
    random: Stream,
    workload: Workload,
    /// The lease of the latest events, and how many may still share it.
    lease: Option<(i64, u32)>,
    count: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Change {
    Update,
    Delete,
}

impl Writer {
    fn pod(&mut self) -> Bytes {
        [PREFIX, format!("p{}", self.random.below(self.workload.keys.max(1).into())).as_bytes()].concat().into()
    }

    fn value(&mut self) -> Bytes {
        self.count += 1;
        format!("c{}.{}", self.client.number(), self.count).into()
    }

    async fn create(&mut self, key: Bytes, lease: i64) {
        let put = PutRequest { key: key.clone(), value: self.value(), lease, ..PutRequest::default() };
        let create = txn(unchanged(&key, 0), request_op::Request::RequestPut(put), None);
        self.client.ask(create).await;
    }

    /// Changes an object as it last was; if it is another by now, that one, a few times.
    async fn change(&mut self, key: Bytes, change: Change) {
        let get = RangeRequest { key: key.clone(), limit: 1, ..RangeRequest::default() };
        let found = match self.client.ask(Request::Range(get)).await {
            Ending::Answered { response: Response::Range(response), .. } => response.kvs.into_iter().next(),
            _ => None,
        };
        let mut known = found;
        for _ in 0..TRIES {
            let Some(KeyValue { mod_revision, lease, .. }) = known else { return };
            let op = match change {
                Change::Update => {
                    let put = PutRequest { key: key.clone(), value: self.value(), lease, ..PutRequest::default() };
                    request_op::Request::RequestPut(put)
                }
                Change::Delete => request_op::Request::RequestDeleteRange(DeleteRangeRequest {
                    key: key.clone(),
                    ..DeleteRangeRequest::default()
                }),
            };
            match self.client.ask(txn(unchanged(&key, mod_revision), op, Some(&key))).await {
                Ending::Answered { response: Response::Txn(response), .. } if !response.succeeded => {
                    self.client.log().borrow_mut().conflicts += 1;
                    known = in_else(response);
                }
                _ => return,
            }
        }
    }

    /// An event: it shares its lease with others, and goes with it.
    async fn event(&mut self) {
        let (lease, left) = match self.lease.filter(|(_, left)| *left > 0) {
            Some(lease) => lease,
            None => {
                let ttl = (self.workload.ttl / SECOND) as i64;
                let granted = self.client.ask(Request::LeaseGrant(LeaseGrantRequest { id: 0, ttl })).await;
                let Ending::Answered { response: Response::LeaseGrant(granted), .. } = granted else { return };
                (granted.id, ON_A_LEASE)
            }
        };
        self.lease = Some((lease, left - 1));
        let key = format!("/registry/events/c{}.{}", self.client.number(), self.count + 1);
        self.create(key.into(), lease).await;
    }
}

/// The compactor of a client. It runs as long as the writers do.
pub(super) async fn compactor(mut client: Client, workload: Workload, mut random: Stream, until: Nanos) {
    let until = workload.stop.unwrap_or(until).min(until);
    let key = Bytes::from_static(b"compact_rev_key");
    let (mut version, mut noted) = (0, 0);
    let mut next = workload.start + random.below(workload.compact_every);
    while next < until {
        client.handle().sleep_until(next).await;
        next = client.handle().now() + workload.compact_every;
        let guard = compare(&key, CompareTarget::Version, TargetUnion::Version(version));
        let put = PutRequest { key: key.clone(), value: noted.to_string().into(), ..PutRequest::default() };
        let asked = client.ask(txn(guard, request_op::Request::RequestPut(put), Some(&key))).await;
        let Ending::Answered { response: Response::Txn(response), .. } = asked else { continue };
        let newest = response.header.as_ref().map_or(0, |header| header.revision);
        if response.succeeded {
            version += 1;
            if noted > 0 {
                client.ask(Request::Compact(CompactionRequest { revision: noted, physical: false })).await;
            }
        } else {
            // Another one is at it.
            version = in_else(response).map_or(0, |kv| kv.version);
        }
        noted = newest;
    }
}

/// The informer of a client: it watches what the writers do, until there is nothing more to see.
pub(super) async fn informer(mut client: Client, workload: Workload) {
    let handle = client.handle().clone();
    handle.sleep_until(workload.start).await;
    let mut watches = client.watches(workload.watching.window as usize);
    let subscription = client.log().borrow_mut().subscribe();
    let mut cache = Cache { client: client.number(), revision: 0, objects: BTreeMap::new() };
    let (mut listed, mut ask_at) = (false, 0);
    let due = loop {
        if let Some(due) = handle.closing() {
            break due;
        }
        if !listed {
            let Some((revision, objects)) = list(&mut client).await else { continue };
            (cache.revision, cache.objects) = (revision, objects);
            watches.watch_on(subscription, cache.watch());
            listed = true;
        }
        if workload.watching.progress > 0 && ask_at <= handle.now() {
            watches.ask_progress();
            ask_at = handle.now() + workload.watching.progress;
        }
        let Some((_, response)) = watches.next(handle.now() + LOOK_EVERY).await else { continue };
        listed = !matches!(response.content, Content::Canceled { .. });
        cache.hear(&response, &client);
    };
    let mut gone = !listed;
    watches
        .hear_all(due, |response| {
            gone |= matches!(response.content, Content::Canceled { .. });
            cache.hear(response, &client);
        })
        .await;
    while gone {
        let Some((revision, objects)) = list(&mut client).await else { continue };
        (cache.revision, cache.objects, gone) = (revision, objects, false);
    }
    // Nothing has happened since.
    cache.revision = cache.revision.max(due);
    cache.show(&client);
}

/// An informer's copy: the objects, with the revisions of their last changes.
struct Cache {
    client: u32,
    /// The copy is what the store was at this revision.
    revision: i64,
    objects: BTreeMap<Bytes, i64>,
}

impl Cache {
    fn watch(&self) -> WatchCreateRequest {
        WatchCreateRequest {
            key: Bytes::from_static(PREFIX),
            range_end: Bytes::from_static(PREFIX_END),
            start_revision: self.revision + 1,
            progress_notify: true,
            prev_kv: true,
            ..WatchCreateRequest::default()
        }
    }

    fn hear(&mut self, response: &crate::check::watch::Response, client: &Client) {
        match &response.content {
            Content::Events(events) => {
                for (event, kv) in events.iter().filter_map(|event| Some((event, event.kv.as_ref()?))) {
                    if event.r#type == EventType::Put as i32 {
                        self.objects.insert(kv.key.clone(), kv.mod_revision);
                    } else {
                        self.objects.remove(&kv.key);
                    }
                    self.revision = self.revision.max(kv.mod_revision);
                }
            }
            // A bookmark: up to here there was nothing else.
            Content::Progress => {
                self.revision = self.revision.max(response.revision);
                self.show(client);
            }
            Content::Created | Content::Canceled { .. } => {}
        }
    }

    /// Writes the copy down, to be judged.
    fn show(&self, client: &Client) {
        let Cache { client: number, revision, objects } = self;
        let seen = SeenCache { client: *number, revision: *revision, objects: objects.clone() };
        client.log().borrow_mut().caches.push(seen);
    }
}

/// All objects, page by page, as they were at one revision. `None`: it has to be begun anew.
async fn list(client: &mut Client) -> Option<(i64, BTreeMap<Bytes, i64>)> {
    let (mut key, mut revision) = (Bytes::from_static(PREFIX), 0);
    let mut objects = BTreeMap::new();
    loop {
        let range_end = Bytes::from_static(PREFIX_END);
        let page = RangeRequest { key, range_end, limit: PAGE, revision, ..RangeRequest::default() };
        let response = match client.ask(Request::Range(page)).await {
            Ending::Answered { response: Response::Range(response), .. } => response,
            // The first page's revision was compacted meanwhile: Kubernetes says 410 Gone.
            Ending::Refused { error: Error::Compacted, .. } => return None,
            _ => {
                client.handle().sleep_until(client.handle().now() + PAUSE).await;
                return None;
            }
        };
        if revision == 0 {
            revision = response.header.as_ref().map_or(0, |header| header.revision);
        }
        let more = (response.kvs.len() as i64) < response.count;
        let last = response.kvs.last().map(|kv| kv.key.clone());
        objects.extend(response.kvs.into_iter().map(|kv| (kv.key, kv.mod_revision)));
        match last.filter(|_| more) {
            Some(last) => key = [&last[..], b"\0"].concat().into(),
            None => return Some((revision, objects)),
        }
    }
}

fn unchanged(key: &Bytes, mod_revision: i64) -> Compare {
    compare(key, CompareTarget::Mod, TargetUnion::ModRevision(mod_revision))
}

fn compare(key: &Bytes, target: CompareTarget, value: TargetUnion) -> Compare {
    Compare {
        result: CompareResult::Equal as i32,
        target: target as i32,
        key: key.clone(),
        target_union: Some(value),
        range_end: Bytes::new(),
    }
}

/// Does one thing if the compare holds, and otherwise reads a key.
fn txn(guard: Compare, op: request_op::Request, or_read: Option<&Bytes>) -> Request {
    let read =
        |key: &Bytes| request_op::Request::RequestRange(RangeRequest { key: key.clone(), ..RangeRequest::default() });
    let list = |op: Option<request_op::Request>| op.map(|op| RequestOp { request: Some(op) }).into_iter().collect();
    Request::Txn(TxnRequest { compare: vec![guard], success: list(Some(op)), failure: list(or_read.map(read)) })
}

/// What the transaction read instead; `None`: there is no such key.
fn in_else(response: TxnResponse) -> Option<KeyValue> {
    match response.responses.into_iter().next()?.response? {
        Done::ResponseRange(range) => range.kvs.into_iter().next(),
        _ => None,
    }
}
