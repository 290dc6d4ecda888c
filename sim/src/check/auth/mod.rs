//! Who was let do what (`auth`): no permission granted that the model denies, at any member, and none denied that it
//! grants.
//!
//! Members say of each entry that they applied, and of each read that they served, whether auth let it through. After
//! the run the committed log is led through the [`Model`] of users, roles and permissions, and each decision is compared
//! with the model's at the same applied index.
//!
//! Left out: passwords and tokens, which the log does not have.

mod model;

pub use model::{KeysOf, Model};

use super::Failure;
use super::log::{Committed, Replay};
use super::model::State;
use seedbed::api::AuthError;
use seedbed::auth::AuthInfo;

/// A decision of a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Whose, from 0.
    pub member: u8,
    /// The entry, or the last one applied before a read.
    pub index: u64,
    /// Of a read: on whose behalf, and its range.
    pub read: Option<(AuthInfo, Vec<u8>, Vec<u8>)>,
    /// Why it was refused.
    pub refused: Option<AuthError>,
}

/// Judges the members' decisions by the committed log, whose first entry has index 1.
pub fn check(log: &[Committed], mut decisions: Vec<Decision>) -> Result<(), Failure> {
    // Of one index first the entry, then the reads after it.
    decisions.sort_by_key(|decision| (decision.index, decision.read.is_some()));
    let mut decisions = decisions.into_iter().peekable();
    let mut replay = Replay::new(log, State::default());
    while decisions.peek().is_some()
        && let Some(replayed) = replay.next()
    {
        while let Some(decision) = decisions.next_if(|decision| decision.index <= replayed.committed.entry.index) {
            let expected = match &decision.read {
                None => replayed.denied,
                Some((who, key, range_end)) => replay.auth().decide_read(who, key, range_end),
            };
            if expected != decision.refused {
                return Err(failure(&decision, expected));
            }
        }
    }
    Ok(())
}

fn failure(decision: &Decision, expected: Option<AuthError>) -> Failure {
    let Decision { member, index, read, refused } = decision;
    let what = match read {
        None => format!("entry {index}"),
        Some((who, key, _)) => {
            format!("a read from {} by {:?} after entry {index}", key.escape_ascii(), who.username)
        }
    };
    let words =
        |refused: &Option<AuthError>| refused.map_or("let through".to_owned(), |why| format!("refused ({why})"));
    let text = format!("at n{} {what} was {}; by the log it is to be {}", member + 1, words(refused), words(&expected));
    Failure::new("auth", text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use seedbed::api::{AuthRequest, Request};
    use seedbed::apply::encode_as;
    use seedbed::pb::authpb::{Permission, PermissionType};
    use seedbed::pb::etcdserverpb::{
        AuthEnableRequest, AuthRoleAddRequest, AuthRoleGrantPermissionRequest, AuthRoleRevokePermissionRequest,
        AuthUserAddRequest, AuthUserGrantRoleRequest, LeaseGrantRequest, LeaseRevokeRequest, PutRequest,
    };
    use seedbed::raft::{Entry, EntryKind};

    fn who(username: &str, revision: u64) -> AuthInfo {
        AuthInfo { username: username.to_owned(), revision }
    }

    fn put(key: &'static str) -> Request {
        Request::Put(PutRequest { key: key.into(), ..Default::default() })
    }

    fn grant(kind: PermissionType, key: &'static str, range_end: &'static str) -> AuthRequest {
        let perm = Some(Permission { perm_type: kind as i32, key: key.into(), range_end: range_end.into() });
        AuthRequest::RoleGrantPermission(AuthRoleGrantPermissionRequest { name: "rw".to_owned(), perm })
    }

    fn revoke() -> Request {
        let (key, range_end) = (Bytes::from("c"), Bytes::from("f"));
        Request::Auth(AuthRequest::RoleRevokePermission(AuthRoleRevokePermissionRequest {
            role: "rw".into(),
            key,
            range_end,
        }))
    }

    /// Entries 1 to 8 set up `root` and `alice`, who may read `[a, f)` and write `[c, f)`: auth revision 8. 9: alice puts
    /// c. 10: alice puts a, which she may not. 11: root takes `[c, f)` from her. 12: her put of d was admitted before.
    fn log() -> Vec<Committed> {
        let name = |name: &str| name.to_owned();
        let user = |user: &str| AuthRequest::UserAdd(AuthUserAddRequest { name: name(user), ..Default::default() });
        let role = |user: &str, role: &str| {
            AuthRequest::UserGrantRole(AuthUserGrantRoleRequest { user: name(user), role: name(role) })
        };
        let set_up = [
            user("root"),
            user("alice"),
            role("root", "root"),
            AuthRequest::RoleAdd(AuthRoleAddRequest { name: name("rw") }),
            role("alice", "rw"),
            grant(PermissionType::Read, "a", "c"),
            grant(PermissionType::Readwrite, "c", "f"),
            AuthRequest::Enable(AuthEnableRequest {}),
        ];
        let requests = set_up.into_iter().map(|request| (who("", 0), Request::Auth(request)));
        let requests = requests.chain([
            (who("alice", 8), put("c")),
            (who("alice", 8), put("a")),
            (who("root", 8), revoke()),
            (who("alice", 8), put("d")),
        ]);
        (1..).zip(requests).map(|(index, (who, request))| committed(index, &who, request)).collect()
    }

    fn committed(index: u64, who: &AuthInfo, request: Request) -> Committed {
        let data = encode_as(who, index, request).into();
        let entry = Entry { kind: EntryKind::Normal, term: 1, index, data };
        Committed { entry, at: index, revision: 0, operation: None }
    }

    fn entry(index: u64, refused: Option<AuthError>) -> Decision {
        Decision { member: 1, index, read: None, refused }
    }

    fn read(index: u64, user: &str, from: &str, to: &str, refused: Option<AuthError>) -> Decision {
        let who = who(user, if index < 11 { 8 } else { 9 });
        Decision { member: 2, index, read: Some((who, from.into(), to.into())), refused }
    }

    const DENIED: Option<AuthError> = Some(AuthError::PermissionDenied);
    const OLD: Option<AuthError> = Some(AuthError::AuthOldRevision);

    #[test]
    fn right_decisions_pass() {
        let decisions = vec![
            entry(9, None),
            read(9, "alice", "a", "f", None),
            read(10, "alice", "a", "g", DENIED),
            entry(10, DENIED),
            read(11, "alice", "a", "f", DENIED),
            read(11, "alice", "a", "c", None),
            read(12, "root", "\0", "\0", None),
            entry(12, OLD),
        ];
        assert_eq!(check(&log(), decisions), Ok(()));
    }

    #[test]
    fn wrong_decisions_are_named() {
        for (decision, words) in [
            (entry(9, DENIED), "at n2 entry 9 was refused (etcdserver: permission denied); by the log it is to be let"),
            (entry(9, OLD), "at n2 entry 9 was refused (etcdserver: revision of auth store is old)"),
            (entry(10, None), "at n2 entry 10 was let through; by the log it is to be refused"),
            (entry(11, DENIED), "entry 11 was refused"),
            (entry(12, None), "entry 12 was let through; by the log it is to be refused (etcdserver: revision of auth"),
            (read(9, "alice", "a", "f", DENIED), "at n3 a read from a by \"alice\" after entry 9 was refused"),
            (read(11, "alice", "a", "f", None), "after entry 11 was let through"),
            (read(9, "alice", "a", "\0", None), "after entry 9 was let through"),
            (read(9, "nobody", "a", "", None), "a read from a by \"nobody\""),
        ] {
            let failure = check(&log(), vec![decision.clone()]).expect_err("the checker must object");
            assert_eq!(failure.check, "auth");
            assert!(failure.text.contains(words), "{decision:?}: {}", failure.text);
        }
    }

    /// Entries 13 to 16: a lease, root's key on it, alice's key on it, its end for alice. 17: its end on nobody's behalf.
    #[test]
    fn a_lease_is_judged_by_the_keys_that_hang_on_it() {
        let on_lease = |key: &'static str| Request::Put(PutRequest { key: key.into(), lease: 7, ..Default::default() });
        let end = || Request::LeaseRevoke(LeaseRevokeRequest { id: 7 });
        let requests = [
            (who("", 0), Request::LeaseGrant(LeaseGrantRequest { id: 7, ttl: 10 })),
            (who("root", 9), on_lease("x")),
            (who("root", 9), Request::Auth(grant(PermissionType::Readwrite, "c", "f"))),
            (who("alice", 10), on_lease("c")),
            (who("alice", 10), end()),
            (who("", 0), end()),
            (who("root", 10), end()),
            (who("", 0), end()),
        ];
        let mut log = log();
        log.extend((13..).zip(requests).map(|(index, (who, request))| committed(index, &who, request)));
        let nobody = Some(AuthError::UserEmpty);
        let right = [(13, None), (14, None), (16, DENIED), (17, DENIED), (18, nobody), (19, None), (20, None)];
        assert_eq!(check(&log, right.map(|(index, refused)| entry(index, refused)).to_vec()), Ok(()));
        for (index, refused) in [(16, None), (17, None), (18, None), (19, DENIED), (20, nobody)] {
            check(&log, vec![entry(index, refused)]).expect_err("the checker must object");
        }
    }
}
