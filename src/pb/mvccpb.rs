//! Package `mvccpb` (proto3): a key's state at a revision, and what happened to it.

use bytes::Bytes;
use prost::encoding::{self, DecodeContext, WireType, int64};

/// A key with its value and history, as answered to clients and as stored under its revision.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct KeyValue {
    /// The key.
    #[prost(bytes = "bytes", tag = "1")]
    pub key: Bytes,
    /// Revision of the put that brought it to life.
    #[prost(int64, tag = "2")]
    pub create_revision: i64,
    /// Revision of its last put.
    #[prost(int64, tag = "3")]
    pub mod_revision: i64,
    /// How many puts since it came to life; 0 in a tombstone.
    #[prost(int64, tag = "4")]
    pub version: i64,
    /// The value.
    #[prost(bytes = "bytes", tag = "5")]
    pub value: Bytes,
    /// The lease it hangs on; 0 for none.
    #[prost(int64, tag = "6")]
    pub lease: i64,
}

/// A [`KeyValue`] that borrows its bytes: for whoever looks at millions of records and keeps little of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are those of `KeyValue`")]
pub struct KeyValueRef<'a> {
    pub key: &'a [u8],
    pub create_revision: i64,
    pub mod_revision: i64,
    pub version: i64,
    pub value: &'a [u8],
    pub lease: i64,
}

impl<'a> KeyValueRef<'a> {
    /// Takes what [`KeyValue::decode`](prost::Message::decode) takes, and nothing else.
    pub fn decode(mut bytes: &'a [u8]) -> Option<KeyValueRef<'a>> {
        let mut kv = KeyValueRef::default();
        while !bytes.is_empty() {
            let (tag, wire) = encoding::decode_key(&mut bytes).ok()?;
            let ctx = DecodeContext::default();
            match tag {
                1 => kv.key = borrow(wire, &mut bytes)?,
                2 => int64::merge(wire, &mut kv.create_revision, &mut bytes, ctx).ok()?,
                3 => int64::merge(wire, &mut kv.mod_revision, &mut bytes, ctx).ok()?,
                4 => int64::merge(wire, &mut kv.version, &mut bytes, ctx).ok()?,
                5 => kv.value = borrow(wire, &mut bytes)?,
                6 => int64::merge(wire, &mut kv.lease, &mut bytes, ctx).ok()?,
                _ => encoding::skip_field(wire, tag, &mut bytes, ctx).ok()?,
            }
        }
        Some(kv)
    }
}

fn borrow<'a>(wire: WireType, bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    encoding::check_wire_type(WireType::LengthDelimited, wire).ok()?;
    let length = usize::try_from(encoding::decode_varint(bytes).ok()?).ok()?;
    bytes.split_off(..length)
}

/// What an event was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum EventType {
    /// A put: creation or change.
    Put = 0,
    /// A delete, or the lease's end.
    Delete = 1,
}

/// A change as a watcher sees it.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct Event {
    /// Put or delete.
    #[prost(enumeration = "EventType", tag = "1")]
    pub r#type: i32,
    /// After a put: the key's new state. After a delete: only `key`, and `mod_revision` = the delete's revision.
    #[prost(message, optional, tag = "2")]
    pub kv: Option<KeyValue>,
    /// The state before, if the watcher asked for it and it is not compacted.
    #[prost(message, optional, tag = "3")]
    pub prev_kv: Option<KeyValue>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use prost::Message as _;

    fn borrowed(kv: &KeyValue) -> KeyValueRef<'_> {
        let KeyValue { key, create_revision, mod_revision, version, value, lease } = kv;
        let (create_revision, mod_revision, version, lease) = (*create_revision, *mod_revision, *version, *lease);
        KeyValueRef { key, create_revision, mod_revision, version, value, lease }
    }

    proptest! {
        #[test]
        fn what_is_borrowed_is_what_is_decoded(
            key: Vec<u8>, value: Vec<u8>, numbers: [i64; 4], damage in prop::option::of((any::<prop::sample::Index>(), any::<u8>())),
        ) {
            let [create_revision, mod_revision, version, lease] = numbers;
            let (key, value) = (key.into(), value.into());
            let mut bytes = KeyValue { key, create_revision, mod_revision, version, value, lease }.encode_to_vec();
            if let (Some((at, byte)), false) = (damage, bytes.is_empty()) {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            let decoded = KeyValue::decode(&bytes[..]).ok();
            prop_assert_eq!(KeyValueRef::decode(&bytes), decoded.as_ref().map(borrowed));
        }
    }
}
