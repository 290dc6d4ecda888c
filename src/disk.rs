//! The disk seam: what a member may ask of a disk, and what a disk may answer.
//!
//! A member never touches a file. It *reads* through [`DiskRead`], synchronously, as a page fault would; everything
//! that changes a file is a [`DiskOp`] among its effects, whose completion comes back as an input. Whoever does the
//! operations holds the same disk as a [`Shared`].
//!
//! The contract that every disk (the simulated one and the real one) keeps:
//! - The operations of one member start in the order in which it issued them.
//! - A member sees its own issued writes at once (the page cache), long before they are durable.
//! - A [`Action::Write`] completes silently; if it fails (ENOSPC, EIO) its failure is reported under its id.
//!   Every other action is reported when it is done. Completions come in order for each file.
//! - A completed [`Action::Sync`] covers the bytes *and length* of that file that were issued before it. It does not
//!   cover the file's name: a new, renamed or removed file is durable only after [`Action::SyncDir`] of its directory.
//! - At a crash everything not covered is up for grabs: lost, kept, reordered or torn by 512-byte sector.
//!
//! Paths are relative to the member's data directory, `/`-separated, for example `member/wal/…0.wal`. Directories
//! exist as soon as a file is created in them.
//!
//! Left out: permissions, links, partial reads, memory maps.

use bytes::{Bytes, BytesMut};
use std::cell::{RefCell, RefMut};
use std::hash::{Hash, Hasher};
use std::rc::Rc;
use std::sync::Arc;

/// A file's path below the member's data directory. Cheap to clone: a WAL segment's name goes with every write.
pub type FileName = Arc<str>;

/// A member's own number for an operation; completions carry it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OpId(pub u64);

/// One change to one file.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DiskOp {
    /// Comes back with the completion.
    pub id: OpId,
    /// The file (or, for [`Action::SyncDir`], the directory).
    pub file: FileName,
    /// What to do with it.
    pub action: Action,
}

/// What a write puts down: pieces of memory, one after the other (as `writev` takes them). So pages that lie side by side
/// in a file are written with one operation and stay where they are in memory, shared with whoever else holds them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gather {
    first: Bytes,
    rest: Box<[Bytes]>,
}

impl Gather {
    /// Pieces in the order in which they are written.
    ///
    /// # Panics
    /// If there is none.
    pub fn of(pieces: Vec<Bytes>) -> Gather {
        let mut pieces = pieces.into_iter();
        let first = pieces.next().expect("invariant: something is written");
        Gather { first, rest: pieces.collect() }
    }

    /// All pieces.
    pub fn pieces(&self) -> impl Iterator<Item = &Bytes> {
        std::iter::once(&self.first).chain(&self.rest)
    }

    /// Bytes in all.
    #[allow(clippy::len_without_is_empty, reason = "what is written is not empty")]
    pub fn len(&self) -> usize {
        self.pieces().map(Bytes::len).sum()
    }

    /// The bytes in one piece; copied, unless they are.
    pub fn joined(&self) -> Bytes {
        if self.rest.is_empty() {
            return self.first.clone();
        }
        let mut all = BytesMut::with_capacity(self.len());
        self.pieces().for_each(|piece| all.extend_from_slice(piece));
        all.freeze()
    }
}

impl From<Bytes> for Gather {
    fn from(first: Bytes) -> Gather {
        Gather { first, rest: Box::default() }
    }
}

impl From<Vec<u8>> for Gather {
    fn from(bytes: Vec<u8>) -> Gather {
        Bytes::from(bytes).into()
    }
}

/// As the bytes in one piece would.
impl Hash for Gather {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_usize(self.len());
        self.pieces().for_each(|piece| state.write(piece));
    }
}

/// What a [`DiskOp`] does.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Create the file, or empty it if it exists.
    Create,
    /// Write `data` at byte `offset`; a gap before it reads as zeros. Completes silently, or with an error.
    Write {
        /// Where, in bytes from the start of the file.
        offset: u64,
        /// What.
        data: Gather,
    },
    /// Set the length in bytes: cut, or extend with zeros. A disk of real files does well to write them: a later sync
    /// of a write into a hole has to wait for the block's place in the file system's journal as well.
    Truncate {
        /// The new length in bytes.
        len: u64,
    },
    /// Make the file's bytes and length durable (`fdatasync`).
    Sync,
    /// Rename the file, replacing `to` if it exists. Atomic, but durable only after [`Action::SyncDir`].
    Rename {
        /// The new path.
        to: FileName,
    },
    /// Remove the file.
    Remove,
    /// Make creations, renames and removals in the directory durable.
    SyncDir,
}

/// How an operation ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DiskDone {
    /// Which one.
    pub id: OpId,
    /// `Err` says what the disk said. After a failed sync the pages may be gone: it is never retried.
    pub result: Result<(), DiskError>,
}

/// What a disk can answer instead of doing its work.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum DiskError {
    /// EIO: the medium failed.
    #[error("{file}: input/output error at byte {offset}")]
    Io {
        /// The file.
        file: FileName,
        /// Where in it, in bytes.
        offset: u64,
    },
    /// ENOSPC: no room left.
    #[error("{file}: no space left on device")]
    NoSpace {
        /// The file.
        file: FileName,
    },
    /// The file does not exist.
    #[error("{file}: no such file")]
    NotFound {
        /// The file.
        file: FileName,
    },
}

/// Reading, synchronously and with the member's own writes visible.
pub trait DiskRead {
    /// All files below `dir` (a path without trailing slash), as full paths in ascending order.
    fn list(&self, dir: &str) -> Vec<FileName>;

    /// Length of the file in bytes.
    fn len(&self, file: &str) -> Result<u64, DiskError>;

    /// Fills `buf` from byte `offset`. Returns how many bytes there were: fewer than asked only at the file's end.
    fn read(&self, file: &str, offset: u64, buf: &mut [u8]) -> Result<usize, DiskError>;

    /// A hint: all of the file is about to be read, by and large from its beginning to its end. Nothing that a read
    /// answers depends on it. A disk of real files reads ahead on a thread of its own: what a system call costs is then
    /// paid beside the reader's work and not between its pieces. Any other disk has no use for it.
    fn will_read(&self, file: &str) {
        let _ = file;
    }

    /// The whole file.
    fn read_all(&self, file: &str) -> Result<Vec<u8>, DiskError> {
        let mut all = vec![0; usize::try_from(self.len(file)?).expect("invariant: a file fits in memory")];
        let n = self.read(file, 0, &mut all)?;
        all.truncate(n);
        Ok(all)
    }
}

/// A disk as it is shared by whoever does its operations and the member, which only reads.
#[derive(Debug, Default)]
pub struct Shared<D>(Rc<RefCell<D>>);

impl<D> Shared<D> {
    /// Shares a disk.
    pub fn new(disk: D) -> Shared<D> {
        Shared(Rc::new(RefCell::new(disk)))
    }

    /// The disk, for whoever does its operations; never while a member steps.
    pub fn get(&self) -> RefMut<'_, D> {
        self.0.borrow_mut()
    }
}

impl<D: DiskRead + 'static> Shared<D> {
    /// The disk, for a member.
    pub fn reader(&self) -> Rc<dyn DiskRead> {
        Rc::new(self.clone())
    }
}

/// The same disk, not a copy of it.
impl<D> Clone for Shared<D> {
    fn clone(&self) -> Shared<D> {
        Shared(Rc::clone(&self.0))
    }
}

impl<D: DiskRead> DiskRead for Shared<D> {
    fn list(&self, dir: &str) -> Vec<FileName> {
        self.0.borrow().list(dir)
    }

    fn len(&self, file: &str) -> Result<u64, DiskError> {
        self.0.borrow().len(file)
    }

    fn read(&self, file: &str, offset: u64, buf: &mut [u8]) -> Result<usize, DiskError> {
        self.0.borrow().read(file, offset, buf)
    }

    fn will_read(&self, file: &str) {
        self.0.borrow().will_read(file);
    }
}

/// Numbers operations and collects them: how a layer that does no I/O asks for some.
#[derive(Debug)]
pub struct OpSink<'a> {
    ops: &'a mut Vec<DiskOp>,
    next_id: &'a mut u64,
}

impl<'a> OpSink<'a> {
    /// Operations go to the end of `ops`; their ids count up from `next_id`.
    pub fn new(ops: &'a mut Vec<DiskOp>, next_id: &'a mut u64) -> Self {
        Self { ops, next_id }
    }

    fn push(&mut self, file: &FileName, action: Action) -> OpId {
        let id = OpId(*self.next_id);
        *self.next_id += 1;
        self.ops.push(DiskOp { id, file: file.clone(), action });
        id
    }

    /// Bytes that the writes so far carry.
    pub fn bytes(&self) -> u64 {
        let bytes = |op: &DiskOp| match &op.action {
            Action::Write { data, .. } => data.len() as u64,
            _ => 0,
        };
        self.ops.iter().map(bytes).sum()
    }

    /// [`Action::Create`].
    pub fn create(&mut self, file: &FileName) -> OpId {
        self.push(file, Action::Create)
    }

    /// [`Action::Write`].
    pub fn write(&mut self, file: &FileName, offset: u64, data: impl Into<Gather>) -> OpId {
        self.push(file, Action::Write { offset, data: data.into() })
    }

    /// [`Action::Truncate`].
    pub fn truncate(&mut self, file: &FileName, len: u64) -> OpId {
        self.push(file, Action::Truncate { len })
    }

    /// [`Action::Sync`].
    pub fn sync(&mut self, file: &FileName) -> OpId {
        self.push(file, Action::Sync)
    }

    /// [`Action::Rename`].
    pub fn rename(&mut self, file: &FileName, to: &FileName) -> OpId {
        self.push(file, Action::Rename { to: to.clone() })
    }

    /// [`Action::Remove`].
    pub fn remove(&mut self, file: &FileName) -> OpId {
        self.push(file, Action::Remove)
    }

    /// [`Action::SyncDir`].
    pub fn sync_dir(&mut self, dir: &FileName) -> OpId {
        self.push(dir, Action::SyncDir)
    }
}
