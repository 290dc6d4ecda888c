//! Equality of state: members that have applied the same entries are equal (`members-equal`).
//!
//! The store keeps a hash of all its buckets; the first member to apply an index says what it must be, and every other
//! member (and the same one after a restart, and a follower after a snapshot) must come to the same.

use super::Failure;

/// See the module.
#[derive(Debug, Default)]
pub struct StateChecker {
    /// By applied index: hash and revision.
    states: Vec<Option<(Option<u64>, i64)>>,
    compared: u64,
}

impl StateChecker {
    /// A member has applied everything up to `index`. Says whether it was the first to.
    pub fn on_applied(&mut self, member: usize, index: u64, hash: Option<u64>, revision: i64) -> Result<bool, Failure> {
        if self.states.len() <= index as usize {
            self.states.resize(index as usize + 1, None);
        }
        match self.states[index as usize] {
            None => {
                self.states[index as usize] = Some((hash, revision));
                Ok(true)
            }
            Some((other, other_revision)) if other_revision == revision && (hash.is_none() || other.is_none()) => {
                // A member in the middle of a compaction has no hash to compare.
                self.states[index as usize] = Some((hash.or(other), revision));
                Ok(false)
            }
            Some(state) if state == (hash, revision) => {
                self.compared += 1;
                Ok(false)
            }
            Some((other, other_revision)) => {
                let (hash, other) = (hash.unwrap_or(0), other.unwrap_or(0));
                let text = format!(
                    "at applied index {index} n{} has revision {revision} and hash {hash:016x}, another member (or \
                     itself before a restart) had revision {other_revision} and hash {other:016x}",
                    member + 1
                );
                Err(Failure::new("members-equal", text))
            }
        }
    }

    /// Whether the entry at `index` made a revision, as far as its state and the one before it are known.
    pub fn made_revision(&self, index: u64) -> bool {
        let revision = |index: u64| self.states.get(index as usize).copied().flatten().map(|(_, revision)| revision);
        revision(index).is_some_and(|after| index == 0 || revision(index - 1).is_some_and(|before| before < after))
    }

    /// States compared with an earlier one.
    pub fn compared(&self) -> u64 {
        self.compared
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_that_applied_the_same_entries_to_another_state_is_found() {
        let mut checker = StateChecker::default();
        assert_eq!(checker.on_applied(0, 4, Some(7), 2), Ok(true));
        assert_eq!(checker.on_applied(1, 4, Some(7), 2), Ok(false));
        assert_eq!(checker.on_applied(2, 4, Some(8), 2).unwrap_err().check, "members-equal");
        assert_eq!(checker.on_applied(2, 4, Some(7), 3).unwrap_err().check, "members-equal");
    }
}
