//! Judging what clients saw: does an answer fit, and which states may follow?

use super::{Answer, Refusal, Reply, Request, State};
use seedbed::pb::etcdserverpb::{DeleteRangeResponse, PutResponse, RangeResponse};
use seedbed::pb::mvccpb::KeyValue;

/// How much of an answer was written down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Detail {
    /// All of it.
    #[default]
    Full,
    /// What etcd's robustness tests keep: no `create_revision`, no lease, no `more`, no previous keys, no grant.
    Robustness,
}

/// What a client saw of a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Seen {
    /// An answer, of which so much was written down. A revision of `None` was not, and fits every one.
    Answer(Answer, Detail),
    /// No answer, but it is known that the request was executed; perhaps also, at which revision the store then was.
    Executed(Option<i64>),
    /// No answer. The request was executed, or was not.
    Unknown,
}

impl Seen {
    /// Whether a store that would answer `expected` may have shown this.
    pub fn fits(&self, expected: &Answer) -> bool {
        let same_revision = |seen: Option<i64>| seen.is_none() || seen == expected.revision;
        match self {
            Seen::Answer(seen, detail) => {
                same_revision(seen.revision)
                    && match (&expected.result, &seen.result) {
                        (Ok(expected), Ok(seen)) => fits(expected, seen, *detail),
                        (Err(expected), Err(seen)) => expected == seen,
                        _ => false,
                    }
            }
            Seen::Executed(revision) => same_revision(*revision),
            Seen::Unknown => true,
        }
    }
}

fn fits(expected: &Reply, seen: &Reply, detail: Detail) -> bool {
    match (expected, seen) {
        (Reply::Forgotten, Reply::Range(_)) => true,
        (Reply::Txn { succeeded, replies }, Reply::Txn { succeeded: came_out, replies: seen }) => {
            succeeded == came_out
                && replies.len() == seen.len()
                && replies.iter().zip(seen).all(|(expected, seen)| fits(expected, seen, detail))
        }
        (Reply::LeaseGrant { id, ttl }, Reply::LeaseGrant { id: seen, ttl: granted }) => {
            // The member may have raised the TTL to the least that it grants.
            detail == Detail::Robustness || (id == seen && granted >= ttl)
        }
        _ if detail == Detail::Robustness => as_robustness(expected.clone()) == as_robustness(seen.clone()),
        _ => expected == seen,
    }
}

/// What the robustness tests would have kept of an answer.
fn as_robustness(reply: Reply) -> Reply {
    let kept = |kv| KeyValue { create_revision: 0, lease: 0, ..kv };
    match reply {
        Reply::Range(RangeResponse { kvs, count, .. }) => {
            let kvs = kvs.into_iter().map(kept).collect();
            Reply::Range(RangeResponse { kvs, count, ..RangeResponse::default() })
        }
        Reply::Put(_) => Reply::Put(PutResponse::default()),
        Reply::DeleteRange(DeleteRangeResponse { deleted, .. }) => {
            Reply::DeleteRange(DeleteRangeResponse { deleted, ..DeleteRangeResponse::default() })
        }
        reply => reply,
    }
}

/// The states that a store may be in, going by what was seen of it. Never none.
#[derive(Clone, Debug)]
pub struct States(Vec<State>);

/// A store that is known to be empty.
impl Default for States {
    fn default() -> States {
        States::from(State::default())
    }
}

/// A store whose state is known.
impl From<State> for States {
    fn from(state: State) -> States {
        States(vec![state])
    }
}

impl States {
    /// The states, each once.
    pub fn all(&self) -> &[State] {
        &self.0
    }

    /// Takes in what was seen of the next request. If no state would have shown that, nothing changes, and what
    /// each of them would have answered is returned.
    ///
    /// `n` unknown requests that change something make up to `2^n` states.
    pub fn step(&mut self, request: &Request, seen: &Seen) -> Result<(), Vec<Answer>> {
        let mut next: Vec<State> = Vec::new();
        let mut refuted = Vec::new();
        let mut follows = |state: State| {
            if !next.contains(&state) {
                next.push(state);
            }
        };
        for before in &self.0 {
            let mut after = before.clone();
            let (expected, _) = after.execute(request);
            if seen.fits(&expected) {
                follows(after);
            } else {
                refuted.push(expected);
            }
            if *seen == Seen::Unknown {
                follows(before.clone());
            }
        }
        if next.is_empty() {
            return Err(refuted);
        }
        self.0 = next;
        Ok(())
    }
}

impl Answer {
    /// An answer with a header of this revision.
    pub fn ok(revision: i64, reply: Reply) -> Answer {
        Answer { revision: Some(revision), result: Ok(reply) }
    }

    /// An error.
    pub fn refused(refusal: Refusal) -> Answer {
        Answer { revision: None, result: Err(refusal) }
    }
}
