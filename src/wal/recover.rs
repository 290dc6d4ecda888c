//! Recovery: what the records of a log mean together, and a [`Wal`] that goes on where they end.

use super::error::{Damage, TornTail, WalError};
use super::reader::{End, Reader, Record};
use super::segment::{Segment, last_row, list};
use super::writer::{Tail, Wal, WalConfig};
use crate::disk::{DiskRead, FileName, OpId, OpSink};
use crate::pb::walpb;
use crate::raft::{Entry, HardState};
use bytes::Bytes;
use std::collections::VecDeque;

/// What a member knows again.
#[derive(Debug)]
pub struct Recovery {
    /// Whose log it is, as given to [`Wal::create`].
    pub metadata: Bytes,
    /// The last state. Its commit index may be above the last entry's: then entries that this member once promised
    /// are lost, and it must not start.
    pub state: HardState,
    /// The entries after the snapshot, ascending without gaps.
    pub entries: Vec<Entry>,
    /// Every snapshot record read, in the order written.
    pub snapshots: Vec<walpb::Snapshot>,
    /// How many records were read.
    pub records: u64,
    /// What was dropped at the end, for the operator and the trace.
    pub torn: Option<TornTail>,
    /// The writing end.
    pub wal: Wal,
    /// Operations to wait for before the first [`Wal::save`] and before anything read here is promised to others: the
    /// repair, and a sync of the tail and its name. (After a kill without a power cut, what was read may have been
    /// written but not synced by the process before: a vote in it must not be forgotten later.)
    pub wait: Vec<OpId>,
}

/// Whether there is a log to recover. A first segment in which nothing was ever written counts as none: making the log
/// was interrupted, so the member never promised anything and starts as new.
pub fn exists(disk: &dyn DiskRead, config: &WalConfig) -> Result<bool, WalError> {
    let segments = list(disk, &config.dir);
    if segments.is_empty() {
        return Ok(false);
    }
    match Reader::new(disk, &segments[last_row(&segments)..])?.next() {
        Err(WalError::Unborn { .. }) => Ok(false),
        // Any other damage is for `recover` to report.
        _ => Ok(true),
    }
}

/// What the log in this folder says of whose it is; `None` where there is no log, or none that can be read so far.
pub fn metadata(disk: &dyn DiskRead, dir: &str) -> Option<Bytes> {
    let segments = list(disk, dir);
    let mut reader = Reader::new(disk, segments.get(last_row(&segments)..)?.get(..1)?).ok()?;
    while let Some(located) = reader.next().ok()? {
        if let Record::Metadata(metadata) = located.record {
            return Some(metadata);
        }
    }
    None
}

/// The snapshots that the log knows and that are committed: a `.snap` file counts only if it is among these. (The
/// record is written after the file, and its commit index may not have arrived.)
pub fn snapshots(disk: &dyn DiskRead, config: &WalConfig) -> Result<Vec<walpb::Snapshot>, WalError> {
    let segments = list(disk, &config.dir);
    if segments.is_empty() {
        return Err(WalError::NoLog { dir: config.dir.clone() });
    }
    let mut reader = Reader::new(disk, &segments[last_row(&segments)..])?;
    let (mut marks, mut commit) = (Vec::new(), 0);
    while let Some(located) = reader.next()? {
        match located.record {
            Record::Snapshot(mark) => marks.push(mark),
            Record::State(state) => commit = state.commit,
            Record::Metadata(_) | Record::Entry(_) | Record::Crc(_) => {}
        }
    }
    marks.retain(|mark| mark.index <= commit);
    Ok(marks)
}

/// Reads the log from the snapshot at `from` (index and term; zeros for none) to its end, and repairs a torn tail
/// through `ops`. See [`Recovery`] for what to wait for.
pub fn recover(
    disk: &dyn DiskRead,
    config: WalConfig,
    from: walpb::Snapshot,
    ops: &mut OpSink<'_>,
) -> Result<Recovery, WalError> {
    let segments = list(disk, &config.dir);
    let start = start_segment(&segments, &config, from.index)?;
    let mut reader = Reader::new(disk, &segments[start..])?;
    let mut replay = Replay::new(segments[start].first_index, from);
    while let Some(located) = reader.next()? {
        let place = located.place;
        replay.on_record(located.record).map_err(|damage| WalError::Damaged { place, damage })?;
    }
    let (end, metadata) = reader.into_end();
    let metadata = metadata.expect("invariant: a segment without metadata is an error");
    let tail_at = start + end.segments - 1;
    replay.finish(&segments[tail_at].file, end.offset)?;

    let wait = repair(&config, &segments[tail_at].file, &end, ops);
    let tail = Tail {
        segments: segments[..=tail_at].iter().cloned().collect::<VecDeque<_>>(),
        offset: end.offset,
        crc: end.crc,
        last_index: replay.last,
        state: replay.state,
    };
    Ok(Recovery {
        wal: Wal::open(config, metadata.clone(), tail),
        metadata,
        state: replay.state,
        entries: replay.log,
        snapshots: replay.marks,
        records: replay.records,
        torn: end.torn.map(|(torn, _)| torn),
        wait,
    })
}

/// The last segment of the unbroken row that begins at or before `index`.
fn start_segment(segments: &[Segment], config: &WalConfig, index: u64) -> Result<usize, WalError> {
    let row = last_row(segments);
    let Some(oldest) = segments.get(row) else {
        return Err(WalError::NoLog { dir: config.dir.clone() });
    };
    let start = segments[row..].iter().rposition(|segment| segment.first_index <= index);
    start.map(|i| row + i).ok_or_else(|| WalError::Released { index, oldest: oldest.file.clone() })
}

/// Makes the tail end with its last good record and zeros, and all that was read durable.
///
/// What a crash left behind the end must go before anything is appended: new records that cover a part of it, and
/// stop just where an old frame begins, would bring that one back.
fn repair(config: &WalConfig, tail: &FileName, end: &End, ops: &mut OpSink<'_>) -> Vec<OpId> {
    let mut wait = Vec::new();
    if let Some((torn, bytes)) = &end.torn {
        if torn.bytes > 0 {
            let copy: FileName = format!("{}.broken", torn.file).into();
            ops.create(&copy);
            ops.write(&copy, 0, bytes.clone());
            wait.push(ops.sync(&copy));
        }
        if torn.file == *tail {
            ops.truncate(tail, end.offset);
            ops.truncate(tail, config.segment_bytes.max(end.offset));
        } else {
            // The segment never had a beginning: as if it had not been opened.
            ops.remove(&torn.file);
        }
    }
    wait.push(ops.sync(tail));
    wait.push(ops.sync_dir(&config.dir));
    wait
}

/// The meaning of the records so far.
struct Replay {
    from: walpb::Snapshot,
    /// Whether `from` has its record.
    found: bool,
    state: HardState,
    /// Entries `base..=last`, as far as the segments read hold them.
    log: Vec<Entry>,
    base: u64,
    last: u64,
    marks: Vec<walpb::Snapshot>,
    /// The newest of the marks that are not committed yet.
    uncommitted: Option<walpb::Snapshot>,
    records: u64,
}

impl Replay {
    fn new(first_index: u64, from: walpb::Snapshot) -> Self {
        let (state, log, marks) = (HardState::default(), Vec::new(), Vec::new());
        let base = first_index.max(1);
        Self { from, found: false, state, log, base, last: base - 1, marks, uncommitted: None, records: 0 }
    }

    fn on_record(&mut self, record: Record) -> Result<(), Damage> {
        self.records += 1;
        match record {
            Record::Entry(entry) => self.on_entry(entry),
            Record::State(state) => self.on_state(state),
            Record::Snapshot(mark) => self.on_snapshot(mark),
            Record::Metadata(_) | Record::Crc(_) => Ok(()),
        }
    }

    /// The later record for an index wins and truncates from there: a follower's entries that lost against a new
    /// leader's.
    fn on_entry(&mut self, entry: Entry) -> Result<(), Damage> {
        let Entry { term, index, .. } = entry;
        if let Some(mark) = self.uncommitted.take_if(|mark| self.last < mark.index && mark.index < index) {
            self.replace(mark);
        }
        let expected = self.last.saturating_add(1);
        if index > expected {
            return Err(Damage::Gap { expected, found: index });
        }
        if index <= self.state.commit {
            return Err(Damage::Committed { commit: self.state.commit, found: index });
        }
        // No cluster holds four billion elections between two saves, but a state's vote read as a term looks so.
        if term.saturating_sub(self.state.term) > u64::from(u32::MAX) {
            return Err(Damage::TermLeap { state: self.state.term, found: term });
        }
        match index.checked_sub(self.base) {
            Some(keep) => self.log.truncate(keep as usize),
            None => {
                self.log.clear();
                self.base = index;
            }
        }
        let before = self.log.last().map_or(0, |entry| entry.term);
        if term < before {
            return Err(Damage::Term { expected: before, found: term });
        }
        self.last = index;
        self.log.push(entry);
        Ok(())
    }

    /// A member's term never goes back. (It may be *behind* its last entries': of a save, a crash can keep the entries
    /// and lose the state.)
    fn on_state(&mut self, state: HardState) -> Result<(), Damage> {
        if state.term < self.state.term {
            return Err(Damage::Term { expected: self.state.term, found: state.term });
        }
        self.state = state;
        if let Some(mark) = self.uncommitted.take_if(|mark| mark.index <= state.commit) {
            self.replace(mark);
        }
        Ok(())
    }

    /// A mark counts when it is committed. A snapshot from the leader is not yet: its record comes before the state.
    fn on_snapshot(&mut self, mark: walpb::Snapshot) -> Result<(), Damage> {
        self.marks.push(mark);
        if mark.index == self.from.index {
            if mark.term != self.from.term {
                let (expected, found) = (self.from.term, mark.term);
                return Err(Damage::SnapshotTerm { index: mark.index, expected, found });
            }
            self.found = true;
        }
        if mark.index <= self.state.commit {
            self.replace(mark);
        } else {
            self.uncommitted = Some(mark);
        }
        Ok(())
    }

    /// A member's own snapshot leaves the log as it is. One from the leader replaces it, unless the log already holds
    /// the snapshot's last entry (Raft paper, Figure 13, steps 6 and 7): entries that lost must not come back behind it.
    fn replace(&mut self, mark: walpb::Snapshot) {
        let own = mark.index.checked_sub(self.base).and_then(|i| self.log.get(i as usize));
        let replaces = match own {
            Some(entry) => entry.term != mark.term,
            None => mark.index > self.last,
        };
        if replaces {
            self.log.clear();
            self.base = mark.index.saturating_add(1);
            self.last = mark.index;
        }
    }

    /// Leaves in `log` just the entries after `from`.
    fn finish(&mut self, tail: &FileName, offset: u64) -> Result<(), WalError> {
        let walpb::Snapshot { index, term } = self.from;
        let file = tail.clone();
        if !self.found {
            return Err(WalError::SnapshotNotFound { file, offset, index, term });
        }
        if self.last < index {
            // The caller trusts a snapshot that the log does not show as committed: then that is where it goes on.
            self.replace(self.from);
        }
        let next = index.saturating_add(1);
        if self.base > next {
            return Err(WalError::Replaced { file, offset, index, next: self.base });
        }
        let covered = (next - self.base).min(self.log.len() as u64);
        self.log.drain(..covered as usize);
        Ok(())
    }
}
