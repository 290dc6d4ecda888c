//! The catalogue of switchable historical bugs.
//!
//! Each variant is a fault that etcd once carried (or a textbook mutant, said so). At the place where the historical
//! code went wrong stands one readable branch, `if self.bugs.on(Bug::AckBeforeWal)`, and nothing else about it anywhere
//! in the store: what the bug is, which versions had it and what shows it stands in this file's table.
//!
//! Switches are per member, so that a cluster of mixed versions can be built. Without the cargo feature `bugs`
//! [`BugSet::on`] is a constant `false` and the branches are compiled away.

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
}

/// A row of the catalogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BugInfo {
    /// The switch's name, as `--bug` takes it.
    pub name: &'static str,
    /// Where etcd's tracker tells about it.
    pub issue: &'static str,
    /// etcd versions that carried it.
    pub versions: &'static str,
    /// What it breaks.
    pub class: &'static str,
    /// What goes wrong, in one sentence.
    pub summary: &'static str,
    /// The scenario that shows it, as a path from the project's root.
    pub scenario: &'static str,
    /// The check that catches it, by its name among a run's failed checks.
    pub check: &'static str,
    /// Seeds, counted from 0, that the scenario needed until the check caught it.
    pub seeds_to_find: u64,
}

impl Bug {
    /// Every bug that a scenario shows.
    pub const ALL: [Bug; 32] = [
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
    ];

    /// The bug of that name.
    pub fn from_name(name: &str) -> Option<Bug> {
        Bug::ALL.into_iter().find(|bug| bug.info().name == name)
    }

    /// The bug's row of the catalogue.
    pub fn info(self) -> BugInfo {
        match self {
            Bug::AckBeforeWal => BugInfo {
                name: "ack-before-wal",
                issue: "etcd #14370",
                versions: "< 3.5.5, < 3.4.21",
                class: "lost write",
                summary: "a sole voter applies and acknowledges an entry while its WAL save is still out",
                scenario: "scenarios/bugs/ack-before-wal.toml",
                check: "linearizable",
                seeds_to_find: 1,
            },
            Bug::VoteNotDurable => BugInfo {
                name: "vote-not-durable",
                issue: "textbook mutant; etcd raft 9d2a465 is akin",
                versions: "none known",
                class: "two leaders in a term",
                summary: "a vote is answered before the hard state that records it is durable",
                scenario: "scenarios/bugs/vote-not-durable.toml",
                check: "raft-vote-once",
                seeds_to_find: 2,
            },
            Bug::ReadindexNoTermCommit => BugInfo {
                name: "readindex-no-term-commit",
                issue: "etcd #7331",
                versions: "< 3.1.2",
                class: "stale read",
                summary: "a new leader serves reads from its commit index before it has committed in its own term",
                scenario: "scenarios/bugs/readindex-no-term-commit.toml",
                check: "linearizable",
                seeds_to_find: 1,
            },
            Bug::CommitOlderTerm => BugInfo {
                name: "commit-older-term",
                issue: "textbook mutant; Raft paper, Figure 8",
                versions: "none known",
                class: "lost write",
                summary: "a leader commits an entry of an older term by counting its replicas",
                scenario: "scenarios/bugs/commit-older-term.toml",
                check: "raft-leader-completeness",
                seeds_to_find: 1,
            },
            Bug::PrevoteWedge => BugInfo {
                name: "prevote-wedge",
                issue: "etcd #8243, #8501",
                versions: "raft before 3.3",
                class: "no progress",
                summary: "pre-votes of a lower term are dropped instead of rejected, and grants are ignored as stale",
                scenario: "scenarios/bugs/prevote-wedge.toml",
                check: "liveness",
                seeds_to_find: 1,
            },
            Bug::LeaseReadUnderPause => BugInfo {
                name: "lease-read-under-pause",
                issue: "etcd #6005 (ReadOnlyLeaseBased)",
                versions: "an option that etcd never enabled",
                class: "stale read",
                summary: "a leader that was paused answers reads by a lease that is counted in ticks it did not see",
                scenario: "scenarios/bugs/lease-read-under-pause.toml",
                check: "linearizable",
                seeds_to_find: 1,
            },
            Bug::CiBeforeApply => BugInfo {
                name: "ci-before-apply",
                issue: "etcd #13766",
                versions: "3.5.0 to 3.5.2",
                class: "inconsistency",
                summary: "the consistent index is set before its entry is applied; a batch commit in between persists it",
                scenario: "scenarios/inconsistency/ci-before-apply.toml",
                check: "wal-replay-equals-backend",
                seeds_to_find: 1,
            },
            Bug::DefragSkipsCiHook => BugInfo {
                name: "defrag-skips-ci-hook",
                issue: "etcd #14685",
                versions: "< 3.5.6",
                class: "inconsistency",
                summary: "the commit before a defragmentation leaves the consistent index out, so a restart applies entries twice",
                scenario: "scenarios/inconsistency/defrag-skips-ci-hook.toml",
                check: "wal-replay-equals-backend",
                seeds_to_find: 2,
            },
            Bug::SnapshotOrder => BugInfo {
                name: "snapshot-order",
                issue: "etcd #10219",
                versions: "< 3.4.8",
                class: "restart",
                summary: "the hard state of a received snapshot is saved before the record that names it",
                scenario: "scenarios/storage/snapshot-order.toml",
                check: "wal-replay",
                seeds_to_find: 1,
            },
            Bug::SnapdbDeletedEarly => BugInfo {
                name: "snapdb-deleted-early",
                issue: "etcd #18055",
                versions: "open",
                class: "restart",
                summary: "a second received snapshot removes the first one's database while it waits to be applied",
                scenario: "scenarios/storage/snapdb-deleted-early.toml",
                check: "member-stopped",
                seeds_to_find: 1,
            },
            Bug::DefragVsSnapshot => BugInfo {
                name: "defrag-vs-snapshot",
                issue: "etcd #20271",
                versions: "< 3.6.5, < 3.5.23",
                class: "inconsistency",
                summary: "a defragmentation that ends after a snapshot was installed renames the old data over it",
                scenario: "scenarios/storage/defrag-vs-snapshot.toml",
                check: "wal-replay",
                seeds_to_find: 1,
            },
            Bug::CompactLosesLatestRev => BugInfo {
                name: "compact-loses-latest-rev",
                issue: "etcd #17780, #16693",
                versions: "< 3.5.14, < 3.4.32",
                class: "inconsistency",
                summary: "a crash after a compaction removed the newest tombstones turns the revision back at boot",
                scenario: "scenarios/inconsistency/compact-loses-latest-rev.toml",
                check: "wal-replay-equals-backend",
                seeds_to_find: 4,
            },
            Bug::ChunkRestoreClobbers => BugInfo {
                name: "chunk-restore-clobbers",
                issue: "etcd #8127",
                versions: "3.2.0",
                class: "inconsistency",
                summary: "each chunk of an index restore overwrites what the chunks before it knew of the same keys",
                scenario: "scenarios/inconsistency/chunk-restore-clobbers.toml",
                check: "linearizable",
                seeds_to_find: 1,
            },
            Bug::InterruptedCompactHash => BugInfo {
                name: "interrupted-compact-hash",
                issue: "etcd #15919",
                versions: "< 3.5.10",
                class: "false alarm",
                summary: "a resumed compaction's hash covers only its remainder: members disagree without corruption",
                scenario: "scenarios/inconsistency/interrupted-compact-hash.toml",
                check: "compaction-hash",
                seeds_to_find: 1,
            },
            Bug::DefragReusesTmp => BugInfo {
                name: "defrag-reuses-tmp",
                issue: "etcd #11613",
                versions: "< 3.4.4",
                class: "inconsistency",
                summary: "a defragmentation copies into the file that an interrupted one left, and deleted rows return",
                scenario: "scenarios/inconsistency/defrag-reuses-tmp.toml",
                check: "wal-replay-equals-backend",
                seeds_to_find: 1,
            },
            Bug::MinrevStaleOnSuccess => BugInfo {
                name: "minrev-stale-on-success",
                issue: "etcd #15271",
                versions: "< 3.5.8, < 3.4.25",
                class: "watch",
                summary: "a watcher's revision moves only when sending fails, so a snapshot replays what it was told",
                scenario: "scenarios/watch/snapshot-to-a-watching-member.toml",
                check: "watch-ordered",
                seeds_to_find: 1,
            },
            Bug::FutureWatchLowered => BugInfo {
                name: "future-watch-lowered",
                issue: "etcd #20221",
                versions: "< 3.6.2, < 3.5.22, < 3.4.38",
                class: "watch",
                summary: "catching up after a snapshot lowers the start of a watcher that begins in the future",
                scenario: "scenarios/watch/watch-in-the-future.toml",
                check: "watch-resumable",
                seeds_to_find: 1,
            },
            Bug::SkipCompactedWhenFull => BugInfo {
                name: "skip-compacted-when-full",
                issue: "etcd #17529",
                versions: "< 3.5.13, < 3.4.31",
                class: "watch",
                summary: "a watcher whose notice of compaction finds a full buffer goes on as if it had missed nothing",
                scenario: "scenarios/watch/compaction-under-a-slow-watcher.toml",
                check: "watch-reliable",
                seeds_to_find: 1,
            },
            Bug::ProgressOvertakes => BugInfo {
                name: "progress-overtakes",
                issue: "etcd #15220",
                versions: "< 3.5.8, < 3.4.25",
                class: "watch",
                summary: "requested progress is answered with the store's revision, before the events that are queued",
                scenario: "scenarios/watch/progress-while-catching-up.toml",
                check: "watch-bookmarkable",
                seeds_to_find: 1,
            },
            Bug::RestoreForgetsWatchers => BugInfo {
                name: "restore-forgets-watchers",
                issue: "etcd #8411, #9281",
                versions: "< 3.1.12, < 3.3.1",
                class: "watch",
                summary: "a snapshot leaves watchers marked as synced where no key finds them: they hear nothing more",
                scenario: "scenarios/watch/snapshot-to-a-watching-member.toml",
                check: "watch-reliable",
                seeds_to_find: 1,
            },
            Bug::CompactDropsTombstone => BugInfo {
                name: "compact-drops-tombstone",
                issue: "etcd #18089",
                versions: "< 3.5.16, < 3.4.34",
                class: "watch",
                summary: "compaction removes a delete at the compacted revision itself, where a watch may start",
                scenario: "scenarios/watch/delete-at-the-compacted-revision.toml",
                check: "watch-resumable",
                seeds_to_find: 1,
            },
            Bug::LoneTombstoneLost => BugInfo {
                name: "lone-tombstone-lost",
                issue: "etcd #19179",
                versions: "< 3.5.18, < 3.4.36",
                class: "watch",
                summary: "restoring the index passes over a delete that stands alone, and a resumed compaction removes it",
                scenario: "scenarios/watch/crash-between-deletes.toml",
                check: "watch-resumable",
                seeds_to_find: 4,
            },
            Bug::FailedApplyNoCi => BugInfo {
                name: "failed-apply-no-ci",
                issue: "etcd #13937, #14382",
                versions: "3.5.3, 3.5.4",
                class: "restart",
                summary: "an entry that fails leaves the consistent index behind, below the index of the next snapshot",
                scenario: "scenarios/inconsistency/failed-apply-no-ci.toml",
                check: "wal-replay",
                seeds_to_find: 1,
            },
            Bug::TxnStripsRanges => BugInfo {
                name: "txn-strips-ranges",
                issue: "etcd #18667",
                versions: "2016 to 3.6.14",
                class: "inconsistency",
                summary: "members that owe no answer apply a transaction without its ranges, whose errors make it fail",
                scenario: "scenarios/inconsistency/txn-strips-ranges.toml",
                check: "members-equal",
                seeds_to_find: 1,
            },
            Bug::PartialTxnOnPanic => BugInfo {
                name: "partial-txn-on-panic",
                issue: "etcd #18799",
                versions: "< 3.5.17",
                class: "inconsistency",
                summary: "a transaction that breaks off in the middle is published before the member stops",
                scenario: "scenarios/inconsistency/partial-txn-on-panic.toml",
                check: "wal-replay-equals-backend",
                seeds_to_find: 1,
            },
            Bug::ReadindexCtxReplay => BugInfo {
                name: "readindex-ctx-replay",
                issue: "etcd #20418",
                versions: "< 3.6.9, < 3.5.28, < 3.4.42",
                class: "stale read",
                summary: "late answers to a read that was asked twice confirm every read that waits at a deposed leader",
                scenario: "scenarios/bugs/readindex-ctx-replay.toml",
                check: "linearizable",
                seeds_to_find: 1,
            },
            Bug::StaleLeaderRevokes => BugInfo {
                name: "stale-leader-revokes",
                issue: "etcd #15247, #12528",
                versions: "< 3.5.13, < 3.4.31",
                class: "lease",
                summary: "a leader that was deposed while its disk stalled proposes to end leases that live on elsewhere",
                scenario: "scenarios/lease/stale-leader-revokes.toml",
                check: "lease",
                seeds_to_find: 5,
            },
            Bug::PromoteBeforeCatchup => BugInfo {
                name: "promote-before-catchup",
                issue: "etcd #6570",
                versions: "< 3.1",
                class: "lease",
                summary: "a new leader counts leases down, and renews them, before it has applied what earlier terms did to them",
                scenario: "scenarios/lease/promote-before-catchup.toml",
                check: "lease",
                seeds_to_find: 1,
            },
            Bug::CheckpointVolatile => BugInfo {
                name: "checkpoint-volatile",
                issue: "etcd #13508",
                versions: "< 3.5.2, < 3.4.20",
                class: "lease",
                summary: "what is left of a lease is noted in memory alone, and forgotten by a restart",
                scenario: "scenarios/lease/checkpoint-volatile.toml",
                check: "wal-replay-equals-backend",
                seeds_to_find: 1,
            },
            Bug::NegativeLeaseLost => BugInfo {
                name: "negative-lease-lost",
                issue: "etcd #12535, #13676",
                versions: "< 3.4.20",
                class: "inconsistency",
                summary: "a restarted member has lost the leases whose ids are below 0, and refuses what hangs on them",
                scenario: "scenarios/lease/negative-lease-lost.toml",
                check: "members-equal",
                seeds_to_find: 1,
            },
            Bug::LeaseCiUnsaved => BugInfo {
                name: "lease-ci-unsaved",
                issue: "etcd #11935",
                versions: "< 3.5.0",
                class: "restart",
                summary: "grants and revokes become durable without the consistent index that vouches for them",
                scenario: "scenarios/lease/lease-ci-unsaved.toml",
                check: "wal-replay-equals-backend",
                seeds_to_find: 1,
            },
            Bug::AuthCiUnsaved => BugInfo {
                name: "auth-ci-unsaved",
                issue: "etcd #11651",
                versions: "< 3.4.8, < 3.3.21",
                class: "inconsistency",
                summary: "changes of users and roles leave the consistent index behind, so a restart counts them twice",
                scenario: "scenarios/inconsistency/auth-ci-unsaved.toml",
                check: "members-equal",
                seeds_to_find: 1,
            },
            Bug::AuthCacheNotRestored => BugInfo {
                name: "auth-cache-not-restored",
                issue: "etcd #14571, #14355",
                versions: "3.5.5, 3.4.20 and 3.4.21",
                class: "inconsistency",
                summary: "a snapshot brings users and roles, but what they may do stays as it was before",
                scenario: "scenarios/inconsistency/auth-cache-not-restored.toml",
                check: "auth",
                seeds_to_find: 5,
            },
            Bug::RevokeUnauthenticated => BugInfo {
                name: "revoke-unauthenticated",
                issue: "etcd #11689",
                versions: "3.2 beside 3.3",
                class: "inconsistency",
                summary: "a leader of the old version ends leases on nobody's behalf; members of the new one refuse",
                scenario: "scenarios/auth/revoke-unauthenticated.toml",
                check: "members-equal",
                seeds_to_find: 1,
            },
        }
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
