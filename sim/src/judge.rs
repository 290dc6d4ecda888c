//! From a run to its verdict: every check, every expectation, the cause of every change of leader.

use crate::check::linearizable::{self, Prover, Verdict as Linearizable};
use crate::check::watch::{self, Guarantee, WatchRecord};
use crate::check::{Budget, Violation, by_log, informer, lock, serializable, transfer};
use crate::explain::{self, Explainer};
use crate::figures;
use crate::report::{
    CheckReport, CheckResult, ClientFigures, ExpectationReport, FailureReport, LeaderChangeReport, Report, Verdict,
};
use crate::run::{self, thread_cpu_time};
use crate::scenario::{BugSwitch, Observation, Scenario, ScenarioError, ScenarioFile, Tolerance, WorkloadKind};
use crate::story::quoted;
use crate::story::words::{count, counted};
use crate::watched::Watched;
use crate::world::random::Stream;
use crate::world::{Options, Outcome, digest};
use std::collections::{BTreeMap, BTreeSet};

/// A judged run, with what it was judged from.
#[derive(Debug)]
pub struct Judged {
    /// What it came to.
    pub report: Report,
    /// What was run.
    pub scenario: Scenario,
    /// What the world left; `None` if the harness itself failed.
    pub outcome: Option<Outcome>,
}

/// Resolves one arm of a scenario for a seed, switches `bugs` on, runs it, and judges it.
pub fn judge(
    file: &ScenarioFile,
    arm: Option<&str>,
    seed: u64,
    bugs: &[BugSwitch],
    options: Options,
) -> Result<Judged, ScenarioError> {
    let mut swarm = Stream::new(seed, "swarm");
    let mut scenario = file.resolve(arm, &mut |n| swarm.below(n))?;
    scenario.cluster.bugs.extend(bugs);
    let mut report = blank(file, &scenario, arm, seed, bugs);
    let outcome = match run::run(&scenario, seed, options) {
        Err(message) => {
            report.verdict = Verdict::Broken;
            report.failures.push(FailureReport { check: "harness".into(), text: message, operations: Vec::new() });
            report.signature = Some(format!("harness · {}", report.failures[0].text));
            None
        }
        Ok(ran) => {
            let began = thread_cpu_time();
            fill(&mut report, &scenario, &ran.outcome);
            report.cpu_s = (ran.cpu + thread_cpu_time() - began) as f64 / 1e9;
            Some(ran.outcome)
        }
    };
    report.exit = report.verdict.exit();
    Ok(Judged { report, scenario, outcome })
}

/// One report over all arms of a scenario: digests in order, figures added up, the lowest exit code that is not 0.
pub fn combine(arms: Vec<Report>) -> Report {
    let mut whole = arms.first().expect("invariant: a scenario has an arm").clone();
    if arms.len() == 1 {
        return whole;
    }
    let worst = arms.iter().filter(|arm| arm.exit != 0).min_by_key(|arm| arm.exit).unwrap_or(&arms[0]);
    (whole.verdict, whole.exit, whole.signature) = (worst.verdict, worst.exit, worst.signature.clone());
    let mut folded = digest::Digest::default();
    arms.iter().for_each(|arm| folded.fold(&arm.digest));
    whole.digest = folded.value();
    whole.arm = None;
    whole.simulated_s = arms.iter().map(|arm| arm.simulated_s).sum();
    whole.cpu_s = arms.iter().map(|arm| arm.cpu_s).sum();
    whole.events = arms.iter().map(|arm| arm.events).sum();
    whole.leader_changes = arms.iter().map(|arm| arm.leader_changes).sum();
    whole.leader_changes_detail = arms.iter().flat_map(|arm| arm.leader_changes_detail.clone()).collect();
    whole.failures = arms.iter().flat_map(|arm| arm.failures.clone()).collect();
    whole.checks = arms.iter().flat_map(|arm| arm.checks.clone()).collect();
    whole.expectations = arms.iter().flat_map(|arm| arm.expectations.clone()).collect();
    // What an arm expected to fail is no failure of the whole.
    let failed = arms.iter().filter(|arm| arm.exit != 0).flat_map(|arm| arm.failed_checks.clone());
    whole.failed_checks = failed.collect();
    whole.failed_checks.dedup();
    (whole.observations, whole.db) = (BTreeMap::new(), Vec::new());
    // The first arm's command, without the arm: it has the command line's bugs.
    let arm = arms[0].arm.as_ref().map(|arm| format!(" --arm {}", quoted(arm)));
    whole.replay = arm.map_or(arms[0].replay.clone(), |arm| arms[0].replay.replacen(&arm, "", 1));
    whole.arms = arms;
    whole
}

fn blank(file: &ScenarioFile, scenario: &Scenario, arm: Option<&str>, seed: u64, bugs: &[BugSwitch]) -> Report {
    let mut replay = format!("seedbed run {} --seed {seed}", quoted(file.file()));
    if let Some(arm) = arm {
        replay += &format!(" --arm {}", quoted(arm));
    }
    for bug in bugs {
        replay += &format!(" --bug {bug}");
    }
    Report {
        scenario: scenario.name.clone(),
        path: file.file().to_owned(),
        arm: arm.map(str::to_owned),
        seed,
        bugs: scenario.cluster.bugs.iter().map(ToString::to_string).collect(),
        verdict: Verdict::Passed,
        exit: 0,
        digest: 0,
        simulated_s: 0.0,
        cpu_s: 0.0,
        events: 0,
        leader_changes: 0,
        leader_changes_detail: Vec::new(),
        failed_checks: Vec::new(),
        failures: Vec::new(),
        checks: Vec::new(),
        expectations: Vec::new(),
        observations: BTreeMap::new(),
        db: Vec::new(),
        columns: scenario.report.columns.iter().map(|column| column.name()).collect(),
        clients: ClientFigures::default(),
        signature: None,
        replay,
        arms: Vec::new(),
    }
}

fn fill(report: &mut Report, scenario: &Scenario, outcome: &Outcome) {
    report.digest = outcome.digest;
    report.simulated_s = outcome.ended_at as f64 / 1e9;
    report.events = outcome.events;
    report.leader_changes_detail = leader_changes(scenario, outcome);
    report.leader_changes = report.leader_changes_detail.len() as u64;
    report.clients = figures::clients(outcome);
    report.db = figures::databases(&outcome.tally);
    report.observations = observations(report, outcome);
    let mut judge = Checks { scenario, outcome, report };
    judge.all();
    decide(report, scenario, outcome);
}

/// The checks of one run.
struct Checks<'a> {
    scenario: &'a Scenario,
    outcome: &'a Outcome,
    report: &'a mut Report,
}

impl Checks<'_> {
    fn all(&mut self) {
        let wanted = &self.scenario.check;
        if wanted.raft {
            let names: Vec<_> = self.failed(|check| check.starts_with("raft-"));
            self.line("raft", names, counted(self.outcome.raft_steps, "step", "steps"));
        }
        if wanted.linearizable {
            self.linearizable();
        }
        if wanted.serializable {
            self.serializable();
        }
        if wanted.members_equal {
            self.met("members-equal", counted(self.outcome.compared, "state compared", "states compared"));
        }
        if wanted.wal_replay {
            self.met("wal-replay", counted(self.outcome.replays, "restart", "restarts"));
        }
        if wanted.wal_replay_equals_backend {
            let compared = counted(self.outcome.stores_compared, "store compared", "stores compared");
            self.met("wal-replay-equals-backend", compared);
        }
        let databases = &self.outcome.tally.databases;
        if wanted.compaction_hash && databases.iter().any(|database| database.compactions > 0) {
            self.met("compaction-hash", format!("{} compared", count(self.outcome.compactions_compared)));
        }
        if wanted.backend_check && self.outcome.files_checked > 0 {
            self.met("backend-check", counted(self.outcome.files_checked, "file", "files"));
        }
        if wanted.member_stopped && self.outcome.stops > 0 {
            self.met("member-stopped", counted(self.outcome.stops, "member", "members"));
        }
        if self.scenario.workloads.iter().any(|workload| workload.kind == WorkloadKind::Transfer) {
            self.transfer_total();
        }
        if wanted.lease && self.outcome.leases.granted > 0 {
            self.met("lease", counted(self.outcome.leases.granted, "lease", "leases"));
        }
        if wanted.auth && self.scenario.cluster.auth {
            self.met("auth", counted(self.outcome.decisions, "decision", "decisions"));
        }
        if !self.outcome.taken.is_empty() {
            self.locks();
        }
        if wanted.membership && self.outcome.member_changes > 0 {
            let names = self.failed(|check| check == "membership");
            self.line("membership", names, counted(self.outcome.member_changes, "change", "changes"));
        }
        if wanted.liveness && self.scenario.tolerance != Tolerance::SafetyOnly {
            let after = self.outcome.alive_at.map(|at| at.saturating_sub(self.outcome.healed_at));
            let detail = after
                .map_or("no progress".into(), |after| format!("progress {} s after healing", explain::seconds(after)));
            self.met("liveness", detail);
        }
        if wanted.watch && !self.outcome.watches.is_empty() {
            self.watches();
        }
        if !self.outcome.caches.is_empty() {
            let result = informer::check(&self.outcome.caches, &self.outcome.truth);
            self.verdict("informer", result.map(|copies| counted(copies, "copy", "copies")));
        }
        if let Some(message) = &self.outcome.panic {
            self.fail("panic", message.clone(), Vec::new());
            self.line("panic", vec!["panic".into()], "a member panicked".into());
        }
    }

    /// Says what became of a check that was made on the way.
    fn met(&mut self, check: &str, detail: String) {
        let names = self.failed(|name| name == check);
        self.line(check, names, detail);
    }

    /// Takes over what failed on the way and is one of these.
    fn failed(&mut self, which: impl Fn(&str) -> bool) -> Vec<String> {
        let failed: Vec<_> = self.outcome.failures.iter().filter(|failure| which(failure.check)).collect();
        failed.iter().for_each(|failure| self.fail(failure.check, failure.text.clone(), Vec::new()));
        failed.iter().map(|failure| failure.check.to_owned()).collect()
    }

    fn linearizable(&mut self) {
        let budget = Budget {
            steps: self.scenario.check.budget_steps,
            memo_bytes: (self.scenario.check.budget_mib << 20) as usize,
        };
        let operations = counted(self.outcome.history.operations.len() as u64, "operation", "operations");
        if !self.outcome.asked.is_empty() {
            return self.linearizable_by_log();
        }
        match linearizable::check(&self.outcome.history, budget) {
            Linearizable::Linearizable { by } => {
                let by = match by {
                    Prover::Witness => "witness",
                    Prover::Search => "search",
                };
                self.line("linearizable", Vec::new(), format!("{by}, {operations}"));
            }
            Linearizable::NotLinearizable(violation) => {
                self.violated("linearizable", &violation);
                self.line("linearizable", vec!["linearizable".into()], operations);
            }
            Linearizable::Undecided { why } => {
                self.check("linearizable", CheckResult::Undecided, why);
            }
        }
    }

    /// Requests of any kind.
    fn linearizable_by_log(&mut self) {
        let asked = &self.outcome.asked;
        match by_log::check(&self.outcome.committed, asked) {
            Ok(judged) => {
                self.line("linearizable", Vec::new(), format!("log, {}", counted(judged, "request", "requests")))
            }
            Err(wrong) => {
                let lines = wrong.requests.iter().map(|&number| asked[number].to_string()).collect();
                self.fail("linearizable", wrong.sentence, lines);
                self.line("linearizable", vec!["linearizable".into()], String::new());
            }
        }
    }

    fn transfer_total(&mut self) {
        match transfer::check(&self.outcome.asked) {
            Ok(reads) => self.line("transfer-total", Vec::new(), counted(reads, "read", "reads")),
            Err((number, text)) => {
                self.fail("transfer-total", text, vec![self.outcome.asked[number].to_string()]);
                self.line("transfer-total", vec!["transfer-total".into()], String::new());
            }
        }
    }

    fn locks(&mut self) {
        let Outcome { taken, truth, .. } = self.outcome;
        let holders = counted(taken.len() as u64, "holder", "holders");
        self.verdict("lock", lock::judge_holders(taken, truth).map(|()| holders));
        if self.scenario.workloads.iter().any(|workload| workload.kind == WorkloadKind::Locks) {
            self.verdict("fencing", lock::judge_fencing(truth).map(|writes| counted(writes, "write", "writes")));
        }
    }

    /// The line of a check that passes with a detail, or fails with a sentence.
    fn verdict(&mut self, check: &str, result: Result<String, String>) {
        match result {
            Ok(detail) => self.line(check, Vec::new(), detail),
            Err(text) => {
                self.fail(check, text, Vec::new());
                self.line(check, vec![check.into()], String::new());
            }
        }
    }

    fn serializable(&mut self) {
        match serializable::check(&self.outcome.history, &self.outcome.restarts) {
            Ok(reads) => self.line("serializable", Vec::new(), counted(reads as u64, "read", "reads")),
            Err(violation) => {
                self.violated("serializable", &violation);
                self.line("serializable", vec!["serializable".into()], String::new());
            }
        }
    }

    /// Of each watch what it broke first: the rest often follows from that.
    fn watches(&mut self) {
        let watches = &self.outcome.watches;
        let mut broken: BTreeMap<Guarantee, String> = BTreeMap::new();
        let mut told = BTreeSet::new();
        for violation in watch::check(watches, &self.outcome.truth) {
            if told.insert(violation.watch) {
                broken.entry(violation.guarantee).or_insert_with(|| violation.to_string());
            }
        }
        let names = broken.keys().map(|guarantee| guarantee.check().to_owned()).collect();
        for (guarantee, text) in broken {
            self.fail(guarantee.check(), text, Vec::new());
        }
        let events: usize = watches.iter().map(WatchRecord::events).sum();
        let watches = counted(watches.len() as u64, "watch", "watches");
        self.line("watch", names, format!("{watches}, {}", counted(events as u64, "event", "events")));
    }

    fn violated(&mut self, check: &str, violation: &Violation) {
        let text = violation.to_string();
        let lines = violation.lines(&self.outcome.history);
        self.fail(check, text, lines);
        if self.report.signature.is_none() {
            self.report.signature = Some(format!("{check} · {}", violation.rule.name()));
        }
    }

    fn fail(&mut self, check: &str, text: String, operations: Vec<String>) {
        self.report.failures.push(FailureReport { check: check.to_owned(), text, operations });
    }

    fn line(&mut self, name: &str, failed: Vec<String>, detail: String) {
        let result = match failed.is_empty() {
            true => CheckResult::Passed,
            false if self.scenario.tolerance == Tolerance::Exceeded => CheckResult::BeyondTolerance,
            false => CheckResult::Failed,
        };
        self.report.failed_checks.extend(failed);
        self.check(name, result, detail);
    }

    fn check(&mut self, name: &str, result: CheckResult, detail: String) {
        self.report.checks.push(CheckReport { name: name.to_owned(), result, detail });
    }
}

/// The verdict: what failed, and whether that was expected.
fn decide(report: &mut Report, scenario: &Scenario, outcome: &Outcome) {
    expectations(report, scenario);
    let judged = scenario.tolerance != Tolerance::Exceeded;
    let wanted = scenario.expect.violation.as_deref();
    let surprising: Vec<&str> =
        report.failed_checks.iter().map(String::as_str).filter(|check| Some(*check) != wanted).collect();
    let unmet = report.expectations.iter().any(|expectation| !expectation.met);
    let undecided = report.checks.iter().any(|check| check.result == CheckResult::Undecided);
    report.verdict = if outcome.stuck.is_some() {
        Verdict::Broken
    } else if judged && surprising.iter().any(|check| !matches!(*check, "liveness" | "panic")) {
        Verdict::Unsafe
    } else if judged && surprising.contains(&"liveness") {
        Verdict::NoProgress
    } else if surprising.contains(&"panic") {
        Verdict::Panicked
    } else if unmet {
        Verdict::Unexpected
    } else if undecided {
        Verdict::Undecided
    } else {
        Verdict::Passed
    };
    if let Some(stuck) = &outcome.stuck {
        report.failures.push(FailureReport { check: "harness".into(), text: stuck.clone(), operations: Vec::new() });
    }
    if report.verdict == Verdict::Passed {
        report.signature = None;
    } else if report.signature.is_none() || surprising.first() != Some(&"linearizable") {
        report.signature = Some(signature(report, &surprising));
    }
}

/// What failures of a kind have in common: the check, and its message up to its first number.
fn signature(report: &Report, surprising: &[&str]) -> String {
    if let Some(check) = surprising.first() {
        let failure = report.failures.iter().find(|failure| failure.check == **check);
        let text: String = failure.map_or("", |failure| &failure.text).chars().take(160).collect();
        return format!("{check} · {}", without_numbers(&text));
    }
    match report.expectations.iter().find(|expectation| !expectation.met) {
        Some(expectation) => format!("expect · {}", expectation.expected),
        None => format!("{:?}", report.verdict).to_lowercase(),
    }
}

fn without_numbers(text: &str) -> String {
    let numbered = |word: &&str| word.chars().any(|c| c.is_ascii_digit());
    let mut words = text.split_whitespace().skip_while(numbered).peekable();
    let kept: Vec<&str> = std::iter::from_fn(|| words.next_if(|word| !numbered(word))).collect();
    let kept = kept.join(" ");
    let kept = kept.trim_end_matches([':', ',', ';']);
    // A sentence that breaks off says so.
    if words.peek().is_some() && !kept.is_empty() { format!("{kept} …") } else { kept.to_owned() }
}

fn expectations(report: &mut Report, scenario: &Scenario) {
    let mut expected = Vec::new();
    for (observation, comparison) in &scenario.expect.observations {
        let seen = report.observations.get(observation.name()).copied().unwrap_or(0.0);
        expected.push(ExpectationReport {
            expected: format!("{} {comparison}", observation.name()),
            seen: trim(seen),
            met: comparison.check(seen),
        });
    }
    if let Some(cause) = &scenario.expect.cause {
        let chain = report.leader_changes_detail.first().map(|change| &change.cause);
        let kinds: Vec<&str> = chain.map(|steps| steps.iter().map(|step| step.kind).collect()).unwrap_or_default();
        expected.push(ExpectationReport {
            expected: format!("cause = {cause}"),
            seen: if kinds.is_empty() { "no change of leader".into() } else { kinds.join(" → ") },
            met: kinds.contains(&cause.as_str()),
        });
    }
    if let Some(violation) = &scenario.expect.violation {
        let failed = &report.failed_checks;
        expected.push(ExpectationReport {
            expected: format!("violation = {violation}"),
            seen: if failed.is_empty() { "none".into() } else { failed.join(", ") },
            met: failed.contains(violation),
        });
    }
    report.expectations = expected;
}

/// A figure with three decimals, without trailing zeros.
fn trim(figure: f64) -> String {
    let text = format!("{figure:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn leader_changes(scenario: &Scenario, outcome: &Outcome) -> Vec<LeaderChangeReport> {
    let cluster = &scenario.cluster;
    let explainer = Explainer::new(outcome, cluster.members, cluster.heartbeat, cluster.election);
    let mut since = outcome.tally.first_leader.map_or(0, |(at, ..)| at);
    let changes = outcome.tally.leader_changes.iter().map(|change| {
        let cause = explainer.explain(change, since);
        since = change.at;
        let advice = explain::advice(cause.first().map_or("", |step| step.kind), &cause);
        LeaderChangeReport {
            at: change.at as f64 / 1e9,
            from: explain::name(change.from),
            to: explain::name(change.to),
            term: change.term,
            leaderless_s: change.at.saturating_sub(change.leaderless_from) as f64 / 1e9,
            cause,
            advice: advice.to_owned(),
        }
    });
    changes.collect()
}

fn observations(report: &Report, outcome: &Outcome) -> BTreeMap<&'static str, f64> {
    let leaderless = report.leader_changes_detail.iter().map(|change| change.leaderless_s);
    let tally = &outcome.tally;
    let watched = Watched::of(outcome);
    let figure = |observation: &Observation| match observation {
        Observation::LeaderChanges => report.leader_changes as f64,
        Observation::LeaderlessS => leaderless.clone().fold(0.0, f64::max),
        Observation::LeaderlessTotalS => leaderless.clone().sum(),
        Observation::FinalTerm => tally.final_term as f64,
        Observation::Campaigns => tally.campaigns as f64,
        Observation::Ok => report.clients.ok as f64,
        Observation::Unknown => report.clients.unknown as f64,
        Observation::Failed => report.clients.failed as f64,
        Observation::Crashes => tally.crashes as f64,
        Observation::SnapshotsSent => tally.snapshots_sent as f64,
        Observation::SlowestS => report.clients.slowest_s,
        Observation::Events => report.events as f64,
        other => {
            let of_clients = watched.observe(*other).or_else(|| figures::counted(*other, outcome));
            let of_others = of_clients.or_else(|| figures::observe(*other, tally));
            of_others.expect("invariant: the rest is of watches, counted, or of databases")
        }
    };
    Observation::ALL.iter().map(|observation| (observation.name(), figure(observation))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_has_no_numbers_and_says_where_it_breaks_off() {
        assert_eq!(without_numbers("n2 compacted to revision 49 and has hash 7"), "compacted to revision …");
        assert_eq!(without_numbers("no leader was found"), "no leader was found");
        assert_eq!(without_numbers("n2: it stands still, 7"), "it stands still …");
    }

    /// A second of a sound cluster, to be spoiled.
    fn outcome(scenario: &Scenario) -> Outcome {
        run::run(scenario, 1, Options::default()).expect("the harness holds").outcome
    }

    fn judged(scenario: &Scenario, outcome: &Outcome) -> Report {
        let text = "name = \"sound\"\n";
        let file = ScenarioFile::parse("sound.toml", text).expect("the shortest scenario");
        let mut report = blank(&file, scenario, None, 1, &[]);
        fill(&mut report, scenario, outcome);
        report
    }

    #[test]
    fn a_panic_of_a_member_a_stuck_world_and_a_broken_promise_are_told_apart() {
        let scenario = Scenario { duration: seedbed::time::SECOND, ..Scenario::default() };
        let mut outcome = outcome(&scenario);
        assert_eq!(judged(&scenario, &outcome).verdict, Verdict::Passed);

        outcome.panic = Some("n1 panicked at 0.500 s: invariant: none".into());
        let report = judged(&scenario, &outcome);
        assert_eq!((report.verdict, report.verdict.exit()), (Verdict::Panicked, 12));
        assert_eq!(report.failed_checks, ["panic"]);

        let failure = crate::check::Failure::new("members-equal", "n1 differs".into());
        outcome.failures.push(failure);
        assert_eq!(judged(&scenario, &outcome).verdict, Verdict::Unsafe, "safety comes before a panic");
        let tolerant = Scenario { tolerance: Tolerance::Exceeded, ..scenario.clone() };
        let report = judged(&tolerant, &outcome);
        assert!(report.checks.iter().any(|check| check.result == CheckResult::BeyondTolerance));

        outcome.stuck = Some("events without end".into());
        assert_eq!(judged(&scenario, &outcome).verdict.exit(), 70);
    }

    #[test]
    fn watches_are_judged_and_each_broken_guarantee_fails_by_its_own_name() {
        let text = "name = \"sound\"\nduration = 3\n[[workload]]\n[[workload]]\nkind = \"watch-all\"\nclients = 2\n";
        let file = ScenarioFile::parse("sound.toml", text).expect("a scenario");
        let scenario = file.resolve(None, &mut |_| 0).expect("it resolves");
        let sound = || outcome(&scenario);
        let line = |report: &Report| report.checks.iter().find(|check| check.name == "watch").map(|check| check.result);
        let report = judged(&scenario, &sound());
        assert_eq!((report.verdict, line(&report)), (Verdict::Passed, Some(CheckResult::Passed)));

        // Each of these takes something from, or adds something to, one watch that heard three lists of events.
        let spoil = |how: fn(&mut WatchRecord)| {
            let mut outcome = sound();
            let long = |watch: &&mut WatchRecord| {
                let alive = matches!(watch.end, watch::End::Alive { due: 1.. });
                alive
                    && watch.request.filters.is_empty()
                    && watch.events() == watch.responses.iter().filter(is_list).count()
            };
            let watch = outcome.watches.iter_mut().filter(long).max_by_key(|watch| watch.events());
            how(watch.expect("a watch that heard much"));
            let report = judged(&scenario, &outcome);
            assert_eq!((report.verdict, line(&report)), (Verdict::Unsafe, Some(CheckResult::Failed)));
            report.failed_checks
        };
        fn is_list(response: &&watch::Response) -> bool {
            matches!(response.content, watch::Content::Events(_))
        }
        fn list(watch: &WatchRecord) -> usize {
            let lists = watch.responses.iter().enumerate().filter(|(_, response)| is_list(response));
            lists.map(|(place, _)| place).nth(1).expect("it heard two lists")
        }
        assert_eq!(spoil(|watch| drop(watch.responses.remove(list(watch)))), ["watch-reliable"]);
        let twice = |watch: &mut WatchRecord| watch.responses.insert(list(watch), watch.responses[list(watch)].clone());
        assert_eq!(spoil(twice), ["watch-unique"]);
        let tail = |watch: &mut WatchRecord| watch.responses.truncate(list(watch));
        assert_eq!(spoil(tail), ["watch-tail"]);
        let late = |watch: &mut WatchRecord| {
            let revision = watch.responses[list(watch)].revision;
            let response = watch::Response { at: 0, revision, content: watch::Content::Progress };
            watch.responses.insert(list(watch), response);
        };
        assert_eq!(spoil(late), ["watch-bookmarkable"]);
    }
}
