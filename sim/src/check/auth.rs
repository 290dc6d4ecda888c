//! Who was let do what (`auth`): no permission granted that the model denies, at any member, and none denied that it
//! grants.
//!
//! Members say of each entry that they applied, and of each read that they served, whether auth let it through. After
//! the run the committed log is led through a model of users, roles and permissions, and each decision is compared with
//! the model's at the same applied index. The model shares nothing with the store's own: it keeps the permissions as
//! they were granted and walks a range piece by piece, where the store merges intervals once.
//!
//! Left out: passwords and tokens (the log does not have them), and keys that hang on a lease: what has a lease in it is
//! not judged.

use super::Failure;
use seedbed::api::AuthError;
use seedbed::auth::AuthInfo;
use seedbed::pb::authpb::{Permission, PermissionType};
use seedbed::pb::etcdserverpb::{
    DeleteRangeRequest, InternalRaftRequest, PutRequest, TxnRequest, request_op::Request as Op,
};
use seedbed::raft::{Entry, EntryKind};
use std::collections::{BTreeMap, BTreeSet};

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
pub fn check(log: &[Entry], mut decisions: Vec<Decision>) -> Result<(), Failure> {
    // Of one index first the entry, then the reads after it.
    decisions.sort_by_key(|decision| (decision.index, decision.read.is_some()));
    let mut decisions = decisions.into_iter().peekable();
    let mut model = Model::default();
    for entry in log {
        let request = match entry.kind {
            EntryKind::Normal => InternalRaftRequest::of_entry(&entry.data).unwrap_or_default(),
            EntryKind::ConfChange | EntryKind::ConfChangeV2 => InternalRaftRequest::default(),
        };
        let expected = model.decide(&request);
        if expected == Some(None) {
            model.apply(&request);
        }
        while let Some(decision) = decisions.next_if(|decision| decision.index <= entry.index) {
            let expected = match &decision.read {
                None => expected,
                Some((who, key, range_end)) => Some(model.access(who, (key, range_end), READ).err()),
            };
            if let Some(expected) = expected.filter(|expected| *expected != decision.refused) {
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

const READ: [PermissionType; 2] = [PermissionType::Read, PermissionType::Readwrite];
const WRITE: [PermissionType; 2] = [PermissionType::Write, PermissionType::Readwrite];

/// Users and roles as the log makes them.
#[derive(Debug)]
struct Model {
    enabled: bool,
    revision: u64,
    /// A user's roles.
    users: BTreeMap<String, BTreeSet<String>>,
    /// A role's permissions, as they were granted.
    roles: BTreeMap<String, Vec<Permission>>,
}

impl Default for Model {
    fn default() -> Model {
        Model { enabled: false, revision: 1, users: BTreeMap::new(), roles: BTreeMap::new() }
    }
}

impl Model {
    /// Whether an entry is refused, and why; `None`: that cannot be said.
    fn decide(&self, entry: &InternalRaftRequest) -> Option<Option<AuthError>> {
        let header = entry.header.clone().unwrap_or_default();
        let who = AuthInfo { username: header.username, revision: header.auth_revision };
        if let Some(put) = &entry.put {
            return Some(self.put(&who, put)?.err());
        }
        if let Some(txn) = &entry.txn {
            return Some(self.txn(&who, txn)?.err());
        }
        if entry.lease_revoke.is_some() {
            return None;
        }
        let roles = self.users.get(&who.username);
        Some(if let Some(range) = &entry.range {
            self.access(&who, (&range.key, &range.range_end), READ).err()
        } else if let Some(delete) = &entry.delete_range {
            self.delete(&who, delete).err()
        } else if let Some(get) = &entry.auth_user_get {
            self.admin(&who).err().filter(|_| get.name != who.username)
        } else if let Some(get) = &entry.auth_role_get {
            self.admin(&who).err().filter(|_| roles.is_none_or(|roles| !roles.contains(&get.role)))
        } else if is_of_admins(entry) {
            self.admin(&who).err()
        } else {
            None
        })
    }

    fn admin(&self, who: &AuthInfo) -> Result<(), AuthError> {
        match self.users.get(&who.username) {
            _ if !self.enabled => Ok(()),
            _ if who.username.is_empty() => Err(AuthError::UserEmpty),
            None => Err(AuthError::UserNotFound),
            Some(roles) if roles.contains("root") => Ok(()),
            Some(_) => Err(AuthError::PermissionDenied),
        }
    }

    /// Whether every key of a range may be accessed so.
    fn access(
        &self,
        who: &AuthInfo,
        (key, range_end): (&[u8], &[u8]),
        kinds: [PermissionType; 2],
    ) -> Result<(), AuthError> {
        if !self.enabled {
            return Ok(());
        }
        match who.revision {
            0 => return Err(AuthError::UserEmpty),
            revision if revision < self.revision => return Err(AuthError::AuthOldRevision),
            _ => {}
        }
        let roles = self.users.get(&who.username).ok_or(AuthError::PermissionDenied)?;
        let granted = roles.iter().filter_map(|role| self.roles.get(role)).flatten();
        let granted: Vec<&Permission> =
            granted.filter(|permission| kinds.iter().any(|kind| *kind as i32 == permission.perm_type)).collect();
        let permitted = roles.contains("root") || covered(key, &end_of(key, range_end), &granted);
        if permitted { Ok(()) } else { Err(AuthError::PermissionDenied) }
    }

    fn put(&self, who: &AuthInfo, put: &PutRequest) -> Option<Result<(), AuthError>> {
        let key = (&put.key[..], &b""[..]);
        if put.lease != 0 && self.enabled {
            return None;
        }
        let read = || if put.prev_kv { self.access(who, key, READ) } else { Ok(()) };
        Some(self.access(who, key, WRITE).and_then(|()| read()))
    }

    fn delete(&self, who: &AuthInfo, delete: &DeleteRangeRequest) -> Result<(), AuthError> {
        let range = (&delete.key[..], &delete.range_end[..]);
        self.access(who, range, WRITE)?;
        if delete.prev_kv { self.access(who, range, READ) } else { Ok(()) }
    }

    fn txn(&self, who: &AuthInfo, txn: &TxnRequest) -> Option<Result<(), AuthError>> {
        for compare in &txn.compare {
            if let Err(error) = self.access(who, (&compare.key, &compare.range_end), READ) {
                return Some(Err(error));
            }
        }
        for op in txn.success.iter().chain(&txn.failure) {
            let decided = match &op.request {
                Some(Op::RequestRange(range)) => self.access(who, (&range.key, &range.range_end), READ),
                Some(Op::RequestPut(put)) => self.put(who, put)?,
                Some(Op::RequestDeleteRange(delete)) => self.delete(who, delete),
                Some(Op::RequestTxn(nested)) => self.txn(who, nested)?,
                None => Ok(()),
            };
            if decided.is_err() {
                return Some(decided);
            }
        }
        Some(Ok(()))
    }

    /// Does what an entry says that was let through.
    fn apply(&mut self, entry: &InternalRaftRequest) {
        let root_stays = self.enabled;
        let changed = if entry.auth_enable.is_some() {
            self.enabled = self.enabled || self.users.get("root").is_some_and(|roles| roles.contains("root"));
            false
        } else if entry.auth_disable.is_some() {
            std::mem::take(&mut self.enabled)
        } else if let Some(add) = &entry.auth_user_add {
            let is_new = !add.name.is_empty() && !self.users.contains_key(&add.name);
            is_new && self.users.insert(add.name.clone(), BTreeSet::new()).is_none()
        } else if let Some(delete) = &entry.auth_user_delete {
            !(root_stays && delete.name == "root") && self.users.remove(&delete.name).is_some()
        } else if let Some(change) = &entry.auth_user_change_password {
            self.users.contains_key(&change.name)
        } else if let Some(grant) = &entry.auth_user_grant_role {
            let exists = grant.role == "root" || self.roles.contains_key(&grant.role);
            exists && self.users.get_mut(&grant.user).is_some_and(|roles| roles.insert(grant.role.clone()))
        } else if let Some(revoke) = &entry.auth_user_revoke_role {
            let stays = root_stays && revoke.name == "root" && revoke.role == "root";
            !stays && self.users.get_mut(&revoke.name).is_some_and(|roles| roles.remove(&revoke.role))
        } else if let Some(add) = &entry.auth_role_add {
            let is_new = !add.name.is_empty() && !self.roles.contains_key(&add.name);
            is_new && self.roles.insert(add.name.clone(), Vec::new()).is_none()
        } else if let Some(delete) = &entry.auth_role_delete {
            let goes = !(root_stays && delete.role == "root") && self.roles.remove(&delete.role).is_some();
            if goes {
                self.users.values_mut().for_each(|roles| roles.retain(|role| *role != delete.role));
            }
            goes
        } else if let Some(grant) = &entry.auth_role_grant_permission {
            self.grant(&grant.name, grant.perm.as_ref())
        } else if let Some(revoke) = &entry.auth_role_revoke_permission {
            let is_meant = |held: &Permission| held.key == revoke.key && held.range_end == revoke.range_end;
            self.roles.get_mut(&revoke.role).is_some_and(|held| {
                let before = held.len();
                held.retain(|permission| !is_meant(permission));
                held.len() < before
            })
        } else {
            false
        };
        self.revision += u64::from(changed);
    }

    fn grant(&mut self, role: &str, permission: Option<&Permission>) -> bool {
        let Some(new) = permission.filter(|new| !is_empty(&new.key, &end_of(&new.key, &new.range_end))) else {
            return false;
        };
        let Some(held) = self.roles.get_mut(role) else { return false };
        held.retain(|permission| permission.key != new.key || permission.range_end != new.range_end);
        held.push(new.clone());
        true
    }
}

/// Whether only administrators may propose an entry.
fn is_of_admins(entry: &InternalRaftRequest) -> bool {
    let InternalRaftRequest { auth_enable, auth_disable, auth_user_list, auth_role_list, .. } = entry;
    let of_all = [auth_enable.is_some(), auth_disable.is_some(), auth_user_list.is_some(), auth_role_list.is_some()];
    let of_users = [
        entry.auth_user_add.is_some(),
        entry.auth_user_delete.is_some(),
        entry.auth_user_change_password.is_some(),
        entry.auth_user_grant_role.is_some(),
        entry.auth_user_revoke_role.is_some(),
    ];
    let of_roles = [
        entry.auth_role_add.is_some(),
        entry.auth_role_delete.is_some(),
        entry.auth_role_grant_permission.is_some(),
        entry.auth_role_revoke_permission.is_some(),
    ];
    of_all.into_iter().chain(of_users).chain(of_roles).any(|is_set| is_set)
}

/// The first key behind a range; `None`: there is none.
fn end_of(key: &[u8], range_end: &[u8]) -> Option<Vec<u8>> {
    match range_end {
        b"" => Some([key, b"\0"].concat()),
        b"\0" => None,
        end => Some(end.to_vec()),
    }
}

fn is_empty(key: &[u8], end: &Option<Vec<u8>>) -> bool {
    key.is_empty() || end.as_ref().is_some_and(|end| end[..] <= *key)
}

/// Whether some permission holds for each key of `[key, end)`: as far as one reaches, then on from there.
fn covered(key: &[u8], end: &Option<Vec<u8>>, granted: &[&Permission]) -> bool {
    if end.as_ref().is_some_and(|end| end[..] <= *key) {
        return false;
    }
    let mut at = key.to_vec();
    loop {
        let holds = |permission: &&&Permission| {
            let to = end_of(&permission.key, &permission.range_end);
            !is_empty(&permission.key, &to) && permission.key[..] <= at[..] && to.is_none_or(|to| to > at)
        };
        let Some(permission) = granted.iter().find(holds) else { return false };
        match (end_of(&permission.key, &permission.range_end), end) {
            (None, _) => return true,
            (Some(to), Some(end)) if to >= *end => return true,
            (Some(to), _) => at = to,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use seedbed::api::{AuthRequest, Request};
    use seedbed::apply::encode_as;
    use seedbed::pb::etcdserverpb::{
        AuthEnableRequest, AuthRoleAddRequest, AuthRoleGrantPermissionRequest, AuthRoleRevokePermissionRequest,
        AuthUserAddRequest, AuthUserGrantRoleRequest,
    };

    fn who(username: &str, revision: u64) -> AuthInfo {
        AuthInfo { username: username.to_owned(), revision }
    }

    fn put(key: &'static str) -> Request {
        Request::Put(PutRequest { key: key.into(), ..Default::default() })
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
    fn log() -> Vec<Entry> {
        let name = |name: &str| name.to_owned();
        let user = |user: &str| AuthRequest::UserAdd(AuthUserAddRequest { name: name(user), ..Default::default() });
        let role = |user: &str, role: &str| {
            AuthRequest::UserGrantRole(AuthUserGrantRoleRequest { user: name(user), role: name(role) })
        };
        let permission = |kind: PermissionType, key: &'static str, range_end: &'static str| {
            let perm = Some(Permission { perm_type: kind as i32, key: key.into(), range_end: range_end.into() });
            AuthRequest::RoleGrantPermission(AuthRoleGrantPermissionRequest { name: name("rw"), perm })
        };
        let set_up = [
            user("root"),
            user("alice"),
            role("root", "root"),
            AuthRequest::RoleAdd(AuthRoleAddRequest { name: name("rw") }),
            role("alice", "rw"),
            permission(PermissionType::Read, "a", "c"),
            permission(PermissionType::Readwrite, "c", "f"),
            AuthRequest::Enable(AuthEnableRequest {}),
        ];
        let requests = set_up.into_iter().map(|request| (who("", 0), Request::Auth(request)));
        let requests = requests.chain([
            (who("alice", 8), put("c")),
            (who("alice", 8), put("a")),
            (who("root", 8), revoke()),
            (who("alice", 8), put("d")),
        ]);
        let entry = |(index, (who, request)): (u64, (AuthInfo, Request))| Entry {
            kind: EntryKind::Normal,
            term: 1,
            index,
            data: encode_as(&who, index, request).into(),
        };
        (1..).zip(requests).map(entry).collect()
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

    #[test]
    fn what_has_a_lease_in_it_is_not_judged() {
        let mut log = log();
        let put = Request::Put(PutRequest { key: "x".into(), lease: 7, ..Default::default() });
        log[9].data = encode_as(&who("alice", 8), 10, put).into();
        for refused in [None, DENIED] {
            assert_eq!(check(&log, vec![entry(10, refused)]), Ok(()));
        }
    }
}
