//! A client inside the process (etcd's `v3client`): the services of locks and elections are clients of the member.
//!
//! It asks on behalf of whoever called, whose permissions are what counts. Its errors have etcd's texts, and the code
//! *unknown*: to etcd's server these are a client's errors, not its own.
//!
//! [`first`](Client::first) takes a [`Line`] to its head. A call that is broken off meanwhile leaves the line. Only
//! waiting is broken off: a question that was asked is heard to its end, for a key of which nobody knew would stand
//! in the line until its lease ends.

use super::driver::Handle;
use crate::api::{Credentials, Error, Request, Response};
use crate::concurrency::{Held, Line, Next, leave};
use crate::member::StreamInput;
use crate::mvcc::watch::StreamId;
use crate::pb::etcdserverpb::watch_request::RequestUnion;
use crate::pb::etcdserverpb::{
    FilterType, LeaseGrantRequest, ResponseHeader, WatchCreateRequest, WatchRequest, WatchResponse,
};
use crate::pb::mvccpb::EventType;
use bytes::Bytes;
use std::future::Future;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::sync::oneshot;
use tonic::{Code, Status};

/// Time to live of the lease that a call without one is given, in seconds.
const SESSION_TTL: i64 = 60;

/// Who asks, and whom.
#[derive(Clone, Debug)]
pub(super) struct Client {
    handle: Handle,
    who: Credentials,
}

/// Whoever called: here, or gone.
pub(super) struct Caller(oneshot::Sender<()>);

/// Why a client did not come to the head of a line.
pub(super) enum Missed {
    /// The member refused something.
    Refused(Status),
    /// One's own key is gone: the lease has ended.
    Out,
}

impl From<Status> for Missed {
    fn from(status: Status) -> Missed {
        Missed::Refused(status)
    }
}

impl Client {
    pub(super) fn new(handle: &Handle, who: Credentials) -> Client {
        Client { handle: handle.clone(), who }
    }

    pub(super) async fn ask(&self, request: Request) -> Result<Response, Status> {
        self.handle.ask(self.who.clone(), request).await.map_err(|error| failed(&error))
    }

    /// The lease of a call: the one that it names, or a new one.
    pub(super) async fn session(&self, lease: i64) -> Result<i64, Status> {
        if lease != 0 {
            return Ok(lease);
        }
        let grant = LeaseGrantRequest { ttl: SESSION_TTL, id: 0 };
        match self.ask(Request::LeaseGrant(grant)).await? {
            Response::LeaseGrant(granted) => Ok(granted.id),
            other => panic!("invariant: a grant is answered by one, not by {other:?}"),
        }
    }

    /// Watches from revision `from` on. `range_end` as the API has it.
    pub(super) fn watch(&self, key: Bytes, range_end: Bytes, from: i64, filters: &[FilterType]) -> Watch {
        let (told, hear) = unbounded_channel();
        let stream = self.handle.open(self.who.clone(), told);
        let filters = filters.iter().map(|filter| *filter as i32).collect();
        let create = WatchCreateRequest { key, range_end, start_revision: from, filters, ..Default::default() };
        let request = WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) };
        self.handle.say(stream, StreamInput::Room(1));
        self.handle.say(stream, StreamInput::Request(request));
        Watch { handle: self.handle.clone(), stream, hear }
    }

    /// Enters a line and waits for its head as long as the caller does. The header is that of the answer that says so.
    /// Who does not come to the head is out of the line.
    pub(super) async fn first(
        &self,
        line: &mut Line,
        caller: &mut Caller,
    ) -> Result<(Held, Option<ResponseHeader>), Missed> {
        let arrived = self.wait_in(line, caller).await;
        if arrived.is_err() && line.token() != 0 {
            // That it did not come to the head says more than why it cannot leave: its lease will see to that.
            let _ = self.ask(leave(line.key(), line.token())).await;
        }
        arrived
    }

    async fn wait_in(&self, line: &mut Line, caller: &mut Caller) -> Result<(Held, Option<ResponseHeader>), Missed> {
        let given_up = || Missed::Refused(Status::cancelled("context canceled"));
        let mut header = None;
        loop {
            match line.next() {
                Next::Ask(request) => {
                    let response = self.ask(request).await?;
                    line.answered(&response);
                    header = header_of(&response);
                }
                Next::Await { key, from } => {
                    tokio::select! {
                        gone = self.gone(key, from) => gone?,
                        () = caller.0.closed() => return Err(given_up()),
                    }
                    line.gone();
                }
                Next::First(_) if caller.0.is_closed() => return Err(given_up()),
                Next::First(held) => return Ok((held, header)),
                Next::Out => return Err(Missed::Out),
            }
        }
    }

    /// Waits until a key is deleted, or until nobody can tell any more.
    async fn gone(&self, key: Bytes, from: i64) -> Result<(), Status> {
        let mut watch = self.watch(key, Bytes::new(), from, &[FilterType::Noput]);
        while let Some(response) = watch.next().await {
            let deleted = response.events.iter().any(|event| event.r#type() == EventType::Delete);
            if deleted || response.compact_revision != 0 {
                return Ok(());
            }
            if response.canceled {
                return Err(Status::unknown(response.cancel_reason));
            }
        }
        Err(failed(&Error::Stopped))
    }
}

/// Runs a call's work to its end, even if the call is broken off; the work hears of that.
pub(super) async fn to_the_end<T, F>(work: impl FnOnce(Caller) -> F) -> Result<T, Status>
where
    T: Send + 'static,
    F: Future<Output = Result<T, Status>> + Send + 'static,
{
    let (caller, _here) = oneshot::channel();
    // A task that panics says so on stderr.
    tokio::spawn(work(Caller(caller))).await.unwrap_or_else(|_| Err(failed(&Error::Stopped)))
}

/// An error as the client library inside etcd's server has it.
fn failed(error: &Error) -> Status {
    Status::new(Code::Unknown, error.to_string())
}

fn header_of(response: &Response) -> Option<ResponseHeader> {
    match response {
        Response::Range(response) => response.header,
        Response::Txn(response) => response.header,
        other => panic!("invariant: a line asks for nothing that {other:?} would answer"),
    }
}

/// A watch of a client's own. It ends with the value.
pub(super) struct Watch {
    handle: Handle,
    stream: StreamId,
    hear: UnboundedReceiver<WatchResponse>,
}

impl Watch {
    /// What is heard next; `None`: the member has stopped.
    pub(super) async fn next(&mut self) -> Option<WatchResponse> {
        let response = self.hear.recv().await?;
        if !response.created {
            self.handle.say(self.stream, StreamInput::Room(1));
        }
        Some(response)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.handle.say(self.stream, StreamInput::Closed);
    }
}
