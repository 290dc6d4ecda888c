//! Locks: one holder at a time, and no write of a former one.
//!
//! A lock in etcd is a key that hangs on a lease (lesson 15). Whoever holds it has a *fencing token*: the revision that created its
//! key. Tokens only grow. A holder that was paused for longer than its lease lives still believes that it holds the lock; so
//! two clients may hold it at once by their own account, and nothing in etcd can prevent that. What must hold is
//! 1. **Tokens in order.** Of two holders, the one whose token is higher was given the lock after the other had
//!    lost it: given back, or gone with its lease.
//! 2. **Fencing.** What the lock guards takes no write with a lower token than one that it took before.
//!
//! Left out: fairness (who waited longest gets it next), which etcd's recipe has and a lock need not have.

use super::lease::Nanos;

/// A lock held by a client, by the client's own account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// The client.
    pub client: u32,
    /// The revision that created its key.
    pub token: i64,
    /// When the client was told that it holds the lock.
    pub from: Nanos,
    /// When its key was deleted, in the true order of things; `None` if that never was.
    pub key_gone: Option<Nanos>,
}

/// A write to what the lock guards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guarded {
    /// The client.
    pub client: u32,
    /// Its token.
    pub token: i64,
    /// When the guarded thing took or refused it.
    pub at: Nanos,
    /// Whether it was taken.
    pub accepted: bool,
}

/// Judges who held a lock. The sentence names both holders.
pub fn check_holders(held: &[Held]) -> Result<(), String> {
    let mut by_token = held.to_vec();
    by_token.sort_by_key(|held| held.token);
    for pair in by_token.windows(2) {
        let [older, newer] = pair else { continue };
        if older.token == newer.token {
            return Err(format!(
                "clients {} and {} hold the lock by one token, {}",
                older.client, newer.client, newer.token
            ));
        }
        if older.key_gone.is_none_or(|gone| gone > newer.from) {
            return Err(format!(
                "client {} was given the lock by token {} while the key of client {}, token {}, was there",
                newer.client, newer.token, older.client, older.token
            ));
        }
    }
    Ok(())
}

/// Judges the writes to what a lock guards, in the order in which they arrived.
pub fn check_fencing(writes: &[Guarded]) -> Result<(), String> {
    let mut newest: Option<&Guarded> = None;
    for write in writes.iter().filter(|write| write.accepted) {
        if let Some(newest) = newest.filter(|newest| newest.token > write.token) {
            return Err(format!(
                "a write of client {} by token {} was taken at {} ns, although client {} had written by token {}",
                write.client, write.token, write.at, newest.client, newest.token
            ));
        }
        newest = Some(write);
    }
    Ok(())
}
