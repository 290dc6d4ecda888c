//! Workload `leases`: what services do that register themselves (lesson 06).
//!
//! A client asks for a lease, hangs a few keys on it and keeps it alive, a third of its TTL apart, as etcd's client library
//! does. After a while it gives the lease back, or is silent until the lease is over; then it begins anew. On the way it asks
//! how long the lease will live, and which leases there are. With `keep_alive = false` it never renews: it grants, hangs its
//! keys on the lease, and goes on to the next.
//!
//! With `shared = true` each lease has a second holder, another process of the same service: it keeps the lease alive until
//! it hears that the lease is gone. The first gives it back soon, and does not tell the second.

use super::client::Client;
use super::random::Stream;
use crate::check::asked::Ending;
use crate::scenario::Workload;
use bytes::Bytes;
use seedbed::api::{Request, Response};
use seedbed::pb::etcdserverpb::{
    LeaseGrantRequest, LeaseKeepAliveRequest, LeaseRevokeRequest, LeaseTimeToLiveRequest, PutRequest, RangeRequest,
};
use seedbed::time::{MILLISECOND, Nanos, SECOND};
use std::cell::Cell;
use std::rc::Rc;

/// A pause after what failed.
const PAUSE: Nanos = 200 * MILLISECOND;

/// Where the first holder writes down its lease for the second; 0: none.
pub(super) type Board = Rc<Cell<i64>>;

/// The second holder.
pub(super) async fn second_holder(mut client: Client, workload: Workload, board: Board, until: Nanos) {
    let until = workload.stop.unwrap_or(until).min(until);
    let (mut held, mut gone) = (0, 0);
    while client.handle().now() < until {
        if held == 0 || held == gone {
            held = board.get();
        }
        if held != 0 && held != gone {
            let renewed = client.ask(Request::LeaseKeepAlive(LeaseKeepAliveRequest { id: held })).await;
            if matches!(renewed, Ending::Answered { response: Response::LeaseKeepAlive(ref renewal), .. } if renewal.ttl <= 0)
            {
                gone = held;
            }
        }
        client.handle().sleep_until(client.handle().now() + workload.ttl / 30).await;
    }
}

/// One client of workload `leases`.
pub(super) async fn leases(mut client: Client, workload: Workload, mut random: Stream, board: Board, until: Nanos) {
    let number = client.number();
    let until = workload.stop.unwrap_or(until).min(until);
    let gap = SECOND * u64::from(workload.clients) / u64::from(workload.rate.max(1));
    client.handle().sleep_until(workload.start + random.below(gap.max(1))).await;
    for round in 0_u64.. {
        if client.handle().now() >= until {
            return;
        }
        let begun = client.handle().now();
        match grant(&mut client, &workload, &mut random, number, round).await {
            Some(lease) => {
                board.set(lease);
                hang_keys(&mut client, &workload, &mut random, (number, round), lease).await;
                if workload.shared {
                    let held = random.below(workload.ttl / 6);
                    client.handle().sleep_until(client.handle().now() + held).await;
                    client.ask(Request::LeaseRevoke(LeaseRevokeRequest { id: lease })).await;
                } else if workload.keep_alive {
                    hold(&mut client, &workload, &mut random, ((number, round), lease), until).await;
                }
            }
            None => client.handle().sleep_until(client.handle().now() + PAUSE).await,
        }
        client.handle().sleep_until((begun + gap).max(client.handle().now())).await;
    }
}

/// Asks for a lease: of any number, or of one of its own, which may be below 0.
async fn grant(client: &mut Client, workload: &Workload, random: &mut Stream, number: u32, round: u64) -> Option<i64> {
    let own = (i64::from(number) + 1) << 32 | round as i64;
    let id = match random.below(4) {
        0 => own,
        1 => -own,
        _ => 0,
    };
    let ttl = (workload.ttl / SECOND) as i64;
    match client.ask(Request::LeaseGrant(LeaseGrantRequest { id, ttl })).await {
        Ending::Answered { response: Response::LeaseGrant(granted), .. } => Some(granted.id),
        _ => None,
    }
}

async fn hang_keys(client: &mut Client, workload: &Workload, random: &mut Stream, by: (u32, u64), lease: i64) {
    for place in 0..=random.below(3) {
        let key = Bytes::from(format!("lease/c{}/{}", by.0, (by.1 + place) % u64::from(workload.keys.max(1))));
        let mut value = format!("c{}.{}.{place}", by.0, by.1).into_bytes();
        value.resize(value.len().max(workload.value_bytes.lo as usize), b'.');
        let put = PutRequest { key, value: value.into(), lease, ..PutRequest::default() };
        client.ask(Request::Put(put)).await;
    }
}

/// Keeps a lease alive for a while, then ends it or lets it go.
async fn hold(
    client: &mut Client,
    workload: &Workload,
    random: &mut Stream,
    (by, lease): ((u32, u64), i64),
    until: Nanos,
) {
    for _ in 0..random.below(8) {
        client.handle().sleep_until(client.handle().now() + workload.ttl / 3).await;
        if client.handle().now() >= until {
            return;
        }
        let renewed = client.ask(Request::LeaseKeepAlive(LeaseKeepAliveRequest { id: lease })).await;
        if let Ending::Answered { response: Response::LeaseKeepAlive(renewal), .. } = renewed
            && renewal.ttl <= 0
        {
            // It is over: whoever renews late has lost it.
            return;
        }
        match random.below(3) {
            0 => hang_keys(client, workload, random, by, lease).await,
            _ => look(client, random, lease).await,
        }
    }
    match random.below(2) {
        0 => {
            client.ask(Request::LeaseRevoke(LeaseRevokeRequest { id: lease })).await;
            // It must be gone; whoever is not sure asks.
            client.ask(Request::LeaseKeepAlive(LeaseKeepAliveRequest { id: lease })).await;
        }
        _ => {
            let over = client.handle().now() + workload.ttl + 2 * SECOND;
            client.handle().sleep_until(over.min(until)).await;
        }
    }
}

/// A question now and then.
async fn look(client: &mut Client, random: &mut Stream, lease: i64) {
    let request = match random.below(4) {
        0 => Request::LeaseTimeToLive(LeaseTimeToLiveRequest { id: lease, keys: true }),
        1 => Request::LeaseLeases,
        2 => {
            let (key, range_end) = (Bytes::from_static(b"lease/"), Bytes::from_static(b"lease0"));
            Request::Range(RangeRequest { key, range_end, ..RangeRequest::default() })
        }
        _ => return,
    };
    client.ask(request).await;
}
