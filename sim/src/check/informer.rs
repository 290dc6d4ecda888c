//! Copies: an informer's is what the store was (`informer`).
//!
//! A controller acts on its copy of the store, not on the store. The copy may be old; but it says of which revision it is, by the
//! bookmarks (progress) that came on its watch, and of that revision it must be an exact copy. An object that is missing
//! is created twice; one that is too much is never deleted.
//!
//! The guarantees of watches ([`watch`](super::watch)) imply this for whoever lists and watches rightly. Here list, watch,
//! resumption and bookmark are judged together, by what counts.

use super::watch::Truth;
use bytes::Bytes;
use std::collections::BTreeMap;

/// What is copied begins so.
pub const PREFIX: &[u8] = b"/registry/pods/";
/// The first key behind it.
pub const PREFIX_END: &[u8] = b"/registry/pods0";

/// A copy, as its keeper had it at some moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenCache {
    /// The client.
    pub client: u32,
    /// The revision of which it is a copy.
    pub revision: i64,
    /// Keys, with the revisions of their last changes.
    pub objects: BTreeMap<Bytes, i64>,
}

/// Judges every copy. Returns how many there were.
pub fn check(caches: &[SeenCache], truth: &Truth) -> Result<u64, String> {
    let mut by_revision: Vec<&SeenCache> = caches.iter().collect();
    by_revision.sort_by_key(|cache| (cache.revision, cache.client));
    let mut events = truth.events.iter().peekable();
    let mut store: BTreeMap<Bytes, i64> = BTreeMap::new();
    for SeenCache { client, revision, objects } in by_revision {
        while let Some(event) = events.next_if(|event| event.revision <= *revision) {
            if !event.key.starts_with(PREFIX) {
                continue;
            }
            match event.kv {
                Some(_) => store.insert(event.key.clone(), event.revision),
                None => store.remove(&event.key),
            };
        }
        if *objects == store {
            continue;
        }
        let keys = objects.keys().chain(store.keys());
        let wrong = keys.filter(|key| objects.get(*key) != store.get(*key)).min();
        let wrong = wrong.expect("invariant: maps that differ differ somewhere");
        let of =
            |map: &BTreeMap<Bytes, i64>| map.get(wrong).map_or("absent".to_owned(), |at| format!("of revision {at}"));
        let (key, copy, truth) = (super::history::Text(wrong), of(objects), of(&store));
        return Err(format!("in client {client}'s copy of revision {revision} {key} is {copy}, in the store {truth}"));
    }
    Ok(caches.len() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::model::Event;
    use seedbed::pb::mvccpb::KeyValue;

    fn event(revision: i64, key: &'static str, there: bool) -> Event {
        Event { revision, key: key.into(), kv: there.then(KeyValue::default), prev: None }
    }

    fn cache(revision: i64, objects: &[(&'static str, i64)]) -> SeenCache {
        let objects = objects.iter().map(|(key, at)| (Bytes::from(*key), *at)).collect();
        SeenCache { client: 1, revision, objects }
    }

    #[test]
    fn a_copy_that_is_not_what_the_store_was_is_found() {
        let events = vec![
            event(2, "/registry/pods/a", true),
            event(3, "other", true),
            event(4, "/registry/pods/b", true),
            event(5, "/registry/pods/a", false),
        ];
        let truth = Truth { events, compacted: 0, prev_missing_to: 0 };
        let right = [cache(5, &[("/registry/pods/b", 4)]), cache(3, &[("/registry/pods/a", 2)]), cache(1, &[])];
        assert_eq!(check(&right, &truth), Ok(3));
        let stale = check(&[cache(5, &[("/registry/pods/a", 2), ("/registry/pods/b", 4)])], &truth).unwrap_err();
        assert!(stale.contains("/registry/pods/a is of revision 2, in the store absent"), "{stale}");
        assert!(check(&[cache(4, &[("/registry/pods/a", 2)])], &truth).is_err(), "one is missing");
        assert!(check(&[cache(2, &[("/registry/pods/a", 1)])], &truth).is_err(), "an old one");
    }
}
