//! `seedbed replay`: a failed run again, from its capsule.

use super::input::unknown_arm;
use super::run::{Files, Replayed, Tries, WatchArgs};
use super::{BadInput, DIVERGED, finish, terminal};
use crate::capsule::{Capsule, FINGERPRINT, Parted};
use crate::scenario::{BugSwitch, ScenarioFile, parse_bug_switch};
use crate::story::words::{count, moment};
use crate::watch::{Comparison, Findings, Together};
use crate::world::Outcome;
use std::path::{Path, PathBuf};

/// Run a capsule again, and check that it does the same
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = "\
A capsule of this build must do the same event by event: exit 15 if it does not. A capsule of another build is run with \
its faults at the same times, and judged: that is how a fix is tried on a report.

Examples:
  seedbed replay out/nemesis-3-9f3c41d2.seedbed
  seedbed replay out/nemesis-3-9f3c41d2.seedbed -v --trace again.trace")]
pub(super) struct ReplayArgs {
    /// The capsule (*.seedbed)
    capsule: PathBuf,

    #[command(flatten)]
    watch: WatchArgs,
}

pub(super) fn run(args: &ReplayArgs) -> u8 {
    finish(replay(args))
}

fn replay(args: &ReplayArgs) -> Result<u8, BadInput> {
    let capsule = Capsule::read(&args.capsule)?;
    let name = args.capsule.display().to_string();
    let file = ScenarioFile::parse(&capsule.path, &capsule.scenario)
        .map_err(|error| format!("{name}: this build does not understand the scenario in it:\n{error}"))?;
    let bugs = capsule.bugs.iter().map(|bug| parse_bug_switch(bug));
    let bugs: Vec<BugSwitch> = bugs.collect::<Result<_, _>>().map_err(|error| format!("{name}: {error}"))?;
    if let Some(arm) = capsule.arm.as_deref().filter(|arm| !file.arms().contains(arm)) {
        return Err(format!("{name}: {}", unknown_arm(&file, arm)).into());
    }
    let same_build = capsule.build == FINGERPRINT;
    let (kept, findings) = kept_trace(args, &capsule, &file)?;

    let arm = capsule.arm.as_deref();
    let tries = Tries::begin(&file, &[arm], capsule.seed, &bugs, &args.watch, None)?;
    if !same_build {
        terminal::warn(&format!("{name} was written by another build ({}; this is {FINGERPRINT})", capsule.build));
    }
    let tried = tries.run(arm, false, Some(capsule.plan.clone()), kept)?;
    let judged = tried.judged;
    let parted = judged.outcome.as_ref().and_then(|outcome| parted(&capsule, outcome));
    let difference = findings.as_ref().and_then(Findings::difference);
    let diverged = judged.outcome.is_none() || parted.is_some();
    let told = parted.map(|parted| tell(parted, &capsule));
    if diverged {
        let level = if same_build { terminal::error } else { terminal::warn };
        let place = told.as_deref().unwrap_or("it did not come to its end");
        level(&format!("this run is not the one in {name}: {place}"));
        match (difference, &findings) {
            (Some(difference), _) => {
                let line = |line: Option<String>| line.unwrap_or_else(|| "nothing more".to_owned());
                terminal::say(&format!("  then  {}\n  now   {}", line(difference.kept), line(difference.seen)));
            }
            (None, Some(_)) => {
                terminal::say("  every event is as in the kept trace: disk operations or the final state differ");
            }
            (None, None) => {
                terminal::say("  a trace kept with the capsule (--trace of run) would name the event");
            }
        }
    }
    let replayed = Replayed { capsule: name, same_build, diverged, parted: told };
    tries.end(&judged.report, Files::default(), Some(&replayed));
    Ok(if diverged && same_build && judged.report.exit != super::BROKEN { DIVERGED } else { judged.report.exit })
}

/// The trace that was kept with the capsule, ready to be held against the run.
fn kept_trace(
    args: &ReplayArgs,
    capsule: &Capsule,
    file: &ScenarioFile,
) -> Result<(Together, Option<Findings>), BadInput> {
    let mut watchers = Together::default();
    let Some(kept) = &capsule.trace else { return Ok((watchers, None)) };
    let beside = args.capsule.parent().unwrap_or(Path::new("")).join(kept.file_name().unwrap_or_default());
    let found = [kept.clone(), beside].into_iter().find(|path| path.is_file());
    let Some(path) = found else {
        terminal::warn(&format!("the trace {} that was kept with the capsule is not there", kept.display()));
        return Ok((watchers, None));
    };
    let is_same =
        |other: &PathBuf| path.canonicalize().ok().is_some_and(|path| other.canonicalize().ok() == Some(path));
    if args.watch.trace.as_ref().is_some_and(is_same) {
        let message = "is the trace that the run is compared with; give another name";
        return Err(format!("--trace {}: {message}", path.display()).into());
    }
    match Comparison::open(&path, file.name(), capsule.arm.as_deref(), capsule.seed) {
        Ok((comparison, findings)) => {
            watchers.add(comparison);
            Ok((watchers, Some(findings)))
        }
        Err(error) => {
            terminal::warn(&format!("the trace {} cannot be compared with: {error}", path.display()));
            Ok((watchers, None))
        }
    }
}

fn parted(capsule: &Capsule, outcome: &Outcome) -> Option<Parted> {
    capsule.parted(&outcome.checkpoints, outcome.events, outcome.digest)
}

/// `they part between event 4,097 (1.203 s) and event 8,192 (2.511 s)`
fn tell(parted: Parted, capsule: &Capsule) -> String {
    let from = match parted.after {
        Some(equal) => format!("event {} ({} s)", count(equal.event + 1), moment(equal.at_ns)),
        None => "the first event".to_owned(),
    };
    match parted.before {
        Some(unequal) => {
            format!("they part between {from} and event {} ({} s)", count(unequal.event), moment(unequal.at_ns))
        }
        None => format!("they part between {from} and the end (event {})", count(capsule.events)),
    }
}
