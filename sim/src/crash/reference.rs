//! What a log makes of a store: the entries applied, one after the other, to an empty one.
//!
//! Images by the thousand hold the same few logs. So a log is known by a chain of hashes over its entries, and each log
//! is replayed once.

use seedbed::apply::State;
use seedbed::backend::Memory;
use seedbed::lease;
use seedbed::mvcc::StoreConfig;
use seedbed::raft::Entry;
use seedbed::time::Now;
use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use xxhash_rust::xxh3::Xxh3Default;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Reference {
    known: BTreeMap<u64, u64>,
}

impl Reference {
    /// The hash of the store that these entries make (the first one has index 1), all compactions done.
    pub(super) fn hash(&mut self, entries: &[&Entry]) -> u64 {
        let mut chain = Xxh3Default::new();
        entries.iter().for_each(|entry| entry.hash(&mut chain));
        *self.known.entry(chain.finish()).or_insert_with(|| replay(entries))
    }
}

fn replay(entries: &[&Entry]) -> u64 {
    let mut state = State::new(Box::new(Memory::new()), StoreConfig::default(), lease::Config::default());
    for entry in entries {
        state.apply(Now::default(), entry).expect("invariant: memory does not fail");
        let store = &mut state.store;
        while store.compacting() {
            store.compact_slice().expect("invariant: memory does not fail");
        }
    }
    state.store.hash().expect("invariant: no compaction is left")
}
