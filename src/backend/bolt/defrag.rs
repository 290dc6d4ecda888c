//! Defragmentation: everything is copied into a new, dense file, which then takes the old one's name.
//!
//! ```text
//!   begin_defrag    defrag_slice …            op_done            op_done
//!   create db.tmp ─► write pages, metas, sync ─► rename, sync dir ─► Finished::Defrag
//!                                                 │ the engine reads the new file from here on
//! ```
//!
//! Up to the rename the old file is the database, after it the new one, whatever is cut off; a `db.tmp` that is left
//! behind is emptied by the next attempt. The rename waits for the images of the old file.

use super::build::{Pages, TreeBuilder};
use super::commit::grown;
use super::elements::LeafItem;
use super::engine::Bolt;
use super::file::File;
use super::format::{BUCKET_FLAG, Meta, NO_FREELIST, encode_freelist, fault};
use super::open::{dir_of, empty_bucket};
use super::totals::Totals;
use super::tree::{BucketRef, Cursor, Root};
use super::view::View;
use crate::backend::{BackendError, Bucket};
use crate::bug::Bug;
use crate::disk::{DiskRead, FileName, OpId, OpSink};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::mem;
use std::rc::Rc;

/// A defragmentation that is under way.
#[derive(Debug)]
pub(super) struct Defrag {
    tmp: FileName,
    pages: Pages,
    /// Buckets that are not wholly copied, the next one last.
    left: Vec<(Bytes, BucketRef)>,
    /// The tree that is being built of the next bucket.
    tree: TreeBuilder,
    /// The last key that was copied of it.
    last: Option<Bytes>,
    /// The copied buckets' heads.
    heads: Vec<LeafItem>,
    buckets: [BucketRef; Bucket::ALL.len()],
    totals: Totals,
    /// Pairs of an older attempt (by bucket and key) that come along; always empty, but for one bug.
    leftovers: BTreeMap<(Bytes, Bytes), Bytes>,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    Copying,
    /// All of it was written.
    Copied {
        meta: Meta,
        len: u64,
        sync: OpId,
        durable: bool,
    },
    /// It is taking the old file's name.
    Renamed {
        sync_dir: OpId,
    },
}

/// What the engine goes on with.
#[derive(Debug)]
pub(super) struct Dense {
    pub(super) file: File,
    pub(super) meta: Meta,
    pub(super) buckets: [BucketRef; Bucket::ALL.len()],
    pub(super) freelist_pages: u64,
    pub(super) len: u64,
    pub(super) totals: Totals,
}

impl Defrag {
    pub(super) fn begin(bolt: &Bolt, ops: &mut OpSink<'_>) -> Result<Defrag, BackendError> {
        let tmp: FileName = format!("{}.tmp", bolt.file.name()).into();
        let mut leftovers = BTreeMap::new();
        if bolt.config.bugs.on(Bug::DefragReusesTmp) {
            leftovers = pairs_of(bolt.file.disk().clone(), tmp.clone()).unwrap_or_default();
        }
        ops.create(&tmp);
        Ok(Defrag {
            pages: Pages::new(tmp.clone(), bolt.file.page_size),
            tmp,
            left: top_buckets(bolt)?,
            tree: TreeBuilder::default(),
            last: None,
            heads: Vec::new(),
            buckets: [(); Bucket::ALL.len()].map(|()| empty_bucket()),
            totals: Totals::default(),
            leftovers,
            stage: Stage::Copying,
        })
    }

    pub(super) fn tmp(&self) -> &FileName {
        &self.tmp
    }

    pub(super) fn can_be_abandoned(&self) -> bool {
        !matches!(self.stage, Stage::Renamed { .. })
    }

    /// Copies about `max` bytes more. `true` when all of it was written.
    pub(super) fn copy(&mut self, bolt: &Bolt, max: usize, ops: &mut OpSink<'_>) -> Result<bool, BackendError> {
        if !matches!(self.stage, Stage::Copying) {
            return Ok(true);
        }
        let mut room = max;
        while let Some((name, bucket)) = self.left.pop() {
            if !self.copy_bucket(bolt, &name, &bucket, &mut room, ops)? {
                self.left.push((name, bucket));
                return Ok(false);
            }
            self.finish_bucket(name, bucket.sequence, ops);
        }
        self.finish(bolt, ops);
        Ok(true)
    }

    /// Copies pairs of a bucket while there is room. `true` when that was all of them.
    fn copy_bucket(
        &mut self,
        bolt: &Bolt,
        name: &Bytes,
        bucket: &BucketRef,
        room: &mut usize,
        ops: &mut OpSink<'_>,
    ) -> Result<bool, BackendError> {
        // The least key after the last one is that key with a zero behind it.
        let from = self.last.take().map_or_else(Vec::new, |last| [&last[..], &[0]].concat());
        let mut cursor = Cursor::seek(&bolt.file, &bucket.root, &from, None)?;
        while let Some((leaf, i)) = cursor.current() {
            if leaf.is_bucket(i) {
                let fault = fault("pairs only, in a bucket that is copied", "a bucket in it");
                return Err(bolt.file.error(cursor.page(), fault));
            }
            let (key, value) = (leaf.key_bytes(i), leaf.value(i));
            if *room == 0 {
                return Ok(false);
            }
            *room = room.saturating_sub(key.len() + value.len());
            self.push_leftovers(name, Some(&key), ops);
            self.last = Some(key.clone());
            self.push(name, key, value, ops);
            cursor.advance()?;
        }
        self.last = None;
        self.push_leftovers(name, None, ops);
        Ok(true)
    }

    /// Puts an older attempt's pairs in before `key`; the database's own pair of a key wins.
    fn push_leftovers(&mut self, name: &Bytes, key: Option<&Bytes>, ops: &mut OpSink<'_>) {
        while let Some(((bucket, old), _)) = self.leftovers.range((name.clone(), Bytes::new())..).next()
            && bucket == name
            && key.is_none_or(|key| old <= key)
        {
            let (bucket, old) = (bucket.clone(), old.clone());
            let value = self.leftovers.remove(&(bucket, old.clone())).expect("invariant: it was just seen");
            if Some(&old) != key {
                self.push(name, old, value, ops);
            }
        }
    }

    fn push(&mut self, name: &Bytes, key: Bytes, value: Bytes, ops: &mut OpSink<'_>) {
        if let Some(bucket) = bucket_of(name) {
            self.totals.add(bucket, &key, &value);
        }
        self.tree.push(LeafItem { flags: 0, key, value }, &mut self.pages, ops);
    }

    fn finish_bucket(&mut self, name: Bytes, sequence: u64, ops: &mut OpSink<'_>) {
        let root = mem::take(&mut self.tree).finish(self.pages.page_size / 4, &mut self.pages, ops);
        let bucket = BucketRef { root, sequence };
        self.heads.push(LeafItem { flags: BUCKET_FLAG, key: name.clone(), value: bucket.encode() });
        if let Some(ours) = bucket_of(&name) {
            self.buckets[ours as usize] = bucket;
        }
    }

    /// Writes the tree of buckets, the freelist and the metas.
    fn finish(&mut self, bolt: &Bolt, ops: &mut OpSink<'_>) {
        let mut tree = TreeBuilder::default();
        mem::take(&mut self.heads).into_iter().for_each(|head| tree.push(head, &mut self.pages, ops));
        let Root::Page(root) = tree.finish(0, &mut self.pages, ops) else {
            panic!("invariant: the tree of buckets has pages of its own");
        };
        let mut freelist = NO_FREELIST;
        if bolt.config.sync_freelist {
            freelist = self.pages.next;
            self.pages.add_page(encode_freelist(freelist, &[], 1, self.pages.page_size), ops);
        }
        self.pages.flush(ops);
        let before = Meta { root, freelist, high_water: self.pages.next, ..bolt.meta };
        let meta = Meta { txid: before.txid + 1, ..before };
        for meta in [before, meta] {
            ops.write(&self.tmp, meta.page_id() * u64::from(meta.page_size), meta.encode());
        }
        let len = grown(meta.high_water * u64::from(meta.page_size));
        ops.truncate(&self.tmp, len);
        self.stage = Stage::Copied { meta, len, sync: ops.sync(&self.tmp), durable: false };
    }

    /// An operation is done. `true` when the new file has its name, durably.
    pub(super) fn op_done(&mut self, op: OpId) -> bool {
        match &mut self.stage {
            Stage::Copied { sync, durable, .. } => {
                *durable |= *sync == op;
                false
            }
            Stage::Renamed { sync_dir } => *sync_dir == op,
            Stage::Copying => false,
        }
    }

    /// Renames the new file over the old one, if it is durable. From here on the engine reads it.
    pub(super) fn rename(&mut self, old: &File, cache_bytes: usize, ops: &mut OpSink<'_>) -> Option<Dense> {
        let Stage::Copied { meta, len, durable: true, .. } = self.stage else { return None };
        ops.rename(&self.tmp, old.name());
        self.stage = Stage::Renamed { sync_dir: ops.sync_dir(&dir_of(old.name())) };
        let mut file = File::new(old.disk().clone(), self.tmp.clone(), &meta, cache_bytes);
        file.rename(old.name().clone());
        let freelist_pages = u64::from(meta.freelist != NO_FREELIST);
        Some(Dense { file, meta, buckets: self.buckets.clone(), freelist_pages, len, totals: self.totals })
    }
}

fn bucket_of(name: &[u8]) -> Option<Bucket> {
    Bucket::ALL.into_iter().find(|bucket| bucket.name().as_bytes() == name)
}

/// The buckets at the top, strangers included, the last by name first.
fn top_buckets(bolt: &Bolt) -> Result<Vec<(Bytes, BucketRef)>, BackendError> {
    let mut cursor = Cursor::seek(&bolt.file, &Root::Page(bolt.meta.root), &[], None)?;
    let mut buckets = Vec::new();
    while let Some((leaf, i)) = cursor.current() {
        if leaf.is_bucket(i) {
            buckets.push((leaf.key_bytes(i), BucketRef::decode(&bolt.file, cursor.page(), leaf.value(i))?));
        }
        cursor.advance()?;
    }
    buckets.reverse();
    Ok(buckets)
}

/// All pairs of a file, by bucket and key.
fn pairs_of(disk: Rc<dyn DiskRead>, file: FileName) -> Result<BTreeMap<(Bytes, Bytes), Bytes>, BackendError> {
    let view = View::open(disk, file)?;
    let mut pairs = BTreeMap::new();
    for bucket in view.buckets()? {
        let name = Bytes::copy_from_slice(bucket.name());
        view.pairs(&bucket, &[], None, &mut |key, value| {
            pairs.insert((name.clone(), Bytes::copy_from_slice(key)), value.clone());
            true
        })?;
    }
    Ok(pairs)
}
