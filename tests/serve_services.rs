//! The services around etcd's own, asked by gRPC: the same calls to `seedbed serve` and to a real etcd, the same answers.

#[path = "support/etcd.rs"]
mod etcd;
#[path = "support/folder.rs"]
mod folder;
#[path = "support/grpc.rs"]
mod grpc;
#[path = "support/served.rs"]
mod served;

use etcd::tools;
use folder::Folder;
use grpc::{Answer, Answers, Client};
use prost::Message;
use seedbed::pb::etcdserverpb::{
    DeleteRangeRequest, DeleteRangeResponse, LeaseGrantRequest, LeaseGrantResponse, LeaseRevokeRequest,
    LeaseRevokeResponse, PutRequest, PutResponse, RangeRequest, RangeResponse, ResponseHeader, SortOrder, SortTarget,
};
use seedbed::pb::v3electionpb::{
    CampaignRequest, CampaignResponse, LeaderKey, LeaderRequest, LeaderResponse, ProclaimRequest, ProclaimResponse,
    ResignRequest, ResignResponse,
};
use seedbed::pb::v3lockpb::{LockRequest, LockResponse, UnlockRequest, UnlockResponse};
use served::Seedbed;
use std::future::Future;
use std::time::Duration;

/// Time for a call to reach the member and to wait there.
const MOMENT: Duration = Duration::from_millis(300);

/// A client, and what it heard.
struct Story {
    client: Client,
    lines: Vec<String>,
}

impl Story {
    async fn call<O: Message + Default + std::fmt::Debug>(&mut self, path: &str, request: impl Message) -> Answer<O> {
        let answer: Answer<O> = self.client.call(path, &request).await;
        self.tell(path, &answer);
        answer
    }

    /// A call that is waited for elsewhere.
    fn begin<O: Message + Default + 'static>(
        &self,
        path: &'static str,
        request: impl Message + 'static,
    ) -> tokio::task::JoinHandle<Answer<O>> {
        let client = self.client.clone();
        tokio::spawn(async move { client.call(path, &request).await })
    }

    fn tell<O: std::fmt::Debug>(&mut self, what: &str, answer: &Answer<O>) {
        self.lines.push(without_ids(&format!("{what} {answer:?}")));
    }

    async fn grant(&mut self, id: i64) {
        let grant = LeaseGrantRequest { ttl: 60, id };
        let _: Answer<LeaseGrantResponse> = self.call("/etcdserverpb.Lease/LeaseGrant", grant).await;
    }

    async fn put(&mut self) {
        let put = PutRequest { key: "other".into(), ..Default::default() };
        let _: Answer<PutResponse> = self.call("/etcdserverpb.KV/Put", put).await;
    }

    /// The keys below a name.
    async fn line(&mut self, name: &str) {
        let (key, end) = (format!("{name}/"), format!("{name}0"));
        // By age: a key that is named by a lease of its own may come first or last.
        let (sort_order, sort_target) = (SortOrder::Ascend as i32, SortTarget::Create as i32);
        let range =
            RangeRequest { key: key.into(), range_end: end.into(), sort_order, sort_target, ..Default::default() };
        let _: Answer<RangeResponse> = self.call("/etcdserverpb.KV/Range", range).await;
    }
}

/// Numbers and words that differ between two clusters are long.
fn without_ids(text: &str) -> String {
    let is_long = |word: &str| word.len() >= 10 && word.chars().all(|c| c.is_ascii_hexdigit());
    let mut out = String::new();
    let mut word = String::new();
    for c in text.chars().chain([' ']) {
        if c.is_ascii_alphanumeric() {
            word.push(c);
            continue;
        }
        out.push_str(if is_long(&word) { "ID" } else { &word });
        out.push(c);
        word.clear();
    }
    // A term depends on how many elections there were.
    let mut parts = out.split("raft_term: ");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |out, part| out + "raft_term: N" + part.trim_start_matches(|c: char| c.is_ascii_digit()))
}

/// Both tell the same.
fn compare<F: Future<Output = Story>>(tell: impl Fn(Story) -> F) {
    let Some(tools) = tools() else { return };
    let folder = Folder::new();
    let mut theirs = tools.etcd("default", folder.path("theirs"));
    theirs.start();
    let [address] = tools.addresses(1).try_into().expect("one was asked for");
    let ours = Seedbed::start(&folder, &address);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let told = [theirs.client_url(), ours.url.clone()].map(|url| {
        runtime.block_on(async {
            let story = Story { client: Client::connect(&url).await, lines: Vec::new() };
            tell(story).await.lines
        })
    });
    for (theirs, ours) in told[0].iter().zip(&told[1]) {
        assert_eq!(theirs, ours, "etcd's answer is the left one");
    }
    assert_eq!(told[0].len(), told[1].len());
}

const LOCK: &str = "/v3lockpb.Lock/Lock";
const UNLOCK: &str = "/v3lockpb.Lock/Unlock";

fn lock(name: &'static str, lease: i64) -> LockRequest {
    LockRequest { name: name.into(), lease }
}

#[test]
fn locks_are_etcds() {
    compare(|mut story| async move {
        story.grant(78).await;
        story.grant(79).await;
        let _: Answer<LockResponse> = story.call(LOCK, lock("", 0)).await;
        let _: Answer<LockResponse> = story.call(LOCK, lock("a", 0)).await;
        let _: Answer<LockResponse> = story.call(LOCK, lock("a", 4711)).await;
        let _: Answer<LockResponse> = story.call(LOCK, lock("b", 78)).await;
        story.put().await;
        let _: Answer<LockResponse> = story.call(LOCK, lock("b", 78)).await;
        let given_up = story.begin::<LockResponse>(LOCK, lock("b", 79));
        tokio::time::sleep(MOMENT).await;
        story.line("b").await;
        given_up.abort();
        tokio::time::sleep(MOMENT).await;
        story.line("b").await;
        let waits = story.begin::<LockResponse>(LOCK, lock("b", 79));
        tokio::time::sleep(MOMENT).await;
        let _: Answer<UnlockResponse> = story.call(UNLOCK, UnlockRequest { key: "b/4e".into() }).await;
        let locked = waits.await.expect("it runs to its end");
        story.tell("locked", &locked);
        let _: Answer<UnlockResponse> = story.call(UNLOCK, UnlockRequest { key: "none".into() }).await;
        let _: Answer<UnlockResponse> = story.call(UNLOCK, UnlockRequest::default()).await;
        story
    });
}

fn campaign(lease: i64, value: &'static str) -> CampaignRequest {
    CampaignRequest { name: "e".into(), lease, value: value.into() }
}

async fn tell_observed(mut observed: Answers) -> Vec<String> {
    let mut seen = Vec::new();
    while let Ok(Some(LeaderResponse { header: Some(ResponseHeader { revision, .. }), kv: Some(kv) })) =
        observed.next().await
    {
        seen.push(without_ids(&format!("observed at {revision}: {kv:?}")));
        if seen.len() == 5 {
            break;
        }
    }
    seen
}

#[test]
fn elections_are_etcds() {
    const CAMPAIGN: &str = "/v3electionpb.Election/Campaign";
    const PROCLAIM: &str = "/v3electionpb.Election/Proclaim";
    const RESIGN: &str = "/v3electionpb.Election/Resign";
    const LEADER: &str = "/v3electionpb.Election/Leader";
    const OBSERVE: &str = "/v3electionpb.Election/Observe";
    compare(|mut story| async move {
        story.grant(78).await;
        story.grant(79).await;
        let name = || LeaderRequest { name: "e".into() };
        let _: Answer<LeaderResponse> = story.call(LEADER, name()).await;
        let _: Answer<ProclaimResponse> = story.call(PROCLAIM, ProclaimRequest::default()).await;
        let _: Answer<ResignResponse> = story.call(RESIGN, ResignRequest::default()).await;
        let observed = tokio::spawn(tell_observed(story.client.stream(OBSERVE, &name()).await));
        tokio::time::sleep(MOMENT).await;
        let _: Answer<CampaignResponse> = story.call(CAMPAIGN, campaign(4711, "none")).await;
        let won: Answer<CampaignResponse> = story.call(CAMPAIGN, campaign(78, "one")).await;
        story.put().await;
        let _: Answer<CampaignResponse> = story.call(CAMPAIGN, campaign(78, "one")).await;
        let _: Answer<CampaignResponse> = story.call(CAMPAIGN, campaign(78, "uno")).await;
        let _: Answer<LeaderResponse> = story.call(LEADER, name()).await;
        let waits = story.begin::<CampaignResponse>(CAMPAIGN, campaign(79, "two"));
        tokio::time::sleep(MOMENT).await;
        let given_up = story.begin::<CampaignResponse>(CAMPAIGN, campaign(0, "three"));
        tokio::time::sleep(MOMENT).await;
        story.line("e").await;
        given_up.abort();
        tokio::time::sleep(MOMENT).await;
        let leader = won.expect("it won").leader.expect("it says as what");
        let proclaim = |leader: &LeaderKey, value: &'static str| ProclaimRequest {
            leader: Some(leader.clone()),
            value: value.into(),
        };
        let _: Answer<ProclaimResponse> = story.call(PROCLAIM, proclaim(&leader, "changed")).await;
        let other = LeaderKey { rev: 1, ..leader.clone() };
        let _: Answer<ProclaimResponse> = story.call(PROCLAIM, proclaim(&other, "wrong")).await;
        let _: Answer<ResignResponse> = story.call(RESIGN, ResignRequest { leader: Some(other) }).await;
        let other = LeaderKey { lease: 4711, ..leader.clone() };
        let _: Answer<ProclaimResponse> = story.call(PROCLAIM, proclaim(&other, "wrong")).await;
        let other = LeaderKey { key: "".into(), ..leader.clone() };
        let _: Answer<ProclaimResponse> = story.call(PROCLAIM, proclaim(&other, "wrong")).await;
        let other = LeaderKey { lease: 0, ..leader.clone() };
        let _: Answer<ProclaimResponse> = story.call(PROCLAIM, proclaim(&other, "held by a new lease")).await;
        story.put().await;
        let resign = || ResignRequest { leader: Some(leader.clone()) };
        let _: Answer<ResignResponse> = story.call(RESIGN, resign()).await;
        let won = waits.await.expect("it runs to its end");
        story.tell("won", &won);
        let _: Answer<ResignResponse> = story.call(RESIGN, resign()).await;
        story.line("e").await;
        story.lines.extend(observed.await.expect("it runs to its end"));
        story
    });
}

#[test]
fn who_lost_its_place_while_it_waited_is_told_so() {
    // etcd 3.4 lets it believe that it holds the lock (etcd #11408).
    let folder = Folder::new();
    let [_, a, b, c] = std::process::id().to_be_bytes();
    let address = format!("127.{}.{b}.{c}:{}", 1 + a % 254, 19_900);
    let ours = Seedbed::start(&folder, &address);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mut story = Story { client: Client::connect(&ours.url).await, lines: Vec::new() };
        story.grant(78).await;
        story.grant(79).await;
        let held: Answer<LockResponse> = story.call(LOCK, lock("l", 78)).await;
        let waits = story.begin::<LockResponse>(LOCK, lock("l", 79));
        tokio::time::sleep(MOMENT).await;
        let revoke = LeaseRevokeRequest { id: 79 };
        let _: Answer<LeaseRevokeResponse> = story.call("/etcdserverpb.Lease/LeaseRevoke", revoke).await;
        let delete = DeleteRangeRequest { key: held.expect("nobody else had it").key, ..Default::default() };
        let _: Answer<DeleteRangeResponse> = story.call("/etcdserverpb.KV/DeleteRange", delete).await;
        let waited = waits.await.expect("it runs to its end").map(drop);
        assert_eq!(waited, Err((2, "mutex: session is expired".to_owned())));
    });
}

/// A message of any kind, without a field.
#[derive(Clone, PartialEq, Message)]
struct Empty {}

/// A message with a text, or a number, in its first field.
#[derive(Clone, PartialEq, Message)]
struct Text {
    #[prost(string, tag = "1")]
    text: String,
}

#[derive(Clone, PartialEq, Message)]
struct Number {
    #[prost(int64, tag = "1")]
    number: i64,
}

#[test]
fn health_and_what_there_is_not_are_etcds() {
    const CHECK: &str = "/grpc.health.v1.Health/Check";
    const WATCH: &str = "/grpc.health.v1.Health/Watch";
    compare(|mut story| async move {
        for service in ["", "none", "etcdserverpb.KV"] {
            let _: Answer<Number> = story.call(CHECK, Text { text: service.into() }).await;
            let mut watched = story.client.stream(WATCH, &Text { text: service.into() }).await;
            let first: Answer<Option<Number>> = watched.next().await;
            story.tell(WATCH, &first);
        }
        for path in [
            "/etcdserverpb.Maintenance/Downgrade",
            "/etcdserverpb.Auth/AuthStatus",
            "/etcdserverpb.KV/RangeStream",
            "/v3lockpb.Lock/None",
            "/grpc.health.v1.Health/List",
            "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
            "/a/b/c",
            "/etcdserverpb.KV",
        ] {
            let _: Answer<Empty> = story.call(path, Empty {}).await;
        }
        for bytes in [1_500_000, 2_000_000, 2_200_000, 100_000_000] {
            let put = PutRequest { key: "long".into(), value: vec![7; bytes].into(), ..Default::default() };
            let answer: Answer<PutResponse> = story.client.call("/etcdserverpb.KV/Put", &put).await;
            story.tell(&format!("a put of {bytes} bytes"), &answer);
        }
        story
    });
}
