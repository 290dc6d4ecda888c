//! What came of the requests: a histogram a row, errors by their text.

use super::Load;
use super::report::{Report, Row};
use hdrhistogram::Histogram;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::time::Instant;

/// The shortest and the longest that is told apart, in nanoseconds, and digits that are kept.
const BOUNDS: (u64, u64, u8) = (1_000, 3_600_000_000_000, 3);

/// See the module.
pub(super) struct Tally {
    names: &'static [&'static str],
    rows: RefCell<Vec<Histogram<u64>>>,
    errors: RefCell<BTreeMap<String, u64>>,
    /// When the last answer came.
    last: Cell<Option<Instant>>,
}

impl Tally {
    pub(super) fn new(names: &'static [&'static str]) -> Tally {
        let (low, high, digits) = BOUNDS;
        let row = || Histogram::new_with_bounds(low, high, digits).expect("invariant: the bounds are right");
        Tally {
            names,
            rows: RefCell::new(names.iter().map(|_| row()).collect()),
            errors: RefCell::default(),
            last: Cell::new(None),
        }
    }

    /// An answer that took so many nanoseconds.
    pub(super) fn took(&self, row: usize, nanos: u64) {
        self.rows.borrow_mut()[row].saturating_record(nanos);
        self.last.set(Some(Instant::now()));
    }

    pub(super) fn failed(&self, error: String, times: u64) {
        if times > 0 {
            *self.errors.borrow_mut().entry(error).or_default() += times;
        }
    }

    /// Answers in all rows.
    pub(super) fn answered(&self) -> u64 {
        self.rows.borrow().iter().map(Histogram::len).sum()
    }

    /// Answers in one.
    pub(super) fn answered_in(&self, row: usize) -> u64 {
        self.rows.borrow()[row].len()
    }

    pub(super) fn failures(&self) -> u64 {
        self.errors.borrow().values().sum()
    }

    pub(super) fn report(&self, load: &Load, began: Instant) -> Report {
        let seconds = self.last.get().map_or(0.0, |last| last.saturating_duration_since(began).as_secs_f64());
        let rows = self.rows.borrow();
        let rows = self.names.iter().zip(rows.iter()).filter(|(_, row)| !row.is_empty());
        let ms = |nanos: u64| nanos as f64 / 1e6;
        let row = |(name, row): (&&str, &Histogram<u64>)| Row {
            name: (*name).to_owned(),
            count: row.len(),
            per_second: row.len() as f64 / seconds.max(1e-9),
            mean_ms: row.mean() / 1e6,
            p50_ms: ms(row.value_at_quantile(0.5)),
            p90_ms: ms(row.value_at_quantile(0.9)),
            p99_ms: ms(row.value_at_quantile(0.99)),
            p999_ms: ms(row.value_at_quantile(0.999)),
            max_ms: ms(row.max()),
        };
        Report {
            endpoints: load.endpoints.iter().map(ToString::to_string).collect(),
            clients: load.clients,
            connections: load.connections,
            rate: load.rate,
            seconds,
            rows: rows.map(row).collect(),
            errors: self.errors.borrow().clone(),
        }
    }
}
