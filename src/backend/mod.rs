//! The engine seam: where the state machine keeps its pairs (lesson 18).
//!
//! An engine holds named [`Bucket`]s of ordered key/value pairs, as bbolt does. The store above it speaks in revisions;
//! an engine knows only bytes. Writes between [`Engine::begin`] and [`Engine::commit`] form one transaction: what an
//! entry changes, and the consistent index that says so, become visible together, and durable together or not at all.
//!
//! Visible and durable are two moments. A committed transaction is *visible* at once; it joins a batch, and the batch
//! becomes *durable* when its owner says so ([`Engine::commit_batch`]: every 100 ms or 10,000 writes). Until then the log
//! is what remembers it.
//!
//! Two engines stand behind the seam: [`Memory`] forgets everything at a crash and is rebuilt from snapshot and log;
//! `bolt` keeps bbolt's file.
//!
//! Left out: concurrent writers (the member is single-threaded; a read sees the writes before it), making buckets by
//! name (etcd's ten exist from the start).

pub mod bolt;
mod bucket;
mod config;
mod error;
mod head;
mod memory;

pub use bucket::{Bucket, Record};
pub use config::{BoltConfig, EngineConfig, FreelistKind};
pub use error::{BackendError, ImageError};
pub(crate) use head::head;
pub use memory::Memory;

use crate::disk::{FileName, OpId, OpSink};
use bytes::Bytes;

/// An ordered store of byte pairs with transactions.
pub trait Engine: std::fmt::Debug {
    /// Opens a transaction; everything up to [`Engine::commit`] belongs to it.
    fn begin(&mut self);

    /// Sets `key` to `value`.
    fn put(&mut self, bucket: Bucket, key: Bytes, value: Bytes) -> Result<(), BackendError>;

    /// Removes `key`, if it is there.
    fn delete(&mut self, bucket: Bucket, key: &[u8]) -> Result<(), BackendError>;

    /// The value of `key`, the open transaction's and the batch's writes included.
    fn get(&self, bucket: Bucket, key: &[u8]) -> Result<Option<Bytes>, BackendError>;

    /// Visits the pairs with `from <= key < to` (`None`: to the end) in ascending order until `visit` says `false`.
    fn range(
        &self,
        bucket: Bucket,
        from: &[u8],
        to: Option<&[u8]>,
        visit: &mut dyn FnMut(&[u8], &Bytes) -> bool,
    ) -> Result<(), BackendError>;

    /// A hint: all pairs are about to be read. Only the time that this takes may depend on it.
    fn will_read(&self) {}

    /// Closes the transaction: it is visible, and part of the batch.
    fn commit(&mut self);

    /// Writes in the batch, which no [`Engine::commit_batch`] has taken yet. 0 for an engine that keeps nothing on disk.
    fn batched(&self) -> u64;

    /// Begins to make the batch durable. What is written meanwhile forms the next batch. Does nothing for an empty batch.
    ///
    /// # Panics
    /// While another one is out ([`Engine::committing`]), or inside a transaction.
    fn commit_batch(&mut self, ops: &mut OpSink<'_>) -> Result<(), BackendError>;

    /// Whether a [`Engine::commit_batch`] is under way.
    fn committing(&self) -> bool;

    /// A disk operation is done (any of the member's: the engine knows its own). What follows from it goes to `ops`.
    fn op_done(&mut self, op: OpId, ops: &mut OpSink<'_>) -> Result<Finished, BackendError>;

    /// Begins to read an image of the last batch that was taken by [`Engine::commit_batch`] (of everything, for an
    /// engine without batches). Its pages stay as they are until [`Engine::end_image`].
    fn begin_image(&mut self) -> Image;

    /// The next piece of an image, of at most `max` bytes (rounded up to a page); `None` after the last.
    fn image_chunk(&self, image: &mut Image, max: usize) -> Result<Option<Bytes>, BackendError>;

    /// Lets go of an image.
    fn end_image(&mut self, image: Image);

    /// Begins to copy everything into a new, dense file. The owner has committed the batch and writes nothing until
    /// [`Finished::Defrag`]; then the new file has taken the old one's name.
    fn begin_defrag(&mut self, ops: &mut OpSink<'_>) -> Result<(), BackendError>;

    /// Copies about `max` bytes more. `true` when nothing is left to copy (the file has yet to become durable and to
    /// get its name).
    ///
    /// It waits for the images that are being read: the file takes its name when the last of them has ended, with the
    /// next finished operation or the next call of this.
    fn defrag_slice(&mut self, max: usize, ops: &mut OpSink<'_>) -> Result<bool, BackendError>;

    /// The owner has issued a rename of the engine's file.
    fn renamed(&mut self, to: FileName);

    /// Gives a defragmentation up and removes the new file. Does nothing when there is none, or when the new file is
    /// already taking the old one's name.
    fn abandon_defrag(&mut self, ops: &mut OpSink<'_>);

    /// A hash of all pairs of all buckets, the same whatever order they were written in. `None` if some page that it
    /// needs cannot be read.
    fn hash(&self) -> Option<u64>;

    /// Figures about the file and what is in it.
    fn stats(&self) -> Stats;
}

/// What a finished disk operation completed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finished {
    /// Nothing, or nothing yet.
    Nothing,
    /// The batch is durable.
    Commit,
    /// The dense file is the engine's file now, durably.
    Defrag,
}

/// An image that is being read.
#[derive(Debug)]
pub struct Image {
    /// Its whole length in bytes.
    pub size: u64,
    /// Bytes already given out.
    pub offset: u64,
    /// The engine's own mark of what it is an image of.
    pub pin: u64,
    /// All of it, where an engine makes it in one piece.
    whole: Bytes,
}

/// Figures of an engine. Sizes are in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Stats {
    /// Of the file up to its high-water mark (etcd's `mvcc_db_total_size_in_bytes`). For an engine without one: of keys
    /// and values.
    pub size: u64,
    /// Of what is not free in it (`mvcc_db_total_size_in_use_in_bytes`).
    pub in_use: u64,
    /// Of keys and values. 0 while an engine has not yet had a reason to look at all of them.
    pub pairs: u64,
    /// Pages that may be reused.
    pub free_pages: u64,
    /// Pages that will be free once no reader and no older meta page needs them.
    pub pending_pages: u64,
    /// Ids or runs of free pages that were looked at or moved since the start: what a cost table charges for finding
    /// pages.
    pub freelist_work: u64,
    /// Images that are being read: each pins its pages.
    pub readers: u64,
    /// What the engine holds in memory besides its file: batch, page cache, freelist.
    pub memory: u64,
}
