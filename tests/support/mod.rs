//! What the tests across crates share.

#![allow(dead_code, reason = "each test binary uses its part")]

use seedbed_sim::judge::{self, Judged};
use seedbed_sim::scenario::{BugSwitch, ScenarioFile, parse_bug_switch};
use seedbed_sim::world::Options;
use std::fs;
use std::num::NonZero;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

/// The project's root.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("sim/ lies in the root").to_owned()
}

/// A scenario by its path from the root.
pub(crate) fn scenario(path: &str) -> ScenarioFile {
    let text = fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    ScenarioFile::parse(path, &text).unwrap_or_else(|error| panic!("error: {error}"))
}

/// Every shipped scenario, in order of path.
pub(crate) fn shipped() -> Vec<ScenarioFile> {
    let mut paths = Vec::new();
    let folders = fs::read_dir(root().join("scenarios")).expect("scenarios/ is there");
    for folder in folders.map(|entry| entry.expect("a folder can be read").path()).filter(|path| path.is_dir()) {
        let files = fs::read_dir(folder).expect("a folder of scenarios can be read");
        paths.extend(files.map(|entry| entry.expect("an entry can be read").path()));
    }
    paths.sort();
    let shipped = paths.iter().filter(|path| path.extension().is_some_and(|extension| extension == "toml"));
    let relative = shipped.map(|path| path.strip_prefix(root()).expect("it lies in the root").display().to_string());
    relative.map(|path| scenario(&path)).collect()
}

/// What becomes of each item, in order; all cores take part.
pub(crate) fn on_all_cores<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    let next = AtomicUsize::new(0);
    let worker = || {
        let mut made = Vec::new();
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(at) else { return made };
            made.push((at, work(item)));
        }
    };
    let mut made: Vec<(usize, R)> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..cores).map(|_| scope.spawn(worker)).collect();
        let all = workers.into_iter().flat_map(|worker| worker.join().unwrap_or_else(|panic| resume_unwind(panic)));
        all.collect()
    });
    made.sort_by_key(|(at, _)| *at);
    made.into_iter().map(|(_, result)| result).collect()
}

/// All arms of a scenario, run with a seed.
pub(crate) fn judged(file: &ScenarioFile, seed: u64) -> Vec<Judged> {
    let arms: Vec<Option<&str>> = match file.arms() {
        arms if arms.is_empty() => vec![None],
        arms => arms.into_iter().map(Some).collect(),
    };
    arms.into_iter().map(|arm| run(file, arm, seed, &[], Options::default())).collect()
}

/// One run.
pub(crate) fn run(file: &ScenarioFile, arm: Option<&str>, seed: u64, bugs: &[&str], options: Options) -> Judged {
    let bugs: Vec<BugSwitch> = bugs.iter().map(|bug| parse_bug_switch(bug).expect("a known bug")).collect();
    judge::judge(file, arm, seed, &bugs, options).unwrap_or_else(|error| panic!("error: {error}"))
}
