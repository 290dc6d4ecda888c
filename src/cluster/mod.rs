//! The cluster as the store knows it: who its members are, who may never come back, which version all of them speak.
//!
//! This is not Raft's configuration, which says who votes and lives in Raft itself and in each snapshot's metadata. It
//! is what people and clients ask for: names and addresses. etcd keeps it in three buckets, as text:
//!
//! ```text
//!   bucket           key                          value
//!   members          id, hex without padding      {"id":N,"peerURLs":[…],"isLearner":true,"name":"…","clientURLs":[…]}
//!   members_removed  id, hex without padding      removed
//!   cluster          clusterVersion               3.4.0
//! ```
//!
//! What is false or empty of `isLearner`, `name` and `clientURLs` is left out.
//!
//! Two kinds of entries change it ([`Change`]). A `ConfChange` adds, promotes, moves or removes a member; its context
//! is the member as JSON, and a log begins with one for each member of the initial cluster. The rest are requests of
//! the store before this one (v2), which etcd 3.4 has kept for this one purpose: each member puts its name and client
//! addresses to `/0/members/<id>/attributes`, and the leader puts the version to `/0/version`.
//!
//! ```text
//!   entry ──▶ Change ──▶ Cluster::change ──▶ records ──▶ the entry's own transaction
//! ```
//!
//! A change that cannot be made (an id that was removed, a context that is no JSON) writes nothing, at every member
//! alike, because all of them read the same bytes: [`ChangeError`]. etcd would panic on the garbled ones, everywhere at
//! once. A *record* that is garbled is another matter: it is this member's own disk, hence a [`BackendError`].
//!
//! In etcd 3.4 these buckets are only a copy, and at its restart membership is read from the newest snapshot file, as the
//! v2 store's JSON: [`v2store`]. Here the buckets are what counts, and the JSON is written for etcd.
//!
//! # Left out
//! Refusals of a member's start by version, and the requests by which etcd 3.6 publishes names
//! without the v2 store.

mod change;
pub mod v2store;

pub use crate::backend::Record;
pub use change::{Change, ChangeError};

use crate::backend::bolt::View;
use crate::backend::{BackendError, Bucket, Engine};
use crate::pb::ids::MemberJson;
use crate::raft::NodeId;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};

/// The key of the bucket `cluster`.
const VERSION: &[u8] = b"clusterVersion";

/// The value of a removed member.
const REMOVED: &[u8] = b"removed";

/// A member, as people know it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Member {
    /// Its id.
    pub id: NodeId,
    /// Its name; empty until it is known.
    pub name: String,
    /// Where its peers reach it.
    pub peer_urls: Vec<String>,
    /// Where clients reach it; empty until it has published them.
    pub client_urls: Vec<String>,
    /// It does not vote.
    pub is_learner: bool,
}

impl Member {
    /// The bytes of its record.
    pub fn to_json(&self) -> Vec<u8> {
        let Member { id, name, peer_urls, client_urls, is_learner } = self.clone();
        MemberJson { id, peer_urls, is_learner, name, client_urls, is_promote: None }.to_json()
    }
}

impl From<MemberJson> for Member {
    fn from(json: MemberJson) -> Member {
        let MemberJson { id, peer_urls, is_learner, name, client_urls, is_promote: _ } = json;
        Member { id, name, peer_urls, client_urls, is_learner }
    }
}

/// What the three buckets say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cluster {
    /// By id.
    pub members: BTreeMap<NodeId, Member>,
    /// Ids that will never be members again.
    pub removed: BTreeSet<NodeId>,
    /// The version that all members speak, `3.4.0`; `None` until a leader has decided it.
    pub version: Option<String>,
}

impl Cluster {
    /// Reads the records of a database. An error names bucket and key: the database is damaged.
    pub fn load(engine: &dyn Engine) -> Result<Cluster, BackendError> {
        Cluster::read_all(|bucket, visit| engine.range(bucket, &[], None, visit))
    }

    /// The same, of a file that nobody serves from.
    pub fn load_view(view: &View) -> Result<Cluster, BackendError> {
        Cluster::read_all(|bucket, visit| match view.bucket(bucket.name().as_bytes())? {
            Some(info) => view.pairs(&info, &[], None, visit),
            None => Ok(()),
        })
    }

    /// `range` visits all pairs of a bucket until it is told to stop.
    fn read_all(
        range: impl Fn(Bucket, &mut dyn FnMut(&[u8], &Bytes) -> bool) -> Result<(), BackendError>,
    ) -> Result<Cluster, BackendError> {
        let mut cluster = Cluster::default();
        for bucket in [Bucket::Members, Bucket::MembersRemoved, Bucket::Cluster] {
            let mut read = Ok(());
            range(bucket, &mut |key, value| {
                read = cluster.read(bucket, key, value).map_err(|expected| BackendError::Record {
                    bucket: bucket.name(),
                    key: String::from_utf8_lossy(key).into_owned(),
                    expected,
                });
                read.is_ok()
            })?;
            read?;
        }
        Ok(cluster)
    }

    /// Takes one record; an error says what was expected of it.
    fn read(&mut self, bucket: Bucket, key: &[u8], value: &[u8]) -> Result<(), String> {
        let id = || id_of_hex(key).ok_or("a member's id in lower-case hexadecimal, without padding, as key");
        match bucket {
            Bucket::Members => {
                let id = id()?;
                let json = MemberJson::from_json(value)
                    .map_err(|error| format!("a member as JSON (at byte {}: {error})", byte_of(value, &error)))?;
                if json.id != id {
                    return Err(format!("the member of the key, found the member {:x}", json.id));
                }
                self.members.insert(id, json.into());
            }
            Bucket::MembersRemoved => {
                self.removed.insert(id()?);
            }
            _ if key == VERSION => {
                let version = std::str::from_utf8(value).ok().filter(|text| is_version(text));
                self.version = Some(version.ok_or("a version (major.minor.patch)")?.to_owned());
            }
            // A newer etcd keeps more there (`downgrade`); it is left as it is.
            _ => {}
        }
        Ok(())
    }
}

/// An id as keys and paths have it.
fn hex(id: NodeId) -> String {
    format!("{id:x}")
}

/// The id that [`hex`] wrote.
fn id_of_hex(text: &[u8]) -> Option<NodeId> {
    let text = std::str::from_utf8(text).ok()?;
    let id = NodeId::from_str_radix(text, 16).ok()?;
    (hex(id) == text).then_some(id)
}

/// `3.4.0`, perhaps with something after it.
fn is_version(text: &str) -> bool {
    let mut parts = text.splitn(3, '.');
    let is_number = |part: &str| part.parse::<u32>().is_ok();
    parts.next().is_some_and(is_number)
        && parts.next().is_some_and(is_number)
        && parts.next().is_some_and(|patch| patch.starts_with(|c: char| c.is_ascii_digit()))
}

/// Where a JSON text broke, in bytes from its start. (serde_json counts lines and columns.)
fn byte_of(json: &[u8], error: &serde_json::Error) -> usize {
    let lines = json.split_inclusive(|&byte| byte == b'\n');
    let before: usize = lines.take(error.line().saturating_sub(1)).map(<[u8]>::len).sum();
    (before + error.column().saturating_sub(1)).min(json.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Memory;
    use crate::mvcc::{Applied, Store, StoreConfig};

    fn store(bucket: Bucket, key: &'static str, value: &'static str) -> Store {
        let mut store = Store::new(Box::new(Memory::new()), StoreConfig::default());
        let mut txn = store.write(Applied { index: 1, term: 1 }).unwrap();
        txn.set(bucket, Bytes::from_static(key.as_bytes()), Bytes::from_static(value.as_bytes())).unwrap();
        txn.commit();
        store
    }

    #[test]
    fn a_garbled_record_is_named() {
        for (bucket, key, value, expected) in [
            (Bucket::Members, "a", r#"{"id":10,"peerURLs":[}"#, "a member as JSON (at byte 21"),
            (Bucket::Members, "a", r#"{"id":11,"peerURLs":[]}"#, "found the member b"),
            (Bucket::Members, "0a", r#"{"id":10,"peerURLs":[]}"#, "without padding"),
            (Bucket::MembersRemoved, "A", "removed", "lower-case"),
            (Bucket::Cluster, "clusterVersion", "3.4", "major.minor.patch"),
        ] {
            let error = Cluster::load(store(bucket, key, value).engine()).unwrap_err().to_string();
            assert!(error.contains(&format!("bucket {}, key {key}", bucket.name())), "{error}");
            assert!(error.contains(expected), "{error}");
        }
        assert_eq!(Cluster::load(store(Bucket::Cluster, "downgrade", "{}").engine()), Ok(Cluster::default()));
    }

    #[test]
    fn a_break_is_found_across_lines() {
        let json = b"{\n\"id\":\n x}";
        assert_eq!(byte_of(json, &MemberJson::from_json(json).unwrap_err()), 9);
        assert_eq!(byte_of(b"", &MemberJson::from_json(b"").unwrap_err()), 0);
    }
}
