//! Who may do what (lesson 05): users have roles, roles have permissions on keys.
//!
//! ```text
//!   before the log, at the member that was asked            after the log, at every member
//!
//!   name, password ──▶ password_hash ─▶ verify_password     authenticate ──▶ a token for the name
//!                      (a job; bcrypt)                      user_add, role_grant_permission, … ──▶ records
//!   token ──▶ info ──▶ AuthInfo{user, revision} ──────────▶ check_entry: may it still?
//!             (into the entry's header)
//! ```
//!
//! A request is checked when its entry is applied, since what its user may do can change while it is under way. Every
//! change bumps the *auth revision*; the entry carries the revision at which it was admitted, and one that is behind is
//! refused ([`AuthError::AuthOldRevision`]). All members must agree on that, so the revision is written in the transaction
//! of the entry that changed it, together with the consistent index: apart, and a restart counts one change twice, and
//! that member alone refuses what the others do (etcd #11651).
//!
//! What is stored, as etcd does:
//!
//! ```text
//!   bucket      key           value
//!   auth        authEnabled   1 byte, 0 or 1
//!   auth        authRevision  u64 big-endian; 1 where nothing ever changed
//!   authUsers   name          authpb.User{name, password (bcrypt), roles, options{no_password}}
//!   authRoles   name          authpb.Role{name, key_permission{perm_type, key, range_end}}
//! ```
//!
//! `root` is a role that permits everything, and the user that cannot lose it while auth is on.
//!
//! The functions that a log entry calls return the [`Record`]s to write in that entry's transaction.
//!
//! `admin` changes users and roles, `permissions` merges what a user's roles permit, `check` asks, `token`, `jwt` and
//! `password` say who somebody is.
//!
//! # Left out
//! - Names from certificates: whoever ends TLS makes the [`AuthInfo`].
//! - Entries of etcd before 3.5 that carry a password instead of its hash. Each member of such an etcd salts it anew, so
//!   their users' records differ; here the entry is refused ([`AuthError::NoPasswordUser`]).

mod admin;
mod check;
mod jwt;
mod password;
mod permissions;
mod token;

pub use crate::api::AuthError;
pub use check::LeaseKeys;
pub(crate) use check::is_for_root;
pub use jwt::Jwt;
pub use password::{COST_DEFAULT, hash_password, hash_to_entry, verify_password};
pub use token::{Secrets, entry_of};

use crate::backend::{BackendError, Bucket, Engine, Record};
use crate::bug::{Bug, BugSet};
use crate::pb::authpb::{Role, User};
use crate::pb::etcdserverpb::{InternalAuthenticateRequest, RequestHeader};
use crate::time::Now;
use bytes::Bytes;
use permissions::Permissions;
use prost::Message;
use std::collections::BTreeMap;
use token::Tokens;

/// The user that cannot be locked out, and the role that permits everything.
const ROOT: &str = "root";

const ENABLED: &[u8] = b"authEnabled";
const REVISION: &[u8] = b"authRevision";

/// On whose behalf a request is made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct AuthInfo {
    /// The user; empty: nobody said.
    pub username: String,
    /// The auth revision when the request was admitted; 0: nobody said who makes it.
    pub revision: u64,
}

impl From<&RequestHeader> for AuthInfo {
    fn from(header: &RequestHeader) -> AuthInfo {
        AuthInfo { username: header.username.clone(), revision: header.auth_revision }
    }
}

/// Users, roles, and what follows from them.
#[derive(Clone, Debug)]
pub struct AuthStore {
    bugs: BugSet,
    enabled: bool,
    /// Counts the changes of everything below.
    revision: u64,
    users: BTreeMap<String, User>,
    roles: BTreeMap<String, Role>,
    /// By user: derived from users and roles, never stored.
    permissions: BTreeMap<String, Permissions>,
    tokens: Tokens,
}

impl AuthStore {
    /// Nobody yet, and nothing is checked.
    pub fn new(bugs: BugSet) -> AuthStore {
        AuthStore {
            bugs,
            enabled: false,
            revision: 1,
            users: BTreeMap::new(),
            roles: BTreeMap::new(),
            permissions: BTreeMap::new(),
            tokens: Tokens::default(),
        }
    }

    /// What the buckets say. An error names the record: the database is damaged.
    pub fn load(engine: &dyn Engine, bugs: BugSet) -> Result<AuthStore, BackendError> {
        let mut store = AuthStore {
            users: load_bucket(engine, Bucket::AuthUsers, |user: &User| &user.name)?,
            roles: load_bucket(engine, Bucket::AuthRoles, |role: &Role| &role.name)?,
            ..AuthStore::new(bugs)
        };
        let broken = |key: &[u8], expected: &str| BackendError::Record {
            bucket: Bucket::Auth.name(),
            key: String::from_utf8_lossy(key).into_owned(),
            expected: expected.to_owned(),
        };
        if let Some(enabled) = engine.get(Bucket::Auth, ENABLED)? {
            let [enabled @ (0 | 1)] = enabled[..] else { return Err(broken(ENABLED, "a byte, 0 or 1")) };
            store.enabled = enabled == 1;
        }
        if let Some(revision) = engine.get(Bucket::Auth, REVISION)? {
            let bytes = revision[..].try_into().map_err(|_| broken(REVISION, "8 bytes, big-endian"))?;
            store.revision = u64::from_be_bytes(bytes);
        }
        store.derive_permissions();
        Ok(store)
    }

    /// Takes the place of `old`, as the store of a snapshot that was installed. The old one's tokens stay, but for users
    /// that have gone or have another password.
    pub fn succeed(&mut self, old: AuthStore) {
        let password = |users: &BTreeMap<String, User>, name: &str| users.get(name).map(|user| user.password.clone());
        self.tokens = old.tokens;
        self.tokens
            .retain(|name| self.users.contains_key(name) && password(&self.users, name) == password(&old.users, name));
        if self.bugs.on(Bug::AuthCacheNotRestored) {
            // etcd read users and roles anew, but what it had derived from the old ones stayed (etcd #14571).
            self.permissions = old.permissions;
        }
    }

    /// What tokens are given out from now on: signed ones, or simple ones if there is no key.
    pub fn use_tokens(&mut self, jwt: Option<Jwt>) {
        self.tokens = jwt.map_or_else(Tokens::default, Tokens::Jwt);
    }

    /// The historical bugs that are switched on.
    pub fn bugs(&self) -> BugSet {
        self.bugs
    }

    /// Whether anything is checked.
    pub fn enabled(&self) -> bool {
        self.enabled
    }

    /// Counts the changes.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Turns the checks on. Needs the user `root` with the role `root`. Changes nothing if they are on; the revision stays
    /// either way.
    pub fn enable(&mut self) -> Result<Vec<Record>, AuthError> {
        if self.enabled {
            return Ok(Vec::new());
        }
        let root = self.users.get(ROOT).ok_or(AuthError::RootUserNotExist)?;
        if !is_root(root) {
            return Err(AuthError::RootRoleNotExist);
        }
        self.enabled = true;
        Ok(vec![put(Bucket::Auth, ENABLED, vec![1])])
    }

    /// Turns the checks off, and forgets the tokens.
    pub fn disable(&mut self) -> Vec<Record> {
        if !self.enabled {
            return Vec::new();
        }
        self.enabled = false;
        self.tokens.retain(|_| false);
        self.changed(vec![put(Bucket::Auth, ENABLED, vec![0])])
    }

    /// The hash that the user's password must fit, and the revision at which it does. The check takes long: if the
    /// revision is another one afterwards, it has to be made again.
    pub fn password_hash(&self, name: &str) -> Result<(Bytes, u64), AuthError> {
        if !self.enabled {
            return Err(AuthError::AuthNotEnabled);
        }
        let user = self.users.get(name).ok_or(AuthError::AuthFailed)?;
        if has_no_password(user) {
            return Err(AuthError::NoPasswordUser);
        }
        Ok((user.password.clone(), self.revision))
    }

    /// Applies the authentication of entry `index`: whoever proposed it has checked the password. Returns the token.
    pub fn authenticate(
        &mut self,
        now: Now,
        request: &InternalAuthenticateRequest,
        index: u64,
    ) -> Result<String, AuthError> {
        if !self.enabled {
            return Err(AuthError::AuthNotEnabled);
        }
        match self.users.get(&request.name) {
            Some(user) if !has_no_password(user) => {
                let info = AuthInfo { username: request.name.clone(), revision: self.revision };
                Ok(self.tokens.assign(now, &info, &request.simple_token, index))
            }
            _ => Err(AuthError::AuthFailed),
        }
    }

    /// For whom a token stands, as of now; nobody while auth is off. A token of an entry that this member has not
    /// applied ([`entry_of`]) is to be asked about later.
    pub fn info(&mut self, now: Now, token: &str) -> Result<AuthInfo, AuthError> {
        if !self.enabled {
            return Ok(AuthInfo::default());
        }
        self.tokens.info(now, token, self.revision).ok_or(AuthError::InvalidAuthToken)
    }

    /// For whom a certificate's common name stands; nobody while auth is off.
    pub fn certificate_info(&self, common_name: &str) -> AuthInfo {
        if !self.enabled {
            return AuthInfo::default();
        }
        AuthInfo { username: common_name.to_owned(), revision: self.revision }
    }

    /// On whose behalf the member itself proposes: the revoke of an expired lease must pass the checks too (etcd #11689).
    pub fn root_info(&self) -> AuthInfo {
        if self.bugs.on(Bug::RevokeUnauthenticated) {
            return AuthInfo::default();
        }
        self.certificate_info(ROOT)
    }

    /// After a change: counts it, and derives anew what follows from users and roles.
    fn changed(&mut self, mut records: Vec<Record>) -> Vec<Record> {
        self.revision += 1;
        self.derive_permissions();
        records.push(put(Bucket::Auth, REVISION, self.revision.to_be_bytes().to_vec()));
        records
    }

    fn derive_permissions(&mut self) {
        let of_user = |user: &User| {
            let mut permissions = Permissions::default();
            let roles = user.roles.iter().filter_map(|role| self.roles.get(role));
            roles.flat_map(|role| &role.key_permission).for_each(|permission| permissions.add(permission));
            permissions
        };
        self.permissions = self.users.iter().map(|(name, user)| (name.clone(), of_user(user))).collect();
    }
}

fn is_root(user: &User) -> bool {
    user.roles.iter().any(|role| role == ROOT)
}

fn has_no_password(user: &User) -> bool {
    user.options.is_some_and(|options| options.no_password)
}

fn put(bucket: Bucket, key: &[u8], value: Vec<u8>) -> Record {
    Record { bucket, key: Bytes::copy_from_slice(key), value: Some(value.into()) }
}

/// The records of a bucket by their names, which stand in key and value alike.
fn load_bucket<T: Message + Default>(
    engine: &dyn Engine,
    bucket: Bucket,
    name: fn(&T) -> &Bytes,
) -> Result<BTreeMap<String, T>, BackendError> {
    let (mut all, mut result) = (BTreeMap::new(), Ok(()));
    engine.range(bucket, &[], None, &mut |key, value| {
        let record = T::decode(value.clone()).ok().filter(|record| name(record) == key);
        let text = std::str::from_utf8(key).ok();
        match (text, record) {
            (Some(text), Some(record)) => drop(all.insert(text.to_owned(), record)),
            _ => {
                let key = String::from_utf8_lossy(key).into_owned();
                let expected = "the user or role whose name, in UTF-8, is its key".to_owned();
                result = Err(BackendError::Record { bucket: bucket.name(), key, expected });
            }
        }
        result.is_ok()
    })?;
    result.map(|()| all)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::backend::Memory;
    use crate::pb::authpb::{Permission, PermissionType, UserAddOptions};
    use crate::pb::etcdserverpb::{
        AuthRoleAddRequest, AuthRoleGrantPermissionRequest, AuthUserAddRequest, AuthUserChangePasswordRequest,
        AuthUserDeleteRequest, AuthUserGrantRoleRequest,
    };

    /// Writes records as the entry's transaction would.
    pub(in super::super) fn write(engine: &mut Memory, records: Vec<Record>) {
        engine.begin();
        for Record { bucket, key, value } in records {
            match value {
                Some(value) => engine.put(bucket, key, value).unwrap(),
                None => engine.delete(bucket, &key).unwrap(),
            }
        }
        engine.commit();
    }

    pub(in super::super) fn user(name: &str) -> AuthUserAddRequest {
        let hashed_password = hash_to_entry(name.as_bytes());
        AuthUserAddRequest { name: name.to_owned(), hashed_password, ..Default::default() }
    }

    pub(in super::super) fn granted(user: &str, role: &str) -> AuthUserGrantRoleRequest {
        AuthUserGrantRoleRequest { user: user.to_owned(), role: role.to_owned() }
    }

    pub(in super::super) fn permission(
        role: &str,
        kind: PermissionType,
        key: &'static str,
        end: &'static str,
    ) -> AuthRoleGrantPermissionRequest {
        let (key, range_end) = (Bytes::from_static(key.as_bytes()), Bytes::from_static(end.as_bytes()));
        let perm = Some(Permission { perm_type: kind as i32, key, range_end });
        AuthRoleGrantPermissionRequest { name: role.to_owned(), perm }
    }

    /// `root`, and `alice` whose role `rw` may read `[a, f)` and write `[c, f)`; enabled. And its database.
    pub(in super::super) fn alice() -> (AuthStore, Memory) {
        let (mut store, mut engine) = (AuthStore::new(BugSet::NONE), Memory::new());
        let rw = AuthRoleAddRequest { name: "rw".to_owned() };
        for records in [
            store.user_add(&user("root")),
            store.user_add(&user("alice")),
            store.user_grant_role(&granted("root", "root")),
            store.role_add(&rw),
            store.user_grant_role(&granted("alice", "rw")),
            store.role_grant_permission(&permission("rw", PermissionType::Read, "a", "c")),
            store.role_grant_permission(&permission("rw", PermissionType::Readwrite, "c", "f")),
            store.enable(),
        ] {
            write(&mut engine, records.unwrap());
        }
        (store, engine)
    }

    /// Everything that is to survive.
    pub(in super::super) fn state(store: &AuthStore) -> impl PartialEq + std::fmt::Debug + use<> {
        let AuthStore { enabled, revision, users, roles, permissions, .. } = store.clone();
        (enabled, revision, users, roles, permissions)
    }

    fn login(store: &mut AuthStore, name: &str) -> Result<String, AuthError> {
        let (name, simple_token) = (name.to_owned(), format!("{name}letters"));
        store.authenticate(Now::default(), &InternalAuthenticateRequest { name, simple_token, ..Default::default() }, 9)
    }

    #[test]
    fn enabling_needs_root_with_its_role() {
        let mut store = AuthStore::new(BugSet::NONE);
        assert_eq!(store.enable(), Err(AuthError::RootUserNotExist));
        store.user_add(&user("root")).unwrap();
        assert_eq!(store.enable(), Err(AuthError::RootRoleNotExist));
        store.user_grant_role(&granted("root", "root")).unwrap();
        assert_eq!(store.revision(), 3, "it began with 1");
        assert_eq!(store.enable(), Ok(vec![put(Bucket::Auth, b"authEnabled", vec![1])]));
        assert_eq!(store.enable(), Ok(vec![]));
        assert_eq!((store.enabled(), store.revision()), (true, 3));
        let revision = put(Bucket::Auth, b"authRevision", vec![0, 0, 0, 0, 0, 0, 0, 4]);
        assert_eq!(store.disable(), [put(Bucket::Auth, b"authEnabled", vec![0]), revision]);
        assert_eq!(store.disable(), []);
        assert_eq!((store.enabled(), store.revision()), (false, 4));
    }

    #[test]
    fn an_installed_snapshot_brings_its_permissions_along() {
        let (source, engine) = alice();
        assert_eq!(state(&AuthStore::load(&engine, BugSet::NONE).unwrap()), state(&source));
        for (bugs, equal) in
            [(BugSet::NONE, true), (BugSet::NONE.with(Bug::AuthCacheNotRestored), !cfg!(feature = "bugs"))]
        {
            let mut installed = AuthStore::load(&engine, bugs).unwrap();
            installed.succeed(AuthStore::new(bugs));
            assert_eq!(state(&installed) == state(&source), equal);
        }
    }

    #[test]
    fn a_snapshot_keeps_the_tokens_of_users_that_stayed_the_same() {
        let (mut store, mut engine) = alice();
        let (root, alice) = (login(&mut store, "root").unwrap(), login(&mut store, "alice").unwrap());
        let mut elsewhere = AuthStore::load(&engine, BugSet::NONE).unwrap();
        let (name, hashed_password) = ("alice".to_owned(), hash_to_entry(b"new"));
        let change = AuthUserChangePasswordRequest { name, hashed_password, ..Default::default() };
        write(&mut engine, elsewhere.user_change_password(&change).unwrap());
        let mut installed = AuthStore::load(&engine, BugSet::NONE).unwrap();
        installed.succeed(store);
        let mut store = installed;
        assert_eq!(store.info(Now::default(), &alice), Err(AuthError::InvalidAuthToken));
        assert_eq!(store.info(Now::default(), &root), Ok(store.root_info()));
    }

    #[test]
    fn a_token_stands_for_its_user_until_that_changes() {
        let (mut store, _) = alice();
        assert_eq!(login(&mut store, "nobody"), Err(AuthError::AuthFailed));
        let token = login(&mut store, "alice").unwrap();
        assert_eq!(token, "aliceletters.9");
        let info = store.info(Now::default(), &token).unwrap();
        assert_eq!(info, AuthInfo { username: "alice".to_owned(), revision: store.revision() });
        store.role_add(&AuthRoleAddRequest { name: "other".to_owned() }).unwrap();
        assert_eq!(
            store.info(Now::default(), &token).unwrap().revision,
            store.revision(),
            "admitted at the present revision"
        );
        let (name, hashed_password) = ("alice".to_owned(), hash_to_entry(b"new"));
        store
            .user_change_password(&AuthUserChangePasswordRequest { name, hashed_password, ..Default::default() })
            .unwrap();
        assert_eq!(store.info(Now::default(), &token), Err(AuthError::InvalidAuthToken));
        let token = login(&mut store, "alice").unwrap();
        store.user_delete(&AuthUserDeleteRequest { name: "alice".to_owned() }).unwrap();
        assert_eq!(store.info(Now::default(), &token), Err(AuthError::InvalidAuthToken));
        let token = login(&mut store, "root").unwrap();
        store.disable();
        assert_eq!(store.info(Now::default(), &token), Ok(AuthInfo::default()), "nobody asks");
        assert_eq!(login(&mut store, "root"), Err(AuthError::AuthNotEnabled));
        store.enable().unwrap();
        assert_eq!(store.info(Now::default(), &token), Err(AuthError::InvalidAuthToken));
    }

    #[test]
    fn a_signed_token_survives_a_restart_but_no_change() {
        let (mut store, engine) = alice();
        let jwt = Jwt { key: Bytes::from_static(b"key"), ttl: crate::time::SECOND };
        store.use_tokens(Some(jwt.clone()));
        let token = login(&mut store, "alice").unwrap();
        let mut again = AuthStore::load(&engine, BugSet::NONE).unwrap();
        again.use_tokens(Some(jwt));
        let info = again.info(Now::default(), &token).unwrap();
        assert_eq!(info, AuthInfo { username: "alice".to_owned(), revision: store.revision() });
        again.role_add(&AuthRoleAddRequest { name: "other".to_owned() }).unwrap();
        assert_eq!(again.info(Now::default(), &token), Ok(info.clone()));
        assert_eq!(again.check_revision(&info), Err(AuthError::AuthOldRevision));
        let expired = Now { mono: 0, wall: crate::time::SECOND };
        assert_eq!(again.info(expired, &token), Err(AuthError::InvalidAuthToken));
        let mut installed = AuthStore::load(&engine, BugSet::NONE).unwrap();
        installed.succeed(again);
        let mut again = installed;
        assert_eq!(again.info(Now::default(), &token), Ok(info), "a snapshot does not change the kind of tokens");
    }

    #[test]
    fn a_user_without_a_password_cannot_log_in() {
        let (mut store, _) = alice();
        let options = Some(UserAddOptions { no_password: true });
        store.user_add(&AuthUserAddRequest { name: "bob".to_owned(), options, ..Default::default() }).unwrap();
        assert_eq!(store.password_hash("bob"), Err(AuthError::NoPasswordUser));
        assert_eq!(login(&mut store, "bob"), Err(AuthError::AuthFailed));
        assert_eq!(store.password_hash("nobody"), Err(AuthError::AuthFailed));
        assert_eq!(store.password_hash("alice"), Ok((Bytes::from_static(b"alice"), store.revision())));
        store.disable();
        assert_eq!(store.password_hash("alice"), Err(AuthError::AuthNotEnabled));
        assert_eq!(store.root_info(), AuthInfo::default());
    }

    #[test]
    fn a_garbled_record_is_named() {
        for (bucket, key, value) in [
            (Bucket::Auth, "authEnabled", &b"\x02"[..]),
            (Bucket::Auth, "authRevision", b"\x01"),
            (Bucket::AuthUsers, "alice", b"\xff"),
            (Bucket::AuthUsers, "alice", b"\x0a\x01b"),
            (Bucket::AuthRoles, "rw", b""),
        ] {
            let mut engine = Memory::new();
            write(&mut engine, vec![put(bucket, key.as_bytes(), value.to_vec())]);
            let error = AuthStore::load(&engine, BugSet::NONE).unwrap_err();
            let is_named =
                matches!(&error, BackendError::Record { bucket: b, key: k, .. } if *b == bucket.name() && k == key);
            assert!(is_named, "{error}");
        }
    }
}
