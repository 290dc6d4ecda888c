//! Workloads that live on one watch each: `list-watch`, a copy of the store as controllers keep it, and `v2-ring`, the
//! control arm.

use super::client::{Client, Log};
use super::random::Stream;
use super::watch_client::WatchClient;
use crate::check::history::{Outcome, Output};
use crate::check::watch::{Content, Response};
use crate::scenario::{AfterList, OnCompacted, Workload};
use bytes::Bytes;
use seedbed::pb::etcdserverpb::WatchCreateRequest;
use seedbed::pb::mvccpb::{Event, EventType};
use seedbed::time::{MILLISECOND, Nanos};
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

/// A client's copy of the keys of workload `kv`.
#[derive(Clone, Debug, Default)]
pub struct Mirror {
    /// The client.
    pub client: u32,
    /// Keys and values.
    pub keys: BTreeMap<Bytes, Bytes>,
}

/// How often a client looks whether the run is over.
const LOOK_EVERY: Nanos = 100 * MILLISECOND;

/// What a v2 store remembers: so many changes, of all its keys together.
const RING: usize = 1000;

/// A client of workload `list-watch`: it reads all keys, watches from there on, and keeps its copy up to date with what it
/// hears, as a controller's informer does. What it does after the read, and when the member tells it that its history is
/// compacted, are settings: the right way, and what programs were seen to do.
pub(super) async fn list_watch(mut client: Client, workload: Workload, mut random: Stream, until: Nanos) {
    let handle = client.handle().clone();
    handle.sleep_until(workload.start).await;
    let plan = workload.watching;
    let mut keeper = Keeper::new(&client);
    let mut watches = client.watches(plan.window as usize);
    let mut start = keeper.list(&mut client).await;
    let mut follows = false;
    let due = loop {
        let now = handle.now();
        if let Some(due) = handle.closing() {
            break due;
        }
        let pause = if now < until { random.within(plan.pause) } else { 0 };
        if pause > 0 {
            handle.sleep_until(now + pause).await;
        }
        if let Some(from) = start.take() {
            let from = if plan.after_list == AfterList::Now { 0 } else { from };
            watches.watch_on(keeper.subscription, request(from));
            follows = true;
        }
        // It wakes up now and then, to see whether there will be more.
        let Some((_, response)) = watches.next(handle.now() + LOOK_EVERY).await else { continue };
        keeper.hear(&response);
        if matches!(response.content, Content::Canceled { .. }) {
            follows = false;
            start = match plan.on_compacted {
                OnCompacted::ListAgain => keeper.list(&mut client).await,
                OnCompacted::WatchOn => Some(0),
                OnCompacted::GiveUp => None,
            };
        }
    };
    keeper.catch_up(&mut client, watches, follows, (due, plan.on_compacted)).await;
}

fn request(start_revision: i64) -> WatchCreateRequest {
    let (key, range_end) = (Bytes::from_static(b"k"), Bytes::from_static(b"l"));
    WatchCreateRequest { key, range_end, start_revision, ..WatchCreateRequest::default() }
}

/// A mirror in the log, and the subscription that feeds it.
struct Keeper {
    log: Rc<RefCell<Log>>,
    place: usize,
    subscription: u32,
    listed: bool,
}

impl Keeper {
    fn new(client: &Client) -> Keeper {
        let log = client.log().clone();
        let (place, subscription) = {
            let mut log = log.borrow_mut();
            log.mirrors.push(Mirror { client: client.number(), keys: BTreeMap::new() });
            (log.mirrors.len() - 1, log.subscribe())
        };
        Keeper { log, place, subscription, listed: false }
    }

    /// Reads everything. Returns the revision to watch from.
    async fn list(&mut self, client: &mut Client) -> Option<i64> {
        loop {
            if let Outcome::Ok { revision, output: Output::List(pairs), .. } =
                client.list(Bytes::from_static(b"k")).await
            {
                let mut log = self.log.borrow_mut();
                log.mirrors[self.place].keys = pairs.into_iter().map(|(key, kv)| (key, kv.value)).collect();
                if !self.listed {
                    // It wants to hear of all that follows, whatever it does about it.
                    log.wanted_from.insert(self.subscription, revision + 1);
                    self.listed = true;
                }
                return Some(revision + 1);
            }
            let retry_at = client.handle().now() + LOOK_EVERY;
            client.handle().sleep_until(retry_at).await;
        }
    }

    fn hear(&self, response: &Response) {
        let Content::Events(events) = &response.content else { return };
        let keys = &mut self.log.borrow_mut().mirrors[self.place].keys;
        for (event, kv) in events.iter().filter_map(|event| Some((event, event.kv.as_ref()?))) {
            if event.r#type == EventType::Put as i32 {
                keys.insert(kv.key.clone(), kv.value.clone());
            } else {
                keys.remove(&kv.key);
            }
        }
    }

    /// Takes what is still to come.
    async fn catch_up(
        &mut self,
        client: &mut Client,
        watches: WatchClient,
        follows: bool,
        (due, on_compacted): (i64, OnCompacted),
    ) {
        let mut gone = !follows;
        watches
            .hear_all(due, |response| {
                gone |= matches!(response.content, Content::Canceled { .. });
                self.hear(response);
            })
            .await;
        if gone && on_compacted == OnCompacted::ListAgain {
            self.list(client).await;
        }
    }
}

/// A client of workload `v2-ring`: a model of how etcd v2 served watches. A server keeps the last thousand changes of all
/// keys; a consumer asks, one long poll after the other, for the first change from an index on; if the ring has moved past
/// it, the answer is `EventIndexCleared`, and what was in between is lost to it.
pub(super) async fn v2_ring(mut server: WatchClient, log: Rc<RefCell<Log>>, workload: Workload, mut random: Stream) {
    let handle = server.handle().clone();
    handle.sleep_until(workload.start).await;
    server.watch(request(0));
    let (mut ring, mut newest): (VecDeque<Event>, u64) = (VecDeque::new(), 0);
    // The index that the consumer asks for, and when it does.
    let (mut wanted, mut ask_at) = (1, 0);
    while handle.closing().is_none() {
        // Without anything to give, the poll waits for the next change.
        let wake_at = if wanted <= newest { ask_at } else { handle.now() + LOOK_EVERY };
        if let Some((_, Response { content: Content::Events(events), .. })) = server.next(wake_at).await {
            newest += events.len() as u64;
            ring.extend(events);
            ring.drain(..ring.len().saturating_sub(RING));
        }
        if wanted > newest || handle.now() < ask_at {
            continue;
        }
        let oldest = newest + 1 - ring.len() as u64;
        let mut log = log.borrow_mut();
        if wanted < oldest {
            log.ring_lost += newest + 1 - wanted;
            wanted = newest + 1;
        } else {
            log.ring_told += 1;
            wanted += 1;
        }
        drop(log);
        ask_at = handle.now() + random.within(workload.watching.pause);
    }
}
