//! Telling synced watchers of what was applied just now, and making responses.

use super::{State, Watcher, WatcherId, Watchers, response};
use crate::backend::BackendError;
use crate::mvcc::Store;
use crate::pb::mvccpb::{Event, EventType, KeyValue};

impl Watchers {
    /// Tells the synced watchers what happened since the last call. To be called after each applied entry, and before
    /// anything is compacted that the entry made.
    ///
    /// Costs one comparison if nothing changed or nobody is synced, else a read of the records that were written.
    pub fn notify(&mut self, store: &Store) -> Result<(), BackendError> {
        let from = self.revision + 1;
        self.revision = store.revision();
        if from > self.revision || self.synced.is_empty() {
            return Ok(());
        }
        let (events, _) = store.events(from, usize::MAX)?;
        for events in events.chunk_by(|a, b| revision(a) == revision(b)) {
            self.notify_of(store, events)?;
        }
        Ok(())
    }

    /// Tells them of one revision, stream by stream: ten thousand watchers of one key are on few streams, and stand
    /// beside each other.
    fn notify_of(&mut self, store: &Store, events: &[Event]) -> Result<(), BackendError> {
        let Some(at) = events.first().map(revision) else { return Ok(()) };
        let mut batch = Batch::new(store, events);
        for concerned in self.synced.concerned(events).chunk_by(|a, b| a.0.stream == b.0.stream) {
            let stream = concerned[0].0.stream;
            let line = self.streams.get_mut(&stream).expect("invariant: a watcher's stream is there");
            let mut walk = self.watchers.range_mut(concerned[0].0..);
            for concerned in concerned.chunk_by(|a, b| a.0 == b.0) {
                let id = concerned[0].0;
                let watcher = match walk.by_ref().take(NEAR).find(|(other, _)| **other == id) {
                    Some((_, watcher)) => watcher,
                    None => {
                        walk = self.watchers.range_mut(id..);
                        walk.next().expect("invariant: whom a key finds is a watcher").1
                    }
                };
                let told = batch.told(watcher, concerned)?;
                if told.is_empty() {
                    continue;
                }
                self.ready.insert(stream);
                if !line.push(response(id.watch, at, told), self.config.buffer) {
                    self.synced.remove(&watcher.interest, id);
                    (watcher.state, watcher.min_rev) = (State::Victim, at + 1);
                }
            }
        }
        Ok(())
    }
}

/// How far to walk to the next watcher before it is looked for.
const NEAR: usize = 8;

/// Events of one or more revisions, and what the keys were before, which is read once, if anybody asks.
pub(super) struct Batch<'a> {
    store: &'a Store,
    pub(super) events: &'a [Event],
    before: Vec<Option<Option<KeyValue>>>,
}

impl<'a> Batch<'a> {
    pub(super) fn new(store: &'a Store, events: &'a [Event]) -> Batch<'a> {
        Batch { store, events, before: Vec::new() }
    }

    /// What a watcher hears of the events that concern it.
    pub(super) fn told(
        &mut self,
        watcher: &mut Watcher,
        concerned: &[(WatcherId, usize)],
    ) -> Result<Vec<Event>, BackendError> {
        // Most responses tell of one event; a vector that grows would begin with room for four.
        let mut told = Vec::with_capacity(usize::from(concerned.len() == 1));
        for &(_, n) in concerned {
            let event = &self.events[n];
            let left_out = if event.r#type == EventType::Put as i32 { watcher.no_put } else { watcher.no_delete };
            if revision(event) >= watcher.min_rev && !left_out {
                let prev_kv = if watcher.prev_kv { self.before(n)? } else { None };
                told.push(Event { prev_kv, ..event.clone() });
            }
        }
        watcher.told |= !told.is_empty();
        Ok(told)
    }

    fn before(&mut self, n: usize) -> Result<Option<KeyValue>, BackendError> {
        self.before.resize(self.events.len(), None);
        if let (None, Some(kv)) = (&self.before[n], &self.events[n].kv) {
            self.before[n] = Some(self.store.before(&kv.key, kv.mod_revision)?);
        }
        Ok(self.before[n].clone().flatten())
    }
}

fn revision(event: &Event) -> i64 {
    event.kv.as_ref().map_or(0, |kv| kv.mod_revision)
}
