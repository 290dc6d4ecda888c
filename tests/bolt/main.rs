//! The bolt engine over a perfect disk: against a map, through commits, restarts, cuts, images and defragmentation.

mod model;
mod rig;
