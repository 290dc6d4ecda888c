//! Two servers side by side: `seedbed bench compare`.
//!
//! A figure of one server says as much about the machine as about the server, and a machine has other things to do. So
//! both run on the same machine and disk, take turns a few seconds long, and what counts is the ratio of their medians.

use super::report::ms;
use super::servers::{self, Server};
use super::{End, Keys, Load, Work};
use crate::story::paper::{BAD, BOLD, DIM, GOOD, Paper, paint};
use crate::story::words::{bytes, count};
use serde::Serialize;
use std::path::PathBuf;
use std::time::Duration;

/// What is compared.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The other server's command, and ours.
    pub commands: [String; 2],
    /// Where their data lies.
    pub dir: PathBuf,
    /// Turns of each.
    pub rounds: u32,
    /// How long a turn is.
    pub span: Duration,
    /// Keys of the rows about memory and start; none: no such rows.
    pub keys: u64,
    /// Only rows whose name has this in it.
    pub only: String,
}

/// What came of it.
#[derive(Clone, Debug, Serialize)]
pub struct Table {
    /// The other server's command, and ours.
    pub commands: [String; 2],
    /// What was measured.
    pub rows: Vec<Compared>,
}

/// A figure of both.
#[derive(Clone, Debug, Serialize)]
pub struct Compared {
    /// What it is.
    pub name: String,
    /// In which unit.
    pub unit: Unit,
    /// The other's median and ours.
    pub medians: [f64; 2],
    /// Ours by the other's.
    pub ratio: f64,
    /// What is expected of the ratio.
    pub bound: Bound,
}

/// What a figure counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Answers a second.
    PerSecond,
    /// Milliseconds.
    Ms,
    /// Seconds.
    Seconds,
    /// Microseconds.
    Micros,
    /// Bytes.
    Bytes,
}

/// What is expected of a ratio.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    /// So much or more.
    AtLeast(f64),
    /// So much or less.
    AtMost(f64),
}

impl Bound {
    fn holds(self, ratio: f64) -> bool {
        match self {
            Bound::AtLeast(bound) => ratio >= bound,
            Bound::AtMost(bound) => ratio <= bound,
        }
    }
}

/// A row's load and the figures that are taken of it.
struct Turn {
    name: &'static str,
    /// How many members the cluster has; connections are spread over them.
    members: usize,
    load: Load,
    /// Figures: of which row of the report, what, and its bound.
    figures: &'static [(&'static str, Figure, Bound)],
}

#[derive(Clone, Copy)]
enum Figure {
    Rate,
    P50,
    P99,
    /// Of the server, for an answer: what other work on the machine changes least.
    Cpu,
}

const BUSY: &[(&str, Figure, Bound)] = &[
    ("", Figure::Rate, Bound::AtLeast(1.5)),
    ("", Figure::P99, Bound::AtMost(1.0)),
    ("", Figure::Cpu, Bound::AtMost(1.0)),
];
const HEARD: &[(&str, Figure, Bound)] = &[
    ("event", Figure::P50, Bound::AtMost(1.0)),
    ("event", Figure::P99, Bound::AtMost(1.0)),
    ("event", Figure::Cpu, Bound::AtMost(1.0)),
];

fn turns(plan: &Plan) -> Vec<Turn> {
    let keys = |count| Keys { prefix: "bench/".into(), count, key_size: 16, val_size: 256, sequential: false };
    let load = |clients, work| Load {
        endpoints: Vec::new(),
        clients,
        connections: clients,
        rate: None,
        end: End::After(plan.span),
        keys: keys(10_000),
        work,
    };
    let watch = |clients, rate, watchers, prefix| {
        let load = load(clients, Work::Watch { watchers, prefix });
        Load { connections: 10, rate: Some(rate), ..load }
    };
    let (get, own) = (Work::Range { serializable: false }, Work::Range { serializable: true });
    let turn = |name, load, figures| Turn { name, members: 1, load, figures };
    let of_three = |name, load, figures| Turn { members: 3, ..turn(name, load, figures) };
    let mut turns = vec![
        turn("put, 100 clients", load(100, Work::Put), BUSY),
        turn("put, 500 clients", load(500, Work::Put), BUSY),
        turn("get, 100 clients", load(100, get), BUSY),
        turn("get, 500 clients", load(500, get), BUSY),
        turn("serializable get, 100 clients", load(100, own), BUSY),
        turn("serializable get, 500 clients", load(500, own), BUSY),
        turn("create, 100 clients", load(100, Work::Create), BUSY),
        turn("watch, 1,000 keys, 1,000 puts/s", watch(50, 1_000, 1_000, false), HEARD),
        turn("watch, 100 of a prefix, 200 puts/s", watch(50, 200, 100, true), HEARD),
        of_three("put, 3 members, 100 clients", load(100, Work::Put), BUSY),
        of_three("put, 3 members, 500 clients", load(500, Work::Put), BUSY),
    ];
    turns.retain(|turn| turn.name.contains(&plan.only));
    turns
}

/// Compares. `told` hears what is being done, and says `false` to end it early.
///
/// # Errors
/// A text, if a server cannot be started or reached.
pub fn run(plan: &Plan, mut told: impl FnMut(&str) -> bool) -> Result<Table, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let mut rows = Vec::new();
    let turns = turns(plan);
    for of_one_size in turns.chunk_by(|a, b| a.members == b.members) {
        let (members, names) = (of_one_size[0].members, ["other", "ours"]);
        let start = |n: usize| runtime.block_on(servers::start(&plan.commands[n], &plan.dir, names[n], members));
        let clusters = [start(0)?, start(1)?];
        take_turns(plan, of_one_size, &clusters, &mut rows, &mut told)?;
    }
    if plan.keys > 0 && "memory start".contains(&plan.only) {
        large(plan, &runtime, &mut rows, &mut told)?;
    }
    Ok(Table { commands: plan.commands.clone(), rows })
}

fn take_turns(
    plan: &Plan,
    turns: &[Turn],
    clusters: &[Vec<Server>; 2],
    rows: &mut Vec<Compared>,
    told: &mut impl FnMut(&str) -> bool,
) -> Result<(), String> {
    for turn in turns {
        let mut seen: Vec<[Vec<f64>; 2]> = turn.figures.iter().map(|_| Default::default()).collect();
        for round in 0..plan.rounds as usize {
            for n in [round % 2, 1 - round % 2] {
                if !told(&format!("{}: {}, turn {}", turn.name, ["the other", "ours"][n], round + 1)) {
                    return Ok(());
                }
                let endpoints = clusters[n].iter().map(Server::endpoint).collect();
                let load = Load { endpoints, ..turn.load.clone() };
                let cpu_s = || clusters[n].iter().filter_map(Server::cpu_s).sum::<f64>();
                let before = cpu_s();
                let report = super::run(&load, |_| true).map_err(|error| error.to_string())?;
                let cpu_s = cpu_s() - before;
                if let Some((error, times)) = report.errors.iter().next() {
                    told(&format!("  {times} × {error}"));
                }
                for ((of, figure, _), seen) in turn.figures.iter().zip(&mut seen) {
                    let row = if of.is_empty() { report.rows.first() } else { report.row(of) };
                    let row = row.ok_or_else(|| format!("{}: `{}` answered nothing", turn.name, plan.commands[n]))?;
                    seen[n].push(match figure {
                        Figure::Rate => row.per_second,
                        Figure::P50 => row.p50_ms,
                        Figure::P99 => row.p99_ms,
                        Figure::Cpu => cpu_s * 1e6 / row.count as f64,
                    });
                }
            }
        }
        for ((_, figure, bound), seen) in turn.figures.iter().zip(seen) {
            let (what, unit) = match figure {
                Figure::Rate => ("", Unit::PerSecond),
                Figure::P50 => (", p50", Unit::Ms),
                Figure::P99 => (", p99", Unit::Ms),
                Figure::Cpu => (", CPU for one", Unit::Micros),
            };
            rows.push(compared(&format!("{}{what}", turn.name), unit, seen.map(median), *bound));
        }
    }
    Ok(())
}

/// Many keys: how they are put, what they cost in memory, and how long a start takes then.
fn large(
    plan: &Plan,
    runtime: &tokio::runtime::Runtime,
    rows: &mut Vec<Compared>,
    told: &mut impl FnMut(&str) -> bool,
) -> Result<(), String> {
    let mut seen = [[0.0; 4]; 2];
    for (n, command) in plan.commands.iter().enumerate() {
        if !told(&format!("memory and start with {} keys: {}", count(plan.keys), ["the other", "ours"][n])) {
            return Ok(());
        }
        let mut cluster = runtime.block_on(servers::start(command, &plan.dir, "large", 1))?;
        let server = &mut cluster[0];
        let load = Load {
            endpoints: vec![server.endpoint()],
            clients: 200,
            connections: 10,
            rate: None,
            end: End::Total(plan.keys),
            keys: Keys { prefix: "bench/".into(), count: plan.keys, key_size: 16, val_size: 256, sequential: true },
            work: Work::Put,
        };
        let report = super::run(&load, |_| true).map_err(|error| error.to_string())?;
        let rate = report.rows.first().map_or(0.0, |row| row.per_second);
        let held = server.resident().unwrap_or_default();
        let start = runtime.block_on(server.start_again())?;
        seen[n] = [rate, held, start.as_secs_f64(), server.resident().unwrap_or_default()];
    }
    let keys = count(plan.keys);
    let both = |figure: usize| [seen[0][figure], seen[1][figure]];
    rows.push(compared(&format!("put {keys} keys over 10 connections"), Unit::PerSecond, both(0), Bound::AtLeast(1.5)));
    rows.push(compared(&format!("memory with {keys} keys"), Unit::Bytes, both(1), Bound::AtMost(0.8)));
    rows.push(compared(&format!("start with {keys} keys"), Unit::Seconds, both(2), Bound::AtMost(0.5)));
    rows.push(compared("memory after the start", Unit::Bytes, both(3), Bound::AtMost(0.8)));
    Ok(())
}

fn compared(name: &str, unit: Unit, medians: [f64; 2], bound: Bound) -> Compared {
    Compared { name: name.to_owned(), unit, medians, ratio: medians[1] / medians[0].max(1e-9), bound }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let (n, half) = (values.len(), values.len() / 2);
    if n % 2 == 1 { values[half] } else { (values[half - 1] + values[half]) / 2.0 }
}

impl Table {
    /// The table.
    pub fn text(&self, width: usize) -> String {
        let mut paper = Paper::new(width);
        let mut rows = vec![["", "other", "ours", "ratio", "bound"].map(|head| paint(DIM, head)).to_vec()];
        for row in &self.rows {
            let style = if row.bound.holds(row.ratio) { GOOD } else { BAD };
            let figure = |value: f64| match row.unit {
                Unit::PerSecond => format!("{}/s", count(value.round() as u64)),
                Unit::Ms => format!("{} ms", ms(value)),
                Unit::Seconds => format!("{value:.2} s"),
                Unit::Micros => format!("{value:.1} µs"),
                Unit::Bytes => bytes(value as u64),
            };
            let bound = match row.bound {
                Bound::AtLeast(bound) => format!("≥ {bound}"),
                Bound::AtMost(bound) => format!("≤ {bound}"),
            };
            let ratio = paint(style, format!("{:.2} ×", row.ratio));
            let [other, ours] = row.medians.map(figure);
            rows.push(vec![paint(BOLD, &row.name), other, ours, ratio, paint(DIM, bound)]);
        }
        paper.table_unbroken(0, &rows, &[false, true, true, true, true]);
        let commands = format!("other: {}; ours: {}", self.commands[0], self.commands[1]);
        paper.paragraph("", "", &paint(DIM, commands));
        paper.into_text()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_ours_by_the_others_and_held_against_its_bound() {
        let row = compared("put", Unit::PerSecond, [10.0, 16.0], Bound::AtLeast(1.5));
        assert!(row.bound.holds(row.ratio) && !Bound::AtLeast(1.7).holds(row.ratio));
        assert!(Bound::AtMost(0.5).holds(0.5) && !Bound::AtMost(0.5).holds(0.51));
        assert_eq!((median(vec![3.0, 1.0, 2.0]), median(vec![4.0, 1.0])), (2.0, 2.5));
        let table = Table { commands: ["etcd".into(), "seedbed serve".into()], rows: vec![row] };
        let text = anstream::adapter::strip_str(&table.text(100)).to_string();
        assert!(text.contains("put   10/s  16/s  1.60 ×  ≥ 1.5"), "{text}");
    }
}
