//! Locks: one holder at a time, and no write of a former one.
//!
//! A lock in etcd is a key that hangs on a lease (lesson 21). Whoever holds it has a *fencing token*: the revision that created its
//! key. Tokens only grow. A holder that was paused for longer than its lease lives still believes that it holds the lock; so
//! two clients may hold it at once by their own account, and nothing in etcd can prevent that. What must hold is, in
//! revisions of the store, which say what was there when:
//! 1. **In the line.** At the revision of the answer by which a client was given the lock, its key was there (etcd #11408).
//! 2. **Tokens in order.** Of two holders, the one whose token is higher was given the lock after the key of the other
//!    had gone: deleted by its holder, or with its lease.
//! 3. **Fencing.** What the lock guards takes no write with a lower token than one that it took before.
//!
//! The first two are the check `lock`; elections are judged by it, too, whose leaders are holders. The third is the check
//! `fencing`, of what clients write on the strength of a lock.
//!
//! Left out: fairness (who waited longest gets it next), which etcd's recipe has and a lock need not have.

use super::model::Event;
use super::watch::Truth;
use bytes::Bytes;
use std::collections::BTreeMap;

/// What locks guard is kept below this key, by the name of the lock.
pub const GUARDED: &[u8] = b"guarded/";

/// A client was told that it is the first in a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// The line's name.
    pub name: Bytes,
    /// The client.
    pub client: u32,
    /// Its key.
    pub key: Bytes,
    /// The revision that created the key.
    pub token: i64,
    /// The revision of the answer that told it.
    pub revision: i64,
}

/// A lock held by a client, by the client's own account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// The client.
    pub client: u32,
    /// The revision that created its key.
    pub token: i64,
    /// The revision of the answer by which it was given the lock.
    pub from: i64,
    /// The revision at which its key was deleted; `None` if that never was.
    pub key_gone: Option<i64>,
}

/// A write to what the lock guards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guarded {
    /// The client.
    pub client: u32,
    /// Its token.
    pub token: i64,
    /// The revision that it made, or would have made.
    pub at: i64,
    /// Whether it was taken.
    pub accepted: bool,
}

/// Judges who held a lock. The sentence names both holders.
pub fn check_holders(held: &[Held]) -> Result<(), String> {
    let mut by_token = held.to_vec();
    by_token.sort_by_key(|held| (held.token, held.from));
    if let Some(Held { client, token, from, key_gone: Some(gone) }) =
        by_token.iter().find(|held| held.key_gone.is_some_and(|gone| gone <= held.from))
    {
        return Err(format!(
            "client {client} was given the lock by token {token} at revision {from}, but its key was gone since {gone}"
        ));
    }
    for pair in by_token.windows(2) {
        let [older, newer] = pair else { continue };
        if older.token == newer.token && older.client == newer.client {
            // It asked again, and was told again.
            continue;
        }
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
                "a write of client {} by token {} was taken at revision {}, although client {} had written by token {}",
                write.client, write.token, write.at, newest.client, newest.token
            ));
        }
        newest = Some(write);
    }
    Ok(())
}

/// Judges all lines of a run by what truly happened to their keys.
pub fn judge_holders(taken: &[Taken], truth: &Truth) -> Result<(), String> {
    let is_end = |event: &&Event| event.kv.is_none();
    let ends = truth.events.iter().filter(is_end).filter_map(|event| {
        let prev = event.prev.as_ref()?;
        Some(((&event.key, prev.create_revision), event.revision))
    });
    let ends: BTreeMap<(&Bytes, i64), i64> = ends.collect();
    let mut lines: BTreeMap<&Bytes, Vec<Held>> = BTreeMap::new();
    for Taken { name, client, key, token, revision } in taken {
        let key_gone = ends.get(&(key, *token)).copied();
        let held = Held { client: *client, token: *token, from: *revision, key_gone };
        lines.entry(name).or_default().push(held);
    }
    lines.values().try_for_each(|held| check_holders(held))
}

/// Judges the writes to everything that is guarded. Returns how many there were.
pub fn judge_fencing(truth: &Truth) -> Result<u64, String> {
    let mut things: BTreeMap<&Bytes, Vec<Guarded>> = BTreeMap::new();
    for event in truth.events.iter().filter(|event| event.key.starts_with(GUARDED)) {
        if let Some((token, client)) = event.kv.as_ref().and_then(|kv| signature(&kv.value)) {
            let write = Guarded { client, token, at: event.revision, accepted: true };
            things.entry(&event.key).or_default().push(write);
        }
    }
    things.values().try_for_each(|writes| check_fencing(writes))?;
    Ok(things.values().map(|writes| writes.len() as u64).sum())
}

/// A value that says who wrote it, by which token. Values of higher tokens sort behind.
pub fn signed(token: i64, client: u32, count: u64) -> Bytes {
    format!("{token:016}/c{client}.{count}").into()
}

/// Token and client of a value; none in one that nobody signed.
fn signature(value: &[u8]) -> Option<(i64, u32)> {
    let (token, rest) = std::str::from_utf8(value).ok()?.split_once("/c")?;
    Some((token.parse().ok()?, rest.split('.').next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use seedbed::pb::mvccpb::KeyValue;

    fn event(revision: i64, key: &'static str, value: Option<Bytes>, created: i64) -> Event {
        let kv = |value| KeyValue { key: key.into(), value, create_revision: created, ..KeyValue::default() };
        let prev = if value.is_none() { Some(kv(Bytes::new())) } else { None };
        Event { revision, key: key.into(), kv: value.map(kv), prev }
    }

    fn truth(events: Vec<Event>) -> Truth {
        Truth { events, compacted: 0, prev_missing_to: 0 }
    }

    fn taken(client: u32, key: &'static str, token: i64, revision: i64) -> Taken {
        Taken { name: "lock/0".into(), client, key: key.into(), token, revision }
    }

    #[test]
    fn whoever_is_given_the_lock_after_its_key_was_gone_is_found() {
        let truth = truth(vec![event(9, "lock/0/b", None, 6), event(11, "lock/0/a", None, 5)]);
        assert_eq!(judge_holders(&[taken(1, "lock/0/a", 5, 5), taken(3, "lock/0/c", 7, 12)], &truth), Ok(()));
        let error = judge_holders(&[taken(1, "lock/0/a", 5, 5), taken(2, "lock/0/b", 6, 12)], &truth).unwrap_err();
        assert!(error.contains("client 2") && error.contains("gone since 9"), "{error}");
    }

    #[test]
    fn a_write_of_a_former_holder_is_found_among_what_was_written() {
        let write = |revision, token, client| event(revision, "guarded/0", Some(signed(token, client, 1)), 2);
        assert_eq!(judge_fencing(&truth(vec![write(3, 2, 1), write(6, 5, 2)])), Ok(2));
        assert!(judge_fencing(&truth(vec![write(6, 5, 2), write(7, 2, 1)])).unwrap_err().contains("client 1"));
        assert!(signed(99, 1, 1) < signed(100, 1, 1), "values sort by token");
    }
}
