//! Rules about the database's size and the disk's speed.

use super::{Finding, MemberSeen, Seen, Severity};
use crate::story::words::{bytes, figure};

/// Of the quota, what is near.
const NEAR: f64 = 0.8;
/// Of the file, what is used, where a defrag is worth while; and what it must give back.
const DENSE: f64 = 0.5;
const WORTH: i64 = 64 << 20;
/// Healthy disks: 99 of a hundred syncs of the log take no longer, and commits of the database. In seconds.
const FSYNC_S: f64 = 0.010;
const COMMIT_S: f64 = 0.120;
/// Fewer observations than these say nothing of the 99th of a hundred.
const ENOUGH: f64 = 100.0;

/// The database comes near its quota.
pub(super) fn quota(seen: &Seen) -> Vec<Finding> {
    let mut evidence = Vec::new();
    for (member, status) in seen.answered() {
        let quota = member.metrics().and_then(|metrics| metrics.sum("etcd_server_quota_backend_bytes"));
        let Some(quota) = quota.filter(|quota| *quota > 0.0) else { continue };
        let part = status.db_size as f64 / quota;
        if part >= NEAR && !status.errors.iter().any(|error| error.contains("NOSPACE")) {
            evidence.push(format!(
                "{}: {} of {} ({:.0} %), {} in use",
                seen.name(member),
                bytes(status.db_size as u64),
                bytes(quota as u64),
                part * 100.0,
                bytes(status.db_size_in_use as u64)
            ));
        }
    }
    if evidence.is_empty() {
        return Vec::new();
    }
    let revision = seen.answered().map(|(_, status)| status.revision).max().unwrap_or(0);
    vec![Finding {
        severity: Severity::Warning,
        rule: "quota-near",
        what: "the database is nearly as large as it may be; then the alarm NOSPACE will refuse every write".to_owned(),
        evidence,
        advice: vec![
            format!("remove history: etcdctl compact {revision}; for ever: --auto-compaction-retention 1h"),
            "then give the pages back, one member after the other: etcdctl --endpoints ENDPOINT defrag".to_owned(),
            "if that is not enough: --quota-backend-bytes, up to 8 GiB".to_owned(),
        ],
        read: "lesson 13 (db size), chapters/13-db-size.md",
    }]
}

/// A database holds far less than its file is large.
pub(super) fn defrag(seen: &Seen) -> Vec<Finding> {
    let free = |status: &super::StatusSeen| status.db_size - status.db_size_in_use;
    let sparse = seen
        .answered()
        .filter(|(_, status)| free(status) >= WORTH && (status.db_size_in_use as f64) < status.db_size as f64 * DENSE);
    let sparse: Vec<_> = sparse.collect();
    if sparse.is_empty() {
        return Vec::new();
    }
    let mut advice: Vec<(bool, String)> = sparse
        .iter()
        .map(|(member, status)| {
            let leads = status.leader == status.member_id;
            (
                leads,
                format!(
                    "etcdctl --endpoints {} defrag{}",
                    member.endpoint,
                    if leads { "   (the leader: last)" } else { "" }
                ),
            )
        })
        .collect();
    advice.sort();
    let first = "one member at a time; meanwhile it answers nothing:".to_owned();
    vec![Finding {
        severity: Severity::Note,
        rule: "defrag",
        what: "databases are mostly free pages: only a defrag makes their files smaller".to_owned(),
        evidence: sparse
            .iter()
            .map(|(member, status)| {
                format!(
                    "{}: {} in use of {}",
                    seen.name(member),
                    bytes(status.db_size_in_use as u64),
                    bytes(status.db_size as u64)
                )
            })
            .collect(),
        advice: std::iter::once(first).chain(advice.into_iter().map(|(_, command)| command)).collect(),
        read: "lesson 13 (db size), chapters/13-db-size.md",
    }]
}

/// Syncs of the log are slow.
pub(super) fn slow_fsync(seen: &Seen) -> Vec<Finding> {
    let evidence = slow(seen, "etcd_disk_wal_fsync_duration_seconds", FSYNC_S);
    if evidence.is_empty() {
        return Vec::new();
    }
    vec![Finding {
        severity: Severity::Warning,
        rule: "slow-fsync",
        what: "the disk is slow to make the log durable, and every write waits for that".to_owned(),
        evidence,
        advice: vec![
            format!(
                "a healthy disk needs {} ms at the 99th of a hundred: an SSD of its own for \
                 the data directory",
                FSYNC_S * 1e3
            ),
            "look at what else writes there: iostat -x 1".to_owned(),
            "measure the disk alone: fio --rw=write --ioengine=sync --fdatasync=1 --size=22m --bs=2300 --name=wal \
             --directory=DIR"
                .to_owned(),
        ],
        read: "lesson 14 (latency), chapters/04-raft.md",
    }]
}

/// Commits of the database are slow.
pub(super) fn slow_commit(seen: &Seen) -> Vec<Finding> {
    let evidence = slow(seen, "etcd_disk_backend_commit_duration_seconds", COMMIT_S);
    if evidence.is_empty() {
        return Vec::new();
    }
    vec![Finding {
        severity: Severity::Warning,
        rule: "slow-commit",
        what: "commits of the database are slow; while one runs, nothing is applied".to_owned(),
        evidence,
        advice: vec![
            format!("{} ms at the 99th of a hundred are healthy", COMMIT_S * 1e3),
            "with a large database look at its free pages: compaction and a defrag make commits shorter".to_owned(),
            "with a small one look at the disk: iostat -x 1".to_owned(),
        ],
        read: "lessons 13 and 14, chapters/10-boltdb.md",
    }]
}

/// Whose 99th of a hundred lies above a limit: within the window if enough was seen there, else since its start.
fn slow(seen: &Seen, name: &str, limit_s: f64) -> Vec<String> {
    let look = |member: &MemberSeen| -> Option<String> {
        let all = member.metrics()?.histogram(name)?;
        let before = member.metrics[0].as_ref().and_then(|metrics| metrics.histogram(name));
        let recent = before.map(|before| all.since(&before)).filter(|recent| recent.count() >= ENOUGH);
        let (histogram, when) = match recent {
            Some(recent) => (recent, format!("within {:.0} s", seen.window_s)),
            None => (all, "since its start".to_owned()),
        };
        let (above, to) = histogram.quantile(0.99)?;
        // The limit may lie inside the bucket: then nothing is known.
        if histogram.count() < ENOUGH || above < limit_s {
            return None;
        }
        let to = if to.is_finite() { format!("to {} ms", figure(to * 1e3)) } else { "or more".to_owned() };
        Some(format!(
            "{}: the 99th of a hundred took {} ms {to} ({:.0} {when})",
            seen.name(member),
            figure(above * 1e3),
            histogram.count()
        ))
    };
    seen.members.iter().filter_map(look).collect()
}

#[cfg(test)]
mod tests {
    use super::super::seen::{healthy, metrics_with};
    use super::*;

    fn rules(seen: &Seen) -> Vec<&'static str> {
        let rules = [quota, defrag, slow_fsync, slow_commit];
        rules.iter().flat_map(|rule| rule(seen)).map(|finding| finding.rule).collect()
    }

    #[test]
    fn a_healthy_disk_is_fast_and_has_room() {
        assert_eq!(rules(&healthy()), Vec::<&str>::new());
    }

    #[test]
    fn a_quota_is_near_from_four_fifths_on() {
        for (size, found) in [(1_700_000_000, false), (1_750_000_000, true)] {
            let mut seen = healthy();
            let status = seen.members[0].status[1].as_mut().expect("seen");
            (status.db_size, status.db_size_in_use) = (size, size);
            assert_eq!(rules(&seen) == ["quota-near"], found);
            seen.members[0].metrics = [None, None];
            assert_eq!(rules(&seen), Vec::<&str>::new(), "without the quota nothing is known");
        }
    }

    #[test]
    fn a_defrag_is_worth_while_where_much_is_free() {
        for (size, used, found) in [(100 << 20, 60 << 20, false), (100 << 20, 20 << 20, true), (50 << 20, 1, false)] {
            let mut seen = healthy();
            for n in 0..2 {
                let status = seen.members[n].status[1].as_mut().expect("seen");
                (status.db_size, status.db_size_in_use) = (size, used);
            }
            assert_eq!(rules(&seen) == ["defrag"], found, "{used} of {size}");
            if found {
                let advice = &defrag(&seen)[0].advice;
                assert_eq!(advice[1], "etcdctl --endpoints 10.0.0.2:2379 defrag");
                assert!(advice[2].starts_with("etcdctl --endpoints 10.0.0.1:2379 defrag   (the leader"), "{advice:?}");
            }
        }
    }

    /// A histogram of so many fast and slow ones.
    fn times(name: &str, fast: u64, slow: u64) -> Option<super::super::metrics::Metrics> {
        let all = fast + slow;
        Some(metrics_with(&format!(
            "{name}_bucket{{le=\"0.008\"}} {fast}\n{name}_bucket{{le=\"0.128\"}} {fast}\n\
             {name}_bucket{{le=\"0.512\"}} {all}\n{name}_bucket{{le=\"+Inf\"}} {all}\n"
        )))
    }

    #[test]
    fn slow_disks_are_told_by_their_histograms() {
        for (name, rule) in [
            ("etcd_disk_wal_fsync_duration_seconds", "slow-fsync"),
            ("etcd_disk_backend_commit_duration_seconds", "slow-commit"),
        ] {
            let mut seen = healthy();
            seen.members[1].metrics = [times(name, 1_000, 0), times(name, 1_980, 20)];
            assert_eq!(rules(&seen), [rule], "slow within the window");
            seen.members[1].metrics = [times(name, 1_000, 500), times(name, 2_000, 500)];
            assert_eq!(rules(&seen), Vec::<&str>::new(), "slow once, and fast now");
            seen.members[1].metrics = [times(name, 1_000, 500), times(name, 1_001, 500)];
            assert_eq!(rules(&seen), [rule], "nothing happens now, and it was slow");
            seen.members[1].metrics = [None, times(name, 10, 10)];
            assert_eq!(rules(&seen), Vec::<&str>::new(), "too few to say");
        }
    }
}
