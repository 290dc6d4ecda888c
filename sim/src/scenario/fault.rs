//! `[[fault]]` and `[[operation]]`: what goes wrong, what an operator does, and when.

use super::{Action, Range64, vocabulary};

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
    /// Once, when a condition comes true.
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
        /// A member has saved a snapshot of its own store.
        SnapshotSaved = "snapshot-saved",
        /// A leader's snapshot has taken the place of a member's store.
        SnapshotInstalled = "snapshot-installed",
        /// A batch of a member's database begins to become durable.
        BatchStarted = "batch-started",
        /// A batch of a member's database is durable.
        BatchDone = "batch-done",
        /// A member has removed the last record of a compaction.
        CompactionDone = "compaction-done",
        /// A member begins to copy its database into a dense file.
        DefragStarted = "defrag-started",
        /// A member's dense file is in use.
        DefragDone = "defrag-done",
        /// A member starts, or starts again.
        MemberStarted = "member-started",
        /// Another fault strikes.
        FaultStarted = "fault-started",
        /// Another fault is over.
        FaultEnded = "fault-ended",
    }
}

/// Whom a fault strikes, decided when it strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// This member.
    Member(u8),
    /// The leader of the highest term. While there is none, the fault waits for one.
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
    /// Forget the history before a revision, in every member.
    Compact {
        /// Who is asked, and whose revision is the head.
        target: Target,
        /// The oldest revision that stays readable.
        revision: Revision,
    },
    /// Have a member copy its database into a dense file.
    Defrag {
        /// Who.
        target: Target,
    },
    /// Read slowly: an image of the database stays open, and its pages cannot be reused.
    ReadTransaction {
        /// Whose database.
        target: Target,
        /// For how long, in nanoseconds.
        lasting: Range64,
    },
    /// Take back every alarm that is raised.
    AlarmDisarm {
        /// Who is asked.
        target: Target,
    },
}

impl OperationAction {
    /// The kind as a scenario file spells it.
    pub fn kind(&self) -> &'static str {
        match self {
            OperationAction::MoveLeader { .. } => OperationKind::MoveLeader.name(),
            OperationAction::Snapshot { .. } => OperationKind::Snapshot.name(),
            OperationAction::Compact { .. } => OperationKind::Compact.name(),
            OperationAction::Defrag { .. } => OperationKind::Defrag.name(),
            OperationAction::ReadTransaction { .. } => OperationKind::ReadTransaction.name(),
            OperationAction::AlarmDisarm { .. } => OperationKind::AlarmDisarm.name(),
        }
    }
}

/// A revision that an operator names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Revision {
    /// So many before the revision at which the asked member stands then: `head`, `head-100`.
    BeforeHead(u32),
    /// This one.
    Number(i64),
}

impl Revision {
    /// The number that it comes to at a member whose store stands at `head`.
    pub fn at(self, head: i64) -> i64 {
        match self {
            Revision::BeforeHead(n) => head - i64::from(n),
            Revision::Number(number) => number,
        }
    }
}

impl std::fmt::Display for Revision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Revision::BeforeHead(0) => f.write_str("head"),
            Revision::BeforeHead(n) => write!(f, "head-{n}"),
            Revision::Number(number) => write!(f, "{number}"),
        }
    }
}

vocabulary! {
    /// The `kind` of an operation in the file: [`OperationAction`] without its fields.
    pub(super) enum OperationKind("operation kind") {
        /// The leader hands its office over.
        MoveLeader = "move-leader",
        /// A member takes a snapshot.
        Snapshot = "snapshot",
        /// History before a revision is forgotten.
        Compact = "compact",
        /// A member copies its database into a dense file.
        Defrag = "defrag",
        /// An image of a database stays open.
        ReadTransaction = "read-transaction",
        /// Every alarm that is raised is taken back.
        AlarmDisarm = "alarm-disarm",
    }
}
