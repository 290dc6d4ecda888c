//! What happened and because of what: the links from which every explanation is walked.
//!
//! A run writes one small record for each event of the world, and one for each thing worth telling that happens inside
//! an event (a message lost, a tick dropped, a leader elected). A record names the record that caused it: a delivery,
//! the step that sent the message; a completion, the disk operation; a lost message, the fault that took it.

use seedbed::pb::etcdserverpb::AlarmType;
use seedbed::raft::{Body, CampaignCause, Message, Role, StepDownCause};
use seedbed::time::Nanos;
use std::num::NonZeroU32;

/// A record's number; 0 is the start of the run.
pub type RecordId = u32;

/// A member's number, from 0. A person sees it from 1, as `n1`.
pub type NodeIndex = u8;

/// One thing that happened.
#[derive(Clone, Copy, Debug)]
pub struct Record {
    /// When, in virtual nanoseconds.
    pub at: Nanos,
    /// Because of what.
    pub cause: RecordId,
    /// What.
    pub what: What,
}

/// The kinds of records. Members are meant by their numbers, from 0; times are virtual nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "fields named from, to, node, term and the like say all there is")]
pub enum What {
    /// The run began.
    Start,
    /// A client's reply arrived, or its timer rang.
    Client,
    /// A member's timer rang.
    Deadline(NodeIndex),
    /// A member went on with inputs that had to wait for its CPU or its resumption.
    Turn(NodeIndex),
    /// A request reached a member.
    Request(NodeIndex),
    /// A message arrived that was sent at `sent`.
    Delivered { from: NodeIndex, to: NodeIndex, kind: Kind, sent: Nanos },
    /// A message did not arrive; the cause is the fault, or the step that sent it where no fault was to blame.
    Lost { from: NodeIndex, to: NodeIndex, kind: Kind, why: Lost },
    /// A message was held back by a fault (the cause) and arrives only at `arrives`.
    Delayed { from: NodeIndex, to: NodeIndex, kind: Kind, arrives: Nanos },
    /// A disk operation that someone waits for began; it will take `took`. `blame` is the fault that slowed it, if one
    /// did.
    DiskBusy { node: NodeIndex, took: Nanos, why: Slow, blame: Option<NonZeroU32> },
    /// A disk operation was done or failed.
    DiskDone { node: NodeIndex, failed: bool },
    /// A member's raft loop lost `count` ticks. The cause is the disk operation, pause or slow CPU that held it up.
    TicksDropped { node: NodeIndex, count: u32, why: Held },
    /// A member's process stands still; the cause is the pause.
    Paused(NodeIndex),
    /// It goes on.
    Resumed(NodeIndex),
    /// A member's CPU is busy until `until`, longer than a heartbeat; the cause is the slow CPU.
    Overworked { node: NodeIndex, until: Nanos },
    /// A member began to campaign (`pre`: to rehearse).
    Campaigned { node: NodeIndex, term: u32, pre: bool, cause: CampaignCause },
    /// A member granted a vote (`pre`: a pre-vote).
    Voted { node: NodeIndex, term: u32, candidate: NodeIndex, pre: bool },
    /// A member won an election; bit K of `votes` is member K.
    BecameLeader { node: NodeIndex, term: u32, votes: u16 },
    /// A member follows a leader from now on.
    Follows { node: NodeIndex, term: u32, leader: NodeIndex },
    /// A leader or candidate of `term` gave up.
    SteppedDown { node: NodeIndex, role: Role, term: u32, cause: StepDownCause },
    /// A member's process began (again).
    Started(NodeIndex),
    /// A member refused to start on what its disk holds.
    Refused(NodeIndex),
    /// A member's process was killed.
    Crashed(NodeIndex),
    /// A member stopped by itself.
    Stopped(NodeIndex),
    /// A fault (of the plan, by its number) began.
    FaultBegan(u16),
    /// A fault ended.
    FaultEnded(u16),
    /// An operator's operation (by its number) was done.
    Operated(u16),
    /// What an operator asked for was refused; the run's notes say why.
    OperationFailed(u16),
    /// A member removed the last record of a compaction.
    Compacted { node: NodeIndex, revision: i64 },
    /// A member began to copy its database of `size` bytes into a dense file.
    DefragBegan { node: NodeIndex, size: u64 },
    /// It is done; the new file has `size` bytes.
    DefragEnded { node: NodeIndex, size: u64 },
    /// A member's store was replaced by a leader's snapshot.
    SnapshotInstalled { node: NodeIndex, index: u64 },
    /// A member came back without so many entries that it had acknowledged: its disk was damaged or had lied.
    Forgot { node: NodeIndex, entries: u64 },
    /// Everything was healed: the end of the chaos phase.
    Healed,
    /// An alarm of a member was raised, or taken back.
    Alarm { node: NodeIndex, alarm: AlarmType, raised: bool },
}

/// Why a message was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// The link was cut when it was sent.
    Cut,
    /// The link was cut while it was in flight.
    CutInFlight,
    /// The link lost it.
    Loss,
    /// The receiver's process was not there.
    Down,
}

/// Why a disk operation took so long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slow {
    /// As long as the disk's own distribution says.
    Usual,
    /// A stall.
    Stall,
    /// A slow disk.
    SlowDisk,
}

/// What held a raft loop up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// A WAL save.
    Disk,
    /// A pause of the process or its machine.
    Pause,
    /// A CPU too slow for its work.
    SlowCpu,
}

/// A message's kind, in a byte: the kinds of [`Body`], votes and their rehearsals apart; and what is not Raft's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the kinds are those of `Body`, documented there")]
pub enum Kind {
    Vote,
    PreVote,
    VoteResp,
    PreVoteResp,
    Append,
    AppendResp,
    Heartbeat,
    HeartbeatResp,
    Snapshot,
    Propose,
    ReadIndex,
    ReadIndexResp,
    TransferLeader,
    TimeoutNow,
    Peer,
}

impl Kind {
    /// The kind of a message.
    pub fn of(message: &Message) -> Kind {
        match &message.body {
            Body::Vote { pre: false, .. } => Kind::Vote,
            Body::Vote { pre: true, .. } => Kind::PreVote,
            Body::VoteResp { pre: false, .. } => Kind::VoteResp,
            Body::VoteResp { pre: true, .. } => Kind::PreVoteResp,
            Body::Append { .. } => Kind::Append,
            Body::AppendResp { .. } => Kind::AppendResp,
            Body::Heartbeat { .. } => Kind::Heartbeat,
            Body::HeartbeatResp { .. } => Kind::HeartbeatResp,
            Body::Snapshot(_) => Kind::Snapshot,
            Body::Propose { .. } => Kind::Propose,
            Body::ReadIndex { .. } => Kind::ReadIndex,
            Body::ReadIndexResp { .. } => Kind::ReadIndexResp,
            Body::TransferLeader { .. } => Kind::TransferLeader,
            Body::TimeoutNow => Kind::TimeoutNow,
        }
    }

    /// Whether only a leader sends it, so that hearing it tells a follower that there is one.
    pub fn from_leader(self) -> bool {
        matches!(self, Kind::Append | Kind::Heartbeat | Kind::Snapshot)
    }
}

/// All records of a run.
#[derive(Debug)]
pub struct Records {
    all: Vec<Record>,
}

impl Records {
    /// Room for `expected` records: growing a vector of megabytes costs more than the records.
    pub(crate) fn new(expected: usize) -> Records {
        let mut all = Vec::with_capacity(expected);
        all.push(Record { at: 0, cause: 0, what: What::Start });
        Records { all }
    }

    pub(crate) fn push(&mut self, at: Nanos, cause: RecordId, what: What) -> RecordId {
        let id = RecordId::try_from(self.all.len()).expect("invariant: fewer than 2^32 records a run");
        self.all.push(Record { at, cause, what });
        id
    }

    /// The record of that number.
    pub fn get(&self, id: RecordId) -> Record {
        self.all[id as usize]
    }

    /// All of them, in order of time.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (RecordId, &Record)> {
        self.all.iter().enumerate().map(|(id, record)| (id as RecordId, record))
    }

    /// Those at or after `from` and before `to`.
    pub fn between(&self, from: Nanos, to: Nanos) -> impl DoubleEndedIterator<Item = (RecordId, &Record)> {
        let start = self.all.partition_point(|record| record.at < from);
        let end = self.all.partition_point(|record| record.at < to);
        let records = self.all[start..end.max(start)].iter().enumerate();
        records.map(move |(i, record)| ((start + i) as RecordId, record))
    }
}
