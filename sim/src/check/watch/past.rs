//! What happened, indexed by revision and by key.

use super::Truth;
use crate::check::model::Event;
use seedbed::pb::mvccpb::KeyValue;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;

/// The truth, and by key where its changes stand in it.
pub(super) struct Past<'t> {
    pub(super) truth: &'t Truth,
    by_key: BTreeMap<&'t [u8], Vec<&'t Event>>,
}

impl<'t> Past<'t> {
    pub(super) fn of(truth: &'t Truth) -> Past<'t> {
        let mut by_key: BTreeMap<&[u8], Vec<&Event>> = BTreeMap::new();
        for event in &truth.events {
            by_key.entry(&event.key).or_default().push(event);
        }
        Past { truth, by_key }
    }

    /// The changes of these revisions.
    pub(super) fn between(&self, revisions: RangeInclusive<i64>) -> &'t [Event] {
        let events = &self.truth.events;
        let from = events.partition_point(|event| event.revision < *revisions.start());
        let to = events.partition_point(|event| event.revision <= *revisions.end());
        &events[from..to.max(from)]
    }

    /// What a key was before a revision.
    pub(super) fn before(&self, key: &[u8], revision: i64) -> Option<&'t KeyValue> {
        let changes = self.by_key.get(key)?;
        let earlier = changes.partition_point(|event| event.revision < revision);
        changes[..earlier].last()?.kv.as_ref()
    }
}
