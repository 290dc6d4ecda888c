//! Changing users and roles, and looking at them.
//!
//! Each change returns the records to write; a refused one changes nothing. A grant of a role that the user has changes
//! nothing either, not even the revision. A grant of a permission on the same interval replaces its kind, and counts.

use super::password::hash_of_entry;
use super::permissions::is_valid;
use super::{AuthError, AuthStore, ROOT, has_no_password, put};
use crate::backend::{Bucket, Record};
use crate::pb::authpb::{Permission, Role, User};
use crate::pb::etcdserverpb::{
    AuthRoleAddRequest, AuthRoleDeleteRequest, AuthRoleGrantPermissionRequest, AuthRoleRevokePermissionRequest,
    AuthUserAddRequest, AuthUserChangePasswordRequest, AuthUserDeleteRequest, AuthUserGrantRoleRequest,
    AuthUserRevokeRoleRequest,
};
use bytes::Bytes;
use prost::Message as _;

impl AuthStore {
    /// Adds a user.
    pub fn user_add(&mut self, request: &AuthUserAddRequest) -> Result<Vec<Record>, AuthError> {
        let AuthUserAddRequest { name, password, options, hashed_password } = request;
        if name.is_empty() {
            return Err(AuthError::UserEmpty);
        }
        if self.users.contains_key(name) {
            return Err(AuthError::UserAlreadyExist);
        }
        let mut user =
            User { name: name.clone().into(), options: Some(options.unwrap_or_default()), ..User::default() };
        if !has_no_password(&user) {
            user.password = hash_of(password, hashed_password)?;
        }
        let records = vec![self.set_user(name, user)];
        Ok(self.changed(records))
    }

    /// Removes a user.
    pub fn user_delete(&mut self, request: &AuthUserDeleteRequest) -> Result<Vec<Record>, AuthError> {
        if self.enabled && request.name == ROOT {
            return Err(AuthError::InvalidAuthMgmt);
        }
        self.users.remove(&request.name).ok_or(AuthError::UserNotFound)?;
        self.tokens.retain(|user| user != request.name);
        Ok(self.changed(vec![unset(Bucket::AuthUsers, &request.name)]))
    }

    /// Gives a user another password. One that has none keeps none.
    pub fn user_change_password(&mut self, request: &AuthUserChangePasswordRequest) -> Result<Vec<Record>, AuthError> {
        let AuthUserChangePasswordRequest { name, password, hashed_password } = request;
        let mut user = self.user(name)?.clone();
        if !has_no_password(&user) {
            user.password = hash_of(password, hashed_password)?;
        }
        self.tokens.retain(|user| user != name);
        let records = vec![self.set_user(name, user)];
        Ok(self.changed(records))
    }

    /// Gives a user a role. The role `root` need not exist.
    pub fn user_grant_role(&mut self, request: &AuthUserGrantRoleRequest) -> Result<Vec<Record>, AuthError> {
        let mut user = self.user(&request.user)?.clone();
        if request.role != ROOT && !self.roles.contains_key(&request.role) {
            return Err(AuthError::RoleNotFound);
        }
        match user.roles.binary_search(&request.role) {
            Ok(_) => Ok(Vec::new()),
            Err(at) => {
                user.roles.insert(at, request.role.clone());
                let records = vec![self.set_user(&request.user, user)];
                Ok(self.changed(records))
            }
        }
    }

    /// Takes a role from a user.
    pub fn user_revoke_role(&mut self, request: &AuthUserRevokeRoleRequest) -> Result<Vec<Record>, AuthError> {
        if self.enabled && request.name == ROOT && request.role == ROOT {
            return Err(AuthError::InvalidAuthMgmt);
        }
        let mut user = self.user(&request.name)?.clone();
        if !user.roles.contains(&request.role) {
            return Err(AuthError::RoleNotGranted);
        }
        user.roles.retain(|role| *role != request.role);
        let records = vec![self.set_user(&request.name, user)];
        Ok(self.changed(records))
    }

    /// Adds a role.
    pub fn role_add(&mut self, request: &AuthRoleAddRequest) -> Result<Vec<Record>, AuthError> {
        if request.name.is_empty() {
            return Err(AuthError::RoleEmpty);
        }
        if self.roles.contains_key(&request.name) {
            return Err(AuthError::RoleAlreadyExist);
        }
        let role = Role { name: request.name.clone().into(), key_permission: Vec::new() };
        let records = vec![self.set_role(&request.name, role)];
        Ok(self.changed(records))
    }

    /// Removes a role, from all users too.
    pub fn role_delete(&mut self, request: &AuthRoleDeleteRequest) -> Result<Vec<Record>, AuthError> {
        if self.enabled && request.role == ROOT {
            return Err(AuthError::InvalidAuthMgmt);
        }
        self.roles.remove(&request.role).ok_or(AuthError::RoleNotFound)?;
        let mut records = vec![unset(Bucket::AuthRoles, &request.role)];
        for (name, user) in &mut self.users {
            if user.roles.contains(&request.role) {
                user.roles.retain(|role| *role != request.role);
                records.push(put(Bucket::AuthUsers, name.as_bytes(), user.encode_to_vec()));
            }
        }
        Ok(self.changed(records))
    }

    /// Gives a role a permission.
    pub fn role_grant_permission(
        &mut self,
        request: &AuthRoleGrantPermissionRequest,
    ) -> Result<Vec<Record>, AuthError> {
        let new = request.perm.as_ref().ok_or(AuthError::PermissionNotGiven)?;
        if !is_valid(&new.key, &new.range_end) {
            return Err(AuthError::InvalidAuthMgmt);
        }
        let mut role = self.role(&request.name)?.clone();
        let all = &mut role.key_permission;
        match all.iter_mut().find(|old| old.key == new.key && old.range_end == new.range_end) {
            Some(old) => old.perm_type = new.perm_type,
            None => all.insert(all.partition_point(|old| old.key <= new.key), new.clone()),
        }
        let records = vec![self.set_role(&request.name, role)];
        Ok(self.changed(records))
    }

    /// Takes a permission from a role.
    pub fn role_revoke_permission(
        &mut self,
        request: &AuthRoleRevokePermissionRequest,
    ) -> Result<Vec<Record>, AuthError> {
        let mut role = self.role(&request.role)?.clone();
        let before = role.key_permission.len();
        role.key_permission.retain(|old| old.key != request.key || old.range_end != request.range_end);
        if role.key_permission.len() == before {
            return Err(AuthError::PermissionNotGranted);
        }
        let records = vec![self.set_role(&request.role, role)];
        Ok(self.changed(records))
    }

    /// The roles of a user, ascending.
    pub fn user_get(&self, name: &str) -> Result<Vec<String>, AuthError> {
        self.user(name).map(|user| user.roles.clone())
    }

    /// All users, ascending.
    pub fn user_list(&self) -> Vec<String> {
        self.users.keys().cloned().collect()
    }

    /// What a role permits, ascending by key.
    pub fn role_get(&self, name: &str) -> Result<Vec<Permission>, AuthError> {
        self.role(name).map(|role| role.key_permission.clone())
    }

    /// All roles, ascending.
    pub fn role_list(&self) -> Vec<String> {
        self.roles.keys().cloned().collect()
    }

    fn user(&self, name: &str) -> Result<&User, AuthError> {
        self.users.get(name).ok_or(AuthError::UserNotFound)
    }

    fn role(&self, name: &str) -> Result<&Role, AuthError> {
        self.roles.get(name).ok_or(AuthError::RoleNotFound)
    }

    fn set_user(&mut self, name: &str, user: User) -> Record {
        let record = put(Bucket::AuthUsers, name.as_bytes(), user.encode_to_vec());
        self.users.insert(name.to_owned(), user);
        record
    }

    fn set_role(&mut self, name: &str, role: Role) -> Record {
        let record = put(Bucket::AuthRoles, name.as_bytes(), role.encode_to_vec());
        self.roles.insert(name.to_owned(), role);
        record
    }
}

fn unset(bucket: Bucket, name: &str) -> Record {
    Record { bucket, key: Bytes::copy_from_slice(name.as_bytes()), value: None }
}

/// The hash that an entry carries.
fn hash_of(password: &str, hashed_password: &str) -> Result<Bytes, AuthError> {
    let is_plain = !password.is_empty() && hashed_password.is_empty();
    hash_of_entry(hashed_password).filter(|_| !is_plain).ok_or(AuthError::NoPasswordUser)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{alice, granted, permission, state, user, write};
    use super::*;
    use crate::backend::Memory;
    use crate::bug::BugSet;
    use crate::pb::authpb::PermissionType;
    use proptest::prelude::*;

    fn name(text: &str) -> String {
        text.to_owned()
    }

    fn revoke_role(user: &str, role: &str) -> AuthUserRevokeRoleRequest {
        AuthUserRevokeRoleRequest { name: name(user), role: name(role) }
    }

    fn revoke_permission(role: &str, key: &'static str, end: &'static str) -> AuthRoleRevokePermissionRequest {
        let (key, range_end) = (Bytes::from_static(key.as_bytes()), Bytes::from_static(end.as_bytes()));
        AuthRoleRevokePermissionRequest { role: name(role), key, range_end }
    }

    #[test]
    fn what_cannot_be_changed_is_refused_as_etcd_refuses_it() {
        let (mut store, _) = alice();
        let before = state(&store);
        let plain = AuthUserAddRequest { name: name("x"), password: name("secret"), ..Default::default() };
        let garbled = AuthUserAddRequest { name: name("x"), hashed_password: name("$"), ..Default::default() };
        let of = |role: &str| AuthRoleDeleteRequest { role: name(role) };
        use AuthError as E;
        for (n, (result, error)) in [
            (store.user_add(&user("")), E::UserEmpty),
            (store.user_add(&user("alice")), E::UserAlreadyExist),
            (store.user_add(&plain), E::NoPasswordUser),
            (store.user_add(&garbled), E::NoPasswordUser),
            (store.user_delete(&AuthUserDeleteRequest { name: name("x") }), E::UserNotFound),
            (store.user_delete(&AuthUserDeleteRequest { name: name("root") }), E::InvalidAuthMgmt),
            (store.user_change_password(&AuthUserChangePasswordRequest::default()), E::UserNotFound),
            (store.user_grant_role(&granted("x", "rw")), E::UserNotFound),
            (store.user_grant_role(&granted("alice", "x")), E::RoleNotFound),
            (store.user_revoke_role(&revoke_role("root", "root")), E::InvalidAuthMgmt),
            (store.user_revoke_role(&revoke_role("x", "rw")), E::UserNotFound),
            (store.user_revoke_role(&revoke_role("alice", "x")), E::RoleNotGranted),
            (store.role_add(&AuthRoleAddRequest { name: name("") }), E::RoleEmpty),
            (store.role_add(&AuthRoleAddRequest { name: name("rw") }), E::RoleAlreadyExist),
            (store.role_delete(&of("x")), E::RoleNotFound),
            (store.role_delete(&of("root")), E::InvalidAuthMgmt),
            (store.role_grant_permission(&AuthRoleGrantPermissionRequest::default()), E::PermissionNotGiven),
            (store.role_grant_permission(&permission("x", PermissionType::Read, "a", "")), E::RoleNotFound),
            (store.role_grant_permission(&permission("rw", PermissionType::Read, "", "")), E::InvalidAuthMgmt),
            (store.role_grant_permission(&permission("rw", PermissionType::Read, "b", "b")), E::InvalidAuthMgmt),
            (store.role_revoke_permission(&revoke_permission("x", "a", "c")), E::RoleNotFound),
            (store.role_revoke_permission(&revoke_permission("rw", "a", "b")), E::PermissionNotGranted),
        ]
        .into_iter()
        .enumerate()
        {
            assert_eq!(result, Err(error), "case {n}");
        }
        assert!(state(&store) == before, "and changes nothing");
    }

    #[test]
    fn root_may_go_once_auth_is_off() {
        let (mut store, _) = alice();
        store.disable();
        store.role_add(&AuthRoleAddRequest { name: name("root") }).unwrap();
        store.user_revoke_role(&revoke_role("root", "root")).unwrap();
        store.role_delete(&AuthRoleDeleteRequest { role: name("root") }).unwrap();
        store.user_delete(&AuthUserDeleteRequest { name: name("root") }).unwrap();
        assert_eq!(store.user_list(), ["alice"]);
    }

    #[test]
    fn a_role_that_goes_goes_from_its_users() {
        let (mut store, _) = alice();
        let revision = store.revision();
        let records = store.role_delete(&AuthRoleDeleteRequest { role: name("rw") }).unwrap();
        assert_eq!(records.len(), 3, "the role, alice, the revision");
        assert_eq!(store.user_get("alice"), Ok(vec![]));
        assert_eq!(store.user_get("root"), Ok(vec![name("root")]));
        assert_eq!((store.role_list(), store.revision()), (vec![], revision + 1));
    }

    #[test]
    fn a_role_granted_again_is_no_change_and_a_permission_granted_again_is_one() {
        let (mut store, _) = alice();
        let revision = store.revision();
        assert_eq!(store.user_grant_role(&granted("alice", "rw")), Ok(vec![]));
        assert_eq!(store.revision(), revision);
        store.role_grant_permission(&permission("rw", PermissionType::Write, "a", "c")).unwrap();
        store.role_grant_permission(&permission("rw", PermissionType::Read, "a", "")).unwrap();
        store.role_grant_permission(&permission("rw", PermissionType::Read, "a", "")).unwrap();
        assert_eq!(store.revision(), revision + 3);
        let permissions = store.role_get("rw").unwrap();
        let permissions: Vec<_> = permissions.iter().map(|p| (p.perm_type, &p.key[..], &p.range_end[..])).collect();
        assert_eq!(permissions, [(1, &b"a"[..], &b"c"[..]), (0, b"a", b""), (2, b"c", b"f")]);
    }

    #[test]
    fn a_user_is_stored_as_etcd_stores_it() {
        let mut store = AuthStore::new(BugSet::NONE);
        let records = store.user_add(&user("al")).unwrap();
        assert_eq!(records[0], put(Bucket::AuthUsers, b"al", b"\x0a\x02al\x12\x02al\x22\x00".to_vec()));
        assert_eq!(records[1], put(Bucket::Auth, b"authRevision", vec![0, 0, 0, 0, 0, 0, 0, 2]));
    }

    proptest! {
        /// Whatever was changed and refused: the buckets hold all of it.
        #[test]
        fn what_is_loaded_is_what_was(steps in prop::collection::vec((0..9_u8, 0..3_usize, 0..3_usize), 1..60)) {
            let (users, roles) = (["root", "u", "v"], ["root", "r", "s"]);
            let ranges = [("a", "c"), ("b", ""), ("c", "\0")];
            let (mut store, mut engine) = (AuthStore::new(BugSet::NONE), Memory::new());
            for (kind, n, m) in steps {
                let (user_name, role, (key, end)) = (users[n], roles[m], ranges[n]);
                let records = match kind {
                    0 => store.user_add(&user(user_name)),
                    1 => store.user_delete(&AuthUserDeleteRequest { name: name(user_name) }),
                    2 => store.user_grant_role(&granted(user_name, role)),
                    3 => store.user_revoke_role(&revoke_role(user_name, role)),
                    4 => store.role_add(&AuthRoleAddRequest { name: name(role) }),
                    5 => store.role_delete(&AuthRoleDeleteRequest { role: name(role) }),
                    6 => store.role_grant_permission(&permission(role, PermissionType::Readwrite, key, end)),
                    7 => store.role_revoke_permission(&revoke_permission(role, key, end)),
                    _ => store.enable(),
                };
                write(&mut engine, records.unwrap_or_default());
            }
            prop_assert_eq!(state(&AuthStore::load(&engine, BugSet::NONE).unwrap()), state(&store));
        }
    }
}
