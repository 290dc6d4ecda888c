//! What a user may touch: two sets of keys, each as disjoint intervals.
//!
//! A user's roles may permit `[a,c)`, `[b,f)` and `f` alone. Together they permit to range over `[a,f\0)`, though none of
//! them does by itself. So they are merged where they touch, and then a question has a simple answer: the one interval
//! that begins at or before the key in question either reaches far enough or it does not.
//!
//! ```text
//!   permission            means           a request's range is permitted if
//!   key, ""               key alone       key lies in an interval
//!   key, "\0"             [key, …         an interval holds key and has no end
//!   key, end > key        [key, end)      an interval holds all of it
//!   "", or end <= key     nothing         –
//! ```

use crate::pb::authpb::{Permission, PermissionType};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::ops::Bound;

/// Where an interval ends. Without an end is later than any key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    Before(Bytes),
    Open,
}

impl End {
    /// What the API's `range_end` means.
    fn of(key: &[u8], range_end: &[u8]) -> End {
        match range_end {
            b"" => End::Before([key, &[0]].concat().into()),
            b"\0" => End::Open,
            to => End::Before(Bytes::copy_from_slice(to)),
        }
    }
}

/// Disjoint intervals that do not touch, by their first key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Intervals(BTreeMap<Bytes, End>);

impl Intervals {
    fn insert(&mut self, mut from: Bytes, mut to: End) {
        if to <= End::Before(from.clone()) {
            return;
        }
        let touches = |start: &Bytes, end: &End| *end >= End::Before(from.clone()) && End::Before(start.clone()) <= to;
        let touching: Vec<Bytes> =
            self.0.iter().filter(|(start, end)| touches(start, end)).map(|(start, _)| start.clone()).collect();
        for start in touching {
            let end = self.0.remove(&start).expect("invariant: it was just there");
            from = from.min(start);
            to = to.max(end);
        }
        self.0.insert(from, to);
    }

    /// Whether all of `from..to` is in the set, and it is not empty.
    fn cover(&self, from: &[u8], to: &End) -> bool {
        let not_empty = *to > End::Before(Bytes::copy_from_slice(from));
        let mut before = self.0.range::<[u8], _>((Bound::Unbounded, Bound::Included(from)));
        not_empty && before.next_back().is_some_and(|(_, end)| end >= to)
    }
}

/// What a request does to its keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// It reads them.
    Read,
    /// It writes them.
    Write,
}

/// What the roles of one user permit together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Permissions {
    read: Intervals,
    write: Intervals,
}

impl Permissions {
    /// Permits one thing more.
    pub(super) fn add(&mut self, permission: &Permission) {
        let Permission { perm_type, key, range_end } = permission;
        if !is_valid(key, range_end) {
            return;
        }
        let to = End::of(key, range_end);
        if [PermissionType::Read as i32, PermissionType::Readwrite as i32].contains(perm_type) {
            self.read.insert(key.clone(), to.clone());
        }
        if [PermissionType::Write as i32, PermissionType::Readwrite as i32].contains(perm_type) {
            self.write.insert(key.clone(), to);
        }
    }

    /// Whether everything in a request's range may be accessed so.
    pub(super) fn permit(&self, key: &[u8], range_end: &[u8], access: Access) -> bool {
        let intervals = match access {
            Access::Read => &self.read,
            Access::Write => &self.write,
        };
        intervals.cover(key, &End::of(key, range_end))
    }
}

/// Whether a permission is on any key at all. No key is empty.
pub(super) fn is_valid(key: &[u8], range_end: &[u8]) -> bool {
    !key.is_empty() && End::of(key, range_end) > End::Before(Bytes::copy_from_slice(key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;
    use std::path::PathBuf;

    /// The rows of one of etcd's tables; none, and a word about it, if it is not there.
    fn table(name: &str) -> Vec<Value> {
        let beside = || concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/peers").into();
        let peers: PathBuf = std::env::var_os("SEEDBED_PEERS").unwrap_or_else(beside).into();
        let path = peers.join("tables").join(name).with_extension("jsonl");
        let Ok(text) = std::fs::read_to_string(&path) else {
            println!("skipped: no {} (SEEDBED_PEERS names another folder)", path.display());
            return Vec::new();
        };
        let rows = text.lines().filter(|line| !line.trim().is_empty());
        rows.map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{name}: {error}: {line}"))).collect()
    }

    /// A column of bytes; `None` if it is absent.
    fn bytes(value: &Value) -> Option<Bytes> {
        let text = value.get("bytes")?.as_str().expect("bytes are hexadecimal");
        let pairs = (0..text.len()).step_by(2).map(|n| u8::from_str_radix(&text[n..n + 2], 16));
        Some(pairs.collect::<Result<Vec<u8>, _>>().expect("bytes are hexadecimal").into())
    }

    /// An end as etcd's interval tree has it: empty is without end.
    fn end(value: &Value) -> End {
        bytes(value).filter(|end| !end.is_empty()).map_or(End::Open, End::Before)
    }

    /// Rows of `perms` (intervals `Begin`, `End`), and either a `key` or a `begin` and an `end`.
    fn holds(row: &Value) -> bool {
        let mut intervals = Intervals::default();
        for interval in row["perms"].as_array().into_iter().flatten() {
            intervals.insert(bytes(&interval["Begin"]).expect("an interval begins"), end(&interval["End"]));
        }
        match bytes(&row["key"]) {
            Some(key) => intervals.cover(&key, &End::of(&key, b"")),
            None => intervals.cover(&bytes(&row["begin"]).expect("a key, or where a range begins"), &end(&row["end"])),
        }
    }

    #[test]
    fn etcds_tables_hold() {
        for name in ["TestKeyPermission", "TestRangePermission"] {
            for row in table(name) {
                assert_eq!(Some(holds(&row)), row["want"].as_bool(), "{name}: {row}");
            }
        }
    }

    fn permissions(list: &[(&'static str, &'static str)]) -> Permissions {
        let mut permissions = Permissions::default();
        for (key, range_end) in list {
            let (key, range_end) = (Bytes::from_static(key.as_bytes()), Bytes::from_static(range_end.as_bytes()));
            permissions.add(&Permission { perm_type: PermissionType::Read as i32, key, range_end });
        }
        permissions
    }

    #[test]
    fn ranges_that_touch_permit_what_none_of_them_does() {
        let user = permissions(&[("a", "f"), ("c", "d"), ("f", "z")]);
        assert!(user.permit(b"a", b"z", Access::Read));
        assert!(!user.permit(b"a", b"z", Access::Write));
        assert!(!user.permit(b"a", b"\0", Access::Read));
        assert!(!permissions(&[("a", "c"), ("x", "z")]).permit(b"a", b"z", Access::Read));
        assert!(
            permissions(&[("a", "b"), ("b", "")]).permit(b"a", b"b\0", Access::Read),
            "a range, and the key behind it"
        );
    }

    #[test]
    fn an_end_of_a_zero_byte_is_no_end_and_an_empty_one_is_the_key_alone() {
        let user = permissions(&[("k", "\0")]);
        assert!(user.permit(b"k", b"\0", Access::Read) && user.permit(b"zzz", b"", Access::Read));
        assert!(!user.permit(b"j", b"", Access::Read));
        let user = permissions(&[("k", "")]);
        assert!(user.permit(b"k", b"", Access::Read));
        assert!(!user.permit(b"k\0", b"", Access::Read) && !user.permit(b"k", b"\0", Access::Read));
    }

    #[test]
    fn a_permission_on_no_key_permits_nothing() {
        for (key, range_end) in [("", ""), ("", "\0"), ("", "z"), ("b", "b"), ("b", "a")] {
            assert!(!is_valid(key.as_bytes(), range_end.as_bytes()));
            assert_eq!(permissions(&[(key, range_end)]), Permissions::default(), "{key:?}, {range_end:?}");
        }
        assert!(
            !permissions(&[("a", "z")]).permit(b"c", b"b", Access::Read),
            "nor does a range of no key ask for anything"
        );
    }

    /// Keys of up to three letters of two, which is enough for any order of two intervals.
    fn key() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(prop_oneof![Just(0), Just(b'a'), Just(b'b')], 0..3)
    }

    /// All keys of at most three bytes of these letters, and one behind each: a range that lacks any key lacks one of
    /// these.
    fn universe() -> Vec<Vec<u8>> {
        let mut keys = vec![vec![]];
        for n in 0.. {
            if keys[n].len() == 3 {
                break;
            }
            for letter in [0, b'a', b'b', b'c'] {
                let longer = [&keys[n][..], &[letter]].concat();
                keys.push(longer);
            }
        }
        keys
    }

    fn is_within(key: &[u8], from: &[u8], range_end: &[u8]) -> bool {
        match range_end {
            b"" => key == from,
            b"\0" => key >= from,
            to => key >= from && key < to,
        }
    }

    proptest! {
        #[test]
        fn merged_permissions_permit_what_the_keys_one_by_one_are_permitted(
            granted in prop::collection::vec((key(), key(), 0..3_i32), 0..6), from in key(), range_end in key()
        ) {
            let mut user = Permissions::default();
            for (key, range_end, perm_type) in granted.clone() {
                user.add(&Permission { perm_type, key: key.into(), range_end: range_end.into() });
            }
            for (access, other) in [(Access::Read, PermissionType::Write), (Access::Write, PermissionType::Read)] {
                let granted = || granted.iter().filter(|(from, _, kind)| !from.is_empty() && *kind != other as i32);
                let mut asked = universe().into_iter().filter(|key| is_within(key, &from, &range_end)).peekable();
                let expected = asked.peek().is_some()
                    && asked.all(|key| granted().any(|(from, to, _)| is_within(&key, from, to)));
                prop_assert_eq!(user.permit(&from, &range_end, access), expected);
            }
        }
    }
}
