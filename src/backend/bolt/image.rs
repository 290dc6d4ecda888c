//! An image: one tree, read as a file while others are written.
//!
//! Its two metas are made up, so that both name the pinned tree; the pages behind them are read as they lie there. A page
//! that the tree does not reach may hold anything, also what was written after the image was begun: nobody looks.

use super::engine::Bolt;
use super::format::Meta;
use crate::backend::{BackendError, Image};
use bytes::Bytes;

impl Bolt {
    /// The next bytes of an image: whole pages.
    pub(super) fn read_image(&self, image: &mut Image, max: usize) -> Result<Option<Bytes>, BackendError> {
        if image.offset >= image.size {
            return Ok(None);
        }
        let meta = self.readers.get(&image.pin).expect("invariant: an image is read before it is let go of");
        let page_size = u64::from(meta.page_size);
        let first = image.offset / page_size;
        let end = (first + (max as u64).div_ceil(page_size).max(1)).min(meta.high_water);
        let mut chunk = self.file.read_visible(first, end)?;
        for id in first..end.min(2) {
            let at = ((id - first) * page_size) as usize;
            chunk[at..at + page_size as usize].copy_from_slice(&meta.for_page(id).encode());
        }
        image.offset += chunk.len() as u64;
        Ok(Some(chunk.into()))
    }
}

impl Meta {
    /// The same tree for meta page 0 or 1: on the page that is not this transaction's stands the one before.
    fn for_page(&self, id: u64) -> Meta {
        let before = u64::from(self.page_id() != id);
        Meta { txid: self.txid - before, ..*self }
    }
}
