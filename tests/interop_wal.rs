//! Logs and snapshot files beside real etcd: what it wrote is read, what is written here it reads.
//!
//! Where etcd or its files are not there, a test says so and passes.

#[path = "support/etcd.rs"]
mod etcd;
#[path = "support/folder.rs"]
mod folder;

use bytes::Bytes;
use etcd::{load, long_life, store, tools};
use folder::Folder;
use prost::Message as _;
use seedbed::apply::State;
use seedbed::backend::Memory;
use seedbed::cluster::{Cluster, Member, v2store};
use seedbed::disk::{DiskRead as _, OpSink};
use seedbed::disk_mem::MemDisk;
use seedbed::lease;
use seedbed::mvcc::StoreConfig;
use seedbed::pb::etcdserverpb::{InternalRaftRequest, Metadata, PutRequest, Request, RequestHeader};
use seedbed::pb::walpb;
use seedbed::raft::{ConfState, Entry, EntryKind, HardState, Snapshot, SnapshotMeta};
use seedbed::snap;
use seedbed::time::Now;
use seedbed::wal::{Reader, Recovery, Segment, Wal, WalConfig, recover, snapshots};

const NONE: walpb::Snapshot = walpb::Snapshot { index: 0, term: 0 };

fn config() -> WalConfig {
    WalConfig { dir: "member/wal".into(), segment_bytes: 64_000_000 }
}

/// The newest snapshot that counts, and the log from it (or from its beginning).
fn read(disk: &mut MemDisk) -> (Option<Snapshot>, Recovery) {
    let marks = snapshots(disk, &config()).unwrap();
    let newest = snap::load_newest(disk, |term, index| marks.contains(&walpb::Snapshot { index, term }));
    assert_eq!(newest.skipped, []);
    let from = newest.snapshot.as_ref().map_or(NONE, |s| walpb::Snapshot { index: s.meta.index, term: s.meta.term });
    let (mut ops, mut id) = (Vec::new(), 0);
    let recovery = recover(disk, config(), from, &mut OpSink::new(&mut ops, &mut id)).unwrap();
    disk.apply_all(&mut ops);
    (newest.snapshot, recovery)
}

/// The keys put by these entries, in order.
fn puts(entries: &[Entry]) -> Vec<String> {
    let requests = entries.iter().filter(|entry| entry.kind == EntryKind::Normal);
    let puts = requests.filter_map(|entry| InternalRaftRequest::of_entry(&entry.data).unwrap().put);
    puts.map(|put| String::from_utf8(put.key.to_vec()).unwrap()).collect()
}

/// The cluster that these entries, from the first on, make.
fn cluster_of(entries: &[Entry]) -> Cluster {
    let mut state = State::new(Box::new(Memory::new()), StoreConfig::default(), lease::Config::default());
    entries.iter().for_each(|entry| {
        state.apply(Now::default(), entry).unwrap();
    });
    Cluster::load(state.store.engine()).unwrap()
}

#[test]
fn a_directory_of_a_long_life_is_read() {
    let folder = Folder::new();
    let Some(dir) = long_life(folder.root()) else { return };
    let mut disk = load(&dir);
    for beside in ["0.tmp", "0000000000000001-00000000000078ab.wal.broken", "lost+found"] {
        disk.insert(&format!("member/wal/{beside}"), vec![1; 100]);
    }
    let before = disk.clone();

    // From the newest snapshot, and from the beginning.
    let (snapshot, recovery) = read(&mut disk);
    let snapshot = snapshot.unwrap();
    assert_eq!(recovery.torn, None);
    assert_eq!(recovery.entries[0].index, snapshot.meta.index + 1);
    assert_eq!(recovery.wal.segments().count(), 2);
    let (mut ops, mut id) = (Vec::new(), 0);
    let whole = recover(&disk, config(), NONE, &mut OpSink::new(&mut ops, &mut id)).unwrap();
    assert_eq!(whole.entries.len() as u64, whole.wal.last_index());
    assert!(whole.entries.ends_with(&recovery.entries));
    assert_eq!((whole.state, whole.snapshots.len()), (recovery.state, snap::list(&disk).len() + 1));
    assert_eq!(disk, before, "a clean log is not changed");

    // All snapshot files hold the members, and so do the entries.
    let cluster = cluster_of(&whole.entries);
    let member = cluster.members.values().next().unwrap();
    assert_eq!((cluster.members.len(), &member.name[..], member.client_urls.len()), (1, "s1", 1));
    assert_eq!(cluster.version.as_deref(), Some("3.4.0"));
    let metadata = Metadata::decode(whole.metadata).unwrap();
    assert_eq!(metadata.node_id, member.id);
    for file in snap::list(&disk) {
        let snapshot = snap::load(&disk, &file).unwrap();
        assert_eq!(snapshot.meta.conf.voters, [member.id]);
        assert_eq!(v2store::decode(&snapshot.data).as_ref(), Ok(&cluster), "{file}");
        // But for a counter of reads, the same history makes the same bytes.
        let written = String::from_utf8(snapshot.data.to_vec()).unwrap().replace("\"getsFail\":1", "\"getsFail\":0");
        assert_eq!(v2store::encode(&cluster), written, "{file}");
    }
    assert!(snap::list(&disk).len() > 50);
}

/// Requests of the v2 store are written here as etcd writes them.
#[test]
fn v2_requests_encode_as_they_were() {
    let folder = Folder::new();
    let Some(dir) = long_life(folder.root()) else { return };
    let disk = load(&dir);
    let recovery = recover(&disk, config(), NONE, &mut OpSink::new(&mut Vec::new(), &mut 0)).unwrap();
    let mut v2 = 0;
    for entry in recovery.entries.iter().filter(|entry| entry.kind == EntryKind::Normal) {
        let request = InternalRaftRequest::of_entry(&entry.data).unwrap();
        if let Some(bare) = &request.v2 {
            assert_eq!(bare.encode_to_vec(), entry.data);
            assert_eq!(Request::decode(entry.data.clone()).as_ref(), Ok(&**bare));
            v2 += 1;
        }
    }
    assert!(v2 >= 2, "attributes and version");
}

/// A flipped bit in a real snapshot file is found, and the older file does.
#[test]
fn damage_in_a_real_snapshot_file_is_found() {
    let folder = Folder::new();
    let Some(dir) = long_life(folder.root()) else { return };
    let mut disk = load(&dir);
    let file = snap::list(&disk).remove(0);
    let good = snap::load(&disk, &file).unwrap();
    for at in 0..disk.file(&file).unwrap().len() {
        for bit in 0..8 {
            disk.file_mut(&file).unwrap()[at] ^= 1 << bit;
            match snap::load(&disk, &file) {
                Ok(snapshot) => assert_eq!(snapshot, good, "byte {at} bit {bit}"),
                Err(error) => assert!(error.to_string().starts_with(&format!("{file}: byte 0: ")), "{error}"),
            }
            disk.file_mut(&file).unwrap()[at] ^= 1 << bit;
        }
    }
    disk.file_mut(&file).unwrap()[100] ^= 1;
    let newest = snap::load_newest(&disk, |_, _| true);
    assert!(newest.snapshot.unwrap().meta.index < good.meta.index);
    assert_eq!(newest.skipped.len(), 1);
}

#[test]
fn a_killed_etcd_is_recovered_and_goes_on_behind_what_is_appended_here() {
    let Some(tools) = tools() else { return };
    let folder = Folder::new();
    let dir = folder.path("data");
    let mut etcd = tools.etcd("s1", &dir).with(&["--snapshot-count", "10"]);
    etcd.start();
    let keys: Vec<String> = (0..25).map(|n| format!("key{n:02}")).collect();
    keys.iter().for_each(|key| {
        etcd.ctl(&["put", key, "etcd's"]);
    });
    etcd.kill();

    let mut disk = load(&dir);
    let (snapshot, recovery) = read(&mut disk);
    let snapshot = snapshot.expect("25 puts and a snapshot every 10 entries");
    assert_eq!(puts(&recovery.entries).last(), keys.last());
    let (mut ops, mut id) = (Vec::new(), 0);
    let whole = recover(&disk, config(), NONE, &mut OpSink::new(&mut ops, &mut id)).unwrap();
    assert_eq!(puts(&whole.entries), keys, "what was acknowledged is there");
    let cluster = cluster_of(&whole.entries);
    assert_eq!(v2store::decode(&snapshot.data), Ok(cluster));

    // Ten more writes, appended here, in a segment of etcd's.
    let mut wal = recovery.wal;
    let term = recovery.state.term;
    for n in 0..10 {
        let entry = put_entry(term, wal.last_index() + 1, &format!("ours{n}"));
        let state = HardState { commit: entry.index, ..recovery.state };
        wal.save(&[entry], Some(&state), true, &mut OpSink::new(&mut ops, &mut id));
    }
    disk.apply_all(&mut ops);
    store(&disk, &dir);
    etcd.start();
    assert_eq!(etcd.ctl(&["get", "ours9", "--print-value-only"]), "seedbed's\n");
    assert_eq!(etcd.ctl(&["get", "", "--from-key", "--keys-only"]).split_whitespace().count(), 35);
    etcd.ctl(&["put", "last", "etcd's"]);
    etcd.stop();

    let (_, recovery) = read(&mut load(&dir));
    assert_eq!(puts(&recovery.entries).last().map(String::as_str), Some("last"));
    assert_eq!(recovery.torn, None);
    assert_eq!(recovery.state.commit, recovery.wal.last_index(), "a clean stop leaves nothing open");
}

fn put_entry(term: u64, index: u64, key: &str) -> Entry {
    let request = InternalRaftRequest {
        header: Some(RequestHeader { id: 1 << 40 | index, ..RequestHeader::default() }),
        put: Some(PutRequest {
            key: Bytes::copy_from_slice(key.as_bytes()),
            value: Bytes::from_static(b"seedbed's"),
            ..PutRequest::default()
        }),
        ..InternalRaftRequest::default()
    };
    Entry { kind: EntryKind::Normal, term, index, data: request.encode_to_vec().into() }
}

/// Killed while it writes, again and again: what it had acknowledged is in the log.
#[test]
fn an_etcd_that_is_killed_while_it_writes_has_what_it_acknowledged() {
    let Some(tools) = tools() else { return };
    let folder = Folder::new();
    let dir = folder.path("data");
    let mut etcd = tools.etcd("s1", &dir).with(&["--snapshot-count", "20"]);
    let mut acknowledged = Vec::new();
    for round in 0..3 {
        etcd.start();
        let mut writers: Vec<_> = (0..8).map(|n| etcd.spawn_put(&format!("key{round}-{n}"))).collect();
        let value = "x".repeat(1_000 + 700 * round);
        (0..6).for_each(|n| {
            let key = format!("big{round}-{n}");
            etcd.ctl(&["put", &key, &value]);
            acknowledged.push(key);
        });
        etcd.kill();
        for (n, writer) in writers.iter_mut().enumerate() {
            let _ = writer.kill();
            if writer.wait().expect("a child can be waited for").success() {
                acknowledged.push(format!("key{round}-{n}"));
            }
        }
        let mut disk = load(&dir);
        let (_, recovery) = read(&mut disk);
        let whole = recover(&disk, config(), NONE, &mut OpSink::new(&mut Vec::new(), &mut 0)).unwrap();
        assert!(whole.entries.ends_with(&recovery.entries));
        let found = puts(&whole.entries);
        let lost: Vec<&String> = acknowledged.iter().filter(|key| !found.contains(key)).collect();
        assert!(lost.is_empty(), "round {round}: {lost:?}");
    }
}

/// A database of etcd's, and beside it a log and a snapshot file that were written here. The log's first segments are
/// released, so that it begins behind entry 1: etcd has its members from the v2 store's JSON alone.
#[test]
fn etcd_starts_from_a_snapshot_file_and_a_released_log_written_here() {
    let Some(tools) = tools() else { return };
    let folder = Folder::new();
    let dir = folder.path("data");
    let mut etcd = tools.etcd("s1", &dir);
    etcd.start();
    for n in 0..5 {
        etcd.ctl(&["put", &format!("key{n}"), "before"]);
    }
    let (hash, members) = (etcd.ctl(&["endpoint", "hashkv"]), etcd.ctl(&["member", "list"]));
    etcd.stop();

    let mut disk = load(&dir);
    let (_, recovery) = read(&mut disk);
    let cluster = cluster_of(&recovery.entries);
    let last = recovery.entries.last().unwrap();
    let conf = ConfState { voters: cluster.members.keys().copied().collect(), ..ConfState::default() };
    let meta = SnapshotMeta { index: last.index, term: last.term, conf };

    let mut ours = MemDisk::new();
    ours.insert("member/snap/db", disk.file("member/snap/db").unwrap().to_vec());
    let (mut ops, mut id) = (Vec::new(), 0);
    let mut sink = OpSink::new(&mut ops, &mut id);
    snap::write(&meta, &v2store::encode(&cluster), &mut sink);
    snap::publish(&meta, &mut sink);
    let small = WalConfig { segment_bytes: 300, ..config() };
    let (mut wal, _) = Wal::create(small, &recovery.metadata, &mut sink);
    for entry in &recovery.entries {
        wal.save(
            std::slice::from_ref(entry),
            Some(&HardState { commit: entry.index, ..recovery.state }),
            true,
            &mut sink,
        );
    }
    wal.save_snapshot(&meta, &mut sink);
    for n in 1..=9 {
        let entry = put_entry(last.term, last.index + n, "key0");
        wal.save(&[entry], Some(&HardState { commit: last.index + n, ..recovery.state }), true, &mut sink);
    }
    wal.release(meta.index, 1, &mut sink);
    assert!(wal.segments().len() > 3 && wal.segments().next().unwrap().seq > 0);
    ours.apply_all(&mut ops);
    store(&ours, &dir);

    etcd.start();
    let revision = 1 + 5;
    assert_eq!(etcd.ctl(&["endpoint", "hashkv", "--rev", &revision.to_string()]), hash);
    assert_eq!(etcd.ctl(&["get", "key0", "--print-value-only"]), "seedbed's\n");
    assert_eq!(etcd.ctl(&["member", "list"]), members);
    assert!(members.contains(&format!("s1, {}, {}", etcd.peer_url(), etcd.client_url())), "{members}");
    etcd.ctl(&["put", "after", "it"]);
    etcd.stop();
    let (snapshot, recovery) = read(&mut load(&dir));
    assert_eq!(snapshot.unwrap().meta, meta);
    assert_eq!(puts(&recovery.entries), [vec!["key0"; 9], vec!["after"]].concat());
}

/// `etcdctl snapshot restore` makes a log and a snapshot file of three members: byte for byte those made here.
#[test]
fn a_restored_directory_is_what_would_be_written_here() {
    let Some(tools) = tools() else { return };
    let folder = Folder::new();
    let mut etcd = tools.etcd("s1", folder.path("data"));
    etcd.start();
    etcd.ctl(&["put", "a", "b"]);
    let (saved, restored) = (folder.path("saved.db"), folder.path("restored"));
    etcd.ctl(&["snapshot", "save", &saved]);
    etcd.stop();
    let initial = "n1=http://127.0.0.1:1,n<2=http://127.0.0.1:2,n<2=http://127.0.0.1:22,n3=http://127.0.0.1:3";
    let own = ["--name", "n1", "--initial-advertise-peer-urls", "http://127.0.0.1:1", "--initial-cluster", initial];
    etcd.ctl(&[&["snapshot", "restore", &saved, "--data-dir", &restored][..], &own].concat());

    let mut disk = load(&restored);
    let (snapshot, recovery) = read(&mut disk);
    let snapshot = snapshot.unwrap();
    let whole = recover(&disk, config(), NONE, &mut OpSink::new(&mut Vec::new(), &mut 0)).unwrap();
    let mut cluster = cluster_of(&whole.entries);
    assert_eq!(cluster.members.len(), 3);
    assert!(cluster.members.values().any(|member| member.name == "n<2" && member.peer_urls.len() == 2));

    let (mut ours, mut ops, mut id) = (MemDisk::new(), Vec::new(), 0);
    let mut sink = OpSink::new(&mut ops, &mut id);
    snap::write(&snapshot.meta, &v2store::encode(&cluster), &mut sink);
    snap::publish(&snapshot.meta, &mut sink);
    let (mut wal, _) = Wal::create(config(), &recovery.metadata, &mut sink);
    wal.save(&whole.entries, Some(&whole.state), true, &mut sink);
    wal.save_snapshot(&snapshot.meta, &mut sink);
    ours.apply_all(&mut ops);
    for folder in ["member/wal", "member/snap"] {
        for file in ours.list(folder) {
            assert!(ours.file(&file) == disk.file(&file), "{file} differs");
        }
    }
    assert_eq!(ours.list("member/wal"), disk.list("member/wal"));

    // Names are known from the entries; the v2 store gets them when members publish them.
    cluster.members.values_mut().for_each(|member: &mut Member| member.name.clear());
    assert_eq!(v2store::decode(&snapshot.data), Ok(cluster));
}

/// All segments of a real log, record by record, are written again byte for byte.
#[test]
fn a_real_log_is_written_again_byte_for_byte() {
    let folder = Folder::new();
    let Some(dir) = long_life(folder.root()) else { return };
    let disk = load(&dir);
    let files = disk.list("member/wal");
    let segments: Vec<Segment> = files.iter().filter_map(|file| Segment::parse("member/wal", file)).collect();
    let mut reader = Reader::new(&disk, &segments).unwrap();
    let mut records = 0;
    while reader.next().unwrap().is_some() {
        records += 1;
    }
    assert!(records > 30_000 && reader.torn().is_none());
    for segment in &segments {
        let bytes = disk.file(&segment.file).unwrap();
        let (mut again, mut crc, mut offset) = (bytes::BytesMut::new(), None, 0);
        while let Some(record) = seedbed::wal::record::decode(bytes, offset).unwrap() {
            // The first record, a crc, seeds the chain.
            let crc = crc.get_or_insert(record.crc);
            seedbed::wal::record::encode(record.kind, [record.data, &[]], crc, &mut again);
            offset += record.frame_bytes;
        }
        assert!(again[..] == bytes[..offset], "{}", segment.file);
    }
}
