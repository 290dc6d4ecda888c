//! The member behind real sockets, files and clocks: `seedbed serve`.
//!
//! ```text
//!   etcdctl ──gRPC──▶ http ─▶ rpc · streams ──Command──▶ driver ──step──▶ Member
//!   curl ────HTTP──▶ /health, /metrics, gateway ◀─answers─  │  ▲
//!                                                          ▼  │ done
//!                                                        disk: writes at once, two lanes for what waits
//! ```
//!
//! The member is the very one of the simulated world: it cannot tell. It lives on a thread of its own ([`driver`]) which
//! takes one input after the other out of a channel, steps, and does what the step asks. Everything that might wait is
//! somewhere else: syncs on the disk's lanes ([`disk`]), password hashes on threads for blocking work, clients on the
//! runtime's threads. So no lock is ever held, and the order of inputs is all that differs from run to run.
//!
//! # Reading order
//! [`options`] is what a user may say; [`driver`] turns the crank; [`disk`] keeps the disk seam's promises with files, of
//! which [`spare`] is the log's next one; [`http`] takes connections, [`authority`] gives their servers proper names,
//! [`tls`] keeps others from listening; [`rpc`] is the table of etcd's calls with one answer, [`wire`] their bytes,
//! [`streams`] and [`snapshot`] those with many, [`status`] etcd's errors as gRPC has them. [`services`] are those around
//! etcd's own: [`lock`] and [`election`] are clients of the member ([`client`]), [`health`] is for load balancers.
//! [`gateway`] is all of it in JSON. [`observer`] counts and logs what the member does, [`metrics`] is what was counted.
//!
//! # What one client may cost
//! Whoever does not take its answers is given no more of them: a watch says how much room there is, an image is read a
//! piece at a time, requests are read only as long as answers are taken. A message that is too long is refused at its
//! head ([`limit`]), and so many connections are taken that the member can still open its own files ([`files`]).
//!
//! # Left out so far
//! Peers (a cluster has one member), lists of revoked certificates. A lock file keeps two of ours out of one directory; a
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
mod limit;
mod lock;
mod metrics;
mod observer;
mod options;
mod rpc;
mod services;
mod snapshot;
mod spare;
mod status;
mod streams;
mod tls;
mod wire;

pub use driver::{Handle, Running, ServeError};
pub use options::Options;
pub use tls::{Connector, TlsError, TlsFiles};

use std::future::Future;
use std::io;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Semaphore, watch};

/// Serves until the process is told to end (Ctrl-C, SIGTERM) or the member stops by itself. `ready` is called once
/// clients may come.
pub fn run(options: Options, ready: impl FnOnce()) -> Result<(), ServeError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| ServeError::Data(format!("the system gives out no threads: {error}")))?;
    runtime.block_on(serve(options, told_to_end(), ready))
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
    let mut listeners = Vec::new();
    for address in &options.listen_client {
        let (address, tls) = options.acceptor(address)?;
        let listening = TcpListener::bind(address).await;
        let listener = listening.map_err(|source| ServeError::Listen { address: address.to_owned(), source })?;
        listeners.push((listener, tls));
    }
    let connections = Arc::new(Semaphore::new(files::for_connections().map_err(ServeError::Data)?));
    let (handle, mut running) = driver::start(&options)?;
    let (closing, closed) = watch::channel(());
    let servers: Vec<_> = listeners
        .into_iter()
        .map(|listener| tokio::spawn(http::run(listener, handle.clone(), connections.clone(), closed.clone())))
        .collect();
    tracing::info!("ready to serve client requests");
    for address in &options.listen_client {
        match address.strip_prefix("https://") {
            Some(address) => tracing::info!("serving client requests on {address}"),
            None => tracing::info!("serving insecure client requests on {address}, this is strongly discouraged!"),
        }
    }
    ready();
    let ended = tokio::select! {
        () = until => None,
        ended = running.ended() => Some(ended),
    };
    drop((closing, closed));
    for server in servers {
        // A server that panicked has said so on stderr; the member's data is what matters now.
        let _ = server.await;
    }
    match ended {
        Some(ended) => ended,
        None => {
            handle.stop();
            running.ended().await
        }
    }
}

/// What the system said, in words that name the file.
fn named(path: &std::path::Path, error: &io::Error) -> String {
    format!("{}: {error}", path.display())
}
