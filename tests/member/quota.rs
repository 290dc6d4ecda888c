//! Quota and alarms, hashes, auto-compaction and long ranges on a member.

use super::*;
use seedbed::alarm;
use seedbed::member::{AutoCompaction, Costs, TraceEvent};
use seedbed::pb::etcdserverpb::{
    AlarmAction, AlarmMember, AlarmRequest, AlarmType, CompactionRequest, DeleteRangeRequest, HashKvRequest,
    LeaseGrantRequest, RangeResponse, StatusResponse,
};
use seedbed::time::SECOND;

impl Bench {
    /// Asks, and waits for the answer: some need several slices.
    pub(super) fn call(&mut self, request: Request) -> Result<Response, Error> {
        self.step(Input::Request(RequestId(77), Box::new(request)));
        for _ in 0..1000 {
            if let Some(at) = self.replies.iter().position(|(id, _)| *id == RequestId(77)) {
                return self.replies.remove(at).1;
            }
            self.now.mono += MILLISECOND;
            self.step(Input::Deadline);
        }
        panic!("no answer");
    }

    fn alarm(&mut self, action: AlarmAction, alarm: AlarmType) -> Vec<AlarmMember> {
        let member_id = self.member.id();
        let request = AlarmRequest { action: action.into(), member_id, alarm: alarm.into() };
        match self.call(Request::Alarm(request)) {
            Ok(Response::Alarm(response)) => response.alarms,
            other => panic!("{other:?}"),
        }
    }

    fn status(&mut self) -> StatusResponse {
        match self.call(Request::Status) {
            Ok(Response::Status(status)) => status,
            other => panic!("{other:?}"),
        }
    }

    fn all(&mut self, revision: i64) -> Result<RangeResponse, Error> {
        let range = RangeRequest { key: "\0".into(), range_end: "\0".into(), revision, ..RangeRequest::default() };
        match self.call(Request::Range(range))? {
            Response::Range(response) => Ok(response),
            other => panic!("{other:?}"),
        }
    }
}

fn put(key: String, bytes: usize) -> Request {
    Request::Put(PutRequest { key: key.into(), value: vec![b'v'; bytes].into(), ..PutRequest::default() })
}

fn delete_all() -> Request {
    Request::DeleteRange(DeleteRangeRequest { key: "\0".into(), range_end: "\0".into(), prev_kv: false })
}

fn compact(revision: i64) -> Request {
    Request::Compact(CompactionRequest { revision, physical: false })
}

#[test]
fn a_full_database_refuses_writes_until_an_operator_says_otherwise() {
    let mut bench = Bench::leading(Config { quota: Some(20_000), ..config(1) });
    let refused = (0..100).find(|n| bench.call(put(format!("k{n:03}"), 500)) == Err(Error::NoSpace));
    let refused = refused.expect("the quota is reached");
    assert!(refused > 10, "not before");
    assert_eq!(bench.member.alarms(), [AlarmMember { member_id: bench.member.id(), alarm: AlarmType::Nospace.into() }]);
    let named = format!("memberID:{} alarm:NOSPACE ", bench.member.id());
    assert_eq!(bench.status().errors, [named]);

    // What frees room, and what reads, goes on; room alone changes nothing.
    assert!(bench.all(0).is_ok());
    bench.call(delete_all()).expect("deletes go on");
    let head = bench.member.store().revision();
    bench.call(compact(head)).expect("compaction goes on");
    bench.wait(1_000);
    assert!(bench.status().db_size < 10_000, "there is room");
    assert_eq!(bench.call(put("a".into(), 1)), Err(Error::NoSpace));
    assert_eq!(bench.call(Request::LeaseGrant(LeaseGrantRequest { id: 1, ttl: 60 })), Err(Error::NoSpace));

    // Nor does a restart with a larger quota.
    let mut bench = Bench::start(config(1), bench.disk.get().clone(), bench.now);
    bench.wait(3_000);
    assert_eq!(bench.call(put("a".into(), 1)), Err(Error::NoSpace));
    assert_eq!(bench.alarm(AlarmAction::Get, AlarmType::None).len(), 1);
    assert_eq!(bench.alarm(AlarmAction::Deactivate, AlarmType::Nospace).len(), 1);
    assert!(bench.call(put("a".into(), 1)).is_ok());
    assert_eq!(bench.status().errors, [""; 0]);
}

#[test]
fn the_write_that_is_the_first_not_to_fit_is_applied_and_its_client_hears_that_it_was_not() {
    let mut bench = Bench::leading(Config { quota: Some(2_000), ..config(1) });
    // Both are proposed while there is room for either, and applied when there is none for the second.
    let mut fx = Effects::default();
    for id in [1, 2] {
        bench.member.step(bench.now, Input::Request(RequestId(id), Box::new(put(format!("k{id}"), 1_000))), &mut fx);
    }
    let mut done: Vec<Input> = fx.disk.drain(..).map(|op| Input::Disk(bench.disk.get().apply(&op))).collect();
    bench.replies.append(&mut fx.replies);
    done.drain(..).for_each(|input| bench.step(input));
    bench.wait(100);
    bench.replies.sort_by_key(|(id, _)| *id);
    assert!(bench.replies[0].1.is_ok(), "{:?}", bench.replies);
    assert_eq!(bench.replies[1].1, Err(Error::NoSpace));
    assert!(!Error::NoSpace.certainly_not_executed());
    bench.replies.clear();
    assert_eq!(bench.all(0).expect("reads go on").count, 2);
}

#[test]
fn a_corrupt_cluster_refuses_what_changes_data_and_serves_reads() {
    let mut bench = Bench::leading(config(1));
    bench.call(put("a".into(), 1)).expect("a write");
    assert_eq!(bench.alarm(AlarmAction::Activate, AlarmType::Corrupt).len(), 1);
    for request in [put("a".into(), 1), delete_all(), compact(1)] {
        assert_eq!(bench.call(request), Err(Error::Corrupt));
    }
    assert_eq!(bench.all(0).expect("reads go on").count, 1);
    bench.alarm(AlarmAction::Deactivate, AlarmType::Corrupt);
    assert!(bench.call(put("a".into(), 1)).is_ok());
}

#[test]
fn costs_are_etcds() {
    assert_eq!(alarm::cost_of_grant(), 64);
    let put = PutRequest { key: "ab".into(), value: "cde".into(), ..PutRequest::default() };
    assert_eq!(alarm::cost_of_put(&put), 261);
}

#[test]
fn hashes_of_keys_are_the_stores_and_what_is_compacted_has_none() {
    let mut bench = Bench::leading(config(1));
    (0..2_500).for_each(|n| drop(bench.call(put(format!("k{:03}", n % 700), 8))));
    bench.call(compact(1_000)).expect("a compaction");
    bench.wait(1_000);
    for revision in [0, 1_001, 2_000] {
        let expected = bench.member.store().hash_kv(revision).expect("it is there");
        match bench.call(Request::HashKv(HashKvRequest { revision })) {
            Ok(Response::HashKv(found)) => {
                assert_eq!((found.hash, found.compact_revision), (expected.hash, expected.compact_revision));
            }
            other => panic!("{other:?}"),
        }
    }
    let hash = |bench: &mut Bench, revision| bench.call(Request::HashKv(HashKvRequest { revision })).unwrap_err();
    assert_eq!(hash(&mut bench, 1_000), Error::Compacted);
    assert_eq!(hash(&mut bench, 9_999), Error::FutureRevision);
}

#[test]
fn a_long_range_shows_one_revision_whatever_is_written_or_compacted_meanwhile() {
    let mut bench = Bench::leading(Config { costs: Some(Costs::SERVER), compaction_batch: 100, ..config(1) });
    (0..2_000).for_each(|n| drop(bench.call(put(format!("k{n:04}"), 8))));
    let (before, head) = (bench.all(0).expect("a range"), bench.member.store().revision());
    let range = RangeRequest { key: "\0".into(), range_end: "\0".into(), ..RangeRequest::default() };
    bench.step(Input::Request(RequestId(5), Box::new(Request::Range(range))));
    assert!(bench.replies.is_empty(), "it takes several slices");
    for (id, request) in [(6, delete_all()), (7, put("k0000".into(), 1)), (8, compact(head + 2))] {
        bench.step(Input::Request(RequestId(id), Box::new(request)));
    }
    while !bench.replies.iter().any(|(id, _)| *id == RequestId(5)) {
        bench.now.mono += MILLISECOND / 10;
        bench.step(Input::Deadline);
    }
    let at = bench.replies.iter().position(|(id, _)| *id == RequestId(5)).expect("just seen");
    match bench.replies.remove(at).1 {
        Ok(Response::Range(found)) => {
            assert_eq!((found.kvs, found.count), (before.kvs, 2_000));
            assert_eq!(found.header.expect("a header").revision, head);
        }
        other => panic!("{other:?}"),
    }
    bench.wait(2_000);
    assert!(!bench.member.store().compacting(), "when nobody reads it any more, it goes");
    assert_eq!(bench.all(0).expect("a range").count, 1);
    assert_eq!(bench.all(head), Err(Error::Compacted));
}

#[test]
fn by_time_the_leader_forgets_what_is_older_than_the_period_once_in_a_period() {
    let period = 10 * SECOND;
    let mut bench = Bench::leading(Config { auto_compaction: Some(AutoCompaction::Periodic(period)), ..config(1) });
    let mut compacted = Vec::new();
    // One revision a second; leading took three seconds.
    for second in 3..34 {
        bench.call(put("a".into(), 1)).expect("a write");
        bench.wait(1_000);
        let revision = bench.member.store().compact_revision();
        if compacted.last().is_none_or(|(_, last)| *last != revision) {
            compacted.push((second, revision));
        }
    }
    let head = bench.member.store().revision();
    assert_eq!(compacted.len(), 4, "never before the period is over, then once in a period: {compacted:?}");
    assert_eq!(compacted[0], (3, 0));
    let (_, last) = compacted[3];
    assert!((head - 20..head - 9).contains(&last), "{compacted:?}, head {head}");
}

#[test]
fn by_revisions_the_leader_keeps_so_many_and_looks_every_five_minutes() {
    let mut bench = Bench::leading(Config { auto_compaction: Some(AutoCompaction::Revisions(10)), ..config(1) });
    (0..50).for_each(|_| drop(bench.call(put("a".into(), 1))));
    bench.wait(200_000);
    assert_eq!(bench.member.store().compact_revision(), 0);
    bench.wait(101_000);
    let head = bench.member.store().revision();
    assert_eq!(bench.member.store().compact_revision(), head - 10);
}

#[test]
fn an_alarm_is_told_once_by_the_entry_that_raised_it() {
    let mut bench = Bench::leading(config(1));
    let member_id = bench.member.id();
    let action = AlarmAction::Activate.into();
    let request = AlarmRequest { action, member_id, alarm: AlarmType::Corrupt.into() };
    let (mut told, mut inputs) = (Vec::new(), vec![Input::Request(RequestId(1), Box::new(Request::Alarm(request)))]);
    while let Some(input) = inputs.pop() {
        let mut fx = Effects::default();
        bench.member.step(bench.now, input, &mut fx);
        told.extend(fx.trace.into_iter().filter(|event| matches!(event, TraceEvent::Alarm { .. })));
        inputs.extend(fx.disk.iter().map(|op| Input::Disk(bench.disk.get().apply(op))));
    }
    let index = bench.member.store().consistent_index();
    assert_eq!(told, [TraceEvent::Alarm { index, member: member_id, alarm: AlarmType::Corrupt, raised: true }]);
}
