//! What a Kubernetes API server sends, said to `seedbed serve` and to a real etcd: the same answers, field by field.
//!
//! An API server uses few shapes of requests and relies on every field of their answers: a list's page is pinned at the
//! first page's revision, an update is a transaction on `mod_revision` that reads the object in its else, the
//! `resourceVersion` of everything is a header's revision, and a watch that leaves out one `prev_kv` kills the watcher.
//! Here a small API server ([`Apiserver`]) says each shape and writes down what it hears, without ids and terms. What
//! must hold anyway is asserted for ours, so that the test means something where no etcd is installed. Where ours is
//! right and etcd 3.4.23 is not (progress on request, #15220), only ours is asked.

#[path = "support/etcd.rs"]
mod etcd;
#[path = "support/folder.rs"]
mod folder;
#[path = "support/grpc.rs"]
mod grpc;
#[path = "support/served.rs"]
mod served;

use bytes::Bytes;
use folder::Folder;
use grpc::{Answers, Client, framed};
use h2::SendStream;
use prost::Message;
use seedbed::pb::etcdserverpb::compare::TargetUnion;
use seedbed::pb::etcdserverpb::request_op::Request as Op;
use seedbed::pb::etcdserverpb::response_op::Response as Answer;
use seedbed::pb::etcdserverpb::watch_request::RequestUnion;
use seedbed::pb::etcdserverpb::*;
use seedbed::pb::mvccpb::{Event, EventType, KeyValue};
use served::Seedbed;
use std::fmt::Debug;
use std::net::TcpListener;
use std::time::{Duration, Instant};

/// Codes of gRPC.
const INVALID_ARGUMENT: i32 = 3;
const NOT_FOUND: i32 = 5;
const RESOURCE_EXHAUSTED: i32 = 8;
const OUT_OF_RANGE: i32 = 11;
const UNIMPLEMENTED: i32 = 12;

/// What a call that failed says: code and text.
type Status = (i32, String);

/// How long to wait for what takes its time: a lease of two seconds, say.
const PATIENCE: Duration = Duration::from_secs(20);

/// The key by which API servers agree who compacts.
const COMPACT_REV_KEY: &str = "compact_rev_key";

/// What an API server does with its store, and what it heard.
struct Apiserver {
    client: Client,
    heard: Vec<String>,
    lease: i64,
}

impl Apiserver {
    async fn new(url: &str) -> Apiserver {
        Apiserver { client: Client::connect(url).await, heard: Vec::new(), lease: 0 }
    }

    /// Writes down an answer, without what may differ between two clusters.
    fn note(&mut self, what: &str, answer: impl Debug) {
        let lease = format!("lease: {}", self.lease);
        let text = without_ids(&format!("{answer:?}"));
        self.heard
            .push(format!("{what}: {}", if self.lease == 0 { text } else { text.replace(&lease, "lease: LEASE") }));
    }

    async fn call<I, O>(&mut self, what: &str, path: &'static str, request: I) -> Result<O, Status>
    where
        I: Message,
        O: Message + Default + Debug,
    {
        let answer = self.client.call::<O>(path, &request).await;
        match &answer {
            Ok(answer) => self.note(what, answer),
            Err(status) => self.note(what, status),
        }
        answer
    }

    async fn range(&mut self, what: &str, request: RangeRequest) -> Result<RangeResponse, Status> {
        self.call(what, "/etcdserverpb.KV/Range", request).await
    }

    async fn txn(&mut self, what: &str, request: TxnRequest) -> TxnResponse {
        self.call(what, "/etcdserverpb.KV/Txn", request).await.expect("a transaction")
    }

    /// Shape 1.
    async fn get(&mut self, what: &str, key: &str) -> RangeResponse {
        self.range(what, RangeRequest { limit: 1, ..key_of(key) }).await.expect("a get")
    }

    /// Shape 2.
    async fn create(&mut self, what: &str, key: &str, value: &str, lease: i64) -> TxnResponse {
        let request =
            TxnRequest { compare: vec![changed_at(key, 0)], success: vec![put(key, value, lease)], failure: vec![] };
        self.txn(what, request).await
    }

    /// Shape 3.
    async fn update(&mut self, what: &str, key: &str, value: &str, seen: i64) -> TxnResponse {
        let (compare, success) = (vec![changed_at(key, seen)], vec![put(key, value, 0)]);
        self.txn(what, TxnRequest { compare, success, failure: vec![op(Op::RequestRange(key_of(key)))] }).await
    }

    /// Shape 4.
    async fn delete(&mut self, what: &str, key: &str, seen: i64) -> TxnResponse {
        let (compare, success) = (vec![changed_at(key, seen)], vec![delete(key)]);
        self.txn(what, TxnRequest { compare, success, failure: vec![op(Op::RequestRange(key_of(key)))] }).await
    }

    /// Shapes 5 and 9: all pages of a prefix, at the revision of the first. `between` is called after it.
    async fn list(&mut self, what: &str, prefix: &str, limit: i64) -> (Vec<KeyValue>, i64) {
        let (mut all, mut key, mut pinned) = (Vec::new(), prefix.to_owned(), 0);
        loop {
            let request = RangeRequest { key: key.into(), limit, revision: pinned, ..prefix_of(prefix) };
            let page = self.range(what, request).await.expect("a page");
            if pinned == 0 {
                pinned = revision(page.header);
                // Others do not wait until somebody has read all pages.
                self.create("a write between pages", &format!("{prefix}zz-{limit}"), "late", 0).await;
            }
            assert_eq!(page.more, (page.kvs.len() as i64) < page.count, "count is that of all that is left");
            all.extend(page.kvs);
            if !page.more {
                return (all, pinned);
            }
            key = format!("{}\0", text(&all.last().expect("more is said of a page that is not empty").key));
        }
    }

    /// Shape 10: the watch of a prefix from after this revision.
    async fn watch(&mut self, prefix: &str, seen: i64) -> Watch {
        let mut watch = Watch::open(&self.client, watch_of(prefix, seen)).await;
        let created = watch.next().await;
        assert!(created.created && !created.canceled && created.events.is_empty(), "{created:?}");
        self.note("watch created", created);
        watch
    }

    /// As many events as were expected, over as many responses as they came in.
    async fn events(&mut self, what: &str, watch: &mut Watch, count: usize) -> Vec<Event> {
        let mut events = Vec::new();
        while events.len() < count {
            let response = watch.next().await;
            assert!(!response.events.is_empty() && !response.canceled, "{what}: {response:?}");
            // How many revisions go into a response is a matter of timing; that none is cut in two is not.
            events.extend(response.events);
        }
        self.note(what, &events);
        events
    }

    /// Shape 13: who may compact, and the compaction. Returns whether it was this one's turn, and the version to go on
    /// from.
    async fn compact(&mut self, version: i64, seen: i64) -> (bool, i64) {
        let compare = Compare {
            target: CompareTarget::Version as i32,
            key: COMPACT_REV_KEY.into(),
            target_union: Some(TargetUnion::Version(version)),
            ..Compare::default()
        };
        let request = TxnRequest {
            compare: vec![compare],
            success: vec![put(COMPACT_REV_KEY, &seen.to_string(), 0)],
            failure: vec![op(Op::RequestRange(key_of(COMPACT_REV_KEY)))],
        };
        let answer = self.txn("whose turn it is to compact", request).await;
        if !answer.succeeded {
            return (false, else_read(&answer).expect("somebody wrote it").version);
        }
        let request = CompactionRequest { revision: seen, physical: false };
        let compacted = self.call::<_, CompactionResponse>("compaction", "/etcdserverpb.KV/Compact", request).await;
        compacted.expect("a compaction");
        (true, version + 1)
    }
}

/// A watch stream.
struct Watch {
    say: SendStream<Bytes>,
    hear: Answers,
}

impl Watch {
    /// Opens a stream, which begins with this watch.
    async fn open(client: &Client, first: WatchCreateRequest) -> Watch {
        let (say, answer) = client.begin("/etcdserverpb.Watch/Watch").await;
        let mut watch = Watch { say, hear: Answers::of(answer) };
        watch.create(first);
        watch
    }

    /// Asks for one more watch.
    fn create(&mut self, watch: WatchCreateRequest) {
        self.send(RequestUnion::CreateRequest(watch));
    }

    /// Asks how far all of them have come.
    fn request_progress(&mut self) {
        self.send(RequestUnion::ProgressRequest(WatchProgressRequest {}));
    }

    fn send(&mut self, request: RequestUnion) {
        let request = framed(&WatchRequest { request_union: Some(request) });
        self.say.send_data(request, false).expect("the stream stands");
    }

    /// The next response.
    async fn next(&mut self) -> WatchResponse {
        self.hear.next().await.expect("no error").expect("the stream goes on")
    }
}

/// An address that nobody listens at.
fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("it is bound").to_string()
}

fn key_of(key: &str) -> RangeRequest {
    RangeRequest { key: key.to_owned().into(), ..RangeRequest::default() }
}

/// Everything that begins so; the end is the prefix with its last byte raised.
fn prefix_of(prefix: &str) -> RangeRequest {
    RangeRequest { range_end: end_of(prefix).into(), ..key_of(prefix) }
}

fn end_of(prefix: &str) -> Vec<u8> {
    let mut end = prefix.as_bytes().to_vec();
    *end.last_mut().expect("a prefix") += 1;
    end
}

fn watch_of(prefix: &str, seen: i64) -> WatchCreateRequest {
    let (key, range_end) = (prefix.to_owned().into(), end_of(prefix).into());
    WatchCreateRequest { key, range_end, start_revision: seen + 1, prev_kv: true, ..WatchCreateRequest::default() }
}

fn changed_at(key: &str, revision: i64) -> Compare {
    let target_union = Some(TargetUnion::ModRevision(revision));
    Compare { target: CompareTarget::Mod as i32, key: key.to_owned().into(), target_union, ..Compare::default() }
}

fn op(request: Op) -> RequestOp {
    RequestOp { request: Some(request) }
}

fn put(key: &str, value: &str, lease: i64) -> RequestOp {
    let (key, value) = (key.to_owned().into(), value.to_owned().into());
    op(Op::RequestPut(PutRequest { key, value, lease, ..PutRequest::default() }))
}

fn delete(key: &str) -> RequestOp {
    op(Op::RequestDeleteRange(DeleteRangeRequest { key: key.to_owned().into(), ..DeleteRangeRequest::default() }))
}

fn revision(header: Option<ResponseHeader>) -> i64 {
    header.expect("every answer has a header").revision
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

/// The object that a transaction read in its else.
fn else_read(answer: &TxnResponse) -> Option<&KeyValue> {
    match &answer.responses[0].response {
        Some(Answer::ResponseRange(range)) => range.kvs.first(),
        other => panic!("a read is answered by {other:?}"),
    }
}

/// Replaces the numbers that two clusters do not share: who they are, and their terms.
fn without_ids(answer: &str) -> String {
    let mut text = answer.to_owned();
    for name in ["cluster_id: ", "member_id: ", "raft_term: "] {
        let mut parts = text.split(name);
        let mut replaced = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let rest = part.trim_start_matches(|c: char| c.is_ascii_digit());
            // A header within a transaction's answer has none of them.
            let is_set = !part.starts_with("0,") && !part.starts_with("0 ");
            replaced.push_str(&format!("{name}{}{rest}", if is_set { "N" } else { "0" }));
        }
        text = replaced;
    }
    text
}

/// Has an API server of its own do these steps with ours, and with an etcd where there is one. The answers must be equal.
async fn same_answers(steps: impl AsyncFn(&mut Apiserver)) {
    let folder = Folder::new();
    let tools = etcd::tools();
    let ours = Seedbed::start(&folder, &free_address());
    let mut apiserver = Apiserver::new(&ours.url).await;
    steps(&mut apiserver).await;
    let Some(tools) = tools else { return };
    let mut theirs = tools.etcd("default", folder.path("theirs"));
    theirs.start();
    let mut other = Apiserver::new(&theirs.client_url()).await;
    steps(&mut other).await;
    let differ = apiserver.heard.iter().zip(&other.heard).filter(|(ours, theirs)| ours != theirs);
    let differ: Vec<String> = differ.map(|(ours, theirs)| format!("etcd    {theirs}\nseedbed {ours}")).collect();
    assert!(differ.is_empty(), "{} of {} differ:\n{}", differ.len(), other.heard.len(), differ.join("\n\n"));
    assert_eq!(apiserver.heard.len(), other.heard.len());
}

#[tokio::test]
async fn objects_are_created_updated_and_deleted_by_what_was_seen_of_them() {
    same_answers(async |api| {
        let key = "/registry/pods/default/web-0";
        let before = api.get("no object yet", key).await;
        assert!(before.kvs.is_empty() && before.count == 0 && revision(before.header) == 1);
        let created = api.create("create", key, "v1", 0).await;
        assert!(created.succeeded);
        let seen = revision(created.header);
        let again = api.create("create what is there", key, "other", 0).await;
        assert!(!again.succeeded && again.responses.is_empty() && revision(again.header) == seen);
        let updated = api.update("update", key, "v2", seen).await;
        let conflict = api.update("update what has changed", key, "v3", seen).await;
        let current = else_read(&conflict).expect("the object as it is");
        assert!(updated.succeeded && !conflict.succeeded);
        assert!(&current.value[..] == b"v2" && current.mod_revision == revision(updated.header), "{current:?}");
        let stale = api.delete("delete what has changed", key, seen).await;
        assert!(!stale.succeeded && else_read(&stale).is_some());
        let gone = api.delete("delete", key, current.mod_revision).await;
        assert!(gone.succeeded && revision(gone.header) == current.mod_revision + 1);
        let late = api.update("update what is gone", key, "v4", current.mod_revision).await;
        assert!(!late.succeeded && else_read(&late).is_none());
        api.create("create again", key, "v1", 0).await;
        let old = vec![op(Op::RequestRange(key_of(key))), delete(key), op(Op::RequestRange(key_of(key)))];
        let old = TxnRequest { success: old, ..TxnRequest::default() };
        api.txn("delete as old API servers do", old.clone()).await;
        api.txn(
            "one within another",
            TxnRequest { failure: vec![], success: vec![op(Op::RequestTxn(old))], compare: vec![] },
        )
        .await;
        let version = api.get("the revision, by a key that is none", "/registry/pods").await;
        assert!(version.kvs.is_empty() && revision(version.header) == revision(gone.header) + 2);
    })
    .await;
}

#[tokio::test]
async fn a_list_is_that_of_its_first_page_and_knows_what_is_left() {
    same_answers(async |api| {
        let prefix = "/registry/pods/";
        for n in 0..25 {
            api.create("create", &format!("{prefix}ns-{}/pod-{n:02}", n % 3), &format!("pod {n}"), 0).await;
        }
        api.create("of another kind", "/registry/pods0", "no pod", 0).await;
        let (pods, pinned) = api.list("page of ten", prefix, 10).await;
        assert_eq!((pods.len(), pinned), (25, 27), "what was written between the pages is not in them");
        let (pods, _) = api.list("page of ten thousand", prefix, 10_000).await;
        assert_eq!(pods.len(), 26);
        let (pods, _) = api.list("no limit", prefix, 0).await;
        assert_eq!(pods.len(), 27);
        let count = RangeRequest { count_only: true, ..prefix_of(prefix) };
        let count = api.range("count", count).await.expect("a count");
        assert!(count.count == 28 && count.kvs.is_empty() && !count.more);
        let keys = RangeRequest { keys_only: true, ..prefix_of(prefix) };
        let keys = api.range("keys", keys).await.expect("keys");
        assert!(keys.kvs.len() == 28 && keys.kvs.iter().all(|kv| kv.value.is_empty()));
        let future = RangeRequest { revision: 1000, ..prefix_of(prefix) };
        let future = api.range("of the future", future).await.expect_err("nobody knows the future");
        assert_eq!(future.0, OUT_OF_RANGE);
        // A list that streams is tried first, and given up where it is not known.
        let stream =
            api.call::<_, RangeResponse>("a list as a stream", "/etcdserverpb.KV/RangeStream", prefix_of(prefix));
        assert_eq!(stream.await.expect_err("etcd 3.4 has none").0, UNIMPLEMENTED);
    })
    .await;
}

#[tokio::test]
async fn a_watch_hears_every_event_with_what_was_before() {
    same_answers(async |api| {
        let prefix = "/registry/configmaps/";
        let key = |name: &str| format!("{prefix}default/{name}");
        let first = api.create("create", &key("a"), "v1", 0).await;
        let (_, listed) = api.list("list", prefix, 500).await;
        let mut watch = api.watch(prefix, listed).await;
        let updated = api.update("update", &key("a"), "v2", revision(first.header)).await;
        let both = vec![put(&key("b"), "v1", 0), put(&key("c"), "v1", 0)];
        api.txn("two at once", TxnRequest { success: both, ..TxnRequest::default() }).await;
        api.create("elsewhere", "/registry/secrets/default/a", "hidden", 0).await;
        api.delete("delete", &key("a"), revision(updated.header)).await;
        let events = api.events("events", &mut watch, 5).await;
        let [late, update, b, c, delete] = &events[..] else { panic!("{events:?}") };
        let is_new = |event: &Event| {
            let kv = event.kv.as_ref().expect("an event has a key");
            kv.create_revision == kv.mod_revision && event.prev_kv.is_none()
        };
        assert!(is_new(late) && !is_new(update) && is_new(b) && is_new(c));
        assert_eq!(&update.prev_kv.as_ref().expect("what was before").value[..], b"v1");
        assert_eq!(delete.r#type, EventType::Delete as i32);
        let (kv, before) = (delete.kv.as_ref().expect("a key"), delete.prev_kv.as_ref().expect("what was before"));
        assert!(kv.value.is_empty() && kv.create_revision == 0 && kv.mod_revision > 0, "{kv:?}");
        assert_eq!(&before.value[..], b"v2");

        // A second watch on the same stream, from the past: what was before is found there as well.
        watch.create(watch_of(prefix, 1));
        let created = watch.next().await;
        assert!(created.created && created.watch_id == 1, "the server counts watches from 0: {created:?}");
        api.note("second watch", created);
        api.events("the past", &mut watch, 6).await;
        // All watches of the stream have heard everything: this may be said of all of them at once.
        watch.request_progress();
        let progress = watch.next().await;
        assert!(progress.watch_id == -1 && progress.events.is_empty() && revision(progress.header) > 0);
        api.note("progress", progress);
    })
    .await;
}

#[tokio::test]
async fn what_is_compacted_is_refused_in_words_that_clients_know() {
    same_answers(async |api| {
        let prefix = "/registry/events/";
        let mut seen = Vec::new();
        for n in 0..10 {
            seen.push(revision(api.create("create", &format!("{prefix}{n}"), "v1", 0).await.header));
        }
        let (first, version) = api.compact(0, seen[4]).await;
        // Another API server starts, and is told where the first one is.
        let (second, told) = api.compact(0, seen[3]).await;
        assert_eq!((first, version, second, told), (true, 1, false, 1));
        let at = |revision: i64| RangeRequest { revision, limit: 500, ..prefix_of(prefix) };
        let old = api.range("a page that came too late", at(seen[4] - 1)).await.expect_err("compacted");
        assert_eq!((old.0, &old.1[..]), (OUT_OF_RANGE, "etcdserver: mvcc: required revision has been compacted"));
        assert_eq!(api.range("at the revision itself", at(seen[4])).await.expect("still there").kvs.len(), 5);
        let mut watch = Watch::open(&api.client, watch_of(prefix, 1)).await;
        let (created, ended) = (watch.next().await, watch.next().await);
        assert!(created.created && ended.canceled && ended.compact_revision == seen[4], "{ended:?}");
        assert_eq!(revision(ended.header), 0);
        api.note("a watch of what is compacted", (created, ended));
        let again = CompactionRequest { revision: seen[4], physical: false };
        let again = api.call::<_, CompactionResponse>("compacted twice", "/etcdserverpb.KV/Compact", again).await;
        assert_eq!(again.expect_err("it is compacted").0, OUT_OF_RANGE);
        let (turn, version) = api.compact(version, seen[9]).await;
        assert_eq!((turn, version), (true, 2));
    })
    .await;
}

#[tokio::test]
async fn one_lease_holds_many_events_and_takes_them_along() {
    same_answers(async |api| {
        let prefix = "/registry/events/";
        let request = LeaseGrantRequest { ttl: 2, id: 0 };
        let granted = api.client.call("/etcdserverpb.Lease/LeaseGrant", &request).await;
        let granted: LeaseGrantResponse = granted.expect("a lease");
        api.lease = granted.id;
        assert!(granted.ttl == 2 && granted.id > 0 && granted.error.is_empty());
        let (_, listed) = api.list("list", prefix, 500).await;
        let mut watch = api.watch(prefix, listed + 1).await;
        for n in 0..20 {
            let created = api.create("create", &format!("{prefix}{n:02}"), "happened", granted.id).await;
            assert!(created.succeeded);
        }
        assert_eq!(api.get("leased", &format!("{prefix}00")).await.kvs[0].lease, granted.id);
        let created = api.events("created", &mut watch, 20).await;
        assert!(created.iter().all(|event| event.kv.as_ref().is_some_and(|kv| kv.lease == granted.id)));
        let mut gone = api.events("expired", &mut watch, 20).await;
        gone.retain(|event| event.r#type == EventType::Delete as i32);
        assert!(gone.iter().all(|event| event.prev_kv.as_ref().is_some_and(|kv| kv.lease == granted.id)), "{gone:?}");
        assert_eq!(gone.len(), 20);
        let refused = PutRequest { key: "late".into(), lease: granted.id, ..PutRequest::default() };
        let refused =
            api.call::<_, PutResponse>("put with a lease that expired", "/etcdserverpb.KV/Put", refused).await;
        assert_eq!(refused.expect_err("it is gone").0, NOT_FOUND);
    })
    .await;
}

#[tokio::test]
async fn what_is_too_much_is_refused() {
    same_answers(async |api| {
        let large =
            |bytes: usize| PutRequest { key: "k".into(), value: vec![b'x'; bytes].into(), ..PutRequest::default() };
        let put = "/etcdserverpb.KV/Put";
        api.call::<_, PutResponse>("a megabyte", put, large(1 << 20)).await.expect("a megabyte is not too much");
        let refused = api.call::<_, PutResponse>("1.6 MB", put, large(1_600_000)).await.expect_err("too much");
        assert_eq!((refused.0, &refused.1[..]), (INVALID_ARGUMENT, "etcdserver: request is too large"));
        // This is more than etcd's gRPC takes in, and is refused in other words there.
        api.client.call::<PutResponse>(put, &large(5 << 20)).await.expect_err("too much");
        let full =
            AlarmRequest { action: AlarmAction::Activate as i32, alarm: AlarmType::Nospace as i32, member_id: 0 };
        let _: AlarmResponse =
            api.call("an alarm", "/etcdserverpb.Maintenance/Alarm", full).await.expect("it is raised");
        let refused = api.call::<_, PutResponse>("no space", put, large(1)).await.expect_err("no space");
        let expected = (RESOURCE_EXHAUSTED, "etcdserver: mvcc: database space exceeded");
        assert_eq!((refused.0, &refused.1[..]), expected);
        api.get("a read, which needs none", "k").await;
        // The file grows when a batch is written, up to 100 ms after its puts.
        let begun = std::time::Instant::now();
        let status = loop {
            let asked = api.client.call::<StatusResponse>("/etcdserverpb.Maintenance/Status", &StatusRequest {}).await;
            let status = asked.expect("a status");
            if status.db_size >= 1 << 20 {
                break status;
            }
            assert!(begun.elapsed() < Duration::from_secs(10), "{} bytes", status.db_size);
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        api.note("errors", status.errors);
        api.get("health", "/registry/health").await;
    })
    .await;
}

/// API servers ask for progress where the version says that the answer is true. etcd 3.4.23 answers at once, whatever is
/// still to be told (#15220).
#[tokio::test]
async fn progress_on_request_is_said_once_it_is_true() {
    let folder = Folder::new();
    let ours = Seedbed::start(&folder, &free_address());
    let mut api = Apiserver::new(&ours.url).await;
    let status: StatusResponse =
        api.client.call("/etcdserverpb.Maintenance/Status", &StatusRequest {}).await.expect("a status");
    let patch = status.version.strip_prefix("3.4.").and_then(|patch| patch.parse::<u32>().ok());
    assert!(patch.is_some_and(|patch| patch >= 31), "API servers do not use it of {}", status.version);

    for n in 0..2_000 {
        api.create("create", &format!("/registry/pods/{n:04}"), &"x".repeat(512), 0).await;
    }
    let last = revision(api.get("revision", "/registry/pods").await.header);
    let mut watch = api.watch("/registry/pods/", 1).await;
    let mut told = 0;
    let begun = Instant::now();
    watch.request_progress();
    let progress = loop {
        assert!(begun.elapsed() < PATIENCE, "no answer");
        let Ok(response) = tokio::time::timeout(Duration::from_millis(100), watch.next()).await else {
            watch.request_progress();
            continue;
        };
        match response.watch_id {
            -1 => break response,
            _ => told = response.events.last().and_then(|event| event.kv.as_ref()).map_or(told, |kv| kv.mod_revision),
        }
    };
    assert!(progress.events.is_empty());
    assert_eq!((revision(progress.header), told), (last, last), "all of it was told before");
}
