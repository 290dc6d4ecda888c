//! The engine does what a map does, whatever is written, read, committed, started anew or cut off, and the check finds
//! nothing.

use crate::rig::{DB, Pairs, Rig, view, view_pairs};
use bytes::Bytes;
use proptest::prelude::*;
use seedbed::backend::{BoltConfig, Bucket, Engine, Finished, FreelistKind, Image, Memory};
use std::mem;

#[derive(Clone, Debug)]
enum Step {
    Put {
        bucket: Bucket,
        key: Bytes,
        bytes: usize,
    },
    Delete {
        bucket: Bucket,
        key: Bytes,
    },
    PutRun {
        bucket: Bucket,
        from: u16,
        keys: u16,
        bytes: usize,
    },
    /// Deletes so many keys, the first of those that are not below one, so that trees shrink.
    DeleteRun {
        bucket: Bucket,
        from: Bytes,
        keys: usize,
    },
    /// Reads no more than so many pairs.
    Range {
        bucket: Bucket,
        from: Bytes,
        to: Option<Bytes>,
        max: usize,
    },
    Commit,
    /// Begins a commit and does only so many operations of it before going on.
    Begin(usize),
    /// Does so many operations of what is out.
    Operations(usize),
    Cut,
    /// A new start after everything that is out is done.
    Restart,
    BeginImage,
    EndImage(usize),
    /// May be cut off after so many operations behind the last slice.
    Defrag {
        slice: usize,
        cut: Option<usize>,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let bytes = prop_oneof![8 => 0..100usize, 3 => 100..600usize, 1 => 600..6000usize];
    prop_oneof![
        8 => (bucket(), key(), bytes.clone()).prop_map(|(bucket, key, bytes)| Step::Put { bucket, key, bytes }),
        4 => (bucket(), key()).prop_map(|(bucket, key)| Step::Delete { bucket, key }),
        4 => (bucket(), 0..400u16, 1..100u16, bytes)
            .prop_map(|(bucket, from, keys, bytes)| Step::PutRun { bucket, from, keys, bytes }),
        1 => (bucket(), key(), 1..120usize).prop_map(|(bucket, from, keys)| Step::DeleteRun { bucket, from, keys }),
        2 => (bucket(), key(), prop::option::of(key()), prop_oneof![0..50usize, Just(usize::MAX)])
            .prop_map(|(bucket, from, to, max)| Step::Range { bucket, from, to, max }),
        4 => Just(Step::Commit),
        4 => (0..6usize).prop_map(Step::Begin),
        3 => (1..8usize).prop_map(Step::Operations),
        2 => Just(Step::Cut),
        1 => Just(Step::Restart),
        2 => Just(Step::BeginImage),
        2 => any::<usize>().prop_map(Step::EndImage),
        1 => (1..5000usize, prop::option::of(0..9usize)).prop_map(|(slice, cut)| Step::Defrag { slice, cut }),
    ]
}

/// Most lie in one bucket, so that its tree is deep.
fn bucket() -> impl Strategy<Value = Bucket> {
    prop_oneof![2 => Just(Bucket::Key), 1 => prop::sample::select(Bucket::ALL.to_vec())]
}

fn key() -> impl Strategy<Value = Bytes> {
    prop_oneof![
        8 => (0..500u16).prop_map(numbered),
        1 => prop::collection::vec(any::<u8>(), 1..40).prop_map(Bytes::from),
        1 => (200..700usize, any::<u8>()).prop_map(|(bytes, byte)| Bytes::from(vec![byte; bytes])),
    ]
}

fn numbered(n: u16) -> Bytes {
    format!("key-{n:05}").into()
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

/// A value that tells which step wrote it.
fn value(step: usize, bytes: usize) -> Bytes {
    format!("{step:>bytes$}").into()
}

fn hash(model: &Pairs) -> Option<u64> {
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
    model: Pairs,
    /// What the last durable commit holds, and the one that is out.
    durable: Pairs,
    committing: Option<Pairs>,
    images: Vec<(Image, Pairs)>,
}

impl Run {
    fn new(config: BoltConfig) -> Run {
        let rig = Rig::creating(config);
        Run { rig, model: Pairs::new(), durable: Pairs::new(), committing: None, images: Vec::new() }
    }

    fn write(&mut self, edits: Vec<(Bucket, Bytes, Option<Bytes>)>) {
        for (bucket, key, value) in edits.iter().cloned() {
            match value {
                Some(value) => self.model.insert((bucket, key), value),
                None => self.model.remove(&(bucket, key)),
            };
        }
        self.rig.write(edits.iter().cloned());
        for (bucket, key, value) in edits {
            assert_eq!(self.rig.bolt.get(bucket, &key).expect("a sound file"), value, "{key:?}");
        }
    }

    fn range(&self, bucket: Bucket, from: &[u8], to: Option<&[u8]>, max: usize) {
        let mut found = Vec::new();
        let visit = &mut |key: &[u8], value: &Bytes| {
            found.push((Bytes::copy_from_slice(key), value.clone()));
            found.len() <= max
        };
        self.rig.bolt.range(bucket, from, to, visit).expect("a sound file");
        let inside = |key: &[u8]| from <= key && to.is_none_or(|to| key < to);
        let expected = self.model.iter().filter(|((at, key), _)| *at == bucket && inside(key));
        let expected: Vec<_> = expected.map(|((_, key), value)| (key.clone(), value.clone())).collect();
        assert_eq!(found, expected[..expected.len().min(max.saturating_add(1))]);
    }

    fn operations(&mut self, count: usize) {
        for _ in 0..count {
            if self.rig.step() == Some(Finished::Commit) {
                self.durable = self.committing.take().expect("a commit was out");
            }
        }
    }

    fn settle(&mut self) {
        while !self.rig.out.is_empty() {
            self.operations(1);
        }
        assert!(self.committing.is_none());
    }

    fn begin_commit(&mut self) {
        if self.committing.is_some() {
            self.settle();
        }
        if self.rig.bolt.batched() > 0 {
            self.committing = Some(self.model.clone());
            self.rig.begin_commit();
            self.rig.check();
        }
    }

    fn commit(&mut self) {
        self.begin_commit();
        self.settle();
        self.rig.check();
        self.rig.check_file();
    }

    /// The power goes: what was asked for and not done is lost, and so is what was never asked for.
    fn cut(&mut self) {
        self.images.clear();
        if self.rig.disk.get().file(DB).is_err() {
            *self = Run::new(self.rig.config);
            return;
        }
        self.rig.restart();
        let found = self.rig.pairs();
        let after = self.committing.take().filter(|committing| found == *committing);
        self.durable = after.unwrap_or_else(|| mem::take(&mut self.durable));
        assert_eq!(found, self.durable, "the tree before the cut commit, or after");
        self.model = self.durable.clone();
        self.rig.check();
        self.rig.check_file();
    }

    /// An image stays what it was, for who inspects it and for who starts from it.
    fn end_image(&mut self, at: usize) {
        let (mut image, model) = self.images.swap_remove(at);
        let bytes = self.rig.read(&mut image, 3000);
        let inspected = view(bytes.clone()).expect("an image is a file");
        assert_eq!(view_pairs(&inspected).expect("an image is sound"), model);
        assert_eq!(Rig::open(bytes, self.rig.config).expect("an image is a file").pairs(), model);
        self.rig.bolt.end_image(image);
    }

    fn defrag(&mut self, slice: usize, cut: Option<usize>) {
        self.commit();
        // A dense file takes the name of the other when no image is read from that any more.
        while !self.images.is_empty() {
            self.end_image(0);
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
        self.rig.check();
        self.rig.check_file();
        assert_eq!(self.rig.bolt.stats().free_pages, 0);
    }

    fn step(&mut self, n: usize, step: &Step) {
        match step {
            Step::Put { bucket, key, bytes } => self.write(vec![(*bucket, key.clone(), Some(value(n, *bytes)))]),
            Step::Delete { bucket, key } => self.write(vec![(*bucket, key.clone(), None)]),
            Step::PutRun { bucket, from, keys, bytes } => {
                let put = |k| (*bucket, numbered(k), Some(value(n, *bytes)));
                self.write((*from..from + keys).map(put).collect());
            }
            Step::DeleteRun { bucket, from, keys } => {
                let above = self.model.range((*bucket, from.clone())..).map(|(at, _)| at).filter(|at| at.0 == *bucket);
                let edits = above.take(*keys).map(|(bucket, key)| (*bucket, key.clone(), None)).collect();
                self.write(edits);
            }
            Step::Range { bucket, from, to, max } => self.range(*bucket, from, to.as_deref(), *max),
            Step::Commit => self.commit(),
            Step::Begin(operations) => {
                self.begin_commit();
                self.operations(*operations);
            }
            Step::Operations(operations) => self.operations(*operations),
            Step::Cut => self.cut(),
            Step::Restart => {
                self.settle();
                self.cut();
            }
            Step::BeginImage => {
                let model = self.committing.as_ref().unwrap_or(&self.durable).clone();
                self.images.push((self.rig.bolt.begin_image(), model));
            }
            Step::EndImage(_) if self.images.is_empty() => {}
            Step::EndImage(at) => self.end_image(at % self.images.len()),
            Step::Defrag { slice, cut } => self.defrag(*slice, *cut),
        }
        assert_eq!(self.rig.pairs(), self.model, "after step {n}, {step:?}");
        assert_eq!(self.rig.bolt.hash(), hash(&self.model), "after step {n}, {step:?}");
    }

    fn end(&mut self) {
        while !self.images.is_empty() {
            self.end_image(0);
        }
        self.commit();
        let hash = self.rig.bolt.hash();
        self.cut();
        assert_eq!(self.rig.bolt.hash(), hash);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, max_shrink_iters: 2000, ..ProptestConfig::default() })]

    #[test]
    fn it_is_a_map_through_commits_cuts_images_and_defragmentation(
        config in config(), steps in prop::collection::vec(step(), 1..120),
    ) {
        let mut run = Run::new(config);
        steps.iter().enumerate().for_each(|(n, step)| run.step(n, step));
        run.end();
    }
}
