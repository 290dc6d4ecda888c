//! Why one member did not hear another for a while.
//!
//! Each possible reason is weighed by how many heartbeats it kept from coming; the heaviest is the root.

use super::{Explainer, name, seconds};
use crate::story::words::counted;
use crate::world::Resolved;
use crate::world::record::{Held, Kind, Lost, NodeIndex, Record, RecordId, Slow, What};
use seedbed::time::Nanos;

/// The time in which nothing was heard.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub(super) from: Nanos,
    pub(super) to: Nanos,
}

/// A reason.
#[derive(Clone, Debug)]
pub(super) struct Evidence {
    /// As `[expect] cause` names it.
    pub(super) kind: &'static str,
    pub(super) at: Nanos,
    pub(super) member: NodeIndex,
    /// The record of the harm, or of the fault that did it.
    pub(super) record: RecordId,
    pub(super) text: String,
    /// Heartbeats that it kept from coming.
    pub(super) weight: u64,
    /// The talker sent nothing, as against: what it sent did not come.
    pub(super) talker_was_silent: bool,
}

/// A disk operation that took long.
#[derive(Clone, Copy, Debug)]
struct Busy {
    record: RecordId,
    began: Nanos,
    took: Nanos,
    why: Slow,
}

impl Explainer<'_> {
    /// Why `listener` heard nothing from the leader `talker`.
    pub(super) fn silence(&self, talker: NodeIndex, listener: NodeIndex, window: Window) -> Option<Evidence> {
        let heard = |kind: Kind| kind.from_leader();
        let reasons = [
            self.gone(talker, window),
            self.held(talker, window),
            self.lost(talker, listener, heard, window),
            self.late(talker, listener, heard, window),
            self.held(listener, window),
        ];
        self.heaviest(reasons)
    }

    /// Why the leader `asker` got no answers from `talker`: it did not answer, or the question did not come.
    pub(super) fn no_answer(&self, talker: NodeIndex, asker: NodeIndex, window: Window) -> Option<Evidence> {
        let answer = |kind: Kind| matches!(kind, Kind::AppendResp | Kind::HeartbeatResp);
        let question = |kind: Kind| kind.from_leader();
        let reasons = [
            self.gone(talker, window),
            self.stalled(talker, window),
            self.held(talker, window),
            self.lost(talker, asker, answer, window),
            self.late(talker, asker, answer, window),
            self.lost(asker, talker, question, window),
        ];
        self.heaviest(reasons)
    }

    fn heaviest<const N: usize>(&self, reasons: [Option<Evidence>; N]) -> Option<Evidence> {
        // Where two weigh the same, the one named first: a crash before its consequences.
        reasons.into_iter().flatten().filter(|found| found.weight > 0).rev().max_by_key(|found| found.weight)
    }

    /// The talker's process went away.
    fn gone(&self, talker: NodeIndex, window: Window) -> Option<Evidence> {
        // A crash just before the last message was heard is one, too: it was still on its way.
        let from = window.from.saturating_sub(self.heartbeat);
        let mut gone = self.records.between(from, window.to).filter_map(|(id, record)| match record.what {
            What::Crashed(node) if node == talker => Some((id, record.at, "crash", "crashed")),
            What::Stopped(node) if node == talker => Some((id, record.at, "stopped", "stopped by itself")),
            _ => None,
        });
        let (record, at, kind, what) = gone.next_back()?;
        let text = format!("{} {what} at {}", name(talker), seconds(at));
        Some(Evidence {
            kind,
            at,
            member: talker,
            record,
            text,
            weight: self.beats(at, window.to) + 1,
            talker_was_silent: true,
        })
    }

    /// The talker's raft loop stood still: its disk, a pause, or a CPU too slow.
    fn held(&self, talker: NodeIndex, window: Window) -> Option<Evidence> {
        let mut disk: Option<(Busy, u64)> = None;
        let mut pause: Option<(RecordId, Nanos, u64)> = None;
        let mut cpu: Option<(RecordId, Nanos, u64)> = None;
        // What held the talker up may have begun while its last message was still leaving.
        for (id, record) in self.records.between(window.from.saturating_sub(self.heartbeat), window.to) {
            match record.what {
                What::TicksDropped { node, count, why: Held::Disk } if node == talker => {
                    let busy = self.busy(record.cause);
                    let ticks = disk.map_or(0, |(_, ticks)| ticks) + u64::from(count);
                    disk = busy.map(|busy| (busy, ticks)).or(disk);
                }
                What::Paused(node) if node == talker => pause = Some((id, record.at, 0)),
                What::Resumed(node) if node == talker => {
                    pause = pause.map(|(id, since, beats)| (id, since, beats + self.beats(since, record.at)));
                }
                What::Turn(node) if node == talker => {
                    let waited = record.at - self.records.get(record.cause).at;
                    if waited >= self.heartbeat {
                        let (id, since, beats) = cpu.unwrap_or((id, record.at - waited, 0));
                        cpu = Some((id, since, beats.max(self.beats(record.at - waited, record.at))));
                    }
                }
                What::Overworked { node, until } if node == talker => {
                    let (_, since, beats) = cpu.unwrap_or((id, record.at, 0));
                    cpu = Some((id, since, beats + self.beats(record.at, until.min(window.to))));
                }
                _ => {}
            }
        }
        if let Some((id, since, 0)) = pause {
            pause = Some((id, since, self.beats(since, window.to)));
        }
        let disk = disk.map(|(busy, ticks)| {
            let kind = if busy.why == Slow::Stall { "fsync-stall" } else { "slow-disk" };
            let text = format!(
                "{}'s WAL fsync took {} s ({} → {}), so its raft loop was blocked and {ticks} {} dropped",
                name(talker),
                seconds(busy.took),
                seconds(busy.began),
                seconds(busy.began + busy.took),
                if ticks == 1 { "tick was" } else { "ticks were" }
            );
            let record = busy.record;
            Evidence { kind, at: busy.began, member: talker, record, text, weight: ticks, talker_was_silent: true }
        });
        let pause = pause.map(|(record, at, weight)| {
            let text = format!("{}'s process stood still from {}", name(talker), seconds(at));
            Evidence { kind: "pause", at, member: talker, record, text, weight, talker_was_silent: true }
        });
        let cpu = cpu.map(|(record, at, weight)| {
            let text =
                format!("{}'s CPU was too slow for its work: what came at {} had to wait", name(talker), seconds(at));
            Evidence { kind: "slow-cpu", at, member: talker, record, text, weight, talker_was_silent: true }
        });
        self.heaviest([disk, pause, cpu])
    }

    /// A follower's disk was so slow that it could not acknowledge.
    fn stalled(&self, talker: NodeIndex, window: Window) -> Option<Evidence> {
        let began_in = self.records.between(window.from.saturating_sub(self.election), window.to);
        let busy = began_in.filter_map(|(id, record)| match record.what {
            What::DiskBusy { node, .. } if node == talker => self.busy(id),
            _ => None,
        });
        let busy = busy.max_by_key(|busy| busy.took)?;
        let kind = if busy.why == Slow::Stall { "fsync-stall" } else { "slow-disk" };
        let until = busy.began + busy.took;
        let weight = self.beats(busy.began.max(window.from), until.min(window.to));
        let text = format!(
            "{}'s WAL fsync took {} s ({} → {}), and it acknowledges nothing before it is durable",
            name(talker),
            seconds(busy.took),
            seconds(busy.began),
            seconds(until)
        );
        let record = busy.record;
        Some(Evidence { kind, at: busy.began, member: talker, record, text, weight, talker_was_silent: true })
    }

    fn busy(&self, id: RecordId) -> Option<Busy> {
        match self.records.get(id) {
            Record { at, what: What::DiskBusy { took, why, .. }, .. } => {
                Some(Busy { record: id, began: at, took, why })
            }
            _ => None,
        }
    }

    /// What was sent was lost.
    fn lost(&self, from: NodeIndex, to: NodeIndex, wanted: fn(Kind) -> bool, window: Window) -> Option<Evidence> {
        let mut reasons: Vec<(RecordId, Lost, Nanos, u64)> = Vec::new();
        for (_, record) in self.records.between(window.from, window.to) {
            let What::Lost { from: sender, to: receiver, kind, why } = record.what else { continue };
            if sender != from || receiver != to || !wanted(kind) {
                continue;
            }
            match reasons.iter_mut().find(|(cause, known, ..)| *cause == record.cause && *known == why) {
                Some((.., count)) => *count += 1,
                None => reasons.push((record.cause, why, record.at, 1)),
            }
        }
        let total: u64 = reasons.iter().map(|(.., count)| count).sum();
        let (cause, why, at, _) = *reasons.iter().rev().max_by_key(|(.., count)| *count)?;
        let fault = self.fault(cause);
        let kind = fault.and_then(|fault| kind_of_fault(&fault.kind)).unwrap_or(match why {
            Lost::Cut | Lost::CutInFlight => "partition",
            Lost::Loss => "loss",
            Lost::Down => "crash",
        });
        let (talker, listener) = (name(from), name(to));
        let messages = counted(total, "message", "messages");
        let were = if total == 1 { "was" } else { "were" };
        let text = match kind {
            "loss" => format!("{messages} from {talker} to {listener} in a row {were} lost from {}", seconds(at)),
            "crash" => format!("{listener} was not there to hear {talker}"),
            kind => {
                let began = self.records.get(cause).at;
                format!(
                    "{} from {}: {messages} from {talker} to {listener} {were} lost",
                    phrase(kind, fault),
                    seconds(began)
                )
            }
        };
        // Appends are lost beside heartbeats: weigh by the time, not by the count alone.
        let weight = total.min(self.beats(at, window.to) + 1);
        let began = if fault.is_some() && kind != "loss" { self.records.get(cause).at } else { at };
        Some(Evidence { kind, at: began, member: from, record: cause, text, weight, talker_was_silent: false })
    }

    /// What was sent came late, or not before the window's end.
    fn late(&self, from: NodeIndex, to: NodeIndex, wanted: fn(Kind) -> bool, window: Window) -> Option<Evidence> {
        let late = self.records.between(window.from, window.to).filter_map(|(_, record)| match record.what {
            What::Delayed { from: sender, to: receiver, kind, arrives }
                if sender == from && receiver == to && wanted(kind) && arrives - record.at >= self.heartbeat =>
            {
                Some((record.at, arrives - record.at, record.cause))
            }
            _ => None,
        });
        let late: Vec<(Nanos, Nanos, RecordId)> = late.collect();
        let (at, _, record) = *late.first()?;
        let worst = late.iter().map(|(_, by, _)| *by).max()?;
        let text = format!(
            "messages from {} to {} took up to {} s from {}",
            name(from),
            name(to),
            seconds(worst),
            seconds(at)
        );
        let weight = (late.len() as u64).min(self.beats(at, window.to) + 1);
        Some(Evidence { kind: "delay", at, member: from, record, text, weight, talker_was_silent: false })
    }

    /// The fault whose beginning a record is.
    fn fault(&self, id: RecordId) -> Option<&Resolved> {
        match self.records.get(id).what {
            What::FaultBegan(number) => self.faults.iter().find(|fault| fault.number == number),
            _ => None,
        }
    }

    /// Heartbeats that fall into a span.
    fn beats(&self, from: Nanos, to: Nanos) -> u64 {
        to.saturating_sub(from) / self.heartbeat
    }
}

fn kind_of_fault(fault: &str) -> Option<&'static str> {
    Some(match fault {
        "isolate" => "isolation",
        "partition" | "one-way" => "partition",
        "deaf" => "deaf",
        "mute" => "mute",
        "loss" | "drop" => "loss",
        _ => return None,
    })
}

fn phrase(kind: &str, fault: Option<&Resolved>) -> String {
    let members = fault.and_then(|fault| fault.members.first());
    let names: Vec<String> = members.into_iter().flatten().map(|member| format!("n{member}")).collect();
    let who = names.join(" and ");
    match kind {
        "isolation" => format!("{who} was cut off from the others"),
        "deaf" => format!("{who} could hear nobody"),
        "mute" => format!("nobody could hear {who}"),
        _ => "the network was cut".to_owned(),
    }
}
