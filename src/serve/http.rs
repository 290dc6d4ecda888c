//! Connections: HTTP/2 for gRPC and HTTP/1 for curl on one port, as etcd has them.

use super::authority::Tolerant;
use super::driver::Handle;
use super::limit::Limited;
use super::metrics::{Received, Sent};
use super::status::CommonName;
use super::streams::Said;
use super::tls::Acceptor;
use super::{gateway, promote, services, streams};
use crate::api::{Credentials, Request, Response};
use crate::member::VERSION;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tonic::body::Body;
use tonic::codegen::http::{self, HeaderName, HeaderValue, Method, StatusCode, header};

type Call = http::Request<Received<Incoming>>;
type Answer = http::Response<Body>;

/// How long those who are being answered at the end may take.
const FAREWELL: Duration = Duration::from_secs(2);

/// Bytes that a stream keeps for a client that does not take them: as many as etcd's.
const SEND_BUFFER: usize = 64 << 10;

/// How long a connection may be silent before it is asked whether anybody is there, and how long it may take to say so:
/// as etcd has it.
const ARE_YOU_THERE: Duration = Duration::from_secs(2 * 3600);
const GONE: Duration = Duration::from_secs(20);

/// A pause after a connection could not be taken: the process may have run out of files.
const PAUSE: Duration = Duration::from_millis(100);

/// Takes connections until `closed` is, as many at a time as `room` has permits; whoever comes then waits.
pub(super) async fn run(
    (listener, tls): (TcpListener, Option<Acceptor>),
    handle: Handle,
    room: Arc<Semaphore>,
    mut closed: watch::Receiver<()>,
) {
    let (graceful, tls) = (GracefulShutdown::new(), tls.map(Arc::new));
    let accept = async || {
        let permit = room.clone().acquire_owned().await.expect("invariant: it is never closed");
        (listener.accept().await, permit)
    };
    loop {
        let (taken, permit) = tokio::select! {
            taken = accept() => taken,
            // Nothing is ever sent: this is the sender's end.
            _ = closed.changed() => break,
        };
        let Ok((connection, from)) = taken else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        // A small answer is not kept back for a larger one.
        let _ = connection.set_nodelay(true);
        let (handle, watcher) = (handle.clone(), graceful.watcher());
        match tls.clone() {
            None => drop(tokio::spawn(serve(connection, None, permit, handle, watcher))),
            Some(tls) => drop(tokio::spawn(async move {
                match tls.accept(connection).await {
                    Ok((connection, name)) => serve(connection, name.map(CommonName), permit, handle, watcher).await,
                    Err(error) => tracing::warn!("rejected connection from {from}: {error}"),
                }
            })),
        }
    }
    let _ = tokio::time::timeout(FAREWELL, graceful.shutdown()).await;
}

async fn serve(
    connection: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    name: Option<CommonName>,
    _permit: OwnedSemaphorePermit,
    handle: Handle,
    watcher: Watcher,
) {
    let service = hyper::service::service_fn(move |mut call: http::Request<Incoming>| {
        if let Some(name) = &name {
            call.extensions_mut().insert(name.clone());
        }
        let handle = handle.clone();
        async move { Ok::<_, Infallible>(counted(&handle, call).await) }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    // As many streams as etcd takes: an API server has one for each of its watches, all on one connection.
    builder
        .http2()
        .max_concurrent_streams(u32::MAX)
        .max_send_buf_size(SEND_BUFFER)
        .timer(TokioTimer::new())
        .keep_alive_interval(ARE_YOU_THERE)
        .keep_alive_timeout(GONE);
    let connection = builder.serve_connection(TokioIo::new(Tolerant::new(connection)), service).into_owned();
    // A client that breaks off is no concern of ours.
    let _ = watcher.watch(connection).await;
}

async fn counted(handle: &Handle, call: http::Request<Incoming>) -> http::Response<Sent<Body>> {
    let (call, counted) = handle.metrics.calls.begin(call);
    counted.answered(answer(handle, call).await)
}

async fn answer(handle: &Handle, call: Call) -> Answer {
    let is_grpc =
        call.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"));
    if is_grpc {
        return grpc(handle, call).await;
    }
    let mut answer = match call.uri().path() {
        // A browser asks first whether it may.
        _ if call.method() == Method::OPTIONS => Answer::new(Body::empty()),
        "/health" => Box::pin(health(handle, call.uri().query().unwrap_or_default())).await,
        "/version" => version(),
        "/metrics" => Box::pin(metrics(handle)).await,
        path if gateway::has(path) => Box::pin(gateway::answer(handle, call)).await,
        _ => plain(StatusCode::NOT_FOUND, "404 page not found\n"),
    };
    for (name, value) in ALLOWED {
        answer.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    answer
}

/// Answers a call of gRPC.
pub(super) async fn grpc(handle: &Handle, call: http::Request<impl Said>) -> Answer {
    let call = call.map(|body| Limited::new(body, handle.max_message));
    // Boxed, since a call's task is moved several times before it runs, and these are kilobytes.
    match call.uri().path() {
        "/etcdserverpb.Watch/Watch" => Box::pin(streams::watch(handle, call)).await,
        "/etcdserverpb.Lease/LeaseKeepAlive" => Box::pin(streams::keep_alive(handle, call)).await,
        promote::PROMOTE => Box::pin(promote::answer(handle, call)).await,
        _ => Box::pin(services::answer(handle, call)).await,
    }
}

/// What pages from elsewhere may do, as etcd lets them.
const ALLOWED: [(HeaderName, &str); 3] = [
    (header::ACCESS_CONTROL_ALLOW_HEADERS, "accept, content-type, authorization"),
    (header::ACCESS_CONTROL_ALLOW_METHODS, "POST, GET, OPTIONS, PUT, DELETE"),
    (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
];

/// The versions of this member and of its cluster.
pub(super) fn version() -> Answer {
    json(format!("{{\"etcdserver\":\"{VERSION}\",\"etcdcluster\":\"{}\"}}", cluster_version()))
}

/// The version that all members of the cluster can speak: that of the minor release.
fn cluster_version() -> String {
    let minor = VERSION.rsplit_once('.').map_or(VERSION, |(minor, _)| minor);
    format!("{minor}.0")
}

/// Healthy is who can answer a linearizable read and has no alarm raised, but for those that the query excludes.
async fn health(handle: &Handle, query: &str) -> Answer {
    let read = Request::Range(crate::pb::etcdserverpb::RangeRequest { key: "health".into(), ..Default::default() });
    let read = handle.ask(Credentials::None, read).await;
    let refused_by_auth = matches!(read, Err(crate::api::Error::Auth(_)));
    let status = handle.ask(Credentials::None, Request::Status).await;
    let excluded: Vec<String> = query.split('&').filter_map(|part| part.strip_prefix("exclude=")).map(alarm).collect();
    let counts = |error: &String| !excluded.iter().any(|alarm| error.ends_with(alarm));
    let alarmed = matches!(status, Ok(Response::Status(status)) if status.errors.iter().any(counts));
    let healthy = (read.is_ok() || refused_by_auth) && !alarmed;
    handle.metrics.health(healthy);
    match healthy {
        true => plain(StatusCode::OK, "{\"health\":\"true\"}"),
        false => plain(StatusCode::SERVICE_UNAVAILABLE, "{\"health\":\"false\"}"),
    }
}

/// How an error of Status ends that is about this alarm.
fn alarm(name: &str) -> String {
    format!("alarm:{name} ")
}

/// Waits for the member: a page whose numbers are of another moment would hide that it hangs.
async fn metrics(handle: &Handle) -> Answer {
    let Some(vitals) = handle.vitals().await else {
        return plain(StatusCode::SERVICE_UNAVAILABLE, "the member has stopped\n");
    };
    let mut answer = plain(StatusCode::OK, &handle.metrics.page(&vitals));
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    answer.headers_mut().insert(header::CONTENT_TYPE, kind);
    answer
}

pub(super) fn json(text: String) -> Answer {
    let mut answer = Answer::new(Body::new(text));
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

pub(super) fn plain(status: StatusCode, text: &str) -> Answer {
    let mut answer = Answer::new(Body::new(text.to_owned()));
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    answer
}
