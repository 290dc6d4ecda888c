//! A reader of EDN, Clojure's data notation: as much of it as histories use.
//!
//! nil, booleans, integers, strings, keywords, vectors, lists, sets, maps, comments and discards; whatever else stands
//! there (symbols, floats, characters) is kept as its text, and tags are dropped from what they tag. Every form
//! knows its place, because an error has to.

use super::{Position, Unreadable};
use std::iter::Peekable;
use std::str::Chars;

/// A form and where it starts.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Form {
    pub(super) at: Position,
    pub(super) value: Edn,
}

/// The value of a form.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Edn {
    Nil,
    Int(i64),
    Str(String),
    /// Without its colon.
    Keyword(String),
    /// A vector, a list or a set.
    Sequence(Vec<Form>),
    Map(Vec<(Form, Form)>),
    /// Anything else, as it is written.
    Other(String),
}

impl Form {
    /// The error that something else was expected here.
    pub(super) fn expected(&self, expected: impl Into<String>) -> Unreadable {
        let found = match &self.value {
            Edn::Nil => "nil".to_owned(),
            Edn::Int(int) => int.to_string(),
            Edn::Str(string) => format!("{string:?}"),
            Edn::Keyword(name) => format!(":{name}"),
            Edn::Sequence(_) => "a sequence".to_owned(),
            Edn::Map(_) => "a map".to_owned(),
            Edn::Other(text) => text.clone(),
        };
        Unreadable { at: self.at, expected: expected.into(), found }
    }

    /// The value of a map's keyword; `None` if it is absent.
    pub(super) fn get(&self, keyword: &str) -> Option<&Form> {
        let Edn::Map(entries) = &self.value else { return None };
        entries
            .iter()
            .find(|(key, _)| matches!(&key.value, Edn::Keyword(name) if name == keyword))
            .map(|(_, form)| form)
    }

    pub(super) fn keyword(&self) -> Option<&str> {
        match &self.value {
            Edn::Keyword(name) => Some(name),
            _ => None,
        }
    }

    pub(super) fn int(&self) -> Option<i64> {
        match self.value {
            Edn::Int(int) => Some(int),
            _ => None,
        }
    }
}

/// Deeper nesting is an error, not an overflow of the stack.
const MAX_DEPTH: usize = 64;

/// Reads one form after another.
pub(super) struct Reader<'t> {
    rest: Peekable<Chars<'t>>,
    at: Position,
}

impl<'t> Reader<'t> {
    /// `at` is where `text` stands in its file.
    pub(super) fn new(text: &'t str, at: Position) -> Self {
        Reader { rest: text.chars().peekable(), at }
    }

    /// The next form, or what was expected if the text ends before it.
    pub(super) fn form(&mut self, expected: &str) -> Result<Form, Unreadable> {
        match self.next_form()? {
            Some(form) => Ok(form),
            None => Err(self.unexpected(expected)),
        }
    }

    /// The next form; `None` at the end of the text.
    pub(super) fn next_form(&mut self) -> Result<Option<Form>, Unreadable> {
        self.read(0)
    }

    fn bump(&mut self) -> Option<char> {
        let char = self.rest.next()?;
        if char == '\n' {
            self.at = Position { line: self.at.line + 1, column: 1 };
        } else {
            self.at.column += 1;
        }
        Some(char)
    }

    /// The error that the next character is not `expected`.
    fn unexpected(&mut self, expected: &str) -> Unreadable {
        let found = match self.rest.peek() {
            Some(char) => format!("{char:?}"),
            None => "the end".to_owned(),
        };
        Unreadable { at: self.at, expected: expected.to_owned(), found }
    }

    fn skip_blanks(&mut self) {
        while let Some(&char) = self.rest.peek() {
            if char == ';' {
                while self.rest.peek().is_some_and(|&char| char != '\n') {
                    self.bump();
                }
            } else if !char.is_whitespace() && char != ',' {
                break;
            }
            self.bump();
        }
    }

    fn read(&mut self, depth: usize) -> Result<Option<Form>, Unreadable> {
        if depth > MAX_DEPTH {
            return Err(self.unexpected("at most 64 levels of nesting"));
        }
        loop {
            self.skip_blanks();
            let at = self.at;
            let Some(&char) = self.rest.peek() else { return Ok(None) };
            let value = match char {
                '"' => Edn::Str(self.string()?),
                '[' => Edn::Sequence(self.until(']', depth)?),
                '(' => Edn::Sequence(self.until(')', depth)?),
                '{' => Edn::Map(self.map(depth)?),
                '#' => {
                    self.bump();
                    match self.rest.peek() {
                        Some('{') => Edn::Sequence(self.until('}', depth)?),
                        Some('_') => {
                            self.bump();
                            let Some(_discarded) = self.read(depth + 1)? else {
                                return Err(self.unexpected("a form to discard"));
                            };
                            continue;
                        }
                        _ => {
                            self.token();
                            let Some(tagged) = self.read(depth + 1)? else {
                                return Err(self.unexpected("a form behind its tag"));
                            };
                            tagged.value
                        }
                    }
                }
                // The end of what holds this form, if anything does.
                ']' | ')' | '}' if depth > 0 => return Ok(None),
                ']' | ')' | '}' => return Err(self.unexpected("a form")),
                ':' => {
                    self.bump();
                    Edn::Keyword(self.token())
                }
                _ => match self.token().as_str() {
                    "nil" => Edn::Nil,
                    token => token.parse().map_or_else(|_| Edn::Other(token.to_owned()), Edn::Int),
                },
            };
            return Ok(Some(Form { at, value }));
        }
    }

    /// Up to the next blank or delimiter.
    fn token(&mut self) -> String {
        let mut token = String::new();
        while let Some(&char) = self.rest.peek() {
            // A backslash makes a character of what follows, be it a delimiter.
            if token != "\\" && (char.is_whitespace() || ",;\"[](){}".contains(char)) {
                break;
            }
            token.push(char);
            self.bump();
        }
        token
    }

    /// The forms up to `close`. The next character opens the sequence.
    fn until(&mut self, close: char, depth: usize) -> Result<Vec<Form>, Unreadable> {
        self.bump();
        let mut forms = Vec::new();
        loop {
            self.skip_blanks();
            if self.rest.peek() == Some(&close) {
                self.bump();
                return Ok(forms);
            }
            match self.read(depth + 1)? {
                Some(form) => forms.push(form),
                // A discard may have been the last thing in front of the end.
                None if self.rest.peek() == Some(&close) => {}
                None => return Err(self.unexpected(&format!("{close:?}"))),
            }
        }
    }

    fn map(&mut self, depth: usize) -> Result<Vec<(Form, Form)>, Unreadable> {
        let mut entries = Vec::new();
        let mut forms = self.until('}', depth)?.into_iter();
        while let Some(key) = forms.next() {
            match forms.next() {
                Some(value) => entries.push((key, value)),
                None => return Err(key.expected("a key and a value")),
            }
        }
        Ok(entries)
    }

    fn string(&mut self) -> Result<String, Unreadable> {
        self.bump();
        let mut string = String::new();
        loop {
            match self.rest.peek() {
                None => return Err(self.unexpected("'\"' at the end of a string")),
                Some('"') => {
                    self.bump();
                    return Ok(string);
                }
                Some('\\') => {
                    self.bump();
                    string.push(self.escape()?);
                }
                Some(&char) => {
                    string.push(char);
                    self.bump();
                }
            }
        }
    }

    /// What follows a backslash in a string.
    fn escape(&mut self) -> Result<char, Unreadable> {
        const EXPECTED: &str =
            "an escape: \\\" \\\\ \\n \\t \\r \\b \\f, \\u and four hexadecimal digits, or three octal digits";
        let char = match self.rest.peek() {
            Some('n') => '\n',
            Some('t') => '\t',
            Some('r') => '\r',
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some(&char @ ('"' | '\\' | '/' | '\'')) => char,
            Some('u') => {
                self.bump();
                return self.code(16, 4, EXPECTED);
            }
            Some('0'..='7') => return self.code(8, 3, EXPECTED),
            _ => return Err(self.unexpected(EXPECTED)),
        };
        self.bump();
        Ok(char)
    }

    /// A character by its UTF-16 code; a surrogate pair is written as two escapes.
    fn code(&mut self, radix: u32, digits: usize, expected: &str) -> Result<char, Unreadable> {
        let high = self.digits(radix, digits, expected)?;
        if !(0xd800..0xdc00).contains(&high) {
            return char::from_u32(high).ok_or_else(|| self.unexpected(expected));
        }
        for escape in ['\\', 'u'] {
            if self.rest.peek() != Some(&escape) {
                return Err(self.unexpected("the second half of a surrogate pair"));
            }
            self.bump();
        }
        let low = self.digits(16, 4, expected)?;
        let pair = [high as u16, low as u16];
        char::decode_utf16(pair)
            .next()
            .and_then(Result::ok)
            .ok_or_else(|| self.unexpected("the second half of a surrogate pair"))
    }

    fn digits(&mut self, radix: u32, digits: usize, expected: &str) -> Result<u32, Unreadable> {
        let mut code = 0;
        for _ in 0..digits {
            let Some(digit) = self.rest.peek().and_then(|char| char.to_digit(radix)) else {
                return Err(self.unexpected(expected));
            };
            code = code * radix + digit;
            self.bump();
        }
        Ok(code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Edn>, Unreadable> {
        let mut reader = Reader::new(text, Position { line: 1, column: 1 });
        let mut forms = Vec::new();
        while let Some(form) = reader.next_form()? {
            forms.push(form.value);
        }
        Ok(forms)
    }

    #[test]
    fn forms_are_read() {
        let forms =
            read("nil -12, :timed-out ; a comment\n \"a\\n\\\"\\u00e9\\uD83D\\ude00\\101\" true \\[ 1.5").unwrap();
        assert_eq!(
            forms,
            [
                Edn::Nil,
                Edn::Int(-12),
                Edn::Keyword("timed-out".to_owned()),
                Edn::Str("a\n\"é😀A".to_owned()),
                Edn::Other("true".to_owned()),
                Edn::Other("\\[".to_owned()),
                Edn::Other("1.5".to_owned()),
            ]
        );
    }

    #[test]
    fn nested_forms_discards_and_tags_are_read() {
        let forms = read("{:a [1 #_[2 2] 3 #_4] :b #{(5)}} #inst \"x\"").unwrap();
        let Edn::Map(entries) = &forms[0] else { panic!("{forms:?}") };
        let Edn::Sequence(numbers) = &entries[0].1.value else { panic!("{forms:?}") };
        assert_eq!(numbers.iter().map(|form| form.int().unwrap()).collect::<Vec<_>>(), [1, 3]);
        assert_eq!(forms[1], Edn::Str("x".to_owned()));
    }

    #[test]
    fn errors_say_where_and_what() {
        for (text, line, column, expected) in [
            ("{:a\n  [1 2", 2, 7, "']'"),
            ("{:a}", 1, 2, "a key and a value"),
            ("\"a\\x\"", 1, 4, "an escape"),
            ("\"abc", 1, 5, "end of a string"),
            ("1 ]", 1, 3, "a form"),
            ("\"\\ud83d\"", 1, 8, "surrogate"),
        ] {
            let error = read(text).unwrap_err();
            assert_eq!(error.at, Position { line, column }, "{text}: {error}");
            assert!(error.expected.contains(expected), "{text}: {error}");
        }
        assert!(read(&"[".repeat(100_000)).unwrap_err().expected.contains("nesting"));
    }
}
