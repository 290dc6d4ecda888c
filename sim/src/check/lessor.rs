//! Leases while the world runs (`lease`): the rules of [`super::lease`], fed with what the world sees.
//!
//! **What is seen.** The committed log, entry by entry: grants, checkpoints, and ends, asked for by a client or not. And
//! the primaries' own account: when one was promoted, and which lease it renewed for a client, by its clock.
//!
//! **Who counts.** A lease's time is that of the primary of the newest term. When a leader is promoted, every lease begins
//! anew, with what its last committed checkpoint left. The end of a lease that no client asked for is judged by the
//! primary of the end's own term: a revoke in a term in which nobody counts yet was decided by someone who counts no longer
//! (etcd #15247).
//!
//! **In the end.** A primary whose entries are committed could have had the lease's end committed. So a lease that is
//! over, and was seen to be over, must be gone when an entry of the same term is applied [`SLACK`] later. But not if a
//! later leader was elected: it may have committed what the primary had left behind.
//!
//! **Gone is gone.** A leader that counts has applied all entries of earlier terms; it renews no lease that one of them
//! ended (etcd #6570). In its own term it may renew one whose end it has yet to apply.
//!
//! Left out: that the keys go too, which the model sees ([`by_log`](super::by_log)); members that were deposed and
//! do not know, which renew what they like.

use super::Failure;
use super::lease::{self, Lease, LeaseEnd, Nanos};
use super::log::Committed;
use std::collections::BTreeMap;

const SECOND: Nanos = 1_000_000_000;

/// How long a lease that is over may stay: the lease loop's half second, the three after which a revoke is proposed
/// again, and what the log needs; twice, and rounded up.
pub const SLACK: Nanos = 10 * SECOND;

/// See the module.
#[derive(Debug, Default)]
pub struct LeaseChecker {
    /// The shortest TTL that is granted, in seconds.
    ttl_min: i64,
    leases: BTreeMap<i64, Counted>,
    /// Leases that ended, with the term of the entry that ended them.
    gone: BTreeMap<i64, u64>,
    primary: Option<Primary>,
    /// The newest term that has had a leader.
    elected: u64,
    tally: LeaseTally,
}

/// Figures of the leases of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeaseTally {
    /// Granted.
    pub granted: u64,
    /// Revoked because a client asked.
    pub revoked: u64,
    /// Revoked because their time was over.
    pub expired: u64,
    /// Renewals that a primary gave.
    pub renewed: u64,
    /// There at the end.
    pub left: u64,
}

#[derive(Clone, Copy, Debug)]
struct Primary {
    member: usize,
    term: u64,
}

#[derive(Clone, Copy, Debug)]
struct Counted {
    /// What was granted, in seconds.
    ttl: i64,
    /// What the last checkpoint left of it, in seconds; 0: all.
    remaining: i64,
    /// From when the primary counts, and how long; `None`: nobody counts.
    counted: Option<(Nanos, Nanos)>,
    /// When it was first seen to be over.
    seen_over: Option<Nanos>,
}

impl Counted {
    fn begin(&mut self, now: Nanos) {
        let life = if self.remaining > 0 { self.remaining } else { self.ttl };
        self.counted = Some((now, u64::try_from(life).unwrap_or(0).saturating_mul(SECOND)));
        self.seen_over = None;
    }

    fn as_lease(&self, id: i64, end: Option<LeaseEnd>) -> Option<Lease> {
        let (from, ttl) = self.counted?;
        Some(Lease { id, ttl, counted_from: vec![from], end, keys: Vec::new() })
    }
}

impl LeaseChecker {
    /// For members that grant no shorter TTL than this, in seconds.
    pub fn new(ttl_min: i64) -> LeaseChecker {
        LeaseChecker { ttl_min, ..LeaseChecker::default() }
    }

    /// The figures up to now.
    pub fn tally(&self) -> LeaseTally {
        LeaseTally { left: self.leases.len() as u64, ..self.tally }
    }

    /// The member whose clock counts.
    pub fn primary(&self) -> Option<usize> {
        self.primary.map(|primary| primary.member)
    }

    /// There is a leader of this term.
    pub fn on_elected(&mut self, term: u64) {
        self.elected = self.elected.max(term);
    }

    /// A member counts leases down from now on, by its clock.
    pub fn on_promoted(&mut self, member: usize, term: u64, now: Nanos) {
        if self.primary.is_some_and(|primary| primary.term > term) {
            return;
        }
        self.primary = Some(Primary { member, term });
        self.leases.values_mut().for_each(|lease| lease.begin(now));
    }

    /// A member renewed a lease for a client, now by its clock.
    pub fn on_renewed(&mut self, member: usize, id: i64, now: Nanos) -> Result<(), Failure> {
        let Some(primary) = self.primary.filter(|primary| primary.member == member) else { return Ok(()) };
        self.tally.renewed += 1;
        if let Some(lease) = self.leases.get_mut(&id) {
            lease.begin(now);
        } else if let Some(ended) = self.gone.get(&id).filter(|ended| **ended < primary.term) {
            let (member, term) = (member + 1, primary.term);
            let text = format!(
                "n{member}, the leader of term {term}, renewed lease {id}, which an entry of term {ended} had ended"
            );
            return Err(Failure::new("lease", text));
        }
        Ok(())
    }

    /// An entry was applied for the first time. `now` is the time of the primary's clock, if there is one.
    pub fn on_entry(&mut self, committed: &Committed, now: Nanos) -> Result<(), Failure> {
        let request = committed.request();
        let term = committed.entry.term;
        if let Some(grant) = &request.lease_grant
            && grant.id != 0
            && grant.ttl <= seedbed::lease::TTL_MAX
            && !self.leases.contains_key(&grant.id)
        {
            let ttl = grant.ttl.max(self.ttl_min);
            let mut lease = Counted { ttl, remaining: 0, counted: None, seen_over: None };
            if self.primary.is_some() {
                lease.begin(now);
            }
            self.leases.insert(grant.id, lease);
            self.gone.remove(&grant.id);
            self.tally.granted += 1;
        }
        for checkpoint in request.lease_checkpoint.iter().flat_map(|request| &request.checkpoints) {
            if let Some(lease) = self.leases.get_mut(&checkpoint.id) {
                lease.remaining = checkpoint.remaining_ttl;
            }
        }
        if let Some(revoke) = &request.lease_revoke
            && let Some(lease) = self.leases.remove(&revoke.id)
        {
            self.gone.insert(revoke.id, term);
            if committed.operation.is_some() {
                self.tally.revoked += 1;
            } else {
                self.tally.expired += 1;
                self.judge_end(revoke.id, lease, committed, now)?;
            }
        }
        self.judge_those_left(term, now)
    }

    /// A lease ended, and no client had asked for it.
    fn judge_end(&self, id: i64, lease: Counted, committed: &Committed, now: Nanos) -> Result<(), Failure> {
        let Some(primary) = self.primary else { return Ok(()) };
        let term = committed.entry.term;
        if term > primary.term {
            let text = format!("lease {id} was ended in term {term}, in which nobody counted leases down yet");
            return Err(Failure::new("lease", text));
        }
        if term < primary.term {
            // An old leader's decision, which others apply late.
            return Ok(());
        }
        let end = LeaseEnd { at: now, revoked_by_client: false, revision: committed.revision, deleted: Vec::new() };
        let Some(lease) = lease.as_lease(id, Some(end)) else { return Ok(()) };
        // Being late is for those that are left.
        lease::check(&lease, now, Nanos::MAX / 4).map_err(|text| Failure::new("lease", text))
    }

    /// Leases that are over, and seen to be so by someone who can end them.
    fn judge_those_left(&mut self, term: u64, now: Nanos) -> Result<(), Failure> {
        if self.elected > term || self.primary.is_none_or(|primary| primary.term != term) {
            return Ok(());
        }
        for (id, lease) in &mut self.leases {
            let Some((from, life)) = lease.counted else { continue };
            let over = from.saturating_add(life);
            if over > now {
                continue;
            }
            let seen = *lease.seen_over.get_or_insert(now);
            if now > seen + SLACK
                && let Some(lease) = lease.as_lease(*id, None)
            {
                return lease::check(&lease, now, SLACK).map_err(|text| Failure::new("lease", text));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use seedbed::api::Request;
    use seedbed::pb::etcdserverpb::{LeaseGrantRequest, LeaseRevokeRequest};
    use seedbed::raft::{Entry, EntryKind};

    fn entry(term: u64, request: Request, operation: Option<u32>) -> Committed {
        let data = seedbed::apply::encode(1, request).into();
        Committed { entry: Entry { kind: EntryKind::Normal, term, index: 1, data }, at: 0, revision: 1, operation }
    }

    fn grant(term: u64, id: i64, ttl: i64) -> Committed {
        entry(term, Request::LeaseGrant(LeaseGrantRequest { id, ttl }), Some(0))
    }

    fn revoke(term: u64, id: i64) -> Committed {
        entry(term, Request::LeaseRevoke(LeaseRevokeRequest { id }), None)
    }

    /// A primary of term 2 on member 0, and a lease of 10 s that was granted at second 1.
    fn checker() -> LeaseChecker {
        let mut checker = LeaseChecker::new(2);
        checker.on_promoted(0, 2, 0);
        checker.on_entry(&grant(2, 7, 10), SECOND).expect("a grant");
        checker
    }

    fn says(result: Result<(), Failure>, words: &str) {
        let failure = result.expect_err("the checker must object");
        assert_eq!(failure.check, "lease");
        assert!(failure.text.contains(words), "{}", failure.text);
    }

    #[test]
    fn a_lease_that_ends_when_its_time_is_over_is_right() {
        let mut checker = checker();
        assert_eq!(checker.on_renewed(0, 7, 5 * SECOND), Ok(()));
        assert_eq!(checker.on_entry(&revoke(2, 7), 15 * SECOND), Ok(()));
        let tally = LeaseTally { granted: 1, renewed: 1, expired: 1, ..LeaseTally::default() };
        assert_eq!(checker.tally(), tally);
    }

    #[test]
    fn an_early_end_is_found_whoever_counted() {
        says(checker().on_entry(&revoke(2, 7), 11 * SECOND - 1), "before its time was over");
        let mut renewed = checker();
        renewed.on_renewed(0, 7, 5 * SECOND).expect("a renewal");
        says(renewed.on_entry(&revoke(2, 7), 14 * SECOND), "before its time was over");
        let mut promoted = checker();
        promoted.on_promoted(1, 3, 9 * SECOND);
        says(promoted.on_entry(&revoke(3, 7), 12 * SECOND), "before its time was over");
        says(checker().on_entry(&revoke(3, 7), 12 * SECOND), "nobody counted leases down yet");
    }

    #[test]
    fn a_stale_primary_does_not_count() {
        let mut checker = checker();
        checker.on_promoted(1, 3, 9 * SECOND);
        checker.on_promoted(0, 2, 9 * SECOND);
        assert_eq!(checker.primary(), Some(1));
        assert_eq!(checker.on_renewed(0, 7, 15 * SECOND), Ok(()));
        assert_eq!(checker.on_entry(&revoke(3, 7), 19 * SECOND), Ok(()), "by the clock of the one that counts");
    }

    #[test]
    fn a_lease_that_never_ends_is_found() {
        let mut checker = checker();
        assert_eq!(checker.on_entry(&grant(2, 8, 100), 12 * SECOND), Ok(()));
        assert_eq!(checker.on_entry(&grant(2, 9, 100), 22 * SECOND), Ok(()), "first seen at 12 s");
        says(checker.on_entry(&grant(2, 10, 100), 23 * SECOND), "is still there");
    }

    #[test]
    fn what_a_later_leader_commits_of_an_old_term_shows_nothing() {
        let mut checker = checker();
        assert_eq!(checker.on_entry(&grant(2, 8, 100), 12 * SECOND), Ok(()), "it is over");
        checker.on_elected(3);
        assert_eq!(checker.on_entry(&grant(2, 9, 100), 23 * SECOND), Ok(()));
    }

    #[test]
    fn a_renewal_of_what_an_earlier_term_ended_is_found() {
        let mut checker = checker();
        checker.on_entry(&revoke(2, 7), 20 * SECOND).expect("its time was over");
        assert_eq!(checker.on_renewed(0, 7, 20 * SECOND), Ok(()), "it has yet to apply its own");
        checker.on_promoted(1, 3, 20 * SECOND);
        says(checker.on_renewed(1, 7, 20 * SECOND), "which an entry of term 2 had ended");
    }
}
