//! JSON as Go reads and writes it.
//!
//! Clients of the gateway see Go's own words for what is wrong with their JSON, so it is read here as Go's scanner reads
//! it: a byte that does not fit is named, and where it stood. Numbers keep their text, since what they are depends on
//! the field that they are for.

use std::fmt::Write as _;

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Null,
    Bool(bool),
    /// As it stands in the text.
    Number(String),
    String(String),
    Array(Vec<Value>),
    /// In the text's order; a name may come twice, and then the last counts.
    Object(Vec<(String, Value)>),
}

impl Value {
    /// What Go calls it.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Value::Null => "null",
            Value::Bool(_) => "bool",
            Value::Number(_) => "number",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        }
    }
}

/// The deepest nesting that is read (Go's own limit is higher; no request of etcd is as deep).
const MAX_DEPTH: usize = 1_000;

/// Values one behind the other, as Go's decoder takes them out of a stream.
pub(super) struct Reader<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(text: &'a [u8]) -> Reader<'a> {
        Reader { text, at: 0 }
    }

    /// The next value; `None` where only blanks are left.
    pub(super) fn next(&mut self) -> Result<Option<Value>, String> {
        match self.peek() {
            None => Ok(None),
            Some(_) => self.value(0).map(Some),
        }
    }

    /// A text that is one value and nothing else, as it stands within quotes.
    pub(super) fn whole(text: &str) -> Result<Value, String> {
        let mut reader = Reader::new(text.as_bytes());
        let value = reader.value(0).map_err(|error| match &error[..] {
            "unexpected EOF" => "unexpected end of JSON input".to_owned(),
            _ => error,
        })?;
        match reader.peek() {
            None => Ok(value),
            Some(byte) => Err(invalid(byte, "after top-level value")),
        }
    }

    /// The next byte that is no blank.
    fn peek(&mut self) -> Option<u8> {
        while matches!(self.text.get(self.at), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
        self.text.get(self.at).copied()
    }

    fn next_byte(&mut self) -> Result<u8, String> {
        let byte = self.text.get(self.at).copied().ok_or_else(ended)?;
        self.at += 1;
        Ok(byte)
    }

    fn value(&mut self, depth: usize) -> Result<Value, String> {
        if depth > MAX_DEPTH {
            return Err("exceeded max depth".to_owned());
        }
        match self.peek().ok_or_else(ended)? {
            b'{' => self.object(depth),
            b'[' => self.array(depth),
            b'"' => self.string().map(Value::String),
            b't' => self.literal("true", Value::Bool(true)),
            b'f' => self.literal("false", Value::Bool(false)),
            b'n' => self.literal("null", Value::Null),
            b'-' | b'0'..=b'9' => self.number(),
            byte => Err(invalid(byte, "looking for beginning of value")),
        }
    }

    fn object(&mut self, depth: usize) -> Result<Value, String> {
        self.at += 1;
        let mut fields = Vec::new();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Value::Object(fields));
        }
        loop {
            match self.peek().ok_or_else(ended)? {
                b'"' => {}
                byte => return Err(invalid(byte, "looking for beginning of object key string")),
            }
            let name = self.string()?;
            match self.peek().ok_or_else(ended)? {
                b':' => self.at += 1,
                byte => return Err(invalid(byte, "after object key")),
            }
            fields.push((name, self.value(depth + 1)?));
            match self.peek().ok_or_else(ended)? {
                b',' => self.at += 1,
                b'}' => break self.at += 1,
                byte => return Err(invalid(byte, "after object key:value pair")),
            }
        }
        Ok(Value::Object(fields))
    }

    fn array(&mut self, depth: usize) -> Result<Value, String> {
        self.at += 1;
        let mut elements = Vec::new();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Value::Array(elements));
        }
        loop {
            elements.push(self.value(depth + 1)?);
            match self.peek().ok_or_else(ended)? {
                b',' => self.at += 1,
                b']' => break self.at += 1,
                byte => return Err(invalid(byte, "after array element")),
            }
        }
        Ok(Value::Array(elements))
    }

    fn literal(&mut self, word: &str, value: Value) -> Result<Value, String> {
        for expected in word.bytes() {
            let byte = self.next_byte()?;
            if byte != expected {
                return Err(invalid(byte, &format!("in literal {word} (expecting '{}')", char::from(expected))));
            }
        }
        Ok(value)
    }

    fn number(&mut self) -> Result<Value, String> {
        let start = self.at;
        if self.text[self.at] == b'-' {
            self.at += 1;
        }
        match self.next_byte()? {
            b'0' => {}
            b'1'..=b'9' => self.skip_digits(),
            byte => return Err(invalid(byte, "in numeric literal")),
        }
        if self.text.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.some_digits("after decimal point in numeric literal")?;
        }
        if matches!(self.text.get(self.at), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.text.get(self.at), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.some_digits("in exponent of numeric literal")?;
        }
        Ok(Value::Number(String::from_utf8_lossy(&self.text[start..self.at]).into_owned()))
    }

    fn some_digits(&mut self, place: &str) -> Result<(), String> {
        match self.next_byte()? {
            b'0'..=b'9' => self.skip_digits(),
            byte => return Err(invalid(byte, place)),
        }
        Ok(())
    }

    fn skip_digits(&mut self) {
        while self.text.get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
    }

    fn string(&mut self) -> Result<String, String> {
        self.at += 1;
        let mut bytes = Vec::new();
        loop {
            match self.next_byte()? {
                b'"' => break,
                b'\\' => self.escape(&mut bytes)?,
                byte if byte < 0x20 => return Err(invalid(byte, "in string literal")),
                byte => bytes.push(byte),
            }
        }
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn escape(&mut self, bytes: &mut Vec<u8>) -> Result<(), String> {
        let byte = match self.next_byte()? {
            byte @ (b'"' | b'\\' | b'/') => byte,
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                let mut c = self.unicode()?;
                // Two halves of a character beyond the first 65,536 belong together; a lone one stands for none.
                if (0xd800..0xdc00).contains(&c) && self.text[self.at..].starts_with(b"\\u") {
                    let before = self.at;
                    self.at += 2;
                    match self.unicode()? {
                        low @ 0xdc00..0xe000 => c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00),
                        _ => self.at = before,
                    }
                }
                let c = char::from_u32(c).unwrap_or(char::REPLACEMENT_CHARACTER);
                bytes.extend(c.encode_utf8(&mut [0; 4]).bytes());
                return Ok(());
            }
            byte => return Err(invalid(byte, "in string escape code")),
        };
        bytes.push(byte);
        Ok(())
    }

    fn unicode(&mut self) -> Result<u32, String> {
        let mut code = 0;
        for _ in 0..4 {
            let byte = self.next_byte()?;
            let digit = char::from(byte).to_digit(16);
            code = code * 16 + digit.ok_or_else(|| invalid(byte, "in \\u hexadecimal character escape"))?;
        }
        Ok(code)
    }
}

fn ended() -> String {
    "unexpected EOF".to_owned()
}

fn invalid(byte: u8, place: &str) -> String {
    let named = match byte {
        b'\'' => "'\\''".to_owned(),
        b'"' => "'\"'".to_owned(),
        b'\\' => "'\\\\'".to_owned(),
        b'\n' => "'\\n'".to_owned(),
        b'\r' => "'\\r'".to_owned(),
        b'\t' => "'\\t'".to_owned(),
        0..0x20 | 0x7f => format!("'\\x{byte:02x}'"),
        byte => format!("'{}'", char::from(byte)),
    };
    format!("invalid character {named} {place}")
}

/// A text with its quotes, safe within HTML, as Go writes it.
pub(super) fn quote(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\0'..' ' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                write!(out, "\\u{:04x}", u32::from(c)).expect("invariant: a text takes what is written");
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_said_in_gos_words() {
        for (text, error) in [
            ("{bad", "invalid character 'b' looking for beginning of object key string"),
            ("{\"a\":1,}", "invalid character '}' looking for beginning of object key string"),
            ("{\"a\" \"b\"}", "invalid character '\"' after object key"),
            ("{\"a\":1 \"b\":2}", "invalid character '\"' after object key:value pair"),
            ("{\"a\":tru}", "invalid character '}' in literal true (expecting 'e')"),
            ("{\"a\":\"\\q\"}", "invalid character 'q' in string escape code"),
            ("{\"a\":\"\n\"}", "invalid character '\\n' in string literal"),
            ("[1 2]", "invalid character '2' after array element"),
            ("[-x]", "invalid character 'x' in numeric literal"),
            ("{\"a\":1", "unexpected EOF"),
            ("é", "invalid character 'Ã' looking for beginning of value"),
        ] {
            assert_eq!(Reader::new(text.as_bytes()).next(), Err(error.to_owned()), "{text}");
        }
        assert_eq!(Reader::whole(""), Err("unexpected end of JSON input".to_owned()));
        assert_eq!(Reader::whole("1 2"), Err("invalid character '2' after top-level value".to_owned()));
    }

    #[test]
    fn values_come_one_behind_the_other() {
        let mut reader = Reader::new(b" {\"a\":[null,-1.5e3]} true ");
        let object = Value::Object(vec![("a".into(), Value::Array(vec![Value::Null, Value::Number("-1.5e3".into())]))]);
        assert_eq!([reader.next(), reader.next()], [Ok(Some(object)), Ok(Some(Value::Bool(true)))]);
        assert_eq!(reader.next(), Ok(None));
    }

    #[test]
    fn texts_are_escaped_and_back() {
        let text = "a\"<b>&\u{2028}\n\u{1}é😀";
        let mut quoted = String::new();
        quote(text, &mut quoted);
        assert_eq!(quoted, "\"a\\\"\\u003cb\\u003e\\u0026\\u2028\\n\\u0001é😀\"");
        assert_eq!(Reader::whole(&quoted), Ok(Value::String(text.into())));
        assert_eq!(Reader::whole("\"\\ud83d\\ude00\\ud83d\""), Ok(Value::String("😀\u{fffd}".into())));
    }
}
