//! What can be wrong with a snapshot file.

use crate::disk::{DiskError, FileName};

/// Why a snapshot file cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SnapError {
    /// The disk failed.
    #[error("reading a snapshot: {0}; check the disk")]
    Disk(#[from] DiskError),
    /// The envelope or the message in it does not decode.
    #[error("{file}: byte 0: expected {expected} in {bytes} bytes, found others; {ADVICE}")]
    Malformed {
        /// The file.
        file: FileName,
        /// Its length in bytes.
        bytes: u64,
        /// What should be there.
        expected: &'static str,
    },
    /// The data changed.
    #[error(
        "{file}: byte 0: expected CRC {expected:08x} (computed over the data), found {found:08x} in the file; {ADVICE}"
    )]
    Crc {
        /// The file.
        file: FileName,
        /// Computed.
        expected: u32,
        /// Stored.
        found: u32,
    },
    /// The file's name tells of another snapshot than its content.
    #[error("{file}: byte 0: expected term {} and index {} as in the name, found {} and {}; {ADVICE}", .name.0, .name.1, .content.0, .content.1)]
    Name {
        /// The file.
        file: FileName,
        /// Term and index in the name.
        name: (u64, u64),
        /// Term and index in the content.
        content: (u64, u64),
    },
}

const ADVICE: &str = "the file is damaged: an older snapshot and the log may do; if the log does not reach back that far, \
                      remove the member from the cluster, empty its directory and add it anew";
