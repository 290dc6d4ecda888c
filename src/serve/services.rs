//! The services around etcd's own, and what is said to whoever calls what there is not.
//!
//! Locks and elections are clients of the member ([`super::client`]); health is gRPC's own service, which load balancers
//! ask. A call that is none of these is one of etcd's ([`super::rpc`]), or is refused in the words of etcd's gRPC library.

use super::client::Client;
use super::driver::Handle;
use super::rpc;
use super::status::credentials;
use super::streams::Said;
use super::{election, health, lock, snapshot};
use crate::pb::etcdserverpb::SnapshotRequest;
use prost::Message;
use std::future::Future;
use tokio_stream::Stream;
use tonic::body::Body;
use tonic::codegen::http;
use tonic::server::Grpc;
use tonic::{Code, Status};
use tonic_prost::ProstCodec;
use tower::service_fn;

type Answer = http::Response<Body>;

/// Answers a call.
pub(super) async fn answer(handle: &Handle, call: http::Request<impl Said>) -> Answer {
    let client = Client::new(handle, credentials(&call));
    match call.uri().path() {
        "/v3lockpb.Lock/Lock" => one(call, move |request| lock::lock(client.clone(), request)).await,
        "/v3lockpb.Lock/Unlock" => one(call, move |request| lock::unlock(client.clone(), request)).await,
        "/v3electionpb.Election/Campaign" => one(call, move |it| election::campaign(client.clone(), it)).await,
        "/v3electionpb.Election/Proclaim" => one(call, move |it| election::proclaim(client.clone(), it)).await,
        "/v3electionpb.Election/Leader" => one(call, move |it| election::leader(client.clone(), it)).await,
        "/v3electionpb.Election/Observe" => many(call, move |it| Ok(election::observe(client.clone(), it))).await,
        "/v3electionpb.Election/Resign" => one(call, move |it| election::resign(client.clone(), it)).await,
        "/grpc.health.v1.Health/Check" => one(call, |request| async move { health::check(&request) }).await,
        "/grpc.health.v1.Health/Watch" => many(call, |request| Ok(health::watch(&request))).await,
        snapshot::PATH => {
            let (handle, who) = (handle.clone(), credentials(&call));
            many(call, move |_: SnapshotRequest| Ok(snapshot::send(&handle, who.clone()))).await
        }
        _ => rpc::answer(handle, call).await,
    }
}

/// A call with one answer.
async fn one<I, O, F>(call: http::Request<impl Said>, work: impl Fn(I) -> F + Send + Sync + 'static) -> Answer
where
    I: Message + Default + 'static,
    O: Message + Default + 'static,
    F: Future<Output = Result<O, Status>> + Send + 'static,
{
    let service = service_fn(move |request: tonic::Request<I>| {
        let answer = work(request.into_inner());
        async move { Ok::<_, Status>(tonic::Response::new(answer.await?)) }
    });
    let codec = ProstCodec::<O, I>::default();
    Grpc::new(codec).max_decoding_message_size(usize::MAX).unary(service, call).await
}

/// A call with many answers.
async fn many<I, O, S>(
    call: http::Request<impl Said>,
    work: impl Fn(I) -> Result<S, Status> + Send + Sync + 'static,
) -> Answer
where
    I: Message + Default + 'static,
    O: Message + Default + 'static,
    S: Stream<Item = Result<O, Status>> + Send + 'static,
{
    let service = service_fn(move |request: tonic::Request<I>| {
        let answers = work(request.into_inner());
        async move { answers.map(tonic::Response::new) }
    });
    let codec = ProstCodec::<O, I>::default();
    Grpc::new(codec).max_decoding_message_size(usize::MAX).server_streaming(service, call).await
}

/// The services that there are.
const SERVICES: [&str; 9] = [
    "etcdserverpb.Auth",
    "etcdserverpb.Cluster",
    "etcdserverpb.KV",
    "etcdserverpb.Lease",
    "etcdserverpb.Maintenance",
    "etcdserverpb.Watch",
    "grpc.health.v1.Health",
    "v3electionpb.Election",
    "v3lockpb.Lock",
];

/// What etcd's gRPC library says of a path that leads nowhere.
pub(super) fn unknown(path: &str) -> Status {
    match path.strip_prefix('/').unwrap_or(path).rsplit_once('/') {
        Some((service, method)) if SERVICES.contains(&service) => {
            Status::new(Code::Unimplemented, format!("unknown method {method} for service {service}"))
        }
        Some((service, _)) => Status::new(Code::Unimplemented, format!("unknown service {service}")),
        None => Status::new(Code::ResourceExhausted, format!("malformed method name: {path:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As a real etcd 3.4.23 answered.
    #[test]
    fn a_path_that_leads_nowhere_is_refused_in_etcds_words() {
        for (path, code, text) in [
            ("/v3lockpb.Lock/Foo", Code::Unimplemented, "unknown method Foo for service v3lockpb.Lock"),
            ("/foo.Bar/Baz", Code::Unimplemented, "unknown service foo.Bar"),
            ("/a/b/c", Code::Unimplemented, "unknown service a/b"),
            ("//", Code::Unimplemented, "unknown service "),
            ("/etcdserverpb.KV", Code::ResourceExhausted, "malformed method name: \"/etcdserverpb.KV\""),
        ] {
            let status = unknown(path);
            assert_eq!((status.code(), status.message()), (code, text), "{path}");
        }
    }
}
