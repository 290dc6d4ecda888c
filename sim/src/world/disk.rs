//! The simulated disk: what is in the page cache, what is on the platter, and everything that can happen between them.
//!
//! Each file has a *live* content, which the member reads, and a *durable* one, which a crash leaves. A write changes
//! the live content at once and waits in a list; a sync moves the list of its file into the durable content. Names
//! work alike: a creation, rename or removal is live at once and durable after a sync of its directory.
//!
//! The faults, complete (so that a failure of a member that is not explained by one of these is a bug of the member):
//! - **at a crash**: unsynced writes are lost, kept, or each 512-byte sector of each write is kept or lost by itself
//!   (which tears and reorders them); unsynced names are kept up to a point and lost after it, as a journal does;
//! - **errors**: EIO on the next sync, a failing sync whose pages are gone, ENOSPC (once, or while the disk is full);
//! - **lies**: a sync that reports success and does nothing; a write that lands elsewhere; bits that rot; sectors that
//!   can no longer be read;
//! - **time**: a latency for writes and syncs, slow ones among them, a factor, a stall of the next sync.

use super::random::Stream;
use super::record::Slow;
use crate::scenario::{Disk as Profile, DiskErrorKind, Unsynced, WalOrSnap};
use bytes::Bytes;
use seedbed::disk::{Action, DiskError, DiskOp, DiskRead, FileName};
use seedbed::time::Nanos;
use std::cell::{RefCell, RefMut};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

const SECTOR: u64 = 512;

/// See the module.
#[derive(Debug)]
pub(super) struct SimDisk {
    live: BTreeMap<FileName, u32>,
    durable: BTreeMap<FileName, u32>,
    /// Changes of names since the last sync of their directory, in order.
    names: Vec<NameChange>,
    /// Numbers the changes of names.
    names_changed: u64,
    /// For each directory sync that is out, oldest first: the changes numbered below this are covered.
    dir_syncs: VecDeque<u64>,
    inodes: Vec<Inode>,
    /// Sectors that cannot be read: (inode, sector).
    latent: BTreeSet<(u32, u64)>,
    /// The next operation begins when the one before has ended.
    free_at: Nanos,
    pub(super) profile: Profile,
    random: Stream,
    pub(super) faults: Faults,
}

/// What is wrong with the disk at the moment.
#[derive(Debug, Default)]
pub(super) struct Faults {
    /// Everything takes this many times longer; 0 and 1 are the usual speed. With the record that says so.
    pub(super) slow: Option<(u32, u32)>,
    /// The next sync takes this long. With the record that says so.
    pub(super) stall: Option<(Nanos, u32)>,
    /// Syncs report success and do nothing.
    pub(super) lying: bool,
    /// No room for anything.
    pub(super) full: bool,
    /// The next operation that can fail so does.
    pub(super) error: Option<DiskErrorKind>,
    /// The next write lands elsewhere.
    pub(super) misdirect: bool,
    /// The power goes off before the operation after so many.
    pub(super) cut_after: Option<u64>,
}

#[derive(Debug)]
struct NameChange {
    number: u64,
    directory: String,
    change: Change,
}

#[derive(Debug)]
enum Change {
    Set(FileName, u32),
    Unset(FileName),
    Move(FileName, FileName),
}

/// A content; bytes past `data` up to `len` are zeros, so that a preallocated segment costs nothing.
#[derive(Clone, Debug, Default)]
struct Content {
    data: Vec<u8>,
    len: u64,
}

#[derive(Clone, Debug)]
enum Pending {
    Write { offset: u64, data: Bytes },
    Truncate { len: u64 },
}

#[derive(Debug, Default)]
struct Inode {
    live: Content,
    durable: Content,
    /// Changes that no sync has covered yet, in order.
    pending: VecDeque<Pending>,
    /// Changes ever made, and how many of them are durable.
    changed: u64,
    flushed: u64,
    /// For each sync that is out, oldest first: how many of the changes ever made it covers.
    syncs: VecDeque<u64>,
}

impl Content {
    fn apply(&mut self, change: &Pending) {
        match change {
            Pending::Write { offset, data } => self.write(*offset, data),
            Pending::Truncate { len } => {
                self.data.truncate(usize::try_from(*len).expect("invariant: a file fits in memory"));
                self.len = *len;
            }
        }
    }

    fn write(&mut self, offset: u64, data: &[u8]) {
        let start = usize::try_from(offset).expect("invariant: a file fits in memory");
        let end = start + data.len();
        if self.data.len() < end {
            self.data.resize(end, 0);
        }
        self.data[start..end].copy_from_slice(data);
        self.len = self.len.max(end as u64);
    }

    fn read(&self, offset: u64, buf: &mut [u8]) -> usize {
        let n = usize::try_from(self.len.saturating_sub(offset)).unwrap_or(usize::MAX).min(buf.len());
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(self.data.len());
        let stored = &self.data[start..(start + n).min(self.data.len())];
        buf[..stored.len()].copy_from_slice(stored);
        buf[stored.len()..n].fill(0);
        n
    }
}

/// How an operation will go.
#[derive(Debug)]
pub(super) struct Begun {
    /// When it is done.
    pub(super) done_at: Nanos,
    /// How long it will have taken.
    pub(super) took: Nanos,
    /// Why so long, and the record of the fault if one is to blame.
    pub(super) why: (Slow, Option<u32>),
    /// What it will report; `None`: nothing (a write that succeeds).
    pub(super) report: Option<Result<(), DiskError>>,
    /// The power goes off before this operation.
    pub(super) power_cut: bool,
}

impl SimDisk {
    pub(super) fn new(profile: Profile, random: Stream) -> SimDisk {
        SimDisk {
            live: BTreeMap::new(),
            durable: BTreeMap::new(),
            names: Vec::new(),
            names_changed: 0,
            dir_syncs: VecDeque::new(),
            inodes: Vec::new(),
            latent: BTreeSet::new(),
            free_at: 0,
            profile,
            random,
            faults: Faults::default(),
        }
    }

    /// Begins an operation at `now`: the live contents change at once. A sync takes effect with [`SimDisk::finish`].
    pub(super) fn begin(&mut self, now: Nanos, op: &DiskOp) -> Begun {
        let power_cut = match &mut self.faults.cut_after {
            Some(0) => true,
            Some(left) => {
                *left -= 1;
                false
            }
            None => false,
        };
        if power_cut {
            self.faults.cut_after = None;
            return Begun { done_at: now, took: 0, why: (Slow::Usual, None), report: None, power_cut };
        }
        let (took, why) = self.duration(&op.action);
        self.free_at = self.free_at.max(now) + took;
        let result = self.error_of(op).map_or_else(|| self.change_live(op), Err);
        let report = match (&op.action, result) {
            (Action::Write { .. }, Ok(())) => None,
            (_, result) => Some(result),
        };
        Begun { done_at: self.free_at, took: self.free_at - now, why, report, power_cut }
    }

    /// A sync that reported success is done: what was issued before it is durable now, and nothing else.
    pub(super) fn finish(&mut self, op: &DiskOp) {
        match &op.action {
            Action::Sync => {
                let Some(&inode) = self.live.get(&op.file) else { return };
                let inode = &mut self.inodes[inode as usize];
                let covered = inode.syncs.pop_front().expect("invariant: a sync that ends has begun");
                if !self.faults.lying {
                    inode.flush(covered);
                }
            }
            Action::SyncDir => {
                let below = self.dir_syncs.pop_front().expect("invariant: a directory's sync that ends has begun");
                if !self.faults.lying {
                    let covers = |change: &NameChange| change.directory == *op.file && change.number < below;
                    let (covered, kept) = std::mem::take(&mut self.names).into_iter().partition(covers);
                    self.names = kept;
                    let covered: Vec<NameChange> = covered;
                    covered.into_iter().for_each(|change| rename(&mut self.durable, change.change));
                }
            }
            _ => {}
        }
    }

    fn duration(&mut self, action: &Action) -> (Nanos, (Slow, Option<u32>)) {
        let is_sync = matches!(action, Action::Sync | Action::SyncDir);
        if is_sync && let Some((stall, record)) = self.faults.stall.take() {
            return (stall, (Slow::Stall, Some(record)));
        }
        let usual = if !is_sync {
            self.random.within(self.profile.write)
        } else if self.random.chance(self.profile.slow_ppm) {
            self.random.within(self.profile.slow)
        } else {
            self.random.within(self.profile.fsync)
        };
        match self.faults.slow {
            Some((factor, record)) => (usual * u64::from(factor), (Slow::SlowDisk, Some(record))),
            None => (usual, (Slow::Usual, None)),
        }
    }

    fn error_of(&mut self, op: &DiskOp) -> Option<DiskError> {
        let is_write = matches!(op.action, Action::Write { .. } | Action::Create | Action::Truncate { .. });
        let is_sync = matches!(op.action, Action::Sync);
        let over = match &op.action {
            Action::Write { data, .. } => {
                self.profile.size_bytes.is_some_and(|size| self.used() + data.len() as u64 > size)
            }
            _ => false,
        };
        if is_write && (self.faults.full || over) {
            return Some(DiskError::NoSpace { file: op.file.clone() });
        }
        match self.faults.error {
            Some(DiskErrorKind::Enospc) if is_write => {
                self.faults.error = None;
                Some(DiskError::NoSpace { file: op.file.clone() })
            }
            Some(DiskErrorKind::Eio) if is_sync => {
                self.faults.error = None;
                Some(DiskError::Io { file: op.file.clone(), offset: 0 })
            }
            Some(DiskErrorKind::FsyncFails) if is_sync => {
                self.faults.error = None;
                // The kernel marks the pages clean after it failed to write them: a second sync would "succeed".
                if let Some(&inode) = self.live.get(&op.file) {
                    let inode = &mut self.inodes[inode as usize];
                    inode.flushed += inode.pending.drain(..).len() as u64;
                }
                Some(DiskError::Io { file: op.file.clone(), offset: 0 })
            }
            _ => None,
        }
    }

    fn used(&self) -> u64 {
        self.live.values().map(|&inode| self.inodes[inode as usize].live.data.len() as u64).sum()
    }

    fn change_live(&mut self, op: &DiskOp) -> Result<(), DiskError> {
        let missing = || DiskError::NotFound { file: op.file.clone() };
        let found = self.live.get(&op.file).copied();
        match &op.action {
            Action::Create => {
                let inode = u32::try_from(self.inodes.len()).expect("invariant: fewer than 2^32 files are created");
                self.inodes.push(Inode::default());
                self.change_name(&op.file, Change::Set(op.file.clone(), inode));
            }
            Action::Write { offset, data } => {
                let inode = &mut self.inodes[found.ok_or_else(missing)? as usize];
                let mut offset = *offset;
                if std::mem::take(&mut self.faults.misdirect) {
                    offset += SECTOR * (1 + self.random.below(4));
                }
                inode.change(Pending::Write { offset, data: data.clone() });
            }
            Action::Truncate { len } => {
                self.inodes[found.ok_or_else(missing)? as usize].change(Pending::Truncate { len: *len });
            }
            Action::Sync => {
                let inode = &mut self.inodes[found.ok_or_else(missing)? as usize];
                inode.syncs.push_back(inode.changed);
            }
            Action::Rename { to } => {
                found.ok_or_else(missing)?;
                self.change_name(to, Change::Move(op.file.clone(), to.clone()));
            }
            Action::Remove => {
                found.ok_or_else(missing)?;
                self.change_name(&op.file, Change::Unset(op.file.clone()));
            }
            Action::SyncDir => self.dir_syncs.push_back(self.names_changed),
        }
        Ok(())
    }

    fn change_name(&mut self, file: &str, change: Change) {
        let directory = file.rsplit_once('/').map_or("", |(directory, _)| directory).to_owned();
        rename(&mut self.live, change.again());
        self.names.push(NameChange { number: self.names_changed, directory, change });
        self.names_changed += 1;
    }

    /// The power goes off, or the process and its page cache die: what is not durable meets its fate.
    pub(super) fn crash(&mut self, unsynced: Unsynced, fate: &mut Stream) {
        let kept = match unsynced {
            Unsynced::Lost => 0,
            Unsynced::Kept => self.names.len(),
            Unsynced::Random => fate.below(self.names.len() as u64 + 1) as usize,
        };
        self.names.drain(..).take(kept).for_each(|change| rename(&mut self.durable, change.change));
        for inode in &mut self.inodes {
            inode.crash(unsynced, fate);
        }
        self.live = self.durable.clone();
        self.dir_syncs.clear();
        self.free_at = 0;
        self.faults.cut_after = None;
        // Files without a name are gone; their inodes keep their numbers and lose their bytes.
        let named: BTreeSet<u32> = self.live.values().copied().collect();
        for (number, inode) in (0..).zip(&mut self.inodes) {
            if !named.contains(&number) {
                *inode = Inode::default();
            }
        }
    }

    /// Everything is gone.
    pub(super) fn wipe(&mut self) {
        let (profile, random) = (self.profile.clone(), self.random.clone());
        *self = SimDisk::new(profile, random);
    }

    /// Flips `bits` bits in the files of one kind, on the platter and in the cache.
    pub(super) fn rot(&mut self, kind: WalOrSnap, bits: u32) {
        for _ in 0..bits {
            let Some((inode, len)) = self.pick_file(kind) else { return };
            let at = self.random.below(len) as usize;
            let bit = 1 << self.random.below(8);
            let inode = &mut self.inodes[inode as usize];
            for content in [&mut inode.live, &mut inode.durable] {
                if let Some(byte) = content.data.get_mut(at) {
                    *byte ^= bit;
                }
            }
        }
    }

    /// Makes a sector of some WAL file unreadable.
    pub(super) fn lose_sector(&mut self) {
        if let Some((inode, len)) = self.pick_file(WalOrSnap::Wal) {
            self.latent.insert((inode, self.random.below(len) / SECTOR));
        }
    }

    fn pick_file(&mut self, kind: WalOrSnap) -> Option<(u32, u64)> {
        let part = match kind {
            WalOrSnap::Wal => "/wal/",
            WalOrSnap::Snap => "/snap/",
        };
        let files = self.live.iter().filter(|(name, _)| name.contains(part));
        let files: Vec<_> =
            files.map(|(_, &inode)| (inode, self.inodes[inode as usize].live.data.len() as u64)).collect();
        let files: Vec<_> = files.into_iter().filter(|(_, len)| *len > 0).collect();
        (!files.is_empty()).then(|| *self.random.pick(&files))
    }
}

impl Inode {
    fn change(&mut self, change: Pending) {
        self.live.apply(&change);
        self.pending.push_back(change);
        self.changed += 1;
    }

    /// Makes the first `covered` of the changes ever made durable.
    fn flush(&mut self, covered: u64) {
        let count = covered.saturating_sub(self.flushed) as usize;
        for change in self.pending.drain(..count) {
            self.durable.apply(&change);
        }
        self.flushed += count as u64;
    }

    fn crash(&mut self, unsynced: Unsynced, fate: &mut Stream) {
        match unsynced {
            Unsynced::Lost => self.pending.clear(),
            Unsynced::Kept => self.flush(self.changed),
            Unsynced::Random => {
                for change in std::mem::take(&mut self.pending) {
                    self.maybe_keep(change, fate);
                }
            }
        }
        self.flushed = self.changed;
        self.syncs.clear();
        self.live = self.durable.clone();
    }

    /// Keeps a write by sectors: each one is on the platter or not.
    fn maybe_keep(&mut self, change: Pending, fate: &mut Stream) {
        let Pending::Write { offset, data } = change else {
            if fate.chance(500_000) {
                self.durable.apply(&change);
            }
            return;
        };
        let end = offset + data.len() as u64;
        let mut from = offset;
        while from < end {
            let to = ((from / SECTOR + 1) * SECTOR).min(end);
            if fate.chance(500_000) {
                let piece = data.slice((from - offset) as usize..(to - offset) as usize);
                self.durable.apply(&Pending::Write { offset: from, data: piece });
            }
            from = to;
        }
    }
}

impl Change {
    fn again(&self) -> Change {
        match self {
            Change::Set(name, inode) => Change::Set(name.clone(), *inode),
            Change::Unset(name) => Change::Unset(name.clone()),
            Change::Move(from, to) => Change::Move(from.clone(), to.clone()),
        }
    }
}

fn rename(names: &mut BTreeMap<FileName, u32>, change: Change) {
    match change {
        Change::Set(name, inode) => {
            names.insert(name, inode);
        }
        Change::Unset(name) => {
            names.remove(&name);
        }
        Change::Move(from, to) => {
            if let Some(inode) = names.remove(&from) {
                names.insert(to, inode);
            }
        }
    }
}

/// A disk as it is shared by the world, which changes it, and the member, which reads.
#[derive(Clone, Debug)]
pub(super) struct DiskHandle(Rc<RefCell<SimDisk>>);

impl DiskHandle {
    pub(super) fn new(disk: SimDisk) -> DiskHandle {
        DiskHandle(Rc::new(RefCell::new(disk)))
    }

    /// The disk, for the world; never while a member steps.
    pub(super) fn get(&self) -> RefMut<'_, SimDisk> {
        self.0.borrow_mut()
    }

    /// The disk, for a member.
    pub(super) fn reader(&self) -> Rc<dyn DiskRead> {
        Rc::new(self.clone())
    }
}

impl DiskRead for DiskHandle {
    fn list(&self, dir: &str) -> Vec<FileName> {
        self.0.borrow().list(dir)
    }

    fn len(&self, file: &str) -> Result<u64, DiskError> {
        self.0.borrow().len(file)
    }

    fn read(&self, file: &str, offset: u64, buf: &mut [u8]) -> Result<usize, DiskError> {
        self.0.borrow().read(file, offset, buf)
    }
}

impl DiskRead for SimDisk {
    fn list(&self, dir: &str) -> Vec<FileName> {
        let below = |name: &&FileName| name.strip_prefix(dir).is_some_and(|rest| rest.starts_with('/'));
        self.live.keys().filter(below).cloned().collect()
    }

    fn len(&self, file: &str) -> Result<u64, DiskError> {
        let inode = self.live.get(file).ok_or_else(|| DiskError::NotFound { file: file.into() })?;
        Ok(self.inodes[*inode as usize].live.len)
    }

    fn read(&self, file: &str, offset: u64, buf: &mut [u8]) -> Result<usize, DiskError> {
        let inode = *self.live.get(file).ok_or_else(|| DiskError::NotFound { file: file.into() })?;
        let n = self.inodes[inode as usize].live.read(offset, buf);
        let touched = (inode, offset / SECTOR)..(inode, (offset + n as u64).div_ceil(SECTOR));
        match self.latent.range(touched).next() {
            Some(&(_, sector)) => Err(DiskError::Io { file: file.into(), offset: sector * SECTOR }),
            None => Ok(n),
        }
    }
}
