//! A session: a lease that is kept alive, and a way to the head of a line (lesson 21).
//!
//! One program does all of it, as one process would: whoever stalls neither renews nor hears. That its lease is over a
//! session learns when it renews; and as etcd's library it then goes on waiting in its line, for its turn or the news that
//! it is out.

use super::client::Client;
use super::random::Stream;
use super::watch_client::WatchClient;
use crate::check::asked::Ending;
use crate::check::lock::Taken;
use crate::check::watch::Content;
use crate::scenario::Workload;
use bytes::Bytes;
use seedbed::api::{Request, Response};
use seedbed::bug::BugSet;
use seedbed::concurrency::{Line, Next, leave};
use seedbed::pb::etcdserverpb::{FilterType, LeaseGrantRequest, LeaseKeepAliveRequest, WatchCreateRequest};
use seedbed::pb::mvccpb::EventType;
use seedbed::time::{MILLISECOND, Nanos, SECOND};

/// A pause after what failed.
const PAUSE: Nanos = 100 * MILLISECOND;

/// Every how many-th time somebody stalls who may.
const STALLS: u64 = 4;

/// See the module.
pub(super) struct Session {
    pub(super) client: Client,
    pub(super) random: Stream,
    pub(super) workload: Workload,
    watches: WatchClient,
    /// The lease, and when it is to be renewed; a time that never comes, if it is over.
    lease: Option<(i64, Nanos)>,
    until: Nanos,
}

impl Session {
    pub(super) fn new(client: Client, workload: Workload, random: Stream, until: Nanos) -> Session {
        let until = workload.stop.unwrap_or(until).min(until);
        let watches = client.watches(workload.watching.window as usize);
        Session { client, random, workload, watches, lease: None, until }
    }

    pub(super) fn now(&self) -> Nanos {
        self.client.handle().now()
    }

    pub(super) fn is_over(&self) -> bool {
        self.now() >= self.until
    }

    /// Waits, and keeps the lease alive meanwhile.
    pub(super) async fn wait(&mut self, lasting: Nanos) {
        let wake_at = (self.now() + lasting).min(self.until);
        while self.now() < wake_at {
            let renew_at = self.lease.map_or(Nanos::MAX, |(_, at)| at);
            self.client.handle().sleep_until(wake_at.min(renew_at)).await;
            self.renew_if_due().await;
        }
    }

    /// Now and then the whole process stands still, and nothing is renewed.
    pub(super) async fn stall_perhaps(&mut self) {
        if self.random.below(STALLS) == 0 {
            let wake_at = self.now() + self.random.within(self.workload.stall);
            self.client.handle().sleep_until(wake_at.min(self.until)).await;
        }
    }

    /// The session's lease: the one that it has, or a new one. `None`: not now.
    pub(super) async fn lease(&mut self) -> Option<i64> {
        if let Some((lease, _)) = self.lease {
            return Some(lease);
        }
        let ttl = (self.workload.ttl / SECOND) as i64;
        let granted = self.client.ask(Request::LeaseGrant(LeaseGrantRequest { id: 0, ttl })).await;
        let Ending::Answered { response: Response::LeaseGrant(granted), .. } = granted else {
            self.client.handle().sleep_until(self.now() + PAUSE).await;
            return None;
        };
        self.lease = Some((granted.id, self.now() + self.workload.ttl / 3));
        Some(granted.id)
    }

    /// Forgets its lease: the next one is another.
    pub(super) fn end(&mut self) {
        self.lease = None;
    }

    async fn renew_if_due(&mut self) {
        let Some((id, at)) = self.lease.filter(|(_, at)| *at <= self.now()) else { return };
        let renewed = self.client.ask(Request::LeaseKeepAlive(LeaseKeepAliveRequest { id })).await;
        let is_over = matches!(
            renewed,
            Ending::Answered { response: Response::LeaseKeepAlive(ref renewal), .. } if renewal.ttl <= 0
        );
        let next = at.max(self.now()) + self.workload.ttl / 3;
        self.lease = Some((id, if is_over { Nanos::MAX } else { next }));
    }

    /// Goes to the head of a line. Returns whether it got there; otherwise it is not in the line any more.
    pub(super) async fn take(&mut self, name: &Bytes, line: &mut Line) -> bool {
        loop {
            if self.is_over() {
                if line.token() > 0 {
                    self.client.ask(leave(line.key(), line.token())).await;
                }
                return false;
            }
            match line.next() {
                Next::First(held) => {
                    let (client, key) = (self.client.number(), line.key().clone());
                    let taken = Taken { name: name.clone(), client, key, token: held.token, revision: held.revision };
                    self.client.log().borrow_mut().taken.push(taken);
                    return true;
                }
                Next::Out => return false,
                Next::Ask(request) => match self.client.ask(request).await {
                    Ending::Answered { response, .. } => line.answered(&response),
                    _ => self.client.handle().sleep_until(self.now() + PAUSE).await,
                },
                Next::Await { key, from } => {
                    self.wait_for_delete(key, from).await;
                    line.gone();
                }
            }
            self.renew_if_due().await;
        }
    }

    /// Watches a key until it is deleted, or until nobody can tell.
    async fn wait_for_delete(&mut self, key: Bytes, start_revision: i64) {
        let filters = vec![FilterType::Noput as i32];
        let watch = WatchCreateRequest { key, start_revision, filters, ..WatchCreateRequest::default() };
        let number = self.watches.watch(watch);
        self.stall_perhaps().await;
        while !self.is_over() {
            self.renew_if_due().await;
            let wake_at = self.lease.map_or(Nanos::MAX, |(_, at)| at).min(self.until);
            let Some((heard, response)) = self.watches.next(wake_at).await else { continue };
            let is_over = match response.content {
                Content::Events(events) => events.iter().any(|event| event.r#type == EventType::Delete as i32),
                Content::Canceled { .. } => true,
                Content::Created | Content::Progress => false,
            };
            if heard == number && is_over {
                break;
            }
        }
        self.watches.cancel(number);
    }
}

/// Bugs of clients: those that are switched on for nobody in particular.
pub(super) fn bugs_of_clients(switches: &[crate::scenario::BugSwitch]) -> BugSet {
    let everywhere = switches.iter().filter(|switch| switch.member.is_none());
    everywhere.fold(BugSet::NONE, |set, switch| set.with(switch.bug))
}
