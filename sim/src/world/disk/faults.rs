//! What is wrong with a disk: what fails or lies while it lasts, and damage to what is at rest.

use super::content::BLOCK;
use super::{SECTOR, SimDisk};
use crate::scenario::{DiskErrorKind, FileKind};
use seedbed::disk::{Action, DiskError, DiskOp};
use seedbed::time::Nanos;
use std::rc::Rc;

/// What is wrong at the moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults {
    /// Everything takes this many times longer; 0 and 1 are the usual speed. With the record that says so.
    pub(crate) slow: Option<(u32, u32)>,
    /// The next sync takes this long. With the record that says so.
    pub(crate) stall: Option<(Nanos, u32)>,
    /// Syncs report success and do nothing.
    pub(crate) lying: bool,
    /// No room for anything.
    pub(crate) full: bool,
    /// The next operation that can fail so does, on a file of this kind (`None`: on any).
    pub(crate) error: Option<(DiskErrorKind, Option<FileKind>)>,
    /// The next write to a file of this kind (`None`: to any) lands elsewhere.
    pub(crate) misdirect: Option<Option<FileKind>>,
    /// This block of a file cannot be read.
    pub(crate) unreadable: Option<(u32, u64)>,
    /// The power goes off before the operation after so many.
    pub(crate) cut_after: Option<u64>,
}

/// The kind of a file, by its name.
pub(crate) fn kind_of(file: &str) -> Option<FileKind> {
    if file.contains("/wal/") {
        return Some(FileKind::Wal);
    }
    let (_, name) = file.split_once("/snap/")?;
    // A file that is being written or received has its future name with something behind it.
    match name {
        _ if name == "db" || name.starts_with("db.") => Some(FileKind::Db),
        _ if name.contains(".snap.db") => Some(FileKind::SnapDb),
        _ => Some(FileKind::Snap),
    }
}

fn hits(kind: Option<FileKind>, file: &str) -> bool {
    kind.is_none() || kind == kind_of(file)
}

impl SimDisk {
    /// The error that this operation meets, if any.
    pub(super) fn error_of(&mut self, op: &DiskOp) -> Option<DiskError> {
        let needs_room = matches!(op.action, Action::Write { .. } | Action::Create | Action::Truncate { .. });
        let over = match &op.action {
            Action::Write { data, .. } => {
                self.profile.size_bytes.is_some_and(|size| self.used() + data.len() as u64 > size)
            }
            _ => false,
        };
        if needs_room && (self.faults.full || over) {
            return Some(DiskError::NoSpace { file: op.file.clone() });
        }
        let (error, kind) = self.faults.error?;
        let can_fail_so = match error {
            DiskErrorKind::Enospc => needs_room,
            DiskErrorKind::Eio | DiskErrorKind::FsyncFails => matches!(op.action, Action::Sync),
            DiskErrorKind::Unreadable => false,
        };
        if !can_fail_so || !hits(kind, &op.file) {
            return None;
        }
        self.faults.error = None;
        match error {
            DiskErrorKind::Enospc => Some(DiskError::NoSpace { file: op.file.clone() }),
            DiskErrorKind::Eio | DiskErrorKind::Unreadable => Some(DiskError::Io { file: op.file.clone(), offset: 0 }),
            DiskErrorKind::FsyncFails => {
                // The kernel marks the pages clean after it failed to write them: a second sync would "succeed".
                if let Some(inode) = self.names.get(&op.file) {
                    self.inode_mut(inode).drop_pending();
                }
                Some(DiskError::Io { file: op.file.clone(), offset: 0 })
            }
        }
    }

    fn used(&self) -> u64 {
        self.names.live().values().map(|&inode| self.inodes[inode as usize].live.allocated()).sum()
    }

    /// Where a write of `len` bytes to `offset` lands. One that goes astray keeps its alignment: a page lands on
    /// another page, anything else in another sector.
    pub(super) fn landing(&mut self, file: &str, offset: u64, len: u64) -> u64 {
        if !self.faults.misdirect.is_some_and(|kind| hits(kind, file)) {
            return offset;
        }
        self.faults.misdirect = None;
        let page = BLOCK as u64;
        let unit = if offset.is_multiple_of(page) && len.is_multiple_of(page) { page } else { SECTOR };
        offset + unit * (1 + self.random.below(4))
    }

    /// Flips `bits` bits in the files of one kind, on the platter and in the cache.
    pub(crate) fn rot(&mut self, kind: FileKind, bits: u32) {
        for _ in 0..bits {
            let Some((inode, written)) = self.pick_file(kind) else { return };
            let at = self.random.below(written);
            let bit = 1 << self.random.below(8);
            let inode = self.inode_mut(inode);
            inode.live.flip(at, bit);
            inode.durable.flip(at, bit);
        }
    }

    /// Makes a sector of some file of one kind unreadable.
    pub(crate) fn lose_sector(&mut self, kind: FileKind) {
        if let Some((inode, written)) = self.pick_file(kind) {
            self.latent.insert((inode, self.random.below(written) / SECTOR));
        }
    }

    /// Makes a page of some file of one kind unreadable, as long as this fault lasts: what is written is still there.
    pub(crate) fn hide_page(&mut self, kind: FileKind) {
        if let Some((inode, written)) = self.pick_file(kind) {
            self.faults.unreadable = Some((inode, self.random.below(written) / BLOCK as u64));
        }
    }

    fn pick_file(&mut self, kind: FileKind) -> Option<(u32, u64)> {
        let files = self.names.live().iter().filter(|(name, _)| kind_of(name) == Some(kind));
        let files = files.map(|(_, &inode)| (inode, self.inodes[inode as usize].live.written()));
        let files: Vec<_> = files.filter(|(_, written)| *written > 0).collect();
        (!files.is_empty()).then(|| *self.random.pick(&files))
    }

    /// A file, to change it; a fork of the disk keeps its own.
    pub(super) fn inode_mut(&mut self, inode: u32) -> &mut super::inode::Inode {
        Rc::make_mut(&mut self.inodes[inode as usize])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_known_by_their_names() {
        let of = |name: &str| kind_of(&format!("member/{name}"));
        assert_eq!(of("wal/0000000000000000-0000000000000000.wal"), Some(FileKind::Wal));
        assert_eq!(of("snap/db"), Some(FileKind::Db));
        assert_eq!(of("snap/db.tmp"), Some(FileKind::Db));
        assert_eq!(of("snap/0000000000000002-0000000000000009.snap"), Some(FileKind::Snap));
        assert_eq!(of("snap/0000000000000002-0000000000000009.snap.tmp"), Some(FileKind::Snap));
        assert_eq!(of("snap/0000000000000009.snap.db"), Some(FileKind::SnapDb));
        assert_eq!(kind_of("elsewhere"), None);
    }
}
