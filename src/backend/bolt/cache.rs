//! Pages in memory, up to a size.
//!
//! ```text
//!   page number:   … │ which chunk │ place in it │
//!                          │             │
//!   chunks:  ┌──┬──┬──┬──┐ │  ┌──┬──┬──┬──┬──┐
//!            │  │ ─┼──┼──┼─┴─►│  │  │ ─┼──┼──┼──► a page that was validated, shared with whoever reads it
//!            └──┴──┴──┴──┘    └──┴──┴──┴──┴──┘
//! ```
//!
//! Page numbers are dense, so that a table finds a page with two looks where a search tree needs one a level. A chunk
//! without pages is let go of.
//!
//! What was not looked at since the hand last came by goes first (the clock algorithm: nearly least recently used,
//! without a list to keep in order).

use super::page::Node;
use std::mem;
use std::rc::Rc;

/// Places of a chunk.
const CHUNK: usize = 128;

pub(super) struct Cache {
    chunks: Vec<Option<Box<Chunk>>>,
    /// Of the pages that are kept.
    pub(super) bytes: usize,
    bytes_max: usize,
    /// The page where the search for one that may go begins.
    hand: usize,
}

struct Chunk {
    places: [Place; CHUNK],
    kept: usize,
}

#[derive(Default)]
struct Place {
    node: Option<Rc<Node>>,
    looked_at: bool,
}

impl Cache {
    pub(super) fn new(bytes_max: usize) -> Cache {
        Cache { chunks: Vec::new(), bytes: 0, bytes_max, hand: 0 }
    }

    #[inline]
    pub(super) fn get(&mut self, id: u64) -> Option<&Rc<Node>> {
        let chunk = self.chunks.get_mut(id as usize / CHUNK)?.as_mut()?;
        let place = &mut chunk.places[id as usize % CHUNK];
        place.looked_at = true;
        place.node.as_ref()
    }

    /// Keeps a page in place of what was known by its number; one that is too long for the cache is not kept.
    pub(super) fn insert(&mut self, id: u64, node: &Rc<Node>) {
        self.forget(id);
        let bytes = node.bytes().len();
        if bytes > self.bytes_max / 4 {
            return;
        }
        while self.bytes + bytes > self.bytes_max {
            self.evict();
        }
        let at = id as usize / CHUNK;
        if self.chunks.len() <= at {
            self.chunks.resize_with(at + 1, || None);
        }
        let chunk = self.chunks[at].get_or_insert_with(Chunk::new);
        chunk.places[id as usize % CHUNK] = Place { node: Some(node.clone()), looked_at: false };
        chunk.kept += 1;
        self.bytes += bytes;
    }

    /// Moves the hand on until a page goes.
    fn evict(&mut self) {
        while let Some(chunk) = self.chunks.get_mut(self.hand / CHUNK) {
            let Some(chunk) = chunk else {
                self.hand = (self.hand / CHUNK + 1) * CHUNK;
                continue;
            };
            let place = &mut chunk.places[self.hand % CHUNK];
            self.hand += 1;
            if !mem::take(&mut place.looked_at) && place.node.is_some() {
                return self.forget(self.hand as u64 - 1);
            }
        }
        self.hand = 0;
    }

    pub(super) fn forget(&mut self, id: u64) {
        let Some(slot) = self.chunks.get_mut(id as usize / CHUNK) else { return };
        let Some(chunk) = slot else { return };
        let Some(node) = mem::take(&mut chunk.places[id as usize % CHUNK]).node else { return };
        self.bytes -= node.bytes().len();
        chunk.kept -= 1;
        if chunk.kept == 0 {
            *slot = None;
        }
    }
}

impl Chunk {
    fn new() -> Box<Chunk> {
        Box::new(Chunk { places: [(); CHUNK].map(|()| Place::default()), kept: 0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::bolt::elements::{LeafItem, encode};

    /// A leaf of one page of 512 bytes.
    fn page(id: u64) -> Rc<Node> {
        let item = LeafItem { flags: 0, key: id.to_be_bytes().to_vec().into(), value: b"v".as_slice().into() };
        Rc::new(Node::parse(encode(id, &[item], 512).into(), 10).expect("a sound page"))
    }

    fn kept(cache: &mut Cache, ids: std::ops::Range<u64>) -> Vec<u64> {
        ids.filter(|id| {
            cache.chunks.get(*id as usize / CHUNK).is_some_and(|chunk| {
                chunk.as_ref().is_some_and(|chunk| chunk.places[*id as usize % CHUNK].node.is_some())
            })
        })
        .collect()
    }

    #[test]
    fn what_was_looked_at_stays_and_the_size_is_kept() {
        let mut cache = Cache::new(512 * 4);
        (0..4).for_each(|n| cache.insert(n * 100, &page(n * 100)));
        assert!(cache.get(0).is_some() && cache.get(200).is_some() && cache.get(201).is_none());
        cache.insert(7, &page(7));
        assert_eq!((kept(&mut cache, 0..1000), cache.bytes), (vec![0, 7, 200, 300], 512 * 4));
        // The hand stands behind page 100: page 300 is next.
        cache.insert(8, &page(8));
        assert_eq!((kept(&mut cache, 0..1000), cache.bytes), (vec![0, 7, 8, 200], 512 * 4));
    }

    #[test]
    fn a_page_replaces_what_had_its_number_and_an_empty_chunk_is_let_go_of() {
        let mut cache = Cache::new(512 * 100);
        (0..2).for_each(|_| cache.insert(1000, &page(1000)));
        assert_eq!(cache.bytes, 512);
        assert_eq!(cache.get(1000).map(|node| node.first_key() == page(1000).first_key()), Some(true));
        (0..2).for_each(|_| cache.forget(1000));
        assert_eq!((cache.bytes, cache.get(1000).is_none()), (0, true));
        assert!(cache.chunks.iter().all(Option::is_none));
    }
}
