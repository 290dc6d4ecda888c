//! The store is what the log makes of it (`wal-replay-equals-backend`).
//!
//! A member that starts again loads what its disk holds, and one that lags gets a leader's snapshot. Either way its store
//! must be what the committed entries make of an empty store, pair by pair in every bucket: a skipped entry, one that was
//! applied twice, or a record that compaction should have kept shows at once, and not when someone reads it.
//!
//! The checker keeps every committed entry (their bytes are shared with the members' logs) and a store of its own in
//! memory, without any bug, which it brings to the index that is asked for. That happens only after restarts and snapshots,
//! so a run without them pays for a list alone.
//!
//! A member in the middle of a compaction still has records that the reference has not: older than the compacted revision.
//! They, and the mark of the finished compaction, are not compared then.
//!
//! Which record a compaction leaves depends on the version: one with etcd #18089 drops a tombstone at the compacted revision.
//! A member with that bug is compared with a reference that has it, too; what it does to watches is their check's affair.

use super::Failure;
use seedbed::apply::State;
use seedbed::backend::{BackendError, Bucket, Memory};
use seedbed::bug::{Bug, BugSet};
use seedbed::lease;
use seedbed::mvcc::{Revision, Store, StoreConfig};
use seedbed::raft::Entry;
use seedbed::time::Now;

/// The mark that a member in the middle of a compaction has yet to write.
const FINISHED_COMPACTION: &[u8] = b"finishedCompactRev";

/// See the module.
#[derive(Debug)]
pub struct BackendChecker {
    /// The committed entries, the first of index 1.
    entries: Vec<Entry>,
    reference: State,
    /// The bugs that the reference has.
    bugs: BugSet,
    /// As the members have it: how long a lease lives at least is part of its record.
    leases: lease::Config,
    compared: u64,
}

fn empty(leases: lease::Config, bugs: BugSet) -> State {
    State::new(Box::new(Memory::new()), StoreConfig { bugs, ..StoreConfig::default() }, leases)
}

/// The bugs of a version that decide what a sound compaction of it leaves.
fn of_compaction(bugs: BugSet) -> BugSet {
    let drops = bugs.on(Bug::CompactDropsTombstone) || bugs.on(Bug::CompactLosesLatestRev);
    if drops { BugSet::NONE.with(Bug::CompactDropsTombstone) } else { BugSet::NONE }
}

impl BackendChecker {
    /// For members with these settings of leases.
    pub fn new(leases: lease::Config) -> BackendChecker {
        let bugs = BugSet::NONE;
        BackendChecker { entries: Vec::new(), reference: empty(leases, bugs), bugs, leases, compared: 0 }
    }

    /// Whether the entry at `index` is the next one to remember.
    pub fn awaits(&self, index: u64) -> bool {
        index == self.entries.len() as u64 + 1
    }

    /// An entry was applied for the first time.
    ///
    /// # Panics
    /// If it is not the next one ([`BackendChecker::awaits`]).
    pub fn remember(&mut self, entry: &Entry) {
        assert!(self.awaits(entry.index), "invariant: entries are remembered in order");
        self.entries.push(entry.clone());
    }

    /// A member with these bugs has this store.
    pub fn compare(&mut self, member: usize, bugs: BugSet, store: &Store) -> Result<(), Failure> {
        let index = store.consistent_index();
        if index > self.entries.len() as u64 {
            // Its own entries are not known to be committed: what is wrong then is for Raft's invariants to say.
            return Ok(());
        }
        if self.bugs != of_compaction(bugs) {
            self.bugs = of_compaction(bugs);
            self.reference = empty(self.leases, self.bugs);
        }
        let found = self.bring_to(index).and_then(|()| difference(store, &self.reference.store));
        self.compared += 1;
        let text = match found {
            Ok(None) => return Ok(()),
            Ok(Some(difference)) => difference,
            Err(error) => error.to_string(),
        };
        let text = format!("n{}'s store at applied index {index} is not what the log makes: {text}", member + 1);
        Err(Failure::new("wal-replay-equals-backend", text))
    }

    /// Stores compared.
    pub fn compared(&self) -> u64 {
        self.compared
    }

    /// Has the reference apply everything up to `index`, and nothing more.
    fn bring_to(&mut self, index: u64) -> Result<(), BackendError> {
        if self.reference.store.consistent_index() > index {
            self.reference = empty(self.leases, self.bugs);
        }
        let from = self.reference.store.consistent_index() as usize;
        for entry in &self.entries[from..index as usize] {
            // No record depends on the time.
            self.reference.apply(Now::default(), entry)?;
            while self.reference.store.compacting() {
                self.reference.store.compact_slice()?;
            }
        }
        Ok(())
    }
}

/// The first thing in which a member's store differs from the reference.
fn difference(store: &Store, reference: &Store) -> Result<Option<String>, BackendError> {
    let marks = |store: &Store| [store.revision(), store.compact_revision(), store.applied().term as i64];
    for (what, (has, should)) in
        ["revision", "compacted revision", "term"].iter().zip(marks(store).into_iter().zip(marks(reference)))
    {
        if has != should {
            return Ok(Some(format!("its {what} is {has}, the log gives {should}")));
        }
    }
    if store.hash().is_some() && store.hash() == reference.hash() {
        return Ok(None);
    }
    for bucket in Bucket::ALL {
        if let Some(pair) = first_difference(bucket, store, reference)? {
            return Ok(Some(format!("bucket {}, {pair}", bucket.name())));
        }
    }
    Ok(None)
}

fn first_difference(bucket: Bucket, store: &Store, reference: &Store) -> Result<Option<String>, BackendError> {
    let mut expected = Vec::new();
    reference.engine().range(bucket, &[], None, &mut |key, value| {
        expected.push((key.to_vec(), value.clone()));
        true
    })?;
    let may_go = |key: &[u8]| store.compacting() && is_of_the_compaction(bucket, key, store.compact_revision());
    let mut expected = expected.into_iter().filter(|(key, _)| !(bucket == Bucket::Meta && may_go(key))).peekable();
    let mut found = None;
    store.engine().range(bucket, &[], None, &mut |key, value| {
        found = match expected.peek() {
            Some((wanted, _)) if &wanted[..] < key => Some(format!("{}: it is missing", name(bucket, wanted))),
            Some((wanted, their)) if wanted == key => {
                let differs = (their != value).then(|| {
                    format!(
                        "{}: it has {} bytes where the log gives {} others",
                        name(bucket, key),
                        value.len(),
                        their.len()
                    )
                });
                expected.next();
                differs
            }
            _ if may_go(key) => None,
            _ => Some(format!("{}: the log gives none", name(bucket, key))),
        };
        found.is_none()
    })?;
    Ok(found.or_else(|| expected.next().map(|(wanted, _)| format!("{}: it is missing", name(bucket, &wanted)))))
}

/// Whether a compaction that is under way has yet to remove (or, of a mark, to write) this key.
fn is_of_the_compaction(bucket: Bucket, key: &[u8], compacted: i64) -> bool {
    match bucket {
        Bucket::Key => Revision::decode(key).is_some_and(|(at, _)| at.main <= compacted),
        Bucket::Meta => key == FINISHED_COMPACTION,
        _ => false,
    }
}

/// A key for a person: a revision, a word, or hexadecimal.
fn name(bucket: Bucket, key: &[u8]) -> String {
    match Revision::decode(key) {
        Some((at, is_tombstone)) if bucket == Bucket::Key => {
            let tombstone = if is_tombstone { " (a tombstone)" } else { "" };
            format!("record {}_{}{tombstone}", at.main, at.sub)
        }
        _ if key.iter().all(u8::is_ascii_graphic) => format!("key {}", String::from_utf8_lossy(key)),
        _ => format!("key {}", key.iter().map(|byte| format!("{byte:02x}")).collect::<String>()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use seedbed::api::Request;
    use seedbed::pb::etcdserverpb::{CompactionRequest, DeleteRangeRequest, PutRequest};
    use seedbed::raft::EntryKind;

    fn put(key: &'static str, value: &'static str) -> Request {
        let (key, value) = (Bytes::from_static(key.as_bytes()), Bytes::from_static(value.as_bytes()));
        Request::Put(PutRequest { key, value, ..PutRequest::default() })
    }

    fn entries(requests: Vec<Request>) -> Vec<Entry> {
        let entry = |(index, request): (u64, Request)| Entry {
            kind: EntryKind::Normal,
            term: 2,
            index,
            data: seedbed::apply::encode(index, request).into(),
        };
        (1..).zip(requests).map(entry).collect()
    }

    /// Three changes of two keys, a compaction that drops one of them, and a delete.
    fn log() -> Vec<Entry> {
        let compact = Request::Compact(CompactionRequest { revision: 3, physical: false });
        let delete = DeleteRangeRequest { key: Bytes::from_static(b"a"), ..DeleteRangeRequest::default() };
        entries(vec![put("a", "1"), put("a", "2"), put("b", "3"), compact, Request::DeleteRange(delete)])
    }

    fn store(entries: &[Entry]) -> Store {
        let config = StoreConfig { compaction_batch: 1, ..StoreConfig::default() };
        let mut state = State::new(Box::new(Memory::new()), config, lease::Config::default());
        for entry in entries {
            state.apply(Now::default(), entry).expect("memory does not fail");
        }
        state.store
    }

    fn checker() -> BackendChecker {
        let mut checker = BackendChecker::new(lease::Config::default());
        log().iter().for_each(|entry| checker.remember(entry));
        checker
    }

    fn fault(store: &Store) -> String {
        let failure = checker().compare(1, BugSet::NONE, store).expect_err("the checker must object");
        assert_eq!(failure.check, "wal-replay-equals-backend");
        failure.text
    }

    #[test]
    fn a_store_at_any_index_and_at_any_slice_of_its_compaction_is_what_the_log_makes() {
        let mut checker = checker();
        for applied in (0..=5).chain([2, 5, 4]) {
            let mut store = store(&log()[..applied]);
            assert_eq!(checker.compare(0, BugSet::NONE, &store), Ok(()), "{applied} entries applied");
            while store.compacting() {
                store.compact_slice().expect("memory does not fail");
                assert_eq!(checker.compare(0, BugSet::NONE, &store), Ok(()), "{applied} entries applied, compacting");
            }
        }
        assert!(checker.compared() > 9);
        let unknown = store(&[&log()[..], &entries(vec![put("x", "")])[..]].concat()[..5]);
        assert_eq!(checker.compare(0, BugSet::NONE, &unknown), Ok(()));
    }

    #[test]
    fn a_value_that_differs_is_named() {
        let mut other = log();
        other[2] = entries(vec![put("b", "4")]).remove(0);
        other[2].index = 3;
        let text = fault(&store(&other[..3]));
        assert!(text.starts_with("n2's store at applied index 3"), "{text}");
        assert!(text.contains("bucket key, record 4_0"), "{text}");
    }

    #[test]
    fn an_entry_that_was_skipped_or_applied_twice_is_found() {
        let mut skipped = log();
        skipped[1].data = Bytes::new();
        assert!(fault(&store(&skipped[..3])).contains("its revision is 3, the log gives 4"));
        let mut twice = log();
        twice[2].data = twice[1].data.clone();
        assert!(fault(&store(&twice[..3])).contains("bucket key, record 4_0"));
    }

    #[test]
    fn a_record_that_compaction_should_have_kept_or_removed_is_found() {
        let done = |mut store: Store| {
            while store.compacting() {
                store.compact_slice().expect("memory does not fail");
            }
            store
        };
        let spoiled = |key: Bytes, value: Option<&'static [u8]>| {
            let mut store = done(store(&log()[..4]));
            let engine = store.engine_mut();
            engine.begin();
            match value {
                Some(value) => engine.put(Bucket::Key, key, Bytes::from_static(value)).expect("memory"),
                None => engine.delete(Bucket::Key, &key).expect("memory"),
            }
            engine.commit();
            fault(&store)
        };
        let kept = Revision { main: 3, sub: 0 }.encode(false);
        assert!(spoiled(kept, None).ends_with("bucket key, record 3_0: it is missing"));
        let gone = Revision { main: 2, sub: 0 }.encode(false);
        assert!(spoiled(gone, Some(b"")).ends_with("bucket key, record 2_0: the log gives none"));
    }

    #[test]
    fn a_mark_of_another_bucket_is_found_in_the_middle_of_a_compaction() {
        let mut store = store(&log()[..4]);
        assert!(store.compacting());
        let engine = store.engine_mut();
        engine.begin();
        engine.put(Bucket::Alarm, Bytes::from_static(b"\x01"), Bytes::new()).expect("memory");
        engine.commit();
        assert!(fault(&store).ends_with("bucket alarm, key 01: the log gives none"));
    }
}
