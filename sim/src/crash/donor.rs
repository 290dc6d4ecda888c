//! A real leader of three, on a disk that never fails: it makes the log and the snapshots that a follower is fed with.

use super::history::History;
use super::leader::Leader;
use super::life::{Always, Life};
use crate::scenario;
use crate::world::disk::SimDisk;
use crate::world::random::Stream;
use bytes::Bytes;
use seedbed::api::{Request, RequestId};
use seedbed::disk::Shared;
use seedbed::member::{Config, Input};
use seedbed::pb::etcdserverpb::PutRequest;
use seedbed::raft::{Body, Message, NodeId, RejectHint, Snapshot};
use seedbed::time::{Nanos, Now, SECOND};
use std::rc::Rc;

/// When every member starts.
pub(super) const START: Now = Now { mono: 0, wall: 1_700_000_000 * SECOND };

/// See the module.
pub(super) struct Donor {
    life: Life,
    /// A follower that agrees with everything.
    friend: NodeId,
    requests: u64,
    /// What was sent to the other follower, which never answers by itself.
    unanswered: Vec<Message>,
}

/// A disk on which operations take no time.
pub(super) fn fresh_disk() -> SimDisk {
    let none = scenario::Range64::exactly(0);
    let profile = scenario::Disk { write: none, fsync: none, slow_ppm: 0, slow: none, size_bytes: None };
    SimDisk::new(profile, Stream::new(0, "crash/disk"))
}

/// A value of 1 to 600 bytes.
pub(super) fn value(random: &mut Stream) -> Vec<u8> {
    let len = if random.chance(500_000) { 1 + random.below(40) } else { 1 + random.below(600) };
    let first = random.bits();
    (0..len).map(|i| (first >> (i % 8 * 8)) as u8 ^ i as u8).collect()
}

impl Donor {
    pub(super) fn new(config: &Config) -> Donor {
        let config = Config {
            pre_vote: false,
            check_quorum: false,
            snapshot_count: 6,
            snapshot_catchup: 2,
            bugs: Default::default(),
            ..config.clone()
        };
        let friend = config.initial_cluster[2].id;
        let life = Life::start(config, Shared::new(fresh_disk()), START, Rc::new(History::new()), &mut Always);
        let life = life.expect("invariant: a member starts on an empty disk");
        let mut donor = Donor { life, friend, requests: 0, unanswered: Vec::new() };
        donor.run_until(|donor| donor.life.member.is_leader());
        donor
    }

    /// Lets messages, disk and time go on until something holds.
    fn run_until(&mut self, holds: impl Fn(&Donor) -> bool) {
        for _ in 0..10_000 {
            self.life.complete_all(&mut Always).expect("invariant: this disk does not fail");
            let messages = std::mem::take(&mut self.life.messages);
            if messages.is_empty() && holds(self) {
                return;
            }
            let is_quiet = messages.is_empty();
            for message in messages {
                match self.friendly(&message).filter(|_| message.to == self.friend) {
                    Some(answer) => self.deliver(answer),
                    None => self.unanswered.push(message),
                }
            }
            if is_quiet {
                self.life.wait(Nanos::MAX, &mut Always).expect("invariant: this disk does not fail");
            }
        }
        panic!("invariant: a leader with a friend comes to what it is asked for");
    }

    fn deliver(&mut self, message: Message) {
        self.life.step(Input::Message(message), &mut Always).expect("invariant: this disk does not fail");
    }

    fn friendly(&self, message: &Message) -> Option<Message> {
        let body = match &message.body {
            Body::Vote { pre, .. } => Body::VoteResp { pre: *pre, reject: false },
            Body::Append { prev_index, entries, .. } => {
                Body::AppendResp { index: prev_index + entries.len() as u64, reject: None }
            }
            Body::Heartbeat { read_ctx, .. } => Body::HeartbeatResp { read_ctx: *read_ctx },
            _ => return None,
        };
        Some(Message { from: message.to, to: message.from, term: message.term, body })
    }

    /// So many writes, each applied.
    pub(super) fn write(&mut self, count: usize, random: &mut Stream) {
        for _ in 0..count {
            let (key, value) = (format!("k{}", random.below(6)).into_bytes(), value(random));
            self.requests += 1;
            let id = RequestId(self.requests);
            let issued = (key.clone(), value.clone());
            Rc::make_mut(&mut self.life.history).issue(id, |pairs| drop(pairs.insert(issued.0, issued.1)));
            let put = PutRequest { key: key.into(), value: Bytes::from(value), ..PutRequest::default() };
            let request = Input::Request(id, Box::new(Request::Put(put)));
            self.life.step(request, &mut Always).expect("invariant: this disk does not fail");
            self.run_until(|donor| donor.life.history.answered as u64 == donor.requests);
        }
        // The log before the snapshot is dropped.
        self.run_until(|donor| donor.life.is_idle() && donor.life.member.raft().first_index() > 1);
    }

    /// The follower says that it has nothing: the leader sends it a snapshot.
    pub(super) fn offer_snapshot(&mut self, follower: NodeId) -> Snapshot {
        let (leader, term) = (self.life.member.id(), self.life.member.raft().term());
        let say = |body| Message { from: follower, to: leader, term, body };
        self.unanswered.clear();
        // A snapshot that was sent before is lost on the way.
        self.life.step(Input::SnapshotSent(follower, false), &mut Always).expect("invariant: this disk does not fail");
        let next = self.life.member.raft().progress().find(|(id, _)| *id == follower).map_or(1, |(_, of)| of.next);
        let nothing = RejectHint { index: 0, term: 0 };
        self.deliver(say(Body::AppendResp { index: next.saturating_sub(1), reject: Some(nothing) }));
        self.deliver(say(Body::HeartbeatResp { read_ctx: 0 }));
        let snapshot = |message: &Message| match &message.body {
            Body::Snapshot(snapshot) if message.to == follower => Some(Snapshot::clone(snapshot)),
            _ => None,
        };
        self.run_until(|donor| donor.unanswered.iter().any(|message| snapshot(message).is_some()));
        self.unanswered.iter().find_map(snapshot).expect("invariant: it was just seen")
    }

    /// Its log as a leader by hand, which has dropped everything up to the snapshot.
    pub(super) fn into_leader(self, follower: NodeId, snapshot: Snapshot) -> Leader {
        let log = self.life.history.entries.values().cloned().collect();
        let first_index = snapshot.meta.index + 1;
        let (id, term) = (self.life.member.id(), self.life.member.raft().term());
        let states = self.life.history;
        Leader { id, follower, term, log, first_index, snapshot, states }
    }
}
