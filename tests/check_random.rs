//! Random histories: right ones are accepted by every checker, and on small ones, right or wrong, the checkers agree with
//! trying every order.
//!
//! The specifications here are written a second time, as naively as possible, so that a mistake in the checkers' own has to
//! be made twice to be missed.

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};
use seedbed_sim::check::foreign::{self, Format};
use seedbed_sim::check::wgl::Found;
use seedbed_sim::check::{
    Budget, History, Input, Kv, Operation, Outcome, Output, Prover, Verdict, linearizable, serializable, store_search,
    witness,
};
use std::cell::Cell;
use std::collections::BTreeMap;

/// The naive store: a map and a revision.
#[derive(Clone, Debug, PartialEq)]
struct Naive {
    revision: i64,
    map: BTreeMap<Bytes, Kv>,
}

impl Naive {
    fn new() -> Self {
        Naive { revision: 1, map: BTreeMap::new() }
    }

    fn execute(&mut self, input: &Input) -> Output {
        match input {
            Input::Get { key } | Input::GetSerializable { key } => Output::Get(self.map.get(key).cloned()),
            Input::List { prefix } => Output::List(
                self.map
                    .iter()
                    .filter(|(key, _)| key.starts_with(prefix))
                    .map(|(key, kv)| (key.clone(), kv.clone()))
                    .collect(),
            ),
            Input::Put { key, value } => {
                self.put(key, value);
                Output::Put
            }
            Input::Delete { key } => {
                let there = self.map.remove(key).is_some();
                self.revision += i64::from(there);
                Output::Deleted(u32::from(there))
            }
            Input::Cas { key, expect_mod_revision, value } => {
                let succeeded = self.map.get(key).map_or(0, |kv| kv.mod_revision) == *expect_mod_revision;
                if succeeded {
                    self.put(key, value);
                }
                Output::Cas { succeeded }
            }
        }
    }

    fn put(&mut self, key: &Bytes, value: &Bytes) {
        self.revision += 1;
        let revision = self.revision;
        let kv = self.map.entry(key.clone()).or_insert_with(|| Kv {
            value: value.clone(),
            create_revision: revision,
            mod_revision: revision,
            version: 0,
        });
        kv.value = value.clone();
        kv.mod_revision = revision;
        kv.version += 1;
    }
}

/// One random request and its fate.
#[derive(Clone, Debug)]
struct Drawn {
    kind: u8,
    key: u8,
    value: u8,
    /// How long before its instant it is asked, and how long after it it is answered.
    early: u64,
    late: u64,
    fate: u8,
    client: u32,
    /// A serializable read is this many revisions old, if its member may show that.
    age: i64,
}

fn drawn() -> impl Strategy<Value = Drawn> {
    (0..12u8, 0..3u8, 0..4u8, 0..60u64, 0..60u64, 0..10u8, 0..5u32, 0..4i64).prop_map(
        |(kind, key, value, early, late, fate, client, age)| Drawn { kind, key, value, early, late, fate, client, age },
    )
}

/// Executes requests one after another, ten time units apart, and stretches each over an interval around its instant.
fn stretch(drawn: &[Drawn]) -> History {
    let mut store = Naive::new();
    let mut states = vec![store.clone()];
    let mut floors = [1; 5];
    let mut operations = Vec::new();
    for (drawn, number) in drawn.iter().zip(1..) {
        let instant = 100 + 10 * number;
        let name = |key: u8| Bytes::from(format!("k{key}"));
        let (key, value) = (name(drawn.key), Bytes::from(vec![b'a' + drawn.value]));
        let expect_mod_revision = match drawn.age {
            0 => 0,
            _ => store.map.get(&key).map_or(0, |kv| kv.mod_revision) + drawn.age / 3,
        };
        let input = match drawn.kind {
            0..4 => Input::Put { key, value },
            4..6 => Input::Get { key },
            6..8 => Input::Cas { key, expect_mod_revision, value },
            8 => Input::Delete { key },
            9 => Input::List { prefix: if drawn.value < 2 { Bytes::from("k") } else { key } },
            _ => Input::GetSerializable { key },
        };
        let member = drawn.client as u8;
        let mut operation = Operation {
            client: drawn.client,
            member,
            call: instant - drawn.early,
            input,
            outcome: Outcome::Unknown,
            applied: None,
        };
        if drawn.fate == 0 {
            operation.outcome = Outcome::Failed;
        } else if drawn.fate != 1 {
            let (output, revision) = if let Input::GetSerializable { .. } = operation.input {
                let revision = (store.revision - drawn.age).max(floors[member as usize]);
                let mut then = states[revision as usize - 1].clone();
                (then.execute(&operation.input), revision)
            } else {
                (store.execute(&operation.input), store.revision)
            };
            states.resize(store.revision as usize, store.clone());
            operation.applied = operation.input.is_write().then_some(revision);
            if drawn.fate != 2 {
                floors[member as usize] = revision.max(floors[member as usize]);
                operation.outcome = Outcome::Ok { ret: instant + drawn.late, revision, output };
            }
        }
        operations.push(operation);
    }
    History { operations }
}

/// Whether an order exists, found by trying all of them. `step` gives the state after an operation, if it fits.
fn explained<S: Clone, Op>(
    ops: &[(u64, Option<u64>, Op)],
    placed: &mut [bool],
    state: &S,
    step: &impl Fn(&S, &Op) -> Option<S>,
) -> bool {
    if ops.iter().zip(&*placed).all(|((_, ret, _), placed)| *placed || ret.is_none()) {
        return true;
    }
    for next in 0..ops.len() {
        let too_early =
            |(other, placed): (&(u64, Option<u64>, Op), &bool)| !placed && other.1.is_some_and(|ret| ret < ops[next].0);
        if placed[next] || ops.iter().zip(&*placed).any(too_early) {
            continue;
        }
        if let Some(state) = step(state, &ops[next].2) {
            placed[next] = true;
            if explained(ops, placed, &state, step) {
                return true;
            }
            placed[next] = false;
        }
    }
    false
}

fn brute_force(history: &History) -> bool {
    let ops: Vec<(u64, Option<u64>, &Operation)> = history
        .operations
        .iter()
        .filter(|operation| !matches!(operation.input, Input::GetSerializable { .. }))
        .filter(|operation| operation.outcome != Outcome::Failed)
        .map(|operation| {
            // A put that was applied took place, answered or not.
            let applied = matches!(operation.input, Input::Put { .. }) && operation.applied.is_some();
            (operation.call, operation.ret().or(applied.then_some(u64::MAX)), operation)
        })
        .collect();
    // Somebody else is known to have made this revision, or was seen to be applied at it.
    let taken = |revision: i64| {
        ops.iter().any(|(_, _, operation)| match &operation.outcome {
            Outcome::Ok { revision: made, output, .. } => {
                *made == revision
                    && matches!(output, Output::Put | Output::Deleted(1..) | Output::Cas { succeeded: true })
            }
            _ => operation.applied == Some(revision) && operation.input.is_write(),
        })
    };
    explained(&ops, &mut vec![false; ops.len()], &Naive::new(), &|before, operation| {
        let mut after = before.clone();
        let output = after.execute(&operation.input);
        let fits = match &operation.outcome {
            Outcome::Ok { revision, output: seen, .. } => *revision == after.revision && *seen == output,
            _ if after == *before => true,
            _ => operation.applied.map_or(!taken(after.revision), |applied| applied == after.revision),
        };
        fits.then_some(after)
    })
}

/// Makes one thing wrong (or, now and then, still right).
fn mutate(history: &mut History, at: usize, what: u8, by: u8) {
    let count = history.operations.len();
    let operation = &mut history.operations[at % count];
    let delta = if by.is_multiple_of(2) { 1 } else { -1 };
    match (what, &mut operation.outcome) {
        (0, Outcome::Ok { ret, .. }) => *ret = operation.call + u64::from(by),
        (1, Outcome::Ok { ret, .. }) => operation.call = ret.saturating_sub(u64::from(by)),
        (2, Outcome::Ok { revision, .. }) => *revision += delta,
        (3, Outcome::Ok { output: Output::Get(kv), .. }) => *kv = None,
        (3, Outcome::Ok { output: Output::Cas { succeeded }, .. }) => *succeeded = !*succeeded,
        (3, Outcome::Ok { output: Output::Deleted(count), .. }) => *count = 1 - *count,
        (3, Outcome::Ok { output: Output::List(entries), .. }) => drop(entries.pop()),
        (4, Outcome::Ok { output: Output::Get(Some(kv)), .. }) => match by % 4 {
            0 => kv.value = Bytes::from_static(b"z"),
            1 => kv.mod_revision += delta,
            2 => kv.create_revision += delta,
            _ => kv.version += delta,
        },
        (5, outcome) => {
            *outcome = Outcome::Unknown;
            if by.is_multiple_of(2) {
                operation.applied = None;
            }
        }
        (6, Outcome::Unknown) => operation.applied = Some(i64::from(by % 8)),
        _ => {}
    }
    // What is told about the answer stays consistent with what the world saw, so that the search is asked at all.
    if let Outcome::Ok { revision, .. } = operation.outcome
        && operation.input.is_write()
    {
        operation.applied = Some(revision);
    }
}

proptest! {
    #[test]
    fn right_histories_are_accepted(drawn in vec(drawn(), 0..200)) {
        let history = stretch(&drawn);
        prop_assert_eq!(witness::check(&history), Ok(()));
        prop_assert_eq!(store_search::search(&history, Budget::default()), Found::Linearizable);
        prop_assert!(serializable::check(&history, &[]).is_ok());
    }
}

proptest! {
    /// A damaged file is judged or refused, but it is no reason to panic.
    #[test]
    fn damaged_files_do_not_panic(
        turns in turns(4),
        damage in vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0..4u8), 1..6),
    ) {
        for text in [register_log(&turns).0, kv_history(&turns, false).0] {
            let mut bytes = text.into_bytes();
            for (at, from, how) in &damage {
                let at = at.index(bytes.len());
                match how {
                    0 => bytes[at] = b"\"\\[]{}: \n\xff09ab;#"[from.index(16)],
                    1 => drop(bytes.remove(at)),
                    2 => bytes.truncate(at + 1),
                    _ => {
                        let byte = bytes[from.index(bytes.len())];
                        bytes.insert(at, byte);
                    }
                }
                if bytes.is_empty() {
                    bytes.push(b'{');
                }
            }
            for format in [Format::Jepsen, Format::Kv] {
                let _ = foreign::recognise(&bytes);
                if let Err(error) = foreign::judge(&bytes, format, Budget::default()) {
                    let lines = bytes.iter().filter(|byte| **byte == b'\n').count() + 1;
                    prop_assert!((1..=lines).contains(&error.at.line), "{}:{}", error.at.line, error.at.column);
                }
            }
        }
    }
}

/// Runs `judge` over many random values, always the same ones; it says whether it met a right or a wrong history, and both
/// must be met often.
fn on_many<S: Strategy>(cases: u32, strategy: &S, judge: impl Fn(&S::Value) -> bool) {
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let (right, wrong) = (Cell::new(0), Cell::new(0));
    let count = |value: S::Value| {
        let counter = if judge(&value) { &right } else { &wrong };
        counter.set(counter.get() + 1);
        Ok(())
    };
    runner.run(strategy, count).unwrap();
    assert!(right.get().min(wrong.get()) > cases / 20, "{} right, {} wrong", right.get(), wrong.get());
}

#[test]
fn on_small_histories_the_checkers_agree_with_every_permutation() {
    let mutation = (any::<usize>(), 0..7u8, any::<u8>());
    on_many(20_000, &(vec(drawn(), 1..8), vec(mutation, 1..4)), |(drawn, mutations)| {
        let mut history = stretch(drawn);
        for &(at, what, by) in mutations {
            mutate(&mut history, at, what, by);
        }
        let expected = brute_force(&history);
        let found = store_search::search(&history, Budget::default());
        assert_eq!(found == Found::Linearizable, expected, "{found:?}\n{history:#?}");
        match linearizable::check(&history, Budget::default()) {
            Verdict::Linearizable { by: Prover::Witness | Prover::Search } => assert!(expected, "{history:#?}"),
            Verdict::NotLinearizable(violation) => {
                assert!(!violation.lines(&history).is_empty());
                // A contradiction between the world and a failure is final, whatever the clients saw.
                let contradicted = history
                    .operations
                    .iter()
                    .any(|operation| operation.outcome == Outcome::Failed && operation.applied.is_some());
                assert!(!expected || contradicted, "{violation}\n{history:#?}");
            }
            Verdict::Undecided { why } => panic!("{why}"),
        }
        expected
    });
}

/// An event of a foreign history: a process asks, or is answered.
#[derive(Clone, Debug)]
struct Turn {
    process: usize,
    function: u8,
    key: u8,
    value: u8,
    /// How it ends, and what it then claims to have seen.
    end: u8,
    seen: u8,
}

fn turns(values: u8) -> impl Strategy<Value = Vec<Turn>> {
    let turn = (0..4usize, 0..3u8, 0..2u8, 0..values, 0..8u8, any::<u8>());
    vec(
        turn.prop_map(|(process, function, key, value, end, seen)| Turn { process, function, key, value, end, seen }),
        1..14,
    )
}

type Timed<Op> = (u64, Option<u64>, Op);

#[derive(Clone, Copy, Debug)]
enum RegisterOp {
    Read(Option<i64>),
    Write(i64),
    Cas(i64, i64, Option<bool>),
    Nothing,
}

/// Writes a log and what it means. Each process asks and is answered in turn.
fn register_log(turns: &[Turn]) -> (String, Vec<Timed<RegisterOp>>) {
    let mut log = String::from("INFO  jepsen.core - Everything is fine\n");
    let mut ops: Vec<Timed<RegisterOp>> = Vec::new();
    let mut open: [Option<(usize, u8, i64, i64)>; 4] = [None; 4];
    for (turn, time) in turns.iter().zip(1..) {
        let process = turn.process;
        let mut line = |text: String| log.push_str(&format!("INFO  jepsen.util - {process}\t{text}\n"));
        match open[process].take() {
            None => {
                let (a, b) = (i64::from(turn.value), i64::from(turn.seen % 3));
                open[process] = Some((ops.len(), turn.function, a, b));
                let op = match turn.function {
                    0 => (":read\tnil".to_owned(), RegisterOp::Nothing),
                    1 => (format!(":write\t{a}"), RegisterOp::Write(a)),
                    _ => (format!(":cas\t[{a} {b}]"), RegisterOp::Cas(a, b, None)),
                };
                line(format!(":invoke\t{}", op.0));
                ops.push((time, None, op.1));
            }
            Some((op, function, a, b)) => {
                let seen = (turn.seen % 4 != 3).then_some(i64::from(turn.seen % 4));
                let (text, ret, meaning) = match (function, turn.end) {
                    (0, 0) => (":fail\t:read\t:timed-out".to_owned(), true, RegisterOp::Nothing),
                    (0, 1) => (":info\t:read\t:timed-out".to_owned(), false, RegisterOp::Nothing),
                    (0, _) => {
                        let text = seen.map_or("nil".to_owned(), |seen| seen.to_string());
                        (format!(":ok\t:read\t{text}"), true, RegisterOp::Read(seen))
                    }
                    (1, 0) => (":fail\t:write\t:refused".to_owned(), true, RegisterOp::Nothing),
                    (1, 1) => (":info\t:write\t:timed-out".to_owned(), false, RegisterOp::Write(a)),
                    (1, _) => (format!(":ok\t:write\t{a}"), true, RegisterOp::Write(a)),
                    (_, 0) => (":info\t:cas\t:timed-out".to_owned(), false, RegisterOp::Cas(a, b, None)),
                    (_, 1..5) => (format!(":fail\t:cas\t[{a} {b}]"), true, RegisterOp::Cas(a, b, Some(false))),
                    _ => (format!(":ok\t:cas\t[{a} {b}]"), true, RegisterOp::Cas(a, b, Some(true))),
                };
                line(text);
                ops[op].1 = ret.then_some(time);
                ops[op].2 = meaning;
            }
        }
    }
    (log, ops)
}

fn step_register(state: &Option<i64>, op: &RegisterOp) -> Option<Option<i64>> {
    match *op {
        RegisterOp::Nothing => Some(*state),
        RegisterOp::Read(seen) => (seen == *state).then_some(*state),
        RegisterOp::Write(value) => Some(Some(value)),
        RegisterOp::Cas(from, to, succeeded) => {
            let holds = *state == Some(from);
            succeeded.is_none_or(|succeeded| succeeded == holds).then_some(if holds { Some(to) } else { *state })
        }
    }
}

/// The verdict of the reader and the search together, from the text.
fn judge(text: &str, format: Format) -> bool {
    assert_eq!(foreign::recognise(text.as_bytes()), Some(format), "{text}");
    match foreign::judge(text.as_bytes(), format, Budget::default())
        .unwrap_or_else(|error| panic!("{error}\n{text}"))
        .verdict
    {
        foreign::Verdict::Linearizable => true,
        foreign::Verdict::NotLinearizable { .. } => false,
        other => panic!("{other:?}\n{text}"),
    }
}

#[test]
fn on_small_logs_the_register_agrees_with_every_permutation() {
    on_many(20_000, &turns(3), |turns| {
        let (log, ops) = register_log(turns);
        let expected = explained(&ops, &mut vec![false; ops.len()], &None, &step_register);
        assert_eq!(judge(&log, Format::Jepsen), expected, "{log}");
        expected
    });
}

#[derive(Clone, Debug)]
enum KvOp {
    Get(String, String),
    Put(String, String),
    Append(String, String),
    Nothing,
}

/// As above, in EDN. What a get claims to have seen is some concatenation of what was written to its key so far. With
/// `unique`, no value is written twice, and none is a prefix of another.
fn kv_history(turns: &[Turn], unique: bool) -> (String, Vec<Timed<KvOp>>) {
    let mut text = String::new();
    let mut ops: Vec<Timed<KvOp>> = Vec::new();
    let mut open: [Option<(usize, u8, String, String)>; 4] = [const { None }; 4];
    let mut written: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (turn, time) in turns.iter().zip(1..) {
        let process = turn.process;
        let mut event = |kind: &str, function: u8, key: &str, value: &str| {
            let function = ["get", "put", "append"][usize::from(function)];
            let line =
                format!("{{:process {process}, :type :{kind}, :f :{function}, :key \"{key}\", :value {value}}}\n");
            text.push_str(&line);
        };
        match open[process].take() {
            None => {
                let key = format!("k{}", turn.key / if unique { 2 } else { 1 });
                let value = if unique {
                    format!("<{time}>")
                } else {
                    "ab".repeat(usize::from(turn.value))[..turn.value.into()].to_owned()
                };
                event(
                    "invoke",
                    turn.function,
                    &key,
                    &if turn.function == 0 { "nil".to_owned() } else { format!("{value:?}") },
                );
                let op = match turn.function {
                    0 => KvOp::Nothing,
                    1 => KvOp::Put(key.clone(), value.clone()),
                    _ => KvOp::Append(key.clone(), value.clone()),
                };
                if turn.function != 0 {
                    written.entry(key.clone()).or_default().push(value.clone());
                }
                open[process] = Some((ops.len(), turn.function, key, value));
                ops.push((time, None, op));
            }
            Some((op, function, key, value)) => match (function, turn.end) {
                (_, 0) => {
                    event("fail", function, &key, "nil");
                    (ops[op].1, ops[op].2) = (Some(time), KvOp::Nothing);
                }
                (_, 1) => event("info", function, &key, ":timed-out"),
                (0, _) => {
                    let written = written.get(&key).map_or(&[][..], |written| written);
                    // The bits of `seen` choose which of the writes, the lowest bit whether in reverse.
                    let mut chosen: Vec<&str> = (1..8)
                        .filter(|bit| turn.seen & (1 << bit) != 0)
                        .filter_map(|bit| written.get(bit - 1))
                        .map(|value| &value[..])
                        .collect();
                    if turn.seen & 1 == 1 {
                        chosen.reverse();
                    }
                    let seen = chosen.concat();
                    event("ok", 0, &key, &format!("{seen:?}"));
                    (ops[op].1, ops[op].2) = (Some(time), KvOp::Get(key, seen));
                }
                _ => {
                    event("ok", function, &key, &format!("{value:?}"));
                    ops[op].1 = Some(time);
                }
            },
        }
    }
    (text, ops)
}

fn step_kv(state: &BTreeMap<String, String>, op: &KvOp) -> Option<BTreeMap<String, String>> {
    let mut after = state.clone();
    match op {
        KvOp::Nothing => {}
        KvOp::Get(key, seen) if state.get(key).map_or("", |value| value) == seen => {}
        KvOp::Get(..) => return None,
        KvOp::Put(key, value) => drop(after.insert(key.clone(), value.clone())),
        KvOp::Append(key, value) => after.entry(key.clone()).or_default().push_str(value),
    }
    Some(after)
}

#[test]
fn on_small_histories_keys_agree_with_every_permutation() {
    for unique in [true, false] {
        on_many(20_000, &turns(4), |turns| {
            let (text, ops) = kv_history(turns, unique);
            let expected = explained(&ops, &mut vec![false; ops.len()], &BTreeMap::new(), &step_kv);
            assert_eq!(judge(&text, Format::Kv), expected, "{text}");
            expected
        });
    }
}
