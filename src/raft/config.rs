//! What a member's Raft is started with, and why it may refuse.

use super::{Entry, HardState, NodeId, SnapshotMeta};
use crate::bug::BugSet;

/// The settings of one member. They may differ between members and are not replicated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// This member; never 0.
    pub id: NodeId,
    /// The election timeout T in ticks. A member campaigns after [T, 2T) ticks without a leader.
    pub election_ticks: u32,
    /// Ticks between a leader's heartbeats; less than `election_ticks`.
    pub heartbeat_ticks: u32,
    /// Rehearse an election before raising the term (Raft dissertation, section 9.6).
    pub pre_vote: bool,
    /// A leader steps down when no majority answered for an election timeout, and voters that hear a leader ignore
    /// candidates (Raft dissertation, section 6.2 and 4.2.3).
    pub check_quorum: bool,
    /// Bytes of entries in one append, at least one entry (etcd: 512 KiB).
    pub max_size_per_msg: u64,
    /// Appends to one follower that may be unanswered (etcd: 512).
    pub max_inflight: usize,
    /// Bytes of proposals that a leader accepts without their being committed; 0 for no limit.
    pub max_uncommitted_bytes: u64,
    /// Seeds the election timeouts.
    pub seed: u64,
    /// The historical bugs that are switched on in this member.
    pub bugs: BugSet,
}

impl Config {
    pub(super) fn check(&self) {
        assert!(self.id != 0, "invariant: a member's id is not 0");
        assert!(
            0 < self.heartbeat_ticks && self.heartbeat_ticks < self.election_ticks,
            "invariant: 0 < heartbeat ticks < election ticks (are {} and {})",
            self.heartbeat_ticks,
            self.election_ticks
        );
    }
}

/// What a restarting member read back from its disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// The last durable hard state; default for a new member that joins.
    pub hard_state: HardState,
    /// The newest snapshot; index 0 if there is none. Its `conf` is the starting configuration in either case: the one
    /// as of `applied`, since changes up to there are not handed out again.
    pub snapshot: SnapshotMeta,
    /// The log after the snapshot.
    pub entries: Vec<Entry>,
    /// How far the state machine is. Entries up to here are not handed out again. At least the snapshot's index.
    pub applied: u64,
}

/// Why what was read back cannot be a member's state. The member must not start: it could break promises it gave.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecoverError {
    /// An entry is missing or repeated.
    #[error("the log has a gap: expected entry {expected}, found entry {found}")]
    Gap {
        /// The index that should follow.
        expected: u64,
        /// The index that does.
        found: u64,
    },
    /// Terms never decrease along a log.
    #[error("entry {index} has term {term}, but the entry before it has term {before}")]
    TermDecreases {
        /// The entry.
        index: u64,
        /// Its term.
        term: u64,
        /// The term of the entry before it.
        before: u64,
    },
    /// Committed entries are lost.
    #[error("the log ends at entry {last}, before the commit index {commit} of the hard state")]
    LogBehindCommit {
        /// Last index of the log.
        last: u64,
        /// The hard state's commit index.
        commit: u64,
    },
    /// A snapshot holds committed entries only, so the hard state saved with it knows of their commit.
    #[error("the hard state's commit index {commit} is before the snapshot's index {snapshot}")]
    CommitBehindSnapshot {
        /// The hard state's commit index.
        commit: u64,
        /// The snapshot's index.
        snapshot: u64,
    },
    /// The state machine is ahead of the log: entries that it applied are lost.
    #[error("the log ends at entry {last}, but the state machine has applied entry {applied}")]
    LogBehindApplied {
        /// Last index of the log.
        last: u64,
        /// What the state machine has applied.
        applied: u64,
    },
}

/// Why a proposal was refused. Nothing happened; it may be proposed again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum ProposeError {
    /// Nobody is known to lead.
    #[error("no leader")]
    NoLeader,
    /// The leader is handing leadership over.
    #[error("leadership is being transferred")]
    Transferring,
    /// Too many bytes wait to be committed.
    #[error("too many uncommitted bytes")]
    TooMuchUncommitted,
    /// This leader is no longer a member.
    #[error("not a member of the cluster")]
    NotMember,
}
