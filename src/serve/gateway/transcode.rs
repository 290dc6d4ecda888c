//! Messages between JSON and protobuf's bytes, by tables of their fields.
//!
//! ```text
//!   {"key":"YQ==","limit":"1"}  ──RANGE_REQUEST──▶  0a 01 61 18 01
//! ```
//!
//! The rules are those of Go's jsonpb, which etcd's gateway uses: bytes are base64, 64-bit integers are written as texts and
//! read as either, enums go by name, zeros are silent, and fields are called as in the `.proto` files, or in camel case.
//! A field that is not known is passed over. So are fields of an answer: what the tables lack stays out.

use super::json::{Reader, Value, quote};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use prost::encoding::{WireType, decode_key, decode_varint, encode_key, encode_varint};
use std::fmt::Write as _;

/// A message: its fields, in the order in which they are written.
pub(super) struct Message {
    pub(super) fields: &'static [Field],
}

/// A field.
pub(super) struct Field {
    number: u32,
    name: &'static str,
    kind: Kind,
    repeated: bool,
}

/// What a field holds.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Bool,
    Int64,
    Uint64,
    Uint32,
    Text,
    Bytes,
    Enum(&'static Enum),
    Message(&'static Message),
}

/// An enum: its name in Go, and its values from 0 on.
pub(super) struct Enum {
    pub(super) name: &'static str,
    pub(super) values: &'static [&'static str],
}

/// A field with one value.
pub(super) const fn one(number: u32, name: &'static str, kind: Kind) -> Field {
    Field { number, name, kind, repeated: false }
}

/// A field with a list.
pub(super) const fn many(number: u32, name: &'static str, kind: Kind) -> Field {
    Field { number, name, kind, repeated: true }
}

/// A message's bytes. An error is worded as Go words it.
pub(super) fn to_wire(message: &Message, value: &Value) -> Result<Vec<u8>, String> {
    let mut wire = Vec::new();
    let object = match value {
        Value::Object(object) => object,
        Value::Null => return Ok(wire),
        other => return Err(cannot(other, "map[string]json.RawMessage")),
    };
    for field in message.fields {
        let camel = camel(field.name);
        let said = |name: &str| object.iter().rev().find(|(said, _)| said == name);
        match said(&camel).or_else(|| said(field.name)) {
            None | Some((_, Value::Null)) => {}
            Some((_, Value::Array(values))) if field.repeated => {
                values.iter().try_for_each(|value| field_to_wire(field, value, &mut wire))?;
            }
            Some((_, other)) if field.repeated => return Err(cannot(other, "[]json.RawMessage")),
            Some((_, value)) => field_to_wire(field, value, &mut wire)?,
        }
    }
    Ok(wire)
}

fn field_to_wire(field: &Field, value: &Value, wire: &mut Vec<u8>) -> Result<(), String> {
    let mut bytes = |bytes: &[u8]| {
        encode_key(field.number, WireType::LengthDelimited, wire);
        encode_varint(bytes.len() as u64, wire);
        wire.extend_from_slice(bytes);
        Ok(())
    };
    let number = match (field.kind, value) {
        (Kind::Message(message), value) => return bytes(&to_wire(message, value)?),
        (Kind::Text, Value::String(text)) => return bytes(text.as_bytes()),
        (Kind::Text, other) => return Err(cannot(other, "string")),
        (Kind::Bytes, Value::String(text)) => return bytes(&unbase64(text)?),
        (Kind::Bytes, other) => return Err(cannot(other, "[]uint8")),
        (Kind::Bool, Value::Bool(value)) => u64::from(*value),
        (Kind::Bool, other) => return Err(cannot(other, "bool")),
        (Kind::Enum(of), value) => enum_number(of, value)?,
        (Kind::Int64, value) => number::<i64>(value, "int64")? as u64,
        (Kind::Uint64, value) => number(value, "uint64")?,
        (Kind::Uint32, value) => number::<u32>(value, "uint32")?.into(),
    };
    encode_key(field.number, WireType::Varint, wire);
    encode_varint(number, wire);
    Ok(())
}

/// A number, or a text with one in it.
fn number<N: std::str::FromStr + Default>(value: &Value, kind: &str) -> Result<N, String> {
    match value {
        Value::String(text) => match Reader::whole(text)? {
            Value::Null => Ok(N::default()),
            inner @ Value::String(_) => Err(cannot(&inner, kind)),
            inner => number(&inner, kind),
        },
        Value::Number(text) => {
            text.parse().map_err(|_| format!("json: cannot unmarshal number {text} into Go value of type {kind}"))
        }
        other => Err(cannot(other, kind)),
    }
}

fn enum_number(of: &Enum, value: &Value) -> Result<u64, String> {
    match value {
        Value::String(name) => {
            let number = of.values.iter().position(|known| known == name);
            let number = number.ok_or_else(|| format!("unknown value {name:?} for enum {}", of.name))?;
            Ok(number as u64)
        }
        Value::Number(_) => Ok(i64::from(number::<i32>(value, of.name)?) as u64),
        other => Err(cannot(other, of.name)),
    }
}

fn cannot(value: &Value, kind: &str) -> String {
    format!("json: cannot unmarshal {} into Go value of type {kind}", value.kind())
}

/// Go passes over line ends, and names the place of what it does not like.
fn unbase64(text: &str) -> Result<Vec<u8>, String> {
    let text: String = text.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
    STANDARD.decode(&text).map_err(|_| {
        let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/';
        let ends = text.trim_end_matches('=').len();
        let wrong = text[..ends].bytes().position(|byte| !is_base64(byte));
        // Else it is the last group that is not whole.
        let wrong = wrong.unwrap_or_else(|| if text.len().is_multiple_of(4) { ends } else { text.len() / 4 * 4 });
        format!("illegal base64 data at input byte {wrong}")
    })
}

/// `range_end` → `rangeEnd`.
fn camel(name: &str) -> String {
    let mut words = name.split('_');
    let mut camel = words.next().unwrap_or_default().to_owned();
    for word in words {
        camel.push_str(&word[..1].to_uppercase());
        camel.push_str(&word[1..]);
    }
    camel
}

/// Writes a message's JSON. `None`: its bytes are no such message.
pub(super) fn to_json(message: &Message, mut wire: &[u8], out: &mut String) -> Option<()> {
    let mut values: Vec<Vec<Raw<'_>>> = message.fields.iter().map(|_| Vec::new()).collect();
    while !wire.is_empty() {
        let (number, kind) = decode_key(&mut wire).ok()?;
        let raw = Raw::read(kind, &mut wire)?;
        if let Some(place) = message.fields.iter().position(|field| field.number == number) {
            values[place].push(raw);
        }
    }
    out.push('{');
    let mut first = true;
    for (field, values) in message.fields.iter().zip(values) {
        let Some(last) = values.last() else { continue };
        if !std::mem::take(&mut first) {
            out.push(',');
        }
        quote(field.name, out);
        out.push(':');
        if !field.repeated {
            field_to_json(field.kind, last, out)?;
            continue;
        }
        for (n, value) in values.iter().enumerate() {
            out.push(if n == 0 { '[' } else { ',' });
            field_to_json(field.kind, value, out)?;
        }
        out.push(']');
    }
    out.push('}');
    Some(())
}

/// A field's value on the wire; no message of etcd has others.
enum Raw<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

impl<'a> Raw<'a> {
    fn read(kind: WireType, wire: &mut &'a [u8]) -> Option<Raw<'a>> {
        match kind {
            WireType::Varint => decode_varint(wire).ok().map(Raw::Number),
            WireType::LengthDelimited => {
                let len = decode_varint(wire).ok()?;
                wire.split_off(..usize::try_from(len).ok()?).map(Raw::Bytes)
            }
            _ => None,
        }
    }
}

fn field_to_json(kind: Kind, raw: &Raw<'_>, out: &mut String) -> Option<()> {
    let written = match (kind, raw) {
        (Kind::Message(message), Raw::Bytes(wire)) => return to_json(message, wire, out),
        (Kind::Text, Raw::Bytes(text)) => {
            quote(&String::from_utf8_lossy(text), out);
            Ok(())
        }
        (Kind::Bytes, Raw::Bytes(bytes)) => write!(out, "\"{}\"", STANDARD.encode(bytes)),
        (Kind::Bool, Raw::Number(value)) => write!(out, "{}", *value != 0),
        (Kind::Int64, Raw::Number(value)) => write!(out, "\"{}\"", *value as i64),
        (Kind::Uint64, Raw::Number(value)) => write!(out, "\"{value}\""),
        (Kind::Uint32, Raw::Number(value)) => write!(out, "{value}"),
        (Kind::Enum(of), Raw::Number(value)) => match of.values.get(*value as usize) {
            Some(name) => write!(out, "\"{name}\""),
            None => write!(out, "{}", *value as i32),
        },
        _ => return None,
    };
    written.expect("invariant: a text takes what is written");
    Some(())
}

#[cfg(test)]
mod tests {
    use super::super::messages::{COMPARE, RANGE_REQUEST, TXN_REQUEST, WATCH_RESPONSE};
    use super::*;
    use crate::pb::etcdserverpb::compare::TargetUnion;
    use crate::pb::etcdserverpb::{Compare, RangeRequest, TxnRequest, WatchResponse};
    use crate::pb::mvccpb::{Event, KeyValue};
    use prost::Message as _;

    fn wire(message: &Message, json: &str) -> Result<Vec<u8>, String> {
        to_wire(message, &Reader::whole(json).expect("JSON"))
    }

    #[test]
    fn requests_are_read_by_either_name() {
        let expected =
            RangeRequest { key: "a".into(), range_end: "b".into(), limit: -3, sort_order: 2, ..Default::default() };
        for json in [
            r#"{"key":"YQ==","range_end":"Yg==","limit":"-3","sort_order":"DESCEND"}"#,
            r#"{"sortOrder":2,"rangeEnd":"Yg==","unknown":{},"key":"YQ==","limit":-3,"revision":null}"#,
        ] {
            assert_eq!(
                RangeRequest::decode(&wire(&RANGE_REQUEST, json).expect(json)[..]),
                Ok(expected.clone()),
                "{json}"
            );
        }
        let json = r#"{"value":"","target":"VALUE"}"#;
        let compare = Compare::decode(&wire(&COMPARE, json).expect(json)[..]).expect("a compare");
        assert_eq!(compare.target_union, Some(TargetUnion::Value("".into())), "what was said is there, be it empty");
        let json = r#"{"success":[{"request_txn":{"failure":[{"requestPut":{"key":"YQ=="}}]}}]}"#;
        let txn = TxnRequest::decode(&wire(&TXN_REQUEST, json).expect(json)[..]).expect("a transaction");
        assert_eq!(txn.success.len(), 1);
    }

    #[test]
    fn what_is_wrong_is_said_in_gos_words() {
        for (json, error) in [
            (r#"{"key":5}"#, "json: cannot unmarshal number into Go value of type []uint8"),
            (r#"{"key":"YQ"}"#, "illegal base64 data at input byte 0"),
            (r#"{"key":"foo!"}"#, "illegal base64 data at input byte 3"),
            (r#"{"limit":1.5}"#, "json: cannot unmarshal number 1.5 into Go value of type int64"),
            (r#"{"limit":"x"}"#, "invalid character 'x' looking for beginning of value"),
            (r#"{"limit":""}"#, "unexpected end of JSON input"),
            (r#"{"serializable":1}"#, "json: cannot unmarshal number into Go value of type bool"),
            (r#"{"sort_order":"2"}"#, r#"unknown value "2" for enum etcdserverpb.RangeRequest_SortOrder"#),
            (r#"[]"#, "json: cannot unmarshal array into Go value of type map[string]json.RawMessage"),
        ] {
            assert_eq!(wire(&RANGE_REQUEST, json), Err(error.to_owned()), "{json}");
        }
        let error = "json: cannot unmarshal object into Go value of type []json.RawMessage";
        assert_eq!(wire(&TXN_REQUEST, r#"{"compare":{}}"#), Err(error.to_owned()));
    }

    #[test]
    fn answers_leave_out_zeros_and_name_enums() {
        let kv = KeyValue { key: "a".into(), mod_revision: 5, ..Default::default() };
        let event = |r#type, kv| Event { r#type, kv: Some(kv), prev_kv: None };
        let events = vec![event(0, kv), event(1, KeyValue::default())];
        let response = WatchResponse { watch_id: -1, created: true, events, ..Default::default() };
        let mut json = String::new();
        to_json(&WATCH_RESPONSE, &response.encode_to_vec(), &mut json).expect("a message");
        let events = r#"[{"kv":{"key":"YQ==","mod_revision":"5"}},{"type":"DELETE","kv":{}}]"#;
        assert_eq!(json, format!(r#"{{"watch_id":"-1","created":true,"events":{events}}}"#));
    }
}
