//! What a step of Raft asks its owner to do: [`Ready`], and what it tells about itself: [`RaftEvent`].

use super::{Entry, HardState, Message, NodeId, Snapshot};

/// A member's part in its term.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Role {
    /// Follows a leader, or waits for one.
    #[default]
    Follower,
    /// Asks whether it *could* win, without touching its term.
    PreCandidate,
    /// Asks for votes.
    Candidate,
    /// Leads its term.
    Leader,
}

/// A batch of work. The owner takes one with `Raft::ready`, does what the fields say in the order that they say, and
/// calls `Raft::advance` when `snapshot`, `entries` and `hard_state` are durable. There is never more than one out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ready {
    /// May be sent at once, beside the save below: a leader's appends and heartbeats (it need not hold an entry
    /// durably before it offers it), forwarded proposals, read confirmations, transfers.
    pub messages: Vec<Message>,
    /// Must not be sent before `snapshot`, `entries` and `hard_state` are durable: votes asked and given, and a
    /// follower's acknowledgements. Breaking this order loses acknowledged writes or elects two leaders.
    pub messages_after_save: Vec<Message>,
    /// To persist first of all, before `entries` and `hard_state`; then the state machine is replaced by it.
    pub snapshot: Option<Box<Snapshot>>,
    /// To append to the WAL. An index that the WAL already holds truncates it from there.
    pub entries: Vec<Entry>,
    /// To persist after `entries`, in the same save; `None` if unchanged.
    pub hard_state: Option<HardState>,
    /// Whether the save must be synced: entries, term, vote or snapshot changed. A lone commit advance need not be.
    pub must_sync: bool,
    /// To apply to the state machine in order. Always durable here already, and after `snapshot` if there is one.
    pub committed: Vec<Entry>,
    /// Reads that may be answered once the state machine has applied their index.
    pub reads: Vec<ReadState>,
}

/// A confirmed linearizable read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ReadState {
    /// The asker's own number for it.
    pub ctx: u64,
    /// The read may be answered once this index is applied.
    pub index: u64,
}

/// Why a member campaigned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CampaignCause {
    /// It heard no leader for `silent_ticks` ticks; its timeout, drawn for this term, was `timeout_ticks`.
    Timeout {
        /// Ticks since it last heard a leader (or granted a vote).
        silent_ticks: u32,
        /// The randomised election timeout in ticks.
        timeout_ticks: u32,
    },
    /// It won the PreVote round.
    PreVoteWon,
    /// The leader told it to.
    Transfer,
}

/// Why a leader or candidate gave up its part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StepDownCause {
    /// CheckQuorum: no majority answered for an election timeout.
    QuorumLost,
    /// A message of a higher term came from this member.
    HigherTerm {
        /// The sender.
        from: NodeId,
    },
    /// Another member leads this term (a candidate's loss).
    LeaderOfTerm {
        /// The leader.
        leader: NodeId,
    },
    /// A majority refused its (pre-)vote.
    Refused,
}

/// Why a vote was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RefuseCause {
    /// CheckQuorum's lease: it heard a leader within the election timeout.
    Lease,
    /// The candidate's log is behind its own.
    LogBehind,
    /// It voted for another in this term, or follows a leader of it.
    AlreadyVoted,
    /// The candidate's term is old.
    OldTerm,
}

/// What happened inside Raft during a step: for stories, traces and checkers. Never an instruction.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RaftEvent {
    /// Began to campaign (`pre`: to rehearse) for `term`.
    Campaigned {
        /// The term campaigned for.
        term: u64,
        /// A PreVote round.
        pre: bool,
        /// Why.
        cause: CampaignCause,
    },
    /// Granted its vote (`pre`: its pre-vote).
    Voted {
        /// The term voted in.
        term: u64,
        /// The candidate (may be itself).
        candidate: NodeId,
        /// A PreVote.
        pre: bool,
    },
    /// Refused a vote.
    Refused {
        /// The term asked for.
        term: u64,
        /// The candidate.
        candidate: NodeId,
        /// A PreVote.
        pre: bool,
        /// Why.
        cause: RefuseCause,
    },
    /// Won the election of `term` with the votes of `votes` (ascending).
    BecameLeader {
        /// The term led.
        term: u64,
        /// Who voted for it.
        votes: Vec<NodeId>,
    },
    /// Follows `leader` in `term` from now on.
    Follows {
        /// The term.
        term: u64,
        /// The leader.
        leader: NodeId,
    },
    /// Gave up being leader or candidate of `old_term`.
    SteppedDown {
        /// What it was.
        role: Role,
        /// The term it led or campaigned in.
        old_term: u64,
        /// Why.
        cause: StepDownCause,
    },
    /// Its log now ends at `last`; entries from `first` on are new (older ones from there were cut off).
    Appended {
        /// First new index.
        first: u64,
        /// Last new index.
        last: u64,
    },
    /// Its commit index rose to `index`.
    Committed {
        /// The commit index.
        index: u64,
    },
    /// Its log was replaced by a snapshot that ends at `index`.
    Restored {
        /// The snapshot's index.
        index: u64,
    },
    /// The leader believes that this log holds entries up to `commit`, but it ends at `last`: the disk lost what it had
    /// acknowledged. etcd panics here; the owner decides. Repeated at every heartbeat.
    LostAcknowledged {
        /// What the leader believes to be held and committed.
        commit: u64,
        /// Last index of this log.
        last: u64,
    },
    /// As leader: began to hand leadership to `to`.
    TransferStarted {
        /// The wished leader.
        to: NodeId,
    },
    /// As leader: gave up handing leadership to `to`.
    TransferAborted {
        /// The wished leader.
        to: NodeId,
    },
}
