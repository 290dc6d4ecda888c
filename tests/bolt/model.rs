//! The engine does what a map does, whatever is written, committed, restarted or cut off.

use crate::rig::{Rig, check, disk_with};
use bytes::Bytes;
use proptest::prelude::*;
use seedbed::backend::{BoltConfig, Bucket, Engine, FreelistKind, Memory};
use std::collections::BTreeMap;

type Model = BTreeMap<(Bucket, Bytes), Bytes>;

#[derive(Clone, Debug)]
enum Step {
    Put {
        bucket: u8,
        key: u16,
        bytes: usize,
    },
    Delete {
        bucket: u8,
        key: u16,
    },
    DeleteRun {
        bucket: u8,
        from: u16,
        keys: u16,
    },
    PutRun {
        bucket: u8,
        from: u16,
        keys: u16,
        bytes: usize,
    },
    Commit,
    /// Begins a commit and does only so many operations of it before going on.
    Begin(usize),
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let (bucket, key) = (0..3u8, 0..400u16);
    let bytes = prop_oneof![8 => 0..100usize, 3 => 100..600usize, 1 => 600..5000usize];
    prop_oneof![
        4 => (bucket.clone(), key.clone(), bytes.clone()).prop_map(|(bucket, key, bytes)| Step::Put { bucket, key, bytes }),
        3 => (bucket.clone(), key.clone()).prop_map(|(bucket, key)| Step::Delete { bucket, key }),
        1 => (bucket.clone(), key.clone(), 1..200u16).prop_map(|(bucket, from, keys)| Step::DeleteRun { bucket, from, keys }),
        2 => (bucket, key, 1..100u16, bytes)
            .prop_map(|(bucket, from, keys, bytes)| Step::PutRun { bucket, from, keys, bytes }),
        3 => Just(Step::Commit),
        2 => (0..6usize).prop_map(Step::Begin),
        1 => Just(Step::Restart),
    ]
}

fn config() -> impl Strategy<Value = BoltConfig> {
    let page_size = prop_oneof![Just(512usize), Just(1024), Just(4096)];
    (page_size, any::<bool>(), any::<bool>(), 0..20_000usize).prop_map(
        |(page_size, array, sync_freelist, cache_bytes)| {
            let freelist = if array { FreelistKind::Array } else { FreelistKind::Hashmap };
            BoltConfig { page_size, freelist, sync_freelist, cache_bytes, ..BoltConfig::default() }
        },
    )
}

fn key(n: u16) -> Bytes {
    format!("key-{n:05}").into()
}

fn bucket(n: u8) -> Bucket {
    [Bucket::Key, Bucket::Meta, Bucket::Lease][usize::from(n)]
}

/// A value that tells which step wrote it.
fn value(step: usize, bytes: usize) -> Bytes {
    format!("{step:>bytes$}").into()
}

fn edits(n: usize, step: &Step) -> Vec<(Bucket, Bytes, Option<Bytes>)> {
    match *step {
        Step::Put { bucket: b, key: k, bytes } => vec![(bucket(b), key(k), Some(value(n, bytes)))],
        Step::Delete { bucket: b, key: k } => vec![(bucket(b), key(k), None)],
        Step::DeleteRun { bucket: b, from, keys } => (from..from + keys).map(|k| (bucket(b), key(k), None)).collect(),
        Step::PutRun { bucket: b, from, keys, bytes } => {
            (from..from + keys).map(|k| (bucket(b), key(k), Some(value(n, bytes)))).collect()
        }
        _ => Vec::new(),
    }
}

fn apply(model: &mut Model, edits: &[(Bucket, Bytes, Option<Bytes>)]) {
    for (bucket, key, value) in edits {
        match value {
            Some(value) => drop(model.insert((*bucket, key.clone()), value.clone())),
            None => drop(model.remove(&(*bucket, key.clone()))),
        }
    }
}

fn flat(model: &Model) -> Vec<(Bucket, Bytes, Bytes)> {
    model.iter().map(|((bucket, key), value)| (*bucket, key.clone(), value.clone())).collect()
}

fn hash(model: &Model) -> u64 {
    let mut memory = Memory::new();
    memory.begin();
    for ((bucket, key), value) in model {
        memory.put(*bucket, key.clone(), value.clone()).expect("memory");
    }
    memory.commit();
    memory.hash()
}

/// Does the steps and compares after each. Returns what is left.
fn run(mut rig: Rig, steps: &[Step]) -> (Rig, Model) {
    let (mut model, mut durable) = (Model::new(), Model::new());
    for (n, step) in steps.iter().enumerate() {
        match step {
            Step::Commit => {
                rig.settle();
                if rig.bolt.batched() > 0 {
                    rig.commit();
                }
                durable = model.clone();
                check(&rig.disk);
            }
            Step::Begin(count) => {
                rig.settle();
                durable = model.clone();
                rig.begin_commit();
                (0..*count).for_each(|_| drop((!rig.ops.is_empty()).then(|| rig.one())));
            }
            Step::Restart => {
                rig.settle();
                if rig.bolt.batched() > 0 {
                    rig.restart();
                    let found = rig.pairs();
                    model = found.iter().map(|(bucket, key, value)| ((*bucket, key.clone()), value.clone())).collect();
                    assert!(found == flat(&model));
                } else {
                    rig.restart();
                }
                durable = model.clone();
            }
            write => {
                let edits = edits(n, write);
                apply(&mut model, &edits);
                rig.write(edits);
            }
        }
        assert_eq!(rig.pairs(), flat(&model), "after step {n}, {step:?}");
        assert_eq!(rig.bolt.hash(), hash(&model), "after step {n}, {step:?}");
    }
    drop(durable);
    (rig, model)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn it_is_a_map(config in config(), steps in prop::collection::vec(step(), 1..40)) {
        run(Rig::creating(config), &steps);
    }
}

#[test]
fn smoke() {
    let mut rig = Rig::new(BoltConfig::default());
    rig.write((0..2000).map(|n| (Bucket::Key, key(n), Some(value(1, 256)))));
    rig.commit();
    rig.restart();
    assert_eq!(rig.pairs().len(), 2000);
    let image = rig.image(10_000);
    let other = Rig::start(disk_with(image), BoltConfig::default()).expect("an image is a file");
    assert_eq!(other.pairs(), rig.pairs());
}
