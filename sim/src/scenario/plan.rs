//! From the file's `[[fault]]` and `[[operation]]` tables to [`Fault`]s and [`Operation`]s.
//!
//! A kind decides which keys a fault takes; [`keys_of`] is that table. A key that is missing is reported at the kind
//! that needs it, one that is too many at the key itself.

use super::{
    Action, Cluster, Fault, FileKind, InFlight, Operation, OperationAction, Range64, Target, Trigger,
    action::FaultKind,
    at::At,
    error::{Problem, clip},
    fault::OperationKind,
    names::Member,
    shape::{FaultShape, OperationShape},
    trigger::{trigger, trigger_keys},
};
use std::ops::Range;
use toml::de::DeTable;

type Span = Range<usize>;

/// What a fault is checked against.
pub(super) struct Surroundings<'a> {
    pub(super) cluster: &'a Cluster,
    pub(super) duration: u64,
    /// The names of all faults, by index.
    pub(super) fault_names: &'a [Option<String>],
}

/// One entry of the file: its table (for the places of its keys) and where it stands.
pub(super) struct Entry<'a> {
    pub(super) table: &'a DeTable<'a>,
    pub(super) span: Span,
    /// "the fault "crash"", "a fault", for messages.
    pub(super) what: String,
    /// The keys that its kind takes; empty until the kind is known.
    pub(super) takes: &'static [&'static str],
}

impl Entry<'_> {
    pub(super) fn key_span(&self, key: &str) -> Span {
        self.table.get_key_value(key).map_or(self.span.clone(), |(key, _)| key.span())
    }

    fn need<'s, T>(&self, value: &'s Option<T>, key: &str) -> Result<&'s T, Problem> {
        let hint = || format!("it takes: {}", self.takes.join(", "));
        let missing = || Problem::new(self.span.clone(), format!("{} needs the key \"{key}\"", self.what), hint());
        value.as_ref().ok_or_else(missing)
    }

    /// Refuses keys that are none of `taken`.
    fn only(&self, taken: &[&str]) -> Result<(), Problem> {
        match self.table.keys().find(|key| !taken.contains(&key.get_ref().as_ref())) {
            None => Ok(()),
            Some(key) => Err(Problem::new(
                key.span(),
                format!("{} does not take the key \"{}\"", self.what, clip(key.get_ref())),
                format!("it takes: {}", taken.join(", ")),
            )),
        }
    }
}

/// The keys of a kind, besides its name, `kind` and the trigger.
fn keys_of(kind: FaultKind) -> &'static [&'static str] {
    match kind {
        FaultKind::Crash => &["target", "for", "unsynced", "bugs_after", "wipe"],
        FaultKind::CrashAtDiskOp => &["target", "op", "for", "unsynced"],
        FaultKind::SlowCpu | FaultKind::SlowDisk => &["target", "factor", "for"],
        FaultKind::MemoryLimit => &["target", "bytes", "for"],
        FaultKind::Partition => &["sides", "for", "in_flight"],
        FaultKind::Isolate => &["target", "for", "in_flight", "clients"],
        FaultKind::OneWay => &["from", "to", "for"],
        FaultKind::Loss => &["from", "to", "percent", "for"],
        FaultKind::Delay => &["from", "to", "by", "for"],
        FaultKind::Duplicate => &["percent", "for"],
        FaultKind::Reorder => &["percent", "by", "for"],
        FaultKind::Bandwidth => &["from", "to", "bytes_per_s", "for"],
        FaultKind::DropKind => &["from", "to", "messages", "for"],
        FaultKind::Heal => &[],
        FaultKind::DiskError => &["target", "error", "file"],
        FaultKind::BitRot => &["target", "file", "bits"],
        FaultKind::LatentSector | FaultKind::MisdirectedWrite => &["target", "file"],
        FaultKind::ClockRate => &["target", "ppm", "for"],
        FaultKind::ClockJump => &["target", "by"],
        FaultKind::Pause
        | FaultKind::Deaf
        | FaultKind::Mute
        | FaultKind::FsyncStall
        | FaultKind::LyingFsync
        | FaultKind::DiskFull => &["target", "for"],
    }
}

/// The keys that only random faults take.
const NEMESIS_KEYS: &[&str] = &["random", "for", "intensity"];

/// A fault from its entry in the file.
pub(super) fn fault(shape: &FaultShape, mut entry: Entry<'_>, around: &Surroundings<'_>) -> Result<Fault, Problem> {
    let mut taken = vec!["name"];
    match (&shape.kind, &shape.random) {
        (Some(_), Some(_)) => {
            let hint = "`random` draws its own kinds: leave `kind` out";
            return Err(Problem::new(entry.key_span("random"), "a fault has a `kind` or is `random`, not both", hint));
        }
        (Some(kind), None) => {
            entry.what = format!("the fault {:?}", kind.get().name());
            entry.span = kind.span();
            taken.push("kind");
            entry.takes = keys_of(*kind.get());
        }
        (None, Some(families)) => {
            entry.what = "a random fault".to_owned();
            entry.span = families.span();
            entry.takes = NEMESIS_KEYS;
        }
        (None, None) => {
            let hint = format!("known kinds: {}", FaultKind::NAMES.join(", "));
            return Err(Problem::new(entry.span, "a fault needs the key \"kind\" (or \"random\")", hint));
        }
    }
    taken.extend(entry.takes);
    let (trigger, trigger_keys) = trigger(&trigger_keys!(shape), &entry, around)?;
    taken.extend(trigger_keys);
    entry.only(&taken)?;
    let action = match &shape.kind {
        Some(kind) => action(*kind.get(), shape, &entry, around.cluster)?,
        None => nemesis(shape, &entry, &trigger)?,
    };
    Ok(Fault { trigger, action, name: shape.name.as_ref().map(|name| name.get().clone()) })
}

/// What a fault does, from the keys of its kind.
fn action(kind: FaultKind, shape: &FaultShape, entry: &Entry<'_>, cluster: &Cluster) -> Result<Action, Problem> {
    let lasting = shape.r#for.as_ref().map(|range| range.get().range());
    let target = || entry.need(&shape.target, "target").and_then(|target| target_in(target, cluster));
    let end = |target: &Option<At<Target>>| target.as_ref().map_or(Ok(Target::All), |end| target_in(end, cluster));
    let percent = || entry.need(&shape.percent, "percent").map(|percent| percent.get().to());
    let factor = || entry.need(&shape.factor, "factor").map(|factor| factor.get().to());
    let unsynced = shape.unsynced.as_ref().map(|unsynced| *unsynced.get()).unwrap_or_default();
    let in_flight: InFlight = shape.in_flight.as_ref().map(|fate| *fate.get()).unwrap_or_default();
    let file = || shape.file.as_ref().map(|file| *file.get());
    let is_set = |switch: &Option<At<bool>>| switch.as_ref().is_some_and(|switch| *switch.get());

    Ok(match kind {
        FaultKind::Crash => Action::Crash {
            target: target()?,
            restart_after: lasting,
            unsynced,
            bugs_after: bugs_after(shape)?,
            wipe: is_set(&shape.wipe),
        },
        FaultKind::CrashAtDiskOp => {
            let op = entry.need(&shape.op, "op")?;
            let range = op.get().range();
            if range.lo == 0 {
                return Err(Problem::new(op.span(), "disk operations are counted from 1", ""));
            }
            Action::CrashAtDiskOp { target: target()?, op: range, restart_after: lasting, unsynced }
        }
        FaultKind::Pause => Action::Pause { target: target()?, lasting },
        FaultKind::SlowCpu => Action::SlowCpu { target: target()?, factor: factor()?, lasting },
        FaultKind::MemoryLimit => {
            let bytes = entry.need(&shape.bytes, "bytes")?.get().0;
            Action::MemoryLimit { target: target()?, bytes, lasting }
        }
        FaultKind::Partition => Action::Partition { sides: sides(shape, entry, cluster)?, lasting, in_flight },
        FaultKind::Isolate => {
            let clients = is_set(&shape.clients);
            Action::Isolate { target: target()?, lasting, in_flight, clients }
        }
        FaultKind::OneWay => {
            let from = target_in(entry.need(&shape.from, "from")?, cluster)?;
            let to = target_in(entry.need(&shape.to, "to")?, cluster)?;
            Action::OneWay { from, to, lasting }
        }
        FaultKind::Deaf => Action::Deaf { target: target()?, lasting },
        FaultKind::Mute => Action::Mute { target: target()?, lasting },
        FaultKind::Loss => Action::Loss { from: end(&shape.from)?, to: end(&shape.to)?, percent: percent()?, lasting },
        FaultKind::Delay => {
            Action::Delay { from: end(&shape.from)?, to: end(&shape.to)?, by: by(shape, entry)?, lasting }
        }
        FaultKind::Duplicate => Action::Duplicate { percent: percent()?, lasting },
        FaultKind::Reorder => Action::Reorder { percent: percent()?, by: by(shape, entry)?, lasting },
        FaultKind::Bandwidth => {
            let bytes_per_s = entry.need(&shape.bytes_per_s, "bytes_per_s")?;
            if bytes_per_s.get().0 == 0 {
                let hint = "to cut a link use \"one-way\", \"partition\" or \"isolate\"";
                return Err(Problem::new(bytes_per_s.span(), "a link of 0 bytes per second carries nothing", hint));
            }
            let bytes_per_s = bytes_per_s.get().0;
            Action::Bandwidth { from: end(&shape.from)?, to: end(&shape.to)?, bytes_per_s, lasting }
        }
        FaultKind::DropKind => {
            let messages = entry.need(&shape.messages, "messages")?;
            if messages.get().is_empty() {
                return Err(Problem::new(messages.span(), "an empty list drops nothing", ""));
            }
            let messages = messages.get().clone();
            Action::DropKind { from: end(&shape.from)?, to: end(&shape.to)?, messages, lasting }
        }
        FaultKind::Heal => Action::Heal,
        FaultKind::FsyncStall => {
            let lasting = entry.need(&shape.r#for, "for")?.get().range();
            Action::FsyncStall { target: target()?, lasting }
        }
        FaultKind::SlowDisk => Action::SlowDisk { target: target()?, factor: factor()?, lasting },
        FaultKind::DiskError => {
            Action::DiskError { target: target()?, error: *entry.need(&shape.error, "error")?.get(), file: file() }
        }
        FaultKind::LyingFsync => Action::LyingFsync { target: target()?, lasting },
        FaultKind::BitRot => Action::BitRot {
            target: target()?,
            file: *entry.need(&shape.file, "file")?.get(),
            bits: shape.bits.as_ref().map_or(1, |bits| bits.get().to()),
        },
        FaultKind::LatentSector => Action::LatentSector { target: target()?, file: file().unwrap_or(FileKind::Wal) },
        FaultKind::MisdirectedWrite => Action::MisdirectedWrite { target: target()?, file: file() },
        FaultKind::DiskFull => Action::DiskFull { target: target()?, lasting },
        FaultKind::ClockRate => {
            let ppm = entry.need(&shape.ppm, "ppm")?.get().to();
            Action::ClockRate { target: target()?, ppm, lasting }
        }
        FaultKind::ClockJump => {
            let by = entry.need(&shape.by, "by")?;
            if by.get().lo != by.get().hi {
                return Err(Problem::new(by.span(), "a jump has one length, not a range", ""));
            }
            Action::ClockJump { target: target()?, by: by.get().lo.0 }
        }
    })
}

fn nemesis(shape: &FaultShape, entry: &Entry<'_>, trigger: &Trigger) -> Result<Action, Problem> {
    let families = entry.need(&shape.random, "random")?;
    if families.get().is_empty() {
        return Err(Problem::new(families.span(), "an empty list leaves nothing to draw from", ""));
    }
    if !matches!(trigger, Trigger::Random { .. }) {
        let hint = "such as every = \"2s\"";
        return Err(Problem::new(families.span(), "random faults need `every`, not `at` or `when`", hint));
    }
    let lasting = entry.need(&shape.r#for, "for")?.get().range();
    let intensity = shape.intensity.as_ref().map_or(50, |percent| percent.get().to());
    Ok(Action::Nemesis { families: families.get().clone(), lasting, intensity })
}

fn bugs_after(shape: &FaultShape) -> Result<Option<Vec<seedbed::bug::Bug>>, Problem> {
    let Some(switches) = &shape.bugs_after else { return Ok(None) };
    let bug = |switch: &At<super::names::BugText>| match switch.get().0.member {
        None => Ok(switch.get().0.bug),
        Some(_) => Err(Problem::new(switch.span(), "the target restarts with these bugs", "leave out the \"@…\"")),
    };
    switches.iter().map(bug).collect::<Result<_, _>>().map(Some)
}

/// `by` where it must not be negative.
fn by(shape: &FaultShape, entry: &Entry<'_>) -> Result<Range64, Problem> {
    let by = entry.need(&shape.by, "by")?;
    match (u64::try_from(by.get().lo.0), u64::try_from(by.get().hi.0)) {
        (Ok(lo), Ok(hi)) => Ok(Range64::new(lo, hi)),
        _ => Err(Problem::new(by.span(), "messages cannot come earlier: this time is negative", "")),
    }
}

/// The sides of a partition; the members that no side names form one more.
fn sides(shape: &FaultShape, entry: &Entry<'_>, cluster: &Cluster) -> Result<Vec<Vec<u8>>, Problem> {
    let written = entry.need(&shape.sides, "sides")?;
    if cluster.members == 1 {
        return Err(Problem::new(entry.span.clone(), "a cluster of one member cannot be split", ""));
    }
    let mut seen: Vec<u8> = Vec::new();
    let mut sides: Vec<Vec<u8>> = Vec::new();
    for side in written.get() {
        if side.is_empty() {
            return Err(Problem::new(written.span(), "a side of a partition has at least one member", ""));
        }
        let mut members = Vec::new();
        for member in side {
            let number = member_in(member, cluster)?;
            if seen.contains(&number) {
                return Err(Problem::new(member.span(), format!("n{number} is named twice in this partition"), ""));
            }
            seen.push(number);
            members.push(number);
        }
        sides.push(members);
    }
    let rest: Vec<u8> = (1..=cluster.members).filter(|member| !seen.contains(member)).collect();
    if !rest.is_empty() {
        sides.push(rest);
    }
    if sides.len() < 2 {
        return Err(Problem::new(written.span(), "all members are on one side of this partition", ""));
    }
    Ok(sides)
}

/// A member that the cluster has.
pub(super) fn member_in(member: &At<Member>, cluster: &Cluster) -> Result<u8, Problem> {
    exists(member.get().0, member.span(), cluster)
}

pub(super) fn exists(member: u8, span: Span, cluster: &Cluster) -> Result<u8, Problem> {
    if member <= cluster.members {
        return Ok(member);
    }
    Err(Problem::new(span, format!("there is no n{member}"), cluster.members_named()))
}

/// A target that the cluster can have.
fn target_in(target: &At<Target>, cluster: &Cluster) -> Result<Target, Problem> {
    match *target.get() {
        Target::Member(member) => exists(member, target.span(), cluster).map(Target::Member),
        Target::Follower | Target::Followers | Target::Minority if cluster.members == 1 => {
            let message = format!("a cluster of one member has no {}", target.get());
            Err(Problem::new(target.span(), message, ""))
        }
        drawn => Ok(drawn),
    }
}

/// An operation from its entry in the file.
pub(super) fn operation(
    shape: &OperationShape,
    mut entry: Entry<'_>,
    around: &Surroundings<'_>,
) -> Result<Operation, Problem> {
    let kind = match &shape.kind {
        Some(kind) => kind,
        None => {
            let hint = format!("known kinds: {}", OperationKind::NAMES.join(", "));
            return Err(Problem::new(entry.span, "an operation needs the key \"kind\"", hint));
        }
    };
    entry.what = format!("the operation {:?}", kind.get().name());
    entry.span = kind.span();
    entry.takes = match kind.get() {
        OperationKind::MoveLeader => &["to"],
        OperationKind::Snapshot | OperationKind::Defrag => &["target"],
        OperationKind::Compact => &["target", "revision"],
        OperationKind::ReadTransaction => &["target", "for"],
        OperationKind::AlarmDisarm => &["target"],
    };
    let (trigger, trigger_keys) = trigger(&trigger_keys!(shape), &entry, around)?;
    let mut taken = vec!["kind"];
    taken.extend(entry.takes);
    taken.extend(trigger_keys);
    entry.only(&taken)?;
    let target = || entry.need(&shape.target, "target").and_then(|target| target_in(target, around.cluster));
    let action = match kind.get() {
        OperationKind::MoveLeader => {
            let to = shape.to.as_ref().map_or(Ok(Target::Follower), |to| target_in(to, around.cluster))?;
            OperationAction::MoveLeader { to }
        }
        OperationKind::Snapshot => OperationAction::Snapshot { target: target()? },
        OperationKind::Compact => OperationAction::Compact {
            target: shape.target.as_ref().map_or(Ok(Target::Leader), |target| target_in(target, around.cluster))?,
            revision: *entry.need(&shape.revision, "revision")?.get(),
        },
        OperationKind::Defrag => OperationAction::Defrag { target: target()? },
        OperationKind::ReadTransaction => {
            let lasting = entry.need(&shape.r#for, "for")?.get().range();
            OperationAction::ReadTransaction { target: target()?, lasting }
        }
        OperationKind::AlarmDisarm => OperationAction::AlarmDisarm {
            target: shape.target.as_ref().map_or(Ok(Target::Leader), |target| target_in(target, around.cluster))?,
        },
    };
    Ok(Operation { trigger, action })
}
