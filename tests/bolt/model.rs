//! The engine does what a map does, whatever is written, committed, restarted or cut off.

use crate::rig::{FILE, Rig, check, disk_with};
use bytes::Bytes;
use proptest::prelude::*;
use seedbed::backend::{BoltConfig, Bucket, Engine, Finished, FreelistKind, Image, Memory};
use std::collections::BTreeMap;
use std::mem;

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
    Cut,
    BeginImage,
    EndImage,
    /// May be cut off after so many operations behind the last slice.
    Defrag {
        slice: usize,
        cut: Option<usize>,
    },
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
        2 => Just(Step::Cut),
        1 => Just(Step::BeginImage),
        1 => Just(Step::EndImage),
        1 => (1..5000usize, prop::option::of(0..9usize)).prop_map(|(slice, cut)| Step::Defrag { slice, cut }),
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

/// An engine, what it should hold, and what its file should hold.
struct Run {
    rig: Rig,
    model: Model,
    /// What the last durable commit holds, and the one that is out.
    durable: Model,
    committing: Option<Model>,
    images: Vec<(Image, Model)>,
}

impl Run {
    fn new(config: BoltConfig) -> Run {
        let rig = Rig::creating(config);
        Run { rig, model: Model::new(), durable: Model::new(), committing: None, images: Vec::new() }
    }

    fn operations(&mut self, count: usize) {
        for _ in 0..count {
            if !self.rig.ops.is_empty() && self.rig.one() == Finished::Commit {
                self.durable = self.committing.take().expect("a commit was out");
            }
        }
    }

    fn settle(&mut self) {
        while !self.rig.ops.is_empty() {
            self.operations(1);
        }
        assert!(self.committing.is_none());
    }

    fn begin_commit(&mut self) {
        self.settle();
        if self.rig.bolt.batched() > 0 {
            self.committing = Some(self.model.clone());
            self.rig.begin_commit();
        }
    }

    /// The power goes: what was asked for and not done is lost, and so is what was never asked for.
    fn cut(&mut self) {
        self.images.clear();
        let config = self.rig.config;
        let disk = self.rig.disk.get().clone();
        if disk.file(FILE).is_err() {
            *self = Run::new(config);
            return;
        }
        self.rig = Rig::start(disk, config).expect("a legal file opens");
        let found = self.rig.pairs();
        let after = self.committing.take().filter(|committing| found == flat(committing));
        self.durable = after.unwrap_or_else(|| mem::take(&mut self.durable));
        assert_eq!(found, flat(&self.durable), "the tree before the cut commit, or after");
        self.model = self.durable.clone();
    }

    fn end_image(&mut self) {
        if let Some((mut image, model)) = self.images.pop() {
            let other = Rig::start(disk_with(self.rig.read(&mut image, 3000)), self.rig.config);
            assert_eq!(other.expect("an image is a file").pairs(), flat(&model));
            self.rig.bolt.end_image(image);
        }
    }

    fn defrag(&mut self, slice: usize, cut: Option<usize>) {
        self.begin_commit();
        self.settle();
        while !self.images.is_empty() {
            self.end_image();
        }
        self.rig.begin_defrag();
        while !self.rig.defrag_slice(slice) {
            self.operations(1);
        }
        if let Some(operations) = cut {
            self.operations(operations);
            self.cut();
            return;
        }
        assert_eq!(self.rig.settle(), [Finished::Defrag]);
        check(&self.rig.disk);
        assert_eq!(self.rig.bolt.stats().free_pages, 0);
    }

    fn step(&mut self, n: usize, step: &Step) {
        match step {
            Step::Commit => {
                self.begin_commit();
                self.settle();
                check(&self.rig.disk);
            }
            Step::Begin(operations) => {
                self.begin_commit();
                self.operations(*operations);
            }
            Step::Cut => self.cut(),
            Step::BeginImage => {
                let model = self.committing.as_ref().unwrap_or(&self.durable).clone();
                self.images.push((self.rig.bolt.begin_image(), model));
            }
            Step::EndImage => self.end_image(),
            Step::Defrag { slice, cut } => self.defrag(*slice, *cut),
            write => {
                let edits = edits(n, write);
                apply(&mut self.model, &edits);
                self.rig.write(edits);
            }
        }
        assert_eq!(self.rig.pairs(), flat(&self.model), "after step {n}, {step:?}");
        assert_eq!(self.rig.bolt.hash(), hash(&self.model), "after step {n}, {step:?}");
        for (bucket, key, value) in flat(&self.model).into_iter().skip(n).step_by(50) {
            assert_eq!(self.rig.bolt.get(bucket, &key).expect("a sound file"), Some(value));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn it_is_a_map_through_commits_cuts_images_and_defragmentation(
        config in config(), steps in prop::collection::vec(step(), 1..60),
    ) {
        let mut run = Run::new(config);
        steps.iter().enumerate().for_each(|(n, step)| run.step(n, step));
        run.begin_commit();
        run.settle();
        check(&run.rig.disk);
    }

    #[test]
    fn a_range_is_a_maps_range(
        config in config(), steps in prop::collection::vec(step(), 1..20), from in 0..500u16, to in 0..500u16, max in 0..50usize,
    ) {
        let mut run = Run::new(config);
        steps.iter().enumerate().for_each(|(n, step)| run.step(n, step));
        let (from, to) = (key(from), key(to));
        let mut found = Vec::new();
        let visit = &mut |key: &[u8], value: &Bytes| {
            found.push((Bucket::Key, Bytes::copy_from_slice(key), value.clone()));
            found.len() <= max
        };
        run.rig.bolt.range(Bucket::Key, &from, Some(&to), visit).expect("a sound file");
        let inside = |pair: &(Bucket, Bytes, Bytes)| pair.0 == Bucket::Key && from <= pair.1 && pair.1 < to;
        let expected: Vec<_> = flat(&run.model).into_iter().filter(inside).take(max + 1).collect();
        prop_assert_eq!(found, expected);
    }
}
