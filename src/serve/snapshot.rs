//! `Maintenance/Snapshot`: an image of the database as a stream, with its SHA-256 behind it (`etcdctl snapshot save`).
//!
//! A task asks the member for one piece after the other and waits for the client to take each: HTTP/2's flow control
//! sets the pace. When the client has gone, or has everything, the task lets the image's pages go.

use super::driver::Handle;
use super::status::status_at;
use crate::api::{Credentials, Error, ImageId, ImagePart, ImageRequest, Request, Response};
use crate::pb::etcdserverpb::SnapshotResponse;
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

/// The call's path.
pub(super) const PATH: &str = "/etcdserverpb.Maintenance/Snapshot";

type Told = mpsc::Sender<Result<SnapshotResponse, Status>>;

/// Answers the call.
pub(super) fn send(handle: &Handle, who: Credentials) -> ReceiverStream<Result<SnapshotResponse, Status>> {
    let (told, hear) = mpsc::channel(1);
    let handle = handle.clone();
    tokio::spawn(async move {
        let sent = match ask(&handle, who, ImageRequest::Open).await {
            Ok(opened) => {
                let sent = pieces(&handle, opened.image, &told).await;
                // Its answer says nothing.
                let _ = ask(&handle, Credentials::None, ImageRequest::Close(opened.image)).await;
                sent
            }
            Err(error) => Err(error),
        };
        if let Err(error) = sent {
            // Who asked may have gone.
            let _ = told.send(Err(status_at(PATH)(&error))).await;
        }
    });
    ReceiverStream::new(hear)
}

/// Sends an image to its end, or until nobody takes it any more.
async fn pieces(handle: &Handle, image: ImageId, told: &Told) -> Result<(), Error> {
    let mut hash = Sha256::new();
    loop {
        let ImagePart { remaining, data, .. } = ask(handle, Credentials::None, ImageRequest::Next(image)).await?;
        hash.update(&data);
        let response = SnapshotResponse { header: None, remaining_bytes: remaining, blob: data };
        if told.send(Ok(response)).await.is_err() {
            return Ok(());
        }
        if remaining == 0 {
            break;
        }
    }
    let hash = hash.finalize().to_vec().into();
    let _ = told.send(Ok(SnapshotResponse { header: None, remaining_bytes: 0, blob: hash })).await;
    Ok(())
}

async fn ask(handle: &Handle, who: Credentials, request: ImageRequest) -> Result<ImagePart, Error> {
    match handle.ask(who, Request::Image(request)).await? {
        Response::Image(part) => Ok(part),
        other => panic!("invariant: what is asked of an image is answered by a part, not by {other:?}"),
    }
}
