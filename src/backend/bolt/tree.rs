//! Reading a B+tree: one key, or keys in order.
//!
//! A descent takes one page a level. Damage cannot make it run forever: no tree is deeper than [`DEPTH_MAX`], a child's
//! first key is never below the key that led to it, and a walk in order stops at the first key that does not ascend, so
//! neither a cycle nor a page with two parents is walked twice.
//!
//! A long walk reads ahead, like an operating system does: after [`PATIENCE`] leaves it fetches runs of neighbouring
//! pages with one read, and doubles the run up to [`AHEAD_MAX`] pages. Only children that the walk's bounds reach are
//! fetched, so that a short range touches its own pages and no others.

use super::file::File;
use super::format::fault;
use super::page::{Branch, BucketHead, Leaf, Node};
use crate::backend::BackendError;
use bytes::Bytes;
use std::mem;
use std::rc::Rc;

/// Levels of the deepest tree that is believed. Two children a page would make it 2^64 leaves.
pub(super) const DEPTH_MAX: usize = 64;
/// Leaves that a walk crosses before it reads ahead.
const PATIENCE: usize = 8;
/// Pages that are read at once at most.
const AHEAD_MAX: u64 = 256;
/// From one page of a run to the next, at most.
const GAP_MAX: u64 = 4;

/// Where a bucket's pairs begin.
#[derive(Clone, Debug)]
pub(super) enum Root {
    Page(u64),
    /// A leaf that lies in the bucket's value.
    Inline(Leaf),
}

/// A bucket as its value describes it.
#[derive(Clone, Debug)]
pub(super) struct BucketRef {
    pub(super) root: Root,
    pub(super) sequence: u64,
}

impl BucketRef {
    /// Reads a bucket's value, which lies in page `page` (for the error).
    pub(super) fn decode(file: &File, page: u64, value: Bytes) -> Result<BucketRef, BackendError> {
        let decoded = BucketHead::decode(&value).and_then(|head| {
            let root = match head.root {
                0 => Root::Inline(Leaf::parse(value.slice(16..))?),
                1 => return Err(fault("a bucket's root page of at least 2", 1)),
                root if root >= file.high_water => {
                    return Err(fault(format!("a bucket's root page below {}", file.high_water), root));
                }
                root => Root::Page(root),
            };
            Ok(BucketRef { root, sequence: head.sequence })
        });
        decoded.map_err(|fault| file.error(page, fault))
    }
}

impl Root {
    /// The page where the tree begins, and its number (0 for an inline bucket).
    pub(super) fn node(&self, file: &File) -> Result<(u64, Rc<Node>), BackendError> {
        match self {
            Root::Page(id) => Ok((*id, file.node(*id)?)),
            Root::Inline(leaf) => Ok((0, Rc::new(Node::Leaf(leaf.clone())))),
        }
    }
}

/// That a child has elements, none below the key that leads to it.
fn check_child(file: &File, id: u64, node: &Node, least: &[u8]) -> Result<(), BackendError> {
    match node.first_key() {
        Some(first) if first >= least => Ok(()),
        Some(_) => Err(file.error(id, fault("a first key not below its branch's key", "a lower one"))),
        None => Err(file.error(id, fault("a page with elements, since a branch points at it", "none"))),
    }
}

fn too_deep(file: &File, id: u64) -> BackendError {
    file.error(id, fault(format!("a leaf at most {DEPTH_MAX} levels below its root"), "a branch"))
}

/// The value of `key` and whether it is a bucket, with the page in which it stands.
pub(super) fn get(file: &File, root: &Root, key: &[u8]) -> Result<Option<(Bytes, bool, u64)>, BackendError> {
    let (mut id, mut node) = root.node(file)?;
    for _ in 0..DEPTH_MAX {
        let child = match &*node {
            Node::Leaf(leaf) => {
                return Ok(leaf.search(key).ok().map(|at| (leaf.value(at), leaf.is_bucket(at), id)));
            }
            Node::Branch(branch) => {
                let at = branch.search(key);
                id = branch.child(at);
                let child = file.node(id)?;
                check_child(file, id, &child, branch.key(at))?;
                child
            }
        };
        node = child;
    }
    Err(too_deep(file, id))
}

/// The greatest key.
pub(super) fn last_key(file: &File, root: &Root) -> Result<Option<Bytes>, BackendError> {
    let (mut id, mut node) = root.node(file)?;
    for _ in 0..DEPTH_MAX {
        match &*node {
            Node::Leaf(leaf) => return Ok(leaf.len().checked_sub(1).map(|last| leaf.key_bytes(last))),
            Node::Branch(branch) => id = branch.child(branch.len() - 1),
        }
        node = file.node(id)?;
    }
    Err(too_deep(file, id))
}

/// A walk over a tree's elements in order.
pub(super) struct Cursor<'a> {
    file: &'a File,
    /// Where the walk ends: the first key that no longer belongs to it.
    to: Option<&'a [u8]>,
    /// The branches above the leaf, and at which child of each the walk is.
    path: Vec<(Branch, usize)>,
    leaf: Leaf,
    /// The leaf's page; 0 inside an inline bucket.
    page: u64,
    at: usize,
    ahead: Ahead,
}

impl<'a> Cursor<'a> {
    /// Stands at the first key from `from` on.
    pub(super) fn seek(
        file: &'a File,
        root: &Root,
        from: &[u8],
        to: Option<&'a [u8]>,
    ) -> Result<Cursor<'a>, BackendError> {
        let (mut page, mut node) = root.node(file)?;
        let mut path = Vec::new();
        let leaf = loop {
            let child = match &*node {
                Node::Leaf(leaf) => break leaf.clone(),
                Node::Branch(_) if path.len() == DEPTH_MAX => return Err(too_deep(file, page)),
                Node::Branch(branch) => {
                    let at = branch.search(from);
                    page = branch.child(at);
                    let child = file.node(page)?;
                    check_child(file, page, &child, branch.key(at))?;
                    path.push((branch.clone(), at));
                    child
                }
            };
            node = child;
        };
        let at = leaf.search(from).unwrap_or_else(|at| at);
        let mut cursor = Cursor { file, to, path, leaf, page, at, ahead: Ahead::default() };
        cursor.settle()?;
        Ok(cursor)
    }

    /// Where the walk stands: the leaf and the element in it. `None` after the last.
    pub(super) fn current(&self) -> Option<(&Leaf, usize)> {
        if self.at >= self.leaf.len() {
            return None;
        }
        let inside = self.to.is_none_or(|to| self.leaf.key(self.at) < to);
        inside.then_some((&self.leaf, self.at))
    }

    /// The page of the leaf; 0 inside an inline bucket.
    pub(super) fn page(&self) -> u64 {
        self.page
    }

    /// Goes on to the next element.
    pub(super) fn advance(&mut self) -> Result<(), BackendError> {
        self.at += 1;
        self.settle()
    }

    /// At the end of a leaf, goes on to the next leaf that has an element.
    fn settle(&mut self) -> Result<(), BackendError> {
        while self.at >= self.leaf.len() {
            let Some(level) = self.path.iter().rposition(|(branch, at)| at + 1 < branch.len()) else { return Ok(()) };
            self.path.truncate(level + 1);
            self.path[level].1 += 1;
            let last = (!self.leaf.is_empty()).then(|| self.leaf.key_bytes(self.leaf.len() - 1));
            let (branch, next) = &self.path[level];
            // A search for such a key would go to the next child and not find it.
            if last.as_ref().is_some_and(|last| branch.key(*next) <= &last[..]) {
                let fault = fault("keys less than that of the next child in the page above", "one that is not");
                return Err(self.file.error(self.page, fault));
            }
            if !self.down()? {
                return Ok(());
            }
            if last.is_some_and(|last| self.leaf.key(0) <= &last[..]) {
                let fault = fault("a first key greater than the last key of the leaf before", "one that is not");
                return Err(self.file.error(self.page, fault));
            }
        }
        Ok(())
    }

    /// From the child at which the path ends down to its first leaf. `false` if it lies beyond the walk's end.
    fn down(&mut self) -> Result<bool, BackendError> {
        loop {
            let (branch, at) = self.path.last().expect("invariant: a walk goes down from a branch");
            if self.to.is_some_and(|to| branch.key(*at) >= to) {
                return Ok(false);
            }
            let id = branch.child(*at);
            let node = self.ahead.node(self.file, branch, *at, self.to)?;
            check_child(self.file, id, &node, branch.key(*at))?;
            match &*node {
                Node::Leaf(leaf) => {
                    (self.leaf, self.page, self.at) = (leaf.clone(), id, 0);
                    return Ok(true);
                }
                Node::Branch(_) if self.path.len() == DEPTH_MAX => return Err(too_deep(self.file, id)),
                Node::Branch(branch) => self.path.push((branch.clone(), 0)),
            }
        }
    }
}

/// Pages that were fetched before they were asked for.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    first: u64,
    pages: Bytes,
    /// The run before. Its memory serves the next one, unless somebody holds a part of it: fresh memory costs a page
    /// fault a page.
    before: Bytes,
    /// Pages that the walk asked for so far.
    asked: usize,
    /// Pages of the next run.
    run: u64,
}

impl Ahead {
    /// Child `at` of a branch: from memory, from the run at hand, or from a new run.
    pub(super) fn node(
        &mut self,
        file: &File,
        branch: &Branch,
        at: usize,
        to: Option<&[u8]>,
    ) -> Result<Rc<Node>, BackendError> {
        self.asked += 1;
        let id = branch.child(at);
        if let Some(node) = file.cached(id) {
            return Ok(node);
        }
        if self.asked <= PATIENCE || file.issued(id..id + 1).next().is_some() {
            return file.node(id);
        }
        if let Some(node) = self.fetched(file, id)? {
            return Ok(node);
        }
        self.run = (self.run * 2).clamp(4, AHEAD_MAX);
        let count = neighbours(file, branch, at, to, self.run).min(file.high_water - id);
        if count < 2 {
            return file.node(id);
        }
        let before = mem::replace(&mut self.before, mem::take(&mut self.pages));
        let room = before.try_into_mut().unwrap_or_default();
        (self.first, self.pages) = (id, file.read_pages_into(id, count, room)?);
        match self.fetched(file, id)? {
            Some(node) => Ok(node),
            None => file.node(id),
        }
    }

    /// The page, if all of it lies in the run.
    fn fetched(&self, file: &File, id: u64) -> Result<Option<Rc<Node>>, BackendError> {
        let Some(index) = id.checked_sub(self.first) else { return Ok(None) };
        let start = index as usize * file.page_size;
        let Some(first) = self.pages.get(start..).filter(|rest| !rest.is_empty()) else { return Ok(None) };
        let end = start + file.header(id, first)?.pages() as usize * file.page_size;
        if end > self.pages.len() {
            return Ok(None);
        }
        file.parse(id, self.pages.slice(start..end)).map(Some)
    }
}

/// How many pages from child `at` on are worth one read: up to the last child less than `run` pages on that the walk
/// reaches and that lies on the disk, while no gap (another tree's pages, or overflow) is wider than [`GAP_MAX`].
fn neighbours(file: &File, branch: &Branch, at: usize, to: Option<&[u8]>, run: u64) -> u64 {
    let first = branch.child(at);
    let mut last = first;
    for i in at + 1..branch.len() {
        let child = branch.child(i);
        let near = child > last && child - last <= GAP_MAX && child - first < run;
        let reached = to.is_none_or(|to| branch.key(i) < to);
        if !near || !reached || file.issued(child..child + 1).next().is_some() {
            break;
        }
        last = child;
    }
    last - first + 1
}
