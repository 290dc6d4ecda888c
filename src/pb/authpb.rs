//! Package `authpb` (proto3): users and roles as they are stored.

use bytes::Bytes;

/// How a user was added.
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct UserAddOptions {
    /// It has no password: only its certificate says who it is.
    #[prost(bool, tag = "1")]
    pub no_password: bool,
}

/// A record of the bucket `authUsers`.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct User {
    /// Its name.
    #[prost(bytes = "bytes", tag = "1")]
    pub name: Bytes,
    /// The bcrypt hash of its password.
    #[prost(bytes = "bytes", tag = "2")]
    pub password: Bytes,
    /// Its roles, ascending.
    #[prost(string, repeated, tag = "3")]
    pub roles: Vec<String>,
    /// How it was added.
    #[prost(message, optional, tag = "4")]
    pub options: Option<UserAddOptions>,
}

/// What a permission lets do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum PermissionType {
    /// Reading.
    Read = 0,
    /// Writing.
    Write = 1,
    /// Both.
    Readwrite = 2,
}

/// A permission on an interval of keys.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct Permission {
    /// What it lets do.
    #[prost(enumeration = "PermissionType", tag = "1")]
    pub perm_type: i32,
    /// The first key.
    #[prost(bytes = "bytes", tag = "2")]
    pub key: Bytes,
    /// The key after the last. Empty: only `key`. A single zero byte: everything from `key` on.
    #[prost(bytes = "bytes", tag = "3")]
    pub range_end: Bytes,
}

/// A record of the bucket `authRoles`.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct Role {
    /// Its name.
    #[prost(bytes = "bytes", tag = "1")]
    pub name: Bytes,
    /// What it permits, ascending by key.
    #[prost(message, repeated, tag = "2")]
    pub key_permission: Vec<Permission>,
}
