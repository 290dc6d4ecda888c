//! Catching up: unsynced watchers are served from the store's records.
//!
//! A slice reads one window of history, `max_revisions` long, and serves the watchers that lack something of it, up to
//! `max_watchers`. Who has its turn is decided as a lift decides on floors: unsynced watchers stand in the order of what
//! they lack, a slice begins where the slice before it stopped, and behind the last one it begins again with the first.
//!
//! ```text
//!   revisions     1 ········ 1000 ········ 2000 ········ 3000 ··· the present
//!   watchers      a  b         c             d e
//!   1st slice     [a  b     )                          a and b now lack 1001 and what follows, and stand with c
//!   2nd slice                  [a b c     )
//!   3rd slice                                [a b c d e )    …
//! ```
//!
//! Watchers that started anywhere near each other share their reads from then on. One that joins further behind waits
//! until the lift comes down again: were the one furthest behind always served first, a steady trickle of such would
//! keep all others where they are.

use super::notify::Batch;
use super::{Group, State, WatcherId, Watchers, response};
use crate::backend::BackendError;
use crate::bug::Bug;
use crate::mvcc::Store;
use crate::pb::etcdserverpb::WatchResponse;
use std::ops::Bound;

/// Watchers that are served before a slice looks whether it has done enough.
const GROUP: usize = 32;

/// Events that are enough for a slice, told to however many watchers: a few milliseconds.
const SLICE_EVENTS: usize = 20_000;

impl Watchers {
    /// Serves unsynced watchers, and streams that asked for their progress, for a while. `true` when there is nothing
    /// left to do; else it should be called again as soon as others had their turn.
    ///
    /// # Panics
    /// If the store has changed since [`Watchers::notify`].
    pub fn sync_slice(&mut self, store: &Store) -> Result<bool, BackendError> {
        assert_eq!(self.revision, store.revision(), "invariant: the synced hear first of what was applied");
        self.end_compacted(store.compact_revision());
        let turn = self.turn(store.compact_revision());
        if let Some(&(from, _)) = turn.first() {
            self.serve(store, from, &turn)?;
        }
        for stream in self.asking.clone() {
            self.answer_progress(stream);
        }
        Ok(self.unsynced.is_empty())
    }

    /// The store was replaced by a snapshot that stands at `revision`, not before the old one's. What lies between was
    /// never notified, so every watcher has to be served from the records.
    pub fn restored(&mut self, revision: i64) {
        self.synced = Group::default();
        for (&id, watcher) in self.watchers.iter_mut().filter(|(_, watcher)| watcher.state == State::Synced) {
            if self.config.bugs.on(Bug::RestoreForgetsWatchers) {
                // etcd #8411, #9281: they count as synced, and no key finds them any more.
                continue;
            }
            // etcd #15271: the revision was only noted where a response found no room, so this replays what was told.
            if !self.config.bugs.on(Bug::MinrevStaleOnSuccess) {
                watcher.min_rev = watcher.min_rev.max(self.revision + 1);
            }
            watcher.state = State::Unsynced;
            self.unsynced.insert((watcher.min_rev, id));
        }
        self.revision = revision;
    }

    /// Ends, up to a slice's number of them, those who ask for what is compacted.
    fn end_compacted(&mut self, compacted: i64) {
        for _ in 0..self.config.max_watchers.max(1) {
            let Some(&(min_rev, id)) = self.unsynced.first().filter(|(min_rev, _)| *min_rev < compacted) else { break };
            self.unsynced.remove(&(min_rev, id));
            if self.config.bugs.on(Bug::SkipCompactedWhenFull) && self.is_full(id.stream) {
                // etcd #17529: the notice finds no room, and the watcher goes on as if it had missed nothing.
                self.watcher(id).min_rev = self.revision + 1;
                self.settle(id);
                continue;
            }
            self.watchers.remove(&id);
            // No header revision, as in etcd: nothing is said about how far the watch has come.
            let notice =
                WatchResponse { canceled: true, compact_revision: compacted, ..response(id.watch, 0, Vec::new()) };
            self.send(id.stream, notice);
        }
    }

    /// Whose turn it is, in order. Those who ask for what is compacted have none: they will be told so.
    fn turn(&self, compacted: i64) -> Vec<(i64, WatcherId)> {
        let lowest = (compacted, WatcherId::FIRST);
        let mut above = self.unsynced.range((Bound::Excluded(self.lift.max(lowest)), Bound::Unbounded));
        let Some(&first) = above.next().or_else(|| self.unsynced.range(lowest..).next()) else { return Vec::new() };
        self.unsynced.range(first..).take(self.config.max_watchers.max(1)).copied().collect()
    }

    /// Reads a window from main revision `from` on and tells it to those of `turn` who lack something of it.
    fn serve(&mut self, store: &Store, from: i64, turn: &[(i64, WatcherId)]) -> Result<(), BackendError> {
        let (events, next) = store.events(from, self.config.max_revisions)?;
        // A start in the future lacks nothing: all of those are served by the last window.
        let within = |min_rev: i64| min_rev < next || next > self.revision;
        let served = &turn[..turn.partition_point(|&(min_rev, _)| within(min_rev))];
        let (mut batch, mut made, mut rest) = (Batch::new(store, &events), 0, served);
        while made < SLICE_EVENTS && !rest.is_empty() {
            let (some, later) = rest.split_at(GROUP.min(rest.len()));
            made += self.serve_some(&mut batch, next, some)?;
            (self.lift, rest) = (some[some.len() - 1], later);
        }
        // Where the slice ends before the window does, the next one goes on within it.
        if rest.is_empty() && served.len() < self.config.max_watchers.max(1) {
            self.lift = (next - 1, WatcherId::LAST);
        }
        Ok(())
    }

    /// Tells some watchers what they lack of the events of a window that ends before main revision `next`. Returns how
    /// many they were told.
    fn serve_some(
        &mut self,
        batch: &mut Batch<'_>,
        next: i64,
        some: &[(i64, WatcherId)],
    ) -> Result<usize, BackendError> {
        let mut group = Group::default();
        some.iter().for_each(|(_, id)| group.insert(&self.watchers[id].interest, *id));
        let concerned = group.concerned(batch.events);
        let mut made = 0;
        for &(min_rev, id) in some {
            self.unsynced.remove(&(min_rev, id));
            let lowers = self.config.bugs.on(Bug::FutureWatchLowered);
            let watcher = self.watcher(id);
            let told = batch.told(watcher, of(&concerned, id))?;
            made += told.len();
            // etcd #20221: a start that lies still ahead was lowered to the next revision.
            watcher.min_rev = if lowers { next } else { min_rev.max(next) };
            watcher.state = State::Victim;
            if told.is_empty() || self.send(id.stream, response(id.watch, self.revision, told)) {
                self.settle(id);
            }
        }
        Ok(made)
    }
}

/// A watcher's own part of what [`Group::concerned`] says.
fn of(concerned: &[(WatcherId, usize)], id: WatcherId) -> &[(WatcherId, usize)] {
    let from = concerned.partition_point(|&(other, _)| other < id);
    &concerned[from..][..concerned[from..].partition_point(|&(other, _)| other == id)]
}
