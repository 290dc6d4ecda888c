//! Leases (lesson 06): keys that live only as long as their owner says so.
//!
//! A lease has an id and a TTL in seconds. Keys hang on it; when it is revoked they go with it, in one revision. Granting,
//! revoking, checkpoints and attachments come from log entries, so that every member has the same leases and the same
//! keys on them. *Time* does not: only the primary (the leader, once it has applied everything of earlier terms) counts
//! down, and what it finds expired it proposes to revoke. A follower's leases live forever.
//!
//! ```text
//!   every member, by log entries                     the primary alone, by its monotonic clock
//!
//!   grant ──▶ lease ◀── attach/detach (put, delete)  promote ──▶ full TTL (or what a checkpoint left) ──▶ demote
//!               │                                               │      ▲ renew                            (forever)
//!   revoke ◀────┘                                               ▼      │
//!     └─▶ its keys, to be deleted                    expired ──▶ propose a revoke, again after 3 s
//!   checkpoint ──▶ remaining TTL                     due_checkpoints ──▶ propose a checkpoint
//! ```
//!
//! A new leader knows nothing of the old one's countdown and begins anew: a lease may outlive its TTL, never fall short
//! of it. If leaders change faster than TTLs, leases never expire. Checkpoints cure that: the primary has the remaining
//! TTL written down from time to time, and the next one begins there.
//!
//! What is stored, in the bucket `lease`:
//!
//! ```text
//!   id, i64 big-endian (so negative ids come after the others)   leasepb.Lease{id, ttl, remaining_ttl}
//! ```
//!
//! Which keys hang on a lease is not: each key's newest record names its lease ([`Lessor::replay`]).
//!
//! Nothing here reads a clock, and a jump of the wall clock moves no expiry (etcd #12291). The functions that a log entry
//! calls return the [`Record`] to write in that entry's transaction.
//!
//! `expiry` is the primary's side, `restore` begins again from what is stored, `queue` orders leases by time.
//!
//! # Left out
//! Who is primary, and when a promotion is safe (after a member has applied its own term's first entry), is the
//! member's business; so is asking a quorum before a revoke is proposed (etcd #15247).

mod expiry;
mod queue;
mod restore;

pub use expiry::{Renewal, TimeToLive};

use crate::backend::{Bucket, Record};
use crate::bug::{Bug, BugSet};
use crate::pb::leasepb;
use crate::time::{Nanos, SECOND};
use bytes::Bytes;
use prost::Message as _;
use queue::Queue;
use std::collections::{BTreeMap, BTreeSet};

/// The longest TTL that is granted, in seconds.
pub const TTL_MAX: i64 = 9_000_000_000;

/// Settings of a lessor; defaults are etcd's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Shorter TTLs are raised to this, in seconds: see [`ttl_min`].
    pub ttl_min: i64,
    /// Leases that may expire in a second.
    pub revoke_rate: usize,
    /// After which time the remaining TTL of a lease that still has longer to live is written down; `None`: never
    /// (etcd's default; with `--experimental-enable-lease-checkpoint` it is 5 minutes).
    pub checkpoint_interval: Option<Nanos>,
    /// Historical bugs that are switched on.
    pub bugs: BugSet,
}

impl Default for Config {
    fn default() -> Config {
        Config { ttl_min: ttl_min(SECOND), revoke_rate: 1_000, checkpoint_interval: None, bugs: BugSet::NONE }
    }
}

/// etcd's shortest TTL for an election timeout: one and a half of it, in whole seconds. A lease must be able to survive
/// an election.
pub fn ttl_min(election_timeout: Nanos) -> i64 {
    (election_timeout + election_timeout / 2).div_ceil(SECOND) as i64
}

/// Why a lease cannot be had; the texts are etcd's, since clients match on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum LeaseError {
    /// There is no such lease, or the id is 0.
    #[error("etcdserver: requested lease not found")]
    NotFound,
    /// The id is taken.
    #[error("etcdserver: lease already exists")]
    Exists,
    /// More than [`TTL_MAX`].
    #[error("etcdserver: too large lease TTL")]
    TtlTooLarge,
    /// Only the primary knows how long a lease will live. Never told to a client: the leader is asked instead.
    #[error("not a primary lessor")]
    NotPrimary,
}

/// All leases of a member.
///
/// - A key hangs on at most one lease, and `lease_of` and the leases' `keys` say the same.
/// - On a primary each lease has an expiry and stands in `expiries`; elsewhere none does, and both queues are empty.
#[derive(Clone, Debug)]
pub struct Lessor {
    config: Config,
    leases: BTreeMap<i64, Lease>,
    lease_of: BTreeMap<Bytes, i64>,
    primary: bool,
    /// When to look whether a lease has expired: at its expiry, and later again if the revoke did not come.
    expiries: Queue,
    /// When to write down what is left of a lease.
    checkpoints: Queue,
    counts: Counts,
}

/// How many leases were granted and revoked since the lessor was made: for metrics, never for a decision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Granted.
    pub granted: u64,
    /// Revoked, or expired.
    pub revoked: u64,
}

#[derive(Clone, Debug)]
struct Lease {
    /// What was granted, in seconds.
    ttl: i64,
    /// What the last checkpoint had left of it; 0: all.
    remaining_ttl: i64,
    /// `None`: never.
    expiry: Option<Nanos>,
    keys: BTreeSet<Bytes>,
}

impl Lease {
    fn new(ttl: i64, remaining_ttl: i64) -> Lease {
        Lease { ttl, remaining_ttl, expiry: None, keys: BTreeSet::new() }
    }

    /// How long it lives from a refresh on, in seconds.
    fn life(&self) -> i64 {
        if self.remaining_ttl > 0 { self.remaining_ttl } else { self.ttl }
    }

    fn record(&self, id: i64) -> Record {
        let value = leasepb::Lease { id, ttl: self.ttl, remaining_ttl: self.remaining_ttl };
        Record { bucket: Bucket::Lease, key: record_key(id), value: Some(value.encode_to_vec().into()) }
    }
}

fn record_key(id: i64) -> Bytes {
    Bytes::copy_from_slice(&id.to_be_bytes())
}

/// What a revoked lease leaves to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revoked {
    /// The keys that hung on it, ascending: to be deleted in this order, so that every member gives each tombstone the
    /// same revision.
    pub keys: Vec<Bytes>,
    /// To be written in the same transaction.
    pub record: Record,
}

impl Lessor {
    /// No leases, and not primary.
    pub fn new(config: Config) -> Lessor {
        Lessor {
            config,
            leases: BTreeMap::new(),
            lease_of: BTreeMap::new(),
            primary: false,
            expiries: Queue::default(),
            checkpoints: Queue::default(),
            counts: Counts::default(),
        }
    }

    /// Grants a lease. Returns its TTL in seconds, at least the minimum, and what to write. `now` matters only to the
    /// primary.
    pub fn grant(&mut self, now: Nanos, id: i64, ttl: i64) -> Result<(i64, Record), LeaseError> {
        if id == 0 {
            return Err(LeaseError::NotFound);
        }
        if ttl > TTL_MAX {
            return Err(LeaseError::TtlTooLarge);
        }
        if self.leases.contains_key(&id) {
            return Err(LeaseError::Exists);
        }
        let lease = Lease::new(ttl.max(self.config.ttl_min), 0);
        let granted = (lease.ttl, lease.record(id));
        self.leases.insert(id, lease);
        self.counts.granted += 1;
        if self.primary {
            self.refresh(now, id, 0);
            self.schedule_checkpoint(now, id);
        }
        Ok(granted)
    }

    /// What it has done.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Ends a lease. Its keys hang on nothing from now on; the caller deletes them.
    pub fn revoke(&mut self, id: i64) -> Result<Revoked, LeaseError> {
        let lease = self.leases.remove(&id).ok_or(LeaseError::NotFound)?;
        self.counts.revoked += 1;
        self.expiries.remove(id);
        self.checkpoints.remove(id);
        for key in &lease.keys {
            self.lease_of.remove(key);
        }
        let record = Record { bucket: Bucket::Lease, key: record_key(id), value: None };
        Ok(Revoked { keys: lease.keys.into_iter().collect(), record })
    }

    /// Notes what is left of a lease, in seconds; 0: all of it. Returns what to write; nothing for a lease that has
    /// gone meanwhile, which is no error. `now` matters only to the primary.
    pub fn checkpoint(&mut self, now: Nanos, id: i64, remaining_ttl: i64) -> Option<Record> {
        let lease = self.leases.get_mut(&id)?;
        lease.remaining_ttl = remaining_ttl;
        let record = lease.record(id);
        if self.primary {
            self.schedule_checkpoint(now, id);
        }
        // Before 3.5.2 it was noted in memory alone, and gone with the process (#13508).
        (!self.config.bugs.on(Bug::CheckpointVolatile)).then_some(record)
    }

    /// Hangs a key on a lease, whatever it hung on before.
    pub fn attach(&mut self, id: i64, key: &[u8]) -> Result<(), LeaseError> {
        if !self.contains(id) {
            return Err(LeaseError::NotFound);
        }
        self.detach(key);
        // Of its own: a slice of the request would keep the whole entry in memory.
        let key = Bytes::copy_from_slice(key);
        self.lease_of.insert(key.clone(), id);
        self.leases.get_mut(&id).expect("invariant: it was just there").keys.insert(key.clone());
        Ok(())
    }

    /// Takes a key off its lease: it was deleted, or put without one.
    pub fn detach(&mut self, key: &[u8]) {
        if let Some(id) = self.lease_of.remove(key) {
            let lease = self.leases.get_mut(&id).expect("invariant: keys hang on leases that exist");
            assert!(lease.keys.remove(key), "invariant: a lease knows its keys");
        }
    }

    /// Whether there is no lease at all.
    pub fn is_empty(&self) -> bool {
        self.leases.is_empty()
    }

    /// Whether there is such a lease.
    pub fn contains(&self, id: i64) -> bool {
        self.leases.contains_key(&id)
    }

    /// The lease that a key hangs on; 0: none.
    pub fn lease_of(&self, key: &[u8]) -> i64 {
        self.lease_of.get(key).copied().unwrap_or(0)
    }

    /// The keys on a lease, ascending; none if there is no such lease.
    pub fn keys(&self, id: i64) -> impl Iterator<Item = &Bytes> {
        self.leases.get(&id).into_iter().flat_map(|lease| &lease.keys)
    }

    /// All leases, the first to expire first; those that expire together (on all but the primary: never) by id.
    pub fn leases(&self) -> Vec<i64> {
        let mut leases: Vec<_> = self.leases.iter().map(|(&id, lease)| (lease.expiry, id)).collect();
        leases.sort_unstable();
        leases.into_iter().map(|(_, id)| id).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &'static str) -> Bytes {
        Bytes::from_static(text.as_bytes())
    }

    fn lessor() -> Lessor {
        Lessor::new(Config::default())
    }

    #[test]
    fn the_shortest_ttl_is_one_and_a_half_election_timeouts() {
        assert_eq!(ttl_min(SECOND), 2);
        assert_eq!(ttl_min(2 * SECOND), 3);
        assert_eq!(ttl_min(SECOND * 2 / 3), 1);
    }

    #[test]
    fn a_grant_is_refused_as_etcd_refuses_it() {
        let mut lessor = lessor();
        assert_eq!(lessor.grant(0, 0, 10).unwrap_err(), LeaseError::NotFound);
        assert_eq!(lessor.grant(0, 1, TTL_MAX + 1).unwrap_err(), LeaseError::TtlTooLarge);
        assert_eq!(lessor.grant(0, 1, TTL_MAX).unwrap().0, TTL_MAX);
        assert_eq!(lessor.grant(0, 1, 10).unwrap_err(), LeaseError::Exists);
        assert_eq!(lessor.grant(0, -1, 0).unwrap().0, 2, "a short one is raised to the minimum");
        assert_eq!(lessor.leases(), [-1, 1]);
    }

    #[test]
    fn a_lease_is_stored_as_etcd_stores_it() {
        let (_, record) = lessor().grant(0, -2, 60).unwrap();
        assert_eq!(record.bucket, Bucket::Lease);
        assert_eq!(record.key[..], [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe]);
        let value = leasepb::Lease::decode(record.value.unwrap()).unwrap();
        assert_eq!(value, leasepb::Lease { id: -2, ttl: 60, remaining_ttl: 0 });
    }

    #[test]
    fn a_revoke_names_the_keys_in_order_and_forgets_them() {
        let mut lessor = lessor();
        lessor.grant(0, 7, 10).unwrap();
        for name in ["c", "a", "b"] {
            lessor.attach(7, &key(name)).unwrap();
        }
        lessor.detach(b"b");
        let revoked = lessor.revoke(7).unwrap();
        assert_eq!(revoked.keys, [key("a"), key("c")]);
        assert_eq!(revoked.record, Record { bucket: Bucket::Lease, key: record_key(7), value: None });
        assert_eq!(lessor.lease_of(b"a"), 0);
        assert_eq!(lessor.revoke(7), Err(LeaseError::NotFound));
        // A lease of the same id is another lease.
        lessor.grant(0, 7, 10).unwrap();
        assert_eq!(lessor.revoke(7).unwrap().keys, [] as [Bytes; 0]);
    }

    #[test]
    fn a_key_hangs_on_one_lease() {
        let mut lessor = lessor();
        lessor.grant(0, 1, 10).unwrap();
        lessor.grant(0, 2, 10).unwrap();
        lessor.attach(1, &key("k")).unwrap();
        lessor.attach(1, &key("k")).unwrap();
        assert_eq!(lessor.keys(1).collect::<Vec<_>>(), [b"k".as_slice()], "put again with the same lease: kept");
        assert_eq!(lessor.attach(3, &key("k")), Err(LeaseError::NotFound));
        assert_eq!(lessor.lease_of(b"k"), 1, "a refused attachment changes nothing");
        lessor.attach(2, &key("k")).unwrap();
        assert_eq!((lessor.keys(1).count(), lessor.lease_of(b"k")), (0, 2));
        assert_eq!(lessor.revoke(1).unwrap().keys, [] as [Bytes; 0], "the old lease does not take it along");
        assert_eq!(lessor.lease_of(b"k"), 2);
    }

    #[test]
    fn a_checkpoint_is_stored_and_a_stale_one_is_ignored() {
        let mut lessor = lessor();
        lessor.grant(0, 1, 600).unwrap();
        let record = lessor.checkpoint(0, 1, 300).unwrap();
        let value = leasepb::Lease::decode(record.value.unwrap()).unwrap();
        assert_eq!(value, leasepb::Lease { id: 1, ttl: 600, remaining_ttl: 300 });
        assert_eq!(lessor.checkpoint(0, 2, 300), None);
    }
}
