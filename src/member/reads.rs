//! The read loop: linearizable reads by ReadIndex, serializable ones at once (lesson 02).
//!
//! Reads that come together are confirmed together. A batch asks Raft for the commit index; the leader answers once a
//! quorum has confirmed that it still leads; the batch is served when the store has applied that index. While one batch
//! is out, later reads gather for the next. A batch without an answer asks again every 500 ms.
//!
//! A range over many keys is served slice by slice (lesson 13: 1.2 million keys took 9 s): what comes between two slices,
//! heartbeats first of all, is not kept waiting. All slices show the revision of the first, and the compactor leaves what
//! they have yet to read. A snapshot that is installed meanwhile takes their store away; they begin anew in the new one.

use super::{Effects, Member, StopReason};
use crate::api::{Credentials, Error, RequestId, Response};
use crate::auth::AuthInfo;
use crate::bug::Bug;
use crate::mvcc::RangeJob;
use crate::pb::etcdserverpb::{AuthenticateRequest, RangeRequest};
use crate::raft::{NodeId, ReadState};
use crate::time::{MILLISECOND, Nanos, Now};
use std::collections::VecDeque;
use std::ops::RangeInclusive;

/// How long a batch waits for its index before it asks again.
const RETRY: Nanos = 500 * MILLISECOND;

#[derive(Debug, Default)]
pub(super) struct ReadLoop {
    next_ctx: u64,
    /// Gather for the next batch.
    gathering: VecDeque<Read>,
    /// The batch that waits for its index.
    asking: Option<Batch>,
    /// Confirmed reads that wait until the store has applied their index.
    confirmed: VecDeque<(u64, Read)>,
    /// Ranges that are being served; each has a slice in turn.
    serving: VecDeque<(RequestId, AuthInfo, RangeJob)>,
    /// When the next slice may begin.
    slice_at: Nanos,
}

/// Keys that a slice looks at. The first slice is in the price of a read. Later ones come at the pace at which their keys
/// would be read, like the apply loop's: etcd reads on another core than the one that keeps the lead.
const SLICE: usize = 256;

struct Read {
    asked: Asked,
    deadline: Nanos,
}

impl std::fmt::Debug for Read {
    /// Without passwords and tokens.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Read").field("deadline", &self.deadline).finish_non_exhaustive()
    }
}

/// What waits to be confirmed.
enum Asked {
    /// A client's read.
    Range(RequestId, Credentials, RangeRequest),
    /// A password that is to be checked against the newest users.
    Authenticate(RequestId, AuthenticateRequest),
    /// Whether this member still leads in this term, before it ends these leases.
    Leadership(u64, Vec<i64>),
    /// The same, before it compares the others' keys with its own.
    Check,
    /// Who the members are.
    Members(RequestId),
}

impl Read {
    /// It failed. Leases that expired are found again.
    fn fail(self, error: Error, fx: &mut Effects) {
        match self.asked {
            Asked::Range(id, ..) | Asked::Authenticate(id, _) | Asked::Members(id) => fx.replies.push((id, Err(error))),
            Asked::Leadership(..) | Asked::Check => {}
        }
    }
}

#[derive(Debug)]
struct Batch {
    /// The numbers under which it asked. Each try has its own, so that no answer is taken for another's (etcd #20418).
    ctxs: RangeInclusive<u64>,
    retry_at: Nanos,
    reads: VecDeque<Read>,
}

impl ReadLoop {
    /// `id` and `start` make the loop's numbers its own: the leader sees those of all members and of their restarts.
    pub(super) fn new(id: NodeId, start: Nanos) -> ReadLoop {
        let next_ctx = (id << 48) | (((start / MILLISECOND) & ((1 << 40) - 1)) << 8) | 1;
        ReadLoop { next_ctx, ..ReadLoop::default() }
    }

    /// Whether no read waits for anything.
    fn is_empty(&self) -> bool {
        self.gathering.is_empty() && self.asking.is_none() && self.confirmed.is_empty()
    }

    #[inline(always)]
    pub(super) fn wake_at(&self) -> Nanos {
        if self.is_empty() { Nanos::MAX } else { self.earliest() }
    }

    #[inline(never)] // See `Member::run`.
    fn earliest(&self) -> Nanos {
        let first = |reads: &VecDeque<Read>| reads.front().map_or(Nanos::MAX, |read| read.deadline);
        let asking = self.asking.as_ref().map_or(Nanos::MAX, |batch| batch.retry_at.min(first(&batch.reads)));
        let confirmed = self.confirmed.front().map_or(Nanos::MAX, |(_, read)| read.deadline);
        asking.min(first(&self.gathering)).min(confirmed)
    }

    /// Whether a range is being served that shows a revision before `compacted`.
    pub(super) fn reads_before(&self, compacted: i64) -> bool {
        self.serving.iter().any(|(_, _, job)| job.revision() < compacted)
    }

    /// A batch whose leader is gone fails at once; its clients ask again.
    pub(super) fn leader_changed(&mut self, fx: &mut Effects) {
        for read in self.asking.take().map(|batch| batch.reads).unwrap_or_default() {
            read.fail(Error::LeaderChanged, fx);
        }
    }
}

impl Member {
    pub(super) fn on_range(
        &mut self,
        now: Now,
        id: RequestId,
        who: Credentials,
        request: RangeRequest,
        fx: &mut Effects,
    ) {
        if request.key.is_empty() {
            fx.replies.push((id, Err(Error::EmptyKey)));
        } else if request.serializable && !self.store_is_closed() {
            self.serve(now, id, &who, request, fx);
        } else if request.serializable {
            let deadline = now.mono + self.config.request_timeout();
            self.reads.confirmed.push_front((0, Read { asked: Asked::Range(id, who, request), deadline }));
        } else {
            let deadline = now.mono + self.config.request_timeout();
            self.reads.gathering.push_back(Read { asked: Asked::Range(id, who, request), deadline });
        }
    }

    /// Asks a majority whether this member leads; if it does, [`Member::revoke_expired`] gets the leases.
    pub(super) fn confirm_leadership(&mut self, now: Now, leases: Vec<i64>) {
        let deadline = now.mono + self.config.request_timeout();
        self.reads.gathering.push_back(Read { asked: Asked::Leadership(self.raft.term(), leases), deadline });
    }

    /// A list of the members that is as new as the request.
    pub(super) fn read_members(&mut self, now: Now, id: RequestId) {
        let deadline = now.mono + self.config.request_timeout();
        self.reads.gathering.push_back(Read { asked: Asked::Members(id), deadline });
    }

    /// Asks the same for the corruption check.
    pub(super) fn confirm_for_check(&mut self, now: Now) {
        let deadline = now.mono + self.config.request_timeout();
        self.reads.gathering.push_back(Read { asked: Asked::Check, deadline });
    }

    /// Lets the store catch up, so that the password is checked as it is now.
    pub(super) fn confirm_before_authenticating(&mut self, now: Now, id: RequestId, request: AuthenticateRequest) {
        let deadline = now.mono + self.config.request_timeout();
        self.reads.gathering.push_back(Read { asked: Asked::Authenticate(id, request), deadline });
    }

    /// Takes the indexes that Raft has confirmed.
    pub(super) fn reads_confirmed(&mut self, states: &[ReadState]) {
        for state in states {
            if let Some(batch) = self.reads.asking.take_if(|batch| batch.ctxs.contains(&state.ctx)) {
                self.reads.confirmed.extend(batch.reads.into_iter().map(|read| (state.index, read)));
            }
        }
    }

    /// Serves what is confirmed and applied, and asks for what has gathered.
    pub(super) fn run_read_loop(&mut self, now: Now, fx: &mut Effects) {
        self.run_long_ranges(now, fx);
        self.ask_read_index(now);
        // An answer may be there at once (a sole voter), and then a batch that gathered meanwhile may ask too.
        self.run_raft_loop(now, fx);
        if !self.reads.confirmed.is_empty() && !self.store_is_closed() {
            self.serve_confirmed(now, fx);
        }
    }

    #[inline(never)] // See `Member::run`.
    fn serve_confirmed(&mut self, now: Now, fx: &mut Effects) {
        let applied = self.state.store.consistent_index();
        while fx.stop.is_none()
            && let Some((_, read)) = self.reads.confirmed.pop_front_if(|(index, _)| *index <= applied)
        {
            match read.asked {
                Asked::Range(id, who, request) => self.serve(now, id, &who, request, fx),
                Asked::Authenticate(id, request) => self.check_password(id, request, read.deadline, fx),
                Asked::Leadership(term, leases) => self.revoke_expired(term, &leases),
                Asked::Check => self.check_is_confirmed(now),
                Asked::Members(id) => self.list_members(id, fx),
            }
        }
    }

    /// Whether nothing can be read: etcd holds the lock of its readers too while it copies or replaces the database.
    pub(super) fn store_is_closed(&self) -> bool {
        self.copying() || self.store_is_replaced()
    }

    #[inline(always)]
    fn ask_read_index(&mut self, now: Now) {
        let due = match &self.reads.asking {
            None => !self.reads.gathering.is_empty(),
            Some(batch) => batch.retry_at <= now.mono,
        };
        if due {
            self.ask_now(now);
        }
    }

    #[inline(never)] // See `Member::run`.
    fn ask_now(&mut self, now: Now) {
        let reads = &mut self.reads;
        let ctx = reads.next_ctx;
        match &mut reads.asking {
            None => {
                let gathered = std::mem::take(&mut reads.gathering);
                reads.asking = Some(Batch { ctxs: ctx..=ctx, retry_at: now.mono + RETRY, reads: gathered });
            }
            Some(batch) => {
                batch.retry_at = now.mono + RETRY;
                if self.config.bugs.on(Bug::ReadindexCtxReplay) {
                    // The question that the leader may have answered long ago, once more (etcd #20418).
                    self.raft.read_index(*batch.ctxs.start());
                    return;
                }
                batch.ctxs = *batch.ctxs.start()..=ctx;
            }
        }
        reads.next_ctx += 1;
        self.raft.read_index(ctx);
    }

    fn serve(&mut self, now: Now, id: RequestId, who: &Credentials, request: RangeRequest, fx: &mut Effects) {
        let info = match self.may_read(now, who, (&request.key, &request.range_end), fx) {
            Ok(info) => info,
            Err(error) => return fx.replies.push((id, Err(error.into()))),
        };
        self.charge(fx, |costs| costs.read);
        match RangeJob::new(&self.state.store, request) {
            Ok(job) => self.serve_slice(id, info, job, SLICE, fx),
            Err(error) => fx.replies.push((id, Err(error.into()))),
        }
    }

    fn serve_slice(&mut self, id: RequestId, who: AuthInfo, mut job: RangeJob, keys: usize, fx: &mut Effects) {
        let mut response = match job.step(&self.state.store, keys) {
            Ok(Some(response)) => response,
            Ok(None) => return self.reads.serving.push_back((id, who, job)),
            Err(error) => {
                fx.stop = Some(StopReason::Backend(error));
                return;
            }
        };
        // Between two slices permissions may have changed.
        if let Err(error) = self.state.auth.check_revision(&who) {
            return fx.replies.push((id, Err(Error::Auth(error))));
        }
        let bytes: usize = response.kvs.iter().map(|kv| kv.value.len()).sum();
        self.charge(fx, |costs| costs.kib * (bytes as u64 / 1024));
        response.header = self.header(job.newest());
        fx.replies.push((id, Ok(Response::Range(response))));
    }

    pub(super) fn slice_wakes_at(&self) -> Nanos {
        if self.reads.serving.is_empty() || self.store_is_closed() { Nanos::MAX } else { self.reads.slice_at }
    }

    /// Serves the next slice of a long range.
    pub(super) fn run_long_ranges(&mut self, now: Now, fx: &mut Effects) {
        if self.slice_wakes_at() > now.mono || fx.stop.is_some() {
            return;
        }
        let Some((id, who, job)) = self.reads.serving.pop_front() else { return };
        // A slice takes a millisecond at most, whatever a key costs.
        let price = self.config.costs.map_or(0, |costs| costs.record);
        let keys = (MILLISECOND / price.max(1)).clamp(1, SLICE as u64);
        self.reads.slice_at = now.mono + (price * keys).max(1);
        self.serve_slice(id, who, job, keys as usize, fx);
    }

    /// The store is another one.
    pub(super) fn serve_anew(&mut self, fx: &mut Effects) {
        for (id, who, job) in std::mem::take(&mut self.reads.serving) {
            match RangeJob::new(&self.state.store, job.request().clone()) {
                Ok(job) => self.reads.serving.push_back((id, who, job)),
                Err(error) => fx.replies.push((id, Err(error.into()))),
            }
        }
    }

    /// Fails the reads that have waited too long.
    #[inline(always)]
    pub(super) fn expire_reads(&mut self, now: Now, fx: &mut Effects) {
        if !self.reads.is_empty() {
            self.fail_expired(now, fx);
        }
    }

    #[inline(never)] // See `Member::run`.
    fn fail_expired(&mut self, now: Now, fx: &mut Effects) {
        let lost = self.raft.leader() == 0;
        let mut expire = |read: Option<Read>| match read {
            Some(read) => {
                read.fail(if lost { Error::TimeoutLeaderFail } else { Error::Timeout }, fx);
                true
            }
            None => false,
        };
        let reads = &mut self.reads;
        let due = |read: &mut Read| read.deadline <= now.mono;
        while expire(reads.gathering.pop_front_if(due)) {}
        while expire(reads.confirmed.pop_front_if(|(_, read)| due(read)).map(|(_, read)| read)) {}
        if let Some(batch) = &mut reads.asking {
            while expire(batch.reads.pop_front_if(due)) {}
            if batch.reads.is_empty() {
                reads.asking = None;
            }
        }
    }
}
