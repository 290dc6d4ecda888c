//! An ordered map from keys to values: the B-tree under the index (etcd's has degree 32, lesson 07).
//!
//! ```text
//!   branch   keys │ namespace-2/pod-07 │ namespace-4/pod-31 │      child i holds what is below keys[i]
//!                 ▼                    ▼                    ▼
//!   leaf     skip = 16: what all its keys begin with, "namespace-2/pod-"
//!            heads │ "07" │ "08" │ "12" │     the next eight bytes of each key, as a number
//!            keys  │ whole keys …       │
//!            values│ …                  │
//! ```
//!
//! Keys of a store begin alike: a Kubernetes cluster's all with `/registry/`, a namespace's with thirty bytes more. The
//! map of the standard library compares a key with some thirty others on its way down, each behind a pointer, from its
//! first byte on. Here a node knows how many bytes its keys share, and keeps the next eight of each in one array. A
//! search compares the shared bytes once, then numbers; only where eight bytes are equal does it look at keys. That
//! halves what it costs to build the index of a store (`cargo bench --bench open`), and a third of what a lookup does.
//!
//! A full node is split on the way down, so that nothing has to be split on the way back. Two neighbours that have
//! become small are put together; no more is done about sparse nodes, and an empty one goes.
//!
//! Invariants: keys ascend, in a node and from leaf to leaf; a branch has a child more than keys, and key i is greater
//! than all keys of child i and not greater than any of child i + 1; only a root can be an empty leaf.

use std::cmp::Ordering;
use std::mem;

/// Keys of a full node.
const FULL: usize = 32;
/// Shared bytes that a node knows at most.
const SHARED_MAX: usize = 64;

/// See the module.
#[derive(Debug)]
pub(super) struct KeyTree<V> {
    root: Node<V>,
}

#[derive(Debug)]
enum Node<V> {
    Leaf(Box<Leaf<V>>),
    Branch(Box<Branch<V>>),
}

#[derive(Debug)]
struct Leaf<V> {
    keys: Keys,
    values: Vec<V>,
}

#[derive(Debug)]
struct Branch<V> {
    keys: Keys,
    children: Vec<Node<V>>,
}

impl<V> Default for KeyTree<V> {
    fn default() -> KeyTree<V> {
        KeyTree { root: Node::leaf() }
    }
}

impl<V> KeyTree<V> {
    pub(super) fn get(&self, key: &[u8]) -> Option<&V> {
        let mut node = &self.root;
        loop {
            match node {
                Node::Branch(branch) => node = &branch.children[branch.keys.child_of(key)],
                Node::Leaf(leaf) => return leaf.keys.search(key).ok().map(|at| &leaf.values[at]),
            }
        }
    }

    pub(super) fn get_mut(&mut self, key: &[u8]) -> Option<&mut V> {
        let mut node = &mut self.root;
        loop {
            match node {
                Node::Branch(branch) => node = &mut branch.children[branch.keys.child_of(key)],
                Node::Leaf(leaf) => return leaf.keys.search(key).ok().map(|at| &mut leaf.values[at]),
            }
        }
    }

    /// The value of `key`; a new one if it is not there.
    pub(super) fn entry(&mut self, key: &[u8]) -> &mut V
    where
        V: Default,
    {
        if self.root.is_full() {
            let below = mem::replace(&mut self.root, Node::leaf());
            let mut branch = Branch { keys: Keys::default(), children: vec![below] };
            branch.split_child(0, key);
            self.root = Node::Branch(Box::new(branch));
        }
        let mut node = &mut self.root;
        loop {
            match node {
                Node::Branch(branch) => {
                    let mut at = branch.keys.child_of(key);
                    if branch.children[at].is_full() {
                        branch.split_child(at, key);
                        at = branch.keys.child_of(key);
                    }
                    node = &mut branch.children[at];
                }
                Node::Leaf(leaf) => {
                    let at = leaf.keys.search(key).unwrap_or_else(|at| {
                        leaf.keys.insert(at, key.into());
                        leaf.values.insert(at, V::default());
                        at
                    });
                    return &mut leaf.values[at];
                }
            }
        }
    }

    pub(super) fn remove(&mut self, key: &[u8]) -> Option<V> {
        let removed = self.root.remove(key)?;
        // A branch with one child is a level too many.
        while let Node::Branch(branch) = &mut self.root
            && branch.children.len() == 1
        {
            self.root = branch.children.pop().expect("invariant: it was just counted");
        }
        Some(removed)
    }

    /// The pairs with `from <= key < to` (`None`: to the end), ascending.
    pub(super) fn range<'a>(&'a self, from: &[u8], to: Option<&'a [u8]>) -> Range<'a, V> {
        let mut range = Range { above: Vec::new(), leaf: None, at: 0, to };
        let mut node = &self.root;
        loop {
            match node {
                Node::Branch(branch) => {
                    let at = branch.keys.child_of(from);
                    range.above.push((branch, at));
                    node = &branch.children[at];
                }
                Node::Leaf(leaf) => {
                    range.at = leaf.keys.search(from).unwrap_or_else(|at| at);
                    range.leaf = Some(leaf);
                    return range;
                }
            }
        }
    }

    /// Takes over the pairs of `other`, in place of those that this one has by the same keys.
    pub(super) fn append(&mut self, other: KeyTree<V>)
    where
        V: Default,
    {
        other.root.for_each(&mut |key, value| *self.entry(&key) = value);
    }
}

impl<V> Node<V> {
    fn leaf() -> Node<V> {
        Node::Leaf(Box::new(Leaf { keys: Keys::default(), values: Vec::new() }))
    }

    fn keys(&self) -> &Keys {
        match self {
            Node::Leaf(leaf) => &leaf.keys,
            Node::Branch(branch) => &branch.keys,
        }
    }

    fn is_full(&self) -> bool {
        self.keys().len() >= FULL
    }

    /// Cuts the node in two, for the sake of a key that is to come: the part that stays, the least key of the other part,
    /// and that part.
    fn split(&mut self, key: &[u8]) -> (Box<[u8]>, Node<V>) {
        // What comes in order fills one node after the other: a node that grows at its end is left nearly full.
        let ascends = self.keys().whole.last().is_some_and(|last| **last < *key);
        let at = if ascends { FULL - FULL / 8 } else { FULL / 2 };
        match self {
            Node::Leaf(leaf) => {
                let keys = leaf.keys.split_off(at);
                let least = keys.whole[0].clone();
                (least, Node::Leaf(Box::new(Leaf { keys, values: split_off(&mut leaf.values, at) })))
            }
            Node::Branch(branch) => {
                let children = split_off(&mut branch.children, at + 1);
                let keys = branch.keys.split_off(at + 1);
                let least = branch.keys.pop();
                (least, Node::Branch(Box::new(Branch { keys, children })))
            }
        }
    }

    fn remove(&mut self, key: &[u8]) -> Option<V> {
        match self {
            Node::Leaf(leaf) => {
                let at = leaf.keys.search(key).ok()?;
                leaf.keys.remove(at);
                Some(leaf.values.remove(at))
            }
            Node::Branch(branch) => {
                let at = branch.keys.child_of(key);
                let removed = branch.children[at].remove(key)?;
                branch.tidy(at);
                Some(removed)
            }
        }
    }

    fn for_each(self, visit: &mut impl FnMut(Box<[u8]>, V)) {
        match self {
            Node::Leaf(leaf) => leaf.keys.whole.into_iter().zip(leaf.values).for_each(|(key, value)| visit(key, value)),
            Node::Branch(branch) => branch.children.into_iter().for_each(|child| child.for_each(visit)),
        }
    }
}

impl<V> Branch<V> {
    fn split_child(&mut self, at: usize, key: &[u8]) {
        let (least, right) = self.children[at].split(key);
        self.keys.insert(at, least);
        self.children.insert(at + 1, right);
    }

    /// After something was removed below child `at`: a small child joins a neighbour, if both fit well into one node. An
    /// empty leaf joins any.
    fn tidy(&mut self, at: usize) {
        let size = |i: usize| self.children.get(i).map(|child| child.keys().len());
        if self.children[at].keys().len() > FULL / 4 {
            return;
        }
        let is_empty = matches!(&self.children[at], Node::Leaf(leaf) if leaf.values.is_empty());
        let left = [at, at.wrapping_sub(1)].into_iter().find(|left| {
            let (Some(left), Some(right)) = (size(*left), size(left.wrapping_add(1))) else { return false };
            left + right <= FULL / 2 || is_empty
        });
        if let Some(left) = left {
            let right = self.children.remove(left + 1);
            let least = self.keys.remove(left);
            self.children[left].join(least, right);
        }
    }
}

impl<V> Node<V> {
    /// Takes over the right neighbour, whose keys are `least` or greater.
    fn join(&mut self, least: Box<[u8]>, right: Node<V>) {
        match (self, right) {
            (Node::Leaf(left), Node::Leaf(right)) => {
                left.keys.append(right.keys);
                left.values.extend(right.values);
            }
            (Node::Branch(left), Node::Branch(right)) => {
                left.keys.insert(left.keys.len(), least);
                left.keys.append(right.keys);
                left.children.extend(right.children);
            }
            _ => panic!("invariant: all leaves are on one level"),
        }
    }
}

/// The later part of a vector, with room for a full node.
fn split_off<T>(items: &mut Vec<T>, at: usize) -> Vec<T> {
    let mut rest = Vec::with_capacity(FULL + 1);
    rest.extend(items.drain(at..));
    rest
}

/// The keys of a node, ascending. What a search looks at on its way down lies together in the node itself.
#[derive(Debug)]
struct Keys {
    /// All of them begin with the same so many bytes, [`SHARED_MAX`] at most.
    skip: usize,
    /// These bytes.
    begin: [u8; SHARED_MAX],
    /// The eight bytes behind those of each key; zeros where it is shorter.
    heads: [u64; FULL],
    whole: Vec<Box<[u8]>>,
}

impl Default for Keys {
    fn default() -> Keys {
        Keys { skip: 0, begin: [0; SHARED_MAX], heads: [0; FULL], whole: Vec::new() }
    }
}

/// The eight bytes of `key` from `skip` on as a number that compares as they do.
fn head(key: &[u8], skip: usize) -> u64 {
    let rest = &key[skip..];
    match rest.first_chunk() {
        Some(first) => u64::from_be_bytes(*first),
        None => {
            let mut padded = [0; 8];
            padded[..rest.len()].copy_from_slice(rest);
            u64::from_be_bytes(padded)
        }
    }
}

fn shared(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take(SHARED_MAX).take_while(|(a, b)| a == b).count()
}

impl Keys {
    fn len(&self) -> usize {
        self.whole.len()
    }

    /// Where a key is, or where it would be.
    fn search(&self, key: &[u8]) -> Result<usize, usize> {
        let begin = &self.begin[..self.skip];
        match key[..key.len().min(self.skip)].cmp(begin) {
            Ordering::Less => return Err(0),
            Ordering::Equal => {}
            Ordering::Greater => return Err(self.len()),
        }
        let wanted = head(key, self.skip);
        let heads = &self.heads[..self.len()];
        let at = heads.partition_point(|head| *head < wanted);
        let equal = heads[at..].partition_point(|head| *head == wanted);
        if equal == 0 {
            return Err(at);
        }
        // The rest decides; mostly there is one such key.
        let found = self.whole[at..at + equal].binary_search_by(|whole| whole[self.skip..].cmp(&key[self.skip..]));
        found.map(|i| at + i).map_err(|i| at + i)
    }

    /// Of a branch: the child that a key is below, or would be.
    fn child_of(&self, key: &[u8]) -> usize {
        self.search(key).map_or_else(|at| at, |at| at + 1)
    }

    fn insert(&mut self, at: usize, key: Box<[u8]>) {
        let skip = shared(&self.begin[..self.skip], &key);
        if skip < self.skip || self.whole.is_empty() {
            self.whole.insert(at, key);
            self.measure();
        } else {
            self.heads.copy_within(at..self.whole.len(), at + 1);
            self.heads[at] = head(&key, skip);
            self.whole.insert(at, key);
        }
    }

    fn remove(&mut self, at: usize) -> Box<[u8]> {
        self.heads.copy_within(at + 1..self.whole.len(), at);
        self.whole.remove(at)
    }

    fn pop(&mut self) -> Box<[u8]> {
        self.remove(self.len() - 1)
    }

    fn split_off(&mut self, at: usize) -> Keys {
        let mut right = Keys { whole: split_off(&mut self.whole, at), ..Keys::default() };
        // Halves of a node have more in common than the whole.
        self.measure();
        right.measure();
        right
    }

    fn append(&mut self, right: Keys) {
        self.whole.extend(right.whole);
        self.measure();
    }

    /// Finds out what all keys share.
    fn measure(&mut self) {
        let (Some(first), Some(last)) = (self.whole.first(), self.whole.last()) else { return };
        // What the first and the last of them share, all do.
        let skip = shared(first, last);
        self.skip = skip;
        self.begin[..skip].copy_from_slice(&first[..skip]);
        self.heads.iter_mut().zip(&self.whole).for_each(|(kept, key)| *kept = head(key, skip));
    }
}

/// A walk over pairs in order.
pub(super) struct Range<'a, V> {
    /// The branches above the leaf, and at which child of each the walk is.
    above: Vec<(&'a Branch<V>, usize)>,
    leaf: Option<&'a Leaf<V>>,
    at: usize,
    to: Option<&'a [u8]>,
}

impl<'a, V> Range<'a, V> {
    /// The first leaf behind the one that was walked.
    fn next_leaf(&mut self) -> Option<&'a Leaf<V>> {
        while let Some((branch, at)) = self.above.last_mut() {
            *at += 1;
            let Some(mut node) = branch.children.get(*at) else {
                self.above.pop();
                continue;
            };
            loop {
                match node {
                    Node::Leaf(leaf) => return Some(leaf),
                    Node::Branch(branch) => {
                        self.above.push((branch, 0));
                        node = &branch.children[0];
                    }
                }
            }
        }
        None
    }
}

impl<'a, V> Iterator for Range<'a, V> {
    type Item = (&'a [u8], &'a V);

    fn next(&mut self) -> Option<(&'a [u8], &'a V)> {
        while self.leaf?.keys.len() == self.at {
            (self.leaf, self.at) = (self.next_leaf(), 0);
        }
        let leaf = self.leaf?;
        let key = &leaf.keys.whole[self.at];
        if self.to.is_some_and(|to| **key >= *to) {
            self.leaf = None;
            return None;
        }
        self.at += 1;
        Some((key, &leaf.values[self.at - 1]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    impl<V> Node<V> {
        /// Asserts the invariants; says how deep the leaves lie.
        fn check(&self, least: Option<&[u8]>, beyond: Option<&[u8]>, is_root: bool) -> usize {
            let keys = self.keys();
            assert!(keys.whole.is_sorted_by(|a, b| a < b));
            assert!(keys.len() <= FULL);
            for (key, kept) in keys.whole.iter().zip(&keys.heads) {
                assert!(key.starts_with(&keys.whole[0][..keys.skip]) && *kept == head(key, keys.skip));
                assert!(least.is_none_or(|least| least <= &**key) && beyond.is_none_or(|beyond| &**key < beyond));
            }
            match self {
                Node::Leaf(leaf) => {
                    assert!(leaf.values.len() == keys.len() && (is_root || keys.len() > 0));
                    0
                }
                Node::Branch(branch) => {
                    assert_eq!(branch.children.len(), keys.len() + 1);
                    let depth = |(i, child): (usize, &Node<V>)| {
                        let least = i.checked_sub(1).map_or(least, |i| Some(&keys.whole[i]));
                        child.check(least, keys.whole.get(i).map(|key| &**key).or(beyond), false)
                    };
                    let depths: Vec<usize> = branch.children.iter().enumerate().map(depth).collect();
                    assert!(depths.windows(2).all(|pair| pair[0] == pair[1]), "all leaves on one level: {depths:?}");
                    depths[0] + 1
                }
            }
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Put(Vec<u8>, u32),
        Remove(Vec<u8>),
        /// Many neighbours at once, so that nodes split and join.
        PutRun(u8, u16),
        RemoveRun(u8, u16),
    }

    fn key() -> impl Strategy<Value = Vec<u8>> {
        // Few letters, zero bytes, long shared beginnings, the empty key.
        let letters = prop::collection::vec(prop_oneof![Just(0), Just(b'a'), Just(b'b'), Just(255)], 0..12);
        (any::<bool>(), letters).prop_map(
            |(long, letters)| {
                if long { [&b"registry/pods/"[..], &letters].concat() } else { letters }
            },
        )
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => (key(), any::<u32>()).prop_map(|(key, value)| Step::Put(key, value)),
            2 => key().prop_map(Step::Remove),
            1 => (0..4u8, 0..400u16).prop_map(|(place, n)| Step::PutRun(place, n)),
            1 => (0..4u8, 0..400u16).prop_map(|(place, n)| Step::RemoveRun(place, n)),
        ]
    }

    fn run(place: u8, n: u16) -> impl Iterator<Item = Vec<u8>> {
        (0..n).map(move |n| format!("registry/pods/namespace-{place}/pod-{n:05}").into_bytes())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        fn it_is_what_the_standard_librarys_map_is(
            steps in prop::collection::vec(step(), 1..40), from in key(), to in prop::option::of(key()),
        ) {
            let (mut tree, mut map) = (KeyTree::default(), BTreeMap::new());
            for step in steps {
                let (mut puts, mut removals) = (Vec::new(), Vec::new());
                match step {
                    Step::Put(key, value) => puts.push((key, value)),
                    Step::Remove(key) => removals.push(key),
                    Step::PutRun(place, n) => puts.extend(run(place, n).zip(1..)),
                    Step::RemoveRun(place, n) => removals.extend(run(place, n)),
                }
                for (key, value) in puts {
                    *tree.entry(&key) = value;
                    map.insert(key, value);
                }
                for key in removals {
                    prop_assert_eq!(tree.remove(&key), map.remove(&key));
                }
                tree.root.check(None, None, true);
                prop_assert_eq!(tree.range(b"", None).count(), map.len());
            }
            prop_assert_eq!(tree.get(&from), map.get(&from));
            prop_assert_eq!(tree.get_mut(&from), map.get_mut(&from));
            let inside = map.iter().filter(|(key, _)| **key >= from && to.as_ref().is_none_or(|to| *key < to));
            let wanted: Vec<(&[u8], &u32)> = inside.map(|(key, value)| (&**key, value)).collect();
            prop_assert_eq!(tree.range(&from, to.as_deref()).collect::<Vec<_>>(), wanted);
        }
    }

    #[test]
    fn what_comes_in_order_fills_its_nodes() {
        let mut tree = KeyTree::default();
        run(0, 30_000).for_each(|key| *tree.entry(&key) = ());
        let mut leaves = 0;
        let mut range = tree.range(b"", None);
        while let Some(leaf) = range.leaf {
            leaves += usize::from(leaf.keys.len() > 0);
            range.leaf = range.next_leaf();
        }
        assert!(leaves * (FULL - FULL / 8) <= 30_000 + FULL, "{leaves} leaves");
        tree.root.check(None, None, true);
    }

    #[test]
    fn another_trees_pairs_take_the_place_of_ones_own() {
        let (mut ours, mut theirs) = (KeyTree::default(), KeyTree::default());
        [("a", 1), ("b", 2)].into_iter().for_each(|(key, value)| *ours.entry(key.as_bytes()) = value);
        [("b", 3), ("c", 4)].into_iter().for_each(|(key, value)| *theirs.entry(key.as_bytes()) = value);
        ours.append(theirs);
        let pairs: Vec<_> = ours.range(b"", None).map(|(key, value)| (key, *value)).collect();
        assert_eq!(pairs, [(&b"a"[..], 1), (b"b", 3), (b"c", 4)]);
    }
}
