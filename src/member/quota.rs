//! The quota (lesson 13): how large the database may become, and what happens when it has.
//!
//! ```text
//!   a write comes ──▶ does it fit? ──▶ proposed ──▶ applied ──▶ does it fit? ──▶ answered
//!                        │ no                                      │ no: it is applied all the same
//!                        └────────▶ raise NOSPACE through the log ◀┘
//!                                      └─ applied ──▶ whoever waited hears: database space exceeded
//! ```
//!
//! The size is that of the file, free pages included: after deleting everything it is still as large, and only a
//! defragmentation makes it smaller. Sizes differ between members, so what one of them thinks must not decide what an
//! entry does. It decides what the member proposes, and whether it raises the alarm; the alarm, which all members apply at
//! the same entry, decides the rest (`crate::alarm`). The first write that does not fit is therefore applied, and its
//! client is told that it was not: one more answer that does not say what happened.
//!
//! Nothing takes the alarm back but an operator, whether room was made or the quota raised.
//!
//! Left out: etcd proposes the alarm again for every write that does not fit; here those that come while it is on its
//! way wait for the same one.

use super::{Effects, Member};
use crate::alarm;
use crate::api::{Error, Request, RequestId};
use crate::apply;
use crate::pb::etcdserverpb::{AlarmAction, AlarmRequest, AlarmType};
use crate::raft::{EntryKind, NodeId};
use crate::time::{Nanos, Now};

#[derive(Debug, Default)]
pub(super) struct Quota {
    /// The alarm that this member has proposed: its number, and how long it is waited for.
    raising: Option<(u64, Nanos)>,
    /// Who hears when it is raised.
    refused: Vec<RequestId>,
}

impl Quota {
    pub(super) fn wake_at(&self) -> Nanos {
        self.raising.map_or(Nanos::MAX, |(_, deadline)| deadline)
    }

    /// The entry of this number was applied.
    pub(super) fn applied(&mut self, number: u64, fx: &mut Effects) {
        if self.raising.is_some_and(|(raising, _)| raising == number) {
            self.settle(fx);
        }
    }

    /// The alarm is raised, or it is given up.
    fn settle(&mut self, fx: &mut Effects) {
        self.raising = None;
        fx.replies.extend(self.refused.drain(..).map(|id| (id, Err(Error::NoSpace))));
    }
}

/// What a client's request is reckoned to add.
pub(super) fn cost_of(request: &Request) -> u64 {
    match request {
        Request::Put(put) => alarm::cost_of_put(put),
        Request::Txn(txn) => alarm::cost_of_txn(txn),
        Request::LeaseGrant(_) => alarm::cost_of_grant(),
        _ => 0,
    }
}

impl Member {
    /// Bytes of the database, as the quota counts them.
    pub(super) fn database_size(&self) -> u64 {
        if self.config.quota.is_some() { self.state.store.engine().stats().size } else { 0 }
    }

    /// Whether a database of `size` bytes stays within the quota with so many more. What adds nothing always does.
    pub(super) fn has_room(&self, size: u64, cost: u64) -> bool {
        cost == 0 || self.config.quota.is_none_or(|quota| size + cost < quota)
    }

    /// A write does not fit: the alarm is raised, and then its client hears why.
    pub(super) fn refuse_for_space(&mut self, now: Now, client: Option<RequestId>, fx: &mut Effects) {
        self.quota.refused.extend(client);
        self.stir();
        if self.quota.raising.is_some() {
            return;
        }
        let number = self.writes.take_number();
        let is_raised = self.state.alarms.raised_by(AlarmType::Nospace, self.config.id);
        if is_raised || !self.propose_alarm(number, AlarmType::Nospace, self.config.id) {
            return self.quota.settle(fx);
        }
        self.quota.raising = Some((number, now.mono + self.config.request_timeout()));
    }

    /// Proposes that `member` has this alarm. `false`: nobody takes the proposal.
    pub(super) fn propose_alarm(&mut self, number: u64, alarm: AlarmType, member: NodeId) -> bool {
        let action = AlarmAction::Activate.into();
        let request = AlarmRequest { action, member_id: member, alarm: alarm.into() };
        let data = apply::encode(number, Request::Alarm(request));
        self.raft.propose(EntryKind::Normal, data.into()).is_ok()
    }

    pub(super) fn expire_alarm(&mut self, now: Now, fx: &mut Effects) {
        if self.quota.wake_at() <= now.mono {
            self.quota.settle(fx);
        }
    }
}
