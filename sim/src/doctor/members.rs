//! Rules about who the members are.

use super::{Finding, Seen, Severity};
use crate::story::words::{counted, listed};
use std::collections::{BTreeMap, BTreeSet};

/// Clocks that differ by no more may be said to agree, in seconds.
const CLOCKS_S: f64 = 1.0;
/// Entries that a learner may be behind when it is promoted.
const CAUGHT_UP: u64 = 100;

const OPERATIONS: &str = "lesson 24 (operations), and on membership: chapters/membership.md";

/// Endpoints belong to different clusters.
pub(super) fn clusters(seen: &Seen) -> Vec<Finding> {
    let ids: BTreeSet<u64> = seen.answered().map(|(_, status)| status.cluster_id).collect();
    if ids.len() < 2 {
        return Vec::new();
    }
    vec![Finding {
        severity: Severity::Critical,
        rule: "several-clusters",
        what: "these endpoints are not one cluster: clients that use them all see different data".to_owned(),
        evidence: seen
            .answered()
            .map(|(member, status)| format!("{}: cluster {:x}", member.endpoint, status.cluster_id))
            .collect(),
        advice: vec![
            "look at the endpoints that clients are given".to_owned(),
            "members that were restored from a snapshot one by one are clusters of their own: restore all with the same \
             --initial-cluster and token"
                .to_owned(),
        ],
        read: "lesson 12 (consistency), chapters/12-consistency.md",
    }]
}

/// So many voting members that one of them is of no use, or so few that none may be down.
pub(super) fn even(seen: &Seen) -> Vec<Finding> {
    let voters = seen.list.iter().filter(|member| !member.is_learner).count() as u64;
    let (severity, what) = match voters {
        1 => (Severity::Note, "one member alone: while it is down nobody is served, and its disk is the only copy"),
        2 => (Severity::Warning, "two members: if either is down nobody is served, which is worse than one alone"),
        n if n > 0 && n % 2 == 0 => (Severity::Warning, "an even number of members tolerates no more than one fewer"),
        n if n > 7 => (Severity::Warning, "more than seven members: each makes writes slower"),
        _ => return Vec::new(),
    };
    vec![Finding {
        severity,
        rule: "member-count",
        what: what.to_owned(),
        evidence: vec![format!(
            "{} voting: {} may be down",
            counted(voters, "member", "members"),
            voters.saturating_sub(1) / 2
        )],
        advice: vec![match voters {
            n if n > 7 => "five members tolerate two that are down: etcdctl member remove ID".to_owned(),
            _ => "make it three or five: etcdctl member add NAME --learner --peer-urls=http://HOST:2380".to_owned(),
        }],
        read: OPERATIONS,
    }]
}

/// Members are of different versions.
pub(super) fn versions(seen: &Seen) -> Vec<Finding> {
    let mut versions: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (member, status) in seen.answered() {
        versions.entry(&status.version).or_default().push(seen.name(member));
    }
    if versions.len() < 2 {
        return Vec::new();
    }
    vec![Finding {
        severity: Severity::Warning,
        rule: "version-mix",
        what: "members are of different versions: right during an upgrade, and wrong for long".to_owned(),
        evidence: versions.iter().map(|(version, names)| format!("{version}: {}", listed(names))).collect(),
        advice: vec![
            "finish the upgrade, one member at a time; versions may apply the same entry differently".to_owned(),
            "go up one minor version at a time, and look at the release notes about auth and leases".to_owned(),
        ],
        read: "lesson 12 (consistency), chapters/12-consistency.md",
    }]
}

/// A learner, and whether it could vote.
pub(super) fn learners(seen: &Seen) -> Vec<Finding> {
    let mut findings = Vec::new();
    for learner in seen.list.iter().filter(|member| member.is_learner) {
        let committed = seen.answered().map(|(_, status)| status.committed).max().unwrap_or(0);
        let status = seen.answered().find(|(_, status)| status.member_id == learner.id).map(|(_, status)| status);
        let behind = status.map(|status| committed.saturating_sub(status.applied));
        let name = if learner.name.is_empty() { format!("{:x}", learner.id) } else { learner.name.clone() };
        let (severity, what, advice) = match behind {
            Some(behind) if behind <= CAUGHT_UP => (
                Severity::Warning,
                format!("{name} is a learner and has caught up: it copies everything and counts for nothing"),
                format!("etcdctl member promote {:x}", learner.id),
            ),
            Some(_) => (
                Severity::Note,
                format!("{name} is a learner that is still behind"),
                "wait until it has caught up, then promote it".to_owned(),
            ),
            None => (
                Severity::Warning,
                format!("{name} is a learner that was not seen"),
                format!("start it, or take it out: etcdctl member remove {:x}", learner.id),
            ),
        };
        findings.push(Finding {
            severity,
            rule: "learner",
            what,
            evidence: vec![match behind {
                Some(behind) => format!("{behind} entries behind"),
                None => format!("at {}", learner.client_urls.join(", ")),
            }],
            advice: vec![advice],
            read: OPERATIONS,
        });
    }
    findings
}

/// Clocks differ.
pub(super) fn clocks(seen: &Seen) -> Vec<Finding> {
    let clocks: Vec<_> = seen.members.iter().filter_map(|member| Some((member, member.clock?))).collect();
    // Each is known within a range: they differ for certain where the ranges are apart.
    let latest = clocks.iter().map(|(_, clock)| clock.ahead_min_s).fold(f64::MIN, f64::max);
    let earliest = clocks.iter().map(|(_, clock)| clock.ahead_max_s).fold(f64::MAX, f64::min);
    if clocks.len() < 2 || latest - earliest <= CLOCKS_S {
        return Vec::new();
    }
    vec![Finding {
        severity: Severity::Warning,
        rule: "clocks-differ",
        what: format!("members' clocks differ by {:.1} s or more", latest - earliest),
        evidence: clocks
            .iter()
            .map(|(member, clock)| {
                let (from, to) = (clock.ahead_min_s, clock.ahead_max_s);
                format!("{}: {from:+.1} to {to:+.1} s against this machine's clock", seen.name(member))
            })
            .collect(),
        advice: vec![
            "Raft does not mind (its timers count for themselves); tokens, certificates and the times in logs do"
                .to_owned(),
            "keep time by chrony or ntpd on every machine: chronyc tracking".to_owned(),
        ],
        read: "lesson 24 (operations), chapters/04-raft.md",
    }]
}

/// Members that were not looked at.
pub(super) fn unseen(seen: &Seen) -> Vec<Finding> {
    let mut findings = Vec::new();
    let is_unseen = |member: &&super::seen::Listed| seen.endpoint_of(member.id).is_none();
    let down = seen.members.iter().any(|member| member.last().is_none());
    let (started, never): (Vec<_>, Vec<_>) =
        seen.list.iter().filter(is_unseen).partition(|member| !member.name.is_empty());
    if !never.is_empty() {
        findings.push(Finding {
            severity: Severity::Warning,
            rule: "never-started",
            what: "a member was added and has never started; it counts for the majority already".to_owned(),
            evidence: never.iter().map(|member| format!("member {:x}", member.id)).collect(),
            advice: vec![
                "start it with --initial-cluster-state existing".to_owned(),
                format!("or take it out again: etcdctl member remove {:x}", never[0].id),
            ],
            read: OPERATIONS,
        });
    }
    // An endpoint that does not answer may be one of them, and was spoken of.
    if !started.is_empty() && !down {
        let urls: Vec<String> = started.iter().flat_map(|member| member.client_urls.clone()).collect();
        findings.push(Finding {
            severity: Severity::Note,
            rule: "not-looked-at",
            what: "the cluster has members that were not looked at".to_owned(),
            evidence: started.iter().map(|m| format!("{} at {}", m.name, m.client_urls.join(", "))).collect(),
            advice: vec![format!("look at all: seedbed doctor --cluster, or --endpoints …,{}", urls.join(","))],
            read: OPERATIONS,
        });
    }
    if seen.answered().any(|(member, _)| member.metrics().is_none()) {
        let silent = seen.answered().filter(|(member, _)| member.metrics().is_none());
        findings.push(Finding {
            severity: Severity::Note,
            rule: "no-metrics",
            what: "there is no /metrics page: quota, disk and past leaders could not be judged there".to_owned(),
            evidence: silent.map(|(member, _)| seen.name(member)).collect(),
            advice: vec!["look at --listen-metrics-urls, and whether the page is open to this machine".to_owned()],
            read: "lesson 24 (operations)",
        });
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::seen::{ClockSeen, Listed, StatusSeen, healthy};
    use super::*;

    fn rules(seen: &Seen) -> Vec<&'static str> {
        let rules = [clusters, even, versions, learners, clocks, unseen];
        rules.iter().flat_map(|rule| rule(seen)).map(|finding| finding.rule).collect()
    }

    fn last(seen: &mut Seen, n: usize) -> &mut StatusSeen {
        seen.members[n].status[1].as_mut().expect("seen")
    }

    fn listed(id: u64, name: &str, is_learner: bool) -> Listed {
        Listed { id, name: name.into(), client_urls: vec![format!("http://10.0.0.{id}:2379")], is_learner }
    }

    #[test]
    fn three_alike_are_healthy() {
        assert_eq!(rules(&healthy()), Vec::<&str>::new());
    }

    #[test]
    fn two_clusters_are_not_one() {
        let mut seen = healthy();
        last(&mut seen, 1).cluster_id = 78;
        assert_eq!(rules(&seen), ["several-clusters"]);
    }

    #[test]
    fn counts_of_members_are_judged() {
        let cases = [(1, Some(Severity::Note)), (2, Some(Severity::Warning)), (3, None), (4, Some(Severity::Warning))];
        for (n, severity) in cases.into_iter().chain([(5, None), (7, None), (9, Some(Severity::Warning))]) {
            let seen = Seen { list: (1..=n).map(|id| listed(id, "n", false)).collect(), ..Seen::default() };
            assert_eq!(even(&seen).first().map(|finding| finding.severity), severity, "{n} members");
        }
    }

    #[test]
    fn a_mix_of_versions_is_named() {
        let mut seen = healthy();
        last(&mut seen, 1).version = "3.5.9".into();
        assert_eq!(rules(&seen), ["version-mix"]);
        assert_eq!(versions(&seen)[0].evidence[1], "3.5.9: n2 (10.0.0.2:2379)");
    }

    #[test]
    fn a_learner_is_promoted_when_it_has_caught_up() {
        let mut seen = healthy();
        seen.list.push(listed(4, "n4", true));
        assert_eq!(rules(&seen), ["learner", "not-looked-at"]);
        assert!(learners(&seen)[0].what.contains("was not seen"));
        let mut member = seen.members[0].clone();
        member.status[1].as_mut().expect("seen").member_id = 4;
        seen.members.push(member);
        assert_eq!(rules(&seen), ["learner"]);
        assert_eq!(learners(&seen)[0].advice, ["etcdctl member promote 4"]);
        last(&mut seen, 3).applied -= 500;
        assert_eq!(learners(&seen)[0].severity, Severity::Note);
    }

    #[test]
    fn clocks_differ_only_where_that_is_certain() {
        let mut seen = healthy();
        for (ahead, found) in [(1.5, false), (1.7, true), (-60.0, true)] {
            seen.members[1].clock = Some(ClockSeen { ahead_min_s: ahead, ahead_max_s: ahead + 0.1 });
            assert_eq!(rules(&seen) == ["clocks-differ"], found, "{ahead}");
        }
    }

    #[test]
    fn who_was_not_looked_at_is_named() {
        let mut seen = healthy();
        seen.members.pop();
        assert_eq!(rules(&seen), ["not-looked-at"]);
        seen.list[2].name.clear();
        assert_eq!(rules(&seen), ["never-started"]);
        let mut seen = healthy();
        seen.members[0].metrics = [None, None];
        assert_eq!(rules(&seen), ["no-metrics"]);
    }
}
