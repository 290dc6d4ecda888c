//! A client's stream: the buffer that its watchers share, and what stands in line behind it.
//!
//! ```text
//!   taken ◄── buffer: at most 1024 responses ◄── overflow: one of each victim ◄── a response that is made
//! ```
//!
//! A response goes into the buffer or, if that is full, into the overflow, and rises from there as soon as there is
//! room. So responses keep their order, and something waits only while the buffer is full. Since a victim is told nothing
//! more, the overflow holds no more responses than the stream has had watchers.

use crate::pb::etcdserverpb::WatchResponse;
use std::collections::VecDeque;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Stream {
    buffer: VecDeque<WatchResponse>,
    overflow: VecDeque<WatchResponse>,
    /// Where the search for a free watch number begins.
    pub(super) next_watch: i64,
}

impl Stream {
    /// Whether there is nothing to take.
    pub(super) fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// Events in line.
    pub(super) fn events(&self) -> usize {
        self.buffer.iter().chain(&self.overflow).map(|response| response.events.len()).sum()
    }

    /// Whether the next response would have to wait.
    pub(super) fn is_full(&self, capacity: usize) -> bool {
        self.buffer.len() >= capacity.max(1)
    }

    /// Puts a response in line. Whether it has come into the buffer.
    pub(super) fn push(&mut self, response: WatchResponse, capacity: usize) -> bool {
        let full = self.is_full(capacity);
        debug_assert!(full || self.overflow.is_empty(), "invariant: only behind a full buffer something waits");
        if full { &mut self.overflow } else { &mut self.buffer }.push_back(response);
        !full
    }

    /// Puts a response before all others.
    pub(super) fn overtake(&mut self, response: WatchResponse) {
        self.buffer.push_front(response);
    }

    /// Moves responses from the overflow into the buffer while it has room. Returns whose they are.
    pub(super) fn rise(&mut self, capacity: usize) -> Vec<i64> {
        let room = capacity.max(1).saturating_sub(self.buffer.len()).min(self.overflow.len());
        let risen: Vec<i64> = self.overflow.iter().take(room).map(|response| response.watch_id).collect();
        self.buffer.extend(self.overflow.drain(..room));
        risen
    }

    /// Takes up to `max` responses, the oldest first.
    pub(super) fn take(&mut self, max: usize) -> Vec<WatchResponse> {
        let taken = self.buffer.drain(..max.min(self.buffer.len())).collect();
        if self.buffer.is_empty() {
            // A burst once needed the room; most streams are quiet most of the time.
            self.buffer.shrink_to(1);
        }
        taken
    }

    /// Drops what a watch was still to be told. Whether there was anything.
    pub(super) fn forget(&mut self, watch: i64) -> bool {
        let before = self.buffer.len() + self.overflow.len();
        self.buffer.retain(|response| response.watch_id != watch);
        self.overflow.retain(|response| response.watch_id != watch);
        self.buffer.len() + self.overflow.len() < before
    }
}
