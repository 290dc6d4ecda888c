//! Members as processes: they start, step, wait for their CPU, crash.

use super::members::Standing;
use super::net::{FRAME, Verdict};
use super::node::Process;
use super::plan::Happening;
use super::random::Stream;
use super::record::{Held, Kind, Lost, NodeIndex, RecordId, Slow, What};
use super::{Event, World};
use crate::check::{Failure, serializable::Restart};
use crate::scenario::{self, Unsynced};
use seedbed::api::RequestId;
use seedbed::disk::{DiskDone, DiskOp};
use seedbed::member::{Effects, Input, Job, JobId, JobOutput, Member, PeerMessage, StopReason, TraceEvent};
use seedbed::raft::{Message, NodeId, RaftEvent};
use seedbed::time::Nanos;
use std::num::NonZeroU32;
use std::panic::{AssertUnwindSafe, catch_unwind};

impl World {
    /// Starts a member's process on whatever its disk holds.
    pub(super) fn start(&mut self, index: NodeIndex) {
        let config = self.config(index);
        let mut effects = self.no_effects();
        let node = &mut self.nodes[usize::from(index)];
        if node.standing == Standing::Spare {
            return;
        }
        node.life += 1;
        let restarted = !std::mem::take(&mut node.fresh);
        let now = node.clock.now(self.now);
        let opened = catch_unwind(AssertUnwindSafe(|| Member::open(config, now, &node.disk.reader(), &mut effects)));
        match opened {
            Ok(Ok(member)) => {
                node.process = Process::Running(Box::new(member));
                self.note(What::Started(index));
                self.started(index, restarted, &mut effects);
            }
            Ok(Err(refusal)) => {
                node.process = Process::Refused;
                let damaged = node.damaged;
                let record = self.note(What::Refused(index));
                self.notes.insert(record, refusal.to_string());
                if !damaged {
                    let text = format!("n{} refuses to start on a legal image: {refusal}", index + 1);
                    self.fail(Err(Failure::new("wal-replay", text)));
                }
            }
            Err(_) => self.panicked(index),
        }
        // Who refuses or panics has perhaps asked for something before.
        effects.clear();
        self.effects = Some(effects);
    }

    fn started(&mut self, index: NodeIndex, restarted: bool, effects: &mut Effects) {
        let at = usize::from(index);
        let own_ppm = self.nodes[at].own_ppm;
        self.nodes[at].obey_holds(self.now, self.costs, own_ppm);
        let member = self.nodes[at].member().expect("invariant: it was just started");
        let mut results = vec![self.raft_checker.on_start(at, member.raft())];
        // What a fault beyond a disk's contract destroyed cannot be promised.
        let damaged = self.nodes[at].damaged;
        let mut forgotten = None;
        if restarted && !damaged {
            results.push(self.replay_checker.on_restart(at, member.raft(), &self.raft_checker));
            self.store_to_compare = true;
        } else if restarted {
            forgotten = self.replay_checker.forgotten(at, member.raft());
        }
        self.members_to_compare = true;
        let size = member.store().engine().stats().size;
        let applied = member.store().consistent_index();
        if applied > 0 {
            let (hash, revision) = (member.store().hash(), member.store().revision());
            results.push(self.state_checker.on_applied(at, applied, hash, revision).map(|_| ()));
        }
        results.into_iter().for_each(|result| self.fail(result));
        if let Some((entries, failure)) = forgotten {
            self.forgot(index, entries, failure);
        }
        if restarted {
            self.observer.loaded(index, self.now, effects.cost, size);
            self.restarts.push(Restart { member: index, at: self.now });
        }
        self.happened(Happening::of(scenario::Event::MemberStarted, index));
        self.take_effects(index, effects);
    }

    /// Hands an input to a member: now, or when its CPU is free and nothing pauses it.
    pub(super) fn input(&mut self, index: NodeIndex, input: Input) {
        let node = &mut self.nodes[usize::from(index)];
        if node.paused().is_some() || node.busy_until > self.now || !node.inbox.is_empty() {
            node.inbox.push_back((input, self.current));
            self.schedule_turn(index);
            return;
        }
        self.step(index, input);
    }

    pub(super) fn schedule_turn(&mut self, index: NodeIndex) {
        let node = &mut self.nodes[usize::from(index)];
        if node.paused().is_none() && !node.turn_scheduled && !node.inbox.is_empty() {
            node.turn_scheduled = true;
            let at = node.busy_until.max(self.now);
            self.push(at, Event::Turn(index));
        }
    }

    pub(super) fn on_turn(&mut self, index: NodeIndex) {
        let node = &mut self.nodes[usize::from(index)];
        node.turn_scheduled = false;
        if node.paused().is_some() || !node.is_up() {
            return;
        }
        if node.busy_until <= self.now
            && let Some((input, arrived)) = node.inbox.pop_front()
        {
            self.current = arrived;
            self.note(What::Turn(index));
            self.step(index, input);
        }
        self.schedule_turn(index);
    }

    /// A wake-up is void if the member no longer wants one now; then it is put off to when it does.
    pub(super) fn deadline_is_void(&mut self, index: NodeIndex) -> bool {
        let node = &mut self.nodes[usize::from(index)];
        node.woken_at = Nanos::MAX;
        if node.is_up() && node.deadline <= self.now {
            return false;
        }
        self.schedule_deadline(index);
        true
    }

    pub(super) fn schedule_deadline(&mut self, index: NodeIndex) {
        let node = &mut self.nodes[usize::from(index)];
        if node.is_up() && node.deadline < node.woken_at && node.deadline < Nanos::MAX {
            node.woken_at = node.deadline.max(self.now);
            let at = node.woken_at;
            self.push(at, Event::Deadline(index));
        }
    }

    pub(super) fn on_deadline(&mut self, index: NodeIndex) {
        self.note(What::Deadline(index));
        // Until it has stepped it has no deadline: a paused member is woken by its resumption.
        self.nodes[usize::from(index)].deadline = Nanos::MAX;
        self.input(index, Input::Deadline);
    }

    #[inline(always)] // An input is moved often enough as it is.
    fn step(&mut self, index: NodeIndex, input: Input) {
        let mut effects = self.no_effects();
        let node = &mut self.nodes[usize::from(index)];
        let now = node.clock.now(self.now);
        let Process::Running(member) = &mut node.process else { return };
        let stepped = catch_unwind(AssertUnwindSafe(|| member.step(now, input, &mut effects)));
        if stepped.is_err() {
            effects.clear();
            self.panicked(index);
        } else {
            self.take_effects(index, &mut effects);
        }
        self.effects = Some(effects);
    }

    /// The effects to fill: those of the step before, from which everything was taken.
    fn no_effects(&mut self) -> Box<Effects> {
        self.effects.take().unwrap_or_else(|| {
            let mut effects = Box::<Effects>::default();
            effects.clear();
            effects
        })
    }

    fn panicked(&mut self, index: NodeIndex) {
        let message = crate::run::last_panic().unwrap_or_else(|| "no message".to_owned());
        self.panic = Some(format!("n{} panicked at {:.3} s: {message}", index + 1, self.now as f64 / 1e9));
    }

    /// Does what a step asked for, and leaves nothing of it.
    fn take_effects(&mut self, index: NodeIndex, effects: &mut Effects) {
        let at = usize::from(index);
        let cost = std::mem::take(&mut effects.cost);
        let node = &mut self.nodes[at];
        node.busy_until = self.now + cost;
        let leaves = node.busy_until;
        if cost >= self.scenario.cluster.heartbeat {
            let cause = node.slow_cpu().unwrap_or(self.current);
            self.note_aside(cause, What::Overworked { node: index, until: leaves });
        }
        let node = &mut self.nodes[at];
        node.deadline = node.clock.world_at(std::mem::replace(&mut effects.deadline, Nanos::MAX));
        let member = node.member().expect("invariant: only a running member steps");
        let result = self.raft_checker.on_step(at, member.raft());
        self.fail(result);
        each(&mut effects.trace, |event| self.observe(index, event));
        self.look_at_store(index);
        self.look_at_members(index);
        let mut powered = true;
        each(&mut effects.disk, |op| powered = powered && self.start_disk_op(index, leaves, op));
        if !powered {
            // Nothing more leaves this member.
            effects.clear();
            return;
        }
        each(&mut effects.jobs, |job| self.run_job(index, leaves, job));
        each(&mut effects.messages, |message| self.send(index, leaves, message));
        each(&mut effects.peers, |(to, message)| self.send_to_peer(index, leaves, to, message));
        each(&mut effects.rejected, |removed| self.tell_removed(index, leaves, removed));
        each(&mut effects.replies, |(RequestId(call), result)| self.reply(index, leaves, call, result));
        each(&mut effects.watch, |(stream, response)| self.say_to_client(index, leaves, stream, response));
        match effects.stop.take() {
            Some(reason) => self.stopped(index, &reason),
            None => self.schedule_deadline(index),
        }
        self.enforce_memory_limit(index);
    }

    /// Begins a disk operation; `false` if the power goes off instead.
    fn start_disk_op(&mut self, index: NodeIndex, leaves: Nanos, op: DiskOp) -> bool {
        self.digest.fold(&(index, &op));
        let node = &mut self.nodes[usize::from(index)];
        let begun = node.disk.get().begin(leaves, &op);
        let life = node.life;
        if begun.power_cut {
            let fault = node.cut_by;
            self.push(leaves, Event::PowerCut { node: index, life, fault });
            return false;
        }
        let Some(result) = begun.report else { return true };
        let (why, fault) = begun.why;
        let record = match why {
            Slow::Usual if begun.took < self.scenario.cluster.heartbeat => self.current,
            _ => {
                let blame = fault.and_then(NonZeroU32::new);
                self.note_aside(self.current, What::DiskBusy { node: index, took: begun.took, why, blame })
            }
        };
        self.nodes[usize::from(index)].operations.push_back((op.id, record));
        self.happened(Happening::of(scenario::Event::SyncStarted, index));
        let done = DiskDone { id: op.id, result };
        let event =
            super::Scheduled { cause: record, event: Event::Disk { node: index, life, op: Box::new(op), done } };
        self.heap.push(begun.done_at, event);
        true
    }

    /// A member's jobs are done one after the other, beside its steps.
    fn run_job(&mut self, index: NodeIndex, leaves: Nanos, job: Job) {
        let jobs = &mut self.nodes[usize::from(index)].jobs;
        jobs.push_back((job, leaves));
        if jobs.len() == 1 {
            self.begin_job(index);
        }
    }

    /// The first job takes as long as its member's CPU needs for it now, however slow it was when the job came up.
    fn begin_job(&mut self, index: NodeIndex) {
        let node = &self.nodes[usize::from(index)];
        let Some((job, leaves)) = node.jobs.front() else { return };
        let costs = node.member().and_then(|member| member.costs());
        let at = self.now.max(*leaves) + costs.map_or(0, |costs| job.work.cost(costs));
        let done = Event::JobDone { node: index, life: node.life, id: job.id, output: job.work.run() };
        self.push(at, done);
    }

    pub(super) fn on_job_done(&mut self, index: NodeIndex, id: JobId, output: JobOutput) {
        self.note(What::Turn(index));
        self.nodes[usize::from(index)].jobs.pop_front();
        self.begin_job(index);
        self.input(index, Input::JobDone(id, output));
    }

    pub(super) fn on_disk_done(&mut self, index: NodeIndex, op: &DiskOp, done: DiskDone) {
        self.note(What::DiskDone { node: index, failed: done.result.is_err() });
        let node = &mut self.nodes[usize::from(index)];
        if done.result.is_ok() {
            node.disk.get().finish(op);
        }
        node.operations.retain(|(id, _)| *id != op.id);
        self.happened(Happening::of(scenario::Event::SyncDone, index));
        self.input(index, Input::Disk(done));
    }

    fn send(&mut self, index: NodeIndex, leaves: Nanos, message: Message) {
        let at = usize::from(index);
        if let Some(member) = self.nodes[at].member() {
            self.replay_checker.on_send(at, &message, member.raft());
        }
        let result = self.raft_checker.on_send(at, &message);
        self.fail(result);
        let Some(&to) = self.by_id.get(&message.to) else { return };
        let kind = Kind::of(&message);
        if kind == Kind::Snapshot {
            self.observer.snapshot_sent();
            self.happened(Happening::of(scenario::Event::SnapshotSent, index));
        }
        match self.network.send(leaves, index, to, &message) {
            Verdict::Lost { why, blame } => {
                let what = What::Lost { from: index, to, kind, why };
                self.note_aside(blame.unwrap_or(self.current), what);
                self.report_snapshot(index, message.to, kind, leaves, false);
            }
            Verdict::Arrives { at, twice, late, epoch } => {
                if let Some(rule) = late {
                    self.note_aside(rule, What::Delayed { from: index, to, kind, arrives: at });
                }
                if let Some(again) = twice {
                    let message = message.clone();
                    self.push(again, Event::Message { from: index, to, message, epoch, sent: leaves });
                }
                self.push(at, Event::Message { from: index, to, message, epoch, sent: leaves });
            }
        }
    }

    pub(super) fn on_message(&mut self, from: NodeIndex, to: NodeIndex, message: Message, epoch: u32, sent: Nanos) {
        let kind = Kind::of(&message);
        let lost = if let Some(cut) = self.network.died_in_flight(from, to, epoch) {
            Some((Lost::CutInFlight, cut))
        } else if !self.nodes[usize::from(to)].is_up() {
            Some((Lost::Down, self.current))
        } else {
            None
        };
        if let Some((why, cause)) = lost {
            self.note_aside(cause, What::Lost { from, to, kind, why });
            self.report_snapshot(from, self.nodes[usize::from(to)].id, kind, self.now, false);
            return;
        }
        self.note(What::Delivered { from, to, kind, sent });
        if kind.from_leader() {
            self.observer.heard_leader(from, sent);
        }
        self.report_snapshot(from, message.to, kind, self.now, true);
        self.input(to, Input::Message(message));
    }

    /// What members ask each other besides Raft takes the same way.
    fn send_to_peer(&mut self, from: NodeIndex, leaves: Nanos, to: NodeId, message: PeerMessage) {
        let Some(&to) = self.by_id.get(&to) else { return };
        let sent = leaves;
        match self.network.send_bytes(leaves, (from, to), Kind::Peer, FRAME as Nanos) {
            Verdict::Lost { why, blame } => {
                self.note_aside(blame.unwrap_or(self.current), What::Lost { from, to, kind: Kind::Peer, why });
            }
            Verdict::Arrives { at, twice, epoch, .. } => {
                for at in twice.into_iter().chain([at]) {
                    self.push(at, Event::Peer { from, to, message: Box::new(message.clone()), epoch, sent });
                }
            }
        }
    }

    pub(super) fn on_peer(&mut self, from: NodeIndex, to: NodeIndex, message: PeerMessage, epoch: u32, sent: Nanos) {
        if self.network.died_in_flight(from, to, epoch).is_some() || !self.nodes[usize::from(to)].is_up() {
            return;
        }
        self.note(What::Delivered { from, to, kind: Kind::Peer, sent });
        let from = self.nodes[usize::from(from)].id;
        self.input(to, Input::Peer(from, message));
    }

    /// A member refused a removed one's message: its transport tells that one so (etcd: 410 Gone), unless the answer is
    /// lost.
    fn tell_removed(&mut self, from: NodeIndex, leaves: Nanos, removed: NodeId) {
        let Some(&to) = self.by_id.get(&removed) else { return };
        // The answer goes to the process that sent the message. Its machine may have joined again as somebody else.
        if self.nodes[usize::from(to)].id != removed {
            return;
        }
        if let Verdict::Arrives { at, epoch, .. } =
            self.network.send_bytes(leaves, (from, to), Kind::Peer, FRAME as Nanos)
        {
            let life = self.nodes[usize::from(to)].life;
            self.push(at, Event::Removed { from, to, life, epoch });
        }
    }

    pub(super) fn on_removed(&mut self, from: NodeIndex, to: NodeIndex, epoch: u32) {
        if self.network.died_in_flight(from, to, epoch).is_none() {
            self.note(What::Turn(to));
            self.input(to, Input::Removed);
        }
    }

    /// etcd's transport tells Raft what became of a snapshot; of other messages it says nothing here.
    fn report_snapshot(&mut self, from: NodeIndex, peer: NodeId, kind: Kind, at: Nanos, arrived: bool) {
        if kind == Kind::Snapshot {
            let life = self.nodes[usize::from(from)].life;
            let latency = self.scenario.network.latency.lo.max(1);
            self.push(at + latency, Event::SnapshotSent { node: from, life, peer, arrived });
        }
    }

    pub(super) fn on_snapshot_sent(&mut self, node: NodeIndex, peer: NodeId, arrived: bool) {
        self.note(What::Turn(node));
        self.input(node, Input::SnapshotSent(peer, arrived));
    }

    /// A member stopped by itself: to its clients and peers that is like a crash, but its disk loses nothing more.
    fn stopped(&mut self, index: NodeIndex, reason: &StopReason) {
        let record = self.note(What::Stopped(index));
        self.digest.fold(reason);
        self.judge_stop(index, record, reason);
        let node = &mut self.nodes[usize::from(index)];
        node.process = Process::Stopped;
        if *reason == StopReason::Removed {
            node.standing = Standing::Spare;
            self.probes.borrow_mut().excuse(index, self.now);
        }
        self.gone(index);
    }

    /// Kills a member's process; `unsynced` says what its disk forgets.
    pub(super) fn kill(&mut self, index: NodeIndex, unsynced: Unsynced) {
        let node = &mut self.nodes[usize::from(index)];
        if node.is_up() {
            self.note(What::Crashed(index));
            self.observer.crashed();
        }
        let node = &mut self.nodes[usize::from(index)];
        node.process = Process::Down;
        let stream = format!("crash/n{}/{}", index + 1, node.life);
        node.disk.get().crash(unsynced, &mut Stream::new(self.seed, &stream));
        self.gone(index);
    }

    fn gone(&mut self, index: NodeIndex) {
        self.observer.gone(index, self.now);
        let node = &mut self.nodes[usize::from(index)];
        node.inbox.clear();
        node.busy_until = self.now;
        node.jobs.clear();
        node.deadline = Nanos::MAX;
        node.operations.clear();
        let calls = std::mem::take(&mut node.calls);
        for call in calls.into_keys() {
            self.reset(index, call);
        }
        self.reset_lines(index);
    }

    fn enforce_memory_limit(&mut self, index: NodeIndex) {
        let node = &self.nodes[usize::from(index)];
        let Some(limit) = node.memory_limit() else { return };
        if node.member().is_some_and(|member| member.memory_bytes() > limit) {
            // The kernel kills it; what was written is in the page cache and survives.
            self.kill(index, Unsynced::Kept);
        }
    }

    /// The record of what held a member's raft loop up when it lost ticks.
    pub(super) fn held_by(&self, index: NodeIndex, blocked_on: Option<seedbed::disk::OpId>) -> (Held, RecordId) {
        let node = &self.nodes[usize::from(index)];
        if let Some(op) = blocked_on {
            let record = node.operations.iter().find(|(id, _)| *id == op).map(|(_, record)| *record);
            return (Held::Disk, record.unwrap_or(self.current));
        }
        match (node.last_pause, node.slow_cpu()) {
            (Some((record, until)), _) if until + self.scenario.cluster.heartbeat >= self.now => (Held::Pause, record),
            (_, Some(record)) => (Held::SlowCpu, record),
            _ => (Held::SlowCpu, self.current),
        }
    }
}

/// Takes all of a list that is mostly empty, and leaves it its room.
#[inline(always)]
fn each<T>(list: &mut Vec<T>, act: impl FnMut(T)) {
    if !list.is_empty() {
        each_of_some(list, act);
    }
}

/// Kept out of the caller, so that what most steps do not ask for is not in the way of what they do.
#[inline(never)]
fn each_of_some<T>(list: &mut Vec<T>, act: impl FnMut(T)) {
    list.drain(..).for_each(act);
}

/// What a member traces, in a form that stories can print.
pub(super) fn raft_event(event: &TraceEvent) -> Option<&RaftEvent> {
    match event {
        TraceEvent::Raft(event) => Some(event),
        _ => None,
    }
}
