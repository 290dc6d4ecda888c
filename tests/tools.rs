//! `seedbed bench` and `seedbed doctor` against a member of ours; the doctor against a real etcd, too.

#[path = "support/etcd.rs"]
mod etcd;
#[path = "support/folder.rs"]
mod folder;

use etcd::tools;
use folder::Folder;
use serde_json::Value;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long anything real may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// A member of ours. It ends with the value.
struct Seedbed {
    address: String,
    process: Child,
}

impl Seedbed {
    fn start(folder: &Folder) -> Seedbed {
        let address = free_address();
        let url = format!("http://{address}");
        let mut command = Command::new(env!("CARGO_BIN_EXE_seedbed"));
        command.args(["serve", "--data-dir", &folder.path("ours"), "--listen-client-urls", &url]);
        command.args(["--listen-peer-urls", "http://127.0.0.1:0"]);
        let process = command.args(["--advertise-client-urls", &url]).stderr(Stdio::null()).spawn();
        let member = Seedbed { address, process: process.expect("the binary runs") };
        let begun = Instant::now();
        while TcpStream::connect(&member.address).is_err() {
            assert!(begun.elapsed() < PATIENCE, "it does not serve");
            sleep(Duration::from_millis(20));
        }
        // A put waits for a leader: from here on there is one.
        let (code, _, error) = seedbed(&["bench", "put", "--endpoints", &member.address, "--total", "1"]);
        assert_eq!(code, 0, "{error}");
        member
    }
}

impl Drop for Seedbed {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Where nobody listens. On Linux the process has a host of its own in 127.0.0.0/8: a port that is free on 127.0.0.1 may
/// be some connection's before a server listens.
fn free_address() -> String {
    let [_, a, b, c] = std::process::id().to_be_bytes();
    let own = TcpListener::bind((Ipv4Addr::new(127, 1 + a % 254, b, c), 0));
    let listener = own.or_else(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).expect("a port");
    listener.local_addr().expect("it is bound").to_string()
}

/// The command's exit code, stdout and stderr.
fn seedbed(args: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_seedbed")).args(args).output().expect("the binary runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().expect("it was not killed"), text(&output.stdout), text(&output.stderr))
}

fn json(args: &[&str]) -> (i32, Value) {
    let (code, text, errors) = seedbed(&[args, &["--json"]].concat());
    (code, serde_json::from_str(&text).unwrap_or_else(|error| panic!("{args:?}: {error}: {text}{errors}")))
}

fn rules(report: &Value) -> Vec<&str> {
    let findings = report["findings"].as_array().expect("a list");
    findings.iter().map(|finding| finding["rule"].as_str().expect("a name")).collect()
}

/// What `bench` is told, and what it must have counted.
type Load<'a> = (&'a [&'a str], &'a [(&'a str, u64)]);

#[test]
fn each_load_is_answered_and_counted() {
    let folder = Folder::new();
    let ours = Seedbed::start(&folder);
    let at = ["--endpoints", &ours.address, "--keys", "50", "--clients", "4"];
    let loads: [Load; 8] = [
        (&["put", "--total", "300"], &[("put", 300)]),
        (&["put", "--total", "100", "--rate", "1000", "--connections", "2"], &[("put", 100)]),
        (&["range", "--total", "200"], &[("get", 200)]),
        (&["range", "--total", "200", "--serializable", "--key-prefix", "other/"], &[("get, serializable", 200)]),
        (&["txn", "--total", "100"], &[("create", 100)]),
        (&["watch", "--watchers", "20", "--total", "40", "--rate", "400"], &[("put", 40), ("event", 40)]),
        (&["watch", "--watchers", "5", "--prefix", "--total", "40", "--rate", "400"], &[("put", 40), ("event", 200)]),
        (&["lease", "--total", "20"], &[("grant", 20), ("keepalive", 20), ("revoke", 20)]),
    ];
    for (load, expected) in loads {
        let (code, report) = json(&[&["bench"], load, &at].concat());
        let counted: Vec<(&str, u64)> = (report["rows"].as_array().expect("a list").iter())
            .map(|row| (row["name"].as_str().expect("a name"), row["count"].as_u64().expect("a count")))
            .collect();
        assert_eq!((code, &counted[..], &report["errors"]), (0, expected, &serde_json::json!({})), "{load:?}");
    }
    // Keys that are there make the first updates reads; then each client knows its own.
    let (code, report) = json(&[&["bench", "txn", "--shape", "update", "--total", "400"], &at[..]].concat());
    let row = |name: &str| report["rows"].as_array().expect("a list").iter().find(|row| row["name"] == name).cloned();
    let count = |name: &str| row(name).map_or(0, |row| row["count"].as_u64().expect("a count"));
    assert_eq!((code, count("update") + count("lost to another")), (0, 400));
    assert!(count("lost to another") <= 52, "at most once a key: {report}");
}

#[test]
fn a_table_is_for_people_and_a_missing_server_is_named() {
    let folder = Folder::new();
    let ours = Seedbed::start(&folder);
    let (code, text, _) = seedbed(&["bench", "put", "--endpoints", &ours.address, "--total", "100"]);
    assert!(
        code == 0 && text.starts_with("     answers  a second  p50 ms") && text.contains("\nput      100"),
        "{text}"
    );
    let nobody = free_address();
    let (code, text, error) = seedbed(&["bench", "put", "--endpoints", &nobody, "--total", "100"]);
    assert!(code == 2 && text.is_empty() && error.contains(&format!("no server at {nobody}")), "{code} {error}");
    let (code, _, error) = seedbed(&["bench", "put", "--endpoints", "https://localhost:2379"]);
    assert!(code == 2 && error.contains("an address without TLS is expected"), "{code} {error}");
}

#[test]
fn the_doctor_looks_at_a_member_of_ours() {
    let folder = Folder::new();
    let ours = Seedbed::start(&folder);
    let (code, report) = json(&["doctor", "--endpoints", &ours.address, "--window", "1"]);
    assert!(code == 0 && rules(&report).contains(&"member-count"), "{code} {report}");
    let nobody = free_address();
    let (code, report) = json(&["doctor", "--endpoints", &format!("{},{nobody}", ours.address), "--window", "1"]);
    assert_eq!((code, rules(&report)[0]), (10, "unreachable"), "{report}");
}

#[test]
fn the_doctor_finds_what_is_wrong_with_a_real_etcd() {
    let Some(tools) = tools() else { return };
    let folder = Folder::new();
    let mut etcd = tools.etcd("default", folder.path("theirs")).with(&["--quota-backend-bytes", "1000000"]);
    etcd.start();
    let url = etcd.client_url();
    let (code, report) = json(&["doctor", "--endpoints", &url, "--window", "1"]);
    assert_eq!((code, rules(&report)), (0, vec!["member-count"]), "{report}");
    assert!(report["seen"]["members"][0]["hash"]["Ok"]["hash"].is_u64(), "{report}");
    let address = url.trim_start_matches("http://");
    // etcd sees how large its file is when a batch is committed, every 100 ms: more may fit in before.
    let fill = || {
        let (code, report) = json(&["bench", "put", "--endpoints", address, "--total", "400", "--val-size", "10000"]);
        assert_eq!(code, 0, "{report}");
        let errors = report["errors"].as_object().expect("by text");
        errors.keys().any(|error| error == "etcdserver: mvcc: database space exceeded (RESOURCE_EXHAUSTED)")
    };
    assert!((0..20).any(|_| fill()), "8,000 values of 10,000 bytes do not fit into a megabyte");
    let (code, text, _) = seedbed(&["doctor", "--endpoints", &url, "--window", "1"]);
    assert_eq!(code, 10, "{text}");
    for expected in
        ["the database is full: the alarm NOSPACE", "alarm:NOSPACE", "compact ", "alarm disarm", "1 critical"]
    {
        assert!(text.contains(expected), "{expected}: {text}");
    }
}
