//! A database: both metas, its buckets, and how far it has come.

use super::finding::Findings;
use super::recognise::{FileKind, SHA_BYTES};
use super::snap_file::MemberReport;
use super::words::hex;
use bytes::Bytes;
use seedbed::backend::BackendError;
use seedbed::backend::bolt::{BucketInfo, Meta, Metas, NO_FREELIST, PageKind, View};
use seedbed::disk::{DiskError, DiskRead, FileName};
use seedbed::mvcc::Revision;
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::rc::Rc;

/// Bytes that are hashed at once.
const HASHED_AT_ONCE: usize = 1 << 16;

/// A database as a whole.
#[derive(Clone, Debug, Serialize)]
pub struct DbReport {
    /// Its path.
    pub file: String,
    /// Its length in bytes.
    pub bytes: u64,
    /// The hash behind it, if `etcdctl snapshot save` wrote it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<ShaReport>,
    /// Pages 0 and 1.
    pub metas: Vec<MetaReport>,
    /// What is in it; absent if no meta can be used.
    #[serde(flatten)]
    pub state: Option<DbState>,
}

/// The SHA-256 behind a saved snapshot.
#[derive(Clone, Debug, Serialize)]
pub struct ShaReport {
    /// As it stands there.
    pub stored: String,
    /// Of the bytes before it.
    pub computed: String,
}

/// A meta page.
#[derive(Clone, Debug, Serialize)]
pub struct MetaReport {
    /// 0 or 1.
    pub page: u64,
    /// Whether the file is read by it.
    pub in_force: bool,
    /// What it says; absent if it cannot be used.
    #[serde(flatten)]
    pub says: Option<MetaFields>,
    /// Why it cannot be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
}

/// The fields of a meta whose checksum holds.
#[derive(Clone, Debug, Serialize)]
pub struct MetaFields {
    /// The transaction that wrote it.
    pub txid: u64,
    /// Bytes of a page.
    pub page_size: u32,
    /// The root page of the tree of buckets.
    pub root: u64,
    /// Where the freelist begins; absent if the file keeps none.
    pub freelist: Option<u64>,
    /// Pages from here on were never used.
    pub high_water: u64,
}

/// What is in a database.
#[derive(Clone, Debug, Serialize)]
pub struct DbState {
    /// Bytes of a page.
    pub page_size: u64,
    /// Pages below the high-water mark.
    pub pages: u64,
    /// Pages that no tree reaches.
    pub free_pages: u64,
    /// Bytes of pages that are not free.
    pub in_use_bytes: u64,
    /// Numbers on the freelist page; absent if the file keeps none.
    pub freelist_length: Option<u64>,
    /// The buckets, ascending by name.
    pub buckets: Vec<BucketReport>,
    /// Index of the last entry that is applied in it.
    pub consistent_index: Option<u64>,
    /// Its term (etcd 3.4 does not write it).
    pub term: Option<u64>,
    /// Main revision of the last change.
    pub revision: i64,
    /// Up to where a compaction was begun.
    pub scheduled_compact_revision: Option<i64>,
    /// Up to where one was finished.
    pub finished_compact_revision: Option<i64>,
    /// The cluster's version.
    pub cluster_version: Option<String>,
    /// The members, as the bucket has them.
    pub members: Vec<MemberReport>,
    /// Ids that were removed.
    pub removed: Vec<String>,
}

/// A bucket.
#[derive(Clone, Debug, Default, Serialize)]
pub struct BucketReport {
    /// Its name, with those of the buckets around it.
    pub name: String,
    /// Its root page; 0 if it is inline.
    pub root: u64,
    /// Levels of its tree; 0 if it is inline.
    pub depth: usize,
    /// Branch pages.
    pub branch_pages: u64,
    /// Leaf pages.
    pub leaf_pages: u64,
    /// Pages behind the first of a branch or a leaf.
    pub overflow_pages: u64,
    /// Pairs in it.
    pub pairs: u64,
    /// Bytes of their keys and values.
    pub bytes: u64,
}

/// What is in a database file. Damage is a finding.
pub(super) fn report(
    disk: &Rc<dyn DiskRead>,
    file: &FileName,
    kind: FileKind,
    findings: &mut Findings,
) -> Result<DbReport, DiskError> {
    let read = Metas::read(&**disk, file)?;
    let mut report =
        DbReport { file: file.to_string(), bytes: read.len, sha256: None, metas: metas(&read, file), state: None };
    if kind == FileKind::SavedDb {
        let sha = sha256(&**disk, file, read.len)?;
        if sha.stored != sha.computed {
            findings.add(file, format!("expected the SHA-256 {} at its end, found {}", sha.computed, sha.stored));
        }
        report.sha256 = Some(sha);
    }
    for meta in &report.metas {
        if let Some(fault) = &meta.fault {
            findings.add(file, format!("meta page {} cannot be used: {fault}", meta.page));
        }
    }
    match View::open(disk.clone(), file.clone()).and_then(|view| state(&view)) {
        Ok(state) => report.state = Some(state),
        Err(BackendError::Disk(error)) => return Err(error),
        Err(error) => findings.add_backend(&error),
    }
    Ok(report)
}

fn metas(read: &Metas, file: &FileName) -> Vec<MetaReport> {
    let newest = read.newest(file).ok();
    let metas = read.metas.iter().zip(0..);
    metas
        .map(|(meta, page)| MetaReport {
            page,
            in_force: newest.is_some() && meta.as_ref().ok() == newest.as_ref(),
            says: meta.as_ref().ok().map(MetaFields::of),
            fault: meta.as_ref().err().map(ToString::to_string),
        })
        .collect()
}

impl MetaFields {
    /// The fields of a meta.
    pub(super) fn of(meta: &Meta) -> MetaFields {
        MetaFields {
            txid: meta.txid,
            page_size: meta.page_size,
            root: meta.root,
            freelist: (meta.freelist != NO_FREELIST).then_some(meta.freelist),
            high_water: meta.high_water,
        }
    }
}

fn sha256(disk: &dyn DiskRead, file: &FileName, len: u64) -> Result<ShaReport, DiskError> {
    let (mut sha, mut buf, mut at) = (Sha256::new(), vec![0; HASHED_AT_ONCE], 0);
    let end = len - SHA_BYTES;
    while at < end {
        let wanted = buf.len().min((end - at) as usize);
        let n = disk.read(file, at, &mut buf[..wanted])?;
        if n == 0 {
            break;
        }
        sha.update(&buf[..n]);
        at += n as u64;
    }
    let mut stored = [0; SHA_BYTES as usize];
    disk.read(file, end, &mut stored)?;
    Ok(ShaReport { stored: hex(&stored), computed: hex(&sha.finalize()) })
}

/// The name of a bucket, with those of the buckets around it.
pub(super) fn bucket_name(path: &[Bytes]) -> String {
    path.iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect::<Vec<_>>().join("/")
}

/// All buckets, nested ones behind the one they are in.
pub(super) fn all_buckets(view: &View) -> Result<Vec<BucketInfo>, BackendError> {
    let mut all = Vec::new();
    let mut left = view.buckets()?;
    left.reverse();
    while let Some(bucket) = left.pop() {
        if !bucket.is_inline() {
            left.extend(view.nested(&bucket)?.into_iter().rev());
        }
        all.push(bucket);
    }
    Ok(all)
}

fn state(view: &View) -> Result<DbState, BackendError> {
    let mut buckets: BTreeMap<String, BucketReport> = BTreeMap::new();
    let mut used = 2;
    view.walk(&mut |reach| {
        used += reach.pages;
        let bucket = buckets.entry(bucket_name(reach.bucket)).or_default();
        if reach.pages > 0 {
            bucket.depth = bucket.depth.max(reach.depth + 1);
            bucket.overflow_pages += reach.pages - 1;
            match reach.kind {
                PageKind::Branch => bucket.branch_pages += 1,
                _ => bucket.leaf_pages += 1,
            }
        }
    })?;
    let freelist = view.freelist()?;
    if freelist.is_some() {
        used += view.header(view.meta().freelist)?.pages();
    }
    let (page_size, pages) = (u64::from(view.meta().page_size), view.meta().high_water);
    let mut state = DbState {
        page_size,
        pages,
        free_pages: pages.saturating_sub(used),
        in_use_bytes: used * page_size,
        freelist_length: freelist.map(|ids| ids.len() as u64),
        buckets: Vec::new(),
        consistent_index: None,
        term: None,
        revision: 1,
        scheduled_compact_revision: None,
        finished_compact_revision: None,
        cluster_version: None,
        members: Vec::new(),
        removed: Vec::new(),
    };
    for info in all_buckets(view)? {
        let name = bucket_name(&info.path);
        let mut bucket = buckets.remove(&name).unwrap_or_default();
        (bucket.name, bucket.root) = (name, info.root);
        state.read_bucket(view, &info, &mut bucket)?;
        state.buckets.push(bucket);
    }
    // A compaction of what a later delete left behind can be the last that is remembered of a revision.
    let marks = [state.scheduled_compact_revision, state.finished_compact_revision];
    state.revision = marks.into_iter().flatten().fold(state.revision, i64::max);
    Ok(state)
}

impl DbState {
    fn read_bucket(&mut self, view: &View, info: &BucketInfo, bucket: &mut BucketReport) -> Result<(), BackendError> {
        let is_top = info.path.len() == 1;
        view.pairs(info, &[], None, &mut |key, value| {
            bucket.pairs += 1;
            bucket.bytes += (key.len() + value.len()) as u64;
            if is_top {
                self.read_pair(info.name(), key, value);
            }
            true
        })
    }

    fn read_pair(&mut self, bucket: &[u8], key: &[u8], value: &[u8]) {
        let text = || String::from_utf8_lossy(value).into_owned();
        let number = || value.try_into().ok().map(u64::from_be_bytes);
        let revision = || Revision::decode(value).map(|(at, _)| at.main);
        match (bucket, key) {
            (b"key", _) => {
                if let Some((at, _)) = Revision::decode(key) {
                    self.revision = self.revision.max(at.main);
                }
            }
            (b"meta", b"consistent_index") => self.consistent_index = number(),
            (b"meta", b"term") => self.term = number(),
            (b"meta", b"scheduledCompactRev") => self.scheduled_compact_revision = revision(),
            (b"meta", b"finishedCompactRev") => self.finished_compact_revision = revision(),
            (b"cluster", b"clusterVersion") => self.cluster_version = Some(text()),
            (b"members", _) => {
                let mut member =
                    MemberReport { id: String::from_utf8_lossy(key).into_owned(), ..MemberReport::default() };
                if let Ok(json) = serde_json::from_slice(value) {
                    member.take(&json);
                }
                self.members.push(member);
            }
            (b"members_removed", _) => self.removed.push(String::from_utf8_lossy(key).into_owned()),
            _ => {}
        }
    }
}
