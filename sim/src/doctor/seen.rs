//! What was seen of a cluster.

use super::metrics::Metrics;
use serde::Serialize;

/// A cluster, looked at twice.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Seen {
    /// Each endpoint.
    pub members: Vec<MemberSeen>,
    /// The members that the cluster itself knows, as the first that answered tells it.
    pub list: Vec<Listed>,
    /// Seconds between the two looks.
    pub window_s: f64,
}

/// A member as the cluster knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// Its id.
    pub id: u64,
    /// Its name; empty until it has started.
    pub name: String,
    /// Where clients reach it.
    pub client_urls: Vec<String>,
    /// It does not vote.
    pub is_learner: bool,
}

/// An endpoint.
#[derive(Clone, Debug, Default, Serialize)]
pub struct MemberSeen {
    /// Its address.
    pub endpoint: String,
    /// Why it was not seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Status, at both looks.
    pub status: [Option<StatusSeen>; 2],
    /// HashKV at the revision that all have; or why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hash: Option<Result<HashSeen, String>>,
    /// `/metrics`, at both looks.
    #[serde(skip)]
    pub metrics: [Option<Metrics>; 2],
    /// Its clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clock: Option<ClockSeen>,
}

/// A member's answer to Status.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StatusSeen {
    /// The cluster's id.
    pub cluster_id: u64,
    /// The member's.
    pub member_id: u64,
    /// The revision of its keys.
    pub revision: i64,
    /// Its version.
    pub version: String,
    /// Bytes of its database.
    pub db_size: i64,
    /// Bytes of it that are used.
    pub db_size_in_use: i64,
    /// Whom it takes for the leader; 0: nobody.
    pub leader: u64,
    /// Its term.
    pub term: u64,
    /// The last entry that it knows to be committed.
    pub committed: u64,
    /// The last entry that it applied.
    pub applied: u64,
    /// What it says is wrong, alarms among it.
    pub errors: Vec<String>,
}

/// A member's hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct HashSeen {
    /// At which revision.
    pub revision: i64,
    /// The hash.
    pub hash: u32,
    /// Up to where it had been compacted, which the hash depends on.
    pub compacted: i64,
}

/// A member's clock against this machine's: a page's date has whole seconds, so it is known within a range.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ClockSeen {
    /// Ahead by this many seconds at least (behind, if negative).
    pub ahead_min_s: f64,
    /// And at most.
    pub ahead_max_s: f64,
}

impl MemberSeen {
    /// The latest that it said of itself.
    pub(super) fn last(&self) -> Option<&StatusSeen> {
        self.status[1].as_ref().or(self.status[0].as_ref())
    }

    /// The latest of its metrics.
    pub(super) fn metrics(&self) -> Option<&Metrics> {
        self.metrics[1].as_ref().or(self.metrics[0].as_ref())
    }

    /// By how much a counter grew between the looks.
    pub(super) fn grew(&self, name: &str) -> Option<f64> {
        let [before, after] = &self.metrics;
        Some(after.as_ref()?.sum(name)? - before.as_ref()?.sum(name)?)
    }
}

impl Seen {
    /// The members that answered, with the latest that each said.
    pub(super) fn answered(&self) -> impl Iterator<Item = (&MemberSeen, &StatusSeen)> {
        self.members.iter().filter_map(|member| Some((member, member.last()?)))
    }

    /// A member's name and address.
    pub(super) fn name(&self, member: &MemberSeen) -> String {
        let id = member.last().map(|status| status.member_id);
        match self.list.iter().find(|listed| Some(listed.id) == id && !listed.name.is_empty()) {
            Some(listed) => format!("{} ({})", listed.name, member.endpoint),
            None => member.endpoint.clone(),
        }
    }

    /// The endpoint of a member.
    pub(super) fn endpoint_of(&self, id: u64) -> Option<&str> {
        let is_it = |member: &&MemberSeen| member.last().is_some_and(|status| status.member_id == id);
        self.members.iter().find(is_it).map(|member| member.endpoint.as_str())
    }
}

/// Three members with which nothing is wrong, to be spoilt by a test.
#[cfg(test)]
pub(super) fn healthy() -> Seen {
    let member = |n: u64| {
        let status = |later: u64| {
            Some(StatusSeen {
                cluster_id: 77,
                member_id: n,
                revision: 1_000 + later as i64,
                version: "3.4.23".into(),
                db_size: 20 << 20,
                db_size_in_use: 18 << 20,
                leader: 1,
                term: 2,
                committed: 1_100 + later,
                applied: 1_100 + later,
                errors: Vec::new(),
            })
        };
        MemberSeen {
            endpoint: format!("10.0.0.{n}:2379"),
            error: None,
            status: [status(0), status(10)],
            hash: Some(Ok(HashSeen { revision: 1_000, hash: 42, compacted: 900 })),
            metrics: [Some(metrics(100)), Some(metrics(200))],
            clock: Some(ClockSeen { ahead_min_s: -0.4, ahead_max_s: 0.6 }),
        }
    };
    let listed = |n: u64| Listed {
        id: n,
        name: format!("n{n}"),
        client_urls: vec![format!("http://10.0.0.{n}:2379")],
        is_learner: false,
    };
    Seen { members: (1..=3).map(member).collect(), list: (1..=3).map(listed).collect(), window_s: 3.0 }
}

/// Metrics of a member whose disk did so many syncs, all of them fast.
#[cfg(test)]
pub(super) fn metrics(syncs: u64) -> Metrics {
    metrics_with(&format!(
        "etcd_disk_wal_fsync_duration_seconds_bucket{{le=\"0.001\"}} {syncs}\n\
         etcd_disk_wal_fsync_duration_seconds_bucket{{le=\"+Inf\"}} {syncs}\n"
    ))
}

/// Metrics with lines of a test's own.
#[cfg(test)]
pub(super) fn metrics_with(lines: &str) -> Metrics {
    Metrics::parse(&format!(
        "etcd_server_quota_backend_bytes 2.147483648e+09\n\
         etcd_server_leader_changes_seen_total 1\n\
         etcd_server_heartbeat_send_failures_total 0\n{lines}"
    ))
}
