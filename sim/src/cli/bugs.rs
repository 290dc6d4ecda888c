//! `seedbed bugs`: the historical bugs that can be switched on.

use super::terminal;
use crate::story::paper::{BOLD, DIM, Paper, paint};
use seedbed::bug::{Bug, BugInfo};
use serde::Serialize;

/// List the historical bugs that can be switched on with --bug
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  seedbed bugs
  seedbed run scenarios/chaos/nemesis-3.toml --bug vote-not-durable       in every member
  seedbed sweep scenarios/chaos --seeds 0..100 --bug vote-not-durable@n2  in one")]
pub(super) struct BugsArgs {
    /// Print a JSON array instead of a table
    #[arg(long)]
    json: bool,
}

/// A bug, as `--json` has it.
#[derive(Serialize)]
struct Row {
    name: &'static str,
    switch: &'static str,
    issue: &'static str,
    versions: &'static str,
    class: &'static str,
    summary: &'static str,
    scenario: &'static str,
    check: &'static str,
    seeds_to_find: u64,
}

pub(super) fn run(args: &BugsArgs) -> u8 {
    let rows: Vec<Row> = Bug::ALL.into_iter().map(row).collect();
    if args.json {
        terminal::print_json(&rows);
        return 0;
    }
    let mut paper = Paper::new(terminal::width());
    for row in &rows {
        let Row { name, switch, issue, versions, class, summary, scenario, check, seeds_to_find } = row;
        paper.paragraph("", "  ", &format!("{}  {}", paint(BOLD, name), paint(DIM, format!("{class} · {issue}"))));
        paper.paragraph("  ", "  ", summary);
        paper.paragraph("  ", "    ", &format!("{} {versions}", paint(DIM, "versions")));
        let how = if switch == name { String::new() } else { format!(", with --bug {switch}") };
        let found = if *seeds_to_find == 1 { "by seed 0".to_owned() } else { format!("within {seeds_to_find} seeds") };
        paper.paragraph("  ", "    ", &format!("{} {check}, {found} of {scenario}{how}", paint(DIM, "caught by")));
        paper.blank();
    }
    terminal::print(&paper.into_text());
    0
}

fn row(bug: Bug) -> Row {
    let BugInfo { name, issue, versions, class, summary, scenario, check, seeds_to_find } = bug.info();
    Row { name, switch: bug.switch(), issue, versions, class, summary, scenario, check, seeds_to_find }
}
