//! What each fuzz target does with its bytes. Returning is passing: a panic, or a run without end, is a finding.

use bytes::Bytes;
use seedbed::backend::bolt::{Bolt, View};
use seedbed::backend::{BackendError, BoltConfig, Bucket, Engine as _, FreelistKind};
use seedbed::disk::{DiskOp, OpSink};
use seedbed::disk_mem::{MemDisk, SharedMemDisk};
use seedbed::pb::walpb;
use seedbed::snap;
use seedbed::wal::{self, WalConfig};
use std::collections::BTreeMap;

const DB: &str = "member/snap/db";
const WAL: &str = "member/wal/0000000000000000-0000000000000000.wal";
const SNAP: &str = "member/snap/0000000000000002-0000000000000009.snap";

fn disk(file: &str, bytes: Vec<u8>) -> SharedMemDisk {
    let mut disk = MemDisk::new();
    disk.insert(file, bytes);
    SharedMemDisk::new(disk)
}

/// A database file. The checksums of its metas are made right first, or nothing behind them would ever be seen.
pub(crate) fn db(data: &[u8]) {
    let mut bytes = data.to_vec();
    let page_size =
        bytes.get(24..28).map_or(0, |size| u32::from_le_bytes(size.try_into().expect("four bytes")) as usize);
    for at in [0, page_size] {
        if let Some(meta) = bytes.get_mut(at..).and_then(|rest| rest.get_mut(16..80)) {
            let sum = meta[..56].iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
                (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
            });
            meta[56..].copy_from_slice(&sum.to_le_bytes());
        }
    }
    let disk = disk(DB, bytes);
    let config = BoltConfig { page_size: 512, ..BoltConfig::default() };
    if let Ok(bolt) = Bolt::open(disk.reader(), DB.into(), config) {
        let _ = read_all(&bolt);
        bolt.check().iter().for_each(|finding| drop(finding.to_string()));
        let _ = (bolt.hash(), bolt.stats());
    }
    if let Ok(view) = View::open(disk.reader(), DB.into()) {
        view.check().iter().for_each(|finding| drop(finding.to_string()));
        let _ = (view.freelist(), view.walk(&mut |_| {}), view.page_map(), view.buckets());
        for page in 0..view.meta().high_water {
            let _ = view.content(page);
        }
    }
}

fn read_all(bolt: &Bolt) -> Result<BTreeMap<(Bucket, Bytes), Bytes>, BackendError> {
    let mut pairs = BTreeMap::new();
    for bucket in Bucket::ALL {
        bolt.range(bucket, &[], None, &mut |key, value| {
            pairs.insert((bucket, Bytes::copy_from_slice(key)), value.clone());
            true
        })?;
    }
    Ok(pairs)
}

/// A log's only segment. What recovery repairs, it reads again without repair.
pub(crate) fn wal(data: &[u8]) {
    let disk = disk(WAL, data.to_vec());
    let recover = || {
        let config = WalConfig { dir: "member/wal".into(), segment_bytes: 4096 };
        let (mut ops, mut next) = (Vec::new(), 0);
        let none = walpb::Snapshot { index: 0, term: 0 };
        let reader = disk.reader();
        let recovery = wal::recover(&*reader, config, none, &mut OpSink::new(&mut ops, &mut next)).ok()?;
        disk.get().apply_all(&mut ops);
        Some(recovery)
    };
    if let Some(first) = recover() {
        let second = recover().expect("a repaired log can be recovered");
        assert!(second.torn.is_none() && second.entries == first.entries && second.state == first.state);
    }
}

/// A snapshot file.
pub(crate) fn snap(data: &[u8]) {
    let disk = disk(SNAP, data.to_vec());
    if let Err(error) = snap::load(&*disk.reader(), &SNAP.into()) {
        assert!(error.to_string().contains(SNAP));
    }
}

/// Operations on an engine and on an ordered map: three bytes each, after one for the settings.
pub(crate) fn engine(data: &[u8]) {
    let Some((&settings, operations)) = data.split_first() else { return };
    let kinds = [FreelistKind::Array, FreelistKind::Hashmap];
    let config = BoltConfig {
        page_size: 512 << (settings >> 2 & 1),
        freelist: kinds[usize::from(settings & 1)],
        sync_freelist: settings & 2 != 0,
        ..BoltConfig::default()
    };
    let disk = SharedMemDisk::new(MemDisk::new());
    let (mut out, mut next) = (Vec::new(), 0);
    let mut bolt = Bolt::create(disk.reader(), DB.into(), config, &mut OpSink::new(&mut out, &mut next));
    let mut model: BTreeMap<(Bucket, Bytes), Bytes> = BTreeMap::new();
    for operation in operations.chunks_exact(3) {
        let [what, key, value] = operation.try_into().expect("three bytes");
        let bucket = Bucket::ALL[usize::from(key) % 10];
        let name = Bytes::from(vec![key; 1 + usize::from(key) % 60]);
        match what % 8 {
            0..=4 => {
                let value = Bytes::from(vec![value; usize::from(value) * usize::from(what)]);
                bolt.begin();
                bolt.put(bucket, name.clone(), value.clone()).expect("a sound file");
                bolt.commit();
                model.insert((bucket, name), value);
            }
            5 => {
                bolt.begin();
                bolt.delete(bucket, &name).expect("a sound file");
                bolt.commit();
                model.remove(&(bucket, name));
            }
            6 => settle(&mut bolt, &disk, &mut out, &mut next),
            _ => {
                settle(&mut bolt, &disk, &mut out, &mut next);
                bolt.commit_batch(&mut OpSink::new(&mut out, &mut next)).expect("a sound file");
            }
        }
    }
    settle(&mut bolt, &disk, &mut out, &mut next);
    bolt.commit_batch(&mut OpSink::new(&mut out, &mut next)).expect("a sound file");
    settle(&mut bolt, &disk, &mut out, &mut next);
    let bolt = Bolt::open(disk.reader(), DB.into(), config).expect("a sound file");
    assert!(read_all(&bolt).expect("a sound file") == model);
    assert!(bolt.check().is_empty(), "{:?}", bolt.check());
}

/// Does every operation that is out, and those that follow.
fn settle(bolt: &mut Bolt, disk: &SharedMemDisk, out: &mut Vec<DiskOp>, next: &mut u64) {
    while !out.is_empty() {
        for op in std::mem::take(out) {
            let done = disk.get().apply(&op);
            done.result.expect("a perfect disk");
            bolt.op_done(done.id, &mut OpSink::new(out, next)).expect("a perfect disk");
        }
    }
}
