//! The primary's side: how long leases live.
//!
//! A lease that was found expired is not gone: its revoke has to be agreed on first, which can fail. Meanwhile it can
//! neither be renewed (its owner would believe in a lease that is about to go) nor be called dead ([`Renewal::Wait`]).
//!
//! # A pile-up
//! A promotion gives every lease its full TTL at one instant, so leases of equal TTL would expire at one instant too,
//! and their revokes would crowd the log out. They are spread: no second has more than three quarters of the revoke
//! rate, which leaves room for leases that expire by themselves. The first of a crowd keep their time.

use super::{LeaseError, Lessor};
use crate::pb::etcdserverpb::LeaseCheckpoint;
use crate::time::{Nanos, SECOND};
use bytes::Bytes;

/// After what time the revoke of an expired lease is proposed again.
const RETRY: Nanos = 3 * SECOND;

/// The most checkpoints in one proposal.
const CHECKPOINTS_MAX: usize = 1_000;

/// What a keepalive brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewal {
    /// The lease lives so many seconds from now on.
    Renewed(i64),
    /// A checkpoint stands against it. Propose one with a remaining TTL of 0, and renew again when it is applied: until
    /// then a new leader would cut the lease short.
    ClearCheckpoint,
    /// It has expired and is about to be revoked. Renew again when it was revoked ([`LeaseError::NotFound`]) or when
    /// this lessor was demoted ([`LeaseError::NotPrimary`]).
    Wait,
}

/// How long a lease will live.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TimeToLive {
    /// What is left, in whole seconds; below 0 once it has expired for longer than one.
    pub ttl: i64,
    /// What was granted, in seconds.
    pub granted_ttl: i64,
    /// Its keys, ascending.
    pub keys: Vec<Bytes>,
}

impl Lessor {
    /// This member counts the leases down from now on. Each begins anew, with `extend` on top: the election timeout, since
    /// owners could not renew during the election.
    pub fn promote(&mut self, now: Nanos, extend: Nanos) {
        self.primary = true;
        for id in self.leases.keys().copied().collect::<Vec<_>>() {
            self.refresh(now, id, extend);
        }
        let ids = self.leases();
        let mut expiries: Vec<Nanos> = ids.iter().filter_map(|id| self.leases[id].expiry).collect();
        spread(&mut expiries, (self.config.revoke_rate * 3 / 4).max(1));
        for (id, expiry) in ids.into_iter().zip(expiries) {
            self.set_expiry(id, expiry);
            self.schedule_checkpoint(now, id);
        }
    }

    /// This member counts no longer: its leases live forever, until someone else revokes them.
    pub fn demote(&mut self) {
        self.primary = false;
        self.expiries.clear();
        self.checkpoints.clear();
        self.leases.values_mut().for_each(|lease| lease.expiry = None);
    }

    /// Whether this member counts leases down.
    pub fn is_primary(&self) -> bool {
        self.primary
    }

    /// Renews a lease: see [`Renewal`].
    pub fn renew(&mut self, now: Nanos, id: i64) -> Result<Renewal, LeaseError> {
        if !self.primary {
            return Err(LeaseError::NotPrimary);
        }
        let lease = self.leases.get(&id).ok_or(LeaseError::NotFound)?;
        if lease.expiry <= Some(now) {
            return Ok(Renewal::Wait);
        }
        if lease.remaining_ttl > 0 {
            return Ok(Renewal::ClearCheckpoint);
        }
        let ttl = lease.ttl;
        self.refresh(now, id, 0);
        Ok(Renewal::Renewed(ttl))
    }

    /// How long a lease will live.
    pub fn time_to_live(&self, now: Nanos, id: i64) -> Result<TimeToLive, LeaseError> {
        let lease = self.leases.get(&id).ok_or(LeaseError::NotFound)?;
        let expiry = lease.expiry.ok_or(LeaseError::NotPrimary)?;
        let ttl = (i128::from(expiry) - i128::from(now)) / i128::from(SECOND);
        Ok(TimeToLive { ttl: ttl as i64, granted_ttl: lease.ttl, keys: self.keys(id).cloned().collect() })
    }

    /// At most `limit` leases whose revoke is to be proposed, the longest expired first. None is named again before
    /// three seconds have passed.
    pub fn expired(&mut self, now: Nanos, limit: usize) -> Vec<i64> {
        let mut expired = Vec::new();
        while expired.len() < limit
            && let Some(id) = self.expiries.due(now)
        {
            self.expiries.set(id, now.saturating_add(RETRY));
            expired.push(id);
        }
        expired
    }

    /// At most 1000 leases whose remaining TTL is to be written down. Each is named again an interval later, whether the
    /// proposal came through or not.
    pub fn due_checkpoints(&mut self, now: Nanos) -> Vec<LeaseCheckpoint> {
        let mut due = Vec::new();
        while due.len() < CHECKPOINTS_MAX
            && let Some(id) = self.checkpoints.due(now)
        {
            self.schedule_checkpoint(now, id);
            let lease = &self.leases[&id];
            let expiry = lease.expiry.expect("invariant: a primary's leases expire");
            let remaining_ttl = expiry.saturating_sub(now).div_ceil(SECOND) as i64;
            if (1..lease.ttl).contains(&remaining_ttl) {
                due.push(LeaseCheckpoint { id, remaining_ttl });
            }
        }
        due
    }

    /// Begins a lease's life anew.
    pub(super) fn refresh(&mut self, now: Nanos, id: i64, extend: Nanos) {
        let life = u64::try_from(self.leases[&id].life()).unwrap_or(0).saturating_mul(SECOND);
        self.set_expiry(id, now.saturating_add(extend).saturating_add(life));
    }

    fn set_expiry(&mut self, id: i64, expiry: Nanos) {
        self.leases.get_mut(&id).expect("invariant: only what exists is refreshed").expiry = Some(expiry);
        self.expiries.set(id, expiry);
    }

    /// The next checkpoint of a lease is due an interval from now, if it has longer than that to live.
    pub(super) fn schedule_checkpoint(&mut self, now: Nanos, id: i64) {
        match self.config.checkpoint_interval {
            Some(interval) if self.leases[&id].life() > (interval / SECOND) as i64 => {
                self.checkpoints.set(id, now.saturating_add(interval));
            }
            _ => self.checkpoints.remove(id),
        }
    }
}

/// Moves ascending times back until no second has more than `rate` of them.
fn spread(times: &mut [Nanos], rate: usize) {
    for n in rate..times.len() {
        times[n] = times[n].max(times[n - rate].saturating_add(SECOND));
    }
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::*;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    const MINUTE: Nanos = 60 * SECOND;

    /// A primary with these TTLs; the ids count from 1.
    fn primary(config: Config, ttls: &[i64]) -> Lessor {
        let mut lessor = Lessor::new(config);
        for (id, &ttl) in (1..).zip(ttls) {
            lessor.grant(0, id, ttl).unwrap();
        }
        lessor.promote(0, 0);
        lessor
    }

    fn checkpointing() -> Config {
        Config { checkpoint_interval: Some(5 * MINUTE), ..Config::default() }
    }

    #[test]
    fn only_a_primary_counts() {
        let mut lessor = primary(Config::default(), &[]);
        lessor.demote();
        lessor.grant(0, 1, 5).unwrap();
        assert_eq!(lessor.expired(Nanos::MAX, 10), [] as [i64; 0]);
        assert_eq!(lessor.renew(0, 1), Err(LeaseError::NotPrimary));
        assert_eq!(lessor.time_to_live(0, 1), Err(LeaseError::NotPrimary));
        lessor.promote(100 * SECOND, SECOND);
        assert_eq!(lessor.time_to_live(100 * SECOND, 1).unwrap().ttl, 6, "its TTL, and the extension");
        lessor.demote();
        assert_eq!(lessor.expired(Nanos::MAX, 10), [] as [i64; 0], "a demotion makes them live forever");
    }

    #[test]
    fn an_expired_lease_is_named_once_until_its_revoke_is_due_again() {
        let mut lessor = primary(Config::default(), &[10, 5, 10]);
        assert_eq!(lessor.leases(), [2, 1, 3]);
        assert_eq!(lessor.expired(5 * SECOND - 1, 10), [] as [i64; 0]);
        assert_eq!(lessor.expired(5 * SECOND, 10), [2]);
        assert_eq!(lessor.expired(5 * SECOND + RETRY - 1, 10), [] as [i64; 0]);
        assert_eq!(lessor.expired(5 * SECOND + RETRY, 10), [2]);
        lessor.revoke(2).unwrap();
        assert_eq!(lessor.expired(20 * SECOND, 1), [1], "no more than asked for");
        assert_eq!(lessor.expired(20 * SECOND, 10), [3]);
    }

    #[test]
    fn a_keepalive_of_an_expired_lease_waits_for_what_becomes_of_it() {
        let mut lessor = primary(Config::default(), &[5, 5]);
        assert_eq!(lessor.renew(4 * SECOND, 1), Ok(Renewal::Renewed(5)));
        assert_eq!(lessor.renew(9 * SECOND, 1), Ok(Renewal::Wait));
        assert_eq!(lessor.time_to_live(10 * SECOND, 1).unwrap().ttl, -1);
        lessor.revoke(1).unwrap();
        assert_eq!(lessor.renew(9 * SECOND, 1), Err(LeaseError::NotFound));
        assert_eq!(lessor.time_to_live(0, 1), Err(LeaseError::NotFound));
        assert_eq!(lessor.renew(9 * SECOND, 2), Ok(Renewal::Wait));
        lessor.demote();
        assert_eq!(lessor.renew(9 * SECOND, 2), Err(LeaseError::NotPrimary));
    }

    #[test]
    fn a_pile_up_is_spread_over_seconds() {
        // etcd's own case: leases of TTL 10 and 11, ten times the rate of each.
        let ttls: Vec<i64> = (0..200).map(|n| 10 + n % 2).collect();
        let lessor = primary(Config { revoke_rate: 10, ..Config::default() }, &ttls);
        let mut by_second = BTreeMap::new();
        for id in 1..=200 {
            *by_second.entry(lessor.time_to_live(0, id).unwrap().ttl).or_insert(0) += 1;
        }
        for second in 10..30 {
            assert!((5..=10).contains(&by_second[&second]), "second {second}: {by_second:?}");
        }
        assert_eq!(lessor.leases()[0], 1, "the first keep their time");
        assert_eq!(lessor.time_to_live(0, 1).unwrap().ttl, 10);
    }

    #[test]
    fn a_checkpoint_outlives_its_primary() {
        let mut lessor = primary(checkpointing(), &[600, 300]);
        assert_eq!(lessor.due_checkpoints(5 * MINUTE - 1), []);
        let due = lessor.due_checkpoints(5 * MINUTE);
        assert_eq!(due, [LeaseCheckpoint { id: 1, remaining_ttl: 300 }], "300 s are not longer than the interval");
        assert_eq!(lessor.due_checkpoints(5 * MINUTE), [], "named once");
        lessor.checkpoint(5 * MINUTE, 1, 300).unwrap();
        lessor.demote();
        lessor.promote(6 * MINUTE, 0);
        assert_eq!(lessor.time_to_live(6 * MINUTE, 1).unwrap().ttl, 300, "the next one begins where it was");
        assert_eq!(lessor.time_to_live(6 * MINUTE, 2).unwrap().ttl, 300);
    }

    #[test]
    fn a_promotion_schedules_checkpoints_again() {
        let mut lessor = primary(checkpointing(), &[1200]);
        lessor.demote();
        assert_eq!(lessor.due_checkpoints(Nanos::MAX), []);
        lessor.promote(MINUTE, 0);
        assert_eq!(lessor.due_checkpoints(6 * MINUTE), [LeaseCheckpoint { id: 1, remaining_ttl: 900 }]);
        lessor.checkpoint(6 * MINUTE, 1, 900);
        assert_eq!(lessor.due_checkpoints(11 * MINUTE), [LeaseCheckpoint { id: 1, remaining_ttl: 600 }]);
    }

    #[test]
    fn a_keepalive_first_clears_a_checkpoint() {
        let mut lessor = primary(checkpointing(), &[1200]);
        lessor.checkpoint(5 * MINUTE, 1, 900);
        assert_eq!(lessor.renew(6 * MINUTE, 1), Ok(Renewal::ClearCheckpoint));
        assert_eq!(lessor.time_to_live(6 * MINUTE, 1).unwrap().ttl, 840, "not before it is applied");
        lessor.checkpoint(6 * MINUTE, 1, 0);
        assert_eq!(lessor.renew(6 * MINUTE, 1), Ok(Renewal::Renewed(1200)));
        assert_eq!(lessor.time_to_live(6 * MINUTE, 1).unwrap().ttl, 1200);
        lessor.promote(7 * MINUTE, 0);
        assert_eq!(lessor.time_to_live(7 * MINUTE, 1).unwrap().ttl, 1200);
    }

    #[test]
    fn checkpoints_come_in_batches() {
        let mut lessor = primary(checkpointing(), &[1200; 1500]);
        assert_eq!(lessor.due_checkpoints(5 * MINUTE).len(), 1000);
        assert_eq!(lessor.due_checkpoints(5 * MINUTE).len(), 500);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Grant(i64, i64),
        Revoke(i64),
        Renew(i64),
        Attach(i64, u8),
        Detach(u8),
        Promote,
        Demote,
        Wait(u64),
        Expire,
    }

    fn step() -> impl Strategy<Value = Step> {
        let id = -3..4_i64;
        prop_oneof![
            (id.clone(), 1..8_i64).prop_map(|(id, ttl)| Step::Grant(id, ttl)),
            id.clone().prop_map(Step::Revoke),
            id.clone().prop_map(Step::Renew),
            (id, 0..4_u8).prop_map(|(id, key)| Step::Attach(id, key)),
            (0..4_u8).prop_map(Step::Detach),
            Just(Step::Promote),
            Just(Step::Demote),
            (1..4_u64).prop_map(Step::Wait),
            Just(Step::Expire),
        ]
    }

    /// Leases as a list of (id, TTL, expiry), keys as a map: everything by looking through all of them. Times in whole
    /// seconds.
    #[derive(Debug, Default)]
    struct Model {
        leases: BTreeMap<i64, (i64, u64)>,
        keys: BTreeMap<u8, i64>,
        /// Named as expired, and when.
        named: BTreeMap<i64, u64>,
        primary: bool,
        now: u64,
    }

    impl Model {
        fn run(&mut self, lessor: &mut Lessor, step: &Step) {
            let now = self.now * SECOND;
            let is_known = |id| if self.leases.contains_key(id) { Ok(()) } else { Err(LeaseError::NotFound) };
            match step {
                Step::Grant(0, ttl) => assert_eq!(lessor.grant(now, 0, *ttl).unwrap_err(), LeaseError::NotFound),
                Step::Grant(id, ttl) => {
                    let granted = lessor.grant(now, *id, *ttl);
                    if is_known(id).is_ok() {
                        return assert_eq!(granted.unwrap_err(), LeaseError::Exists);
                    }
                    let ttl = (*ttl).max(2);
                    assert_eq!(granted.unwrap().0, ttl);
                    self.leases.insert(*id, (ttl, self.now + ttl as u64));
                }
                Step::Revoke(id) => {
                    let revoked = lessor.revoke(*id).map(|revoked| revoked.keys);
                    let keys = self.keys.iter().filter(|(_, lease)| *lease == id);
                    let keys = keys.map(|(&key, _)| Bytes::from(vec![key])).collect();
                    assert_eq!(revoked, is_known(id).map(|()| keys));
                    self.leases.remove(id);
                    self.named.remove(id);
                    self.keys.retain(|_, lease| lease != id);
                }
                Step::Renew(id) => {
                    let expected = match self.leases.get_mut(id) {
                        _ if !self.primary => Err(LeaseError::NotPrimary),
                        None => Err(LeaseError::NotFound),
                        Some((_, expiry)) if *expiry <= self.now => Ok(Renewal::Wait),
                        Some((ttl, expiry)) => {
                            *expiry = self.now + *ttl as u64;
                            Ok(Renewal::Renewed(*ttl))
                        }
                    };
                    assert_eq!(lessor.renew(now, *id), expected);
                }
                Step::Attach(id, key) => {
                    assert_eq!(lessor.attach(*id, &[*key]), is_known(id));
                    if is_known(id).is_ok() {
                        self.keys.insert(*key, *id);
                    }
                }
                Step::Detach(key) => {
                    lessor.detach(&[*key]);
                    self.keys.remove(key);
                }
                Step::Promote => {
                    lessor.promote(now, SECOND);
                    self.primary = true;
                    self.named.clear();
                    self.leases.values_mut().for_each(|(ttl, expiry)| *expiry = self.now + 1 + *ttl as u64);
                }
                Step::Demote => {
                    lessor.demote();
                    (self.primary, self.named) = (false, BTreeMap::new());
                }
                Step::Wait(seconds) => self.now += seconds,
                Step::Expire => {
                    let due = |id: &i64| self.named.get(id).is_none_or(|at| at + RETRY / SECOND <= self.now);
                    let expired = self.leases.iter().filter(|(id, (_, expiry))| *expiry <= self.now && due(id));
                    let expired: BTreeSet<i64> = expired.map(|(&id, _)| id).filter(|_| self.primary).collect();
                    self.named.extend(expired.iter().map(|&id| (id, self.now)));
                    assert_eq!(lessor.expired(now, 100).into_iter().collect::<BTreeSet<_>>(), expired);
                }
            }
        }
    }

    proptest! {
        #[test]
        fn a_lessor_does_what_a_plain_list_does(steps in prop::collection::vec(step(), 1..80)) {
            let (mut model, mut lessor) = (Model::default(), Lessor::new(Config::default()));
            for step in &steps {
                model.run(&mut lessor, step);
                prop_assert_eq!(lessor.leases().len(), model.leases.len());
                for key in 0..4 {
                    prop_assert_eq!(lessor.lease_of(&[key]), model.keys.get(&key).copied().unwrap_or(0));
                }
            }
        }

        #[test]
        fn no_second_has_more_than_the_rate(mut times in prop::collection::vec(0..5 * SECOND, 0..60), rate in 1..9_usize) {
            times.sort_unstable();
            let before = times.clone();
            spread(&mut times, rate);
            prop_assert!(times.is_sorted());
            prop_assert!(times.iter().zip(&before).all(|(after, before)| after >= before));
            for (n, &time) in times.iter().enumerate() {
                prop_assert!(times[n..].iter().take_while(|&&later| later - time < SECOND).count() <= rate);
                // What moved did so because its second was full.
                prop_assert!(time == before[n] || time - times[n - rate] == SECOND);
            }
        }
    }
}
