//! HashKV against etcd's golden values, where they are at hand: `tables/hashkv.json` in the folder that `SEEDBED_PEERS`
//! names (`../shared/peers` if it is not set).

use super::*;
use seedbed::mvcc::{HashJob, HashKv, MvccError};
use serde_json::Value;
use std::path::PathBuf;

/// A prime, so that compactions fall on ever different keys.
const CYCLE: i64 = 71;
/// Puts of the last cycle, which is long.
const LAST: i64 = 1210;

#[test]
fn hashes_are_etcds() {
    let beside = || concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/peers").into();
    let peers: PathBuf = std::env::var_os("SEEDBED_PEERS").unwrap_or_else(beside).into();
    let path = peers.join("tables/hashkv.json");
    let Ok(text) = std::fs::read_to_string(&path) else {
        println!("skipped: no {} (SEEDBED_PEERS names another folder)", path.display());
        return;
    };
    let tables: Value = serde_json::from_str(&text).expect("the file is JSON");
    let tables = tables.as_object().expect("the file is an object").iter();
    let mut judged = 0;
    for (name, rows) in tables {
        let rows = rows.as_array().into_iter().flatten().filter_map(golden);
        let rows: Vec<HashKv> = rows.collect();
        // Slices that stop anywhere in a compaction: the hash must not show how far it is.
        for slices in [0, 1, 7, usize::MAX] {
            assert_eq!(workload(&rows, slices), rows, "{name}, {slices} slices between hashes");
        }
        judged += rows.len();
    }
    assert!(judged > 0, "{}: no rows of hash, compact revision and revision", path.display());
}

fn golden(row: &Value) -> Option<HashKv> {
    let [hash, compact_revision, revision] = row.as_array()?.as_slice() else { return None };
    let hash = u32::try_from(hash.as_u64()?).ok()?;
    Some(HashKv { hash, compact_revision: compact_revision.as_i64()?, revision: revision.as_i64()? })
}

/// What etcd's tests do: in each cycle put, hash at the row's revision, compact there.
fn workload(rows: &[HashKv], slices: usize) -> Vec<HashKv> {
    let mut store = store(StoreConfig { compaction_batch: 10, ..StoreConfig::default() });
    let mut hashes = Vec::new();
    for (cycle, row) in (0..).zip(rows) {
        let first = cycle * CYCLE;
        let puts = if hashes.len() + 1 == rows.len() { LAST } else { CYCLE };
        (first..=first + puts).for_each(|n| put(&mut store, name(n), &n.to_string()));
        hashes.push(store.hash_kv(row.revision).expect("the revision is readable"));
        compact(&mut store, row.revision);
        for _ in 0..slices {
            if !store.compacting() {
                break;
            }
            store.compact_slice().expect("memory does not fail");
        }
    }
    hashes
}

fn name(n: i64) -> &'static str {
    match (n % (2 * CYCLE), n % CYCLE) {
        (30, _) => "zenek",
        (_, 30) => "xavery",
        _ => ["alice", "bob", "celine", "dominik", "eve", "frederica", "gorge"][(n % 7) as usize],
    }
}

#[test]
fn a_job_in_steps_gives_the_same_and_minds_neither_puts_nor_compactions_between_them() {
    let mut store = store(small());
    (0..100).for_each(|n| put(&mut store, name(n), "v"));
    let before = store.hash_kv(80).unwrap();
    let mut job = HashJob::new(&store, 80).unwrap();
    assert_eq!(job.step(&store, 30).unwrap(), None);
    put(&mut store, "alice", "later");
    assert_eq!(job.step(&store, 30).unwrap(), None);
    compact(&mut store, 60);
    (0..20).for_each(|_| assert_eq!(store.compact_slice().unwrap(), None));
    let after = (0..).find_map(|_| job.step(&store, 7).unwrap()).unwrap();
    assert_eq!(after, store.hash_kv(80).unwrap());
    assert_eq!((after.revision, after.compact_revision), (80, 60));
    assert_ne!(after.hash, before.hash, "what compaction takes away does not count");
    compact(&mut store, 90);
    assert_eq!(HashJob::new(&store, 80).unwrap_err(), MvccError::Compacted);
}

#[test]
fn a_revision_that_is_not_there_is_refused() {
    let mut store = store(small());
    (0..5).for_each(|n| put(&mut store, name(n), "v"));
    assert_eq!(store.hash_kv(7), Err(MvccError::FutureRevision));
    assert_eq!(store.hash_kv(0).unwrap().revision, 6);
    assert_eq!(store.hash_kv(0).unwrap().compact_revision, -1);
    compact(&mut store, 4);
    assert_eq!(store.hash_kv(3), Err(MvccError::Compacted));
    assert_eq!(store.hash_kv(4).unwrap().compact_revision, 4);
}
