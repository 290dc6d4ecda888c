//! Membership: members join and go while the cluster serves (the special lesson; Raft dissertation, chapter 4).
//!
//! ```text
//!   request ─▶ guards ─▶ ConfChange entry ─▶ committed ─▶ applied: the store writes who is who,
//!                                                          Raft counts by the new majority, then the answer leaves
//! ```
//!
//! etcd switches to a configuration when its entry is *applied*, not when it is appended. So a member that lags counts by
//! the old one for a while, which is safe because one change at a time is under way, and because nobody campaigns over a
//! committed change that it has not applied.
//!
//! What was the configuration at an index? A snapshot says so of its own, and it is taken some entries behind what is
//! applied. So the last few are kept ([`Membership::at`]). For the same reason there is a copy of the cluster's records
//! here, as of what *Raft* has applied: after a restart the store is ahead of that.
//!
//! # Guards
//! A change is committed by the old majority and then needs the new one. Whoever adds a second member that never starts
//! has lost the first one too. Therefore the asked member refuses (etcd's `--strict-reconfig-check`) to add or remove a
//! voter if too few of those that remain have ever started, and, if it leads, while some of them were not heard from.
//! A follower hears nobody but its leader, so it leaves that second guard out; etcd's transport, which keeps a connection
//! between each two members, can tell everywhere.
//!
//! # The end of a member
//! A removed member stops by itself, a second after it applied its removal (as etcd: so that what it still owes the
//! others can leave). One that never hears of its removal finds out from its peers, who refuse its messages
//! ([`Effects::rejected`](super::Effects::rejected)): without that it would campaign for ever.

use super::{Config, Effects, Member, StopReason, with_header};
use crate::api::{Credentials, Error, Request, RequestId, Response, validate};
use crate::apply;
use crate::cluster::{Change, ChangeError, Cluster, Member as Record};
use crate::pb::etcdserverpb::{self as pb, MemberAddRequest};
use crate::pb::ids::{self, AttributesJson, MemberJson};
use crate::pb::raftpb::{ConfChange as ConfChangePb, ConfChangeTransition, ConfChangeType, ConfChangeV2};
use crate::raft::{ConfChange, ConfState, Entry, EntryKind, NodeId};
use crate::time::{Nanos, Now, SECOND};
use prost::Message as _;
use std::collections::{BTreeMap, VecDeque};

/// For so long the others must have been heard before they count as healthy (etcd's HealthInterval).
const HEALTHY_FOR: Nanos = 5 * SECOND;

/// A removed member goes on so long.
const STAYS_FOR: Nanos = SECOND;

#[derive(Debug)]
pub(super) struct Membership {
    /// The cluster's records and the configuration, from the index on at which they came into force; the last ones are
    /// those of what Raft has applied. Never empty.
    states: VecDeque<(u64, ConfState, Cluster)>,
    /// Entries up to here are part of a snapshot whose configuration Raft has taken over already.
    restored: u64,
    /// Who was heard: since when without a gap, and when last.
    heard: BTreeMap<NodeId, (Nanos, Nanos)>,
    /// Its changes that are on their way through the log.
    asked: BTreeMap<u64, Asked>,
    /// When it proposes its name again.
    publish_at: Nanos,
    /// When this member, which was removed, stops.
    leaves_at: Option<Nanos>,
    /// The records know this member as it is: until they change it has nothing to do about them.
    settled: bool,
}

/// What a client waits for.
#[derive(Clone, Copy, Debug)]
enum Asked {
    Add(NodeId),
    Remove,
    Update,
    Promote,
}

impl Membership {
    /// As of `index`.
    pub(super) fn new(index: u64, conf: ConfState, cluster: Cluster) -> Membership {
        Membership {
            states: VecDeque::from([(index, conf, cluster)]),
            restored: index,
            heard: BTreeMap::new(),
            asked: BTreeMap::new(),
            publish_at: 0,
            leaves_at: None,
            settled: false,
        }
    }

    /// The records, as of what Raft has applied.
    pub(super) fn cluster(&self) -> &Cluster {
        &self.states.back().expect("invariant: there is a state").2
    }

    /// Configuration and records as of `index`, which is not before the newest snapshot.
    pub(super) fn at(&self, index: u64) -> (&ConfState, &Cluster) {
        let state = self.states.iter().rev().find(|state| state.0 <= index).unwrap_or(&self.states[0]);
        (&state.1, &state.2)
    }

    /// Nobody will ask for an index before this one any more.
    pub(super) fn forget_before(&mut self, index: u64) {
        while self.states.get(1).is_some_and(|state| state.0 <= index) {
            self.states.pop_front();
        }
    }

    /// Raft has taken a snapshot's configuration over; entries before it change nothing there any more.
    pub(super) fn restoring(&mut self, index: u64) {
        self.restored = index;
    }

    /// A snapshot has taken the store's place.
    pub(super) fn restored(&mut self, index: u64, conf: ConfState, cluster: Cluster) {
        self.states = VecDeque::from([(index, conf, cluster)]);
        self.settled = false;
    }

    fn heard_since(&self, id: NodeId, now: Now, gap: Nanos) -> Option<Nanos> {
        self.heard.get(&id).filter(|heard| heard.1 + gap >= now.mono).map(|heard| heard.0)
    }

    /// Whether the others do not know this member yet, or it does not know whether they do.
    pub(super) fn has_business(&self) -> bool {
        !self.settled
    }

    pub(super) fn wakes_at(&self) -> Nanos {
        self.leaves_at.unwrap_or(Nanos::MAX)
    }
}

impl Member {
    /// The cluster's members, as of what this one has applied.
    pub fn cluster(&self) -> &Cluster {
        self.membership.cluster()
    }

    /// Since which entry they are those.
    pub fn cluster_since(&self) -> u64 {
        self.membership.states.back().expect("invariant: there is a state").0
    }

    /// A message came from a peer. Says whether it is to be heard.
    pub(super) fn hears(&mut self, now: Now, from: NodeId, fx: &mut Effects) -> bool {
        if self.membership.cluster().removed.contains(&from) {
            // etcd's transport: "rejected Raft message from removed member".
            fx.rejected.push(from);
            return false;
        }
        let gap = self.config.election_timeout();
        let heard = self.membership.heard.entry(from).or_insert((now.mono, now.mono));
        if heard.1 + gap < now.mono {
            heard.0 = now.mono;
        }
        heard.1 = now.mono;
        true
    }

    /// Peers say that this member was removed.
    pub(super) fn told_removed(&mut self, fx: &mut Effects) {
        fx.stop = Some(StopReason::Removed);
    }

    // ── Requests ─────────────────────────────────────────────────────────────────────────────────────────────────

    /// Whether this member may serve the request: a learner has no say, and does not know whether its data is new.
    pub(super) fn serves(&self, request: &Request) -> bool {
        let serializable = matches!(request, Request::Range(range) if range.serializable);
        serializable || !self.raft.conf().learners.contains(&self.config.id)
    }

    /// A change of the members: guarded, then proposed.
    pub(super) fn on_member_change(
        &mut self,
        now: Now,
        id: RequestId,
        who: Credentials,
        request: Request,
        fx: &mut Effects,
    ) {
        let admin = self.info(now, &who).and_then(|info| self.state.auth.check_admin(&info)).map_err(Error::from);
        let checked = validate(&request, self.config.max_txn_ops);
        let checked = checked.and(admin).and_then(|()| self.guard(now, &request));
        if let Err(error) = checked {
            fx.replies.push((id, Err(error)));
            return;
        }
        let number = self.writes.take_number();
        let (asked, change) = self.conf_change(now, number, request);
        self.membership.asked.insert(number, asked);
        self.propose_conf_change(now, id, number, change.encode_to_vec().into(), fx);
    }

    fn conf_change(&self, now: Now, number: u64, request: Request) -> (Asked, ConfChangePb) {
        let change = |kind: ConfChangeType, node_id, context: Vec<u8>| ConfChangePb {
            id: number,
            r#type: kind.into(),
            node_id,
            context: context.into(),
        };
        let json = |id, peer_urls, is_learner, is_promote| {
            MemberJson { id, peer_urls, is_learner, is_promote, ..MemberJson::default() }.to_json()
        };
        match request {
            Request::MemberAdd(MemberAddRequest { peer_urls, is_learner }) => {
                let id = ids::member_id(&peer_urls, &self.config.cluster_token, Some((now.wall / SECOND) as i64));
                let kind = if is_learner {
                    ConfChangeType::ConfChangeAddLearnerNode
                } else {
                    ConfChangeType::ConfChangeAddNode
                };
                (Asked::Add(id), change(kind, id, json(id, peer_urls, is_learner, Some(false))))
            }
            Request::MemberPromote(request) => {
                let context = json(request.id, Vec::new(), false, Some(true));
                (Asked::Promote, change(ConfChangeType::ConfChangeAddNode, request.id, context))
            }
            Request::MemberUpdate(request) => {
                let context = json(request.id, request.peer_urls, false, None);
                (Asked::Update, change(ConfChangeType::ConfChangeUpdateNode, request.id, context))
            }
            Request::MemberRemove(request) => {
                (Asked::Remove, change(ConfChangeType::ConfChangeRemoveNode, request.id, Vec::new()))
            }
            _ => panic!("invariant: only these change the members"),
        }
    }

    // ── Guards ───────────────────────────────────────────────────────────────────────────────────────────────────

    fn guard(&self, now: Now, request: &Request) -> Result<(), Error> {
        let cluster = self.membership.cluster();
        let strict = self.config.strict_reconfig;
        let voters = || cluster.members.values().filter(|member| !member.is_learner);
        let started = |but: NodeId| voters().filter(|member| member.id != but && !member.name.is_empty()).count();
        match request {
            Request::MemberAdd(add) if strict => {
                let (all, started) = (voters().count(), started(0));
                // The second member of a cluster of one may be added again if it never came: there is no other way out.
                let alone = started == 1 && all == 2;
                if !add.is_learner && !alone && started < all / 2 + 1 {
                    return Err(Error::NotEnoughStarted);
                }
                let unheard = |member: &Record| !self.heard_fully(now, member.id, HEALTHY_FOR);
                if self.is_leader() && voters().any(unheard) { Err(Error::Unhealthy) } else { Ok(()) }
            }
            Request::MemberRemove(remove) => {
                let removed = cluster.members.get(&remove.id).ok_or(Error::MemberNotFound)?;
                if removed.is_learner || !strict {
                    return Ok(());
                }
                let remain = voters().count() - 1;
                if started(remove.id) < remain / 2 + 1 {
                    return Err(Error::NotEnoughStarted);
                }
                // One that is down is no part of the majority that is at work.
                if !self.is_leader() || !self.heard_fully(now, remove.id, 0) {
                    return Ok(());
                }
                let heard = voters().filter(|member| self.heard_fully(now, member.id, 0)).count();
                if heard - 1 < 1 + remain / 2 { Err(Error::Unhealthy) } else { Ok(()) }
            }
            Request::MemberPromote(promote) => self.guard_promotion(promote.id, started(0), voters().count()),
            _ => Ok(()),
        }
    }

    fn guard_promotion(&self, id: NodeId, started: usize, voters: usize) -> Result<(), Error> {
        if !self.is_leader() {
            return Err(Error::NotLeader);
        }
        let learner = self.membership.cluster().members.get(&id).ok_or(Error::MemberNotFound)?;
        if !learner.is_learner {
            return Err(Error::NotLearner);
        }
        let matched = self.raft.progress().find(|(other, _)| *other == id).map_or(0, |(_, p)| p.match_index);
        if matched * 10 < self.raft.last_index() * 9 {
            return Err(Error::LearnerNotReady);
        }
        // With the learner among them.
        let (started, voters) = (started + 1, voters + 1);
        if self.config.strict_reconfig && started < voters / 2 + 1 { Err(Error::NotEnoughStarted) } else { Ok(()) }
    }

    /// Whether a member was heard for so long without a gap. One hears oneself.
    fn heard_fully(&self, now: Now, id: NodeId, lasting: Nanos) -> bool {
        let since = self.membership.heard_since(id, now, self.config.election_timeout());
        id == self.config.id || since.is_some_and(|since| since + lasting <= now.mono)
    }

    // ── Applied ──────────────────────────────────────────────────────────────────────────────────────────────────

    /// An entry was applied before the last restart: the store has it, and Raft still needs its configuration.
    pub(super) fn replay_change(&mut self, now: Now, entry: &Entry, fx: &mut Effects) {
        let change = apply::change_in(entry);
        self.follow_change(now, entry, change, fx);
    }

    /// An entry was applied: switches to the configuration that it makes, if it makes one.
    pub(super) fn follow_change(
        &mut self,
        now: Now,
        entry: &Entry,
        change: Option<Result<Change, ChangeError>>,
        fx: &mut Effects,
    ) {
        if entry.kind == EntryKind::Normal && change.is_none() {
            return;
        }
        let mut cluster = self.membership.cluster().clone();
        let made =
            change.and_then(Result::ok).filter(|change| cluster.change(change.clone(), self.config.bugs).is_ok());
        let conf = match (entry.kind, &made) {
            (EntryKind::ConfChange, Some(change)) => step_of(change).map(|step| self.raft.conf().simple(&[step])),
            (EntryKind::ConfChangeV2, _) => Some(self.joint_step(entry)),
            _ => None,
        };
        if entry.index > self.membership.restored
            && let Some(Ok(conf)) = conf
            && conf != *self.raft.conf()
        {
            self.raft.apply_conf_change(conf);
        }
        if matches!(made, Some(Change::Remove(id)) if id == self.config.id) {
            self.membership.leaves_at = Some(now.mono + STAYS_FOR);
        }
        self.membership.states.push_back((entry.index, self.raft.conf().clone(), cluster));
        self.membership.settled = false;
        if entry.kind != EntryKind::Normal {
            let conf = Box::new(self.raft.conf().clone());
            fx.trace.push(super::TraceEvent::ConfApplied { index: entry.index, made: made.is_some(), conf });
        }
    }

    /// etcd's server proposes none of these but the empty one, which leaves a joint configuration.
    fn joint_step(&self, entry: &Entry) -> Result<ConfState, crate::raft::ConfChangeError> {
        let conf = self.raft.conf();
        let change = ConfChangeV2::decode(entry.data.clone()).unwrap_or_default();
        if change.changes.is_empty() {
            return conf.leave_joint();
        }
        let steps = change.changes.iter().map(|step| match step.r#type() {
            ConfChangeType::ConfChangeAddNode => ConfChange::AddVoter(step.node_id),
            ConfChangeType::ConfChangeAddLearnerNode => ConfChange::AddLearner(step.node_id),
            ConfChangeType::ConfChangeRemoveNode => ConfChange::Remove(step.node_id),
            ConfChangeType::ConfChangeUpdateNode => ConfChange::Update(step.node_id),
        });
        let steps: Vec<_> = steps.collect();
        match change.transition() {
            ConfChangeTransition::Auto if steps.len() == 1 => conf.simple(&steps),
            transition => conf.enter_joint(transition != ConfChangeTransition::JointExplicit, &steps),
        }
    }

    /// The answer to a change, if a client waits for it. By now Raft counts by it (etcd #15528).
    pub(super) fn member_response(&mut self, number: u64) -> Option<Response> {
        let asked = self.membership.asked.remove(&number)?;
        let members = self.members();
        let header = None;
        Some(match asked {
            Asked::Add(id) => {
                let member = members.iter().find(|member| member.id == id).cloned();
                Response::MemberAdd(pb::MemberAddResponse { header, member, members })
            }
            Asked::Remove => Response::MemberRemove(pb::MemberRemoveResponse { header, members }),
            Asked::Update => Response::MemberUpdate(pb::MemberUpdateResponse { header, members }),
            Asked::Promote => Response::MemberPromote(pb::MemberPromoteResponse { header, members }),
        })
    }

    fn members(&self) -> Vec<pb::Member> {
        let members = self.membership.cluster().members.values();
        let member = |record: &Record| {
            let Record { id, name, peer_urls, client_urls, is_learner } = record.clone();
            pb::Member { id, name, peer_urls, client_urls, is_learner }
        };
        members.map(member).collect()
    }

    /// Says who the members are.
    pub(super) fn list_members(&mut self, id: RequestId, fx: &mut Effects) {
        let response = pb::MemberListResponse { header: None, members: self.members() };
        let header = self.header(0);
        fx.replies.push((id, Ok(with_header(Response::MemberList(response), header))));
    }

    // ── By itself ────────────────────────────────────────────────────────────────────────────────────────────────

    /// Tells the others its name and where clients reach it, if they do not know; stops, if it was removed.
    pub(super) fn run_membership(&mut self, now: Now, fx: &mut Effects) {
        let leaves_now = self.membership.leaves_at.is_some_and(|at| at <= now.mono);
        if !self.membership.settled || leaves_now {
            self.settle_membership(leaves_now, now, fx);
        }
    }

    #[inline(never)] // See `Member::run`.
    fn settle_membership(&mut self, leaves_now: bool, now: Now, fx: &mut Effects) {
        let own = self.config.id;
        if self.membership.leaves_at.is_none() && self.membership.cluster().removed.contains(&own) {
            self.membership.leaves_at = Some(now.mono + STAYS_FOR);
        }
        if leaves_now && fx.stop.is_none() {
            fx.stop = Some(StopReason::Removed);
            return;
        }
        let Config { name, client_urls, .. } = &self.config;
        let known = |member: &Record| member.name == *name && member.client_urls == *client_urls;
        let unknown = self.membership.cluster().members.get(&own).is_some_and(|member| !known(member));
        self.membership.settled = !unknown;
        if unknown && self.raft.leader() != 0 && now.mono >= self.membership.publish_at {
            self.membership.publish_at = now.mono + self.config.request_timeout();
            let attributes =
                AttributesJson { name: self.config.name.clone(), client_urls: self.config.client_urls.clone() };
            let data = apply::encode_attributes(self.writes.take_number(), own, &attributes);
            // If it is lost, the next time will do.
            let _ = self.raft.propose(EntryKind::Normal, data.into());
            self.run_raft_loop(now, fx);
        }
    }
}

/// What a change of the cluster is to Raft.
fn step_of(change: &Change) -> Option<ConfChange> {
    match change {
        Change::Add(member) if member.is_learner => Some(ConfChange::AddLearner(member.id)),
        Change::Add(Record { id, .. }) | Change::Promote(id) => Some(ConfChange::AddVoter(*id)),
        Change::Remove(id) => Some(ConfChange::Remove(*id)),
        Change::Move { id, .. } => Some(ConfChange::Update(*id)),
        Change::Publish { .. } | Change::Version(_) => None,
    }
}
