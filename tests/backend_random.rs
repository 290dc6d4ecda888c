//! Random operations against a `BTreeMap`, with commits that are out, images and new starts in between. Whatever
//! happens, the check finds nothing.

mod bolt_rig;

use bolt_rig::{Pairs, Rig, configs, view, view_pairs};
use bytes::Bytes;
use proptest::prelude::*;
use seedbed::backend::{Bucket, Engine as _, Image};

#[derive(Clone, Debug)]
enum Operation {
    Put(Bucket, Bytes, Bytes),
    Delete(Bucket, Bytes),
    /// Deletes all keys from one on, so that trees shrink.
    DeleteFrom(Bucket, Bytes, usize),
    CommitBatch,
    /// So many disk operations are done.
    Steps(usize),
    Commit,
    Reopen,
    Range(Bucket, Bytes, Option<Bytes>),
    BeginImage,
    EndImage(usize),
    Defrag,
}

fn key() -> impl Strategy<Value = Bytes> {
    prop_oneof![
        8 => (0..400u32).prop_map(|n| Bytes::from(format!("k{n:04}"))),
        1 => prop::collection::vec(any::<u8>(), 1..40).prop_map(Bytes::from),
        1 => (200..700usize, any::<u8>()).prop_map(|(len, byte)| Bytes::from(vec![byte; len])),
    ]
}

fn bucket() -> impl Strategy<Value = Bucket> {
    prop_oneof![4 => Just(Bucket::Key), 2 => prop::sample::select(Bucket::ALL.to_vec())]
}

fn operation() -> impl Strategy<Value = Operation> {
    let value = prop_oneof![6 => 0..60usize, 2 => 60..500usize, 1 => 500..6000usize];
    let value = (value, any::<u8>()).prop_map(|(len, byte)| Bytes::from(vec![byte; len]));
    prop_oneof![
        12 => (bucket(), key(), value).prop_map(|(bucket, key, value)| Operation::Put(bucket, key, value)),
        4 => (bucket(), key()).prop_map(|(bucket, key)| Operation::Delete(bucket, key)),
        1 => (bucket(), key(), 1..120usize).prop_map(|(bucket, key, n)| Operation::DeleteFrom(bucket, key, n)),
        3 => Just(Operation::CommitBatch),
        4 => (1..8usize).prop_map(Operation::Steps),
        2 => Just(Operation::Commit),
        1 => Just(Operation::Reopen),
        2 => (bucket(), key(), prop::option::of(key())).prop_map(|(bucket, from, to)| Operation::Range(bucket, from, to)),
        1 => Just(Operation::BeginImage),
        1 => any::<usize>().prop_map(Operation::EndImage),
        1 => Just(Operation::Defrag),
    ]
}

struct Run {
    rig: Rig,
    /// Everything, and what the tree of the last commit has.
    model: Pairs,
    taken: Pairs,
    images: Vec<(Image, Pairs)>,
}

impl Run {
    fn apply(&mut self, operation: &Operation) {
        match operation {
            Operation::Put(bucket, key, value) => self.write(*bucket, key, Some(value)),
            Operation::Delete(bucket, key) => self.write(*bucket, key, None),
            Operation::DeleteFrom(bucket, from, n) => {
                let from = (*bucket, from.clone());
                let keys: Vec<_> = self.model.range(from..).filter(|(at, _)| at.0 == *bucket).take(*n).collect();
                let keys: Vec<Bytes> = keys.into_iter().map(|((_, key), _)| key.clone()).collect();
                keys.iter().for_each(|key| self.write(*bucket, key, None));
            }
            Operation::CommitBatch if self.rig.bolt.committing() => {}
            Operation::CommitBatch => {
                self.rig.commit_batch();
                self.taken = self.model.clone();
                self.rig.check();
            }
            Operation::Steps(n) => {
                (0..*n).for_each(|_| {
                    self.rig.step();
                });
            }
            Operation::Defrag => self.defrag(),
            Operation::Commit => {
                self.rig.commit();
                self.taken = self.model.clone();
                self.rig.check();
                assert!(self.rig.pairs() == self.model);
            }
            Operation::Reopen => {
                self.images.clear();
                self.rig.reopen();
                self.model = self.taken.clone();
                self.rig.check();
                assert!(self.rig.pairs() == self.model, "what was not committed is gone, and nothing else");
            }
            Operation::Range(bucket, from, to) => self.range(*bucket, from, to.as_deref()),
            Operation::BeginImage => self.images.push((self.rig.bolt.begin_image(), self.taken.clone())),
            Operation::EndImage(_) if self.images.is_empty() => {}
            Operation::EndImage(n) => {
                let (image, pairs) = self.images.swap_remove(n % self.images.len());
                self.end_image(image, &pairs);
            }
        }
    }

    fn write(&mut self, bucket: Bucket, key: &Bytes, value: Option<&Bytes>) {
        self.rig.write(bucket, key, value.map(|value| &value[..]));
        match value {
            Some(value) => self.model.insert((bucket, key.clone()), value.clone()),
            None => self.model.remove(&(bucket, key.clone())),
        };
        assert_eq!(self.rig.bolt.get(bucket, key).unwrap().as_ref(), value);
    }

    fn range(&self, bucket: Bucket, from: &[u8], to: Option<&[u8]>) {
        let mut read = Vec::new();
        let visit = &mut |key: &[u8], value: &Bytes| {
            read.push((Bytes::copy_from_slice(key), value.clone()));
            true
        };
        self.rig.bolt.range(bucket, from, to, visit).unwrap();
        let inside = |key: &[u8]| key >= from && to.is_none_or(|to| key < to);
        let expected = self.model.iter().filter(|((at, key), _)| *at == bucket && inside(key));
        assert!(read.into_iter().eq(expected.map(|((_, key), value)| (key.clone(), value.clone()))));
    }

    fn defrag(&mut self) {
        // A dense file takes the name of the other when no image is read from that any more.
        for (image, pairs) in std::mem::take(&mut self.images) {
            self.end_image(image, &pairs);
        }
        self.apply(&Operation::Commit);
        self.rig.defrag();
        self.rig.check();
        assert!(self.rig.pairs() == self.model, "a dense file has the same pairs");
    }

    fn end_image(&mut self, mut image: Image, pairs: &Pairs) {
        let view = view(self.rig.image(&mut image)).unwrap();
        assert!(view_pairs(&view).unwrap() == *pairs, "an image stays what it was");
        self.rig.bolt.end_image(image);
    }

    fn end(mut self) {
        for (image, pairs) in std::mem::take(&mut self.images) {
            self.end_image(image, &pairs);
        }
        self.apply(&Operation::Commit);
        let hash = self.rig.bolt.hash();
        self.apply(&Operation::Reopen);
        assert_eq!(self.rig.bolt.hash(), hash);
        let findings = view(self.rig.bytes()).unwrap().check();
        assert!(findings.is_empty(), "{findings:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, max_shrink_iters: 2000, ..ProptestConfig::default() })]

    #[test]
    fn an_engine_is_an_ordered_map_that_survives(
        operations in prop::collection::vec(operation(), 1..250), small: bool, kind in 0..4usize,
    ) {
        let rig = Rig::new(configs(if small { 512 } else { 4096 })[kind]);
        let mut run = Run { rig, model: Pairs::new(), taken: Pairs::new(), images: Vec::new() };
        run.rig.settle();
        operations.iter().for_each(|operation| run.apply(operation));
        run.end();
    }
}
