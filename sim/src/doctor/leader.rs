//! Rules about who answers, and who leads.

use super::{Finding, Seen, Severity};
use crate::story::words::{counted, listed};
use std::collections::BTreeSet;

/// Leader changes an hour that no healthy cluster has.
const CHANGES_AN_HOUR: f64 = 3.0;
/// Before that a member was started, and changes belong to its start.
const SETTLED_S: f64 = 600.0;

/// An endpoint does not answer.
pub(super) fn unreachable(seen: &Seen) -> Vec<Finding> {
    let down: Vec<_> = seen.members.iter().filter(|member| member.last().is_none()).collect();
    if down.is_empty() {
        return Vec::new();
    }
    let (all, voters) =
        (down.len() == seen.members.len(), seen.list.iter().filter(|member| !member.is_learner).count());
    let tolerated = voters.saturating_sub(1) / 2;
    let names: Vec<String> = down.iter().map(|member| member.endpoint.clone()).collect();
    let verb = if names.len() == 1 { "does" } else { "do" };
    let mut evidence: Vec<String> = down
        .iter()
        .map(|member| format!("{}: {}", member.endpoint, member.error.as_deref().unwrap_or("silent")))
        .collect();
    if voters > 0 {
        evidence.push(format!("{} voting: {} may be down", counted(voters as u64, "member", "members"), tolerated));
    }
    let mut advice = vec![
        "look whether the process runs there, and what its last log lines say".to_owned(),
        "look whether a firewall or another address is in between: nc -vz HOST PORT".to_owned(),
    ];
    if !all && voters > 1 {
        advice.push(
            "if its disk is lost, do not start it with an empty directory: etcdctl member remove ID, then member add"
                .to_owned(),
        );
    }
    vec![Finding {
        severity: Severity::Critical,
        rule: "unreachable",
        what: format!("{} {verb} not answer", listed(&names)),
        evidence,
        advice,
        read: "lesson 24 (operations), and on membership: chapters/membership.md",
    }]
}

/// A member knows no leader.
pub(super) fn without(seen: &Seen) -> Vec<Finding> {
    let lost: Vec<_> = seen.answered().filter(|(_, status)| status.leader == 0).collect();
    if lost.is_empty() {
        return Vec::new();
    }
    let names: Vec<String> = lost.iter().map(|(member, _)| seen.name(member)).collect();
    let all = lost.len() == seen.answered().count();
    let know = if names.len() == 1 { "knows" } else { "know" };
    let what = match all {
        true => format!("there is no leader: {} {know} none", listed(&names)),
        false => format!("{} {know} no leader, though others do: cut off from them", listed(&names)),
    };
    let evidence = seen
        .answered()
        .map(|(member, status)| format!("{}: leader {:x}, term {}", seen.name(member), status.leader, status.term));
    vec![Finding {
        severity: Severity::Critical,
        rule: "no-leader",
        what,
        evidence: evidence.collect(),
        advice: vec![
            "writes and linearizable reads wait or fail there until there is one: bring back a majority of the members"
                .to_owned(),
            "look whether the members reach each other's peer URLs: etcdctl member list".to_owned(),
        ],
        read: "lesson 04 (Raft), chapters/04-raft.md",
    }]
}

/// Members follow different leaders, in one term or in several.
pub(super) fn several(seen: &Seen) -> Vec<Finding> {
    let both = |look: usize| -> BTreeSet<(u64, u64)> {
        let statuses = seen.members.iter().filter_map(move |member| member.status[look].as_ref());
        statuses.filter(|status| status.leader != 0).map(|status| (status.cluster_id, status.leader)).collect()
    };
    let clusters =
        |leaders: &BTreeSet<(u64, u64)>| leaders.iter().map(|(cluster, _)| *cluster).collect::<BTreeSet<_>>().len();
    let last = both(1);
    // A switch that is under way looks like this for a moment.
    if last.len() <= clusters(&last) || both(0).len() <= clusters(&both(0)) {
        return Vec::new();
    }
    let evidence = seen
        .answered()
        .map(|(member, status)| format!("{}: follows {:x} in term {}", seen.name(member), status.leader, status.term));
    vec![Finding {
        severity: Severity::Critical,
        rule: "several-leaders",
        what: "members follow different leaders".to_owned(),
        evidence: evidence.collect(),
        advice: vec![
            "the one of the lower term is cut off: it answers serializable reads with old values, and nothing else"
                .to_owned(),
            "mend the network between the members' peer URLs".to_owned(),
        ],
        read: "lesson 04 (Raft), chapters/04-raft.md",
    }]
}

/// The leader changes too often.
pub(super) fn flapping(seen: &Seen) -> Vec<Finding> {
    const CHANGES: &str = "etcd_server_leader_changes_seen_total";
    let mut evidence = Vec::new();
    let mut now = false;
    for member in &seen.members {
        if let [Some(before), Some(after)] = &member.status
            && after.term > before.term
        {
            now = true;
            evidence.push(format!(
                "{}: term {} became {} within {:.0} s",
                seen.name(member),
                before.term,
                after.term,
                seen.window_s
            ));
        }
        let up = member.metrics().and_then(|metrics| metrics.up_s());
        let changes = member.metrics().and_then(|metrics| metrics.sum(CHANGES));
        if let (Some(up), Some(changes)) = (up, changes)
            && up > SETTLED_S
            && changes > 2.0
            && changes / up * 3600.0 > CHANGES_AN_HOUR
        {
            evidence.push(format!("{}: {CHANGES} {changes:.0} in {:.1} hours", seen.name(member), up / 3600.0));
        }
    }
    if evidence.is_empty() {
        return Vec::new();
    }
    let what = if now { "the leader changes right now" } else { "the leader changes often" };
    vec![Finding {
        severity: Severity::Warning,
        rule: "leader-flapping",
        what: format!("{what}: each time, nobody is served for about an election timeout"),
        evidence,
        advice: vec![
            "look at the disk first: one fsync that takes longer than the election timeout silences a leader"
                .to_owned(),
            "then at CPU and network of the leader; --election-timeout should be ten round trips at least".to_owned(),
            "etcd 3.4: switch on --pre-vote, or a member that comes back deposes a healthy leader".to_owned(),
        ],
        read: "lesson 04 (Raft), chapters/04-raft.md; seedbed run scenarios/leader-switch/leader-fsync-stall.toml",
    }]
}

/// A leader's heartbeats are late.
pub(super) fn heartbeats(seen: &Seen) -> Vec<Finding> {
    const LATE: &str = "etcd_server_heartbeat_send_failures_total";
    let late = seen.members.iter().filter_map(|member| Some((member, member.grew(LATE)?)));
    let late: Vec<_> = late.filter(|(_, late)| *late >= 1.0).collect();
    if late.is_empty() {
        return Vec::new();
    }
    vec![Finding {
        severity: Severity::Warning,
        rule: "late-heartbeats",
        what: "the leader sends heartbeats late: it is blocked by its disk or has too little CPU".to_owned(),
        evidence: late
            .iter()
            .map(|(member, late)| format!("{}: {late:.0} late within {:.0} s", seen.name(member), seen.window_s))
            .collect(),
        advice: vec![
            "look at the fsync times of the same member, and at what else runs on its machine".to_owned(),
            "if the machine cannot be helped: --heartbeat-interval 200 --election-timeout 2000 at every member"
                .to_owned(),
        ],
        read: "lesson 04 (Raft), chapters/04-raft.md",
    }]
}

#[cfg(test)]
mod tests {
    use super::super::seen::{healthy, metrics_with};
    use super::*;

    fn rules(seen: &Seen) -> Vec<&'static str> {
        let rules = [unreachable, without, several, flapping, heartbeats];
        rules.iter().flat_map(|rule| rule(seen)).map(|finding| finding.rule).collect()
    }

    #[test]
    fn a_healthy_cluster_has_one_steady_leader() {
        assert_eq!(rules(&healthy()), Vec::<&str>::new());
    }

    #[test]
    fn who_does_not_answer_is_named() {
        let mut seen = healthy();
        seen.members[1].status = [None, None];
        seen.members[1].error = Some("connection refused".into());
        assert_eq!(rules(&seen), ["unreachable"]);
        let finding = unreachable(&seen).remove(0);
        assert_eq!(finding.what, "10.0.0.2:2379 does not answer");
        assert_eq!(finding.evidence[1], "3 members voting: 1 may be down");
    }

    #[test]
    fn without_a_leader_is_said_of_all_or_of_some() {
        let mut seen = healthy();
        let lose = |seen: &mut Seen, n: usize| seen.members[n].status[1].as_mut().expect("seen").leader = 0;
        lose(&mut seen, 0);
        assert_eq!(rules(&seen), ["no-leader"]);
        assert!(without(&seen)[0].what.contains("cut off"));
        (1..3).for_each(|n| lose(&mut seen, n));
        assert!(without(&seen)[0].what.starts_with("there is no leader"));
    }

    #[test]
    fn different_leaders_are_found_if_they_last() {
        let mut seen = healthy();
        seen.members[2].status[1].as_mut().expect("seen").leader = 3;
        assert_eq!(rules(&seen), Vec::<&str>::new(), "a switch may be under way");
        seen.members[2].status[0].as_mut().expect("seen").leader = 3;
        assert_eq!(rules(&seen), ["several-leaders"]);
    }

    #[test]
    fn a_term_that_grows_is_a_leader_that_changes() {
        let mut seen = healthy();
        seen.members.iter_mut().for_each(|member| member.status[1].as_mut().expect("seen").term = 4);
        assert_eq!(rules(&seen), ["leader-flapping"]);
        assert!(flapping(&seen)[0].what.contains("right now"));
    }

    #[test]
    fn changes_are_counted_by_the_hour_and_not_at_the_start() {
        let lines = |changes: u64, up: u64| {
            let mut metrics = metrics_with("");
            metrics.add(&format!("etcd_server_leader_changes_seen_total {changes}"));
            metrics.add("process_start_time_seconds 1000000");
            metrics.read_at(1_000_000.0 + up as f64)
        };
        for (changes, up, found) in [(20, 7_200, true), (4, 7_200, false), (20, 300, false)] {
            let mut seen = healthy();
            seen.members[0].metrics[1] = Some(lines(changes, up));
            assert_eq!(rules(&seen) == ["leader-flapping"], found, "{changes} in {up} s");
        }
    }

    #[test]
    fn late_heartbeats_count_within_the_window() {
        let mut seen = healthy();
        let late = |n: u64| Some(metrics_with(&format!("etcd_server_heartbeat_send_failures_total {n}\n")));
        seen.members[0].metrics = [late(7), late(7)];
        assert_eq!(rules(&seen), Vec::<&str>::new(), "they were late long ago");
        seen.members[0].metrics = [late(7), late(9)];
        assert_eq!(rules(&seen), ["late-heartbeats"]);
    }
}
