//! The testbed.

pub mod check;
pub mod cli;
