//! A file's bytes, in blocks that several images share.
//!
//! A file is a row of 4 KiB blocks, each behind a count of its holders. What nobody wrote has no block: it reads as
//! zeros and costs nothing, so a preallocated segment of 64 MB is a number. A clone copies pointers; a write to a block
//! that is shared copies that block first, and a write of just one block puts the writer's own memory in its place. So the
//! member's cache and the live and the durable image of a database hold its synced pages once, and a fork of a disk
//! costs a pointer a block.

use bytes::Bytes;
use std::rc::Rc;

/// Bytes of a block: bbolt's page, so that a page's write is one block's.
pub(super) const BLOCK: usize = 4096;

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct Content {
    /// Block `i` holds the bytes from `i * BLOCK`; `None`, and whatever lies beyond the last one: zeros.
    blocks: Vec<Option<Block>>,
    len: u64,
    /// Where the last byte that was ever written ends; what lies behind it up to `len` was only made room for.
    written: u64,
}

#[derive(Clone, Debug)]
enum Block {
    /// It was written as a whole.
    Whole(Bytes),
    /// It was written, or changed, in parts.
    Parts(Rc<[u8; BLOCK]>),
}

impl Block {
    fn bytes(&self) -> &[u8] {
        match self {
            Block::Whole(bytes) => bytes,
            Block::Parts(bytes) => &bytes[..],
        }
    }

    fn to_mut(&mut self) -> &mut [u8; BLOCK] {
        if let Block::Whole(bytes) = self {
            let bytes = <[u8; BLOCK]>::try_from(&bytes[..]).expect("invariant: a block has its length");
            *self = Block::Parts(Rc::new(bytes));
        }
        let Block::Parts(bytes) = self else { panic!("invariant: a block of its own was just made") };
        Rc::make_mut(bytes)
    }
}

impl Content {
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// See the field.
    pub(super) fn written(&self) -> u64 {
        self.written
    }

    /// Bytes of the blocks that exist.
    pub(super) fn allocated(&self) -> u64 {
        (self.blocks.iter().flatten().count() * BLOCK) as u64
    }

    pub(super) fn write(&mut self, offset: u64, data: &Bytes) {
        for (block, start, piece) in pieces(offset, data) {
            self.write_in_block(block, start, piece, data);
        }
        let end = offset + data.len() as u64;
        self.len = self.len.max(end);
        self.written = self.written.max(end);
    }

    /// The same write as [`Content::write`] did in `other`, which holds the same bytes by now: whole blocks, and those
    /// that are written to their end (of a log they are done then), are shared with it instead of copied.
    pub(super) fn write_sharing(&mut self, offset: u64, data: &Bytes, other: &Content) {
        for (block, start, piece) in pieces(offset, data) {
            match other.blocks.get(block) {
                Some(Some(same)) if start + piece.len() == BLOCK => *self.slot(block) = Some(same.clone()),
                _ => self.write_in_block(block, start, piece, data),
            }
        }
        let end = offset + data.len() as u64;
        self.len = self.len.max(end);
        self.written = self.written.max(end);
    }

    /// Sets the length: cuts, or extends with zeros.
    pub(super) fn truncate(&mut self, len: u64) {
        let (full, rest) = (in_memory(len) / BLOCK, in_memory(len) % BLOCK);
        if len < self.written {
            self.blocks.truncate(full + usize::from(rest > 0));
            if rest > 0
                && let Some(Some(last)) = self.blocks.get_mut(full)
            {
                last.to_mut()[rest..].fill(0);
            }
            self.written = len;
        }
        self.len = len;
    }

    /// Fills `buf` from byte `offset`; returns how many bytes there were.
    pub(super) fn read(&self, offset: u64, buf: &mut [u8]) -> usize {
        let n = usize::try_from(self.len.saturating_sub(offset)).unwrap_or(usize::MAX).min(buf.len());
        let mut at = offset;
        let mut rest = &mut buf[..n];
        while !rest.is_empty() {
            let (block, start) = (in_memory(at) / BLOCK, in_memory(at) % BLOCK);
            let (piece, after) = rest.split_at_mut(rest.len().min(BLOCK - start));
            match self.blocks.get(block) {
                Some(Some(held)) => piece.copy_from_slice(&held.bytes()[start..start + piece.len()]),
                _ => piece.fill(0),
            }
            at += piece.len() as u64;
            rest = after;
        }
        n
    }

    /// Flips bits of the byte at `at`, if it was ever written.
    pub(super) fn flip(&mut self, at: u64, bits: u8) {
        if let Some(Some(block)) = self.blocks.get_mut(in_memory(at) / BLOCK) {
            block.to_mut()[in_memory(at) % BLOCK] ^= bits;
        }
    }

    fn slot(&mut self, block: usize) -> &mut Option<Block> {
        if self.blocks.len() <= block {
            self.blocks.resize(block + 1, None);
        }
        &mut self.blocks[block]
    }

    /// Writes a piece of `data` into a block.
    fn write_in_block(&mut self, block: usize, start: usize, piece: &[u8], data: &Bytes) {
        let slot = self.slot(block);
        if piece.len() == BLOCK {
            // A part of more than a block is copied: it would keep all of it in memory.
            let whole = if data.len() == BLOCK { data.clone() } else { Bytes::copy_from_slice(piece) };
            *slot = Some(Block::Whole(whole));
            return;
        }
        let block = slot.get_or_insert_with(|| Block::Parts(Rc::new([0; BLOCK])));
        block.to_mut()[start..start + piece.len()].copy_from_slice(piece);
    }
}

/// A write cut at the borders of blocks: block, place in it, bytes.
fn pieces(offset: u64, data: &[u8]) -> impl Iterator<Item = (usize, usize, &[u8])> {
    let mut at = in_memory(offset);
    let mut rest = data;
    std::iter::from_fn(move || {
        let (block, start) = (at / BLOCK, at % BLOCK);
        let (piece, after) = rest.split_at(rest.len().min(BLOCK - start));
        (at, rest) = (at + piece.len(), after);
        (!piece.is_empty()).then_some((block, start, piece))
    })
}

fn in_memory(bytes: u64) -> usize {
    usize::try_from(bytes).expect("invariant: a file fits in memory")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn whole(content: &Content) -> Vec<u8> {
        let mut all = vec![0xaa; content.len() as usize];
        assert_eq!(content.read(0, &mut all), all.len());
        all
    }

    fn grown(bytes: &mut Vec<u8>, offset: usize, data: &[u8]) {
        bytes.resize(bytes.len().max(offset + data.len()), 0);
        bytes[offset..offset + data.len()].copy_from_slice(data);
    }

    proptest! {
        #[test]
        fn blocks_hold_what_a_plain_file_would_and_clones_do_not_see_later_writes(
            steps in prop::collection::vec((any::<u8>(), 0..20_000usize, 1..9_000usize, any::<bool>()), 1..30),
        ) {
            let (mut content, mut plain) = (Content::default(), Vec::new());
            let mut clones: Vec<(Content, Vec<u8>)> = Vec::new();
            for (byte, offset, len, aligned) in steps {
                let offset = if aligned { offset / BLOCK * BLOCK } else { offset };
                if byte < 40 {
                    content.truncate(offset as u64);
                    plain.resize(offset, 0);
                } else {
                    let data: Vec<u8> = (0..len).map(|i| byte.wrapping_add(i as u8)).collect();
                    content.write(offset as u64, &Bytes::from(data.clone()));
                    grown(&mut plain, offset, &data);
                }
                clones.push((content.clone(), plain.clone()));
                let mut some = vec![0; len];
                let n = content.read(offset as u64, &mut some);
                let from = offset.min(plain.len());
                prop_assert_eq!(&some[..n], &plain[from..(from + len).min(plain.len())]);
            }
            for (content, plain) in &clones {
                prop_assert_eq!(&whole(content), plain);
            }
        }
    }

    #[test]
    fn room_costs_nothing_and_whole_blocks_are_shared() {
        let mut live = Content::default();
        live.truncate(64_000_000);
        assert_eq!((live.len(), live.written(), live.allocated()), (64_000_000, 0, 0));
        let page = Bytes::from(vec![7; BLOCK]);
        live.write(BLOCK as u64, &page);
        let mut durable = Content::default();
        durable.write_sharing(BLOCK as u64, &page, &live);
        let memory = |content: &Content| content.blocks[1].as_ref().unwrap().bytes().as_ptr();
        assert_eq!([memory(&live), memory(&durable)], [page.as_ptr(); 2]);
        assert_eq!(durable.len(), 2 * BLOCK as u64);
        live.flip(BLOCK as u64, 1);
        assert_eq!((whole(&durable)[BLOCK], live.allocated()), (7, BLOCK as u64));
    }
}
