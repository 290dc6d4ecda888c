//! A load's result as data, and as a table.

use crate::story::paper::{BAD, BOLD, DIM, Paper, paint};
use crate::story::words::count;
use serde::Serialize;
use std::collections::BTreeMap;

/// What came of a load.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Whom it was for.
    pub endpoints: Vec<String>,
    /// Requests under way at once.
    pub clients: usize,
    /// Connections.
    pub connections: usize,
    /// Requests a second that were due; none in a closed loop.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<u64>,
    /// From the first request to the last answer.
    pub seconds: f64,
    /// Answers.
    pub rows: Vec<Row>,
    /// What else came instead of answers, and how often.
    pub errors: BTreeMap<String, u64>,
}

/// Answers of one kind. Times are milliseconds.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// The kind.
    pub name: String,
    /// How many.
    pub count: u64,
    /// In a second.
    pub per_second: f64,
    /// The mean.
    pub mean_ms: f64,
    /// Half of them took no longer.
    pub p50_ms: f64,
    /// Nine of ten.
    pub p90_ms: f64,
    /// 99 of a hundred.
    pub p99_ms: f64,
    /// 999 of a thousand.
    pub p999_ms: f64,
    /// The longest.
    pub max_ms: f64,
}

impl Report {
    /// The table.
    pub fn text(&self, width: usize) -> String {
        let mut paper = Paper::new(width);
        let heads = ["", "answers", "a second", "p50 ms", "p90", "p99", "p99.9", "max"];
        let mut rows = vec![heads.map(|head| paint(DIM, head)).to_vec()];
        for row in &self.rows {
            let mut cells = vec![paint(BOLD, &row.name), count(row.count), count(row.per_second.round() as u64)];
            cells.extend([row.p50_ms, row.p90_ms, row.p99_ms, row.p999_ms, row.max_ms].map(ms));
            rows.push(cells);
        }
        if self.rows.is_empty() {
            paper.paragraph("", "", &paint(BAD, "no request was answered"));
        } else {
            paper.table_unbroken(0, &rows, &[false, true, true, true, true, true, true, true]);
        }
        let clients = format!("{} over {}", n(self.clients, "client"), n(self.connections, "connection"));
        let (loops, from) = match self.rate {
            None => ("closed loop".to_owned(), "sent"),
            Some(rate) => (format!("open loop, {} requests a second", count(rate)), "due"),
        };
        let text = format!("{loops}; {clients}; {:.1} s; times count from when a request was {from}", self.seconds);
        paper.paragraph("", "", &paint(DIM, text));
        for (error, times) in &self.errors {
            paper.paragraph(&format!("{} ", paint(BAD, format!("{} ×", count(*times)))), "    ", error);
        }
        paper.into_text()
    }

    /// The row of a kind.
    pub fn row(&self, name: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.name == name)
    }
}

/// Milliseconds, with as many digits as matter.
pub(super) fn ms(ms: f64) -> String {
    match ms {
        ms if ms < 10.0 => format!("{ms:.2}"),
        ms if ms < 100.0 => format!("{ms:.1}"),
        ms => count(ms.round() as u64),
    }
}

fn n(n: usize, what: &str) -> String {
    format!("{} {what}{}", count(n as u64), if n == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_a_table_with_errors_below() {
        let row = Row {
            name: "put".into(),
            count: 12_000,
            per_second: 11_999.6,
            mean_ms: 1.0,
            p50_ms: 0.421,
            p90_ms: 1.5,
            p99_ms: 19.06,
            p999_ms: 120.4,
            max_ms: 1_200.0,
        };
        let report = Report {
            endpoints: vec!["localhost:2379".into()],
            clients: 100,
            connections: 1,
            rate: None,
            seconds: 1.0,
            rows: vec![row],
            errors: BTreeMap::from([("etcdserver: no leader (UNAVAILABLE)".into(), 3)]),
        };
        let text = anstream::adapter::strip_str(&report.text(100)).to_string();
        let expected = "     answers  a second  p50 ms   p90   p99  p99.9    max
put   12,000    12,000    0.42  1.50  19.1    120  1,200
closed loop; 100 clients over 1 connection; 1.0 s; times count from when a request was sent
3 × etcdserver: no leader (UNAVAILABLE)
";
        assert_eq!(text, expected);
    }
}
