//! Clusters of `seedbed serve`: members as processes, real sockets, real files, `kill -9`.
//!
//! The long one kills a random member under load and starts it again, 5 times; what its clients saw is judged by our
//! own checker. For 100 rounds:
//!
//! ```text
//! SEEDBED_ROUNDS=100 cargo test -p seedbed -p seedbed-sim --test serve_cluster -- --nocapture kill
//! ```
//!
//! With `SEEDBED_HISTORY=FILE` it leaves the history there, for `seedbed check`. How long clients wait for a put after
//! the leader's `kill -9`, beside a real etcd (20 rounds each, which takes two minutes):
//!
//! ```text
//! cargo test -p seedbed -p seedbed-sim --test serve_cluster -- --nocapture --ignored leaders
//! ```

#[path = "support/authority.rs"]
mod authority;
#[path = "support/etcd.rs"]
mod etcd;
#[path = "support/folder.rs"]
mod folder;
#[path = "support/members.rs"]
mod members;

use authority::Authority;
use folder::Folder;
use members::{Caller, Cluster, Failed, PATIENCE, Served, initial_cluster};
use seedbed::pb::etcdserverpb::{PutRequest, PutResponse};
use seedbed::serve::Client;
use seedbed_sim::check::Budget;
use seedbed_sim::check::foreign::{self, Format, Verdict};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A log so short that one that was down, or joins, is sent a whole database.
const SHORT_LOG: &[&str] = &["--snapshot-count", "100", "--experimental-snapshot-catchup-entries", "10"];

/// Waits until something is so.
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "it does not happen: {what}");
        sleep(Duration::from_millis(20));
    }
}

#[test]
fn members_know_each_other_by_certificates() {
    let (folder, authority) = (Folder::new(), Authority::new("an authority"));
    let ca = folder.file("ca.crt", &authority.certificate);
    let mut members: Vec<Served> = (1..=3).map(|n| Served::new(&folder, &format!("n{n}"))).collect();
    members.iter_mut().for_each(|member| member.peer = member.peer.replace("http://", "https://"));
    let initial = initial_cluster(&members);
    for member in &mut members {
        let (host, _) = member.peer["https://".len()..].rsplit_once(':').expect("it has a port");
        authority.sign(&folder, &member.name, host);
        let [cert, key] = ["crt", "key"].map(|end| folder.path(&format!("{}.{end}", member.name)));
        let tls = ["--peer-cert-file", &cert, "--peer-key-file", &key, "--peer-trusted-ca-file", &ca];
        let flags = [&["--initial-cluster", &initial, "--peer-client-cert-auth"], &tls[..]].concat();
        member.flags = flags.iter().map(ToString::to_string).collect();
        member.spawn();
    }
    let mut cluster = Cluster { folder, members };
    cluster.wait_until_healthy();
    // Nobody is answered who shows nothing.
    let peer = cluster.members[0].peer.replace("https://", "");
    let mut plain = TcpStream::connect(peer).expect("it listens");
    plain.write_all(b"GET /members HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").expect("it is connected");
    let mut said = Vec::new();
    let _ = plain.read_to_end(&mut said);
    assert!(!said.starts_with(b"HTTP"), "{:?}", String::from_utf8_lossy(&said));
    until("it says so", || cluster.members[0].log().contains("rejected connection from"));
}

#[test]
fn what_is_put_at_one_is_read_at_all() {
    let cluster = Cluster::start(3, &[]);
    let mut caller = Caller::new();
    for (n, url) in cluster.clients().iter().enumerate() {
        caller.put(url, "key", &n.to_string()).expect("it is acknowledged");
        for other in cluster.clients() {
            assert_eq!(caller.get(&other, "key").expect("it is answered"), n.to_string());
        }
    }
    let list = caller.members(&cluster.members[0].client).expect("it is answered");
    let mut told: Vec<&str> = list.members.iter().flat_map(|member| &member.client_urls).map(String::as_str).collect();
    told.sort_unstable();
    let mut expected = cluster.clients();
    expected.sort_unstable();
    assert_eq!(told, expected, "every member told the others where its clients are");
}

// ── kill -9 ──────────────────────────────────────────────────────────────────────────────────────────────────────────

/// What the clients saw, as events in EDN. The lock's order is the order of the events.
#[derive(Default)]
struct History {
    events: Mutex<String>,
    processes: AtomicU64,
}

impl History {
    fn event(&self, process: u64, kind: &str, f: &str, key: &str, value: Option<&str>) {
        let value = value.map_or_else(|| "nil".to_owned(), |value| format!("\"{value}\""));
        let line = format!("{{:process {process}, :type :{kind}, :f :{f}, :key \"{key}\", :value {value}}}\n");
        self.events.lock().expect("nobody panicked").push_str(&line);
    }

    /// A client that does not know what became of its call goes on under another number.
    fn process(&self) -> u64 {
        self.processes.fetch_add(1, Ordering::Relaxed)
    }

    fn read(&self, caller: &mut Caller, process: &mut u64, url: &str, key: &str) -> bool {
        self.event(*process, "invoke", "get", key, None);
        match caller.get(url, key) {
            Ok(value) => self.event(*process, "ok", "get", key, Some(&value)),
            Err(_) => {
                self.event(*process, "fail", "get", key, None);
                return false;
            }
        }
        true
    }

    fn write(&self, caller: &mut Caller, process: &mut u64, url: &str, key: &str, value: &str) -> bool {
        self.event(*process, "invoke", "put", key, Some(value));
        match caller.put(url, key, value) {
            Ok(_) => {
                self.event(*process, "ok", "put", key, Some(value));
                return true;
            }
            Err(Failed::NotMade) => self.event(*process, "fail", "put", key, Some(value)),
            Err(Failed::Unknown(_)) => {
                self.event(*process, "info", "put", key, Some(value));
                *process = self.process();
            }
        }
        false
    }
}

/// Small numbers that look random.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

const KEYS_A_ROUND: u64 = 4;

/// One client: reads and writes keys of the round through a member, and goes to the next when that fails.
fn client(n: u64, urls: &[String], history: &History, round: &AtomicU64, over: &AtomicBool) -> u64 {
    let (mut caller, mut dice, mut process) = (Caller::new(), Dice(n), history.process());
    let (mut at, mut writes, mut done) = (n as usize % urls.len(), 0, 0);
    while !over.load(Ordering::Relaxed) {
        let key = format!("{}-{}", round.load(Ordering::Relaxed), dice.below(KEYS_A_ROUND));
        let went_well = if dice.below(2) == 0 {
            writes += 1;
            history.write(&mut caller, &mut process, &urls[at], &key, &format!("{n}.{writes}"))
        } else {
            history.read(&mut caller, &mut process, &urls[at], &key)
        };
        done += u64::from(went_well);
        if !went_well {
            at = (at + 1) % urls.len();
            sleep(Duration::from_millis(20));
        }
        sleep(Duration::from_millis(dice.below(6)));
    }
    done
}

#[test]
fn kill_minus_nine_of_a_random_member_under_load_loses_nothing() {
    let rounds = std::env::var("SEEDBED_ROUNDS").map_or(5, |text| text.parse().expect("SEEDBED_ROUNDS is a number"));
    let seed = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_nanos() as u64;
    eprintln!("{rounds} rounds, seed {seed}");
    let mut cluster = Cluster::start(3, SHORT_LOG);
    let (urls, history, mut dice) = (cluster.clients(), History::default(), Dice(seed));
    let (round, over) = (AtomicU64::new(0), AtomicBool::new(false));
    let done: u64 = scope(|threads| {
        let clients: Vec<_> = (0..6)
            .map(|n| {
                let (urls, history, round, over) = (&urls, &history, &round, &over);
                threads.spawn(move || client(n, urls, history, round, over))
            })
            .collect();
        for number in 1..=rounds {
            sleep(Duration::from_millis(200 + dice.below(600)));
            let at = dice.below(3) as usize;
            cluster.members[at].kill();
            sleep(Duration::from_millis(dice.below(1_500)));
            cluster.members[at].spawn();
            cluster.wait_until_healthy();
            round.store(number, Ordering::Relaxed);
        }
        over.store(true, Ordering::Relaxed);
        clients.into_iter().map(|client| client.join().expect("no client panics")).sum()
    });
    let (mut caller, mut process) = (Caller::new(), history.process());
    for url in &urls {
        for key in (0..=rounds).flat_map(|round| (0..KEYS_A_ROUND).map(move |n| format!("{round}-{n}"))) {
            until("a read at the end", || history.read(&mut caller, &mut process, url, &key));
        }
    }
    let events = history.events.into_inner().expect("nobody panicked");
    if let Some(file) = std::env::var_os("SEEDBED_HISTORY") {
        std::fs::write(file, &events).expect("SEEDBED_HISTORY is a file that can be written");
    }
    let judgement = foreign::judge(events.as_bytes(), Format::Kv, Budget::default()).expect("it was just written");
    eprintln!("{done} operations went well; judged: {judgement:?}");
    if judgement.verdict != Verdict::Linearizable {
        let file = cluster.folder.file("history.edn", &events);
        panic!("{:?}: see {file}", judgement.verdict);
    }
    assert!(done > 20 * rounds, "there was load");
}

// ── Membership ───────────────────────────────────────────────────────────────────────────────────────────────────────

/// Adds a member's address, and starts it as one that joins.
fn join(cluster: &mut Cluster, is_learner: bool) -> u64 {
    let mut member = Served::new(&cluster.folder, &format!("n{}", cluster.members.len() + 1));
    let mut caller = Caller::new();
    let mut added = None;
    // Who was just started does not count as healthy yet.
    until("the member is added", || {
        let leader = cluster.leader().unwrap_or(0);
        added = caller.add(&cluster.members[leader].client, &member.peer, is_learner).ok();
        added.is_some()
    });
    let id = added.and_then(|added| added.member).expect("it is in the answer").id;
    let initial = format!("{},{}={}", initial_cluster(&cluster.members), member.name, member.peer);
    member.flags = ["--initial-cluster", &initial, "--initial-cluster-state", "existing"].map(str::to_owned).to_vec();
    member.spawn();
    cluster.members.push(member);
    id
}

#[test]
fn a_learner_joins_is_promoted_and_a_removed_one_stops() {
    let mut cluster = Cluster::start(3, SHORT_LOG);
    let mut caller = Caller::new();
    let first = cluster.members[0].client.clone();
    for n in 0..300 {
        caller.put(&first, &format!("k{n}"), &"v".repeat(1_000)).expect("it is acknowledged");
    }
    let learner = join(&mut cluster, true);
    // Whoever is asked, the leader answers.
    until("the learner has everything", || caller.promote(&first, learner).is_ok());
    cluster.wait_for(3);
    let fourth = cluster.members[3].client.clone();
    assert_eq!(caller.get(&fourth, "k299").expect("it is answered").len(), 1_000);
    let sent = |member: &Served| member.log().contains("a snapshot of");
    assert!(cluster.members.iter().any(sent), "the log was too short for the learner");
    let list = caller.members(&fourth).expect("it is answered");
    assert!(list.members.iter().all(|member| !member.name.is_empty() && !member.is_learner), "{list:?}");

    // A member that runs hears of its removal.
    caller.remove(&first, learner).expect("it is removed");
    assert_eq!(cluster.members[3].ends().code(), Some(2));
    assert!(cluster.members[3].log().contains("permanently removed"), "{}", cluster.members[3].log());

    // One that was down meanwhile is told when it comes back.
    let third = caller.status(&cluster.members[2].client).expect("it runs").header.expect("it has one").member_id;
    cluster.members[2].kill();
    until("the third is removed", || caller.remove(&first, third).is_ok());
    cluster.members[2].spawn();
    cluster.members[2].ends();
    assert!(cluster.members[2].log().contains("permanently removed"), "{}", cluster.members[2].log());
    caller.put(&first, "after", "1").expect("two of two serve");
}

#[test]
fn a_data_directory_knows_whose_it_is() {
    let mut cluster = Cluster::start(3, &[]);
    let before = Caller::new().status(&cluster.members[0].client).expect("it runs").header.expect("it has one");
    cluster.members[0].kill();
    // Other settings for a cluster that does not begin any more: they do not count.
    cluster.members[0].flags =
        ["--initial-cluster", "x=http://127.0.0.1:1", "--initial-cluster-token", "other"].map(str::to_owned).to_vec();
    cluster.members[0].spawn();
    cluster.wait_for(0);
    let after = Caller::new().status(&cluster.members[0].client).expect("it runs").header.expect("it has one");
    assert_eq!((before.member_id, before.cluster_id), (after.member_id, after.cluster_id));
}

#[test]
fn who_lost_its_data_does_not_begin_again_under_its_old_id() {
    let mut cluster = Cluster::start(3, &[]);
    let mut caller = Caller::new();
    until("all told their addresses", || {
        let list = caller.members(&cluster.members[0].client);
        list.is_ok_and(|list| list.members.iter().all(|member| !member.client_urls.is_empty()))
    });
    cluster.members[1].kill();
    std::fs::remove_dir_all(cluster.folder.path("n2")).expect("it is there");
    cluster.members[1].spawn();
    assert_eq!(cluster.members[1].ends().code(), Some(2));
    assert!(cluster.members[1].log().contains("has already been bootstrapped"), "{}", cluster.members[1].log());
}

// ── What goes wrong ──────────────────────────────────────────────────────────────────────────────────────────────────

#[test]
fn another_cluster_is_refused_and_told() {
    let cluster = Cluster::start(3, &[]);
    // The addresses are those of the cluster, the token is not.
    let mut stranger = Served::new(&cluster.folder, "n4");
    let initial = format!("{},n4={}", initial_cluster(&cluster.members), stranger.peer);
    stranger.flags = ["--initial-cluster", &initial, "--initial-cluster-token", "other"].map(str::to_owned).to_vec();
    stranger.spawn();
    until("the stranger is told", || stranger.log().contains("cluster ID mismatch"));
    until("the member says so", || cluster.members[0].log().contains("cluster ID mismatch"));
    assert!(stranger.is_up(), "it may still be set right");
    Caller::new().put(&cluster.members[0].client, "key", "1").expect("the cluster serves");
}

#[test]
fn garbage_on_the_port_for_peers_changes_nothing() {
    let mut cluster = Cluster::start(3, &[]);
    let address = cluster.members[0].peer.strip_prefix("http://").expect("a URL").to_owned();
    let say = |bytes: &[u8]| {
        let mut stream = TcpStream::connect(&address).expect("it listens");
        stream.set_read_timeout(Some(Duration::from_secs(2))).expect("a timeout");
        // It may have hung up.
        let _ = stream.write_all(bytes);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    };
    say(&[0; 100_000]);
    say(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 a client that speaks TLS");
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    say(&[preface, &b"\xff\xff\xff\x00\x00\x00\x00\x00\x01"[..], &[0; 1000]].concat());
    say(&[&preface[..], &[7; 50_000]].concat());
    assert!(say(b"GET /nothing HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").starts_with("HTTP/1.1 404"));
    let members = say(b"GET /members HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    assert!(members.contains("x-etcd-cluster-id") && members.contains("peerURLs"), "{members}");
    // A call without the headers that a peer sends, with a message of four gigabytes announced.
    let refused = Caller::new().call::<_, ()>(&cluster.members[0].peer, "/seedbed.Peer/Messages", 1_u64);
    let Err(Failed::Unknown(text)) = refused else { panic!("{refused:?}") };
    assert!(text.contains("header seedbed-protocol: a version is expected"), "{text}");
    let log = cluster.members[0].log();
    assert!(log.contains("says what no peer says"), "{log}");
    assert!(log.lines().count() < 20, "what comes often is not said often:\n{log}");
    assert!(cluster.members[0].is_up());
    cluster.wait_for(0);
}

#[test]
fn what_keeps_a_member_out_of_a_cluster_is_said() {
    let cluster = Cluster::start(1, &[]);
    let taken = cluster.members[0].peer.clone();
    let refused = |change: &dyn Fn(&mut Served), expected: &str| {
        let mut member = Served::new(&cluster.folder, "other");
        change(&mut member);
        let output = member.command().output().expect("the binary runs");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && error.contains(expected), "{expected}: {error}");
    };
    let flags = |member: &mut Served, flags: &[&str]| member.flags = flags.iter().map(ToString::to_string).collect();
    refused(&|member| member.peer.clone_from(&taken), "name another by --listen-peer-urls");
    refused(&|member| flags(member, &["--initial-cluster", "n1=http://127.0.0.1:1"]), "has no member \"other\"");
    refused(&|member| flags(member, &["--initial-cluster", "other=http://127.0.0.1:1"]), "they must be the same");
    refused(&|member| flags(member, &["--initial-cluster", "other"]), "a name and an address are expected");
    refused(
        &|member| {
            let initial = format!("other={},n1=http://127.0.0.1:1", member.peer);
            flags(member, &["--initial-cluster", &initial, "--initial-cluster-state", "existing"]);
        },
        "cannot fetch the cluster's members from any of the others: http://127.0.0.1:1",
    );
    refused(
        &|member| {
            let initial = format!("other={},n1={taken}", member.peer);
            flags(member, &["--initial-cluster", &initial, "--initial-cluster-state", "existing"]);
        },
        "has 1: http://",
    );
}

// ── Leaders ──────────────────────────────────────────────────────────────────────────────────────────────────────────

/// Puts through all of these members every few milliseconds, without waiting for those before, until one is acknowledged.
fn next_put(urls: &[String]) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let (mut clients, mut puts) = (Vec::new(), tokio::task::JoinSet::new());
        for url in urls {
            clients.push(Client::connect(url, None).await.expect("it serves"));
        }
        let mut ticks = tokio::time::interval(Duration::from_millis(10));
        loop {
            tokio::select! {
                _ = ticks.tick() => {
                    for client in &clients {
                        let mut client = client.clone();
                        puts.spawn(async move {
                            let put = PutRequest { key: "next".into(), value: "1".into(), ..PutRequest::default() };
                            client.ask::<_, PutResponse>("/etcdserverpb.KV/Put", put).await
                        });
                    }
                }
                Some(Ok(Ok(_))) = puts.join_next() => return,
            }
        }
    });
}

#[test]
fn a_leader_that_is_stopped_hands_on_first() {
    let mut cluster = Cluster::start(3, &["--election-timeout", "3000"]);
    let leader = cluster.leader().expect("there is one");
    let urls: Vec<String> = (0..3).filter(|at| *at != leader).map(|at| cluster.members[at].client.clone()).collect();
    let begun = Instant::now();
    cluster.members[leader].terminate();
    assert_eq!(cluster.members[leader].ends().code(), Some(0));
    next_put(&urls);
    assert!(begun.elapsed() < Duration::from_secs(3), "no election timeout was waited for: {:?}", begun.elapsed());
}

/// How long the cluster's clients wait for a put after the leader's death: `kill` and `leader` are told which member.
fn waits(
    urls: &[String],
    rounds: usize,
    leader: impl Fn() -> Option<usize>,
    mut kill: impl FnMut(usize),
    mut start: impl FnMut(usize),
) -> Vec<Duration> {
    let mut waits = Vec::new();
    for round in 0..rounds {
        // Kills fall at any moment between two heartbeats.
        sleep(Duration::from_millis(1_500 + 37 * round as u64));
        let mut at = leader();
        until("there is a leader", || {
            at = at.or_else(&leader);
            at.is_some()
        });
        let at = at.expect("it was waited for");
        let others: Vec<String> =
            urls.iter().enumerate().filter(|(n, _)| *n != at).map(|(_, url)| url.clone()).collect();
        let begun = Instant::now();
        kill(at);
        next_put(&others);
        waits.push(begun.elapsed());
        start(at);
    }
    waits.sort_unstable();
    waits
}

#[test]
#[ignore = "takes two minutes and measures; see the head of this file"]
fn leaders_that_are_killed_cost_clients_no_more_than_with_etcd() {
    let Some(tools) = etcd::tools() else { return };
    const ROUNDS: usize = 20;
    let cluster = Cluster::start(3, &[]);
    let urls = cluster.clients();
    let members = std::cell::RefCell::new(cluster);
    let ours = waits(
        &urls,
        ROUNDS,
        || members.borrow().leader(),
        |at| members.borrow_mut().members[at].kill(),
        |at| {
            members.borrow_mut().members[at].spawn();
            members.borrow_mut().wait_until_healthy();
        },
    );
    drop(members);
    let folder = folder::Folder::new();
    let mut theirs: Vec<etcd::Etcd> =
        (1..=3).map(|n| tools.etcd(&format!("e{n}"), folder.path(&format!("e{n}")))).collect();
    let initial: Vec<String> = (1..).zip(&theirs).map(|(n, etcd)| format!("e{n}={}", etcd.peer_url())).collect();
    theirs = theirs.into_iter().map(|etcd| etcd.with(&["--initial-cluster", &initial.join(",")])).collect();
    theirs.iter_mut().for_each(etcd::Etcd::spawn);
    theirs.iter_mut().for_each(etcd::Etcd::wait_until_healthy);
    let urls: Vec<String> = theirs.iter().map(etcd::Etcd::client_url).collect();
    let members = std::cell::RefCell::new(theirs);
    let theirs = waits(
        &urls,
        ROUNDS,
        || {
            let mut caller = Caller::new();
            urls.iter().position(|url| {
                let status = caller.status(url);
                status.is_ok_and(|status| status.header.is_some_and(|header| header.member_id == status.leader))
            })
        },
        |at| members.borrow_mut()[at].kill(),
        |at| {
            members.borrow_mut()[at].spawn();
            members.borrow_mut().iter_mut().for_each(etcd::Etcd::wait_until_healthy);
        },
    );
    for (name, waits) in [("seedbed", &ours), ("etcd", &theirs)] {
        eprintln!("{name}: median {:?}, worst {:?} of {waits:?}", waits[ROUNDS / 2], waits[ROUNDS - 1]);
    }
}

// ── Other commands ───────────────────────────────────────────────────────────────────────────────────────────────────

#[test]
fn etcdctl_is_answered_by_whichever_member() {
    let Some(_tools) = etcd::tools() else { return };
    let cluster = Cluster::start(3, &[]);
    let ctl = |url: &str, args: &[&str]| {
        let mut command = Command::new("etcdctl");
        let output = command.env("ETCDCTL_API", "3").args(["--endpoints", url]).args(args).output().expect("it runs");
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    for url in cluster.clients() {
        let granted = ctl(&url, &["lease", "grant", "100"]);
        let lease = granted.split_whitespace().nth(1).expect("lease ID granted");
        ctl(&url, &["put", "leased", "1", "--lease", lease]);
        assert!(ctl(&url, &["lease", "keep-alive", lease, "--once"]).contains("keepalived with TTL(100)"));
        assert!(ctl(&url, &["lease", "timetolive", lease, "--keys"]).contains("[leased]"));
        ctl(&url, &["lease", "revoke", lease]);
        assert_eq!(ctl(&url, &["get", "leased"]), "");
        assert_eq!(ctl(&url, &["lock", "mutex", "echo", "held"]), "held\n");
    }
    let all = cluster.clients().join(",");
    let hashes = ctl(&all, &["endpoint", "hashkv"]);
    let hashes: Vec<&str> = hashes.lines().filter_map(|line| line.split(", ").nth(1)).collect();
    assert!(hashes.len() == 3 && hashes.iter().all(|hash| *hash == hashes[0]), "{hashes:?}");
}

#[test]
fn one_command_runs_three_members() {
    let folder = folder::Folder::new();
    let ports = |n: u16| format!("{},{},{}", n, n + 1, n + 2);
    let base = 21_000 + (std::process::id() % 8_000) as u16;
    let mut command = Command::new(env!("CARGO_BIN_EXE_seedbed"));
    command.args(["cluster", "--data-dir", &folder.path("c"), "--client-ports", &ports(base)]);
    command.args(["--peer-ports", &ports(base + 3)]);
    let mut process = command.stdout(std::process::Stdio::piped()).spawn().expect("the binary runs");
    let mut caller = Caller::new();
    until("it serves", || caller.put(&format!("http://localhost:{base}"), "key", "1").is_ok());
    assert_eq!(caller.get(&format!("http://localhost:{}", base + 2), "key").expect("it is answered"), "1");
    sleep(Duration::from_secs(1));
    let killed = Command::new("kill").args(["-INT", &process.id().to_string()]).status().expect("kill runs");
    assert!(killed.success());
    let mut said = String::new();
    process.stdout.take().expect("it is piped").read_to_string(&mut said).expect("UTF-8");
    assert!(process.wait().expect("it is ours to wait for").success());
    assert!(said.contains("leads") && said.contains("revision 2"), "{said}");
}
