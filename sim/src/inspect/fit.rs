//! Whether the files of a data directory fit together: would a member start from them, and what would it replay?
//!
//! The decision is the store's own ([`restart`]), and the order is etcd's. The newest good `.snap` file that the log has
//! a committed record of is where Raft begins; the log must reach back to it; its entries up to the commit index are
//! applied again, but those up to the database's consistent index are in the database already and change nothing.

use super::db::DbReport;
use super::finding::Findings;
use seedbed::disk::{DiskError, DiskRead, FileName, OpSink};
use seedbed::pb::walpb;
use seedbed::snap::restart::{self, Start};
use seedbed::snap::{self};
use seedbed::wal::{self, Recovery, WalConfig};
use serde::Serialize;

/// What a start would do.
#[derive(Clone, Debug, Default, Serialize)]
pub struct FitReport {
    /// Whether a member would start.
    pub starts: bool,
    /// Index of the snapshot that it would begin with.
    pub snapshot: Option<u64>,
    /// Entries that it would read from the log: first and last index.
    pub entries: Option<(u64, u64)>,
    /// Committed entries that the database has not seen: first and last index. They change it.
    pub applied_anew: Option<(u64, u64)>,
    /// Entries that were not committed as far as the log tells; the cluster decides about them.
    pub uncommitted: u64,
    /// The same in words.
    pub text: Vec<String>,
}

/// A data directory's files under the names that a member knows them by.
struct Below<'a> {
    disk: &'a dyn DiskRead,
    /// The path that stands for `member`.
    member: &'a str,
}

const MEMBER: &str = "member";

impl Below<'_> {
    fn path(&self, file: &str) -> String {
        format!("{}{}", self.member, file.strip_prefix(MEMBER).unwrap_or(file))
    }
}

impl DiskRead for Below<'_> {
    fn list(&self, dir: &str) -> Vec<FileName> {
        let files = self.disk.list(&self.path(dir)).into_iter();
        files.filter_map(|file| Some(format!("{MEMBER}{}", file.strip_prefix(self.member)?).into())).collect()
    }

    fn len(&self, file: &str) -> Result<u64, DiskError> {
        self.disk.len(&self.path(file))
    }

    fn read(&self, file: &str, offset: u64, buf: &mut [u8]) -> Result<usize, DiskError> {
        self.disk.read(&self.path(file), offset, buf)
    }
}

/// Tries what a start would try, without writing anything. `member` is the path of the member folder.
pub(super) fn report(disk: &dyn DiskRead, member: &str, db: Option<&DbReport>, findings: &mut Findings) -> FitReport {
    let mut fit = FitReport::default();
    match start(&Below { disk, member }, db, &mut fit) {
        Ok(()) => fit.starts = true,
        Err(reason) => {
            fit.text.push("a member would not start from these files".to_owned());
            findings.add("", format!("a member would not start: {reason}"));
        }
    }
    fit
}

fn start(disk: &Below<'_>, db: Option<&DbReport>, fit: &mut FitReport) -> Result<(), String> {
    let config = WalConfig { dir: format!("{MEMBER}/wal").into(), segment_bytes: 0 };
    let recovery = recover(disk, &config, fit)?;
    let last = recovery.as_ref().map(|log| log.entries.last().map_or(fit.snapshot.unwrap_or(0), |last| last.index));
    let applied = match db {
        None => None,
        Some(db) => Some(db.state.as_ref().ok_or("its database cannot be read")?.consistent_index.unwrap_or(0)),
    };
    let found = restart::Found { log_last: last, snapshot: fit.snapshot, database: applied };
    let database = format!("{MEMBER}/snap/db").into();
    let start = restart::fit(disk, &database, &config.dir, found).map_err(|misfit| misfit.to_string())?;
    let Some((log, last)) = recovery.zip(last) else {
        fit.text.push("nothing was ever logged: a member would start as a new one".to_owned());
        return Ok(());
    };
    let from = fit.snapshot.unwrap_or(0);
    let commit = log.state.commit.max(from);
    if commit > last {
        return Err(format!("the log says that index {commit} is committed, but its last entry is {last}"));
    }
    fit.uncommitted = last - commit;
    fit.entries = log.entries.first().map(|first| (first.index, last));
    let applied = match start {
        Start::Empty => 0,
        Start::Database => applied.unwrap_or(0),
        Start::Received { index, .. } => index,
    };
    fit.applied_anew = (applied.max(from) < commit).then_some((applied.max(from) + 1, commit));
    tell(fit, from, commit, &start);
    Ok(())
}

/// Reads the log from the newest snapshot that counts. `None`: there is no log.
fn recover(disk: &Below<'_>, config: &WalConfig, fit: &mut FitReport) -> Result<Option<Recovery>, String> {
    if !wal::exists(disk, config).map_err(|error| error.to_string())? {
        return Ok(None);
    }
    let marks = wal::snapshots(disk, config).map_err(|error| error.to_string())?;
    let counts = |term, index| marks.iter().any(|mark| (mark.term, mark.index) == (term, index));
    let newest = snap::load_newest(disk, counts).snapshot.map(|snapshot| snapshot.meta);
    fit.snapshot = newest.as_ref().map(|meta| meta.index);
    let from = newest
        .map_or(walpb::Snapshot { index: 0, term: 0 }, |meta| walpb::Snapshot { index: meta.index, term: meta.term });
    // What recovery asks for would repair a torn tail; nobody does it.
    let (mut ops, mut next_id) = (Vec::new(), 0);
    let recovery = wal::recover(disk, config.clone(), from, &mut OpSink::new(&mut ops, &mut next_id));
    recovery.map(Some).map_err(|error| error.to_string())
}

fn tell(fit: &mut FitReport, from: u64, commit: u64, start: &Start) {
    let span = |what: &str, (first, last): (u64, u64)| match first == last {
        true => format!("{what} {first}"),
        false => format!("{what}s {first} to {last}").replace("entrys", "entries"),
    };
    let origin = match from {
        0 => "from the log's beginning, without a snapshot".to_owned(),
        index => format!("from the snapshot at index {index}"),
    };
    let entries = fit.entries.map_or("the log has nothing after it".to_owned(), |entries| {
        format!("the log goes on with {}", span("entry", entries))
    });
    fit.text.push(format!("a member would start {origin}; {entries}"));
    let state = match start {
        Start::Empty => "there is no database: it would be made from the log",
        Start::Database => "its state is the database",
        Start::Received { .. } => "the received .snap.db would first take the database's place",
    };
    let replayed = match fit.applied_anew {
        None => format!("nothing up to the commit index {commit} is missing in it"),
        Some(entries) => format!("{} would be applied to it", span("entry", entries)),
    };
    fit.text.push(format!("{state}; {replayed}"));
    match fit.uncommitted {
        0 => {}
        1 => fit.text.push("one more entry is not known to be committed; the cluster decides about it".to_owned()),
        n => fit.text.push(format!("{n} more entries are not known to be committed; the cluster decides about them")),
    }
}
