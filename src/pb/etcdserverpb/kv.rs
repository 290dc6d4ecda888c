//! Service `KV`: ranges, puts, deletes, transactions, compaction.

use super::ResponseHeader;
use crate::pb::mvccpb::KeyValue;
use bytes::Bytes;

/// In which order a range is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum SortOrder {
    /// As the store has it (by key).
    None = 0,
    /// Lowest target first.
    Ascend = 1,
    /// Highest target first.
    Descend = 2,
}

/// By what a range is sorted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum SortTarget {
    /// The key.
    Key = 0,
    /// The version.
    Version = 1,
    /// The create revision.
    Create = 2,
    /// The mod revision.
    Mod = 3,
    /// The value.
    Value = 4,
}

/// Asks for the keys in `[key, range_end)`.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct RangeRequest {
    /// The first key.
    #[prost(bytes = "bytes", tag = "1")]
    pub key: Bytes,
    /// The key after the last. Empty: only `key`. A single zero byte: everything from `key` on.
    #[prost(bytes = "bytes", tag = "2")]
    pub range_end: Bytes,
    /// At most so many keys; 0 for all.
    #[prost(int64, tag = "3")]
    pub limit: i64,
    /// The store as of this revision; 0 or less for now.
    #[prost(int64, tag = "4")]
    pub revision: i64,
    /// The answer's order.
    #[prost(enumeration = "SortOrder", tag = "5")]
    pub sort_order: i32,
    /// What it is ordered by.
    #[prost(enumeration = "SortTarget", tag = "6")]
    pub sort_target: i32,
    /// Answer from this member's state without asking a majority; may be stale.
    #[prost(bool, tag = "7")]
    pub serializable: bool,
    /// Leave the values out.
    #[prost(bool, tag = "8")]
    pub keys_only: bool,
    /// Only count.
    #[prost(bool, tag = "9")]
    pub count_only: bool,
    /// Drop keys with a lower mod revision; 0 for no bound.
    #[prost(int64, tag = "10")]
    pub min_mod_revision: i64,
    /// Drop keys with a higher mod revision; 0 for no bound.
    #[prost(int64, tag = "11")]
    pub max_mod_revision: i64,
    /// Drop keys with a lower create revision; 0 for no bound.
    #[prost(int64, tag = "12")]
    pub min_create_revision: i64,
    /// Drop keys with a higher create revision; 0 for no bound.
    #[prost(int64, tag = "13")]
    pub max_create_revision: i64,
}

/// The answer to [`RangeRequest`].
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct RangeResponse {
    /// Who answered.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
    /// The keys; none if only counted.
    #[prost(message, repeated, tag = "2")]
    pub kvs: Vec<KeyValue>,
    /// The limit cut something off.
    #[prost(bool, tag = "3")]
    pub more: bool,
    /// How many keys the range has, whatever the limit.
    #[prost(int64, tag = "4")]
    pub count: i64,
}

/// Puts one key.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct PutRequest {
    /// The key; not empty.
    #[prost(bytes = "bytes", tag = "1")]
    pub key: Bytes,
    /// The value.
    #[prost(bytes = "bytes", tag = "2")]
    pub value: Bytes,
    /// The lease to hang it on; 0 for none.
    #[prost(int64, tag = "3")]
    pub lease: i64,
    /// Answer with the state before.
    #[prost(bool, tag = "4")]
    pub prev_kv: bool,
    /// Keep the present value; an error if there is none.
    #[prost(bool, tag = "5")]
    pub ignore_value: bool,
    /// Keep the present lease; an error if the key does not exist.
    #[prost(bool, tag = "6")]
    pub ignore_lease: bool,
}

/// The answer to [`PutRequest`].
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct PutResponse {
    /// Who answered.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
    /// The state before, if asked for and there was one.
    #[prost(message, optional, tag = "2")]
    pub prev_kv: Option<KeyValue>,
}

/// Deletes the keys in `[key, range_end)`.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct DeleteRangeRequest {
    /// The first key.
    #[prost(bytes = "bytes", tag = "1")]
    pub key: Bytes,
    /// As in [`RangeRequest::range_end`].
    #[prost(bytes = "bytes", tag = "2")]
    pub range_end: Bytes,
    /// Answer with the states before.
    #[prost(bool, tag = "3")]
    pub prev_kv: bool,
}

/// The answer to [`DeleteRangeRequest`].
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct DeleteRangeResponse {
    /// Who answered.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
    /// How many keys went.
    #[prost(int64, tag = "2")]
    pub deleted: i64,
    /// Their states before, if asked for.
    #[prost(message, repeated, tag = "3")]
    pub prev_kvs: Vec<KeyValue>,
}

/// How a [`Compare`] compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum CompareResult {
    /// The key's side equals the request's.
    Equal = 0,
    /// The key's side is greater.
    Greater = 1,
    /// The key's side is less.
    Less = 2,
    /// The two differ.
    NotEqual = 3,
}

/// What a [`Compare`] compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum CompareTarget {
    /// The version; 0 for an absent key.
    Version = 0,
    /// The create revision; 0 for an absent key.
    Create = 1,
    /// The mod revision; 0 for an absent key.
    Mod = 2,
    /// The value; an absent key fails every comparison.
    Value = 3,
    /// The lease.
    Lease = 4,
}

/// A guard of a transaction.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct Compare {
    /// How to compare.
    #[prost(enumeration = "CompareResult", tag = "1")]
    pub result: i32,
    /// What to compare.
    #[prost(enumeration = "CompareTarget", tag = "2")]
    pub target: i32,
    /// Whose.
    #[prost(bytes = "bytes", tag = "3")]
    pub key: Bytes,
    /// With what; must fit `target`.
    #[prost(oneof = "compare::TargetUnion", tags = "4, 5, 6, 7, 8")]
    pub target_union: Option<compare::TargetUnion>,
    /// Every key in `[key, range_end)` must pass; empty: only `key`.
    #[prost(bytes = "bytes", tag = "64")]
    pub range_end: Bytes,
}

/// The oneof of [`Compare`].
pub mod compare {
    use bytes::Bytes;

    /// The request's side of the comparison.
    #[derive(Clone, PartialEq, Eq, Hash, prost::Oneof)]
    pub enum TargetUnion {
        /// For `CompareTarget::Version`.
        #[prost(int64, tag = "4")]
        Version(i64),
        /// For `CompareTarget::Create`.
        #[prost(int64, tag = "5")]
        CreateRevision(i64),
        /// For `CompareTarget::Mod`.
        #[prost(int64, tag = "6")]
        ModRevision(i64),
        /// For `CompareTarget::Value`.
        #[prost(bytes = "bytes", tag = "7")]
        Value(Bytes),
        /// For `CompareTarget::Lease`.
        #[prost(int64, tag = "8")]
        Lease(i64),
    }
}

/// One operation of a transaction.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct RequestOp {
    /// Which one. None is a bad request.
    #[prost(oneof = "request_op::Request", tags = "1, 2, 3, 4")]
    pub request: Option<request_op::Request>,
}

/// The oneof of [`RequestOp`].
pub mod request_op {
    /// An operation; a transaction may hold transactions.
    #[derive(Clone, PartialEq, Eq, Hash, prost::Oneof)]
    pub enum Request {
        /// A range.
        #[prost(message, tag = "1")]
        RequestRange(super::RangeRequest),
        /// A put.
        #[prost(message, tag = "2")]
        RequestPut(super::PutRequest),
        /// A delete.
        #[prost(message, tag = "3")]
        RequestDeleteRange(super::DeleteRangeRequest),
        /// A nested transaction.
        #[prost(message, tag = "4")]
        RequestTxn(super::TxnRequest),
    }
}

/// The answer to one [`RequestOp`].
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct ResponseOp {
    /// Of the operation's own kind.
    #[prost(oneof = "response_op::Response", tags = "1, 2, 3, 4")]
    pub response: Option<response_op::Response>,
}

/// The oneof of [`ResponseOp`].
pub mod response_op {
    /// An operation's answer.
    #[derive(Clone, PartialEq, Eq, Hash, prost::Oneof)]
    pub enum Response {
        /// Of a range.
        #[prost(message, tag = "1")]
        ResponseRange(super::RangeResponse),
        /// Of a put.
        #[prost(message, tag = "2")]
        ResponsePut(super::PutResponse),
        /// Of a delete.
        #[prost(message, tag = "3")]
        ResponseDeleteRange(super::DeleteRangeResponse),
        /// Of a nested transaction.
        #[prost(message, tag = "4")]
        ResponseTxn(super::TxnResponse),
    }
}

/// If every comparison holds do `success`, else `failure`, in one revision.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct TxnRequest {
    /// The guards; none hold trivially.
    #[prost(message, repeated, tag = "1")]
    pub compare: Vec<Compare>,
    /// The operations if all hold.
    #[prost(message, repeated, tag = "2")]
    pub success: Vec<RequestOp>,
    /// The operations otherwise.
    #[prost(message, repeated, tag = "3")]
    pub failure: Vec<RequestOp>,
}

/// The answer to [`TxnRequest`].
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct TxnResponse {
    /// Who answered.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
    /// Which branch was taken.
    #[prost(bool, tag = "2")]
    pub succeeded: bool,
    /// Its answers, in order.
    #[prost(message, repeated, tag = "3")]
    pub responses: Vec<ResponseOp>,
}

/// Forgets the history before `revision`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct CompactionRequest {
    /// The oldest revision that stays readable.
    #[prost(int64, tag = "1")]
    pub revision: i64,
    /// Answer only when the old records are removed from the backend.
    #[prost(bool, tag = "2")]
    pub physical: bool,
}

/// The answer to [`CompactionRequest`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct CompactionResponse {
    /// Who answered.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
}
