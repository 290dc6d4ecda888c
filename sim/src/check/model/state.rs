//! The state, and what each request does to it.

use super::range::{Interval, range};
use super::{Answer, Event, Keys, Refusal, Reply, Request};
use bytes::Bytes;
use seedbed::pb::etcdserverpb::{DeleteRangeRequest, DeleteRangeResponse, PutRequest, PutResponse, RangeRequest};
use seedbed::pb::mvccpb::KeyValue;
use std::collections::{BTreeMap, BTreeSet};
use xxhash_rust::xxh3::xxh3_128;

/// The longest TTL of a lease, in seconds.
const LEASE_TTL_MAX: i64 = 9_000_000_000;

/// A store, as far as clients can tell.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    revision: i64,
    /// The oldest revision that may be read; `None` before the first compaction.
    compacted: Option<i64>,
    pub(super) keys: Keys,
    leases: BTreeSet<i64>,
    /// What lived at each readable revision, if that is remembered.
    past: Option<BTreeMap<i64, Keys>>,
}

/// The empty store.
impl Default for State {
    fn default() -> State {
        State { revision: 1, compacted: None, keys: Keys::new(), leases: BTreeSet::new(), past: None }
    }
}

impl State {
    /// The empty store, which will remember every revision that it does not compact. It can then answer ranges at old revisions,
    /// at the price of a copy of everything for each.
    pub fn remembering() -> State {
        State { past: Some(BTreeMap::from([(1, Keys::new())])), ..State::default() }
    }

    /// The revision of the last change; 1 at first.
    pub fn revision(&self) -> i64 {
        self.revision
    }

    /// The oldest revision that may be read; `None` before the first compaction.
    pub fn compacted(&self) -> Option<i64> {
        self.compacted
    }

    /// What lives.
    pub fn keys(&self) -> &BTreeMap<Bytes, KeyValue> {
        &self.keys
    }

    /// Executes a request: what it answers, and what watchers see of it.
    pub fn execute(&mut self, request: &Request) -> (Answer, Vec<Event>) {
        let mut step = Step { state: self, events: Vec::new() };
        let result = step.run(request);
        let events = step.commit();
        assert!(result.is_ok() || events.is_empty(), "invariant: what is refused changes nothing");
        let has_header = result.is_ok() && *request != Request::Defragment;
        (Answer { revision: has_header.then_some(self.revision), result }, events)
    }

    /// The keys that hang on a lease, in their order.
    pub fn keys_on(&self, lease: i64) -> Vec<Bytes> {
        let hangs = |kv: &&KeyValue| lease != 0 && kv.lease == lease;
        self.keys.values().filter(hangs).map(|kv| kv.key.clone()).collect()
    }

    /// The state in 128 bits; what it remembers follows from how it came about and does not count.
    pub(super) fn fingerprint(&self) -> u128 {
        let mut bytes = Vec::new();
        for number in [self.revision, self.compacted.unwrap_or(-1)].iter().chain(&self.leases) {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(&i64::MIN.to_le_bytes());
        for kv in self.keys.values() {
            bytes.extend(prost::Message::encode_length_delimited_to_vec(kv));
        }
        xxh3_128(&bytes)
    }

    pub(super) fn check_revision(&self, revision: i64) -> Result<(), Refusal> {
        if revision > self.revision {
            Err(Refusal::FutureRevision)
        } else if revision > 0 && Some(revision) < self.compacted {
            Err(Refusal::Compacted)
        } else {
            Ok(())
        }
    }

    /// What a put needs to be there.
    pub(super) fn check_put(&self, put: &PutRequest) -> Result<(), Refusal> {
        if (put.ignore_value || put.ignore_lease) && !self.keys.contains_key(&put.key) {
            return Err(Refusal::KeyNotFound);
        }
        self.check_lease(put.lease)
    }

    fn check_lease(&self, lease: i64) -> Result<(), Refusal> {
        let is_there = lease == 0 || self.leases.contains(&lease);
        is_there.then_some(()).ok_or(Refusal::LeaseNotFound)
    }
}

/// A request being executed. Its changes share one revision, the next.
pub(super) struct Step<'s> {
    pub(super) state: &'s mut State,
    events: Vec<Event>,
}

impl Step<'_> {
    fn run(&mut self, request: &Request) -> Result<Reply, Refusal> {
        match request {
            Request::Range(request) => self.state.check_revision(request.revision).map(|()| self.range(request)),
            Request::Put(put) => {
                // Alone, a put's lease is looked up first; in a transaction, last.
                self.state.check_lease(put.lease)?;
                self.state.check_put(put).map(|()| self.put(put))
            }
            Request::DeleteRange(request) => Ok(self.delete_range(request)),
            Request::Txn(txn) => self.txn(txn),
            Request::Compact(revision) => self.compact(*revision),
            Request::LeaseGrant { id, ttl } => self.grant(*id, *ttl),
            Request::LeaseRevoke(id) => self.revoke(*id),
            Request::Defragment => Ok(Reply::Defragment),
        }
    }

    /// Makes the revision, if anything changed.
    fn commit(self) -> Vec<Event> {
        self.state.revision = self.revision();
        if let Some(past) = &mut self.state.past
            && !self.events.is_empty()
        {
            past.insert(self.state.revision, self.state.keys.clone());
        }
        self.events
    }

    /// The revision that is seen from within: the next one, once something has changed.
    fn revision(&self) -> i64 {
        self.state.revision + i64::from(!self.events.is_empty())
    }

    pub(super) fn range(&self, request: &RangeRequest) -> Reply {
        let past = || self.state.past.as_ref()?.get(&request.revision);
        let is_newest = request.revision <= 0 || request.revision == self.revision();
        match if is_newest { Some(&self.state.keys) } else { past() } {
            Some(keys) => Reply::Range(range(keys, request)),
            None => Reply::Forgotten,
        }
    }

    pub(super) fn put(&mut self, put: &PutRequest) -> Reply {
        let revision = self.state.revision + 1;
        let prev = self.state.keys.get(&put.key).cloned();
        let old = prev.clone().unwrap_or_default();
        let kv = KeyValue {
            key: put.key.clone(),
            create_revision: if prev.is_some() { old.create_revision } else { revision },
            mod_revision: revision,
            version: old.version + 1,
            value: if put.ignore_value { old.value } else { put.value.clone() },
            lease: if put.ignore_lease { old.lease } else { put.lease },
        };
        self.state.keys.insert(put.key.clone(), kv.clone());
        self.events.push(Event { revision, key: put.key.clone(), kv: Some(kv), prev: prev.clone() });
        Reply::Put(PutResponse { header: None, prev_kv: prev.filter(|_| put.prev_kv) })
    }

    pub(super) fn delete_range(&mut self, request: &DeleteRangeRequest) -> Reply {
        let interval = Interval::of(&request.key, &request.range_end);
        let prev_kvs = self.delete(|kv| interval.contains(&kv.key));
        let deleted = prev_kvs.len() as i64;
        let prev_kvs = if request.prev_kv { prev_kvs } else { Vec::new() };
        Reply::DeleteRange(DeleteRangeResponse { header: None, deleted, prev_kvs })
    }

    /// Deletes what is doomed, in the order of the keys.
    fn delete(&mut self, doomed: impl Fn(&KeyValue) -> bool) -> Vec<KeyValue> {
        let doomed: Vec<KeyValue> = self.state.keys.values().filter(|kv| doomed(kv)).cloned().collect();
        for kv in &doomed {
            self.state.keys.remove(&kv.key);
            let revision = self.state.revision + 1;
            self.events.push(Event { revision, key: kv.key.clone(), kv: None, prev: Some(kv.clone()) });
        }
        doomed
    }

    fn compact(&mut self, revision: i64) -> Result<Reply, Refusal> {
        if revision < 0 || self.state.compacted.is_some_and(|compacted| revision <= compacted) {
            return Err(Refusal::Compacted);
        }
        if revision > self.state.revision {
            return Err(Refusal::FutureRevision);
        }
        self.state.compacted = Some(revision);
        if let Some(past) = &mut self.state.past {
            *past = past.split_off(&revision);
        }
        Ok(Reply::Compact)
    }

    fn grant(&mut self, id: i64, ttl: i64) -> Result<Reply, Refusal> {
        if id == 0 {
            return Err(Refusal::LeaseNotFound);
        }
        if ttl > LEASE_TTL_MAX {
            return Err(Refusal::LeaseTtlTooLarge);
        }
        if !self.state.leases.insert(id) {
            return Err(Refusal::LeaseExists);
        }
        Ok(Reply::LeaseGrant { id, ttl })
    }

    fn revoke(&mut self, id: i64) -> Result<Reply, Refusal> {
        if !self.state.leases.remove(&id) {
            return Err(Refusal::LeaseNotFound);
        }
        self.delete(|kv| kv.lease == id);
        Ok(Reply::LeaseRevoke)
    }
}
