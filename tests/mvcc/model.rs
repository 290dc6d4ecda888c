//! The store against a list of all changes, through compactions in slices and restarts at any moment.

use super::*;
use proptest::prelude::*;
use prost::Message as _;
use seedbed::mvcc::{HashKv, MvccError, Revision};
use seedbed::pb::etcdserverpb::{RequestOp, TxnRequest, request_op};
use std::collections::BTreeMap;

/// One thing that happens to a store.
#[derive(Clone, Debug)]
enum Step {
    /// Puts and deletes in one entry. Several: one transaction.
    Write(Vec<Write>),
    /// Compacts this far from the oldest readable revision to the newest.
    Compact(prop::sample::Index),
    /// Slices of compaction.
    Slices(usize),
    /// A restart; everything was durable.
    Restart,
}

#[derive(Clone, Debug)]
enum Write {
    Put(u8),
    /// Deletes the keys from the first to before the second.
    Delete(u8, u8),
}

/// Each change that was ever made and is not compacted, and nothing else.
#[derive(Debug, Default)]
struct Model {
    changes: Vec<(Revision, KeyValue, bool)>,
    revision: i64,
    compacted: Option<i64>,
}

impl Model {
    fn newest(&self, key: &Bytes, at: i64) -> Option<&(Revision, KeyValue, bool)> {
        self.changes.iter().rfind(|(rev, kv, _)| kv.key == *key && rev.main <= at)
    }

    fn live(&self, at: i64) -> Vec<KeyValue> {
        let keys: BTreeMap<&Bytes, ()> = self.changes.iter().map(|(_, kv, _)| (&kv.key, ())).collect();
        let newest = keys.keys().filter_map(|key| self.newest(key, at));
        newest.filter(|(_, _, tombstone)| !tombstone).map(|(_, kv, _)| kv.clone()).collect()
    }

    fn write(&mut self, writes: &[Write]) {
        let main = self.revision + 1;
        let mut sub = 0;
        let mut add = |model: &mut Model, kv: KeyValue, tombstone| {
            model.changes.push((Revision { main, sub }, kv, tombstone));
            (sub, model.revision) = (sub + 1, main);
        };
        for write in writes {
            match *write {
                Write::Put(n) => {
                    let old = self.newest(&key(n), main).filter(|(_, _, tombstone)| !tombstone);
                    let (create_revision, version) =
                        old.map_or((main, 1), |(_, old, _)| (old.create_revision, old.version + 1));
                    let (key, value, mod_revision) = (key(n), value(n), main);
                    add(self, KeyValue { key, create_revision, mod_revision, version, value, lease: 0 }, false);
                }
                Write::Delete(from, to) => {
                    let within = |kv: &KeyValue| key(from) <= kv.key && kv.key < key(to);
                    for kv in self.live(main).into_iter().filter(within) {
                        add(self, KeyValue { key: kv.key, ..Default::default() }, true);
                    }
                }
            }
        }
    }

    fn compact(&mut self, at: i64) {
        let keep = |(rev, kv, tombstone): &(Revision, KeyValue, bool)| {
            // A watch may start at `at` and has to hear of a tombstone there.
            let stays = !tombstone || rev.main == at;
            rev.main > at || (stays && self.newest(&kv.key, at).unwrap().0 == *rev)
        };
        self.changes = self.changes.iter().filter(|change| keep(change)).cloned().collect();
        self.compacted = Some(at);
    }

    fn hash(&self, at: i64) -> HashKv {
        let deserted = self.live(at).is_empty();
        let mut hash = crc32c::crc32c(b"key");
        for (rev, kv, tombstone) in self.changes.iter().filter(|(rev, ..)| rev.main <= at) {
            let old = self.compacted.is_some_and(|compacted| rev.main <= compacted);
            // Versions of etcd that drop it must come to the same hash as those that keep it.
            if *tombstone && self.compacted == Some(rev.main) {
                continue;
            }
            if !old || deserted || (!tombstone && self.newest(&kv.key, at).unwrap().0 == *rev) {
                hash = crc32c::crc32c_append(hash, &rev.encode(*tombstone));
                hash = crc32c::crc32c_append(hash, &kv.encode_to_vec());
            }
        }
        HashKv { hash, compact_revision: self.compacted.unwrap_or(-1), revision: at }
    }
}

fn key(n: u8) -> Bytes {
    Bytes::from(vec![b'a' + n])
}

fn value(n: u8) -> Bytes {
    Bytes::from(vec![n; usize::from(n)])
}

fn request(write: &Write) -> request_op::Request {
    match *write {
        Write::Put(n) => {
            request_op::Request::RequestPut(PutRequest { key: key(n), value: value(n), ..Default::default() })
        }
        Write::Delete(from, to) => request_op::Request::RequestDeleteRange(DeleteRangeRequest {
            key: key(from),
            range_end: key(to),
            ..Default::default()
        }),
    }
}

fn write(store: &mut Store, writes: &[Write]) {
    let mut requests = writes.iter().map(request);
    apply(store, |txn| match (requests.next(), writes.len()) {
        (Some(request_op::Request::RequestPut(put)), 1) => txn.put(&put).map(drop),
        (Some(request_op::Request::RequestDeleteRange(delete)), 1) => txn.delete_range(&delete).map(drop),
        (first, _) => {
            let ops = first.into_iter().chain(requests).map(|request| RequestOp { request: Some(request) });
            txn.txn(&TxnRequest { success: ops.collect(), ..Default::default() }).map(drop)
        }
    })
    .expect("writes succeed");
}

fn check(store: &Store, model: &Model) {
    assert_eq!(store.revision(), model.revision);
    assert_eq!(store.compact_revision(), model.compacted.unwrap_or(0));
    let oldest = model.compacted.unwrap_or(1).max(1);
    for at in oldest..=model.revision {
        assert_eq!(live(store, at), model.live(at), "at {at}");
        assert_eq!(store.hash_kv(at), Ok(model.hash(at)), "at {at}");
    }
    let below = RangeRequest { key: key(0), revision: oldest - 1, ..Default::default() };
    if oldest > 1 {
        assert_eq!(store.range(&below), Err(MvccError::Compacted));
        assert_eq!(store.hash_kv(oldest - 1), Err(MvccError::Compacted));
    }
    if !store.compacting() {
        let kept: Vec<Bytes> = model.changes.iter().map(|(rev, _, tombstone)| rev.encode(*tombstone)).collect();
        assert_eq!(records(store), kept);
        let since = store.changes_since(b"\0", b"\0", oldest).unwrap();
        let mut wanted: Vec<Revision> = Vec::new();
        for (rev, kv, _) in model.changes.iter().filter(|(rev, ..)| rev.main >= oldest) {
            // Of a key's changes in one transaction the last.
            if model.newest(&kv.key, rev.main).unwrap().0 == *rev {
                wanted.push(*rev);
            }
        }
        assert_eq!(since, wanted);
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let write = prop_oneof![
        3 => (0..6u8).prop_map(Write::Put),
        1 => (0..6u8, 0..7u8).prop_map(|(from, to)| Write::Delete(from, to)),
    ];
    let step = prop_oneof![
        8 => prop::collection::vec(write, 1..4).prop_map(Step::Write),
        2 => any::<prop::sample::Index>().prop_map(Step::Compact),
        3 => (1..6usize).prop_map(Step::Slices),
        1 => Just(Step::Restart),
    ];
    prop::collection::vec(step, 1..50)
}

proptest! {
    #[test]
    fn the_store_answers_as_a_list_of_all_changes_does(
        steps in steps(),
        compaction_batch in 1..5usize,
        restore_chunk in 1..6usize,
    ) {
        let config = StoreConfig { restore_chunk, compaction_batch, ..StoreConfig::default() };
        let (mut store, mut model) = (store(config), Model { revision: 1, ..Model::default() });
        for step in steps {
            match step {
                Step::Write(writes) => {
                    write(&mut store, &writes);
                    model.write(&writes);
                }
                Step::Compact(index) => {
                    let oldest = model.compacted.map_or(0, |compacted| compacted + 1);
                    if oldest <= model.revision {
                        let at = oldest + index.index((model.revision + 1 - oldest) as usize) as i64;
                        compact(&mut store, at);
                        model.compact(at);
                    }
                }
                Step::Slices(n) => {
                    for _ in 0..n {
                        let finished = store.compact_slice().unwrap();
                        if let Some(finished) = finished.filter(|finished| Some(finished.revision) == model.compacted) {
                            prop_assert_eq!(finished.hash, model.hash(finished.revision).hash);
                        }
                    }
                }
                Step::Restart => {
                    let hash = store.hash();
                    store = reopened(&mut store, config);
                    prop_assert_eq!(store.hash(), hash);
                }
            }
            check(&store, &model);
        }
        drain(&mut store);
        check(&store, &model);
    }
}
