//! What happens inside a member, in a few words.

use crate::story::words::{counted, length, listed, member};
use crate::world::record::NodeIndex;
use crate::world::settings::peer;
use seedbed::member::TraceEvent;
use seedbed::raft::{CampaignCause, ConfState, NodeId, RaftEvent, RefuseCause, Role, StepDownCause};
use std::collections::BTreeMap;
use tracing::Level;

/// Names of members by their ids. A cluster has at most nine.
#[derive(Debug)]
pub(super) struct Names(BTreeMap<NodeId, NodeIndex>);

impl Names {
    pub(super) fn new() -> Names {
        Names((1..=9).map(|number| (peer(number).id, number - 1)).collect())
    }

    fn of(&self, id: NodeId) -> String {
        self.0.get(&id).map_or_else(|| format!("{id:x}"), |index| member(*index))
    }

    /// How important an event is, and what it says. Elections and losses are `INFO`, the daily work is `DEBUG`.
    pub(super) fn words(&self, event: &TraceEvent) -> (Level, String) {
        match event {
            TraceEvent::Raft(event) => self.raft(event),
            TraceEvent::SaveStarted { op, entries } => {
                (Level::DEBUG, format!("saves {} (disk operation {})", entries_of(*entries as u64), op.0))
            }
            TraceEvent::SaveDone { op, took } => {
                (Level::DEBUG, format!("save done after {} (disk operation {})", length(*took), op.0))
            }
            TraceEvent::TickDropped { blocked_on, count } => {
                let why = match blocked_on {
                    Some(op) => format!("its WAL save is out (disk operation {})", op.0),
                    None => "it did not run".to_owned(),
                };
                (Level::INFO, format!("loses {}: {why}", counted(*count, "tick", "ticks")))
            }
            TraceEvent::Applied { index, revision, .. } => {
                (Level::DEBUG, format!("applies entry {index}, revision {revision}"))
            }
            TraceEvent::Proposed { client, request } => {
                (Level::DEBUG, format!("proposes request {request:x} of call {}", client.0))
            }
            TraceEvent::SnapshotSaved { index } => (Level::INFO, format!("saves a snapshot at {index}")),
            TraceEvent::SnapshotSent { to, index } => {
                (Level::INFO, format!("sends a snapshot at {index} to {}", self.of(*to)))
            }
            TraceEvent::SnapshotInstalled { index, revision, .. } => {
                (Level::INFO, format!("takes its leader's snapshot at {index}, revision {revision}"))
            }
            TraceEvent::BatchStarted { writes, index } => {
                (Level::DEBUG, format!("commits {} up to entry {index}", counted(*writes, "write", "writes")))
            }
            TraceEvent::BatchDone { took } => (Level::DEBUG, format!("batch committed after {}", length(*took))),
            TraceEvent::CompactionDone(done) => {
                (Level::INFO, format!("has compacted to revision {}, hash {:08x}", done.revision, done.hash))
            }
            TraceEvent::DefragStarted { size } => (Level::INFO, format!("defragments its database of {size} bytes")),
            TraceEvent::DefragDone { size, took } => {
                (Level::INFO, format!("has a dense database of {size} bytes after {}", length(*took)))
            }
            TraceEvent::Alarm { member, alarm, raised, .. } => {
                let done = if *raised { "raised" } else { "taken back" };
                let kind = format!("{alarm:?}").to_uppercase();
                (Level::INFO, format!("has applied that alarm {kind} of {} is {done}", self.of(*member)))
            }
            TraceEvent::LeasesPromoted { term } => {
                (Level::INFO, format!("counts leases down from now on, as the leader of term {term}"))
            }
            TraceEvent::LeaseRenewed { lease } => (Level::DEBUG, format!("renews lease {lease:x}")),
            TraceEvent::ConfApplied { index, made, conf } => {
                let done = if *made { "applies a change of the members" } else { "refuses a change of the members" };
                (Level::INFO, format!("{done} at entry {index}: {}", self.conf(conf)))
            }
            TraceEvent::WalRepaired { bytes } => {
                (Level::INFO, format!("cuts {} off the torn end of its WAL", counted(*bytes, "byte", "bytes")))
            }
            TraceEvent::ReadChecked { read, refused, .. } => {
                let verdict = refused.map_or("may read".to_owned(), |error| format!("may not read: {error}"));
                (Level::DEBUG, format!("{:?} {verdict}", read.who.username))
            }
        }
    }

    fn conf(&self, conf: &ConfState) -> String {
        let names = |ids: &[NodeId]| listed(&ids.iter().map(|id| self.of(*id)).collect::<Vec<_>>());
        let voters = format!("{} vote", names(&conf.voters));
        if conf.learners.is_empty() { voters } else { format!("{voters}, {} learn", names(&conf.learners)) }
    }

    fn raft(&self, event: &RaftEvent) -> (Level, String) {
        let round = |pre: bool| if pre { "pre-vote" } else { "vote" };
        match event {
            RaftEvent::Campaigned { term, pre, cause } => {
                let cause = match cause {
                    CampaignCause::Timeout { silent_ticks, timeout_ticks } => {
                        format!("heard no leader for {silent_ticks} of {timeout_ticks} ticks")
                    }
                    CampaignCause::PreVoteWon => "won the pre-vote".to_owned(),
                    CampaignCause::Transfer => "was told to".to_owned(),
                };
                (Level::INFO, format!("asks for {}s for term {term}: {cause}", round(*pre)))
            }
            RaftEvent::Voted { term, candidate, pre } => {
                (Level::INFO, format!("grants {} its {} for term {term}", self.of(*candidate), round(*pre)))
            }
            RaftEvent::Refused { term, candidate, pre, cause } => {
                let cause = match cause {
                    RefuseCause::Lease => "it hears a leader",
                    RefuseCause::LogBehind => "that log is behind its own",
                    RefuseCause::AlreadyVoted => "it has chosen in this term",
                    RefuseCause::OldTerm => "that term is old",
                };
                let round = round(*pre);
                (Level::INFO, format!("refuses {} its {round} for term {term}: {cause}", self.of(*candidate)))
            }
            RaftEvent::BecameLeader { term, votes } => {
                let votes: Vec<String> = votes.iter().map(|id| self.of(*id)).collect();
                (Level::INFO, format!("leads term {term}, elected by {}", listed(&votes)))
            }
            RaftEvent::Follows { term, leader } => {
                (Level::INFO, format!("follows {} in term {term}", self.of(*leader)))
            }
            RaftEvent::SteppedDown { role, old_term, cause } => {
                let role = match role {
                    Role::Leader => "the lead",
                    Role::Candidate => "its campaign",
                    Role::PreCandidate => "its pre-campaign",
                    Role::Follower => "following",
                };
                let cause = match cause {
                    StepDownCause::QuorumLost => "no majority answers".to_owned(),
                    StepDownCause::HigherTerm { from } => format!("{} has a higher term", self.of(*from)),
                    StepDownCause::LeaderOfTerm { leader } => format!("{} leads the term", self.of(*leader)),
                    StepDownCause::Refused => "a majority refused".to_owned(),
                };
                (Level::INFO, format!("gives up {role} of term {old_term}: {cause}"))
            }
            RaftEvent::Appended { first, last } if first == last => (Level::DEBUG, format!("appends entry {first}")),
            RaftEvent::Appended { first, last } => (Level::DEBUG, format!("appends entries {first} to {last}")),
            RaftEvent::Committed { index } => (Level::DEBUG, format!("knows that {index} is committed")),
            RaftEvent::Restored { index } => (Level::INFO, format!("starts its log over after snapshot {index}")),
            RaftEvent::LostAcknowledged { commit, last } => {
                (Level::INFO, format!("lost what it had acknowledged: its log ends at {last}, committed is {commit}"))
            }
            RaftEvent::TransferStarted { to } => (Level::INFO, format!("begins to hand the lead to {}", self.of(*to))),
            RaftEvent::TransferAborted { to } => {
                (Level::INFO, format!("gives up handing the lead to {}", self.of(*to)))
            }
        }
    }
}

fn entries_of(n: u64) -> String {
    if n == 0 { "its hard state".to_owned() } else { counted(n, "entry", "entries") }
}
