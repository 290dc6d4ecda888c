//! Workload `watch-all`: watchers of every kind, that come and go.

use super::random::Stream;
use super::watch_client::{WatchClient, WatchNumber};
use crate::check::watch::Content;
use crate::scenario::{Range64, WatchStart, Watching, Workload};
use bytes::Bytes;
use seedbed::pb::etcdserverpb::{FilterType, WatchCreateRequest};
use seedbed::time::{MILLISECOND, Nanos};

/// A client of the workload: it keeps `watches` watches on the keys of workload `kv`, takes what they hear at its own pace,
/// and from time to time ends one, begins another and asks for progress. When nothing more will happen, it waits until it
/// has heard of everything.
pub(super) async fn watch_all(mut watches: WatchClient, workload: Workload, random: Stream, until: Nanos) {
    let handle = watches.handle().clone();
    handle.sleep_until(workload.start).await;
    let until = workload.stop.unwrap_or(until).min(until);
    let plan = workload.watching.clone();
    let mut watcher = Watcher { random, newest: 1, oldest: 1, keys: workload.keys.max(1), plan };
    let mut numbers: Vec<WatchNumber> = Vec::new();
    for _ in 0..watcher.plan.watches {
        numbers.push(watches.watch(watcher.request()));
    }
    let mut churn_at = watcher.after(handle.now(), watcher.plan.churn);
    let mut ask_at = watcher.after(handle.now(), watcher.plan.progress);
    let due = loop {
        if let Some(due) = handle.closing() {
            break due;
        }
        // Afterwards it only looks now and then whether there will be more.
        let wake_at = if handle.now() < until { churn_at.min(ask_at).min(until) } else { handle.now() + LOOK_EVERY };
        let heard = watches.next(wake_at).await;
        let now = handle.now();
        if let Some((number, response)) = heard {
            watcher.newest = watcher.newest.max(response.revision);
            if let Content::Canceled { compact_revision, .. } = response.content {
                watcher.oldest = watcher.oldest.max(compact_revision);
                numbers.retain(|other| *other != number);
                numbers.push(watches.watch(watcher.request()));
            } else if now < until {
                let pause = watcher.random.within(watcher.plan.pause);
                if pause > 0 {
                    handle.sleep_until(now + pause).await;
                }
            }
        }
        if now < until && churn_at <= now && !numbers.is_empty() {
            let ended = watcher.random.below(numbers.len() as u64) as usize;
            watches.cancel(numbers.swap_remove(ended));
            numbers.push(watches.watch(watcher.request()));
            churn_at = watcher.after(now, watcher.plan.churn);
        }
        if now < until && ask_at <= now {
            watches.ask_progress();
            ask_at = watcher.after(now, watcher.plan.progress);
        }
    };
    watches.hear_all(due, |_| ()).await;
}

/// How often a client looks whether the run is over.
const LOOK_EVERY: Nanos = 100 * MILLISECOND;

/// What a client draws.
struct Watcher {
    random: Stream,
    /// The newest revision that it has heard of.
    newest: i64,
    /// The oldest that is left, as far as it has heard.
    oldest: i64,
    keys: u32,
    plan: Watching,
}

impl Watcher {
    /// A moment about `gap` after another; never, if the gap is 0.
    fn after(&mut self, now: Nanos, gap: Nanos) -> Nanos {
        if gap == 0 { Nanos::MAX } else { now + self.random.within(Range64::new(gap / 2, gap + gap / 2)) }
    }

    /// One of the watches that there can be.
    fn request(&mut self) -> WatchCreateRequest {
        let (key, range_end) = self.interval();
        let start_revision = self.start();
        let filters = match self.random.below(8) {
            0 => vec![FilterType::Noput as i32],
            1 => vec![FilterType::Nodelete as i32],
            _ => Vec::new(),
        };
        let [progress_notify, prev_kv, fragment] = [(); 3].map(|()| self.random.chance(500_000));
        WatchCreateRequest { key, range_end, start_revision, progress_notify, filters, prev_kv, watch_id: 0, fragment }
    }

    fn interval(&mut self) -> (Bytes, Bytes) {
        let name = |number: u64| Bytes::from(format!("k{number}"));
        let key = name(self.random.below(self.keys.into()));
        let other = name(self.random.below(self.keys.into()));
        match self.random.below(6) {
            0 | 1 => (key, Bytes::new()),
            2 if key != other => (key.clone().min(other.clone()), key.max(other)),
            2 | 3 => (key, Bytes::from_static(b"\0")),
            4 => (Bytes::from_static(b"k"), Bytes::from_static(b"l")),
            _ => (Bytes::new(), Bytes::from_static(b"\0")),
        }
    }

    fn start(&mut self) -> i64 {
        let newest = self.newest as u64;
        match *self.random.pick(&self.plan.starts) {
            WatchStart::Now => 0,
            WatchStart::Past => 1 + self.random.below(newest) as i64,
            WatchStart::First => 1,
            WatchStart::Oldest => self.oldest,
            WatchStart::Future => self.newest + 1 + self.random.below(100) as i64,
        }
    }
}
