//! The sequential model of etcd: against sequences of others, and each of its rules by itself.
//!
//! Others' sequences lie in the folder `tables` of the one that `SEEDBED_PEERS` names (`../shared/peers` if it is not set).

mod peers;

use bytes::Bytes;
use peers::tables;
use seedbed::pb::etcdserverpb::compare::TargetUnion;
use seedbed::pb::etcdserverpb::request_op::Request as Op;
use seedbed::pb::etcdserverpb::{
    Compare, CompareResult, CompareTarget, DeleteRangeRequest, DeleteRangeResponse, PutRequest, PutResponse,
    RangeRequest, RangeResponse, RequestOp, SortOrder, SortTarget, TxnRequest,
};
use seedbed::pb::mvccpb::KeyValue;
use seedbed_sim::check::foreign::robustness;
use seedbed_sim::check::model::{self, Answer, Detail, Refusal, Reply, Request, Seen, State, States, Timed};
use seedbed_sim::check::wgl::{Budget, Found};

#[test]
fn the_model_agrees_with_every_sequence_of_the_robustness_tests() {
    for (table, rows) in tables("model-") {
        for row in rows {
            let name = row["name"].as_str().expect("a row has a name");
            let mut states = States::default();
            for (place, operation) in row["operations"].as_array().expect("a row has operations").iter().enumerate() {
                let at = format!("{table}, {name:?}, operation {place}");
                let request = robustness::request(&operation["req"]).unwrap_or_else(|error| panic!("{at}: {error}"));
                let seen =
                    robustness::seen(&request, &operation["resp"]).unwrap_or_else(|error| panic!("{at}: {error}"));
                let stepped = states.step(&request, &seen);
                let expect_failure = operation["expectFailure"].as_bool().unwrap_or(false);
                assert_eq!(stepped.is_err(), expect_failure, "{at}: {request:?}\n{seen:?}\n{stepped:?}\n{states:?}");
            }
        }
    }
}

/// Whether an order can exist: no store is ever at revision 0. (One of etcd's benchmarks ends with such an answer, so that the
/// search has to go back over everything.)
fn is_possible(history: &[Timed]) -> bool {
    history.iter().all(|timed| !matches!(&timed.seen, Seen::Answer(Answer { revision: Some(0), .. }, _)))
}

#[test]
fn histories_that_burden_a_checker_are_decided() {
    for (table, lines) in peers::lines("bench_") {
        let read = |line: &String| robustness::operation(line).unwrap_or_else(|error| panic!("{table}: {error}"));
        let history: Vec<Timed> = lines.iter().map(read).collect();
        let (found, steps) = model::search(&history, Budget { steps: 1_000_000, ..Budget::default() });
        println!("{table}: {found:?} in {steps} steps, {} operations", history.len());
        assert_eq!(found == Found::Linearizable, is_possible(&history), "{table}: {found:?}");
        assert!(!matches!(found, Found::Undecided { .. }), "{table}");
    }
}

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn put(key: &str, value: &str) -> PutRequest {
    PutRequest { key: bytes(key), value: bytes(value), ..PutRequest::default() }
}

fn leased(key: &str, lease: i64) -> Request {
    Request::Put(PutRequest { lease, ..put(key, "v") })
}

fn delete(key: &str, range_end: &str) -> DeleteRangeRequest {
    DeleteRangeRequest { key: bytes(key), range_end: bytes(range_end), ..DeleteRangeRequest::default() }
}

fn all() -> RangeRequest {
    RangeRequest { key: bytes("\0"), range_end: bytes("\0"), ..RangeRequest::default() }
}

fn ops(ops: Vec<Op>) -> Vec<RequestOp> {
    ops.into_iter().map(|op| RequestOp { request: Some(op) }).collect()
}

/// A state in which these requests, none of them refused, were executed.
fn after(requests: &[Request]) -> State {
    let mut state = State::remembering();
    for request in requests {
        let (answer, _) = state.execute(request);
        assert!(answer.result.is_ok(), "{request:?}: {answer:?}");
    }
    state
}

fn puts(keys: &[(&str, &str)]) -> State {
    after(&keys.iter().map(|(key, value)| Request::Put(put(key, value))).collect::<Vec<_>>())
}

fn ranged(state: &State, request: RangeRequest) -> RangeResponse {
    match state.clone().execute(&Request::Range(request)).0.result {
        Ok(Reply::Range(response)) => response,
        other => panic!("{other:?}"),
    }
}

fn refusal(state: &State, request: Request) -> Refusal {
    let mut after = state.clone();
    let (answer, events) = after.execute(&request);
    assert_eq!((&after, events), (state, Vec::new()), "what is refused changes nothing");
    answer.result.expect_err("it is refused")
}

fn names(response: &RangeResponse) -> String {
    response.kvs.iter().map(|kv| std::str::from_utf8(&kv.key).expect("text")).collect()
}

#[test]
fn a_key_counts_its_puts_and_starts_over_after_a_delete() {
    let mut state = puts(&[("a", "1"), ("b", "1"), ("a", "2")]);
    let kv = |create_revision, mod_revision, version| KeyValue {
        key: bytes("a"),
        value: bytes("2"),
        create_revision,
        mod_revision,
        version,
        lease: 0,
    };
    assert_eq!(state.keys()[&bytes("a")], kv(2, 4, 2));
    let (answer, events) =
        state.execute(&Request::DeleteRange(DeleteRangeRequest { prev_kv: true, ..delete("a", "") }));
    let response = DeleteRangeResponse { deleted: 1, prev_kvs: vec![kv(2, 4, 2)], header: None };
    assert_eq!(answer, Answer::ok(5, Reply::DeleteRange(response)));
    assert_eq!((events[0].revision, &events[0].kv, &events[0].prev), (5, &None, &Some(kv(2, 4, 2))));
    state.execute(&Request::Put(put("a", "2")));
    assert_eq!(state.keys()[&bytes("a")], kv(6, 6, 1));
}

#[test]
fn only_what_changes_makes_a_revision_and_one_transaction_makes_one() {
    let mut state = puts(&[("a", "1"), ("b", "1")]);
    let (answer, events) = state.execute(&Request::DeleteRange(delete("x", "")));
    assert_eq!((answer.revision, events.len(), state.revision()), (Some(3), 0, 3));
    let both = ops(vec![Op::RequestDeleteRange(delete("a", "c")), Op::RequestPut(put("c", "1"))]);
    let (answer, events) = state.execute(&Request::Txn(TxnRequest { success: both, ..TxnRequest::default() }));
    assert_eq!((answer.revision, state.revision()), (Some(4), 4));
    let told: Vec<_> = events.iter().map(|event| (event.revision, &*event.key, event.kv.is_some())).collect();
    assert_eq!(told, [(4, &b"a"[..], false), (4, b"b", false), (4, b"c", true)]);
}

#[test]
fn a_range_sees_the_revision_that_it_names() {
    let mut state = puts(&[("a", "1"), ("a", "2"), ("b", "1")]);
    let at = |state: &State, revision| ranged(state, RangeRequest { revision, ..all() });
    assert_eq!(names(&at(&state, 1)), "");
    assert_eq!(at(&state, 2).kvs[0].value, "1");
    assert_eq!(
        (names(&at(&state, 3)), names(&at(&state, 4)), names(&at(&state, -1))),
        ("a".into(), "ab".into(), "ab".into())
    );
    assert_eq!(refusal(&state, Request::Range(RangeRequest { revision: 5, ..all() })), Refusal::FutureRevision);
    state.execute(&Request::Compact(3));
    assert_eq!(refusal(&state, Request::Range(RangeRequest { revision: 2, ..all() })), Refusal::Compacted);
    assert_eq!(names(&at(&state, 3)), "a");
}

#[test]
fn what_is_forgotten_fits_any_keys_but_not_any_header() {
    let mut states = States::default();
    states.step(&Request::Put(put("a", "1")), &Seen::Executed(None)).unwrap();
    let old = Request::Range(RangeRequest { revision: 1, ..all() });
    let seen = |revision| Seen::Answer(Answer::ok(revision, Reply::Range(RangeResponse::default())), Detail::Full);
    assert!(states.step(&old, &seen(2)).is_ok());
    assert!(states.step(&old, &seen(1)).is_err());
}

#[test]
fn a_compaction_is_refused_outside_of_the_history() {
    let mut state = puts(&[("a", "1"), ("a", "2")]);
    assert_eq!(refusal(&state, Request::Compact(-1)), Refusal::Compacted);
    assert_eq!(refusal(&state, Request::Compact(4)), Refusal::FutureRevision);
    assert_eq!(state.execute(&Request::Compact(0)).0, Answer::ok(3, Reply::Compact));
    assert_eq!(refusal(&state, Request::Compact(0)), Refusal::Compacted);
    state.execute(&Request::Compact(3));
    assert_eq!((refusal(&state, Request::Compact(3)), state.compacted()), (Refusal::Compacted, Some(3)));
}

#[test]
fn a_range_counts_before_it_limits_filters_and_sorts() {
    let state = puts(&[("a", "3"), ("b", "1"), ("c", "2"), ("b", "1")]);
    let sorted = |target: SortTarget, order: SortOrder, limit| {
        let (sort_target, sort_order) = (target as i32, order as i32);
        ranged(&state, RangeRequest { sort_target, sort_order, limit, ..all() })
    };
    let told = |response: RangeResponse| (names(&response), response.count, response.more);
    use SortTarget::{Create, Key, Mod, Value, Version};
    assert_eq!(told(sorted(Key, SortOrder::None, 2)), ("ab".into(), 3, true));
    assert_eq!(told(sorted(Key, SortOrder::None, 3)), ("abc".into(), 3, false));
    assert_eq!(told(sorted(Key, SortOrder::Descend, 0)), ("cba".into(), 3, false));
    assert_eq!(told(sorted(Version, SortOrder::Descend, 1)), ("b".into(), 3, true));
    assert_eq!(told(sorted(Create, SortOrder::Descend, 0)), ("cba".into(), 3, false));
    assert_eq!(told(sorted(Mod, SortOrder::Ascend, 0)), ("acb".into(), 3, false));
    assert_eq!(told(sorted(Value, SortOrder::Ascend, 1)), ("b".into(), 3, true));
    assert_eq!(names(&sorted(Value, SortOrder::None, 0)), "bca", "a target sorts by itself");
    assert_eq!(names(&sorted(Mod, SortOrder::None, 1)), "a", "but of what the limit let through: a and b");
    assert_eq!(names(&sorted(Value, SortOrder::None, 1)), "b");
    let filtered = RangeRequest { min_mod_revision: 4, max_create_revision: 3, limit: 1, ..all() };
    assert_eq!(told(ranged(&state, filtered)), ("b".into(), 3, false));
    let filtered = RangeRequest { max_mod_revision: 4, min_create_revision: 3, ..all() };
    assert_eq!(told(ranged(&state, filtered)), ("c".into(), 3, false));
    let counted = ranged(&state, RangeRequest { count_only: true, limit: 1, ..all() });
    assert_eq!(counted, RangeResponse { count: 3, ..RangeResponse::default() });
    let keys = ranged(&state, RangeRequest { keys_only: true, ..all() });
    assert!(keys.kvs.iter().all(|kv| kv.value.is_empty() && kv.version > 0));
}

#[test]
fn an_interval_is_a_key_or_a_span_or_has_no_end() {
    let state = puts(&[("a", "1"), ("aa", "1"), ("b", "1"), ("c", "1")]);
    for (key, end, found) in
        [("a", "", "a"), ("a", "b", "aaa"), ("b", "\0", "bc"), ("\0", "\0", "aaabc"), ("b", "b", ""), ("c", "a", "")]
    {
        let request = RangeRequest { key: bytes(key), range_end: bytes(end), ..RangeRequest::default() };
        assert_eq!(names(&ranged(&state, request)), found, "{key:?} {end:?}");
    }
}

#[test]
fn a_put_takes_over_what_it_is_told_to() {
    let lease = Request::LeaseGrant { id: 7, ttl: 60 };
    let mut state = after(&[lease, Request::Put(PutRequest { lease: 7, ..put("a", "1") })]);
    let ignoring = |ignore_value, ignore_lease| {
        Request::Put(PutRequest {
            ignore_value,
            ignore_lease,
            prev_kv: true,
            ..put("a", if ignore_value { "" } else { "2" })
        })
    };
    let before = state.keys()[&bytes("a")].clone();
    let (answer, _) = state.execute(&ignoring(true, false));
    let response = PutResponse { header: None, prev_kv: Some(before) };
    assert_eq!(answer, Answer::ok(3, Reply::Put(response)));
    assert_eq!((state.keys()[&bytes("a")].lease, &state.keys()[&bytes("a")].value), (0, &bytes("1")));
    let mut state = after(&[Request::LeaseGrant { id: 7, ttl: 60 }, leased("a", 7), ignoring(false, true)]);
    assert_eq!((state.keys()[&bytes("a")].lease, &state.keys()[&bytes("a")].value), (7, &bytes("2")));
    state.execute(&Request::LeaseRevoke(7));
    assert!(state.keys().is_empty());
    assert_eq!(refusal(&state, ignoring(true, true)), Refusal::KeyNotFound);
}

#[test]
fn a_lease_takes_its_keys_with_it_in_one_revision() {
    let grant = |id| Request::LeaseGrant { id, ttl: 60 };
    let mut state = after(&[grant(1), grant(2), leased("b", 1), leased("a", 1), leased("c", 1), leased("c", 2)]);
    assert_eq!(refusal(&state, grant(1)), Refusal::LeaseExists);
    assert_eq!(refusal(&state, grant(0)), Refusal::LeaseNotFound);
    assert_eq!(refusal(&state, Request::LeaseGrant { id: 3, ttl: 9_000_000_001 }), Refusal::LeaseTtlTooLarge);
    assert_eq!(refusal(&state, leased("a", 3)), Refusal::LeaseNotFound);
    let (answer, events) = state.execute(&Request::LeaseRevoke(1));
    assert_eq!(answer, Answer::ok(6, Reply::LeaseRevoke));
    assert_eq!(events.iter().map(|event| &*event.key).collect::<Vec<_>>(), [b"a", b"b"]);
    assert_eq!(refusal(&state, Request::LeaseRevoke(1)), Refusal::LeaseNotFound);
    state.execute(&Request::DeleteRange(delete("c", "")));
    assert_eq!(state.execute(&Request::LeaseRevoke(2)).0.revision, Some(7), "it had no key left");
}

fn compare(target: CompareTarget, result: CompareResult, key: &str, range_end: &str, union: TargetUnion) -> Compare {
    Compare {
        target: target as i32,
        result: result as i32,
        key: bytes(key),
        range_end: bytes(range_end),
        target_union: Some(union),
    }
}

#[test]
fn every_comparison_compares_what_it_names() {
    let grant = Request::LeaseGrant { id: 9, ttl: 60 };
    // a: create 2, mod 4, version 2, value "5", lease 9.
    let five = Request::Put(PutRequest { lease: 9, ..put("a", "5") });
    let state = after(&[grant, Request::Put(put("a", "1")), Request::Put(put("b", "1")), five]);
    let targets = [
        (CompareTarget::Version, [1, 2, 3].map(TargetUnion::Version)),
        (CompareTarget::Create, [1, 2, 3].map(TargetUnion::CreateRevision)),
        (CompareTarget::Mod, [3, 4, 5].map(TargetUnion::ModRevision)),
        (CompareTarget::Value, ["4", "5", "6"].map(|value| TargetUnion::Value(bytes(value)))),
        (CompareTarget::Lease, [8, 9, 10].map(TargetUnion::Lease)),
    ];
    let holds = |compare: Compare| match state
        .clone()
        .execute(&Request::Txn(TxnRequest { compare: vec![compare], ..TxnRequest::default() }))
    {
        (Answer { result: Ok(Reply::Txn { succeeded, .. }), .. }, _) => succeeded,
        other => panic!("{other:?}"),
    };
    use CompareResult::{Equal, Greater, Less, NotEqual};
    for (target, values) in targets {
        for (value, expected) in values.into_iter().zip([
            [false, true, false, true],
            [true, false, false, false],
            [false, false, true, true],
        ]) {
            for (result, expected) in [Equal, Greater, Less, NotEqual].into_iter().zip(expected) {
                assert_eq!(holds(compare(target, result, "a", "", value.clone())), expected, "{target:?} {result:?}");
            }
        }
    }
    let version = |key, end, version| compare(CompareTarget::Version, Equal, key, end, TargetUnion::Version(version));
    assert!(!holds(version("a", "c", 2)), "b has another version");
    assert!(holds(compare(CompareTarget::Version, Greater, "a", "c", TargetUnion::Version(0))));
    for (key, end) in [("x", ""), ("x", "z")] {
        assert!(holds(version(key, end, 0)) && !holds(version(key, end, 1)), "nothing lives in {key:?} {end:?}");
        for result in [Equal, NotEqual, Less] {
            assert!(!holds(compare(CompareTarget::Value, result, key, end, TargetUnion::Value(bytes("")))));
        }
    }
}

#[test]
fn a_transaction_decides_first_and_then_sees_what_it_does() {
    let mut state = puts(&[("a", "1")]);
    let is_absent = compare(CompareTarget::Version, CompareResult::Equal, "n", "", TargetUnion::Version(0));
    let range = |revision| Op::RequestRange(RangeRequest { revision, ..all() });
    let nested = TxnRequest {
        compare: vec![is_absent.clone()],
        success: ops(vec![range(0)]),
        failure: ops(vec![Op::RequestDeleteRange(delete("n", ""))]),
    };
    let success = ops(vec![range(0), Op::RequestPut(put("n", "1")), Op::RequestTxn(nested), range(2)]);
    let txn =
        TxnRequest { compare: vec![is_absent], success, failure: ops(vec![Op::RequestDeleteRange(delete("a", ""))]) };
    let (answer, _) = state.execute(&Request::Txn(txn.clone()));
    let Ok(Reply::Txn { succeeded: true, replies }) = &answer.result else { panic!("{answer:?}") };
    let [Reply::Range(before), Reply::Put(_), Reply::Txn { succeeded: true, replies: inner }, Reply::Range(old)] =
        &replies[..]
    else {
        panic!("{replies:?}")
    };
    let [Reply::Range(within)] = &inner[..] else { panic!("{inner:?}") };
    assert_eq!((names(before), names(within), names(old)), ("a".into(), "an".into(), "a".into()));
    assert_eq!(answer.revision, Some(3));
    let (answer, _) = state.execute(&Request::Txn(txn));
    assert!(
        matches!(answer.result, Ok(Reply::Txn { succeeded: false, .. })) && !state.keys().contains_key(&bytes("a"))
    );
}

#[test]
fn a_transaction_does_all_or_nothing() {
    let mut state = puts(&[("a", "1"), ("a", "2")]);
    state.execute(&Request::Compact(3));
    let range = |revision| Op::RequestRange(RangeRequest { revision, ..all() });
    let absent = Op::RequestPut(PutRequest { ignore_value: true, ..put("x", "") });
    let leased = Op::RequestPut(PutRequest { lease: 4, ..put("x", "") });
    for (last, expected) in [
        (range(2), Refusal::Compacted),
        (range(4), Refusal::FutureRevision),
        (absent, Refusal::KeyNotFound),
        (leased, Refusal::LeaseNotFound),
    ] {
        let nested = TxnRequest { success: ops(vec![last]), ..TxnRequest::default() };
        let success = ops(vec![Op::RequestPut(put("b", "1")), Op::RequestTxn(nested)]);
        assert_eq!(refusal(&state, Request::Txn(TxnRequest { success, ..TxnRequest::default() })), expected);
    }
}

fn got(revision: i64, values: &[&str]) -> Seen {
    let kv = |(place, value): (usize, &&str)| KeyValue {
        key: bytes("a"),
        value: bytes(value),
        mod_revision: revision,
        version: revision - 1 - place as i64,
        ..KeyValue::default()
    };
    let kvs: Vec<KeyValue> = values.iter().enumerate().map(kv).collect();
    let count = kvs.len() as i64;
    let response = RangeResponse { kvs, count, ..RangeResponse::default() };
    Seen::Answer(Answer::ok(revision, Reply::Range(response)), Detail::Robustness)
}

#[test]
fn an_unknown_request_forks_the_state_and_an_answer_decides() {
    let mut states = States::default();
    states.step(&Request::Put(put("a", "1")), &Seen::Unknown).unwrap();
    states.step(&Request::Put(put("a", "2")), &Seen::Unknown).unwrap();
    assert_eq!(states.all().len(), 4);
    states.step(&Request::Range(all()), &Seen::Unknown).unwrap();
    assert_eq!(states.all().len(), 4, "a read changes nothing");
    let refuted = states.clone().step(&Request::Range(all()), &got(3, &["1"])).unwrap_err();
    assert_eq!(refuted.len(), 4);
    states.step(&Request::Range(all()), &got(2, &["2"])).unwrap();
    assert_eq!(states.all().len(), 1);
}

#[test]
fn what_was_executed_has_its_revision() {
    let mut states = States::default();
    let request = Request::Put(put("a", "1"));
    assert!(states.step(&request, &Seen::Executed(Some(3))).is_err());
    states.step(&request, &Seen::Executed(Some(2))).unwrap();
    assert!(states.step(&Request::Range(all()), &got(1, &[])).is_err());
}

#[test]
fn the_search_finds_an_order_or_says_that_there_is_none() {
    let timed = |call, ret, request, seen| Timed { call, ret, request, seen };
    let write = |call, value, seen| timed(call, call + 1, Request::Put(put("a", value)), seen);
    let read = |call, seen| timed(call, call + 1, Request::Range(all()), seen);
    let found = |history: &[Timed]| model::search(history, Budget::default()).0;
    let (one, two) = (write(0, "1", Seen::Unknown), write(2, "2", Seen::Unknown));
    assert_eq!(found(&[one.clone(), two.clone(), read(4, got(2, &["2"]))]), Found::Linearizable);
    let late = read(9, got(3, &["1"]));
    assert_eq!(found(&[one.clone(), two.clone(), read(4, got(2, &["2"])), late.clone()]), Found::Linearizable);
    let executed = write(6, "3", Seen::Executed(Some(3)));
    let history = [one, two, read(4, got(2, &["2"])), executed, late];
    assert!(matches!(found(&history), Found::NotLinearizable { .. }), "another put has revision 3");
    assert_eq!(found(&[write(0, "1", Seen::Executed(Some(2))), read(5, got(1, &[]))]), Found::Linearizable);
    assert!(matches!(found(&[write(0, "1", Seen::Executed(Some(3)))]), Found::NotLinearizable { .. }));
}
