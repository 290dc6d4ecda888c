//! Compaction: forgetting the history before a revision (lesson 11).
//!
//! ```text
//!   entry applied     bucket meta: scheduledCompactRev = C      reads before C fail from now on, at every member alike
//!   slice by slice    bucket key: at most a batch of records    ascending; other work is served in between
//!   last slice        bucket meta: finishedCompactRev = C       in the transaction of the last removals
//! ```
//!
//! Of each key stays its newest revision up to C unless that is an older tombstone, and everything after C. So a slice needs no
//! set of what to keep: it walks the records up to C and asks the index about each one's key, which at the same time
//! drops from the index what nobody can read any more. Every key with something to drop has a record to be walked over,
//! so nothing ever has to go through the whole index at once.
//!
//! Both marks survive a crash. A scheduled mark without its finished one is a compaction to be resumed: it begins again
//! at the first record, and since the choice depends only on what is left of a key, it ends with the same records, and
//! the same hash, as one that was never interrupted. Members remove at their own pace and agree when they are done.
//!
//! A tombstone at exactly C stays until the next compaction, because a watch may start at C and has to hear of it. etcd
//! up to 3.5.15 and 3.4.33 dropped it (#18089). Hashes leave it out, so that members of both kinds agree.
//!
//! Left out: pausing between slices and deciding when to compact, which are the member's.

use super::hash::{self, SEED};
use super::{BackendError, Bucket, MvccError, Revision, Store, WriteTxn, record};
use crate::bug::Bug;
use crate::pb::etcdserverpb::CompactionResponse;
use bytes::Bytes;

/// The revision up to which history was promised away, as a 17-byte revision.
pub(super) const SCHEDULED: &[u8] = b"scheduledCompactRev";
/// The revision up to which it is gone.
pub(super) const FINISHED: &[u8] = b"finishedCompactRev";

/// A compaction that is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Compacted {
    /// The oldest revision that is still readable.
    pub revision: i64,
    /// Hash of the records up to `revision` that it left, to compare members by: what [`Store::hash_kv`] then gives for
    /// that revision. An interruption does not change it.
    pub hash: u32,
}

/// A compaction under way.
#[derive(Debug)]
pub(super) struct Compaction {
    revision: i64,
    /// The first record that the next slice looks at.
    next: Revision,
    /// Hash of the records that were kept so far; `None` if none is to be hashed yet.
    hash: Option<u32>,
}

impl Compaction {
    pub(super) fn new(revision: i64) -> Compaction {
        Compaction { revision, next: Revision { main: 0, sub: 0 }, hash: Some(SEED) }
    }

    /// The same, but it hashes only from the first record on that it removes.
    pub(super) fn remainder(revision: i64) -> Compaction {
        Compaction { hash: None, ..Compaction::new(revision) }
    }
}

impl WriteTxn<'_> {
    /// Schedules a compaction: from now on revisions before `revision` cannot be read. Records go in slices, later.
    pub fn compact(&mut self, revision: i64) -> Result<CompactionResponse, MvccError> {
        if self.store.compacted.is_some_and(|compacted| revision <= compacted) || revision < 0 {
            return Err(MvccError::Compacted);
        }
        if revision > self.revision() {
            return Err(MvccError::FutureRevision);
        }
        self.store.engine.put(Bucket::Meta, Bytes::from_static(SCHEDULED), mark(revision))?;
        self.store.compacted = Some(revision);
        self.store.compactions.push_back(Compaction::new(revision));
        Ok(CompactionResponse::default())
    }
}

impl Store {
    /// The oldest revision that is readable; 0 if the store was never compacted.
    pub fn compact_revision(&self) -> i64 {
        self.compacted.unwrap_or(0)
    }

    /// Whether records are still to be removed.
    pub fn compacting(&self) -> bool {
        !self.compactions.is_empty()
    }

    /// The revision before which the oldest unfinished compaction removes records.
    pub fn compacting_to(&self) -> Option<i64> {
        self.compactions.front().map(|compaction| compaction.revision)
    }

    /// Looks at the next batch of records of the oldest compaction that is scheduled and removes those that it does not
    /// keep, in a transaction of its own. Says so when it was the last batch.
    pub fn compact_slice(&mut self) -> Result<Option<Compacted>, BackendError> {
        let Some(compaction) = self.compactions.front_mut() else { return Ok(None) };
        // etcd #18089: a tombstone at the revision itself went, too. The versions that forgot the newest revision
        // (#17780) could do so because of it.
        let bugs = self.config.bugs;
        let keep_tombstone = !bugs.on(Bug::CompactDropsTombstone) && !bugs.on(Bug::CompactLosesLatestRev);
        let batch = self.config.compaction_batch.max(1);
        let (index, from) = (&mut self.index, compaction.next.to_bytes());
        let (mut seen, mut doomed) = (0, Vec::new());
        let look_at = |key: &[u8], value: &Bytes| -> Result<bool, BackendError> {
            let (at, tombstone) = record::known_revision(key)?;
            if at.main > compaction.revision {
                return Ok(false);
            }
            compaction.next = Revision { sub: at.sub + 1, ..at };
            let kv = record::known_value(key, Some(value.clone()))?;
            if index.compact(&kv.key, compaction.revision, keep_tombstone) != Some(at) {
                compaction.hash.get_or_insert(SEED);
                doomed.push(at.encode(tombstone));
            } else if let Some(hash) = compaction.hash.as_mut().filter(|_| !tombstone) {
                *hash = hash::append(*hash, key, value);
            }
            seen += 1;
            Ok(seen < batch)
        };
        record::visit(&*self.engine, &from, look_at)?;
        // A full batch may have been the last one: the next slice finds nothing and says so.
        let done =
            (seen < batch).then(|| Compacted { revision: compaction.revision, hash: compaction.hash.unwrap_or(SEED) });
        self.remove(&doomed, done)?;
        Ok(done)
    }

    fn remove(&mut self, doomed: &[Bytes], done: Option<Compacted>) -> Result<(), BackendError> {
        if doomed.is_empty() && done.is_none() {
            return Ok(());
        }
        self.counts.compacted += doomed.len() as u64;
        self.engine.begin();
        for key in doomed {
            self.engine.delete(Bucket::Key, key)?;
        }
        if let Some(done) = done {
            self.engine.put(Bucket::Meta, Bytes::from_static(FINISHED), mark(done.revision))?;
            self.compactions.pop_front();
        }
        self.engine.commit();
        Ok(())
    }
}

/// What the marks make of a store that is restored.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Marks {
    pub(super) scheduled: Option<i64>,
    pub(super) finished: Option<i64>,
}

impl Store {
    /// Takes up what the marks say: the revisions that exist although no record is left to show it (a compaction that
    /// removed the newest tombstones must not turn the clock back, etcd #17780), and the compaction to be resumed.
    pub(super) fn resume(&mut self, marks: Marks) {
        let Marks { mut scheduled, finished } = marks;
        self.revision = self.revision.max(finished.unwrap_or(0));
        if self.config.bugs.on(Bug::CompactLosesLatestRev) {
            // etcd #17780: the scheduled mark seems to lie in the future, and is ignored.
            scheduled = scheduled.filter(|&scheduled| scheduled <= self.revision);
        }
        self.revision = self.revision.max(scheduled.unwrap_or(0));
        self.compacted = scheduled.max(finished);
        if let Some(scheduled) = scheduled.filter(|_| scheduled > finished) {
            // etcd #15919: what was done before the interruption is not part of the hash.
            let remainder = self.config.bugs.on(Bug::InterruptedCompactHash);
            let compaction = if remainder { Compaction::remainder } else { Compaction::new };
            self.compactions.push_back(compaction(scheduled));
        }
    }
}

fn mark(revision: i64) -> Bytes {
    Revision { main: revision, sub: 0 }.encode(false)
}
