//! The member behind real sockets, files and clocks: `seedbed serve`.
//!
//! ```text
//!   etcdctl ──gRPC──▶ http ─▶ rpc · streams ──Command──▶ driver ──step──▶ Member
//!   curl ────HTTP──▶ /health, /metrics, gateway ◀─answers─  │  ▲
//!   other members ◀──HTTP/2──▶ peers ◀────────messages───▶ ▼  │ done
//!                                                        disk: writes at once, two lanes for what waits
//! ```
//!
//! The member is the very one of the simulated world: it cannot tell. It lives on a thread of its own ([`driver`]) which
//! takes one input after the other out of a channel, steps, and does what the step asks. Everything that might wait is
//! somewhere else: syncs on the disk's lanes ([`disk`]), password hashes on threads for blocking work, clients on the
//! runtime's threads. So no lock is ever held, and the order of inputs is all that differs from run to run.
//!
//! # Reading order
//! [`options`] is what a user may say, [`identity`] who the member is; [`driver`] turns the crank; [`disk`] keeps the disk
//! seam's promises with files, of which [`spare`] is the log's next one; [`http`] takes connections, [`authority`] gives
//! their servers proper names, [`tls`] keeps others from listening; [`rpc`] is the table of etcd's calls with one answer,
//! [`wire`] their bytes, [`promote`] the one that only a leader can answer, [`streams`] and [`snapshot`] those with many,
//! [`status`] etcd's errors as gRPC has them. [`services`] are those around etcd's own: [`lock`] and [`election`] are
//! clients of the member ([`client`]), [`health`] is for load balancers. [`gateway`] is all of it in JSON. [`peers`] is what members say to each other, [`several`] a
//! cluster in one process, [`remote`] asks a member elsewhere. [`observer`] counts and logs what the member does,
//! [`metrics`] is what was counted.
//!
//! # What one client may cost
//! Whoever does not take its answers is given no more of them: a watch says how much room there is, an image is read a
//! piece at a time, requests are read only as long as answers are taken. A message that is too long is refused at its
//! head ([`limit`]), and so many connections are taken that the member can still open its own files ([`files`]).
//!
//! # Left out so far
//! Lists of revoked certificates, `--peer-auto-tls`. A lock file keeps two of ours out of one directory; a
//! real etcd does not know it.

mod authority;
mod client;
mod disk;
mod driver;
mod election;
mod files;
mod gateway;
mod health;
mod http;
mod identity;
mod limit;
mod lock;
mod metrics;
mod observer;
mod options;
mod peers;
mod promote;
mod remote;
mod rpc;
mod services;
mod several;
mod snapshot;
mod spare;
mod status;
mod streams;
mod tls;
mod wire;

pub use driver::{Handle, ServeError};
pub use identity::IdentityError;
pub use options::{Options, parse_cluster};
pub use peers::dial::{Connection, DialError};
pub use remote::Client;
pub use several::{Standing, run_several};
pub use tls::{Connector, TlsError, TlsFiles};

use driver::Running;
use peers::notes::Notes;
use std::future::Future;
use std::io;
use std::sync::Arc;
use tls::Acceptor;
use tokio::net::{TcpListener, TcpSocket, lookup_host};
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;

/// Connections that wait to be taken.
const BACKLOG: u32 = 1024;

/// Serves until the process is told to end (Ctrl-C, SIGTERM) or the member stops by itself. `ready` is called once
/// clients may come.
pub fn run(options: Options, ready: impl FnOnce()) -> Result<(), ServeError> {
    runtime()?.block_on(serve(options, told_to_end(), ready))
}

fn runtime() -> Result<Runtime, ServeError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.map_err(|error| ServeError::Data(format!("the system gives out no threads: {error}")))
}

/// Ctrl-C, or what service managers send.
async fn told_to_end() {
    let terminate = signal(SignalKind::terminate());
    let terminated = async {
        match terminate {
            Ok(mut terminate) => drop(terminate.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        () = terminated => {}
    }
}

/// Serves until `until` is over or the member stops by itself. `ready` is called once clients may come.
pub async fn serve(options: Options, until: impl Future<Output = ()>, ready: impl FnOnce()) -> Result<(), ServeError> {
    let mut server = Server::start(options).await?;
    ready();
    tokio::select! {
        () = until => server.stop().await,
        ended = server.ended() => ended,
    }
}

/// A member that serves. It goes on serving until it is stopped, or stops by itself.
pub struct Server {
    handle: Handle,
    running: Running,
    notes: Arc<Notes>,
    closing: watch::Sender<()>,
    listening: Vec<JoinHandle<()>>,
}

impl Server {
    /// Starts it on its data directory. Clients and peers may come when this returns.
    pub async fn start(options: Options) -> Result<Server, ServeError> {
        let (clients, clients_tls) = acceptors(&options.listen_client, |address| options.acceptor(address))?;
        let (others, others_tls) = acceptors(&options.listen_peer, |address| options.peer_acceptor(address))?;
        let clients = bind("--listen-client-urls", &clients).await?;
        let others = bind("--listen-peer-urls", &others).await?;
        let notes = Arc::new(Notes::new(&options.name));
        let (handle, running, shared) = driver::start(&options, notes.clone()).await?;
        let clients = listen(clients).inspect_err(|_| handle.stop())?;
        let others = listen(others).inspect_err(|_| handle.stop())?;
        let (closing, closed) = watch::channel(());
        let connections = Arc::new(Semaphore::new(files::for_connections().map_err(ServeError::Data)?));
        let clients = clients.into_iter().zip(clients_tls);
        let clients =
            clients.map(|at| tokio::spawn(http::run(at, handle.clone(), connections.clone(), closed.clone())));
        let others = others.into_iter().zip(others_tls);
        let others = others.map(|at| tokio::spawn(peers::incoming::run(at, shared.clone(), closed.clone())));
        let listening = clients.chain(others).collect();
        tracing::info!("ready to serve client requests");
        for address in &options.listen_client {
            match address.strip_prefix("https://") {
                Some(address) => tracing::info!("serving client requests on {address}"),
                None => tracing::info!("serving insecure client requests on {address}, this is strongly discouraged!"),
            }
        }
        Ok(Server { handle, running, notes, closing, listening })
    }

    /// How to ask the member.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Waits until the member stops by itself. Whoever stops waiting may begin again.
    pub async fn ended(&mut self) -> Result<(), ServeError> {
        self.running.ended().await
    }

    /// Stops it: one that leads hands the leadership on first; then those who are being answered get their answers.
    /// Both take as long as they may, and no longer.
    pub async fn stop(self) -> Result<(), ServeError> {
        self.handle.leave().await;
        self.end().await
    }

    /// Stops it, whoever leads then.
    async fn end(mut self) -> Result<(), ServeError> {
        self.notes.hush();
        drop(self.closing);
        for listening in self.listening {
            // A server that panicked has said so on stderr; the member's data is what matters now.
            let _ = listening.await;
        }
        self.handle.stop();
        self.running.ended().await
    }
}

/// The `host:port` of addresses, and what takes connections in there.
fn acceptors<'a>(
    addresses: &'a [String],
    acceptor: impl Fn(&'a str) -> Result<(&'a str, Option<Acceptor>), TlsError>,
) -> Result<(Vec<String>, Vec<Option<Acceptor>>), TlsError> {
    let one = |address: &'a String| acceptor(address).map(|(address, tls)| (address.to_owned(), tls));
    addresses.iter().map(one).collect()
}

/// An address that this process has. Nobody is heard there yet.
struct Bound {
    flag: &'static str,
    address: String,
    socket: TcpSocket,
}

/// Takes the addresses. Whoever dials them before the member listens is turned away at once, and tries again.
async fn bind(flag: &'static str, addresses: &[String]) -> Result<Vec<Bound>, ServeError> {
    let mut bound = Vec::new();
    for address in addresses {
        let socket = bind_one(address).await;
        let address = address.clone();
        match socket {
            Ok(socket) => bound.push(Bound { flag, address, socket }),
            Err(source) => return Err(ServeError::Listen { flag, address, source }),
        }
    }
    Ok(bound)
}

/// The first of a name's addresses that can be had.
async fn bind_one(address: &str) -> io::Result<TcpSocket> {
    let mut refused = io::Error::new(io::ErrorKind::AddrNotAvailable, "the name has no address");
    for found in lookup_host(address).await? {
        let socket = if found.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        // Connections of a process that was killed do not keep the next one out.
        socket.set_reuseaddr(true)?;
        match socket.bind(found) {
            Ok(()) => return Ok(socket),
            Err(error) => refused = error,
        }
    }
    Err(refused)
}

fn listen(bound: Vec<Bound>) -> Result<Vec<TcpListener>, ServeError> {
    let listen = |Bound { flag, address, socket }: Bound| {
        socket.listen(BACKLOG).map_err(|source| ServeError::Listen { flag, address, source })
    };
    bound.into_iter().map(listen).collect()
}

/// What the system said, in words that name the file.
fn named(path: &std::path::Path, error: &io::Error) -> String {
    format!("{}: {error}", path.display())
}
