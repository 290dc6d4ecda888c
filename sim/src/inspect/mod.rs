//! What is in etcd's files: `seedbed inspect`, without the command line.
//!
//! Everything is read through the disk seam, by the store's own readers, so what is told here is what a starting member
//! would see; and it is told of a directory that a real etcd wrote as of one of our own. Nothing is ever written.
//!
//! ```text
//!   path ─► recognise   what is it? (by content)
//!              ├─► db         metas, buckets, consistent index      ├─► pages, page, pairs, hashes: one flag each
//!              ├─► log        segments, records, last state         │
//!              ├─► snap_file  index, configuration, members         │
//!              └─► fit        would a member start from these?      ▼
//!                                    Inspection: plain data ──► `show` (text) · `--json`
//! ```
//!
//! What is wrong with a file is a *finding*, not an error: the rest is still told. An error is only what keeps anything
//! from being told: a path that is none of etcd's, a file that cannot be read, a flag for what is not there.
//!
//! Left out: writing of any kind (repair is the members' own business), files of etcd 2, encryption at rest.

mod check;
mod db;
mod entry;
mod finding;
mod fit;
mod hashes;
mod log;
mod page;
mod pages;
mod pairs;
mod recognise;
pub mod show;
mod snap_file;
mod words;

pub use check::Checked;
pub use db::{BucketReport, DbReport, DbState, MetaReport, ShaReport};
pub use finding::Finding;
pub use fit::FitReport;
pub use hashes::{HashAnswer, HashRow, Hashes};
pub use log::{LogReport, RecordRow, SegmentReport};
pub use page::{Element, PageReport};
pub use pages::{Letter, PageMap, Run};
pub use pairs::{Blob, KeyRow, PairRow};
pub use recognise::{FileKind, Kind, NotEtcds};
pub use snap_file::{MemberReport, SnapReport};

use finding::Findings;
use recognise::Found;
use seedbed::backend::BackendError;
use seedbed::backend::bolt::{NO_FREELIST, PageUse, View};
use seedbed::disk::{DiskError, DiskRead, FileName};
use seedbed::mvcc::RestoreError;
use serde::Serialize;
use std::rc::Rc;

/// What is asked for. Nothing: the overview.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// The records of the log.
    pub wal: bool,
    /// The records of keys that begin with this.
    pub keys: Option<String>,
    /// The pairs of the bucket with this name.
    pub bucket: Option<String>,
    /// The numbers of the free pages.
    pub freelist: bool,
    /// The page map.
    pub pages: bool,
    /// The page with this number.
    pub page: Option<u64>,
    /// HashKV at these revisions (none: at the newest), and Hash.
    pub hash: Option<Vec<i64>>,
    /// bbolt's check.
    pub check: bool,
    /// Which rows of a list.
    pub filter: Filter,
}

/// Which rows of a list are told.
#[derive(Clone, Copy, Debug, Default)]
pub struct Filter {
    /// From this revision or index on.
    pub from: u64,
    /// At most so many; 0 for all.
    pub limit: u64,
}

/// Rows of a list, and how many there are in all.
#[derive(Clone, Debug, Serialize)]
pub struct Rows<T> {
    /// All that there are, told or not.
    pub total: u64,
    /// Those that are told.
    pub rows: Vec<T>,
    #[serde(skip)]
    from: u64,
    #[serde(skip)]
    limit: u64,
}

impl<T> Rows<T> {
    fn new(filter: Filter) -> Rows<T> {
        let limit = if filter.limit == 0 { u64::MAX } else { filter.limit };
        Rows { total: 0, rows: Vec::new(), from: filter.from, limit }
    }

    /// Counts a row, and makes it if it is told.
    fn add(&mut self, make: impl FnOnce() -> T) {
        if self.total < self.limit {
            self.rows.push(make());
        }
        self.total += 1;
    }

    /// Rows that are not told.
    pub fn left_out(&self) -> u64 {
        self.total - self.rows.len() as u64
    }
}

/// All that was found out. Lists that were not asked for are absent.
#[derive(Clone, Debug, Serialize)]
pub struct Inspection {
    /// What was inspected.
    pub path: String,
    /// What it is.
    pub kind: Kind,
    /// The database's path.
    #[serde(skip)]
    pub db_file: Option<String>,
    /// The process that holds a lock on the database: what is told may be changing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_by: Option<String>,
    /// The database.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub db: Option<DbReport>,
    /// The write-ahead log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log: Option<LogReport>,
    /// Raft snapshots, newest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub snapshots: Vec<SnapReport>,
    /// Files that are none of these.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<String>,
    /// Whether they fit together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fit: Option<FitReport>,
    /// The log's records.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub records: Option<Rows<RecordRow>>,
    /// Changes of keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keys: Option<Rows<KeyRow>>,
    /// A bucket's pairs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pairs: Option<Rows<PairRow>>,
    /// The free pages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub freelist: Option<Freelist>,
    /// The page map.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pages: Option<PageMap>,
    /// One page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page: Option<PageReport>,
    /// Hashes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hashes: Option<Hashes>,
    /// What the check went over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub check: Option<Checked>,
    /// What is wrong.
    pub findings: Vec<Finding>,
}

/// The free pages.
#[derive(Clone, Debug, Serialize)]
pub struct Freelist {
    /// Where they are written down; absent if the file does not keep them, and they were found by reading every tree.
    pub page: Option<u64>,
    /// Their numbers.
    pub pages: Rows<u64>,
}

/// Why nothing can be told.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// The path is none of etcd's.
    #[error(transparent)]
    NotEtcds(#[from] NotEtcds),
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The database cannot be read.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// No store can be made of the database's records.
    #[error(transparent)]
    Restore(#[from] RestoreError),
    /// A bucket that is not there.
    #[error("{path}: no bucket {name:?}; there are {known}")]
    Bucket {
        /// What was inspected.
        path: String,
        /// The bucket.
        name: String,
        /// Those that there are.
        known: String,
    },
    /// A page that is not there.
    #[error("{path}: no page {page}; there are pages 0 to {last}")]
    Page {
        /// The database.
        path: String,
        /// The page.
        page: u64,
        /// The last that is in use.
        last: u64,
    },
    /// A flag asks for something that is not there.
    #[error("{path}: {flag} needs {what}, and there is none: this is {kind}{instead}")]
    Missing {
        /// What was inspected.
        path: String,
        /// The flag.
        flag: &'static str,
        /// What it needs.
        what: &'static str,
        /// What the path is.
        kind: &'static str,
        /// What was found in it.
        instead: String,
    },
}

/// Files of no known kind that an error tells of.
const UNKNOWN_TOLD: usize = 3;

/// Looks into a folder or a file. `path` has no slash at its end.
pub fn inspect(disk: Rc<dyn DiskRead>, path: &str, is_folder: bool, asked: &Asked) -> Result<Inspection, InspectError> {
    let (kind, found) = if is_folder {
        recognise::folder(&*disk, path)?
    } else {
        let kind = recognise::file(&*disk, &path.into())?;
        (Kind::File(kind), vec![(path.into(), Some(kind))])
    };
    let mut looking = Looking { disk, path, kind, found, findings: Findings::default() };
    let mut seen = Inspection {
        path: path.to_owned(),
        kind,
        db_file: looking.db().map(|(file, _)| file.to_string()),
        held_by: None,
        db: None,
        log: None,
        snapshots: Vec::new(),
        others: Vec::new(),
        fit: None,
        records: None,
        keys: None,
        pairs: None,
        freelist: None,
        pages: None,
        page: None,
        hashes: None,
        check: None,
        findings: Vec::new(),
    };
    looking.look(asked, &mut seen)?;
    seen.findings = looking.findings.into_vec();
    Ok(seen)
}

/// A look at one path.
struct Looking<'a> {
    disk: Rc<dyn DiskRead>,
    path: &'a str,
    kind: Kind,
    found: Vec<Found>,
    findings: Findings,
}

impl Looking<'_> {
    fn look(&mut self, asked: &Asked, seen: &mut Inspection) -> Result<(), InspectError> {
        let wants_db = self.look_into_db(asked, seen)?;
        if asked.wal {
            let files = self.files(&[FileKind::Wal, FileKind::EmptyWal]);
            if files.is_empty() {
                return Err(self.missing("--wal", "a write-ahead log"));
            }
            seen.records = Some(log::records(&*self.disk, &files, asked.filter, &mut self.findings)?);
        } else if !wants_db {
            self.overview(seen)?;
        }
        Ok(())
    }

    /// What flags ask of the database. Whether any does.
    fn look_into_db(&mut self, asked: &Asked, seen: &mut Inspection) -> Result<bool, InspectError> {
        let flags = [
            (asked.keys.is_some(), "--keys"),
            (asked.bucket.is_some(), "--bucket"),
            (asked.freelist, "--freelist"),
            (asked.pages, "--pages"),
            (asked.page.is_some(), "--page"),
            (asked.hash.is_some(), "--hash"),
            (asked.check, "--check"),
        ];
        let Some((_, flag)) = flags.into_iter().find(|(is_asked, _)| *is_asked) else { return Ok(false) };
        let (file, _) = self.db().ok_or_else(|| self.missing(flag, "a database"))?;
        let view = View::open(self.disk.clone(), file.clone())?;
        if let Some(prefix) = &asked.keys {
            seen.keys = Some(pairs::keys(&view, prefix.as_bytes(), asked.filter)?);
        }
        if let Some(name) = &asked.bucket {
            seen.pairs = Some(self.bucket(&view, name, asked.filter)?);
        }
        if asked.freelist {
            seen.freelist = Some(freelist(&view, asked.filter)?);
        }
        if asked.pages {
            seen.pages = Some(pages::map(&view, asked.filter, &mut self.findings)?);
        }
        if let Some(id) = asked.page {
            let (path, last) = (file.to_string(), view.meta().high_water.saturating_sub(1));
            if id > last {
                return Err(InspectError::Page { path, page: id, last });
            }
            seen.page = Some(page::page(&view, id, asked.filter)?);
        }
        if let Some(revisions) = &asked.hash {
            seen.hashes = Some(hashes::hashes(self.disk.clone(), &file, &view, revisions)?);
        }
        if asked.check {
            seen.check = Some(check::check(&view, &file, &mut self.findings)?);
        }
        Ok(true)
    }

    fn bucket(&self, view: &View, name: &str, filter: Filter) -> Result<Rows<PairRow>, InspectError> {
        let all = db::all_buckets(view)?;
        match all.iter().find(|bucket| db::bucket_name(&bucket.path) == name) {
            Some(bucket) => Ok(pairs::pairs(view, bucket, filter)?),
            None => {
                let known: Vec<String> = all.iter().map(|bucket| db::bucket_name(&bucket.path)).collect();
                let (path, name) = (self.path.to_owned(), name.to_owned());
                Err(InspectError::Bucket { path, name, known: known.join(", ") })
            }
        }
    }

    /// The database: of several, the one that a member serves from.
    fn db(&self) -> Option<(FileName, FileKind)> {
        let is_db = |kind: &FileKind| matches!(kind, FileKind::Db | FileKind::SavedDb);
        let mut dbs: Vec<_> =
            self.found.iter().filter_map(|(file, kind)| Some((file.clone(), kind.filter(is_db)?))).collect();
        dbs.sort_by_key(|(file, _)| !file.ends_with("/db"));
        dbs.into_iter().next()
    }

    fn overview(&mut self, seen: &mut Inspection) -> Result<(), InspectError> {
        let disk = self.disk.clone();
        if let Some((file, kind)) = self.db() {
            seen.db = Some(db::report(&disk, &file, kind, &mut self.findings)?);
        }
        let is_other = |file: &FileName, kind: Option<FileKind>| match kind {
            None => true,
            // Further databases: those that leaders sent.
            Some(FileKind::Db | FileKind::SavedDb) => seen.db_file.as_deref() != Some(&**file),
            Some(_) => false,
        };
        seen.others =
            self.found.iter().filter(|(file, kind)| is_other(file, *kind)).map(|(file, _)| file.to_string()).collect();
        let logs = self.files(&[FileKind::Wal, FileKind::EmptyWal]);
        if !logs.is_empty() {
            seen.log = Some(log::report(&*disk, &logs, &mut self.findings)?);
        }
        for file in self.files(&[FileKind::Snap]) {
            seen.snapshots.push(snap_file::report(&*disk, &file, &mut self.findings)?);
        }
        seen.snapshots.sort_by_key(|snap| std::cmp::Reverse((snap.term, snap.index)));
        let member = match self.kind {
            Kind::DataDir => format!("{}/member", self.path),
            Kind::MemberDir => self.path.to_owned(),
            Kind::Folder | Kind::File(_) => return Ok(()),
        };
        seen.fit = Some(fit::report(&*disk, &member, seen.db.as_ref(), &mut self.findings));
        Ok(())
    }

    fn files(&self, kinds: &[FileKind]) -> Vec<FileName> {
        let wanted = self.found.iter().filter(|(_, kind)| kind.is_some_and(|kind| kinds.contains(&kind)));
        wanted.map(|(file, _)| file.clone()).collect()
    }

    fn missing(&self, flag: &'static str, what: &'static str) -> InspectError {
        let (path, kind) = (self.path.to_owned(), self.kind.words());
        let instead = if matches!(self.kind, Kind::File(_)) { String::new() } else { self.found_instead() };
        InspectError::Missing { path, flag, what, kind, instead }
    }

    /// The files of a folder by kind; those that are none that this reads with the reason, as far as a few go.
    fn found_instead(&self) -> String {
        let mut kinds: Vec<(&str, u64)> = Vec::new();
        for kind in self.found.iter().filter_map(|(_, kind)| *kind) {
            match kinds.iter_mut().find(|(words, _)| *words == kind.words()) {
                Some((_, count)) => *count += 1,
                None => kinds.push((kind.words(), 1)),
            }
        }
        let kinds = kinds
            .into_iter()
            .map(|(words, count)| if count == 1 { words.to_owned() } else { format!("{count} times {words}") });
        let unknown = self.found.iter().filter(|(_, kind)| kind.is_none()).take(UNKNOWN_TOLD);
        let unknown = unknown.map(|(file, _)| match recognise::file(&*self.disk, file) {
            Err(why) => why.to_string(),
            Ok(_) => format!("{file}: passed over, as etcd does"),
        });
        format!("; found in it: {}", kinds.chain(unknown).collect::<Vec<_>>().join("; "))
    }
}

/// The free pages: as the freelist has them, or else all that no tree reaches.
fn freelist(view: &View, filter: Filter) -> Result<Freelist, BackendError> {
    let page = (view.meta().freelist != NO_FREELIST).then_some(view.meta().freelist);
    let mut pages = Rows::new(filter);
    match view.freelist()? {
        Some(ids) => ids.into_iter().for_each(|id| pages.add(|| id)),
        None => {
            let free = (0..).zip(view.page_map()?).filter(|(_, page_use)| *page_use == PageUse::Free);
            free.for_each(|(id, _)| pages.add(|| id));
        }
    }
    Ok(Freelist { page, pages })
}
