//! The check: every page below the high-water mark is reachable from the meta page or free, exactly once.
//!
//! This is bbolt's `tx.Check`, with its messages. It walks from the root bucket through every bucket's tree and looks at
//! each page once, wherever the pointers of a damaged file lead: a page that is referenced again is reported and not
//! entered, so that the walk ends after one pass over the file, and a tree may be [`DEPTH_MAX`] levels deep.
//!
//! It looks at the elements of a page itself (their bytes are drawn in `page`). The engine's own reader refuses a page as
//! a whole, at the first thing that is wrong with it, and a checker that asked it would share its mistakes.
//!
//! More is reported than bbolt does, where bbolt would panic or look away: elements that leave their page or do not lie
//! back to back, broken inline buckets, empty pages below a root, pairs among the outermost buckets, a page that carries
//! another's number, a file that is too short, a free page out of bounds.
//!
//! Left out: what values mean. A flipped bit in a key's or a value's bytes is found here only if it disturbs the order
//! of keys; bbolt's data pages have no checksum. Comparing the hashes of members finds it.

mod finding;

use super::engine::Bolt;
use super::file::File;
use super::format::{
    BUCKET_FLAG, ELEMENT_BYTES, HEADER_BYTES, Header, Meta, NO_FREELIST, PageKind, decode_freelist, u32_at, u64_at,
};
use super::tree::DEPTH_MAX;
use super::view::View;
use crate::backend::BackendError;
use bytes::Bytes;
pub use finding::{Finding, KeyRule};

/// Findings after which the check gives up.
const FINDINGS_MAX: usize = 10_000;

/// What is checked: one meta page's file.
struct Subject<'a> {
    /// Bytes of a page.
    page_size: usize,
    /// Whole pages in the file.
    file_pages: u64,
    /// The meta's high-water mark: pages below it exist.
    high_water: u64,
    /// The meta's root bucket.
    root: u64,
    /// The meta's freelist page; `None` when the freelist is not synced.
    freelist: Option<u64>,
    /// Free and pending pages as an engine holds them. `None`: as the freelist page has them; without one, every page
    /// that is not reachable counts as free.
    free: Option<&'a [u64]>,
    /// Reads this many pages from this page on. Fewer bytes are a finding.
    read: &'a dyn Fn(u64, u64) -> Result<Bytes, BackendError>,
}

impl View {
    /// Checks the file: no findings, if nothing is wrong with it.
    pub fn check(&self) -> Vec<Finding> {
        check_file(&self.file, self.meta(), None)
    }
}

impl Bolt {
    /// Checks the tree of the last commit that was begun, with the freelist as it stands in memory: no findings, if
    /// nothing is wrong with them.
    pub fn check(&self) -> Vec<Finding> {
        check_file(&self.file, &self.meta, Some(&self.freelist.ids()))
    }
}

/// Opening a file made sure that it is as long as its meta says.
fn check_file(file: &File, meta: &Meta, free: Option<&[u64]>) -> Vec<Finding> {
    let read = |page: u64, pages: u64| file.read_visible(page, page + pages).map(Bytes::from);
    check(&Subject {
        page_size: file.page_size,
        file_pages: meta.high_water,
        high_water: meta.high_water,
        root: meta.root,
        freelist: Some(meta.freelist).filter(|page| *page != NO_FREELIST),
        free,
        read: &read,
    })
}

/// Checks a file. Nothing found: it is whole.
fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let pages = usize::try_from(subject.high_water.min(subject.file_pages)).expect("invariant: a page has a byte");
    let mut check =
        Check { subject, seen: vec![Seen::default(); pages], findings: Vec::new(), buckets: Vec::new(), at_top: true };
    check.run();
    check.findings
}

struct Check<'a> {
    subject: &'a Subject<'a>,
    /// By page.
    seen: Vec<Seen>,
    findings: Vec<Finding>,
    /// Roots of buckets that are still to be walked.
    buckets: Vec<u64>,
    /// Whether the tree of the outermost buckets is being walked.
    at_top: bool,
}

#[derive(Clone, Copy, Default)]
struct Seen {
    free: bool,
    reachable: bool,
}

/// A page of elements, or an inline one, with the way to it.
struct Page<'a> {
    id: u64,
    branch: bool,
    count: usize,
    bytes: Bytes,
    stack: &'a [u64],
}

/// Keys that may stand below a pointer: `from <= key < to`.
#[derive(Clone, Default)]
struct Bounds {
    from: Option<Bytes>,
    to: Option<Bytes>,
}

impl Check<'_> {
    fn run(&mut self) {
        let &Subject { high_water, file_pages, root, .. } = self.subject;
        if file_pages < high_water {
            self.report(Finding::TooShort { high_water, file_pages });
        }
        self.seen.iter_mut().take(2).for_each(|meta| meta.reachable = true);
        let known = self.free_pages();
        self.tree(root, &mut Vec::new(), &Bounds::default());
        self.at_top = false;
        while let Some(root) = self.buckets.pop() {
            self.tree(root, &mut Vec::new(), &Bounds::default());
        }
        if known {
            self.unreachable();
        }
    }

    fn report(&mut self, finding: Finding) {
        match self.findings.len() {
            ..FINDINGS_MAX => self.findings.push(finding),
            FINDINGS_MAX => self.findings.push(Finding::More),
            _ => {}
        }
    }

    fn unreachable(&mut self) {
        for page in 0..self.seen.len() {
            if !self.seen[page].reachable && !self.seen[page].free {
                self.report(Finding::UnreachableUnfreed { page: page as u64 });
            }
        }
    }

    /// Marks the free pages. `false` if nobody knows which those are.
    fn free_pages(&mut self) -> bool {
        let on_page = self.subject.freelist.and_then(|page| self.freelist_page(page));
        let Some(free) = self.subject.free.or(on_page.as_deref()) else { return false };
        for &page in free {
            let seen = usize::try_from(page).ok().and_then(|page| self.seen.get_mut(page));
            match seen.map(|seen| (std::mem::replace(&mut seen.free, true), seen.reachable)) {
                Some((true, _)) => self.report(Finding::AlreadyFreed { page }),
                Some((_, true)) => self.report(Finding::ReachableFreed { page }),
                Some(_) => {}
                None => {
                    let high_water = self.subject.high_water;
                    self.report(Finding::OutOfBounds { page, high_water, stack: vec![] });
                }
            }
        }
        true
    }

    fn freelist_page(&mut self, page: u64) -> Option<Vec<u64>> {
        let (header, bytes) = self.claim(page, &[])?;
        if header.kind() != Some(PageKind::Freelist) {
            self.report(Finding::InvalidType { page, flags: header.flags, stack: vec![] });
            return None;
        }
        let ids = decode_freelist(&bytes);
        if ids.is_err() {
            let expected = "no more free pages than fit";
            self.report(Finding::Inconsistent { page, element: None, expected, stack: vec![] });
        }
        ids.ok()
    }

    /// Marks a page and its overflow as reachable and reads them. `None` if it must not be entered.
    fn claim(&mut self, page: u64, stack: &[u64]) -> Option<(Header, Bytes)> {
        if !self.in_bounds(page, stack) {
            return None;
        }
        let bytes = self.read(page, 1)?;
        let header = Header::decode(&bytes).expect("invariant: a page is larger than its head");
        for id in page..page + header.pages() {
            if !self.in_bounds(id, stack) {
                return None;
            }
            let seen = &mut self.seen[id as usize];
            // One is enough: garbled heads could name every page again and again.
            if std::mem::replace(&mut seen.reachable, true) {
                self.report(Finding::MultipleReferences { page: id, stack: stack.to_vec() });
                return None;
            }
            if seen.free {
                self.report(Finding::ReachableFreed { page: id });
            }
        }
        if header.id != page {
            self.report(Finding::Misplaced { page, found: header.id });
        }
        let bytes = if header.overflow == 0 { bytes } else { self.read(page, header.pages())? };
        Some((header, bytes))
    }

    fn in_bounds(&mut self, page: u64, stack: &[u64]) -> bool {
        let &Subject { high_water, file_pages, .. } = self.subject;
        if page >= high_water {
            self.report(Finding::OutOfBounds { page, high_water, stack: stack.to_vec() });
        }
        page < high_water.min(file_pages) // A file that ends before its high-water mark was reported.
    }

    fn read(&mut self, page: u64, pages: u64) -> Option<Bytes> {
        let whole = self.subject.page_size as u64 * pages;
        match (self.subject.read)(page, pages) {
            Ok(bytes) if bytes.len() as u64 == whole => return Some(bytes),
            Ok(_) => {
                let expected = "the whole page: the file ends before";
                self.report(Finding::Inconsistent { page, element: None, expected, stack: vec![] });
            }
            Err(error) => self.report(Finding::Unreadable { page, error }),
        }
        None
    }

    /// Walks a tree. Returns the greatest key met, if any: the next page's keys are above it.
    fn tree(&mut self, id: u64, stack: &mut Vec<u64>, bounds: &Bounds) -> Option<Bytes> {
        if stack.len() > DEPTH_MAX {
            self.report(Finding::TooDeep { page: id });
            return None;
        }
        stack.push(id);
        let last = self.claim(id, stack).and_then(|(header, bytes)| {
            let count = usize::from(header.count);
            match header.kind() {
                Some(PageKind::Branch) => {
                    let way = stack.clone();
                    self.branch(&Page { id, branch: true, count, bytes, stack: &way }, stack, bounds)
                }
                Some(PageKind::Leaf) => self.leaf(&Page { id, branch: false, count, bytes, stack }, bounds),
                _ => {
                    self.report(Finding::InvalidType { page: id, flags: header.flags, stack: stack.clone() });
                    None
                }
            }
        });
        stack.pop();
        last
    }

    fn branch(&mut self, page: &Page<'_>, stack: &mut Vec<u64>, bounds: &Bounds) -> Option<Bytes> {
        if page.count == 0 {
            self.inconsistent(page, None, "a branch page with children");
        }
        let mut last = bounds.from.clone();
        let mut at = page.data_start();
        let mut next = self.branch_element(page, 0, &mut at);
        for index in 0..page.count {
            let (key, child) = next?;
            self.key_order(page, index, &key, last.as_ref(), bounds.to.as_ref());
            next = self.branch_element(page, index + 1, &mut at);
            let to = next.as_ref().map(|(key, _)| key.clone()).or_else(|| bounds.to.clone());
            last = self.tree(child, stack, &Bounds { from: Some(key.clone()), to }).or(Some(key));
        }
        last
    }

    /// Key and child of an element; `None` behind the last. Its key begins at byte `next`, which moves on to where the following one's does.
    fn branch_element(&mut self, page: &Page<'_>, index: usize, next: &mut usize) -> Option<(Bytes, u64)> {
        if index == page.count {
            return None;
        }
        let at = HEADER_BYTES + ELEMENT_BYTES * index;
        let key = page.bytes.get(at..at + ELEMENT_BYTES).and_then(|element| {
            let (pos, ksize) = (u32_at(element, 0) as usize, u32_at(element, 4) as usize);
            page.data(at + pos, ksize, next)
        });
        if key.is_none() {
            self.inconsistent(page, Some(index), "a key inside the page, right behind the one before");
        }
        Some((key?, u64_at(&page.bytes, at + 8)))
    }

    fn leaf(&mut self, page: &Page<'_>, bounds: &Bounds) -> Option<Bytes> {
        if page.count == 0 && page.stack.len() > 1 {
            self.inconsistent(page, None, "a leaf with elements: only a root may have none");
        }
        let mut last = bounds.from.clone();
        let mut next = page.data_start();
        for index in 0..page.count {
            let (flags, key, value) = self.leaf_element(page, index, &mut next)?;
            self.key_order(page, index, &key, last.as_ref(), bounds.to.as_ref());
            match flags {
                0 if self.at_top => self.inconsistent(page, Some(index), "a bucket: the top holds nothing else"),
                0 => {}
                BUCKET_FLAG => self.bucket(page, index, &value),
                _ => self.inconsistent(page, Some(index), "flags 0 (a pair) or 1 (a bucket)"),
            }
            last = Some(key);
        }
        last
    }

    /// Flags, key and value of an element; `next` as above.
    fn leaf_element(&mut self, page: &Page<'_>, index: usize, next: &mut usize) -> Option<(u32, Bytes, Bytes)> {
        let at = HEADER_BYTES + ELEMENT_BYTES * index;
        let element = page.bytes.get(at..at + ELEMENT_BYTES).and_then(|element| {
            let [pos, ksize, vsize] = [4, 8, 12].map(|field| u32_at(element, field) as usize);
            let key = page.data(at + pos, ksize, next)?;
            let value = page.data(at + pos + ksize, vsize, next)?;
            Some((u32_at(element, 0), key, value))
        });
        if element.is_none() {
            self.inconsistent(page, Some(index), "a key and a value inside the page, right behind those before");
        }
        element
    }

    fn bucket(&mut self, page: &Page<'_>, index: usize, value: &Bytes) {
        if value.len() < ELEMENT_BYTES {
            return self.inconsistent(page, Some(index), "a bucket's 16 bytes: root and sequence");
        }
        let root = u64_at(value, 0);
        if root != 0 {
            return self.buckets.push(root);
        }
        let bytes = value.slice(ELEMENT_BYTES..);
        match Header::decode(&bytes) {
            Ok(header) if header.kind() == Some(PageKind::Leaf) => {
                let count = usize::from(header.count);
                self.inline(&Page { id: page.id, branch: false, count, bytes, stack: page.stack });
            }
            _ => self.inconsistent(page, Some(index), "a leaf page inside the bucket's value"),
        }
    }

    /// The page inside an inline bucket: pairs, and no further buckets.
    fn inline(&mut self, page: &Page<'_>) {
        let mut last = None;
        let mut next = page.data_start();
        for index in 0..page.count {
            let Some((flags, key, _)) = self.leaf_element(page, index, &mut next) else { return };
            self.key_order(page, index, &key, last.as_ref(), None);
            if flags != 0 {
                self.inconsistent(page, Some(index), "a pair: an inline bucket holds no buckets");
            }
            last = Some(key);
        }
    }

    fn key_order(&mut self, page: &Page<'_>, index: usize, key: &Bytes, last: Option<&Bytes>, to: Option<&Bytes>) {
        use std::cmp::Ordering::{Equal, Less};
        let mut broken = |rule, other: &Bytes| {
            self.report(Finding::KeyOrder {
                page: page.id,
                branch: page.branch,
                index,
                key: key.clone(),
                rule,
                other: other.clone(),
                stack: page.stack.to_vec(),
            });
        };
        match last.map(|last| (last, key.cmp(last))) {
            Some((last, Less)) if index == 0 => broken(KeyRule::NotBelowAncestor, last),
            Some((last, Less)) => broken(KeyRule::AboveButLess, last),
            Some((last, Equal)) if index > 0 => broken(KeyRule::AboveButEqual, last),
            _ => {}
        }
        if let Some(to) = to.filter(|&to| key >= to) {
            broken(KeyRule::BelowNext, to);
        }
    }

    fn inconsistent(&mut self, page: &Page<'_>, element: Option<usize>, expected: &'static str) {
        self.report(Finding::Inconsistent { page: page.id, element, expected, stack: page.stack.to_vec() });
    }
}

impl Page<'_> {
    /// Where the first key begins: behind the elements.
    fn data_start(&self) -> usize {
        HEADER_BYTES + ELEMENT_BYTES * self.count
    }

    /// `len` bytes from `at`, if that is `next` and inside the page.
    fn data(&self, at: usize, len: usize, next: &mut usize) -> Option<Bytes> {
        let end = at.checked_add(len)?;
        let inside = at == *next && end <= self.bytes.len();
        *next = end;
        inside.then(|| self.bytes.slice(at..end))
    }
}

#[cfg(test)]
mod tests {
    use super::super::elements::{BranchItem, LeafItem, encode, encode_inline};
    use super::super::format::{encode_freelist, freelist_pages};
    use super::super::page::BucketHead;
    use super::*;
    use crate::disk::DiskError;
    use proptest::prelude::*;

    const SIZE: usize = 512;

    /// A file by its pages, with what its meta says.
    #[derive(Clone)]
    struct Raw {
        bytes: Vec<u8>,
        high_water: u64,
        root: u64,
        freelist: Option<u64>,
        free: Option<Vec<u64>>,
    }

    impl Raw {
        fn put(&mut self, id: u64, page: Vec<u8>) {
            let at = id as usize * SIZE;
            self.bytes[at..at + page.len()].copy_from_slice(&page);
        }

        fn leaf(&mut self, id: u64, items: &[LeafItem]) {
            self.put(id, encode(id, items, SIZE));
        }

        fn branch(&mut self, id: u64, children: &[(&str, u64)]) {
            let items =
                children.iter().map(|&(key, child)| BranchItem { key: Bytes::copy_from_slice(key.as_bytes()), child });
            self.put(id, encode(id, &items.collect::<Vec<_>>(), SIZE));
        }

        fn freelist(&mut self, id: u64, ids: &[u64]) {
            self.put(id, encode_freelist(id, ids, freelist_pages(ids.len() as u64, SIZE), SIZE));
        }

        /// Byte `at` of page `id`.
        fn byte(&mut self, id: u64, at: usize) -> &mut u8 {
            &mut self.bytes[id as usize * SIZE + at]
        }

        fn findings(&self) -> Vec<Finding> {
            let read = |page: u64, pages: u64| {
                let from = self.bytes.len().min(page as usize * SIZE);
                let to = self.bytes.len().min((page + pages) as usize * SIZE);
                Ok(Bytes::copy_from_slice(&self.bytes[from..to]))
            };
            check(&self.subject(&read))
        }

        fn subject<'a>(&'a self, read: &'a dyn Fn(u64, u64) -> Result<Bytes, BackendError>) -> Subject<'a> {
            Subject {
                page_size: SIZE,
                file_pages: (self.bytes.len() / SIZE) as u64,
                high_water: self.high_water,
                root: self.root,
                freelist: self.freelist,
                free: self.free.as_deref(),
                read,
            }
        }

        fn texts(&self) -> Vec<String> {
            self.findings().iter().map(Finding::to_string).collect()
        }
    }

    fn pair(key: &str, value: &str) -> LeafItem {
        LeafItem {
            flags: 0,
            key: Bytes::copy_from_slice(key.as_bytes()),
            value: Bytes::copy_from_slice(value.as_bytes()),
        }
    }

    fn bucket(name: &str, root: u64, inline: &[u8]) -> LeafItem {
        let head = BucketHead { root, sequence: 0 };
        LeafItem { flags: BUCKET_FLAG, value: head.encode(inline), ..pair(name, "") }
    }

    /// ```text
    ///   3 root: alarm (inline: a), key ──► 5 branch a, h, p ──► 6 leaf a c · 7, 8 leaf h (large) · 9 leaf p r
    ///   2 freelist: 4, 10, 11              12 leaf: sub (bucket ──► 13) is in bucket "nest"
    /// ```
    fn whole() -> Raw {
        let bytes = vec![0; 14 * SIZE];
        let mut file = Raw { bytes, high_water: 14, root: 3, freelist: Some(2), free: None };
        file.freelist(2, &[4, 10, 11]);
        let inline = encode_inline(&[pair("a", "1"), pair("b", "2")]);
        file.leaf(3, &[bucket("alarm", 0, &inline), bucket("key", 5, &[]), bucket("nest", 12, &[])]);
        file.branch(5, &[("a", 6), ("h", 7), ("p", 9)]);
        file.leaf(6, &[pair("a", "1"), pair("c", "3")]);
        file.leaf(7, &[pair("h", &"x".repeat(600))]);
        file.leaf(9, &[pair("p", "1"), pair("r", "3")]);
        file.leaf(12, &[bucket("sub", 13, &[])]);
        file.leaf(13, &[]);
        file
    }

    #[test]
    fn nothing_is_wrong_with_a_whole_file() {
        let mut file = whole();
        assert_eq!(file.texts(), [""; 0]);
        file.free = Some(vec![11, 4, 10]);
        file.freelist(2, &[]);
        assert_eq!(file.texts(), [""; 0], "the engine's own list counts, in any order");
        file.freelist = None;
        file.free = Some(vec![11, 4, 10, 2]);
        assert_eq!(file.texts(), [""; 0]);
        file.free = None;
        assert_eq!(file.texts(), [""; 0], "what is not reachable is free");
    }

    /// Damages a whole file; the texts that must follow.
    fn damaged(damage: impl Fn(&mut Raw), expected: &[&str]) {
        let mut file = whole();
        damage(&mut file);
        assert_eq!(file.texts(), expected);
    }

    #[test]
    fn the_freelist_has_each_page_that_is_not_in_use_once() {
        damaged(|file| file.freelist(2, &[4, 4, 10, 11]), &["page 4: already freed"]);
        damaged(|file| file.freelist(2, &[4, 11]), &["page 10: unreachable unfreed"]);
        damaged(|file| file.freelist(2, &[4, 9, 10, 11]), &["page 9: reachable freed"]);
        damaged(|file| file.freelist(2, &[4, 8, 10, 11]), &["page 8: reachable freed"]);
        damaged(|file| file.freelist(2, &[1, 2, 4, 10, 11]), &["page 1: reachable freed", "page 2: reachable freed"]);
        damaged(|file| file.freelist(2, &[4, 10, 11, 14]), &["page 14: out of bounds: 14 (stack: [])"]);
        damaged(|file| *file.byte(2, 8) = 2, &["page 2: invalid type: leaf (stack: [])"]);
        damaged(|file| *file.byte(2, 10) = 200, &["page 2: expected no more free pages than fit (stack: [])"]);
    }

    #[test]
    fn a_page_is_referenced_once_and_in_bounds() {
        let branch = |children: &'static [(&str, u64)]| move |file: &mut Raw| file.branch(5, children);
        damaged(
            branch(&[("a", 6), ("h", 7), ("p", 99)]),
            &["page 99: out of bounds: 14 (stack: [5 99])", "page 9: unreachable unfreed"],
        );
        damaged(branch(&[("a", 6), ("h", 7), ("k", 6), ("p", 9)]), &["page 6: multiple references (stack: [5 6])"]);
        damaged(branch(&[("a", 6), ("h", 7), ("k", 8), ("p", 9)]), &["page 8: multiple references (stack: [5 8])"]);
        damaged(branch(&[("a", 6), ("h", 7), ("k", 5), ("p", 9)]), &["page 5: multiple references (stack: [5 5])"]);
        damaged(branch(&[("a", 6), ("h", 7), ("k", 1), ("p", 9)]), &["page 1: multiple references (stack: [5 1])"]);
        damaged(
            |file| *file.byte(9, 12) = 0xff,
            &["page 10: reachable freed", "page 11: reachable freed", "page 12: multiple references (stack: [5 9])"],
        );
        damaged(|file| file.high_water = 13, &["page 13: out of bounds: 13 (stack: [13])"]);
        damaged(
            |file| file.root = 14,
            &[
                "page 14: out of bounds: 14 (stack: [14])",
                "page 3: unreachable unfreed",
                "page 5: unreachable unfreed",
                "page 6: unreachable unfreed",
                "page 7: unreachable unfreed",
                "page 8: unreachable unfreed",
                "page 9: unreachable unfreed",
                "page 12: unreachable unfreed",
                "page 13: unreachable unfreed",
            ],
        );
    }

    #[test]
    fn a_page_is_of_the_right_kind_and_in_its_place() {
        damaged(|file| *file.byte(6, 8) = 0x10, &["page 6: invalid type: freelist (stack: [5 6])"]);
        damaged(|file| *file.byte(6, 8) = 4, &["page 6: invalid type: meta (stack: [5 6])"]);
        damaged(|file| *file.byte(6, 8) = 0x22, &["page 6: invalid type: unknown<22> (stack: [5 6])"]);
        damaged(|file| *file.byte(13, 0) = 12, &["page 13: expected to be: 13, but self identifies as 12"]);
        // Another page's bytes, as a misdirected write leaves them.
        damaged(
            |file| file.bytes.copy_within(6 * SIZE..7 * SIZE, 9 * SIZE),
            &[
                "page 9: expected to be: 9, but self identifies as 6",
                "the first key[0]=(hex)61 on leaf page(9) needs to be >= the key in the ancestor (70). Stack: [5 9]",
            ],
        );
    }

    #[test]
    fn elements_lie_inside_their_page() {
        let pair = "a key and a value inside the page, right behind those before";
        let text = |element: u64, page: u64, expected: &str, stack: &str| {
            format!("page {page}: element {element}: expected {expected} (stack: [{stack}])")
        };
        // Leaf: count, pos, key size, value size, flags. Branch: pos, key size, count.
        damaged(|file| *file.byte(6, 10) = 31, &[&text(0, 6, pair, "5 6")]);
        damaged(|file| *file.byte(6, 11) = 0xff, &[&text(0, 6, pair, "5 6")]);
        damaged(|file| *file.byte(6, 16 + 16 + 7) = 0xff, &[&text(1, 6, pair, "5 6")]);
        damaged(|file| *file.byte(6, 16 + 4) = 0, &[&text(0, 6, pair, "5 6")]);
        damaged(|file| *file.byte(6, 16 + 9) = 2, &[&text(0, 6, pair, "5 6")]);
        damaged(|file| *file.byte(6, 16 + 13) = 2, &[&text(0, 6, pair, "5 6")]);
        damaged(|file| *file.byte(6, 16) = 2, &[&text(0, 6, "flags 0 (a pair) or 1 (a bucket)", "5 6")]);
        let key = text(2, 5, "a key inside the page, right behind the one before", "5");
        damaged(|file| *file.byte(5, 16 + 32 + 1) = 2, &[&key, "page 9: unreachable unfreed"]);
        damaged(|file| *file.byte(5, 16 + 32 + 5) = 2, &[&key, "page 9: unreachable unfreed"]);
        damaged(
            |file| *file.byte(9, 10) = 0,
            &["page 9: expected a leaf with elements: only a root may have none (stack: [5 9])"],
        );
        damaged(|file| file.branch(13, &[]), &["page 13: expected a branch page with children (stack: [13])"]);
    }

    #[test]
    fn a_buckets_value_is_a_root_or_an_inline_page() {
        let wrong = |value: &[u8], expected: &str| {
            let item = LeafItem { flags: BUCKET_FLAG, value: Bytes::copy_from_slice(value), ..pair("b", "") };
            let expected = format!("page 13: element 0: expected {expected} (stack: [13])");
            damaged(|file| file.leaf(13, std::slice::from_ref(&item)), &[&expected]);
        };
        wrong(&[0; 15], "a bucket's 16 bytes: root and sequence");
        wrong(&[0; 31], "a leaf page inside the bucket's value");
        wrong(&[0; 32], "a leaf page inside the bucket's value");
        let inline = |items: &[LeafItem]| BucketHead { root: 0, sequence: 0 }.encode(&encode_inline(items));
        wrong(&inline(&[bucket("c", 9, &[])]), "a pair: an inline bucket holds no buckets");
        let cut = inline(&[pair("a", "xyz")]);
        wrong(&cut[..cut.len() - 1], "a key and a value inside the page, right behind those before");
        damaged(
            |file| file.leaf(13, &[bucket("b", 0, &encode_inline(&[pair("b", ""), pair("a", "")]))]),
            &["key[1]=(hex)61 on leaf page(13) needs to be > (found <) than previous element (hex)62. Stack: [13]"],
        );
    }

    #[test]
    fn keys_ascend_within_and_between_pages() {
        let leaf = |keys: &'static [&str]| {
            move |file: &mut Raw| {
                file.leaf(6, &keys.iter().map(|key| pair(key, "")).collect::<Vec<_>>());
            }
        };
        damaged(
            leaf(&["Z", "c"]),
            &["the first key[0]=(hex)5a on leaf page(6) needs to be >= the key in the ancestor (61). Stack: [5 6]"],
        );
        damaged(
            leaf(&["c", "b"]),
            &["key[1]=(hex)62 on leaf page(6) needs to be > (found <) than previous element (hex)63. Stack: [5 6]"],
        );
        damaged(
            leaf(&["c", "c"]),
            &["key[1]=(hex)63 on leaf page(6) needs to be > (found =) than previous element (hex)63. Stack: [5 6]"],
        );
        damaged(
            leaf(&["c", "h"]),
            &[
                "key[1]=(hex)68 on leaf page(6) needs to be < than key of the next element in ancestor (hex)68. Stack: [5 6]",
                "key[1]=(hex)68 on branch page(5) needs to be > (found =) than previous element (hex)68. Stack: [5]",
            ],
        );
        damaged(
            |file| file.branch(5, &[("a", 6), ("p", 7), ("h", 9)]),
            &[
                "the first key[0]=(hex)68 on leaf page(7) needs to be >= the key in the ancestor (70). Stack: [5 7]",
                "key[0]=(hex)68 on leaf page(7) needs to be < than key of the next element in ancestor (hex)68. Stack: [5 7]",
                "key[2]=(hex)68 on branch page(5) needs to be > (found =) than previous element (hex)68. Stack: [5]",
            ],
        );
    }

    #[test]
    fn a_file_that_is_too_short_or_unreadable_is_reported() {
        damaged(
            |file| file.bytes.truncate(13 * SIZE + 100),
            &["page 13: the file ends here: expected 14 pages, found 13"],
        );
        damaged(
            |file| (file.high_water, file.free) = (u64::MAX, Some(vec![4, 10, 11])),
            &["page 14: the file ends here: expected 18446744073709551615 pages, found 14"],
        );
        let file = whole();
        let error = BackendError::Disk(DiskError::Io { file: "db".into(), offset: 9 });
        let findings = check(&file.subject(&|_, _| Err(error.clone())));
        assert_eq!(
            findings[..2],
            [
                Finding::Unreadable { page: 2, error: error.clone() },
                Finding::Unreadable { page: 3, error: error.clone() }
            ]
        );
        assert_eq!(findings[0].to_string(), "page 2: the database: db: input/output error at byte 9");
        let findings = check(&file.subject(&|_, _| Ok(Bytes::new())));
        assert_eq!(findings[0].to_string(), "page 2: expected the whole page: the file ends before (stack: [])");
    }

    #[test]
    fn a_tree_is_followed_so_deep_and_findings_are_listed_so_long() {
        let mut file = whole();
        file.bytes.resize(400 * SIZE, 0);
        (file.high_water, file.root) = (400, 20);
        (20..399).for_each(|id| file.branch(id, &[("a", id + 1)]));
        let texts = file.texts();
        assert_eq!(texts[0], "page 85: the tree is more than 64 levels deep");

        let mut file = whole();
        file.free = Some((20..20_000).collect());
        let findings = file.findings();
        assert_eq!((findings.len(), findings.last()), (FINDINGS_MAX + 1, Some(&Finding::More)));
        assert_eq!(Finding::More.to_string(), "more than 10000 findings: the rest is not listed");
    }

    #[test]
    fn a_long_key_is_cut_in_the_text() {
        let key = "k".repeat(100);
        let mut file = whole();
        file.leaf(13, &[pair("z", ""), pair(&key, "")]);
        assert!(file.texts()[0].contains("6b6b… (100 bytes) on leaf page(13)"), "{}", file.texts()[0]);
    }

    /// No flip in a head or in an element of a page in use goes unseen, but for the sizes of the last element: where a
    /// page's last value ends, nothing else says.
    #[test]
    fn every_flipped_bit_of_a_pages_structure_is_found() {
        for (page, elements) in [(2, 0), (3, 3), (5, 3), (6, 2), (7, 1), (9, 2), (12, 1)] {
            for bit in 0..(HEADER_BYTES + elements * ELEMENT_BYTES) * 8 {
                let mut file = whole();
                *file.byte(page, bit / 8) ^= 1 << (bit % 8);
                let sizes = if page == 5 { 4..8 } else { 8..16 };
                let last =
                    bit / 8 / ELEMENT_BYTES == elements && elements > 0 && sizes.contains(&(bit / 8 % ELEMENT_BYTES));
                assert!(last || !file.findings().is_empty(), "page {page}, byte {}, bit {}", bit / 8, bit % 8);
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        #[test]
        fn no_damage_makes_it_panic_or_loop(
            damage in prop::collection::vec((2 * SIZE..14 * SIZE, any::<u8>()), 1..40), high_water in 0..20u64, root in 0..20u64,
        ) {
            let mut file = whole();
            damage.iter().for_each(|&(at, byte)| file.bytes[at] = byte);
            file.findings();
            file.findings().iter().for_each(|finding| assert!(!finding.to_string().is_empty()));
            (file.high_water, file.root) = (high_water, root);
            file.findings();
        }

        #[test]
        fn no_bytes_make_it_panic_or_loop(bytes in prop::collection::vec(any::<u8>(), 0..20 * SIZE), few: bool) {
            let mut file = Raw { bytes, ..whole() };
            if few {
                // Bytes that make heads likely.
                file.bytes.iter_mut().for_each(|byte| *byte &= *byte >> 3 & *byte >> 6 | 3);
            }
            file.findings();
        }
    }
}
