//! Where output goes: how wide it may be, and what happens when nobody reads it.

use crate::story::paper::{BAD, MIN_WIDTH, PIPED_WIDTH, WARN, paint};
use serde::Serialize;
use std::fs;
use std::io::{self, IsTerminal, Write};

/// Wider than this lines are hard to read.
const MAX_WIDTH: usize = 120;

/// Where lines end: at the terminal's edge, or at `COLUMNS`, or at 100 where there is neither.
pub(super) fn width() -> usize {
    let columns = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    let seen = || terminal_size::terminal_size().map(|(width, _)| usize::from(width.0));
    let width = columns.or_else(|| if io::stdout().is_terminal() { seen() } else { None });
    width.map_or(PIPED_WIDTH, |width: usize| width.clamp(MIN_WIDTH, MAX_WIDTH))
}

/// Text on stdout, seen at once. That nobody reads it any more is no error.
pub(super) fn print(text: &str) {
    let mut out = anstream::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// One JSON object on stdout.
pub(super) fn print_json(value: &impl Serialize) {
    let text = serde_json::to_string_pretty(value).expect("invariant: reports are plain data");
    print(&(text + "\n"));
}

/// A line on stderr.
pub(super) fn say(line: &str) {
    let _ = writeln!(anstream::stderr().lock(), "{line}");
}

/// An error on stderr. Its message may have several lines.
pub(super) fn error(message: &str) {
    say(&format!("{} {message}", paint(BAD, "error:")));
}

/// A warning on stderr.
pub(super) fn warn(message: &str) {
    say(&format!("{} {message}", paint(WARN, "warning:")));
}

/// The largest memory that this process ever held, in MiB, where the system tells (Linux).
pub(super) fn peak_mib() -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some((kib / 1024.0 * 10.0).round() / 10.0)
}
