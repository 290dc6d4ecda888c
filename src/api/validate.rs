//! What is wrong with a request whatever the store holds.
//!
//! A transaction must not write a key twice in one revision: its two puts would need an order that nobody gave them. So
//! each of its paths is looked at before any is taken. What a path can write are the puts and deletes of its own and of
//! the transactions nested in it, of which either branch may be taken, but never both.
//!
//! Deletes may overlap each other, and reads anything.

use super::{Error, Request};
use crate::pb::etcdserverpb::request_op::Request as Op;
use crate::pb::etcdserverpb::{DeleteRangeRequest, PutRequest, RequestOp, TxnRequest};
use bytes::Bytes;
use std::collections::BTreeSet;

/// Refuses a malformed request. A transaction may have `max_ops` compares, and as many operations in each branch; what
/// an outer transaction uses of that is not left to those nested in it.
pub fn validate(request: &Request, max_ops: usize) -> Result<(), Error> {
    match request {
        Request::Range(range) => key(&range.key),
        Request::Put(request) => put(request),
        Request::DeleteRange(delete) => key(&delete.key),
        Request::Txn(request) => txn(request, max_ops).and_then(|()| Writes::of_txn(request).map(drop)),
        Request::Compact(_)
        | Request::LeaseGrant(_)
        | Request::LeaseRevoke(_)
        | Request::LeaseKeepAlive(_)
        | Request::LeaseTimeToLive(_)
        | Request::LeaseLeases
        | Request::Defragment
        | Request::MoveLeader(_)
        | Request::Alarm(_)
        | Request::Status
        | Request::HashKv(_)
        | Request::Auth(_)
        | Request::Hash
        | Request::MemberRemove(_)
        | Request::MemberPromote(_)
        | Request::MemberList(_)
        | Request::Image(_) => Ok(()),
        Request::MemberAdd(add) => urls(&add.peer_urls),
        Request::MemberUpdate(update) => urls(&update.peer_urls),
    }
}

/// As etcd has them: a scheme, a host, a port, and nothing after it.
fn urls(urls: &[String]) -> Result<(), Error> {
    let is_url = |url: &String| {
        let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
        let host_and_port = rest.and_then(|rest| rest.rsplit_once(':'));
        // A colon within the host is an IPv6 address's, which stands in brackets.
        let is_host = |host: &str| !host.is_empty() && (!host.contains(':') || host.starts_with('['));
        host_and_port.is_some_and(|(host, port)| is_host(host) && port.parse::<u16>().is_ok())
    };
    if !urls.is_empty() && urls.iter().all(is_url) { Ok(()) } else { Err(Error::BadMemberUrls) }
}

fn key(key: &Bytes) -> Result<(), Error> {
    if key.is_empty() { Err(Error::EmptyKey) } else { Ok(()) }
}

fn put(request: &PutRequest) -> Result<(), Error> {
    key(&request.key)?;
    if request.ignore_value && !request.value.is_empty() {
        return Err(Error::ValueProvided);
    }
    if request.ignore_lease && request.lease != 0 {
        return Err(Error::LeaseProvided);
    }
    Ok(())
}

fn txn(request: &TxnRequest, max_ops: usize) -> Result<(), Error> {
    let most = request.compare.len().max(request.success.len()).max(request.failure.len());
    let left = max_ops.checked_sub(most).ok_or(Error::TooManyOps)?;
    request.compare.iter().try_for_each(|compare| key(&compare.key))?;
    for RequestOp { request } in request.success.iter().chain(&request.failure) {
        match request {
            Some(Op::RequestRange(range)) => key(&range.key)?,
            Some(Op::RequestPut(request)) => put(request)?,
            Some(Op::RequestDeleteRange(delete)) => key(&delete.key)?,
            Some(Op::RequestTxn(nested)) => txn(nested, left)?,
            // etcd words it so: an operation without a request has no key either.
            None => return Err(Error::KeyNotFound),
        }
    }
    Ok(())
}

/// What a list of operations may write.
#[derive(Debug, Default)]
struct Writes<'a> {
    puts: BTreeSet<&'a Bytes>,
    deletes: Vec<&'a DeleteRangeRequest>,
}

impl<'a> Writes<'a> {
    /// Either branch of a transaction: a key that both put is put once.
    fn of_txn(request: &'a TxnRequest) -> Result<Writes<'a>, Error> {
        let mut writes = Writes::of(&request.success)?;
        let other = Writes::of(&request.failure)?;
        writes.puts.extend(other.puts);
        writes.deletes.extend(other.deletes);
        Ok(writes)
    }

    /// Of operations that are all done.
    fn of(ops: &'a [RequestOp]) -> Result<Writes<'a>, Error> {
        let mut writes = Writes::default();
        let own = ops.iter().filter_map(|op| op.request.as_ref());
        for op in own.clone() {
            if let Op::RequestDeleteRange(delete) = op {
                writes.deletes.push(delete);
            }
        }
        for op in own.clone() {
            if let Op::RequestTxn(nested) = op {
                let nested = Writes::of_txn(nested)?;
                nested.puts.into_iter().try_for_each(|key| writes.put(key))?;
                writes.deletes.extend(nested.deletes);
            }
        }
        for op in own {
            if let Op::RequestPut(put) = op {
                writes.put(&put.key)?;
            }
        }
        Ok(writes)
    }

    fn put(&mut self, key: &'a Bytes) -> Result<(), Error> {
        if self.deletes.iter().any(|delete| covers(delete, key)) || !self.puts.insert(key) {
            return Err(Error::DuplicateKey);
        }
        Ok(())
    }
}

fn covers(delete: &DeleteRangeRequest, key: &Bytes) -> bool {
    match &delete.range_end[..] {
        b"" => delete.key == key,
        b"\0" => delete.key <= key,
        end => delete.key <= key && &key[..] < end,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pb::etcdserverpb::{Compare, RangeRequest};

    fn op(request: Op) -> RequestOp {
        RequestOp { request: Some(request) }
    }

    fn a_put(key: &'static str) -> RequestOp {
        op(Op::RequestPut(PutRequest { key: key.into(), ..Default::default() }))
    }

    fn a_delete(key: &'static str, range_end: &'static str) -> RequestOp {
        op(Op::RequestDeleteRange(DeleteRangeRequest { key: key.into(), range_end: range_end.into(), prev_kv: false }))
    }

    fn a_range(key: &'static str) -> RequestOp {
        op(Op::RequestRange(RangeRequest { key: key.into(), ..Default::default() }))
    }

    fn nested(success: Vec<RequestOp>, failure: Vec<RequestOp>) -> RequestOp {
        op(Op::RequestTxn(TxnRequest { compare: Vec::new(), success, failure }))
    }

    fn a_txn(success: Vec<RequestOp>) -> Result<(), Error> {
        validate(&Request::Txn(TxnRequest { compare: Vec::new(), success, failure: Vec::new() }), 128)
    }

    #[test]
    fn a_key_is_put_once() {
        let twice = Err(Error::DuplicateKey);
        assert_eq!(a_txn(vec![a_put("a"), a_put("b"), a_range("a")]), Ok(()));
        assert_eq!(a_txn(vec![a_put("a"), a_put("a")]), twice);
        assert_eq!(a_txn(vec![a_put("a"), nested(vec![a_put("a")], vec![])]), twice);
        assert_eq!(a_txn(vec![a_put("a"), nested(vec![], vec![a_put("a")])]), twice);
        assert_eq!(a_txn(vec![nested(vec![a_put("a")], vec![]), nested(vec![], vec![a_put("a")])]), twice);
        assert_eq!(a_txn(vec![nested(vec![a_put("a")], vec![a_put("a")])]), Ok(()), "one of two");
        assert_eq!(a_txn(vec![nested(vec![nested(vec![a_put("a")], vec![])], vec![]), a_put("a")]), twice);
    }

    #[test]
    fn a_key_is_not_put_and_deleted() {
        let twice = Err(Error::DuplicateKey);
        assert_eq!(a_txn(vec![a_put("b"), a_delete("a", "b"), a_delete("a", "c\0")].split_off(0)), twice);
        assert_eq!(a_txn(vec![a_put("b"), a_delete("a", "b")]), Ok(()), "the end is not deleted");
        assert_eq!(a_txn(vec![a_put("b"), a_delete("b", "")]), twice);
        assert_eq!(a_txn(vec![a_put("b"), a_delete("a", "\0")]), twice);
        assert_eq!(a_txn(vec![a_put("b"), a_delete("c", "\0")]), Ok(()));
        assert_eq!(a_txn(vec![a_put("b"), nested(vec![a_delete("b", "")], vec![])]), twice);
        assert_eq!(a_txn(vec![nested(vec![a_put("b")], vec![]), a_delete("b", "")]), twice);
        assert_eq!(a_txn(vec![a_delete("a", "z"), a_delete("b", "")]), Ok(()), "deletes may overlap");
        assert_eq!(a_txn(vec![nested(vec![a_put("b")], vec![a_delete("b", "")])]), Ok(()), "one of two");
    }

    #[test]
    fn operations_are_counted_down_into_nested_transactions() {
        let puts = |n: usize, from: usize| -> Vec<RequestOp> {
            let key = |i| PutRequest { key: format!("k{i}").into(), ..Default::default() };
            (from..from + n).map(|i| op(Op::RequestPut(key(i)))).collect()
        };
        assert_eq!(a_txn(puts(128, 0)), Ok(()));
        assert_eq!(a_txn(puts(129, 0)), Err(Error::TooManyOps));
        assert_eq!(a_txn(vec![nested(puts(127, 0), vec![])]), Ok(()), "one is the nesting itself");
        assert_eq!(a_txn(vec![nested(puts(128, 0), vec![])]), Err(Error::TooManyOps));
        let compare = vec![Compare { key: "a".into(), ..Default::default() }; 129];
        let compared = TxnRequest { compare, ..Default::default() };
        assert_eq!(validate(&Request::Txn(compared), 128), Err(Error::TooManyOps));
    }

    #[test]
    fn keys_are_given_and_what_is_kept_is_not() {
        let request = PutRequest { key: "a".into(), ..Default::default() };
        let value = PutRequest { value: "v".into(), ignore_value: true, ..request.clone() };
        let lease = PutRequest { lease: 1, ignore_lease: true, ..request.clone() };
        assert_eq!(validate(&Request::Put(request), 128), Ok(()));
        assert_eq!(validate(&Request::Put(value.clone()), 128), Err(Error::ValueProvided));
        assert_eq!(validate(&Request::Put(lease), 128), Err(Error::LeaseProvided));
        assert_eq!(a_txn(vec![nested(vec![], vec![op(Op::RequestPut(value))])]), Err(Error::ValueProvided));
        for empty in [a_put(""), a_delete("", "z"), a_range(""), nested(vec![a_range("")], vec![])] {
            assert_eq!(a_txn(vec![empty]), Err(Error::EmptyKey));
        }
        assert_eq!(a_txn(vec![RequestOp { request: None }]), Err(Error::KeyNotFound));
        let compared = TxnRequest { compare: vec![Compare::default()], ..Default::default() };
        assert_eq!(validate(&Request::Txn(compared), 128), Err(Error::EmptyKey));
    }
}
