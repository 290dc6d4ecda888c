//! Real etcd reads what Seedbed wrote, and the other way round.
//!
//! These tests start Debian's etcd (3.4, packages etcd-server and etcd-client) on loopback ports of their own, with data
//! directories in folders of their own, and end what they started. Where the programs are absent they say that they
//! were skipped; with `SEEDBED_REQUIRE_ETCD` set they fail instead, so that a build that means to run them does.

mod cluster;
#[path = "../support/etcd.rs"]
mod etcd;
#[path = "../support/folder.rs"]
mod folder;

use bytes::Bytes;
use cluster::Cluster;
use etcd::{Etcd, Tools, tools};
use folder::Folder;
use seedbed::api::Request;
use seedbed::mvcc::{HashKv, Store};
use seedbed::pb::etcdserverpb::{CompactionRequest, DeleteRangeRequest, PutRequest};
use std::thread::sleep;
use std::time::Duration;

/// Snapshots come often enough that there are some.
const OFTEN: [&str; 2] = ["--snapshot-count", "20"];

/// Puts, overwrites, deletes and a compaction: revisions 2 to 61.
fn workload() -> Vec<Request> {
    let put = |n: usize| {
        let (key, value) = (format!("k{:02}", n % 17), format!("value-{n}-{}", "x".repeat(n * 7 % 300)));
        Request::Put(PutRequest { key: key.into(), value: value.into(), ..PutRequest::default() })
    };
    let delete = |key: &'static str| {
        Request::DeleteRange(DeleteRangeRequest { key: key.into(), ..DeleteRangeRequest::default() })
    };
    let mut requests: Vec<Request> = (0..30).map(put).collect();
    requests.push(delete("k03"));
    requests.push(Request::DeleteRange(DeleteRangeRequest {
        key: Bytes::from_static(b"k05"),
        range_end: Bytes::from_static(b"k08"),
        ..DeleteRangeRequest::default()
    }));
    requests.push(Request::Compact(CompactionRequest { revision: 20, physical: false }));
    requests.extend((30..55).map(put));
    requests.push(delete("k00"));
    requests
}

/// The same through a real etcd; at least revision 40 follows.
fn drive(etcd: &Etcd) {
    for n in 0..30 {
        etcd.put(&format!("k{:02}", n % 11), &format!("value-{n}-{}", "y".repeat(n * 13 % 200)));
    }
    etcd.ctl(&["del", "k03"]);
    etcd.ctl(&["del", "k05", "k08"]);
    etcd.ctl(&["compaction", "20"]);
    for n in 30..45 {
        etcd.put(&format!("k{:02}", n % 11), &format!("value-{n}"));
    }
    // A compaction removes its records within milliseconds, and a batch is durable after 100 ms.
    sleep(Duration::from_millis(300));
}

/// A real etcd on the directory that a member of Seedbed wrote.
fn member(tools: &Tools, folder: &Folder, cluster: &Cluster, number: usize) -> Etcd {
    let peer = &cluster.peers[number];
    tools.etcd(&peer.name, folder.path(&peer.name)).with(&OFTEN).with_peer_url(&peer.peer_urls[0])
}

/// Seedbed's HashKV at every revision that etcd hashes, which are those after the compacted one.
fn hashes(store: &Store) -> Vec<HashKv> {
    let first = store.compact_revision().max(1) + 1;
    (first..=store.revision()).map(|revision| store.hash_kv(revision).expect("a readable revision")).collect()
}

fn assert_serves_the_same(etcd: &Etcd, store: &Store) {
    assert_eq!(etcd.revision(), store.revision());
    for revision in store.compact_revision().max(2)..=store.revision() {
        assert_eq!(etcd.keys_at(revision), cluster::keys_at(store, revision), "keys at revision {revision}");
    }
    for hash in hashes(store) {
        let (found, compacted) = etcd.hash_kv(hash.revision);
        assert_eq!(
            (found, compacted),
            (hash.hash, hash.compact_revision),
            "HashKV at revision {}: (hash, compact revision) of etcd and of Seedbed",
            hash.revision
        );
    }
}

#[test]
fn etcd_serves_what_a_sole_member_wrote() {
    let Some(tools) = tools() else { return };
    let folder = Folder::new();
    let mut cluster = Cluster::start(&tools.addresses(1));
    cluster.run(workload());
    cluster.stop(&folder);
    let mut etcd = member(&tools, &folder, &cluster, 0);
    etcd.start();
    assert_serves_the_same(&etcd, cluster.store(0));
    assert_eq!(etcd.put("after", "1"), cluster.store(0).revision() + 1, "and it works on");
}

#[test]
fn etcd_serves_what_a_member_with_snapshots_and_released_segments_wrote() {
    let Some(tools) = tools() else { return };
    let folder = Folder::new();
    let mut cluster = Cluster::start_with(&tools.addresses(1), |config| {
        config.snapshot_count = 10;
        config.snapshot_catchup = 5;
        config.max_snapshots = 2;
        config.max_wals = 1;
        config.wal_segment_bytes = 2048;
    });
    cluster.run(workload());
    cluster.stop(&folder);
    assert!(!folder.has("n1/member/wal/0000000000000000-0000000000000000.wal"), "the first segment is released");
    let mut etcd = member(&tools, &folder, &cluster, 0);
    etcd.start();
    assert_serves_the_same(&etcd, cluster.store(0));
}

#[test]
fn etcd_serves_what_three_members_wrote() {
    let Some(tools) = tools() else { return };
    let folder = Folder::new();
    let mut cluster = Cluster::start(&tools.addresses(3));
    cluster.run(workload());
    cluster.stop(&folder);
    let mut members: Vec<Etcd> = (0..3).map(|number| member(&tools, &folder, &cluster, number)).collect();
    members.iter_mut().for_each(Etcd::spawn);
    for (number, etcd) in members.iter_mut().enumerate() {
        etcd.wait_until_healthy();
        assert_serves_the_same(etcd, cluster.store(number));
    }
}

#[test]
fn seedbed_goes_on_where_etcd_stopped_or_was_killed() {
    let Some(tools) = tools() else { return };
    for kill in [false, true] {
        let folder = Folder::new();
        let dir = folder.path("n1");
        let mut etcd = tools.etcd("n1", &dir).with(&OFTEN);
        etcd.start();
        drive(&etcd);
        let (revision, keys) = (etcd.revision(), etcd.keys_at(etcd.revision()));
        let first = 21;
        let hashes: Vec<_> = (first..=revision).map(|revision| etcd.hash_kv(revision)).collect();
        if kill {
            etcd.kill()
        } else {
            etcd.stop()
        }

        let mut cluster = Cluster::take_over(&dir, etcd.peer_url());
        cluster.wait_for_leader();
        assert_eq!(cluster.store(0).revision(), revision, "killed: {kill}");
        assert_eq!(cluster::keys_at(cluster.store(0), revision), keys);
        for (revision, hash) in (first..).zip(hashes) {
            let own = cluster.store(0).hash_kv(revision).expect("a readable revision");
            assert_eq!((own.hash, own.compact_revision), hash, "HashKV at revision {revision}");
        }
        cluster.run(vec![Request::Put(PutRequest { key: "after".into(), value: "1".into(), ..PutRequest::default() })]);
        assert_eq!(cluster.store(0).revision(), revision + 1, "and it works on");
    }
}

#[test]
fn etcdctl_reads_and_restores_a_snapshot_of_seedbed() {
    let Some(tools) = tools() else { return };
    let folder = Folder::new();
    let mut cluster = Cluster::start(&tools.addresses(1));
    cluster.run(workload());
    let snapshot = cluster.snapshot(0);
    let saved = folder.file("saved.db", snapshot.with_sha256());
    let status = tools.snapshot_status(&saved);
    assert_eq!(status.revision, cluster.store(0).revision());
    assert_eq!(status.hash, snapshot.hash());
    assert_eq!(status.total_size, snapshot.bytes.len() as u64);

    tools.snapshot_restore(&saved, &folder.path("n1"), "n1", &cluster.peers[0].peer_urls[0]);
    let mut etcd = member(&tools, &folder, &cluster, 0);
    etcd.start();
    assert_serves_the_same(&etcd, cluster.store(0));
}
