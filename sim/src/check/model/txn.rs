//! Transactions: comparisons first, then one of two lists of operations.

use super::range::Interval;
use super::state::{State, Step};
use super::{Refusal, Reply};
use seedbed::pb::etcdserverpb::compare::TargetUnion;
use seedbed::pb::etcdserverpb::request_op::Request as Op;
use seedbed::pb::etcdserverpb::{Compare, CompareResult, CompareTarget, TxnRequest};
use seedbed::pb::mvccpb::KeyValue;
use std::cmp::Ordering;

/// A transaction whose comparisons are decided.
struct Decided<'r> {
    succeeded: bool,
    ops: Vec<DecidedOp<'r>>,
}

enum DecidedOp<'r> {
    Plain(Option<&'r Op>),
    Nested(Decided<'r>),
}

impl Step<'_> {
    pub(super) fn txn(&mut self, txn: &TxnRequest) -> Result<Reply, Refusal> {
        let decided = decide(self.state, txn)?;
        Ok(self.run_branch(&decided))
    }

    fn run_branch(&mut self, Decided { succeeded, ops }: &Decided<'_>) -> Reply {
        let reply = |op: &DecidedOp<'_>| match op {
            DecidedOp::Plain(Some(Op::RequestRange(range))) => self.range(range),
            DecidedOp::Plain(Some(Op::RequestPut(put))) => self.put(put),
            DecidedOp::Plain(Some(Op::RequestDeleteRange(delete))) => self.delete_range(delete),
            DecidedOp::Plain(Some(Op::RequestTxn(_))) => panic!("invariant: a nested transaction was decided"),
            DecidedOp::Plain(None) => Reply::Nothing,
            DecidedOp::Nested(nested) => self.run_branch(nested),
        };
        Reply::Txn { succeeded: *succeeded, replies: ops.iter().map(reply).collect() }
    }
}

/// Decides every comparison, and finds what would fail, while nothing has changed yet.
fn decide<'r>(state: &State, txn: &'r TxnRequest) -> Result<Decided<'r>, Refusal> {
    let succeeded = txn.compare.iter().all(|compare| holds(state, compare));
    let branch = if succeeded { &txn.success } else { &txn.failure };
    let mut ops = Vec::new();
    for op in branch {
        match &op.request {
            Some(Op::RequestTxn(nested)) => {
                ops.push(DecidedOp::Nested(decide(state, nested)?));
                continue;
            }
            Some(Op::RequestRange(range)) => state.check_revision(range.revision)?,
            Some(Op::RequestPut(put)) => state.check_put(put)?,
            Some(Op::RequestDeleteRange(_)) | None => {}
        }
        ops.push(DecidedOp::Plain(op.request.as_ref()));
    }
    Ok(Decided { succeeded, ops })
}

/// Whether a comparison holds for everything that lives in its interval.
fn holds(state: &State, compare: &Compare) -> bool {
    let interval = Interval::of(&compare.key, &compare.range_end);
    let mut live = state.keys.values().filter(|kv| interval.contains(&kv.key)).peekable();
    if live.peek().is_none() {
        // The wire cannot tell an absent value from an empty one; nothing compares with it.
        return compare.target != CompareTarget::Value as i32 && compares(compare, &KeyValue::default());
    }
    live.all(|kv| compares(compare, kv))
}

fn compares(compare: &Compare, kv: &KeyValue) -> bool {
    let number = match compare.target_union {
        Some(TargetUnion::Version(n) | TargetUnion::CreateRevision(n) | TargetUnion::ModRevision(n)) => n,
        Some(TargetUnion::Lease(n)) => n,
        Some(TargetUnion::Value(_)) | None => 0,
    };
    let ordering = match CompareTarget::try_from(compare.target) {
        Ok(CompareTarget::Version) => kv.version.cmp(&number),
        Ok(CompareTarget::Create) => kv.create_revision.cmp(&number),
        Ok(CompareTarget::Mod) => kv.mod_revision.cmp(&number),
        Ok(CompareTarget::Lease) => kv.lease.cmp(&number),
        Ok(CompareTarget::Value) => match &compare.target_union {
            Some(TargetUnion::Value(value)) => kv.value.cmp(value),
            _ => kv.value.as_ref().cmp(b""),
        },
        Err(_) => return false,
    };
    match CompareResult::try_from(compare.result) {
        Ok(CompareResult::Equal) => ordering == Ordering::Equal,
        Ok(CompareResult::Greater) => ordering == Ordering::Greater,
        Ok(CompareResult::Less) => ordering == Ordering::Less,
        Ok(CompareResult::NotEqual) => ordering != Ordering::Equal,
        Err(_) => false,
    }
}
