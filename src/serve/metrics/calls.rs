//! What clients call: how often, with which outcome, and how many bytes of messages pass.
//!
//! A call's two bodies are looked through as they pass. A body of gRPC is messages, each behind a head of five bytes
//! (whether it is compressed, and its length); how a call ended stands in the trailers behind the last, or in the headers if
//! there is no message at all. So whatever answers a call is counted without knowing of it.

use super::kinds::Counter;
use super::page::Page;
use hyper::body::{Body, Bytes, Frame, SizeHint};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tonic::codegen::http::{HeaderMap, Request, Response};

/// etcd's calls in the order of their paths, each with its type.
const METHODS: &[(&str, &str)] = &[
    ("/etcdserverpb.Auth/AuthDisable", UNARY),
    ("/etcdserverpb.Auth/AuthEnable", UNARY),
    ("/etcdserverpb.Auth/Authenticate", UNARY),
    ("/etcdserverpb.Auth/RoleAdd", UNARY),
    ("/etcdserverpb.Auth/RoleDelete", UNARY),
    ("/etcdserverpb.Auth/RoleGet", UNARY),
    ("/etcdserverpb.Auth/RoleGrantPermission", UNARY),
    ("/etcdserverpb.Auth/RoleList", UNARY),
    ("/etcdserverpb.Auth/RoleRevokePermission", UNARY),
    ("/etcdserverpb.Auth/UserAdd", UNARY),
    ("/etcdserverpb.Auth/UserChangePassword", UNARY),
    ("/etcdserverpb.Auth/UserDelete", UNARY),
    ("/etcdserverpb.Auth/UserGet", UNARY),
    ("/etcdserverpb.Auth/UserGrantRole", UNARY),
    ("/etcdserverpb.Auth/UserList", UNARY),
    ("/etcdserverpb.Auth/UserRevokeRole", UNARY),
    ("/etcdserverpb.Cluster/MemberAdd", UNARY),
    ("/etcdserverpb.Cluster/MemberList", UNARY),
    ("/etcdserverpb.Cluster/MemberPromote", UNARY),
    ("/etcdserverpb.Cluster/MemberRemove", UNARY),
    ("/etcdserverpb.Cluster/MemberUpdate", UNARY),
    ("/etcdserverpb.KV/Compact", UNARY),
    ("/etcdserverpb.KV/DeleteRange", UNARY),
    ("/etcdserverpb.KV/Put", UNARY),
    ("/etcdserverpb.KV/Range", UNARY),
    ("/etcdserverpb.KV/Txn", UNARY),
    ("/etcdserverpb.Lease/LeaseGrant", UNARY),
    ("/etcdserverpb.Lease/LeaseKeepAlive", BIDI),
    ("/etcdserverpb.Lease/LeaseLeases", UNARY),
    ("/etcdserverpb.Lease/LeaseRevoke", UNARY),
    ("/etcdserverpb.Lease/LeaseTimeToLive", UNARY),
    ("/etcdserverpb.Maintenance/Alarm", UNARY),
    ("/etcdserverpb.Maintenance/Defragment", UNARY),
    ("/etcdserverpb.Maintenance/Hash", UNARY),
    ("/etcdserverpb.Maintenance/HashKV", UNARY),
    ("/etcdserverpb.Maintenance/MoveLeader", UNARY),
    ("/etcdserverpb.Maintenance/Snapshot", SERVER),
    ("/etcdserverpb.Maintenance/Status", UNARY),
    ("/etcdserverpb.Watch/Watch", BIDI),
    ("/grpc.health.v1.Health/Check", UNARY),
    ("/grpc.health.v1.Health/Watch", SERVER),
    ("/v3electionpb.Election/Campaign", UNARY),
    ("/v3electionpb.Election/Leader", UNARY),
    ("/v3electionpb.Election/Observe", SERVER),
    ("/v3electionpb.Election/Proclaim", UNARY),
    ("/v3electionpb.Election/Resign", UNARY),
    ("/v3lockpb.Lock/Lock", UNARY),
    ("/v3lockpb.Lock/Unlock", UNARY),
];

const UNARY: &str = "unary";
const SERVER: &str = "server_stream";
const BIDI: &str = "bidi_stream";

/// gRPC's outcomes, by number.
const CODES: [&str; 17] = [
    "OK",
    "Canceled",
    "Unknown",
    "InvalidArgument",
    "DeadlineExceeded",
    "NotFound",
    "AlreadyExists",
    "PermissionDenied",
    "ResourceExhausted",
    "FailedPrecondition",
    "Aborted",
    "OutOfRange",
    "Unimplemented",
    "Internal",
    "Unavailable",
    "DataLoss",
    "Unauthenticated",
];

const CANCELED: usize = 1;
const UNKNOWN: usize = 2;

/// Versions of the API that clients say they speak. A client may say anything, and a metric must not grow by that: other
/// words count as the last.
const VERSIONS: [&str; 8] = ["3.0", "3.1", "3.2", "3.3", "3.4", "3.5", "3.6", "unknown"];

/// What is counted of all calls.
#[derive(Debug, Default)]
pub(in crate::serve) struct Calls(Arc<Counts>);

#[derive(Debug)]
struct Counts {
    methods: Box<[Method]>,
    received_bytes: Counter,
    sent_bytes: Counter,
    /// By version: calls with one answer, and streams.
    requests: [[Counter; 2]; VERSIONS.len()],
}

impl Default for Counts {
    fn default() -> Counts {
        let methods = METHODS.iter().map(|_| Method::default()).collect();
        Counts {
            methods,
            received_bytes: Counter::default(),
            sent_bytes: Counter::default(),
            requests: Default::default(),
        }
    }
}

#[derive(Debug, Default)]
struct Method {
    started: Counter,
    received: Counter,
    sent: Counter,
    /// By outcome.
    handled: [Counter; CODES.len()],
}

/// A call that is under way; `None`: one that is not etcd's.
pub(in crate::serve) struct Call(Option<(Arc<Counts>, usize)>);

impl Calls {
    /// A request came.
    pub(in crate::serve) fn begin<B>(&self, request: Request<B>) -> (Request<Received<B>>, Call) {
        let method = METHODS.binary_search_by_key(&request.uri().path(), |(path, _)| path).ok();
        if let Some(method) = method {
            self.0.methods[method].started.add(1);
            let version = request.headers().get("client-api-version").and_then(|version| version.to_str().ok());
            let version = VERSIONS.iter().position(|known| Some(*known) == version).unwrap_or(VERSIONS.len() - 1);
            self.0.requests[version][usize::from(METHODS[method].1 != UNARY)].add(1);
        }
        let counted = || method.map(|method| (self.0.clone(), method));
        (request.map(|body| Received { body, counted: counted(), messages: Messages::default() }), Call(counted()))
    }

    pub(super) fn write(&self, page: &mut Page) {
        let counts = &*self.0;
        page.counter("etcd_network_client_grpc_received_bytes_total", &counts.received_bytes);
        page.counter("etcd_network_client_grpc_sent_bytes_total", &counts.sent_bytes);
        let mut requests = Vec::new();
        for (version, counters) in VERSIONS.iter().zip(&counts.requests) {
            for (kind, counter) in [("stream", &counters[1]), ("unary", &counters[0])] {
                if counter.value() > 0 {
                    let labels = format!("client_api_version=\"{version}\",type=\"{kind}\"");
                    requests.push((labels, counter.value() as f64));
                }
            }
        }
        page.write("etcd_server_client_requests_total", "counter", requests);
        counts.write_methods(page, "grpc_server_started_total", |method| &method.started);
        counts.write_methods(page, "grpc_server_msg_received_total", |method| &method.received);
        counts.write_methods(page, "grpc_server_msg_sent_total", |method| &method.sent);
        let mut handled = Vec::new();
        for (number, method) in counts.methods.iter().enumerate() {
            for (code, counter) in CODES.iter().zip(&method.handled) {
                let labels = format!("grpc_code=\"{code}\",{}", labels(number));
                handled.push((labels, counter.value() as f64));
            }
        }
        page.write("grpc_server_handled_total", "counter", handled);
    }
}

impl Counts {
    fn write_methods(&self, page: &mut Page, name: &'static str, counter: impl Fn(&Method) -> &Counter) {
        let values = self.methods.iter().enumerate();
        page.write(name, "counter", values.map(|(n, method)| (labels(n), counter(method).value() as f64)));
    }
}

fn labels(method: usize) -> String {
    let (path, kind) = METHODS[method];
    let (service, method) = path[1..].split_once('/').expect("invariant: the table has paths");
    format!("grpc_method=\"{method}\",grpc_service=\"{service}\",grpc_type=\"{kind}\"")
}

impl Call {
    /// An answer begins.
    pub(in crate::serve) fn answered<B>(self, response: Response<B>) -> Response<Sent<B>> {
        let outcome = outcome(response.headers());
        response.map(|body| Sent { body, counted: self.0, messages: Messages::default(), outcome })
    }
}

/// What a client says, counted.
pub(in crate::serve) struct Received<B> {
    body: B,
    counted: Option<(Arc<Counts>, usize)>,
    messages: Messages,
}

impl<B: Body<Data = Bytes> + Unpin> Body for Received<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        let Received { counted, messages, .. } = &mut *self;
        if let (Some(Ok(frame)), Some((counts, method))) = (&frame, counted)
            && let Some(data) = frame.data_ref()
        {
            let (number, bytes) = messages.pass(data);
            counts.methods[*method].received.add(number);
            counts.received_bytes.add(bytes);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// What it is answered, counted. Dropped before its end it was cancelled.
pub(in crate::serve) struct Sent<B> {
    body: B,
    counted: Option<(Arc<Counts>, usize)>,
    messages: Messages,
    outcome: Option<usize>,
}

impl<B: Body<Data = Bytes> + Unpin> Body for Sent<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        let Sent { counted, messages, outcome: ended, .. } = &mut *self;
        if let (Some(Ok(frame)), Some((counts, method))) = (&frame, counted) {
            if let Some(data) = frame.data_ref() {
                let (number, bytes) = messages.pass(data);
                counts.methods[*method].sent.add(number);
                counts.sent_bytes.add(bytes);
            } else if let Some(trailers) = frame.trailers_ref() {
                *ended = outcome(trailers);
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<B> Drop for Sent<B> {
    fn drop(&mut self) {
        if let Some((counts, method)) = &self.counted {
            counts.methods[*method].handled[self.outcome.unwrap_or(CANCELED)].add(1);
        }
    }
}

/// How a call ended, if these headers say so.
fn outcome(headers: &HeaderMap) -> Option<usize> {
    let code = headers.get("grpc-status")?.to_str().ok().and_then(|code| code.parse().ok());
    Some(code.filter(|code| *code < CODES.len()).unwrap_or(UNKNOWN))
}

/// Where in a body's messages it stands.
#[derive(Debug, Default)]
struct Messages {
    /// The head that is being read, and how much of it there is.
    head: [u8; 5],
    known: usize,
    /// What is left of a message.
    left: usize,
}

impl Messages {
    /// More of the body. Returns how many messages began, and the bytes of messages.
    fn pass(&mut self, mut data: &[u8]) -> (u64, u64) {
        let (mut number, mut bytes) = (0, 0);
        while !data.is_empty() {
            if self.left > 0 {
                let part = self.left.min(data.len());
                data = &data[part..];
                self.left -= part;
                bytes += part as u64;
                continue;
            }
            let part = (self.head.len() - self.known).min(data.len());
            self.head[self.known..self.known + part].copy_from_slice(&data[..part]);
            data = &data[part..];
            self.known += part;
            if self.known == self.head.len() {
                let [_, length @ ..] = self.head;
                self.left = u32::from_be_bytes(length) as usize;
                self.known = 0;
                number += 1;
            }
        }
        (number, bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_counted_however_the_body_is_cut() {
        let body = [&[0, 0, 0, 0, 3][..], b"abc", &[0, 0, 0, 0, 0], &[1, 0, 0, 1, 0], &[7; 256]].concat();
        for size in 1..=body.len() {
            let mut messages = Messages::default();
            let passed = body.chunks(size).map(|part| messages.pass(part));
            let sum = passed.fold((0, 0), |sum, (number, bytes)| (sum.0 + number, sum.1 + bytes));
            assert_eq!(sum, (3, 259), "in pieces of {size}");
        }
    }

    #[test]
    fn the_table_is_in_order() {
        assert!(METHODS.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }
}
