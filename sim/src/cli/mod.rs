//! The subcommands of `seedbed`: each reads its arguments, does its work, and says how to exit.

pub mod check;
