//! The member's thread: takes inputs out of a channel, steps, and does what the step asks.
//!
//! ```text
//!   clients ─┐                     ┌─▶ answers
//!   lanes ───┼─▶ channel ─▶ step ──┼─▶ disk: now, or on a lane ─▶ channel
//!   jobs ────┘        ▲            ├─▶ jobs on threads for blocking work ─▶ channel
//!                     └─ deadline ◀┘
//! ```
//!
//! The member lives and dies on this thread, since it shares its disk with it without locks.

use super::disk::RealDisk;
use super::limit;
use super::metrics::Metrics;
use super::observer::Observer;
use super::options::Options;
use super::tls::TlsError;
use crate::api::{Credentials, Error, Request, RequestId, Response};
use crate::disk::{DiskDone, Shared};
use crate::member::{Effects, Input, Job, Member, StopReason, StreamInput, Vitals};
use crate::mvcc::watch::StreamId;
use crate::pb::etcdserverpb::{WatchRequest, WatchResponse};
use crate::time::Now;
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
    /// An address for clients cannot be had.
    #[error("cannot listen on {address}: {source}; free the address, or name another by --listen-client-urls")]
    Listen {
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
        self.send(Command::Input(Input::Stream(stream, said)));
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

/// A member's thread.
pub struct Running {
    ended: Option<oneshot::Receiver<Result<(), ServeError>>>,
}

impl Running {
    /// Waits for its end. Whoever stops waiting may begin again.
    pub async fn ended(&mut self) -> Result<(), ServeError> {
        let Some(ended) = &mut self.ended else { return Ok(()) };
        let result = ended.await.unwrap_or(Err(ServeError::Panicked));
        self.ended = None;
        result
    }
}

/// Starts a member on its data directory. It is open when this returns.
pub(super) fn start(options: &Options) -> Result<(Handle, Running), ServeError> {
    let (commands, inputs) = mpsc::channel();
    let max_message = options.max_request_bytes + limit::OVERHEAD;
    let metrics = Arc::new(Metrics::new(options.quota_backend_bytes));
    let handle = Handle { commands: commands.clone(), streams: Arc::default(), max_message, metrics: metrics.clone() };
    let (opened, open) = mpsc::channel();
    let (end, ended) = oneshot::channel();
    let (options, runtime) = (options.clone(), tokio::runtime::Handle::current());
    let run = move || {
        let start = Instant::now();
        let result = match Driver::open(&options, start, commands, runtime, metrics) {
            Ok(mut driver) => {
                // Who waits for this is in `start`, and still there.
                let _ = opened.send(Ok(()));
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
    open.recv().unwrap_or(Err(ServeError::Panicked))?;
    Ok((handle, Running { ended: Some(ended) }))
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
    commands: Sender<Command>,
    runtime: tokio::runtime::Handle,
}

impl Driver {
    fn open(
        options: &Options,
        start: Instant,
        commands: Sender<Command>,
        runtime: tokio::runtime::Handle,
        metrics: Arc<Metrics>,
    ) -> Result<Driver, ServeError> {
        let done = commands.clone();
        let done = move |report: DiskDone| drop(done.send(Command::Input(Input::Disk(report))));
        let (mut effects, now) = (Effects::default(), now(start));
        let config = options.config(now.wall ^ u64::from(std::process::id()));
        let disk = RealDisk::open(&options.data_dir, config.wal_segment_bytes, metrics.clone(), done)
            .map_err(ServeError::Data)?;
        let disk = Shared::new(disk);
        let member = Member::open(config, now, &disk.reader(), &mut effects)
            .map_err(|error| ServeError::Data(format!("{}: {error}", options.data_dir.display())))?;
        let observer = Observer::new(member.id(), metrics);
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
            commands,
            runtime,
        };
        driver.observer.stepped(&driver.effects, now, Duration::ZERO);
        driver.carry_out();
        Ok(driver)
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
                Input::Stream(stream, said)
            }
            Command::Ask(who, request, reply) => {
                let id = RequestId(self.next_call);
                self.next_call += 1;
                self.calls.insert(id, reply);
                Input::RequestAs(id, who, request)
            }
            Command::Open(stream, who, to) => {
                self.streams.insert(stream, to);
                Input::Stream(stream, StreamInput::OpenedBy(who))
            }
        };
        match &input {
            Input::Disk(done) => self.disk.get().reported(done.id),
            Input::Stream(stream, StreamInput::Closed) => drop(self.streams.remove(stream)),
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
        for job in self.effects.jobs.drain(..) {
            begin(&self.runtime, self.commands.clone(), job);
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

fn begin(runtime: &tokio::runtime::Handle, commands: Sender<Command>, job: Job) {
    runtime.spawn_blocking(move || {
        let output = job.work.run();
        // The member may have ended meanwhile.
        let _ = commands.send(Command::Input(Input::JobDone(job.id, output)));
    });
}

/// The two clocks. The monotonic one counts from this process's start.
fn now(start: Instant) -> Now {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Now { mono: start.elapsed().as_nanos() as u64 + 1, wall: wall.as_nanos() as u64 }
}
