//! gRPC's own health service (`grpc.health.v1`), as etcd serves it: who answers at all, serves. How the member is stands
//! in `/health`.

use tokio_stream::{Stream, StreamExt as _};
use tonic::Status;

/// How is a service?
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct HealthCheckRequest {
    /// Its name; empty: the server.
    #[prost(string, tag = "1")]
    pub(super) service: String,
}

/// How it is.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(super) struct HealthCheckResponse {
    #[prost(enumeration = "ServingStatus", tag = "1")]
    pub(super) status: i32,
}

/// How a service may be. (The protocol's 2, that it does not serve, nobody here ever hears.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub(super) enum ServingStatus {
    Unknown = 0,
    Serving = 1,
    ServiceUnknown = 3,
}

/// How the server is; it knows no service by name.
pub(super) fn check(request: &HealthCheckRequest) -> Result<HealthCheckResponse, Status> {
    match request.service.as_str() {
        "" => Ok(HealthCheckResponse { status: ServingStatus::Serving as i32 }),
        _ => Err(Status::not_found("unknown service")),
    }
}

/// The same, and whenever it changes, which it does not: the stream ends with its connection.
pub(super) fn watch(request: &HealthCheckRequest) -> impl Stream<Item = Result<HealthCheckResponse, Status>> + use<> {
    let status = if request.service.is_empty() { ServingStatus::Serving } else { ServingStatus::ServiceUnknown };
    tokio_stream::once(Ok(HealthCheckResponse { status: status as i32 })).chain(tokio_stream::pending())
}
