//! The event heap: what will happen, ordered by (time, sequence number). Nothing else breaks ties.
//!
//! Events wait in a slab and the heap moves only small keys, since an event may hold a whole message.

use seedbed::time::Nanos;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// See the module.
#[derive(Debug)]
pub(super) struct EventHeap<E> {
    keys: BinaryHeap<Reverse<(Nanos, u64, u32)>>,
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
            u32::try_from(self.slots.len() - 1).expect("invariant: fewer than 2^32 events wait")
        });
        self.slots[slot as usize] = Some(event);
        self.keys.push(Reverse((at, self.next_sequence, slot)));
        self.next_sequence += 1;
    }

    pub(super) fn next_at(&self) -> Option<Nanos> {
        self.keys.peek().map(|Reverse((at, _, _))| *at)
    }

    pub(super) fn pop(&mut self) -> Option<(Nanos, E)> {
        let Reverse((at, _, slot)) = self.keys.pop()?;
        self.free.push(slot);
        Some((at, self.slots[slot as usize].take().expect("invariant: each key has its event")))
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
