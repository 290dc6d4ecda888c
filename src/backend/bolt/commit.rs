//! A transaction's pages become durable: data, sync, meta, sync.
//!
//! The steps follow one another as disk operations are reported done; nothing waits. While the file itself is being
//! created the first commit is held back.
//!
//! The file grows by an eighth of what it needs, in units of 32 KiB and by 16 MiB at most: its unused tail stays short,
//! and it is not extended with every commit. (bbolt doubles a small file: up to twice what is used.)

use super::file::File;
use super::format::Meta;
use crate::disk::{FileName, Gather, OpId, OpSink};
use bytes::Bytes;

/// The unit of a file's length, in bytes.
const GROW_UNIT: u64 = 32 << 10;
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
    Held { runs: Vec<Run>, grow_to: Option<u64> },
    /// The pages are on their way.
    Data(OpId),
    /// The meta is.
    Meta(OpId),
}

impl Commit {
    /// A transaction's pages, not yet given to the disk.
    pub(super) fn held(meta: Meta, runs: Vec<Run>, grow_to: Option<u64>) -> Commit {
        Commit { meta, stage: Stage::Held { runs, grow_to } }
    }

    /// Gives them to the disk.
    pub(super) fn start(&mut self, file: &File, ops: &mut OpSink<'_>) {
        let Stage::Held { runs, grow_to } = &self.stage else { return };
        if let Some(len) = grow_to {
            ops.truncate(file.name(), *len);
        }
        for run in runs {
            ops.write(file.name(), run.first * file.page_size as u64, run.pages.clone());
        }
        self.stage = Stage::Data(ops.sync(file.name()));
    }

    /// An operation is done. `true` when the transaction is durable.
    pub(super) fn op_done(&mut self, op: OpId, file: &FileName, ops: &mut OpSink<'_>) -> bool {
        match self.stage {
            Stage::Data(sync) if sync == op => {
                // Only now: a meta that outlived its pages would name a tree that is not there.
                let offset = self.meta.page_id() * u64::from(self.meta.page_size);
                ops.write(file, offset, self.meta.encode());
                self.stage = Stage::Meta(ops.sync(file));
                false
            }
            Stage::Meta(sync) => sync == op,
            _ => false,
        }
    }
}

/// Pages that follow one another, written with one operation.
#[derive(Debug, PartialEq)]
pub(super) struct Run {
    first: u64,
    pages: Gather,
}

/// Joins neighbours among pages.
pub(super) fn runs(mut pages: Vec<(u64, Bytes)>, page_size: usize) -> Vec<Run> {
    pages.sort_unstable_by_key(|(id, _)| *id);
    let mut runs = Vec::new();
    let mut rest = pages.into_iter().peekable();
    while let Some((first, page)) = rest.next() {
        let mut bytes = page.len();
        let mut run = vec![page];
        let follows = |bytes, (id, page): &(u64, Bytes)| {
            *id == first + (bytes / page_size) as u64 && bytes + page.len() <= WRITE_MAX
        };
        while let Some((_, page)) = rest.next_if(|next| follows(bytes, next)) {
            bytes += page.len();
            run.push(page);
        }
        runs.push(Run { first, pages: Gather::of(run) });
    }
    runs
}

/// The length that a file gets when it must hold `needed` bytes.
pub(super) fn grown(needed: u64) -> u64 {
    (needed + (needed / 8).clamp(GROW_UNIT / 2, GROW_MAX)).next_multiple_of(GROW_UNIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbouring_pages_are_one_write() {
        let page = |id: u64, pages: usize| (id, Bytes::from(vec![id as u8; 512 * pages]));
        let pages = [page(5, 2), page(9, 1), page(4, 1), page(7, 1)];
        let run = |first, pages: &[&(u64, Bytes)]| Run {
            first,
            pages: Gather::of(pages.iter().map(|(_, page)| page.clone()).collect()),
        };
        let expected = [run(4, &[&pages[2], &pages[0], &pages[3]]), run(9, &[&pages[1]])];
        assert_eq!(runs(pages.to_vec(), 512), expected);
    }

    #[test]
    fn growth_is_an_eighth() {
        assert_eq!(
            [1, 20 << 10, 1 << 20, 1 << 30].map(grown),
            [32 << 10, 64 << 10, 1152 << 10, (1 << 30) + (16 << 20)]
        );
    }
}
