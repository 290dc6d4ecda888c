//! An election (etcd's `v3election`): a place in a line that shows a value while it is the first.
//!
//! A leader may change its value and resign, each guarded by its token: one that has lost its lease changes nothing. Who
//! leads is the oldest key; whoever wants to follow along watches the prefix.

use super::{Line, first_of, guarded, leave, owns, prefix_of, put};
use crate::api::{Request, Response};
use crate::bug::BugSet;
use crate::pb::etcdserverpb::SortOrder;
use crate::pb::etcdserverpb::request_op::Request as Op;
use bytes::Bytes;

/// Why an election's request failed; the texts are etcd's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ElectionError {
    /// Whoever asked does not lead, or not any more.
    #[error("election: not leader")]
    NotLeader,
}

/// One candidate. See [`Line`] for how to drive it.
#[derive(Clone, Debug)]
pub struct Campaign {
    line: Line,
    lease: i64,
}

/// Asks who leads the election `name`: the answer's only key, or none (etcd: "election: no leader").
pub fn leader(name: &[u8]) -> Request {
    Request::Range(first_of(&prefix_of(name), SortOrder::Ascend))
}

/// Shows another value under a candidate's key, held by this lease from now on, if the key is still the one that was
/// created at revision `token`.
pub fn proclaim(key: &Bytes, token: i64, value: &Bytes, lease: i64) -> Request {
    guarded(owns(key, token), Op::RequestPut(put(key, value, lease)))
}

impl Campaign {
    /// A candidate of the election `name`, by the session of this lease, with what it will show as leader.
    pub fn new(name: &[u8], lease: i64, value: Bytes, bugs: BugSet) -> Campaign {
        Campaign { line: Line::new(name, lease, value, bugs), lease }
    }

    /// Its place in the line, to be driven to its head.
    pub fn line(&mut self) -> &mut Line {
        &mut self.line
    }

    /// The candidate's key.
    pub fn key(&self) -> &Bytes {
        self.line.key()
    }

    /// The revision that created it; 0 before it stands in the line.
    pub fn token(&self) -> i64 {
        self.line.token()
    }

    /// Shows another value. [`Campaign::proclaimed`] reads the answer.
    pub fn proclaim(&self, value: &Bytes) -> Request {
        proclaim(self.line.key(), self.line.token(), value, self.lease)
    }

    /// Whether the new value is shown.
    pub fn proclaimed(&self, response: &Response) -> Result<(), ElectionError> {
        match response {
            Response::Txn(response) if response.succeeded => Ok(()),
            _ => Err(ElectionError::NotLeader),
        }
    }

    /// Leads no longer.
    pub fn resign(&self) -> Request {
        leave(self.line.key(), self.line.token())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pb::etcdserverpb::TxnResponse;

    #[test]
    fn who_lost_its_key_proclaims_nothing() {
        let campaign = Campaign::new(b"boss", 5, "me".into(), BugSet::NONE);
        let Request::Txn(txn) = campaign.proclaim(&"still me".into()) else { panic!("a transaction") };
        assert_eq!((txn.compare.len(), txn.success.len(), txn.failure.len()), (1, 1, 0));
        let answer = |succeeded| Response::Txn(TxnResponse { succeeded, ..TxnResponse::default() });
        assert_eq!(campaign.proclaimed(&answer(true)), Ok(()));
        let refused = campaign.proclaimed(&answer(false)).unwrap_err();
        assert_eq!(refused.to_string(), "election: not leader");
    }
}
