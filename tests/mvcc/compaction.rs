//! Compaction: what it refuses, what it keeps, and that an interruption does not show.

use super::*;
#[cfg(feature = "bugs")]
use seedbed::bug::Bug;
#[cfg(feature = "bugs")]
use seedbed::bug::BugSet;
use seedbed::mvcc::{MvccError, Revision};
use seedbed::pb::etcdserverpb::{RequestOp, TxnRequest, request_op};

/// `a`: put 2, put 3, delete 4; `b`: put 5, put 6, delete 7; `c`: put 8.
fn history(config: StoreConfig) -> Store {
    let mut store = store(config);
    for key in ["a", "b"] {
        put(&mut store, key, "1");
        put(&mut store, key, "2");
        delete(&mut store, key);
    }
    put(&mut store, "c", "1");
    store
}

fn mark(store: &Store, name: &[u8]) -> Option<Revision> {
    let bytes = store.engine().get(Bucket::Meta, name).unwrap()?;
    Revision::decode(&bytes).map(|(at, _)| at)
}

fn mains(store: &Store) -> Vec<i64> {
    records(store).iter().map(|key| Revision::decode(key).unwrap().0.main).collect()
}

#[test]
fn a_compaction_is_refused_outside_of_the_history() {
    let mut store = history(small());
    assert_eq!(apply(&mut store, |txn| txn.compact(9)), Err(MvccError::FutureRevision));
    assert_eq!(apply(&mut store, |txn| txn.compact(-1)), Err(MvccError::Compacted));
    assert_eq!(mark(&store, b"scheduledCompactRev"), None, "a refused compaction leaves no mark");
    compact(&mut store, 0);
    compact(&mut store, 5);
    for revision in [0, 4, 5] {
        assert_eq!(apply(&mut store, |txn| txn.compact(revision)), Err(MvccError::Compacted), "{revision}");
    }
    compact(&mut store, 8);
    assert_eq!(drain(&mut store).iter().map(|done| done.revision).collect::<Vec<_>>(), [0, 5, 8], "in order");
}

#[test]
fn the_marks_say_what_is_promised_and_what_is_done() {
    let mut store = history(small());
    compact(&mut store, 6);
    let at = |main| Some(Revision { main, sub: 0 });
    assert_eq!((mark(&store, b"scheduledCompactRev"), mark(&store, b"finishedCompactRev")), (at(6), None));
    assert!(store.compacting() && store.hash().is_none());
    assert_eq!(store.compact_slice().unwrap(), None);
    assert_eq!(mains(&store), [3, 4, 5, 6, 7, 8], "one record a slice");
    drain(&mut store);
    assert_eq!((mark(&store, b"scheduledCompactRev"), mark(&store, b"finishedCompactRev")), (at(6), at(6)));
    assert!(!store.compacting() && store.hash().is_some());
    assert_eq!(mains(&store), [6, 7, 8]);
}

#[test]
fn a_tombstone_at_the_revision_itself_stays_until_the_next_compaction() {
    let mut store = history(small());
    compact(&mut store, 7);
    let finished = drain(&mut store);
    assert_eq!(mains(&store), [7, 8], "a watch may start there");
    assert_eq!(finished[0].hash, store.hash_kv(7).unwrap().hash, "hashes leave it out");
    assert!(live(&store, 7).is_empty());
    let mut store = reopened(&mut store, small());
    assert_eq!(mains(&store), [7, 8]);
    compact(&mut store, 8);
    drain(&mut store);
    assert_eq!(mains(&store), [8]);
}

/// Deletes `a` at revision 3 and compacts there, with a power cut once the put before it is removed.
#[cfg(feature = "bugs")]
fn delete_at_the_revision(bugs: BugSet) -> Store {
    let config = StoreConfig { bugs, ..small() };
    let mut store = store(config);
    put(&mut store, "a", "1");
    delete(&mut store, "a");
    put(&mut store, "b", "1");
    compact(&mut store, 3);
    store.compact_slice().unwrap();
    let mut store = reopened(&mut store, config);
    drain(&mut store);
    store
}

#[cfg(feature = "bugs")]
#[test]
fn compact_drops_tombstone_and_lone_tombstone_lost() {
    assert_eq!(mains(&delete_at_the_revision(BugSet::NONE)), [3, 4]);
    for bug in [Bug::CompactDropsTombstone, Bug::LoneTombstoneLost] {
        assert_eq!(mains(&delete_at_the_revision(BugSet::NONE.with(bug))), [4], "{bug:?}");
    }
}

#[test]
fn what_is_compacted_cannot_be_read_and_what_is_not_can_be() {
    let mut store = history(small());
    compact(&mut store, 6);
    let read = |store: &Store, revision| {
        store.range(&RangeRequest { key: bytes("b"), revision, ..Default::default() }).map(|found| found.count)
    };
    for _ in 0..10 {
        assert_eq!(read(&store, 5), Err(MvccError::Compacted));
        assert_eq!(read(&store, 6), Ok(1));
        assert_eq!(read(&store, 0), Ok(0));
        assert_eq!(store.changes_since(b"b", b"", 5), Err(MvccError::Compacted));
        store.compact_slice().unwrap();
    }
    assert_eq!(read(&store, 9), Err(MvccError::FutureRevision));
}

#[test]
fn a_transaction_that_reads_what_is_compacted_changes_nothing() {
    let mut store = history(small());
    compact(&mut store, 6);
    drain(&mut store);
    let op = |request| RequestOp { request: Some(request) };
    let range = RangeRequest { key: bytes("c"), revision: 5, ..Default::default() };
    let nested = TxnRequest { success: vec![op(request_op::Request::RequestRange(range))], ..Default::default() };
    let request = TxnRequest {
        success: vec![
            op(request_op::Request::RequestPut(put_request("c", "2"))),
            op(request_op::Request::RequestTxn(nested)),
        ],
        ..Default::default()
    };
    assert_eq!(apply(&mut store, |txn| txn.txn(&request)), Err(MvccError::Compacted));
    assert_eq!((store.revision(), live(&store, 0)[0].value.clone()), (8, bytes("1")));
}

#[test]
fn an_interruption_at_any_slice_leaves_the_same_records_and_hash() {
    for revision in 1..=8 {
        let mut whole = history(small());
        compact(&mut whole, revision);
        let finished = drain(&mut whole);
        assert_eq!(finished[0].hash, whole.hash_kv(revision).unwrap().hash);
        for slices in 0..8 {
            let mut store = history(small());
            compact(&mut store, revision);
            let before = (0..slices).find_map(|_| store.compact_slice().unwrap());
            let mut store = reopened(&mut store, small());
            assert_eq!(store.revision(), 8);
            assert_eq!(store.compact_revision(), revision);
            let after = drain(&mut store);
            assert_eq!(before.or(after.first().copied()), Some(finished[0]), "{slices} slices to {revision}");
            assert_eq!(records(&store), records(&whole));
            assert_eq!(store.hash(), whole.hash());
        }
    }
}

/// A store that lost power when the newest records, tombstones, were removed, and the mark that says so was not set.
#[cfg(feature = "bugs")]
fn tombstones_gone(bugs: BugSet) -> Store {
    let config = StoreConfig { bugs, ..small() };
    let mut store = store(config);
    put(&mut store, "a", "1");
    delete(&mut store, "a");
    compact(&mut store, 3);
    while !records(&store).is_empty() {
        assert_eq!(store.compact_slice().unwrap(), None);
    }
    reopened(&mut store, config)
}

#[cfg(feature = "bugs")]
#[test]
fn the_revision_never_turns_back() {
    let mut store = tombstones_gone(BugSet::NONE.with(Bug::CompactDropsTombstone));
    assert_eq!(store.revision(), 3);
    put(&mut store, "b", "1");
    assert_eq!(live(&store, 0)[0].mod_revision, 4);
    assert_eq!(drain(&mut store).len(), 1);
}

#[cfg(feature = "bugs")]
#[test]
fn compact_loses_latest_rev() {
    let mut store = tombstones_gone(BugSet::NONE.with(Bug::CompactLosesLatestRev));
    assert_eq!(store.revision(), 1);
    put(&mut store, "b", "1");
    assert_eq!(live(&store, 0)[0].mod_revision, 2, "a revision that was given out before");
}

#[cfg(feature = "bugs")]
#[test]
fn interrupted_compact_hash() {
    let config = StoreConfig { bugs: BugSet::NONE.with(Bug::InterruptedCompactHash), ..small() };
    let run = |interrupted: bool| {
        let mut store = store(config);
        put(&mut store, "kept", "1");
        put(&mut store, "a", "1");
        put(&mut store, "a", "2");
        put(&mut store, "a", "3");
        compact(&mut store, 5);
        if interrupted {
            (0..2).for_each(|_| assert_eq!(store.compact_slice().unwrap(), None));
            store = reopened(&mut store, config);
        }
        let hash = drain(&mut store)[0].hash;
        (hash, store.hash_kv(5).unwrap().hash)
    };
    let (whole, resumed) = (run(false), run(true));
    assert_eq!(whole.0, whole.1);
    assert_eq!(whole.1, resumed.1, "the records are the same");
    assert_ne!(whole.0, resumed.0, "the compactions' hashes are not");
}
