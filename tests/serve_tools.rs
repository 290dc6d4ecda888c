//! Commands of etcdctl that go on for a while, or work on files, beside `seedbed serve` and a real etcd: watch, elect,
//! make-mirror, snapshot.

#[path = "support/etcd.rs"]
mod etcd;
#[path = "support/folder.rs"]
mod folder;
#[path = "support/grpc.rs"]
mod grpc;
#[path = "support/served.rs"]
mod served;

use etcd::{Etcd, Tools, tools};
use folder::Folder;
use grpc::{Answer, Client};
use seedbed::pb::etcdserverpb::{PutRequest, PutResponse};
use served::{PATIENCE, Seedbed, command, ctl};
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// After so long without a line there is nothing more to come.
const A_WHILE: Duration = Duration::from_secs(1);

/// A real etcd and one of ours.
fn both(tools: &Tools, folder: &Folder) -> (Etcd, Seedbed) {
    let mut theirs = tools.etcd("default", folder.path("theirs"));
    theirs.start();
    let [address] = tools.addresses(1).try_into().expect("one was asked for");
    (theirs, Seedbed::start(folder, &address))
}

/// A command that goes on, and its lines. It ends with the value.
struct Going {
    child: Child,
    lines: Receiver<String>,
}

impl Going {
    fn start(url: &str, args: &[&str], input: &str) -> Going {
        let mut command = command(url, args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("etcdctl runs");
        child.stdin.as_mut().expect("it is piped").write_all(input.as_bytes()).expect("it reads");
        let stdout = BufReader::new(child.stdout.take().expect("it is piped"));
        let (tell, lines) = channel();
        std::thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| tell.send(line)));
        Going { child, lines }
    }

    /// The next line, and those that come until nothing comes for a while.
    fn take_all(&self) -> Vec<String> {
        let mut lines = self.take(1);
        while let Ok(line) = self.lines.recv_timeout(A_WHILE) {
            lines.push(without_ids(&line));
        }
        lines
    }

    /// The next lines.
    fn take(&self, lines: usize) -> Vec<String> {
        let next = |_| self.lines.recv_timeout(PATIENCE).expect("another line within 20 s");
        (0..lines).map(next).map(|line| without_ids(&line)).collect()
    }

    /// As Ctrl-C does.
    fn interrupt(&mut self) {
        let told = Command::new("kill").args(["-INT", &self.child.id().to_string()]).status();
        assert!(told.expect("kill runs").success());
        self.child.wait().expect("it is ours to wait for");
    }
}

impl Drop for Going {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Ids of clusters and leases are long numbers.
fn without_ids(line: &str) -> String {
    let is_id = |word: &str| word.len() >= 10 && word.chars().all(|c| c.is_ascii_hexdigit());
    let word = |word: &str| {
        let (bare, end) = word.split_at(word.trim_end_matches(|c: char| !c.is_ascii_alphanumeric()).len());
        if is_id(bare) { format!("ID{end}") } else { word.to_owned() }
    };
    line.split_inclusive(|c: char| !c.is_ascii_alphanumeric()).map(word).collect()
}

fn ok(url: &str, args: &[&str]) -> String {
    let output = ctl(url, args, "");
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn watches_with_every_flag_hear_the_same() {
    let Some(tools) = tools() else { return };
    let folder = Folder::new();
    let (theirs, ours) = both(&tools, &folder);
    let heard = [theirs.client_url(), ours.url.clone()].map(|url| {
        for args in [["put", "k1", "a"], ["put", "k2", "b"], ["put", "k1", "c"]] {
            ok(&url, &args);
        }
        ok(&url, &["del", "k2"]);
        let watches: [(&[&str], &str); 8] = [
            (&["watch", "k1", "--rev", "1"], ""),
            (&["watch", "k", "--prefix", "--rev", "2", "--prev-kv"], ""),
            (&["watch", "k1", "k3", "--rev", "3"], ""),
            (&["watch", "k", "--from-key", "--rev", "1", "-w", "json"], ""),
            (&["watch", "k", "--prefix", "--rev", "1", "-w", "fields"], ""),
            (&["watch", "k1", "--rev", "4", "--hex"], ""),
            (&["watch", "k1", "--rev", "1", "--", "sh", "-c", "env | grep ^ETCD_WATCH_ | sort"], ""),
            (&["watch", "-i"], "watch k1 --rev 1\nwatch k2 --rev 1\nprogress\n"),
        ];
        let heard = watches.map(|(args, input)| {
            let mut heard = Going::start(&url, args, input).take_all();
            if !input.is_empty() {
                // Two watches, in whichever order.
                heard.sort();
            }
            (args.join(" "), heard)
        });
        ok(&url, &["compaction", "4"]);
        let compacted = ctl(&url, &["watch", "k1", "--rev", "1"], "");
        (heard, String::from_utf8_lossy(&compacted.stderr).into_owned(), compacted.status.code())
    });
    for (theirs, ours) in heard[0].0.iter().zip(&heard[1].0) {
        assert_eq!(theirs, ours, "etcd's output is the left one");
    }
    assert_eq!((&heard[0].1, heard[0].2), (&heard[1].1, heard[1].2));
}

#[test]
fn elections_of_etcdctl_go_the_same_way() {
    let Some(tools) = tools() else { return };
    let folder = Folder::new();
    let (theirs, ours) = both(&tools, &folder);
    let heard = [theirs.client_url(), ours.url.clone()].map(|url| {
        let mut first = Going::start(&url, &["elect", "e", "one"], "");
        let mut heard = first.take(2);
        let listens = Going::start(&url, &["elect", "-l", "e"], "");
        heard.extend(listens.take(2));
        let second = Going::start(&url, &["elect", "e", "two"], "");
        while ok(&url, &["get", "--prefix", "e/", "--keys-only"]).lines().count() < 4 {}
        first.interrupt();
        heard.extend(second.take(2));
        heard.extend(listens.take(2));
        heard
    });
    assert_eq!(heard[0], heard[1], "etcd's output is the left one");
}

#[test]
fn a_mirror_is_made_in_both_directions() {
    let Some(tools) = tools() else { return };
    let folder = Folder::new();
    let (theirs, ours) = both(&tools, &folder);
    let theirs = theirs.client_url();
    for (from, to, name) in [(&ours.url, &theirs, "ours"), (&theirs, &ours.url, "theirs")] {
        (0..20).for_each(|n| drop(ok(from, &["put", &format!("{name}{n}"), "before"])));
        let _mirror = Going::start(from, &["make-mirror", "--prefix", name, to], "");
        (20..30).for_each(|n| drop(ok(from, &["put", &format!("{name}{n}"), "after"])));
        ok(from, &["del", &format!("{name}0")]);
        let all = |url: &str| ok(url, &["get", "--prefix", name]);
        let begun = Instant::now();
        while all(to) != all(from) {
            assert!(begun.elapsed() < PATIENCE, "{name}: {} is not {}", all(to), all(from));
        }
    }
}

#[test]
fn a_snapshot_is_saved_while_writes_go_on_and_restored() {
    let Some(tools) = tools() else { return };
    let folder = Folder::new();
    let [address, again] = tools.addresses(2).try_into().expect("two were asked for");
    let ours = Seedbed::start(&folder, &address);
    let (written, over) = (AtomicUsize::new(0), AtomicBool::new(false));
    let file = folder.path("saved.db");
    let before = std::thread::scope(|scope| {
        scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let client = Client::connect(&ours.url).await;
                while !over.load(Ordering::Relaxed) {
                    let n = written.load(Ordering::Relaxed);
                    let (key, value) = (format!("k{n:06}").into(), vec![b'v'; 2000].into());
                    let put = PutRequest { key, value, ..Default::default() };
                    let answer: Answer<PutResponse> = client.call("/etcdserverpb.KV/Put", &put).await;
                    answer.expect("it answers");
                    written.fetch_add(1, Ordering::Relaxed);
                }
            });
        });
        while written.load(Ordering::Relaxed) < 2000 {
            std::thread::yield_now();
        }
        let before = written.load(Ordering::Relaxed);
        ok(&ours.url, &["snapshot", "save", &file]);
        while written.load(Ordering::Relaxed) < before + 500 {
            std::thread::yield_now();
        }
        over.store(true, Ordering::Relaxed);
        before as i64
    });
    let status = tools.snapshot_status(&file);
    assert!(status.revision > before, "{} holds less than {before} keys", status.revision);
    let peer = format!("http://{again}");
    tools.snapshot_restore(&file, &folder.path("restored"), "m", &peer);
    let mut restored = tools.etcd("m", folder.path("restored")).with_peer_url(&peer);
    restored.start();
    let keys = restored.ask(&["get", "k", "--prefix", "--keys-only"])["count"].as_i64().expect("a count");
    assert_eq!(keys + 1, status.revision, "as many keys as puts, the first at revision 2");

    // What was cut short is noticed: the sum does not fit.
    let bytes = std::fs::read(&file).expect("it was saved");
    let cut = folder.file("cut.db", &bytes[..bytes.len() - 4096]);
    let refused = ctl(&ours.url, &["snapshot", "restore", &cut, "--data-dir", &folder.path("none")], "");
    assert!(!refused.status.success() && !folder.has("none/member/wal"), "{refused:?}");
}
