//! What is wrong with a scenario file, where, and what to do about it.

use std::{fmt, ops::Range};

/// The longest piece of a source line that is shown, in characters.
const SHOWN_CHARS: usize = 110;

/// An error in a scenario file. [`fmt::Display`] shows it as a person wants to see it, over several lines and without a
/// line break at the end; the caller puts `error: ` before it:
///
/// ```text
/// scenarios/mine.toml:14:8: unknown fault kind "particion"
///    14 | kind = "particion"
///       |        ^^^^^^^^^^^ did you mean "partition"? known: crash, pause, partition, …
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ScenarioError {
    /// The file, as the caller called it.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// What is wrong, on one line.
    pub message: String,
    /// What would be right; may be empty.
    pub hint: String,
    excerpt: Box<Excerpt>,
}

/// The line of the file, or the piece of a long one that matters, and which characters of it are marked.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Excerpt {
    text: String,
    marked: Range<usize>,
}

impl fmt::Display for ScenarioError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, column, message, hint, excerpt } = self;
        let Excerpt { text, marked } = excerpt.as_ref();
        writeln!(f, "{file}:{line}:{column}: {message}")?;
        writeln!(f, "{line:>5} | {text}")?;
        write!(f, "      | ")?;
        // A tab is as wide above as below.
        for c in text.chars().take(marked.start) {
            f.write_str(if c == '\t' { "\t" } else { " " })?;
        }
        f.write_str(&"^".repeat(marked.len().max(1)))?;
        if hint.is_empty() { Ok(()) } else { write!(f, " {hint}") }
    }
}

/// An error that does not know its file yet: a byte range of the text, a message and a hint.
#[derive(Clone, Debug)]
pub(super) struct Problem {
    pub(super) span: Range<usize>,
    pub(super) message: String,
    pub(super) hint: String,
    /// Another place that the message is about, named by its line.
    pub(super) elsewhere: Option<usize>,
}

impl Problem {
    pub(super) fn new(span: Range<usize>, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { span, message: message.into(), hint: hint.into(), elsewhere: None }
    }

    /// An error of the TOML parser or of a `Deserialize`. Those of our own types carry their hint after a line break.
    pub(super) fn from_toml(error: &toml::de::Error) -> Self {
        let span = error.span().unwrap_or(0..0);
        let text = error.message();
        if let Some((message, hint)) = text.split_once('\n') {
            return Self::new(span, message, hint);
        }
        if let Some(rest) = text.strip_prefix("unknown field `") {
            // serde: "unknown field `x`, expected one of `a`, `b`", with the key's span.
            let mut quoted = rest.split('`').step_by(2);
            let key = quoted.next().unwrap_or_default();
            let known: Vec<&str> = quoted.collect();
            let (message, hint) = unknown("key", key, &known);
            return Self::new(span, message, hint);
        }
        if let Some(rest) = text.strip_prefix("invalid type: ").or_else(|| text.strip_prefix("invalid value: "))
            && let Some((found, expected)) = rest.split_once(", expected ")
        {
            let expected = match expected {
                "a sequence" => "a list",
                "a map" => "a table",
                other => other,
            };
            return Self::new(span, format!("expected {expected}, found {found}"), "");
        }
        Self::new(span, one_line(text), "")
    }

    /// With the file: line, column and the line to show.
    pub(super) fn in_file(self, file: &str, text: &str) -> ScenarioError {
        let start = floor_boundary(text, self.span.start);
        let line_start = text[..start].rfind('\n').map_or(0, |at| at + 1);
        let line_text = text[line_start..].split('\n').next().unwrap_or_default();
        let line_text = line_text.strip_suffix('\r').unwrap_or(line_text);
        let line_end = line_start + line_text.len();
        let end = floor_boundary(text, self.span.end.clamp(start, line_end.max(start)));

        let line_of = |at: usize| text[..floor_boundary(text, at)].matches('\n').count() + 1;
        let aside = self.elsewhere.map(|at| format!(" (line {})", line_of(at))).unwrap_or_default();
        let column = text[line_start..start].chars().count();
        let width = text[start..end.max(start)].chars().count();
        ScenarioError {
            file: file.to_owned(),
            line: line_of(start),
            column: column + 1,
            message: one_line(&self.message) + &aside,
            hint: one_line(&self.hint),
            excerpt: Box::new(excerpt(line_text, column, width)),
        }
    }
}

/// The part of a line that is shown when `width` characters from `column` on are marked.
fn excerpt(line: &str, column: usize, width: usize) -> Excerpt {
    let visible = |c: char| if c.is_control() && c != '\t' { '\u{fffd}' } else { c };
    let chars = line.chars().count();
    if chars <= SHOWN_CHARS {
        return Excerpt { text: line.chars().map(visible).collect(), marked: column..column + width };
    }
    let first = column.saturating_sub(SHOWN_CHARS / 2).min(chars - SHOWN_CHARS);
    let mut text = String::new();
    if first > 0 {
        text.push('…');
    }
    text.extend(line.chars().skip(first).take(SHOWN_CHARS).map(visible));
    if first + SHOWN_CHARS < chars {
        text.push('…');
    }
    let start = column - first + usize::from(first > 0);
    let width = width.min((first + SHOWN_CHARS).saturating_sub(column));
    Excerpt { text, marked: start..start + width }
}

/// The next character boundary at or before `at`.
fn floor_boundary(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// Text without line breaks and other control characters.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Message and hint for a word that is not one of `known`.
pub(super) fn unknown(what: &str, word: &str, known: &[&str]) -> (String, String) {
    let message = format!("unknown {what} \"{}\"", clip(word));
    let hint = match nearest(word, known) {
        None => format!("known: {}", known.join(", ")),
        Some(near) => {
            // With a suggestion, the first few of a long list do.
            let few = if known.len() > 12 { &known[..8] } else { known };
            let more = if few.len() < known.len() { ", …" } else { "" };
            format!("did you mean \"{near}\"? known: {}{more}", few.join(", "))
        }
    };
    (message, hint)
}

/// The known word that was probably meant, if there is one.
fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let word: String = word.chars().take(64).map(|c| if c == '_' { '-' } else { c.to_ascii_lowercase() }).collect();
    let distance = |known: &str| strsim::damerau_levenshtein(&word, &known.replace('_', "-"));
    let (near, distance) = known.iter().map(|known| (*known, distance(known))).min_by_key(|(_, distance)| *distance)?;
    if distance <= (near.chars().count() / 3).max(1) {
        return Some(near);
    }
    // Or its beginning, if only one word begins so.
    let mut begun = known.iter().filter(|known| word.len() >= 3 && known.replace('_', "-").starts_with(&word));
    begun.next().filter(|_| begun.next().is_none()).copied()
}

/// A word of the file as a message quotes it.
pub(super) fn clip(word: &str) -> String {
    if word.chars().count() <= 40 { word.to_owned() } else { word.chars().take(39).chain(['…']).collect() }
}
