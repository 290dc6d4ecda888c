//! Passwords: bcrypt, as pure functions.
//!
//! A hash takes tens of milliseconds on purpose. A member runs these two beside its steps, as jobs, and proposes the
//! hash, not the password: the salt is drawn once, by the member that was asked, so all members store the same bytes.
//!
//! ```text
//!   $2a$10$ + 22 characters of salt + 31 of hash      what is stored; both in bcrypt's own base64
//! ```
//!
//! Only the first 72 bytes of a password count, the closing zero byte included.

use base64::Engine as _;
use base64::alphabet::BCRYPT;
use base64::engine::general_purpose::{NO_PAD, STANDARD};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;

/// etcd's default cost: 2^10 rounds.
pub const COST_DEFAULT: u32 = 10;

const BASE64: GeneralPurpose = GeneralPurpose::new(&BCRYPT, NO_PAD);

/// Reads what other implementations wrote, too: the last character of a salt has bits that mean nothing.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &BCRYPT,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::RequireNone)
        .with_decode_allow_trailing_bits(true),
);

/// The bcrypt hash of a password, as it is stored.
///
/// # Panics
/// If `cost` is not from 4 to 31.
pub fn hash_password(password: &str, salt: [u8; 16], cost: u32) -> Bytes {
    assert!((4..=31).contains(&cost), "invariant: bcrypt's cost is from 4 to 31");
    let hash = BASE64.encode(digest(password, salt, cost));
    format!("$2a${cost:02}${}{hash}", BASE64.encode(salt)).into()
}

/// Whether a hash is of this password. Never of a hash that cannot be read.
pub fn verify_password(hash: &[u8], password: &str) -> bool {
    let Some((salt, cost, expected)) = parse(hash) else { return false };
    // All bytes are looked at: how many were right is nobody's business.
    let differences = digest(password, salt, cost).into_iter().zip(expected).map(|(a, b)| a ^ b);
    differences.fold(0, |all, difference| all | difference) == 0
}

/// A hash as a log entry carries it.
pub fn hash_to_entry(hash: &[u8]) -> String {
    STANDARD.encode(hash)
}

/// The hash that [`hash_to_entry`] wrote.
pub(super) fn hash_of_entry(text: &str) -> Option<Bytes> {
    STANDARD.decode(text).ok().map(Bytes::from)
}

/// bcrypt's 24 bytes but for the last, which the format drops.
fn digest(password: &str, salt: [u8; 16], cost: u32) -> [u8; 23] {
    let mut key = [password.as_bytes(), &[0]].concat();
    key.truncate(72);
    let [digest @ .., _] = bcrypt::bcrypt(cost, salt, &key);
    digest
}

/// Salt, cost and digest of a stored hash.
fn parse(hash: &[u8]) -> Option<([u8; 16], u32, [u8; 23])> {
    let text = std::str::from_utf8(hash).ok()?;
    let (cost, rest) = text.strip_prefix("$2a$").or_else(|| text.strip_prefix("$2b$"))?.split_once('$')?;
    let cost = cost.parse().ok().filter(|cost| (4..=31).contains(cost))?;
    let (salt, digest) = rest.split_at_checked(22)?;
    Some((LENIENT.decode(salt).ok()?.try_into().ok()?, cost, LENIENT.decode(digest).ok()?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_hashes_are_recognised() {
        // From the test vectors of jBCrypt.
        for (password, hash) in [
            ("", "$2a$06$DCq7YPn5Rq63x1Lad4cll.TV4S6ytwfsfvkgY8jIucDrjc8deX1s."),
            ("a", "$2a$06$m0CrhHm10qJ3lXRY.5zDGO3rS2KdeeWLuGmsfGlMfOxih58VYVfxe"),
            ("abc", "$2a$06$If6bvum7DFjUnE9p2uDeDu0YHzrHM6tf.iqN8.yx.jNN1ILEf7h0i"),
        ] {
            assert!(verify_password(hash.as_bytes(), password), "{password:?}");
            assert!(!verify_password(hash.as_bytes(), "other"));
            let (salt, cost, _) = parse(hash.as_bytes()).unwrap();
            assert_eq!(hash_password(password, salt, cost), hash, "{password:?}");
        }
    }

    #[test]
    fn only_the_first_72_bytes_count() {
        let hash = hash_password(&"x".repeat(73), [7; 16], 4);
        assert!(verify_password(&hash, &"x".repeat(72)));
        assert!(!verify_password(&hash, &"x".repeat(71)));
    }

    #[test]
    fn a_hash_that_cannot_be_read_fits_no_password() {
        let good = hash_password("", [0; 16], 4);
        assert!(verify_password(&good, ""));
        for bad in [&b""[..], b"$2a$04$", b"$2a$99$", &good[..59], &[&good[..], b"."].concat(), b"\xff", b"$1$04$"] {
            assert!(!verify_password(bad, ""), "{}", String::from_utf8_lossy(bad));
        }
        assert_eq!(hash_of_entry(&hash_to_entry(&good)), Some(good));
        assert_eq!(hash_of_entry("$"), None);
    }
}
