//! The bolt engine beside redb: puts with real syncs, reads at a million keys, the size of the file.
//!
//! ```text
//! cargo bench --bench engines            # about five minutes, 2 GB below the target folder
//! cargo bench --bench engines -- --test  # a hundredth of everything: does it still run?
//! ```
//!
//! Both engines get each batch in turn, one after the other, so that a disk that is slow for a while is slow for both.
//! A put's figure is the median over the batches. Reads go through criterion, which says more about their spread; the
//! table at the end has the means of the same measurements. Values are 256 bytes long, keys 17.
//!
//! What is asked of bolt stands in the table as a bound: parity with redb at batches of 10,000 and 100, 2.5 times at
//! batches of 1 (two syncs against one), and 1.3 times the file size. Nothing fails when one is missed: a bench measures.

mod support;

use criterion::{BenchmarkId, Criterion};
use seedbed::backend::{BoltConfig, Bucket};
use std::cell::Cell;
use std::ops::Range;
use std::rc::Rc;
use std::time::Duration;
use support::pairs::{Order, Pair, Pairs, mix};
use support::real_disk::RealDisk;
use support::sides::{EngineSide, RedbSide, Side};
use support::table::{Table, median, timed};

const VALUE_BYTES: usize = 256;
/// Of both engines while pairs are put: a sixth of a million pairs.
const CACHE_BYTES: usize = 64 << 20;
/// Of both engines when all pairs shall fit: redb's default.
const CACHE_BYTES_ALL: usize = 1 << 30;
const KEYS: u64 = 1_000_000;
const RANGE: usize = 1_000;

fn main() {
    let scale = if std::env::args().any(|arg| arg == "--test") { 100 } else { 1 };
    let mut criterion = Criterion::default().configure_from_args();
    let mut table = Table::default();
    for order in [Order::Ascending, Order::Random] {
        bare_sync(scale);
        compare(order, scale, &mut criterion, &mut table);
    }
    criterion.final_summary();
    table.print();
}

/// What a page and its sync cost without any engine: the floor under a batch of 1 (twice that for bolt). Where this is
/// milliseconds, as on a disk that others keep busy, small batches compare two syncs with one and nothing else.
fn bare_sync(scale: u64) {
    use std::os::unix::fs::FileExt as _;
    let disk = RealDisk::new("bare");
    let file = std::fs::File::create(disk.path("file")).expect("a new file");
    file.write_all_at(&[1; 64 << 10], 0).expect("64 KiB");
    file.sync_all().expect("a sync");
    let page = |_| timed(|| file.write_all_at(&[2; 4096], 8192).and_then(|()| file.sync_data())).1;
    let times: Vec<_> = (0..1_000 / scale).map(page).collect();
    println!("a page of 4 KiB written over and synced: {:.1} µs", micros(median(times)));
}

/// Both engines with files of the same content.
struct Both {
    disk: Rc<RealDisk>,
    bolt: EngineSide,
    redb: RedbSide,
}

impl Both {
    fn open(disk: &Rc<RealDisk>, bucket: Bucket, cache_bytes: usize) -> Both {
        let config = BoltConfig { cache_bytes, ..BoltConfig::default() };
        let (bolt, redb) = (EngineSide::bolt(disk, bucket, config), RedbSide::new(disk, cache_bytes));
        Both { disk: disk.clone(), bolt, redb }
    }

    /// The same batches for both, in turn. Median times of a batch.
    fn put(&mut self, pairs: &Pairs, batch: u64, numbers: Range<u64>) -> [Duration; 2] {
        let (mut bolt, mut redb) = (Vec::new(), Vec::new());
        let before = self.disk.busy.get();
        for first in numbers.step_by(batch as usize) {
            let pairs: Vec<Pair> = pairs.batch(first..first + batch);
            bolt.push(timed(|| self.bolt.put_batch(&pairs)).1);
            redb.push(timed(|| self.redb.put_batch(&pairs)).1);
        }
        let all: Duration = bolt.iter().sum();
        let disk = (self.disk.busy.get() - before).as_secs_f64() / all.as_secs_f64();
        let mean = |times: &[Duration]| micros(times.iter().sum::<Duration>()) / (times.len() as u64 * batch) as f64;
        println!(
            "batches of {batch}, mean: bolt {:.2} µs/put ({:.0} % of it in writes and syncs), redb {:.2} µs/put",
            mean(&bolt),
            disk * 100.0,
            mean(&redb)
        );
        [median(bolt), median(redb)]
    }
}

fn compare(order: Order, scale: u64, criterion: &mut Criterion, table: &mut Table) {
    let disk = RealDisk::new("engines");
    let bucket = if order == Order::Ascending { Bucket::Key } else { Bucket::Lease };
    let pairs = Pairs::new(order, VALUE_BYTES);
    let name = format!("{order:?}").to_lowercase();
    let keys = KEYS / scale;

    let mut both = Both::open(&disk, bucket, CACHE_BYTES);
    let mut puts = |both: &mut Both, batch: u64, numbers: Range<u64>, bound| {
        let [bolt, redb] = both.put(&pairs, batch, numbers).map(micros);
        let per_put = batch as f64;
        table.row(format!("put, {name}, batches of {batch}"), bolt / per_put, redb / per_put, "µs/put", Some(bound));
    };
    puts(&mut both, 10_000 / scale, 0..keys, 1.0);
    let sizes = [both.bolt.file_bytes(), both.redb.file_bytes()];
    puts(&mut both, 100, keys..keys + 30_000 / scale, 1.0);
    puts(&mut both, 1, 2 * keys..2 * keys + 1_000 / scale, 2.5);
    let [bolt, redb] = sizes.map(|bytes| bytes as f64 / 1e6);
    table.row(format!("file of {keys} pairs, {name}"), bolt, redb, "MB", Some(1.3));

    for (cache_bytes, cached) in [(CACHE_BYTES, "64 MiB cache"), (CACHE_BYTES_ALL, "1 GiB cache")] {
        drop(both);
        both = Both::open(&disk, bucket, cache_bytes);
        reads(&both, &pairs, keys, &format!("{name}, {cached}"), criterion, table);
    }
}

/// Random keys, and ranges of a thousand from random keys on.
fn reads(both: &Both, pairs: &Pairs, keys: u64, name: &str, criterion: &mut Criterion, table: &mut Table) {
    let sides: [(&str, &dyn Side); 2] = [("bolt", &both.bolt), ("redb", &both.redb)];
    let ask: Vec<_> = (0..100_000).map(|n| pairs.key(mix(n) % keys)).collect();
    let mut group = criterion.benchmark_group(name);
    for what in ["get", "range of 1,000"] {
        let figures = sides.map(|(side, engine)| {
            let (spent, reads, next) = (Cell::new(Duration::ZERO), Cell::new(0u64), Cell::new(0));
            let read = || {
                let key = &ask[next.replace((next.get() + 1) % ask.len())];
                if what == "get" { engine.get(key) } else { engine.range(key, RANGE).1 }
            };
            // Once over the keys before anything counts: both caches are as full as they get.
            for _ in 0..if what == "get" { ask.len() } else { 1_000 } {
                assert!(read() > 0, "the key is there");
            }
            group.bench_function(BenchmarkId::new(what, side), |bencher| {
                bencher.iter_custom(|n| {
                    let ((), time) = timed(|| {
                        for _ in 0..n {
                            std::hint::black_box(read());
                        }
                    });
                    spent.set(spent.get() + time);
                    reads.set(reads.get() + n);
                    time
                });
            });
            micros(spent.get()) / reads.get().max(1) as f64
        });
        table.row(format!("{what}, {name}"), figures[0], figures[1], "µs", None);
    }
    group.finish();
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
