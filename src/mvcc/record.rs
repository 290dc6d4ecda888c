//! Records of the bucket `key`, read again after the restore that looked at all of them.
//!
//! A damaged file can still betray a store that it let restore: a tree may show a record to a walk and hide it from a
//! search, and a freelist that names a page in use has that page overwritten by the next commit. So what is not as it
//! was restored is an error, not a broken invariant.

use super::{BackendError, Bucket, Engine, KeyValue, Revision};
use bytes::Bytes;
use prost::Message as _;

/// Revisions and versions from here on are not believed: no store counts so far, and the next ones must have room.
pub(super) const UNBELIEVABLE: i64 = i64::MAX / 2;

/// The revision in a record's key, and whether it is a tombstone's; `None` if it is no such key, or not believed.
pub(super) fn revision(key: &[u8]) -> Option<(Revision, bool)> {
    let believed = |at: &Revision| (1..UNBELIEVABLE).contains(&at.main) && (0..UNBELIEVABLE).contains(&at.sub);
    Revision::decode(key).filter(|(at, _)| believed(at))
}

/// The same, of a record that was restored.
pub(super) fn known_revision(key: &[u8]) -> Result<(Revision, bool), BackendError> {
    revision(key).ok_or_else(|| changed(key, "a revision"))
}

/// The value of a record that was restored, as `key` has it now.
pub(super) fn known_value(key: &[u8], value: Option<Bytes>) -> Result<KeyValue, BackendError> {
    let value = value.ok_or_else(|| changed(key, "a record that a search finds"))?;
    KeyValue::decode(value).map_err(|_| changed(key, "an mvccpb.KeyValue"))
}

fn changed(key: &[u8], expected: &str) -> BackendError {
    let expected = format!("{expected}, as it was when the store was restored");
    BackendError::Record { bucket: Bucket::Key.name(), key: hex(key), expected }
}

/// Visits the records from `from` on until `look_at` says `false`, or fails.
pub(super) fn visit(
    engine: &dyn Engine,
    from: &[u8],
    mut look_at: impl FnMut(&[u8], &Bytes) -> Result<bool, BackendError>,
) -> Result<(), BackendError> {
    let mut result = Ok(());
    engine.range(Bucket::Key, from, None, &mut |key, value| {
        let looked = look_at(key, value);
        let go_on = matches!(looked, Ok(true));
        result = looked.map(drop);
        go_on
    })?;
    result
}

/// Bytes as messages show them.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::super::{Applied, MvccError, Store, StoreConfig};
    use super::*;
    use crate::backend::Memory;
    use crate::pb::etcdserverpb::{PutRequest, RangeRequest};

    /// A store of one key, and the key of its record.
    fn store() -> (Store, Bytes) {
        let mut store = Store::new(Box::new(Memory::new()), StoreConfig::default());
        let mut txn = store.write(Applied { index: 1, term: 1 }).unwrap();
        txn.put(&PutRequest { key: Bytes::from_static(b"a"), ..Default::default() }).unwrap();
        txn.compact(2).unwrap();
        txn.commit();
        (store, Revision { main: 2, sub: 0 }.encode(false))
    }

    /// Changes a record behind the store's back.
    fn damage(store: &mut Store, key: &Bytes, value: Option<&'static [u8]>) {
        let engine = store.engine_mut();
        engine.begin();
        match value {
            Some(value) => engine.put(Bucket::Key, key.clone(), Bytes::from_static(value)).unwrap(),
            None => engine.delete(Bucket::Key, key).unwrap(),
        }
        engine.commit();
    }

    fn is_named<T: std::fmt::Debug>(result: Result<T, impl Into<MvccError>>, key: &[u8]) -> bool {
        let error = result.unwrap_err().into();
        matches!(&error, MvccError::Backend(BackendError::Record { key: found, .. }) if *found == hex(key))
    }

    #[test]
    fn a_record_that_has_gone_or_changed_is_an_error() {
        let read = RangeRequest { key: Bytes::from_static(b"a"), ..Default::default() };
        for value in [None, Some(&b"\xff"[..])] {
            let (mut store, key) = store();
            assert_eq!(store.range(&read).map(|response| response.count), Ok(1));
            damage(&mut store, &key, value);
            assert!(is_named(store.range(&read), &key), "{value:?}");
        }
    }

    #[test]
    fn a_key_that_is_no_revision_stops_a_hash_and_a_compaction() {
        for key in [Bytes::from_static(b"consistent_index"), Revision { main: 1, sub: i64::MAX }.encode(false)] {
            let (mut store, _) = store();
            damage(&mut store, &key, Some(b""));
            assert!(is_named(store.hash_kv(0), &key));
            assert!(is_named(store.compact_slice(), &key));
        }
    }
}
