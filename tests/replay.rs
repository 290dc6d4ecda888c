//! Replays: a run that follows its own resolved plan is the same run, for every shipped scenario; a trace names the event
//! at which two runs part.

#[path = "support/folder.rs"]
mod folder;
mod support;

use folder::Folder;
use seedbed_sim::capsule::Capsule;
use seedbed_sim::judge::judge;
use seedbed_sim::scenario::ScenarioFile;
use seedbed_sim::watch::{Comparison, Together, TraceFile, section};
use seedbed_sim::world::{Options, Perturb};
use support::{on_all_cores, shipped};

/// Seeds of each scenario and arm.
const SEEDS: u64 = 3;

#[test]
fn following_its_own_plan_a_run_is_the_same() {
    let compared: usize = on_all_cores(&shipped(), followed).into_iter().sum();
    assert!(compared >= 60, "only {compared} runs were compared");
}

/// How many of the scenario's runs came to their end, and were the same when they followed their plan.
fn followed(file: &ScenarioFile) -> usize {
    let mut compared = 0;
    let arms = file.arms();
    let arms: Vec<Option<&str>> = if arms.is_empty() { vec![None] } else { arms.into_iter().map(Some).collect() };
    for (arm, seed) in arms.into_iter().flat_map(|arm| (0..SEEDS).map(move |seed| (arm, seed))) {
        let run = |follow| {
            let options = Options { follow, ..Options::default() };
            judge(file, arm, seed, &[], options).expect("it resolves").outcome
        };
        let Some(first) = run(None) else { continue };
        let again = run(Some(first.plan.clone())).expect("it came to its end the first time");
        let what = format!("{} {arm:?} seed {seed}", file.name());
        assert_eq!(first.checkpoints, again.checkpoints, "{what}: checkpoints");
        assert_eq!(first.digest, again.digest, "{what}: digest");
        assert_eq!(first.plan, again.plan, "{what}: the plan that was followed");
        compared += 1;
    }
    compared
}

/// A scenario whose faults hang on conditions, several on one event.
const CONDITIONS: &str = r#"
name = "conditions"
duration = "8s"

[[fault]]
name = "first"
kind = "pause"
when = "member-started"
nth = 2
target = "n2"
for = "0.2s"

[[fault]]
kind = "loss"
when = "leader-elected"
percent = 30
for = "2s"

[[fault]]
kind = "delay"
when = "leader-elected"
by = ["1ms", "20ms"]
for = "3s"

[[fault]]
kind = "isolate"
when = "fault-started"
fault = "first"
after = "3s"
target = "random"
for = "1s"
"#;

#[test]
fn conditions_met_at_the_start_and_together_replay_too() {
    let file = ScenarioFile::parse("conditions.toml", CONDITIONS).expect("right");
    for seed in 0..10 {
        let run = |follow| {
            let options = Options { follow, ..Options::default() };
            judge(&file, None, seed, &[], options).expect("it resolves").outcome.expect("it ends")
        };
        let first = run(None);
        assert_eq!(first.plan.len(), 4, "seed {seed}: every condition is met");
        let again = run(Some(first.plan.clone()));
        assert_eq!(first.plan, again.plan, "seed {seed}");
        assert_eq!(first.digest, again.digest, "seed {seed}");
    }
}

#[test]
fn a_kept_trace_names_the_event_at_which_runs_part() {
    let folder = Folder::new();
    let path = folder.root().join("kept.trace");
    let file = ScenarioFile::parse("conditions.toml", CONDITIONS).expect("right");
    let trace = TraceFile::create(&path).expect("writable");
    trace.begin(&section("conditions", None, 1));
    let mut watchers = Together::default();
    watchers.add(trace.clone());
    let options = Options { watcher: watchers.into_watcher(), ..Options::default() };
    let first = judge(&file, None, 1, &[], options).expect("it resolves");
    trace.finish().expect("written");

    let compare = |perturb| {
        let (comparison, findings) = Comparison::open(&path, "conditions", None, 1).expect("it has the section");
        let mut watchers = Together::default();
        watchers.add(comparison);
        let options = Options { watcher: watchers.into_watcher(), perturb, ..Options::default() };
        let run = judge(&file, None, 1, &[], options).expect("it resolves");
        (run, findings.difference())
    };
    let (same, difference) = compare(None);
    assert_eq!(difference, None);
    let capsule = Capsule::of(&first, &file, &[]).expect("there is an outcome");
    let same = same.outcome.expect("it ends");
    assert_eq!(capsule.parted(&same.checkpoints, same.events, same.digest), None);

    let (other, difference) = compare(Some(Perturb::Draw));
    let difference = difference.expect("one number more was drawn");
    let (kept, seen) = (difference.kept.expect("a line"), difference.seen.expect("a line"));
    assert_ne!(kept, seen);
    let number = |line: &str| line.split(' ').next().and_then(|number| number.parse::<u64>().ok());
    assert_eq!(number(&kept), number(&seen), "the same event of both");
    let other = other.outcome.expect("it ends");
    let parted = capsule.parted(&other.checkpoints, other.events, other.digest).expect("another digest");
    let before = parted.before.map_or(u64::MAX, |checkpoint| checkpoint.event);
    assert!(number(&kept).expect("a number") <= before, "the event lies before the first unequal checkpoint");

    let error = Comparison::open(&path, "conditions", None, 2).expect_err("another seed");
    assert!(error.to_string().contains("no section \"# conditions, seed 2\""), "{error}");
}
