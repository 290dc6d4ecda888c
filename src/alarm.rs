//! Alarms: what is wrong with a member and concerns all of them (lessons 03, 12 and 13).
//!
//! ```text
//!   NOSPACE   a member's database has reached its quota    puts and grants are refused; what frees room goes on
//!   CORRUPT   a member's data differs from the others'     whatever would change or compact data is refused; reads go on
//! ```
//!
//! An alarm is raised and taken back *through the log*, so that all members refuse from the same entry on: a database's
//! size differs from member to member, and a member that refused by its own would have other data than the rest. For the
//! same reason nothing but an operator takes an alarm back, however much room there is again.
//!
//! A record of the bucket `alarm` is an `AlarmMember` as its key, with nothing as its value.
//!
//! Left out: one thing that etcd does. There an alarm puts an applier in the place of the whole chain of them, and the one
//! that was raised last counts alone until a restart; and that chain had the one that asks for permissions in it. Here
//! CORRUPT counts before NOSPACE, whichever came last.

use crate::backend::{BackendError, Bucket, Engine, Record};
use crate::pb::etcdserverpb::request_op::Request as Op;
use crate::pb::etcdserverpb::{
    AlarmAction, AlarmMember, AlarmRequest, AlarmType, InternalRaftRequest, PutRequest, RequestOp, TxnRequest,
};
use crate::raft::NodeId;
use bytes::Bytes;
use prost::Message as _;
use std::collections::BTreeSet;

/// The alarms that are raised.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Alarms {
    /// Kind and member.
    raised: BTreeSet<(AlarmType, NodeId)>,
}

/// Why an entry is not applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// NOSPACE is raised.
    NoSpace,
    /// CORRUPT is raised.
    Corrupt,
}

impl Alarms {
    /// Reads the records of a database. An error names the record: the database is damaged.
    pub fn load(engine: &dyn Engine) -> Result<Alarms, BackendError> {
        let mut alarms = Alarms::default();
        let mut result = Ok(());
        engine.range(Bucket::Alarm, &[], None, &mut |key, _| {
            match AlarmMember::decode(key).map(|member| (AlarmType::try_from(member.alarm), member.member_id)) {
                Ok((Ok(alarm), member)) => drop(alarms.raised.insert((alarm, member))),
                _ => {
                    result = Err(BackendError::Record {
                        bucket: Bucket::Alarm.name(),
                        key: key.iter().map(|byte| format!("{byte:02x}")).collect(),
                        expected: "an AlarmMember of a known kind".to_owned(),
                    });
                }
            }
            result.is_ok()
        })?;
        result.map(|()| alarms)
    }

    /// Whether anybody has raised it.
    pub fn on(&self, alarm: AlarmType) -> bool {
        self.raised.iter().any(|(raised, _)| *raised == alarm)
    }

    /// Whether this member has raised it.
    pub fn raised_by(&self, alarm: AlarmType, member: NodeId) -> bool {
        self.raised.contains(&(alarm, member))
    }

    /// Those of a kind, by member; of every kind for [`AlarmType::None`].
    pub fn get(&self, alarm: AlarmType) -> Vec<AlarmMember> {
        let wanted = self.raised.iter().filter(|(raised, _)| alarm == AlarmType::None || *raised == alarm);
        wanted.map(|(alarm, member)| AlarmMember { member_id: *member, alarm: (*alarm).into() }).collect()
    }

    /// Does what a request asks. Returns the alarms that answer it, and what to write down.
    pub fn execute(&mut self, request: &AlarmRequest) -> (Vec<AlarmMember>, Option<Record>) {
        let alarm = AlarmType::try_from(request.alarm).unwrap_or(AlarmType::None);
        let this = AlarmMember { member_id: request.member_id, alarm: alarm.into() };
        match AlarmAction::try_from(request.action) {
            Ok(AlarmAction::Get) => (self.get(alarm), None),
            Ok(AlarmAction::Activate) => {
                let is_new = self.raised.insert((alarm, request.member_id));
                (vec![this], is_new.then(|| record(this, Some(Bytes::new()))))
            }
            Ok(AlarmAction::Deactivate) if self.raised.remove(&(alarm, request.member_id)) => {
                (vec![this], Some(record(this, None)))
            }
            Ok(AlarmAction::Deactivate) | Err(_) => (Vec::new(), None),
        }
    }

    /// Whether the alarms keep a request from being applied. The answer is the same at every member.
    pub fn refuse(&self, request: &InternalRaftRequest) -> Option<Refusal> {
        if self.raised.is_empty() {
            return None;
        }
        if self.on(AlarmType::Corrupt) {
            changes(request).then_some(Refusal::Corrupt)
        } else {
            (self.on(AlarmType::Nospace) && cost(request) > 0).then_some(Refusal::NoSpace)
        }
    }
}

/// Whether a request would change keys or leases, or forget history.
fn changes(request: &InternalRaftRequest) -> bool {
    fn writes(txn: &TxnRequest) -> bool {
        txn.success.iter().chain(&txn.failure).any(|op| match &op.request {
            Some(Op::RequestPut(_) | Op::RequestDeleteRange(_)) => true,
            Some(Op::RequestTxn(nested)) => writes(nested),
            Some(Op::RequestRange(_)) | None => false,
        })
    }
    request.put.is_some()
        || request.delete_range.is_some()
        || request.txn.as_ref().is_some_and(writes)
        || request.compaction.is_some()
        || request.lease_grant.is_some()
        || request.lease_revoke.is_some()
}

fn record(member: AlarmMember, value: Option<Bytes>) -> Record {
    Record { bucket: Bucket::Alarm, key: member.encode_to_vec().into(), value }
}

/// What etcd reckons a pair to need besides its key and value.
const PAIR: u64 = 256;
/// What a lease needs.
const LEASE: u64 = 64;

/// Bytes that a request will add to the database at most, as etcd reckons them; 0 for one that adds none.
pub fn cost(request: &InternalRaftRequest) -> u64 {
    match request {
        InternalRaftRequest { put: Some(put), .. } => cost_of_put(put),
        InternalRaftRequest { txn: Some(txn), .. } => cost_of_txn(txn),
        InternalRaftRequest { lease_grant: Some(_), .. } => LEASE,
        _ => 0,
    }
}

/// See [`cost`].
pub fn cost_of_put(put: &PutRequest) -> u64 {
    PAIR + (put.key.len() + put.value.len()) as u64
}

/// See [`cost`]. Of the two branches the dearer one counts; puts of transactions nested in it etcd does not see.
pub fn cost_of_txn(txn: &TxnRequest) -> u64 {
    let branch = |ops: &[RequestOp]| -> u64 {
        let puts = ops.iter().filter_map(|op| match &op.request {
            Some(Op::RequestPut(put)) => Some(cost_of_put(put)),
            _ => None,
        });
        puts.sum()
    };
    branch(&txn.success).max(branch(&txn.failure))
}

/// See [`cost`].
pub fn cost_of_grant() -> u64 {
    LEASE
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Memory;
    use crate::pb::etcdserverpb::{DeleteRangeRequest, LeaseGrantRequest, RangeRequest};

    fn ask(action: AlarmAction, member_id: NodeId, alarm: AlarmType) -> AlarmRequest {
        AlarmRequest { action: action.into(), member_id, alarm: alarm.into() }
    }

    fn kept(engine: &mut Memory, Record { bucket, key, value }: Record) {
        engine.begin();
        match value {
            Some(value) => engine.put(bucket, key, value),
            None => engine.delete(bucket, &key),
        }
        .expect("memory does not fail");
        engine.commit();
    }

    #[test]
    fn what_is_raised_stays_until_it_is_taken_back_and_is_found_again() {
        let (mut alarms, mut engine) = (Alarms::default(), Memory::new());
        for (member, alarm) in [(7, AlarmType::Nospace), (3, AlarmType::Corrupt), (7, AlarmType::Corrupt)] {
            let (answer, record) = alarms.execute(&ask(AlarmAction::Activate, member, alarm));
            assert_eq!(answer, [AlarmMember { member_id: member, alarm: alarm.into() }]);
            kept(&mut engine, record.expect("it is new"));
            assert_eq!(Alarms::load(&engine).as_ref(), Ok(&alarms));
        }
        let (answer, record) = alarms.execute(&ask(AlarmAction::Activate, 7, AlarmType::Nospace));
        assert_eq!((answer.len(), record), (1, None), "raised already");
        let (all, _) = alarms.execute(&ask(AlarmAction::Get, 0, AlarmType::None));
        let all: Vec<_> = all.iter().map(|member| (member.alarm, member.member_id)).collect();
        assert_eq!(all, [(1, 7), (2, 3), (2, 7)]);

        let (answer, record) = alarms.execute(&ask(AlarmAction::Deactivate, 3, AlarmType::Corrupt));
        kept(&mut engine, record.expect("it was raised"));
        assert_eq!(answer.len(), 1);
        assert!(alarms.on(AlarmType::Corrupt), "another member's is still there");
        let nothing = alarms.execute(&ask(AlarmAction::Deactivate, 3, AlarmType::Corrupt));
        assert_eq!(nothing, (Vec::new(), None));
        assert_eq!(Alarms::load(&engine), Ok(alarms));
    }

    #[test]
    fn a_record_that_is_no_alarm_is_named() {
        for key in [&b"\xff"[..], b"\x08\x07\x10\x09"] {
            let mut engine = Memory::new();
            let key = Bytes::from_static(key);
            kept(&mut engine, Record { bucket: Bucket::Alarm, key, value: Some(Bytes::new()) });
            let error = Alarms::load(&engine).expect_err("not an alarm").to_string();
            assert!(error.contains("alarm"), "{error}");
        }
    }

    #[test]
    fn each_alarm_refuses_what_it_must_and_lets_the_rest_through() {
        let put = || PutRequest { key: "k".into(), value: "vv".into(), ..PutRequest::default() };
        let op = |request: Op| RequestOp { request: Some(request) };
        let with_put = TxnRequest { failure: vec![op(Op::RequestPut(put()))], ..TxnRequest::default() };
        let nested = TxnRequest { success: vec![op(Op::RequestTxn(with_put.clone()))], ..TxnRequest::default() };
        let none = InternalRaftRequest::default;
        let delete = InternalRaftRequest { delete_range: Some(DeleteRangeRequest::default()), ..none() };
        let grow = [
            (InternalRaftRequest { put: Some(put()), ..none() }, 259),
            (InternalRaftRequest { txn: Some(with_put), ..none() }, 259),
            (InternalRaftRequest { lease_grant: Some(LeaseGrantRequest::default()), ..none() }, 64),
        ];
        let reads =
            TxnRequest { success: vec![op(Op::RequestRange(RangeRequest::default()))], ..TxnRequest::default() };
        let reads = InternalRaftRequest { txn: Some(reads), ..none() };
        let free = [delete.clone(), InternalRaftRequest { txn: Some(nested), ..none() }];
        let mut alarms = Alarms::default();
        assert!(grow.iter().all(|(request, bytes)| cost(request) == *bytes && alarms.refuse(request).is_none()));
        alarms.execute(&ask(AlarmAction::Activate, 1, AlarmType::Nospace));
        assert!(grow.iter().all(|(request, _)| alarms.refuse(request) == Some(Refusal::NoSpace)));
        assert!(free.iter().all(|request| alarms.refuse(request).is_none()));
        alarms.execute(&ask(AlarmAction::Activate, 1, AlarmType::Corrupt));
        assert_eq!(alarms.refuse(&delete), Some(Refusal::Corrupt));
        assert_eq!(alarms.refuse(&reads), None);
        let alarm = InternalRaftRequest { alarm: Some(ask(AlarmAction::Deactivate, 1, AlarmType::Corrupt)), ..none() };
        assert_eq!(alarms.refuse(&alarm), None, "or nobody could ever take it back");
    }
}
