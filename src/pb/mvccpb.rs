//! Package `mvccpb` (proto3): a key's state at a revision, and what happened to it.

use bytes::Bytes;

/// A key with its value and history, as answered to clients and as stored under its revision.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct KeyValue {
    /// The key.
    #[prost(bytes = "bytes", tag = "1")]
    pub key: Bytes,
    /// Revision of the put that brought it to life.
    #[prost(int64, tag = "2")]
    pub create_revision: i64,
    /// Revision of its last put.
    #[prost(int64, tag = "3")]
    pub mod_revision: i64,
    /// How many puts since it came to life; 0 in a tombstone.
    #[prost(int64, tag = "4")]
    pub version: i64,
    /// The value.
    #[prost(bytes = "bytes", tag = "5")]
    pub value: Bytes,
    /// The lease it hangs on; 0 for none.
    #[prost(int64, tag = "6")]
    pub lease: i64,
}

/// What an event was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum EventType {
    /// A put: creation or change.
    Put = 0,
    /// A delete, or the lease's end.
    Delete = 1,
}

/// A change as a watcher sees it.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct Event {
    /// Put or delete.
    #[prost(enumeration = "EventType", tag = "1")]
    pub r#type: i32,
    /// After a put: the key's new state. After a delete: only `key`, and `mod_revision` = the delete's revision.
    #[prost(message, optional, tag = "2")]
    pub kv: Option<KeyValue>,
    /// The state before, if the watcher asked for it and it is not compacted.
    #[prost(message, optional, tag = "3")]
    pub prev_kv: Option<KeyValue>,
}
