//! `seedbed serve` beside a real etcd: the same commands of etcdctl, the same output.
//!
//! Both are started on loopback addresses of their own. What may differ (ids, terms) is replaced by a word before the
//! outputs are compared; everything else, errors and exit codes included, is compared as it is. Where etcd is not
//! installed the test says that it was skipped; with `SEEDBED_REQUIRE_ETCD` set it fails instead.

#[path = "support/etcd.rs"]
mod etcd;
#[path = "support/folder.rs"]
mod folder;

use etcd::tools;
use folder::Folder;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long anything real may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// A member of ours. It ends with the value.
struct Seedbed {
    url: String,
    process: Child,
}

impl Seedbed {
    fn start(folder: &Folder, address: &str) -> Seedbed {
        let url = format!("http://{address}");
        let mut command = Command::new(env!("CARGO_BIN_EXE_seedbed"));
        command.args(["serve", "--data-dir", &folder.path("ours"), "--listen-client-urls", &url]);
        command.args(["--advertise-client-urls", &url, "--listen-peer-urls", "http://127.0.0.1:0"]);
        let process = command.stderr(Stdio::null()).spawn().expect("the binary runs");
        let mut member = Seedbed { url, process };
        let begun = Instant::now();
        while !ctl(&member.url, &["endpoint", "health"], "").status.success() {
            let ended = member.process.try_wait().expect("it is ours to wait for");
            assert!(ended.is_none() && begun.elapsed() < PATIENCE, "it does not serve: {ended:?}");
            sleep(Duration::from_millis(50));
        }
        member
    }

    /// `kill -9`, and again on the same directory.
    fn kill_and_start(mut self, folder: &Folder, address: &str) -> Seedbed {
        self.process.kill().expect("it runs");
        self.process.wait().expect("it is ours to wait for");
        Seedbed::start(folder, address)
    }
}

impl Drop for Seedbed {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn command(url: &str, args: &[&str]) -> Command {
    let mut command = Command::new("etcdctl");
    command.env("ETCDCTL_API", "3").args(["--endpoints", url, "--command-timeout", "10s"]).args(args);
    command
}

fn ctl(url: &str, args: &[&str], input: &str) -> Output {
    let mut command = command(url, args);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("etcdctl runs");
    child.stdin.take().expect("it is piped").write_all(input.as_bytes()).expect("etcdctl reads");
    child.wait_with_output().expect("etcdctl ends")
}

/// What was said and how it ended, without what may differ between two clusters.
fn said(output: &Output, url: &str) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace(url, "URL");
    // etcdctl 3.4 writes a line of its client's log, with the time, before an error.
    let errors = text(&output.stderr);
    let errors: Vec<&str> = errors.lines().filter(|line| !line.starts_with("{\"level\"")).collect();
    let all = format!("{}{}\n{}", text(&output.stdout), errors.join("\n"), output.status);
    without_ids(&all)
}

/// Long numbers, decimal or hexadecimal, are ids; terms and durations differ as well.
fn without_ids(text: &str) -> String {
    let mut words = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let run = rest.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(rest.len());
        let (word, after) = rest.split_at(if run == 0 { c.len_utf8() } else { run });
        words.push_str(if run >= 10 { "ID" } else { word });
        rest = after;
    }
    let mut lines = Vec::new();
    for line in words.lines() {
        let mut line = line.to_owned();
        for name in ["\"raft_term\":", "\"raft_index\":"] {
            if let Some(at) = line.find(name) {
                let from = at + name.len();
                let digits = line[from..].find(|c: char| !c.is_ascii_digit()).unwrap_or(line.len() - from);
                line.replace_range(from..from + digits, "N");
            }
        }
        if let Some(at) = line.find("took = ") {
            line.truncate(at);
        }
        lines.push(line);
    }
    lines.join("\n")
}

/// Commands, each with what it reads from stdin. `LEASE` stands for the lease that was granted last.
const COMMANDS: &[(&str, &str)] = &[
    ("put a 1", ""),
    ("put a 2 --prev-kv", ""),
    ("put b x", ""),
    ("put b --ignore-value", ""),
    ("put none --ignore-value", ""),
    ("get a -w json", ""),
    ("get a --rev 2 -w json", ""),
    ("get a --rev 200", ""),
    ("get none -w json", ""),
    ("get --prefix '' -w json", ""),
    ("get a b -w json --limit 1", ""),
    ("get --prefix '' --keys-only", ""),
    ("get --prefix '' --count-only -w fields", ""),
    ("get --from-key a --order DESCEND --sort-by KEY --print-value-only", ""),
    ("txn", "value(\"a\") = \"2\"\n\nput c yes\nget a\n\nput c no\n\n"),
    ("txn", "mod(\"a\") = \"1\"\n\nput c yes\n\nget c\ndel c\n\n"),
    ("txn", "\n\nput d 1\nput d 2\n\n\n"),
    ("del c --prev-kv", ""),
    ("del c", ""),
    ("del --prefix none -w json", ""),
    ("endpoint hashkv", ""),
    ("endpoint hashkv --rev 3", ""),
    ("compaction 4", ""),
    ("compaction 4", ""),
    ("compaction 400", ""),
    ("get a --rev 2", ""),
    ("endpoint hashkv", ""),
    ("lease grant 600", ""),
    ("lease timetolive LEASE --keys", ""),
    ("put leased 1 --lease LEASE", ""),
    ("lease timetolive LEASE --keys -w json", ""),
    ("lease keep-alive LEASE --once", ""),
    ("lease list", ""),
    ("lease revoke LEASE", ""),
    ("get leased -w json", ""),
    ("lease revoke LEASE", ""),
    ("lease timetolive LEASE", ""),
    ("lease keep-alive LEASE --once", ""),
    ("put leased 1 --lease LEASE", ""),
    ("lease grant 10000000000", ""),
    ("lock mutex echo held", ""),
    ("alarm list", ""),
    ("alarm disarm", ""),
    ("defrag", ""),
    ("endpoint health", ""),
    ("member remove 1", ""),
    ("member update 1 --peer-urls http://localhost:1", ""),
    ("member promote 1", ""),
    ("move-leader 1", ""),
    ("role add reader", ""),
    ("role add reader", ""),
    ("role grant-permission reader read a", ""),
    ("role grant-permission reader readwrite k --prefix", ""),
    ("role grant-permission none read a", ""),
    ("role get reader", ""),
    ("role list", ""),
    ("user add root:secret", ""),
    ("user add alice:wonder", ""),
    ("user add alice:wonder", ""),
    ("user grant-role alice reader", ""),
    ("user grant-role bob reader", ""),
    ("user get alice", ""),
    ("user list", ""),
    ("auth enable", ""),
    ("user grant-role root root", ""),
    ("auth enable", ""),
    ("get a", ""),
    ("get a --user alice:wrong", ""),
    ("get a --user alice:wonder", ""),
    ("get b --user alice:wonder", ""),
    ("put a 3 --user alice:wonder", ""),
    ("put k1 3 --user alice:wonder", ""),
    ("user list --user alice:wonder", ""),
    ("lock mutex echo held --user root:secret", ""),
    ("role revoke-permission reader a --user root:secret", ""),
    ("get a --user alice:wonder", ""),
    ("user revoke-role alice reader --user root:secret", ""),
    ("role delete reader --user root:secret", ""),
    ("user delete alice --user root:secret", ""),
    ("user delete root --user root:secret", ""),
    ("auth disable --user root:secret", ""),
    ("auth disable", ""),
    ("get a", ""),
];

fn words(line: &str, lease: &str) -> Vec<String> {
    line.split(' ').map(|word| if word == "''" { "" } else { word }.replace("LEASE", lease)).collect()
}

#[test]
fn etcdctl_is_answered_as_by_etcd() {
    let Some(tools) = tools() else { return };
    let folder = Folder::new();
    let mut theirs = tools.etcd("default", folder.path("theirs"));
    theirs.start();
    let [address] = tools.addresses(1).try_into().expect("one was asked for");
    let ours = Seedbed::start(&folder, &address);
    let urls = [theirs.client_url(), ours.url.clone()];
    let mut leases = [String::new(), String::new()];
    let mut different = Vec::new();
    for (line, input) in COMMANDS {
        let answers: Vec<String> = (0..2)
            .map(|n| {
                let args = words(line, &leases[n]);
                let output = ctl(&urls[n], &args.iter().map(String::as_str).collect::<Vec<_>>(), input);
                if let Some(granted) = String::from_utf8_lossy(&output.stdout).strip_prefix("lease ")
                    && let Some((id, _)) = granted.split_once(" granted")
                {
                    leases[n] = id.to_owned();
                }
                said(&output, &urls[n])
            })
            .collect();
        if answers[0] != answers[1] {
            different.push(format!("etcdctl {line}\n--- etcd\n{}\n--- seedbed\n{}", answers[0], answers[1]));
        }
    }
    assert!(different.is_empty(), "{} of {} differ:\n{}", different.len(), COMMANDS.len(), different.join("\n\n"));
}

#[test]
fn a_watch_hears_the_past_and_the_present_and_a_kill_loses_nothing() {
    let Some(tools) = tools() else { return };
    let folder = Folder::new();
    let [address] = tools.addresses(1).try_into().expect("one was asked for");
    let ours = Seedbed::start(&folder, &address);
    let put = |value: &str| assert!(ctl(&ours.url, &["put", "a", value], "").status.success());
    (1..=3).for_each(|n| put(&n.to_string()));
    let mut watch = command(&ours.url, &["watch", "a", "--rev", "2", "--prev-kv"]);
    let mut watch = watch.stdout(Stdio::piped()).spawn().expect("etcdctl runs");
    let lines = BufReader::new(watch.stdout.take().expect("it is piped")).lines().map_while(Result::ok);
    put("4");
    // An event is PUT, the key and value before (from the second on), the key and value now.
    let heard: Vec<String> = lines.take(3 + 3 * 5).collect();
    watch.kill().expect("it runs");
    watch.wait().expect("it is ours to wait for");
    let expected = ["PUT", "a", "1"].into_iter().chain((1..4).flat_map(|n| {
        let [before, now] = [["1", "2"], ["2", "3"], ["3", "4"]][n - 1];
        ["PUT", "a", before, "a", now]
    }));
    assert_eq!(heard, expected.collect::<Vec<_>>());

    let ours = ours.kill_and_start(&folder, &address);
    let read = ctl(&ours.url, &["get", "a", "--print-value-only"], "");
    assert_eq!(String::from_utf8_lossy(&read.stdout), "4\n");
}

#[test]
fn what_keeps_it_from_serving_is_said() {
    let folder = Folder::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", taken.local_addr().expect("it is bound"));
    let serve = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_seedbed"));
        let output = command.args(["serve", "--listen-peer-urls", "http://127.0.0.1:0"]).args(args).output().expect("the binary runs");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, error) = serve(&["--data-dir", &folder.path("a"), "--listen-client-urls", &url]);
    assert!(code == Some(2) && error.contains("cannot listen on 127.0.0.1:"), "{code:?} {error}");
    assert!(!folder.has("a"), "nothing is made before it is known that it can serve");
    let file = folder.file("b", "not a folder");
    let (code, error) = serve(&["--data-dir", &file, "--listen-client-urls", "http://127.0.0.1:0"]);
    assert!(code == Some(2) && error.contains(&file), "{code:?} {error}");
    let (code, error) = serve(&["--listen-client-urls", "localhost:2379"]);
    assert!(code == Some(2) && error.contains("begins with http://"), "{code:?} {error}");
    let (code, error) = serve(&["--election-timeout", "200"]);
    assert!(code == Some(2) && error.contains("five heartbeats"), "{code:?} {error}");
}
