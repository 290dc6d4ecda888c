//! etcd's calls that the tools make, with what each takes and gives.

use seedbed::pb::etcdserverpb::*;
use std::marker::PhantomData;

/// A call by its path.
pub struct Method<I, O> {
    pub(super) path: &'static str,
    types: PhantomData<fn(I) -> O>,
}

impl<I, O> Method<I, O> {
    const fn new(path: &'static str) -> Method<I, O> {
        Method { path, types: PhantomData }
    }
}

/// Puts a key.
pub const PUT: Method<PutRequest, PutResponse> = Method::new("/etcdserverpb.KV/Put");
/// Reads keys.
pub const RANGE: Method<RangeRequest, RangeResponse> = Method::new("/etcdserverpb.KV/Range");
/// Deletes keys.
pub const DELETE_RANGE: Method<DeleteRangeRequest, DeleteRangeResponse> = Method::new("/etcdserverpb.KV/DeleteRange");
/// A transaction.
pub const TXN: Method<TxnRequest, TxnResponse> = Method::new("/etcdserverpb.KV/Txn");
/// Watches, on one stream.
pub const WATCH: Method<WatchRequest, WatchResponse> = Method::new("/etcdserverpb.Watch/Watch");
/// Makes a lease.
pub const LEASE_GRANT: Method<LeaseGrantRequest, LeaseGrantResponse> = Method::new("/etcdserverpb.Lease/LeaseGrant");
/// Ends a lease.
pub const LEASE_REVOKE: Method<LeaseRevokeRequest, LeaseRevokeResponse> =
    Method::new("/etcdserverpb.Lease/LeaseRevoke");
/// Keeps leases alive, on one stream.
pub const LEASE_KEEP_ALIVE: Method<LeaseKeepAliveRequest, LeaseKeepAliveResponse> =
    Method::new("/etcdserverpb.Lease/LeaseKeepAlive");
/// Who is in the cluster.
pub const MEMBER_LIST: Method<MemberListRequest, MemberListResponse> = Method::new("/etcdserverpb.Cluster/MemberList");
/// How a member is.
pub const STATUS: Method<StatusRequest, StatusResponse> = Method::new("/etcdserverpb.Maintenance/Status");
/// A hash of the keys at a revision.
pub const HASH_KV: Method<HashKvRequest, HashKvResponse> = Method::new("/etcdserverpb.Maintenance/HashKV");
/// Alarms.
pub const ALARM: Method<AlarmRequest, AlarmResponse> = Method::new("/etcdserverpb.Maintenance/Alarm");
