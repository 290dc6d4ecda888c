//! `seedbed crash`: the power goes off at every step of an operation.

use super::{BadInput, finish, terminal};
use crate::crash::{Address, Explored, Operation, Options, explore};
use crate::report::Verdict;
use crate::scenario::{BugSwitch, parse_bug_switch};
use crate::story::paper::{BAD, BOLD, DIM, GOOD, Paper, WARN, paint};
use crate::story::words::{count, counted, listed};
use crate::sweep::Began;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use seedbed::backend::{BoltConfig, EngineConfig};
use seedbed::bug::{Bug, BugSet};
use serde::Serialize;
use std::io::{self, IsTerminal};

/// Cut the power at every disk operation of a commit, a defrag, a compaction …, and judge what is left
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  seedbed crash                                            every operation
  seedbed crash --operation wal-cut --rounds 50 --fates 30 one of them, thoroughly
  seedbed crash --bug ack-before-wal                       it can find something
  seedbed crash --lying-fsync                              what a disk that lies costs
  seedbed crash --operation commit --only 3/117/5          one image again

Operations: commit, defrag, compaction, snapshot-install, wal-cut")]
pub(super) struct CrashArgs {
    /// What the member is doing while it is cut; may be given again (all of them if none is)
    #[arg(long = "operation", value_name = "NAME", value_parser = parse_operation)]
    operations: Vec<Operation>,

    /// Where the member keeps its pairs: memory or bolt
    #[arg(long, value_name = "NAME", default_value = "bolt", value_parser = parse_engine)]
    engine: EngineConfig,

    /// Lives of the member to cut, each with other values and pauses
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..))]
    rounds: u64,

    /// Random fates at each cut, besides "all lost" and "all kept"
    #[arg(long, value_name = "K", default_value_t = 8)]
    fates: u64,

    /// Everything random comes from it
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,

    /// Let every fsync report success and do nothing
    #[arg(long)]
    lying_fsync: bool,

    /// Switch a historical bug on (`seedbed bugs` lists them); may be given again
    #[arg(long = "bug", value_name = "NAME", value_parser = parse_bug)]
    bugs: Vec<Bug>,

    /// Make one image again, by the address that its finding has
    #[arg(long, value_name = "ROUND/CUT/FATE", requires = "operations")]
    only: Option<Address>,

    /// Workers
    #[arg(long, value_name = "N", default_value_t = jobs(), hide_default_value = true)]
    jobs: usize,

    /// Print one JSON object instead of a table
    #[arg(long)]
    json: bool,
}

fn jobs() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn parse_operation(name: &str) -> Result<Operation, String> {
    Operation::from_name(name).ok_or_else(|| format!("known operations: {}", Operation::NAMES.join(", ")))
}

fn parse_engine(name: &str) -> Result<EngineConfig, String> {
    match name {
        "memory" => Ok(EngineConfig::Memory),
        "bolt" => Ok(EngineConfig::Bolt(BoltConfig::default())),
        _ => Err("known engines: memory, bolt".to_owned()),
    }
}

fn parse_bug(name: &str) -> Result<Bug, String> {
    match parse_bug_switch(name)? {
        BugSwitch { member: None, bug } => Ok(bug),
        _ => Err("there is one member here; name the bug alone".to_owned()),
    }
}

pub(super) fn run(args: &CrashArgs) -> u8 {
    finish(crash(args))
}

fn crash(args: &CrashArgs) -> Result<u8, BadInput> {
    let operations = if args.operations.is_empty() { Operation::ALL } else { &args.operations };
    let options = Options {
        seed: args.seed,
        rounds: args.rounds,
        fates: args.fates,
        lying: args.lying_fsync,
        engine: args.engine,
        bugs: args.bugs.iter().fold(BugSet::NONE, |set, bug| set.with(*bug)),
        only: args.only,
        shard: (0, 1),
    };
    terminal::say(&format!("seed {}", args.seed));
    let began = Began::now();
    let rows: Vec<Row> = operations.iter().map(|&operation| row(operation, args, &options)).collect();
    let seconds = began.seconds();
    let wrong: u64 = rows.iter().map(|row| row.explored.wrong).sum();
    let exit = if wrong > 0 { Verdict::Unsafe.exit() } else { 0 };
    if args.json {
        terminal::print_json(&Printed { seed: args.seed, exit, seconds, operations: rows });
    } else {
        terminal::print(&table(&rows, args, seconds));
    }
    Ok(exit)
}

/// What `--json` prints.
#[derive(Serialize)]
struct Printed {
    seed: u64,
    exit: u8,
    seconds: f64,
    operations: Vec<Row>,
}

/// An operation, and what its exploration came to.
#[derive(Serialize)]
struct Row {
    operation: &'static str,
    #[serde(flatten)]
    explored: Explored,
    /// Commands that make the images of the findings again.
    replays: Vec<String>,
}

/// Explores an operation with several workers, each of which lives the same rounds and judges its part of the cuts.
fn row(operation: Operation, args: &CrashArgs, options: &Options) -> Row {
    let (sender, receiver) = std::sync::mpsc::channel();
    let jobs = if args.only.is_some() { 1 } else { args.jobs.max(1) as u64 };
    let mut explored = Explored::default();
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..jobs)
            .map(|job| {
                let (sender, options) = (sender.clone(), Options { shard: (job, jobs), ..options.clone() });
                scope.spawn(move || {
                    // Nobody hangs up before the last worker is done.
                    let mut seen = |images| sender.send(images).unwrap_or_default();
                    explore(operation, &options, &mut seen)
                })
            })
            .collect();
        drop(sender);
        let progress = progress(operation);
        receiver.iter().for_each(|images| progress.inc(images));
        progress.finish_and_clear();
        for worker in workers {
            explored.add(worker.join().expect("invariant: the explorer catches what its members do"));
        }
    });
    let replays = explored.findings.iter().map(|finding| replay(operation, finding.address, args)).collect();
    Row { operation: operation.name(), explored, replays }
}

fn progress(operation: Operation) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let template = "  {prefix:16} {spinner} {human_pos} images, {per_sec}";
    let style = ProgressStyle::with_template(template).expect("invariant: the template is right");
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(10));
    bar.with_style(style).with_prefix(operation.name())
}

fn replay(operation: Operation, address: Address, args: &CrashArgs) -> String {
    let mut command = format!("seedbed crash --operation {operation} --seed {} --only {address}", args.seed);
    if args.engine == EngineConfig::Memory {
        command += " --engine memory";
    }
    for bug in &args.bugs {
        command += &format!(" --bug {}", bug.info().name);
    }
    command + if args.lying_fsync { " --lying-fsync" } else { "" }
}

fn table(rows: &[Row], args: &CrashArgs, seconds: f64) -> String {
    let mut paper = Paper::new(terminal::width());
    let head = ["operation", "cuts", "images", "cut twice", "wrong", "worst that is allowed"];
    let mut lines: Vec<Vec<String>> = vec![head.iter().map(|cell| paint(DIM, cell)).collect()];
    for Row { operation, explored, .. } in rows {
        let wrong = paint(if explored.wrong > 0 { BAD } else { GOOD }, count(explored.wrong));
        let worst = match explored.unanswered_gone {
            0 => "nothing gone".to_owned(),
            n => format!("{} gone that nobody was told of", counted(n as u64, "write", "writes")),
        };
        let figures = [explored.cuts, explored.images, explored.cut_twice].map(count);
        lines.push([paint(BOLD, operation)].into_iter().chain(figures).chain([wrong, worst]).collect());
    }
    paper.table(0, &lines, &[false, true, true, true, true, false]);
    paper.blank();
    for Row { operation, explored, replays } in rows {
        for (finding, replay) in explored.findings.iter().zip(replays) {
            paper.paragraph(
                "",
                "  ",
                &format!("{} {operation} {}: {}", paint(BAD, "✗"), finding.address, finding.text),
            );
            finding.operations.iter().for_each(|line| paper.paragraph("    ", "      ", &paint(DIM, line)));
            paper.unbroken(&format!("    {replay}"));
            paper.blank();
        }
    }
    if args.lying_fsync {
        lies(&mut paper, rows);
    }
    paper.paragraph("", "", &ending(rows, args, seconds));
    paper.into_text()
}

fn lies(paper: &mut Paper, rows: &[Row]) {
    for Row { operation, explored, .. } in rows {
        let beyond = explored.beyond;
        let text = format!(
            "{} {operation}: of {} promises were broken on {}; on {} of them the member did not start; at a cost of up to \
             {} of {} acknowledged {}",
            paint(WARN, "beyond tolerance"),
            counted(explored.images, "image", "images"),
            count(beyond.images),
            count(beyond.refused),
            count(beyond.most_lost as u64),
            count(beyond.of as u64),
            if *operation == Operation::SnapshotInstall.name() { "entries" } else { "writes" },
        );
        paper.paragraph("", "  ", &text);
    }
    paper.blank();
}

fn ending(rows: &[Row], args: &CrashArgs, seconds: f64) -> String {
    let sum = |of: fn(&Explored) -> u64| rows.iter().map(|row| of(&row.explored)).sum::<u64>();
    let (images, wrong) = (sum(|explored| explored.images), sum(|explored| explored.wrong));
    let rate = count((images as f64 / seconds.max(1e-3)) as u64);
    let names: Vec<String> =
        rows.iter().filter(|row| row.explored.wrong > 0).map(|row| row.operation.to_owned()).collect();
    let verdict = match wrong {
        0 if args.lying_fsync => paint(WARN, "beyond tolerance: the disk lied"),
        0 => paint(GOOD, "no promise was broken"),
        n => paint(BAD, format!("{} wrong, in {}", counted(n, "image is", "images are"), listed(&names))),
    };
    let note = match args.only {
        Some(_) if images == 0 => "; the member's life has no such cut",
        Some(_) if rows.iter().any(|row| row.explored.is_as_lost) => {
            "; nothing was unsynced there: the image is the same as \"lost\""
        }
        _ => "",
    };
    format!(
        "{verdict}: {} from {} in {seconds:.1} s ({rate} a second){note}",
        counted(images, "image", "images"),
        counted(sum(|explored| explored.cuts), "cut", "cuts")
    )
}
