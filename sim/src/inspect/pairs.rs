//! Pairs: the records of the bucket `key` by revision, and any bucket's pairs decoded where their meaning is known.

use super::entry::{Permission, alarm_name};
use super::words::{hex, shown};
use super::{Filter, Rows};
use bytes::Bytes;
use prost::Message as _;
use seedbed::backend::BackendError;
use seedbed::backend::bolt::{BucketInfo, View};
use seedbed::mvcc::Revision;
use seedbed::pb::mvccpb::KeyValue;
use serde::{Serialize, Serializer};

/// Bytes as JSON: a string where they are UTF-8, else an object with their hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blob(pub Bytes);

impl Serialize for Blob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Hex {
            hex: String,
        }
        match std::str::from_utf8(&self.0) {
            Ok(text) => serializer.serialize_str(text),
            Err(_) => Hex { hex: hex(&self.0) }.serialize(serializer),
        }
    }
}

/// A change of a key.
#[derive(Clone, Debug, Serialize)]
pub struct KeyRow {
    /// Main revision.
    pub revision: i64,
    /// Number of the change within it.
    pub sub: i64,
    /// Whether the key was deleted.
    pub tombstone: bool,
    /// The key.
    pub key: Blob,
    /// Its value.
    pub value: Blob,
    /// How many puts since it came to life.
    pub version: i64,
    /// When it came to life.
    pub create_revision: i64,
    /// Its lease in hexadecimal; absent for none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lease: Option<String>,
}

/// A pair.
#[derive(Clone, Debug, Serialize)]
pub struct PairRow {
    /// The key.
    pub key: Blob,
    /// The value.
    pub value: Blob,
    /// What the two mean, where that is known.
    pub text: String,
}

/// The records whose key begins with `prefix`, from a revision on.
pub(super) fn keys(view: &View, prefix: &[u8], filter: Filter) -> Result<Rows<KeyRow>, BackendError> {
    let mut rows = Rows::new(filter);
    let Some(bucket) = view.bucket(b"key")? else { return Ok(rows) };
    let from = Revision { main: i64::try_from(filter.from).unwrap_or(i64::MAX), sub: 0 }.to_bytes();
    view.pairs(&bucket, &from, None, &mut |key, value| {
        // What is no record is told by `--bucket key`.
        if let Some((at, tombstone)) = Revision::decode(key)
            && let Ok(kv) = KeyValue::decode(value.clone())
            && kv.key.starts_with(prefix)
        {
            rows.add(|| KeyRow {
                revision: at.main,
                sub: at.sub,
                tombstone,
                key: Blob(kv.key),
                value: Blob(kv.value),
                version: kv.version,
                create_revision: kv.create_revision,
                lease: (kv.lease != 0).then(|| format!("{:x}", kv.lease)),
            });
        }
        true
    })?;
    Ok(rows)
}

/// The pairs of a bucket.
pub(super) fn pairs(view: &View, bucket: &BucketInfo, filter: Filter) -> Result<Rows<PairRow>, BackendError> {
    let mut rows = Rows::new(filter);
    let name = if bucket.path.len() == 1 { bucket.name() } else { b"" };
    view.pairs(bucket, &[], None, &mut |key, value| {
        rows.add(|| {
            let text = meaning(name, key, value);
            // A password's hash is nobody's business.
            let value = if name == b"authUsers" { Bytes::new() } else { Bytes::copy_from_slice(value) };
            PairRow { key: Blob(Bytes::copy_from_slice(key)), value: Blob(value), text }
        });
        true
    })?;
    Ok(rows)
}

/// What a pair of one of etcd's buckets says.
pub(super) fn meaning(bucket: &[u8], key: &[u8], value: &[u8]) -> String {
    const SHOWN: usize = 60;
    let known = match bucket {
        b"key" => record(key, value),
        b"meta" => mark(key, value),
        b"lease" => lease(value),
        b"alarm" => alarm(key),
        b"auth" => auth(key, value),
        b"authUsers" => user(value),
        b"authRoles" => role(value),
        b"members" | b"members_removed" | b"cluster" => {
            Some(format!("{} {}", String::from_utf8_lossy(key), String::from_utf8_lossy(value)))
        }
        _ => None,
    };
    known.unwrap_or_else(|| format!("{} = {}", shown(key, SHOWN), shown(value, SHOWN)))
}

fn record(key: &[u8], value: &[u8]) -> Option<String> {
    const SHOWN: usize = 40;
    let (at, tombstone) = Revision::decode(key)?;
    let kv = KeyValue::decode(value).ok()?;
    let at = format!("({},{})", at.main, at.sub);
    if tombstone {
        return Some(format!("{at} delete {}", shown(&kv.key, SHOWN)));
    }
    let lease = if kv.lease == 0 { String::new() } else { format!(", lease {:x}", kv.lease) };
    let (key, value) = (shown(&kv.key, SHOWN), shown(&kv.value, SHOWN));
    Some(format!("{at} {key} = {value}, version {}, created at {}{lease}", kv.version, kv.create_revision))
}

fn mark(key: &[u8], value: &[u8]) -> Option<String> {
    let name = std::str::from_utf8(key).ok()?;
    Some(match key {
        b"consistent_index" | b"term" => format!("{name} {}", u64::from_be_bytes(value.try_into().ok()?)),
        b"scheduledCompactRev" | b"finishedCompactRev" => {
            let (at, _) = Revision::decode(value)?;
            format!("{name} ({},{})", at.main, at.sub)
        }
        _ => format!("{name} {}", std::str::from_utf8(value).ok()?),
    })
}

/// `leasepb.Lease`.
#[derive(Clone, PartialEq, prost::Message)]
struct Lease {
    #[prost(int64, tag = "1")]
    id: i64,
    #[prost(int64, tag = "2")]
    ttl_s: i64,
    #[prost(int64, tag = "3")]
    remaining_s: i64,
}

fn lease(value: &[u8]) -> Option<String> {
    let lease = Lease::decode(value).ok()?;
    let left = if lease.remaining_s == 0 { String::new() } else { format!(", {} s left", lease.remaining_s) };
    Some(format!("lease {:x} for {} s{left}", lease.id, lease.ttl_s))
}

/// `etcdserverpb.AlarmMember`.
#[derive(Clone, PartialEq, prost::Message)]
struct AlarmMember {
    #[prost(uint64, tag = "1")]
    member: u64,
    #[prost(int32, tag = "2")]
    alarm: i32,
}

fn alarm(key: &[u8]) -> Option<String> {
    let alarm = AlarmMember::decode(key).ok()?;
    Some(format!("{} at member {:x}", alarm_name(alarm.alarm), alarm.member))
}

fn auth(key: &[u8], value: &[u8]) -> Option<String> {
    match key {
        b"authEnabled" => Some(format!("auth is {}", if value == [1] { "on" } else { "off" })),
        b"authRevision" => Some(format!("auth revision {}", u64::from_be_bytes(value.try_into().ok()?))),
        _ => None,
    }
}

/// `authpb.User`, without its password.
#[derive(Clone, PartialEq, prost::Message)]
struct User {
    #[prost(bytes = "vec", tag = "1")]
    name: Vec<u8>,
    #[prost(string, repeated, tag = "3")]
    roles: Vec<String>,
}

fn user(value: &[u8]) -> Option<String> {
    let user = User::decode(value).ok()?;
    let roles = if user.roles.is_empty() { "no roles".to_owned() } else { format!("roles {}", user.roles.join(", ")) };
    Some(format!("user {}: {roles}; its password's hash is not shown", shown(&user.name, 60)))
}

/// `authpb.Role`.
#[derive(Clone, PartialEq, prost::Message)]
struct Role {
    #[prost(bytes = "vec", tag = "1")]
    name: Vec<u8>,
    #[prost(message, repeated, tag = "2")]
    permissions: Vec<Permission>,
}

fn role(value: &[u8]) -> Option<String> {
    let role = Role::decode(value).ok()?;
    let may: Vec<String> = role.permissions.iter().map(Permission::words).collect();
    let may = if may.is_empty() { "nothing".to_owned() } else { may.join("; ") };
    Some(format!("role {} may {may}", shown(&role.name, 60)))
}
