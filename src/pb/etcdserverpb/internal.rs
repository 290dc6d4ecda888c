//! What the log carries: a normal entry's request, and the WAL's metadata.

use super::{
    AlarmRequest, AuthDisableRequest, AuthEnableRequest, AuthRoleAddRequest, AuthRoleDeleteRequest, AuthRoleGetRequest,
    AuthRoleGrantPermissionRequest, AuthRoleListRequest, AuthRoleRevokePermissionRequest, AuthUserAddRequest,
    AuthUserChangePasswordRequest, AuthUserDeleteRequest, AuthUserGetRequest, AuthUserGrantRoleRequest,
    AuthUserListRequest, AuthUserRevokeRoleRequest, CompactionRequest, DeleteRangeRequest, InternalAuthenticateRequest,
    LeaseCheckpointRequest, LeaseGrantRequest, LeaseRevokeRequest, PutRequest, RangeRequest, TxnRequest,
};
use bytes::Bytes;

/// The WAL's metadata record (proto2): whose log this is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct Metadata {
    /// The member.
    #[prost(uint64, required, tag = "1")]
    pub node_id: u64,
    /// Its cluster.
    #[prost(uint64, required, tag = "2")]
    pub cluster_id: u64,
}

/// On whose behalf a request was proposed.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct RequestHeader {
    /// The proposer's request number, by which it finds its waiting caller.
    #[prost(uint64, tag = "1")]
    pub id: u64,
    /// The authenticated user; empty for none.
    #[prost(string, tag = "2")]
    pub username: String,
    /// The auth store's revision when permission was checked.
    #[prost(uint64, tag = "3")]
    pub auth_revision: u64,
}

/// What a normal entry carries: one request. The field that is set says which. Large ones that are rare lie in boxes:
/// each entry that is applied is moved as one of these.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct InternalRaftRequest {
    /// The request number of the days before `header`.
    #[prost(uint64, tag = "1")]
    pub id: u64,
    /// A request of the v2 store: in 3.4 still used for member attributes and the cluster version.
    #[prost(message, optional, boxed, tag = "2")]
    pub v2: Option<Box<Request>>,
    /// A range (only inside old logs: reads no longer go through Raft).
    #[prost(message, optional, boxed, tag = "3")]
    pub range: Option<Box<RangeRequest>>,
    /// A put.
    #[prost(message, optional, tag = "4")]
    pub put: Option<PutRequest>,
    /// A delete.
    #[prost(message, optional, tag = "5")]
    pub delete_range: Option<DeleteRangeRequest>,
    /// A transaction.
    #[prost(message, optional, tag = "6")]
    pub txn: Option<TxnRequest>,
    /// A compaction.
    #[prost(message, optional, tag = "7")]
    pub compaction: Option<CompactionRequest>,
    /// A lease is granted; its id was chosen by the proposer.
    #[prost(message, optional, tag = "8")]
    pub lease_grant: Option<LeaseGrantRequest>,
    /// A lease ends.
    #[prost(message, optional, tag = "9")]
    pub lease_revoke: Option<LeaseRevokeRequest>,
    /// An alarm.
    #[prost(message, optional, tag = "10")]
    pub alarm: Option<AlarmRequest>,
    /// What is left of leases.
    #[prost(message, optional, tag = "11")]
    pub lease_checkpoint: Option<LeaseCheckpointRequest>,
    /// On whose behalf.
    #[prost(message, optional, tag = "100")]
    pub header: Option<RequestHeader>,
    /// See [`AuthEnableRequest`].
    #[prost(message, optional, tag = "1000")]
    pub auth_enable: Option<AuthEnableRequest>,
    /// See [`AuthDisableRequest`].
    #[prost(message, optional, tag = "1011")]
    pub auth_disable: Option<AuthDisableRequest>,
    /// See [`InternalAuthenticateRequest`].
    #[prost(message, optional, boxed, tag = "1012")]
    pub authenticate: Option<Box<InternalAuthenticateRequest>>,
    /// See [`AuthUserAddRequest`].
    #[prost(message, optional, boxed, tag = "1100")]
    pub auth_user_add: Option<Box<AuthUserAddRequest>>,
    /// See [`AuthUserDeleteRequest`].
    #[prost(message, optional, tag = "1101")]
    pub auth_user_delete: Option<AuthUserDeleteRequest>,
    /// See [`AuthUserGetRequest`].
    #[prost(message, optional, tag = "1102")]
    pub auth_user_get: Option<AuthUserGetRequest>,
    /// See [`AuthUserChangePasswordRequest`].
    #[prost(message, optional, boxed, tag = "1103")]
    pub auth_user_change_password: Option<Box<AuthUserChangePasswordRequest>>,
    /// See [`AuthUserGrantRoleRequest`].
    #[prost(message, optional, boxed, tag = "1104")]
    pub auth_user_grant_role: Option<Box<AuthUserGrantRoleRequest>>,
    /// See [`AuthUserRevokeRoleRequest`].
    #[prost(message, optional, boxed, tag = "1105")]
    pub auth_user_revoke_role: Option<Box<AuthUserRevokeRoleRequest>>,
    /// See [`AuthUserListRequest`].
    #[prost(message, optional, tag = "1106")]
    pub auth_user_list: Option<AuthUserListRequest>,
    /// See [`AuthRoleListRequest`].
    #[prost(message, optional, tag = "1107")]
    pub auth_role_list: Option<AuthRoleListRequest>,
    /// See [`AuthRoleAddRequest`].
    #[prost(message, optional, tag = "1200")]
    pub auth_role_add: Option<AuthRoleAddRequest>,
    /// See [`AuthRoleDeleteRequest`].
    #[prost(message, optional, tag = "1201")]
    pub auth_role_delete: Option<AuthRoleDeleteRequest>,
    /// See [`AuthRoleGetRequest`].
    #[prost(message, optional, tag = "1202")]
    pub auth_role_get: Option<AuthRoleGetRequest>,
    /// See [`AuthRoleGrantPermissionRequest`].
    #[prost(message, optional, boxed, tag = "1203")]
    pub auth_role_grant_permission: Option<Box<AuthRoleGrantPermissionRequest>>,
    /// See [`AuthRoleRevokePermissionRequest`].
    #[prost(message, optional, boxed, tag = "1204")]
    pub auth_role_revoke_permission: Option<Box<AuthRoleRevokePermissionRequest>>,
}

impl InternalRaftRequest {
    /// Reads the data of a normal entry. A bare request of the v2 store, as etcd 3.4 still proposes it, is none of
    /// this message's and comes as [`InternalRaftRequest::v2`]; empty data (a new leader's entry) as no request.
    pub fn of_entry(data: &Bytes) -> Result<InternalRaftRequest, prost::DecodeError> {
        use prost::Message as _;
        InternalRaftRequest::decode(data.clone()).or_else(|_| {
            let v2 = Request::decode(data.clone())?;
            Ok(InternalRaftRequest { v2: Some(v2.into()), ..InternalRaftRequest::default() })
        })
    }
}

/// A request of the v2 store (proto2). In 3.4 a member publishes its name and client URLs, and the leader the cluster
/// version, as such a PUT.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct Request {
    /// The proposer's request number.
    #[prost(uint64, required, tag = "1")]
    pub id: u64,
    /// `PUT` and so on.
    #[prost(string, required, tag = "2")]
    pub method: String,
    /// The node, for example `/0/version`.
    #[prost(string, required, tag = "3")]
    pub path: String,
    /// The value.
    #[prost(string, required, tag = "4")]
    pub val: String,
    /// The node is a directory.
    #[prost(bool, required, tag = "5")]
    pub dir: bool,
    /// Only if the value is this.
    #[prost(string, required, tag = "6")]
    pub prev_value: String,
    /// Only if the index is this.
    #[prost(uint64, required, tag = "7")]
    pub prev_index: u64,
    /// Only if it exists, or only if not.
    #[prost(bool, optional, tag = "8")]
    pub prev_exist: Option<bool>,
    /// When it expires, Unix nanoseconds.
    #[prost(int64, required, tag = "9")]
    pub expiration: i64,
    /// A watch.
    #[prost(bool, required, tag = "10")]
    pub wait: bool,
    /// From which index a watch starts.
    #[prost(uint64, required, tag = "11")]
    pub since: u64,
    /// The whole subtree.
    #[prost(bool, required, tag = "12")]
    pub recursive: bool,
    /// Sorted answer.
    #[prost(bool, required, tag = "13")]
    pub sorted: bool,
    /// A read through Raft.
    #[prost(bool, required, tag = "14")]
    pub quorum: bool,
    /// The proposer's clock, Unix nanoseconds.
    #[prost(int64, required, tag = "15")]
    pub time: i64,
    /// A watch that goes on.
    #[prost(bool, required, tag = "16")]
    pub stream: bool,
    /// Renews the expiration without telling watchers.
    #[prost(bool, optional, tag = "17")]
    pub refresh: Option<bool>,
}
