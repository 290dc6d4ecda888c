//! The hasher: keys at a revision are hashed slice by slice, between which everything else goes on (lesson 12).
//!
//! What is written meanwhile has later revisions and does not matter; a compaction that is scheduled meanwhile does, and
//! the hash begins again from the first record.

use super::corruption::PeerHash;
use super::peers::PeerMessage;
use super::{Effects, Member, StopReason};
use crate::api::{Error, RequestId, Response};
use crate::mvcc::{HashJob, HashKv, MvccError};
use crate::pb::etcdserverpb::{HashKvResponse, HashResponse};
use crate::raft::NodeId;
use crate::time::{Nanos, Now};
use std::collections::VecDeque;

/// Records that one slice looks at.
const SLICE: usize = 1_000;

/// Who wants a hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asker {
    /// A client.
    Client(RequestId),
    /// Another member, with its number for the question.
    Peer(NodeId, u64),
    /// This member's own corruption check.
    Check,
}

#[derive(Debug, Default)]
pub(super) struct Hasher {
    /// Who asked, in their order, for which revision; the first one's hash is being made.
    asked: VecDeque<(Asker, i64)>,
    job: Option<HashJob>,
    /// Clients that want the hash of everything.
    whole: Vec<RequestId>,
    /// When the next slice may begin.
    next_at: Nanos,
}

impl Hasher {
    /// Whether somebody waits for a hash.
    pub(super) fn has_business(&self) -> bool {
        !self.asked.is_empty() || !self.whole.is_empty()
    }
}

impl Member {
    pub(super) fn hasher_wakes_at(&self) -> Nanos {
        if self.hasher.asked.is_empty() || self.store_is_closed() { Nanos::MAX } else { self.hasher.next_at }
    }

    pub(super) fn on_hash_kv(&mut self, now: Now, id: RequestId, revision: i64, fx: &mut Effects) {
        if self.store_has_no_hash_of(revision) {
            fx.replies.push((id, Err(Error::Compacted)));
        } else {
            self.ask_hasher(now, Asker::Client(id), revision);
        }
    }

    /// A revision that is named must be above the compacted one; that itself etcd does not hash.
    pub(super) fn store_has_no_hash_of(&self, revision: i64) -> bool {
        revision > 0 && revision <= self.state.store.compact_revision()
    }

    /// Hashes the newest revision for the corruption check.
    pub(super) fn hash_own(&mut self, now: Now) {
        self.ask_hasher(now, Asker::Check, 0);
    }

    pub(super) fn ask_hasher(&mut self, now: Now, asker: Asker, revision: i64) {
        if self.hasher.asked.is_empty() {
            self.hasher.next_at = now.mono;
        }
        self.hasher.asked.push_back((asker, revision));
    }

    pub(super) fn on_hash(&mut self, id: RequestId) {
        self.hasher.whole.push(id);
    }

    /// Hashes the whole database for whoever wants that: in one go, as etcd does, and at the price of every byte.
    #[inline(never)] // See `Member::run`.
    fn hash_everything(&mut self, fx: &mut Effects) {
        for id in std::mem::take(&mut self.hasher.whole) {
            let store = &self.state.store;
            let (header, size) = (self.header(store.revision()), store.engine().stats().in_use);
            match store.hash_all() {
                Ok(hash) => fx.replies.push((id, Ok(Response::Hash(HashResponse { header, hash })))),
                Err(error) => fx.stop = Some(StopReason::Backend(error)),
            }
            self.charge(fx, |costs| costs.kib * (size / 1024));
        }
    }

    /// Hashes a slice, if somebody waits for a hash.
    pub(super) fn run_hasher(&mut self, now: Now, fx: &mut Effects) {
        if !self.hasher.whole.is_empty() && !self.store_is_closed() {
            self.hash_everything(fx);
        }
        if let Some(&(asker, revision)) = self.hasher.asked.front()
            && now.mono >= self.hasher.next_at
            && !self.store_is_closed()
            && fx.stop.is_none()
        {
            self.hash_for(asker, revision, now, fx);
        }
    }

    #[inline(never)] // See `Member::run`.
    fn hash_for(&mut self, asker: Asker, revision: i64, now: Now, fx: &mut Effects) {
        // Between two slices others have their turn.
        self.hasher.next_at = now.mono + self.config.costs.map_or(0, |costs| costs.record * SLICE as Nanos).max(1);
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
        let newest = self.state.store.revision();
        match asker {
            Asker::Client(id) => {
                let header = self.header(newest);
                let response =
                    |HashKv { hash, compact_revision, .. }| HashKvResponse { header, hash, compact_revision };
                fx.replies.push((id, hash.map(|hash| Response::HashKv(response(hash)))));
            }
            Asker::Peer(to, number) => {
                let answer = hash.ok().map(|hash| PeerHash { hash, newest });
                fx.peers.push((to, PeerMessage::HashKvResp { number, answer }));
            }
            Asker::Check => self.own_hash(now, hash.ok(), fx),
        }
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
