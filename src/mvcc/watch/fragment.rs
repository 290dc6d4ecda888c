//! Cutting a response that is longer than a message may be.
//!
//! ```text
//!   events e1 e2 e3 e4 e5         →   {fragment, e1 e2}  {fragment, e3}  {e4 e5}
//! ```
//!
//! All parts but the last say `fragment`. This may part the events of one revision, so it is only done for a client that
//! asked for it and puts them together again.

use crate::pb::etcdserverpb::WatchResponse;
use prost::Message as _;
use prost::encoding::message;

/// Parts of a response whose encodings are shorter than `max_bytes`. A part of a single event may be longer: an event is
/// not cut.
pub fn fragments(mut whole: WatchResponse, max_bytes: usize) -> Vec<WatchResponse> {
    if whole.encoded_len() < max_bytes || whole.events.len() < 2 {
        return vec![whole];
    }
    let events = std::mem::take(&mut whole.events);
    let empty = WatchResponse { fragment: true, ..whole };
    let mut parts = vec![empty.clone()];
    let mut len = empty.encoded_len();
    for event in events {
        let more = message::encoded_len(EVENTS_TAG, &event);
        let part = parts.last_mut().expect("invariant: there is a part from the start");
        if part.events.is_empty() || len + more < max_bytes {
            part.events.push(event);
            len += more;
        } else {
            parts.push(WatchResponse { events: vec![event], ..empty.clone() });
            len = empty.encoded_len() + more;
        }
    }
    parts.last_mut().expect("invariant: there is a part from the start").fragment = false;
    parts
}

/// Of [`WatchResponse::events`].
const EVENTS_TAG: u32 = 11;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pb::etcdserverpb::ResponseHeader;
    use crate::pb::mvccpb::{Event, KeyValue};

    fn response(values: &[usize]) -> WatchResponse {
        let event = |(n, &len): (usize, &usize)| {
            let kv = KeyValue { key: vec![b'k', n as u8].into(), value: vec![7; len].into(), ..KeyValue::default() };
            Event { kv: Some(kv), ..Event::default() }
        };
        let events = values.iter().enumerate().map(event).collect();
        let header = Some(ResponseHeader { revision: 9, ..ResponseHeader::default() });
        WatchResponse { header, watch_id: 3, events, ..WatchResponse::default() }
    }

    /// Checks what holds of any parts, and returns how many events each has.
    fn cut(values: &[usize], max_bytes: usize) -> Vec<usize> {
        let whole = response(values);
        let parts = fragments(whole.clone(), max_bytes);
        let (last, others) = parts.split_last().expect("nothing is lost");
        assert!(!last.fragment && others.iter().all(|part| part.fragment));
        assert!(parts.iter().all(|part| part.watch_id == 3 && part.header == whole.header));
        assert!(parts.iter().all(|part| part.encoded_len() < max_bytes || part.events.len() < 2));
        let events: Vec<Event> = parts.iter().flat_map(|part| part.events.clone()).collect();
        assert_eq!(events, whole.events);
        parts.iter().map(|part| part.events.len()).collect()
    }

    #[test]
    fn a_response_that_is_short_enough_stays_whole() {
        assert_eq!(cut(&[10, 10], 1_000), [2]);
        assert_eq!(cut(&[], 1), [0]);
        let len = response(&[10, 10]).encoded_len();
        assert_eq!(cut(&[10, 10], len + 1), [2]);
        assert_eq!(cut(&[10, 10], len), [1, 1], "shorter than the limit, not as long");
    }

    #[test]
    fn each_part_takes_as_many_events_as_fit() {
        assert_eq!(cut(&[100; 10], 512), [4, 4, 2]);
        assert_eq!(cut(&[100, 100, 400, 100, 100], 512), [2, 1, 2]);
        // The tightest limit for all sizes of length prefixes: a part that had room for one more would show here.
        for max_bytes in 150..2_000 {
            let counts = cut(&[100; 20], max_bytes);
            let full = response(&vec![100; counts[0] + 1]);
            let with_one_more = WatchResponse { fragment: true, ..full }.encoded_len();
            assert!(counts.len() == 1 || with_one_more >= max_bytes, "{max_bytes}: {counts:?}");
        }
    }

    #[test]
    fn an_event_that_is_too_long_by_itself_goes_alone() {
        assert_eq!(cut(&[10, 5_000, 10], 100), [1, 1, 1]);
        assert_eq!(cut(&[5_000], 100), [1]);
    }
}
