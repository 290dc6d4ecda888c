//! The command `seedbed`.

use clap::{Parser, Subcommand};
use seedbed_sim::cli;
use std::process::ExitCode;

#[derive(Parser)]
#[command(name = "seedbed")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Judge histories recorded elsewhere
    Check(cli::check::CheckArgs),
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Check(args) => ExitCode::from(cli::check::run(args)),
    }
}
