//! One page, byte by byte: its head, its elements and where each key and value lies, and what is left free.

use super::db::{MetaFields, bucket_name};
use super::pairs::meaning;
use super::words::shown;
use super::{Filter, Rows};
use bytes::Bytes;
use seedbed::backend::BackendError;
use seedbed::backend::bolt::{Content, HEADER_BYTES, View};
use serde::Serialize;

/// Bytes of an element of a leaf or a branch.
const ELEMENT_BYTES: usize = 16;
/// Characters of a key or value that are shown.
const SHOWN: usize = 48;

/// A page.
#[derive(Clone, Debug, Serialize)]
pub struct PageReport {
    /// Its number.
    pub page: u64,
    /// Its first byte in the file.
    pub offset: u64,
    /// Its bytes, overflow included.
    pub bytes: u64,
    /// What it is used for: `leaf of key`, `free`…
    pub used_for: String,
    /// The head: its own number.
    pub id: u64,
    /// The head: what it is.
    pub flags: u16,
    /// The same in a word.
    pub kind: &'static str,
    /// The head: elements.
    pub count: u16,
    /// The head: further pages.
    pub overflow: u32,
    /// A meta's fields, if its checksum holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub meta: Option<MetaFields>,
    /// The elements of a leaf or a branch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub elements: Option<Rows<Element>>,
    /// The numbers of a freelist.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub free: Option<Rows<u64>>,
    /// The first byte in the page behind all that is used.
    pub free_at: u64,
    /// Why its content cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
}

/// An element of a leaf or a branch. Places are in bytes from the page's start.
#[derive(Clone, Debug, Serialize)]
pub struct Element {
    /// Its number.
    pub number: usize,
    /// Where it stands.
    pub at: usize,
    /// How far behind it its key begins.
    pub pos: u32,
    /// Bytes of its key.
    pub ksize: u32,
    /// Bytes of its value; absent in a branch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vsize: Option<u32>,
    /// The page below it, in a branch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub child: Option<u64>,
    /// Whether its value is a bucket.
    pub is_bucket: bool,
    /// Where its key begins.
    pub key_at: usize,
    /// The key, as it is shown.
    pub key: String,
    /// What it says.
    pub text: String,
}

/// Draws a page.
pub(super) fn page(view: &View, id: u64, filter: Filter) -> Result<PageReport, BackendError> {
    let header = view.header(id)?;
    let (page_size, mut bucket, mut used_for) = (u64::from(view.meta().page_size), None, "free".to_owned());
    // What a damaged tree hides stands there as free; the check tells of the damage.
    let _ = view.walk(&mut |reach| {
        if reach.pages > 0 && (reach.id..reach.id + reach.pages).contains(&id) {
            let name = bucket_name(reach.bucket);
            let name = if name.is_empty() { "the tree of buckets" } else { &name };
            let what = if reach.id == id { reach.kind.name() } else { "overflow" };
            used_for = format!("{what} of {name}");
            bucket = Some(reach.bucket.to_vec());
        }
    });
    if id < 2 {
        used_for = "meta".to_owned();
    } else if id == view.meta().freelist {
        used_for = "freelist".to_owned();
    }
    let mut report = PageReport {
        page: id,
        offset: id * page_size,
        bytes: page_size,
        used_for,
        id: header.id,
        flags: header.flags,
        kind: header.kind().map_or("unknown", |kind| kind.name()),
        count: header.count,
        overflow: header.overflow,
        meta: None,
        elements: None,
        free: None,
        free_at: HEADER_BYTES as u64,
        fault: None,
    };
    match view.page_bytes(id).and_then(|bytes| Ok((view.content(id)?, bytes))) {
        Ok((content, bytes)) => report.read(&content, &bytes, bucket.as_deref(), filter),
        Err(BackendError::Disk(error)) => return Err(error.into()),
        Err(BackendError::Page { expected, found, .. }) => {
            report.fault = Some(format!("expected {expected}, found {found}"));
        }
        Err(error) => report.fault = Some(error.to_string()),
    }
    Ok(report)
}

impl PageReport {
    fn read(&mut self, content: &Content, bytes: &Bytes, bucket: Option<&[Bytes]>, filter: Filter) {
        self.bytes = bytes.len() as u64;
        let u32_at = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("invariant: four bytes"));
        let name = bucket.filter(|path| path.len() == 1).map_or(&b""[..], |path| &path[0]);
        let mut end = HEADER_BYTES;
        let mut rows = Rows::new(filter);
        match content {
            Content::Meta(meta) => {
                self.meta = meta.as_ref().ok().map(MetaFields::of);
                self.fault = meta.as_ref().err().map(ToString::to_string);
                // Magic, version, page size, flags, six numbers, checksum.
                end += 64;
            }
            Content::Freelist(ids) => {
                let mut free = Rows::new(filter);
                ids.iter().for_each(|id| free.add(|| *id));
                end += 8 * (ids.len() + usize::from(self.count == u16::MAX));
                self.free = Some(free);
            }
            Content::Leaf(leaf) => {
                for number in 0..leaf.len() {
                    let at = HEADER_BYTES + number * ELEMENT_BYTES;
                    let (pos, ksize, vsize) = (u32_at(at + 4), u32_at(at + 8), u32_at(at + 12));
                    let key_at = at + pos as usize;
                    end = end.max(key_at + ksize as usize + vsize as usize);
                    rows.add(|| {
                        let (key, value, is_bucket) = (leaf.key(number), leaf.value(number), leaf.is_bucket(number));
                        let text = if is_bucket { bucket_value(&value) } else { meaning(name, key, &value) };
                        let (key, vsize, child) = (shown(key, SHOWN), Some(vsize), None);
                        Element { number, at, pos, ksize, vsize, child, is_bucket, key_at, key, text }
                    });
                }
            }
            Content::Branch(branch) => {
                for number in 0..branch.len() {
                    let at = HEADER_BYTES + number * ELEMENT_BYTES;
                    let (pos, ksize) = (u32_at(at), u32_at(at + 4));
                    let key_at = at + pos as usize;
                    end = end.max(key_at + ksize as usize);
                    rows.add(|| {
                        let (key, child) = (branch.key(number), branch.child(number));
                        let text = format!("page {child}: keys from {} on", first_key(name, key));
                        let (key, child, vsize) = (shown(key, SHOWN), Some(child), None);
                        Element { number, at, pos, ksize, vsize, child, is_bucket: false, key_at, key, text }
                    });
                }
            }
        }
        if matches!(content, Content::Leaf(_) | Content::Branch(_)) {
            self.elements = Some(rows);
        }
        self.free_at = end as u64;
    }
}

/// A bucket's value: its root page, or that it is inline.
fn bucket_value(value: &[u8]) -> String {
    let root = value.first_chunk().map_or(0, |root| u64::from_le_bytes(*root));
    match root {
        0 => format!("a bucket, inline: {} bytes", value.len()),
        root => format!("a bucket: its root is page {root}"),
    }
}

/// A branch's key: in the bucket `key` it is a revision.
fn first_key(bucket: &[u8], key: &[u8]) -> String {
    match seedbed::mvcc::Revision::decode(key) {
        Some((at, _)) if bucket == b"key" => format!("({},{})", at.main, at.sub),
        _ => shown(key, SHOWN),
    }
}
