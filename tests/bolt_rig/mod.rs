//! A bolt engine on a perfect disk whose operations are done when a test says so.

#![allow(dead_code, reason = "each test binary uses its part")]

use bytes::Bytes;
use seedbed::backend::bolt::{Bolt, View};
use seedbed::backend::{BackendError, BoltConfig, Bucket, Engine as _, Finished, FreelistKind, Image};
use seedbed::disk::{DiskError, DiskOp, DiskRead, FileName, OpSink, Shared};
use seedbed::disk_mem::MemDisk;
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

/// Where the file lies.
pub(crate) const DB: &str = "member/snap/db";

/// All pairs by bucket and key.
pub(crate) type Pairs = BTreeMap<(Bucket, Bytes), Bytes>;

/// Both freelists, synced and not.
pub(crate) fn configs(page_size: usize) -> Vec<BoltConfig> {
    let config = |freelist, sync_freelist| BoltConfig { page_size, freelist, sync_freelist, ..BoltConfig::default() };
    let kinds = [FreelistKind::Array, FreelistKind::Hashmap];
    kinds.into_iter().flat_map(|kind| [config(kind, false), config(kind, true)]).collect()
}

/// Numbers that look random: xorshift64.
pub(crate) struct Random(pub u64);

impl Random {
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % n
    }
}

pub(crate) struct Rig {
    pub(crate) disk: Shared<MemDisk>,
    pub(crate) bolt: Bolt,
    config: BoltConfig,
    /// Issued and not done.
    out: VecDeque<DiskOp>,
    next_id: u64,
}

impl Rig {
    /// A new file; its creation is out.
    pub(crate) fn new(config: BoltConfig) -> Rig {
        let disk = Shared::new(MemDisk::new());
        let (mut ops, mut next_id) = (Vec::new(), 0);
        let bolt = Bolt::create(disk.reader(), DB.into(), config, &mut OpSink::new(&mut ops, &mut next_id));
        Rig { disk, bolt, config, out: ops.into(), next_id }
    }

    /// Opens the file of these bytes.
    pub(crate) fn open(bytes: Vec<u8>, config: BoltConfig) -> Result<Rig, BackendError> {
        let mut disk = MemDisk::new();
        disk.insert(DB, bytes);
        let disk = Shared::new(disk);
        let bolt = Bolt::open(disk.reader(), DB.into(), config)?;
        Ok(Rig { disk, bolt, config, out: VecDeque::new(), next_id: 0 })
    }

    /// Does everything that is out and opens the file anew.
    pub(crate) fn reopen(&mut self) {
        self.settle();
        self.bolt = Bolt::open(self.disk.reader(), DB.into(), self.config).unwrap();
    }

    /// One transaction; `None` deletes.
    pub(crate) fn write(&mut self, bucket: Bucket, key: &[u8], value: Option<&[u8]>) {
        self.bolt.begin();
        match value {
            Some(value) => self.bolt.put(bucket, Bytes::copy_from_slice(key), Bytes::copy_from_slice(value)).unwrap(),
            None => self.bolt.delete(bucket, key).unwrap(),
        }
        self.bolt.commit();
    }

    /// Begins a commit.
    pub(crate) fn commit_batch(&mut self) {
        let mut ops = Vec::new();
        self.bolt.commit_batch(&mut OpSink::new(&mut ops, &mut self.next_id)).unwrap();
        self.out.extend(ops);
    }

    /// Does one operation that is out. `None` when there is none.
    pub(crate) fn step(&mut self) -> Option<Finished> {
        let op = self.out.pop_front()?;
        let done = self.disk.get().apply(&op);
        done.result.unwrap();
        let mut ops = Vec::new();
        let finished = self.bolt.op_done(done.id, &mut OpSink::new(&mut ops, &mut self.next_id)).unwrap();
        self.out.extend(ops);
        Some(finished)
    }

    /// Does all that is out.
    pub(crate) fn settle(&mut self) {
        while self.step().is_some() {}
        assert!(!self.bolt.committing(), "a commit that nothing will end");
    }

    /// Makes everything durable.
    pub(crate) fn commit(&mut self) {
        self.settle();
        self.commit_batch();
        self.settle();
        assert_eq!(self.bolt.batched(), 0);
    }

    /// Makes a dense file.
    pub(crate) fn defrag(&mut self) {
        let mut ops = Vec::new();
        self.bolt.begin_defrag(&mut OpSink::new(&mut ops, &mut self.next_id)).unwrap();
        self.out.extend(ops.drain(..));
        while !self.bolt.defrag_slice(3000, &mut OpSink::new(&mut ops, &mut self.next_id)).unwrap() {
            self.out.extend(ops.drain(..));
            self.step();
        }
        self.out.extend(ops);
        while self.step().expect("the dense file takes the other's name") != Finished::Defrag {}
        self.settle();
    }

    pub(crate) fn pairs(&self) -> Pairs {
        pairs(&self.bolt).unwrap()
    }

    /// Nothing may be wrong with the file.
    pub(crate) fn check(&self) {
        let findings: Vec<String> = self.bolt.check().iter().map(ToString::to_string).collect();
        assert!(findings.is_empty(), "{findings:#?}");
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.disk.get().file(DB).unwrap().to_vec()
    }

    /// A whole image, as a file.
    pub(crate) fn image(&self, image: &mut Image) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(image.size as usize);
        while let Some(chunk) = self.bolt.image_chunk(image, 64 << 10).unwrap() {
            bytes.extend_from_slice(&chunk);
        }
        assert_eq!(bytes.len() as u64, image.size);
        bytes
    }
}

/// An image as a file of which only the pages are read that somebody asks for: an image is as long as the file, which
/// many readers make much longer than their trees.
pub(crate) struct ImageDisk {
    pub(crate) rig: Rc<RefCell<Rig>>,
    pub(crate) image: RefCell<Image>,
    pub(crate) page_size: u64,
}

impl DiskRead for ImageDisk {
    fn list(&self, _: &str) -> Vec<FileName> {
        vec![DB.into()]
    }

    fn len(&self, _: &str) -> Result<u64, DiskError> {
        Ok(self.image.borrow().size)
    }

    fn read(&self, _: &str, offset: u64, buf: &mut [u8]) -> Result<usize, DiskError> {
        let mut image = self.image.borrow_mut();
        image.offset = offset - offset % self.page_size;
        let skip = (offset - image.offset) as usize;
        let chunk = self.rig.borrow().bolt.image_chunk(&mut image, skip + buf.len()).unwrap().unwrap_or_default();
        let rest = &chunk[skip.min(chunk.len())..];
        let n = rest.len().min(buf.len());
        buf[..n].copy_from_slice(&rest[..n]);
        Ok(n)
    }
}

/// Everything in an engine.
pub(crate) fn pairs(bolt: &Bolt) -> Result<Pairs, BackendError> {
    let mut pairs = Pairs::new();
    for bucket in Bucket::ALL {
        bolt.range(bucket, &[], None, &mut |key, value| {
            let twice = pairs.insert((bucket, Bytes::copy_from_slice(key)), value.clone());
            assert!(twice.is_none(), "a range came by a key twice");
            true
        })?;
    }
    Ok(pairs)
}

/// A file, to be looked at.
pub(crate) fn view(bytes: Vec<u8>) -> Result<View, BackendError> {
    let mut disk = MemDisk::new();
    disk.insert(DB, bytes);
    View::open(Shared::new(disk).reader(), DB.into())
}

/// Everything in a file, and its transaction.
pub(crate) fn view_pairs(view: &View) -> Result<Pairs, BackendError> {
    let mut pairs = Pairs::new();
    for bucket in Bucket::ALL {
        let Some(info) = view.bucket(bucket.name().as_bytes())? else { continue };
        view.pairs(&info, &[], None, &mut |key, value| {
            pairs.insert((bucket, Bytes::copy_from_slice(key)), value.clone());
            true
        })?;
    }
    Ok(pairs)
}
