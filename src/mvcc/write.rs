//! Writing: the transaction in which one entry is applied.

use super::key_index::Change;
use super::read::Interval;
use super::{Applied, BackendError, Bucket, Counts, KeyValue, MvccError, Revision, Store};
use crate::pb::etcdserverpb::compare::TargetUnion;
use crate::pb::etcdserverpb::{
    Compare, CompareResult, CompareTarget, DeleteRangeRequest, DeleteRangeResponse, PutRequest, PutResponse,
    RangeRequest, RangeResponse, RequestOp, ResponseHeader, ResponseOp, TxnRequest, TxnResponse, request_op,
    response_op,
};
use bytes::Bytes;
use prost::Message as _;
use std::cmp::Ordering;

/// One entry's changes. They share one main revision, which exists only if there are any.
#[derive(Debug)]
pub struct WriteTxn<'a> {
    pub(super) store: &'a mut Store,
    /// The revision of the next change.
    next: Revision,
    written: Vec<Written>,
    counts: Counts,
}

/// What became of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Its new state; of a deleted one only the key.
    pub kv: KeyValue,
    /// It was deleted.
    pub tombstone: bool,
}

impl<'a> WriteTxn<'a> {
    /// In the engine's transaction that has begun.
    pub(super) fn begin(store: &'a mut Store, entry: Applied) -> WriteTxn<'a> {
        store.applied = entry;
        let next = Revision { main: store.revision + 1, sub: 0 };
        WriteTxn { store, next, written: Vec::new(), counts: Counts::default() }
    }

    /// Takes what was written up to now, in order.
    pub fn take_written(&mut self) -> Vec<Written> {
        std::mem::take(&mut self.written)
    }

    /// Closes the transaction. Returns the store's revision.
    pub fn commit(self) -> i64 {
        if self.next.sub > 0 {
            self.store.revision = self.next.main;
        }
        self.store.counts.add(self.counts);
        self.store.engine.commit();
        self.store.revision
    }

    /// The revision that a response's header names: the one being made, once something changed.
    pub fn revision(&self) -> i64 {
        if self.next.sub > 0 { self.next.main } else { self.store.revision }
    }

    /// Reads, the transaction's own changes included.
    pub fn range(&self, request: &RangeRequest) -> Result<RangeResponse, MvccError> {
        self.store.range_at(request, self.revision())
    }

    /// Writes a pair of another bucket than `key`: a record of the cluster's own, which has no revisions.
    pub fn set(&mut self, bucket: Bucket, key: Bytes, value: Bytes) -> Result<(), BackendError> {
        assert_ne!(bucket, Bucket::Key, "invariant: the bucket key is written by revision");
        self.store.engine.put(bucket, key, value)
    }

    /// Removes such a pair, if it is there.
    pub fn unset(&mut self, bucket: Bucket, key: &[u8]) -> Result<(), BackendError> {
        assert_ne!(bucket, Bucket::Key, "invariant: the bucket key is written by revision");
        self.store.engine.delete(bucket, key)
    }

    /// Sets a key.
    pub fn put(&mut self, request: &PutRequest) -> Result<PutResponse, MvccError> {
        let keeps = request.ignore_value || request.ignore_lease;
        let mut before = None;
        if request.prev_kv || keeps {
            let change = self.store.index.get(&request.key, self.next.main);
            before = change.map(|change| self.store.load(change.at)).transpose()?;
        }
        let (mut value, mut lease) = (request.value.clone(), request.lease);
        if keeps {
            let kept = before.as_ref().ok_or(MvccError::KeyNotFound)?;
            value = if request.ignore_value { kept.value.clone() } else { value };
            lease = if request.ignore_lease { kept.lease } else { lease };
        }
        let Change { create_revision, version, .. } = self.store.index.put(&request.key, self.next);
        let kv =
            KeyValue { key: request.key.clone(), create_revision, mod_revision: self.next.main, version, value, lease };
        self.counts.puts += 1;
        self.counts.put_bytes += (kv.key.len() + kv.value.len()) as u64;
        self.record(kv, false)?;
        Ok(PutResponse { header: None, prev_kv: before.filter(|_| request.prev_kv) })
    }

    /// Deletes the live keys of an interval, in key order.
    pub fn delete_range(&mut self, request: &DeleteRangeRequest) -> Result<DeleteRangeResponse, MvccError> {
        self.counts.deletes += 1;
        let main = self.next.main;
        let doomed: Vec<(Bytes, Revision)> = match Interval::of(&request.key, &request.range_end) {
            Interval::Key(key) => {
                self.store.index.get(key, main).map(|change| (request.key.clone(), change.at)).into_iter().collect()
            }
            Interval::Span(from, to) => {
                let doomed = self.store.index.range(from, to, main);
                doomed.map(|(key, change)| (Bytes::copy_from_slice(key), change.at)).collect()
            }
        };
        let mut response = DeleteRangeResponse { header: None, deleted: doomed.len() as i64, prev_kvs: Vec::new() };
        for (key, at) in doomed {
            if request.prev_kv {
                response.prev_kvs.push(self.store.load(at)?);
            }
            assert!(self.store.index.tombstone(&key, self.next), "invariant: only what lives is deleted");
            self.record(KeyValue { key, ..KeyValue::default() }, true)?;
        }
        Ok(response)
    }

    /// Runs a transaction: all compares hold → `success`, else → `failure`; the same for transactions nested in it.
    ///
    /// Every compare is decided, and every range and put checked, before anything changes: a transaction that fails
    /// has no partial effects, and fails alike at every member.
    pub fn txn(&mut self, request: &TxnRequest) -> Result<TxnResponse, MvccError> {
        self.guarded_txn(request, &|_| Ok(()))
    }

    /// The same; `may_put` has a say about each put on the path that is taken.
    pub fn guarded_txn(
        &mut self,
        request: &TxnRequest,
        may_put: &dyn Fn(&PutRequest) -> Result<(), MvccError>,
    ) -> Result<TxnResponse, MvccError> {
        let mut decisions = Vec::with_capacity(1);
        self.decide(request, may_put, &mut decisions)?;
        self.run(request, &mut decisions.into_iter())
    }

    /// Appends, in the order in which [`WriteTxn::run`] meets them, whether each transaction succeeds.
    fn decide(
        &self,
        request: &TxnRequest,
        may_put: &dyn Fn(&PutRequest) -> Result<(), MvccError>,
        decisions: &mut Vec<bool>,
    ) -> Result<(), MvccError> {
        let mut succeeded = true;
        for compare in &request.compare {
            succeeded = succeeded && self.holds(compare)?;
        }
        decisions.push(succeeded);
        for op in branch(request, succeeded) {
            match &op.request {
                Some(request_op::Request::RequestTxn(nested)) => self.decide(nested, may_put, decisions)?,
                Some(request_op::Request::RequestRange(range)) if range.revision > self.revision() => {
                    return Err(MvccError::FutureRevision);
                }
                Some(request_op::Request::RequestRange(range)) => self.store.check_not_compacted(range)?,
                Some(request_op::Request::RequestPut(put)) => {
                    if put.ignore_value || put.ignore_lease {
                        self.store.index.get(&put.key, self.revision()).ok_or(MvccError::KeyNotFound)?;
                    }
                    may_put(put)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn run(
        &mut self,
        request: &TxnRequest,
        decisions: &mut std::vec::IntoIter<bool>,
    ) -> Result<TxnResponse, MvccError> {
        use request_op::Request as Req;
        use response_op::Response as Resp;
        let succeeded = decisions.next().expect("invariant: each transaction was decided");
        let ops = branch(request, succeeded);
        let mut responses = Vec::with_capacity(ops.len());
        for op in ops {
            let response = match &op.request {
                Some(Req::RequestRange(range)) => {
                    self.counts.ranges += 1;
                    Some(Resp::ResponseRange(self.range(range)?))
                }
                Some(Req::RequestPut(put)) => Some(Resp::ResponsePut(self.put(put)?)),
                Some(Req::RequestDeleteRange(delete)) => Some(Resp::ResponseDeleteRange(self.delete_range(delete)?)),
                Some(Req::RequestTxn(nested)) => Some(Resp::ResponseTxn(self.run(nested, decisions)?)),
                None => None,
            };
            let response = response.map(|response| with_revision(response, self.revision()));
            responses.push(ResponseOp { response });
        }
        Ok(TxnResponse { header: None, succeeded, responses })
    }

    /// Whether a compare holds for every live key of its interval. Where none lives it is made once, with all zeros;
    /// one of values then fails, since the wire cannot tell an absent value from an empty one.
    fn holds(&self, compare: &Compare) -> Result<bool, BackendError> {
        let at = self.revision();
        let live: Vec<Change> = match Interval::of(&compare.key, &compare.range_end) {
            Interval::Key(key) => self.store.index.get(key, at).into_iter().collect(),
            Interval::Span(from, to) => self.store.index.range(from, to, at).map(|(_, change)| change).collect(),
        };
        if live.is_empty() {
            return Ok(compare.target != CompareTarget::Value as i32 && compares(compare, &KeyValue::default()));
        }
        for change in live {
            if !compares(compare, &self.store.load(change.at)?) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn record(&mut self, kv: KeyValue, tombstone: bool) -> Result<(), BackendError> {
        let at = self.next;
        self.store.engine.put(Bucket::Key, at.encode(tombstone), kv.encode_to_vec().into())?;
        self.written.push(Written { kv, tombstone });
        self.next.sub += 1;
        Ok(())
    }
}

/// The header of an operation within a transaction: the revision as it was then, and nothing else. A nested transaction's
/// says nothing at all.
fn with_revision(response: response_op::Response, revision: i64) -> response_op::Response {
    use response_op::Response as Resp;
    let header = Some(ResponseHeader { revision, ..ResponseHeader::default() });
    match response {
        Resp::ResponseRange(range) => Resp::ResponseRange(RangeResponse { header, ..range }),
        Resp::ResponsePut(put) => Resp::ResponsePut(PutResponse { header, ..put }),
        Resp::ResponseDeleteRange(delete) => Resp::ResponseDeleteRange(DeleteRangeResponse { header, ..delete }),
        Resp::ResponseTxn(nested) => {
            Resp::ResponseTxn(TxnResponse { header: Some(ResponseHeader::default()), ..nested })
        }
    }
}

fn branch(request: &TxnRequest, succeeded: bool) -> &[RequestOp] {
    if succeeded { &request.success } else { &request.failure }
}

fn compares(compare: &Compare, kv: &KeyValue) -> bool {
    let number = |union: &Option<TargetUnion>| match *union {
        Some(TargetUnion::Version(n) | TargetUnion::CreateRevision(n) | TargetUnion::ModRevision(n)) => n,
        Some(TargetUnion::Lease(n)) => n,
        _ => 0,
    };
    let wanted = number(&compare.target_union);
    let ordering = match CompareTarget::try_from(compare.target) {
        Ok(CompareTarget::Version) => kv.version.cmp(&wanted),
        Ok(CompareTarget::Create) => kv.create_revision.cmp(&wanted),
        Ok(CompareTarget::Mod) => kv.mod_revision.cmp(&wanted),
        Ok(CompareTarget::Lease) => kv.lease.cmp(&wanted),
        Ok(CompareTarget::Value) => match &compare.target_union {
            Some(TargetUnion::Value(value)) => kv.value.cmp(value),
            _ => kv.value[..].cmp(b""),
        },
        Err(_) => return false,
    };
    match CompareResult::try_from(compare.result) {
        Ok(CompareResult::Equal) => ordering == Ordering::Equal,
        Ok(CompareResult::Greater) => ordering == Ordering::Greater,
        Ok(CompareResult::Less) => ordering == Ordering::Less,
        Ok(CompareResult::NotEqual) => ordering != Ordering::Equal,
        Err(_) => false,
    }
}
