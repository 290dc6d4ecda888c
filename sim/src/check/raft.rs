//! Raft's invariants, after every step (Raft paper, Figure 3, and the promises behind it).
//!
//! | check | promise |
//! |---|---|
//! | `raft-election-safety` | a term has at most one leader |
//! | `raft-vote-once` | a member votes for at most one candidate in a term, restarts included |
//! | `raft-log-matching` | logs that agree on an entry agree on everything before it |
//! | `raft-leader-completeness` | a leader has every entry that was committed in an earlier term |
//! | `raft-state-machine-safety` | no two members commit different entries at an index |
//! | `raft-commit-monotonic` | a member's commit index never decreases while it runs |
//!
//! Log matching costs one hash an entry: each member's log carries a chain, `hash(chain before, term, data)`, and the
//! first chain seen for an (index, term) is the one that every other log must have there.
//!
//! A vote counts when it is *spoken*: granted in a message, or a member's own when it asks for others. One that was
//! lost in a crash before anybody heard of it may be given anew. A sole voter asks nobody: a term that it led and never
//! made durable is forgotten with its entries, and is led again.
//!
//! After its first finding the checker is silent: what follows from a broken invariant teaches nothing new.

use super::Failure;
use seedbed::raft::{Body, Entry, Message, Raft, RaftEvent};
use std::collections::BTreeMap;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// See the module.
#[derive(Debug)]
pub struct RaftChecker {
    logs: Vec<Log>,
    leaders: BTreeMap<u64, usize>,
    votes: BTreeMap<(usize, u64), u64>,
    /// By index: the chains seen, a term each.
    seen: Vec<Vec<Link>>,
    /// By index: what was committed.
    committed: Vec<Link>,
    /// By index: the term in which it was seen to be committed, which may be later than the entry's own.
    committed_in: Vec<u64>,
    steps: u64,
    found: bool,
}

/// An entry's term, and the hash of the log up to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Link {
    term: u64,
    chain: u64,
}

#[derive(Debug, Default)]
struct Log {
    links: Vec<Link>,
    commit: u64,
}

impl RaftChecker {
    /// For a cluster of so many members.
    pub fn new(members: usize) -> RaftChecker {
        let start = Link::default();
        let logs = (0..members).map(|_| Log { links: vec![start], commit: 0 }).collect();
        RaftChecker {
            logs,
            leaders: BTreeMap::new(),
            votes: BTreeMap::new(),
            seen: vec![vec![start]],
            committed: vec![start],
            committed_in: vec![0],
            steps: 0,
            found: false,
        }
    }

    /// A machine goes on under another id: what it voted as the old member binds it no more.
    pub fn on_new_identity(&mut self, member: usize) {
        self.votes.retain(|(voter, _), _| *voter != member);
    }

    /// Remembers that something was found.
    fn judge(&mut self, result: Result<(), Failure>) -> Result<(), Failure> {
        self.found |= result.is_err();
        result
    }

    /// Steps looked at.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// The term of the entry committed at `index`, if one is known.
    pub fn committed_term(&self, index: u64) -> Option<u64> {
        self.committed.get(index as usize).map(|link| link.term)
    }

    /// A member's process began: its log is what it read back.
    pub fn on_start(&mut self, member: usize, raft: &Raft) -> Result<(), Failure> {
        if self.found {
            return Ok(());
        }
        self.forget_unspoken(member, raft);
        let base = raft.first_index() - 1;
        // What came before the log's start was committed; a member with a snapshot has it by definition.
        let known = (base as usize + 1).min(self.committed.len());
        self.logs[member].links = self.committed[..known].to_vec();
        self.logs[member].links.resize(base as usize + 1, Link::default());
        self.logs[member].commit = base;
        let appended = self.append(member, raft, base + 1, raft.last_index());
        let committed = appended.and_then(|()| self.commit(member, raft, raft.commit()));
        self.judge(committed)
    }

    /// Forgets the terms that the member led, never spoke of, and does not know any more.
    fn forget_unspoken(&mut self, member: usize, raft: &Raft) {
        let unknown = self.leaders.range(raft.term() + 1..).filter(|(_, leader)| **leader == member);
        let unspoken: Vec<u64> =
            unknown.map(|(term, _)| *term).filter(|term| !self.votes.contains_key(&(member, *term))).collect();
        for term in unspoken {
            self.leaders.remove(&term);
            self.seen.iter_mut().for_each(|seen| seen.retain(|link| link.term != term));
        }
    }

    /// A step of a running member; cheap, since it comes after every one.
    pub fn on_step(&mut self, member: usize, raft: &Raft) -> Result<(), Failure> {
        self.steps += 1;
        let before = self.logs[member].commit;
        if !self.found && raft.commit() < before {
            let text = format!("n{}'s commit index fell from {before} to {}", member + 1, raft.commit());
            return Err(Failure::new("raft-commit-monotonic", text));
        }
        Ok(())
    }

    /// Something happened in a member's Raft, which by now is as given.
    pub fn on_event(&mut self, member: usize, raft: &Raft, event: &RaftEvent) -> Result<(), Failure> {
        if self.found {
            return Ok(());
        }
        let result = match event {
            RaftEvent::Appended { first, last } => self.append(member, raft, *first, *last),
            RaftEvent::Committed { index } => self.commit(member, raft, *index),
            RaftEvent::BecameLeader { term, .. } => self.lead(member, *term),
            RaftEvent::Restored { index } => {
                self.restore(member, *index);
                self.commit(member, raft, *index)
            }
            _ => Ok(()),
        };
        self.judge(result)
    }

    /// A member sends a message.
    pub fn on_send(&mut self, member: usize, message: &Message) -> Result<(), Failure> {
        let candidate = match message.body {
            Body::VoteResp { pre: false, reject: false } => message.to,
            Body::Vote { pre: false, .. } => message.from,
            _ => return Ok(()),
        };
        let result = self.vote(member, message.term, candidate);
        if self.found { Ok(()) } else { self.judge(result) }
    }

    fn append(&mut self, member: usize, raft: &Raft, first: u64, last: u64) -> Result<(), Failure> {
        self.logs[member].links.truncate(first as usize);
        if raft.log().entry(first).is_none() {
            // Gone again within the step, with what was before it; the event that tells of that follows.
            return Ok(());
        }
        assert_eq!(self.logs[member].links.len() as u64, first, "invariant: a log grows without gaps");
        for index in first..=last {
            // Entries of this step may already be gone again (a snapshot, a later truncation).
            let Some(entry) = raft.log().entry(index) else { return Ok(()) };
            let links = &mut self.logs[member].links;
            let link = Link { term: entry.term, chain: chain(links.last().map_or(0, |link| link.chain), entry) };
            links.push(link);
            self.see(member, index, link)?;
        }
        Ok(())
    }

    fn see(&mut self, member: usize, index: u64, link: Link) -> Result<(), Failure> {
        if self.seen.len() <= index as usize {
            self.seen.resize(index as usize + 1, Vec::new());
        }
        let seen = &mut self.seen[index as usize];
        match seen.iter().find(|other| other.term == link.term) {
            Some(other) if other.chain == link.chain => Ok(()),
            Some(_) => {
                let Link { term, .. } = link;
                let text = format!(
                    "n{}'s entry {index} of term {term} differs, or something before it does, from another member's",
                    member + 1
                );
                Err(Failure::new("raft-log-matching", text))
            }
            None => {
                seen.push(link);
                Ok(())
            }
        }
    }

    fn commit(&mut self, member: usize, raft: &Raft, index: u64) -> Result<(), Failure> {
        let log = &mut self.logs[member];
        let from = log.commit + 1;
        log.commit = log.commit.max(index);
        for at in from..=index {
            let Some(&own) = log.links.get(at as usize) else { return Ok(()) };
            match self.committed.get(at as usize) {
                Some(other) if *other == own => {}
                Some(other) => {
                    let text = format!(
                        "n{} committed entry {at} of term {}, but another member committed one of term {} there",
                        member + 1,
                        own.term,
                        other.term
                    );
                    return Err(Failure::new("raft-state-machine-safety", text));
                }
                None => {
                    assert_eq!(self.committed.len() as u64, at, "invariant: what is committed has no gaps");
                    self.committed.push(own);
                    self.committed_in.push(raft.term());
                }
            }
        }
        Ok(())
    }

    fn lead(&mut self, member: usize, term: u64) -> Result<(), Failure> {
        if let Some(other) = self.leaders.insert(term, member)
            && other != member
        {
            let text = format!("term {term} has two leaders, n{} and n{}", other + 1, member + 1);
            return Err(Failure::new("raft-election-safety", text));
        }
        // A leader whose votes were long on their way may be elected when a later term has its own leader already; what
        // that one committed is none of its business.
        let earlier = self.committed_in.iter().rposition(|committed_in| *committed_in < term);
        let last = earlier.expect("invariant: the start of the log was committed in term 0");
        // Chains agree at the last committed index, and so before it, or the leader lacks something.
        if self.logs[member].links.get(last) == Some(&self.committed[last]) {
            return Ok(());
        }
        let links = &self.logs[member].links;
        let lacks = (1..=last).find(|&at| links.get(at) != Some(&self.committed[at])).unwrap_or(last);
        let text = format!(
            "n{} leads term {term} without entry {lacks} of term {}, which was committed",
            member + 1,
            self.committed[lacks].term
        );
        Err(Failure::new("raft-leader-completeness", text))
    }

    fn vote(&mut self, member: usize, term: u64, candidate: u64) -> Result<(), Failure> {
        match self.votes.insert((member, term), candidate) {
            Some(other) if other != candidate => {
                let text = format!("n{} gave its vote of term {term} to two candidates", member + 1);
                Err(Failure::new("raft-vote-once", text))
            }
            _ => Ok(()),
        }
    }

    /// A snapshot stands for committed entries, so the member's log now begins with those.
    fn restore(&mut self, member: usize, index: u64) {
        let known = (index as usize + 1).min(self.committed.len());
        self.logs[member].links = self.committed[..known].to_vec();
        self.logs[member].links.resize(index as usize + 1, Link::default());
        self.logs[member].commit = index;
    }
}

fn chain(before: u64, entry: &Entry) -> u64 {
    xxh3_64_with_seed(&entry.data, before ^ entry.term.rotate_left(32) ^ entry.kind as u64)
}
