//! `v3electionpb`: elections as a service.

use super::etcdserverpb::ResponseHeader;
use super::mvccpb::KeyValue;
use bytes::Bytes;

/// Stand for an election and wait until it is won.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct CampaignRequest {
    /// The election's name.
    #[prost(bytes = "bytes", tag = "1")]
    pub name: Bytes,
    /// The lease that holds the candidate's key; 0: a new one.
    #[prost(int64, tag = "2")]
    pub lease: i64,
    /// What the candidate shows as leader.
    #[prost(bytes = "bytes", tag = "3")]
    pub value: Bytes,
}

/// The election is won.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct CampaignResponse {
    /// Who answered. The revision is that at which the candidate entered.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
    /// What proves it.
    #[prost(message, optional, tag = "2")]
    pub leader: Option<LeaderKey>,
}

/// A place in an election.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct LeaderKey {
    /// The election's name.
    #[prost(bytes = "bytes", tag = "1")]
    pub name: Bytes,
    /// The candidate's key.
    #[prost(bytes = "bytes", tag = "2")]
    pub key: Bytes,
    /// The revision that created it.
    #[prost(int64, tag = "3")]
    pub rev: i64,
    /// The lease that holds it.
    #[prost(int64, tag = "4")]
    pub lease: i64,
}

/// Who leads?
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct LeaderRequest {
    /// The election's name.
    #[prost(bytes = "bytes", tag = "1")]
    pub name: Bytes,
}

/// Who leads.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct LeaderResponse {
    /// Who answered.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
    /// The leader's key, and what it shows.
    #[prost(message, optional, tag = "2")]
    pub kv: Option<KeyValue>,
}

/// Lead no longer, or no longer stand.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct ResignRequest {
    /// The place to give up.
    #[prost(message, optional, tag = "1")]
    pub leader: Option<LeaderKey>,
}

/// The place is given up.
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct ResignResponse {
    /// Who answered.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
}

/// Show another value.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct ProclaimRequest {
    /// The leader's place.
    #[prost(message, optional, tag = "1")]
    pub leader: Option<LeaderKey>,
    /// The value.
    #[prost(bytes = "bytes", tag = "2")]
    pub value: Bytes,
}

/// The value is shown.
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct ProclaimResponse {
    /// Who answered.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
}
