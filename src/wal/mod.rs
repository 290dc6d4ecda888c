//! The write-ahead log: what Raft must not forget, in etcd's own bytes.
//!
//! Raft is safe only if a member remembers its votes and its entries (Raft paper, Figure 2: "updated on stable storage
//! before responding to RPCs"). This layer turns them into records at the end of a file, and after a crash finds out
//! which of them arrived. It does no I/O: a [`Wal`] *asks* for disk operations; [`recover`](recover()) reads through the
//! disk seam.
//!
//! # Bytes
//! A log is a row of segments, `<sequence>-<index of the first entry that will be in it>.wal`, both as 16 hex digits.
//! A segment is a row of frames, then zeros up to its preallocated length:
//!
//! ```text
//! frame, a multiple of 8 bytes
//! ┌──────────────────────────┬──────────────────┬───────────┐
//! │ length field, u64 LE     │ walpb.Record     │ pad, 0..7 │
//! │ bits 0..56  record bytes │ 08 type          │ zeros     │
//! │ bits 56..64 0x80 | pad,  │ 10 crc (varint)  │           │
//! │       or 0 without a pad │ 1a length data   │           │
//! └──────────────────────────┴──────────────────┴───────────┘
//! a length field of zero ends the data
//!
//! type        data                    where
//! 4 crc       none                    first in each segment
//! 1 metadata  whose log this is       second in each segment
//! 5 snapshot  walpb.Snapshot          {0,0} third in the first segment; then after each .snap file
//! 2 entry     raftpb.Entry            an index seen before truncates the log from there
//! 3 state     raftpb.HardState        after the entries of its save; third in the later segments
//!
//!  …0-…0.wal  [crc 0][metadata][snapshot 0,0][entry 1][entry 2][state] … [entry 8][state] 00 00 00
//!                                                                               │
//!                              the crc goes on: ┌───────────────────────────────┘
//!  …1-…9.wal  [crc c][metadata][state][entry 9] …
//! ```
//!
//! The **rolling CRC** (CRC-32C) of a record covers its own data *and that of every record before it*, across
//! segments. So a record is good only behind all of its predecessors: a stale record in a reused place, a swapped or a
//! missing segment cannot pass. The crc record at a segment's start carries the value so far, so that reading may
//! start there when older segments are gone.
//!
//! **Preallocation**: a segment is created at its full length, so that a sync need not write a new length, and so that
//! behind the last record there are zeros and not the file's end.
//!
//! # After a crash
//! Unsynced bytes may be lost by sectors of 512 bytes. Hence a *torn tail*: in the last segment, a record that is cut
//! off by the file's end, or fails its check while one of its sectors is all zeros, or zeros with something behind. It
//! was never acknowledged; recovery drops it, says so ([`TornTail`]), and keeps a `.broken` copy. Anything else that
//! fails its check was written whole and has changed since: that is damage, a [`WalError`] with file, byte and record,
//! and never repaired: cutting it off would forget entries and votes that others count on.
//!
//! The CRC does not cover a record's *type*, nor the padding. So reading is stricter than etcd's: each record must have
//! exactly the fields that etcd writes, in order; segments must begin as above; entries may not leave a gap, rewrite a
//! committed entry or go back in term; a state may not go back in term. What this cannot catch is a state record of
//! term 2, with a vote for a member whose id is small, whose type turned into "entry". (Real ids are 64-bit hashes.)
//!
//! # A cut, without waiting inside
//! The next segment must not appear before the last one is durable to its end, or a crash would leave a torn tail
//! in a segment that is not the last. A [`Wal`] cannot wait, so it spreads the cut over two saves: the save that
//! crosses the limit is synced whatever was asked, and the *next* save (its caller has waited) opens the new segment,
//! and names two operations to wait for: the sync of the file and that of its directory. If a crash leaves the new
//! segment's name without its beginning, nothing in it was promised: recovery removes it as a torn tail of offset 0.
//!
//! # Left out
//! File locks, the pipeline that prepares the next segment ahead (its `0.tmp` and `1.tmp` in a real directory are passed
//! over), the configuration in snapshot records (etcd 3.5 writes it; here it is skipped), and a repair from the middle,
//! which needs the other members' copies.
//!
//! The lesson of the course: durability is a question of *order*, and each order here is stated where it binds.
//!
//! Reading order: [`record`] (bytes), [`Wal`] (writing), [`Reader`] (reading), [`recover`](recover()) (meaning).

mod body;
mod error;
mod reader;
pub mod record;
mod recover;
mod segment;
mod writer;

pub use error::{Damage, Place, TornTail, WalError};
pub use reader::{Located, Reader, Record};
pub use recover::{Recovery, exists, metadata, recover, snapshots};
pub use segment::Segment;
pub(crate) use segment::two_hex;
pub use writer::{SEGMENT_BYTES, Wal, WalConfig};
