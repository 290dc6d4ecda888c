//! `seedbed serve` among clients, disks and systems that do it no good: a clear error or back-pressure, and the data stays.
//!
//! Each figure that is asserted is a bound with room to spare, and is printed beside what was measured
//! (`cargo test --test serve_robust -- --nocapture`).

#[path = "support/folder.rs"]
mod folder;
#[path = "support/grpc.rs"]
mod grpc;
#[path = "support/served.rs"]
mod served;

use bytes::Bytes;
use folder::Folder;
use grpc::{Answer, Answers, Client, framed};
use seedbed::pb::etcdserverpb::watch_request::RequestUnion;
use seedbed::pb::etcdserverpb::{
    PutRequest, PutResponse, RangeRequest, RangeResponse, WatchCreateRequest, WatchRequest, WatchResponse,
};
use served::Seedbed;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

const PUT: &str = "/etcdserverpb.KV/Put";
const RANGE: &str = "/etcdserverpb.KV/Range";
const WATCH: &str = "/etcdserverpb.Watch/Watch";

const MIB: u64 = 1 << 20;

/// A loopback address of this process's own.
fn address() -> String {
    static NEXT: AtomicU16 = AtomicU16::new(21_000);
    let [_, a, b, c] = std::process::id().to_be_bytes();
    format!("127.{}.{b}.{c}:{}", 1 + a % 254, NEXT.fetch_add(1, Ordering::Relaxed))
}

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(work)
}

fn put(key: &str, value: Vec<u8>) -> PutRequest {
    PutRequest { key: Bytes::copy_from_slice(key.as_bytes()), value: value.into(), ..Default::default() }
}

/// How many keys there are.
async fn count(client: &Client) -> i64 {
    let range = RangeRequest { key: "k".into(), range_end: "l".into(), count_only: true, ..Default::default() };
    let answer: Answer<RangeResponse> = client.call(RANGE, &range).await;
    answer.expect("it answers").count
}

/// Puts so many keys, 64 at a time.
async fn fill(client: &Client, keys: usize, bytes: usize) {
    let mut left = (0..keys).map(|n| put(&format!("k{n}"), vec![b'v'; bytes]));
    let mut under_way = std::collections::VecDeque::new();
    loop {
        while under_way.len() < 64
            && let Some(put) = left.next()
        {
            under_way.push_back(client.stream(PUT, &put).await);
        }
        let Some(mut answers) = under_way.pop_front() else { return };
        let answer: Answer<Option<PutResponse>> = answers.next().await;
        answer.expect("it answers");
    }
}

/// A file system of so many bytes in memory. It is gone with the value.
struct SmallDisk(String);

impl SmallDisk {
    /// `None` (and a word about it) where one may not be made.
    fn mount(path: String, options: &str) -> Option<SmallDisk> {
        std::fs::create_dir_all(&path).expect("a folder can be made");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", options, "none", &path]).output();
        match mounted {
            Ok(output) if output.status.success() => Some(SmallDisk(path)),
            refused => {
                eprintln!("skipped: a file system of its own needs root: {refused:?}");
                None
            }
        }
    }

    fn remount(&self, options: &str) {
        let options = format!("remount,{options}");
        let status = Command::new("mount").args(["-o", &options, &self.0]).status().expect("mount runs");
        assert!(status.success());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_stops_the_member_and_takes_nothing_that_was_acknowledged() {
    let folder = Folder::new();
    let Some(disk) = SmallDisk::mount(folder.path("ours"), "size=150m") else { return };
    let address = address();
    let mut ours = Seedbed::start(&folder, &address);
    let acknowledged = run(async {
        let client = Client::connect(&ours.url).await;
        for n in 0..300 {
            let answer: Answer<PutResponse> = client.call(PUT, &put(&format!("k{n}"), vec![b'v'; 1 << 20])).await;
            if answer.is_err() {
                return n;
            }
        }
        panic!("300 MiB fitted into 150")
    });
    let status = ours.ended();
    let said = std::fs::read_to_string(folder.path("ours.log")).expect("its words are kept");
    assert!(!status.success() && said.contains("no space left"), "{status}: {said}");
    disk.remount("size=600m");
    let ours = Seedbed::start(&folder, &address);
    let kept = run(async { count(&Client::connect(&ours.url).await).await });
    // The one that was refused may have been written.
    assert!(kept == acknowledged || kept == acknowledged + 1, "{acknowledged} acknowledged, {kept} kept");
    println!("full after {acknowledged} MiB: {said}");
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let folder = Folder::new();
    let Some(_disk) = SmallDisk::mount(folder.path("ours"), "size=1m,ro") else { return };
    let mut command = Command::new(env!("CARGO_BIN_EXE_seedbed"));
    command.args(["serve", "--data-dir", &folder.path("ours"), "--listen-client-urls", "http://127.0.0.1:0"]);
    command.args(["--listen-peer-urls", "http://127.0.0.1:0"]);
    let output = command.output().expect("the binary runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("ours/member/wal") && said.contains("Read-only file system"), "{said}");
}

#[test]
fn a_file_that_may_not_grow_stops_the_member() {
    let folder = Folder::new();
    let mut command = Command::new("sh");
    // As a process that ignores the signal is told of the limit: by an error of the write.
    let limited = "trap '' XFSZ; ulimit -f 1000; exec \"$0\" \"$@\"";
    command.args(["-c", limited, env!("CARGO_BIN_EXE_seedbed"), "serve", "--data-dir", &folder.path("ours")]);
    command.args(["--listen-peer-urls", "http://127.0.0.1:0"]);
    command.args(["--listen-client-urls", "http://127.0.0.1:0"]);
    let output = command.output().expect("the binary runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(2) && said.contains("member/wal"), "{:?} {said}", output.status);
}

/// By a shell that allows so many open files.
fn with_files(files: u64) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("ulimit -n {files} && exec \"$0\" \"$@\""), env!("CARGO_BIN_EXE_seedbed")]);
    command
}

/// Lets this process open so many files; `false` (and a word about it) where it may not.
fn may_open(files: u64) -> bool {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let enough = limit.maximum.is_none_or(|maximum| maximum >= files);
    if enough {
        let raised = rustix::process::Rlimit { current: Some(files), ..limit };
        rustix::process::setrlimit(rustix::process::Resource::Nofile, raised).expect("up to the maximum");
    } else {
        eprintln!("skipped: {files} open files are needed, {:?} allowed (ulimit -Hn)", limit.maximum);
    }
    enough
}

/// How a client that speaks HTTP/2 begins: the preface, and settings that change nothing.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00";

#[test]
fn ten_thousand_idle_connections_are_held() {
    if !may_open(10_500) {
        return;
    }
    let (folder, address) = (Folder::new(), address());
    let ours = Seedbed::start_by(with_files(10_500), &folder, &address);
    let before = ours.resident_bytes();
    let mut idle = Vec::new();
    for _ in 0..10_000 {
        let mut socket = TcpStream::connect(&address).expect("it listens");
        socket.write_all(PREFACE).expect("it is open");
        idle.push(socket);
    }
    // The last has been served when its settings are answered.
    let last = idle.last_mut().expect("there are some");
    last.set_read_timeout(Some(served::PATIENCE)).expect("a socket can be set");
    last.read_exact(&mut [0; 9]).expect("it is answered");
    let after = ours.resident_bytes();
    run(async {
        let client = Client::connect(&ours.url).await;
        fill(&client, 100, 100).await;
    });
    println!("10,000 idle connections: {} MiB, {} before", after / MIB, before / MIB);
    assert!(after - before < 400 * MIB, "{} MiB for 10,000 connections", (after - before) / MIB);
}

#[test]
fn connections_beyond_the_limit_wait_and_the_member_keeps_files_for_itself() {
    let (folder, address) = (Folder::new(), address());
    let mut ours = Seedbed::start_by(with_files(200), &folder, &address);
    run(async {
        let client = Client::connect(&ours.url).await;
        let mut idle: Vec<_> = (0..100).map(|_| TcpStream::connect(&address).expect("the system takes it")).collect();
        fill(&client, 1000, 100).await;
        idle.clear();
        let late = Client::connect(&ours.url).await;
        assert_eq!(count(&late).await, 1000);
    });
    assert!(ours.stop().success());
}

#[test]
fn a_thousand_watches_that_never_read_hold_up_nobody() {
    const STREAMS: usize = 1000;
    const PUTS: usize = 10_000;
    let (folder, address) = (Folder::new(), address());
    let ours = Seedbed::start(&folder, &address);
    let (before, after, took) = run(async {
        let deaf = Client::connect_with(&address, 64 << 10).await;
        let create = WatchCreateRequest { key: "k".into(), range_end: "l".into(), ..Default::default() };
        let create = framed(&WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) });
        let mut streams = Vec::new();
        for _ in 0..STREAMS {
            let (mut body, answer) = deaf.begin(WATCH).await;
            body.send_data(create.clone(), false).expect("the stream is open");
            streams.push((body, answer));
        }
        let (_last_body, last) = streams.pop().expect("there are some");
        let mut last = Answers::of(last);
        let created: Answer<Option<WatchResponse>> = last.next().await;
        assert!(created.expect("it answers").expect("an answer").created);

        let client = Client::connect(&ours.url).await;
        let (before, begun) = (ours.resident_bytes(), Instant::now());
        fill(&client, PUTS, 500).await;
        let took = begun.elapsed();
        assert_eq!(count(&client).await, PUTS as i64);
        let after = ours.resident_bytes();
        drop(streams);
        (before, after, took)
    });
    println!("{PUTS} puts before {STREAMS} deaf watches: {took:.1?}, {} MiB, {} before", after / MIB, before / MIB);
    assert!(after - before < 600 * MIB, "{} MiB more", (after - before) / MIB);
}

#[test]
fn a_client_that_asks_and_never_listens_is_read_no_further() {
    let (folder, address) = (Folder::new(), address());
    let ours = Seedbed::start(&folder, &address);
    let more = run(async {
        // No room at all for answers.
        let deaf = Client::connect_with(&address, 0).await;
        let create = WatchCreateRequest { key: vec![b'k'; 1000].into(), ..Default::default() };
        let create = framed(&WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) });
        let (mut body, _answer) = deaf.begin(WATCH).await;
        let before = ours.resident_bytes();
        let mut sent = 0;
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(5) {
            body.reserve_capacity(create.len());
            let room = std::future::poll_fn(|cx| body.poll_capacity(cx));
            match tokio::time::timeout(Duration::from_secs(1), room).await {
                Ok(room) if body.capacity() >= create.len() => {
                    room.expect("the stream is open").expect("the connection is open");
                    body.send_data(create.clone(), false).expect("the stream is open");
                    sent += 1;
                }
                Ok(_) => tokio::task::yield_now().await,
                Err(_) => break,
            }
        }
        println!("{sent} watches of 1,000 bytes asked for before the window closed");
        assert!(sent < 50_000, "it reads on and on: {sent}");
        ours.resident_bytes().saturating_sub(before)
    });
    assert!(more < 100 * MIB, "{} MiB more", more / MIB);
}

#[test]
fn garbage_harms_nobody() {
    let (folder, address) = (Folder::new(), address());
    let mut ours = Seedbed::start(&folder, &address);
    let noise: Vec<u8> = (0..100_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let say = |bytes: &[&[u8]]| {
        let mut socket = TcpStream::connect(&address).expect("it listens");
        socket.set_read_timeout(Some(Duration::from_secs(1))).expect("a socket can be set");
        // Whoever is not understood is hung up on.
        let _ = bytes.iter().try_for_each(|bytes| socket.write_all(bytes));
        let mut answer = Vec::new();
        let _ = socket.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    };
    say(&[&noise]);
    say(&[PREFACE, &noise]);
    say(&[b"GET /", &vec![b'x'; 1_000_000], b" HTTP/1.1\r\n\r\n"]);
    say(&[b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", &noise]);
    let not_found = say(&[b"POST /v2/keys HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi"]);
    assert!(not_found.starts_with("HTTP/1.1 404"), "{not_found}");
    run(async {
        let client = Client::connect(&ours.url).await;
        for body in [Bytes::from_static(b"\0\0\0\0\x03\xff\xff\xff"), noise.clone().into(), Bytes::new()] {
            for path in [PUT, WATCH, "/etcdserverpb.Lease/LeaseKeepAlive", "/v3lockpb.Lock/Unlock"] {
                let (mut send, answer) = client.begin(path).await;
                send.send_data(body.clone(), true).expect("the stream is open");
                let answer: Answer<Option<PutResponse>> = Answers::of(answer).next().await;
                assert!(answer != Ok(Some(PutResponse::default())), "{path} {answer:?}");
            }
        }
        fill(&client, 10, 10).await;
        assert_eq!(count(&client).await, 10);
    });
    assert!(ours.stop().success());
    let left: Vec<_> = std::fs::read_dir(folder.root().join("ours/member/wal")).expect("readable").flatten().collect();
    assert!(left.iter().all(|file| file.path().extension() == Some("wal".as_ref())), "no spare file is left: {left:?}");
}
