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
        match self.txid.checked_sub(u64::from(self.page_id() != id)) {
            Some(txid) => Meta { txid, ..*self },
            // Before a file's first transaction is none. The same tree as the one after it is as good.
            None => Meta { txid: 1, ..*self },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_metas_name_the_tree_and_the_newer_one_stands_on_its_page() {
        for txid in [0, 1, 2, 9] {
            let meta = Meta { page_size: 512, root: 3, sequence: 0, freelist: 2, high_water: 4, txid };
            let [first, second] = [0, 1].map(|id| meta.for_page(id));
            assert_eq!([first.page_id(), second.page_id()], [0, 1], "{txid}");
            assert_eq!(first.txid.abs_diff(second.txid), 1);
            assert_eq!(Meta { txid, ..first }, meta);
        }
    }
}
