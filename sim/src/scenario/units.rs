//! Quantities: times, sizes, counts, and ranges of them.
//!
//! Resolved, a time is a `u64` of nanoseconds and a size a number of bytes. In the file a time is a number of seconds
//! (`4.1`) or text with a unit (`"300ms"`), a size a number of bytes or text (`"256 KiB"`), and a range either one
//! quantity or a list of two (`["1s", "3s"]`).

use super::error::clip;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};
use std::{borrow::Cow, fmt, marker::PhantomData};

/// One microsecond, in nanoseconds.
pub(super) const MICROSECOND: u64 = 1_000;
/// One millisecond, in nanoseconds.
pub(super) const MILLISECOND: u64 = 1_000_000;
/// One second, in nanoseconds.
pub(super) const SECOND: u64 = 1_000_000_000;
/// One day, in nanoseconds: no time of a scenario is longer.
const DAY: u64 = 86_400 * SECOND;
/// 1 TiB: no size of a scenario is larger.
const TIB: u64 = 1 << 40;

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

/// Nanoseconds as a person reads them in a message: "20 s".
pub(super) fn in_seconds(nanoseconds: u64) -> String {
    format!("{} s", nanoseconds as f64 / SECOND as f64)
}

/// A kind of quantity that a file writes as a number or as text with a unit.
pub(super) trait Quantity: Copy + PartialOrd + 'static {
    const NAME: &'static str;
    const NOUN: &'static str;
    const EXPECTED: &'static str;
    /// Units of the text form and what each is worth, in the resolved unit.
    const UNITS: &'static [(&'static str, f64)];
    /// What a bare number counts, in the resolved unit.
    const BARE: f64;
    /// The allowed values, in the resolved unit, and how a message calls those outside.
    const LIMITS: (f64, f64);
    const OUTSIDE: &'static str;
    fn from_value(value: f64) -> Self;
}

/// A time from 0 to a day, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub(super) struct Time(pub(super) u64);

/// A time from minus a day to a day, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub(super) struct SignedTime(pub(super) i64);

/// A size in bytes.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub(super) struct Size(pub(super) u64);

/// A plain count.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub(super) struct Count(pub(super) u64);

const TIME_UNITS: &[(&str, f64)] =
    &[("ns", 1.0), ("us", 1e3), ("µs", 1e3), ("ms", 1e6), ("s", 1e9), ("m", 60e9), ("h", 3600e9)];

impl Quantity for Time {
    const NAME: &'static str = "Time";
    const NOUN: &'static str = "a time";
    const EXPECTED: &'static str = "a time: a number of seconds (4.1) or text with a unit (\"300ms\", \"2s\", \"1m\")";
    const UNITS: &'static [(&'static str, f64)] = TIME_UNITS;
    const BARE: f64 = 1e9;
    const LIMITS: (f64, f64) = (0.0, DAY as f64);
    const OUTSIDE: &'static str = "a time is not negative and at most one day";
    fn from_value(value: f64) -> Self {
        Self(value as u64)
    }
}

impl Quantity for SignedTime {
    const NAME: &'static str = "SignedTime";
    const NOUN: &'static str = "a time";
    const EXPECTED: &'static str = "a time, perhaps negative: a number of seconds (-4.1) or text with a unit (\"-5m\")";
    const UNITS: &'static [(&'static str, f64)] = TIME_UNITS;
    const BARE: f64 = 1e9;
    const LIMITS: (f64, f64) = (-(DAY as f64), DAY as f64);
    const OUTSIDE: &'static str = "a time is at most one day, forward or back";
    fn from_value(value: f64) -> Self {
        Self(value as i64)
    }
}

impl Quantity for Size {
    const NAME: &'static str = "Size";
    const NOUN: &'static str = "a size";
    const EXPECTED: &'static str = "a size: a number of bytes or text with a unit (\"512 B\", \"256 KiB\", \"4 MiB\")";
    const UNITS: &'static [(&'static str, f64)] =
        &[("B", 1.0), ("KiB", 1024.0), ("MiB", 1_048_576.0), ("GiB", 1_073_741_824.0)];
    const BARE: f64 = 1.0;
    const LIMITS: (f64, f64) = (0.0, TIB as f64);
    const OUTSIDE: &'static str = "a size is not negative and at most 1 TiB";
    fn from_value(value: f64) -> Self {
        Self(value as u64)
    }
}

impl Quantity for Count {
    const NAME: &'static str = "Count";
    const NOUN: &'static str = "a whole number";
    const EXPECTED: &'static str = "a whole number";
    const UNITS: &'static [(&'static str, f64)] = &[];
    const BARE: f64 = 1.0;
    const LIMITS: (f64, f64) = (0.0, 1e12);
    const OUTSIDE: &'static str = "a count is a whole number from 0 to 10^12";
    fn from_value(value: f64) -> Self {
        Self(value as u64)
    }
}

/// A quantity from its number and the worth of its unit. The error carries its hint after a line break.
fn quantity<Q: Quantity>(number: f64, unit: f64, written: &str) -> Result<Q, String> {
    let value = (number * unit).round();
    let (lo, hi) = Q::LIMITS;
    // Written so that NaN is outside as well. What is counted cannot be halved.
    let whole = !Q::UNITS.is_empty() || number.fract() == 0.0;
    if value >= lo && value <= hi && whole {
        return Ok(Q::from_value(value));
    }
    Err(format!("{}, found {}\nexpected {}", Q::OUTSIDE, clip(written), Q::EXPECTED))
}

/// A quantity from text such as `"300ms"` or `"256 KiB"`.
fn quantity_from_text<Q: Quantity>(text: &str) -> Result<Q, String> {
    let trimmed = text.trim();
    let digits = trimmed.find(|c: char| !(c.is_ascii_digit() || "+-.".contains(c))).unwrap_or(trimmed.len());
    let (number, unit) = (&trimmed[..digits], trimmed[digits..].trim_start());
    let worth = Q::UNITS.iter().find(|(name, _)| *name == unit).map(|(_, worth)| *worth);
    match (number.parse::<f64>(), worth) {
        (Ok(number), Some(worth)) => quantity(number, worth, text),
        _ => Err(format!("\"{}\" is not {}\nexpected {}", clip(&text.replace('\n', " ")), Q::NOUN, Q::EXPECTED)),
    }
}

/// Visits one quantity.
struct One<Q>(PhantomData<Q>);

impl<Q: Quantity> de::Visitor<'_> for One<Q> {
    type Value = Q;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Q::EXPECTED)
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Q, E> {
        self.visit_f64(number as f64)
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Q, E> {
        self.visit_f64(number as f64)
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Q, E> {
        quantity(number, Q::BARE, &number.to_string()).map_err(E::custom)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Q, E> {
        quantity_from_text(text).map_err(E::custom)
    }
}

/// A range as the file writes it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ends<Q> {
    pub(super) lo: Q,
    pub(super) hi: Q,
}

impl Ends<Time> {
    pub(super) fn range(self) -> Range64 {
        Range64::new(self.lo.0, self.hi.0)
    }
}

impl Ends<Count> {
    pub(super) fn range(self) -> Range64 {
        Range64::new(self.lo.0, self.hi.0)
    }
}

/// Visits one quantity or a list of two.
struct OneOrTwo<Q>(PhantomData<Q>);

impl<'de, Q: Quantity + Deserialize<'de>> de::Visitor<'de> for OneOrTwo<Q> {
    type Value = Ends<Q>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; or a list of two, the least and the most", Q::EXPECTED)
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Ends<Q>, E> {
        One(PhantomData).visit_i64(number).map(|q| Ends { lo: q, hi: q })
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Ends<Q>, E> {
        One(PhantomData).visit_u64(number).map(|q| Ends { lo: q, hi: q })
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Ends<Q>, E> {
        One(PhantomData).visit_f64(number).map(|q| Ends { lo: q, hi: q })
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Ends<Q>, E> {
        One(PhantomData).visit_str(text).map(|q| Ends { lo: q, hi: q })
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut list: A) -> Result<Ends<Q>, A::Error> {
        let two = "a range is a list of two: the least and the most\nsuch as [1, 3]";
        let lo: Q = list.next_element()?.ok_or_else(|| de::Error::custom(two))?;
        let hi: Q = list.next_element()?.ok_or_else(|| de::Error::custom(two))?;
        if list.next_element::<de::IgnoredAny>()?.is_some() {
            return Err(de::Error::custom(two));
        }
        if lo > hi {
            return Err(de::Error::custom("this range begins after its end\nthe least comes first, then the most"));
        }
        Ok(Ends { lo, hi })
    }
}

macro_rules! deserialize_quantity {
    ($($q:ident: $schema:tt;)+) => {$(
        impl<'de> Deserialize<'de> for $q {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any(One(PhantomData))
            }
        }

        impl JsonSchema for $q {
            fn schema_name() -> Cow<'static, str> {
                <$q as Quantity>::NAME.into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    )+};
}

deserialize_quantity! {
    Time: {
        "description": "A number of seconds, or text with a unit: 4.1, \"300ms\", \"150us\", \"2s\", \"1m\".",
        "type": ["number", "string"], "minimum": 0, "maximum": 86400,
        "pattern": "^ *[0-9]*[.]?[0-9]+ *(ns|us|µs|ms|s|m|h) *$"
    };
    SignedTime: {
        "description": "A number of seconds, or text with a unit; may be negative: -4.1, \"-5m\".",
        "type": ["number", "string"], "minimum": -86400, "maximum": 86400,
        "pattern": "^ *[+-]?[0-9]*[.]?[0-9]+ *(ns|us|µs|ms|s|m|h) *$"
    };
    Size: {
        "description": "A number of bytes, or text with a unit: 4096, \"256 KiB\", \"4 MiB\".",
        "type": ["integer", "string"], "minimum": 0,
        "pattern": "^ *[0-9]*[.]?[0-9]+ *(B|KiB|MiB|GiB) *$"
    };
    Count: { "type": "integer", "minimum": 0 };
}

impl<'de, Q: Quantity + Deserialize<'de>> Deserialize<'de> for Ends<Q> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OneOrTwo(PhantomData))
    }
}

impl<Q: Quantity + JsonSchema> JsonSchema for Ends<Q> {
    fn schema_name() -> Cow<'static, str> {
        format!("{}Range", Q::NAME).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let one = generator.subschema_for::<Q>();
        json_schema!({
            "description": "One value, or the least and the most of a range that is drawn from uniformly.",
            "anyOf": [one, { "type": "array", "items": one, "minItems": 2, "maxItems": 2 }]
        })
    }
}
