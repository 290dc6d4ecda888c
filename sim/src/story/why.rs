//! Why the leader changed: the causal chains that the judge walked, as paragraphs.

use super::Detail;
use super::paper::{BOLD, DIM, Paper, paint};
use super::words::{count, counted, figure, moment_s};
use crate::report::{LeaderChangeReport, Report};
use std::collections::BTreeMap;

/// Changes that are told one by one in the usual story; a short one tells the first.
const TOLD: usize = 3;

/// Writes a paragraph for each change, the later ones of many as a table by root cause.
pub(super) fn write(paper: &mut Paper, report: &Report, detail: Detail) {
    let changes = &report.leader_changes_detail;
    let told = match detail {
        Detail::Short => 1,
        Detail::Usual => TOLD,
        Detail::Full => changes.len(),
    };
    // One more is sooner told than announced.
    let told = if changes.len() == told + 1 { changes.len() } else { told.min(changes.len()) };
    let (first, rest) = changes.split_at(told);
    for change in first {
        paper.blank();
        paragraph(paper, change);
    }
    if !rest.is_empty() {
        paper.blank();
        by_root_cause(paper, rest);
    }
}

fn paragraph(paper: &mut Paper, change: &LeaderChangeReport) {
    let title = if change.from == change.to {
        format!("why {} had to be elected again at {}", change.to, moment_s(change.at))
    } else {
        format!("why the leader switched at {}", moment_s(change.at))
    };
    paper.paragraph("  ", "  ", &paint(BOLD, title));
    for (i, step) in change.cause.iter().enumerate() {
        let first = if i == 0 { "    ".to_owned() } else { format!("    {} ", paint(DIM, "→")) };
        paper.paragraph(&first, "      ", &step.text);
    }
    if change.cause.is_empty() {
        paper.paragraph("    ", "      ", "no chain of causes was found");
    }
    if !change.advice.is_empty() {
        paper.paragraph("    ", "    ", &paint(DIM, &change.advice));
    }
}

/// `4 × crash   leaderless 1.2 s in the median, 1.9 s at most   first at 12.345`
fn by_root_cause(paper: &mut Paper, changes: &[LeaderChangeReport]) {
    let title = format!("why the leader switched {} more, by root cause", times(changes.len()));
    paper.paragraph("  ", "  ", &paint(BOLD, title));
    let mut kinds: BTreeMap<&str, Vec<&LeaderChangeReport>> = BTreeMap::new();
    for change in changes {
        kinds.entry(change.cause.first().map_or("unknown", |step| step.kind)).or_default().push(change);
    }
    let mut kinds: Vec<_> = kinds.into_iter().collect();
    kinds.sort_by_key(|(kind, changes)| (std::cmp::Reverse(changes.len()), *kind));
    let row = |(kind, changes): &(&str, Vec<&LeaderChangeReport>)| {
        let mut leaderless: Vec<f64> = changes.iter().map(|change| change.leaderless_s).collect();
        leaderless.sort_by(f64::total_cmp);
        let (median, most) = (leaderless[(leaderless.len() - 1) / 2], leaderless[leaderless.len() - 1]);
        vec![
            format!("{} ×", count(changes.len() as u64)),
            (*kind).to_owned(),
            format!("without a leader for {} s (median), {} s (longest)", figure(median), figure(most)),
        ]
    };
    let rows: Vec<Vec<String>> = kinds.iter().map(row).collect();
    paper.table(4, &rows, &[true]);
    paper.paragraph("    ", "    ", &paint(DIM, "-v tells each of them"));
}

fn times(n: usize) -> String {
    counted(n as u64, "time", "times")
}
