//! What is wrong with a running cluster, and what to do about it: `seedbed doctor` (lesson 24).
//!
//! ```text
//!   observe   asks every endpoint the same questions twice, a window apart      (the only part that touches sockets)
//!     ▼
//!   Seen      the answers as data
//!     ▼
//!   rules     each looks at them and says what it finds: what, the figures, what to do, where to read about it
//!     ▼
//!   Report    the findings, the worst first
//! ```
//!
//! It only reads. What it asks (Status, MemberList, HashKV, two pages of HTTP) goes neither through the log nor through
//! the leader, so it works where nothing else does: at a member that is cut off, in a cluster without a leader.
//!
//! A rule speaks of what it has seen. Where a question was not answered the rules that need the answer are silent, and a
//! note says so.
//!
//! Left out: what needs a longer watch (a lease that leaks, a client that polls), what stands in logs, TLS and tokens.

mod disk;
mod keys;
mod leader;
mod members;
pub mod metrics;
pub mod observe;
mod seen;
mod show;

pub use seen::{ClockSeen, HashSeen, MemberSeen, Seen, StatusSeen};

use serde::Serialize;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Clients feel it now, or data is in danger.
    Critical,
    /// It will go wrong.
    Warning,
    /// Worth knowing.
    Note,
}

/// Something that a rule found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// The rule's name.
    pub rule: &'static str,
    /// What is wrong, in one sentence.
    pub what: String,
    /// The figures that say so.
    pub evidence: Vec<String>,
    /// What to do, step by step; commands as they are typed.
    pub advice: Vec<String>,
    /// Where to read about it: a lesson of the course, and its chapter.
    pub read: &'static str,
}

/// Everything that was found.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// What was looked at.
    pub seen: Seen,
    /// What was found, the worst first.
    pub findings: Vec<Finding>,
}

impl Report {
    /// Lets every rule look.
    pub fn of(seen: Seen) -> Report {
        let mut findings = Vec::new();
        for rule in RULES {
            findings.extend(rule(&seen));
        }
        findings.sort_by_key(|finding| finding.severity);
        Report { seen, findings }
    }

    /// The worst.
    pub fn severity(&self) -> Option<Severity> {
        self.findings.first().map(|finding| finding.severity)
    }
}

type Rule = fn(&Seen) -> Vec<Finding>;

const RULES: &[Rule] = &[
    leader::unreachable,
    leader::without,
    leader::several,
    leader::flapping,
    leader::heartbeats,
    keys::alarms,
    keys::revisions,
    keys::hashes,
    keys::lag,
    disk::quota,
    disk::defrag,
    disk::slow_fsync,
    disk::slow_commit,
    members::clusters,
    members::even,
    members::versions,
    members::learners,
    members::clocks,
    members::unseen,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_healthy_cluster_has_nothing() {
        assert_eq!(Report::of(seen::healthy()).findings, []);
    }

    #[test]
    fn the_worst_comes_first() {
        let mut seen = seen::healthy();
        seen.list.pop();
        seen.members.pop();
        seen.members[0].error = Some("connection refused".into());
        seen.members[0].status = [None, None];
        let report = Report::of(seen);
        let severities: Vec<_> = report.findings.iter().map(|finding| finding.severity).collect();
        assert!(severities.is_sorted() && severities.len() > 1, "{severities:?}");
        assert_eq!(report.severity(), Some(Severity::Critical));
    }
}
