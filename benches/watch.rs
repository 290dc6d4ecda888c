//! What watchers cost, over the memory engine: telling 10,000 of one event, telling one among 10,000 others (watchers of
//! keys, of prefixes), a put with nobody and with somebody watching, and catching up over 1,000 revisions.

use bytes::Bytes;
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use seedbed::backend::Memory;
use seedbed::mvcc::watch::{StreamId, WatchConfig, Watchers};
use seedbed::mvcc::{Applied, Store, StoreConfig};
use seedbed::pb::etcdserverpb::{PutRequest, WatchCreateRequest};
use std::hint::black_box;

const WATCHERS: u64 = 10_000;

fn key(n: u64) -> Bytes {
    format!("/registry/pods/default/pod-{n:08}/").into()
}

fn put(store: &mut Store, n: u64) {
    let request = PutRequest { key: key(n), value: Bytes::from_static(&[7; 256]), ..Default::default() };
    let entry = Applied { index: store.consistent_index() + 1, term: 1 };
    let mut txn = store.write(entry).unwrap();
    txn.put(&request).unwrap();
    txn.commit();
}

/// Watchers, a hundred on each stream; `of` says what the n-th asks for.
fn watchers(count: u64, of: impl Fn(u64) -> WatchCreateRequest) -> Watchers {
    let mut watchers = Watchers::new(WatchConfig::default(), 1);
    for n in 0..count {
        watchers.watch(StreamId(n / 100), &of(n)).unwrap();
    }
    watchers
}

fn of_key(n: u64) -> WatchCreateRequest {
    WatchCreateRequest { key: key(n), ..Default::default() }
}

fn of_prefix(n: u64) -> WatchCreateRequest {
    let end = format!("/registry/pods/default/pod-{n:08}0").into();
    WatchCreateRequest { range_end: end, ..of_key(n) }
}

fn take_all(watchers: &mut Watchers) -> usize {
    let ready: Vec<StreamId> = watchers.ready().collect();
    ready.into_iter().map(|stream| watchers.take(stream, usize::MAX).len()).sum()
}

fn bench(c: &mut Criterion) {
    let mut group = c.benchmark_group("watch");
    type Of = fn(u64) -> WatchCreateRequest;
    let cases: [(&str, u64, Of); 5] = [
        ("a put, nobody watches", 0, of_key),
        ("a put, 10,000 watchers of distinct keys", WATCHERS, of_key),
        ("a put, 10,000 watchers of distinct prefixes", WATCHERS, of_prefix),
        ("a put, 10,000 watchers of its key", WATCHERS, |_| of_key(42)),
        ("a put, 10,000 watchers of its prefix", WATCHERS, |_| of_prefix(42)),
    ];
    for (name, count, of) in cases {
        let mut store = Store::new(Box::new(Memory::new()), StoreConfig::default());
        let mut watchers = watchers(count, of);
        group.bench_function(name, |b| {
            b.iter(|| {
                put(&mut store, 42);
                watchers.notify(&store).unwrap();
                black_box(take_all(&mut watchers))
            });
        });
    }

    let mut store = Store::new(Box::new(Memory::new()), StoreConfig::default());
    (0..1_000).for_each(|n| put(&mut store, n));
    let all = WatchCreateRequest {
        key: Bytes::from_static(b"\0"),
        range_end: Bytes::from_static(b"\0"),
        start_revision: 1,
        ..Default::default()
    };
    let unsynced = || {
        let mut watchers = Watchers::new(WatchConfig::default(), store.revision());
        (0..512).for_each(|n| assert_eq!(watchers.watch(StreamId(n), &all), Ok(0)));
        watchers
    };
    group.sample_size(20);
    group.bench_function("one slice for 512 watchers of everything, 1,000 revisions behind", |b| {
        b.iter_batched_ref(unsynced, |watchers| watchers.sync_slice(&store).unwrap(), BatchSize::LargeInput);
    });
    group.bench_function("all slices for them", |b| {
        b.iter_batched_ref(unsynced, |watchers| while !watchers.sync_slice(&store).unwrap() {}, BatchSize::LargeInput);
    });
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
