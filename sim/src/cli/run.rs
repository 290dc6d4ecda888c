//! `seedbed run`: one seed of a scenario, told as a story.

use super::input::{arm_in_full, arms, resolve, scenario_file};
use super::keep_data::DataDirs;
use super::{BadInput, finish, terminal};
use crate::capsule::{Capsule, write_whole};
use crate::judge::{Judged, combine, judge};
use crate::plot::{self, Plot};
use crate::report::Report;
use crate::scenario::{BugSwitch, ScenarioFile, parse_bug_switch};
use crate::story::{self, Detail, Ending};
use crate::watch::{Layout, Sink, Stream, Together, TraceFile, section};
use crate::world::Options;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Run a scenario with one seed, and tell what happened and why
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  seedbed run scenarios/leader-switch/leader-crash.toml --seed 7
  seedbed run scenarios/chaos/nemesis-3.toml --bug readindex-no-term-commit@n2
  seedbed run scenarios/leader-switch/leader-crash.toml --columns   # member by member
  seedbed run scenarios/leader-switch/leader-crash.toml --keep-data out/data && seedbed inspect out/data/n1
  seedbed run scenarios/leader-switch/leader-crash.toml --json | jq .leader_changes_detail")]
pub(super) struct RunArgs {
    /// The scenario file
    pub(super) scenario: PathBuf,

    /// Run this arm alone (a scenario's arms are its `vary` tables); blanks of its name may be given as hyphens
    #[arg(long, value_name = "NAME")]
    pub(super) arm: Option<String>,

    /// Everything random comes from it
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(super) seed: u64,

    /// Switch a historical bug on, in every member or in one (`seedbed bugs` lists them); may be given again
    #[arg(long = "bug", value_name = "NAME[@nK]", value_parser = parse_bug_switch)]
    pub(super) bugs: Vec<BugSwitch>,

    /// Where capsules of failed runs go, and the plots that a scenario asks for
    #[arg(long, value_name = "DIR", default_value = "out")]
    pub(super) out: PathBuf,

    /// Write each member's data directory as it is at the end into DIR (empty or new): n1/member/…, in a folder of its own
    /// for each arm, named after it. `seedbed inspect` and a real etcd can open them
    #[arg(long, value_name = "DIR")]
    pub(super) keep_data: Option<PathBuf>,

    #[command(flatten)]
    pub(super) watch: WatchArgs,
}

/// How a run is watched. None of it changes the run.
#[derive(clap::Args, Clone, Debug)]
pub(super) struct WatchArgs {
    /// Tell what happens inside the members as well, before the story, and leave nothing out of it; twice: also what
    /// healthy members do all the time
    #[arg(short, long, action = clap::ArgAction::Count)]
    pub(super) verbose: u8,

    /// The same, with a column for each member
    #[arg(long)]
    pub(super) columns: bool,

    /// Write every event of the world into a file, a line each
    #[arg(long, value_name = "FILE")]
    pub(super) trace: Option<PathBuf>,

    /// Print one JSON object instead of the story
    #[arg(long)]
    pub(super) json: bool,
}

/// Runs, and returns the exit code.
pub(super) fn run(args: &RunArgs) -> u8 {
    finish(run_scenario(args))
}

fn run_scenario(args: &RunArgs) -> Result<u8, BadInput> {
    let file = scenario_file(&args.scenario)?;
    let named = args.arm.as_deref().map(|named| arm_in_full(&file, named));
    let arms = arms(&file, named)?;
    for arm in &arms {
        resolve(&file, *arm, args.seed, &args.bugs)?;
    }
    let keep = args.keep_data.as_deref().map(DataDirs::claim).transpose()?;
    let mut tries = Tries::begin(&file, &arms, args.seed, &args.bugs, &args.watch, Some(&args.out))?;
    tries.keep = keep;
    let has_arms = args.arm.is_none() && arms.iter().any(Option::is_some);
    let mut reports = Vec::new();
    let mut files = Files::default();
    let mut drawn = Vec::new();
    let mut scenario = None;
    for arm in &arms {
        let Tried { judged, capsule } = tries.run(*arm, has_arms, None, Together::default())?;
        files.capsule = capsule.or(files.capsule);
        drawn.extend(judged.outcome.as_ref().map(|outcome| plot::Arm::of(*arm, &judged.scenario, outcome)));
        reports.push(judged.report);
        scenario = Some(judged.scenario);
    }
    let report = if has_arms { combine(reports) } else { reports.remove(0) };
    let code = report.exit;
    let plots = scenario.map(|scenario| plot::plots(&scenario, &drawn)).unwrap_or_default();
    files.plots = write_plots(&plots, &args.out, file.name(), args.seed);
    tries.end(&report, files, None);
    Ok(code)
}

/// Writes an SVG and a CSV file for each plot. A folder that cannot be written to is a warning: the run is judged already.
fn write_plots(plots: &[Plot], out: &Path, name: &str, seed: u64) -> Vec<PathBuf> {
    let mut written = Vec::new();
    for plot in plots {
        let path = out.join(format!("{name}-seed{seed}-{}.svg", plot.name));
        let table = path.with_extension("csv");
        let wrote = write_whole(&path, plot::svg(plot).as_bytes())
            .and_then(|()| write_whole(&table, plot::csv(plot).as_bytes()));
        match wrote {
            Ok(()) => written.push(path),
            Err(error) => terminal::warn(&format!("the plot {} cannot be written: {error}", path.display())),
        }
    }
    written
}

/// What a run left in the folder of `--out`.
#[derive(Debug, Default)]
pub(super) struct Files {
    /// The run that failed, to be replayed.
    pub(super) capsule: Option<PathBuf>,
    /// The plots that the scenario asks for.
    pub(super) plots: Vec<PathBuf>,
}

/// Runs of one scenario with one seed, told on the way: what `run` and `replay` share.
pub(super) struct Tries<'a> {
    file: &'a ScenarioFile,
    seed: u64,
    bugs: &'a [BugSwitch],
    watch: &'a WatchArgs,
    /// Where capsules go; `None`: nowhere.
    out: Option<&'a Path>,
    trace: Option<TraceFile>,
    /// Where the members' data goes.
    keep: Option<DataDirs>,
    width: usize,
}

/// A run, and its capsule if it failed.
pub(super) struct Tried {
    pub(super) judged: Judged,
    pub(super) capsule: Option<PathBuf>,
}

impl<'a> Tries<'a> {
    /// Says what will be run, seed first.
    pub(super) fn begin(
        file: &'a ScenarioFile,
        arms: &[Option<&str>],
        seed: u64,
        bugs: &'a [BugSwitch],
        watch: &'a WatchArgs,
        out: Option<&'a Path>,
    ) -> Result<Tries<'a>, BadInput> {
        let width = terminal::width();
        let trace = match &watch.trace {
            None => None,
            Some(path) => {
                let made = TraceFile::create(path);
                Some(made.map_err(|error| format!("--trace {}: cannot be written: {error}", path.display()))?)
            }
        };
        let scenario = resolve(file, arms[0], seed, bugs)?;
        let named: Vec<&str> = arms.iter().flatten().copied().collect();
        let bug_names: Vec<String> = bugs.iter().map(ToString::to_string).collect();
        let header = story::header(file, &scenario, seed, &named, &bug_names, width);
        if watch.json {
            terminal::say(header.trim_end());
        } else {
            terminal::print(&header);
        }
        Ok(Tries { file, seed, bugs, watch, out, trace, keep: None, width })
    }

    /// Runs one arm, tells its story up to the verdict, and keeps it in a capsule if it failed.
    pub(super) fn run(
        &self,
        arm: Option<&str>,
        is_one_of_several: bool,
        follow: Option<Vec<crate::world::Resolved>>,
        mut watchers: Together,
    ) -> Result<Tried, BadInput> {
        if let Some(arm) = arm.filter(|_| is_one_of_several && !self.watch.json) {
            terminal::print(&story::arm_heading(arm, self.width));
        }
        let sink = self.watchers(arm, &mut watchers)?;
        let keep_data = self.keep.is_some();
        let options = Options { watcher: watchers.into_watcher(), follow, keep_data, ..Options::default() };
        let judged = judge(self.file, arm, self.seed, self.bugs, options)?;
        if let Some(sink) = sink {
            sink.finish();
        }
        if let Some((keep, outcome)) = self.keep.as_ref().zip(judged.outcome.as_ref()) {
            keep.write(arm.filter(|_| is_one_of_several), &outcome.data);
        }
        if !self.watch.json {
            let detail = match (self.is_verbose(), is_one_of_several) {
                (true, _) => Detail::Full,
                (false, true) => Detail::Short,
                (false, false) => Detail::Usual,
            };
            terminal::print(&story::body(&judged, detail, self.width));
        }
        let capsule = self.out.filter(|_| judged.report.exit != 0).and_then(|out| self.keep(&judged, out));
        Ok(Tried { judged, capsule })
    }

    fn is_verbose(&self) -> bool {
        self.watch.verbose > 0 || self.watch.columns
    }

    fn watchers(&self, arm: Option<&str>, watchers: &mut Together) -> Result<Option<Sink>, BadInput> {
        if let Some(trace) = &self.trace {
            trace.begin(&section(self.file.name(), arm, self.seed));
            watchers.add(trace.clone());
        }
        if !self.is_verbose() {
            return Ok(None);
        }
        let sink = if self.watch.json { Sink::new(anstream::stderr()) } else { Sink::new(anstream::stdout()) };
        let members = resolve(self.file, arm, self.seed, self.bugs)?.cluster.members;
        let width = self.width;
        let layout = if self.watch.columns { Layout::Columns { members, width } } else { Layout::Lines { width } };
        watchers.add(Stream::new(layout, self.watch.verbose > 1, sink.clone()));
        Ok(Some(sink))
    }

    /// Writes the capsule of a failed run. That it cannot be written is no reason to hide the failure.
    fn keep(&self, judged: &Judged, out: &Path) -> Option<PathBuf> {
        let mut capsule = Capsule::of(judged, self.file, self.bugs)?;
        capsule.trace = self.watch.trace.clone();
        match capsule.write(out, self.file.name()) {
            Ok(path) => Some(path),
            Err(error) => {
                terminal::warn(&format!("no capsule could be written into {}: {error}", out.display()));
                None
            }
        }
    }

    /// Tells the verdict, or prints the report. `replayed` is what a replay adds to it.
    pub(super) fn end(&self, report: &Report, files: Files, replayed: Option<&Replayed>) {
        if let Some((trace, path)) = self.trace.as_ref().zip(self.watch.trace.as_ref())
            && let Err(error) = trace.finish()
        {
            terminal::warn(&format!("the trace {} is not whole: {error}", path.display()));
        }
        let peak_mib = terminal::peak_mib();
        let capsule = files.capsule.map(|path| path.display().to_string());
        let plots = files.plots.iter().map(|path| path.display().to_string()).collect();
        if self.watch.json {
            return terminal::print_json(&Printed { report, peak_mib, capsule, plots, replayed });
        }
        let replay = replayed.map(|replayed| format!("seedbed replay {}", story::quoted(&replayed.capsule)));
        let ending = Ending { peak_mib, capsule, plots, replay, chapter: self.file.chapter().to_owned() };
        terminal::print(&story::ending(report, &ending, self.width));
    }
}

/// What `--json` prints: the report, and what only the process knows.
#[derive(Serialize)]
struct Printed<'a> {
    #[serde(flatten)]
    report: &'a Report,
    peak_mib: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    capsule: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    plots: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    replayed: Option<&'a Replayed>,
}

/// What a replay knows beside its run.
#[derive(Debug, Serialize)]
pub(super) struct Replayed {
    /// The capsule.
    pub(super) capsule: String,
    /// Whether this build wrote it.
    pub(super) same_build: bool,
    /// Whether the run did what the capsule says.
    pub(super) diverged: bool,
    /// Where they parted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) parted: Option<String>,
}
