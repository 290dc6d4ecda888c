//! Copy-on-write: a sorted batch of changes becomes new pages.
//!
//! One pass a tree, from the root down to the leaves that change and back. On the way down the changes are dealt out to
//! the children; on the way back each changed page is a *draft* of elements in memory:
//! - an empty draft disappears, and a draft that fills a quarter of a page or less is joined with a neighbour (bbolt:
//!   rebalance);
//! - a draft that outgrew its page is split, each part but the last filled up to the bucket's *fill percent* (bbolt:
//!   spill). 50 leaves room for what comes between; the bucket `key` only ever grows at its end, so 90 is better there;
//! - the parts are written to pages from the freelist or from the file's end, the old pages are freed, and the branch
//!   above, which now has new children, is the next draft.
//!
//! Most changes leave a leaf one page, which is written straight from the old one (`merge`), and a branch its keys: each
//! changed child is one page again and begins with the key that it had. Then nothing of this is needed for the branch
//! either, which is copied with the children's new numbers.
//!
//! Pages that no change touches stay where they are. A root branch with one child gives way to it. A bucket whose leaf
//! takes a quarter of a page or less lies in its value in the tree above (inline).

use super::draft::{Draft, is_inline, split};
use super::elements::{self, BranchItem, Item};
use super::file::File;
use super::format::fault;
use super::freelist::Freelist;
use super::merge::Plan;
use super::page::{Branch, Leaf, Node};
use super::totals::Totals;
use super::tree::{DEPTH_MAX, Root};
use crate::backend::{BackendError, Bucket};
use bytes::Bytes;
use std::mem;
use std::ops::Range;

/// What becomes of a key.
#[derive(Debug)]
pub(super) struct Edit {
    pub(super) key: Bytes,
    /// Its new value; `None`: it is deleted.
    pub(super) value: Option<Bytes>,
    /// Whether the totals have it already.
    pub(super) counted: bool,
}

/// How full the first parts of a split page are, in percent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fill(pub(super) usize);

impl Fill {
    /// bbolt's default.
    pub(super) const DEFAULT: Fill = Fill(50);
    /// etcd's for what is only appended to.
    pub(super) const APPEND: Fill = Fill(90);
}

/// A child of a branch that is being rewritten.
#[derive(Debug)]
enum Slot {
    /// As it was.
    Kept(BranchItem),
    Draft(Draft),
}

/// Writes the pages of one transaction.
#[derive(Debug)]
pub(super) struct Writer<'a> {
    pub(super) file: &'a mut File,
    pub(super) freelist: &'a mut Freelist,
    pub(super) txid: u64,
    /// Pages that this transaction will probably need from here on.
    pub(super) expected: u64,
    /// Pages that were reserved for it.
    pub(super) reserved: Range<u64>,
    /// Over all pairs, if they are known. What is not counted yet belongs to `bucket`.
    pub(super) totals: Option<Totals>,
    pub(super) bucket: Bucket,
    /// What was written, in the order of writing.
    pub(super) written: Vec<(u64, Bytes)>,
}

impl Writer<'_> {
    /// Applies changes, ascending by key, to a tree of elements with these flags. The tree's old pages are freed.
    /// `inline_max`: a leaf of at most so many bytes becomes an inline root.
    pub(super) fn apply(
        &mut self,
        root: &Root,
        flags: u32,
        edits: &[Edit],
        fill: Fill,
        inline_max: usize,
    ) -> Result<Root, BackendError> {
        let (id, node) = root.node(self.file)?;
        // A root that is a leaf has no neighbour to be joined with.
        let mut draft = match &*node {
            Node::Leaf(leaf) => self.change_leaf(id, leaf, flags, edits, inline_max)?,
            node => self.change(id, node, flags, edits, fill, 0)?,
        };
        if id != 0 {
            self.free(id, &node)?;
        }
        loop {
            let mut parts = match draft {
                Draft::Branch(items) if items.is_empty() => {
                    draft = Draft::Leaf(Vec::new());
                    continue;
                }
                Draft::Branch(items) if items.len() == 1 => return Ok(Root::Page(items[0].child)),
                Draft::Leaf(items) if is_inline(&items, inline_max) => {
                    let leaf = Leaf::parse(elements::encode_inline(&items).into());
                    return Ok(Root::Inline(leaf.expect("invariant: a page that was just encoded can be read")));
                }
                draft => self.spill(draft, fill),
            };
            if parts.len() == 1 {
                let root = parts.pop().expect("invariant: there is one part");
                return Ok(Root::Page(root.child));
            }
            draft = Draft::Branch(parts);
        }
    }

    /// A page's elements with the changes made.
    fn change(
        &mut self,
        id: u64,
        node: &Node,
        flags: u32,
        edits: &[Edit],
        fill: Fill,
        depth: usize,
    ) -> Result<Draft, BackendError> {
        match node {
            Node::Leaf(leaf) => self.change_leaf(id, leaf, flags, edits, self.file.page_size / 4),
            Node::Branch(_) if depth == DEPTH_MAX => {
                let expected = format!("a leaf at most {DEPTH_MAX} levels below its root");
                Err(self.file.error(id, fault(expected, "a branch")))
            }
            Node::Branch(branch) => self.change_branch(branch, flags, edits, fill, depth),
        }
    }

    /// `least`: with so many bytes or fewer it is not written as a page by itself.
    fn change_leaf(
        &mut self,
        id: u64,
        leaf: &Leaf,
        flags: u32,
        edits: &[Edit],
        least: usize,
    ) -> Result<Draft, BackendError> {
        let (file, totals, bucket) = (&self.file, &mut self.totals, self.bucket);
        let plan = Plan::new(leaf, flags, edits, |Edit { key, value, counted }, old| {
            if let Some(i) = old.filter(|i| leaf.flags(*i) != flags) {
                let what = |flags| if flags == 0 { "a pair" } else { "a bucket" };
                return Err(file.error(id, fault(what(flags), what(leaf.flags(i)))));
            }
            if let (false, Some(totals)) = (counted, &mut *totals) {
                totals.change(bucket, key, old.map(|i| leaf.value_slice(i)), value.as_deref());
            }
            Ok(())
        })?;
        Ok(plan.draft(self.file.page_size, least))
    }

    fn change_branch(
        &mut self,
        branch: &Branch,
        flags: u32,
        mut edits: &[Edit],
        fill: Fill,
        depth: usize,
    ) -> Result<Draft, BackendError> {
        let mut changed = Vec::new();
        while let Some(Edit { key, .. }) = edits.first() {
            let i = branch.search(key);
            let here = match i + 1 {
                next if next < branch.len() => edits.partition_point(|edit| &edit.key[..] < branch.key(next)),
                _ => edits.len(),
            };
            let (mine, rest) = edits.split_at(here);
            edits = rest;
            let child = branch.child(i);
            let node = self.file.node(child)?;
            changed.push((i, self.change(child, &node, flags, mine, fill, depth + 1)?));
            self.free(child, &node)?;
        }
        if self.keeps_its_keys(branch, &changed) {
            let spill = |(i, draft)| self.spill(draft, fill).iter().map(|item| (i, item.child)).collect::<Vec<_>>();
            let children: Vec<(usize, u64)> = changed.into_iter().flat_map(spill).collect();
            return Ok(Draft::Page(branch.key_bytes(0), branch.with_children(&children)));
        }
        let mut changed = changed.into_iter().peekable();
        let slot = |i| match changed.next_if(|(at, _)| *at == i) {
            Some((_, draft)) => Slot::Draft(draft),
            None => Slot::Kept(BranchItem { key: branch.key_bytes(i), child: branch.child(i) }),
        };
        let mut slots: Vec<Slot> = (0..branch.len()).map(slot).collect();
        self.rebalance(&mut slots)?;
        let mut items = Vec::with_capacity(slots.len() + 8);
        for slot in slots {
            match slot {
                Slot::Kept(item) => items.push(item),
                Slot::Draft(draft) => items.append(&mut self.spill(draft, fill)),
            }
        }
        Ok(Draft::Branch(items))
    }

    /// Whether a branch of ordinary size has the same keys when these children were changed.
    fn keeps_its_keys(&self, branch: &Branch, changed: &[(usize, Draft)]) -> bool {
        let page_size = self.file.page_size;
        branch.len() >= 2
            && branch.bytes().len() == page_size
            && branch.encoded_bytes() > page_size / 4
            && changed.iter().all(|(i, draft)| draft.is_one_page_from(branch.key(*i), page_size))
    }

    /// Joins drafts that hold too little with a neighbour, and drops those that hold nothing.
    fn rebalance(&mut self, slots: &mut Vec<Slot>) -> Result<(), BackendError> {
        slots.retain(|slot| !matches!(slot, Slot::Draft(draft) if draft.is_empty()));
        let mut i = 0;
        while i < slots.len() && slots.len() > 1 {
            match &slots[i] {
                Slot::Draft(draft) if draft.is_underfull(self.file.page_size) => {
                    let left = i.max(1) - 1;
                    let (a, b) = (self.draft(&mut slots[left])?, self.draft(&mut slots[left + 1])?);
                    slots[left] = Slot::Draft(self.join(a, b)?);
                    slots.remove(left + 1);
                    i = left;
                    // What was joined is looked at again; it has grown, so this ends.
                }
                _ => i += 1,
            }
        }
        Ok(())
    }

    /// Takes a child as a draft; one that was kept is read, and its page freed.
    fn draft(&mut self, slot: &mut Slot) -> Result<Draft, BackendError> {
        match mem::replace(slot, Slot::Draft(Draft::Leaf(Vec::new()))) {
            Slot::Draft(Draft::Page(_, page)) => {
                let node = Node::written(page.into()).expect("invariant: it is a leaf or a branch");
                Ok(Draft::of(&node))
            }
            Slot::Draft(draft) => Ok(draft),
            Slot::Kept(item) => {
                let node = self.file.node(item.child)?;
                self.free(item.child, &node)?;
                Ok(Draft::of(&node))
            }
        }
    }

    fn join(&self, left: Draft, right: Draft) -> Result<Draft, BackendError> {
        match (left, right) {
            (Draft::Leaf(mut left), Draft::Leaf(right)) => {
                left.extend(right);
                Ok(Draft::Leaf(left))
            }
            (Draft::Branch(mut left), Draft::Branch(right)) => {
                left.extend(right);
                Ok(Draft::Branch(left))
            }
            (Draft::Page(..), _) | (_, Draft::Page(..)) => {
                panic!("invariant: drafts are joined by their elements")
            }
            (Draft::Branch(branch), Draft::Leaf(_)) | (Draft::Leaf(_), Draft::Branch(branch)) => {
                let child = branch.first().map_or(0, |item| item.child);
                let expected = format!("leaves at one depth (the branch above page {child} has a leaf beside it)");
                Err(self.file.error(child, fault(expected, "leaves at two")))
            }
        }
    }

    /// Writes a draft to as many pages as it fills.
    fn spill(&mut self, draft: Draft, fill: Fill) -> Vec<BranchItem> {
        match draft {
            Draft::Leaf(items) => self.spill_items(&items, fill),
            Draft::Branch(items) => self.spill_items(&items, fill),
            Draft::Page(key, mut page) => {
                let child = self.allocate(1);
                page[..8].copy_from_slice(&child.to_le_bytes());
                self.write(child, page);
                vec![BranchItem { key, child }]
            }
        }
    }

    fn spill_items<I: Item>(&mut self, items: &[I], fill: Fill) -> Vec<BranchItem> {
        let page_size = self.file.page_size;
        let parts = split(items, page_size, fill).into_iter();
        let write = |part: &[I]| {
            let pages = elements::encoded_bytes(part).div_ceil(page_size) as u64;
            let id = self.allocate(pages);
            self.write(id, elements::encode(id, part, page_size));
            BranchItem { key: part.first().map_or_else(Bytes::new, |item| item.key().clone()), child: id }
        };
        parts.map(write).collect()
    }

    /// Takes pages: from those that are reserved, from the freelist, or from the file's end.
    pub(super) fn allocate(&mut self, pages: u64) -> u64 {
        if self.reserved.end - self.reserved.start < pages {
            self.give_back();
            self.reserved = self.freelist.reserve(self.expected.max(pages));
        }
        self.expected = self.expected.saturating_sub(pages);
        let rest = self.reserved.start + pages..self.reserved.end;
        if rest.start <= rest.end {
            let first = mem::replace(&mut self.reserved, rest).start;
            self.freelist.was_born(self.txid, first);
            return first;
        }
        self.freelist.allocate(self.txid, pages).unwrap_or_else(|| {
            let end = self.file.high_water;
            self.file.high_water += pages;
            self.freelist.was_born(self.txid, end);
            end
        })
    }

    /// What was reserved and is left is free again.
    pub(super) fn give_back(&mut self) {
        self.freelist.give_back(mem::replace(&mut self.reserved, 0..0));
    }

    /// Gives page `id` its content.
    pub(super) fn write(&mut self, id: u64, page: Vec<u8>) {
        let page = Bytes::from(page);
        self.file.issue(id, page.clone());
        self.written.push((id, page));
    }

    /// The tree of this transaction no longer needs a page.
    fn free(&mut self, id: u64, node: &Node) -> Result<(), BackendError> {
        self.free_pages(id, (node.bytes().len() / self.file.page_size) as u64)
    }

    pub(super) fn free_pages(&mut self, first: u64, pages: u64) -> Result<(), BackendError> {
        if self.freelist.holds(first, pages) {
            return Err(self
                .file
                .error(first, fault("a page that a tree reaches not to be free", "it in the freelist")));
        }
        self.freelist.free(self.txid, first, pages);
        Ok(())
    }
}
