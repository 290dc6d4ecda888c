//! The hasher: keys at a revision are hashed slice by slice, between which everything else goes on (lesson 12).
//!
//! What is written meanwhile has later revisions and does not matter; a compaction that is scheduled meanwhile does, and
//! the hash begins again from the first record.

use super::{Effects, Member, StopReason};
use crate::api::{Error, RequestId, Response};
use crate::mvcc::{HashJob, HashKv, MvccError};
use crate::pb::etcdserverpb::HashKvResponse;
use crate::time::{Nanos, Now};
use std::collections::VecDeque;

/// Records that one slice looks at.
const SLICE: usize = 1_000;

#[derive(Debug, Default)]
pub(super) struct Hasher {
    /// Who asked, in their order, for which revision; the first one's hash is being made.
    asked: VecDeque<(RequestId, i64)>,
    job: Option<HashJob>,
    /// When the next slice may begin.
    next_at: Nanos,
}

impl Member {
    pub(super) fn hasher_wakes_at(&self) -> Nanos {
        if self.hasher.asked.is_empty() || self.store_is_closed() { Nanos::MAX } else { self.hasher.next_at }
    }

    pub(super) fn on_hash_kv(&mut self, now: Now, id: RequestId, revision: i64, fx: &mut Effects) {
        // A revision that is named must be above the compacted one; that itself etcd does not hash.
        if revision > 0 && revision <= self.state.store.compact_revision() {
            fx.replies.push((id, Err(Error::Compacted)));
            return;
        }
        if self.hasher.asked.is_empty() {
            self.hasher.next_at = now.mono;
        }
        self.hasher.asked.push_back((id, revision));
    }

    /// Hashes a slice, if somebody waits for a hash.
    pub(super) fn run_hasher(&mut self, now: Now, fx: &mut Effects) {
        if now.mono < self.hasher.next_at || self.store_is_closed() || fx.stop.is_some() {
            return;
        }
        let Some(&(id, revision)) = self.hasher.asked.front() else { return };
        self.charge(fx, |costs| costs.record * SLICE as Nanos);
        // Between two slices others have their turn.
        self.hasher.next_at = now.mono + self.config.costs.map_or(1, |costs| costs.record * SLICE as Nanos);
        let hash = match self.hash_slice(revision) {
            Ok(None) => return,
            Ok(Some(hash)) => Ok(hash),
            Err(MvccError::Backend(error)) => {
                fx.stop = Some(StopReason::Backend(error));
                return;
            }
            Err(error) => Err(Error::from(error)),
        };
        (self.hasher.job, _) = (None, self.hasher.asked.pop_front());
        let header = self.header(self.state.store.revision());
        let response = |HashKv { hash, compact_revision, .. }| HashKvResponse { header, hash, compact_revision };
        fx.replies.push((id, hash.map(|hash| Response::HashKv(response(hash)))));
    }

    fn hash_slice(&mut self, revision: i64) -> Result<Option<HashKv>, MvccError> {
        let store = &self.state.store;
        let job = match &mut self.hasher.job {
            Some(job) => job,
            none => none.insert(HashJob::new(store, revision)?),
        };
        job.step(store, SLICE)
    }
}
