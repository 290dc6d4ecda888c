//! Every shipped scenario file is right in every arm, its JSON schema is up to date and agrees with the parser, and no
//! text whatsoever makes the parser panic.

use proptest::prelude::*;
use seedbed_sim::scenario::{ScenarioFile, schema};
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// Rewrites what these tests compare with.
const BLESS: &str = "SEEDBED_BLESS=1 cargo test -p seedbed-sim --test scenario_files";

fn scenarios() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios")
}

/// Path (from `scenarios/`) and text of every shipped scenario, in the order of their paths.
fn shipped() -> Vec<(String, String)> {
    let mut found = Vec::new();
    for folder in fs::read_dir(scenarios()).expect("scenarios/ is there").map(|entry| entry.expect("readable").path()) {
        if !folder.is_dir() {
            continue;
        }
        for file in fs::read_dir(&folder).expect("readable").map(|entry| entry.expect("readable").path()) {
            if file.extension().is_some_and(|extension| extension == "toml") {
                let name = file.strip_prefix(scenarios()).expect("below scenarios/").display().to_string();
                found.push((name, fs::read_to_string(&file).expect("UTF-8")));
            }
        }
    }
    found.sort();
    assert!(found.len() >= 20, "only {} scenario files were found", found.len());
    found
}

/// A small generator: what the parser needs is a function, not quality.
fn draws(mut state: u64) -> impl FnMut(u64) -> u64 {
    move |below| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    }
}

#[test]
fn every_shipped_scenario_resolves_in_every_arm() {
    for (path, text) in shipped() {
        let file = ScenarioFile::parse(&path, &text).unwrap_or_else(|error| panic!("error: {error}"));
        let arms: Vec<Option<&str>> = std::iter::once(None).chain(file.arms().into_iter().map(Some)).collect();
        for seed in 0..if text.contains("[swarm]") { 2_000 } else { 1 } {
            for arm in &arms {
                file.resolve(*arm, &mut draws(seed)).unwrap_or_else(|error| panic!("seed {seed}: error: {error}"));
            }
        }
    }
}

#[test]
fn every_shipped_scenario_says_what_it_is_for() {
    let mut names = BTreeSet::new();
    for (path, text) in shipped() {
        let file = ScenarioFile::parse(&path, &text).unwrap_or_else(|error| panic!("error: {error}"));
        let stem = Path::new(&path).file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        assert_eq!(file.name(), stem, "{path}: a scenario is named as its file");
        assert!(names.insert(file.name().to_owned()), "{path}: another scenario has the same name");
        assert!(file.about().split_whitespace().count() >= 20, "{path}: `about` does not tell what happens and why");
        assert!(!file.chapter().is_empty(), "{path}: no `chapter`");
        assert!(text.starts_with("#:schema ../scenario.schema.json\n"), "{path}: the first line names the schema");
        assert!(text.lines().all(|line| line.chars().count() <= 120), "{path}: a line is longer than 120 characters");
    }
}

#[test]
fn no_shipped_scenario_has_a_bug_outside_its_arms() {
    for (path, text) in shipped() {
        let file = ScenarioFile::parse(&path, &text).unwrap_or_else(|error| panic!("error: {error}"));
        let base = file.resolve(None, &mut draws(0)).unwrap_or_else(|error| panic!("error: {error}"));
        assert_eq!(base.cluster.bugs, [], "{path}");
    }
}

#[test]
fn the_committed_schema_is_up_to_date() {
    let path = scenarios().join("scenario.schema.json");
    if std::env::var_os("SEEDBED_BLESS").is_some() {
        fs::write(&path, schema()).expect("the schema can be written");
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == schema(),
        "scenarios/scenario.schema.json is not what the types say; this rewrites it:\n    {BLESS}"
    );
}

/// A file of cases, each a scenario and the error that it is refused with:
///
/// ```text
/// the scenario
/// ---
/// the error
/// =====
/// ```
const BAD_INPUT: &str = "src/scenario/bad_input.txt";

#[test]
fn bad_input_is_refused_with_a_place_and_an_advice() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(BAD_INPUT);
    let golden = fs::read_to_string(&path).expect("the golden file is there");
    let mut now = String::new();
    for case in golden.split_terminator("\n=====\n") {
        let text = case.split_once("\n---\n").map_or(case, |(text, _)| text);
        let error = ScenarioFile::parse("scenarios/mine.toml", text).expect_err(text);
        now.push_str(&format!("{text}\n---\nerror: {error}\n=====\n"));
    }
    if std::env::var_os("SEEDBED_BLESS").is_some() {
        fs::write(&path, &now).expect("the golden file can be written");
        return;
    }
    for (was, is) in golden.split("\n=====\n").zip(now.split("\n=====\n")) {
        assert_eq!(was, is, "if the change is meant: {BLESS}");
    }
    assert_eq!(golden, now);
}

fn validator() -> jsonschema::Validator {
    let schema = serde_json::from_str(&schema()).expect("the schema is JSON");
    jsonschema::draft202012::meta::validate(&schema).expect("the schema is a schema");
    jsonschema::draft202012::new(&schema).expect("the schema compiles")
}

fn as_json(text: &str) -> serde_json::Value {
    toml::from_str(text).expect("TOML without dates is JSON")
}

#[test]
fn every_shipped_scenario_agrees_with_the_schema() {
    let validator = validator();
    for (path, text) in shipped() {
        if let Err(error) = validator.validate(&as_json(&text)) {
            panic!("{path}: at {}: {error}", error.instance_path());
        }
    }
}

#[test]
fn the_schema_refuses_what_the_parser_refuses() {
    let validator = validator();
    for text in [
        "",
        "name = 1",
        "name = \"x\"\nunknown = 1",
        "name = \"x\"\n[cluster]\nmembers = 0",
        "name = \"x\"\n[cluster]\nprofile = \"etcd-9\"",
        "name = \"x\"\nduration = \"3 parsecs\"",
        "name = \"x\"\nduration = -1",
        "name = \"x\"\n[[fault]]\nkind = \"particion\"\nat = 1",
        "name = \"x\"\n[[fault]]\nkind = \"crash\"\nat = [1, 2, 3]\ntarget = \"n1\"",
        "name = \"x\"\n[[fault]]\nkind = \"crash\"\nat = 1\ntarget = \"m1\"",
        "name = \"x\"\n[[fault]]\nkind = \"loss\"\nat = 1\npercent = 101",
        "name = \"x\"\n[expect]\nleader_changes = \"many\"",
        "name = \"x\"\n[expect]\ncause = \"gremlins\"",
        "name = \"x\"\n[cluster]\nbugs = [\"no-such-bug\"]",
        "name = \"x\"\n[[vary]]\nset = {}",
    ] {
        assert!(ScenarioFile::parse("x.toml", text).is_err(), "the parser takes {text:?}");
        assert!(!validator.is_valid(&as_json(text)), "the schema takes {text:?}");
    }
}

/// Parsing anything ends in a file or in an error that can be shown and points into the text.
fn parses_without_panic(text: &str) {
    match ScenarioFile::parse("any.toml", text) {
        Ok(file) => {
            for arm in std::iter::once(None).chain(file.arms().into_iter().map(Some)) {
                // A draw that was not checked beforehand may not fit together; it may not panic.
                let _ = file.resolve(arm, &mut draws(7));
            }
        }
        Err(error) => {
            let shown = error.to_string();
            assert_eq!(shown.lines().count(), 3, "{shown:?}");
            assert!(error.line <= text.split('\n').count(), "{shown}");
            let line = text.split('\n').nth(error.line - 1).expect("the line exists");
            assert!(error.column <= line.chars().count() + 1, "{shown}");
        }
    }
}

#[derive(Clone, Debug)]
enum Mutation {
    Delete(usize, usize),
    Duplicate(usize, usize),
    Flip(usize, u8),
    Insert(usize, String),
    Number(usize, String),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let words = prop::sample::select(vec![
        "\"",
        "\"\"\"",
        "[[",
        "]]",
        "[",
        "]",
        "{",
        "}",
        "=",
        "\n",
        "#",
        ".",
        ",",
        "'",
        "\\u0000",
        "\u{feff}",
        "ü𝄞",
        "\t",
        "\r\n",
        "[[fault]]\n",
        "[[vary]]\n",
        "[swarm]\n",
        "every = 0\n",
        "at = nan\n",
        "n0",
        "n300",
        "@n2",
        "\"a.b.c\" = [1]\n",
        "\"fault.99\" = [[]]\n",
        "\"vary.0\" = [1]\n",
        "1979-05-27T07:32:00Z",
        "true",
    ])
    .prop_map(str::to_owned);
    let numbers = prop::sample::select(vec![
        "0",
        "-1",
        "1e308",
        "-1e308",
        "inf",
        "-inf",
        "nan",
        "9223372036854775807",
        "-9223372036854775808",
        "18446744073709551615",
        "340282366920938463463374607431768211456",
        "0.0000000001",
        "0x7fffffffffffffff",
        "4294967296",
        "65536",
        "1e400",
    ])
    .prop_map(str::to_owned);
    prop_oneof![
        (any::<usize>(), 1..200_usize).prop_map(|(at, length)| Mutation::Delete(at, length)),
        (any::<usize>(), 1..200_usize).prop_map(|(at, length)| Mutation::Duplicate(at, length)),
        (any::<usize>(), any::<u8>()).prop_map(|(at, bits)| Mutation::Flip(at, bits)),
        (any::<usize>(), words).prop_map(|(at, word)| Mutation::Insert(at, word)),
        (any::<usize>(), numbers).prop_map(|(at, number)| Mutation::Number(at, number)),
    ]
}

fn mutate(text: &str, mutation: &Mutation) -> String {
    let mut bytes = text.as_bytes().to_vec();
    let place = |at: usize| if bytes.is_empty() { 0 } else { at % bytes.len() };
    match mutation {
        Mutation::Delete(at, length) => {
            let at = place(*at);
            bytes.drain(at..(at + length).min(bytes.len()));
        }
        Mutation::Duplicate(at, length) => {
            let at = place(*at);
            let piece = bytes[at..(at + length).min(bytes.len())].to_vec();
            bytes.splice(at..at, piece);
        }
        Mutation::Flip(at, bits) => {
            let at = place(*at);
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= bits;
            }
        }
        Mutation::Insert(at, word) => {
            let at = place(*at);
            bytes.splice(at..at, word.bytes());
        }
        Mutation::Number(at, number) => {
            // The first number from there on.
            let start = place(*at);
            let Some(first) = (start..bytes.len()).find(|at| bytes[*at].is_ascii_digit()) else {
                return text.to_owned();
            };
            let last = (first..bytes.len()).find(|at| !bytes[*at].is_ascii_digit()).unwrap_or(bytes.len());
            bytes.splice(first..last, number.bytes());
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn no_string_panics(text in any::<String>()) {
        parses_without_panic(&text);
    }

    #[test]
    fn no_toml_like_text_panics(
        text in "(name = \"x\"\n)?(\\[\\[?(fault|vary|swarm|cluster|vary.expect|expect)\\]?\\]\n([a-z_.\"]{1,9} = [\\[{\"0-9a-z.,}\\]-]{1,9}\n){0,3}){0,5}",
    ) {
        parses_without_panic(&text);
    }

    #[test]
    fn no_mutation_of_a_shipped_scenario_panics(
        which in any::<prop::sample::Index>(),
        mutations in prop::collection::vec(mutation(), 1..5),
    ) {
        let files = shipped();
        let (_, text) = &files[which.index(files.len())];
        let text = mutations.iter().fold(text.clone(), |text, mutation| mutate(&text, mutation));
        parses_without_panic(&text);
    }
}

#[test]
fn deep_nesting_is_an_error_and_not_a_stack_overflow() {
    let path = vec!["a"; 100_000].join(".");
    for text in [
        "[".repeat(100_000),
        format!("name = {}", "[".repeat(100_000)),
        format!("name = {}", "{a=".repeat(100_000)),
        format!("{path} = 1"),
        format!("[{path}]"),
        format!("name = \"x\"\n[[vary]]\nname = \"deep\"\nset = {{ \"{path}\" = 1 }}"),
        format!("name = \"x\"\n[swarm]\n\"{path}\" = [1]"),
    ] {
        assert!(ScenarioFile::parse("deep.toml", &text).is_err());
        parses_without_panic(&text);
    }
}
