//! Time, as it is handed to a member.

/// A span or a point of monotonic time, in nanoseconds.
pub type Nanos = u64;

/// A millisecond.
pub const MILLISECOND: Nanos = 1_000_000;
/// A second.
pub const SECOND: Nanos = 1_000_000_000;

/// The two clocks at the moment of a step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Now {
    /// The monotonic clock, from an arbitrary start: for every timer.
    pub mono: Nanos,
    /// The wall clock, since 1970: for request ids and log lines, never for a timer, since it jumps.
    pub wall: Nanos,
}
