//! What each fuzz target does with its bytes. Returning is passing: a panic, or a run without end, is a finding.
//!
//! A checksum would hide everything behind it, so each file is read twice: as it is, and with its checksums made right.

use bytes::Bytes;
use prost::Message as _;
use seedbed::backend::bolt::{Bolt, View};
use seedbed::backend::{BackendError, BoltConfig, Bucket, Engine, FreelistKind};
use seedbed::cluster::v2store;
use seedbed::disk::{DiskOp, OpSink, Shared};
use seedbed::disk_mem::MemDisk;
use seedbed::mvcc::{Applied, MvccError, Store, StoreConfig};
use seedbed::pb::etcdserverpb::{DeleteRangeRequest, PutRequest, RangeRequest};
use seedbed::pb::{snappb, walpb};
use seedbed::snap;
use seedbed::wal::{self, WalConfig};
use std::collections::BTreeMap;

const DB: &str = "member/snap/db";
const WAL: &str = "member/wal/0000000000000000-0000000000000000.wal";
const SNAP: &str = "member/snap/0000000000000002-0000000000000009.snap";

fn disk(file: &str, bytes: Vec<u8>) -> Shared<MemDisk> {
    let mut disk = MemDisk::new();
    disk.insert(file, bytes);
    Shared::new(disk)
}

/// What is done with an opened file, up to its first error.
type Use = fn(&Shared<MemDisk>, Bolt) -> Result<(), MvccError>;

/// A database file: read, looked at, then used by a store and by somebody who knows nothing of revisions.
pub(crate) fn db(data: &[u8]) {
    for bytes in [data.to_vec(), with_sums(data)] {
        inspect(&bytes);
        for freelist in [FreelistKind::Array, FreelistKind::Hashmap] {
            let sync_freelist = freelist == FreelistKind::Array;
            let config = BoltConfig { page_size: 512, freelist, sync_freelist, ..BoltConfig::default() };
            for go_on in [serve, rewrite] as [Use; 2] {
                let disk = disk(DB, bytes.clone());
                if let Ok(bolt) = Bolt::open(disk.reader(), DB.into(), config) {
                    let _ = go_on(&disk, bolt);
                }
            }
        }
    }
}

/// The file with the checksums of both metas made right.
fn with_sums(data: &[u8]) -> Vec<u8> {
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
    bytes
}

/// What an inspection looks at.
fn inspect(bytes: &[u8]) {
    let disk = disk(DB, bytes.to_vec());
    if let Ok(view) = View::open(disk.reader(), DB.into()) {
        view.check().iter().for_each(|finding| drop(finding.to_string()));
        let _ = (view.freelist(), view.walk(&mut |_| {}), view.page_map(), view.buckets());
        for page in 0..view.meta().high_water {
            let _ = view.content(page);
        }
    }
}

/// A store is restored, read, written, compacted and made durable, and stops at the first error, as a member does.
fn serve(disk: &Shared<MemDisk>, bolt: Bolt) -> Result<(), MvccError> {
    let config = StoreConfig { restore_chunk: 3, compaction_batch: 3, ..StoreConfig::default() };
    let Ok(mut store) = Store::restore(Box::new(bolt), config) else { return Ok(()) };
    let all = Bytes::from_static(&[0]);
    for round in 0..3u8 {
        let index = store.consistent_index().saturating_add(1);
        let mut txn = store.write(Applied { index, term: 1 })?;
        txn.put(&PutRequest { key: vec![b'k', round].into(), value: vec![round; 300].into(), ..Default::default() })?;
        txn.delete_range(&DeleteRangeRequest { key: vec![b'a' + round].into(), ..Default::default() })?;
        let revision = txn.revision();
        let _ = txn.compact(revision - 1);
        txn.commit();
        while store.compacting() {
            store.compact_slice()?;
            commit(store.engine_mut(), disk)?;
        }
        store.range(&RangeRequest { key: all.clone(), range_end: all.clone(), ..Default::default() })?;
        let _ = (store.hash_kv(0)?, store.hash());
    }
    Ok(())
}

/// Pairs go and come, an image is read, and a dense file takes the old one's place, which holds the same.
fn rewrite(disk: &Shared<MemDisk>, mut bolt: Bolt) -> Result<(), MvccError> {
    bolt.check().iter().for_each(|finding| drop(finding.to_string()));
    let _ = (bolt.hash(), bolt.stats());
    let pairs = read_all(&bolt)?;
    for round in 0..2 {
        let mut image = bolt.begin_image();
        while bolt.image_chunk(&mut image, 1000)?.is_some() {}
        bolt.end_image(image);
        bolt.begin();
        for (bucket, key) in pairs.keys().skip(round).step_by(2) {
            bolt.delete(*bucket, key)?;
            bolt.put(*bucket, Bytes::from([&b"new"[..], key].concat()), Bytes::from(vec![7; 200]))?;
        }
        bolt.commit();
        commit(&mut bolt, disk)?;
    }
    let (before, mut out, mut next) = (read_all(&bolt)?, Vec::new(), 1 << 32);
    bolt.begin_defrag(&mut OpSink::new(&mut out, &mut next))?;
    while !bolt.defrag_slice(1000, &mut OpSink::new(&mut out, &mut next))? {}
    settle(&mut bolt, disk, &mut out, &mut next)?;
    assert!(read_all(&bolt).expect("a dense file is sound") == before);
    assert!(bolt.check().is_empty(), "{:?}", bolt.check());
    Ok(())
}

/// Makes the batch durable.
fn commit(engine: &mut dyn Engine, disk: &Shared<MemDisk>) -> Result<(), BackendError> {
    let (mut out, mut next) = (Vec::new(), 0);
    engine.commit_batch(&mut OpSink::new(&mut out, &mut next))?;
    settle(engine, disk, &mut out, &mut next)
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
    recover_twice(data.to_vec());
    recover_twice(with_rolling_sums(data));
}

fn recover_twice(segment: Vec<u8>) {
    let disk = disk(WAL, segment);
    let config = WalConfig { dir: "member/wal".into(), segment_bytes: 4096 };
    let marks = wal::snapshots(&*disk.reader(), &config).unwrap_or_default();
    let _ = wal::exists(&*disk.reader(), &config);
    let none = walpb::Snapshot { index: 0, term: 0 };
    let recover = |from| {
        let (mut ops, mut next) = (Vec::new(), 0);
        let recovery = wal::recover(&*disk.reader(), config.clone(), from, &mut OpSink::new(&mut ops, &mut next));
        disk.get().apply_all(&mut ops);
        recovery.map_err(|error| error.to_string())
    };
    for from in marks.into_iter().take(8).chain([none]) {
        if let Ok(first) = recover(from) {
            let second = recover(from).expect("a repaired log can be recovered");
            assert!(second.torn.is_none() && second.entries == first.entries && second.state == first.state);
            let indexes = first.entries.iter().map(|entry| entry.index);
            assert!(indexes.eq((from.index.saturating_add(1)..).take(first.entries.len())), "entries without gaps");
        }
    }
}

/// The segment with the rolling CRC, lengths and padding made right, as far as its frames can be told apart.
fn with_rolling_sums(mut rest: &[u8]) -> Vec<u8> {
    let (mut segment, mut crc) = (Vec::new(), None);
    while let Some((length, behind)) = rest.split_first_chunk() {
        let bytes = u64::from_le_bytes(*length) as u32 as usize;
        let Some(Ok(mut record)) = behind.get(..bytes).map(walpb::Record::decode) else { break };
        if bytes == 0 {
            break;
        }
        // The first record's is taken at its word.
        record.crc = crc.map_or(record.crc, |crc| crc32c::crc32c_append(crc, &record.data));
        crc = Some(record.crc);
        let record = record.encode_to_vec();
        let pad = record.len().wrapping_neg() % 8;
        let top = if pad > 0 { 0x80 | pad as u64 } else { 0 };
        segment.extend((record.len() as u64 | top << 56).to_le_bytes());
        segment.extend(record);
        segment.extend(vec![0; pad]);
        rest = &behind[(bytes.next_multiple_of(8)).min(behind.len())..];
    }
    segment.extend(rest);
    segment
}

/// A snapshot file, and the members in it.
pub(crate) fn snap(data: &[u8]) {
    let _ = v2store::decode(data).map(|cluster| v2store::encode(&cluster));
    let envelope = snappb::Snapshot::decode(data);
    let mended = envelope.map(|it| snappb::Snapshot { crc: crc32c::crc32c(&it.data), ..it }.encode_to_vec());
    for bytes in [Ok(data.to_vec()), mended].into_iter().flatten() {
        match snap::load(&*disk(SNAP, bytes).reader(), &SNAP.into()) {
            Err(error) => assert!(error.to_string().contains(SNAP)),
            Ok(snapshot) => drop(v2store::decode(&snapshot.data)),
        }
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
    let disk = Shared::new(MemDisk::new());
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
            6 => settle(&mut bolt, &disk, &mut out, &mut next).expect("a perfect disk"),
            _ => {
                settle(&mut bolt, &disk, &mut out, &mut next).expect("a perfect disk");
                bolt.commit_batch(&mut OpSink::new(&mut out, &mut next)).expect("a sound file");
            }
        }
    }
    settle(&mut bolt, &disk, &mut out, &mut next).expect("a perfect disk");
    bolt.commit_batch(&mut OpSink::new(&mut out, &mut next)).expect("a sound file");
    settle(&mut bolt, &disk, &mut out, &mut next).expect("a perfect disk");
    let bolt = Bolt::open(disk.reader(), DB.into(), config).expect("a sound file");
    assert!(read_all(&bolt).expect("a sound file") == model);
    assert!(bolt.check().is_empty(), "{:?}", bolt.check());
}

/// Does every operation that is out, and those that follow.
fn settle(
    engine: &mut dyn Engine,
    disk: &Shared<MemDisk>,
    out: &mut Vec<DiskOp>,
    next: &mut u64,
) -> Result<(), BackendError> {
    while !out.is_empty() {
        for op in std::mem::take(out) {
            let done = disk.get().apply(&op);
            done.result.expect("a perfect disk");
            engine.op_done(done.id, &mut OpSink::new(out, next))?;
        }
    }
    Ok(())
}
