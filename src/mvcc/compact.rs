//! Compaction: forgetting the history before a revision (lesson 11).

use super::{BackendError, MvccError, Store, WriteTxn};
use crate::pb::etcdserverpb::CompactionResponse;

/// A compaction that is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Compacted {
    /// The oldest revision that is still readable.
    pub revision: i64,
    /// Hash of the records that compaction looked at and kept, as etcd 3.5 keeps it to compare members by.
    pub hash: u32,
}

impl WriteTxn<'_> {
    /// Schedules a compaction: from now on revisions before `revision` cannot be read. Records go in slices, later.
    pub fn compact(&mut self, _revision: i64) -> Result<CompactionResponse, MvccError> {
        Ok(CompactionResponse::default())
    }
}

impl Store {
    /// The oldest revision that is readable; 0 if the store was never compacted.
    pub fn compact_revision(&self) -> i64 {
        0
    }

    /// Whether records are still to be removed.
    pub fn compacting(&self) -> bool {
        false
    }

    /// Removes a slice of records. Says so when it was the last one of a compaction.
    pub fn compact_slice(&mut self) -> Result<Option<Compacted>, BackendError> {
        Ok(None)
    }
}
