//! The way out for snapshots: one at a time, in chunks, on a connection of its own.
//!
//! The member waits to hear what became of each ([`Input::SnapshotSent`]); [`Sending`] sees to it, however it ends.

use super::line::{CallError, call};
use super::wire::{Arrived, Chunk};
use super::{Shared, Target};
use crate::member::Input;
use crate::pb::raftpb;
use crate::raft::{Body, Message};
use bytes::Bytes;
use std::sync::Arc;
use tokio::sync::mpsc::{self, Receiver, Sender};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::{Request, Status};
use tonic_prost::ProstCodec;

/// Bytes of a chunk.
const CHUNK: usize = 128 << 10;
/// Raft sends a member one snapshot at a time; another one waits when its leader changed its mind.
const MOST_WAITING: usize = 2;

/// See the module.
pub(super) struct Snapshots {
    shared: Arc<Shared>,
    queue: Sender<Sending>,
}

/// A snapshot under way. Its drop tells the member what became of it.
struct Sending {
    shared: Arc<Shared>,
    message: Message,
    arrived: bool,
}

impl Drop for Sending {
    fn drop(&mut self) {
        self.shared.handle.input(Input::SnapshotSent(self.message.to, self.arrived));
    }
}

impl Snapshots {
    /// Must be called within the runtime.
    pub(super) fn open(shared: Arc<Shared>, target: Target) -> Snapshots {
        let (queue, waiting) = mpsc::channel(MOST_WAITING);
        tokio::spawn(carry(shared.clone(), target, waiting));
        Snapshots { shared, queue }
    }

    /// Takes a snapshot. One that cannot be taken is reported as well.
    pub(super) fn send(&self, message: Message) {
        drop(self.queue.try_send(Sending { shared: self.shared.clone(), message, arrived: false }));
    }
}

async fn carry(shared: Arc<Shared>, target: Target, mut waiting: Receiver<Sending>) {
    let mut turn = 0;
    while let Some(mut sending) = waiting.recv().await {
        let id = target.id;
        match send(&shared, &target, turn, sending.message.clone()).await {
            Ok(bytes) => {
                sending.arrived = true;
                shared.notes.line(&format!("snapshot {id:x}"), format!("sent peer {id:x} a snapshot of {bytes} bytes"));
            }
            Err(error) => {
                turn += 1;
                let text = format!("cannot send peer {id:x} a snapshot: {error}");
                shared.notes.line(&format!("no snapshot {id:x}"), text);
            }
        }
    }
}

/// Sends a snapshot, and waits until the other has it. Returns its bytes.
async fn send(shared: &Shared, target: &Target, turn: usize, message: Message) -> Result<usize, CallError> {
    let Message { from, to, term, body: Body::Snapshot(mut snapshot) } = message else {
        panic!("invariant: only snapshots come this way");
    };
    let data = std::mem::take(&mut snapshot.data);
    let bytes = data.len();
    let head = raftpb::Message::from(Message { from, to, term, body: Body::Snapshot(snapshot) });
    let (mut grpc, hello) = call(shared, target, turn).await?;
    let mut request = Request::new(tokio_stream::iter(chunks(head, data)));
    hello.write(request.metadata_mut());
    let path = PathAndQuery::from_static(super::incoming::SNAPSHOT);
    let answer = grpc.client_streaming::<_, Chunk, Arrived, _>(request, path, ProstCodec::default()).await;
    answer.map_err(CallError::Status)?;
    Ok(bytes)
}

/// The message, then its data in pieces, which share its memory.
fn chunks(head: raftpb::Message, mut data: Bytes) -> impl Iterator<Item = Chunk> {
    let bytes = data.len() as u64;
    let head = Chunk { message: Some(head), bytes, data: Bytes::new() };
    let pieces = std::iter::from_fn(move || {
        let piece = data.split_to(CHUNK.min(data.len()));
        (!piece.is_empty()).then(|| Chunk { message: None, bytes: 0, data: piece })
    });
    std::iter::once(head).chain(pieces)
}

/// Puts chunks together again.
#[derive(Default)]
pub(super) struct Gathering {
    head: Option<(raftpb::Message, u64)>,
    data: Vec<u8>,
}

impl Gathering {
    /// Takes the next one.
    pub(super) fn take(&mut self, chunk: Chunk) -> Result<(), Status> {
        if let Some(message) = chunk.message {
            self.head = Some((message, chunk.bytes));
        }
        let Some((_, bytes)) = &self.head else {
            return Err(Status::invalid_argument("a snapshot whose first chunk has no message"));
        };
        if self.data.len() as u64 + chunk.data.len() as u64 > *bytes {
            return Err(Status::invalid_argument(format!(
                "a snapshot of more than the {bytes} bytes that it announced"
            )));
        }
        self.data.extend_from_slice(&chunk.data);
        Ok(())
    }

    /// The message with its snapshot, now that all chunks came.
    pub(super) fn finish(self) -> Result<raftpb::Message, Status> {
        let Some((mut message, bytes)) = self.head else {
            return Err(Status::invalid_argument("a snapshot without chunks"));
        };
        if self.data.len() as u64 != bytes {
            let found = self.data.len();
            return Err(Status::invalid_argument(format!("a snapshot of {bytes} bytes that ends after {found}")));
        }
        match &mut message.snapshot {
            Some(snapshot) => snapshot.data = self.data.into(),
            None => return Err(Status::invalid_argument("a snapshot's message without a snapshot")),
        }
        Ok(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raft::{Snapshot, SnapshotMeta};

    fn head() -> raftpb::Message {
        let snapshot = Snapshot { meta: SnapshotMeta { index: 7, ..SnapshotMeta::default() }, data: Bytes::new() };
        Message { from: 1, to: 2, term: 3, body: Body::Snapshot(Box::new(snapshot)) }.into()
    }

    fn gather(chunks: impl Iterator<Item = Chunk>) -> Result<raftpb::Message, Status> {
        let mut gathering = Gathering::default();
        for chunk in chunks {
            gathering.take(chunk)?;
        }
        gathering.finish()
    }

    #[test]
    fn chunks_are_put_together_again() {
        for bytes in [0, 1, CHUNK, 2 * CHUNK + 1] {
            let data: Bytes = (0..bytes).map(|n| n as u8).collect::<Vec<_>>().into();
            let message = gather(chunks(head(), data.clone())).expect("nothing is missing");
            assert_eq!(message.snapshot.expect("it has one").data, data);
        }
    }

    #[test]
    fn what_is_missing_or_too_much_is_named() {
        let all = || chunks(head(), vec![1; 2 * CHUNK].into());
        for (found, text) in [
            (gather(all().take(2)), "ends after"),
            (gather(all().skip(1)), "first chunk has no message"),
            (gather(all().chain(all().skip(2))), "more than the 262144 bytes"),
            (gather(std::iter::empty()), "without chunks"),
        ] {
            let status = found.expect_err(text);
            assert!(status.message().contains(text), "{status}");
        }
    }
}
