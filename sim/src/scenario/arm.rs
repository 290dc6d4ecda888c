//! Arms and swarms: dotted keys that change a file's table before it is read.
//!
//! The values that are put in keep their place in the text, so that an error in `"cluster.profile" = "etcd-9"` points
//! there and not at the `[cluster]` that it would have changed.

use super::error::{Problem, clip};
use std::{borrow::Cow, ops::Range};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// Deepest dotted key; the file itself is nowhere deeper.
const DEEPEST: usize = 12;

/// A dotted key, where it stands, and a value for it.
#[derive(Clone)]
pub(super) struct Setting<'a> {
    pub(super) path: String,
    pub(super) key_span: Range<usize>,
    pub(super) value: Spanned<DeValue<'a>>,
}

impl<'a> Setting<'a> {
    /// Whether a place of the text is in this setting's value or its key.
    pub(super) fn holds(&self, place: &Range<usize>) -> bool {
        let inside = |span: Range<usize>| span.start <= place.start && place.end <= span.end && !place.is_empty();
        inside(self.value.span()) || inside(self.key_span.clone())
    }

    /// Puts the value into a file's table.
    pub(super) fn apply(&self, root: &mut DeTable<'a>) -> Result<(), Problem> {
        if self.path.split('.').count() > DEEPEST {
            return Err(self.problem(format!("no key of a scenario is as deep as \"{}\"", clip(&self.path))));
        }
        if matches!(self.path.split('.').next(), Some("vary" | "swarm")) {
            return Err(self.problem("arms and swarms change everything but arms and swarms"));
        }
        self.put(root, &self.path)
    }

    fn problem(&self, message: impl Into<String>) -> Problem {
        Problem::new(
            self.key_span.clone(),
            message,
            "expected a dotted key such as \"cluster.election\", \"fault.0.for\"",
        )
    }

    fn put(&self, table: &mut DeTable<'a>, path: &str) -> Result<(), Problem> {
        let (key, rest) = split(path);
        if key.is_empty() {
            return Err(self.problem(format!("\"{}\" is not a dotted key", clip(&self.path))));
        }
        let own_key = || Spanned::new(self.key_span.clone(), Cow::Owned(key.to_owned()));
        let Some(rest) = rest else {
            table.insert(own_key(), self.value.clone());
            return Ok(());
        };
        if !table.contains_key(key) {
            if split(rest).0.parse::<usize>().is_ok() {
                return Err(self.problem(format!("there is no [[{}]] to change", clip(key))));
            }
            table.insert(own_key(), Spanned::new(self.key_span.clone(), DeValue::Table(DeTable::new())));
        }
        match table.get_mut(key) {
            Some(value) => self.put_in(value.get_mut(), key, rest),
            None => Ok(()),
        }
    }

    fn put_in(&self, value: &mut DeValue<'a>, name: &str, path: &str) -> Result<(), Problem> {
        match value {
            DeValue::Table(table) => self.put(table, path),
            DeValue::Array(list) => {
                let (index, rest) = split(path);
                let length = list.len();
                let Some(element) = index.parse::<usize>().ok().and_then(|index| list.get_mut(index)) else {
                    let (index, name) = (clip(index), clip(name));
                    return Err(self.problem(format!("\"{index}\" is none of the {length} entries of {name}")));
                };
                match rest {
                    None => *element = self.value.clone(),
                    Some(rest) => self.put_in(element.get_mut(), index, rest)?,
                }
                Ok(())
            }
            _ => Err(self.problem(format!("\"{}\" has no keys of its own", clip(name)))),
        }
    }
}

fn split(path: &str) -> (&str, Option<&str>) {
    path.split_once('.').map_or((path, None), |(key, rest)| (key, Some(rest)))
}

/// The settings of a table: quoted dotted keys (`"cluster.election" = …`) and nested ones (`cluster.election = …`) alike.
pub(super) fn settings<'a>(table: &DeTable<'a>) -> Vec<Setting<'a>> {
    fn gather<'a>(prefix: &str, table: &DeTable<'a>, into: &mut Vec<Setting<'a>>) {
        for (key, value) in table {
            let path = format!("{prefix}{}", key.get_ref());
            match value.get_ref() {
                DeValue::Table(nested) => gather(&format!("{path}."), nested, into),
                _ => into.push(Setting { path, key_span: key.span(), value: value.clone() }),
            }
        }
    }
    let mut found = Vec::new();
    gather("", table, &mut found);
    found
}

/// A dotted key and the values that a seed chooses from.
pub(super) struct Choice<'a> {
    /// One setting a candidate; not empty.
    pub(super) candidates: Vec<Setting<'a>>,
}

/// The choices of `[swarm]`, in the file's order.
pub(super) fn choices<'a>(swarm: &DeTable<'a>) -> Result<Vec<Choice<'a>>, Problem> {
    let choice = |setting: Setting<'a>| match setting.value.get_ref() {
        DeValue::Array(list) if !list.is_empty() => {
            let candidate = |value: &Spanned<DeValue<'a>>| Setting { value: value.clone(), ..setting.clone() };
            Ok(Choice { candidates: list.iter().map(candidate).collect() })
        }
        _ => Err(Problem::new(
            setting.value.span(),
            format!("\"{}\" needs a list of values to choose from", clip(&setting.path)),
            "such as \"cluster.members\" = [3, 5]",
        )),
    };
    settings(swarm).into_iter().map(choice).collect()
}
