//! The command `seedbed`.
fn main() {}
