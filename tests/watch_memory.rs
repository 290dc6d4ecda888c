//! What watchers hold in memory, counted byte by byte: 100,000 of them stay below 50 MB, and quiet streams give back what
//! a burst took.

#[path = "support/counting.rs"]
mod counting;

use counting::LIVE;
use seedbed::backend::Memory;
use seedbed::mvcc::watch::{StreamId, WatchConfig, Watchers};
use seedbed::mvcc::{Applied, Store, StoreConfig};
use seedbed::pb::etcdserverpb::{PutRequest, WatchCreateRequest};
use std::sync::atomic::Ordering;

const WATCHERS: usize = 100_000;

/// Half of the watches are of a key, half of a prefix; a hundred on each stream.
fn request(n: usize) -> (StreamId, WatchCreateRequest) {
    let key = format!("/registry/pods/default/pod-{n:08}/");
    let range_end = if n.is_multiple_of(2) { String::new() } else { format!("/registry/pods/default/pod-{n:08}0") };
    let request = WatchCreateRequest { key: key.into(), range_end: range_end.into(), ..Default::default() };
    (StreamId(n as u64 / 100), request)
}

/// One test: the counter is the process's.
#[test]
fn a_hundred_thousand_watchers_stay_below_50_mb() {
    let mut store = Store::new(Box::new(Memory::new()), StoreConfig::default());
    let start = LIVE.load(Ordering::Relaxed);
    let mut watchers = Watchers::new(WatchConfig::default(), store.revision());
    for n in 0..WATCHERS {
        let (stream, request) = request(n);
        watchers.watch(stream, &request).expect("a watch that can be made");
    }
    let synced = LIVE.load(Ordering::Relaxed) - start;
    println!("synced: {synced} bytes, {} for a watcher", synced / WATCHERS);
    assert!(synced > 100 * WATCHERS, "what is counted is the watchers'");
    assert!(synced < 50_000_000, "{synced} bytes");

    watchers.restored(store.revision());
    assert_eq!(watchers.counts(), [0, WATCHERS, 0]);
    let unsynced = LIVE.load(Ordering::Relaxed) - start;
    assert!(unsynced < 50_000_000, "{unsynced} bytes when all are unsynced");
    while !watchers.sync_slice(&store).expect("memory does not fail") {}
    assert_eq!(watchers.counts(), [WATCHERS, 0, 0]);

    // Each stream hears a thousand times of its first key, and is drained.
    for stream in 0..10 {
        let (id, WatchCreateRequest { key, .. }) = request(stream * 100);
        for _ in 0..1000 {
            let entry = Applied { index: store.consistent_index() + 1, term: 1 };
            let mut txn = store.write(entry).expect("memory does not fail");
            txn.put(&PutRequest { key: key.clone(), ..Default::default() }).expect("a put succeeds");
            txn.commit();
            watchers.notify(&store).expect("memory does not fail");
        }
        assert!(watchers.take(id, usize::MAX).len() >= 1000);
    }
    let with_watchers = LIVE.load(Ordering::Relaxed);
    drop(watchers);
    let held = with_watchers - LIVE.load(Ordering::Relaxed);
    assert!(held < synced + 1_000_000, "{held} bytes after a burst, {synced} before");
}
