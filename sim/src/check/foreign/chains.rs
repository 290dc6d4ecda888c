//! One key's history when its reads reveal the order of its writes.
//!
//! Many clients append to one key at once, and there are as many states as orders: the plain search drowns in
//! permutations. But a later get returns the whole string, and in most histories each write's value occurs once and none is a
//! prefix of another, so that the string can be read back as the writes that made it: a put (or the empty start), then
//! appends. All gets with the same beginning see one growing string, whose longest version fixes the order of its
//! writes: a *chain*.
//!
//! ```text
//! chain 0 (the start)   ""  →  a  →  ab                 ─┐
//! chain 1 (put c)              c  →  cd  →  cde          ├→  hidden: whatever no get saw
//! chain 2 (put f)              f                        ─┘
//! ```
//! So the string is replaced by a place in a chain. A write of a chain moves one place along it, from nowhere else; a
//! chain is left, by the first write of another or by a *hidden* write (one that no get saw), only at its end, for
//! nothing may be lost that a get saw. Once hidden, the value is beside the point until the next chain starts: further
//! hidden writes are placed as soon as they can be.
//!
//! A get that fits in no chain, two gets that disagree about an order, a write in two chains: these refute the history
//! without a search.

use super::kv::{Function, Op};
use super::pairing::Recorded;
use crate::check::wgl::{Interval, Model, Probe};
use std::collections::BTreeMap;

/// What a key's reads reveal.
pub(super) enum Revealed {
    /// Nothing: values repeat, or one is a prefix of another.
    Nothing,
    /// That no order explains them; the index of a get that shows it.
    Contradiction(usize),
    /// The chains, and each operation's part in them. The plain indices are those of what was recorded.
    Chains(Chains, Vec<(usize, Interval<Part>)>),
}

/// A place in some chain, counted through all of them.
type Place = u32;

/// The place outside of all chains.
const HIDDEN: Place = u32::MAX;

/// An operation's part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// A get, at its place.
    Get(Place),
    /// The put that starts a chain, at its first place.
    Start(Place),
    /// An append to a chain: from one place to the next.
    Along(Place),
    /// A write that no get saw.
    Hidden,
}

/// The model: where the value is.
pub(super) struct Chains {
    current: Place,
    /// For each place, whether its chain ends there.
    is_end: Vec<bool>,
}

/// Reads the chains of one key.
pub(super) fn reveal(recorded: &[Recorded<Op>]) -> Revealed {
    let writes = |recorded: &&Recorded<Op>| recorded.constrains && recorded.op.function != Function::Get;
    let mut by_value: Vec<(&str, usize)> = Vec::new();
    for (index, write) in recorded.iter().enumerate().filter(|(_, recorded)| writes(recorded)) {
        by_value.push((&write.op.value, index));
    }
    by_value.sort_unstable();
    // In ascending order a prefix stands right in front of something that it is a prefix of.
    let ambiguous = by_value.windows(2).any(|pair| pair[1].0.starts_with(pair[0].0));
    if ambiguous || by_value.first().is_some_and(|(value, _)| value.is_empty()) {
        return Revealed::Nothing;
    }

    // The longest string of each chain, as the writes that made it; keyed by its put, `None` for the start.
    let mut longest: BTreeMap<Option<usize>, Vec<usize>> = BTreeMap::from([(None, Vec::new())]);
    // For each get its chain, and how many writes it saw.
    let mut seen: Vec<Option<(Option<usize>, usize)>> = vec![None; recorded.len()];
    let gets = |recorded: &&Recorded<Op>| recorded.constrains && recorded.op.function == Function::Get;
    for (index, get) in recorded.iter().enumerate().filter(|(_, recorded)| gets(recorded)) {
        let Some(made_by) = parse(&get.op.value, &by_value) else { return Revealed::Contradiction(index) };
        let is_put = |write: usize| recorded[write].op.function == Function::Put;
        if made_by.iter().skip(1).any(|&write| is_put(write)) {
            return Revealed::Contradiction(index);
        }
        let start = made_by.first().copied().filter(|&first| is_put(first));
        seen[index] = Some((start, made_by.len()));
        let longest = longest.entry(start).or_default();
        if !(longest.starts_with(&made_by) || made_by.starts_with(longest)) {
            return Revealed::Contradiction(index);
        }
        if longest.len() < made_by.len() {
            *longest = made_by;
        }
    }

    let mut is_end = Vec::new();
    let mut parts = vec![Part::Hidden; recorded.len()];
    let mut first_place: BTreeMap<Option<usize>, Place> = BTreeMap::new();
    for (&start, writes) in &longest {
        // The start has a place before its first write: the empty string.
        let empty = usize::from(start.is_none());
        let first = is_end.len() as Place;
        // So that a string of n writes is at `first + n`, also in a chain without that place.
        first_place.insert(start, first.wrapping_sub(1 - empty as Place));
        is_end.resize(is_end.len() + writes.len() + empty, false);
        *is_end.last_mut().expect("a chain has a place") = true;
        for (&write, to) in writes.iter().zip(first + empty as Place..) {
            if parts[write] != Part::Hidden {
                let twice = |get: &usize| seen[*get].is_some_and(|(chain, len)| chain == start && len == writes.len());
                return Revealed::Contradiction((0..recorded.len()).find(twice).expect("a get saw all of its chain"));
            }
            parts[write] = if start == Some(write) { Part::Start(to) } else { Part::Along(to) };
        }
    }
    let mut ops = Vec::new();
    for (index, recorded) in recorded.iter().enumerate().filter(|(_, recorded)| recorded.constrains) {
        let part = match seen[index] {
            Some((chain, len)) => Part::Get(first_place[&chain].wrapping_add(len as Place)),
            None => parts[index],
        };
        // Nobody saw it, and it may not have happened.
        if part != Part::Hidden || recorded.ret.is_some() {
            ops.push((index, Interval { call: recorded.call, ret: recorded.ret, op: part }));
        }
    }
    Revealed::Chains(Chains { current: 0, is_end }, ops)
}

/// The writes whose values, one behind the other, are `value`. There is at most one such sequence.
fn parse(mut value: &str, by_value: &[(&str, usize)]) -> Option<Vec<usize>> {
    let mut made_by = Vec::new();
    while !value.is_empty() {
        let behind = by_value.partition_point(|(written, _)| *written <= value);
        let (written, write) = by_value[..behind].last()?;
        value = value.strip_prefix(written)?;
        made_by.push(*write);
    }
    Some(made_by)
}

impl Chains {
    fn may_leave(&self) -> bool {
        self.current == HIDDEN || self.is_end[self.current as usize]
    }
}

impl Model for Chains {
    type Op = Part;
    type Undo = Place;

    fn probe(&self, part: &Part) -> Probe {
        let (fits, then) = match *part {
            Part::Get(place) => (place == self.current, Probe::Free),
            Part::Start(_) => (self.may_leave(), Probe::Changes),
            Part::Along(place) => (place.checked_sub(1) == Some(self.current), Probe::Changes),
            Part::Hidden if self.current == HIDDEN => (true, Probe::Free),
            Part::Hidden => (self.may_leave(), Probe::Changes),
        };
        if fits { then } else { Probe::Refused }
    }

    fn apply(&mut self, part: &Part) -> Place {
        let to = match *part {
            Part::Start(place) | Part::Along(place) => place,
            Part::Hidden => HIDDEN,
            Part::Get(_) => unreachable!("a get changes nothing"),
        };
        std::mem::replace(&mut self.current, to)
    }

    fn undo(&mut self, undo: Place) {
        self.current = undo;
    }

    fn fingerprint(&self) -> u128 {
        xxhash_rust::xxh3::xxh3_128(&self.current.to_le_bytes())
    }
}
