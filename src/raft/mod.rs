//! Consensus: the members of a cluster agree on one log (course, lesson 04; Ongaro and Ousterhout, "In Search of an
//! Understandable Consensus Algorithm", cited here as the Raft paper; Ongaro's dissertation where it says more).
//!
//! # What
//! Each member keeps a log of entries. One member at a time leads, for a *term*: it appends proposals to its log and
//! copies them to the others. An entry that a majority holds is *committed*: it is in the log of every later leader, so
//! it may be applied. All members apply the same entries in the same order; that is all that this layer promises, and
//! why data can still diverge above it is lesson 12.
//!
//! Three properties carry everything else:
//! - *Election restriction*: who votes for a candidate whose log is behind its own? Nobody. So a leader holds all that
//!   was committed ([`Log`], `is_up_to_date`).
//! - *Log matching*: two logs with an equal place (index and term) are equal up to there, because an append names the
//!   place that it follows, and is refused where that place is missing.
//! - *Commit by the own term only*: counting replicas proves nothing for older terms' entries (Figure 8).
//!
//! # Why it is pure
//! [`Raft`] is a value. It does no I/O, reads no clock, draws no randomness but election timeouts from the seed in its
//! [`Config`]. The owner calls [`Raft::tick`] when its timer says so, [`Raft::step`] for each message that arrives and
//! [`Raft::propose`] for each request; what is to be done about it comes out as data, the [`Ready`]. So the same input
//! gives the same output, and a test, a simulated world and a real server differ only in who turns the crank.
//!
//! # The Ready loop
//! ```text
//! loop {
//!     wait for a message, a tick, a request        →  step / tick / propose / read_index
//!     if raft.has_ready() {
//!         let ready = raft.ready();
//!         send ready.messages                      at once, beside the save
//!         save ready.snapshot, entries, hard_state sync if ready.must_sync
//!         apply ready.committed                    beside the save: these are durable already
//!         answer ready.reads                       each when its index is applied
//!         …the save is done:
//!         send ready.messages_after_save           not a moment earlier
//!         raft.advance()
//!     }
//!     when applied:                                   raft.applied_to(index)
//!     when a configuration change is applied:         raft.apply_conf_change(conf), then applied_to
//! }
//! ```
//! One Ready is out at a time. While it is, messages, ticks and proposals go on being taken, and what they bring about
//! waits for the next one. Two orders bind, and both are on the fields of [`Ready`]: promises leave after they are
//! durable, and only durable entries are applied. A leader's *offers* need no such wait: it counts its own copy, like
//! any other, only when that copy is durable, which is at `advance`.
//!
//! # Reading order
//! `message` and `ready` (the vocabulary), `quorum` (arithmetic), `log`, `progress` (a leader's view of one member),
//! `confchange` (from one configuration to the next),
//! `peers` (all members), `node` (the struct, tick and Ready), `step` (rules on terms), `election`, `replicate`,
//! `follow`, `read`, `transfer`.
//!
//! # Bugs that can be switched on
//! A few branches ask [`Config::bugs`]; each says which issue or textbook it comes from. They are found by `bugs.on`.
//!
//! # Left out
//! - The bytes of configuration changes: the owner reads an applied one, makes it with [`ConfState::simple`] or
//!   [`ConfState::enter_joint`], and hands the result back ([`Raft::apply_conf_change`]).
//! - Storage: the log since the last compaction is in memory, as in etcd; the owner's WAL is read only at boot.
//! - etcd's asynchronous storage writes (3.6), `StepDownOnRemoval`, disabling of proposal forwarding, priorities,
//!   witnesses, and quiescence.

mod confchange;
mod config;
mod election;
mod follow;
mod log;
mod message;
mod node;
mod peers;
mod progress;
pub mod quorum;
mod read;
mod ready;
mod replicate;
mod step;
mod transfer;

pub use confchange::{ConfChange, ConfChangeError};
pub use config::{Config, ProposeError, RecoverError, Recovered};
pub use log::{ENTRY_OVERHEAD, Log, entry_bytes};
pub use message::*;
pub use node::Raft;
pub use progress::{Progress, ProgressState};
pub use ready::*;

use log::Place;
use peers::Peers;
