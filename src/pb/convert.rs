//! From Raft's own values to their messages and back.
//!
//! One direction can fail: a number on disk or on the wire may be no kind of entry that we know. Nothing else can.

use super::raftpb;
use crate::raft::{ConfState, Entry, EntryKind, HardState, Snapshot, SnapshotMeta};

/// An entry's type is not one of raftpb's: the log was written by a newer version, or is damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[error(
    "entry type {found}: expected 0 (normal), 1 (ConfChange) or 2 (ConfChangeV2); was it written by a newer version?"
)]
pub struct UnknownEntryKind {
    /// The number found.
    pub found: i32,
}

impl From<EntryKind> for i32 {
    fn from(kind: EntryKind) -> Self {
        raftpb::EntryType::from(kind).into()
    }
}

impl From<EntryKind> for raftpb::EntryType {
    fn from(kind: EntryKind) -> Self {
        match kind {
            EntryKind::Normal => Self::EntryNormal,
            EntryKind::ConfChange => Self::EntryConfChange,
            EntryKind::ConfChangeV2 => Self::EntryConfChangeV2,
        }
    }
}

impl TryFrom<i32> for EntryKind {
    type Error = UnknownEntryKind;

    fn try_from(found: i32) -> Result<Self, Self::Error> {
        match raftpb::EntryType::try_from(found) {
            Ok(raftpb::EntryType::EntryNormal) => Ok(Self::Normal),
            Ok(raftpb::EntryType::EntryConfChange) => Ok(Self::ConfChange),
            Ok(raftpb::EntryType::EntryConfChangeV2) => Ok(Self::ConfChangeV2),
            Err(_) => Err(UnknownEntryKind { found }),
        }
    }
}

impl From<&Entry> for raftpb::Entry {
    fn from(e: &Entry) -> Self {
        Self { r#type: e.kind.into(), term: e.term, index: e.index, data: e.data.clone() }
    }
}

impl TryFrom<raftpb::Entry> for Entry {
    type Error = UnknownEntryKind;

    fn try_from(e: raftpb::Entry) -> Result<Self, Self::Error> {
        Ok(Self { kind: e.r#type.try_into()?, term: e.term, index: e.index, data: e.data })
    }
}

impl From<&HardState> for raftpb::HardState {
    fn from(s: &HardState) -> Self {
        Self { term: s.term, vote: s.vote, commit: s.commit }
    }
}

impl From<raftpb::HardState> for HardState {
    fn from(s: raftpb::HardState) -> Self {
        Self { term: s.term, vote: s.vote, commit: s.commit }
    }
}

impl From<&ConfState> for raftpb::ConfState {
    fn from(c: &ConfState) -> Self {
        Self {
            voters: c.voters.clone(),
            learners: c.learners.clone(),
            voters_outgoing: c.voters_outgoing.clone(),
            learners_next: c.learners_next.clone(),
            auto_leave: c.auto_leave,
        }
    }
}

impl From<raftpb::ConfState> for ConfState {
    /// Sorts the lists: ours are ascending, and nothing on disk promises that.
    fn from(c: raftpb::ConfState) -> Self {
        let sorted = |mut ids: Vec<u64>| {
            ids.sort_unstable();
            ids
        };
        Self {
            voters: sorted(c.voters),
            learners: sorted(c.learners),
            voters_outgoing: sorted(c.voters_outgoing),
            learners_next: sorted(c.learners_next),
            auto_leave: c.auto_leave,
        }
    }
}

impl From<&SnapshotMeta> for raftpb::SnapshotMetadata {
    fn from(m: &SnapshotMeta) -> Self {
        Self { conf_state: (&m.conf).into(), index: m.index, term: m.term }
    }
}

impl From<raftpb::SnapshotMetadata> for SnapshotMeta {
    fn from(m: raftpb::SnapshotMetadata) -> Self {
        Self { index: m.index, term: m.term, conf: m.conf_state.into() }
    }
}

impl From<&Snapshot> for raftpb::Snapshot {
    fn from(s: &Snapshot) -> Self {
        Self { data: s.data.clone(), metadata: (&s.meta).into() }
    }
}

impl From<raftpb::Snapshot> for Snapshot {
    fn from(s: raftpb::Snapshot) -> Self {
        Self { meta: s.metadata.into(), data: s.data }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use prost::Message as _;

    #[test]
    fn proto2_writes_zeros_and_proto3_does_not() {
        assert_eq!(raftpb::HardState::default().encode_to_vec(), [8, 0, 16, 0, 24, 0]);
        assert_eq!(raftpb::Entry::default().encode_to_vec(), [8, 0, 16, 0, 24, 0]);
        assert_eq!(raftpb::Snapshot::default().encode_to_vec(), [18, 8, 10, 2, 40, 0, 16, 0, 24, 0]);
        let kv = super::super::mvccpb::KeyValue { key: Bytes::from_static(b"a"), ..Default::default() };
        assert_eq!(kv.encode_to_vec(), [10, 1, b'a']);
    }

    #[test]
    fn voters_are_not_packed() {
        let conf = raftpb::ConfState { voters: vec![1, 2], ..Default::default() };
        assert_eq!(conf.encode_to_vec(), [8, 1, 8, 2, 40, 0]);
    }

    #[test]
    fn entry_round_trips_and_an_unknown_kind_is_refused() {
        for kind in [EntryKind::Normal, EntryKind::ConfChange, EntryKind::ConfChangeV2] {
            let entry = Entry { kind, term: 3, index: 7, data: Bytes::from_static(b"x") };
            let bytes = raftpb::Entry::from(&entry).encode_to_vec();
            assert_eq!(Entry::try_from(raftpb::Entry::decode(&bytes[..]).unwrap()), Ok(entry));
        }
        let newer = raftpb::Entry { r#type: 3, ..Default::default() };
        assert_eq!(Entry::try_from(newer), Err(UnknownEntryKind { found: 3 }));
    }

    #[test]
    fn snapshot_round_trips() {
        let conf = ConfState { voters: vec![1, 2], learners: vec![3], auto_leave: true, ..Default::default() };
        let snapshot = Snapshot { meta: SnapshotMeta { index: 9, term: 2, conf }, data: Bytes::from_static(b"state") };
        assert_eq!(Snapshot::from(raftpb::Snapshot::from(&snapshot)), snapshot);
    }
}
