//! Requests of any kind, judged by the log: right histories pass, and each kind of wrong one is refused.

use bytes::Bytes;
use seedbed::api::{Error, Request, Response};
use seedbed::pb::etcdserverpb::{
    DeleteRangeRequest, DeleteRangeResponse, LeaseGrantRequest, LeaseGrantResponse, LeaseRevokeRequest, PutRequest,
    PutResponse, RangeRequest, RangeResponse, RequestOp, ResponseHeader, TxnRequest, TxnResponse, request_op,
};
use seedbed::pb::mvccpb::KeyValue;
use seedbed::raft::{Entry, EntryKind};
use seedbed_sim::check::asked::{Asked, Ending};
use seedbed_sim::check::by_log::{self, ASKED};
use seedbed_sim::check::log::Committed;

fn header(revision: i64) -> Option<ResponseHeader> {
    Some(ResponseHeader { revision, ..ResponseHeader::default() })
}

fn put_request(prev_kv: bool, lease: i64) -> Request {
    Request::Put(PutRequest { key: "a".into(), value: "1".into(), prev_kv, lease, ..PutRequest::default() })
}

fn kv(create_revision: i64, mod_revision: i64, version: i64, lease: i64) -> KeyValue {
    KeyValue { key: "a".into(), create_revision, mod_revision, version, value: "1".into(), lease }
}

fn read_request(revision: i64, serializable: bool) -> Request {
    Request::Range(RangeRequest { key: "a".into(), revision, serializable, ..RangeRequest::default() })
}

fn read(revision: i64, kvs: Vec<KeyValue>) -> Response {
    let count = kvs.len() as i64;
    Response::Range(RangeResponse { header: header(revision), kvs, count, more: false })
}

/// Asked in the order of the list, one after the other, ten apart; answered five later.
fn asked(requests: Vec<(Request, Response)>) -> Vec<Asked> {
    let asked = |(at, (request, response)): (u64, (Request, Response))| Asked {
        client: 0,
        member: 0,
        call: at * 10,
        request,
        ending: Ending::Answered { ret: at * 10 + 5, response },
    };
    (1..).zip(requests).map(asked).collect()
}

fn committed(index: u64, request: Request, operation: Option<u32>, revision: i64) -> Committed {
    let data = seedbed::apply::encode(index, request).into();
    let entry = Entry { kind: EntryKind::Normal, term: 2, index, data };
    Committed { entry, at: 0, revision, operation: operation.map(|number| ASKED | number) }
}

/// A lease, a key put on it twice, a read, a read of the past, the lease's end by its leader, a read, a txn that puts and
/// deletes nothing.
fn story() -> (Vec<Committed>, Vec<Asked>) {
    let grant = Request::LeaseGrant(LeaseGrantRequest { id: 7, ttl: 1 });
    let revoke = Request::LeaseRevoke(LeaseRevokeRequest { id: 7 });
    let delete = DeleteRangeRequest { key: Bytes::from_static(b"b"), ..DeleteRangeRequest::default() };
    let op = RequestOp { request: Some(request_op::Request::RequestDeleteRange(delete)) };
    let txn = Request::Txn(TxnRequest { compare: vec![], success: vec![op], failure: vec![] });
    let deleted = DeleteRangeResponse { header: header(4), ..DeleteRangeResponse::default() };
    let response = seedbed::pb::etcdserverpb::ResponseOp {
        response: Some(seedbed::pb::etcdserverpb::response_op::Response::ResponseDeleteRange(deleted)),
    };
    let log = vec![
        committed(1, grant.clone(), Some(0), 1),
        committed(2, put_request(false, 7), Some(1), 2),
        committed(3, put_request(true, 7), Some(2), 3),
        committed(4, revoke, None, 4),
        committed(5, txn.clone(), Some(6), 4),
    ];
    let granted = LeaseGrantResponse { header: header(1), id: 7, ttl: 2, error: String::new() };
    let put = |revision, prev_kv| Response::Put(PutResponse { header: header(revision), prev_kv });
    let asked = asked(vec![
        (grant, Response::LeaseGrant(granted)),
        (put_request(false, 7), put(2, None)),
        (put_request(true, 7), put(3, Some(kv(2, 2, 1, 7)))),
        (read_request(0, false), read(3, vec![kv(2, 3, 2, 7)])),
        (read_request(2, false), read(4, vec![kv(2, 2, 1, 7)])),
        (read_request(0, false), read(4, vec![])),
        (txn, Response::Txn(TxnResponse { header: header(4), succeeded: true, responses: vec![response] })),
    ]);
    (log, asked)
}

fn refused(words: &str, spoil: impl FnOnce(&mut Vec<Committed>, &mut Vec<Asked>)) {
    let (mut log, mut asked) = story();
    spoil(&mut log, &mut asked);
    let wrong = by_log::check(&log, &asked).expect_err("the checker must object");
    assert!(wrong.sentence.contains(words), "{}", wrong.sentence);
}

fn answer(asked: &mut [Asked], number: usize, response: Response) {
    asked[number].ending = Ending::Answered { ret: asked[number].ret().expect("it was answered"), response };
}

#[test]
fn what_the_log_explains_is_right() {
    let (log, asked) = story();
    assert_eq!(by_log::check(&log, &asked), Ok(7));
}

#[test]
fn a_wrong_answer_of_any_kind_is_refused() {
    let put = |revision, prev_kv| Response::Put(PutResponse { header: header(revision), prev_kv });
    refused("a wrong answer", |_, asked| answer(asked, 2, put(3, None)));
    refused("a wrong answer", |_, asked| answer(asked, 2, put(3, Some(kv(2, 2, 2, 7)))));
    refused("a wrong answer", |_, asked| answer(asked, 1, put(3, None)));
    refused("a wrong answer", |_, asked| answer(asked, 3, read(3, vec![kv(2, 3, 2, 0)])));
    refused("a wrong answer", |_, asked| answer(asked, 3, read(3, vec![])));
    refused("a wrong answer", |_, asked| answer(asked, 4, read(4, vec![kv(2, 3, 2, 7)])));
    refused("a wrong answer", |_, asked| answer(asked, 5, read(4, vec![kv(2, 3, 2, 7)])));
    let grant = |id, ttl| Response::LeaseGrant(LeaseGrantResponse { header: header(1), id, ttl, error: String::new() });
    refused("a wrong answer", |_, asked| answer(asked, 0, grant(8, 2)));
    refused("a wrong answer", |_, asked| answer(asked, 0, grant(7, 0)));
    let txn = TxnResponse { header: header(4), succeeded: false, responses: vec![] };
    refused("a wrong answer", |_, asked| answer(asked, 6, Response::Txn(txn)));
    refused("another kind", |_, asked| answer(asked, 6, Response::Nothing));
    refused("a wrong answer", |_, asked| {
        asked[1].ending = Ending::Refused { ret: 25, error: Error::LeaseNotFound };
    });
}

#[test]
fn an_answer_that_the_log_does_not_know_is_refused() {
    refused("an answered write is not in the log", |log, _| log[1].operation = None);
    refused("what was said to have failed is in the log", |_, asked| asked[1].ending = Ending::Failed);
    refused("which no entry made", |_, asked| answer(asked, 5, read(9, vec![])));
    refused("made revision 5, the model 4", |log, _| log[4].revision = 5);
    // The keys of a lease stayed.
    refused("made revision 3, the model 4", |log, asked| {
        log[3].revision = 3;
        asked.truncate(4);
    });
}

#[test]
fn time_is_obeyed() {
    refused("a stale read", |_, asked| answer(asked, 5, read(3, vec![kv(2, 3, 2, 7)])));
    refused("before what was already answered", |_, asked| {
        // The second put is answered before the first is asked.
        (asked[1].call, asked[2].call) = (30, 20);
        let ending = asked[1].ending.clone();
        let Ending::Answered { response, .. } = ending else { panic!("it was answered") };
        asked[1].ending = Ending::Answered { ret: 35, response };
        let Ending::Answered { response, .. } = asked[2].ending.clone() else { panic!("it was answered") };
        asked[2].ending = Ending::Answered { ret: 25, response };
    });
}

#[test]
fn an_old_read_is_right_if_it_is_serializable_or_was_asked_in_time() {
    let (log, mut asked) = story();
    asked[5].request = read_request(0, true);
    answer(&mut asked, 5, read(2, vec![kv(2, 2, 1, 7)]));
    assert_eq!(by_log::check(&log, &asked), Ok(7));
    let (log, mut asked) = story();
    // Asked before anything had been answered.
    asked[5].call = 1;
    answer(&mut asked, 5, read(1, vec![]));
    assert_eq!(by_log::check(&log, &asked), Ok(7));
}

#[test]
fn an_unknown_outcome_may_have_been_either() {
    let (log, mut asked) = story();
    asked[2].ending = Ending::Unknown;
    assert_eq!(by_log::check(&log, &asked), Ok(6 + 1));
    let (log, mut asked) = story();
    asked.push(Asked { ending: Ending::Unknown, ..asked[1].clone() });
    assert_eq!(by_log::check(&log, &asked), Ok(7));
}
