//! What a simulated second costs. Timings are for people to read; nothing is asserted.
//!
//! `world/steady` is the figure of the README: 3 members, 10 clients, 100 requests a second together, all checks on, 60
//! simulated seconds a run. Criterion reports virtual seconds as elements, so "elem/s" reads as "simulated seconds per
//! second".

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use seedbed_sim::judge;
use seedbed_sim::scenario::ScenarioFile;
use seedbed_sim::world::Options;
use std::fs;
use std::path::Path;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn scenario(path: &str) -> ScenarioFile {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("sim/ lies in the root");
    let text = fs::read_to_string(root.join(path)).expect("the scenario is there");
    ScenarioFile::parse(path, &text).expect("a shipped scenario is sound")
}

fn runs(c: &mut Criterion) {
    let mut group = c.benchmark_group("world");
    group.sample_size(20);
    for (name, path) in [
        ("steady", "scenarios/chaos/steady.toml"),
        ("nemesis-3", "scenarios/chaos/nemesis-3.toml"),
        ("nemesis-5", "scenarios/chaos/nemesis-5.toml"),
    ] {
        let file = scenario(path);
        let simulated = judge::judge(&file, None, 1, &[], Options::default()).expect("it runs").report.simulated_s;
        group.throughput(Throughput::Elements(simulated as u64));
        let mut seed = 0;
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                seed += 1;
                judge::judge(&file, None, seed, &[], Options::default()).expect("it runs").report.digest
            });
        });
    }
    group.finish();
}

criterion_group!(benches, runs);
criterion_main!(benches);
