//! The member's thread: takes inputs out of a channel, steps, and does what the step asks.
//!
//! ```text
//!   clients ─┐                     ┌─▶ answers
//!   lanes ───┼─▶ channel ─▶ step ──┼─▶ disk: now, or on a lane ─▶ channel
//!   peers ───┤        ▲            ├─▶ messages to peers
//!   jobs ────┘        │            ├─▶ jobs on threads for blocking work ─▶ channel
//!                     └─ deadline ◀┘
//! ```
//!
//! The member lives and dies on this thread, since it shares its disk with it without locks.

use super::disk::RealDisk;
use super::identity::{self, IdentityError};
use super::limit;
use super::metrics::Metrics;
use super::observer::Observer;
use super::options::Options;
use super::peers::notes::Notes;
use super::peers::{Peers, Shared as PeersShared};
use super::tls::{Connector, TlsError};
use crate::api::{Credentials, Error, Request, RequestId, Response};
use crate::disk::{DiskDone, Shared};
use crate::member::{Effects, Input, Job, Member, StopReason, StreamInput, Vitals};
use crate::mvcc::watch::StreamId;
use crate::pb::etcdserverpb::{WatchRequest, WatchResponse};
use crate::raft::NodeId;
use crate::time::Now;
use crate::wal;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;

/// Inputs that are taken before those who were answered meanwhile are told: each telling wakes a thread, and a thread
/// that is awake finds more to do when it is told of many.
const BATCH: usize = 64;

/// Why a member does not serve, or no longer.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// An address for clients or peers cannot be had.
    #[error("cannot listen on {address}: {source}; free the address, or name another by {flag}")]
    Listen {
        /// The setting that names it.
        flag: &'static str,
        /// The address, `host:port`.
        address: String,
        /// What the system said.
        source: io::Error,
    },
    /// The data directory cannot be used; the text names the file and says what to do.
    #[error("{0}")]
    Data(String),
    /// There is no TLS as it was asked for.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// It is not clear who the member is.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The member stopped by itself.
    #[error("the member stopped: {0}")]
    Stopped(StopReason),
    /// The member's thread panicked: a broken invariant, which is on stderr.
    #[error("the member's thread panicked; the message above names the invariant that broke. Please report it")]
    Panicked,
}

/// What the member's thread is told.
enum Command {
    Ask(Credentials, Request, oneshot::Sender<Result<Response, Error>>),
    Open(StreamId, Credentials, UnboundedSender<WatchResponse>),
    Input(Input),
    Look(oneshot::Sender<Vitals>),
    /// Something said on a stream; whoever said it hears when the member does.
    Said(StreamId, StreamInput, oneshot::Sender<()>),
    /// A peer called, and said where it can be reached.
    Met(NodeId, Vec<String>),
    /// If the member leads, hand that on; then tell.
    Leave(oneshot::Sender<Result<Response, Error>>),
    Stop,
}

/// How the rest of the process reaches the member. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Handle {
    commands: Sender<Command>,
    streams: Arc<AtomicU64>,
    /// Bytes of the longest message that a client may send.
    pub(super) max_message: usize,
    pub(super) metrics: Arc<Metrics>,
    /// What the member shows and believes where it reaches others by TLS.
    pub(super) peer_tls: Option<Arc<Connector>>,
}

impl Handle {
    /// Asks the member for something.
    pub async fn ask(&self, who: Credentials, request: Request) -> Result<Response, Error> {
        let (reply, answer) = oneshot::channel();
        let asked = self.metrics.asked(&request);
        self.send(Command::Ask(who, request, reply));
        // A member that stops lets its callers go.
        let result = answer.await.unwrap_or(Err(Error::Stopped));
        asked.answered(&result);
        result
    }

    /// How the member is; `None` once it has stopped.
    pub async fn vitals(&self) -> Option<Vitals> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Look(reply));
        answer.await.ok()
    }

    /// Opens a watch stream. What it hears goes to `to`.
    pub fn open(&self, who: Credentials, to: UnboundedSender<WatchResponse>) -> StreamId {
        let stream = StreamId(self.streams.fetch_add(1, Ordering::Relaxed));
        self.send(Command::Open(stream, who, to));
        stream
    }

    /// Says what a client says on its watch stream. The member has heard it once what comes back is ready: who waits for
    /// that before he reads on has no more under way than this.
    pub(super) fn pass_on(&self, stream: StreamId, request: WatchRequest) -> oneshot::Receiver<()> {
        let (hears, heard) = oneshot::channel();
        self.send(Command::Said(stream, StreamInput::Request(request), hears));
        heard
    }

    /// Says something on a watch stream.
    pub fn say(&self, stream: StreamId, said: StreamInput) {
        self.send(Command::Input(Input::Stream(stream, Box::new(said))));
    }

    /// Hands the leadership on, if the member leads and somebody can take it. That may take an election timeout.
    pub(super) async fn leave(&self) {
        let (reply, left) = oneshot::channel();
        self.send(Command::Leave(reply));
        // That nobody could take it does not keep the member.
        let _ = left.await;
    }

    /// Something happened to the member.
    pub(super) fn input(&self, input: Input) {
        self.send(Command::Input(input));
    }

    /// A peer called, and said where it can be reached.
    pub(super) fn met(&self, id: NodeId, urls: Vec<String>) {
        self.send(Command::Met(id, urls));
    }

    /// Lets the member's thread end. What it acknowledged is durable at any moment: there is nothing to wait for.
    pub fn stop(&self) {
        self.send(Command::Stop);
    }

    fn send(&self, command: Command) {
        // A thread that has ended answers nobody; whoever waits for an answer sees that.
        let _ = self.commands.send(command);
    }
}

#[cfg(test)]
impl Handle {
    /// One whose commands nobody carries out, as long as the other end is kept.
    pub(super) fn to_nobody() -> (Handle, impl Sized) {
        let (commands, inputs) = mpsc::channel();
        let metrics = Arc::new(Metrics::new(0));
        (Handle { commands, streams: Arc::default(), max_message: 0, metrics, peer_tls: None }, inputs)
    }
}

/// A member's thread.
pub(super) struct Running {
    ended: Option<oneshot::Receiver<Result<(), ServeError>>>,
}

impl Running {
    /// Waits for its end. Whoever stops waiting may begin again.
    pub(super) async fn ended(&mut self) -> Result<(), ServeError> {
        let Some(ended) = &mut self.ended else { return Ok(()) };
        let result = ended.await.unwrap_or(Err(ServeError::Panicked));
        self.ended = None;
        result
    }
}

/// Starts a member on its data directory. It is open when this returns.
pub(super) async fn start(
    options: &Options,
    notes: Arc<Notes>,
) -> Result<(Handle, Running, Arc<PeersShared>), ServeError> {
    let (commands, inputs) = mpsc::channel();
    let max_message = options.max_request_bytes + limit::OVERHEAD;
    let metrics = Arc::new(Metrics::new(options.quota_backend_bytes));
    let peer_tls = options.peer_connector()?.map(Arc::new);
    let handle = Handle { commands, streams: Arc::default(), max_message, metrics, peer_tls };
    let (opened, open) = oneshot::channel();
    let (end, ended) = oneshot::channel();
    let (options, runtime, own) = (options.clone(), tokio::runtime::Handle::current(), handle.clone());
    let run = move || {
        let start = Instant::now();
        let result = match Driver::open(&options, start, own, runtime, notes) {
            Ok((mut driver, shared)) => {
                // Who waits for this is in `start`, and still there.
                let _ = opened.send(Ok(shared));
                driver.run(&inputs)
            }
            Err(error) => {
                let _ = opened.send(Err(error));
                Ok(())
            }
        };
        let _ = end.send(result);
    };
    thread::Builder::new().name("seedbed-member".to_owned()).spawn(run).expect("the system gives out a thread");
    let shared = open.await.unwrap_or(Err(ServeError::Panicked))?;
    Ok((handle, Running { ended: Some(ended) }, shared))
}

/// The member and those who wait for it.
struct Driver {
    member: Member,
    disk: Shared<RealDisk>,
    start: Instant,
    effects: Effects,
    observer: Observer,
    /// What the last step's operations reported at once.
    due: VecDeque<Input>,
    calls: BTreeMap<RequestId, oneshot::Sender<Result<Response, Error>>>,
    next_call: u64,
    streams: BTreeMap<StreamId, UnboundedSender<WatchResponse>>,
    /// What was answered since anyone was told.
    replies: Vec<(RequestId, Result<Response, Error>)>,
    responses: Vec<(StreamId, WatchResponse)>,
    peers: Peers,
    /// The members that the peers follow are those since this entry.
    followed: Option<u64>,
    handle: Handle,
    runtime: tokio::runtime::Handle,
}

impl Driver {
    fn open(
        options: &Options,
        start: Instant,
        handle: Handle,
        runtime: tokio::runtime::Handle,
        notes: Arc<Notes>,
    ) -> Result<(Driver, Arc<PeersShared>), ServeError> {
        let done = handle.clone();
        let done = move |report: DiskDone| done.input(Input::Disk(report));
        let (mut effects, now) = (Effects::default(), now(start));
        let metrics = handle.metrics.clone();
        let disk =
            RealDisk::open(&options.data_dir, wal::SEGMENT_BYTES, metrics.clone(), done).map_err(ServeError::Data)?;
        let disk = Shared::new(disk);
        let identity = match identity::of_data(&*disk.reader()) {
            Some(identity) => identity,
            None => runtime.block_on(identity::of_settings(options, handle.peer_tls.as_deref()))?,
        };
        let config = options.config(identity, now.wall ^ u64::from(std::process::id()));
        let (cluster_id, urls) = (config.cluster_id, options.initial_advertise_peer_urls.clone());
        let member = Member::open(config, now, &disk.reader(), &mut effects)
            .map_err(|error| ServeError::Data(format!("{}: {error}", options.data_dir.display())))?;
        let observer = Observer::new(member.id(), metrics);
        let shared = Arc::new(PeersShared::new(cluster_id, member.id(), urls, handle.clone(), notes));
        let mut driver = Driver {
            member,
            disk,
            start,
            effects,
            observer,
            due: VecDeque::new(),
            calls: BTreeMap::new(),
            next_call: 1,
            streams: BTreeMap::new(),
            replies: Vec::new(),
            responses: Vec::new(),
            peers: Peers::new(shared.clone(), runtime.clone()),
            followed: None,
            handle,
            runtime,
        };
        driver.observer.stepped(&driver.effects, now, Duration::ZERO);
        driver.carry_out();
        Ok((driver, shared))
    }

    fn run(&mut self, inputs: &Receiver<Command>) -> Result<(), ServeError> {
        loop {
            let waits = self.due.pop_front().map(Command::Input);
            let mut next = Some(waits.unwrap_or_else(|| self.receive(inputs)));
            let mut steps = 0;
            while let Some(command) = next {
                let ends = match command {
                    Command::Stop => Some(Ok(())),
                    command => self.step(command).err().map(Err),
                };
                if let Some(ended) = ends {
                    self.tell();
                    return ended;
                }
                steps += 1;
                next = match self.due.pop_front() {
                    Some(input) => Some(Command::Input(input)),
                    None if steps < BATCH => inputs.try_recv().ok(),
                    None => None,
                };
            }
            self.tell();
        }
    }

    /// Hands an input to the member, and does what it asks; who waits for an answer waits on.
    fn step(&mut self, command: Command) -> Result<(), ServeError> {
        let input = match command {
            Command::Stop => unreachable!("invariant: the crank is not turned for that"),
            Command::Input(input) => input,
            Command::Look(reply) => {
                // Who looked may have gone.
                let _ = reply.send(self.member.vitals());
                return Ok(());
            }
            Command::Said(stream, said, hears) => {
                // Who said it may have gone.
                let _ = hears.send(());
                Input::Stream(stream, Box::new(said))
            }
            Command::Ask(who, request, reply) => Input::RequestAs(self.call(reply), who, Box::new(request)),
            Command::Met(id, urls) => {
                self.peers.met(id, urls);
                return Ok(());
            }
            Command::Leave(reply) => match self.successor() {
                // Nobody would hear the answer; the leave is over when the reply is dropped.
                None => return Ok(()),
                Some(to) => Input::Request(self.call(reply), Box::new(Request::MoveLeader(to))),
            },
            Command::Open(stream, who, to) => {
                self.streams.insert(stream, to);
                Input::Stream(stream, Box::new(StreamInput::OpenedBy(who)))
            }
        };
        match &input {
            Input::Disk(done) => self.disk.get().reported(done.id),
            Input::Stream(stream, said) if **said == StreamInput::Closed => drop(self.streams.remove(stream)),
            _ => {}
        }
        let (begun, now) = (Instant::now(), now(self.start));
        self.member.step(now, input, &mut self.effects);
        self.observer.stepped(&self.effects, now, begun.elapsed());
        match self.carry_out() {
            Some(reason) => Err(ServeError::Stopped(reason)),
            None => Ok(()),
        }
    }

    /// Notes who waits for an answer.
    fn call(&mut self, reply: oneshot::Sender<Result<Response, Error>>) -> RequestId {
        let id = RequestId(self.next_call);
        self.next_call += 1;
        self.calls.insert(id, reply);
        id
    }

    /// Who could lead in place of this member, if it leads: of the voters that it reaches the one that has most.
    fn successor(&self) -> Option<NodeId> {
        let (raft, own) = (self.member.raft(), self.member.id());
        let voters = raft.progress().filter(|(id, _)| *id != own && raft.conf().voters.contains(id));
        let reached = voters.filter(|(id, _)| self.member.is_leader() && self.peers.reaches(*id));
        reached.max_by_key(|(_, progress)| progress.match_index).map(|(id, _)| id)
    }

    /// The next thing to do; the deadline, if it comes first.
    fn receive(&self, inputs: &Receiver<Command>) -> Command {
        let wait = Duration::from_nanos(self.effects.deadline.saturating_sub(now(self.start).mono));
        match inputs.recv_timeout(wait) {
            Ok(command) => command,
            Err(RecvTimeoutError::Timeout) => Command::Input(Input::Deadline),
            Err(RecvTimeoutError::Disconnected) => unreachable!("invariant: the driver holds a sender itself"),
        }
    }

    /// Does what the last step asked for, and keeps what it answered for [`Driver::tell`].
    fn carry_out(&mut self) -> Option<StopReason> {
        for op in self.effects.disk.drain(..) {
            let done = self.disk.get().start(op);
            self.due.extend(done.map(Input::Disk));
        }
        for message in self.effects.messages.drain(..) {
            self.due.extend(self.peers.send(message));
        }
        for (to, message) in self.effects.peers.drain(..) {
            self.peers.ask(to, message);
        }
        for id in self.effects.rejected.drain(..) {
            self.peers.reject(id);
        }
        if self.followed != Some(self.member.cluster_since()) {
            self.followed = Some(self.member.cluster_since());
            self.peers.follow(self.member.cluster());
        }
        for job in self.effects.jobs.drain(..) {
            begin(&self.runtime, self.handle.clone(), job);
        }
        self.replies.append(&mut self.effects.replies);
        self.responses.append(&mut self.effects.watch);
        let (deadline, stop) = (self.effects.deadline, self.effects.stop.take());
        self.effects.clear();
        self.effects.deadline = deadline;
        stop
    }

    /// Tells those who wait.
    fn tell(&mut self) {
        for (id, result) in self.replies.drain(..) {
            if let Some(reply) = self.calls.remove(&id) {
                // Who asked may have gone.
                let _ = reply.send(result);
            }
        }
        for (stream, response) in self.responses.drain(..) {
            if let Some(to) = self.streams.get(&stream) {
                // A stream that has gone says so soon.
                let _ = to.send(response);
            }
        }
    }
}

fn begin(runtime: &tokio::runtime::Handle, handle: Handle, job: Job) {
    runtime.spawn_blocking(move || {
        let output = job.work.run();
        handle.input(Input::JobDone(job.id, output));
    });
}

/// The two clocks. The monotonic one counts from this process's start.
fn now(start: Instant) -> Now {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Now { mono: start.elapsed().as_nanos() as u64 + 1, wall: wall.as_nanos() as u64 }
}
