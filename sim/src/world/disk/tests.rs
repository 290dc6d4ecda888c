//! What a crash leaves, what a sync covers, and what goes wrong.

use super::*;
use crate::scenario::{DiskErrorKind, FileKind};
use bytes::Bytes;
use seedbed::disk::{DiskRead, FileName, OpSink};

const DB: &str = "member/snap/db";
const WAL: &str = "member/wal/a.wal";

/// A disk, and the operations that it is given.
struct Desk {
    disk: SimDisk,
    next_id: u64,
}

impl Desk {
    fn new() -> Desk {
        Desk { disk: SimDisk::new(Profile::default(), Stream::new(1, "disk")), next_id: 1 }
    }

    /// Begins an operation and leaves it at that.
    fn begin(&mut self, ask: impl FnOnce(&mut OpSink<'_>) -> OpId) -> (DiskOp, Option<Result<(), DiskError>>) {
        let mut ops = Vec::new();
        ask(&mut OpSink::new(&mut ops, &mut self.next_id));
        let op = ops.remove(0);
        let report = self.disk.begin(0, &op).report;
        (op, report)
    }

    /// Does an operation to its end.
    fn act(&mut self, ask: impl FnOnce(&mut OpSink<'_>) -> OpId) -> Result<(), DiskError> {
        let (op, report) = self.begin(ask);
        let result = report.unwrap_or(Ok(()));
        if result.is_ok() {
            self.disk.finish(&op);
        }
        result
    }

    /// A file with these bytes, durable by name and content.
    fn file(&mut self, name: &str, bytes: &'static [u8]) -> FileName {
        let file: FileName = name.into();
        let dir: FileName = name.rsplit_once('/').unwrap().0.into();
        self.act(|ops| ops.create(&file)).unwrap();
        self.act(|ops| ops.write(&file, 0, Bytes::from_static(bytes))).unwrap();
        self.act(|ops| ops.sync(&file)).unwrap();
        self.act(|ops| ops.sync_dir(&dir)).unwrap();
        file
    }

    fn write(&mut self, file: &FileName, offset: u64, bytes: &'static [u8]) -> Result<(), DiskError> {
        self.act(|ops| ops.write(file, offset, Bytes::from_static(bytes)))
    }

    fn after_crash(&self, unsynced: Unsynced, file: &str) -> Result<Vec<u8>, DiskError> {
        let mut disk = self.disk.clone();
        disk.crash(unsynced, &mut Stream::new(7, "fate"));
        disk.read_all(file)
    }
}

#[test]
fn a_sync_covers_what_was_issued_before_it_even_if_the_file_is_renamed_meanwhile() {
    let mut desk = Desk::new();
    let file = desk.file(WAL, b"old");
    desk.write(&file, 0, b"new").unwrap();
    let (sync, _) = desk.begin(|ops| ops.sync(&file));
    desk.write(&file, 3, b"er").unwrap();
    let to: FileName = "member/wal/b.wal".into();
    desk.act(|ops| ops.rename(&file, &to)).unwrap();
    assert_eq!(desk.after_crash(Unsynced::Lost, WAL).unwrap(), b"old");
    desk.disk.finish(&sync);
    assert_eq!(desk.after_crash(Unsynced::Lost, WAL).unwrap(), b"new");
    assert_eq!(desk.after_crash(Unsynced::Kept, &to).unwrap(), b"newer");
    assert_eq!(desk.disk.read_all(&to).unwrap(), b"newer");
    assert!(!desk.disk.is_settled());
}

#[test]
fn sectors_are_kept_or_lost_one_by_one() {
    let mut desk = Desk::new();
    let file = desk.file(DB, &[1; 4096]);
    desk.write(&file, 0, &[2; 4096]).unwrap();
    let torn = desk.after_crash(Unsynced::Random, DB).unwrap();
    let kept = torn.chunks(512).filter(|sector| sector == &[2; 512]).count();
    assert!(torn.chunks(512).all(|sector| sector == [1; 512] || sector == [2; 512]));
    assert!((1..8).contains(&kept), "{kept} of 8");
    assert_eq!(desk.disk.read_all(DB).unwrap(), [2; 4096], "a fork's crash is its own");
}

#[test]
fn a_lying_sync_covers_nothing_and_a_failed_one_loses_the_pages_for_good() {
    let mut desk = Desk::new();
    let file = desk.file(WAL, b"old");
    desk.disk.faults.lying = true;
    desk.write(&file, 0, b"new").unwrap();
    desk.act(|ops| ops.sync(&file)).unwrap();
    assert_eq!(desk.after_crash(Unsynced::Lost, WAL).unwrap(), b"old");
    desk.disk.faults.lying = false;
    desk.disk.faults.error = Some((DiskErrorKind::FsyncFails, Some(FileKind::Wal)));
    assert!(desk.act(|ops| ops.sync(&file)).is_err());
    desk.act(|ops| ops.sync(&file)).unwrap();
    assert_eq!(desk.disk.read_all(WAL).unwrap(), b"new");
    assert_eq!(desk.after_crash(Unsynced::Kept, WAL).unwrap(), b"old");
}

#[test]
fn faults_are_aimed_at_kinds_of_files() {
    let mut desk = Desk::new();
    let (wal, db) = (desk.file(WAL, &[0; 8192]), desk.file(DB, &[0; 8192]));
    desk.disk.faults.error = Some((DiskErrorKind::Enospc, Some(FileKind::Db)));
    desk.write(&wal, 0, b"x").unwrap();
    assert_eq!(desk.write(&db, 0, b"x"), Err(DiskError::NoSpace { file: db.clone() }));
    desk.write(&db, 0, b"\0").unwrap();

    desk.disk.rot(FileKind::Db, 1);
    let ones = |bytes: Vec<u8>| bytes.iter().map(|byte| byte.count_ones()).sum::<u32>();
    assert_eq!(ones(desk.disk.read_all(DB).unwrap()), 1);
    assert_eq!(ones(desk.after_crash(Unsynced::Lost, DB).unwrap()), 1);

    desk.disk.lose_sector(FileKind::Db);
    assert!(desk.disk.read_all(WAL).is_ok());
    assert!(matches!(desk.disk.read_all(DB), Err(DiskError::Io { .. })));

    let mut desk = Desk::new();
    let (wal, db) = (desk.file(WAL, b"w"), desk.file(DB, &[0; 4096]));
    desk.disk.faults.misdirect = Some(Some(FileKind::Db));
    desk.write(&wal, 0, b"x").unwrap();
    desk.write(&db, 0, &[7; 4096]).unwrap();
    assert_eq!((desk.disk.read_all(WAL).unwrap(), desk.disk.faults.misdirect), (b"x".to_vec(), None));
    let landed = desk.disk.read_all(DB).unwrap();
    let pages: Vec<bool> = landed.chunks(4096).map(|page| page == [7; 4096]).collect();
    assert_eq!((pages[0], pages.iter().filter(|hit| **hit).count()), (false, 1), "a page lands on another page");
}

#[test]
fn what_no_name_holds_any_more_is_forgotten() {
    let mut desk = Desk::new();
    let file = desk.file(WAL, b"bytes");
    let (late, _) = desk.begin(|ops| ops.sync(&file));
    desk.act(|ops| ops.remove(&file)).unwrap();
    assert_eq!(desk.after_crash(Unsynced::Lost, WAL).unwrap(), b"bytes");
    desk.act(|ops| ops.sync_dir(&"member/wal".into())).unwrap();
    assert_eq!(desk.disk.inodes[0].live.allocated(), 0);
    desk.disk.finish(&late);
    assert!(desk.after_crash(Unsynced::Kept, WAL).is_err());
}

#[test]
fn a_full_disk_counts_blocks() {
    let mut desk = Desk::new();
    desk.disk.profile.size_bytes = Some(8192);
    let file = desk.file(DB, b"one block");
    desk.act(|ops| ops.truncate(&file, 1 << 30)).unwrap();
    desk.write(&file, 1 << 20, b"another").unwrap();
    assert_eq!(desk.write(&file, 0, b"x"), Err(DiskError::NoSpace { file }));
}
