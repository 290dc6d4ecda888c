//! Judging an image: a member is started on it, and must be what it promised to be.
//!
//! In this order: it starts; it knows its votes and acknowledged entries; it comes to rest (a sole voter elects itself,
//! a follower is brought up to date by its leader); what it holds is the state after some number of the writes that
//! were issued, and no fewer than were answered; its buckets are, to the byte, what its log makes of an empty store, and
//! every page of its file is reached once or free; and it works on: one more write is taken, and all of that holds again.

use super::donor::START;
use super::history::History;
use super::leader::Leader;
use super::life::{Ended, Life, Power};
use super::reference::Reference;
use crate::check::backend::BackendChecker;
use crate::world::disk::SimDisk;
use bytes::Bytes;
use seedbed::api::{Request, RequestId, Response};
use seedbed::backend::bolt::{PageUse, View};
use seedbed::backend::{BackendError, EngineConfig};
use seedbed::bug::BugSet;
use seedbed::disk::Shared;
use seedbed::lease;
use seedbed::member::{Config, Input};
use seedbed::pb::etcdserverpb::{PutRequest, RangeRequest};
use seedbed::raft::{Entry, EntryKind, Message};
use seedbed::time::{Nanos, Now, SECOND};
use std::rc::Rc;

/// A sound member is at rest within a few election timeouts.
const AT_REST_WITHIN: Nanos = 30 * SECOND;
/// Requests of the judge; no script has so many.
const PROBE: RequestId = RequestId(1 << 40);
const READ: RequestId = RequestId(1 << 41);

/// What a sound image turned out to hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sound {
    /// Writes that were issued, not answered, and are gone.
    pub(super) unanswered_gone: usize,
}

/// What is wrong with one.
#[derive(Clone, Debug)]
pub(super) struct Wrong {
    pub(super) text: String,
    /// Answered writes that are gone.
    pub(super) lost: usize,
    /// The member does not even start.
    pub(super) refused: bool,
    /// Nothing is wrong yet: the power went off again.
    pub(super) power_cut: bool,
}

/// What a member on an image is judged by.
pub(super) struct Judge<'a> {
    pub(super) config: &'a Config,
    /// Of a follower: its leader, whose log grows by the judge's own write.
    pub(super) leader: Option<Leader>,
    pub(super) reference: &'a mut Reference,
    /// Starts of the member since the cut; each is long after the one before, so that request numbers are new.
    pub(super) lives: u64,
}

impl Judge<'_> {
    /// See the module. `history` is what was promised before the power went off.
    pub(super) fn judge(
        &mut self,
        disk: Shared<SimDisk>,
        history: &Rc<History>,
        power: &mut dyn Power,
    ) -> Result<Sound, Wrong> {
        let promised = history.promised();
        let ended = |ended| match ended {
            Ended::PowerCut => Wrong { text: String::new(), lost: 0, refused: false, power_cut: true },
            Ended::Refused(error) => wrong(format!("the member refuses to start: {error}"), promised, true),
            Ended::Stopped(reason) => wrong(format!("the member stops: {reason}"), promised, true),
        };
        self.lives += 1;
        let now = Now { mono: 0, wall: START.wall + self.lives * 1_000 * SECOND };
        let life = Life::start(self.config.clone(), disk, now, history.clone(), power).map_err(ended)?;
        let engine = self.config.engine;
        let mut patient = Patient { life, leader: &mut self.leader, reference: self.reference, engine };
        let raft = patient.life.member.raft();
        let gone = promised.saturating_sub(raft.last_index() as usize);
        history.is_kept_by(&patient.life.member).map_err(|text| wrong(text, gone, false))?;
        patient.rest(power).map_err(ended)??;
        let sound = patient.check(power).map_err(ended)??;
        patient.write_on(power).map_err(ended)??;
        patient.check(power).map_err(ended)??;
        Ok(sound)
    }
}

fn wrong(text: String, lost: usize, refused: bool) -> Wrong {
    Wrong { text, lost, refused, power_cut: false }
}

struct Patient<'a> {
    life: Life,
    leader: &'a mut Option<Leader>,
    reference: &'a mut Reference,
    engine: EngineConfig,
}

/// The inner result is the judgement, the outer one how the life went.
type Judged<T> = Result<Result<T, Wrong>, Ended>;

impl Patient<'_> {
    /// Lets everything come to its end.
    fn rest(&mut self, power: &mut dyn Power) -> Judged<()> {
        let until = self.life.now.mono + AT_REST_WITHIN;
        while self.life.now.mono < until {
            self.life.complete_all(power)?;
            if self.is_at_rest() {
                if self.leader.is_some() {
                    // Its leader has told it everything.
                    let history = Rc::make_mut(&mut self.life.history);
                    history.decide(history.issued());
                }
                return Ok(Ok(()));
            }
            let answers = self.answers();
            if answers.is_empty() {
                self.life.wait(until, power)?;
            }
            for answer in answers {
                self.life.step(Input::Message(answer), power)?;
            }
        }
        let raft = self.life.member.raft();
        let text = format!(
            "the member does not come to rest within {} s: role {:?}, last entry {}, commit index {}, applied {}",
            AT_REST_WITHIN / SECOND,
            raft.role(),
            raft.last_index(),
            raft.commit(),
            self.life.member.store().consistent_index()
        );
        Ok(Err(wrong(text, self.life.history.promised(), false)))
    }

    fn is_at_rest(&self) -> bool {
        let member = &self.life.member;
        let leads_or_has_all = match self.leader.as_ref() {
            Some(leader) => member.store().consistent_index() == leader.last_index(),
            None => member.is_leader(),
        };
        leads_or_has_all && self.life.is_idle()
    }

    /// What a follower's leader says to what the follower said; if that was nothing, it tells where its log ends.
    fn answers(&mut self) -> Vec<Message> {
        let messages = std::mem::take(&mut self.life.messages);
        let Some(leader) = self.leader.as_ref() else { return Vec::new() };
        let mut answers: Vec<Message> = messages.iter().filter_map(|message| leader.answer(message)).collect();
        if answers.is_empty() && self.life.member.store().consistent_index() < leader.last_index() {
            let knows = self.life.member.raft().leader() == leader.id && messages.is_empty();
            // It has been told, and works on it: time must pass.
            if !knows || self.life.is_idle() {
                answers.push(leader.probe());
            }
        }
        answers
    }

    fn check(&mut self, power: &mut dyn Power) -> Judged<Sound> {
        let history = self.life.history.clone();
        let writes = usize::try_from(self.life.member.store().revision() - 1).unwrap_or(0);
        if writes < history.answered {
            let lost = history.answered - writes;
            let text = format!("{lost} of {} answered writes are gone", history.answered);
            return Ok(Err(wrong(text, lost, false)));
        }
        if writes > history.issued() {
            let text = format!("entries were applied twice: of {} writes came {writes} revisions", history.issued());
            return Ok(Err(wrong(text, 0, false)));
        }
        let range = RangeRequest {
            key: Bytes::from_static(b"\0"),
            range_end: Bytes::from_static(b"\0"),
            serializable: self.leader.is_some(),
            ..RangeRequest::default()
        };
        self.life.replies.clear();
        self.life.step(Input::Request(READ, Box::new(Request::Range(range))), power)?;
        self.life.complete_all(power)?;
        let found = match self.life.replies.drain(..).find(|(id, _)| *id == READ) {
            Some((_, Ok(Response::Range(found)))) => found.kvs,
            other => return Ok(Err(wrong(format!("a read of all keys brings {other:?}"), 0, false))),
        };
        let found = found.into_iter().map(|kv| (kv.key.to_vec(), kv.value.to_vec())).collect();
        if history.state(writes) != Some(&found) {
            let keys: Vec<_> = found.keys().map(|key| String::from_utf8_lossy(key)).collect();
            let text = format!(
                "at revision {} the keys are {keys:?}, with values that are not those after {writes} of {} writes",
                writes + 1,
                history.issued()
            );
            return Ok(Err(wrong(text, 0, false)));
        }
        Ok(self
            .check_hash()
            .and_then(|()| self.check_file())
            .map(|()| Sound { unanswered_gone: history.issued() - writes }))
    }

    fn check_hash(&mut self) -> Result<(), Wrong> {
        let (store, log) = (self.life.member.store(), self.life.member.raft().log());
        let by_leader = |index: u64| self.leader.as_ref().and_then(|leader| leader.log.get(index as usize - 1));
        let entry =
            |index| log.entry(index).or_else(|| by_leader(index)).or_else(|| self.life.history.entries.get(&index));
        let applied = store.consistent_index();
        let entries: Vec<&Entry> = (1..=applied).filter_map(entry).collect();
        assert_eq!(entries.len() as u64, applied, "invariant: every entry of the run is known");
        let (found, expected) = (store.hash(), self.reference.hash(&entries));
        if found == Some(expected) {
            return Ok(());
        }
        let mut checker = BackendChecker::new(lease::Config::default());
        entries.iter().for_each(|entry| checker.remember(entry));
        let difference = checker
            .compare(0, BugSet::NONE, store)
            .err()
            .map_or_else(|| "their hashes differ".to_owned(), |it| it.text);
        let text = format!("at entry {applied} the buckets are not what the log makes of an empty store: {difference}");
        Err(wrong(text, 0, false))
    }

    /// Every page of the database is reached by exactly one tree, or free.
    fn check_file(&self) -> Result<(), Wrong> {
        if self.engine == EngineConfig::Memory {
            return Ok(());
        }
        let unclean = |text: String| wrong(format!("the database is not clean: {text}"), 0, false);
        let check = || {
            let view = View::open(self.life.disk.reader(), "member/snap/db".into())?;
            Ok((view.page_map()?, view.freelist()?))
        };
        let (map, freelist) = check().map_err(|error: BackendError| unclean(error.to_string()))?;
        let Some(freelist) = freelist else { return Ok(()) };
        let free = (0..).zip(&map).filter(|(_, page_use)| **page_use == PageUse::Free);
        let free: Vec<u64> = free.map(|(id, _)| id).collect();
        if free == freelist { Ok(()) } else { Err(unclean(format!("free are {free:?}, listed {freelist:?}"))) }
    }

    /// One more write.
    fn write_on(&mut self, power: &mut dyn Power) -> Judged<()> {
        let put = PutRequest {
            key: Bytes::from_static(b"probe"),
            value: Bytes::from_static(b"alive"),
            ..PutRequest::default()
        };
        // What was not answered is decided by now: it is there or it is gone.
        let writes = usize::try_from(self.life.member.store().revision() - 1).unwrap_or(0);
        let history = Rc::make_mut(&mut self.life.history);
        history.decide(writes);
        history.issue(PROBE, |pairs| drop(pairs.insert(b"probe".to_vec(), b"alive".to_vec())));
        let input = match self.leader {
            None => Input::Request(PROBE, Box::new(Request::Put(put))),
            Some(leader) => {
                let data = Bytes::from(seedbed::apply::encode(PROBE.0, Request::Put(put)));
                let index = leader.last_index() + 1;
                leader.log.push(Entry { kind: EntryKind::Normal, term: leader.term, index, data });
                Input::Message(leader.append(index, index))
            }
        };
        self.life.step(input, power)?;
        let rested = self.rest(power)?;
        if rested.is_ok() && self.leader.is_none() && self.life.history.answered < self.life.history.issued() {
            return Ok(Err(wrong("one more write is not answered".to_owned(), 0, false)));
        }
        Ok(rested)
    }
}
