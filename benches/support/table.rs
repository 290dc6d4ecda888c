//! Medians, and a table of them.

use std::time::{Duration, Instant};

/// How long `work` took.
pub fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let result = std::hint::black_box(work());
    (result, start.elapsed())
}

/// The middle one.
pub fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// The arithmetic mean.
pub fn mean(times: &[Duration]) -> Duration {
    times.iter().sum::<Duration>() / times.len() as u32
}

/// Rows of bolt's and redb's figure for the same thing, smaller is better, and the most that the ratio may be.
#[derive(Default)]
pub struct Table {
    rows: Vec<(String, f64, f64, &'static str, Option<f64>)>,
}

impl Table {
    /// Adds a row.
    pub fn row(&mut self, what: impl Into<String>, bolt: f64, redb: f64, unit: &'static str, bound: Option<f64>) {
        self.rows.push((what.into(), bolt, redb, unit, bound));
    }

    /// Prints it.
    pub fn print(&self) {
        println!("\n{:<44} {:>11} {:>11}          {:>6}  {:>6}", "", "bolt", "redb", "ratio", "bound");
        for (what, bolt, redb, unit, bound) in &self.rows {
            let bound = bound.map_or_else(String::new, |bound| {
                format!("{bound:>6.2}  {}", if bolt / redb <= bound { "met" } else { "MISSED" })
            });
            println!("{what:<44} {bolt:>11.2} {redb:>11.2} {unit:<8} {:>6.2}  {bound}", bolt / redb);
        }
    }
}
