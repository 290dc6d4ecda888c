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

use super::Failure;
use seedbed::apply;
use seedbed::backend::{BackendError, Bucket, Memory};
use seedbed::mvcc::{Revision, Store, StoreConfig};
use seedbed::raft::Entry;

/// The mark that a member in the middle of a compaction has yet to write.
const FINISHED_COMPACTION: &[u8] = b"finishedCompactRev";

/// See the module.
#[derive(Debug)]
pub struct BackendChecker {
    /// The committed entries, the first of index 1.
    entries: Vec<Entry>,
    reference: Store,
    compared: u64,
}

impl Default for BackendChecker {
    fn default() -> BackendChecker {
        BackendChecker { entries: Vec::new(), reference: empty(), compared: 0 }
    }
}

fn empty() -> Store {
    Store::new(Box::new(Memory::new()), StoreConfig::default())
}

impl BackendChecker {
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

    /// A member has this store.
    pub fn compare(&mut self, member: usize, store: &Store) -> Result<(), Failure> {
        let index = store.consistent_index();
        if index > self.entries.len() as u64 {
            // Its own entries are not known to be committed: what is wrong then is for Raft's invariants to say.
            return Ok(());
        }
        let found = self.bring_to(index).and_then(|()| difference(store, &self.reference));
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
        if self.reference.consistent_index() > index {
            self.reference = empty();
        }
        let from = self.reference.consistent_index() as usize;
        for entry in &self.entries[from..index as usize] {
            apply::apply(&mut self.reference, entry)?;
            while self.reference.compacting() {
                self.reference.compact_slice()?;
            }
        }
        Ok(())
    }
}

/// The first thing in which a member's store differs from the reference.
fn difference(store: &Store, reference: &Store) -> Result<Option<String>, BackendError> {
    let marks = |store: &Store| [store.revision(), store.compact_revision(), store.term() as i64];
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
        Bucket::Key => Revision::decode(key).is_some_and(|at| at.main <= compacted),
        Bucket::Meta => key == FINISHED_COMPACTION,
        _ => false,
    }
}

/// A key for a person: a revision, a word, or hexadecimal.
fn name(bucket: Bucket, key: &[u8]) -> String {
    match Revision::decode(key) {
        Some(at) if bucket == Bucket::Key => {
            let tombstone = if key.len() == 18 { " (a tombstone)" } else { "" };
            format!("record {}_{}{tombstone}", at.main, at.sub)
        }
        _ if key.iter().all(u8::is_ascii_graphic) => format!("key {}", String::from_utf8_lossy(key)),
        _ => format!("key {}", key.iter().map(|byte| format!("{byte:02x}")).collect::<String>()),
    }
}
