//! A member's life on a disk: from its start to its end or to a power cut.
//!
//! Everything is done by hand, one thing after the other, so that there is a moment between any two changes of the disk.
//! At each of them the [`Power`] is asked whether it stays on; the explorer uses the question to fork the disk.

use super::history::History;
use crate::world::disk::SimDisk;
use seedbed::api::{Error, RequestId, Response};
use seedbed::disk::{Action, DiskDone, DiskOp, Shared};
use seedbed::member::{Config, Effects, Input, Member};
use seedbed::raft::Message;
use seedbed::time::{Nanos, Now};
use std::collections::VecDeque;
use std::rc::Rc;

/// What is about to happen to the disk.
#[derive(Clone, Copy, Debug)]
pub(super) enum Moment<'a> {
    /// An operation begins.
    Begin(&'a DiskOp),
    /// A sync that is out takes effect.
    Finish(&'a DiskOp),
    /// Nothing more.
    End,
}

/// Decides when the power goes off.
pub(super) trait Power {
    /// Whether the power stays on at this moment. `history` holds what was promised before it.
    fn stays_on(&mut self, disk: &Shared<SimDisk>, history: &Rc<History>, moment: Moment<'_>) -> bool;
}

/// Power that never fails.
#[derive(Debug)]
pub(super) struct Always;

impl Power for Always {
    fn stays_on(&mut self, _: &Shared<SimDisk>, _: &Rc<History>, _: Moment<'_>) -> bool {
        true
    }
}

/// A member that asks to be woken more often than this, in one life, turns in a circle.
const WAKES: u64 = 20_000;

/// How a life ends before its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// The power went off.
    PowerCut,
    /// The member did not start.
    Refused(String),
    /// The member stopped by itself.
    Stopped(String),
}

/// See the module.
pub(super) struct Life {
    pub(super) member: Member,
    pub(super) disk: Shared<SimDisk>,
    pub(super) now: Now,
    pub(super) history: Rc<History>,
    /// Operations that have begun and will report, in order.
    out: VecDeque<(DiskOp, DiskDone)>,
    /// What the member sent and answered, until someone takes it.
    pub(super) messages: Vec<Message>,
    pub(super) replies: Vec<(RequestId, Result<Response, Error>)>,
    fx: Effects,
    wakes: u64,
}

impl Life {
    /// Starts a member on what the disk holds.
    pub(super) fn start(
        config: Config,
        disk: Shared<SimDisk>,
        now: Now,
        history: Rc<History>,
        power: &mut dyn Power,
    ) -> Result<Life, Ended> {
        let mut fx = Effects::default();
        let opened = Member::open(config, now, &disk.reader(), &mut fx);
        let member = opened.map_err(|error| Ended::Refused(error.to_string()))?;
        let (out, messages, replies) = Default::default();
        let mut life = Life { member, disk, now, history, out, messages, replies, fx, wakes: 0 };
        life.take_effects(power)?;
        Ok(life)
    }

    /// Hands the member an input, and begins what follows from it.
    pub(super) fn step(&mut self, input: Input, power: &mut dyn Power) -> Result<(), Ended> {
        self.fx.clear();
        self.member.step(self.now, input, &mut self.fx);
        self.take_effects(power)
    }

    fn take_effects(&mut self, power: &mut dyn Power) -> Result<(), Ended> {
        // What leaves the member may leave it before its disk has even begun: the promise counts from here.
        if History::notices(&self.history, &self.fx, &self.member) {
            Rc::make_mut(&mut self.history).notice(&self.fx, &self.member);
        }
        self.messages.append(&mut self.fx.messages);
        self.replies.append(&mut self.fx.replies);
        for op in std::mem::take(&mut self.fx.disk) {
            if !power.stays_on(&self.disk, &self.history, Moment::Begin(&op)) {
                return Err(Ended::PowerCut);
            }
            let report = self.disk.get().begin(0, &op).report;
            if let Some(result) = report {
                let done = DiskDone { id: op.id, result };
                self.out.push_back((op, done));
            }
        }
        match self.fx.stop.take() {
            Some(reason) => Err(Ended::Stopped(reason.to_string())),
            None => Ok(()),
        }
    }

    /// Whether an operation is out.
    pub(super) fn waits_for_disk(&self) -> bool {
        !self.out.is_empty()
    }

    /// How many operations could be the next to be done: the oldest of each file.
    pub(super) fn completions(&self) -> usize {
        (0..self.out.len()).filter(|&at| self.is_oldest_of_its_file(at)).count()
    }

    fn is_oldest_of_its_file(&self, at: usize) -> bool {
        let file = &self.out[at].0.file;
        self.out.iter().take(at).all(|(op, _)| op.file != *file)
    }

    /// One operation is done: the `choice`-th of those that could be.
    pub(super) fn complete(&mut self, choice: usize, power: &mut dyn Power) -> Result<(), Ended> {
        let mut could_be = (0..self.out.len()).filter(|&at| self.is_oldest_of_its_file(at));
        let at = could_be.nth(choice).expect("invariant: the choice is among the completions");
        let (op, done) = self.out.remove(at).expect("invariant: it was just seen");
        if matches!(op.action, Action::Sync | Action::SyncDir) && done.result.is_ok() {
            if !power.stays_on(&self.disk, &self.history, Moment::Finish(&op)) {
                return Err(Ended::PowerCut);
            }
            self.disk.get().finish(&op);
        }
        self.step(Input::Disk(done), power)
    }

    /// Every operation that is out, and what follows, is done, the oldest first.
    pub(super) fn complete_all(&mut self, power: &mut dyn Power) -> Result<(), Ended> {
        while self.waits_for_disk() {
            self.complete(0, power)?;
        }
        Ok(())
    }

    /// Lets time pass to the member's next deadline, but not beyond `until`. Says whether the deadline came.
    pub(super) fn wait(&mut self, until: Nanos, power: &mut dyn Power) -> Result<bool, Ended> {
        let deadline = self.fx.deadline;
        let at = deadline.min(until).max(self.now.mono);
        self.now = Now { mono: at, wall: self.now.wall + (at - self.now.mono) };
        if deadline > until {
            return Ok(false);
        }
        self.wakes += 1;
        if self.wakes > WAKES {
            let text = format!("it was woken {WAKES} times up to {} ns and asks to be woken again", self.now.mono);
            return Err(Ended::Stopped(text));
        }
        self.step(Input::Deadline, power).map(|()| true)
    }

    /// Whether nothing is under way: no operation, no batch, nothing committed but not applied.
    pub(super) fn is_idle(&self) -> bool {
        let (raft, store) = (self.member.raft(), self.member.store());
        let engine = store.engine();
        !self.waits_for_disk()
            && store.consistent_index() == raft.commit()
            && raft.commit() == raft.last_index()
            && !engine.committing()
            && engine.batched() == 0
            && !store.compacting()
    }
}
