//! The raft loop: ticks, and one `Ready` at a time.
//!
//! ```text
//!   Ready ─▶ messages leave ─▶ WAL save (write, sync) ─▶ messages_after_save leave ─▶ advance ─▶ next Ready
//!                               └── blocked: Raft still hears messages, but nothing goes out and ticks are dropped
//! ```
//!
//! etcd's loop is a goroutine with a ticker whose channel holds one tick. While the goroutine sits in fsync, one tick
//! waits in the channel and the rest are lost. A leader counts heartbeats in ticks, so a leader with a stalled disk
//! falls silent although its CPU and network are well; a follower with one forgets how long it has heard nothing.

use super::{Effects, Member, StopReason, TraceEvent};
use crate::bug::Bug;
use crate::disk::{OpId, OpSink};
use crate::raft::{Body, Message, Ready, Role};
use crate::time::{Nanos, Now};

#[derive(Debug)]
pub(super) struct RaftLoop {
    /// When the next tick falls due.
    pub(super) next_tick: Nanos,
    /// A tick that fell due while the loop was blocked.
    tick_waits: bool,
    saving: Option<Saving>,
}

/// A save that is out.
#[derive(Debug)]
struct Saving {
    stage: Stage,
    /// Operations not yet done.
    awaited: Vec<OpId>,
    since: Nanos,
    ready: Ready,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The repair of a torn log.
    Start,
    /// A leader's snapshot goes to its file.
    SnapshotFile,
    /// The file gets its name. Only when it has it may the WAL name it too.
    SnapshotName,
    /// Snapshot record, entries and state go to the WAL.
    Wal,
}

impl RaftLoop {
    /// A loop that first waits for what the start has to write.
    pub(super) fn new(first_tick: Nanos, now: Nanos, awaited: Vec<OpId>) -> RaftLoop {
        let stage = Stage::Start;
        let saving = Saving { stage, awaited, since: now, ready: Ready::default() };
        RaftLoop { next_tick: first_tick, tick_waits: false, saving: Some(saving).filter(|s| !s.awaited.is_empty()) }
    }
}

impl Member {
    /// Lets the ticks that fell due since the last step happen, as a ticker with room for one does.
    pub(super) fn tick_if_due(&mut self, now: Now, fx: &mut Effects) {
        if now.mono < self.raft_loop.next_tick {
            return;
        }
        let due = (now.mono - self.raft_loop.next_tick) / self.config.tick + 1;
        self.raft_loop.next_tick += due * self.config.tick;
        let blocked_on = self.raft_loop.saving.as_ref().and_then(|saving| saving.awaited.last().copied());
        let mut dropped = due;
        if self.raft_loop.saving.is_none() {
            self.raft.tick();
            dropped -= 1;
        } else if !self.raft_loop.tick_waits {
            self.raft_loop.tick_waits = true;
            dropped -= 1;
        }
        if dropped > 0 {
            fx.trace.push(TraceEvent::TickDropped { blocked_on, count: dropped });
        }
    }

    /// Takes Readys until one has to wait for the disk. Asked several times in each step, mostly for nothing.
    #[inline(always)]
    pub(super) fn run_raft_loop(&mut self, now: Now, fx: &mut Effects) {
        if self.raft_loop.saving.is_some() {
            return;
        }
        self.demote_if_deposed();
        if fx.stop.is_none() && self.raft.has_ready() {
            self.take_readys(now, fx);
        }
    }

    /// One after the other: what a Ready that needs no save lets happen is in the next.
    #[inline(never)] // See `Member::run`.
    fn take_readys(&mut self, now: Now, fx: &mut Effects) {
        while self.raft_loop.saving.is_none() && fx.stop.is_none() && self.raft.has_ready() {
            let mut ready = self.raft.ready();
            self.send(std::mem::take(&mut ready.messages), fx);
            self.reads_confirmed(&std::mem::take(&mut ready.reads));
            self.apply.push(std::mem::take(&mut ready.committed));
            match &ready.snapshot {
                Some(snapshot) => {
                    self.membership.restoring(snapshot.meta.index);
                    self.stir();
                    let awaited = match self.write_received(snapshot, fx) {
                        Ok(awaited) => awaited,
                        Err(error) => {
                            fx.stop = Some(StopReason::Snapshot(error.to_string()));
                            return;
                        }
                    };
                    self.block(now, Stage::SnapshotFile, awaited, ready, fx);
                }
                None => self.save_to_wal(now, ready, fx),
            }
        }
    }

    fn save_to_wal(&mut self, now: Now, ready: Ready, fx: &mut Effects) {
        let mut ops = OpSink::new(&mut fx.disk, &mut self.next_op);
        let mut awaited = Vec::new();
        // The record that names the snapshot precedes the hard state: the other way round, a crash between them leaves
        // a commit index beyond the log's end (etcd #10219).
        let late = self.config.bugs.on(Bug::SnapshotOrder);
        if let Some(snapshot) = ready.snapshot.as_ref().filter(|_| !late) {
            awaited.push(self.wal.save_snapshot(&snapshot.meta, &mut ops));
        }
        let saved = self.wal.save(&ready.entries, ready.hard_state.as_ref(), ready.must_sync, &mut ops);
        if awaited.is_empty() {
            awaited = saved;
        } else {
            awaited.extend(saved);
        }
        if let Some(snapshot) = ready.snapshot.as_ref().filter(|_| late) {
            awaited.push(self.wal.save_snapshot(&snapshot.meta, &mut ops));
        }
        if awaited.is_empty() {
            self.save_finished(ready, fx);
        } else {
            self.block(now, Stage::Wal, awaited, ready, fx);
        }
    }

    fn block(&mut self, now: Now, stage: Stage, awaited: Vec<OpId>, ready: Ready, fx: &mut Effects) {
        let op = *awaited.last().expect("invariant: a loop is blocked on something");
        fx.trace.push(TraceEvent::SaveStarted { op, entries: ready.entries.len() });
        self.raft_loop.saving = Some(Saving { stage, awaited, since: now.mono, ready });
    }

    /// A disk operation is done; if it was the last that the loop waited for, the loop goes on.
    pub(super) fn raft_save_done(&mut self, now: Now, op: OpId, fx: &mut Effects) {
        let Some(saving) = &mut self.raft_loop.saving else { return };
        let Some(at) = saving.awaited.iter().position(|&awaited| awaited == op) else { return };
        saving.awaited.swap_remove(at);
        if !saving.awaited.is_empty() {
            return;
        }
        let Saving { stage, since, ready, .. } = self.raft_loop.saving.take().expect("invariant: checked above");
        fx.trace.push(TraceEvent::SaveDone { op, took: now.mono - since });
        match stage {
            Stage::Start => {}
            Stage::SnapshotFile => {
                let snapshot = ready.snapshot.as_ref().expect("invariant: this stage has a snapshot");
                let awaited = self.publish_received(snapshot, fx);
                self.block(now, Stage::SnapshotName, awaited, ready, fx);
            }
            Stage::SnapshotName => self.save_to_wal(now, ready, fx),
            Stage::Wal => self.save_finished(ready, fx),
        }
        if self.raft_loop.saving.is_none() && std::mem::take(&mut self.raft_loop.tick_waits) {
            self.raft.tick();
        }
    }

    fn save_finished(&mut self, mut ready: Ready, fx: &mut Effects) {
        if let Some(snapshot) = ready.snapshot.take() {
            self.apply.push_snapshot(snapshot);
        }
        self.send(ready.messages_after_save, fx);
        self.raft.advance();
    }

    fn send(&mut self, mut messages: Vec<Message>, fx: &mut Effects) {
        if messages.is_empty() {
            return;
        }
        for message in messages.drain(..) {
            match message.body {
                Body::Snapshot(_) => {
                    self.sender.queue(message);
                    self.stir();
                }
                _ => fx.messages.push(message),
            }
        }
        self.raft.reuse(messages);
    }

    /// Whether this member leads.
    pub fn is_leader(&self) -> bool {
        self.raft.role() == Role::Leader
    }

    /// Whether the raft loop waits for the disk, and on which operation.
    pub fn blocked_on(&self) -> Option<OpId> {
        self.raft_loop.saving.as_ref().and_then(|saving| saving.awaited.last().copied())
    }
}
