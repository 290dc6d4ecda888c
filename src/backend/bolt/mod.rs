//! The bolt engine: bbolt's file, written without ever waiting (lessons 10 and 13).
//!
//! ```text
//!   page 0   page 1     page 2 …                                                     high-water mark
//!   ┌──────┬──────┬──────────────────────────────────────────────────────────────────┐┄┄┄┄┄┄┄┄┄┐
//!   │ meta │ meta │ leaves, branches, overflow, freelist, free pages, in any order    │ not used │
//!   └──┬───┴──────┴──────────────────────────────────────────────────────────────────┘┄┄┄┄┄┄┄┄┄┘
//!      └─► root: the tree of buckets ─► "key" ─► a tree of pairs
//!                                   └─► "meta": inline, its pairs lie in the tree of buckets
//! ```
//!
//! Nothing that a tree reaches is ever changed. A commit writes *new* pages for what it changed and for all that points
//! at them, up to a new root; when these are durable it writes the other meta page, and when that is durable, the pages
//! that only the old tree needed are free. A cut at any moment leaves a meta whose tree is whole:
//!
//! ```text
//!   commit_batch          op_done                op_done
//!   write pages, sync ──► write meta, sync  ──►  Finished::Commit, old pages released
//! ```
//!
//! Reads see, newest first: the batch that is being collected (the [`overlay`], which is etcd's read buffer), and the
//! tree of the last commit that was begun.
//!
//! # Reading order
//! `format` and `page` are bytes, `file` pages by number, `cache` those in memory, `tree` reading, `scan` every page;
//! `overlay` is a batch, `freelist` which pages may be taken, `write` a batch becomes pages (by way of `merge`, `draft`
//! and `elements`), `commit` pages become durable; `engine` puts them together, `open` starts it; `image` reads a whole
//! tree while others go on, `build` and `defrag` write a dense file; `view` is for inspection, `check` looks at everything.
//!
//! # Left out
//! Making and removing buckets (nested ones and strangers are kept as they are), sequences, read transactions other than
//! images, memory maps, and files of a machine with another byte order.

mod build;
mod cache;
mod check;
mod commit;
mod defrag;
mod draft;
mod elements;
mod engine;
mod file;
mod format;
mod freelist;
mod image;
mod merge;
mod open;
mod overlay;
mod page;
mod scan;
mod totals;
mod tree;
mod view;
mod write;

pub use check::{Finding, KeyRule};
pub use engine::Bolt;
pub use file::Metas;
pub use format::{Fault, HEADER_BYTES, Header, Meta, NO_FREELIST, PageKind};
pub use page::{Branch, Leaf};
pub use view::{BucketInfo, Content, PageUse, Reach, View};
