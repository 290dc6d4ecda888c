//! The guarantees, a function each.

use super::past::Past;
use super::{Content, End, Found, Guarantee, Response, WatchRecord};
use crate::check::history::Text;
use crate::check::model::{self, Detail, Interval};
use seedbed::pb::etcdserverpb::FilterType;
use seedbed::pb::mvccpb::{Event, EventType, KeyValue};
use std::collections::BTreeMap;

/// The first failure of a watch to keep a guarantee.
pub(super) fn judge(guarantee: Guarantee, record: &WatchRecord, past: &Past<'_>) -> Found {
    let watch = Watch { record, past };
    match guarantee {
        Guarantee::Filter => watch.filter(),
        Guarantee::Ordered => watch.ordered(),
        Guarantee::Unique => watch.unique(),
        Guarantee::Atomic => watch.atomic(),
        Guarantee::Bookmarkable => watch.bookmarkable(),
        Guarantee::Resumable => watch.resumable(),
        Guarantee::IsCreate => watch.is_create(),
        Guarantee::Reliable => watch.reliable(),
        Guarantee::PrevKv => watch.prev_kv(),
        Guarantee::Tail => watch.tail(),
        Guarantee::Canceled => watch.canceled(),
    }
}

struct Watch<'a> {
    record: &'a WatchRecord,
    past: &'a Past<'a>,
}

/// An event that came.
#[derive(Clone, Copy)]
struct Came<'a> {
    is_put: bool,
    kv: &'a KeyValue,
    prev: Option<&'a KeyValue>,
}

impl<'a> Came<'a> {
    fn of(event: &'a Event) -> Came<'a> {
        static NONE: KeyValue = KeyValue {
            key: bytes::Bytes::new(),
            create_revision: 0,
            mod_revision: 0,
            version: 0,
            value: bytes::Bytes::new(),
            lease: 0,
        };
        let is_put = event.r#type == EventType::Put as i32;
        Came { is_put, kv: event.kv.as_ref().unwrap_or(&NONE), prev: event.prev_kv.as_ref() }
    }

    fn revision(self) -> i64 {
        self.kv.mod_revision
    }

    /// Whether it tells this change: kind, key, revision and value.
    fn tells(self, event: &model::Event) -> bool {
        let same = self.revision() == event.revision && self.kv.key == event.key;
        same && match &event.kv {
            Some(kv) => self.is_put && self.kv.value == kv.value,
            None => !self.is_put,
        }
    }

    /// The same, and whatever else was written down.
    fn tells_all(self, event: &model::Event, detail: Detail) -> bool {
        let all = detail == Detail::Robustness || event.kv.as_ref().is_none_or(|kv| kv == self.kv);
        self.tells(event) && all
    }
}

impl<'a> Watch<'a> {
    /// The lists of events that came. Empty ones say nothing.
    fn lists(&self) -> impl Iterator<Item = &'a [Event]> + use<'a> {
        self.record.responses.iter().filter_map(|response| match &response.content {
            Content::Events(events) if !events.is_empty() => Some(&events[..]),
            _ => None,
        })
    }

    fn came(&self) -> impl Iterator<Item = Came<'a>> + use<'a> {
        self.lists().flatten().map(Came::of)
    }

    /// Whether the watch asked for such an event.
    fn matches(&self, key: &[u8], is_put: bool) -> bool {
        let request = &self.record.request;
        let unwanted = if is_put { FilterType::Noput } else { FilterType::Nodelete };
        Interval::of(&request.key, &request.range_end).contains(key) && !request.filters.contains(&(unwanted as i32))
    }

    /// What should have come of these revisions.
    fn wanted(&self, from: i64, to: i64) -> impl Iterator<Item = &'a model::Event> {
        let events = self.past.between(from..=to);
        events.iter().filter(|event| self.matches(&event.key, event.kv.is_some()))
    }

    /// The revision that the watch begins with, if that is known.
    fn start(&self) -> Option<i64> {
        let created = || {
            let responses = self.record.responses.iter();
            let mut created = responses.filter(|response| response.content == Content::Created);
            created.next().map(|response| response.revision + 1)
        };
        let first = || self.came().next().map(Came::revision);
        match self.record.request.start_revision {
            0 => created().or_else(first),
            revision => Some(revision),
        }
    }

    /// The last revision that the watch is known to have reached; 0 if none is.
    fn reached(&self) -> i64 {
        let progress = |response: &Response| (response.content == Content::Progress).then_some(response.revision);
        let progress = self.record.responses.iter().filter_map(progress).max();
        progress.max(self.came().map(Came::revision).max()).unwrap_or(0)
    }

    fn filter(&self) -> Found {
        let other = self.came().find(|came| !self.matches(&came.kv.key, came.is_put))?;
        let kind = if other.is_put { "put" } else { "delete" };
        Some((other.revision(), format!("a {kind} of {}, which it did not ask for", Text(&other.kv.key))))
    }

    fn ordered(&self) -> Found {
        let mut last = 0;
        for came in self.came() {
            if came.revision() < last {
                return Some((came.revision(), format!("came after revision {last}")));
            }
            last = came.revision();
        }
        None
    }

    fn unique(&self) -> Found {
        let mut keys: BTreeMap<i64, Vec<&[u8]>> = BTreeMap::new();
        for came in self.came() {
            let revision = came.revision();
            let keys = keys.entry(revision).or_default();
            if keys.contains(&&*came.kv.key) {
                return Some((revision, format!("{} came twice", Text(&came.kv.key))));
            }
            keys.push(&came.kv.key);
            let changes = self.past.between(revision..=revision).len();
            if (1..keys.len()).contains(&changes) {
                return Some((revision, format!("{} events came of {changes} that it had", keys.len())));
            }
        }
        None
    }

    fn atomic(&self) -> Found {
        let mut last = 0;
        for list in self.lists() {
            let revision = |event: Option<&'a Event>| event.map_or(0, |event| Came::of(event).revision());
            if revision(list.first()) == last {
                return Some((last, "is split over two responses".to_owned()));
            }
            last = revision(list.last());
        }
        None
    }

    fn bookmarkable(&self) -> Found {
        let (mut progress, mut event) = (0, 0);
        for response in &self.record.responses {
            match &response.content {
                Content::Progress if response.revision < progress.max(event) => {
                    let sentence = format!("progress notified, although revision {} had come", progress.max(event));
                    return Some((response.revision, sentence));
                }
                Content::Progress => progress = response.revision,
                Content::Events(events) => {
                    for revision in events.iter().map(|event| Came::of(event).revision()) {
                        if revision <= progress {
                            return Some((
                                revision,
                                format!("came after progress was notified at revision {progress}"),
                            ));
                        }
                        event = revision;
                    }
                }
                Content::Created | Content::Canceled { .. } => {}
            }
        }
        None
    }

    fn resumable(&self) -> Found {
        let start = self.record.request.start_revision;
        let first = self.came().next().filter(|_| start > 0)?;
        if first.revision() < start {
            return Some((first.revision(), format!("is before revision {start}, where it was to start")));
        }
        let wanted = self.wanted(start, i64::MAX).next()?;
        if first.tells(wanted) {
            return None;
        }
        let sentence = format!("came first, but from revision {start} on the first is {}", told(wanted));
        Some((first.revision(), sentence))
    }

    fn is_create(&self) -> Found {
        for came in self.came().filter(|came| came.is_put) {
            let creates = came.kv.create_revision == came.revision();
            let was_absent = self.past.before(&came.kv.key, came.revision()).is_none();
            if creates != was_absent {
                let (said, was) = if creates { ("a creation", "was there") } else { ("a modification", "was absent") };
                return Some((came.revision(), format!("said to be {said} of {}, which {was}", Text(&came.kv.key))));
            }
        }
        None
    }

    fn reliable(&self) -> Found {
        let reached = self.reached();
        let mut wanted = self.wanted(self.start()?, reached);
        for came in self.came() {
            match wanted.next() {
                Some(event) if came.tells_all(event, self.record.detail) => {}
                Some(event) if came.tells(event) => {
                    return Some((event.revision, format!("not the state in which it left {}", Text(&event.key))));
                }
                Some(event) if event.revision <= came.revision() => return Some(missing(event)),
                _ => {
                    return Some((came.revision(), format!("no such event of {} was made", Text(&came.kv.key))));
                }
            }
        }
        wanted.next().map(missing)
    }

    fn prev_kv(&self) -> Found {
        for came in self.came().filter(|_| self.record.request.prev_kv) {
            let key = Text(&came.kv.key);
            let fault = match (self.past.before(&came.kv.key, came.revision()), came.prev) {
                (Some(_), None) if came.revision() > self.past.truth.prev_missing_to => {
                    format!("the value of {key} before it is missing, although nobody had compacted it")
                }
                (None, Some(_)) => format!("a value of {key} before it, although it was absent"),
                (Some(before), Some(prev)) if !self.same_kv(before, prev) => {
                    format!("not the value that {key} had before it, from revision {}", before.mod_revision)
                }
                _ => continue,
            };
            return Some((came.revision(), fault));
        }
        None
    }

    fn same_kv(&self, truth: &KeyValue, seen: &KeyValue) -> bool {
        match self.record.detail {
            Detail::Full => truth == seen,
            Detail::Robustness => truth.value == seen.value && truth.mod_revision == seen.mod_revision,
        }
    }

    fn cancel(&self) -> Option<(usize, i64)> {
        let cancel = |response: &Response| match response.content {
            Content::Canceled { compact_revision, .. } => Some(compact_revision),
            _ => None,
        };
        self.record.responses.iter().enumerate().find_map(|(place, response)| Some((place, cancel(response)?)))
    }

    fn tail(&self) -> Found {
        let End::Alive { due: due @ 1.. } = self.record.end else { return None };
        if self.cancel().is_some() {
            return None;
        }
        let Some(start) = self.start() else {
            return Some((due, "reached by its member, which never answered it".to_owned()));
        };
        let reached = self.reached();
        let lost = self.wanted(start.max(reached + 1), due).next()?;
        let sentence = format!("{} had not come at the end; the last that had is revision {reached}", told(lost));
        Some((lost.revision, sentence))
    }

    fn canceled(&self) -> Found {
        let (place, compacted) = self.cancel()?;
        if place + 1 < self.record.responses.len() {
            let after = self.record.responses[place + 1].revision;
            return Some((after, "a response came after it had been canceled".to_owned()));
        }
        if self.record.end == End::Asked {
            return None;
        }
        let next = self.start().unwrap_or(0).max(self.reached() + 1);
        let fault = if compacted == 0 {
            "canceled, although nobody had asked for it".to_owned()
        } else if compacted > self.past.truth.compacted {
            format!(
                "canceled for a compaction at {compacted}, but nobody compacted beyond {}",
                self.past.truth.compacted
            )
        } else if compacted <= next {
            format!("canceled for a compaction at {compacted}, which left all that it needed")
        } else {
            return None;
        };
        Some((next, fault))
    }
}

fn missing(event: &model::Event) -> (i64, String) {
    (event.revision, format!("{} did not come", told(event)))
}

/// `the put of a at revision 3`.
fn told(event: &model::Event) -> String {
    let kind = if event.kv.is_some() { "put" } else { "delete" };
    format!("the {kind} of {} at revision {}", Text(&event.key), event.revision)
}
