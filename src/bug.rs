//! The catalogue of switchable historical bugs.
//!
//! Each variant is a fault that etcd once carried (or a textbook mutant, said so). At the place where the historical
//! code went wrong stands one readable branch, `if self.bugs.on(Bug::AckBeforeWal)`, and nothing else about it anywhere
//! in the store: what the bug is, which versions had it and what shows it stands in the [table](BugInfo).
//!
//! Switches are per member, so that a cluster of mixed versions can be built. A bug of a client is in all clients, if it is
//! switched on without a member's name. Without the cargo feature `bugs`
//! [`BugSet::on`] is a constant `false` and the branches are compiled away.

mod table;

pub use table::BugInfo;

/// A bug that can be switched on in one member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Bug {
    /// A sole voter acknowledges an entry to itself when it appends it, not when its WAL holds it (etcd #14370).
    AckBeforeWal,
    /// A vote is answered before the hard state that records it is durable (textbook mutant; raft 9d2a465 is akin).
    VoteNotDurable,
    /// A new leader serves ReadIndex from its commit index before it has committed in its own term (etcd #7331).
    ReadindexNoTermCommit,
    /// The leader commits an entry of an older term by counting replicas (Raft paper, Figure 8; textbook mutant).
    CommitOlderTerm,
    /// PreVote requests of a lower term are dropped instead of rejected, and a grant carries the voter's own term and
    /// is ignored as stale (etcd #8243, #8501).
    PrevoteWedge,
    /// Linearizable reads trust a leader lease that is counted in ticks, which stand still while the process is paused
    /// (etcd #6005's ReadOnlyLeaseBased).
    LeaseReadUnderPause,
    /// The consistent index is set before its entry is applied, and a batch commit in between persists it
    /// (etcd #13766).
    CiBeforeApply,
    /// The commit before a defragmentation goes past the hook that writes the consistent index (etcd #14685).
    DefragSkipsCiHook,
    /// The hard state of a received snapshot is saved before the record that names the snapshot (etcd #10219).
    SnapshotOrder,
    /// A second received snapshot removes the first one's database while it still waits to be applied (etcd #18055).
    SnapdbDeletedEarly,
    /// A defragmentation and a snapshot's installation rename onto the same database (etcd #20271).
    DefragVsSnapshot,
    /// Boot derives the revision from the surviving records and from finished compactions, not from a scheduled one
    /// that has already removed the newest tombstones (etcd #17780).
    CompactLosesLatestRev,
    /// Each chunk of an index restore builds fresh key indexes and overwrites those of the chunks before (etcd #8127).
    ChunkRestoreClobbers,
    /// A resumed compaction's hash covers only what was left to do (etcd #15919).
    InterruptedCompactHash,
    /// Defragmentation copies into what an interrupted one left behind, so that rows deleted since then return
    /// (etcd #11613).
    DefragReusesTmp,
    /// A watcher's minimal revision moves only when a response finds no room; a snapshot replays what was told
    /// (etcd #15271).
    MinrevStaleOnSuccess,
    /// Catching up after a snapshot lowers watchers whose start lies in the future, and they are told of progress
    /// (etcd #20221).
    FutureWatchLowered,
    /// A watcher whose notice of compaction finds no room is taken for synced (etcd #17529).
    SkipCompactedWhenFull,
    /// An answer about a stream's progress overtakes the events that are queued, or not even read (etcd #15220).
    ProgressOvertakes,
    /// After a snapshot watchers count as synced and no key finds them (etcd #8411, #9281).
    RestoreForgetsWatchers,
    /// An entry that fails leaves the consistent index where it was, below the next snapshot's index (etcd #13937).
    FailedApplyNoCi,
    /// Members that owe no answer apply a transaction without its ranges, and so without their errors (etcd #18667).
    TxnStripsRanges,
    /// A transaction that breaks off in the middle is ended, and so published, before the member stops (etcd #18799).
    PartialTxnOnPanic,
    /// A read is asked again by its old number, and late answers to the old one confirm the new one (etcd #20418).
    ReadindexCtxReplay,
    /// Expired leases are revoked without asking a majority whether this member still leads (etcd #15247).
    StaleLeaderRevokes,
    /// A new leader counts leases down before it has applied what earlier terms left (etcd #6570).
    PromoteBeforeCatchup,
    /// A checkpoint of what is left of a lease is noted in memory alone (etcd #13508).
    CheckpointVolatile,
    /// A restart looks for leases from id 0 on, and misses the negative ones (etcd #12535, #13676).
    NegativeLeaseLost,
    /// Grants and revokes are committed without the consistent index (etcd #11935).
    LeaseCiUnsaved,
    /// Compaction removes a tombstone at the very revision up to which it goes; a watch may start there (etcd #18089).
    CompactDropsTombstone,
    /// Restoring the index passes over a tombstone whose earlier revisions are gone; a resumed compaction then removes
    /// it (etcd #19179).
    LoneTombstoneLost,
    /// Changes of users and roles are written without the consistent index, so that a restart applies them again
    /// (etcd #11651).
    AuthCiUnsaved,
    /// What users may do is not derived anew from the records of a snapshot (etcd #14571).
    AuthCacheNotRestored,
    /// The revoke of an expired lease carries no identity, and is not checked: two halves of an old version, which
    /// fit together, but not with a new one (etcd #11689).
    RevokeUnauthenticated,
    /// A client that waits for a lock believes to hold it once nobody is before it, its own key gone or not (etcd #11408).
    JepsenLock,
    /// A member's new address replaces all that Raft's part of its record says, that it is a learner too (etcd #21694).
    UpdateDropsLearner,
    /// A learner answers no candidate, though it may have been promoted without having heard of it (etcd #10998).
    LearnerNoVote,
    /// A member campaigns over a committed change of the members that it has not applied (etcd 7f0733cf4).
    CampaignUnappliedConf,
    /// A change of the members moves the applied index and not the consistent index (etcd #7834).
    ConfchangeNoCi,
    /// Loading the leases of a received snapshot commits it with the consistent index from before (etcd #13933).
    SnapshotCiOverwritten,
}

impl Bug {
    /// Every bug that a scenario shows.
    pub const ALL: [Bug; 40] = [
        Bug::AckBeforeWal,
        Bug::VoteNotDurable,
        Bug::ReadindexNoTermCommit,
        Bug::CommitOlderTerm,
        Bug::PrevoteWedge,
        Bug::LeaseReadUnderPause,
        Bug::CiBeforeApply,
        Bug::DefragSkipsCiHook,
        Bug::SnapshotOrder,
        Bug::SnapdbDeletedEarly,
        Bug::DefragVsSnapshot,
        Bug::CompactLosesLatestRev,
        Bug::ChunkRestoreClobbers,
        Bug::InterruptedCompactHash,
        Bug::DefragReusesTmp,
        Bug::FailedApplyNoCi,
        Bug::TxnStripsRanges,
        Bug::PartialTxnOnPanic,
        Bug::ReadindexCtxReplay,
        Bug::StaleLeaderRevokes,
        Bug::CheckpointVolatile,
        Bug::NegativeLeaseLost,
        Bug::LeaseCiUnsaved,
        Bug::MinrevStaleOnSuccess,
        Bug::FutureWatchLowered,
        Bug::SkipCompactedWhenFull,
        Bug::ProgressOvertakes,
        Bug::RestoreForgetsWatchers,
        Bug::CompactDropsTombstone,
        Bug::LoneTombstoneLost,
        Bug::AuthCiUnsaved,
        Bug::AuthCacheNotRestored,
        Bug::PromoteBeforeCatchup,
        Bug::JepsenLock,
        Bug::RevokeUnauthenticated,
        Bug::UpdateDropsLearner,
        Bug::LearnerNoVote,
        Bug::CampaignUnappliedConf,
        Bug::ConfchangeNoCi,
        Bug::SnapshotCiOverwritten,
    ];

    /// The bug of that name.
    pub fn from_name(name: &str) -> Option<Bug> {
        Bug::ALL.into_iter().find(|bug| bug.info().name == name)
    }
}

/// The bugs that are switched on in one member.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct BugSet(u64);

impl BugSet {
    /// No bug at all: what every shipped scenario runs outside its arms.
    pub const NONE: BugSet = BugSet(0);

    /// Whether `bug` is switched on. Always `false` without the cargo feature `bugs`.
    #[inline]
    pub fn on(self, bug: Bug) -> bool {
        cfg!(feature = "bugs") && self.0 & (1 << bug as u8) != 0
    }

    /// This set with `bug` switched on as well.
    #[must_use]
    pub fn with(self, bug: Bug) -> BugSet {
        BugSet(self.0 | 1 << bug as u8)
    }
}
