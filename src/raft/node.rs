//! [`Raft`]: one member's consensus state, its clock tick, and the Ready loop.

use super::read::ReadQueue;
use super::{
    CampaignCause, ConfState, Config, Entry, HardState, Log, Message, NodeId, Peers, Place, Progress, RaftEvent,
    ReadState, Ready, RecoverError, Recovered, Role, Snapshot, SnapshotMeta, StepDownCause,
};
use crate::bug::Bug;
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

/// A Ready hands out at most so many bytes of committed entries (but at least one entry), so that applying a long
/// backlog does not hold everything else up.
const MAX_COMMITTED_BYTES: u64 = 1 << 20;

/// So many emptied lists are kept: a Ready has two.
const SPARE_MAX: usize = 2;

/// One member of a Raft cluster, as a value: messages, ticks and proposals go in, a [`Ready`] comes out.
///
/// Invariants:
/// - `term` and the log's commit index never decrease; `vote` changes within a term only from nobody to somebody.
/// - A leader of a term appends to its log and never truncates it.
/// - What `messages_after_save` promises is in the same Ready's, or an earlier Ready's, save.
pub struct Raft {
    pub(super) config: Config,
    pub(super) rng: Xoshiro256PlusPlus,

    // The hard state, but for the commit index, which is the log's.
    pub(super) term: u64,
    pub(super) vote: NodeId,
    pub(super) log: Log,

    pub(super) role: Role,
    /// The leader of `term`, 0 if unknown.
    pub(super) leader: NodeId,
    pub(super) peers: Peers,

    // Clocks, in ticks.
    /// Since the leader was heard, a vote was granted or a campaign began; for a leader, since CheckQuorum last asked.
    pub(super) election_elapsed: u32,
    pub(super) heartbeat_elapsed: u32,
    /// Since the leader was heard or a vote was granted; unlike `election_elapsed`, campaigns do not restart it.
    pub(super) silent_ticks: u32,
    /// Campaign when `election_elapsed` reaches this; drawn from [T, 2T).
    pub(super) randomized_timeout: u32,

    // Only a leader's.
    /// Whom leadership is being handed to, 0 for nobody.
    pub(super) transferee: NodeId,
    /// No configuration change may be appended before this index is applied.
    pub(super) pending_conf_index: u64,
    pub(super) uncommitted_bytes: u64,
    pub(super) reads: ReadQueue,

    /// The newest snapshot that the owner can provide to others.
    pub(super) snapshot: SnapshotMeta,
    /// A snapshot that was received and waits to be taken by a Ready.
    pub(super) incoming: Option<Box<Snapshot>>,

    // What goes out with the next Ready.
    pub(super) messages: Vec<Message>,
    pub(super) messages_after_save: Vec<Message>,
    pub(super) read_states: Vec<ReadState>,
    pub(super) events: Vec<RaftEvent>,
    /// Lists that the owner has emptied and given back, for their room.
    spare: Vec<Vec<Message>>,

    /// The hard state of the last Ready that had one.
    handed_state: HardState,
    out: Option<Outstanding>,
}

/// The Ready that is out.
#[derive(Clone, Copy, Debug)]
struct Outstanding {
    /// It carries a snapshot.
    snapshot: bool,
}

impl Raft {
    /// Starts a member from what its disk holds; a member that joins a cluster holds nothing.
    ///
    /// # Errors
    /// If what was read back cannot be a member's state: see [`RecoverError`].
    pub fn new(config: Config, recovered: Recovered) -> Result<Raft, RecoverError> {
        config.check();
        let Recovered { hard_state, snapshot, mut entries, applied } = recovered;
        drop_superseded(&snapshot, &mut entries);
        check_contiguous(&snapshot, &entries)?;
        let last = snapshot.index + entries.len() as u64;
        if hard_state.commit < snapshot.index {
            return Err(RecoverError::CommitBehindSnapshot { commit: hard_state.commit, snapshot: snapshot.index });
        }
        if last < hard_state.commit {
            return Err(RecoverError::LogBehindCommit { last, commit: hard_state.commit });
        }
        if last < applied {
            return Err(RecoverError::LogBehindApplied { last, applied });
        }
        let mut log = Log::recovered(&snapshot, entries);
        log.commit_to(hard_state.commit);
        log.recover_applied(applied.max(snapshot.index));
        let mut raft = Raft::with_log(config, log, hard_state, snapshot.conf.clone());
        raft.snapshot = snapshot;
        if raft.term < raft.log.last_term() {
            // The save that brought the entry was torn before its hard state. No vote of that term was given yet: it
            // would have waited for the same save.
            (raft.term, raft.vote) = (raft.log.last_term(), 0);
        }
        Ok(raft)
    }

    /// Starts a member of a new cluster: its log begins with the configuration changes `entries` that brought `conf`
    /// about, of term 1 and committed, which are the same on every first member. The first Ready saves them.
    pub fn bootstrap(config: Config, conf: ConfState, entries: Vec<Entry>) -> Raft {
        config.check();
        let none = SnapshotMeta::default();
        check_contiguous(&none, &entries).expect("invariant: a new cluster's entries are numbered from 1");
        let last = entries.len() as u64;
        let mut raft = Raft::with_log(config, Log::default(), HardState::default(), conf);
        raft.term = 1;
        raft.log.merge(entries);
        raft.log.commit_to(last);
        if last > 0 {
            raft.events.push(RaftEvent::Appended { first: 1, last });
            raft.events.push(RaftEvent::Committed { index: last });
        }
        raft
    }

    fn with_log(config: Config, log: Log, hard_state: HardState, conf: ConfState) -> Raft {
        let mut raft = Raft {
            rng: Xoshiro256PlusPlus::seed_from_u64(config.seed),
            config,
            term: hard_state.term,
            vote: hard_state.vote,
            log,
            role: Role::Follower,
            leader: 0,
            peers: Peers::default(),
            election_elapsed: 0,
            heartbeat_elapsed: 0,
            silent_ticks: 0,
            randomized_timeout: 0,
            transferee: 0,
            pending_conf_index: 0,
            uncommitted_bytes: 0,
            reads: ReadQueue::default(),
            snapshot: SnapshotMeta::default(),
            incoming: None,
            messages: Vec::new(),
            messages_after_save: Vec::new(),
            read_states: Vec::new(),
            events: Vec::new(),
            spare: Vec::new(),
            handed_state: hard_state,
            out: None,
        };
        raft.peers.install(conf, raft.log.last_index() + 1, config.max_inflight);
        raft.draw_timeout();
        raft
    }

    /// One tick of the owner's timer.
    pub fn tick(&mut self) {
        self.election_elapsed += 1;
        if self.role == Role::Leader {
            self.tick_leader();
            return;
        }
        self.silent_ticks += 1;
        if self.election_elapsed >= self.randomized_timeout && self.is_promotable() {
            self.campaign_on_timeout();
        }
    }

    /// So many ticks went by of which nobody told.
    pub fn fast_forward(&mut self, ticks: u32) {
        self.election_elapsed += ticks;
    }

    fn tick_leader(&mut self) {
        self.heartbeat_elapsed += 1;
        if self.election_elapsed >= self.config.election_ticks {
            self.election_elapsed = 0;
            if self.config.check_quorum && !self.peers.quorum_active() {
                return self.become_follower(self.term, 0, StepDownCause::QuorumLost);
            }
            self.peers.forget_active(self.config.id);
            // A transfer that takes longer than an election would has failed; proposals flow again.
            self.abort_transfer();
        }
        if self.heartbeat_elapsed >= self.config.heartbeat_ticks {
            self.heartbeat_elapsed = 0;
            self.send_heartbeats();
        }
    }

    /// Campaigns at once, as if the election timeout had fired.
    pub fn campaign(&mut self) {
        if self.role != Role::Leader {
            self.campaign_on_timeout();
        }
    }

    fn campaign_on_timeout(&mut self) {
        self.election_elapsed = 0;
        self.start_campaign(CampaignCause::Timeout {
            silent_ticks: self.silent_ticks,
            timeout_ticks: self.randomized_timeout,
        });
    }

    /// A new election timeout, uniform in [T, 2T) ticks.
    pub(super) fn draw_timeout(&mut self) {
        let n = u64::from(self.config.election_ticks);
        let below = ((u128::from(self.rng.next_u64()) * u128::from(n)) >> 64) as u32;
        self.randomized_timeout = self.config.election_ticks + below;
    }

    // ── The Ready loop ───────────────────────────────────────────────────────────────────────────────────────────

    /// Whether [`Raft::ready`] would return any work. False while a Ready is out.
    pub fn has_ready(&self) -> bool {
        self.out.is_none()
            && (!self.messages.is_empty()
                || !self.messages_after_save.is_empty()
                || !self.read_states.is_empty()
                || self.incoming.is_some()
                || self.log.has_unsaved()
                || self.log.handed() < self.log.committed().min(self.acknowledged())
                || self.hard_state() != self.handed_state)
    }

    /// Takes the work that has come up. [`Raft::advance`] must follow when it is durable, before the next one.
    ///
    /// # Panics
    /// If a Ready is out.
    pub fn ready(&mut self) -> Ready {
        assert!(self.out.is_none(), "invariant: one Ready at a time");
        let state = self.hard_state();
        let entries = self.log.begin_save();
        let promised = state.term != self.handed_state.term || state.vote != self.handed_state.vote;
        if promised && self.role == Role::Leader {
            // A sole voter leads a term that is not durable yet. Learners must not see the term's entries before: after
            // a crash it might lead the same term again, with others.
            self.messages.append(&mut self.messages_after_save);
            std::mem::swap(&mut self.messages, &mut self.messages_after_save);
        }
        let snapshot = self.incoming.take();
        self.out = Some(Outstanding { snapshot: snapshot.is_some() });
        let hard_state = (state != self.handed_state).then_some(state);
        self.handed_state = state;
        Ready {
            messages: take(&mut self.messages, &mut self.spare),
            messages_after_save: take(&mut self.messages_after_save, &mut self.spare),
            must_sync: promised || !entries.is_empty() || snapshot.is_some(),
            snapshot,
            entries,
            hard_state,
            committed: self.log.hand_out(self.acknowledged(), MAX_COMMITTED_BYTES),
            reads: std::mem::take(&mut self.read_states),
        }
    }

    /// Takes a list of a Ready back whose messages have left: the next ones need not allocate.
    pub fn reuse(&mut self, mut sent: Vec<Message>) {
        if self.spare.len() < SPARE_MAX {
            sent.clear();
            self.spare.push(sent);
        }
    }

    /// The Ready that is out is durable.
    ///
    /// # Panics
    /// If none is out.
    pub fn advance(&mut self) {
        assert!(self.out.take().is_some(), "invariant: only a Ready that is out is advanced");
        self.log.finish_save();
        if self.role == Role::Leader && self.acknowledge_own() {
            self.send_appends();
        }
    }

    /// Up to here this member counts a log that it leads as its own acknowledgement, and may apply it once committed.
    pub(super) fn acknowledged(&self) -> u64 {
        // The bug (etcd #14370): an entry counts when it is appended. For a sole voter that commits it, so that one
        // Ready carries it both to be saved and to be applied, and nothing makes the reply wait for the save.
        if self.config.bugs.on(Bug::AckBeforeWal) && self.role == Role::Leader {
            return self.log.last_index();
        }
        self.log.stable()
    }

    /// The owner has applied the log up to `index`.
    pub fn applied_to(&mut self, index: u64) {
        self.log.applied_to(index);
        self.leave_joint_if_due();
    }

    /// Drops the log up to `index`, which must be applied. Whoever still needs it gets the snapshot, so announce one at
    /// or after `index` by [`Raft::set_snapshot`] first.
    pub fn compact(&mut self, index: u64) {
        self.log.compact(index);
    }

    /// The newest snapshot that the owner can provide. A [`Body::Snapshot`](super::Body::Snapshot) message carries it
    /// with empty data, which the owner fills in (or replaces by a newer snapshot).
    pub fn set_snapshot(&mut self, meta: SnapshotMeta) {
        if meta.index > self.snapshot.index {
            self.snapshot = meta;
        }
    }

    /// Whether a snapshot was received that is not durable yet.
    pub(super) fn is_restoring(&self) -> bool {
        self.incoming.is_some() || self.out.is_some_and(|out| out.snapshot)
    }

    // ── Looking in ───────────────────────────────────────────────────────────────────────────────────────────────

    /// This member.
    pub fn id(&self) -> NodeId {
        self.config.id
    }

    /// The latest term it has seen.
    pub fn term(&self) -> u64 {
        self.term
    }

    /// Whom it voted for in this term; 0 for nobody.
    pub fn vote(&self) -> NodeId {
        self.vote
    }

    /// Its part in this term.
    pub fn role(&self) -> Role {
        self.role
    }

    /// Who leads this term; 0 if it does not know.
    pub fn leader(&self) -> NodeId {
        self.leader
    }

    /// The highest index it knows to be committed.
    pub fn commit(&self) -> u64 {
        self.log.committed()
    }

    /// The highest index that the owner reported as applied.
    pub fn applied(&self) -> u64 {
        self.log.applied()
    }

    /// Index of its last entry.
    pub fn last_index(&self) -> u64 {
        self.log.last_index()
    }

    /// Term of its last entry.
    pub fn last_term(&self) -> u64 {
        self.log.last_term()
    }

    /// Index of the first entry that it still holds.
    pub fn first_index(&self) -> u64 {
        self.log.first_index()
    }

    /// Its log.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// The configuration in force.
    pub fn conf(&self) -> &ConfState {
        self.peers.conf()
    }

    /// Its settings.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Term, vote and commit index now; durable is what the last advanced Ready carried.
    pub fn hard_state(&self) -> HardState {
        HardState { term: self.term, vote: self.vote, commit: self.log.committed() }
    }

    /// What it knows of each member, ascending by id; up to date only while it leads.
    pub fn progress(&self) -> impl Iterator<Item = (NodeId, &Progress)> {
        self.peers.all().iter().map(|(id, progress)| (*id, progress))
    }

    /// To whom it is handing leadership, if it is.
    pub fn transferee(&self) -> Option<NodeId> {
        (self.transferee != 0).then_some(self.transferee)
    }

    /// Ticks since it heard the leader, granted a vote or campaigned.
    pub fn election_elapsed(&self) -> u32 {
        self.election_elapsed
    }

    /// At so many ticks it campaigns.
    pub fn randomized_timeout(&self) -> u32 {
        self.randomized_timeout
    }

    /// Moves what happened since the last call to the end of `into`. Call it regularly: events pile up until taken.
    pub fn take_events(&mut self, into: &mut Vec<RaftEvent>) {
        into.append(&mut self.events);
    }
}

/// What a list holds. If that is anything, the list goes on in room that was given back.
fn take(list: &mut Vec<Message>, spare: &mut Vec<Vec<Message>>) -> Vec<Message> {
    if list.is_empty() { Vec::new() } else { std::mem::replace(list, spare.pop().unwrap_or_default()) }
}

/// Cuts off what a snapshot superseded. A received snapshot replaces the log, but a WAL is only appended to: entries
/// after the snapshot's index that were written before it may still stand there. Their term gives them away: an entry of
/// the snapshot's term or later can only follow the snapshot's own last entry, and so belongs to its log.
fn drop_superseded(snapshot: &SnapshotMeta, entries: &mut Vec<Entry>) {
    if entries.first().is_some_and(|e| e.term < snapshot.term) {
        entries.clear();
    }
}

fn check_contiguous(snapshot: &SnapshotMeta, entries: &[Entry]) -> Result<(), RecoverError> {
    let mut before = Place { index: snapshot.index, term: snapshot.term };
    for entry in entries {
        if entry.index != before.index + 1 {
            return Err(RecoverError::Gap { expected: before.index + 1, found: entry.index });
        }
        if entry.term < before.term {
            let Place { term: before, .. } = before;
            return Err(RecoverError::TermDecreases { index: entry.index, term: entry.term, before });
        }
        before = Place { index: entry.index, term: entry.term };
    }
    Ok(())
}
