//! A leaf and the changes to it, merged: first as a plan of what comes from where, then as bytes or as elements.
//!
//! Most changes leave a leaf one page. Then its new page is written straight from the old one: runs of elements that
//! stay are copied, and no element is taken into memory for it.

use super::draft::{Draft, leaf_item};
use super::elements::{LeafItem, PageWriter};
use super::format::{ELEMENT_BYTES, HEADER_BYTES};
use super::page::Leaf;
use super::write::Edit;
use bytes::Bytes;
use std::ops::Range;

/// What the new leaf is made of, in order.
#[derive(Debug)]
pub(super) struct Plan<'a> {
    leaf: &'a Leaf,
    /// Of the elements that edits add.
    flags: u32,
    parts: Vec<Part<'a>>,
    count: usize,
    /// Of the page, its head included and not rounded up.
    bytes: usize,
}

#[derive(Debug)]
enum Part<'a> {
    /// These elements of the old leaf.
    Kept(Range<usize>),
    /// A pair that was put.
    Put(&'a Bytes, &'a Bytes),
}

impl<'a> Plan<'a> {
    /// Merges edits, ascending by key. `see` is shown each edit and the element of the old leaf that it replaces.
    pub(super) fn new<E>(
        leaf: &'a Leaf,
        flags: u32,
        edits: &'a [Edit],
        mut see: impl FnMut(&Edit, Option<usize>) -> Result<(), E>,
    ) -> Result<Plan<'a>, E> {
        let mut plan =
            Plan { leaf, flags, parts: Vec::with_capacity(2 * edits.len() + 1), count: 0, bytes: HEADER_BYTES };
        let mut at = 0;
        for edit in edits {
            let (found, place) = match leaf.search_from(at, &edit.key) {
                Ok(place) => (Some(place), place),
                Err(place) => (None, place),
            };
            see(edit, found)?;
            plan.keep(at..place);
            at = place + usize::from(found.is_some());
            if let Some(value) = &edit.value {
                plan.parts.push(Part::Put(&edit.key, value));
                plan.count += 1;
                plan.bytes += ELEMENT_BYTES + edit.key.len() + value.len();
            }
        }
        plan.keep(at..leaf.len());
        Ok(plan)
    }

    fn keep(&mut self, elements: Range<usize>) {
        if !elements.is_empty() {
            self.count += elements.len();
            self.bytes += elements.len() * ELEMENT_BYTES + self.leaf.data_bytes(elements.clone());
            self.parts.push(Part::Kept(elements));
        }
    }

    /// The new leaf: its page, if it becomes one that stands by itself, with more than `least` bytes; otherwise its
    /// elements.
    pub(super) fn draft(&self, page_size: usize, least: usize) -> Draft {
        if self.bytes > page_size || self.bytes <= least || self.count == 0 {
            return Draft::Leaf(self.items());
        }
        let mut page = PageWriter::leaf(self.count, page_size);
        for part in &self.parts {
            match part {
                Part::Kept(elements) => page.copy(self.leaf, elements.clone()),
                Part::Put(key, value) => page.pair(self.flags, key, value),
            }
        }
        let first = match &self.parts[0] {
            Part::Kept(elements) => self.leaf.key_bytes(elements.start),
            Part::Put(key, _) => Bytes::clone(key),
        };
        Draft::Page(first, page.finish())
    }

    fn items(&self) -> Vec<LeafItem> {
        let mut items = Vec::with_capacity(self.count);
        for part in &self.parts {
            match *part {
                Part::Kept(ref elements) => items.extend(elements.clone().map(|i| leaf_item(self.leaf, i))),
                Part::Put(key, value) => {
                    items.push(LeafItem { flags: self.flags, key: key.clone(), value: value.clone() })
                }
            }
        }
        items
    }
}

#[cfg(test)]
mod tests {
    use super::super::elements;
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use std::convert::Infallible;

    #[test]
    fn a_page_whose_data_lies_in_another_order_is_merged_too() {
        let elements: &[&[u8]] = &[
            b"\0\0\0\0\0\0\0\0\x02\0\x03\0\0\0\0\0",
            b"\0\0\0\0\x32\0\0\0\x01\0\0\0\x01\0\0\0",
            b"\0\0\0\0\x24\0\0\0\x01\0\0\0\x01\0\0\0",
            b"\0\0\0\0\x10\0\0\0\x01\0\0\0\x01\0\0\0",
            b"c3a1b2",
        ];
        let leaf = Leaf::parse(elements.concat().into()).unwrap();
        assert_eq!([0, 1, 2].map(|i| [leaf.key(i), leaf.value_slice(i)].concat()).concat(), b"a1b2c3");
        let edits = [Edit { key: "d".into(), value: Some("4".into()), counted: true }];
        let plan = Plan::new(&leaf, 0, &edits, |_, _| Ok::<(), Infallible>(())).unwrap();
        let Draft::Page(_, page) = plan.draft(96, 24) else { panic!("it is one page") };
        assert_eq!(page, elements::encode(0, &plan.items(), 96));
    }

    proptest! {
        /// The page that is written from the old one, and the one that is made of elements, are the same bytes.
        #[test]
        fn a_merged_page_is_that_of_its_elements(
            old: BTreeMap<u8, Vec<u8>>,
            edits: BTreeMap<u8, Option<Vec<u8>>>,
        ) {
            let item = |(key, value): (&u8, &Vec<u8>)| LeafItem { flags: 0, key: vec![*key].into(), value: value.clone().into() };
            let pages = elements::encode(9, &old.iter().map(item).collect::<Vec<_>>(), 512);
            let leaf = Leaf::parse(pages.into()).unwrap();
            let changes: Vec<Edit> = edits
                .iter()
                .map(|(key, value)| Edit { key: vec![*key].into(), value: value.clone().map(Bytes::from), counted: true })
                .collect();
            let mut replaced = Vec::new();
            let plan = Plan::new(&leaf, 0, &changes, |edit, old| {
                replaced.push((edit.key[0], old.map(|i| leaf.value(i).to_vec())));
                Ok::<(), Infallible>(())
            })
            .unwrap();
            let expected: Vec<_> = edits.keys().map(|key| (*key, old.get(key).cloned())).collect();
            prop_assert_eq!(replaced, expected);

            let mut merged = old.clone();
            for (key, value) in &edits {
                match value {
                    Some(value) => drop(merged.insert(*key, value.clone())),
                    None => drop(merged.remove(key)),
                }
            }
            let items: Vec<LeafItem> = merged.iter().map(item).collect();
            prop_assert_eq!(plan.items(), &items[..]);
            let bytes = elements::encoded_bytes(&items);
            prop_assert_eq!(plan.bytes, bytes);
            // The page size decides whether it is one page.
            for page_size in [bytes.next_multiple_of(8), 4 * bytes - 1, 4 * bytes] {
                match plan.draft(page_size, page_size / 4) {
                    Draft::Page(first, page) => {
                        prop_assert!(page_size < 4 * bytes && !items.is_empty());
                        prop_assert_eq!(&first, &items[0].key);
                        prop_assert_eq!(page, elements::encode(0, &items, page_size));
                    }
                    Draft::Leaf(drafted) => {
                        prop_assert!(page_size >= 4 * bytes || items.is_empty());
                        prop_assert_eq!(drafted, &items[..]);
                    }
                    Draft::Branch(_) => panic!("of a leaf"),
                }
            }
        }
    }
}
