//! The command `seedbed`.
use seedbed_sim::{run, scenario::Scenario, world::Options};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let n: u64 = args.get(1).and_then(|s| s.parse().ok()).unwrap_or(1);
    let mut scenario = Scenario::default();
    scenario.duration = 60_000_000_000;
    scenario.workloads[0].clients = 10;
    for seed in 0..n {
        let ran = run::run(&scenario, seed, Options::default()).unwrap();
        let o = &ran.outcome;
        println!("seed {seed} digest {:016x} events {} records ended {:.3} cpu {:.4} ns/ev {} ops {} failures {:?} panic {:?} alive {:?} applied {} changes {}", o.digest, o.events, o.ended_at as f64/1e9, ran.cpu as f64/1e9, ran.cpu/o.events, o.history.operations.len(), o.failures, o.panic, o.alive_at, o.tally.applied, o.tally.leader_changes.len());
        println!("{:?}", seedbed_sim::check::linearizable::check(&o.history, seedbed_sim::check::Budget::default()));
    }
}
