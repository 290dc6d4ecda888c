//! `[report]`: what is shown of a run beside its story.

use super::{Observation, vocabulary};

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportSettings {
    /// The figures that the table of arms shows, in this order; empty: all but the database's.
    pub columns: Vec<Observation>,
    /// What is drawn: an SVG and a CSV file each, in the folder of `--out`.
    pub plots: Vec<PlotKind>,
    /// Whose database is drawn, from 1.
    pub member: u8,
}

impl Default for ReportSettings {
    fn default() -> Self {
        Self { columns: Vec::new(), plots: Vec::new(), member: 1 }
    }
}

vocabulary! {
    /// What can be drawn of a scenario's arms.
    pub enum PlotKind("plot") {
        /// The database's file over time, and what is in use of it.
        Size = "size",
        /// Pages that may be reused over time, and those that wait for a reader.
        FreePages = "free-pages",
        /// How long each commit took.
        Commits = "commits",
        /// How long loading a store, and bringing it to a follower as a snapshot, took against its size.
        LoadTime = "load-time",
    }
}
