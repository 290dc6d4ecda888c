//! The catalogue keeps its word: each bug is caught by its scenario and its check, after as many seeds as it says; with
//! the switch off the same seeds pass.

mod support;

use seedbed::bug::{Bug, BugInfo};
use seedbed_sim::world::Options;
use support::{run, scenario};

#[test]
fn each_bug_is_caught_by_its_check_and_its_scenario_passes_without_it() {
    for bug in Bug::ALL {
        let BugInfo { name, scenario: path, check, seeds_to_find, .. } = bug.info();
        let file = scenario(path);
        let mut found = None;
        for seed in 0..seeds_to_find {
            let with = run(&file, None, seed, &[bug.switch()], Options::default()).report;
            let without = run(&file, None, seed, &[], Options::default()).report;
            assert_eq!(without.exit, 0, "{path}, seed {seed}, bug off: {:?}", without.signature);
            if with.failed_checks.iter().any(|failed| failed == check) {
                assert!(with.exit == 10 || with.exit == 11, "{name}: a caught bug exits as a failure");
                found = found.or(Some(seed + 1));
            }
        }
        assert_eq!(found, Some(seeds_to_find), "{name}: seeds_to_find of the catalogue");
    }
}
