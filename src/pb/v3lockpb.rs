//! `v3lockpb`: locks as a service.

use super::etcdserverpb::ResponseHeader;
use bytes::Bytes;

/// Take a lock.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct LockRequest {
    /// Its name.
    #[prost(bytes = "bytes", tag = "1")]
    pub name: Bytes,
    /// The lease that holds it; 0: a new one.
    #[prost(int64, tag = "2")]
    pub lease: i64,
}

/// The lock is held.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct LockResponse {
    /// Who answered.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
    /// Stands for holding it: as long as it is there, it is held.
    #[prost(bytes = "bytes", tag = "2")]
    pub key: Bytes,
}

/// Give a lock back.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct UnlockRequest {
    /// The key that [`LockResponse`] named.
    #[prost(bytes = "bytes", tag = "1")]
    pub key: Bytes,
}

/// The lock is given back.
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct UnlockResponse {
    /// Who answered.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
}
