//! What a leader knows of one member's log, and how fast it may send.
//!
//! ```text
//!              rejected, unreachable                     needs what is compacted away
//!   Replicate ───────────────────────► Probe ◄────────┐ ┌──────────────────────────► Snapshot
//!   (a window of appends,              (one append    │ │                            (nothing
//!    optimistic `next`)   ◄──────────   at a time)    └─┼── sent, failed, or stale ◄── is sent)
//!                          accepted                     └── caught up ► Replicate
//! ```
//!
//! `match_index` is what the member has acknowledged; `next` is what goes out next. While replicating, `next` runs
//! ahead of the acknowledgements so that a round trip does not limit throughput, up to a window of `max_inflight`
//! messages. A lost append shows as a rejection of a later one, which falls back to probing.

use std::collections::VecDeque;

/// How a member is being sent the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProgressState {
    /// It is unknown where the logs agree: one append at a time, resumed by an answer or by a heartbeat's answer.
    Probe,
    /// The logs agree up to `match_index`: appends are pipelined.
    Replicate,
    /// It needs a snapshot, which is on its way; no appends until it is installed or reported failed.
    Snapshot {
        /// The snapshot's index.
        pending: u64,
    },
}

/// A leader's view of one member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The highest index known to equal the leader's.
    pub match_index: u64,
    /// The next index to send.
    pub next: u64,
    /// How it is being sent the log.
    pub state: ProgressState,
    /// Whether it said anything since CheckQuorum last asked.
    pub recent_active: bool,
    /// Receives the log but does not vote.
    pub learner: bool,
    /// While probing: an append is out, wait for its answer.
    pub(super) probe_sent: bool,
    /// The highest read batch for which it confirmed the leader.
    pub(super) read_acked: u64,
    inflights: Inflights,
}

impl Progress {
    pub(super) fn new(next: u64, max_inflight: usize, learner: bool) -> Progress {
        Progress {
            match_index: 0,
            next,
            state: ProgressState::Probe,
            recent_active: false,
            learner,
            probe_sent: false,
            read_acked: 0,
            inflights: Inflights { ends: VecDeque::new(), max: max_inflight.max(1) },
        }
    }

    /// Forgets all but the member's part: a new term knows nothing yet.
    pub(super) fn reset(&mut self, next: u64) {
        self.match_index = 0;
        self.next = next;
        self.recent_active = false;
        self.read_acked = 0;
        self.enter(ProgressState::Probe);
    }

    fn enter(&mut self, state: ProgressState) {
        self.state = state;
        self.probe_sent = false;
        self.inflights.ends.clear();
    }

    pub(super) fn become_probe(&mut self) {
        // After a snapshot it holds at least that much, if the snapshot arrived.
        self.next = match self.state {
            ProgressState::Snapshot { pending } => (self.match_index + 1).max(pending + 1),
            _ => self.match_index + 1,
        };
        self.enter(ProgressState::Probe);
    }

    pub(super) fn become_replicate(&mut self) {
        self.next = self.match_index + 1;
        self.enter(ProgressState::Replicate);
    }

    pub(super) fn become_snapshot(&mut self, pending: u64) {
        self.enter(ProgressState::Snapshot { pending });
    }

    /// The snapshot did not arrive: probe from what was known before it.
    pub(super) fn abort_snapshot(&mut self) {
        self.enter(ProgressState::Probe);
        self.next = self.match_index + 1;
    }

    /// Whether no append may be sent now.
    #[inline]
    pub fn is_paused(&self) -> bool {
        match self.state {
            ProgressState::Probe => self.probe_sent,
            ProgressState::Replicate => self.inflights.is_full(),
            ProgressState::Snapshot { .. } => true,
        }
    }

    /// Appends that are sent but not acknowledged (while replicating).
    pub fn inflight(&self) -> usize {
        self.inflights.ends.len()
    }

    /// Notes an append that ends at `last`; `empty` if it carried no entries.
    pub(super) fn sent_append(&mut self, last: u64, empty: bool) {
        match self.state {
            ProgressState::Replicate if !empty => {
                self.next = last + 1;
                self.inflights.ends.push_back(last);
            }
            ProgressState::Probe => self.probe_sent = true,
            _ => {}
        }
    }

    /// An accepting answer came for `index`. Returns whether it told something new: answers may be old or repeated.
    pub(super) fn accepted(&mut self, index: u64) -> bool {
        let news = index > self.match_index;
        if news {
            self.match_index = index;
            self.probe_sent = false;
        }
        self.next = self.next.max(index + 1);
        news
    }

    /// A rejecting answer came for an append after `rejected`, with agreement possible at or before `hint`. Returns
    /// whether `next` fell back; a stale answer changes nothing.
    pub(super) fn rejected(&mut self, rejected: u64, hint: u64) -> bool {
        match self.state {
            ProgressState::Replicate if rejected > self.match_index => {
                self.next = self.match_index + 1;
                true
            }
            // Only one probe is out, so only the answer to that one counts.
            ProgressState::Probe if self.next - 1 == rejected => {
                self.next = rejected.min(hint + 1).max(self.match_index + 1);
                self.probe_sent = false;
                true
            }
            _ => false,
        }
    }

    /// All appends that end at or before `index` have arrived.
    #[inline]
    pub(super) fn free_inflights(&mut self, index: u64) {
        while self.inflights.ends.front().is_some_and(|&end| end <= index) {
            self.inflights.ends.pop_front();
        }
    }

    /// It answered a heartbeat, so it is there: one more append may go out, in case answers were lost.
    pub(super) fn resume(&mut self) {
        self.probe_sent = false;
        if self.state == ProgressState::Replicate && self.inflights.is_full() {
            self.inflights.ends.pop_front();
        }
    }
}

/// The window: the last index of each append that is out, oldest first.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Inflights {
    ends: VecDeque<u64>,
    max: usize,
}

impl Inflights {
    fn is_full(&self) -> bool {
        self.ends.len() >= self.max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replicating(matched: u64) -> Progress {
        let mut p = Progress::new(matched + 1, 2, false);
        p.accepted(matched);
        p.become_replicate();
        p
    }

    #[test]
    fn a_probe_waits_for_its_answer_and_a_window_for_room() {
        let mut p = Progress::new(5, 2, false);
        assert!(!p.is_paused());
        p.sent_append(4, true);
        assert!(p.is_paused());
        p.resume();
        assert!(!p.is_paused());
        let mut p = replicating(4);
        p.sent_append(6, false);
        p.sent_append(8, false);
        assert!(p.is_paused() && p.next == 9);
        p.free_inflights(5);
        assert!(p.is_paused(), "5 is not the end of an append");
        p.free_inflights(6);
        assert!(!p.is_paused());
        p.sent_append(9, false);
        p.free_inflights(9);
        assert_eq!(p.inflight(), 0);
    }

    #[test]
    fn an_answer_raises_match_and_never_lowers_next() {
        let mut p = replicating(3);
        p.sent_append(9, false);
        assert!(p.accepted(5));
        assert_eq!((p.match_index, p.next), (5, 10));
        assert!(!p.accepted(4));
        assert_eq!((p.match_index, p.next), (5, 10));
    }

    #[test]
    fn a_rejection_counts_only_if_it_answers_what_is_out() {
        let mut p = replicating(5);
        p.next = 10;
        assert!(!p.rejected(5, 5) && !p.rejected(4, 4), "at or below what is acknowledged");
        assert!(p.rejected(9, 2));
        assert_eq!(p.next, 6);
        let mut p = Progress::new(10, 2, false);
        assert!(!p.rejected(8, 8), "not the probe that is out");
        assert!(p.rejected(9, 3));
        assert_eq!(p.next, 4);
        assert!(p.rejected(3, 0));
        assert_eq!(p.next, 1);
        p.become_snapshot(7);
        assert!(!p.rejected(0, 0) && p.is_paused());
    }

    #[test]
    fn after_a_snapshot_the_probe_begins_behind_it_unless_it_failed() {
        let mut p = Progress::new(1, 2, false);
        p.become_snapshot(10);
        p.become_probe();
        assert_eq!(p.next, 11);
        p.become_snapshot(10);
        p.abort_snapshot();
        assert_eq!(p.next, 1);
    }
}
