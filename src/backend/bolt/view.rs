//! A file as an inspection sees it: both metas, any page, the buckets and what is in them. Nothing is ever written.
//!
//! Buckets may be nested and may have any name here: the file may be another program's.

use super::file::{File, Metas};
use super::format::{Fault, Header, Meta, NO_FREELIST, PageKind, decode_freelist, fault};
use super::page::{Branch, BucketHead, Leaf, Node};
use super::scan::{self, Reached};
use super::tree::{self, BucketRef, Cursor, Root};
use crate::backend::BackendError;
use crate::disk::{DiskRead, FileName};
use bytes::Bytes;
use std::rc::Rc;

/// Pages that an inspection keeps in memory, in bytes.
const CACHE_BYTES: usize = 4 << 20;

/// An opened file.
#[derive(Debug)]
pub struct View {
    pub(super) file: File,
    metas: Metas,
    meta: Meta,
}

/// A page's content.
#[derive(Clone, Debug)]
pub enum Content {
    /// Of page 0 or 1, or why it cannot be used.
    Meta(Result<Meta, Fault>),
    /// Pairs and buckets.
    Leaf(Leaf),
    /// Keys and the pages below them.
    Branch(Branch),
    /// Numbers of free pages.
    Freelist(Vec<u64>),
}

/// A bucket.
#[derive(Clone, Debug)]
pub struct BucketInfo {
    /// Names from the outermost bucket inwards.
    pub path: Vec<Bytes>,
    /// The root page; 0 for an inline bucket.
    pub root: u64,
    /// bbolt's counter for whoever uses it (etcd does not).
    pub sequence: u64,
    tree: Root,
}

impl BucketInfo {
    /// Whether its pairs lie in its value in the tree above, not in pages of its own.
    pub fn is_inline(&self) -> bool {
        self.root == 0
    }

    /// Its name, without those of the buckets around it.
    pub fn name(&self) -> &[u8] {
        self.path.last().map_or(&[], |name| name)
    }
}

/// What a page is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PageUse {
    /// Page 0 or 1.
    Meta,
    /// A branch of some bucket's tree.
    Branch,
    /// A leaf.
    Leaf,
    /// The freelist.
    Freelist,
    /// It belongs to the page before it, whose content is longer than a page.
    Overflow,
    /// Nothing that the newer meta knows.
    Free,
}

/// A page that a tree reaches.
#[derive(Clone, Copy, Debug)]
pub struct Reach<'a> {
    /// Its number; 0 for the page inside an inline bucket.
    pub id: u64,
    /// Pages that it takes, overflow included; 0 inside an inline bucket.
    pub pages: u64,
    /// Branch or leaf.
    pub kind: PageKind,
    /// Names of the buckets around it; empty for the tree of buckets.
    pub bucket: &'a [Bytes],
    /// Levels below the root of its tree.
    pub depth: usize,
    /// How many elements it has.
    pub count: usize,
}

impl View {
    /// Opens a file by the newer usable meta.
    pub fn open(disk: Rc<dyn DiskRead>, name: FileName) -> Result<View, BackendError> {
        let metas = Metas::read(&*disk, &name)?;
        let (file, meta) = File::open(disk, name, CACHE_BYTES)?;
        Ok(View { file, metas, meta })
    }

    /// Both metas, or what is wrong with them. [`Metas::read`] gives them for a file that cannot be opened, too.
    pub fn metas(&self) -> &Metas {
        &self.metas
    }

    /// The meta that counts.
    pub fn meta(&self) -> &Meta {
        &self.meta
    }

    /// The head of a page, whatever it says.
    pub fn header(&self, id: u64) -> Result<Header, BackendError> {
        let page = self.file.read_pages(id, 1)?;
        Header::decode(&page).map_err(|fault| self.file.error(id, fault))
    }

    /// All bytes of a page, its overflow included (if its head can be believed).
    pub fn page_bytes(&self, id: u64) -> Result<Bytes, BackendError> {
        if id < 2 { self.file.read_pages(id, 1) } else { self.file.read_page(id) }
    }

    /// A page, decoded. A page that is not in use may hold what it held before, or anything.
    pub fn content(&self, id: u64) -> Result<Content, BackendError> {
        let bytes = self.page_bytes(id)?;
        if id < 2 {
            return Ok(Content::Meta(Meta::decode(&bytes)));
        }
        let kind = Header::decode(&bytes).ok().and_then(|header| header.kind());
        if kind == Some(PageKind::Freelist) {
            return decode_freelist(&bytes).map(Content::Freelist).map_err(|fault| self.file.error(id, fault));
        }
        Ok(match &*self.file.parse(id, bytes)? {
            Node::Leaf(leaf) => Content::Leaf(leaf.clone()),
            Node::Branch(branch) => Content::Branch(branch.clone()),
        })
    }

    /// The numbers of the freelist page, ascending; `None` if the file keeps none.
    pub fn freelist(&self) -> Result<Option<Vec<u64>>, BackendError> {
        read_freelist(&self.file, &self.meta)
    }

    /// The buckets at the top, ascending by name.
    pub fn buckets(&self) -> Result<Vec<BucketInfo>, BackendError> {
        let root = Root::Page(self.meta.root);
        self.buckets_in(&root, &[])
    }

    /// The buckets inside a bucket.
    pub fn nested(&self, bucket: &BucketInfo) -> Result<Vec<BucketInfo>, BackendError> {
        self.buckets_in(&bucket.tree, &bucket.path)
    }

    /// The bucket at the top with that name.
    pub fn bucket(&self, name: &[u8]) -> Result<Option<BucketInfo>, BackendError> {
        let found = tree::get(&self.file, &Root::Page(self.meta.root), name)?;
        let found = found.filter(|(_, is_bucket, _)| *is_bucket);
        found.map(|(value, _, page)| self.info(page, vec![Bytes::copy_from_slice(name)], value)).transpose()
    }

    fn buckets_in(&self, root: &Root, path: &[Bytes]) -> Result<Vec<BucketInfo>, BackendError> {
        let mut cursor = Cursor::seek(&self.file, root, &[], None)?;
        let mut buckets = Vec::new();
        while let Some((leaf, i)) = cursor.current() {
            if leaf.is_bucket(i) {
                let path = path.iter().cloned().chain([Bytes::copy_from_slice(leaf.key(i))]).collect();
                buckets.push(self.info(cursor.page(), path, leaf.value(i))?);
            }
            cursor.advance()?;
        }
        Ok(buckets)
    }

    fn info(&self, page: u64, path: Vec<Bytes>, value: Bytes) -> Result<BucketInfo, BackendError> {
        let head = BucketHead::decode(&value).map_err(|fault| self.file.error(page, fault))?;
        let tree = BucketRef::decode(&self.file, page, value)?.root;
        Ok(BucketInfo { path, root: head.root, sequence: head.sequence, tree })
    }

    /// Visits the pairs of a bucket with `from <= key < to` (`None`: to the end) until `visit` says `false`.
    pub fn pairs(
        &self,
        bucket: &BucketInfo,
        from: &[u8],
        to: Option<&[u8]>,
        visit: &mut dyn FnMut(&[u8], &Bytes) -> bool,
    ) -> Result<(), BackendError> {
        let mut cursor = Cursor::seek(&self.file, &bucket.tree, from, to)?;
        while let Some((leaf, i)) = cursor.current() {
            if !leaf.is_bucket(i) && !visit(leaf.key(i), &leaf.value(i)) {
                break;
            }
            cursor.advance()?;
        }
        Ok(())
    }

    /// The value of a key in a bucket.
    pub fn get(&self, bucket: &BucketInfo, key: &[u8]) -> Result<Option<Bytes>, BackendError> {
        let found = tree::get(&self.file, &bucket.tree, key)?;
        Ok(found.filter(|(_, is_bucket, _)| !is_bucket).map(|(value, ..)| value))
    }

    /// Visits every page that a tree reaches, a page before its children. A page that is reached twice is an error.
    pub fn walk(&self, visit: &mut dyn FnMut(Reach<'_>)) -> Result<(), BackendError> {
        let mut reached = Reached::new(self.meta.high_water);
        scan::walk(&self.file, self.meta.root, &mut reached, &mut |page| {
            let (kind, count) = match page.node {
                Node::Leaf(leaf) => (PageKind::Leaf, leaf.len()),
                Node::Branch(branch) => (PageKind::Branch, branch.len()),
            };
            let pages = if page.id == 0 { 0 } else { (page.node.bytes().len() / self.file.page_size) as u64 };
            visit(Reach { id: page.id, pages, kind, bucket: page.bucket, depth: page.depth, count });
        })
    }

    /// What each page below the high-water mark is used for, by its number.
    pub fn page_map(&self) -> Result<Vec<PageUse>, BackendError> {
        let mut map = vec![PageUse::Free; self.meta.high_water as usize];
        map[..2].fill(PageUse::Meta);
        let mut mark = |id: u64, pages: u64, page_use: PageUse| {
            let run = &mut map[id as usize..(id + pages) as usize];
            run.fill(PageUse::Overflow);
            run[0] = page_use;
        };
        if self.meta.freelist != NO_FREELIST {
            let page = self.file.read_page(self.meta.freelist)?;
            mark(self.meta.freelist, (page.len() / self.file.page_size) as u64, PageUse::Freelist);
        }
        self.walk(&mut |reach| {
            if reach.pages > 0 {
                let page_use = if reach.kind == PageKind::Leaf { PageUse::Leaf } else { PageUse::Branch };
                mark(reach.id, reach.pages, page_use);
            }
        })?;
        Ok(map)
    }
}

/// The freelist that a meta names: its numbers, which ascend and lie between the metas and the high-water mark.
pub(super) fn read_freelist(file: &File, meta: &Meta) -> Result<Option<Vec<u64>>, BackendError> {
    if meta.freelist == NO_FREELIST {
        return Ok(None);
    }
    let bytes = file.read_page(meta.freelist)?;
    let ids = decode_freelist(&bytes).and_then(|ids| {
        if !ids.is_sorted_by(|a, b| a < b) {
            return Err(fault("numbers of free pages that ascend", "some that do not"));
        }
        match ids.iter().find(|id| **id < 2 || **id >= meta.high_water) {
            Some(id) => Err(fault(format!("free pages from 2 to below {}", meta.high_water), id)),
            None => Ok(ids),
        }
    });
    ids.map(Some).map_err(|fault| file.error(meta.freelist, fault))
}
