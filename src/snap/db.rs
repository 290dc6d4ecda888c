//! `.snap.db` files: a database received from a leader.
//!
//! A snapshot of a database is its file, page by page, and it arrives in chunks beside Raft's message. Where it stands
//! in the log, the message says; so the file is named after the index alone:
//!
//! ```text
//!   chunks ──▶ <index>.snap.db.tmp ──sync──▶ (rename) <index>.snap.db ──sync dir──▶ .snap, record, state in the log
//!                                                        │                                        │
//!                                                        └────────── (rename) member/snap/db ◀────┘ apply
//! ```
//!
//! The order binds. The name comes after the bytes, as for a `.snap` file. The `.snap` file that tells of the index
//! comes after the name: from then on a restart may find its own database older than the snapshot, and needs this one
//! ([`find`]). Only when it has become the database (or that is durable at a later index) may it go: etcd removed
//! what was older than the newest snapshot *received*, and a member that was slow to apply the one before then could not
//! start (etcd #18055).

use super::DIR;
use crate::disk::{DiskRead, FileName, OpId, OpSink};
use bytes::Bytes;

const SUFFIX: &str = ".snap.db";

/// The path of the database received for the snapshot at `index`.
pub fn file_name(index: u64) -> FileName {
    format!("{DIR}/{index:016x}{SUFFIX}").into()
}

/// The index in the path of a received database; `None` for any other file.
pub fn index_of(file: &str) -> Option<u64> {
    let name = file.strip_prefix(DIR)?.strip_prefix('/')?.strip_suffix(SUFFIX)?;
    let index = u64::from_str_radix(name, 16).ok()?;
    (*file == *file_name(index)).then_some(index)
}

/// A database that is being received.
///
/// Invariants: the temporary file holds `len` bytes, those given so far; nothing else writes it.
#[derive(Debug)]
pub struct SnapDb {
    index: u64,
    tmp: FileName,
    len: u64,
}

impl SnapDb {
    /// Begins the file for the snapshot at `index`. What an earlier attempt left is emptied.
    pub fn begin(index: u64, ops: &mut OpSink<'_>) -> SnapDb {
        let tmp: FileName = format!("{}.tmp", file_name(index)).into();
        ops.create(&tmp);
        SnapDb { index, tmp, len: 0 }
    }

    /// Appends a chunk. Completes silently; the [`sync`](SnapDb::sync) covers it.
    pub fn chunk(&mut self, data: Bytes, ops: &mut OpSink<'_>) {
        let bytes = data.len() as u64;
        ops.write(&self.tmp, self.len, data);
        self.len += bytes;
    }

    /// The last chunk was given: makes the bytes durable. Returns the operation to wait for before
    /// [`publish`](SnapDb::publish).
    pub fn sync(&self, ops: &mut OpSink<'_>) -> OpId {
        ops.sync(&self.tmp)
    }

    /// Gives the file its name. Returns the operation to wait for before a `.snap` file may tell of the index.
    pub fn publish(self, ops: &mut OpSink<'_>) -> OpId {
        ops.rename(&self.tmp, &file_name(self.index));
        ops.sync_dir(&DIR.into())
    }

    /// The leader broke off: the file goes.
    pub fn abandon(self, ops: &mut OpSink<'_>) {
        ops.remove(&self.tmp);
    }

    /// The snapshot's index.
    pub fn index(&self) -> u64 {
        self.index
    }

    /// Bytes received so far.
    pub fn bytes(&self) -> u64 {
        self.len
    }
}

/// The received databases, by index.
pub fn list(disk: &dyn DiskRead) -> Vec<(u64, FileName)> {
    let files = disk.list(DIR).into_iter();
    files.filter_map(|file| Some((index_of(&file)?, file))).collect()
}

/// The database received for the snapshot at `index`, if it is there.
pub fn find(disk: &dyn DiskRead, index: u64) -> Option<FileName> {
    list(disk).into_iter().find_map(|(found, file)| (found == index).then_some(file))
}

/// Removes the received databases of snapshots older than the one at `applied`, the newest that has become the
/// database, durably. Not synced: a removal that is forgotten is repeated.
pub fn purge(disk: &dyn DiskRead, applied: u64, ops: &mut OpSink<'_>) {
    for (index, file) in list(disk) {
        if index < applied {
            ops.remove(&file);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_etcds() {
        assert_eq!(&*file_name(0x1f), "member/snap/000000000000001f.snap.db");
        assert_eq!(index_of(&file_name(0x1f)), Some(0x1f));
        for other in ["db", "1f.snap.db", "000000000000001F.snap.db", "000000000000001f.snap.db.tmp", "x.snap"] {
            assert_eq!(index_of(&format!("{DIR}/{other}")), None, "{other}");
        }
    }
}
