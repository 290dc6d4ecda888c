//! Load for any etcd endpoint, and how long its answers took: `seedbed bench`.
//!
//! ```text
//!   pace     when the next request is due: at once (closed loop), or by the clock (open loop)
//!     ▼
//!   worker   one client: makes the request, waits, counts
//!     ▼
//!   tally    an HDR histogram a row, errors by their text  ──▶  report: a table, or JSON
//! ```
//!
//! **Closed and open loops answer different questions.** In a closed loop N clients ask again as soon as they are
//! answered: it finds the largest rate, and its latencies are those of a full house. When the server stalls, a closed
//! loop stalls with it and sees *one* slow request, where users would have seen hundreds (coordinated omission). The
//! open loop (`--rate`) fixes when each request is due, whatever the server does, and counts from there: a request that
//! could not even be sent because all clients waited has waited.
//!
//! Everything runs on one thread, so that the generator takes one core at most, and known amounts of it.
//!
//! Left out: load from several machines (run it on each, and add up), values that compress badly or well, a warm-up
//! (the first requests count).

pub mod compare;
mod keys;
mod pace;
mod report;
mod servers;
mod tally;
mod watch;
mod worker;

pub use keys::Keys;
pub use report::{Report, Row};

use crate::client::{Channel, ClientError, Endpoint, method};
use pace::Pace;
use seedbed::pb::etcdserverpb::RangeRequest;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tally::Tally;
use tokio::task::JoinSet;
use worker::Worker;

/// How long a request may take, and what is under way at the end.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is asked of the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Puts of one key.
    Put,
    /// Gets of one key.
    Range {
        /// From the member's own state, without asking the leader.
        serializable: bool,
    },
    /// Kubernetes' create: a put, if the key is not there.
    Create,
    /// Kubernetes' update: a put, if the key is as it was read last; otherwise a read.
    Update,
    /// A lease is granted, kept alive and revoked.
    Lease,
    /// Watchers hear of puts.
    Watch {
        /// How many.
        watchers: usize,
        /// All of one prefix, or each of a key of its own.
        prefix: bool,
    },
}

impl Work {
    /// What is counted apart.
    fn rows(self) -> &'static [&'static str] {
        match self {
            Work::Put => &["put"],
            Work::Range { serializable: false } => &["get"],
            Work::Range { serializable: true } => &["get, serializable"],
            Work::Create => &["create", "there already"],
            Work::Update => &["update", "lost to another"],
            Work::Lease => &["grant", "keepalive", "revoke"],
            Work::Watch { .. } => &["put", "event"],
        }
    }
}

/// When it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// After so many requests.
    Total(u64),
    /// After so long.
    After(Duration),
}

/// A load.
#[derive(Clone, Debug)]
pub struct Load {
    /// Members; connections are spread over them.
    pub endpoints: Vec<Endpoint>,
    /// Requests under way at once.
    pub clients: usize,
    /// Connections that the clients share.
    pub connections: usize,
    /// Requests a second; `None`: as many as are answered.
    pub rate: Option<u64>,
    /// When it ends.
    pub end: End,
    /// What keys and values look like.
    pub keys: Keys,
    /// What is asked.
    pub work: Work,
}

/// How far a load is; told a few times a second.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Answers so far.
    pub answered: u64,
    /// Errors so far.
    pub failed: u64,
    /// Since the first request was due.
    pub elapsed: Duration,
}

/// What all clients of a load share.
struct Shared {
    load: Load,
    pace: Pace,
    tally: Tally,
}

/// Runs a load. `told` hears of the progress, and says `false` to end it early.
///
/// # Errors
/// [`ClientError`] if the clients cannot connect, or cannot put the keys that they are to read. What goes wrong later
/// is counted in the report.
pub fn run(load: &Load, told: impl FnMut(Progress) -> bool) -> Result<Report, ClientError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("the system gives out a poll");
    tokio::task::LocalSet::new().block_on(&runtime, async {
        match load.work {
            Work::Watch { watchers, prefix } => watch::run(load, watchers, prefix, told).await,
            Work::Range { .. } => {
                prepare(load).await?;
                drive(load, told).await
            }
            _ => drive(load, told).await,
        }
    })
}

/// Clients, until the end.
async fn drive(load: &Load, told: impl FnMut(Progress) -> bool) -> Result<Report, ClientError> {
    let channels = connect(load).await?;
    let shared = Rc::new(Shared {
        load: load.clone(),
        pace: Pace::new(load.rate, load.end),
        tally: Tally::new(load.work.rows()),
    });
    let clients = spawn(&shared, &channels, Duration::ZERO);
    finish(&shared, clients, told).await;
    Ok(shared.tally.report(load, shared.pace.began()))
}

/// `connections` channels, spread over the endpoints.
async fn connect(load: &Load) -> Result<Vec<Channel>, ClientError> {
    let mut channels = Vec::with_capacity(load.connections);
    for endpoint in load.endpoints.iter().cycle().take(load.connections.clamp(1, load.clients.max(1))) {
        channels.push(Channel::connect(endpoint).await?);
    }
    Ok(channels)
}

/// Starts the clients.
fn spawn(shared: &Rc<Shared>, channels: &[Channel], clock: Duration) -> JoinSet<()> {
    let mut clients = JoinSet::new();
    shared.pace.begin();
    for (number, channel) in channels.iter().cycle().take(shared.load.clients).enumerate() {
        clients.spawn_local(Worker::new(shared.clone(), channel.clone(), number, clock).work());
    }
    clients
}

/// Waits for the clients; tells how far they are.
async fn finish(shared: &Shared, mut clients: JoinSet<()>, mut told: impl FnMut(Progress) -> bool) {
    let mut beat = tokio::time::interval(Duration::from_millis(200));
    loop {
        tokio::select! {
            ended = clients.join_next() => match ended {
                Some(Ok(())) => {}
                Some(Err(panicked)) => std::panic::resume_unwind(panicked.into_panic()),
                None => break,
            },
            _ = beat.tick() => {
                let elapsed = shared.pace.began().elapsed();
                let progress = Progress { answered: shared.tally.answered(), failed: shared.tally.failures(), elapsed };
                if !told(progress) {
                    shared.pace.stop();
                }
            }
        }
    }
    let late =
        format!("were due, and could not be sent until {} s after the end: every client waited", PATIENCE.as_secs());
    shared.tally.failed(late, shared.pace.unsent());
}

/// Puts the keys that are to be read, unless they are there.
async fn prepare(load: &Load) -> Result<(), ClientError> {
    let mut channel = Channel::connect(&load.endpoints[0]).await?;
    let (key, range_end) = load.keys.all();
    let count = RangeRequest { key, range_end, count_only: true, ..RangeRequest::default() };
    if channel.call(&method::RANGE, &count).await?.count as u64 >= load.keys.count {
        return Ok(());
    }
    let load = fill(load);
    let report = drive(&load, |_| true).await?;
    match report.errors.into_iter().next() {
        Some((message, _)) => Err(ClientError::Status { code: 2, message }),
        None => Ok(()),
    }
}

/// Each key once.
fn fill(load: &Load) -> Load {
    Load {
        clients: 100,
        connections: 4,
        rate: None,
        end: End::Total(load.keys.count),
        keys: Keys { sequential: true, ..load.keys.clone() },
        work: Work::Put,
        ..load.clone()
    }
}

/// Between a moment and now, in nanoseconds.
fn since(moment: Instant) -> u64 {
    moment.elapsed().as_nanos() as u64
}
