//! Arms side by side: a row an observation, a column an arm.

use super::paper::{BOLD, DIM, Paper, paint};
use super::words::figure;
use crate::report::{Report, Verdict};
use crate::scenario::Observation;

/// What the table calls an observation.
pub fn title(observation: &str) -> String {
    match observation {
        "leader_changes" => "leader switches".to_owned(),
        "leaderless_s" => "longest leaderless, in seconds".to_owned(),
        "leaderless_total_s" => "leaderless seconds".to_owned(),
        "final_term" => "term at the end".to_owned(),
        "slowest_s" => "slowest request, in seconds".to_owned(),
        "db_size_mib" => "database file at the end, in MiB".to_owned(),
        "db_size_max_mib" => "largest database file, in MiB".to_owned(),
        "db_in_use_mib" => "in use of it at the end, in MiB".to_owned(),
        "db_free_pages" => "free pages at the end".to_owned(),
        "db_pending_pages_max" => "most pages that waited for a reader".to_owned(),
        "freelist_work" => "free pages or runs looked at".to_owned(),
        "commit_ms" => "median commit, in ms".to_owned(),
        "commit_max_ms" => "longest commit, in ms".to_owned(),
        "defrag_max_ms" => "longest defrag, in ms".to_owned(),
        "snapshot_max_ms" => "longest snapshot transfer, in ms".to_owned(),
        "start_max_ms" => "longest load at start, in ms".to_owned(),
        other => other.replace('_', " "),
    }
}

/// Observations in the order in which a person wants them; others come after them.
const ORDER: &[&str] = &["leader_changes", "final_term", "leaderless_total_s", "leaderless_s", "campaigns"];

/// Writes the table. Rows whose figures are 0 in every arm are left out.
pub(super) fn write(paper: &mut Paper, report: &Report) {
    let arms = &report.arms;
    let mut names: Vec<&str> = arms.iter().flat_map(|arm| arm.observations.keys().copied()).collect();
    if report.columns.is_empty() {
        let of_the_database = |name: &&str| Observation::from_name(name).is_some_and(Observation::is_of_the_database);
        names.retain(|name| !of_the_database(name));
        names.sort_by_key(|name| (ORDER.iter().position(|known| known == name).unwrap_or(ORDER.len()), *name));
        names.dedup();
    } else {
        names = report.columns.clone();
    }
    let mut rows = vec![vec![paint(BOLD, &report.scenario)]];
    rows[0].extend(arms.iter().map(|arm| paint(BOLD, arm.arm.as_deref().unwrap_or("as it stands"))));
    for name in names {
        let figures: Vec<Option<f64>> = arms.iter().map(|arm| arm.observations.get(name).copied()).collect();
        let is_empty = figures.iter().all(|figure| figure.is_none_or(|figure| figure == 0.0));
        if is_empty && report.columns.is_empty() && !ORDER.contains(&name) {
            continue;
        }
        let cells = figures.into_iter().map(|seen| seen.map_or_else(|| "–".to_owned(), figure));
        rows.push(std::iter::once(title(name)).chain(cells).collect());
    }
    let verdicts = arms.iter().map(|arm| match arm.verdict {
        Verdict::Passed => "passed".to_owned(),
        verdict => format!("{} ({})", word(verdict), arm.exit),
    });
    rows.push(std::iter::once(paint(DIM, "verdict")).chain(verdicts).collect());
    let right = vec![true; arms.len() + 1];
    let right: Vec<bool> = right.into_iter().enumerate().map(|(i, is)| i > 0 && is).collect();
    paper.table(2, &rows, &right);
}

/// A verdict in one word, as JSON has it.
pub fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Passed => "passed",
        Verdict::Unsafe => "unsafe",
        Verdict::NoProgress => "no-progress",
        Verdict::Panicked => "panicked",
        Verdict::Unexpected => "unexpected",
        Verdict::Undecided => "undecided",
        Verdict::Broken => "broken",
    }
}
