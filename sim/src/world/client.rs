//! A client of the store, as etcd's own client library behaves: it keeps to one member until that fails it, repeats
//! reads on the next one, and repeats a write only if it certainly was not executed.
//!
//! Every operation is written into the history when it is called and again when it is answered.

use super::mirror::Mirror;
use super::tasks::{CallError, CallResult, Handle};
use super::watch_client::WatchClient;
use crate::check::asked::{Asked, Ending, is_of_the_store};
use crate::check::by_log::ASKED;
use crate::check::history::{History, Input, Kv, Operation, Outcome, Output};
use crate::check::informer::SeenCache;
use crate::check::lock::Taken;
use crate::check::watch::{End, WatchRecord};
use bytes::Bytes;
use seedbed::api::{AuthError, AuthRequest, AuthResponse, Code, Credentials, Error, Request, Response};
use seedbed::pb::etcdserverpb::{
    AuthenticateRequest, Compare, CompareResult, CompareTarget, DeleteRangeRequest, PutRequest, RangeRequest,
    RequestOp, TxnRequest, compare, request_op,
};
use seedbed::pb::mvccpb::KeyValue;
use seedbed::time::{MILLISECOND, Nanos};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

/// A pause before a failed request is tried elsewhere, as etcd's retry interceptor makes.
const BACKOFF: Nanos = 25 * MILLISECOND;

/// What all clients of a run write into.
#[derive(Debug, Default)]
pub(crate) struct Log {
    pub(crate) history: History,
    /// Requests of any kind. Where some client asks for other things than keys, all of them stand here, and the history
    /// is empty: the log judges them together.
    pub(crate) asked: Vec<Asked>,
    /// Whether that is so.
    pub(crate) asks_anything: bool,
    /// Attempts beyond the first.
    pub(crate) retries: u64,
    /// Every watch, from its creation to the end of its stream.
    pub(crate) watches: Vec<WatchRecord>,
    /// The subscription that each of them is a part of.
    pub(crate) subscriptions: Vec<u32>,
    /// How many subscriptions there are.
    pub(crate) subscribed: u32,
    /// For those of clients that want everything, whatever becomes of their watches: from which revision on.
    pub(crate) wanted_from: BTreeMap<u32, i64>,
    /// Copies of the store.
    pub(crate) mirrors: Vec<Mirror>,
    /// Copies of the store as they were now and then.
    pub(crate) caches: Vec<SeenCache>,
    /// Locks that were taken, and elections that were won.
    pub(crate) taken: Vec<Taken>,
    /// Updates that found the object changed.
    pub(crate) conflicts: u64,
    /// Changes that v2 consumers heard of.
    pub(crate) ring_told: u64,
    /// Changes that they came too late for.
    pub(crate) ring_lost: u64,
}

impl Log {
    /// Somebody wants to hear of changes, on as many watches as it takes.
    pub(crate) fn subscribe(&mut self) -> u32 {
        self.subscribed += 1;
        self.subscribed - 1
    }

    /// The run is over: what is still watched should have heard up to revision `due` (0: that is not known).
    pub(crate) fn close(&mut self, due: i64) {
        let alive = self.watches.iter_mut().filter(|watch| matches!(watch.end, End::Alive { .. }));
        alive.for_each(|watch| watch.end = End::Alive { due });
    }
}

/// See the module. A clone is the same client once more, for another of its programs.
#[derive(Clone, Debug)]
pub struct Client {
    handle: Handle,
    log: Rc<RefCell<Log>>,
    number: u32,
    endpoints: Vec<u8>,
    /// Index into `endpoints` of the member that it keeps to.
    current: usize,
    timeout: Nanos,
    /// Name and password, if it has to say who it is.
    login: Option<(String, String)>,
    token: Credentials,
}

/// What a member answers that does not know who asks.
const WHO_ARE_YOU: [AuthError; 3] = [AuthError::AuthOldRevision, AuthError::InvalidAuthToken, AuthError::UserEmpty];

/// What a request belongs to that is none of the history's operations.
const NO_OPERATION: u32 = u32::MAX;

impl Client {
    pub(crate) fn new(
        handle: Handle,
        log: Rc<RefCell<Log>>,
        number: u32,
        endpoints: Vec<u8>,
        timeout: Nanos,
    ) -> Client {
        let current = number as usize % endpoints.len();
        Client { handle, log, number, endpoints, current, timeout, login: None, token: Credentials::None }
    }

    /// Asks as this user, whose password is its name.
    #[must_use]
    pub(crate) fn with_user(self, user: &str) -> Client {
        Client { login: Some((user.to_owned(), user.to_owned())), ..self }
    }

    /// A watch client beside this one, with the same members to talk to, that takes up to `window` responses ahead.
    pub fn watches(&self, window: usize) -> WatchClient {
        WatchClient::new(self.clone(), window)
    }

    /// The member that it keeps to.
    pub(super) fn member(&self) -> u8 {
        self.endpoints[self.current]
    }

    /// Keeps to the next one from now on.
    pub(super) fn turn_to_the_next(&mut self) {
        self.current = (self.current + 1) % self.endpoints.len();
    }

    /// As whom it asks; `None`: it has to log in first.
    pub(super) fn credentials(&self) -> Option<Credentials> {
        let unknown = self.login.is_some() && self.token == Credentials::None;
        (!unknown).then(|| self.token.clone())
    }

    /// Whether a watch was refused because the member does not know (any more) who asks. Then it has to log in again.
    pub(super) fn must_log_in_again(&mut self, reason: &str) -> bool {
        let unknown = self.login.is_some() && WHO_ARE_YOU.iter().any(|error| reason.ends_with(&error.to_string()));
        if unknown {
            self.token = Credentials::None;
        }
        unknown
    }

    pub(super) fn log(&self) -> &Rc<RefCell<Log>> {
        &self.log
    }

    pub(super) fn number(&self) -> u32 {
        self.number
    }

    /// The world's time, timers and network.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Sets a key.
    pub async fn put(&mut self, key: Bytes, value: Bytes) -> Outcome {
        let request = Request::Put(put(&key, &value));
        self.run(Input::Put { key, value }, request).await
    }

    /// Reads a key: linearizably, or `serializable` from whatever the asked member has.
    pub async fn get(&mut self, key: Bytes, serializable: bool) -> Outcome {
        let request = Request::Range(RangeRequest { key: key.clone(), serializable, ..Default::default() });
        let input = if serializable { Input::GetSerializable { key } } else { Input::Get { key } };
        self.run(input, request).await
    }

    /// Deletes a key.
    pub async fn delete(&mut self, key: Bytes) -> Outcome {
        let request = Request::DeleteRange(DeleteRangeRequest { key: key.clone(), ..Default::default() });
        self.run(Input::Delete { key }, request).await
    }

    /// Sets a key if it was last changed at `expect_mod_revision` (0: if it is absent).
    pub async fn cas(&mut self, key: Bytes, expect_mod_revision: i64, value: Bytes) -> Outcome {
        let guard = Compare {
            result: CompareResult::Equal as i32,
            target: CompareTarget::Mod as i32,
            key: key.clone(),
            target_union: Some(compare::TargetUnion::ModRevision(expect_mod_revision)),
            range_end: Bytes::new(),
        };
        let success = RequestOp { request: Some(request_op::Request::RequestPut(put(&key, &value))) };
        let request = Request::Txn(TxnRequest { compare: vec![guard], success: vec![success], failure: Vec::new() });
        self.run(Input::Cas { key, expect_mod_revision, value }, request).await
    }

    /// Reads another key as it was at a revision, then sets a key, in one transaction. To the history it is a put: what
    /// it reads is not judged, and if the revision is gone it certainly wrote nothing.
    pub async fn put_and_look_back(&mut self, key: Bytes, value: Bytes, other: Bytes, revision: i64) -> Outcome {
        let read = RangeRequest { key: other, revision, ..Default::default() };
        let ops = [request_op::Request::RequestRange(read), request_op::Request::RequestPut(put(&key, &value))];
        let success = ops.into_iter().map(|op| RequestOp { request: Some(op) }).collect();
        let request = Request::Txn(TxnRequest { compare: Vec::new(), success, failure: Vec::new() });
        self.run(Input::Put { key, value }, request).await
    }

    /// Reads all keys that begin with `prefix`, which must not be empty nor end in 0xff.
    pub async fn list(&mut self, prefix: Bytes) -> Outcome {
        let mut range_end = prefix.to_vec();
        *range_end.last_mut().expect("invariant: the prefix is not empty") += 1;
        let range = RangeRequest { key: prefix.clone(), range_end: range_end.into(), ..Default::default() };
        self.run(Input::List { prefix }, Request::Range(range)).await
    }

    /// Sends a request of any kind, tries it as often as etcd's client would, and writes down what came of it.
    pub async fn ask(&mut self, request: Request) -> Ending {
        let call = self.handle.now();
        let number = {
            let mut log = self.log.borrow_mut();
            let (client, member) = (self.number, self.endpoints[self.current]);
            log.asked.push(Asked { client, member, call, request: request.clone(), ending: Ending::Unknown });
            log.asked.len() - 1
        };
        let sent = self.send(&request, request.is_write(), ASKED | number as u32, call + self.timeout).await;
        let ret = self.handle.now();
        let ending = match sent {
            Ok(response) => Ending::Answered { ret, response },
            Err(CallError::Member(error)) if is_of_the_store(&error) => Ending::Refused { ret, error },
            Err(error) if request.is_write() && is_lost(&error) => Ending::Unknown,
            Err(_) => Ending::Failed,
        };
        let asked = &mut self.log.borrow_mut().asked[number];
        asked.member = self.endpoints[self.current];
        asked.ending = ending.clone();
        ending
    }

    /// Calls an operation on keys, and writes down what came of it.
    async fn run(&mut self, input: Input, request: Request) -> Outcome {
        let is_put = matches!(input, Input::Put { .. });
        if self.log.borrow().asks_anything {
            return match self.ask(request.clone()).await {
                Ending::Answered { ret, response } => outcome(&request, is_put, ret, response),
                Ending::Unknown => Outcome::Unknown,
                Ending::Refused { .. } | Ending::Failed => Outcome::Failed,
            };
        }
        let call = self.handle.now();
        let is_write = input.is_write();
        let index = {
            let mut log = self.log.borrow_mut();
            let (client, member) = (self.number, self.endpoints[self.current]);
            let operation = Operation { client, member, call, input, outcome: Outcome::Unknown, applied: None };
            log.history.operations.push(operation);
            log.history.operations.len() - 1
        };
        let outcome = match self.send(&request, is_write, index as u32, call + self.timeout).await {
            Ok(response) => outcome(&request, is_put, self.handle.now(), response),
            Err(error) if is_write && is_lost(&error) => Outcome::Unknown,
            Err(_) => Outcome::Failed,
        };
        let operation = &mut self.log.borrow_mut().history.operations[index];
        operation.member = self.endpoints[self.current];
        operation.outcome = outcome.clone();
        outcome
    }

    /// Sends a request to one member after the other, until one answers, or trying again could do it twice, or time is up.
    async fn send(&mut self, request: &Request, is_write: bool, operation: u32, deadline: Nanos) -> CallResult {
        loop {
            let member = self.endpoints[self.current];
            let who = self.token.clone();
            let error = match self.handle.call_as(member, who, request.clone(), operation, deadline).await {
                Ok(response) => return Ok(response),
                Err(error) => error,
            };
            if self.should_log_in(&error) && self.log_in(deadline).await {
                continue;
            }
            // The next one may do better, whatever comes of this operation.
            self.turn_to_the_next();
            let elsewhere = match &error {
                CallError::Refused | CallError::Reset => true,
                CallError::Member(error) => error.code() == Code::Unavailable || *error == Error::NotLeader,
                CallError::TimedOut => false,
            };
            let retry_at = self.handle.now() + BACKOFF;
            if (is_write && is_lost(&error)) || !elsewhere || retry_at >= deadline {
                return Err(error);
            }
            self.log.borrow_mut().retries += 1;
            self.handle.sleep_until(retry_at).await;
        }
    }

    /// Asks for something that has no place in the history, and asks again until somebody knows the answer.
    pub(crate) async fn insist(&mut self, request: Request) -> Result<Response, Error> {
        loop {
            let (member, who) = (self.endpoints[self.current], self.token.clone());
            let deadline = self.handle.now() + self.timeout;
            let error = match self.handle.call_as(member, who, request.clone(), NO_OPERATION, deadline).await {
                Ok(response) => return Ok(response),
                Err(error) if self.should_log_in(&error) => {
                    self.log_in(deadline).await;
                    continue;
                }
                Err(error) => error,
            };
            match error {
                CallError::Member(error) if error.code() != Code::Unavailable => return Err(error),
                _ => self.turn_to_the_next(),
            }
            self.handle.sleep_until(self.handle.now() + BACKOFF).await;
        }
    }

    /// Whether a request was refused because the member does not know (any more) who asks.
    fn should_log_in(&self, error: &CallError) -> bool {
        let unknown = WHO_ARE_YOU.iter().any(|unknown| *error == CallError::Member((*unknown).into()));
        self.login.is_some() && unknown
    }

    /// Gets a token from the member that it keeps to. Says whether it is worth while to ask again; that takes a moment
    /// in any case.
    pub(super) async fn log_in(&mut self, deadline: Nanos) -> bool {
        let Some((name, password)) = self.login.clone() else { return false };
        let (member, none) = (self.endpoints[self.current], Credentials::None);
        let request = Request::Auth(AuthRequest::Authenticate(AuthenticateRequest { name, password }));
        self.token = match self.handle.call_as(member, none, request, NO_OPERATION, deadline).await {
            Ok(Response::Auth(AuthResponse::Authenticate(response))) => Credentials::Token(response.token),
            _ => Credentials::None,
        };
        if self.token == Credentials::None {
            self.turn_to_the_next();
        }
        let again_at = self.handle.now() + BACKOFF;
        self.handle.sleep_until(again_at.min(deadline)).await;
        again_at < deadline
    }
}

/// Whether a request that ended so may have been executed.
fn is_lost(error: &CallError) -> bool {
    match error {
        CallError::Refused => false,
        CallError::Member(error) => !error.certainly_not_executed(),
        CallError::Reset | CallError::TimedOut => true,
    }
}

/// An answer as the history has it.
fn outcome(request: &Request, is_put: bool, ret: Nanos, response: Response) -> Outcome {
    let (header, output) = match response {
        Response::Put(response) => (response.header, Output::Put),
        Response::DeleteRange(response) => (response.header, Output::Deleted(response.deleted as u32)),
        Response::Txn(response) if is_put => (response.header, Output::Put),
        Response::Txn(response) => (response.header, Output::Cas { succeeded: response.succeeded }),
        Response::Range(response) => (response.header, range_output(request, response.kvs)),
        _ => panic!("invariant: these clients ask for keys alone"),
    };
    let revision = header.expect("invariant: every response has a header").revision;
    Outcome::Ok { ret, revision, output }
}

fn put(key: &Bytes, value: &Bytes) -> PutRequest {
    PutRequest { key: key.clone(), value: value.clone(), ..Default::default() }
}

fn range_output(request: &Request, kvs: Vec<KeyValue>) -> Output {
    let one_key = matches!(request, Request::Range(range) if range.range_end.is_empty());
    let mut pairs = kvs.into_iter().map(|kv| {
        let KeyValue { key, create_revision, mod_revision, version, value, .. } = kv;
        (key, Kv { value, create_revision, mod_revision, version })
    });
    if one_key { Output::Get(pairs.next().map(|(_, kv)| kv)) } else { Output::List(pairs.collect()) }
}
