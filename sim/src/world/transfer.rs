//! Workload `transfer`: money goes from one account to another (lesson 09).
//!
//! Alice, Bob and Carol hold 600 together. A client reads all three, then moves a hundred from one to another, in one
//! transaction that writes both balances as it reckoned them, if they are still what it had read. With
//! `guard = "mod-revisions"` it compares the last changes of *both* accounts. With `guard = "value"` it compares the payer's
//! balance and nothing else, as one does who thinks of overdrafts alone: what somebody else has paid to the same payee
//! meanwhile is then written over.

use super::client::Client;
use super::random::Stream;
use crate::check::asked::Ending;
use crate::check::transfer::{PREFIX, PREFIX_END, TOTAL, balance};
use crate::scenario::{Guard, Workload};
use bytes::Bytes;
use seedbed::api::{Request, Response};
use seedbed::pb::etcdserverpb::{
    Compare, CompareResult, CompareTarget, PutRequest, RangeRequest, RequestOp, TxnRequest, compare::TargetUnion,
    request_op,
};
use seedbed::pb::mvccpb::KeyValue;
use seedbed::time::{Nanos, SECOND};

const OWNERS: [&str; 3] = ["alice", "bob", "carol"];

/// What is moved.
const AMOUNT: i64 = 100;

/// One client of workload `transfer`.
pub(super) async fn transfer(mut client: Client, workload: Workload, mut random: Stream, until: Nanos) {
    let gap = SECOND * u64::from(workload.clients) / u64::from(workload.rate.max(1));
    let until = workload.stop.unwrap_or(until).min(until);
    let mut next = workload.start + random.below(gap.max(1));
    open_accounts(&mut client).await;
    loop {
        next = next.max(client.handle().now());
        if next >= until {
            return;
        }
        client.handle().sleep_until(next).await;
        next += gap;
        let Some(accounts) = read(&mut client).await else { continue };
        let payer = random.below(3) as usize;
        let payee = (payer + 1 + random.below(2) as usize) % 3;
        if balance(&accounts[payer]) >= AMOUNT {
            client.ask(pay(&accounts[payer], &accounts[payee], workload.guard)).await;
        }
    }
}

/// Whoever comes first opens all of them.
async fn open_accounts(client: &mut Client) {
    let key = |owner: &str| Bytes::from([PREFIX, owner.as_bytes()].concat());
    let absent = compare(key(OWNERS[0]), CompareTarget::Create, TargetUnion::CreateRevision(0));
    let open = OWNERS.iter().map(|owner| put(key(owner), TOTAL / 3)).collect();
    client.ask(Request::Txn(TxnRequest { compare: vec![absent], success: open, failure: Vec::new() })).await;
}

/// All accounts, if they have been opened.
async fn read(client: &mut Client) -> Option<Vec<KeyValue>> {
    let (key, range_end) = (Bytes::from_static(PREFIX), Bytes::from_static(PREFIX_END));
    match client.ask(Request::Range(RangeRequest { key, range_end, ..RangeRequest::default() })).await {
        Ending::Answered { response: Response::Range(response), .. } => {
            (response.kvs.len() == OWNERS.len()).then_some(response.kvs)
        }
        _ => None,
    }
}

fn pay(payer: &KeyValue, payee: &KeyValue, guard: Guard) -> Request {
    let unchanged =
        |kv: &KeyValue| compare(kv.key.clone(), CompareTarget::Mod, TargetUnion::ModRevision(kv.mod_revision));
    let compare = match guard {
        Guard::ModRevisions => vec![unchanged(payer), unchanged(payee)],
        Guard::Value => {
            vec![compare(payer.key.clone(), CompareTarget::Value, TargetUnion::Value(payer.value.clone()))]
        }
    };
    let success =
        vec![put(payer.key.clone(), balance(payer) - AMOUNT), put(payee.key.clone(), balance(payee) + AMOUNT)];
    Request::Txn(TxnRequest { compare, success, failure: Vec::new() })
}

fn compare(key: Bytes, target: CompareTarget, value: TargetUnion) -> Compare {
    Compare {
        result: CompareResult::Equal as i32,
        target: target as i32,
        key,
        target_union: Some(value),
        range_end: Bytes::new(),
    }
}

fn put(key: Bytes, balance: i64) -> RequestOp {
    let put = PutRequest { key, value: balance.to_string().into(), ..PutRequest::default() };
    RequestOp { request: Some(request_op::Request::RequestPut(put)) }
}
