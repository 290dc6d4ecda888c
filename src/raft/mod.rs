//! Consensus (being written).
mod message;
mod ready;

pub use message::*;
pub use ready::*;
