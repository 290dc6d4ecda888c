//! How a committed entry changes the state; nothing else does.
//!
//! Every member applies the same entries in the same order, so everything here must be deterministic: a request that
//! fails must fail alike everywhere, and it takes its place in the log all the same (its consistent index is saved).

use crate::api::{Error, Request, Response};
use crate::backend::BackendError;
use crate::cluster::{Change, ChangeError, Cluster, Record};
use crate::mvcc::{self, MvccError, Store};
use crate::pb::etcdserverpb::InternalRaftRequest;
use crate::raft::{Entry, EntryKind};
use prost::Message as _;

/// What an entry brought.
#[derive(Debug)]
pub struct Applied {
    /// The request's number; 0 for an entry without one.
    pub request: u64,
    /// The answer for whoever proposed it. Without a header.
    pub result: Result<Response, MvccError>,
    /// The revision that the answer's header names.
    pub revision: i64,
}

impl From<MvccError> for Error {
    fn from(error: MvccError) -> Error {
        match error {
            MvccError::FutureRevision => Error::FutureRevision,
            MvccError::Compacted => Error::Compacted,
            MvccError::KeyNotFound => Error::KeyNotFound,
            // The member stops; nobody hears more than that.
            MvccError::Backend(_) => Error::Stopped,
        }
    }
}

/// Applies `entry`, whose index must follow the last applied one. An error is the engine's: the member must stop.
pub fn apply(store: &mut Store, entry: &Entry) -> Result<Applied, BackendError> {
    assert_eq!(entry.index, store.consistent_index() + 1, "invariant: entries are applied in order, each once");
    let (request, records) = match entry.kind {
        EntryKind::Normal => {
            // Data that is no request changes nothing, at every member alike.
            let request = InternalRaftRequest::of_entry(&entry.data).unwrap_or_default();
            let records = match &request.v2 {
                Some(v2) => records(store, Change::of_v2(v2))?,
                None => Vec::new(),
            };
            (request, records)
        }
        // Who votes changes with the chapter on membership; here it is written down who is who.
        EntryKind::ConfChange => {
            (InternalRaftRequest::default(), records(store, Change::of_conf_change(&entry.data).map(Some))?)
        }
        EntryKind::ConfChangeV2 => (InternalRaftRequest::default(), Vec::new()),
    };
    let number = request.header.as_ref().map_or(0, |header| header.id);
    let mut txn = store.write(mvcc::Applied { index: entry.index, term: entry.term })?;
    for Record { bucket, key, value } in records {
        match value {
            Some(value) => txn.set(bucket, key, value)?,
            None => txn.unset(bucket, &key)?,
        }
    }
    let result = if let Some(put) = &request.put {
        txn.put(put).map(Response::Put)
    } else if let Some(delete) = &request.delete_range {
        txn.delete_range(delete).map(Response::DeleteRange)
    } else if let Some(nested) = &request.txn {
        txn.txn(nested).map(Response::Txn)
    } else if let Some(compaction) = &request.compaction {
        txn.compact(compaction.revision).map(Response::Compact)
    } else {
        // A new leader's empty entry, or one of the cluster's own records.
        Ok(Response::MoveLeader)
    };
    let revision = txn.commit();
    match result {
        Err(MvccError::Backend(error)) => Err(error),
        result => Ok(Applied { request: number, result, revision }),
    }
}

/// What to write down about the cluster. A change that cannot be read, or not be made, changes nothing: the entry is
/// the same at every member, and so is the answer.
fn records(store: &Store, change: Result<Option<Change>, ChangeError>) -> Result<Vec<Record>, BackendError> {
    let Ok(Some(change)) = change else { return Ok(Vec::new()) };
    Ok(Cluster::load(store.engine())?.change(change).unwrap_or_default())
}

/// The entry data of a write.
pub fn encode(number: u64, request: Request) -> Vec<u8> {
    let header = crate::pb::etcdserverpb::RequestHeader { id: number, ..Default::default() };
    let mut internal = InternalRaftRequest { header: Some(header), ..Default::default() };
    match request {
        Request::Put(put) => internal.put = Some(put),
        Request::DeleteRange(delete) => internal.delete_range = Some(delete),
        Request::Txn(txn) => internal.txn = Some(txn),
        Request::Compact(compaction) => internal.compaction = Some(compaction),
        Request::Range(_) | Request::MoveLeader(_) | Request::Defragment => {
            panic!("invariant: only writes go into the log")
        }
    }
    internal.encode_to_vec()
}
