//! Lists: keys, pairs, free pages, the page map, hashes.

use super::{left_out, mark};
use crate::inspect::words::shown;
use crate::inspect::{Checked, Freelist, HashAnswer, Hashes, KeyRow, PageMap, PairRow, Rows};
use crate::story::paper::{BOLD, DIM, Paper, WARN, paint};
use crate::story::words::{count, counted};

/// Characters of a key or value that are shown in a column.
const SHOWN: usize = 32;
/// Pages in a group of a map.
const GROUP: usize = 16;

/// Changes of keys, by revision.
pub(super) fn keys(paper: &mut Paper, keys: &Rows<KeyRow>) {
    let head = ["revision", "version", "created", "lease", "key", "value"];
    let mut rows = vec![head.map(|cell| paint(DIM, cell)).to_vec()];
    rows.extend(keys.rows.iter().map(|row| {
        // A change's place in its transaction is told where there are several.
        let revision = if row.sub == 0 { row.revision.to_string() } else { format!("{}.{}", row.revision, row.sub) };
        let key = shown(&row.key.0, SHOWN);
        if row.tombstone {
            let blank = String::new;
            return vec![revision, blank(), blank(), blank(), key, paint(WARN, "deleted")];
        }
        let lease = row.lease.clone().unwrap_or_default();
        let (version, created) = (row.version.to_string(), row.create_revision.to_string());
        vec![revision, version, created, lease, key, shown(&row.value.0, SHOWN)]
    }));
    paper.table(2, &rows, &[true, true, true, true, false, false]);
    paper.blank();
    left_out(paper, keys, ("change", "changes"));
}

/// A bucket's pairs.
pub(super) fn pairs(paper: &mut Paper, pairs: &Rows<PairRow>) {
    for row in &pairs.rows {
        paper.paragraph("  ", "    ", &row.text);
    }
    if !pairs.rows.is_empty() {
        paper.blank();
    }
    left_out(paper, pairs, ("pair", "pairs"));
}

/// The numbers of the free pages, neighbours together.
pub(super) fn freelist(paper: &mut Paper, freelist: &Freelist) {
    let whence = match freelist.page {
        Some(page) => format!("as page {page} has them"),
        None => "the file keeps no freelist: these are the pages that no tree reaches".to_owned(),
    };
    paper.paragraph("  ", "  ", &paint(DIM, whence));
    let runs: Vec<String> = freelist
        .pages
        .rows
        .chunk_by(|a, b| a + 1 == *b)
        .map(|run| match run {
            [one] => one.to_string(),
            _ => format!("{}-{}", run[0], run[run.len() - 1]),
        })
        .collect();
    if !runs.is_empty() {
        paper.paragraph("  ", "  ", &runs.join(" "));
    }
    left_out(paper, &freelist.pages, ("free page", "free pages"));
}

/// The map, its legend, and the runs.
pub(super) fn pages(paper: &mut Paper, map: &PageMap, width: usize) {
    let digits = map.letters.len().to_string().len().max(4);
    // Groups of pages with a blank between, as many as there is room for; always a power of two, so that rows compare.
    let room = (width.min(80).saturating_sub(digits + 4) + 1) / (GROUP + 1);
    let groups = if room >= 4 { 4 } else { room.clamp(1, 2) };
    let letters: Vec<char> = map.letters.chars().collect();
    let in_row = groups * GROUP;
    let rows = letters.chunks(in_row).enumerate().skip(map.runs.from as usize / in_row);
    let limit = usize::try_from(map.runs.limit).unwrap_or(usize::MAX);
    for (number, row) in rows.take(limit) {
        let groups: Vec<String> = row.chunks(GROUP).map(|group| group.iter().collect()).collect();
        let page = paint(DIM, format!("{:>digits$}", number * in_row));
        paper.unbroken(&format!("  {page}  {}", groups.join(" ")));
    }
    paper.blank();
    let legend: Vec<String> = map
        .legend
        .iter()
        .map(|letter| format!("{} {} ({})", paint(BOLD, letter.letter), letter.meaning, count(letter.pages)))
        .collect();
    paper.items("legend", &legend);
    paper.blank();
    runs(paper, map);
}

fn runs(paper: &mut Paper, map: &PageMap) {
    let head = ["pages", "", "bucket", "elements", "overflow"];
    let mut rows = vec![head.map(|cell| paint(DIM, cell)).to_vec()];
    rows.extend(map.runs.rows.iter().map(|run| {
        let last = run.first + run.pages - 1;
        let pages = if last == run.first { run.first.to_string() } else { format!("{}-{last}", run.first) };
        let bucket = match run.bucket.as_deref() {
            None => String::new(),
            Some("") => "(the tree of buckets)".to_owned(),
            Some(name) => name.to_owned(),
        };
        let number = |n: u64| if n == 0 { String::new() } else { count(n) };
        vec![pages, run.kind.to_owned(), bucket, number(run.elements), number(run.overflow)]
    }));
    paper.table_unbroken(2, &rows, &[true, false, false, true, true]);
    paper.blank();
    left_out(paper, &map.runs, ("run", "runs"));
}

/// HashKV, and Hash.
pub(super) fn hashes(paper: &mut Paper, hashes: &Hashes) {
    let head = ["revision", "hash", "hexadecimal", "compacted to"];
    let mut rows = vec![head.map(|cell| paint(DIM, cell)).to_vec()];
    rows.extend(hashes.revisions.iter().map(|row| {
        let revision = row.revision.to_string();
        match &row.answer {
            HashAnswer::Hash { hash, compact_revision: -1 } => {
                vec![revision, hash.to_string(), format!("{hash:08x}"), "never".to_owned()]
            }
            HashAnswer::Hash { hash, compact_revision } => {
                vec![revision, hash.to_string(), format!("{hash:08x}"), compact_revision.to_string()]
            }
            HashAnswer::Refused { refused } => {
                let none = || "-".to_owned();
                vec![revision, none(), none(), none(), paint(WARN, refused)]
            }
        }
    }));
    paper.table(2, &rows, &[true, true, false, true]);
    paper.blank();
    let rows = [
        ("all buckets", hashes.hash, "as Maintenance.Hash: without the consistent index"),
        ("with it", hashes.snapshot_status, "as `etcdctl snapshot status`"),
    ];
    let rows =
        rows.map(|(what, hash, of)| vec![what.to_owned(), hash.to_string(), format!("{hash:08x}"), of.to_owned()]);
    paper.table(2, &rows, &[false, true, false, false]);
}

/// What the check went over.
pub(super) fn checked(paper: &mut Paper, checked: &Checked) {
    let pages = counted(checked.pages, "page", "pages");
    let text = match (checked.ok, checked.free) {
        (true, Some(free)) => format!("{pages}: each is reached once, or among the {} of the freelist", count(free)),
        (true, None) => {
            format!("{pages}: none is reached twice; the file keeps no freelist to compare the others with")
        }
        (false, _) => format!("{pages}; what is wrong is told below"),
    };
    let text = format!("{} {text}", mark(checked.ok));
    paper.labelled("check", DIM, &text);
}
