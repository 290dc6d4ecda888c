//! WAL replay: after a crash a member still has what it promised (`wal-replay`).
//!
//! A member promises when it speaks: an acknowledged append says "I hold entry `index`", a granted vote "I voted in
//! `term`". The checker notes the promises as the messages leave, and after each restart looks whether what was read
//! back keeps them. What was read back must also agree with everything that is known to be committed.

use super::{Failure, raft::RaftChecker};
use seedbed::raft::{Body, Message, Raft};

/// See the module.
#[derive(Debug)]
pub struct ReplayChecker {
    promises: Vec<Promises>,
    crashes: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Promises {
    /// The last acknowledged entry: index and term.
    entry: (u64, u64),
    /// The last granted vote: term and candidate.
    vote: (u64, u64),
}

impl ReplayChecker {
    /// For a cluster of so many members.
    pub fn new(members: usize) -> ReplayChecker {
        ReplayChecker { promises: vec![Promises::default(); members], crashes: 0 }
    }

    /// A member sends a message.
    pub fn on_send(&mut self, member: usize, message: &Message, raft: &Raft) {
        let promises = &mut self.promises[member];
        match message.body {
            // A later acknowledgement may be of a lower entry: then the higher promise stands, unless a leader has cut
            // that entry off since.
            Body::AppendResp { index, reject: None } => {
                let (promised, its_term) = promises.entry;
                let stands = promised > index && raft.log().term_of(promised) == Some(its_term);
                if let Some(term) = raft.log().term_of(index).filter(|_| !stands) {
                    promises.entry = (index, term);
                }
            }
            Body::VoteResp { pre: false, reject: false } => promises.vote = (message.term, message.to),
            _ => {}
        }
    }

    /// A member's data directory was wiped: it can keep no promise.
    pub fn on_wipe(&mut self, member: usize) {
        self.promises[member] = Promises::default();
    }

    /// A member read back this much.
    pub fn on_restart(&mut self, member: usize, raft: &Raft, committed: &RaftChecker) -> Result<(), Failure> {
        self.crashes += 1;
        let Promises { entry: (index, term), vote: (vote_term, candidate) } = self.promises[member];
        let name = member + 1;
        let found = raft.log().term_of(index);
        // A leader of a later term may have cut the entry off; then the log ends with entries of that term.
        if index >= raft.first_index() && found != Some(term) && raft.last_term() <= term {
            let found = found.map_or("nothing".to_owned(), |term| format!("one of term {term}"));
            let text =
                format!("n{name} acknowledged entry {index} of term {term}; after the crash it has {found} there");
            return Err(Failure::new("wal-replay", text));
        }
        let kept = raft.term() > vote_term || (raft.term() == vote_term && raft.vote() == candidate);
        if !kept {
            let text =
                format!("n{name} gave its vote of term {vote_term} away; after the crash it does not know to whom");
            return Err(Failure::new("wal-replay", text));
        }
        for at in raft.first_index()..=raft.commit() {
            let own = raft.log().term_of(at);
            if let Some(other) = committed.committed_term(at)
                && own != Some(other)
            {
                let own = own.map_or("no entry".to_owned(), |term| format!("an entry of term {term}"));
                let text = format!("n{name} read back {own} at index {at}; committed was one of term {other}");
                return Err(Failure::new("wal-replay", text));
            }
        }
        Ok(())
    }

    /// How many acknowledged entries a member came back without, for one whose disk could not be trusted; and that as a
    /// failure.
    pub fn forgotten(&self, member: usize, raft: &Raft) -> Option<(u64, Failure)> {
        let (promised, term) = self.promises[member].entry;
        let held =
            promised < raft.first_index() || raft.log().term_of(promised) == Some(term) || raft.last_term() > term;
        if held {
            return None;
        }
        let lost = promised - raft.last_index().min(promised - 1);
        let entries = if lost == 1 { "entry" } else { "entries" };
        let text = format!(
            "n{} lost {lost} acknowledged {entries}: it had {promised}, after the crash its log ends at {}",
            member + 1,
            raft.last_index()
        );
        Some((lost, Failure::new("wal-replay", text)))
    }

    /// Restarts looked at.
    pub fn crashes(&self) -> u64 {
        self.crashes
    }
}
