//! What a member's steps did, for whoever looks on: it counts and it logs, and changes nothing.
//!
//! The log's messages are etcd's, since people search for them and tools wait for them; each is one line. Whatever a
//! member has to tell is in the trace of its steps, so the member itself knows of no log.

use super::metrics::Metrics;
use crate::api::Response;
use crate::member::{Effects, TraceEvent};
use crate::raft::{NodeId, RaftEvent, Role};
use crate::time::{Nanos, Now, SECOND};
use std::sync::Arc;
use std::time::Duration;
use tracing::{info, warn};

/// Steps that apply something should not take longer (etcd's expected duration of an apply).
const SLOW_APPLY: Duration = Duration::from_millis(100);

/// Clocks that part by more than this have been set.
const CLOCK_JUMP: Nanos = SECOND;

/// Looks at each step's effects, on the member's thread.
pub(super) struct Observer {
    metrics: Arc<Metrics>,
    id: NodeId,
    /// 0: none.
    leader: NodeId,
    term: u64,
    /// The wall clock at the monotonic clock's zero.
    zero: Option<Nanos>,
}

impl Observer {
    pub(super) fn new(id: NodeId, metrics: Arc<Metrics>) -> Observer {
        Observer { metrics, id, leader: 0, term: 0, zero: None }
    }

    /// A step is over that began at `now`, and what it asks for is still to be done.
    pub(super) fn stepped(&mut self, effects: &Effects, now: Now, took: Duration) {
        self.look_at_clocks(now);
        let mut applied = 0;
        for event in &effects.trace {
            match event {
                TraceEvent::Raft(event) => self.raft(event),
                TraceEvent::Applied { .. } => applied += 1,
                event => self.member(event),
            }
        }
        if applied > 0 && took > SLOW_APPLY {
            self.metrics.slow_applies.add(1);
            warn!(?took, expected = ?SLOW_APPLY, entries = applied, "apply request took too long");
        }
        let ranges = effects.replies.iter().filter(|(_, result)| matches!(result, Ok(Response::Range(_)))).count();
        let events: usize = effects.watch.iter().map(|(_, response)| response.events.len()).sum();
        if ranges + events > 0 {
            self.metrics.ranges.add(ranges as u64);
            self.metrics.events.add(events as u64);
        }
    }

    fn raft(&mut self, event: &RaftEvent) {
        match event {
            RaftEvent::BecameLeader { term, .. } => self.follow(self.id, *term),
            RaftEvent::Follows { term, leader } => self.follow(*leader, *term),
            RaftEvent::SteppedDown { role: Role::Leader, old_term, cause } => {
                warn!("raft.node: {:x} stepped down, leader of term {old_term}: {cause:?}", self.id);
                self.lose();
            }
            RaftEvent::Campaigned { term, pre, cause } => {
                let what = if *pre { "a pre-election" } else { "an election" };
                info!("{:x} is starting {what} at term {term}: {cause:?}", self.id);
                self.lose();
            }
            RaftEvent::LostAcknowledged { commit, last } => {
                let lost = "the disk has lost what was acknowledged; remove this member and add it anew";
                tracing::error!(commit, last, "{lost}");
            }
            _ => {}
        }
    }

    fn follow(&mut self, leader: NodeId, term: u64) {
        let (id, before) = (self.id, self.leader);
        if before == 0 {
            info!("raft.node: {id:x} elected leader {leader:x} at term {term}");
        } else if before != leader {
            info!("raft.node: {id:x} changed leader from {before:x} to {leader:x} at term {term}");
        }
        if before != leader {
            self.metrics.leader_changes.add(1);
        }
        (self.leader, self.term) = (leader, term);
    }

    fn lose(&mut self) {
        if self.leader != 0 {
            warn!("raft.node: {:x} lost leader {:x} at term {}", self.id, self.leader, self.term);
            self.leader = 0;
        }
    }

    fn member(&self, event: &TraceEvent) {
        let metrics = &self.metrics;
        match event {
            TraceEvent::TickDropped { count, .. } if self.leader == self.id => {
                metrics.late_heartbeats.add(*count);
                let slow = "leader is overloaded likely from slow disk";
                warn!(heartbeats = count, "failed to send out heartbeat on time; took too long, {slow}");
            }
            TraceEvent::BatchDone { took } => metrics.backend_commit.observe(Duration::from_nanos(*took)),
            TraceEvent::DefragStarted { size } => info!(size, "defragmenting"),
            TraceEvent::DefragDone { size, took } => {
                let took = Duration::from_nanos(*took);
                metrics.defrag.observe(took);
                info!(size, ?took, "finished defragmenting directory");
            }
            TraceEvent::LeaseRenewed { .. } => metrics.leases_renewed.add(1),
            TraceEvent::CompactionDone(done) => {
                info!(compact_revision = done.revision, hash = done.hash, "finished scheduled compaction");
            }
            TraceEvent::SnapshotSaved { index } => info!(snapshot_index = index, "saved snapshot"),
            TraceEvent::SnapshotSent { to, index } => info!("sending database snapshot of index {index} to {to:x}"),
            TraceEvent::SnapshotInstalled { index, revision, .. } => {
                info!(snapshot_index = index, revision, "applied snapshot");
            }
            TraceEvent::WalRepaired { bytes } => warn!(bytes, "repaired the torn end of the log"),
            TraceEvent::Alarm { member, alarm, raised: true, .. } => warn!("alarm {alarm:?} raised by {member:x}"),
            TraceEvent::Alarm { member, alarm, .. } => info!("alarm {alarm:?} disarmed for {member:x}"),
            TraceEvent::ConfApplied { conf, made: true, .. } => {
                info!("cluster of {} voters and {} learners", conf.voters.len(), conf.learners.len());
            }
            _ => {}
        }
    }

    /// Leases and elections go by the monotonic clock; tokens, and whoever reads the log, by the other.
    fn look_at_clocks(&mut self, now: Now) {
        let zero = now.wall.wrapping_sub(now.mono);
        if let Some(before) = self.zero
            && zero.abs_diff(before) > CLOCK_JUMP
        {
            let by = Duration::from_nanos(zero.abs_diff(before));
            let way = if zero > before { "forward" } else { "back" };
            warn!("the system clock was set {way} by {by:?}; keep it in step with those of the other members");
        }
        self.zero = Some(zero);
    }
}
