//! The watch guarantees: against others' reports, and wrong histories, each to be rejected by the right name.
//!
//! Others' reports lie in the folder `tables` of the one that `SEEDBED_PEERS` names (`../shared/peers` if it is not set).

mod peers;

use bytes::Bytes;
use peers::tables;
use seedbed::pb::etcdserverpb::{DeleteRangeRequest, FilterType, PutRequest, WatchCreateRequest};
use seedbed::pb::mvccpb::{Event, EventType, KeyValue};
use seedbed_sim::check::foreign::robustness;
use seedbed_sim::check::model::{Detail, Request, State};
use seedbed_sim::check::watch::{self, Content, End, Guarantee, Response, Truth, WatchRecord};
use serde_json::Value;

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// What a row's requests did. Compactions are not in it, so any previous value may have been compacted.
fn truth_of(requests: &Value, name: &str) -> Truth {
    let mut state = State::default();
    let mut events = Vec::new();
    for request in items(requests) {
        let request = robustness::request(request).unwrap_or_else(|error| panic!("{name}: {error}"));
        events.extend(state.execute(&request).1);
    }
    Truth { events, compacted: 0, prev_missing_to: i64::MAX }
}

#[test]
fn the_guarantees_are_those_of_the_robustness_tests() {
    for (table, rows) in tables("watch") {
        for row in rows {
            let name = format!("{table}, {}", row["name"]);
            let mut records = Vec::new();
            for report in items(&row["reports"]) {
                let client = report["ClientID"].as_u64().unwrap_or(0) as u32;
                let watches = items(&report["Watch"]).map(|watch| robustness::watch(client, watch));
                records.extend(watches.map(|watch| watch.unwrap_or_else(|error| panic!("{name}: {error}"))));
            }
            let violations = watch::check(&records, &truth_of(&row["persistedRequests"], &name));
            // `broke Unique - an event …`, `incorrect event prevValue`, `event not matching watch filter`
            let expected = row["expectError"].as_str().unwrap_or("").to_lowercase();
            let first = violations.first().map(|violation| match violation.guarantee {
                Guarantee::PrevKv => "prevvalue".to_owned(),
                guarantee => guarantee.name().to_lowercase(),
            });
            match first {
                Some(first) => assert!(expected.contains(&first), "{name}: {violations:?}"),
                None => assert_eq!(expected, "", "{name}"),
            }
        }
    }
}

/// What happened: a put 2, b put 3, a put 4, a and b in one transaction 5 (from the deletes of a range), a put 6; compacted at 3.
fn truth() -> Truth {
    let put = |key: &'static str, value: &'static str| {
        Request::Put(PutRequest { key: key.into(), value: value.into(), ..PutRequest::default() })
    };
    let delete = DeleteRangeRequest { key: "a".into(), range_end: "c".into(), ..DeleteRangeRequest::default() };
    let mut state = State::default();
    let requests = [put("a", "1"), put("b", "2"), put("a", "3"), Request::DeleteRange(delete), put("a", "4")];
    let events = requests.iter().flat_map(|request| state.execute(request).1).collect();
    Truth { events, compacted: 3, prev_missing_to: 3 }
}

/// The event that a right watch gets for a change.
fn event(revision: i64, key: &str) -> Event {
    let truth = truth();
    let change = truth.events.iter().find(|event| event.revision == revision && event.key == key).expect("it happened");
    let gone = || KeyValue { key: change.key.clone(), mod_revision: revision, ..KeyValue::default() };
    let r#type = if change.kv.is_some() { EventType::Put } else { EventType::Delete };
    let kv = Some(change.kv.clone().unwrap_or_else(gone));
    Event { r#type: r#type as i32, kv, prev_kv: change.prev.clone() }
}

fn response(revision: i64, content: Content) -> Response {
    Response { at: 0, revision, content }
}

fn events(events: &[Event]) -> Response {
    let revision = events.last().and_then(|event| event.kv.as_ref()).map_or(0, |kv| kv.mod_revision);
    response(revision, Content::Events(events.to_vec()))
}

fn progress(revision: i64) -> Response {
    response(revision, Content::Progress)
}

fn created(revision: i64) -> Response {
    response(revision, Content::Created)
}

fn canceled(revision: i64, compact_revision: i64) -> Response {
    response(revision, Content::Canceled { compact_revision, reason: String::new() })
}

/// A watch on keys from a revision, with previous values.
fn watch(key: &'static str, range_end: &'static str, start_revision: i64, responses: Vec<Response>) -> WatchRecord {
    let (key, range_end) = (Bytes::from_static(key.as_bytes()), Bytes::from_static(range_end.as_bytes()));
    let request = WatchCreateRequest { key, range_end, start_revision, prev_kv: true, ..WatchCreateRequest::default() };
    WatchRecord { client: 7, request, detail: Detail::Full, responses, end: End::Broken }
}

fn all_lists() -> Vec<Response> {
    vec![
        created(1),
        events(&[event(2, "a")]),
        events(&[event(3, "b"), event(4, "a")]),
        events(&[event(5, "a"), event(5, "b")]),
        progress(5),
        events(&[event(6, "a")]),
        progress(6),
    ]
}

fn everything() -> WatchRecord {
    watch("\0", "\0", 2, all_lists())
}

/// The watch, changed.
fn but(mut record: WatchRecord, change: impl FnOnce(&mut WatchRecord)) -> WatchRecord {
    change(&mut record);
    record
}

/// The `n`-th list's events.
fn list(record: &mut WatchRecord, n: usize) -> &mut Vec<Event> {
    match &mut record.responses[n].content {
        Content::Events(events) => events,
        other => panic!("{other:?}"),
    }
}

fn kv(event: &mut Event) -> &mut KeyValue {
    event.kv.as_mut().expect("it has a state")
}

fn accept(record: WatchRecord) {
    assert_eq!(watch::check(std::slice::from_ref(&record), &truth()), [], "{record:?}");
}

/// The first broken guarantee is this one, at this revision, and the sentence says so.
fn reject(guarantee: Guarantee, revision: i64, record: WatchRecord) {
    let violations = watch::check(&[everything(), record], &truth());
    let first = violations.first().unwrap_or_else(|| panic!("{guarantee:?} holds"));
    assert_eq!((first.guarantee, first.watch, first.client), (guarantee, 1, 7), "{violations:#?}");
    assert_eq!(first.revision, revision, "{first}");
    let told = first.to_string();
    let begin = format!("watch broke {}: client 7, watch 1 on ", guarantee.name());
    assert!(told.starts_with(&begin) && told.contains(&format!("revision {revision}: ")), "{told}");
}

#[test]
fn right_watches_are_accepted() {
    accept(everything());
    accept(watch("b", "", 0, vec![created(3), progress(4), events(&[event(5, "b")])]));
    accept(watch("a", "", 4, vec![created(1), events(&[event(4, "a")])]));
    accept(watch("x", "y", 0, vec![created(1), progress(6)]));
    accept(watch("a", "", 9, vec![created(1), progress(6), progress(6)]));
    accept(but(everything(), |watch| watch.end = End::Alive { due: 6 }));
    accept(but(everything(), |watch| watch.end = End::Asked));
    accept(but(everything(), |watch| watch.responses.truncate(2)));
    let no_deletes = vec![created(1), events(&[event(2, "a"), event(4, "a")]), events(&[event(6, "a")])];
    accept(but(watch("a", "", 2, no_deletes), |watch| watch.request.filters = vec![FilterType::Nodelete as i32]));
    accept(watch("a", "", 2, vec![created(6), canceled(6, 3)]));
    accept(but(watch("a", "", 0, vec![created(6), canceled(6, 0)]), |watch| watch.end = End::Asked));
}

#[test]
fn filter_only_what_was_asked_for() {
    let other_key = watch("a", "", 3, vec![events(&[event(3, "b"), event(4, "a")])]);
    reject(Guarantee::Filter, 3, other_key);
    let filters = |filter: FilterType| but(everything(), |watch| watch.request.filters = vec![filter as i32]);
    reject(Guarantee::Filter, 5, filters(FilterType::Nodelete));
    reject(Guarantee::Filter, 2, filters(FilterType::Noput));
}

#[test]
fn ordered_revisions_never_go_back() {
    reject(Guarantee::Ordered, 3, but(everything(), |watch| list(watch, 2).reverse()));
    reject(Guarantee::Ordered, 2, but(everything(), |watch| watch.responses.swap(1, 2)));
}

#[test]
fn unique_no_event_comes_twice() {
    reject(Guarantee::Unique, 5, but(everything(), |watch| list(watch, 3)[1] = event(5, "a")));
    reject(Guarantee::Unique, 6, but(everything(), |watch| watch.responses.push(events(&[event(6, "a")]))));
    let more = but(everything(), |watch| {
        let mut other = event(2, "a");
        kv(&mut other).key = "c".into();
        list(watch, 1).push(other);
    });
    reject(Guarantee::Unique, 2, more);
}

#[test]
fn atomic_a_revision_is_one_response() {
    let split = |with_progress: bool| {
        but(everything(), |watch| {
            let rest = list(watch, 3).split_off(1);
            watch.responses.insert(4, events(&rest));
            if with_progress {
                watch.responses.insert(4, progress(4));
            }
        })
    };
    reject(Guarantee::Atomic, 5, split(false));
    let late = but(watch("\0", "\0", 5, vec![events(&[event(5, "a")])]), |watch| {
        watch.responses.push(events(&[event(5, "b"), event(6, "a")]));
    });
    reject(Guarantee::Atomic, 5, late);
    reject(Guarantee::Atomic, 5, split(true));
}

#[test]
fn bookmarkable_progress_says_what_has_come() {
    reject(Guarantee::Bookmarkable, 6, but(everything(), |watch| watch.responses[4].revision = 6));
    reject(Guarantee::Bookmarkable, 5, but(everything(), |watch| watch.responses[6].revision = 5));
    reject(Guarantee::Bookmarkable, 4, but(everything(), |watch| watch.responses[4].revision = 4));
    reject(Guarantee::Bookmarkable, 2, watch("x", "", 0, vec![progress(3), progress(2)]));
}

#[test]
fn resumable_it_begins_where_it_was_told_to() {
    reject(Guarantee::Resumable, 4, watch("a", "", 2, vec![events(&[event(4, "a")])]));
    reject(Guarantee::Resumable, 2, watch("a", "", 4, vec![events(&[event(2, "a"), event(4, "a")])]));
    reject(Guarantee::Resumable, 6, watch("a", "", 8, vec![events(&[event(6, "a")])]));
}

#[test]
fn is_create_a_put_of_an_absent_key_and_no_other() {
    reject(Guarantee::IsCreate, 4, but(everything(), |watch| kv(&mut list(watch, 2)[1]).create_revision = 4));
    reject(Guarantee::IsCreate, 6, but(everything(), |watch| kv(&mut list(watch, 5)[0]).create_revision = 2));
}

#[test]
fn reliable_there_are_no_holes() {
    reject(Guarantee::Reliable, 3, but(everything(), |watch| drop(list(watch, 2).remove(0))));
    reject(Guarantee::Reliable, 5, but(everything(), |watch| drop(list(watch, 3).pop())));
    reject(Guarantee::Reliable, 6, but(everything(), |watch| drop(watch.responses.remove(5))));
    reject(Guarantee::Reliable, 4, watch("a", "", 0, vec![created(3), progress(4)]));
    reject(Guarantee::Reliable, 4, but(everything(), |watch| kv(&mut list(watch, 2)[1]).value = "9".into()));
    reject(Guarantee::Reliable, 4, but(everything(), |watch| kv(&mut list(watch, 2)[1]).version = 9));
    let mut invented = event(6, "a");
    kv(&mut invented).mod_revision = 7;
    reject(
        Guarantee::Reliable,
        7,
        watch("a", "", 6, vec![events(&[event(6, "a")]), events(&[not_a_creation(invented)])]),
    );
}

fn not_a_creation(mut event: Event) -> Event {
    event.prev_kv = truth().events.last().and_then(|event| event.kv.clone());
    event
}

#[test]
fn prev_kv_is_the_value_before() {
    let changed = |change: fn(&mut KeyValue)| {
        but(everything(), |watch| change(list(watch, 3)[0].prev_kv.as_mut().expect("it had one")))
    };
    reject(Guarantee::PrevKv, 5, changed(|prev| prev.value = "1".into()));
    reject(Guarantee::PrevKv, 5, changed(|prev| prev.version = 1));
    reject(Guarantee::PrevKv, 6, but(everything(), |watch| list(watch, 5)[0].prev_kv = event(5, "a").prev_kv));
    reject(Guarantee::PrevKv, 4, but(everything(), |watch| list(watch, 2)[1].prev_kv = None));
    let mut truth = truth();
    truth.prev_missing_to = 4;
    let missing = but(everything(), |watch| list(watch, 2)[1].prev_kv = None);
    assert_eq!(watch::check(&[missing], &truth), [], "what was compacted may be missing");
}

#[test]
fn tail_a_live_watch_does_not_fall_silent() {
    let alive = |responses, due| but(watch("a", "", 2, responses), |watch| watch.end = End::Alive { due });
    reject(Guarantee::Tail, 4, alive(vec![created(1), events(&[event(2, "a")])], 6));
    reject(Guarantee::Tail, 2, alive(vec![created(1)], 2));
    reject(Guarantee::Tail, 5, alive(vec![created(1), events(&[event(2, "a"), event(4, "a")]), progress(4)], 5));
    accept(alive(vec![created(1), events(&[event(2, "a")])], 3));
    let unanswered = but(watch("a", "", 0, Vec::new()), |watch| watch.end = End::Alive { due: 3 });
    reject(Guarantee::Tail, 3, unanswered);
}

#[test]
fn canceled_only_for_a_reason() {
    reject(Guarantee::Canceled, 3, watch("a", "", 3, vec![created(6), canceled(6, 0)]));
    reject(Guarantee::Canceled, 3, watch("a", "", 3, vec![created(6), canceled(6, 3)]));
    reject(Guarantee::Canceled, 3, watch("a", "", 2, vec![created(6), events(&[event(2, "a")]), canceled(6, 3)]));
    reject(Guarantee::Canceled, 2, watch("a", "", 2, vec![created(6), canceled(6, 4)]));
    let after = |end| but(watch("x", "", 2, vec![created(6), canceled(6, 3), progress(6)]), |watch| watch.end = end);
    reject(Guarantee::Canceled, 6, after(End::Broken));
    reject(Guarantee::Canceled, 6, after(End::Asked));
}
