//! `seedbed doctor`: what is wrong with a running cluster, and what to do.

use super::{BadInput, finish, terminal};
use crate::client::Endpoint;
use crate::doctor::observe::{self, Asked};
use crate::doctor::{Report, Severity};
use std::time::Duration;

/// Look over a running cluster, ours or a real etcd, and tell what is wrong and what to do. It only reads
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  seedbed doctor                                                the member on this machine
  seedbed doctor --endpoints 10.0.0.1:2379,10.0.0.2:2379        these
  seedbed doctor --endpoints 10.0.0.1:2379 --cluster            and everyone whom they know
  seedbed doctor --window 60 --json | jq '.findings[].what'

Exit codes:
   0  nothing is wrong, but for notes
   2  bad command line
  10  something is wrong now: clients feel it, or data is in danger
  11  something will go wrong")]
pub(super) struct DoctorArgs {
    /// Members to look at
    #[arg(long, value_name = "HOST:PORT", value_delimiter = ',', default_value = "localhost:2379")]
    endpoints: Vec<Endpoint>,

    /// Look at every member that these know, too
    #[arg(long)]
    cluster: bool,

    /// Seconds between the two looks at each member
    #[arg(long, value_name = "S", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=3600))]
    window: u64,

    /// Do not compare hashes: hashing reads every key
    #[arg(long)]
    skip_hash: bool,

    /// Print one JSON object instead of text
    #[arg(long)]
    json: bool,
}

/// Something is wrong now.
const CRITICAL: u8 = 10;
/// Something will go wrong.
const WARNINGS: u8 = 11;

/// Runs the command; returns the exit code.
pub(super) fn run(args: &DoctorArgs) -> u8 {
    finish(doctor(args))
}

fn doctor(args: &DoctorArgs) -> Result<u8, BadInput> {
    let asked = Asked {
        endpoints: args.endpoints.clone(),
        cluster: args.cluster,
        window: Duration::from_secs(args.window),
        hash: !args.skip_hash,
    };
    let report = Report::of(observe::observe(&asked));
    if args.json {
        terminal::print_json(&report);
    } else {
        terminal::print(&report.text(terminal::width()));
    }
    Ok(match report.severity() {
        Some(Severity::Critical) => CRITICAL,
        Some(Severity::Warning) => WARNINGS,
        Some(Severity::Note) | None => 0,
    })
}
