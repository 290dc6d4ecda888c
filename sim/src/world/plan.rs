//! The fault plan: what the scenario's faults come to in one run.
//!
//! Before the run every fault of the file is *expanded* with a stream of its own: times and durations are drawn, a
//! nemesis becomes the list of faults that it will inject. As the run goes each is *resolved*: a condition comes to a
//! moment, a target ("leader") to members. The resolved plan is kept and written into capsules; a replay follows it.

use super::net::NodeSet;
use super::random::Stream;
use super::record::NodeIndex;
use crate::scenario::{Action, Condition, Event, Family, InFlight, Range64, Scenario, Target, Trigger, Unsynced};
use seedbed::time::Nanos;
use serde::{Deserialize, Serialize};

/// A fault as it will happen.
#[derive(Clone, Debug)]
pub(crate) struct Planned {
    /// Its number in the plan.
    pub(super) number: u16,
    /// The fault of the file that it comes from.
    pub(crate) source: usize,
    /// Whether it is one of a nemesis's.
    pub(super) random: bool,
    pub(super) when: When,
    pub(crate) action: Action,
    /// How long it lasts; `None`: until everything is healed, or it has no end of its own.
    pub(super) lasting: Option<Nanos>,
}

/// When a planned fault begins.
#[derive(Clone, Copy, Debug)]
pub(super) enum When {
    At(Nanos),
    /// So long after the condition was met for the `nth` time.
    Met {
        condition: Condition,
        after: Nanos,
    },
}

/// What a planned fault came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resolved {
    /// Its number in the plan.
    pub number: u16,
    /// Its kind, as the scenario names it.
    pub kind: String,
    /// The event of the world after which its moment was known.
    pub known_after: u64,
    /// When it began, in virtual nanoseconds.
    pub at_ns: Nanos,
    /// How long it lasts, in nanoseconds, if it has an end of its own.
    pub lasting_ns: Option<Nanos>,
    /// The members that its targets came to: first, for kinds with two, the sending side; from 1.
    pub members: Vec<Vec<u8>>,
}

/// Expands the scenario's faults. It is a function of its arguments alone, so that a story can ask again what a fault
/// was.
pub(crate) fn expand(scenario: &Scenario, seed: u64) -> Vec<Planned> {
    let mut plan = Vec::new();
    for (source, fault) in scenario.faults.iter().enumerate() {
        let mut random = Stream::new(seed, &format!("faults/{source}"));
        let mut add = |is_random, when, action: Action, lasting| {
            let number = u16::try_from(plan.len()).expect("invariant: a plan has fewer than 65,536 faults");
            plan.push(Planned { number, source, random: is_random, when, action, lasting });
        };
        match (&fault.trigger, &fault.action) {
            (Trigger::Random { every, from, until }, Action::Nemesis { families, lasting, intensity }) => {
                let until = until.unwrap_or(scenario.duration).min(scenario.duration);
                let mut at = from + random.within(*every);
                while at < until {
                    let family = *random.pick(families);
                    let lasting = random.within(*lasting);
                    let members = scenario.cluster.members;
                    let action = nemesis(family, *intensity, members, lasting, &mut random);
                    add(true, When::At(at), action, Some(lasting));
                    at += random.within(*every).max(1);
                }
            }
            (Trigger::Random { every, from, until }, action) => {
                let until = until.unwrap_or(scenario.duration).min(scenario.duration);
                let mut at = from + random.within(*every);
                while at < until {
                    let lasting = lasting(action).map(|range| random.within(range));
                    add(false, When::At(at), action.clone(), lasting);
                    at += random.within(*every).max(1);
                }
            }
            (Trigger::At(at), action) => {
                let at = random.within(*at);
                let lasting = lasting(action).map(|range| random.within(range));
                add(false, When::At(at), action.clone(), lasting);
            }
            (Trigger::When(condition), action) => {
                let after = random.within(condition.after);
                let lasting = lasting(action).map(|range| random.within(range));
                add(false, When::Met { condition: *condition, after }, action.clone(), lasting);
            }
        }
    }
    plan
}

/// How long an action lasts, if it has an end of its own. An fsync stall is over with the sync that it stalls.
fn lasting(action: &Action) -> Option<Range64> {
    match action {
        Action::Crash { restart_after: lasting, .. } | Action::CrashAtDiskOp { restart_after: lasting, .. } => *lasting,
        Action::Pause { lasting, .. }
        | Action::SlowCpu { lasting, .. }
        | Action::MemoryLimit { lasting, .. }
        | Action::Partition { lasting, .. }
        | Action::Isolate { lasting, .. }
        | Action::OneWay { lasting, .. }
        | Action::Deaf { lasting, .. }
        | Action::Mute { lasting, .. }
        | Action::Loss { lasting, .. }
        | Action::Delay { lasting, .. }
        | Action::Duplicate { lasting, .. }
        | Action::Reorder { lasting, .. }
        | Action::Bandwidth { lasting, .. }
        | Action::DropKind { lasting, .. }
        | Action::SlowDisk { lasting, .. }
        | Action::LyingFsync { lasting, .. }
        | Action::DiskFull { lasting, .. }
        | Action::ClockRate { lasting, .. } => *lasting,
        Action::FsyncStall { lasting, .. } | Action::Nemesis { lasting, .. } => Some(*lasting),
        Action::Heal
        | Action::DiskError { .. }
        | Action::BitRot { .. }
        | Action::LatentSector { .. }
        | Action::MisdirectedWrite { .. }
        | Action::ClockJump { .. } => None,
    }
}

/// A fault of a family, with its parameters drawn. `intensity` (percent) scales how hard it hits.
fn nemesis(family: Family, intensity: u32, members: u8, lasting: Nanos, random: &mut Stream) -> Action {
    let range = Range64::exactly(lasting);
    let lasting = Some(range);
    let target = if random.chance(400_000) { Target::Leader } else { Target::Random };
    let in_flight = if random.chance(500_000) { InFlight::Die } else { InFlight::Arrive };
    let hard = |most: u64, random: &mut Stream| 1 + random.below((most * u64::from(intensity) / 100).max(1));
    match family {
        Family::Partition if random.chance(500_000) => {
            Action::Isolate { target, lasting, in_flight, clients: random.chance(300_000) }
        }
        Family::Partition => Action::Partition { sides: two_sides(members, random), lasting, in_flight },
        Family::OneWay if random.chance(500_000) => Action::Deaf { target, lasting },
        Family::OneWay => Action::Mute { target, lasting },
        Family::Crash => {
            let unsynced = *random.pick(&[Unsynced::Lost, Unsynced::Kept, Unsynced::Random]);
            if random.chance(300_000) {
                let op = Range64::exactly(random.below(40));
                return Action::CrashAtDiskOp { target, op, restart_after: lasting, unsynced };
            }
            Action::Crash { target, restart_after: lasting, unsynced, bugs_after: None, wipe: false }
        }
        Family::Pause => Action::Pause { target, lasting },
        Family::SlowCpu => Action::SlowCpu { target, factor: hard(2_000, random) as u32, lasting },
        Family::SlowDisk => Action::SlowDisk { target, factor: hard(200, random) as u32, lasting },
        Family::FsyncStall => Action::FsyncStall { target, lasting: range },
        Family::Loss => {
            let percent = hard(60, random).min(100) as u32;
            Action::Loss { from: Target::All, to: Target::All, percent, lasting }
        }
        Family::Delay => {
            let by = Range64::new(1_000_000, 1_000_000 * (1 + hard(400, random)));
            Action::Delay { from: Target::All, to: Target::All, by, lasting }
        }
        Family::Duplicate => Action::Duplicate { percent: hard(50, random).min(100) as u32, lasting },
        Family::Reorder => {
            let by = Range64::new(1_000_000, 1_000_000 * (1 + hard(200, random)));
            Action::Reorder { percent: hard(50, random).min(100) as u32, by, lasting }
        }
        Family::Clock if random.chance(500_000) => {
            let by = random.below(7_200_000_000_000) as i64 - 3_600_000_000_000;
            Action::ClockJump { target, by }
        }
        Family::Clock => {
            let ppm = random.below(200_001) as i32 - 100_000;
            Action::ClockRate { target, ppm: ppm * intensity as i32 / 100, lasting }
        }
    }
}

fn two_sides(members: u8, random: &mut Stream) -> Vec<Vec<u8>> {
    let mut sides = vec![Vec::new(), Vec::new()];
    for member in 1..=members {
        sides[random.below(2) as usize].push(member);
    }
    // A partition with an empty side is none: move someone over.
    if let Some(empty) = sides.iter().position(Vec::is_empty) {
        let moved = sides[1 - empty].pop().expect("invariant: a cluster has members");
        sides[empty].push(moved);
    }
    sides
}

/// Who is who when a target is resolved.
#[derive(Clone, Copy, Debug)]
pub(super) struct Roles {
    /// The machines that are members.
    pub(super) members: NodeSet,
    pub(super) leader: Option<NodeIndex>,
}

/// The members that a target means now.
pub(super) fn resolve(target: Target, roles: Roles, random: &mut Stream) -> NodeSet {
    let all = roles.members;
    let count = all.count_ones() as u8;
    let one = |set: NodeSet, random: &mut Stream| {
        let members: Vec<NodeIndex> = super::node::members_of(set).collect();
        if members.is_empty() { 0 } else { 1 << *random.pick(&members) }
    };
    let some = |count: u8, random: &mut Stream| {
        let mut set = 0;
        for _ in 0..count {
            set |= one(all & !set, random);
        }
        set
    };
    let leader = roles.leader.map_or(0, |leader| 1 << leader);
    match target {
        Target::Member(member) => 1 << (member - 1),
        // Without a leader someone has to take its place.
        Target::Leader => {
            if leader != 0 {
                leader
            } else {
                one(all, random)
            }
        }
        Target::Follower => one(all & !leader, random),
        Target::Followers => all & !leader,
        Target::Random => one(all, random),
        Target::All => all,
        Target::Minority => some(count.saturating_sub(1) / 2, random),
        Target::Majority => some(count / 2 + 1, random),
    }
}

/// Something that a condition may wait for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Happening {
    pub(super) event: Event,
    pub(super) member: Option<NodeIndex>,
    /// The indexes of the log that it concerns, first and last.
    pub(super) indexes: Option<(u64, u64)>,
    /// The fault of the file that began or ended.
    pub(super) fault: Option<usize>,
}

impl Happening {
    /// Something that happened at a member.
    pub(super) fn of(event: Event, member: NodeIndex) -> Happening {
        Happening { event, member: Some(member), indexes: None, fault: None }
    }

    /// Something that happened at none in particular.
    pub(super) fn general(event: Event) -> Happening {
        Happening { event, member: None, indexes: None, fault: None }
    }
}

/// A condition that has not been met often enough.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    pub(super) number: u16,
    condition: Condition,
    after: Nanos,
    seen: u32,
}

impl Waiting {
    pub(super) fn new(planned: &Planned) -> Option<Waiting> {
        match planned.when {
            When::Met { condition, after } => Some(Waiting::for_condition(planned.number, condition, after)),
            When::At(_) => None,
        }
    }

    pub(super) fn for_condition(number: u16, condition: Condition, after: Nanos) -> Waiting {
        Waiting { number, condition, after, seen: 0 }
    }

    /// Counts a happening if it fits; says how long after it the fault begins if that was the last one needed.
    pub(super) fn meet(&mut self, happening: Happening) -> Option<Nanos> {
        let Condition { event, member, index, fault, nth, .. } = self.condition;
        let fits = event == happening.event
            && member.is_none_or(|member| happening.member == Some(member - 1))
            && index.is_none_or(|index| happening.indexes.is_some_and(|(first, last)| first <= index && index <= last))
            && fault.is_none_or(|fault| happening.fault == Some(fault));
        self.seen += u32::from(fits);
        (fits && self.seen == nth).then_some(self.after)
    }
}
