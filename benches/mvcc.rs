//! What the MVCC store costs over the memory engine: a put, a get, a range of 1,000 keys, a compaction of 100,000
//! records. The engine's own work is part of each figure.

use bytes::Bytes;
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use seedbed::backend::Memory;
use seedbed::mvcc::{Applied, Store, StoreConfig};
use seedbed::pb::etcdserverpb::{PutRequest, RangeRequest};
use std::hint::black_box;

const KEYS: u64 = 10_000;

fn key(n: u64) -> Bytes {
    format!("/registry/pods/default/pod-{:08}", n % KEYS).into()
}

fn put(store: &mut Store, n: u64) {
    let request = PutRequest { key: key(n), value: Bytes::from_static(&[7; 256]), ..Default::default() };
    let mut txn = store.write(Applied { index: store.consistent_index() + 1, term: 1 }).unwrap();
    txn.put(&request).unwrap();
    txn.commit();
}

fn filled(puts: u64) -> Store {
    let mut store = Store::new(Box::new(Memory::new()), StoreConfig::default());
    // A stride that visits all keys, out of order.
    (0..puts).for_each(|n| put(&mut store, n * 7_919));
    store
}

fn bench(c: &mut Criterion) {
    let mut group = c.benchmark_group("mvcc");
    let mut store = filled(KEYS);
    let mut n = 0;
    group.bench_function("put over 10,000 keys", |b| {
        b.iter_batched_ref(
            || filled(KEYS),
            |store| (0..10_000).for_each(|n| put(store, n * 7_919)),
            BatchSize::LargeInput,
        );
    });
    group.bench_function("get", |b| {
        b.iter(|| {
            n += 7_919;
            black_box(store.range(&RangeRequest { key: key(n), ..Default::default() }).unwrap())
        });
    });
    put(&mut store, 0);
    let range = RangeRequest { key: key(1_000), range_end: key(2_000), ..Default::default() };
    group.bench_function("range of 1,000 keys", |b| b.iter(|| black_box(store.range(&range).unwrap())));
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
