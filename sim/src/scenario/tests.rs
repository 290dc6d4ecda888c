//! What a scenario file resolves to. What it is refused for stands in `bad_input.txt`, tested by
//! `tests/scenario_files.rs`.

use super::{units::SECOND, *};
use seedbed::bug::Bug;

const MS: u64 = 1_000_000;

fn parse(text: &str) -> ScenarioFile {
    ScenarioFile::parse("test.toml", text).unwrap_or_else(|error| panic!("error: {error}"))
}

/// A file with a name and this text, as it stands.
fn resolve(text: &str) -> Scenario {
    let file = parse(&format!("name = \"test\"\n{text}"));
    file.resolve(None, &mut |_| 0).unwrap_or_else(|error| panic!("error: {error}"))
}

fn arm(file: &ScenarioFile, name: &str) -> Scenario {
    file.resolve(Some(name), &mut |_| 0).unwrap_or_else(|error| panic!("error: {error}"))
}

#[test]
fn a_name_is_a_scenario() {
    assert_eq!(resolve(""), Scenario { name: "test".into(), ..Scenario::default() });
}

#[test]
fn times_are_seconds_or_text_with_a_unit() {
    let duration = |text: &str| resolve(&format!("duration = {text}")).duration;
    assert_eq!(duration("4"), 4 * SECOND);
    assert_eq!(duration("4.1"), 4_100 * MS);
    assert_eq!(duration("\"300ms\""), 300 * MS);
    assert_eq!(duration("\"150us\""), 150_000);
    assert_eq!(duration("\"150 µs\""), 150_000);
    assert_eq!(duration("\"7ns\""), 7);
    assert_eq!(duration("\"1.5m\""), 90 * SECOND);
    assert_eq!(duration("\"24h\""), 86_400 * SECOND);
}

#[test]
fn a_range_is_one_value_or_two() {
    let latency = |text: &str| resolve(&format!("[network]\nlatency = {text}")).network.latency;
    assert_eq!(latency("\"2ms\""), Range64::exactly(2 * MS));
    assert_eq!(latency("[\"2ms\", 0.01]"), Range64::new(2 * MS, 10 * MS));
    let bytes = |text: &str| resolve(&format!("[[workload]]\nvalue_bytes = {text}")).workloads[0].value_bytes;
    assert_eq!(bytes("100"), Range32::new(100, 100));
    assert_eq!(bytes("[\"1 KiB\", \"1 MiB\"]"), Range32::new(1024, 1 << 20));
}

#[test]
fn pre_vote_is_the_profiles_unless_it_is_set() {
    let pre_vote = |text: &str| resolve(&format!("[cluster]\n{text}")).cluster.pre_vote;
    assert!(pre_vote(""));
    assert!(!pre_vote("profile = \"etcd-3.4\""));
    assert!(pre_vote("profile = \"etcd-3.4\"\npre_vote = true"));
    assert!(!pre_vote("pre_vote = false"));
}

#[test]
fn a_mix_is_what_it_names() {
    let workload = &resolve("[[workload]]\nmix = { put = 3, list = 1 }").workloads[0];
    assert_eq!(workload.mix, Mix { put: 3, get: 0, serializable: 0, delete: 0, cas: 0, list: 1, past: 0 });
    assert_eq!(resolve("workload = []").workloads, []);
}

#[test]
fn a_fault_has_one_of_three_triggers() {
    let trigger = |text: &str| resolve(&format!("[[fault]]\nkind = \"heal\"\n{text}")).faults.remove(0).trigger;
    assert_eq!(trigger("at = [4, 5]"), Trigger::At(Range64::new(4 * SECOND, 5 * SECOND)));
    let condition = Condition {
        event: Event::EntryApplied,
        member: Some(2),
        index: Some(100),
        fault: None,
        nth: 3,
        after: Range64::exactly(SECOND),
    };
    assert_eq!(
        trigger("when = \"entry-applied\"\nmember = \"n2\"\nindex = 100\nnth = 3\nafter = 1"),
        Trigger::When(condition)
    );
    assert_eq!(
        trigger("every = 2\nstart = 1\nstop = 9"),
        Trigger::Random { every: Range64::exactly(2 * SECOND), from: SECOND, until: Some(9 * SECOND) }
    );
}

#[test]
fn a_fault_can_wait_for_one_that_stands_below_it() {
    let faults = resolve(
        "[[fault]]\nkind = \"heal\"\nwhen = \"fault-ended\"\nfault = \"stall\"\n\
         [[fault]]\nname = \"stall\"\nkind = \"fsync-stall\"\nat = 1\ntarget = \"leader\"\nfor = 3",
    )
    .faults;
    let Trigger::When(condition) = &faults[0].trigger else { panic!("a condition was written") };
    assert_eq!((condition.event, condition.fault), (Event::FaultEnded, Some(1)));
    assert_eq!(faults[1].action, Action::FsyncStall { target: Target::Leader, lasting: Range64::exactly(3 * SECOND) });
}

#[test]
fn members_that_no_side_names_are_a_side() {
    let sides = |text: &str| {
        let fault = format!("[cluster]\nmembers = 5\n[[fault]]\nkind = \"partition\"\nat = 1\nsides = {text}");
        match resolve(&fault).faults.remove(0).action {
            Action::Partition { sides, lasting: None, in_flight: InFlight::Die } => sides,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(sides("[[\"n4\", \"n2\"]]"), [vec![4, 2], vec![1, 3, 5]]);
    assert_eq!(sides("[[\"n1\"], [\"n2\", \"n3\", \"n4\", \"n5\"]]"), [vec![1], vec![2, 3, 4, 5]]);
}

/// One fault of each kind, with only the keys that it needs.
#[test]
fn every_kind_of_fault_can_be_written() {
    let needs: &[(&str, &str)] = &[
        ("crash", "target = \"n1\""),
        ("crash-at-disk-op", "target = \"n1\"\nop = [1, 9]"),
        ("pause", "target = \"leader\""),
        ("slow-cpu", "target = \"follower\"\nfactor = 10"),
        ("memory-limit", "target = \"random\"\nbytes = \"64 MiB\""),
        ("partition", "sides = [[\"n1\"]]"),
        ("isolate", "target = \"leader\"\nclients = true"),
        ("one-way", "from = \"leader\"\nto = \"followers\""),
        ("deaf", "target = \"minority\""),
        ("mute", "target = \"majority\""),
        ("loss", "percent = 50"),
        ("delay", "by = \"30ms\""),
        ("duplicate", "percent = 5"),
        ("reorder", "percent = 5\nby = [\"1ms\", \"9ms\"]"),
        ("bandwidth", "bytes_per_s = \"1 MiB\""),
        ("drop", "messages = [\"vote\", \"append-resp\"]"),
        ("heal", ""),
        ("fsync-stall", "target = \"leader\"\nfor = 3"),
        ("slow-disk", "target = \"leader\"\nfactor = 10"),
        ("disk-error", "target = \"leader\"\nerror = \"fsync-fails\""),
        ("lying-fsync", "target = \"all\""),
        ("bit-rot", "target = \"n1\"\nfile = \"wal\""),
        ("latent-sector", "target = \"n1\"\nfile = \"db\""),
        ("misdirected-write", "target = \"n1\"\nfile = \"snap-db\""),
        ("disk-full", "target = \"n1\""),
        ("clock-rate", "target = \"n1\"\nppm = -200"),
        ("clock-jump", "target = \"n1\"\nby = \"-5m\""),
    ];
    let known: Vec<&str> = action::FaultKind::NAMES.to_vec();
    assert_eq!(needs.iter().map(|(kind, _)| *kind).collect::<Vec<_>>(), known);
    for (kind, keys) in needs {
        let fault = resolve(&format!("[[fault]]\nat = 1\nkind = \"{kind}\"\n{keys}")).faults.remove(0);
        assert_eq!(fault.action.kind(), *kind);
    }
    let jump = resolve("[[fault]]\nat = 1\nkind = \"clock-jump\"\ntarget = \"n1\"\nby = \"-5m\"").faults.remove(0);
    assert_eq!(jump.action, Action::ClockJump { target: Target::Member(1), by: -300 * SECOND as i64 });
}

#[test]
fn random_faults_draw_from_families() {
    let fault = resolve("[[fault]]\nrandom = [\"crash\", \"one-way\"]\nevery = 2\nfor = [0.5, 4]").faults.remove(0);
    let lasting = Range64::new(500 * MS, 4 * SECOND);
    assert_eq!(fault.action, Action::Nemesis { families: vec![Family::Crash, Family::OneWay], lasting, intensity: 50 });
}

#[test]
fn expectations_compare_figures() {
    let expect = resolve(
        "[expect]\nslowest_s = \"< 2.5\"\nleader_changes = 0\nok = \">= 100\"\nfinal_term = \"2..4\"\ncause = \"crash\"",
    )
    .expect;
    assert_eq!(expect.cause.as_deref(), Some("crash"));
    assert_eq!(
        expect.observations,
        [
            (Observation::LeaderChanges, Comparison::Equal(0.0)),
            (Observation::FinalTerm, Comparison::Between(2.0, 4.0)),
            (Observation::Ok, Comparison::AtLeast(100.0)),
            (Observation::SlowestS, Comparison::LessThan(2.5)),
        ]
    );
    assert!(Comparison::Between(2.0, 4.0).check(4.0) && !Comparison::Between(2.0, 4.0).check(4.1));
    assert!(Comparison::LessThan(2.5).check(2.4) && !Comparison::LessThan(2.5).check(2.5));
    assert_eq!(Comparison::LessThan(2.5).to_string(), "< 2.5");
    assert_eq!(Comparison::Between(1.0, 3.0).to_string(), "1..3");
}

#[test]
fn an_arm_changes_what_it_names_and_nothing_else() {
    let file = parse(
        r#"
        name = "arms"
        [cluster]
        bugs = ["prevote-wedge@n1"]
        [[fault]]
        kind = "pause"
        at = 1
        target = "leader"
        for = 3
        [expect]
        leader_changes = ">= 1"
        [[vary]]
        name = "plain"
        [[vary]]
        name = "changed"
        set = { "cluster.members" = 5, fault.0.for = "5s", network.loss_ppm = 7 }
        bugs = ["ack-before-wal@n5"]
        expect = { leader_changes = "= 0", violation = "linearizable" }
        [[vary]]
        name = "nothing wrong"
        set = { fault = [] }
        "#,
    );
    assert_eq!(file.arms(), ["plain", "changed", "nothing wrong"]);
    let base = file.resolve(None, &mut |_| 0).expect("parsed");
    assert_eq!(arm(&file, "plain"), base);
    let mut expected = base.clone();
    expected.cluster.members = 5;
    expected.cluster.bugs.push(BugSwitch { bug: Bug::AckBeforeWal, member: Some(5) });
    expected.faults[0].action = Action::Pause { target: Target::Leader, lasting: Some(Range64::exactly(5 * SECOND)) };
    expected.network.loss_ppm = 7;
    expected.expect = Expect {
        cause: None,
        violation: Some("linearizable".into()),
        observations: vec![(Observation::LeaderChanges, Comparison::Equal(0.0))],
    };
    assert_eq!(arm(&file, "changed"), expected);
    assert_eq!(arm(&file, "nothing wrong"), Scenario { faults: vec![], ..base });
    let error = file.resolve(Some("plan"), &mut |_| 0).expect_err("there is no such arm");
    assert_eq!((error.message.as_str(), error.line), ("unknown arm \"plan\"", 1));
    assert!(error.hint.starts_with("did you mean \"plain\"?"));
}

#[test]
fn a_swarm_draws_each_key_once_in_the_files_order() {
    let file = parse(
        "name = \"swarm\"\n[swarm]\n\"cluster.members\" = [1, 3, 5]\nnetwork.loss_ppm = [10, 20]\n[[vary]]\nname = \"arm\"\n\
         set = { \"network.loss_ppm\" = 99 }",
    );
    let mut asked = Vec::new();
    let drawn = file.resolve(None, &mut |below| {
        asked.push(below);
        below - 1
    });
    let drawn = drawn.expect("every draw fits");
    assert_eq!(asked, [3, 2]);
    assert_eq!((drawn.cluster.members, drawn.network.loss_ppm), (5, 20));
    // An arm has the last word.
    assert_eq!(arm(&file, "arm").network.loss_ppm, 99);
    assert_eq!(arm(&file, "arm").cluster.members, 1);
}

#[test]
fn bug_switches_as_the_command_line_takes_them() {
    let everywhere = BugSwitch { bug: Bug::CommitOlderTerm, member: None };
    assert_eq!(parse_bug_switch("commit-older-term"), Ok(everywhere));
    let one = BugSwitch { bug: Bug::CommitOlderTerm, member: Some(2) };
    assert_eq!(parse_bug_switch("commit-older-term@n2"), Ok(one));
    let error = parse_bug_switch("commit-old-term").expect_err("no such bug");
    assert!(error.starts_with("unknown bug \"commit-old-term\": did you mean \"commit-older-term\"?"), "{error}");
    for wrong in
        ["commit-older-term@2", "commit-older-term@n0", "commit-older-term@n02", "commit-older-term@", "", "@n1"]
    {
        assert!(parse_bug_switch(wrong).is_err(), "{wrong:?}");
    }
    let mut cluster = Cluster::default();
    assert_eq!(cluster.switch_on(one), Ok(()));
    let nobody = BugSwitch { member: Some(7), ..one };
    assert_eq!(cluster.switch_on(nobody), Err("there is no n7: the cluster has n1, n2, n3".into()));
    assert_eq!(cluster.bugs, [one]);
}

#[test]
fn every_bug_has_a_name_that_leads_back_to_it() {
    for name in cluster::bug_names() {
        assert_eq!(Bug::from_name(name).map(|bug| bug.info().name), Some(name));
    }
}

/// The example of `docs/experience.md`.
#[test]
fn an_error_shows_the_line_and_what_was_probably_meant() {
    let text = format!("name = \"mine\"\n{}[[fault]]\nkind = \"particion\"\nat = 4\n", "\n".repeat(11));
    let error = ScenarioFile::parse("scenarios/mine.toml", &text).expect_err("a typing error");
    assert_eq!((error.line, error.column), (14, 8));
    assert_eq!(
        error.to_string(),
        "scenarios/mine.toml:14:8: unknown fault kind \"particion\"\n   \
            14 | kind = \"particion\"\n      \
               |        ^^^^^^^^^^^ did you mean \"partition\"? known: crash, crash-at-disk-op, pause, slow-cpu, \
         memory-limit, partition, isolate, one-way, …"
    );
}

#[test]
fn columns_count_characters() {
    let error = ScenarioFile::parse("x", "about = \"äöü𝄞\"\nname = \"ä\"; x = 1").expect_err("no semicolon in TOML");
    assert_eq!((error.line, error.column), (2, 11));
    let error = ScenarioFile::parse("x", "name = \"x\"\r\ncheck = { \"lïnear\" = 1, raft = 0 }\r\n").expect_err("typo");
    assert_eq!((error.line, error.column), (2, 11));
    assert!(error.to_string().contains("^^^^^^^^ "), "{error}");
}

#[test]
fn the_example_of_the_essay_is_a_scenario() {
    let essay = include_str!("mod.rs").split("//! ```toml\n").nth(1).expect("the essay has an example");
    let lines = essay.lines().take_while(|line| *line != "//! ```").map(|line| line.trim_start_matches("//!").trim());
    let file = parse(&lines.collect::<Vec<_>>().join("\n"));
    assert_eq!((file.name(), file.chapter(), file.arms()), ("leader-crash", "04", vec!["patient"]));
    assert_eq!(arm(&file, "patient").cluster.election, 5 * SECOND);
}
