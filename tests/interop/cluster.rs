//! Members of Seedbed on disks in memory, with a network that delivers at once, and their directories as real files.

use crate::etcd;
use crate::folder::Folder;
use bytes::Bytes;
use seedbed::api::{Request, RequestId, Response};
use seedbed::backend::{Bucket, EngineConfig};
use seedbed::disk::{DiskDone, DiskRead, Shared};
use seedbed::disk_mem::MemDisk;
use seedbed::member::{Config, Effects, Input, Member, Peer};
use seedbed::mvcc::Store;
use seedbed::pb::etcdserverpb::RangeRequest;
use seedbed::pb::ids;
use seedbed::pb::mvccpb::KeyValue;
use seedbed::time::{MILLISECOND, Now};
use std::collections::VecDeque;

/// Whose data it is, as etcd's flags have it by default.
const TOKEN: &str = "etcd-cluster";

pub(crate) struct Cluster {
    pub(crate) peers: Vec<Peer>,
    members: Vec<Running>,
    now: Now,
    next_request: u64,
    replied: Vec<(RequestId, bool)>,
}

struct Running {
    member: Member,
    disk: Shared<MemDisk>,
    config: Config,
}

/// A database image, as `etcdctl snapshot save` would store it.
pub(crate) struct Saved {
    pub(crate) bytes: Vec<u8>,
    hash: u32,
}

impl Saved {
    /// CRC-32C over the buckets' names and pairs, as `etcdctl snapshot status` computes it.
    pub(crate) fn hash(&self) -> u32 {
        self.hash
    }

    /// The image with its SHA-256 behind it.
    pub(crate) fn with_sha256(&self) -> Vec<u8> {
        use sha2::Digest as _;
        [&self.bytes[..], &sha2::Sha256::digest(&self.bytes)[..]].concat()
    }
}

impl Cluster {
    pub(crate) fn start(addresses: &[String]) -> Cluster {
        Cluster::start_with(addresses, |_| {})
    }

    /// A new cluster, a member for each (peer) address.
    pub(crate) fn start_with(addresses: &[String], adjust: impl Fn(&mut Config)) -> Cluster {
        let peer = |(number, address): (usize, &String)| {
            let peer_urls = vec![format!("http://{address}")];
            Peer { id: ids::member_id(&peer_urls, TOKEN, None), name: format!("n{}", number + 1), peer_urls }
        };
        let peers: Vec<Peer> = addresses.iter().enumerate().map(peer).collect();
        let cluster_id = ids::cluster_id(&peers.iter().map(|peer| peer.id).collect::<Vec<_>>());
        let mut cluster =
            Cluster { peers: peers.clone(), members: Vec::new(), now: start(), next_request: 1, replied: Vec::new() };
        for peer in &peers {
            let mut config = Config::new(peer.id, cluster_id, peers.clone());
            config.engine = EngineConfig::Bolt(Default::default());
            config.seed = peer.id;
            adjust(&mut config);
            cluster.open(config, MemDisk::new());
        }
        cluster.wait_for_leader();
        cluster
    }

    /// A member of Seedbed on the directory that a real one with this address left.
    pub(crate) fn take_over(data_dir: &str, peer_url: String) -> Cluster {
        let peer_urls = vec![peer_url];
        let peer = Peer { id: ids::member_id(&peer_urls, TOKEN, None), name: "n1".to_owned(), peer_urls };
        let mut config = Config::new(peer.id, ids::cluster_id(&[peer.id]), vec![peer.clone()]);
        config.engine = EngineConfig::Bolt(Default::default());
        let mut cluster =
            Cluster { peers: vec![peer], members: Vec::new(), now: start(), next_request: 1, replied: Vec::new() };
        cluster.open(config, etcd::load(data_dir));
        cluster
    }

    fn open(&mut self, config: Config, disk: MemDisk) {
        let disk = Shared::new(disk);
        let mut fx = Effects::default();
        let member = Member::open(config.clone(), self.now, &disk.reader(), &mut fx).expect("a legal image");
        self.members.push(Running { member, disk, config });
        let mut inputs = VecDeque::new();
        self.take(self.members.len() - 1, fx, &mut inputs);
        self.settle(inputs);
    }

    fn step(&mut self, member: usize, input: Input) {
        self.settle(VecDeque::from([(member, input)]));
    }

    /// Steps members until nothing more follows at this moment.
    fn settle(&mut self, mut inputs: VecDeque<(usize, Input)>) {
        while let Some((member, input)) = inputs.pop_front() {
            let mut fx = Effects::default();
            self.members[member].member.step(self.now, input, &mut fx);
            self.take(member, fx, &mut inputs);
        }
    }

    fn take(&mut self, member: usize, fx: Effects, inputs: &mut VecDeque<(usize, Input)>) {
        assert_eq!(fx.stop, None);
        for op in &fx.disk {
            let done: DiskDone = self.members[member].disk.get().apply(op);
            inputs.push_back((member, Input::Disk(done)));
        }
        for message in fx.messages {
            let to = self.members.iter().position(|running| running.member.id() == message.to);
            inputs.extend(to.map(|to| (to, Input::Message(message))));
        }
        self.replied.extend(fx.replies.into_iter().map(|(id, result)| {
            let is_ok = matches!(result, Ok(Response::Put(_) | Response::DeleteRange(_) | Response::Compact(_)));
            assert!(is_ok, "{result:?}");
            (id, is_ok)
        }));
    }

    fn pass(&mut self, ms: u64) {
        for _ in 0..ms / 10 {
            self.now.mono += 10 * MILLISECOND;
            self.now.wall += 10 * MILLISECOND;
            (0..self.members.len()).for_each(|member| self.step(member, Input::Deadline));
        }
    }

    pub(crate) fn wait_for_leader(&mut self) {
        for _ in 0..100 {
            self.pass(100);
            if self.leader().is_some() {
                // Until everyone has applied what was committed.
                self.pass(500);
                return;
            }
        }
        panic!("no leader within ten seconds");
    }

    fn leader(&self) -> Option<usize> {
        self.members.iter().position(|running| running.member.is_leader())
    }

    /// Has the requests done, one after the other.
    pub(crate) fn run(&mut self, requests: Vec<Request>) {
        for request in requests {
            let id = RequestId(self.next_request);
            self.next_request += 1;
            let leader = self.leader().expect("a leader");
            self.step(leader, Input::Request(id, Box::new(request)));
            while !self.replied.iter().any(|(replied, _)| *replied == id) {
                self.pass(10);
            }
        }
        self.pass(1_000);
    }

    pub(crate) fn store(&self, member: usize) -> &Store {
        self.members[member].member.store()
    }

    /// Writes every member's directory below `folder`, as after a stop.
    pub(crate) fn stop(&mut self, folder: &Folder) {
        self.pass(1_000);
        for (running, peer) in self.members.iter().zip(&self.peers) {
            assert_eq!(running.config.id, peer.id);
            etcd::store(&running.disk.get(), folder.path(&peer.name));
        }
    }

    /// An image of a member's database.
    pub(crate) fn snapshot(&mut self, member: usize) -> Saved {
        self.pass(1_000);
        let disk = self.members[member].disk.clone();
        let bytes = disk.read_all("member/snap/db").expect("a database");
        let store = self.store(member);
        let mut hash = 0;
        for bucket in Bucket::ALL {
            hash = crc32c::crc32c_append(hash, bucket.name().as_bytes());
            let mut add = |key: &[u8], value: &Bytes| {
                hash = crc32c::crc32c_append(hash, key);
                hash = crc32c::crc32c_append(hash, value);
                true
            };
            store.engine().range(bucket, &[], None, &mut add).expect("readable");
        }
        Saved { bytes, hash }
    }
}

fn start() -> Now {
    Now { mono: 0, wall: 1_700_000_000_000 * MILLISECOND }
}

/// Everything that lives at a revision.
pub(crate) fn keys_at(store: &Store, revision: i64) -> Vec<KeyValue> {
    let all = RangeRequest { key: "\0".into(), range_end: "\0".into(), revision, ..RangeRequest::default() };
    store.range(&all).expect("a readable revision").kvs
}
