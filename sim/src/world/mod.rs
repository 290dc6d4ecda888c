//! The world: one event heap, one clock, members as plain values (chapter 01).
//!
//! ```text
//!            ┌────────────── heap: (time, sequence) ──────────────┐
//!   pop ──▶ move the clock ──▶ fold into the digest ──▶ step ──▶ effects ──▶ network, disks, clients ──▶ push
//! ```
//!
//! Everything that can happen is an event: a message arrives, a deadline comes, a disk operation is done, a client's
//! request or reply arrives, a fault begins or ends. Events happen one at a time in the order of (time, sequence
//! number). Nothing else moves the clock, and randomness comes from named streams of one seed ([`random`]); so the same
//! scenario, seed and build give the same run, and the [`digest`] proves it.
//!
//! madsim supplies the virtual clock that the process sees and forbids threads. Of its network, file system, timers and
//! executor nothing is used: members are stepped and client programs polled by the world itself, which is some five
//! times faster and has one order instead of several.
//!
//! A run has three phases: **chaos** (the scenario's duration), **healing** (every fault ends, every member is started),
//! **proof of life** (a leader, then one acknowledged write through every member).
//!
//! Left out: what a machine does below the process (page faults, interrupts), TCP's own congestion, and Byzantine peers.

mod admin;
pub mod client;
mod clock;
pub mod database;
pub mod digest;
pub(crate) mod disk;
mod faults;
mod heap;
mod kubernetes;
mod leases;
mod lines;
mod locks;
mod members;
mod mirror;
mod net;
mod node;
mod observe;
mod operators;
mod options;
mod outcome;
pub mod plan;
pub(crate) mod process;
pub mod random;
pub mod record;
mod requests;
mod session;
pub(crate) mod settings;
pub mod stream;
pub mod tasks;
mod transfer;
pub mod watch_client;
mod watching;
mod workload;

pub use client::Client;
pub use digest::{Checkpoint, Perturb};
pub use mirror::Mirror;
pub use observe::{LeaderChange, Tally};
pub use options::{Options, Watcher};
pub use outcome::{KeptFile, Outcome};
pub use plan::Resolved;

use crate::check::auth::Decision;
use crate::check::backend::BackendChecker;
use crate::check::compaction::CompactionChecker;
use crate::check::lessor::LeaseChecker;
use crate::check::log::{Committed, Course};
use crate::check::membership::MembershipChecker;
use crate::check::raft::RaftChecker;
use crate::check::replay::ReplayChecker;
use crate::check::state::StateChecker;
use crate::check::{Failure, serializable::Restart};
use crate::scenario::{Scenario, Tolerance};
use client::Log;
use digest::Digest;
use heap::EventHeap;
use lines::Line;
use net::Network;
use node::Node;
use observe::Observer;
use plan::{Planned, Waiting};
use random::Stream;
use record::{NodeIndex, RecordId, Records, What};
use requests::{Phase, Probes};
use seedbed::api::{Credentials, Request, RequestId};
use seedbed::disk::{DiskDone, DiskOp};
use seedbed::member::{Costs, Effects, Input, JobId, JobOutput, PeerMessage, StreamInput};
use seedbed::mvcc::watch::StreamId;
use seedbed::raft::{Message, NodeId};
use seedbed::time::{Nanos, SECOND};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use stream::Told;
use tasks::{CallResult, Tasks};

/// Something that will happen. What is long is boxed: an event is moved several times before it happens.
#[derive(Debug, Hash)]
enum Event {
    /// A message arrives, if the link's life `epoch` still lasts.
    Message { from: NodeIndex, to: NodeIndex, message: Message, epoch: u32, sent: Nanos },
    /// A member may want to be woken.
    Deadline(NodeIndex),
    /// A member can go on with what waits for it.
    Turn(NodeIndex),
    /// A disk operation is done.
    Disk { node: NodeIndex, life: u32, op: Box<DiskOp>, done: DiskDone },
    /// The power goes off under a member, before one of its disk operations.
    PowerCut { node: NodeIndex, life: u32, fault: u16 },
    /// A client's request arrives.
    Request { node: NodeIndex, call: u64, operation: u32, request: Box<Request> },
    /// A reply arrives at a client.
    Reply { call: u64, result: Box<CallResult> },
    /// A client's timer rings.
    Alarm(u64),
    /// The transport says what became of a snapshot.
    SnapshotSent { node: NodeIndex, life: u32, peer: NodeId, arrived: bool },
    /// A planned fault begins.
    FaultBegins(u16),
    /// It ends.
    FaultEnds(u16),
    /// An operator acts.
    Operation(u16),
    /// The chaos phase is over.
    Heal,
    /// By now there must be a leader.
    LeaderDue,
    /// The run is over at the latest.
    End,
    /// A question between members arrives, or an answer, if the link's life `epoch` still lasts.
    Peer { from: NodeIndex, to: NodeIndex, message: Box<PeerMessage>, epoch: u32, sent: Nanos },
    /// A client's words on a watch stream arrive.
    Said { node: NodeIndex, stream: StreamId, said: Box<StreamInput> },
    /// A member's words on a watch stream arrive, or the stream is found to be broken.
    Told { stream: StreamId, told: Box<Told> },
    /// A member finds out that a client's stream is dead.
    LineLost { node: NodeIndex, life: u32, stream: StreamId },
    /// Whoever watches has had time enough to hear everything.
    Heard,
    /// A client's request arrives that says who asks.
    RequestAs { node: NodeIndex, call: u64, operation: u32, who: Credentials, request: Box<Request> },
    /// A member's job is done.
    JobDone { node: NodeIndex, life: u32, id: JobId, output: JobOutput },
    /// A removed member hears from another that it was removed, if the link's life `epoch` still lasts.
    Removed { from: NodeIndex, to: NodeIndex, life: u32, epoch: u32 },
    /// A machine that was added is started as the member of this id.
    Joins { node: NodeIndex, id: NodeId },
}

/// An event, and the record of what scheduled it.
#[derive(Debug)]
struct Scheduled {
    cause: RecordId,
    event: Event,
}

/// How long a run goes on after one of Raft's invariants was broken.
const AFTER_BROKEN_RAFT: Nanos = 3 * SECOND;

/// A busy cluster writes a record about so often.
const RECORD_EVERY: Nanos = 500_000;

/// More events than this at one moment, and something loops.
const EVENTS_AT_ONE_MOMENT: u64 = 1_000_000;

/// See the module.
pub(crate) struct World {
    scenario: Rc<Scenario>,
    seed: u64,
    now: Nanos,
    events: u64,
    heap: EventHeap<Scheduled>,
    /// The record of what happens now.
    current: RecordId,
    records: Records,
    digest: Digest,
    nodes: Vec<Node>,
    by_id: BTreeMap<NodeId, NodeIndex>,
    costs: Option<Costs>,
    network: Network,
    client_network: Stream,
    stream_network: Stream,
    lines: BTreeMap<StreamId, Line>,
    tasks: Tasks,
    log: Rc<RefCell<Log>>,
    committed: Vec<Committed>,
    /// Writes that are in some log, by their number there: the operations that they belong to.
    proposed: BTreeMap<u64, u32>,
    plan: Vec<Planned>,
    fault_streams: Vec<Stream>,
    waiting: Vec<Waiting>,
    waiting_operations: Vec<Waiting>,
    resolved: Vec<Resolved>,
    /// In a replay: what is still to be scheduled of the capsule's plan where the scenario has conditions, and what
    /// targets came to.
    follow: Option<Vec<Resolved>>,
    known_targets: BTreeMap<u16, Vec<Vec<u8>>>,
    /// For each fault with a condition, the event that met it.
    known_after: BTreeMap<u16, u64>,
    restarts: Vec<Restart>,
    observer: Observer,
    raft_checker: RaftChecker,
    state_checker: StateChecker,
    replay_checker: ReplayChecker,
    backend_checker: BackendChecker,
    compaction_checker: CompactionChecker,
    lease_checker: LeaseChecker,
    /// Where leases are watched and there is auth: what it lets through.
    course: Option<Course>,
    /// What members let through and refused, where there is auth.
    decisions: Vec<Decision>,
    membership_checker: MembershipChecker,
    /// The member that steps has changed its mind about who the members are, or has just started.
    members_to_compare: bool,
    /// The member that steps has just loaded or replaced its store: what is in it is to be compared.
    store_to_compare: bool,
    files_checked: u64,
    stops: u64,
    /// Operators' calls that are out, with their operations.
    operator_calls: BTreeMap<u64, u16>,
    next_operator_call: u64,
    notes: BTreeMap<RecordId, String>,
    failures: Vec<Failure>,
    panic: Option<String>,
    phase: Phase,
    healed_at: Nanos,
    probes: Rc<RefCell<Probes>>,
    watcher: Option<Box<dyn Watcher + Send>>,
    keep_data: bool,
    /// Kept between steps for its room; boxed, since each step takes it out and puts it back.
    effects: Option<Box<Effects>>,
}

impl World {
    /// Builds the world of a scenario and a seed: nothing has happened yet.
    pub(crate) fn new(scenario: Rc<Scenario>, seed: u64, options: Options) -> World {
        let members = usize::from(scenario.cluster.members);
        let plan = plan::expand(&scenario, seed);
        let follow = options.follow;
        let known_targets =
            follow.iter().flatten().map(|resolved| (resolved.number, resolved.members.clone())).collect();
        let sources = scenario.faults.len() + scenario.operations.len();
        let asks_anything = scenario.workloads.iter().any(|workload| workload.kind.asks_anything());
        let course = (scenario.cluster.auth && asks_anything).then(Course::default);
        let mut network = Stream::new(seed, "network");
        if options.perturb == Some(Perturb::Draw) {
            network.bits();
        }
        let mut world = World {
            seed,
            now: 0,
            events: 0,
            heap: EventHeap::new(),
            current: 0,
            records: Records::new((scenario.duration / RECORD_EVERY) as usize),
            digest: Digest::perturbed(options.perturb),
            nodes: settings::nodes(&scenario, seed),
            by_id: BTreeMap::new(),
            costs: settings::costs(&scenario),
            network: Network::new(scenario.network.clone(), members, network),
            client_network: Stream::new(seed, "network/clients"),
            stream_network: Stream::new(seed, "network/streams"),
            lines: BTreeMap::new(),
            tasks: Tasks::new(),
            log: Rc::default(),
            committed: Vec::new(),
            proposed: BTreeMap::new(),
            fault_streams: (0..sources).map(|i| Stream::new(seed, &format!("faults/{i}/targets"))).collect(),
            waiting: Vec::new(),
            waiting_operations: Vec::new(),
            resolved: Vec::new(),
            known_targets,
            known_after: BTreeMap::new(),
            follow,
            restarts: Vec::new(),
            observer: Observer::new(members),
            raft_checker: RaftChecker::new(members),
            state_checker: StateChecker::default(),
            replay_checker: ReplayChecker::new(members),
            backend_checker: BackendChecker::new(settings::leases(&scenario)),
            compaction_checker: CompactionChecker::default(),
            course,
            lease_checker: LeaseChecker::new(settings::leases(&scenario).ttl_min),
            decisions: Vec::new(),
            membership_checker: MembershipChecker::new(u64::from(settings::founders(&scenario))),
            members_to_compare: false,
            store_to_compare: false,
            files_checked: 0,
            stops: 0,
            operator_calls: BTreeMap::new(),
            next_operator_call: operators::CALLS,
            notes: BTreeMap::new(),
            failures: Vec::new(),
            panic: None,
            phase: Phase::Chaos,
            healed_at: 0,
            probes: Rc::default(),
            watcher: options.watcher,
            keep_data: options.keep_data,
            effects: None,
            plan,
            scenario,
        };
        world.by_id = world.nodes.iter().map(|node| (node.id, node.index)).collect();
        world.schedule_plan();
        world.push(world.scenario.duration, Event::Heal);
        world.spawn_workloads();
        for node in 0..world.nodes.len() as NodeIndex {
            world.start(node);
        }
        world
    }

    /// Runs to the end. `advance` moves the process's virtual clock along.
    pub(crate) fn run(mut self, mut advance: impl FnMut(Nanos)) -> Outcome {
        let mut at_this_moment = 0;
        let mut stuck = None;
        self.poll_clients();
        while self.phase != Phase::Over && self.panic.is_none() {
            self.follow_plan();
            let (at, Scheduled { cause, event }) = self.heap.pop().expect("invariant: the end is always scheduled");
            at_this_moment = if at == self.now { at_this_moment + 1 } else { 0 };
            if at_this_moment > EVENTS_AT_ONE_MOMENT {
                stuck = Some(format!("more than {EVENTS_AT_ONE_MOMENT} events at {at} ns; the last is {event:?}"));
                break;
            }
            advance(at - self.now);
            self.now = at;
            self.happen(cause, event);
        }
        self.into_outcome(stuck)
    }

    fn happen(&mut self, cause: RecordId, event: Event) {
        if self.is_void(&event) {
            return;
        }
        self.events += 1;
        self.digest.fold(&(self.now, &event));
        self.digest.checkpoint(self.events, self.now);
        if let Some(watcher) = &mut self.watcher {
            watcher.on_event(self.now, self.events, &event);
        }
        self.current = cause;
        match event {
            Event::Message { from, to, message, epoch, sent } => self.on_message(from, to, message, epoch, sent),
            Event::Deadline(node) => self.on_deadline(node),
            Event::Turn(node) => self.on_turn(node),
            Event::Disk { node, op, done, .. } => self.on_disk_done(node, &op, done),
            Event::PowerCut { node, fault, .. } => self.on_power_cut(node, fault),
            Event::Request { node, call, operation, request } => {
                self.on_request(node, call, operation, Input::Request(RequestId(call), request));
            }
            Event::RequestAs { node, call, operation, who, request } => {
                self.on_request(node, call, operation, Input::RequestAs(RequestId(call), who, request));
            }
            Event::JobDone { node, id, output, .. } => self.on_job_done(node, id, output),
            Event::Reply { call, result } => {
                self.note(What::Client);
                if call >= operators::CALLS {
                    self.on_operator_reply(call, &result);
                } else {
                    self.tasks.reply(call, result);
                    self.poll_clients();
                }
            }
            Event::Alarm(alarm) => {
                self.note(What::Client);
                self.tasks.ring(alarm);
                self.poll_clients();
            }
            Event::SnapshotSent { node, peer, arrived, .. } => self.on_snapshot_sent(node, peer, arrived),
            Event::FaultBegins(number) => self.begin_fault(number),
            Event::FaultEnds(number) => self.end_fault(number),
            Event::Operation(number) => self.operate(number),
            Event::Heal => self.heal(),
            Event::LeaderDue => self.on_leader_due(),
            Event::End => self.on_end(),
            Event::Peer { from, to, message, epoch, sent } => self.on_peer(from, to, *message, epoch, sent),
            Event::Said { node, stream, said } => self.on_said(node, stream, said),
            Event::Told { stream, told } => self.on_told(stream, *told),
            Event::LineLost { node, stream, .. } => self.on_line_lost(node, stream),
            Event::Heard => self.phase = Phase::Over,
            Event::Removed { from, to, epoch, .. } => self.on_removed(from, to, epoch),
            Event::Joins { node, id } => self.join(node, id),
        }
        self.look_for_the_end();
    }

    /// Whether an event has lost its meaning since it was scheduled. Such events do not happen at all.
    fn is_void(&mut self, event: &Event) -> bool {
        match event {
            Event::Deadline(node) => self.deadline_is_void(*node),
            Event::Disk { node, life, .. }
            | Event::PowerCut { node, life, .. }
            | Event::LineLost { node, life, .. }
            | Event::Removed { to: node, life, .. }
            | Event::SnapshotSent { node, life, .. } => {
                let node = &self.nodes[*node as usize];
                node.life != *life || !node.is_up()
            }
            Event::Alarm(alarm) => !self.tasks.shared().is_awaited(*alarm),
            _ => false,
        }
    }

    fn push(&mut self, at: Nanos, event: Event) {
        self.heap.push(at, Scheduled { cause: self.current, event });
    }

    /// Writes a record of what happens now, caused by the current one, and makes it the current one.
    fn note(&mut self, what: What) -> RecordId {
        self.current = self.records.push(self.now, self.current, what);
        self.current
    }

    /// Writes a record with a cause of its own; the current one stays.
    fn note_aside(&mut self, cause: RecordId, what: What) -> RecordId {
        self.records.push(self.now, cause, what)
    }

    fn fail(&mut self, result: Result<(), Failure>) {
        if let Err(failure) = result {
            self.failed(failure);
        }
    }

    #[cold]
    fn failed(&mut self, failure: Failure) {
        if self.failures.iter().all(|other| other.check != failure.check) {
            // A cluster whose Raft is broken may spin for ever. What clients see of it shows soon; but where it was to
            // be broken, they are given the whole run to see it.
            if failure.check.starts_with("raft-") && self.scenario.tolerance != Tolerance::Exceeded {
                self.push(self.now + AFTER_BROKEN_RAFT, Event::End);
            }
            self.failures.push(failure);
        }
    }
}
