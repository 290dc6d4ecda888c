//! Signed tokens (RFC 7519): who has the key can check one without having seen its entry.
//!
//! ```text
//!   base64url({"alg":"HS256","typ":"JWT"}) . base64url({"username","revision","exp"}) . base64url(HMAC-SHA-256)
//! ```
//!
//! Members share the key, and nothing else: a token survives restarts and snapshots. In turn nothing can take it back
//! before `exp`, in seconds of wall time, comes. But it carries the auth revision at which it was given, so that after any
//! change of users, roles or permissions its owner has to authenticate again
//! ([`AuthError::AuthOldRevision`](super::AuthError::AuthOldRevision)).
//!
//! Left out: RSA and elliptic curves, with which members that only check need no secret; their crates weigh more than
//! all of auth.

use super::AuthInfo;
use crate::time::{Nanos, SECOND};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

const ALGORITHM: &str = "HS256";

/// The key that all members share, and for how long a token holds.
#[derive(Clone)]
pub struct Jwt {
    /// The HMAC key; it should be at least 32 bytes that nobody can guess.
    pub key: Bytes,
    /// In nanoseconds (etcd: 5 minutes).
    pub ttl: Nanos,
}

impl std::fmt::Debug for Jwt {
    /// Without the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Jwt").field("ttl", &self.ttl).finish_non_exhaustive()
    }
}

#[derive(Serialize, Deserialize)]
struct Header {
    alg: String,
    typ: String,
}

#[derive(Serialize, Deserialize)]
struct Claims {
    username: String,
    revision: u64,
    /// Seconds since 1970.
    exp: u64,
}

impl Jwt {
    /// A token for a user. `wall` is the wall clock.
    pub(super) fn sign(&self, wall: Nanos, username: &str, revision: u64) -> String {
        let header = Header { alg: ALGORITHM.to_owned(), typ: "JWT".to_owned() };
        let exp = wall.saturating_add(self.ttl) / SECOND;
        let claims = Claims { username: username.to_owned(), revision, exp };
        let text = format!("{}.{}", encode(&header), encode(&claims));
        let signature = BASE64.encode(self.mac(&text).finalize().into_bytes());
        format!("{text}.{signature}")
    }

    /// For whom a token stands, if it is one of this key and holds.
    pub(super) fn info(&self, wall: Nanos, token: &str) -> Option<AuthInfo> {
        let (text, signature) = token.rsplit_once('.')?;
        self.mac(text).verify_slice(&BASE64.decode(signature).ok()?).ok()?;
        let (header, claims) = text.split_once('.')?;
        // A token may not choose how it is checked.
        decode::<Header>(header).filter(|header| header.alg == ALGORITHM)?;
        let Claims { username, revision, exp } = decode(claims)?;
        (wall / SECOND < exp).then_some(AuthInfo { username, revision })
    }

    fn mac(&self, text: &str) -> Hmac<Sha256> {
        let mac = Hmac::<Sha256>::new_from_slice(&self.key).expect("invariant: an HMAC takes a key of any length");
        mac.chain_update(text)
    }
}

fn encode(value: &impl Serialize) -> String {
    BASE64.encode(serde_json::to_vec(value).expect("invariant: strings and numbers make JSON"))
}

fn decode<T: for<'a> Deserialize<'a>>(text: &str) -> Option<T> {
    serde_json::from_slice(&BASE64.decode(text).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jwt(key: &'static str) -> Jwt {
        Jwt { key: Bytes::from_static(key.as_bytes()), ttl: 300 * SECOND }
    }

    #[test]
    fn a_token_is_what_others_make_of_the_same_key() {
        // Signed with Python's hmac and hashlib.
        let expected = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJ1c2VybmFtZSI6ImFsaWNlIiwicmV2aXNpb24iOjcsImV4cCI6MTMwMH0.\
                        17u-YxpBAPphMls3vwm2xUr6i9nTPTpE6hutlQHD-0Q";
        assert_eq!(jwt("secret").sign(1000 * SECOND, "alice", 7), expected);
    }

    #[test]
    fn a_token_holds_until_it_expires() {
        let token = jwt("secret").sign(1000 * SECOND, "alice", 7);
        let info = Some(AuthInfo { username: "alice".to_owned(), revision: 7 });
        assert_eq!(jwt("secret").info(1300 * SECOND - 1, &token), info);
        assert_eq!(jwt("secret").info(1300 * SECOND, &token), None);
    }

    #[test]
    fn another_key_another_text_and_another_algorithm_are_refused() {
        let jwt_ = jwt("secret");
        let token = jwt_.sign(0, "alice", 7);
        assert_eq!(jwt("other").info(0, &token), None);
        let (text, signature) = token.rsplit_once('.').unwrap();
        let claims = encode(&Claims { username: "root".to_owned(), revision: 7, exp: 300 });
        let (header, _) = text.split_once('.').unwrap();
        assert_eq!(jwt_.info(0, &format!("{header}.{claims}.{signature}")), None);
        let none = encode(&Header { alg: "none".to_owned(), typ: "JWT".to_owned() });
        let text = format!("{none}.{claims}");
        assert_eq!(jwt_.info(0, &format!("{text}.")), None);
        let signature = BASE64.encode(jwt_.mac(&text).finalize().into_bytes());
        assert_eq!(jwt_.info(0, &format!("{text}.{signature}")), None);
        for garbled in ["", "a", "a.b", "..", "a.b.c"] {
            assert_eq!(jwt_.info(0, garbled), None, "{garbled}");
        }
    }

    #[test]
    fn a_log_line_does_not_show_the_key() {
        assert!(!format!("{:?}", jwt("secret")).contains("115"), "115 is the byte of its s");
        assert!(!format!("{:?}", jwt("secret")).contains("secret"));
    }
}
