//! Service `Watch`: what goes over a stream in both directions.

use super::ResponseHeader;
use crate::pb::mvccpb::Event;
use bytes::Bytes;

/// Begins a watch.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct WatchCreateRequest {
    /// The first key.
    #[prost(bytes = "bytes", tag = "1")]
    pub key: Bytes,
    /// The key after the last. Empty: only `key`. A single zero byte: everything from `key` on.
    #[prost(bytes = "bytes", tag = "2")]
    pub range_end: Bytes,
    /// Events from this revision on; 0: from now on.
    #[prost(int64, tag = "3")]
    pub start_revision: i64,
    /// Tell from time to time how far the watch has come, if there is nothing else to tell.
    #[prost(bool, tag = "4")]
    pub progress_notify: bool,
    /// What to leave out.
    #[prost(enumeration = "FilterType", repeated, tag = "5")]
    pub filters: Vec<i32>,
    /// Tell what the key was before.
    #[prost(bool, tag = "6")]
    pub prev_kv: bool,
    /// The watch's number on its stream; 0: the member chooses one.
    #[prost(int64, tag = "7")]
    pub watch_id: i64,
    /// Cut responses that are longer than the request limit.
    #[prost(bool, tag = "8")]
    pub fragment: bool,
}

/// What a watch leaves out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum FilterType {
    /// Puts.
    Noput = 0,
    /// Deletes.
    Nodelete = 1,
}

/// Ends a watch.
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct WatchCancelRequest {
    /// Its number.
    #[prost(int64, tag = "1")]
    pub watch_id: i64,
}

/// Asks how far the watches of a stream have come.
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct WatchProgressRequest {}

/// What a watch tells.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct WatchResponse {
    /// Who answered.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
    /// Which; -1: all of the stream (an answer to [`WatchProgressRequest`]).
    #[prost(int64, tag = "2")]
    pub watch_id: i64,
    /// The watch began.
    #[prost(bool, tag = "3")]
    pub created: bool,
    /// The watch ended; nothing follows.
    #[prost(bool, tag = "4")]
    pub canceled: bool,
    /// Why: the start revision is compacted, and this is the oldest that is not.
    #[prost(int64, tag = "5")]
    pub compact_revision: i64,
    /// Why, in words.
    #[prost(string, tag = "6")]
    pub cancel_reason: String,
    /// More of the same response follows.
    #[prost(bool, tag = "7")]
    pub fragment: bool,
    /// What happened, by revision.
    #[prost(message, repeated, tag = "11")]
    pub events: Vec<Event>,
}

/// What a client says on its stream.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct WatchRequest {
    /// Which of them.
    #[prost(oneof = "watch_request::RequestUnion", tags = "1, 2, 3")]
    pub request_union: Option<watch_request::RequestUnion>,
}

/// The union of [`WatchRequest`].
pub mod watch_request {
    /// See [`WatchRequest`](super::WatchRequest).
    #[derive(Clone, PartialEq, Eq, Hash, prost::Oneof)]
    pub enum RequestUnion {
        /// Begin a watch.
        #[prost(message, tag = "1")]
        CreateRequest(super::WatchCreateRequest),
        /// End one.
        #[prost(message, tag = "2")]
        CancelRequest(super::WatchCancelRequest),
        /// How far have they come?
        #[prost(message, tag = "3")]
        ProgressRequest(super::WatchProgressRequest),
    }
}
