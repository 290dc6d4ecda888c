//! The index: for each key, when it changed.
//!
//! A B-tree of [`KeyIndex`]es, in memory alone. It owns copies of its keys: a slice of the request would keep the whole
//! entry, value included, from being freed.

use super::Revision;
use super::key_index::{Change, KeyIndex};
use std::collections::BTreeMap;
use std::ops::Bound;

/// Key → generations.
#[derive(Debug, Default)]
pub(super) struct Index {
    keys: BTreeMap<Box<[u8]>, KeyIndex>,
}

impl Index {
    /// Adds a put, later than all before it. Says what the key is now.
    pub(super) fn put(&mut self, key: &[u8], at: Revision) -> Change {
        self.update(key, |key_index| key_index.put(at))
    }

    /// Adds a tombstone, later than all before it. `false` if the key does not live.
    pub(super) fn tombstone(&mut self, key: &[u8], at: Revision) -> bool {
        self.keys.get_mut(key).is_some_and(|key_index| key_index.tombstone(at))
    }

    /// Adds to the key's generations. One lookup for a key that is there, and no copy of it.
    pub(super) fn update<T>(&mut self, key: &[u8], add: impl FnOnce(&mut KeyIndex) -> T) -> T {
        if let Some(key_index) = self.keys.get_mut(key) {
            return add(key_index);
        }
        let mut key_index = KeyIndex::default();
        let result = add(&mut key_index);
        self.keys.insert(key.into(), key_index);
        result
    }

    /// The last change of `key` at or before main revision `at`, unless it is a tombstone.
    pub(super) fn get(&self, key: &[u8], at: i64) -> Option<Change> {
        self.keys.get(key)?.get(at)
    }

    /// The keys of the interval that live at main revision `at`, ascending, with their last change.
    pub(super) fn range<'a>(
        &'a self,
        from: &'a [u8],
        to: Option<&'a [u8]>,
        at: i64,
    ) -> impl Iterator<Item = (&'a [u8], Change)> + 'a {
        self.span(from, to).filter_map(move |(key, key_index)| Some((key, key_index.get(at)?)))
    }

    /// The revisions from main revision `since` on at which keys of the interval changed, ascending.
    pub(super) fn range_since(&self, from: &[u8], to: Option<&[u8]>, since: i64) -> Vec<Revision> {
        let mut revisions = Vec::new();
        self.span(from, to).for_each(|(_, key_index)| key_index.since(since, &mut revisions));
        revisions.sort_unstable();
        revisions
    }

    /// Drops what no read of `key` at or after main revision `at` can see, the key itself if nothing is left. Returns
    /// the one revision up to `at` that stays.
    pub(super) fn compact(&mut self, key: &[u8], at: i64) -> Option<Revision> {
        let key_index = self.keys.get_mut(key)?;
        let kept = key_index.compact(at);
        if key_index.is_empty() {
            self.keys.remove(key);
        }
        kept
    }

    /// Takes over the keys of `other`. Where both have a key, `other`'s generations replace this index's.
    pub(super) fn overwrite(&mut self, mut other: Index) {
        self.keys.append(&mut other.keys);
    }

    fn span<'a>(&'a self, from: &'a [u8], to: Option<&'a [u8]>) -> impl Iterator<Item = (&'a [u8], &'a KeyIndex)> + 'a {
        let empty = to.is_some_and(|to| to <= from);
        let to = if empty { Bound::Excluded(from) } else { to.map_or(Bound::Unbounded, Bound::Excluded) };
        // An inverted range panics in BTreeMap; `[from, from)` is the empty one that does not.
        let keys = self.keys.range::<[u8], _>((Bound::Included(from), to));
        keys.map(|(key, key_index)| (&**key, key_index))
    }
}
