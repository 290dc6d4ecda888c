//! What faults do: [`Action`], one variant a kind.

use super::{DiskErrorKind, Family, FileKind, InFlight, MessageKind, Range64, Target, Unsynced, vocabulary};
use seedbed::bug::Bug;

/// What a fault does. `lasting` is `for` in the file; `None`: until everything is healed at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// The process dies; its disk keeps what was synced.
    Crash {
        /// Who.
        target: Target,
        /// When it starts again (`for` in the file), in nanoseconds; `None`: not before the end.
        restart_after: Option<Range64>,
        /// What becomes of unsynced writes.
        unsynced: Unsynced,
        /// It restarts with these bugs and no others: a version change. `None`: as it was.
        bugs_after: Option<Vec<Bug>>,
        /// Its data directory is emptied while it is down.
        wipe: bool,
    },
    /// The process dies at a disk operation.
    CrashAtDiskOp {
        /// Who.
        target: Target,
        /// Which disk operation from now on, from 1.
        op: Range64,
        /// When it starts again (`for` in the file), in nanoseconds; `None`: not before the end.
        restart_after: Option<Range64>,
        /// What becomes of unsynced writes.
        unsynced: Unsynced,
    },
    /// The process stands still (a garbage collection, a VM that is moved): no input, no timer; its clock runs on.
    Pause {
        /// Who.
        target: Target,
        /// For how long, in nanoseconds.
        lasting: Option<Range64>,
    },
    /// Work takes longer.
    SlowCpu {
        /// Who.
        target: Target,
        /// How many times as long.
        factor: u32,
        /// For how long, in nanoseconds.
        lasting: Option<Range64>,
    },
    /// The process is killed when it holds more than this.
    MemoryLimit {
        /// Who.
        target: Target,
        /// How much it may hold.
        bytes: u64,
        /// For how long, in nanoseconds.
        lasting: Option<Range64>,
    },
    /// No message passes between the sides.
    Partition {
        /// Disjoint, none empty, at least two, and every member is in one.
        sides: Vec<Vec<u8>>,
        /// For how long, in nanoseconds.
        lasting: Option<Range64>,
        /// What becomes of messages under way.
        in_flight: InFlight,
    },
    /// A member is cut from all other members.
    Isolate {
        /// Who; if several, also from each other.
        target: Target,
        /// For how long, in nanoseconds.
        lasting: Option<Range64>,
        /// What becomes of messages under way.
        in_flight: InFlight,
        /// Whether clients are cut from it too.
        clients: bool,
    },
    /// No message passes from one to the other; the way back works.
    OneWay {
        /// The senders.
        from: Target,
        /// The receivers.
        to: Target,
        /// For how long, in nanoseconds.
        lasting: Option<Range64>,
    },
    /// A member hears no other member, and is heard.
    Deaf {
        /// Who.
        target: Target,
        /// For how long, in nanoseconds.
        lasting: Option<Range64>,
    },
    /// A member is heard by no other member, and hears.
    Mute {
        /// Who.
        target: Target,
        /// For how long, in nanoseconds.
        lasting: Option<Range64>,
    },
    /// Messages get lost.
    Loss {
        /// The senders.
        from: Target,
        /// The receivers.
        to: Target,
        /// How many of 100.
        percent: u32,
        /// For how long, in nanoseconds.
        lasting: Option<Range64>,
    },
    /// Messages take longer.
    Delay {
        /// The senders.
        from: Target,
        /// The receivers.
        to: Target,
        /// How much longer, in nanoseconds; drawn for each message.
        by: Range64,
        /// For how long, in nanoseconds.
        lasting: Option<Range64>,
    },
    /// Messages arrive twice.
    Duplicate {
        /// How many of 100.
        percent: u32,
        /// For how long, in nanoseconds.
        lasting: Option<Range64>,
    },
    /// Messages are held back, so that later ones overtake them.
    Reorder {
        /// How many of 100.
        percent: u32,
        /// For how long each is held back, in nanoseconds.
        by: Range64,
        /// For how long, in nanoseconds.
        lasting: Option<Range64>,
    },
    /// Links are narrow.
    Bandwidth {
        /// The senders.
        from: Target,
        /// The receivers.
        to: Target,
        /// Bytes per second on each link.
        bytes_per_s: u64,
        /// For how long, in nanoseconds.
        lasting: Option<Range64>,
    },
    /// Messages of some kinds are dropped: for precise scripts, such as Figure 8 of the Raft paper.
    DropKind {
        /// The senders.
        from: Target,
        /// The receivers.
        to: Target,
        /// Which messages; not empty.
        messages: Vec<MessageKind>,
        /// For how long, in nanoseconds.
        lasting: Option<Range64>,
    },
    /// Every fault that still lasts ends now; crashed members start.
    Heal,
    /// The next fsync takes this long.
    FsyncStall {
        /// Whose.
        target: Target,
        /// How long it takes (`for` in the file), in nanoseconds.
        lasting: Range64,
    },
    /// Every disk operation takes longer.
    SlowDisk {
        /// Whose.
        target: Target,
        /// How many times as long.
        factor: u32,
        /// For how long, in nanoseconds.
        lasting: Option<Range64>,
    },
    /// The next disk operation fails.
    DiskError {
        /// Whose.
        target: Target,
        /// How.
        error: DiskErrorKind,
        /// On which kind of file; `None`: on any.
        file: Option<FileKind>,
    },
    /// Fsync reports success and does nothing.
    LyingFsync {
        /// Whose.
        target: Target,
        /// For how long, in nanoseconds.
        lasting: Option<Range64>,
    },
    /// Bits at rest flip.
    BitRot {
        /// Whose.
        target: Target,
        /// In which kind of file.
        file: FileKind,
        /// How many.
        bits: u32,
    },
    /// A sector that was written cannot be read again.
    LatentSector {
        /// Whose.
        target: Target,
        /// In which kind of file.
        file: FileKind,
    },
    /// The next write lands at another place of the file.
    MisdirectedWrite {
        /// Whose.
        target: Target,
        /// To which kind of file; `None`: to any.
        file: Option<FileKind>,
    },
    /// Writes that need room fail with ENOSPC.
    DiskFull {
        /// Whose.
        target: Target,
        /// For how long, in nanoseconds.
        lasting: Option<Range64>,
    },
    /// The monotonic clock runs at another rate.
    ClockRate {
        /// Whose.
        target: Target,
        /// How much faster (slower if negative), in ppm.
        ppm: i32,
        /// For how long, in nanoseconds.
        lasting: Option<Range64>,
    },
    /// The wall clock jumps; the monotonic clock does not.
    ClockJump {
        /// Whose.
        target: Target,
        /// How far forward (backward if negative), in nanoseconds.
        by: i64,
    },
    /// Random faults; only with [`Trigger::Random`](super::Trigger::Random).
    Nemesis {
        /// From these families; not empty.
        families: Vec<Family>,
        /// How long each lasts, in nanoseconds.
        lasting: Range64,
        /// How hard, in percent: 0 is not at all, 100 as hard as a family goes.
        intensity: u32,
    },
}

impl Action {
    /// The kind as a scenario file spells it; `"nemesis"` for random faults.
    pub fn kind(&self) -> &'static str {
        match self {
            Action::Crash { .. } => FaultKind::Crash.name(),
            Action::CrashAtDiskOp { .. } => FaultKind::CrashAtDiskOp.name(),
            Action::Pause { .. } => FaultKind::Pause.name(),
            Action::SlowCpu { .. } => FaultKind::SlowCpu.name(),
            Action::MemoryLimit { .. } => FaultKind::MemoryLimit.name(),
            Action::Partition { .. } => FaultKind::Partition.name(),
            Action::Isolate { .. } => FaultKind::Isolate.name(),
            Action::OneWay { .. } => FaultKind::OneWay.name(),
            Action::Deaf { .. } => FaultKind::Deaf.name(),
            Action::Mute { .. } => FaultKind::Mute.name(),
            Action::Loss { .. } => FaultKind::Loss.name(),
            Action::Delay { .. } => FaultKind::Delay.name(),
            Action::Duplicate { .. } => FaultKind::Duplicate.name(),
            Action::Reorder { .. } => FaultKind::Reorder.name(),
            Action::Bandwidth { .. } => FaultKind::Bandwidth.name(),
            Action::DropKind { .. } => FaultKind::DropKind.name(),
            Action::Heal => FaultKind::Heal.name(),
            Action::FsyncStall { .. } => FaultKind::FsyncStall.name(),
            Action::SlowDisk { .. } => FaultKind::SlowDisk.name(),
            Action::DiskError { .. } => FaultKind::DiskError.name(),
            Action::LyingFsync { .. } => FaultKind::LyingFsync.name(),
            Action::BitRot { .. } => FaultKind::BitRot.name(),
            Action::LatentSector { .. } => FaultKind::LatentSector.name(),
            Action::MisdirectedWrite { .. } => FaultKind::MisdirectedWrite.name(),
            Action::DiskFull { .. } => FaultKind::DiskFull.name(),
            Action::ClockRate { .. } => FaultKind::ClockRate.name(),
            Action::ClockJump { .. } => FaultKind::ClockJump.name(),
            Action::Nemesis { .. } => "nemesis",
        }
    }
}

vocabulary! {
    /// The `kind` of a fault in the file: [`Action`] without its fields.
    pub(super) enum FaultKind("fault kind") {
        /// The process dies.
        Crash = "crash",
        /// The process dies at a disk operation.
        CrashAtDiskOp = "crash-at-disk-op",
        /// The process stands still.
        Pause = "pause",
        /// Work takes longer.
        SlowCpu = "slow-cpu",
        /// The process is killed when it holds too much.
        MemoryLimit = "memory-limit",
        /// No message passes between the sides.
        Partition = "partition",
        /// A member is cut from all others.
        Isolate = "isolate",
        /// Messages pass in one direction only.
        OneWay = "one-way",
        /// A member hears nobody.
        Deaf = "deaf",
        /// Nobody hears a member.
        Mute = "mute",
        /// Messages get lost.
        Loss = "loss",
        /// Messages take longer.
        Delay = "delay",
        /// Messages arrive twice.
        Duplicate = "duplicate",
        /// Messages overtake others.
        Reorder = "reorder",
        /// Links are narrow.
        Bandwidth = "bandwidth",
        /// Messages of some kinds are dropped.
        DropKind = "drop",
        /// Faults that still last end.
        Heal = "heal",
        /// The next fsync takes long.
        FsyncStall = "fsync-stall",
        /// Disk operations take longer.
        SlowDisk = "slow-disk",
        /// A disk operation fails.
        DiskError = "disk-error",
        /// Fsync does nothing and says it did.
        LyingFsync = "lying-fsync",
        /// Bits at rest flip.
        BitRot = "bit-rot",
        /// A sector cannot be read again.
        LatentSector = "latent-sector",
        /// A write lands elsewhere.
        MisdirectedWrite = "misdirected-write",
        /// Writes find no room.
        DiskFull = "disk-full",
        /// The monotonic clock runs at another rate.
        ClockRate = "clock-rate",
        /// The wall clock jumps.
        ClockJump = "clock-jump",
    }
}
