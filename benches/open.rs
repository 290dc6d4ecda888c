//! Opening a database of 2 GiB: with a freelist in it, without one (every page is looked at), and rebuilding the index
//! over all records; each beside a plain read of the same file from its beginning to its end.
//!
//! ```text
//! cargo bench --bench open            # about two minutes, 2 GiB below the target folder
//! cargo bench --bench open -- --test  # a hundredth of it
//! ```
//!
//! *Warm* is a file that the operating system still holds in memory; *cold* is one that it was told to forget (by
//! coreutils' `dd`; where that is missing there are no cold figures, and a virtual machine's host may remember all the
//! same). A scan is announced to the disk, which reads ahead of it on a second thread, as a real disk of the store does.
//! A virtual machine's disk may be its host's memory, whose speed is that of the reader's own processor; Linux can make it
//! a disk of a known speed: in a control group with `blkio.throttle.read_bps_device`, everything here can be run again.
//!
//! What is asked: under 100 ms with a freelist, and the speed of the disk for a scan: of all pages, which looks for
//! free ones, and of all records, which is how a rebuild reads them. What the rebuild takes beyond its scan is the index.

mod support;

use bytes::Bytes;
use prost::Message as _;
use seedbed::backend::bolt::Bolt;
use seedbed::backend::{BoltConfig, Bucket, Engine as _};
use seedbed::disk::DiskRead as _;
use seedbed::mvcc::{Revision, Store, StoreConfig};
use seedbed::pb::mvccpb::KeyValue;
use std::fs::File;
use std::io::Read as _;
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::time::Duration;
use support::forge;
use support::pairs::{Order, Pair, Pairs};
use support::real_disk::RealDisk;
use support::sides::{EngineSide, FILE, Side};
use support::table::{median, timed};

const VALUE_BYTES: usize = 512;

fn main() {
    let scale = if std::env::args().any(|arg| arg == "--test") { 100 } else { 1 };
    let disk = RealDisk::without_syncs("open");
    let (records, time) = timed(|| fill(&disk, (2 << 30) / scale));
    let bytes = disk.len(FILE).expect("the file is there");
    println!("{records} records, {:.0} MB, made in {:.1} s", bytes as f64 / 1e6, time.as_secs_f64());
    Figures { disk, bytes, records }.print();
}

/// Puts records, as the store writes them, until the file is that long; then removes a tenth of them, so that there are
/// free pages. Says how many are left.
fn fill(disk: &Rc<RealDisk>, bytes: u64) -> u64 {
    let mut side = EngineSide::bolt(disk, Bucket::Key, config());
    let pairs = Pairs::new(Order::Ascending, VALUE_BYTES);
    let mut records = 0;
    while side.file_bytes() < bytes {
        let batch: Vec<Pair> = (records..records + 10_000).map(|n| record(n, pairs.pair(n).1)).collect();
        side.put_batch(&batch);
        records += 10_000;
    }
    let removed = records / 2..records / 2 + records / 10;
    let keys: Vec<Bytes> = removed.clone().map(|n| record(n, Bytes::new()).0).collect();
    keys.chunks(10_000).for_each(|keys| side.delete_batch(keys));
    // Two more transactions: what the last removal freed is in the freelist that the file ends up with.
    (records..records + 2).for_each(|n| side.put_batch(&[record(n, pairs.pair(n).1)]));
    records + 2 - (removed.end - removed.start)
}

fn config() -> BoltConfig {
    BoltConfig { sync_freelist: true, cache_bytes: 64 << 20, ..BoltConfig::default() }
}

fn record(n: u64, value: Bytes) -> Pair {
    let main = n as i64 + 2;
    let key = format!("registry/pods/namespace-{}/pod-{n:08}", n % 50).into();
    let kv = KeyValue { key, create_revision: main, mod_revision: main, version: 1, value, lease: 0 };
    (Revision { main, sub: 0 }.encode(false), kv.encode_to_vec().into())
}

struct Figures {
    disk: Rc<RealDisk>,
    bytes: u64,
    records: u64,
}

impl Figures {
    fn print(&self) {
        let cold = self.forget();
        for (name, cold) in [("warm", false), ("cold", true)].into_iter().take(1 + usize::from(cold)) {
            println!("\n{name}");
            let synced = self.times(cold, 5, || self.open());
            println!("  {:<38} {:>9.2} ms    bound 100", "open, freelist in the file", synced.as_secs_f64() * 1e3);
            self.rate("plain read of the file", self.times(cold, 3, || self.read_plainly()), None);
            let unsynced = forge::without_freelist(&self.disk.path(FILE), || self.times(cold, 3, || self.open()));
            self.rate("open, no freelist in the file: scan", unsynced, None);
            self.rate("scan of all records", self.times(cold, 3, || self.scan()), Some(self.records));
            let restore =
                || Store::restore(Box::new(self.open()), StoreConfig::default()).expect("the records are sound");
            self.rate("rebuild the index (freelist in the file)", self.times(cold, 3, restore), Some(self.records));
        }
    }

    fn rate(&self, what: &str, time: Duration, records: Option<u64>) {
        let rate = self.bytes as f64 / 1e6 / time.as_secs_f64();
        let records = records.map_or_else(String::new, |records| {
            format!("  {:.2} million records/s", records as f64 / 1e6 / time.as_secs_f64())
        });
        println!("  {what:<38} {:>9.2} ms {rate:>8.0} MB/s{records}", time.as_secs_f64() * 1e3);
    }

    /// The median of some tries, each from a cold start if asked for. What the work leaves is dropped untimed.
    fn times<T>(&self, cold: bool, tries: usize, work: impl Fn() -> T) -> Duration {
        let try_once = || {
            if cold {
                self.forget();
            }
            let time = timed(&work).1;
            self.disk.settle();
            time
        };
        median((0..tries).map(|_| try_once()).collect())
    }

    fn open(&self) -> Bolt {
        Bolt::open(self.disk.clone(), FILE.into(), config()).expect("the file is sound")
    }

    fn scan(&self) {
        let mut records = 0;
        let count = &mut |_: &[u8], _: &Bytes| {
            records += 1;
            true
        };
        let engine = self.open();
        engine.will_read();
        engine.range(Bucket::Key, b"", None, count).expect("the file is sound");
        assert_eq!(records, self.records);
    }

    fn read_plainly(&self) {
        let mut file = File::open(self.disk.path(FILE)).expect("the file is there");
        let (mut buffer, mut sum) = (vec![0; 1 << 20], 0);
        loop {
            match file.read(&mut buffer).expect("the disk is sound") {
                0 => break,
                n => sum += n as u64,
            }
        }
        assert_eq!(sum, self.bytes);
    }

    /// Asks the operating system to drop the file from its memory.
    fn forget(&self) -> bool {
        let file = File::open(self.disk.path(FILE)).expect("the file is there");
        file.sync_all().expect("the disk is sound");
        let file = format!("if={}", self.disk.path(FILE).display());
        let dd = Command::new("dd").args([&file[..], "iflag=nocache", "count=0"]).stderr(Stdio::null()).status();
        dd.is_ok_and(|status| status.success())
    }
}
