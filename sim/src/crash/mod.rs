//! The crash explorer: the power goes off at *every* step of an operation, with every kind of fate for what was unsynced.
//!
//! ```text
//!   script ──▶ member ──▶ begin op · begin op · … · finish sync · …        one life, never disturbed
//!                            │         │                │
//!                          fork      fork             fork                 a cut: before each change of the disk
//!                        ┌───┼────┬─────────┐
//!                      lost kept random₁ … random_K                        a fate of what is unsynced: an image
//!                        │
//!                        └─▶ a member starts on the image and is judged    (and now and then is cut again while it does)
//! ```
//!
//! The world's random crashes meet a window of a few microseconds once in a thousand runs; here every window is visited
//! on purpose. The operations are those that change more than one file, or one file in more than one place ([`plan`]):
//! the commit of a batch, a defragmentation, a compaction, the installation of a leader's snapshot, and the cut of a WAL
//! segment with the snapshot and the release that go with it.
//!
//! A *round* is a life of the member with other values, pauses and orders of completion. A *cut* is a moment in it. A
//! *fate* is what becomes of unsynced sectors and names. The three together, with the seed, are an image's address, and
//! an image is made anew from its address alone. [`judge`] says what a member on an image must be.
//!
//! A disk whose syncs lie is beyond what any member tolerates. There nothing is a finding but what it cost is counted.
//!
//! # Left out
//! Cuts of several members at once (the world's business), damage at rest (a member is to refuse it: `tests/wal_recovery`
//! and the fuzzers), and other schedules of a round than the one drawn.

mod donor;
mod history;
mod judge;
mod leader;
mod life;
mod plan;
mod reference;
mod report;
mod round;

pub use report::{Address, Beyond, Explored, Fate, Finding};

use crate::scenario::vocabulary;
use seedbed::backend::{BoltConfig, EngineConfig};
use seedbed::bug::BugSet;

vocabulary! {
    /// What the member is doing while it is cut.
    pub enum Operation("operation") {
        /// Batches of writes become durable.
        Commit = "commit",
        /// The database is copied into a dense file.
        Defrag = "defrag",
        /// Old revisions are removed.
        Compaction = "compaction",
        /// A follower takes its leader's snapshot.
        SnapshotInstall = "snapshot-install",
        /// WAL segments are cut, snapshots saved, old segments released.
        WalCut = "wal-cut",
    }
}

/// What is to be explored, and how hard.
#[derive(Clone, Debug)]
pub struct Options {
    /// Everything random comes from it.
    pub seed: u64,
    /// Lives of the member, each with other values and pauses.
    pub rounds: u64,
    /// Random fates at each cut, besides "all lost" and "all kept".
    pub fates: u64,
    /// Syncs report success and do nothing.
    pub lying: bool,
    /// Where the store keeps its pairs.
    pub engine: EngineConfig,
    /// Historical bugs that are switched on.
    pub bugs: BugSet,
    /// This image alone.
    pub only: Option<Address>,
    /// Which part of the cuts: number `i` of `n`, from 0. The parts' reports together are the whole one's.
    pub shard: (u64, u64),
}

impl Default for Options {
    fn default() -> Options {
        Options {
            seed: 0,
            rounds: 8,
            fates: 8,
            lying: false,
            engine: EngineConfig::Bolt(BoltConfig::default()),
            bugs: BugSet::NONE,
            only: None,
            shard: (0, 1),
        }
    }
}

/// Explores an operation; `seen` is told of every cut, with the images that it made.
pub fn explore(operation: Operation, options: &Options, seen: &mut dyn FnMut(u64)) -> Explored {
    let mut explored = Explored::default();
    let rounds = match options.only {
        Some(only) => only.round..only.round + 1,
        None => 0..options.rounds,
    };
    for round in rounds {
        round::explore(operation, round, options, &mut explored, seen);
    }
    explored
}
