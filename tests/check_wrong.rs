//! Each rule of the history checkers has a wrong history that breaks it and nothing else, next to a right one.
//!
//! Times are milliseconds. Histories are written as a client would tell them: `put(1, 10..20, "k", "a").ok(2)`.

use bytes::Bytes;
use seedbed_sim::check::serializable::{self, Restart};
use seedbed_sim::check::wgl::Found;
use seedbed_sim::check::{
    Budget, History, Input, Kv, Operation, Outcome, Output, Prover, Rule, Verdict, linearizable, store_search, witness,
};
use std::ops::Range;

/// A request that is not yet answered.
struct Asked {
    client: u32,
    member: u8,
    time: Range<u64>,
    input: Input,
}

const MS: u64 = 1_000_000;

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn ask(client: u32, time: Range<u64>, input: Input) -> Asked {
    Asked { client, member: 0, time, input }
}

fn put(client: u32, time: Range<u64>, key: &str, value: &str) -> Asked {
    ask(client, time, Input::Put { key: bytes(key), value: bytes(value) })
}

fn get(client: u32, time: Range<u64>, key: &str) -> Asked {
    ask(client, time, Input::Get { key: bytes(key) })
}

fn get_serializable(client: u32, time: Range<u64>, key: &str) -> Asked {
    ask(client, time, Input::GetSerializable { key: bytes(key) })
}

fn delete(client: u32, time: Range<u64>, key: &str) -> Asked {
    ask(client, time, Input::Delete { key: bytes(key) })
}

fn cas(client: u32, time: Range<u64>, key: &str, expect_mod_revision: i64, value: &str) -> Asked {
    ask(client, time, Input::Cas { key: bytes(key), expect_mod_revision, value: bytes(value) })
}

fn list(client: u32, time: Range<u64>, prefix: &str) -> Asked {
    ask(client, time, Input::List { prefix: bytes(prefix) })
}

/// A key's state: value, create_revision, mod_revision, version.
fn kv(value: &str, create_revision: i64, mod_revision: i64, version: i64) -> Kv {
    Kv { value: bytes(value), create_revision, mod_revision, version }
}

impl Asked {
    fn at(self, member: u8) -> Asked {
        Asked { member, ..self }
    }

    fn outcome(self, outcome: Outcome, applied: Option<i64>) -> Operation {
        let Asked { client, member, time, input } = self;
        Operation { client, member, call: time.start * MS, input, outcome, applied }
    }

    fn answered(self, revision: i64, output: Output) -> Operation {
        let ret = self.time.end * MS;
        let applied = self.input.is_write().then_some(revision);
        self.outcome(Outcome::Ok { ret, revision, output }, applied)
    }

    /// A put's answer.
    fn ok(self, revision: i64) -> Operation {
        self.answered(revision, Output::Put)
    }

    fn saw(self, revision: i64, kv: Option<Kv>) -> Operation {
        self.answered(revision, Output::Get(kv))
    }

    fn deleted(self, revision: i64, count: u32) -> Operation {
        self.answered(revision, Output::Deleted(count))
    }

    fn compared(self, revision: i64, succeeded: bool) -> Operation {
        self.answered(revision, Output::Cas { succeeded })
    }

    fn listed(self, revision: i64, entries: &[(&str, Kv)]) -> Operation {
        let entries = entries.iter().map(|(key, kv)| (bytes(key), kv.clone())).collect();
        self.answered(revision, Output::List(entries))
    }

    /// No answer; the world saw it applied, or not.
    fn unknown(self, applied: Option<i64>) -> Operation {
        self.outcome(Outcome::Unknown, applied)
    }
}

fn history(operations: impl Into<Vec<Operation>>) -> History {
    History { operations: operations.into() }
}

#[track_caller]
fn accepts(operations: impl Into<Vec<Operation>>) {
    let history = history(operations);
    assert_eq!(linearizable::check(&history, Budget::default()), Verdict::Linearizable { by: Prover::Witness });
    assert_eq!(store_search::search(&history, Budget::default()), Found::Linearizable);
}

/// Both checkers reject; the witness for this rule, with these operations.
#[track_caller]
fn rejects(rule: Rule, shown_by: &[usize], operations: impl Into<Vec<Operation>>) -> String {
    let history = history(operations);
    let Verdict::NotLinearizable(violation) = linearizable::check(&history, Budget::default()) else {
        panic!("a wrong history was accepted");
    };
    assert_eq!((violation.rule, &violation.operations[..]), (rule, shown_by), "{violation}");
    violation.lines(&history).join("\n")
}

#[test]
fn a_sequential_history_is_linearizable() {
    accepts([
        get(1, 0..5, "k").saw(1, None),
        put(1, 10..20, "k", "a").ok(2),
        put(1, 20..30, "k", "b").ok(3),
        get(2, 30..40, "k").saw(3, Some(kv("b", 2, 3, 2))),
        cas(2, 40..50, "k", 2, "c").compared(3, false),
        cas(2, 50..60, "k", 3, "c").compared(4, true),
        cas(2, 60..70, "j", 0, "x").compared(5, true),
        list(1, 70..80, "").listed(5, &[("j", kv("x", 5, 5, 1)), ("k", kv("c", 2, 4, 3))]),
        list(1, 80..90, "j").listed(5, &[("j", kv("x", 5, 5, 1))]),
        delete(1, 90..100, "k").deleted(6, 1),
        delete(1, 100..110, "k").deleted(6, 0),
        get(1, 110..120, "k").saw(6, None),
        put(1, 120..130, "k", "d").ok(7),
        get(1, 130..140, "k").saw(7, Some(kv("d", 7, 7, 1))),
    ]);
}

#[test]
fn concurrent_operations_may_take_either_order() {
    accepts([
        put(1, 0..100, "k", "a").ok(3),
        put(2, 0..100, "k", "b").ok(2),
        get(3, 10..20, "k").saw(1, None),
        get(3, 30..40, "k").saw(2, Some(kv("b", 2, 2, 1))),
        get(3, 110..120, "k").saw(3, Some(kv("a", 2, 3, 2))),
    ]);
}

#[test]
fn a_stale_read_is_rejected_and_told() {
    let story = rejects(
        Rule::StaleRead,
        &[1, 2],
        [
            put(3, 10..20, "k7", "v80").ok(2),
            put(3, 8112..8140, "k7", "v81").ok(3),
            get(1, 8201..8203, "k7").saw(2, Some(kv("v80", 2, 2, 1))),
        ],
    );
    assert_eq!(
        story,
        "client 3  put  k7 = \"v81\"  8.112 → 8.140  ok, revision 3\n\
         client 1  get  k7  8.201 → 8.203  \"v80\" (mod_revision 2, version 1), revision 2   ← older than a finished write"
    );
}

#[test]
fn a_read_may_not_be_older_than_a_finished_read() {
    rejects(
        Rule::StaleRead,
        &[1, 2],
        [
            put(1, 0..100, "k", "a").ok(2),
            get(2, 10..20, "k").saw(2, Some(kv("a", 2, 2, 1))),
            get(3, 30..40, "k").saw(1, None),
        ],
    );
}

#[test]
fn a_write_may_not_take_a_place_before_it_was_asked() {
    rejects(Rule::ReorderedWrite, &[0, 1], [put(1, 0..10, "k", "a").ok(3), put(2, 20..30, "k", "b").ok(2)]);
    // Seen before anybody asked for it.
    rejects(
        Rule::ReorderedWrite,
        &[0, 1],
        [get(1, 0..10, "k").saw(2, Some(kv("a", 2, 2, 1))), put(2, 20..30, "k", "a").ok(2)],
    );
}

#[test]
fn a_lost_write_is_rejected() {
    rejects(Rule::LostWrite, &[0, 1], [put(1, 0..10, "k", "a").ok(2), get(1, 20..30, "k").saw(2, None)]);
    rejects(
        Rule::LostWrite,
        &[1, 2],
        [
            put(1, 0..10, "k", "a").ok(2),
            put(1, 20..30, "k", "b").ok(3),
            get(1, 40..50, "k").saw(3, Some(kv("a", 2, 2, 1))),
        ],
    );
    rejects(Rule::LostWrite, &[0, 1], [put(1, 0..10, "k", "a").ok(2), list(1, 20..30, "").listed(2, &[])]);
}

#[test]
fn a_value_that_nobody_wrote_is_rejected() {
    rejects(
        Rule::WrongValue,
        &[0, 1],
        [put(1, 0..10, "k", "a").ok(2), get(1, 20..30, "k").saw(2, Some(kv("b", 2, 2, 1)))],
    );
    rejects(
        Rule::WrongValue,
        &[1, 2],
        [
            put(1, 0..10, "k", "a").ok(2),
            delete(1, 20..30, "k").deleted(3, 1),
            get(1, 40..50, "k").saw(3, Some(kv("a", 2, 2, 1))),
        ],
    );
    rejects(
        Rule::WrongValue,
        &[1],
        [
            put(1, 0..10, "k", "a").ok(2),
            list(1, 20..30, "").listed(2, &[("j", kv("a", 2, 2, 1)), ("k", kv("a", 2, 2, 1))]),
        ],
    );
}

#[test]
fn wrong_versions_are_rejected() {
    for wrong in [kv("b", 2, 3, 1), kv("b", 3, 3, 2), kv("b", 2, 4, 2)] {
        rejects(
            Rule::WrongVersion,
            &[1, 2],
            [
                put(1, 0..10, "k", "a").ok(2),
                put(1, 20..30, "k", "b").ok(3),
                get(1, 40..50, "k").saw(3, Some(wrong.clone())),
            ],
        );
    }
}

#[test]
fn deletes_count_what_was_there() {
    rejects(Rule::WrongCount, &[0], [delete(1, 0..10, "k").deleted(2, 1)]);
    rejects(Rule::WrongCount, &[0, 1], [put(1, 0..10, "k", "a").ok(2), delete(1, 20..30, "k").deleted(2, 0)]);
}

#[test]
fn a_compare_may_not_come_out_wrongly() {
    rejects(
        Rule::WrongCompare,
        &[0, 1],
        [put(1, 0..10, "k", "a").ok(2), cas(1, 20..30, "k", 1, "b").compared(3, true)],
    );
    rejects(
        Rule::WrongCompare,
        &[0, 1],
        [put(1, 0..10, "k", "a").ok(2), cas(1, 20..30, "k", 2, "b").compared(2, false)],
    );
    // Two that expect the same revision cannot both succeed.
    rejects(
        Rule::WrongCompare,
        &[0, 1],
        [cas(1, 0..10, "k", 0, "a").compared(2, true), cas(2, 0..10, "k", 0, "b").compared(3, true)],
    );
}

#[test]
fn revisions_are_used_once_each() {
    let story = rejects(Rule::RevisionTwice, &[0, 1], [put(1, 0..10, "k", "a").ok(2), put(2, 20..30, "j", "b").ok(2)]);
    assert!(story.contains("made by another write"), "{story}");
    rejects(Rule::RevisionGap, &[0, 1], [put(1, 0..10, "k", "a").ok(2), put(1, 20..30, "k", "b").ok(4)]);
    rejects(Rule::RevisionGap, &[0], [get(1, 0..10, "k").saw(2, None)]);
    rejects(Rule::WrongRevision, &[0], [get(1, 0..10, "k").saw(0, None)]);
}

#[test]
fn an_answer_fits_its_request() {
    rejects(Rule::WrongAnswer, &[0], [get(1, 0..10, "k").answered(1, Output::Deleted(0))]);
}

#[test]
fn what_was_acknowledged_was_applied() {
    let mut lost = put(1, 0..10, "k", "a").ok(2);
    lost.applied = None;
    rejects(Rule::AcknowledgedNotApplied, &[0], [lost]);
    let mut elsewhere = put(1, 0..10, "k", "a").ok(2);
    elsewhere.applied = Some(3);
    rejects(Rule::AcknowledgedNotApplied, &[0], [elsewhere]);
    let mut compared = cas(1, 0..10, "k", 7, "a").compared(1, false);
    compared.applied = Some(2);
    rejects(Rule::WrongRevision, &[0], [compared]);
}

#[test]
fn what_failed_was_not_applied() {
    accepts([put(1, 0..10, "k", "a").outcome(Outcome::Failed, None), get(1, 20..30, "k").saw(1, None)]);
    rejects(Rule::FailedButApplied, &[0], [put(1, 0..10, "k", "a").outcome(Outcome::Failed, Some(2))]);
}

#[test]
fn unanswered_writes_count_if_they_were_applied() {
    accepts([
        put(1, 0..10, "k", "a").unknown(Some(2)),
        put(1, 0..10, "k", "b").unknown(None),
        delete(1, 0..10, "j").unknown(Some(2)),
        get(2, 500..510, "k").saw(2, Some(kv("a", 2, 2, 1))),
        put(2, 520..530, "k", "c").ok(3),
    ]);
    // An unanswered delete that found nothing does not hold up a read that was over before it was asked.
    accepts([get(1, 0..10, "k").saw(1, None), delete(1, 20..30, "k").unknown(Some(1))]);
    rejects(Rule::LostWrite, &[0, 1], [put(1, 0..10, "k", "a").unknown(Some(2)), get(2, 20..30, "k").saw(2, None)]);
    rejects(
        Rule::ReorderedWrite,
        &[0, 1],
        [get(2, 0..10, "k").saw(2, Some(kv("a", 2, 2, 1))), put(1, 20..30, "k", "a").unknown(Some(2))],
    );
}

#[test]
fn the_search_finds_what_the_world_missed() {
    // Two unanswered compares were applied, of which only one can have succeeded, and the later one did.
    let both = history([
        cas(1, 0..10, "k", 0, "a").unknown(Some(2)),
        cas(2, 5..15, "k", 0, "b").unknown(Some(2)),
        get(3, 20..30, "k").saw(2, Some(kv("b", 2, 2, 1))),
    ]);
    assert_eq!(witness::check(&both).unwrap_err().rule, Rule::WrongValue);
    assert_eq!(linearizable::check(&both, Budget::default()), Verdict::Linearizable { by: Prover::Search });
    // A write that the world did not see explains a revision that nothing else does.
    let missed = history([put(1, 0..10, "k", "a").unknown(None), get(3, 20..30, "k").saw(2, Some(kv("a", 2, 2, 1)))]);
    assert_eq!(linearizable::check(&missed, Budget::default()), Verdict::Linearizable { by: Prover::Search });
    // But only if it was asked in time.
    rejects(
        Rule::RevisionGap,
        &[1],
        [put(1, 40..50, "k", "a").unknown(None), get(3, 20..30, "k").saw(2, Some(kv("a", 2, 2, 1)))],
    );
}

#[test]
fn a_spent_budget_is_no_verdict() {
    let mut operations: Vec<Operation> = (0..40).map(|n| put(n, 0..10, "k", &n.to_string()).unknown(None)).collect();
    operations.push(get(50, 20..30, "k").saw(30, Some(kv("nobody's", 2, 30, 29))));
    let history = history(operations);
    for budget in [Budget { steps: 1000, ..Budget::default() }, Budget { memo_bytes: 1 << 20, ..Budget::default() }] {
        let Verdict::Undecided { why } = linearizable::check(&history, budget) else { panic!("it was decided") };
        assert!(why.contains("ran out of") && why.contains("revision without a write"), "{why}");
    }
}

#[track_caller]
fn serializable_rejects(rule: Rule, shown_by: &[usize], restarts: &[Restart], operations: impl Into<Vec<Operation>>) {
    let violation = serializable::check(&history(operations), restarts).expect_err("a wrong history was accepted");
    assert_eq!((violation.rule, &violation.operations[..]), (rule, shown_by), "{violation}");
}

#[test]
fn serializable_reads_may_be_old_but_not_wrong() {
    let writes = || vec![put(1, 0..10, "k", "a").ok(2), put(1, 20..30, "k", "b").ok(3)];
    let with = |read: Operation| [writes(), vec![read]].concat();
    let old = history(with(get_serializable(2, 100..110, "k").at(1).saw(2, Some(kv("a", 2, 2, 1)))));
    assert_eq!(serializable::check(&old, &[]), Ok(1));
    assert_eq!(linearizable::check(&old, Budget::default()), Verdict::Linearizable { by: Prover::Witness });
    // The data of another revision than the header's.
    let read = get_serializable(2, 100..110, "k").at(1);
    serializable_rejects(Rule::LostWrite, &[1, 2], &[], with(read.saw(3, Some(kv("a", 2, 2, 1)))));
    let read = get_serializable(2, 100..110, "k").at(1);
    serializable_rejects(Rule::WrongValue, &[0, 2], &[], with(read.saw(2, Some(kv("b", 2, 3, 2)))));
    // A revision that never was.
    let read = get_serializable(2, 100..110, "k").at(1);
    serializable_rejects(Rule::RevisionGap, &[1, 2], &[], with(read.saw(4, Some(kv("b", 2, 3, 2)))));
    // One that nobody had asked for.
    let read = get_serializable(2, 12..18, "k").at(1);
    serializable_rejects(Rule::FromTheFuture, &[1, 2], &[], with(read.saw(3, Some(kv("b", 2, 3, 2)))));
}

#[test]
fn a_member_goes_back_only_over_a_restart() {
    let reads = |members: [u8; 2]| {
        vec![
            put(1, 0..10, "k", "a").at(2).ok(2),
            get_serializable(2, 20..30, "k").at(members[0]).saw(2, Some(kv("a", 2, 2, 1))),
            get_serializable(2, 40..50, "k").at(members[1]).saw(1, None),
        ]
    };
    let at = |member, ms| Restart { member, at: ms * MS };
    serializable_rejects(Rule::MemberWentBack, &[1, 2], &[], reads([1, 1]));
    assert_eq!(serializable::check(&history(reads([0, 1])), &[]), Ok(2), "members are not compared");
    assert_eq!(serializable::check(&history(reads([1, 1])), &[at(1, 35)]), Ok(2));
    assert_eq!(serializable::check(&history(reads([1, 1])), &[at(1, 45)]), Ok(2), "during the later read");
    serializable_rejects(Rule::MemberWentBack, &[1, 2], &[at(0, 35), at(1, 5), at(1, 60)], reads([1, 1]));
    // The member itself acknowledged the write that it then does not show.
    serializable_rejects(Rule::MemberWentBack, &[0, 2], &[], reads([0, 2]));
    // Concurrent reads are in no order.
    let mut concurrent = reads([1, 1]);
    concurrent[2].call = 25 * MS;
    assert_eq!(serializable::check(&history(concurrent), &[]), Ok(2));
    // An answer from before the restart may arrive after it, and says nothing about what comes then.
    let mut late = reads([1, 1]);
    late[1].outcome = get(2, 20..38, "k").saw(2, Some(kv("a", 2, 2, 1))).outcome;
    assert_eq!(serializable::check(&history(late), &[at(1, 35)]), Ok(2));
}
