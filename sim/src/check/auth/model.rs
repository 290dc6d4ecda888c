//! A model of users, roles and permissions.
//!
//! It shares nothing with the store's own: it keeps the permissions as they were granted and walks a range piece by
//! piece, where the store merges intervals once.

use bytes::Bytes;
use seedbed::api::AuthError;
use seedbed::auth::AuthInfo;
use seedbed::pb::authpb::{Permission, PermissionType};
use seedbed::pb::etcdserverpb::{
    DeleteRangeRequest, InternalRaftRequest, PutRequest, TxnRequest, request_op::Request as Op,
};
use std::collections::{BTreeMap, BTreeSet};

const READ: [PermissionType; 2] = [PermissionType::Read, PermissionType::Readwrite];
const WRITE: [PermissionType; 2] = [PermissionType::Write, PermissionType::Readwrite];

/// Users and roles as the log makes them.
#[derive(Clone, Debug)]
pub struct Model {
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

/// Names the keys that hang on a lease.
pub type KeysOf<'a> = &'a dyn Fn(i64) -> Vec<Bytes>;

impl Model {
    /// Why an entry is refused, if it is. `keys_of` knows the leases as they are before it.
    pub fn decide(&self, entry: &InternalRaftRequest, keys_of: KeysOf<'_>) -> Option<AuthError> {
        let header = entry.header.clone().unwrap_or_default();
        let who = AuthInfo { username: header.username, revision: header.auth_revision };
        let roles = self.users.get(&who.username);
        let decided = if let Some(put) = &entry.put {
            self.put(&who, put, keys_of)
        } else if let Some(txn) = &entry.txn {
            self.txn(&who, txn, keys_of)
        } else if let Some(revoke) = &entry.lease_revoke {
            self.lease(&who, revoke.id, keys_of)
        } else if let Some(range) = &entry.range {
            self.access(&who, (&range.key, &range.range_end), READ)
        } else if let Some(delete) = &entry.delete_range {
            self.delete(&who, delete)
        } else if let Some(get) = &entry.auth_user_get {
            self.admin(&who).or_else(|error| if get.name == who.username { Ok(()) } else { Err(error) })
        } else if let Some(get) = &entry.auth_role_get {
            let has_it = roles.is_some_and(|roles| roles.contains(&get.role));
            self.admin(&who).or_else(|error| if has_it { Ok(()) } else { Err(error) })
        } else if is_of_admins(entry) {
            self.admin(&who)
        } else {
            Ok(())
        };
        decided.err()
    }

    /// Why a read is refused, if it is.
    pub fn decide_read(&self, who: &AuthInfo, key: &[u8], range_end: &[u8]) -> Option<AuthError> {
        self.access(who, (key, range_end), READ).err()
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

    fn put(&self, who: &AuthInfo, put: &PutRequest, keys_of: KeysOf<'_>) -> Result<(), AuthError> {
        let key = (&put.key[..], &b""[..]);
        self.access(who, key, WRITE)?;
        if put.lease != 0 {
            self.lease(who, put.lease, keys_of)?;
        }
        if put.prev_kv { self.access(who, key, READ) } else { Ok(()) }
    }

    /// What hangs a key on a lease, or ends it, may have the lease's other keys deleted.
    fn lease(&self, who: &AuthInfo, lease: i64, keys_of: KeysOf<'_>) -> Result<(), AuthError> {
        if !self.enabled {
            return Ok(());
        }
        keys_of(lease).iter().try_for_each(|key| self.access(who, (key, b""), WRITE))
    }

    fn delete(&self, who: &AuthInfo, delete: &DeleteRangeRequest) -> Result<(), AuthError> {
        let range = (&delete.key[..], &delete.range_end[..]);
        self.access(who, range, WRITE)?;
        if delete.prev_kv { self.access(who, range, READ) } else { Ok(()) }
    }

    fn txn(&self, who: &AuthInfo, txn: &TxnRequest, keys_of: KeysOf<'_>) -> Result<(), AuthError> {
        for compare in &txn.compare {
            self.access(who, (&compare.key, &compare.range_end), READ)?;
        }
        for op in txn.success.iter().chain(&txn.failure) {
            match &op.request {
                Some(Op::RequestRange(range)) => self.access(who, (&range.key, &range.range_end), READ)?,
                Some(Op::RequestPut(put)) => self.put(who, put, keys_of)?,
                Some(Op::RequestDeleteRange(delete)) => self.delete(who, delete)?,
                Some(Op::RequestTxn(nested)) => self.txn(who, nested, keys_of)?,
                None => {}
            }
        }
        Ok(())
    }

    /// Does what an entry says that was let through.
    pub fn apply(&mut self, entry: &InternalRaftRequest) {
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
