//! Restoring: in chunks, and from records that no store wrote.

use super::*;
use proptest::prelude::*;
use prost::Message as _;
use seedbed::backend::Engine as _;
use seedbed::bug::{Bug, BugSet};
use seedbed::mvcc::{Restoring, Revision};

/// An engine with these records, put into a store.
fn restored(records: &[(Bytes, Bytes)], meta: &[(&'static str, Bytes)], config: StoreConfig) -> Result<Store, String> {
    let mut engine = Memory::new();
    engine.begin();
    for (key, value) in records {
        engine.put(Bucket::Key, key.clone(), value.clone()).unwrap();
    }
    for (mark, value) in meta {
        engine.put(Bucket::Meta, bytes(mark), value.clone()).unwrap();
    }
    engine.commit();
    Store::restore(Box::new(engine), config).map_err(|error| error.to_string())
}

fn at(main: i64, sub: i64) -> Revision {
    Revision { main, sub }
}

fn a_put(at: Revision, key: &str, create_revision: i64, version: i64) -> (Bytes, Bytes) {
    let kv = KeyValue { key: bytes(key), create_revision, mod_revision: at.main, version, ..Default::default() };
    (at.encode(false), kv.encode_to_vec().into())
}

fn tombstone(at: Revision, key: &str) -> (Bytes, Bytes) {
    (at.encode(true), KeyValue { key: bytes(key), ..Default::default() }.encode_to_vec().into())
}

/// `a` five times, in transactions of one put.
fn five_puts(config: StoreConfig) -> Store {
    let mut store = store(config);
    (0..5).for_each(|n| put(&mut store, "a", &n.to_string()));
    store
}

#[test]
fn a_chunk_is_bounded_and_the_history_spans_them() {
    let mut store = five_puts(small());
    let engine = Memory::from_image(&image(&mut store)).unwrap();
    let mut restoring = Restoring::new(Box::new(engine), small());
    let steps: Vec<bool> = (0..4).map(|_| restoring.step().unwrap()).collect();
    assert_eq!(steps, [false, false, true, true], "two records a step");
    let store = restoring.finish();
    assert_eq!((store.revision(), store.applied()), (6, Applied { index: 5, term: 1 }));
    (2..=6).for_each(|at| assert_eq!(live(&store, at)[0].mod_revision, at));
}

#[test]
#[should_panic(expected = "invariant: a store is used once all its records are read")]
fn a_store_is_not_used_half_read() {
    Restoring::new(Box::new(Memory::new()), small()).finish();
}

#[cfg(feature = "bugs")]
#[test]
fn chunk_restore_clobbers() {
    let config = StoreConfig { bugs: BugSet::NONE.with(Bug::ChunkRestoreClobbers), ..small() };
    let store = reopened(&mut five_puts(config), config);
    assert_eq!(live(&store, 6).len(), 1);
    assert_eq!(live(&store, 4), [], "earlier history is lost");
}

#[test]
fn a_lone_tombstone_is_what_an_interrupted_compaction_leaves() {
    let store = restored(&[tombstone(at(4, 0), "a")], &[], small()).unwrap();
    assert_eq!(store.revision(), 4);
    assert_eq!(store.changes_since(b"a", b"", 0).unwrap(), [at(4, 0)]);
}

#[test]
fn a_record_that_does_not_fit_is_named() {
    let key = "00000000000000055f0000000000000000";
    let put4 = a_put(at(4, 0), "a", 4, 1);
    let cases = [
        ("a put of another generation", vec![put4.clone(), a_put(at(5, 0), "a", 5, 1)]),
        ("a put that skips a version", vec![put4.clone(), a_put(at(5, 0), "a", 4, 3)]),
        (
            "a put that is older than the tombstone",
            vec![put4.clone(), tombstone(at(4, 1), "a"), a_put(at(5, 0), "a", 3, 3)],
        ),
        ("two tombstones", vec![put4.clone(), tombstone(at(4, 1), "a"), tombstone(at(5, 0), "a")]),
        ("a put and a tombstone at once", vec![a_put(at(5, 0), "a", 5, 1), tombstone(at(5, 0), "a")]),
        ("a future creation", vec![a_put(at(5, 0), "a", 6, 1)]),
        ("version 0", vec![a_put(at(5, 0), "a", 5, 0)]),
        ("a last version but one", vec![a_put(at(5, 0), "a", 5, i64::MAX - 1)]),
        ("another's value", vec![(at(5, 0).encode(false), put4.1.clone())]),
        ("no value", vec![(at(5, 0).encode(false), Bytes::from_static(b"\xff"))]),
    ];
    for (case, records) in cases {
        let error = restored(&records, &[], small()).expect_err(case);
        assert!(error.starts_with(&format!("bucket key, record {key}")), "{case}: {error}");
    }
    for (record, name) in [("", ""), ("short", "73686f7274")] {
        let error = restored(&[(bytes(record), put4.1.clone())], &[], small()).expect_err(record);
        assert!(error.starts_with(&format!("bucket key, record {name}: expected a revision: 8 bytes")), "{error}");
    }
    for revision in [at(0, 0), at(-1, 0), at(1, -1), at(i64::MAX - 1, 0), at(1, i64::MAX)] {
        let error = restored(&[a_put(revision, "a", 1, 1)], &[], small()).expect_err("no further revisions fit");
        assert!(error.contains("expected a revision from (1,0) on"), "{error}");
    }
}

#[test]
fn a_garbled_mark_is_named() {
    let garbled = [
        ("consistent_index", Bytes::from_static(b"7")),
        ("term", Bytes::from_static(b"123456789")),
        ("scheduledCompactRev", Bytes::from_static(b"x")),
        ("scheduledCompactRev", at(-1, 0).encode(false)),
        ("finishedCompactRev", at(3, 0).encode(true)),
        ("finishedCompactRev", at(i64::MAX - 1, 0).encode(false)),
    ];
    for (mark, value) in garbled {
        let error = restored(&[], &[(mark, value)], small()).expect_err(mark);
        assert!(error.starts_with("bucket meta: expected ") && error.contains(mark), "{error}");
    }
}

/// Records near enough to real ones to get far.
fn any_record() -> impl Strategy<Value = (Bytes, Bytes)> {
    let near = |n: i64| prop_oneof![20 => 0..n, 1 => any::<i64>()];
    let key = (near(8), near(3), any::<bool>()).prop_map(|(main, sub, tombstone)| at(main, sub).encode(tombstone));
    let value = (0..3u8, near(8), near(8), near(4)).prop_map(|(key, create_revision, mod_revision, version)| {
        let key = Bytes::from(vec![b'a' + key]);
        KeyValue { key, create_revision, mod_revision, version, ..Default::default() }.encode_to_vec().into()
    });
    let noise = || prop::collection::vec(any::<u8>(), 0..20).prop_map(Bytes::from);
    (prop_oneof![30 => key, 1 => noise()], prop_oneof![30 => value, 1 => noise()])
}

proptest! {
    #[test]
    fn nothing_panics_whatever_the_records_are(
        records in prop::collection::vec(any_record(), 0..6),
        scheduled in prop::option::of(-1..10i64),
        bugs in any::<bool>(),
    ) {
        let all = [
            Bug::CompactLosesLatestRev,
            Bug::ChunkRestoreClobbers,
            Bug::InterruptedCompactHash,
            Bug::LoneTombstoneLost,
        ];
        let bugs = if bugs { all.into_iter().fold(BugSet::NONE, BugSet::with) } else { BugSet::NONE };
        let config = StoreConfig { bugs, ..small() };
        let marks: Vec<_> = scheduled.map(|main| ("scheduledCompactRev", at(main, 0).encode(false))).into_iter().collect();
        if let Ok(mut store) = restored(&records, &marks, config) {
            let readable = store.compact_revision().max(1)..=store.revision().min(20);
            readable.for_each(|at| drop((live(&store, at), store.hash_kv(at).unwrap())));
            put(&mut store, "a", "1");
            delete(&mut store, "b");
            drain(&mut store);
            put(&mut store, "b", "1");
            let newest = store.revision();
            compact(&mut store, newest);
            drain(&mut store);
            prop_assert_eq!(live(&store, 0), live(&reopened(&mut store, config), 0));
        }
    }
}
