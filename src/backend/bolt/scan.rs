//! A walk over every page that a file's trees reach: how free pages are found when no freelist is kept, and what an
//! inspection shows.
//!
//! Each page may be reached once: the second way to it is an error, which also ends every walk through damage after at
//! most all pages of the file.

use super::file::File;
use super::format::{Fault, fault};
use super::page::{Branch, Leaf, Node};
use super::tree::{Ahead, BucketRef, DEPTH_MAX, Root};
use crate::backend::BackendError;
use bytes::Bytes;

/// A page on the way.
#[derive(Debug)]
pub(super) struct Visit<'a> {
    /// 0 for the page inside an inline bucket.
    pub(super) id: u64,
    pub(super) node: &'a Node,
    /// Names from the outermost bucket inwards; empty for the tree of buckets itself.
    pub(super) bucket: &'a [Bytes],
    /// Levels below the bucket's root.
    pub(super) depth: usize,
}

/// Which pages were reached.
#[derive(Debug)]
pub(super) struct Reached {
    bits: Vec<u64>,
    high_water: u64,
}

impl Reached {
    /// Only the metas.
    pub(super) fn new(high_water: u64) -> Reached {
        let mut bits = vec![0; high_water.div_ceil(64) as usize];
        bits[0] = 0b11;
        Reached { bits, high_water }
    }

    /// Marks a page; `false` if it was marked already.
    fn mark(&mut self, id: u64) -> bool {
        let (word, bit) = (&mut self.bits[(id / 64) as usize], 1 << (id % 64));
        let fresh = *word & bit == 0;
        *word |= bit;
        fresh
    }

    /// Marks a run of pages, all of them below the high-water mark.
    pub(super) fn take(&mut self, first: u64, pages: u64) -> Result<(), Fault> {
        match (first..first + pages).find(|id| !self.mark(*id)) {
            None => Ok(()),
            Some(id) => Err(fault(format!("one way to page {id}"), "a second one")),
        }
    }

    /// The pages that were not reached, ascending.
    pub(super) fn rest(&self) -> impl Iterator<Item = u64> + '_ {
        let words = self.bits.iter().zip(0..);
        let ids = words.filter(|(word, _)| **word != u64::MAX).flat_map(|(word, n)| {
            let word = *word;
            (0..64).filter(move |bit| word & (1 << bit) == 0).map(move |bit| n * 64 + bit)
        });
        ids.take_while(|id| *id < self.high_water)
    }
}

/// Visits every page from the tree of buckets (`root`) on: a page before its children, a bucket before those in it.
pub(super) fn walk(
    file: &File,
    root: u64,
    reached: &mut Reached,
    visit: &mut dyn FnMut(&Visit<'_>),
) -> Result<(), BackendError> {
    let mut buckets: Vec<(Vec<Bytes>, Root)> = vec![(Vec::new(), Root::Page(root))];
    while let Some((path, root)) = buckets.pop() {
        let inline = matches!(root, Root::Inline(_));
        walk_bucket(file, &root, &path, reached, &mut |page| {
            visit(page);
            let Node::Leaf(leaf) = page.node else { return Ok(()) };
            for i in (0..leaf.len()).rev().filter(|i| leaf.is_bucket(*i)) {
                if inline {
                    return Err(file.error(page.id, fault("no bucket within an inline bucket", "one")));
                }
                let below = path.iter().cloned().chain([leaf.key_bytes(i)]).collect();
                buckets.push((below, BucketRef::decode(file, page.id, leaf.value(i))?.root));
            }
            Ok(())
        })?;
    }
    Ok(())
}

fn walk_bucket(
    file: &File,
    root: &Root,
    path: &[Bytes],
    reached: &mut Reached,
    visit: &mut dyn FnMut(&Visit<'_>) -> Result<(), BackendError>,
) -> Result<(), BackendError> {
    let mut take = |id: u64, node: &Node| {
        let pages = (node.bytes().len() / file.page_size) as u64;
        reached.take(id, pages).map_err(|fault| file.error(id, fault))
    };
    let (id, node) = root.node(file)?;
    if id != 0 {
        take(id, &node)?;
    }
    visit(&Visit { id, node: &node, bucket: path, depth: 0 })?;
    let mut above: Vec<(Branch, usize)> = branch(&node).into_iter().collect();
    let mut ahead = Ahead::default();
    while let Some((parent, at)) = above.last_mut() {
        let i = *at;
        *at += 1;
        if i == parent.len() {
            above.pop();
            continue;
        }
        let (parent, id) = (parent.clone(), parent.child(i));
        let node = ahead.node(file, &parent, i, None)?;
        take(id, &node)?;
        visit(&Visit { id, node: &node, bucket: path, depth: above.len() })?;
        above.extend(branch(&node));
        if above.len() > DEPTH_MAX {
            return Err(file.error(id, fault(format!("a leaf at most {DEPTH_MAX} levels below its root"), "a branch")));
        }
    }
    Ok(())
}

fn branch(node: &Node) -> Option<(Branch, usize)> {
    match node {
        Node::Branch(branch) => Some((branch.clone(), 0)),
        Node::Leaf(_) => None,
    }
}

/// The elements of a leaf that are pairs.
pub(super) fn pairs(leaf: &Leaf) -> impl Iterator<Item = (&[u8], &[u8])> {
    (0..leaf.len()).filter(|i| !leaf.is_bucket(*i)).map(|i| (leaf.key(i), leaf.value_slice(i)))
}
