//! The checks of requests.
//!
//! | request | what its user needs |
//! |---|---|
//! | range, watch | READ on the range |
//! | put | WRITE on the key; with `prev_kv` READ too; with a lease WRITE on every key that hangs on it |
//! | delete range | WRITE on the range; with `prev_kv` READ too |
//! | transaction | READ on what it compares, and what each operation of *both* branches needs, nested ones too |
//! | lease revoke | WRITE on every key that hangs on it |
//! | lease time to live with keys | READ on every key that hangs on it |
//! | changes of users, roles and of auth itself, lists of them; of members; defragmentation, hash, snapshot | the role `root` |
//! | a look at a user, a role | the role `root`, or to be that user, to have that role |
//! | the rest: grants and keepalives of leases, compaction, alarms, status, lists of members | nothing |
//!
//! Hanging a key on a lease is a way to have it deleted, and the lease's other keys die with it when the user revokes it:
//! that is why the other keys count. etcd forgot that, and `prev_kv`, for puts inside transactions (#21681).
//!
//! Both branches count, because which one runs tells something about the keys that were compared.
//!
//! A request whose answer is read and not agreed on is checked when it is served, and its revision once more afterwards,
//! so that no change of permissions slips in between: the same functions do for it.

use super::permissions::Access;
use super::{AuthError, AuthInfo, AuthStore, is_root};
use crate::bug::Bug;
use crate::pb::etcdserverpb::{
    DeleteRangeRequest, InternalRaftRequest, PutRequest, RangeRequest, TxnRequest, request_op::Request,
};
use bytes::Bytes;

/// Names the keys that hang on a lease; none if there is no such lease.
pub type LeaseKeys<'a> = &'a dyn Fn(i64) -> Vec<Bytes>;

impl AuthStore {
    /// Whether an entry may be applied, on behalf of whom its header names.
    pub fn check_entry(&self, entry: &InternalRaftRequest, lease_keys: LeaseKeys<'_>) -> Result<(), AuthError> {
        let info = entry.header.as_ref().map(AuthInfo::from).unwrap_or_default();
        if is_for_root(entry) {
            return self.check_admin(&info);
        }
        if let Some(range) = &entry.range {
            self.check_range(&info, range)?;
        }
        if let Some(put) = &entry.put {
            self.check_put(&info, put, lease_keys)?;
        }
        if let Some(delete) = &entry.delete_range {
            self.check_delete_range(&info, delete)?;
        }
        if let Some(txn) = &entry.txn {
            self.check_txn(&info, txn, lease_keys)?;
        }
        // etcd before 3.3 checked no revoke; beside a 3.3 that does, leases end at some members only (etcd #11689).
        if let Some(revoke) = &entry.lease_revoke
            && !self.bugs.on(Bug::RevokeUnauthenticated)
        {
            self.check_lease_revoke(&info, revoke.id, lease_keys)?;
        }
        if let Some(get) = &entry.auth_user_get {
            self.check_user_get(&info, &get.name)?;
        }
        if let Some(get) = &entry.auth_role_get {
            self.check_role_get(&info, &get.role)?;
        }
        Ok(())
    }

    /// A range.
    pub fn check_range(&self, info: &AuthInfo, request: &RangeRequest) -> Result<(), AuthError> {
        self.check_keys(info, &request.key, &request.range_end)
    }

    /// A range of keys that are read, or watched. Its end is as the client sent it: etcd had translated a watch's end of
    /// `"\0"` into its own empty one before, which the check took for a single key, so whoever might read one key could
    /// watch all that follow it.
    pub fn check_keys(&self, info: &AuthInfo, key: &[u8], range_end: &[u8]) -> Result<(), AuthError> {
        self.check(info, key, range_end, Access::Read)
    }

    /// A put.
    pub fn check_put(&self, info: &AuthInfo, request: &PutRequest, lease_keys: LeaseKeys<'_>) -> Result<(), AuthError> {
        self.check(info, &request.key, b"", Access::Write)?;
        if request.lease != 0 {
            self.check_lease_revoke(info, request.lease, lease_keys)?;
        }
        if request.prev_kv { self.check(info, &request.key, b"", Access::Read) } else { Ok(()) }
    }

    /// A delete.
    pub fn check_delete_range(&self, info: &AuthInfo, request: &DeleteRangeRequest) -> Result<(), AuthError> {
        self.check(info, &request.key, &request.range_end, Access::Write)?;
        if request.prev_kv { self.check(info, &request.key, &request.range_end, Access::Read) } else { Ok(()) }
    }

    /// A transaction.
    pub fn check_txn(&self, info: &AuthInfo, request: &TxnRequest, lease_keys: LeaseKeys<'_>) -> Result<(), AuthError> {
        for compare in &request.compare {
            self.check(info, &compare.key, &compare.range_end, Access::Read)?;
        }
        for op in request.success.iter().chain(&request.failure) {
            match &op.request {
                Some(Request::RequestRange(range)) => self.check_range(info, range)?,
                Some(Request::RequestPut(put)) => self.check_put(info, put, lease_keys)?,
                Some(Request::RequestDeleteRange(delete)) => self.check_delete_range(info, delete)?,
                Some(Request::RequestTxn(nested)) => self.check_txn(info, nested, lease_keys)?,
                None => {}
            }
        }
        Ok(())
    }

    /// The end of a lease.
    pub fn check_lease_revoke(&self, info: &AuthInfo, id: i64, lease_keys: LeaseKeys<'_>) -> Result<(), AuthError> {
        lease_keys(id).iter().try_for_each(|key| self.check(info, key, b"", Access::Write))
    }

    /// A look at the keys of a lease.
    pub fn check_lease_keys(&self, info: &AuthInfo, id: i64, lease_keys: LeaseKeys<'_>) -> Result<(), AuthError> {
        lease_keys(id).iter().try_for_each(|key| self.check(info, key, b"", Access::Read))
    }

    /// What only `root` may do. The revision does not matter: a root stays one, or is none.
    pub fn check_admin(&self, info: &AuthInfo) -> Result<(), AuthError> {
        if !self.enabled {
            return Ok(());
        }
        if info.username.is_empty() {
            return Err(AuthError::UserEmpty);
        }
        let user = self.users.get(&info.username).ok_or(AuthError::UserNotFound)?;
        if is_root(user) { Ok(()) } else { Err(AuthError::PermissionDenied) }
    }

    /// A look at a user.
    pub fn check_user_get(&self, info: &AuthInfo, name: &str) -> Result<(), AuthError> {
        self.check_admin(info).or_else(|error| if info.username == name { Ok(()) } else { Err(error) })
    }

    /// A look at a role.
    pub fn check_role_get(&self, info: &AuthInfo, name: &str) -> Result<(), AuthError> {
        let has_it = |user: &str| self.users.get(user).is_some_and(|user| user.roles.iter().any(|role| role == name));
        self.check_admin(info).or_else(|error| if has_it(&info.username) { Ok(()) } else { Err(error) })
    }

    /// Whether users, roles or permissions have changed since a request was admitted. For requests that are served
    /// without an entry, after they were.
    pub fn check_revision(&self, info: &AuthInfo) -> Result<(), AuthError> {
        let is_old = self.enabled && info.revision != 0 && info.revision != self.revision;
        if is_old { Err(AuthError::AuthOldRevision) } else { Ok(()) }
    }

    fn check(&self, info: &AuthInfo, key: &[u8], range_end: &[u8], access: Access) -> Result<(), AuthError> {
        if !self.enabled {
            return Ok(());
        }
        if info.revision == 0 {
            return Err(AuthError::UserEmpty);
        }
        if info.revision < self.revision {
            return Err(AuthError::AuthOldRevision);
        }
        let user = self.users.get(&info.username).ok_or(AuthError::PermissionDenied)?;
        let permissions = self.permissions.get(&info.username);
        let permitted = is_root(user) || permissions.is_some_and(|all| all.permit(key, range_end, access));
        if permitted { Ok(()) } else { Err(AuthError::PermissionDenied) }
    }
}

/// Whether an entry is one that only `root` may propose.
pub(crate) fn is_for_root(entry: &InternalRaftRequest) -> bool {
    entry.auth_enable.is_some()
        || entry.auth_disable.is_some()
        || entry.auth_user_add.is_some()
        || entry.auth_user_delete.is_some()
        || entry.auth_user_change_password.is_some()
        || entry.auth_user_grant_role.is_some()
        || entry.auth_user_revoke_role.is_some()
        || entry.auth_user_list.is_some()
        || entry.auth_role_add.is_some()
        || entry.auth_role_delete.is_some()
        || entry.auth_role_grant_permission.is_some()
        || entry.auth_role_revoke_permission.is_some()
        || entry.auth_role_list.is_some()
}

#[cfg(test)]
mod tests {
    use super::super::tests::alice;
    use super::*;
    use crate::pb::etcdserverpb::{
        AuthDisableRequest, AuthRoleAddRequest, AuthRoleGetRequest, AuthUserGetRequest, AuthUserListRequest, Compare,
        LeaseGrantRequest, LeaseRevokeRequest, RequestHeader, RequestOp,
    };

    type Checked = Result<(), AuthError>;
    const OK: Checked = Ok(());
    const DENIED: Checked = Err(AuthError::PermissionDenied);

    fn key(text: &'static str) -> Bytes {
        Bytes::from_static(text.as_bytes())
    }

    /// On lease 1 hang two keys that alice may write; on lease 2 one that she may only read as well; on lease 3 one that
    /// she may not touch.
    fn lease_keys(id: i64) -> Vec<Bytes> {
        match id {
            1 => vec![key("c"), key("d")],
            2 => vec![key("b"), key("c")],
            3 => vec![key("c"), key("x")],
            _ => Vec::new(),
        }
    }

    fn range(from: &'static str, to: &'static str) -> RangeRequest {
        RangeRequest { key: key(from), range_end: key(to), ..Default::default() }
    }

    fn put(name: &'static str) -> PutRequest {
        PutRequest { key: key(name), ..Default::default() }
    }

    fn delete(from: &'static str, to: &'static str) -> DeleteRangeRequest {
        DeleteRangeRequest { key: key(from), range_end: key(to), ..Default::default() }
    }

    fn as_(store: &AuthStore, user: &str, entry: InternalRaftRequest) -> Checked {
        let header = RequestHeader { id: 1, username: user.to_owned(), auth_revision: store.revision() };
        store.check_entry(&InternalRaftRequest { header: Some(header), ..entry }, &lease_keys)
    }

    fn range_as(user: &str, request: RangeRequest) -> Checked {
        as_(&alice().0, user, InternalRaftRequest { range: Some(request.into()), ..Default::default() })
    }

    fn put_as(user: &str, request: PutRequest) -> Checked {
        as_(&alice().0, user, InternalRaftRequest { put: Some(request), ..Default::default() })
    }

    fn delete_as(user: &str, request: DeleteRangeRequest) -> Checked {
        as_(&alice().0, user, InternalRaftRequest { delete_range: Some(request), ..Default::default() })
    }

    fn txn_as(user: &str, request: TxnRequest) -> Checked {
        as_(&alice().0, user, InternalRaftRequest { txn: Some(request), ..Default::default() })
    }

    #[test]
    fn ranges_need_read() {
        assert_eq!(range_as("alice", range("a", "f")), OK, "two permissions that touch");
        assert_eq!(range_as("alice", range("e", "")), OK);
        for (from, to) in [("f", ""), ("a", "g"), ("a", "\0"), ("A", "f")] {
            assert_eq!(range_as("alice", range(from, to)), DENIED, "{from} {to}");
        }
        assert_eq!(range_as("root", range("\0", "\0")), OK);
        assert_eq!(range_as("nobody", range("a", "f")), DENIED);
    }

    #[test]
    fn puts_need_write_and_more_for_leases_and_the_state_before() {
        assert_eq!(put_as("alice", put("c")), OK);
        assert_eq!(put_as("alice", put("a")), DENIED, "only READ");
        assert_eq!(put_as("alice", PutRequest { lease: 1, ..put("c") }), OK);
        assert_eq!(put_as("alice", PutRequest { lease: 2, ..put("c") }), DENIED);
        assert_eq!(put_as("alice", PutRequest { lease: 9, ..put("c") }), OK, "that it is not there is found later");
        assert_eq!(put_as("root", PutRequest { lease: 3, prev_kv: true, ..put("x") }), OK);
    }

    #[test]
    fn deletes_need_write() {
        assert_eq!(delete_as("alice", delete("c", "f")), OK);
        assert_eq!(delete_as("alice", delete("b", "f")), DENIED);
        assert_eq!(delete_as("alice", DeleteRangeRequest { prev_kv: true, ..delete("c", "f") }), OK);
    }

    #[test]
    fn the_state_before_needs_read() {
        use super::super::tests::permission;
        use crate::pb::authpb::PermissionType;
        let (mut store, _) = alice();
        store.role_grant_permission(&permission("rw", PermissionType::Write, "w", "x")).unwrap();
        for (prev_kv, expected) in [(false, OK), (true, DENIED)] {
            let put = PutRequest { prev_kv, ..put("w") };
            let delete = DeleteRangeRequest { prev_kv, ..delete("w", "") };
            let op = RequestOp { request: Some(Request::RequestPut(put.clone())) };
            let txn = TxnRequest { success: vec![op], ..Default::default() };
            for entry in [
                InternalRaftRequest { put: Some(put), ..Default::default() },
                InternalRaftRequest { delete_range: Some(delete), ..Default::default() },
                InternalRaftRequest { txn: Some(txn), ..Default::default() },
            ] {
                assert_eq!(as_(&store, "alice", entry.clone()), expected, "{entry:?}");
            }
        }
    }

    #[test]
    fn transactions_need_what_either_branch_and_all_nested_ones_need() {
        let ops = [
            (Request::RequestRange(range("a", "c")), OK),
            (Request::RequestRange(range("f", "")), DENIED),
            (Request::RequestPut(put("c")), OK),
            (Request::RequestPut(put("a")), DENIED),
            (Request::RequestPut(PutRequest { lease: 1, ..put("c") }), OK),
            (Request::RequestPut(PutRequest { lease: 2, ..put("c") }), DENIED),
            (Request::RequestDeleteRange(delete("c", "f")), OK),
            (Request::RequestDeleteRange(delete("a", "c")), DENIED),
        ];
        for (request, expected) in ops {
            let op = || vec![RequestOp { request: Some(request.clone()) }];
            let success = TxnRequest { success: op(), ..Default::default() };
            let failure = TxnRequest { failure: op(), ..Default::default() };
            let nested = RequestOp { request: Some(Request::RequestTxn(failure.clone())) };
            let nested = TxnRequest { success: vec![nested], ..Default::default() };
            for txn in [success, failure, nested] {
                assert_eq!(txn_as("alice", txn.clone()), expected, "{txn:?}");
                assert_eq!(txn_as("root", txn), OK);
            }
        }
        for (from, to, expected) in [("b", "", OK), ("a", "f", OK), ("a", "g", DENIED), ("x", "", DENIED)] {
            let compare = Compare { key: key(from), range_end: key(to), ..Default::default() };
            assert_eq!(txn_as("alice", TxnRequest { compare: vec![compare], ..Default::default() }), expected);
        }
    }

    #[test]
    fn a_lease_is_revoked_by_who_may_write_its_keys_and_looked_at_by_who_may_read_them() {
        let (store, _) = alice();
        let info = AuthInfo { username: "alice".to_owned(), revision: store.revision() };
        for (id, revoke, look) in [(1, OK, OK), (2, DENIED, OK), (3, DENIED, DENIED), (9, OK, OK)] {
            let lease_revoke = Some(LeaseRevokeRequest { id });
            let entry = InternalRaftRequest { lease_revoke, ..Default::default() };
            assert_eq!(as_(&store, "alice", entry.clone()), revoke, "lease {id}");
            assert_eq!(store.check_lease_keys(&info, id, &lease_keys), look, "lease {id}");
            assert_eq!(as_(&store, "root", entry), OK);
            assert_eq!(store.check_lease_revoke(&store.root_info(), id, &lease_keys), OK, "so may the member itself");
        }
        let lease_grant = Some(LeaseGrantRequest::default());
        assert_eq!(as_(&store, "", InternalRaftRequest { lease_grant, ..Default::default() }), OK);
    }

    #[test]
    fn an_open_end_is_more_than_a_single_key() {
        use super::super::tests::permission;
        use crate::pb::authpb::PermissionType;
        let (mut store, _) = alice();
        let may = |store: &AuthStore, from: &str, to: &str| {
            let info = AuthInfo { username: "alice".to_owned(), revision: store.revision() };
            assert_eq!(store.check_keys(&store.root_info(), from.as_bytes(), to.as_bytes()), OK);
            store.check_keys(&info, from.as_bytes(), to.as_bytes())
        };
        for (from, to, expected) in [("a", "f", OK), ("a", "", OK), ("a", "\0", DENIED), ("\0", "\0", DENIED)] {
            assert_eq!(may(&store, from, to), expected, "{from:?} {to:?}");
        }
        store.role_grant_permission(&permission("rw", PermissionType::Read, "\0", "\0")).unwrap();
        assert_eq!(may(&store, "\0", "\0"), OK);
    }

    #[test]
    fn only_root_manages() {
        let (store, _) = alice();
        let list = || InternalRaftRequest { auth_user_list: Some(AuthUserListRequest {}), ..Default::default() };
        let disable = || InternalRaftRequest { auth_disable: Some(AuthDisableRequest {}), ..Default::default() };
        for entry in [list(), disable()] {
            assert_eq!(as_(&store, "root", entry.clone()), OK);
            assert_eq!(as_(&store, "alice", entry.clone()), DENIED);
            assert_eq!(as_(&store, "nobody", entry.clone()), Err(AuthError::UserNotFound));
            assert_eq!(as_(&store, "", entry), Err(AuthError::UserEmpty));
        }
        let user = |name: &str| Some(AuthUserGetRequest { name: name.to_owned() });
        let role = |role: &str| Some(AuthRoleGetRequest { role: role.to_owned() });
        for (mine, expected) in [(true, OK), (false, DENIED)] {
            let auth_user_get = user(if mine { "alice" } else { "root" });
            let auth_role_get = role(if mine { "rw" } else { "root" });
            assert_eq!(as_(&store, "alice", InternalRaftRequest { auth_user_get, ..Default::default() }), expected);
            assert_eq!(as_(&store, "alice", InternalRaftRequest { auth_role_get, ..Default::default() }), expected);
        }
    }

    #[test]
    fn who_was_admitted_before_the_last_change_is_refused() {
        let (mut store, _) = alice();
        let info = AuthInfo { username: "root".to_owned(), revision: store.revision() };
        assert_eq!((store.check_range(&info, &range("a", "")), store.check_revision(&info)), (OK, OK));
        store.role_add(&AuthRoleAddRequest { name: "other".to_owned() }).unwrap();
        let old = Err(AuthError::AuthOldRevision);
        assert_eq!((store.check_range(&info, &range("a", "")), store.check_revision(&info)), (old, old));
        let nobody = AuthInfo::default();
        assert_eq!(store.check_range(&nobody, &range("a", "")), Err(AuthError::UserEmpty));
        store.disable();
        for info in [info, nobody] {
            assert_eq!((store.check_range(&info, &range("a", "")), store.check_revision(&info)), (OK, OK));
            assert_eq!(store.check_admin(&info), OK, "while it is off everybody may do anything");
        }
    }
}
