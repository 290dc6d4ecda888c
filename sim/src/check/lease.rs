//! Leases: not too early, not never, and with all their keys.
//!
//! A lease promises its holder that its keys stay for as long as it is kept alive (lesson 06). What is judged:
//! 1. **Not early.** A lease that nobody revoked ends no sooner than its TTL after the latest moment from which the
//!    leader counted: the grant, a renewal, or the election of a leader, which gives every lease its time anew. By the clock of the
//!    leader that ended it: a clock that runs fast is the leader's own fault, not the lease's.
//! 2. **In the end.** A lease whose time is over ends within a bound, if somebody led all the time.
//! 3. **With its keys.** All that hung on it went with it, in the one revision in which it ended.
//!
//! Left out: which keys hang on it, which the model knows ([`super::model`]), and the spreading of leases that a new leader finds
//! expired all at once.

/// Virtual nanoseconds.
pub type Nanos = u64;

/// The life of one lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Its number.
    pub id: i64,
    /// The TTL that was granted.
    pub ttl: Nanos,
    /// When its time began to run, and began anew: the grant, the renewals, the elections. By the leader's clock, ascending; never
    /// empty.
    pub counted_from: Vec<Nanos>,
    /// How it ended; `None` if it was there at the end.
    pub end: Option<LeaseEnd>,
    /// Keys that hung on it when it ended.
    pub keys: Vec<bytes::Bytes>,
}

/// How a lease ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseEnd {
    /// When it was decided, by the leader's clock.
    pub at: Nanos,
    /// Whether a client asked for it.
    pub revoked_by_client: bool,
    /// The revision, and what was deleted in it.
    pub revision: i64,
    /// Keys that were deleted at that revision.
    pub deleted: Vec<bytes::Bytes>,
}

/// Judges a lease. The recording ended at `now` by the leader's clock; a lease that is over may stay for another `slack`.
pub fn check(lease: &Lease, now: Nanos, slack: Nanos) -> Result<(), String> {
    let id = lease.id;
    let began = |at: Nanos| lease.counted_from.iter().copied().filter(|from| *from <= at).max().unwrap_or(0);
    let Some(end) = &lease.end else {
        let over = began(now) + lease.ttl;
        return match now > over + slack {
            true => Err(format!("lease {id} was over at {over} ns and is still there at {now} ns")),
            false => Ok(()),
        };
    };
    let over = began(end.at) + lease.ttl;
    if !end.revoked_by_client && end.at < over {
        return Err(format!("lease {id} ended at {} ns, before its time was over at {over} ns", end.at));
    }
    if end.at > over + slack {
        return Err(format!("lease {id} was over at {over} ns and ended only at {} ns", end.at));
    }
    match lease.keys.iter().find(|key| !end.deleted.contains(key)) {
        Some(key) => {
            let (key, revision) = (super::history::Text(key), end.revision);
            Err(format!("lease {id} ended at revision {revision}, but {key}, which hung on it, was not deleted there"))
        }
        None => Ok(()),
    }
}
