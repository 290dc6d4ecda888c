//! Promotions of learners. Only the leader knows whether a learner has caught up; a member that does not lead asks it, on
//! the port for peers, as etcd's members do.

use super::driver::Handle;
use super::remote::Client;
use super::status::{credentials, status};
use super::streams::Said;
use crate::api::{Credentials, Error, Request, Response};
use crate::pb::etcdserverpb::{MemberListRequest, MemberPromoteRequest, MemberPromoteResponse};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http;
use tonic::server::Grpc;
use tonic_prost::ProstCodec;
use tower::service_fn;

/// The call, from clients and between members.
pub(super) const PROMOTE: &str = "/etcdserverpb.Cluster/MemberPromote";

/// Answers a client.
pub(super) async fn answer(handle: &Handle, call: http::Request<impl Said>) -> http::Response<Body> {
    let (who, handle) = (credentials(&call), handle.clone());
    let service = service_fn(move |request: tonic::Request<MemberPromoteRequest>| {
        let (handle, who) = (handle.clone(), who.clone());
        async move { promote(&handle, who, request.into_inner()).await.map(tonic::Response::new) }
    });
    Grpc::new(ProstCodec::<MemberPromoteResponse, MemberPromoteRequest>::default()).unary(service, call).await
}

async fn promote(
    handle: &Handle,
    who: Credentials,
    request: MemberPromoteRequest,
) -> Result<MemberPromoteResponse, Status> {
    match handle.ask(who, Request::MemberPromote(request.clone())).await {
        Ok(Response::MemberPromote(response)) => Ok(response),
        Ok(other) => panic!("invariant: a promotion is answered by one, not by {other:?}"),
        Err(Error::NotLeader) => {
            for url in leader_urls(handle).await {
                if let Ok(mut leader) = Client::connect(&url, handle.peer_tls.as_deref()).await {
                    return leader.ask(PROMOTE, request).await;
                }
            }
            Err(status(&Error::NotLeader))
        }
        Err(error) => Err(status(&error)),
    }
}

/// Where the leader hears its peers; nowhere, if there is none.
async fn leader_urls(handle: &Handle) -> Vec<String> {
    let status = handle.ask(Credentials::None, Request::Status).await;
    let list = Request::MemberList(MemberListRequest { linearizable: false });
    match (status, handle.ask(Credentials::None, list).await) {
        (Ok(Response::Status(status)), Ok(Response::MemberList(list))) => {
            let leader = list.members.into_iter().find(|member| member.id == status.leader);
            leader.map(|member| member.peer_urls).unwrap_or_default()
        }
        _ => Vec::new(),
    }
}
