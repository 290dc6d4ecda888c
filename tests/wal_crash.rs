//! Kills and power cuts at any moment, on a disk that then keeps of unsynced work whatever it likes: every save that was waited for
//! is there again, and what else is there was written.

use proptest::prelude::*;
use seedbed::disk::{Action, DiskOp, FileName, OpId, OpSink};
use seedbed::disk_mem::MemDisk;
use seedbed::pb::walpb;
use seedbed::raft::{Entry, EntryKind, HardState, SnapshotMeta};
use seedbed::wal::{Wal, WalConfig, exists, recover};
use std::collections::BTreeSet;

const SECTOR: usize = 512;
const NONE: walpb::Snapshot = walpb::Snapshot { index: 0, term: 0 };

fn config() -> WalConfig {
    WalConfig { dir: "member/wal".into(), segment_bytes: 2048 }
}

/// What survives a power cut, and what is up for grabs.
#[derive(Clone, Default)]
struct Crashy {
    /// Contents that are durable, whether or not the name is.
    durable: MemDisk,
    /// Names that are durable.
    names: BTreeSet<FileName>,
    /// Operations that no completed sync covers, in order of issue.
    pending: Vec<DiskOp>,
}

impl Crashy {
    fn issue(&mut self, ops: &mut Vec<DiskOp>) {
        self.pending.append(ops);
    }

    /// These operations are done: what they cover becomes durable.
    fn wait(&mut self, ids: &[OpId]) {
        for id in ids {
            let at = self.pending.iter().position(|op| op.id == *id).expect("waits for an operation that is out");
            let sync = self.pending[at].clone();
            let (before, after) = (self.pending[..at].to_vec(), self.pending[at + 1..].to_vec());
            self.pending.clear();
            for op in before {
                match (&sync.action, &op.action) {
                    (Action::Sync, Action::Create) if op.file == sync.file => {
                        // The content starts empty; the name stays pending, and so stands for this file alone.
                        self.durable.insert(&op.file, Vec::new());
                        self.pending.retain(|other| other.file != op.file || other.action != Action::Remove);
                        self.names.remove(&op.file);
                        self.pending.push(op);
                    }
                    (Action::Sync, Action::Write { .. } | Action::Truncate { .. }) if op.file == sync.file => {
                        assert!(self.durable.apply(&op).result.is_ok());
                    }
                    (Action::SyncDir, Action::Create) => {
                        if self.durable.file(&op.file).is_err() {
                            self.durable.insert(&op.file, Vec::new());
                        }
                        self.names.insert(op.file);
                    }
                    (Action::SyncDir, Action::Remove) => self.remove(&op),
                    (_, Action::Sync | Action::SyncDir) => {}
                    _ => self.pending.push(op),
                }
            }
            self.pending.extend(after);
        }
    }

    /// A name and its content are gone: a file that gets the name later begins empty.
    fn remove(&mut self, op: &DiskOp) {
        self.names.remove(&op.file);
        // Unless it was never written.
        let _ = self.durable.apply(op);
    }

    /// What a process sees: its own and its predecessor's writes, durable or not.
    fn view(&self) -> MemDisk {
        let mut view = MemDisk::new();
        for file in &self.names {
            view.insert(file, self.durable.file(file).expect("a durable name has content").to_vec());
        }
        let mut removed = BTreeSet::new();
        for op in &self.pending {
            // A content that is durable while its name is not was created empty by the operation before.
            assert!(view.apply(op).result.is_ok());
            if op.action == Action::Remove {
                removed.insert(&op.file);
            } else if op.action == Action::Create && !removed.contains(&op.file) {
                view.insert(&op.file, self.durable.file(&op.file).map(<[u8]>::to_vec).unwrap_or_default());
            }
        }
        view
    }

    /// The image after a power cut; `keep` decides what of the pending work arrived.
    fn power_cut(mut self, mut keep: impl FnMut() -> bool) -> Self {
        let pending = std::mem::take(&mut self.pending);
        for (i, op) in pending.iter().enumerate() {
            let op = op.clone();
            // A name that is given anew was taken from its old file before.
            let renewed = || pending[i..].iter().any(|later| later.file == op.file && later.action == Action::Create);
            if !matches!(op.action, Action::Create) && self.durable.file(&op.file).is_err() {
                continue;
            }
            match &op.action {
                Action::Create => {
                    if self.durable.file(&op.file).is_err() {
                        self.durable.insert(&op.file, Vec::new());
                    }
                    if keep() {
                        self.names.insert(op.file);
                    }
                }
                Action::Remove if renewed() || keep() => self.remove(&op),
                Action::Write { offset, data } => {
                    // Sector by sector, as they lie on the disk.
                    let (mut at, end) = (*offset as usize, *offset as usize + data.len());
                    while at < end {
                        let next = ((at / SECTOR + 1) * SECTOR).min(end);
                        if keep() {
                            let start = at - *offset as usize;
                            let data = data.joined().slice(start..start + (next - at)).into();
                            let write = Action::Write { offset: at as u64, data };
                            self.durable.apply(&DiskOp { action: write, ..op.clone() });
                        }
                        at = next;
                    }
                }
                Action::Truncate { .. } if keep() => {
                    self.durable.apply(&op);
                }
                _ => {}
            }
        }
        self.durable = self.view();
        self
    }
}

/// What the member does next.
#[derive(Clone, Debug)]
enum Step {
    /// Appends so many entries, the first this far back (a conflict, in a new term).
    Append { count: usize, back: u64, bytes: usize },
    /// A lone commit advance, not synced.
    Commit,
    /// A record of a snapshot at the commit index, not waited for.
    Snapshot,
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1..4usize, 0..3u64, 0..700usize).prop_map(|(count, back, bytes)| Step::Append { count, back, bytes }),
        2 => Just(Step::Commit),
        1 => Just(Step::Snapshot),
    ]
}

/// A member's log, and what it has promised.
struct Model {
    wal: Wal,
    entries: Vec<Entry>,
    state: HardState,
    /// As of the last save that was waited for.
    promised: (Vec<Entry>, HardState),
}

impl Model {
    fn step(&mut self, step: &Step, sink: &mut OpSink<'_>) -> Vec<OpId> {
        match step {
            Step::Append { count, back, bytes } => {
                let last = self.entries.len() as u64;
                let first = (last.saturating_sub(*back)).max(self.state.commit) + 1;
                if first <= last {
                    self.state.term += 1;
                }
                self.entries.truncate(first as usize - 1);
                let new: Vec<Entry> = (0..*count as u64)
                    .map(|i| Entry {
                        kind: EntryKind::Normal,
                        term: self.state.term,
                        index: first + i,
                        data: vec![(first + i) as u8; *bytes].into(),
                    })
                    .collect();
                self.entries.extend_from_slice(&new);
                let state = self.state;
                self.wal.save(&new, Some(&state), true, sink)
            }
            Step::Commit => {
                self.state.commit += u64::from(self.state.commit < self.entries.len() as u64);
                let state = self.state;
                self.wal.save(&[], Some(&state), false, sink)
            }
            Step::Snapshot => {
                let index = self.state.commit;
                let term = index.checked_sub(1).map_or(0, |i| self.entries[i as usize].term);
                self.wal.save_snapshot(&SnapshotMeta { index, term, ..Default::default() }, sink);
                Vec::new()
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_kill_or_power_cut_loses_what_was_promised(
        lives in prop::collection::vec((prop::collection::vec(any_step(), 0..25), any::<u64>(), any::<bool>(), any::<bool>()), 1..5),
    ) {
        let mut disk = Crashy::default();
        let (mut ops, mut next_id) = (Vec::new(), 0);
        let mut promised: Option<(Vec<Entry>, HardState)> = None;
        for (steps, seed, mid_save, killed) in lives {
            let mut model = match &promised {
                None => {
                    let (wal, wait) = Wal::create(config(), b"meta", &mut OpSink::new(&mut ops, &mut next_id));
                    disk.issue(&mut ops);
                    if !steps.is_empty() {
                        disk.wait(&wait);
                    }
                    let state = HardState { term: 1, vote: 0xb71f_7532_0dc0_6a6c, commit: 0 };
                    Model { wal, entries: vec![], state, promised: (vec![], HardState::default()) }
                }
                Some(promised) => {
                    let image = disk.view();
                    let r = recover(&image, config(), NONE, &mut OpSink::new(&mut ops, &mut next_id))
                        .map_err(|error| TestCaseError::fail(error.to_string()))?;
                    disk.issue(&mut ops);
                    disk.wait(&r.wait);
                    prop_assert!(r.state.term >= promised.1.term, "{:?} < {:?}", r.state, promised.1);
                    prop_assert!(r.state.commit >= promised.1.commit);
                    // Every promised entry is there, unless a later, unfinished save overwrote it with a newer term's.
                    for (had, has) in promised.0.iter().zip(r.entries.iter().map(Some).chain(std::iter::repeat(None))) {
                        prop_assert!(has.is_some_and(|has| has == had || has.term > had.term) || r.entries.last().is_some_and(|l| l.term > had.term),
                            "entry {} of term {} is lost", had.index, had.term);
                    }
                    for (i, entry) in r.entries.iter().enumerate() {
                        prop_assert_eq!(entry.index, i as u64 + 1);
                        prop_assert!(entry.data.iter().all(|&b| b == entry.index as u8));
                    }
                    let mut state = r.state;
                    state.vote = 0xb71f_7532_0dc0_6a6c;
                    state.term = state.term.max(r.entries.last().map_or(1, |e| e.term));
                    Model { wal: r.wal, entries: r.entries, state, promised: promised.clone() }
                }
            };
            let last = steps.len().saturating_sub(1);
            for (i, step) in steps.iter().enumerate() {
                let wait = model.step(step, &mut OpSink::new(&mut ops, &mut next_id));
                disk.issue(&mut ops);
                let interrupted = mid_save && i == last;
                if !wait.is_empty() && !interrupted {
                    disk.wait(&wait);
                    model.promised = (model.entries.clone(), model.state);
                }
            }
            if !killed {
                let mut random = seed | 1;
                disk = disk.power_cut(|| {
                    random ^= random << 13;
                    random ^= random >> 7;
                    random ^= random << 17;
                    random >> 63 == 0
                });
            }
            let has_log = exists(&disk.view(), &config()).map_err(|error| TestCaseError::fail(error.to_string()))?;
            prop_assert!(has_log || model.promised.0.is_empty());
            promised = has_log.then_some(model.promised);
        }
    }
}
