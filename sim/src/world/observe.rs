//! What the world sees of its members: their trace events become records, figures, conditions met and checks.

use super::World;
use super::database::{DbTally, Load};
use super::plan::Happening;
use super::process::raft_event;
use super::record::{Held, NodeIndex, RecordId, What};
use super::requests::Phase;
use crate::check::auth::Decision;
use crate::check::by_log::ASKED;
use crate::scenario::Event;
use seedbed::member::{ReadAsked, TraceEvent};
use seedbed::pb::etcdserverpb::AlarmType;
use seedbed::raft::{NodeId, RaftEvent};
use seedbed::time::Nanos;
use std::collections::BTreeSet;

/// A change of leader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaderChange {
    /// When the new leader was elected.
    pub at: Nanos,
    /// The old leader, from 0.
    pub from: NodeIndex,
    /// The new leader, from 0; may be the old one, elected again.
    pub to: NodeIndex,
    /// The new leader's term.
    pub term: u64,
    /// The record of the election.
    pub record: RecordId,
    /// When the old leader sent the last message that anyone heard.
    pub leaderless_from: Nanos,
}

/// Figures of a run.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// The first election: when, who, record.
    pub first_leader: Option<(Nanos, NodeIndex, RecordId)>,
    /// The later ones.
    pub leader_changes: Vec<LeaderChange>,
    /// The highest term at the end.
    pub final_term: u64,
    /// Campaigns, rehearsals not counted.
    pub campaigns: u64,
    /// Processes killed.
    pub crashes: u64,
    /// Snapshots sent from member to member.
    pub snapshots_sent: u64,
    /// Entries applied, by whichever member was first.
    pub applied: u64,
    /// What operators asked for and were refused.
    pub operations_failed: u64,
    /// Each member's database.
    pub databases: Vec<DbTally>,
    /// How often an alarm was raised.
    pub alarms_raised: u64,
    /// The alarms that are raised: kind and member.
    pub alarms: BTreeSet<(AlarmType, NodeId)>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Observer {
    tally: Tally,
    leader: Option<NodeIndex>,
    /// For each member, when it last sent something as leader that was heard, or was elected.
    heard: Vec<Nanos>,
    /// For each member, when its process last went away.
    gone: Vec<Nanos>,
    /// The last entry that changed an alarm.
    alarm_index: u64,
    /// For each member, the snapshot that is on its way to it: index, and when it was first sent.
    awaited: Vec<(u64, Nanos)>,
}

impl Observer {
    pub(super) fn new(members: usize) -> Observer {
        let tally = Tally { databases: vec![DbTally::default(); members], ..Tally::default() };
        Observer {
            tally,
            leader: None,
            heard: vec![0; members],
            gone: vec![0; members],
            alarm_index: 0,
            awaited: vec![(0, 0); members],
        }
    }

    pub(super) fn heard_leader(&mut self, from: NodeIndex, sent: Nanos) {
        let heard = &mut self.heard[usize::from(from)];
        *heard = sent.max(*heard);
    }

    pub(super) fn gone(&mut self, member: NodeIndex, at: Nanos) {
        self.gone[usize::from(member)] = at;
    }

    pub(super) fn crashed(&mut self) {
        self.tally.crashes += 1;
    }

    pub(super) fn snapshot_sent(&mut self) {
        self.tally.snapshots_sent += 1;
    }

    pub(super) fn operation_failed(&mut self) {
        self.tally.operations_failed += 1;
    }

    /// An entry raised an alarm or took it back. `false`: another member has applied it before.
    fn alarm(&mut self, index: u64, alarm: (AlarmType, NodeId), raised: bool) -> bool {
        let is_news = index > self.alarm_index;
        if is_news {
            self.alarm_index = index;
            self.tally.alarms_raised += u64::from(raised);
            if raised {
                self.tally.alarms.insert(alarm)
            } else {
                self.tally.alarms.remove(&alarm)
            };
        }
        is_news
    }

    /// A restarted member loaded its store, which cost it so much CPU.
    pub(super) fn loaded(&mut self, member: NodeIndex, at: Nanos, took: Nanos, size: u64) {
        self.tally.databases[usize::from(member)].loads.push(Load { at, took, size });
    }

    /// A member's database.
    pub(super) fn database(&mut self, member: NodeIndex) -> &mut DbTally {
        &mut self.tally.databases[usize::from(member)]
    }

    /// A snapshot of `index` goes to a member; one that is sent again was on its way before.
    pub(super) fn snapshot_leaves(&mut self, to: NodeIndex, index: u64, at: Nanos) {
        if let Some(awaited) = self.awaited.get_mut(usize::from(to)).filter(|awaited| awaited.0 != index) {
            *awaited = (index, at);
        }
    }

    /// When the snapshot that a member has installed was first sent.
    pub(super) fn snapshot_left(&self, to: NodeIndex, index: u64) -> Option<Nanos> {
        self.awaited.get(usize::from(to)).filter(|awaited| awaited.0 == index).map(|awaited| awaited.1)
    }

    /// The member that was elected last.
    pub(super) fn leader(&self) -> Option<NodeIndex> {
        self.leader
    }

    fn elected(&mut self, at: Nanos, to: NodeIndex, term: u64, record: RecordId) {
        if let Some(from) = self.leader {
            let (heard, gone) = (self.heard[usize::from(from)], self.gone[usize::from(from)]);
            // A sole member is heard by nobody: it was leader until it went.
            let leaderless_from = if self.heard.len() == 1 { gone } else { heard };
            self.tally.leader_changes.push(LeaderChange { at, from, to, term, record, leaderless_from });
        } else {
            self.tally.first_leader = Some((at, to, record));
        }
        self.leader = Some(to);
        self.heard[usize::from(to)] = at;
        self.tally.final_term = self.tally.final_term.max(term);
    }

    pub(super) fn finish(self) -> Tally {
        self.tally
    }
}

impl World {
    /// Takes note of something that happened inside a member.
    pub(super) fn observe(&mut self, index: NodeIndex, event: TraceEvent) {
        if let Some(watcher) = &mut self.watcher {
            let term = self.nodes[usize::from(index)].member().map_or(0, |member| member.raft().term());
            watcher.on_trace(self.now, index, term, &event);
        }
        if let Some(event) = raft_event(&event) {
            self.observe_raft(index, event);
            return;
        }
        let at = usize::from(index);
        match event {
            TraceEvent::TickDropped { blocked_on, count } => {
                let (why, cause) = self.held_by(index, blocked_on);
                let count = u32::try_from(count).unwrap_or(u32::MAX);
                if count > 1 || why == Held::Disk {
                    self.note_aside(cause, What::TicksDropped { node: index, count, why });
                }
            }
            TraceEvent::Proposed { client, request } => {
                let operation = self.nodes[at].calls.get(&client.0).copied();
                self.proposed.extend(operation.map(|operation| (request, operation)));
            }
            TraceEvent::Applied { index: applied, request, revision, hash, refused, .. } => {
                self.decided(Decision { member: index, index: applied, read: None, refused });
                self.on_applied(index, applied, request, revision, hash);
            }
            TraceEvent::Alarm { index: applied, member, alarm, raised } => {
                if self.observer.alarm(applied, (alarm, member), raised) {
                    let node = self.index_of(member);
                    self.note_aside(self.current, What::Alarm { node, alarm, raised });
                }
            }
            TraceEvent::LeasesPromoted { term } => {
                let clock = self.nodes[at].clock.now(self.now).mono;
                self.lease_checker.on_promoted(at, term, clock);
            }
            TraceEvent::LeaseRenewed { lease } => {
                let clock = self.nodes[at].clock.now(self.now).mono;
                let result = self.lease_checker.on_renewed(at, lease, clock);
                self.fail(result);
            }
            TraceEvent::ReadChecked { index: applied, read, refused } => {
                let ReadAsked { who, key, range_end } = *read;
                let read = Some((who, key.to_vec(), range_end.to_vec()));
                self.decided(Decision { member: index, index: applied, read, refused });
            }
            TraceEvent::SnapshotInstalled { index: applied, revision, hash } => {
                let result = self.state_checker.on_applied(at, applied, hash, revision).map(|_| ());
                self.fail(result);
                self.members_to_compare = true;
                self.installed(index, applied);
            }
            TraceEvent::ConfApplied { .. } => self.members_to_compare = true,
            event => self.observe_storage(index, &event),
        }
    }

    /// A member let something through, or refused it.
    fn decided(&mut self, decision: Decision) {
        let damaged = self.nodes[usize::from(decision.member)].damaged;
        if self.scenario.cluster.auth && !damaged {
            self.decisions.push(decision);
        }
    }

    fn on_applied(&mut self, member: NodeIndex, index: u64, request: u64, revision: i64, hash: Option<u64>) {
        self.remember_entry(member, index, request, revision);
        self.sample(member, false);
        match self.state_checker.on_applied(usize::from(member), index, hash, revision) {
            Ok(false) => {}
            Ok(true) => {
                self.observer.tally.applied += 1;
                // A delete that found nothing, or a compare that failed, has no place in the order of revisions.
                if let Some(operation) = self.proposed.remove(&request).filter(|operation| *operation < ASKED)
                    && self.state_checker.made_revision(index)
                {
                    let mut log = self.log.borrow_mut();
                    let operation = log.history.operations.get_mut(operation as usize);
                    operation.into_iter().for_each(|operation| operation.applied = Some(revision));
                }
            }
            Err(failure) => self.fail(Err(failure)),
        }
        self.happened(Happening { indexes: Some((index, index)), ..Happening::of(Event::EntryApplied, member) });
    }

    fn observe_raft(&mut self, index: NodeIndex, event: &RaftEvent) {
        let at = usize::from(index);
        if let Some(member) = self.nodes[at].member() {
            let result = self.raft_checker.on_event(at, member.raft(), event);
            self.fail(result);
        }
        match *event {
            RaftEvent::Campaigned { term, pre, cause } => {
                self.observer.tally.campaigns += u64::from(!pre);
                self.note(What::Campaigned { node: index, term: term as u32, pre, cause });
                self.happened(Happening::of(Event::CampaignStarted, index));
            }
            RaftEvent::Voted { term, candidate, pre } => {
                let candidate = self.index_of(candidate);
                self.note_aside(self.current, What::Voted { node: index, term: term as u32, candidate, pre });
                self.happened(Happening::of(Event::VoteGranted, index));
            }
            RaftEvent::BecameLeader { term, ref votes } => {
                let votes = votes.iter().fold(0, |set, &id| set | 1_u16 << self.index_of(id));
                let record = self.note(What::BecameLeader { node: index, term: term as u32, votes });
                self.observer.elected(self.now, index, term, record);
                self.lease_checker.on_elected(term);
                self.happened(Happening::of(Event::LeaderElected, index));
                self.maybe_probe();
            }
            RaftEvent::Follows { term, leader } => {
                let leader = self.index_of(leader);
                self.note_aside(self.current, What::Follows { node: index, term: term as u32, leader });
                self.maybe_probe();
            }
            RaftEvent::SteppedDown { role, old_term, cause } => {
                self.note_aside(self.current, What::SteppedDown { node: index, role, term: old_term as u32, cause });
                if role == seedbed::raft::Role::Leader {
                    self.happened(Happening::of(Event::LeaderLost, index));
                }
            }
            RaftEvent::Appended { first, last } => {
                let happening =
                    Happening { indexes: Some((first, last)), ..Happening::of(Event::EntryAppended, index) };
                self.happened(happening);
            }
            RaftEvent::Committed { index: commit } => {
                let before = std::mem::replace(&mut self.nodes[at].commit_seen, commit);
                let happening =
                    Happening { indexes: Some((before + 1, commit)), ..Happening::of(Event::EntryCommitted, index) };
                self.happened(happening);
            }
            _ => {}
        }
    }

    pub(super) fn index_of(&self, id: NodeId) -> NodeIndex {
        self.by_id.get(&id).copied().unwrap_or(NodeIndex::MAX)
    }

    /// Called after every event of the last phase.
    pub(super) fn look_for_the_end(&mut self) {
        if matches!(self.phase, Phase::Probing | Phase::Hearing) {
            self.maybe_end();
        }
    }
}
