//! Writing: a [`Wal`] turns saves into disk operations.

use super::body::{encode_crc, encode_entry, encode_snapshot, encode_state};
use super::record::{RecordType, encode};
use super::segment::Segment;
use crate::disk::{FileName, OpId, OpSink};
use crate::pb::walpb;
use crate::raft::{Entry, HardState, SnapshotMeta};
use bytes::{Bytes, BytesMut};
use std::collections::VecDeque;

/// Where a log lives and how long its segments are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WalConfig {
    /// The directory, `member/wal`.
    pub dir: FileName,
    /// A segment is created with this length, and is full when its records reach it (etcd: 64,000,000).
    pub segment_bytes: u64,
}

/// How large a segment becomes before the next one is begun, in bytes, as etcd has it.
pub const SEGMENT_BYTES: u64 = 64_000_000;

/// The writing end of the log.
///
/// Invariants:
/// - `segments` is not empty, ascending, and ends with the tail, the only one that is written.
/// - The tail's records end at `offset`; behind them are zeros or the file's end.
/// - `crc` is the rolling value over every record of the log up to `offset`.
/// - `last_index` is at least the log's last index (a snapshot from the leader may have cut the log below it).
/// - A segment is opened only when all before it is durable.
///
/// If *any* operation of a log fails, awaited or not, the member must stop: a `Wal` has no way to take back a record.
#[derive(Debug)]
pub struct Wal {
    config: WalConfig,
    metadata: Bytes,
    segments: VecDeque<Segment>,
    offset: u64,
    crc: u32,
    last_index: u64,
    state: HardState,
    /// The tail's name is not durable yet: the save that opened it syncs the directory too.
    name_pending: bool,
    /// At the next save, everything in the tail will be durable (its sync was waited for). Only then may the next
    /// segment be opened.
    settled: bool,
    /// Reused: a write's memory comes back when the disk has dropped it.
    buffer: BytesMut,
}

/// Where a log ends; how recovery hands it to a [`Wal`].
pub(super) struct Tail {
    /// All segments, the tail last.
    pub(super) segments: VecDeque<Segment>,
    /// Where the tail's records end.
    pub(super) offset: u64,
    /// The rolling CRC there.
    pub(super) crc: u32,
    /// The last index.
    pub(super) last_index: u64,
    /// The last state.
    pub(super) state: HardState,
}

impl Wal {
    /// A new log: creates its first segment with the records that begin it, and syncs it and its directory. What the
    /// segment's name held before is emptied. Returns also the operations to wait for before the first [`Wal::save`]:
    /// so a log that has anything in it has its beginning, and one without a beginning was never used
    /// ([`exists`](super::exists)). Otherwise a lost first sector could not be told from a member that is new.
    pub fn create(config: WalConfig, metadata: &[u8], ops: &mut OpSink<'_>) -> (Self, Vec<OpId>) {
        let tail = Tail { segments: VecDeque::new(), offset: 0, crc: 0, last_index: 0, state: HardState::default() };
        let mut wal = Self::open(config, Bytes::copy_from_slice(metadata), tail);
        wal.open_segment(0, 0, ops);
        encode_snapshot(walpb::Snapshot { index: 0, term: 0 }, &mut wal.crc, &mut wal.buffer);
        wal.write_buffer(ops);
        let wait = wal.sync_tail(ops);
        (wal, wait)
    }

    /// The writing end of a log that was read.
    pub(super) fn open(config: WalConfig, metadata: Bytes, tail: Tail) -> Self {
        let Tail { segments, offset, crc, last_index, state } = tail;
        let (name_pending, settled, buffer) = (false, false, BytesMut::new());
        Self { config, metadata, segments, offset, crc, last_index, state, name_pending, settled, buffer }
    }

    /// Appends one save: the entries, then the state. Returns the operations to wait for before the save counts
    /// (messages that promise it may be sent, the next `save` may be called): none if it need not be durable,
    /// the segment's sync, or that and the sync of its directory when the segment's name is new.
    ///
    /// `sync` must be true when entries, term or vote changed ([`crate::raft::Ready::must_sync`]). An entry whose index
    /// the log has already truncates it from there. A full segment is followed by a new one at the *next* save (see
    /// [the essay](super)), so the save that fills it is synced in any case.
    ///
    /// # Panics
    /// If the entries would leave a gap.
    pub fn save(
        &mut self,
        entries: &[Entry],
        state: Option<&HardState>,
        sync: bool,
        ops: &mut OpSink<'_>,
    ) -> Vec<OpId> {
        if entries.is_empty() && state.is_none() {
            return Vec::new();
        }
        if self.is_full() && self.settled {
            let seq = self.segments.back().map_or(0, |tail| tail.seq + 1);
            self.open_segment(seq, self.last_index + 1, ops);
            if self.state != HardState::default() {
                encode_state(&self.state, &mut self.crc, &mut self.buffer);
            }
        }
        for entry in entries {
            assert!(
                0 < entry.index && entry.index <= self.last_index + 1,
                "invariant: entry {} would leave a gap behind {}",
                entry.index,
                self.last_index
            );
            encode_entry(entry, &mut self.crc, &mut self.buffer);
            self.last_index = entry.index;
        }
        if let Some(state) = state {
            encode_state(state, &mut self.crc, &mut self.buffer);
            self.state = *state;
        }
        self.write_buffer(ops);

        if sync || self.is_full() || self.name_pending {
            self.sync_tail(ops)
        } else {
            self.settled = false;
            Vec::new()
        }
    }

    /// Appends the record "there is a snapshot file at `meta.index`" and syncs it. Call it when that file is durable,
    /// never before: recovery trusts the record. May be called while a save is out. Returns the operation to wait for.
    pub fn save_snapshot(&mut self, meta: &SnapshotMeta, ops: &mut OpSink<'_>) -> OpId {
        let mark = walpb::Snapshot { index: meta.index, term: meta.term };
        encode_snapshot(mark, &mut self.crc, &mut self.buffer);
        self.write_buffer(ops);
        // A snapshot from the leader may be ahead of the log: the next entry follows it.
        self.last_index = self.last_index.max(meta.index);
        // Nobody promises that this sync is waited for before the next save, so no cut may rely on it.
        self.settled = false;
        ops.sync(self.tail())
    }

    /// Removes the segments that are not needed by a log that starts after `index` (at most the index of the oldest
    /// snapshot file kept, see [`purge`](crate::snap::purge)), but keeps the newest `keep` of all (etcd's
    /// `--max-wals`: for whoever wants to look back). Never the tail, and never the one that holds `index` itself:
    /// recovery looks for a segment that begins at or before its snapshot. Not synced: a removal that is forgotten is
    /// repeated.
    pub fn release(&mut self, index: u64, keep: usize, ops: &mut OpSink<'_>) {
        while self.segments.len() > keep && self.segments.get(1).is_some_and(|next| next.first_index <= index) {
            let oldest = self.segments.pop_front().expect("invariant: a log has a tail");
            ops.remove(&oldest.file);
        }
    }

    /// The last index appended, or that of a snapshot beyond it.
    pub fn last_index(&self) -> u64 {
        self.last_index
    }

    /// The segments, oldest first; the last one is written.
    pub fn segments(&self) -> impl ExactSizeIterator<Item = &Segment> {
        self.segments.iter()
    }

    /// Where the next record goes in the last segment, in bytes.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    fn tail(&self) -> &FileName {
        &self.segments.back().expect("invariant: a log has a tail").file
    }

    fn is_full(&self) -> bool {
        self.offset >= self.config.segment_bytes
    }

    /// Makes a segment the tail and begins it: a crc and a metadata record wait in the buffer.
    fn open_segment(&mut self, seq: u64, first_index: u64, ops: &mut OpSink<'_>) {
        debug_assert!(self.buffer.is_empty(), "records of the segment before were not written");
        let segment = Segment::new(&self.config.dir, seq, first_index);
        ops.create(&segment.file);
        ops.truncate(&segment.file, self.config.segment_bytes);
        self.segments.push_back(segment);
        self.offset = 0;
        self.name_pending = true;
        encode_crc(&mut self.crc, &mut self.buffer);
        encode(RecordType::Metadata, [&self.metadata, &[]], &mut self.crc, &mut self.buffer);
    }

    /// Makes everything in the tail durable, and its name if that is new.
    fn sync_tail(&mut self, ops: &mut OpSink<'_>) -> Vec<OpId> {
        self.settled = true;
        let mut wait = vec![ops.sync(self.tail())];
        if std::mem::take(&mut self.name_pending) {
            wait.push(ops.sync_dir(&self.config.dir));
        }
        wait
    }

    fn write_buffer(&mut self, ops: &mut OpSink<'_>) {
        let data = self.buffer.split().freeze();
        let bytes = data.len() as u64;
        ops.write(self.tail(), self.offset, data);
        self.offset += bytes;
    }
}
