//! Segments by name: `<dir>/<sequence>-<first index>.wal`.

use crate::disk::{DiskRead, FileName};

/// One file of the log.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Segment {
    /// Its number; the next segment has the next number.
    pub seq: u64,
    /// Index of the first entry that was to be written into it; 0 in a log's first segment. Entries before it are in
    /// earlier segments. (Its first entry may be lower: a conflict can truncate the log right after a cut.)
    pub first_index: u64,
    /// Its path.
    pub file: FileName,
}

impl Segment {
    /// The segment with this number in `dir`.
    pub fn new(dir: &str, seq: u64, first_index: u64) -> Self {
        Self { seq, first_index, file: format!("{dir}/{seq:016x}-{first_index:016x}.wal").into() }
    }

    /// The segment that a path names, if it names one.
    pub fn parse(dir: &str, file: &FileName) -> Option<Self> {
        let name = file.strip_prefix(dir)?.strip_prefix('/')?.strip_suffix(".wal")?;
        let (seq, first_index) = two_hex(name)?;
        Some(Self { seq, first_index, file: file.clone() })
    }
}

/// The numbers in `%016x-%016x`.
pub(crate) fn two_hex(name: &str) -> Option<(u64, u64)> {
    let (a, b) = name.split_once('-')?;
    let hex = |s: &str| {
        let lower_hex = s.len() == 16 && s.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        lower_hex.then(|| u64::from_str_radix(s, 16).ok()).flatten()
    };
    Some((hex(a)?, hex(b)?))
}

/// The segments in `dir` by sequence. Other files (`.tmp`, `.broken`) are none.
pub(super) fn list(disk: &dyn DiskRead, dir: &str) -> Vec<Segment> {
    let mut segments: Vec<Segment> = disk.list(dir).iter().filter_map(|file| Segment::parse(dir, file)).collect();
    segments.sort_by_key(|s| (s.seq, s.first_index));
    segments
}

/// Where the unbroken row of numbers begins that ends with the last segment. A crash can leave a hole before it:
/// removals become durable in any order.
pub(super) fn last_row(segments: &[Segment]) -> usize {
    let hole = segments.windows(2).rposition(|pair| pair[0].seq.checked_add(1) != Some(pair[1].seq));
    hole.map_or(0, |i| i + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip_and_others_are_refused() {
        let segment = Segment::new("member/wal", 0xab, 0x1f);
        assert_eq!(&*segment.file, "member/wal/00000000000000ab-000000000000001f.wal");
        assert_eq!(Segment::parse("member/wal", &segment.file), Some(segment));
        for other in ["member/wal/0.tmp", "member/wal/00000000000000ab-000000000000001f.wal.broken", "x.wal"] {
            assert_eq!(Segment::parse("member/wal", &other.into()), None);
        }
        let uppercase = "member/wal/00000000000000AB-000000000000001f.wal";
        assert_eq!(Segment::parse("member/wal", &uppercase.into()), None);
    }

    #[test]
    fn the_last_row_begins_behind_the_last_hole() {
        let row = |seqs: &[u64]| seqs.iter().map(|&seq| Segment::new("w", seq, seq)).collect::<Vec<_>>();
        assert_eq!(last_row(&row(&[0, 1, 2])), 0);
        assert_eq!(last_row(&row(&[0, 2, 3])), 1);
        assert_eq!(last_row(&row(&[0, 2, 5])), 2);
        assert_eq!(last_row(&[]), 0);
    }
}
