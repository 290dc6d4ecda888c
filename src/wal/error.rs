//! What can be wrong with a log: where, what was expected, and what an operator can do.

use crate::disk::{DiskError, FileName};
use crate::pb::convert::UnknownEntryKind;
use std::fmt;

/// What to do about a damaged log; the same for every kind of damage.
const ADVICE: &str = "do not cut the file by hand: it may hold votes and entries that others count on. Restore the data \
                      directory from a backup, or remove this member from the cluster, empty its directory and add it anew";

/// A place in the log.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// The segment.
    pub file: FileName,
    /// The first byte of the frame.
    pub offset: u64,
    /// The record's number in its segment, from 1.
    pub record: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: byte {} (record {})", self.file, self.offset, self.record)
    }
}

/// What is wrong at a [`Place`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Damage {
    /// The file ends inside the frame.
    #[error("expected a frame of {needs} bytes, but the file ends after {has}")]
    Short {
        /// Bytes of the whole frame, as far as known.
        needs: u64,
        /// Bytes that are there.
        has: u64,
    },
    /// The length field is none that a writer makes.
    #[error("expected a length field (record bytes, 0x80|pad in the top byte), found {found:#018x}")]
    Length {
        /// The field.
        found: u64,
    },
    /// The record claims more than any record has.
    #[error("expected a record of at most {max} bytes, found a length of {bytes}", max = super::record::MAX_RECORD_BYTES)]
    TooLong {
        /// The claimed length.
        bytes: u64,
    },
    /// The frame's bytes are not a record.
    #[error("expected a walpb.Record (type, crc, data), found other bytes")]
    Malformed,
    /// The record is whole, but its data is not what its type says.
    #[error("expected {expected} as the record's data, found other bytes: has the type changed?")]
    Content {
        /// What should stand there.
        expected: &'static str,
    },
    /// The record's type is unknown.
    #[error("expected a record type from 1 to 5, found {found}")]
    UnknownType {
        /// The type.
        found: u64,
    },
    /// An entry's type is unknown.
    #[error(transparent)]
    UnknownEntryKind(#[from] UnknownEntryKind),
    /// The data, or some record before it, changed.
    #[error(
        "expected CRC {expected:08x} (computed over this record's data and all before it), found {found:08x} in the record"
    )]
    Crc {
        /// Computed.
        expected: u32,
        /// Stored.
        found: u32,
    },
    /// Zeros end the data, yet something follows.
    #[error("expected only zeros behind the last record, found data up to byte {end}")]
    Buried {
        /// The byte behind the last that is not zero.
        end: u64,
    },
    /// A segment does not begin with a crc and a metadata record, or has one of metadata elsewhere.
    #[error("expected {expected} at this place of a segment, found {found}")]
    Order {
        /// What should stand here.
        expected: &'static str,
        /// What does.
        found: &'static str,
    },
    /// The metadata differs from the first segment's.
    #[error("expected the metadata of the segments before, found other: is the file from another member?")]
    Metadata,
    /// An entry leaves a gap.
    #[error("expected an entry with index {expected} or lower, found {found}")]
    Gap {
        /// The highest index that would fit.
        expected: u64,
        /// The entry's index.
        found: u64,
    },
    /// An entry would replace a committed one.
    #[error("expected an entry above the commit index {commit}, found {found}")]
    Committed {
        /// Committed up to here.
        commit: u64,
        /// The entry's index.
        found: u64,
    },
    /// A term that goes backwards.
    #[error("expected a term of at least {expected}, found {found}")]
    Term {
        /// The term before.
        expected: u64,
        /// The record's term.
        found: u64,
    },
    /// A term that is out of reach.
    #[error("expected an entry of a term soon after {state}, found {found}")]
    TermLeap {
        /// The term of the last state.
        state: u64,
        /// The entry's term.
        found: u64,
    },
    /// The snapshot record at the wanted index has another term.
    #[error("expected the snapshot at index {index} to have term {expected}, found {found}")]
    SnapshotTerm {
        /// The index.
        index: u64,
        /// The wanted term.
        expected: u64,
        /// The record's term.
        found: u64,
    },
}

/// Why a log cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum WalError {
    /// The disk failed.
    #[error("reading the log: {0}; check the disk, then start again")]
    Disk(#[from] DiskError),
    /// A record is not what was written there.
    #[error("{place}: {damage}. The log is damaged and was not torn by a crash; {ADVICE}")]
    Damaged {
        /// Where.
        place: Place,
        /// What.
        damage: Damage,
    },
    /// There is no segment.
    #[error(
        "{dir}: expected WAL segments, found none; a new member makes its log first, an old one has lost it: {ADVICE}"
    )]
    NoLog {
        /// The directory.
        dir: FileName,
    },
    /// The first segment was never finished: nothing is in it, and nothing was ever promised.
    #[error(
        "{file}: byte 0: expected a first record, found nothing: making the log was interrupted; start the member as a new one"
    )]
    Unborn {
        /// The segment.
        file: FileName,
    },
    /// The segments that hold the wanted entries are gone.
    #[error(
        "{oldest}: expected a segment that holds the entries after index {index}, but this is the oldest (of an unbroken row); \
             start from a newer snapshot, or: {ADVICE}"
    )]
    Released {
        /// Where reading should start.
        index: u64,
        /// The oldest segment.
        oldest: FileName,
    },
    /// No record tells of the snapshot to start from.
    #[error(
        "{file}: expected a record of the snapshot at index {index}, term {term}, found none up to byte {offset}; \
             start from a snapshot that the log knows"
    )]
    SnapshotNotFound {
        /// The last segment.
        file: FileName,
        /// The end of the log in it.
        offset: u64,
        /// The wanted index.
        index: u64,
        /// The wanted term.
        term: u64,
    },
    /// A snapshot from the leader replaced the entries that should follow.
    #[error(
        "{file}: expected entries after index {index}, but up to byte {offset} the log goes on at {next} behind a newer \
             snapshot; that .snap file is needed, or: {ADVICE}"
    )]
    Replaced {
        /// The last segment.
        file: FileName,
        /// The end of the log in it.
        offset: u64,
        /// Where reading should start.
        index: u64,
        /// Where the log goes on.
        next: u64,
    },
}

/// What recovery dropped from the log's end: bytes of a write that a crash cut short.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TornTail {
    /// The last segment.
    pub file: FileName,
    /// The first dropped byte. 0: the segment had no complete beginning and is removed as a whole.
    pub offset: u64,
    /// How many bytes were dropped, up to the last that was not zero.
    pub bytes: u64,
    /// By what it was recognised.
    pub damage: Damage,
}

impl fmt::Display for TornTail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, offset, bytes, damage } = self;
        write!(f, "{file}: byte {offset}: the last write was torn ({damage}); ")?;
        match bytes {
            0 => write!(f, "the segment was empty and is removed"),
            _ => write!(f, "{bytes} bytes are dropped, a copy is in {file}.broken"),
        }
    }
}
