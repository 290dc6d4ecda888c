//! `seedbed bench`: load for any etcd endpoint, and how long its answers took.

use super::interrupt::stop_on_interrupt;
use super::{BadInput, INTERRUPTED, finish, terminal};
use crate::bench::{self, End, Keys, Load, Progress, Report, Work, compare};
use crate::client::Endpoint;
use crate::story::words::count;
use indicatif::{ProgressBar, ProgressStyle};
use std::io::{self, IsTerminal as _};
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Put load on an etcd endpoint, ours or a real one, and tell how long its answers took
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  seedbed bench put --clients 100 --duration 10s           as many puts as 100 clients can make
  seedbed bench put --clients 100 --rate 5000              5,000 a second, whatever the server does
  seedbed bench range --serializable --keys 1000
  seedbed bench txn --shape update                         as a Kubernetes API server writes
  seedbed bench watch --watchers 1000 --rate 1000          each of a key of its own; how old is what they hear?
  seedbed bench watch --watchers 100 --prefix --rate 200   all of one prefix
  seedbed bench lease --clients 10 --total 1000
  seedbed bench compare --other etcd                       this build beside a real etcd, row by row

A closed loop asks again when it is answered; with --rate the clock says when a request is due, and its time counts from
there: the wait for a client that was free is in it.

Exit codes:
   0  done; errors are in the table       11  no request was answered
   2  bad command line, or no server     130  interrupted; what was finished is told")]
pub(super) struct BenchArgs {
    #[command(subcommand)]
    work: WorkArgs,
}

#[derive(clap::Subcommand, Clone, Debug)]
enum WorkArgs {
    /// Puts
    Put {
        #[command(flatten)]
        load: LoadArgs,
    },
    /// Gets of one key. Keys that are not there are put first
    Range {
        #[command(flatten)]
        load: LoadArgs,
        /// From the member's own state, without asking the leader
        #[arg(long)]
        serializable: bool,
    },
    /// Transactions, as a Kubernetes API server makes them
    Txn {
        #[command(flatten)]
        load: LoadArgs,
        /// A put if the key is not there, or if it is as it was read
        #[arg(long, value_enum, default_value = "create")]
        shape: Shape,
    },
    /// Watchers that hear of puts, and how old what they hear is
    Watch {
        #[command(flatten)]
        load: LoadArgs,
        /// How many watchers, spread over the connections
        #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
        watchers: u32,
        /// All watch one prefix, instead of a key each
        #[arg(long)]
        prefix: bool,
    },
    /// Leases: granted, kept alive once, revoked
    Lease {
        #[command(flatten)]
        load: LoadArgs,
    },
    /// This build's `serve` beside another server: the same flags, disk and load, in turns
    Compare(CompareArgs),
}

#[derive(clap::ValueEnum, Clone, Copy, Debug)]
enum Shape {
    Create,
    Update,
}

#[derive(clap::Args, Clone, Debug)]
struct LoadArgs {
    /// Members to speak to; connections are spread over them
    #[arg(long, value_name = "HOST:PORT", value_delimiter = ',', default_value = "localhost:2379")]
    endpoints: Vec<Endpoint>,

    /// Requests that are under way at once
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    clients: u32,

    /// Connections that they share (one each, if not given)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=50_000))]
    connections: Option<u32>,

    /// Requests a second, by the clock (as many as are answered, if not given)
    #[arg(long, value_name = "R", value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    rate: Option<u64>,

    /// End after so many requests
    #[arg(long, value_name = "N", conflicts_with = "duration", value_parser = clap::value_parser!(u64).range(1..))]
    total: Option<u64>,

    /// End after so long: 10s, 500ms, 2m
    #[arg(long, value_name = "SPAN", default_value = "10s", value_parser = span)]
    duration: Duration,

    /// Bytes of a key
    #[arg(long, value_name = "BYTES", default_value_t = 16)]
    key_size: usize,

    /// Bytes of a value
    #[arg(long, value_name = "BYTES", default_value_t = 256)]
    val_size: usize,

    /// Different keys
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..))]
    keys: u64,

    /// What every key begins with
    #[arg(long, value_name = "TEXT", default_value = "bench/")]
    key_prefix: String,

    /// Keys one after the other, instead of any
    #[arg(long)]
    sequential: bool,

    /// Print one JSON object instead of a table
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args, Clone, Debug)]
struct CompareArgs {
    /// The other server; it is given its addresses and directory as variables (ETCD_DATA_DIR …)
    #[arg(long, value_name = "COMMAND", default_value = "etcd")]
    other: String,

    /// This build's command, in the same way (itself, if not given)
    #[arg(long, value_name = "COMMAND")]
    ours: Option<String>,

    /// Where the data lies meanwhile; it should be the disk that matters
    #[arg(long, value_name = "DIR")]
    dir: Option<std::path::PathBuf>,

    /// Turns that each server has; the median counts
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=99))]
    rounds: u32,

    /// How long a turn is
    #[arg(long, value_name = "SPAN", default_value = "5s", value_parser = span)]
    duration: Duration,

    /// Keys of the rows about memory and start; 0 leaves them out
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    keys: u64,

    /// Only rows whose name has this in it
    #[arg(long, value_name = "TEXT", default_value = "")]
    only: String,

    /// Print one JSON object instead of a table
    #[arg(long)]
    json: bool,
}

/// Runs the command; returns the exit code.
pub(super) fn run(args: &BenchArgs) -> u8 {
    finish(match &args.work {
        WorkArgs::Put { load } => bench(load, Work::Put),
        WorkArgs::Range { load, serializable } => bench(load, Work::Range { serializable: *serializable }),
        WorkArgs::Txn { load, shape: Shape::Create } => bench(load, Work::Create),
        WorkArgs::Txn { load, shape: Shape::Update } => bench(load, Work::Update),
        WorkArgs::Watch { load, watchers, prefix } => {
            let work = Work::Watch { watchers: *watchers as usize, prefix: *prefix };
            // A watch is asked how old its events are: at a rate, not in a full house.
            bench(&LoadArgs { rate: load.rate.or(Some(100)), ..load.clone() }, work)
        }
        WorkArgs::Lease { load } => bench(load, Work::Lease),
        WorkArgs::Compare(args) => run_compare(args),
    })
}

const NOTHING_ANSWERED: u8 = 11;

fn bench(args: &LoadArgs, work: Work) -> Result<u8, BadInput> {
    let load = Load {
        endpoints: args.endpoints.clone(),
        clients: args.clients as usize,
        connections: args.connections.unwrap_or(args.clients).min(args.clients) as usize,
        rate: args.rate,
        end: args.total.map_or(End::After(args.duration), End::Total),
        keys: Keys {
            prefix: args.key_prefix.clone(),
            count: args.keys,
            key_size: args.key_size,
            val_size: args.val_size,
            sequential: args.sequential,
        },
        work,
    };
    let stop = stop_on_interrupt("the load");
    let bar = Bar::new(load.end);
    let report = bench::run(&load, |progress| {
        bar.seen(progress);
        !stop.load(Ordering::Relaxed)
    });
    bar.0.finish_and_clear();
    let report = report?;
    tell(&report, args.json);
    Ok(match (stop.load(Ordering::Relaxed), report.rows.is_empty()) {
        (true, _) => INTERRUPTED,
        (false, true) => NOTHING_ANSWERED,
        (false, false) => 0,
    })
}

fn tell(report: &Report, json: bool) {
    if json {
        terminal::print_json(report);
    } else {
        terminal::print(&report.text(terminal::width()));
    }
}

fn run_compare(args: &CompareArgs) -> Result<u8, BadInput> {
    let ours = match &args.ours {
        Some(command) => command.clone(),
        None => format!("{} serve", std::env::current_exe()?.display()),
    };
    let plan = compare::Plan {
        commands: [args.other.clone(), ours],
        dir: args.dir.clone().unwrap_or_else(std::env::temp_dir),
        rounds: args.rounds,
        span: args.duration,
        keys: args.keys,
        only: args.only.clone(),
    };
    let stop = stop_on_interrupt("the load");
    let table = compare::run(&plan, |line| {
        terminal::say(line);
        !stop.load(Ordering::Relaxed)
    })?;
    if args.json {
        terminal::print_json(&table);
    } else {
        terminal::print(&table.text(terminal::width()));
    }
    Ok(if stop.load(Ordering::Relaxed) { INTERRUPTED } else { 0 })
}

/// How far the load is, on a terminal.
struct Bar(ProgressBar, End);

impl Bar {
    fn new(end: End) -> Bar {
        let length = match end {
            End::Total(total) => total,
            End::After(span) => span.as_millis() as u64,
        };
        let template = "  {bar:24} {msg}";
        let style = ProgressStyle::with_template(template).expect("invariant: the template is right");
        let bar = if io::stderr().is_terminal() { ProgressBar::new(length) } else { ProgressBar::hidden() };
        Bar(bar.with_style(style.progress_chars("█▌ ")), end)
    }

    fn seen(&self, progress: Progress) {
        let seconds = progress.elapsed.as_secs_f64();
        self.0.set_position(match self.1 {
            End::Total(_) => progress.answered,
            End::After(_) => progress.elapsed.as_millis() as u64,
        });
        let rate = count((progress.answered as f64 / seconds.max(0.1)) as u64);
        let errors = if progress.failed > 0 { format!(" · {} errors", count(progress.failed)) } else { String::new() };
        self.0.set_message(format!("{seconds:.0} s · {} answers, {rate} a second{errors}", count(progress.answered)));
    }
}

/// `10s`, `500ms`, `2m`.
fn span(text: &str) -> Result<Duration, String> {
    let expected = || format!("{text}: a span is expected, for example 10s, 500ms or 2m");
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 = digits.parse().map_err(|_| expected())?;
    match &text[digits.len()..] {
        "ms" => Ok(Duration::from_millis(number)),
        "s" => Ok(Duration::from_secs(number)),
        "m" => Ok(Duration::from_secs(number.saturating_mul(60))),
        _ => Err(expected()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_has_a_unit() {
        assert_eq!(span("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(span("2m"), Ok(Duration::from_secs(120)));
        for wrong in ["", "5", "s", "5h", "-1s"] {
            assert!(span(wrong).is_err(), "{wrong}");
        }
    }
}
