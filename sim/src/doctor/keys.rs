//! Rules about the data: alarms, revisions and hashes that differ, members that lag.

use super::{Finding, MemberSeen, Seen, Severity};
use crate::story::words::{count, listed};

/// Revisions by which two members may differ beside what their applied entries explain: Status reads one by one.
const SLACK: u64 = 100;
/// A member that is so many entries behind refuses requests.
const BACKLOG: u64 = 5_000;
/// And that many are more than a busy moment.
const LAG: u64 = 1_000;

/// An alarm is raised.
pub(super) fn alarms(seen: &Seen) -> Vec<Finding> {
    let with = |kind: &str| -> Vec<String> {
        let says = format!("alarm:{kind}");
        let all = seen.answered().filter(|(_, status)| status.errors.iter().any(|error| error.contains(&says)));
        all.map(|(member, status)| format!("{}: {}", seen.name(member), status.errors.join(", "))).collect()
    };
    let mut findings = Vec::new();
    let endpoint = seen.answered().next().map_or("ENDPOINT", |(member, _)| member.endpoint.as_str());
    let revision = seen.answered().map(|(_, status)| status.revision).max().unwrap_or(0);
    let (full, corrupt) = (with("NOSPACE"), with("CORRUPT"));
    if !full.is_empty() {
        findings.push(Finding {
            severity: Severity::Critical,
            rule: "nospace",
            what: "the database is full: the alarm NOSPACE refuses every write".to_owned(),
            evidence: full,
            advice: vec![
                format!("1. remove history: etcdctl --endpoints {endpoint} compact {revision}"),
                "2. give the pages back, one member after the other: etcdctl --endpoints ENDPOINT defrag".to_owned(),
                format!("3. only then: etcdctl --endpoints {endpoint} alarm disarm"),
                "4. find out what fills it (leases that are never revoked, no auto-compaction), or raise \
                 --quota-backend-bytes (8 GiB at most is advised)"
                    .to_owned(),
            ],
            read: "lesson 13 (db size), chapters/13-db-size.md",
        });
    }
    if !corrupt.is_empty() {
        findings.push(Finding {
            severity: Severity::Critical,
            rule: "corrupt",
            what: "a member's data was found to differ: the alarm CORRUPT refuses reads and writes there".to_owned(),
            evidence: corrupt,
            advice: vec![
                "stop that member, and keep its directory for those who will ask".to_owned(),
                "etcdctl member remove ID; then member add, and start it with an empty directory".to_owned(),
                "do not disarm before: its answers would be wrong".to_owned(),
            ],
            read: "lesson 12 (consistency), chapters/12-consistency.md",
        });
    }
    findings
}

/// Members that applied the same entries have different revisions.
pub(super) fn revisions(seen: &Seen) -> Vec<Finding> {
    // Each entry makes one revision at most, so revisions may not be further apart than what was applied.
    let apart = |look: usize| -> Option<(&MemberSeen, &MemberSeen, u64)> {
        let all: Vec<_> =
            seen.members.iter().filter_map(|member| Some((member, member.status[look].as_ref()?))).collect();
        let pairs = all.iter().enumerate().flat_map(|(n, one)| all[n + 1..].iter().map(move |other| (one, other)));
        let pairs = pairs.filter(|(one, other)| one.1.cluster_id == other.1.cluster_id);
        let gaps = pairs.map(|(one, other)| {
            let entries = one.1.applied.abs_diff(other.1.applied);
            (one.0, other.0, one.1.revision.abs_diff(other.1.revision).saturating_sub(entries))
        });
        gaps.max_by_key(|(_, _, gap)| *gap).filter(|(_, _, gap)| *gap > SLACK)
    };
    let (Some(_), Some((one, other, _))) = (apart(0), apart(1)) else { return Vec::new() };
    let evidence = seen.answered().map(|(member, status)| {
        format!("{}: applied {}, revision {}", seen.name(member), count(status.applied), count(status.revision as u64))
    });
    vec![Finding {
        severity: Severity::Critical,
        rule: "revisions-differ",
        what: format!("{} and {} applied the same entries and have different data", seen.name(one), seen.name(other)),
        evidence: evidence.collect(),
        advice: diverged(),
        read: "lesson 12 (consistency), chapters/12-consistency.md",
    }]
}

/// Members' hashes at one revision differ.
pub(super) fn hashes(seen: &Seen) -> Vec<Finding> {
    let hashed: Vec<_> =
        seen.members.iter().filter_map(|member| Some((member, member.hash.as_ref()?.as_ref().ok()?))).collect();
    // What was compacted meanwhile is not in the hash: only hashes with the same past can be compared.
    let comparable = |one: &super::HashSeen, other: &super::HashSeen| {
        one.revision == other.revision && one.compacted == other.compacted
    };
    let differs = hashed
        .iter()
        .enumerate()
        .any(|(n, (_, one))| hashed[n + 1..].iter().any(|(_, other)| comparable(one, other) && one.hash != other.hash));
    if !differs {
        return Vec::new();
    }
    let evidence = hashed.iter().map(|(member, hash)| {
        format!(
            "{}: hash {} at revision {} (compacted at {})",
            seen.name(member),
            hash.hash,
            count(hash.revision as u64),
            count(hash.compacted as u64)
        )
    });
    vec![Finding {
        severity: Severity::Critical,
        rule: "hashes-differ",
        what: "members' keys differ at one revision: whoever reads gets another answer elsewhere".to_owned(),
        evidence: evidence.collect(),
        advice: diverged(),
        read: "lesson 12 (consistency), chapters/12-consistency.md",
    }]
}

fn diverged() -> Vec<String> {
    vec![
        "keep clients away from the member that differs from the majority, and stop it".to_owned(),
        "copy its directory, and compare: seedbed inspect DIR --hash REVISION".to_owned(),
        "etcdctl member remove ID; then member add, and start it with an empty directory".to_owned(),
        "find the cause in the table of known bugs (seedbed bugs), and upgrade".to_owned(),
        "let etcd look by itself: --experimental-corrupt-check-time 4h".to_owned(),
    ]
}

/// A member applies late.
pub(super) fn lag(seen: &Seen) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (member, status) in seen.answered() {
        let same = seen.answered().filter(|(_, other)| other.cluster_id == status.cluster_id);
        let committed = same.map(|(_, status)| status.committed).max().unwrap_or(0);
        let behind = committed.saturating_sub(status.applied);
        if behind <= LAG {
            continue;
        }
        let refuses = status.committed.saturating_sub(status.applied) > BACKLOG;
        let moved = match &member.status {
            [Some(before), Some(after)] => after.applied.saturating_sub(before.applied),
            _ => 0,
        };
        let what = match refuses {
            true => "applies so late that it refuses requests (\"too many requests\")",
            false => "lags behind the others",
        };
        findings.push(Finding {
            severity: if refuses { Severity::Critical } else { Severity::Warning },
            rule: "raft-lag",
            what: format!("{} {what}", seen.name(member)),
            evidence: vec![
                format!(
                    "committed {}, applied there {}: {} behind",
                    count(committed),
                    count(status.applied),
                    count(behind)
                ),
                format!("it applied {} within {:.0} s", count(moved), seen.window_s),
            ],
            advice: vec![
                "look for what holds its apply loop: a defrag, large reads, a slow commit of the database".to_owned(),
                "if it never catches up, give it a faster disk or the cluster fewer writes".to_owned(),
            ],
            read: "lesson 14 (latency), chapters/04-raft.md",
        });
    }
    let unknown: Vec<String> = seen
        .members
        .iter()
        .filter_map(|member| match &member.hash {
            Some(Err(why)) => Some(format!("{}: {why}", seen.name(member))),
            _ => None,
        })
        .collect();
    if !unknown.is_empty() {
        let names = listed(&unknown);
        findings.push(Finding {
            severity: Severity::Note,
            rule: "not-hashed",
            what: "hashes could not be compared everywhere".to_owned(),
            evidence: vec![names],
            advice: vec!["where auth is on, ask as root: etcdctl --user root endpoint hashkv --cluster".to_owned()],
            read: "lesson 12 (consistency), chapters/12-consistency.md",
        });
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::seen::{HashSeen, StatusSeen, healthy};
    use super::*;

    fn rules(seen: &Seen) -> Vec<&'static str> {
        [alarms, revisions, hashes, lag].iter().flat_map(|rule| rule(seen)).map(|finding| finding.rule).collect()
    }

    fn both(seen: &mut Seen, n: usize, change: impl Fn(&mut StatusSeen)) {
        seen.members[n].status.iter_mut().flatten().for_each(change);
    }

    #[test]
    fn a_healthy_cluster_agrees() {
        assert_eq!(rules(&healthy()), Vec::<&str>::new());
    }

    #[test]
    fn alarms_are_told_apart() {
        for (kind, rule) in [("NOSPACE", "nospace"), ("CORRUPT", "corrupt")] {
            let mut seen = healthy();
            both(&mut seen, 0, |status| status.errors = vec![format!("memberID:1 alarm:{kind} ")]);
            assert_eq!(rules(&seen), [rule]);
        }
        let mut seen = healthy();
        both(&mut seen, 0, |status| status.errors = vec!["etcdserver: no leader".into()]);
        assert_eq!(rules(&seen), Vec::<&str>::new(), "that is another rule's");
    }

    #[test]
    fn revisions_may_differ_by_what_is_not_applied_yet_and_no_more() {
        let mut seen = healthy();
        both(&mut seen, 2, |status| {
            status.revision -= 500;
            status.applied -= 500;
        });
        assert_eq!(rules(&seen), Vec::<&str>::new(), "it is a little behind");
        both(&mut seen, 2, |status| status.applied += 500);
        assert_eq!(rules(&seen), ["revisions-differ"]);
        seen.members[2].status[0] = seen.members[1].status[0].clone();
        assert_eq!(rules(&seen), Vec::<&str>::new(), "what was seen once may be a moment's");
    }

    #[test]
    fn the_figures_of_the_first_incident_are_found() {
        let mut seen = healthy();
        for (n, applied, revision) in [(0, 1_098_420, 1_052_950), (1, 1_098_418, 1_025_860), (2, 1_098_408, 1_028_860)]
        {
            both(&mut seen, n, |status| {
                (status.applied, status.committed, status.revision) = (applied, applied, revision);
            });
        }
        assert_eq!(rules(&seen), ["revisions-differ"]);
    }

    #[test]
    fn hashes_are_compared_where_they_can_be() {
        let mut seen = healthy();
        let hash = |hash, compacted| Some(Ok(HashSeen { revision: 1_000, hash, compacted }));
        seen.members[1].hash = hash(43, 950);
        assert_eq!(rules(&seen), Vec::<&str>::new(), "another past is another hash");
        seen.members[1].hash = hash(43, 900);
        assert_eq!(rules(&seen), ["hashes-differ"]);
        seen.members[1].hash = Some(Err("permission denied".into()));
        assert_eq!(rules(&seen), ["not-hashed"]);
    }

    #[test]
    fn lag_is_a_warning_until_requests_are_refused() {
        for (behind, severity) in [(900, None), (2_000, Some(Severity::Warning)), (6_000, Some(Severity::Critical))] {
            let mut seen = healthy();
            for n in 0..3 {
                both(&mut seen, n, |status| {
                    status.committed += 10_000;
                    status.applied += 10_000;
                });
            }
            both(&mut seen, 1, |status| {
                status.applied -= behind;
                status.revision -= behind as i64;
            });
            assert_eq!(lag(&seen).first().map(|finding| finding.severity), severity, "{behind}");
        }
    }
}
