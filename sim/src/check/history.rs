//! What clients saw: the history that the checkers judge.
//!
//! A history is a list of operations, each an interval from the moment a client asked to the moment it was answered.
//! It is written down while the world runs and judged afterwards, so it must be small: a history of a million
//! operations has to fit, with everything a checker needs on top, into a gibibyte. Keys and values are [`Bytes`],
//! shared with the messages that carried them; an [`Operation`] is 192 bytes, whatever it does.
//!
//! Semantics are etcd's (lesson 5): the empty store is at revision 1; a put makes the next revision; a key's
//! `create_revision`, `mod_revision` and `version` start over when it is deleted and put again; deleting an absent key
//! and a failed compare make no revision.

use bytes::Bytes;
use std::fmt::{self, Write};

/// Everything the clients of one run did, in any order. An index into `operations` is how verdicts name an operation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// The operations. At most `u32::MAX` of them.
    pub operations: Vec<Operation>,
}

/// One request of one client, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// The client that asked.
    pub client: u32,
    /// Index of the member asked last; an `Ok` outcome came from it.
    pub member: u8,
    /// When it was first asked, virtual nanoseconds.
    pub call: u64,
    /// What was asked.
    pub input: Input,
    /// What was answered.
    pub outcome: Outcome,
    /// The store's revision right after the world saw the request applied, if it was: the world knows it even when the
    /// client never learnt. `None` for reads, and for what was never applied.
    pub applied: Option<i64>,
}

/// What a client asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// Write `value` under `key`.
    Put {
        /// The key.
        key: Bytes,
        /// Its new value.
        value: Bytes,
    },
    /// A linearizable read of one key.
    Get {
        /// The key.
        key: Bytes,
    },
    /// A serializable read of one key: answered from the asked member's own state, however old it is.
    GetSerializable {
        /// The key.
        key: Bytes,
    },
    /// Delete one key.
    Delete {
        /// The key.
        key: Bytes,
    },
    /// Write `value` if the key's `mod_revision` is the expected one.
    Cas {
        /// The key.
        key: Bytes,
        /// The expected `mod_revision`; 0 means that the key must be absent.
        expect_mod_revision: i64,
        /// Its new value, if the comparison holds.
        value: Bytes,
    },
    /// A linearizable range over every key that starts with `prefix` (the empty prefix: over all keys).
    List {
        /// The prefix.
        prefix: Bytes,
    },
}

/// What became of a request, as its client knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was answered.
    Ok {
        /// When the answer arrived, virtual nanoseconds.
        ret: u64,
        /// `header.revision` of the answer.
        revision: i64,
        /// The answer.
        output: Output,
    },
    /// It was certainly not executed.
    Failed,
    /// It may have been executed, or may yet be.
    Unknown,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// To a put.
    Put,
    /// To either get: the key's state, or `None` if it is absent.
    Get(Option<Kv>),
    /// To a delete: how many keys it deleted (0 or 1).
    Deleted(u32),
    /// To a compare-and-swap.
    Cas {
        /// Whether the comparison held.
        succeeded: bool,
    },
    /// To a list: the keys that are present, in ascending order.
    List(Vec<(Bytes, Kv)>),
}

/// A key's state, as etcd's `mvccpb.KeyValue` has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kv {
    /// The value.
    pub value: Bytes,
    /// The revision that created the key (anew, after a delete).
    pub create_revision: i64,
    /// The revision of the last put.
    pub mod_revision: i64,
    /// The number of puts since it was created.
    pub version: i64,
}

// A million operations must leave room for the checkers' own tables.
const _: () = assert!(size_of::<Operation>() <= 192);

impl Input {
    /// The one key that is asked about; `None` for a list.
    pub fn key(&self) -> Option<&Bytes> {
        match self {
            Input::Put { key, .. }
            | Input::Get { key }
            | Input::GetSerializable { key }
            | Input::Delete { key }
            | Input::Cas { key, .. } => Some(key),
            Input::List { .. } => None,
        }
    }

    /// Whether it can change the store.
    pub fn is_write(&self) -> bool {
        matches!(self, Input::Put { .. } | Input::Delete { .. } | Input::Cas { .. })
    }

    /// What it would write, if it writes a value.
    pub fn value(&self) -> Option<&Bytes> {
        match self {
            Input::Put { value, .. } | Input::Cas { value, .. } => Some(value),
            _ => None,
        }
    }
}

impl Operation {
    /// When the answer arrived, if one did.
    pub fn ret(&self) -> Option<u64> {
        match self.outcome {
            Outcome::Ok { ret, .. } => Some(ret),
            Outcome::Failed | Outcome::Unknown => None,
        }
    }

    /// The revision in the answer's header, if an answer came.
    pub fn revision(&self) -> Option<i64> {
        match self.outcome {
            Outcome::Ok { revision, .. } => Some(revision),
            Outcome::Failed | Outcome::Unknown => None,
        }
    }

    /// Whether the answer says that the operation made a revision of its own.
    pub fn made_revision(&self) -> bool {
        matches!(
            self.outcome,
            Outcome::Ok { output: Output::Put | Output::Deleted(1..) | Output::Cas { succeeded: true }, .. }
        )
    }

    /// One word for the request: `put`, `get`, `get (serializable)`, `delete`, `cas`, `list`.
    pub fn verb(&self) -> &'static str {
        match self.input {
            Input::Put { .. } => "put",
            Input::Get { .. } => "get",
            Input::GetSerializable { .. } => "get (serializable)",
            Input::Delete { .. } => "delete",
            Input::Cas { .. } => "cas",
            Input::List { .. } => "list",
        }
    }
}

/// One line for a story: `client 3  put  k7 = "v81"  8.112 → 8.140  ok, revision 812`. Times in seconds.
impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "client {}  {}  ", self.client, self.verb())?;
        match &self.input {
            Input::Put { key, value } => write!(f, "{} = {}", Text(key), Quoted(value))?,
            Input::Get { key } | Input::GetSerializable { key } | Input::Delete { key } => write!(f, "{}", Text(key))?,
            Input::Cas { key, expect_mod_revision, value } => {
                write!(f, "{} = {} if mod_revision = {expect_mod_revision}", Text(key), Quoted(value))?;
            }
            Input::List { prefix } => write!(f, "{}*", Text(prefix))?,
        }
        write!(f, "  {} → ", Seconds(self.call))?;
        let (ret, revision, output) = match &self.outcome {
            Outcome::Ok { ret, revision, output } => (*ret, *revision, output),
            Outcome::Failed => return f.write_str("failed"),
            Outcome::Unknown => {
                f.write_str("unknown")?;
                return match self.applied {
                    Some(revision) => write!(f, ", applied at revision {revision}"),
                    None => Ok(()),
                };
            }
        };
        write!(f, "{}  ", Seconds(ret))?;
        match output {
            Output::Put => f.write_str("ok")?,
            Output::Get(None) => f.write_str("absent")?,
            Output::Get(Some(kv)) => {
                write!(f, "{} (mod_revision {}, version {})", Quoted(&kv.value), kv.mod_revision, kv.version)?;
            }
            Output::Deleted(count) => write!(f, "{count} deleted")?,
            Output::Cas { succeeded } => f.write_str(if *succeeded { "succeeded" } else { "not equal" })?,
            Output::List(entries) if entries.len() == 1 => f.write_str("1 key")?,
            Output::List(entries) => write!(f, "{} keys", entries.len())?,
        }
        write!(f, ", revision {revision}")
    }
}

/// Bytes as text, escaped where they are not printable ASCII.
pub(super) struct Text<'a>(pub(super) &'a [u8]);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

/// A value in quotes, cut after 32 bytes: a story has one line for an operation.
struct Quoted<'a>(&'a [u8]);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN_BYTES: usize = 32;
        let shown = &self.0[..self.0.len().min(SHOWN_BYTES)];
        write!(f, "\"{}", Text(shown))?;
        f.write_str(if shown.len() < self.0.len() { "…" } else { "" })?;
        f.write_char('"')
    }
}

/// Nanoseconds as seconds with three decimals.
struct Seconds(u64);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0 / 1_000_000;
        write!(f, "{}.{:03}", millis / 1000, millis % 1000)
    }
}
