//! An engine, its disk, and what is on its way between them.

use bytes::Bytes;
use seedbed::backend::bolt::Bolt;
use seedbed::backend::{BackendError, BoltConfig, Bucket, Engine, Finished, Image};
use seedbed::disk::{Action, DiskOp, OpSink, Shared};
use seedbed::disk_mem::MemDisk;

pub(crate) const FILE: &str = "member/snap/db";

pub(crate) struct Rig {
    pub(crate) disk: Shared<MemDisk>,
    pub(crate) bolt: Bolt,
    pub(crate) config: BoltConfig,
    pub(crate) ops: Vec<DiskOp>,
    next: u64,
}

impl Rig {
    /// A new file, with nothing of it on the disk yet.
    pub(crate) fn creating(config: BoltConfig) -> Rig {
        let (disk, mut ops, mut next) = (Shared::default(), Vec::new(), 0);
        let bolt = Bolt::create(disk.reader(), FILE.into(), config, &mut OpSink::new(&mut ops, &mut next));
        Rig { disk, bolt, config, ops, next }
    }

    /// A new file.
    pub(crate) fn new(config: BoltConfig) -> Rig {
        let mut rig = Rig::creating(config);
        rig.settle();
        rig
    }

    /// An engine started from what is on a disk.
    pub(crate) fn start(disk: MemDisk, config: BoltConfig) -> Result<Rig, BackendError> {
        let disk = Shared::new(disk);
        let bolt = Bolt::open(disk.reader(), FILE.into(), config)?;
        Ok(Rig { disk, bolt, config, ops: Vec::new(), next: 0 })
    }

    /// The same disk, a new engine.
    pub(crate) fn restart(&mut self) {
        let disk = self.disk.get().clone();
        *self = Rig::start(disk, self.config).expect("a legal file opens");
    }

    /// Does one operation. What it completed, if anything.
    pub(crate) fn one(&mut self) -> Finished {
        let op = self.ops.remove(0);
        self.disk.get().apply(&op).result.expect("a perfect disk");
        if matches!(op.action, Action::Write { .. }) {
            return Finished::Nothing;
        }
        let mut sink = OpSink::new(&mut self.ops, &mut self.next);
        self.bolt.op_done(op.id, &mut sink).expect("a perfect disk")
    }

    /// Does operations until there is none.
    pub(crate) fn settle(&mut self) -> Vec<Finished> {
        let mut finished = Vec::new();
        while !self.ops.is_empty() {
            finished.extend(Some(self.one()).filter(|finished| *finished != Finished::Nothing));
        }
        finished
    }

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

    /// Gives the batch to the disk's queue.
    pub(crate) fn begin_commit(&mut self) {
        self.bolt.commit_batch(&mut OpSink::new(&mut self.ops, &mut self.next)).expect("a sound file");
    }

    /// The same, and waits.
    pub(crate) fn commit(&mut self) {
        self.begin_commit();
        assert_eq!(self.settle(), [Finished::Commit]);
        assert!(!self.bolt.committing());
    }

    pub(crate) fn begin_defrag(&mut self) {
        self.bolt.begin_defrag(&mut OpSink::new(&mut self.ops, &mut self.next)).expect("a sound file");
    }

    pub(crate) fn defrag_slice(&mut self, max: usize) -> bool {
        self.bolt.defrag_slice(max, &mut OpSink::new(&mut self.ops, &mut self.next)).expect("a sound file")
    }

    pub(crate) fn abandon_defrag(&mut self) {
        self.bolt.abandon_defrag(&mut OpSink::new(&mut self.ops, &mut self.next));
    }

    /// A commit of a file that may be damaged.
    pub(crate) fn try_commit(&mut self) -> Result<(), BackendError> {
        self.bolt.commit_batch(&mut OpSink::new(&mut self.ops, &mut self.next))?;
        self.settle();
        Ok(())
    }

    /// A defragmentation of a file that may be damaged.
    pub(crate) fn try_defrag(&mut self) -> Result<(), BackendError> {
        self.bolt.begin_defrag(&mut OpSink::new(&mut self.ops, &mut self.next))?;
        while !self.bolt.defrag_slice(1 << 20, &mut OpSink::new(&mut self.ops, &mut self.next))? {}
        self.settle();
        Ok(())
    }

    /// All pairs.
    pub(crate) fn pairs(&self) -> Vec<(Bucket, Bytes, Bytes)> {
        let mut pairs = Vec::new();
        for bucket in Bucket::ALL {
            let visit = &mut |key: &[u8], value: &Bytes| {
                pairs.push((bucket, Bytes::copy_from_slice(key), value.clone()));
                true
            };
            self.bolt.range(bucket, b"", None, visit).expect("a sound file");
        }
        pairs
    }

    /// The rest of an image.
    pub(crate) fn read(&self, image: &mut Image, chunk: usize) -> Vec<u8> {
        let mut all = Vec::new();
        while let Some(chunk) = self.bolt.image_chunk(image, chunk).expect("a sound file") {
            all.extend(chunk);
        }
        assert_eq!(image.offset, image.size);
        all
    }
}

/// A disk with one file.
pub(crate) fn disk_with(file: Vec<u8>) -> MemDisk {
    let mut disk = MemDisk::new();
    disk.insert(FILE, file);
    disk
}

/// Every page is reached by one tree or free, and the freelist (if the file keeps one) says so.
pub(crate) fn check(disk: &Shared<MemDisk>) {
    use seedbed::backend::bolt::{PageUse, View};
    let view = View::open(disk.reader(), FILE.into()).expect("a sound file");
    let map = view.page_map().expect("a sound file");
    let free = (0..).zip(&map).filter(|(_, page)| **page == PageUse::Free).map(|(id, _)| id).collect::<Vec<u64>>();
    if let Some(listed) = view.freelist().expect("a sound file") {
        assert_eq!(listed, free);
    }
}
