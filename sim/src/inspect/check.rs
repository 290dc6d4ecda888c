//! The check of a database, which is the store's own and has the messages of bbolt's: every page below the high-water
//! mark is reached by a tree, or free, exactly once.
//!
//! A file without a freelist page has no opinion about which pages are free, so there only the trees are checked.

use super::finding::Findings;
use seedbed::backend::BackendError;
use seedbed::backend::bolt::View;
use serde::Serialize;

/// What a check went over.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Checked {
    /// Pages below the high-water mark.
    pub pages: u64,
    /// Pages on the freelist; absent if the file keeps none.
    pub free: Option<u64>,
    /// Whether nothing is wrong.
    pub ok: bool,
}

/// Checks a database. What is wrong is a finding.
pub(super) fn check(view: &View, file: &str, findings: &mut Findings) -> Result<Checked, BackendError> {
    let found = view.check();
    let ok = found.is_empty();
    found.iter().for_each(|finding| findings.add(file, finding.to_string()));
    // A freelist that cannot be read is among them.
    let free = if ok { view.freelist()?.map(|ids| ids.len() as u64) } else { None };
    Ok(Checked { pages: view.meta().high_water, free, ok })
}
