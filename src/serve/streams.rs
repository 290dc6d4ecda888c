//! The calls with many answers: watches, and keepalives of leases.
//!
//! A watch stream announces to the member how many responses it has room for, and that room grows as the client takes
//! them: HTTP/2's flow control reaches through to the member's buffers, and a client that does not read costs what its
//! window holds, no more.

use super::driver::Handle;
use super::status::{credentials, status};
use crate::api::{Request, Response};
use crate::member::StreamInput;
use crate::mvcc::watch::StreamId;
use crate::pb::etcdserverpb::{LeaseKeepAliveRequest, LeaseKeepAliveResponse, WatchRequest, WatchResponse};
use hyper::body::{Body as HttpBody, Bytes};
use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::sync::mpsc::{self, UnboundedReceiver};
use tokio::sync::oneshot;
use tokio_stream::{Stream, StreamExt as _};
use tonic::body::Body;
use tonic::codegen::http;
use tonic::server::Grpc;
use tonic::{Status, Streaming};
use tonic_prost::ProstCodec;
use tower::service_fn;

/// Responses that a stream takes ahead of its client.
const WINDOW: usize = 64;

/// A body of what a client says.
pub(super) trait Said: HttpBody<Data = Bytes, Error: Into<BoxError> + Send> + Send + Unpin + 'static {}

impl<B: HttpBody<Data = Bytes, Error: Into<BoxError> + Send> + Send + Unpin + 'static> Said for B {}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Answers a watch stream.
pub(super) async fn watch(handle: &Handle, call: http::Request<impl Said>) -> http::Response<Body> {
    let (who, handle) = (credentials(&call), handle.clone());
    let service = service_fn(move |requests: tonic::Request<Streaming<WatchRequest>>| {
        let (told, hear) = mpsc::unbounded_channel();
        let stream = handle.open(who.clone(), told);
        handle.say(stream, StreamInput::Room(WINDOW));
        let requests = Some(requests.into_inner());
        let responses = Responses { handle: handle.clone(), stream, requests, unheard: None, hear, taken: 0 };
        async move { Ok::<_, Status>(tonic::Response::new(responses)) }
    });
    let codec = ProstCodec::<WatchResponse, WatchRequest>::default();
    Grpc::new(codec).max_decoding_message_size(usize::MAX).streaming(service, call).await
}

/// What a client hears. Dropped when the client is gone.
///
/// It is here, too, that the client's requests are read: one that does not take its answers is not asked what else it
/// wants.
struct Responses {
    handle: Handle,
    stream: StreamId,
    /// What the client says. Its end is the stream's.
    requests: Option<Streaming<WatchRequest>>,
    /// What was handed on last, until the member has heard it.
    unheard: Option<oneshot::Receiver<()>>,
    hear: UnboundedReceiver<WatchResponse>,
    /// Responses taken for which no room was announced yet.
    taken: usize,
}

impl Responses {
    /// Ready when the member has heard everything that was handed on.
    fn poll_heard(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(unheard) = &mut self.unheard {
            // A member that has stopped hears nothing more; the stream ends by that.
            let _ = ready!(Pin::new(unheard).poll(cx));
            self.unheard = None;
        }
        Poll::Ready(())
    }

    /// Hands on what the client says, one thing after the other, unless too many answers wait for it.
    fn poll_requests(&mut self, cx: &mut Context<'_>) {
        while self.hear.len() < 2 * WINDOW && self.poll_heard(cx).is_ready() {
            let Some(requests) = &mut self.requests else { return };
            let Poll::Ready(request) = Pin::new(requests).poll_next(cx) else { return };
            match request {
                Some(Ok(request)) => self.unheard = Some(self.handle.pass_on(self.stream, request)),
                _ => {
                    self.requests = None;
                    self.handle.say(self.stream, StreamInput::Closed);
                }
            }
        }
    }
}

impl Stream for Responses {
    type Item = Result<WatchResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_requests(cx);
        let Some(response) = ready!(self.hear.poll_recv(cx)) else { return Poll::Ready(None) };
        // Answers to create and cancel came without room; of the parts of a response the last one counts.
        let asked_for = response.created || response.canceled && response.compact_revision == 0;
        if !asked_for && !response.fragment {
            self.taken += 1;
            if self.taken * 2 >= WINDOW {
                self.handle.say(self.stream, StreamInput::Room(self.taken));
                self.taken = 0;
            }
        }
        Poll::Ready(Some(Ok(response)))
    }
}

impl Drop for Responses {
    fn drop(&mut self) {
        self.handle.say(self.stream, StreamInput::Closed);
    }
}

/// Answers a stream of keepalives, one after the other. A lease that is not there has no time to live; whatever else goes
/// wrong ends the stream, as etcd does.
pub(super) async fn keep_alive(handle: &Handle, call: http::Request<impl Said>) -> http::Response<Body> {
    let (who, handle) = (credentials(&call), handle.clone());
    let service = service_fn(move |requests: tonic::Request<Streaming<LeaseKeepAliveRequest>>| {
        let (handle, who) = (handle.clone(), who.clone());
        let answers = requests.into_inner().then(move |request| {
            let (handle, who) = (handle.clone(), who.clone());
            async move {
                match handle.ask(who, Request::LeaseKeepAlive(request?)).await {
                    Ok(Response::LeaseKeepAlive(response)) => Ok(response),
                    Ok(other) => panic!("invariant: a keepalive is answered by one, not by {other:?}"),
                    Err(error) => Err(status(&error)),
                }
            }
        });
        async move { Ok::<_, Status>(tonic::Response::new(answers)) }
    });
    let codec = ProstCodec::<LeaseKeepAliveResponse, LeaseKeepAliveRequest>::default();
    Grpc::new(codec).max_decoding_message_size(usize::MAX).streaming(service, call).await
}
