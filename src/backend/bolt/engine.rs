//! The engine: reads over the overlay and the tree, and what drives commits.

use super::commit::{Commit, grown, runs};
use super::defrag::Defrag;
use super::file::File;
use super::format::{BUCKET_FLAG, Meta, NO_FREELIST, encode_freelist, freelist_pages};
use super::freelist::Freelist;
use super::open::Creation;
use super::overlay::Overlay;
use super::page::BucketHead;
use super::totals::Totals;
use super::tree::{self, BucketRef, Cursor, Root};
use super::write::{Edit, Fill, Writer};
use crate::backend::{BackendError, BoltConfig, Bucket, Engine, Finished, Image, Stats};
use crate::disk::{FileName, OpId, OpSink};
use bytes::Bytes;
use std::cell::{Cell, OnceCell};
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops::Bound;

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
    overlay: Overlay,
    in_transaction: bool,
    /// Over all pairs, but for what the overlay has not counted. Unknown until somebody asks or a scan tells.
    pub(super) totals: Cell<Option<Totals>>,
    /// The last key of each bucket's tree, once it was looked for.
    last_keys: [OnceCell<Option<Bytes>>; Bucket::ALL.len()],
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
            overlay: Overlay::default(),
            in_transaction: false,
            totals: Cell::new(None),
            last_keys: Default::default(),
        }
    }

    /// Finds the totals by a scan, if they are not known. A damaged page is an error for whoever reads it next, too.
    fn totals(&self) -> Result<Totals, BackendError> {
        if let Some(mut totals) = self.totals.get() {
            let counted = self.overlay.count(&mut totals, |bucket, key| self.old_value(bucket, key));
            self.totals.set(Some(totals));
            return counted.map(|()| totals);
        }
        let mut totals = Totals::default();
        for bucket in Bucket::ALL {
            self.range(bucket, &[], None, &mut |key, value| {
                totals.add(bucket, key, value);
                true
            })?;
        }
        self.overlay.set_counted(true);
        self.totals.set(Some(totals));
        Ok(totals)
    }

    /// A key's value in the tree of the last commit.
    fn tree_value(&self, bucket: Bucket, key: &[u8]) -> Result<Option<Bytes>, BackendError> {
        let found = tree::get(&self.file, &self.buckets[bucket as usize].root, key)?;
        Ok(found.filter(|(_, is_bucket, _)| !is_bucket).map(|(value, ..)| value))
    }

    /// The same for a key that is written to. Above the tree's last key, where almost every write to the bucket `key`
    /// goes, nothing is looked for.
    fn old_value(&self, bucket: Bucket, key: &[u8]) -> Result<Option<Bytes>, BackendError> {
        let last = &self.last_keys[bucket as usize];
        if last.get().is_none() {
            let found = tree::last_key(&self.file, &self.buckets[bucket as usize].root)?;
            last.set(found).expect("invariant: the cell was just seen empty");
        }
        match last.get() {
            Some(Some(last)) if key <= &last[..] => self.tree_value(bucket, key),
            _ => Ok(None),
        }
    }

    /// The batch becomes pages; the tree that reads see is the new one.
    fn write_batch(&mut self) -> Result<Commit, BackendError> {
        let txid = self.meta.txid + 1;
        self.release();
        let page_size = self.file.page_size;
        let (file, freelist) = (&mut self.file, &mut self.freelist);
        let expected = self.last_pages;
        let (totals, bucket, written) = (self.totals.get(), Bucket::Key, Vec::new());
        let mut writer = Writer { file, freelist, txid, expected, reserved: 0..0, totals, bucket, written };
        let mut heads: Vec<Edit> = Vec::new();
        for (bucket, edits) in self.overlay.take() {
            writer.bucket = bucket;
            let fill = if bucket == Bucket::Key { Fill::APPEND } else { Fill::DEFAULT };
            let state = &mut self.buckets[bucket as usize];
            state.root = writer.apply(&state.root, 0, &edits, fill, page_size / 4)?;
            self.last_keys[bucket as usize] = OnceCell::new();
            heads.push(Edit { key: bucket.name().into(), value: Some(state.encode()), counted: true });
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
        self.totals.set(writer.totals);
        self.last_pages = written.iter().map(|(_, page)| (page.len() / page_size) as u64).sum();
        meta.high_water = self.file.high_water;
        self.meta = meta;
        let needed = meta.high_water * page_size as u64;
        let grow_to = (needed > self.len).then(|| grown(needed));
        self.len = grow_to.unwrap_or(self.len);
        Ok(Commit::held(meta, runs(written, page_size), grow_to))
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
        self.file = dense.file;
        (self.meta, self.buckets, self.len) = (dense.meta, dense.buckets, dense.len);
        self.freelist = Freelist::new(self.config.freelist);
        self.freelist_pages = dense.freelist_pages;
        self.durable = dense.meta.txid;
        self.totals.set(Some(dense.totals));
        self.overlay.set_counted(false);
        self.last_keys = Default::default();
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
        assert!(self.in_transaction, "invariant: writes happen inside a transaction");
        self.overlay.write(bucket, key, Some(value), &self.totals);
        Ok(())
    }

    fn delete(&mut self, bucket: Bucket, key: &[u8]) -> Result<(), BackendError> {
        assert!(self.in_transaction, "invariant: writes happen inside a transaction");
        self.overlay.write(bucket, Bytes::copy_from_slice(key), None, &self.totals);
        Ok(())
    }

    fn get(&self, bucket: Bucket, key: &[u8]) -> Result<Option<Bytes>, BackendError> {
        match self.overlay.get(bucket, key) {
            Some(written) => Ok(written.clone()),
            None => self.tree_value(bucket, key),
        }
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
        let mut written = self.overlay.range(bucket, bounds).peekable();
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

    fn will_read(&self) {
        self.file.will_read();
    }

    fn commit(&mut self) {
        assert!(self.in_transaction, "invariant: only an open transaction is committed");
        self.in_transaction = false;
    }

    fn batched(&self) -> u64 {
        self.overlay.writes
    }

    fn commit_batch(&mut self, ops: &mut OpSink<'_>) -> Result<(), BackendError> {
        assert!(self.commit.is_none(), "invariant: one commit at a time");
        assert!(!self.in_transaction, "invariant: a batch ends between transactions");
        assert!(self.defrag.is_none(), "invariant: what is being copied into a new file does not change");
        if self.overlay.writes == 0 {
            return Ok(());
        }
        let mut commit = self.write_batch()?;
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
            self.overlay.writes == 0 && self.commit.is_none(),
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

    fn hash(&self) -> Option<u64> {
        self.totals().ok().map(|totals| totals.hash)
    }

    fn stats(&self) -> Stats {
        let page_size = self.file.page_size as u64;
        let free = self.freelist.free_count();
        // Nobody waits for a scan here: what is not known yet is 0.
        let totals = self.totals.get().and_then(|_| self.totals().ok());
        let size = self.meta.high_water * page_size;
        Stats {
            size,
            in_use: size - free * page_size,
            pairs: totals.map_or(0, |totals| totals.bytes),
            free_pages: free,
            pending_pages: self.freelist.pending_count(),
            freelist_work: self.freelist.work(),
            readers: self.readers.len() as u64,
            memory: self.overlay.bytes + self.file.memory() + self.freelist.bytes(),
        }
    }
}
