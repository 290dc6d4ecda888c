//! What an entry of the log holds, in words.
//!
//! An entry's data is a configuration change, nothing (a new leader's first entry), an `InternalRaftRequest`, or, where
//! it does not parse as one, a request of the v2 store. Requests of subjects that the store does not have yet are read
//! here by messages of this file's own, so that a log of any etcd 3.4 or 3.5 can be told.

use super::words::{hex, range, shown};
use prost::Message as _;
use seedbed::pb::etcdserverpb::{
    Compare, CompareResult, CompareTarget, InternalRaftRequest, Request, TxnRequest, compare, request_op,
};
use seedbed::pb::raftpb::{ConfChange, ConfChangeType, ConfChangeV2};
use seedbed::raft::{Entry, EntryKind};

/// Characters of a key or value that are shown.
const SHOWN: usize = 40;

/// What an entry holds: a word for it, and a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Held {
    /// Its kind: `put`, `txn`, `conf-change`, `empty`…
    pub(super) kind: &'static str,
    /// In words.
    pub(super) text: String,
}

/// What an entry holds.
pub(super) fn held(entry: &Entry) -> Held {
    match entry.kind {
        EntryKind::ConfChange => conf_change(&entry.data),
        EntryKind::ConfChangeV2 => conf_change_v2(&entry.data),
        EntryKind::Normal if entry.data.is_empty() => told("empty", "nothing: a new leader's first entry"),
        EntryKind::Normal => request(&entry.data),
    }
}

fn told(kind: &'static str, text: impl Into<String>) -> Held {
    Held { kind, text: text.into() }
}

fn change_word(kind: i32) -> &'static str {
    match ConfChangeType::try_from(kind) {
        Ok(ConfChangeType::ConfChangeAddNode) => "add member",
        Ok(ConfChangeType::ConfChangeRemoveNode) => "remove member",
        Ok(ConfChangeType::ConfChangeUpdateNode) => "update member",
        Ok(ConfChangeType::ConfChangeAddLearnerNode) => "add learner",
        Err(_) => "an unknown change of member",
    }
}

fn conf_change(data: &[u8]) -> Held {
    let Ok(change) = ConfChange::decode(data) else {
        return told("conf-change", format!("{} that do not parse as a raftpb.ConfChange", bytes(data)));
    };
    let mut text = format!("{} {:x}", change_word(change.r#type), change.node_id);
    if !change.context.is_empty() {
        text += &format!(" {}", String::from_utf8_lossy(&change.context));
    }
    told("conf-change", text)
}

fn conf_change_v2(data: &[u8]) -> Held {
    let Ok(change) = ConfChangeV2::decode(data) else {
        return told("conf-change-v2", format!("{} that do not parse as a raftpb.ConfChangeV2", bytes(data)));
    };
    if change.changes.is_empty() {
        return told("conf-change-v2", "leave the joint configuration");
    }
    let single = |c: &seedbed::pb::raftpb::ConfChangeSingle| format!("{} {:x}", change_word(c.r#type), c.node_id);
    told("conf-change-v2", change.changes.iter().map(single).collect::<Vec<_>>().join(", "))
}

fn bytes(data: &[u8]) -> String {
    format!("{} bytes", data.len())
}

fn request(data: &[u8]) -> Held {
    // Both parses are lenient, so what counts is whether they found something.
    if let Ok(request) = InternalRaftRequest::decode(data)
        && let Some(held) = known(&request).or_else(|| Later::decode(data).ok().as_ref().and_then(later))
    {
        return held;
    }
    match Request::decode(data) {
        Ok(request) if !request.method.is_empty() => v2(&request),
        _ => told("unknown", format!("{} of no request that is known: {}", bytes(data), clip(&hex(data)))),
    }
}

fn clip(text: &str) -> String {
    if text.len() <= SHOWN { text.to_owned() } else { format!("{}…", &text[..SHOWN]) }
}

fn v2(request: &Request) -> Held {
    told("v2", format!("{} {} {}", request.method, request.path, clipped_text(&request.val)).trim_end().to_owned())
}

fn clipped_text(text: &str) -> String {
    let clipped: String = text.chars().take(4 * SHOWN).collect();
    if clipped.len() == text.len() { clipped } else { clipped + "…" }
}

fn known(request: &InternalRaftRequest) -> Option<Held> {
    Some(if let Some(request) = &request.v2 {
        v2(request)
    } else if let Some(get) = &request.range {
        told("range", range(&get.key, &get.range_end, SHOWN))
    } else if let Some(put) = &request.put {
        let lease = if put.lease == 0 { String::new() } else { format!(", lease {:x}", put.lease) };
        told("put", format!("{} = {}{lease}", shown(&put.key, SHOWN), shown(&put.value, SHOWN)))
    } else if let Some(delete) = &request.delete_range {
        told("delete", range(&delete.key, &delete.range_end, SHOWN))
    } else if let Some(request) = &request.txn {
        told("txn", txn(request))
    } else if let Some(compact) = &request.compaction {
        let physical = if compact.physical { ", wait for the backend" } else { "" };
        told("compaction", format!("up to revision {}{physical}", compact.revision))
    } else {
        return None;
    })
}

fn txn(request: &TxnRequest) -> String {
    let guards: Vec<String> = request.compare.iter().map(guard).collect();
    let branch = |ops: &[seedbed::pb::etcdserverpb::RequestOp]| {
        let ops: Vec<String> = ops.iter().map(|op| op.request.as_ref().map_or("nothing".into(), operation)).collect();
        if ops.is_empty() { "nothing".to_owned() } else { ops.join("; ") }
    };
    let success = branch(&request.success);
    if guards.is_empty() {
        return success;
    }
    format!("if {} then {success} else {}", guards.join(" and "), branch(&request.failure))
}

fn operation(request: &request_op::Request) -> String {
    match request {
        request_op::Request::RequestRange(get) => format!("get {}", range(&get.key, &get.range_end, SHOWN)),
        request_op::Request::RequestPut(put) => {
            format!("put {} = {}", shown(&put.key, SHOWN), shown(&put.value, SHOWN))
        }
        request_op::Request::RequestDeleteRange(delete) => {
            format!("delete {}", range(&delete.key, &delete.range_end, SHOWN))
        }
        request_op::Request::RequestTxn(inner) => format!("({})", txn(inner)),
    }
}

fn guard(compare: &Compare) -> String {
    let target = match CompareTarget::try_from(compare.target) {
        Ok(CompareTarget::Version) => "version",
        Ok(CompareTarget::Create) => "create revision",
        Ok(CompareTarget::Mod) => "mod revision",
        Ok(CompareTarget::Value) => "value",
        Ok(CompareTarget::Lease) => "lease",
        Err(_) => "something unknown",
    };
    let result = match CompareResult::try_from(compare.result) {
        Ok(CompareResult::Equal) => "=",
        Ok(CompareResult::Greater) => ">",
        Ok(CompareResult::Less) => "<",
        Ok(CompareResult::NotEqual) => "≠",
        Err(_) => "?",
    };
    let with = match &compare.target_union {
        None => "0".to_owned(),
        Some(compare::TargetUnion::Value(value)) => shown(value, SHOWN),
        Some(
            compare::TargetUnion::Version(n)
            | compare::TargetUnion::CreateRevision(n)
            | compare::TargetUnion::ModRevision(n),
        ) => n.to_string(),
        Some(compare::TargetUnion::Lease(lease)) => format!("{lease:x}"),
    };
    format!("{target} of {} {result} {with}", range(&compare.key, &compare.range_end, SHOWN))
}

/// The rest of `InternalRaftRequest`: requests whose subjects are not built yet.
#[derive(Clone, PartialEq, prost::Message)]
struct Later {
    #[prost(message, optional, tag = "8")]
    lease_grant: Option<LeaseGrant>,
    #[prost(message, optional, tag = "9")]
    lease_revoke: Option<LeaseRevoke>,
    #[prost(message, optional, tag = "10")]
    alarm: Option<Alarm>,
    #[prost(message, optional, tag = "11")]
    lease_checkpoint: Option<LeaseCheckpoints>,
    #[prost(message, optional, tag = "1000")]
    auth_enable: Option<()>,
    #[prost(message, optional, tag = "1011")]
    auth_disable: Option<()>,
    #[prost(message, optional, tag = "1012")]
    authenticate: Option<Named>,
    #[prost(message, optional, tag = "1013")]
    auth_status: Option<()>,
    #[prost(message, optional, tag = "1100")]
    user_add: Option<Named>,
    #[prost(message, optional, tag = "1101")]
    user_delete: Option<Named>,
    #[prost(message, optional, tag = "1102")]
    user_get: Option<Named>,
    #[prost(message, optional, tag = "1103")]
    user_change_password: Option<Named>,
    #[prost(message, optional, tag = "1104")]
    user_grant_role: Option<Pair>,
    #[prost(message, optional, tag = "1105")]
    user_revoke_role: Option<Pair>,
    #[prost(message, optional, tag = "1106")]
    user_list: Option<()>,
    #[prost(message, optional, tag = "1107")]
    role_list: Option<()>,
    #[prost(message, optional, tag = "1200")]
    role_add: Option<Named>,
    #[prost(message, optional, tag = "1201")]
    role_delete: Option<Named>,
    #[prost(message, optional, tag = "1202")]
    role_get: Option<Named>,
    #[prost(message, optional, tag = "1203")]
    role_grant: Option<RoleGrant>,
    #[prost(message, optional, tag = "1204")]
    role_revoke: Option<RoleRevoke>,
    #[prost(message, optional, tag = "1300")]
    cluster_version: Option<Version>,
    #[prost(message, optional, tag = "1301")]
    member_attributes: Option<Attributes>,
    #[prost(message, optional, tag = "1302")]
    downgrade: Option<()>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct LeaseGrant {
    #[prost(int64, tag = "1")]
    ttl_s: i64,
    #[prost(int64, tag = "2")]
    id: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct LeaseRevoke {
    #[prost(int64, tag = "1")]
    id: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Alarm {
    #[prost(int32, tag = "1")]
    action: i32,
    #[prost(uint64, tag = "2")]
    member: u64,
    #[prost(int32, tag = "3")]
    alarm: i32,
}

#[derive(Clone, PartialEq, prost::Message)]
struct LeaseCheckpoints {
    #[prost(message, repeated, tag = "1")]
    checkpoints: Vec<LeaseCheckpoint>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct LeaseCheckpoint {
    #[prost(int64, tag = "1")]
    id: i64,
    #[prost(int64, tag = "2")]
    remaining_s: i64,
}

/// A name and, in some, a password in field 2, which is not even read.
#[derive(Clone, PartialEq, prost::Message)]
struct Named {
    #[prost(string, tag = "1")]
    name: String,
}

/// A user and a role.
#[derive(Clone, PartialEq, prost::Message)]
struct Pair {
    #[prost(string, tag = "1")]
    one: String,
    #[prost(string, tag = "2")]
    other: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct RoleGrant {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "2")]
    permission: Option<Permission>,
}

/// `authpb.Permission`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Permission {
    #[prost(int32, tag = "1")]
    kind: i32,
    #[prost(bytes = "vec", tag = "2")]
    key: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    range_end: Vec<u8>,
}

impl Permission {
    /// In words.
    pub(super) fn words(&self) -> String {
        let kind = match self.kind {
            0 => "read",
            1 => "write",
            2 => "read and write",
            _ => "an unknown permission on",
        };
        format!("{kind} {}", range(&self.key, &self.range_end, SHOWN))
    }
}

#[derive(Clone, PartialEq, prost::Message)]
struct RoleRevoke {
    #[prost(string, tag = "1")]
    role: String,
    #[prost(bytes = "vec", tag = "2")]
    key: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    range_end: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Version {
    #[prost(string, tag = "1")]
    version: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Attributes {
    #[prost(uint64, tag = "1")]
    member: u64,
}

/// The name of an alarm.
pub(super) fn alarm_name(alarm: i32) -> &'static str {
    match alarm {
        0 => "none",
        1 => "NOSPACE",
        2 => "CORRUPT",
        _ => "unknown",
    }
}

fn later(request: &Later) -> Option<Held> {
    lease(request).or_else(|| auth(request)).or_else(|| {
        if let Some(alarm) = &request.alarm {
            let action = ["get", "raise", "clear"].get(alarm.action as usize).copied().unwrap_or("change");
            return Some(told("alarm", format!("{action} {} of member {:x}", alarm_name(alarm.alarm), alarm.member)));
        }
        if let Some(set) = &request.cluster_version {
            return Some(told("cluster-version", set.version.clone()));
        }
        if let Some(set) = &request.member_attributes {
            return Some(told("member-attributes", format!("of member {:x}", set.member)));
        }
        request.downgrade.map(|()| told("downgrade", "a downgrade's state"))
    })
}

fn lease(request: &Later) -> Option<Held> {
    if let Some(grant) = &request.lease_grant {
        return Some(told("lease-grant", format!("lease {:x} for {} s", grant.id, grant.ttl_s)));
    }
    if let Some(revoke) = &request.lease_revoke {
        return Some(told("lease-revoke", format!("lease {:x}", revoke.id)));
    }
    let checkpoints = &request.lease_checkpoint.as_ref()?.checkpoints;
    let each: Vec<String> =
        checkpoints.iter().map(|point| format!("lease {:x}: {} s left", point.id, point.remaining_s)).collect();
    Some(told("lease-checkpoint", each.join(", ")))
}

/// Passwords are never told.
fn auth(request: &Later) -> Option<Held> {
    let units = [
        (&request.auth_enable, "auth-enable", "auth on"),
        (&request.auth_disable, "auth-disable", "auth off"),
        (&request.auth_status, "auth-status", "auth status"),
        (&request.user_list, "user-list", "list users"),
        (&request.role_list, "role-list", "list roles"),
    ];
    if let Some((_, kind, text)) = units.into_iter().find(|(unit, ..)| unit.is_some()) {
        return Some(told(kind, text));
    }
    let named = [
        (&request.authenticate, "authenticate", "user"),
        (&request.user_add, "user-add", "user"),
        (&request.user_delete, "user-delete", "user"),
        (&request.user_get, "user-get", "user"),
        (&request.user_change_password, "user-change-password", "user"),
        (&request.role_add, "role-add", "role"),
        (&request.role_delete, "role-delete", "role"),
        (&request.role_get, "role-get", "role"),
    ];
    for (named, kind, what) in named {
        if let Some(named) = named {
            return Some(told(kind, format!("{what} {:?}", named.name)));
        }
    }
    if let Some(pair) = &request.user_grant_role {
        return Some(told("user-grant-role", format!("user {:?} gets role {:?}", pair.one, pair.other)));
    }
    if let Some(pair) = &request.user_revoke_role {
        return Some(told("user-revoke-role", format!("user {:?} loses role {:?}", pair.one, pair.other)));
    }
    if let Some(grant) = &request.role_grant {
        let permission = grant.permission.as_ref().map_or("nothing".to_owned(), Permission::words);
        return Some(told("role-grant", format!("role {:?} may {permission}", grant.name)));
    }
    let revoke = request.role_revoke.as_ref()?;
    let what = range(&revoke.key, &revoke.range_end, SHOWN);
    Some(told("role-revoke", format!("role {:?} loses {what}", revoke.role)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use proptest::prelude::*;
    use seedbed::pb::etcdserverpb::{PutRequest, RequestOp};

    fn normal(data: Vec<u8>) -> Held {
        held(&Entry { kind: EntryKind::Normal, term: 1, index: 1, data: data.into() })
    }

    fn put(key: &'static str, value: &'static str) -> PutRequest {
        PutRequest {
            key: Bytes::from_static(key.as_bytes()),
            value: Bytes::from_static(value.as_bytes()),
            ..PutRequest::default()
        }
    }

    #[test]
    fn requests_are_told_in_words() {
        let request = InternalRaftRequest { put: Some(put("k1", "v")), ..Default::default() };
        assert_eq!(normal(request.encode_to_vec()), told("put", "\"k1\" = \"v\""));
        let guard = Compare {
            target: CompareTarget::Mod.into(),
            key: Bytes::from_static(b"k1"),
            target_union: Some(compare::TargetUnion::ModRevision(7)),
            ..Compare::default()
        };
        let op = RequestOp { request: Some(request_op::Request::RequestPut(put("k1", "w"))) };
        let txn = TxnRequest { compare: vec![guard], success: vec![op], failure: Vec::new() };
        let request = InternalRaftRequest { txn: Some(txn), ..Default::default() };
        let text = "if mod revision of \"k1\" = 7 then put \"k1\" = \"w\" else nothing";
        assert_eq!(normal(request.encode_to_vec()), told("txn", text));
        let request = Later { lease_grant: Some(LeaseGrant { ttl_s: 60, id: 0x1f }), ..Default::default() };
        assert_eq!(normal(request.encode_to_vec()), told("lease-grant", "lease 1f for 60 s"));
        assert_eq!(normal(Vec::new()).kind, "empty");
    }

    #[test]
    fn a_password_is_not_told() {
        #[derive(Clone, PartialEq, prost::Message)]
        struct WithPassword {
            #[prost(message, optional, tag = "1100")]
            user_add: Option<Pair>,
        }
        let user = Pair { one: "alice".into(), other: "secret".into() };
        let told = normal(WithPassword { user_add: Some(user) }.encode_to_vec());
        assert_eq!((told.kind, told.text.as_str()), ("user-add", "user \"alice\""));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(data in prop::collection::vec(any::<u8>(), 0..100), kind in 0..3) {
            let kind = EntryKind::try_from(kind).unwrap();
            let told = held(&Entry { kind, term: 1, index: 1, data: data.into() });
            prop_assert!(!told.kind.is_empty());
        }
    }
}
