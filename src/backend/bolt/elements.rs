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
    fn encode(&self, pos: u32, element: &mut [u8], data: &mut [u8]);

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

    fn encode(&self, pos: u32, element: &mut [u8], data: &mut [u8]) {
        encode_pair(self.flags, (&self.key, &self.value), pos, element, data);
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

    fn encode(&self, pos: u32, element: &mut [u8], data: &mut [u8]) {
        element[..4].copy_from_slice(&pos.to_le_bytes());
        element[4..8].copy_from_slice(&(self.key.len() as u32).to_le_bytes());
        element[8..16].copy_from_slice(&self.child.to_le_bytes());
        data.copy_from_slice(&self.key);
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
        let (pos, element, data) = page.place(item.data_bytes());
        item.encode(pos, element, data);
    }
    page.finish()
}

fn count(elements: usize) -> u16 {
    u16::try_from(elements).expect("invariant: a page is split long before it holds 65,536 elements")
}

/// A page that is being written, element by element.
#[derive(Debug)]
pub(super) struct PageWriter {
    page: Vec<u8>,
    /// Where the next element goes, and where its key and value go.
    element: usize,
    data: usize,
}

impl PageWriter {
    fn new(header: Header, bytes: usize) -> PageWriter {
        let mut page = vec![0; bytes];
        header.encode(&mut page);
        let data = HEADER_BYTES + usize::from(header.count) * ELEMENT_BYTES;
        PageWriter { page, element: HEADER_BYTES, data }
    }

    /// A leaf of one page, which has yet to get its number.
    pub(super) fn leaf(elements: usize, page_size: usize) -> PageWriter {
        PageWriter::new(Header { id: 0, flags: PageKind::Leaf.flag(), count: count(elements), overflow: 0 }, page_size)
    }

    /// Makes room for an element with so many bytes behind the elements: its `pos`, itself, and these bytes.
    fn place(&mut self, bytes: usize) -> (u32, &mut [u8], &mut [u8]) {
        let pos = (self.data - self.element) as u32;
        let (head, tail) = self.page.split_at_mut(self.data);
        let element = &mut head[self.element..self.element + ELEMENT_BYTES];
        self.element += ELEMENT_BYTES;
        self.data += bytes;
        (pos, element, &mut tail[..bytes])
    }

    /// Adds a leaf's element.
    pub(super) fn pair(&mut self, flags: u32, key: &[u8], value: &[u8]) {
        let (pos, element, data) = self.place(key.len() + value.len());
        encode_pair(flags, (key, value), pos, element, data);
    }

    /// Adds elements of another leaf. Where their keys and values lie close together, these are copied at once.
    pub(super) fn copy(&mut self, leaf: &Leaf, elements: Range<usize>) {
        let (start, _, _) = leaf.place(elements.start);
        let mut end = start;
        let first = self.data;
        for i in elements.clone() {
            let (key, value, next) = leaf.place(i);
            if key != end {
                // A stranger's page, with gaps or in another order.
                for i in i..elements.end {
                    self.pair(leaf.flags(i), leaf.key(i), leaf.value_slice(i));
                }
                break;
            }
            let (pos, element, _) = self.place(next - key);
            encode_leaf_element(element, leaf.flags(i), pos, ((value - key) as u32, (next - value) as u32));
            end = next;
        }
        self.page[first..first + end - start].copy_from_slice(&leaf.bytes()[start..end]);
    }

    pub(super) fn finish(self) -> Vec<u8> {
        self.page
    }
}

/// An element of a leaf, and its bytes behind the elements.
fn encode_pair(flags: u32, (key, value): (&[u8], &[u8]), pos: u32, element: &mut [u8], data: &mut [u8]) {
    encode_leaf_element(element, flags, pos, (key.len() as u32, value.len() as u32));
    data[..key.len()].copy_from_slice(key);
    data[key.len()..].copy_from_slice(value);
}

fn encode_leaf_element(element: &mut [u8], flags: u32, pos: u32, (key, value): (u32, u32)) {
    element[..4].copy_from_slice(&flags.to_le_bytes());
    element[4..8].copy_from_slice(&pos.to_le_bytes());
    element[8..12].copy_from_slice(&key.to_le_bytes());
    element[12..16].copy_from_slice(&value.to_le_bytes());
}
