//! The check of a database, which is the store's own and has the messages of bbolt's: every page below the high-water
//! mark is reached by a tree, or free, exactly once.
//!
//! A file without a freelist page has no opinion about which pages are free, so there only the trees are checked.
//!
//! A page that was overwritten with another is wrong in every element. Of findings of a kind on one page the first is
//! told, the others are counted.

use super::finding::Findings;
use seedbed::backend::BackendError;
use seedbed::backend::bolt::{Finding, View};
use serde::Serialize;
use std::mem::discriminant;

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
    let mut kinds: Vec<(&Finding, u64)> = Vec::new();
    for finding in &found {
        match kinds.iter_mut().find(|(first, _)| is_alike(first, finding)) {
            Some((_, count)) => *count += 1,
            None => kinds.push((finding, 1)),
        }
    }
    kinds.iter().for_each(|(first, count)| findings.add_several(file, first.to_string(), *count));
    // A freelist that cannot be read is among them.
    let free = if ok { view.freelist()?.map(|ids| ids.len() as u64) } else { None };
    Ok(Checked { pages: view.meta().high_water, free, ok })
}

/// Whether two findings are of one kind, on one page.
fn is_alike(one: &Finding, other: &Finding) -> bool {
    discriminant(one) == discriminant(other) && page(one) == page(other)
}

/// The page that a finding is about, if it is about one.
fn page(finding: &Finding) -> Option<u64> {
    match finding {
        Finding::AlreadyFreed { page }
        | Finding::OutOfBounds { page, .. }
        | Finding::MultipleReferences { page, .. }
        | Finding::ReachableFreed { page }
        | Finding::UnreachableUnfreed { page }
        | Finding::InvalidType { page, .. }
        | Finding::Misplaced { page, .. }
        | Finding::Inconsistent { page, .. }
        | Finding::TooDeep { page }
        | Finding::KeyOrder { page, .. }
        | Finding::Unreadable { page, .. } => Some(*page),
        Finding::TooShort { .. } | Finding::More => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_are_alike_on_one_page_only() {
        let wrong = |page, element| Finding::Inconsistent { page, element, expected: "a key", stack: vec![3] };
        assert!(is_alike(&wrong(7, Some(0)), &wrong(7, Some(1))));
        assert!(!is_alike(&wrong(7, Some(0)), &wrong(8, Some(0))));
        assert!(!is_alike(&wrong(7, None), &Finding::TooDeep { page: 7 }));
    }
}
