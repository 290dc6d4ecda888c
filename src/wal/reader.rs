//! Reading: the records of a log one by one, each checked, until the log ends or is torn.

use super::body::{decode_entry, decode_snapshot, decode_state};
use super::error::{Damage, Place, TornTail, WalError};
use super::record::{RawRecord, RecordType, decode, has_lost_sector};
use super::segment::Segment;
use crate::disk::DiskRead;
use crate::pb::walpb;
use crate::raft::{Entry, HardState};
use bytes::Bytes;

/// A record, decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// Whose log this is, in the owner's own encoding.
    Metadata(Bytes),
    /// An entry.
    Entry(Entry),
    /// A state.
    State(HardState),
    /// The rolling CRC at a segment's start.
    Crc(u32),
    /// "There is a snapshot file".
    Snapshot(walpb::Snapshot),
}

/// A record and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located {
    /// Where.
    pub place: Place,
    /// What.
    pub record: Record,
}

/// Iterates over the records of a row of segments. One segment is in memory at a time.
///
/// It checks what one record and its predecessor can tell: frames, the rolling CRC, each record's own fields, and that
/// segments begin with a crc and a metadata record. What the records *mean* together is [`recover`](super::recover())'s
/// business.
pub struct Reader<'a> {
    disk: &'a dyn DiskRead,
    segments: &'a [Segment],
    /// Which segment is read.
    current: usize,
    bytes: Vec<u8>,
    offset: usize,
    /// Records read in this segment.
    records: u64,
    /// The rolling CRC; none until the first crc record seeds it.
    crc: Option<u32>,
    metadata: Option<Bytes>,
    end: End,
    finished: bool,
}

/// What `accept` needs of a frame.
struct Frame {
    bytes: usize,
    crc: u32,
}

/// Where the good records end so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct End {
    /// How many of the segments are good; the last of them is the tail.
    pub(super) segments: usize,
    /// The byte behind the tail's last good record.
    pub(super) offset: u64,
    /// The rolling CRC there.
    pub(super) crc: u32,
    /// What was dropped behind it, with the file's bytes up to where it ended.
    pub(super) torn: Option<(TornTail, Bytes)>,
}

impl<'a> Reader<'a> {
    /// Reads these segments, which must be consecutive and not empty.
    pub fn new(disk: &'a dyn DiskRead, segments: &'a [Segment]) -> Result<Self, WalError> {
        let bytes = disk.read_all(&segments[0].file)?;
        let end = End { segments: 0, offset: 0, crc: 0, torn: None };
        let (crc, metadata) = (None, None);
        Ok(Self { disk, segments, current: 0, bytes, offset: 0, records: 0, crc, metadata, end, finished: false })
    }

    /// The next record; `None` at the log's end, and behind damage.
    #[expect(clippy::should_implement_trait, reason = "an iterator that can fail reads better as a while-let over ?")]
    pub fn next(&mut self) -> Result<Option<Located>, WalError> {
        while !self.finished {
            match self.read_record() {
                Ok(Some((frame, record))) => return Ok(Some(self.accept(frame, record))),
                Ok(None) => self.on_end_of_data()?,
                Err(damage) => self.on_damage(damage)?,
            }
        }
        Ok(None)
    }

    /// What was dropped at the log's end; known once [`Reader::next`] has returned `None`.
    pub fn torn(&self) -> Option<&TornTail> {
        self.end.torn.as_ref().map(|(torn, _)| torn)
    }

    pub(super) fn into_end(self) -> (End, Option<Bytes>) {
        debug_assert!(self.finished, "the end is known only at the end");
        (self.end, self.metadata)
    }

    /// Decodes and checks the record at `offset`, without moving.
    fn read_record(&self) -> Result<Option<(Frame, Record)>, Damage> {
        let Some(raw) = decode(&self.bytes, self.offset)? else { return Ok(None) };
        self.check_crc(&raw)?;
        self.check_order(raw.kind)?;
        let record = match raw.kind {
            RecordType::Metadata => self.read_metadata(raw.data)?,
            RecordType::Entry => Record::Entry(decode_entry(raw.data)?),
            RecordType::State => Record::State(decode_state(raw.data)?),
            RecordType::Crc if !raw.data.is_empty() => {
                return Err(Damage::Content { expected: "nothing (a crc record)" });
            }
            RecordType::Crc => Record::Crc(raw.crc),
            RecordType::Snapshot => Record::Snapshot(decode_snapshot(raw.data)?),
        };
        Ok(Some((Frame { bytes: raw.frame_bytes, crc: raw.crc }, record)))
    }

    fn check_crc(&self, raw: &RawRecord<'_>) -> Result<(), Damage> {
        // The first crc record is taken at its word; if it lies, the record behind it does not fit.
        let Some(so_far) = self.crc else { return Ok(()) };
        let expected = crc32c::crc32c_append(so_far, raw.data);
        if expected == raw.crc { Ok(()) } else { Err(Damage::Crc { expected, found: raw.crc }) }
    }

    /// A segment begins with crc and metadata, and these stand nowhere else. (etcd writes so and does not check it. The
    /// check is what tells a metadata record from a snapshot record, should one's type turn into the other's.)
    fn check_order(&self, kind: RecordType) -> Result<(), Damage> {
        let begins = [RecordType::Crc, RecordType::Metadata];
        match begins.get(self.records as usize) {
            Some(&due) if due == kind => Ok(()),
            Some(due) => Err(Damage::Order { expected: due.name(), found: kind.name() }),
            None if begins.contains(&kind) => {
                Err(Damage::Order { expected: "an entry, a state or a snapshot record", found: kind.name() })
            }
            None => Ok(()),
        }
    }

    fn read_metadata(&self, data: &[u8]) -> Result<Record, Damage> {
        match &self.metadata {
            Some(metadata) if metadata == data => Ok(Record::Metadata(metadata.clone())),
            Some(_) => Err(Damage::Metadata),
            None => Ok(Record::Metadata(Bytes::copy_from_slice(data))),
        }
    }

    /// The record is good: moves behind it.
    fn accept(&mut self, frame: Frame, record: Record) -> Located {
        self.records += 1;
        let place = self.place(self.records);
        self.offset += frame.bytes;
        self.crc = Some(frame.crc);
        if let Record::Metadata(metadata) = &record {
            self.metadata = Some(metadata.clone());
        }
        // A segment counts when it has a beginning; until then the log ends in the one before.
        if self.records >= 2 {
            self.end.segments = self.current + 1;
            self.end.offset = self.offset as u64;
            self.end.crc = frame.crc;
        }
        Located { place, record }
    }

    /// The data of this segment ended at `offset`: cleanly, if only zeros follow and the next segment goes on.
    fn on_end_of_data(&mut self) -> Result<(), WalError> {
        let used = used_bytes(&self.bytes);
        if used > self.offset {
            return self.on_damage(Damage::Buried { end: used as u64 });
        }
        if self.records < 2 {
            let has = self.offset as u64;
            return self.on_damage(Damage::Short { needs: has + 1, has });
        }
        if self.current + 1 == self.segments.len() {
            self.finished = true;
            return Ok(());
        }
        self.bytes = self.disk.read_all(&self.segments[self.current + 1].file)?;
        self.current += 1;
        (self.offset, self.records) = (0, 0);
        Ok(())
    }

    /// Tells a write that a crash cut short from bytes that changed later (see [the essay](super)).
    fn on_damage(&mut self, damage: Damage) -> Result<(), WalError> {
        self.finished = true;
        let is_torn = match damage {
            Damage::Short { .. } | Damage::Buried { .. } => true,
            Damage::Malformed | Damage::UnknownType { .. } | Damage::Crc { .. } => {
                has_lost_sector(&self.bytes, self.offset)
            }
            _ => false,
        };
        let in_last = self.current + 1 == self.segments.len();
        let file = self.segments[self.current].file.clone();
        let used = used_bytes(&self.bytes);
        // Without any record before it there is nothing to go on with.
        let is_whole_log = self.current == 0 && self.records < 2;
        if is_torn && in_last && is_whole_log && used == 0 && self.segments[0].seq == 0 {
            return Err(WalError::Unborn { file });
        }
        if !is_torn || !in_last || is_whole_log {
            let place = self.place(self.records + 1);
            return Err(WalError::Damaged { place, damage });
        }
        let offset = if self.records < 2 { 0 } else { self.offset };
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.truncate(used.max(offset));
        let dropped = (bytes.len() - offset) as u64;
        let torn = TornTail { file, offset: offset as u64, bytes: dropped, damage };
        self.end.torn = Some((torn, Bytes::from(bytes)));
        Ok(())
    }

    /// The place of the frame at `offset`.
    fn place(&self, record: u64) -> Place {
        Place { file: self.segments[self.current].file.clone(), offset: self.offset as u64, record }
    }
}

/// Length without the zeros at the end. By blocks: most of a preallocated segment may be zeros.
fn used_bytes(bytes: &[u8]) -> usize {
    let mut end = bytes.len();
    for block in bytes.rchunks(4096) {
        if block.iter().any(|&b| b != 0) {
            break;
        }
        end -= block.len();
    }
    bytes[..end].iter().rposition(|&b| b != 0).map_or(0, |last| last + 1)
}
