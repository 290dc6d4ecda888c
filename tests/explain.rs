//! Causes are walked from links: a loud fault that hurt nobody is in no chain.

mod support;

use seedbed_sim::world::Options;
use support::{run, scenario};

/// The chains of a run, each as (kind, kind of the fault to blame) by step.
fn chains(path: &str, arm: Option<&str>, seed: u64) -> Vec<Vec<(&'static str, Option<String>)>> {
    let judged = run(&scenario(path), arm, seed, &[], Options::default());
    let plan = judged.outcome.expect("the run ended").plan;
    let kind = |number: u16| plan.iter().find(|fault| fault.number == number).map(|fault| fault.kind.clone());
    let changes = judged.report.leader_changes_detail;
    let steps = changes.into_iter().map(|change| change.cause);
    steps.map(|steps| steps.into_iter().map(|step| (step.kind, step.fault.and_then(kind))).collect()).collect()
}

#[test]
fn the_decoy_is_named_nowhere_and_the_real_cause_first() {
    for seed in 0..10 {
        let chains = chains("scenarios/leader-switch/decoy-fault.toml", None, seed);
        let (root, fault) = &chains[0][0];
        assert_eq!((*root, fault.as_deref()), ("fsync-stall", Some("fsync-stall")), "seed {seed}");
        let blamed = chains.iter().flatten().filter_map(|(_, fault)| fault.as_deref());
        assert!(blamed.clone().all(|fault| fault == "fsync-stall"), "seed {seed}: {:?}", blamed.collect::<Vec<_>>());
    }
}

#[test]
fn each_cause_leads_to_the_fault_that_did_it() {
    for (path, arm, root, fault) in [
        ("leader-crash", None, "crash", Some("crash")),
        ("leader-isolated", None, "isolation", Some("isolate")),
        ("paused-leader", None, "pause", Some("pause")),
        ("slow-cpu-leader", None, "slow-cpu", Some("slow-cpu")),
        ("both-followers-stall", None, "fsync-stall", Some("fsync-stall")),
        ("asymmetric-leader-deaf", Some("check-quorum-on"), "deaf", Some("deaf")),
        ("rejoin-after-isolation", Some("pre-vote-off"), "isolation", Some("isolate")),
        ("lossy-network", Some("nine-in-ten"), "loss", Some("loss")),
        ("transfer-leader", None, "transfer", None),
    ] {
        let chains = chains(&format!("scenarios/leader-switch/{path}.toml"), arm, 5);
        let (kind, blamed) = &chains[0][0];
        assert_eq!((*kind, blamed.as_deref()), (root, fault), "{path}");
        assert_eq!(chains[0].last().map(|(kind, _)| *kind), Some("elected"), "{path}");
    }
}

#[test]
fn a_rejoining_member_deposes_by_its_term_and_a_rehearsal_prevents_it() {
    let off = chains("scenarios/leader-switch/rejoin-after-isolation.toml", Some("pre-vote-off"), 3);
    assert!(off[0].iter().any(|(kind, _)| *kind == "higher-term"), "{off:?}");
    let on = chains("scenarios/leader-switch/rejoin-after-isolation.toml", Some("pre-vote-on"), 3);
    assert!(on.is_empty(), "{on:?}");
}

#[test]
fn every_change_of_a_chaotic_run_has_a_cause() {
    for seed in 0..20 {
        for chain in chains("scenarios/chaos/nemesis-5.toml", None, seed) {
            assert!(chain.len() > 1, "seed {seed}: {chain:?}");
        }
    }
}
