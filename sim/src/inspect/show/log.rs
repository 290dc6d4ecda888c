//! The records of a log, a line each.

use super::left_out;
use crate::inspect::{RecordRow, Rows};
use crate::story::paper::{BOLD, DIM, Paper, paint};

/// A heading for each segment, a row for each record.
pub(super) fn records(paper: &mut Paper, records: &Rows<RecordRow>) {
    let mut is_first = true;
    for segment in records.rows.chunk_by(|a, b| a.file == b.file) {
        if !std::mem::take(&mut is_first) {
            paper.blank();
        }
        let name = segment[0].file.rsplit('/').next().unwrap_or_default();
        paper.paragraph("  ", "  ", &paint(BOLD, name));
        let mut rows = vec![["byte", "record", "index", "term", ""].map(|head| paint(DIM, head)).to_vec()];
        rows.extend(segment.iter().map(row));
        paper.table(2, &rows, &[true, false, true, true, false]);
    }
    paper.blank();
    left_out(paper, records, ("record", "records"));
}

fn row(record: &RecordRow) -> Vec<String> {
    let number = |n: Option<u64>| n.map_or(String::new(), |n| n.to_string());
    let kind = record.request.unwrap_or(record.kind);
    vec![record.offset.to_string(), kind.to_owned(), number(record.index), number(record.term), record.text.clone()]
}
