//! A member's clocks: its own monotonic one, which may run fast or slow, and its wall clock, which may also jump.

use seedbed::time::{Nanos, Now};

const MILLION: i128 = 1_000_000;

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
        let mono = self.mono_base + if self.ppm == 0 { elapsed } else { self.scaled(elapsed) };
        Now { mono, wall: (EPOCH + mono).saturating_add_signed(self.wall_offset) }
    }

    fn scaled(&self, elapsed: Nanos) -> Nanos {
        (i128::from(elapsed) * (MILLION + i128::from(self.ppm)) / MILLION) as Nanos
    }

    /// The first moment of the world at which the monotonic clock shows `mono` or more.
    pub(super) fn world_at(&self, mono: Nanos) -> Nanos {
        let ahead = mono.saturating_sub(self.mono_base);
        if self.ppm == 0 || mono == Nanos::MAX {
            return self.world_base.saturating_add(ahead);
        }
        let rate = MILLION + i128::from(self.ppm);
        let elapsed = (i128::from(ahead) * MILLION + rate - 1) / rate;
        self.world_base + elapsed as Nanos
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_never_early_whatever_the_rate() {
        for ppm in [-400_000, -37, 0, 37, 900_000] {
            let mut clock = MemberClock::new(0, 0);
            clock.set_rate(1_000, ppm);
            for mono in [1_000, 1_001, 123_456_789, 100_000_000_000] {
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
