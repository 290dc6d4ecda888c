//! A member: one single-threaded state machine that puts Raft, WAL, snapshots and store together.
//!
//! ```text
//!   Input ──▶ step(now, input, &mut effects) ──▶ messages · replies · disk operations · the next deadline · trace
//! ```
//!
//! It never blocks, reads no clock and touches no file: everything slow is an effect whose completion comes back as an
//! input. The same value runs in the simulated world and behind real sockets.
//!
//! etcd runs several loops as goroutines, and the course's cases live in how they wait for each other, so they are
//! modelled one by one:
//!
//! - **the raft loop** ([`raft_loop`]) takes one `Ready` at a time. A leader's messages leave beside the WAL save, a
//!   follower's after it. While a save is out the loop is blocked: one due tick waits, further ones are dropped, and so
//!   a stalled fsync silences a leader (lesson 04).
//! - **the apply loop** ([`apply_loop`]) turns committed entries into changes of the store and answers writes. It may
//!   lag behind; 5000 entries behind, requests are refused (lesson 03).
//! - **the read loop** ([`reads`]) confirms linearizable reads in batches by ReadIndex (lesson 02).
//! - **the watch loop** ([`watch_loop`]) tells clients of changes (lesson 08).
//! - **the lease loop** ([`lease_loop`]) counts leases down where this member leads, and keepalives
//!   reach it from everywhere ([`lease_questions`]; lesson 06).
//! - **the committer** ([`committer`]) makes the backend's batch durable every 100 ms (lesson 03), **the compactor**
//!   ([`compactor`]) removes what was compacted in batches, **the auto-compactor** ([`auto_compactor`]) decides when to
//!   (lesson 11), **the defragger** ([`defragger`]) copies the
//!   database into a dense file (lesson 13).
//! - **the snapshotter** ([`snapshotter`]) shortens the log every `snapshot_count` entries; **the sender** ([`sender`])
//!   reads an image for a follower that is behind it, **the installer** ([`installer`]) puts one in the store's place;
//!   **the imager** ([`imager`]) lets clients read one.
//! - **the quota** ([`quota`]) raises an alarm when the database has grown too large (lesson 13); **the hasher**
//!   ([`hasher`]) hashes keys, and **the corruption check** ([`corruption`]) compares members by that (lesson 12).
//!
//! - **auth** ([`auth_loop`]) says who asks, and has passwords hashed beside the steps (lesson 05).
//!
//! **Membership** ([`membership`]) changes by entries of its own kind (the special lesson).
//!
//! Most steps concern the first three and the committer alone: the others **rest** ([`rest`]).

mod apply_loop;
mod auth_loop;
mod auto_compactor;
mod committer;
mod compactor;
mod config;
mod corruption;
mod defragger;
mod effects;
mod hasher;
mod imager;
mod installer;
mod job;
mod lease_loop;
mod lease_questions;
mod membership;
mod peers;
mod quota;
mod raft_loop;
mod reads;
mod rest;
mod sender;
mod snapshotter;
mod start;
mod storage;
mod vitals;
mod watch_loop;
mod writes;

pub use auto_compactor::AutoCompaction;
pub use config::{Config, Costs, InitialClusterState, Peer};
pub use corruption::PeerHash;
pub use effects::{Effects, Input, ReadAsked, StopReason, TraceEvent};
pub use job::{Job, JobId, JobOutput, Work};
pub use lease_questions::{LeaseAnswer, LeaseQuestion};
pub use peers::PeerMessage;
pub use start::StartError;
pub use vitals::Vitals;
pub use watch_loop::StreamInput;

use crate::api::{Credentials, Error, ImageRequest, Request, RequestId, Response};
use crate::apply::State;
use crate::auth::AuthStore;
use crate::backend::BackendError;
use crate::disk::{DiskDone, DiskRead, FileName};
use crate::mvcc::Store;
use crate::pb::etcdserverpb::{
    AlarmMember, AlarmResponse, AlarmType, CompactionResponse, DeleteRangeResponse, LeaseGrantResponse,
    LeaseRevokeResponse, MemberAddResponse, MemberListResponse, MemberPromoteResponse, MemberRemoveResponse,
    MemberUpdateResponse, PutResponse, RangeResponse, ResponseHeader, StatusResponse, TxnResponse,
};
use crate::raft::{Body, NodeId, Raft, RaftEvent};
use crate::time::{Nanos, Now};
use crate::wal::Wal;
use apply_loop::ApplyLoop;
use auth_loop::AuthLoop;
use auto_compactor::AutoCompactor;
use committer::Committer;
use compactor::Compactor;
use corruption::Corruption;
use defragger::Defragger;
use hasher::Hasher;
use imager::Imager;
use installer::Installer;
use lease_loop::LeaseLoop;
use lease_questions::LeaseQuestions;
use membership::Membership;
use quota::Quota;
use raft_loop::RaftLoop;
use reads::ReadLoop;
use rest::Rest;
use sender::Sender;
use snapshotter::Snapshotter;
use std::rc::Rc;
use watch_loop::WatchLoop;
use writes::Writes;

/// See the module.
pub struct Member {
    config: Config,
    raft: Raft,
    wal: Wal,
    state: State,
    /// Number of the next disk operation.
    next_op: u64,
    raft_loop: RaftLoop,
    apply: ApplyLoop,
    reads: ReadLoop,
    writes: Writes,
    lease_loop: LeaseLoop,
    lease_questions: LeaseQuestions,
    quota: Quota,
    hasher: Hasher,
    corruption: Corruption,
    membership: Membership,
    watch_loop: WatchLoop,
    auth_loop: AuthLoop,
    snapshotter: Snapshotter,
    committer: Committer,
    compactor: Compactor,
    auto_compactor: AutoCompactor,
    defragger: Defragger,
    installer: Installer,
    sender: Sender,
    imager: Imager,
    rest: Rest,
    /// To read the database from, as page faults would.
    disk: Rc<dyn DiskRead>,
    /// The leader that this member last knew; kept over leaderless times, to tell a change from a return.
    last_leader: NodeId,
    stopped: bool,
    /// Room for Raft's events of one step.
    raft_events: Vec<RaftEvent>,
}

impl Member {
    /// Takes one input and says what follows from it.
    pub fn step(&mut self, now: Now, input: Input, fx: &mut Effects) {
        assert!(!self.stopped, "invariant: a stopped member is not stepped");
        self.charge(fx, |costs| costs.step);
        self.tick_if_due(now, fx);
        if input.stirs() {
            self.stir();
        }
        match input {
            Input::Message(message) if !self.hears(now, message.from, fx) => {}
            Input::Message(message) => {
                if let Body::Append { entries, .. } = &message.body {
                    let bytes: usize = entries.iter().map(|entry| entry.data.len()).sum();
                    self.charge(fx, |costs| costs.append * entries.len() as u64 + costs.kib * (bytes as u64 / 1024));
                }
                self.raft.step(message);
            }
            Input::Request(id, request) => self.on_request_as(now, id, Credentials::None, request, fx),
            Input::RequestAs(id, who, request) => self.on_request_as(now, id, who, request, fx),
            Input::Peer(from, message) => self.on_peer(now, from, message, fx),
            Input::Stream(stream, input) => self.on_stream_input(now, stream, input, fx),
            Input::JobDone(id, output) => self.on_job_done(now, id, output, fx),
            Input::Disk(done) => self.on_disk(now, done, fx),
            Input::Deadline => {}
            Input::TakeSnapshot => self.snapshotter.demand(),
            Input::HoldImage(lasting) => self.hold_image(now, lasting),
            Input::Unreachable(peer) => self.raft.report_unreachable(peer),
            Input::Removed => self.told_removed(fx),
            Input::SnapshotSent(peer, arrived) => self.raft.report_snapshot(peer, arrived),
        }
        self.run(now, fx);
    }

    /// Lets every loop do what it can, then says when to be woken. Those that rest are not asked (see [`rest`]).
    ///
    /// Asking the others is compiled into this function, and what they do is kept out of it: a step then touches little
    /// code.
    fn run(&mut self, now: Now, fx: &mut Effects) {
        self.notice_raft_events(now, fx);
        self.propose_waiting(fx);
        self.run_raft_loop(now, fx);
        if self.is_stirred(now) {
            self.run_installer(now, fx);
        }
        self.run_apply_loop(now, fx);
        if self.is_stirred(now) {
            self.run_before_committer(now, fx);
        }
        self.run_committer(now, fx);
        if self.is_stirred(now) {
            self.run_before_reads(now, fx);
        }
        self.run_read_loop(now, fx);
        // What was proposed or acknowledged meanwhile can be sent.
        self.run_raft_loop(now, fx);
        if self.is_stirred(now) {
            self.run_last(now, fx);
        }
        self.expire_requests(now, fx);
        self.expire_alarm(now, fx);
        if fx.stop.is_some() {
            self.stopped = true;
            return;
        }
        self.settle(now);
        fx.deadline = self.next_deadline(now);
    }

    fn next_deadline(&self, now: Now) -> Nanos {
        let wanted = [
            self.raft_loop.next_tick,
            self.apply_wakes_at(),
            self.commit_wakes_at(),
            self.reads.wake_at(),
            self.slice_wakes_at(),
            self.writes.wake_at(),
            self.rest.wakes_at(),
        ];
        let next = wanted.into_iter().min().expect("invariant: the list is not empty");
        next.max(now.mono + 1)
    }

    fn on_request(&mut self, now: Now, id: RequestId, who: Credentials, request: Box<Request>, fx: &mut Effects) {
        if !self.serves(&request) {
            fx.replies.push((id, Err(Error::UnsupportedForLearner)));
            return;
        }
        match *request {
            Request::Range(range) => self.on_range(now, id, who, range, fx),
            Request::LeaseKeepAlive(request) => self.on_keepalive(now, id, request.id, fx),
            Request::LeaseTimeToLive(request) => self.on_time_to_live(now, id, &who, request, fx),
            Request::LeaseLeases => self.on_leases(id, fx),
            Request::Defragment => match self.info(now, &who).and_then(|info| self.state.auth.check_admin(&info)) {
                Ok(()) => self.defragger.ask(id),
                Err(error) => fx.replies.push((id, Err(error.into()))),
            },
            Request::MoveLeader(to) => self.on_move_leader(now, id, to, fx),
            Request::Auth(request) => self.on_auth(now, id, who, request, fx),
            Request::Status => self.on_status(id, fx),
            Request::MemberAdd(_) | Request::MemberRemove(_) | Request::MemberUpdate(_) | Request::MemberPromote(_) => {
                self.on_member_change(now, id, who, *request, fx)
            }
            Request::MemberList(request) if request.linearizable => self.read_members(now, id),
            Request::MemberList(_) => self.list_members(id, fx),
            Request::HashKv(_) | Request::Hash => {
                match (self.info(now, &who).and_then(|info| self.state.auth.check_admin(&info)), *request) {
                    (Ok(()), Request::HashKv(request)) => self.on_hash_kv(now, id, request.revision, fx),
                    (Ok(()), _) => self.on_hash(id),
                    (Err(error), _) => fx.replies.push((id, Err(error.into()))),
                }
            }
            Request::Image(request) => {
                let admin = match request {
                    ImageRequest::Open => self.info(now, &who).and_then(|info| self.state.auth.check_admin(&info)),
                    // Who was allowed to open it knows its number.
                    ImageRequest::Next(_) | ImageRequest::Close(_) => Ok(()),
                };
                match admin {
                    Ok(()) => self.on_image(id, request, fx),
                    Err(error) => fx.replies.push((id, Err(error.into()))),
                }
            }
            write => {
                assert!(write.is_write(), "invariant: the rest goes through the log");
                self.on_write(now, id, who, write, fx);
            }
        }
    }

    fn on_move_leader(&mut self, now: Now, id: RequestId, to: NodeId, fx: &mut Effects) {
        if self.raft.leader() != self.config.id {
            fx.replies.push((id, Err(Error::NotLeader)));
        } else if !self.raft.conf().voters.contains(&to) {
            fx.replies.push((id, Err(Error::BadLeaderTransferee)));
        } else {
            // etcd waits an election timeout for the new leader, then gives up.
            let deadline = now.mono + self.config.election_timeout();
            self.writes.wait_for_leader(id, to, deadline);
            self.raft.transfer_leader(to);
        }
    }

    fn on_status(&mut self, id: RequestId, fx: &mut Effects) {
        let stats = self.state.store.engine().stats();
        let leader = self.raft.leader();
        let mut errors = Vec::new();
        if leader == 0 {
            errors.push(Error::NoLeader.to_string());
        }
        errors.extend(self.state.alarms.get(AlarmType::None).iter().map(|alarm| words(*alarm)));
        fx.replies.push((
            id,
            Ok(Response::Status(StatusResponse {
                header: self.header(self.state.store.revision()),
                version: VERSION.to_owned(),
                db_size: stats.size as i64,
                leader,
                raft_index: self.raft.commit(),
                raft_term: self.raft.term(),
                raft_applied_index: self.state.store.consistent_index(),
                errors,
                db_size_in_use: stats.in_use as i64,
                is_learner: self.raft.conf().learners.contains(&self.config.id),
            })),
        ));
    }

    fn on_disk(&mut self, now: Now, done: DiskDone, fx: &mut Effects) {
        if let Err(error) = done.result {
            fx.stop = Some(StopReason::Disk(error));
            return;
        }
        self.raft_save_done(now, done.id, fx);
        self.snapshot_op_done(done.id, fx);
        self.install_op_done(now, done.id, fx);
        self.backend_op_done(now, done.id, fx);
    }

    /// Moves Raft's events into the trace, and acts on a change of leader.
    fn notice_raft_events(&mut self, now: Now, fx: &mut Effects) {
        self.raft.take_events(&mut self.raft_events);
        if self.raft_events.is_empty() {
            return;
        }
        if self.raft_events.iter().any(rest::event_stirs) {
            self.stir();
        }
        fx.trace.extend(self.raft_events.drain(..).map(TraceEvent::Raft));
        let leader = self.raft.leader();
        if leader == self.last_leader || leader == 0 {
            return;
        }
        if self.last_leader != 0 {
            self.reads.leader_changed(fx);
        }
        self.writes.leader_changed(now, leader, fx);
        self.last_leader = leader;
    }

    /// Does something to the backend; if that fails, the member stops.
    fn stop_on_error(&mut self, act: impl FnOnce(&mut Member) -> Result<(), BackendError>, fx: &mut Effects) {
        if let Err(error) = act(self) {
            fx.stop = Some(StopReason::Backend(error));
        }
    }

    fn charge(&self, fx: &mut Effects, cost: impl FnOnce(&Costs) -> Nanos) {
        if let Some(costs) = &self.config.costs {
            fx.cost += cost(costs);
        }
    }

    fn header(&self, revision: i64) -> Option<ResponseHeader> {
        Some(ResponseHeader {
            cluster_id: self.config.cluster_id,
            member_id: self.config.id,
            revision,
            raft_term: self.raft.term(),
        })
    }

    /// Changes what work costs from now on: a slow CPU is a table of larger numbers.
    pub fn set_costs(&mut self, costs: Option<Costs>) {
        self.config.costs = costs;
    }

    /// What work costs.
    pub fn costs(&self) -> Option<&Costs> {
        self.config.costs.as_ref()
    }

    /// This member's id.
    pub fn id(&self) -> NodeId {
        self.config.id
    }

    /// Its Raft, to look at.
    pub fn raft(&self) -> &Raft {
        &self.raft
    }

    /// The alarms that are raised as far as it has applied.
    pub fn alarms(&self) -> Vec<AlarmMember> {
        self.state.alarms.get(AlarmType::None)
    }

    /// Its store, to look at.
    pub fn store(&self) -> &Store {
        &self.state.store
    }

    /// Its users and roles, to look at.
    pub fn auth(&self) -> &AuthStore {
        &self.state.auth
    }

    /// Approximate bytes held in memory: log and store.
    pub fn memory_bytes(&self) -> u64 {
        self.raft.log().bytes() + self.state.store.engine().stats().memory
    }
}

impl std::fmt::Debug for Member {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = self.raft.hard_state();
        f.debug_struct("Member").field("id", &self.config.id).field("state", &state).finish_non_exhaustive()
    }
}

/// Adds the header that only the member knows.
fn with_header(response: Response, header: Option<ResponseHeader>) -> Response {
    // etcd names no revision where it answers about members.
    let of_members = header.map(|header| ResponseHeader { revision: 0, ..header });
    match response {
        Response::Range(response) => Response::Range(RangeResponse { header, ..response }),
        Response::Put(response) => Response::Put(PutResponse { header, ..response }),
        Response::DeleteRange(response) => Response::DeleteRange(DeleteRangeResponse { header, ..response }),
        Response::Txn(response) => Response::Txn(TxnResponse { header, ..response }),
        Response::Compact(_) => Response::Compact(CompactionResponse { header }),
        Response::LeaseGrant(response) => Response::LeaseGrant(LeaseGrantResponse { header, ..response }),
        Response::LeaseRevoke(_) => Response::LeaseRevoke(LeaseRevokeResponse { header }),
        Response::Auth(response) => Response::Auth(response.with_header(header)),
        Response::Alarm(response) => Response::Alarm(AlarmResponse { header, ..response }),
        Response::MemberAdd(response) => Response::MemberAdd(MemberAddResponse { header: of_members, ..response }),
        Response::MemberRemove(response) => {
            Response::MemberRemove(MemberRemoveResponse { header: of_members, ..response })
        }
        Response::MemberUpdate(response) => {
            Response::MemberUpdate(MemberUpdateResponse { header: of_members, ..response })
        }
        Response::MemberPromote(response) => {
            Response::MemberPromote(MemberPromoteResponse { header: of_members, ..response })
        }
        Response::MemberList(response) => Response::MemberList(MemberListResponse { header: of_members, ..response }),
        // Those that this member answers itself have theirs.
        response @ (Response::LeaseKeepAlive(_)
        | Response::LeaseTimeToLive(_)
        | Response::LeaseLeases(_)
        | Response::Defragment
        | Response::MoveLeader
        | Response::Nothing
        | Response::Status(_)
        | Response::HashKv(_)
        | Response::Hash(_)
        | Response::Image(_)) => response,
    }
}

/// The etcd version that it speaks as.
pub const VERSION: &str = "3.4.40";

/// An alarm as etcd's answer to Status has it.
fn words(alarm: AlarmMember) -> String {
    let kind = match alarm.alarm() {
        AlarmType::None => "NONE",
        AlarmType::Nospace => "NOSPACE",
        AlarmType::Corrupt => "CORRUPT",
    };
    // One that a client raised may be of no member.
    let whose = if alarm.member_id == 0 { String::new() } else { format!("memberID:{} ", alarm.member_id) };
    format!("{whose}alarm:{kind} ")
}

/// Where the member keeps its WAL.
pub const WAL_DIR: &str = "member/wal";

fn wal_dir() -> FileName {
    WAL_DIR.into()
}
