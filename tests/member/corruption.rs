//! The corruption check of one member of three, with the others' answers made by hand.

use super::*;
use seedbed::member::{PeerHash, PeerMessage, StopReason};
use seedbed::mvcc::HashKv;

/// Member n1 of three comes back and asks the others for their hashes; nothing is led, and nothing written.
fn returned() -> (Bench, Effects) {
    let config = Config { initial_corrupt_check: true, ..config(3) };
    let mut first = Bench::start(config.clone(), MemDisk::new(), Now::default());
    first.wait(100);
    let (disk, mut fx) = (Shared::new(first.disk.get().clone()), Effects::default());
    let member = Member::open(config, first.now, &disk.reader(), &mut fx).expect("a legal image");
    let now = Now { mono: first.now.mono + MILLISECOND, ..first.now };
    let mut bench = Bench { member, disk, now, replies: Vec::new(), watched: Vec::new() };
    fx.disk.drain(..).for_each(|op| drop(bench.disk.get().apply(&op)));
    bench.member.step(now, Input::Deadline, &mut fx);
    (bench, fx)
}

fn ask(bench: &mut Bench, fx: &mut Effects) {
    fx.clear();
    let range = RangeRequest { key: "a".into(), serializable: true, ..RangeRequest::default() };
    bench.member.step(bench.now, Input::Request(RequestId(5), Box::new(Request::Range(range))), fx);
}

/// Answers each question; `wrong` says whether the first answer differs.
fn answer(bench: &mut Bench, fx: &mut Effects, asked: Vec<(u64, PeerMessage)>, wrong: bool) {
    let own = bench.member.store().hash_kv(0).expect("a hash");
    for (nth, (peer, question)) in asked.into_iter().enumerate() {
        let PeerMessage::HashKv { number, revision } = question else { panic!("{question:?}") };
        assert_eq!(revision, own.revision);
        let hash = HashKv { hash: own.hash ^ u32::from(wrong && nth == 0), ..own };
        let answer = Some(PeerHash { hash, newest: revision });
        fx.clear();
        bench.member.step(bench.now, Input::Peer(peer, PeerMessage::HashKvResp { number, answer }), fx);
    }
}

#[test]
fn whoever_comes_back_with_the_others_data_serves_once_it_knows() {
    let (mut bench, mut fx) = returned();
    let asked = std::mem::take(&mut fx.peers);
    assert_eq!(asked.len(), 2);
    ask(&mut bench, &mut fx);
    assert_eq!(fx.replies, [], "clients wait");
    answer(&mut bench, &mut fx, asked, false);
    assert_eq!(fx.stop, None);
    assert!(matches!(fx.replies[..], [(RequestId(5), Ok(Response::Range(_)))]), "{:?}", fx.replies);
}

#[test]
fn whoever_comes_back_with_other_data_stops_before_it_serves() {
    let (mut bench, mut fx) = returned();
    let asked = std::mem::take(&mut fx.peers)[..1].to_vec();
    ask(&mut bench, &mut fx);
    answer(&mut bench, &mut fx, asked, true);
    assert_eq!(fx.stop, None, "the other has not answered");
    fx.clear();
    bench.now.mono += 6_000 * MILLISECOND;
    bench.member.step(bench.now, Input::Deadline, &mut fx);
    assert_eq!(fx.stop, Some(StopReason::Corrupt));
    assert_eq!(fx.replies, []);
}

#[test]
fn without_any_answer_it_serves_after_five_seconds() {
    let (mut bench, mut fx) = returned();
    ask(&mut bench, &mut fx);
    fx.clear();
    bench.now.mono += 4_900 * MILLISECOND;
    bench.member.step(bench.now, Input::Deadline, &mut fx);
    assert_eq!(fx.replies, []);
    bench.now.mono += 200 * MILLISECOND;
    fx.clear();
    bench.member.step(bench.now, Input::Deadline, &mut fx);
    assert!(matches!(fx.replies[..], [(RequestId(5), Ok(_))]), "{:?}", fx.replies);
}

#[test]
fn a_question_is_answered_with_the_hash_at_its_revision_or_with_none() {
    let mut bench = Bench::leading(config(1));
    bench.put(1, "a", "1");
    bench.put(2, "a", "2");
    for (revision, is_there) in [(2, true), (3, true), (4, false)] {
        let question = PeerMessage::HashKv { number: 9, revision };
        let (mut fx, expected) = (Effects::default(), bench.member.store().hash_kv(revision).ok());
        bench.now.mono += MILLISECOND;
        bench.member.step(bench.now, Input::Peer(42, question), &mut fx);
        let answer = expected.map(|hash| PeerHash { hash, newest: 3 });
        assert_eq!(answer.is_some(), is_there);
        assert_eq!(fx.peers, [(42, PeerMessage::HashKvResp { number: 9, answer })]);
    }
}
