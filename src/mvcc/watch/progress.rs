//! What is said when there is nothing to tell: how far a watch has come.
//!
//! A client that hears "progress, revision R" resumes after R when its connection breaks, so it may be said only when
//! every event up to R was said before. That is so when the watch is synced and the word goes through the buffer, behind
//! all events; and when its start is not further ahead than R + 1, or the client would resume before it.

use super::{NO_WATCH, State, StreamId, Watcher, Watchers, response};
use crate::bug::Bug;

impl Watchers {
    /// A client asks how far its stream has come. It is told, once for all watches, as soon as that is true of all of
    /// them. Lapses if there is no watch.
    pub fn request_progress(&mut self, stream: StreamId) {
        if self.config.bugs.on(Bug::ProgressOvertakes)
            && let Some(line) = self.streams.get_mut(&stream)
        {
            // etcd #15220: the answer did not go through the buffer, and nobody asked whether the watches were synced.
            line.overtake(response(NO_WATCH, self.revision, Vec::new()));
            self.ready.insert(stream);
            return;
        }
        self.asking.insert(stream);
        self.answer_progress(stream);
    }

    /// The interval of a stream's progress notifications has passed: the watches that want them, and have heard nothing
    /// since the last time, are told how far they have come, unless they have yet to come so far.
    pub fn progress_tick(&mut self, stream: StreamId) {
        let due = self.of_stream(stream).filter(|(_, watcher)| watcher.progress_notify);
        let due = due.filter(|(_, watcher)| !watcher.told && self.has_come_far(watcher)).map(|(id, _)| *id);
        for id in due.collect::<Vec<_>>() {
            // What finds no room now would be stale later, and there will be another.
            if !self.is_full(stream) {
                self.send(stream, response(id.watch, self.revision, Vec::new()));
            }
        }
        self.watchers.range_mut(Self::ids_of(stream)).for_each(|(_, watcher)| watcher.told = false);
    }

    /// Answers a stream's request for progress, if there is one and it is time.
    pub(super) fn answer_progress(&mut self, stream: StreamId) {
        if !self.asking.contains(&stream) {
            return;
        }
        let unanswerable = self.of_stream(stream).next().is_none();
        let time = !self.is_full(stream) && self.of_stream(stream).all(|(_, watcher)| self.has_come_far(watcher));
        if time && !unanswerable {
            self.send(stream, response(NO_WATCH, self.revision, Vec::new()));
        }
        if time || unanswerable {
            self.asking.remove(&stream);
        }
    }

    /// A watch has joined a stream. What stands in the buffer about all watches of the stream was not said of this one,
    /// so it is asked again.
    pub(super) fn retract_progress(&mut self, stream: StreamId) {
        if self.drain(stream, |line| line.forget(NO_WATCH)) == Some(true) {
            self.asking.insert(stream);
            self.answer_progress(stream);
        }
    }

    /// Whether a watcher was told everything up to the present, and is to hear of the next revision.
    fn has_come_far(&self, watcher: &Watcher) -> bool {
        // etcd #20221: a watch whose start lies ahead was told of progress before it.
        let ahead = watcher.min_rev > self.revision + 1 && !self.config.bugs.on(Bug::FutureWatchLowered);
        watcher.state == State::Synced && !ahead
    }
}
