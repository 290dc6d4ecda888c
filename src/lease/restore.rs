//! Beginning again from what is stored: at a start, and when a snapshot was installed.
//!
//! The leases stand in their bucket. What hangs on them follows from the records of the keys, taken in the order in which
//! they were made: a key's last record counts, and an earlier one's lease has no claim on it (etcd #6098 attached a key
//! to every lease of its history, so that an old one's expiry deleted it).

use super::{Config, Lease, LeaseError, Lessor};
use crate::backend::{BackendError, Bucket, Engine};
use crate::bug::Bug;
use crate::pb::leasepb;
use prost::Message as _;

impl Lessor {
    /// The leases of a bucket, without keys and not primary. An error names the record: the database is damaged.
    pub fn load(engine: &dyn Engine, config: Config) -> Result<Lessor, BackendError> {
        let mut lessor = Lessor::new(config);
        let mut result = Ok(());
        // From the very first key: ids are signed, and the big-endian bytes of a negative one sort behind all others
        // (etcd #13676 looked from id 0 on, up to i64::MAX).
        engine.range(Bucket::Lease, &[], None, &mut |key, value| {
            if key.first().is_some_and(|first| *first >= 0x80) && config.bugs.on(Bug::NegativeLeaseLost) {
                return false;
            }
            result = lessor.load_record(key, value);
            result.is_ok()
        })?;
        result.map(|()| lessor)
    }

    fn load_record(&mut self, key: &[u8], value: &[u8]) -> Result<(), BackendError> {
        let broken = |expected: &str| BackendError::Record {
            bucket: Bucket::Lease.name(),
            key: key.iter().map(|byte| format!("{byte:02x}")).collect(),
            expected: expected.to_owned(),
        };
        let record = leasepb::Lease::decode(value).map_err(|_| broken("a leasepb.Lease"))?;
        if record.id == 0 || record.id.to_be_bytes() != key {
            return Err(broken("the lease whose id, 8 bytes big-endian, is its key, and not 0"));
        }
        self.leases.insert(record.id, Lease::new(record.ttl.max(self.config.ttl_min), record.remaining_ttl));
        Ok(())
    }

    /// Takes the next record of the bucket `key`. Once all were taken, in order, every live key hangs on the lease that
    /// its newest record names. A lease that has gone meanwhile is passed over: a later record of the same key says
    /// what became of it.
    pub fn replay(&mut self, key: &[u8], lease: i64, tombstone: bool) {
        if tombstone || self.attach(lease, key) == Err(LeaseError::NotFound) {
            self.detach(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::{Memory, Record};
    use crate::mvcc::{Applied, Restoring, Store, StoreConfig, WriteTxn};
    use crate::pb::etcdserverpb::{DeleteRangeRequest, PutRequest};
    use bytes::Bytes;
    use proptest::prelude::*;

    fn write(txn: &mut WriteTxn<'_>, Record { bucket, key, value }: Record) {
        match value {
            Some(value) => txn.set(bucket, key, value).unwrap(),
            None => txn.unset(bucket, &key).unwrap(),
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Grant(i64),
        Revoke(i64),
        Checkpoint(i64),
        Put(u8, i64),
        Delete(u8),
    }

    fn step() -> impl Strategy<Value = Step> {
        let (id, key) = (-2..3_i64, 0..4_u8);
        prop_oneof![
            id.clone().prop_map(Step::Grant),
            id.clone().prop_map(Step::Revoke),
            id.clone().prop_map(Step::Checkpoint),
            (key.clone(), id).prop_map(|(key, id)| Step::Put(key, id)),
            key.prop_map(Step::Delete),
        ]
    }

    fn delete(txn: &mut WriteTxn<'_>, lessor: &mut Lessor, key: Bytes) {
        lessor.detach(&key);
        txn.delete_range(&DeleteRangeRequest { key, ..Default::default() }).unwrap();
    }

    /// Applies a step as an entry of its own.
    fn apply(store: &mut Store, lessor: &mut Lessor, step: &Step) {
        let entry = Applied { index: store.consistent_index() + 1, term: 1 };
        let mut txn = store.write(entry).unwrap();
        match *step {
            Step::Grant(id) => {
                if let Ok((_, record)) = lessor.grant(0, id, 10) {
                    write(&mut txn, record);
                }
            }
            Step::Revoke(id) => {
                if let Ok(revoked) = lessor.revoke(id) {
                    revoked.keys.into_iter().for_each(|key| delete(&mut txn, lessor, key));
                    write(&mut txn, revoked.record);
                }
            }
            Step::Checkpoint(id) => {
                if let Some(record) = lessor.checkpoint(0, id, 7) {
                    write(&mut txn, record);
                }
            }
            Step::Put(key, lease) => {
                let key = Bytes::from(vec![key]);
                let attached = lease != 0 && lessor.attach(lease, &key).is_ok();
                if lease == 0 {
                    lessor.detach(&key);
                }
                if lease == 0 || attached {
                    txn.put(&PutRequest { key, lease, ..Default::default() }).unwrap();
                }
            }
            Step::Delete(key) => delete(&mut txn, lessor, vec![key].into()),
        }
        txn.commit();
    }

    /// Everything that is to survive.
    fn state(lessor: &Lessor) -> Vec<(i64, i64, i64, Vec<Bytes>)> {
        let leases = lessor.leases.iter();
        leases.map(|(&id, l)| (id, l.ttl, l.remaining_ttl, l.keys.iter().cloned().collect())).collect()
    }

    proptest! {
        #[test]
        fn what_is_restored_is_what_was(steps in prop::collection::vec(step(), 1..60), compact in any::<bool>()) {
            let mut store = Store::new(Box::new(Memory::new()), StoreConfig::default());
            let mut lessor = Lessor::new(Config::default());
            steps.iter().for_each(|step| apply(&mut store, &mut lessor, step));
            if compact {
                let revision = store.revision();
                let mut txn = store.write(Applied { index: 1000, term: 1 }).unwrap();
                txn.compact(revision).unwrap();
                txn.commit();
                while store.compacting() {
                    store.compact_slice().unwrap();
                }
            }

            let engine = store.engine_mut();
            let mut image = engine.begin_image();
            let bytes = engine.image_chunk(&mut image, usize::MAX).unwrap().unwrap_or_default();
            let engine = Memory::from_image(&bytes).unwrap();
            let mut again = Lessor::load(&engine, Config::default()).unwrap();
            let mut restoring = Restoring::new(Box::new(engine), StoreConfig { restore_chunk: 3, ..Default::default() });
            while !restoring.step_with(&mut |kv, tombstone| again.replay(kv.key, kv.lease, tombstone)).unwrap() {}
            prop_assert_eq!(state(&again), state(&lessor));
            prop_assert_eq!(&again.lease_of, &lessor.lease_of);
            prop_assert!(!again.is_primary());
        }
    }

    #[test]
    fn only_the_newest_record_of_a_key_attaches_it() {
        let mut lessor = Lessor::new(Config::default());
        lessor.grant(0, 1, 10).unwrap();
        lessor.grant(0, 2, 10).unwrap();
        for (record, tombstone, lease) in [(1, false, 1), (2, false, 2), (0, true, 0), (2, false, 2), (0, false, 0)] {
            lessor.replay(b"k", record, tombstone);
            assert_eq!(lessor.lease_of(b"k"), lease, "after a record with lease {record}");
        }
        lessor.replay(b"k", 1, false);
        lessor.replay(b"k", 9, false);
        assert_eq!(lessor.lease_of(b"k"), 0, "not what it hung on before, even if the newer lease has gone");
    }

    fn stored(key: &'static [u8], value: &'static [u8]) -> Memory {
        let mut engine = Memory::new();
        engine.begin();
        engine.put(Bucket::Lease, Bytes::from_static(key), Bytes::from_static(value)).unwrap();
        engine.commit();
        engine
    }

    #[test]
    fn a_garbled_record_is_named() {
        for (key, value) in [
            (&[0, 0, 0, 0, 0, 0, 0, 1][..], &b"\xff"[..]),
            (&[0, 0, 0, 0, 0, 0, 0, 1], b"\x08\x02"),
            (&[0, 0, 0, 1], b"\x08\x01"),
            (&[0, 0, 0, 0, 0, 0, 0, 0], b""),
        ] {
            let error = Lessor::load(&stored(key, value), Config::default()).unwrap_err();
            assert!(matches!(error, BackendError::Record { bucket: "lease", .. }), "{error}");
        }
    }

    #[test]
    fn a_stored_ttl_below_this_members_minimum_is_raised() {
        let engine = stored(&[0, 0, 0, 0, 0, 0, 0, 1], b"\x08\x01\x10\x01");
        let mut lessor = Lessor::load(&engine, Config::default()).unwrap();
        lessor.promote(0, 0);
        assert_eq!(lessor.time_to_live(0, 1).unwrap().granted_ttl, 2);
    }
}
