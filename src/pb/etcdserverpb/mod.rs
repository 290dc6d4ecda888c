//! Package `etcdserverpb`: requests and responses by service (proto3), and what a log entry carries.

mod auth;
mod cluster;
mod internal;
mod kv;
mod lease;
mod maintenance;
mod watch;

pub use auth::*;
pub use cluster::*;
pub use internal::*;
pub use kv::*;
pub use lease::*;
pub use maintenance::*;
pub use watch::*;

/// At the head of every response: who answered, and how far it was.
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct ResponseHeader {
    /// The cluster that answered.
    #[prost(uint64, tag = "1")]
    pub cluster_id: u64,
    /// The member that answered.
    #[prost(uint64, tag = "2")]
    pub member_id: u64,
    /// The store's revision when the request was applied.
    #[prost(int64, tag = "3")]
    pub revision: i64,
    /// The member's Raft term then.
    #[prost(uint64, tag = "4")]
    pub raft_term: u64,
}
