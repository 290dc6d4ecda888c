//! Ctrl-C for long work: what is finished is reported.

use super::{INTERRUPTED, terminal};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Set by the first Ctrl-C, for the work to come to an end; the second ends the process. `what` names the work.
pub(super) fn stop_on_interrupt(what: &str) -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&stop);
    let handler = move || {
        if asked.swap(true, Ordering::Relaxed) {
            std::process::exit(i32::from(INTERRUPTED));
        }
    };
    // Without a handler Ctrl-C ends the process at once, which is bearable.
    if ctrlc::set_handler(handler).is_err() {
        terminal::warn(&format!("Ctrl-C will end {what} without a report"));
    }
    stop
}
