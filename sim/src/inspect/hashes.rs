//! Hashes to compare members by: etcd's HashKV at revisions, and its Hash over everything.

use super::InspectError;
use seedbed::backend::bolt::{Bolt, View};
use seedbed::backend::{BackendError, BoltConfig};
use seedbed::disk::{DiskRead, FileName};
use seedbed::mvcc::{HashKv, MvccError, Store, StoreConfig};
use serde::Serialize;
use std::rc::Rc;

/// The hashes that were asked for.
#[derive(Clone, Debug, Serialize)]
pub struct Hashes {
    /// Of all buckets, but the consistent index and term: what etcd's Maintenance.Hash answers.
    pub hash: u32,
    /// Of all buckets and every pair: what `etcdctl snapshot status` prints.
    pub snapshot_status: u32,
    /// Of the keys as they stood at revisions.
    pub revisions: Vec<HashRow>,
}

/// etcd's HashKV at a revision.
#[derive(Clone, Debug, Serialize)]
pub struct HashRow {
    /// The revision.
    pub revision: i64,
    /// The hash, or why there is none.
    #[serde(flatten)]
    pub answer: HashAnswer,
}

/// What HashKV answers: a revision that is compacted, or still to come, has no hash.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum HashAnswer {
    /// There is one.
    Hash {
        /// The hash.
        hash: u32,
        /// Two hashes can be compared if this is the same; -1 if nothing was ever compacted.
        compact_revision: i64,
    },
    /// There is none.
    Refused {
        /// etcd's own words.
        refused: String,
    },
}

/// Computes the hash over everything, and HashKV at each of `revisions`; none: at the newest.
pub(super) fn hashes(
    disk: Rc<dyn DiskRead>,
    file: &FileName,
    view: &View,
    revisions: &[i64],
) -> Result<Hashes, InspectError> {
    let (hash, snapshot_status) = hash(view)?;
    // Whatever the store would write goes into an engine that nobody asks for its operations.
    let engine = Bolt::open(disk, file.clone(), BoltConfig::default())?;
    let store = Store::restore(Box::new(engine), StoreConfig::default())?;
    let revisions = if revisions.is_empty() { &[0] } else { revisions };
    let rows = revisions.iter().map(|&asked| match store.hash_kv(asked) {
        Ok(HashKv { hash, compact_revision, revision }) => {
            Ok(HashRow { revision, answer: HashAnswer::Hash { hash, compact_revision } })
        }
        Err(MvccError::Backend(error)) => Err(error),
        Err(refusal) => Ok(HashRow { revision: asked, answer: HashAnswer::Refused { refused: refusal.to_string() } }),
    });
    Ok(Hashes { hash, snapshot_status, revisions: rows.collect::<Result<_, _>>()? })
}

/// CRC-32C over each bucket's name, then over its pairs: without the marks of how far was applied, and with them.
fn hash(view: &View) -> Result<(u32, u32), BackendError> {
    let append = |hash: &mut u32, bytes: &[u8]| *hash = crc32c::crc32c_append(*hash, bytes);
    let (mut hash, mut whole) = (0, 0);
    for bucket in view.buckets()? {
        let is_meta = bucket.name() == b"meta";
        append(&mut hash, bucket.name());
        append(&mut whole, bucket.name());
        view.pairs(&bucket, &[], None, &mut |key, value| {
            let both = [key, value];
            both.iter().for_each(|bytes| append(&mut whole, bytes));
            // Members apply at their own pace. (etcd 3.4 has no term there.)
            if !(is_meta && matches!(key, b"consistent_index" | b"term")) {
                both.iter().for_each(|bytes| append(&mut hash, bytes));
            }
            true
        })?;
    }
    Ok((hash, whole))
}
