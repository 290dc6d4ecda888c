//! The JSON gateway: etcd's calls for those who have no gRPC.
//!
//! ```text
//!   POST /v3/kv/range {"key":"YQ=="}  ──▶ routes: the call, its messages
//!                                          │ transcode: JSON to protobuf
//!                                          ▼
//!                              the call, as a client of gRPC would make it ──▶ http::grpc
//!                                          │ transcode: protobuf to JSON
//!   {"header":{…},"kvs":[…]}  ◀────────────┘
//! ```
//!
//! As in etcd it is a client of the server that it is part of: whatever answers a call answers it here too, and it is
//! counted, checked and refused alike. What a stream answers comes as lines, `{"result":…}`. A client that has a token sends
//! it in `Authorization`.
//!
//! # Left out
//! A client cannot go on talking while it listens: its body is read before anything is answered. Trailers are not
//! announced.

mod json;
mod messages;
mod routes;
mod transcode;

use super::driver::Handle;
use super::http::{grpc, plain};
use super::metrics::Sent;
use super::streams::Said;
use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use hyper::body::{Body as HttpBody, Frame};
use json::{Reader, quote};
use routes::{Route, Says};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::{Future as _, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use tokio::sync::oneshot;
use tonic::body::Body;
use tonic::codegen::http::{self, HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use tonic::{Code, Status};

/// What a request may be longer as text than as bytes: a third for base64, and names.
const TEXT: usize = 2;

/// Whether a path is the gateway's.
pub(super) fn has(path: &str) -> bool {
    path.starts_with("/v3/") || path.starts_with("/v3beta/")
}

/// Answers a call.
pub(super) async fn answer(handle: &Handle, call: http::Request<impl Said>) -> http::Response<Body> {
    let Some(route) = routes::find(call.uri().path()) else {
        return plain(StatusCode::NOT_FOUND, "Not Found\n");
    };
    if call.method() != Method::POST {
        return plain(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed\n");
    }
    let headers = headers(call.headers());
    let said = match read(call.into_body(), TEXT * handle.max_message).await.and_then(|text| messages(route, &text)) {
        Ok(said) => said,
        Err(status) => return refused(&status),
    };
    let (heard, hears) = oneshot::channel();
    let listens = (route.says == Says::ManyAndListens).then_some(hears);
    let mut request = http::Request::new(Messages { said, listens });
    *request.method_mut() = Method::POST;
    *request.uri_mut() = http::Uri::from_static(route.call);
    *request.version_mut() = http::Version::HTTP_2;
    *request.headers_mut() = headers;
    let (request, counted) = handle.metrics.calls.begin(request);
    let response = counted.answered(grpc(handle, request).await);
    let mut results = Results::of(route, response, heard);
    match poll_fn(|cx| results.poll_next(cx)).await {
        Some(Err(status)) if route.streams => json(http_status(status.code()), Body::new(stream_error(&status))),
        Some(Err(status)) => refused(&status),
        first => {
            results.ahead = first.and_then(Result::ok);
            // One answer is whole already: its length can be said.
            let body = if route.streams { Body::new(results) } else { Body::new(results.ahead.unwrap_or_default()) };
            let mut answer = json(StatusCode::OK, body);
            let name = HeaderName::from_static("grpc-metadata-content-type");
            answer.headers_mut().insert(name, HeaderValue::from_static("application/grpc"));
            answer
        }
    }
}

/// The call's headers: who asks, and what else a client wants to have said in gRPC.
fn headers(said: &HeaderMap) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in said {
        let passes = name.as_str().strip_prefix("grpc-metadata-");
        if let Some(Ok(name)) = passes.map(|name| HeaderName::from_bytes(name.as_bytes())) {
            headers.append(name, value.clone());
        }
    }
    if let Some(token) = said.get(header::AUTHORIZATION) {
        headers.insert(header::AUTHORIZATION, token.clone());
    }
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(header::TE, HeaderValue::from_static("trailers"));
    headers
}

async fn read(body: impl Said, max: usize) -> Result<Vec<u8>, Status> {
    let mut body = pin!(body);
    let mut text = Vec::new();
    while let Some(frame) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        let frame = frame.map_err(|error| Status::invalid_argument(error.into().to_string()))?;
        if let Ok(data) = frame.into_data() {
            if text.len() + data.len() > max {
                return Err(Status::invalid_argument("etcdserver: request is too large"));
            }
            text.extend_from_slice(&data);
        }
    }
    Ok(text)
}

/// What the body says, framed as gRPC has it.
fn messages(route: &Route, text: &[u8]) -> Result<VecDeque<Bytes>, Status> {
    let mut reader = Reader::new(text);
    let mut next = || {
        let value = reader.next()?;
        value.map(|value| transcode::to_wire(route.request, &value)).transpose()
    };
    if route.says == Says::One {
        let wire = next().map_err(Status::invalid_argument)?;
        return Ok([framed(&wire.unwrap_or_default())].into());
    }
    let mut messages = VecDeque::new();
    loop {
        match next() {
            Ok(Some(wire)) => messages.push_back(framed(&wire)),
            Ok(None) => break,
            // What came before it is said all the same.
            Err(error) if messages.is_empty() => return Err(Status::unknown(error)),
            Err(_) => break,
        }
    }
    Ok(messages)
}

fn framed(wire: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(HEAD + wire.len());
    frame.put_u8(0);
    frame.put_u32(wire.len() as u32);
    frame.put_slice(wire);
    frame.freeze()
}

/// Before each message of gRPC: whether it is compressed, and its length.
const HEAD: usize = 5;

/// What a call says.
struct Messages {
    said: VecDeque<Bytes>,
    /// It does not end when all is said, but when nobody hears the results any more.
    listens: Option<oneshot::Receiver<()>>,
}

impl HttpBody for Messages {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = self.said.pop_front();
        if next.is_none()
            && let Some(hears) = &mut self.listens
        {
            // Nothing is ever sent: this is the sender's end.
            let _ = ready!(Pin::new(hears).poll(cx));
            self.listens = None;
        }
        Poll::Ready(next.map(|bytes| Ok(Frame::data(bytes))))
    }
}

/// What a call is answered, as JSON.
struct Results {
    route: &'static Route,
    body: Sent<Body>,
    /// Bytes of a message that is not whole.
    buffer: BytesMut,
    /// The call has ended, so.
    ended: Option<Status>,
    /// To be said before anything else.
    ahead: Option<String>,
    /// Its end tells the call that nobody listens.
    _heard: oneshot::Sender<()>,
}

impl Results {
    fn of(route: &'static Route, response: http::Response<Sent<Body>>, heard: oneshot::Sender<()>) -> Results {
        let ended = Status::from_header_map(response.headers());
        Results { route, body: response.into_body(), buffer: BytesMut::new(), ended, ahead: None, _heard: heard }
    }

    /// The next message; an error once, when the call ends by one.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<String, Status>>> {
        loop {
            if let Some(message) = self.take() {
                return Poll::Ready(Some(message));
            }
            if let Some(ended) = &mut self.ended {
                let ended = std::mem::replace(ended, Status::ok(""));
                return Poll::Ready((ended.code() != Code::Ok).then_some(Err(ended)));
            }
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                None => self.ended = Some(Status::ok("")),
                Some(Err(status)) => self.ended = Some(status),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.buffer.extend_from_slice(&data),
                    Err(frame) => self.ended = frame.trailers_ref().and_then(Status::from_header_map),
                },
            }
        }
    }

    /// A message that is whole.
    fn take(&mut self) -> Option<Result<String, Status>> {
        let length = self.buffer.get(1..HEAD)?.try_into().expect("invariant: four bytes");
        let length = u32::from_be_bytes(length) as usize;
        if self.buffer.len() < HEAD + length {
            return None;
        }
        self.buffer.advance(HEAD);
        let wire = self.buffer.split_to(length);
        let mut text = String::new();
        if self.route.streams {
            text.push_str("{\"result\":");
        }
        if transcode::to_json(self.route.response, &wire, &mut text).is_none() {
            return Some(Err(Status::internal("an answer that is no message")));
        }
        if self.route.streams {
            text.push_str("}\n");
        }
        Some(Ok(text))
    }
}

impl HttpBody for Results {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(ahead) = self.ahead.take() {
            return Poll::Ready(Some(Ok(Frame::data(ahead.into()))));
        }
        let next = ready!(self.poll_next(cx));
        let text = next.map(|result| result.unwrap_or_else(|status| stream_error(&status)));
        Poll::Ready(text.map(|text| Ok(Frame::data(text.into()))))
    }
}

fn refused(status: &Status) -> http::Response<Body> {
    let mut message = String::new();
    quote(status.message(), &mut message);
    let text = format!("{{\"error\":{message},\"message\":{message},\"code\":{}}}", status.code() as i32);
    json(http_status(status.code()), Body::new(text))
}

/// How a stream's end is told that was no good one.
fn stream_error(status: &Status) -> String {
    let http = http_status(status.code());
    let (code, reason) = (http.as_u16(), http.canonical_reason().unwrap_or_default());
    let mut message = String::new();
    quote(status.message(), &mut message);
    let grpc = status.code() as i32;
    format!(
        "{{\"error\":{{\"grpc_code\":{grpc},\"http_code\":{code},\"message\":{message},\"http_status\":\"{reason}\"}}}}"
    )
}

fn json(status: StatusCode, body: Body) -> http::Response<Body> {
    let mut answer = http::Response::new(body);
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

/// HTTP's status for one of gRPC, as etcd's gateway has it.
fn http_status(code: Code) -> StatusCode {
    match code {
        Code::Ok => StatusCode::OK,
        Code::Cancelled => StatusCode::REQUEST_TIMEOUT,
        Code::InvalidArgument | Code::OutOfRange => StatusCode::BAD_REQUEST,
        Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::AlreadyExists | Code::Aborted => StatusCode::CONFLICT,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        Code::FailedPrecondition => StatusCode::PRECONDITION_FAILED,
        Code::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::Unknown | Code::Internal | Code::DataLoss => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
