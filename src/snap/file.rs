//! `.snap` files: written in two stages, read with every check that their bytes allow.

use super::{DIR, SnapError};
use crate::disk::{DiskRead, FileName, OpId, OpSink};
use crate::pb::{raftpb, snappb};
use crate::raft::{Snapshot, SnapshotMeta};
use crate::wal::two_hex;
use bytes::Bytes;
use prost::Message as _;

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

/// The index in the path of a snapshot file.
pub(super) fn index_of(file: &str) -> Option<u64> {
    term_and_index(file).map(|(_, index)| index)
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

/// Removes all but the newest `keep` snapshot files. Returns how far the log may be released: up to the oldest index
/// among those kept, so that a restart can fall back on any of them. `disk` is only listed. Not synced: a removal that is
/// forgotten is repeated.
pub fn purge(disk: &dyn DiskRead, keep: usize, ops: &mut OpSink<'_>) -> Option<u64> {
    let files = list(disk);
    let (kept, old) = files.split_at(keep.min(files.len()));
    old.iter().for_each(|file| {
        ops.remove(file);
    });
    kept.iter().filter_map(|file| index_of(file)).min()
}

/// Keeps a damaged file as `.broken`, where it is out of the way of [`purge`] and of the next start.
pub fn set_aside(file: &FileName, ops: &mut OpSink<'_>) {
    ops.rename(file, &format!("{file}.broken").into());
}
