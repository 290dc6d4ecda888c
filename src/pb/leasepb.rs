//! Package `leasepb` (proto3): a lease as it is stored.

/// A record of the bucket `lease`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct Lease {
    /// The lease.
    #[prost(int64, tag = "1")]
    pub id: i64,
    /// What was granted, in seconds.
    #[prost(int64, tag = "2")]
    pub ttl: i64,
    /// What the last checkpoint had left of it; 0: all.
    #[prost(int64, tag = "3")]
    pub remaining_ttl: i64,
}
