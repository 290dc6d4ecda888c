//! The store: etcd made small enough to read, as one single-threaded state machine.
//!
//! A [`member::Member`] is a value. It is handed the time and one input (a peer's message, a client's request, a finished
//! disk operation) and says what follows: messages, replies, disk operations, the moment at which it wants to be woken.
//! It waits for nothing, opens nothing and looks at no clock. Whoever owns it supplies those: today the simulated world
//! of the package `seedbed-sim`, where time is a number and a power cut is an event.
//!
//! # Map
//!
//! ```text
//!   what it is                              who imports whom (an arrow points at what is imported)
//!
//!   member/   the loops of a server         member ──┬──► apply ──► mvcc, lease, cluster, alarm ──► backend ──► disk
//!   apply     an entry becomes a change              │      └──────► api
//!   cluster/  who the members are                    │
//!   alarm     what is wrong and concerns them all    │
//!   mvcc/     revisions, index, txn,                 │      └──────► auth ──► api, backend
//!             compaction, hash, watch                ├──► wal, snap ──► disk
//!   lease/    what lives how long                    │      └──────────► raft
//!   auth/     who may do what                        │
//!   backend/  named buckets of pairs:                └──► raft ──► bug
//!             in memory, or in bbolt's file
//!   wal/      what Raft must not forget
//!   snap/     images beside the log
//!   raft/     consensus, pure               vocabulary, imported by whoever needs it:
//!   disk      the seam to a disk            pb (etcd's encodings), time, bug
//!   api       requests, answers, errors
//!   disk_mem  a perfect disk, for tests      interval (a tree of key spans)
//!
//!   concurrency/  locks and elections, on the client's side: imports api, and nobody of the above imports it
//! ```
//!
//! No arrow runs back, and `tests/tidy.rs` reads the sources to see that none does. The narrowest are worth knowing by
//! heart:
//! - `raft` imports nothing of the store but the catalogue of bugs: no disk, no clock, no encoding.
//! - `backend` knows bytes, not revisions; `mvcc` knows revisions, not where its bytes lie.
//! - only `apply` changes the store, and only with a committed entry.
//! - `member` alone knows all of them, and nobody imports `member`.
//!
//! # What is absent, everywhere but in `serve`
//! Threads, async functions, clocks, sockets, files, environment variables, entropy, and hash maps that are walked. The
//! seams where they would be are [`disk`], [`time`] and [`member::Effects`].
//!
//! # Reading order
//! 1. [`raft`]: its essay, then `message`, `ready`, `step`, `election`, `replicate`, `follow`, `read`.
//! 2. [`member`]: `mod` and `raft_loop` show what turns the crank; `writes`, `apply_loop`, `reads` what a client gets.
//! 3. [`mod@apply`], [`mvcc`] and [`cluster`]: what a committed entry does; [`mvcc::watch`]: who is told of it.
//! 4. [`backend`], then [`backend::bolt`]: where it comes to lie.
//! 5. [`disk`], [`wal`], [`snap`]: what survives.
//! 6. [`concurrency`]: what clients make of all this.
//! 7. [`bug`], then a search for `bugs.on(`: how each of these once went wrong.
//!
//! The book (`chapters/00-map.md`) follows one write through the files.
//!
//! # At the edge
//! `serve` (a feature) runs the member behind real sockets, files and clocks. Nothing here imports it.
//!
//! # Left out so far
//! Each layer's essay ends with what that layer leaves out.
#![forbid(unsafe_code)]

pub mod alarm;
pub mod api;
pub mod apply;
pub mod auth;
pub mod backend;
pub mod bug;
pub mod cluster;
pub mod concurrency;
pub mod disk;
pub mod disk_mem;
pub mod interval;
pub mod lease;
pub mod member;
pub mod mvcc;
pub mod pb;
pub mod raft;
#[cfg(feature = "serve")]
pub mod serve;
pub mod snap;
pub mod time;
pub mod wal;
