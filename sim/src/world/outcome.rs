//! What a run leaves behind.

use super::record::{NodeIndex, RecordId, Records};
use super::{Checkpoint, Mirror, Resolved, Tally, World};
use crate::check::asked::Asked;
use crate::check::auth;
use crate::check::informer::SeenCache;
use crate::check::lessor::LeaseTally;
use crate::check::lock::Taken;
use crate::check::log::Log;
use crate::check::watch::{Truth, WatchRecord};
use crate::check::{Failure, History, serializable::Restart};
use seedbed::disk::{DiskError, FileName};
use seedbed::raft::NodeId;
use seedbed::time::Nanos;
use std::collections::BTreeMap;

/// What a run leaves.
#[derive(Debug)]
pub struct Outcome {
    /// What clients saw.
    pub history: History,
    /// Requests of any kind, where some client asks for other things than keys; the history is empty then.
    pub asked: Vec<Asked>,
    /// The committed entries in order, from index 1, as the first member to apply each did.
    pub committed: Log,
    /// What came on clients' watches.
    pub watches: Vec<WatchRecord>,
    /// The subscription that each watch is a part of: a watch that was resumed continues one.
    pub subscriptions: Vec<u32>,
    /// For subscriptions of clients that want everything: from which revision on.
    pub wanted_from: BTreeMap<u32, i64>,
    /// The revision up to which everybody should have heard; 0 if it did not come to that.
    pub heard_to: i64,
    /// Clients' copies of the store.
    pub mirrors: Vec<Mirror>,
    /// Informers' copies of the store, as they were now and then.
    pub caches: Vec<SeenCache>,
    /// Locks that clients were given, and elections that they won.
    pub taken: Vec<Taken>,
    /// Updates that found the object changed.
    pub conflicts: u64,
    /// Changes that v2 consumers heard of.
    pub ring_told: u64,
    /// Changes that v2 servers had forgotten before they were asked for.
    pub ring_lost: u64,
    /// What the committed entries changed, if anybody watched or held a lock.
    pub truth: Truth,
    /// Restarts of members, for the check of serializable reads.
    pub restarts: Vec<Restart>,
    /// Everything that happened, linked by cause.
    pub records: Records,
    /// Figures of leases.
    pub leases: LeaseTally,
    /// Leaders, figures.
    pub tally: Tally,
    /// The members by their ids.
    pub members: BTreeMap<NodeId, NodeIndex>,
    /// Checks that failed on the way.
    pub failures: Vec<Failure>,
    /// A member's panic, if one did.
    pub panic: Option<String>,
    /// The event budget of one moment was spent: the harness's fault.
    pub stuck: Option<String>,
    /// The fault plan, as it came out.
    pub plan: Vec<Resolved>,
    /// The digest.
    pub digest: u64,
    /// The digest on the way.
    pub checkpoints: Vec<Checkpoint>,
    /// Events of the world.
    pub events: u64,
    /// Virtual time at the end, in nanoseconds.
    pub ended_at: Nanos,
    /// When the chaos phase ended.
    pub healed_at: Nanos,
    /// Proof of life: when the last probe was acknowledged.
    pub alive_at: Option<Nanos>,
    /// The members that were asked for it: those that run.
    pub probed: Vec<NodeIndex>,
    /// States compared, steps checked, restarts replayed.
    pub compared: u64,
    /// Steps after which Raft's invariants were checked.
    pub raft_steps: u64,
    /// Restarts whose promises were checked.
    pub replays: u64,
    /// Stores compared with what the committed entries make.
    pub stores_compared: u64,
    /// Compactions whose hashes were compared with another member's.
    pub compactions_compared: u64,
    /// Entries and reads of which members said whether auth let them through.
    pub decisions: u64,
    /// Databases whose pages were checked at the end.
    pub files_checked: u64,
    /// Members that stopped by themselves.
    pub stops: u64,
    /// Members added, promoted, moved and removed.
    pub member_changes: u64,
    /// What some records cannot say themselves: why a member refused to start, or an operator's wish.
    pub notes: BTreeMap<RecordId, String>,
    /// Attempts of clients beyond the first.
    pub retries: u64,
    /// With [`Options::keep_data`](super::Options::keep_data): the files of each member, in order of member and path, as its process would read
    /// them: what is not durable is there too.
    pub data: Vec<(NodeIndex, Vec<KeptFile>)>,
}

/// A file of a member's disk: its path below the data directory, and its bytes, or why they cannot be read.
pub type KeptFile = (FileName, Result<Vec<u8>, DiskError>);

impl World {
    /// Ends the run; `stuck` says that it cannot go on.
    pub(super) fn into_outcome(mut self, stuck: Option<String>) -> Outcome {
        self.check_files();
        let decisions = std::mem::take(&mut self.decisions);
        let decided = decisions.len() as u64;
        let result = auth::check(&self.committed, decisions);
        self.fail(result);
        for node in &self.nodes {
            let end = node.member().map(|member| (member.raft().hard_state(), member.store().hash()));
            self.digest.fold(&(node.index, end));
        }
        let digest = self.digest.value();
        let kept = self.nodes.iter().filter(|_| self.keep_data);
        let data = kept.map(|node| (node.index, node.kept_files())).collect();
        let mut log = std::mem::take(&mut *self.log.borrow_mut());
        let heard_to = self.tasks.shared().closing.unwrap_or(0);
        log.close(heard_to);
        let nobody_cares = log.watches.is_empty() && log.taken.is_empty();
        let truth = if nobody_cares { Truth::default() } else { Truth::of_log(&self.committed) };
        let probes = self.probes.take();
        Outcome {
            history: log.history,
            asked: log.asked,
            committed: self.committed,
            leases: self.lease_checker.tally(),
            watches: log.watches,
            subscriptions: log.subscriptions,
            wanted_from: log.wanted_from,
            heard_to,
            mirrors: log.mirrors,
            caches: log.caches,
            taken: log.taken,
            conflicts: log.conflicts,
            ring_told: log.ring_told,
            ring_lost: log.ring_lost,
            truth,
            restarts: self.restarts,
            tally: self.observer.finish(),
            records: self.records,
            members: self.by_id,
            failures: self.failures,
            panic: self.panic,
            stuck,
            plan: self.resolved,
            digest,
            checkpoints: self.digest.into_checkpoints(),
            events: self.events,
            ended_at: self.now,
            healed_at: self.healed_at,
            alive_at: probes.done_at,
            probed: probes.asked,
            compared: self.state_checker.compared(),
            raft_steps: self.raft_checker.steps(),
            replays: self.replay_checker.crashes(),
            stores_compared: self.backend_checker.compared(),
            compactions_compared: self.compaction_checker.compared(),
            decisions: decided,
            files_checked: self.files_checked,
            stops: self.stops,
            member_changes: self.membership_checker.changes(),
            notes: self.notes,
            retries: log.retries,
            data,
        }
    }
}
