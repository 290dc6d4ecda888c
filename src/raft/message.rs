//! What Raft keeps and what it says: entries, hard state, configurations, messages.
//!
//! The shapes are etcd's raftpb, as Rust enums: a message is one of its kinds with just the fields of that kind. The
//! byte encoding (needed for the WAL and for real sockets) is not here but in `crate::pb`.

use bytes::Bytes;

/// A member's id, etcd's 64-bit hash of its peer URLs. 0 is nobody.
pub type NodeId = u64;

/// What an entry carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EntryKind {
    /// A request to the state machine; empty data is a new leader's first entry.
    Normal,
    /// A configuration change of one member (raftpb.ConfChange).
    ConfChange,
    /// A configuration change by joint consensus (raftpb.ConfChangeV2).
    ConfChangeV2,
}

/// One entry of the replicated log. `data` is opaque to Raft and shared, not copied.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Entry {
    /// What `data` is.
    pub kind: EntryKind,
    /// The term of the leader that appended it.
    pub term: u64,
    /// Its place in the log; the first entry has index 1.
    pub index: u64,
    /// The request's bytes.
    pub data: Bytes,
}

/// What a member must not forget (Raft paper, Figure 2, "persistent state").
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct HardState {
    /// The latest term that this member has seen.
    pub term: u64,
    /// Whom it voted for in `term`; 0 for nobody.
    pub vote: NodeId,
    /// The highest index it knows to be committed. A lone advance of it need not be synced.
    pub commit: u64,
}

/// A configuration as a value (raftpb.ConfState). `voters_outgoing` is empty unless the configuration is joint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ConfState {
    /// Voters of the (incoming) majority, ascending.
    pub voters: Vec<NodeId>,
    /// Members that receive the log but do not vote, ascending.
    pub learners: Vec<NodeId>,
    /// Voters of the outgoing majority while joint, ascending.
    pub voters_outgoing: Vec<NodeId>,
    /// Outgoing voters that become learners when the joint configuration is left, ascending.
    pub learners_next: Vec<NodeId>,
    /// Whether the leader leaves the joint configuration by itself.
    pub auto_leave: bool,
}

/// Where a snapshot stands in the log, and the configuration there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct SnapshotMeta {
    /// Index of the last entry that it covers.
    pub index: u64,
    /// Term of that entry.
    pub term: u64,
    /// The configuration as of that entry.
    pub conf: ConfState,
}

/// A state machine's image at `meta.index`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Snapshot {
    /// Its place in the log.
    pub meta: SnapshotMeta,
    /// The state machine's own encoding.
    pub data: Bytes,
}

/// A message between two members.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Message {
    /// The sender.
    pub from: NodeId,
    /// The receiver.
    pub to: NodeId,
    /// The sender's term. For a PreVote request and its grant: the term that the candidate *would* campaign at.
    /// 0 for the forwarded kinds ([`Body::Propose`], [`Body::ReadIndex`]), which carry no term.
    pub term: u64,
    /// The kind, with its fields.
    pub body: Body,
}

/// The kinds of messages.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Body {
    /// "Vote for me": RequestVote, or its rehearsal.
    Vote {
        /// A PreVote: nobody's term or vote changes.
        pre: bool,
        /// Sent at the leader's wish (transfer): voters ignore their lease on the old leader.
        transfer: bool,
        /// Index of the candidate's last entry.
        last_index: u64,
        /// Term of the candidate's last entry.
        last_term: u64,
    },
    /// The answer to [`Body::Vote`].
    VoteResp {
        /// Answers a PreVote.
        pre: bool,
        /// The vote is refused.
        reject: bool,
    },
    /// AppendEntries: the entries that follow `(prev_index, prev_term)`; may be empty (a probe, or a commit advance).
    Append {
        /// Index of the entry before the first one sent.
        prev_index: u64,
        /// Term of that entry.
        prev_term: u64,
        /// The entries, ascending without gaps.
        entries: Vec<Entry>,
        /// The leader's commit index.
        commit: u64,
    },
    /// The answer to [`Body::Append`] and [`Body::Snapshot`].
    AppendResp {
        /// Accepted: the last index known to match the leader's log. Rejected: the `prev_index` that did not match.
        index: u64,
        /// Why not, with a hint where the logs may still agree.
        reject: Option<RejectHint>,
    },
    /// "I still lead". `commit` never exceeds what the receiver is known to hold.
    Heartbeat {
        /// The commit index, capped by the receiver's match index.
        commit: u64,
        /// Identifies the latest batch of linearizable reads that waits for confirmation; 0 for none.
        read_ctx: u64,
    },
    /// The answer to [`Body::Heartbeat`].
    HeartbeatResp {
        /// Copied from the heartbeat.
        read_ctx: u64,
    },
    /// InstallSnapshot. Rare and long, so it lies in a box: a message is moved from hand to hand many times.
    Snapshot(Box<Snapshot>),
    /// Proposals that a follower forwards to the leader.
    Propose {
        /// Entries without term and index.
        entries: Vec<Entry>,
    },
    /// A read's confirmation that a follower asks of the leader.
    ReadIndex {
        /// The asker's own number for it.
        ctx: u64,
    },
    /// The answer to [`Body::ReadIndex`].
    ReadIndexResp {
        /// Copied from the question.
        ctx: u64,
        /// The asker may serve the read once it has applied this index.
        index: u64,
    },
    /// A follower passes on the wish to make `transferee` the leader.
    TransferLeader {
        /// The wished leader.
        transferee: NodeId,
    },
    /// The leader asks the receiver to campaign at once.
    TimeoutNow,
}

/// Where to look for agreement after a rejected append.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RejectHint {
    /// An index at or below which the logs may agree.
    pub index: u64,
    /// The rejecter's term at that index; 0 if unknown.
    pub term: u64,
}
