//! Pages that are being written: elements in memory, and the bytes that they become (`page` has the layout).

use super::format::{ELEMENT_BYTES, HEADER_BYTES, Header, PageKind};
use super::page::Leaf;
use bytes::Bytes;
use std::ops::Range;

/// An element of a leaf that is being written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LeafItem {
    pub(super) flags: u32,
    pub(super) key: Bytes,
    pub(super) value: Bytes,
}

/// An element of a branch that is being written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BranchItem {
    pub(super) key: Bytes,
    pub(super) child: u64,
}

/// What a page under construction is made of.
pub(super) trait Item: Clone {
    const KIND: PageKind;
    fn key(&self) -> &Bytes;
    /// Bytes behind the elements.
    fn data_bytes(&self) -> usize;
    /// Its element, if its data is `pos` bytes behind that.
    fn element(&self, pos: u32) -> Element;
    fn add_data(&self, page: &mut Vec<u8>);

    /// Bytes that it takes in a page.
    fn bytes(&self) -> usize {
        ELEMENT_BYTES + self.data_bytes()
    }
}

impl Item for LeafItem {
    const KIND: PageKind = PageKind::Leaf;

    fn key(&self) -> &Bytes {
        &self.key
    }

    fn data_bytes(&self) -> usize {
        self.key.len() + self.value.len()
    }

    fn element(&self, pos: u32) -> Element {
        leaf_element(self.flags, pos, self.key.len(), self.value.len())
    }

    fn add_data(&self, page: &mut Vec<u8>) {
        page.extend_from_slice(&self.key);
        page.extend_from_slice(&self.value);
    }
}

impl Item for BranchItem {
    const KIND: PageKind = PageKind::Branch;

    fn key(&self) -> &Bytes {
        &self.key
    }

    fn data_bytes(&self) -> usize {
        self.key.len()
    }

    fn element(&self, pos: u32) -> Element {
        let mut element = [0; ELEMENT_BYTES];
        element[..4].copy_from_slice(&pos.to_le_bytes());
        element[4..8].copy_from_slice(&(self.key.len() as u32).to_le_bytes());
        element[8..16].copy_from_slice(&self.child.to_le_bytes());
        element
    }

    fn add_data(&self, page: &mut Vec<u8>) {
        page.extend_from_slice(&self.key);
    }
}

/// Bytes of a page that holds the items, its head included and not rounded up.
pub(super) fn encoded_bytes<I: Item>(items: &[I]) -> usize {
    HEADER_BYTES + items.iter().map(Item::bytes).sum::<usize>()
}

/// The page `id` with the items, as many pages long as they need.
pub(super) fn encode<I: Item>(id: u64, items: &[I], page_size: usize) -> Vec<u8> {
    let pages = encoded_bytes(items).div_ceil(page_size);
    encode_exact(id, items, pages * page_size, pages as u32 - 1)
}

/// The page inside an inline bucket: no longer than it must be, and number 0.
pub(super) fn encode_inline(items: &[LeafItem]) -> Vec<u8> {
    encode_exact(0, items, encoded_bytes(items), 0)
}

fn encode_exact<I: Item>(id: u64, items: &[I], bytes: usize, overflow: u32) -> Vec<u8> {
    let mut page = PageWriter::new(Header { id, flags: I::KIND.flag(), count: count(items.len()), overflow }, bytes);
    for item in items {
        page.add_element(0, |pos| item.element(pos));
        item.add_data(&mut page.page);
    }
    page.finish()
}

fn count(elements: usize) -> u16 {
    u16::try_from(elements).expect("invariant: a page is split long before it holds 65,536 elements")
}

/// A page that is being written, element by element: keys and values are added at its end.
#[derive(Debug)]
pub(super) struct PageWriter {
    page: Vec<u8>,
    /// Where the next element goes.
    next: usize,
    /// Of the whole page.
    bytes: usize,
}

impl PageWriter {
    fn new(header: Header, bytes: usize) -> PageWriter {
        let mut page = Vec::with_capacity(bytes);
        page.resize(HEADER_BYTES + usize::from(header.count) * ELEMENT_BYTES, 0);
        header.encode(&mut page);
        PageWriter { page, next: HEADER_BYTES, bytes }
    }

    /// A leaf of one page, which has yet to get its number.
    pub(super) fn leaf(elements: usize, page_size: usize) -> PageWriter {
        PageWriter::new(Header { id: 0, flags: PageKind::Leaf.flag(), count: count(elements), overflow: 0 }, page_size)
    }

    /// Adds an element, which is told how far behind it its data is: that goes `ahead` bytes beyond the page's end.
    fn add_element(&mut self, ahead: usize, element: impl FnOnce(u32) -> Element) {
        let pos = (self.page.len() + ahead - self.next) as u32;
        self.page[self.next..self.next + ELEMENT_BYTES].copy_from_slice(&element(pos));
        self.next += ELEMENT_BYTES;
    }

    /// Adds a leaf's element.
    pub(super) fn pair(&mut self, flags: u32, key: &[u8], value: &[u8]) {
        self.add_element(0, |pos| leaf_element(flags, pos, key.len(), value.len()));
        self.page.extend_from_slice(key);
        self.page.extend_from_slice(value);
    }

    /// Adds elements of another leaf. Where their keys and values lie close together, these are copied at once.
    pub(super) fn copy(&mut self, leaf: &Leaf, elements: Range<usize>) {
        let (start, _, _) = leaf.place(elements.start);
        let (mut end, mut copied) = (start, elements.end);
        for i in elements.clone() {
            let (key, value, next) = leaf.place(i);
            if key != end {
                // A stranger's page, with gaps or in another order.
                copied = i;
                break;
            }
            self.add_element(key - start, |pos| leaf_element(leaf.flags(i), pos, value - key, next - value));
            end = next;
        }
        self.page.extend_from_slice(&leaf.bytes()[start..end]);
        for i in copied..elements.end {
            self.pair(leaf.flags(i), leaf.key(i), leaf.value_slice(i));
        }
    }

    /// The page, filled up with zeros.
    pub(super) fn finish(mut self) -> Vec<u8> {
        assert!(self.page.len() <= self.bytes, "invariant: a page's bytes are counted before it is written");
        self.page.resize(self.bytes, 0);
        self.page
    }
}

/// An element as it lies in a page.
type Element = [u8; ELEMENT_BYTES];

fn leaf_element(flags: u32, pos: u32, key: usize, value: usize) -> Element {
    let mut element = [0; ELEMENT_BYTES];
    element[..4].copy_from_slice(&flags.to_le_bytes());
    element[4..8].copy_from_slice(&pos.to_le_bytes());
    element[8..12].copy_from_slice(&(key as u32).to_le_bytes());
    element[12..16].copy_from_slice(&(value as u32).to_le_bytes());
    element
}
