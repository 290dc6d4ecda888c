//! What a client may ask of a member and what it may hear: etcd's requests, responses and errors, typed.
//!
//! `validate` refuses what can be seen to be wrong before anything is done; `error` says what went wrong, and in which
//! words. `auth` has the requests about users and roles, and says who asks.

mod auth;
mod auth_error;
mod error;
mod image;
mod validate;

pub use auth::{AuthRequest, AuthResponse, Credentials};
pub use auth_error::AuthError;
pub use error::{Code, Error};
pub use image::{ImageId, ImagePart, ImageRequest};
pub use validate::validate;

use crate::pb::etcdserverpb::{
    AlarmRequest, AlarmResponse, CompactionRequest, CompactionResponse, DeleteRangeRequest, DeleteRangeResponse,
    HashKvRequest, HashKvResponse, HashResponse, LeaseGrantRequest, LeaseGrantResponse, LeaseKeepAliveRequest,
    LeaseKeepAliveResponse, LeaseLeasesResponse, LeaseRevokeRequest, LeaseRevokeResponse, LeaseTimeToLiveRequest,
    LeaseTimeToLiveResponse, MemberAddRequest, MemberAddResponse, MemberListRequest, MemberListResponse,
    MemberPromoteRequest, MemberPromoteResponse, MemberRemoveRequest, MemberRemoveResponse, MemberUpdateRequest,
    MemberUpdateResponse, PutRequest, PutResponse, RangeRequest, RangeResponse, StatusResponse, TxnRequest,
    TxnResponse,
};
use crate::raft::NodeId;

/// A request's number on its member, given by whoever hands it in; the reply carries it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(pub u64);

/// A client's request.
#[derive(Clone, Debug, PartialEq, Hash)]
pub enum Request {
    /// Read keys: linearizable unless `serializable` is set.
    Range(RangeRequest),
    /// Set a key.
    Put(PutRequest),
    /// Delete keys.
    DeleteRange(DeleteRangeRequest),
    /// Compare, then do one of two lists of operations.
    Txn(TxnRequest),
    /// Forget the history before a revision.
    Compact(CompactionRequest),
    /// Grant a lease.
    LeaseGrant(LeaseGrantRequest),
    /// End a lease; its keys go with it.
    LeaseRevoke(LeaseRevokeRequest),
    /// Begin a lease's life anew. The leader answers.
    LeaseKeepAlive(LeaseKeepAliveRequest),
    /// How long will a lease live? The leader answers.
    LeaseTimeToLive(LeaseTimeToLiveRequest),
    /// All leases.
    LeaseLeases,
    /// Copy this member's database into a dense file (`etcdctl defrag`). Concerns this member alone.
    Defragment,
    /// Hand leadership to this member.
    MoveLeader(NodeId),
    /// Raise an alarm, take one back, or ask for them.
    Alarm(AlarmRequest),
    /// How is this member?
    Status,
    /// Hash this member's keys at a revision.
    HashKv(HashKvRequest),
    /// Something about users, roles and who may do what.
    Auth(AuthRequest),
    /// Hash all buckets of this member's database.
    Hash,
    /// Let a member join. It is told its id, and starts with an empty disk.
    MemberAdd(MemberAddRequest),
    /// Let a member go. Its id never returns.
    MemberRemove(MemberRemoveRequest),
    /// Say where a member's peers reach it from now on.
    MemberUpdate(MemberUpdateRequest),
    /// Let a learner vote. The leader answers.
    MemberPromote(MemberPromoteRequest),
    /// Who are the members? As this one knows them, or `linearizable`.
    MemberList(MemberListRequest),
    /// Read an image of this member's database.
    Image(ImageRequest),
}

impl Request {
    /// Whether it changes keys, leases, alarms or members, through the log: not to be asked again by whoever did not hear the
    /// answer. Those about users go through the log, too, and may be repeated: they say what shall be.
    pub fn is_write(&self) -> bool {
        match self {
            Request::Put(_)
            | Request::DeleteRange(_)
            | Request::Txn(_)
            | Request::Compact(_)
            | Request::LeaseGrant(_)
            | Request::LeaseRevoke(_)
            | Request::Alarm(_)
            | Request::MemberAdd(_)
            | Request::MemberRemove(_)
            | Request::MemberUpdate(_)
            | Request::MemberPromote(_) => true,
            Request::Range(_)
            | Request::LeaseKeepAlive(_)
            | Request::LeaseTimeToLive(_)
            | Request::LeaseLeases
            | Request::Defragment
            | Request::MoveLeader(_)
            | Request::Status
            | Request::HashKv(_)
            | Request::Auth(_)
            | Request::Hash
            | Request::MemberList(_)
            | Request::Image(_) => false,
        }
    }
}

/// What a request brought.
#[derive(Clone, Debug, PartialEq, Hash)]
pub enum Response {
    /// To [`Request::Range`].
    Range(RangeResponse),
    /// To [`Request::Put`].
    Put(PutResponse),
    /// To [`Request::DeleteRange`].
    DeleteRange(DeleteRangeResponse),
    /// To [`Request::Txn`].
    Txn(TxnResponse),
    /// To [`Request::Compact`].
    Compact(CompactionResponse),
    /// To [`Request::LeaseGrant`].
    LeaseGrant(LeaseGrantResponse),
    /// To [`Request::LeaseRevoke`].
    LeaseRevoke(LeaseRevokeResponse),
    /// To [`Request::LeaseKeepAlive`].
    LeaseKeepAlive(LeaseKeepAliveResponse),
    /// To [`Request::LeaseTimeToLive`].
    LeaseTimeToLive(LeaseTimeToLiveResponse),
    /// To [`Request::LeaseLeases`].
    LeaseLeases(LeaseLeasesResponse),
    /// To [`Request::Defragment`]: the dense file is durable and in use.
    Defragment,
    /// To [`Request::MoveLeader`]: the new leader leads.
    MoveLeader,
    /// Of an entry that nobody asked for.
    Nothing,
    /// To [`Request::Alarm`].
    Alarm(AlarmResponse),
    /// To [`Request::Status`].
    Status(StatusResponse),
    /// To [`Request::HashKv`].
    HashKv(HashKvResponse),
    /// To [`Request::Auth`].
    Auth(AuthResponse),
    /// To [`Request::Hash`].
    Hash(HashResponse),
    /// To [`Request::MemberAdd`].
    MemberAdd(MemberAddResponse),
    /// To [`Request::MemberRemove`].
    MemberRemove(MemberRemoveResponse),
    /// To [`Request::MemberUpdate`].
    MemberUpdate(MemberUpdateResponse),
    /// To [`Request::MemberPromote`].
    MemberPromote(MemberPromoteResponse),
    /// To [`Request::MemberList`].
    MemberList(MemberListResponse),
    /// To [`Request::Image`].
    Image(ImagePart),
}
