//! The same scenario and seed are the same run, and the digest would tell if they were not.

mod support;

use seedbed::member::TraceEvent;
use seedbed::time::Nanos;
use seedbed_sim::world::{Options, Perturb, Watcher};
use std::fmt::Debug;
use std::sync::{Arc, Mutex};
use support::{run, scenario};

const SCENARIO: &str = "scenarios/chaos/nemesis-3.toml";

fn digest(seed: u64, options: Options) -> u64 {
    run(&scenario(SCENARIO), None, seed, &[], options).report.digest
}

#[test]
fn a_seed_gives_the_same_digest_again_and_another_seed_another() {
    let first: Vec<u64> = (0..5).map(|seed| digest(seed, Options::default())).collect();
    let again: Vec<u64> = (0..5).rev().map(|seed| digest(seed, Options::default())).collect();
    assert_eq!(first, again.into_iter().rev().collect::<Vec<_>>(), "in another order, on other threads");
    let mut distinct = first.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), first.len());
}

#[test]
fn runs_side_by_side_do_not_touch_each_other() {
    let alone: Vec<u64> = (0..4).map(|seed| digest(seed, Options::default())).collect();
    let threads: Vec<_> = (0..4).map(|seed| std::thread::spawn(move || digest(seed, Options::default()))).collect();
    let together: Vec<u64> = threads.into_iter().map(|thread| thread.join().expect("no run panics")).collect();
    assert_eq!(alone, together);
}

#[test]
fn the_digest_tells_one_draw_one_swap_and_one_byte() {
    let plain = digest(7, Options::default());
    for perturb in [Perturb::Draw, Perturb::Swap(5_000), Perturb::Byte(5_000)] {
        let perturbed = digest(7, Options { perturb: Some(perturb), ..Options::default() });
        assert_ne!(plain, perturbed, "{perturb:?}");
    }
    let beyond = Options { perturb: Some(Perturb::Byte(u64::MAX)), ..Options::default() };
    assert_eq!(plain, digest(7, beyond), "a perturbation that never comes changes nothing");
}

/// Writes everything down.
struct Scribe(Arc<Mutex<String>>);

impl Watcher for Scribe {
    fn on_event(&mut self, at: Nanos, number: u64, what: &dyn Debug) {
        *self.0.lock().unwrap() += &format!("{number} {at} {what:?}\n");
    }

    fn on_trace(&mut self, at: Nanos, node: u8, term: u64, event: &TraceEvent) {
        *self.0.lock().unwrap() += &format!("{at} n{node} {term} {event:?}\n");
    }
}

#[test]
fn watching_changes_nothing_and_sees_the_same_twice() {
    let plain = digest(3, Options::default());
    let mut traces = Vec::new();
    for _ in 0..2 {
        let trace = Arc::new(Mutex::new(String::new()));
        let watcher = Box::new(Scribe(trace.clone()));
        assert_eq!(plain, digest(3, Options { watcher: Some(watcher), ..Options::default() }));
        traces.push(std::mem::take(&mut *trace.lock().unwrap()));
    }
    assert!(traces[0].len() > 100_000);
    assert!(traces[0] == traces[1], "two traces of one run differ");
}

#[test]
fn a_resolved_plan_that_is_followed_gives_the_same_run() {
    for path in [SCENARIO, "scenarios/leader-switch/decoy-fault.toml", "scenarios/bugs/readindex-no-term-commit.toml"] {
        let file = scenario(path);
        let first = run(&file, None, 11, &[], Options::default());
        let plan = first.outcome.expect("the run ended").plan;
        assert!(!plan.is_empty(), "{path}");
        let followed = run(&file, None, 11, &[], Options { follow: Some(plan), ..Options::default() });
        assert_eq!(first.report.digest, followed.report.digest, "{path}");
    }
}
