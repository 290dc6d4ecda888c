//! Why a leader switched: the causal chain, walked from the records' links.
//!
//! Every record names the record that caused it, so most of a chain is simply followed: the election ← the votes ← the
//! requests ← the campaign. It ends at a campaign that began because a member *heard nothing*, and what did not happen
//! has no record. There the walk turns round: from the last thing that the silent leader sent and its follower heard,
//! [`silence`] looks for what kept the next things from coming. Each of those left a record (a lost message, a dropped
//! tick, a crash), whose link names the fault that was to blame. The scenario's list of faults is never consulted: a
//! fault that hurt nobody is in no chain.

mod silence;

use crate::report::CauseStep;
use crate::world::record::{NodeIndex, Record, RecordId, Records, What};
use crate::world::{LeaderChange, Outcome, Resolved};
use seedbed::raft::{CampaignCause, NodeId, Role, StepDownCause};
use seedbed::time::Nanos;
use silence::{Evidence, Window};
use std::collections::BTreeMap;

/// What an explanation is made from.
pub(crate) struct Explainer<'a> {
    records: &'a Records,
    /// What the plan's faults came to.
    faults: &'a [Resolved],
    by_id: &'a BTreeMap<NodeId, NodeIndex>,
    members: u8,
    heartbeat: Nanos,
    election: Nanos,
}

/// A campaign that began a change.
#[derive(Clone, Copy, Debug)]
struct Campaign {
    record: RecordId,
    at: Nanos,
    node: NodeIndex,
    cause: CampaignCause,
}

impl<'a> Explainer<'a> {
    pub(crate) fn new(outcome: &'a Outcome, members: u8, heartbeat: Nanos, election: Nanos) -> Explainer<'a> {
        Explainer {
            records: &outcome.records,
            faults: &outcome.plan,
            by_id: &outcome.members,
            members,
            heartbeat,
            election,
        }
    }

    /// The chain of a change, from its root to the election. `since` is when the old leader was elected.
    pub(crate) fn explain(&self, change: &LeaderChange, since: Nanos) -> Vec<CauseStep> {
        let mut steps = Vec::new();
        // A vote that waited for a save with another origin (a restart's repair) leads back to that: then the candidate's
        // latest campaign is the one.
        match self.campaign_of(change.record).or_else(|| self.rival(change.to, change.at)) {
            Some(campaign) if campaign.cause == CampaignCause::Transfer => self.transfer(change, campaign, &mut steps),
            Some(campaign) => self.timeout(change, campaign, since, &mut steps),
            None => {}
        }
        let leaderless = change.at.saturating_sub(change.leaderless_from);
        let text = format!(
            "{} led term {} from {}: {} s without a leader",
            name(change.to),
            change.term,
            seconds(change.at),
            seconds(leaderless)
        );
        steps.push(step("elected", change.at, Some(change.to), text));
        steps
    }

    fn transfer(&self, change: &LeaderChange, campaign: Campaign, steps: &mut Vec<CauseStep>) {
        let ordered = self.links(campaign.record).find(|id| matches!(self.records.get(*id).what, What::Operated(_)));
        let at = ordered.map_or(campaign.at, |id| self.records.get(id).at);
        let text = format!("an operator told {} to hand leadership over", name(change.from));
        steps.push(step("transfer", at, Some(change.from), text));
        let text = format!("{} was told to campaign at once", name(campaign.node));
        steps.push(step("timeout-now", campaign.at, Some(campaign.node), text));
    }

    fn timeout(&self, change: &LeaderChange, campaign: Campaign, since: Nanos, steps: &mut Vec<CauseStep>) {
        let stepped_down = self.stepped_down(change.from, since, change.at);
        match stepped_down {
            Some((at, StepDownCause::QuorumLost)) => {
                self.quorum_lost(change.from, at, steps);
                self.heard_nothing(change.from, campaign, None, steps);
            }
            Some((at, StepDownCause::HigherTerm { from })) => {
                let rival = self.by_id.get(&from).and_then(|rival| self.rival(*rival, at)).unwrap_or(campaign);
                let healthy = self.healthy_at(change.from, rival.node, at);
                if rival.cause == CampaignCause::Transfer {
                    self.transfer(change, rival, steps);
                } else {
                    self.silent(change.from, rival, since, steps);
                }
                if healthy || rival.node != campaign.node {
                    let text = format!(
                        "{} came with a higher term, and {} gave up a leadership that the others still heard",
                        name(rival.node),
                        name(change.from)
                    );
                    steps.push(step("higher-term", at, Some(rival.node), text));
                }
            }
            _ => self.silent(change.from, campaign, since, steps),
        }
    }

    /// Why a campaigning member heard nothing from the leader, and that it campaigned.
    fn silent(&self, leader: NodeIndex, campaign: Campaign, since: Nanos, steps: &mut Vec<CauseStep>) {
        let heard = self.last_heard(leader, campaign.node, since, campaign.at);
        let window = Window { from: heard, to: campaign.at };
        let evidence = self.silence(leader, campaign.node, window);
        let stopped_sending = evidence.as_ref().is_some_and(|evidence| evidence.talker_was_silent);
        match evidence {
            Some(evidence) => steps.push(self.root(evidence)),
            None => steps.push(self.timers(leader, campaign.node, heard)),
        }
        self.heard_nothing(leader, campaign, stopped_sending.then_some(heard), steps);
    }

    /// Nothing was wrong but the timers.
    fn timers(&self, leader: NodeIndex, member: NodeIndex, at: Nanos) -> CauseStep {
        let between =
            if leader == member { String::new() } else { format!(" between {} and {}", name(leader), name(member)) };
        let text = format!(
            "nothing was wrong{between}: an election timeout of {} s is too short for heartbeats every {} s",
            seconds(self.election),
            seconds(self.heartbeat)
        );
        step("timers", at, Some(member), text)
    }

    fn heard_nothing(
        &self,
        leader: NodeIndex,
        campaign: Campaign,
        sent_nothing_after: Option<Nanos>,
        steps: &mut Vec<CauseStep>,
    ) {
        if let Some(after) = sent_nothing_after {
            let text = format!("{} sent no heartbeat after {}", name(leader), seconds(after));
            steps.push(step("no-heartbeat", after, Some(leader), text));
        }
        if let CampaignCause::Timeout { silent_ticks, timeout_ticks } = campaign.cause {
            let text = format!(
                "{} heard no leader for {silent_ticks} ticks (its timeout this term: {timeout_ticks})",
                name(campaign.node)
            );
            steps.push(step("election-timeout", campaign.at, Some(campaign.node), text));
        }
    }

    /// Why a leader heard no majority any more.
    fn quorum_lost(&self, leader: NodeIndex, at: Nanos, steps: &mut Vec<CauseStep>) {
        let window = Window { from: at.saturating_sub(2 * self.election), to: at };
        let others = (0..self.members).filter(|other| *other != leader);
        let worst = others.filter_map(|other| self.no_answer(other, leader, window)).max_by_key(|found| found.weight);
        steps.push(worst.map_or_else(|| self.timers(leader, leader, window.from), |evidence| self.root(evidence)));
        let text = format!("{} heard no majority for an election timeout and stepped down", name(leader));
        steps.push(step("quorum-lost", at, Some(leader), text));
    }

    fn root(&self, evidence: Evidence) -> CauseStep {
        let fault = self.fault_behind(evidence.record);
        CauseStep { fault, ..step(evidence.kind, evidence.at, Some(evidence.member), evidence.text) }
    }

    /// The fault that a record of harm leads to, by its number in the plan.
    fn fault_behind(&self, id: RecordId) -> Option<u16> {
        let record = self.records.get(id);
        match record.what {
            What::FaultBegan(number) => Some(number),
            What::DiskBusy { blame, .. } => self.fault_behind(blame?.get()),
            What::Crashed(_) | What::Paused(_) | What::Overworked { .. } => self.fault_behind(record.cause),
            _ => None,
        }
    }

    /// The campaign from which an election came: the votes, the requests, and, before a rehearsal that was won, that.
    fn campaign_of(&self, election: RecordId) -> Option<Campaign> {
        self.links(election).find_map(|id| campaign(id, &self.records.get(id)))
    }

    /// The campaign that gave a member the higher term with which it deposed a leader: its latest.
    fn rival(&self, node: NodeIndex, before: Nanos) -> Option<Campaign> {
        let campaigns = self.records.between(0, before + 1).rev();
        campaigns.filter_map(|(id, record)| campaign(id, record)).find(|campaign| campaign.node == node)
    }

    /// A record, its cause, the cause of that, … down to the start.
    fn links(&self, from: RecordId) -> impl Iterator<Item = RecordId> + '_ {
        std::iter::successors(Some(from), |id| (*id > 0).then(|| self.records.get(*id).cause))
    }

    /// How and when a leader gave up, if it did before the new one was elected.
    fn stepped_down(&self, leader: NodeIndex, since: Nanos, to: Nanos) -> Option<(Nanos, StepDownCause)> {
        self.records.between(since, to + 1).rev().find_map(|(_, record)| match record.what {
            What::SteppedDown { node, role: Role::Leader, cause, .. } if node == leader => Some((record.at, cause)),
            _ => None,
        })
    }

    /// Whether, when a leader gave up, a majority (itself included) had heard it within an election timeout, the rival
    /// left out.
    fn healthy_at(&self, leader: NodeIndex, rival: NodeIndex, at: Nanos) -> bool {
        let since = at.saturating_sub(self.election * 9 / 10);
        let others = (0..self.members).filter(|other| *other != leader && *other != rival);
        let hear = others.filter(|other| self.last_heard(leader, *other, 0, at) >= since).count();
        hear + 1 > usize::from(self.members) / 2
    }

    /// When the last leader's message that a member heard was sent; `since` if it heard none.
    fn last_heard(&self, leader: NodeIndex, listener: NodeIndex, since: Nanos, until: Nanos) -> Nanos {
        let heard = self.records.between(since, until).rev().find_map(|(_, record)| match record.what {
            What::Delivered { from, to, kind, sent } if from == leader && to == listener && kind.from_leader() => {
                Some(sent)
            }
            _ => None,
        });
        heard.unwrap_or(since)
    }
}

/// The campaign that a record tells of, unless a rehearsal came before it.
fn campaign(id: RecordId, record: &Record) -> Option<Campaign> {
    match record.what {
        What::Campaigned { node, cause, .. } if cause != CampaignCause::PreVoteWon => {
            Some(Campaign { record: id, at: record.at, node, cause })
        }
        _ => None,
    }
}

/// What would have helped against a root cause, and what would not.
pub(crate) fn advice(root: &str, chain: &[CauseStep]) -> &'static str {
    let deposed = chain.iter().any(|step| step.kind == "higher-term");
    match if deposed { "higher-term" } else { root } {
        "fsync-stall" | "slow-disk" => {
            "PreVote would not have helped; a faster disk or a longer election timeout would"
        }
        "crash" | "stopped" => "nothing prevents it: a leader that is gone has to be replaced",
        "pause" | "slow-cpu" => "PreVote would not have helped; CPU of its own or a longer election timeout would",
        "isolation" | "partition" | "mute" => "the switch was needed: a leader that nobody hears cannot lead",
        "deaf" | "quorum-lost" => "the switch was needed, and CheckQuorum made it",
        "higher-term" => "PreVote would have prevented it: a rehearsal changes no terms",
        "loss" | "delay" => "a longer election timeout would have helped: ten round trips at least",
        "transfer" => "intended",
        "timers" => "a longer election timeout would have prevented it: ten heartbeats or more",
        _ => "",
    }
}

fn step(kind: &'static str, at: Nanos, member: Option<NodeIndex>, text: String) -> CauseStep {
    CauseStep { kind, at: at as f64 / 1e9, member: member.map(name), fault: None, text }
}

pub(crate) fn name(member: NodeIndex) -> String {
    format!("n{}", u16::from(member) + 1)
}

/// A moment or span in seconds, to the millisecond.
pub(crate) fn seconds(at: Nanos) -> String {
    format!("{:.3}", at as f64 / 1e9)
}
