//! What a member was asked and what it promised.
//!
//! A member promises when it speaks: an answered write is there for good, an acknowledged append is held, a vote is
//! not given twice. Writes are issued one after the other and keep that order in the log, so what a member may hold
//! after a cut is the state after *some* number of them: not fewer than were answered, not more than were issued.

use seedbed::api::{RequestId, Response};
use seedbed::member::{Effects, Member};
use seedbed::raft::{Body, Entry};
use std::collections::BTreeMap;

/// Keys and values.
pub(super) type Pairs = BTreeMap<Vec<u8>, Vec<u8>>;

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct History {
    /// The state after each number of writes, from none on. Revision `r` of a store is state `r - 1`.
    states: Vec<Pairs>,
    /// Which of the writes a request was.
    writes: BTreeMap<RequestId, usize>,
    /// So many of the writes are answered, all before the last answered one among them.
    pub(super) answered: usize,
    /// Entries by index: the last that the member had there.
    pub(super) entries: BTreeMap<u64, Entry>,
    /// The last acknowledged entry: index and term.
    entry: (u64, u64),
    /// The last granted vote: term and candidate.
    vote: (u64, u64),
}

impl History {
    pub(super) fn new() -> History {
        History { states: vec![Pairs::new()], ..History::default() }
    }

    /// A write is handed to the member; it is what makes `after` of the state.
    pub(super) fn issue(&mut self, request: RequestId, after: impl FnOnce(&mut Pairs)) {
        let mut state = self.states.last().expect("invariant: there is the state before all writes").clone();
        after(&mut state);
        self.states.push(state);
        self.writes.insert(request, self.states.len() - 1);
    }

    /// What a follower of this log may hold: any number of its writes, as long as it has promised nothing.
    pub(super) fn of_follower(&self) -> History {
        History { states: self.states.clone(), ..History::default() }
    }

    /// So many of the writes are there, and the others are gone for good.
    pub(super) fn decide(&mut self, writes: usize) {
        self.states.truncate(writes + 1);
        self.answered = self.issued();
    }

    /// Writes issued.
    pub(super) fn issued(&self) -> usize {
        self.states.len() - 1
    }

    /// The state after so many writes.
    pub(super) fn state(&self, writes: usize) -> Option<&Pairs> {
        self.states.get(writes)
    }

    /// Whether a step brings anything that is to be remembered.
    pub(super) fn notices(history: &History, fx: &Effects, member: &Member) -> bool {
        let raft = member.raft();
        let last = history.entries.last_key_value();
        !fx.replies.is_empty()
            || !fx.messages.is_empty()
            || last.map(|(index, entry)| (*index, entry.term)) != Some((raft.last_index(), raft.last_term()))
    }

    /// Remembers what a step brought.
    pub(super) fn notice(&mut self, fx: &Effects, member: &Member) {
        let log = member.raft().log();
        for index in log.first_index()..=log.last_index() {
            if let Some(entry) = log.entry(index)
                && self.entries.get(&index).is_none_or(|known| known.term != entry.term)
            {
                self.entries.split_off(&index);
                self.entries.insert(index, entry.clone());
            }
        }
        for (id, reply) in &fx.replies {
            if let (Some(write), Ok(Response::Put(_) | Response::DeleteRange(_))) = (self.writes.get(id), reply) {
                self.answered = self.answered.max(*write);
            }
        }
        for message in &fx.messages {
            match message.body {
                Body::AppendResp { index, reject: None } => {
                    let (promised, its_term) = self.entry;
                    let stands = promised > index && log.term_of(promised) == Some(its_term);
                    if let Some(term) = log.term_of(index).filter(|_| !stands) {
                        self.entry = (index, term);
                    }
                }
                Body::VoteResp { pre: false, reject: false } => self.vote = (message.term, message.to),
                _ => {}
            }
        }
    }

    /// How much a member has promised to keep: answered writes, or, of a follower, acknowledged entries.
    pub(super) fn promised(&self) -> usize {
        self.answered.max(self.entry.0 as usize)
    }

    /// Whether a member that started again knows what it promised to its peers.
    pub(super) fn is_kept_by(&self, member: &Member) -> Result<(), String> {
        let raft = member.raft();
        let (index, term) = self.entry;
        let found = raft.log().term_of(index);
        if index >= raft.first_index() && found != Some(term) && raft.last_term() <= term {
            let found = found.map_or_else(|| "nothing".to_owned(), |term| format!("one of term {term}"));
            return Err(format!("it acknowledged entry {index} of term {term} and now has {found} there"));
        }
        let (term, candidate) = self.vote;
        if raft.term() < term || (raft.term() == term && raft.vote() != candidate) {
            return Err(format!("it gave its vote of term {term} away and now does not know to whom"));
        }
        Ok(())
    }
}
