//! The engine seam: where the state machine keeps its pairs (lesson 18).
//!
//! An engine holds named [`Bucket`]s of ordered key/value pairs, as bbolt does. The store above it speaks in revisions;
//! an engine knows only bytes. Writes between [`Engine::begin`] and [`Engine::commit`] form one transaction: what an
//! entry changes, and the consistent index that says so, become visible and durable together or not at all.
//!
//! One engine stands behind the seam so far, [`Memory`]: it forgets everything at a crash and is rebuilt from snapshot
//! and log.
//!
//! Left out: concurrent readers (the member is single-threaded; a read sees the writes before it), nested buckets.

mod memory;

pub use memory::Memory;

use bytes::Bytes;

/// etcd's buckets, in the order of their names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Bucket {
    /// Revision → `mvccpb.KeyValue`.
    Key,
    /// The consistent index and other marks.
    Meta,
}

impl Bucket {
    /// All buckets, ascending by name.
    pub const ALL: [Bucket; 2] = [Bucket::Key, Bucket::Meta];

    /// The bucket's name on disk.
    pub fn name(self) -> &'static str {
        match self {
            Bucket::Key => "key",
            Bucket::Meta => "meta",
        }
    }
}

/// An ordered store of byte pairs with transactions.
pub trait Engine: std::fmt::Debug {
    /// Opens a transaction; everything up to [`Engine::commit`] belongs to it.
    fn begin(&mut self);

    /// Sets `key` to `value`.
    fn put(&mut self, bucket: Bucket, key: Bytes, value: Bytes);

    /// Removes `key`, if it is there.
    fn delete(&mut self, bucket: Bucket, key: &[u8]);

    /// The value of `key`.
    fn get(&self, bucket: Bucket, key: &[u8]) -> Option<Bytes>;

    /// Visits the pairs with `from <= key < to` (`None`: to the end) in ascending order until `visit` says `false`.
    fn range(&self, bucket: Bucket, from: &[u8], to: Option<&[u8]>, visit: &mut dyn FnMut(&[u8], &Bytes) -> bool);

    /// Closes the transaction.
    fn commit(&mut self);

    /// An image of all buckets, for a snapshot.
    fn snapshot(&self) -> Bytes;

    /// Replaces everything by an image that [`Engine::snapshot`] made; on an error nothing has changed.
    fn restore(&mut self, image: &[u8]) -> Result<(), ImageError>;

    /// A hash of all pairs of all buckets, the same whatever order they were written in.
    fn hash(&self) -> u64;

    /// Bytes of keys and values held.
    fn bytes(&self) -> u64;
}

/// An image that [`Engine::restore`] cannot read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the snapshot's image breaks off or is garbled at byte {offset}: expected {expected}")]
pub struct ImageError {
    /// Where, in bytes from the start of the image.
    pub offset: usize,
    /// What should have stood there.
    pub expected: &'static str,
}
