//! Random requests of every kind, what a state answers to them, and what the sequential model does.

#![allow(dead_code, reason = "each test binary uses its part")]

use bytes::Bytes;
use proptest::prelude::*;
use seedbed::api::{self, Error, Response};
use seedbed::apply;
use seedbed::mvcc::Store;
use seedbed::pb::etcdserverpb::compare::TargetUnion;
use seedbed::pb::etcdserverpb::request_op::Request as Op;
use seedbed::pb::etcdserverpb::{
    CompactionRequest, Compare, DeleteRangeRequest, LeaseGrantRequest, LeaseRevokeRequest, PutRequest, RangeRequest,
    RequestOp, TxnRequest,
};
use seedbed::raft::{Entry, EntryKind};
use seedbed::time::Now;
use seedbed_sim::check::model::{Answer, Refusal, Reply, Request, State};
use std::collections::BTreeSet;

const KEYS: [&str; 5] = ["a", "b", "bb", "c", "d"];
const LEASES: [i64; 3] = [1, 2, -1];

fn key() -> impl Strategy<Value = Bytes> {
    prop::sample::select(&KEYS[..]).prop_map(Bytes::from)
}

fn range_end() -> impl Strategy<Value = Bytes> {
    prop::sample::select(vec!["", "", "c", "b\0", "\0", "z", "a"]).prop_map(Bytes::from)
}

/// What a revision is drawn from: [`resolve`] makes one of it.
fn revision() -> impl Strategy<Value = i64> {
    prop_oneof![3 => Just(0), 2 => 0..1000i64]
}

/// From a draw, 0 or a revision up to one beyond the newest.
fn resolve(drawn: i64, newest: i64) -> i64 {
    drawn * (newest + 2) / 1000
}

fn range() -> impl Strategy<Value = RangeRequest> {
    let bound = || prop_oneof![6 => Just(0i64), 1 => 1..12i64];
    let flags = (prop::bool::weighted(0.2), prop::bool::weighted(0.1));
    let sort = (0..=2i32, 0..=4i32);
    (key(), range_end(), 0..4i64, revision(), sort, flags, [bound(), bound(), bound(), bound()]).prop_map(
        |(key, range_end, limit, revision, (sort_order, sort_target), (keys_only, count_only), bounds)| {
            let [min_mod_revision, max_mod_revision, min_create_revision, max_create_revision] = bounds;
            RangeRequest {
                key,
                range_end,
                limit,
                revision,
                sort_order,
                sort_target,
                serializable: false,
                keys_only,
                count_only,
                min_mod_revision,
                max_mod_revision,
                min_create_revision,
                max_create_revision,
            }
        },
    )
}

fn put() -> impl Strategy<Value = PutRequest> {
    let keeps = || prop::bool::weighted(0.1);
    (key(), 0..3u8, -1..=2i64, any::<bool>(), keeps(), keeps()).prop_map(
        |(key, value, lease, prev_kv, ignore_value, ignore_lease)| PutRequest {
            key,
            value: if ignore_value { Bytes::new() } else { value.to_string().into() },
            lease: if ignore_lease { 0 } else { lease },
            prev_kv,
            ignore_value,
            ignore_lease,
        },
    )
}

fn delete() -> impl Strategy<Value = DeleteRangeRequest> {
    let delete = |(key, range_end, prev_kv)| DeleteRangeRequest { key, range_end, prev_kv };
    (key(), range_end(), any::<bool>()).prop_map(delete)
}

fn compare() -> impl Strategy<Value = Compare> {
    let union = (0..5i32, 0..8i64).prop_map(|(target, number)| match target {
        0 => (target, TargetUnion::Version(number % 3)),
        1 => (target, TargetUnion::CreateRevision(number)),
        2 => (target, TargetUnion::ModRevision(number)),
        3 => (target, TargetUnion::Value((number % 3).to_string().into())),
        _ => (target, TargetUnion::Lease(number % 3)),
    });
    (0..4i32, union, key(), range_end()).prop_map(|(result, (target, union), key, range_end)| Compare {
        result,
        target,
        key,
        target_union: Some(union),
        range_end,
    })
}

fn txn() -> impl Strategy<Value = TxnRequest> {
    let plain = prop_oneof![
        range().prop_map(Op::RequestRange),
        put().prop_map(Op::RequestPut),
        delete().prop_map(Op::RequestDeleteRange),
    ];
    let txn = |op: BoxedStrategy<Op>| {
        let ops = || prop::collection::vec(op.clone().prop_map(|op| RequestOp { request: Some(op) }), 0..4);
        (prop::collection::vec(compare(), 0..3), ops(), ops()).prop_map(|(compare, success, failure)| TxnRequest {
            compare,
            success,
            failure,
        })
    };
    let plain = plain.boxed();
    let nested = prop_oneof![3 => plain.clone(), 1 => txn(plain).prop_map(Op::RequestTxn)].boxed();
    txn(nested).prop_map(|mut txn| {
        well_formed(&mut txn, &mut BTreeSet::new());
        txn
    })
}

/// Leaves out what etcd would refuse before it is written down: a key that one transaction writes twice.
fn well_formed(txn: &mut TxnRequest, written: &mut BTreeSet<&'static str>) {
    for op in txn.success.iter_mut().chain(&mut txn.failure) {
        let writes: Vec<&str> = match &mut op.request {
            Some(Op::RequestPut(put)) => KEYS.into_iter().filter(|key| put.key == *key).collect(),
            Some(Op::RequestDeleteRange(delete)) => {
                KEYS.into_iter().filter(|key| within(key, &delete.key, &delete.range_end)).collect()
            }
            Some(Op::RequestTxn(nested)) => {
                well_formed(nested, written);
                continue;
            }
            _ => continue,
        };
        if writes.iter().any(|key| written.contains(key)) {
            op.request = None;
        }
        written.extend(writes);
    }
}

fn within(key: &str, from: &[u8], to: &[u8]) -> bool {
    let key = key.as_bytes();
    if to.is_empty() { key == from } else { key >= from && (to == b"\0" || key < to) }
}

/// Any request.
pub(crate) fn request() -> impl Strategy<Value = Request> {
    prop_oneof![
        4 => put().prop_map(Request::Put),
        2 => delete().prop_map(Request::DeleteRange),
        4 => txn().prop_map(Request::Txn),
        5 => range().prop_map(Request::Range),
        1 => revision().prop_map(Request::Compact),
        2 => prop::sample::select(&LEASES[..]).prop_map(|id| Request::LeaseGrant { id, ttl: 60 }),
        1 => prop::sample::select(&LEASES[..]).prop_map(Request::LeaseRevoke),
    ]
}

/// The request with revisions that the store may know.
pub(crate) fn resolved(mut request: Request, newest: i64) -> Request {
    fn ranges_of(txn: &mut TxnRequest, newest: i64) {
        for op in txn.success.iter_mut().chain(&mut txn.failure) {
            match &mut op.request {
                Some(Op::RequestRange(range)) => range.revision = resolve(range.revision, newest),
                Some(Op::RequestTxn(nested)) => ranges_of(nested, newest),
                _ => {}
            }
        }
    }
    match &mut request {
        Request::Range(range) => range.revision = resolve(range.revision, newest),
        Request::Compact(revision) => *revision = resolve(*revision, newest),
        Request::Txn(txn) => ranges_of(txn, newest),
        _ => {}
    }
    request
}

/// A request that changes something, as a client asks it; `None` for one that does not.
pub(crate) fn api_request(request: &Request) -> Option<api::Request> {
    Some(match request.clone() {
        Request::Range(_) | Request::Defragment => return None,
        Request::Put(put) => api::Request::Put(put),
        Request::DeleteRange(delete) => api::Request::DeleteRange(delete),
        Request::Txn(txn) => api::Request::Txn(txn),
        Request::Compact(revision) => api::Request::Compact(CompactionRequest { revision, physical: false }),
        Request::LeaseGrant { id, ttl } => api::Request::LeaseGrant(LeaseGrantRequest { id, ttl }),
        Request::LeaseRevoke(id) => api::Request::LeaseRevoke(LeaseRevokeRequest { id }),
    })
}

/// What the state answers to the request's entry, or to a read.
pub(crate) fn answer(state: &mut apply::State, request: &Request) -> Answer {
    if let Request::Range(range) = request {
        return range_answer(&state.store, range);
    }
    let write = api_request(request).unwrap_or_else(|| panic!("not asked: {request:?}"));
    let index = state.store.consistent_index() + 1;
    let data = apply::encode(index, write).into();
    let applied = state
        .apply(Now::default(), &Entry { kind: EntryKind::Normal, term: 1, index, data })
        .expect("memory does not fail");
    told(applied.revision, applied.result)
}

pub(crate) fn range_answer(store: &Store, request: &RangeRequest) -> Answer {
    told(store.revision(), store.range(request).map(Response::Range).map_err(Error::from))
}

pub(crate) fn told(revision: i64, result: Result<Response, Error>) -> Answer {
    let reply = match result {
        Ok(Response::Range(response)) => Reply::Range(response),
        Ok(Response::Put(response)) => Reply::Put(response),
        Ok(Response::DeleteRange(response)) => Reply::DeleteRange(response),
        Ok(Response::Txn(response)) => Reply::from(response),
        Ok(Response::Compact(_)) => Reply::Compact,
        Ok(Response::LeaseGrant(response)) => Reply::LeaseGrant { id: response.id, ttl: response.ttl },
        Ok(Response::LeaseRevoke(_)) => Reply::LeaseRevoke,
        Err(Error::Compacted) => return Answer::refused(Refusal::Compacted),
        Err(Error::FutureRevision) => return Answer::refused(Refusal::FutureRevision),
        Err(Error::KeyNotFound) => return Answer::refused(Refusal::KeyNotFound),
        Err(Error::LeaseNotFound) => return Answer::refused(Refusal::LeaseNotFound),
        Err(Error::LeaseExists) => return Answer::refused(Refusal::LeaseExists),
        other => panic!("not an answer to what was asked: {other:?}"),
    };
    Answer::ok(revision, reply)
}

pub(crate) fn everything(revision: i64) -> RangeRequest {
    RangeRequest { key: "\0".into(), range_end: "\0".into(), revision, ..RangeRequest::default() }
}

/// Everything at every revision that may be read, and that those before it may not.
pub(crate) fn compare_pasts(store: &Store, model: &mut State) {
    assert_eq!(store.revision(), model.revision());
    for revision in 1..=model.revision() {
        let expected = model.execute(&Request::Range(everything(revision))).0;
        assert_eq!(range_answer(store, &everything(revision)), expected);
    }
}
