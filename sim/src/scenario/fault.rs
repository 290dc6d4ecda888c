//! `[[fault]]` and `[[operation]]`: what goes wrong, what an operator does, and when.

use super::{Range64, vocabulary};
use seedbed::bug::Bug;

/// Something that goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// When it strikes.
    pub trigger: Trigger,
    /// What it does.
    pub action: Action,
    /// Its name, for other faults' conditions and for the story.
    pub name: Option<String>,
}

/// When a fault or an operation happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// At a time of the run, in nanoseconds.
    At(Range64),
    /// Once a condition comes true.
    When(Condition),
    /// Again and again.
    Random {
        /// The gap from one beginning to the next, in nanoseconds; drawn anew each time.
        every: Range64,
        /// From when on, in nanoseconds of the run; the first one strikes one gap later.
        from: u64,
        /// Until when; `None`: the end of the chaos phase.
        until: Option<u64>,
    },
}

/// Something that is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Condition {
    /// What has to happen.
    pub event: Event,
    /// Where; `None`: at any member.
    pub member: Option<u8>,
    /// With the `Entry…` events: the log index that has to be reached (this or a later one); `None`: any.
    pub index: Option<u64>,
    /// With [`Event::FaultStarted`] and [`Event::FaultEnded`]: which of [`super::Scenario::faults`].
    pub fault: Option<usize>,
    /// The how-manieth time counts, from 1.
    pub nth: u32,
    /// How long after it, in nanoseconds.
    pub after: Range64,
}

vocabulary! {
    /// What a condition can wait for.
    pub enum Event("event") {
        /// A member becomes leader.
        LeaderElected = "leader-elected",
        /// A leader stops being one (a crash does not count).
        LeaderLost = "leader-lost",
        /// A member campaigns for votes (a PreVote does not count).
        CampaignStarted = "campaign-started",
        /// A member grants its vote (a PreVote does not count).
        VoteGranted = "vote-granted",
        /// A member appends an entry to its log.
        EntryAppended = "entry-appended",
        /// A member learns that an entry is committed.
        EntryCommitted = "entry-committed",
        /// A member applies an entry.
        EntryApplied = "entry-applied",
        /// A member starts an fsync.
        SyncStarted = "sync-started",
        /// A member's fsync is done.
        SyncDone = "sync-done",
        /// A member sends a snapshot.
        SnapshotSent = "snapshot-sent",
        /// A member starts, or starts again.
        MemberStarted = "member-started",
        /// Another fault strikes.
        FaultStarted = "fault-started",
        /// Another fault is over.
        FaultEnded = "fault-ended",
    }
}

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
        file: WalOrSnap,
        /// How many.
        bits: u32,
    },
    /// A sector that was written cannot be read again.
    LatentSector {
        /// Whose.
        target: Target,
    },
    /// The next write lands at another place of the file.
    MisdirectedWrite {
        /// Whose.
        target: Target,
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
    /// Random faults; only with [`Trigger::Random`].
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

vocabulary! {
    /// The `kind` of an operation in the file: [`OperationAction`] without its fields.
    pub(super) enum OperationKind("operation kind") {
        /// The leader hands its office over.
        MoveLeader = "move-leader",
        /// A member takes a snapshot.
        Snapshot = "snapshot",
    }
}

/// Whom a fault strikes, decided when it strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// This member.
    Member(u8),
    /// The leader of the highest term; nobody while there is none.
    Leader,
    /// One member that is not the leader, drawn.
    Follower,
    /// All members but the leader.
    Followers,
    /// One member, drawn.
    Random,
    /// Every member.
    All,
    /// As many as can fail without harm, drawn.
    Minority,
    /// One more than can fail without harm, drawn.
    Majority,
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Target::Member(member) => write!(f, "n{member}"),
            Target::Leader => f.write_str("leader"),
            Target::Follower => f.write_str("follower"),
            Target::Followers => f.write_str("followers"),
            Target::Random => f.write_str("random"),
            Target::All => f.write_str("all"),
            Target::Minority => f.write_str("minority"),
            Target::Majority => f.write_str("majority"),
        }
    }
}

vocabulary! {
    /// What becomes of unsynced writes in a crash.
    #[derive(Default)]
    pub enum Unsynced("fate of unsynced writes") {
        /// They are gone.
        Lost = "lost",
        /// They are all there, as after the death of a process whose machine lives on.
        Kept = "kept",
        /// Some of them are there, in any order, the last perhaps torn: a power cut.
        #[default]
        Random = "random",
    }
}

vocabulary! {
    /// What becomes of messages under way when a link is cut.
    #[derive(Default)]
    pub enum InFlight("fate of messages in flight") {
        /// They die with the link.
        #[default]
        Die = "die",
        /// They still arrive.
        Arrive = "arrive",
    }
}

vocabulary! {
    /// Kinds of messages between members.
    pub enum MessageKind("message kind") {
        /// A request for a vote.
        Vote = "vote",
        /// Its answer.
        VoteResp = "vote-resp",
        /// A rehearsed request for a vote.
        PreVote = "pre-vote",
        /// Its answer.
        PreVoteResp = "pre-vote-resp",
        /// Entries.
        Append = "append",
        /// Their acknowledgement or refusal.
        AppendResp = "append-resp",
        /// A heartbeat.
        Heartbeat = "heartbeat",
        /// Its answer.
        HeartbeatResp = "heartbeat-resp",
        /// A snapshot.
        Snapshot = "snapshot",
        /// A read index asked for or given.
        ReadIndex = "read-index",
        /// The leader's order to campaign at once.
        TimeoutNow = "timeout-now",
    }
}

vocabulary! {
    /// How a disk operation fails.
    pub enum DiskErrorKind("disk error") {
        /// The next operation fails with EIO.
        Eio = "eio",
        /// The next write fails with ENOSPC.
        Enospc = "enospc",
        /// The next fsync fails, and the pages that it should have written are gone.
        FsyncFails = "fsync-fails",
    }
}

vocabulary! {
    /// Which kind of file rots.
    pub enum WalOrSnap("file") {
        /// A segment of the write-ahead log.
        Wal = "wal",
        /// A snapshot file.
        Snap = "snap",
    }
}

vocabulary! {
    /// Families of random faults.
    pub enum Family("fault family") {
        /// Splits of the cluster.
        Partition = "partition",
        /// Crashes with restarts.
        Crash = "crash",
        /// Pauses.
        Pause = "pause",
        /// Slow CPUs.
        SlowCpu = "slow-cpu",
        /// Slow disks.
        SlowDisk = "slow-disk",
        /// Stalled fsyncs.
        FsyncStall = "fsync-stall",
        /// Lost messages.
        Loss = "loss",
        /// Late messages.
        Delay = "delay",
        /// Wrong rates and jumps of clocks.
        Clock = "clock",
        /// Links that are cut in one direction.
        OneWay = "one-way",
        /// Messages that arrive twice.
        Duplicate = "duplicate",
        /// Messages that overtake others.
        Reorder = "reorder",
    }
}

/// Something that an operator does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// When.
    pub trigger: Trigger,
    /// What.
    pub action: OperationAction,
}

/// What an operator can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OperationAction {
    /// Ask the leader to hand its office over.
    MoveLeader {
        /// To whom; a follower is drawn if this is not one member.
        to: Target,
    },
    /// Have a member take a snapshot now.
    Snapshot {
        /// Who.
        target: Target,
    },
}
