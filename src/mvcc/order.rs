//! The keys in order: a B-tree (etcd's has degree 32, lesson 07) of the slots that they lie in.
//!
//! ```text
//!   branch   least │ namespace-2/pod-07 │ namespace-4/pod-31 │      child i + 1 holds what is least[i] or greater
//!                  ▼                    ▼                    ▼
//!   leaf     skip = 16: what all its keys begin with, "namespace-2/pod-"
//!            heads │ "07" │ "08" │ "12" │     the next eight bytes of each key, as a number
//!            slots │   3  │   9  │  41  │     where the keys are, with what is known of them
//! ```
//!
//! Keys of a store begin alike: a Kubernetes cluster's all with `/registry/`, a namespace's with thirty bytes more. The
//! map of the standard library compares a key with some thirty others on its way down, each behind a pointer, from its
//! first byte on. Here a node knows how many bytes its keys share, and keeps the next eight of each in one array. A
//! search compares the shared bytes once, then numbers; only where eight bytes are equal does it look at keys.
//!
//! Keys are added in *runs*: sorted, and then all of them on one way down, so that what a thousand of them have in common
//! is searched once, and a leaf is written once. A restore, whose keys are nearly all new, lives on that (`cargo bench
//! --bench open`); a single key is a run of one.
//!
//! Two neighbours that have become small are put together, and an empty node goes; no more is done about sparse ones.
//!
//! Invariants: keys ascend, in a node and from leaf to leaf; a branch has a child more than `least` keys, and key i is
//! greater than all keys of child i and not greater than any of child i + 1; only a root is ever empty; all leaves are on one
//! level.

use super::heads::{FULL, Heads};
use super::keys::{Keys, Slot};
use std::mem;

/// See the module.
#[derive(Debug)]
pub(super) struct Order {
    root: Node,
}

#[derive(Debug)]
enum Node {
    Leaf(Box<Leaf>),
    Branch(Box<Branch>),
}

#[derive(Debug, Default)]
struct Leaf {
    heads: Heads,
    slots: Vec<Slot>,
}

#[derive(Debug, Default)]
struct Branch {
    heads: Heads,
    /// Copies: a key that divides others may be forgotten before they are.
    least: Vec<Box<[u8]>>,
    children: Vec<Node>,
}

/// A node that is new, right of another, with a key that nothing below it is less than and everything before it is.
type Right = (Box<[u8]>, Node);

impl Default for Order {
    fn default() -> Order {
        Order { root: Node::Leaf(Box::default()) }
    }
}

impl Order {
    /// Adds keys that are not there yet, in any order.
    pub(super) fn add(&mut self, run: &[Slot], keys: &Keys) {
        let mut right = match run {
            [] => Vec::new(),
            [_] => self.root.add(run, keys),
            _ => self.root.add(&sorted(run, keys), keys),
        };
        while !right.is_empty() {
            let left = mem::replace(&mut self.root, Node::Leaf(Box::default()));
            let mut branch = Branch { children: vec![left], ..Branch::default() };
            right = branch.fill(right);
            self.root = Node::Branch(Box::new(branch));
        }
    }

    /// Forgets a key, if it is there.
    pub(super) fn remove(&mut self, key: &[u8], keys: &Keys) {
        self.root.remove(key, keys);
        // A branch with one child is a level too many.
        while let Node::Branch(branch) = &mut self.root
            && branch.children.len() <= 1
        {
            self.root = branch.children.pop().unwrap_or(Node::Leaf(Box::default()));
        }
    }

    /// The slots of the keys with `from <= key < to` (`None`: to the end), ascending.
    pub(super) fn range<'a>(&'a self, from: &[u8], to: Option<&'a [u8]>, keys: &'a Keys) -> Range<'a> {
        let mut range = Range { above: Vec::new(), leaf: None, at: 0, to, keys };
        let mut node = &self.root;
        loop {
            match node {
                Node::Branch(branch) => {
                    let at = branch.child_of(from);
                    range.above.push((branch, at));
                    node = &branch.children[at];
                }
                Node::Leaf(leaf) => {
                    range.at = leaf.search(from, keys).unwrap_or_else(|at| at);
                    range.leaf = Some(leaf);
                    return range;
                }
            }
        }
    }
}

/// The run in the order of its keys: by sixteen bytes behind what all of them share, and by whole keys where those are
/// equal.
fn sorted(run: &[Slot], keys: &Keys) -> Vec<Slot> {
    let first = keys.key(run[0]);
    let skip = run.iter().fold(first.len(), |skip, slot| {
        let same = first.iter().zip(keys.key(*slot)).take(skip).take_while(|(a, b)| a == b);
        same.count()
    });
    let head = |slot: &Slot| {
        let rest = &keys.key(*slot)[skip..];
        let mut head = [0; 16];
        let len = rest.len().min(16);
        head[..len].copy_from_slice(&rest[..len]);
        u128::from_be_bytes(head)
    };
    let mut run: Vec<(u128, Slot)> = run.iter().map(|slot| (head(slot), *slot)).collect();
    run.sort_unstable_by(|(a, x), (b, y)| a.cmp(b).then_with(|| keys.key(*x).cmp(keys.key(*y))));
    run.into_iter().map(|(_, slot)| slot).collect()
}

impl Node {
    fn len(&self) -> usize {
        match self {
            Node::Leaf(leaf) => leaf.slots.len(),
            Node::Branch(branch) => branch.least.len(),
        }
    }

    fn is_empty(&self) -> bool {
        match self {
            Node::Leaf(leaf) => leaf.slots.is_empty(),
            Node::Branch(branch) => branch.children.is_empty(),
        }
    }

    /// Adds a run of keys, ascending. What does not fit comes back in nodes of the same level.
    fn add(&mut self, run: &[Slot], keys: &Keys) -> Vec<Right> {
        match self {
            Node::Leaf(leaf) => leaf.add(run, keys),
            Node::Branch(branch) => branch.add(run, keys),
        }
    }

    fn remove(&mut self, key: &[u8], keys: &Keys) {
        match self {
            Node::Leaf(leaf) => {
                if let Ok(at) = leaf.search(key, keys) {
                    leaf.heads.remove(at, leaf.slots.len());
                    leaf.slots.remove(at);
                }
            }
            Node::Branch(branch) => {
                let at = branch.child_of(key);
                branch.children[at].remove(key, keys);
                branch.tidy(at, keys);
            }
        }
    }

    /// Takes over the right neighbour, whose keys are `least` or greater.
    fn join(&mut self, least: Box<[u8]>, right: Node, keys: &Keys) {
        match (self, right) {
            (Node::Leaf(left), Node::Leaf(right)) => {
                left.slots.extend(right.slots);
                left.measure(keys);
            }
            (Node::Branch(left), Node::Branch(right)) => {
                left.least.push(least);
                left.least.extend(right.least);
                left.children.extend(right.children);
                left.measure();
            }
            _ => panic!("invariant: all leaves are on one level"),
        }
    }
}

impl Leaf {
    fn of(slots: &[Slot], keys: &Keys) -> Leaf {
        let mut leaf = Leaf { slots: Vec::with_capacity(FULL), ..Leaf::default() };
        leaf.slots.extend(slots);
        leaf.measure(keys);
        leaf
    }

    /// Where a key is, or where it would be.
    fn search(&self, key: &[u8], keys: &Keys) -> Result<usize, usize> {
        self.heads.search(key, self.slots.len(), |at| keys.key(self.slots[at]))
    }

    fn measure(&mut self, keys: &Keys) {
        self.heads.measure(self.slots.len(), |at| keys.key(self.slots[at]));
    }

    fn add(&mut self, run: &[Slot], keys: &Keys) -> Vec<Right> {
        if let ([slot], true) = (run, self.slots.len() < FULL) {
            let (key, len) = (keys.key(*slot), self.slots.len());
            let at = self.search(key, keys).unwrap_or_else(|at| at);
            self.slots.insert(at, *slot);
            if !self.heads.insert(at, key, len) {
                self.measure(keys);
            }
            return Vec::new();
        }
        // What comes in order fills one node after the other: a node that grows at its end is left nearly full.
        let ascends = self.slots.last().is_none_or(|last| keys.key(*last) < keys.key(run[0]));
        let merged = self.merged(run, keys);
        let pieces = merged.len().div_ceil(if ascends { FULL - FULL / 8 } else { FULL });
        let size = if ascends { FULL - FULL / 8 } else { merged.len().div_ceil(pieces) };
        let mut leaves = merged.chunks(size).map(|slots| Leaf::of(slots, keys));
        *self = leaves.next().expect("invariant: a run is not empty");
        leaves.map(|leaf| (keys.key(leaf.slots[0]).into(), Node::Leaf(Box::new(leaf)))).collect()
    }

    fn merged(&self, run: &[Slot], keys: &Keys) -> Vec<Slot> {
        let (mut merged, mut taken) = (Vec::with_capacity(self.slots.len() + run.len()), 0);
        for slot in run {
            if taken < self.slots.len() {
                let at = self.search(keys.key(*slot), keys).unwrap_or_else(|at| at);
                merged.extend(&self.slots[taken..at]);
                taken = at;
            }
            merged.push(*slot);
        }
        merged.extend(&self.slots[taken..]);
        merged
    }
}

impl Branch {
    /// The child that a key is below, or would be.
    fn child_of(&self, key: &[u8]) -> usize {
        let found = self.heads.search(key, self.least.len(), |at| &self.least[at]);
        found.map_or_else(|at| at, |at| at + 1)
    }

    fn measure(&mut self) {
        self.heads.measure(self.least.len(), |at| &self.least[at]);
    }

    fn add(&mut self, mut run: &[Slot], keys: &Keys) -> Vec<Right> {
        // From the right, so that new children do not move those that are still to be visited.
        let mut grown = Vec::new();
        while let Some(last) = run.last() {
            let at = self.child_of(keys.key(*last));
            let begins = match at.checked_sub(1).map(|i| &self.least[i]) {
                Some(least) if run.len() > 1 => run.partition_point(|slot| keys.key(*slot) < &**least),
                _ => 0,
            };
            let right = self.children[at].add(&run[begins..], keys);
            if !right.is_empty() {
                grown.push((at, right));
            }
            run = &run[..begins];
        }
        if grown.is_empty() {
            return Vec::new();
        }
        self.grow(grown)
    }

    /// Puts new children behind those that they come from, the last of these first.
    fn grow(&mut self, mut grown: Vec<(usize, Vec<Right>)>) -> Vec<Right> {
        let mut least = mem::take(&mut self.least).into_iter();
        let children = mem::take(&mut self.children);
        let mut all = Vec::with_capacity(children.len() + grown.len());
        for (i, child) in children.into_iter().enumerate() {
            if i == 0 {
                self.children.push(child);
            } else {
                all.push((least.next().expect("invariant: one key between two children"), child));
            }
            if let Some((_, right)) = grown.pop_if(|(at, _)| *at == i) {
                all.extend(right);
            }
        }
        self.fill(all)
    }

    /// Takes children behind its first one, as many as it holds; the others come back in branches of the same level.
    fn fill(&mut self, children: Vec<Right>) -> Vec<Right> {
        let pieces = (children.len() + 1).div_ceil(FULL + 1);
        let size = (children.len() + 1).div_ceil(pieces);
        let mut children = children.into_iter();
        (self.least, self.children) = {
            let (least, mut rest): (Vec<_>, Vec<_>) = children.by_ref().take(size - 1).unzip();
            rest.insert(0, self.children.remove(0));
            (least, rest)
        };
        self.measure();
        let mut right = Vec::new();
        while let Some((begins, first)) = children.next() {
            let (least, mut rest): (Vec<_>, Vec<_>) = children.by_ref().take(size - 1).unzip();
            rest.insert(0, first);
            let mut branch = Branch { least, children: rest, ..Branch::default() };
            branch.measure();
            right.push((begins, Node::Branch(Box::new(branch))));
        }
        right
    }

    /// After something was removed below child `at`: a child with nothing in it goes, a small one joins a neighbour if both
    /// fit well into one node.
    fn tidy(&mut self, at: usize, keys: &Keys) {
        if self.children[at].is_empty() {
            self.children.remove(at);
            if !self.least.is_empty() {
                self.forget(at.saturating_sub(1));
            }
        } else if self.children[at].len() <= FULL / 4 {
            let size = |i: usize| self.children.get(i).map(Node::len);
            let left = [at, at.wrapping_sub(1)].into_iter().find(|left| {
                size(*left).zip(size(left.wrapping_add(1))).is_some_and(|(left, right)| left + right <= FULL / 2)
            });
            if let Some(left) = left {
                let right = self.children.remove(left + 1);
                let least = self.forget(left);
                self.children[left].join(least, right, keys);
            }
        }
    }

    fn forget(&mut self, at: usize) -> Box<[u8]> {
        self.heads.remove(at, self.least.len());
        self.least.remove(at)
    }
}

/// A walk over slots in the order of their keys.
#[derive(Debug)]
pub(super) struct Range<'a> {
    /// The branches above the leaf, and at which child of each the walk is.
    above: Vec<(&'a Branch, usize)>,
    leaf: Option<&'a Leaf>,
    at: usize,
    to: Option<&'a [u8]>,
    keys: &'a Keys,
}

impl<'a> Range<'a> {
    /// The first leaf behind the one that was walked.
    fn next_leaf(&mut self) -> Option<&'a Leaf> {
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

impl Iterator for Range<'_> {
    type Item = Slot;

    fn next(&mut self) -> Option<Slot> {
        while self.leaf?.slots.len() == self.at {
            (self.leaf, self.at) = (self.next_leaf(), 0);
        }
        let slot = self.leaf?.slots[self.at];
        if self.to.is_some_and(|to| self.keys.key(slot) >= to) {
            self.leaf = None;
            return None;
        }
        self.at += 1;
        Some(slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    /// Keys with their order, and what they are to agree with.
    #[derive(Default)]
    struct Twins {
        keys: Keys,
        order: Order,
        set: BTreeSet<Vec<u8>>,
    }

    impl Twins {
        fn add(&mut self, run: impl IntoIterator<Item = Vec<u8>>) {
            let mut slots = Vec::new();
            for key in run {
                if self.set.insert(key.clone()) {
                    slots.push(self.keys.find_or_add(&key).0);
                }
            }
            self.order.add(&slots, &self.keys);
        }

        fn remove(&mut self, key: &[u8]) {
            self.order.remove(key, &self.keys);
            if self.set.remove(key) {
                self.keys.remove(self.keys.find(key).expect("it was added"));
            }
        }

        fn range(&self, from: &[u8], to: Option<&[u8]>) -> Vec<&[u8]> {
            self.order.range(from, to, &self.keys).map(|slot| self.keys.key(slot)).collect()
        }

        /// Asserts the invariants, and that the two agree on all keys.
        fn check(&self) {
            self.order.root.check(&self.keys, None, None, true);
            assert!(self.range(b"", None).iter().copied().eq(self.set.iter().map(|key| &key[..])));
        }
    }

    impl Node {
        /// Asserts the invariants; says how deep the leaves lie.
        fn check(&self, keys: &Keys, from: Option<&[u8]>, to: Option<&[u8]>, is_root: bool) -> usize {
            let inside = |key: &[u8]| from.is_none_or(|from| from <= key) && to.is_none_or(|to| key < to);
            match self {
                Node::Leaf(leaf) => {
                    let whole = |at: usize| keys.key(leaf.slots[at]);
                    leaf.heads.check(self.len(), whole);
                    assert!(
                        (0..self.len()).map(whole).is_sorted_by(|a, b| a < b) && (0..self.len()).map(whole).all(inside)
                    );
                    assert!(self.len() <= FULL && (is_root || !self.is_empty()));
                    0
                }
                Node::Branch(branch) => {
                    branch.heads.check(self.len(), |at| &branch.least[at]);
                    assert!(branch.least.is_sorted_by(|a, b| a < b) && branch.least.iter().all(|key| inside(key)));
                    assert_eq!(branch.children.len(), branch.least.len() + 1);
                    assert!(branch.least.len() <= FULL);
                    let depth = |(i, child): (usize, &Node)| {
                        let from = i.checked_sub(1).map_or(from, |i| Some(&branch.least[i]));
                        child.check(keys, from, branch.least.get(i).map(|key| &**key).or(to), false)
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
        Add(Vec<Vec<u8>>),
        Remove(Vec<u8>),
        /// Many neighbours at once, so that nodes split and join.
        AddRun(u8, u16),
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
            3 => prop::collection::vec(key(), 1..60).prop_map(Step::Add),
            2 => key().prop_map(Step::Remove),
            1 => (0..4u8, 0..2_000u16).prop_map(|(place, n)| Step::AddRun(place, n)),
            1 => (0..4u8, 0..2_000u16).prop_map(|(place, n)| Step::RemoveRun(place, n)),
        ]
    }

    fn run(place: u8, n: u16) -> impl DoubleEndedIterator<Item = Vec<u8>> {
        (0..n).map(move |n| format!("registry/pods/namespace-{place}/pod-{n:05}").into_bytes())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        fn it_is_in_the_order_of_the_standard_librarys_set(
            steps in prop::collection::vec(step(), 1..40), from in key(), to in prop::option::of(key()),
        ) {
            let mut twins = Twins::default();
            for step in steps {
                match step {
                    Step::Add(keys) => twins.add(keys),
                    Step::Remove(key) => twins.remove(&key),
                    Step::AddRun(place, n) => twins.add(run(place, n).rev()),
                    Step::RemoveRun(place, n) => run(place, n).for_each(|key| twins.remove(&key)),
                }
                twins.check();
            }
            let inside = twins.set.iter().filter(|key| **key >= from && to.as_ref().is_none_or(|to| *key < to));
            prop_assert_eq!(twins.range(&from, to.as_deref()), inside.collect::<Vec<_>>());
        }
    }

    #[test]
    fn what_comes_in_order_fills_its_nodes() {
        for at_once in [1, 7, 1_000] {
            let mut twins = Twins::default();
            let all: Vec<Vec<u8>> = run(0, 30_000).collect();
            all.chunks(at_once).for_each(|keys| twins.add(keys.to_vec()));
            twins.check();
            let mut leaves = 0;
            let mut range = twins.order.range(b"", None, &twins.keys);
            while let Some(leaf) = range.leaf {
                leaves += usize::from(!leaf.slots.is_empty());
                range.leaf = range.next_leaf();
            }
            assert!(leaves * (FULL - FULL / 8) <= 32_000, "{leaves} leaves, {at_once} keys at once");
        }
    }
}
