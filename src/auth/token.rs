//! Tokens: what a client shows instead of its password. Simple ones stand here, signed ones in `jwt`.
//!
//! A simple token is 16 letters that the asked member draws, a dot, and the index of the entry that made them known.
//!
//! ```text
//!   qWbTgRtYhUjIkOlP.42
//! ```
//!
//! Every member applies that entry and so knows the token; one that has not come so far yet reads the index from the
//! token and can wait for it ([`entry_of`]). Nothing is stored: after a restart, or where a snapshot stood in for the
//! entry, the client has to authenticate again. Neither are they signed; whoever sees one has it. A token lives for five
//! minutes of the member's monotonic time after its last use there, so members may disagree about it.

use super::{AuthInfo, Jwt};
use crate::time::{Nanos, Now, SECOND};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;

/// How long a token lives after its last use.
const TTL: Nanos = 300 * SECOND;

const LETTERS: &[u8; 52] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

/// Where a member takes its salts and tokens from: numbers that nobody can guess who does not know the seed, however
/// many of them he has seen. (What election timeouts are drawn from can be calculated back from what it drew.)
#[derive(Clone)]
pub struct Secrets {
    seed: u64,
    drawn: u64,
}

impl Secrets {
    /// The seed must be of this start of the member alone.
    pub fn new(seed: u64) -> Secrets {
        Secrets { seed, drawn: 0 }
    }

    /// A salt for a password.
    pub fn salt(&mut self) -> [u8; 16] {
        let drawn = self.draw();
        std::array::from_fn(|n| drawn[n])
    }

    /// The letters of a new token.
    pub fn token_prefix(&mut self) -> String {
        // Of each draw's bytes those below 208 = 4 * 52 are taken, so that all letters are equally likely.
        let mut letters = String::with_capacity(16);
        while letters.len() < 16 {
            let drawn = self.draw().into_iter().filter(|byte| *byte < 208);
            letters.extend(drawn.map(|byte| char::from(LETTERS[usize::from(byte) % 52])).take(16 - letters.len()));
        }
        letters
    }

    fn draw(&mut self) -> [u8; 32] {
        self.drawn += 1;
        let sum = Sha256::new().chain_update(DOMAIN).chain_update(self.seed.to_be_bytes());
        sum.chain_update(self.drawn.to_be_bytes()).finalize().into()
    }
}

impl std::fmt::Debug for Secrets {
    /// Without the seed.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Secrets").finish_non_exhaustive()
    }
}

/// Keeps these numbers apart from whatever else a seed is used for.
const DOMAIN: &[u8] = b"seedbed auth";

/// The index of the entry that made a token known; `None` for what is no simple token.
pub fn entry_of(token: &str) -> Option<u64> {
    let (prefix, index) = token.split_once('.')?;
    (!prefix.is_empty()).then(|| index.parse().ok())?
}

/// The kind of tokens that a member gives out. All members must give out the same.
#[derive(Clone, Debug)]
pub(super) enum Tokens {
    Simple(SimpleTokens),
    Jwt(Jwt),
}

impl Default for Tokens {
    fn default() -> Tokens {
        Tokens::Simple(SimpleTokens::default())
    }
}

impl Tokens {
    /// A token for a user; `prefix` and `index` make a simple one.
    pub(super) fn assign(&mut self, now: Now, info: &AuthInfo, prefix: &str, index: u64) -> String {
        match self {
            Tokens::Simple(tokens) => tokens.assign(now.mono, &info.username, prefix, index),
            Tokens::Jwt(jwt) => jwt.sign(now.wall, &info.username, info.revision),
        }
    }

    /// For whom a token stands. A simple one has no revision of its own: it stands for its user at any, hence `revision`.
    pub(super) fn info(&mut self, now: Now, token: &str, revision: u64) -> Option<AuthInfo> {
        match self {
            Tokens::Simple(tokens) => {
                let username = tokens.user_of(now.mono, token)?.to_owned();
                Some(AuthInfo { username, revision })
            }
            Tokens::Jwt(jwt) => jwt.info(now.wall, token),
        }
    }

    /// Forgets the tokens of the users that `keep` does not name. Signed ones cannot be taken back.
    pub(super) fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        if let Tokens::Simple(tokens) = self {
            tokens.0.retain(|_, token| keep(&token.user));
        }
    }
}

/// The simple tokens that a member knows.
#[derive(Clone, Debug, Default)]
pub(super) struct SimpleTokens(BTreeMap<String, Token>);

#[derive(Clone, Debug)]
struct Token {
    user: String,
    expiry: Nanos,
}

impl SimpleTokens {
    /// Notes that a token stands for a user. Forgets those that have expired.
    fn assign(&mut self, now: Nanos, user: &str, prefix: &str, index: u64) -> String {
        self.0.retain(|_, token| token.expiry > now);
        let token = format!("{prefix}.{index}");
        self.0.insert(token.clone(), Token { user: user.to_owned(), expiry: now + TTL });
        token
    }

    /// For whom a token stands. Looking prolongs its life.
    fn user_of(&mut self, now: Nanos, token: &str) -> Option<&str> {
        let token = self.0.get_mut(token).filter(|token| token.expiry > now)?;
        token.expiry = now + TTL;
        Some(&token.user)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_sixteen_letters_and_an_index() {
        let mut secrets = Secrets::new(7);
        let prefix = secrets.token_prefix();
        assert!(prefix.len() == 16 && prefix.bytes().all(|byte| byte.is_ascii_alphabetic()), "{prefix}");
        assert_ne!(secrets.token_prefix(), prefix);
        assert_ne!(Secrets::new(8).token_prefix(), prefix);
        assert_eq!(Secrets::new(7).token_prefix(), prefix, "a run can be repeated");
        let token = SimpleTokens::default().assign(0, "alice", &prefix, 42);
        assert_eq!(token, format!("{prefix}.42"));
        assert_eq!(entry_of(&token), Some(42));
        for foreign in ["PQRSTUVWXYZabcde", ".42", "a.b", "a.1.2", ""] {
            assert_eq!(entry_of(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn use_prolongs_a_token() {
        let mut tokens = SimpleTokens::default();
        let token = tokens.assign(0, "alice", "x", 1);
        assert_eq!(tokens.user_of(TTL - 1, &token), Some("alice"));
        assert_eq!(tokens.user_of(2 * TTL - 2, &token), Some("alice"));
        assert_eq!(tokens.user_of(3 * TTL - 2, &token), None);
        assert_eq!(tokens.user_of(0, "y.1"), None);
    }

    #[test]
    fn expired_tokens_are_forgotten() {
        let mut tokens = SimpleTokens::default();
        tokens.assign(0, "alice", "x", 1);
        tokens.assign(TTL, "bob", "y", 2);
        assert_eq!(tokens.0.len(), 1);
    }
}
