//! A member's clocks: its own monotonic one, which may run fast or slow, and its wall clock, which may also jump.

use seedbed::time::{Nanos, Now};

const MILLION: u64 = 1_000_000;

/// The wall time at which every run begins, in nanoseconds since 1970: 2024-01-01T00:00:00Z.
pub(super) const EPOCH: Nanos = 1_704_067_200_000_000_000;

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct MemberClock {
    /// The rate last changed at this moment of the world …
    world_base: Nanos,
    /// … when the monotonic clock showed this.
    mono_base: Nanos,
    /// Parts in a million that it runs fast (or slow, if negative).
    ppm: i32,
    /// What the wall clock is ahead of the monotonic one, beside [`EPOCH`].
    wall_offset: i64,
}

impl MemberClock {
    pub(super) fn new(ppm: i32, wall_offset: i64) -> MemberClock {
        MemberClock { world_base: 0, mono_base: 0, ppm, wall_offset }
    }

    /// What the member's clocks show at a moment of the world.
    pub(super) fn now(&self, world: Nanos) -> Now {
        let elapsed = world - self.world_base;
        let mono = self.mono_base + ratio(elapsed, self.millionths(), MILLION, 0);
        Now { mono, wall: (EPOCH + mono).saturating_add_signed(self.wall_offset) }
    }

    /// How far it runs in a millionth of a second of the world, in millionths of one.
    fn millionths(&self) -> u64 {
        MILLION.checked_add_signed(self.ppm.into()).expect("invariant: no clock runs backwards")
    }

    /// The first moment of the world at which the monotonic clock shows `mono` or more.
    pub(super) fn world_at(&self, mono: Nanos) -> Nanos {
        let ahead = mono.saturating_sub(self.mono_base);
        if mono == Nanos::MAX {
            return Nanos::MAX;
        }
        let rate = self.millionths();
        self.world_base + ratio(ahead, MILLION, rate, rate - 1)
    }

    /// Changes the rate from now on.
    pub(super) fn set_rate(&mut self, world: Nanos, ppm: i32) {
        self.mono_base = self.now(world).mono;
        self.world_base = world;
        self.ppm = ppm;
    }

    pub(super) fn rate(&self) -> i32 {
        self.ppm
    }

    /// Moves the wall clock by so many nanoseconds.
    pub(super) fn jump(&mut self, by: i64) {
        self.wall_offset += by;
    }
}

/// `value * times / over`, with `more` added before the division. Nearly always it fits into 64 bits, which are divided in
/// a tenth of the time.
fn ratio(value: u64, times: u64, over: u64, more: u64) -> u64 {
    match value.checked_mul(times).and_then(|product| product.checked_add(more)) {
        Some(dividend) => dividend / over,
        None => ((u128::from(value) * u128::from(times) + u128::from(more)) / u128::from(over)) as u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_never_early_whatever_the_rate() {
        for ppm in [-400_000, -37, 0, 37, 900_000] {
            let mut clock = MemberClock::new(0, 0);
            clock.set_rate(1_000, ppm);
            for mono in [1_000, 1_001, 123_456_789, 100_000_000_000, 100_000_000_000_000] {
                let at = clock.world_at(mono);
                assert!(clock.now(at).mono >= mono, "{ppm} ppm, {mono}");
                assert!(at == 1_000 || clock.now(at - 1).mono < mono, "{ppm} ppm, {mono}: not the first moment");
            }
        }
    }

    #[test]
    fn a_jump_moves_the_wall_clock_alone() {
        let mut clock = MemberClock::new(50, 7);
        let before = clock.now(1_000_000);
        clock.jump(-3_600_000_000_000);
        let after = clock.now(1_000_000);
        assert_eq!(before.mono, after.mono);
        assert_eq!(before.wall - after.wall, 3_600_000_000_000);
    }
}
