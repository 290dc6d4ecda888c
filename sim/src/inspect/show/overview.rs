//! The overview: each part in a few lines, and whether they fit together.

use super::{below, mark};
use crate::inspect::snap_file::Image;
use crate::inspect::{DbReport, DbState, FitReport, Inspection, LogReport, SnapReport};
use crate::story::paper::{BAD, DIM, Paper, WARN, paint};
use crate::story::words::{bytes, count, counted};
use std::collections::BTreeMap;

/// Snapshots that are told one by one.
const SNAPSHOTS: usize = 5;

pub(super) fn write(paper: &mut Paper, seen: &Inspection) {
    let mut is_first = true;
    let mut between = |paper: &mut Paper| {
        if !std::mem::take(&mut is_first) {
            paper.blank();
        }
    };
    if let Some(db) = &seen.db {
        between(paper);
        write_db(paper, db, &seen.path);
    }
    if let Some(log) = &seen.log {
        between(paper);
        write_log(paper, log, &seen.path);
    }
    if !seen.snapshots.is_empty() {
        between(paper);
        snapshots(paper, &seen.snapshots);
    }
    if !seen.others.is_empty() {
        between(paper);
        let names: Vec<&str> = seen.others.iter().map(|file| below(file, &seen.path)).collect();
        paper.labelled("others", DIM, &names.join(", "));
    }
    if let Some(fit) = &seen.fit {
        between(paper);
        fits(paper, fit);
    }
}

fn write_db(paper: &mut Paper, db: &DbReport, path: &str) {
    let name = below(&db.file, path);
    let name = if name == db.file { String::new() } else { format!("{name} · ") };
    let Some(state) = &db.state else {
        paper.labelled("database", BAD, &format!("{name}{}, cannot be read", bytes(db.bytes)));
        metas(paper, db);
        return;
    };
    let free = match state.freelist_length {
        None => format!("{} free (the file keeps no freelist: found by reading every tree)", count(state.free_pages)),
        Some(n) => format!("{} free ({} on the freelist)", count(state.free_pages), count(n)),
    };
    let size = format!("{} in the file, {} in use", bytes(db.bytes), bytes(state.in_use_bytes));
    let pages = format!("{} of {} bytes, {free}", counted(state.pages, "page", "pages"), count(state.page_size));
    paper.labelled("database", DIM, &format!("{name}{size}; {pages}"));
    metas(paper, db);
    if let Some(sha) = &db.sha256 {
        let fits = sha.stored == sha.computed;
        let text = if fits { "the hash at its end fits it" } else { "the hash at its end does not fit it" };
        paper.labelled("sha-256", DIM, &format!("{} {text}", mark(fits)));
    }
    let index = match (state.consistent_index, state.term) {
        (None, _) => "no consistent index".to_owned(),
        (Some(index), None) => format!("consistent index {index}"),
        (Some(index), Some(term)) => format!("consistent index {index} of term {term}"),
    };
    let compacted = match (state.finished_compact_revision, state.scheduled_compact_revision) {
        (None, None) => "never compacted".to_owned(),
        (finished, Some(begun)) if finished != Some(begun) => {
            format!("a compaction to {begun} was begun and not finished")
        }
        (Some(to), _) | (None, Some(to)) => format!("compacted to {to}"),
    };
    paper.labelled("applied", DIM, &format!("{index}; revision {}, {compacted}", state.revision));
    if state.cluster_version.is_some() || !state.members.is_empty() {
        let version = state.cluster_version.as_deref().unwrap_or("not set");
        paper.labelled("cluster", DIM, &format!("version {version}"));
        state.members.iter().for_each(|member| paper.labelled("", DIM, &member.words()));
        if !state.removed.is_empty() {
            paper.labelled("", DIM, &format!("removed: {}", state.removed.join(", ")));
        }
    }
    buckets(paper, state);
}

fn metas(paper: &mut Paper, db: &DbReport) {
    let rows: Vec<Vec<String>> = db
        .metas
        .iter()
        .map(|meta| {
            let text = match (&meta.says, &meta.fault) {
                (Some(says), _) => {
                    let freelist = says.freelist.map_or("none".to_owned(), |page| format!("page {page}"));
                    let high = says.high_water;
                    let force = if meta.in_force { " ← in force" } else { "" };
                    format!("txid {}, root {}, freelist {freelist}, high-water {high}{force}", says.txid, says.root)
                }
                (None, fault) => fault.clone().unwrap_or_default(),
            };
            vec![format!("page {}", meta.page), mark(meta.fault.is_none()), text]
        })
        .collect();
    paper.labelled("metas", DIM, "two pages, written in turn; each with a checksum");
    paper.table(11, &rows, &[]);
}

fn buckets(paper: &mut Paper, state: &DbState) {
    let head = ["bucket", "root", "depth", "branches", "leaves", "overflow", "pairs", "bytes"];
    let mut rows = vec![head.map(|cell| paint(DIM, cell)).to_vec()];
    rows.extend(state.buckets.iter().map(|bucket| {
        let root = if bucket.root == 0 { "inline".to_owned() } else { bucket.root.to_string() };
        let numbers = [bucket.branch_pages, bucket.leaf_pages, bucket.overflow_pages, bucket.pairs, bucket.bytes];
        let mut row = vec![bucket.name.clone(), root, bucket.depth.to_string()];
        row.extend(numbers.map(count));
        row
    }));
    paper.table_unbroken(2, &rows, &[false, true, true, true, true, true, true, true]);
}

fn write_log(paper: &mut Paper, log: &LogReport, path: &str) {
    let whose = match (&log.member, &log.cluster) {
        (Some(member), Some(cluster)) => format!("of member {member} in cluster {cluster}"),
        _ => "of nobody".to_owned(),
    };
    let segments = counted(log.segments.len() as u64, "segment", "segments");
    paper.labelled("log", DIM, &format!("{segments}, {whose}"));
    let head = ["segment", "size", "records", "entries"];
    let mut rows = vec![head.map(|cell| paint(DIM, cell)).to_vec()];
    rows.extend(log.segments.iter().map(|segment| {
        let name = base(&segment.file).to_owned();
        vec![name, bytes(segment.bytes), count(segment.records), count(segment.entries)]
    }));
    paper.table_unbroken(4, &rows, &[false, true, true, true]);
    if let (Some(first), Some(last), Some(term)) = (log.first_index, log.last_index, log.last_term) {
        let replaced = match log.replaced {
            0 => String::new(),
            n => format!(", {n} replaced by later ones"),
        };
        paper.labelled("entries", DIM, &format!("{first} to {last} (term {term}){replaced}: {}", sum(&log.by_request)));
    }
    match &log.hard_state {
        None => paper.labelled("state", DIM, "none: nobody voted, nothing is committed"),
        Some(state) => {
            let vote = if state.vote == "0" { "for nobody".to_owned() } else { format!("for {}", state.vote) };
            paper.labelled("state", DIM, &format!("term {}, vote {vote}, commit {}", state.term, state.commit));
        }
    }
    paper.labelled("records", DIM, &format!("{}: {}", count(log.records), sum(&log.by_type)));
    if let Some(torn) = &log.torn {
        let what =
            format!("{} bytes from byte {} of {}: {}", torn.bytes, torn.offset, below(&torn.file, path), torn.reason);
        paper.labelled("torn", WARN, &format!("{what}. A crash cut a write short; it was never acknowledged"));
    }
}

/// `12 put, 3 txn`, the most frequent first.
fn sum(counts: &BTreeMap<&'static str, u64>) -> String {
    let mut counts: Vec<_> = counts.iter().collect();
    counts.sort_by_key(|(name, n)| (std::cmp::Reverse(**n), **name));
    counts.into_iter().map(|(name, n)| format!("{} {name}", count(*n))).collect::<Vec<_>>().join(", ")
}

fn snapshots(paper: &mut Paper, snapshots: &[SnapReport]) {
    let files = counted(snapshots.len() as u64, "Raft snapshot", "Raft snapshots");
    paper.labelled(".snap", DIM, &format!("{files}, newest first"));
    for snap in snapshots.iter().take(SNAPSHOTS) {
        paper.labelled("", DIM, &words(snap));
    }
    if snapshots.len() > SNAPSHOTS {
        paper.labelled("", DIM, &format!("and {} older ones", snapshots.len() - SNAPSHOTS));
    }
    let Some(newest) = snapshots.iter().find(|snap| snap.image == Image::V2Json) else { return };
    let version = newest.cluster_version.as_deref().unwrap_or("not set");
    paper.labelled("v2 store", DIM, &format!("of the newest: cluster version {version}"));
    for member in &newest.members {
        paper.labelled("", DIM, &member.words());
    }
    if !newest.removed.is_empty() {
        paper.labelled("", DIM, &format!("removed: {}", newest.removed.join(", ")));
    }
}

/// A snapshot in a line. Its name is its term and index again.
fn words(snap: &SnapReport) -> String {
    let (Some(index), Some(term)) = (snap.index, snap.term) else {
        return format!("{}, damaged, see below", base(&snap.file));
    };
    let learners =
        if snap.learners.is_empty() { String::new() } else { format!(", learners {}", snap.learners.join(" ")) };
    let image = match snap.image {
        Image::Empty => "no image".to_owned(),
        Image::V2Json => format!("v2 store of {}", bytes(snap.image_bytes)),
        Image::Other | Image::Unreadable => format!("an image of another kind, {}", bytes(snap.image_bytes)),
    };
    format!("index {index}, term {term}, voters {}{learners}; {image}", snap.voters.join(" "))
}

/// A file's name without its folders.
fn base(file: &str) -> &str {
    file.rsplit('/').next().unwrap_or(file)
}

fn fits(paper: &mut Paper, fit: &FitReport) {
    let mut label = "fit";
    for (number, text) in fit.text.iter().enumerate() {
        let text = if number == 0 { format!("{} {text}", mark(fit.starts)) } else { format!("  {text}") };
        let first = format!("  {}{}", paint(if fit.starts { DIM } else { BAD }, label), " ".repeat(9 - label.len()));
        paper.paragraph(&first, &" ".repeat(13), &text);
        label = "";
    }
}
