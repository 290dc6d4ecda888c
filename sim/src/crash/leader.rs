//! A leader by hand: enough of one to bring a follower up to date, whatever the follower has forgotten.

use super::history::History;
use seedbed::raft::{Body, Entry, Message, NodeId, Snapshot};
use std::rc::Rc;

/// A leader of one term with a log that begins after a snapshot. A value: each image gets its own.
#[derive(Clone, Debug)]
pub(super) struct Leader {
    pub(super) id: NodeId,
    pub(super) follower: NodeId,
    pub(super) term: u64,
    /// Everything committed, from entry 1 on.
    pub(super) log: Vec<Entry>,
    /// Entries before this index are sent no more: the snapshot stands for them.
    pub(super) first_index: u64,
    pub(super) snapshot: Snapshot,
    /// The writes in the log.
    pub(super) states: Rc<History>,
}

impl Leader {
    pub(super) fn last_index(&self) -> u64 {
        self.log.len() as u64
    }

    /// "Vote for me", as it asked when it was elected: behind the entries that every member begins with.
    pub(super) fn vote(&self) -> Message {
        let first = &self.log[..self.log.partition_point(|entry| entry.term < self.term)];
        let (last_index, last_term) = (first.len() as u64, first.last().map_or(0, |entry| entry.term));
        self.message(Body::Vote { pre: false, transfer: false, last_index, last_term })
    }

    /// Entries `from..=to`, with what the follower must have before them.
    pub(super) fn append(&self, from: u64, to: u64) -> Message {
        let prev_index = from - 1;
        let prev_term = prev_index.checked_sub(1).map_or(0, |at| self.log[at as usize].term);
        let entries = self.log[prev_index as usize..to as usize].to_vec();
        self.message(Body::Append { prev_index, prev_term, entries, commit: to })
    }

    /// The snapshot.
    pub(super) fn install(&self) -> Message {
        self.message(Body::Snapshot(Box::new(self.snapshot.clone())))
    }

    /// "I lead, and my log ends there."
    pub(super) fn probe(&self) -> Message {
        self.append(self.last_index() + 1, self.last_index())
    }

    /// What it says to a follower's answer, if anything.
    pub(super) fn answer(&self, message: &Message) -> Option<Message> {
        let Body::AppendResp { index, reject } = &message.body else { return None };
        let from = match reject {
            Some(hint) => hint.index.min(index - 1) + 1,
            None => index + 1,
        };
        match from {
            _ if from > self.last_index() => None,
            _ if from < self.first_index => Some(self.install()),
            _ => Some(self.append(from, self.last_index())),
        }
    }

    fn message(&self, body: Body) -> Message {
        Message { from: self.id, to: self.follower, term: self.term, body }
    }
}
