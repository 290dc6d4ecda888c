//! What the benches share: a disk of real files, the two engines on it, and what is put into them.

#![allow(dead_code, unreachable_pub)] // each bench is a crate of its own and uses a part

pub mod forge;
pub mod pairs;
pub mod real_disk;
pub mod sides;
pub mod table;
