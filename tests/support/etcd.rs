//! Real etcd, where it is installed, and data directories that it wrote.
//!
//! A test that needs what is not there says so and passes: `let Some(tools) = tools() else { return };`. With
//! `SEEDBED_REQUIRE_ETCD` set it fails instead where etcd is missing, so that a build that means to run it does.

#![allow(dead_code, reason = "each test binary uses its part")]

use prost::Message as _;
use seedbed::disk::DiskRead as _;
use seedbed::disk_mem::MemDisk;
use seedbed::pb::etcdserverpb::RangeResponse;
use seedbed::pb::mvccpb::KeyValue;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long anything real may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long to wait before asking again.
const PAUSE: Duration = Duration::from_millis(20);

/// A data directory that an etcd 3.4 wrote in a long life: unpacked into `folder`, where it has this path. `None` (and a
/// word about it) where the folder of other projects' files is not.
pub(crate) fn long_life(folder: &Path) -> Option<PathBuf> {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = package.ancestors().find(|dir| dir.join("Cargo.lock").exists()).expect("a package lies in a workspace");
    let peers = std::env::var_os("SEEDBED_PEERS").map_or_else(|| root.join("../shared/peers"), PathBuf::from);
    let archive = peers.join("files/etcd-3.4.23-data-dir.tar.gz");
    if !archive.exists() {
        eprintln!("skipped: {} is not there; SEEDBED_PEERS names the folder that has it", archive.display());
        return None;
    }
    let status = Command::new("tar").arg("xzf").arg(&archive).arg("-C").arg(folder).status().expect("tar runs");
    assert!(status.success(), "tar: {status}");
    Some(folder.join("dfmt"))
}

/// The files of a data directory.
pub(crate) fn load(data_dir: impl AsRef<Path>) -> MemDisk {
    let mut disk = MemDisk::new();
    for folder in ["member/wal", "member/snap"] {
        for entry in fs::read_dir(data_dir.as_ref().join(folder)).expect("a data directory") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().expect("a file").to_string_lossy().into_owned();
            disk.insert(&format!("{folder}/{name}"), fs::read(&path).expect("readable"));
        }
    }
    disk
}

/// Writes the files back, and removes those that are gone.
pub(crate) fn store(disk: &MemDisk, data_dir: impl AsRef<Path>) {
    let data_dir = data_dir.as_ref();
    for folder in ["member/wal", "member/snap"] {
        let path = data_dir.join(folder);
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("a folder can be made");
        set_mode(&path, 0o700);
        for file in disk.list(folder) {
            fs::write(data_dir.join(&*file), disk.file(&file).expect("listed")).expect("writable");
            set_mode(&data_dir.join(&*file), 0o600);
        }
    }
    set_mode(data_dir, 0o700);
}

fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("modes can be set");
}

/// That etcd and etcdctl are there.
pub(crate) struct Tools(());

/// The tools. `None` (and a word about it) where they are not installed.
pub(crate) fn tools() -> Option<Tools> {
    for tool in ["etcd", "etcdctl"] {
        let found = Command::new(tool).arg("--help").stdout(Stdio::null()).stderr(Stdio::null()).status();
        if let Err(error) = found {
            assert!(std::env::var_os("SEEDBED_REQUIRE_ETCD").is_none(), "{tool} is to be installed: {error}");
            eprintln!("skipped: {tool} is not installed (Debian: etcd-server, etcd-client): {error}");
            return None;
        }
    }
    Some(Tools(()))
}

/// Free loopback addresses. All of 127.0.0.0/8 is this machine: each process has a host of its own there, and ports
/// below those that connections are given. (A port that was free on 127.0.0.1 can be taken before etcd listens.)
pub(crate) fn addresses(count: usize) -> Vec<String> {
    static NEXT_PORT: AtomicU16 = AtomicU16::new(20_000);
    let [_, a, b, c] = std::process::id().to_be_bytes();
    let port = || NEXT_PORT.fetch_add(1, Ordering::Relaxed);
    (0..count).map(|_| format!("127.{}.{b}.{c}:{}", 1 + a % 254, port())).collect()
}

impl Tools {
    /// See [`addresses`].
    pub(crate) fn addresses(&self, count: usize) -> Vec<String> {
        addresses(count)
    }

    /// A member with this data directory, not yet started: alone in its cluster, unless the directory knows better.
    pub(crate) fn etcd(&self, name: &str, data_dir: impl Into<PathBuf>) -> Etcd {
        let [client, peer] = self.addresses(2).try_into().expect("two were asked for");
        let (name, data_dir) = (name.to_owned(), data_dir.into());
        Etcd { name, data_dir, client, peer, flags: Vec::new(), process: None }
    }

    /// What `etcdctl snapshot status` says of a file.
    pub(crate) fn snapshot_status(&self, file: &str) -> Status {
        let json = json(&output(etcdctl().args(["snapshot", "status", file, "-w", "json"])));
        let number = |key: &str| json[key].as_i64().expect("a number");
        Status { hash: number("hash") as u32, revision: number("revision"), total_size: number("totalSize") as u64 }
    }

    /// Has `etcdctl` make the data directory of a member, alone in its cluster, from a snapshot.
    pub(crate) fn snapshot_restore(&self, file: &str, data_dir: &str, name: &str, peer_url: &str) {
        let mut command = etcdctl();
        command.args(["snapshot", "restore", file, "--data-dir", data_dir, "--name", name]);
        command.args(["--initial-advertise-peer-urls", peer_url]);
        output(command.args(["--initial-cluster", &format!("{name}={peer_url}")]));
    }
}

/// See [`Tools::snapshot_status`].
pub(crate) struct Status {
    pub(crate) hash: u32,
    pub(crate) revision: i64,
    pub(crate) total_size: u64,
}

/// One member of real etcd. It ends with the value.
pub(crate) struct Etcd {
    name: String,
    data_dir: PathBuf,
    client: String,
    peer: String,
    flags: Vec<String>,
    process: Option<Child>,
}

impl Etcd {
    /// With these flags besides its name, directory and addresses.
    pub(crate) fn with(mut self, flags: &[&str]) -> Etcd {
        self.flags.extend(flags.iter().map(ToString::to_string));
        self
    }

    /// With a peer address that others know already.
    pub(crate) fn with_peer_url(mut self, url: &str) -> Etcd {
        self.peer = url.strip_prefix("http://").expect("an address").to_owned();
        self
    }

    pub(crate) fn client_url(&self) -> String {
        format!("http://{}", self.client)
    }

    /// The running process.
    pub(crate) fn process_id(&self) -> u32 {
        self.process.as_ref().expect("it was started").id()
    }

    pub(crate) fn peer_url(&self) -> String {
        format!("http://{}", self.peer)
    }

    /// Starts it, and waits until it serves.
    pub(crate) fn start(&mut self) {
        self.spawn();
        self.wait_until_healthy();
    }

    /// Starts it. One of several members serves only when most of them run.
    pub(crate) fn spawn(&mut self) {
        let (client, peer) = (self.client_url(), self.peer_url());
        let log = fs::File::create(self.log_file()).expect("writable");
        let process = Command::new("etcd")
            .args(["--name", &self.name, "--logger", "zap"])
            .arg("--data-dir")
            .arg(&self.data_dir)
            .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
            .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
            .args(["--initial-cluster", &format!("{}={peer}", self.name)])
            .args(&self.flags)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("etcd starts");
        self.process = Some(process);
    }

    pub(crate) fn wait_until_healthy(&mut self) {
        let log = |etcd: &Etcd| fs::read_to_string(etcd.log_file()).unwrap_or_default();
        let begun = Instant::now();
        loop {
            let asked = self.etcdctl(&["endpoint", "health", "--command-timeout", "2s"]).output();
            if asked.expect("etcdctl runs").status.success() {
                return;
            }
            let ended = self.process.as_mut().expect("it was started").try_wait().expect("a child can be asked");
            assert!(ended.is_none(), "etcd refuses: {}", log(self));
            assert!(begun.elapsed() < PATIENCE, "etcd does not serve: {}", log(self));
            sleep(PAUSE);
        }
    }

    fn log_file(&self) -> PathBuf {
        self.data_dir.with_extension("log")
    }

    fn etcdctl(&self, args: &[&str]) -> Command {
        let mut command = etcdctl();
        command.args(["--endpoints", &self.client_url()]).args(args);
        command
    }

    /// What `etcdctl` prints.
    pub(crate) fn ctl(&self, args: &[&str]) -> String {
        String::from_utf8(output(&mut self.etcdctl(args))).expect("UTF-8")
    }

    /// The same, as JSON.
    pub(crate) fn ask(&self, args: &[&str]) -> Value {
        json(&output(self.etcdctl(args).args(["-w", "json"])))
    }

    /// Puts, and tells the revision.
    pub(crate) fn put(&self, key: &str, value: &str) -> i64 {
        self.ask(&["put", key, value])["header"]["revision"].as_i64().expect("a revision")
    }

    /// A put in a process of its own: its success is the acknowledgement.
    pub(crate) fn spawn_put(&self, key: &str) -> Child {
        let mut command = self.etcdctl(&["put", key, "value"]);
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("etcdctl runs")
    }

    pub(crate) fn revision(&self) -> i64 {
        self.ask(&["get", "none"])["header"]["revision"].as_i64().expect("a revision")
    }

    /// Everything that lives at a revision.
    pub(crate) fn keys_at(&self, revision: i64) -> Vec<KeyValue> {
        let args = ["get", "", "--prefix", "--rev", &revision.to_string(), "-w", "protobuf"];
        RangeResponse::decode(&output(&mut self.etcdctl(&args))[..]).expect("protobuf").kvs
    }

    /// Hash and compact revision.
    pub(crate) fn hash_kv(&self, revision: i64) -> (u32, i64) {
        let answer = self.ask(&["endpoint", "hashkv", "--rev", &revision.to_string()]);
        let hash = &answer[0]["HashKV"];
        (hash["hash"].as_i64().expect("a hash") as u32, hash["compact_revision"].as_i64().unwrap_or_default())
    }

    /// As `kill -9` does.
    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// As an operator does.
    pub(crate) fn stop(&mut self) {
        let process = self.process.as_mut().expect("it runs");
        let status = Command::new("kill").args(["-TERM", &process.id().to_string()]).status().expect("kill runs");
        assert!(status.success());
        let begun = Instant::now();
        while process.try_wait().expect("a child can be asked").is_none() {
            assert!(begun.elapsed() < PATIENCE, "etcd does not stop");
            sleep(PAUSE);
        }
        self.process = None;
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        self.kill();
    }
}

fn etcdctl() -> Command {
    let mut command = Command::new("etcdctl");
    command.env("ETCDCTL_API", "3");
    command
}

fn output(command: &mut Command) -> Vec<u8> {
    let Output { status, stdout, stderr } = command.output().expect("etcdctl runs");
    assert!(status.success(), "{command:?}: {}", String::from_utf8_lossy(&stderr));
    stdout
}

fn json(text: &[u8]) -> Value {
    serde_json::from_slice(text).expect("etcdctl prints JSON")
}
