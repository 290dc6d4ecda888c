//! Snapshot files: what counts, what is damaged, what is kept.

use bytes::Bytes;
use seedbed::disk::{Action, DiskRead as _, FileName, OpSink};
use seedbed::disk_mem::MemDisk;
use seedbed::pb::walpb;
use seedbed::raft::{ConfState, Entry, EntryKind, HardState, Snapshot, SnapshotMeta};
use seedbed::snap::db::{self, SnapDb};
use seedbed::snap::{self, SnapError};
use seedbed::wal::{Wal, WalConfig, recover};

fn meta(index: u64, term: u64) -> SnapshotMeta {
    SnapshotMeta { index, term, conf: ConfState { voters: vec![1, 2, 3], ..Default::default() } }
}

fn save(disk: &mut MemDisk, index: u64, term: u64) -> Snapshot {
    let (mut ops, mut id) = (Vec::new(), 0);
    let data = Bytes::from(format!("state at {index}"));
    let mut sink = OpSink::new(&mut ops, &mut id);
    let mut wait = snap::write(&meta(index, term), &data, &mut sink);
    wait.extend(snap::publish(&meta(index, term), &mut sink));
    assert_eq!(wait.len(), 2, "the file and its name");
    disk.apply_all(&mut ops);
    Snapshot { meta: meta(index, term), data }
}

#[test]
fn files_round_trip_and_list_newest_first() {
    let mut disk = MemDisk::new();
    let written: Vec<Snapshot> = [(5, 1), (9, 1), (7, 2)].map(|(i, t)| save(&mut disk, i, t)).into();
    disk.insert("member/snap/db", vec![1]);
    disk.insert("member/snap/000000000000000a.snap.db", vec![1]);
    let files = snap::list(&disk);
    let names: Vec<&str> = files.iter().map(|f| f.rsplit('/').next().unwrap()).collect();
    assert_eq!(
        names,
        [
            "0000000000000002-0000000000000007.snap",
            "0000000000000001-0000000000000009.snap",
            "0000000000000001-0000000000000005.snap"
        ]
    );
    assert_eq!(snap::load(&disk, &files[0]), Ok(written[2].clone()));
    assert_eq!(snap::load(&disk, &files[2]), Ok(written[0].clone()));
}

#[test]
fn no_changed_byte_and_no_cut_gives_another_snapshot() {
    let mut disk = MemDisk::new();
    let written = save(&mut disk, 300, 2);
    let file = snap::list(&disk).remove(0);
    let bytes = disk.file(&file).unwrap().to_vec();
    for at in 0..bytes.len() {
        for flip in (0..8).map(|bit| 1 << bit).chain([0xff]) {
            disk.file_mut(&file).unwrap()[at] = bytes[at] ^ flip;
            match snap::load(&disk, &file) {
                // A bit that has no meaning: a varint's last byte has more of them than its number needs.
                Ok(snapshot) => assert_eq!(snapshot, written),
                Err(error) => {
                    let error = error.to_string();
                    assert!(error.starts_with(&format!("{file}: byte 0: expected ")), "{error}");
                }
            }
        }
        disk.insert(&file, bytes[..at].to_vec());
        assert!(snap::load(&disk, &file).is_err(), "cut at {at}");
        disk.insert(&file, bytes.clone());
    }
    disk.insert("member/snap/0000000000000002-0000000000000001.snap", bytes);
    let renamed = snap::load(&disk, &snap::list(&disk)[1]);
    assert!(matches!(renamed, Err(SnapError::Name { name: (2, 1), content: (2, 300), .. })));
}

#[test]
fn the_newest_that_counts_and_is_whole_is_loaded() {
    let mut disk = MemDisk::new();
    let old = save(&mut disk, 5, 1);
    save(&mut disk, 9, 1);
    save(&mut disk, 12, 1);
    let newest = snap::load_newest(&disk, |_, index| index <= 9);
    assert_eq!((newest.snapshot.unwrap().meta.index, newest.skipped), (9, vec![]));

    *disk.file_mut(&snap::file_name(&meta(9, 1))).unwrap().last_mut().unwrap() ^= 1;
    let newest = snap::load_newest(&disk, |term, index| term == 1 && index <= 9);
    assert_eq!(newest.snapshot, Some(old));
    assert!(matches!(&newest.skipped[..], [SnapError::Crc { .. }]), "{:?}", newest.skipped);

    assert_eq!(snap::load_newest(&disk, |_, _| false), snap::Newest::default());
}

#[test]
fn purge_keeps_the_newest_and_says_how_far_the_log_may_go() {
    let mut disk = MemDisk::new();
    for index in 1..=7 {
        save(&mut disk, index, 1);
    }
    disk.insert("member/snap/db", vec![1]);
    let (mut ops, mut id) = (Vec::new(), 0);
    assert_eq!(snap::purge(&disk, 5, &mut OpSink::new(&mut ops, &mut id)), Some(3));
    disk.apply_all(&mut ops);
    assert_eq!(snap::list(&disk).len(), 5);
    assert_eq!(&*snap::list(&disk)[4], "member/snap/0000000000000001-0000000000000003.snap");
    assert_eq!(disk.list("member/snap").len(), 6, "the backend is not touched");

    // A member that came back from a damaged directory may have a newer term's snapshot at a lower index.
    save(&mut disk, 2, 9);
    assert_eq!(snap::purge(&disk, 5, &mut OpSink::new(&mut ops, &mut id)), Some(2));
    assert_eq!(snap::purge(&MemDisk::new(), 5, &mut OpSink::new(&mut ops, &mut id)), None);
}

/// What purge keeps and what the log keeps fit: every snapshot file that is left is one to start from.
#[test]
fn the_log_reaches_back_to_each_snapshot_kept() {
    let (mut disk, mut ops, mut id) = (MemDisk::new(), Vec::new(), 0);
    let config = WalConfig { dir: "member/wal".into(), segment_bytes: 300 };
    let (mut wal, _) = Wal::create(config.clone(), b"m", &mut OpSink::new(&mut ops, &mut id));
    for index in 1..=60u64 {
        let mut sink = OpSink::new(&mut ops, &mut id);
        let entry = Entry { kind: EntryKind::Normal, term: 1, index, data: Bytes::from(vec![b'x'; 40]) };
        wal.save(&[entry], Some(&HardState { term: 1, vote: 1, commit: index }), true, &mut sink);
        disk.apply_all(&mut ops);
        if index % 7 == 0 {
            save(&mut disk, index, 1);
            let mut sink = OpSink::new(&mut ops, &mut id);
            wal.save_snapshot(&meta(index, 1), &mut sink);
            let oldest = snap::purge(&disk, 3, &mut sink).expect("one was just written");
            wal.release(oldest, 2, &mut sink);
            disk.apply_all(&mut ops);
        }
    }
    assert_eq!(snap::list(&disk).len(), 3);
    assert!(wal.segments().next().unwrap().seq > 0, "something was released");
    for file in snap::list(&disk) {
        let snapshot = snap::load(&disk, &file).unwrap();
        let mark = walpb::Snapshot { index: snapshot.meta.index, term: snapshot.meta.term };
        let read = recover(&disk, config.clone(), mark, &mut OpSink::new(&mut Vec::new(), &mut id)).unwrap();
        assert_eq!(read.entries.len() as u64, 60 - mark.index, "{file}");
    }
}

#[test]
fn a_received_database_has_its_name_only_behind_its_bytes() {
    let (mut disk, mut ops, mut id) = (MemDisk::new(), Vec::new(), 0);
    let mut sink = OpSink::new(&mut ops, &mut id);
    let mut received = SnapDb::begin(0x1f, &mut sink);
    for chunk in [&b"one"[..], b"", b"two and three"] {
        received.chunk(Bytes::from_static(chunk), &mut sink);
    }
    assert_eq!((received.index(), received.bytes()), (0x1f, 16));
    let synced = received.sync(&mut sink);
    assert_eq!(ops.last().map(|op| (op.id, &op.action)), Some((synced, &Action::Sync)));
    disk.apply_all(&mut ops);
    assert_eq!((db::list(&disk), db::find(&disk, 0x1f)), (vec![], None));

    let named = received.publish(&mut OpSink::new(&mut ops, &mut id));
    assert_eq!(ops.last().map(|op| (op.id, &op.action)), Some((named, &Action::SyncDir)));
    disk.apply_all(&mut ops);
    let file = db::file_name(0x1f);
    assert_eq!((db::find(&disk, 0x1f), db::find(&disk, 0x20)), (Some(file.clone()), None));
    assert_eq!(disk.file(&file), Ok(&b"onetwo and three"[..]));
    assert_eq!(disk.list("member/snap"), [file]);
}

#[test]
fn a_leader_that_breaks_off_leaves_nothing_and_an_old_attempt_is_no_part_of_the_next() {
    let (mut disk, mut ops, mut id) = (MemDisk::new(), Vec::new(), 0);
    let mut sink = OpSink::new(&mut ops, &mut id);
    SnapDb::begin(5, &mut sink).chunk(Bytes::from_static(b"a long beginning"), &mut sink);
    let mut again = SnapDb::begin(5, &mut sink);
    again.chunk(Bytes::from_static(b"short"), &mut sink);
    again.sync(&mut sink);
    again.publish(&mut sink);
    SnapDb::begin(6, &mut sink).abandon(&mut sink);
    disk.apply_all(&mut ops);
    assert_eq!(disk.list("member/snap"), [db::file_name(5)]);
    assert_eq!(disk.file(&db::file_name(5)), Ok(&b"short"[..]));
}

/// etcd #18055: a received database goes when a later one was applied, not when a later one arrived.
#[test]
fn received_databases_wait_to_be_applied() {
    let (mut disk, mut ops, mut id) = (MemDisk::new(), Vec::new(), 0);
    for index in [5, 9, 12] {
        disk.insert(&db::file_name(index), vec![1]);
    }
    disk.insert("member/snap/db", vec![1]);
    let indexes = |disk: &MemDisk| db::list(disk).iter().map(|(index, _)| *index).collect::<Vec<_>>();
    db::purge(&disk, 5, &mut OpSink::new(&mut ops, &mut id));
    assert_eq!(ops, []);
    db::purge(&disk, 9, &mut OpSink::new(&mut ops, &mut id));
    disk.apply_all(&mut ops);
    assert_eq!(indexes(&disk), [9, 12]);
}

#[test]
fn a_start_clears_what_a_crash_left_but_what_it_needs() {
    let (mut disk, mut ops, mut id) = (MemDisk::new(), Vec::new(), 0);
    let good = save(&mut disk, 7, 1);
    for leftover in ["0000000000000001-0000000000000008.snap.tmp", "0000000000000009.snap.db.tmp"] {
        disk.insert(&format!("member/snap/{leftover}"), vec![1]);
    }
    for file in ["db", "0000000000000005.snap.db", "0000000000000007.snap.db", "notes.txt"] {
        disk.insert(&format!("member/snap/{file}"), vec![1]);
    }
    snap::clean(&disk, Some(7), &mut OpSink::new(&mut ops, &mut id));
    disk.apply_all(&mut ops);
    let left = [snap::file_name(&good.meta), db::file_name(7), "member/snap/db".into(), "member/snap/notes.txt".into()];
    assert_eq!(disk.list("member/snap"), left);
    snap::clean(&disk, None, &mut OpSink::new(&mut ops, &mut id));
    disk.apply_all(&mut ops);
    assert_eq!(db::list(&disk), []);
}

#[test]
fn a_damaged_file_is_kept_out_of_the_way() {
    let (mut disk, mut ops, mut id) = (MemDisk::new(), Vec::new(), 0);
    let file = snap::file_name(&save(&mut disk, 7, 1).meta);
    snap::set_aside(&file, &mut OpSink::new(&mut ops, &mut id));
    disk.apply_all(&mut ops);
    assert_eq!(disk.list("member/snap"), [format!("{file}.broken").into()]);
    assert_eq!(snap::list(&disk), Vec::<FileName>::new());
}
