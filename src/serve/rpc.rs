//! etcd's calls with one answer: a table from a method's path to a request of [`crate::api`] and back.
//!
//! A call goes to the member as it came; what a request may be is checked there, for the world's clients as for these.

use super::driver::Handle;
use super::services::unknown;
use super::status::{credentials, status_at};
use super::wire;
use crate::api::{AuthRequest, AuthResponse, Request, Response};
use crate::pb::etcdserverpb::*;
use prost::Message;
use tonic::body::Body;
use tonic::codegen::http;

/// A line of the table: `"path": Request => Response, how to ask, where the answer is;`
macro_rules! calls {
    ($handle:expr, $call:expr; $($path:literal: $request:ty => $response:ty, $ask:expr, $answer:pat => $value:expr;)*) => {
        match $call.uri().path() {
            $($path => {
                let unwrap = |response: Response| match response {
                    $answer => Some($value),
                    _ => None,
                };
                unary::<$request, $response>($handle, $call, $ask, unwrap).await
            })*
            path => unknown(path).into_http(),
        }
    };
}

/// Answers a call.
pub(super) async fn answer<B>(handle: &Handle, call: http::Request<B>) -> http::Response<Body>
where
    B: hyper::body::Body + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send,
{
    use AuthRequest as A;
    use AuthResponse as B;
    calls! { handle, call;
        "/etcdserverpb.KV/Range": RangeRequest => RangeResponse, Request::Range, Response::Range(r) => r;
        "/etcdserverpb.KV/Put": PutRequest => PutResponse, Request::Put, Response::Put(r) => r;
        "/etcdserverpb.KV/DeleteRange": DeleteRangeRequest => DeleteRangeResponse, Request::DeleteRange,
            Response::DeleteRange(r) => r;
        "/etcdserverpb.KV/Txn": TxnRequest => TxnResponse, Request::Txn, Response::Txn(r) => r;
        "/etcdserverpb.KV/Compact": CompactionRequest => CompactionResponse, Request::Compact,
            Response::Compact(r) => r;
        "/etcdserverpb.Lease/LeaseGrant": LeaseGrantRequest => LeaseGrantResponse, Request::LeaseGrant,
            Response::LeaseGrant(r) => r;
        "/etcdserverpb.Lease/LeaseRevoke": LeaseRevokeRequest => LeaseRevokeResponse, Request::LeaseRevoke,
            Response::LeaseRevoke(r) => r;
        "/etcdserverpb.Lease/LeaseTimeToLive": LeaseTimeToLiveRequest => LeaseTimeToLiveResponse,
            Request::LeaseTimeToLive, Response::LeaseTimeToLive(r) => r;
        "/etcdserverpb.Lease/LeaseLeases": LeaseLeasesRequest => LeaseLeasesResponse, |_| Request::LeaseLeases,
            Response::LeaseLeases(r) => r;
        "/etcdserverpb.Cluster/MemberAdd": MemberAddRequest => MemberAddResponse, Request::MemberAdd,
            Response::MemberAdd(r) => r;
        "/etcdserverpb.Cluster/MemberRemove": MemberRemoveRequest => MemberRemoveResponse, Request::MemberRemove,
            Response::MemberRemove(r) => r;
        "/etcdserverpb.Cluster/MemberUpdate": MemberUpdateRequest => MemberUpdateResponse, Request::MemberUpdate,
            Response::MemberUpdate(r) => r;
        "/etcdserverpb.Cluster/MemberList": MemberListRequest => MemberListResponse, Request::MemberList,
            Response::MemberList(r) => r;
        "/etcdserverpb.Cluster/MemberPromote": MemberPromoteRequest => MemberPromoteResponse, Request::MemberPromote,
            Response::MemberPromote(r) => r;
        "/etcdserverpb.Maintenance/Alarm": AlarmRequest => AlarmResponse, Request::Alarm,
            // etcd's has no header.
            Response::Alarm(r) => AlarmResponse { header: None, ..r };
        "/etcdserverpb.Maintenance/Status": StatusRequest => StatusResponse, |_| Request::Status,
            Response::Status(r) => r;
        "/etcdserverpb.Maintenance/Hash": HashRequest => HashResponse, |_| Request::Hash, Response::Hash(r) => r;
        "/etcdserverpb.Maintenance/HashKV": HashKvRequest => HashKvResponse, Request::HashKv, Response::HashKv(r) => r;
        "/etcdserverpb.Maintenance/Defragment": Nothing => OnlyHeader, |_| Request::Defragment,
            Response::Defragment => OnlyHeader::default();
        "/etcdserverpb.Maintenance/MoveLeader": MoveLeaderRequest => OnlyHeader,
            |r: MoveLeaderRequest| Request::MoveLeader(r.target_id), Response::MoveLeader => OnlyHeader::default();
        "/etcdserverpb.Auth/AuthEnable": AuthEnableRequest => AuthEnableResponse, |r| Request::Auth(A::Enable(r)),
            Response::Auth(B::Enable(r)) => r;
        "/etcdserverpb.Auth/AuthDisable": AuthDisableRequest => AuthDisableResponse, |r| Request::Auth(A::Disable(r)),
            Response::Auth(B::Disable(r)) => r;
        "/etcdserverpb.Auth/Authenticate": AuthenticateRequest => AuthenticateResponse,
            |r| Request::Auth(A::Authenticate(r)), Response::Auth(B::Authenticate(r)) => r;
        "/etcdserverpb.Auth/UserAdd": AuthUserAddRequest => AuthUserAddResponse, |r| Request::Auth(A::UserAdd(r)),
            Response::Auth(B::UserAdd(r)) => r;
        "/etcdserverpb.Auth/UserGet": AuthUserGetRequest => AuthUserGetResponse, |r| Request::Auth(A::UserGet(r)),
            Response::Auth(B::UserGet(r)) => r;
        "/etcdserverpb.Auth/UserList": AuthUserListRequest => AuthUserListResponse, |r| Request::Auth(A::UserList(r)),
            Response::Auth(B::UserList(r)) => r;
        "/etcdserverpb.Auth/UserDelete": AuthUserDeleteRequest => AuthUserDeleteResponse,
            |r| Request::Auth(A::UserDelete(r)), Response::Auth(B::UserDelete(r)) => r;
        "/etcdserverpb.Auth/UserChangePassword": AuthUserChangePasswordRequest => AuthUserChangePasswordResponse,
            |r| Request::Auth(A::UserChangePassword(r)), Response::Auth(B::UserChangePassword(r)) => r;
        "/etcdserverpb.Auth/UserGrantRole": AuthUserGrantRoleRequest => AuthUserGrantRoleResponse,
            |r| Request::Auth(A::UserGrantRole(r)), Response::Auth(B::UserGrantRole(r)) => r;
        "/etcdserverpb.Auth/UserRevokeRole": AuthUserRevokeRoleRequest => AuthUserRevokeRoleResponse,
            |r| Request::Auth(A::UserRevokeRole(r)), Response::Auth(B::UserRevokeRole(r)) => r;
        "/etcdserverpb.Auth/RoleAdd": AuthRoleAddRequest => AuthRoleAddResponse, |r| Request::Auth(A::RoleAdd(r)),
            Response::Auth(B::RoleAdd(r)) => r;
        "/etcdserverpb.Auth/RoleGet": AuthRoleGetRequest => AuthRoleGetResponse, |r| Request::Auth(A::RoleGet(r)),
            Response::Auth(B::RoleGet(r)) => r;
        "/etcdserverpb.Auth/RoleList": AuthRoleListRequest => AuthRoleListResponse, |r| Request::Auth(A::RoleList(r)),
            Response::Auth(B::RoleList(r)) => r;
        "/etcdserverpb.Auth/RoleDelete": AuthRoleDeleteRequest => AuthRoleDeleteResponse,
            |r| Request::Auth(A::RoleDelete(r)), Response::Auth(B::RoleDelete(r)) => r;
        "/etcdserverpb.Auth/RoleGrantPermission": AuthRoleGrantPermissionRequest => AuthRoleGrantPermissionResponse,
            |r| Request::Auth(A::RoleGrantPermission(r)), Response::Auth(B::RoleGrantPermission(r)) => r;
        "/etcdserverpb.Auth/RoleRevokePermission": AuthRoleRevokePermissionRequest => AuthRoleRevokePermissionResponse,
            |r| Request::Auth(A::RoleRevokePermission(r)), Response::Auth(B::RoleRevokePermission(r)) => r;
    }
}

/// A request that says nothing.
#[derive(Clone, Copy, PartialEq, Message)]
struct Nothing {}

/// A response that says only who answered.
#[derive(Clone, PartialEq, Message)]
struct OnlyHeader {
    #[prost(message, optional, tag = "1")]
    header: Option<ResponseHeader>,
}

/// Hand leadership to a member.
#[derive(Clone, Copy, PartialEq, Message)]
struct MoveLeaderRequest {
    #[prost(uint64, tag = "1")]
    target_id: u64,
}

async fn unary<I, O>(
    handle: &Handle,
    call: http::Request<impl hyper::body::Body<Error: Into<Box<dyn std::error::Error + Send + Sync>>>>,
    ask: impl Fn(I) -> Request,
    unwrap: impl Fn(Response) -> Option<O>,
) -> http::Response<Body>
where
    I: Message + Default,
    O: Message,
{
    let (who, status) = (credentials(&call), status_at(call.uri().path()));
    let request = match wire::request(call.into_body()).await {
        Ok(request) => request,
        Err(status) => return status.into_http(),
    };
    match handle.ask(who, ask(request)).await {
        Ok(response) => wire::answer(&unwrap(response).expect("invariant: the member answers what was asked")),
        Err(error) => status(&error).into_http(),
    }
}
