//! The cases that others wrote, where they are at hand: the folder that `SEEDBED_PEERS` names (`../shared/peers` if it is not set).

#![allow(dead_code, reason = "each test binary uses its part")]

use serde_json::Value;
use std::fs;
use std::path::PathBuf;

/// The lines of every `.jsonl` table whose name begins so, with its name; none, and a word about it, if there is no such table.
pub(crate) fn lines(prefix: &str) -> Vec<(String, Vec<String>)> {
    let beside = || concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/peers").into();
    let peers: PathBuf = std::env::var_os("SEEDBED_PEERS").unwrap_or_else(beside).into();
    let folder = peers.join("tables");
    let mut tables = Vec::new();
    for entry in fs::read_dir(&folder).into_iter().flatten() {
        let path = entry.expect("an entry can be read").path();
        let name = path.file_name().expect("a file has a name").to_string_lossy().into_owned();
        if name.starts_with(prefix) && name.ends_with(".jsonl") {
            let text = fs::read_to_string(&path).expect("a table can be read");
            let lines: Vec<String> = text.lines().filter(|line| !line.trim().is_empty()).map(String::from).collect();
            assert!(!lines.is_empty(), "{} is empty: a rule over nothing holds vacuously", path.display());
            tables.push((name, lines));
        }
    }
    if tables.is_empty() {
        println!("skipped: no {prefix}*.jsonl in {} (SEEDBED_PEERS names another folder)", folder.display());
    }
    tables.sort();
    tables
}

/// The same, as JSON.
pub(crate) fn tables(prefix: &str) -> Vec<(String, Vec<Value>)> {
    let json = |line: &String| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    lines(prefix).iter().map(|(name, lines)| (name.clone(), lines.iter().map(json).collect())).collect()
}
