//! Leaf and branch pages: views that borrow the page's bytes.
//!
//! ```text
//!   leaf                                                    branch
//!   ┌──────┬─────────────────────────────┬───┬───────────┐  ┌──────┬──────────────────────┬───┬───────────┐
//!   │ head │ flags │ pos │ ksize │ vsize │ … │ key value …│  │ head │ pos │ ksize │ pgid   │ … │ key key … │
//!   └──────┴─────────────────────────────┴───┴───────────┘  └──────┴──────────────────────┴───┴───────────┘
//!            16 bytes; u32 each                                      16 bytes; u32, u32, u64
//! ```
//!
//! An element's key is `pos` bytes behind the element itself; a leaf's value follows its key. Keys ascend. A branch's key
//! is not greater than any key below it, and greater than any key below its left neighbour.
//!
//! A page is validated once, whole, when it comes from the disk ([`Node::parse`]): every element lies inside the page,
//! keys ascend, children are pages that exist. After that no look into it can fail, so a search costs its comparisons
//! and nothing else.

use super::format::{BUCKET_FLAG, ELEMENT_BYTES, Fault, HEADER_BYTES, Header, PageKind, fault, u32_at, u64_at};
use bytes::Bytes;
use std::ops::Range;

/// A page of a tree.
#[derive(Clone, Debug)]
pub(super) enum Node {
    Leaf(Leaf),
    Branch(Branch),
}

impl Node {
    /// Validates a whole page, overflow included. `high_water` bounds the numbers of children.
    pub(super) fn parse(bytes: Bytes, high_water: u64) -> Result<Node, Fault> {
        let header = Header::decode(&bytes)?;
        match header.kind() {
            Some(PageKind::Leaf) => Leaf::parse(bytes).map(Node::Leaf),
            Some(PageKind::Branch) => Branch::parse(bytes, high_water).map(Node::Branch),
            Some(kind) => Err(fault("a leaf or branch page", format!("a {} page", kind.name()))),
            None => Err(fault("a leaf or branch page", format!("flags {:#x}", header.flags))),
        }
    }

    /// A page of our own making: it is valid. `None` if it is neither a leaf nor a branch.
    pub(super) fn written(bytes: Bytes) -> Option<Node> {
        let header = Header::decode(&bytes).expect("invariant: a page that was written has a head");
        let count = usize::from(header.count);
        match header.kind()? {
            PageKind::Leaf => Some(Node::Leaf(Leaf { bytes, count })),
            PageKind::Branch => Some(Node::Branch(Branch { bytes, count })),
            PageKind::Meta | PageKind::Freelist => None,
        }
    }

    pub(super) fn bytes(&self) -> &Bytes {
        match self {
            Node::Leaf(Leaf { bytes, .. }) | Node::Branch(Branch { bytes, .. }) => bytes,
        }
    }

    /// The first key; `None` for an empty page.
    pub(super) fn first_key(&self) -> Option<&[u8]> {
        match self {
            Node::Leaf(leaf) if leaf.is_empty() => None,
            Node::Leaf(leaf) => Some(leaf.key(0)),
            Node::Branch(branch) => Some(branch.key(0)),
        }
    }
}

/// A leaf page: pairs, and buckets.
#[derive(Clone, Debug)]
pub struct Leaf {
    bytes: Bytes,
    count: usize,
}

impl Leaf {
    /// Validates a leaf page, or the page inside an inline bucket.
    pub(super) fn parse(bytes: Bytes) -> Result<Leaf, Fault> {
        let header = Header::decode(&bytes)?;
        if header.kind() != Some(PageKind::Leaf) {
            return Err(fault("a leaf page's flags 0x2", format!("{:#x}", header.flags)));
        }
        let leaf = Leaf { count: usize::from(header.count), bytes };
        validate(&leaf.bytes, leaf.count, |at| {
            let lengths = u64::from(u32_at(&leaf.bytes, at + 8)) + u64::from(u32_at(&leaf.bytes, at + 12));
            (u32_at(&leaf.bytes, at + 4), lengths, u32_at(&leaf.bytes, at + 8))
        })?;
        Ok(leaf)
    }

    /// How many elements there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(super) fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Where the key begins and ends, and where the value ends.
    #[inline]
    pub(super) fn place(&self, i: usize) -> (usize, usize, usize) {
        let at = HEADER_BYTES + i * ELEMENT_BYTES;
        let key = at + u32_at(&self.bytes, at + 4) as usize;
        let value = key + u32_at(&self.bytes, at + 8) as usize;
        (key, value, value + u32_at(&self.bytes, at + 12) as usize)
    }

    /// The key of element `i`.
    #[inline]
    pub fn key(&self, i: usize) -> &[u8] {
        let (key, value, _) = self.place(i);
        &self.bytes[key..value]
    }

    /// The value of element `i`; the page's memory is shared.
    #[inline]
    pub fn value(&self, i: usize) -> Bytes {
        let (_, value, end) = self.place(i);
        self.bytes.slice(value..end)
    }

    /// Whether the value of element `i` is a bucket.
    #[inline]
    pub fn is_bucket(&self, i: usize) -> bool {
        self.flags(i) & BUCKET_FLAG != 0
    }

    pub(super) fn flags(&self, i: usize) -> u32 {
        u32_at(&self.bytes, HEADER_BYTES + i * ELEMENT_BYTES)
    }

    /// The key of element `i` as shared memory.
    pub(super) fn key_bytes(&self, i: usize) -> Bytes {
        let (key, value, _) = self.place(i);
        self.bytes.slice(key..value)
    }

    /// The value of element `i`, borrowed.
    #[inline]
    pub(super) fn value_slice(&self, i: usize) -> &[u8] {
        let (_, value, end) = self.place(i);
        &self.bytes[value..end]
    }

    /// Bytes of the keys and values of some elements.
    pub(super) fn data_bytes(&self, elements: Range<usize>) -> usize {
        let lengths = |i| {
            let (key, _, end) = self.place(i);
            end - key
        };
        elements.map(lengths).sum()
    }

    /// The element with that key, or where it would stand.
    pub(super) fn search(&self, key: &[u8]) -> Result<usize, usize> {
        self.search_from(0, key)
    }

    /// The same for a key that does not stand before element `first`.
    pub(super) fn search_from(&self, first: usize, key: &[u8]) -> Result<usize, usize> {
        let at = first + partition_point(self.count - first, |i| self.key(first + i) < key);
        if at < self.count && self.key(at) == key { Ok(at) } else { Err(at) }
    }
}

/// A branch page: keys and the pages below them.
#[derive(Clone, Debug)]
pub struct Branch {
    bytes: Bytes,
    count: usize,
}

impl Branch {
    fn parse(bytes: Bytes, high_water: u64) -> Result<Branch, Fault> {
        let branch = Branch { count: usize::from(Header::decode(&bytes)?.count), bytes };
        if branch.count == 0 {
            return Err(fault("a branch page with children", "none"));
        }
        validate(&branch.bytes, branch.count, |at| {
            let length = u32_at(&branch.bytes, at + 4);
            (u32_at(&branch.bytes, at), u64::from(length), length)
        })?;
        for i in 0..branch.count {
            let child = branch.child(i);
            if child < 2 || child >= high_water {
                return Err(fault(format!("element {i}'s child to be a page from 2 to below {high_water}"), child));
            }
        }
        Ok(branch)
    }

    pub(super) fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// How many children there are; never 0.
    #[allow(clippy::len_without_is_empty, reason = "it never is")]
    pub fn len(&self) -> usize {
        self.count
    }

    /// The least key that may stand below child `i`.
    #[inline]
    pub fn key(&self, i: usize) -> &[u8] {
        let at = HEADER_BYTES + i * ELEMENT_BYTES;
        let key = at + u32_at(&self.bytes, at) as usize;
        &self.bytes[key..key + u32_at(&self.bytes, at + 4) as usize]
    }

    pub(super) fn key_bytes(&self, i: usize) -> Bytes {
        self.bytes.slice_ref(self.key(i))
    }

    /// The page of child `i`.
    #[inline]
    pub fn child(&self, i: usize) -> u64 {
        u64_at(&self.bytes, HEADER_BYTES + i * ELEMENT_BYTES + 8)
    }

    /// Bytes of the page that are in use, if its elements lie close together.
    pub(super) fn encoded_bytes(&self) -> usize {
        HEADER_BYTES + (0..self.count).map(|i| ELEMENT_BYTES + self.key(i).len()).sum::<usize>()
    }

    /// The same keys with other children in some places: a copy of the page, which has yet to get its number.
    pub(super) fn with_children(&self, children: &[(usize, u64)]) -> Vec<u8> {
        let mut page = self.bytes.to_vec();
        for (i, child) in children {
            let at = HEADER_BYTES + i * ELEMENT_BYTES + 8;
            page[at..at + 8].copy_from_slice(&child.to_le_bytes());
        }
        page
    }

    /// The child below which `key` stands, if anywhere.
    pub(super) fn search(&self, key: &[u8]) -> usize {
        partition_point(self.count, |i| self.key(i) <= key).saturating_sub(1)
    }
}

/// The head of a bucket's value: where its tree begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct BucketHead {
    /// 0 for an inline bucket, whose only page follows.
    pub(super) root: u64,
    pub(super) sequence: u64,
}

impl BucketHead {
    pub(super) fn decode(value: &[u8]) -> Result<BucketHead, Fault> {
        if value.len() < ELEMENT_BYTES {
            return Err(fault("a bucket's head of 16 bytes", format!("{} bytes", value.len())));
        }
        Ok(BucketHead { root: u64_at(value, 0), sequence: u64_at(value, 8) })
    }

    pub(super) fn encode(self, inline: &[u8]) -> Bytes {
        [&self.root.to_le_bytes()[..], &self.sequence.to_le_bytes(), inline].concat().into()
    }
}

/// The first of `count` indices for which `before` is false.
#[inline]
fn partition_point(count: usize, before: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, count);
    while low < high {
        let middle = low + (high - low) / 2;
        if before(middle) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}

/// Checks that all elements lie inside the page, behind the elements, with ascending keys. `element` gives, for an
/// element at a byte: its `pos`, the bytes from there on, and the bytes of the key.
fn validate(bytes: &[u8], count: usize, element: impl Fn(usize) -> (u32, u64, u32)) -> Result<(), Fault> {
    let data = HEADER_BYTES + count * ELEMENT_BYTES;
    if data > bytes.len() {
        return Err(fault(format!("{count} elements in {} bytes", bytes.len()), format!("room for fewer than {data}")));
    }
    let mut last: Option<&[u8]> = None;
    for i in 0..count {
        let at = HEADER_BYTES + i * ELEMENT_BYTES;
        let (pos, length, key_length) = element(at);
        let start = at as u64 + u64::from(pos);
        if start < data as u64 || start + length > bytes.len() as u64 {
            let found = format!("bytes {start} to {}", start + length);
            return Err(fault(format!("element {i} within bytes {data} to {}", bytes.len()), found));
        }
        let key = &bytes[start as usize..start as usize + key_length as usize];
        if last.is_some_and(|last| last >= key) {
            return Err(fault(format!("key {i} to be greater than the one before it"), "a key that is not"));
        }
        last = Some(key);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::elements::{BranchItem, LeafItem, encode};
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn item(key: &[u8], value: &[u8]) -> LeafItem {
        LeafItem { flags: 0, key: Bytes::copy_from_slice(key), value: Bytes::copy_from_slice(value) }
    }

    #[test]
    fn a_leaf_is_bbolts_byte_for_byte() {
        let page = encode(9, &[item(b"a", b"xy"), item(b"bc", b"")], 64);
        let expected: &[&[u8]] = &[
            b"\x09\0\0\0\0\0\0\0\x02\0\x02\0\0\0\0\0",
            b"\0\0\0\0\x20\0\0\0\x01\0\0\0\x02\0\0\0",
            b"\0\0\0\0\x13\0\0\0\x02\0\0\0\0\0\0\0",
            b"axybc\0\0\0\0\0\0\0\0\0\0\0",
        ];
        assert_eq!(page, expected.concat());
    }

    #[test]
    fn a_branch_is_bbolts_byte_for_byte() {
        let items = [BranchItem { key: "k".into(), child: 3 }, BranchItem { key: "m".into(), child: 4 }];
        let expected: &[&[u8]] = &[
            b"\x09\0\0\0\0\0\0\0\x01\0\x02\0\0\0\0\0",
            b"\x20\0\0\0\x01\0\0\0\x03\0\0\0\0\0\0\0",
            b"\x11\0\0\0\x01\0\0\0\x04\0\0\0\0\0\0\0",
            b"km\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
        ];
        assert_eq!(encode(9, &items, 64), expected.concat());
        let Node::Branch(branch) = Node::parse(expected.concat().into(), 5).unwrap() else { panic!("a branch") };
        assert_eq!([b"a", b"k", b"l", b"m", b"z"].map(|key| branch.search(key)), [0, 0, 0, 1, 1]);
        assert!(Node::parse(expected.concat().into(), 4).is_err(), "child 4 is not below 4");
    }

    proptest! {
        #[test]
        fn a_leaf_is_read_as_it_was_written(pairs: BTreeMap<Vec<u8>, Vec<u8>>) {
            let items: Vec<LeafItem> = pairs.iter().map(|(key, value)| item(key, value)).collect();
            let leaf = Leaf::parse(encode(9, &items, 512).into()).unwrap();
            let read: BTreeMap<_, _> = (0..leaf.len()).map(|i| (leaf.key(i).to_vec(), leaf.value(i).to_vec())).collect();
            prop_assert!((0..leaf.len()).all(|i| leaf.search(leaf.key(i)) == Ok(i)));
            prop_assert_eq!(read, pairs);
        }

        #[test]
        fn damage_is_refused_or_harmless(
            pairs: BTreeMap<Vec<u8>, Vec<u8>>, at: prop::sample::Index, byte: u8, high_water: u64,
        ) {
            let items: Vec<LeafItem> = pairs.iter().map(|(key, value)| item(key, value)).collect();
            let mut page = encode(9, &items, 512);
            let at = at.index(64.min(page.len()));
            page[at] = byte;
            match Node::parse(page.into(), high_water) {
                Ok(Node::Leaf(leaf)) => assert!((0..leaf.len()).all(|i| leaf.key(i).len() + leaf.value(i).len() <= leaf.bytes.len())),
                Ok(Node::Branch(branch)) => assert!((0..branch.len()).all(|i| branch.child(i) < high_water && branch.search(branch.key(i)) == i)),
                Err(_) => {}
            }
        }
    }
}
