//! A file's bytes, in blocks that several images share.
//!
//! A file is a row of 4 KiB blocks, each behind a count of its holders. What nobody wrote has no block: it reads as
//! zeros and costs nothing, so a preallocated segment of 64 MB is a number. A clone copies pointers; a write to a block
//! that is shared copies that block first, and a write of a whole block replaces it. So the live and the durable image
//! of a database hold its synced pages once, and a fork of a disk costs a pointer a block.

use std::rc::Rc;

/// Bytes of a block: bbolt's page, so that a page's write is one block's.
pub(super) const BLOCK: usize = 4096;

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct Content {
    /// Block `i` holds the bytes from `i * BLOCK`; `None`, and whatever lies beyond the last one: zeros.
    blocks: Vec<Option<Rc<[u8]>>>,
    len: u64,
    /// Where the last byte that was ever written ends; what lies behind it up to `len` was only made room for.
    written: u64,
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

    pub(super) fn write(&mut self, offset: u64, data: &[u8]) {
        for (block, start, piece) in pieces(offset, data) {
            self.write_in_block(block, start, piece);
        }
        let end = offset + data.len() as u64;
        self.len = self.len.max(end);
        self.written = self.written.max(end);
    }

    /// The same write as [`Content::write`] did in `other`, which holds the same bytes by now: whole blocks are shared
    /// with it instead of copied.
    pub(super) fn write_sharing(&mut self, offset: u64, data: &[u8], other: &Content) {
        for (block, start, piece) in pieces(offset, data) {
            match other.blocks.get(block) {
                Some(Some(same)) if piece.len() == BLOCK => *self.slot(block) = Some(same.clone()),
                _ => self.write_in_block(block, start, piece),
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
                Rc::make_mut(last)[rest..].fill(0);
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
                Some(Some(bytes)) => piece.copy_from_slice(&bytes[start..start + piece.len()]),
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
            Rc::make_mut(block)[in_memory(at) % BLOCK] ^= bits;
        }
    }

    fn slot(&mut self, block: usize) -> &mut Option<Rc<[u8]>> {
        if self.blocks.len() <= block {
            self.blocks.resize(block + 1, None);
        }
        &mut self.blocks[block]
    }

    fn write_in_block(&mut self, block: usize, start: usize, piece: &[u8]) {
        let slot = self.slot(block);
        match slot {
            Some(bytes) if piece.len() < BLOCK => {
                Rc::make_mut(bytes)[start..start + piece.len()].copy_from_slice(piece)
            }
            None if piece.len() < BLOCK => {
                let mut bytes = [0; BLOCK];
                bytes[start..start + piece.len()].copy_from_slice(piece);
                *slot = Some(Rc::new(bytes));
            }
            _ => *slot = Some(Rc::from(piece)),
        }
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
                    content.write(offset as u64, &data);
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
        let page = [7; BLOCK];
        live.write(BLOCK as u64, &page);
        let mut durable = Content::default();
        durable.write_sharing(BLOCK as u64, &page, &live);
        assert!(Rc::ptr_eq(live.blocks[1].as_ref().unwrap(), durable.blocks[1].as_ref().unwrap()));
        assert_eq!(durable.len(), 2 * BLOCK as u64);
        live.flip(BLOCK as u64, 1);
        assert_eq!((whole(&durable)[BLOCK], live.allocated()), (7, BLOCK as u64));
    }
}
