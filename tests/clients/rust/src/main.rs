//! What the crate `etcd-client` asks of a store, and hears.
//!
//! ```text
//! seedbed-client-rust HOST:PORT
//! ```
//!
//! Asks for keys, watches, leases, locks, elections, maintenance and users, and prints a line for each answer, without
//! ids and times. Two stores that print the same lines cannot be told apart by this client. The store must be new: its
//! revisions are printed. Unlike the clients of other languages, this one asks the *server* for locks and elections
//! (`v3lock`, `v3election`).

use etcd_client::*;
use std::error::Error as AnyError;
use std::fmt::Debug;
use std::future::Future;
use std::time::Duration;
use tokio::time::timeout;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

type Done = Result<(), Box<dyn AnyError>>;

fn say(what: &str, answer: impl Debug) {
    println!("{what}: {answer:?}");
}

/// Says in which words it was refused.
fn refused<T>(what: &str, result: Result<T, Error>) {
    match result {
        Ok(_) => println!("{what}: not refused"),
        Err(Error::GRpcStatus(status)) => println!("{what}: {:?} {}", status.code(), status.message()),
        Err(error) => println!("{what}: {error}"),
    }
}

/// An answer that may be long in coming.
async fn soon<T>(answer: impl Future<Output = Result<T, Error>>) -> Result<T, Box<dyn AnyError>> {
    Ok(timeout(PATIENCE, answer).await.map_err(|_| format!("no answer within {PATIENCE:?}"))??)
}

/// The numbers of a key's life.
fn life(kv: &KeyValue) -> String {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    let (created, changed) = (kv.create_revision(), kv.mod_revision());
    format!("{} = {} created {created} changed {changed} version {}", text(kv.key()), text(kv.value()), kv.version())
}

fn lives(kvs: &[KeyValue]) -> Vec<String> {
    kvs.iter().map(life).collect()
}

fn revision(header: Option<&ResponseHeader>) -> i64 {
    header.map_or(0, ResponseHeader::revision)
}

async fn keys(client: &mut Client) -> Done {
    say("put", revision(client.put("a", "1", None).await?.header()));
    let put = client.put("a", "2", Some(PutOptions::new().with_prev_key())).await?;
    say("put with the one before", put.prev_key().map(life));
    say("get", lives(client.get("a", None).await?.kvs()));
    say("get none", lives(client.get("none", None).await?.kvs()));
    for n in 0..5 {
        client.put(format!("list/{n}"), (9 - n).to_string(), None).await?;
    }
    let list = GetOptions::new().with_prefix();
    let page = client.get("list/", Some(list.clone().with_limit(2))).await?;
    say("page", (lives(page.kvs()), page.count(), page.more()));
    let rest = GetOptions::new().with_range("list0").with_limit(10).with_revision(revision(page.header()));
    say("rest", lives(client.get("list/1\0", Some(rest)).await?.kvs()));
    let count = client.get("list/", Some(list.clone().with_count_only())).await?;
    say("count", (count.kvs().len(), count.count()));
    say("keys", lives(client.get("list/", Some(list.clone().with_keys_only())).await?.kvs()));
    let sorted = list.clone().with_sort(SortTarget::Value, SortOrder::Ascend).with_serializable();
    say("sorted by value", lives(client.get("list/", Some(sorted)).await?.kvs()));
    let changed = list.clone().with_min_mod_revision(5).with_max_create_revision(6);
    say("changed between", lives(client.get("list/", Some(changed)).await?.kvs()));
    say("from a key", lives(client.get("list/3", Some(GetOptions::new().with_from_key())).await?.kvs()));
    refused("of the future", client.get("a", Some(GetOptions::new().with_revision(1000))).await);
    client.put("a", "", Some(PutOptions::new().with_ignore_value())).await?;
    say("ignored value", lives(client.get("a", None).await?.kvs()));
    refused("ignored value of none", client.put("none", "", Some(PutOptions::new().with_ignore_value())).await);
    refused("no key", client.put("", "x", None).await);
    let gone = client.delete("list/0", Some(DeleteOptions::new().with_prev_key())).await?;
    say("delete", (gone.deleted(), lives(gone.prev_kvs()), client.delete("list/0", None).await?.deleted()));
    say("delete a prefix", client.delete("list/", Some(DeleteOptions::new().with_prefix())).await?.deleted());
    Ok(())
}

async fn transactions(client: &mut Client) -> Done {
    let tried = |compares: Vec<Compare>| {
        let put = TxnOp::put("a", "3", Some(PutOptions::new().with_prev_key()));
        let get = TxnOp::get("a", None);
        Txn::new().when(compares).and_then([put, get.clone(), TxnOp::delete("none", None)]).or_else([get])
    };
    let answers = |response: TxnResponse| {
        let answer = |one: &TxnOpResponse| match one {
            TxnOpResponse::Put(put) => format!("put, before: {:?}", put.prev_key().map(life)),
            TxnOpResponse::Get(get) => format!("get {:?}", lives(get.kvs())),
            TxnOpResponse::Delete(delete) => format!("delete {}", delete.deleted()),
            TxnOpResponse::Txn(inner) => format!("txn {}", inner.succeeded()),
        };
        (response.succeeded(), response.op_responses().iter().map(answer).collect::<Vec<_>>())
    };
    let no = vec![Compare::mod_revision("a", CompareOp::Equal, 2)];
    say("txn else", answers(client.txn(tried(no)).await?));
    let yes = vec![
        Compare::value("a", CompareOp::Equal, "2"),
        Compare::version("a", CompareOp::Greater, 1),
        Compare::create_revision("none", CompareOp::Equal, 0),
        Compare::lease("a", CompareOp::Equal, 0),
        Compare::mod_revision("a", CompareOp::Less, 100).with_prefix(),
    ];
    say("txn", answers(client.txn(tried(yes)).await?));
    let inner = TxnOp::txn(tried(vec![Compare::value("a", CompareOp::NotEqual, "3")]));
    say("txn within", answers(client.txn(Txn::new().and_then([inner])).await?));
    let twice = Txn::new().and_then([TxnOp::put("a", "4", None), TxnOp::put("a", "5", None)]);
    refused("the same key twice", client.txn(twice).await);
    Ok(())
}

/// What a watch hears, in a line.
fn heard(response: &WatchResponse) -> String {
    let event = |event: &Event| {
        format!("{:?} {:?} before {:?}", event.event_type(), event.kv().map(life), event.prev_kv().map(life))
    };
    let events: Vec<_> = response.events().iter().map(event).collect();
    let (id, created, canceled) = (response.watch_id(), response.created(), response.canceled());
    let revision = revision(response.header());
    format!(
        "id {id} created {created} canceled {canceled} compacted {} at {revision}: {events:?}",
        response.compact_revision()
    )
}

async fn watches(client: &mut Client) -> Done {
    let start = revision(client.put("w/0", "before", None).await?.header());
    client.put("w/1", "x", None).await?;
    let options = WatchOptions::new().with_prefix().with_start_revision(start).with_prev_key();
    let mut stream = client.watch("w/", Some(options)).await?;
    let next = async |stream: &mut WatchStream| soon(stream.message()).await?.ok_or("the stream ended".into());
    let hear = async |what: &str, stream: &mut WatchStream| {
        let response: Result<WatchResponse, Box<dyn AnyError>> = next(stream).await;
        say(what, heard(&response?));
        Ok::<_, Box<dyn AnyError>>(())
    };
    hear("created", &mut stream).await?;
    hear("the past", &mut stream).await?;
    let together = Txn::new().and_then([TxnOp::put("w/1", "y", None), TxnOp::delete("w/0", None)]);
    client.txn(together).await?;
    hear("of one revision", &mut stream).await?;
    stream.request_progress().await?;
    hear("progress", &mut stream).await?;
    let filters = [WatchFilterType::NoPut];
    stream.watch("w/2", Some(WatchOptions::new().with_filters(filters).with_watch_id(7))).await?;
    hear("with an id of its own", &mut stream).await?;
    stream.cancel(0).await?;
    hear("canceled", &mut stream).await?;
    client.put("w/2", "x", None).await?;
    client.delete("w/2", None).await?;
    hear("only deletes", &mut stream).await?;
    let last = revision(client.put("w/3", "x", None).await?.header());
    client.compact(last, Some(CompactionOptions::new().with_physical())).await?;
    stream.watch("w/1", Some(WatchOptions::new().with_start_revision(2))).await?;
    hear("of what is compacted, created", &mut stream).await?;
    hear("of what is compacted", &mut stream).await?;
    refused("a read of what is compacted", client.get("a", Some(GetOptions::new().with_revision(2))).await);
    refused("compacted twice", client.compact(2, None).await);
    refused("compacted in advance", client.compact(1000, None).await);
    Ok(())
}

async fn leases(client: &mut Client) -> Done {
    let granted = client.lease_grant(600, Some(LeaseGrantOptions::new().with_id(4711))).await?;
    say("grant", (granted.id(), granted.ttl()));
    refused("grant the same", client.lease_grant(600, Some(LeaseGrantOptions::new().with_id(4711))).await);
    client.put("leased", "1", Some(PutOptions::new().with_lease(4711))).await?;
    let left = client.lease_time_to_live(4711, Some(LeaseTimeToLiveOptions::new().with_keys())).await?;
    let keys: Vec<_> = left.keys().iter().map(|key| String::from_utf8_lossy(key)).collect();
    say("time to live", (left.id(), left.granted_ttl(), left.ttl() >= 598, keys));
    let (mut keeper, mut kept) = client.lease_keep_alive(4711).await?;
    keeper.keep_alive().await?;
    say("kept alive", soon(kept.message()).await?.map(|kept| (kept.id(), kept.ttl())));
    say("leases", client.leases().await?.leases().iter().map(LeaseStatus::id).collect::<Vec<_>>());
    let again = PutOptions::new().with_ignore_lease();
    client.put("leased", "2", Some(again)).await?;
    say("still leased", client.get("leased", None).await?.kvs().iter().map(KeyValue::lease).collect::<Vec<_>>());
    client.lease_revoke(4711).await?;
    say("revoked", lives(client.get("leased", None).await?.kvs()));
    refused("revoked twice", client.lease_revoke(4711).await);
    say("unknown", client.lease_time_to_live(4711, None).await?.ttl());
    refused("kept alive no more", client.lease_keep_alive(4711).await);
    refused("put with it", client.put("leased", "1", Some(PutOptions::new().with_lease(4711))).await);
    refused("too long", client.lease_grant(10_000_000_000, None).await);
    let short = client.lease_grant(1, None).await?;
    let mut gone = client.watch("short", Some(WatchOptions::new().with_filters([WatchFilterType::NoPut]))).await?;
    client.put("short", "1", Some(PutOptions::new().with_lease(short.id()))).await?;
    soon(gone.message()).await?;
    say("expired", soon(gone.message()).await?.as_ref().map(heard));
    Ok(())
}

async fn locks(client: &mut Client) -> Done {
    let lease = client.lease_grant(60, None).await?.id();
    let other = client.lease_grant(60, None).await?.id();
    let held = soon(client.lock("it", Some(LockOptions::new().with_lease(lease)))).await?;
    say("lock, by the lease", held.key() == format!("it/{lease:x}").as_bytes());
    let again = soon(client.lock("it", Some(LockOptions::new().with_lease(lease)))).await?;
    say("the same again", again.key() == held.key());
    let mut waiting = client.clone();
    let waiting = tokio::spawn(async move { waiting.lock("it", Some(LockOptions::new().with_lease(other))).await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    say("another waits", !waiting.is_finished());
    client.unlock(held.key()).await?;
    let got = timeout(PATIENCE, waiting).await???;
    say("the one that waited", got.key() == format!("it/{other:x}").as_bytes());
    client.unlock(got.key()).await?;
    let own = soon(client.lock("it", None)).await?;
    say("lock with a lease of the server's", lives(client.get(own.key(), None).await?.kvs()).len());
    client.unlock(own.key()).await?;
    refused("unlock no key", client.unlock("").await);
    refused("lock with an unknown lease", client.lock("it", Some(LockOptions::new().with_lease(4711))).await);
    client.lease_revoke(lease).await?;
    client.lease_revoke(other).await?;
    Ok(())
}

async fn elections(client: &mut Client) -> Done {
    let one = client.lease_grant(60, None).await?.id();
    let two = client.lease_grant(60, None).await?.id();
    refused("no leader", client.leader("who").await);
    let won = soon(client.campaign("who", "first", one)).await?;
    let first = won.leader().ok_or("a campaign that was won names its leader")?.clone();
    let is_by_lease = first.key() == format!("who/{one:x}").as_bytes();
    say("campaign", (first.name_str()?, is_by_lease, first.rev() > 0, first.lease() == one));
    let values = |kv: Option<&KeyValue>| kv.map(|kv| String::from_utf8_lossy(kv.value()).into_owned());
    say("leader", values(client.leader("who").await?.kv()));
    let mut observed = client.observe("who").await?;
    say("observed", soon(observed.message()).await?.map(|seen| values(seen.kv())));
    client.proclaim("first again", Some(ProclaimOptions::new().with_leader(first.clone()))).await?;
    say("observed", soon(observed.message()).await?.map(|seen| values(seen.kv())));
    let mut waiting = client.clone();
    let waiting = tokio::spawn(async move { waiting.campaign("who", "second", two).await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    say("another waits", !waiting.is_finished());
    client.resign(Some(ResignOptions::new().with_leader(first.clone()))).await?;
    let won = timeout(PATIENCE, waiting).await???;
    say("observed", soon(observed.message()).await?.map(|seen| values(seen.kv())));
    refused(
        "proclaim after the end",
        client.proclaim("late", Some(ProclaimOptions::new().with_leader(first.clone()))).await,
    );
    refused("resign twice", client.resign(Some(ResignOptions::new().with_leader(first))).await);
    let second = won.leader().ok_or("a campaign that was won names its leader")?.clone();
    client.resign(Some(ResignOptions::new().with_leader(second))).await?;
    refused("no leader any more", client.leader("who").await);
    refused("campaign with an unknown lease", client.campaign("who", "x", 4711).await);
    client.lease_revoke(one).await?;
    client.lease_revoke(two).await?;
    Ok(())
}

async fn maintenance(client: &mut Client) -> Done {
    let status = client.status().await?;
    let members = client.member_list().await?;
    let me = members.members().first().ok_or("a member is a member")?;
    say("status", (status.leader() == me.id(), status.db_size() > 0, status.raft_applied_index() > 0));
    say("members", (me.name(), me.peer_urls().len(), me.client_urls().len(), me.is_learner()));
    say("hash of the keys", client.hash_kv(0).await?.hash() != 0);
    refused("hash of what is compacted", client.hash_kv(2).await);
    say("hash", client.hash().await?.hash() != 0);
    client.defragment().await?;
    let raised = client.alarm(AlarmAction::Activate, AlarmType::Nospace, None).await?;
    say("alarm", raised.alarms().iter().map(|raised| (raised.alarm(), raised.member_id() == 0)).collect::<Vec<_>>());
    refused("put without room", client.put("a", "no room", None).await);
    let of_all = client.alarm(AlarmAction::Get, AlarmType::None, None).await?;
    say("alarms", of_all.alarms().len());
    let ended = client.alarm(AlarmAction::Deactivate, AlarmType::Nospace, None).await?;
    say("disarmed", ended.alarms().iter().map(AlarmMember::alarm).collect::<Vec<_>>());
    refused("move the leader to nobody", client.move_leader(1).await);
    refused("remove nobody", client.member_remove(1).await);
    refused("promote nobody", client.member_promote(1).await);
    let mut snapshot = client.snapshot().await?;
    let (mut bytes, mut remaining) = (0, 1);
    while let Some(part) = soon(snapshot.message()).await? {
        bytes += part.blob().len();
        remaining = part.remaining_bytes();
    }
    say("snapshot", (bytes % 512, bytes > 4_096, remaining));
    Ok(())
}

async fn users(client: &mut Client, endpoint: &str) -> Done {
    client.role_add("root").await?;
    client.role_add("reader").await?;
    refused("a role again", client.role_add("reader").await);
    client.role_grant_permission("reader", Permission::read("a")).await?;
    client.role_grant_permission("reader", Permission::read_write("r/").with_prefix()).await?;
    for (name, role) in [("root", "root"), ("alice", "reader")] {
        client.user_add(name, "secret", None).await?;
        client.user_grant_role(name, role).await?;
    }
    refused("a user again", client.user_add("alice", "secret", None).await);
    refused("a role that is not", client.user_grant_role("alice", "none").await);
    let may = client.role_get("reader").await?;
    let texts = |may: &Permission| format!("{} to {:?}", String::from_utf8_lossy(may.key()), may.range_end());
    say("reader may", may.permissions().iter().map(texts).collect::<Vec<_>>());
    say("alice is", client.user_get("alice").await?.roles());
    say("users", (client.user_list().await?.users(), client.role_list().await?.roles()));
    client.auth_enable().await?;
    refused("nobody", client.get("a", None).await);
    let login = |name: &str, password: &str| {
        let options = ConnectOptions::new().with_user(name, password);
        Client::connect([endpoint.to_owned()], Some(options))
    };
    refused("a wrong password", login("alice", "wrong").await);
    let mut alice = login("alice", "secret").await?;
    say("alice reads", lives(alice.get("a", None).await?.kvs()));
    refused("alice reads more", alice.get("b", None).await);
    say("alice writes", revision(alice.put("r/1", "mine", None).await?.header()));
    refused("alice writes more", alice.put("a", "mine", None).await);
    refused("alice adds a user", alice.user_add("bob", "secret", None).await);
    refused("alice defragments", alice.defragment().await);
    let mut root = login("root", "secret").await?;
    root.user_change_password("alice", "changed").await?;
    refused("an old password", login("alice", "secret").await);
    refused("an old token", alice.get("a", None).await);
    let permission = RoleRevokePermissionOptions::new();
    root.role_revoke_permission("reader", "a", Some(permission)).await?;
    let mut alice = login("alice", "changed").await?;
    refused("alice reads no more", alice.get("a", None).await);
    root.user_revoke_role("alice", "reader").await?;
    root.role_delete("reader").await?;
    root.user_delete("alice").await?;
    refused("root goes", root.user_delete("root").await);
    root.auth_disable().await?;
    say("anybody", lives(client.get("a", None).await?.kvs()));
    Ok(())
}

#[tokio::main]
async fn main() -> Done {
    let endpoint = std::env::args().nth(1).ok_or("HOST:PORT of a store is expected")?;
    let mut client = Client::connect([endpoint.clone()], None).await?;
    keys(&mut client).await?;
    transactions(&mut client).await?;
    watches(&mut client).await?;
    leases(&mut client).await?;
    locks(&mut client).await?;
    elections(&mut client).await?;
    maintenance(&mut client).await?;
    users(&mut client, &endpoint).await?;
    println!("done");
    Ok(())
}
