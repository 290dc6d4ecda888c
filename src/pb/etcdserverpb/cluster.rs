//! Service `Cluster`.

use super::ResponseHeader;

/// A member of the cluster.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct Member {
    /// Its id.
    #[prost(uint64, tag = "1")]
    pub id: u64,
    /// Its name; empty until it has started.
    #[prost(string, tag = "2")]
    pub name: String,
    /// Where other members reach it.
    #[prost(string, repeated, tag = "3")]
    pub peer_urls: Vec<String>,
    /// Where clients reach it; none until it has started.
    #[prost(string, repeated, tag = "4")]
    pub client_urls: Vec<String>,
    /// It receives the log and does not vote.
    #[prost(bool, tag = "5")]
    pub is_learner: bool,
}

/// Adds a member.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct MemberAddRequest {
    /// Where the others will reach it.
    #[prost(string, repeated, tag = "1")]
    pub peer_urls: Vec<String>,
    /// As a learner.
    #[prost(bool, tag = "2")]
    pub is_learner: bool,
}

/// The answer to [`MemberAddRequest`].
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct MemberAddResponse {
    /// Who answered.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
    /// The new one.
    #[prost(message, optional, tag = "2")]
    pub member: Option<Member>,
    /// All of them.
    #[prost(message, repeated, tag = "3")]
    pub members: Vec<Member>,
}

/// Removes a member.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct MemberRemoveRequest {
    /// Which.
    #[prost(uint64, tag = "1")]
    pub id: u64,
}

/// The answer to [`MemberRemoveRequest`].
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct MemberRemoveResponse {
    /// Who answered.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
    /// All of them.
    #[prost(message, repeated, tag = "2")]
    pub members: Vec<Member>,
}

/// Changes where a member is reached.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct MemberUpdateRequest {
    /// Which.
    #[prost(uint64, tag = "1")]
    pub id: u64,
    /// Where the others will reach it.
    #[prost(string, repeated, tag = "2")]
    pub peer_urls: Vec<String>,
}

/// The answer to [`MemberUpdateRequest`].
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct MemberUpdateResponse {
    /// Who answered.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
    /// All of them.
    #[prost(message, repeated, tag = "2")]
    pub members: Vec<Member>,
}

/// Makes a learner a voter.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct MemberPromoteRequest {
    /// Which.
    #[prost(uint64, tag = "1")]
    pub id: u64,
}

/// The answer to [`MemberPromoteRequest`].
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct MemberPromoteResponse {
    /// Who answered.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
    /// All of them.
    #[prost(message, repeated, tag = "2")]
    pub members: Vec<Member>,
}

/// Asks for the members.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct MemberListRequest {
    /// Ask a majority first (from etcd 3.5 on).
    #[prost(bool, tag = "1")]
    pub linearizable: bool,
}

/// The answer to [`MemberListRequest`].
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct MemberListResponse {
    /// Who answered.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
    /// All of them.
    #[prost(message, repeated, tag = "2")]
    pub members: Vec<Member>,
}
