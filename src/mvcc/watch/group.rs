//! A group of watchers that a key can be held against: those of one key in an ordered set, those of a range in an
//! interval tree. A key that changes finds its own watchers and looks at few others.

use super::WatcherId;
use crate::interval::{IntervalTree, Span};
use crate::pb::mvccpb::Event;
use bytes::Bytes;
use std::collections::BTreeSet;

/// The keys that a watcher asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Interest {
    /// One.
    Key(Bytes),
    /// A range.
    Span(Span),
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Group {
    /// In order of their keys; several of one key in order of their ids.
    points: BTreeSet<(Bytes, WatcherId)>,
    ranges: IntervalTree<WatcherId>,
}

impl Group {
    pub(super) fn insert(&mut self, interest: &Interest, id: WatcherId) {
        match interest {
            Interest::Key(key) => self.points.insert((key.clone(), id)),
            Interest::Span(span) => self.ranges.insert(span.clone(), id),
        };
    }

    pub(super) fn remove(&mut self, interest: &Interest, id: WatcherId) {
        match interest {
            Interest::Key(key) => self.points.remove(&(key.clone(), id)),
            Interest::Span(span) => self.ranges.remove(span, &id),
        };
    }

    pub(super) fn len(&self) -> usize {
        self.points.len() + self.ranges.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Which watcher is concerned by which of the events, as pairs in order of the watchers, and for each of them in
    /// order of the events.
    pub(super) fn concerned(&self, events: &[Event]) -> Vec<(WatcherId, usize)> {
        let mut concerned = Vec::new();
        for (n, kv) in events.iter().enumerate().filter_map(|(n, event)| Some((n, event.kv.as_ref()?))) {
            let of_key = (kv.key.clone(), WatcherId::FIRST)..=(kv.key.clone(), WatcherId::LAST);
            concerned.extend(self.points.range(of_key).map(|(_, id)| (*id, n)));
            concerned.extend(self.ranges.stab(&kv.key).map(|(_, id)| (*id, n)));
        }
        concerned.sort_unstable();
        concerned
    }
}
