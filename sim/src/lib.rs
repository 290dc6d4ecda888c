//! The testbed.
#![deny(unsafe_code)]

#[cfg(not(madsim))]
compile_error!(
    "the testbed needs `--cfg madsim`. The project's .cargo/config.toml sets it: build from inside the project, and \
     unset RUSTFLAGS and RUSTDOCFLAGS, which replace that setting"
);

pub mod capsule;
pub mod check;
pub mod cli;
mod explain;
pub mod judge;
pub mod report;
pub mod run;
pub mod scenario;
pub mod story;
pub mod sweep;
pub mod watch;
pub mod world;
