//! The committed log, as the world saw it, and what it should have brought.
//!
//! **What.** The world writes down every entry when the first member applies it: nothing that a store does has another cause.
//! [`Replay`] leads the sequential [`model`](super::model) along this list and says for each entry what it should have answered,
//! and which events watchers should have seen of it. So a check need not guess an order of what clients asked: here it
//! is, with what no client asked for among it, such as the revokes of a leader that counts leases down.
//!
//! **How.** Entries are kept as their bytes, shared with the members' logs, and decoded one at a time: a run of a million
//! entries is replayed without ever holding a million requests.
//!
//! Two things keep entries out, and what is kept out does nothing. First [`super::auth`] is asked, by the model's
//! account of users and roles; whoever may not do a thing does not hear of alarms either. Then an alarm that is raised,
//! from its own entry on until it is taken back.
//!
//! Left out: what changes no key and no lease as far as the model tells (members, checkpoints). Such entries are
//! replayed as ones that do nothing.

use super::auth;
use super::model::{Answer, Event, Request, State};
use seedbed::api::AuthError;
use seedbed::pb::etcdserverpb::request_op::Request as Op;
use seedbed::pb::etcdserverpb::{AlarmAction, AlarmRequest, AlarmType, InternalRaftRequest, TxnRequest};
use seedbed::raft::{Entry, EntryKind};
use seedbed::time::Nanos;
use std::collections::BTreeSet;

/// An entry that was applied by at least one member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The entry, with index, term and bytes.
    pub entry: Entry,
    /// When the first member applied it, virtual nanoseconds.
    pub at: Nanos,
    /// That member's revision after it.
    pub revision: i64,
    /// The number of the client operation that asked for it. `None`: no client did (a leader's own entries), or it was
    /// asked for a second time.
    pub operation: Option<u32>,
}

impl Committed {
    /// What a normal entry asks for; nothing in a new leader's first entry, in a configuration change and in bytes that
    /// are no request.
    pub fn request(&self) -> InternalRaftRequest {
        match self.entry.kind {
            EntryKind::Normal => InternalRaftRequest::of_entry(&self.entry.data).unwrap_or_default(),
            EntryKind::ConfChange | EntryKind::ConfChangeV2 => InternalRaftRequest::default(),
        }
    }
}

/// The entries from index 1 on. Without a gap: it ends before the first entry that the world could not see.
pub type Log = Vec<Committed>;

/// An entry, with what it should have brought.
#[derive(Clone, Debug)]
pub struct Replayed<'l> {
    /// The entry.
    pub committed: &'l Committed,
    /// What it asked for.
    pub request: InternalRaftRequest,
    /// Why auth keeps it out, if it does.
    pub denied: Option<AuthError>,
    /// The model's answer; `None` if the entry is nothing to the model, or is kept out.
    pub answer: Option<Answer>,
    /// What watchers should have seen, in order.
    pub events: Vec<Event>,
}

/// The model, with what decides whether an entry is done at all.
#[derive(Clone, Debug, Default)]
pub struct Course {
    state: State,
    /// The alarms that are raised: kind and member.
    alarms: BTreeSet<(i32, u64)>,
    auth: auth::Model,
}

/// What an entry should have brought: see [`Replayed`].
type Brought = (Option<AuthError>, Option<Answer>, Vec<Event>);

impl Course {
    /// Takes the next entry's request.
    pub fn take(&mut self, request: &InternalRaftRequest) -> Brought {
        let denied = self.auth.decide(request, &|lease| self.state.keys_on(lease));
        if denied.is_some() {
            return (denied, None, Vec::new());
        }
        self.auth.apply(request);
        if let Some(AlarmRequest { action, member_id, alarm }) = request.alarm {
            match AlarmAction::try_from(action) {
                Ok(AlarmAction::Activate) => drop(self.alarms.insert((alarm, member_id))),
                Ok(AlarmAction::Deactivate) => drop(self.alarms.remove(&(alarm, member_id))),
                _ => {}
            }
        }
        match of_entry(request).filter(|asked| !self.keeps_out(asked)) {
            Some(asked) => {
                let (answer, events) = self.state.execute(&asked);
                (None, Some(answer), events)
            }
            None => (None, None, Vec::new()),
        }
    }

    /// Whether an alarm keeps a request out: CORRUPT whatever changes something, NOSPACE what needs room.
    fn keeps_out(&self, asked: &Request) -> bool {
        let on = |kind: AlarmType| self.alarms.iter().any(|(raised, _)| *raised == i32::from(kind));
        // Puts of nested transactions are not counted, in etcd.
        let has_put = |txn: &TxnRequest| {
            let ops = txn.success.iter().chain(&txn.failure);
            ops.into_iter().any(|op| matches!(op.request, Some(Op::RequestPut(_))))
        };
        let grows = match asked {
            Request::Put(_) | Request::LeaseGrant { .. } => true,
            Request::Txn(txn) => has_put(txn),
            _ => false,
        };
        (on(AlarmType::Corrupt) && !asked.is_read()) || (on(AlarmType::Nospace) && grows)
    }
}

/// The model on its way along the log.
#[derive(Clone, Debug)]
pub struct Replay<'l> {
    entries: std::slice::Iter<'l, Committed>,
    course: Course,
}

impl<'l> Replay<'l> {
    /// At the beginning, with an empty store. A `state` that remembers can be asked about old revisions.
    pub fn new(log: &'l [Committed], state: State) -> Replay<'l> {
        Replay { entries: log.iter(), course: Course { state, ..Course::default() } }
    }

    /// The model's state after the entries that were taken so far.
    pub fn state(&self) -> &State {
        &self.course.state
    }

    /// Users and roles after these entries.
    pub fn auth(&self) -> &auth::Model {
        &self.course.auth
    }

    /// Asks the model, as it now is, what changes nothing.
    pub fn ask(&mut self, request: &Request) -> Answer {
        assert!(request.is_read(), "invariant: what changes something is in the log");
        self.course.state.execute(request).0
    }
}

impl<'l> Iterator for Replay<'l> {
    type Item = Replayed<'l>;

    fn next(&mut self) -> Option<Replayed<'l>> {
        let committed = self.entries.next()?;
        let request = committed.request();
        let (denied, answer, events) = self.course.take(&request);
        Some(Replayed { committed, request, denied, answer, events })
    }
}

/// What an entry asks of the model.
pub fn of_entry(request: &InternalRaftRequest) -> Option<Request> {
    let InternalRaftRequest { put, delete_range, txn, compaction, lease_grant, lease_revoke, .. } = request;
    let put = put.clone().map(Request::Put);
    put.or_else(|| delete_range.clone().map(Request::DeleteRange))
        .or_else(|| txn.clone().map(Request::Txn))
        .or_else(|| compaction.as_ref().map(|compaction| Request::Compact(compaction.revision)))
        .or_else(|| lease_grant.as_ref().map(|grant| Request::LeaseGrant { id: grant.id, ttl: grant.ttl }))
        .or_else(|| lease_revoke.as_ref().map(|revoke| Request::LeaseRevoke(revoke.id)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use seedbed::api;
    use seedbed::pb::etcdserverpb::{DeleteRangeRequest, LeaseGrantRequest, LeaseRevokeRequest, PutRequest};

    fn put(key: &'static str, lease: i64) -> api::Request {
        api::Request::Put(PutRequest { key: Bytes::from_static(key.as_bytes()), lease, ..PutRequest::default() })
    }

    fn committed(index: u64, request: Option<api::Request>, revision: i64) -> Committed {
        let data = request.map_or(Vec::new(), |request| seedbed::apply::encode(index, request)).into();
        let entry = Entry { kind: EntryKind::Normal, term: 2, index, data };
        Committed { entry, at: index, revision, operation: None }
    }

    /// A leader's first entry, a lease, two keys, a put that is refused, the lease's end, a delete of nothing.
    fn log() -> Log {
        let grant = api::Request::LeaseGrant(LeaseGrantRequest { id: 7, ttl: 10 });
        let revoke = api::Request::LeaseRevoke(LeaseRevokeRequest { id: 7 });
        let delete = DeleteRangeRequest { key: Bytes::from_static(b"a"), ..Default::default() };
        let requests = [
            (None, 1),
            (Some(grant), 1),
            (Some(put("a", 7)), 2),
            (Some(put("b", 0)), 3),
            (Some(put("b", 8)), 3),
            (Some(revoke), 4),
            (Some(api::Request::DeleteRange(delete)), 4),
        ];
        (1..).zip(requests).map(|(index, (request, revision))| committed(index, request, revision)).collect()
    }

    fn alarm(action: AlarmAction, alarm: AlarmType) -> api::Request {
        api::Request::Alarm(AlarmRequest { action: action.into(), member_id: 3, alarm: alarm.into() })
    }

    #[test]
    fn what_an_alarm_keeps_out_does_nothing() {
        let delete = || {
            let key = Bytes::from_static(b"a");
            api::Request::DeleteRange(DeleteRangeRequest { key, ..Default::default() })
        };
        let requests = [
            (put("a", 0), 2),
            (alarm(AlarmAction::Activate, AlarmType::Nospace), 2),
            (put("b", 0), 2),
            (delete(), 3),
            (alarm(AlarmAction::Activate, AlarmType::Corrupt), 3),
            (alarm(AlarmAction::Deactivate, AlarmType::Nospace), 3),
            (put("a", 0), 3),
            (alarm(AlarmAction::Deactivate, AlarmType::Corrupt), 3),
            (put("a", 0), 4),
            (alarm(AlarmAction::Activate, AlarmType::Corrupt), 4),
            (delete(), 4),
        ];
        let log: Log = (1..).zip(requests).map(|(index, (asked, at))| committed(index, Some(asked), at)).collect();
        let mut replay = Replay::new(&log, State::remembering());
        while let Some(next) = replay.next() {
            assert_eq!(replay.state().revision(), next.committed.revision, "index {}", next.committed.entry.index);
        }
    }

    /// Auth is asked first: whoever may not write is told so, full database or not. What it denies does nothing.
    #[test]
    fn what_auth_denies_does_nothing_and_hears_of_no_alarm() {
        use seedbed::api::{AuthError, AuthRequest, Request::Auth};
        use seedbed::auth::AuthInfo;
        use seedbed::pb::etcdserverpb::{AuthEnableRequest, AuthUserAddRequest, AuthUserGrantRoleRequest};
        let root = || "root".to_owned();
        let add = AuthUserAddRequest { name: root(), ..Default::default() };
        let grant = AuthUserGrantRoleRequest { user: root(), role: root() };
        let requests = [
            ("", Auth(AuthRequest::UserAdd(add)), 1),
            ("", Auth(AuthRequest::UserGrantRole(grant)), 1),
            ("", Auth(AuthRequest::Enable(AuthEnableRequest {})), 1),
            ("", put("a", 0), 1),
            ("root", put("a", 0), 2),
            ("", alarm(AlarmAction::Activate, AlarmType::Nospace), 2),
            ("", put("a", 0), 2),
            ("root", put("a", 0), 2),
        ];
        let entry = |(index, (name, request, revision)): (u64, (&str, api::Request, i64))| {
            let who = AuthInfo { username: name.to_owned(), revision: if name.is_empty() { 0 } else { 3 } };
            let data = seedbed::apply::encode_as(&who, index, request).into();
            let entry = Entry { kind: EntryKind::Normal, term: 2, index, data };
            Committed { entry, at: index, revision, operation: None }
        };
        let log: Log = (1..).zip(requests).map(entry).collect();
        let mut replay = Replay::new(&log, State::default());
        let mut denied = Vec::new();
        while let Some(next) = replay.next() {
            assert_eq!(replay.state().revision(), next.committed.revision, "index {}", next.committed.entry.index);
            assert!(next.denied.is_none() || (next.answer.is_none() && next.events.is_empty()));
            denied.extend(next.denied.map(|error| (next.committed.entry.index, error)));
        }
        assert_eq!(denied, [(4, AuthError::UserEmpty), (7, AuthError::UserEmpty)]);
    }

    #[test]
    fn each_entry_has_its_answer_and_its_events() {
        let log = log();
        let mut replay = Replay::new(&log, State::remembering());
        let mut replayed = Vec::new();
        while let Some(next) = replay.next() {
            assert_eq!(replay.state().revision(), next.committed.revision, "index {}", next.committed.entry.index);
            replayed.push(next);
        }
        assert!(replayed[0].answer.is_none());
        assert!(replayed[4].answer.as_ref().is_some_and(|answer| answer.result.is_err()));
        let events: Vec<usize> = replayed.iter().map(|replayed| replayed.events.len()).collect();
        assert_eq!(events, [0, 0, 1, 1, 0, 1, 0]);
        assert_eq!(&replayed[5].events[0].key[..], b"a");
    }
}
