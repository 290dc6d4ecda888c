//! Hashes to compare members by: etcd's HashKV at revisions, and its Hash over everything.

use super::InspectError;
use seedbed::backend::bolt::View;
use seedbed::backend::{BackendError, Bucket, Engine as _, Memory};
use seedbed::mvcc::{Store, StoreConfig};
use serde::Serialize;

/// The hashes that were asked for.
#[derive(Clone, Debug, Serialize)]
pub struct Hashes {
    /// Of all buckets, but the consistent index and term: what etcd's Maintenance.Hash answers.
    pub hash: u32,
    /// Of the keys as they stood at revisions.
    pub revisions: Vec<HashRow>,
}

/// etcd's HashKV at a revision.
#[derive(Clone, Debug, Serialize)]
pub struct HashRow {
    /// The revision.
    pub revision: i64,
    /// The hash.
    pub hash: u32,
    /// Two hashes can be compared if this is the same; -1 if nothing was ever compacted.
    pub compact_revision: i64,
}

/// Computes the hash over everything, and HashKV at each of `revisions`; none: at the newest.
pub(super) fn hashes(view: &View, path: &str, revisions: &[i64]) -> Result<Hashes, InspectError> {
    let hash = hash(view)?;
    let store = Store::restore(Box::new(copy(view)?), StoreConfig::default())?;
    let revisions = if revisions.is_empty() { &[0] } else { revisions };
    let rows = revisions.iter().map(|&revision| match store.hash_kv(revision) {
        Ok(kv) => Ok(HashRow { revision: kv.revision, hash: kv.hash, compact_revision: kv.compact_revision }),
        Err(error) => Err(InspectError::Revision { path: path.to_owned(), revision, error }),
    });
    Ok(Hashes { hash, revisions: rows.collect::<Result<_, _>>()? })
}

/// CRC-32C over each bucket's name, then over its pairs.
fn hash(view: &View) -> Result<u32, BackendError> {
    let mut hash = 0;
    for bucket in view.buckets()? {
        hash = crc32c::crc32c_append(hash, bucket.name());
        let is_meta = bucket.name() == b"meta";
        view.pairs(&bucket, &[], None, &mut |key, value| {
            // Members apply at their own pace. (etcd 3.4 has no term there.)
            if !(is_meta && matches!(key, b"consistent_index" | b"term")) {
                hash = crc32c::crc32c_append(crc32c::crc32c_append(hash, key), value);
            }
            true
        })?;
    }
    Ok(hash)
}

/// What the store reads, in an engine that cannot write to the file.
fn copy(view: &View) -> Result<Memory, BackendError> {
    let mut memory = Memory::default();
    memory.begin();
    for bucket in [Bucket::Key, Bucket::Meta] {
        let Some(info) = view.bucket(bucket.name().as_bytes())? else { continue };
        let mut result = Ok(());
        view.pairs(&info, &[], None, &mut |key, value| {
            result = memory.put(bucket, bytes::Bytes::copy_from_slice(key), value.clone());
            result.is_ok()
        })?;
        result?;
    }
    memory.commit();
    Ok(memory)
}
