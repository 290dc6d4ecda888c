//! `seedbed check`: judges histories that were recorded elsewhere.
//!
//! A line `PATH: VERDICT` for each file goes to stdout; what was passed over, what cannot be read, and a summary go to
//! stderr. Formats are recognised by content ([`foreign`]). In a folder, files that are no histories are passed over and
//! named; a path that was given and is none is an error, and so are paths under which there is nothing to judge: a check of
//! nothing must not look like a pass.

use crate::check::foreign::{self, Judgement, Unreadable, Verdict};
use crate::check::wgl::{Budget, Spent};
use serde::Serialize;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Arguments of `seedbed check`.
#[derive(clap::Args, Clone, Debug)]
pub struct CheckArgs {
    /// Histories, or folders of them (searched recursively, in order of name; hidden entries are left out)
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,

    /// Steps that the search of one history may take before it is undecided
    #[arg(long, value_name = "N", default_value_t = Budget::default().steps)]
    pub budget_steps: u64,

    /// Memory that the search of one history may take before it is undecided, in MiB
    #[arg(long, value_name = "MIB", default_value_t = Budget::default().memo_bytes >> 20)]
    pub budget_mib: usize,

    /// Print one JSON object instead of a line for each history
    #[arg(long)]
    pub json: bool,
}

/// Exit codes, lowest first: the lowest that applies is the one that is returned.
const UNREADABLE: u8 = 2;
const NOT_LINEARIZABLE: u8 = 10;
const UNDECIDED: u8 = 14;

/// Judges every history, and returns the exit code: 0 if all are linearizable, 2 if something cannot be read, 10 if some
/// are not linearizable, 14 if some are undecided; the lowest of these if several apply.
pub fn run(args: CheckArgs) -> u8 {
    let budget = Budget { steps: args.budget_steps, memo_bytes: args.budget_mib.saturating_mul(1 << 20) };
    let mut report = Report::default();
    let mut out = io::stdout().lock();
    for candidate in candidates(&args.paths, &mut report) {
        if let Some(judged) = report.judge(&candidate, budget)
            && !args.json
            && writeln!(out, "{}: {}", judged.path, judged.verdict).is_err()
        {
            // Whoever read the lines has seen enough (`| head`).
            return report.exit_code();
        }
    }
    report.finish();
    if args.json {
        let json = serde_json::to_string_pretty(&report).expect("a report is plain data");
        // A reader that went away does not change the verdict.
        let _ = writeln!(out, "{json}");
    }
    report.exit_code()
}

/// A file to judge.
struct Candidate {
    path: PathBuf,
    /// Named on the command line, so it has to be a history.
    named: bool,
}

/// The files that are given, and those in the folders that are given.
fn candidates(paths: &[PathBuf], report: &mut Report) -> Vec<Candidate> {
    let mut found = Vec::new();
    for path in paths {
        if path.is_dir() {
            let mut folders = vec![path.clone()];
            let mut files = Vec::new();
            while let Some(folder) = folders.pop() {
                if let Err(error) = list(&folder, &mut folders, &mut files) {
                    report.unreadable(&folder, None, &format!("a folder that can be read: {error}"));
                }
            }
            files.sort();
            found.extend(files.into_iter().map(|path| Candidate { path, named: false }));
        } else {
            found.push(Candidate { path: path.clone(), named: true });
        }
    }
    found
}

/// Adds the entries of a folder. A link to a folder is not followed, for it may lead back.
fn list(folder: &Path, folders: &mut Vec<PathBuf>, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
            continue;
        }
        if entry.file_type()?.is_dir() {
            folders.push(entry.path());
        } else if entry.path().is_file() {
            files.push(entry.path());
        }
    }
    Ok(())
}

/// What `--json` prints.
#[derive(Default, Serialize)]
struct Report {
    files: Vec<Judged>,
    passed_over: Vec<String>,
    unreadable: Vec<Error>,
    linearizable: usize,
    not_linearizable: usize,
    undecided: usize,
    empty: usize,
}

/// A judged file.
#[derive(Serialize)]
struct Judged {
    path: String,
    verdict: &'static str,
    operations: usize,
    unreturned: usize,
    steps: u64,
    /// For a history that is not linearizable: the line that asks for an operation that found no place.
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<usize>,
    /// For an undecided one: what ran out.
    #[serde(skip_serializing_if = "Option::is_none")]
    spent: Option<&'static str>,
}

/// A file that cannot be read.
#[derive(Serialize)]
struct Error {
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<usize>,
    message: String,
}

impl Report {
    fn judge(&mut self, candidate: &Candidate, budget: Budget) -> Option<&Judged> {
        let path = &candidate.path;
        let content = match fs::read(path) {
            Ok(content) => content,
            Err(error) => {
                self.unreadable(path, None, &format!("cannot be read: {error}"));
                return None;
            }
        };
        let Some(format) = foreign::recognise(&content) else {
            if candidate.named {
                let message = "expected a history: a Jepsen log (lines \"INFO jepsen.util - 0 :invoke :read nil\") or \
                               EDN maps ({:process 0, :type :invoke, :f :get, :key \"a\", :value nil})";
                self.unreadable(path, None, message);
            } else {
                say(&format!("passed over: {}, no history", path.display()));
                self.passed_over.push(path.display().to_string());
            }
            return None;
        };
        match foreign::judge(&content, format, budget) {
            Ok(judgement) => {
                self.count(path, judgement);
                self.files.last()
            }
            Err(error) => {
                self.unreadable(path, Some((&error, &content)), &error.to_string());
                None
            }
        }
    }

    fn count(&mut self, path: &Path, judgement: Judgement) {
        let (mut line, mut spent) = (None, None);
        let path = path.display().to_string();
        let (verdict, count) = match judgement.verdict {
            Verdict::Linearizable => ("linearizable", &mut self.linearizable),
            Verdict::NotLinearizable { line: at } => {
                say(&format!(
                    "{path}:{at}: no order explains the history; the search came furthest up to this operation"
                ));
                line = Some(at);
                ("not linearizable", &mut self.not_linearizable)
            }
            Verdict::Undecided { spent: what } => {
                let (what, option) = match what {
                    Spent::Steps => ("steps", "--budget-steps"),
                    Spent::Memory => ("memory", "--budget-mib"),
                };
                say(&format!("{path}: the search ran out of {what}; {option} raises the budget"));
                spent = Some(what);
                ("undecided", &mut self.undecided)
            }
            Verdict::Empty => ("empty", &mut self.empty),
        };
        *count += 1;
        let Judgement { operations, unreturned, steps, .. } = judgement;
        self.files.push(Judged { path, verdict, operations, unreturned, steps, line, spent });
    }

    /// Says what is wrong with a file, with the line if the fault is in one.
    fn unreadable(&mut self, path: &Path, place: Option<(&Unreadable, &[u8])>, message: &str) {
        let path = path.display().to_string();
        let (mut line, mut column) = (None, None);
        match place {
            None => say(&format!("error: {path}: {message}")),
            Some((error, content)) => {
                (line, column) = (Some(error.at.line), Some(error.at.column));
                say(&format!(
                    "error: {path}:{}:{}: {message}\n{}",
                    error.at.line,
                    error.at.column,
                    excerpt(error, content)
                ));
            }
        }
        self.unreadable.push(Error { path, line, column, message: message.to_owned() });
    }

    fn finish(&mut self) {
        if self.files.is_empty() && self.unreadable.is_empty() {
            let message = "nothing to check: no history under the given paths".to_owned();
            say(&format!("error: {message}"));
            self.unreadable.push(Error { path: String::new(), line: None, column: None, message });
        }
        let count = |count: usize, what: &str| if count > 0 { format!(", {count} {what}") } else { String::new() };
        say(&format!(
            "{} {}: {} linearizable, {} not{}{}{}{}",
            self.files.len(),
            if self.files.len() == 1 { "history" } else { "histories" },
            self.linearizable,
            self.not_linearizable,
            count(self.undecided, "undecided"),
            count(self.empty, "empty"),
            count(self.unreadable.len(), "unreadable"),
            count(self.passed_over.len(), "passed over"),
        ));
    }

    fn exit_code(&self) -> u8 {
        if !self.unreadable.is_empty() {
            UNREADABLE
        } else if self.not_linearizable > 0 {
            NOT_LINEARIZABLE
        } else if self.undecided > 0 {
            UNDECIDED
        } else {
            0
        }
    }
}

/// The line of an error, with a caret under its column.
fn excerpt(error: &Unreadable, content: &[u8]) -> String {
    const SHOWN_CHARS: usize = 100;
    let line = content.split(|&byte| byte == b'\n').nth(error.at.line - 1).unwrap_or_default();
    let line: Vec<char> = String::from_utf8_lossy(line).trim_end().chars().collect();
    // A long line is shown around its column.
    let start = (error.at.column - 1).saturating_sub(SHOWN_CHARS / 2).min(line.len());
    let shown = &line[start..line.len().min(start + SHOWN_CHARS)];
    // A tab is as wide as the terminal wants: the caret's line repeats it.
    let indent = shown.iter().chain(std::iter::repeat(&' ')).take(error.at.column - 1 - start);
    let indent: String = indent.map(|&char| if char == '\t' { '\t' } else { ' ' }).collect();
    format!("{:>6} | {}\n       | {indent}^", error.at.line, shown.iter().collect::<String>())
}

/// A line on stderr; whether anybody reads it does not matter.
fn say(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}
