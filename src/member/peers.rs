//! What members ask each other besides Raft. (etcd does it by HTTP on the peer port.)
//!
//! A question may get lost, and so may its answer: whoever asks does not wait for ever.

use super::corruption::PeerHash;
use super::hasher::Asker;
use super::{Effects, Member};
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
        }
    }
}
