//! The port for peers: calls from other members, and what etcd tells there to anybody.
//!
//! A call lasts as long as its connection. It is ended from here when its caller turns out to be removed.
//! Whatever comes that is no call of a peer gets an answer of HTTP, is told to people, and changes nothing.

use super::Shared;
use super::hello::{Hello, Refusal};
use super::snapshots::Gathering;
use super::wire::{self, Arrived, Batch, Chunk, WireError};
use crate::api::{Credentials, Request, Response};
use crate::member::Input;
use crate::pb::etcdserverpb::MemberListRequest;
use crate::pb::ids::MemberJson;
use crate::serve::http::{json, plain, version};
use crate::serve::promote::PROMOTE;
use crate::serve::rpc;
use crate::serve::tls::Acceptor;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;
use tonic::body::Body;
use tonic::codegen::http::{self, HeaderValue, StatusCode};
use tonic::server::Grpc;
use tonic::{Status, Streaming};
use tonic_prost::ProstCodec;
use tower::service_fn;

/// The call for messages.
pub(super) const MESSAGES: &str = "/seedbed.Peer/Messages";
/// The call for a snapshot.
pub(super) const SNAPSHOT: &str = "/seedbed.Peer/Snapshot";

/// The longest batch: one entry may be as long as a client's longest request.
const MAX_BATCH: usize = 128 << 20;
/// Bytes that a peer may send ahead of what was read.
const WINDOW: u32 = 8 << 20;
/// The longest frame of HTTP/2: a batch has few of them.
const FRAME: u32 = 1 << 20;
/// A pause after a connection could not be taken: the process may have run out of files.
const PAUSE: Duration = Duration::from_millis(100);

type Call = http::Request<Incoming>;
type Answer = http::Response<Body>;

/// Takes connections until `closed` is. Those that are open then end at once: peers dial again.
pub(in crate::serve) async fn run(
    (listener, tls): (TcpListener, Option<Acceptor>),
    shared: Arc<Shared>,
    mut closed: watch::Receiver<()>,
) {
    let (mut connections, tls) = (JoinSet::new(), tls.map(Arc::new));
    loop {
        let taken = tokio::select! {
            taken = listener.accept() => taken,
            Some(_) = connections.join_next() => continue,
            // Nothing is ever sent: this is the sender's end.
            _ = closed.changed() => return,
        };
        match taken {
            Ok((connection, from)) => drop(connections.spawn(take(connection, from, tls.clone(), shared.clone()))),
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

async fn take(connection: TcpStream, from: SocketAddr, tls: Option<Arc<Acceptor>>, shared: Arc<Shared>) {
    // An answer is not kept back for a larger packet.
    let _ = connection.set_nodelay(true);
    match tls {
        None => serve(connection, from, shared).await,
        Some(tls) => match tls.accept(connection).await {
            Ok((connection, _)) => serve(connection, from, shared).await,
            Err(error) => shared.notes.line("rejected", format!("rejected connection from {from}: {error}")),
        },
    }
}

async fn serve(
    connection: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    from: SocketAddr,
    shared: Arc<Shared>,
) {
    let answering = shared.clone();
    let service = hyper::service::service_fn(move |call: Call| {
        let shared = answering.clone();
        async move { Ok::<_, Infallible>(answer(&shared, call).await) }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http2().initial_stream_window_size(WINDOW).initial_connection_window_size(WINDOW).max_frame_size(FRAME);
    if let Err(error) = builder.serve_connection(TokioIo::new(connection), service).await
        && let Some(error) = garbage(&*error)
    {
        shared.notes.line("garbage", format!("{from} says what no peer says: {error}"));
    }
}

/// What was wrong with what was said, if that was it. (That a peer breaks off is no news.)
fn garbage(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    let error = error.downcast_ref::<hyper::Error>()?;
    let broke_off = error.is_incomplete_message() || error.is_canceled() || error.is_closed();
    let of_system = std::error::Error::source(error).is_some_and(|source| source.is::<std::io::Error>());
    (!broke_off && !of_system && (error.is_parse() || !error.is_user())).then(|| error.to_string())
}

async fn answer(shared: &Arc<Shared>, call: Call) -> Answer {
    match call.uri().path() {
        MESSAGES => messages(shared, call).await,
        SNAPSHOT => snapshot(shared, call).await,
        // A member that does not lead passes on what its client wants.
        PROMOTE => rpc::answer(&shared.handle, call).await,
        "/members" => members(shared).await,
        "/version" => version(),
        path => {
            shared.notes.line("path", format!("a call of {path} on the port for peers; clients have another port"));
            plain(StatusCode::NOT_FOUND, "404 page not found\n")
        }
    }
}

/// Who calls, if it may.
fn greet(shared: &Shared, call: &Call) -> Result<Hello, Status> {
    let read = Hello::read(call.headers());
    let checked = read.and_then(|hello| {
        hello.check(shared.cluster_id, shared.id)?;
        let is_removed = shared.removed.borrow().contains(&hello.from);
        if is_removed { Err(Refusal::Removed(hello.from)) } else { Ok(hello) }
    });
    match checked {
        Ok(hello) => {
            shared.handle.met(hello.from, hello.urls.clone());
            Ok(hello)
        }
        Err(refusal) => {
            let who = call.headers().get("x-server-from").and_then(|id| id.to_str().ok()).unwrap_or("somebody");
            shared.notes.line(&format!("refused {who}"), format!("a call from peer {who} is refused: {refusal}"));
            Err(refusal.status())
        }
    }
}

async fn messages(shared: &Arc<Shared>, call: Call) -> Answer {
    let (shared, hello) = match greet(shared, &call) {
        Ok(hello) => (shared.clone(), hello),
        Err(status) => return status.into_http(),
    };
    let service = service_fn(move |requests: tonic::Request<Streaming<Batch>>| {
        let (tell, told) = mpsc::channel::<Result<Arrived, Status>>(1);
        let (shared, hello) = (shared.clone(), hello.clone());
        tokio::spawn(async move {
            if let Err(status) = hear(&shared, &hello, requests.into_inner()).await {
                shared.notes.line(&format!("call {:x}", hello.from), format!("{hello}: {}", status.message()));
                // It may have gone.
                let _ = tell.send(Err(status)).await;
            }
        });
        async move { Ok::<_, Status>(tonic::Response::new(ReceiverStream::new(told))) }
    });
    Grpc::new(ProstCodec::<Arrived, Batch>::default())
        .max_decoding_message_size(MAX_BATCH)
        .streaming(service, call)
        .await
}

/// Hands messages to the member until the call ends, or its caller turns out to be removed.
async fn hear(shared: &Shared, hello: &Hello, mut batches: Streaming<Batch>) -> Result<(), Status> {
    let mut removed = shared.removed.subscribe();
    let is_removed = Refusal::Removed(hello.from);
    loop {
        let batch = tokio::select! {
            batch = batches.message() => batch,
            told = removed.wait_for(|removed| removed.contains(&hello.from)) => {
                drop(told);
                return Err(is_removed.status());
            }
        };
        match batch {
            Ok(Some(batch)) => {
                deliver(shared, hello, batch).map_err(|error| Status::invalid_argument(error.to_string()))?
            }
            Ok(None) => return Ok(()),
            // What is no batch, or too long, is the caller's fault; that it went away is not.
            Err(status) if matches!(status.code(), tonic::Code::OutOfRange | tonic::Code::Internal) => {
                return Err(status);
            }
            Err(_) => return Ok(()),
        }
    }
}

fn deliver(shared: &Shared, hello: &Hello, batch: Batch) -> Result<(), WireError> {
    for message in batch.messages {
        shared.handle.input(Input::Message(wire::read(message, hello.from, shared.id)?));
    }
    for ask in batch.asks {
        shared.handle.input(Input::Peer(hello.from, ask.try_into()?));
    }
    Ok(())
}

async fn snapshot(shared: &Arc<Shared>, call: Call) -> Answer {
    let (shared, hello) = match greet(shared, &call) {
        Ok(hello) => (shared.clone(), hello),
        Err(status) => return status.into_http(),
    };
    let service = service_fn(move |chunks: tonic::Request<Streaming<Chunk>>| {
        let (shared, hello) = (shared.clone(), hello.clone());
        async move {
            let mut chunks = chunks.into_inner();
            let mut gathering = Gathering::default();
            while let Some(chunk) = chunks.message().await? {
                gathering.take(chunk)?;
            }
            let message = wire::read(gathering.finish()?, hello.from, shared.id);
            let message = message.map_err(|error| Status::invalid_argument(error.to_string()))?;
            shared.handle.input(Input::Message(message));
            Ok::<_, Status>(tonic::Response::new(Arrived {}))
        }
    });
    Grpc::new(ProstCodec::<Arrived, Chunk>::default())
        .max_decoding_message_size(MAX_BATCH)
        .client_streaming(service, call)
        .await
}

/// Who the members are, as this one knows: whoever joins learns its id from it.
async fn members(shared: &Shared) -> Answer {
    let list = Request::MemberList(MemberListRequest { linearizable: false });
    let members = match shared.handle.ask(Credentials::None, list).await {
        Ok(Response::MemberList(list)) => list.members,
        _ => return plain(StatusCode::SERVICE_UNAVAILABLE, "the member stops\n"),
    };
    let members: Vec<MemberJson> = members
        .into_iter()
        .map(|member| MemberJson {
            id: member.id,
            peer_urls: member.peer_urls,
            is_learner: member.is_learner,
            name: member.name,
            client_urls: member.client_urls,
            is_promote: None,
        })
        .collect();
    let text = serde_json::to_string(&members).expect("invariant: members are plain data");
    let mut answer = json(text);
    let id = HeaderValue::try_from(format!("{:x}", shared.cluster_id)).expect("invariant: hexadecimal is a header");
    answer.headers_mut().insert("x-etcd-cluster-id", id);
    answer
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::driver::Handle;
    use crate::serve::peers::dial::Connection;
    use crate::serve::peers::notes::Notes;
    use hyper::body::Body as _;
    use std::future::poll_fn;
    use std::pin::Pin;
    use tonic::Code;
    use tonic::metadata::MetadataMap;
    use tower::Service as _;

    /// What a call for messages of cluster 1's member 3 is answered by its member 2.
    async fn said_to(hello: Hello, body: &str) -> Status {
        let (handle, _inputs) = Handle::to_nobody();
        let shared = Shared::new(1, 2, Vec::new(), handle, Arc::new(Notes::new("n2")));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("it is bound"));
        let (_closing, closed) = watch::channel(());
        tokio::spawn(run((listener, None), Arc::new(shared), closed));
        let mut connection = Connection::dial(&url, None).await.expect("it listens");
        let mut headers = MetadataMap::new();
        hello.write(&mut headers);
        let call = http::Request::post(format!("{url}{MESSAGES}")).body(Body::new(body.to_owned()));
        let mut call = call.expect("it is well formed");
        *call.headers_mut() = headers.into_headers();
        let mut answer = connection.call(call).await.expect("it is answered");
        if let Some(status) = Status::from_header_map(answer.headers()) {
            return status;
        }
        loop {
            let frame = poll_fn(|cx| Pin::new(answer.body_mut()).poll_frame(cx)).await;
            let frame = frame.expect("it ends with a status").expect("the connection stands");
            if let Some(status) = frame.trailers_ref().and_then(Status::from_header_map) {
                return status;
            }
        }
    }

    #[tokio::test]
    async fn what_is_too_long_or_no_message_ends_the_call_with_a_status_that_says_so() {
        let hello = Hello { cluster_id: 1, from: 3, to: 2, urls: vec!["http://localhost:1".to_owned()] };
        // A length of two gigabytes; a field that ends too early; an empty message of Raft.
        for (body, code, text) in [
            ("\0\x7f\x7f\x7f\x7f", Code::OutOfRange, "too large"),
            ("\0\0\0\0\x02\x0a\x05", Code::Internal, ""),
            ("\0\0\0\0\x02\x0a\0", Code::InvalidArgument, "a message from 0 to 0 on a call from 3"),
        ] {
            let status = said_to(hello.clone(), body).await;
            assert!(status.code() == code && status.message().contains(text), "{status:?}");
        }
        let astray = said_to(Hello { to: 9, ..hello }, "").await;
        assert_eq!(astray.code(), Code::NotFound);
    }
}
