//! How many files the process may have open, connections included.
//!
//! The system gives a process 1,024 unless it asks for more, and without a free one the member could not begin the next
//! segment of its log. So it asks for as many as it may have, and as etcd does it keeps 150 for itself: connections
//! beyond the rest wait until others end.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files that are not for connections.
const OWN: u64 = 150;
/// As many connections as are ever needed.
const MOST: u64 = 1 << 20;

/// Asks for as many files as there may be. Returns how many connections that leaves room for.
pub(super) fn for_connections() -> Result<usize, String> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    // Without leave for more it stays as it was.
    let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    let files = if raised.is_ok() { maximum } else { current };
    match files.unwrap_or(MOST).min(MOST).checked_sub(OWN) {
        None | Some(0) => Err(format!(
            "the process may have {} files open, and needs more than {OWN} for itself; raise the limit (ulimit -n)",
            files.unwrap_or_default()
        )),
        Some(connections) => Ok(connections as usize),
    }
}
