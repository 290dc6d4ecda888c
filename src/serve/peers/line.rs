//! A way out for messages: one connection, one call that lasts, dialled again when it breaks.
//!
//! ```text
//!   send ─▶ queue ─▶ Batches: as many as wait, up to a megabyte ─▶ call
//! ```
//!
//! The member that sends never waits: while there is no connection, or when the queue is full, a message is not taken.
//! What waited when a connection broke is dropped with it. (It is old by the time there is another.)

use super::dial::{Connection, DialError};
use super::hello::{Hello, REMOVED};
use super::wire::{Arrived, Ask, Batch};
use super::{Shared, Target};
use crate::member::{Input, PeerMessage};
use crate::raft::{Body, Message};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio_stream::Stream;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::{Request, Status};
use tonic_prost::ProstCodec;

/// Messages that wait for a connection's room.
const MOST_WAITING: usize = 4096;
/// Their bytes.
const MOST_BYTES: usize = 64 << 20;
/// A batch that has so many bytes leaves.
const BATCH_BYTES: usize = 1 << 20;
/// The pause before the first attempt to connect again; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(25);
const LONGEST_PAUSE: Duration = Duration::from_millis(400);
/// How long the other may take to say that it listens.
const ANSWERS_WITHIN: Duration = Duration::from_secs(4);

/// What a way carries.
#[derive(Clone, Debug)]
pub(super) enum Out {
    Raft(Message),
    Other(PeerMessage),
}

/// See the module. Whoever drops it lets what waits leave, if there is a connection.
pub(super) struct Line {
    queue: Sender<Out>,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    is_up: AtomicBool,
    waiting_bytes: AtomicUsize,
}

/// The task behind it.
struct Carrier {
    name: &'static str,
    shared: Arc<Shared>,
    target: Target,
    state: Arc<State>,
    queue: Arc<Mutex<Receiver<Out>>>,
    /// Which of the target's addresses is dialled next.
    turn: usize,
}

/// Why a call ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    #[error(transparent)]
    Dial(#[from] DialError),
    #[error("{}", words(.0))]
    Status(Status),
    #[error("no answer within {ANSWERS_WITHIN:?}")]
    Silent,
}

/// A status as people read it: with what was behind it in the end.
fn words(status: &Status) -> String {
    let mut cause = std::error::Error::source(status);
    while let Some(deeper) = cause.and_then(|cause| cause.source()) {
        cause = Some(deeper);
    }
    match cause.map(ToString::to_string) {
        Some(cause) if cause != status.message() => format!("{}: {cause}", status.message()),
        _ => status.message().to_owned(),
    }
}

impl Line {
    /// Must be called within the runtime.
    pub(super) fn open(name: &'static str, shared: Arc<Shared>, target: Target) -> Line {
        let (queue, waiting) = mpsc::channel(MOST_WAITING);
        let state = Arc::new(State::default());
        let waiting = Arc::new(Mutex::new(waiting));
        let carrier = Carrier { name, shared, target, state: state.clone(), queue: waiting, turn: 0 };
        tokio::spawn(carrier.run());
        Line { queue, state }
    }

    /// Takes a message, or says that it cannot.
    pub(super) fn send(&self, out: Out) -> bool {
        let bytes = bytes_of(&out);
        if !self.is_up() || self.state.waiting_bytes.load(Ordering::Relaxed) + bytes > MOST_BYTES {
            return false;
        }
        self.state.waiting_bytes.fetch_add(bytes, Ordering::Relaxed);
        let taken = self.queue.try_send(out).is_ok();
        if !taken {
            self.state.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
        taken
    }

    pub(super) fn is_up(&self) -> bool {
        self.state.is_up.load(Ordering::Relaxed)
    }
}

/// Roughly: what counts is that entries are long.
fn bytes_of(out: &Out) -> usize {
    match out {
        Out::Raft(Message { body: Body::Append { entries, .. } | Body::Propose { entries }, .. }) => {
            64 + entries.iter().map(|entry| entry.data.len() + 24).sum::<usize>()
        }
        _ => 64,
    }
}

impl Carrier {
    async fn run(mut self) {
        let mut pause = FIRST_PAUSE;
        loop {
            let ended = self.carry().await;
            let was_up = self.state.is_up.swap(false, Ordering::Relaxed);
            if self.drop_waiting().await {
                return;
            }
            match ended {
                Ok(()) => {}
                Err(CallError::Status(status)) if status.code() == REMOVED => {
                    self.shared.notes.line("removed", format!("peer {:x}: {}", self.target.id, status.message()));
                    self.shared.handle.input(Input::Removed);
                }
                Err(error) => {
                    let (id, name) = (self.target.id, self.name);
                    let text = if was_up { "lost" } else { "cannot reach" };
                    // Both ways to a peer are of one fate: one of them tells.
                    self.shared.notes.line(&format!("peer {id:x}"), format!("{text} peer {id:x} ({name}): {error}"));
                }
            }
            pause = if was_up { FIRST_PAUSE } else { (pause * 2).min(LONGEST_PAUSE) };
            self.turn += 1;
            // Who was heard just now is there.
            let _ = tokio::time::timeout(pause, self.target.heard.notified()).await;
        }
    }

    /// Connects, and carries until the connection breaks or there is nothing to carry any more.
    async fn carry(&mut self) -> Result<(), CallError> {
        let (mut grpc, hello) = call(&self.shared, &self.target, self.turn).await?;
        let batches = Batches { queue: self.queue.clone().lock_owned().await, state: self.state.clone() };
        let mut request = Request::new(batches);
        hello.write(request.metadata_mut());
        let path = PathAndQuery::from_static(super::incoming::MESSAGES);
        let answers = grpc.streaming::<_, Batch, Arrived, _>(request, path, ProstCodec::default());
        let answers = tokio::time::timeout(ANSWERS_WITHIN, answers).await.map_err(|_| CallError::Silent)?;
        let mut answers = answers.map_err(CallError::Status)?.into_inner();
        self.state.is_up.store(true, Ordering::Relaxed);
        // Nothing is ever answered on this call: this is its end.
        answers.message().await.map_err(CallError::Status)?;
        Ok(())
    }

    /// Drops what waits, and tells the member so. Whether nothing will ever come again.
    async fn drop_waiting(&self) -> bool {
        let mut queue = self.queue.lock().await;
        let mut lost = false;
        let over = loop {
            match queue.try_recv() {
                Ok(out) => {
                    lost = true;
                    self.state.waiting_bytes.fetch_sub(bytes_of(&out), Ordering::Relaxed);
                }
                Err(mpsc::error::TryRecvError::Empty) => break false,
                Err(mpsc::error::TryRecvError::Disconnected) => break true,
            }
        };
        if lost {
            self.shared.handle.input(Input::Unreachable(self.target.id));
        }
        over
    }
}

/// Dials a target for a call, and says with what the call begins.
pub(super) async fn call(
    shared: &Shared,
    target: &Target,
    turn: usize,
) -> Result<(Grpc<Connection>, Hello), CallError> {
    let url = target.urls.get(turn % target.urls.len().max(1)).map_or("(no address)", String::as_str);
    let connection = Connection::dial(url, shared.handle.peer_tls.as_deref()).await?;
    let urls = shared.own_urls.borrow().clone();
    let hello = Hello { cluster_id: shared.cluster_id, from: shared.id, to: target.id, urls };
    let origin = connection.origin();
    let mut grpc = Grpc::with_origin(connection, origin);
    grpc.ready().await.map_err(|error| CallError::Status(Status::unavailable(error.to_string())))?;
    Ok((grpc, hello))
}

/// What waits, as a call takes it. It has the queue as long as the call lasts.
struct Batches {
    queue: OwnedMutexGuard<Receiver<Out>>,
    state: Arc<State>,
}

impl Stream for Batches {
    type Item = Batch;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Batch>> {
        let (mut batch, mut bytes, mut over) = (Batch::default(), 0, false);
        while bytes < BATCH_BYTES {
            match self.queue.poll_recv(cx) {
                Poll::Ready(Some(out)) => {
                    bytes += bytes_of(&out);
                    match out {
                        Out::Raft(message) => batch.messages.push(message.into()),
                        Out::Other(message) => batch.asks.push(Ask::from(message)),
                    }
                }
                Poll::Ready(None) => {
                    over = true;
                    break;
                }
                Poll::Pending => break,
            }
        }
        if bytes == 0 {
            return if over { Poll::Ready(None) } else { Poll::Pending };
        }
        self.state.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
        Poll::Ready(Some(batch))
    }
}
