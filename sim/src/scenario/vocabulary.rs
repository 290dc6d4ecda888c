//! Closed lists of words: an enum, its names in a scenario file, and the way back.

use super::error;
use serde::{Deserializer, de};
use std::fmt;

/// Declares an enum whose variants are words of a scenario file, with `ALL`, `NAMES`, `name`, `from_name`, `Display`,
/// `Deserialize` (an unknown word suggests the nearest one) and a JSON schema.
macro_rules! vocabulary {
    ($(#[$meta:meta])* $vis:vis enum $name:ident($what:literal) {
        $($(#[$vmeta:meta])* $variant:ident = $word:literal,)+
    }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        $vis enum $name {
            $($(#[$vmeta])* $variant,)+
        }

        impl $name {
            /// Every word, in the order of the documentation.
            $vis const ALL: &'static [$name] = &[$($name::$variant),+];

            /// Every word as a scenario file spells it.
            $vis const NAMES: &'static [&'static str] = &[$($word),+];

            /// The word as a scenario file spells it.
            $vis fn name(self) -> &'static str {
                Self::NAMES[self as usize]
            }

            /// The variant that a word stands for.
            $vis fn from_name(word: &str) -> Option<Self> {
                Self::NAMES.iter().position(|name| *name == word).map(|at| Self::ALL[at])
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.name())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $crate::scenario::vocabulary::word(deserializer, $what, Self::NAMES, Self::from_name)
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "enum": Self::NAMES })
            }
        }
    };
}
pub(crate) use vocabulary;

/// Reads a string that `find` must know. The error carries its hint after a line break (see `Problem::from_toml`).
pub(crate) fn word<'de, D: Deserializer<'de>, T>(
    deserializer: D,
    what: &'static str,
    known: &[&str],
    find: impl FnOnce(&str) -> Option<T>,
) -> Result<T, D::Error> {
    let find = |word: &str| find(word).ok_or_else(|| error::unknown(what, word, known));
    let expected = format!("a {what} (one of: {})", known.join(", "));
    deserializer.deserialize_any(Text { expected, find })
}

/// Visits a string that `find` has to understand. The error arises inside the visit, so that it gets the place of the
/// string and not of the list around it.
pub(super) struct Text<F> {
    pub(super) expected: String,
    /// Gives the value, or a message and a hint.
    pub(super) find: F,
}

impl<T, F: FnOnce(&str) -> Result<T, (String, String)>> de::Visitor<'_> for Text<F> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.expected)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        (self.find)(text).map_err(|(message, hint)| E::custom(format!("{}\n{hint}", message.replace('\n', " "))))
    }
}
