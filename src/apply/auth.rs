//! Entries about users, roles and permissions.

use super::{Failed, write};
use crate::api::{AuthRequest, AuthResponse, Response};
use crate::auth::AuthStore;
use crate::mvcc::WriteTxn;
use crate::pb::etcdserverpb::{
    AuthDisableResponse, AuthEnableResponse, AuthRoleAddResponse, AuthRoleDeleteResponse, AuthRoleGetResponse,
    AuthRoleGrantPermissionResponse, AuthRoleListResponse, AuthRoleRevokePermissionResponse, AuthUserAddResponse,
    AuthUserChangePasswordResponse, AuthUserDeleteResponse, AuthUserGetResponse, AuthUserGrantRoleResponse,
    AuthUserListResponse, AuthUserRevokeRoleResponse, AuthenticateResponse, InternalRaftRequest,
};
use crate::time::Now;

/// Puts a request where an entry carries it.
pub(super) fn put_into(entry: &mut InternalRaftRequest, request: AuthRequest) {
    match request {
        AuthRequest::Enable(request) => entry.auth_enable = Some(request),
        AuthRequest::Disable(request) => entry.auth_disable = Some(request),
        AuthRequest::UserAdd(request) => entry.auth_user_add = Some(request.into()),
        AuthRequest::UserGet(request) => entry.auth_user_get = Some(request),
        AuthRequest::UserDelete(request) => entry.auth_user_delete = Some(request),
        AuthRequest::UserChangePassword(request) => entry.auth_user_change_password = Some(request.into()),
        AuthRequest::UserGrantRole(request) => entry.auth_user_grant_role = Some(request.into()),
        AuthRequest::UserRevokeRole(request) => entry.auth_user_revoke_role = Some(request.into()),
        AuthRequest::UserList(request) => entry.auth_user_list = Some(request),
        AuthRequest::RoleAdd(request) => entry.auth_role_add = Some(request),
        AuthRequest::RoleGet(request) => entry.auth_role_get = Some(request),
        AuthRequest::RoleDelete(request) => entry.auth_role_delete = Some(request),
        AuthRequest::RoleGrantPermission(request) => entry.auth_role_grant_permission = Some(request.into()),
        AuthRequest::RoleRevokePermission(request) => entry.auth_role_revoke_permission = Some(request.into()),
        AuthRequest::RoleList(request) => entry.auth_role_list = Some(request),
        AuthRequest::Authenticate(_) => panic!("invariant: a password is checked before the log, and stays out of it"),
    }
}

/// Whether an entry is one of these: those that are for `root`, and three that anybody may propose.
pub(super) fn is_for_auth(entry: &InternalRaftRequest) -> bool {
    crate::auth::is_for_root(entry)
        || entry.authenticate.is_some()
        || entry.auth_user_get.is_some()
        || entry.auth_role_get.is_some()
}

/// Does what one of them says.
pub(super) fn run(
    txn: &mut WriteTxn<'_>,
    auth: &mut AuthStore,
    now: Now,
    index: u64,
    entry: &InternalRaftRequest,
) -> Result<Response, Failed> {
    use AuthResponse as R;
    let mut records = Vec::new();
    let response = if entry.auth_enable.is_some() {
        records = auth.enable()?;
        R::Enable(AuthEnableResponse::default())
    } else if entry.auth_disable.is_some() {
        records = auth.disable();
        R::Disable(AuthDisableResponse::default())
    } else if let Some(request) = &entry.authenticate {
        let token = auth.authenticate(now, request, index)?;
        R::Authenticate(AuthenticateResponse { header: None, token })
    } else if let Some(request) = &entry.auth_user_add {
        records = auth.user_add(request)?;
        R::UserAdd(AuthUserAddResponse::default())
    } else if let Some(request) = &entry.auth_user_get {
        R::UserGet(AuthUserGetResponse { header: None, roles: auth.user_get(&request.name)? })
    } else if let Some(request) = &entry.auth_user_delete {
        records = auth.user_delete(request)?;
        R::UserDelete(AuthUserDeleteResponse::default())
    } else if let Some(request) = &entry.auth_user_change_password {
        records = auth.user_change_password(request)?;
        R::UserChangePassword(AuthUserChangePasswordResponse::default())
    } else if let Some(request) = &entry.auth_user_grant_role {
        records = auth.user_grant_role(request)?;
        R::UserGrantRole(AuthUserGrantRoleResponse::default())
    } else if let Some(request) = &entry.auth_user_revoke_role {
        records = auth.user_revoke_role(request)?;
        R::UserRevokeRole(AuthUserRevokeRoleResponse::default())
    } else if entry.auth_user_list.is_some() {
        R::UserList(AuthUserListResponse { header: None, users: auth.user_list() })
    } else if let Some(request) = &entry.auth_role_add {
        records = auth.role_add(request)?;
        R::RoleAdd(AuthRoleAddResponse::default())
    } else if let Some(request) = &entry.auth_role_get {
        R::RoleGet(AuthRoleGetResponse { header: None, perm: auth.role_get(&request.role)? })
    } else if let Some(request) = &entry.auth_role_delete {
        records = auth.role_delete(request)?;
        R::RoleDelete(AuthRoleDeleteResponse::default())
    } else if let Some(request) = &entry.auth_role_grant_permission {
        records = auth.role_grant_permission(request)?;
        R::RoleGrantPermission(AuthRoleGrantPermissionResponse::default())
    } else if let Some(request) = &entry.auth_role_revoke_permission {
        records = auth.role_revoke_permission(request)?;
        R::RoleRevokePermission(AuthRoleRevokePermissionResponse::default())
    } else {
        R::RoleList(AuthRoleListResponse { header: None, roles: auth.role_list() })
    };
    records.into_iter().try_for_each(|record| write(txn, record))?;
    Ok(Response::Auth(response))
}
