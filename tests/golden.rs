//! Golden digests: what a seed does today it does tomorrow, in debug (here) and in release (`.ci/run` asks the binary).
//!
//! If one changes, the commit that changes it says why; `SEEDBED_BLESS=1 cargo test -p seedbed-sim --test golden`
//! rewrites the file.

mod support;

use seedbed_sim::judge;
use std::fmt::Write as _;
use std::fs;
use support::{judged, on_all_cores, root, shipped};

const SEEDS: [u64; 2] = [0, 42];

#[test]
fn every_shipped_scenario_has_the_digests_that_are_committed() {
    let digests = on_all_cores(&shipped(), |file| {
        let mut lines = String::new();
        for seed in SEEDS {
            let reports = judged(file, seed).into_iter().map(|judged| judged.report).collect();
            let whole = judge::combine(reports);
            writeln!(lines, "{} {seed} {:016x}", whole.scenario, whole.digest).expect("a string takes anything");
        }
        lines
    });
    let found = String::from("# scenario seed digest (over its arms in order)\n") + &digests.concat();
    let path = root().join("tests/golden/digests.txt");
    if std::env::var_os("SEEDBED_BLESS").is_some() {
        fs::write(&path, &found).expect("the golden file can be written");
    }
    let committed = fs::read_to_string(&path).expect("the golden file is there");
    let differs = found.lines().zip(committed.lines()).find(|(found, committed)| found != committed);
    assert_eq!(differs, None, "(found, committed); rewrite with SEEDBED_BLESS=1 and say in the commit why");
    assert_eq!(found.lines().count(), committed.lines().count());
}
