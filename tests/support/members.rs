//! Members of ours as processes: a cluster that serves, and clients of it.

#![allow(dead_code, reason = "each test binary uses its part")]

use crate::etcd::addresses;
use crate::folder::Folder;
use seedbed::pb::etcdserverpb::{
    MemberAddRequest, MemberAddResponse, MemberListRequest, MemberListResponse, MemberPromoteRequest,
    MemberPromoteResponse, MemberRemoveRequest, MemberRemoveResponse, PutRequest, PutResponse, RangeRequest,
    RangeResponse, StatusResponse,
};
use seedbed::serve::Client;
use std::fs;
use std::process::{Child, Command, ExitStatus};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long anything real may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// How long a call may take.
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);
/// How long to wait before asking again.
const PAUSE: Duration = Duration::from_millis(20);

/// A member's process. It ends with the value.
pub(crate) struct Served {
    pub(crate) name: String,
    pub(crate) client: String,
    pub(crate) peer: String,
    /// Flags besides its name, directory and addresses.
    pub(crate) flags: Vec<String>,
    data_dir: String,
    process: Option<Child>,
}

impl Served {
    /// Not yet started.
    pub(crate) fn new(folder: &Folder, name: &str) -> Served {
        let [client, peer] = addresses(2).try_into().expect("two were asked for");
        let (client, peer) = (format!("http://{client}"), format!("http://{peer}"));
        let data_dir = folder.path(name);
        Served { name: name.to_owned(), client, peer, flags: Vec::new(), data_dir, process: None }
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_seedbed"));
        command.args(["serve", "--name", &self.name, "--data-dir", &self.data_dir]);
        command.args(["--listen-client-urls", &self.client, "--advertise-client-urls", &self.client]);
        command.args(["--listen-peer-urls", &self.peer, "--initial-advertise-peer-urls", &self.peer]);
        command.args(&self.flags);
        command
    }

    pub(crate) fn spawn(&mut self) {
        let log = fs::File::options().create(true).append(true).open(self.log_file()).expect("writable");
        self.process = Some(self.command().stderr(log).spawn().expect("the binary runs"));
    }

    fn log_file(&self) -> String {
        format!("{}.log", self.data_dir)
    }

    /// What it said on stderr, in all its lives.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    pub(crate) fn is_up(&mut self) -> bool {
        self.process.as_mut().is_some_and(|process| process.try_wait().expect("it is ours to wait for").is_none())
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// As an operator stops it.
    pub(crate) fn terminate(&self) {
        let id = self.process.as_ref().expect("it runs").id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().expect("kill runs").success());
    }

    /// Waits until it ends by itself.
    pub(crate) fn ends(&mut self) -> ExitStatus {
        let process = self.process.as_mut().expect("it was started");
        let begun = Instant::now();
        loop {
            if let Some(status) = process.try_wait().expect("it is ours to wait for") {
                self.process = None;
                return status;
            }
            assert!(begun.elapsed() < PATIENCE, "{} does not end", self.name);
            sleep(PAUSE);
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Members of one cluster.
pub(crate) struct Cluster {
    pub(crate) folder: Folder,
    pub(crate) members: Vec<Served>,
}

impl Cluster {
    /// A cluster of so many, which has a leader.
    pub(crate) fn start(count: usize, flags: &[&str]) -> Cluster {
        let folder = Folder::new();
        let mut members: Vec<Served> = (1..=count).map(|n| Served::new(&folder, &format!("n{n}"))).collect();
        let initial = initial_cluster(&members);
        for member in &mut members {
            member.flags = ["--initial-cluster".to_owned(), initial.clone()].to_vec();
            member.flags.extend(flags.iter().map(ToString::to_string));
            member.spawn();
        }
        let mut cluster = Cluster { folder, members };
        cluster.wait_until_healthy();
        cluster
    }

    /// Waits until a write through every member is acknowledged.
    pub(crate) fn wait_until_healthy(&mut self) {
        for at in 0..self.members.len() {
            self.wait_for(at);
        }
    }

    /// Waits until a write through this member is acknowledged.
    pub(crate) fn wait_for(&mut self, at: usize) {
        let (begun, member) = (Instant::now(), &mut self.members[at]);
        let mut caller = Caller::new();
        while caller.put(&member.client, "health", "1").is_err() {
            assert!(member.is_up(), "{} ended: {}", member.name, member.log());
            assert!(begun.elapsed() < PATIENCE, "{} does not serve: {}", member.name, member.log());
            sleep(PAUSE);
        }
    }

    /// Which of them leads.
    pub(crate) fn leader(&self) -> Option<usize> {
        let mut caller = Caller::new();
        self.members.iter().position(|member| {
            let status = caller.status(&member.client);
            status.is_ok_and(|status| status.header.is_some_and(|header| header.member_id == status.leader))
        })
    }

    pub(crate) fn clients(&self) -> Vec<String> {
        self.members.iter().map(|member| member.client.clone()).collect()
    }
}

/// `--initial-cluster` of these.
pub(crate) fn initial_cluster(members: &[Served]) -> String {
    let members: Vec<String> = members.iter().map(|member| format!("{}={}", member.name, member.peer)).collect();
    members.join(",")
}

/// What became of a call that was not answered well.
#[derive(Debug)]
pub(crate) enum Failed {
    /// It was never made.
    NotMade,
    /// It may have been done, or not.
    Unknown(String),
}

/// Asks members, one call after the other. Connections are kept.
pub(crate) struct Caller {
    runtime: tokio::runtime::Runtime,
    connected: Option<(String, Client)>,
}

impl Caller {
    pub(crate) fn new() -> Caller {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        Caller { runtime, connected: None }
    }

    pub(crate) fn call<I, O>(&mut self, url: &str, method: &'static str, request: I) -> Result<O, Failed>
    where
        I: prost::Message + 'static,
        O: prost::Message + Default + 'static,
    {
        let client = match self.connected.take() {
            Some((to, client)) if to == url => Ok(client),
            _ => self.runtime.block_on(Client::connect(url, None)),
        };
        let mut client = client.map_err(|_| Failed::NotMade)?;
        let answer = async { tokio::time::timeout(ANSWERS_WITHIN, client.ask(method, request)).await };
        let answer = self.runtime.block_on(answer);
        match answer {
            Ok(Ok(answer)) => {
                self.connected = Some((url.to_owned(), client));
                Ok(answer)
            }
            Ok(Err(status)) => Err(Failed::Unknown(status.message().to_owned())),
            Err(_) => Err(Failed::Unknown("no answer".to_owned())),
        }
    }

    pub(crate) fn put(&mut self, url: &str, key: &str, value: &str) -> Result<PutResponse, Failed> {
        let request =
            PutRequest { key: key.to_owned().into(), value: value.to_owned().into(), ..PutRequest::default() };
        self.call(url, "/etcdserverpb.KV/Put", request)
    }

    /// A linearizable read. A key that is not there reads as empty.
    pub(crate) fn get(&mut self, url: &str, key: &str) -> Result<String, Failed> {
        let request = RangeRequest { key: key.to_owned().into(), ..RangeRequest::default() };
        let answer: RangeResponse = self.call(url, "/etcdserverpb.KV/Range", request)?;
        let value = answer.kvs.first().map(|kv| String::from_utf8_lossy(&kv.value).into_owned());
        Ok(value.unwrap_or_default())
    }

    pub(crate) fn status(&mut self, url: &str) -> Result<StatusResponse, Failed> {
        self.call(url, "/etcdserverpb.Maintenance/Status", ())
    }

    pub(crate) fn members(&mut self, url: &str) -> Result<MemberListResponse, Failed> {
        self.call(url, "/etcdserverpb.Cluster/MemberList", MemberListRequest { linearizable: true })
    }

    pub(crate) fn add(&mut self, url: &str, peer: &str, is_learner: bool) -> Result<MemberAddResponse, Failed> {
        let request = MemberAddRequest { peer_urls: vec![peer.to_owned()], is_learner };
        self.call(url, "/etcdserverpb.Cluster/MemberAdd", request)
    }

    pub(crate) fn promote(&mut self, url: &str, id: u64) -> Result<MemberPromoteResponse, Failed> {
        self.call(url, "/etcdserverpb.Cluster/MemberPromote", MemberPromoteRequest { id })
    }

    pub(crate) fn remove(&mut self, url: &str, id: u64) -> Result<MemberRemoveResponse, Failed> {
        self.call(url, "/etcdserverpb.Cluster/MemberRemove", MemberRemoveRequest { id })
    }
}
