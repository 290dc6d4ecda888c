//! The story of a run: what a person reads on the terminal.
//!
//! ```text
//! seed 42 · leader-fsync-stall · 3 members, 5 clients · chapter 04      header, before anything runs
//!
//!     1.312  n2 leads    term 2, votes n1 n2                            timeline: the records, sifted
//!     4.100  fault       n2's disk: the next fsync takes 3 s
//!
//!   why the leader switched at 5.391                                    why: causal chains
//!     n2's WAL fsync took 3 s …
//!
//!   clients  2,000 requests · 1,981 ok                                  ending: figures, checks, verdict
//!   checks   ✓ raft (5,211 steps)
//!   passed   20 s simulated in 0.021 s of CPU …
//! ```
//!
//! A story is told from two things: the judge's [`Report`], which says why and how it ended, and the world's records, which
//! say what happened. It computes nothing that matters: whoever wants data takes `--json`.
//!
//! The whole text is written before it is printed, since a run has to be over before it can be judged, and a story
//! of a few kilobytes fits anywhere. It always has colours in it; the printer (`anstream`) takes them out where nobody
//! would see them. So a story is a function of its arguments, and its tests are comparisons of text.
//!
//! Left out: pagers, and drawings of the cluster.

mod arms;
mod ending;
mod faults;
pub mod paper;
mod timeline;
mod why;
pub mod words;

pub use arms::{title, word};
pub use ending::{Ending, quoted};

use crate::judge::Judged;
use crate::report::Report;
use crate::scenario::{Scenario, ScenarioFile};
use paper::{BAD, BOLD, DIM, LEAD, Paper, paint};
use timeline::{Row, Tone};

/// How much is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// One arm of several.
    Short,
    /// One run.
    Usual,
    /// Everything (`-v`).
    Full,
}

/// Rows of the timeline that are told from the beginning and from the end, when there are more; and of those between,
/// how many new leaders.
const fn bounds(detail: Detail) -> (usize, usize, usize) {
    match detail {
        Detail::Short => (12, 4, 4),
        Detail::Usual => (24, 10, 12),
        Detail::Full => (usize::MAX, 0, 0),
    }
}

/// The first line: everything that the run is made of. `arms` are those that will be run.
pub fn header(
    file: &ScenarioFile,
    scenario: &Scenario,
    seed: u64,
    arms: &[&str],
    bugs: &[String],
    width: usize,
) -> String {
    let mut parts = vec![paint(BOLD, format!("seed {seed}")), file.name().to_owned()];
    match arms {
        [] => {}
        [one] => parts.push(format!("arm {one}")),
        several => parts.push(format!("{} arms", several.len())),
    }
    let clients = scenario.workloads.iter().map(|workload| u64::from(workload.clients)).sum();
    let members = words::counted(u64::from(scenario.cluster.members), "member", "members");
    parts.push(format!("{members}, {}", words::counted(clients, "client", "clients")));
    if !file.chapter().is_empty() {
        parts.push(format!("chapter {}", file.chapter()));
    }
    if !bugs.is_empty() {
        parts.push(paint(BAD, format!("bugs: {}", bugs.join(", "))));
    }
    let mut paper = Paper::new(width);
    paper.paragraph("", "  ", &parts.join(" · "));
    paper.into_text()
}

/// The heading of an arm, when several are told.
pub fn arm_heading(arm: &str, width: usize) -> String {
    let mut paper = Paper::new(width);
    paper.blank();
    paper.paragraph("  ", "  ", &paint(BOLD, format!("arm {arm}")));
    paper.into_text()
}

/// What happened and why, to the figures.
pub fn body(judged: &Judged, detail: Detail, width: usize) -> String {
    let mut paper = Paper::new(width);
    if let Some(outcome) = &judged.outcome {
        paper.blank();
        let rows = timeline::rows(&judged.scenario, judged.report.seed, outcome, detail == Detail::Full);
        write_rows(&mut paper, &rows, detail);
    }
    why::write(&mut paper, &judged.report, detail);
    paper.blank();
    if detail == Detail::Short {
        ending::short_figures(&mut paper, &judged.report);
    } else {
        ending::figures(&mut paper, &judged.report);
        ending::failures(&mut paper, &judged.report);
    }
    paper.into_text()
}

/// The verdict and what comes next. With several arms, their table comes first.
pub fn ending(report: &Report, ending: &Ending, width: usize) -> String {
    let mut paper = Paper::new(width);
    if !report.arms.is_empty() {
        paper.blank();
        arms::write(&mut paper, report);
        paper.blank();
    }
    ending::write(&mut paper, report, ending);
    paper.into_text()
}

fn write_rows(paper: &mut Paper, rows: &[Row], detail: Detail) {
    let mut lines = Vec::new();
    let mut left_out = 0;
    for (row, told) in rows.iter().zip(told(rows, detail)) {
        if told {
            lines.extend(gap(&mut left_out));
            lines.push(cells(row));
        } else {
            left_out += 1;
        }
    }
    paper.table(4, &lines, &[true]);
}

/// Which rows are told: all if they are few, else the first, the last, and the leaders between.
fn told(rows: &[Row], detail: Detail) -> Vec<bool> {
    let (first, last, mut leaders) = bounds(detail);
    // Leaving out less than a handful saves nothing.
    let few = rows.len() <= first.saturating_add(last).saturating_add(4);
    let end = rows.len().saturating_sub(last);
    let is_told = |(at, row): (usize, &Row)| {
        let is_leader = row.tone == Tone::Leader && leaders > 0 && at >= first && at < end;
        leaders -= usize::from(is_leader);
        few || at < first || at >= end || is_leader
    };
    rows.iter().enumerate().map(is_told).collect()
}

/// The line that stands for those left out.
fn gap(left_out: &mut usize) -> Option<Vec<String>> {
    let n = std::mem::take(left_out) as u64;
    let note = format!("{} left out; -v tells all", words::counted(n, "line", "lines"));
    (n > 0).then(|| vec![paint(DIM, "…"), String::new(), paint(DIM, note)])
}

fn cells(row: &Row) -> Vec<String> {
    let what = match row.tone {
        Tone::Leader => paint(LEAD, &row.what),
        Tone::Fault => paint(paper::WARN, &row.what),
        Tone::Plain => row.what.clone(),
    };
    vec![paint(DIM, words::moment(row.at)), what, row.detail.clone()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_timeline_keeps_its_ends_and_its_leaders() {
        let row = |at, tone| Row { at, what: String::new(), detail: String::new(), tone };
        let mut rows: Vec<Row> = (0..200).map(|at| row(at, Tone::Fault)).collect();
        rows[100].tone = Tone::Leader;
        let told_of = |rows: &[Row], detail| told(rows, detail).iter().filter(|told| **told).count();
        assert_eq!(told_of(&rows, Detail::Full), 200);
        assert_eq!(told_of(&rows, Detail::Usual), 24 + 10 + 1);
        assert_eq!(told_of(&rows, Detail::Short), 12 + 4 + 1);
        assert!(told(&rows, Detail::Short)[100], "a new leader is told");
        assert_eq!(told_of(&rows[..38], Detail::Usual), 38, "a few lines more are told");
        let mut paper = Paper::new(80);
        write_rows(&mut paper, &rows, Detail::Usual);
        let text = paper.into_text();
        assert_eq!(text.matches("left out").count(), 2, "before and after the leader: {text}");
    }
}
