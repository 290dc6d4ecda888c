//! From what the world saw of databases to plots.

use super::{Axis, Line, Mark, Plot, Shape, Unit};
use crate::scenario::{PlotKind, Scenario};
use crate::world::Outcome;
use crate::world::database::{DbTally, Load};
use crate::world::record::What;
use seedbed::backend::Stats;
use seedbed::time::Nanos;

const TIME: Axis = Axis { title: "time", name: "time_s", unit: Unit::Seconds };

/// What is drawn of one arm.
#[derive(Clone, Debug)]
pub struct Arm {
    /// Its name; empty where a scenario has none.
    name: String,
    /// Everybody's databases.
    databases: Vec<DbTally>,
    operations: Vec<Mark>,
    /// Where the time axis ends.
    ended_at: Nanos,
}

impl Arm {
    /// Takes what plots need of a run.
    pub fn of(name: Option<&str>, scenario: &Scenario, outcome: &Outcome) -> Arm {
        let operated = outcome.records.iter().filter_map(|(_, record)| match record.what {
            What::Operated(number) => Some((record.at, scenario.operations.get(usize::from(number))?)),
            _ => None,
        });
        let operations = operated.map(|(at, operation)| Mark { at, label: operation.action.kind().to_owned() });
        Arm {
            name: name.unwrap_or_default().to_owned(),
            databases: outcome.tally.databases.clone(),
            operations: operations.collect(),
            ended_at: outcome.ended_at,
        }
    }
}

/// The plots that a scenario wants of its arms.
pub fn plots(scenario: &Scenario, arms: &[Arm]) -> Vec<Plot> {
    let of = scenario.report.member;
    let over_time = |name, what: &str, y, figures: &[(&'static str, Figure)]| {
        let lines = arms.iter().flat_map(|arm| figures.iter().map(|(figure, get)| sampled(arm, of, figure, *get)));
        Plot {
            name,
            title: format!("{}: {what} of n{of}", scenario.name),
            x: TIME,
            y,
            shape: Shape::Steps,
            lines: lines.collect(),
            marks: marks(arms),
        }
    };
    let plot = |kind: &PlotKind| match kind {
        PlotKind::Size => {
            let y = Axis { title: "bytes", name: "bytes", unit: Unit::Bytes };
            let figures: [(_, Figure); 2] = [("file", |stats| stats.size), ("in use", |stats| stats.in_use)];
            over_time("size", "the database's file, and what is in use of it,", y, &figures)
        }
        PlotKind::FreePages => {
            let y = Axis { title: "pages", name: "pages", unit: Unit::Count };
            let figures: [(_, Figure); 2] =
                [("free", |stats| stats.free_pages), ("waiting for a reader", |stats| stats.pending_pages)];
            over_time("free-pages", "pages that may be reused, and those that wait,", y, &figures)
        }
        PlotKind::Commits => commits(scenario, arms),
        PlotKind::LoadTime => load_time(scenario, arms),
    };
    scenario.report.plots.iter().map(plot).collect()
}

type Figure = fn(&Stats) -> u64;

fn database(arm: &Arm, number: u8) -> Option<&DbTally> {
    arm.databases.get(usize::from(number) - 1)
}

fn sampled(arm: &Arm, of: u8, figure: &'static str, get: Figure) -> Line {
    let samples = database(arm, of).map(|database| &database.samples[..]).unwrap_or_default();
    let mut points: Vec<(u64, u64)> = samples.iter().map(|sample| (sample.at, get(&sample.stats))).collect();
    // What was last seen holds to the end.
    points.extend(points.last().map(|(_, last)| (arm.ended_at, *last)));
    Line { arm: arm.name.clone(), figure, points }
}

/// What operators did, each moment once.
fn marks(arms: &[Arm]) -> Vec<Mark> {
    let mut marks: Vec<Mark> = arms.iter().flat_map(|arm| arm.operations.clone()).collect();
    marks.sort();
    marks.dedup();
    marks
}

fn commits(scenario: &Scenario, arms: &[Arm]) -> Plot {
    let of = scenario.report.member;
    let line = |arm: &Arm| Line {
        arm: arm.name.clone(),
        figure: "commit",
        points: database(arm, of).map(|database| database.commits.clone()).unwrap_or_default(),
    };
    Plot {
        name: "commits",
        title: format!("{}: how long each commit of n{of} took", scenario.name),
        x: TIME,
        y: Axis { title: "commit", name: "commit_ms", unit: Unit::Millis },
        shape: Shape::Dots,
        lines: arms.iter().map(line).collect(),
        marks: marks(arms),
    }
}

/// A dot an arm and a load: the size of what was loaded, and how long it took.
fn load_time(scenario: &Scenario, arms: &[Arm]) -> Plot {
    let line = |arm: &Arm, figure, get: fn(&DbTally) -> &Vec<Load>| {
        let loads = arm.databases.iter().flat_map(get);
        let mut points: Vec<(u64, u64)> = loads.map(|load| (load.size, load.took)).collect();
        points.sort_unstable();
        Line { arm: arm.name.clone(), figure, points }
    };
    let lines = arms.iter().flat_map(|arm| {
        [line(arm, "load at start", |database| &database.loads), line(arm, "snapshot", |database| &database.installs)]
    });
    Plot {
        name: "load-time",
        title: format!("{}: loading a store, and bringing it to a follower, by its size", scenario.name),
        x: Axis { title: "size", name: "size_bytes", unit: Unit::Bytes },
        y: Axis { title: "time", name: "took_ms", unit: Unit::Millis },
        shape: Shape::Dots,
        lines: lines.collect(),
        marks: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::ReportSettings;
    use crate::world::database::Sample;

    fn arm(name: &str) -> Arm {
        let stats = |size| Stats { size, in_use: size / 2, ..Stats::default() };
        let samples = vec![Sample { at: 1, stats: stats(4096) }, Sample { at: 5, stats: stats(8192) }];
        let loads = vec![Load { at: 3, took: 9, size: 4096 }];
        let database = DbTally { samples, loads, commits: vec![(4, 2)], ..DbTally::default() };
        let operations = vec![Mark { at: 2, label: "compact".into() }];
        Arm { name: name.into(), databases: vec![database], operations, ended_at: 10 }
    }

    #[test]
    fn every_kind_of_plot_shows_every_arm() {
        let report = ReportSettings { plots: PlotKind::ALL.to_vec(), ..ReportSettings::default() };
        let scenario = Scenario { report, ..Scenario::default() };
        let plots = plots(&scenario, &[arm("plain"), arm("other")]);
        assert_eq!(plots.iter().map(|plot| plot.name).collect::<Vec<_>>(), PlotKind::NAMES);
        for plot in &plots {
            for name in ["plain", "other"] {
                let has = plot.lines.iter().any(|line| line.arm == name && !line.points.is_empty());
                assert!(has, "{}: {name}", plot.name);
            }
        }
        assert_eq!(plots[0].marks, [Mark { at: 2, label: "compact".into() }], "one moment is marked once");
        assert_eq!(plots[0].lines[0].points, [(1, 4096), (5, 8192), (10, 8192)]);
    }
}
