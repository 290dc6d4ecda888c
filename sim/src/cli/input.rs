//! What the command line names: scenario files, arms, seeds, bug switches, shards.

use super::BadInput;
use crate::capsule::slug;
use crate::scenario::{BugSwitch, Scenario, ScenarioFile};
use crate::world::random::Stream;
use std::fs;
use std::path::{Path, PathBuf};

/// Reads a scenario file.
pub(super) fn scenario_file(path: &Path) -> Result<ScenarioFile, BadInput> {
    if path.is_dir() {
        let path = path.display();
        return Err(format!(
            "{path} is a folder; give one scenario, or run them all: seedbed sweep {path} --seeds 0..10"
        )
        .into());
    }
    let text = fs::read(path).map_err(|error| unreadable(path, &error))?;
    let text = String::from_utf8(text).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let line = error.as_bytes()[..at].iter().filter(|byte| **byte == b'\n').count() + 1;
        format!("{}:{line}: expected a scenario in TOML, but the file is not UTF-8 here", path.display())
    })?;
    Ok(ScenarioFile::parse(&path.display().to_string(), &text)?)
}

/// A file that is not there may be one that was meant by its name.
fn unreadable(path: &Path, error: &std::io::Error) -> BadInput {
    let mut message = format!("{}: cannot be read: {error}", path.display());
    if let (std::io::ErrorKind::NotFound, Some(stem)) = (error.kind(), path.file_stem()) {
        let stem = stem.to_string_lossy();
        let known = scenarios_root().and_then(|root| toml_files(&root).ok()).unwrap_or_default();
        let near = |path: &PathBuf| {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            strsim::damerau_levenshtein(&name, &stem)
        };
        match known.iter().map(|path| (near(path), path)).min() {
            Some((distance, near)) if distance <= stem.chars().count() / 3 => {
                message += &format!("\ndid you mean {}? `seedbed list` shows all", near.display());
            }
            _ => message += "\n`seedbed list` shows the scenarios that there are",
        }
    }
    BadInput(message)
}

/// The folder of shipped scenarios: below the current folder or one above it.
pub(super) fn scenarios_root() -> Option<PathBuf> {
    let below = |folder: &Path| folder.join("scenarios");
    if below(Path::new("")).is_dir() {
        return Some(PathBuf::from("scenarios"));
    }
    let here = std::env::current_dir().unwrap_or_default();
    here.ancestors().map(below).find(|folder| folder.is_dir())
}

/// Every `*.toml` below a folder, in order of path. Hidden entries are left out, and links to folders are not followed,
/// for they may lead back.
pub(super) fn toml_files(folder: &Path) -> Result<Vec<PathBuf>, BadInput> {
    let mut folders = vec![folder.to_owned()];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        let cannot = |error| BadInput(format!("{}: cannot be read: {error}", folder.display()));
        for entry in fs::read_dir(&folder).map_err(cannot)? {
            let entry = entry.map_err(cannot)?;
            let path = entry.path();
            if entry.file_name().as_encoded_bytes().starts_with(b".") {
                continue;
            }
            if entry.file_type().map_err(cannot)?.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "toml") {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// The arms to run: the one that is named, or all; `None` stands for a file without arms.
pub(super) fn arms<'a>(file: &'a ScenarioFile, named: Option<&str>) -> Result<Vec<Option<&'a str>>, BadInput> {
    let known = file.arms();
    match named {
        None if known.is_empty() => Ok(vec![None]),
        None => Ok(known.into_iter().map(Some).collect()),
        Some(named) => match known.iter().find(|arm| **arm == named) {
            Some(arm) => Ok(vec![Some(*arm)]),
            None => Err(unknown_arm(file, named).into()),
        },
    }
}

/// An arm's name in full. It may be given as folders and capsules are named after it.
pub(super) fn arm_in_full<'a>(file: &'a ScenarioFile, named: &'a str) -> &'a str {
    let known = file.arms();
    if known.contains(&named) {
        return named;
    }
    known.into_iter().find(|arm| slug(arm) == named).unwrap_or(named)
}

/// Says which arms there are.
pub(super) fn unknown_arm(file: &ScenarioFile, named: &str) -> String {
    let known = file.arms();
    if known.is_empty() {
        return format!("--arm {named}: {} has no arms; leave --arm out", file.file());
    }
    let near = known.iter().min_by_key(|arm| strsim::damerau_levenshtein(arm, named));
    let near = near.filter(|arm| strsim::damerau_levenshtein(arm, named) <= named.chars().count() / 3 + 1);
    let near = near.map(|near| format!("did you mean \"{near}\"? ")).unwrap_or_default();
    format!("--arm {named}: {} has no such arm; {near}known: {}", file.file(), known.join(", "))
}

/// One arm with a seed, as the judge will resolve it, with the command line's bugs. Found wrong here, it is found wrong
/// before anything runs.
pub(super) fn resolve(
    file: &ScenarioFile,
    arm: Option<&str>,
    seed: u64,
    bugs: &[BugSwitch],
) -> Result<Scenario, BadInput> {
    let mut swarm = Stream::new(seed, "swarm");
    let mut scenario = file.resolve(arm, &mut |below| swarm.below(below))?;
    for bug in bugs {
        let switched = scenario.cluster.switch_on(*bug);
        switched.map_err(|why| format!("--bug {bug}: {why} (seed {seed} of {})", file.file()))?;
    }
    Ok(scenario)
}

/// Seeds from `a` up to but not including `b`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seeds {
    pub(super) first: u64,
    pub(super) end: u64,
}

/// Reads `A..B`, or `N` for this seed alone.
pub(super) fn seeds(text: &str) -> Result<Seeds, String> {
    let expected = "expected A..B with A < B (0..100 is the hundred seeds from 0 to 99), or one seed";
    let number = |text: &str| {
        let text = text.trim().replace('_', "");
        text.parse::<u64>().map_err(|_| format!("\"{text}\" is not a seed; {expected}"))
    };
    let (first, end) = match text.split_once("..") {
        None => {
            let seed = number(text)?;
            (seed, seed.checked_add(1).ok_or(format!("the last seed of a sweep is {}", u64::MAX - 1))?)
        }
        Some((_, end)) if end.starts_with('=') => {
            return Err(format!("a range of seeds leaves its end out; {expected}"));
        }
        Some((first, end)) => (number(first)?, number(end)?),
    };
    if first >= end {
        return Err(format!("there is no seed in it; {expected}"));
    }
    Ok(Seeds { first, end })
}

/// A part of a sweep's runs, for one of several machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shard {
    pub(super) index: u64,
    pub(super) of: u64,
}

/// Reads `I/N`, counted from 0 as Kubernetes and Slurm count their jobs.
pub(super) fn shard(text: &str) -> Result<Shard, String> {
    let expected = "expected I/N with I from 0 to N-1, such as 0/4, 1/4, 2/4 and 3/4";
    let (index, of) = text.split_once('/').ok_or(expected)?;
    let number = |text: &str| text.parse::<u64>().map_err(|_| expected.to_owned());
    let (index, of) = (number(index)?, number(of)?);
    if index >= of {
        return Err(format!("there is no shard {index} of {of}; {expected}"));
    }
    Ok(Shard { index, of })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arm_may_be_named_as_its_files_are() {
        let text = "name = \"x\"\n[[vary]]\nname = \"deletes alone\"\n[[vary]]\nname = \"b\"\n";
        let file = ScenarioFile::parse("x.toml", text).expect("a scenario");
        assert_eq!(arm_in_full(&file, "deletes-alone"), "deletes alone");
        assert_eq!(arm_in_full(&file, "b"), "b");
        assert_eq!(arm_in_full(&file, "deletes"), "deletes", "it is refused later, with what is known");
    }

    #[test]
    fn seeds_are_half_open() {
        assert_eq!(seeds("0..100"), Ok(Seeds { first: 0, end: 100 }));
        assert_eq!(seeds("7"), Ok(Seeds { first: 7, end: 8 }));
        assert_eq!(seeds("1_000..2_000"), Ok(Seeds { first: 1000, end: 2000 }));
        for wrong in ["", "..", "5..5", "9..3", "a..b", "0..=9", "-1..3", "0..18446744073709551616", "0-9"] {
            let message = seeds(wrong).expect_err(wrong);
            assert!(message.contains("A..B with A < B"), "{wrong}: {message}");
        }
        assert!(seeds("18446744073709551615").is_err(), "there is no end after it");
    }

    #[test]
    fn shards_count_from_zero() {
        assert_eq!(shard("3/4"), Ok(Shard { index: 3, of: 4 }));
        for wrong in ["4/4", "1", "0/0", "a/b", "1/2/3", "-1/4"] {
            assert!(shard(wrong).expect_err(wrong).contains("I/N"), "{wrong}");
        }
    }
}
