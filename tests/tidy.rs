//! What the code must not do, by folder: the rules that keep members pure and runs repeatable.
//!
//! This reads source text. It is no proof, but a rule that is broken by accident is broken in plain sight.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use support::root;

/// Names that bring in time, threads, files, sockets, the environment or entropy.
const IMPURE: &[&str] = &[
    "tokio::",
    "tonic::",
    "std::fs",
    "std::net",
    "std::env",
    "std::thread",
    "std::process",
    "std::io",
    "Instant::now",
    "SystemTime",
    "thread_rng",
    "rand::rng",
    "getrandom",
    "ahash",
    "StdRng",
    "SmallRng",
];

/// Names that make a run depend on the order of a hash map. Floating-point functions whose last bits differ between
/// machines stand with them.
const UNSTABLE: &[&str] = &["HashMap", "HashSet", "RandomState", ".ln()", ".exp()", ".powf(", ".sin()", ".cos()"];

/// What of sim/ may touch the real machine: it reads scenarios, writes reports, runs workers, draws on a terminal.
/// The tools speak to clusters that run for real.
const EDGE: &[&str] = &[
    "sim/src/main.rs",
    "sim/src/run.rs",
    "sim/src/sweep.rs",
    "sim/src/capsule.rs",
    "sim/src/cli",
    "sim/src/watch",
    "sim/src/client",
    "sim/src/bench",
    "sim/src/doctor/observe.rs",
];

/// Where a set is only looked up in, never walked.
const LOOKUP_ONLY: &[&str] = &["sim/src/check/wgl.rs", "sim/src/check/keys.rs", "sim/src/check/foreign"];

/// What each part of the store may import of it. `pb` and `time` are vocabulary.
const IMPORTS: &[(&str, &[&str])] = &[
    ("src/raft", &["raft", "bug"]),
    ("src/pb", &["pb", "raft"]),
    ("src/disk.rs", &["disk"]),
    ("src/disk_mem.rs", &["disk"]),
    ("src/time.rs", &[]),
    ("src/bug", &[]),
    ("src/bug.rs", &[]),
    ("src/wal", &["wal", "disk", "pb", "raft"]),
    ("src/snap", &["snap", "wal", "disk", "pb", "raft"]),
    ("src/backend", &["backend", "disk", "bug"]),
    ("src/interval.rs", &[]),
    ("src/mvcc", &["mvcc", "backend", "interval", "pb", "bug"]),
    ("src/cluster", &["cluster", "backend", "bug", "pb", "raft"]),
    ("src/api", &["api", "pb", "raft"]),
    ("src/lease", &["lease", "backend", "bug", "pb", "time"]),
    ("src/alarm.rs", &["alarm", "backend", "pb", "raft"]),
    (
        "src/apply",
        &["alarm", "apply", "api", "auth", "backend", "bug", "cluster", "lease", "mvcc", "pb", "raft", "time"],
    ),
    ("src/auth", &["auth", "api", "backend", "bug", "pb", "time"]),
    ("src/concurrency", &["concurrency", "api", "bug", "pb"]),
];

#[test]
fn the_store_and_the_world_touch_nothing_real() {
    let mut broken = Vec::new();
    for file in sources("src").into_iter().chain(sources("sim/src")) {
        if within(&file, EDGE) || within(&file, &["src/serve"]) {
            continue;
        }
        broken.extend(found(&file, IMPURE));
    }
    assert!(broken.is_empty(), "only serve/ and the edge of sim/ may:\n{}", broken.join("\n"));
}

#[test]
fn no_run_depends_on_the_order_of_a_hash_map_or_on_a_machines_floating_point() {
    let mut broken = Vec::new();
    for file in sources("src").into_iter().chain(sources("sim/src")) {
        if !within(&file, LOOKUP_ONLY) {
            broken.extend(found(&file, UNSTABLE));
        }
    }
    assert!(broken.is_empty(), "use ordered maps and integers:\n{}", broken.join("\n"));
}

#[test]
fn no_arrow_between_the_parts_of_the_store_runs_back() {
    let mut broken = Vec::new();
    for file in sources("src") {
        let Some((_, allowed)) = IMPORTS.iter().find(|(part, _)| within(&file, &[part])) else { continue };
        for (number, line) in code(&file) {
            let imported = line.split("crate::").skip(1);
            let parts =
                imported.map(|rest| rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or(""));
            let foreign = parts.filter(|part| !part.is_empty() && !allowed.contains(part));
            broken.extend(foreign.map(|part| format!("{}:{number}: imports {part}", file.display())));
        }
    }
    assert!(broken.is_empty(), "see the directions in src/lib.rs:\n{}", broken.join("\n"));
}

#[test]
fn every_part_of_the_store_has_a_rule() {
    let known = ["src/lib.rs", "src/member", "src/serve"];
    let parts = fs::read_dir(root().join("src")).expect("src/ is there").map(|entry| entry.expect("an entry").path());
    let relative = parts.map(|part| part.strip_prefix(root()).expect("it lies in the root").to_owned());
    let without =
        relative.filter(|part| !within(part, &known) && !IMPORTS.iter().any(|(rule, _)| within(part, &[rule])));
    assert_eq!(without.collect::<Vec<_>>(), Vec::<PathBuf>::new(), "say in IMPORTS what it may import");
}

#[test]
fn files_hold_one_idea() {
    let long = sources("src").into_iter().chain(sources("sim/src")).filter_map(|file| {
        let text = fs::read_to_string(root().join(&file)).expect("a source can be read");
        let lines = text.lines().take_while(|line| !line.starts_with("#[cfg(test)]")).count();
        (lines > 500).then(|| format!("{}: {lines} lines before its tests", file.display()))
    });
    assert_eq!(long.collect::<Vec<_>>(), Vec::<String>::new());
}

#[test]
fn the_rules_themselves_can_fail() {
    assert!(offends("use std::fs::File;", "std::fs"));
    assert!(!offends("// std::fs is for the edge", "std::fs"), "prose may speak of what code must not do");
}

/// Lines of code of a file, with their numbers; comments and tests left out.
fn code(file: &Path) -> Vec<(usize, String)> {
    let text = fs::read_to_string(root().join(file)).expect("a source can be read");
    let lines = text.lines().take_while(|line| !line.starts_with("#[cfg(test)]"));
    (1..)
        .zip(lines)
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
        .map(|(n, line)| (n, line.into()))
        .collect()
}

fn offends(line: &str, name: &str) -> bool {
    !line.trim_start().starts_with("//") && line.contains(name)
}

fn found(file: &Path, names: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for (number, line) in code(file) {
        let named = names.iter().filter(|name| offends(&line, name));
        found.extend(named.map(|name| format!("{}:{number}: {name}", file.display())));
    }
    found
}

fn within(file: &Path, parts: &[&str]) -> bool {
    parts.iter().any(|part| file.starts_with(part))
}

fn sources(folder: &str) -> Vec<PathBuf> {
    let mut sources = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder can be read") {
            let path = entry.expect("an entry can be read").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                sources.push(path.strip_prefix(root()).expect("it lies in the root").to_owned());
            }
        }
    }
    sources.sort();
    assert!(!sources.is_empty(), "{folder} has no sources: a rule over nothing holds vacuously");
    sources
}
