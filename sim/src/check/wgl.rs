//! The search: is there any order that explains a history?
//!
//! The algorithm of Wing and Gong (1993) with Lowe's memo (2017). The calls and returns of a history stand in a list by
//! time. An operation may be placed next if no other, still unplaced, has returned before it was called: so the
//! candidates are the calls in front of the first return. Placing one *lifts* its call and return out of the list;
//! when no candidate fits, the last placed is put back (*unlifted*) and the next one is tried. A configuration, that is the
//! set of placed operations together with the state they lead to, is explored once.
//!
//! Four things make it small:
//! - **Open operations.** One that never returned may take effect at any later point or not at all, so it is only ever
//!   placed for its effect, after everything that returned has been tried; the search is done when all that *returned*
//!   is placed.
//! - **Reads go first.** An operation that cannot change the state, in any state, can be placed as soon as its answer
//!   fits: every order in which it comes later stays an order when it is moved here. So it is never a choice.
//!   (A write that happens to leave *this* state as it is may be needed later; it stays a choice.)
//! - **One state, with undo.** The model is led forward and back, never cloned.
//! - **Fingerprints.** The memo keeps 128 bits of a configuration, not the configuration (hash compaction, as in Spin).
//!   Among 10⁷ configurations two collide with a probability of about 10⁻²⁵; a collision could turn a yes into a no,
//!   never a no into a yes. In return the memory of a search is bounded by a count.
//!
//! The problem is NP-complete: a search has a [`Budget`], and the answer has three values.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};
use xxhash_rust::xxh3::xxh3_128;

/// A sequential object that is led along candidate orders.
pub trait Model {
    /// An operation with its answer, or without one if it never returned.
    type Op;
    /// What takes a change back.
    type Undo;

    /// What would happen if `op` were executed now.
    fn probe(&self, op: &Self::Op) -> Probe;

    /// Executes `op`, which [`probe`](Self::probe) has just not refused.
    fn apply(&mut self, op: &Self::Op) -> Self::Undo;

    /// Takes back the latest change.
    fn undo(&mut self, undo: Self::Undo);

    /// The state in 128 bits, well mixed; equal states should have equal fingerprints.
    fn fingerprint(&self) -> u128;
}

/// What an operation would do to the current state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    /// Its answer is not the one that it would get.
    Refused,
    /// Its answer fits, this state stays, and no order is lost if it is placed at once. So it is with a read, which
    /// changes no state; a model may know of others.
    Free,
    /// Its answer fits, and this state stays.
    Unchanged,
    /// Its answer fits, and the state changes.
    Changes,
}

/// An operation and the time that it took.
#[derive(Clone, Debug)]
pub struct Interval<Op> {
    /// When it was asked, in any unit.
    pub call: u64,
    /// When it returned, in the same unit; `None` if it never did. A return and a call at one instant overlap.
    pub ret: Option<u64>,
    /// The operation.
    pub op: Op,
}

/// What a search may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// How often the model may be asked (a probe or a change is one step).
    pub steps: u64,
    /// Bytes for the memo, the largest of the search's tables.
    pub memo_bytes: usize,
}

/// Some seconds, and half a gibibyte.
impl Default for Budget {
    fn default() -> Self {
        Budget { steps: 200_000_000, memo_bytes: 512 << 20 }
    }
}

/// The answer of a search.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// An order exists.
    Linearizable,
    /// No order exists.
    NotLinearizable {
        /// The operation that could not be placed where the search came furthest: a hint for a person.
        stuck: usize,
    },
    /// The budget was spent first.
    Undecided {
        /// What ran out.
        spent: Spent,
    },
}

/// The part of a [`Budget`] that ran out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spent {
    /// [`Budget::steps`].
    Steps,
    /// [`Budget::memo_bytes`].
    Memory,
}

/// Searches an order of `ops` that `model`, which is in its initial state, explains. Returns the steps it took, too.
pub fn search<M: Model>(model: &mut M, ops: &[Interval<M::Op>], budget: Budget) -> (Found, u64) {
    let mut search = Search {
        any_open: ops.iter().any(|interval| interval.ret.is_none()),
        list: List::new(ops),
        ops,
        steps_left: budget.steps,
    };
    let found = search.run(model, budget.memo_bytes);
    (found, budget.steps - search.steps_left)
}

/// A hash table may, while it grows, hold this much for each entry: 16 bytes and a control byte, a load of at least 7/16,
/// and the old table beside the new.
const MEMO_ENTRY_BYTES: usize = 64;

/// Which candidates are tried: in this order.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pass {
    /// What returned and is free: no choice, see above.
    Free,
    /// Other operations that returned.
    Returned,
    /// Operations that never returned.
    Open,
}

/// Where the trying of candidates goes on.
#[derive(Clone, Copy)]
struct Cursor {
    pass: Pass,
    entry: u32,
}

/// A placed operation. `undo` is there if placing it was a choice.
struct Frame<Undo> {
    cursor: Cursor,
    undo: Option<Undo>,
}

struct Search<'a, Op> {
    ops: &'a [Interval<Op>],
    any_open: bool,
    list: List,
    steps_left: u64,
}

impl<Op> Search<'_, Op> {
    fn run<M: Model<Op = Op>>(&mut self, model: &mut M, memo_bytes: usize) -> Found {
        let mut memo: HashSet<u128, BuildHasherDefault<FingerprintHasher>> = HashSet::default();
        let mut placed: Vec<Frame<M::Undo>> = Vec::new();
        let mut placed_set: u128 = 0;
        let mut unreturned = self.ops.iter().filter(|interval| interval.ret.is_some()).count();
        let mut furthest = (usize::MAX, 0);
        let mut cursor = self.start();
        while unreturned > 0 {
            if self.steps_left == 0 {
                return Found::Undecided { spent: Spent::Steps };
            }
            if let Some(candidate) = self.next_candidate(model, cursor) {
                let op = self.list.op(candidate.entry);
                let set = placed_set ^ set_key(op);
                let undo = if candidate.pass == Pass::Free {
                    None
                } else {
                    self.steps_left = self.steps_left.saturating_sub(1);
                    let undo = model.apply(&self.ops[op].op);
                    if memo.len() >= memo_bytes / MEMO_ENTRY_BYTES {
                        return Found::Undecided { spent: Spent::Memory };
                    }
                    if !memo.insert(set ^ model.fingerprint()) {
                        model.undo(undo);
                        cursor = self.after(candidate);
                        continue;
                    }
                    Some(undo)
                };
                self.list.lift(candidate.entry);
                placed_set = set;
                unreturned -= usize::from(candidate.pass != Pass::Open);
                placed.push(Frame { cursor: candidate, undo });
                cursor = self.start();
                continue;
            }
            if self.steps_left == 0 {
                return Found::Undecided { spent: Spent::Steps };
            }
            if unreturned < furthest.0 {
                let first_return = self.list.first_return().expect("something has not been placed");
                furthest = (unreturned, self.list.op(first_return));
            }
            // Back to the last choice, and on from there.
            cursor = loop {
                let Some(Frame { cursor, undo }) = placed.pop() else {
                    return Found::NotLinearizable { stuck: furthest.1 };
                };
                self.list.unlift(cursor.entry);
                placed_set ^= set_key(self.list.op(cursor.entry));
                unreturned += usize::from(cursor.pass != Pass::Open);
                if let Some(undo) = undo {
                    model.undo(undo);
                    break self.after(cursor);
                }
            };
        }
        Found::Linearizable
    }

    /// The first candidate at or behind the cursor; `None` also when the steps run out.
    fn next_candidate<M: Model<Op = Op>>(&mut self, model: &M, mut cursor: Cursor) -> Option<Cursor> {
        loop {
            // Candidates end at the first return. (Were there none, all that returned would be placed.)
            while let Some(op) = self.list.called_op(cursor.entry) {
                let interval = &self.ops[op];
                if interval.ret.is_none() == (cursor.pass == Pass::Open) {
                    self.steps_left = self.steps_left.checked_sub(1)?;
                    let probe = model.probe(&interval.op);
                    let is_candidate = match cursor.pass {
                        Pass::Free => probe == Probe::Free,
                        Pass::Returned => matches!(probe, Probe::Unchanged | Probe::Changes),
                        Pass::Open => probe == Probe::Changes,
                    };
                    if is_candidate {
                        return Some(cursor);
                    }
                }
                cursor.entry = self.list.next[cursor.entry as usize];
            }
            cursor.pass = match cursor.pass {
                Pass::Free => Pass::Returned,
                Pass::Returned if self.any_open => Pass::Open,
                Pass::Returned | Pass::Open => return None,
            };
            cursor.entry = self.list.first();
        }
    }

    fn start(&self) -> Cursor {
        Cursor { pass: Pass::Free, entry: self.list.first() }
    }

    fn after(&self, cursor: Cursor) -> Cursor {
        Cursor { pass: cursor.pass, entry: self.list.next[cursor.entry as usize] }
    }
}

/// An operation's share in the fingerprint of a set of operations: the set's is the XOR of its members'.
fn set_key(op: usize) -> u128 {
    xxh3_128(&(op as u64).to_le_bytes())
}

/// The events of a history in a doubly linked list, by time. Entry 0 is the head, and stands for the end, too.
struct List {
    next: Vec<u32>,
    prev: Vec<u32>,
    /// The operation of each entry; returns have [`RETURN`] set.
    event: Vec<u32>,
    /// The return of each call; 0 if there is none.
    return_of: Vec<u32>,
}

const RETURN: u32 = 1 << 31;

impl List {
    fn new<Op>(ops: &[Interval<Op>]) -> List {
        assert!(ops.len() < (RETURN / 2) as usize, "entries are numbered by u32");
        let mut events: Vec<(u64, u32)> = Vec::with_capacity(2 * ops.len());
        for (op, interval) in ops.iter().enumerate() {
            let ret = interval.ret.map(|ret| (ret, op as u32 | RETURN));
            events.extend([(interval.call, op as u32)].into_iter().chain(ret));
        }
        // RETURN sorts the returns of an instant behind its calls, so that the two overlap.
        events.sort_unstable();
        let entries = events.len() as u32 + 1;
        let mut call_of_op = vec![0; ops.len()];
        let mut return_of = vec![0; entries as usize];
        for (entry, &(_, event)) in (1..).zip(&events) {
            match event & RETURN {
                0 => call_of_op[event as usize] = entry,
                _ => return_of[call_of_op[(event & !RETURN) as usize] as usize] = entry,
            }
        }
        List {
            next: (1..entries).chain([0]).collect(),
            prev: [entries - 1].into_iter().chain(0..entries - 1).collect(),
            event: [RETURN].into_iter().chain(events.iter().map(|&(_, event)| event)).collect(),
            return_of,
        }
    }

    fn first(&self) -> u32 {
        self.next[0]
    }

    /// The operation whose call an entry is; `None` at a return and at the end.
    fn called_op(&self, entry: u32) -> Option<usize> {
        let event = self.event[entry as usize];
        (event & RETURN == 0).then_some(event as usize)
    }

    fn op(&self, entry: u32) -> usize {
        (self.event[entry as usize] & !RETURN) as usize
    }

    fn first_return(&self) -> Option<u32> {
        let mut entry = self.first();
        while self.called_op(entry).is_some() {
            entry = self.next[entry as usize];
        }
        (entry != 0).then_some(entry)
    }

    fn lift(&mut self, call: u32) {
        self.unlink(call);
        match self.return_of[call as usize] {
            0 => {}
            ret => self.unlink(ret),
        }
    }

    /// Undoes the latest [`lift`](Self::lift) that is not undone: a lifted entry still knows its neighbours.
    fn unlift(&mut self, call: u32) {
        match self.return_of[call as usize] {
            0 => {}
            ret => self.relink(ret),
        }
        self.relink(call);
    }

    fn unlink(&mut self, entry: u32) {
        let (prev, next) = (self.prev[entry as usize], self.next[entry as usize]);
        self.next[prev as usize] = next;
        self.prev[next as usize] = prev;
    }

    fn relink(&mut self, entry: u32) {
        let (prev, next) = (self.prev[entry as usize], self.next[entry as usize]);
        self.next[prev as usize] = entry;
        self.prev[next as usize] = entry;
    }
}

/// Fingerprints are hashes already.
#[derive(Default)]
struct FingerprintHasher(u64);

impl Hasher for FingerprintHasher {
    fn write(&mut self, _: &[u8]) {
        unreachable!("only fingerprints are hashed");
    }

    fn write_u128(&mut self, fingerprint: u128) {
        self.0 = fingerprint as u64;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
