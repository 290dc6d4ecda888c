//! What the world sees of its members' databases: figures over time, and whether the data is what it must be.

use super::World;
use super::plan::Happening;
use super::record::{NodeIndex, RecordId, What};
use crate::check::Failure;
use crate::check::log::Committed;
use crate::scenario::{self, Engine, Tolerance};
use seedbed::backend::bolt::{Bolt, View};
use seedbed::backend::{BoltConfig, Stats};
use seedbed::disk::DiskRead;
use seedbed::member::{StopReason, TraceEvent};
use seedbed::mvcc::{RestoreError, Store, StoreConfig};
use seedbed::time::{MILLISECOND, Nanos};
use std::rc::Rc;

/// A database is looked at so often at most, unless something happened to its file.
const SAMPLE_EVERY: Nanos = 100 * MILLISECOND;

/// One member's database over a run.
#[derive(Clone, Debug, Default)]
pub struct DbTally {
    /// Its figures, as time went on.
    pub samples: Vec<Sample>,
    /// Batches that became durable: when, and how long each took.
    pub commits: Vec<(Nanos, Nanos)>,
    /// Copies into a dense file.
    pub defrags: Vec<Defrag>,
    /// Size of the file when the copy that is under way began.
    pub(crate) defragging: u64,
    /// Compactions that removed their last record.
    pub compactions: u64,
    /// Restarts with the data that was there.
    pub loads: Vec<Load>,
    /// Snapshots that replaced it, with the time since they were sent.
    pub installs: Vec<Load>,
}

/// A database's figures at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// When.
    pub at: Nanos,
    /// What.
    pub stats: Stats,
}

/// A database was copied into a dense file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Defrag {
    /// When the new file was in use.
    pub at: Nanos,
    /// How long it took.
    pub took: Nanos,
    /// Bytes of the old file.
    pub before: u64,
    /// Bytes of the new one.
    pub after: u64,
}

/// A database was brought to life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// When.
    pub at: Nanos,
    /// How long it took.
    pub took: Nanos,
    /// Bytes of its file.
    pub size: u64,
}

impl World {
    /// A trace event that tells of the database.
    pub(super) fn observe_storage(&mut self, index: NodeIndex, event: &TraceEvent) {
        let now = self.now;
        if let Some(awaited) = awaited(event) {
            self.happened(Happening::of(awaited, index));
        }
        match *event {
            TraceEvent::SnapshotSent { to, index: applied } => {
                let to = self.index_of(to);
                self.observer.snapshot_leaves(to, applied, now);
            }
            TraceEvent::BatchDone { took } => {
                self.observer.database(index).commits.push((now, took));
                self.sample(index, false);
            }
            TraceEvent::CompactionDone(compacted) => {
                self.note_aside(self.current, What::Compacted { node: index, revision: compacted.revision });
                self.observer.database(index).compactions += 1;
                let result = self.compaction_checker.on_done(usize::from(index), compacted);
                self.fail(result);
                self.sample(index, true);
            }
            TraceEvent::DefragStarted { size } => {
                self.note_aside(self.current, What::DefragBegan { node: index, size });
                self.sample(index, true);
                // Completed when it is done; a crash on the way leaves it out.
                self.observer.database(index).defragging = size;
            }
            TraceEvent::DefragDone { size, took } => {
                self.note_aside(self.current, What::DefragEnded { node: index, size });
                let database = self.observer.database(index);
                let before = database.defragging;
                database.defrags.push(Defrag { at: now, took, before, after: size });
                self.sample(index, true);
            }
            _ => {}
        }
    }

    /// A member's store was replaced by a snapshot.
    pub(super) fn installed(&mut self, index: NodeIndex, applied: u64) {
        self.note_aside(self.current, What::SnapshotInstalled { node: index, index: applied });
        self.store_to_compare = true;
        self.sample(index, true);
        let (now, sent) = (self.now, self.observer.snapshot_left(index, applied));
        let database = self.observer.database(index);
        let size = database.samples.last().map_or(0, |sample| sample.stats.size);
        database.installs.extend(sent.map(|sent| Load { at: now, took: now - sent, size }));
        self.happened(Happening::of(scenario::Event::SnapshotInstalled, index));
    }

    /// A member stopped by itself. It must when its disk fails, or when a snapshot comes from a disk that was damaged;
    /// if no fault explains it, its own files did not fit what it wanted of them.
    pub(super) fn judge_stop(&mut self, index: NodeIndex, record: RecordId, reason: &StopReason) {
        self.stops += 1;
        self.notes.insert(record, reason.to_string());
        if *reason == StopReason::Removed {
            let id = self.nodes[usize::from(index)].id;
            let result = self.membership_checker.on_removed_stops(usize::from(index), id);
            return self.fail(result);
        }
        let may_fail = self.nodes[usize::from(index)].disk_fails || self.scenario.disk.size_bytes.is_some();
        if may_fail || self.nodes.iter().any(|node| node.damaged) {
            return;
        }
        let text = format!("n{} stopped although its disk is sound: {reason}", index + 1);
        self.fail(Err(Failure::new("member-stopped", text)));
    }

    /// Looks at a member's database: `always`, or if the last look is some time ago.
    pub(super) fn sample(&mut self, index: NodeIndex, always: bool) {
        let now = self.now;
        let Some(member) = self.nodes[usize::from(index)].member() else { return };
        let database = self.observer.database(index);
        let last = database.samples.last().map(|sample| sample.at);
        if always || last.is_none_or(|last| last + SAMPLE_EVERY <= now) {
            let stats = member.store().engine().stats();
            if last == Some(now) {
                database.samples.pop();
            }
            database.samples.push(Sample { at: now, stats });
        }
    }

    /// Keeps a committed entry that was not seen being applied before, with what its first member made of it.
    pub(super) fn remember_entry(&mut self, member: NodeIndex, index: u64, request: u64, revision: i64) {
        if self.backend_checker.awaits(index)
            && let Some(member) = self.nodes[usize::from(member)].member()
            && let Some(entry) = member.raft().log().entry(index)
        {
            self.backend_checker.remember(entry);
            let change = self.membership_checker.on_entry(entry);
            let operation = self.proposed.get(&request).copied();
            let committed = Committed { entry: entry.clone(), at: self.now, revision, operation };
            // Clients of keys alone ask for no lease, and their entries need not be looked into.
            let denied = self.course.as_mut().and_then(|course| course.take(&committed.request()).0);
            if self.log.borrow().asks_anything && denied.is_none() {
                let clock = |primary: usize| self.nodes[primary].clock.now(self.now).mono;
                let now = self.lease_checker.primary().map_or(0, clock);
                let result = self.lease_checker.on_entry(&committed, now);
                self.fail(result);
            }
            self.committed.push(committed);
            if let Some(change) = change {
                self.membership_changed(change);
            }
        }
    }

    /// Compares the store that a member has just loaded or got with what the committed entries make of an empty one.
    pub(super) fn look_at_store(&mut self, index: NodeIndex) {
        let node = &self.nodes[usize::from(index)];
        if !std::mem::take(&mut self.store_to_compare) || node.damaged {
            return;
        }
        if let Some(member) = node.member() {
            let result = self.backend_checker.compare(usize::from(index), node.bugs, member.store());
            self.fail(result);
        }
    }

    /// At the end: every page of the databases of members that run is reachable or free, exactly once, and what is read
    /// back from the file is the state that the other members had at its consistent index. (Pages carry no checksum: a
    /// value that rots on the platter shows in no page, only in this.) What a fault beyond a disk's contract did to a
    /// file is no fault of its member's, unless the scenario says that it goes beyond what is tolerated.
    pub(super) fn check_files(&mut self) {
        if !self.scenario.check.backend_check || self.scenario.cluster.engine != Engine::Bolt {
            return;
        }
        for index in 0..self.nodes.len() {
            let node = &self.nodes[index];
            if !node.is_up() || (node.damaged && self.scenario.tolerance != Tolerance::Exceeded) {
                continue;
            }
            let reader = node.disk.reader();
            let view = View::open(reader.clone(), DB_FILE.into());
            let findings: Vec<String> = match view {
                Ok(view) => view.check().iter().map(ToString::to_string).collect(),
                Err(error) => vec![error.to_string()],
            };
            self.files_checked += 1;
            let result = sound(index, &findings);
            self.fail(result);
            if let Ok(store) = read_back(&reader) {
                let (applied, hash, revision) = (store.consistent_index(), store.hash(), store.revision());
                let result = self.state_checker.on_applied(index, applied, hash, revision).map(|_| ());
                self.fail(result);
            }
        }
    }

    /// A member whose disk was damaged, or lied, came back without entries that it had acknowledged. Where a scenario's
    /// faults are more than the protocol tolerates, that is what they cost.
    pub(super) fn forgot(&mut self, index: NodeIndex, entries: u64, failure: Failure) {
        self.note_aside(self.current, What::Forgot { node: index, entries });
        if self.scenario.tolerance == Tolerance::Exceeded {
            self.fail(Err(failure));
        }
    }
}

/// What a scenario's conditions may wait for of it.
fn awaited(event: &TraceEvent) -> Option<scenario::Event> {
    match event {
        TraceEvent::SnapshotSaved { .. } => Some(scenario::Event::SnapshotSaved),
        TraceEvent::BatchStarted { .. } => Some(scenario::Event::BatchStarted),
        TraceEvent::BatchDone { .. } => Some(scenario::Event::BatchDone),
        TraceEvent::CompactionDone(_) => Some(scenario::Event::CompactionDone),
        TraceEvent::DefragStarted { .. } => Some(scenario::Event::DefragStarted),
        TraceEvent::DefragDone { .. } => Some(scenario::Event::DefragDone),
        _ => None,
    }
}

/// The store that a member would find if it started now. (What cannot be read is a finding of the check of pages.)
fn read_back(disk: &Rc<dyn DiskRead>) -> Result<Store, RestoreError> {
    let engine = Bolt::open(disk.clone(), DB_FILE.into(), BoltConfig::default())?;
    Store::restore(Box::new(engine), StoreConfig::default())
}

/// Where a member keeps its database.
const DB_FILE: &str = "member/snap/db";

/// Nothing was found in a member's database.
fn sound(member: usize, findings: &[String]) -> Result<(), Failure> {
    let Some(first) = findings.first() else { return Ok(()) };
    let more = match findings.len() - 1 {
        0 => String::new(),
        n => format!(" (and {n} more)"),
    };
    Err(Failure::new("backend-check", format!("n{}'s database: {first}{more}", member + 1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_in_a_database_is_a_failure() {
        assert_eq!(sound(0, &[]), Ok(()));
        let failure = sound(1, &["page 7: unreachable unfreed".into(), "page 8: unreachable unfreed".into()]);
        let failure = failure.expect_err("there are findings");
        assert_eq!(failure.check, "backend-check");
        assert_eq!(failure.text, "n2's database: page 7: unreachable unfreed (and 1 more)");
    }
}
