//! Service `Auth`.

use super::ResponseHeader;
use crate::pb::authpb::{Permission, UserAddOptions};
use bytes::Bytes;

/// Turns permission checks on.
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct AuthEnableRequest {}

/// The answer to [`AuthEnableRequest`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct AuthEnableResponse {
    /// Who answered.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
}

/// Turns permission checks off.
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct AuthDisableRequest {}

/// The answer to [`AuthDisableRequest`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct AuthDisableResponse {
    /// Who answered.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
}

/// Asks for a token.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct AuthenticateRequest {
    /// The user.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its password.
    #[prost(string, tag = "2")]
    pub password: String,
}

/// The answer to [`AuthenticateRequest`].
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct AuthenticateResponse {
    /// Who answered.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
    /// To be sent with every request.
    #[prost(string, tag = "2")]
    pub token: String,
}

/// An authentication in the log: the password was checked before.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct InternalAuthenticateRequest {
    /// The user.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Empty.
    #[prost(string, tag = "2")]
    pub password: String,
    /// The token that every member is to know.
    #[prost(string, tag = "3")]
    pub simple_token: String,
}

/// Adds a user.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct AuthUserAddRequest {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its password; empty in the log.
    #[prost(string, tag = "2")]
    pub password: String,
    /// How.
    #[prost(message, optional, tag = "3")]
    pub options: Option<UserAddOptions>,
    /// The bcrypt hash: computed by the member that proposes (from etcd 3.5 on), so that all store the same.
    #[prost(string, tag = "4")]
    pub hashed_password: String,
}

/// The answer to [`AuthUserAddRequest`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct AuthUserAddResponse {
    /// Who answered.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
}

/// Asks for a user.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct AuthUserGetRequest {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
}

/// The answer to [`AuthUserGetRequest`].
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct AuthUserGetResponse {
    /// Who answered.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
    /// Its roles.
    #[prost(string, repeated, tag = "2")]
    pub roles: Vec<String>,
}

/// Removes a user.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct AuthUserDeleteRequest {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
}

/// The answer to [`AuthUserDeleteRequest`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct AuthUserDeleteResponse {
    /// Who answered.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
}

/// Gives a user another password.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct AuthUserChangePasswordRequest {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// The password; empty in the log.
    #[prost(string, tag = "2")]
    pub password: String,
    /// Its bcrypt hash.
    #[prost(string, tag = "3")]
    pub hashed_password: String,
}

/// The answer to [`AuthUserChangePasswordRequest`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct AuthUserChangePasswordResponse {
    /// Who answered.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
}

/// Gives a user a role.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct AuthUserGrantRoleRequest {
    /// The user.
    #[prost(string, tag = "1")]
    pub user: String,
    /// The role.
    #[prost(string, tag = "2")]
    pub role: String,
}

/// The answer to [`AuthUserGrantRoleRequest`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct AuthUserGrantRoleResponse {
    /// Who answered.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
}

/// Takes a role from a user.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct AuthUserRevokeRoleRequest {
    /// The user.
    #[prost(string, tag = "1")]
    pub name: String,
    /// The role.
    #[prost(string, tag = "2")]
    pub role: String,
}

/// The answer to [`AuthUserRevokeRoleRequest`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct AuthUserRevokeRoleResponse {
    /// Who answered.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
}

/// Asks for all users.
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct AuthUserListRequest {}

/// The answer to [`AuthUserListRequest`].
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct AuthUserListResponse {
    /// Who answered.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
    /// Their names.
    #[prost(string, repeated, tag = "2")]
    pub users: Vec<String>,
}

/// Adds a role.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct AuthRoleAddRequest {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
}

/// The answer to [`AuthRoleAddRequest`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct AuthRoleAddResponse {
    /// Who answered.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
}

/// Asks for a role.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct AuthRoleGetRequest {
    /// Its name.
    #[prost(string, tag = "1")]
    pub role: String,
}

/// The answer to [`AuthRoleGetRequest`].
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct AuthRoleGetResponse {
    /// Who answered.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
    /// What it permits.
    #[prost(message, repeated, tag = "2")]
    pub perm: Vec<Permission>,
}

/// Asks for all roles.
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct AuthRoleListRequest {}

/// The answer to [`AuthRoleListRequest`].
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct AuthRoleListResponse {
    /// Who answered.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
    /// Their names.
    #[prost(string, repeated, tag = "2")]
    pub roles: Vec<String>,
}

/// Removes a role.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct AuthRoleDeleteRequest {
    /// Its name.
    #[prost(string, tag = "1")]
    pub role: String,
}

/// The answer to [`AuthRoleDeleteRequest`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct AuthRoleDeleteResponse {
    /// Who answered.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
}

/// Gives a role a permission.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct AuthRoleGrantPermissionRequest {
    /// The role.
    #[prost(string, tag = "1")]
    pub name: String,
    /// The permission.
    #[prost(message, optional, tag = "2")]
    pub perm: Option<Permission>,
}

/// The answer to [`AuthRoleGrantPermissionRequest`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct AuthRoleGrantPermissionResponse {
    /// Who answered.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
}

/// Takes a permission from a role.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct AuthRoleRevokePermissionRequest {
    /// The role.
    #[prost(string, tag = "1")]
    pub role: String,
    /// The first key.
    #[prost(bytes = "bytes", tag = "2")]
    pub key: Bytes,
    /// The key after the last.
    #[prost(bytes = "bytes", tag = "3")]
    pub range_end: Bytes,
}

/// The answer to [`AuthRoleRevokePermissionRequest`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct AuthRoleRevokePermissionResponse {
    /// Who answered.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
}
