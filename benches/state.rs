//! The state machine at the size of a large cluster: the key index with a million keys (a get, a put, forgetting a million
//! revisions), and entries applied to a store in memory.
//!
//! ```text
//! cargo bench --bench state
//! ```
//!
//! What is asked of the index: get and put under 1 us each, forgetting a million revisions under 1 s; and 300,000 entries a
//! second. The same is measured of a store, whose memory engine then holds and drops records of 256 bytes, too. Making a
//! key takes about 0.1 us of each figure.

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use seedbed::api::Request;
use seedbed::apply::{self, State};
use seedbed::backend::Memory;
use seedbed::lease;
use seedbed::mvcc::index::Index;
use seedbed::mvcc::{Applied, Revision, Store, StoreConfig};
use seedbed::pb::etcdserverpb::{
    Compare, CompareResult, CompareTarget, PutRequest, RangeRequest, RequestOp, TxnRequest, compare, request_op,
};
use seedbed::raft::{Entry, EntryKind};
use seedbed::time::Now;
use std::hint::black_box;
use std::time::Duration;

/// As in the binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const KEYS: u64 = 1_000_000;
/// Coprime to the number of keys: a walk in such steps visits all of them, out of order.
const STRIDE: u64 = 7_919;
/// Entries of one measured run.
const ENTRIES: u64 = 20_000;

fn key(n: u64) -> Bytes {
    let n = n % KEYS;
    format!("/registry/pods/namespace-{:03}/pod-{n:08}", n % 100).into()
}

fn request(n: u64) -> PutRequest {
    PutRequest { key: key(n), value: Bytes::from_static(&[7; 256]), ..Default::default() }
}

fn put(store: &mut Store, n: u64) {
    let mut txn = store.write(Applied { index: store.consistent_index() + 1, term: 1 }).unwrap();
    txn.put(&request(n)).unwrap();
    txn.commit();
}

/// A store to which each key was put, in order.
fn filled() -> Store {
    let mut store = Store::new(Box::new(Memory::new()), StoreConfig::default());
    (0..KEYS).for_each(|n| put(&mut store, n));
    store
}

fn index(c: &mut Criterion) {
    let mut group = c.benchmark_group("index of 1,000,000 keys");
    group.sample_size(10).measurement_time(Duration::from_secs(3));
    let filled = |keys: u64| {
        let mut index = Index::default();
        for n in 0..KEYS {
            index.put(&key(n % keys), at(n));
        }
        index
    };
    let mut index = filled(KEYS);
    let mut n = 0;
    group.bench_function("get", |b| {
        b.iter(|| {
            n += STRIDE;
            black_box(index.get(&key(n), i64::MAX))
        });
    });
    let mut n = KEYS;
    group.bench_function("put", |b| {
        b.iter(|| {
            n += STRIDE;
            black_box(index.put(&key(n), at(n)))
        });
    });
    drop(index);
    group.bench_function("compact 1,000,000 revisions of 100,000 keys", |b| {
        b.iter_batched_ref(
            || filled(KEYS / 10),
            // A compaction asks for each record, not for each key.
            |index| {
                for n in 0..KEYS {
                    black_box(index.compact(&key(n % (KEYS / 10)), KEYS as i64, true));
                }
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

fn at(n: u64) -> Revision {
    Revision { main: n as i64 + 1, sub: 0 }
}

fn store(c: &mut Criterion) {
    let mut group = c.benchmark_group("store of 1,000,000 keys");
    group.sample_size(10).measurement_time(Duration::from_secs(3));
    // Filled by whoever comes first, and by nobody if a filter leaves both out.
    let mut store = None;
    let mut n = 0;
    group.bench_function("get", |b| {
        let store = store.get_or_insert_with(filled);
        b.iter(|| {
            n += STRIDE;
            black_box(store.range(&RangeRequest { key: key(n), count_only: true, ..Default::default() }).unwrap())
        });
    });
    group.bench_function("put", |b| {
        let store = store.get_or_insert_with(filled);
        b.iter(|| {
            n += STRIDE;
            put(store, n);
        });
    });
    drop(store);
    group.bench_function("compact 1,000,000 revisions of 100,000 keys", |b| {
        b.iter_batched_ref(
            || {
                let mut store = Store::new(Box::new(Memory::new()), StoreConfig::default());
                (0..KEYS).for_each(|n| put(&mut store, n % (KEYS / 10)));
                store
            },
            |store| {
                let revision = store.revision();
                let mut txn = store.write(Applied { index: store.consistent_index() + 1, term: 1 }).unwrap();
                txn.compact(revision).unwrap();
                txn.commit();
                while store.compact_slice().unwrap().is_none() {}
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

/// A put, in a transaction that a Kubernetes API server would send: if the key has not changed since.
fn guarded(n: u64) -> TxnRequest {
    let guard = Compare {
        result: CompareResult::Equal as i32,
        target: CompareTarget::Mod as i32,
        key: key(n),
        target_union: Some(compare::TargetUnion::ModRevision(0)),
        range_end: Bytes::new(),
    };
    let success = RequestOp { request: Some(request_op::Request::RequestPut(request(n))) };
    TxnRequest { compare: vec![guard], success: vec![success], failure: Vec::new() }
}

fn entries(of: impl Fn(u64) -> Request) -> Vec<Entry> {
    let entry = |n| {
        let data = apply::encode(n, of(n)).into();
        Entry { kind: EntryKind::Normal, term: 1, index: n + 1, data }
    };
    (0..ENTRIES).map(entry).collect()
}

fn applying(c: &mut Criterion) {
    let mut group = c.benchmark_group("apply");
    group.throughput(Throughput::Elements(ENTRIES));
    for (name, entries) in
        [("puts", entries(|n| Request::Put(request(n)))), ("creations by Txn", entries(|n| Request::Txn(guarded(n))))]
    {
        group.bench_function(format!("{name} of 256 bytes"), |b| {
            b.iter_batched_ref(
                || State::new(Box::new(Memory::new()), StoreConfig::default(), lease::Config::default()),
                |state| entries.iter().for_each(|entry| drop(black_box(state.apply(Now::default(), entry).unwrap()))),
                BatchSize::LargeInput,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, index, store, applying);
criterion_main!(benches);
