//! The index: for each key, when it changed.
//!
//! The keys lie in slots that are found by hash ([`super::keys`]), each with its generations, and a B-tree has them in
//! order ([`super::order`]); all of it in memory alone. The index owns copies of its keys: a slice of the request would
//! keep the whole entry, value included, from being freed.

use super::Revision;
pub use super::key_index::Change;
use super::key_index::KeyIndex;
use super::keys::{Keys, Slot};
use super::order::Order;

/// Key → generations.
#[derive(Debug, Default)]
pub struct Index {
    keys: Keys,
    order: Order,
    /// Keys that live.
    live: u64,
}

impl Index {
    /// Adds a put, later than all before it. Says what the key is now.
    pub fn put(&mut self, key: &[u8], at: Revision) -> Change {
        let (slot, new) = self.keys.find_or_add(key);
        if new {
            self.order.add(&[slot], &self.keys);
        }
        let change = self.keys[slot].put(at);
        self.live += u64::from(change.version == 1);
        change
    }

    /// Adds recorded changes, in the order in which they were made. `add` is told each, and its key's generations.
    ///
    /// All keys are looked for before any is added: nothing waits for anything then, and the processor fetches what
    /// several searches look at in the time of one.
    pub(super) fn restore<'k, E>(
        &mut self,
        keys: impl Iterator<Item = &'k [u8]> + Clone,
        mut add: impl FnMut(usize, &mut KeyIndex) -> Result<(), E>,
    ) -> Result<(), E> {
        let found: Vec<Option<Slot>> = keys.clone().map(|key| self.keys.find(key)).collect();
        let mut run = Vec::new();
        for (i, (key, found)) in keys.zip(found).enumerate() {
            let (slot, new) = found.map_or_else(|| self.keys.find_or_add(key), |slot| (slot, false));
            if new {
                run.push(slot);
            }
            let lived = self.keys[slot].lives();
            add(i, &mut self.keys[slot])?;
            self.live = self.live + u64::from(self.keys[slot].lives()) - u64::from(lived);
        }
        self.order.add(&run, &self.keys);
        Ok(())
    }

    /// Adds a tombstone, later than all before it. `false` if the key does not live.
    pub(super) fn tombstone(&mut self, key: &[u8], at: Revision) -> bool {
        let lived = self.keys.find(key).is_some_and(|slot| self.keys[slot].tombstone(at));
        self.live -= u64::from(lived);
        lived
    }

    /// How many keys live.
    pub(super) fn live(&self) -> u64 {
        self.live
    }

    /// Whether any revision of `key` is known.
    pub(super) fn contains(&self, key: &[u8]) -> bool {
        self.keys.find(key).is_some()
    }

    /// The last change of `key` at or before main revision `at`, unless it is a tombstone.
    pub fn get(&self, key: &[u8], at: i64) -> Option<Change> {
        self.keys[self.keys.find(key)?].get(at)
    }

    /// The keys of the interval that live at main revision `at`, ascending, with their last change.
    pub(super) fn range<'a>(
        &'a self,
        from: &'a [u8],
        to: Option<&'a [u8]>,
        at: i64,
    ) -> impl Iterator<Item = (&'a [u8], Change)> + 'a {
        self.slots(from, to).filter_map(move |slot| Some((self.keys.key(slot), self.keys[slot].get(at)?)))
    }

    /// The revisions from main revision `since` on at which keys of the interval changed, ascending.
    pub(super) fn range_since(&self, from: &[u8], to: Option<&[u8]>, since: i64) -> Vec<Revision> {
        let mut revisions = Vec::new();
        self.slots(from, to).for_each(|slot| self.keys[slot].since(since, &mut revisions));
        revisions.sort_unstable();
        revisions
    }

    /// Drops what nobody can ask for who reads `key` at main revision `at` or later, or watches it from there on; the key
    /// itself if nothing is left. Returns the one revision up to `at` that stays; a tombstone at `at` does with
    /// `keep_tombstone`.
    pub fn compact(&mut self, key: &[u8], at: i64, keep_tombstone: bool) -> Option<Revision> {
        let slot = self.keys.find(key)?;
        let kept = self.keys[slot].compact(at, keep_tombstone);
        if self.keys[slot].is_empty() {
            self.order.remove(key, &self.keys);
            self.keys.remove(slot);
        }
        kept
    }

    /// Takes over the keys of `other`. Where both have a key, `other`'s generations replace this index's.
    pub(super) fn overwrite(&mut self, mut other: Index) {
        let slots: Vec<Slot> = other.slots(&[], None).collect();
        let generations: Vec<KeyIndex> = slots.iter().map(|slot| std::mem::take(&mut other.keys[*slot])).collect();
        let mut generations = generations.into_iter();
        let keys = slots.iter().map(|slot| other.keys.key(*slot));
        let replaced = self.restore(keys, |_, kept| {
            *kept = generations.next().expect("invariant: each key has its own");
            Ok::<_, std::convert::Infallible>(())
        });
        replaced.unwrap_or_else(|never| match never {});
    }

    fn slots<'a>(&'a self, from: &[u8], to: Option<&'a [u8]>) -> impl Iterator<Item = Slot> + 'a {
        self.order.range(from, to, &self.keys)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{bytes, number, revision, revisions, table};
    use super::*;
    use serde_json::Value;

    fn index(puts: &[&str]) -> Index {
        let mut index = Index::default();
        for (main, key) in (1..).zip(puts) {
            index.put(key.as_bytes(), Revision { main, sub: 0 });
        }
        index
    }

    /// The keys of the history that etcd's own tests use, by the main revision at which they were put.
    const PUTS: [&str; 6] = ["foo", "foo1", "foo2", "foo2", "foo1", "foo"];

    /// Keys and revisions up to a limit, and how many there are; without `whole`, no more are counted than returned.
    fn revisions_of(index: &Index, row: &Value, key: &str, end: &str, limit: &str, at: i64, whole: bool) -> Found {
        let key = bytes(&row[key]).unwrap_or_default();
        let limit = match number(row, limit) {
            0 => usize::MAX,
            limit => usize::try_from(limit).expect("limits are not negative"),
        };
        let only = [&key[..], &[0]].concat();
        let end = bytes(&row[end]).unwrap_or(only);
        let found: Vec<_> = index.range(&key, Some(&end), at).take(if whole { usize::MAX } else { limit }).collect();
        let count = found.len() as i64;
        let (keys, revisions) = found.into_iter().take(limit).map(|(key, change)| (key.to_vec(), change.at)).unzip();
        Found { keys, revisions, count }
    }

    struct Found {
        keys: Vec<Vec<u8>>,
        revisions: Vec<Revision>,
        count: i64,
    }

    #[test]
    fn get_agrees_with_etcds_table() {
        let mut index = Index::default();
        index.put(b"foo", Revision { main: 2, sub: 0 });
        index.put(b"foo", Revision { main: 4, sub: 0 });
        assert!(index.tombstone(b"foo", Revision { main: 6, sub: 0 }));
        for row in table("TestIndexGet") {
            let wanted = row["werr"].is_null().then(|| {
                let create_revision = revision(&row["wcreated"]).main;
                Change { at: revision(&row["wrev"]), create_revision, version: number(&row, "wver") }
            });
            assert_eq!(index.get(b"foo", number(&row, "rev")), wanted, "{row}");
        }
    }

    #[test]
    fn range_agrees_with_etcds_table() {
        let index = index(&PUTS[..3]);
        for row in table("TestIndexRange") {
            let whole = row["withTotalCount"].as_bool().expect("withTotalCount is yes or no");
            let found = revisions_of(&index, &row, "rangeStart", "rangeEnd", "rangeLimit", 3, whole);
            let keys = row["expectKeys"].as_array().into_iter().flatten().filter_map(bytes);
            assert_eq!(found.keys, keys.collect::<Vec<_>>(), "{row}");
            assert_eq!(found.revisions, revisions(&row["expectRevisions"]), "{row}");
            assert_eq!(found.count, number(&row, "expectTotalCount"), "{row}");
        }
    }

    #[test]
    fn revisions_agree_with_etcds_tables() {
        let index = index(&PUTS);
        for (name, count) in [("TestIndexRevision", "wcounts"), ("TestIndexRevisionsWithTotalCount", "wtotal")] {
            for row in table(name) {
                // The older table always counts all.
                let whole = row["withTotalCount"].as_bool().unwrap_or(true);
                let found = revisions_of(&index, &row, "key", "end", "limit", number(&row, "atRev"), whole);
                assert_eq!(found.revisions, revisions(&row["wrevs"]), "{name}: {row}");
                assert_eq!(found.count, number(&row, count), "{name}: {row}");
            }
        }
    }

    #[test]
    fn changes_since_come_in_order_of_their_revisions() {
        let index = index(&PUTS);
        let mains = |from: &[u8], to: Option<&[u8]>, since| -> Vec<i64> {
            index.range_since(from, to, since).iter().map(|at| at.main).collect()
        };
        assert_eq!(mains(b"", None, 1), [1, 2, 3, 4, 5, 6]);
        assert_eq!(mains(b"foo1", Some(b"fop"), 3), [3, 4, 5]);
        assert_eq!(mains(b"foo2", Some(b"foo1"), 1), [0; 0]);
    }

    #[test]
    fn a_key_of_which_nothing_is_left_is_forgotten() {
        let mut index = index(&["a", "b"]);
        assert!(index.tombstone(b"a", Revision { main: 3, sub: 0 }));
        assert!(!index.tombstone(b"a", Revision { main: 4, sub: 0 }));
        assert_eq!(index.compact(b"a", 2, true), Some(Revision { main: 1, sub: 0 }));
        assert_eq!(index.compact(b"a", 3, true), Some(Revision { main: 3, sub: 0 }), "its tombstone");
        assert_eq!(index.compact(b"a", 4, true), None);
        assert_eq!(index.compact(b"b", 4, true), Some(Revision { main: 2, sub: 0 }));
        assert_eq!(index.slots(b"", None).count(), 1);
    }
}
