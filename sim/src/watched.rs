//! Figures of watches: what was committed, and what of it came.
//!
//! A *subscription* is what a client wants to hear, on however many watches it takes: a watch that is resumed at another
//! member continues one, and so does a controller that reads everything anew after a compaction. What such a client did
//! not hear of is counted as missed even where no guarantee was broken: the member had said that it would not come.

use crate::check::watch::{Content, End, WatchRecord};
use crate::scenario::Observation;
use crate::world::Outcome;
use bytes::Bytes;
use seedbed::pb::etcdserverpb::FilterType;
use seedbed::time::Nanos;
use std::collections::{BTreeMap, BTreeSet};

/// Figures of all watches of a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Watched {
    /// Events that came.
    events: u64,
    /// Events that were wanted and never came.
    missed: u64,
    /// Events that came again.
    duplicates: u64,
    /// The longest time from a change to its event.
    lag: Nanos,
    /// Watches whose streams broke.
    broken: u64,
    /// Watches that ended because their history was compacted.
    compacted: u64,
    /// Keys that clients' copies have wrong at the end.
    mirror_wrong: u64,
    ring_told: u64,
    ring_lost: u64,
}

impl Watched {
    pub(crate) fn of(outcome: &Outcome) -> Watched {
        let mut figures = Watched {
            mirror_wrong: mirror_wrong(outcome),
            ring_told: outcome.ring_told,
            ring_lost: outcome.ring_lost,
            ..Watched::default()
        };
        let mut subscriptions: BTreeMap<u32, Vec<&WatchRecord>> = BTreeMap::new();
        for (record, subscription) in outcome.watches.iter().zip(&outcome.subscriptions) {
            figures.of_record(record, outcome);
            subscriptions.entry(*subscription).or_default().push(record);
        }
        for (subscription, records) in subscriptions {
            figures.of_subscription(outcome.wanted_from.get(&subscription).copied(), &records, outcome);
        }
        figures
    }

    fn of_record(&mut self, record: &WatchRecord, outcome: &Outcome) {
        self.events += record.events() as u64;
        self.broken += u64::from(record.end == End::Broken);
        for response in &record.responses {
            match &response.content {
                Content::Canceled { compact_revision: 1.., .. } => self.compacted += 1,
                Content::Events(events) => {
                    let oldest = events.first().and_then(|event| event.kv.as_ref()).map_or(0, |kv| kv.mod_revision);
                    let at = outcome.committed.partition_point(|committed| committed.revision < oldest);
                    let made_at = outcome.committed.get(at).map_or(response.at, |committed| committed.at);
                    // A watch from the past is not late with what was there before it.
                    let asked_at = record.responses.first().map_or(made_at, |created| created.at);
                    self.lag = self.lag.max(response.at.saturating_sub(made_at.max(asked_at)));
                }
                _ => {}
            }
        }
    }

    fn of_subscription(&mut self, wanted_from: Option<i64>, records: &[&WatchRecord], outcome: &Outcome) {
        let mut came: BTreeSet<(i64, &Bytes)> = BTreeSet::new();
        let mut count = 0;
        for kv in records.iter().flat_map(|record| events(record)) {
            count += 1;
            came.insert((kv.0, kv.1));
        }
        self.duplicates += count - came.len() as u64;
        let (Some(first), Some(last)) = (records.first(), records.last()) else { return };
        let until = match (wanted_from, &last.end) {
            (Some(_), _) => outcome.heard_to,
            (None, End::Alive { due }) if !is_canceled(last) => *due,
            _ => came.last().map_or(0, |last| last.0),
        };
        let Some(from) = wanted_from.or_else(|| start(first)) else { return };
        let request = &first.request;
        let unwanted = |is_put: bool| {
            let filter = if is_put { FilterType::Noput } else { FilterType::Nodelete };
            request.filters.contains(&(filter as i32))
        };
        let within = |key: &Bytes| match &request.range_end[..] {
            b"" => *key == request.key,
            b"\0" => *key >= request.key,
            end => *key >= request.key && &key[..] < end,
        };
        let wanted = outcome.truth.events.iter().filter(|event| (from..=until).contains(&event.revision));
        let wanted = wanted.filter(|event| within(&event.key) && !unwanted(event.kv.is_some()));
        self.missed += wanted.filter(|event| !came.contains(&(event.revision, &event.key))).count() as u64;
    }

    /// One of these figures; `None` for one of something else.
    pub(crate) fn observe(&self, observation: Observation) -> Option<f64> {
        Some(match observation {
            Observation::WatchEvents => self.events as f64,
            Observation::WatchMissed => self.missed as f64,
            Observation::WatchDuplicates => self.duplicates as f64,
            Observation::WatchLagS => self.lag as f64 / 1e9,
            Observation::WatchBroken => self.broken as f64,
            Observation::WatchCompacted => self.compacted as f64,
            Observation::MirrorWrong => self.mirror_wrong as f64,
            Observation::RingTold => self.ring_told as f64,
            Observation::RingLost => self.ring_lost as f64,
            _ => return None,
        })
    }
}

/// Revisions and keys of the events that came.
fn events(record: &WatchRecord) -> impl Iterator<Item = (i64, &Bytes)> {
    let lists = record.responses.iter().filter_map(|response| match &response.content {
        Content::Events(events) => Some(events),
        _ => None,
    });
    lists.flatten().filter_map(|event| event.kv.as_ref()).map(|kv| (kv.mod_revision, &kv.key))
}

fn is_canceled(record: &WatchRecord) -> bool {
    record.responses.iter().any(|response| matches!(response.content, Content::Canceled { .. }))
}

/// The first revision that a watch is to hear of, if it was ever answered.
fn start(record: &WatchRecord) -> Option<i64> {
    let created = record.responses.iter().find(|response| response.content == Content::Created);
    match record.request.start_revision {
        0 => created.map(|created| created.revision + 1),
        from => Some(from),
    }
}

fn mirror_wrong(outcome: &Outcome) -> u64 {
    let mut truth: BTreeMap<&Bytes, &Bytes> = BTreeMap::new();
    for event in outcome.truth.events.iter().filter(|event| event.key.starts_with(b"k")) {
        match &event.kv {
            Some(kv) => truth.insert(&event.key, &kv.value),
            None => truth.remove(&event.key),
        };
    }
    let wrong = |keys: &BTreeMap<Bytes, Bytes>| {
        let all: BTreeSet<&Bytes> = keys.keys().chain(truth.keys().copied()).collect();
        all.into_iter().filter(|key| keys.get(*key) != truth.get(*key).copied()).count() as u64
    };
    outcome.mirrors.iter().map(|mirror| wrong(&mirror.keys)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::log::Committed;
    use crate::check::model::{Detail, Event};
    use crate::check::watch::{Response, Truth};
    use crate::run;
    use crate::scenario::Scenario;
    use crate::world::Options;
    use seedbed::pb::etcdserverpb::WatchCreateRequest;
    use seedbed::pb::mvccpb::{self, KeyValue};
    use seedbed::raft::{Entry, EntryKind};

    fn kv(revision: i64) -> KeyValue {
        KeyValue { key: "k1".into(), mod_revision: revision, value: "v".into(), ..KeyValue::default() }
    }

    fn record(start_revision: i64, revisions: &[i64], end: End) -> WatchRecord {
        let request = WatchCreateRequest { key: "k1".into(), start_revision, ..WatchCreateRequest::default() };
        let list = |revision: &i64| {
            let event = mvccpb::Event { kv: Some(kv(*revision)), ..mvccpb::Event::default() };
            Response { at: 5_000_000_000, revision: *revision, content: Content::Events(vec![event]) }
        };
        let created = Response { at: 0, revision: start_revision, content: Content::Created };
        let responses = std::iter::once(created).chain(revisions.iter().map(list)).collect();
        WatchRecord { client: 1, request, detail: Detail::Full, responses, end }
    }

    /// Five changes of one key at revisions 2 to 6, a second apart, of which a client heard this.
    fn outcome(watches: Vec<WatchRecord>, wanted_from: Option<i64>) -> Outcome {
        let scenario = Scenario { duration: 1, workloads: Vec::new(), ..Scenario::default() };
        let mut outcome = run::run(&scenario, 1, Options::default()).expect("the harness holds").outcome;
        let event = |revision| Event { revision, key: "k1".into(), kv: Some(kv(revision)), prev: None };
        outcome.truth = Truth { events: (2..=6).map(event).collect(), compacted: 0, prev_missing_to: 0 };
        let data = bytes::Bytes::new();
        let entry = |revision| Entry { kind: EntryKind::Normal, term: 2, index: revision as u64, data: data.clone() };
        let at = |revision| (revision as u64 - 2) * 1_000_000_000;
        let committed = |revision| Committed { entry: entry(revision), at: at(revision), revision, operation: None };
        outcome.committed = (2..=6).map(committed).collect();
        outcome.subscriptions = vec![0; watches.len()];
        outcome.wanted_from = wanted_from.into_iter().map(|from| (0, from)).collect();
        outcome.heard_to = 6;
        outcome.watches = watches;
        outcome
    }

    #[test]
    fn what_came_on_several_watches_of_a_subscription_is_held_against_what_was_wanted() {
        let alive = End::Alive { due: 6 };
        let figures = Watched::of(&outcome(vec![record(2, &[2, 3], End::Broken), record(3, &[3, 5], alive)], None));
        let seen = |observation| figures.observe(observation);
        assert_eq!((seen(Observation::WatchEvents), seen(Observation::WatchDuplicates)), (Some(4.0), Some(1.0)));
        assert_eq!((seen(Observation::WatchMissed), seen(Observation::WatchBroken)), (Some(2.0), Some(1.0)));
        assert_eq!((seen(Observation::WatchLagS), seen(Observation::Ok)), (Some(5.0), None));
    }

    #[test]
    fn who_wants_everything_misses_what_follows_an_end_and_others_do_not() {
        let ended = || vec![record(2, &[2, 3], End::Broken)];
        assert_eq!(Watched::of(&outcome(ended(), None)).missed, 0);
        assert_eq!(Watched::of(&outcome(ended(), Some(2))).missed, 3);
    }

    #[test]
    fn a_copy_is_wrong_where_a_key_has_another_value_or_should_not_be_there() {
        let mut outcome = outcome(Vec::new(), None);
        let mirror = |pairs: &[(&'static str, &'static str)]| crate::world::Mirror {
            client: 1,
            keys: pairs.iter().map(|(key, value)| (Bytes::from(*key), Bytes::from(*value))).collect(),
        };
        outcome.mirrors = vec![mirror(&[("k1", "v")]), mirror(&[]), mirror(&[("k1", "old"), ("k2", "v")])];
        assert_eq!(Watched::of(&outcome).mirror_wrong, 3);
    }
}
