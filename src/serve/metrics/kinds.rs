//! A counter, a level and a histogram: atomics, so that whoever counts waits for nobody.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

/// Only rises.
#[derive(Debug, Default)]
pub(in crate::serve) struct Counter(AtomicU64);

impl Counter {
    pub(in crate::serve) fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    pub(in crate::serve) fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// How many there are now.
#[derive(Debug, Default)]
pub(in crate::serve) struct Level(AtomicI64);

impl Level {
    pub(in crate::serve) fn rise(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(in crate::serve) fn fall(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    pub(in crate::serve) fn value(&self) -> u64 {
        u64::try_from(self.0.load(Ordering::Relaxed)).unwrap_or(0)
    }
}

/// How long something took, in buckets each twice as wide as the one before.
#[derive(Debug)]
pub(in crate::serve) struct Histogram {
    /// Upper end of the first bucket, in nanoseconds.
    first: u64,
    /// By bucket; the last has no upper end.
    buckets: Box<[AtomicU64]>,
    /// In nanoseconds.
    sum: AtomicU64,
}

impl Histogram {
    /// So many buckets with an upper end, and one without.
    pub(in crate::serve) fn new(first: Duration, bounds: usize) -> Histogram {
        let buckets = (0..=bounds).map(|_| AtomicU64::new(0)).collect();
        Histogram { first: first.as_nanos() as u64, buckets, sum: AtomicU64::new(0) }
    }

    pub(in crate::serve) fn observe(&self, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let last = self.buckets.len() - 1;
        let bucket = (0..last).find(|bucket| nanos <= self.first << bucket).unwrap_or(last);
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(nanos, Ordering::Relaxed);
    }

    /// Upper ends in seconds, with the number of what is not above.
    pub(super) fn cumulated(&self) -> Vec<(f64, u64)> {
        let mut below = 0;
        let last = self.buckets.len() - 1;
        let bucket = |(n, bucket): (usize, &AtomicU64)| {
            below += bucket.load(Ordering::Relaxed);
            (if n == last { f64::INFINITY } else { seconds(self.first << n) }, below)
        };
        self.buckets.iter().enumerate().map(bucket).collect()
    }

    /// In seconds.
    pub(super) fn sum(&self) -> f64 {
        seconds(self.sum.load(Ordering::Relaxed))
    }
}

fn seconds(nanos: u64) -> f64 {
    nanos as f64 / 1e9
}
