//! What a changed page will hold, before it is written: its elements in memory.
//!
//! Whether a draft needs a neighbour and how it is cut into pages is said here; `write` makes drafts and spills them.

use super::elements::{self, BranchItem, Item, LeafItem};
use super::format::PageKind;
use super::page::{Leaf, Node};
use super::write::Fill;
use bytes::Bytes;

/// A page's elements in memory.
#[derive(Debug)]
pub(super) enum Draft {
    Leaf(Vec<LeafItem>),
    Branch(Vec<BranchItem>),
    /// One page that needs no neighbour, written already but for its number: its first key, and the page.
    Page(Bytes, Vec<u8>),
}

impl Draft {
    /// All elements of a page.
    pub(super) fn of(node: &Node) -> Draft {
        match node {
            Node::Leaf(leaf) => Draft::Leaf((0..leaf.len()).map(|i| leaf_item(leaf, i)).collect()),
            Node::Branch(branch) => {
                let item = |i| BranchItem { key: branch.key_bytes(i), child: branch.child(i) };
                Draft::Branch((0..branch.len()).map(item).collect())
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        match self {
            Draft::Leaf(items) => items.is_empty(),
            Draft::Branch(items) => items.is_empty(),
            Draft::Page(..) => false,
        }
    }

    /// Whether it becomes one page that begins with `key` and needs no neighbour.
    pub(super) fn is_one_page_from(&self, key: &[u8], page_size: usize) -> bool {
        let (bytes, first) = match self {
            Draft::Leaf(items) => (elements::encoded_bytes(items), items.first().map(|item| &item.key)),
            Draft::Branch(items) => (elements::encoded_bytes(items), items.first().map(|item| &item.key)),
            Draft::Page(first, page) => (page.len(), Some(first)),
        };
        bytes <= page_size && first.is_some_and(|first| first == key) && !self.is_underfull(page_size)
    }

    pub(super) fn is_underfull(&self, page_size: usize) -> bool {
        match self {
            Draft::Leaf(items) => elements::encoded_bytes(items) <= page_size / 4,
            Draft::Branch(items) => items.len() < 2 || elements::encoded_bytes(items) <= page_size / 4,
            Draft::Page(..) => false,
        }
    }
}

pub(super) fn leaf_item(leaf: &Leaf, i: usize) -> LeafItem {
    LeafItem { flags: leaf.flags(i), key: leaf.key_bytes(i), value: leaf.value(i) }
}

pub(super) fn is_inline(items: &[LeafItem], inline_max: usize) -> bool {
    elements::encoded_bytes(items) <= inline_max && items.iter().all(|item| item.flags == 0)
}

/// Cuts elements into pages. A branch keeps at least two children a page, a leaf one element; an element that is longer
/// than a page makes its page overflow.
pub(super) fn split<I: Item>(items: &[I], page_size: usize, fill: Fill) -> Vec<&[I]> {
    let least = if I::KIND == PageKind::Branch { 2 } else { 1 };
    let threshold = page_size * fill.0 / 100;
    let (mut rest, mut bytes) = (items, elements::encoded_bytes(items));
    let mut parts = Vec::with_capacity(bytes / threshold + 1);
    while bytes > page_size && rest.len() >= 2 * least {
        let (mut count, mut size) = (0, elements::encoded_bytes::<I>(&[]));
        while count < rest.len() - least && (count < least || size + rest[count].bytes() <= threshold) {
            size += rest[count].bytes();
            count += 1;
        }
        let (part, others) = rest.split_at(count);
        parts.push(part);
        rest = others;
        bytes -= part.iter().map(Item::bytes).sum::<usize>();
    }
    parts.push(rest);
    parts
}
