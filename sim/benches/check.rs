//! What judging costs: the 50 Jepsen histories of etcd, and the witness over a million operations.
//!
//! `SEEDBED_PEERS` names the folder of the Jepsen histories (`../shared/peers` if it is not set). The peak of memory over the
//! witness, its history included, is printed where the system tells it (Linux).

use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use seedbed_sim::check::foreign::{self, Format};
use seedbed_sim::check::wgl::Found;
use seedbed_sim::check::{Budget, History, Input, Kv, Operation, Outcome, Output, store_search, witness};
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::{env, fs};

fn jepsen(c: &mut Criterion) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let peers = env::var_os("SEEDBED_PEERS").map_or_else(|| root.join("../shared/peers"), PathBuf::from);
    let Ok(folder) = fs::read_dir(peers.join("histories/jepsen")) else {
        println!("skipped: no histories/jepsen in {}", peers.display());
        return;
    };
    let logs: Vec<Vec<u8>> = folder.map(|entry| fs::read(entry.unwrap().path()).unwrap()).collect();
    c.bench_function(&format!("jepsen/{} histories", logs.len()), |b| {
        b.iter(|| {
            for log in &logs {
                black_box(foreign::judge(log, Format::Jepsen, Budget::default()).unwrap());
            }
        });
    });
}

/// A right history: `count` operations by 50 clients on 10,000 keys, each overlapping with about 50 others. A tenth of the
/// writes is unanswered, and one operation in a hundred is lost on its way.
fn history(count: u64) -> History {
    let keys: Vec<Bytes> = (0..10_000).map(|key| Bytes::from(format!("registry/pods/{key:05}"))).collect();
    let mut state: Vec<Option<Kv>> = vec![None; keys.len()];
    let mut revision = 1;
    let mut random = 1_u64;
    // A linear congruential generator (Knuth's MMIX): good enough to scatter, the same everywhere.
    let mut draw = |below: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % below
    };
    let operations = (0..count).map(|number| {
        let at = draw(keys.len() as u64) as usize;
        let (key, slot) = (keys[at].clone(), &mut state[at]);
        let kind = draw(10);
        let value = Bytes::from(format!("value {number}"));
        let old_revision = slot.as_ref().map_or(0, |kv| kv.mod_revision);
        let instant = 1_000_000 + number * 20;
        let client = (number % 50) as u32;
        let asked = |input| Operation {
            client,
            member: (client % 5) as u8,
            call: instant - number * 7919 % 1000,
            input,
            outcome: Outcome::Unknown,
            applied: None,
        };
        if draw(100) == 0 {
            return asked(Input::Put { key, value });
        }
        let mut write = |slot: &mut Option<Kv>, value: &Bytes| {
            revision += 1;
            let (create_revision, version) = slot.as_ref().map_or((revision, 0), |kv| (kv.create_revision, kv.version));
            let value = value.clone();
            *slot = Some(Kv { value, create_revision, mod_revision: revision, version: version + 1 });
        };
        let (input, output) = match kind {
            0..4 => {
                write(slot, &value);
                (Input::Put { key, value }, Output::Put)
            }
            4 => {
                write(slot, &value);
                (Input::Cas { key, expect_mod_revision: old_revision, value }, Output::Cas { succeeded: true })
            }
            5 => {
                let there = slot.take().is_some();
                revision += i64::from(there);
                (Input::Delete { key }, Output::Deleted(u32::from(there)))
            }
            _ => (Input::Get { key }, Output::Get(slot.clone())),
        };
        let applied = input.is_write().then_some(revision);
        let outcome = if applied.is_some() && draw(10) == 0 {
            Outcome::Unknown
        } else {
            Outcome::Ok { ret: instant + draw(1000), revision, output }
        };
        Operation { outcome, applied, ..asked(input) }
    });
    History { operations: operations.collect() }
}

fn million(c: &mut Criterion) {
    let history = history(1_000_000);
    assert_eq!(witness::check(&history), Ok(()));
    if let Some(peak) = peak_kib() {
        println!("witness/1,000,000 operations: peak {} MiB with the history", peak / 1024);
    }
    let mut group = c.benchmark_group("million");
    group.sample_size(10);
    group.bench_function("witness", |b| b.iter(|| witness::check(black_box(&history)).unwrap()));
    group.bench_function("search", |b| {
        b.iter(|| assert_eq!(store_search::search(black_box(&history), Budget::default()), Found::Linearizable));
    });
    // The last value that was read is wrong, so that the search has to go all the way back before it may say no.
    let mut wrong = history;
    let last = wrong.operations.iter_mut().rev().find_map(|operation| match &mut operation.outcome {
        Outcome::Ok { output: Output::Get(Some(kv)), .. } => Some(kv),
        _ => None,
    });
    last.unwrap().version += 1;
    group.bench_function("search refutes", |b| {
        b.iter(|| match store_search::search(black_box(&wrong), Budget::default()) {
            Found::NotLinearizable { stuck } => stuck,
            other => panic!("{other:?}"),
        });
    });
    group.finish();
}

/// The most memory that this process had at once.
fn peak_kib() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

criterion_group!(benches, jepsen, million);
criterion_main!(benches);
