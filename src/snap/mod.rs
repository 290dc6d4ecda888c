//! Snapshot files: a state machine's image beside the log, so that the log may forget what is older.
//!
//! # Bytes
//! `member/snap/<term>-<index>.snap`, both as 16 hex digits, so that names sort by age. The whole file is one message:
//!
//! ```text
//! snappb.snapshot                                  raftpb.Snapshot
//! ┌───────────────────────────────┐                ┌──────────────────────────────────────┐
//! │ 08 crc (varint, CRC-32C of ↓) │        ┌──────▶│ 0a data: the state machine's own     │
//! │ 12 length  data ──────────────┼────────┘       │ 12 metadata: conf_state, index, term │
//! └───────────────────────────────┘                └──────────────────────────────────────┘
//! ```
//!
//! # When a file counts
//! Only with a matching record in the write-ahead log (`crate::wal::snapshots`), which is written when the operations
//! that [`publish()`] names are done. So a power cut at any moment is harmless; the CRC is for what happens to the file in
//! the months after.
//!
//! etcd writes the file under its final name. Here it is written as `.snap.tmp` ([`write()`]) and, once its bytes are
//! durable, renamed ([`publish()`]). The wait between the two is what makes this safe: a member may come to save a
//! snapshot that it has already (a leader sends it the same one), and a rename that outlived the bytes would put a
//! torn file in the place of a good one that counts. The world's power cuts found that.
//!
//! A damaged file is reported and passed over for the next older one; whether the log still reaches back that far,
//! `crate::wal::recover` finds out.
//!
//! # Left out
//! `.snap.db` files (a backend received from a leader), renaming damaged files to `.broken`, and etcd's v2 store JSON
//! inside `data`, which is opaque here.

use crate::disk::{DiskError, DiskRead, FileName, OpId, OpSink};
use crate::pb::{raftpb, snappb};
use crate::raft::{Snapshot, SnapshotMeta};
use crate::wal::two_hex;
use bytes::Bytes;
use prost::Message as _;

/// The directory of snapshot files.
pub const DIR: &str = "member/snap";

/// Why a snapshot file cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SnapError {
    /// The disk failed.
    #[error("reading a snapshot: {0}; check the disk")]
    Disk(#[from] DiskError),
    /// The envelope or the message in it does not decode.
    #[error("{file}: byte 0: expected {expected} in {bytes} bytes, found others; {ADVICE}")]
    Malformed {
        /// The file.
        file: FileName,
        /// Its length in bytes.
        bytes: u64,
        /// What should be there.
        expected: &'static str,
    },
    /// The data changed.
    #[error(
        "{file}: byte 0: expected CRC {expected:08x} (computed over the data), found {found:08x} in the file; {ADVICE}"
    )]
    Crc {
        /// The file.
        file: FileName,
        /// Computed.
        expected: u32,
        /// Stored.
        found: u32,
    },
    /// The file's name tells of another snapshot than its content.
    #[error("{file}: byte 0: expected term {} and index {} as in the name, found {} and {}; {ADVICE}", .name.0, .name.1, .content.0, .content.1)]
    Name {
        /// The file.
        file: FileName,
        /// Term and index in the name.
        name: (u64, u64),
        /// Term and index in the content.
        content: (u64, u64),
    },
}

const ADVICE: &str = "the file is damaged: an older snapshot and the log may do; if the log does not reach back that far, \
                      remove the member from the cluster, empty its directory and add it anew";

/// The path of the snapshot at `meta`.
pub fn file_name(meta: &SnapshotMeta) -> FileName {
    format!("{DIR}/{:016x}-{:016x}.snap", meta.term, meta.index).into()
}

fn tmp_name(meta: &SnapshotMeta) -> FileName {
    format!("{}.tmp", file_name(meta)).into()
}

/// Writes a snapshot's bytes. Returns the operations to wait for before it may be [published](publish).
pub fn write(meta: &SnapshotMeta, data: &Bytes, ops: &mut OpSink<'_>) -> Vec<OpId> {
    let tmp = tmp_name(meta);
    ops.create(&tmp);
    ops.write(&tmp, 0, encode(meta, data));
    vec![ops.sync(&tmp)]
}

/// Gives a written snapshot its name. Returns the operations to wait for before the log may tell of it.
pub fn publish(meta: &SnapshotMeta, ops: &mut OpSink<'_>) -> Vec<OpId> {
    ops.rename(&tmp_name(meta), &file_name(meta));
    vec![ops.sync_dir(&DIR.into())]
}

fn encode(meta: &SnapshotMeta, data: &Bytes) -> Bytes {
    let data = raftpb::Snapshot { data: data.clone(), metadata: meta.into() }.encode_to_vec();
    let crc = crc32c::crc32c(&data);
    snappb::Snapshot { crc, data: data.into() }.encode_to_vec().into()
}

/// The snapshot files, newest first.
pub fn list(disk: &dyn DiskRead) -> Vec<FileName> {
    let mut files = disk.list(DIR);
    files.retain(|file| term_and_index(file).is_some());
    files.sort_by_key(|file| std::cmp::Reverse(term_and_index(file)));
    files
}

fn term_and_index(file: &str) -> Option<(u64, u64)> {
    two_hex(file.strip_prefix(DIR)?.strip_prefix('/')?.strip_suffix(".snap")?)
}

/// Reads and checks a snapshot file.
pub fn load(disk: &dyn DiskRead, file: &FileName) -> Result<Snapshot, SnapError> {
    let bytes = Bytes::from(disk.read_all(file)?);
    let malformed = |expected| SnapError::Malformed { file: file.clone(), bytes: bytes.len() as u64, expected };
    let envelope = snappb::Snapshot::decode(bytes.clone()).map_err(|_| malformed("a snappb.snapshot (crc, data)"))?;
    if envelope.data.is_empty() {
        return Err(malformed("a snappb.snapshot with data"));
    }
    let expected = crc32c::crc32c(&envelope.data);
    if expected != envelope.crc {
        return Err(SnapError::Crc { file: file.clone(), expected, found: envelope.crc });
    }
    let snapshot = raftpb::Snapshot::decode(envelope.data).map_err(|_| malformed("a raftpb.Snapshot as data"))?;
    let snapshot = Snapshot::from(snapshot);
    let content = (snapshot.meta.term, snapshot.meta.index);
    match term_and_index(file) {
        Some(name) if name != content => Err(SnapError::Name { file: file.clone(), name, content }),
        _ => Ok(snapshot),
    }
}

/// What [`load_newest`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Newest {
    /// The newest snapshot that is good and counts.
    pub snapshot: Option<Snapshot>,
    /// Newer ones that counted and could not be read: to be told to the operator.
    pub skipped: Vec<SnapError>,
}

/// The newest good snapshot for which `counts(term, index)` holds, which is whether the log has a record of it. A file
/// that does not count is not even read; one that counts but is damaged is reported, and the next older one tried.
pub fn load_newest(disk: &dyn DiskRead, counts: impl Fn(u64, u64) -> bool) -> Newest {
    let mut newest = Newest::default();
    for file in list(disk) {
        if !term_and_index(&file).is_some_and(|(term, index)| counts(term, index)) {
            continue;
        }
        match load(disk, &file) {
            Ok(snapshot) => {
                newest.snapshot = Some(snapshot);
                break;
            }
            Err(error) => newest.skipped.push(error),
        }
    }
    newest
}

/// Removes all but the newest `keep` snapshot files, and what an interrupted [`write()`] left (so it must not be called
/// while one is out). `disk` is only listed. Not synced: a removal that is forgotten is repeated.
pub fn purge(disk: &dyn DiskRead, keep: usize, ops: &mut OpSink<'_>) {
    for file in list(disk).iter().skip(keep) {
        ops.remove(file);
    }
    for file in disk.list(DIR).iter().filter(|file| file.ends_with(".snap.tmp")) {
        ops.remove(file);
    }
}
