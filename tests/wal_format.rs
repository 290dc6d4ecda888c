//! The log's bytes are etcd's: golden files, and what a segment holds.

use bytes::{Bytes, BytesMut};
use seedbed::disk::{DiskRead as _, OpSink};
use seedbed::disk_mem::MemDisk;
use seedbed::pb::walpb;
use seedbed::raft::{Entry, EntryKind, HardState};
use seedbed::wal::record::{RecordType, decode, encode};
use seedbed::wal::{Reader, Record, Segment, Wal, WalConfig, recover};
use std::path::PathBuf;

const FIRST: &str = "member/wal/0000000000000000-0000000000000000.wal";

fn config(segment_bytes: u64) -> WalConfig {
    WalConfig { dir: "member/wal".into(), segment_bytes }
}

fn entry(term: u64, index: u64, data: &'static [u8]) -> Entry {
    Entry { kind: EntryKind::Normal, term, index, data: Bytes::from_static(data) }
}

/// etcd's own test file, from the folder of other projects' files; absent in a bare checkout.
fn golden() -> Option<Vec<u8>> {
    let peers = std::env::var_os("SEEDBED_PEERS")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/peers"), PathBuf::from);
    let file = peers.join("files/TestNew.wal");
    match std::fs::read(&file) {
        Ok(bytes) => Some(bytes),
        Err(error) => {
            println!("skipped: {}: {error}", file.display());
            None
        }
    }
}

/// The same 72 bytes, spelled out from the format: metadata "somedata", snapshot {0, 0}.
const TEST_NEW: [u8; 72] = [
    0x04, 0, 0, 0, 0, 0, 0, 0x84, 0x08, 4, 0x10, 0, 0, 0, 0, 0, // crc 0
    0x12, 0, 0, 0, 0, 0, 0, 0x86, 0x08, 1, 0x10, 0x85, 0xd4, 0xfd, 0xa0, 0x07, // metadata
    0x1a, 8, b's', b'o', b'm', b'e', b'd', b'a', b't', b'a', 0, 0, 0, 0, 0, 0, //
    0x0e, 0, 0, 0, 0, 0, 0, 0x82, 0x08, 5, 0x10, 0x80, 0xdb, 0x81, 0xc1, 0x01, // snapshot
    0x1a, 4, 0x08, 0, 0x10, 0, 0, 0,
];

#[test]
fn a_new_log_is_etcds_byte_for_byte() {
    let (mut disk, mut ops, mut id) = (MemDisk::new(), Vec::new(), 0);
    Wal::create(config(64), b"somedata", &mut OpSink::new(&mut ops, &mut id));
    disk.apply_all(&mut ops);
    assert_eq!(disk.file(FIRST).unwrap(), TEST_NEW);
    if let Some(bytes) = golden() {
        assert_eq!(bytes, TEST_NEW);
    }
}

#[test]
fn etcds_file_decodes_and_encodes_again_byte_for_byte() {
    let Some(bytes) = golden() else { return };
    let (mut again, mut crc, mut offset) = (BytesMut::new(), 0, 0);
    while let Some(record) = decode(&bytes, offset).unwrap() {
        encode(record.kind, [record.data, &[]], &mut crc, &mut again);
        assert_eq!(crc, record.crc);
        offset += record.frame_bytes;
    }
    assert_eq!(&again[..], &bytes[..]);

    let (mut disk, mut ops, mut id) = (MemDisk::new(), Vec::new(), 0);
    disk.insert(FIRST, bytes);
    let mark = walpb::Snapshot { index: 0, term: 0 };
    let read = recover(&disk, config(64), mark, &mut OpSink::new(&mut ops, &mut id)).unwrap();
    assert_eq!((&read.metadata[..], read.entries, read.torn), (&b"somedata"[..], vec![], None));
    assert_eq!(read.snapshots, [mark]);
}

/// Segments are preallocated with zeros, and the next one carries crc, metadata and state.
#[test]
fn a_cut_carries_crc_metadata_and_state() {
    let (mut disk, mut ops, mut id) = (MemDisk::new(), Vec::new(), 0);
    let mut sink = OpSink::new(&mut ops, &mut id);
    let (mut wal, wait) = Wal::create(config(1024), b"m", &mut sink);
    assert_eq!(wait.len(), 2, "file and directory");
    let state = HardState { term: 1, vote: 7, commit: 0 };
    assert_eq!(wal.save(&[entry(1, 1, b"a")], Some(&state), true, &mut sink).len(), 1);
    assert_eq!(wal.save(&[entry(1, 2, &[b'b'; 1000])], None, true, &mut sink).len(), 1);
    assert!(wal.offset() >= 1024, "full, but not cut before its sync was waited for");
    assert_eq!(wal.segments().len(), 1);
    let wait = wal.save(&[entry(1, 3, b"c")], None, true, &mut sink);
    assert_eq!(wait.len(), 2, "the new segment and its name");
    disk.apply_all(&mut ops);

    assert_eq!(disk.list("member/wal"), [FIRST.into(), "member/wal/0000000000000001-0000000000000003.wal".into()]);
    assert_eq!(disk.len("member/wal/0000000000000001-0000000000000003.wal"), Ok(1024));
    let segments: Vec<Segment> = wal.segments().cloned().collect();
    let mut reader = Reader::new(&disk, &segments).unwrap();
    let mut second = Vec::new();
    while let Some(located) = reader.next().unwrap() {
        if located.place.file == segments[1].file {
            second.push(located.record);
        }
    }
    assert!(matches!(second[0], Record::Crc(crc) if crc != 0));
    assert_eq!(
        second[1..],
        [Record::Metadata(Bytes::from_static(b"m")), Record::State(state), Record::Entry(entry(1, 3, b"c"))]
    );
}

#[test]
fn a_lone_commit_is_not_synced_but_a_full_segment_is() {
    let (mut ops, mut id) = (Vec::new(), 0);
    let mut sink = OpSink::new(&mut ops, &mut id);
    let (mut wal, _) = Wal::create(config(400), b"m", &mut sink);
    let commit = |commit| HardState { term: 1, vote: 7, commit };
    wal.save(&[entry(1, 1, b"a")], Some(&commit(0)), true, &mut sink);
    assert_eq!(wal.save(&[], Some(&commit(1)), false, &mut sink), []);
    assert_eq!(wal.save(&[], None, true, &mut sink), []);
    while wal.offset() < 400 {
        let wait = wal.save(&[], Some(&commit(1)), false, &mut sink);
        assert_eq!(wait.len(), usize::from(wal.offset() >= 400));
    }
    // A snapshot record whose sync nobody has waited for postpones the cut by one save.
    wal.save_snapshot(&Default::default(), &mut sink);
    assert_eq!(wal.save(&[], Some(&commit(1)), false, &mut sink).len(), 1);
    assert_eq!(wal.segments().len(), 1);
    assert_eq!(wal.save(&[], Some(&commit(1)), false, &mut sink).len(), 2);
    assert_eq!(wal.segments().len(), 2);
}

#[test]
fn release_keeps_the_segment_that_recovery_would_start_in() {
    let (mut disk, mut ops, mut id) = (MemDisk::new(), Vec::new(), 0);
    let mut sink = OpSink::new(&mut ops, &mut id);
    let (mut wal, _) = Wal::create(config(100), b"m", &mut sink);
    for index in 1..=8 {
        let state = HardState { term: 1, vote: 7, commit: index };
        wal.save(&[entry(1, index, &[b'x'; 50])], Some(&state), true, &mut sink);
    }
    let meta = seedbed::raft::SnapshotMeta { index: 5, term: 1, ..Default::default() };
    wal.save_snapshot(&meta, &mut sink);
    let firsts = |wal: &Wal| wal.segments().map(|s| s.first_index).collect::<Vec<_>>();
    assert_eq!(firsts(&wal), [0, 2, 3, 4, 5, 6, 7, 8]);
    wal.release(5, 6, &mut sink);
    assert_eq!(firsts(&wal), [3, 4, 5, 6, 7, 8], "more are kept than are needed");
    wal.release(5, 1, &mut sink);
    assert_eq!(firsts(&wal), [5, 6, 7, 8], "and never less");
    wal.release(100, 0, &mut sink);
    assert_eq!(firsts(&wal), [8], "the tail stays");
    disk.apply_all(&mut ops);
    assert_eq!(disk.list("member/wal").len(), 1);
}

#[test]
fn a_record_that_no_reader_takes_is_an_own_bug() {
    let huge = vec![0; 10 << 20];
    let panic = std::panic::catch_unwind(|| encode(RecordType::Entry, [&huge, &[]], &mut 0, &mut BytesMut::new()));
    assert!(panic.is_err());
}
