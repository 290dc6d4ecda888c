//! The corruption check (lesson 12): members compare hashes of their keys, since equal logs do not make equal data.
//!
//! ```text
//!   at start   own hash at the newest revision ─▶ ask the others for theirs at that revision ─▶ differs? do not serve
//!   the leader, every so often:
//!              own hash ─▶ ask the others ─▶ still the leader, and up to date? (ReadIndex) ─▶ own hash again
//!                                            └─▶ raise CORRUPT for the first whose answer cannot be
//! ```
//!
//! Two hashes compare only if they are of one revision and one compact revision. Besides, a follower must not have a
//! newer revision than its leader, nor a newer compact one: the leader has applied everything that they may have.
//!
//! Who is right the check cannot say: with three members it names the one that differs from the leader, and the leader
//! may be the one that is wrong.
//!
//! Left out: the comparison of the hashes that compactions leave behind (etcd 3.5; here the world makes it).

use super::peers::PeerMessage;
use super::{Effects, Member, StopReason};
use crate::api::{Credentials, Request, RequestId};
use crate::mvcc::HashKv;
use crate::pb::etcdserverpb::AlarmType;
use crate::raft::NodeId;
use crate::time::{Nanos, Now, SECOND};
use std::collections::BTreeMap;

/// How long the others' answers are waited for.
const ANSWER_WITHIN: Nanos = 5 * SECOND;

/// A member's answer: its hash at the revision that was asked for, and its newest revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PeerHash {
    /// The hash, and what it is of.
    pub hash: HashKv,
    /// The newest revision of whoever answers.
    pub newest: i64,
}

#[derive(Debug, Default)]
pub(super) struct Corruption {
    /// When a leader checks next.
    next_at: Nanos,
    check: Option<Check>,
    /// Numbers the questions, so that no answer is taken for that to another.
    number: u64,
    /// Clients that came while the check at the start was out.
    held: Vec<(RequestId, Credentials, Box<Request>)>,
}

#[derive(Debug)]
struct Check {
    at_start: bool,
    stage: Stage,
    own: Option<HashKv>,
    answers: BTreeMap<NodeId, Option<PeerHash>>,
    deadline: Nanos,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The own hash is being made.
    Hashing,
    /// The others are asked.
    Asking,
    /// A majority is asked whether this member leads.
    Confirming,
    /// The own hash is made again.
    HashingAgain,
}

impl Corruption {
    pub(super) fn new(now: Nanos, interval: Option<Nanos>, at_start: bool) -> Corruption {
        let check = at_start.then(|| Check::new(true));
        Corruption { next_at: now + interval.unwrap_or(0), check, ..Corruption::default() }
    }

    /// Whether clients wait until the check at the start is over.
    pub(super) fn holds_clients(&self) -> bool {
        self.check.as_ref().is_some_and(|check| check.at_start)
    }

    /// Whether a check is under way.
    pub(super) fn has_business(&self) -> bool {
        self.check.is_some()
    }

    pub(super) fn hold(&mut self, id: RequestId, who: Credentials, request: Box<Request>) {
        self.held.push((id, who, request));
    }
}

impl Check {
    fn new(at_start: bool) -> Check {
        Check { at_start, stage: Stage::Hashing, own: None, answers: BTreeMap::new(), deadline: Nanos::MAX }
    }

    fn has_all(&self) -> bool {
        self.answers.values().all(Option::is_some)
    }
}

impl Member {
    pub(super) fn corruption_wakes_at(&self) -> Nanos {
        let corruption = &self.corruption;
        let next = if self.config.corrupt_check.is_some() { corruption.next_at } else { Nanos::MAX };
        corruption.check.as_ref().map_or(next, |check| next.min(check.deadline))
    }

    /// Begins the check at the start: clients are not served before it is over.
    pub(super) fn begin_initial_check(&mut self, now: Now) {
        if self.corruption.holds_clients() {
            self.hash_own(now);
        }
    }

    /// Begins a check if one is due, and goes on with one whose answers are there, or do not come.
    pub(super) fn run_corruption_check(&mut self, now: Now, fx: &mut Effects) {
        if now.mono >= self.corruption.next_at
            && let Some(interval) = self.config.corrupt_check
        {
            self.corruption.next_at = now.mono + interval;
            if self.is_leader() && self.corruption.check.is_none() {
                self.corruption.check = Some(Check::new(false));
                self.hash_own(now);
            }
        }
        let Some(check) = &mut self.corruption.check else { return };
        let is_over = check.deadline <= now.mono;
        match check.stage {
            Stage::Asking if (check.has_all() || is_over) && check.at_start => self.judge_at_start(now, fx),
            Stage::Asking if check.has_all() || is_over => {
                check.stage = Stage::Confirming;
                // The read fails before that, or is answered.
                check.deadline = now.mono + self.config.request_timeout() + SECOND;
                self.confirm_for_check(now);
            }
            Stage::Confirming if is_over => self.corruption.check = None,
            _ => {}
        }
    }

    /// The own hash is there; `None`: there is none, and so no check.
    pub(super) fn own_hash(&mut self, now: Now, hash: Option<HashKv>, fx: &mut Effects) {
        let (Some(check), Some(hash)) = (&mut self.corruption.check, hash) else {
            return self.give_up_check(now, fx);
        };
        if let (Stage::HashingAgain, Some(first)) = (check.stage, check.own) {
            return self.judge(first, hash);
        }
        self.corruption.number += 1;
        check.own = Some(hash);
        check.stage = Stage::Asking;
        check.deadline = now.mono + ANSWER_WITHIN;
        let (number, revision) = (self.corruption.number, hash.revision);
        let conf = self.raft.conf();
        for &id in conf.voters.iter().chain(&conf.learners).filter(|id| **id != self.config.id) {
            check.answers.insert(id, None);
            fx.peers.push((id, PeerMessage::HashKv { number, revision }));
        }
    }

    fn give_up_check(&mut self, now: Now, fx: &mut Effects) {
        self.corruption.check = None;
        self.serve_held(now, fx);
    }

    /// Another member's answer; `None`: it has no hash of that revision.
    pub(super) fn peer_hash(&mut self, from: NodeId, number: u64, answer: Option<PeerHash>) {
        if number != self.corruption.number {
            return;
        }
        let Some(check) = &mut self.corruption.check else { return };
        match answer {
            Some(answer) => drop(check.answers.insert(from, Some(answer))),
            None => drop(check.answers.remove(&from)),
        }
    }

    /// A majority says that this member leads, and it has applied what it had committed.
    pub(super) fn check_is_confirmed(&mut self, now: Now) {
        if let Some(check) = &mut self.corruption.check {
            check.stage = Stage::HashingAgain;
            check.deadline = Nanos::MAX;
            self.hash_own(now);
        }
    }

    fn judge_at_start(&mut self, now: Now, fx: &mut Effects) {
        let Some(Check { own: Some(own), answers, .. }) = self.corruption.check.take() else { return };
        let differs =
            |answer: &PeerHash| answer.hash.compact_revision == own.compact_revision && answer.hash.hash != own.hash;
        if answers.values().flatten().any(differs) {
            fx.stop = Some(StopReason::Corrupt);
        } else {
            self.serve_held(now, fx);
        }
    }

    fn serve_held(&mut self, now: Now, fx: &mut Effects) {
        for (id, who, request) in std::mem::take(&mut self.corruption.held) {
            self.on_request_as(now, id, who, request, fx);
        }
    }

    /// `first` was compared with by the others, `again` made after it.
    fn judge(&mut self, first: HashKv, again: HashKv) {
        let Some(Check { answers, .. }) = self.corruption.check.take() else { return };
        let cannot_be = |answer: &PeerHash| {
            answer.newest > again.revision
                || answer.hash.compact_revision > again.compact_revision
                || (answer.hash.compact_revision == first.compact_revision && answer.hash.hash != first.hash)
        };
        let same_place = (first.revision, first.compact_revision) == (again.revision, again.compact_revision);
        let own = (same_place && first.hash != again.hash).then_some(self.config.id);
        let other = || {
            let wrong = answers.iter().find(|(_, answer)| answer.as_ref().is_some_and(cannot_be));
            wrong.map(|(id, _)| *id)
        };
        if let Some(member) = own.or_else(other) {
            // One that is lost comes again with the next check.
            let number = self.writes.take_number();
            self.propose_alarm(number, AlarmType::Corrupt, member);
        }
    }
}
