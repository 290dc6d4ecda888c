//! Watches on a member: what goes down a stream, and when.

use super::*;
use seedbed::api::Request;
use seedbed::member::StreamInput;
use seedbed::pb::etcdserverpb::watch_request::RequestUnion;
use seedbed::pb::etcdserverpb::{
    CompactionRequest, WatchCancelRequest, WatchCreateRequest, WatchProgressRequest, WatchRequest,
};

const STREAM: StreamId = StreamId(1);

impl Bench {
    fn stream(&mut self, input: StreamInput) {
        self.step(Input::Stream(STREAM, Box::new(input)));
    }

    fn say(&mut self, request: RequestUnion) {
        self.stream(StreamInput::Request(WatchRequest { request_union: Some(request) }));
    }

    fn watch(&mut self, key: &'static str, start_revision: i64) {
        self.create(WatchCreateRequest { key: key.into(), start_revision, ..Default::default() });
    }

    fn create(&mut self, create: WatchCreateRequest) {
        self.say(RequestUnion::CreateRequest(create));
    }

    /// What came down the stream: for each response a word.
    fn heard(&mut self) -> Vec<String> {
        let word = |(stream, response): (StreamId, WatchResponse)| {
            assert_eq!(stream, STREAM);
            let header = response.header.expect("every response has a header");
            assert!(header.member_id != 0 && header.raft_term > 0, "whoever answers says who it is");
            match (response.created, response.canceled) {
                (true, true) => format!("{} refused: {}", response.watch_id, response.cancel_reason),
                (true, false) => format!("{} created at {}", response.watch_id, header.revision),
                (false, true) if response.compact_revision > 0 => {
                    format!("{} compacted up to {}", response.watch_id, response.compact_revision)
                }
                (false, true) => format!("{} canceled", response.watch_id),
                (false, false) if response.events.is_empty() => {
                    format!("{} is at {}", response.watch_id, header.revision)
                }
                (false, false) => {
                    let kvs = response.events.iter().map(|event| event.kv.clone().expect("an event has a key"));
                    let told = kvs.map(|kv| format!("{}@{}", String::from_utf8_lossy(&kv.key), kv.mod_revision));
                    let more = if response.fragment { " …" } else { "" };
                    format!("{} {}{more}", response.watch_id, told.collect::<Vec<_>>().join(" "))
                }
            }
        };
        std::mem::take(&mut self.watched).into_iter().map(word).collect()
    }
}

fn watching() -> Bench {
    let mut bench = Bench::leading(config(1));
    bench.stream(StreamInput::Room(100));
    bench
}

#[test]
fn a_watch_hears_what_follows_and_what_it_asks_for_from_before() {
    let mut bench = watching();
    bench.put(1, "a", "1");
    bench.put(2, "b", "2");
    bench.watch("a", 0);
    bench.watch("b", 1);
    assert_eq!(bench.heard(), ["0 created at 3", "1 created at 3"]);
    bench.wait(100);
    assert_eq!(bench.heard(), ["1 b@3"], "from the store's records");
    bench.put(3, "a", "3");
    bench.put(4, "b", "4");
    bench.put(5, "c", "5");
    assert_eq!(bench.heard(), ["0 a@4", "1 b@5"]);
    bench.say(RequestUnion::CancelRequest(WatchCancelRequest { watch_id: 0 }));
    bench.say(RequestUnion::CancelRequest(WatchCancelRequest { watch_id: 7 }));
    bench.put(6, "a", "6");
    assert_eq!(bench.heard(), ["0 canceled"]);
}

#[test]
fn a_slow_client_loses_nothing() {
    let mut bench = Bench::leading(config(1));
    bench.watch("a", 0);
    for _ in 0..2000 {
        bench.put(1, "a", "v");
    }
    assert_eq!(bench.heard(), ["0 created at 1"], "there was no room for more");
    let mut heard = Vec::new();
    for _ in 0..300 {
        bench.stream(StreamInput::Room(7));
        bench.wait(100);
        for told in bench.heard() {
            heard.extend(told.split(' ').skip(1).map(str::to_owned).collect::<Vec<_>>());
        }
    }
    assert_eq!(heard, (2..=2001).map(|revision| format!("a@{revision}")).collect::<Vec<_>>());
}

#[test]
fn a_start_that_is_compacted_ends_the_watch() {
    let mut bench = watching();
    for _ in 0..3 {
        bench.put(1, "a", "v");
    }
    bench.step(Input::Request(
        RequestId(2),
        Box::new(Request::Compact(CompactionRequest { revision: 3, physical: false })),
    ));
    bench.watch("a", 2);
    bench.wait(200);
    assert_eq!(bench.heard(), ["0 created at 4", "0 compacted up to 3"]);
    bench.put(3, "a", "v");
    assert_eq!(bench.heard(), [] as [String; 0]);
}

#[test]
fn progress_is_told_when_asked_and_from_time_to_time() {
    let config = Config { watch_progress_interval: seedbed::time::SECOND, ..config(1) };
    let mut bench = Bench::leading(config);
    bench.stream(StreamInput::Room(100));
    bench.create(WatchCreateRequest { key: "a".into(), progress_notify: true, ..Default::default() });
    bench.put(1, "b", "v");
    bench.say(RequestUnion::ProgressRequest(WatchProgressRequest {}));
    assert_eq!(bench.heard(), ["0 created at 1", "-1 is at 2"]);
    bench.wait(1100);
    assert_eq!(bench.heard(), ["0 is at 2"]);
}

#[test]
fn what_cannot_be_watched_is_refused_and_a_closed_stream_is_silent() {
    let mut bench = watching();
    bench.create(WatchCreateRequest { key: "b".into(), range_end: "a".into(), ..Default::default() });
    assert_eq!(bench.heard().len(), 1);
    bench.watch("a", 0);
    bench.heard();
    bench.stream(StreamInput::Closed);
    bench.put(1, "a", "v");
    assert_eq!(bench.heard(), [] as [String; 0]);
}

#[test]
fn a_long_response_is_cut_where_it_was_asked_for() {
    let config = Config { max_request_bytes: 400, ..config(1) };
    let mut bench = Bench::leading(config);
    bench.stream(StreamInput::Room(100));
    for _ in 0..5 {
        bench.put(
            1,
            "a",
            "a value of a hundred bytes: ........................................................................",
        );
    }
    let create = WatchCreateRequest { key: "a".into(), start_revision: 1, ..Default::default() };
    bench.create(WatchCreateRequest { fragment: true, ..create.clone() });
    bench.create(create);
    bench.wait(100);
    let heard = bench.heard();
    assert_eq!(heard[2..], ["0 a@2 a@3 a@4 …", "0 a@5 a@6", "1 a@2 a@3 a@4 a@5 a@6"]);
}
