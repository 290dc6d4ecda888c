//! A `seedbed serve` of a test's own, and etcdctl to talk to it.

#![allow(dead_code, reason = "each test binary uses its part")]

use crate::folder::Folder;
use std::io::Write as _;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long anything real may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A member of ours. It ends with the value.
pub(crate) struct Seedbed {
    pub(crate) url: String,
    pub(crate) process: Child,
}

impl Seedbed {
    pub(crate) fn start(folder: &Folder, address: &str) -> Seedbed {
        Seedbed::start_by(Command::new(env!("CARGO_BIN_EXE_seedbed")), folder, address)
    }

    /// By a command that ends in starting seedbed with the arguments that follow.
    pub(crate) fn start_by(mut command: Command, folder: &Folder, address: &str) -> Seedbed {
        let url = format!("http://{address}");
        command.args(["serve", "--data-dir", &folder.path("ours"), "--listen-client-urls", &url]);
        command.args(["--listen-peer-urls", "http://127.0.0.1:0"]);
        command.args(["--advertise-client-urls", &url]);
        let log = std::fs::File::create(folder.path("ours.log")).expect("writable");
        let process = command.stderr(log).spawn().expect("the binary runs");
        let mut member = Seedbed { url, process };
        let begun = Instant::now();
        while !is_healthy(address) {
            let ended = member.process.try_wait().expect("it is ours to wait for");
            assert!(ended.is_none() && begun.elapsed() < PATIENCE, "it does not serve: {ended:?}");
            sleep(Duration::from_millis(50));
        }
        member
    }

    /// `kill -9`, and again on the same directory.
    pub(crate) fn kill_and_start(mut self, folder: &Folder, address: &str) -> Seedbed {
        self.process.kill().expect("it runs");
        self.process.wait().expect("it is ours to wait for");
        Seedbed::start(folder, address)
    }

    /// Tells it to end, as Ctrl-C does, and waits.
    pub(crate) fn stop(&mut self) -> ExitStatus {
        let told = Command::new("kill").args(["-INT", &self.process.id().to_string()]).status();
        assert!(told.expect("kill runs").success());
        self.ended()
    }

    /// Waits for its end.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.process.try_wait().expect("it is ours to wait for") {
                return status;
            }
            assert!(begun.elapsed() < PATIENCE, "it does not end");
            sleep(Duration::from_millis(20));
        }
    }

    /// Memory that it holds now, in bytes.
    pub(crate) fn resident_bytes(&self) -> u64 {
        let path = format!("/proc/{}/status", self.process.id());
        let status = std::fs::read_to_string(path).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("Linux says so");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
    }
}

impl Drop for Seedbed {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Whether who listens there says that it is well.
fn is_healthy(address: &str) -> bool {
    use std::io::Read as _;
    let Ok(mut socket) = std::net::TcpStream::connect(address) else { return false };
    let request = format!("GET /health HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    let mut answer = String::new();
    let asked = socket.write_all(request.as_bytes()).and_then(|()| socket.read_to_string(&mut answer));
    asked.is_ok() && answer.starts_with("HTTP/1.1 200")
}

/// etcdctl with these arguments, not yet started.
pub(crate) fn command(url: &str, args: &[&str]) -> Command {
    let mut command = Command::new("etcdctl");
    command.env("ETCDCTL_API", "3").args(["--endpoints", url, "--command-timeout", "10s"]).args(args);
    command
}

/// What etcdctl says.
pub(crate) fn ctl(url: &str, args: &[&str], input: &str) -> Output {
    let mut command = command(url, args);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("etcdctl runs");
    // Who needs nothing may have ended before it is all there.
    let _ = child.stdin.take().expect("it is piped").write_all(input.as_bytes());
    child.wait_with_output().expect("etcdctl ends")
}
