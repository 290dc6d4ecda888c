//! A transaction's pages become durable: data, sync, meta, sync.
//!
//! The steps follow one another as disk operations are reported done; nothing waits. While the file itself is being
//! created the first commit is held back. The file grows by an eighth of what it needs (at least [`GROW_MIN`], at most
//! [`GROW_MAX`] bytes), so that its tail is never more than that, and it is not extended with every commit. (bbolt doubles a
//! small file and adds 16 MiB to a larger one: up to twice what is used.)

use super::file::File;
use super::format::Meta;
use crate::disk::{FileName, OpId, OpSink};
use bytes::{Bytes, BytesMut};

/// The least growth of a file, and the unit of its length, in bytes.
const GROW_MIN: u64 = 32 << 10;
/// The greatest growth, in bytes.
const GROW_MAX: u64 = 16 << 20;
/// Adjacent pages are written together up to so many bytes.
pub(super) const WRITE_MAX: usize = 1 << 20;

/// A commit that is out.
#[derive(Debug)]
pub(super) struct Commit {
    pub(super) meta: Meta,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// The file has yet to get its name.
    Held { pages: Vec<(u64, Bytes)>, grow_to: Option<u64> },
    /// The pages are on their way.
    Data(OpId),
    /// The meta is.
    Meta(OpId),
}

impl Commit {
    /// A transaction's pages, not yet given to the disk.
    pub(super) fn held(meta: Meta, mut pages: Vec<(u64, Bytes)>, grow_to: Option<u64>) -> Commit {
        pages.sort_unstable_by_key(|(id, _)| *id);
        Commit { meta, stage: Stage::Held { pages, grow_to } }
    }

    /// Gives them to the disk.
    pub(super) fn start(&mut self, file: &File, ops: &mut OpSink<'_>) {
        let Stage::Held { pages, grow_to } = &self.stage else { return };
        if let Some(len) = grow_to {
            ops.truncate(file.name(), *len);
        }
        write_pages(file.name(), pages, file.page_size, ops);
        self.stage = Stage::Data(ops.sync(file.name()));
    }

    /// An operation is done. `true` when the transaction is durable.
    pub(super) fn op_done(&mut self, op: OpId, file: &FileName, ops: &mut OpSink<'_>) -> bool {
        match self.stage {
            Stage::Data(sync) if sync == op => {
                // Only now: a meta that outlived its pages would name a tree that is not there.
                let offset = self.meta.page_id() * u64::from(self.meta.page_size);
                ops.write(file, offset, self.meta.encode().into());
                self.stage = Stage::Meta(ops.sync(file));
                false
            }
            Stage::Meta(sync) => sync == op,
            _ => false,
        }
    }
}

/// Writes pages, ascending by number; neighbours with one operation.
pub(super) fn write_pages(file: &FileName, pages: &[(u64, Bytes)], page_size: usize, ops: &mut OpSink<'_>) {
    let mut rest = pages;
    while let Some(((first, page), more)) = rest.split_first() {
        let (mut bytes, mut count) = (page.len(), 1);
        for (id, page) in more {
            if *id != first + (bytes / page_size) as u64 || bytes + page.len() > WRITE_MAX {
                break;
            }
            bytes += page.len();
            count += 1;
        }
        let offset = first * page_size as u64;
        if count == 1 {
            ops.write(file, offset, page.clone());
        } else {
            let mut run = BytesMut::with_capacity(bytes);
            rest[..count].iter().for_each(|(_, page)| run.extend_from_slice(page));
            ops.write(file, offset, run.freeze());
        }
        rest = &rest[count..];
    }
}

/// The length that a file gets when it must hold `needed` bytes.
pub(super) fn grown(needed: u64) -> u64 {
    (needed + (needed / 8).clamp(GROW_MIN / 2, GROW_MAX)).next_multiple_of(GROW_MIN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::Action;

    #[test]
    fn neighbouring_pages_are_one_write() {
        let page = |id: u64, pages: usize| (id, Bytes::from(vec![id as u8; 512 * pages]));
        let (mut ops, mut next) = (Vec::new(), 0);
        let pages = [page(4, 1), page(5, 2), page(7, 1), page(9, 1)];
        write_pages(&"db".into(), &pages, 512, &mut OpSink::new(&mut ops, &mut next));
        let writes: Vec<(u64, usize)> = ops
            .iter()
            .map(|op| match &op.action {
                Action::Write { offset, data } => (*offset, data.len()),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(writes, [(2048, 2048), (4608, 512)]);
    }

    #[test]
    fn growth_is_an_eighth() {
        assert_eq!(
            [1, 20 << 10, 1 << 20, 1 << 30].map(grown),
            [32 << 10, 64 << 10, 1184 << 10, (1 << 30) + (16 << 20)]
        );
    }
}
