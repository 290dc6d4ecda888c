//! The store.
#![forbid(unsafe_code)]

pub mod api;
pub mod apply;
pub mod backend;
pub mod bug;
pub mod disk;
pub mod disk_mem;
pub mod member;
pub mod mvcc;
pub mod pb;
pub mod raft;
pub mod snap;
pub mod time;
pub mod wal;
