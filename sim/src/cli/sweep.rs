//! `seedbed sweep`: many seeds, many scenarios, one table.

mod files;
mod progress;

use super::input::{Seeds, Shard, arms, resolve, scenario_file, seeds, shard, toml_files};
use super::interrupt::stop_on_interrupt;
use super::{BadInput, INTERRUPTED, finish, terminal};
use crate::scenario::{BugSwitch, ScenarioFile, parse_bug_switch};
use crate::story;
use crate::story::paper::{BAD, BOLD, DIM, Paper, paint};
use crate::story::words::{count, figure};
use crate::sweep::{Began, Figures, Group, Sweep, Swept};
use progress::Progress;
use std::path::PathBuf;

/// Run many seeds of scenarios on all cores, and group what fails
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  seedbed sweep scenarios/chaos --seeds 0..1000
  seedbed sweep scenarios/leader-switch/rejoin-after-isolation.toml --seeds 0..100
  seedbed sweep scenarios --seeds 0..10000 --shard 3/20 --json part-3.json --junit part-3.xml
  seedbed sweep scenarios/chaos --seeds 0..200 --bug vote-not-durable@n2 --out found

Exits with the lowest code that is not 0 of its runs, 130 if it was interrupted.")]
pub(super) struct SweepArgs {
    /// Scenarios, or folders of them (searched recursively, in order of name)
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,

    /// The seeds: A..B is A up to but not including B; N is this one alone
    #[arg(long, value_name = "A..B", value_parser = seeds, allow_hyphen_values = true)]
    seeds: Seeds,

    /// Switch a historical bug on, in every member or in one; may be given again
    #[arg(long = "bug", value_name = "NAME[@nK]", value_parser = parse_bug_switch)]
    bugs: Vec<BugSwitch>,

    /// Run this arm alone; every scenario must have it
    #[arg(long, value_name = "NAME")]
    arm: Option<String>,

    /// Workers; as many as there are cores, if not given
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,

    /// Run only the I-th of N parts, counted from 0, for N machines that share a sweep
    #[arg(long, value_name = "I/N", value_parser = shard)]
    shard: Option<Shard>,

    /// Write a JUnit report, a test case a scenario
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,

    /// Write every run and every kind of failure as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// Where capsules go, one for the first failure of each kind
    #[arg(long, value_name = "DIR", default_value = "out")]
    out: PathBuf,
}

pub(super) fn run(args: &SweepArgs) -> u8 {
    finish(sweep(args))
}

fn sweep(args: &SweepArgs) -> Result<u8, BadInput> {
    let files = read_all(args)?;
    let sweep = Sweep {
        files: &files,
        arm: args.arm.as_deref(),
        seeds: args.seeds.first..args.seeds.end,
        shard: args.shard.map_or((0, 1), |shard| (shard.index, shard.of)),
        bugs: &args.bugs,
        jobs: args.jobs.map_or_else(|| std::thread::available_parallelism().map_or(1, usize::from), usize::from),
    };
    if sweep.runs().is_none() {
        return Err("--seeds: more runs than can be counted".into());
    }
    let stop = stop_on_interrupt("the sweep");
    let began = Began::now();
    let mut progress = Progress::new(&sweep, began);
    let swept = sweep.run(&stop, |row| progress.seen(row));
    progress.finish();
    let swept = swept?;

    let capsules = keep_capsules(&swept.groups, args, &files);
    tell(&sweep, &swept, &capsules);
    let written = files::Sheet { args, sweep: &sweep, swept: &swept, capsules: &capsules, wall_s: began.seconds() };
    written.write();
    if swept.interrupted {
        return Ok(INTERRUPTED);
    }
    Ok(swept.rows.iter().map(|row| row.exit).filter(|exit| *exit != 0).min().unwrap_or(0))
}

/// Every scenario, right in every arm and with every bug, before any is run.
fn read_all(args: &SweepArgs) -> Result<Vec<ScenarioFile>, BadInput> {
    let mut files = Vec::new();
    for path in &args.paths {
        let below = if path.is_dir() { toml_files(path)? } else { vec![path.clone()] };
        if below.is_empty() {
            return Err(format!("{}: no scenario (*.toml) below it", path.display()).into());
        }
        for path in below {
            files.push(scenario_file(&path)?);
        }
    }
    for file in &files {
        for arm in arms(file, args.arm.as_deref())? {
            resolve(file, arm, args.seeds.first, &args.bugs)?;
        }
    }
    Ok(files)
}

/// Writes the capsules; the place of each, by the group's position. A group without one has the command instead.
fn keep_capsules(groups: &[Group], args: &SweepArgs, files: &[ScenarioFile]) -> Vec<Option<String>> {
    let keep = |group: &Group| {
        let capsule = group.capsule.as_ref()?;
        match capsule.write(&args.out, files[group.first.1].name()) {
            Ok(path) => Some(path.display().to_string()),
            Err(error) => {
                terminal::warn(&format!("no capsule could be written into {}: {error}", args.out.display()));
                None
            }
        }
    };
    groups.iter().map(keep).collect()
}

fn tell(sweep: &Sweep<'_>, swept: &Swept, capsules: &[Option<String>]) {
    let mut paper = Paper::new(terminal::width());
    figures(&mut paper, sweep, swept);
    if !swept.groups.is_empty() {
        paper.blank();
        paper.unbroken(&paint(BOLD, "failures by signature"));
        let row = |(group, capsule): (&Group, &Option<String>)| {
            vec![
                paint(BAD, format!("{} ×", count(group.count))),
                group.signature.clone(),
                format!("first seed {}", group.first.2),
                capsule.clone().unwrap_or_else(|| group.replay.clone()),
            ]
        };
        let rows: Vec<Vec<String>> = swept.groups.iter().zip(capsules).map(row).collect();
        paper.table_unbroken(2, &rows, &[true]);
        if let Some(capsule) = capsules.iter().flatten().next() {
            paper.paragraph(
                "",
                "  ",
                &paint(DIM, format!("seedbed replay {} tells the first", story::quoted(capsule))),
            );
        }
    }
    if swept.interrupted {
        let runs = sweep.runs().unwrap_or(0);
        paper.blank();
        let done = count(swept.rows.len() as u64);
        paper.paragraph("", "", &paint(BAD, format!("interrupted after {done} of {} runs", count(runs))));
    }
    terminal::print(&paper.into_text());
}

/// A table for each scenario with arms, and one for all others together.
fn figures(paper: &mut Paper, sweep: &Sweep<'_>, swept: &Swept) {
    type Of = fn(&Figures) -> f32;
    const FIGURES: [(&str, Of); 3] = [
        ("leader switches a run (median, max)", |figures| figures.leader_changes),
        ("term at the end (median, max)", |figures| figures.final_term),
        ("leaderless seconds (median, max)", |figures| figures.leaderless_s),
    ];
    let cell = |all: &[Figures], of| match Figures::median_and_max(all, of) {
        Some((median, max)) => format!("{}, {}", figure(two(median)), figure(two(max))),
        None => "–".to_owned(),
    };
    let seeds = format!("seeds {}..{}", sweep.seeds.start, sweep.seeds.end);
    let mut plain = vec![vec![
        paint(BOLD, &seeds),
        paint(DIM, "leader switches"),
        paint(DIM, "term at the end"),
        paint(DIM, "leaderless seconds"),
    ]];
    for (scenario, file) in sweep.files.iter().enumerate() {
        let arms: Vec<_> = swept.figures.range((scenario, 0)..=(scenario, usize::MAX)).map(|(_, arm)| arm).collect();
        if let [(None, all)] = arms.as_slice() {
            let cells = FIGURES.iter().map(|(_, of)| cell(all, *of));
            plain.push(std::iter::once(file.name().to_owned()).chain(cells).collect());
        } else if !arms.is_empty() {
            let mut rows = vec![vec![paint(BOLD, format!("{}, {seeds}", file.name()))]];
            rows[0].extend(arms.iter().map(|(arm, _)| paint(BOLD, arm.as_deref().unwrap_or_default())));
            for (title, of) in FIGURES {
                let cells = arms.iter().map(|(_, all)| cell(all, of));
                rows.push(std::iter::once(format!("  {title}")).chain(cells).collect());
            }
            paper.blank();
            let right: Vec<bool> = (0..=arms.len()).map(|column| column > 0).collect();
            paper.table(0, &rows, &right);
        }
    }
    if plain.len() > 1 {
        paper.blank();
        paper.table(0, &plain, &[false, true, true, true]);
        paper.paragraph("", "", &paint(DIM, "each: median, maximum of a run"));
    }
}

/// Two decimals are enough for a median of seconds.
fn two(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}
