//! Debian's etcd and etcdctl as child processes.

use crate::cluster::{Cluster, Row};
use serde_json::Value;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

/// That the programs are there.
pub(crate) struct Tools;

/// The tools, or `None` and a line that says so.
pub(crate) fn available() -> Option<Tools> {
    let is_there = |program: &str, argument: &str| {
        let run = Command::new(program).arg(argument).stdout(Stdio::null()).stderr(Stdio::null()).status();
        run.is_ok_and(|status| status.success())
    };
    if is_there("etcd", "--version") && is_there("etcdctl", "version") {
        return Some(Tools);
    }
    assert!(
        std::env::var_os("SEEDBED_REQUIRE_ETCD").is_none(),
        "etcd and etcdctl are to be there: apt-get install etcd-server etcd-client"
    );
    eprintln!("skipped: etcd and etcdctl are not installed (Debian: apt-get install etcd-server etcd-client)");
    None
}

impl Tools {
    /// Free loopback ports.
    pub(crate) fn ports(&self, count: usize) -> Vec<u16> {
        // All are held until the last is known, so that they differ.
        let held: Vec<TcpListener> =
            (0..count).map(|_| TcpListener::bind("127.0.0.1:0").expect("a free port")).collect();
        held.iter().map(|listener| listener.local_addr().expect("its address").port()).collect()
    }

    pub(crate) fn snapshot_status(&self, file: &Path) -> Status {
        let file = file.to_str().expect("a path in UTF-8");
        let json = etcdctl(&["snapshot", "status", file, "-w", "json"]);
        let number = |key: &str| json[key].as_i64().expect("a number");
        Status { hash: number("hash") as u32, revision: number("revision"), total_size: number("totalSize") as u64 }
    }

    pub(crate) fn snapshot_restore(&self, file: &Path, to: &Path, cluster: &Cluster) {
        let peer = &cluster.peers[0];
        let run = Command::new("etcdctl")
            .env("ETCDCTL_API", "3")
            .args(["snapshot", "restore", file.to_str().expect("UTF-8"), "--data-dir", to.to_str().expect("UTF-8")])
            .args(["--name", &peer.name, "--initial-advertise-peer-urls", &peer.peer_urls[0]])
            .args(["--initial-cluster", &format!("{}={}", peer.name, peer.peer_urls[0])])
            .output()
            .expect("etcdctl runs");
        assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    }
}

/// What `etcdctl snapshot status` says.
pub(crate) struct Status {
    pub(crate) hash: u32,
    pub(crate) revision: i64,
    pub(crate) total_size: u64,
}

/// A folder of a test, emptied when it begins.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Folder {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("interop").join(name);
        if path.exists() {
            fs::remove_dir_all(&path).expect("an old folder can be removed");
        }
        fs::create_dir_all(&path).expect("a folder can be made");
        Folder(path)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.path(name).exists()
    }

    pub(crate) fn write(&self, name: &str, bytes: &[u8]) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("it lies in the folder")).expect("a folder can be made");
        fs::write(path, bytes).expect("a file can be written");
    }

    /// The files below `folder/member`, by their paths from `folder`.
    pub(crate) fn files(&self, folder: &str) -> Vec<(String, Vec<u8>)> {
        let root = self.path(folder);
        let mut files = Vec::new();
        for part in ["member/snap", "member/wal"] {
            for entry in fs::read_dir(root.join(part)).expect("a member's folder") {
                let path = entry.expect("an entry").path();
                let name = path.strip_prefix(&root).expect("it lies below").to_str().expect("UTF-8").to_owned();
                files.push((name, fs::read(&path).expect("a readable file")));
            }
        }
        files
    }
}

/// A running etcd. It ends with the value.
pub(crate) struct Etcd {
    process: Child,
    client_port: u16,
    pub(crate) peer_port: u16,
}

impl Etcd {
    /// One member on a directory that Seedbed wrote.
    pub(crate) fn start(tools: &Tools, folder: &Folder, cluster: &Cluster, member: usize) -> Etcd {
        let peer = &cluster.peers[member];
        let port = peer.peer_urls[0].rsplit_once(':').and_then(|(_, port)| port.parse().ok()).expect("a port");
        Etcd::spawn(&folder.path(&peer.name), &peer.name, tools.ports(1)[0], port)
    }

    /// One member on an empty directory.
    pub(crate) fn start_new(tools: &Tools, folder: &Folder) -> Etcd {
        let ports = tools.ports(2);
        Etcd::spawn(&folder.path("n1"), "n1", ports[0], ports[1])
    }

    fn spawn(dir: &Path, name: &str, client_port: u16, peer_port: u16) -> Etcd {
        let (client, peer) = (format!("http://127.0.0.1:{client_port}"), format!("http://127.0.0.1:{peer_port}"));
        let log = fs::File::create(dir.with_extension("log")).expect("a log file");
        let process = Command::new("etcd")
            .args(["--name", name, "--data-dir", dir.to_str().expect("UTF-8"), "--snapshot-count", "20"])
            .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
            .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
            .args(["--initial-cluster", &format!("{name}={peer}")])
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("etcd starts");
        Etcd { process, client_port, peer_port }
    }

    pub(crate) fn wait_until_healthy(&self) {
        for _ in 0..200 {
            let run = self.command(&["endpoint", "health"]).output().expect("etcdctl runs");
            if run.status.success() {
                return;
            }
            sleep(Duration::from_millis(100));
        }
        panic!("etcd on port {} is not healthy within 20 s; its log lies beside its directory", self.client_port);
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("etcdctl");
        command.env("ETCDCTL_API", "3").args(["--endpoints", &format!("http://127.0.0.1:{}", self.client_port)]);
        command.args(arguments);
        command
    }

    fn ask(&self, arguments: &[&str]) -> Value {
        json_of(self.command(arguments).args(["-w", "json"]))
    }

    pub(crate) fn put(&self, key: &str, value: &str) -> i64 {
        self.ask(&["put", key, value])["header"]["revision"].as_i64().expect("a revision")
    }

    pub(crate) fn revision(&self) -> i64 {
        self.ask(&["get", "none"])["header"]["revision"].as_i64().expect("a revision")
    }

    /// Everything that lives at a revision.
    pub(crate) fn keys_at(&self, revision: i64) -> Vec<Row> {
        let answer = self.ask(&["get", "", "--prefix", "--rev", &revision.to_string()]);
        let bytes = |value: &Value| base64(value.as_str().unwrap_or_default());
        let number = |value: &Value| value.as_i64().unwrap_or_default();
        let row = |kv: &Value| {
            let numbers = ["create_revision", "mod_revision", "version"].map(|name| number(&kv[name]));
            (bytes(&kv["key"]), bytes(&kv["value"]), numbers[0], numbers[1], numbers[2])
        };
        answer["kvs"].as_array().map(|kvs| kvs.iter().map(row).collect()).unwrap_or_default()
    }

    /// Hash and compact revision.
    pub(crate) fn hash_kv(&self, revision: i64) -> (u32, i64) {
        let answer = self.ask(&["endpoint", "hashkv", "--rev", &revision.to_string()]);
        let hash = &answer[0]["HashKV"];
        (hash["hash"].as_i64().expect("a hash") as u32, hash["compact_revision"].as_i64().unwrap_or_default())
    }

    /// Ends it as an operator does.
    pub(crate) fn stop(&mut self) {
        let id = self.process.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().expect("kill runs").success());
        self.process.wait().expect("it ends");
    }

    /// Ends it as a power cut would end the process.
    pub(crate) fn kill(&mut self) {
        self.process.kill().expect("it can be killed");
        self.process.wait().expect("it ends");
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Puts, overwrites, deletes and a compaction through a real etcd; at least revision 40 follows.
pub(crate) fn drive(etcd: &Etcd) {
    for n in 0..30 {
        etcd.put(&format!("k{:02}", n % 11), &format!("value-{n}-{}", "y".repeat(n * 13 % 200)));
    }
    etcd.ask(&["del", "k03"]);
    etcd.ask(&["del", "k05", "k08"]);
    assert!(etcd.command(&["compaction", "20"]).output().expect("etcdctl runs").status.success());
    for n in 30..45 {
        etcd.put(&format!("k{:02}", n % 11), &format!("value-{n}"));
    }
    // A compaction removes its records within milliseconds, and a batch is durable after 100 ms.
    sleep(Duration::from_millis(300));
}

fn etcdctl(arguments: &[&str]) -> Value {
    json_of(Command::new("etcdctl").env("ETCDCTL_API", "3").args(arguments))
}

fn json_of(command: &mut Command) -> Value {
    let run = command.output().expect("etcdctl runs");
    assert!(run.status.success(), "{command:?}: {}", String::from_utf8_lossy(&run.stderr));
    serde_json::from_slice(&run.stdout).expect("etcdctl prints JSON")
}

fn base64(text: &str) -> Vec<u8> {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut bytes = Vec::new();
    let (mut bits, mut held) = (0_u32, 0);
    for character in text.bytes().filter(|byte| *byte != b'=') {
        let value = ALPHABET.iter().position(|&known| known == character).expect("base64");
        bits = bits << 6 | value as u32;
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held) as u8);
        }
    }
    bytes
}
