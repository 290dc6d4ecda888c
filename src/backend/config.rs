//! Which engine, and its settings.

use crate::bug::BugSet;

/// The engine behind a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EngineConfig {
    /// Nothing on disk.
    Memory,
    /// bbolt's file.
    Bolt(BoltConfig),
}

/// Settings of the bolt engine; defaults are etcd 3.5's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BoltConfig {
    /// Bytes of a page in a new file; an existing file says itself.
    pub page_size: usize,
    /// How free pages are found.
    pub freelist: FreelistKind,
    /// Whether each commit writes the freelist to a page. etcd does not, and scans the file at start instead.
    pub sync_freelist: bool,
    /// Bytes of pages kept in memory.
    pub cache_bytes: usize,
    /// Historical bugs that are switched on.
    pub bugs: BugSet,
}

impl Default for BoltConfig {
    fn default() -> BoltConfig {
        BoltConfig {
            page_size: 4096,
            freelist: FreelistKind::Hashmap,
            sync_freelist: false,
            cache_bytes: 8 << 20,
            bugs: BugSet::NONE,
        }
    }
}

/// How an engine finds free pages (lesson 13).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum FreelistKind {
    /// A sorted array: finding a run of pages walks it (etcd's only one before 3.4).
    Array,
    /// Runs by their length and by their ends: finding one looks it up.
    #[default]
    Hashmap,
}
