//! What goes into a step and what comes out of it.

use super::job::{Job, JobId, JobOutput};
use super::{PeerMessage, StreamInput};
use crate::api::{AuthError, Credentials, Error, Request, RequestId, Response};
use crate::auth::AuthInfo;
use crate::backend::BackendError;
use crate::disk::{DiskDone, DiskError, DiskOp, OpId};
use crate::mvcc::Compacted;
use crate::mvcc::watch::StreamId;
use crate::pb::etcdserverpb::{AlarmType, WatchResponse};
use crate::raft::{ConfState, Message, NodeId, RaftEvent};
use crate::time::Nanos;
use bytes::Bytes;

/// One thing that happened to a member. What is long is boxed: an input is moved several times before it is taken.
#[derive(Clone, Debug, PartialEq, Hash)]
pub enum Input {
    /// A message from a peer.
    Message(Message),
    /// A client's request; answered by exactly one reply with its id, unless the member stops or crashes first.
    Request(RequestId, Box<Request>),
    /// A disk operation is done, or failed.
    Disk(DiskDone),
    /// The deadline that [`Effects::deadline`] asked for (or any other moment: being early does no harm).
    Deadline,
    /// An operator wants a snapshot now, whatever `snapshot_count` says.
    TakeSnapshot,
    /// An operator keeps an image of the database open for so long, as a client does that reads a snapshot slowly.
    HoldImage(Nanos),
    /// The transport could not reach a peer.
    Unreachable(NodeId),
    /// The transport delivered a snapshot to a peer, or failed to.
    SnapshotSent(NodeId, bool),
    /// A client's watch stream, numbered by whoever owns the member.
    Stream(StreamId, Box<StreamInput>),
    /// Another member asks something besides Raft, or answers.
    Peer(NodeId, PeerMessage),
    /// A client's request that says who makes it.
    RequestAs(RequestId, Credentials, Box<Request>),
    /// A job of [`Effects::jobs`] is done.
    JobDone(JobId, JobOutput),
    /// The transport was told by a peer that this member was removed (etcd: 410 Gone).
    Removed,
}

/// What a step asks the world to do. The caller keeps one and clears it between steps, so that its vectors keep their
/// room.
#[derive(Debug, Default)]
pub struct Effects {
    /// To send to peers, in this order for each peer.
    pub messages: Vec<Message>,
    /// To send to peers besides Raft. May get lost.
    pub peers: Vec<(NodeId, PeerMessage)>,
    /// Removed members whose messages were refused: the transport tells them ([`Input::Removed`]).
    pub rejected: Vec<NodeId>,
    /// To answer to clients.
    pub replies: Vec<(RequestId, Result<Response, Error>)>,
    /// To send down clients' watch streams, in this order.
    pub watch: Vec<(StreamId, WatchResponse)>,
    /// To start, in this order.
    pub disk: Vec<DiskOp>,
    /// To compute beside the member.
    pub jobs: Vec<Job>,
    /// When to step the member again with [`Input::Deadline`], on its monotonic clock, unless something else does
    /// before. Replaces the deadline asked for earlier; always in the future.
    pub deadline: Nanos,
    /// CPU time that the step took, by the cost table; 0 without one.
    pub cost: Nanos,
    /// What happened inside.
    pub trace: Vec<TraceEvent>,
    /// The member has stopped and must not be stepped again.
    pub stop: Option<StopReason>,
}

impl Effects {
    /// Empties it.
    pub fn clear(&mut self) {
        self.messages.clear();
        self.peers.clear();
        self.rejected.clear();
        self.replies.clear();
        self.watch.clear();
        self.disk.clear();
        self.jobs.clear();
        self.deadline = Nanos::MAX;
        self.cost = 0;
        self.trace.clear();
        self.stop = None;
    }
}

/// Why a member stopped by itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum StopReason {
    /// The database cannot be read or written.
    #[error("{0}")]
    Backend(BackendError),
    /// The disk failed under the WAL or a snapshot. It is not tried again: after a failed sync the pages may be gone.
    #[error("the disk failed: {0}; replace it, then start the member again")]
    Disk(DiskError),
    /// The check at the start found that the keys differ from the others'.
    #[error("found data inconsistency with peers; remove this member from the cluster and add it anew")]
    Corrupt,
    /// A snapshot came that cannot be read.
    #[error("a snapshot from the leader cannot be read: {0}")]
    Snapshot(String),
    /// It was removed from the cluster. Its data is of no use any more.
    #[error("the member has been permanently removed from the cluster")]
    Removed,
}

/// What somebody wants to read.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ReadAsked {
    /// On whose behalf it is asked.
    pub who: AuthInfo,
    /// The first key.
    pub key: Bytes,
    /// The end, as the API has it.
    pub range_end: Bytes,
}

/// What happened inside a member: for stories, traces and checkers. Never an instruction. What is long and rare is boxed:
/// some of these are made in every step.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum TraceEvent {
    /// Something in Raft.
    Raft(RaftEvent),
    /// A WAL save went out; the raft loop is blocked until `op` is done.
    SaveStarted {
        /// The operation waited for.
        op: OpId,
        /// Entries in the save.
        entries: usize,
    },
    /// The save is durable, and the loop goes on.
    SaveDone {
        /// The operation waited for.
        op: OpId,
        /// How long the loop was blocked.
        took: Nanos,
    },
    /// A tick fell due while the raft loop was blocked and an earlier one still waited: it is lost.
    TickDropped {
        /// The operation that blocks the loop; `None` if the member simply did not run (pause, slow CPU).
        blocked_on: Option<OpId>,
        /// How many.
        count: u64,
    },
    /// An entry was applied.
    Applied {
        /// Its index.
        index: u64,
        /// Its term.
        term: u64,
        /// The request in it; 0 if there is none.
        request: u64,
        /// The store's revision after it.
        revision: i64,
        /// The store's hash after it; `None` while a compaction removes records, which members do at their own pace.
        hash: Option<u64>,
        /// Auth refused it: it changed nothing.
        refused: Option<AuthError>,
    },
    /// A client's write was given this number in the log.
    Proposed {
        /// The client's request.
        client: RequestId,
        /// Its number in entries.
        request: u64,
    },
    /// A snapshot of the own store was saved, and the log before it (less the catch-up) dropped.
    SnapshotSaved {
        /// Its index.
        index: u64,
    },
    /// A snapshot goes to a follower that is behind the log's start.
    SnapshotSent {
        /// The follower.
        to: NodeId,
        /// Its index.
        index: u64,
    },
    /// The store was replaced by a leader's snapshot.
    SnapshotInstalled {
        /// Its index.
        index: u64,
        /// The store's revision after it.
        revision: i64,
        /// The store's hash after it; `None` while the image holds an unfinished compaction.
        hash: Option<u64>,
    },
    /// The backend's batch began to become durable.
    BatchStarted {
        /// Writes in it.
        writes: u64,
        /// The last applied entry that it holds.
        index: u64,
    },
    /// The batch is durable.
    BatchDone {
        /// How long it took.
        took: Nanos,
    },
    /// A compaction has removed its last record.
    CompactionDone(Compacted),
    /// The database is being copied into a dense file; nothing is applied meanwhile.
    DefragStarted {
        /// Size of the file in bytes.
        size: u64,
    },
    /// The dense file is in use.
    DefragDone {
        /// Its size in bytes.
        size: u64,
        /// How long it took.
        took: Nanos,
    },
    /// The torn end of the WAL was cut off at start.
    WalRepaired {
        /// Bytes dropped.
        bytes: u64,
    },
    /// An entry raised an alarm, or took it back.
    Alarm {
        /// The entry's index.
        index: u64,
        /// Whose.
        member: NodeId,
        /// Which.
        alarm: AlarmType,
        /// It was raised.
        raised: bool,
    },
    /// This member counts leases down from now on: as the leader of this term.
    LeasesPromoted {
        /// The term.
        term: u64,
    },
    /// A lease was renewed for a client, which hears of it.
    LeaseRenewed {
        /// The lease.
        lease: i64,
    },
    /// While auth is on, or of a client that says who it is: a read or a watch was let through or refused.
    ReadChecked {
        /// The last applied entry.
        index: u64,
        /// What was to be read.
        read: Box<ReadAsked>,
        /// Why auth refused it.
        refused: Option<AuthError>,
    },
    /// An entry that changes the configuration was applied.
    ConfApplied {
        /// Its index.
        index: u64,
        /// Whether it changed who is who; a change that does not fit is refused by every member alike.
        made: bool,
        /// The configuration after it.
        conf: Box<ConfState>,
    },
}
