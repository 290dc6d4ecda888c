//! Whether the files of a data directory fit together: would a member start from them, and what would it replay?
//!
//! The order is etcd's. The newest good `.snap` file that the log has a committed record of is where Raft begins; the
//! log must reach back to it; its entries up to the commit index are applied again, but those up to the database's
//! consistent index are in the database already and change nothing.

use super::Found;
use super::db::DbReport;
use super::finding::Findings;
use super::log::LogReport;
use super::recognise::FileKind;
use seedbed::disk::{DiskRead, FileName, OpSink};
use seedbed::pb::walpb;
use seedbed::snap;
use seedbed::wal::{self, WalConfig, WalError};
use serde::Serialize;

/// What a start would do.
#[derive(Clone, Debug, Serialize)]
pub struct FitReport {
    /// Whether a member would start.
    pub starts: bool,
    /// The snapshot that it would begin with: index and term.
    pub snapshot: Option<(u64, u64)>,
    /// Entries that it would read from the log: first and last index.
    pub entries: Option<(u64, u64)>,
    /// Committed entries that the database has not seen: first and last index. They change the store.
    pub applied_anew: Option<(u64, u64)>,
    /// Entries that were not committed as far as the log tells; the cluster decides about them.
    pub uncommitted: u64,
    /// The same in words.
    pub text: Vec<String>,
}

/// What the parts say.
pub(super) struct Parts<'a> {
    pub(super) found: &'a [Found],
    pub(super) db: Option<&'a DbReport>,
    pub(super) log: Option<&'a LogReport>,
}

/// Tries what a start would try, without writing anything.
pub(super) fn report(disk: &dyn DiskRead, parts: &Parts<'_>, findings: &mut Findings) -> FitReport {
    let mut fit = FitReport {
        starts: false,
        snapshot: None,
        entries: None,
        applied_anew: None,
        uncommitted: 0,
        text: Vec::new(),
    };
    match start(disk, parts, &mut fit) {
        Ok(()) => fit.starts = true,
        Err(reason) => {
            fit.text.push(format!("a member would not start: {reason}"));
            findings.add("", format!("the files do not fit together: {reason}"));
        }
    }
    fit
}

fn start(disk: &dyn DiskRead, parts: &Parts<'_>, fit: &mut FitReport) -> Result<(), String> {
    let Some(log) = parts.log else {
        let what = if parts.db.is_some() { "there is a database and no log" } else { "there is no log" };
        return Err(format!("{what}; expected wal/{:016x}-{:016x}.wal or later segments", 0, 0));
    };
    let from = newest_snapshot(disk, parts.found, log, fit);
    let dir = log.segments.first().and_then(|segment| segment.file.rsplit_once('/')).map_or("", |(dir, _)| dir);
    let config = WalConfig { dir: dir.into(), segment_bytes: 0 };
    // What recovery asks for would repair a torn tail; nobody does it.
    let (mut ops, mut next_id) = (Vec::new(), 0);
    let recovery = match wal::recover(disk, config, from, &mut OpSink::new(&mut ops, &mut next_id)) {
        Ok(recovery) => recovery,
        Err(WalError::Unborn { .. }) => {
            fit.text.push("the log was never begun: a member would start as a new one".to_owned());
            return Ok(());
        }
        Err(error) => return Err(error.to_string()),
    };
    fit.entries = recovery.entries.first().zip(recovery.entries.last()).map(|(a, b)| (a.index, b.index));
    let last = fit.entries.map_or(from.index, |(_, last)| last);
    let commit = recovery.state.commit.max(from.index);
    if commit > last {
        return Err(format!("the log says that index {commit} is committed, but its last entry is {last}"));
    }
    fit.uncommitted = last - commit;
    begins(from, fit);
    applies(parts, from, commit, last, fit)?;
    if let Some(torn) = &log.torn {
        fit.text.push(format!(
            "a start would drop {} torn bytes at byte {} of {} and keep a .broken copy",
            torn.bytes, torn.offset, torn.file
        ));
    }
    Ok(())
}

/// Where Raft would begin.
fn newest_snapshot(disk: &dyn DiskRead, found: &[Found], log: &LogReport, fit: &mut FitReport) -> walpb::Snapshot {
    let counts = |index, term| log.snapshots.iter().any(|m| m.committed && (m.index, m.term) == (index, term));
    let files = found.iter().filter(|(_, kind)| *kind == Some(FileKind::Snap)).map(|(file, _)| file);
    let mut newest: Option<(u64, u64, &FileName)> = None;
    for file in files {
        let Ok(snapshot) = snap::load(disk, file) else { continue };
        let (term, index) = (snapshot.meta.term, snapshot.meta.index);
        if counts(index, term) && newest.is_none_or(|(t, i, _)| (t, i) < (term, index)) {
            newest = Some((term, index, file));
        }
    }
    fit.snapshot = newest.map(|(term, index, _)| (index, term));
    newest.map_or(walpb::Snapshot { index: 0, term: 0 }, |(term, index, _)| walpb::Snapshot { index, term })
}

fn begins(from: walpb::Snapshot, fit: &mut FitReport) {
    let origin = match from.index {
        0 => "from the log's beginning, without a snapshot".to_owned(),
        index => format!("from the snapshot at index {index} (term {})", from.term),
    };
    let entries = match fit.entries {
        None => "the log has no entry after it".to_owned(),
        Some((first, last)) if first == last => format!("the log has entry {first} after it"),
        Some((first, last)) => format!("the log has entries {first} to {last} after it"),
    };
    fit.text.push(format!("a member would start {origin}; {entries}"));
}

/// What the database has seen, and what it has not.
fn applies(
    parts: &Parts<'_>,
    from: walpb::Snapshot,
    commit: u64,
    last: u64,
    fit: &mut FitReport,
) -> Result<(), String> {
    let Some(db) = parts.db else {
        fit.text.push(match from.index {
            0 => "there is no database: it would be made from the log".to_owned(),
            _ => "there is no database: the state must be in the snapshot's own image (etcd would refuse)".to_owned(),
        });
        return Ok(());
    };
    let Some(applied) = db.consistent_index else {
        fit.text.push("the database tells no consistent index: every entry would be applied".to_owned());
        fit.applied_anew = (from.index < commit).then_some((from.index + 1, commit));
        return Ok(());
    };
    if applied > last {
        return Err(format!(
            "the database has applied index {applied}, but the log ends at {last}: it lost entries, or is another's"
        ));
    }
    let image = format!("{:016x}.snap.db", from.index);
    if applied < from.index && !parts.found.iter().any(|(file, _)| file.ends_with(&image)) {
        return Err(format!(
            "the snapshot stands at index {}, the database only at {applied}; expected the leader's database in \
             snap/{image}",
            from.index
        ));
    }
    let applied = applied.max(from.index);
    fit.applied_anew = (applied < commit).then_some((applied + 1, commit));
    fit.text.push(match fit.applied_anew {
        None => format!("the database has all of them: nothing up to the commit index {commit} changes it again"),
        Some((first, last)) if first == last => format!("entry {first} would be applied to the database"),
        Some((first, last)) => format!("entries {first} to {last} would be applied to the database"),
    });
    if fit.uncommitted > 0 {
        fit.text.push(format!(
            "{} further entries are not committed as far as this log tells; the cluster decides about them",
            fit.uncommitted
        ));
    }
    Ok(())
}
