//! The engine: reads over the overlay and the tree, and what drives commits.

use super::commit::{Commit, grown};
use super::defrag::Defrag;
use super::file::File;
use super::format::{BUCKET_FLAG, Meta, NO_FREELIST, encode_freelist, freelist_pages};
use super::freelist::Freelist;
use super::open::Creation;
use super::page::BucketHead;
use super::totals::Totals;
use super::tree::{self, BucketRef, Cursor, Root};
use super::write::{Edit, Fill, Writer};
use crate::backend::{BackendError, BoltConfig, Bucket, Engine, Finished, Image, Stats};
use crate::disk::{FileName, OpId, OpSink};
use bytes::Bytes;
use std::cell::Cell;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::mem;
use std::ops::Bound;

/// Written since the last commit; `None`: deleted.
type Overlay = BTreeMap<Bytes, Option<Bytes>>;

/// See the module above.
#[derive(Debug)]
pub struct Bolt {
    pub(super) file: File,
    pub(super) config: BoltConfig,
    /// The tree of the last commit that was begun.
    pub(super) meta: Meta,
    pub(super) buckets: [BucketRef; Bucket::ALL.len()],
    pub(super) freelist: Freelist,
    /// The pages of the freelist that `meta` names.
    pub(super) freelist_pages: u64,
    /// Pages that the last commit wrote: the next one will need about as many.
    last_pages: u64,
    /// The file's length in bytes.
    pub(super) len: u64,
    /// The newest transaction that is durable.
    pub(super) durable: u64,
    /// Images by their pin: the metas of their trees.
    pub(super) readers: BTreeMap<u64, Meta>,
    pub(super) pins: u64,
    pub(super) creation: Option<Creation>,
    commit: Option<Commit>,
    defrag: Option<Defrag>,
    overlay: [Overlay; Bucket::ALL.len()],
    batched: u64,
    overlay_bytes: u64,
    in_transaction: bool,
    /// Over all pairs, the overlay's included. Unknown until somebody asks or a scan tells.
    pub(super) totals: Cell<Option<Totals>>,
    /// A key that no pair of the bucket is above; `None`: not known, or the bucket is empty.
    greatest: [Option<Bytes>; Bucket::ALL.len()],
}

impl Bolt {
    pub(super) fn new(
        file: File,
        config: BoltConfig,
        meta: Meta,
        buckets: [BucketRef; Bucket::ALL.len()],
        len: u64,
    ) -> Bolt {
        Bolt {
            file,
            config,
            meta,
            buckets,
            freelist: Freelist::new(config.freelist),
            freelist_pages: 0,
            last_pages: 0,
            len,
            durable: meta.txid,
            readers: BTreeMap::new(),
            pins: 0,
            creation: None,
            commit: None,
            defrag: None,
            overlay: Default::default(),
            batched: 0,
            overlay_bytes: 0,
            in_transaction: false,
            totals: Cell::new(None),
            greatest: Default::default(),
        }
    }

    /// Finds the totals by a scan, if they are not known. A damaged page is an error for whoever reads it next, too.
    fn totals(&self) -> Result<Totals, BackendError> {
        if let Some(totals) = self.totals.get() {
            return Ok(totals);
        }
        let mut totals = Totals::default();
        for bucket in Bucket::ALL {
            self.range(bucket, &[], None, &mut |key, value| {
                totals.add(bucket, key, value);
                true
            })?;
        }
        self.totals.set(Some(totals));
        Ok(totals)
    }

    /// Keeps the totals right over a write. Where they are not known, nothing is read for them.
    fn account(&mut self, bucket: Bucket, key: &Bytes, value: Option<&Bytes>) -> Result<(), BackendError> {
        let Some(mut totals) = self.totals.get() else { return Ok(()) };
        let n = bucket as usize;
        if self.greatest[n].is_none() {
            let written = self.overlay[n].last_key_value().map(|(key, _)| key.clone());
            self.greatest[n] = written.max(tree::last_key(&self.file, &self.buckets[n].root)?);
        }
        if self.greatest[n].as_ref().is_none_or(|greatest| key > greatest) {
            // A new last key, as almost every one of the bucket `key` is: there is no old value to look for.
            self.greatest[n] = Some(key.clone());
        } else if let Some(old) = self.get(bucket, key)? {
            totals.subtract(bucket, key, &old);
        }
        if let Some(value) = value {
            totals.add(bucket, key, value);
        }
        self.totals.set(Some(totals));
        Ok(())
    }

    fn edit(&mut self, bucket: Bucket, key: Bytes, value: Option<Bytes>) -> Result<(), BackendError> {
        assert!(self.in_transaction, "invariant: writes happen inside a transaction");
        self.account(bucket, &key, value.as_ref())?;
        self.batched += 1;
        self.overlay_bytes += (key.len() + value.as_ref().map_or(0, Bytes::len)) as u64;
        self.overlay[bucket as usize].insert(key, value);
        Ok(())
    }

    /// The batch becomes pages; the tree that reads see is the new one.
    fn write_batch(&mut self) -> Result<Commit, BackendError> {
        let txid = self.meta.txid + 1;
        self.release();
        let page_size = self.file.page_size;
        let (file, freelist) = (&mut self.file, &mut self.freelist);
        let expected = self.last_pages;
        let mut writer = Writer { file, freelist, txid, expected, reserved: 0..0, written: Vec::new() };
        let mut heads: Vec<Edit> = Vec::new();
        for bucket in Bucket::ALL {
            let edits: Vec<Edit> = mem::take(&mut self.overlay[bucket as usize]).into_iter().collect();
            if edits.is_empty() {
                continue;
            }
            let fill = if bucket == Bucket::Key { Fill::APPEND } else { Fill::DEFAULT };
            let state = &mut self.buckets[bucket as usize];
            state.root = writer.apply(&state.root, 0, &edits, fill, page_size / 4)?;
            heads.push((bucket.name().into(), Some(state.encode())));
        }
        let root = writer.apply(&Root::Page(self.meta.root), BUCKET_FLAG, &heads, Fill::DEFAULT, 0)?;
        let Root::Page(root) = root else { panic!("invariant: the tree of buckets has pages of its own") };

        writer.give_back();
        let mut meta = Meta { root, txid, freelist: NO_FREELIST, ..self.meta };
        if self.meta.freelist != NO_FREELIST {
            writer.free_pages(self.meta.freelist, self.freelist_pages)?;
        }
        if self.config.sync_freelist {
            let ids = writer.freelist.free_count() + writer.freelist.pending_count();
            self.freelist_pages = freelist_pages(ids, page_size);
            meta.freelist = writer.allocate(self.freelist_pages);
            writer.give_back();
            let list = encode_freelist(meta.freelist, &writer.freelist.ids(), self.freelist_pages, page_size);
            writer.write(meta.freelist, list);
        }
        let written = writer.written;
        self.last_pages = written.iter().map(|(_, page)| (page.len() / page_size) as u64).sum();
        meta.high_water = self.file.high_water;
        self.meta = meta;
        let needed = meta.high_water * page_size as u64;
        let grow_to = (needed > self.len).then(|| grown(needed));
        self.len = grow_to.unwrap_or(self.len);
        Ok(Commit::held(meta, written, grow_to))
    }

    /// Lets go of the pages that no image and no meta on the disk can need.
    pub(super) fn release(&mut self) {
        let mut readers: Vec<u64> = self.readers.values().map(|meta| meta.txid).collect();
        readers.sort_unstable();
        self.freelist.release(self.durable, &readers);
    }

    /// The dense file takes the old one's place, when it is durable and nobody reads the old one.
    fn try_rename(&mut self, ops: &mut OpSink<'_>) {
        if !self.readers.is_empty() || self.creation.is_some() {
            return;
        }
        let Some(defrag) = &mut self.defrag else { return };
        let Some(dense) = defrag.rename(&self.file, self.config.cache_bytes, ops) else { return };
        let totals = Some(dense.totals).filter(|_| self.batched == 0);
        self.file = dense.file;
        (self.meta, self.buckets, self.len) = (dense.meta, dense.buckets, dense.len);
        self.freelist = Freelist::new(self.config.freelist);
        self.freelist_pages = dense.freelist_pages;
        self.durable = dense.meta.txid;
        self.totals.set(totals);
        self.greatest = Default::default();
    }
}

impl BucketRef {
    /// The bucket's value in the tree of buckets.
    pub(super) fn encode(&self) -> Bytes {
        match &self.root {
            Root::Page(root) => BucketHead { root: *root, sequence: self.sequence }.encode(&[]),
            Root::Inline(leaf) => BucketHead { root: 0, sequence: self.sequence }.encode(leaf.bytes()),
        }
    }
}

impl Engine for Bolt {
    fn begin(&mut self) {
        assert!(!self.in_transaction, "invariant: transactions do not nest");
        self.in_transaction = true;
    }

    fn put(&mut self, bucket: Bucket, key: Bytes, value: Bytes) -> Result<(), BackendError> {
        assert!(!key.is_empty(), "invariant: bbolt has no empty keys");
        self.edit(bucket, key, Some(value))
    }

    fn delete(&mut self, bucket: Bucket, key: &[u8]) -> Result<(), BackendError> {
        self.edit(bucket, Bytes::copy_from_slice(key), None)
    }

    fn get(&self, bucket: Bucket, key: &[u8]) -> Result<Option<Bytes>, BackendError> {
        if let Some(written) = self.overlay[bucket as usize].get(key) {
            return Ok(written.clone());
        }
        let found = tree::get(&self.file, &self.buckets[bucket as usize].root, key)?;
        Ok(found.filter(|(_, is_bucket, _)| !is_bucket).map(|(value, ..)| value))
    }

    fn range(
        &self,
        bucket: Bucket,
        from: &[u8],
        to: Option<&[u8]>,
        visit: &mut dyn FnMut(&[u8], &Bytes) -> bool,
    ) -> Result<(), BackendError> {
        if to.is_some_and(|to| to <= from) {
            return Ok(());
        }
        let bounds = (Bound::Included(from), to.map_or(Bound::Unbounded, Bound::Excluded));
        let mut written = self.overlay[bucket as usize].range::<[u8], _>(bounds).peekable();
        let mut cursor = Cursor::seek(&self.file, &self.buckets[bucket as usize].root, from, to)?;
        loop {
            let order = match (cursor.current(), written.peek()) {
                (None, None) => return Ok(()),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some((leaf, i)), Some((key, _))) => leaf.key(i).cmp(&key[..]),
            };
            let mut go_on = true;
            if order == Ordering::Less {
                let (leaf, i) = cursor.current().expect("invariant: the cursor stands at the lower key");
                go_on = leaf.is_bucket(i) || visit(leaf.key(i), &leaf.value(i));
            } else if let Some((key, Some(value))) = written.next() {
                go_on = visit(key, value);
            }
            if !go_on {
                return Ok(());
            }
            if order != Ordering::Greater {
                cursor.advance()?;
            }
        }
    }

    fn commit(&mut self) {
        assert!(self.in_transaction, "invariant: only an open transaction is committed");
        self.in_transaction = false;
    }

    fn batched(&self) -> u64 {
        self.batched
    }

    fn commit_batch(&mut self, ops: &mut OpSink<'_>) -> Result<(), BackendError> {
        assert!(self.commit.is_none(), "invariant: one commit at a time");
        assert!(!self.in_transaction, "invariant: a batch ends between transactions");
        assert!(self.defrag.is_none(), "invariant: what is being copied into a new file does not change");
        if self.batched == 0 {
            return Ok(());
        }
        let mut commit = self.write_batch()?;
        (self.batched, self.overlay_bytes) = (0, 0);
        if self.creation.is_none() {
            commit.start(&self.file, ops);
        }
        self.commit = Some(commit);
        Ok(())
    }

    fn committing(&self) -> bool {
        self.commit.is_some()
    }

    fn op_done(&mut self, op: OpId, ops: &mut OpSink<'_>) -> Result<Finished, BackendError> {
        if self.creation_done(op, ops) {
            match &mut self.commit {
                Some(commit) => commit.start(&self.file, ops),
                None => self.file.visible(),
            }
        }
        if let Some(commit) = &mut self.commit
            && commit.op_done(op, self.file.name(), ops)
        {
            self.durable = commit.meta.txid;
            self.commit = None;
            self.file.visible();
            self.release();
            return Ok(Finished::Commit);
        }
        if self.defrag.as_mut().is_some_and(|defrag| defrag.op_done(op)) {
            self.defrag = None;
            self.file.renamed();
            return Ok(Finished::Defrag);
        }
        self.try_rename(ops);
        Ok(Finished::Nothing)
    }

    fn begin_image(&mut self) -> Image {
        self.pins += 1;
        self.readers.insert(self.pins, self.meta);
        let size = self.meta.high_water * self.file.page_size as u64;
        Image { size, offset: 0, pin: self.pins, whole: Bytes::new() }
    }

    fn image_chunk(&self, image: &mut Image, max: usize) -> Result<Option<Bytes>, BackendError> {
        self.read_image(image, max)
    }

    fn end_image(&mut self, image: Image) {
        self.readers.remove(&image.pin).expect("invariant: an image is let go of once");
        self.release();
    }

    fn begin_defrag(&mut self, ops: &mut OpSink<'_>) -> Result<(), BackendError> {
        assert!(
            self.batched == 0 && self.commit.is_none(),
            "invariant: a defragmentation begins with nothing to commit"
        );
        assert!(self.defrag.is_none(), "invariant: one defragmentation at a time");
        self.defrag = Some(Defrag::begin(self, ops)?);
        Ok(())
    }

    fn defrag_slice(&mut self, max: usize, ops: &mut OpSink<'_>) -> Result<bool, BackendError> {
        let mut defrag = self.defrag.take().expect("invariant: a defragmentation was begun");
        let copied = defrag.copy(self, max, ops);
        self.defrag = Some(defrag);
        self.try_rename(ops);
        copied
    }

    fn abandon_defrag(&mut self, ops: &mut OpSink<'_>) {
        if self.defrag.as_ref().is_some_and(Defrag::can_be_abandoned) {
            let defrag = self.defrag.take().expect("invariant: it was just seen");
            ops.remove(defrag.tmp());
        }
    }

    fn renamed(&mut self, to: FileName) {
        self.file.rename(to);
    }

    fn hash(&self) -> u64 {
        self.totals().map_or(0, |totals| totals.hash)
    }

    fn stats(&self) -> Stats {
        let page_size = self.file.page_size as u64;
        let free = self.freelist.free_count();
        let size = self.meta.high_water * page_size;
        Stats {
            size,
            in_use: size - free * page_size,
            pairs: self.totals.get().map_or(0, |totals| totals.bytes),
            free_pages: free,
            pending_pages: self.freelist.pending_count(),
            freelist_work: self.freelist.work(),
            readers: self.readers.len() as u64,
            memory: self.overlay_bytes + self.file.memory() + self.freelist.bytes(),
        }
    }
}
