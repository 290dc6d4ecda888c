//! What entries make, against the sequential model: random requests of every kind, slices of compactions between them, and
//! restarts at any moment. Every answer is the model's, and a restart changes no answer at any revision.

use bytes::Bytes;
use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};
use seedbed::api::{self, Error, Response};
use seedbed::apply;
use seedbed::backend::Memory;
use seedbed::bug::{Bug, BugSet};
use seedbed::lease;
use seedbed::mvcc::{Store, StoreConfig};
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

/// One thing that happens to a store.
#[derive(Clone, Debug)]
enum Step {
    Request(Request),
    /// Slices of compaction.
    Slices(usize),
    /// A restart; everything was durable.
    Restart,
}

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

fn step() -> impl Strategy<Value = Step> {
    let request = prop_oneof![
        4 => put().prop_map(Request::Put),
        2 => delete().prop_map(Request::DeleteRange),
        4 => txn().prop_map(Request::Txn),
        5 => range().prop_map(Request::Range),
        1 => revision().prop_map(Request::Compact),
        2 => prop::sample::select(&LEASES[..]).prop_map(|id| Request::LeaseGrant { id, ttl: 60 }),
        1 => prop::sample::select(&LEASES[..]).prop_map(Request::LeaseRevoke),
    ];
    prop_oneof![8 => request.prop_map(Step::Request), 1 => (1..4usize).prop_map(Step::Slices), 1 => Just(Step::Restart)]
}

/// The request with revisions that the store may know.
fn resolved(mut request: Request, newest: i64) -> Request {
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

/// What the state answers to the request's entry, or to a read.
fn answer(state: &mut apply::State, request: &Request) -> Answer {
    let write = match request.clone() {
        Request::Range(range) => return range_answer(&state.store, &range),
        Request::Put(put) => api::Request::Put(put),
        Request::DeleteRange(delete) => api::Request::DeleteRange(delete),
        Request::Txn(txn) => api::Request::Txn(txn),
        Request::Compact(revision) => api::Request::Compact(CompactionRequest { revision, physical: false }),
        Request::LeaseGrant { id, ttl } => api::Request::LeaseGrant(LeaseGrantRequest { id, ttl }),
        Request::LeaseRevoke(id) => api::Request::LeaseRevoke(LeaseRevokeRequest { id }),
        Request::Defragment => panic!("not asked: {request:?}"),
    };
    let index = state.store.consistent_index() + 1;
    let data = apply::encode(index, write).into();
    let applied = state
        .apply(Now::default(), &Entry { kind: EntryKind::Normal, term: 1, index, data })
        .expect("memory does not fail");
    told(applied.revision, applied.result)
}

fn range_answer(store: &Store, request: &RangeRequest) -> Answer {
    told(store.revision(), store.range(request).map(Response::Range).map_err(Error::from))
}

fn told(revision: i64, result: Result<Response, Error>) -> Answer {
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

fn everything(revision: i64) -> RangeRequest {
    RangeRequest { key: "\0".into(), range_end: "\0".into(), revision, ..RangeRequest::default() }
}

/// What the engine holds makes this state.
fn restarted(state: &mut apply::State, config: StoreConfig) -> apply::State {
    let engine = state.store.engine_mut();
    let mut image = engine.begin_image();
    let mut bytes = Vec::new();
    while let Some(chunk) = engine.image_chunk(&mut image, 4096).expect("memory does not fail") {
        bytes.extend(chunk);
    }
    engine.end_image(image);
    let engine = Memory::from_image(&bytes).expect("an engine's image restores");
    apply::State::restore(Box::new(engine), config, lease::Config::default()).expect("a state's own records restore")
}

/// Everything at every revision that may be read, and that those before it may not.
fn compare_pasts(store: &Store, model: &mut State) {
    assert_eq!(store.revision(), model.revision());
    for revision in 1..=model.revision() {
        let expected = model.execute(&Request::Range(everything(revision))).0;
        assert_eq!(range_answer(store, &everything(revision)), expected);
    }
}

fn compare_runs(steps: Vec<Step>, bugs: BugSet) {
    // Small chunks and batches, so that little data crosses their borders.
    let config = StoreConfig { restore_chunk: 2, compaction_batch: 2, bugs };
    let mut state = apply::State::new(Box::new(Memory::new()), config, lease::Config::default());
    let mut model = State::remembering();
    for step in steps {
        match step {
            Step::Request(request) => {
                let request = resolved(request, model.revision());
                let (expected, _) = model.execute(&request);
                assert_eq!(answer(&mut state, &request), expected, "{request:?}");
            }
            Step::Slices(slices) => {
                for _ in 0..slices {
                    state.store.compact_slice().expect("memory does not fail");
                }
            }
            Step::Restart => {
                state = restarted(&mut state, config);
                compare_pasts(&state.store, &mut model);
            }
        }
    }
    compare_pasts(&state.store, &mut model);
    state = restarted(&mut state, config);
    compare_pasts(&state.store, &mut model);
}

fn set(key: &str, value: &str) -> Step {
    let (key, value) = (Bytes::copy_from_slice(key.as_bytes()), Bytes::copy_from_slice(value.as_bytes()));
    Step::Request(Request::Put(PutRequest { key, value, ..PutRequest::default() }))
}

#[test]
fn a_target_without_an_order_sorts_what_the_limit_let_through_and_one_more() {
    let mut steps = vec![set("a", "3"), set("b", "2"), set("c", "1")];
    for sort_target in 0..=4 {
        let sorted = |limit| Step::Request(Request::Range(RangeRequest { limit, sort_target, ..everything(0) }));
        steps.extend((0..4).map(sorted));
    }
    compare_runs(steps, BugSet::NONE);
}

#[test]
fn a_comparison_over_an_interval_in_which_nothing_lives_compares_with_zeros() {
    for (target, union) in [
        (0, TargetUnion::Version(0)),
        (0, TargetUnion::Version(1)),
        (3, TargetUnion::Value(Bytes::new())),
        (4, TargetUnion::Lease(1)),
    ] {
        for range_end in ["", "z", "\0"] {
            let target_union = Some(union.clone());
            let compare =
                vec![Compare { result: 0, target, key: "x".into(), target_union, range_end: range_end.into() }];
            let txn = TxnRequest { compare, ..TxnRequest::default() };
            compare_runs(vec![set("a", "1"), Step::Request(Request::Txn(txn))], BugSet::NONE);
        }
    }
}

/// The newest records, all of them tombstones or buried by one, are removed; the mark that says so is not set yet.
fn tombstones_gone() -> Vec<Step> {
    let delete = DeleteRangeRequest { key: "a".into(), ..DeleteRangeRequest::default() };
    // Of the newest revision 3: see `resolve`.
    let compact = Step::Request(Request::Compact(700));
    vec![set("a", "1"), Step::Request(Request::DeleteRange(delete)), compact, Step::Slices(1), Step::Restart]
}

#[test]
fn a_revision_that_turns_back_is_found() {
    compare_runs(tombstones_gone(), BugSet::NONE);
    let broken = || compare_runs(tombstones_gone(), BugSet::NONE.with(Bug::CompactLosesLatestRev));
    assert!(std::panic::catch_unwind(broken).is_err());
}

#[test]
fn random_runs_find_a_restore_that_loses_keys() {
    let config =
        ProptestConfig { cases: 3000, max_shrink_iters: 0, failure_persistence: None, ..ProptestConfig::default() };
    let random = TestRng::deterministic_rng(RngAlgorithm::default());
    let found = TestRunner::new_with_rng(config, random).run(&prop::collection::vec(step(), 1..40), |steps| {
        compare_runs(steps, BugSet::NONE.with(Bug::ChunkRestoreClobbers));
        Ok(())
    });
    assert!(found.is_err(), "etcd #8127 does not show");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_store_answers_as_the_model_does(steps in prop::collection::vec(step(), 1..40)) {
        compare_runs(steps, BugSet::NONE);
    }
}
