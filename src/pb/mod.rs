//! etcd's protobuf messages: the bytes that the log, the snapshot files and the store's records are made of.
//!
//! The structs are written by hand with prost's annotations, one module for each of etcd's packages, so that reading
//! the crate needs no protoc. Field numbers and types are those of etcd's `.proto` files; they are the contract, the
//! Rust names are not.
//!
//! Two dialects meet here:
//! - **proto2** (`raftpb`, `walpb`, `snappb`, `etcdserverpb.Metadata`, the v2 `Request`). etcd generates these with
//!   gogoproto and `nullable = false`: a zero field *is written*. `required` says the same to prost. (Reading is
//!   lenient: an absent field is zero.) Byte fields are nullable there and absent when empty, as here.
//! - **proto3** (`mvccpb`, the rest of `etcdserverpb`). A zero field is left out.
//!
//! ```text
//! raftpb.HardState { term: 0, vote: 0, commit: 0 }  =  08 00 10 00 18 00     proto2: three explicit zeros
//! mvccpb.KeyValue { key: "a", .. zeros }            =  0a 01 61              proto3: zeros are silent
//! ```
//!
//! Byte fields are [`bytes::Bytes`]: decoding from a `Bytes` shares its memory, so a value travels from the wire
//! through the log into the store without a copy.
//!
//! Left out: the service definitions (`serve` has their paths).
//! Unknown fields are skipped when decoding, as protobuf asks; they are not kept.

pub mod authpb;
pub mod convert;
pub mod etcdserverpb;
pub mod ids;
pub mod leasepb;
pub mod message;
pub mod mvccpb;
pub mod raftpb;
pub mod snappb;
pub mod v3electionpb;
pub mod v3lockpb;
pub mod walpb;
