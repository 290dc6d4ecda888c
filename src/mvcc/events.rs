//! History as events: the records of the bucket `key`, read again in the order in which they were made.
//!
//! A record is an event already: a put's holds the key's new state, a tombstone's the key that went. So watchers that
//! keep up and those that catch up read the same bytes, through the same lines; a transaction writes nothing down for
//! them, and when nobody watches nothing is read.

use super::{BackendError, Revision, Store, record};
use crate::pb::mvccpb::{Event, EventType, KeyValue};

impl Store {
    /// The events from main revision `from` on, of at most `max_revisions` revisions that have any, none of them split;
    /// and the first revision that was not looked at. What compaction has dropped is not among them: ask from
    /// [`Store::compact_revision`] on.
    pub fn events(&self, from: i64, max_revisions: usize) -> Result<(Vec<Event>, i64), BackendError> {
        let (mut events, mut revisions, mut last, mut next) = (Vec::new(), 0, 0, self.revision + 1);
        let start = Revision { main: from.max(1), sub: 0 }.to_bytes();
        record::visit(&*self.engine, &start, |key, value| {
            let (at, tombstone) = record::known_revision(key)?;
            if at.main != last {
                if revisions == max_revisions.max(1) {
                    next = at.main;
                    return Ok(false);
                }
                (revisions, last) = (revisions + 1, at.main);
            }
            let mut kv = record::known_value(key, Some(value.clone()))?;
            kv.mod_revision = at.main;
            let kind = if tombstone { EventType::Delete } else { EventType::Put };
            events.push(Event { r#type: kind as i32, kv: Some(kv), prev_kv: None });
            Ok(true)
        })?;
        Ok((events, next))
    }

    /// What a key was before main revision `main`; `None` if it did not live then, or if that is compacted.
    pub(super) fn before(&self, key: &[u8], main: i64) -> Result<Option<KeyValue>, BackendError> {
        if main - 1 < self.compact_revision() {
            return Ok(None);
        }
        self.index.get(key, main - 1).map(|change| self.load(change.at)).transpose()
    }
}
