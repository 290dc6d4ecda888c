//! Values that remember where they stand in the file, and whole numbers with limits.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};
use std::{borrow::Cow, fmt, ops::Range};
use toml::Spanned;

/// A value and its byte range in the file: [`Spanned`], with a JSON schema (that of the value).
#[derive(Clone, Debug)]
pub(super) struct At<T>(Spanned<T>);

impl<T> At<T> {
    pub(super) fn span(&self) -> Range<usize> {
        self.0.span()
    }

    pub(super) fn get(&self) -> &T {
        self.0.get_ref()
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for At<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Spanned::deserialize(deserializer).map(At)
    }
}

impl<T: JsonSchema> JsonSchema for At<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> Cow<'static, str> {
        T::schema_id()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

/// A whole number from `LO` to `HI`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Whole<const LO: i64, const HI: i64>(i64);

impl<const LO: i64, const HI: i64> Whole<LO, HI> {
    /// The number, in a type that holds every number from `LO` to `HI`.
    pub(super) fn to<T: TryFrom<i64>>(self) -> T
    where
        T::Error: fmt::Debug,
    {
        T::try_from(self.0).expect("the limits in the file's type fit the resolved type")
    }
}

impl<'de, const LO: i64, const HI: i64> Deserialize<'de> for Whole<LO, HI> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WholeVisitor::<LO, HI>)
    }
}

impl<const LO: i64, const HI: i64> JsonSchema for Whole<LO, HI> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("Whole{LO}To{HI}").into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": LO, "maximum": HI })
    }
}

struct WholeVisitor<const LO: i64, const HI: i64>;

impl<const LO: i64, const HI: i64> de::Visitor<'_> for WholeVisitor<LO, HI> {
    type Value = Whole<LO, HI>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a whole number from {LO} to {HI}")
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Whole<LO, HI>, E> {
        if (LO..=HI).contains(&number) {
            return Ok(Whole(number));
        }
        Err(E::custom(format_args!("expected a whole number from {LO} to {HI}, found {number}\n")))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Whole<LO, HI>, E> {
        self.visit_i64(i64::try_from(number).unwrap_or(i64::MAX))
    }
}
