//! The write-ahead log: what its segments hold together, and its records one by one.
//!
//! Records are read by the store's own [`Reader`], so they are checked as a starting member checks them. Damage ends
//! the reading, but what stood before it is reported. A log whose oldest segments were released is read from where it
//! begins now.

use super::entry::held;
use super::finding::Findings;
use super::words::hex;
use super::{Filter, Rows};
use prost::Message as _;
use seedbed::disk::{DiskError, DiskRead, FileName};
use seedbed::pb::etcdserverpb::Metadata;
use seedbed::wal::{Located, Reader, Record, Segment, WalError};
use serde::Serialize;
use std::collections::BTreeMap;

/// A log as a whole.
#[derive(Clone, Debug, Default, Serialize)]
pub struct LogReport {
    /// The segments, oldest first.
    pub segments: Vec<SegmentReport>,
    /// The member whose log it is, in hexadecimal.
    pub member: Option<String>,
    /// Its cluster, in hexadecimal.
    pub cluster: Option<String>,
    /// Records that were read.
    pub records: u64,
    /// The same by type.
    pub by_type: BTreeMap<&'static str, u64>,
    /// Entries by what they hold.
    pub by_request: BTreeMap<&'static str, u64>,
    /// Index of the oldest entry that counts.
    pub first_index: Option<u64>,
    /// Index of the newest.
    pub last_index: Option<u64>,
    /// Its term.
    pub last_term: Option<u64>,
    /// Entries that a later one replaced.
    pub replaced: u64,
    /// The last state.
    pub hard_state: Option<StateReport>,
    /// Snapshot records, in the order written.
    pub snapshots: Vec<MarkReport>,
    /// A write that a crash cut short, at the end.
    pub torn: Option<TornReport>,
}

/// One file of the log.
#[derive(Clone, Debug, Serialize)]
pub struct SegmentReport {
    /// Its path.
    pub file: String,
    /// Its number, from its name.
    pub seq: u64,
    /// Index of the first entry that was to be written into it, from its name.
    pub first_index: u64,
    /// Its length in bytes, with the zeros that are preallocated.
    pub bytes: u64,
    /// Where its last good record begins.
    pub last_record_at: u64,
    /// Records in it.
    pub records: u64,
    /// Entries in it.
    pub entries: u64,
}

/// A `raftpb.HardState`.
#[derive(Clone, Debug, Serialize)]
pub struct StateReport {
    /// The term.
    pub term: u64,
    /// Whom it voted for, in hexadecimal; 0 for nobody.
    pub vote: String,
    /// Committed up to this index.
    pub commit: u64,
}

/// A `walpb.Snapshot`.
#[derive(Clone, Debug, Serialize)]
pub struct MarkReport {
    /// The last entry covered.
    pub index: u64,
    /// Its term.
    pub term: u64,
    /// Whether the last state says that it is committed: only then does its file count.
    pub committed: bool,
}

/// A torn tail.
#[derive(Clone, Debug, Serialize)]
pub struct TornReport {
    /// The last segment.
    pub file: String,
    /// The first byte that a start would drop.
    pub offset: u64,
    /// How many bytes.
    pub bytes: u64,
    /// How it was recognised.
    pub reason: String,
}

/// One record, for `--wal`.
#[derive(Clone, Debug, Serialize)]
pub struct RecordRow {
    /// Its segment.
    pub file: String,
    /// The first byte of its frame.
    pub offset: u64,
    /// Its number in the segment, from 1.
    pub record: u64,
    /// Its type: `entry`, `state`…
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// An entry's or snapshot's index.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<u64>,
    /// Its term.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub term: Option<u64>,
    /// What an entry holds, in a word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<&'static str>,
    /// What it says.
    pub text: String,
}

/// The segments of a folder (or the one file) in order, and those before a hole, which no start reads.
fn segments(files: &[FileName]) -> (Vec<Segment>, Vec<FileName>) {
    let mut all: Vec<Segment> = files.iter().map(segment).collect();
    all.sort_by_key(|segment| (segment.seq, segment.first_index));
    let hole = all.windows(2).rposition(|pair| pair[0].seq.checked_add(1) != Some(pair[1].seq));
    let row = all.split_off(hole.map_or(0, |at| at + 1));
    (row, all.into_iter().map(|segment| segment.file).collect())
}

fn segment(file: &FileName) -> Segment {
    let (dir, _) = file.rsplit_once('/').unwrap_or(("", file));
    let named = Segment::parse(dir, file).or_else(|| {
        let bare: FileName = format!("/{file}").into();
        Segment::parse("", &bare).map(|segment| Segment { file: file.clone(), ..segment })
    });
    // A file of another name stands for itself.
    named.unwrap_or_else(|| Segment { seq: 0, first_index: 0, file: file.clone() })
}

/// Reads a log through, and hands every record to `visit`.
fn walk(
    disk: &dyn DiskRead,
    segments: &[Segment],
    visit: &mut dyn FnMut(&Located),
) -> Result<Option<TornReport>, WalError> {
    let mut reader = Reader::new(disk, segments)?;
    while let Some(located) = reader.next()? {
        visit(&located);
    }
    Ok(reader.torn().map(|torn| TornReport {
        file: torn.file.to_string(),
        offset: torn.offset,
        bytes: torn.bytes,
        reason: torn.damage.to_string(),
    }))
}

/// The overview of a log.
pub(super) fn report(disk: &dyn DiskRead, files: &[FileName], findings: &mut Findings) -> Result<LogReport, DiskError> {
    let (row, stray) = segments(files);
    for file in &stray {
        findings.add(file, "stands before a hole in the numbers of the segments: no start reads it".to_owned());
    }
    let mut log = LogReport::default();
    for segment in &row {
        log.segments.push(SegmentReport {
            file: segment.file.to_string(),
            seq: segment.seq,
            first_index: segment.first_index,
            bytes: disk.len(&segment.file)?,
            last_record_at: 0,
            records: 0,
            entries: 0,
        });
    }
    // (index, term) of the entries that count: an index seen again drops those from there on.
    let mut entries: Vec<(u64, u64)> = Vec::new();
    match walk(disk, &row, &mut |located| log.add(located, &mut entries)) {
        Ok(torn) => log.torn = torn,
        Err(WalError::Disk(error)) => return Err(error),
        Err(error) => findings.add_log(&error),
    }
    log.first_index = entries.first().map(|(index, _)| *index);
    (log.last_index, log.last_term) = entries.last().copied().unzip();
    let commit = log.hard_state.as_ref().map_or(0, |state| state.commit);
    log.snapshots.iter_mut().for_each(|mark| mark.committed = mark.index <= commit);
    Ok(log)
}

impl LogReport {
    fn add(&mut self, located: &Located, entries: &mut Vec<(u64, u64)>) {
        self.records += 1;
        *self.by_type.entry(type_name(&located.record)).or_default() += 1;
        let segment = self.segments.iter_mut().find(|segment| *segment.file == *located.place.file);
        let segment = segment.expect("invariant: a record stands in one of the segments read");
        segment.last_record_at = located.place.offset;
        segment.records += 1;
        match &located.record {
            Record::Crc(_) => {}
            Record::Metadata(bytes) => {
                if let Ok(metadata) = Metadata::decode(bytes.clone()) {
                    self.member = Some(format!("{:x}", metadata.node_id));
                    self.cluster = Some(format!("{:x}", metadata.cluster_id));
                }
            }
            Record::Entry(entry) => {
                segment.entries += 1;
                *self.by_request.entry(held(entry).kind).or_default() += 1;
                let keep = entries.partition_point(|(index, _)| *index < entry.index);
                self.replaced += (entries.len() - keep) as u64;
                entries.truncate(keep);
                entries.push((entry.index, entry.term));
            }
            Record::State(state) => {
                let vote = format!("{:x}", state.vote);
                self.hard_state = Some(StateReport { term: state.term, vote, commit: state.commit });
            }
            Record::Snapshot(mark) => {
                self.snapshots.push(MarkReport { index: mark.index, term: mark.term, committed: false });
            }
        }
    }
}

fn type_name(record: &Record) -> &'static str {
    match record {
        Record::Metadata(_) => "metadata",
        Record::Entry(_) => "entry",
        Record::State(_) => "state",
        Record::Crc(_) => "crc",
        Record::Snapshot(_) => "snapshot",
    }
}

/// The records, those of entries from the filter's start on.
pub(super) fn records(
    disk: &dyn DiskRead,
    files: &[FileName],
    filter: Filter,
    findings: &mut Findings,
) -> Result<Rows<RecordRow>, DiskError> {
    let (row, _) = segments(files);
    let mut rows = Rows::new(filter);
    // Without a start all records are told; with one, those from the first such entry on.
    let mut begun = filter.from == 0;
    let walked = walk(disk, &row, &mut |located| {
        begun |= matches!(&located.record, Record::Entry(entry) if entry.index >= filter.from);
        if begun {
            rows.add(|| record_row(located));
        }
    });
    match walked {
        Ok(_) => {}
        Err(WalError::Disk(error)) => return Err(error),
        Err(error) => findings.add_log(&error),
    }
    Ok(rows)
}

fn record_row(located: &Located) -> RecordRow {
    let place = &located.place;
    let (mut index, mut term, mut request) = (None, None, None);
    let text = match &located.record {
        Record::Crc(crc) => format!("the rolling CRC so far: {crc:08x}"),
        Record::Metadata(bytes) => match Metadata::decode(bytes.clone()) {
            Ok(metadata) => format!("member {:x} of cluster {:x}", metadata.node_id, metadata.cluster_id),
            Err(_) => format!("no etcdserverpb.Metadata: {}", hex(bytes)),
        },
        Record::Entry(entry) => {
            let held = held(entry);
            (index, term, request) = (Some(entry.index), Some(entry.term), Some(held.kind));
            held.text
        }
        Record::State(state) => {
            let vote = if state.vote == 0 { "for nobody".to_owned() } else { format!("for {:x}", state.vote) };
            term = Some(state.term);
            format!("vote {vote}, commit {}", state.commit)
        }
        Record::Snapshot(mark) => {
            (index, term) = (Some(mark.index), Some(mark.term));
            match mark.index {
                0 => "the log's beginning: no snapshot".to_owned(),
                _ => format!("there is a file {:016x}-{:016x}.snap", mark.term, mark.index),
            }
        }
    };
    RecordRow {
        file: place.file.to_string(),
        offset: place.offset,
        record: place.record,
        kind: type_name(&located.record),
        index,
        term,
        request,
        text,
    }
}
