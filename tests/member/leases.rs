//! Leases on a member: time, keys, restarts.

use super::*;
use seedbed::lease;
use seedbed::member::{LeaseAnswer, LeaseQuestion, PeerMessage};
use seedbed::pb::etcdserverpb::{LeaseGrantRequest, LeaseKeepAliveRequest, LeaseRevokeRequest, LeaseTimeToLiveRequest};
use seedbed::raft::{Body, Message};

impl Bench {
    fn ask(&mut self, request: Request) -> Result<Response, Error> {
        self.step(Input::Request(RequestId(1), Box::new(request)));
        let (id, reply) = self.replies.pop().expect("an answer");
        assert_eq!((id, self.replies.len()), (RequestId(1), 0));
        reply
    }

    fn grant(&mut self, id: i64, ttl: i64) -> Result<(i64, i64), Error> {
        match self.ask(Request::LeaseGrant(LeaseGrantRequest { id, ttl }))? {
            Response::LeaseGrant(response) => Ok((response.id, response.ttl)),
            other => panic!("{other:?}"),
        }
    }

    fn keep_alive(&mut self, id: i64) -> i64 {
        match self.ask(Request::LeaseKeepAlive(LeaseKeepAliveRequest { id })) {
            Ok(Response::LeaseKeepAlive(response)) => response.ttl,
            other => panic!("{other:?}"),
        }
    }

    fn ttl(&mut self, id: i64) -> (i64, Vec<Bytes>) {
        match self.ask(Request::LeaseTimeToLive(LeaseTimeToLiveRequest { id, keys: true })) {
            Ok(Response::LeaseTimeToLive(response)) => (response.ttl, response.keys),
            other => panic!("{other:?}"),
        }
    }

    fn put_with(&mut self, key: &'static str, lease: i64) -> Result<Response, Error> {
        let put = PutRequest { key: key.into(), value: "v".into(), lease, ..PutRequest::default() };
        self.ask(Request::Put(put))
    }
}

#[test]
fn keys_live_as_long_as_their_lease_is_kept_alive() {
    let mut bench = Bench::leading(config(1));
    assert_eq!(bench.put_with("a", 7), Err(Error::LeaseNotFound));
    assert_eq!(bench.grant(7, 5), Ok((7, 5)));
    assert_eq!(bench.grant(7, 5), Err(Error::LeaseExists));
    assert_eq!(bench.grant(8, lease::TTL_MAX + 1), Err(Error::LeaseTtlTooLarge));
    bench.put_with("b", 7).unwrap();
    bench.put_with("a", 7).unwrap();
    bench.put_with("c", 7).unwrap();
    bench.put_with("c", 0).unwrap();
    for _ in 0..3 {
        bench.wait(4000);
        assert_eq!(bench.keep_alive(7), 5);
    }
    assert_eq!(bench.ttl(7), (5, vec!["a".into(), "b".into()]));
    let revision = bench.member.store().revision();
    bench.wait(4400);
    assert_eq!(bench.get(2, "a"), Some("v".into()), "never too early");
    bench.wait(1200);
    assert_eq!((bench.get(2, "a"), bench.get(2, "b"), bench.get(2, "c")), (None, None, Some("v".into())));
    assert_eq!(bench.member.store().revision(), revision + 1, "all keys go in one revision");
    assert_eq!((bench.keep_alive(7), bench.ttl(7).0), (0, -1), "there is no such lease");
}

#[test]
fn a_lease_without_an_id_gets_one_and_a_short_one_the_minimum() {
    let mut bench = Bench::leading(config(1));
    let (id, ttl) = bench.grant(0, 1).unwrap();
    assert!(id > 0);
    assert_eq!(ttl, 2, "one and a half election timeouts, in whole seconds");
    let revoke = || Request::LeaseRevoke(LeaseRevokeRequest { id });
    assert!(bench.ask(revoke()).is_ok());
    assert_eq!(bench.ask(revoke()), Err(Error::LeaseNotFound));
    assert!(matches!(bench.ask(Request::LeaseLeases), Ok(Response::LeaseLeases(all)) if all.leases.is_empty()));
}

#[test]
fn a_restart_knows_the_leases_and_begins_them_anew() {
    let mut bench = Bench::leading(config(1));
    bench.grant(-7, 10).unwrap();
    bench.put_with("a", -7).unwrap();
    bench.wait(8000);
    let disk = bench.disk.get().clone();
    let mut bench = Bench::start(config(1), disk, bench.now);
    bench.step(Input::Request(RequestId(1), Box::new(Request::LeaseKeepAlive(LeaseKeepAliveRequest { id: -7 }))));
    assert_eq!(bench.replies, [], "it waits for a leader");
    bench.wait(3000);
    let (_, renewed) = bench.replies.pop().expect("an answer");
    assert!(matches!(renewed, Ok(Response::LeaseKeepAlive(renewal)) if renewal.ttl == 10), "it leads");
    bench.wait(1000);
    let (ttl, keys) = bench.ttl(-7);
    assert!((7..=9).contains(&ttl), "a full life from the keepalive on: {ttl}");
    assert_eq!(keys, ["a"]);
    bench.wait(12_000);
    assert_eq!(bench.get(2, "a"), None);
}

#[test]
fn what_is_left_is_written_down_and_cleared_by_a_keepalive() {
    let config = Config { lease_checkpoint: Some(3 * seedbed::time::SECOND), ..config(1) };
    let mut bench = Bench::leading(config.clone());
    bench.grant(7, 20).unwrap();
    bench.wait(10_000);
    let disk = bench.disk.get().clone();
    let mut again = Bench::start(config.clone(), disk, bench.now);
    again.wait(3000);
    let (ttl, _) = again.ttl(7);
    assert!((9..=13).contains(&ttl), "it goes on where the last checkpoint was: {ttl}");
    assert_eq!(bench.keep_alive(7), 20);
    let mut again = Bench::start(config, bench.disk.get().clone(), bench.now);
    again.wait(3000);
    assert!(again.ttl(7).0 >= 18, "the keepalive took the checkpoint back: {:?}", again.ttl(7));
}

/// A follower of n2 in a cluster of three, and what it asks of its leader for a client.
fn follower() -> (Bench, u64, Effects) {
    let config = config(3);
    let leader = config.initial_cluster[1].id;
    let mut bench = Bench::start(config.clone(), MemDisk::new(), Now::default());
    let body = Body::Heartbeat { commit: 0, read_ctx: 0 };
    bench.step(Input::Message(Message { from: leader, to: config.id, term: 2, body }));
    (bench, leader, Effects::default())
}

fn the_question(fx: &Effects, leader: u64) -> u64 {
    match fx.peers[..] {
        [(to, PeerMessage::LeaseAsk { number, about: LeaseQuestion::KeepAlive(7) })] if to == leader => number,
        ref other => panic!("{other:?}"),
    }
}

#[test]
fn a_follower_sends_a_keepalive_on_and_asks_again_until_it_has_an_answer() {
    let (mut bench, leader, mut fx) = follower();
    let asked = Request::LeaseKeepAlive(LeaseKeepAliveRequest { id: 7 });
    bench.member.step(bench.now, Input::Request(RequestId(1), Box::new(asked)), &mut fx);
    let number = the_question(&fx, leader);
    let mut later = |bench: &mut Bench, ms: u64, input| {
        bench.now.mono += ms * MILLISECOND;
        fx.clear();
        bench.member.step(bench.now, input, &mut fx);
        (std::mem::take(&mut fx.peers), std::mem::take(&mut fx.replies))
    };
    assert_eq!(later(&mut bench, 400, Input::Deadline), (vec![], vec![]), "it waits for the answer");
    assert_eq!(later(&mut bench, 200, Input::Deadline).0.len(), 1, "which does not come");
    let answer = |answer| Input::Peer(leader, PeerMessage::LeaseAnswer { number, answer });
    assert_eq!(later(&mut bench, 1, answer(None)), (vec![], vec![]), "the leader cannot tell yet");
    assert_eq!(later(&mut bench, 60, Input::Deadline).0.len(), 1, "so it is asked again");
    let (_, replies) = later(&mut bench, 1, answer(Some(LeaseAnswer::Renewed(5))));
    assert!(matches!(&replies[..], [(RequestId(1), Ok(Response::LeaseKeepAlive(renewal)))] if renewal.ttl == 5));
    let (_, replies) = later(&mut bench, 1, answer(Some(LeaseAnswer::Renewed(5))));
    assert_eq!(replies, [], "a late answer answers nothing");
}

#[test]
fn a_member_that_does_not_lead_tells_its_peers_to_ask_again_and_sends_nothing_on() {
    let (mut bench, _, mut fx) = follower();
    let about = LeaseQuestion::TimeToLive(7);
    let other = config(3).initial_cluster[2].id;
    bench.member.step(bench.now, Input::Peer(other, PeerMessage::LeaseAsk { number: 9, about }), &mut fx);
    assert_eq!(fx.peers, [(other, PeerMessage::LeaseAnswer { number: 9, answer: None })]);
}
