//! The text format: for each metric a line of help, its type, and its values.
//!
//! ```text
//!   # HELP etcd_server_has_leader Whether or not a leader exists. 1 is existence, 0 is not.
//!   # TYPE etcd_server_has_leader gauge
//!   etcd_server_has_leader 1
//! ```
//!
//! Metrics stand in the order of their names, and numbers look as Go writes them: whoever compares two pages of etcd as
//! text can compare one of ours.

use super::kinds::{Counter, Histogram};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// A page in the making.
#[derive(Default)]
pub(super) struct Page {
    metrics: BTreeMap<&'static str, String>,
}

impl Page {
    /// A value that rises and falls.
    pub(super) fn gauge(&mut self, name: &'static str, value: u64) {
        self.write(name, "gauge", [(String::new(), value as f64)]);
    }

    /// The same, of one that may be below zero.
    pub(super) fn gauge_below_zero(&mut self, name: &'static str, value: i64) {
        self.write(name, "gauge", [(String::new(), value as f64)]);
    }

    /// A value that is 1, and says something by its label.
    pub(super) fn one(&mut self, name: &'static str, label: &str) {
        self.write(name, "gauge", [(label.to_owned(), 1.0)]);
    }

    /// A value that only rises.
    pub(super) fn counter(&mut self, name: &'static str, counter: &Counter) {
        self.count(name, counter.value());
    }

    /// The same, counted elsewhere.
    pub(super) fn count(&mut self, name: &'static str, value: u64) {
        self.write(name, "counter", [(String::new(), value as f64)]);
    }

    /// Durations.
    pub(super) fn histogram(&mut self, name: &'static str, histogram: &Histogram) {
        let (buckets, sum) = (histogram.cumulated(), histogram.sum());
        let text = self.begin(name, "histogram");
        let mut count = 0;
        for (end, below) in buckets {
            let end = if end.is_finite() { number(end) } else { "+Inf".to_owned() };
            line(text, &format!("{name}_bucket{{le=\"{end}\"}}"), below as f64);
            count = below;
        }
        line(text, &format!("{name}_sum"), sum);
        line(text, &format!("{name}_count"), count as f64);
    }

    /// Values, each with its labels (none: an empty text).
    pub(super) fn write(&mut self, name: &'static str, kind: &str, values: impl IntoIterator<Item = (String, f64)>) {
        let text = self.begin(name, kind);
        for (labels, value) in values {
            let labels = if labels.is_empty() { labels } else { format!("{{{labels}}}") };
            line(text, &format!("{name}{labels}"), value);
        }
    }

    fn begin(&mut self, name: &'static str, kind: &str) -> &mut String {
        let text = format!("# HELP {name} {}\n# TYPE {name} {kind}\n", help(name));
        let metric = self.metrics.entry(name).or_default();
        *metric = text;
        metric
    }

    pub(super) fn text(self) -> String {
        self.metrics.into_values().collect()
    }
}

fn line(text: &mut String, name: &str, value: f64) {
    writeln!(text, "{name} {}", number(value)).expect("invariant: a text takes what is written");
}

/// As Go's `%g` has it: the shortest digits, with an exponent below 10⁻⁴ and from a million on.
fn number(value: f64) -> String {
    let scientific = format!("{value:e}");
    let (digits, exponent) = scientific.split_once('e').expect("invariant: it was asked for");
    let exponent: i32 = exponent.parse().expect("invariant: it is a number");
    if value != 0.0 && !(-4..6).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{digits}e{sign}{:02}", exponent.abs());
    }
    value.to_string()
}

/// A name of the table, for one that was put together.
pub(super) fn named(name: &str) -> &'static str {
    HELP[place(name)].0
}

fn help(name: &str) -> &'static str {
    HELP[place(name)].1
}

fn place(name: &str) -> usize {
    HELP.binary_search_by_key(&name, |(name, _)| name).expect("invariant: every metric has a line in the table")
}

/// What etcd says of each metric, by name.
const HELP: &[(&str, &str)] = &[
    ("etcd_cluster_version", "Which version is running. 1 for 'cluster_version' label with current cluster version"),
    ("etcd_debugging_auth_revision", "The current revision of auth store."),
    ("etcd_debugging_lease_granted_total", "The total number of granted leases."),
    ("etcd_debugging_lease_renewed_total", "The number of renewed leases seen by the leader."),
    ("etcd_debugging_lease_revoked_total", "The total number of revoked leases."),
    ("etcd_debugging_mvcc_compact_revision", "The revision of the last compaction in store."),
    ("etcd_debugging_mvcc_current_revision", "The current revision of store."),
    ("etcd_debugging_mvcc_db_compaction_keys_total", "Total number of db keys compacted."),
    (
        "etcd_debugging_mvcc_db_total_size_in_bytes",
        "Total size of the underlying database physically allocated in bytes.",
    ),
    ("etcd_debugging_mvcc_delete_total", "Total number of deletes seen by this member."),
    ("etcd_debugging_mvcc_events_total", "Total number of events sent by this member."),
    ("etcd_debugging_mvcc_keys_total", "Total number of keys."),
    ("etcd_debugging_mvcc_pending_events_total", "Total number of pending events to be sent."),
    ("etcd_debugging_mvcc_put_total", "Total number of puts seen by this member."),
    ("etcd_debugging_mvcc_range_total", "Total number of ranges seen by this member."),
    ("etcd_debugging_mvcc_slow_watcher_total", "Total number of unsynced slow watchers."),
    ("etcd_debugging_mvcc_total_put_size_in_bytes", "The total size of put kv pairs seen by this member."),
    ("etcd_debugging_mvcc_txn_total", "Total number of txns seen by this member."),
    ("etcd_debugging_mvcc_watch_stream_total", "Total number of watch streams."),
    ("etcd_debugging_mvcc_watcher_total", "Total number of watchers."),
    ("etcd_disk_backend_commit_duration_seconds", "The latency distributions of commit called by backend."),
    ("etcd_disk_backend_defrag_duration_seconds", "The latency distribution of backend defragmentation."),
    ("etcd_disk_defrag_inflight", "Whether or not defrag is active on the member. 1 means active, 0 means not."),
    ("etcd_disk_wal_fsync_duration_seconds", "The latency distributions of fsync called by WAL."),
    ("etcd_disk_wal_write_bytes_total", "Total number of bytes written in WAL."),
    ("etcd_mvcc_db_open_read_transactions", "The number of currently open read transactions"),
    ("etcd_mvcc_db_total_size_in_bytes", "Total size of the underlying database physically allocated in bytes."),
    ("etcd_mvcc_db_total_size_in_use_in_bytes", "Total size of the underlying database logically in use in bytes."),
    ("etcd_mvcc_delete_total", "Total number of deletes seen by this member."),
    ("etcd_mvcc_hash_duration_seconds", "The latency distribution of storage hash operation."),
    ("etcd_mvcc_hash_rev_duration_seconds", "The latency distribution of storage hash by revision operation."),
    ("etcd_mvcc_put_total", "Total number of puts seen by this member."),
    ("etcd_mvcc_range_total", "Total number of ranges seen by this member."),
    ("etcd_mvcc_txn_total", "Total number of txns seen by this member."),
    ("etcd_network_client_grpc_received_bytes_total", "The total number of bytes received from grpc clients."),
    ("etcd_network_client_grpc_sent_bytes_total", "The total number of bytes sent to grpc clients."),
    ("etcd_server_client_requests_total", "The total number of client requests per client version."),
    ("etcd_server_has_leader", "Whether or not a leader exists. 1 is existence, 0 is not."),
    ("etcd_server_health_failures", "The total number of failed health checks"),
    ("etcd_server_health_success", "The total number of successful health checks"),
    (
        "etcd_server_heartbeat_send_failures_total",
        "The total number of leader heartbeat send failures (likely overloaded from slow disk).",
    ),
    ("etcd_server_id", "Server or member ID in hexadecimal format. 1 for 'server_id' label with current ID."),
    ("etcd_server_is_leader", "Whether or not this member is a leader. 1 if is, 0 otherwise."),
    ("etcd_server_is_learner", "Whether or not this member is a learner. 1 if is, 0 otherwise."),
    ("etcd_server_leader_changes_seen_total", "The number of leader changes seen."),
    (
        "etcd_server_learner_promote_successes",
        "The total number of successful learner promotions while this member is leader.",
    ),
    ("etcd_server_proposals_applied_total", "The total number of consensus proposals applied."),
    ("etcd_server_proposals_committed_total", "The total number of consensus proposals committed."),
    ("etcd_server_proposals_failed_total", "The total number of failed proposals seen."),
    ("etcd_server_proposals_pending", "The current number of pending proposals to commit."),
    ("etcd_server_quota_backend_bytes", "Current backend storage quota size in bytes."),
    ("etcd_server_read_indexes_failed_total", "The total number of failed read indexes seen."),
    ("etcd_server_slow_apply_total", "The total number of slow apply requests (likely overloaded from slow disk)."),
    (
        "etcd_server_slow_read_indexes_total",
        "The total number of pending read indexes not in sync with leader's or timed out read index requests.",
    ),
    ("etcd_server_snapshot_apply_in_progress_total", "1 if the server is applying the incoming snapshot. 0 if none."),
    ("etcd_server_version", "Which version is running. 1 for 'server_version' label with current version."),
    ("etcd_snap_db_fsync_duration_seconds", "The latency distributions of fsyncing .snap.db file"),
    ("etcd_snap_fsync_duration_seconds", "The latency distributions of fsync called by snap."),
    ("grpc_server_handled_total", "Total number of RPCs completed on the server, regardless of success or failure."),
    ("grpc_server_msg_received_total", "Total number of RPC stream messages received on the server."),
    ("grpc_server_msg_sent_total", "Total number of gRPC stream messages sent by the server."),
    ("grpc_server_started_total", "Total number of RPCs started on the server."),
    ("os_fd_limit", "The file descriptor limit."),
    ("os_fd_used", "The number of used file descriptors."),
    ("process_cpu_seconds_total", "Total user and system CPU time spent in seconds."),
    ("process_max_fds", "Maximum number of open file descriptors."),
    ("process_open_fds", "Number of open file descriptors."),
    ("process_resident_memory_bytes", "Resident memory size in bytes."),
    ("process_start_time_seconds", "Start time of the process since unix epoch in seconds."),
    ("process_virtual_memory_bytes", "Virtual memory size in bytes."),
    ("process_virtual_memory_max_bytes", "Maximum amount of virtual memory available in bytes."),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_go_does() {
        let written = [0.0, 1.0, -1.0, 20_480.0, 1_000_000.0, 2_147_483_648.0, 0.001, 0.000_016, 1.5, 1.796_5e9];
        let expected = ["0", "1", "-1", "20480", "1e+06", "2.147483648e+09", "0.001", "1.6e-05", "1.5", "1.7965e+09"];
        assert_eq!(written.map(number), expected);
    }

    #[test]
    fn the_table_is_in_order() {
        assert!(HELP.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }
}
