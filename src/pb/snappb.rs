//! Package `snappb` (proto2): the envelope of a snapshot file.

use bytes::Bytes;

/// The whole content of a `.snap` file.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct Snapshot {
    /// CRC-32C of `data`.
    #[prost(uint32, required, tag = "1")]
    pub crc: u32,
    /// A [`raftpb.Snapshot`](super::raftpb::Snapshot).
    #[prost(bytes = "bytes", tag = "2")]
    pub data: Bytes,
}
