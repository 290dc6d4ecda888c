//! What the clients do.

use super::client::Client;
use super::random::Stream;
use crate::check::history::{Outcome, Output};
use crate::scenario::{Mix, Range64, Workload, WorkloadKind};
use bytes::Bytes;
use seedbed::time::{Nanos, SECOND};
use std::collections::BTreeMap;

/// So many revisions a look back goes at most.
const PAST: u64 = 100;

/// The keys of workload `kv`: `k0`, `k1`, …
fn key(number: u64) -> Bytes {
    let mut room = [0; DIGITS_MAX];
    let digits = decimal(number, &mut room);
    let mut key = Vec::with_capacity(1 + digits.len());
    key.push(b'k');
    key.extend_from_slice(digits);
    key.into()
}

/// So many digits has a `u64` at most.
const DIGITS_MAX: usize = 20;

/// A number's digits. Clients make names all the time: by hand this takes a tenth of what `format!` does.
fn decimal(mut number: u64, room: &mut [u8; DIGITS_MAX]) -> &[u8] {
    let mut first = room.len();
    loop {
        first -= 1;
        room[first] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return &room[first..];
        }
    }
}

/// One client of workload `kv`: a request every `clients / rate` seconds on average, one after the other, of the kinds
/// and on the keys that its stream draws.
pub(super) async fn kv(mut client: Client, workload: Workload, mut random: Stream, number: u32, until: Nanos) {
    let gap = SECOND * u64::from(workload.clients) / u64::from(workload.rate.max(1));
    let jitter = Range64::new(gap / 2, gap + gap / 2);
    let until = workload.stop.unwrap_or(until).min(until);
    let mut next = workload.start + random.below(gap.max(1));
    let mut seen: BTreeMap<u64, i64> = BTreeMap::new();
    // The newest revision that this client has heard of.
    let mut newest: i64 = 1;
    for count in 0_u64.. {
        // A client that was held up goes on at once, but does not make up for what it missed.
        next = next.max(client.handle().now());
        if next >= until {
            return;
        }
        client.handle().sleep_until(next).await;
        next += random.within(jitter);

        let number_of_key = random.below(u64::from(workload.keys.max(1)));
        let key = key(number_of_key);
        let value = |random: &mut Stream| value(number, count, &workload, random);
        let outcome = match draw(&workload.mix, &mut random) {
            Kind::Put => client.put(key, value(&mut random)).await,
            Kind::Get => client.get(key, false).await,
            Kind::Serializable => client.get(key, true).await,
            Kind::Delete => client.delete(key).await,
            Kind::Cas => {
                let expected = seen.get(&number_of_key).copied().unwrap_or(0);
                client.cas(key, expected, value(&mut random)).await
            }
            Kind::List => client.list(Bytes::from_static(b"k")).await,
            Kind::Past => {
                let other = self::key(random.below(u64::from(workload.keys.max(1))));
                let revision = newest.saturating_sub(random.below(PAST) as i64).max(1);
                client.put_and_look_back(key, value(&mut random), other, revision).await
            }
        };
        if let Outcome::Ok { revision, .. } = outcome {
            newest = newest.max(revision);
        }
        remember(&mut seen, number_of_key, &outcome);
    }
}

/// One client of the workloads `fill` and `erase`: of every `clients` keys it takes the one that is its `place`, in order,
/// at the same pace as above.
pub(super) async fn each(
    mut client: Client,
    workload: Workload,
    mut random: Stream,
    (number, place): (u32, u16),
    until: Nanos,
) {
    let gap = SECOND * u64::from(workload.clients) / u64::from(workload.rate.max(1));
    let until = workload.stop.unwrap_or(until).min(until);
    let mut next = workload.start + random.below(gap.max(1));
    for key_number in (u64::from(place)..u64::from(workload.keys)).step_by(usize::from(workload.clients)) {
        next = next.max(client.handle().now());
        if next >= until {
            return;
        }
        client.handle().sleep_until(next).await;
        next += gap;
        let key = key(key_number);
        match workload.kind {
            WorkloadKind::Erase => client.delete(key).await,
            _ => client.put(key, value(number, key_number, &workload, &mut random)).await,
        };
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Put,
    Get,
    Serializable,
    Delete,
    Cas,
    List,
    Past,
}

fn draw(mix: &Mix, random: &mut Stream) -> Kind {
    let weights = [
        (mix.put, Kind::Put),
        (mix.get, Kind::Get),
        (mix.serializable, Kind::Serializable),
        (mix.delete, Kind::Delete),
        (mix.cas, Kind::Cas),
        (mix.list, Kind::List),
        (mix.past, Kind::Past),
    ];
    let total: u64 = weights.iter().map(|(weight, _)| u64::from(*weight)).sum();
    let mut at = random.below(total.max(1));
    for (weight, kind) in weights {
        match at.checked_sub(u64::from(weight)) {
            Some(rest) => at = rest,
            None => return kind,
        }
    }
    Kind::Get
}

/// A value that no other write has, so that a read tells which write it saw.
fn value(client: u32, count: u64, workload: &Workload, random: &mut Stream) -> Bytes {
    let bytes = random.within(Range64::new(workload.value_bytes.lo.into(), workload.value_bytes.hi.into())) as usize;
    let mut rooms = [[0; DIGITS_MAX]; 2];
    let [client_room, count_room] = &mut rooms;
    let (client, count) = (decimal(client.into(), client_room), decimal(count, count_room));
    let name = 2 + client.len() + count.len();
    let mut value = Vec::with_capacity(name.max(bytes));
    value.push(b'c');
    value.extend_from_slice(client);
    value.push(b'.');
    value.extend_from_slice(count);
    value.resize(name.max(bytes), b'.');
    value.into()
}

/// Keeps the last revision seen of a key, for the next compare-and-swap.
fn remember(seen: &mut BTreeMap<u64, i64>, key: u64, outcome: &Outcome) {
    let Outcome::Ok { revision, output, .. } = outcome else { return };
    match output {
        Output::Put | Output::Cas { succeeded: true } => {
            seen.insert(key, *revision);
        }
        Output::Get(found) => {
            seen.insert(key, found.as_ref().map_or(0, |kv| kv.mod_revision));
        }
        Output::Deleted(_) => {
            seen.insert(key, 0);
        }
        Output::Cas { succeeded: false } | Output::List(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_numbered_in_decimal() {
        for number in [0, 7, 10, 907, 1_000_000, u64::MAX] {
            assert_eq!(key(number), format!("k{number}"));
        }
    }
}
