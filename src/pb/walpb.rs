//! Package `walpb` (proto2): the records of the write-ahead log.

use bytes::Bytes;

/// One record. `crate::wal` frames it and explains the types.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct Record {
    /// 1 metadata, 2 entry, 3 state, 4 crc, 5 snapshot.
    #[prost(int64, required, tag = "1")]
    pub r#type: i64,
    /// CRC-32C over the data of this and all earlier records.
    #[prost(uint32, required, tag = "2")]
    pub crc: u32,
    /// The message of that type; absent when empty.
    #[prost(bytes = "bytes", tag = "3")]
    pub data: Bytes,
}

/// "There is a snapshot file at this index." etcd 3.5 adds the configuration as field 3; it is not needed, because
/// the snapshot file holds it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Message)]
pub struct Snapshot {
    /// The last entry that the snapshot covers.
    #[prost(uint64, required, tag = "1")]
    pub index: u64,
    /// Its term.
    #[prost(uint64, required, tag = "2")]
    pub term: u64,
}
