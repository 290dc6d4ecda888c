//! Asks a cluster: the doctor's part that touches sockets.

use super::metrics::Metrics;
use super::seen::Listed;
use super::{ClockSeen, HashSeen, MemberSeen, Seen, StatusSeen};
use crate::client::{Channel, ClientError, Endpoint, http1, method};
use prost::Message;
use seedbed::pb::etcdserverpb::{HashKvRequest, MemberListRequest, StatusRequest};
use std::future::Future;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::task::JoinSet;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// A hash reads every key.
const HASH_PATIENCE: Duration = Duration::from_secs(60);

/// What is asked.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Whom.
    pub endpoints: Vec<Endpoint>,
    /// Also everyone whom they know.
    pub cluster: bool,
    /// Between the two looks.
    pub window: Duration,
    /// Whether keys are hashed, which reads them all.
    pub hash: bool,
}

/// Looks at a cluster, twice.
pub fn observe(asked: &Asked) -> Seen {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("the system gives out a poll").block_on(look(asked))
}

async fn look(asked: &Asked) -> Seen {
    let mut endpoints = asked.endpoints.clone();
    let mut list = Vec::new();
    for endpoint in &asked.endpoints {
        list = members(endpoint).await.unwrap_or_default();
        if !list.is_empty() {
            break;
        }
    }
    if asked.cluster {
        let known = list.iter().filter_map(|member| member.client_urls.first()?.parse::<Endpoint>().ok());
        let new: Vec<Endpoint> = known.filter(|endpoint| !endpoints.contains(endpoint)).collect();
        endpoints.extend(new);
    }
    let mut members: Vec<MemberSeen> =
        endpoints.iter().map(|endpoint| MemberSeen { endpoint: endpoint.to_string(), ..Default::default() }).collect();
    for n in 0..2 {
        if n == 1 {
            tokio::time::sleep(asked.window).await;
        }
        let looks = all(&endpoints, look_at).await;
        for (member, (status, metrics, clock)) in members.iter_mut().zip(looks) {
            match status {
                Ok(status) => member.status[n] = Some(status),
                Err(error) => member.error = Some(error.to_string()),
            }
            member.metrics[n] = metrics;
            member.clock = clock.or(member.clock);
        }
    }
    for member in members.iter_mut().filter(|member| member.status[1].is_none()) {
        // Who went silent between the looks is silent.
        member.status[0] = None;
    }
    let mut seen = Seen { members, list, window_s: asked.window.as_secs_f64() };
    if asked.hash {
        hash(&mut seen, &endpoints).await;
    }
    seen
}

/// One hash of each at the revision that all have.
async fn hash(seen: &mut Seen, endpoints: &[Endpoint]) {
    let Some(revision) = seen.answered().map(|(_, status)| status.revision).min() else { return };
    let answering: Vec<Endpoint> = (seen.members.iter().zip(endpoints))
        .filter(|(member, _)| member.last().is_some())
        .map(|(_, endpoint)| endpoint.clone())
        .collect();
    let hashes = all(&answering, move |endpoint| async move {
        let answer = ask(&endpoint, HASH_PATIENCE, &method::HASH_KV, &HashKvRequest { revision }).await;
        answer.map(|answer| HashSeen { revision, hash: answer.hash, compacted: answer.compact_revision })
    });
    let hashes = hashes.await;
    let answering = seen.members.iter_mut().filter(|member| member.last().is_some());
    for (member, hash) in answering.zip(hashes) {
        member.hash = Some(hash.map_err(|error| error.to_string()));
    }
}

/// Asks everyone at once; the answers in the endpoints' order.
async fn all<T, F>(endpoints: &[Endpoint], ask: impl Fn(Endpoint) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let mut asked = JoinSet::new();
    for (n, endpoint) in endpoints.iter().enumerate() {
        let answer = ask(endpoint.clone());
        asked.spawn(async move { (n, answer.await) });
    }
    let mut answers = asked.join_all().await;
    answers.sort_by_key(|(n, _)| *n);
    answers.into_iter().map(|(_, answer)| answer).collect()
}

type Look = (Result<StatusSeen, ClientError>, Option<Metrics>, Option<ClockSeen>);

async fn look_at(endpoint: Endpoint) -> Look {
    let status = ask(&endpoint, PATIENCE, &method::STATUS, &StatusRequest {}).await.map(|answer| {
        let header = answer.header.unwrap_or_default();
        StatusSeen {
            cluster_id: header.cluster_id,
            member_id: header.member_id,
            revision: header.revision,
            version: answer.version,
            db_size: answer.db_size,
            db_size_in_use: answer.db_size_in_use,
            leader: answer.leader,
            term: answer.raft_term,
            committed: answer.raft_index,
            applied: answer.raft_applied_index,
            errors: answer.errors,
        }
    });
    if status.is_err() {
        return (status, None, None);
    }
    let began = wall_s();
    let page = http1::get(&endpoint, "/version", PATIENCE).await.ok();
    let clock = page.and_then(|page| clock(&page.date?, began, wall_s()));
    let page = http1::get(&endpoint, "/metrics", PATIENCE).await.ok().filter(|page| page.status == 200);
    let metrics = page.map(|page| Metrics::parse(&page.body).read_at(wall_s()));
    (status, metrics, clock)
}

async fn members(endpoint: &Endpoint) -> Result<Vec<Listed>, ClientError> {
    let request = MemberListRequest { linearizable: false };
    let answer = ask(endpoint, PATIENCE, &method::MEMBER_LIST, &request).await?;
    let listed = answer.members.into_iter().map(|member| Listed {
        id: member.id,
        name: member.name,
        client_urls: member.client_urls,
        is_learner: member.is_learner,
    });
    Ok(listed.collect())
}

async fn ask<I: Message, O: Message + Default>(
    endpoint: &Endpoint,
    patience: Duration,
    method: &method::Method<I, O>,
    request: &I,
) -> Result<O, ClientError> {
    let answer = async { Channel::connect(endpoint).await?.call(method, request).await };
    let timed_out = |_| ClientError::TimedOut { endpoint: endpoint.to_string(), seconds: patience.as_secs() };
    tokio::time::timeout(patience, answer).await.map_err(timed_out)?
}

/// Seconds since 1970 of this machine's clock.
fn wall_s() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

/// What a date in a page that was asked for and came at these moments says of the clock that wrote it.
fn clock(date: &str, asked_s: f64, came_s: f64) -> Option<ClockSeen> {
    let written = seconds(date)? as f64;
    // Written between the two moments, at a time of that clock within the second that it names.
    Some(ClockSeen { ahead_min_s: written - came_s, ahead_max_s: written + 1.0 - asked_s })
}

/// `Sun, 22 Nov 2026 14:42:13 GMT` as seconds since 1970.
fn seconds(date: &str) -> Option<i64> {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let words: Vec<&str> = date.split([' ', ':']).collect();
    let [_, day, month, year, hour, minute, second, "GMT"] = words[..] else { return None };
    let month = MONTHS.iter().position(|name| *name == month)? as i64 + 1;
    let number = |text: &str| text.parse::<i64>().ok();
    let (day, year) = (number(day)?, number(year)?);
    // Years that begin in March have their leap day at the end (Howard Hinnant's days_from_civil).
    let (year, month) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1 - 719_468;
    Some(((days * 24 + number(hour)?) * 60 + number(minute)?) * 60 + number(second)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read() {
        assert_eq!(seconds("Thu, 01 Jan 1970 00:00:00 GMT"), Some(0));
        assert_eq!(seconds("Thu, 29 Feb 2024 12:34:56 GMT"), Some(1_709_210_096));
        assert_eq!(seconds("Sun, 22 Nov 2026 14:42:13 GMT"), Some(1_795_358_533));
        assert_eq!(seconds("yesterday"), None);
    }

    #[test]
    fn a_clock_is_known_within_a_second_and_the_way() {
        let seen = clock("Thu, 01 Jan 1970 00:01:40 GMT", 100.2, 100.3).expect("a date");
        assert!((seen.ahead_min_s + 0.3).abs() < 1e-9 && (seen.ahead_max_s - 0.8).abs() < 1e-9, "{seen:?}");
    }
}
