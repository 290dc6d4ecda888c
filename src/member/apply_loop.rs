//! The apply loop: committed entries become changes of the store, in order, and writes are answered.
//!
//! It runs beside the raft loop and may lag behind it. With a cost table it works in slices of a millisecond, each of
//! which takes as long as its entries cost; other inputs are served between them. While the store is held — a batch is
//! on its way to the disk, a defragmentation copies it, a snapshot replaces it — it waits, as etcd's does for the lock.

use super::rest::outcome_stirs;
use super::{Costs, Effects, Member, StopReason, TraceEvent, with_header};
use crate::alarm::Alarms;
use crate::apply;
use crate::backend::BackendError;
use crate::bug::Bug;
use crate::mvcc::Applied;
use crate::pb::etcdserverpb::{AlarmMember, AlarmType};
use crate::raft::{Entry, Snapshot};
use crate::time::{MILLISECOND, Nanos, Now};
use std::collections::VecDeque;

/// Work in one slice, in simulated CPU time.
const SLICE: Nanos = MILLISECOND;

#[derive(Debug, Default)]
pub(super) struct ApplyLoop {
    /// Committed, not yet applied.
    queue: VecDeque<Item>,
    /// The work of the slice before is done at this moment.
    busy_until: Nanos,
    /// An entry failed in the middle, and the member stops when the batch that holds its half is durable (etcd #18799).
    dying: Option<BackendError>,
}

#[derive(Debug)]
enum Item {
    Entry(Entry),
    /// A leader's snapshot, which is durable.
    Snapshot(Box<Snapshot>),
}

impl ApplyLoop {
    pub(super) fn push(&mut self, committed: Vec<Entry>) {
        self.queue.extend(committed.into_iter().map(Item::Entry));
    }

    pub(super) fn push_snapshot(&mut self, snapshot: Box<Snapshot>) {
        self.queue.push_back(Item::Snapshot(snapshot));
    }
}

impl Member {
    /// Whether nothing may be applied at the moment. Whatever holds the store wakes the loop when it lets go.
    pub(super) fn store_is_held(&self) -> bool {
        self.batch_is_held() || self.defragmenting()
    }

    pub(super) fn apply_wakes_at(&self) -> Nanos {
        let held = match self.apply.queue.front() {
            None => true,
            Some(Item::Entry(_)) => self.store_is_held(),
            Some(Item::Snapshot(_)) => !self.may_install(),
        };
        if held { Nanos::MAX } else { self.apply.busy_until }
    }

    /// Charges work to this loop: it goes on so much later.
    pub(super) fn occupy_apply_loop(&mut self, now: Now, cost: impl FnOnce(&Costs) -> Nanos) {
        if let Some(costs) = &self.config.costs {
            self.apply.busy_until = self.apply.busy_until.max(now.mono) + cost(costs);
        }
    }

    /// Applies one slice of what is committed, if the last one is done.
    #[inline(always)]
    pub(super) fn run_apply_loop(&mut self, now: Now, fx: &mut Effects) {
        if !self.apply.queue.is_empty() || self.apply.dying.is_some() {
            self.apply_slice(now, fx);
        }
    }

    #[inline(never)] // See `Member::run`.
    fn apply_slice(&mut self, now: Now, fx: &mut Effects) {
        if self.apply.dying.is_some() {
            self.die_after_the_batch(fx);
            return;
        }
        if now.mono < self.apply.busy_until {
            self.mark_next_entry(fx);
            return;
        }
        let mut work = 0;
        while work < SLICE && fx.stop.is_none() && self.apply.dying.is_none() {
            match self.apply.queue.pop_front() {
                Some(Item::Entry(entry)) if !self.store_is_held() => {
                    if let Some(costs) = &self.config.costs {
                        work += costs.apply + costs.kib * (entry.data.len() as u64 / 1024);
                    }
                    self.apply_entry(now, &entry, fx);
                }
                Some(Item::Snapshot(snapshot)) if self.may_install() => self.begin_install(now, *snapshot, fx),
                Some(item) => {
                    self.apply.queue.push_front(item);
                    break;
                }
                None => break,
            }
        }
        self.apply.busy_until = self.apply.busy_until.max(now.mono) + work;
    }

    /// etcd 3.5.0 set the consistent index when it took an entry up, and a batch that left before the entry was applied
    /// made that durable (etcd #13766).
    fn mark_next_entry(&mut self, fx: &mut Effects) {
        if self.config.bugs.on(Bug::CiBeforeApply)
            && !self.store_is_held()
            && let Some(Item::Entry(entry)) = self.apply.queue.front()
        {
            let next = Applied { index: entry.index, term: entry.term };
            self.stop_on_error(|member| member.state.store.write_marks(next), fx);
        }
    }

    /// Tells of alarms that were raised or taken back since `before`.
    fn trace_alarms(&self, index: u64, before: &Alarms, fx: &mut Effects) {
        if *before == self.state.alarms {
            return;
        }
        let (before, after) = (before.get(AlarmType::None), self.state.alarms.get(AlarmType::None));
        let event = |alarm: &AlarmMember, raised| TraceEvent::Alarm {
            index,
            member: alarm.member_id,
            alarm: alarm.alarm(),
            raised,
        };
        fx.trace.extend(after.iter().filter(|alarm| !before.contains(alarm)).map(|alarm| event(alarm, true)));
        fx.trace.extend(before.iter().filter(|alarm| !after.contains(alarm)).map(|alarm| event(alarm, false)));
    }

    /// Between the half of an entry and the end of the process the committer may come by (etcd #18799).
    fn die_after_the_batch(&mut self, fx: &mut Effects) {
        let engine = self.state.store.engine();
        if engine.batched() == 0 && !engine.committing() {
            fx.stop = self.apply.dying.take().map(StopReason::Backend);
        }
        self.committer.demand();
    }

    fn apply_entry(&mut self, now: Now, entry: &Entry, fx: &mut Effects) {
        if entry.index <= self.state.store.consistent_index() {
            // The backend held it when the member started: it is in the store, and must not be applied twice.
            self.replay_change(now, entry, fx);
            self.stir();
            self.raft.applied_to(entry.index);
            return;
        }
        // To spare the work, members that owe no answer left the ranges of a transaction out, and with them their errors:
        // those that it fails by failed it at one member alone (etcd #18667).
        let stripped = self.config.bugs.on(Bug::TxnStripsRanges) && !self.writes.waits(apply::number_of(entry));
        let stripped = stripped.then(|| apply::without_ranges(entry));
        let (alarms, size) = (self.state.alarms.clone(), self.database_size());
        let mut applied = match self.state.apply(now, stripped.as_ref().unwrap_or(entry)) {
            Ok(applied) => applied,
            Err(error) if self.config.bugs.on(Bug::PartialTxnOnPanic) => {
                self.apply.dying = Some(error);
                return;
            }
            Err(error) => {
                fx.stop = Some(StopReason::Backend(error));
                return;
            }
        };
        self.notify_watchers(fx);
        self.follow_change(now, entry, applied.change.take(), fx);
        self.trace_alarms(entry.index, &alarms, fx);
        self.raft.applied_to(entry.index);
        fx.trace.push(TraceEvent::Applied {
            index: entry.index,
            term: entry.term,
            request: applied.request,
            revision: applied.revision,
            hash: self.state.store.hash(),
            refused: applied.denied,
        });
        if applied.result.as_ref().map_or(true, outcome_stirs) || self.snapshot_is_due() {
            self.stir();
        }
        self.quota.applied(applied.request, fx);
        let pending = self.writes.applied(applied.request);
        // It has taken effect as everywhere else; that it did not fit is this member's own affair, until the alarm is on.
        if applied.result.is_ok() && !self.has_room(size, applied.cost) {
            self.refuse_for_space(now, pending.map(|pending| pending.client), fx);
        } else if let Some(pending) = pending
            && !self.goes_on(now, entry, &pending, &mut applied, fx)
        {
            let header = self.header(applied.revision);
            let changed = self.member_response(applied.request);
            let reply = applied.result.map(|response| with_header(changed.unwrap_or(response), header));
            fx.replies.push((pending.client, reply));
        }
    }
}
