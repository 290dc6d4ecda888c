//! Frames and records: the bytes of [the log](super), one record at a time.

use super::error::Damage;
use bytes::{BufMut as _, BytesMut};
use prost::encoding::{encode_varint, encoded_len_varint};

/// Bytes of a frame's length field.
pub const LENGTH_BYTES: usize = 8;

/// The longest head of a frame: its length field, three keys, a type, and the varints of a CRC and of a length.
const HEAD_BYTES: usize = LENGTH_BYTES + 4 + 5 + 10;

/// The longest record (without frame) that a reader accepts: a damaged length must not make it allocate at will.
pub const MAX_RECORD_BYTES: u64 = 10 << 20;

/// A disk writes this many bytes wholly or not at all.
pub const SECTOR_BYTES: usize = 512;

/// What a record's data is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RecordType {
    /// Whose log it is; opaque here.
    Metadata = 1,
    /// A `raftpb.Entry`.
    Entry = 2,
    /// A `raftpb.HardState`.
    State = 3,
    /// No data; carries the rolling CRC into a segment.
    Crc = 4,
    /// A `walpb.Snapshot`.
    Snapshot = 5,
}

impl RecordType {
    /// Its name in messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Metadata => "a metadata record",
            Self::Entry => "an entry record",
            Self::State => "a state record",
            Self::Crc => "a crc record",
            Self::Snapshot => "a snapshot record",
        }
    }

    fn from_u64(found: u64) -> Result<Self, Damage> {
        Ok(match found {
            1 => Self::Metadata,
            2 => Self::Entry,
            3 => Self::State,
            4 => Self::Crc,
            5 => Self::Snapshot,
            _ => return Err(Damage::UnknownType { found }),
        })
    }
}

/// Appends a frame to `out`. The data comes in two parts, a message's small head and its payload, so that the payload
/// is copied once. `crc` is the rolling value: it advances over the data and is what the record stores.
///
/// # Panics
/// If no reader would accept the record (more than [`MAX_RECORD_BYTES`]).
pub fn encode(kind: RecordType, data: [&[u8]; 2], crc: &mut u32, out: &mut BytesMut) {
    let data_bytes = data[0].len() + data[1].len();
    *crc = crc32c::crc32c_append(crc32c::crc32c_append(*crc, data[0]), data[1]);

    let mut record_bytes = 3 + encoded_len_varint(u64::from(*crc));
    if data_bytes > 0 {
        record_bytes += 1 + encoded_len_varint(data_bytes as u64) + data_bytes;
    }
    assert!(
        record_bytes as u64 <= MAX_RECORD_BYTES,
        "invariant: a record of {record_bytes} bytes could not be read back"
    );
    let pad = record_bytes.wrapping_neg() % 8;
    let length_field = record_bytes as u64 | if pad > 0 { (0x80 | pad as u64) << 56 } else { 0 };

    let mut head = [0; HEAD_BYTES];
    let mut rest = &mut head[..];
    rest.put_u64_le(length_field);
    rest.put_slice(&[0x08, kind as u8, 0x10]);
    encode_varint(u64::from(*crc), &mut rest);
    if data_bytes > 0 {
        rest.put_u8(0x1a);
        encode_varint(data_bytes as u64, &mut rest);
    }
    let used = HEAD_BYTES - rest.len();
    out.reserve(LENGTH_BYTES + record_bytes + pad);
    for part in [&head[..used], data[0], data[1], &[0; 8][..pad]] {
        out.extend_from_slice(part);
    }
}

/// A record as it stands in a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawRecord<'a> {
    /// What `data` is.
    pub kind: RecordType,
    /// The stored rolling CRC; the reader compares it.
    pub crc: u32,
    /// The message.
    pub data: &'a [u8],
    /// Length of the whole frame.
    pub frame_bytes: usize,
}

/// Reads the frame at `offset` of a segment. `None` where the data ends: at the file's end or at a zero length field.
pub fn decode(segment: &[u8], offset: usize) -> Result<Option<RawRecord<'_>>, Damage> {
    let rest = &segment[offset..];
    let Some((length_field, rest)) = rest.split_first_chunk::<LENGTH_BYTES>() else {
        let only_zeros = rest.iter().all(|&b| b == 0);
        let short = Damage::Short { needs: LENGTH_BYTES as u64, has: rest.len() as u64 };
        return if only_zeros { Ok(None) } else { Err(short) };
    };
    let length_field = u64::from_le_bytes(*length_field);
    if length_field == 0 {
        return Ok(None);
    }
    let (record_bytes, pad) = split_length(length_field)?;
    if rest.len() < record_bytes + pad {
        let needs = (LENGTH_BYTES + record_bytes + pad) as u64;
        return Err(Damage::Short { needs, has: (LENGTH_BYTES + rest.len()) as u64 });
    }
    let (kind, crc, data) = decode_record(&rest[..record_bytes])?;
    Ok(Some(RawRecord { kind, crc, data, frame_bytes: LENGTH_BYTES + record_bytes + pad }))
}

/// Whether a bad record at `offset` looks as a crash leaves it: some sector of it never arrived. A record that is all
/// there and yet bad was changed later.
pub fn has_lost_sector(segment: &[u8], offset: usize) -> bool {
    let Some(length_field) = segment[offset..].first_chunk::<LENGTH_BYTES>() else { return true };
    let Ok((record_bytes, _)) = split_length(u64::from_le_bytes(*length_field)) else { return false };
    let mut start = offset + LENGTH_BYTES;
    let end = (start + record_bytes).min(segment.len());
    while start < end {
        let sector_end = (start / SECTOR_BYTES + 1) * SECTOR_BYTES;
        let chunk = &segment[start..sector_end.min(end)];
        if chunk.iter().all(|&b| b == 0) {
            return true;
        }
        start = sector_end;
    }
    false
}

/// Record length and padding of a length field. Strict: an 8-byte aligned field lies in one sector, so it is either
/// whole or absent, and any other value is damage.
fn split_length(field: u64) -> Result<(usize, usize), Damage> {
    let (record_bytes, top) = (field & ((1 << 56) - 1), field >> 56);
    let pad = record_bytes.wrapping_neg() % 8;
    if record_bytes == 0 || top != if pad > 0 { 0x80 | pad } else { 0 } {
        return Err(Damage::Length { found: field });
    }
    if record_bytes > MAX_RECORD_BYTES {
        return Err(Damage::TooLong { bytes: record_bytes });
    }
    Ok((record_bytes as usize, pad as usize))
}

fn decode_record(bytes: &[u8]) -> Result<(RecordType, u32, &[u8]), Damage> {
    let mut fields = Fields { rest: bytes, damage: Damage::Malformed };
    let kind = fields.varint(0x08)?;
    let crc = u32::try_from(fields.varint(0x10)?).map_err(|_| fields.malformed())?;
    let data = if fields.rest.is_empty() { &[][..] } else { fields.bytes(0x1a)? };
    fields.end()?;
    Ok((RecordType::from_u64(kind)?, crc, data))
}

/// Reads a protobuf message as its writer wrote it: these fields, in this order, in the shortest form, and no others.
/// Stricter than protobuf asks, because whatever is lenient here is room for undetected damage.
pub(super) struct Fields<'a> {
    /// What is not read yet.
    pub(super) rest: &'a [u8],
    /// What to say when they are others.
    pub(super) damage: Damage,
}

impl<'a> Fields<'a> {
    /// The varint field with this key byte.
    pub(super) fn varint(&mut self, key: u8) -> Result<u64, Damage> {
        self.key(key)?;
        self.raw_varint()
    }

    /// The length-delimited field with this key byte.
    pub(super) fn bytes(&mut self, key: u8) -> Result<&'a [u8], Damage> {
        self.key(key)?;
        let len = usize::try_from(self.raw_varint()?).map_err(|_| self.malformed())?;
        let (bytes, rest) = self.rest.split_at_checked(len).ok_or_else(|| self.malformed())?;
        self.rest = rest;
        Ok(bytes)
    }

    /// Nothing may follow.
    pub(super) fn end(&self) -> Result<(), Damage> {
        if self.rest.is_empty() { Ok(()) } else { Err(self.malformed()) }
    }

    pub(super) fn malformed(&self) -> Damage {
        self.damage.clone()
    }

    fn key(&mut self, key: u8) -> Result<(), Damage> {
        match self.rest.split_first() {
            Some((&found, rest)) if found == key => {
                self.rest = rest;
                Ok(())
            }
            _ => Err(self.malformed()),
        }
    }

    fn raw_varint(&mut self) -> Result<u64, Damage> {
        let before = self.rest;
        let value = prost::encoding::decode_varint(&mut self.rest).map_err(|_| self.malformed())?;
        let shortest = before.len() - self.rest.len() == encoded_len_varint(value);
        if shortest { Ok(value) } else { Err(self.malformed()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_kind() -> impl Strategy<Value = RecordType> {
        (1..=5u64).prop_map(|n| RecordType::from_u64(n).unwrap())
    }

    proptest! {
        #[test]
        fn records_round_trip(
            records in prop::collection::vec((any_kind(), prop::collection::vec(any::<u8>(), 0..600), 0..600usize), 1..8),
            seed: u32,
        ) {
            let (mut out, mut crc) = (BytesMut::new(), seed);
            for (kind, data, cut) in &records {
                let (head, payload) = data.split_at((*cut).min(data.len()));
                encode(*kind, [head, payload], &mut crc, &mut out);
                prop_assert_eq!(out.len() % 8, 0);
            }
            let (mut offset, mut crc) = (0, seed);
            for (kind, data, _) in &records {
                let record = decode(&out, offset).unwrap().unwrap();
                crc = crc32c::crc32c_append(crc, data);
                prop_assert_eq!((record.kind, record.data, record.crc), (*kind, &data[..], crc));
                offset += record.frame_bytes;
            }
            prop_assert_eq!(decode(&out, offset), Ok(None));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..64), offset in 0..64usize) {
            let offset = offset.min(bytes.len());
            let _ = decode(&bytes, offset);
            let _ = has_lost_sector(&bytes, offset);
        }
    }

    #[test]
    fn a_length_beyond_the_file_is_short_and_a_huge_one_is_damage() {
        let short = decode(&[16, 0, 0, 0, 0, 0, 0, 0, 1, 2], 0);
        assert_eq!(short, Err(Damage::Short { needs: 24, has: 10 }));
        let huge = (MAX_RECORD_BYTES + 8).to_le_bytes();
        assert_eq!(decode(&huge, 0), Err(Damage::TooLong { bytes: MAX_RECORD_BYTES + 8 }));
        let wrong_pad = [4, 0, 0, 0, 0, 0, 0, 0x85, 0, 0, 0, 0, 0, 0, 0, 0];
        assert!(matches!(decode(&wrong_pad, 0), Err(Damage::Length { .. })));
    }

    #[test]
    fn zeros_and_the_files_end_end_the_data() {
        assert_eq!(decode(&[], 0), Ok(None));
        assert_eq!(decode(&[0; 5], 0), Ok(None));
        assert_eq!(decode(&[0; 64], 8), Ok(None));
        assert_eq!(decode(&[0, 1], 0), Err(Damage::Short { needs: 8, has: 2 }));
    }
}
