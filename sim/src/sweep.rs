//! Sweeps: many seeds of many scenarios on all cores, reported in one fixed order.
//!
//! ```text
//! (scenario, seed) numbered ──▶ workers, each takes the next number ──▶ one collector ──▶ rows in order of number
//! ```
//!
//! **Handing out** is dynamic, since runs differ in length a hundredfold. **Reporting** is not: rows are sorted by number,
//! figures are medians, and of the failures of a kind the one with the lowest number is kept; so the report of
//! a sweep is the same for one worker and for many.
//!
//! **Memory stays flat**: a run's outcome is tens of megabytes and is dropped by the worker that made it. What is kept of
//! a run is a [`Row`], three figures an arm, and for the first failure of each kind a capsule.
//!
//! A run is not protected from its process: a run that takes all memory takes the sweep with it. Shards on several
//! machines are separate sweeps; their JSON is merged by whoever started them.

use crate::capsule::Capsule;
use crate::judge::{Judged, combine, judge};
use crate::report::{Report, Verdict};
use crate::scenario::{BugSwitch, ScenarioError, ScenarioFile};
use crate::story::{quoted, word};
use crate::world::Options;
use std::collections::BTreeMap;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError, mpsc};
use std::time::Instant;

/// What is to be run.
#[derive(Clone, Debug)]
pub struct Sweep<'a> {
    /// The scenarios.
    pub files: &'a [ScenarioFile],
    /// One arm; `None`: all of them.
    pub arm: Option<&'a str>,
    /// The seeds of each.
    pub seeds: Range<u64>,
    /// Which part of the runs: number `i` of `n`, from 0.
    pub shard: (u64, u64),
    /// Bugs that are switched on besides those of the arms.
    pub bugs: &'a [BugSwitch],
    /// Workers.
    pub jobs: usize,
}

/// What is kept of a run of a scenario with a seed, its arms taken together.
#[derive(Clone, Debug)]
pub struct Row {
    /// The scenario, among those of the sweep.
    pub scenario: usize,
    /// The seed.
    pub seed: u64,
    /// How it ended.
    pub verdict: Verdict,
    /// With which exit code.
    pub exit: u8,
    /// The checks that failed.
    pub failed_checks: Vec<String>,
    /// The digest.
    pub digest: u64,
    /// CPU seconds.
    pub cpu_s: f64,
    /// The command that runs it again, if it failed.
    pub replay: Option<String>,
}

/// Figures of an arm's run.
#[derive(Clone, Copy, Debug)]
pub struct Figures {
    /// Leader changes.
    pub leader_changes: f32,
    /// The term at the end.
    pub final_term: f32,
    /// Seconds without a leader, all together.
    pub leaderless_s: f32,
}

/// Failures of a kind.
#[derive(Clone, Debug)]
pub struct Group {
    /// The kind.
    pub signature: String,
    /// How many runs failed so.
    pub count: u64,
    /// The first of them, in the order of the report: its number, scenario and seed.
    pub first: (u64, usize, u64),
    /// Its capsule, if there is something to replay.
    pub capsule: Option<Box<Capsule>>,
    /// The command that runs it again.
    pub replay: String,
}

/// What a sweep came to.
#[derive(Debug, Default)]
pub struct Swept {
    /// A row for each run, in order.
    pub rows: Vec<Row>,
    /// For each scenario and arm (`None`: a scenario without arms), figures of its runs.
    pub figures: BTreeMap<(usize, usize), (Option<String>, Vec<Figures>)>,
    /// Failures by kind, the most frequent first.
    pub groups: Vec<Group>,
    /// Not everything was run.
    pub interrupted: bool,
}

/// A run on its way from worker to collector.
struct Finished {
    number: u64,
    row: Row,
    figures: Vec<(usize, Option<String>, Figures)>,
    failures: Vec<Failed>,
}

struct Failed {
    signature: String,
    capsule: Option<Box<Capsule>>,
    replay: String,
}

/// The signatures that were seen, each with the lowest number of a run that has a capsule of it.
type Known = Mutex<BTreeMap<String, u64>>;

impl Sweep<'_> {
    /// How many runs of scenario `scenario` this shard has.
    pub fn runs_of(&self, scenario: usize) -> u64 {
        let seeds = self.seeds.end - self.seeds.start;
        let (shard, of) = self.shard;
        // Numbers below `n` that belong to the shard.
        let below = |n: u64| (n + of - 1 - shard) / of;
        below(seeds * (scenario as u64 + 1)) - below(seeds * scenario as u64)
    }

    /// How many runs there are in this shard; `None` if they cannot be counted.
    pub fn runs(&self) -> Option<u64> {
        let seeds = self.seeds.end - self.seeds.start;
        // One factor of room for the arithmetic of shards.
        seeds.checked_mul(self.files.len() as u64 + 1)?.checked_add(self.shard.1)?;
        Some((0..self.files.len()).map(|scenario| self.runs_of(scenario)).sum())
    }

    /// Runs everything, until `stop` says otherwise; `seen` is shown each row as it comes, in no order.
    ///
    /// # Errors
    /// A scenario that cannot be resolved for some seed.
    pub fn run(&self, stop: &AtomicBool, mut seen: impl FnMut(&Row)) -> Result<Swept, ScenarioError> {
        let runs = self.runs().expect("invariant: whoever asks for a sweep has counted its runs");
        let next = AtomicU64::new(0);
        let known = Known::default();
        let (sender, receiver) = mpsc::sync_channel(1024);
        let workers = (self.jobs.max(1) as u64).min(runs.max(1));
        std::thread::scope(|scope| {
            for _ in 0..workers {
                let (sender, next, known) = (sender.clone(), &next, &known);
                scope.spawn(move || {
                    loop {
                        let taken = next.fetch_add(1, Ordering::Relaxed);
                        if taken >= runs || stop.load(Ordering::Relaxed) {
                            break;
                        }
                        let number = self.shard.0 + taken * self.shard.1;
                        if sender.send(self.run_one(number, known)).is_err() {
                            break;
                        }
                    }
                });
            }
            drop(sender);
            let mut collected = Collected::default();
            // By value: an early return hangs up, and the workers hear it.
            for finished in receiver {
                let finished = finished?;
                seen(&finished.row);
                collected.add(finished);
            }
            Ok(collected.finish(runs))
        })
    }

    fn run_one(&self, number: u64, known: &Known) -> Result<Finished, ScenarioError> {
        let seeds = self.seeds.end - self.seeds.start;
        let scenario = (number / seeds) as usize;
        let seed = self.seeds.start + number % seeds;
        let file = &self.files[scenario];
        let all = file.arms();
        let arms: Vec<Option<&str>> = match self.arm {
            Some(arm) => vec![Some(arm)],
            None if all.is_empty() => vec![None],
            None => all.iter().copied().map(Some).collect(),
        };
        let mut finished = Finished { number, row: broken(scenario, seed), figures: Vec::new(), failures: Vec::new() };
        let mut reports = Vec::new();
        for (index, arm) in arms.into_iter().enumerate() {
            let judged = catch_unwind(AssertUnwindSafe(|| judge(file, arm, seed, self.bugs, Options::default())));
            let Ok(judged) = judged else {
                // The panic has printed its message already.
                let arm = arm.map(|arm| format!(" --arm {}", quoted(arm))).unwrap_or_default();
                let bugs: String = self.bugs.iter().map(|bug| format!(" --bug {bug}")).collect();
                let replay = format!("seedbed run {} --seed {seed}{arm}{bugs}", quoted(file.file()));
                let signature = "a judge panicked".to_owned();
                finished.row.replay = Some(replay.clone());
                finished.failures.push(Failed { signature, capsule: None, replay });
                return Ok(finished);
            };
            let judged = judged?;
            // A run that broke has no figures.
            if judged.outcome.is_some() {
                finished.figures.push((index, arm.map(str::to_owned), figures(&judged.report)));
            }
            if judged.report.exit != 0 {
                finished.failures.push(self.failed(&judged, file, number, known));
            }
            reports.push(judged.report);
        }
        let report = if self.arm.is_none() && !all.is_empty() { combine(reports) } else { reports.remove(0) };
        finished.row = Row {
            scenario,
            seed,
            verdict: report.verdict,
            exit: report.exit,
            failed_checks: report.failed_checks,
            digest: report.digest,
            cpu_s: report.cpu_s,
            replay: (report.exit != 0).then_some(report.replay),
        };
        Ok(finished)
    }

    /// A failure, with a capsule if no earlier run has one of this kind.
    fn failed(&self, judged: &Judged, file: &ScenarioFile, number: u64, known: &Known) -> Failed {
        let report = &judged.report;
        let signature = signature(report);
        let is_first = {
            let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
            let first = known.entry(signature.clone()).or_insert(u64::MAX);
            let is_first = number < *first;
            *first = number.min(*first);
            is_first
        };
        let capsule = if is_first { Capsule::of(judged, file, self.bugs).map(Box::new) } else { None };
        Failed { signature, capsule, replay: report.replay.clone() }
    }
}

/// What groups a failure: its report's signature, of which only the first line counts (a panic's message may have more,
/// with values that differ from run to run).
fn signature(report: &Report) -> String {
    match (&report.signature, report.failed_checks.as_slice()) {
        (Some(signature), _) => signature.lines().next().unwrap_or_default().trim_end().to_owned(),
        (None, []) => word(report.verdict).to_owned(),
        (None, checks) => checks.join(", "),
    }
}

fn figures(report: &Report) -> Figures {
    let of = |name: &str| report.observations.get(name).copied().unwrap_or(0.0) as f32;
    Figures {
        leader_changes: of("leader_changes"),
        final_term: of("final_term"),
        leaderless_s: of("leaderless_total_s"),
    }
}

fn broken(scenario: usize, seed: u64) -> Row {
    Row {
        scenario,
        seed,
        verdict: Verdict::Broken,
        exit: Verdict::Broken.exit(),
        failed_checks: Vec::new(),
        digest: 0,
        cpu_s: 0.0,
        replay: None,
    }
}

/// What the collector holds.
#[derive(Default)]
struct Collected {
    rows: Vec<(u64, Row)>,
    figures: BTreeMap<(usize, usize), (Option<String>, Vec<Figures>)>,
    groups: BTreeMap<String, Group>,
}

impl Collected {
    fn add(&mut self, finished: Finished) {
        let Finished { number, row, figures, failures } = finished;
        let (scenario, seed) = (row.scenario, row.seed);
        for (index, arm, figures) in figures {
            self.figures.entry((scenario, index)).or_insert_with(|| (arm, Vec::new())).1.push(figures);
        }
        // Arms that fail alike in one run are one failure; the first of them stands for it.
        let mut seen = Vec::new();
        for Failed { signature, capsule, replay } in failures {
            if seen.contains(&signature) {
                continue;
            }
            seen.push(signature.clone());
            let first = (number, scenario, seed);
            let group = self.groups.entry(signature.clone()).or_insert_with(|| Group {
                signature,
                count: 0,
                first: (u64::MAX, scenario, seed),
                capsule: None,
                replay: String::new(),
            });
            group.count += 1;
            if number < group.first.0 {
                (group.first, group.capsule, group.replay) = (first, capsule, replay);
            }
        }
        self.rows.push((number, row));
    }

    fn finish(mut self, runs: u64) -> Swept {
        self.rows.sort_by_key(|(number, _)| *number);
        let mut groups: Vec<Group> = self.groups.into_values().collect();
        groups.sort_by_key(|group| (std::cmp::Reverse(group.count), group.first.0));
        Swept {
            interrupted: (self.rows.len() as u64) < runs,
            rows: self.rows.into_iter().map(|(_, row)| row).collect(),
            figures: self.figures,
            groups,
        }
    }
}

impl Figures {
    /// Median and maximum of one figure. `None` without runs.
    pub fn median_and_max(all: &[Figures], figure: fn(&Figures) -> f32) -> Option<(f64, f64)> {
        let mut values: Vec<f32> = all.iter().map(figure).collect();
        values.sort_by(f32::total_cmp);
        let median = values.get(values.len().checked_sub(1)? / 2)?;
        Some((f64::from(*median), f64::from(*values.last()?)))
    }
}

/// A clock for whoever shows progress.
#[derive(Clone, Copy, Debug)]
pub struct Began(Instant);

impl Began {
    /// Now.
    pub fn now() -> Began {
        Began(Instant::now())
    }

    /// Seconds since.
    pub fn seconds(self) -> f64 {
        self.0.elapsed().as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(leader_changes: f32) -> Figures {
        Figures { leader_changes, final_term: 2.0, leaderless_s: 0.0 }
    }

    #[test]
    fn shards_share_the_runs() {
        let files: Vec<ScenarioFile> =
            (0..3).map(|_| ScenarioFile::parse("x.toml", "name = \"x\"").expect("a scenario")).collect();
        for of in 1..8 {
            let shard =
                |index| Sweep { files: &files, arm: None, seeds: 10..17, shard: (index, of), bugs: &[], jobs: 1 };
            let runs: u64 = (0..of).map(|index| shard(index).runs().expect("few")).sum();
            assert_eq!(runs, 21, "{of} shards");
        }
    }

    #[test]
    fn medians_are_of_values_that_were_seen() {
        let all: Vec<Figures> = [3.0, 0.0, 1.0, 9.0].into_iter().map(figures).collect();
        assert_eq!(Figures::median_and_max(&all, |figures| figures.leader_changes), Some((1.0, 9.0)));
        assert_eq!(Figures::median_and_max(&[], |figures| figures.leader_changes), None);
    }
}
