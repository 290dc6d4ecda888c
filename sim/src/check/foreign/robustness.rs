//! The reports of etcd's own robustness tests: JSON, one object a line.
//!
//! ```text
//! {"ClientID":1, "Call":7, "Return":9, "Input":{"Type":"txn","Txn":{…}}, "Output":{"Revision":3,"Txn":{…}}}
//! {"Request":{"Key":"a","WithPrefix":true,"Revision":2}, "Responses":[{"Events":[{"Type":"put-operation","Key":"a",…}]}]}
//! ```
//! What they do not tell is taken for unknown. A value of 20 bytes or more is kept as its hash; a revision of -1 says that
//! none was compared; an `Error` is an outcome that nobody knows, a `ClientError` is an answer like others; what
//! `Persisted` is known from a member's log. Of a watch that ended with an error nobody knows why.

use crate::check::model::{Answer, Detail, Refusal, Reply, Request, Seen, Timed};
use crate::check::watch::{Content, End, Response, WatchRecord};
use bytes::Bytes;
use seedbed::pb::etcdserverpb::{
    Compare, CompareResult, CompareTarget, DeleteRangeRequest, DeleteRangeResponse, PutRequest, PutResponse,
    RangeRequest, RangeResponse, RequestOp, TxnRequest, WatchCreateRequest, compare, request_op,
};
use seedbed::pb::mvccpb::{Event, EventType, KeyValue};
use serde::Deserialize;

/// What cannot be read, and why.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// It is no JSON, or of another shape.
    #[error("no line of a robustness report: {0}")]
    Shape(#[from] serde_json::Error),
    /// A request without any content that is known.
    #[error("a request of the type {0:?}: expected range, txn, leaseGrant, leaseRevoke, compact or defragment")]
    Request(String),
    /// An operation of a transaction that is not known.
    #[error("an operation of the type {0:?}: expected put-operation, delete-operation or range-operation")]
    Operation(String),
    /// An answer without any content that is known.
    #[error("an answer of no known type")]
    Answer,
    /// An error of etcd's that the model never gives.
    #[error("the client error {0:?}: the model gives none with this text")]
    ClientError(String),
}

/// An operation with its times, as in `operations.json`.
pub fn operation(line: &str) -> Result<Timed, Unreadable> {
    let raw: RawOperation = serde_json::from_str(line)?;
    let request = request_of(raw.input)?;
    let seen = seen_of(&request, raw.output)?;
    Ok(Timed { call: raw.call, ret: raw.return_, request, seen })
}

/// A request.
pub fn request(json: &serde_json::Value) -> Result<Request, Unreadable> {
    request_of(RawRequest::deserialize(json)?)
}

/// What came of a request.
pub fn seen(request: &Request, json: &serde_json::Value) -> Result<Seen, Unreadable> {
    seen_of(request, RawResponse::deserialize(json)?)
}

/// A watch, as in `watch.json`.
pub fn watch(client: u32, json: &serde_json::Value) -> Result<WatchRecord, Unreadable> {
    let raw = RawWatch::deserialize(json)?;
    let mut responses = Vec::new();
    for response in raw.responses.unwrap_or_default() {
        let content = if !response.error.is_empty() {
            break;
        } else if response.is_progress_notify {
            Content::Progress
        } else {
            let events = response.events.unwrap_or_default().into_iter();
            Content::Events(events.map(event_of).collect::<Result<_, _>>()?)
        };
        responses.push(Response { at: response.time, revision: response.revision, content });
    }
    let RawWatchRequest { key, revision, with_prefix, with_prev_kv, with_progress_notify } = raw.request;
    let request = WatchCreateRequest {
        range_end: if with_prefix { end_of_prefix(&key) } else { Bytes::new() },
        key: bytes(&key),
        start_revision: revision,
        progress_notify: with_progress_notify,
        prev_kv: with_prev_kv,
        ..WatchCreateRequest::default()
    };
    Ok(WatchRecord { client, request, detail: Detail::Robustness, responses, end: End::Broken })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RawOperation {
    call: u64,
    #[serde(rename = "Return")]
    return_: u64,
    input: RawRequest,
    output: RawResponse,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RawRequest {
    #[serde(default)]
    r#type: String,
    range: Option<RawRange>,
    txn: Option<RawTxn>,
    lease_grant: Option<RawLease>,
    lease_revoke: Option<RawLease>,
    defragment: Option<serde_json::Value>,
    compact: Option<RawCompact>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct RawRange {
    start: String,
    end: String,
    limit: i64,
    revision: i64,
    keys_only: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RawTxn {
    conditions: Option<Vec<RawCondition>>,
    operations_on_success: Option<Vec<RawOp>>,
    operations_on_failure: Option<Vec<RawOp>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RawCondition {
    key: String,
    #[serde(default)]
    expected_revision: i64,
    #[serde(default)]
    expected_version: i64,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RawOp {
    r#type: String,
    #[serde(default)]
    range: RawRange,
    #[serde(default)]
    put: RawPut,
    #[serde(default)]
    delete: RawDelete,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct RawPut {
    key: String,
    value: RawValue,
    #[serde(rename = "LeaseID")]
    lease: i64,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct RawDelete {
    key: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct RawValue {
    value: String,
    hash: u32,
}

#[derive(Deserialize)]
struct RawLease {
    #[serde(rename = "LeaseID", default)]
    id: i64,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RawCompact {
    #[serde(default)]
    revision: i64,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RawResponse {
    #[serde(default)]
    revision: i64,
    #[serde(default)]
    error: String,
    #[serde(default)]
    client_error: String,
    #[serde(default)]
    persisted: bool,
    #[serde(default)]
    persisted_revision: i64,
    range: Option<RawRangeResult>,
    txn: Option<RawTxnResult>,
    lease_grant: Option<serde_json::Value>,
    lease_revoke: Option<serde_json::Value>,
    defragment: Option<serde_json::Value>,
    compact: Option<serde_json::Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RawRangeResult {
    #[serde(rename = "KVs")]
    kvs: Option<Vec<RawKv>>,
    #[serde(default)]
    count: i64,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RawTxnResult {
    #[serde(default)]
    failure: bool,
    results: Option<Vec<RawOpResult>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RawOpResult {
    #[serde(flatten)]
    range: RawRangeResult,
    #[serde(default)]
    deleted: i64,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct RawKv {
    key: String,
    value: RawValue,
    mod_revision: i64,
    version: i64,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RawWatch {
    request: RawWatchRequest,
    responses: Option<Vec<RawWatchResponse>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RawWatchRequest {
    key: String,
    #[serde(default)]
    revision: i64,
    #[serde(default)]
    with_prefix: bool,
    #[serde(rename = "WithPrevKV", default)]
    with_prev_kv: bool,
    #[serde(default)]
    with_progress_notify: bool,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct RawWatchResponse {
    events: Option<Vec<RawEvent>>,
    is_progress_notify: bool,
    revision: i64,
    time: u64,
    error: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct RawEvent {
    r#type: String,
    key: String,
    value: RawValue,
    revision: i64,
    is_create: bool,
    prev_value: Option<RawKv>,
}

fn request_of(raw: RawRequest) -> Result<Request, Unreadable> {
    Ok(if let Some(range) = raw.range {
        Request::Range(range_of(range))
    } else if let Some(txn) = raw.txn {
        let ops = |ops: Option<Vec<RawOp>>| -> Result<Vec<RequestOp>, Unreadable> {
            ops.into_iter().flatten().map(op_of).collect()
        };
        Request::Txn(TxnRequest {
            compare: txn.conditions.into_iter().flatten().map(condition_of).collect(),
            success: ops(txn.operations_on_success)?,
            failure: ops(txn.operations_on_failure)?,
        })
    } else if let Some(RawLease { id }) = raw.lease_grant {
        Request::LeaseGrant { id, ttl: 0 }
    } else if let Some(RawLease { id }) = raw.lease_revoke {
        Request::LeaseRevoke(id)
    } else if let Some(RawCompact { revision }) = raw.compact {
        Request::Compact(revision)
    } else if raw.defragment.is_some() {
        Request::Defragment
    } else {
        return Err(Unreadable::Request(raw.r#type));
    })
}

fn range_of(raw: RawRange) -> RangeRequest {
    RangeRequest {
        key: bytes(&raw.start),
        range_end: bytes(&raw.end),
        limit: raw.limit,
        revision: raw.revision,
        keys_only: raw.keys_only,
        ..RangeRequest::default()
    }
}

/// A condition is about the version if it names one, else about the revision.
fn condition_of(raw: RawCondition) -> Compare {
    let (target, union) = if raw.expected_version > 0 {
        (CompareTarget::Version, compare::TargetUnion::Version(raw.expected_version))
    } else {
        (CompareTarget::Mod, compare::TargetUnion::ModRevision(raw.expected_revision))
    };
    Compare {
        result: CompareResult::Equal as i32,
        target: target as i32,
        key: bytes(&raw.key),
        target_union: Some(union),
        range_end: Bytes::new(),
    }
}

fn op_of(raw: RawOp) -> Result<RequestOp, Unreadable> {
    let request = match &*raw.r#type {
        "put-operation" => {
            let RawPut { key, value, lease } = raw.put;
            let put = PutRequest { key: bytes(&key), value: value_of(&value), lease, ..PutRequest::default() };
            request_op::Request::RequestPut(put)
        }
        "delete-operation" => {
            let delete = DeleteRangeRequest { key: bytes(&raw.delete.key), ..DeleteRangeRequest::default() };
            request_op::Request::RequestDeleteRange(delete)
        }
        "range-operation" => request_op::Request::RequestRange(range_of(raw.range)),
        _ => return Err(Unreadable::Operation(raw.r#type)),
    };
    Ok(RequestOp { request: Some(request) })
}

fn seen_of(request: &Request, raw: RawResponse) -> Result<Seen, Unreadable> {
    if raw.persisted {
        return Ok(Seen::Executed((raw.persisted_revision > 0).then_some(raw.persisted_revision)));
    }
    if !raw.error.is_empty() {
        return Ok(Seen::Unknown);
    }
    if !raw.client_error.is_empty() {
        return Ok(Seen::Answer(Answer::refused(refusal_of(&raw.client_error)?), Detail::Robustness));
    }
    let reply = if let Some(range) = raw.range {
        range_result_of(range)
    } else if let Some(RawTxnResult { failure, results }) = raw.txn {
        let results = results.into_iter().flatten().enumerate();
        let replies = results.map(|(place, result)| result_of(request, failure, place, result)).collect();
        Reply::Txn { succeeded: !failure, replies }
    } else if raw.lease_grant.is_some() {
        Reply::LeaseGrant { id: 0, ttl: 0 }
    } else if raw.lease_revoke.is_some() {
        Reply::LeaseRevoke
    } else if raw.compact.is_some() {
        Reply::Compact
    } else if raw.defragment.is_some() {
        Reply::Defragment
    } else {
        return Err(Unreadable::Answer);
    };
    let revision = (raw.revision != -1).then_some(raw.revision);
    Ok(Seen::Answer(Answer { revision, result: Ok(reply) }, Detail::Robustness))
}

fn refusal_of(text: &str) -> Result<Refusal, Unreadable> {
    const ALL: [Refusal; 6] = [
        Refusal::Compacted,
        Refusal::FutureRevision,
        Refusal::KeyNotFound,
        Refusal::LeaseNotFound,
        Refusal::LeaseExists,
        Refusal::LeaseTtlTooLarge,
    ];
    let found = ALL.into_iter().find(|refusal| text.ends_with(&refusal.to_string()));
    found.ok_or_else(|| Unreadable::ClientError(text.to_owned()))
}

/// Which kind of answer it is follows from the operation; the report has one shape for all.
fn result_of(request: &Request, failure: bool, place: usize, raw: RawOpResult) -> Reply {
    let Request::Txn(txn) = request else { return Reply::Nothing };
    let branch = if failure { &txn.failure } else { &txn.success };
    match branch.get(place).and_then(|op| op.request.as_ref()) {
        Some(request_op::Request::RequestRange(_)) => range_result_of(raw.range),
        Some(request_op::Request::RequestPut(_)) => Reply::Put(PutResponse::default()),
        Some(request_op::Request::RequestDeleteRange(_)) => {
            Reply::DeleteRange(DeleteRangeResponse { deleted: raw.deleted, ..DeleteRangeResponse::default() })
        }
        Some(request_op::Request::RequestTxn(_)) | None => Reply::Nothing,
    }
}

fn range_result_of(raw: RawRangeResult) -> Reply {
    let kvs = raw.kvs.into_iter().flatten().map(kv_of).collect();
    Reply::Range(RangeResponse { kvs, count: raw.count, ..RangeResponse::default() })
}

fn kv_of(raw: RawKv) -> KeyValue {
    let RawKv { key, value, mod_revision, version } = raw;
    KeyValue { key: bytes(&key), value: value_of(&value), mod_revision, version, ..KeyValue::default() }
}

/// Of `create_revision` a report tells only whether it is the event's own revision.
fn event_of(raw: RawEvent) -> Result<Event, Unreadable> {
    let r#type = match &*raw.r#type {
        "put-operation" => EventType::Put,
        "delete-operation" => EventType::Delete,
        _ => return Err(Unreadable::Operation(raw.r#type)),
    };
    let kv = KeyValue {
        key: bytes(&raw.key),
        value: value_of(&raw.value),
        mod_revision: raw.revision,
        create_revision: if raw.is_create { raw.revision } else { 0 },
        ..KeyValue::default()
    };
    let prev_kv = raw.prev_value.map(|prev| KeyValue { key: bytes(&raw.key), ..kv_of(prev) });
    Ok(Event { r#type: r#type as i32, kv: Some(kv), prev_kv })
}

/// A hash is no value that anybody could have written as text.
fn value_of(raw: &RawValue) -> Bytes {
    match raw.hash {
        0 => bytes(&raw.value),
        hash => Bytes::from([&b"\0hash "[..], &hash.to_be_bytes()].concat()),
    }
}

/// The first key behind all that begin with `prefix`; a zero byte, which means no end, if there is none.
fn end_of_prefix(prefix: &str) -> Bytes {
    let mut end = prefix.as_bytes().to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return end.into();
        }
    }
    Bytes::from_static(b"\0")
}

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}
