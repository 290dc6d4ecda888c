//! Array against hashmap: what a commit costs as the free pages grow to four million (lesson 13).
//!
//! ```text
//! cargo bench --bench freelist            # half a minute; the files are sparse and take little room
//! cargo bench --bench freelist -- --test  # a few commits each
//! ```
//!
//! Every second page of a file is free, which is the worst that deletions leave behind: no two free pages are
//! neighbours. Each commit puts eight keys far apart, so that about ten pages are taken and ten are given back: the
//! first figure. The second is for the same with a value of three pages among them: there is no run of three, and
//! the array is walked from its front to its end to find that out.
//!
//! Counted is the engine's own time from the batch to the disk operations and back, not the disk's.

mod support;

use bytes::Bytes;
use seedbed::backend::{BoltConfig, Bucket, FreelistKind};
use std::time::Duration;
use support::forge;
use support::pairs::{Order, Pair, Pairs, mix};
use support::real_disk::RealDisk;
use support::sides::{EngineSide, FILE, Side};
use support::table::{mean, timed};

const KEYS: u64 = 20_000;
const KINDS: [FreelistKind; 2] = [FreelistKind::Array, FreelistKind::Hashmap];

fn main() {
    let commits = if std::env::args().any(|arg| arg == "--test") { 3 } else { 60 };
    println!("{:<12} {:>22} {:>31} {:>21}", "", "10 pages a commit", "and a run of 3", "to open");
    let heads = ["array", "hashmap", "array", "hashmap", "array", "hashmap"].map(|head| format!("{head:>14}"));
    println!("{:<12}{}", "free pages", heads.concat());
    for free in [1_000, 10_000, 100_000, 1_000_000, 4_000_000] {
        let [array, hashmap] = KINDS.map(|kind| measure(kind, free, commits));
        let figures = [array.0, hashmap.0, array.1, hashmap.1, array.2, hashmap.2];
        println!("{free:<12}{}", figures.map(|time| format!("{:>11.1} µs", time.as_secs_f64() * 1e6)).concat());
    }
}

/// Mean times of a commit without and with a run of three pages, and of opening the file.
fn measure(freelist: FreelistKind, free: u64, commits: u64) -> (Duration, Duration, Duration) {
    let config = BoltConfig { freelist, ..BoltConfig::default() };
    let disk = RealDisk::without_syncs("freelist");
    let pairs = Pairs::new(Order::Ascending, 256);
    let mut side = EngineSide::bolt(&disk, Bucket::Lease, config);
    (0..KEYS).step_by(1_000).for_each(|first| side.put_batch(&pairs.batch(first..first + 1_000)));
    let first_free = side.file_bytes() / 4096;
    drop(side);
    let ids: Vec<u64> = (0..free).map(|n| first_free + 2 * n).collect();
    forge::with_freelist(&disk.path(FILE), &ids, first_free + 2 * free);

    let (mut side, open) = timed(|| EngineSide::bolt(&disk, Bucket::Lease, config));
    assert_eq!(side.engine.stats().free_pages, free, "every second page is free");
    let mut commit = |n: u64, long: bool| {
        let mut batch: Vec<Pair> = (0..8).map(|i| pairs.pair(mix(8 * n + i) % KEYS)).collect();
        if long {
            batch[7].1 = Bytes::from(vec![1; 10_000]);
        }
        side.put_batch_timed(&batch)
    };
    // What the first commits free is released by the next.
    for n in 0..3 {
        commit(n, false);
    }
    let single: Vec<_> = (0..commits).map(|n| commit(3 + n, false)).collect();
    let long: Vec<_> = (0..commits).map(|n| commit(3 + commits + n, true)).collect();
    (mean(&single), mean(&long), open)
}
