//! What the bolt engine costs, the disk apart: it stands in memory here and does everything at once. Timings are for
//! people to read; nothing is asserted.
//!
//! `commit/N` is a batch of N pairs of 256 B until it is durable; `get` and `range` read 100,000 such pairs, of which the
//! cache holds a part; `open` finds the free pages, which reads the whole file.

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use seedbed::backend::bolt::Bolt;
use seedbed::backend::{BoltConfig, Bucket, Engine};
use seedbed::disk::{Action, DiskOp, OpSink, Shared};
use seedbed::disk_mem::MemDisk;
use std::hint::black_box;

const FILE: &str = "db";
const VALUE: &[u8] = &[7; 256];
const KEYS: u64 = 100_000;

struct Rig {
    disk: Shared<MemDisk>,
    bolt: Bolt,
    ops: Vec<DiskOp>,
    next: u64,
    key: u64,
}

impl Rig {
    fn new() -> Rig {
        let (disk, mut ops, mut next) = (Shared::default(), Vec::new(), 0);
        let config = BoltConfig::default();
        let bolt = Bolt::create(disk.reader(), FILE.into(), config, &mut OpSink::new(&mut ops, &mut next));
        let mut rig = Rig { disk, bolt, ops, next, key: 0 };
        rig.settle();
        rig
    }

    fn filled() -> Rig {
        let mut rig = Rig::new();
        (0..KEYS / 10_000).for_each(|_| rig.batch(10_000));
        rig
    }

    fn settle(&mut self) {
        let mut doing = Vec::new();
        while !self.ops.is_empty() {
            std::mem::swap(&mut doing, &mut self.ops);
            for op in doing.drain(..) {
                self.disk.get().apply(&op).result.expect("a perfect disk");
                if !matches!(op.action, Action::Write { .. }) {
                    let mut sink = OpSink::new(&mut self.ops, &mut self.next);
                    self.bolt.op_done(op.id, &mut sink).expect("a perfect disk");
                }
            }
        }
    }

    /// Appends pairs as etcd does: keys ascend.
    fn batch(&mut self, pairs: u64) {
        for _ in 0..pairs {
            self.bolt.begin();
            self.bolt.put(Bucket::Key, key(self.key), Bytes::from_static(VALUE)).expect("a sound file");
            self.bolt.put(Bucket::Meta, Bytes::from_static(b"consistent_index"), key(self.key)).expect("a sound file");
            self.bolt.commit();
            self.key += 1;
        }
        self.bolt.commit_batch(&mut OpSink::new(&mut self.ops, &mut self.next)).expect("a sound file");
        self.settle();
    }
}

fn key(n: u64) -> Bytes {
    Bytes::copy_from_slice(&n.to_be_bytes())
}

fn commits(c: &mut Criterion) {
    let mut group = c.benchmark_group("commit");
    group.sample_size(20);
    for pairs in [1, 100, 10_000] {
        group.throughput(Throughput::Elements(pairs));
        group.bench_function(pairs.to_string(), |bencher| {
            bencher.iter_batched_ref(Rig::filled, |rig| rig.batch(pairs), BatchSize::NumIterations(20));
        });
    }
}

fn reads(c: &mut Criterion) {
    let mut rig = Rig::filled();
    let mut state = 1u64;
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % (KEYS - 1000)
    };
    let mut group = c.benchmark_group("read");
    group.bench_function("get", |bencher| {
        bencher.iter(|| rig.bolt.get(Bucket::Key, &key(random())).expect("a sound file"));
    });
    for keys in [1000, KEYS] {
        group.throughput(Throughput::Elements(keys));
        group.bench_function(format!("range-{keys}"), |bencher| {
            bencher.iter(|| {
                let from = if keys == KEYS { 0 } else { random() };
                let (mut left, mut bytes) = (keys, 0);
                let visit = &mut |key: &[u8], value: &Bytes| {
                    (left, bytes) = (left - 1, bytes + key.len() + value.len());
                    left > 0
                };
                rig.bolt.range(Bucket::Key, &key(from), None, visit).expect("a sound file");
                black_box(bytes)
            });
        });
    }
    rig.settle();
    group.throughput(Throughput::Bytes(rig.disk.reader().len(FILE).expect("the file")));
    group.bench_function("open", |bencher| {
        bencher.iter(|| Bolt::open(rig.disk.reader(), FILE.into(), BoltConfig::default()).expect("a sound file"));
    });
}

criterion_group!(benches, commits, reads);
criterion_main!(benches);
