//! bbolt's simulation: 1 to 10,000 operations with 1 to 1,000 readers at a time, against a model of every transaction.
//!
//! An operation is a transaction of random writes, or a reader that comes or goes. Commits are out while others work:
//! their disk operations are done a few at a time. A reader pins the tree that it came to; when it goes, and at the end,
//! all that it sees is compared with the model as of *its* transaction.

#[path = "support/bolt.rs"]
mod rig;

use bytes::Bytes;
use rig::{DB, ImageDisk, Pairs, Random, Rig, configs, view_pairs};
use seedbed::backend::bolt::View;
use seedbed::backend::{BoltConfig, Bucket, Engine as _, Image};
use std::cell::{RefCell, RefMut};
use std::collections::BTreeMap;
use std::rc::Rc;

/// A pair's values, each with the transaction that set it; `None`: removed.
type Versions = Vec<(u64, Option<Bytes>)>;

/// The values of every key: each with the transaction that wrote it.
#[derive(Default)]
struct Model(BTreeMap<(Bucket, Bytes), Versions>);

impl Model {
    fn write(&mut self, txid: u64, bucket: Bucket, key: &Bytes, value: Option<Bytes>) {
        let versions = self.0.entry((bucket, key.clone())).or_default();
        versions.pop_if(|last| last.0 == txid);
        versions.push((txid, value));
    }

    fn at(&self, txid: u64) -> Pairs {
        let value = |versions: &[(u64, Option<Bytes>)]| {
            let at = versions.partition_point(|version| version.0 <= txid);
            versions[..at].last()?.1.clone()
        };
        self.0.iter().filter_map(|(key, versions)| Some((key.clone(), value(versions)?))).collect()
    }
}

struct Simulation {
    rig: Rc<RefCell<Rig>>,
    page_size: u64,
    random: Random,
    model: Model,
    /// Of the tree that the next reader pins.
    txid: u64,
    readers: Vec<(u64, Image)>,
    readers_max: usize,
    keys: u64,
    /// One of so many readers that go is looked at. (At the end all that are left are.)
    look_at: u64,
}

impl Simulation {
    fn run(config: BoltConfig, operations: u64, readers_max: usize) {
        let seed = operations * 7919 + readers_max as u64 * 31 + u64::from(config.sync_freelist) + 1;
        let mut simulation = Simulation {
            rig: Rc::new(RefCell::new(Rig::creating(config))),
            page_size: config.page_size as u64,
            random: Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1),
            model: Model::default(),
            txid: 1,
            readers: Vec::new(),
            readers_max,
            keys: (operations / 4).clamp(10, 600),
            look_at: operations / 200 + 1,
        };
        for _ in 0..operations {
            simulation.operation();
        }
        simulation.end(config);
    }

    fn rig(&self) -> RefMut<'_, Rig> {
        self.rig.borrow_mut()
    }

    fn operation(&mut self) {
        match self.random.below(3) {
            0 => self.read(),
            _ => self.write(),
        }
        for _ in 0..self.random.below(6) {
            self.rig().step();
        }
    }

    fn write(&mut self) {
        for _ in 0..=self.random.below(8) {
            let bucket =
                if self.random.below(3) > 0 { Bucket::Key } else { Bucket::ALL[self.random.below(10) as usize] };
            let key = format!("key{:05}", self.random.below(self.keys));
            let value = match self.random.below(40) {
                0..10 => None,
                39 => Some(vec![b'v'; self.random.below(9000) as usize]),
                n => Some(vec![b'a' + n as u8 % 26; self.random.below(120) as usize]),
            };
            self.rig().set(bucket, key.as_bytes(), value.as_deref());
            self.model.write(self.txid + 1, bucket, &Bytes::from(key), value.map(Bytes::from));
        }
        let committing = self.rig().bolt.committing();
        if !committing && self.random.below(2) == 0 {
            self.rig().begin_commit();
            self.txid += 1;
        }
    }

    fn read(&mut self) {
        let key = Bytes::from(format!("key{:05}", self.random.below(self.keys)));
        let bucket = Bucket::ALL[self.random.below(10) as usize];
        let newest = self.model.0.get(&(bucket, key.clone())).and_then(|versions| versions.last()?.1.clone());
        assert_eq!(self.rig().bolt.get(bucket, &key).unwrap(), newest);
        if self.readers.len() < self.readers_max {
            let image = self.rig().bolt.begin_image();
            self.readers.push((self.txid, image));
        } else {
            let at = self.random.below(self.readers.len() as u64) as usize;
            let (txid, image) = self.readers.swap_remove(at);
            let look = self.random.below(self.look_at) == 0;
            self.leave(txid, image, look);
        }
    }

    fn leave(&mut self, txid: u64, image: Image, look: bool) {
        let (rig, page_size) = (Rc::clone(&self.rig), self.page_size);
        let disk = Rc::new(ImageDisk { rig, image: RefCell::new(image), page_size });
        if look {
            let view = View::open(disk.clone(), DB.into()).unwrap();
            assert_eq!(view.meta().txid, txid);
            assert!(view_pairs(&view).unwrap() == self.model.at(txid), "the reader of transaction {txid}");
        }
        let disk = Rc::into_inner(disk).expect("the view is gone");
        self.rig().bolt.end_image(disk.image.into_inner());
    }

    fn end(mut self, config: BoltConfig) {
        self.rig().settle();
        self.rig().check();
        assert_eq!(self.rig().bolt.stats().readers, self.readers.len() as u64);
        for (txid, image) in std::mem::take(&mut self.readers) {
            self.leave(txid, image, true);
        }
        self.rig().commit();
        self.rig().check();
        let (hash, all) = (self.rig().bolt.hash(), self.model.at(u64::MAX));
        assert!(self.rig().pairs() == all);
        self.rig().restart();
        self.rig().check();
        assert!(self.rig().pairs() == all, "after a new start");
        assert_eq!(self.rig().bolt.hash(), hash, "{config:?}");
        assert_eq!(self.rig().bolt.stats().readers, 0);
    }
}

/// bbolt's sizes, and its largest times ten readers.
fn simulate(config: BoltConfig) {
    for operations in [1, 10, 100, 1000, 10_000] {
        for readers in [1, 10, 100, 1000].into_iter().filter(|readers| *readers <= operations) {
            Simulation::run(config, operations, readers as usize);
        }
    }
}

#[test]
fn readers_see_their_transaction_with_an_array_that_is_not_synced() {
    simulate(configs(4096)[0]);
}

#[test]
fn readers_see_their_transaction_with_an_array_that_is_synced() {
    simulate(configs(4096)[1]);
}

#[test]
fn readers_see_their_transaction_with_a_hashmap_that_is_not_synced() {
    simulate(configs(4096)[2]);
}

#[test]
fn readers_see_their_transaction_with_a_hashmap_that_is_synced() {
    simulate(configs(4096)[3]);
}

#[test]
fn small_pages_make_deep_trees() {
    for config in configs(512) {
        Simulation::run(config, 2000, 20);
    }
}
