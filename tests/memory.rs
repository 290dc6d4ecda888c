//! What a member holds in memory, counted byte by byte: at most twice its live data and 16 MiB, whatever lies on its disk.

#[path = "support/counting.rs"]
mod counting;

use bytes::Bytes;
use counting::LIVE;
use seedbed::api::{Request, RequestId};
use seedbed::backend::{BoltConfig, EngineConfig};
use seedbed::disk::Shared;
use seedbed::disk_mem::MemDisk;
use seedbed::member::{Config, Effects, Input, Member, Peer};
use seedbed::pb::etcdserverpb::PutRequest;
use seedbed::pb::ids;
use seedbed::time::{MILLISECOND, Now};
use std::sync::atomic::Ordering;

const KEYS: usize = 60_000;
const VALUE: usize = 256;

struct Rig {
    member: Member,
    disk: Shared<MemDisk>,
    now: Now,
    fx: Effects,
}

impl Rig {
    fn start() -> Rig {
        let peer_urls = vec!["http://n1:2380".to_owned()];
        let peer = Peer { id: ids::member_id(&peer_urls, "test", None), name: "n1".to_owned(), peer_urls };
        let config = Config {
            engine: EngineConfig::Bolt(BoltConfig::default()),
            snapshot_count: 5_000,
            snapshot_catchup: 500,
            ..Config::new(peer.id, 7, vec![peer])
        };
        let (disk, mut fx, now) = (Shared::new(MemDisk::new()), Effects::default(), Now::default());
        let member = Member::open(config, now, &disk.reader(), &mut fx).expect("an empty disk");
        let mut rig = Rig { member, disk, now, fx };
        rig.settle();
        rig
    }

    /// Does the disk operations and hands their ends in, until none is left.
    fn settle(&mut self) {
        while !self.fx.disk.is_empty() {
            for op in std::mem::take(&mut self.fx.disk) {
                let done = self.disk.get().apply(&op);
                let mut fx = Effects::default();
                self.member.step(self.now, Input::Disk(done), &mut fx);
                assert_eq!(fx.stop, None);
                self.fx.disk.append(&mut fx.disk);
            }
        }
    }

    fn step(&mut self, input: Input) {
        self.fx.clear();
        self.member.step(self.now, input, &mut self.fx);
        self.settle();
    }

    fn wait(&mut self, ms: u64) {
        for _ in 0..ms / 100 {
            self.now.mono += 100 * MILLISECOND;
            self.step(Input::Deadline);
        }
    }
}

#[test]
fn a_member_holds_at_most_twice_its_live_data_and_16_mib() {
    let mut rig = Rig::start();
    rig.wait(5_000);
    assert!(rig.member.is_leader());
    let mut live = 0;
    // Every key twice: the second half of the records is history's, and the first half of the values is gone.
    for n in 0..2 * KEYS {
        let put = PutRequest {
            key: format!("/registry/pods/{:08}", n % KEYS).into(),
            value: Bytes::from(vec![n as u8; VALUE]),
            ..PutRequest::default()
        };
        live += if n < KEYS { put.key.len() + VALUE } else { 0 };
        rig.step(Input::Request(RequestId(n as u64), Box::new(Request::Put(put))));
        if n % 100 == 0 {
            rig.wait(100);
        }
    }
    rig.wait(1_000);
    assert_eq!(rig.member.store().revision(), 1 + 2 * KEYS as i64);

    let Rig { member, disk, fx, .. } = rig;
    drop(fx);
    let with_member = LIVE.load(Ordering::Relaxed);
    drop(member);
    let held = with_member - LIVE.load(Ordering::Relaxed);
    drop(disk);
    println!("live data {live} bytes, held by the member {held} bytes");
    assert!(held > live / 100, "what is counted is the member's");
    assert!(held <= 2 * live + (16 << 20), "{held} bytes for {live} bytes of live data");
}
