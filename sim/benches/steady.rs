//! How fast the steady scenario is on a core that nobody disturbs.
//!
//! A virtual machine's core is mostly half of a real one, and what runs on the other half slows this one down to three
//! fifths, as it pleases. So each run stands between two runs of a loop that touches no memory and does the same every
//! time: where both took hardly longer than the fastest of all, the core was the run's own. Timings are for people to
//! read; nothing is asserted.
//!
//! ```text
//! cargo bench -p seedbed-sim --bench steady
//! ```

use seedbed_sim::judge;
use seedbed_sim::scenario::ScenarioFile;
use seedbed_sim::world::Options;
use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const RUNS: usize = 100;
/// Rounds of the loop: a tenth of a second or so.
const ROUNDS: u64 = 20_000_000;
/// A loop may take so much longer than the fastest before its neighbours count as disturbed.
const SLACK: f64 = 1.08;

fn main() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("sim/ lies in the root");
    let path = "scenarios/chaos/steady.toml";
    let text = fs::read_to_string(root.join(path)).expect("the scenario is there");
    let file = ScenarioFile::parse(path, &text).expect("a shipped scenario is sound");
    let run = || judge::judge(&file, None, 0, &[], Options::default()).expect("it runs").report.simulated_s;
    let simulated_s = run();
    let mut loops = vec![timed(register_loop)];
    let mut runs = Vec::new();
    for _ in 0..RUNS {
        runs.push(timed(|| _ = black_box(run())));
        loops.push(timed(register_loop));
    }
    let fastest = loops.iter().min().expect("there is one").mul_f64(SLACK);
    let (own, shared): (Vec<_>, Vec<_>) =
        runs.iter().enumerate().partition(|(n, _)| loops[*n].max(loops[n + 1]) <= fastest);
    for (what, some) in [("own", own), ("shared", shared)] {
        let mut times: Vec<Duration> = some.into_iter().map(|(_, time)| *time).collect();
        times.sort_unstable();
        if let Some(median) = times.get(times.len() / 2) {
            let speed = simulated_s / median.as_secs_f64();
            println!("a core that is {what}: {} runs, {speed:.0} simulated seconds a second (median)", times.len());
        }
    }
}

fn timed(work: impl Fn()) -> Duration {
    let begun = Instant::now();
    work();
    begun.elapsed()
}

/// Six generators side by side keep all of a core's units busy, and no memory: what a neighbour takes away shows at once.
fn register_loop() {
    let mut chains = [1_u64, 2, 3, 4, 5, 6];
    for _ in 0..ROUNDS {
        for chain in &mut chains {
            *chain ^= *chain << 13;
            *chain ^= *chain >> 7;
            *chain ^= *chain << 17;
        }
    }
    black_box(chains);
}
