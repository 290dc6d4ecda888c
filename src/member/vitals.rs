//! How a member is, in numbers: for metrics and whoever else looks at it from outside. Nothing here decides anything.

use super::Member;
use crate::raft::NodeId;
use crate::{lease, mvcc};

/// A moment's numbers. Sizes are in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vitals {
    /// The member.
    pub id: NodeId,
    /// Its term.
    pub term: u64,
    /// Whom it follows, itself included; 0: nobody.
    pub leader: NodeId,
    /// It does not vote.
    pub is_learner: bool,
    /// Members that it knows.
    pub members: usize,
    /// The version that all members speak, `3.4.0`, once it is decided.
    pub cluster_version: Option<String>,
    /// Last committed entry.
    pub commit: u64,
    /// Last applied entry.
    pub applied: u64,
    /// Revision of the last change.
    pub revision: i64,
    /// The oldest readable revision; −1 before the first compaction.
    pub compact_revision: i64,
    /// Of the database file.
    pub db_size: u64,
    /// Of what is not free in it.
    pub db_in_use: u64,
    /// Images of the database that are being read.
    pub images: u64,
    /// What the store has done since it was opened.
    pub store: mvcc::Counts,
    /// What became of leases since the member was started.
    pub leases: lease::Counts,
    /// Changes of users and roles.
    pub auth_revision: u64,
    /// Watch streams that are open.
    pub watch_streams: usize,
    /// Watchers: those that are up to date, that lag, and that wait for room at their client.
    pub watchers: [usize; 3],
    /// Events that wait for room at their clients.
    pub pending_events: usize,
    /// A leader's snapshot is taking the store's place.
    pub installing: bool,
    /// The database is being copied into a dense file.
    pub defragmenting: bool,
}

impl Member {
    /// How it is.
    pub fn vitals(&self) -> Vitals {
        let (store, raft, watch) = (&self.state.store, &self.raft, &self.watch_loop);
        let stats = store.engine().stats();
        Vitals {
            id: self.config.id,
            term: raft.term(),
            leader: raft.leader(),
            is_learner: raft.conf().learners.contains(&self.config.id),
            members: self.cluster().members.len(),
            cluster_version: self.cluster().version.clone(),
            commit: raft.commit(),
            applied: store.consistent_index(),
            revision: store.revision(),
            compact_revision: if store.compact_revision() > 0 { store.compact_revision() } else { -1 },
            db_size: stats.size,
            db_in_use: stats.in_use,
            images: stats.readers,
            store: store.counts(),
            leases: self.state.lessor.counts(),
            auth_revision: self.state.auth.revision(),
            watch_streams: watch.streams(),
            watchers: watch.watchers.counts(),
            pending_events: watch.watchers.pending_events(),
            installing: self.store_is_replaced(),
            defragmenting: self.defragmenting(),
        }
    }
}
