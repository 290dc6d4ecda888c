//! The network: for each pair of members two links, one a direction.
//!
//! A message gets a verdict when it is sent: it arrives at some moment, or it is lost. Messages of one link arrive in
//! the order in which they were sent (etcd's peers talk over streams), unless a fault reorders them. What a message
//! meets on its way, in this order: a cut, loss, the link's bandwidth (a queue), its latency, extra delay.
//!
//! Faults are kept as a list of rules, each with the record of the fault that made it, so that a lost or late message
//! can name what was to blame.

use super::random::Stream;
use super::record::{Kind, Lost, NodeIndex, RecordId};
use crate::scenario::{MessageKind, Network as Profile, Range64};
use seedbed::raft::{Body, Message};
use seedbed::time::{Nanos, SECOND};

/// A set of members, a bit each.
pub(super) type NodeSet = u16;

/// A rule that a fault put on some links.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    /// The fault's number in the plan: what ends the fault removes its rules.
    pub(super) fault: u16,
    /// The record that the fault began.
    pub(super) record: RecordId,
    pub(super) from: NodeSet,
    pub(super) to: NodeSet,
    pub(super) effect: Effect,
}

/// What a rule does to a message.
#[derive(Clone, Debug)]
pub(super) enum Effect {
    /// Nothing passes.
    Cut,
    /// Messages of these kinds do not pass.
    Drop(Vec<MessageKind>),
    /// So many percent are lost.
    Loss(u32),
    /// Everything is late.
    Delay(Range64),
    /// So many percent arrive twice.
    Duplicate(u32),
    /// So many percent are overtaken.
    Reorder(u32, Range64),
    /// Bytes a second.
    Bandwidth(u64),
}

/// What becomes of a message.
#[derive(Clone, Copy, Debug)]
pub(super) enum Verdict {
    Arrives {
        at: Nanos,
        /// It arrives a second time.
        twice: Option<Nanos>,
        /// The rule that made it late.
        late: Option<RecordId>,
        /// Which life of the link carries it.
        epoch: u32,
    },
    Lost {
        why: Lost,
        blame: Option<RecordId>,
    },
}

#[derive(Clone, Debug, Default)]
struct Link {
    last_arrival: Nanos,
    /// The wire is busy until then, where bandwidth is limited.
    busy_until: Nanos,
    /// Counts the cuts that kill what is in flight.
    epoch: u32,
    /// The record of the latest of them.
    cut_by: RecordId,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Network {
    profile: Profile,
    random: Stream,
    members: usize,
    links: Vec<Link>,
    rules: Vec<Rule>,
}

impl Network {
    pub(super) fn new(profile: Profile, members: usize, random: Stream) -> Network {
        Network { profile, random, members, links: vec![Link::default(); members * members], rules: Vec::new() }
    }

    /// Sends a message of Raft at `now`.
    pub(super) fn send(&mut self, now: Nanos, from: NodeIndex, to: NodeIndex, message: &Message) -> Verdict {
        self.send_bytes(now, (from, to), Kind::of(message), wire_bytes(message))
    }

    /// Sends something of that kind and length at `now`.
    pub(super) fn send_bytes(
        &mut self,
        now: Nanos,
        (from, to): (NodeIndex, NodeIndex),
        message: Kind,
        bytes: Nanos,
    ) -> Verdict {
        let mut latency = self.random.within(self.profile.latency);
        if self.random.chance(self.profile.slow_ppm) {
            latency += self.random.within(self.profile.slow);
        }
        if self.random.chance(self.profile.loss_ppm) {
            return Verdict::Lost { why: Lost::Loss, blame: None };
        }
        let mut bandwidth = self.profile.bandwidth;
        let mut twice = self.random.chance(self.profile.duplicate_ppm);
        let mut reorder =
            self.random.chance(self.profile.reorder_ppm).then(|| self.random.within(self.profile.reorder_by));
        let mut late = None;
        for rule in &self.rules {
            if rule.from & 1 << from == 0 || rule.to & 1 << to == 0 {
                continue;
            }
            let mut percent = |percent: u32| self.random.chance(percent * 10_000);
            match &rule.effect {
                Effect::Cut => return Verdict::Lost { why: Lost::Cut, blame: Some(rule.record) },
                Effect::Drop(kinds) if kinds.iter().any(|kind| is(*kind, message)) => {
                    return Verdict::Lost { why: Lost::Loss, blame: Some(rule.record) };
                }
                Effect::Drop(_) => {}
                Effect::Loss(of) if percent(*of) => {
                    return Verdict::Lost { why: Lost::Loss, blame: Some(rule.record) };
                }
                Effect::Loss(_) => {}
                Effect::Delay(by) => {
                    latency += self.random.within(*by);
                    late = Some(rule.record);
                }
                Effect::Duplicate(of) => twice |= percent(*of),
                Effect::Reorder(of, by) => {
                    if percent(*of) {
                        reorder = Some(self.random.within(*by));
                    }
                }
                Effect::Bandwidth(limit) => {
                    bandwidth = Some(bandwidth.map_or(*limit, |other| other.min(*limit)));
                    late = Some(rule.record);
                }
            }
        }
        let link = &mut self.links[from as usize * self.members + to as usize];
        let mut leaves = now;
        if let Some(bytes_per_s) = bandwidth {
            leaves = link.busy_until.max(now) + bytes * SECOND / bytes_per_s.max(1);
            link.busy_until = leaves;
        }
        let at = match reorder {
            // Later messages may overtake this one: it does not hold up the link's order.
            Some(by) => leaves + latency + by,
            None => {
                link.last_arrival = (leaves + latency).max(link.last_arrival + 1);
                link.last_arrival
            }
        };
        // etcd's streams carry a forwarded proposal at most once, and Raft relies on it: proposed twice, a write would
        // take effect twice. All other messages may come again.
        let twice = (twice && message != Kind::Propose).then(|| at + 1 + self.random.within(self.profile.latency));
        Verdict::Arrives { at, twice, late, epoch: link.epoch }
    }

    /// Whether what was sent in this life of the link is dead by now, and by which cut.
    pub(super) fn died_in_flight(&self, from: NodeIndex, to: NodeIndex, epoch: u32) -> Option<RecordId> {
        let link = &self.links[from as usize * self.members + to as usize];
        (link.epoch != epoch).then_some(link.cut_by)
    }

    pub(super) fn add(&mut self, rule: Rule, kill_in_flight: bool) {
        if kill_in_flight {
            for from in (0..self.members).filter(|n| rule.from & 1 << n != 0) {
                for to in (0..self.members).filter(|n| rule.to & 1 << n != 0) {
                    let link = &mut self.links[from * self.members + to];
                    link.epoch += 1;
                    link.cut_by = rule.record;
                }
            }
        }
        self.rules.push(rule);
    }

    pub(super) fn remove(&mut self, fault: u16) {
        self.rules.retain(|rule| rule.fault != fault);
    }

    pub(super) fn heal(&mut self) {
        self.rules.clear();
    }
}

fn is(kind: MessageKind, message: Kind) -> bool {
    matches!(
        (kind, message),
        (MessageKind::Vote, Kind::Vote)
            | (MessageKind::VoteResp, Kind::VoteResp)
            | (MessageKind::PreVote, Kind::PreVote)
            | (MessageKind::PreVoteResp, Kind::PreVoteResp)
            | (MessageKind::Append, Kind::Append)
            | (MessageKind::AppendResp, Kind::AppendResp)
            | (MessageKind::Heartbeat, Kind::Heartbeat)
            | (MessageKind::HeartbeatResp, Kind::HeartbeatResp)
            | (MessageKind::Snapshot, Kind::Snapshot)
            | (MessageKind::ReadIndex, Kind::ReadIndex | Kind::ReadIndexResp)
            | (MessageKind::TimeoutNow, Kind::TimeoutNow)
    )
}

/// Bytes that a message has besides its payload.
pub(super) const FRAME: usize = 64;

/// Bytes on the wire, roughly: what matters is that entries and snapshots are long and heartbeats short.
fn wire_bytes(message: &Message) -> Nanos {
    let payload = match &message.body {
        Body::Append { entries, .. } | Body::Propose { entries } => {
            entries.iter().map(|entry| entry.data.len() + 24).sum()
        }
        Body::Snapshot(snapshot) => snapshot.data.len(),
        _ => 0,
    };
    (FRAME + payload) as Nanos
}
