//! Which pages a read touches: no more than those that hold what it asks for, and the way to them.

use bytes::Bytes;
use seedbed::backend::bolt::{Bolt, Content, PageKind, View};
use seedbed::backend::{BoltConfig, Bucket, Engine, Finished};
use seedbed::disk::{Action, DiskError, DiskRead, FileName, OpSink, Shared};
use seedbed::disk_mem::MemDisk;
use seedbed::mvcc::Revision;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ops::Range;
use std::rc::Rc;

const FILE: &str = "member/snap/db";
const PAGE_BYTES: u64 = 4096;
const KEYS: i64 = 40_000;

/// A disk that remembers which pages were read.
#[derive(Debug, Default)]
struct Counting {
    disk: Shared<MemDisk>,
    touched: RefCell<BTreeSet<u64>>,
}

impl DiskRead for Counting {
    fn list(&self, dir: &str) -> Vec<FileName> {
        self.disk.list(dir)
    }

    fn len(&self, file: &str) -> Result<u64, DiskError> {
        DiskRead::len(&self.disk, file)
    }

    fn read(&self, file: &str, offset: u64, buf: &mut [u8]) -> Result<usize, DiskError> {
        let end = offset + buf.len() as u64;
        self.touched.borrow_mut().extend(offset / PAGE_BYTES..end.div_ceil(PAGE_BYTES));
        self.disk.read(file, offset, buf)
    }
}

impl Counting {
    /// The pages that `work` reads.
    fn during<T>(&self, work: impl FnOnce() -> T) -> BTreeSet<u64> {
        self.touched.take();
        work();
        self.touched.take()
    }
}

/// 40,000 records with values of 256 bytes, and an engine that has just opened the file. Nothing of it is in memory.
fn opened() -> (Rc<Counting>, Bolt) {
    let disk = Rc::new(Counting::default());
    let config = BoltConfig { sync_freelist: true, cache_bytes: 1 << 20, ..BoltConfig::default() };
    fill(&disk, config);
    let bolt = Bolt::open(disk.clone(), FILE.into(), config).expect("a sound file");
    (disk, bolt)
}

fn fill(disk: &Rc<Counting>, config: BoltConfig) {
    let (mut ops, mut ids) = (Vec::new(), 0);
    let mut bolt = Bolt::create(disk.clone(), FILE.into(), config, &mut OpSink::new(&mut ops, &mut ids));
    for first in (0..KEYS).step_by(1_000) {
        bolt.begin();
        for main in first..first + 1_000 {
            bolt.put(Bucket::Key, key(main), Bytes::from_static(&[7; 256])).expect("a sound file");
        }
        bolt.commit();
        bolt.commit_batch(&mut OpSink::new(&mut ops, &mut ids)).expect("a sound file");
        let mut finished = Finished::Nothing;
        while !ops.is_empty() {
            let op = ops.remove(0);
            disk.disk.get().apply(&op).result.expect("a perfect disk");
            if !matches!(op.action, Action::Write { .. }) {
                finished = bolt.op_done(op.id, &mut OpSink::new(&mut ops, &mut ids)).expect("a perfect disk");
            }
        }
        assert_eq!(finished, Finished::Commit);
    }
}

fn key(main: i64) -> Bytes {
    Revision { main, sub: 0 }.encode(false)
}

/// The pages of the bucket's tree below which keys of the range stand: its leaves, and its branches.
fn pages_of(disk: &Rc<Counting>, keys: Range<i64>) -> (BTreeSet<u64>, BTreeSet<u64>) {
    let view = View::open(disk.clone(), FILE.into()).expect("a sound file");
    let (from, to) = (key(keys.start), key(keys.end));
    let (mut leaves, mut branches) = (BTreeSet::new(), BTreeSet::new());
    let mut all = Vec::new();
    view.walk(&mut |reach| all.push((reach.id, reach.kind, reach.bucket == [Bytes::from("key")]))).expect("sound");
    for (id, kind, _) in all.into_iter().filter(|(.., of_bucket)| *of_bucket) {
        match view.content(id).expect("a sound page") {
            Content::Leaf(leaf) if leaf.key(0) < &to[..] && leaf.key(leaf.len() - 1) >= &from[..] => {
                leaves.insert(id);
            }
            _ if kind == PageKind::Branch => {
                branches.insert(id);
            }
            _ => {}
        }
    }
    (leaves, branches)
}

#[test]
fn opening_with_a_freelist_touches_a_handful_of_pages() {
    let (disk, bolt) = opened();
    let file_pages = bolt.stats().size / PAGE_BYTES;
    let config = BoltConfig { sync_freelist: true, ..BoltConfig::default() };
    let touched = disk.during(|| Bolt::open(disk.clone(), FILE.into(), config).expect("a sound file"));
    assert!(touched.len() <= 5, "two metas, the freelist, the tree of buckets, the root of `key`: {touched:?}");
    assert!(file_pages > 2_500, "a file of {file_pages} pages");
}

#[test]
fn a_get_touches_a_page_a_level() {
    let (disk, bolt) = opened();
    let (leaves, branches) = pages_of(&disk, 20_000..20_001);
    let touched = disk.during(|| assert!(bolt.get(Bucket::Key, &key(20_000)).expect("a sound file").is_some()));
    assert_eq!(touched.difference(&branches).copied().collect::<BTreeSet<_>>(), leaves);
    assert_eq!(touched.len(), 3, "the root, a branch, a leaf: {touched:?}");
}

#[test]
fn a_range_of_a_thousand_keys_touches_its_leaves_and_the_way_to_them() {
    let (disk, bolt) = opened();
    for first in [0, 12_345, KEYS - 1_000] {
        let keys = first..first + 1_000;
        let (leaves, branches) = pages_of(&disk, keys.clone());
        assert!((60..100).contains(&leaves.len()), "13 or 14 records a leaf make {} leaves", leaves.len());
        let mut seen = 0;
        let mut visit = |_: &[u8], _: &Bytes| {
            seen += 1;
            true
        };
        let (from, to) = (key(keys.start), key(keys.end));
        let touched = disk.during(|| bolt.range(Bucket::Key, &from, Some(&to), &mut visit).expect("a sound file"));
        assert_eq!(seen, 1_000);
        let others: BTreeSet<u64> = touched.difference(&leaves).copied().collect();
        assert!(others.is_subset(&branches), "neither leaf of the range nor branch: {others:?}");
        assert!(others.len() <= 3, "the root, and the branches above so few leaves: {others:?}");
        assert!(leaves.is_subset(&touched), "every leaf of the range is read from the disk");
    }
}

#[test]
fn a_range_that_is_broken_off_has_read_ahead_no_more_than_it_had_read() {
    let (disk, bolt) = opened();
    let (leaves, branches) = pages_of(&disk, 5_000..6_000);
    let mut left = 1_000;
    let mut visit = |_: &[u8], _: &Bytes| {
        left -= 1;
        left > 0
    };
    let touched = disk.during(|| bolt.range(Bucket::Key, &key(5_000), None, &mut visit).expect("a sound file"));
    let read = touched.difference(&branches).count();
    assert!(read <= 2 * leaves.len(), "{read} leaves for a range over {}", leaves.len());
}
