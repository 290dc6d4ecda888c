//! Requests of any kind, and what came of them.
//!
//! The histories of key-value workloads (`history`) hold a million operations of four kinds. Other clients ask for
//! anything that a member answers: here is each request as it was sent, with the whole answer. [`by_log`](super::by_log)
//! judges them.

use super::history::Text;
use super::lease::Nanos;
use seedbed::api::{Error, Request, Response};
use seedbed::pb::etcdserverpb::{PutRequest, RangeRequest};
use std::fmt;

/// One request of one client.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    /// The client.
    pub client: u32,
    /// Index of the member asked last.
    pub member: u8,
    /// When it was first asked, virtual nanoseconds.
    pub call: Nanos,
    /// What was asked.
    pub request: Request,
    /// What came of it.
    pub ending: Ending,
}

/// What came of a request, as its client knows it.
#[derive(Clone, Debug, PartialEq)]
pub enum Ending {
    /// It was done.
    Answered {
        /// When the answer arrived.
        ret: Nanos,
        /// The answer.
        response: Response,
    },
    /// The store refused it, as it then was: no such lease, no such revision.
    Refused {
        /// When the answer arrived.
        ret: Nanos,
        /// Why.
        error: Error,
    },
    /// It was certainly not executed.
    Failed,
    /// It may have been executed, or may yet be.
    Unknown,
}

impl Asked {
    /// When the answer arrived, if one did.
    pub fn ret(&self) -> Option<Nanos> {
        match self.ending {
            Ending::Answered { ret, .. } | Ending::Refused { ret, .. } => Some(ret),
            Ending::Failed | Ending::Unknown => None,
        }
    }
}

/// Whether an error says something about the store, and not about the member or the request's form.
pub fn is_of_the_store(error: &Error) -> bool {
    matches!(
        error,
        Error::KeyNotFound
            | Error::FutureRevision
            | Error::Compacted
            | Error::LeaseNotFound
            | Error::LeaseExists
            | Error::LeaseTtlTooLarge
    )
}

/// One line for a story: `client 3  put k7 with lease 12  8.112 → 8.140`. Times in seconds.
impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "client {}  ", self.client)?;
        match &self.request {
            Request::Put(PutRequest { key, lease: 0, .. }) => write!(f, "put {}", Text(key))?,
            Request::Put(PutRequest { key, lease, .. }) => write!(f, "put {} with lease {lease}", Text(key))?,
            Request::Range(RangeRequest { key, revision: 0, .. }) => write!(f, "range {}", Text(key))?,
            Request::Range(RangeRequest { key, revision, .. }) => write!(f, "range {} at {revision}", Text(key))?,
            Request::DeleteRange(delete) => write!(f, "delete {}", Text(&delete.key))?,
            Request::Txn(txn) => write!(f, "txn of {} compares", txn.compare.len())?,
            Request::Compact(compact) => write!(f, "compact {}", compact.revision)?,
            Request::LeaseGrant(grant) => write!(f, "grant a lease of {} s", grant.ttl)?,
            Request::LeaseRevoke(revoke) => write!(f, "revoke lease {}", revoke.id)?,
            Request::LeaseKeepAlive(renewal) => write!(f, "keep lease {} alive", renewal.id)?,
            Request::LeaseTimeToLive(asked) => write!(f, "time to live of lease {}", asked.id)?,
            other => write!(f, "{other:?}")?,
        }
        write!(f, "  {:.3} → ", self.call as f64 / 1e9)?;
        match &self.ending {
            Ending::Answered { ret, .. } => write!(f, "{:.3}", *ret as f64 / 1e9),
            Ending::Refused { ret, error } => write!(f, "{:.3}  {error}", *ret as f64 / 1e9),
            Ending::Failed => f.write_str("failed"),
            Ending::Unknown => f.write_str("unknown"),
        }
    }
}
