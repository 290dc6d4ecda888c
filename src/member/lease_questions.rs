//! Keepalives, and how long a lease will live (lesson 06): the primary knows, and the other members ask it.
//!
//! ```text
//!   client ──▶ follower ── LeaseAsk ──▶ leader: is it the primary? ── LeaseAnswer ──▶ follower ──▶ client
//!                 ▲                                 └─ not (yet): "ask again" ──┐
//!                 └────────────── 50 ms later, whoever leads then ◀─────────────┘
//! ```
//!
//! A question waits here until it has its answer or its time is over: for a leader, for that leader to have applied what
//! earlier terms left, for the end of a lease that is over, for a checkpoint to be cleared. What another member asked is
//! sent on no further.
//!
//! Keepalives may be repeated at will: a lease begins its life anew, once or twice. So a question whose answer does not
//! come is asked again.

use super::{Effects, Member, PeerMessage, TraceEvent};
use crate::api::{AuthError, Credentials, Error, RequestId, Response};
use crate::apply::State;
use crate::lease::{LeaseError, Renewal, TimeToLive};
use crate::pb::etcdserverpb::{
    LeaseCheckpoint, LeaseKeepAliveResponse, LeaseTimeToLiveRequest, LeaseTimeToLiveResponse,
};
use crate::raft::NodeId;
use crate::time::{MILLISECOND, Nanos, Now};
use std::collections::VecDeque;

/// How long an answer is waited for before the question is asked again.
const RETRY: Nanos = 500 * MILLISECOND;
/// How long a member waits that was told to ask again.
const BACKOFF: Nanos = 50 * MILLISECOND;

/// What is asked about a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LeaseQuestion {
    /// Begin its life anew.
    KeepAlive(i64),
    /// How long will it live?
    TimeToLive(i64),
}

/// What the primary says.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum LeaseAnswer {
    /// There is no such lease.
    NotFound,
    /// It was renewed, and lives for so many seconds.
    Renewed(i64),
    /// How long it will live, and what hangs on it.
    Lives(TimeToLive),
}

#[derive(Debug)]
pub(super) struct Question {
    asker: Asker,
    about: LeaseQuestion,
    deadline: Nanos,
    /// The number under which the leader was asked, if it was.
    number: Option<u64>,
    /// Not before this is the leader asked (again), or a checkpoint proposed (again).
    again_at: Nanos,
}

#[derive(Clone, Copy, Debug)]
enum Asker {
    /// A client; whether it wants to know the keys, too.
    Client(RequestId, bool),
    /// Another member, with its number for the question.
    Peer(NodeId, u64),
}

/// Questions that wait.
#[derive(Debug, Default)]
pub(super) struct LeaseQuestions(VecDeque<Question>);

impl LeaseQuestions {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn wake_at(&self, now_at: Nanos) -> Nanos {
        // What waits for an event and for no moment has an `again_at` that has passed.
        let wakes = self.0.iter().flat_map(|question| [question.deadline, question.again_at]);
        wakes.filter(|at| *at > now_at).min().unwrap_or(Nanos::MAX)
    }
}

impl Member {
    pub(super) fn on_keepalive(&mut self, now: Now, id: RequestId, lease: i64, fx: &mut Effects) {
        self.ask_about_lease(now, Asker::Client(id, false), LeaseQuestion::KeepAlive(lease), fx);
    }

    pub(super) fn on_time_to_live(
        &mut self,
        now: Now,
        id: RequestId,
        who: &Credentials,
        request: LeaseTimeToLiveRequest,
        fx: &mut Effects,
    ) {
        let LeaseTimeToLiveRequest { id: lease, keys } = request;
        if keys && let Err(error) = self.may_see_keys(now, who, lease) {
            fx.replies.push((id, Err(error.into())));
            return;
        }
        self.ask_about_lease(now, Asker::Client(id, keys), LeaseQuestion::TimeToLive(lease), fx);
    }

    fn may_see_keys(&mut self, now: Now, who: &Credentials, lease: i64) -> Result<(), AuthError> {
        let info = self.info(now, who)?;
        let State { auth, lessor, .. } = &self.state;
        auth.check_lease_keys(&info, lease, &|lease| lessor.keys(lease).cloned().collect())
    }

    /// Another member asks on behalf of its client.
    pub(super) fn on_lease_ask(&mut self, now: Now, from: NodeId, number: u64, about: LeaseQuestion, fx: &mut Effects) {
        self.ask_about_lease(now, Asker::Peer(from, number), about, fx);
    }

    /// The leader answered; `None`: ask again.
    pub(super) fn on_lease_answer(&mut self, now: Now, number: u64, answer: Option<LeaseAnswer>, fx: &mut Effects) {
        let questions = &mut self.lease_questions.0;
        let Some(place) = questions.iter().position(|question| question.number == Some(number)) else { return };
        match answer {
            Some(answer) => {
                let question = questions.remove(place).expect("invariant: it was just found");
                self.tell_of_lease(&question, answer, fx);
            }
            None => questions[place].again_at = now.mono + BACKOFF,
        }
    }

    fn ask_about_lease(&mut self, now: Now, asker: Asker, about: LeaseQuestion, fx: &mut Effects) {
        let deadline = now.mono + self.config.request_timeout();
        self.lease_questions.0.push_back(Question { asker, about, deadline, number: None, again_at: 0 });
        self.answer_lease_questions(now, fx);
    }

    /// Answers what can be answered, sends on what the leader has to, and gives up what has waited too long.
    pub(super) fn answer_lease_questions(&mut self, now: Now, fx: &mut Effects) {
        for _ in 0..self.lease_questions.0.len() {
            let Some(mut question) = self.lease_questions.0.pop_front() else { return };
            if let Some(answer) = self.answer_as_primary(now, &mut question, fx) {
                self.tell_of_lease(&question, answer, fx);
            } else if question.deadline <= now.mono {
                let error = if self.raft.leader() == 0 { Error::NoLeader } else { Error::Timeout };
                self.give_up(question.asker, error, fx);
            } else if self.is_leader() {
                self.lease_questions.0.push_back(question);
            } else if let Asker::Client(..) = question.asker {
                self.send_question_on(now, &mut question, fx);
                self.lease_questions.0.push_back(question);
            } else {
                self.give_up(question.asker, Error::NotLeader, fx);
            }
        }
    }

    /// The answer, if this member counts leases down and the lease is not between living and dead.
    fn answer_as_primary(&mut self, now: Now, question: &mut Question, fx: &mut Effects) -> Option<LeaseAnswer> {
        if !self.state.lessor.is_primary() {
            return None;
        }
        match question.about {
            LeaseQuestion::TimeToLive(lease) => Some(match self.state.lessor.time_to_live(now.mono, lease) {
                Ok(life) => LeaseAnswer::Lives(life),
                Err(_) => LeaseAnswer::NotFound,
            }),
            LeaseQuestion::KeepAlive(lease) => match self.state.lessor.renew(now.mono, lease) {
                Ok(Renewal::Renewed(ttl)) => {
                    fx.trace.push(TraceEvent::LeaseRenewed { lease });
                    Some(LeaseAnswer::Renewed(ttl))
                }
                Ok(Renewal::ClearCheckpoint) => {
                    if question.again_at <= now.mono {
                        question.again_at = now.mono + RETRY;
                        self.propose_checkpoints(vec![LeaseCheckpoint { id: lease, remaining_ttl: 0 }]);
                    }
                    None
                }
                Ok(Renewal::Wait) | Err(LeaseError::NotPrimary) => None,
                Err(_) => Some(LeaseAnswer::NotFound),
            },
        }
    }

    fn send_question_on(&mut self, now: Now, question: &mut Question, fx: &mut Effects) {
        let leader = self.raft.leader();
        if leader == 0 || question.again_at > now.mono {
            return;
        }
        question.again_at = now.mono + RETRY;
        let number = *question.number.get_or_insert_with(|| self.writes.take_number());
        fx.peers.push((leader, PeerMessage::LeaseAsk { number, about: question.about }));
    }

    fn tell_of_lease(&self, question: &Question, answer: LeaseAnswer, fx: &mut Effects) {
        let (client, keys) = match question.asker {
            Asker::Client(client, keys) => (client, keys),
            Asker::Peer(to, number) => {
                fx.peers.push((to, PeerMessage::LeaseAnswer { number, answer: Some(answer) }));
                return;
            }
        };
        let header = self.header(self.state.store.revision());
        let response = match question.about {
            LeaseQuestion::KeepAlive(id) => {
                // A TTL of 0 is etcd's way to say that there is no such lease.
                let ttl = if let LeaseAnswer::Renewed(ttl) = answer { ttl } else { 0 };
                Response::LeaseKeepAlive(LeaseKeepAliveResponse { header, id, ttl })
            }
            LeaseQuestion::TimeToLive(id) => {
                let gone = TimeToLive { ttl: -1, granted_ttl: 0, keys: Vec::new() };
                let life = if let LeaseAnswer::Lives(life) = answer { life } else { gone };
                let TimeToLive { ttl, granted_ttl, keys: all } = life;
                let keys = if keys { all } else { Vec::new() };
                Response::LeaseTimeToLive(LeaseTimeToLiveResponse { header, id, ttl, granted_ttl, keys })
            }
        };
        fx.replies.push((client, Ok(response)));
    }

    fn give_up(&self, asker: Asker, error: Error, fx: &mut Effects) {
        match asker {
            Asker::Client(client, _) => fx.replies.push((client, Err(error))),
            Asker::Peer(to, number) => fx.peers.push((to, PeerMessage::LeaseAnswer { number, answer: None })),
        }
    }
}
