//! The committed fuzz corpus, through the bodies of the fuzz targets, on a stable toolchain.

#[path = "../fuzz/bodies.rs"]
mod bodies;
#[path = "support/bolt.rs"]
mod rig;

use bytes::Bytes;
use rig::{DB, Random, Rig, configs, view};
use seedbed::backend::Bucket;
use seedbed::backend::bolt::Bolt;
use seedbed::cluster::{Cluster, Member, v2store};
use seedbed::disk::{DiskRead as _, OpSink, Shared};
use seedbed::disk_mem::MemDisk;
use seedbed::mvcc::{Applied, Store, StoreConfig};
use seedbed::pb::etcdserverpb::{DeleteRangeRequest, PutRequest};
use seedbed::raft::{Entry, EntryKind, HardState, SnapshotMeta};
use seedbed::snap;
use seedbed::wal::{Wal, WalConfig};
use std::fs;
use std::path::{Path, PathBuf};

fn corpus(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target)
}

/// Runs every file of a corpus, and each cut short and with a byte changed.
fn run(target: &str, body: fn(&[u8])) {
    let mut ran = 0;
    for entry in fs::read_dir(corpus(target)).expect("the corpus is there") {
        let data = fs::read(entry.expect("an entry can be read").path()).expect("a file can be read");
        body(&data);
        let mut random = Random(data.len() as u64 | 1);
        for _ in 0..60 {
            let (mut damaged, at) = (data.clone(), random.below(data.len().max(1) as u64) as usize);
            damaged.get_mut(at).into_iter().for_each(|byte| *byte = random.below(256) as u8);
            body(&damaged);
            body(&data[..at]);
        }
        ran += 1;
    }
    assert!(ran >= 2, "{target}: {ran} files");
}

#[test]
fn database_files() {
    run("db", bodies::db);
}

#[test]
fn logs() {
    run("wal", bodies::wal);
}

#[test]
fn snapshot_files() {
    run("snap", bodies::snap);
}

#[test]
fn engine_operations() {
    run("engine", bodies::engine);
}

/// The file of a store with puts, tombstones and a compaction that was cut off.
fn store() -> Vec<u8> {
    let disk = Shared::new(MemDisk::new());
    let (mut ops, mut id) = (Vec::new(), 0);
    let bolt = Bolt::create(disk.reader(), DB.into(), configs(512)[0], &mut OpSink::new(&mut ops, &mut id));
    let mut store = Store::new(Box::new(bolt), StoreConfig { compaction_batch: 3, ..StoreConfig::default() });
    for n in 0..14u8 {
        let mut txn = store.write(Applied { index: u64::from(n) + 1, term: 1 }).unwrap();
        let key = Bytes::from(vec![b'a' + n % 4]);
        if n % 5 == 4 {
            txn.delete_range(&DeleteRangeRequest { key, ..Default::default() }).unwrap();
        } else {
            txn.put(&PutRequest { key, value: vec![n; 40].into(), ..Default::default() }).unwrap();
        }
        if n == 9 {
            txn.compact(6).unwrap();
        }
        txn.commit();
    }
    store.compact_slice().unwrap();
    for _ in 0..2 {
        while !ops.is_empty() {
            for op in std::mem::take(&mut ops) {
                let done = disk.get().apply(&op);
                store.engine_mut().op_done(done.id, &mut OpSink::new(&mut ops, &mut id)).unwrap();
            }
        }
        store.engine_mut().commit_batch(&mut OpSink::new(&mut ops, &mut id)).unwrap();
    }
    let bytes = disk.get().file(DB).unwrap().to_vec();
    let used = view(bytes.clone()).unwrap().meta().high_water as usize * 512;
    bytes[..used].to_vec()
}

/// The seeds are made by this build's own code, byte by byte. With `SEEDBED_BLESS` set they are written anew.
#[test]
fn the_committed_seeds_are_what_this_build_writes() {
    let write = |target: &str, name: &str, data: &[u8]| {
        let file = corpus(target).join(name);
        if std::env::var_os("SEEDBED_BLESS").is_some() {
            fs::create_dir_all(corpus(target)).unwrap();
            fs::write(&file, data).unwrap();
        }
        let committed = fs::read(&file).unwrap_or_default();
        assert!(committed == data, "{}: rewrite with SEEDBED_BLESS=1 and say in the commit why", file.display());
    };
    for (config, name) in configs(512).into_iter().zip(["array", "array-synced", "hashmap", "hashmap-synced"]) {
        let mut rig = Rig::new(config);
        for n in 0..20u8 {
            rig.set(Bucket::Key, &[b'k', n], Some(&[n; 30]));
            rig.set(Bucket::Lease, &[n + 1], Some(b"x"));
            if n % 8 == 0 {
                rig.commit();
            }
        }
        rig.set(Bucket::Key, b"large", Some(&[1; 700]));
        rig.commit();
        let bytes = rig.bytes();
        let used = view(bytes.clone()).unwrap().meta().high_water as usize * 512;
        write("db", name, &bytes[..used]);
    }
    write("db", "store", &store());
    let (mut disk, mut ops, mut id) = (MemDisk::new(), Vec::new(), 0);
    let config = WalConfig { dir: "member/wal".into(), segment_bytes: 4096 };
    let (mut wal, _) = Wal::create(config, b"\x08\x01\x10\x02", &mut OpSink::new(&mut ops, &mut id));
    for index in 1..6 {
        let entry = Entry { kind: EntryKind::Normal, term: 1, index, data: Bytes::from(vec![7; 40]) };
        let state = HardState { term: 1, vote: 9, commit: index - 1 };
        wal.save(&[entry], Some(&state), true, &mut OpSink::new(&mut ops, &mut id));
    }
    disk.apply_all(&mut ops);
    let segment = disk.read_all("member/wal/0000000000000000-0000000000000000.wal").unwrap();
    write("wal", "entries", &segment);
    write("wal", "torn", &segment[..700]);
    let meta = SnapshotMeta { index: 9, term: 2, ..Default::default() };
    snap::write(&meta, &Bytes::from_static(b"an image"), &mut OpSink::new(&mut ops, &mut id));
    snap::publish(&meta, &mut OpSink::new(&mut ops, &mut id));
    disk.apply_all(&mut ops);
    let file = disk.read_all(&snap::file_name(&meta)).unwrap();
    write("snap", "whole", &file);
    write("snap", "cut", &file[..file.len() - 1]);
    let mut cluster = Cluster::default();
    cluster.members.insert(7, Member { id: 7, name: "a".into(), ..Default::default() });
    write("snap", "members", &v2store::encode(&cluster));
    let mut random = Random(3);
    for settings in 0..8u8 {
        let operations = (0..600).map(|_| random.below(256) as u8);
        write("engine", &format!("random-{settings}"), &[settings].into_iter().chain(operations).collect::<Vec<_>>());
    }
}
