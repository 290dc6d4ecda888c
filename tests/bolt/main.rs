//! The bolt engine over a perfect disk: against a map, through commits, cuts, images and defragmentation.

mod cases;
mod model;
#[path = "../support/bolt.rs"]
mod rig;
