//! The MVCC store over the memory engine: against a naive model, against etcd's hashes, through interruptions.

mod compaction;
mod hash;
mod headers;
mod keep;
mod model;
mod restore;
mod watch;
mod watch_model;

use bytes::Bytes;
use seedbed::backend::{Bucket, Memory};
use seedbed::mvcc::{Applied, Compacted, Store, StoreConfig, WriteTxn};
use seedbed::pb::etcdserverpb::{DeleteRangeRequest, PutRequest, RangeRequest};
use seedbed::pb::mvccpb::KeyValue;

/// An empty store.
fn store(config: StoreConfig) -> Store {
    Store::new(Box::new(Memory::new()), config)
}

/// Small chunks and batches, so that little data crosses their borders.
fn small() -> StoreConfig {
    StoreConfig { restore_chunk: 2, compaction_batch: 1, ..StoreConfig::default() }
}

/// Applies one entry.
fn apply<T>(store: &mut Store, change: impl FnOnce(&mut WriteTxn<'_>) -> T) -> T {
    let entry = Applied { index: store.consistent_index() + 1, term: 1 };
    let mut txn = store.write(entry).expect("memory does not fail");
    let result = change(&mut txn);
    txn.commit();
    result
}

fn put(store: &mut Store, key: &str, value: &str) {
    let request = put_request(key, value);
    apply(store, |txn| txn.put(&request)).expect("a put succeeds");
}

fn delete(store: &mut Store, key: &str) {
    let request = DeleteRangeRequest { key: bytes(key), ..Default::default() };
    apply(store, |txn| txn.delete_range(&request)).expect("a delete succeeds");
}

fn compact(store: &mut Store, revision: i64) {
    apply(store, |txn| txn.compact(revision)).expect("the revision can be compacted");
}

/// Runs slices until nothing is left to compact. Returns what was finished.
fn drain(store: &mut Store) -> Vec<Compacted> {
    let mut finished = Vec::new();
    while store.compacting() {
        finished.extend(store.compact_slice().expect("memory does not fail"));
    }
    finished
}

/// The store that a power cut leaves, if everything was durable.
fn reopened(store: &mut Store, config: StoreConfig) -> Store {
    let engine = Memory::from_image(&image(store)).expect("an engine's image restores");
    Store::restore(Box::new(engine), config).expect("a store's own records restore")
}

fn image(store: &mut Store) -> Vec<u8> {
    let engine = store.engine_mut();
    let mut image = engine.begin_image();
    let mut bytes = Vec::new();
    while let Some(chunk) = engine.image_chunk(&mut image, 4096).expect("memory does not fail") {
        bytes.extend(chunk);
    }
    engine.end_image(image);
    bytes
}

/// All live keys at a revision.
fn live(store: &Store, revision: i64) -> Vec<KeyValue> {
    let everything = RangeRequest { key: bytes("\0"), range_end: bytes("\0"), revision, ..Default::default() };
    store.range(&everything).expect("the revision is readable").kvs
}

/// The records of the bucket `key`.
fn records(store: &Store) -> Vec<Bytes> {
    let mut records = Vec::new();
    let mut note = |key: &[u8], _: &Bytes| {
        records.push(Bytes::copy_from_slice(key));
        true
    };
    store.scan(Bucket::Key, &mut note).expect("memory does not fail");
    records
}

fn put_request(key: &str, value: &str) -> PutRequest {
    PutRequest { key: bytes(key), value: bytes(value), ..Default::default() }
}

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}
