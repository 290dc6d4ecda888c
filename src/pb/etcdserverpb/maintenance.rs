//! Service `Maintenance`: alarms, hashes, how a member is.

use super::ResponseHeader;
use bytes::Bytes;

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum AlarmType {
    /// Nothing, or whatever it is.
    None = 0,
    /// The database has reached its quota.
    Nospace = 1,
    /// The members' data differs.
    Corrupt = 2,
}

/// What to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum AlarmAction {
    /// Say which alarms are raised.
    Get = 0,
    /// Raise one.
    Activate = 1,
    /// Take one back.
    Deactivate = 2,
}

/// Raises an alarm, takes one back, or asks for them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct AlarmRequest {
    /// Which of them.
    #[prost(enumeration = "AlarmAction", tag = "1")]
    pub action: i32,
    /// Whose; 0: anyone's.
    #[prost(uint64, tag = "2")]
    pub member_id: u64,
    /// Which kind; None: any.
    #[prost(enumeration = "AlarmType", tag = "3")]
    pub alarm: i32,
}

/// An alarm that is raised; the record of the bucket `alarm` is this message as its key.
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct AlarmMember {
    /// By whom.
    #[prost(uint64, tag = "1")]
    pub member_id: u64,
    /// Which kind.
    #[prost(enumeration = "AlarmType", tag = "2")]
    pub alarm: i32,
}

/// The answer to [`AlarmRequest`].
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct AlarmResponse {
    /// Who answered.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
    /// Those that are raised.
    #[prost(message, repeated, tag = "2")]
    pub alarms: Vec<AlarmMember>,
}

/// Asks for the hash of all keys at a revision.
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct HashKvRequest {
    /// The revision; 0: now.
    #[prost(int64, tag = "1")]
    pub revision: i64,
}

/// The answer to [`HashKvRequest`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct HashKvResponse {
    /// Who answered.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
    /// The hash.
    #[prost(uint32, tag = "2")]
    pub hash: u32,
    /// The oldest readable revision, from which it is computed.
    #[prost(int64, tag = "3")]
    pub compact_revision: i64,
}

/// Asks for the hash of a member's whole database.
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct HashRequest {}

/// The answer to [`HashRequest`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct HashResponse {
    /// Who answered.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
    /// The hash.
    #[prost(uint32, tag = "2")]
    pub hash: u32,
}

/// Asks a member how it is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct StatusRequest {}

/// The answer to [`StatusRequest`].
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct StatusResponse {
    /// Who answered.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
    /// Its version.
    #[prost(string, tag = "2")]
    pub version: String,
    /// Its database file's size in bytes.
    #[prost(int64, tag = "3")]
    pub db_size: i64,
    /// Whom it takes for the leader; 0: nobody.
    #[prost(uint64, tag = "4")]
    pub leader: u64,
    /// Its commit index.
    #[prost(uint64, tag = "5")]
    pub raft_index: u64,
    /// Its term.
    #[prost(uint64, tag = "6")]
    pub raft_term: u64,
    /// Its applied index.
    #[prost(uint64, tag = "7")]
    pub raft_applied_index: u64,
    /// What is wrong, in words.
    #[prost(string, repeated, tag = "8")]
    pub errors: Vec<String>,
    /// What is not free in its database, in bytes.
    #[prost(int64, tag = "9")]
    pub db_size_in_use: i64,
    /// It does not vote.
    #[prost(bool, tag = "10")]
    pub is_learner: bool,
}

/// Send an image of the database.
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct SnapshotRequest {}

/// A piece of it. The last one is no piece, but the SHA-256 of all that came before.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct SnapshotResponse {
    /// Who answered; etcd 3.4 does not say.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
    /// Bytes of the image behind this piece.
    #[prost(uint64, tag = "2")]
    pub remaining_bytes: u64,
    /// The piece.
    #[prost(bytes = "bytes", tag = "3")]
    pub blob: Bytes,
}
