//! The event heap: what will happen, ordered by (time, sequence number). Nothing else breaks ties.
//!
//! Events wait in a slab and the heap moves only small keys, since an event may hold a whole message. A key is one number:
//! nanoseconds in the upper 64 bits, the sequence number in the next [`SEQUENCE_BITS`], the slot in the rest.

use seedbed::time::Nanos;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

const SEQUENCE_BITS: u32 = 40;
const SLOT_BITS: u32 = 64 - SEQUENCE_BITS;

/// See the module.
#[derive(Debug)]
pub(super) struct EventHeap<E> {
    keys: BinaryHeap<Reverse<u128>>,
    slots: Vec<Option<E>>,
    free: Vec<u32>,
    next_sequence: u64,
}

impl<E> EventHeap<E> {
    pub(super) fn new() -> EventHeap<E> {
        EventHeap { keys: BinaryHeap::new(), slots: Vec::new(), free: Vec::new(), next_sequence: 0 }
    }

    pub(super) fn push(&mut self, at: Nanos, event: E) {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            let slot = self.slots.len() - 1;
            assert!(slot < 1 << SLOT_BITS, "invariant: fewer than 2^{SLOT_BITS} events wait");
            slot as u32
        });
        self.slots[slot as usize] = Some(event);
        let rest = self.next_sequence << SLOT_BITS | u64::from(slot);
        self.keys.push(Reverse(u128::from(at) << 64 | u128::from(rest)));
        self.next_sequence += 1;
        assert!(self.next_sequence < 1 << SEQUENCE_BITS, "invariant: fewer than 2^{SEQUENCE_BITS} events a run");
    }

    pub(super) fn next_at(&self) -> Option<Nanos> {
        self.keys.peek().map(|Reverse(key)| (key >> 64) as Nanos)
    }

    pub(super) fn pop(&mut self) -> Option<(Nanos, E)> {
        let Reverse(key) = self.keys.pop()?;
        let slot = key as u32 & ((1 << SLOT_BITS) - 1);
        self.free.push(slot);
        Some(((key >> 64) as Nanos, self.slots[slot as usize].take().expect("invariant: each key has its event")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
