//! The event heap: what will happen, ordered by (time, sequence number). Nothing else breaks ties.
//!
//! Events wait in a slab and the heap moves only small keys, since an event may hold a whole message. A key is one number:
//! nanoseconds in the upper 64 bits, the sequence number in the next [`SEQUENCE_BITS`], the slot in the rest.
//!
//! Timers have a queue beside the heap. Most are timeouts, all of the same length, that are set with every call and come
//! to nothing seconds later: they come up in the order in which they were set, and in the heap they would be the many
//! that every other event has to be sifted past.

use seedbed::time::Nanos;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

const SEQUENCE_BITS: u32 = 40;
const SLOT_BITS: u32 = 64 - SEQUENCE_BITS;

/// See the module.
#[derive(Debug)]
pub(super) struct EventHeap<E> {
    keys: BinaryHeap<Reverse<u128>>,
    /// Keys of timers, ascending.
    timers: VecDeque<u128>,
    slots: Vec<Option<E>>,
    free: Vec<u32>,
    next_sequence: u64,
}

impl<E> EventHeap<E> {
    pub(super) fn new() -> EventHeap<E> {
        EventHeap {
            keys: BinaryHeap::new(),
            timers: VecDeque::new(),
            slots: Vec::new(),
            free: Vec::new(),
            next_sequence: 0,
        }
    }

    pub(super) fn push(&mut self, at: Nanos, event: E) {
        let key = self.hold(at, event);
        self.keys.push(Reverse(key));
    }

    /// The same, for an event that will probably be the last of all that wait.
    pub(super) fn push_timer(&mut self, at: Nanos, event: E) {
        let key = self.hold(at, event);
        match self.timers.back() {
            Some(last) if *last > key => self.keys.push(Reverse(key)),
            _ => self.timers.push_back(key),
        }
    }

    /// Puts an event into a slot and numbers it.
    fn hold(&mut self, at: Nanos, event: E) -> u128 {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            let slot = self.slots.len() - 1;
            assert!(slot < 1 << SLOT_BITS, "invariant: fewer than 2^{SLOT_BITS} events wait");
            slot as u32
        });
        self.slots[slot as usize] = Some(event);
        let rest = self.next_sequence << SLOT_BITS | u64::from(slot);
        self.next_sequence += 1;
        assert!(self.next_sequence < 1 << SEQUENCE_BITS, "invariant: fewer than 2^{SEQUENCE_BITS} events a run");
        u128::from(at) << 64 | u128::from(rest)
    }

    fn next_key(&self) -> Option<u128> {
        match (self.keys.peek(), self.timers.front()) {
            (Some(Reverse(key)), Some(timer)) => Some(*key.min(timer)),
            (Some(Reverse(key)), None) => Some(*key),
            (None, timer) => timer.copied(),
        }
    }

    pub(super) fn next_at(&self) -> Option<Nanos> {
        self.next_key().map(|key| (key >> 64) as Nanos)
    }

    pub(super) fn pop(&mut self) -> Option<(Nanos, E)> {
        let key = self.next_key()?;
        if self.timers.front() == Some(&key) {
            self.timers.pop_front();
        } else {
            self.keys.pop();
        }
        let slot = key as u32 & ((1 << SLOT_BITS) - 1);
        self.free.push(slot);
        Some(((key >> 64) as Nanos, self.slots[slot as usize].take().expect("invariant: each key has its event")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn where_an_event_waits_makes_no_difference(
            steps in prop::collection::vec((prop::option::weighted(0.6, 0..50u64), any::<bool>()), 0..200),
        ) {
            let (mut heap, mut sorted, mut number) = (EventHeap::new(), std::collections::BTreeMap::new(), 0);
            for (at, is_timer) in steps {
                if let Some(at) = at {
                    sorted.insert((at, number), number);
                    if is_timer { heap.push_timer(at, number) } else { heap.push(at, number) }
                    number += 1;
                } else {
                    prop_assert_eq!(heap.pop(), sorted.pop_first().map(|((at, _), event)| (at, event)));
                }
                prop_assert_eq!(heap.next_at(), sorted.first_key_value().map(|((at, _), _)| *at));
            }
        }
    }

    #[test]
    fn events_come_by_time_and_then_in_the_order_pushed() {
        let mut heap = EventHeap::new();
        for (at, name) in [(5, 'c'), (1, 'a'), (5, 'd'), (1, 'b')] {
            heap.push(at, name);
        }
        assert_eq!(heap.next_at(), Some(1));
        let popped: Vec<_> = std::iter::from_fn(|| heap.pop()).collect();
        assert_eq!(popped, [(1, 'a'), (1, 'b'), (5, 'c'), (5, 'd')]);
    }
}
