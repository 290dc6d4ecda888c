//! An interval tree over byte keys: which spans hold a key, which touch a span.
//!
//! A span is half-open, `[from, to)`, and may have no end. The tree holds pairs of a span and a value, ordered by both,
//! each once. Many values may hang on one span, and spans may overlap in any way.
//!
//! ```text
//!                      [d,f) reach m                 nodes stand in order of `from`, as in any search tree;
//!                     ┌──────┴──────┐                `reach` is the greatest end in the node's own subtree
//!               [a,m) reach m    [g,i) reach k
//!              ┌──────┘          ┌──┴─────┐
//!        [a,b) reach b     [f,k) reach k  [h,i) reach i       stab(j): go nowhere whose reach is not beyond j,
//!                                                             nor to the right of a span that begins beyond it
//! ```
//!
//! So a search costs the depth of the tree and a little for each span found, however many others there are: with ten
//! thousand watched prefixes a put asks about one path and the prefixes that match. The tree is an AVL tree: its depth
//! is bounded whatever order spans come in, and its order depends on nothing but what is in it.
//!
//! Left out: merging spans, and iterating all of them (`overlapping` with the span of everything does that).

use bytes::Bytes;
use std::cmp::Ordering;

/// `from <= key < to`; without `to`, everything from `from` on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Span {
    /// The first key.
    pub from: Bytes,
    /// The key after the last.
    pub to: Option<Bytes>,
}

impl Span {
    /// Whether no key is in it.
    pub fn is_empty(&self) -> bool {
        !ends_beyond(self.to.as_ref(), &self.from)
    }

    /// Whether `key` is in it.
    pub fn contains(&self, key: &[u8]) -> bool {
        self.from[..] <= *key && ends_beyond(self.to.as_ref(), key)
    }
}

/// Spans with values, see the module.
#[derive(Debug)]
pub struct IntervalTree<V> {
    root: Link<V>,
    len: usize,
}

type Link<V> = Option<Box<Node<V>>>;

#[derive(Debug)]
struct Node<V> {
    span: Span,
    value: V,
    /// The greatest `to` in this subtree.
    reach: Option<Bytes>,
    /// Nodes on the longest way down, this one included.
    height: u8,
    left: Link<V>,
    right: Link<V>,
}

impl<V> Default for IntervalTree<V> {
    fn default() -> IntervalTree<V> {
        IntervalTree { root: None, len: 0 }
    }
}

impl<V: Ord> IntervalTree<V> {
    /// Pairs in it.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds a pair. `false` if it was there already. An empty span can be added, and is found by nobody.
    pub fn insert(&mut self, span: Span, value: V) -> bool {
        let added = insert(&mut self.root, span, value);
        self.len += usize::from(added);
        added
    }

    /// Takes a pair out. `false` if it was not there.
    pub fn remove(&mut self, span: &Span, value: &V) -> bool {
        let removed = remove(&mut self.root, span, value);
        self.len -= usize::from(removed);
        removed
    }

    /// The pairs whose span holds `key`, in order.
    pub fn stab<'a>(&'a self, key: &'a [u8]) -> Found<'a, V> {
        Found::new(&self.root, key, Until::Key(key))
    }

    /// The pairs whose span has a key in common with `span`, in order.
    pub fn overlapping<'a>(&'a self, span: &'a Span) -> Found<'a, V> {
        let root = if span.is_empty() { &None } else { &self.root };
        Found::new(root, &span.from, Until::End(span.to.as_ref()))
    }
}

/// Pairs of a tree, as a search meets them.
#[derive(Debug)]
pub struct Found<'a, V> {
    /// What the spans must reach beyond.
    from: &'a [u8],
    until: Until<'a>,
    /// Nodes whose left side is done, the next on top.
    open: Vec<&'a Node<V>>,
}

/// How far right a span may begin.
#[derive(Clone, Copy, Debug)]
enum Until<'a> {
    /// Up to this key.
    Key(&'a [u8]),
    /// Before this one; `None`: anywhere.
    End(Option<&'a Bytes>),
}

impl<'a, V> Found<'a, V> {
    fn new(root: &'a Link<V>, from: &'a [u8], until: Until<'a>) -> Found<'a, V> {
        let mut found = Found { from, until, open: Vec::new() };
        found.descend(root);
        found
    }

    /// Goes down the left side, as far as there is something to be found.
    fn descend(&mut self, mut link: &'a Link<V>) {
        while let Some(node) = link.as_ref().filter(|node| ends_beyond(node.reach.as_ref(), self.from)) {
            self.open.push(node);
            link = &node.left;
        }
    }

    /// Takes up the next node: the node, and whether its pair is one that is sought. `None` when all are done.
    fn step(&mut self) -> Option<(&'a Node<V>, bool)> {
        let node = self.open.pop()?;
        let begins_in_time = match self.until {
            Until::Key(key) => node.span.from <= key,
            Until::End(to) => ends_beyond(to, &node.span.from),
        };
        if begins_in_time {
            self.descend(&node.right);
        } else {
            // All that is still open lies further right.
            self.open.clear();
        }
        Some((node, begins_in_time && !node.span.is_empty() && ends_beyond(node.span.to.as_ref(), self.from)))
    }
}

impl<'a, V> Iterator for Found<'a, V> {
    type Item = (&'a Span, &'a V);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (node, sought) = self.step()?;
            if sought {
                return Some((&node.span, &node.value));
            }
        }
    }
}

fn ends_beyond(to: Option<&Bytes>, key: &[u8]) -> bool {
    to.is_none_or(|to| *key < to[..])
}

/// The order of ends: no end comes last.
fn compare_ends(a: Option<&Bytes>, b: Option<&Bytes>) -> Ordering {
    a.is_none().cmp(&b.is_none()).then_with(|| a.cmp(&b))
}

fn insert<V: Ord>(link: &mut Link<V>, span: Span, value: V) -> bool {
    let Some(node) = link else {
        *link = Some(Box::new(Node { reach: span.to.clone(), span, value, height: 1, left: None, right: None }));
        return true;
    };
    let added = match node.compare(&span, &value) {
        Ordering::Less => insert(&mut node.left, span, value),
        Ordering::Greater => insert(&mut node.right, span, value),
        Ordering::Equal => false,
    };
    if added {
        balance(node);
    }
    added
}

fn remove<V: Ord>(link: &mut Link<V>, span: &Span, value: &V) -> bool {
    let Some(node) = link else { return false };
    let removed = match node.compare(span, value) {
        Ordering::Less => remove(&mut node.left, span, value),
        Ordering::Greater => remove(&mut node.right, span, value),
        Ordering::Equal => {
            *link = match (node.left.take(), node.right.take()) {
                (left, None) => left,
                (left, mut right) => take_first(&mut right).map(|mut heir| {
                    (heir.left, heir.right) = (left, right);
                    heir
                }),
            };
            true
        }
    };
    if let Some(node) = link.as_mut().filter(|_| removed) {
        balance(node);
    }
    removed
}

/// Takes the leftmost node out.
fn take_first<V>(link: &mut Link<V>) -> Link<V> {
    let node = link.as_mut()?;
    if node.left.is_some() {
        let first = take_first(&mut node.left);
        balance(node);
        return first;
    }
    let right = node.right.take();
    std::mem::replace(link, right)
}

/// Puts a node right whose children are, and whose sides differ in height by two at most.
fn balance<V>(node: &mut Box<Node<V>>) {
    match i16::from(height(&node.left)) - i16::from(height(&node.right)) {
        2 => {
            let left = node.left.as_mut().expect("invariant: the higher side is there");
            if height(&left.left) < height(&left.right) {
                rotate_left(left);
            }
            rotate_right(node);
        }
        -2 => {
            let right = node.right.as_mut().expect("invariant: the higher side is there");
            if height(&right.right) < height(&right.left) {
                rotate_right(right);
            }
            rotate_left(node);
        }
        difference => {
            debug_assert!(difference.abs() < 2, "invariant: one change moves a side by one");
            node.update();
        }
    }
}

/// The right child takes the node's place.
fn rotate_left<V>(node: &mut Box<Node<V>>) {
    let mut up = node.right.take().expect("invariant: the side that moves up is there");
    node.right = up.left.take();
    std::mem::swap(node, &mut up);
    up.update();
    node.left = Some(up);
    node.update();
}

/// The left child takes the node's place.
fn rotate_right<V>(node: &mut Box<Node<V>>) {
    let mut up = node.left.take().expect("invariant: the side that moves up is there");
    node.left = up.right.take();
    std::mem::swap(node, &mut up);
    up.update();
    node.right = Some(up);
    node.update();
}

fn height<V>(link: &Link<V>) -> u8 {
    link.as_ref().map_or(0, |node| node.height)
}

impl<V> Node<V> {
    /// Where a pair belongs, seen from this node.
    fn compare(&self, span: &Span, value: &V) -> Ordering
    where
        V: Ord,
    {
        let by_from = span.from.cmp(&self.span.from);
        by_from.then_with(|| compare_ends(span.to.as_ref(), self.span.to.as_ref())).then_with(|| value.cmp(&self.value))
    }

    /// Takes height and reach from the children.
    fn update(&mut self) {
        self.height = 1 + height(&self.left).max(height(&self.right));
        let mut reach = &self.span.to;
        for child in [&self.left, &self.right].into_iter().flatten() {
            if compare_ends(child.reach.as_ref(), reach.as_ref()).is_gt() {
                reach = &child.reach;
            }
        }
        self.reach = reach.clone();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    /// Spans over one-letter keys, as numbers: a model that sorts by itself. An end of 255 stands for none.
    type Pair = (u8, u8, u8);

    fn bytes(letter: u8) -> Bytes {
        Bytes::copy_from_slice(&[letter])
    }

    fn span((from, to, _): Pair) -> Span {
        Span { from: bytes(from), to: (to != 255).then(|| bytes(to)) }
    }

    fn pairs<'a>(found: Found<'a, u8>) -> Vec<Pair> {
        found.map(|(span, value)| (span.from[0], span.to.as_ref().map_or(255, |to| to[0]), *value)).collect()
    }

    /// Checks order, height and reach of every node. Returns the subtree's pairs.
    fn check(link: &Link<u8>) -> Vec<Pair> {
        let Some(node) = link else { return Vec::new() };
        let mut all = check(&node.left);
        all.push((node.span.from[0], node.span.to.as_ref().map_or(255, |to| to[0]), node.value));
        all.extend(check(&node.right));
        let reach = all.iter().map(|&(_, to, _)| to).max();
        assert_eq!(node.reach.as_ref().map_or(255, |to| to[0]), reach.unwrap());
        assert!(height(&node.left).abs_diff(height(&node.right)) < 2, "a tree in balance");
        assert_eq!(node.height, 1 + height(&node.left).max(height(&node.right)));
        all
    }

    fn pair() -> impl Strategy<Value = Pair> {
        (0..12u8, prop_oneof![4 => 0..13u8, 1 => Just(255)], 0..3u8)
    }

    proptest! {
        #[test]
        fn it_finds_what_a_list_of_all_pairs_finds(
            changes in prop::collection::vec((any::<bool>(), pair()), 1..120),
            query in pair(),
        ) {
            let (mut tree, mut model) = (IntervalTree::default(), BTreeSet::new());
            for (adds, pair) in changes {
                if adds {
                    prop_assert_eq!(tree.insert(span(pair), pair.2), model.insert(pair));
                } else {
                    prop_assert_eq!(tree.remove(&span(pair), &pair.2), model.remove(&pair));
                }
                prop_assert_eq!(check(&tree.root), model.iter().copied().collect::<Vec<_>>());
                prop_assert_eq!(tree.len(), model.len());
            }
            let within = |&&(from, to, _): &&Pair| (from..to).contains(&query.0);
            let wanted: Vec<Pair> = model.iter().filter(within).copied().collect();
            prop_assert_eq!(pairs(tree.stab(&[query.0])), wanted);
            let common = |&&(from, to, _): &&Pair| from.max(query.0) < to.min(query.1);
            let wanted: Vec<Pair> = model.iter().filter(common).copied().collect();
            prop_assert_eq!(pairs(tree.overlapping(&span(query))), wanted);
        }
    }

    #[test]
    fn an_end_is_no_part_of_its_span() {
        let mut tree = IntervalTree::default();
        tree.insert(Span { from: Bytes::from_static(b"a"), to: Some(Bytes::from_static(b"ab")) }, 1);
        let stabbed = |key: &[u8]| tree.stab(key).count();
        assert_eq!([&b"a"[..], b"aa", b"ab", b"A", b""].map(stabbed), [1, 1, 0, 0, 0]);
    }

    #[test]
    fn a_search_looks_at_few_of_ten_thousand_spans() {
        let mut tree = IntervalTree::default();
        for n in 0..10_000u32 {
            let (from, to) = (format!("/{n:05}/").into(), format!("/{n:05}0").into());
            assert!(tree.insert(Span { from, to: Some(to) }, n));
        }
        assert!(tree.root.as_ref().unwrap().height <= 19, "1.44 log2 of the spans at most");
        let mut found = tree.stab(b"/01234/pod");
        let looked_at: Vec<_> = std::iter::from_fn(|| found.step()).collect();
        let sought: Vec<u32> = looked_at.iter().filter(|(_, sought)| *sought).map(|(node, _)| node.value).collect();
        assert_eq!(sought, [1234]);
        assert!(looked_at.len() < 40, "{} nodes", looked_at.len());
    }
}
