//! Who is who: member ids, cluster ids, and a member as JSON, whole and in the two parts in which etcd keeps it.
//!
//! etcd derives ids instead of handing them out, so that every member that boots from the same `--initial-cluster`
//! computes the same ones without talking to the others:
//!
//! ```text
//! member id  = first 8 bytes of SHA-1( sorted peer URLs ‖ cluster token [‖ Unix seconds, decimal] )
//! cluster id = first 8 bytes of SHA-1( initial member ids, ascending, each u64 big endian )
//! ```
//!
//! The seconds are there only for members added later: the same URLs must not bring a removed member back to life.

use serde::{Deserialize, Deserializer, Serialize};
use sha1::{Digest, Sha1};

/// The id of the member with these peer URLs. `added_at_s` (Unix seconds) for one added at run time, else `None`.
pub fn member_id(peer_urls: &[impl AsRef<str>], cluster_token: &str, added_at_s: Option<i64>) -> u64 {
    let mut urls: Vec<&str> = peer_urls.iter().map(AsRef::as_ref).collect();
    urls.sort_unstable();
    let mut hash = Sha1::new();
    for url in urls {
        hash.update(url);
    }
    hash.update(cluster_token);
    if let Some(seconds) = added_at_s {
        hash.update(seconds.to_string());
    }
    first_u64(&hash.finalize())
}

/// The id of the cluster that starts with these members.
pub fn cluster_id(initial_members: &[u64]) -> u64 {
    let mut ids = initial_members.to_vec();
    ids.sort_unstable();
    let mut hash = Sha1::new();
    for id in ids {
        hash.update(id.to_be_bytes());
    }
    first_u64(&hash.finalize())
}

fn first_u64(hash: &[u8]) -> u64 {
    u64::from_be_bytes(hash[..8].try_into().expect("invariant: SHA-1 has 20 bytes"))
}

/// A member as etcd writes it into the context of a `ConfChange`: the JSON's fields in this order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct MemberJson {
    /// Its id.
    pub id: u64,
    /// Where its peers reach it.
    #[serde(rename = "peerURLs", default, deserialize_with = "null_as_empty")]
    pub peer_urls: Vec<String>,
    /// It does not vote.
    #[serde(rename = "isLearner", default, skip_serializing_if = "std::ops::Not::not")]
    pub is_learner: bool,
    /// Its name; empty (and left out) until it has published it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Where clients reach it; empty (and left out) until it has published them.
    #[serde(rename = "clientURLs", default, deserialize_with = "null_as_empty", skip_serializing_if = "Vec::is_empty")]
    pub client_urls: Vec<String>,
    /// Only in a change at run time: `true` turns a learner into a voter. Bootstrap entries do not have it.
    #[serde(rename = "isPromote", default, skip_serializing_if = "Option::is_none")]
    pub is_promote: Option<bool>,
}

impl MemberJson {
    /// The bytes that Go's `json.Marshal` gives.
    pub fn to_json(&self) -> Vec<u8> {
        go_json(self)
    }

    /// Reads what [`Self::to_json`] or etcd wrote. Unknown fields are skipped.
    pub fn from_json(json: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(json)
    }
}

/// What a member publishes about itself, in the order of etcd's fields; the empty is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct AttributesJson {
    /// Its name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Where clients reach it.
    #[serde(rename = "clientURLs", default, deserialize_with = "null_as_empty", skip_serializing_if = "Vec::is_empty")]
    pub client_urls: Vec<String>,
}

impl AttributesJson {
    /// The bytes that Go's `json.Marshal` gives.
    pub fn to_json(&self) -> Vec<u8> {
        go_json(self)
    }

    /// Reads what [`Self::to_json`] or etcd wrote. Unknown fields are skipped.
    pub fn from_json(json: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(json)
    }
}

/// A member's part that Raft needs, in the order of etcd's fields.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RaftAttributesJson {
    /// Where its peers reach it.
    #[serde(rename = "peerURLs", default, deserialize_with = "null_as_empty")]
    pub peer_urls: Vec<String>,
    /// It does not vote.
    #[serde(rename = "isLearner", default, skip_serializing_if = "std::ops::Not::not")]
    pub is_learner: bool,
}

impl RaftAttributesJson {
    /// The bytes that Go's `json.Marshal` gives.
    pub fn to_json(&self) -> Vec<u8> {
        go_json(self)
    }

    /// Reads what [`Self::to_json`] or etcd wrote. Unknown fields are skipped.
    pub fn from_json(json: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(json)
    }
}

/// JSON as Go's `json.Marshal` writes it: it also escapes what a browser might misread.
pub(crate) fn go_json(value: &impl Serialize) -> Vec<u8> {
    let json = serde_json::to_string(value).expect("invariant: numbers and strings always encode");
    // Outside of strings none of these can stand.
    let mut escaped = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => escaped.push_str(&format!("\\u{:04x}", c as u32)),
            c => escaped.push(c),
        }
    }
    escaped.into_bytes()
}

/// Go writes a list that was never made as `null`.
fn null_as_empty<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The ids of Debian's etcd 3.4.23 started without any flag.
    #[test]
    fn the_default_member_has_etcds_own_ids() {
        let member = member_id(&["http://127.0.0.1:2380"], "etcd-cluster", None);
        assert_eq!(member, 0xb71f_7532_0dc0_6a6c);
        assert_eq!(cluster_id(&[member]), 0x1c45_a069_f3a1_d796);
    }

    #[test]
    fn ids_do_not_depend_on_the_order_but_on_the_time_added() {
        let id = |urls: &[&str], at| member_id(urls, "t", at);
        assert_eq!(id(&["http://a", "http://b"], None), id(&["http://b", "http://a"], None));
        assert_ne!(id(&["http://a"], None), id(&["http://a"], Some(1_700_000_000)));
        assert_eq!(cluster_id(&[2, 1]), cluster_id(&[1, 2]));
    }

    #[test]
    fn bootstrap_json_is_etcds() {
        let member = MemberJson {
            id: 0xb71f_7532_0dc0_6a6c,
            peer_urls: vec!["http://127.0.0.1:2380".into()],
            name: "a<b".into(),
            ..Default::default()
        };
        let json = member.to_json();
        assert_eq!(
            String::from_utf8_lossy(&json),
            r#"{"id":13195394291058371180,"peerURLs":["http://127.0.0.1:2380"],"name":"a\u003cb"}"#
        );
        assert_eq!(MemberJson::from_json(&json).unwrap(), member);
    }
}
