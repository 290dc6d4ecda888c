//! Restoring: the index from the engine's records, in chunks.
//!
//! The records of the bucket `key` are read in order of their revisions, which is the order in which they were made; so
//! the index is built by appending, and every record that does not fit what stands before it is found. What this lets
//! pass is what the rest of the store relies on: revisions leave room for further ones, values decode, each put goes on
//! where the one before it stopped.
//!
//! A store of a million keys takes long to restore. A chunk is bounded, and between two of them its owner can do
//! something else.

use super::compact::{FINISHED, Marks, SCHEDULED};
use super::key_index::Change;
use super::record::{self, UNBELIEVABLE, hex};
use super::{
    Applied, Bucket, CONSISTENT_INDEX, Counts, Engine, Index, RestoreError, Revision, Store, StoreConfig, TERM,
};
use crate::bug::Bug;
use crate::pb::mvccpb::KeyValueRef;
use std::collections::{BTreeSet, VecDeque};

/// A store in the making.
#[derive(Debug)]
pub struct Restoring {
    store: Store,
    /// The first key of the next chunk.
    from: Vec<u8>,
    /// The last record's revision.
    last: Revision,
    done: bool,
}

impl Restoring {
    /// Begins: says that everything will be read, and reads nothing yet.
    pub fn new(engine: Box<dyn Engine>, config: StoreConfig) -> Restoring {
        engine.will_read();
        Restoring {
            store: Store::new(engine, config),
            from: Vec::new(),
            last: Revision { main: 0, sub: 0 },
            done: false,
        }
    }

    /// Reads the next [`StoreConfig::restore_chunk`] records. `true` when none is left.
    pub fn step(&mut self) -> Result<bool, RestoreError> {
        self.step_with(&mut |_, _| ())
    }

    /// The same, and `see` is told each record in order, and whether it is a tombstone: leases learn from it which keys
    /// hang on them.
    pub fn step_with(&mut self, see: &mut dyn FnMut(&KeyValueRef<'_>, bool)) -> Result<bool, RestoreError> {
        if self.done {
            return Ok(true);
        }
        let Restoring { store, from, last, done } = self;
        let chunk = store.config.restore_chunk.max(1);
        let clobbers = store.config.bugs.on(Bug::ChunkRestoreClobbers);
        // etcd #19179: a tombstone that nothing stands before is passed over. That hid what the clobbering broke.
        let skips = clobbers || store.config.bugs.on(Bug::LoneTombstoneLost);
        // etcd #8127: a chunk does not know the generations that the chunks before it began. It replaces them, and what
        // ended one of them is passed over.
        let mut fresh = Index::default();
        let index = if clobbers { &mut fresh } else { &mut store.index };
        let (mut batch, mut seen, mut result) = (Batch::default(), 0, Ok(()));
        let start = std::mem::take(from);
        store.engine.range(Bucket::Key, &start, None, &mut |key, value| {
            result = batch.read(last, key, value, see);
            seen += 1;
            if seen == chunk {
                // The least key after this one.
                *from = [key, &[0]].concat();
            }
            if result.is_ok() && batch.changes.len() == BATCH {
                result = batch.add_to(index, skips);
            }
            result.is_ok() && seen < chunk
        })?;
        result?;
        batch.add_to(index, skips)?;
        store.index.overwrite(fresh);
        if seen < chunk {
            store.revision = store.revision.max(last.main);
            let (index, term) = (number(&*store.engine, CONSISTENT_INDEX)?, number(&*store.engine, TERM)?);
            store.applied = Applied { index, term };
            let (scheduled, finished) = (revision(&*store.engine, SCHEDULED)?, revision(&*store.engine, FINISHED)?);
            store.resume(Marks { scheduled, finished });
            *done = true;
        }
        Ok(*done)
    }

    /// The store.
    ///
    /// # Panics
    /// Before [`Restoring::step`] has said `true`.
    pub fn finish(self) -> Store {
        assert!(self.done, "invariant: a store is used once all its records are read");
        self.store
    }
}

impl Store {
    /// An empty store on an empty engine.
    pub fn new(engine: Box<dyn Engine>, config: StoreConfig) -> Store {
        let (index, compactions, counts) = (Index::default(), VecDeque::new(), Counts::default());
        Store { engine, index, revision: 1, compacted: None, compactions, applied: Applied::default(), config, counts }
    }

    /// The store that an engine's records make, in one go.
    pub fn restore(engine: Box<dyn Engine>, config: StoreConfig) -> Result<Store, RestoreError> {
        let mut restoring = Restoring::new(engine, config);
        while !restoring.step()? {}
        Ok(restoring.finish())
    }
}

/// Changes that were read and checked, and are added to the index together: as many as stay in a processor's cache.
#[derive(Debug, Default)]
struct Batch {
    /// The keys, one behind the other.
    keys: Vec<u8>,
    changes: Vec<Recorded>,
}

const BATCH: usize = 1_024;

#[derive(Debug)]
struct Recorded {
    /// Where its key ends.
    end: usize,
    at: Revision,
    /// The put; `None` for a tombstone.
    put: Option<Change>,
}

impl Recorded {
    fn broken(&self, expected: &'static str) -> RestoreError {
        RestoreError::Record { key: hex(&self.at.encode(self.put.is_none())), expected }
    }
}

impl Batch {
    fn read(
        &mut self,
        last: &mut Revision,
        key: &[u8],
        value: &[u8],
        see: &mut dyn FnMut(&KeyValueRef<'_>, bool),
    ) -> Result<(), RestoreError> {
        let broken = |expected| RestoreError::Record { key: hex(key), expected };
        let revision = "a revision: 8 bytes, '_', 8 bytes, and 't' for a tombstone";
        Revision::decode(key).ok_or_else(|| broken(revision))?;
        let room = "a revision from (1,0) on that leaves room for others";
        let (at, tombstone) = record::revision(key).ok_or_else(|| broken(room))?;
        if at <= *last {
            return Err(broken("a revision that no other record has"));
        }
        *last = at;
        let kv = KeyValueRef::decode(value).ok_or_else(|| broken("an mvccpb.KeyValue"))?;
        if !tombstone {
            if kv.mod_revision != at.main || !(1..=at.main).contains(&kv.create_revision) {
                return Err(broken("a key/value modified at the record's own revision and created no later"));
            }
            if !(1..UNBELIEVABLE).contains(&kv.version) {
                return Err(broken("a version from 1 on that leaves room for others"));
            }
        }
        see(&kv, tombstone);
        let put = (!tombstone).then_some(Change { at, create_revision: kv.create_revision, version: kv.version });
        self.keys.extend(kv.key);
        self.changes.push(Recorded { end: self.keys.len(), at, put });
        Ok(())
    }

    fn add_to(&mut self, index: &mut Index, skips: bool) -> Result<(), RestoreError> {
        if skips {
            self.skip_lone_tombstones(index);
        }
        let Batch { keys, changes } = self;
        index.restore(each(keys, changes), |i, key_index| {
            let added = match changes[i].put {
                Some(put) => key_index.restore(put),
                None => key_index.restore_tombstone(changes[i].at),
            };
            added.map_err(|expected| changes[i].broken(expected))
        })?;
        keys.clear();
        changes.clear();
        Ok(())
    }

    /// Drops tombstones of keys of which nothing else is known.
    fn skip_lone_tombstones(&mut self, index: &Index) {
        let Batch { keys, changes } = std::mem::take(self);
        let mut put = BTreeSet::new();
        for (key, change) in each(&keys, &changes).zip(&changes) {
            if change.put.is_some() {
                put.insert(key);
            }
            if put.contains(key) || index.contains(key) {
                self.keys.extend(key);
                self.changes.push(Recorded { end: self.keys.len(), ..*change });
            }
        }
    }
}

/// The key of each change.
fn each<'k>(keys: &'k [u8], changes: &'k [Recorded]) -> impl Iterator<Item = &'k [u8]> + Clone {
    let begins = std::iter::once(0).chain(changes.iter().map(|change| change.end));
    begins.zip(changes).map(|(begin, change)| &keys[begin..change.end])
}

fn number(engine: &dyn Engine, mark: &'static [u8]) -> Result<u64, RestoreError> {
    read(engine, mark, "8 bytes, big-endian", |bytes| Some(u64::from_be_bytes(bytes.try_into().ok()?)))
        .map(|number| number.unwrap_or(0))
}

fn revision(engine: &dyn Engine, mark: &'static [u8]) -> Result<Option<i64>, RestoreError> {
    read(engine, mark, "a revision of 17 bytes that leaves room for others", |bytes| {
        let (at, tombstone) = Revision::decode(bytes)?;
        (!tombstone && (0..UNBELIEVABLE).contains(&at.main)).then_some(at.main)
    })
}

fn read<T>(
    engine: &dyn Engine,
    mark: &'static [u8],
    expected: &'static str,
    decode: impl FnOnce(&[u8]) -> Option<T>,
) -> Result<Option<T>, RestoreError> {
    let Some(bytes) = engine.get(Bucket::Meta, mark)? else { return Ok(None) };
    let mark = std::str::from_utf8(mark).expect("invariant: marks have plain names");
    decode(&bytes).map(Some).ok_or_else(|| RestoreError::Mark { mark, expected, found: hex(&bytes) })
}
