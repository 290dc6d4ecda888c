//! Recovery after damage: always an exact prefix of what was written and a report of what was dropped, or an error
//! that names the place. Never a panic, never a record that nobody wrote.

use bytes::Bytes;
use seedbed::disk::{DiskRead as _, FileName, OpSink};
use seedbed::disk_mem::MemDisk;
use seedbed::pb::walpb;
use seedbed::raft::{Entry, EntryKind, HardState, SnapshotMeta};
use seedbed::wal::{Damage, Recovery, Segment, Wal, WalConfig, WalError, exists, recover, snapshots};

const DIR: &str = "member/wal";
const FIRST: &str = "member/wal/0000000000000000-0000000000000000.wal";
const SELF: u64 = 0xb71f_7532_0dc0_6a6c;
const NONE: walpb::Snapshot = walpb::Snapshot { index: 0, term: 0 };

fn config(segment_bytes: u64) -> WalConfig {
    WalConfig { dir: DIR.into(), segment_bytes }
}

fn entry(term: u64, index: u64, data: Vec<u8>) -> Entry {
    Entry { kind: EntryKind::Normal, term, index, data: data.into() }
}

fn state(term: u64, commit: u64) -> HardState {
    HardState { term, vote: SELF, commit }
}

/// A log being written on a perfect disk.
struct Log {
    disk: MemDisk,
    wal: Wal,
    next_id: u64,
}

impl Log {
    fn new(segment_bytes: u64) -> Self {
        let (mut disk, mut ops, mut next_id) = (MemDisk::new(), Vec::new(), 0);
        let (wal, _) =
            Wal::create(config(segment_bytes), b"\x08\x01\x10\x02", &mut OpSink::new(&mut ops, &mut next_id));
        disk.apply_all(&mut ops);
        Self { disk, wal, next_id }
    }

    fn save(&mut self, entries: &[Entry], state: Option<HardState>) {
        let mut ops = Vec::new();
        self.wal.save(entries, state.as_ref(), true, &mut OpSink::new(&mut ops, &mut self.next_id));
        self.disk.apply_all(&mut ops);
    }

    fn snapshot(&mut self, index: u64, term: u64) {
        let (mut ops, meta) = (Vec::new(), SnapshotMeta { index, term, ..Default::default() });
        self.wal.save_snapshot(&meta, &mut OpSink::new(&mut ops, &mut self.next_id));
        self.disk.apply_all(&mut ops);
    }
}

/// Recovers on `disk` and does the repair.
fn reopen(disk: &mut MemDisk, segment_bytes: u64, from: walpb::Snapshot) -> Result<Recovery, WalError> {
    let (mut ops, mut id) = (Vec::new(), 0);
    let recovery = recover(disk, config(segment_bytes), from, &mut OpSink::new(&mut ops, &mut id))?;
    disk.apply_all(&mut ops);
    Ok(recovery)
}

/// A little of everything: an empty entry, a configuration change, conflicts, snapshots, states, three segments.
fn small_log() -> (Log, u64) {
    let segment_bytes = 700;
    let mut log = Log::new(segment_bytes);
    let change = Entry { kind: EntryKind::ConfChange, term: 1, index: 1, data: Bytes::from_static(b"add") };
    log.save(&[change], Some(state(1, 1)));
    log.save(&[entry(2, 2, vec![])], Some(state(2, 2)));
    log.save(&[entry(2, 3, vec![b'a'; 20]), entry(2, 4, vec![b'b'; 40])], None);
    log.save(&[entry(3, 3, vec![b'c'; 90])], Some(state(3, 3)));
    log.snapshot(3, 3);
    log.save(&[entry(3, 4, vec![0; 150])], Some(state(3, 4)));
    for index in 5..=12 {
        log.save(&[entry(4, index, vec![index as u8; 60])], Some(state(4, index)));
    }
    log.save(&[], Some(state(5, 12)));
    assert!(log.wal.segments().len() >= 3);
    (log, segment_bytes)
}

/// What was recovered, without what differs between one disk and another.
type Meaning = (Bytes, HardState, Vec<Entry>, Vec<walpb::Snapshot>);

fn meaning(r: &Recovery) -> Meaning {
    (r.metadata.clone(), r.state, r.entries.clone(), r.snapshots.clone())
}

/// For each number of records, what recovery makes of just these: the answer key.
fn prefixes(log: &Log, segment_bytes: u64) -> Vec<Option<Meaning>> {
    let segments: Vec<Segment> = log.wal.segments().cloned().collect();
    let mut key = vec![None; 3];
    for (i, segment) in segments.iter().enumerate() {
        let mut disk = log.disk.clone();
        let mut ends = Vec::new();
        let mut offset = 0;
        let bytes = disk.read_all(&segment.file).unwrap();
        while let Some(record) = seedbed::wal::record::decode(&bytes, offset).unwrap() {
            offset += record.frame_bytes;
            ends.push(offset);
        }
        for later in &segments[i + 1..] {
            disk.file_mut(&later.file).unwrap().clear();
        }
        // A later segment counts only with its first two records; the first, with the snapshot record too.
        for (records, end) in ends.iter().enumerate() {
            let records = records + 1;
            if i == 0 && records < 3 {
                continue;
            }
            if records < 2 {
                key.push(key.last().unwrap().clone());
                continue;
            }
            let mut disk = disk.clone();
            for later in &segments[i + 1..] {
                disk.apply_all(&mut remove(&later.file));
            }
            disk.file_mut(&segment.file).unwrap().truncate(*end);
            let recovery = reopen(&mut disk, segment_bytes, NONE).unwrap();
            assert_eq!(recovery.torn, None);
            key.push(Some(meaning(&recovery)));
        }
    }
    key
}

fn remove(file: &FileName) -> Vec<seedbed::disk::DiskOp> {
    let (mut ops, mut id) = (Vec::new(), 0);
    OpSink::new(&mut ops, &mut id).remove(file);
    ops
}

/// What is left after `damage` must be a prefix; a shorter one must be reported; and the log must go on behind it.
fn check_prefix(key: &[Option<Meaning>], mut disk: MemDisk, segment_bytes: u64, what: &str) {
    let mut recovery = match reopen(&mut disk, segment_bytes, NONE) {
        Ok(recovery) => recovery,
        Err(error) => {
            let text = error.to_string();
            assert!(text.contains("member/wal/") && text.contains("byte "), "{what}: {text}");
            return;
        }
    };
    let records = recovery.records as usize;
    assert_eq!(Some(meaning(&recovery)), key[records], "{what}: not what {records} records say");
    if let Some(torn) = &recovery.torn {
        assert!(torn.to_string().contains("byte "), "{what}");
        assert_eq!(torn.bytes > 0, disk.file(&format!("{}.broken", torn.file)).is_ok(), "{what}: copy");
    }

    // The repaired log takes new records and gives them back.
    let next = recovery.wal.last_index() + 1;
    let term = recovery.state.term.max(recovery.entries.last().map_or(1, |e| e.term));
    let (mut ops, mut id) = (Vec::new(), 0);
    for i in 0..3 {
        let sink = &mut OpSink::new(&mut ops, &mut id);
        let wait = recovery.wal.save(&[entry(term, next + i, vec![b'n'; 300])], None, true, sink);
        assert!(!wait.is_empty());
    }
    disk.apply_all(&mut ops);
    let again = reopen(&mut disk, segment_bytes, NONE).unwrap_or_else(|error| panic!("{what}: after repair: {error}"));
    assert_eq!(again.torn, None, "{what}: repaired");
    assert_eq!(again.entries.len(), recovery.entries.len() + 3, "{what}");
    assert_eq!(again.entries[..recovery.entries.len()], recovery.entries, "{what}");
    assert_eq!(again.state, recovery.state, "{what}");
}

#[test]
fn a_cut_at_every_byte_gives_a_prefix_and_a_report() {
    let (log, segment_bytes) = small_log();
    let key = prefixes(&log, segment_bytes);
    let segments: Vec<Segment> = log.wal.segments().cloned().collect();
    for (i, segment) in segments.iter().enumerate() {
        let len = log.disk.file(&segment.file).unwrap().len();
        for at in 0..len {
            let mut disk = log.disk.clone();
            disk.file_mut(&segment.file).unwrap().truncate(at);
            for later in &segments[i + 1..] {
                disk.apply_all(&mut remove(&later.file));
            }
            let what = format!("{} cut at {at}", segment.file);
            // Only the log's very beginning cannot be cut.
            let result = reopen(&mut disk.clone(), segment_bytes, NONE);
            assert_eq!(result.is_err(), i == 0 && at < 72 - 8, "{what}: {result:?}");
            check_prefix(&key, disk, segment_bytes, &what);
        }
    }
}

#[test]
fn a_changed_byte_anywhere_gives_a_prefix_or_an_error() {
    let (log, segment_bytes) = small_log();
    let key = prefixes(&log, segment_bytes);
    let whole = key.len() - 1;
    for segment in log.wal.segments() {
        let bytes = log.disk.file(&segment.file).unwrap().to_vec();
        for (at, &byte) in bytes.iter().enumerate() {
            for flip in (0..8).map(|bit| 1 << bit).chain([0xff, byte]).filter(|&flip| flip != 0) {
                let mut disk = log.disk.clone();
                disk.file_mut(&segment.file).unwrap()[at] ^= flip;
                let what = format!("{} byte {at} ^ {flip:#04x}", segment.file);
                if let Ok(recovery) = reopen(&mut disk.clone(), segment_bytes, NONE) {
                    let complete = recovery.records as usize == whole;
                    assert!(complete || recovery.torn.is_some(), "{what}: dropped in silence");
                }
                check_prefix(&key, disk, segment_bytes, &what);
            }
        }
    }
}

#[test]
fn a_lost_sector_in_the_last_segment_is_torn_and_elsewhere_damage() {
    let mut log = Log::new(16 << 10);
    for index in 1..=5 {
        log.save(&[entry(1, index, vec![b'x'; 1500])], Some(state(1, index - 1)));
    }
    let mut disk = log.disk.clone();
    // Of the 5th entry's record, one sector never arrived.
    disk.file_mut(FIRST).unwrap()[6656..7168].fill(0);
    let recovery = reopen(&mut disk, 16 << 10, NONE).unwrap();
    assert_eq!((recovery.entries.len(), recovery.state), (4, state(1, 3)));
    let torn = recovery.torn.unwrap();
    assert!(matches!(torn.damage, Damage::Crc { .. }), "{torn}");

    // The same in a segment that is not the last cannot come from a crash.
    let mut disk = log.disk.clone();
    while log.wal.segments().len() == 1 {
        let next = log.wal.last_index() + 1;
        log.save(&[entry(1, next, vec![b'x'; 1500])], None);
        disk = log.disk.clone();
    }
    disk.file_mut(FIRST).unwrap()[6656..7168].fill(0);
    let error = reopen(&mut disk, 16 << 10, NONE).unwrap_err();
    let WalError::Damaged { place, damage: Damage::Crc { .. } } = &error else { panic!("{error}") };
    assert_eq!((&*place.file, place.record), (FIRST, 12));
}

/// etcd's TestOpenOnTornWrite: 40 entries, the 20th zeroed, 5 more written after opening.
#[test]
fn an_entry_zeroed_in_the_middle_ends_the_log_there() {
    let mut log = Log::new(64 << 10);
    let mut offsets = Vec::new();
    for index in 1..=40 {
        offsets.push(log.wal.offset() as usize);
        log.save(&[entry(1, index, vec![index as u8; 10])], None);
    }
    let file = log.disk.file_mut(FIRST).unwrap();
    file[offsets[19]..offsets[20]].fill(0);
    let used = log.wal.offset();

    let recovery = reopen(&mut log.disk, 64 << 10, NONE).unwrap();
    assert_eq!(recovery.entries.len(), 19);
    let torn = recovery.torn.as_ref().unwrap();
    assert_eq!((&*torn.file, torn.offset), (FIRST, offsets[19] as u64));
    assert_eq!(torn.damage, Damage::Buried { end: torn.offset + torn.bytes });
    assert!(used - (torn.offset + torn.bytes) < 8, "up to the last record's padding");
    assert_eq!(log.disk.file(&format!("{FIRST}.broken")).unwrap().len() as u64, torn.offset + torn.bytes);

    log.wal = recovery.wal;
    for index in 20..25 {
        log.save(&[entry(1, index, vec![b'n'])], None);
    }
    let recovery = reopen(&mut log.disk, 64 << 10, NONE).unwrap();
    assert_eq!((recovery.entries.len(), recovery.torn), (24, None));
}

#[test]
fn corruption_in_the_middle_is_an_error_that_names_the_place() {
    let mut log = Log::new(64 << 10);
    let mut offset = 0;
    for index in 1..=10 {
        if index == 5 {
            offset = log.wal.offset();
        }
        log.save(&[entry(1, index, vec![b'v'; 30])], None);
    }
    log.disk.file_mut(FIRST).unwrap()[offset as usize + 40] ^= 1;
    let error = reopen(&mut log.disk, 64 << 10, NONE).unwrap_err();
    let WalError::Damaged { place, damage: Damage::Crc { expected, found } } = &error else { panic!("{error}") };
    assert_eq!((&*place.file, place.offset, place.record), (FIRST, offset, 8));
    let text = error.to_string();
    assert!(text.starts_with(&format!("{FIRST}: byte {offset} (record 8): expected CRC {expected:08x}")), "{text}");
    assert!(text.contains(&format!("found {found:08x}")) && text.contains("add it anew"), "{text}");
}

#[test]
fn a_length_beyond_the_file_is_a_torn_tail() {
    let mut log = Log::new(4096);
    log.save(&[entry(1, 1, vec![b'v'; 30])], None);
    let at = log.wal.offset() as usize;
    log.disk.file_mut(FIRST).unwrap()[at..at + 3].copy_from_slice(&[0, 0, 1]);
    let recovery = reopen(&mut log.disk, 4096, NONE).unwrap();
    assert_eq!(recovery.torn.unwrap().damage, Damage::Short { needs: (1 << 16) + 8, has: 4096 - at as u64 });
    assert_eq!(recovery.entries.len(), 1);
}

#[test]
fn the_last_record_for_an_index_wins() {
    let mut log = Log::new(4096);
    let e = |term, index| entry(term, index, vec![term as u8]);
    log.save(&[e(1, 1), e(1, 2), e(1, 3), e(1, 4)], Some(state(1, 1)));
    log.save(&[e(2, 3)], Some(state(2, 1)));
    let recovery = reopen(&mut log.disk.clone(), 4096, NONE).unwrap();
    assert_eq!(recovery.entries, [e(1, 1), e(1, 2), e(2, 3)]);
    assert_eq!(recovery.wal.last_index(), 3);
    log.save(&[e(2, 4), e(2, 5)], None);
    log.save(&[e(3, 2)], Some(state(3, 2)));
    assert_eq!(reopen(&mut log.disk, 4096, NONE).unwrap().entries, [e(1, 1), e(3, 2)]);
}

#[test]
fn reading_starts_at_a_snapshot_that_the_log_knows() {
    let mut log = Log::new(300);
    for index in 1..=12 {
        log.save(&[entry(1, index, vec![b'x'; 60])], Some(state(1, index)));
        if index % 4 == 0 {
            log.snapshot(index, 1);
        }
    }
    log.snapshot(13, 1); // written, but not committed
    let marks = |disk: &MemDisk| snapshots(disk, &config(300)).unwrap().iter().map(|m| m.index).collect::<Vec<_>>();
    assert_eq!(marks(&log.disk), [0, 4, 8, 12]);

    let from = |index, term| walpb::Snapshot { index, term };
    let recovery = reopen(&mut log.disk.clone(), 300, from(8, 1)).unwrap();
    assert_eq!(recovery.entries.iter().map(|e| e.index).collect::<Vec<_>>(), [9, 10, 11, 12]);
    let wrong_term = reopen(&mut log.disk.clone(), 300, from(8, 2)).unwrap_err();
    assert!(
        matches!(wrong_term, WalError::Damaged { damage: Damage::SnapshotTerm { index: 8, .. }, .. }),
        "{wrong_term}"
    );
    let unknown = reopen(&mut log.disk.clone(), 300, from(7, 1)).unwrap_err();
    assert!(matches!(unknown, WalError::SnapshotNotFound { index: 7, .. }), "{unknown}");

    let mut ops = Vec::new();
    log.wal.release(8, 1, &mut OpSink::new(&mut ops, &mut log.next_id));
    log.disk.apply_all(&mut ops);
    assert_eq!(marks(&log.disk), [8, 12]);
    assert_eq!(reopen(&mut log.disk.clone(), 300, from(8, 1)).unwrap().entries.len(), 4);
    let released = reopen(&mut log.disk.clone(), 300, from(4, 1)).unwrap_err();
    assert!(matches!(released, WalError::Released { index: 4, .. }), "{released}");
}

/// Raft paper, Figure 13: a snapshot from the leader replaces a log that does not hold its last entry.
#[test]
fn a_leaders_snapshot_replaces_the_log_once_it_is_committed() {
    let e = |term, index| entry(term, index, vec![b'x']);
    let mark = walpb::Snapshot { index: 20, term: 3 };
    let mut log = Log::new(4096);
    log.save(&[e(1, 1), e(1, 2)], Some(state(1, 2)));
    log.save(&(3..=25).map(|i| e(2, i)).collect::<Vec<_>>(), Some(state(2, 2)));
    log.snapshot(20, 3);
    // Crash before its state: the snapshot does not count, the old log goes on.
    assert_eq!(snapshots(&log.disk, &config(4096)).unwrap(), [NONE]);
    let recovery = reopen(&mut log.disk.clone(), 4096, NONE).unwrap();
    assert_eq!((recovery.entries.len(), recovery.wal.last_index()), (25, 25));

    log.save(&[], Some(state(3, 20)));
    let recovery = reopen(&mut log.disk.clone(), 4096, mark).unwrap();
    assert_eq!((recovery.entries, recovery.wal.last_index()), (vec![], 20), "entries that lost stay away");
    let without = reopen(&mut log.disk.clone(), 4096, NONE).unwrap_err();
    assert!(matches!(without, WalError::Replaced { index: 0, next: 21, .. }), "{without}");
    log.save(&[e(3, 21)], None);
    assert_eq!(reopen(&mut log.disk, 4096, mark).unwrap().entries, [e(3, 21)]);
}

#[test]
fn a_snapshot_ahead_of_the_log_leaves_no_gap_behind() {
    let mut log = Log::new(200);
    log.save(&[entry(1, 1, vec![b'x'; 150])], Some(state(1, 1)));
    log.snapshot(20, 2);
    log.save(&[], Some(state(2, 20)));
    log.save(&[entry(2, 21, vec![b'y'])], None);
    let names: Vec<u64> = log.wal.segments().map(|s| s.first_index).collect();
    assert_eq!(names, [0, 21]);
    let recovery = reopen(&mut log.disk, 200, walpb::Snapshot { index: 20, term: 2 }).unwrap();
    assert_eq!(recovery.entries, [entry(2, 21, vec![b'y'])]);
}

/// What the log says must fit together, even where every checksum is right.
#[test]
fn entries_that_cannot_follow_are_refused() {
    let e = |term, index| entry(term, index, vec![b'x']);
    let damage = |saves: &[(&[Entry], Option<HardState>)]| {
        let mut log = Log::new(4096);
        for (entries, state) in saves {
            log.save(entries, *state);
        }
        match reopen(&mut log.disk, 4096, NONE).unwrap_err() {
            WalError::Damaged { damage, .. } => damage,
            other => panic!("{other}"),
        }
    };
    let committed = damage(&[(&[e(1, 1), e(1, 2)], Some(state(1, 2))), (&[e(1, 2)], None)]);
    assert_eq!(committed, Damage::Committed { commit: 2, found: 2 });
    assert_eq!(damage(&[(&[e(2, 1), e(1, 2)], None)]), Damage::Term { expected: 2, found: 1 });
    assert_eq!(damage(&[(&[], Some(state(2, 0))), (&[], Some(state(1, 0)))]), Damage::Term { expected: 2, found: 1 });
    assert_eq!(damage(&[(&[e(SELF, 1)], None)]), Damage::TermLeap { state: 0, found: SELF });
}

#[test]
fn segments_of_another_log_or_with_a_hole_are_refused() {
    let (log, segment_bytes) = small_log();
    let files: Vec<FileName> = log.wal.segments().map(|s| s.file.clone()).collect();
    let mut disk = log.disk.clone();
    disk.apply_all(&mut remove(&files[1]));
    let hole = reopen(&mut disk, segment_bytes, NONE).unwrap_err();
    assert!(matches!(&hole, WalError::Released { oldest, .. } if *oldest == files[2]), "{hole}");

    let (mut other, mut ops, mut id) = (MemDisk::new(), Vec::new(), 0);
    Wal::create(config(segment_bytes), b"other", &mut OpSink::new(&mut ops, &mut id));
    other.apply_all(&mut ops);
    let mut disk = log.disk.clone();
    disk.insert(&files[1], other.file(FIRST).unwrap().to_vec());
    let swapped = reopen(&mut disk, segment_bytes, NONE).unwrap_err();
    let WalError::Damaged { place, damage: Damage::Crc { .. } } = &swapped else { panic!("{swapped}") };
    assert_eq!((&place.file, place.offset, place.record), (&files[1], 0, 1));
}

#[test]
fn making_a_log_may_be_interrupted_and_begun_again() {
    let mut disk = MemDisk::new();
    assert_eq!(exists(&disk, &config(4096)), Ok(false));
    assert!(matches!(reopen(&mut disk, 4096, NONE), Err(WalError::NoLog { .. })));
    assert!(matches!(snapshots(&disk, &config(4096)), Err(WalError::NoLog { .. })));
    for nothing_written in [vec![], vec![0; 4096]] {
        disk.insert(FIRST, nothing_written);
        assert_eq!(exists(&disk, &config(4096)), Ok(false));
        assert!(matches!(reopen(&mut disk, 4096, NONE), Err(WalError::Unborn { .. })));
    }
    let (mut ops, mut id) = (Vec::new(), 0);
    Wal::create(config(4096), b"m", &mut OpSink::new(&mut ops, &mut id));
    disk.apply_all(&mut ops);
    assert_eq!(exists(&disk, &config(4096)), Ok(true));
    assert_eq!(reopen(&mut disk, 4096, NONE).unwrap().records, 3);

    // A damaged beginning is not an interrupted one: the member must not start as new.
    disk.file_mut(FIRST).unwrap()[..16].fill(0);
    assert_eq!(exists(&disk, &config(4096)), Ok(true));
    assert!(matches!(reopen(&mut disk, 4096, NONE), Err(WalError::Damaged { .. })));
}
