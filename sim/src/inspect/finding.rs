//! What is wrong, as data: the file, the place in it, and what was expected.

use seedbed::backend::BackendError;
use seedbed::wal::WalError;
use serde::Serialize;

/// Something that should not be so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The file.
    pub file: String,
    /// The byte in it, where there is one to name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
    /// What was expected, and what is there.
    pub text: String,
    /// How many there are of this kind on its page: this one, and those that are only counted.
    pub count: u64,
}

/// All findings, each once.
#[derive(Clone, Debug, Default)]
pub(super) struct Findings(Vec<Finding>);

impl Findings {
    /// Something about a file.
    pub(super) fn add(&mut self, file: &str, text: String) {
        self.add_several(file, text, 1);
    }

    /// The first of several of a kind.
    pub(super) fn add_several(&mut self, file: &str, text: String, count: u64) {
        self.push(Finding { file: file.to_owned(), offset: None, text, count });
    }

    /// Something that the store found in a log.
    pub(super) fn add_log(&mut self, error: &WalError) {
        match error {
            // The place stands beside the text, so the text need not repeat it; nor does it need advice to an operator
            // who wanted to start a member.
            WalError::Damaged { place, damage } => self.push(Finding {
                file: place.file.to_string(),
                offset: Some(place.offset),
                text: format!("record {}: {damage}", place.record),
                count: 1,
            }),
            other => self.add("", other.to_string()),
        }
    }

    /// Something that the store found in a database.
    pub(super) fn add_backend(&mut self, error: &BackendError) {
        match error {
            BackendError::Page { file, page, expected, found } => {
                self.add(file, format!("page {page}: expected {expected}, found {found}"));
            }
            BackendError::Meta { file, reasons } => self.add(file, format!("no usable meta page: {reasons}")),
            other => self.add("", other.to_string()),
        }
    }

    fn push(&mut self, finding: Finding) {
        if !self.0.contains(&finding) {
            self.0.push(finding);
        }
    }

    /// All, in the order found.
    pub(super) fn into_vec(self) -> Vec<Finding> {
        self.0
    }
}
