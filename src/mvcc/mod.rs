//! Multi-version concurrency control (lesson 07): every change gets a revision, and no change overwrites another.
//!
//! ```text
//!   index (memory)                          engine, bucket "key" (what a snapshot carries)
//!   "k1" → (2,0) (5,0)                      00…02 _ 00…00    → KeyValue{k1, create 2, mod 2, version 1, …}
//!   "k2" → (3,0) (4,0)✝                     00…03 _ 00…00    → KeyValue{k2, create 3, mod 3, version 1, …}
//!                                           00…04 _ 00…00 t  → KeyValue{k2}        ✝ a tombstone: k2 was deleted
//!                                           00…05 _ 00…00    → KeyValue{k1, create 2, mod 5, version 2, …}
//! ```
//!
//! A revision is `(main, sub)`: `main` counts transactions that changed something (an empty store stands at 1, the
//! first change makes 2), `sub` counts the changes inside one. A read at revision `r` sees, for each key, its last
//! change with `main <= r`. `version` counts the changes of a key since it was last created.
//!
//! The index is rebuilt from the engine at start; nothing but the engine's pairs has to survive.
//!
//! Left out here: compaction, watch and leases, which have chapters (and files) of their own.

mod index;
mod read;
mod revision;
mod write;

pub use revision::Revision;
pub use write::WriteTxn;

use crate::backend::{Bucket, Engine, ImageError};
use crate::pb::mvccpb::KeyValue;
use bytes::Bytes;
use index::Index;
use prost::Message as _;

/// The store: an index in memory over records in an engine.
#[derive(Debug)]
pub struct Store {
    engine: Box<dyn Engine>,
    index: Index,
    /// Main revision of the last change.
    revision: i64,
}

/// Why a request cannot be served; the texts are etcd's, since clients match on them.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum MvccError {
    /// The revision asked for does not exist yet.
    #[error("etcdserver: mvcc: required revision is a future revision")]
    FutureRevision,
}

/// A store that cannot be rebuilt from its engine's records.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// The image is broken.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// A record's key is not a revision, or its value is not a key/value.
    #[error("bucket key, record {key}: expected {expected}")]
    Record {
        /// The record's key in hexadecimal.
        key: String,
        /// What should have stood there.
        expected: &'static str,
    },
    /// The mark of the last applied entry is missing or garbled.
    #[error("bucket meta: expected an 8-byte consistent_index")]
    ConsistentIndex,
}

/// Where the index of the last applied entry stands.
const CONSISTENT_INDEX: &[u8] = b"consistent_index";

impl Store {
    /// An empty store on an empty engine.
    pub fn new(engine: Box<dyn Engine>) -> Store {
        Store { engine, index: Index::default(), revision: 1 }
    }

    /// Replaces everything by the image that [`Store::snapshot`] made.
    pub fn restore(&mut self, image: &[u8]) -> Result<(), RestoreError> {
        self.engine.restore(image)?;
        let mut index = Index::default();
        let mut revision = 1;
        let mut broken = None;
        self.engine.range(Bucket::Key, &[], None, &mut |key, value| {
            match record(key, value) {
                Ok((at, kv)) => {
                    revision = revision.max(at.main);
                    index.append(&kv.key, at, kv.create_revision, kv.version);
                }
                Err(error) => broken = Some(error),
            }
            broken.is_none()
        });
        if let Some(error) = broken {
            return Err(error);
        }
        if self.engine.get(Bucket::Meta, CONSISTENT_INDEX).is_some_and(|mark| mark.len() != 8) {
            return Err(RestoreError::ConsistentIndex);
        }
        self.index = index;
        self.revision = revision;
        Ok(())
    }

    /// An image of the whole store.
    pub fn snapshot(&self) -> Bytes {
        self.engine.snapshot()
    }

    /// Main revision of the last change; 1 for a store that never changed.
    pub fn revision(&self) -> i64 {
        self.revision
    }

    /// Index of the last applied entry; 0 if none was.
    pub fn consistent_index(&self) -> u64 {
        let mark = self.engine.get(Bucket::Meta, CONSISTENT_INDEX);
        mark.map_or(0, |mark| u64::from_be_bytes(mark[..].try_into().expect("invariant: the mark has 8 bytes")))
    }

    /// A hash of every pair of every bucket, the consistent index among them: members that applied the same entries
    /// have the same.
    pub fn hash(&self) -> u64 {
        self.engine.hash()
    }

    /// Bytes of keys and values held by the engine.
    pub fn bytes(&self) -> u64 {
        self.engine.bytes()
    }

    /// Opens the transaction in which the entry `index` is applied. Whatever it changes, the consistent index is part
    /// of it.
    pub fn write(&mut self, index: u64) -> WriteTxn<'_> {
        WriteTxn::begin(self, index)
    }
}

fn record(key: &[u8], value: &Bytes) -> Result<(Revision, KeyValue), RestoreError> {
    let error = |expected| RestoreError::Record { key: key.iter().map(|b| format!("{b:02x}")).collect(), expected };
    let at =
        Revision::decode(key).ok_or_else(|| error("a revision: 8 bytes, '_', 8 bytes, and 't' for a tombstone"))?;
    let kv = KeyValue::decode(value.clone()).map_err(|_| error("an mvccpb.KeyValue"))?;
    Ok((at, kv))
}
