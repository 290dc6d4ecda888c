//! The binary, run as a person would run it. For tests of the package that builds it.

#![allow(dead_code, reason = "each test binary uses its part")]

use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output};

/// What a command said, and how it ended.
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// `seedbed …` in the project's root, where scenarios are named from, in a world without terminals.
pub(crate) fn command(args: &[&str]) -> Command {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the project is there");
    let mut command = Command::new(env!("CARGO_BIN_EXE_seedbed"));
    command.args(args).current_dir(root).env_remove("COLUMNS").env_remove("NO_COLOR").env_remove("CLICOLOR_FORCE");
    command
}

pub(crate) fn seedbed(args: &[&str]) -> Ran {
    ran(command(args).output().expect("the binary runs"))
}

pub(crate) fn ran(output: Output) -> Ran {
    let text = |bytes| String::from_utf8(bytes).expect("output is UTF-8");
    Ran { code: output.status.code().expect("not killed"), out: text(output.stdout), err: text(output.stderr) }
}

/// Exit code and the one JSON value on stdout.
pub(crate) fn json(args: &[&str]) -> (i32, Value) {
    let ran = seedbed(args);
    let value = serde_json::from_str(&ran.out).unwrap_or_else(|error| panic!("{error}: {}", ran.out));
    (ran.code, value)
}
