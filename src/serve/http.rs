//! Connections: HTTP/2 for gRPC and HTTP/1 for curl on one port, as etcd has them.

use super::authority::Tolerant;
use super::driver::Handle;
use super::{rpc, streams};
use crate::api::{Credentials, Request, Response};
use crate::member::VERSION;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use std::convert::Infallible;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tonic::body::Body;
use tonic::codegen::http::{self, StatusCode, header};

type Call = http::Request<Incoming>;
type Answer = http::Response<Body>;

/// How long those who are being answered at the end may take.
const FAREWELL: Duration = Duration::from_secs(2);

/// A pause after a connection could not be taken: the process may have run out of files.
const PAUSE: Duration = Duration::from_millis(100);

/// Takes connections until `closed` is.
pub(super) async fn run(listener: TcpListener, handle: Handle, mut closed: watch::Receiver<()>) {
    let graceful = GracefulShutdown::new();
    loop {
        let taken = tokio::select! {
            taken = listener.accept() => taken,
            // Nothing is ever sent: this is the sender's end.
            _ = closed.changed() => break,
        };
        match taken {
            Ok((connection, _)) => serve(connection, handle.clone(), &graceful),
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
    let _ = tokio::time::timeout(FAREWELL, graceful.shutdown()).await;
}

fn serve(connection: TcpStream, handle: Handle, graceful: &GracefulShutdown) {
    // A small answer is not kept back for a larger one.
    let _ = connection.set_nodelay(true);
    let service = hyper::service::service_fn(move |call: Call| {
        let handle = handle.clone();
        async move { Ok::<_, Infallible>(answer(&handle, call).await) }
    });
    let builder = auto::Builder::new(TokioExecutor::new());
    let connection = builder.serve_connection(TokioIo::new(Tolerant::new(connection)), service).into_owned();
    let watched = graceful.watch(connection);
    tokio::spawn(async move {
        // A client that breaks off is no concern of ours.
        let _ = watched.await;
    });
}

async fn answer(handle: &Handle, call: Call) -> Answer {
    let is_grpc =
        call.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"));
    match call.uri().path() {
        "/health" => health(handle).await,
        "/version" => version(),
        "/etcdserverpb.Watch/Watch" => streams::watch(handle, call).await,
        "/etcdserverpb.Lease/LeaseKeepAlive" => streams::keep_alive(handle, call).await,
        _ if is_grpc => rpc::answer(handle, call).await,
        _ => plain(StatusCode::NOT_FOUND, "404 page not found\n"),
    }
}

/// The versions of this member and of its cluster.
pub(super) fn version() -> Answer {
    json(StatusCode::OK, format!("{{\"etcdserver\":\"{VERSION}\",\"etcdcluster\":\"{}\"}}", cluster_version()))
}

/// The version that all members of the cluster can speak: that of the minor release.
fn cluster_version() -> String {
    let minor = VERSION.rsplit_once('.').map_or(VERSION, |(minor, _)| minor);
    format!("{minor}.0")
}

/// Healthy is who can answer a linearizable read and has no alarm raised.
async fn health(handle: &Handle) -> Answer {
    let read = Request::Range(crate::pb::etcdserverpb::RangeRequest { key: "health".into(), ..Default::default() });
    let read = handle.ask(Credentials::None, read).await;
    let refused_by_auth = matches!(read, Err(crate::api::Error::Auth(_)));
    let status = handle.ask(Credentials::None, Request::Status).await;
    let alarmed = matches!(status, Ok(Response::Status(status)) if !status.errors.is_empty());
    match (read.is_ok() || refused_by_auth) && !alarmed {
        true => json(StatusCode::OK, "{\"health\":\"true\"}".to_owned()),
        false => json(StatusCode::SERVICE_UNAVAILABLE, "{\"health\":\"false\"}".to_owned()),
    }
}

pub(super) fn json(status: StatusCode, text: String) -> Answer {
    let mut answer = http::Response::new(Body::new(text));
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    answer
}

pub(super) fn plain(status: StatusCode, text: &str) -> Answer {
    let mut answer = http::Response::new(Body::new(text.to_owned()));
    *answer.status_mut() = status;
    answer
}
