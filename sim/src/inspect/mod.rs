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

mod db;
mod entry;
mod finding;
mod fit;
mod log;
mod recognise;
pub mod show;
mod snap_file;
mod words;

pub use db::DbReport;
pub use finding::Finding;
pub use fit::FitReport;
pub use log::{LogReport, RecordRow, SegmentReport};
pub use recognise::{FileKind, Kind, NotEtcds};
pub use snap_file::{MemberReport, SnapReport};

use finding::Findings;
use recognise::Found;
use seedbed::disk::{DiskError, DiskRead, FileName};
use serde::Serialize;
use std::rc::Rc;

/// What is asked for. Nothing: the overview.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// The records of the log.
    pub wal: bool,
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
    limit: u64,
}

impl<T> Rows<T> {
    fn new(filter: Filter) -> Rows<T> {
        Rows { total: 0, rows: Vec::new(), limit: if filter.limit == 0 { u64::MAX } else { filter.limit } }
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
    /// What is wrong.
    pub findings: Vec<Finding>,
}

impl Inspection {
    /// The database's path.
    pub fn db_file(&self) -> Option<&str> {
        self.db.as_ref().map(|db| db.file.as_str())
    }
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
    /// A flag asks for something that is not there.
    #[error("{path}: {flag} needs {what}, and there is none: this is {kind}")]
    Missing {
        /// What was inspected.
        path: String,
        /// The flag.
        flag: &'static str,
        /// What it needs.
        what: &'static str,
        /// What the path is.
        kind: &'static str,
    },
}

/// Looks into a folder or a file. `path` has no slash at its end.
pub fn inspect(
    disk: Rc<dyn DiskRead>,
    path: &str,
    is_folder: bool,
    asked: &Asked,
) -> Result<Inspection, InspectError> {
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
        held_by: None,
        db: None,
        log: None,
        snapshots: Vec::new(),
        others: Vec::new(),
        fit: None,
        records: None,
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
        let Asked { wal, filter } = asked;
        if *wal {
            let files = self.files(&[FileKind::Wal, FileKind::EmptyWal]);
            if files.is_empty() {
                return Err(self.missing("--wal", "a write-ahead log"));
            }
            seen.records = Some(log::records(&*self.disk, &files, *filter, &mut self.findings)?);
            return Ok(());
        }
        self.overview(seen)
    }

    fn overview(&mut self, seen: &mut Inspection) -> Result<(), InspectError> {
        let disk = &*self.disk.clone();
        seen.others = self.found.iter().filter(|(_, kind)| kind.is_none()).map(|(file, _)| file.to_string()).collect();
        let logs = self.files(&[FileKind::Wal, FileKind::EmptyWal]);
        if !logs.is_empty() {
            seen.log = Some(log::report(disk, &logs, &mut self.findings)?);
        }
        for file in self.files(&[FileKind::Snap]) {
            seen.snapshots.push(snap_file::report(disk, &file, &mut self.findings)?);
        }
        seen.snapshots.sort_by_key(|snap| std::cmp::Reverse((snap.term, snap.index)));
        if matches!(self.kind, Kind::DataDir | Kind::MemberDir) {
            let parts = fit::Parts { found: &self.found, db: seen.db.as_ref(), log: seen.log.as_ref() };
            seen.fit = Some(fit::report(disk, &parts, &mut self.findings));
        }
        Ok(())
    }

    fn files(&self, kinds: &[FileKind]) -> Vec<FileName> {
        let wanted = self.found.iter().filter(|(_, kind)| kind.is_some_and(|kind| kinds.contains(&kind)));
        wanted.map(|(file, _)| file.clone()).collect()
    }

    fn missing(&self, flag: &'static str, what: &'static str) -> InspectError {
        InspectError::Missing { path: self.path.to_owned(), flag, what, kind: self.kind.words() }
    }
}
