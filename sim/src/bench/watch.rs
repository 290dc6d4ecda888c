//! Watchers, and how long after a put each hears of it.
//!
//! A value begins with the moment at which its put was due, so an event tells how old it is: what is measured is the
//! whole way, from a client that wants to say something to another that knows it.

use super::keys::{Keys, range};
use super::pace::Pace;
use super::report::Report;
use super::tally::Tally;
use super::{Load, PATIENCE, Progress, Shared, connect, finish, spawn};
use crate::client::{Answers, Channel, ClientError, Requests, method};
use bytes::{Bytes, BytesMut};
use seedbed::pb::etcdserverpb::watch_request::RequestUnion;
use seedbed::pb::etcdserverpb::{WatchCreateRequest, WatchRequest, WatchResponse};
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Bytes at the beginning of a value that say when it was due: microseconds in hexadecimal.
pub(super) const STAMP: usize = 16;

/// The rows of the tally.
const PUT: usize = 0;
const EVENT: usize = 1;

/// A value that says when it was due.
pub(super) fn stamped(due: Duration, value: &Bytes) -> Bytes {
    let mut bytes = BytesMut::from(format!("{:016x}", due.as_micros()).as_bytes());
    bytes.extend_from_slice(value.get(STAMP..).unwrap_or_default());
    bytes.freeze()
}

fn due(value: &[u8]) -> Option<Duration> {
    let digits = std::str::from_utf8(value.get(..STAMP)?).ok()?;
    u64::from_str_radix(digits, 16).ok().map(Duration::from_micros)
}

/// Watches, then puts.
pub(super) async fn run(
    load: &Load,
    watchers: usize,
    prefix: bool,
    told: impl FnMut(Progress) -> bool,
) -> Result<Report, ClientError> {
    // A key a watcher, or keys that all hear of.
    let count = if prefix { load.keys.count } else { watchers as u64 };
    let load = Load { keys: Keys { count, ..load.keys.clone() }, ..load.clone() };
    let channels = connect(&load).await?;
    let shared = Rc::new(Shared {
        load: load.clone(),
        pace: Pace::new(load.rate, load.end),
        tally: Tally::new(load.work.rows()),
    });
    let zero = Instant::now();
    let (mut listening, mut streams) = (JoinSet::new(), Vec::new());
    for (n, channel) in channels.iter().enumerate() {
        let mine = (n..watchers).step_by(channels.len());
        streams.push(open(channel.clone(), &load.keys, mine, prefix).await?);
    }
    let mut requests = Vec::new();
    for (says, hears) in streams {
        requests.push(says);
        listening.spawn_local(listen(shared.clone(), hears, zero));
    }
    let clients = spawn(&shared, &channels, zero.elapsed());
    finish(&shared, clients, told).await;
    let heard_by = if prefix { watchers as u64 } else { 1 };
    let expected = || shared.tally.answered_in(PUT) * heard_by;
    let ended = Instant::now();
    while shared.tally.answered_in(EVENT) < expected() && ended.elapsed() < PATIENCE && !listening.is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let missing = expected().saturating_sub(shared.tally.answered_in(EVENT));
    shared.tally.failed(format!("events that were not heard {} s after the last put", PATIENCE.as_secs()), missing);
    Ok(shared.tally.report(&load, shared.pace.began()))
}

type Stream = (Requests<WatchRequest>, Answers<WatchResponse>);

/// One stream with the watchers of these numbers. All are there when this returns.
async fn open(
    mut channel: Channel,
    keys: &Keys,
    numbers: impl Iterator<Item = usize>,
    prefix: bool,
) -> Result<Stream, ClientError> {
    let (mut requests, mut answers) = channel.stream(&method::WATCH).await?;
    let mut asked = 0;
    for number in numbers {
        let (key, range_end) = if prefix { range(&keys.prefix) } else { (keys.key(number as u64), Bytes::new()) };
        let create = WatchCreateRequest { key, range_end, ..WatchCreateRequest::default() };
        requests.say(&WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) })?;
        asked += 1;
    }
    while asked > 0 {
        let timed_out =
            |_| ClientError::TimedOut { endpoint: channel.endpoint().to_string(), seconds: PATIENCE.as_secs() };
        let answer = tokio::time::timeout(PATIENCE, answers.next()).await.map_err(timed_out)??;
        let refused = |message: String| ClientError::Status { code: 14, message };
        match answer {
            Some(answer) if answer.canceled => return Err(refused(answer.cancel_reason)),
            Some(answer) if answer.created => asked -= 1,
            Some(_) => {}
            None => return Err(refused("the watch stream ended".to_owned())),
        }
    }
    Ok((requests, answers))
}

async fn listen(shared: Rc<Shared>, mut answers: Answers<WatchResponse>, zero: Instant) {
    loop {
        match answers.next().await {
            Ok(Some(answer)) => {
                let now = zero.elapsed();
                for event in &answer.events {
                    let due = event.kv.as_ref().and_then(|kv| due(&kv.value));
                    let age = due.map(|due| now.saturating_sub(due).as_nanos() as u64);
                    age.into_iter().for_each(|age| shared.tally.took(EVENT, age));
                }
                if answer.canceled {
                    shared.tally.failed(format!("a watch was cancelled: {}", answer.cancel_reason), 1);
                }
            }
            Ok(None) => return,
            Err(error) => return shared.tally.failed(format!("a watch stream ended: {error}"), 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_says_when_it_was_due() {
        let value = stamped(Duration::from_micros(1_234_567), &Bytes::from_static(&[b'x'; 20]));
        assert_eq!((value.len(), due(&value)), (20, Some(Duration::from_micros(1_234_567))));
        assert_eq!(due(b"another's value, longer than a stamp"), None);
        assert_eq!(due(b""), None);
    }
}
