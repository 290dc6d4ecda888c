//! How a run ended: clients, checks, expectations, the verdict, and what to do next.

use super::paper::{BAD, BOLD, DIM, GOOD, Paper, WARN, paint};
use super::words::{count, counted, figure};
use crate::report::{CheckReport, CheckResult, ExpectationReport, FailureReport, Report, Verdict};

/// What stands at the end of a story beside the report.
#[derive(Clone, Debug, Default)]
pub struct Ending {
    /// The largest memory that the process held, in MiB, if known.
    pub peak_mib: Option<f64>,
    /// The capsule that was written.
    pub capsule: Option<String>,
    /// The plots that were drawn.
    pub plots: Vec<String>,
    /// The command that runs this again; the report's own if `None`.
    pub replay: Option<String>,
    /// The chapter of the book that the scenario belongs to; empty when to none.
    pub chapter: String,
}

/// Clients, checks and expectations.
pub(super) fn figures(paper: &mut Paper, report: &Report) {
    clients(paper, report);
    if !report.checks.is_empty() {
        let checks: Vec<String> = report.checks.iter().map(|one| check(one, report.verdict)).collect();
        paper.items("checks", &checks);
    }
    expectations(paper, report);
}

/// The same for one arm of several: only what did not hold is told of the checks.
pub(super) fn short_figures(paper: &mut Paper, report: &Report) {
    clients(paper, report);
    let (held, rest): (Vec<_>, Vec<_>) = report.checks.iter().partition(|check| check.result == CheckResult::Passed);
    let mut items = Vec::new();
    if !held.is_empty() {
        let names: Vec<&str> = held.iter().map(|check| check.name.as_str()).collect();
        items.push(format!("{} {}", paint(GOOD, "✓"), names.join(", ")));
    }
    items.extend(rest.into_iter().map(|one| check(one, report.verdict)));
    if !items.is_empty() {
        paper.items("checks", &items);
    }
    expectations(paper, report);
    failures(paper, report);
}

fn clients(paper: &mut Paper, report: &Report) {
    let clients = &report.clients;
    let mut parts = vec![counted(clients.requests, "request", "requests"), format!("{} ok", count(clients.ok))];
    let mut add = |n: u64, what: &str| {
        if n > 0 {
            parts.push(format!("{} {what}", count(n)));
        }
    };
    add(clients.unknown, "unknown (never answered)");
    add(clients.failed, "failed");
    add(clients.retried, "retried elsewhere");
    if clients.ok > 0 {
        parts.push(format!("median {}", time(clients.median_s)));
        parts.push(format!("slowest {}", time(clients.slowest_s)));
    }
    paper.labelled("clients", DIM, &parts.join(" · "));
}

/// A latency: `2.31 s`, `1.5 ms`.
fn time(seconds: f64) -> String {
    if seconds >= 1.0 {
        format!("{seconds:.2} s")
    } else {
        format!("{} ms", figure((seconds * 10_000.0).round() / 10.0))
    }
}

fn check(check: &CheckReport, verdict: Verdict) -> String {
    let (mark, note) = match check.result {
        CheckResult::Passed => (paint(GOOD, "✓"), ""),
        // A scenario may ask for a violation; then it is no bad news.
        CheckResult::Failed if verdict == Verdict::Passed => (paint(GOOD, "✗"), "as expected"),
        CheckResult::Failed => (paint(BAD, "✗"), ""),
        CheckResult::Undecided => (paint(WARN, "?"), ""),
        CheckResult::BeyondTolerance => (paint(WARN, "~"), "fails, beyond tolerance"),
    };
    let notes: Vec<&str> = [note, check.detail.as_str()].into_iter().filter(|note| !note.is_empty()).collect();
    match notes.as_slice() {
        [] => format!("{mark} {}", check.name),
        notes => format!("{mark} {} ({})", check.name, notes.join("; ")),
    }
}

fn expectations(paper: &mut Paper, report: &Report) {
    if !report.expectations.is_empty() {
        let items: Vec<String> = report.expectations.iter().map(expectation).collect();
        paper.items("expect", &items);
    }
}

fn expectation(expectation: &ExpectationReport) -> String {
    let mark = if expectation.met { paint(GOOD, "✓") } else { paint(BAD, "✗") };
    format!("{mark} {} (was {})", expectation.expected, expectation.seen)
}

/// What failed, with the operations that show it.
pub(super) fn failures(paper: &mut Paper, report: &Report) {
    let code = format!("(exit {})", report.exit);
    let mut code = code.as_str();
    let (label, style) = match report.verdict {
        Verdict::Passed => ("expected", GOOD),
        Verdict::Undecided => ("UNDECIDED", WARN),
        Verdict::Broken => ("BROKEN", BAD),
        _ => ("FAILED", BAD),
    };
    if report.verdict == Verdict::Passed {
        code = "";
    }
    for failure in &report.failures {
        let FailureReport { check, text, operations } = failure;
        // Raft's invariants have names of their own below one line.
        let is_of = |line: &CheckReport| line.name == *check || line.name == "raft" && check.starts_with("raft-");
        if report.checks.iter().any(|line| is_of(line) && line.result == CheckResult::BeyondTolerance) {
            // No failure of the cluster's: the faults were more than it can stand, and this is what they cost.
            paper.labelled("cost", WARN, &format!("beyond tolerance: {text}   ({check})"));
        } else {
            paper.labelled(label, style, format!("{check}: {text}   {code}").trim_end());
            code = "";
        }
        for operation in operations {
            paper.paragraph("    ", "      ", &align_blame(operation));
        }
    }
    for missed in report.expectations.iter().filter(|expectation| !expectation.met) {
        let text = format!("expected {}, was {}   {code}", missed.expected, missed.seen);
        paper.labelled(label, style, text.trim_end());
        code = "";
    }
    if !code.is_empty() && report.verdict != Verdict::Passed {
        let text = match report.verdict {
            Verdict::Undecided => {
                let which = report.checks.iter().find(|check| check.result == CheckResult::Undecided);
                let which = which.map(|check| format!("{}: {}; ", check.name, check.detail)).unwrap_or_default();
                format!("{which}more budget may decide it: [check] budget_steps, budget_mib   {code}")
            }
            Verdict::Broken => format!("Seedbed itself failed; this is a defect of the testbed   {code}"),
            _ => format!("{}   {code}", report.failed_checks.join(", ")),
        };
        paper.labelled(label, style, &text);
    }
    if report.exit != 0 && !report.bugs.is_empty() {
        paper.labelled("bugs on", DIM, &report.bugs.join(", "));
    }
}

/// What is wrong with an operation stands out.
fn align_blame(operation: &str) -> String {
    match operation.split_once('←') {
        Some((line, blame)) => format!("{line}{}", paint(WARN, format!("←{blame}"))),
        None => operation.to_owned(),
    }
}

/// The verdict, the digest and what comes next.
pub(super) fn write(paper: &mut Paper, report: &Report, ending: &Ending) {
    let cost = cost(report, ending.peak_mib);
    if report.exit == 0 {
        paper.labelled("passed", GOOD, &cost);
    } else {
        paper.labelled("ran", DIM, &cost);
        if !ending.chapter.is_empty() {
            paper.labelled("chapter", DIM, &ending.chapter);
        }
        if let Some(signature) = &report.signature {
            paper.labelled("kind", DIM, signature);
        }
    }
    paper.labelled_unbroken("digest", &format!("{:016x}", report.digest));
    ending.plots.iter().for_each(|plot| paper.labelled_unbroken("plot", plot));
    let replay = ending.replay.as_ref().unwrap_or(&report.replay);
    match &ending.capsule {
        Some(capsule) => {
            paper.labelled_unbroken("capsule", &paint(BOLD, capsule));
            paper.labelled_unbroken("replay", &format!("seedbed replay {}", quoted(capsule)));
            paper.labelled_unbroken("or", replay);
        }
        None => paper.labelled_unbroken("replay", replay),
    }
}

fn cost(report: &Report, peak_mib: Option<f64>) -> String {
    let mut text = format!("{} s simulated in {:.3} s of CPU", figure(report.simulated_s), report.cpu_s);
    if report.cpu_s > 0.0 && report.events > 0 {
        let times = (report.simulated_s / report.cpu_s).round() as u64;
        let each = (report.cpu_s * 1e9 / report.events as f64).round() as u64;
        text += &format!(" ({} ×), {} ns an event", count(times), count(each));
    }
    if let Some(mib) = peak_mib {
        text += &format!(", {} MiB", mib.round());
    }
    text
}

/// A path as a shell takes it.
pub fn quoted(path: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "/._-+,:@%=".contains(c);
    if !path.is_empty() && path.chars().all(plain) {
        return path.to_owned();
    }
    format!("'{}'", path.replace('\'', r"'\''"))
}
