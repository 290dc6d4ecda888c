//! A dense file from sorted pairs, bottom-up and in one pass.
//!
//! Elements come in order, so that every page is written once, full, at the file's end: a leaf when the next pair would
//! overfill it, then an element for it in the branch above, and so on up. Only one unfinished page a level is in memory.

use super::commit::WRITE_MAX;
use super::elements::{self, BranchItem, Item, LeafItem};
use super::format::HEADER_BYTES;
use super::page::Leaf;
use super::tree::Root;
use super::write::Fill;
use crate::disk::{FileName, OpSink};
use bytes::Bytes;
use std::mem;

/// Pages at the end of a file that is being written.
#[derive(Debug)]
pub(super) struct Pages {
    file: FileName,
    pub(super) page_size: usize,
    /// The number of the next page.
    pub(super) next: u64,
    /// Pages that were not given to the disk yet; they end before `next`.
    unwritten: Vec<u8>,
}

impl Pages {
    /// From page 2 on, behind the metas.
    pub(super) fn new(file: FileName, page_size: usize) -> Pages {
        Pages { file, page_size, next: 2, unwritten: Vec::new() }
    }

    fn add<I: Item>(&mut self, items: &[I], ops: &mut OpSink<'_>) -> BranchItem {
        let child = self.next;
        self.add_page(elements::encode(child, items, self.page_size), ops);
        BranchItem { key: items.first().map_or_else(Bytes::new, |item| item.key().clone()), child }
    }

    pub(super) fn add_page(&mut self, page: Vec<u8>, ops: &mut OpSink<'_>) {
        self.next += (page.len() / self.page_size) as u64;
        self.unwritten.extend(page);
        if self.unwritten.len() >= WRITE_MAX {
            self.flush(ops);
        }
    }

    pub(super) fn flush(&mut self, ops: &mut OpSink<'_>) {
        let pages = Bytes::from(mem::take(&mut self.unwritten));
        if !pages.is_empty() {
            let end = self.next * self.page_size as u64;
            ops.write(&self.file, end - pages.len() as u64, pages);
        }
    }
}

/// A tree that is being built.
#[derive(Debug, Default)]
pub(super) struct TreeBuilder {
    leaf: Level<LeafItem>,
    /// From the lowest up.
    branches: Vec<Level<BranchItem>>,
}

/// The unfinished page of a level.
#[derive(Debug)]
struct Level<I> {
    items: Vec<I>,
    bytes: usize,
}

impl<I> Default for Level<I> {
    fn default() -> Level<I> {
        Level { items: Vec::new(), bytes: HEADER_BYTES }
    }
}

impl<I: Item> Level<I> {
    /// Adds an element; the page before it, if that is full now.
    fn push(&mut self, item: I, least: usize, page_size: usize) -> Option<Vec<I>> {
        let full = self.items.len() >= least && self.bytes + item.bytes() > page_size * Fill::APPEND.0 / 100;
        let page = full.then(|| mem::take(self).items);
        self.bytes += item.bytes();
        self.items.push(item);
        page
    }
}

impl TreeBuilder {
    /// Adds an element; its key is greater than that of the one before.
    pub(super) fn push(&mut self, item: LeafItem, pages: &mut Pages, ops: &mut OpSink<'_>) {
        if let Some(full) = self.leaf.push(item, 1, pages.page_size) {
            let child = pages.add(&full, ops);
            self.push_branch(0, child, pages, ops);
        }
    }

    /// Adds a child to a level of branches, from there on up.
    fn push_branch(&mut self, level: usize, mut item: BranchItem, pages: &mut Pages, ops: &mut OpSink<'_>) {
        for level in self.branches.iter_mut().skip(level) {
            match level.push(item, 2, pages.page_size) {
                None => return,
                Some(full) => item = pages.add(&full, ops),
            }
        }
        let mut top = Level::default();
        top.push(item, 2, pages.page_size);
        self.branches.push(top);
    }

    /// Writes what is unfinished. A tree of pairs that fits `inline_max` bytes becomes inline.
    pub(super) fn finish(mut self, inline_max: usize, pages: &mut Pages, ops: &mut OpSink<'_>) -> Root {
        let leaf = mem::take(&mut self.leaf);
        if self.branches.is_empty() && leaf.bytes <= inline_max {
            let inline = Leaf::parse(elements::encode_inline(&leaf.items).into());
            return Root::Inline(inline.expect("invariant: a page that was just encoded can be read"));
        }
        let mut last = pages.add(&leaf.items, ops);
        let mut level = 0;
        while level < self.branches.len() {
            self.push_branch(level, last, pages, ops);
            last = pages.add(&mem::take(&mut self.branches[level]).items, ops);
            level += 1;
        }
        Root::Page(last.child)
    }
}
