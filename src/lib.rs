//! The store.
#![forbid(unsafe_code)]

pub mod bug;
pub mod disk;
pub mod disk_mem;
pub mod pb;
pub mod raft;
pub mod snap;
pub mod wal;
