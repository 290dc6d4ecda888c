//! Plots of a scenario's arms: an SVG to look at, and a CSV file with the same figures.
//!
//! A [`Plot`] is plain data: two axes in whole units (nanoseconds, bytes, counts), lines with a point a figure, and marks
//! where an operator did something. [`kinds`] makes plots of what the world saw of databases, [`mod@svg`] draws them, [`mod@csv`]
//! writes them down. All of it counts in whole numbers, so the files of a seed are the same on every machine.
//!
//! Left out: logarithmic axes, bars, and anything that moves.

mod axis;
mod csv;
mod kinds;
mod svg;

pub use csv::csv;
pub use kinds::{Arm, plots};
pub use svg::svg;

/// What an axis counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Time in nanoseconds, shown in seconds.
    Seconds,
    /// Time in nanoseconds, shown in milliseconds.
    Millis,
    /// Bytes, shown in KiB, MiB or GiB.
    Bytes,
    /// Things.
    Count,
}

/// An axis: what it shows, and in which unit its figures are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Axis {
    /// For a person.
    pub title: &'static str,
    /// For the machine, as a column of the CSV file: with its unit.
    pub name: &'static str,
    /// What it counts.
    pub unit: Unit,
}

/// A line, or loose points.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// What it belongs to: lines of one arm have one colour.
    pub arm: String,
    /// Which figure it is; lines of one figure have one stroke.
    pub figure: &'static str,
    /// In order of the first axis.
    pub points: Vec<(u64, u64)>,
}

/// A moment at which an operator did something.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark {
    /// Where on the first axis.
    pub at: u64,
    /// What.
    pub label: String,
}

/// How points are joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A figure holds until the next one.
    Steps,
    /// Each figure stands for itself.
    Dots,
}

/// A plot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plot {
    /// The end of its files' names.
    pub name: &'static str,
    /// What it shows, for a person.
    pub title: String,
    /// To the right.
    pub x: Axis,
    /// Upward.
    pub y: Axis,
    /// How points are joined.
    pub shape: Shape,
    /// At most two figures of at most eight arms are told apart.
    pub lines: Vec<Line>,
    /// In order of time.
    pub marks: Vec<Mark>,
}
