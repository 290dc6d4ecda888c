//! etcd's messages as the gateway knows them: numbers, names and kinds of their fields, as in etcd's `.proto` files.

use super::transcode::Kind::{Bool, Bytes, Int64, Text, Uint32, Uint64};
use super::transcode::{Enum, Field, Kind, Message, many, one};

const HEADER: Field = one(1, "header", Kind::Message(&RESPONSE_HEADER));

static RESPONSE_HEADER: Message = Message {
    fields: &[
        one(1, "cluster_id", Uint64),
        one(2, "member_id", Uint64),
        one(3, "revision", Int64),
        one(4, "raft_term", Uint64),
    ],
};

/// A request that says nothing.
pub(super) static NOTHING: Message = Message { fields: &[] };
/// An answer that says only who answered.
pub(super) static ONLY_HEADER: Message = Message { fields: &[HEADER] };

static SORT_ORDER: Enum = Enum { name: "etcdserverpb.RangeRequest_SortOrder", values: &["NONE", "ASCEND", "DESCEND"] };
static SORT_TARGET: Enum =
    Enum { name: "etcdserverpb.RangeRequest_SortTarget", values: &["KEY", "VERSION", "CREATE", "MOD", "VALUE"] };

static KEY_VALUE: Message = Message {
    fields: &[
        one(1, "key", Bytes),
        one(2, "create_revision", Int64),
        one(3, "mod_revision", Int64),
        one(4, "version", Int64),
        one(5, "value", Bytes),
        one(6, "lease", Int64),
    ],
};

pub(super) static RANGE_REQUEST: Message = Message {
    fields: &[
        one(1, "key", Bytes),
        one(2, "range_end", Bytes),
        one(3, "limit", Int64),
        one(4, "revision", Int64),
        one(5, "sort_order", Kind::Enum(&SORT_ORDER)),
        one(6, "sort_target", Kind::Enum(&SORT_TARGET)),
        one(7, "serializable", Bool),
        one(8, "keys_only", Bool),
        one(9, "count_only", Bool),
        one(10, "min_mod_revision", Int64),
        one(11, "max_mod_revision", Int64),
        one(12, "min_create_revision", Int64),
        one(13, "max_create_revision", Int64),
    ],
};
pub(super) static RANGE_RESPONSE: Message = Message {
    fields: &[HEADER, many(2, "kvs", Kind::Message(&KEY_VALUE)), one(3, "more", Bool), one(4, "count", Int64)],
};

pub(super) static PUT_REQUEST: Message = Message {
    fields: &[
        one(1, "key", Bytes),
        one(2, "value", Bytes),
        one(3, "lease", Int64),
        one(4, "prev_kv", Bool),
        one(5, "ignore_value", Bool),
        one(6, "ignore_lease", Bool),
    ],
};
pub(super) static PUT_RESPONSE: Message = Message { fields: &[HEADER, one(2, "prev_kv", Kind::Message(&KEY_VALUE))] };

pub(super) static DELETE_RANGE_REQUEST: Message =
    Message { fields: &[one(1, "key", Bytes), one(2, "range_end", Bytes), one(3, "prev_kv", Bool)] };
pub(super) static DELETE_RANGE_RESPONSE: Message =
    Message { fields: &[HEADER, one(2, "deleted", Int64), many(3, "prev_kvs", Kind::Message(&KEY_VALUE))] };

static COMPARE_RESULT: Enum =
    Enum { name: "etcdserverpb.Compare_CompareResult", values: &["EQUAL", "GREATER", "LESS", "NOT_EQUAL"] };
static COMPARE_TARGET: Enum =
    Enum { name: "etcdserverpb.Compare_CompareTarget", values: &["VERSION", "CREATE", "MOD", "VALUE", "LEASE"] };

pub(super) static COMPARE: Message = Message {
    fields: &[
        one(1, "result", Kind::Enum(&COMPARE_RESULT)),
        one(2, "target", Kind::Enum(&COMPARE_TARGET)),
        one(3, "key", Bytes),
        one(4, "version", Int64),
        one(5, "create_revision", Int64),
        one(6, "mod_revision", Int64),
        one(7, "value", Bytes),
        one(8, "lease", Int64),
        one(64, "range_end", Bytes),
    ],
};
static REQUEST_OP: Message = Message {
    fields: &[
        one(1, "request_range", Kind::Message(&RANGE_REQUEST)),
        one(2, "request_put", Kind::Message(&PUT_REQUEST)),
        one(3, "request_delete_range", Kind::Message(&DELETE_RANGE_REQUEST)),
        one(4, "request_txn", Kind::Message(&TXN_REQUEST)),
    ],
};
static RESPONSE_OP: Message = Message {
    fields: &[
        one(1, "response_range", Kind::Message(&RANGE_RESPONSE)),
        one(2, "response_put", Kind::Message(&PUT_RESPONSE)),
        one(3, "response_delete_range", Kind::Message(&DELETE_RANGE_RESPONSE)),
        one(4, "response_txn", Kind::Message(&TXN_RESPONSE)),
    ],
};
pub(super) static TXN_REQUEST: Message = Message {
    fields: &[
        many(1, "compare", Kind::Message(&COMPARE)),
        many(2, "success", Kind::Message(&REQUEST_OP)),
        many(3, "failure", Kind::Message(&REQUEST_OP)),
    ],
};
pub(super) static TXN_RESPONSE: Message =
    Message { fields: &[HEADER, one(2, "succeeded", Bool), many(3, "responses", Kind::Message(&RESPONSE_OP))] };

pub(super) static COMPACTION_REQUEST: Message =
    Message { fields: &[one(1, "revision", Int64), one(2, "physical", Bool)] };

static FILTER_TYPE: Enum = Enum { name: "etcdserverpb.WatchCreateRequest_FilterType", values: &["NOPUT", "NODELETE"] };
static EVENT_TYPE: Enum = Enum { name: "mvccpb.Event_EventType", values: &["PUT", "DELETE"] };

static WATCH_CREATE_REQUEST: Message = Message {
    fields: &[
        one(1, "key", Bytes),
        one(2, "range_end", Bytes),
        one(3, "start_revision", Int64),
        one(4, "progress_notify", Bool),
        many(5, "filters", Kind::Enum(&FILTER_TYPE)),
        one(6, "prev_kv", Bool),
        one(7, "watch_id", Int64),
        one(8, "fragment", Bool),
    ],
};
static WATCH_CANCEL_REQUEST: Message = Message { fields: &[one(1, "watch_id", Int64)] };
pub(super) static WATCH_REQUEST: Message = Message {
    fields: &[
        one(1, "create_request", Kind::Message(&WATCH_CREATE_REQUEST)),
        one(2, "cancel_request", Kind::Message(&WATCH_CANCEL_REQUEST)),
        one(3, "progress_request", Kind::Message(&NOTHING)),
    ],
};
static EVENT: Message = Message {
    fields: &[
        one(1, "type", Kind::Enum(&EVENT_TYPE)),
        one(2, "kv", Kind::Message(&KEY_VALUE)),
        one(3, "prev_kv", Kind::Message(&KEY_VALUE)),
    ],
};
pub(super) static WATCH_RESPONSE: Message = Message {
    fields: &[
        HEADER,
        one(2, "watch_id", Int64),
        one(3, "created", Bool),
        one(4, "canceled", Bool),
        one(5, "compact_revision", Int64),
        one(6, "cancel_reason", Text),
        one(7, "fragment", Bool),
        many(11, "events", Kind::Message(&EVENT)),
    ],
};

pub(super) static LEASE_GRANT_REQUEST: Message = Message { fields: &[one(1, "TTL", Int64), one(2, "ID", Int64)] };
pub(super) static LEASE_GRANT_RESPONSE: Message =
    Message { fields: &[HEADER, one(2, "ID", Int64), one(3, "TTL", Int64), one(4, "error", Text)] };
/// Of the requests that name a lease and nothing else.
pub(super) static LEASE_ID: Message = Message { fields: &[one(1, "ID", Int64)] };
pub(super) static LEASE_KEEP_ALIVE_RESPONSE: Message =
    Message { fields: &[HEADER, one(2, "ID", Int64), one(3, "TTL", Int64)] };
pub(super) static LEASE_TIME_TO_LIVE_REQUEST: Message =
    Message { fields: &[one(1, "ID", Int64), one(2, "keys", Bool)] };
pub(super) static LEASE_TIME_TO_LIVE_RESPONSE: Message = Message {
    fields: &[HEADER, one(2, "ID", Int64), one(3, "TTL", Int64), one(4, "grantedTTL", Int64), many(5, "keys", Bytes)],
};
pub(super) static LEASE_LEASES_RESPONSE: Message =
    Message { fields: &[HEADER, many(2, "leases", Kind::Message(&LEASE_ID))] };

static MEMBER: Message = Message {
    fields: &[
        one(1, "ID", Uint64),
        one(2, "name", Text),
        many(3, "peerURLs", Text),
        many(4, "clientURLs", Text),
        one(5, "isLearner", Bool),
    ],
};
pub(super) static MEMBER_ADD_REQUEST: Message =
    Message { fields: &[many(1, "peerURLs", Text), one(2, "isLearner", Bool)] };
pub(super) static MEMBER_ADD_RESPONSE: Message =
    Message { fields: &[HEADER, one(2, "member", Kind::Message(&MEMBER)), many(3, "members", Kind::Message(&MEMBER))] };
/// Of the requests that name a member and nothing else.
pub(super) static MEMBER_ID: Message = Message { fields: &[one(1, "ID", Uint64)] };
pub(super) static MEMBER_UPDATE_REQUEST: Message =
    Message { fields: &[one(1, "ID", Uint64), many(2, "peerURLs", Text)] };
pub(super) static MEMBER_LIST_REQUEST: Message = Message { fields: &[one(1, "linearizable", Bool)] };
pub(super) static MEMBERS: Message = Message { fields: &[HEADER, many(2, "members", Kind::Message(&MEMBER))] };

static ALARM_ACTION: Enum =
    Enum { name: "etcdserverpb.AlarmRequest_AlarmAction", values: &["GET", "ACTIVATE", "DEACTIVATE"] };
static ALARM_TYPE: Enum = Enum { name: "etcdserverpb.AlarmType", values: &["NONE", "NOSPACE", "CORRUPT"] };
static ALARM_MEMBER: Message =
    Message { fields: &[one(1, "memberID", Uint64), one(2, "alarm", Kind::Enum(&ALARM_TYPE))] };
pub(super) static ALARM_REQUEST: Message = Message {
    fields: &[
        one(1, "action", Kind::Enum(&ALARM_ACTION)),
        one(2, "memberID", Uint64),
        one(3, "alarm", Kind::Enum(&ALARM_TYPE)),
    ],
};
pub(super) static ALARM_RESPONSE: Message =
    Message { fields: &[HEADER, many(2, "alarms", Kind::Message(&ALARM_MEMBER))] };
pub(super) static STATUS_RESPONSE: Message = Message {
    fields: &[
        HEADER,
        one(2, "version", Text),
        one(3, "dbSize", Int64),
        one(4, "leader", Uint64),
        one(5, "raftIndex", Uint64),
        one(6, "raftTerm", Uint64),
        one(7, "raftAppliedIndex", Uint64),
        many(8, "errors", Text),
        one(9, "dbSizeInUse", Int64),
        one(10, "isLearner", Bool),
    ],
};
pub(super) static HASH_RESPONSE: Message = Message { fields: &[HEADER, one(2, "hash", Uint32)] };
pub(super) static MOVE_LEADER_REQUEST: Message = Message { fields: &[one(1, "targetID", Uint64)] };
pub(super) static SNAPSHOT_RESPONSE: Message =
    Message { fields: &[HEADER, one(2, "remaining_bytes", Uint64), one(3, "blob", Bytes)] };

static PERMISSION_TYPE: Enum = Enum { name: "authpb.Permission_Type", values: &["READ", "WRITE", "READWRITE"] };
static PERMISSION: Message = Message {
    fields: &[one(1, "permType", Kind::Enum(&PERMISSION_TYPE)), one(2, "key", Bytes), one(3, "range_end", Bytes)],
};
static USER_ADD_OPTIONS: Message = Message { fields: &[one(1, "no_password", Bool)] };
/// Of the requests that name a user or a role and nothing else.
pub(super) static NAME: Message = Message { fields: &[one(1, "name", Text)] };
/// Of those that call it the role.
pub(super) static ROLE: Message = Message { fields: &[one(1, "role", Text)] };
pub(super) static NAME_AND_PASSWORD: Message = Message { fields: &[one(1, "name", Text), one(2, "password", Text)] };
pub(super) static AUTHENTICATE_RESPONSE: Message = Message { fields: &[HEADER, one(2, "token", Text)] };
pub(super) static USER_ADD_REQUEST: Message = Message {
    fields: &[one(1, "name", Text), one(2, "password", Text), one(3, "options", Kind::Message(&USER_ADD_OPTIONS))],
};
pub(super) static USER_GRANT_ROLE_REQUEST: Message = Message { fields: &[one(1, "user", Text), one(2, "role", Text)] };
pub(super) static USER_REVOKE_ROLE_REQUEST: Message = Message { fields: &[one(1, "name", Text), one(2, "role", Text)] };
pub(super) static ROLES: Message = Message { fields: &[HEADER, many(2, "roles", Text)] };
pub(super) static USERS: Message = Message { fields: &[HEADER, many(2, "users", Text)] };
pub(super) static ROLE_GET_RESPONSE: Message =
    Message { fields: &[HEADER, many(2, "perm", Kind::Message(&PERMISSION))] };
pub(super) static ROLE_GRANT_PERMISSION_REQUEST: Message =
    Message { fields: &[one(1, "name", Text), one(2, "perm", Kind::Message(&PERMISSION))] };
pub(super) static ROLE_REVOKE_PERMISSION_REQUEST: Message =
    Message { fields: &[one(1, "role", Text), one(2, "key", Bytes), one(3, "range_end", Bytes)] };

pub(super) static LOCK_REQUEST: Message = Message { fields: &[one(1, "name", Bytes), one(2, "lease", Int64)] };
pub(super) static LOCK_RESPONSE: Message = Message { fields: &[HEADER, one(2, "key", Bytes)] };
pub(super) static UNLOCK_REQUEST: Message = Message { fields: &[one(1, "key", Bytes)] };

static LEADER_KEY: Message =
    Message { fields: &[one(1, "name", Bytes), one(2, "key", Bytes), one(3, "rev", Int64), one(4, "lease", Int64)] };
pub(super) static CAMPAIGN_REQUEST: Message =
    Message { fields: &[one(1, "name", Bytes), one(2, "lease", Int64), one(3, "value", Bytes)] };
pub(super) static CAMPAIGN_RESPONSE: Message =
    Message { fields: &[HEADER, one(2, "leader", Kind::Message(&LEADER_KEY))] };
pub(super) static PROCLAIM_REQUEST: Message =
    Message { fields: &[one(1, "leader", Kind::Message(&LEADER_KEY)), one(2, "value", Bytes)] };
pub(super) static RESIGN_REQUEST: Message = Message { fields: &[one(1, "leader", Kind::Message(&LEADER_KEY))] };
pub(super) static ELECTION_NAME: Message = Message { fields: &[one(1, "name", Bytes)] };
pub(super) static LEADER_RESPONSE: Message = Message { fields: &[HEADER, one(2, "kv", Kind::Message(&KEY_VALUE))] };
