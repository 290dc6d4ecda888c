//! The v2 store's JSON: what etcd 3.4 keeps in a snapshot file, and reads its members from at the next start.
//!
//! It is a tree of a key-value store that is otherwise gone. Under `/0` lie the cluster's own records, under `/1` lay
//! the users' keys:
//!
//! ```text
//!   {"Root": NODE, "WatcherHub": {…}, "CurrentIndex": n, "Stats": {…}, "CurrentVersion": 2}
//!   NODE = {"Path", "CreatedIndex", "ModifiedIndex", "ExpireTime", "Value", "Children": {name: NODE} | null}
//!
//!   /0/members/<id>/raftAttributes   {"peerURLs":[…],"isLearner":true}
//!   /0/members/<id>/attributes       {"name":"…","clientURLs":[…]}        once it has published them
//!   /0/removed_members/<id>
//!   /0/version                       3.4.0
//! ```
//!
//! [`encode`] writes it as a v2 store would that had seen these records made one by one: the members by id, those
//! removed, the attributes, the version. Its indexes count *those* requests (the store's own clock, not Raft's), and
//! the same requests stand in the history that its watchers would have read. So a cluster of which nothing but the
//! members is known encodes to the bytes that `etcdctl snapshot restore` writes.
//!
//! [`decode`] takes the members out of any such tree and skips the rest.

use super::{Cluster, Member, byte_of, hex, id_of_hex, is_version};
use crate::pb::ids::{AttributesJson, RaftAttributesJson, go_json};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Events that the history has room for.
const HISTORY: usize = 1_000;

/// What Go writes for no time.
const NEVER: &str = "0001-01-01T00:00:00Z";

/// Why a v2 store cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum V2StoreError {
    /// The text is no JSON, or not this tree.
    #[error("the v2 store breaks at byte {offset}: {reason}")]
    Json {
        /// Where, in bytes from its start.
        offset: usize,
        /// How.
        reason: String,
    },
    /// A node is not what its place in the tree says.
    #[error("the v2 store's node {path}: expected {expected}, found a break at byte {offset} of {found:?}")]
    Node {
        /// Its path.
        path: String,
        /// What should be there.
        expected: &'static str,
        /// What is.
        found: String,
        /// Where that breaks, in bytes from its start.
        offset: usize,
    },
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Node {
    #[serde(rename = "Path")]
    path: String,
    #[serde(rename = "CreatedIndex", default)]
    created: u64,
    #[serde(rename = "ModifiedIndex", default)]
    modified: u64,
    #[serde(rename = "ExpireTime", default)]
    expires: String,
    #[serde(rename = "Value", default)]
    value: String,
    /// A directory has them, be it none; a value has `null`.
    #[serde(rename = "Children", default)]
    children: Option<BTreeMap<String, Node>>,
}

/// What is read of a v2 store.
#[derive(Deserialize)]
struct Tree {
    #[serde(rename = "Root")]
    root: Node,
}

/// Everything of a v2 store, in Go's order.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Whole {
    root: Node,
    watcher_hub: WatcherHub,
    current_index: u64,
    stats: Stats,
    current_version: u32,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct WatcherHub {
    event_history: EventHistory,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct EventHistory {
    queue: Queue,
    start_index: u64,
    last_index: u64,
}

/// A ring.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Queue {
    events: Vec<Option<Event>>,
    size: usize,
    front: usize,
    back: usize,
    capacity: usize,
}

#[derive(Serialize)]
struct Event {
    action: &'static str,
    node: EventNode,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct EventNode {
    key: String,
    value: String,
    modified_index: u64,
    created_index: u64,
}

/// Counters of requests; those that are never made here stay 0.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Stats {
    gets_success: u64,
    gets_fail: u64,
    sets_success: u64,
    sets_fail: u64,
    delete_success: u64,
    delete_fail: u64,
    update_success: u64,
    update_fail: u64,
    create_success: u64,
    create_fail: u64,
    compare_and_swap_success: u64,
    compare_and_swap_fail: u64,
    compare_and_delete_success: u64,
    compare_and_delete_fail: u64,
    expire_count: u64,
    watchers: u64,
}

/// A v2 store while its requests are made.
struct Writer {
    root: Node,
    events: Vec<Event>,
    stats: Stats,
}

/// The bytes of the v2 store that holds this cluster.
pub fn encode(cluster: &Cluster) -> Bytes {
    let mut writer = Writer { root: directory(String::from("/"), 0), events: Vec::new(), stats: Stats::default() };
    writer.directory("/0");
    writer.directory("/1");
    for member in cluster.members.values() {
        let json = RaftAttributesJson { peer_urls: member.peer_urls.clone(), is_learner: member.is_learner }.to_json();
        writer.create(format!("/0/members/{}/raftAttributes", hex(member.id)), text(json));
    }
    for &id in &cluster.removed {
        writer.create(format!("/0/removed_members/{}", hex(id)), String::new());
    }
    // A name that no client addresses came with is known from the first configuration: it was not published.
    for member in cluster.members.values().filter(|member| !member.client_urls.is_empty()) {
        let Member { name, client_urls, .. } = member.clone();
        let json = AttributesJson { name, client_urls }.to_json();
        writer.set(format!("/0/members/{}/attributes", hex(member.id)), text(json));
    }
    if let Some(version) = &cluster.version {
        writer.set(String::from("/0/version"), version.clone());
    }
    writer.finish()
}

impl Writer {
    fn create(&mut self, key: String, value: String) {
        self.stats.create_success += 1;
        self.make("create", key, value);
    }

    fn set(&mut self, key: String, value: String) {
        self.stats.sets_success += 1;
        self.make("set", key, value);
    }

    fn make(&mut self, action: &'static str, key: String, value: String) {
        let index = self.events.len() as u64 + 1;
        let node = self.node(&key, index);
        (node.value, node.children) = (value.clone(), None);
        let node = EventNode { key, value, modified_index: index, created_index: index };
        self.events.push(Event { action, node });
    }

    fn directory(&mut self, key: &str) {
        self.node(key, 0);
    }

    /// The node at `key`, made with the directories above it if they are not there.
    fn node(&mut self, key: &str, index: u64) -> &mut Node {
        let mut node = &mut self.root;
        for (slash, _) in key.match_indices('/') {
            let end = key[slash + 1..].find('/').map_or(key.len(), |next| slash + 1 + next);
            let children = node.children.get_or_insert_default();
            let child = children.entry(key[slash + 1..end].to_owned());
            node = child.or_insert_with(|| directory(key[..end].to_owned(), index));
        }
        node
    }

    fn finish(self) -> Bytes {
        let last_index = self.events.len() as u64;
        let forgotten = self.events.len().saturating_sub(HISTORY);
        let mut events: Vec<Option<Event>> = self.events.into_iter().skip(forgotten).map(Some).collect();
        let size = events.len();
        events.resize_with(HISTORY, || None);
        let queue = Queue { events, size, front: 0, back: size % HISTORY, capacity: HISTORY };
        let start_index = if size == 0 { 0 } else { forgotten as u64 + 1 };
        let whole = Whole {
            root: self.root,
            watcher_hub: WatcherHub { event_history: EventHistory { queue, start_index, last_index } },
            current_index: last_index,
            stats: self.stats,
            current_version: 2,
        };
        go_json(&whole).into()
    }
}

fn directory(path: String, index: u64) -> Node {
    let children = Some(BTreeMap::new());
    Node { path, created: index, modified: index, expires: NEVER.into(), value: String::new(), children }
}

fn text(json: Vec<u8>) -> String {
    String::from_utf8(json).expect("invariant: JSON is UTF-8")
}

/// The cluster that a v2 store holds.
pub fn decode(json: &[u8]) -> Result<Cluster, V2StoreError> {
    let Tree { root } = serde_json::from_slice(json)
        .map_err(|error| V2StoreError::Json { offset: byte_of(json, &error), reason: error.to_string() })?;
    let mut cluster = Cluster::default();
    let Some(own) = root.child("0") else { return Ok(cluster) };
    for (name, node) in own.child("members").iter().flat_map(|node| node.children.iter().flatten()) {
        let member = decode_member(name, node)?;
        cluster.members.insert(member.id, member);
    }
    for (name, node) in own.child("removed_members").iter().flat_map(|node| node.children.iter().flatten()) {
        cluster.removed.insert(id_of_node(name, node)?);
    }
    if let Some(node) = own.child("version") {
        if !is_version(&node.value) {
            return Err(node.broken("a version (major.minor.patch)", &node.value, 0));
        }
        cluster.version = Some(node.value.clone());
    }
    Ok(cluster)
}

fn decode_member(name: &str, node: &Node) -> Result<Member, V2StoreError> {
    let id = id_of_node(name, node)?;
    let raft = node.child("raftAttributes").ok_or_else(|| node.broken("a child raftAttributes", "", 0))?;
    let json =
        |node: &Node, expected, error| node.broken(expected, &node.value, byte_of(node.value.as_bytes(), &error));
    let RaftAttributesJson { peer_urls, is_learner } = RaftAttributesJson::from_json(raft.value.as_bytes())
        .map_err(|error| json(raft, "a member's peer URLs as JSON", error))?;
    let AttributesJson { name, client_urls } = match node.child("attributes") {
        Some(node) => AttributesJson::from_json(node.value.as_bytes())
            .map_err(|error| json(node, "a member's attributes as JSON", error))?,
        None => AttributesJson::default(),
    };
    Ok(Member { id, name, peer_urls, client_urls, is_learner })
}

fn id_of_node(name: &str, node: &Node) -> Result<u64, V2StoreError> {
    id_of_hex(name.as_bytes()).ok_or_else(|| node.broken("a member's id in lower-case hexadecimal", name, 0))
}

impl Node {
    fn child(&self, name: &str) -> Option<&Node> {
        self.children.as_ref()?.get(name)
    }

    fn broken(&self, expected: &'static str, found: &str, offset: usize) -> V2StoreError {
        V2StoreError::Node { path: self.path.clone(), expected, found: found.to_owned(), offset }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster() -> Cluster {
        let member = |id: u64, is_learner, client_urls: &[&str]| Member {
            id,
            name: if client_urls.is_empty() { String::new() } else { format!("n{id}") },
            peer_urls: vec![format!("http://{id}"), format!("http://p{id}?a&b")],
            client_urls: client_urls.iter().map(ToString::to_string).collect(),
            is_learner,
        };
        let members =
            [member(1, false, &["http://c"]), member(0xab, true, &[]), member(3, false, &["http://<d>", "e"])];
        Cluster {
            members: members.into_iter().map(|member| (member.id, member)).collect(),
            removed: [7, 8].into(),
            version: Some("3.4.0".into()),
        }
    }

    #[test]
    fn what_is_encoded_is_decoded() {
        assert_eq!(decode(&encode(&cluster())), Ok(cluster()));
        assert_eq!(decode(&encode(&Cluster::default())), Ok(Cluster::default()));
        let many = Cluster { removed: (1..=2_500).collect(), ..Cluster::default() };
        assert_eq!(decode(&encode(&many)), Ok(many));
    }

    /// The counters of a store that saw three members, two removals, two publications and a version.
    #[test]
    fn indexes_count_the_v2_stores_own_requests() {
        let json: serde_json::Value = serde_json::from_slice(&encode(&cluster())).unwrap();
        assert_eq!(json["CurrentIndex"], 8);
        let history = &json["WatcherHub"]["EventHistory"];
        assert_eq!((&history["StartIndex"], &history["LastIndex"]), (&1.into(), &8.into()));
        assert_eq!(history["Queue"]["Events"].as_array().unwrap().len(), 1_000);
        assert_eq!(history["Queue"]["Events"][7]["node"]["key"], "/0/version");
        assert_eq!(history["Queue"]["Events"][8], serde_json::Value::Null);
        let version = &json["Root"]["Children"]["0"]["Children"]["version"];
        assert_eq!((&version["CreatedIndex"], &version["Children"]), (&8.into(), &serde_json::Value::Null));
        assert_eq!(json["Root"]["Children"]["1"]["Children"], serde_json::json!({}));
    }

    /// Every byte changed, every length: another cluster or an error with a place, and no panic.
    #[test]
    fn a_break_is_told_with_its_byte() {
        let one = Cluster { version: Some("3.4.0".into()), ..Cluster::default() };
        let json = encode(&one);
        for cut in 0..json.len() {
            let Err(V2StoreError::Json { offset, .. }) = decode(&json[..cut]) else { panic!("cut at {cut}") };
            assert!(offset <= cut && cut <= offset + 1, "cut at {cut}: told at {offset}");
        }
        let small = json.iter().rposition(|&byte| byte == b'W').unwrap();
        for at in 0..small {
            for bit in 0..8 {
                let mut json = json.to_vec();
                json[at] ^= 1 << bit;
                let _ = decode(&json);
            }
        }
        let json = String::from_utf8(encode(&cluster()).to_vec()).unwrap();
        let error = |from: &str, to: &str| decode(json.replace(from, to).as_bytes()).unwrap_err().to_string();
        let broken = error(r#"{\"peerURLs\":[\"http://1\","#, r#"{\"peerURLs\":[\"http://1\""#);
        assert!(broken.starts_with("the v2 store's node /0/members/1/raftAttributes: expected a member's peer URLs"));
        assert!(broken.contains("byte 23 of"), "{broken}");
        assert!(error(r#""ab":{"#, r#""AB":{"#).contains("/0/members/ab: expected a member's id"));
        assert!(error("3.4.0", "3").contains("/0/version: expected a version"));
        assert!(error(r#""raftAttributes":{"#, r#""raft":{"#).contains("expected a child raftAttributes"));
    }
}
