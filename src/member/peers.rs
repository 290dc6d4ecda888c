//! What members ask each other besides Raft. (etcd does it by HTTP on the peer port.)
//!
//! A question may get lost, and so may its answer: whoever asks does not wait for ever.

use super::corruption::PeerHash;
use super::hasher::Asker;
use super::{Effects, LeaseAnswer, LeaseQuestion, Member};
use crate::raft::NodeId;
use crate::time::Now;

/// A question, or an answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PeerMessage {
    /// What is the hash of your keys at this revision?
    HashKv {
        /// The asker's own number for it.
        number: u64,
        /// The revision.
        revision: i64,
    },
    /// The answer to [`PeerMessage::HashKv`].
    HashKvResp {
        /// Copied from the question.
        number: u64,
        /// `None`: the revision is not there yet, or not any more.
        answer: Option<PeerHash>,
    },
    /// A client of the asker's wants this of a lease; whoever leads answers.
    LeaseAsk {
        /// The asker's own number for it.
        number: u64,
        /// What it wants.
        about: LeaseQuestion,
    },
    /// The answer to [`PeerMessage::LeaseAsk`].
    LeaseAnswer {
        /// Copied from the question.
        number: u64,
        /// `None`: whoever was asked does not lead, or not any more.
        answer: Option<LeaseAnswer>,
    },
}

impl Member {
    pub(super) fn on_peer(&mut self, now: Now, from: NodeId, message: PeerMessage, fx: &mut Effects) {
        match message {
            PeerMessage::HashKv { number, revision } => {
                if self.store_has_no_hash_of(revision) {
                    fx.peers.push((from, PeerMessage::HashKvResp { number, answer: None }));
                } else {
                    self.ask_hasher(now, Asker::Peer(from, number), revision);
                }
            }
            PeerMessage::HashKvResp { number, answer } => self.peer_hash(from, number, answer),
            PeerMessage::LeaseAsk { number, about } => self.on_lease_ask(now, from, number, about, fx),
            PeerMessage::LeaseAnswer { number, answer } => self.on_lease_answer(now, number, answer, fx),
        }
    }
}
