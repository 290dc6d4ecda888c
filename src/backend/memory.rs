//! The memory engine: one B-tree a bucket.
//!
//! Its image is, for each bucket in order: the number of pairs, then for each pair the lengths of key and value and
//! their bytes; every number a little-endian u64.

use super::{BackendError, Bucket, Engine, Finished, Image, ImageError, Stats, head};
use crate::disk::{FileName, OpId, OpSink};
use bytes::Bytes;
use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Bound;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// See the module.
#[derive(Debug, Default)]
pub struct Memory {
    buckets: [BTreeMap<Key, Bytes>; Bucket::ALL.len()],
    sum: Sum,
    in_transaction: bool,
}

/// A key. Its first eight bytes, as a number, decide nearly every comparison (of records by revision: all but those of
/// one transaction), and are at hand where the rest would have to be fetched.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    head: u64,
    bytes: Bytes,
}

impl From<Bytes> for Key {
    fn from(bytes: Bytes) -> Key {
        Key { head: head(&bytes), bytes }
    }
}

/// Heads order keys as their bytes do, so a search may look at the bytes alone.
impl Borrow<[u8]> for Key {
    fn borrow(&self) -> &[u8] {
        &self.bytes
    }
}

/// Of all pairs: order does not matter, and a change costs one pair, not a scan.
#[derive(Debug, Default)]
struct Sum {
    hash: u64,
    bytes: u64,
}

impl Sum {
    fn add(&mut self, bucket: Bucket, key: &[u8], value: &[u8]) {
        self.hash = self.hash.wrapping_add(pair_hash(bucket, key, value));
        self.bytes += (key.len() + value.len()) as u64;
    }

    fn subtract(&mut self, bucket: Bucket, key: &[u8], value: &[u8]) {
        self.hash = self.hash.wrapping_sub(pair_hash(bucket, key, value));
        self.bytes -= (key.len() + value.len()) as u64;
    }
}

impl Memory {
    /// An empty engine.
    pub fn new() -> Memory {
        Memory::default()
    }

    /// The engine that an image holds.
    pub fn from_image(image: &[u8]) -> Result<Memory, ImageError> {
        let mut fresh = Memory::new();
        let mut reader = ImageReader { image, offset: 0 };
        for bucket in Bucket::ALL {
            for _ in 0..reader.number("a count of pairs")? {
                let key_len = reader.number("a key's length")?;
                let value_len = reader.number("a value's length")?;
                let key = Bytes::copy_from_slice(reader.take(key_len, "a key")?);
                let value = Bytes::copy_from_slice(reader.take(value_len, "a value")?);
                fresh.set(bucket, key, value);
            }
        }
        if reader.offset != image.len() {
            return Err(ImageError { offset: reader.offset, expected: "the image's end" });
        }
        Ok(fresh)
    }

    fn set(&mut self, bucket: Bucket, key: Bytes, value: Bytes) {
        self.sum.add(bucket, &key, &value);
        match self.buckets[bucket as usize].entry(key.into()) {
            Entry::Vacant(place) => {
                place.insert(value);
            }
            Entry::Occupied(mut place) => {
                let old = place.insert(value);
                self.sum.subtract(bucket, &place.key().bytes, &old);
            }
        }
    }
}

impl Engine for Memory {
    fn begin(&mut self) {
        assert!(!self.in_transaction, "invariant: transactions do not nest");
        self.in_transaction = true;
    }

    fn put(&mut self, bucket: Bucket, key: Bytes, value: Bytes) -> Result<(), BackendError> {
        debug_assert!(self.in_transaction, "invariant: writes happen inside a transaction");
        self.set(bucket, key, value);
        Ok(())
    }

    fn delete(&mut self, bucket: Bucket, key: &[u8]) -> Result<(), BackendError> {
        debug_assert!(self.in_transaction, "invariant: writes happen inside a transaction");
        if let Some(old) = self.buckets[bucket as usize].remove(key) {
            self.sum.subtract(bucket, key, &old);
        }
        Ok(())
    }

    fn get(&self, bucket: Bucket, key: &[u8]) -> Result<Option<Bytes>, BackendError> {
        Ok(self.buckets[bucket as usize].get(key).cloned())
    }

    fn range(
        &self,
        bucket: Bucket,
        from: &[u8],
        to: Option<&[u8]>,
        visit: &mut dyn FnMut(&[u8], &Bytes) -> bool,
    ) -> Result<(), BackendError> {
        if to.is_some_and(|to| to <= from) {
            return Ok(());
        }
        let bounds = (Bound::Included(from), to.map_or(Bound::Unbounded, Bound::Excluded));
        for (key, value) in self.buckets[bucket as usize].range::<[u8], _>(bounds) {
            if !visit(&key.bytes, value) {
                break;
            }
        }
        Ok(())
    }

    fn commit(&mut self) {
        assert!(self.in_transaction, "invariant: only an open transaction is committed");
        self.in_transaction = false;
    }

    fn batched(&self) -> u64 {
        0
    }

    fn commit_batch(&mut self, _ops: &mut OpSink<'_>) -> Result<(), BackendError> {
        Ok(())
    }

    fn committing(&self) -> bool {
        false
    }

    fn op_done(&mut self, _op: OpId, _ops: &mut OpSink<'_>) -> Result<Finished, BackendError> {
        Ok(Finished::Nothing)
    }

    fn begin_image(&mut self) -> Image {
        let mut image = Vec::with_capacity(self.sum.bytes as usize + 64);
        for bucket in &self.buckets {
            image.extend((bucket.len() as u64).to_le_bytes());
            for (key, value) in bucket {
                image.extend((key.bytes.len() as u64).to_le_bytes());
                image.extend((value.len() as u64).to_le_bytes());
                image.extend(&key.bytes[..]);
                image.extend(&value[..]);
            }
        }
        Image { size: image.len() as u64, offset: 0, pin: 0, whole: image.into() }
    }

    fn image_chunk(&self, image: &mut Image, max: usize) -> Result<Option<Bytes>, BackendError> {
        if image.whole.is_empty() {
            return Ok(None);
        }
        let chunk = image.whole.split_to(max.min(image.whole.len()));
        image.offset += chunk.len() as u64;
        Ok(Some(chunk))
    }

    fn end_image(&mut self, _image: Image) {}

    fn begin_defrag(&mut self, _ops: &mut OpSink<'_>) -> Result<(), BackendError> {
        Ok(())
    }

    fn defrag_slice(&mut self, _max: usize, _ops: &mut OpSink<'_>) -> Result<bool, BackendError> {
        Ok(true)
    }

    fn renamed(&mut self, _to: FileName) {}

    fn abandon_defrag(&mut self, _ops: &mut OpSink<'_>) {}

    fn hash(&self) -> Option<u64> {
        Some(self.sum.hash)
    }

    fn stats(&self) -> Stats {
        let bytes = self.sum.bytes;
        Stats { size: bytes, in_use: bytes, pairs: bytes, memory: bytes, ..Stats::default() }
    }
}

/// A pair's part of an engine's hash; the parts are added up, so that their order does not matter.
pub(super) fn pair_hash(bucket: Bucket, key: &[u8], value: &[u8]) -> u64 {
    xxh3_64_with_seed(value, xxh3_64_with_seed(key, bucket as u64))
}

struct ImageReader<'a> {
    image: &'a [u8],
    offset: usize,
}

impl<'a> ImageReader<'a> {
    fn take(&mut self, len: u64, expected: &'static str) -> Result<&'a [u8], ImageError> {
        let rest = &self.image[self.offset..];
        let error = ImageError { offset: self.offset, expected };
        let len = usize::try_from(len).map_err(|_| error.clone())?;
        let taken = rest.get(..len).ok_or(error)?;
        self.offset += len;
        Ok(taken)
    }

    fn number(&mut self, expected: &'static str) -> Result<u64, ImageError> {
        let bytes = self.take(8, expected)?;
        Ok(u64::from_le_bytes(bytes.try_into().expect("invariant: eight bytes were taken")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn filled(pairs: &[(Vec<u8>, Vec<u8>)]) -> Memory {
        let mut engine = Memory::new();
        engine.begin();
        for (key, value) in pairs {
            engine.put(Bucket::Key, Bytes::copy_from_slice(key), Bytes::copy_from_slice(value)).unwrap();
        }
        engine.commit();
        engine
    }

    fn image(engine: &mut Memory) -> Bytes {
        let mut image = engine.begin_image();
        let mut all = Vec::new();
        while let Some(chunk) = engine.image_chunk(&mut image, 100).unwrap() {
            all.extend(chunk);
        }
        all.into()
    }

    proptest! {
        #[test]
        fn an_image_restores_the_same_pairs_and_hash(pairs: Vec<(Vec<u8>, Vec<u8>)>) {
            let mut engine = filled(&pairs);
            let other = Memory::from_image(&image(&mut engine)).unwrap();
            prop_assert_eq!(engine.hash(), other.hash());
            prop_assert_eq!(engine.stats(), other.stats());
            prop_assert_eq!(&engine.buckets, &other.buckets);
        }

        #[test]
        fn a_cut_image_is_refused(pairs: Vec<(Vec<u8>, Vec<u8>)>, cut: prop::sample::Index) {
            let image = image(&mut filled(&pairs));
            prop_assert!(Memory::from_image(&image[..cut.index(image.len())]).is_err());
        }
    }

    proptest! {
        #[test]
        fn heads_order_keys_as_their_bytes_do(
            a in prop::collection::vec(prop::sample::select(vec![0, 1, 255]), 0..10),
            b in prop::collection::vec(prop::sample::select(vec![0, 1, 255]), 0..10),
        ) {
            let key = |bytes: &[u8]| Key::from(Bytes::copy_from_slice(bytes));
            prop_assert_eq!(key(&a).cmp(&key(&b)), a.cmp(&b));
        }
    }

    #[test]
    fn the_hash_forgets_what_was_overwritten_or_deleted() {
        let mut engine = filled(&[(b"a".to_vec(), b"1".to_vec()), (b"b".to_vec(), b"2".to_vec())]);
        engine.begin();
        engine.put(Bucket::Key, Bytes::from_static(b"a"), Bytes::from_static(b"3")).unwrap();
        engine.delete(Bucket::Key, b"b").unwrap();
        engine.commit();
        assert_eq!(engine.hash(), filled(&[(b"a".to_vec(), b"3".to_vec())]).hash());
    }
}
