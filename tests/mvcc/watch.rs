//! Watches, rule by rule: etcd's own cases, and those that its bugs left behind.

use super::*;
#[cfg(feature = "bugs")]
use seedbed::bug::{Bug, BugSet};
use seedbed::mvcc::watch::{NO_WATCH, StreamId, WatchConfig, WatchError, Watchers};
use seedbed::pb::etcdserverpb::{
    FilterType, RequestOp, TxnRequest, WatchCreateRequest, WatchResponse, request_op::Request,
};
use seedbed::pb::mvccpb::{Event, EventType};

const S: StreamId = StreamId(7);

/// A store and its watchers, called as a member calls them.
struct Rig {
    store: Store,
    watchers: Watchers,
}

impl Rig {
    fn new(config: WatchConfig) -> Rig {
        let store = store(small());
        let watchers = Watchers::new(config, store.revision());
        Rig { store, watchers }
    }

    fn notify(&mut self) {
        self.watchers.notify(&self.store).expect("memory does not fail");
    }

    fn put(&mut self, key: &str, value: &str) {
        put(&mut self.store, key, value);
        self.notify();
    }

    fn delete(&mut self, key: &str) {
        delete(&mut self.store, key);
        self.notify();
    }

    /// Puts `a`, with its revision as value, until the store stands at `revision`.
    fn puts_to(&mut self, revision: i64) {
        while self.store.revision() < revision {
            let value = (self.store.revision() + 1).to_string();
            self.put("a", &value);
        }
    }

    fn compact(&mut self, revision: i64) {
        compact(&mut self.store, revision);
        drain(&mut self.store);
        self.notify();
    }

    /// What a snapshot of a store that went on to `revision` leaves.
    fn restore_ahead(&mut self, revision: i64) {
        self.store = reopened(&mut self.store, small());
        while self.store.revision() < revision {
            let value = (self.store.revision() + 1).to_string();
            put(&mut self.store, "a", &value);
        }
        self.watchers.restored(self.store.revision());
    }

    fn watch(&mut self, request: WatchCreateRequest) -> i64 {
        self.watchers.watch(S, &request).expect("a watch that can be made")
    }

    fn slice(&mut self) -> bool {
        self.watchers.sync_slice(&self.store).expect("memory does not fail")
    }

    fn sync(&mut self) {
        for _ in 0..10_000 {
            if self.slice() {
                return;
            }
        }
        panic!("the unsynced do not become fewer");
    }

    fn take(&mut self) -> Vec<WatchResponse> {
        self.watchers.take(S, usize::MAX)
    }

    /// Takes one at a time and syncs in between, until there is nothing more.
    fn take_slowly(&mut self) -> Vec<WatchResponse> {
        let mut taken = Vec::new();
        loop {
            self.slice();
            let next = self.watchers.take(S, 1);
            if next.is_empty() && self.slice() && self.watchers.ready().next().is_none() {
                return taken;
            }
            taken.extend(next);
        }
    }
}

fn of_key(key: &str, start_revision: i64) -> WatchCreateRequest {
    WatchCreateRequest { key: bytes(key), start_revision, ..Default::default() }
}

fn of_range(key: &str, end: &str, start_revision: i64) -> WatchCreateRequest {
    WatchCreateRequest { range_end: bytes(end), ..of_key(key, start_revision) }
}

fn everything(start_revision: i64) -> WatchCreateRequest {
    of_range("\0", "\0", start_revision)
}

fn config(buffer: usize, max_watchers: usize, max_revisions: usize) -> WatchConfig {
    WatchConfig { buffer, max_watchers, max_revisions, ..WatchConfig::default() }
}

/// An event as `+key@revision` or `-key@revision`.
fn short(event: &Event) -> String {
    let kv = event.kv.as_ref().expect("every event has its key");
    let sign = if event.r#type == EventType::Put as i32 { '+' } else { '-' };
    format!("{sign}{}@{}", String::from_utf8_lossy(&kv.key), kv.mod_revision)
}

/// Responses as `watch: events`, one word each for what has no events.
fn story(responses: &[WatchResponse]) -> Vec<String> {
    let tell = |response: &WatchResponse| match response {
        WatchResponse { canceled: true, compact_revision, .. } => format!("compacted {compact_revision}"),
        WatchResponse { events, header, .. } if events.is_empty() => {
            format!("progress {}", header.as_ref().expect("a header").revision)
        }
        WatchResponse { events, .. } => events.iter().map(short).collect::<Vec<_>>().join(" "),
    };
    responses.iter().map(|response| format!("{}: {}", response.watch_id, tell(response))).collect()
}

/// The revisions of the events that a watch got.
fn revisions_of(responses: &[WatchResponse], watch: i64) -> Vec<i64> {
    let events = responses.iter().filter(|response| response.watch_id == watch).flat_map(|response| &response.events);
    events.map(|event| event.kv.as_ref().expect("every event has its key").mod_revision).collect()
}

fn three_puts() -> TxnRequest {
    let op = |key| RequestOp { request: Some(Request::RequestPut(put_request(key, "txn"))) };
    TxnRequest { success: ["a", "b", "c"].map(op).into(), ..Default::default() }
}

#[test]
fn history_is_read_from_a_revision_on_and_never_in_the_middle_of_one() {
    let mut rig = Rig::new(WatchConfig::default());
    rig.put("a", "1");
    apply(&mut rig.store, |txn| txn.txn(&three_puts())).unwrap();
    rig.delete("b");
    rig.put("c", "1");
    let all = ["+a@2", "+a@3", "+b@3", "+c@3", "-b@4", "+c@5"];
    let revision = |event: &&str| event[3..].parse::<i64>().unwrap();
    for from in -1..=7 {
        for max in 1..=5 {
            let (events, next) = rig.store.events(from, max).unwrap();
            let end = (from.max(2) + max as i64).min(6).max(from.min(6));
            let wanted: Vec<&str> = all.into_iter().filter(|event| (from..end).contains(&revision(event))).collect();
            assert_eq!(events.iter().map(short).collect::<Vec<_>>(), wanted, "{max} revisions from {from} on");
            assert_eq!(next, end.max(from.max(2)).min(6), "{max} revisions from {from} on");
        }
    }
}

#[test]
fn a_synced_watch_hears_of_each_revision_as_it_is_applied() {
    let mut rig = Rig::new(WatchConfig::default());
    rig.put("a", "before");
    let watch = rig.watch(of_key("a", 0));
    assert_eq!(rig.watchers.counts(), [1, 0, 0]);
    rig.put("a", "1");
    assert_eq!(rig.watchers.ready().collect::<Vec<_>>(), [S]);
    rig.put("b", "of no concern");
    rig.delete("a");
    let responses = rig.take();
    assert_eq!(story(&responses), ["0: +a@3", "0: -a@5"]);
    let headers: Vec<i64> = responses.iter().map(|response| response.header.as_ref().unwrap().revision).collect();
    assert_eq!((watch, headers), (0, vec![3, 5]));
    let kv = responses[0].events[0].kv.clone().unwrap();
    let wanted =
        KeyValue { create_revision: 2, mod_revision: 3, version: 2, lease: 0, key: bytes("a"), value: bytes("1") };
    assert_eq!(kv, wanted, "the whole new state");
    let gone = responses[1].events[0].kv.clone().unwrap();
    assert_eq!(gone, KeyValue { key: bytes("a"), mod_revision: 5, ..Default::default() });
    assert_eq!(rig.watchers.ready().count(), 0);
}

#[test]
fn a_transactions_events_come_together() {
    let mut rig = Rig::new(WatchConfig::default());
    rig.watch(everything(0));
    rig.watch(of_range("b", "d", 0));
    apply(&mut rig.store, |txn| txn.txn(&three_puts())).unwrap();
    rig.notify();
    assert_eq!(story(&rig.take()), ["0: +a@2 +b@2 +c@2", "1: +b@2 +c@2"]);
}

#[test]
fn entries_that_were_notified_late_come_one_response_a_revision() {
    let mut rig = Rig::new(WatchConfig::default());
    rig.watch(everything(0));
    put(&mut rig.store, "a", "1");
    put(&mut rig.store, "b", "1");
    rig.notify();
    rig.notify();
    assert_eq!(story(&rig.take()), ["0: +a@2", "0: +b@3"]);
}

#[test]
fn a_range_means_what_it_means_to_a_read() {
    let cases: [(&str, &str, &[&str]); 7] = [
        ("b", "", &["+b@3"]),
        ("b", "c", &["+b@3"]),
        ("b", "d", &["+b@3", "+c@4"]),
        ("b", "\0", &["+b@3", "+c@4"]),
        ("", "\0", &["+a@2", "+b@3", "+c@4"]),
        ("", "b", &["+a@2"]),
        ("bb", "", &[]),
    ];
    for (key, end, wanted) in cases {
        for start in [0, 1] {
            let mut rig = Rig::new(WatchConfig::default());
            if start == 0 {
                rig.watch(of_range(key, end, 0));
            }
            ["a", "b", "c"].into_iter().for_each(|key| rig.put(key, "1"));
            if start == 1 {
                rig.watch(of_range(key, end, 1));
            }
            rig.sync();
            let heard: Vec<String> = rig.take().iter().flat_map(|heard| heard.events.iter().map(short)).collect();
            assert_eq!(heard, wanted, "[{key:?}, {end:?}) from {start} on");
        }
    }
}

#[test]
fn an_empty_range_and_a_number_that_is_taken_are_refused() {
    let mut rig = Rig::new(WatchConfig::default());
    for (key, end) in [("b", "b"), ("b", "a"), ("foa", "fo")] {
        assert_eq!(rig.watchers.watch(S, &of_range(key, end, 0)), Err(WatchError::EmptyRange), "[{key}, {end})");
    }
    let numbered = |watch_id| WatchCreateRequest { watch_id, ..of_key("a", 0) };
    assert_eq!(rig.watch(numbered(1)), 1);
    assert_eq!(rig.watchers.watch(S, &numbered(1)), Err(WatchError::DuplicateId));
    assert_eq!(rig.watchers.watch(StreamId(8), &numbered(1)), Ok(1), "a stream of its own");
    let chosen: Vec<i64> = (0..3).map(|_| rig.watch(numbered(0))).collect();
    assert_eq!(chosen, [0, 2, 3], "what is taken is passed over");
    assert!(rig.watchers.cancel(S, 1));
    assert_eq!(rig.watch(numbered(1)), 1, "a number that is free again");
    assert_eq!(WatchError::EmptyRange.to_string(), "mvcc: watcher range is empty");
    assert_eq!(WatchError::DuplicateId.to_string(), "mvcc: duplicate watch ID provided on the WatchStream");
}

#[test]
fn nothing_follows_a_cancellation_which_can_be_repeated() {
    for start in [0, 1] {
        // Synced, unsynced, and a victim.
        for buffer in [1, 9] {
            let mut rig = Rig::new(config(buffer, 512, 1000));
            rig.puts_to(2);
            let kept = rig.watch(of_key("a", 0));
            let ended = rig.watch(of_key("a", start));
            rig.puts_to(3);
            assert!(rig.watchers.cancel(S, ended));
            assert!(!rig.watchers.cancel(S, ended));
            rig.puts_to(4);
            rig.sync();
            let heard = rig.take_slowly();
            assert_eq!((revisions_of(&heard, kept), revisions_of(&heard, ended)), (vec![3, 4], vec![]));
            assert_eq!(rig.watchers.counts(), [1, 0, 0]);
        }
    }
}

#[test]
fn a_stream_that_is_closed_leaves_nothing() {
    let mut rig = Rig::new(config(1, 512, 1000));
    rig.watch(of_key("a", 0));
    rig.watch(everything(0));
    rig.puts_to(3);
    rig.watch(of_key("a", 1));
    assert_eq!(rig.watchers.counts(), [0, 1, 2], "one has yet to hear of 3, one of 2 and 3, one of its whole history");
    rig.watchers.request_progress(S);
    let other = rig.watchers.watch(StreamId(8), &of_key("a", 0)).unwrap();
    rig.watchers.close(S);
    assert_eq!((rig.watchers.counts(), rig.watchers.ready().count()), ([1, 0, 0], 0));
    rig.puts_to(4);
    rig.sync();
    assert!(rig.take().is_empty());
    assert_eq!(story(&rig.watchers.take(StreamId(8), 9)), [format!("{other}: +a@4")]);
    rig.watchers.close(S);
}

#[test]
fn filters_leave_out_puts_or_deletes_or_both() {
    use FilterType::{Nodelete, Noput};
    let cases: [(&[FilterType], &[&str]); 4] =
        [(&[], &["+a@2", "-a@3"]), (&[Noput], &["-a@3"]), (&[Nodelete], &["+a@2"]), (&[Noput, Nodelete], &[])];
    for (filters, wanted) in cases {
        for start in [0, 1] {
            let mut rig = Rig::new(WatchConfig::default());
            let filters = filters.iter().map(|&filter| filter as i32).chain([99]).collect();
            let request = WatchCreateRequest { filters, ..of_key("a", start) };
            let live = start == 0;
            live.then(|| rig.watch(request.clone()));
            rig.put("a", "1");
            rig.delete("a");
            (!live).then(|| rig.watch(request));
            rig.sync();
            let responses = rig.take();
            assert!(responses.iter().all(|response| !response.events.is_empty()), "what is left out makes no response");
            let heard: Vec<String> = responses.iter().flat_map(|heard| heard.events.iter().map(short)).collect();
            assert_eq!(heard, wanted);
        }
    }
}

#[test]
fn the_state_before_is_told_to_those_who_ask() {
    for start in [0, 1] {
        let mut rig = Rig::new(WatchConfig::default());
        let request = WatchCreateRequest { prev_kv: true, ..of_key("a", start) };
        if start == 0 {
            rig.watch(request.clone());
            rig.watch(of_key("a", start));
        }
        rig.put("a", "1");
        rig.put("b", "between");
        rig.put("a", "2");
        rig.delete("a");
        rig.put("a", "3");
        if start == 1 {
            rig.watch(request);
            rig.watch(of_key("a", start));
        }
        rig.sync();
        let heard = rig.take();
        let before = |watch: i64| -> Vec<Option<(Bytes, i64)>> {
            let mine = heard.iter().filter(|response| response.watch_id == watch).flat_map(|response| &response.events);
            mine.map(|event| event.prev_kv.as_ref().map(|kv| (kv.value.clone(), kv.version))).collect()
        };
        assert_eq!(before(0), [None, Some((bytes("1"), 1)), Some((bytes("2"), 2)), None]);
        assert_eq!(before(1), vec![None; 4]);
    }
}

#[test]
fn the_state_before_is_lost_to_a_compaction_only_if_nobody_asked_in_time() {
    let mut rig = Rig::new(config(1, 512, 1000));
    let request = |start| WatchCreateRequest { prev_kv: true, ..of_key("a", start) };
    rig.watch(request(0));
    rig.puts_to(3);
    assert_eq!(rig.watchers.counts(), [0, 0, 1], "the response of 3 has been made, and waits");
    rig.compact(3);
    rig.watch(request(3));
    let heard = rig.take_slowly();
    let before = |watch| heard.iter().rfind(|told| told.watch_id == watch).unwrap().events[0].prev_kv.is_some();
    assert_eq!((revisions_of(&heard, 0), revisions_of(&heard, 1)), (vec![2, 3], vec![3]));
    assert_eq!((before(0), before(1)), (true, false));
}

#[test]
fn a_start_that_is_compacted_is_said_and_ends_the_watch() {
    let mut rig = Rig::new(WatchConfig::default());
    rig.puts_to(6);
    rig.compact(4);
    let [compacted, oldest] = [3, 4].map(|start| rig.watch(of_key("a", start)));
    rig.sync();
    let heard = rig.take();
    assert_eq!(story(&heard), ["0: compacted 4", "1: +a@4 +a@5 +a@6"]);
    assert_eq!(heard[0].header.as_ref().unwrap().revision, 0, "as in etcd");
    rig.puts_to(7);
    let heard = rig.take();
    assert_eq!((revisions_of(&heard, compacted), revisions_of(&heard, oldest)), (vec![], vec![7]));
    assert!(!rig.watchers.cancel(S, compacted));
}

#[test]
fn a_watch_that_falls_behind_a_compaction_hears_of_it() {
    let mut rig = Rig::new(config(9, 512, 2));
    rig.puts_to(9);
    rig.watch(of_key("a", 2));
    assert!(!rig.slice());
    rig.compact(8);
    rig.sync();
    assert_eq!(story(&rig.take()), ["0: +a@2 +a@3", "0: compacted 8"]);
}

/// A watch whose start is compacted, on a stream whose buffer another watch has filled.
fn compacted_when_full(config: WatchConfig) -> Vec<String> {
    let mut rig = Rig::new(WatchConfig { buffer: 1, ..config });
    rig.watch(of_key("b", 0));
    rig.puts_to(6);
    rig.put("b", "1");
    rig.compact(5);
    rig.watch(of_key("a", 3));
    rig.sync();
    rig.put("a", "8");
    story(&rig.take_slowly())
}

#[test]
fn the_notice_of_a_compaction_waits_for_room() {
    assert_eq!(compacted_when_full(WatchConfig::default()), ["0: +b@7", "1: compacted 5"]);
}

#[cfg(feature = "bugs")]
#[test]
fn skip_compacted_when_full() {
    let bugs = BugSet::NONE.with(Bug::SkipCompactedWhenFull);
    let heard = compacted_when_full(WatchConfig { bugs, ..WatchConfig::default() });
    assert_eq!(heard, ["0: +b@7", "1: +a@8"], "3 to 6 are missing, and nobody says so");
}

#[test]
fn watches_of_every_kind_lose_nothing_to_a_buffer_of_one() {
    let mut rig = Rig::new(config(1, 2, 3));
    rig.puts_to(10);
    let starts = [0, 1, 5, 0, 9, 14, 2, 3];
    let watches = starts.map(|start| rig.watch(of_key("a", start)));
    let mut heard = Vec::new();
    for revision in 11..=30 {
        rig.puts_to(revision);
        rig.slice();
        if revision % 3 == 0 {
            heard.extend(rig.watchers.take(S, 1));
        }
    }
    let [_, unsynced, victims] = rig.watchers.counts();
    assert!(unsynced > 0 && victims > 0, "of every kind");
    heard.extend(rig.take_slowly());
    for (watch, start) in watches.into_iter().zip(starts) {
        let first = if start == 0 { 11 } else { start.max(2) };
        assert_eq!(revisions_of(&heard, watch), (first..=30).collect::<Vec<_>>(), "start {start}");
    }
    assert_eq!(rig.watchers.counts(), [8, 0, 0]);
}

#[test]
fn a_victim_hears_later_and_in_order_and_goes_where_it_belongs() {
    let mut rig = Rig::new(config(2, 512, 1000));
    rig.watch(of_key("a", 0));
    rig.puts_to(3);
    assert_eq!(rig.watchers.counts(), [1, 0, 0]);
    rig.puts_to(4);
    assert_eq!(rig.watchers.counts(), [0, 0, 1]);
    assert_eq!(story(&rig.watchers.take(S, 1)), ["0: +a@2"]);
    assert_eq!(rig.watchers.counts(), [1, 0, 0], "it missed nothing while it waited");
    rig.puts_to(7);
    assert_eq!(rig.watchers.counts(), [0, 0, 1]);
    assert_eq!(story(&rig.watchers.take(S, 1)), ["0: +a@3"]);
    assert_eq!(rig.watchers.counts(), [0, 1, 0], "it missed 6 and 7");
    assert_eq!(story(&rig.take_slowly()), ["0: +a@4", "0: +a@5", "0: +a@6 +a@7"]);
    assert_eq!(rig.watchers.counts(), [1, 0, 0]);
}

#[test]
fn a_future_watch_hears_from_its_revision_on() {
    let mut rig = Rig::new(WatchConfig::default());
    rig.puts_to(2);
    rig.watch(of_key("a", 5));
    rig.puts_to(4);
    rig.sync();
    assert!(rig.take().is_empty());
    rig.puts_to(6);
    assert_eq!(story(&rig.take()), ["0: +a@5", "0: +a@6"]);
}

#[test]
fn a_batch_never_splits_a_revision() {
    for max_revisions in 1..=4 {
        let mut rig = Rig::new(config(99, 512, max_revisions));
        (0..6).for_each(|_| apply(&mut rig.store, |txn| txn.txn(&three_puts()).map(drop)).unwrap());
        rig.notify();
        rig.watch(everything(1));
        rig.sync();
        let heard = rig.take();
        let revisions: Vec<Vec<i64>> = heard.iter().map(|part| revisions_of(std::slice::from_ref(part), 0)).collect();
        let all: Vec<i64> = (2..=7).flat_map(|revision| [revision; 3]).collect();
        let wanted: Vec<Vec<i64>> = all.chunks(3 * max_revisions).map(<[i64]>::to_vec).collect();
        assert_eq!(revisions, wanted, "{max_revisions} revisions a slice");
    }
}

#[test]
fn a_slice_serves_so_many_watchers_and_comes_to_all_of_them() {
    let mut rig = Rig::new(config(99, 3, 1000));
    rig.puts_to(5);
    (0..10).for_each(|n| {
        rig.watch(of_key("a", 1 + n % 4));
    });
    let unsynced: Vec<usize> = std::iter::from_fn(|| (!rig.slice()).then(|| rig.watchers.counts()[1])).collect();
    assert_eq!(unsynced, [7, 4, 1]);
    let heard = rig.take();
    for n in 0..10 {
        assert_eq!(revisions_of(&heard, n), ((1 + n % 4).max(2)..=5).collect::<Vec<_>>());
    }
}

#[test]
fn a_slice_ends_when_it_has_told_enough() {
    let mut rig = Rig::new(WatchConfig::default());
    rig.puts_to(1001);
    let watches: Vec<i64> = (0..100).map(|_| rig.watch(of_key("a", 1))).collect();
    assert!(!rig.slice());
    assert_eq!(rig.watchers.counts(), [32, 68, 0], "32 at a time, until 20,000 events are told");
    rig.sync();
    let heard = rig.take();
    let all: Vec<i64> = (2..=1001).collect();
    assert!(watches.into_iter().all(|watch| revisions_of(&heard, watch) == all));
}

#[test]
fn a_trickle_of_watchers_from_far_behind_holds_nobody_up() {
    let mut rig = Rig::new(config(9999, 4, 10));
    rig.puts_to(100);
    let first = rig.watch(of_key("a", 50));
    for slices in 0..100 {
        rig.watch(of_key("a", 2));
        rig.slice();
        if revisions_of(&rig.take(), first).last() == Some(&100) {
            assert!(slices < 30);
            return;
        }
    }
    panic!("it never caught up");
}

/// What a watch with that start hears if a snapshot comes, and slices are run where `slices` says: before it, after it,
/// after the put that follows it.
fn over_a_snapshot(config: WatchConfig, start: i64, slices: [bool; 3]) -> (Vec<i64>, Vec<i64>) {
    let mut rig = Rig::new(config);
    rig.puts_to(5);
    let watch = rig.watch(of_key("a", start));
    rig.puts_to(6);
    slices[0].then(|| rig.slice());
    rig.restore_ahead(9);
    slices[1].then(|| rig.slice());
    rig.puts_to(10);
    slices[2].then(|| rig.slice());
    rig.sync();
    rig.puts_to(14);
    let first = if start == 0 { 6 } else { start.max(2) };
    (revisions_of(&rig.take_slowly(), watch), (first..=14).collect())
}

#[test]
fn a_snapshot_makes_nobody_miss_or_hear_again_anything() {
    // 0, 1, 2, the current revision, the next ones, within the snapshot, at its end, behind it.
    for start in [0, 1, 2, 5, 6, 7, 8, 9, 10, 11, 13] {
        for timing in 0..8 {
            let slices = [0, 1, 2].map(|n| timing >> n & 1 == 1);
            let (heard, wanted) = over_a_snapshot(WatchConfig::default(), start, slices);
            assert_eq!(heard, wanted, "start {start}, slices {slices:?}");
        }
    }
}

#[test]
fn a_snapshot_behind_a_compaction_ends_only_those_who_lack_what_is_gone() {
    let mut rig = Rig::new(WatchConfig::default());
    rig.watch(of_key("a", 0));
    rig.puts_to(5);
    let behind = rig.watch(of_key("a", 2));
    rig.restore_ahead(9);
    rig.compact(6);
    rig.sync();
    let heard = rig.take();
    assert_eq!(revisions_of(&heard, 0), (2..=9).collect::<Vec<_>>(), "it had heard of all up to 5");
    assert_eq!(story(&heard).last().unwrap(), "0: +a@6 +a@7 +a@8 +a@9");
    assert!(story(&heard).contains(&format!("{behind}: compacted 6")));
}

#[cfg(feature = "bugs")]
#[test]
fn minrev_stale_on_success() {
    let config = WatchConfig { bugs: BugSet::NONE.with(Bug::MinrevStaleOnSuccess), ..WatchConfig::default() };
    let (heard, _) = over_a_snapshot(config, 0, [true; 3]);
    assert_eq!(heard, [6, 6, 7, 8, 9, 10, 11, 12, 13, 14], "6 comes again");
}

#[cfg(feature = "bugs")]
#[test]
fn restore_forgets_watchers() {
    let config = WatchConfig { bugs: BugSet::NONE.with(Bug::RestoreForgetsWatchers), ..WatchConfig::default() };
    assert_eq!(over_a_snapshot(config, 0, [true; 3]).0, [6], "nothing after the snapshot");
}

#[cfg(feature = "bugs")]
#[test]
fn future_watch_lowered() {
    let config = WatchConfig { bugs: BugSet::NONE.with(Bug::FutureWatchLowered), ..WatchConfig::default() };
    assert_eq!(over_a_snapshot(config, 12, [true; 3]).0, [10, 11, 12, 13, 14], "what lies before its start");
    let mut rig = Rig::new(config);
    rig.watch(of_key("a", 5));
    rig.watchers.request_progress(S);
    assert_eq!(story(&rig.take()), ["-1: progress 1"], "its client would resume at 2");
}

#[test]
fn progress_is_told_when_all_of_a_stream_have_come_so_far() {
    let mut rig = Rig::new(config(9, 512, 2));
    rig.puts_to(5);
    rig.watch(of_key("a", 0));
    rig.watch(of_key("a", 2));
    rig.watchers.request_progress(S);
    assert!(!rig.slice());
    assert_eq!(story(&rig.take()), ["1: +a@2 +a@3"], "one of them has yet to come so far");
    rig.watchers.request_progress(S);
    rig.puts_to(6);
    rig.sync();
    assert_eq!(story(&rig.take()), ["0: +a@6", "1: +a@4 +a@5", "1: +a@6", "-1: progress 6"], "once");
    rig.watchers.request_progress(S);
    rig.watchers.request_progress(S);
    assert_eq!(story(&rig.take()), ["-1: progress 6", "-1: progress 6"], "each, when there is nothing to wait for");
}

#[test]
fn progress_waits_behind_victims_and_for_room() {
    let mut rig = Rig::new(config(1, 512, 1000));
    rig.watch(of_key("a", 0));
    rig.puts_to(3);
    rig.watchers.request_progress(S);
    assert_eq!(rig.watchers.counts(), [0, 0, 1]);
    let heard: Vec<String> = (0..4).flat_map(|_| story(&rig.watchers.take(S, 1))).collect();
    assert_eq!(heard, ["0: +a@2", "0: +a@3", "-1: progress 3"]);
}

#[test]
fn progress_is_not_told_before_a_start_that_lies_ahead() {
    let mut rig = Rig::new(WatchConfig::default());
    rig.watch(of_key("a", 4));
    rig.watchers.request_progress(S);
    rig.puts_to(2);
    rig.sync();
    assert!(rig.take().is_empty());
    rig.put("b", "1");
    rig.sync();
    assert_eq!(story(&rig.take()), ["-1: progress 3"], "its client resumes at 4, its start");
}

#[test]
fn progress_that_is_queued_is_not_told_to_a_watch_that_joins() {
    let mut rig = Rig::new(WatchConfig::default());
    rig.watch(of_key("a", 0));
    rig.watchers.request_progress(S);
    rig.puts_to(2);
    rig.watch(of_key("a", 4));
    assert_eq!(story(&rig.take()), ["0: +a@2"], "its client would resume at 2");
    rig.puts_to(3);
    rig.sync();
    assert_eq!(story(&rig.take()), ["0: +a@3", "-1: progress 3"]);
}

#[test]
fn progress_of_a_stream_without_watches_is_not_told() {
    let mut rig = Rig::new(WatchConfig::default());
    rig.watchers.request_progress(S);
    let watch = rig.watch(of_key("a", 0));
    rig.watchers.cancel(S, watch);
    rig.watchers.request_progress(S);
    rig.watch(of_key("a", 0));
    rig.sync();
    assert!(rig.take().is_empty());
}

#[test]
fn a_cancellation_may_be_what_progress_waited_for() {
    let mut rig = Rig::new(WatchConfig::default());
    rig.watch(of_key("a", 0));
    let ahead = rig.watch(of_key("a", 99));
    rig.watchers.request_progress(S);
    assert!(rig.take().is_empty());
    rig.watchers.cancel(S, ahead);
    assert_eq!(story(&rig.take()), ["-1: progress 1"]);
}

#[cfg(feature = "bugs")]
#[test]
fn progress_overtakes() {
    let bugs = BugSet::NONE.with(Bug::ProgressOvertakes);
    let mut rig = Rig::new(WatchConfig { bugs, ..WatchConfig::default() });
    rig.watch(of_key("a", 0));
    rig.puts_to(3);
    rig.watchers.request_progress(S);
    assert_eq!(story(&rig.take()), ["-1: progress 3", "0: +a@2", "0: +a@3"]);
}

#[test]
fn a_tick_tells_progress_to_those_who_want_it_and_heard_nothing_else() {
    let mut rig = Rig::new(WatchConfig::default());
    let wanting = |key, start| WatchCreateRequest { progress_notify: true, ..of_key(key, start) };
    for (key, start) in [("a", 0), ("b", 0), ("b", 9)] {
        rig.watch(wanting(key, start));
    }
    rig.watch(of_key("b", 0));
    rig.puts_to(4);
    rig.watch(wanting("a", 2));
    rig.watchers.progress_tick(S);
    assert_eq!(story(&rig.take()), ["0: +a@2", "0: +a@3", "0: +a@4", "1: progress 4"], "the last is unsynced");
    rig.watchers.progress_tick(S);
    assert_eq!(story(&rig.take()), ["0: progress 4", "1: progress 4"]);
    rig.sync();
    rig.watchers.progress_tick(S);
    assert_eq!(story(&rig.take()), ["4: +a@2 +a@3 +a@4", "0: progress 4", "1: progress 4"]);
    assert_eq!(NO_WATCH, -1);
}

#[test]
fn a_tick_leaves_a_full_buffer_alone() {
    let mut rig = Rig::new(config(1, 512, 1000));
    (0..3).for_each(|_| {
        rig.watch(WatchCreateRequest { progress_notify: true, ..of_key("a", 0) });
    });
    rig.watchers.progress_tick(S);
    assert_eq!(rig.watchers.counts(), [3, 0, 0]);
    assert_eq!(story(&rig.take_slowly()), ["0: progress 1"]);
}

#[test]
fn when_nobody_is_synced_nothing_is_read() {
    let mut rig = Rig::new(WatchConfig::default());
    put(&mut rig.store, "a", "1");
    let record = records(&rig.store)[0].clone();
    let damage = |rig: &mut Rig, record| {
        let engine = rig.store.engine_mut();
        engine.begin();
        engine.put(Bucket::Key, record, bytes("\u{ff}")).unwrap();
        engine.commit();
    };
    damage(&mut rig, record);
    rig.notify();
    rig.watch(of_key("b", 0));
    put(&mut rig.store, "a", "2");
    let record = records(&rig.store)[1].clone();
    damage(&mut rig, record);
    assert!(rig.watchers.notify(&rig.store).is_err(), "a damaged record is an error, not a panic");
}

#[test]
#[should_panic(expected = "invariant: the synced hear first")]
fn a_slice_before_the_notification_is_refused() {
    let mut rig = Rig::new(WatchConfig::default());
    put(&mut rig.store, "a", "1");
    rig.slice();
}
