//! A member on a perfect disk: it bootstraps, serves, comes back; and it refuses to start on what breaks its promises.

mod auth;
mod corruption;
mod images;
mod leases;
mod members;
mod quota;
mod watches;

use bytes::Bytes;
use prost::Message as _;
use seedbed::api::{Error, Request, RequestId, Response};
use seedbed::disk::{DiskDone, DiskRead, OpSink, Shared};
use seedbed::disk_mem::MemDisk;
use seedbed::member::{Config, Effects, Input, Member, Peer, StartError};
use seedbed::mvcc::watch::StreamId;
use seedbed::pb::etcdserverpb::{Metadata, PutRequest, RangeRequest, WatchResponse};
use seedbed::pb::ids;
use seedbed::raft::{Entry, EntryKind, HardState, SnapshotMeta};
use seedbed::snap;
use seedbed::time::{MILLISECOND, Now};
use seedbed::wal::{Wal, WalConfig};

fn config(members: u64) -> Config {
    let peer = |number: u64| {
        let peer_urls = vec![format!("http://n{number}:2380")];
        Peer { id: ids::member_id(&peer_urls, "test", None), name: format!("n{number}"), peer_urls }
    };
    let peers: Vec<Peer> = (1..=members).map(peer).collect();
    Config::new(peers[0].id, 7, peers)
}

/// A member, its disk and its clock: every disk operation is done at once.
struct Bench {
    member: Member,
    disk: Shared<MemDisk>,
    now: Now,
    replies: Vec<(RequestId, Result<Response, Error>)>,
    watched: Vec<(StreamId, WatchResponse)>,
}

impl Bench {
    fn start(config: Config, disk: MemDisk, now: Now) -> Bench {
        let mut fx = Effects::default();
        let disk = Shared::new(disk);
        let member = Member::open(config, now, &disk.reader(), &mut fx).expect("a legal image");
        let done: Vec<DiskDone> = fx.disk.drain(..).map(|op| disk.get().apply(&op)).collect();
        let mut bench = Bench { member, disk, now, replies: Vec::new(), watched: Vec::new() };
        done.into_iter().for_each(|done| bench.step(Input::Disk(done)));
        bench
    }

    /// A sole member that leads.
    fn leading(config: Config) -> Bench {
        let mut bench = Bench::start(config, MemDisk::new(), Now::default());
        bench.wait(3000);
        assert!(bench.member.is_leader());
        bench
    }

    fn step(&mut self, input: Input) {
        let mut inputs = vec![input];
        while let Some(input) = inputs.pop() {
            let mut fx = Effects::default();
            self.member.step(self.now, input, &mut fx);
            assert_eq!(fx.stop, None);
            self.replies.append(&mut fx.replies);
            self.watched.append(&mut fx.watch);
            inputs.extend(fx.disk.iter().map(|op| Input::Disk(self.disk.get().apply(op))));
            inputs.extend(fx.jobs.iter().map(|job| Input::JobDone(job.id, job.work.run())));
        }
    }

    fn wait(&mut self, ms: u64) {
        for _ in 0..ms / 10 {
            self.now.mono += 10 * MILLISECOND;
            self.step(Input::Deadline);
        }
    }

    fn put(&mut self, id: u64, key: &'static str, value: &'static str) {
        let put = PutRequest { key: Bytes::from(key), value: Bytes::from(value), ..PutRequest::default() };
        self.step(Input::Request(RequestId(id), Box::new(Request::Put(put))));
    }

    fn get(&mut self, id: u64, key: &'static str) -> Option<Bytes> {
        let range = RangeRequest { key: Bytes::from(key), ..RangeRequest::default() };
        self.step(Input::Request(RequestId(id), Box::new(Request::Range(range))));
        match self.replies.pop() {
            Some((answered, Ok(Response::Range(response)))) => {
                assert_eq!(answered, RequestId(id));
                response.kvs.into_iter().next().map(|kv| kv.value)
            }
            other => panic!("expected an answer, found {other:?}"),
        }
    }
}

#[test]
fn a_sole_member_leads_answers_and_remembers() {
    let mut bench = Bench::start(config(1), MemDisk::new(), Now::default());
    bench.wait(3_000);
    assert!(bench.member.is_leader());
    bench.put(1, "a", "1");
    bench.put(2, "a", "2");
    assert_eq!(bench.replies.len(), 2);
    assert_eq!(bench.get(3, "a"), Some(Bytes::from("2")));
    let (hash, applied) = (bench.member.store().hash(), bench.member.store().consistent_index());

    let mut again = Bench::start(config(1), bench.disk.get().clone(), bench.now);
    assert_eq!((again.member.store().hash(), again.member.store().consistent_index()), (hash, applied));
    again.wait(3_000);
    assert_eq!(again.get(4, "a"), Some(Bytes::from("2")));
}

#[test]
fn who_is_alone_need_not_wait_for_an_election_timeout() {
    let leads = |members, fast_forward, seed| {
        let config = Config { fast_forward, seed, ..config(members) };
        let mut bench = Bench::start(config, MemDisk::new(), Now::default());
        // One tick is left of the timeout's ten, and up to nine are drawn; then it campaigns with the next.
        bench.wait(1_200);
        bench.member.is_leader()
    };
    for seed in 0..10 {
        assert!(leads(1, true, seed));
        assert!(!leads(3, true, seed), "others are to be asked");
    }
    assert!((0..10).any(|seed| !leads(1, false, seed)));
}

#[test]
fn a_snapshot_replaces_the_log_and_a_restart_stands_on_it() {
    let config = Config { snapshot_count: 20, snapshot_catchup: 5, wal_segment_bytes: 2_000, ..config(1) };
    let mut bench = Bench::start(config.clone(), MemDisk::new(), Now::default());
    bench.wait(3_000);
    (0..200).for_each(|id| bench.put(id, "key", "value"));
    assert!(bench.member.raft().first_index() > 100, "the log was compacted");
    let (snapshots, segments) = (bench.disk.list("member/snap"), bench.disk.list("member/wal"));
    assert_eq!(snapshots.len(), config.max_snapshots, "old snapshots go: {snapshots:?}");
    assert!(!segments.iter().any(|file| file.contains("0000000000000000-")), "old segments go: {segments:?}");
    let hash = bench.member.store().hash();
    let again = Bench::start(config, bench.disk.get().clone(), bench.now);
    assert_eq!(again.member.store().hash(), hash);
}

#[test]
fn the_hash_of_everything_is_that_of_the_data_wherever_it_lies() {
    let hash = |bench: &mut Bench| {
        bench.step(Input::Request(RequestId(9), Box::new(Request::Hash)));
        match bench.replies.pop() {
            Some((_, Ok(Response::Hash(response)))) => response.hash,
            other => panic!("expected a hash, found {other:?}"),
        }
    };
    let mut bench = Bench::leading(config(1));
    bench.put(1, "a", "1");
    let one = hash(&mut bench);
    bench.wait(1000);
    let mut again = Bench::start(config(1), bench.disk.get().clone(), bench.now);
    again.wait(3000);
    assert_eq!(hash(&mut again), one, "an election applies an entry, and changes no data");
    again.put(2, "a", "2");
    assert_ne!(hash(&mut again), one);
}

#[test]
fn without_a_leader_a_write_waits_and_then_times_out() {
    let mut bench = Bench::start(config(3), MemDisk::new(), Now::default());
    bench.put(1, "a", "1");
    bench.wait(6_900);
    assert!(bench.replies.is_empty(), "it waits for a leader");
    bench.wait(200);
    assert_eq!(bench.replies, [(RequestId(1), Err(Error::TimeoutLeaderFail))]);
}

#[test]
fn what_is_malformed_or_too_large_is_refused_in_etcds_words() {
    let mut bench = Bench::start(Config { max_request_bytes: 100, ..config(1) }, MemDisk::new(), Now::default());
    bench.wait(3_000);
    bench.put(1, "", "1");
    let put = PutRequest { key: Bytes::from("a"), value: Bytes::from(vec![0; 200]), ..PutRequest::default() };
    bench.step(Input::Request(RequestId(2), Box::new(Request::Put(put))));
    let errors: Vec<String> = bench.replies.iter().map(|(_, reply)| reply.as_ref().unwrap_err().to_string()).collect();
    assert_eq!(errors, ["etcdserver: key is not provided", "etcdserver: request is too large"]);
}

/// A data directory whose log holds `entries` entries and whose hard state says `commit`.
fn directory(entries: u64, commit: u64, snapshot: Option<u64>) -> MemDisk {
    let (mut disk, mut ops, mut next) = (MemDisk::new(), Vec::new(), 1);
    let config = config(1);
    let metadata = Metadata { node_id: config.id, cluster_id: config.cluster_id }.encode_to_vec();
    let mut sink = OpSink::new(&mut ops, &mut next);
    let wal_config = WalConfig { dir: "member/wal".into(), segment_bytes: 1 << 16 };
    let (mut wal, _) = Wal::create(wal_config, &metadata, &mut sink);
    if let Some(index) = snapshot {
        let meta = SnapshotMeta { index, term: 1, ..SnapshotMeta::default() };
        snap::write(&meta, &Bytes::from_static(b"no store"), &mut sink);
        snap::publish(&meta, &mut sink);
        wal.save_snapshot(&meta, &mut sink);
    }
    let first = snapshot.unwrap_or(0) + 1;
    let entry = |index| Entry { kind: EntryKind::Normal, term: 1, index, data: Bytes::new() };
    let entries: Vec<Entry> = (first..first + entries).map(entry).collect();
    wal.save(&entries, Some(&HardState { term: 1, vote: 0, commit }), true, &mut sink);
    disk.apply_all(&mut ops);
    disk
}

fn refusal(disk: &MemDisk) -> StartError {
    let disk = Shared::new(disk.clone()).reader();
    Member::open(config(1), Now::default(), &disk, &mut Effects::default()).expect_err("the member must refuse")
}

#[test]
fn a_log_shorter_than_its_commit_index_is_refused_and_the_error_says_what_to_do() {
    let error = refusal(&directory(3, 5, None));
    assert!(matches!(error, StartError::Log { .. }), "{error:?}");
    let text = error.to_string();
    for part in ["member/wal", "ends at entry 3", "commit index 5", "remove it from the cluster"] {
        assert!(text.contains(part), "{part:?} is missing in {text:?}");
    }
}

#[test]
fn a_snapshot_that_is_no_store_is_refused_by_its_file() {
    let text = refusal(&directory(1, 10, Some(10))).to_string();
    assert!(text.contains("000000000000000a.snap"), "{text}");
}

#[test]
fn a_lost_snapshot_is_refused_if_the_log_does_not_reach_back() {
    let config = Config { snapshot_count: 20, snapshot_catchup: 5, wal_segment_bytes: 2_000, ..config(1) };
    let mut bench = Bench::start(config.clone(), MemDisk::new(), Now::default());
    bench.wait(3_000);
    (0..200).for_each(|id| bench.put(id, "key", "value"));
    let mut disk = MemDisk::new();
    for file in bench.disk.list("member/wal") {
        disk.insert(&file, bench.disk.get().file(&file).unwrap().to_vec());
    }
    let refused = Member::open(config, bench.now, &Shared::new(disk).reader(), &mut Effects::default());
    let text = refused.expect_err("the log begins too late").to_string();
    assert!(text.contains("member/wal"), "{text}");
}

#[test]
fn another_members_log_is_refused() {
    let disk = directory(1, 1, None);
    let other = Config { id: 99, ..config(1) };
    let error = {
        let disk = Shared::new(disk).reader();
        Member::open(other, Now::default(), &disk, &mut Effects::default()).expect_err("not its log")
    };
    assert!(matches!(error, StartError::Foreign { .. }), "{error:?}");
}
