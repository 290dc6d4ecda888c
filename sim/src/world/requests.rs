//! Between clients and members: requests, replies, broken connections; and the proof of life.

use super::client::Client;
use super::node::HoldKind;
use super::random::Stream;
use super::record::{NodeIndex, What};
use super::session::bugs_of_clients;
use super::tasks::CallError;
use super::{Event, Scheduled, World, admin, kubernetes, leases, locks, mirror, transfer, watching, workload};
use crate::check::{Failure, history};
use crate::scenario::{Endpoints, User, Workload, WorkloadKind};
use bytes::Bytes;
use seedbed::api::{Credentials, Error, Response};
use seedbed::member::Input;
use seedbed::time::{Nanos, SECOND};
use std::cell::RefCell;
use std::future::{Future as _, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

/// After healing there must be a leader within so many election timeouts.
const LEADER_WITHIN_ELECTIONS: Nanos = 10;
/// And then an acknowledged write through every member within this.
const WRITES_WITHIN: Nanos = 20 * SECOND;
/// Who watches must have heard of everything within this after the last change.
const HEARD_WITHIN: Nanos = 10 * SECOND;

/// How far a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Chaos,
    /// Healed; a leader is awaited.
    AwaitLeader,
    /// Writes go through every member.
    Probing,
    /// Nothing more will happen; those who watch hear the rest.
    Hearing,
    Over,
}

/// The proof of life: one write through every member.
#[derive(Debug, Default)]
pub(super) struct Probes {
    pub(super) asked: Vec<NodeIndex>,
    pub(super) pending: Vec<NodeIndex>,
    pub(super) done_at: Option<Nanos>,
}

impl Probes {
    fn answered(&mut self, member: NodeIndex, now: Nanos) {
        self.pending.retain(|other| *other != member);
        if self.pending.is_empty() && self.done_at.is_none() {
            self.done_at = Some(now);
        }
    }

    /// A member was removed after it had been asked: nothing is expected of it any more.
    pub(super) fn excuse(&mut self, member: NodeIndex, now: Nanos) {
        if self.pending.contains(&member) {
            self.asked.retain(|other| *other != member);
            self.answered(member, now);
        }
    }
}

/// Writes through one member until that is acknowledged, or not expected any more.
async fn probe(mut client: Client, member: NodeIndex, probes: Rc<RefCell<Probes>>) {
    let handle = client.handle().clone();
    let mut write = pin!(async move {
        let key = Bytes::from(format!("probe/n{}", member + 1));
        while !matches!(client.put(key.clone(), Bytes::from_static(b"alive")).await, history::Outcome::Ok { .. }) {}
    });
    // A removed member refuses every try: the next one ends this.
    poll_fn(|cx| match probes.borrow().pending.contains(&member) {
        true => write.as_mut().poll(cx),
        false => Poll::Ready(()),
    })
    .await;
    probes.borrow_mut().answered(member, handle.now());
}

/// The client that sets users and roles up; the probes' numbers begin at `u32::MAX` and go down.
const ADMINISTRATOR: u32 = u32::MAX - 100;

/// For so many operations a history has room from the start, if so many are expected.
const EXPECTED_MAX: u64 = 1 << 16;

impl World {
    pub(super) fn spawn_workloads(&mut self) {
        let scenario = self.scenario.clone();
        let asks_anything = scenario.workloads.iter().any(|workload| workload.kind.asks_anything());
        self.log.borrow_mut().asks_anything = asks_anything;
        if !asks_anything {
            // Room for what they will ask, so that the history is not copied as it grows.
            let rate: u64 = scenario.workloads.iter().map(|workload| u64::from(workload.rate)).sum();
            let expected = (rate * (scenario.duration / SECOND)).min(EXPECTED_MAX);
            self.log.borrow_mut().history.operations.reserve(expected as usize);
        }
        if scenario.cluster.auth {
            let endpoints = (0..scenario.cluster.members).collect();
            let client = self.client(ADMINISTRATOR, endpoints, admin::TIMEOUT, User::Root);
            self.tasks.spawn(admin::set_up(client));
        }
        let bugs = bugs_of_clients(&scenario.cluster.bugs);
        let endpoints = |workload: &Workload| match workload.endpoints {
            Endpoints::All => (0..scenario.cluster.members).collect(),
            Endpoints::Member(member) => vec![member - 1],
        };
        let mut number = 0;
        for workload in &scenario.workloads {
            for place in 0..workload.clients {
                let client = self.client(number, endpoints(workload), workload.timeout, workload.user);
                let random = Stream::new(self.seed, &format!("client/{number}"));
                let (workload, until) = (workload.clone(), scenario.duration);
                match workload.kind {
                    WorkloadKind::Kv => self.tasks.spawn(workload::kv(client, workload, random, number, until)),
                    WorkloadKind::Leases => {
                        let board = leases::Board::default();
                        if workload.shared {
                            number += 1;
                            let second = self.client(number, endpoints(&workload), workload.timeout, workload.user);
                            self.tasks.spawn(leases::second_holder(second, workload.clone(), board.clone(), until));
                        }
                        self.tasks.spawn(leases::leases(client, workload, random, board, until));
                    }
                    WorkloadKind::Locks => self.tasks.spawn(locks::locks(client, workload, random, bugs, until)),
                    WorkloadKind::Elections => {
                        self.tasks.spawn(locks::elections(client, workload, random, bugs, until));
                    }
                    WorkloadKind::Kubernetes => self.spawn_api_server(client, workload, random, until),
                    WorkloadKind::Transfer => {
                        self.tasks.spawn(transfer::transfer(client, workload, random, until));
                    }
                    WorkloadKind::Fill | WorkloadKind::Erase => {
                        self.tasks.spawn(workload::each(client, workload, random, (number, place), until));
                    }
                    WorkloadKind::ListWatch => {
                        self.tasks.spawn_watching(mirror::list_watch(client, workload, random, until));
                    }
                    WorkloadKind::V2Ring => {
                        let server = client.watches(workload.watching.window as usize);
                        self.tasks.spawn_watching(mirror::v2_ring(server, self.log.clone(), workload, random));
                    }
                    WorkloadKind::WatchAll => {
                        let watches = client.watches(workload.watching.window as usize);
                        self.tasks.spawn_watching(watching::watch_all(watches, workload, random, until));
                    }
                    WorkloadKind::Auth => self.tasks.spawn(admin::churn(client, workload, random, until)),
                }
                number += 1;
            }
        }
    }

    /// Writer, informer and compactor of one client.
    fn spawn_api_server(&mut self, client: Client, workload: Workload, random: Stream, until: Nanos) {
        let compactions = Stream::new(self.seed, &format!("client/{}/compactor", client.number()));
        self.tasks.spawn_watching(kubernetes::informer(client.clone(), workload.clone()));
        self.tasks.spawn(kubernetes::compactor(client.clone(), workload.clone(), compactions, until));
        self.tasks.spawn(kubernetes::writer(client, workload, random, until));
    }

    fn client(&self, number: u32, endpoints: Vec<u8>, timeout: Nanos, user: User) -> Client {
        let client = Client::new(self.tasks.handle(), self.log.clone(), number, endpoints, timeout);
        if self.scenario.cluster.auth { client.with_user(user.name()) } else { client }
    }

    /// Polls the programs that are ready, then sends what they want sent.
    pub(super) fn poll_clients(&mut self) {
        self.tasks.poll_ready(self.now);
        let (mut outbox, mut alarms, sayings) = {
            let mut shared = self.tasks.shared();
            let (outbox, alarms) = (std::mem::take(&mut shared.outbox), std::mem::take(&mut shared.alarms));
            (outbox, alarms, std::mem::take(&mut shared.sayings))
        };
        for (at, alarm) in alarms.drain(..) {
            let alarm = Scheduled { cause: self.current, event: Event::Alarm(alarm) };
            self.heap.push_timer(at.max(self.now), alarm);
        }
        for outgoing in outbox.drain(..) {
            let super::tasks::Outgoing { call, member: node, who, request, operation } = outgoing;
            let at = self.now + self.client_network.within(self.scenario.network.client_latency);
            let event = match who {
                Credentials::None => Event::Request { node, call, operation, request },
                who => Event::RequestAs { node, call, operation, who, request },
            };
            self.push(at, event);
        }
        // They keep their room.
        let mut shared = self.tasks.shared();
        (shared.outbox, shared.alarms) = (outbox, alarms);
        drop(shared);
        self.send_sayings(sayings);
    }

    pub(super) fn on_request(&mut self, index: NodeIndex, call: u64, operation: u32, input: Input) {
        let node = &mut self.nodes[usize::from(index)];
        if node.hold(|kind| kind == HoldKind::ClientsCut).is_some() {
            // It vanishes on the way: the client waits until its timeout.
            return;
        }
        self.note(What::Request(index));
        let node = &mut self.nodes[usize::from(index)];
        if !node.is_up() {
            let at = self.now + self.client_network.within(self.scenario.network.client_latency);
            self.push(at, Event::Reply { call, result: Box::new(Err(CallError::Refused)) });
            return;
        }
        node.calls.insert(call, operation);
        self.input(index, input);
    }

    pub(super) fn reply(&mut self, index: NodeIndex, leaves: Nanos, call: u64, result: Result<Response, Error>) {
        let node = &mut self.nodes[usize::from(index)];
        node.calls.remove(&call);
        if node.hold(|kind| kind == HoldKind::ClientsCut).is_some() {
            return;
        }
        let at = leaves + self.client_network.within(self.scenario.network.client_latency);
        self.push(at, Event::Reply { call, result: Box::new(result.map_err(CallError::Member)) });
    }

    /// The process behind a connection is gone.
    pub(super) fn reset(&mut self, index: NodeIndex, call: u64) {
        if self.nodes[usize::from(index)].hold(|kind| kind == HoldKind::ClientsCut).is_none() {
            let at = self.now + self.client_network.within(self.scenario.network.client_latency);
            self.push(at, Event::Reply { call, result: Box::new(Err(CallError::Reset)) });
        }
    }

    /// The chaos phase is over: every fault ends, every member is started, and life must return.
    pub(super) fn heal(&mut self) {
        self.note(What::Healed);
        self.end_all_faults();
        self.healed_at = self.now;
        self.phase = Phase::AwaitLeader;
        let within = LEADER_WITHIN_ELECTIONS * self.scenario.cluster.election;
        self.push(self.now + within, Event::LeaderDue);
        self.maybe_probe();
    }

    /// Begins the proof of life once there is a leader that a majority follows.
    pub(super) fn maybe_probe(&mut self) {
        if self.phase != Phase::AwaitLeader || !self.has_effective_leader() {
            return;
        }
        self.phase = Phase::Probing;
        // Learners take no writes.
        let votes = |node: &&super::Node| self.is_member(node.index) && !self.membership_checker.is_learner(node.id);
        let up = self.nodes.iter().filter(votes).filter(|node| node.is_up()).map(|node| node.index);
        let members: Vec<NodeIndex> = up.collect();
        *self.probes.borrow_mut() = Probes { asked: members.clone(), pending: members.clone(), done_at: None };
        for member in members {
            let client = self.client(u32::MAX - u32::from(member), vec![member], WRITES_WITHIN, User::Root);
            self.tasks.spawn(probe(client, member, self.probes.clone()));
        }
        self.push(self.now + WRITES_WITHIN, Event::End);
        self.poll_clients();
    }

    fn has_effective_leader(&self) -> bool {
        let leads = |leader: &super::Node| {
            let Some(member) = leader.member().filter(|member| member.is_leader()) else { return false };
            let voters = &member.raft().conf().voters;
            let follows = self.nodes.iter().filter(|node| voters.contains(&node.id)).filter_map(|node| node.member());
            let follows = follows
                .filter(|other| other.raft().leader() == leader.id && other.raft().term() == member.raft().term());
            follows.count() > voters.len() / 2
        };
        self.nodes.iter().any(leads)
    }

    pub(super) fn on_leader_due(&mut self) {
        self.maybe_probe();
        if self.phase == Phase::AwaitLeader {
            let within = LEADER_WITHIN_ELECTIONS * self.scenario.cluster.election / SECOND;
            let text =
                format!("no leader within {within} s ({LEADER_WITHIN_ELECTIONS} election timeouts) after healing");
            self.fail(Err(Failure::new("liveness", text)));
            self.phase = Phase::Over;
        }
    }

    /// The last moment: whoever has not answered by now does not live.
    pub(super) fn on_end(&mut self) {
        if self.phase == Phase::Hearing {
            return;
        }
        let pending = self.probes.borrow().pending.clone();
        let raft_is_broken = self.failures.iter().any(|failure| failure.check.starts_with("raft-"));
        if !pending.is_empty() && !raft_is_broken {
            let names: Vec<_> = pending.iter().map(|member| format!("n{}", member + 1)).collect();
            let text =
                format!("no acknowledged write through {} within 20 s after a leader was found", names.join(", "));
            self.fail(Err(Failure::new("liveness", text)));
        }
        self.phase = Phase::Over;
    }

    /// Once life has returned, every client has heard, and every member has applied everything, nothing more will happen:
    /// the run ends, after those who watch have heard of it all.
    pub(super) fn maybe_end(&mut self) {
        match self.phase {
            Phase::Probing if self.tasks.all_done() => {}
            Phase::Hearing if self.tasks.nobody_watches() => {
                self.phase = Phase::Over;
                return;
            }
            _ => return,
        }
        let members = self.nodes.iter().filter(|node| self.is_member(node.index));
        let mut applied = members.filter_map(|node| node.member()).map(|member| member.store());
        let first = applied.next().map(|store| (store.consistent_index(), store.revision()));
        if applied.any(|store| Some(store.consistent_index()) != first.map(|first| first.0)) {
            return;
        }
        let Some((_, revision)) = first.filter(|_| !self.tasks.nobody_watches()) else {
            self.phase = Phase::Over;
            return;
        };
        self.phase = Phase::Hearing;
        self.tasks.shared().closing = Some(revision);
        self.push(self.now + HEARD_WITHIN, Event::Heard);
    }
}
