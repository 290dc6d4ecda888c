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
