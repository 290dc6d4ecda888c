//! The imager: a client reads an image of the database, piece by piece (`etcdctl snapshot save`).
//!
//! ```text
//!   Open ──▶ the batch goes out ──▶ an image, with its pages pinned
//!   Next ──▶ a piece, as long as there are any          Close ──▶ the pages are free
//! ```
//!
//! The client asks for each piece: so its pace is its own, nothing is read ahead of it, and what it costs the member is
//! the pages that it pins, by which the file grows while others are overwritten (lesson 13). One that goes without
//! closing its image pins them for ever: whoever owns the member closes for it.
//!
//! Where a leader's snapshot takes the store's place, images of the old one end.

use super::{Effects, Member, StopReason};
use crate::api::{Error, ImageId, ImagePart, ImageRequest, RequestId, Response};
use crate::backend::Image;
use crate::time::Now;
use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};

/// Bytes of a piece: etcd's own are as long.
const PIECE: usize = 32 << 10;

#[derive(Debug, Default)]
pub(super) struct Imager {
    /// Who waits for an image that holds everything applied by then.
    opening: VecDeque<RequestId>,
    open: BTreeMap<ImageId, Image>,
    last: u64,
}

impl Imager {
    /// Whether a client waits for an image.
    pub(super) fn has_business(&self) -> bool {
        !self.opening.is_empty()
    }
}

impl Member {
    /// A client's request; whether it may was checked.
    pub(super) fn on_image(&mut self, id: RequestId, request: ImageRequest, fx: &mut Effects) {
        match request {
            ImageRequest::Open => self.imager.opening.push_back(id),
            ImageRequest::Next(image) => self.read_piece(id, image, fx),
            ImageRequest::Close(image) => {
                if let Some(image) = self.imager.open.remove(&image) {
                    self.state.store.engine_mut().end_image(image);
                }
                fx.replies.push((id, Ok(part(image, 0, Bytes::new()))));
            }
        }
    }

    /// Opens images that were asked for, as soon as everything that is applied is in a batch.
    pub(super) fn run_imager(&mut self, now: Now, fx: &mut Effects) {
        if self.imager.opening.is_empty() || self.store_is_replaced() || fx.stop.is_some() {
            return;
        }
        if self.state.store.engine().batched() > 0 {
            self.committer.demand();
            self.run_committer(now, fx);
        }
        if self.state.store.engine().batched() > 0 {
            return;
        }
        for request in std::mem::take(&mut self.imager.opening) {
            let image = self.state.store.engine_mut().begin_image();
            self.imager.last += 1;
            let id = ImageId(self.imager.last);
            fx.replies.push((request, Ok(part(id, image.size, Bytes::new()))));
            self.imager.open.insert(id, image);
        }
    }

    fn read_piece(&mut self, request: RequestId, id: ImageId, fx: &mut Effects) {
        let Some(image) = self.imager.open.get_mut(&id) else {
            // It was closed, or the store that it was of was replaced.
            fx.replies.push((request, Err(Error::Stopped)));
            return;
        };
        match self.state.store.engine().image_chunk(image, PIECE) {
            Ok(piece) => {
                let remaining = image.size - image.offset;
                fx.replies.push((request, Ok(part(id, remaining, piece.unwrap_or_default()))));
            }
            Err(error) => fx.stop = Some(StopReason::Backend(error)),
        }
    }

    /// The database is replaced: there is nothing to read of the old one.
    pub(super) fn forget_images(&mut self) {
        self.sender.forget_images();
        self.imager.open.clear();
    }
}

fn part(image: ImageId, remaining: u64, data: Bytes) -> Response {
    Response::Image(ImagePart { image, remaining, data })
}
