//! HashKV: a hash of what can be read at a revision, to compare members by (lesson 12).
//!
//! CRC-32C over the word `key`, then over key and value of each record up to the revision asked for, in order. Members
//! compact at their own pace, so what compaction takes away (or has yet to) must not show: of the records up to the
//! compact revision only those count that are a key's newest at the revision asked for, tombstones aside. etcd has one
//! exception to that, and since its hashes are compared with these, so has this: if no key lives at the revision asked
//! for, then every record counts that compaction leaves.
//!
//! A hash reads every record, so it runs in steps. What is written between them has later revisions and does not matter;
//! a compaction that is scheduled between them does, and the job begins again.

use super::{BackendError, MvccError, Revision, Store, record};
use crate::backend::Bucket;
use bytes::Bytes;

/// The hash of no record: CRC-32C of `key`, the bucket's name.
pub(super) const SEED: u32 = 0x40a4_756d;

/// Carries a hash on over a record.
pub(super) fn append(hash: u32, key: &[u8], value: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c_append(hash, key), value)
}

/// A hash by revision, with what one must know to compare it: two are comparable if both revisions agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HashKv {
    /// CRC-32C, see the module.
    pub hash: u32,
    /// The compact revision when it was computed; -1 for a store that was never compacted.
    pub compact_revision: i64,
    /// The revision whose state was hashed.
    pub revision: i64,
}

/// A hash in the making.
#[derive(Debug)]
pub struct HashJob {
    revision: i64,
    /// The store's compact revision when the job began.
    compacted: Option<i64>,
    /// Whether no key lives at the revision: etcd's exception.
    deserted: bool,
    /// The first record that the next step looks at.
    next: Revision,
    hash: u32,
}

impl HashJob {
    /// Begins to hash the state at main revision `revision`; 0 (or less) means the current one. The compact revision
    /// itself can be hashed, as it can be read; etcd's HashKV refuses it.
    pub fn new(store: &Store, revision: i64) -> Result<HashJob, MvccError> {
        let revision = if revision > 0 { revision } else { store.revision };
        if revision < store.compact_revision() {
            return Err(MvccError::Compacted);
        }
        if revision > store.revision {
            return Err(MvccError::FutureRevision);
        }
        let deserted = store.index.range(&[], None, revision).next().is_none();
        Ok(HashJob { revision, compacted: store.compacted, deserted, next: Revision { main: 0, sub: 0 }, hash: SEED })
    }

    /// Looks at the next `max_records` records. The hash, once there are no more.
    pub fn step(&mut self, store: &Store, max_records: usize) -> Result<Option<HashKv>, MvccError> {
        if self.compacted != store.compacted {
            *self = HashJob::new(store, self.revision)?;
        }
        let from = self.next.to_bytes();
        let mut seen = 0;
        record::visit(&*store.engine, &from, |key, value| {
            let (at, _) = record::known_revision(key)?;
            if at.main > self.revision {
                return Ok(false);
            }
            self.next = Revision { sub: at.sub + 1, ..at };
            if self.counts(store, at, key, value)? {
                self.hash = append(self.hash, key, value);
            }
            seen += 1;
            Ok(seen < max_records.max(1))
        })?;
        let done = seen < max_records.max(1);
        let compact_revision = self.compacted.unwrap_or(-1);
        Ok(done.then_some(HashKv { hash: self.hash, compact_revision, revision: self.revision }))
    }

    fn counts(&self, store: &Store, at: Revision, key: &[u8], value: &Bytes) -> Result<bool, BackendError> {
        let Some(compacted) = self.compacted.filter(|&compacted| at.main <= compacted) else { return Ok(true) };
        let kv = record::known_value(key, Some(value.clone()))?;
        let seen_at = if self.deserted { compacted } else { self.revision };
        Ok(store.index.get(&kv.key, seen_at).is_some_and(|newest| newest.at == at))
    }
}

impl Store {
    /// The hash of the state at main revision `revision`, in one go; 0 means the current one.
    pub fn hash_kv(&self, revision: i64) -> Result<HashKv, MvccError> {
        let mut job = HashJob::new(self, revision)?;
        let done = job.step(self, usize::MAX)?;
        Ok(done.expect("invariant: no store holds that many records"))
    }
}

impl Store {
    /// The hash of everything, as etcd's Maintenance.Hash makes it: CRC-32C over each bucket's name and its pairs, in
    /// order; but for how far was applied, which members do at their own pace. Compaction shows in it.
    pub fn hash_all(&self) -> Result<u32, BackendError> {
        let mut hash = 0;
        for bucket in Bucket::ALL {
            hash = crc32c::crc32c_append(hash, bucket.name().as_bytes());
            self.engine.range(bucket, &[], None, &mut |key, value| {
                let is_mark = bucket == Bucket::Meta && matches!(key, b"consistent_index" | b"term");
                if !is_mark {
                    hash = append(hash, key, value);
                }
                true
            })?;
        }
        Ok(hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seed_is_the_hash_of_the_buckets_name() {
        assert_eq!(SEED, crc32c::crc32c(Bucket::Key.name().as_bytes()));
    }
}
