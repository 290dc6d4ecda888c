//! Real etcd, where it is installed, and data directories that it wrote.
//!
//! A test that needs what is not there says so and passes: `let Some(etcd) = … else { return };`.

#![allow(dead_code, reason = "each test binary uses its part")]

use seedbed::disk::DiskRead as _;
use seedbed::disk_mem::MemDisk;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// How long anything real may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// An empty folder, gone with the test.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Folder {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("seedbed-etcd-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).expect("a folder can be made");
        Folder(path)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A file of the folder of other projects' files; `None` (and a word about it) if it is not there.
pub(crate) fn peers_file(name: &str) -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let peers = std::env::var_os("SEEDBED_PEERS").map_or_else(|| root.join("../shared/peers"), PathBuf::from);
    let file = peers.join(name);
    if file.exists() {
        return Some(file);
    }
    println!("skipped: {} is not there", file.display());
    None
}

/// Unpacks a `.tar.gz`.
pub(crate) fn unpack(archive: &Path, into: &Folder) {
    let status = Command::new("tar").arg("xzf").arg(archive).arg("-C").arg(&into.0).status().expect("tar runs");
    assert!(status.success(), "tar: {status}");
}

/// The files of a data directory.
pub(crate) fn load(data_dir: &Path) -> MemDisk {
    let mut disk = MemDisk::new();
    for folder in ["member/wal", "member/snap"] {
        for entry in fs::read_dir(data_dir.join(folder)).expect("a data directory") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().expect("a file").to_string_lossy().into_owned();
            disk.insert(&format!("{folder}/{name}"), fs::read(&path).expect("readable"));
        }
    }
    disk
}

/// Writes the files back, and removes those that are gone.
pub(crate) fn store(disk: &MemDisk, data_dir: &Path) {
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

/// One member of real etcd, alone in its cluster.
pub(crate) struct Etcd {
    data_dir: PathBuf,
    client: String,
    peer: String,
    flags: Vec<String>,
    child: Option<Child>,
}

impl Etcd {
    /// A member with this data directory, not yet started. `None` (and a word about it) where etcd is not installed.
    pub(crate) fn new(data_dir: PathBuf, flags: &[&str]) -> Option<Etcd> {
        for tool in ["etcd", "etcdctl"] {
            let found = Command::new(tool).arg("--help").stdout(Stdio::null()).stderr(Stdio::null()).status();
            if let Err(error) = found {
                assert!(std::env::var_os("SEEDBED_REQUIRE_ETCD").is_none(), "{tool} is to be installed: {error}");
                println!("skipped: {tool} is not installed: {error}");
                return None;
            }
        }
        // Both are held until both are known, so that they differ.
        let ports = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").expect("a loopback port"));
        let [client, peer] = ports.map(|port| format!("http://{}", port.local_addr().expect("it is bound")));
        let flags = flags.iter().map(ToString::to_string).collect();
        Some(Etcd { data_dir, client, peer, flags, child: None })
    }

    pub(crate) fn peer_url(&self) -> &str {
        &self.peer
    }

    pub(crate) fn client_url(&self) -> &str {
        &self.client
    }

    /// Starts it and waits until it serves.
    pub(crate) fn start(&mut self) {
        let log = fs::File::create(self.data_dir.with_extension("log")).expect("writable");
        let child = Command::new("etcd")
            .args(["--name", "s1", "--logger", "zap"])
            .arg("--data-dir")
            .arg(&self.data_dir)
            .args(["--listen-client-urls", &self.client, "--advertise-client-urls", &self.client])
            .args(["--listen-peer-urls", &self.peer, "--initial-advertise-peer-urls", &self.peer])
            .args(["--initial-cluster", &format!("s1={}", self.peer)])
            .args(&self.flags)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("etcd starts");
        self.child = Some(child);
        let begun = Instant::now();
        while !self.try_ctl(&["endpoint", "health"]).status.success() {
            let ended = self.child.as_mut().expect("started").try_wait().expect("a child can be asked");
            let log = || fs::read_to_string(self.data_dir.with_extension("log")).unwrap_or_default();
            assert!(ended.is_none(), "etcd refuses: {}", log());
            assert!(begun.elapsed() < PATIENCE, "etcd does not serve: {}", log());
        }
    }

    fn try_ctl(&self, args: &[&str]) -> Output {
        let mut command = Command::new("etcdctl");
        command.env("ETCDCTL_API", "3").args(["--endpoints", &self.client, "--command-timeout", "2s"]).args(args);
        command.output().expect("etcdctl runs")
    }

    /// A put in a process of its own: its success is the acknowledgement.
    pub(crate) fn spawn_put(&self, key: &str) -> Child {
        let mut command = Command::new("etcdctl");
        command.env("ETCDCTL_API", "3").args(["--endpoints", &self.client, "put", key, "value"]);
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("etcdctl runs")
    }

    /// What `etcdctl` prints.
    pub(crate) fn ctl(&self, args: &[&str]) -> String {
        let Output { status, stdout, stderr } = self.try_ctl(args);
        assert!(status.success(), "etcdctl {args:?}: {}", String::from_utf8_lossy(&stderr));
        String::from_utf8(stdout).expect("UTF-8")
    }

    /// As `kill -9` does.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// As an operator does.
    pub(crate) fn stop(&mut self) {
        let child = self.child.as_mut().expect("it runs");
        let status = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().expect("kill runs");
        assert!(status.success());
        let begun = Instant::now();
        while child.try_wait().expect("a child can be asked").is_none() {
            assert!(begun.elapsed() < PATIENCE, "etcd does not stop");
            std::thread::sleep(Duration::from_millis(20));
        }
        self.child = None;
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        self.kill();
    }
}
