//! `/metrics`: etcd's own metrics, in the text format that Prometheus reads.
//!
//! ```text
//!   member's thread ──trace of each step──▶ observer ─┐
//!   lanes of the disk ──how long syncs took───────────┼─▶ counters and histograms: atomics ─┐
//!   runtime's threads ──calls, bytes, requests ───────┘                                      ├─▶ page
//!   member ──how it is, asked when somebody looks─────────────────── Vitals ─────────────────┘
//! ```
//!
//! Names, types, labels, buckets and help texts are etcd 3.4's: dashboards and alerts that people have must go on
//! working. What happens is counted where it happens, by an atomic addition; what can be looked up is looked up when a
//! page is asked for, and costs nothing until then. The member's thread takes no lock.
//!
//! # Reading order
//! [`kinds`] is a counter and a histogram, [`page`] how they are written; `calls` counts what clients call, `process` is
//! what the system knows. This file has the rest, by layer.
//!
//! # Left out
//! What only a Go program, etcd's proxy or its store of version 2 has to tell (`go_*`, `promhttp_*`,
//! `etcd_grpc_proxy_*`, `etcd_debugging_store_*`), and the times of steps that have no counterpart here; `tests/metrics.rs`
//! has the list, with reasons. Nor is counted what passes between peers (`etcd_network_peer_*`).

mod calls;
mod kinds;
mod page;
mod process;

pub(super) use calls::{Received, Sent};
pub(super) use kinds::{Counter, Histogram};

use crate::api::{Error, Request, Response};
use crate::member::{VERSION, Vitals};
use calls::Calls;
use kinds::Level;
use page::Page;
use std::time::{Duration, Instant};

const MILLISECOND: Duration = Duration::from_millis(1);

/// All that is counted in a process that serves.
#[derive(Debug)]
pub(super) struct Metrics {
    /// How large the database may become, in bytes.
    quota: u64,
    /// What clients call.
    pub(super) calls: Calls,
    /// Syncs of the log.
    pub(super) wal_fsync: Histogram,
    /// Bytes written into the log.
    pub(super) wal_bytes: Counter,
    /// Syncs of snapshot files.
    pub(super) snap_fsync: Histogram,
    /// Syncs of databases that a leader sent.
    pub(super) snap_db_fsync: Histogram,
    /// The backend's batches, from their beginning until they were durable.
    pub(super) backend_commit: Histogram,
    /// Defragmentations.
    pub(super) defrag: Histogram,
    /// Times that a leader was seen that was not before.
    pub(super) leader_changes: Counter,
    /// Heartbeats of a leader that were not sent when they were due.
    pub(super) late_heartbeats: Counter,
    /// Steps that applied something and took too long.
    pub(super) slow_applies: Counter,
    /// Ranges that were answered; those within transactions are the store's to count.
    pub(super) ranges: Counter,
    /// Keepalives that a client hears of.
    pub(super) leases_renewed: Counter,
    /// Events sent to watchers.
    pub(super) events: Counter,
    hash: Histogram,
    hash_kv: Histogram,
    proposals_pending: Level,
    proposals_failed: Counter,
    reads_slow: Counter,
    reads_failed: Counter,
    promoted: Counter,
    healthy: Counter,
    unhealthy: Counter,
}

impl Metrics {
    /// Nothing has happened yet. The quota is in bytes.
    pub(super) fn new(quota: u64) -> Metrics {
        let sync = || Histogram::new(MILLISECOND, 14);
        let hash = || Histogram::new(10 * MILLISECOND, 15);
        Metrics {
            quota,
            calls: Calls::default(),
            wal_fsync: sync(),
            wal_bytes: Counter::default(),
            snap_fsync: sync(),
            snap_db_fsync: sync(),
            backend_commit: sync(),
            defrag: Histogram::new(100 * MILLISECOND, 13),
            leader_changes: Counter::default(),
            late_heartbeats: Counter::default(),
            slow_applies: Counter::default(),
            ranges: Counter::default(),
            leases_renewed: Counter::default(),
            events: Counter::default(),
            hash: hash(),
            hash_kv: hash(),
            proposals_pending: Level::default(),
            proposals_failed: Counter::default(),
            reads_slow: Counter::default(),
            reads_failed: Counter::default(),
            promoted: Counter::default(),
            healthy: Counter::default(),
            unhealthy: Counter::default(),
        }
    }

    /// The member is asked for something, until the value is told how that went or is dropped.
    pub(super) fn asked(&self, request: &Request) -> Asked<'_> {
        let about = match request {
            Request::Range(_) => About::Range,
            Request::Hash => About::Hash(Instant::now()),
            Request::HashKv(_) => About::HashKv(Instant::now()),
            Request::MemberPromote(_) => About::Promotion,
            request if request.is_write() => About::Write,
            _ => About::Other,
        };
        if about.is_proposed() {
            self.proposals_pending.rise();
        }
        Asked { metrics: self, about }
    }

    /// Somebody asked whether the member is well.
    pub(super) fn health(&self, healthy: bool) {
        if healthy { &self.healthy } else { &self.unhealthy }.add(1);
    }

    /// The page.
    pub(super) fn page(&self, vitals: &Vitals) -> String {
        let mut page = Page::default();
        self.server(&mut page, vitals);
        self.disk(&mut page, vitals);
        self.store(&mut page, vitals);
        self.watches(&mut page, vitals);
        self.leases(&mut page, vitals);
        self.calls.write(&mut page);
        process::write(&mut page);
        page.text()
    }

    fn server(&self, page: &mut Page, vitals: &Vitals) {
        let is = |fact: bool| u64::from(fact);
        // Until the cluster has decided, as `/version` has it.
        let version = vitals.cluster_version.as_deref().unwrap_or(VERSION);
        let minor = version.rsplit_once('.').map_or(version, |(minor, _)| minor);
        page.one("etcd_cluster_version", &format!("cluster_version=\"{minor}\""));
        page.one("etcd_server_id", &format!("server_id=\"{:x}\"", vitals.id));
        page.one("etcd_server_version", &format!("server_version=\"{VERSION}\""));
        page.gauge("etcd_server_has_leader", is(vitals.leader != 0));
        page.gauge("etcd_server_is_leader", is(vitals.leader == vitals.id));
        page.gauge("etcd_server_is_learner", is(vitals.is_learner));
        page.counter("etcd_server_leader_changes_seen_total", &self.leader_changes);
        page.counter("etcd_server_heartbeat_send_failures_total", &self.late_heartbeats);
        page.gauge("etcd_server_proposals_committed_total", vitals.commit);
        page.gauge("etcd_server_proposals_applied_total", vitals.applied);
        page.gauge("etcd_server_proposals_pending", self.proposals_pending.value());
        page.counter("etcd_server_proposals_failed_total", &self.proposals_failed);
        page.counter("etcd_server_slow_apply_total", &self.slow_applies);
        page.counter("etcd_server_slow_read_indexes_total", &self.reads_slow);
        page.counter("etcd_server_read_indexes_failed_total", &self.reads_failed);
        page.counter("etcd_server_learner_promote_successes", &self.promoted);
        page.counter("etcd_server_health_success", &self.healthy);
        page.counter("etcd_server_health_failures", &self.unhealthy);
        page.gauge("etcd_server_snapshot_apply_in_progress_total", is(vitals.installing));
        page.gauge("etcd_server_quota_backend_bytes", self.quota);
        page.gauge("etcd_debugging_auth_revision", vitals.auth_revision);
    }

    fn disk(&self, page: &mut Page, vitals: &Vitals) {
        page.histogram("etcd_disk_wal_fsync_duration_seconds", &self.wal_fsync);
        page.gauge("etcd_disk_wal_write_bytes_total", self.wal_bytes.value());
        page.histogram("etcd_snap_fsync_duration_seconds", &self.snap_fsync);
        page.histogram("etcd_snap_db_fsync_duration_seconds", &self.snap_db_fsync);
        page.histogram("etcd_disk_backend_commit_duration_seconds", &self.backend_commit);
        page.histogram("etcd_disk_backend_defrag_duration_seconds", &self.defrag);
        page.gauge("etcd_disk_defrag_inflight", u64::from(vitals.defragmenting));
    }

    fn store(&self, page: &mut Page, vitals: &Vitals) {
        let counts = &vitals.store;
        page.gauge("etcd_mvcc_db_total_size_in_bytes", vitals.db_size);
        page.gauge("etcd_debugging_mvcc_db_total_size_in_bytes", vitals.db_size);
        page.gauge("etcd_mvcc_db_total_size_in_use_in_bytes", vitals.db_in_use);
        page.gauge("etcd_mvcc_db_open_read_transactions", vitals.images);
        page.gauge("etcd_debugging_mvcc_keys_total", counts.keys);
        page.gauge("etcd_debugging_mvcc_current_revision", vitals.revision as u64);
        page.gauge_below_zero("etcd_debugging_mvcc_compact_revision", vitals.compact_revision);
        page.count("etcd_debugging_mvcc_db_compaction_keys_total", counts.compacted);
        page.gauge("etcd_debugging_mvcc_total_put_size_in_bytes", counts.put_bytes);
        // etcd moved these out of its debugging names and kept the old ones for those who have them in a dashboard.
        let ranges = counts.ranges + self.ranges.value();
        let totals = [("put", counts.puts), ("delete", counts.deletes), ("txn", counts.txns), ("range", ranges)];
        for (what, value) in totals {
            page.count(page::named(&format!("etcd_mvcc_{what}_total")), value);
            page.count(page::named(&format!("etcd_debugging_mvcc_{what}_total")), value);
        }
        page.histogram("etcd_mvcc_hash_duration_seconds", &self.hash);
        page.histogram("etcd_mvcc_hash_rev_duration_seconds", &self.hash_kv);
    }

    fn watches(&self, page: &mut Page, vitals: &Vitals) {
        let [synced, unsynced, waiting] = vitals.watchers.map(|watchers| watchers as u64);
        page.gauge("etcd_debugging_mvcc_watch_stream_total", vitals.watch_streams as u64);
        page.gauge("etcd_debugging_mvcc_watcher_total", synced + unsynced + waiting);
        page.gauge("etcd_debugging_mvcc_slow_watcher_total", unsynced + waiting);
        page.gauge("etcd_debugging_mvcc_pending_events_total", vitals.pending_events as u64);
        page.counter("etcd_debugging_mvcc_events_total", &self.events);
    }

    fn leases(&self, page: &mut Page, vitals: &Vitals) {
        page.count("etcd_debugging_lease_granted_total", vitals.leases.granted);
        page.count("etcd_debugging_lease_revoked_total", vitals.leases.revoked);
        page.counter("etcd_debugging_lease_renewed_total", &self.leases_renewed);
    }
}

/// What a request that is under way is counted as.
enum About {
    Range,
    Write,
    Promotion,
    Hash(Instant),
    HashKv(Instant),
    Other,
}

impl About {
    fn is_proposed(&self) -> bool {
        matches!(self, About::Write | About::Promotion)
    }
}

/// A request that is under way.
pub(super) struct Asked<'a> {
    metrics: &'a Metrics,
    about: About,
}

impl Asked<'_> {
    /// How it went.
    pub(super) fn answered(self, result: &Result<Response, Error>) {
        let metrics = self.metrics;
        let timed_out = matches!(result, Err(Error::Timeout | Error::TimeoutLeaderFail));
        let failed = timed_out || matches!(result, Err(Error::Stopped | Error::ProposalDropped | Error::LeaderChanged));
        match &self.about {
            About::Range if timed_out => metrics.reads_slow.add(1),
            About::Range if failed => metrics.reads_failed.add(1),
            About::Write | About::Promotion if failed => metrics.proposals_failed.add(1),
            About::Promotion if result.is_ok() => metrics.promoted.add(1),
            About::Hash(since) => metrics.hash.observe(since.elapsed()),
            About::HashKv(since) => metrics.hash_kv.observe(since.elapsed()),
            About::Range | About::Write | About::Promotion | About::Other => {}
        }
    }
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        if self.about.is_proposed() {
            self.metrics.proposals_pending.fall();
        }
    }
}
