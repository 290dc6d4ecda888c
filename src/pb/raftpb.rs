//! Package `raftpb` (proto2): what Raft writes to its log and snapshots, and says to its peers.

use bytes::Bytes;

/// What [`Entry::data`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum EntryType {
    /// A request to the state machine, or nothing.
    EntryNormal = 0,
    /// A [`ConfChange`].
    EntryConfChange = 1,
    /// A [`ConfChangeV2`].
    EntryConfChangeV2 = 2,
}

/// One entry of the log.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct Entry {
    /// What `data` is.
    #[prost(enumeration = "EntryType", required, tag = "1")]
    pub r#type: i32,
    /// The term of the leader that appended it.
    #[prost(uint64, required, tag = "2")]
    pub term: u64,
    /// Its place in the log.
    #[prost(uint64, required, tag = "3")]
    pub index: u64,
    /// The request's bytes; absent when empty.
    #[prost(bytes = "bytes", tag = "4")]
    pub data: Bytes,
}

/// What a member must not forget.
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct HardState {
    /// The latest term seen.
    #[prost(uint64, required, tag = "1")]
    pub term: u64,
    /// Whom it voted for in that term; 0 for nobody.
    #[prost(uint64, required, tag = "2")]
    pub vote: u64,
    /// The highest index known to be committed.
    #[prost(uint64, required, tag = "3")]
    pub commit: u64,
}

/// A configuration. The lists are not packed, as proto2 has it.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct ConfState {
    /// Voters of the incoming majority (called `nodes` in older versions).
    #[prost(uint64, repeated, packed = "false", tag = "1")]
    pub voters: Vec<u64>,
    /// Members without a vote.
    #[prost(uint64, repeated, packed = "false", tag = "2")]
    pub learners: Vec<u64>,
    /// Voters of the outgoing majority while joint.
    #[prost(uint64, repeated, packed = "false", tag = "3")]
    pub voters_outgoing: Vec<u64>,
    /// Outgoing voters that become learners when the joint configuration is left.
    #[prost(uint64, repeated, packed = "false", tag = "4")]
    pub learners_next: Vec<u64>,
    /// Whether the leader leaves the joint configuration by itself.
    #[prost(bool, required, tag = "5")]
    pub auto_leave: bool,
}

/// Where a snapshot stands.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct SnapshotMetadata {
    /// The configuration as of `index`. Always written; an absent one reads as empty.
    #[prost(message, required, tag = "1")]
    pub conf_state: ConfState,
    /// The last entry covered.
    #[prost(uint64, required, tag = "2")]
    pub index: u64,
    /// Its term.
    #[prost(uint64, required, tag = "3")]
    pub term: u64,
}

/// A state machine's image.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct Snapshot {
    /// The state machine's own encoding; absent when empty.
    #[prost(bytes = "bytes", tag = "1")]
    pub data: Bytes,
    /// Where it stands.
    #[prost(message, required, tag = "2")]
    pub metadata: SnapshotMetadata,
}

/// What a configuration change does to its member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum ConfChangeType {
    /// Becomes a voter.
    ConfChangeAddNode = 0,
    /// Leaves.
    ConfChangeRemoveNode = 1,
    /// Keeps its role; only its context (peer URLs) changes.
    ConfChangeUpdateNode = 2,
    /// Becomes a learner.
    ConfChangeAddLearnerNode = 3,
}

/// A change of one member.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct ConfChange {
    /// The proposer's request number, by which it finds its waiting caller.
    #[prost(uint64, required, tag = "1")]
    pub id: u64,
    /// What to do.
    #[prost(enumeration = "ConfChangeType", required, tag = "2")]
    pub r#type: i32,
    /// To whom.
    #[prost(uint64, required, tag = "3")]
    pub node_id: u64,
    /// The member as JSON (see [`crate::pb::ids`]); absent when empty.
    #[prost(bytes = "bytes", tag = "4")]
    pub context: Bytes,
}

/// How a [`ConfChangeV2`] leaves the joint configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum ConfChangeTransition {
    /// Joint only if there is more than one change, and left by itself.
    Auto = 0,
    /// Joint, and left by itself.
    JointImplicit = 1,
    /// Joint until a second, empty change.
    JointExplicit = 2,
}

/// One step of a [`ConfChangeV2`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct ConfChangeSingle {
    /// What to do.
    #[prost(enumeration = "ConfChangeType", required, tag = "1")]
    pub r#type: i32,
    /// To whom.
    #[prost(uint64, required, tag = "2")]
    pub node_id: u64,
}

/// A change by joint consensus.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct ConfChangeV2 {
    /// How the joint configuration is left.
    #[prost(enumeration = "ConfChangeTransition", required, tag = "1")]
    pub transition: i32,
    /// What changes, all at once.
    #[prost(message, repeated, tag = "2")]
    pub changes: Vec<ConfChangeSingle>,
    /// Opaque; absent when empty.
    #[prost(bytes = "bytes", tag = "3")]
    pub context: Bytes,
}

/// Which kind a [`Message`] is. Those that etcd's members only say to themselves are left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum MessageType {
    /// Proposals for the leader.
    MsgProp = 2,
    /// AppendEntries.
    MsgApp = 3,
    /// Its answer.
    MsgAppResp = 4,
    /// RequestVote.
    MsgVote = 5,
    /// Its answer.
    MsgVoteResp = 6,
    /// InstallSnapshot.
    MsgSnap = 7,
    /// "I still lead".
    MsgHeartbeat = 8,
    /// Its answer.
    MsgHeartbeatResp = 9,
    /// The wish for another leader.
    MsgTransferLeader = 13,
    /// "Campaign at once".
    MsgTimeoutNow = 14,
    /// A read's confirmation is asked for.
    MsgReadIndex = 15,
    /// Its answer.
    MsgReadIndexResp = 16,
    /// The rehearsal of a vote.
    MsgPreVote = 17,
    /// Its answer.
    MsgPreVoteResp = 18,
}

/// What one member says to another. The fields up to 12 are etcd's; what of them a kind uses is said in
/// `crate::pb::message`.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct Message {
    /// Its kind.
    #[prost(enumeration = "MessageType", required, tag = "1")]
    pub r#type: i32,
    /// The receiver.
    #[prost(uint64, required, tag = "2")]
    pub to: u64,
    /// The sender.
    #[prost(uint64, required, tag = "3")]
    pub from: u64,
    /// The sender's term.
    #[prost(uint64, required, tag = "4")]
    pub term: u64,
    /// The term of the entry at `index`.
    #[prost(uint64, required, tag = "5")]
    pub log_term: u64,
    /// A place in the log.
    #[prost(uint64, required, tag = "6")]
    pub index: u64,
    /// Entries, or a read's number as the data of one.
    #[prost(message, repeated, tag = "7")]
    pub entries: Vec<Entry>,
    /// The sender's commit index.
    #[prost(uint64, required, tag = "8")]
    pub commit: u64,
    /// A snapshot.
    #[prost(message, optional, tag = "9")]
    pub snapshot: Option<Snapshot>,
    /// It says no.
    #[prost(bool, required, tag = "10")]
    pub reject: bool,
    /// Where the logs may still agree.
    #[prost(uint64, required, tag = "11")]
    pub reject_hint: u64,
    /// A read's number, or how a campaign began; absent when empty.
    #[prost(bytes = "bytes", tag = "12")]
    pub context: Bytes,
    /// Ours: the wished leader. (etcd names it as the sender.)
    #[prost(uint64, tag = "100")]
    pub transferee: u64,
}
