//! Figures of databases and of clients: from what the world saw of them to a report's numbers.

use crate::check::asked;
use crate::report::{ClientFigures, DatabaseReport, DefragReport};
use crate::scenario::Observation;
use crate::world::database::{DbTally, Load};
use crate::world::{Outcome, Tally};
use seedbed::backend::Stats;
use seedbed::time::Nanos;

/// Each member's database, of those that were looked at.
pub(crate) fn databases(tally: &Tally) -> Vec<DatabaseReport> {
    let seen = tally.databases.iter().enumerate().filter(|(_, database)| !database.samples.is_empty());
    seen.map(|(index, database)| report(format!("n{}", index + 1), database)).collect()
}

fn report(member: String, database: &DbTally) -> DatabaseReport {
    let end = end(database);
    let took = sorted(database.commits.iter().map(|commit| commit.1));
    DatabaseReport {
        member,
        size_max: most(database, |stats| stats.size),
        size_end: end.size,
        in_use_end: end.in_use,
        free_pages_end: end.free_pages,
        pending_pages_end: end.pending_pages,
        pending_pages_max: most(database, |stats| stats.pending_pages),
        readers_max: most(database, |stats| stats.readers),
        commits: took.len() as u64,
        commit_ms_p50: millis(percentile(&took, 50)),
        commit_ms_p99: millis(percentile(&took, 99)),
        commit_ms_max: millis(percentile(&took, 100)),
        compactions: database.compactions,
        defrags: database.defrags.iter().map(defrag).collect(),
        starts: database.loads.len() as u64,
        start_ms_max: millis(longest(&database.loads)),
        snapshots: database.installs.len() as u64,
        snapshot_ms_max: millis(longest(&database.installs)),
    }
}

fn defrag(defrag: &crate::world::database::Defrag) -> DefragReport {
    let crate::world::database::Defrag { at, took, before, after } = *defrag;
    DefragReport { at: at as f64 / 1e9, took_ms: millis(took), before, after }
}

/// What was counted while clients and operators did their work.
pub(crate) fn counted(observation: Observation, outcome: &Outcome) -> Option<f64> {
    Some(match observation {
        Observation::LeasesGranted => outcome.leases.granted as f64,
        Observation::LeasesExpired => outcome.leases.expired as f64,
        Observation::LeasesLeft => outcome.leases.left as f64,
        Observation::LocksTaken => outcome.taken.len() as f64,
        Observation::Conflicts => outcome.conflicts as f64,
        Observation::MemberChanges => outcome.member_changes as f64,
        _ => return None,
    })
}

/// An observation of databases over all members; `None` for one of something else.
pub(crate) fn observe(observation: Observation, tally: &Tally) -> Option<f64> {
    let all = &tally.databases;
    let largest = all.iter().max_by_key(|database| end(database).size).map(end).unwrap_or_default();
    let of_all = |figure: fn(&DbTally) -> u64| all.iter().map(figure).max().unwrap_or(0);
    let sum = |figure: fn(&DbTally) -> u64| all.iter().map(figure).sum::<u64>() as f64;
    Some(match observation {
        Observation::DbSizeMib => mib(largest.size),
        Observation::DbSizeMaxMib => mib(of_all(|database| most(database, |stats| stats.size))),
        Observation::DbInUseMib => mib(largest.in_use),
        Observation::DbFreePages => (largest.free_pages + largest.pending_pages) as f64,
        Observation::DbPendingPagesMax => of_all(|database| most(database, |stats| stats.pending_pages)) as f64,
        Observation::FreelistWork => of_all(|database| most(database, |stats| stats.freelist_work)) as f64,
        Observation::Commits => sum(|database| database.commits.len() as u64),
        Observation::CommitMs => {
            let took = sorted(all.iter().flat_map(|database| &database.commits).map(|commit| commit.1));
            millis(percentile(&took, 50))
        }
        Observation::CommitMaxMs => {
            let took = all.iter().flat_map(|database| &database.commits).map(|commit| commit.1);
            millis(took.max().unwrap_or(0))
        }
        Observation::Compactions => sum(|database| database.compactions),
        Observation::Defrags => sum(|database| database.defrags.len() as u64),
        Observation::DefragMaxMs => {
            millis(all.iter().flat_map(|database| &database.defrags).map(|defrag| defrag.took).max().unwrap_or(0))
        }
        Observation::SnapshotsInstalled => sum(|database| database.installs.len() as u64),
        Observation::SnapshotMaxMs => millis(of_all(|database| longest(&database.installs))),
        Observation::StartMaxMs => millis(of_all(|database| longest(&database.loads))),
        Observation::OperationsFailed => tally.operations_failed as f64,
        Observation::AlarmsRaised => tally.alarms_raised as f64,
        Observation::AlarmsEnd => tally.alarms.len() as f64,
        _ => return None,
    })
}

fn end(database: &DbTally) -> Stats {
    database.samples.last().map(|sample| sample.stats).unwrap_or_default()
}

fn most(database: &DbTally, figure: fn(&Stats) -> u64) -> u64 {
    database.samples.iter().map(|sample| figure(&sample.stats)).max().unwrap_or(0)
}

fn longest(loads: &[Load]) -> Nanos {
    loads.iter().map(|load| load.took).max().unwrap_or(0)
}

fn sorted(took: impl Iterator<Item = Nanos>) -> Vec<Nanos> {
    let mut took: Vec<Nanos> = took.collect();
    took.sort_unstable();
    took
}

/// The figure that so many of 100 do not exceed; 0 of none.
fn percentile(sorted: &[Nanos], percent: usize) -> Nanos {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or(0)
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / 1_048_576.0
}

fn millis(nanos: Nanos) -> f64 {
    nanos as f64 / 1e6
}

/// What became of the clients' requests.
pub(crate) fn clients(outcome: &Outcome) -> ClientFigures {
    use crate::check::history::Outcome as Ended;
    use asked::Ending;
    let mut figures = ClientFigures { retried: outcome.retries, ..ClientFigures::default() };
    let mut took: Vec<Nanos> = Vec::new();
    for operation in &outcome.history.operations {
        match operation.outcome {
            Ended::Ok { .. } => figures.ok += 1,
            Ended::Unknown => figures.unknown += 1,
            Ended::Failed => figures.failed += 1,
        }
        took.extend(operation.ret().map(|ret| ret - operation.call));
    }
    for asked in &outcome.asked {
        match asked.ending {
            Ending::Answered { .. } => figures.ok += 1,
            Ending::Unknown => figures.unknown += 1,
            Ending::Refused { .. } | Ending::Failed => figures.failed += 1,
        }
        took.extend(asked.ret().map(|ret| ret - asked.call));
    }
    took.sort_unstable();
    figures.requests = (outcome.history.operations.len() + outcome.asked.len()) as u64;
    figures.slowest_s = took.last().copied().unwrap_or(0) as f64 / 1e9;
    figures.median_s = took.get(took.len() / 2).copied().unwrap_or(0) as f64 / 1e9;
    figures
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::database::{Defrag, Sample};

    fn tally() -> Tally {
        let sample =
            |at, size, in_use, free_pages| Sample { at, stats: Stats { size, in_use, free_pages, ..Stats::default() } };
        let small = DbTally {
            samples: vec![sample(1, 8 << 20, 1 << 20, 0), sample(2, 1 << 20, 1 << 20, 0)],
            ..DbTally::default()
        };
        let large = DbTally {
            samples: vec![sample(1, 4 << 20, 3 << 20, 256)],
            commits: (1..=100).map(|n| (n, n * 1_000_000)).collect(),
            defrags: vec![Defrag { at: 5, took: 7_000_000, before: 9, after: 3 }],
            ..DbTally::default()
        };
        Tally { databases: vec![small, large, DbTally::default()], ..Tally::default() }
    }

    #[test]
    fn figures_are_of_the_largest_database_or_of_all() {
        let tally = tally();
        let seen = |observation| observe(observation, &tally).expect("a figure of databases");
        assert_eq!((seen(Observation::DbSizeMib), seen(Observation::DbSizeMaxMib)), (4.0, 8.0));
        assert_eq!((seen(Observation::DbInUseMib), seen(Observation::DbFreePages)), (3.0, 256.0));
        assert_eq!((seen(Observation::Commits), seen(Observation::CommitMs)), (100.0, 50.0));
        assert_eq!((seen(Observation::CommitMaxMs), seen(Observation::DefragMaxMs)), (100.0, 7.0));
        assert_eq!(observe(Observation::Ok, &tally), None);
    }

    #[test]
    fn every_database_that_was_looked_at_is_reported() {
        let reports = databases(&tally());
        let names: Vec<&str> = reports.iter().map(|report| report.member.as_str()).collect();
        assert_eq!(names, ["n1", "n2"]);
        assert_eq!((reports[0].size_max, reports[0].size_end), (8 << 20, 1 << 20));
        assert_eq!((reports[1].commit_ms_p50, reports[1].commit_ms_p99), (50.0, 99.0));
    }

    #[test]
    fn of_nothing_there_is_no_percentile() {
        assert_eq!(percentile(&[], 99), 0);
        assert_eq!(percentile(&[3], 50), 3);
    }
}
