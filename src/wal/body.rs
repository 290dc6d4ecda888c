//! What records carry: entries, states and snapshot marks as bytes and back.
//!
//! Written and read by hand rather than through `crate::pb`, which has the same messages: writing must not copy an
//! entry's payload twice, and reading must be strict (see [`Fields`]).

use super::error::Damage;
use super::record::{Fields, RecordType, encode};
use crate::pb::walpb;
use crate::raft::{Entry, EntryKind, HardState};
use bytes::{BufMut as _, Bytes, BytesMut};
use prost::encoding::encode_varint;

/// The longest head of an entry: four keys, three full varints and a length.
const HEAD_BYTES: usize = 4 + 4 * 10;

/// Appends an entry record.
pub(super) fn encode_entry(entry: &Entry, crc: &mut u32, out: &mut BytesMut) {
    let mut head = [0; HEAD_BYTES];
    let mut rest = &mut head[..];
    let kind: i32 = entry.kind.into();
    put_numbers([(0x08, kind as u64), (0x10, entry.term), (0x18, entry.index)], &mut rest);
    if !entry.data.is_empty() {
        rest.put_u8(0x22);
        encode_varint(entry.data.len() as u64, &mut rest);
    }
    let used = HEAD_BYTES - rest.len();
    encode(RecordType::Entry, [&head[..used], &entry.data], crc, out);
}

/// Appends a state record.
pub(super) fn encode_state(state: &HardState, crc: &mut u32, out: &mut BytesMut) {
    let mut data = [0; 3 * 11];
    let mut rest = &mut data[..];
    put_numbers([(0x08, state.term), (0x10, state.vote), (0x18, state.commit)], &mut rest);
    let used = 3 * 11 - rest.len();
    encode(RecordType::State, [&data[..used], &[]], crc, out);
}

/// Appends a snapshot record.
pub(super) fn encode_snapshot(mark: walpb::Snapshot, crc: &mut u32, out: &mut BytesMut) {
    encode(RecordType::Snapshot, [&prost::Message::encode_to_vec(&mark), &[]], crc, out);
}

/// Fields that are numbers, by their keys.
fn put_numbers(fields: [(u8, u64); 3], rest: &mut &mut [u8]) {
    for (key, value) in fields {
        rest.put_u8(key);
        encode_varint(value, rest);
    }
}

/// Appends a crc record: it has no data, so it stores the value so far.
pub(super) fn encode_crc(crc: &mut u32, out: &mut BytesMut) {
    encode(RecordType::Crc, [&[], &[]], crc, out);
}

/// Reads an entry record's data. The payload is copied out: shared, it would keep its whole segment in memory.
pub(super) fn decode_entry(data: &[u8]) -> Result<Entry, Damage> {
    let mut fields =
        Fields { rest: data, damage: Damage::Content { expected: "a raftpb.Entry (type, term, index, data)" } };
    let kind = fields.varint(0x08)?;
    let kind = EntryKind::try_from(i32::try_from(kind).map_err(|_| fields.malformed())?)?;
    let term = fields.varint(0x10)?;
    let index = fields.varint(0x18)?;
    let data = if fields.rest.is_empty() { &[][..] } else { fields.bytes(0x22)? };
    fields.end()?;
    // A change of nothing (joint consensus leaves its middle so) exists, a change of one member without one does not:
    // it is a state record whose type has turned.
    if term == 0 || index == 0 || (kind == EntryKind::ConfChange && data.is_empty()) {
        return Err(fields.malformed());
    }
    Ok(Entry { kind, term, index, data: Bytes::copy_from_slice(data) })
}

/// Reads a state record's data.
pub(super) fn decode_state(data: &[u8]) -> Result<HardState, Damage> {
    let mut fields =
        Fields { rest: data, damage: Damage::Content { expected: "a raftpb.HardState (term, vote, commit)" } };
    let state = HardState { term: fields.varint(0x08)?, vote: fields.varint(0x10)?, commit: fields.varint(0x18)? };
    fields.end()?;
    // Nothing is voted or committed in term 0: this is an empty entry whose type has turned.
    if state.term == 0 && state != HardState::default() {
        return Err(fields.malformed());
    }
    Ok(state)
}

/// Reads a snapshot record's data. A configuration (etcd 3.5) is skipped.
pub(super) fn decode_snapshot(data: &[u8]) -> Result<walpb::Snapshot, Damage> {
    let mut fields = Fields { rest: data, damage: Damage::Content { expected: "a walpb.Snapshot (index, term)" } };
    let mark = walpb::Snapshot { index: fields.varint(0x08)?, term: fields.varint(0x10)? };
    if !fields.rest.is_empty() {
        fields.bytes(0x1a)?;
    }
    fields.end()?;
    Ok(mark)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pb::raftpb;
    use crate::wal::record::decode;
    use proptest::prelude::*;
    use prost::Message as _;

    fn any_entry() -> impl Strategy<Value = Entry> {
        let kind = prop_oneof![Just(EntryKind::Normal), Just(EntryKind::ConfChange), Just(EntryKind::ConfChangeV2)];
        let data = prop::collection::vec(any::<u8>(), 1..300);
        (kind, 1..u64::MAX, 1..u64::MAX, data).prop_map(|(kind, term, index, data)| Entry {
            kind,
            term,
            index,
            data: data.into(),
        })
    }

    proptest! {
        #[test]
        fn entries_are_written_as_prost_writes_them(entry in any_entry()) {
            let (mut out, mut crc) = (BytesMut::new(), 0);
            encode_entry(&entry, &mut crc, &mut out);
            let record = decode(&out, 0).unwrap().unwrap();
            prop_assert_eq!(record.data, &raftpb::Entry::from(&entry).encode_to_vec()[..]);
            prop_assert_eq!(decode_entry(record.data), Ok(entry));
        }

        #[test]
        fn states_round_trip(term in 1..u64::MAX, vote: u64, commit: u64) {
            let state = HardState { term, vote, commit };
            let (mut out, mut crc) = (BytesMut::new(), 9);
            encode_state(&state, &mut crc, &mut out);
            prop_assert_eq!(decode_state(decode(&out, 0).unwrap().unwrap().data), Ok(state));
        }

        #[test]
        fn snapshot_marks_round_trip_and_skip_a_configuration(index: u64, term: u64) {
            let mark = walpb::Snapshot { index, term };
            let mut data = mark.encode_to_vec();
            prop_assert_eq!(decode_snapshot(&data), Ok(mark));
            data.extend([0x1a, 2, 0x28, 0]);
            prop_assert_eq!(decode_snapshot(&data), Ok(mark));
            data.push(0);
            prop_assert!(decode_snapshot(&data).is_err());
        }
    }

    /// The CRC does not cover the type: what one type writes, another must not read.
    #[test]
    fn one_kind_of_data_is_not_read_as_another() {
        let vote = 0xb71f_7532_0dc0_6a6c;
        let empty_entry = Entry { kind: EntryKind::Normal, term: 3, index: 7, data: Bytes::new() };
        let empty_entry = raftpb::Entry::from(&empty_entry).encode_to_vec();
        let state = raftpb::HardState { term: 1, vote, commit: 5 }.encode_to_vec();
        let mark = walpb::Snapshot { index: 5, term: 1 }.encode_to_vec();
        assert!(decode_entry(&empty_entry).is_ok() && decode_state(&state).is_ok() && decode_snapshot(&mark).is_ok());
        assert!(decode_state(&empty_entry).is_err() && decode_snapshot(&empty_entry).is_err());
        assert!(decode_entry(&state).is_err() && decode_snapshot(&state).is_err());
        assert!(decode_entry(&mark).is_err() && decode_state(&mark).is_err());
        assert!(decode_entry(&[]).is_err() && decode_state(&[]).is_err() && decode_snapshot(&[]).is_err());
    }
}
