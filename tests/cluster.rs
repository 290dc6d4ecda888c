//! What the log says of the members stands in the store, in etcd's own words, and in the entry's own transaction.

use bytes::Bytes;
use prost::Message as _;
use seedbed::apply::State;
use seedbed::backend::{BackendError, Bucket, Memory};
use seedbed::cluster::{Cluster, Member};
use seedbed::lease;
use seedbed::mvcc::{Applied, Store, StoreConfig};
use seedbed::pb::etcdserverpb::{InternalRaftRequest, Request};
use seedbed::pb::raftpb::{ConfChange, ConfChangeType};
use seedbed::raft::{Entry, EntryKind};
use seedbed::time::Now;

fn state() -> State {
    State::new(Box::new(Memory::new()), StoreConfig::default(), lease::Config::default())
}

fn change(kind: ConfChangeType, node_id: u64, context: &'static str) -> (EntryKind, Vec<u8>) {
    let context = Bytes::from_static(context.as_bytes());
    (EntryKind::ConfChange, ConfChange { id: 0, r#type: kind.into(), node_id, context }.encode_to_vec())
}

fn put(path: &str, val: &str) -> Request {
    Request { id: 7, method: "PUT".into(), path: path.into(), val: val.into(), ..Request::default() }
}

/// Applies these as the next entries.
fn apply_all(state: &mut State, data: impl IntoIterator<Item = (EntryKind, Vec<u8>)>) -> Result<(), BackendError> {
    for (kind, data) in data {
        let entry = Entry { kind, term: 2, index: state.store.consistent_index() + 1, data: data.into() };
        state.apply(Now::default(), &entry)?;
    }
    Ok(())
}

fn pairs(store: &Store, bucket: Bucket) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let mut visit = |key: &[u8], value: &Bytes| {
        pairs.push((text(key), text(value)));
        true
    };
    store.scan(bucket, &mut visit).unwrap();
    pairs
}

const ADD: ConfChangeType = ConfChangeType::ConfChangeAddNode;

#[test]
fn entries_become_etcds_records() {
    let mut state = state();
    let bare = put("/0/members/b71f75320dc06a6c/attributes", r#"{"name":"default","clientURLs":["http://c"]}"#);
    let wrapped = InternalRaftRequest { v2: Some(put("/0/version", "3.4.0").into()), ..InternalRaftRequest::default() };
    let entries = [
        change(ADD, 0xb71f_7532_0dc0_6a6c, r#"{"id":13195394291058371180,"peerURLs":["http://a"],"name":"default"}"#),
        change(ADD, 10, r#"{"id":10,"peerURLs":["http://b"]}"#),
        (EntryKind::Normal, vec![]),
        (EntryKind::Normal, bare.encode_to_vec()),
        (EntryKind::Normal, wrapped.encode_to_vec()),
        change(ConfChangeType::ConfChangeRemoveNode, 10, ""),
    ];
    apply_all(&mut state, entries).unwrap();
    let json = r#"{"id":13195394291058371180,"peerURLs":["http://a"],"name":"default","clientURLs":["http://c"]}"#;
    assert_eq!(pairs(&state.store, Bucket::Members), [("b71f75320dc06a6c".into(), json.into())]);
    assert_eq!(pairs(&state.store, Bucket::MembersRemoved), [("a".into(), "removed".into())]);
    assert_eq!(pairs(&state.store, Bucket::Cluster), [("clusterVersion".into(), "3.4.0".into())]);
    assert_eq!((state.store.consistent_index(), state.store.revision()), (6, 1), "no revision is made");

    let cluster = Cluster::load(state.store.engine()).unwrap();
    let member = Member {
        id: 0xb71f_7532_0dc0_6a6c,
        name: "default".into(),
        peer_urls: vec!["http://a".into()],
        client_urls: vec!["http://c".into()],
        is_learner: false,
    };
    assert_eq!(cluster.members.into_values().collect::<Vec<_>>(), [member]);
    assert_eq!((cluster.removed, cluster.version.as_deref()), ([10].into(), Some("3.4.0")));
}

/// Garbled changes, and those that cannot be: the entry takes its place, nothing is written, everywhere alike.
#[test]
fn what_cannot_be_changed_is_passed_over() {
    let mut state = state();
    apply_all(&mut state, [change(ADD, 1, r#"{"id":1,"peerURLs":["http://a"]}"#)]).unwrap();
    let before = [Bucket::Members, Bucket::MembersRemoved, Bucket::Cluster].map(|bucket| pairs(&state.store, bucket));
    let passed_over = [
        change(ADD, 1, r#"{"id":1,"peerURLs":["http://other"]}"#),
        change(ADD, 2, r#"{"id":2,"#),
        change(ADD, 2, r#"{"id":3,"peerURLs":[]}"#),
        (EntryKind::ConfChange, vec![0xff]),
        (EntryKind::ConfChangeV2, vec![]),
        (EntryKind::Normal, vec![0xff]),
        (EntryKind::Normal, put("/0/members/2/attributes", "{}").encode_to_vec()),
        (EntryKind::Normal, put("/0/members/1/attributes", "{").encode_to_vec()),
        (EntryKind::Normal, put("/0/version", "three").encode_to_vec()),
        (EntryKind::Normal, put("/1/a/users/key", "v2").encode_to_vec()),
    ];
    let entries = passed_over.len() as u64;
    apply_all(&mut state, passed_over).unwrap();
    let after = [Bucket::Members, Bucket::MembersRemoved, Bucket::Cluster].map(|bucket| pairs(&state.store, bucket));
    assert_eq!((before, state.store.consistent_index()), (after, 1 + entries));
}

/// A garbled record is this member's own disk: it must stop, not differ.
#[test]
fn a_garbled_record_stops_the_member() {
    let mut state = state();
    let mut txn = state.store.write(Applied { index: 1, term: 1 }).unwrap();
    txn.set(Bucket::Members, Bytes::from_static(b"1"), Bytes::from_static(b"{")).unwrap();
    txn.commit();
    let error = apply_all(&mut state, [change(ADD, 2, r#"{"id":2,"peerURLs":[]}"#)]).unwrap_err();
    assert!(matches!(&error, BackendError::Record { bucket: "members", key, .. } if key == "1"), "{error}");
    assert_eq!(state.store.consistent_index(), 1, "the entry is not taken for applied");
}
