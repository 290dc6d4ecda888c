//! The two engines that are compared, behind one face: pairs go in by durable batches, and come out by key and by range.
//!
//! Both get the same pairs, a cache of the same size, and keep the same promise: when [`Side::put_batch`] returns, the
//! batch survives a power cut. redb keeps it with one sync (a checksummed tree behind a header that is written with
//! it), bolt with two (the data before the meta that points at it), as bbolt does.

use super::pairs::Pair;
use super::real_disk::{Done, RealDisk};
use super::table::timed;
use bytes::Bytes;
use redb::{Database, Durability, ReadOnlyTable, ReadableDatabase as _, TableDefinition};
use seedbed::backend::bolt::Bolt;
use seedbed::backend::{BoltConfig, Bucket, Engine, Finished};
use seedbed::disk::{OpId, OpSink};
use std::cell::RefCell;
use std::fs;
use std::rc::Rc;
use std::time::Duration;

/// An engine with its file.
pub trait Side {
    /// Puts the pairs and makes them durable.
    fn put_batch(&mut self, pairs: &[Pair]);
    /// The value's length.
    fn get(&self, key: &[u8]) -> usize;
    /// Visits up to `n` pairs from `from` on: how many there were, and the bytes of their keys and values.
    fn range(&self, from: &[u8], n: usize) -> (usize, usize);
    /// Bytes of the file.
    fn file_bytes(&self) -> u64;
}

/// The file of a bolt engine.
pub const FILE: &str = "member/snap/db";

/// An engine of the store on real files.
pub struct EngineSide {
    /// The engine.
    pub engine: Box<dyn Engine>,
    bucket: Bucket,
    disk: Rc<RealDisk>,
    ids: u64,
}

impl EngineSide {
    /// The pairs go into `bucket`: ascending keys belong into [`Bucket::Key`], whose pages are filled to nine tenths,
    /// while those of every other bucket are split in halves.
    pub fn new(disk: &Rc<RealDisk>, bucket: Bucket, open: impl FnOnce(&mut OpSink<'_>) -> Box<dyn Engine>) -> Self {
        let (mut ops, mut ids) = (Vec::new(), 0);
        let engine = open(&mut OpSink::new(&mut ops, &mut ids));
        let mut side = EngineSide { engine, bucket, disk: disk.clone(), ids };
        side.disk.run(&mut side.ids, ops, &mut Batch { engine: &mut *side.engine, done: false });
        side
    }

    /// The bolt engine with its file, which is made if it is not there yet.
    pub fn bolt(disk: &Rc<RealDisk>, bucket: Bucket, config: BoltConfig) -> EngineSide {
        EngineSide::new(disk, bucket, |ops| {
            Box::new(match Bolt::exists(&**disk, FILE) {
                true => Bolt::open(disk.clone(), FILE.into(), config).expect("the file is sound"),
                false => Bolt::create(disk.clone(), FILE.into(), config, ops),
            })
        })
    }

    /// Removes the keys, durably.
    pub fn delete_batch(&mut self, keys: &[Bytes]) {
        self.engine.begin();
        for key in keys {
            self.engine.delete(self.bucket, key).expect("the disk is sound");
        }
        self.engine.commit();
        self.commit();
    }

    /// Puts the pairs, and says how long the engine was at it, the disk's time left out.
    pub fn put_batch_timed(&mut self, pairs: &[Pair]) -> Duration {
        let before = self.disk.busy.get();
        let ((), all) = timed(|| self.put_batch(pairs));
        all - (self.disk.busy.get() - before)
    }

    fn commit(&mut self) {
        let mut ops = Vec::new();
        self.engine.commit_batch(&mut OpSink::new(&mut ops, &mut self.ids)).expect("the disk is sound");
        let mut batch = Batch { engine: &mut *self.engine, done: false };
        self.disk.run(&mut self.ids, ops, &mut batch);
        assert!(batch.done, "every operation of the batch is done");
    }
}

struct Batch<'a> {
    engine: &'a mut dyn Engine,
    done: bool,
}

impl Done for Batch<'_> {
    fn op_done(&mut self, id: OpId, ops: &mut OpSink<'_>) {
        self.done |= self.engine.op_done(id, ops).expect("the disk is sound") == Finished::Commit;
    }
}

impl Side for EngineSide {
    fn put_batch(&mut self, pairs: &[Pair]) {
        self.engine.begin();
        for (key, value) in pairs {
            self.engine.put(self.bucket, key.clone(), value.clone()).expect("the disk is sound");
        }
        self.engine.commit();
        self.commit();
    }

    fn get(&self, key: &[u8]) -> usize {
        self.engine.get(self.bucket, key).expect("the disk is sound").map_or(0, |value| value.len())
    }

    fn range(&self, from: &[u8], n: usize) -> (usize, usize) {
        let (mut pairs, mut bytes) = (0, 0);
        let mut visit = |key: &[u8], value: &Bytes| {
            pairs += 1;
            bytes += key.len() + value.len();
            pairs < n
        };
        self.engine.range(self.bucket, from, None, &mut visit).expect("the disk is sound");
        (pairs, bytes)
    }

    fn file_bytes(&self) -> u64 {
        fs::metadata(self.disk.path(FILE)).map_or(0, |file| file.len())
    }
}

/// redb on a real file.
pub struct RedbSide {
    db: Database,
    disk: Rc<RealDisk>,
    /// Kept open between reads, as nobody writes then.
    reader: RefCell<Option<ReadOnlyTable<&'static [u8], &'static [u8]>>>,
}

const REDB_FILE: &str = "redb";
const TABLE: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("key");

impl RedbSide {
    /// A new file.
    pub fn new(disk: &Rc<RealDisk>, cache_bytes: usize) -> RedbSide {
        let mut db = Database::builder();
        let db = db.set_cache_size(cache_bytes).create(disk.path(REDB_FILE)).expect("a new file");
        RedbSide { db, disk: disk.clone(), reader: RefCell::default() }
    }

    fn read<T>(&self, read: impl FnOnce(&ReadOnlyTable<&'static [u8], &'static [u8]>) -> T) -> T {
        let mut reader = self.reader.borrow_mut();
        let table = reader.get_or_insert_with(|| {
            let transaction = self.db.begin_read().expect("a transaction");
            transaction.open_table(TABLE).expect("the table")
        });
        read(table)
    }
}

impl Side for RedbSide {
    fn put_batch(&mut self, pairs: &[Pair]) {
        self.reader.take();
        let mut transaction = self.db.begin_write().expect("a transaction");
        transaction.set_durability(Durability::Immediate).expect("durability of the default");
        let mut table = transaction.open_table(TABLE).expect("the table");
        for (key, value) in pairs {
            table.insert(&key[..], &value[..]).expect("the disk is sound");
        }
        drop(table);
        transaction.commit().expect("the disk is sound");
    }

    fn get(&self, key: &[u8]) -> usize {
        self.read(|table| table.get(key).expect("the disk is sound").map_or(0, |value| value.value().len()))
    }

    fn range(&self, from: &[u8], n: usize) -> (usize, usize) {
        self.read(|table| {
            let (mut pairs, mut bytes) = (0, 0);
            for pair in table.range(from..).expect("the disk is sound").take(n) {
                let (key, value) = pair.expect("the disk is sound");
                pairs += 1;
                bytes += key.value().len() + value.value().len();
            }
            (pairs, bytes)
        })
    }

    fn file_bytes(&self) -> u64 {
        fs::metadata(self.disk.path(REDB_FILE)).map_or(0, |file| file.len())
    }
}
