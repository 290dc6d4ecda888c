//! How a committed entry changes the state; nothing else does.
//!
//! ```text
//!   entry ──▶ State::apply ──┬──▶ may its author do that? If not, it changes nothing
//!                            ├──▶ a write transaction: keys, and the records of leases, users and members,
//!                            │    with the consistent index that vouches for them
//!                            └──▶ what is kept in memory beside them: which key hangs on which lease, tokens
//! ```
//!
//! Every member applies the same entries in the same order, so everything here must be deterministic: a request that
//! fails must fail alike everywhere, and it takes its place in the log all the same (its consistent index is saved).
//! Time is given only to what each member counts for itself, leases and tokens, and no record depends on it. An alarm
//! that is raised keeps some requests out, from the entry on that raised it (`crate::alarm`).

mod auth;
mod state;

pub use state::{RestoringState, State};

use crate::alarm::{self, Alarms, Refusal};
use crate::api::{AuthError, Error, Request, Response};
use crate::auth::AuthInfo;
use crate::backend::{BackendError, Record};
use crate::bug::Bug;
use crate::cluster::{Change, ChangeError, Cluster};
use crate::lease::{LeaseError, Lessor};
use crate::mvcc::{self, MvccError, Store, WriteTxn};
use crate::pb::etcdserverpb as v2;
use crate::pb::etcdserverpb::{
    AlarmResponse, DeleteRangeRequest, InternalAuthenticateRequest, InternalRaftRequest, LeaseCheckpoint,
    LeaseCheckpointRequest, LeaseGrantRequest, LeaseGrantResponse, LeaseRevokeResponse, PutRequest, RequestHeader,
    TxnRequest, request_op::Request as Op,
};
use crate::pb::ids::AttributesJson;
use crate::pb::raftpb::ConfChange;
use crate::raft::{Entry, EntryKind, NodeId};
use crate::time::Now;
use prost::Message as _;

/// What an entry brought.
#[derive(Debug)]
pub struct Applied {
    /// The request's number; 0 for an entry without one.
    pub request: u64,
    /// The answer for whoever proposed it. Without a header.
    pub result: Result<Response, Error>,
    /// The revision that the answer's header names.
    pub revision: i64,
    /// Bytes that the request was reckoned to add to the database.
    pub cost: u64,
    /// Auth refused it.
    pub denied: Option<AuthError>,
    /// What it changed of the cluster, if it was about that; or why it did not.
    pub change: Option<Result<Change, ChangeError>>,
}

/// A request that fails, or an engine that does.
enum Failed {
    Request(Error),
    Engine(BackendError),
}

impl From<MvccError> for Failed {
    fn from(error: MvccError) -> Failed {
        Failed::Request(match error {
            MvccError::Backend(error) => return Failed::Engine(error),
            MvccError::FutureRevision => Error::FutureRevision,
            MvccError::Compacted => Error::Compacted,
            MvccError::KeyNotFound => Error::KeyNotFound,
            MvccError::LeaseNotFound => Error::LeaseNotFound,
        })
    }
}

impl From<BackendError> for Failed {
    fn from(error: BackendError) -> Failed {
        Failed::Engine(error)
    }
}

impl From<Refusal> for Failed {
    fn from(refusal: Refusal) -> Failed {
        Failed::Request(match refusal {
            Refusal::NoSpace => Error::NoSpace,
            Refusal::Corrupt => Error::Corrupt,
        })
    }
}

impl From<LeaseError> for Failed {
    fn from(error: LeaseError) -> Failed {
        Failed::Request(match error {
            LeaseError::NotFound => Error::LeaseNotFound,
            LeaseError::Exists => Error::LeaseExists,
            LeaseError::TtlTooLarge => Error::LeaseTtlTooLarge,
            LeaseError::NotPrimary => Error::NotLeader,
        })
    }
}

impl From<AuthError> for Failed {
    fn from(error: AuthError) -> Failed {
        Failed::Request(Error::Auth(error))
    }
}

impl From<MvccError> for Error {
    fn from(error: MvccError) -> Error {
        match Failed::from(error) {
            Failed::Request(error) => error,
            // The member stops; nobody hears more than that.
            Failed::Engine(_) => Error::Stopped,
        }
    }
}

impl State {
    /// Applies `entry`, whose index must follow the last applied one. `now` is for the leader's leases and for tokens.
    /// An error is the engine's: the member must stop.
    pub fn apply(&mut self, now: Now, entry: &Entry) -> Result<Applied, BackendError> {
        let State { store, lessor, alarms, auth } = self;
        assert_eq!(entry.index, store.consistent_index() + 1, "invariant: entries are applied in order, each once");
        let (request, change) = read(entry);
        let (records, change) = records(store, change)?;
        let number = request.header.as_ref().map_or(0, |header| header.id);
        let bugs = store.bugs();
        // Before 3.5 grants and revokes were committed without the index that says that they are there (#11935).
        let is_of_leases = request.lease_grant.is_some() || request.lease_revoke.is_some();
        // Before 3.1.8 so were changes of the members (#7834).
        let is_of_members = entry.kind == EntryKind::ConfChange;
        let unmarked =
            (bugs.on(Bug::LeaseCiUnsaved) && is_of_leases) || (bugs.on(Bug::ConfchangeNoCi) && is_of_members);
        let old_marks = if unmarked || bugs.on(Bug::FailedApplyNoCi) { store.marks()? } else { Vec::new() };
        let place = mvcc::Applied { index: entry.index, term: entry.term };
        let mut txn = if bugs.on(Bug::AuthCiUnsaved) && auth::is_for_auth(&request) {
            // Users and roles were written in transactions of their own (#11651).
            store.write_unmarked(place)
        } else {
            store.write(place)?
        };
        records.into_iter().try_for_each(|record| write(&mut txn, record))?;
        let denied = auth.check_entry(&request, &|lease| lessor.keys(lease).cloned().collect()).err();
        let outcome = match denied {
            Some(error) => Err(error.into()),
            None if auth::is_for_auth(&request) => auth::run(&mut txn, auth, now, entry.index, &request),
            None => run(&mut txn, lessor, alarms, now, &request),
        };
        let result = match outcome {
            Err(Failed::Engine(error)) => {
                // What is half done is never seen: the transaction stays open, and the member stops. etcd ended it on the
                // way out, and so published it, with the index that says that all of it is there (#18799).
                if bugs.on(Bug::PartialTxnOnPanic) {
                    txn.commit();
                }
                return Err(error);
            }
            Err(Failed::Request(error)) => Err(error),
            Ok(response) => match &change {
                Some(Err(error)) if entry.kind == EntryKind::ConfChange => Err(error.into()),
                _ => Ok(response),
            },
        };
        if result.is_err() || unmarked {
            // etcd 3.5.3 moved the index only where something else was written too (#13937).
            old_marks.into_iter().try_for_each(|record| write(&mut txn, record))?;
        }
        let written = txn.take_written();
        let revision = txn.commit();
        written.iter().for_each(|written| lessor.replay(&written.kv.key, written.kv.lease, written.tombstone));
        Ok(Applied { request: number, result, revision, cost: alarm::cost(&request), denied, change })
    }
}

/// The request in an entry, and what it is to change of the cluster. Who *votes* is Raft's business, and its owner's;
/// here it is written down who is who.
fn read(entry: &Entry) -> (InternalRaftRequest, Option<Result<Change, ChangeError>>) {
    match entry.kind {
        EntryKind::Normal => {
            // Data that is no request changes nothing, at every member alike.
            let request = InternalRaftRequest::of_entry(&entry.data).unwrap_or_default();
            let change = request.v2.as_ref().and_then(|v2| Change::of_v2(v2).transpose());
            (request, change)
        }
        EntryKind::ConfChange => {
            let number = ConfChange::decode(entry.data.clone()).map_or(0, |change| change.id);
            (on_behalf_of(&AuthInfo::default(), number), Some(Change::of_conf_change(&entry.data)))
        }
        EntryKind::ConfChangeV2 => (InternalRaftRequest::default(), None),
    }
}

/// What an entry is to change of the cluster.
pub fn change_in(entry: &Entry) -> Option<Result<Change, ChangeError>> {
    read(entry).1
}

impl From<&ChangeError> for Error {
    fn from(error: &ChangeError) -> Error {
        match error {
            ChangeError::Removed { .. } | ChangeError::NotFound { .. } => Error::MemberNotFound,
            ChangeError::Exists { .. } => Error::MemberExists,
            ChangeError::UrlTaken { .. } => Error::PeerUrlExists,
            ChangeError::NotLearner { .. } => Error::NotLearner,
            ChangeError::TooManyLearners => Error::TooManyLearners,
            // No member proposes such bytes.
            ChangeError::Malformed { .. }
            | ChangeError::Json { .. }
            | ChangeError::Identity { .. }
            | ChangeError::Version { .. } => Error::ProposalDropped,
        }
    }
}

fn run(
    txn: &mut WriteTxn<'_>,
    lessor: &mut Lessor,
    alarms: &mut Alarms,
    now: Now,
    request: &InternalRaftRequest,
) -> Result<Response, Failed> {
    if let Some(refusal) = alarms.refuse(request) {
        return Err(refusal.into());
    }
    let may_put = |put: &PutRequest| match put.lease {
        0 => Ok(()),
        lease if lessor.contains(lease) => Ok(()),
        _ => Err(MvccError::LeaseNotFound),
    };
    if let Some(put) = &request.put {
        may_put(put)?;
        Ok(Response::Put(txn.put(put)?))
    } else if let Some(delete) = &request.delete_range {
        Ok(Response::DeleteRange(txn.delete_range(delete)?))
    } else if let Some(nested) = &request.txn {
        Ok(Response::Txn(txn.guarded_txn(nested, &may_put)?))
    } else if let Some(compaction) = &request.compaction {
        Ok(Response::Compact(txn.compact(compaction.revision)?))
    } else if let Some(grant) = &request.lease_grant {
        lease_grant(txn, lessor, now, grant)
    } else if let Some(revoke) = &request.lease_revoke {
        lease_revoke(txn, lessor, revoke.id)
    } else if let Some(request) = &request.alarm {
        let (alarms, record) = alarms.execute(request);
        record.into_iter().try_for_each(|record| write(txn, record))?;
        Ok(Response::Alarm(AlarmResponse { header: None, alarms }))
    } else if let Some(request) = &request.lease_checkpoint {
        for LeaseCheckpoint { id, remaining_ttl } in &request.checkpoints {
            lessor.checkpoint(now.mono, *id, *remaining_ttl).into_iter().try_for_each(|record| write(txn, record))?;
        }
        Ok(Response::Nothing)
    } else {
        // A new leader's empty entry, or one of the cluster's own records.
        Ok(Response::Nothing)
    }
}

fn lease_grant(
    txn: &mut WriteTxn<'_>,
    lessor: &mut Lessor,
    now: Now,
    request: &LeaseGrantRequest,
) -> Result<Response, Failed> {
    let (ttl, record) = lessor.grant(now.mono, request.id, request.ttl)?;
    write(txn, record)?;
    Ok(Response::LeaseGrant(LeaseGrantResponse { id: request.id, ttl, ..Default::default() }))
}

/// The keys go in one revision, in their order, so that every member gives each tombstone the same.
fn lease_revoke(txn: &mut WriteTxn<'_>, lessor: &mut Lessor, id: i64) -> Result<Response, Failed> {
    let revoked = lessor.revoke(id)?;
    for key in revoked.keys {
        txn.delete_range(&DeleteRangeRequest { key, ..Default::default() })?;
    }
    write(txn, revoked.record)?;
    Ok(Response::LeaseRevoke(LeaseRevokeResponse::default()))
}

fn write(txn: &mut WriteTxn<'_>, Record { bucket, key, value }: Record) -> Result<(), BackendError> {
    match value {
        Some(value) => txn.set(bucket, key, value),
        None => txn.unset(bucket, &key),
    }
}

/// What to write down about the cluster. A change that cannot be read, or not be made, changes nothing: the entry is
/// the same at every member, and so is the answer.
#[expect(clippy::type_complexity, reason = "the change goes through, made or not")]
fn records(
    store: &Store,
    change: Option<Result<Change, ChangeError>>,
) -> Result<(Vec<Record>, Option<Result<Change, ChangeError>>), BackendError> {
    let Some(Ok(change)) = change else { return Ok((Vec::new(), change)) };
    Ok(match Cluster::load(store.engine())?.change(change.clone(), store.bugs()) {
        Ok(records) => (records, Some(Ok(change))),
        Err(error) => (Vec::new(), Some(Err(error))),
    })
}

/// The entry without the ranges of its transaction. Only a historical bug applies that (etcd #18667).
pub fn without_ranges(entry: &Entry) -> Entry {
    fn strip(txn: &mut TxnRequest) {
        for ops in [&mut txn.success, &mut txn.failure] {
            ops.retain(|op| !matches!(op.request, Some(Op::RequestRange(_))));
            for op in ops {
                if let Some(Op::RequestTxn(nested)) = &mut op.request {
                    strip(nested);
                }
            }
        }
    }
    let Ok(mut request) = InternalRaftRequest::of_entry(&entry.data) else { return entry.clone() };
    let Some(txn) = &mut request.txn else { return entry.clone() };
    strip(txn);
    Entry { data: request.encode_to_vec().into(), ..entry.clone() }
}

/// The number of an entry's request; 0 if it has none.
pub fn number_of(entry: &Entry) -> u64 {
    let request = InternalRaftRequest::of_entry(&entry.data).unwrap_or_default();
    request.header.map_or(0, |header| header.id)
}

/// The entry data of what a leader writes down about leases.
pub fn encode_checkpoints(number: u64, checkpoints: LeaseCheckpointRequest) -> Vec<u8> {
    InternalRaftRequest { lease_checkpoint: Some(checkpoints), ..on_behalf_of(&AuthInfo::default(), number) }
        .encode_to_vec()
}

/// The entry data of an authentication whose password was checked.
pub fn encode_authentication(number: u64, authenticate: InternalAuthenticateRequest) -> Vec<u8> {
    InternalRaftRequest { authenticate: Some(authenticate.into()), ..on_behalf_of(&AuthInfo::default(), number) }
        .encode_to_vec()
}

fn on_behalf_of(who: &AuthInfo, number: u64) -> InternalRaftRequest {
    let header = RequestHeader { id: number, username: who.username.clone(), auth_revision: who.revision };
    InternalRaftRequest { header: Some(header), ..Default::default() }
}

/// The entry data with which a member tells its name, as etcd 3.4 does: a request of the store before this one.
pub fn encode_attributes(number: u64, id: NodeId, attributes: &AttributesJson) -> Vec<u8> {
    let v2 = v2::Request {
        id: number,
        method: "PUT".into(),
        path: format!("/0/members/{id:x}/attributes"),
        val: String::from_utf8_lossy(&attributes.to_json()).into_owned(),
        ..Default::default()
    };
    InternalRaftRequest { v2: Some(v2.into()), ..on_behalf_of(&AuthInfo::default(), number) }.encode_to_vec()
}

/// The entry data of a request on nobody's behalf.
pub fn encode(number: u64, request: Request) -> Vec<u8> {
    encode_as(&AuthInfo::default(), number, request)
}

/// The entry data of a request on somebody's behalf.
pub fn encode_as(who: &AuthInfo, number: u64, request: Request) -> Vec<u8> {
    let mut internal = on_behalf_of(who, number);
    match request {
        Request::Put(put) => internal.put = Some(put),
        Request::DeleteRange(delete) => internal.delete_range = Some(delete),
        Request::Txn(txn) => internal.txn = Some(txn),
        Request::Compact(compaction) => internal.compaction = Some(compaction),
        Request::LeaseGrant(grant) => internal.lease_grant = Some(grant),
        Request::LeaseRevoke(revoke) => internal.lease_revoke = Some(revoke),
        Request::Alarm(alarm) => internal.alarm = Some(alarm),
        Request::Auth(request) => auth::put_into(&mut internal, request),
        other => {
            panic!("invariant: only writes go into the log, and changes of members by Raft's own entries: {other:?}")
        }
    }
    internal.encode_to_vec()
}

/// The same entry under another number, on behalf of who its author is now.
pub fn encode_again(who: &AuthInfo, number: u64, entry: &Entry) -> Vec<u8> {
    let request = InternalRaftRequest::of_entry(&entry.data).unwrap_or_default();
    InternalRaftRequest { header: on_behalf_of(who, number).header, ..request }.encode_to_vec()
}
