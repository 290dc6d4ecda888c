//! The checkers that follow a run are seen to fail: each gets a wrong history, made of real Raft values.

mod support;

use bytes::Bytes;
use seedbed::bug::BugSet;
use seedbed::raft::{
    Body, ConfState, Config, Entry, EntryKind, HardState, Message, Raft, RaftEvent, Recovered, SnapshotMeta,
};
use seedbed_sim::check::Failure;
use seedbed_sim::check::raft::RaftChecker;
use seedbed_sim::check::replay::ReplayChecker;
use seedbed_sim::report::{CheckResult, Report};
use seedbed_sim::scenario::ScenarioFile;
use seedbed_sim::world::Options;

/// A member that read back these entries (term, data), the first of index 1.
fn member(id: u64, term: u64, vote: u64, commit: u64, entries: &[(u64, &'static str)]) -> Raft {
    let config = Config {
        id,
        election_ticks: 10,
        heartbeat_ticks: 1,
        pre_vote: true,
        check_quorum: true,
        max_size_per_msg: 1 << 20,
        max_inflight: 16,
        max_uncommitted_bytes: 0,
        seed: id,
        bugs: BugSet::NONE,
    };
    let entry = |(index, (term, data)): (u64, &(u64, &'static str))| Entry {
        kind: EntryKind::Normal,
        term: *term,
        index,
        data: Bytes::from_static(data.as_bytes()),
    };
    let conf = ConfState { voters: vec![1, 2, 3], ..ConfState::default() };
    let recovered = Recovered {
        hard_state: HardState { term, vote, commit },
        snapshot: SnapshotMeta { conf, ..SnapshotMeta::default() },
        entries: (1..).zip(entries).map(entry).collect(),
        applied: 0,
    };
    Raft::new(config, recovered).expect("a legal log")
}

fn check(result: Result<(), Failure>) -> &'static str {
    result.expect_err("the checker must object").check
}

fn message(from: u64, to: u64, term: u64, body: Body) -> Message {
    Message { from, to, term, body }
}

#[test]
fn two_leaders_in_a_term_are_found() {
    let mut checker = RaftChecker::new(3);
    let (one, two) = (member(1, 2, 0, 0, &[]), member(2, 2, 0, 0, &[]));
    let led = RaftEvent::BecameLeader { term: 2, votes: vec![] };
    assert_eq!(checker.on_event(0, &one, &led), Ok(()));
    assert_eq!(check(checker.on_event(1, &two, &led)), "raft-election-safety");
}

#[test]
fn a_second_vote_in_a_term_is_found_and_a_repeated_one_is_none() {
    let mut checker = RaftChecker::new(3);
    let grant = |to| message(2, to, 5, Body::VoteResp { pre: false, reject: false });
    assert_eq!(checker.on_send(1, &grant(1)), Ok(()));
    assert_eq!(checker.on_send(1, &grant(1)), Ok(()));
    let own = Body::Vote { pre: false, transfer: false, last_index: 0, last_term: 0 };
    assert_eq!(check(checker.on_send(1, &message(2, 3, 5, own))), "raft-vote-once");
}

#[test]
fn rehearsals_and_refusals_are_no_votes() {
    let mut checker = RaftChecker::new(3);
    for to in [1, 3] {
        assert_eq!(checker.on_send(1, &message(2, to, 5, Body::VoteResp { pre: true, reject: false })), Ok(()));
        assert_eq!(checker.on_send(1, &message(2, to, 5, Body::VoteResp { pre: false, reject: true })), Ok(()));
    }
}

#[test]
fn logs_that_differ_before_a_common_entry_are_found() {
    let mut checker = RaftChecker::new(3);
    assert_eq!(checker.on_start(0, &member(1, 2, 0, 0, &[(1, "a"), (2, "b")])), Ok(()));
    assert_eq!(checker.on_start(1, &member(2, 2, 0, 0, &[(1, "a")])), Ok(()));
    assert_eq!(check(checker.on_start(2, &member(3, 2, 0, 0, &[(1, "x"), (2, "b")]))), "raft-log-matching");
}

#[test]
fn what_was_appended_twice_and_cut_off_within_a_step_is_no_gap() {
    let mut checker = RaftChecker::new(3);
    let cut = member(1, 2, 0, 0, &[(1, "a"), (2, "b")]);
    assert_eq!(checker.on_start(0, &cut), Ok(()));
    for (first, last) in [(2, 4), (5, 6), (2, 2)] {
        assert_eq!(checker.on_event(0, &cut, &RaftEvent::Appended { first, last }), Ok(()));
    }
}

#[test]
fn a_term_that_nobody_heard_of_may_be_led_again_after_a_crash() {
    let lead_twice = |spoken: bool| {
        let mut checker = RaftChecker::new(3);
        let led = RaftEvent::BecameLeader { term: 3, votes: vec![] };
        let appended = RaftEvent::Appended { first: 1, last: 1 };
        let again = [member(1, 3, 1, 0, &[(3, "a")]), member(1, 3, 1, 0, &[(3, "b")])];
        assert_eq!(checker.on_start(0, &member(1, 2, 0, 0, &[])), Ok(()));
        if spoken {
            let own = Body::Vote { pre: false, transfer: false, last_index: 0, last_term: 0 };
            assert_eq!(checker.on_send(0, &message(1, 2, 3, own)), Ok(()));
        }
        assert_eq!(checker.on_event(0, &again[0], &led), Ok(()));
        assert_eq!(checker.on_event(0, &again[0], &appended), Ok(()));
        assert_eq!(checker.on_start(0, &member(1, 2, 0, 0, &[])), Ok(()), "the crash took term 3");
        assert_eq!(checker.on_event(0, &again[1], &led), Ok(()));
        checker.on_event(0, &again[1], &appended)
    };
    assert_eq!(lead_twice(false), Ok(()));
    assert_eq!(check(lead_twice(true)), "raft-log-matching");
}

#[test]
fn a_leader_without_a_committed_entry_is_found() {
    let mut checker = RaftChecker::new(3);
    assert_eq!(checker.on_start(0, &member(1, 2, 0, 1, &[(1, "a")])), Ok(()));
    let short = member(2, 3, 0, 0, &[]);
    assert_eq!(checker.on_start(1, &short), Ok(()));
    let led = RaftEvent::BecameLeader { term: 3, votes: vec![] };
    assert_eq!(check(checker.on_event(1, &short, &led)), "raft-leader-completeness");
}

#[test]
fn a_leader_of_an_earlier_term_need_not_have_what_a_later_one_committed() {
    let mut checker = RaftChecker::new(3);
    assert_eq!(checker.on_start(0, &member(1, 7, 0, 1, &[(2, "a")])), Ok(()), "committed in term 7");
    let late = member(2, 6, 0, 0, &[]);
    assert_eq!(checker.on_start(1, &late), Ok(()));
    assert_eq!(checker.on_event(1, &late, &RaftEvent::BecameLeader { term: 6, votes: vec![] }), Ok(()));
}

#[test]
fn different_entries_committed_at_an_index_are_found() {
    let mut checker = RaftChecker::new(3);
    assert_eq!(checker.on_start(0, &member(1, 2, 0, 1, &[(1, "a")])), Ok(()));
    assert_eq!(check(checker.on_start(1, &member(2, 2, 0, 1, &[(2, "b")]))), "raft-state-machine-safety");
}

#[test]
fn a_commit_index_that_falls_is_found() {
    let mut checker = RaftChecker::new(3);
    assert_eq!(checker.on_start(0, &member(1, 2, 0, 1, &[(1, "a")])), Ok(()));
    assert_eq!(check(checker.on_step(0, &member(1, 2, 0, 0, &[(1, "a")]))), "raft-commit-monotonic");
}

#[test]
fn an_acknowledged_entry_that_a_crash_took_is_found() {
    let mut checker = ReplayChecker::new(3);
    let before = member(1, 2, 0, 0, &[(1, "a"), (2, "b")]);
    checker.on_send(0, &message(1, 2, 2, Body::AppendResp { index: 2, reject: None }), &before);
    let committed = RaftChecker::new(3);
    assert_eq!(checker.on_restart(0, &before, &committed), Ok(()));
    let lost = member(1, 2, 0, 0, &[(1, "a")]);
    assert_eq!(check(checker.on_restart(0, &lost, &committed)), "wal-replay");
}

#[test]
fn an_acknowledged_entry_that_a_later_leader_cut_off_is_no_loss() {
    let mut checker = ReplayChecker::new(3);
    let before = member(1, 2, 0, 0, &[(1, "a"), (2, "b")]);
    checker.on_send(0, &message(1, 2, 2, Body::AppendResp { index: 2, reject: None }), &before);
    let cut = member(1, 3, 0, 0, &[(3, "c")]);
    assert_eq!(checker.on_restart(0, &cut, &RaftChecker::new(3)), Ok(()));
}

#[test]
fn a_vote_that_a_crash_took_is_found() {
    let mut checker = ReplayChecker::new(3);
    let before = member(1, 4, 2, 0, &[]);
    checker.on_send(0, &message(1, 2, 4, Body::VoteResp { pre: false, reject: false }), &before);
    let committed = RaftChecker::new(3);
    assert_eq!(checker.on_restart(0, &before, &committed), Ok(()));
    assert_eq!(checker.on_restart(0, &member(1, 5, 0, 0, &[]), &committed), Ok(()), "a later term makes it moot");
    assert_eq!(check(checker.on_restart(0, &member(1, 4, 0, 0, &[]), &committed)), "wal-replay");
    assert_eq!(check(checker.on_restart(0, &member(1, 4, 3, 0, &[]), &committed)), "wal-replay");
}

#[test]
fn a_log_read_back_that_contradicts_what_is_committed_is_found() {
    let mut committed = RaftChecker::new(3);
    assert_eq!(committed.on_start(0, &member(1, 3, 0, 1, &[(3, "a")])), Ok(()));
    let mut checker = ReplayChecker::new(3);
    let other = member(2, 3, 0, 1, &[(2, "b")]);
    assert_eq!(check(checker.on_restart(1, &other, &committed)), "wal-replay");
}

#[test]
fn a_member_that_stops_by_itself_is_found_unless_a_fault_of_its_disk_made_it() {
    let stops = |report: &Report| report.checks.iter().find(|check| check.name == "member-stopped").map(|c| c.result);
    let file = support::scenario("scenarios/storage/snapdb-deleted-early.toml");
    let report = support::run(&file, None, 0, &["snapdb-deleted-early"], Options::default()).report;
    assert_eq!(report.failed_checks, ["member-stopped"]);
    assert_eq!(stops(&report), Some(CheckResult::Failed));
    assert!(report.failures[0].text.contains("stopped although its disk is sound"), "{}", report.failures[0].text);

    let text = "name = \"eio\"\nduration = \"3s\"\n\
        fault = [{ kind = \"disk-error\", at = \"2s\", target = \"n2\", error = \"eio\", file = \"wal\" }]";
    let file = ScenarioFile::parse("eio.toml", text).expect("a scenario");
    let report = support::run(&file, None, 0, &[], Options::default()).report;
    assert_eq!((report.exit, stops(&report)), (0, Some(CheckResult::Passed)));
}
