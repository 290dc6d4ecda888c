//! What a member's steps did, for whoever looks on: it counts, and changes nothing.

use super::metrics::Metrics;
use crate::api::Response;
use crate::member::{Effects, TraceEvent};
use crate::raft::RaftEvent;
use std::sync::Arc;
use std::time::Duration;

/// Steps that apply something should not take longer (etcd's expected duration of an apply).
const SLOW_APPLY: Duration = Duration::from_millis(100);

/// Looks at each step's effects, on the member's thread.
pub(super) struct Observer {
    metrics: Arc<Metrics>,
    leads: bool,
}

impl Observer {
    pub(super) fn new(metrics: Arc<Metrics>) -> Observer {
        Observer { metrics, leads: false }
    }

    /// A step is over, and what it asks for is still to be done.
    pub(super) fn stepped(&mut self, effects: &Effects, took: Duration) {
        let metrics = &self.metrics;
        let mut applied = false;
        for event in &effects.trace {
            match event {
                TraceEvent::Raft(RaftEvent::BecameLeader { .. }) => {
                    metrics.leader_changes.add(1);
                    self.leads = true;
                }
                TraceEvent::Raft(RaftEvent::Follows { .. }) => {
                    metrics.leader_changes.add(1);
                    self.leads = false;
                }
                TraceEvent::Raft(RaftEvent::SteppedDown { .. }) => self.leads = false,
                TraceEvent::TickDropped { count, .. } if self.leads => metrics.late_heartbeats.add(*count),
                TraceEvent::Applied { .. } => applied = true,
                TraceEvent::BatchDone { took } => metrics.backend_commit.observe(Duration::from_nanos(*took)),
                TraceEvent::DefragDone { took, .. } => metrics.defrag.observe(Duration::from_nanos(*took)),
                TraceEvent::LeaseRenewed { .. } => metrics.leases_renewed.add(1),
                _ => {}
            }
        }
        if applied && took > SLOW_APPLY {
            metrics.slow_applies.add(1);
        }
        let ranges = effects.replies.iter().filter(|(_, result)| matches!(result, Ok(Response::Range(_)))).count();
        let events: usize = effects.watch.iter().map(|(_, response)| response.events.len()).sum();
        if ranges + events > 0 {
            metrics.ranges.add(ranges as u64);
            metrics.events.add(events as u64);
        }
    }
}
