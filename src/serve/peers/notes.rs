//! Lines on stderr for people, each kind not more often than every so many seconds. A member that stops says nothing more:
//! that it loses its peers then is no news.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Between two lines of a kind.
const PERIOD: Duration = Duration::from_secs(10);

/// See the module.
pub(in crate::serve) struct Notes {
    name: String,
    hushed: AtomicBool,
    said: Mutex<BTreeMap<String, Said>>,
}

/// A kind of line.
struct Said {
    last: Instant,
    /// Lines kept back since.
    kept: u64,
}

impl Notes {
    /// Lines of a member of this name.
    pub(in crate::serve) fn new(name: &str) -> Notes {
        Notes { name: name.to_owned(), hushed: AtomicBool::new(false), said: Mutex::default() }
    }

    /// Nothing more is said.
    pub(in crate::serve) fn hush(&self) {
        self.hushed.store(true, Ordering::Relaxed);
    }

    /// Says something, unless something of that kind was said a moment ago.
    pub(in crate::serve) fn line(&self, kind: &str, text: impl Display) {
        if let Some(kept) = self.due(kind, Instant::now())
            && !self.hushed.load(Ordering::Relaxed)
        {
            let more = if kept > 0 { format!(" ({kept} more like this)") } else { String::new() };
            eprintln!("{}: {text}{more}", self.name);
        }
    }

    /// Whether a line of that kind is due; then how many were kept back before it.
    fn due(&self, kind: &str, now: Instant) -> Option<u64> {
        // Plain data: whoever panicked while it held this has left it whole.
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(before) = said.get_mut(kind) else {
            said.insert(kind.to_owned(), Said { last: now, kept: 0 });
            return Some(0);
        };
        if now.saturating_duration_since(before.last) < PERIOD {
            before.kept += 1;
            return None;
        }
        before.last = now;
        Some(std::mem::take(&mut before.kept))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_said_once_in_a_while_and_tells_what_was_kept_back() {
        let (notes, start) = (Notes::new("n1"), Instant::now());
        assert_eq!(notes.due("garbage", start), Some(0));
        assert_eq!(notes.due("garbage", start + PERIOD / 2), None);
        assert_eq!(notes.due("garbage", start + PERIOD / 2), None);
        assert_eq!(notes.due("other", start + PERIOD / 2), Some(0));
        assert_eq!(notes.due("garbage", start + PERIOD), Some(2));
        assert_eq!(notes.due("garbage", start + 3 * PERIOD), Some(0));
    }
}
