//! Service `Lease`.

use super::ResponseHeader;
use bytes::Bytes;

/// Asks for a lease.
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct LeaseGrantRequest {
    /// How long it lives without a keepalive, in seconds.
    #[prost(int64, tag = "1")]
    pub ttl: i64,
    /// Its id; 0: the member chooses one before it proposes.
    #[prost(int64, tag = "2")]
    pub id: i64,
}

/// The answer to [`LeaseGrantRequest`].
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct LeaseGrantResponse {
    /// Who answered.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
    /// The lease.
    #[prost(int64, tag = "2")]
    pub id: i64,
    /// What was granted, in seconds: at least the minimum.
    #[prost(int64, tag = "3")]
    pub ttl: i64,
    /// Unused by etcd.
    #[prost(string, tag = "4")]
    pub error: String,
}

/// Ends a lease; its keys go with it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct LeaseRevokeRequest {
    /// The lease.
    #[prost(int64, tag = "1")]
    pub id: i64,
}

/// The answer to [`LeaseRevokeRequest`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct LeaseRevokeResponse {
    /// Who answered.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
}

/// What was left of a lease.
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct LeaseCheckpoint {
    /// The lease.
    #[prost(int64, tag = "1")]
    pub id: i64,
    /// In seconds.
    #[prost(int64, tag = "2")]
    pub remaining_ttl: i64,
}

/// Writes down what is left of leases, so that a new leader does not begin anew.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct LeaseCheckpointRequest {
    /// Lease by lease.
    #[prost(message, repeated, tag = "1")]
    pub checkpoints: Vec<LeaseCheckpoint>,
}

/// The answer to [`LeaseCheckpointRequest`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct LeaseCheckpointResponse {
    /// Who answered.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
}

/// Begins the life of a lease anew.
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct LeaseKeepAliveRequest {
    /// The lease.
    #[prost(int64, tag = "1")]
    pub id: i64,
}

/// The answer to [`LeaseKeepAliveRequest`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct LeaseKeepAliveResponse {
    /// Who answered.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
    /// The lease.
    #[prost(int64, tag = "2")]
    pub id: i64,
    /// Its life from now on, in seconds; 0: there is no such lease.
    #[prost(int64, tag = "3")]
    pub ttl: i64,
}

/// Asks how long a lease will live.
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct LeaseTimeToLiveRequest {
    /// The lease.
    #[prost(int64, tag = "1")]
    pub id: i64,
    /// Name its keys too.
    #[prost(bool, tag = "2")]
    pub keys: bool,
}

/// The answer to [`LeaseTimeToLiveRequest`].
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct LeaseTimeToLiveResponse {
    /// Who answered.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
    /// The lease.
    #[prost(int64, tag = "2")]
    pub id: i64,
    /// What is left, in seconds; -1: there is no such lease.
    #[prost(int64, tag = "3")]
    pub ttl: i64,
    /// What was granted.
    #[prost(int64, tag = "4")]
    pub granted_ttl: i64,
    /// Its keys, ascending.
    #[prost(bytes = "bytes", repeated, tag = "5")]
    pub keys: Vec<Bytes>,
}

/// Asks for all leases.
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct LeaseLeasesRequest {}

/// A lease in a list.
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct LeaseStatus {
    /// The lease.
    #[prost(int64, tag = "1")]
    pub id: i64,
}

/// The answer to [`LeaseLeasesRequest`].
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct LeaseLeasesResponse {
    /// Who answered.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
    /// The one that expires first comes first.
    #[prost(message, repeated, tag = "2")]
    pub leases: Vec<LeaseStatus>,
}
