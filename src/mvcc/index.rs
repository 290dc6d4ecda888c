//! The index: for each key, when it changed.

use super::Revision;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::ops::Bound;

/// One change of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Change {
    /// When.
    pub(super) at: Revision,
    /// Main revision of the put that created the key; 0 for a tombstone.
    pub(super) create_revision: i64,
    /// Changes of the key since it was created; 0 for a tombstone.
    pub(super) version: i64,
}

impl Change {
    pub(super) fn is_tombstone(self) -> bool {
        self.version == 0
    }
}

/// Key → changes, ascending.
#[derive(Debug, Default)]
pub(super) struct Index {
    keys: BTreeMap<Bytes, Vec<Change>>,
}

impl Index {
    /// Adds a change, later than all before it. A tombstone has version 0.
    pub(super) fn append(&mut self, key: &Bytes, at: Revision, create_revision: i64, version: i64) {
        let change = Change { at, create_revision, version };
        match self.keys.get_mut(key) {
            Some(changes) => {
                debug_assert!(changes.last().is_none_or(|last| last.at < at), "invariant: changes of a key ascend");
                changes.push(change);
            }
            None => {
                self.keys.insert(key.clone(), vec![change]);
            }
        }
    }

    /// The last change of `key` at or before main revision `at`, unless it is a tombstone.
    pub(super) fn get(&self, key: &[u8], at: i64) -> Option<Change> {
        live(self.keys.get(key)?, at)
    }

    /// The keys of the interval that live at main revision `at`, ascending, with their last change.
    pub(super) fn range<'a>(
        &'a self,
        from: &'a [u8],
        to: Option<&'a [u8]>,
        at: i64,
    ) -> impl Iterator<Item = (&'a Bytes, Change)> + 'a {
        let empty = to.is_some_and(|to| to <= from);
        let to = if empty { Bound::Excluded(from) } else { to.map_or(Bound::Unbounded, Bound::Excluded) };
        // An inverted range panics in BTreeMap; `[from, from)` is the empty one that does not.
        let keys = self.keys.range::<[u8], _>((Bound::Included(from), to));
        keys.filter_map(move |(key, changes)| Some((key, live(changes, at)?)))
    }
}

fn live(changes: &[Change], at: i64) -> Option<Change> {
    // Most reads are at the newest revision: look at the end before searching.
    let last = match changes.last() {
        Some(last) if last.at.main <= at => *last,
        _ => *changes[..changes.partition_point(|change| change.at.main <= at)].last()?,
    };
    (!last.is_tombstone()).then_some(last)
}
