//! Puts that keep the value or the lease of a key.

use super::{apply, put_request, small, store};
use seedbed::mvcc::{MvccError, Store};
use seedbed::pb::etcdserverpb::compare::TargetUnion;
use seedbed::pb::etcdserverpb::request_op::Request as Op;
use seedbed::pb::etcdserverpb::{Compare, CompareTarget, PutRequest, RangeRequest, RequestOp, TxnRequest};
use seedbed::pb::mvccpb::KeyValue;

fn keep_value(key: &str) -> PutRequest {
    PutRequest { ignore_value: true, ..put_request(key, "") }
}

fn keep_lease(key: &str, value: &str) -> PutRequest {
    PutRequest { ignore_lease: true, ..put_request(key, value) }
}

fn put(store: &mut Store, request: &PutRequest) -> Result<Option<KeyValue>, MvccError> {
    apply(store, |txn| txn.put(request)).map(|response| response.prev_kv)
}

fn get(store: &Store, key: &str) -> KeyValue {
    let request = RangeRequest { key: key.to_owned().into(), ..Default::default() };
    store.range(&request).expect("memory does not fail").kvs.remove(0)
}

#[test]
fn what_is_kept_stays_and_the_rest_is_new() {
    let mut store = store(small());
    put(&mut store, &PutRequest { lease: 7, ..put_request("a", "1") }).unwrap();
    let lease = PutRequest { lease: 8, prev_kv: true, ..keep_value("a") };
    assert_eq!(put(&mut store, &lease).unwrap().map(|kv| (kv.value, kv.lease)), Some(("1".into(), 7)));
    let kv = get(&store, "a");
    assert_eq!((&kv.value[..], kv.lease, kv.version, kv.mod_revision), (&b"1"[..], 8, 2, 3));
    assert_eq!(put(&mut store, &keep_lease("a", "2")), Ok(None), "prev_kv is given only if asked for");
    let kv = get(&store, "a");
    assert_eq!((&kv.value[..], kv.lease, kv.version, kv.mod_revision), (&b"2"[..], 8, 3, 4));
}

#[test]
fn a_key_that_is_not_there_has_nothing_to_keep() {
    let mut store = store(small());
    for request in [keep_value("a"), keep_lease("a", "1")] {
        assert_eq!(put(&mut store, &request), Err(MvccError::KeyNotFound));
    }
    assert_eq!(store.revision(), 1);
}

#[test]
fn a_transaction_that_keeps_nothing_changes_nothing() {
    let mut store = store(small());
    let op = |put| RequestOp { request: Some(Op::RequestPut(put)) };
    let absent = |version| Compare {
        key: "b".into(),
        target: CompareTarget::Version as i32,
        target_union: Some(TargetUnion::Version(version)),
        ..Default::default()
    };
    let ops = vec![op(put_request("a", "1")), op(keep_value("b"))];
    let taken = TxnRequest { compare: vec![absent(0)], success: ops.clone(), failure: Vec::new() };
    assert_eq!(apply(&mut store, |txn| txn.txn(&taken)), Err(MvccError::KeyNotFound));
    assert_eq!(store.revision(), 1, "no partial effects");
    let other = TxnRequest { compare: vec![absent(1)], success: ops, failure: vec![op(put_request("a", "2"))] };
    assert!(!apply(&mut store, |txn| txn.txn(&other)).expect("the branch that is taken is sound").succeeded);
    assert_eq!(get(&store, "a").value, "2");
}
