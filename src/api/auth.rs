//! The requests about users, roles and permissions, their answers, and who asks.

use crate::pb::etcdserverpb::{
    AuthDisableRequest, AuthDisableResponse, AuthEnableRequest, AuthEnableResponse, AuthRoleAddRequest,
    AuthRoleAddResponse, AuthRoleDeleteRequest, AuthRoleDeleteResponse, AuthRoleGetRequest, AuthRoleGetResponse,
    AuthRoleGrantPermissionRequest, AuthRoleGrantPermissionResponse, AuthRoleListRequest, AuthRoleListResponse,
    AuthRoleRevokePermissionRequest, AuthRoleRevokePermissionResponse, AuthUserAddRequest, AuthUserAddResponse,
    AuthUserChangePasswordRequest, AuthUserChangePasswordResponse, AuthUserDeleteRequest, AuthUserDeleteResponse,
    AuthUserGetRequest, AuthUserGetResponse, AuthUserGrantRoleRequest, AuthUserGrantRoleResponse, AuthUserListRequest,
    AuthUserListResponse, AuthUserRevokeRoleRequest, AuthUserRevokeRoleResponse, AuthenticateRequest,
    AuthenticateResponse, ResponseHeader,
};

/// Who asks, as far as the request says. What it says is checked by the member that was asked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Credentials {
    /// It says nothing.
    #[default]
    None,
    /// Whoever got this token for a name and a password.
    Token(String),
    /// Whoever has a certificate with this common name; the edge has checked it.
    CommonName(String),
}

/// A request of service `Auth`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum AuthRequest {
    /// Turn the checks on.
    Enable(AuthEnableRequest),
    /// Turn them off.
    Disable(AuthDisableRequest),
    /// Give a token for a name and its password.
    Authenticate(AuthenticateRequest),
    /// Add a user.
    UserAdd(AuthUserAddRequest),
    /// Look at a user's roles.
    UserGet(AuthUserGetRequest),
    /// Remove a user.
    UserDelete(AuthUserDeleteRequest),
    /// Give a user another password.
    UserChangePassword(AuthUserChangePasswordRequest),
    /// Give a user a role.
    UserGrantRole(AuthUserGrantRoleRequest),
    /// Take a role from a user.
    UserRevokeRole(AuthUserRevokeRoleRequest),
    /// Name all users.
    UserList(AuthUserListRequest),
    /// Add a role.
    RoleAdd(AuthRoleAddRequest),
    /// Look at what a role permits.
    RoleGet(AuthRoleGetRequest),
    /// Remove a role.
    RoleDelete(AuthRoleDeleteRequest),
    /// Let a role do something more.
    RoleGrantPermission(AuthRoleGrantPermissionRequest),
    /// Let it do something less.
    RoleRevokePermission(AuthRoleRevokePermissionRequest),
    /// Name all roles.
    RoleList(AuthRoleListRequest),
}

/// What it brought.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum AuthResponse {
    /// To [`AuthRequest::Enable`].
    Enable(AuthEnableResponse),
    /// To [`AuthRequest::Disable`].
    Disable(AuthDisableResponse),
    /// To [`AuthRequest::Authenticate`].
    Authenticate(AuthenticateResponse),
    /// To [`AuthRequest::UserAdd`].
    UserAdd(AuthUserAddResponse),
    /// To [`AuthRequest::UserGet`].
    UserGet(AuthUserGetResponse),
    /// To [`AuthRequest::UserDelete`].
    UserDelete(AuthUserDeleteResponse),
    /// To [`AuthRequest::UserChangePassword`].
    UserChangePassword(AuthUserChangePasswordResponse),
    /// To [`AuthRequest::UserGrantRole`].
    UserGrantRole(AuthUserGrantRoleResponse),
    /// To [`AuthRequest::UserRevokeRole`].
    UserRevokeRole(AuthUserRevokeRoleResponse),
    /// To [`AuthRequest::UserList`].
    UserList(AuthUserListResponse),
    /// To [`AuthRequest::RoleAdd`].
    RoleAdd(AuthRoleAddResponse),
    /// To [`AuthRequest::RoleGet`].
    RoleGet(AuthRoleGetResponse),
    /// To [`AuthRequest::RoleDelete`].
    RoleDelete(AuthRoleDeleteResponse),
    /// To [`AuthRequest::RoleGrantPermission`].
    RoleGrantPermission(AuthRoleGrantPermissionResponse),
    /// To [`AuthRequest::RoleRevokePermission`].
    RoleRevokePermission(AuthRoleRevokePermissionResponse),
    /// To [`AuthRequest::RoleList`].
    RoleList(AuthRoleListResponse),
}

impl AuthResponse {
    /// Adds the header that only the member knows.
    #[must_use]
    pub fn with_header(mut self, header: Option<ResponseHeader>) -> AuthResponse {
        let place = match &mut self {
            AuthResponse::Enable(response) => &mut response.header,
            AuthResponse::Disable(response) => &mut response.header,
            AuthResponse::Authenticate(response) => &mut response.header,
            AuthResponse::UserAdd(response) => &mut response.header,
            AuthResponse::UserGet(response) => &mut response.header,
            AuthResponse::UserDelete(response) => &mut response.header,
            AuthResponse::UserChangePassword(response) => &mut response.header,
            AuthResponse::UserGrantRole(response) => &mut response.header,
            AuthResponse::UserRevokeRole(response) => &mut response.header,
            AuthResponse::UserList(response) => &mut response.header,
            AuthResponse::RoleAdd(response) => &mut response.header,
            AuthResponse::RoleGet(response) => &mut response.header,
            AuthResponse::RoleDelete(response) => &mut response.header,
            AuthResponse::RoleGrantPermission(response) => &mut response.header,
            AuthResponse::RoleRevokePermission(response) => &mut response.header,
            AuthResponse::RoleList(response) => &mut response.header,
        };
        *place = header;
        self
    }
}
