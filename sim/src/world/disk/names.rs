//! Names of files: live at once, durable after a sync of their directory, and in between a journal.

use super::super::random::Stream;
use crate::scenario::Unsynced;
use seedbed::disk::FileName;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Which inode a name stands for.
type Table = BTreeMap<FileName, u32>;

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    live: Table,
    durable: Table,
    /// Changes since the last sync of their directory, in order.
    journal: Vec<NameChange>,
    /// Numbers the changes.
    changed: u64,
    /// The name that was looked for last, most often the log's: it comes again by the same pointer.
    recent: Option<(FileName, u32)>,
}

#[derive(Clone, Debug)]
struct NameChange {
    number: u64,
    directory: String,
    change: Change,
}

/// A change of names.
#[derive(Clone, Debug)]
pub(super) enum Change {
    Set(FileName, u32),
    Unset(FileName),
    Move(FileName, FileName),
}

impl Names {
    /// The inode of a file, as the member sees it.
    pub(super) fn get(&self, file: &str) -> Option<u32> {
        self.live.get(file).copied()
    }

    /// The same for the file of an operation.
    pub(super) fn find(&mut self, file: &FileName) -> Option<u32> {
        if let Some((name, inode)) = &self.recent
            && Arc::ptr_eq(name, file)
        {
            return Some(*inode);
        }
        let inode = self.get(file)?;
        self.recent = Some((file.clone(), inode));
        Some(inode)
    }

    /// All files that the member sees.
    pub(super) fn live(&self) -> &Table {
        &self.live
    }

    /// How many changes were ever made: what a directory's sync that begins now covers.
    pub(super) fn changed(&self) -> u64 {
        self.changed
    }

    /// Whether every change is durable.
    pub(super) fn is_settled(&self) -> bool {
        self.journal.is_empty()
    }

    /// Changes the live names. The change belongs to the directory of `file`.
    pub(super) fn change(&mut self, file: &str, change: Change) {
        let directory = file.rsplit_once('/').map_or("", |(directory, _)| directory).to_owned();
        self.recent = None;
        apply(&mut self.live, &change);
        self.journal.push(NameChange { number: self.changed, directory, change });
        self.changed += 1;
    }

    /// Makes the changes of a directory that are numbered below `below` durable.
    pub(super) fn flush(&mut self, directory: &str, below: u64) {
        let durable = &mut self.durable;
        self.journal.retain(|change| {
            let covered = change.directory == directory && change.number < below;
            if covered {
                apply(durable, &change.change);
            }
            !covered
        });
    }

    /// The power goes off: changes are kept up to a point, and lost after it, as in a journal.
    pub(super) fn crash(&mut self, unsynced: Unsynced, fate: &mut Stream) {
        self.recent = None;
        let kept = match unsynced {
            Unsynced::Lost => 0,
            Unsynced::Kept => self.journal.len(),
            Unsynced::Random => fate.below(self.journal.len() as u64 + 1) as usize,
        };
        let was_settled = self.journal.is_empty();
        for change in self.journal.drain(..).take(kept) {
            apply(&mut self.durable, &change.change);
        }
        if !was_settled {
            self.live = self.durable.clone();
        }
    }

    /// Every inode that a name stands for, or may stand for after a crash.
    pub(super) fn inodes(&self) -> BTreeSet<u32> {
        let journal = self.journal.iter().filter_map(|change| match change.change {
            Change::Set(_, inode) => Some(inode),
            Change::Unset(_) | Change::Move(..) => None,
        });
        self.live.values().chain(self.durable.values()).copied().chain(journal).collect()
    }
}

fn apply(names: &mut Table, change: &Change) {
    match change {
        Change::Set(name, inode) => {
            names.insert(name.clone(), *inode);
        }
        Change::Unset(name) => {
            names.remove(name);
        }
        Change::Move(from, to) => {
            if let Some(inode) = names.remove(from) {
                names.insert(to.clone(), inode);
            }
        }
    }
}
