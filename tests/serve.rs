//! `seedbed serve` beside a real etcd: the same commands of etcdctl, the same output.
//!
//! Both are started on loopback addresses of their own. What may differ (ids, terms) is replaced by a word before the
//! outputs are compared; everything else, errors and exit codes included, is compared as it is. Where etcd is not
//! installed the test says that it was skipped; with `SEEDBED_REQUIRE_ETCD` set it fails instead.

#[path = "support/etcd.rs"]
mod etcd;
#[path = "support/folder.rs"]
mod folder;
#[path = "support/served.rs"]
mod served;

use etcd::tools;
use folder::Folder;
use served::{Seedbed, command, ctl};
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Output, Stdio};

/// What was said and how it ended, without what may differ between two clusters.
fn said(output: &Output, [url, peer_url]: &[String; 2]) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace(url, "URL").replace(peer_url, "PEER");
    // etcdctl 3.4 writes a line of its client's log, with the time, before an error.
    let errors = text(&output.stderr);
    let errors: Vec<&str> = errors.lines().filter(|line| !line.starts_with("{\"level\"")).collect();
    let all = format!("{}{}\n{}", text(&output.stdout), errors.join("\n"), output.status);
    without_ids(&all)
}

/// What stands before numbers that differ between two clusters, or two versions.
const NUMBERS: &[&str] = &[
    "\"raft_term\":",
    "\"raftTerm\":",
    "\"raftIndex\":",
    "\"raftAppliedIndex\":",
    "\"dbSize\":",
    "\"dbSizeInUse\":",
    "\"version\":\"3.4.",
    "\"Version\" : \"3.4.",
    "\"DBSize\" : ",
    "\"RaftIndex\" : ",
    "\"RaftTerm\" : ",
    "\"RaftAppliedIndex\" : ",
];

/// Long numbers, decimal or hexadecimal, are ids; terms and durations differ as well.
fn without_ids(text: &str) -> String {
    let mut words = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let run = rest.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(rest.len());
        let (word, after) = rest.split_at(if run == 0 { c.len_utf8() } else { run });
        if run >= 10 {
            // etcdctl sets some ids in 16 columns, and one in sixteen has fewer digits.
            let padded = words.trim_end_matches(' ').len();
            words.truncate(words.len().min(padded + 1));
            words.push_str("ID");
        } else {
            words.push_str(word);
        }
        rest = after;
    }
    let mut lines = Vec::new();
    for line in words.lines() {
        let mut line = line.to_owned();
        for name in NUMBERS {
            if let Some(at) = line.find(name) {
                let from = at + name.len();
                let digits = line[from..].find(|c: char| !c.is_ascii_digit()).unwrap_or(line.len() - from);
                line.replace_range(from..from + digits, "N");
            }
        }
        for took in ["took = ", "\"took\":"] {
            line.truncate(line.find(took).unwrap_or(line.len()));
        }
        lines.push(line);
    }
    lines.join("\n")
}

/// Members come in the order of their ids, which are hashes of addresses and of the time: it says nothing.
fn sorted(text: &str) -> String {
    let mut words: Vec<&str> = text.split(['\n', ',', '"', '{', '}', '[', ']']).collect();
    words.sort_unstable();
    words.join("\n")
}

/// Commands, each with what it reads from stdin. `LEASE` stands for the lease that was granted last, `MEMBER` for the
/// member that was added last.
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
    ("get --prefix '' --sort-by VERSION --order ASCEND", ""),
    ("get --prefix '' --sort-by CREATE --order DESCEND --limit 1 -w json", ""),
    ("get --prefix '' --sort-by MODIFY --order DESCEND", ""),
    ("get --prefix '' --sort-by VALUE", ""),
    ("get --prefix '' --sort-by NONE --keys-only -w json", ""),
    ("get a --consistency s --hex", ""),
    ("get a --consistency l -w fields", ""),
    ("get a -w protobuf --consistency x", ""),
    ("get a c --prefix", ""),
    ("get a --from-key --prefix", ""),
    ("get", ""),
    ("put fromstdin", "a value"),
    ("put b y --prev-kv -w json", ""),
    ("put b --ignore-value --prev-kv -w fields", ""),
    ("put b z --ignore-value", ""),
    ("put b z --ignore-lease", ""),
    ("put none z --ignore-lease", ""),
    ("put b z --lease 1234", ""),
    ("put '' z", ""),
    ("del fromstdin -w fields", ""),
    ("txn -w json", "value(\"b\") = \"z\"\n\nput c 1\nget c\ndel c\ndel c\nget b\n\n\n"),
    ("txn -w json", "value(\"b\") = \"q\"\n\n\nget b\ndel none\nput c 2\n\n"),
    ("txn -w json", "\n\nget b\nget none\n\n\n"),
    ("txn -w fields", "ver(\"b\") > \"0\"\ncreate(\"a\") < \"9\"\nlease(\"a\") = \"0\"\n\nput c 3 --prev-kv\n\n\n"),
    ("txn -i", "val(\"c\") = \"3\"\n\nget c\n\n\n"),
    ("txn", "sense(\"c\")\n\n"),
    ("txn", "value(\"a\") = \"2\"\n\nput c yes\nget a\n\nput c no\n\n"),
    ("txn", "mod(\"a\") = \"1\"\n\nput c yes\n\nget c\ndel c\n\n"),
    ("txn", "\n\nput d 1\nput d 2\n\n\n"),
    ("del c --prev-kv", ""),
    ("del c", ""),
    ("del --prefix none -w json", ""),
    ("put d1 1", ""),
    ("put d2 1", ""),
    ("put d3 1", ""),
    ("put d4 1", ""),
    ("del d1 d2 --prev-kv -w json", ""),
    ("del d2 --prefix --prev-kv", ""),
    ("del d3 --from-key -w json", ""),
    ("endpoint hashkv", ""),
    ("endpoint hashkv --rev 3", ""),
    ("compaction 4", ""),
    ("compaction 4", ""),
    ("compaction 400", ""),
    ("compaction 5 --physical", ""),
    ("endpoint hashkv --rev 4", ""),
    ("endpoint hashkv --rev 400", ""),
    ("get a --rev 2", ""),
    ("endpoint hashkv", ""),
    ("lease grant 600", ""),
    ("lease timetolive LEASE --keys", ""),
    ("put leased 1 --lease LEASE", ""),
    ("lease timetolive LEASE --keys -w json", ""),
    ("lease keep-alive LEASE --once", ""),
    ("lease list", ""),
    ("lease list -w json", ""),
    ("lease keep-alive LEASE --once -w json", ""),
    ("lease revoke LEASE", ""),
    ("get leased -w json", ""),
    ("lease revoke LEASE", ""),
    ("lease timetolive LEASE", ""),
    ("lease keep-alive LEASE --once", ""),
    ("put leased 1 --lease LEASE", ""),
    ("lease grant 10000000000", ""),
    ("lease grant 0", ""),
    ("lease grant -1", ""),
    ("lease grant 60 -w json", ""),
    ("lease timetolive 7fffffff -w json", ""),
    ("lock mutex echo held", ""),
    ("alarm list", ""),
    ("alarm disarm", ""),
    ("defrag", ""),
    ("endpoint health", ""),
    ("endpoint health -w json", ""),
    ("endpoint status -w json", ""),
    ("endpoint status -w fields", ""),
    ("member list", ""),
    ("member list -w json", ""),
    ("member add learner --learner --peer-urls http://127.0.0.1:9", ""),
    ("member add learner --learner --peer-urls http://127.0.0.1:9", ""),
    ("member add second --learner --peer-urls http://127.0.0.1:8", ""),
    ("member list -w fields", ""),
    ("member promote MEMBER", ""),
    ("member list", ""),
    ("member remove MEMBER", ""),
    ("member remove MEMBER", ""),
    ("member remove 1", ""),
    ("member update 1 --peer-urls http://localhost:1", ""),
    ("member promote 1", ""),
    ("move-leader 1", ""),
    ("role add reader", ""),
    ("role add reader", ""),
    ("role grant-permission reader read a", ""),
    ("role grant-permission reader readwrite k --prefix", ""),
    ("role grant-permission none read a", ""),
    ("role grant-permission reader write from --from-key", ""),
    ("role grant-permission reader read range1 range2", ""),
    ("role get reader", ""),
    ("role get reader -w json", ""),
    ("role get none", ""),
    ("role revoke-permission reader from --from-key", ""),
    ("role revoke-permission reader range1 range2", ""),
    ("role revoke-permission reader none", ""),
    ("role revoke-permission reader k --prefix", ""),
    ("role grant-permission reader readwrite k --prefix", ""),
    ("role list", ""),
    ("role list -w json", ""),
    ("user add root:secret", ""),
    ("user add alice:wonder", ""),
    ("user add alice:wonder", ""),
    ("user grant-role alice reader", ""),
    ("user grant-role bob reader", ""),
    ("user get alice", ""),
    ("user get alice --detail", ""),
    ("user get alice -w json", ""),
    ("user get none", ""),
    ("user add bob --interactive=false", "builder\n"),
    ("user passwd bob --interactive=false", "built\n"),
    ("user passwd none --interactive=false", "built\n"),
    ("user add carol --no-password", ""),
    ("user revoke-role bob reader", ""),
    ("user delete bob", ""),
    ("user delete bob", ""),
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
    ("defrag --user alice:wonder", ""),
    ("endpoint hashkv --user alice:wonder", ""),
    ("endpoint status -w json --user alice:wonder", ""),
    ("alarm list --user alice:wonder", ""),
    ("alarm disarm --user alice:wonder", ""),
    ("member list --user alice:wonder", ""),
    ("member remove 1 --user alice:wonder", ""),
    ("member remove 1", ""),
    ("member add other --learner --peer-urls http://127.0.0.1:9 --user alice:wonder", ""),
    ("lease grant 60 --user alice:wonder", ""),
    ("lease list --user alice:wonder", ""),
    ("lease revoke LEASE --user alice:wonder", ""),
    ("compaction 6 --user alice:wonder", ""),
    ("watch b --user alice:wonder", ""),
    ("txn --user alice:wonder", "\n\nput b 1\n\n\n"),
    ("get a --user carol:none", ""),
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

/// What commands gave names to.
#[derive(Default)]
struct Names {
    lease: String,
    member: String,
}

impl Names {
    fn words(&self, line: &str) -> Vec<String> {
        let word = |word: &str| word.replace("LEASE", &self.lease).replace("MEMBER", &self.member);
        line.split(' ').map(|text| if text == "''" { String::new() } else { word(text) }).collect()
    }

    fn hear(&mut self, output: &Output) {
        let said = String::from_utf8_lossy(&output.stdout);
        if let Some((id, _)) = said.strip_prefix("lease ").and_then(|said| said.split_once(" granted")) {
            self.lease = id.to_owned();
        }
        if let Some((id, _)) = said.strip_prefix("Member ").and_then(|said| said.split_once(" added")) {
            self.member = id.trim().to_owned();
        }
    }
}

#[test]
fn an_id_of_fifteen_digits_is_an_id_as_any_other() {
    let of = |id: &str| without_ids(&format!("Member {id:>16} added to cluster {id}\n{id}: {id}"));
    assert_eq!(of("fedcba9876543210"), "Member ID added to cluster ID\nID: ID");
    assert_eq!(of("edcba9876543210"), of("fedcba9876543210"));
    assert_eq!(of("dcba9876543210"), of("fedcba9876543210"));
    assert_ne!(without_ids("a  b fedcba9876543210"), without_ids("a b fedcba9876543210"));
}

#[test]
fn etcdctl_is_answered_as_by_etcd() {
    let Some(tools) = tools() else { return };
    let folder = Folder::new();
    let mut theirs = tools.etcd("default", folder.path("theirs"));
    theirs.start();
    let [address] = tools.addresses(1).try_into().expect("one was asked for");
    let ours = Seedbed::start(&folder, &address);
    let urls = [[theirs.client_url(), theirs.peer_url()], [ours.url.clone(), "http://localhost:2380".to_owned()]];
    let mut names = [Names::default(), Names::default()];
    let mut different = Vec::new();
    for (line, input) in COMMANDS {
        let answers: Vec<String> = (0..2)
            .map(|n| {
                let args = names[n].words(line);
                let output = ctl(&urls[n][0], &args.iter().map(String::as_str).collect::<Vec<_>>(), input);
                names[n].hear(&output);
                let said = said(&output, &urls[n]);
                if line.starts_with("member ") { sorted(&said) } else { said }
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
        let command = command.args(["serve", "--listen-peer-urls", "http://127.0.0.1:0"]);
        let output = command.args(args).output().expect("the binary runs");
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
