//! The store.
#![forbid(unsafe_code)]

pub mod bug;
pub mod disk;
pub mod pb;
pub mod raft;
