//! Real etcd reads what Seedbed wrote, and the other way round.
//!
//! These tests start Debian's etcd (3.4, packages etcd-server and etcd-client) on loopback ports of their own, with data
//! directories below the target directory, and end what they started. Where the programs are absent they say that they
//! were skipped; with `SEEDBED_REQUIRE_ETCD` set they fail instead, so that a build that means to run them does.

mod cluster;
mod real;

use bytes::Bytes;
use cluster::Cluster;
use real::{Etcd, Folder, available};
use seedbed::api::Request;
use seedbed::mvcc::{HashKv, Store};
use seedbed::pb::etcdserverpb::{CompactionRequest, DeleteRangeRequest, PutRequest};

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
    let Some(tools) = available() else { return };
    let folder = Folder::new("sole");
    let mut cluster = Cluster::start(&tools.ports(1));
    cluster.run(workload());
    cluster.stop(&folder);
    let etcd = Etcd::start(&tools, &folder, &cluster, 0);
    etcd.wait_until_healthy();
    assert_serves_the_same(&etcd, cluster.store(0));
    assert_eq!(etcd.put("after", "1"), cluster.store(0).revision() + 1, "and it works on");
}

#[test]
fn etcd_serves_what_a_member_with_snapshots_and_released_segments_wrote() {
    let Some(tools) = available() else { return };
    let folder = Folder::new("snapshots");
    let mut cluster = Cluster::start_with(&tools.ports(1), |config| {
        config.snapshot_count = 10;
        config.snapshot_catchup = 5;
        config.max_snapshots = 2;
        config.max_wals = 1;
        config.wal_segment_bytes = 2048;
    });
    cluster.run(workload());
    cluster.stop(&folder);
    assert!(!folder.has("n1/member/wal/0000000000000000-0000000000000000.wal"), "the first segment is released");
    let etcd = Etcd::start(&tools, &folder, &cluster, 0);
    etcd.wait_until_healthy();
    assert_serves_the_same(&etcd, cluster.store(0));
}

#[test]
fn etcd_serves_what_three_members_wrote() {
    let Some(tools) = available() else { return };
    let folder = Folder::new("three");
    let mut cluster = Cluster::start(&tools.ports(3));
    cluster.run(workload());
    cluster.stop(&folder);
    let members: Vec<Etcd> = (0..3).map(|member| Etcd::start(&tools, &folder, &cluster, member)).collect();
    for (number, etcd) in members.iter().enumerate() {
        etcd.wait_until_healthy();
        assert_serves_the_same(etcd, cluster.store(number));
    }
}

#[test]
fn seedbed_goes_on_where_etcd_stopped_or_was_killed() {
    let Some(tools) = available() else { return };
    for kill in [false, true] {
        let folder = Folder::new(if kill { "killed" } else { "stopped" });
        let mut etcd = Etcd::start_new(&tools, &folder);
        etcd.wait_until_healthy();
        real::drive(&etcd);
        let (revision, keys) = (etcd.revision(), etcd.keys_at(etcd.revision()));
        let first = 21;
        let hashes: Vec<_> = (first..=revision).map(|revision| etcd.hash_kv(revision)).collect();
        if kill {
            etcd.kill()
        } else {
            etcd.stop()
        }

        let mut cluster = Cluster::take_over(&etcd, &folder);
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
    let Some(tools) = available() else { return };
    let folder = Folder::new("snapshot");
    let mut cluster = Cluster::start(&tools.ports(1));
    cluster.run(workload());
    let snapshot = cluster.snapshot(0);
    folder.write("saved.db", &snapshot.with_sha256());
    let status = tools.snapshot_status(&folder.path("saved.db"));
    assert_eq!(status.revision, cluster.store(0).revision());
    assert_eq!(status.hash, snapshot.hash());
    assert_eq!(status.total_size, snapshot.bytes.len() as u64);

    tools.snapshot_restore(&folder.path("saved.db"), &folder.path("n1"), &cluster);
    let etcd = Etcd::start(&tools, &folder, &cluster, 0);
    etcd.wait_until_healthy();
    assert_serves_the_same(&etcd, cluster.store(0));
}
