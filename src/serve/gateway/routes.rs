//! Which path stands for which call.

use super::messages::*;
use super::transcode::Message;

/// A path, without the version before it, and what it stands for.
pub(super) struct Route {
    path: &'static str,
    /// The call's path in gRPC.
    pub(super) call: &'static str,
    pub(super) request: &'static Message,
    pub(super) response: &'static Message,
    pub(super) says: Says,
    /// It is answered by lines, each with a result.
    pub(super) streams: bool,
}

/// What a client says in a call.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Says {
    /// One message.
    One,
    /// Messages, one behind the other.
    Many,
    /// The same, and the call goes on when it has said them.
    ManyAndListens,
}

/// What a path stands for. All stand below `/v3/`, and once more where etcd had them before 3.4.
pub(super) fn find(path: &str) -> Option<&'static Route> {
    let path = path.strip_prefix("/v3/").or_else(|| path.strip_prefix("/v3beta/"))?;
    ROUTES.iter().find(|route| route.path == path)
}

const fn unary(path: &'static str, call: &'static str, request: &'static Message, response: &'static Message) -> Route {
    Route { path, call, request, response, says: Says::One, streams: false }
}

const fn answers(
    path: &'static str,
    call: &'static str,
    request: &'static Message,
    response: &'static Message,
) -> Route {
    Route { streams: true, ..unary(path, call, request, response) }
}

const fn stream(
    path: &'static str,
    call: &'static str,
    request: &'static Message,
    response: &'static Message,
) -> Route {
    Route { says: Says::Many, ..answers(path, call, request, response) }
}

const fn open_stream(
    path: &'static str,
    call: &'static str,
    request: &'static Message,
    response: &'static Message,
) -> Route {
    Route { says: Says::ManyAndListens, ..answers(path, call, request, response) }
}

static ROUTES: &[Route] = &[
    unary("kv/range", "/etcdserverpb.KV/Range", &RANGE_REQUEST, &RANGE_RESPONSE),
    unary("kv/put", "/etcdserverpb.KV/Put", &PUT_REQUEST, &PUT_RESPONSE),
    unary("kv/deleterange", "/etcdserverpb.KV/DeleteRange", &DELETE_RANGE_REQUEST, &DELETE_RANGE_RESPONSE),
    unary("kv/txn", "/etcdserverpb.KV/Txn", &TXN_REQUEST, &TXN_RESPONSE),
    unary("kv/compaction", "/etcdserverpb.KV/Compact", &COMPACTION_REQUEST, &ONLY_HEADER),
    open_stream("watch", "/etcdserverpb.Watch/Watch", &WATCH_REQUEST, &WATCH_RESPONSE),
    unary("lease/grant", "/etcdserverpb.Lease/LeaseGrant", &LEASE_GRANT_REQUEST, &LEASE_GRANT_RESPONSE),
    unary("lease/revoke", "/etcdserverpb.Lease/LeaseRevoke", &LEASE_ID, &ONLY_HEADER),
    stream("lease/keepalive", "/etcdserverpb.Lease/LeaseKeepAlive", &LEASE_ID, &LEASE_KEEP_ALIVE_RESPONSE),
    unary(
        "lease/timetolive",
        "/etcdserverpb.Lease/LeaseTimeToLive",
        &LEASE_TIME_TO_LIVE_REQUEST,
        &LEASE_TIME_TO_LIVE_RESPONSE,
    ),
    unary("lease/leases", "/etcdserverpb.Lease/LeaseLeases", &NOTHING, &LEASE_LEASES_RESPONSE),
    unary("kv/lease/revoke", "/etcdserverpb.Lease/LeaseRevoke", &LEASE_ID, &ONLY_HEADER),
    unary(
        "kv/lease/timetolive",
        "/etcdserverpb.Lease/LeaseTimeToLive",
        &LEASE_TIME_TO_LIVE_REQUEST,
        &LEASE_TIME_TO_LIVE_RESPONSE,
    ),
    unary("kv/lease/leases", "/etcdserverpb.Lease/LeaseLeases", &NOTHING, &LEASE_LEASES_RESPONSE),
    unary("cluster/member/add", "/etcdserverpb.Cluster/MemberAdd", &MEMBER_ADD_REQUEST, &MEMBER_ADD_RESPONSE),
    unary("cluster/member/remove", "/etcdserverpb.Cluster/MemberRemove", &MEMBER_ID, &MEMBERS),
    unary("cluster/member/update", "/etcdserverpb.Cluster/MemberUpdate", &MEMBER_UPDATE_REQUEST, &MEMBERS),
    unary("cluster/member/list", "/etcdserverpb.Cluster/MemberList", &MEMBER_LIST_REQUEST, &MEMBERS),
    unary("cluster/member/promote", "/etcdserverpb.Cluster/MemberPromote", &MEMBER_ID, &MEMBERS),
    unary("maintenance/alarm", "/etcdserverpb.Maintenance/Alarm", &ALARM_REQUEST, &ALARM_RESPONSE),
    unary("maintenance/status", "/etcdserverpb.Maintenance/Status", &NOTHING, &STATUS_RESPONSE),
    unary("maintenance/defragment", "/etcdserverpb.Maintenance/Defragment", &NOTHING, &ONLY_HEADER),
    unary("maintenance/hash", "/etcdserverpb.Maintenance/Hash", &NOTHING, &HASH_RESPONSE),
    answers("maintenance/snapshot", "/etcdserverpb.Maintenance/Snapshot", &NOTHING, &SNAPSHOT_RESPONSE),
    unary(
        "maintenance/transfer-leadership",
        "/etcdserverpb.Maintenance/MoveLeader",
        &MOVE_LEADER_REQUEST,
        &ONLY_HEADER,
    ),
    unary("auth/enable", "/etcdserverpb.Auth/AuthEnable", &NOTHING, &ONLY_HEADER),
    unary("auth/disable", "/etcdserverpb.Auth/AuthDisable", &NOTHING, &ONLY_HEADER),
    unary("auth/authenticate", "/etcdserverpb.Auth/Authenticate", &NAME_AND_PASSWORD, &AUTHENTICATE_RESPONSE),
    unary("auth/user/add", "/etcdserverpb.Auth/UserAdd", &USER_ADD_REQUEST, &ONLY_HEADER),
    unary("auth/user/get", "/etcdserverpb.Auth/UserGet", &NAME, &ROLES),
    unary("auth/user/list", "/etcdserverpb.Auth/UserList", &NOTHING, &USERS),
    unary("auth/user/delete", "/etcdserverpb.Auth/UserDelete", &NAME, &ONLY_HEADER),
    unary("auth/user/changepw", "/etcdserverpb.Auth/UserChangePassword", &NAME_AND_PASSWORD, &ONLY_HEADER),
    unary("auth/user/grant", "/etcdserverpb.Auth/UserGrantRole", &USER_GRANT_ROLE_REQUEST, &ONLY_HEADER),
    unary("auth/user/revoke", "/etcdserverpb.Auth/UserRevokeRole", &USER_REVOKE_ROLE_REQUEST, &ONLY_HEADER),
    unary("auth/role/add", "/etcdserverpb.Auth/RoleAdd", &NAME, &ONLY_HEADER),
    unary("auth/role/get", "/etcdserverpb.Auth/RoleGet", &ROLE, &ROLE_GET_RESPONSE),
    unary("auth/role/list", "/etcdserverpb.Auth/RoleList", &NOTHING, &ROLES),
    unary("auth/role/delete", "/etcdserverpb.Auth/RoleDelete", &ROLE, &ONLY_HEADER),
    unary("auth/role/grant", "/etcdserverpb.Auth/RoleGrantPermission", &ROLE_GRANT_PERMISSION_REQUEST, &ONLY_HEADER),
    unary("auth/role/revoke", "/etcdserverpb.Auth/RoleRevokePermission", &ROLE_REVOKE_PERMISSION_REQUEST, &ONLY_HEADER),
    unary("lock/lock", "/v3lockpb.Lock/Lock", &LOCK_REQUEST, &LOCK_RESPONSE),
    unary("lock/unlock", "/v3lockpb.Lock/Unlock", &UNLOCK_REQUEST, &ONLY_HEADER),
    unary("election/campaign", "/v3electionpb.Election/Campaign", &CAMPAIGN_REQUEST, &CAMPAIGN_RESPONSE),
    unary("election/proclaim", "/v3electionpb.Election/Proclaim", &PROCLAIM_REQUEST, &ONLY_HEADER),
    unary("election/leader", "/v3electionpb.Election/Leader", &ELECTION_NAME, &LEADER_RESPONSE),
    answers("election/observe", "/v3electionpb.Election/Observe", &ELECTION_NAME, &LEADER_RESPONSE),
    unary("election/resign", "/v3electionpb.Election/Resign", &RESIGN_REQUEST, &ONLY_HEADER),
];
