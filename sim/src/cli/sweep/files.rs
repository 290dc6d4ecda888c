//! What a sweep leaves for machines: JSON for whoever merges shards or draws curves, JUnit for CI.

use super::super::terminal;
use super::SweepArgs;
use crate::capsule::write_whole;
use crate::report::Verdict;
use crate::sweep::{Row, Sweep, Swept};
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};
use serde::Serialize;
use serde::ser::{SerializeSeq, Serializer};
use std::path::Path;
use std::time::Duration;

/// Failing seeds that a test case names.
const NAMED: usize = 20;

/// What there is to write.
pub(super) struct Sheet<'a> {
    pub(super) args: &'a SweepArgs,
    pub(super) sweep: &'a Sweep<'a>,
    pub(super) swept: &'a Swept,
    /// Where the capsule of each group is.
    pub(super) capsules: &'a [Option<String>],
    pub(super) wall_s: f64,
}

#[derive(Serialize)]
struct Json<'a> {
    seeds: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    shard: Option<String>,
    wall_s: f64,
    /// Not everything was run.
    interrupted: bool,
    failures: Vec<Failure<'a>>,
    runs: Runs<'a>,
}

#[derive(Serialize)]
struct Failure<'a> {
    signature: &'a str,
    count: u64,
    scenario: &'a str,
    first_seed: u64,
    capsule: Option<&'a str>,
    replay: &'a str,
}

/// The rows, turned into JSON one by one: a sweep may have millions.
struct Runs<'a>(&'a Sheet<'a>);

#[derive(Serialize)]
struct Run<'a> {
    scenario: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    arm: Option<&'a str>,
    seed: u64,
    bugs: &'a [String],
    verdict: Verdict,
    exit: u8,
    failed_checks: &'a [String],
    digest: String,
    cpu_s: f64,
}

impl Serialize for Runs<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Sheet { sweep, swept, .. } = self.0;
        let bugs: Vec<String> = sweep.bugs.iter().map(ToString::to_string).collect();
        let mut seq = serializer.serialize_seq(Some(swept.rows.len()))?;
        for row in &swept.rows {
            seq.serialize_element(&Run {
                scenario: sweep.files[row.scenario].name(),
                arm: sweep.arm,
                seed: row.seed,
                bugs: &bugs,
                verdict: row.verdict,
                exit: row.exit,
                failed_checks: &row.failed_checks,
                digest: format!("{:016x}", row.digest),
                cpu_s: row.cpu_s,
            })?;
        }
        seq.end()
    }
}

impl Sheet<'_> {
    /// Writes what was asked for. A file that cannot be written is a warning: the verdict is worth more.
    pub(super) fn write(&self) {
        if let Some(path) = &self.args.json {
            let mut text = serde_json::to_vec_pretty(&self.json()).expect("invariant: a sweep is plain data");
            text.push(b'\n');
            put(path, &text);
        }
        if let Some(path) = &self.args.junit {
            let mut text = Vec::new();
            match self.junit().serialize(&mut text) {
                Ok(()) => put(path, &text),
                Err(error) => terminal::warn(&format!("no JUnit report: {error}")),
            }
        }
    }

    fn json(&self) -> Json<'_> {
        let failures = self.swept.groups.iter().zip(self.capsules).map(|(group, capsule)| Failure {
            signature: &group.signature,
            count: group.count,
            scenario: self.sweep.files[group.first.1].name(),
            first_seed: group.first.2,
            capsule: capsule.as_deref(),
            replay: &group.replay,
        });
        Json {
            seeds: format!("{}..{}", self.sweep.seeds.start, self.sweep.seeds.end),
            shard: self.args.shard.map(|shard| format!("{}/{}", shard.index, shard.of)),
            wall_s: self.wall_s,
            interrupted: self.swept.interrupted,
            failures: failures.collect(),
            runs: Runs(self),
        }
    }

    /// A test case a scenario.
    fn junit(&self) -> Report {
        let mut suite = TestSuite::new("seedbed sweep");
        suite.set_time(seconds(self.wall_s));
        suite.add_property(("seeds", format!("{}..{}", self.sweep.seeds.start, self.sweep.seeds.end).as_str()));
        let bugs: Vec<String> = self.sweep.bugs.iter().map(ToString::to_string).collect();
        suite.add_property(("bugs", bugs.join(" ").as_str()));
        if self.swept.interrupted {
            suite.add_property(("interrupted", "true"));
        }
        let mut rows = self.swept.rows.as_slice();
        for (index, file) in self.sweep.files.iter().enumerate() {
            let end = rows.partition_point(|row| row.scenario <= index);
            let (own, rest) = rows.split_at(end);
            rows = rest;
            let mut case = TestCase::new(file.name(), self.status(own));
            case.set_classname(Path::new(file.file()).with_extension("").display().to_string().replace('/', "."));
            case.set_time(seconds(own.iter().map(|row| row.cpu_s).sum()));
            suite.add_test_case(case);
        }
        let mut report = Report::new("seedbed");
        report.set_time(seconds(self.wall_s));
        report.add_test_suite(suite);
        report
    }

    fn status(&self, rows: &[Row]) -> TestCaseStatus {
        if rows.is_empty() {
            return TestCaseStatus::skipped();
        }
        let failed: Vec<&Row> = rows.iter().filter(|row| row.exit != 0).collect();
        let Some(first) = failed.first() else { return TestCaseStatus::success() };
        // What the testbed itself broke, or could not decide, is not the store's failure.
        let is_error = failed.iter().all(|row| matches!(row.verdict, Verdict::Broken | Verdict::Undecided));
        let mut status =
            TestCaseStatus::non_success(if is_error { NonSuccessKind::Error } else { NonSuccessKind::Failure });
        let seeds: Vec<String> = failed.iter().take(NAMED).map(|row| row.seed.to_string()).collect();
        let more = if failed.len() > NAMED { ", …" } else { "" };
        let replay = first.replay.as_deref().unwrap_or_default();
        status.set_message(format!(
            "{} of {} seeds failed: {}{more}; replay: {replay}",
            failed.len(),
            rows.len(),
            seeds.join(", "),
        ));
        status.set_type(crate::story::word(first.verdict));
        let line = |row: &&Row| {
            let checks = row.failed_checks.join(", ");
            let replay = row.replay.as_deref().unwrap_or_default();
            format!("seed {}: exit {} {checks}\n  {replay}", row.seed, row.exit)
        };
        status.set_description(failed.iter().take(NAMED).map(line).collect::<Vec<_>>().join("\n"));
        status
    }
}

fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds.max(0.0))
}

fn put(path: &Path, text: &[u8]) {
    if let Err(error) = write_whole(path, text) {
        terminal::warn(&format!("{} could not be written: {error}", path.display()));
    }
}
