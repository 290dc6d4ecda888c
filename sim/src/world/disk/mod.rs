//! The simulated disk: what is in the page cache, what is on the platter, and everything that can happen between them.
//!
//! ```text
//!   begin(op) ──▶ live ─────────────── what the member reads
//!                  │ changes wait in order
//!   finish(sync) ──┴─▶ durable ─────── what a crash leaves, and whatever of the changes it likes
//! ```
//!
//! Each file ([`inode`]) has a *live* content, which the member reads, and a *durable* one. A write changes the live
//! content at once and waits in a list; a sync, when it is done, moves what was issued before it into the durable one.
//! [`names`] work alike: a creation, rename or removal is live at once and durable after a sync of its directory.
//! Contents share their blocks ([`content`]), so a large file is held once, and a clone of the whole disk (a *fork*, of
//! which the crash explorer makes one at each cut) costs a pointer a file.
//!
//! The faults, complete (so that a failure of a member that is not explained by one of these is a bug of the member):
//! - **at a crash**: unsynced writes are lost, kept, or each 512-byte sector of each write is kept or lost by itself
//!   (which tears and reorders them); unsynced names are kept up to a point and lost after it, as a journal does;
//! - **errors** ([`faults`]): EIO on the next sync, a failing sync whose pages are gone, ENOSPC (once, or while the disk
//!   is full);
//! - **lies**: a sync that reports success and does nothing; a write that lands elsewhere; bits that rot; sectors that
//!   can no longer be read;
//! - **time**: a latency for writes and syncs, slow ones among them, a factor, a stall of the next sync.
//!
//! Errors, lost sectors, rot and writes astray can be aimed at a kind of file: WAL, snapshot, database.

mod content;
mod faults;
mod inode;
mod names;
mod read;
#[cfg(test)]
mod tests;

use super::random::Stream;
use super::record::Slow;
use crate::scenario::{Disk as Profile, Unsynced};
use faults::Faults;
use inode::{Inode, Pending};
use names::{Change, Names};
use seedbed::disk::{Action, DiskError, DiskOp, OpId};
use seedbed::time::Nanos;
use std::collections::BTreeSet;
use std::rc::Rc;

/// What a disk writes as a whole, in bytes.
const SECTOR: u64 = 512;

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct SimDisk {
    names: Names,
    /// Files by number. One that no name stands for any more is empty.
    inodes: Vec<Rc<Inode>>,
    /// Syncs that are out. (A member that starts anew numbers from 1 again; who waited for the older one is gone.)
    syncs: Vec<(OpId, Covers)>,
    /// Sectors that cannot be read: (inode, sector).
    latent: BTreeSet<(u32, u64)>,
    /// The next operation begins when the one before has ended.
    free_at: Nanos,
    /// What holds up the operations that are out.
    queue_waits_for: (Slow, Option<u32>),
    pub(crate) profile: Profile,
    random: Stream,
    pub(crate) faults: Faults,
}

/// What a sync makes durable: what was issued before it.
#[derive(Clone, Copy, Debug)]
enum Covers {
    /// So many of the changes ever made to this inode.
    File(u32, u64),
    /// Of its directory, the changes of names that are numbered below this.
    Names(u64),
}

/// How an operation will go.
#[derive(Debug)]
pub(crate) struct Begun {
    /// When it is done.
    pub(crate) done_at: Nanos,
    /// How long it will have taken.
    pub(crate) took: Nanos,
    /// Why so long, and the record of the fault if one is to blame.
    pub(crate) why: (Slow, Option<u32>),
    /// What it will report; `None`: nothing (a write that succeeds).
    pub(crate) report: Option<Result<(), DiskError>>,
    /// The power goes off before this operation.
    pub(crate) power_cut: bool,
}

impl SimDisk {
    pub(crate) fn new(profile: Profile, random: Stream) -> SimDisk {
        SimDisk {
            names: Names::default(),
            inodes: Vec::new(),
            syncs: Vec::new(),
            latent: BTreeSet::new(),
            free_at: 0,
            queue_waits_for: (Slow::Usual, None),
            profile,
            random,
            faults: Faults::default(),
        }
    }

    /// Begins an operation at `now`: the live contents change at once. A sync takes effect with [`SimDisk::finish`].
    pub(crate) fn begin(&mut self, now: Nanos, op: &DiskOp) -> Begun {
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
        let (took, mut why) = self.duration(&op.action);
        if self.free_at > now && why.0 == Slow::Usual {
            // It waits behind others, and what holds them up holds it up.
            why = self.queue_waits_for;
        }
        self.queue_waits_for = why;
        self.free_at = self.free_at.max(now) + took;
        let result = self.error_of(op).map_or_else(|| self.change_live(op), Err);
        let report = match (&op.action, result) {
            (Action::Write { .. }, Ok(())) => None,
            (_, result) => Some(result),
        };
        Begun { done_at: self.free_at, took: self.free_at - now, why, report, power_cut }
    }

    /// A sync that reported success is done: what was issued before it is durable now, and nothing else.
    pub(crate) fn finish(&mut self, op: &DiskOp) {
        let Some(at) = self.syncs.iter().position(|(id, _)| *id == op.id) else { return };
        let (_, covers) = self.syncs.swap_remove(at);
        if self.faults.lying {
            return;
        }
        match covers {
            Covers::File(inode, changes) => self.inode_mut(inode).flush(changes),
            Covers::Names(below) => {
                self.names.flush(&op.file, below);
                self.forget_nameless();
            }
        }
    }

    /// Few are out at once. One of an older life with the same number is forgotten.
    fn sync_begins(&mut self, id: OpId, covers: Covers) {
        match self.syncs.iter_mut().find(|(other, _)| *other == id) {
            Some((_, before)) => *before = covers,
            None => self.syncs.push((id, covers)),
        }
    }

    /// Whether a crash would find just what the member sees.
    pub(crate) fn is_settled(&self) -> bool {
        self.names.is_settled() && self.inodes.iter().all(|inode| inode.is_settled())
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

    fn change_live(&mut self, op: &DiskOp) -> Result<(), DiskError> {
        let found = self.names.find(&op.file).ok_or_else(|| DiskError::NotFound { file: op.file.clone() });
        match &op.action {
            Action::Create => {
                let inode = u32::try_from(self.inodes.len()).expect("invariant: fewer than 2^32 files are created");
                self.inodes.push(Rc::default());
                self.names.change(&op.file, Change::Set(op.file.clone(), inode));
            }
            Action::Write { offset, data } => {
                let inode = found?;
                let offset = self.landing(&op.file, *offset, data.len() as u64);
                self.inode_mut(inode).change(Pending::Write { offset, data: data.clone() });
            }
            Action::Truncate { len } => self.inode_mut(found?).change(Pending::Truncate { len: *len }),
            Action::Sync => {
                let inode = found?;
                self.sync_begins(op.id, Covers::File(inode, self.inodes[inode as usize].changed()));
            }
            Action::Rename { to } => {
                found?;
                self.names.change(to, Change::Move(op.file.clone(), to.clone()));
            }
            Action::Remove => {
                found?;
                self.names.change(&op.file, Change::Unset(op.file.clone()));
            }
            Action::SyncDir => {
                self.sync_begins(op.id, Covers::Names(self.names.changed()));
            }
        }
        Ok(())
    }

    /// The power goes off, or the process and its page cache die: what is not durable meets its fate.
    pub(crate) fn crash(&mut self, unsynced: Unsynced, fate: &mut Stream) {
        self.crash_keeping(unsynced, EVEN, fate);
    }

    /// The same, with another chance for each sector (in a million) when the fate is random.
    pub(crate) fn crash_keeping(&mut self, unsynced: Unsynced, keep_ppm: u32, fate: &mut Stream) {
        self.names.crash(unsynced, fate);
        for inode in self.inodes.iter_mut().filter(|inode| !inode.is_settled()) {
            Rc::make_mut(inode).crash(unsynced, keep_ppm, fate);
        }
        self.syncs.clear();
        self.free_at = 0;
        self.queue_waits_for = (Slow::Usual, None);
        self.faults.cut_after = None;
        self.forget_nameless();
    }

    /// Files without a name are gone; their inodes keep their numbers and lose their bytes.
    fn forget_nameless(&mut self) {
        let named = self.names.inodes();
        for (number, inode) in (0..).zip(&mut self.inodes) {
            if inode.live.len() + inode.durable.len() > 0 && !named.contains(&number) {
                *inode = Rc::default();
            }
        }
    }

    /// Everything is gone.
    pub(crate) fn wipe(&mut self) {
        let (profile, random) = (self.profile.clone(), self.random.clone());
        *self = SimDisk::new(profile, random);
    }
}

/// A sector is as often kept as lost.
const EVEN: u32 = 500_000;
