//! What an engine can find wrong.

use crate::disk::{DiskError, FileName};

/// Why an engine cannot serve, read or write its file.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum BackendError {
    /// The disk failed.
    #[error("the database: {0}")]
    Disk(#[from] DiskError),
    /// A page is not what the page that points at it (or its own header) promises.
    #[error("{file}: page {page}: expected {expected}, found {found}; {ADVICE}")]
    Page {
        /// The file.
        file: FileName,
        /// The page's number; it begins at byte `page * page_size`.
        page: u64,
        /// What should be there.
        expected: String,
        /// What is.
        found: String,
    },
    /// Neither meta page can be used.
    #[error("{file}: no usable meta page: {reasons}; {ADVICE}")]
    Meta {
        /// The file.
        file: FileName,
        /// What is wrong with page 0 and with page 1.
        reasons: String,
    },
    /// A pair is not what its bucket holds.
    #[error("bucket {bucket}, key {key}: expected {expected}; {ADVICE}")]
    Record {
        /// The bucket's name.
        bucket: &'static str,
        /// The key.
        key: String,
        /// What should be there.
        expected: String,
    },
    /// An image cannot be restored.
    #[error(transparent)]
    Image(#[from] ImageError),
}

const ADVICE: &str = "the file is damaged: restore it from a snapshot, or remove this member from the cluster, empty its \
                      directory and add it anew";

/// An image that cannot be restored.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[error("the snapshot's image breaks off or is garbled at byte {offset}: expected {expected}")]
pub struct ImageError {
    /// Where, in bytes from the start of the image.
    pub offset: usize,
    /// What should have stood there.
    pub expected: &'static str,
}
