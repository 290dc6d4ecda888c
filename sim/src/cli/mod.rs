//! The command line: each subcommand reads its arguments, does its work, and says how to exit.
//!
//! ```text
//! run      one seed of a scenario, as a story          list    the scenarios that there are
//! sweep    many seeds of many scenarios                bugs    the historical bugs that can be switched on
//! replay   a failed run again, from its capsule        check   histories that were recorded elsewhere
//! inspect  what is in etcd's files
//! crash    power cuts at every disk operation
//! serve    the member for real
//! cluster  three of them
//! bench    load for a member, ours or another's
//! doctor   what is wrong with a running cluster
//! ```
//!
//! Three habits hold for all of them. What was asked for goes to stdout, and everything about the asking (progress,
//! warnings, errors) to stderr, so that stdout can always be piped. Bad input is found before anything runs or is
//! written, and its message says what was expected, where, and what to do. And the exit code says how it ended: 0,
//! or the lowest of the codes in [`crate::report::Verdict::exit`]; 2 for bad input, 15 for a replay that
//! parted from its capsule, 70 if the testbed itself failed, 130 if it was interrupted.
//!
//! A reader that goes away (`| head`) is never an error: the verdict stands, and so does its exit code.

mod bench;
mod bugs;
pub mod check;
mod cluster;
mod config_file;
mod crash;
mod doctor;
mod input;
mod inspect;
mod interrupt;
mod keep_data;
mod list;
mod real_disk;
mod replay;
mod run;
mod serve;
mod serve_log;
mod serve_tls;
mod sweep;
mod terminal;

use clap::{CommandFactory, Parser, Subcommand, ValueEnum};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

/// Bad input.
const BAD_INPUT: u8 = 2;
/// A replay parted from its capsule.
const DIVERGED: u8 = 15;
/// Seedbed itself failed.
const BROKEN: u8 = 70;
/// Ctrl-C.
const INTERRUPTED: u8 = 130;

/// Runs etcd clusters in a world that can be replayed, breaks them, and judges what they did
#[derive(Debug, Parser)]
#[command(name = "seedbed", version = version(), max_term_width = 100, after_help = EXAMPLES)]
struct Cli {
    /// Whether to use colours; by itself it does on a terminal, unless NO_COLOR is set
    #[arg(
        long,
        global = true,
        value_name = "WHEN",
        default_value = "auto",
        hide_default_value = true,
        display_order = 900
    )]
    color: Color,

    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Color {
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::RunArgs),
    Sweep(sweep::SweepArgs),
    Replay(replay::ReplayArgs),
    List(list::ListArgs),
    Bugs(bugs::BugsArgs),
    Crash(crash::CrashArgs),
    /// Judge histories that were recorded elsewhere: Jepsen logs, EDN
    Check(check::CheckArgs),
    Inspect(inspect::InspectArgs),
    Serve(Box<serve::ServeArgs>),
    Cluster(cluster::ClusterArgs),
    Bench(bench::BenchArgs),
    Doctor(doctor::DoctorArgs),
}

const EXAMPLES: &str = "\
Examples:
  seedbed list                                                    what there is to run
  seedbed run scenarios/leader-switch/leader-fsync-stall.toml     one run, as a story
  seedbed sweep scenarios/chaos --seeds 0..1000                   many runs, as a table
  seedbed replay out/nemesis-3-9f3c41d2.seedbed                   a failed run again
  seedbed inspect default.etcd                                    what is in etcd's files
  seedbed serve                                                   the member for real, behind etcd's API
  seedbed cluster                                                 three of them
  seedbed bench put --clients 100                                 load for it, or for a real etcd
  seedbed doctor --cluster                                        what is wrong with a running cluster

Exit codes:
   0  every check and expectation holds      13  an expectation was not met
   2  bad command line or scenario           14  undecided: a budget ran out
  10  a safety check failed                  15  a replay diverged
  11  no progress after healing              70  Seedbed itself failed
  12  a member panicked                     130  interrupted";

/// The version, with the build's fingerprint, for reports of bugs.
fn version() -> &'static str {
    concat!(env!("CARGO_PKG_VERSION"), " (build ", env!("SEEDBED_FINGERPRINT"), ")")
}

/// The whole program.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let choice = match cli.color {
        Color::Auto => anstream::ColorChoice::Auto,
        Color::Always => anstream::ColorChoice::Always,
        Color::Never => anstream::ColorChoice::Never,
    };
    if choice != anstream::ColorChoice::Auto {
        choice.write_global();
    }
    let code = catch_unwind(AssertUnwindSafe(|| match cli.command {
        Command::Run(args) => run::run(&args),
        Command::Sweep(args) => sweep::run(&args),
        Command::Replay(args) => replay::run(&args),
        Command::List(args) => list::run(&args),
        Command::Bugs(args) => bugs::run(&args),
        Command::Crash(args) => crash::run(&args),
        Command::Check(args) => check::run(args),
        Command::Inspect(args) => inspect::run(&args),
        Command::Serve(args) => serve::run(&args),
        Command::Cluster(args) => cluster::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Doctor(args) => doctor::run(&args),
    }));
    ExitCode::from(code.unwrap_or_else(|_| {
        terminal::say("error: Seedbed itself failed; the message above says where. Please report it with the command");
        BROKEN
    }))
}

/// The command line's own definition, for documentation and tests.
pub fn command() -> clap::Command {
    Cli::command()
}

/// What keeps a command from being done, ready to be shown after `error: `.
#[derive(Debug)]
struct BadInput(String);

impl<T: std::fmt::Display> From<T> for BadInput {
    fn from(error: T) -> BadInput {
        BadInput(error.to_string())
    }
}

/// The exit code of a command that may find its input bad.
fn finish(result: Result<u8, BadInput>) -> u8 {
    result.unwrap_or_else(|BadInput(message)| {
        terminal::error(&message);
        BAD_INPUT
    })
}
