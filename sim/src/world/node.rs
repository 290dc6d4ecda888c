//! A member's surroundings: its process, its clocks, its CPU, and what holds it up.

use super::KeptFile;
use super::clock::MemberClock;
use super::disk::SimDisk;
use super::members::Standing;
use super::net::NodeSet;
use super::record::{NodeIndex, RecordId};
use seedbed::bug::BugSet;
use seedbed::disk::{OpId, Shared};
use seedbed::member::{Costs, Input, Job, Member};
use seedbed::raft::NodeId;
use seedbed::time::Nanos;
use std::collections::{BTreeMap, VecDeque};

/// See the module.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) index: NodeIndex,
    /// etcd's id for it.
    pub(super) id: NodeId,
    pub(super) process: Process,
    /// Counts starts: completions of an earlier life are void.
    pub(super) life: u32,
    pub(super) disk: Shared<SimDisk>,
    pub(super) clock: MemberClock,
    /// The rate of its clock when no fault changes it.
    pub(super) own_ppm: i32,
    pub(super) bugs: BugSet,
    /// The CPU is busy until then; inputs wait.
    pub(super) busy_until: Nanos,
    /// Its jobs, and when each was handed out. The core for them works on the first one.
    pub(super) jobs: VecDeque<(Job, Nanos)>,
    /// Inputs that wait for the CPU or for a resumption, with the records of their arrival.
    pub(super) inbox: VecDeque<(Input, RecordId)>,
    /// A turn is scheduled for the inbox.
    pub(super) turn_scheduled: bool,
    /// When the member wants to be woken, as a moment of the world.
    pub(super) deadline: Nanos,
    /// The earliest wake-up in the heap.
    pub(super) woken_at: Nanos,
    /// Calls that it has not answered, with their operations.
    pub(super) calls: BTreeMap<u64, u32>,
    /// Disk operations that are out, with the records of their beginning.
    pub(super) operations: VecDeque<(OpId, RecordId)>,
    /// Faults that weigh on it.
    pub(super) holds: Vec<Hold>,
    /// The pause that ended last: its record, and when it ended.
    pub(super) last_pause: Option<(RecordId, Nanos)>,
    /// The highest commit index that it told of.
    pub(super) commit_seen: u64,
    /// The fault that will cut its power at a disk operation.
    pub(super) cut_by: u16,
    /// Its data was damaged by a fault that no protocol tolerates: it may refuse to start.
    pub(super) damaged: bool,
    /// What it is to the cluster.
    pub(super) standing: Standing,
    /// It was added to a cluster that was there: it begins with nothing and knows nobody.
    pub(super) joined: bool,
    /// It has yet to start for the first time under its id.
    pub(super) fresh: bool,
    /// A fault made its disk fail: it may stop by itself.
    pub(super) disk_fails: bool,
}

/// The member's process.
#[derive(Debug)]
pub(super) enum Process {
    /// There is none; it was killed, or has not begun.
    Down,
    /// It runs.
    Running(Box<Member>),
    /// The member stopped by itself: its disk failed it, or it was removed.
    Stopped,
    /// The member refused to start.
    Refused,
}

/// A fault that weighs on a member until it ends.
#[derive(Clone, Debug)]
pub(super) struct Hold {
    /// The fault's number in the plan.
    pub(super) fault: u16,
    /// The record that it began.
    pub(super) record: RecordId,
    pub(super) kind: HoldKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HoldKind {
    /// Killed, and not to be started again before the fault ends.
    Down,
    Pause,
    SlowCpu(u32),
    MemoryLimit(u64),
    SlowDisk(u32),
    LyingFsync,
    DiskFull,
    ClockRate(i32),
    /// Its clients cannot reach it, nor it them.
    ClientsCut,
}

impl Node {
    pub(super) fn member(&self) -> Option<&Member> {
        match &self.process {
            Process::Running(member) => Some(member),
            _ => None,
        }
    }

    /// What is on its disk.
    pub(super) fn kept_files(&self) -> Vec<KeptFile> {
        let disk = self.disk.reader();
        let files = disk.list("member").into_iter();
        files.map(|file| (file.clone(), disk.read_all(&file))).collect()
    }

    pub(super) fn is_up(&self) -> bool {
        matches!(self.process, Process::Running(_))
    }

    /// The record of the pause that it is in.
    pub(super) fn paused(&self) -> Option<RecordId> {
        self.hold(|kind| matches!(kind, HoldKind::Pause)).map(|hold| hold.record)
    }

    pub(super) fn slow_cpu(&self) -> Option<RecordId> {
        self.hold(|kind| matches!(kind, HoldKind::SlowCpu(_))).map(|hold| hold.record)
    }

    pub(super) fn hold(&self, wanted: impl Fn(HoldKind) -> bool) -> Option<&Hold> {
        self.holds.iter().find(|hold| wanted(hold.kind))
    }

    /// The most that its memory may hold.
    pub(super) fn memory_limit(&self) -> Option<u64> {
        let limits = self.holds.iter().filter_map(|hold| match hold.kind {
            HoldKind::MemoryLimit(bytes) => Some(bytes),
            _ => None,
        });
        limits.min()
    }

    /// Makes disk, CPU and clock what the holds say, after one came or went.
    pub(super) fn obey_holds(&mut self, now: Nanos, costs: Option<Costs>, own_ppm: i32) {
        let slowest = |factor: fn(HoldKind) -> Option<u32>| {
            let factors = self.holds.iter().filter_map(|hold| Some((factor(hold.kind)?, hold.record)));
            factors.max()
        };
        let slow_disk = slowest(|kind| if let HoldKind::SlowDisk(factor) = kind { Some(factor) } else { None });
        let slow_cpu = slowest(|kind| if let HoldKind::SlowCpu(factor) = kind { Some(factor) } else { None });
        let mut disk = self.disk.get();
        disk.faults.slow = slow_disk;
        disk.faults.lying = self.hold(|kind| kind == HoldKind::LyingFsync).is_some();
        disk.faults.full = self.hold(|kind| kind == HoldKind::DiskFull).is_some();
        drop(disk);
        let ppm = self.holds.iter().find_map(|hold| match hold.kind {
            HoldKind::ClockRate(ppm) => Some(ppm),
            _ => None,
        });
        if self.clock.rate() != ppm.unwrap_or(own_ppm) {
            self.clock.set_rate(now, ppm.unwrap_or(own_ppm));
        }
        let factor = slow_cpu.map_or(1, |(factor, _)| u64::from(factor));
        if let Process::Running(member) = &mut self.process {
            member.set_costs(costs.map(|costs| costs.slowed(factor)));
        }
    }
}

/// The numbers of a set's members.
pub(super) fn members_of(set: NodeSet) -> impl Iterator<Item = NodeIndex> {
    (0..NodeSet::BITS as NodeIndex).filter(move |n| set & 1 << n != 0)
}
