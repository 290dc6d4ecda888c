//! Service `v3lock`: a lock by two calls, for clients that would rather not follow the recipe themselves.
//!
//! A lock with a lease of its own lives for a minute, whatever its holder does: nobody keeps that lease alive. Whoever
//! needs it for longer grants a lease and keeps it alive.
//!
//! Unlike etcd's 3.4, a waiter whose lease ended meanwhile is told so, as later versions do (etcd #11408).

use super::client::{Client, Missed, to_the_end};
use crate::api::{Request, Response};
use crate::bug::BugSet;
use crate::concurrency::Lock;
use crate::pb::etcdserverpb::DeleteRangeRequest;
use crate::pb::v3lockpb::{LockRequest, LockResponse, UnlockRequest, UnlockResponse};
use tonic::Status;

/// Waits for a lock. A caller that goes meanwhile has not got it.
pub(super) async fn lock(client: Client, request: LockRequest) -> Result<LockResponse, Status> {
    to_the_end(|mut caller| async move {
        let lease = client.session(request.lease).await?;
        let mut lock = Lock::new(&request.name, lease, BugSet::NONE);
        match client.first(lock.line(), &mut caller).await {
            Ok((_, header)) => Ok(LockResponse { header, key: lock.key().clone() }),
            Err(Missed::Refused(status)) => Err(status),
            Err(Missed::Out) => Err(Status::unknown("mutex: session is expired")),
        }
    })
    .await
}

/// Gives a lock back: whoever knows the key may.
pub(super) async fn unlock(client: Client, request: UnlockRequest) -> Result<UnlockResponse, Status> {
    let delete = DeleteRangeRequest { key: request.key, ..Default::default() };
    match client.ask(Request::DeleteRange(delete)).await? {
        Response::DeleteRange(deleted) => Ok(UnlockResponse { header: deleted.header }),
        other => panic!("invariant: a delete is answered by one, not by {other:?}"),
    }
}
