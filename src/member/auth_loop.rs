//! Who asks, and what is done about passwords before anything is proposed (lesson 05).
//!
//! ```text
//!   authenticate ─▶ ReadIndex ─▶ verify the password ─▶ propose name + 16 letters ─▶ applied: every member knows the
//!                                (a job)                                             token letters.index
//!                      ▲ users or roles changed meanwhile: is the password still right? │
//!                      └─────────────────────────────────────────────────────────────────┘
//!   add a user, change a password ─▶ hash it (a job) ─▶ propose the hash
//!
//!   any request with a token ─▶ is the token's entry applied here? (wait) ─▶ user and auth revision into the header
//!                      ▲ refused when it was applied, since the revision was old │
//!                      └──────────────────────────────────────────────────────────┘
//! ```
//!
//! A hash takes tens of milliseconds on purpose, so it is computed beside the steps. (etcd long did it where it held up
//! every other request: 16 authentications in a second, and no more; etcd #11735.)
//!
//! What an entry may do is decided when it is applied, by all members alike. One that was admitted before the last
//! change of users, roles or permissions is refused then, whoever sent it; the member that proposed it asks its own store
//! again who the client is and proposes it once more. A signed token names the revision of its making, so asking again
//! gives the old answer, and the client hears of it.

use super::job::{Job, JobId, JobOutput, Work};
use super::writes::{Pending, Then};
use super::{Config, Effects, Member, ReadAsked, StreamInput, TraceEvent};
use crate::api::{AuthError, AuthRequest, Credentials, Error, Request, RequestId};
use crate::apply::{self, Applied};
use crate::auth::{self, AuthInfo, Secrets};
use crate::mvcc::watch::StreamId;
use crate::pb::etcdserverpb::{AuthenticateRequest, InternalAuthenticateRequest};
use crate::raft::Entry;
use crate::time::{Nanos, Now};
use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};

#[derive(Debug)]
pub(super) struct AuthLoop {
    /// Salts and tokens.
    secrets: Secrets,
    next_job: u64,
    /// What waits for a job.
    jobs: BTreeMap<JobId, Waiting>,
    /// What waits until the entry of its token is applied, in order of arrival.
    early: VecDeque<Early>,
}

struct Waiting {
    client: RequestId,
    deadline: Nanos,
    then: AfterJob,
}

enum AfterJob {
    /// The password's hash is to be proposed.
    Propose(Credentials, AuthRequest),
    /// The password was checked at this auth revision.
    Authenticate(AuthenticateRequest, u64),
}

impl std::fmt::Debug for Waiting {
    /// Without the password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Waiting").field("client", &self.client).finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Early {
    /// The entry.
    index: u64,
    deadline: Nanos,
    input: EarlyInput,
}

#[derive(Debug)]
enum EarlyInput {
    Request(RequestId, Credentials, Box<Request>),
    Stream(StreamId, Box<StreamInput>),
}

impl AuthLoop {
    pub(super) fn new(config: &Config) -> AuthLoop {
        AuthLoop { secrets: Secrets::new(config.seed), next_job: 0, jobs: BTreeMap::new(), early: VecDeque::new() }
    }

    pub(super) fn wake_at(&self) -> Nanos {
        let jobs = self.jobs.values().map(|waiting| waiting.deadline);
        jobs.chain(self.early.iter().map(|early| early.deadline)).min().unwrap_or(Nanos::MAX)
    }

    /// Whether something waits for an entry to be applied.
    pub(super) fn has_business(&self) -> bool {
        !self.early.is_empty()
    }

    /// Whether something of this stream waits already: what comes later must not overtake it.
    fn holds(&self, stream: StreamId) -> bool {
        self.early.iter().any(|early| matches!(early.input, EarlyInput::Stream(held, _) if held == stream))
    }
}

impl Member {
    /// On whose behalf a request is made, as of now.
    pub(super) fn info(&mut self, now: Now, who: &Credentials) -> Result<AuthInfo, AuthError> {
        match who {
            Credentials::None => Ok(AuthInfo::default()),
            Credentials::Token(token) => self.state.auth.info(now, token),
            Credentials::CommonName(name) => Ok(self.state.auth.certificate_info(name)),
        }
    }

    /// Says on whose behalf a range is read, if it may be; with its end as the client sent it.
    pub(super) fn may_read(
        &mut self,
        now: Now,
        who: &Credentials,
        (key, range_end): (&Bytes, &Bytes),
        fx: &mut Effects,
    ) -> Result<AuthInfo, AuthError> {
        let info = self.info(now, who)?;
        let checked = self.state.auth.check_keys(&info, key, range_end);
        if self.state.auth.enabled() || *who != Credentials::None {
            let read = ReadAsked { who: info.clone(), key: key.clone(), range_end: range_end.clone() };
            fx.trace.push(TraceEvent::ReadChecked {
                index: self.state.store.consistent_index(),
                read: Box::new(read),
                refused: checked.err(),
            });
        }
        checked.map(|()| info)
    }

    /// The entry that has to be applied before it can be said for whom a token stands.
    fn awaited_entry(&self, who: &Credentials) -> Option<u64> {
        let Credentials::Token(token) = who else { return None };
        let index = auth::entry_of(token).filter(|_| self.state.auth.enabled())?;
        (index > self.state.store.consistent_index()).then_some(index)
    }

    /// Takes a request, once clients are served and it can be said who makes it.
    pub(super) fn on_request_as(
        &mut self,
        now: Now,
        id: RequestId,
        who: Credentials,
        request: Box<Request>,
        fx: &mut Effects,
    ) {
        if self.corruption.holds_clients() {
            return self.corruption.hold(id, who, request);
        }
        match self.awaited_entry(&who) {
            Some(index) => self.hold(now, index, EarlyInput::Request(id, who, request)),
            None => self.on_request(now, id, who, request, fx),
        }
    }

    /// Takes a stream's input, once it can be said whose the stream is.
    pub(super) fn on_stream_input(&mut self, now: Now, stream: StreamId, input: Box<StreamInput>, fx: &mut Effects) {
        let held = self.auth_loop.holds(stream);
        match self.awaited_entry(&self.watch_loop.owner(stream)) {
            Some(index) => self.hold(now, index, EarlyInput::Stream(stream, input)),
            None if held => self.hold(now, 0, EarlyInput::Stream(stream, input)),
            None => self.on_stream(now, stream, *input, fx),
        }
    }

    fn hold(&mut self, now: Now, index: u64, input: EarlyInput) {
        let deadline = now.mono + self.config.request_timeout();
        self.auth_loop.early.push_back(Early { index, deadline, input });
    }

    /// Goes on with what waited for an entry that is applied by now, or waited too long: then nobody knows the token.
    pub(super) fn run_auth_loop(&mut self, now: Now, fx: &mut Effects) {
        let applied = self.state.store.consistent_index();
        for _ in 0..self.auth_loop.early.len() {
            let Some(early) = self.auth_loop.early.pop_front() else { break };
            if early.index > applied && early.deadline > now.mono {
                self.auth_loop.early.push_back(early);
                continue;
            }
            match early.input {
                EarlyInput::Request(id, who, request) => self.on_request(now, id, who, request, fx),
                EarlyInput::Stream(stream, input) => self.on_stream(now, stream, *input, fx),
            }
        }
        if self.auth_loop.jobs.is_empty() {
            return;
        }
        let late = |waiting: &Waiting| waiting.deadline <= now.mono;
        let late: Vec<JobId> =
            self.auth_loop.jobs.iter().filter(|(_, waiting)| late(waiting)).map(|(id, _)| *id).collect();
        for id in late {
            let waiting = self.auth_loop.jobs.remove(&id);
            fx.replies.extend(waiting.map(|waiting| (waiting.client, Err(Error::Timeout))));
        }
    }

    pub(super) fn on_auth(
        &mut self,
        now: Now,
        id: RequestId,
        who: Credentials,
        request: AuthRequest,
        fx: &mut Effects,
    ) {
        let password = match &request {
            AuthRequest::Authenticate(request) => return self.confirm_before_authenticating(now, id, request.clone()),
            AuthRequest::UserAdd(add) if add.options.is_some_and(|options| options.no_password) => None,
            AuthRequest::UserAdd(add) => Some(add.password.clone()),
            AuthRequest::UserChangePassword(change) => Some(change.password.clone()),
            _ => None,
        };
        let Some(password) = password else { return self.on_write(now, id, who, Request::Auth(request), fx) };
        let work = Work::HashPassword { password, salt: self.auth_loop.secrets.salt(), cost: self.config.bcrypt_cost };
        let deadline = now.mono + self.config.request_timeout();
        self.begin_job(work, Waiting { client: id, deadline, then: AfterJob::Propose(who, request) }, fx);
    }

    /// Begins to check a password, against what this member knows of its user.
    pub(super) fn check_password(
        &mut self,
        client: RequestId,
        request: AuthenticateRequest,
        deadline: Nanos,
        fx: &mut Effects,
    ) {
        match self.state.auth.password_hash(&request.name) {
            Ok((hash, revision)) => {
                let work = Work::VerifyPassword { hash, password: request.password.clone() };
                self.begin_job(work, Waiting { client, deadline, then: AfterJob::Authenticate(request, revision) }, fx);
            }
            Err(error) => fx.replies.push((client, Err(error.into()))),
        }
    }

    fn begin_job(&mut self, work: Work, waiting: Waiting, fx: &mut Effects) {
        let id = JobId(self.auth_loop.next_job);
        self.auth_loop.next_job += 1;
        self.auth_loop.jobs.insert(id, waiting);
        self.stir();
        fx.jobs.push(Job { id, work });
    }

    pub(super) fn on_job_done(&mut self, now: Now, id: JobId, output: JobOutput, fx: &mut Effects) {
        // Who waited may have been told that it takes too long.
        let Some(Waiting { client, deadline, then }) = self.auth_loop.jobs.remove(&id) else { return };
        match (then, output) {
            (AfterJob::Propose(who, request), JobOutput::Hash(hash)) => {
                self.on_write(now, client, who, Request::Auth(with_hash(request, &auth::hash_to_entry(&hash))), fx);
            }
            (AfterJob::Authenticate(request, revision), JobOutput::Verified(true)) => {
                let (name, simple_token) = (request.name.clone(), self.auth_loop.secrets.token_prefix());
                let number = self.writes.take_number();
                let authenticate = InternalAuthenticateRequest { name, password: String::new(), simple_token };
                let data = apply::encode_authentication(number, authenticate);
                let then = Then::CheckRevision(request, revision);
                self.propose_write(number, data, Pending { client, deadline, then }, fx);
            }
            _ => fx.replies.push((client, Err(AuthError::AuthFailed.into()))),
        }
    }

    /// Whether a write that was applied has to be done once more before its client hears of it; then it is begun.
    pub(super) fn goes_on(
        &mut self,
        now: Now,
        entry: &Entry,
        pending: &Pending,
        applied: &mut Applied,
        fx: &mut Effects,
    ) -> bool {
        let Pending { client, deadline, then } = pending;
        match then {
            Then::Answer => false,
            Then::CheckRevision(request, revision) => {
                let stale = applied.result.is_ok() && *revision != self.state.auth.revision();
                if stale {
                    self.check_password(*client, request.clone(), *deadline, fx);
                }
                stale
            }
            Then::ProposeAgain(who, admitted) => {
                if applied.denied != Some(AuthError::AuthOldRevision) {
                    return false;
                }
                match self.info(now, who) {
                    Ok(info) if info.revision != *admitted => {
                        let number = self.writes.take_number();
                        let data = apply::encode_again(&info, number, entry);
                        let then = Then::ProposeAgain(who.clone(), info.revision);
                        self.propose_write(number, data, Pending { client: *client, deadline: *deadline, then }, fx);
                        return true;
                    }
                    Ok(_) => {}
                    Err(error) => applied.result = Err(error.into()),
                }
                false
            }
        }
    }
}

/// The request as the log may know it: with the password's hash in its place.
fn with_hash(request: AuthRequest, hash: &str) -> AuthRequest {
    let (password, hashed_password) = (String::new(), hash.to_owned());
    match request {
        AuthRequest::UserAdd(add) => {
            AuthRequest::UserAdd(crate::pb::etcdserverpb::AuthUserAddRequest { password, hashed_password, ..add })
        }
        AuthRequest::UserChangePassword(change) => {
            AuthRequest::UserChangePassword(crate::pb::etcdserverpb::AuthUserChangePasswordRequest {
                password,
                hashed_password,
                ..change
            })
        }
        other => other,
    }
}
