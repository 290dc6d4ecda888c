//! Members join, are promoted, are removed: members on perfect disks, on a network that delivers at once.

use bytes::Bytes;
use seedbed::api::{Error, Request, RequestId, Response};
use seedbed::disk::Shared;
use seedbed::disk_mem::MemDisk;
use seedbed::member::{Config, Effects, InitialClusterState, Input, Member, StopReason};
use seedbed::pb::etcdserverpb::{
    MemberAddRequest, MemberListRequest, MemberPromoteRequest, MemberRemoveRequest, PutRequest,
};
use seedbed::raft::{Message, NodeId};
use seedbed::time::{MILLISECOND, Now};
use std::collections::{BTreeMap, VecDeque};

/// A member that runs.
struct Running {
    member: Member,
    disk: Shared<MemDisk>,
    stopped: Option<StopReason>,
}

/// Members by their ids.
struct Cluster {
    members: BTreeMap<NodeId, Running>,
    wire: VecDeque<Message>,
    now: Now,
    replies: Vec<Result<Response, Error>>,
}

impl Cluster {
    /// A cluster of one, which leads.
    fn of_one() -> Cluster {
        let config = super::config(1);
        let id = config.id;
        let mut cluster =
            Cluster { members: BTreeMap::new(), wire: VecDeque::new(), now: Now::default(), replies: Vec::new() };
        cluster.start(config);
        cluster.wait(3_000);
        assert!(cluster.members[&id].member.is_leader());
        cluster
    }

    fn start(&mut self, config: Config) {
        let disk = self.members.remove(&config.id).map_or_else(|| Shared::new(MemDisk::new()), |old| old.disk);
        let (id, mut fx) = (config.id, Effects::default());
        let member = Member::open(config, self.now, &disk.reader(), &mut fx).expect("a legal image");
        self.members.insert(id, Running { member, disk, stopped: None });
        self.take(id, fx);
    }

    /// Starts a member that was added.
    fn join(&mut self, id: NodeId, name: &str) {
        let config = super::config(1);
        let name = name.to_owned();
        let cluster = InitialClusterState::Existing;
        self.start(Config { name, initial_cluster_state: cluster, ..Config::new(id, config.cluster_id, Vec::new()) });
    }

    fn step(&mut self, id: NodeId, input: Input) {
        let Some(running) = self.members.get_mut(&id).filter(|running| running.stopped.is_none()) else { return };
        let mut fx = Effects::default();
        running.member.step(self.now, input, &mut fx);
        self.take(id, fx);
    }

    fn take(&mut self, id: NodeId, fx: Effects) {
        self.wire.extend(fx.messages);
        self.replies.extend(fx.replies.into_iter().map(|(_, reply)| reply));
        self.members.get_mut(&id).expect("it runs").stopped = fx.stop;
        for op in fx.disk {
            let done = self.members[&id].disk.get().apply(&op);
            self.step(id, Input::Disk(done));
        }
        for removed in fx.rejected {
            self.step(removed, Input::Removed);
        }
    }

    fn wait(&mut self, ms: u64) {
        for _ in 0..ms / 10 {
            self.now.mono += 10 * MILLISECOND;
            self.now.wall += 10 * MILLISECOND;
            let ids: Vec<NodeId> = self.members.keys().copied().collect();
            ids.into_iter().for_each(|id| self.step(id, Input::Deadline));
            while let Some(message) = self.wire.pop_front() {
                self.step(message.to, Input::Message(message));
            }
        }
    }

    fn ask(&mut self, id: NodeId, request: Request) -> Result<Response, Error> {
        self.replies.clear();
        self.step(id, Input::Request(RequestId(1), Box::new(request)));
        self.wait(500);
        self.replies.pop().expect("it was answered")
    }

    fn add(&mut self, asked: NodeId, host: &str, is_learner: bool) -> Result<NodeId, Error> {
        let peer_urls = vec![format!("http://{host}:2380")];
        match self.ask(asked, Request::MemberAdd(MemberAddRequest { peer_urls, is_learner }))? {
            Response::MemberAdd(response) => Ok(response.member.expect("the new one").id),
            other => panic!("expected the new member, found {other:?}"),
        }
    }

    fn put(&mut self, id: NodeId) -> Result<Response, Error> {
        self.ask(id, Request::Put(PutRequest { key: Bytes::from("a"), ..PutRequest::default() }))
    }
}

#[test]
fn a_learner_joins_is_promoted_leads_and_the_first_one_goes() {
    let mut cluster = Cluster::of_one();
    let first = super::config(1).id;
    let second = cluster.add(first, "n2", true).unwrap();
    assert_eq!(cluster.add(first, "n2", false), Err(Error::MemberExists), "within a second it has the same id");
    cluster.wait(1_000);
    assert_eq!(cluster.add(first, "n2", false), Err(Error::PeerUrlExists));
    assert_eq!(cluster.add(first, "n3", true), Err(Error::TooManyLearners));
    let promote = Request::MemberPromote(MemberPromoteRequest { id: second });
    assert_eq!(cluster.ask(first, promote.clone()), Err(Error::LearnerNotReady), "it has not started");

    cluster.join(second, "n2");
    cluster.wait(1_000);
    let joined = &cluster.members[&second].member;
    assert_eq!(joined.store().hash(), cluster.members[&first].member.store().hash());
    assert_eq!(joined.cluster().members[&second].name, "n2", "it told its name");
    assert_eq!(cluster.put(second), Err(Error::UnsupportedForLearner));
    cluster.ask(first, promote.clone()).unwrap();
    assert_eq!(cluster.members[&second].member.raft().conf().voters.len(), 2);
    assert_eq!(cluster.ask(first, promote), Err(Error::NotLearner));
    cluster.put(second).unwrap();

    let list = Request::MemberList(MemberListRequest { linearizable: true });
    let Ok(Response::MemberList(list)) = cluster.ask(second, list) else { panic!("expected a list") };
    assert_eq!(list.members.len(), 2);
    cluster.ask(first, Request::MoveLeader(second)).unwrap();
    cluster.ask(second, Request::MemberRemove(MemberRemoveRequest { id: first })).unwrap();
    cluster.wait(2_000);
    assert_eq!(cluster.members[&first].stopped, Some(StopReason::Removed));
    cluster.put(second).unwrap();
    let remove = Request::MemberRemove(MemberRemoveRequest { id: first });
    assert_eq!(cluster.ask(second, remove), Err(Error::MemberNotFound));
}

#[test]
fn the_last_member_and_one_that_would_be_missed_stay() {
    let mut cluster = Cluster::of_one();
    let first = super::config(1).id;
    let remove = Request::MemberRemove(MemberRemoveRequest { id: first });
    assert_eq!(cluster.ask(first, remove), Err(Error::NotEnoughStarted));
    assert_eq!(cluster.add(first, "n2:x", false), Err(Error::BadMemberUrls));
}
