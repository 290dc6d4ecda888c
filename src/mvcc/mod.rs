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
//! [`index`] says when keys changed (`keys` finds one, `order` has them in order, `key_index` is one key's history), `read`
//! and `write` serve requests from `record`s, `compact` forgets, `restore` begins again from an engine's records, `hash`
//! compares members. `events` reads records as history, and [`watch`] tells it to those who asked.
//!
//! Left out here: leases, which have a chapter (and files) of their own.

mod compact;
mod counts;
mod events;
mod hash;
mod heads;
pub mod index;
mod key_index;
mod keys;
mod order;
mod read;
mod record;
mod restore;
mod revision;
pub mod watch;
mod write;

pub use compact::Compacted;
pub use counts::Counts;
pub use hash::{HashJob, HashKv};
pub use read::RangeJob;
pub use restore::Restoring;
pub use revision::Revision;
pub use write::{WriteTxn, Written};

use crate::backend::{BackendError, Bucket, Engine, Record};
use crate::bug::BugSet;
use crate::pb::mvccpb::KeyValue;
use bytes::Bytes;
use compact::Compaction;
use index::Index;
use std::collections::VecDeque;

/// The store: an index in memory over records in an engine.
#[derive(Debug)]
pub struct Store {
    engine: Box<dyn Engine>,
    index: Index,
    /// Main revision of the last change.
    revision: i64,
    /// The oldest readable revision; `None` before the first compaction.
    compacted: Option<i64>,
    /// Compactions that still have records to remove, oldest first.
    compactions: VecDeque<Compaction>,
    applied: Applied,
    config: StoreConfig,
    counts: Counts,
}

/// The last applied entry, as it stands in the bucket `meta`. Zeros: none was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Applied {
    /// Its index.
    pub index: u64,
    /// Its term; 0 too where an etcd 3.4 wrote the file.
    pub term: u64,
}

/// Settings of a store; defaults are etcd's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreConfig {
    /// Records that one slice of an index restore reads (etcd: 10,000).
    pub restore_chunk: usize,
    /// Records that one slice of a compaction looks at (etcd: 1,000).
    pub compaction_batch: usize,
    /// Historical bugs that are switched on.
    pub bugs: BugSet,
}

impl Default for StoreConfig {
    fn default() -> StoreConfig {
        StoreConfig { restore_chunk: 10_000, compaction_batch: 1_000, bugs: BugSet::NONE }
    }
}

/// Why a request cannot be served; the texts are etcd's, since clients match on them.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum MvccError {
    /// The revision asked for does not exist yet.
    #[error("etcdserver: mvcc: required revision is a future revision")]
    FutureRevision,
    /// The revision asked for is gone.
    #[error("etcdserver: mvcc: required revision has been compacted")]
    Compacted,
    /// A put keeps the value or the lease of a key that does not exist.
    #[error("etcdserver: key not found")]
    KeyNotFound,
    /// A put names a lease that does not exist.
    #[error("etcdserver: requested lease not found")]
    LeaseNotFound,
    /// The engine failed; the member must stop.
    #[error(transparent)]
    Backend(#[from] BackendError),
}

/// A store that cannot be rebuilt from its engine's records.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// The engine failed.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// A record's key is not a revision, its value is not a key/value, or it does not go on where the key's records
    /// before it stopped.
    #[error("bucket key, record {key}: expected {expected}; {ADVICE}")]
    Record {
        /// The record's key in hexadecimal.
        key: String,
        /// What should have stood there.
        expected: &'static str,
    },
    /// A mark is garbled.
    #[error("bucket meta: expected {expected} as {mark}, found {found}; {ADVICE}")]
    Mark {
        /// Which.
        mark: &'static str,
        /// What should stand there.
        expected: &'static str,
        /// What does, in hexadecimal.
        found: String,
    },
}

const ADVICE: &str = "the database is damaged: restore it from a snapshot, or remove this member from the cluster, \
                      empty its directory and add it anew";

/// Where the index of the last applied entry stands, u64 big-endian.
const CONSISTENT_INDEX: &[u8] = b"consistent_index";
/// Where its term stands, u64 big-endian (as etcd 3.5 has it; 3.4 does not mind).
const TERM: &[u8] = b"term";

impl Store {
    /// The engine below.
    pub fn engine(&self) -> &dyn Engine {
        &*self.engine
    }

    /// The engine below, to make its batch durable, to image it, to defragment it.
    pub fn engine_mut(&mut self) -> &mut dyn Engine {
        &mut *self.engine
    }

    /// Main revision of the last change; 1 for a store that never changed.
    pub fn revision(&self) -> i64 {
        self.revision
    }

    /// Index of the last applied entry; 0 if none was.
    pub fn consistent_index(&self) -> u64 {
        self.applied.index
    }

    /// The last applied entry.
    pub fn applied(&self) -> Applied {
        self.applied
    }

    /// The historical bugs that are switched on.
    pub fn bugs(&self) -> BugSet {
        self.config.bugs
    }

    /// Writes the marks of the last applied entry by themselves. Only the historical bugs do that: elsewhere they are
    /// part of the transaction that applies the entry.
    pub fn write_marks(&mut self, applied: Applied) -> Result<(), BackendError> {
        self.engine.begin();
        let written = self.put_marks(applied);
        self.engine.commit();
        written
    }

    /// The marks of the last applied entry as they stand in the engine.
    pub fn marks(&self) -> Result<Vec<Record>, BackendError> {
        let record = |mark| {
            let value = self.engine.get(Bucket::Meta, mark)?;
            Ok(Record { bucket: Bucket::Meta, key: Bytes::from_static(mark), value })
        };
        [CONSISTENT_INDEX, TERM].into_iter().map(record).collect()
    }

    fn put_marks(&mut self, Applied { index, term }: Applied) -> Result<(), BackendError> {
        let mut put = |mark, number: u64| {
            self.engine.put(Bucket::Meta, Bytes::from_static(mark), Bytes::copy_from_slice(&number.to_be_bytes()))
        };
        put(CONSISTENT_INDEX, index)?;
        if term != self.applied.term { put(TERM, term) } else { Ok(()) }
    }

    /// A hash of every pair of every bucket, the consistent index among them: members that applied the same entries
    /// have the same. `None` while a compaction removes records, which each member does at its own pace, and if a page cannot be
    /// read.
    pub fn hash(&self) -> Option<u64> {
        (!self.compacting()).then(|| self.engine.hash()).flatten()
    }

    /// Opens the transaction in which `entry` is applied. Whatever it changes, the consistent index
    /// is part of it.
    pub fn write(&mut self, entry: Applied) -> Result<WriteTxn<'_>, BackendError> {
        self.engine.begin();
        // The consistent index goes with the changes that it vouches for, in the same transaction: split, and a crash
        // between them skips an entry or applies it twice (etcd #13766, #11651).
        self.put_marks(entry)?;
        Ok(WriteTxn::begin(self, entry))
    }

    /// The same without the marks. Only historical bugs do that: what the entry changes becomes durable, that it was
    /// applied does not.
    pub fn write_unmarked(&mut self, entry: Applied) -> WriteTxn<'_> {
        self.engine.begin();
        WriteTxn::begin(self, entry)
    }
}

#[cfg(test)]
mod tests {
    //! Reading etcd's own tables, where they are at hand: the folder `tables` in the one that `SEEDBED_PEERS` names
    //! (`../shared/peers` if it is not set).

    use super::Revision;
    use serde_json::Value;
    use std::path::PathBuf;

    /// The rows of a table; none, and a word about it, if it is not there.
    pub(super) fn table(name: &str) -> Vec<Value> {
        let beside = || concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/peers").into();
        let peers: PathBuf = std::env::var_os("SEEDBED_PEERS").unwrap_or_else(beside).into();
        let path = peers.join("tables").join(name).with_extension("jsonl");
        let Ok(text) = std::fs::read_to_string(&path) else {
            println!("skipped: no {} (SEEDBED_PEERS names another folder)", path.display());
            return Vec::new();
        };
        let rows = text.lines().filter(|line| !line.trim().is_empty());
        rows.map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{name}: {error}: {line}"))).collect()
    }

    /// A number; 0 if the column is absent.
    pub(super) fn number(row: &Value, column: &str) -> i64 {
        row[column].as_i64().unwrap_or(0)
    }

    /// Bytes; `None` if the column is absent.
    pub(super) fn bytes(value: &Value) -> Option<Vec<u8>> {
        let text = value.get("bytes")?.as_str().expect("bytes are hexadecimal");
        let pairs = (0..text.len()).step_by(2).map(|n| u8::from_str_radix(&text[n..n + 2], 16));
        Some(pairs.collect::<Result<_, _>>().expect("bytes are hexadecimal"))
    }

    pub(super) fn revision(value: &Value) -> Revision {
        Revision { main: number(value, "Main"), sub: number(value, "Sub") }
    }

    /// Revisions; none if the column is absent.
    pub(super) fn revisions(value: &Value) -> Vec<Revision> {
        value.as_array().into_iter().flatten().map(revision).collect()
    }
}
