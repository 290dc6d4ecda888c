//! The testbed.
#![forbid(unsafe_code)]

pub mod check;
pub mod cli;
pub mod scenario;
pub mod world;
