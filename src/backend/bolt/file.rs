//! The file as numbered pages: reading them, and keeping some.
//!
//! Three places are asked in turn: a bounded *cache*, the pages that a commit has *issued* and that may not be visible on
//! the disk yet (a write is seen by a read only when the step that issued it has ended), the disk. A page from the disk
//! is validated whole before anyone sees it, and stays valid: no transaction changes a page that a tree reaches. When
//! issued pages have become visible they go into the cache, since the next commit begins where they are.
//!
//! Left out: a memory map. bbolt maps its file and lets the kernel decide what stays in memory; here that is the cache,
//! whose size is a setting, so that a run's memory can be bounded and repeated.

use super::cache::Cache;
use super::format::{Fault, Header, Meta, fault};
use super::page::Node;
use crate::backend::BackendError;
use crate::disk::{DiskError, DiskRead, FileName};
use bytes::{Bytes, BytesMut};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::mem;
use std::rc::Rc;

/// A file of pages.
pub(super) struct File {
    disk: Rc<dyn DiskRead>,
    name: FileName,
    /// The name that it had until a rename that may not be visible yet.
    former: Option<FileName>,
    pub(super) page_size: usize,
    /// Pages from here on were never used.
    pub(super) high_water: u64,
    /// Whole pages (overflow included) by their number, until the commit that wrote them is durable.
    issued: BTreeMap<u64, Bytes>,
    cache: RefCell<Cache>,
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "File({}, {} pages of {} bytes)", self.name, self.high_water, self.page_size)
    }
}

/// Both metas of a file as they lie there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metas {
    /// Of pages 0 and 1: what they say, or why they cannot be used.
    pub metas: [Result<Meta, Fault>; 2],
    /// The file's length in bytes.
    pub len: u64,
}

impl Metas {
    /// Reads them. Page 1 is found by page 0's page size; if page 0 is broken, at any page size that it confirms itself.
    pub fn read(disk: &dyn DiskRead, file: &str) -> Result<Metas, DiskError> {
        let at = |offset: u64| -> Result<Result<Meta, Fault>, DiskError> {
            let mut page = [0; 80];
            let read = disk.read(file, offset, &mut page)?;
            Ok(Meta::decode(&page[..read]))
        };
        let len = disk.len(file)?;
        let first = at(0)?;
        if let Ok(meta) = &first {
            let second = at(u64::from(meta.page_size))?.and_then(|second| second.of_page_size(meta.page_size));
            return Ok(Metas { metas: [first, second], len });
        }
        for shift in 9..=16 {
            if let Ok(second) = at(1 << shift)?.and_then(|second| second.of_page_size(1 << shift)) {
                return Ok(Metas { metas: [first, Ok(second)], len });
            }
        }
        let second = Err(fault("a meta at byte 512, 1024, … or 65536, where its own page size puts it", "none"));
        Ok(Metas { metas: [first, second], len })
    }

    /// The newer usable one.
    pub fn newest(&self, file: &FileName) -> Result<Meta, BackendError> {
        let usable = self.metas.iter().filter_map(|meta| meta.as_ref().ok());
        usable.max_by_key(|meta| meta.txid).copied().ok_or_else(|| {
            let reasons = self.metas.iter().zip(0..).filter_map(|(meta, page)| {
                let fault = meta.as_ref().err()?;
                Some(format!("page {page}: {fault}"))
            });
            BackendError::Meta { file: file.clone(), reasons: reasons.collect::<Vec<_>>().join("; ") }
        })
    }
}

impl Meta {
    fn of_page_size(self, page_size: u32) -> Result<Meta, Fault> {
        if self.page_size == page_size {
            return Ok(self);
        }
        Err(fault(format!("the page size {page_size}, which puts the meta here"), self.page_size))
    }
}

impl File {
    /// A file that `meta` describes. Nothing is read.
    pub(super) fn new(disk: Rc<dyn DiskRead>, name: FileName, meta: &Meta, cache_bytes: usize) -> File {
        File {
            disk,
            name,
            former: None,
            page_size: meta.page_size as usize,
            high_water: meta.high_water,
            issued: BTreeMap::new(),
            cache: RefCell::new(Cache::new(cache_bytes)),
        }
    }

    /// Reads the metas of a file and opens it as the newer one says.
    pub(super) fn open(
        disk: Rc<dyn DiskRead>,
        name: FileName,
        cache_bytes: usize,
    ) -> Result<(File, Meta), BackendError> {
        let metas = Metas::read(&*disk, &name)?;
        let meta = metas.newest(&name)?;
        let file = File::new(disk, name, &meta, cache_bytes);
        let needed = meta.high_water.checked_mul(u64::from(meta.page_size));
        if needed.is_none_or(|needed| metas.len < needed) {
            let expected = format!("a file of {} pages, as meta page {} says", meta.high_water, meta.page_id());
            return Err(file.error(meta.high_water - 1, fault(expected, format!("a file of {} bytes", metas.len))));
        }
        Ok((file, meta))
    }

    pub(super) fn name(&self) -> &FileName {
        &self.name
    }

    pub(super) fn disk(&self) -> &Rc<dyn DiskRead> {
        &self.disk
    }

    /// The file takes another name, by a rename that has been issued.
    pub(super) fn rename(&mut self, to: FileName) {
        self.former = Some(mem::replace(&mut self.name, to));
    }

    /// The rename is done.
    pub(super) fn renamed(&mut self) {
        self.former = None;
    }

    /// What is wrong with a page.
    pub(super) fn error(&self, page: u64, Fault { expected, found }: Fault) -> BackendError {
        BackendError::Page { file: self.name.clone(), page, expected, found }
    }

    /// A leaf or branch page, validated.
    pub(super) fn node(&self, id: u64) -> Result<Rc<Node>, BackendError> {
        if let Some(node) = self.cached(id) {
            return Ok(node);
        }
        let node = self.parse(id, self.read_page(id)?)?;
        self.cache.borrow_mut().insert(id, &node);
        Ok(node)
    }

    /// The same, if it is in memory and was validated.
    pub(super) fn cached(&self, id: u64) -> Option<Rc<Node>> {
        self.cache.borrow_mut().get(id).cloned()
    }

    /// Validates a whole page that was read already.
    pub(super) fn parse(&self, id: u64, bytes: Bytes) -> Result<Rc<Node>, BackendError> {
        Node::parse(bytes, self.high_water).map(Rc::new).map_err(|fault| self.error(id, fault))
    }

    /// All bytes of page `id`, overflow included, whatever kind it is; its head is checked.
    pub(super) fn read_page(&self, id: u64) -> Result<Bytes, BackendError> {
        if let Some(page) = self.issued.get(&id) {
            return Ok(page.clone());
        }
        let mut page = self.read_pages(id, 1)?;
        let header = self.header(id, &page)?;
        if header.overflow > 0 {
            page = self.read_pages(id, header.pages())?;
        }
        Ok(page)
    }

    /// The head of page `id`, whose first bytes are given; that it is page `id`, and that its overflow exists.
    pub(super) fn header(&self, id: u64, page: &[u8]) -> Result<Header, BackendError> {
        let header = Header::decode(page).map_err(|fault| self.error(id, fault))?;
        if header.id != id {
            return Err(self.error(id, fault(format!("its own number {id} in its head"), header.id)));
        }
        if header.pages() > self.high_water.saturating_sub(id) {
            let room = self.high_water.saturating_sub(id);
            return Err(self.error(id, fault(format!("at most {room} pages up to the file's end"), header.pages())));
        }
        Ok(header)
    }

    /// `count` pages as they lie on the disk.
    pub(super) fn read_pages(&self, first: u64, count: u64) -> Result<Bytes, BackendError> {
        self.read_pages_into(first, count, BytesMut::new())
    }

    /// The same, in memory that was used before.
    pub(super) fn read_pages_into(&self, first: u64, count: u64, mut bytes: BytesMut) -> Result<Bytes, BackendError> {
        if first.checked_add(count).is_none_or(|end| end > self.high_water) {
            return Err(self.error(first, fault(format!("a page below {}", self.high_water), first)));
        }
        bytes.resize(count as usize * self.page_size, 0);
        let read = self.read_bytes(first * self.page_size as u64, &mut bytes)?;
        if read < bytes.len() {
            let end = first * self.page_size as u64 + read as u64;
            return Err(self.error(first, fault(format!("{} bytes", bytes.len()), format!("the file's end at {end}"))));
        }
        Ok(bytes.freeze())
    }

    /// The pages `first..end` as they will lie on the disk when all that was issued is there. Pages that were never
    /// written are zeros.
    pub(super) fn read_visible(&self, first: u64, end: u64) -> Result<Vec<u8>, BackendError> {
        let page_size = self.page_size as u64;
        let mut bytes = vec![0; ((end - first) * page_size) as usize];
        match self.read_bytes(first * page_size, &mut bytes) {
            // The file may be so new that its name is not there yet: then all of it is issued.
            Err(DiskError::NotFound { .. }) if !self.issued.is_empty() => {}
            read => drop(read?),
        }
        let before = self.issued.range(..first).next_back().map_or(first, |(id, _)| *id);
        for (id, page) in self.issued(before..end) {
            let pages = id..id + page.len() as u64 / page_size;
            let (from, to) = (pages.start.max(first), pages.end.min(end));
            if from < to {
                let source = &page[((from - id) * page_size) as usize..((to - id) * page_size) as usize];
                bytes[((from - first) * page_size) as usize..((to - first) * page_size) as usize]
                    .copy_from_slice(source);
            }
        }
        Ok(bytes)
    }

    fn read_bytes(&self, offset: u64, into: &mut [u8]) -> Result<usize, DiskError> {
        if let Some(former) = &self.former {
            match self.disk.read(former, offset, into) {
                Err(DiskError::NotFound { .. }) => {}
                read => return read,
            }
        }
        self.disk.read(&self.name, offset, into)
    }

    /// The issued pages that begin in a range, with their numbers.
    pub(super) fn issued(&self, pages: std::ops::Range<u64>) -> impl Iterator<Item = (u64, &Bytes)> {
        self.issued.range(pages).map(|(id, page)| (*id, page))
    }

    /// All pages are about to be read.
    pub(super) fn will_read(&self) {
        self.disk.will_read(&self.name);
    }

    /// Takes a page that is on its way to the disk.
    pub(super) fn issue(&mut self, id: u64, page: Bytes) {
        self.cache.get_mut().forget(id);
        self.issued.insert(id, page);
    }

    /// What was issued can be read from the disk now. The next commit changes neighbours of what this one wrote: that
    /// stays in the cache.
    pub(super) fn visible(&mut self) {
        for (id, page) in mem::take(&mut self.issued) {
            let cache = self.cache.get_mut();
            if cache.get(id).is_none()
                && let Some(node) = Node::written(page)
            {
                cache.insert(id, &Rc::new(node));
            }
        }
    }

    /// Bytes of pages in memory.
    pub(super) fn memory(&self) -> u64 {
        let issued: usize = self.issued.values().map(Bytes::len).sum();
        (issued + self.cache.borrow().bytes) as u64
    }
}
