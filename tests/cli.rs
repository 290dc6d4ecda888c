//! What a person meets on the command line: messages and exit codes for bad input, one JSON object, capsules that replay,
//! output that fits where it goes, and runs that nobody's watching changes.

#[path = "support/folder.rs"]
mod folder;
#[path = "support/command.rs"]
mod run;

use folder::Folder;
use run::{command, json, ran, seedbed};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::Stdio;

const CRASH: &str = "scenarios/leader-switch/leader-crash.toml";
const ARMS: &str = "scenarios/leader-switch/rejoin-after-isolation.toml";
/// A bug that this scenario shows with seed 0.
const BUG: &str = "readindex-no-term-commit";
const BUGGY: &str = "scenarios/bugs/readindex-no-term-commit.toml";

/// Bad input: exit 2, nothing on stdout, an error with these words on stderr.
#[track_caller]
fn is_bad(args: &[&str], words: &[&str]) {
    let ran = seedbed(args);
    assert_eq!(ran.code, 2, "{args:?}: {}", ran.err);
    assert_eq!(ran.out, "", "{args:?}: nothing is told of what is not run");
    assert!(ran.err.starts_with("error: "), "{args:?}: {}", ran.err);
    for word in words {
        assert!(ran.err.contains(word), "{args:?}: \"{word}\" is missing in\n{}", ran.err);
    }
}

#[test]
fn bad_scenarios_are_shown_where_they_are_wrong() {
    let folder = Folder::new();
    let out = folder.path("out");
    let cases: &[(&str, &[&str])] = &[
        ("name = \"x\"\nnmae = 1\n", &[":2:1: unknown key \"nmae\"", "did you mean \"name\"", "^^^^"]),
        ("name = \"x\"\n[cluster]\nmembers = \"three\"\n", &[":3:11: ", "members = \"three\""]),
        ("name = \"x\"\n[cluster]\nmembers = 12\n", &[":3:11: "]),
        ("name = \"x\"\n[[fault]]\nkind = \"particion\"\nat = \"1s\"\n", &[":3:8: ", "did you mean \"partition\""]),
        ("name = \n", &[":1:"]),
        ("", &["a scenario needs a name"]),
    ];
    for (text, words) in cases {
        let file = folder.file("mine.toml", text);
        is_bad(&["run", &file, "--out", &out], words);
        is_bad(&["sweep", &file, "--seeds", "0..2", "--out", &out], words);
        is_bad(&["list", &file], words);
    }
    let latin = folder.path("latin.toml");
    fs::write(&latin, b"name = \"x\"\nabout = \"caf\xe9\"\n").expect("writable");
    is_bad(&["run", &latin], &["latin.toml:2: ", "not UTF-8"]);
    assert!(!Path::new(&out).exists(), "nothing was written");
}

#[test]
fn bad_arguments_say_what_was_expected() {
    is_bad(
        &["run", "scenarios/leader-switch/leader-crush.toml"],
        &["cannot be read", "did you mean", "leader-crash.toml"],
    );
    is_bad(&["run", "no/such/thing.toml"], &["cannot be read", "seedbed list"]);
    is_bad(&["run", "scenarios/chaos"], &["is a folder", "seedbed sweep scenarios/chaos"]);
    is_bad(&["run"], &["SCENARIO"]);
    is_bad(&["rnu", CRASH], &["unrecognized subcommand"]);
    is_bad(&["run", CRASH, "--sead", "1"], &["--sead", "--seed"]);
    is_bad(&["run", CRASH, "--seed", "-1"], &["-1"]);
    is_bad(&["run", CRASH, "--bug", "read-index"], &["unknown bug \"read-index\"", BUG]);
    is_bad(&["run", CRASH, "--bug", &format!("{BUG}@2")], &["\"2\" is not a member", "name@n2"]);
    is_bad(&["run", CRASH, "--bug", &format!("{BUG}@n4")], &["there is no n4", "n1, n2, n3"]);
    is_bad(&["run", CRASH, "--arm", "fast"], &["leader-crash.toml has no arms"]);
    is_bad(&["run", ARMS, "--arm", "pre-vote-of"], &["did you mean \"pre-vote-off\"", "pre-vote-on"]);
    is_bad(&["run", CRASH, "--trace", "/no/such/folder/x"], &["--trace /no/such/folder/x: cannot be written"]);
    is_bad(&["list", "--json", "--schema"], &["cannot be used with"]);
    is_bad(&["list", "sim/src/cli"], &["no scenario (*.toml) below it"]);
}

#[test]
fn help_shows_examples_and_exit_codes() {
    for args in [&["--help"][..], &["run", "--help"], &["sweep", "--help"], &["replay", "--help"], &["list", "--help"]]
    {
        let ran = seedbed(args);
        assert_eq!(ran.code, 0, "{args:?}");
        assert!(ran.out.contains("Examples:"), "{args:?}: {}", ran.out);
    }
    assert!(seedbed(&["--help"]).out.contains("130  interrupted"));
    assert!(seedbed(&["--version"]).out.contains("(build "), "reports of bugs need the fingerprint");
}

#[test]
fn a_run_tells_its_seed_its_causes_and_how_to_run_it_again() {
    let ran = seedbed(&["run", CRASH, "--seed", "42"]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    assert!(ran.out.starts_with("seed 42 · leader-crash · 3 members, "), "{}", ran.out);
    for words in [" leads ", " fault ", " dies; ", " healed ", "why the leader switched at ", "→ ", "✓ linearizable"]
    {
        assert!(ran.out.contains(words), "\"{words}\" is missing in\n{}", ran.out);
    }
    let replay = format!("  replay   seedbed run {CRASH} --seed 42\n");
    assert!(ran.out.ends_with(&replay), "{}", ran.out);
    assert!(ran.out.lines().all(|line| line.chars().count() <= 100 || line.contains("seedbed run")), "{}", ran.out);
}

#[test]
fn arms_stand_side_by_side() {
    let ran = seedbed(&["run", ARMS, "--seed", "3"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    for words in ["arm pre-vote-off", "arm pre-vote-on", "leader switches ", "term at the end ", "verdict "] {
        assert!(ran.out.contains(words), "\"{words}\" is missing in\n{}", ran.out);
    }
    let one = seedbed(&["run", ARMS, "--seed", "3", "--arm", "pre-vote-on"]);
    assert!(one.out.starts_with("seed 3 · rejoin-after-isolation · arm pre-vote-on · "), "{}", one.out);
    assert!(!one.out.contains("pre-vote-off"), "{}", one.out);
    assert!(one.out.contains("--arm pre-vote-on"), "the replay line names the arm");
}

#[test]
fn json_is_one_object_with_everything_in_it() {
    let (code, run) = json(&["run", CRASH, "--seed", "7", "--json"]);
    assert_eq!(code, 0);
    let keys = [
        "scenario",
        "seed",
        "bugs",
        "verdict",
        "exit",
        "digest",
        "simulated_s",
        "cpu_s",
        "events",
        "leader_changes",
        "leader_changes_detail",
        "failed_checks",
        "failures",
        "checks",
        "expectations",
        "observations",
        "clients",
        "replay",
        "peak_mib",
    ];
    for key in keys {
        assert!(run.get(key).is_some(), "{key} is missing in {run}");
    }
    assert_eq!((&run["seed"], &run["exit"], &run["verdict"]), (&7.into(), &0.into(), &"passed".into()));
    let change = &run["leader_changes_detail"][0];
    for key in ["at", "from", "to", "term", "leaderless_s", "cause"] {
        assert!(change.get(key).is_some(), "{key} is missing in {change}");
    }
    let (_, arms) = json(&["run", ARMS, "--json"]);
    let names: Vec<&Value> = arms["arms"].as_array().expect("arms").iter().map(|arm| &arm["arm"]).collect();
    assert_eq!(names, ["pre-vote-off", "pre-vote-on"]);
    let ran = seedbed(&["run", CRASH, "--json", "-v"]);
    assert!(serde_json::from_str::<Value>(&ran.out).is_ok(), "what -v tells goes to stderr: {}", ran.out);
    assert!(ran.err.contains("leads term 2"), "{}", ran.err);
}

fn digest(args: &[&str]) -> String {
    json(args).1["digest"].as_str().expect("a digest").to_owned()
}

#[test]
fn watching_changes_nothing_and_traces_are_equal() {
    let folder = Folder::new();
    let (first, second) = (folder.path("first.trace"), folder.path("second.trace"));
    let plain = digest(&["run", CRASH, "--seed", "5", "--json"]);
    assert_eq!(plain.len(), 16, "{plain}");
    for watched in
        [&["-v"][..], &["-vv"], &["--columns"], &["--trace", &first], &["-v", "--columns", "--trace", &second]]
    {
        let args = [&["run", CRASH, "--seed", "5", "--json"], watched].concat();
        assert_eq!(digest(&args), plain, "{watched:?}");
    }
    let told = seedbed(&["run", CRASH, "--seed", "5"]).out;
    assert!(told.contains(&format!("  digest   {plain}\n")), "{told}");
    let trace = fs::read(&first).expect("written");
    assert!(trace == fs::read(&second).expect("written"), "two traces of one run differ");
    let trace = String::from_utf8(trace).expect("UTF-8");
    assert!(trace.starts_with("# leader-crash, seed 5\n1 "), "{}", &trace[..200]);
    let events = json(&["run", CRASH, "--seed", "5", "--json"]).1["events"].as_u64();
    assert_eq!(Some(trace.lines().count() as u64 - 1), events, "a line each, and a heading");
}

#[test]
fn verbose_streams_what_happens_inside_members() {
    let lines = seedbed(&["run", CRASH, "-v"]).out;
    assert!(lines.contains("asks for pre-votes for term 2: heard no leader for "), "{lines}");
    assert!(!lines.contains("applies entry"), "daily work is told to -vv");
    assert!(seedbed(&["run", CRASH, "-vv"]).out.contains("applies entry"));
    let columns = seedbed(&["run", CRASH, "--columns"]).out;
    assert!(columns.contains("│ n1 ") && columns.contains("│ n3"), "{columns}");
}

#[test]
fn a_failure_is_told_kept_and_replayed() {
    let folder = Folder::new();
    let ran = seedbed(&["run", BUGGY, "--bug", BUG, "--out", &folder.path("out")]);
    assert_eq!(ran.code, 10, "{}", ran.out);
    for words in ["FAILED   linearizable: ", "(exit 10)", "← ", "bugs on  readindex-no-term-commit", "seedbed replay "]
    {
        assert!(ran.out.contains(words), "\"{words}\" is missing in\n{}", ran.out);
    }
    let line = ran.out.lines().find_map(|line| line.strip_prefix("  capsule  ")).expect("a capsule");
    let again = seedbed(&["replay", line]);
    assert_eq!((again.code, again.err.as_str()), (10, ""), "{}", again.out);
    assert!(again.out.contains("FAILED   linearizable: "), "{}", again.out);
    let (code, report) = json(&["replay", line, "--json"]);
    assert_eq!((code, &report["exit"]), (10, &10.into()));
    assert_eq!(report["replayed"]["diverged"], false);
    assert_eq!(fs::read_dir(folder.path("out")).expect("made").count(), 1, "the capsule, and nothing half-written");
}

#[test]
fn a_capsule_that_tells_another_run_is_found_out() {
    let folder = Folder::new();
    let ran =
        seedbed(&["run", BUGGY, "--bug", BUG, "--out", &folder.path("out"), "--trace", &folder.path("kept.trace")]);
    let capsule = ran.out.lines().find_map(|line| line.strip_prefix("  capsule  ")).expect("a capsule");
    let text = fs::read_to_string(capsule).expect("readable");
    let value: Value = serde_json::from_str(&text).expect("JSON");
    let digest = value["digest"].as_str().expect("a digest");

    let tampered = folder.file("tampered.seedbed", text.replace(digest, "0123456789abcdef"));
    let again = seedbed(&["replay", &tampered]);
    assert_eq!(again.code, 15, "{}", again.err);
    assert!(again.err.contains("they part between "), "{}", again.err);

    let checkpoint = value["checkpoints"][1]["digest"].as_str().expect("a checkpoint");
    let tampered = folder.file("earlier.seedbed", text.replace(checkpoint, "0123456789abcdef"));
    let again = seedbed(&["replay", &tampered]);
    let event = value["checkpoints"][0]["event"].as_u64().expect("an event") + 1;
    assert_eq!(again.code, 15, "{}", again.err);
    let thousands = |n: u64| format!("{},{:03}", n / 1000, n % 1000);
    assert!(again.err.contains(&format!("they part between event {}", thousands(event))), "{}", again.err);

    // Another seed runs otherwise, and the kept trace says from where on.
    let tampered = folder.file("seed.seedbed", text.replace("\"seed\": 0", "\"seed\": 1"));
    let trace = fs::read_to_string(folder.path("kept.trace")).expect("kept").replace(", seed 0\n", ", seed 1\n");
    folder.file("kept.trace", &trace);
    let again = seedbed(&["replay", &tampered]);
    assert_eq!(again.code, 15, "{}", again.err);
    assert!(again.err.contains("\n  then  ") && again.err.contains("\n  now   "), "{}", again.err);

    let same = folder.path("kept.trace");
    is_bad(&["replay", capsule, "--trace", &same], &["the trace that the run is compared with"]);

    // Another build's capsule is judged, not refused.
    let build = value["build"].as_str().expect("a fingerprint");
    let other = text.replace(build, "0000000000000000").replace(digest, "0123456789abcdef");
    let again = seedbed(&["replay", &folder.file("other.seedbed", &other)]);
    assert_eq!(again.code, 10, "{}", again.err);
    assert!(again.err.contains("warning: ") && again.err.contains("another build"), "{}", again.err);
}

#[test]
fn broken_capsules_are_refused_with_their_place() {
    let folder = Folder::new();
    let ran = seedbed(&["run", BUGGY, "--bug", BUG, "--out", &folder.path("out")]);
    let capsule = ran.out.lines().find_map(|line| line.strip_prefix("  capsule  ")).expect("a capsule");
    let text = fs::read_to_string(capsule).expect("readable");
    let file = |text: &str| folder.file("x.seedbed", text);
    is_bad(&["replay", &file(&text[..text.len() / 3])], &["x.seedbed:", "EOF while parsing", "expected a capsule"]);
    is_bad(&["replay", &file("")], &["x.seedbed:1:1: EOF"]);
    is_bad(&["replay", &file("name = \"x\"")], &["x.seedbed:1:2: expected"]);
    is_bad(
        &["replay", &file(&text.replace("\"version\": 1", "\"version\": 2"))],
        &[":2:14: ", "integer `2`, expected 1"],
    );
    is_bad(&["replay", &file(&text.replace("\"seed\"", "\"sead\""))], &["unknown field `sead`"]);
    is_bad(&["replay", &file(&text.replace(BUG, "no-such-bug"))], &["unknown bug"]);
    is_bad(&["replay", &folder.path("none.seedbed")], &["cannot be read"]);
}

#[test]
fn piped_output_is_plain_and_fits_any_width() {
    assert!(!seedbed(&["run", CRASH, "-v"]).out.contains('\u{1b}'), "no colours in a pipe");
    assert!(seedbed(&["--color", "always", "run", CRASH]).out.contains('\u{1b}'), "unless asked for");
    for columns in ["1", "40", "57", "80", "300", "many", ""] {
        for args in [&["run", ARMS][..], &["run", CRASH, "--columns"], &["list"], &["bugs"]] {
            let ran = ran(command(args).env("COLUMNS", columns).output().expect("it runs"));
            assert_eq!(ran.code, 0, "{args:?} at {columns:?}: {}", ran.err);
        }
    }
    let narrow = ran(command(&["run", CRASH]).env("COLUMNS", "50").output().expect("it runs"));
    let wide = narrow.out.lines().filter(|line| line.chars().count() > 50 && !line.contains("seedbed run"));
    assert_eq!(wide.collect::<Vec<_>>(), Vec::<&str>::new());
}

#[test]
fn a_reader_that_goes_away_changes_neither_verdict_nor_peace() {
    for args in [&["run", CRASH, "-vv"][..], &["list"], &["list", "--schema"], &["run", CRASH, "--json"]] {
        let mut child = command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
        drop(child.stdout.take());
        let output = child.wait_with_output().expect("it ends");
        assert_eq!(output.status.code(), Some(0), "{args:?}");
        assert!(!String::from_utf8_lossy(&output.stderr).contains("panicked"), "{args:?}");
    }
}

#[test]
fn lists_are_tables_or_arrays() {
    let table = seedbed(&["list"]).out;
    assert!(table.contains("leader-crash.toml") && table.contains("[arms: pre-vote-off · pre-vote-on]"), "{table}");
    let (code, list) = json(&["list", "--json"]);
    let list = list.as_array().expect("an array");
    assert_eq!(code, 0);
    assert!(list.len() >= 20);
    let crash = list.iter().find(|one| one["name"] == "leader-crash").expect("it is there");
    assert_eq!(crash["path"], CRASH);
    assert_eq!(crash["chapter"], "04");
    let (_, schema) = json(&["list", "--schema"]);
    assert!(schema.get("properties").is_some());
    let (_, bugs) = json(&["bugs", "--json"]);
    let bug = bugs.as_array().expect("an array").iter().find(|bug| bug["name"] == BUG).expect("it is there");
    for key in ["issue", "versions", "class", "scenario", "check", "seeds_to_find"] {
        assert!(bug.get(key).is_some(), "{key} is missing in {bug}");
    }
    assert!(seedbed(&["bugs"]).out.contains(BUG));
    // From a folder without scenarios there is nothing to list, and the error says where to look.
    let folder = Folder::new();
    let elsewhere = command(&["list", "--json"]).current_dir(folder.root()).output().expect("it runs");
    assert_eq!(elsewhere.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&elsewhere.stderr).contains("scenarios"));
    assert!(folder.is_empty());
}
