//! What a file or a folder is: told by content first, by name only where the content says nothing.

use seedbed::disk::{DiskError, DiskRead, FileName};
use seedbed::wal::record::{RecordType, decode};
use serde::Serialize;

/// bbolt's mark, at byte 16 of a meta page.
const MAGIC: [u8; 4] = 0xED0C_DAED_u32.to_le_bytes();
/// Page sizes that a meta page 1 is looked for at, when page 0 is gone.
const PAGE_SIZES: [u64; 7] = [1 << 10, 1 << 11, 1 << 12, 1 << 13, 1 << 14, 1 << 15, 1 << 16];
/// Bytes of the SHA-256 that `etcdctl snapshot save` puts behind a database.
pub(super) const SHA_BYTES: u64 = 32;
/// A database has whole sectors, so a rest of 32 tells of a hash behind it.
const SECTOR_BYTES: u64 = 512;
/// The head of a file that is looked at.
const HEAD_BYTES: usize = 4096;

/// A file of etcd's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileKind {
    /// A bbolt database.
    Db,
    /// The same, with a SHA-256 of it behind: what `etcdctl snapshot save` writes.
    SavedDb,
    /// A segment of the write-ahead log.
    Wal,
    /// A segment in which nothing was written yet: zeros, or nothing at all.
    EmptyWal,
    /// A Raft snapshot.
    Snap,
}

impl FileKind {
    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            FileKind::Db => "a bbolt database",
            FileKind::SavedDb => "a saved snapshot (a bbolt database, and a SHA-256 of it)",
            FileKind::Wal => "a segment of a write-ahead log",
            FileKind::EmptyWal => "a segment of a write-ahead log in which nothing was written",
            FileKind::Snap => "a Raft snapshot file",
        }
    }
}

/// What was expected of a file that is none of etcd's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotEtcds {
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The file has no bytes.
    #[error("{file}: the file is empty; expected {EXPECTED}")]
    Empty {
        /// The file.
        file: FileName,
    },
    /// Its content is none of etcd's.
    #[error("{file}: none of etcd's files: expected {EXPECTED}; found {found}")]
    Other {
        /// The file.
        file: FileName,
        /// Its first bytes.
        found: String,
    },
    /// A folder without anything of etcd's.
    #[error(
        "{dir}: none of etcd's folders: expected a data directory (with member/ in it), member/ itself, or member/wal or \
         member/snap; found no database, WAL segment or snapshot file in it"
    )]
    Folder {
        /// The folder.
        dir: String,
    },
}

const EXPECTED: &str = "a bbolt database (ed da 0c ed at byte 16 of page 0 or 1), a WAL segment (a crc record first) or a \
                        Raft snapshot (a snappb.snapshot: 08, crc, 12, data)";

/// Tells what a file is.
pub(super) fn file(disk: &dyn DiskRead, file: &FileName) -> Result<FileKind, NotEtcds> {
    let len = disk.len(file)?;
    let is_segment_name = file.ends_with(".wal");
    if len == 0 {
        return if is_segment_name { Ok(FileKind::EmptyWal) } else { Err(NotEtcds::Empty { file: file.clone() }) };
    }
    let mut head = vec![0; HEAD_BYTES];
    let n = disk.read(file, 0, &mut head)?;
    head.truncate(n);
    if is_db(disk, file, &head)? {
        return Ok(if len % SECTOR_BYTES == SHA_BYTES { FileKind::SavedDb } else { FileKind::Db });
    }
    // Damage inside a record is for the reader to report; here only: does it begin as a segment does?
    if matches!(decode(&head, 0), Ok(Some(record)) if record.kind == RecordType::Crc) {
        return Ok(FileKind::Wal);
    }
    if is_snap(&head, len) {
        return Ok(FileKind::Snap);
    }
    if is_segment_name {
        // By its name alone: the reader says what is wrong with it.
        return Ok(if head.iter().all(|&b| b == 0) { FileKind::EmptyWal } else { FileKind::Wal });
    }
    if file.ends_with(".snap") {
        return Ok(FileKind::Snap);
    }
    let first: Vec<String> = head.iter().take(16).map(|b| format!("{b:02x}")).collect();
    Err(NotEtcds::Other { file: file.clone(), found: first.join(" ") })
}

fn is_db(disk: &dyn DiskRead, file: &FileName, head: &[u8]) -> Result<bool, DiskError> {
    if head.get(16..20) == Some(&MAGIC) {
        return Ok(true);
    }
    for size in PAGE_SIZES {
        let mut magic = [0; 4];
        if disk.read(file, size + 16, &mut magic)? == 4 && magic == MAGIC {
            return Ok(true);
        }
    }
    Ok(false)
}

/// `08 crc 12 length data`, where the data reaches just to the file's end.
fn is_snap(head: &[u8], len: u64) -> bool {
    let Some((0x08, mut rest)) = head.split_first().map(|(b, rest)| (*b, rest)) else { return false };
    if prost::encoding::decode_varint(&mut rest).is_err() || rest.first() != Some(&0x12) {
        return false;
    }
    rest = &rest[1..];
    let Ok(data) = prost::encoding::decode_varint(&mut rest) else { return false };
    data.checked_add((head.len() - rest.len()) as u64) == Some(len)
}

/// What is to be inspected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A data directory: `member/` is in it.
    DataDir,
    /// `member/` itself: `snap/` and `wal/` are in it.
    MemberDir,
    /// A folder that holds the log, or snapshots, or both.
    Folder,
    /// One file.
    #[serde(untagged)]
    File(FileKind),
}

impl Kind {
    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Kind::DataDir => "a data directory of etcd",
            Kind::MemberDir => "the member folder of a data directory",
            Kind::Folder => "a folder of etcd's files",
            Kind::File(kind) => kind.words(),
        }
    }
}

/// A file that was found, and what it is; `None`: none that this reads.
pub(super) type Found = (FileName, Option<FileKind>);

/// Tells what a folder is, and what is in it. `dir` has no slash at its end.
pub(super) fn folder(disk: &dyn DiskRead, dir: &str) -> Result<(Kind, Vec<Found>), NotEtcds> {
    let mut found: Vec<Found> = Vec::new();
    let all = disk.list(dir);
    let below = |part: &str| all.iter().any(|name| name[dir.len()..].starts_with(part));
    let (kind, prefix) = if below("/member/") {
        (Kind::DataDir, format!("{dir}/member/"))
    } else if below("/snap/") || below("/wal/") {
        (Kind::MemberDir, format!("{dir}/"))
    } else {
        (Kind::Folder, format!("{dir}/"))
    };
    for name in all.iter().filter(|name| name.starts_with(&prefix)) {
        // Depth: member/snap/x and member/wal/x, no deeper.
        let deep = name[prefix.len()..].matches('/').count();
        let wanted = if kind == Kind::Folder { 0 } else { 1 };
        let is_ours = deep == wanted && !is_leftover(name);
        let what = if is_ours { file(disk, name) } else { Err(NotEtcds::Empty { file: name.clone() }) };
        match what {
            Ok(kind) => found.push((name.clone(), Some(kind))),
            Err(NotEtcds::Disk(error)) => return Err(error.into()),
            Err(_) => found.push((name.clone(), None)),
        }
    }
    if found.iter().all(|(_, kind)| kind.is_none()) {
        return Err(NotEtcds::Folder { dir: dir.to_owned() });
    }
    Ok((kind, found))
}

/// What etcd itself passes over: half-made and set-aside files.
fn is_leftover(name: &str) -> bool {
    name.ends_with(".tmp") || name.ends_with(".broken")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use seedbed::disk_mem::MemDisk;

    fn disk_with(name: &str, bytes: &[u8]) -> MemDisk {
        let mut disk = MemDisk::new();
        disk.insert(name, bytes.to_vec());
        disk
    }

    #[test]
    fn content_counts_before_the_name() {
        let mut db = vec![0; 8192];
        db[4096 + 16..][..4].copy_from_slice(&MAGIC);
        let told = |name: &str, bytes: &[u8]| file(&disk_with(name, bytes), &name.into());
        assert_eq!(told("x.wal", &db), Ok(FileKind::Db), "its first meta page is gone, its second is not");
        db.extend([7; 32]);
        assert_eq!(told("backup", &db), Ok(FileKind::SavedDb));
        assert_eq!(told("a.wal", &[0; 600]), Ok(FileKind::EmptyWal));
        assert_eq!(told("x", &[0x08, 1, 0x12, 2, 9, 9]), Ok(FileKind::Snap));
        assert!(matches!(told("x", &[0x08, 1, 0x12, 3, 9, 9]), Err(NotEtcds::Other { .. })), "the length does not fit");
        assert!(matches!(told("db", b""), Err(NotEtcds::Empty { .. })));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = file(&disk_with("x", &bytes), &"x".into());
        }
    }
}
