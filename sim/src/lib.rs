//! The testbed: a world in which a cluster of [`seedbed`] members runs, fails and is judged; and the command `seedbed`.
//!
//! A run is a function: scenario, seed and build in, events, verdict and digest out. Everything here serves that, by
//! making the run happen, by judging it, or by telling it.
//!
//! # Map
//!
//! ```text
//!   scenario   text ► what to do, with every default filled in
//!      ▼
//!   run        a fresh thread a seed, madsim around the world
//!      ▼
//!   world      one heap of events; clocks, disks, network, clients, faults; members stepped as values
//!      │          └─► check::{raft, state, replay}   after every step, while it runs
//!      ▼
//!   judge      ├─► check::{linearizable, serializable}   what clients saw
//!      │       ├─► explain    why the leader switched, from the records' links
//!      │       └─► figures    what became of the databases ──► plot (SVG and CSV)
//!      ▼
//!   report     the verdict as data ──► story (text) · `--json` · capsule (a file that replays) · sweep (many runs)
//!      ▼
//!   cli        run, sweep, replay, list, bugs, check, inspect: arguments in, exit code out
//! ```
//!
//! Beside it stands [`crash`]: one member on one of the world's disks, cut at every step.
//!
//! Arrows point down: what stands above knows nothing of what stands below it (but for the checks of a running world,
//! which it calls). [`watch`] looks on from the side: it gets references and cannot change a run.
//!
//! [`inspect`] stands apart: it tells what is in etcd's files, ours and a real etcd's, through the store's own readers.
//!
//! Two more speak to clusters that run for real, ours or another's: [`bench`](mod@bench) puts load on one, [`doctor`] says
//! what is wrong with one; [`client`] is what they speak through.
//!
//! Only the edge touches the real machine: [`cli`], [`capsule`], [`watch`] (files and the terminal), [`run`] and
//! [`sweep`] (threads, CPU time), [`client`] and [`bench`](mod@bench) (sockets). The rest is as pure as the store;
//! `tests/tidy.rs` holds it to that.
//!
//! # Reading order
//! [`world`] (its essay, then `heap`, `random`, `net`, `disk`, `process`), [`scenario`], [`check`] and [`check::raft`],
//! `explain`, [`judge`], [`capsule`]; `story` and `cli` last. The book's chapter 01 tells the same from the user's side.
//!
//! # Left out
//! Shrinking of fault plans, pages that show a run in a browser, and coverage as a guide for seeds.
#![deny(unsafe_code)]

#[cfg(not(madsim))]
compile_error!(
    "the testbed needs `--cfg madsim`. The project's .cargo/config.toml sets it: build from inside the project, and \
     unset RUSTFLAGS and RUSTDOCFLAGS, which replace that setting"
);

pub mod bench;
pub mod capsule;
pub mod check;
pub mod cli;
pub mod client;
pub mod crash;
pub mod doctor;
mod explain;
mod figures;
pub mod inspect;
pub mod judge;
pub mod plot;
pub mod report;
pub mod run;
pub mod scenario;
pub mod story;
pub mod sweep;
pub mod watch;
mod watched;
pub mod world;
