//! Runs: a fresh thread a seed, and madsim around the world.
//!
//! A fresh thread, because some of what must not differ between runs (the seeds of hash maps) is drawn once a thread.

use crate::scenario::Scenario;
use crate::world::{Options, Outcome, World};
use seedbed::time::{MILLISECOND, Nanos};
use std::cell::RefCell;
use std::panic::{self, PanicHookInfo};
use std::rc::Rc;
use std::sync::Once;
use std::time::Duration;

/// A run's outcome, with what it cost.
#[derive(Debug)]
pub struct Ran {
    /// What the world left.
    pub outcome: Outcome,
    /// CPU time of its thread, in nanoseconds.
    pub cpu: Nanos,
}

/// madsim's clock follows the world's in steps of at least so much: nothing in a run reads it, and moving it takes as
/// long as a good part of an event.
const CLOCK_STEP: Nanos = MILLISECOND;

/// Runs a scenario with a seed on a thread of its own. `Err` is the message of a panic of the harness itself.
pub fn run(scenario: &Scenario, seed: u64, options: Options) -> Result<Ran, String> {
    install_panic_hook();
    let scenario = scenario.clone();
    let thread = std::thread::Builder::new().name(format!("seed {seed}"));
    let run = move || {
        CAPTURES.set(true);
        let began = thread_cpu_time();
        // madsim's own generator decides nothing here; it is seeded all the same.
        let runtime = madsim::runtime::Runtime::with_seed_and_config(seed, madsim::Config::default());
        let outcome = runtime.block_on(async move {
            let clock = madsim::time::TimeHandle::current();
            let world = World::new(Rc::new(scenario), seed, options);
            let mut behind = 0;
            world.run(|elapsed| {
                behind += elapsed;
                if behind >= CLOCK_STEP {
                    clock.advance(Duration::from_nanos(std::mem::take(&mut behind)));
                }
            })
        });
        drop(runtime);
        Ran { outcome, cpu: thread_cpu_time() - began }
    };
    let run = move || panic::catch_unwind(panic::AssertUnwindSafe(run)).map_err(|_| last_panic());
    let thread = thread.spawn(run).map_err(|error| format!("no thread for seed {seed}: {error}"))?;
    let ended = thread.join().expect("invariant: the thread catches its own panics");
    ended.map_err(|message| message.unwrap_or_else(|| "a panic without a message".to_owned()))
}

thread_local! {
    /// Whether this thread keeps the messages of its panics instead of printing them.
    static CAPTURES: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
    static LAST_PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// What `work` brings, or the message of its panic, which is kept and not printed.
pub(crate) fn caught<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    install_panic_hook();
    let captured = CAPTURES.replace(true);
    let result = panic::catch_unwind(panic::AssertUnwindSafe(work));
    CAPTURES.set(captured);
    result.map_err(|_| last_panic().unwrap_or_else(|| "a panic without a message".to_owned()))
}

/// The message of the last panic on this thread, with its place.
pub(crate) fn last_panic() -> Option<String> {
    LAST_PANIC.take()
}

/// A member's panic is a verdict, not something to print at once: the hook keeps its message for the report.
fn install_panic_hook() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info: &PanicHookInfo<'_>| {
            if !CAPTURES.get() {
                return usual(info);
            }
            let payload = info.payload();
            let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
            let text = text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_default();
            let place = info.location().map(|place| format!(" ({}:{})", place.file(), place.line()));
            LAST_PANIC.set(Some(text + &place.unwrap_or_default()));
        }));
    });
}

/// CPU time of this thread in nanoseconds. A raw system call, since madsim stands in front of libc's function.
#[allow(unsafe_code)]
pub fn thread_cpu_time() -> Nanos {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call writes one timespec to the pointer, which is valid and exclusive for the call.
    let status = unsafe { libc::syscall(libc::SYS_clock_gettime, libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    assert_eq!(status, 0, "invariant: the thread's clock can be read");
    time.tv_sec as Nanos * seedbed::time::SECOND + time.tv_nsec as Nanos
}
