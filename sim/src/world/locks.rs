//! Workloads `locks` and `elections`: one at a time, as far as a lease can say (lesson 21).
//!
//! A client of `locks` takes a lock, writes to what it guards, and gives it back. A client of `elections` stands for
//! office, shows a few values as leader, and resigns. Both stall now and then, for longer than their lease may live.
//!
//! What a lock guards takes writes in one of three ways (`fence`):
//! - `owner`: in a transaction that compares whether the holder's key is still the one of its token;
//! - `token`: as a thing outside of etcd would that remembers the highest token it has seen: a lower one is refused;
//! - `none`: always. Then a holder that stalled writes over the work of the next one.

use super::client::Client;
use super::random::Stream;
use super::session::Session;
use crate::check::asked::Ending;
use crate::check::lock::{GUARDED, signed};
use crate::scenario::{Fence, Range64, Workload};
use bytes::Bytes;
use seedbed::api::{Request, Response};
use seedbed::bug::BugSet;
use seedbed::concurrency::{Campaign, Lock, leader, owns};
use seedbed::pb::etcdserverpb::response_op::Response as Done;
use seedbed::pb::etcdserverpb::{
    Compare, CompareResult, CompareTarget, PutRequest, RequestOp, TxnRequest, compare::TargetUnion, request_op,
};
use seedbed::time::{MILLISECOND, Nanos, SECOND};

/// What a holder does between two writes.
const WORK: Range64 = Range64::new(20 * MILLISECOND, 200 * MILLISECOND);

/// One client of workload `locks`.
pub(super) async fn locks(client: Client, workload: Workload, random: Stream, bugs: BugSet, until: Nanos) {
    let (number, fence) = (client.number(), workload.fence);
    let mut session = Session::new(client, workload, random, until);
    let mut pace = Pace::begin(&mut session);
    let mut count = 0;
    while pace.next(&mut session).await {
        let Some(lease) = session.lease().await else { continue };
        let which = session.random.below(session.workload.keys.max(1).into());
        let name = Bytes::from(format!("lock/{which}"));
        let mut lock = Lock::new(&name, lease, bugs);
        if !session.take(&name, lock.line()).await {
            session.end();
            continue;
        }
        let thing: Bytes = [GUARDED, which.to_string().as_bytes()].concat().into();
        for _ in 0..=session.random.below(3) {
            session.stall_perhaps().await;
            count += 1;
            let write = write(&thing, signed(lock.token(), number, count), fence, &lock);
            if !took_effect(&session.client.ask(write).await) || session.is_over() {
                break;
            }
            let work = session.random.within(WORK);
            session.wait(work).await;
        }
        if !took_effect(&session.client.ask(lock.unlock()).await) {
            // It was not there, or nobody can tell: the next place is to be another key.
            session.end();
        }
    }
}

/// One client of workload `elections`.
pub(super) async fn elections(client: Client, workload: Workload, random: Stream, bugs: BugSet, until: Nanos) {
    let number = client.number();
    let mut session = Session::new(client, workload, random, until);
    let mut pace = Pace::begin(&mut session);
    let mut count = 0_u64;
    while pace.next(&mut session).await {
        let Some(lease) = session.lease().await else { continue };
        let name = Bytes::from(format!("office/{}", session.random.below(session.workload.keys.max(1).into())));
        let mut value = || {
            count += 1;
            Bytes::from(format!("c{number}.{count}"))
        };
        let mut campaign = Campaign::new(&name, lease, value(), bugs);
        if !session.take(&name, campaign.line()).await {
            session.end();
            continue;
        }
        for _ in 0..session.random.below(4) {
            session.stall_perhaps().await;
            let answer = session.client.ask(campaign.proclaim(&value())).await;
            let stays = matches!(&answer, Ending::Answered { response, .. } if campaign.proclaimed(response).is_ok());
            session.client.ask(leader(&name)).await;
            if !stays || session.is_over() {
                break;
            }
            let work = session.random.within(WORK);
            session.wait(work).await;
        }
        if !took_effect(&session.client.ask(campaign.resign()).await) {
            session.end();
        }
    }
}

/// How often a client begins anew.
struct Pace {
    gap: Nanos,
    next: Nanos,
}

impl Pace {
    fn begin(session: &mut Session) -> Pace {
        let workload = &session.workload;
        let gap = SECOND * u64::from(workload.clients) / u64::from(workload.rate.max(1));
        let next = workload.start + session.random.below(gap.max(1));
        Pace { gap, next }
    }

    /// Waits for the next round. `false`: there is none.
    async fn next(&mut self, session: &mut Session) -> bool {
        let wait = self.next.saturating_sub(session.now());
        session.wait(wait).await;
        self.next = self.next.max(session.now()) + self.gap;
        !session.is_over()
    }
}

/// A write to what is guarded.
fn write(thing: &Bytes, value: Bytes, fence: Fence, lock: &Lock) -> Request {
    let token = lock.token();
    let guard = match fence {
        Fence::None => None,
        Fence::Owner => Some(lock.is_owner()),
        // Its value begins with the highest token that it has seen: below the next one is what this token may replace.
        Fence::Token => Some(Compare {
            result: CompareResult::Less as i32,
            target: CompareTarget::Value as i32,
            key: thing.clone(),
            target_union: Some(TargetUnion::Value(format!("{:016}", token + 1).into())),
            range_end: Bytes::new(),
        }),
    };
    let put = PutRequest { key: thing.clone(), value, ..PutRequest::default() };
    let op = |request| RequestOp { request: Some(request) };
    let failure = match fence {
        // Nothing there is no value, and compares with none. Whoever comes first creates it.
        Fence::Token => {
            let first = vec![op(request_op::Request::RequestPut(put.clone()))];
            let create = TxnRequest { compare: vec![owns(thing, 0)], success: first, failure: Vec::new() };
            vec![op(request_op::Request::RequestTxn(create))]
        }
        Fence::None | Fence::Owner => Vec::new(),
    };
    let success = vec![op(request_op::Request::RequestPut(put))];
    Request::Txn(TxnRequest { compare: guard.into_iter().collect(), success, failure })
}

/// Whether a guarded transaction did what it was to do, in the first place or in the second.
fn took_effect(ending: &Ending) -> bool {
    let Ending::Answered { response: Response::Txn(response), .. } = ending else { return false };
    let mut nested = response.responses.iter().filter_map(|op| match &op.response {
        Some(Done::ResponseTxn(nested)) => Some(nested.succeeded),
        _ => None,
    });
    response.succeeded || nested.any(|succeeded| succeeded)
}
