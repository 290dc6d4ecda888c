//! A member of ours in a process of its own, and a client that speaks plain HTTP.

#![allow(dead_code, reason = "each test binary uses its part")]

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long anything real may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// `seedbed serve`. It ends with the value.
pub(crate) struct Serving {
    pub(crate) process: Child,
    log: String,
}

impl Serving {
    /// Starts it with these arguments; stderr goes into a file.
    pub(crate) fn start(log: String, args: &[&str]) -> Serving {
        let stderr = File::create(&log).expect("writable");
        let mut command = Command::new(env!("CARGO_BIN_EXE_seedbed"));
        command.env("ETCD_LISTEN_PEER_URLS", "http://127.0.0.1:0");
        let process = command.arg("serve").args(args).stderr(stderr).spawn().expect("the binary runs");
        Serving { process, log }
    }

    /// Starts it alone on a loopback address, and waits until it is well.
    pub(crate) fn healthy(log: String, data_dir: &str, address: &str) -> Serving {
        let url = format!("http://{address}");
        let args = ["--data-dir", data_dir, "--listen-client-urls", &url, "--advertise-client-urls", &url];
        let mut serving = Serving::start(log, &args);
        serving.wait_until(|| TcpStream::connect(address).is_ok() && get(address, "/health").status == 200);
        serving
    }

    /// Waits for something that is to come while it runs.
    pub(crate) fn wait_until(&mut self, is_so: impl Fn() -> bool) {
        let begun = Instant::now();
        while !is_so() {
            let ended = self.process.try_wait().expect("it is ours to wait for");
            assert!(ended.is_none(), "it ended: {ended:?}: {}", self.log());
            assert!(begun.elapsed() < PATIENCE, "it never comes: {}", self.log());
            sleep(Duration::from_millis(50));
        }
    }

    /// What it has said on stderr.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// An answer of HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| &value[..])
    }
}

pub(crate) fn get(address: &str, path: &str) -> Answer {
    ask(address, "GET", path, &[], "")
}

pub(crate) fn post(address: &str, path: &str, body: &str) -> Answer {
    ask(address, "POST", path, &[], body)
}

/// One request on a connection of its own.
pub(crate) fn ask(address: &str, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let mut connection = begin(address, method, path, headers, body);
    let mut bytes = Vec::new();
    connection.read_to_end(&mut bytes).expect("the server answers and closes");
    answer(&bytes)
}

/// Says a request, and leaves it to the caller to listen.
pub(crate) fn begin(address: &str, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> TcpStream {
    let mut connection = TcpStream::connect(address).expect("it listens");
    connection.set_read_timeout(Some(PATIENCE)).expect("a socket");
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
    connection.write_all(head.as_bytes()).expect("the server reads");
    connection
}

fn answer(bytes: &[u8]) -> Answer {
    let text = String::from_utf8_lossy(bytes).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("an answer of HTTP, not {text:?}"));
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok()).expect("a status");
    let header = |line: &str| line.split_once(": ").map(|(name, value)| (name.to_lowercase(), value.to_owned()));
    let headers: Vec<(String, String)> = lines.filter_map(header).collect();
    let chunked = headers.iter().any(|(name, value)| name == "transfer-encoding" && value == "chunked");
    Answer { status, headers, body: if chunked { unchunk(body) } else { body.to_owned() } }
}

fn unchunk(mut body: &str) -> String {
    let mut whole = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).expect("a size in hexadecimal");
        if size == 0 {
            // Trailers may follow.
            break;
        }
        whole.push_str(&rest[..size]);
        body = rest[size..].trim_start_matches("\r\n");
    }
    whole
}
