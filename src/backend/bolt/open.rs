//! How an engine comes to a file: it makes one, or opens the one that is there.

use super::commit::grown;
use super::elements::{self, LeafItem};
use super::engine::Bolt;
use super::file::File;
use super::format::{BUCKET_FLAG, Fault, Header, Meta, NO_FREELIST, encode_freelist};
use super::page::{BucketHead, Leaf, Node};
use super::scan::{self, Reached};
use super::totals::Totals;
use super::tree::{self, BucketRef, Cursor, Root};
use super::view::read_freelist;
use crate::backend::{BackendError, BoltConfig, Bucket};
use crate::disk::{DiskRead, FileName, OpId, OpSink};
use std::rc::Rc;

/// A new file on its way to its name.
#[derive(Debug)]
pub(super) enum Creation {
    /// Its pages are being synced under a name of their own.
    Written { tmp: FileName, sync: OpId },
    /// It is being renamed.
    Named { sync_dir: OpId },
}

impl Bolt {
    /// Whether there is a file to open.
    pub fn exists(disk: &dyn DiskRead, file: &str) -> bool {
        disk.len(file).is_ok()
    }

    /// Makes a new file with all buckets, empty. It is written as `<file>.new` and gets its name when it is durable, so
    /// that a cut never leaves half a file under the real name. The engine serves meanwhile.
    pub fn create(disk: Rc<dyn DiskRead>, file: FileName, config: BoltConfig, ops: &mut OpSink<'_>) -> Bolt {
        let empty = BucketHead { root: 0, sequence: 0 }.encode(&elements::encode_inline(&[]));
        let item = |bucket: Bucket| LeafItem { flags: BUCKET_FLAG, key: bucket.name().into(), value: empty.clone() };
        let root = elements::encode(2, &Bucket::ALL.map(item), config.page_size);
        let after_root = 2 + (root.len() / config.page_size) as u64;
        let list =
            if config.sync_freelist { encode_freelist(after_root, &[], 1, config.page_size) } else { Vec::new() };
        let page_size = u32::try_from(config.page_size).expect("invariant: a page is not longer than 65,536 bytes");
        let (freelist, freelist_pages) = if config.sync_freelist { (after_root, 1) } else { (NO_FREELIST, 0) };
        let meta = Meta { page_size, root: 2, sequence: 0, freelist, high_water: after_root + freelist_pages, txid: 1 };
        let older = Meta { txid: 0, ..meta };

        let tmp: FileName = format!("{file}.new").into();
        let all = [older.encode(), meta.encode(), root.clone(), list.clone()].concat();
        let len = grown(all.len() as u64);
        ops.create(&tmp);
        ops.write(&tmp, 0, all);
        ops.truncate(&tmp, len);
        let sync = ops.sync(&tmp);

        let mut pages = File::new(disk, file, &meta, config.cache_bytes);
        pages.issue(2, root.into());
        if config.sync_freelist {
            pages.issue(after_root, list.into());
        }
        let mut bolt = Bolt::new(pages, config, meta, [(); Bucket::ALL.len()].map(|()| empty_bucket()), len);
        bolt.freelist_pages = freelist_pages;
        bolt.totals.set(Some(Totals::default()));
        bolt.creation = Some(Creation::Written { tmp, sync });
        bolt
    }

    /// Opens a file. With a freelist in it only the metas, the freelist and the buckets' heads are read; without one
    /// the free pages are those that no tree reaches, and the whole file is read.
    pub fn open(disk: Rc<dyn DiskRead>, file: FileName, config: BoltConfig) -> Result<Bolt, BackendError> {
        let len = disk.len(&file)?;
        let (file, meta) = File::open(disk, file, config.cache_bytes)?;
        let buckets = read_buckets(&file, &meta)?;
        let mut bolt = Bolt::new(file, config, meta, buckets, len);
        match read_freelist(&bolt.file, &meta)? {
            Some(ids) => {
                bolt.freelist_pages = Header::decode(&bolt.file.read_page(meta.freelist)?).map_or(1, |h| h.pages());
                bolt.freelist.load(ids);
            }
            None => bolt.find_free_pages()?,
        }
        Ok(bolt)
    }

    /// Walks over everything: what is not reached is free. On the way all pairs are hashed.
    fn find_free_pages(&mut self) -> Result<(), BackendError> {
        self.file.will_read();
        let mut reached = Reached::new(self.meta.high_water);
        let mut totals = Totals::default();
        scan::walk(&self.file, self.meta.root, &mut reached, &mut |page| {
            let ([name], Node::Leaf(leaf)) = (page.bucket, page.node) else { return };
            let bucket = Bucket::ALL.into_iter().find(|bucket| bucket.name().as_bytes() == &name[..]);
            if let Some(bucket) = bucket {
                scan::pairs(leaf).for_each(|(key, value)| totals.add(bucket, key, value));
            }
        })?;
        self.freelist.load(reached.rest());
        self.totals.set(Some(totals));
        Ok(())
    }

    /// The new file on its way to its name. `true` when it has it.
    pub(super) fn creation_done(&mut self, op: OpId, ops: &mut OpSink<'_>) -> bool {
        match &self.creation {
            Some(Creation::Written { tmp, sync }) if *sync == op => {
                ops.rename(tmp, self.file.name());
                let sync_dir = ops.sync_dir(&dir_of(self.file.name()));
                self.creation = Some(Creation::Named { sync_dir });
                false
            }
            Some(Creation::Named { sync_dir }) if *sync_dir == op => {
                self.creation = None;
                true
            }
            _ => false,
        }
    }
}

pub(super) fn empty_bucket() -> BucketRef {
    let leaf = Leaf::parse(elements::encode_inline(&[]).into()).expect("invariant: an empty page can be read");
    BucketRef { root: Root::Inline(leaf), sequence: 0 }
}

/// The directory of a file.
pub(super) fn dir_of(file: &str) -> FileName {
    file.rsplit_once('/').map_or("", |(dir, _)| dir).into()
}

/// Our ten buckets; one that the file lacks is empty, and is made by its first write. But etcd makes them all at once: a
/// file with some of them and without the two that matter has lost a page.
fn read_buckets(file: &File, meta: &Meta) -> Result<[BucketRef; Bucket::ALL.len()], BackendError> {
    let mut buckets = [(); Bucket::ALL.len()].map(|()| empty_bucket());
    let mut missing = vec![Bucket::Key, Bucket::Meta];
    for bucket in Bucket::ALL {
        let found = tree::get(file, &Root::Page(meta.root), bucket.name().as_bytes())?;
        if let Some((value, true, page)) = found {
            buckets[bucket as usize] = BucketRef::decode(file, page, value)?;
            missing.retain(|other| *other != bucket);
        }
    }
    let first = Cursor::seek(file, &Root::Page(meta.root), &[], None)?;
    if let (Some(bucket), Some(_)) = (missing.first(), first.current()) {
        let expected = format!("the bucket {} among those that this page leads to", bucket.name());
        return Err(file.error(meta.root, Fault { expected, found: "others without it".to_owned() }));
    }
    Ok(buckets)
}
