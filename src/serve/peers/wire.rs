//! What calls between peers carry.
//!
//! ```text
//!   Batch     1: raftpb.Message …   2: Ask …            many in one write
//!   Chunk     1: raftpb.Message without its data        the first of a snapshot
//!             2: bytes in all   3: bytes                the next ones: a piece of its data
//!   Arrived                                             the answer to a whole snapshot
//! ```

use crate::lease::TimeToLive;
use crate::member::{LeaseAnswer, LeaseQuestion, PeerHash, PeerMessage};
use crate::mvcc::HashKv;
use crate::pb::message::UnknownMessage;
use crate::pb::raftpb;
use crate::raft::Message as RaftMessage;
use bytes::Bytes;
use prost::{Message, Oneof};

/// Many messages at once.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Batch {
    #[prost(message, repeated, tag = "1")]
    pub(super) messages: Vec<raftpb::Message>,
    #[prost(message, repeated, tag = "2")]
    pub(super) asks: Vec<Ask>,
}

/// A piece of a snapshot.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Chunk {
    #[prost(message, optional, tag = "1")]
    pub(super) message: Option<raftpb::Message>,
    #[prost(uint64, tag = "2")]
    pub(super) bytes: u64,
    #[prost(bytes = "bytes", tag = "3")]
    pub(super) data: Bytes,
}

/// A snapshot is whole, and the member has it.
#[derive(Clone, Copy, PartialEq, Message)]
pub(super) struct Arrived {}

/// What members ask each other besides Raft, and the answers.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Ask {
    /// The asker's own number for it.
    #[prost(uint64, tag = "1")]
    number: u64,
    #[prost(oneof = "Said", tags = "2, 3, 4, 5, 6, 7, 8, 9, 10")]
    said: Option<Said>,
}

#[derive(Clone, PartialEq, Oneof)]
enum Said {
    /// The hash of the keys at a revision.
    #[prost(int64, tag = "2")]
    HashKv(i64),
    #[prost(message, tag = "3")]
    Hash(Hash),
    #[prost(message, tag = "4")]
    NoHash(Nothing),
    #[prost(int64, tag = "5")]
    KeepAlive(i64),
    #[prost(int64, tag = "6")]
    TimeToLive(i64),
    /// Whoever was asked does not lead.
    #[prost(message, tag = "7")]
    AskAgain(Nothing),
    #[prost(message, tag = "8")]
    NoLease(Nothing),
    #[prost(int64, tag = "9")]
    Renewed(i64),
    #[prost(message, tag = "10")]
    Lives(Lives),
}

#[derive(Clone, Copy, PartialEq, Message)]
struct Nothing {}

#[derive(Clone, Copy, PartialEq, Message)]
struct Hash {
    #[prost(uint32, tag = "1")]
    hash: u32,
    #[prost(int64, tag = "2")]
    compact_revision: i64,
    #[prost(int64, tag = "3")]
    revision: i64,
    #[prost(int64, tag = "4")]
    newest: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Lives {
    #[prost(int64, tag = "1")]
    granted: i64,
    #[prost(int64, tag = "2")]
    ttl: i64,
    #[prost(bytes = "bytes", repeated, tag = "3")]
    keys: Vec<Bytes>,
}

/// What a peer said makes no sense.
#[derive(Debug, thiserror::Error)]
pub(super) enum WireError {
    /// A message of Raft that is none.
    #[error(transparent)]
    Raft(#[from] UnknownMessage),
    /// A question or answer of no known kind.
    #[error("a question of no known kind; does the sender run a newer version?")]
    Ask,
    /// A message that somebody else sent, or that means somebody else.
    #[error("a message from {from:x} to {to:x} on a call from {caller:x}")]
    Astray {
        /// The sender that it names.
        from: u64,
        /// The receiver that it names.
        to: u64,
        /// Who called.
        caller: u64,
    },
}

/// Reads a message of Raft that came on a call.
pub(super) fn read(message: raftpb::Message, caller: u64, own: u64) -> Result<RaftMessage, WireError> {
    if message.from != caller || message.to != own {
        return Err(WireError::Astray { from: message.from, to: message.to, caller });
    }
    Ok(message.try_into()?)
}

impl From<PeerMessage> for Ask {
    fn from(message: PeerMessage) -> Ask {
        let (number, said) = match message {
            PeerMessage::HashKv { number, revision } => (number, Said::HashKv(revision)),
            PeerMessage::HashKvResp { number, answer: Some(PeerHash { hash, newest }) } => {
                let HashKv { hash, compact_revision, revision } = hash;
                (number, Said::Hash(Hash { hash, compact_revision, revision, newest }))
            }
            PeerMessage::HashKvResp { number, answer: None } => (number, Said::NoHash(Nothing {})),
            PeerMessage::LeaseAsk { number, about: LeaseQuestion::KeepAlive(lease) } => {
                (number, Said::KeepAlive(lease))
            }
            PeerMessage::LeaseAsk { number, about: LeaseQuestion::TimeToLive(lease) } => {
                (number, Said::TimeToLive(lease))
            }
            PeerMessage::LeaseAnswer { number, answer } => (
                number,
                match answer {
                    None => Said::AskAgain(Nothing {}),
                    Some(LeaseAnswer::NotFound) => Said::NoLease(Nothing {}),
                    Some(LeaseAnswer::Renewed(ttl)) => Said::Renewed(ttl),
                    Some(LeaseAnswer::Lives(TimeToLive { ttl, granted_ttl, keys })) => {
                        Said::Lives(Lives { granted: granted_ttl, ttl, keys })
                    }
                },
            ),
        };
        Ask { number, said: Some(said) }
    }
}

impl TryFrom<Ask> for PeerMessage {
    type Error = WireError;

    fn try_from(Ask { number, said }: Ask) -> Result<PeerMessage, WireError> {
        let answer = |answer| PeerMessage::LeaseAnswer { number, answer };
        Ok(match said.ok_or(WireError::Ask)? {
            Said::HashKv(revision) => PeerMessage::HashKv { number, revision },
            Said::Hash(Hash { hash, compact_revision, revision, newest }) => {
                let hash = HashKv { hash, compact_revision, revision };
                PeerMessage::HashKvResp { number, answer: Some(PeerHash { hash, newest }) }
            }
            Said::NoHash(_) => PeerMessage::HashKvResp { number, answer: None },
            Said::KeepAlive(lease) => PeerMessage::LeaseAsk { number, about: LeaseQuestion::KeepAlive(lease) },
            Said::TimeToLive(lease) => PeerMessage::LeaseAsk { number, about: LeaseQuestion::TimeToLive(lease) },
            Said::AskAgain(_) => answer(None),
            Said::NoLease(_) => answer(Some(LeaseAnswer::NotFound)),
            Said::Renewed(ttl) => answer(Some(LeaseAnswer::Renewed(ttl))),
            Said::Lives(Lives { granted, ttl, keys }) => {
                answer(Some(LeaseAnswer::Lives(TimeToLive { granted_ttl: granted, ttl, keys })))
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raft::Body;

    #[test]
    fn every_question_and_answer_comes_back_as_it_went() {
        let hash = HashKv { hash: u32::MAX, compact_revision: -1, revision: 7 };
        let keys = vec![Bytes::from_static(b"a"), Bytes::new()];
        let answers = [
            None,
            Some(LeaseAnswer::NotFound),
            Some(LeaseAnswer::Renewed(60)),
            Some(LeaseAnswer::Lives(TimeToLive { granted_ttl: 60, ttl: -1, keys })),
        ];
        let mut messages: Vec<PeerMessage> =
            answers.into_iter().map(|answer| PeerMessage::LeaseAnswer { number: 3, answer }).collect();
        for about in [LeaseQuestion::KeepAlive(-5), LeaseQuestion::TimeToLive(0)] {
            messages.push(PeerMessage::LeaseAsk { number: 4, about });
        }
        for answer in [None, Some(PeerHash { hash, newest: 9 })] {
            messages.push(PeerMessage::HashKvResp { number: 0, answer });
        }
        messages.push(PeerMessage::HashKv { number: u64::MAX, revision: 0 });
        for message in messages {
            let bytes = Ask::from(message.clone()).encode_to_vec();
            let back = Ask::decode(&bytes[..]).expect("it was just encoded");
            assert_eq!(PeerMessage::try_from(back).expect("it is known"), message);
        }
        assert!(matches!(PeerMessage::try_from(Ask::default()), Err(WireError::Ask)));
    }

    #[test]
    fn nobody_speaks_for_another() {
        let message = |from, to| raftpb::Message::from(RaftMessage { from, to, term: 1, body: Body::TimeoutNow });
        assert!(read(message(1, 2), 1, 2).is_ok());
        for (from, to) in [(3, 2), (1, 3)] {
            assert!(matches!(read(message(from, to), 1, 2), Err(WireError::Astray { .. })));
        }
    }
}
