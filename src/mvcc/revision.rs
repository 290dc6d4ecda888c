//! Revisions and their encoding as keys of the bucket `key`.

use bytes::Bytes;

/// When something changed: the `sub`-th change of transaction `main`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Revision {
    /// Counts transactions that changed something.
    pub main: i64,
    /// Counts changes inside the transaction, from 0.
    pub sub: i64,
}

impl Revision {
    /// The record's key: `main` and `sub` big-endian with `_` between, and a `t` behind a tombstone.
    pub fn encode(self, tombstone: bool) -> Bytes {
        let mut key = [b't'; 18];
        key[..17].copy_from_slice(&self.to_bytes());
        Bytes::copy_from_slice(&key[..if tombstone { 18 } else { 17 }])
    }

    /// The key of a record that is no tombstone.
    pub fn to_bytes(self) -> [u8; 17] {
        let mut key = [b'_'; 17];
        key[..8].copy_from_slice(&self.main.to_be_bytes());
        key[9..].copy_from_slice(&self.sub.to_be_bytes());
        key
    }

    /// The revision in a record's key, and whether it is a tombstone's; `None` if it is no such key.
    pub fn decode(key: &[u8]) -> Option<(Revision, bool)> {
        let (revision, rest) = key.split_at_checked(17)?;
        if revision[8] != b'_' || !matches!(rest, b"" | b"t") {
            return None;
        }
        let number = |bytes: &[u8]| i64::from_be_bytes(bytes.try_into().expect("invariant: eight bytes"));
        Some((Revision { main: number(&revision[..8]), sub: number(&revision[9..]) }, !rest.is_empty()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_sort_as_revisions_do() {
        let revisions = [(1, 0), (2, 0), (2, 1), (255, 0), (256, 0), (i64::MAX, 0)];
        let keys: Vec<_> = revisions.map(|(main, sub)| Revision { main, sub }.encode(false)).into();
        assert!(keys.is_sorted());
        for (key, (main, sub)) in keys.iter().zip(revisions) {
            assert_eq!(Revision::decode(key), Some((Revision { main, sub }, false)));
        }
    }

    #[test]
    fn what_is_no_revision_is_not_decoded() {
        let key = Revision { main: 1, sub: 2 }.encode(true);
        assert_eq!(Revision::decode(&key), Some((Revision { main: 1, sub: 2 }, true)));
        assert!(Revision::decode(&key[..16]).is_none());
        assert!(Revision::decode(&[&key[..], b"t"].concat()).is_none());
        assert!(Revision::decode(&[b'x'; 17]).is_none());
    }
}
