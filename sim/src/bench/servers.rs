//! A server that is measured: a process with a directory and addresses of its own.
//!
//! It is told by variables where to serve and where its data lies, which etcd and `seedbed serve` read alike.

use crate::client::{Channel, Endpoint, method};
use seedbed::pb::etcdserverpb::RangeRequest;
use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a start may take.
const START: Duration = Duration::from_secs(120);
/// How long a stop may take.
const STOP: Duration = Duration::from_secs(20);
/// Between two attempts to reach it.
const PAUSE: Duration = Duration::from_millis(5);

/// A free address. All of 127.0.0.0/8 is this machine on Linux, so the process has a host of its own there: a port that
/// is free on 127.0.0.1 may be some connection's before the server listens. Elsewhere that risk is taken.
fn address() -> Result<String, String> {
    let [_, a, b, c] = std::process::id().to_be_bytes();
    let own = TcpListener::bind((Ipv4Addr::new(127, 1 + a % 254, b, c), 0));
    let free = own.or_else(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)));
    let address = free.and_then(|listener| listener.local_addr());
    address.map(|address| address.to_string()).map_err(|error| format!("no free port: {error}"))
}

/// Starts a cluster of so many members on empty directories below `dir`, and waits until each of them serves.
pub(super) async fn start(command: &str, dir: &Path, name: &str, members: usize) -> Result<Vec<Server>, String> {
    let mut cluster = Vec::new();
    for member in 1..=members {
        let folder = dir.join(format!("seedbed-bench-{}-{name}-{member}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let (name, client) = (format!("m{member}"), address()?.parse()?);
        let (peer, initial) = (format!("http://{}", address()?), String::new());
        cluster.push(Server { command: command.to_owned(), folder, name, client, peer, initial, process: None });
    }
    let initial: Vec<_> = cluster.iter().map(|server| format!("{}={}", server.name, server.peer)).collect();
    for server in &mut cluster {
        server.initial = initial.join(",");
        server.spawn()?;
    }
    for server in &mut cluster {
        server.serves().await?;
    }
    Ok(cluster)
}

/// See the module. It ends with the value, and its data goes.
pub(super) struct Server {
    command: String,
    folder: PathBuf,
    name: String,
    client: Endpoint,
    peer: String,
    /// Name and peer of every member of its cluster.
    initial: String,
    process: Option<Child>,
}

impl Server {
    fn spawn(&mut self) -> Result<(), String> {
        let client = format!("http://{}", self.client);
        let mut words = self.command.split_whitespace();
        let program = words.next().ok_or("an empty command serves nobody")?;
        let log_path = self.log();
        let log = File::create(&log_path).map_err(|error| format!("{}: {error}", log_path.display()))?;
        let process = Command::new(program)
            .args(words)
            .env("ETCD_NAME", &self.name)
            .env("ETCD_DATA_DIR", self.folder.join("data"))
            .env("ETCD_LISTEN_CLIENT_URLS", &client)
            .env("ETCD_ADVERTISE_CLIENT_URLS", &client)
            .env("ETCD_LISTEN_PEER_URLS", &self.peer)
            .env("ETCD_INITIAL_ADVERTISE_PEER_URLS", &self.peer)
            .env("ETCD_INITIAL_CLUSTER", &self.initial)
            // 1 M keys fit into it, and 8 GiB is what etcd's authors advise at most.
            .env("ETCD_QUOTA_BACKEND_BYTES", (8_u64 << 30).to_string())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(|error| format!("{program}: {error}; install it, or name another by --other"))?;
        self.process = Some(process);
        Ok(())
    }

    /// Waits for its first linearizable read.
    async fn serves(&mut self) -> Result<(), String> {
        let began = Instant::now();
        while !self.answers().await {
            let ended = self.process.as_mut().and_then(|process| process.try_wait().ok().flatten());
            if ended.is_some() || began.elapsed() > START {
                let log = fs::read_to_string(self.log()).unwrap_or_default();
                let last = log.lines().rev().take(3).collect::<Vec<_>>().join("\n  ");
                return Err(format!("`{}` does not serve; its last words:\n  {last}", self.command));
            }
            tokio::time::sleep(PAUSE).await;
        }
        Ok(())
    }

    fn log(&self) -> PathBuf {
        self.folder.join("log")
    }

    async fn answers(&self) -> bool {
        let Ok(mut channel) = Channel::connect(&self.client).await else { return false };
        let read = RangeRequest { key: "a".into(), ..RangeRequest::default() };
        let read = tokio::time::timeout(STOP, channel.call(&method::RANGE, &read)).await;
        matches!(read, Ok(Ok(_)))
    }

    /// Stops the process as `kill -9` does, and starts it again; how long that takes, up to its first linearizable read.
    pub(super) async fn start_again(&mut self) -> Result<Duration, String> {
        self.kill();
        let began = Instant::now();
        self.spawn()?;
        self.serves().await?;
        Ok(began.elapsed())
    }

    /// Where it serves.
    pub(super) fn endpoint(&self) -> Endpoint {
        self.client.clone()
    }

    /// Bytes of memory that it holds now, where the system tells (Linux).
    pub(super) fn resident(&self) -> Option<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.as_ref()?.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(kib * 1024.0)
    }

    /// Seconds of CPU time that it took so far, where the system tells (Linux).
    pub(super) fn cpu_s(&self) -> Option<f64> {
        /// Linux counts in hundredths of a second, whatever the kernel's own tick is.
        const TICKS_A_SECOND: f64 = 100.0;
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.process.as_ref()?.id())).ok()?;
        // The second word is the program's name, in brackets, and may have blanks: user and system time are 14 and 15.
        let mut words = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
        let (user, system): (f64, f64) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        Some((user + system) / TICKS_A_SECOND)
    }

    fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            // It may have ended by itself.
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        let _ = fs::remove_dir_all(&self.folder);
    }
}
