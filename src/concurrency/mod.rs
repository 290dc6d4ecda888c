//! Locks and elections: what clients make of keys, leases and watches (lesson 21).
//!
//! etcd has no lock. It has a recipe, which its client library and its services `v3lock` and `v3election` follow, and which
//! is here, as state machines that say what to ask next. They do no input and output: whoever runs them asks a member, and
//! hands the answer in.
//!
//! ```text
//!   name/1a2b  created at 7   ◀── holds: the oldest key below the name
//!   name/3c4d  created at 9   ◀── watches the key before its own, and no other
//!   name/5e6f  created at 12  ◀── the same: when a holder goes, one waiter wakes up, not all of them
//!      └ the lease of its session, in hexadecimal: who is gone is out of the line
//! ```
//!
//! [`Line`] is the line and the waiting in it; [`Lock`] and [`Campaign`] are the two services on top of it.
//!
//! **Fencing.** The revision that created the holder's key is its *token*: later holders have higher ones. A holder that
//! was paused for longer than its lease lives holds nothing, and cannot know. So whatever the lock guards must look at
//! tokens itself: in etcd by a compare in the same transaction ([`owns`]); elsewhere by refusing lower tokens than it has
//! seen.
//!
//! # Left out
//! Keeping the session's lease alive, and giving up in the middle, which is to delete the key ([`leave`]); both are up to
//! whoever runs these. A waiter whose own key is gone learns of it when it is its turn, as in etcd.

mod election;
mod line;
mod lock;

pub use election::{Campaign, ElectionError, leader, proclaim};
pub use line::{Held, Line, Next};
pub use lock::Lock;

use crate::api::Request;
use crate::pb::etcdserverpb::compare::TargetUnion;
use crate::pb::etcdserverpb::request_op::Request as Op;
use crate::pb::etcdserverpb::{
    Compare, CompareResult, CompareTarget, DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, SortOrder,
    SortTarget, TxnRequest,
};
use bytes::Bytes;

/// The compare that fences a transaction: `key` is still the one that was created at revision `token`.
pub fn owns(key: &Bytes, token: i64) -> Compare {
    Compare {
        result: CompareResult::Equal as i32,
        target: CompareTarget::Create as i32,
        key: key.clone(),
        target_union: Some(TargetUnion::CreateRevision(token)),
        range_end: Bytes::new(),
    }
}

/// Leaves a line: deletes the key, if it is still the one that was created at revision `token`. (etcd's client deletes
/// whatever is there by then, its own next place included: etcd #22082.)
pub fn leave(key: &Bytes, token: i64) -> Request {
    let delete = DeleteRangeRequest { key: key.clone(), ..DeleteRangeRequest::default() };
    guarded(owns(key, token), Op::RequestDeleteRange(delete))
}

/// Does one thing, if a compare holds.
fn guarded(guard: Compare, op: Op) -> Request {
    Request::Txn(TxnRequest {
        compare: vec![guard],
        success: vec![RequestOp { request: Some(op) }],
        failure: Vec::new(),
    })
}

fn put(key: &Bytes, value: &Bytes, lease: i64) -> PutRequest {
    PutRequest { key: key.clone(), value: value.clone(), lease, ..PutRequest::default() }
}

fn one(key: &Bytes) -> RangeRequest {
    RangeRequest { key: key.clone(), ..RangeRequest::default() }
}

/// The oldest or the newest key below a prefix, if there is one.
fn first_of(prefix: &Bytes, order: SortOrder) -> RangeRequest {
    let mut range_end = prefix.to_vec();
    // A prefix ends in '/', which is not the last byte there is.
    *range_end.last_mut().expect("invariant: a prefix is not empty") += 1;
    RangeRequest {
        key: prefix.clone(),
        range_end: range_end.into(),
        limit: 1,
        sort_order: order as i32,
        sort_target: SortTarget::Create as i32,
        ..RangeRequest::default()
    }
}

/// `name/`.
fn prefix_of(name: &[u8]) -> Bytes {
    [name, b"/"].concat().into()
}
