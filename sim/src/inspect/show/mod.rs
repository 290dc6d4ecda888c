//! An [`Inspection`] as text for a person: it wraps at the paper's width, and lists keep a row a line.

mod lists;
mod log;
mod overview;
mod page;

use super::{Inspection, Rows};
use crate::story::paper::{BAD, BOLD, DIM, GOOD, Paper, WARN, paint};
use crate::story::words::{count, counted};

/// All that was found out.
pub fn text(seen: &Inspection, width: usize) -> String {
    let mut paper = Paper::new(width);
    paper.paragraph("", "  ", &format!("{} · {}", paint(BOLD, &seen.path), seen.kind.words()));
    if let Some(holder) = &seen.held_by {
        let text = format!("{holder} holds a lock on the database: what is told here may change while it is read");
        paper.paragraph("", "  ", &paint(WARN, text));
    }
    paper.blank();
    sections(&mut paper, seen, width);
    findings(&mut paper, seen);
    paper.into_text()
}

/// Writes one part.
type Part<'a> = Box<dyn Fn(&mut Paper) + 'a>;

/// What was asked for, one part after another; the overview if nothing was.
fn sections(paper: &mut Paper, seen: &Inspection, width: usize) {
    let mut parts: Vec<Part<'_>> = Vec::new();
    if let Some(keys) = &seen.keys {
        parts.push(Box::new(|paper| lists::keys(paper, keys)));
    }
    if let Some(pairs) = &seen.pairs {
        parts.push(Box::new(|paper| lists::pairs(paper, pairs)));
    }
    if let Some(freelist) = &seen.freelist {
        parts.push(Box::new(|paper| lists::freelist(paper, freelist)));
    }
    if let Some(pages) = &seen.pages {
        parts.push(Box::new(move |paper| lists::pages(paper, pages, width)));
    }
    if let Some(page) = &seen.page {
        parts.push(Box::new(move |paper| page::page(paper, page, width)));
    }
    if let Some(hashes) = &seen.hashes {
        parts.push(Box::new(|paper| lists::hashes(paper, hashes)));
    }
    if let Some(checked) = &seen.check {
        parts.push(Box::new(|paper| lists::checked(paper, checked)));
    }
    if let Some(records) = &seen.records {
        parts.push(Box::new(|paper| log::records(paper, records)));
    }
    if parts.is_empty() {
        overview::write(paper, seen);
    }
    for (number, part) in parts.iter().enumerate() {
        if number > 0 {
            paper.blank();
        }
        part(paper);
    }
}

/// What is wrong, at the end, where it is seen.
fn findings(paper: &mut Paper, seen: &Inspection) {
    if seen.findings.is_empty() {
        return;
    }
    paper.blank();
    let all = seen.findings.iter().map(|finding| finding.count).sum();
    let head = counted(all, "finding", "findings");
    paper.paragraph("", "", &paint(BAD, head));
    for finding in &seen.findings {
        let place = match (finding.file.as_str(), finding.offset) {
            ("", _) => String::new(),
            (file, None) => format!("{}: ", below(file, &seen.path)),
            (file, Some(offset)) => format!("{}: byte {offset}: ", below(file, &seen.path)),
        };
        let more = match finding.count - 1 {
            0 => String::new(),
            n => format!("; and {} of this kind on this page", counted(n, "more finding", "more findings")),
        };
        paper.paragraph(&format!("  {} ", paint(BAD, "✗")), "    ", &format!("{place}{}{more}", finding.text));
    }
}

/// A file's path below what was inspected.
fn below<'a>(file: &'a str, path: &str) -> &'a str {
    let rest = file.strip_prefix(path).map(|rest| rest.trim_start_matches('/'));
    rest.filter(|rest| !rest.is_empty()).unwrap_or(file)
}

/// How many rows there are, that some were left out, and how to see them. `what` is their noun: one, and many.
fn left_out<T>(paper: &mut Paper, rows: &Rows<T>, what: (&str, &str)) {
    let all = counted(rows.total, what.0, what.1);
    let text = match rows.left_out() {
        0 => all,
        _ => format!("{} of {all}; --limit N tells more (0: all)", count(rows.rows.len() as u64)),
    };
    paper.paragraph("  ", "  ", &paint(DIM, text));
}

/// A tick or a cross.
fn mark(good: bool) -> String {
    if good { paint(GOOD, "✓") } else { paint(BAD, "✗") }
}
