//! What the answers within a transaction's say of the revision, as a real etcd 3.4.23 said it.

use super::*;
use seedbed::pb::etcdserverpb::compare::TargetUnion;
use seedbed::pb::etcdserverpb::{
    Compare, CompareTarget, RequestOp, ResponseHeader, TxnRequest, TxnResponse, request_op, response_op,
};

fn op(request: request_op::Request) -> RequestOp {
    RequestOp { request: Some(request) }
}

fn get(key: &str) -> RequestOp {
    op(request_op::Request::RequestRange(RangeRequest { key: bytes(key), ..Default::default() }))
}

fn set(key: &str) -> RequestOp {
    op(request_op::Request::RequestPut(put_request(key, "1")))
}

fn unset(key: &str) -> RequestOp {
    op(request_op::Request::RequestDeleteRange(DeleteRangeRequest { key: bytes(key), ..Default::default() }))
}

fn nested(ops: Vec<RequestOp>) -> RequestOp {
    op(request_op::Request::RequestTxn(TxnRequest { success: ops, ..Default::default() }))
}

/// The revisions in the headers of the answers, in order; a nested transaction's own is said to be 0, and those within
/// follow. Nothing else stands in these headers.
fn revisions_in(response: &TxnResponse) -> Vec<i64> {
    let mut revisions = Vec::new();
    for op in &response.responses {
        let (header, inner) = match op.response.as_ref().expect("an answer") {
            response_op::Response::ResponseRange(range) => (range.header, None),
            response_op::Response::ResponsePut(put) => (put.header, None),
            response_op::Response::ResponseDeleteRange(delete) => (delete.header, None),
            response_op::Response::ResponseTxn(nested) => (nested.header, Some(nested)),
        };
        let header = header.expect("every answer has one");
        assert_eq!(header, ResponseHeader { revision: header.revision, ..ResponseHeader::default() });
        revisions.push(header.revision);
        revisions.extend(inner.into_iter().flat_map(revisions_in));
    }
    revisions
}

#[test]
fn an_answer_names_the_revision_as_it_was_then() {
    let mut store = store(small());
    put(&mut store, "x", "1");
    let mut run =
        |request: TxnRequest| revisions_in(&apply(&mut store, |txn| txn.txn(&request)).expect("it can be done"));
    let mut all = |ops| run(TxnRequest { success: ops, ..Default::default() });
    // At revision 2.
    assert_eq!(all(vec![get("x"), set("y"), get("y"), unset("x"), unset("none"), get("x")]), [2, 3, 3, 3, 3, 3]);
    assert_eq!(all(vec![nested(vec![get("x"), get("y")]), get("y"), set("z")]), [0, 3, 3, 3, 4]);
    assert_eq!(all(vec![set("a"), nested(vec![get("a"), set("b")]), get("b")]), [5, 0, 5, 5, 5]);
    assert_eq!(all(vec![unset("none"), get("b"), nested(vec![])]), [5, 5, 0]);
    let never = Compare {
        key: bytes("none"),
        target: CompareTarget::Create as i32,
        target_union: Some(TargetUnion::CreateRevision(5)),
        ..Default::default()
    };
    let failed = TxnRequest { compare: vec![never], success: vec![], failure: vec![get("b"), set("c"), get("c")] };
    assert_eq!(run(failed), [5, 6, 6]);
}
