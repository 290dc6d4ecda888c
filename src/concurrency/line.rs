//! A line of keys, and one client's way to its head.
//!
//! ```text
//!   Enter ── my key is (or becomes) the oldest ─────────────────────────────────▶ First
//!     │                                                                             ▲
//!     └──▶ Look ── nobody before me ──▶ Recheck ── my key is there ─────────────────┘
//!           ▲  └─ somebody ──▶ Wait        └─ it is not ──▶ Out
//!           └── gone ───────────┘
//! ```
//!
//! **Look, then look again.** That nobody is before me says that it is my turn only if I am still in the line. While I
//! waited, my lease may have ended and taken my key along; then somebody behind me may hold the lock by now. etcd's client
//! did not look again, and let two hold one lock, neither of them late (etcd #11408). So the last question is for the own
//! key, and its answer is the proof: at its revision I was the first.
//!
//! **Asked again.** Every question here may be asked twice. To enter is to create a key *unless it is there*: whoever did not
//! hear the answer asks again, and has the place that it had.

use super::{first_of, one, owns, prefix_of, put};
use crate::api::{Request, Response};
use crate::bug::{Bug, BugSet};
use crate::pb::etcdserverpb::request_op::Request as Op;
use crate::pb::etcdserverpb::response_op::Response as Done;
use crate::pb::etcdserverpb::{RangeRequest, RangeResponse, RequestOp, ResponseHeader, SortOrder, TxnRequest};
use bytes::Bytes;

/// What a client has to do next.
#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    /// Ask a member, and hand the answer to [`Line::answered`].
    Ask(Request),
    /// Watch `key` from revision `from` on; when it is deleted, or when nobody can tell any more, call [`Line::gone`].
    Await {
        /// The key before one's own.
        key: Bytes,
        /// The first revision that matters.
        from: i64,
    },
    /// It is one's turn.
    First(Held),
    /// The session's lease has ended: one is not in the line any more. To be called "session is expired".
    Out,
}

/// A place at the head of the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// The revision that created the key.
    pub token: i64,
    /// The revision of the answer that says so.
    pub revision: i64,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Line {
    prefix: Bytes,
    key: Bytes,
    value: Bytes,
    lease: i64,
    /// The revision that created the key; 0: one has not entered yet.
    token: i64,
    stage: Stage,
    bugs: BugSet,
}

#[derive(Clone, Debug)]
enum Stage {
    Enter,
    Look,
    Wait { key: Bytes, from: i64 },
    Recheck,
    First { revision: i64 },
    Out,
}

impl Line {
    /// A place in the line `name` for the session of this lease, whose key will hold `value`.
    pub fn new(name: &[u8], lease: i64, value: Bytes, bugs: BugSet) -> Line {
        let prefix = prefix_of(name);
        let sign = if lease < 0 { "-" } else { "" };
        let key = [&prefix[..], format!("{sign}{:x}", lease.unsigned_abs()).as_bytes()].concat().into();
        Line { prefix, key, value, lease, token: 0, stage: Stage::Enter, bugs }
    }

    /// One's key.
    pub fn key(&self) -> &Bytes {
        &self.key
    }

    /// The revision that created it; 0 before one has entered.
    pub fn token(&self) -> i64 {
        self.token
    }

    /// What to do next.
    pub fn next(&self) -> Next {
        match &self.stage {
            Stage::Enter => Next::Ask(self.enter()),
            Stage::Look => {
                let newest = first_of(&self.prefix, SortOrder::Descend);
                Next::Ask(Request::Range(RangeRequest { max_create_revision: self.token - 1, ..newest }))
            }
            Stage::Wait { key, from } => Next::Await { key: key.clone(), from: *from },
            Stage::Recheck => Next::Ask(Request::Range(one(&self.key))),
            Stage::First { revision } => Next::First(Held { token: self.token, revision: *revision }),
            Stage::Out => Next::Out,
        }
    }

    fn enter(&self) -> Request {
        let op = |request| RequestOp { request: Some(request) };
        let oldest = || op(Op::RequestRange(first_of(&self.prefix, SortOrder::Ascend)));
        Request::Txn(TxnRequest {
            compare: vec![owns(&self.key, 0)],
            success: vec![op(Op::RequestPut(put(&self.key, &self.value, self.lease))), oldest()],
            failure: vec![op(Op::RequestRange(one(&self.key))), oldest()],
        })
    }

    /// Takes the answer to what [`Line::next`] asked. An answer of another kind is as none.
    pub fn answered(&mut self, response: &Response) {
        match (&self.stage, response) {
            (Stage::Enter, Response::Txn(response)) => {
                let ranges = response.responses.iter().filter_map(|op| match &op.response {
                    Some(Done::ResponseRange(range)) => range.kvs.first(),
                    _ => None,
                });
                let found: Vec<_> = ranges.collect();
                let (Some(oldest), revision) = (found.last(), revision(&response.header)) else { return };
                let own = if response.succeeded { revision } else { found[0].create_revision };
                self.token = own;
                self.stage = if oldest.create_revision == own { Stage::First { revision } } else { Stage::Look };
            }
            (Stage::Look, Response::Range(RangeResponse { header, kvs, .. })) => {
                let revision = revision(header);
                self.stage = match kvs.first() {
                    Some(before) => Stage::Wait { key: before.key.clone(), from: revision + 1 },
                    // Whoever is not before me is gone; but am I still there?
                    None if self.bugs.on(Bug::JepsenLock) => Stage::First { revision },
                    None => Stage::Recheck,
                };
            }
            (Stage::Recheck, Response::Range(RangeResponse { header, kvs, .. })) => {
                let there = kvs.first().is_some_and(|kv| kv.create_revision == self.token);
                self.stage = if there { Stage::First { revision: revision(header) } } else { Stage::Out };
            }
            _ => {}
        }
    }

    /// The key that was waited for is gone, or may be.
    pub fn gone(&mut self) {
        if let Stage::Wait { .. } = self.stage {
            self.stage = Stage::Look;
        }
    }
}

fn revision(header: &Option<ResponseHeader>) -> i64 {
    header.as_ref().map_or(0, |header| header.revision)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pb::etcdserverpb::{ResponseOp, TxnResponse};
    use crate::pb::mvccpb::KeyValue;

    fn header(revision: i64) -> Option<ResponseHeader> {
        Some(ResponseHeader { revision, ..ResponseHeader::default() })
    }

    fn kv(key: &'static str, create_revision: i64) -> KeyValue {
        KeyValue { key: key.into(), create_revision, ..KeyValue::default() }
    }

    fn range(revision: i64, kvs: &[KeyValue]) -> RangeResponse {
        RangeResponse { header: header(revision), kvs: kvs.to_vec(), ..RangeResponse::default() }
    }

    fn entered(succeeded: bool, revision: i64, found: &[KeyValue]) -> Response {
        let answers = found
            .iter()
            .map(|kv| ResponseOp { response: Some(Done::ResponseRange(range(0, std::slice::from_ref(kv)))) });
        Response::Txn(TxnResponse { header: header(revision), succeeded, responses: answers.collect() })
    }

    fn line(bugs: BugSet) -> Line {
        Line::new(b"lock", 0x1a2b, Bytes::new(), bugs)
    }

    fn asks_for(line: &Line) -> RangeRequest {
        match line.next() {
            Next::Ask(Request::Range(range)) => range,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_key_is_named_by_its_lease_as_etcd_names_it() {
        assert_eq!(line(BugSet::NONE).key(), "lock/1a2b");
        assert_eq!(Line::new(b"l", -0x7b, Bytes::new(), BugSet::NONE).key(), "l/-7b");
    }

    #[test]
    fn the_first_to_come_holds_at_once() {
        let mut line = line(BugSet::NONE);
        line.answered(&entered(true, 7, &[kv("lock/1a2b", 7)]));
        assert_eq!(line.next(), Next::First(Held { token: 7, revision: 7 }));
    }

    #[test]
    fn whoever_asks_again_has_the_place_that_it_had() {
        let mut line = line(BugSet::NONE);
        line.answered(&entered(false, 12, &[kv("lock/1a2b", 9), kv("lock/1", 7)]));
        assert_eq!(line.token(), 9);
        let look = asks_for(&line);
        assert_eq!(
            (look.max_create_revision, look.limit, &look.key[..], &look.range_end[..]),
            (8, 1, &b"lock/"[..], &b"lock0"[..])
        );
    }

    /// It waits behind another, and is told that nobody is before it any more.
    fn waited(bugs: BugSet) -> Line {
        let mut line = line(bugs);
        line.answered(&entered(true, 9, &[kv("lock/1", 7)]));
        line.answered(&Response::Range(range(10, &[kv("lock/1", 7)])));
        assert_eq!(line.next(), Next::Await { key: "lock/1".into(), from: 11 });
        line.gone();
        line.answered(&Response::Range(range(15, &[])));
        line
    }

    #[test]
    fn whoever_waited_looks_for_its_own_key_before_it_believes() {
        let mut line = waited(BugSet::NONE);
        assert_eq!(asks_for(&line).key, "lock/1a2b");
        let expired = {
            let mut line = line.clone();
            line.answered(&Response::Range(range(16, &[])));
            line.next()
        };
        assert_eq!(expired, Next::Out);
        line.answered(&Response::Range(range(16, &[kv("lock/1a2b", 9)])));
        assert_eq!(line.next(), Next::First(Held { token: 9, revision: 16 }));
    }

    #[cfg(feature = "bugs")]
    #[test]
    fn the_client_that_jepsen_tested_did_not() {
        let line = waited(BugSet::NONE.with(Bug::JepsenLock));
        assert_eq!(line.next(), Next::First(Held { token: 9, revision: 15 }));
    }

    #[test]
    fn what_is_no_answer_changes_nothing() {
        let mut line = line(BugSet::NONE);
        let before = line.next();
        line.answered(&Response::Nothing);
        line.answered(&Response::Range(range(5, &[])));
        line.answered(&entered(true, 9, &[]));
        line.gone();
        assert_eq!(line.next(), before);
    }
}
