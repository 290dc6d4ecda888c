//! Words with something inside: members (`n2`), targets, bug switches (`name@n2`), comparisons (`>= 1`).

use super::{
    BugSwitch, Comparison, Endpoints, Revision, Target,
    cluster::bug_names,
    error::{clip, unknown},
    expect::{CAUSES, CHECKS},
    vocabulary::{Text, word},
};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use seedbed::bug::Bug;
use serde::{Deserialize, Deserializer, de};
use std::{borrow::Cow, fmt};

/// A member, `n1` to `n9`. Whether the cluster has it is another question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Member(pub(super) u8);

/// The number in `n2`.
fn member_number(text: &str) -> Option<u8> {
    let number: u8 = text.strip_prefix('n')?.parse().ok()?;
    // One spelling only: "n02" and "n+2" are not members.
    (number >= 1 && text == format!("n{number}")).then_some(number)
}

const MEMBER_PATTERN: &str = "^n[1-9]$";

impl<'de> Deserialize<'de> for Member {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        word(deserializer, "member", &["n1", "n2", "…"], |text| member_number(text).map(Member))
    }
}

/// Words that a target can be, besides a member's name.
const TARGETS: &[(&str, Target)] = &[
    ("leader", Target::Leader),
    ("follower", Target::Follower),
    ("followers", Target::Followers),
    ("random", Target::Random),
    ("all", Target::All),
    ("minority", Target::Minority),
    ("majority", Target::Majority),
];

impl<'de> Deserialize<'de> for Target {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut known = vec!["n1", "n2"];
        known.extend(TARGETS.iter().map(|(name, _)| name));
        word(deserializer, "target", &known, |text| {
            let named = TARGETS.iter().find(|(name, _)| *name == text).map(|(_, target)| *target);
            named.or_else(|| member_number(text).map(Target::Member))
        })
    }
}

impl<'de> Deserialize<'de> for Endpoints {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        word(deserializer, "endpoint", &["all", "n1", "n2"], |text| match text {
            "all" => Some(Endpoints::All),
            _ => member_number(text).map(Endpoints::Member),
        })
    }
}

/// A bug switch from `name` or `name@n2`, as `--bug` takes it. The error is a message and a hint on one line.
pub fn parse_bug_switch(text: &str) -> Result<BugSwitch, String> {
    bug_switch(text).map_err(|(message, hint)| format!("{message}: {hint}"))
}

fn bug_switch(text: &str) -> Result<BugSwitch, (String, String)> {
    let (name, member) = match text.split_once('@') {
        None => (text, None),
        Some((name, member)) => {
            let number = member_number(member).ok_or_else(|| {
                (format!("\"{}\" is not a member", clip(member)), "expected \"name\" or \"name@n2\"".to_owned())
            })?;
            (name, Some(number))
        }
    };
    let bug = Bug::from_name(name).ok_or_else(|| unknown("bug", name, &bug_names()))?;
    Ok(BugSwitch { bug, member })
}

/// A [`BugSwitch`] in a file.
#[derive(Clone, Copy, Debug)]
pub(super) struct BugText(pub(super) BugSwitch);

impl<'de> Deserialize<'de> for BugText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expected = "a bug: \"name\" or \"name@n2\"".to_owned();
        deserializer.deserialize_any(Text { expected, find: bug_switch }).map(BugText)
    }
}

/// One of [`CAUSES`].
#[derive(Clone, Debug)]
pub(super) struct CauseText(pub(super) String);

impl<'de> Deserialize<'de> for CauseText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        word(deserializer, "cause", CAUSES, |text| CAUSES.contains(&text).then(|| Self(text.to_owned())))
    }
}

/// One of [`CHECKS`].
#[derive(Clone, Debug)]
pub(super) struct CheckText(pub(super) String);

impl<'de> Deserialize<'de> for CheckText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        word(deserializer, "check", CHECKS, |text| CHECKS.contains(&text).then(|| Self(text.to_owned())))
    }
}

/// A comparison from `">= 1"`, `"<= 3"`, `"> 1"`, `"< 2.5"`, `"= 0"` or `"1..3"`.
fn comparison(text: &str) -> Option<Comparison> {
    let number = |text: &str| text.trim().parse::<f64>().ok().filter(|x| x.is_finite());
    // The longer signs first: ">= 1" begins with ">" too.
    type Make = fn(f64) -> Comparison;
    let signs: [(&str, Make); 6] = [
        (">=", Comparison::AtLeast),
        ("<=", Comparison::AtMost),
        ("==", Comparison::Equal),
        (">", Comparison::MoreThan),
        ("<", Comparison::LessThan),
        ("=", Comparison::Equal),
    ];
    let text = text.trim();
    if let Some((rest, compare)) = signs.iter().find_map(|(sign, make)| Some((text.strip_prefix(sign)?, make))) {
        return number(rest).map(compare);
    }
    let (lo, hi) = text.split_once("..")?;
    let (lo, hi) = (number(lo)?, number(hi)?);
    (lo <= hi).then_some(Comparison::Between(lo, hi))
}

struct ComparisonVisitor;

impl de::Visitor<'_> for ComparisonVisitor {
    type Value = Comparison;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a comparison such as \">= 1\", \"<= 3\", \"= 0\", \"< 2.5\" or \"1..3\"")
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Comparison, E> {
        Ok(Comparison::Equal(number as f64))
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Comparison, E> {
        if number.is_finite() {
            return Ok(Comparison::Equal(number));
        }
        Err(E::custom("a figure is compared with a finite number"))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Comparison, E> {
        comparison(text).ok_or_else(|| {
            let text = clip(&text.replace('\n', " "));
            E::custom(format!(
                "\"{text}\" is not a comparison\nexpected such as \">= 1\", \"<= 3\", \"= 0\", \"< 2.5\" or \"1..3\""
            ))
        })
    }
}

impl<'de> Deserialize<'de> for Comparison {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ComparisonVisitor)
    }
}

/// A revision from `head`, `head-100` or `17`.
fn revision(text: &str) -> Option<Revision> {
    match text.trim().strip_prefix("head") {
        Some("") => Some(Revision::BeforeHead(0)),
        Some(rest) => rest.strip_prefix('-')?.parse().ok().map(Revision::BeforeHead),
        None => text.trim().parse().ok().filter(|number| *number > 0).map(Revision::Number),
    }
}

struct RevisionVisitor;

impl de::Visitor<'_> for RevisionVisitor {
    type Value = Revision;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a revision such as \"head\", \"head-100\" or 17")
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Revision, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Revision, E> {
        revision(text).ok_or_else(|| {
            let text = clip(&text.replace('\n', " "));
            E::custom(format!("\"{text}\" is not a revision\nexpected such as \"head\", \"head-100\" or 17"))
        })
    }
}

impl<'de> Deserialize<'de> for Revision {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RevisionVisitor)
    }
}

macro_rules! schema {
    ($($type:ty, $name:literal, $make:expr;)+) => {$(
        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                $name.into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                $make
            }
        }
    )+};
}

schema! {
    Member, "Member", json_schema!({
        "description": "A member: n1, n2, …", "type": "string", "pattern": MEMBER_PATTERN
    });
    Target, "Target", json_schema!({
        "description": "A member (n1, n2, …), or who is drawn when the time comes.",
        "anyOf": [
            { "type": "string", "enum": TARGETS.iter().map(|(name, _)| *name).collect::<Vec<_>>() },
            { "type": "string", "pattern": MEMBER_PATTERN },
        ]
    });
    Endpoints, "Endpoints", json_schema!({
        "description": "all, or one member: n1, n2, …", "type": "string", "pattern": "^(all|n[1-9])$"
    });
    BugText, "BugSwitch", json_schema!({
        "description": "A bug in every member, or in one: name, name@n2.",
        "type": "string", "pattern": format!("^({})(@n[1-9])?$", bug_names().join("|"))
    });
    Revision, "Revision", json_schema!({
        "description": "A revision: the asked member's newest (head), so many before it (head-100), or a number.",
        "type": ["integer", "string"], "minimum": 1, "pattern": "^ *(head(-[0-9]{1,9})?|[1-9][0-9]{0,17}) *$"
    });
    CauseText, "Cause", json_schema!({ "type": "string", "enum": CAUSES });
    CheckText, "CheckName", json_schema!({ "type": "string", "enum": CHECKS });
    Comparison, "Comparison", json_schema!({
        "description": "A number to be equal to, or a comparison: \">= 1\", \"<= 3\", \"= 0\", \"< 2.5\", \"1..3\".",
        "type": ["number", "string"],
        "pattern": r"^ *((>=|<=|==|>|<|=) *-?[0-9.]+|-?[0-9.]+ *\.\. *-?[0-9.]+) *$"
    });
}
