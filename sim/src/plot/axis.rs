//! Ticks: where an axis has its lines, and what stands there.

use super::Unit;

/// The ticks of an axis from 0: a step that is round in the axis's unit, and as many of them as reach over `most`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ticks {
    pub(super) step: u64,
    pub(super) count: u64,
    unit: Unit,
}

/// No axis has more steps than this.
const STEPS: u64 = 6;

impl Ticks {
    pub(super) fn up_to(most: u64, unit: Unit) -> Ticks {
        let least = most.div_ceil(STEPS).max(1);
        let step = match unit {
            // 1, 2, 4 … 512 of each unit of 1024: every power of two is round.
            Unit::Bytes => least.max(1024).next_power_of_two(),
            Unit::Seconds | Unit::Millis => round_up(least.max(1_000)),
            Unit::Count => round_up(least),
        };
        Ticks { step, count: most.div_ceil(step).max(1), unit }
    }

    /// The axis's last value.
    pub(super) fn end(self) -> u64 {
        self.step * self.count
    }

    /// What stands at tick `n`.
    pub(super) fn label(self, n: u64) -> String {
        let value = self.step * n;
        match self.unit {
            Unit::Seconds => decimal(value, 1_000_000_000, "s"),
            Unit::Millis => decimal(value, 1_000_000, "ms"),
            Unit::Bytes => {
                let (worth, name) = match self.step {
                    0..1_048_576 => (1 << 10, "KiB"),
                    1_048_576..1_073_741_824 => (1 << 20, "MiB"),
                    _ => (1 << 30, "GiB"),
                };
                decimal(value, worth, name)
            }
            Unit::Count => grouped(value),
        }
    }
}

/// The next of 1, 2, 5, 10, 20, 50 …
fn round_up(least: u64) -> u64 {
    let mut power = 1;
    loop {
        if let Some(step) = [1, 2, 5].map(|digit| digit * power).into_iter().find(|step| *step >= least) {
            return step;
        }
        power *= 10;
    }
}

/// A value in units of `worth`, with as many decimals as it needs and at most three.
fn decimal(value: u64, worth: u64, name: &str) -> String {
    let thousandths = (value % worth) * 1_000 / worth;
    let whole = grouped(value / worth);
    if value == 0 {
        return "0".to_owned();
    }
    let text = format!("{whole}.{thousandths:03}");
    format!("{} {name}", text.trim_end_matches('0').trim_end_matches('.'))
}

fn grouped(value: u64) -> String {
    crate::story::words::count(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(most: u64, unit: Unit) -> Vec<String> {
        let ticks = Ticks::up_to(most, unit);
        (0..=ticks.count).map(|n| ticks.label(n)).collect()
    }

    #[test]
    fn ticks_are_round_and_reach_over_the_largest_figure() {
        assert_eq!(labels(20_000_000_000, Unit::Seconds), ["0", "5 s", "10 s", "15 s", "20 s"]);
        assert_eq!(labels(21 << 20, Unit::Bytes), ["0", "4 MiB", "8 MiB", "12 MiB", "16 MiB", "20 MiB", "24 MiB"]);
        assert_eq!(labels(2_500, Unit::Count), ["0", "500", "1,000", "1,500", "2,000", "2,500"]);
        assert_eq!(labels(1_200_000, Unit::Millis), ["0", "0.2 ms", "0.4 ms", "0.6 ms", "0.8 ms", "1 ms", "1.2 ms"]);
        assert_eq!(labels(0, Unit::Count), ["0", "1"]);
        assert_eq!(labels(0, Unit::Bytes), ["0", "1 KiB"]);
    }

    #[test]
    fn no_axis_is_crowded_or_short() {
        for unit in [Unit::Seconds, Unit::Millis, Unit::Bytes, Unit::Count] {
            for most in (0..50).map(|n| 1_u64 << n).flat_map(|n| [n - 1, n, n + 1, n * 3 / 2]) {
                let ticks = Ticks::up_to(most, unit);
                assert!(ticks.end() >= most && ticks.count <= STEPS, "{unit:?} {most}: {ticks:?}");
            }
        }
    }
}
