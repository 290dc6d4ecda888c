//! The check of a database: every page below the high-water mark is reached by a tree, or free, exactly once.
//!
//! The messages are those of bbolt's own check. A file without a freelist page has no opinion about which pages are
//! free, so there only the trees are checked.

use super::finding::Findings;
use seedbed::backend::BackendError;
use seedbed::backend::bolt::{NO_FREELIST, View};
use serde::Serialize;
use std::collections::BTreeSet;

/// What a check went over.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Checked {
    /// Pages below the high-water mark.
    pub pages: u64,
    /// Pages that a tree reaches, and metas and freelist.
    pub reached: u64,
    /// Pages on the freelist; absent if the file keeps none.
    pub free: Option<u64>,
    /// Whether nothing is wrong.
    pub ok: bool,
}

/// Checks a database. What is wrong is a finding.
pub(super) fn check(view: &View, file: &str, findings: &mut Findings) -> Result<Checked, BackendError> {
    let before = findings.len();
    let mut reached: BTreeSet<u64> = (0..2).collect();
    if view.meta().freelist != NO_FREELIST {
        let first = view.meta().freelist;
        reached.extend(first..first + view.header(first)?.pages());
    }
    let walked = view.walk(&mut |reach| reached.extend(reach.id..reach.id + reach.pages));
    let freelist = match walked.and_then(|()| view.freelist()) {
        Ok(freelist) => freelist,
        Err(BackendError::Disk(error)) => return Err(error.into()),
        Err(error) => {
            findings.add_backend(&error);
            None
        }
    };
    if let Some(free) = &freelist {
        let free: BTreeSet<u64> = free.iter().copied().collect();
        for page in free.intersection(&reached) {
            findings.add(file, format!("page {page}: reachable freed"));
        }
        for page in (0..view.meta().high_water).filter(|page| !reached.contains(page) && !free.contains(page)) {
            findings.add(file, format!("page {page}: unreachable unfreed"));
        }
    }
    Ok(Checked {
        pages: view.meta().high_water,
        reached: reached.len() as u64,
        free: freelist.map(|free| free.len() as u64),
        ok: findings.len() == before,
    })
}
