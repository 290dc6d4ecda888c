//! `seedbed list`: the scenarios that there are.

use super::input::{scenario_file, scenarios_root, toml_files};
use super::{BadInput, finish, terminal};
use crate::scenario::{ScenarioFile, schema};
use crate::story::paper::{BOLD, DIM, Paper, paint};
use crate::story::words::{counted, first_sentence};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// List scenarios: name, chapter, arms, and what happens
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  seedbed list                                  the shipped scenarios
  seedbed list mine/ --json | jq '.[].path'
  seedbed list --schema > scenario.schema.json  for an editor that completes scenario files")]
pub(super) struct ListArgs {
    /// A folder of scenarios, or one; the project's `scenarios` if none is given
    path: Option<PathBuf>,

    /// Print a JSON array instead of a table
    #[arg(long, conflicts_with = "schema")]
    json: bool,

    /// Print the JSON schema of scenario files instead
    #[arg(long)]
    schema: bool,
}

/// A scenario, as `--json` has it.
#[derive(Serialize)]
struct Listed {
    name: String,
    path: String,
    chapter: String,
    arms: Vec<String>,
    about: String,
}

pub(super) fn run(args: &ListArgs) -> u8 {
    finish(list(args))
}

fn list(args: &ListArgs) -> Result<u8, BadInput> {
    if args.schema {
        terminal::print(&schema());
        return Ok(0);
    }
    let root = match &args.path {
        Some(path) => path.clone(),
        None => scenarios_root().ok_or("no folder \"scenarios\" here or above; name one: seedbed list PATH")?,
    };
    let files = if root.is_dir() { toml_files(&root)? } else { vec![root.clone()] };
    if files.is_empty() {
        return Err(format!("{}: no scenario (*.toml) below it", root.display()).into());
    }
    let files = files.iter().map(|path| scenario_file(path)).collect::<Result<Vec<_>, _>>()?;
    let listed: Vec<Listed> = files.iter().map(listed).collect();
    if args.json {
        terminal::print_json(&listed);
    } else {
        terminal::print(&table(&listed));
    }
    Ok(0)
}

fn listed(file: &ScenarioFile) -> Listed {
    Listed {
        name: file.name().to_owned(),
        path: file.file().to_owned(),
        chapter: file.chapter().to_owned(),
        arms: file.arms().into_iter().map(str::to_owned).collect(),
        about: first_sentence(file.about()),
    }
}

/// A paragraph a folder, a row a scenario.
fn table(listed: &[Listed]) -> String {
    let mut paper = Paper::new(terminal::width());
    let folder = |listed: &Listed| Path::new(&listed.path).parent().map(Path::to_owned).unwrap_or_default();
    for group in listed.chunk_by(|a, b| folder(a) == folder(b)) {
        paper.unbroken(&paint(BOLD, folder(&group[0]).join("").display()));
        let row = |listed: &Listed| {
            let arms = match listed.arms.as_slice() {
                [] => String::new(),
                arms => paint(DIM, format!(" [arms: {}]", arms.join(" · "))),
            };
            let file = Path::new(&listed.path).file_name().unwrap_or_default().to_string_lossy().into_owned();
            vec![file, paint(DIM, &listed.chapter), format!("{}{arms}", listed.about)]
        };
        paper.table(2, &group.iter().map(row).collect::<Vec<_>>(), &[]);
        paper.blank();
    }
    let count = counted(listed.len() as u64, "scenario", "scenarios");
    paper.paragraph(
        "",
        "",
        &paint(DIM, format!("{count}; the second column is the chapter. seedbed run FILE runs one")),
    );
    paper.into_text()
}
