//! The crash explorer, reduced: no image of any operation breaks a promise; and it sees one that does.

#[path = "support/command.rs"]
mod command;

use command::{json, seedbed};
use seedbed::backend::{BoltConfig, EngineConfig, FreelistKind};
use seedbed::bug::{Bug, BugSet};
use seedbed_sim::crash::{Explored, Fate, Operation, Options, explore};

const BOLT: EngineConfig = EngineConfig::Bolt(BoltConfig {
    page_size: 4096,
    freelist: FreelistKind::Hashmap,
    sync_freelist: false,
    cache_bytes: 1 << 20,
    bugs: BugSet::NONE,
});

fn reduced() -> Options {
    Options { rounds: 2, fates: 3, ..Options::default() }
}

fn explored(operation: Operation, options: &Options) -> Explored {
    explore(operation, options, &mut |_| ())
}

fn assert_sound(operation: Operation, engine: EngineConfig) {
    let found = explored(operation, &Options { engine, ..reduced() });
    println!("{operation}: {} cuts, {} images", found.cuts, found.images);
    assert_eq!(found.findings, [], "{operation}");
    assert_eq!(found.wrong, 0, "{operation}");
    assert!(found.cuts > 100 && found.images > 3 * found.cuts, "{operation}: {found:?}");
    assert!(found.cut_twice > 0, "{operation}: {found:?}");
    assert_eq!(found.beyond, Default::default(), "{operation}");
}

#[test]
fn no_cut_of_any_operation_breaks_a_promise_of_a_member_with_its_store_in_memory() {
    Operation::ALL.iter().for_each(|operation| assert_sound(*operation, EngineConfig::Memory));
}

#[test]
fn no_cut_of_any_operation_breaks_a_promise_of_a_member_with_a_database() {
    Operation::ALL.iter().for_each(|operation| assert_sound(*operation, BOLT));
}

#[test]
fn an_answer_before_the_log_is_durable_is_found_and_its_image_can_be_made_again() {
    let options = Options { bugs: BugSet::NONE.with(Bug::AckBeforeWal), rounds: 1, ..reduced() };
    let found = explored(Operation::Commit, &options);
    assert!(found.wrong > 10, "{found:?}");
    let first = &found.findings[0];
    assert!(first.text.contains("answered writes are gone"), "{first:?}");
    assert!(first.operations.iter().any(|told| told.contains("member/wal")), "{first:?}");

    let again = explored(Operation::Commit, &Options { only: Some(first.address), ..options.clone() });
    assert_eq!((again.images, &again.findings), (1, &vec![first.clone()]));
    let without = Options { bugs: BugSet::NONE, only: Some(first.address), ..options };
    assert_eq!(explored(Operation::Commit, &without).wrong, 0);
}

#[test]
fn a_disk_that_lies_is_beyond_tolerance_and_its_cost_is_counted() {
    let found = explored(Operation::WalCut, &Options { lying: true, rounds: 1, ..reduced() });
    assert_eq!(found.findings, [], "a process that is only killed loses nothing to a lie");
    assert!(found.beyond.images > 100, "{found:?}");
    assert!(found.beyond.most_lost > 30 && found.beyond.most_lost <= found.beyond.of, "{found:?}");
}

#[test]
fn parts_are_together_what_the_whole_is() {
    let options = Options { bugs: BugSet::NONE.with(Bug::AckBeforeWal), rounds: 1, ..reduced() };
    let whole = explored(Operation::WalCut, &options);
    let mut parts = Explored::default();
    for shard in 0..3 {
        parts.add(explored(Operation::WalCut, &Options { shard: (shard, 3), ..options.clone() }));
    }
    assert_eq!(parts, whole);
    assert!(whole.findings.iter().all(|finding| finding.address.fate != Fate::Kept));
}

#[test]
fn the_command_tells_what_it_found_and_how_to_see_it_again() {
    let (code, report) = json(&["crash", "--operation", "commit", "--rounds", "1", "--fates", "1", "--json"]);
    assert_eq!((code, report["exit"].as_u64()), (0, Some(0)));
    assert!(report["operations"][0]["images"].as_u64() > Some(100), "{report}");

    let found =
        seedbed(&["crash", "--operation", "commit", "--rounds", "1", "--fates", "1", "--bug", "ack-before-wal"]);
    assert_eq!(found.code, 10, "{}", found.out);
    let replay = found.out.lines().find_map(|line| line.trim().strip_prefix("seedbed ")).expect("a line to replay");
    let again = seedbed(&replay.split(' ').collect::<Vec<_>>());
    assert_eq!(again.code, 10, "{replay}: {}", again.out);
    assert!(again.out.contains("1 image from 1 cut"), "{}", again.out);

    assert_eq!(seedbed(&["crash", "--operation", "comit"]).code, 2);
    assert_eq!(seedbed(&["crash", "--operation", "commit", "--only", "1/2"]).code, 2);
}
