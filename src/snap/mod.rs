//! Snapshot files: a state machine's image beside the log, so that the log may forget what is older.
//!
//! # Bytes
//! `member/snap/<term>-<index>.snap`, both as 16 hex digits, so that names sort by age. The whole file is one message:
//!
//! ```text
//! snappb.snapshot                                  raftpb.Snapshot
//! ┌───────────────────────────────┐                ┌──────────────────────────────────────┐
//! │ 08 crc (varint, CRC-32C of ↓) │        ┌──────▶│ 0a data: the state machine's own     │
//! │ 12 length  data ──────────────┼────────┘       │ 12 metadata: conf_state, index, term │
//! └───────────────────────────────┘                └──────────────────────────────────────┘
//! ```
//!
//! `data` is opaque here. With an engine that keeps a file it is small (the v2 store's JSON, as etcd 3.4 has it): the
//! image itself is the database, `member/snap/db`, and the `.snap` file says only how far the log may be forgotten.
//!
//! A database that a leader sent is `member/snap/<index>.snap.db` ([`db`]) until it takes the place of the own one.
//!
//! # When a file counts
//! Only with a matching record in the write-ahead log (`crate::wal::snapshots`), which is written when the operations
//! that [`publish()`] names are done. So a power cut at any moment is harmless; the CRC is for what happens to the file in
//! the months after.
//!
//! etcd writes the file under its final name. Here it is written as `.snap.tmp` ([`write()`]) and, once its bytes are
//! durable, renamed ([`publish()`]). The wait between the two is what makes this safe: a member may come to save a
//! snapshot that it has already (a leader sends it the same one), and a rename that outlived the bytes would put a
//! torn file in the place of a good one that counts. The world's power cuts found that.
//!
//! A damaged file is reported and passed over for the next older one ([`load_newest`]); whether the log still reaches
//! back that far, `crate::wal::recover` finds out. [`set_aside`] keeps it as `.broken`, out of the way.
//!
//! # What goes, and when
//! - [`purge`] keeps the newest files, and says how far the log may be released behind the oldest of them: a file
//!   without the log that follows it is worth nothing.
//! - [`db::purge`] removes received databases older than the newest snapshot that was *applied* (etcd #18055: not
//!   than the newest that arrived).
//! - [`clean`] removes at a member's start what a crash left half done.
//!
//! # Restart
//! Log, snapshot files and database become durable at different moments, and any of them can be lost or swapped by
//! hand. [`restart`] says whether they are one member's state.
//!
//! # Left out
//! Locks on the files.

pub mod db;
mod error;
mod file;
pub mod restart;

pub use error::SnapError;
pub use file::{Newest, file_name, list, load, load_newest, publish, purge, set_aside, write};

use crate::disk::{DiskRead, OpSink};

/// The directory of snapshot files.
pub const DIR: &str = "member/snap";

/// At a member's start: removes what an interrupted [`write()`] or [`db::SnapDb`] left, and the received databases
/// but the one that is `needed` (by its index; see [`restart::Start::Received`]). Not synced: a removal that is
/// forgotten is repeated.
pub fn clean(disk: &dyn DiskRead, needed: Option<u64>, ops: &mut OpSink<'_>) {
    for file in disk.list(DIR) {
        let half_done = file.ends_with(".snap.tmp") || file.ends_with(".snap.db.tmp");
        let orphan = db::index_of(&file).is_some_and(|index| Some(index) != needed);
        if half_done || orphan {
            ops.remove(&file);
        }
    }
}
