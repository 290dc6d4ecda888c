//! What happened, a line each: the records of a run, sifted.
//!
//! A run leaves a record of every event; a person wants the few that changed something. In the usual telling these are
//! starts, leaders, faults, deaths, and campaigns that came to nothing (folded, since a lonely member campaigns again and
//! again). The full telling has followers and the ends of faults as well. Votes and ticks are in the stream of members'
//! own events (`-v`), which is told before.

use super::faults;
use super::words::{bytes, count, counted, length, listed, member, moment};
use crate::scenario::{Action, Scenario};
use crate::world::plan::{self, Planned};
use crate::world::record::{Kind, Lost, NodeIndex, Record, RecordId, What};
use crate::world::{Outcome, Resolved};
use seedbed::raft::{CampaignCause, NodeId, Role, StepDownCause};
use seedbed::time::Nanos;
use std::collections::BTreeMap;

/// What a row is about, which decides its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    /// A new leader.
    Leader,
    /// Something breaks.
    Fault,
    /// The rest.
    Plain,
}

/// A line of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    /// When.
    pub(super) at: Nanos,
    /// What, in two or three words.
    pub(super) what: String,
    /// The particulars.
    pub(super) detail: String,
    /// Its colour.
    pub(super) tone: Tone,
}

/// The rows of a run; `full`: also those that tell little.
pub(super) fn rows(scenario: &Scenario, seed: u64, outcome: &Outcome, full: bool) -> Vec<Row> {
    let members = usize::from(scenario.cluster.members);
    let mut teller = Teller {
        scenario,
        outcome,
        full,
        plan: plan::expand(scenario, seed),
        resolved: outcome.plan.iter().map(|resolved| (resolved.number, resolved)).collect(),
        names: (1..=scenario.cluster.members).map(|n| (crate::world::settings::peer(n).id, n - 1)).collect(),
        members: vec![MemberState::default(); members],
        compacted: 0,
        rows: Vec::new(),
    };
    for (id, record) in outcome.records.iter() {
        teller.tell(id, record);
    }
    teller.finish()
}

/// What the teller remembers of a member.
#[derive(Clone, Debug, Default)]
struct MemberState {
    /// When its process went away.
    gone: Option<Nanos>,
    /// The row of its stepping down, until it follows someone.
    deposed: Option<usize>,
    /// Campaigns without an end yet.
    campaigns: Option<Campaigns>,
    /// When the copy of its database began, and from how many bytes.
    defrag: Option<(Nanos, u64)>,
}

/// Campaigns of one member after one another that nobody won.
#[derive(Clone, Debug)]
struct Campaigns {
    first_at: Nanos,
    last_at: Nanos,
    /// Real ones, and the terms of the first and the last.
    real: u64,
    terms: (u32, u32),
    /// Rehearsals (PreVote).
    pre: u64,
    cause: CampaignCause,
}

struct Teller<'a> {
    scenario: &'a Scenario,
    outcome: &'a Outcome,
    full: bool,
    plan: Vec<Planned>,
    resolved: BTreeMap<u16, &'a Resolved>,
    names: BTreeMap<NodeId, NodeIndex>,
    members: Vec<MemberState>,
    /// The highest revision that some member compacted to.
    compacted: i64,
    rows: Vec<Row>,
}

impl Teller<'_> {
    fn row(&mut self, at: Nanos, tone: Tone, what: impl Into<String>, detail: impl Into<String>) {
        self.rows.push(Row { at, what: what.into(), detail: detail.into(), tone });
    }

    /// A row that only the full story has.
    fn aside(&mut self, at: Nanos, what: impl Into<String>, detail: impl Into<String>) {
        if self.full {
            self.row(at, Tone::Plain, what, detail);
        }
    }

    fn tell(&mut self, id: RecordId, record: &Record) {
        let at = record.at;
        match record.what {
            What::Started(node) => self.started(at, node),
            What::BecameLeader { node, term, votes } => self.leads(at, node, term, votes),
            What::Follows { node, term, leader } => self.follows(at, node, term, leader),
            What::SteppedDown { node, role: Role::Leader, term, cause } => self.steps_down(at, node, term, cause),
            What::Campaigned { node, term, pre, cause } => self.campaigns(at, node, term, pre, cause),
            What::Refused(node) => {
                let why = self.outcome.notes.get(&id).map_or("its disk was damaged", String::as_str);
                self.row(at, Tone::Fault, format!("{} refuses", member(node)), format!("to start: {why}"));
            }
            What::Crashed(node) => self.crashed(at, node, record.cause),
            What::Stopped(node) => self.stopped(at, id, node),
            What::FaultBegan(number) => self.fault_began(at, number),
            What::FaultEnded(number) => self.fault_ended(at, number),
            What::Operated(number) => self.row(at, Tone::Plain, "operator", self.operation(number)),
            What::OperationFailed(number) => {
                let why = self.outcome.notes.get(&id).map(String::as_str).unwrap_or_default();
                self.row(at, Tone::Plain, "operator", format!("in vain ({}): {why}", self.operation(number)));
            }
            What::Delivered { from, to, kind: Kind::Snapshot, .. } => {
                self.row(at, Tone::Plain, "snapshot", format!("from {} to {}", member(from), member(to)));
            }
            What::Lost { from, to, kind: Kind::Snapshot, why } => {
                let why = match why {
                    Lost::Cut | Lost::CutInFlight => "the link is cut",
                    Lost::Loss => "the network loses it",
                    Lost::Down => "nobody is there",
                };
                self.aside(at, "snapshot", format!("from {} to {} is lost: {why}", member(from), member(to)));
            }
            What::Compacted { node, revision } => self.compacted(at, node, revision),
            What::DefragBegan { node, size } => {
                self.members[usize::from(node)].defrag = Some((at, size));
                self.aside(at, format!("{} defrags", member(node)), format!("a database of {}", bytes(size)));
            }
            What::DefragEnded { node, size } => self.defragmented(at, node, size),
            What::SnapshotInstalled { node, index } => {
                self.aside(at, "snapshot", format!("of index {} is in use at {}", count(index), member(node)));
            }
            What::Forgot { node, entries } => {
                let lost = counted(entries, "entry", "entries");
                let detail = format!("{lost} that it had acknowledged: its disk was damaged, or had lied");
                self.row(at, Tone::Fault, format!("{} lost", member(node)), detail);
            }
            What::Alarm { node, alarm, raised } => {
                let detail = if raised { "is raised: every member refuses from here on" } else { "is taken back" };
                let kind = format!("{alarm:?}").to_uppercase();
                self.row(at, Tone::Fault, "alarm", format!("{kind} of {} {detail}", member(node)));
            }
            What::Healed => {
                self.row(at, Tone::Plain, "healed", "every fault ends, every member is started");
            }
            _ => {}
        }
    }

    fn started(&mut self, at: Nanos, node: NodeIndex) {
        if at > 0 {
            let gone = self.members[usize::from(node)].gone.take();
            let detail = gone.map(|gone| format!("after {} away", length(at - gone))).unwrap_or_default();
            self.row(at, Tone::Plain, format!("{} starts", member(node)), detail);
        } else if node == 0 {
            let detail = self.cluster();
            self.row(0, Tone::Plain, "start", detail);
        }
    }

    fn cluster(&self) -> String {
        let cluster = &self.scenario.cluster;
        let names: Vec<String> = (0..cluster.members).map(member).collect();
        let on = |on| if on { "on" } else { "off" };
        let quorum = if cluster.check_quorum { "" } else { ", CheckQuorum off" };
        format!(
            "{}, {} profile (heartbeat {}, election {}, PreVote {}{quorum})",
            names.join(" "),
            cluster.profile.name().replace('-', " "),
            length(cluster.heartbeat),
            length(cluster.election),
            on(cluster.pre_vote),
        )
    }

    fn leads(&mut self, at: Nanos, node: NodeIndex, term: u32, votes: u16) {
        // The campaign that it won is not one that came to nothing.
        if let Some(campaigns) = &mut self.members[usize::from(node)].campaigns
            && campaigns.real > 0
            && campaigns.terms.1 == term
        {
            campaigns.real -= 1;
            campaigns.terms.1 = campaigns.terms.1.saturating_sub(1).max(campaigns.terms.0);
        }
        (0..self.members.len()).for_each(|other| self.flush_campaigns(other));
        let voters: Vec<String> = (0..16).filter(|bit| votes & (1 << bit) != 0).map(member).collect();
        let detail = format!("term {term}, votes {}", voters.join(" "));
        self.row(at, Tone::Leader, format!("{} leads", member(node)), detail);
    }

    fn follows(&mut self, at: Nanos, node: NodeIndex, term: u32, leader: NodeIndex) {
        self.flush_campaigns(usize::from(node));
        let what = format!("{} follows", member(node));
        let whom = format!("{}, term {term}", member(leader));
        match self.members[usize::from(node)].deposed.take() {
            // It gave up and follows in the same step: one line is enough.
            Some(row) if self.rows[row].at == at => {
                let row = &mut self.rows[row];
                row.what = what;
                row.detail = format!("{whom}; {}", row.detail);
            }
            Some(_) => self.row(at, Tone::Plain, what, whom),
            None => self.aside(at, what, whom),
        }
    }

    fn steps_down(&mut self, at: Nanos, node: NodeIndex, term: u32, cause: StepDownCause) {
        let why = match cause {
            StepDownCause::QuorumLost => "no majority answered for an election timeout (CheckQuorum)".to_owned(),
            StepDownCause::HigherTerm { from } => format!("a message of {} had a higher term", self.name(from)),
            StepDownCause::LeaderOfTerm { leader } => format!("{} won this term", self.name(leader)),
            StepDownCause::Refused => "a majority refused".to_owned(),
        };
        self.members[usize::from(node)].deposed = Some(self.rows.len());
        let detail = format!("led term {term} until now: {why}");
        self.row(at, Tone::Plain, format!("{} steps down", member(node)), detail);
    }

    fn campaigns(&mut self, at: Nanos, node: NodeIndex, term: u32, pre: bool, cause: CampaignCause) {
        let campaigns = &mut self.members[usize::from(node)].campaigns;
        let campaigns = campaigns.get_or_insert(Campaigns {
            first_at: at,
            last_at: at,
            real: 0,
            terms: (term, term),
            pre: 0,
            cause,
        });
        campaigns.last_at = at;
        if pre {
            campaigns.pre += 1;
            return;
        }
        if cause == CampaignCause::PreVoteWon {
            campaigns.pre = campaigns.pre.saturating_sub(1);
        }
        if campaigns.real == 0 {
            campaigns.terms.0 = term;
        }
        campaigns.real += 1;
        campaigns.terms.1 = term;
    }

    /// Tells a member's campaigns that nobody won, as one row, at the time of the first.
    fn flush_campaigns(&mut self, index: usize) {
        let Some(campaigns) = self.members[index].campaigns.take() else { return };
        let name = member(index as NodeIndex);
        let until = match campaigns.last_at {
            last if last > campaigns.first_at => format!(", the last at {}", moment(last)),
            _ => String::new(),
        };
        let cause = campaign_cause(campaigns.cause);
        let (what, detail) = match campaigns.real {
            0 if campaigns.pre == 0 => return,
            0 if campaigns.pre == 1 => ("asks around", format!("for pre-votes, in vain: {cause}")),
            0 => ("asks around", format!("for pre-votes, {} times in vain{until}: {cause}", count(campaigns.pre))),
            1 => ("campaigns", format!("in vain for term {}: {cause}", campaigns.terms.0)),
            n => {
                let (first, last) = campaigns.terms;
                ("campaigns", format!("{} times in vain, terms {first} to {last}{until}: {cause}", count(n)))
            }
        };
        self.row(campaigns.first_at, Tone::Plain, format!("{name} {what}"), detail);
    }

    fn crashed(&mut self, at: Nanos, node: NodeIndex, cause: RecordId) {
        self.flush_campaigns(usize::from(node));
        let state = &mut self.members[usize::from(node)];
        state.gone = Some(at);
        state.deposed = None;
        // A crash that its fault's row already tells needs no other.
        if !matches!(self.outcome.records.get(cause).what, What::FaultBegan(_)) {
            let why = self.why_it_died(node);
            self.row(at, Tone::Fault, format!("{} dies", member(node)), why);
        }
    }

    /// A crash that came later than its fault: which of them it was is told by the plan, unless both were at work.
    fn why_it_died(&self, node: NodeIndex) -> &'static str {
        let hit = |resolved: &&Resolved| resolved.members.first().is_some_and(|side| side.contains(&(node + 1)));
        let has = |kind: &str| self.outcome.plan.iter().filter(hit).any(|resolved| resolved.kind == kind);
        match (has("crash-at-disk-op"), has("memory-limit")) {
            (true, false) => "its power goes off",
            (false, true) => "it is killed: its memory ran out",
            _ => "its power goes off, or its memory runs out",
        }
    }

    fn operation(&self, number: u16) -> String {
        let operation = self.scenario.operations.get(usize::from(number));
        operation.map(|operation| faults::operation(&operation.action)).unwrap_or_default()
    }

    /// Members compact each at its own pace; the first is worth a line.
    fn compacted(&mut self, at: Nanos, node: NodeIndex, revision: i64) {
        let detail = format!("what is older than revision {} is gone", count(revision.unsigned_abs()));
        let what = format!("{} compacts", member(node));
        if revision > self.compacted {
            self.row(at, Tone::Plain, what, detail);
        } else {
            self.aside(at, what, detail);
        }
        self.compacted = self.compacted.max(revision);
    }

    fn defragmented(&mut self, at: Nanos, node: NodeIndex, size: u64) {
        let began = self.members[usize::from(node)].defrag.take();
        let detail = match began {
            Some((began, before)) => format!("{} → {} in {}", bytes(before), bytes(size), length(at - began)),
            None => format!("a dense file of {}", bytes(size)),
        };
        self.row(at, Tone::Plain, format!("{} defrags", member(node)), detail);
    }

    fn stopped(&mut self, at: Nanos, id: RecordId, node: NodeIndex) {
        self.members[usize::from(node)].gone = Some(at);
        let why = self.outcome.notes.get(&id).map(String::as_str).unwrap_or_default();
        self.row(at, Tone::Fault, format!("{} stops", member(node)), format!("by itself: {why}"));
    }

    fn fault_began(&mut self, at: Nanos, number: u16) {
        let members = self.scenario.cluster.members;
        let (Some(planned), Some(resolved)) = (self.plan.get(usize::from(number)), self.resolved.get(&number)) else {
            return;
        };
        let text = faults::fault(&planned.action, resolved, members);
        let name = self.scenario.faults.get(planned.source).and_then(|fault| fault.name.as_ref());
        let text = name.map_or(text.clone(), |name| format!("{text} ({name})"));
        self.row(at, Tone::Fault, "fault", text);
    }

    fn fault_ended(&mut self, at: Nanos, number: u16) {
        let Some(planned) = self.plan.get(usize::from(number)) else { return };
        let resolved = self.resolved.get(&number).copied();
        if let Action::CrashAtDiskOp { .. } = planned.action {
            // It is over when its member comes back: not before the power went off, nor once more after that.
            let hit = resolved.and_then(|resolved| resolved.members.first()?.first());
            if hit.is_none_or(|number| self.members[usize::from(number - 1)].gone.is_none()) {
                return;
            }
        }
        let text = faults::ended(&planned.action, resolved, self.scenario.cluster.members);
        self.aside(at, "fault ends", text);
    }

    fn name(&self, id: NodeId) -> String {
        self.names.get(&id).map_or_else(|| format!("{id:x}"), |index| member(*index))
    }

    fn finish(mut self) -> Vec<Row> {
        (0..self.members.len()).for_each(|index| self.flush_campaigns(index));
        if let Some(at) = self.outcome.alive_at {
            let every: Vec<String> = self.outcome.probed.iter().copied().map(member).collect();
            let detail = format!("a write through {} was acknowledged", listed(&every));
            self.row(at, Tone::Plain, "alive", detail);
        }
        // Folded rows were written when the fold was complete.
        self.rows.sort_by_key(|row| row.at);
        self.rows
    }
}

fn campaign_cause(cause: CampaignCause) -> String {
    match cause {
        CampaignCause::Timeout { silent_ticks, timeout_ticks } => {
            // It campaigns as soon as its timeout is over, unless it could not run.
            let late = silent_ticks != timeout_ticks;
            let timeout = if late { format!(" (its timeout: {timeout_ticks})") } else { String::new() };
            format!("heard no leader for {silent_ticks} ticks{timeout}")
        }
        CampaignCause::PreVoteWon => "a majority would vote for it".to_owned(),
        CampaignCause::Transfer => "its leader told it to".to_owned(),
    }
}
