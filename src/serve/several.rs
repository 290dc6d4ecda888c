//! Several members in one process: a cluster to try things with.
//!
//! They share nothing but the process: each has its thread, its directory and its ports, and reaches the others over
//! sockets. One that stops by itself does not stop the others.

use super::{Options, ServeError, Server, runtime, told_to_end};
use crate::api::{Credentials, Request, Response};
use crate::pb::etcdserverpb::StatusResponse;
use std::time::Duration;

/// How a member is.
#[derive(Clone, Debug)]
pub struct Standing {
    /// Its name.
    pub name: String,
    /// Where it serves clients.
    pub client_urls: Vec<String>,
    /// What it says of itself; or why it does not run any more.
    pub status: Result<StatusResponse, String>,
}

/// Runs members until the process is told to end (Ctrl-C, SIGTERM) or the last one has stopped by itself. `show` is told
/// every so often how they are.
///
/// # Errors
/// If one of them cannot start, none of them does.
pub fn run_several(all: Vec<Options>, every: Duration, show: impl FnMut(&[Standing])) -> Result<(), ServeError> {
    runtime()?.block_on(serve_all(all, every, show))
}

/// A member, as long as it runs; then why it does not.
enum Place {
    Runs(Server),
    Stopped(String),
}

async fn serve_all(all: Vec<Options>, every: Duration, mut show: impl FnMut(&[Standing])) -> Result<(), ServeError> {
    let (mut places, names) = (Vec::new(), all.clone());
    for options in all {
        places.push(Place::Runs(Server::start(options).await?));
    }
    let mut end = std::pin::pin!(told_to_end());
    let mut ticks = tokio::time::interval(every);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = &mut end => break,
        }
        let mut standings = Vec::new();
        for (place, Options { name, advertise_client_urls, .. }) in places.iter_mut().zip(&names) {
            let status = look(place).await;
            standings.push(Standing { name: name.clone(), client_urls: advertise_client_urls.clone(), status });
        }
        show(&standings);
        if places.iter().all(|place| matches!(place, Place::Stopped(_))) {
            break;
        }
    }
    // That the others go is no news to any of them.
    for place in &places {
        if let Place::Runs(server) = place {
            server.notes.hush();
        }
    }
    let ends = places.into_iter().filter_map(|place| match place {
        Place::Runs(server) => Some(tokio::spawn(server.end())),
        Place::Stopped(_) => None,
    });
    for end in ends.collect::<Vec<_>>() {
        // One that panicked has said so on stderr.
        end.await.unwrap_or(Err(ServeError::Panicked))?;
    }
    Ok(())
}

/// How a member is now.
async fn look(place: &mut Place) -> Result<StatusResponse, String> {
    if let Place::Runs(server) = place {
        let handle = server.handle.clone();
        let ended = tokio::select! {
            biased;
            ended = server.ended() => ended,
            status = handle.ask(Credentials::None, Request::Status) => match status {
                Ok(Response::Status(status)) => return Ok(status),
                // It is stopping: the next look finds out why.
                _ => return Err("stops".to_owned()),
            },
        };
        *place = Place::Stopped(ended.map_or_else(|error| error.to_string(), |()| "it has stopped".to_owned()));
    }
    match place {
        Place::Stopped(why) => Err(why.clone()),
        Place::Runs(_) => unreachable!("invariant: it was looked at above"),
    }
}
