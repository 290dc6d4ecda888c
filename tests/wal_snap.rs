//! Snapshot files: what counts, what is damaged, what is kept.

use bytes::Bytes;
use seedbed::disk::{DiskRead as _, OpSink};
use seedbed::disk_mem::MemDisk;
use seedbed::raft::{ConfState, Snapshot, SnapshotMeta};
use seedbed::snap::{self, SnapError};

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
fn purge_keeps_the_newest_and_removes_leftovers() {
    let mut disk = MemDisk::new();
    for index in 1..=7 {
        save(&mut disk, index, 1);
    }
    disk.insert("member/snap/0000000000000001-0000000000000008.snap.tmp", vec![1]);
    disk.insert("member/snap/db", vec![1]);
    let (mut ops, mut id) = (Vec::new(), 0);
    snap::purge(&disk, 5, &mut OpSink::new(&mut ops, &mut id));
    disk.apply_all(&mut ops);
    assert_eq!(snap::list(&disk).len(), 5);
    assert_eq!(&*snap::list(&disk)[4], "member/snap/0000000000000001-0000000000000003.snap");
    assert_eq!(disk.list("member/snap").len(), 6, "the backend is not touched");
}
