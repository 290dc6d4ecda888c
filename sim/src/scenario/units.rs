//! Times and ranges. A resolved time is a `u64` of nanoseconds.

/// One microsecond, in nanoseconds.
pub(super) const MICROSECOND: u64 = 1_000;
/// One millisecond, in nanoseconds.
pub(super) const MILLISECOND: u64 = 1_000_000;
/// One second, in nanoseconds.
pub(super) const SECOND: u64 = 1_000_000_000;

/// A range of numbers or times, both ends included, drawn from uniformly. `lo <= hi`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Range64 {
    /// The smallest value.
    pub lo: u64,
    /// The largest value.
    pub hi: u64,
}

impl Range64 {
    /// A range of one value.
    pub const fn exactly(value: u64) -> Self {
        Self { lo: value, hi: value }
    }

    /// The range from `lo` to `hi`, both included.
    pub const fn new(lo: u64, hi: u64) -> Self {
        assert!(lo <= hi, "a range begins at its smaller end");
        Self { lo, hi }
    }
}

/// As [`Range64`], in 32 bits: a size in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Range32 {
    /// The smallest value.
    pub lo: u32,
    /// The largest value.
    pub hi: u32,
}

impl Range32 {
    /// The range from `lo` to `hi`, both included.
    pub const fn new(lo: u32, hi: u32) -> Self {
        assert!(lo <= hi, "a range begins at its smaller end");
        Self { lo, hi }
    }
}
