//! A bolt engine on a perfect disk whose operations are done when a test says so.

#![allow(dead_code, reason = "each test binary uses its part")]

use bytes::Bytes;
use seedbed::backend::bolt::{Bolt, PageUse, View};
use seedbed::backend::{BackendError, BoltConfig, Bucket, Engine as _, Finished, FreelistKind, Image};
use seedbed::disk::{Action, DiskError, DiskOp, DiskRead, FileName, OpSink, Shared};
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

/// An engine, its disk, and what is on its way between them.
pub(crate) struct Rig {
    pub(crate) disk: Shared<MemDisk>,
    pub(crate) bolt: Bolt,
    pub(crate) config: BoltConfig,
    /// Issued and not done.
    pub(crate) out: VecDeque<DiskOp>,
    next_id: u64,
}

impl Rig {
    /// A new file; its creation is out.
    pub(crate) fn creating(config: BoltConfig) -> Rig {
        let (disk, mut ops, mut next_id) = (Shared::default(), Vec::new(), 0);
        let bolt = Bolt::create(disk.reader(), DB.into(), config, &mut OpSink::new(&mut ops, &mut next_id));
        Rig { disk, bolt, config, out: ops.into(), next_id }
    }

    /// A new file.
    pub(crate) fn new(config: BoltConfig) -> Rig {
        let mut rig = Rig::creating(config);
        rig.settle();
        rig
    }

    /// Opens the file of these bytes.
    pub(crate) fn open(bytes: Vec<u8>, config: BoltConfig) -> Result<Rig, BackendError> {
        let disk = Shared::new(disk_with(bytes));
        let bolt = Bolt::open(disk.reader(), DB.into(), config)?;
        Ok(Rig { disk, bolt, config, out: VecDeque::new(), next_id: 0 })
    }

    /// A new engine on the disk as it is: what is out is lost.
    pub(crate) fn restart(&mut self) {
        self.out.clear();
        self.bolt = Bolt::open(self.disk.reader(), DB.into(), self.config).expect("a legal file opens");
    }

    /// One transaction; `None` deletes.
    pub(crate) fn write(&mut self, edits: impl IntoIterator<Item = (Bucket, Bytes, Option<Bytes>)>) {
        self.bolt.begin();
        for (bucket, key, value) in edits {
            match value {
                Some(value) => self.bolt.put(bucket, key, value).expect("a sound file"),
                None => self.bolt.delete(bucket, &key).expect("a sound file"),
            }
        }
        self.bolt.commit();
    }

    /// The same, of one pair.
    pub(crate) fn set(&mut self, bucket: Bucket, key: &[u8], value: Option<&[u8]>) {
        self.write([(bucket, Bytes::copy_from_slice(key), value.map(Bytes::copy_from_slice))]);
    }

    /// Does one operation that is out, and says what it completed. `None` when there is none.
    pub(crate) fn step(&mut self) -> Option<Finished> {
        let op = self.out.pop_front()?;
        let done = self.disk.get().apply(&op);
        done.result.expect("a perfect disk");
        if matches!(op.action, Action::Write { .. }) {
            return Some(Finished::Nothing);
        }
        Some(self.issue(|bolt, ops| bolt.op_done(op.id, ops)).expect("a perfect disk"))
    }

    /// Does all that is out, and says what was completed.
    pub(crate) fn settle(&mut self) -> Vec<Finished> {
        let mut completed = Vec::new();
        while let Some(finished) = self.step() {
            completed.extend(Some(finished).filter(|finished| *finished != Finished::Nothing));
        }
        assert!(!self.bolt.committing(), "a commit that nothing will end");
        completed
    }

    /// Gives the batch to the disk's queue.
    pub(crate) fn begin_commit(&mut self) {
        self.issue(|bolt, ops| bolt.commit_batch(ops)).expect("a sound file");
    }

    /// Makes everything durable.
    pub(crate) fn commit(&mut self) {
        self.settle();
        let expected: &[Finished] = if self.bolt.batched() > 0 { &[Finished::Commit] } else { &[] };
        self.begin_commit();
        assert_eq!(self.settle(), expected);
        assert_eq!(self.bolt.batched(), 0);
    }

    pub(crate) fn begin_defrag(&mut self) {
        self.issue(|bolt, ops| bolt.begin_defrag(ops)).expect("a sound file");
    }

    pub(crate) fn defrag_slice(&mut self, max: usize) -> bool {
        self.issue(|bolt, ops| bolt.defrag_slice(max, ops)).expect("a sound file")
    }

    pub(crate) fn abandon_defrag(&mut self) {
        self.issue(|bolt, ops| bolt.abandon_defrag(ops));
    }

    /// A commit of a file that may be damaged.
    pub(crate) fn try_commit(&mut self) -> Result<(), BackendError> {
        self.issue(|bolt, ops| bolt.commit_batch(ops))?;
        self.settle();
        Ok(())
    }

    /// A defragmentation of a file that may be damaged.
    pub(crate) fn try_defrag(&mut self) -> Result<(), BackendError> {
        self.issue(|bolt, ops| bolt.begin_defrag(ops))?;
        while !self.issue(|bolt, ops| bolt.defrag_slice(1 << 20, ops))? {}
        self.settle();
        Ok(())
    }

    fn issue<T>(&mut self, call: impl FnOnce(&mut Bolt, &mut OpSink<'_>) -> T) -> T {
        let mut ops = Vec::new();
        let answer = call(&mut self.bolt, &mut OpSink::new(&mut ops, &mut self.next_id));
        self.out.extend(ops);
        answer
    }

    pub(crate) fn pairs(&self) -> Pairs {
        pairs(&self.bolt).expect("a sound file")
    }

    /// Nothing may be wrong with the tree of the last commit that was begun.
    pub(crate) fn check(&self) {
        let findings: Vec<String> = self.bolt.check().iter().map(ToString::to_string).collect();
        assert!(findings.is_empty(), "{findings:#?}");
    }

    /// Nothing may be wrong with the file: the check finds nothing, and (which is another way to come to it) every page
    /// is reached by one tree or free, as the freelist says, if the file keeps one.
    pub(crate) fn check_file(&self) {
        let view = View::open(self.disk.reader(), DB.into()).expect("a sound file");
        let findings: Vec<String> = view.check().iter().map(ToString::to_string).collect();
        assert!(findings.is_empty(), "{findings:#?}");
        let map = view.page_map().expect("a sound file");
        let free = (0..).zip(&map).filter(|(_, page)| **page == PageUse::Free).map(|(id, _)| id).collect::<Vec<u64>>();
        if let Some(listed) = view.freelist().expect("a sound file") {
            assert_eq!(listed, free);
        }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.disk.get().file(DB).expect("the file").to_vec()
    }

    /// The rest of an image, in chunks of so many bytes.
    pub(crate) fn read(&self, image: &mut Image, chunk: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        while let Some(chunk) = self.bolt.image_chunk(image, chunk).expect("a sound file") {
            bytes.extend_from_slice(&chunk);
        }
        assert_eq!(image.offset, image.size);
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
            let key = (bucket, Bytes::copy_from_slice(key));
            assert!(pairs.last_key_value().is_none_or(|(last, _)| *last < key), "a range ascends, past {key:?}");
            pairs.insert(key, value.clone());
            true
        })?;
    }
    Ok(pairs)
}

/// A file, to be looked at.
pub(crate) fn view(bytes: Vec<u8>) -> Result<View, BackendError> {
    View::open(Shared::new(disk_with(bytes)).reader(), DB.into())
}

fn disk_with(bytes: Vec<u8>) -> MemDisk {
    let mut disk = MemDisk::new();
    disk.insert(DB, bytes);
    disk
}

/// Everything in a file.
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
