//! `/metrics` beside a real etcd's: the same names, types, labels and buckets, and numbers that mean the same.

#[path = "support/etcd.rs"]
mod etcd;
#[path = "support/folder.rs"]
mod folder;
#[path = "support/serving.rs"]
mod serving;

use etcd::tools;
use folder::Folder;
use serving::{Serving, get};
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// What of etcd's is left out, by how its name begins, and why.
const LEFT_OUT: &[(&str, &str)] = &[
    ("go_", "of Go's runtime"),
    ("promhttp_", "of the library that writes etcd's page"),
    ("etcd_server_go_version", "it is not built by Go"),
    ("etcd_grpc_proxy_", "of etcd's proxy, which etcd's own server never counts"),
    ("etcd_debugging_store_", "of the store of version 2"),
    ("etcd_debugging_disk_backend_commit_", "a commit has no such steps: pages are laid out and written together"),
    ("etcd_debugging_mvcc_db_compaction_pause_", "a slice of a compaction is a step among others, and stops nobody"),
    ("etcd_debugging_mvcc_index_compaction_pause_", "the index is compacted with the records"),
    ("etcd_debugging_mvcc_db_compaction_total_", "compactions may be many at once; their records are counted"),
    ("etcd_debugging_lease_ttl_total", "nobody has asked for the spread of what was granted"),
    ("etcd_debugging_server_lease_expired_total", "expired leases are counted among the revoked"),
    ("etcd_debugging_snap_save_", "a snapshot is bytes already when it is saved"),
    ("etcd_snap_db_save_total_", "a received database is written as it comes; its sync is timed"),
    ("etcd_disk_backend_snapshot_duration_", "images are read by those who send them, at their own pace"),
];

/// What a page says of a metric besides its values.
#[derive(Debug, Default, PartialEq, Eq)]
struct Shape {
    help: String,
    kind: String,
    labels: BTreeSet<String>,
    buckets: Vec<String>,
}

fn shapes(page: &str) -> BTreeMap<String, Shape> {
    let mut shapes: BTreeMap<String, Shape> = BTreeMap::new();
    let mut current = String::new();
    for line in page.lines() {
        if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|line| line.split_once(' ')) {
            current = name.to_owned();
            shapes.entry(current.clone()).or_default().help = help.to_owned();
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|line| line.split_once(' ')) {
            shapes.entry(name.to_owned()).or_default().kind = kind.to_owned();
        } else if let Some((_, labels)) = line.split_once('{') {
            let shape = shapes.get_mut(&current).expect("values stand behind their metric's head");
            for label in labels.split("\",").filter_map(|label| label.split_once("=\"")) {
                match label {
                    ("le", end) => shape.buckets.push(end.split('"').next().unwrap_or_default().to_owned()),
                    (name, _) => drop(shape.labels.insert(name.to_owned())),
                }
            }
        }
    }
    shapes
}

/// A value, with its labels as they stand on the page.
fn value(page: &str, name: &str) -> f64 {
    let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("{name} is on the page")).parse().expect("a number")
}

fn ctl(address: &str, args: &str) {
    let mut command = Command::new("etcdctl");
    command.env("ETCDCTL_API", "3").args(["--endpoints", address]).args(args.split(' '));
    let output = command.output().expect("etcdctl runs");
    assert!(output.status.success(), "{args}: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_page_is_etcds() {
    let Some(tools) = tools() else { return };
    let folder = Folder::new();
    let [address] = tools.addresses(1).try_into().expect("one was asked for");
    let _ours = Serving::healthy(folder.path("log"), &folder.path("ours"), &address);
    let mut etcd = tools.etcd("default", folder.path("etcd"));
    etcd.start();
    let theirs = etcd.client_url().replace("http://", "");
    for address in [&address, &theirs] {
        get(address, "/health");
        for line in ["put a 1", "put a 22", "put b 1", "del b", "del none", "get a", "get --consistency=s a"] {
            ctl(address, line);
        }
        for line in ["compaction 3", "lease grant 60", "alarm list", "endpoint hashkv"] {
            ctl(address, line);
        }
    }
    let pages = [&address, &theirs].map(|address| get(address, "/metrics"));
    assert_eq!(pages[0].header("content-type"), pages[1].header("content-type"));
    let [ours, theirs] = pages.map(|page| page.body);
    compare(&shapes(&ours), &shapes(&theirs));
    for name in [
        "etcd_server_has_leader",
        "etcd_server_is_leader",
        "etcd_server_is_learner",
        "etcd_server_leader_changes_seen_total",
        "etcd_server_quota_backend_bytes",
        "etcd_server_proposals_pending",
        "etcd_server_proposals_failed_total",
        "etcd_mvcc_put_total",
        "etcd_mvcc_delete_total",
        "etcd_mvcc_txn_total",
        "etcd_debugging_mvcc_put_total",
        "etcd_debugging_mvcc_keys_total",
        "etcd_debugging_mvcc_current_revision",
        "etcd_debugging_mvcc_compact_revision",
        "etcd_debugging_mvcc_total_put_size_in_bytes",
        "etcd_debugging_mvcc_watcher_total",
        "etcd_debugging_lease_granted_total",
        "etcd_debugging_auth_revision",
        "grpc_server_started_total{grpc_method=\"Put\",grpc_service=\"etcdserverpb.KV\",grpc_type=\"unary\"}",
        "grpc_server_handled_total{grpc_code=\"OK\",grpc_method=\"Put\",grpc_service=\"etcdserverpb.KV\",\
         grpc_type=\"unary\"}",
        "grpc_server_msg_received_total{grpc_method=\"Put\",grpc_service=\"etcdserverpb.KV\",grpc_type=\"unary\"}",
    ] {
        assert_eq!(value(&ours, name), value(&theirs, name), "{name}");
    }
    for name in [
        "etcd_server_health_success",
        "etcd_disk_wal_fsync_duration_seconds_count",
        "etcd_disk_wal_fsync_duration_seconds_sum",
        "etcd_disk_wal_write_bytes_total",
        "etcd_disk_backend_commit_duration_seconds_count",
        "etcd_mvcc_hash_rev_duration_seconds_count",
        "etcd_mvcc_db_total_size_in_bytes",
        "etcd_mvcc_db_total_size_in_use_in_bytes",
        "etcd_server_proposals_applied_total",
        "etcd_server_proposals_committed_total",
        "etcd_network_client_grpc_received_bytes_total",
        "etcd_network_client_grpc_sent_bytes_total",
        "process_resident_memory_bytes",
        "process_open_fds",
        "process_start_time_seconds",
    ] {
        assert!(value(&ours, name) > 0.0 && value(&theirs, name) > 0.0, "{name}");
    }
}

fn compare(ours: &BTreeMap<String, Shape>, theirs: &BTreeMap<String, Shape>) {
    let left_out = |name: &str| LEFT_OUT.iter().any(|(beginning, _)| name.starts_with(beginning));
    let mut different = Vec::new();
    for (name, shape) in theirs.iter().filter(|(name, _)| !left_out(name)) {
        match ours.get(name) {
            None => different.push(format!("{name}: missing")),
            Some(ours) if ours != shape => different.push(format!("{name}: {ours:?}, not {shape:?}")),
            Some(_) => {}
        }
    }
    different.extend(ours.keys().filter(|name| !theirs.contains_key(*name)).map(|name| format!("{name}: not etcd's")));
    assert!(different.is_empty(), "{}", different.join("\n"));
    for (beginning, why) in LEFT_OUT {
        assert!(theirs.keys().any(|name| name.starts_with(beginning)), "{beginning} ({why}): etcd has none");
    }
}
