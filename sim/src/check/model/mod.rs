//! The sequential model of etcd: what one machine that does one thing after another would answer.
//!
//! **What.** A [`State`] is all that a client can ask about: the revision (an empty store stands at 1), the oldest
//! revision that may still be read, the keys with their `create_revision`, `mod_revision`, `version` and lease, and the
//! leases. [`State::execute`] does a request and says what it answers and which [`Event`]s its watchers see.
//! [`States`] is what is known of a store that was watched from outside: a request whose answer got lost was executed or
//! was not, so each possible state becomes two, and each answer keeps those states that would have given it.
//!
//! **Why another one.** The store in `src/mvcc` keeps revisions, an index and records so as to be fast and to survive. The
//! model keeps a map. It shares no code with the store but the messages of the protocol, so the two can only
//! agree by both being right, or by both being wrong in the same way twice. Where they are compared stands in
//! `tests/model_store.rs`; where others' sequences are read, in `tests/check_model.rs`.
//!
//! **What etcd does that one would not guess**, and the model therefore says:
//! - A transaction that changes nothing makes no revision; one that changes ten keys makes one. Deleting an absent key
//!   changes nothing. Putting the same value again is a change.
//! - All comparisons of a transaction, those of transactions nested in it too, are decided before its first operation;
//!   so are its errors: it does all or nothing.
//! - A comparison over a range in which nothing lives compares with zeros once; one of *values* fails then.
//! - Ranges inside a transaction see what the transaction has done so far, but not if they name a revision.
//! - `count` is what lives in the interval, whatever the limit and the filters dropped. A target without an order sorts
//!   ascending, but only what the limit let through, and one more.
//! - A put without a lease takes the key off its lease. Revoking a lease deletes its keys in one revision, in the order of
//!   their names; without keys it makes none.
//!
//! **Left out.** What never reaches the log: requests that are refused for their form (an empty key, a key put twice in one
//! transaction), quota, auth. Time: a lease ends when it is revoked; who revokes it, and when, is another
//! check's question.
//!
//! Reading order: `state`, `range`, `txn`, `judge`, `search`.

mod judge;
mod range;
mod search;
mod state;
mod txn;

pub use judge::{Detail, Seen, States};
pub(super) use range::Interval;
pub use search::{Timed, search};
pub use state::State;

use bytes::Bytes;
use seedbed::pb::etcdserverpb::{
    DeleteRangeRequest, DeleteRangeResponse, PutRequest, PutResponse, RangeRequest, RangeResponse, TxnRequest,
    TxnResponse, response_op,
};
use seedbed::pb::mvccpb::KeyValue;
use std::collections::BTreeMap;

/// What lives, by key.
pub(super) type Keys = BTreeMap<Bytes, KeyValue>;

/// What a client may ask.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// Read keys.
    Range(RangeRequest),
    /// Set a key.
    Put(PutRequest),
    /// Delete keys.
    DeleteRange(DeleteRangeRequest),
    /// Compare, then do one of two lists of operations.
    Txn(TxnRequest),
    /// Forget what was before a revision.
    Compact(i64),
    /// Begin a lease.
    LeaseGrant {
        /// Its number. (Who asks for any number at all has it chosen by the member, before the request is written down.)
        id: i64,
        /// Seconds that it lives without being kept alive.
        ttl: i64,
    },
    /// End a lease, and delete the keys that hang on it.
    LeaseRevoke(i64),
    /// Make a member's file dense. Changes nothing that can be seen.
    Defragment,
}

impl Request {
    /// Whether it cannot change any state.
    pub fn is_read(&self) -> bool {
        fn reads(txn: &TxnRequest) -> bool {
            use seedbed::pb::etcdserverpb::request_op::Request as Op;
            txn.success.iter().chain(&txn.failure).all(|op| match &op.request {
                Some(Op::RequestPut(_) | Op::RequestDeleteRange(_)) => false,
                Some(Op::RequestTxn(nested)) => reads(nested),
                Some(Op::RequestRange(_)) | None => true,
            })
        }
        match self {
            Request::Range(_) | Request::Defragment => true,
            Request::Txn(txn) => reads(txn),
            _ => false,
        }
    }
}

/// What comes back. Headers stand in [`Answer::revision`], and only there.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// To a range.
    Range(RangeResponse),
    /// To a range at a revision that the model has forgotten: any keys.
    Forgotten,
    /// To a put.
    Put(PutResponse),
    /// To a delete.
    DeleteRange(DeleteRangeResponse),
    /// To a transaction.
    Txn {
        /// Whether its comparisons held.
        succeeded: bool,
        /// To each operation of the branch that was taken.
        replies: Vec<Reply>,
    },
    /// To an operation of a transaction that asks nothing, or to one whose answer is missing.
    Nothing,
    /// To a compaction.
    Compact,
    /// To a grant.
    LeaseGrant {
        /// The lease.
        id: i64,
        /// The seconds granted, at least those asked for.
        ttl: i64,
    },
    /// To a revocation.
    LeaseRevoke,
    /// To a defragmentation.
    Defragment,
}

impl From<TxnResponse> for Reply {
    fn from(response: TxnResponse) -> Reply {
        use response_op::Response as Op;
        let reply = |op: Option<Op>| match op {
            Some(Op::ResponseRange(range)) => Reply::Range(RangeResponse { header: None, ..range }),
            Some(Op::ResponsePut(put)) => Reply::Put(PutResponse { header: None, ..put }),
            Some(Op::ResponseDeleteRange(delete)) => Reply::DeleteRange(DeleteRangeResponse { header: None, ..delete }),
            Some(Op::ResponseTxn(nested)) => nested.into(),
            None => Reply::Nothing,
        };
        let replies = response.responses.into_iter().map(|op| reply(op.response)).collect();
        Reply::Txn { succeeded: response.succeeded, replies }
    }
}

/// Why a request was not done. It then changed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The revision was compacted, or is to be compacted again.
    #[error("required revision has been compacted")]
    Compacted,
    /// There is no such revision yet.
    #[error("required revision is a future revision")]
    FutureRevision,
    /// A put that takes over the value or the lease of a key that is absent.
    #[error("key not found")]
    KeyNotFound,
    /// The lease is not there, or its number is 0.
    #[error("requested lease not found")]
    LeaseNotFound,
    /// A lease of this number is there.
    #[error("lease already exists")]
    LeaseExists,
    /// More than 9,000,000,000 seconds.
    #[error("too large lease TTL")]
    LeaseTtlTooLarge,
}

/// An answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// `header.revision`; `None` where there is no header: in a defragmentation's answer, and in errors.
    pub revision: Option<i64>,
    /// The answer itself.
    pub result: Result<Reply, Refusal>,
}

/// A change, as a watch should report it.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// The revision that it is part of.
    pub revision: i64,
    /// The key.
    pub key: Bytes,
    /// The key's new state; `None` after a delete.
    pub kv: Option<KeyValue>,
    /// Its state at the revision before; `None` if it was absent.
    pub prev: Option<KeyValue>,
}
