//! Sweeps from the command line: the same rows for any number of workers, files for machines, and failures by kind.

#[path = "support/folder.rs"]
mod folder;
#[path = "support/command.rs"]
mod run;

use folder::Folder;
use run::{Ran, command, json, seedbed};
use serde_json::Value;
use std::fs;
use std::path::Path;

const CRASH: &str = "scenarios/leader-switch/leader-crash.toml";
const ARMS: &str = "scenarios/leader-switch/rejoin-after-isolation.toml";
const BUG: &str = "readindex-no-term-commit";
const BUGGY: &str = "scenarios/bugs/readindex-no-term-commit.toml";

/// Runs a sweep and reads its JSON.
fn sweep(args: &[&str]) -> (i32, Value, String) {
    let folder = Folder::new();
    let (json, out) = (folder.path("sweep.json"), folder.path("out"));
    let ran = seedbed(&[&["sweep"], args, &["--json", &json, "--out", &out]].concat());
    let text = fs::read_to_string(json).expect("written");
    (ran.code, serde_json::from_str(&text).expect("JSON"), ran.out)
}

fn digests(sweep: &Value) -> Vec<(u64, String)> {
    let runs = sweep["runs"].as_array().expect("runs");
    runs.iter()
        .map(|run| (run["seed"].as_u64().expect("a seed"), run["digest"].as_str().expect("one").to_owned()))
        .collect()
}

#[test]
fn a_digest_is_the_same_alone_in_a_batch_and_among_workers() {
    let (_, one, _) = sweep(&[CRASH, "--seeds", "0..51", "--jobs", "1"]);
    let (_, two, _) = sweep(&[CRASH, "--seeds", "0..51", "--jobs", "2"]);
    assert_eq!(digests(&one), digests(&two));
    for seed in [0, 50] {
        let (_, alone) = json(&["run", CRASH, "--seed", &seed.to_string(), "--json"]);
        assert_eq!(digests(&one)[seed as usize], (seed, alone["digest"].as_str().expect("one").to_owned()));
    }
    let (_, arms, _) = sweep(&[ARMS, "--seeds", "4"]);
    let (_, alone) = json(&["run", ARMS, "--seed", "4", "--json"]);
    assert_eq!(digests(&arms), [(4, alone["digest"].as_str().expect("one").to_owned())], "arms taken together");
}

#[test]
fn rows_are_complete_and_in_order() {
    let (code, swept, told) = sweep(&["scenarios/leader-switch", "--seeds", "2..4"]);
    assert_eq!(code, 0, "{told}");
    let runs = swept["runs"].as_array().expect("runs");
    assert!(runs.len() >= 30 && runs.len().is_multiple_of(2), "{} runs", runs.len());
    for key in ["scenario", "seed", "bugs", "verdict", "exit", "failed_checks", "digest", "cpu_s"] {
        assert!(runs[0].get(key).is_some(), "{key} is missing in {}", runs[0]);
    }
    let seeds: Vec<u64> = runs.iter().map(|run| run["seed"].as_u64().expect("a seed")).collect();
    assert!(seeds.chunks(2).all(|pair| pair == [2, 3]), "{seeds:?}");
    assert_eq!(swept["seeds"], "2..4");
    assert!(swept["wall_s"].as_f64().expect("seconds") > 0.0);
    assert_eq!((&swept["failures"], &swept["interrupted"]), (&Value::Array(Vec::new()), &false.into()));
    for words in ["rejoin-after-isolation, seeds 2..4", "leader switches a run (median, max)", "pre-vote-off"] {
        assert!(told.contains(words), "\"{words}\" is missing in\n{told}");
    }
    assert!(!told.contains('\u{1b}'), "no colours in a pipe");
}

#[test]
fn shards_have_every_run_once() {
    let (_, whole, _) = sweep(&[CRASH, ARMS, "--seeds", "0..5"]);
    let mut parts = Vec::new();
    for shard in ["0/3", "1/3", "2/3"] {
        let (_, part, _) = sweep(&[CRASH, ARMS, "--seeds", "0..5", "--shard", shard]);
        assert_eq!(part["shard"], shard);
        parts.extend(part["runs"].as_array().expect("runs").iter().map(|run| run["digest"].to_string()));
    }
    let mut whole: Vec<String> =
        whole["runs"].as_array().expect("runs").iter().map(|run| run["digest"].to_string()).collect();
    whole.sort();
    parts.sort();
    assert_eq!(whole, parts);
}

#[test]
fn failures_are_grouped_and_the_first_of_each_kind_is_kept() {
    let folder = Folder::new();
    let (json, junit, out) = (folder.path("sweep.json"), folder.path("sweep.xml"), folder.path("out"));
    let args =
        ["sweep", BUGGY, CRASH, "--seeds", "0..6", "--bug", BUG, "--json", &json, "--junit", &junit, "--out", &out];
    let ran = seedbed(&args);
    assert_eq!(ran.code, 10, "{}", ran.out);
    let told = ran.out;
    assert!(told.contains("failures by signature") && told.contains("first seed "), "{told}");
    let swept: Value = serde_json::from_str(&fs::read_to_string(json).expect("written")).expect("JSON");
    let failures = swept["failures"].as_array().expect("failures");
    let failed = swept["runs"].as_array().expect("runs").iter().filter(|run| run["exit"] != 0).count() as u64;
    let counted: u64 = failures.iter().map(|failure| failure["count"].as_u64().expect("a count")).sum();
    assert!(failed > 0);
    assert_eq!(counted, failed, "each failed run is in one group");
    assert_eq!(fs::read_dir(&out).expect("made").count(), failures.len(), "a capsule a group");
    for failure in failures {
        let capsule = failure["capsule"].as_str().expect("a capsule");
        let Ran { code, out: told, .. } = seedbed(&["replay", capsule]);
        assert_eq!(code, 10, "{told}");
        assert!(told.starts_with(&format!("seed {} · ", failure["first_seed"])), "{told}");
    }
    let junit = fs::read_to_string(junit).expect("written");
    assert_eq!(junit.matches("<testcase ").count(), 2, "a test case a scenario: {junit}");
    assert!(
        junit.contains("<failure") && junit.contains(" seeds failed: 0") && junit.contains("seedbed run "),
        "{junit}"
    );
    assert!(junit.contains(&format!("--bug {BUG}")), "the replay line has the bug: {junit}");
}

#[test]
fn the_report_is_the_same_for_any_number_of_workers() {
    let run = |jobs| {
        let (_, mut swept, told) = sweep(&[BUGGY, "--seeds", "0..8", "--bug", BUG, "--jobs", jobs]);
        for run in swept["runs"].as_array_mut().expect("runs") {
            run.as_object_mut().expect("an object").remove("cpu_s");
        }
        let strip =
            |failure: &Value| (failure["signature"].clone(), failure["count"].clone(), failure["first_seed"].clone());
        let failures: Vec<_> = swept["failures"].as_array().expect("failures").iter().map(strip).collect();
        let table: Vec<String> = told.lines().filter(|line| line.contains("median")).map(str::to_owned).collect();
        (swept["runs"].clone(), failures, table)
    };
    assert_eq!(run("1"), run("2"));
}

#[test]
fn bad_sweeps_run_nothing_and_write_nothing() {
    let folder = Folder::new();
    let (json, junit, out) = (folder.path("x.json"), folder.path("x.xml"), folder.path("out"));
    fs::write(folder.path("good.toml"), "name = \"good\"\n").expect("writable");
    fs::write(folder.path("wrong.toml"), "name = \"wrong\"\nseed = 1\n").expect("writable");
    let paths = folder.root().display().to_string();
    let cases: &[(&[&str], &str)] = &[
        (&[&paths, "--seeds", "0..3"], "wrong.toml:2:1: unknown key \"seed\""),
        (&[CRASH, "--seeds", "3..3"], "expected A..B with A < B"),
        (&[CRASH, "--seeds", "9..3"], "expected A..B with A < B"),
        (&[CRASH, "--seeds", "0-9"], "expected A..B with A < B"),
        (&[CRASH, "--seeds", "0..=9"], "leaves its end out"),
        (&[CRASH], "--seeds <A..B>"),
        (&[CRASH, "--seeds", "0..3", "--shard", "3/3"], "there is no shard 3 of 3"),
        (&[CRASH, "--seeds", "0..3", "--jobs", "0"], "0 is not in 1.."),
        (&[CRASH, "--seeds", "0..3", "--arm", "none"], "has no arms"),
        (&[CRASH, "--seeds", "0..3", "--bug", "none"], "unknown bug"),
        (&["no/such/folder", "--seeds", "0..3"], "cannot be read"),
        (&[CRASH, "--seeds", "0..18446744073709551615"], "more runs than can be counted"),
    ];
    for (args, words) in cases {
        let Ran { code, out: told, err } =
            seedbed(&[&["sweep"], *args, &["--json", &json, "--junit", &junit, "--out", &out]].concat());
        assert_eq!((code, told.as_str()), (2, ""), "{args:?}: {err}");
        assert!(err.starts_with("error: ") && err.contains(words), "{args:?}: {err}");
    }
    assert!(![json, junit, out].iter().any(|path| Path::new(path).exists()), "nothing was written");
}

#[cfg(unix)]
#[test]
fn an_interrupted_sweep_reports_what_it_finished() {
    let folder = Folder::new();
    let (json, out) = (folder.path("sweep.json"), folder.path("out"));
    let child = command(&["sweep", CRASH, "--seeds", "0..1000000", "--json", &json, "--out", &out])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("it starts");
    std::thread::sleep(std::time::Duration::from_millis(1500));
    let asked =
        std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill is there");
    assert!(asked.success());
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(130));
    let told = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(told.contains("interrupted after ") && told.contains(" of 1,000,000 runs"), "{told}");
    let swept: Value = serde_json::from_str(&fs::read_to_string(json).expect("written")).expect("JSON");
    assert_eq!(swept["interrupted"], true);
    assert!(!swept["runs"].as_array().expect("runs").is_empty());
}
