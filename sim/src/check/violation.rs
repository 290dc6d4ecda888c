//! What a checker says when a history is wrong.

use super::history::History;
use std::fmt;

/// The rule that a history breaks. Failures of many seeds are grouped by its [name](Rule::name).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// A linearizable read (or failed compare, or empty delete) is older than something finished before it was asked.
    StaleRead,
    /// A write took its place before something that had finished when the write was asked.
    ReorderedWrite,
    /// A finished write is missing from a later answer.
    LostWrite,
    /// An answer holds a value that nobody wrote there.
    WrongValue,
    /// A value's `create_revision`, `mod_revision` or `version` is not what its writes make it.
    WrongVersion,
    /// A delete's count does not fit the key's presence.
    WrongCount,
    /// A compare-and-swap came out against its comparison.
    WrongCompare,
    /// The kind of an answer does not fit its request.
    WrongAnswer,
    /// The revision in an answer's header is not the store's.
    WrongRevision,
    /// Two writes have the same revision.
    RevisionTwice,
    /// A revision was seen that no write made.
    RevisionGap,
    /// A write was acknowledged, but the world saw no member apply it at its revision.
    AcknowledgedNotApplied,
    /// A request was reported as certainly not executed, but the world saw it applied.
    FailedButApplied,
    /// A serializable read shows a revision before anybody asked for the write that made it.
    FromTheFuture,
    /// A serializable read is older than what its member, not restarted since, had already answered.
    MemberWentBack,
}

impl Rule {
    /// A few words, the same for every failure of the kind.
    pub fn name(self) -> &'static str {
        match self {
            Rule::StaleRead => "stale read",
            Rule::ReorderedWrite => "reordered write",
            Rule::LostWrite => "lost write",
            Rule::WrongValue => "wrong value",
            Rule::WrongVersion => "wrong version",
            Rule::WrongCount => "wrong delete count",
            Rule::WrongCompare => "wrong compare",
            Rule::WrongAnswer => "wrong kind of answer",
            Rule::WrongRevision => "wrong header revision",
            Rule::RevisionTwice => "revision used twice",
            Rule::RevisionGap => "revision without a write",
            Rule::AcknowledgedNotApplied => "acknowledged but not applied",
            Rule::FailedButApplied => "failed but applied",
            Rule::FromTheFuture => "read from the future",
            Rule::MemberWentBack => "member went back",
        }
    }
}

/// A broken rule, the operations that show it, and one sentence for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which rule.
    pub rule: Rule,
    /// Indices into [`History::operations`]: usually two, in the order to tell them; the last is the one at fault.
    pub operations: Vec<usize>,
    /// What is wrong with the last one: "older than a finished write".
    pub sentence: String,
}

impl Violation {
    /// `other` is left out when there is none.
    pub(super) fn new(rule: Rule, other: Option<u32>, at_fault: u32, sentence: impl Into<String>) -> Self {
        let operations = other.into_iter().chain([at_fault]).map(|index| index as usize).collect();
        Violation { rule, operations, sentence: sentence.into() }
    }

    /// The lines of a story: an operation each, and what is wrong behind the last. `history` is the judged one.
    pub fn lines(&self, history: &History) -> Vec<String> {
        let mut lines: Vec<String> =
            self.operations.iter().map(|&index| history.operations[index].to_string()).collect();
        if let Some(last) = lines.last_mut() {
            last.push_str("   ← ");
            last.push_str(&self.sentence);
        }
        lines
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.rule.name(), self.sentence)
    }
}
