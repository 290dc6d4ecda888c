//! Faults begin and end.

use super::members::Standing;
use super::net::{Effect, NodeSet, Rule};
use super::node::{Hold, HoldKind, Process, members_of};
use super::plan::{Happening, Planned, Resolved, Roles, Waiting, When, resolve};
use super::record::{NodeIndex, What};
use super::{Event, World};
use crate::scenario::{self, Action, DiskErrorKind, FileKind, InFlight, Range64, Target, Tolerance, Trigger, Unsynced};
use seedbed::time::Nanos;

impl World {
    /// Puts what has a time into the heap, and what has a condition on the watch.
    pub(super) fn schedule_plan(&mut self) {
        for planned in self.plan.clone() {
            match planned.when {
                When::At(at) => self.push(at, Event::FaultBegins(planned.number)),
                When::Met { .. } => self.waiting.extend(Waiting::new(&planned)),
            }
        }
        // What has a time of its own is not to be scheduled twice.
        let plan = &self.plan;
        let is_met = |resolved: &Resolved| {
            plan.get(usize::from(resolved.number)).is_some_and(|planned| matches!(planned.when, When::Met { .. }))
        };
        if let Some(follow) = &mut self.follow {
            follow.retain(is_met);
        }
        let scenario = self.scenario.clone();
        for (number, operation) in (0..).zip(&scenario.operations) {
            let stream = scenario.faults.len() + usize::from(number);
            match operation.trigger {
                Trigger::At(at) => {
                    let at = self.fault_streams[stream].within(at);
                    self.push(at, Event::Operation(number));
                }
                Trigger::When(condition) => {
                    let after = self.fault_streams[stream].within(condition.after);
                    self.waiting_operations.push(Waiting::for_condition(number, condition, after));
                }
                Trigger::Random { every, from, until } => {
                    let until = until.unwrap_or(scenario.duration);
                    let mut at = from + self.fault_streams[stream].within(every);
                    while at < until {
                        self.push(at, Event::Operation(number));
                        at += self.fault_streams[stream].within(every).max(1);
                    }
                }
            }
        }
    }

    /// Something happened that conditions may wait for.
    #[inline(always)] // Most runs wait for nothing: then the happening need not even be put together.
    pub(super) fn happened(&mut self, happening: Happening) {
        if !self.waiting.is_empty() || !self.waiting_operations.is_empty() {
            self.meet(happening);
        }
    }

    #[inline(never)]
    fn meet(&mut self, happening: Happening) {
        let mut met = Vec::new();
        self.waiting.retain_mut(|waiting| match waiting.meet(happening) {
            Some(after) => {
                met.push((after, Event::FaultBegins(waiting.number)));
                false
            }
            None => true,
        });
        self.waiting_operations.retain_mut(|waiting| match waiting.meet(happening) {
            Some(after) => {
                met.push((after, Event::Operation(waiting.number)));
                false
            }
            None => true,
        });
        for (after, event) in met {
            match event {
                Event::FaultBegins(number) if self.follow.is_some() => self.met_as_planned(number),
                event => self.begin_after(after, event),
            }
        }
    }

    /// A condition was met: what waited for it begins so much later, unless the chaos is over by then.
    fn begin_after(&mut self, after: Nanos, event: Event) {
        let at = self.now + after;
        if at < self.scenario.duration {
            if let Event::FaultBegins(number) = event {
                self.known_after.insert(number, self.events);
            }
            self.push(at, event);
        }
    }

    /// In a replay a condition was met. If that was to be expected here, its fault is scheduled here and now, and not a
    /// moment later: the order of what falls on one moment is the order in which it was scheduled. If not, the plan
    /// knows better.
    fn met_as_planned(&mut self, number: u16) {
        let events = self.events;
        let is_this = |resolved: &Resolved| resolved.number == number && resolved.known_after == events;
        let follow = self.follow.as_mut().expect("invariant: only a replay asks");
        if let Some(at) = follow.iter().position(is_this) {
            let resolved = follow.remove(at);
            self.begin_planned(&resolved);
        }
    }

    fn begin_planned(&mut self, resolved: &Resolved) {
        self.known_after.insert(resolved.number, resolved.known_after);
        self.push(resolved.at_ns.max(self.now), Event::FaultBegins(resolved.number));
    }

    /// In a replay: schedules what the capsule's plan knows by now and this run, being another build's, has not met.
    pub(super) fn follow_plan(&mut self) {
        let Some(follow) = self.follow.as_mut().filter(|follow| !follow.is_empty()) else { return };
        let next_at = self.heap.next_at().unwrap_or(Nanos::MAX);
        let events = self.events;
        let due = |resolved: &Resolved| events >= resolved.known_after || next_at > resolved.at_ns;
        let (due, later): (Vec<_>, Vec<_>) = follow.drain(..).partition(due);
        *follow = later;
        due.iter().for_each(|resolved| self.begin_planned(resolved));
    }

    pub(super) fn begin_fault(&mut self, number: u16) {
        let planned = self.plan[usize::from(number)].clone();
        let Some(targets) = self.targets(&planned) else { return };
        self.note(What::FaultBegan(number));
        self.resolved.push(Resolved {
            number,
            kind: planned.action.kind().to_owned(),
            known_after: self.known_after.get(&number).copied().unwrap_or(0),
            at_ns: self.now,
            lasting_ns: planned.lasting,
            members: targets.iter().map(|set| members_of(*set).map(|member| member + 1).collect()).collect(),
        });
        self.inject(&planned, &targets);
        if let Some(lasting) = planned.lasting {
            self.push(self.now + lasting, Event::FaultEnds(number));
        }
        self.happened(Happening { fault: Some(planned.source), ..Happening::general(scenario::Event::FaultStarted) });
    }

    /// What the fault's targets come to now; `None` if the fault atlas forbids it, because random faults would take
    /// more members away than the protocol tolerates.
    fn targets(&mut self, planned: &Planned) -> Option<Vec<NodeSet>> {
        let roles = self.roles();
        let random = &mut self.fault_streams[planned.source];
        let mut sets: Vec<NodeSet> = match &planned.action {
            Action::Partition { sides, .. } => {
                sides.iter().map(|side| side.iter().fold(0, |set, member| set | 1 << (member - 1))).collect()
            }
            action => targets_of(action).into_iter().map(|target| resolve(target, roles, random)).collect(),
        };
        if planned.random && self.scenario.tolerance != Tolerance::SafetyOnly && takes_away(&planned.action) {
            let gone = self.nodes.iter().filter(|node| roles.members & 1 << node.index != 0);
            let gone = gone.filter(|node| !node.is_up() || node.paused().is_some());
            let gone = gone.fold(0, |set: NodeSet, node| set | 1 << node.index);
            let all = sets.iter().fold(gone, |all, set| all | set);
            if all.count_ones() > (roles.members.count_ones() - 1) / 2 {
                return None;
            }
        }
        // A capsule says what they came to.
        if let Some(known) = self.known_targets.get(&planned.number) {
            sets = known.iter().map(|side| side.iter().fold(0, |set, member| set | 1 << (member - 1))).collect();
        }
        Some(sets)
    }

    /// Who is who now.
    pub(super) fn roles(&self) -> Roles {
        let members = self.nodes.iter().filter(|node| node.standing == Standing::Member);
        let members = members.fold(0, |set: NodeSet, node| set | 1 << node.index);
        Roles { members, leader: self.observer.leader().filter(|leader| self.is_member(*leader)) }
    }

    fn inject(&mut self, planned: &Planned, targets: &[NodeSet]) {
        let number = planned.number;
        let all: NodeSet = (1 << self.nodes.len()) - 1;
        let first = targets.first().copied().unwrap_or(0);
        let second = targets.get(1).copied().unwrap_or(all);
        let random = |world: &mut World, range: Range64| world.fault_streams[planned.source].within(range);
        match &planned.action {
            Action::Crash { unsynced, bugs_after, wipe, .. } => {
                let fault = self.current;
                for member in members_of(first) {
                    self.current = fault;
                    self.kill(member, *unsynced);
                    let node = &mut self.nodes[usize::from(member)];
                    if let Some(bugs) = bugs_after {
                        node.bugs =
                            bugs.iter().fold(Default::default(), |set: seedbed::bug::BugSet, bug| set.with(*bug));
                    }
                    if *wipe {
                        node.disk.get().wipe();
                        node.damaged = true;
                        self.replay_checker.on_wipe(usize::from(member));
                    }
                    self.hold(member, number, HoldKind::Down);
                }
            }
            Action::CrashAtDiskOp { op, .. } => {
                let after = random(self, *op);
                for member in members_of(first) {
                    let node = &mut self.nodes[usize::from(member)];
                    node.disk.get().faults.cut_after = Some(after);
                    node.cut_by = number;
                }
            }
            Action::Pause { .. } => {
                members_of(first).for_each(|member| {
                    self.note_aside(self.current, What::Paused(member));
                });
                self.hold_all(first, number, HoldKind::Pause);
            }
            Action::SlowCpu { factor, .. } => self.hold_all(first, number, HoldKind::SlowCpu(*factor)),
            Action::MemoryLimit { bytes, .. } => self.hold_all(first, number, HoldKind::MemoryLimit(*bytes)),
            Action::Partition { in_flight, .. } => {
                for (i, side) in targets.iter().enumerate() {
                    for other in targets.iter().enumerate().filter(|(j, _)| *j != i).map(|(_, set)| *set) {
                        self.rule(number, *side, other, Effect::Cut, *in_flight);
                    }
                }
            }
            Action::Isolate { in_flight, clients, .. } => {
                self.rule(number, first, all & !first, Effect::Cut, *in_flight);
                self.rule(number, all & !first, first, Effect::Cut, *in_flight);
                if *clients {
                    self.hold_all(first, number, HoldKind::ClientsCut);
                }
            }
            Action::OneWay { .. } => self.rule(number, first, second, Effect::Cut, InFlight::Die),
            Action::Deaf { .. } => self.rule(number, all & !first, first, Effect::Cut, InFlight::Die),
            Action::Mute { .. } => self.rule(number, first, all & !first, Effect::Cut, InFlight::Die),
            Action::Loss { percent, .. } => self.rule(number, first, second, Effect::Loss(*percent), InFlight::Arrive),
            Action::Delay { by, .. } => self.rule(number, first, second, Effect::Delay(*by), InFlight::Arrive),
            Action::Duplicate { percent, .. } => {
                self.rule(number, all, all, Effect::Duplicate(*percent), InFlight::Arrive);
            }
            Action::Reorder { percent, by, .. } => {
                self.rule(number, all, all, Effect::Reorder(*percent, *by), InFlight::Arrive);
            }
            Action::Bandwidth { bytes_per_s, .. } => {
                self.rule(number, first, second, Effect::Bandwidth(*bytes_per_s), InFlight::Arrive);
            }
            Action::DropKind { messages, .. } => {
                self.rule(number, first, second, Effect::Drop(messages.clone()), InFlight::Arrive);
            }
            Action::Heal => self.end_all_faults(),
            Action::FsyncStall { .. } => {
                let stall = planned.lasting.expect("invariant: a stall has a length");
                let record = self.current;
                members_of(first)
                    .for_each(|m| self.nodes[usize::from(m)].disk.get().faults.stall = Some((stall, record)));
            }
            Action::SlowDisk { factor, .. } => self.hold_all(first, number, HoldKind::SlowDisk(*factor)),
            Action::DiskError { error, file, .. } => {
                let fault = Some((*error, *file));
                for member in members_of(first) {
                    let node = &mut self.nodes[usize::from(member)];
                    node.disk_fails = true;
                    match error {
                        DiskErrorKind::Unreadable => node.disk.get().hide_page(file.unwrap_or(FileKind::Db)),
                        _ => node.disk.get().faults.error = fault,
                    }
                }
            }
            Action::LyingFsync { .. } => {
                self.damage(first);
                self.hold_all(first, number, HoldKind::LyingFsync);
            }
            Action::BitRot { file, bits, .. } => {
                self.damage(first);
                members_of(first).for_each(|m| self.nodes[usize::from(m)].disk.get().rot(*file, *bits));
            }
            Action::LatentSector { file, .. } => {
                self.damage(first);
                members_of(first).for_each(|m| self.nodes[usize::from(m)].disk.get().lose_sector(*file));
            }
            Action::MisdirectedWrite { file, .. } => {
                self.damage(first);
                members_of(first).for_each(|m| self.nodes[usize::from(m)].disk.get().faults.misdirect = Some(*file));
            }
            Action::DiskFull { .. } => {
                members_of(first).for_each(|m| self.nodes[usize::from(m)].disk_fails = true);
                self.hold_all(first, number, HoldKind::DiskFull);
            }
            Action::ClockRate { ppm, .. } => self.hold_all(first, number, HoldKind::ClockRate(*ppm)),
            Action::ClockJump { by, .. } => {
                members_of(first).for_each(|m| self.nodes[usize::from(m)].clock.jump(*by));
            }
            Action::Nemesis { .. } => panic!("invariant: a nemesis was expanded before the run"),
        }
    }

    fn rule(&mut self, fault: u16, from: NodeSet, to: NodeSet, effect: Effect, in_flight: InFlight) {
        let rule = Rule { fault, record: self.current, from, to, effect };
        self.network.add(rule, in_flight == InFlight::Die);
    }

    fn hold_all(&mut self, set: NodeSet, fault: u16, kind: HoldKind) {
        members_of(set).for_each(|member| self.hold(member, fault, kind));
    }

    fn hold(&mut self, member: NodeIndex, fault: u16, kind: HoldKind) {
        let record = self.current;
        let node = &mut self.nodes[usize::from(member)];
        node.holds.push(Hold { fault, record, kind });
        self.obey(member);
    }

    fn damage(&mut self, set: NodeSet) {
        members_of(set).for_each(|member| self.nodes[usize::from(member)].damaged = true);
    }

    /// Makes a member's surroundings what its holds say.
    fn obey(&mut self, member: NodeIndex) {
        let (now, costs) = (self.now, self.costs);
        let node = &mut self.nodes[usize::from(member)];
        let (rate, own_ppm) = (node.clock.rate(), node.own_ppm);
        node.obey_holds(now, costs, own_ppm);
        if node.clock.rate() != rate && node.is_up() {
            // Its deadline comes at another moment now. Waking it at once lets it say when; being early does no harm.
            node.deadline = now;
            self.schedule_deadline(member);
        }
    }

    pub(super) fn end_fault(&mut self, number: u16) {
        self.note(What::FaultEnded(number));
        self.network.remove(number);
        for member in 0..self.nodes.len() as NodeIndex {
            self.release(member, |hold| hold.fault == number);
        }
        let source = self.plan[usize::from(number)].source;
        self.happened(Happening { fault: Some(source), ..Happening::general(scenario::Event::FaultEnded) });
    }

    pub(super) fn end_all_faults(&mut self) {
        self.network.heal();
        for member in 0..self.nodes.len() as NodeIndex {
            let node = &mut self.nodes[usize::from(member)];
            node.disk.get().faults = Default::default();
            self.release(member, |_| true);
            let node = &self.nodes[usize::from(member)];
            let stopped = matches!(node.process, Process::Stopped | Process::Down);
            if stopped {
                self.start(member);
            }
        }
    }

    /// Takes holds off a member; what they held up goes on.
    fn release(&mut self, member: NodeIndex, ends: impl Fn(&Hold) -> bool) {
        let at = usize::from(member);
        let node = &mut self.nodes[at];
        let was_paused = node.paused();
        let was_down = node.hold(|kind| kind == HoldKind::Down).is_some();
        if !node.holds.iter().any(&ends) {
            return;
        }
        node.holds.retain(|hold| !ends(hold));
        self.obey(member);
        let node = &mut self.nodes[at];
        let still_down = node.hold(|kind| kind == HoldKind::Down).is_some();
        if was_down && !still_down && matches!(node.process, Process::Down) {
            self.start(member);
        }
        let node = &mut self.nodes[at];
        if let Some(record) = was_paused
            && node.paused().is_none()
        {
            node.last_pause = Some((record, self.now));
            self.note_aside(self.current, What::Resumed(member));
            self.schedule_turn(member);
        }
    }

    pub(super) fn on_power_cut(&mut self, member: NodeIndex, fault: u16) {
        let unsynced = match self.plan[usize::from(fault)].action {
            Action::CrashAtDiskOp { unsynced, .. } => unsynced,
            _ => Unsynced::Random,
        };
        self.kill(member, unsynced);
        self.hold(member, fault, HoldKind::Down);
        // The fault's own end starts it again; if that is past already, someone has to.
        let lasting = self.plan[usize::from(fault)].lasting;
        self.push(self.now + lasting.unwrap_or(Nanos::MAX / 4), Event::FaultEnds(fault));
    }
}

/// Whether a fault takes a member away while it lasts.
fn takes_away(action: &Action) -> bool {
    matches!(action, Action::Crash { .. } | Action::CrashAtDiskOp { .. } | Action::Pause { .. })
}

/// The targets of an action: first the one hit (or the sending side), then the receiving side.
fn targets_of(action: &Action) -> Vec<Target> {
    match action {
        Action::Crash { target, .. }
        | Action::CrashAtDiskOp { target, .. }
        | Action::Pause { target, .. }
        | Action::SlowCpu { target, .. }
        | Action::MemoryLimit { target, .. }
        | Action::Isolate { target, .. }
        | Action::Deaf { target, .. }
        | Action::Mute { target, .. }
        | Action::FsyncStall { target, .. }
        | Action::SlowDisk { target, .. }
        | Action::DiskError { target, .. }
        | Action::LyingFsync { target, .. }
        | Action::BitRot { target, .. }
        | Action::LatentSector { target, .. }
        | Action::MisdirectedWrite { target, .. }
        | Action::DiskFull { target, .. }
        | Action::ClockRate { target, .. }
        | Action::ClockJump { target, .. } => vec![*target],
        Action::OneWay { from, to, .. }
        | Action::Loss { from, to, .. }
        | Action::Delay { from, to, .. }
        | Action::Bandwidth { from, to, .. }
        | Action::DropKind { from, to, .. } => vec![*from, *to],
        Action::Partition { .. }
        | Action::Duplicate { .. }
        | Action::Reorder { .. }
        | Action::Heal
        | Action::Nemesis { .. } => Vec::new(),
    }
}
