//! Every key that the index knows, once, each in a slot with its generations, and found by its hash.
//!
//! ```text
//!   by_hash   hash → slot 2                  a table of eight bytes an entry: growing it touches no key
//!   slots     0 │ /registry/pods/a │ generations
//!             1 │ vacant            │          the next new key takes it
//!             2 │ /registry/pods/b │ generations
//! ```
//!
//! Most requests name their key in full. A search in order takes a million keys' five levels for that, and what lies
//! below the upper ones is in no cache: two microseconds, where a look into a hash table takes a third (`cargo bench
//! --bench state`). What takes the time is waiting for memory, so a slot holds the key's own bytes, too: behind a pointer
//! they would have to be waited for once more. Order is kept beside it ([`super::order`]), by slot, and only new and
//! forgotten keys change it.
//!
//! Nothing ever walks the table, so that its order shows nowhere.

use super::key_index::KeyIndex;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry as Place;
use std::ops::{Deref, Index, IndexMut};
use xxhash_rust::xxh3::xxh3_64;

/// Where a key lies, as long as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot(u32);

/// One slot: two lines of the cache that lie together, so that nothing of a key that is found has to be waited for twice.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Entry {
    generations: KeyIndex,
    key: Key,
}

const _: () = assert!(size_of::<Entry>() == 128);

/// The bytes of a key. Nearly all are short enough to lie in the slot, where they take what a box of their own would.
#[derive(Debug)]
enum Key {
    Short { length: u8, bytes: [u8; Key::SHORT] },
    Long(Box<[u8]>),
}

impl Key {
    const SHORT: usize = 78;
}

impl From<&[u8]> for Key {
    fn from(key: &[u8]) -> Key {
        let mut bytes = [0; Key::SHORT];
        match bytes.get_mut(..key.len()) {
            Some(start) => {
                start.copy_from_slice(key);
                Key::Short { length: key.len() as u8, bytes }
            }
            None => Key::Long(key.into()),
        }
    }
}

impl Deref for Key {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Key::Short { length, bytes } => &bytes[..usize::from(*length)],
            Key::Long(bytes) => bytes,
        }
    }
}

impl Default for Key {
    fn default() -> Key {
        Key::from(&[][..])
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Keys {
    slots: Vec<Entry>,
    vacant: Vec<Slot>,
    by_hash: HashTable<(u32, Slot)>,
}

impl Keys {
    pub(super) fn find(&self, key: &[u8]) -> Option<Slot> {
        let hash = hash(key);
        let found = self.by_hash.find(spread(hash), |(kept, slot)| *kept == hash && self.key(*slot) == key);
        found.map(|(_, slot)| *slot)
    }

    /// The key's slot, and whether it is new.
    pub(super) fn find_or_add(&mut self, key: &[u8]) -> (Slot, bool) {
        let Keys { slots, vacant, by_hash } = self;
        let hash = hash(key);
        let is_it = |(kept, slot): &(u32, Slot)| *kept == hash && *slots[slot.0 as usize].key == *key;
        let room = match by_hash.entry(spread(hash), is_it, |(hash, _)| spread(*hash)) {
            Place::Occupied(entry) => return (entry.get().1, false),
            Place::Vacant(room) => room,
        };
        let slot = vacant.pop().unwrap_or_else(|| {
            let next = u32::try_from(slots.len()).expect("invariant: memory ends before four billion keys");
            slots.push(Default::default());
            Slot(next)
        });
        slots[slot.0 as usize].key = key.into();
        room.insert((hash, slot));
        (slot, true)
    }

    /// Forgets a key; its slot is free for another.
    pub(super) fn remove(&mut self, slot: Slot) {
        let Entry { key, .. } = std::mem::take(&mut self.slots[slot.0 as usize]);
        let entry = self.by_hash.find_entry(spread(hash(&key)), |(_, found)| *found == slot);
        entry.expect("invariant: a key that has a slot is in the table").remove();
        self.vacant.push(slot);
    }

    pub(super) fn key(&self, slot: Slot) -> &[u8] {
        &self.slots[slot.0 as usize].key
    }
}

impl Index<Slot> for Keys {
    type Output = KeyIndex;

    fn index(&self, slot: Slot) -> &KeyIndex {
        &self.slots[slot.0 as usize].generations
    }
}

impl IndexMut<Slot> for Keys {
    fn index_mut(&mut self, slot: Slot) -> &mut KeyIndex {
        &mut self.slots[slot.0 as usize].generations
    }
}

fn hash(key: &[u8]) -> u32 {
    xxh3_64(key) as u32
}

/// The table looks at both ends of 64 bits.
fn spread(hash: u32) -> u64 {
    u64::from(hash) << 32 | u64::from(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_any_length_is_what_it_was() {
        for length in [0, 1, Key::SHORT - 1, Key::SHORT, Key::SHORT + 1, 4096] {
            let bytes = vec![7; length];
            let key = Key::from(&bytes[..]);
            assert_eq!((&key[..], matches!(key, Key::Short { .. })), (&bytes[..], length <= Key::SHORT));
        }
    }

    #[test]
    fn keys_are_found_until_they_are_removed_and_slots_are_taken_again() {
        let mut keys = Keys::default();
        let name = |n: u32| n.to_string().into_bytes();
        let slots: Vec<Slot> = (0..10_000).map(|n| keys.find_or_add(&name(n)).0).collect();
        slots.iter().skip(1).step_by(2).for_each(|slot| keys.remove(*slot));
        for n in 0..10_000 {
            let found = keys.find(&name(n));
            assert_eq!(found, (n % 2 == 0).then(|| slots[n as usize]));
            assert!(found.is_none_or(|slot| keys.key(slot) == name(n)));
        }
        assert!((10_000..15_000).all(|n| keys.find_or_add(&name(n)).1));
        assert_eq!((keys.slots.len(), keys.vacant.len(), keys.by_hash.len()), (10_000, 0, 10_000));
        assert!((10_000..15_000).all(|n| keys.find(&name(n)).is_some_and(|slot| keys.key(slot) == name(n))));
    }
}
