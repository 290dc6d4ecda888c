//! Raft's messages as etcd's `raftpb.Message`, and back.
//!
//! One struct of many fields stands for all kinds; each uses its part:
//!
//! ```text
//!   kind            type         besides from, to, term
//!   Vote            5 · 17       index, log_term: the last entry; context "CampaignTransfer" for a transfer's
//!   VoteResp        6 · 18       reject
//!   Append          3            index, log_term: the entry before; entries; commit
//!   AppendResp      4            index; refused: reject, reject_hint, log_term: where to look
//!   Heartbeat       8 · 9        commit; context: the read's number, 8 bytes, big endian
//!   Snapshot        7            snapshot
//!   Propose         2            entries
//!   ReadIndex       15 · 16      the number as an entry's data; the answer's index
//!   TransferLeader  13           transferee (ours)
//!   TimeoutNow      14
//! ```

use super::convert::UnknownEntryKind;
use super::raftpb::{self, MessageType};
use crate::raft::{Body, Entry, Message, RejectHint};
use bytes::Bytes;

/// The context of a vote that a transfer asked for.
const TRANSFER: &[u8] = b"CampaignTransfer";

/// Bytes that are no message of Raft.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum UnknownMessage {
    /// The kind is not one that members say to each other.
    #[error("message type {found}: expected one of raftpb's that members send; does the sender run a newer version?")]
    Kind {
        /// The number found.
        found: i32,
    },
    /// It carries an entry of no known kind.
    #[error(transparent)]
    Entry(#[from] UnknownEntryKind),
    /// A field that the kind needs is not there, or has the wrong length.
    #[error("{kind:?} without its {field}: is the sender damaged?")]
    Lacks {
        /// The kind.
        kind: MessageType,
        /// The field.
        field: &'static str,
    },
}

impl From<Message> for raftpb::Message {
    fn from(message: Message) -> Self {
        let Message { from, to, term, body } = message;
        let base = Self { from, to, term, ..Self::default() };
        let of = |kind: MessageType| Self { r#type: kind.into(), ..base.clone() };
        match body {
            Body::Vote { pre, transfer, last_index: index, last_term: log_term } => {
                let context = if transfer { Bytes::from_static(TRANSFER) } else { Bytes::new() };
                let kind = if pre { MessageType::MsgPreVote } else { MessageType::MsgVote };
                Self { index, log_term, context, ..of(kind) }
            }
            Body::VoteResp { pre, reject } => {
                Self { reject, ..of(if pre { MessageType::MsgPreVoteResp } else { MessageType::MsgVoteResp }) }
            }
            Body::Append { prev_index: index, prev_term: log_term, entries, commit } => {
                Self { index, log_term, entries: pack(&entries), commit, ..of(MessageType::MsgApp) }
            }
            Body::AppendResp { index, reject } => {
                let RejectHint { index: reject_hint, term: log_term } =
                    reject.unwrap_or(RejectHint { index: 0, term: 0 });
                Self { index, reject: reject.is_some(), reject_hint, log_term, ..of(MessageType::MsgAppResp) }
            }
            Body::Heartbeat { commit, read_ctx } => {
                Self { commit, context: number(read_ctx), ..of(MessageType::MsgHeartbeat) }
            }
            Body::HeartbeatResp { read_ctx } => Self { context: number(read_ctx), ..of(MessageType::MsgHeartbeatResp) },
            Body::Snapshot(snapshot) => Self { snapshot: Some((&*snapshot).into()), ..of(MessageType::MsgSnap) },
            Body::Propose { entries } => Self { entries: pack(&entries), ..of(MessageType::MsgProp) },
            Body::ReadIndex { ctx } => Self { entries: vec![numbered(ctx)], ..of(MessageType::MsgReadIndex) },
            Body::ReadIndexResp { ctx, index } => {
                Self { entries: vec![numbered(ctx)], index, ..of(MessageType::MsgReadIndexResp) }
            }
            Body::TransferLeader { transferee } => Self { transferee, ..of(MessageType::MsgTransferLeader) },
            Body::TimeoutNow => of(MessageType::MsgTimeoutNow),
        }
    }
}

impl TryFrom<raftpb::Message> for Message {
    type Error = UnknownMessage;

    fn try_from(message: raftpb::Message) -> Result<Self, UnknownMessage> {
        let raftpb::Message { from, to, term, index, log_term, commit, reject, reject_hint, .. } = message;
        let found = message.r#type;
        let kind = MessageType::try_from(found).map_err(|_| UnknownMessage::Kind { found })?;
        let lacks = |field| UnknownMessage::Lacks { kind, field };
        let body = match kind {
            MessageType::MsgVote | MessageType::MsgPreVote => Body::Vote {
                pre: kind == MessageType::MsgPreVote,
                transfer: message.context == TRANSFER,
                last_index: index,
                last_term: log_term,
            },
            MessageType::MsgVoteResp | MessageType::MsgPreVoteResp => {
                Body::VoteResp { pre: kind == MessageType::MsgPreVoteResp, reject }
            }
            MessageType::MsgApp => {
                Body::Append { prev_index: index, prev_term: log_term, entries: unpack(message.entries)?, commit }
            }
            MessageType::MsgAppResp => {
                let reject = reject.then_some(RejectHint { index: reject_hint, term: log_term });
                Body::AppendResp { index, reject }
            }
            MessageType::MsgHeartbeat => {
                Body::Heartbeat { commit, read_ctx: read_number(&message.context).ok_or_else(|| lacks("context"))? }
            }
            MessageType::MsgHeartbeatResp => {
                Body::HeartbeatResp { read_ctx: read_number(&message.context).ok_or_else(|| lacks("context"))? }
            }
            MessageType::MsgSnap => Body::Snapshot(Box::new(message.snapshot.ok_or_else(|| lacks("snapshot"))?.into())),
            MessageType::MsgProp => Body::Propose { entries: unpack(message.entries)? },
            MessageType::MsgReadIndex | MessageType::MsgReadIndexResp => {
                let ctx = message.entries.first().filter(|entry| !entry.data.is_empty());
                let ctx = ctx.and_then(|entry| read_number(&entry.data)).ok_or_else(|| lacks("number"))?;
                match kind {
                    MessageType::MsgReadIndex => Body::ReadIndex { ctx },
                    _ => Body::ReadIndexResp { ctx, index },
                }
            }
            MessageType::MsgTransferLeader => Body::TransferLeader { transferee: message.transferee },
            MessageType::MsgTimeoutNow => Body::TimeoutNow,
        };
        Ok(Message { from, to, term, body })
    }
}

fn pack(entries: &[Entry]) -> Vec<raftpb::Entry> {
    entries.iter().map(Into::into).collect()
}

fn unpack(entries: Vec<raftpb::Entry>) -> Result<Vec<Entry>, UnknownEntryKind> {
    entries.into_iter().map(TryInto::try_into).collect()
}

/// A read's number; nothing for 0, which is none.
fn number(of: u64) -> Bytes {
    if of == 0 { Bytes::new() } else { Bytes::copy_from_slice(&of.to_be_bytes()) }
}

fn numbered(ctx: u64) -> raftpb::Entry {
    raftpb::Entry { data: Bytes::copy_from_slice(&ctx.to_be_bytes()), ..raftpb::Entry::default() }
}

fn read_number(bytes: &Bytes) -> Option<u64> {
    if bytes.is_empty() {
        return Some(0);
    }
    bytes[..].try_into().ok().map(u64::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raft::{ConfState, EntryKind, Snapshot, SnapshotMeta};
    use prost::Message as _;

    fn bodies() -> Vec<Body> {
        let data = Bytes::from_static(b"data");
        let entries = vec![
            Entry { kind: EntryKind::Normal, term: 3, index: 8, data: data.clone() },
            Entry { kind: EntryKind::ConfChange, term: 4, index: 9, data: Bytes::new() },
        ];
        let conf = ConfState { voters: vec![1, 2], learners: vec![3], ..ConfState::default() };
        let snapshot = Snapshot { meta: SnapshotMeta { index: 7, term: 3, conf }, data };
        let mut bodies = vec![
            Body::Append { prev_index: 7, prev_term: 3, entries: entries.clone(), commit: 6 },
            Body::AppendResp { index: 9, reject: None },
            Body::AppendResp { index: 9, reject: Some(RejectHint { index: 5, term: 0 }) },
            Body::Snapshot(Box::new(snapshot)),
            Body::Propose { entries },
            Body::ReadIndex { ctx: 0 },
            Body::ReadIndex { ctx: u64::MAX },
            Body::ReadIndexResp { ctx: 1 << 40, index: 12 },
            Body::TransferLeader { transferee: 3 },
            Body::TimeoutNow,
        ];
        for pre in [false, true] {
            bodies.push(Body::VoteResp { pre, reject: !pre });
            bodies.push(Body::Vote { pre, transfer: !pre, last_index: 9, last_term: 4 });
        }
        for read_ctx in [0, 1, 1 << 63] {
            bodies.extend([Body::Heartbeat { commit: 5, read_ctx }, Body::HeartbeatResp { read_ctx }]);
        }
        bodies
    }

    #[test]
    fn every_kind_comes_back_as_it_went() {
        for body in bodies() {
            let message = Message { from: 1, to: 2, term: 4, body };
            let bytes = raftpb::Message::from(message.clone()).encode_to_vec();
            let back = raftpb::Message::decode(&bytes[..]).expect("it was just encoded");
            assert_eq!(Message::try_from(back), Ok(message));
        }
    }

    #[test]
    fn zeros_are_written_as_etcd_writes_them() {
        let message = Message { from: 0, to: 0, term: 0, body: Body::TimeoutNow };
        let bytes = raftpb::Message::from(message).encode_to_vec();
        assert_eq!(bytes, [8, 14, 16, 0, 24, 0, 32, 0, 40, 0, 48, 0, 64, 0, 80, 0, 88, 0]);
    }

    #[test]
    fn what_is_no_message_is_refused() {
        let of = |kind: i32| raftpb::Message { r#type: kind, ..Default::default() };
        assert_eq!(Message::try_from(of(11)), Err(UnknownMessage::Kind { found: 11 }));
        for (message, field) in [
            (of(7), "snapshot"),
            (of(15), "number"),
            (raftpb::Message { context: Bytes::from_static(b"odd"), ..of(8) }, "context"),
        ] {
            let error = Message::try_from(message).expect_err("a field is missing").to_string();
            assert!(error.contains(field), "{error}");
        }
        let odd = raftpb::Message { entries: vec![raftpb::Entry { r#type: 9, ..Default::default() }], ..of(3) };
        assert_eq!(Message::try_from(odd), Err(UnknownMessage::Entry(UnknownEntryKind { found: 9 })));
    }
}
