//! What auth refuses, in etcd's words and with its status codes.

use super::Code;

/// Why auth refuses; the texts are etcd's, since clients match on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum AuthError {
    /// Auth cannot be enabled without a user `root`.
    #[error("etcdserver: root user does not exist")]
    RootUserNotExist,
    /// Nor without its having the role `root`.
    #[error("etcdserver: root user does not have root role")]
    RootRoleNotExist,
    /// A user of that name exists.
    #[error("etcdserver: user name already exists")]
    UserAlreadyExist,
    /// A request that needs a user names none.
    #[error("etcdserver: user name is empty")]
    UserEmpty,
    /// There is no such user.
    #[error("etcdserver: user name not found")]
    UserNotFound,
    /// A role of that name exists.
    #[error("etcdserver: role name already exists")]
    RoleAlreadyExist,
    /// There is no such role.
    #[error("etcdserver: role name not found")]
    RoleNotFound,
    /// A role needs a name.
    #[error("etcdserver: role name is empty")]
    RoleEmpty,
    /// No such user, or not its password.
    #[error("etcdserver: authentication failed, invalid user ID or password")]
    AuthFailed,
    /// A password for a user that has none, or a password's hash that cannot be read.
    #[error("auth: authentication failed, password was given for no password user")]
    NoPasswordUser,
    /// The user may not do this.
    #[error("etcdserver: permission denied")]
    PermissionDenied,
    /// The user does not have the role that is to be taken from it.
    #[error("etcdserver: role is not granted to the user")]
    RoleNotGranted,
    /// The role does not have the permission that is to be taken from it.
    #[error("etcdserver: permission is not granted to the role")]
    PermissionNotGranted,
    /// The permission to be granted is missing.
    #[error("etcdserver: permission not given")]
    PermissionNotGiven,
    /// Only an enabled auth gives tokens.
    #[error("etcdserver: authentication is not enabled")]
    AuthNotEnabled,
    /// The token is unknown, or it has expired.
    #[error("etcdserver: invalid auth token")]
    InvalidAuthToken,
    /// While auth is on, `root` must stay what it is; and a permission must be on keys that exist.
    #[error("etcdserver: invalid auth management")]
    InvalidAuthMgmt,
    /// Users, roles or permissions changed since the request was admitted: its author has to ask anew.
    #[error("etcdserver: revision of auth store is old")]
    AuthOldRevision,
}

impl AuthError {
    /// The gRPC status code that etcd sends with this text.
    pub fn code(self) -> Code {
        match self {
            AuthError::RootUserNotExist
            | AuthError::RootRoleNotExist
            | AuthError::UserAlreadyExist
            | AuthError::UserNotFound
            | AuthError::RoleAlreadyExist
            | AuthError::RoleNotFound
            | AuthError::RoleNotGranted
            | AuthError::PermissionNotGranted
            | AuthError::AuthNotEnabled => Code::FailedPrecondition,
            AuthError::UserEmpty
            | AuthError::RoleEmpty
            | AuthError::AuthFailed
            | AuthError::PermissionNotGiven
            | AuthError::InvalidAuthMgmt
            | AuthError::AuthOldRevision => Code::InvalidArgument,
            AuthError::PermissionDenied => Code::PermissionDenied,
            AuthError::InvalidAuthToken => Code::Unauthenticated,
            // etcd gives it no code of its own.
            AuthError::NoPasswordUser => Code::Unknown,
        }
    }
}
