//! When the next request is due.
//!
//! The open loop has a thread that sleeps: timers of the runtime know milliseconds, and a latency of half a millisecond
//! must not be measured by such a clock.

use super::{End, PATIENCE};
use std::cell::Cell;
use std::thread;
use std::time::{Duration, Instant};
use tokio::sync::{Mutex, mpsc};

/// See the module.
pub(super) struct Pace {
    /// When the first is due.
    began: Cell<Instant>,
    taken: Cell<u64>,
    stopped: Cell<bool>,
    end: End,
    rate: Option<u64>,
    due: Mutex<Option<mpsc::UnboundedReceiver<Instant>>>,
}

impl Pace {
    pub(super) fn new(rate: Option<u64>, end: End) -> Pace {
        let (taken, stopped) = (Cell::new(0), Cell::new(false));
        Pace { began: Cell::new(Instant::now()), taken, stopped, end, rate, due: Mutex::new(None) }
    }

    /// Now.
    pub(super) fn begin(&self) {
        self.began.set(Instant::now());
        if let Some(rate) = self.rate {
            let due = self.due.try_lock();
            *due.expect("invariant: nobody takes before the beginning") = Some(clock(self.began.get(), rate, self.end));
        }
    }

    pub(super) fn began(&self) -> Instant {
        self.began.get()
    }

    /// No further request.
    pub(super) fn stop(&self) {
        self.stopped.set(true);
    }

    /// Waits until the next request is due, and says since when it is. `None`: there is none. What was due and could
    /// not be sent within [`PATIENCE`] of the end is not sent any more.
    pub(super) async fn next(&self) -> Option<Instant> {
        let late = if self.rate.is_some() { PATIENCE } else { Duration::ZERO };
        let over = |began: Instant| match self.end {
            End::Total(total) => self.taken.get() >= total,
            End::After(span) => began.elapsed() >= span + late,
        };
        if self.stopped.get() || over(self.began.get()) {
            return None;
        }
        let due = match self.rate {
            None => Instant::now(),
            Some(_) => self.due.lock().await.as_mut()?.recv().await?,
        };
        if self.stopped.get() {
            return None;
        }
        self.taken.set(self.taken.get() + 1);
        Some(due)
    }

    /// Requests of the open loop that were due and not sent.
    pub(super) fn unsent(&self) -> u64 {
        match (self.rate, self.end, self.stopped.get()) {
            (Some(rate), End::After(span), false) => count(rate, span).saturating_sub(self.taken.get()),
            _ => 0,
        }
    }
}

fn count(rate: u64, span: Duration) -> u64 {
    (u128::from(rate) * span.as_nanos()).div_ceil(1_000_000_000) as u64
}

/// A thread that says when requests are due, one after the other.
fn clock(began: Instant, rate: u64, end: End) -> mpsc::UnboundedReceiver<Instant> {
    let total = match end {
        End::Total(total) => total,
        End::After(span) => count(rate, span),
    };
    let (tell, hear) = mpsc::unbounded_channel();
    let run = move || {
        for n in 0..total {
            let due = began + Duration::from_nanos((u128::from(n) * 1_000_000_000 / u128::from(rate)) as u64);
            thread::sleep(due.saturating_duration_since(Instant::now()));
            if tell.send(due).is_err() {
                return;
            }
        }
    };
    thread::Builder::new().name("seedbed-pace".to_owned()).spawn(run).expect("the system gives out a thread");
    hear
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(pace: &Pace) -> Vec<Instant> {
        pace.begin();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        let all = async {
            let mut taken = Vec::new();
            while let Some(due) = pace.next().await {
                taken.push(due);
            }
            taken
        };
        runtime.block_on(all)
    }

    #[test]
    fn a_closed_loop_takes_its_total() {
        assert_eq!(taken(&Pace::new(None, End::Total(7))).len(), 7);
    }

    #[test]
    fn an_open_loop_is_due_by_the_clock() {
        let pace = Pace::new(Some(1_000), End::After(Duration::from_millis(20)));
        let due = taken(&pace);
        assert_eq!((due.len(), pace.unsent()), (20, 0));
        assert!(
            due.windows(2).all(|two| two[1] - two[0] == Duration::from_millis(1)),
            "whoever waits, waits from then"
        );
        assert!(pace.began().elapsed() >= Duration::from_millis(19));
    }

    #[test]
    fn nothing_is_due_after_a_stop() {
        let pace = Pace::new(Some(1), End::Total(1_000));
        pace.stop();
        assert_eq!(taken(&pace).len(), 0);
    }
}
