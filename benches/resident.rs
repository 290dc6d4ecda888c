//! Memory: a million keys of 256 bytes in a member of ours and in a real etcd, each a process of its own.
//!
//! ```text
//! cargo bench --bench resident            # some minutes; wants Debian's etcd-server and etcd-client
//! cargo bench --bench resident -- --test  # a hundredth of it
//! ```
//!
//! What is asked: no more than etcd needs. Etcd is fed through its JSON gateway, ten puts a transaction, ours
//! through `step`; both on real files, alone in their clusters, with a snapshot every 10,000 entries. What counts is the resident set
//! (`VmRSS`), the anonymous part of it beside: etcd maps its file, so that pages of it count as resident.

#[path = "../tests/support/etcd.rs"]
mod etcd;
mod support;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use seedbed::api::{Request, RequestId};
use seedbed::backend::{BoltConfig, EngineConfig};
use seedbed::disk::Action;
use seedbed::member::{Config, Effects, Input, Member, Peer};
use seedbed::pb::etcdserverpb::{PutRequest, RequestOp, TxnRequest, request_op};
use seedbed::pb::ids;
use seedbed::time::{MILLISECOND, Now};
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::rc::Rc;
use support::real_disk::RealDisk;

const VALUE: usize = 256;
/// Puts of one transaction.
const BATCH: u64 = 10;
/// Entries between snapshots, for both: what the log holds in memory is not what is to be compared.
const SNAPSHOT_COUNT: u64 = 10_000;
/// The argument with which this program starts itself to be the member that is measured.
const AS_MEMBER: &str = "--as-member";

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let keys = if args.iter().any(|arg| arg == "--test") { 10_000 } else { 1_000_000 };
    if args.iter().any(|arg| arg == AS_MEMBER) {
        println!("{}", member(keys));
        return;
    }
    let scale = if keys < 1_000_000 { "--test" } else { "--bench" };
    let program = std::env::current_exe().expect("this program has a file");
    let ours = Command::new(program).args([AS_MEMBER, scale]).output().expect("it can be started again");
    assert!(ours.status.success(), "{}", String::from_utf8_lossy(&ours.stderr));
    println!("{keys} keys, values of {VALUE} bytes");
    println!("  ours  {}", String::from_utf8_lossy(&ours.stdout).trim());
    if let Some(tools) = etcd::tools() {
        println!("  etcd  {}", real(&tools, keys));
    }
}

fn key(n: u64) -> String {
    format!("/registry/pods/namespace-{:03}/pod-{n:08}", n % 100)
}

/// Resident memory of a process, in words.
fn resident(process: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{process}/status")).expect("Linux tells it");
    let of = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).expect("a line of that name");
        let kib = line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok());
        kib.expect("a number") as f64 / 1024.0
    };
    format!("{:.0} MiB resident, {:.0} MiB of it anonymous", of("VmRSS:"), of("RssAnon:"))
}

/// A member of ours, alone in its cluster, with all keys.
fn member(keys: u64) -> String {
    let peer_urls = vec!["http://localhost:2380".to_owned()];
    let peer = Peer { id: ids::member_id(&peer_urls, "bench", None), name: "ours".to_owned(), peer_urls };
    let engine = EngineConfig::Bolt(BoltConfig::default());
    let config = Config { engine, snapshot_count: SNAPSHOT_COUNT, ..Config::new(peer.id, 7, vec![peer]) };
    let disk = RealDisk::without_syncs("resident");
    let (mut fx, mut now) = (Effects::default(), Now::default());
    let reader: Rc<dyn seedbed::disk::DiskRead> = disk.clone();
    let mut member = Member::open(config, now, &reader, &mut fx).expect("an empty disk");
    let mut step = |input: Option<Input>, ms: u64| {
        now.mono += ms * MILLISECOND;
        let mut inputs: Vec<Input> = input.into_iter().collect();
        loop {
            for op in std::mem::take(&mut fx.disk) {
                let done = disk.apply(&op);
                if !matches!(op.action, Action::Write { .. }) {
                    inputs.push(Input::Disk(done));
                }
            }
            if inputs.is_empty() {
                return member.store().revision();
            }
            for input in inputs.drain(..) {
                let mut caused = Effects::default();
                member.step(now, input, &mut caused);
                assert_eq!(caused.stop, None);
                fx.disk.append(&mut caused.disk);
            }
        }
    };
    for _ in 0..50 {
        step(Some(Input::Deadline), 100);
    }
    for first in (0..keys).step_by(BATCH as usize) {
        let put = |n| PutRequest { key: key(n).into(), value: Bytes::from(vec![n as u8; VALUE]), ..Default::default() };
        let put = |n| RequestOp { request: Some(request_op::Request::RequestPut(put(n))) };
        let txn = TxnRequest { success: (first..first + BATCH).map(put).collect(), ..Default::default() };
        step(Some(Input::Request(RequestId(first), Box::new(Request::Txn(txn)))), 5);
    }
    for _ in 0..50 {
        step(Some(Input::Deadline), 100);
    }
    assert_eq!(step(None, 0), 1 + (keys / BATCH) as i64, "every transaction was applied");
    resident("self")
}

/// A real etcd with the same keys.
fn real(tools: &etcd::Tools, keys: u64) -> String {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("resident-etcd-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("the target folder can be written");
    let mut server = tools.etcd("etcd", folder.join("data")).with(&[
        "--unsafe-no-fsync",
        "--snapshot-count",
        &SNAPSHOT_COUNT.to_string(),
    ]);
    server.start();
    let url = server.client_url();
    let address = url.strip_prefix("http://").expect("an address");
    let mut gateway = BufReader::new(TcpStream::connect(address).expect("etcd listens"));
    for first in (0..keys).step_by(BATCH as usize) {
        let mut ops = String::new();
        for n in first..first + BATCH {
            let (key, value) = (STANDARD.encode(key(n)), STANDARD.encode(vec![n as u8; VALUE]));
            let comma = if n > first { "," } else { "" };
            write!(ops, r#"{comma}{{"requestPut":{{"key":"{key}","value":"{value}"}}}}"#)
                .expect("a string takes anything");
        }
        post(&mut gateway, "/v3/kv/txn", &format!(r#"{{"success":[{ops}]}}"#));
    }
    let resident = resident(&server.process_id().to_string());
    drop(server);
    let _ = fs::remove_dir_all(&folder);
    resident
}

fn post(gateway: &mut BufReader<TcpStream>, path: &str, body: &str) {
    let head = format!("POST {path} HTTP/1.1\r\nHost: etcd\r\nContent-Length: {}\r\n\r\n", body.len());
    gateway.get_mut().write_all((head + body).as_bytes()).expect("etcd listens");
    let mut line = String::new();
    gateway.read_line(&mut line).expect("etcd answers");
    assert!(line.contains("200"), "{line}");
    let mut length = 0;
    loop {
        line.clear();
        gateway.read_line(&mut line).expect("etcd answers");
        if line.trim().is_empty() {
            break;
        }
        if let Some((_, value)) = line.split_once(':').filter(|(name, _)| name.eq_ignore_ascii_case("content-length")) {
            length = value.trim().parse().expect("a length");
        }
    }
    gateway.read_exact(&mut vec![0; length]).expect("etcd answers");
}
