//! The sender: a follower that is behind the log's start gets an image of the database.
//!
//! etcd writes the pages of a read transaction into the connection. While it does, the transaction pins those pages, and
//! the file grows by what is overwritten meanwhile (lesson 13). So here: the image is read in slices, between which the
//! member serves others, and its pages stay pinned until the last slice is read.

use super::{Effects, Member, StopReason, TraceEvent};
use crate::backend::Image;
use crate::mvcc::Applied;
use crate::raft::{Body, ConfState, Message, Role, Snapshot, SnapshotMeta};
use crate::time::{Nanos, Now};
use std::collections::VecDeque;

/// Bytes that one slice reads.
const SLICE: usize = 256 << 10;

#[derive(Debug, Default)]
pub(super) struct Sender {
    /// Raft's messages that still lack their image.
    waiting: VecDeque<Message>,
    reading: Option<Reading>,
    /// When the next slice may begin.
    next_at: Nanos,
    /// Images that an operator keeps open, until when.
    held: Vec<(Nanos, Image)>,
}

#[derive(Debug)]
struct Reading {
    message: Message,
    applied: Applied,
    /// As of `applied`.
    conf: ConfState,
    image: Image,
    data: Vec<u8>,
}

impl Sender {
    pub(super) fn queue(&mut self, message: Message) {
        self.waiting.push_back(message);
    }

    pub(super) fn wakes_at(&self) -> Nanos {
        let reading = if self.reading.is_some() { self.next_at } else { Nanos::MAX };
        self.held.iter().map(|(until, _)| *until).fold(reading, Nanos::min)
    }

    /// Whether a follower waits for an image.
    pub(super) fn has_business(&self) -> bool {
        self.reading.is_some() || !self.waiting.is_empty()
    }

    /// The database is replaced: what was read of the old one is worth nothing.
    pub(super) fn forget_images(&mut self) {
        *self = Sender::default();
    }
}

impl Member {
    /// Keeps an image of the database open for so long, as a client does that reads a snapshot slowly.
    pub(super) fn hold_image(&mut self, now: Now, lasting: Nanos) {
        if !self.store_is_replaced() {
            let image = self.state.store.engine_mut().begin_image();
            self.sender.held.push((now.mono.saturating_add(lasting), image));
        }
    }

    pub(super) fn run_sender(&mut self, now: Now, fx: &mut Effects) {
        for (_, image) in self.sender.held.extract_if(.., |(until, _)| *until <= now.mono) {
            self.state.store.engine_mut().end_image(image);
        }
        if self.sender.reading.is_none() && !self.sender.waiting.is_empty() && !self.store_is_replaced() {
            self.begin_reading(now, fx);
        }
        if self.sender.reading.is_some() && now.mono >= self.sender.next_at && !self.store_is_replaced() {
            self.read_slice(now, fx);
        }
    }

    /// Begins an image of everything that is applied; the batch goes out first, so that the image holds it.
    fn begin_reading(&mut self, now: Now, fx: &mut Effects) {
        if self.state.store.engine().batched() > 0 {
            self.committer.demand();
            self.run_committer(now, fx);
        }
        if self.state.store.engine().batched() > 0 {
            return;
        }
        let applied = self.state.store.applied();
        if self.raft.applied() < applied.index {
            // After a restart Raft has yet to hear which configuration that is.
            return;
        }
        let message = self.sender.waiting.pop_front().expect("invariant: the caller saw one");
        let image = self.state.store.engine_mut().begin_image();
        let data = Vec::with_capacity(image.size as usize);
        self.sender.reading = Some(Reading { message, applied, conf: self.raft.conf().clone(), image, data });
        self.sender.next_at = now.mono;
    }

    fn read_slice(&mut self, now: Now, fx: &mut Effects) {
        let reading = self.sender.reading.as_mut().expect("invariant: the caller saw it");
        match self.state.store.engine().image_chunk(&mut reading.image, SLICE) {
            Ok(Some(chunk)) => reading.data.extend_from_slice(&chunk),
            Ok(None) => {}
            Err(error) => fx.stop = Some(StopReason::Backend(error)),
        }
        if reading.image.offset < reading.image.size {
            let cost = self.config.costs.map_or(0, |costs| costs.kib * (SLICE as u64 / 1024));
            self.sender.next_at = now.mono + cost;
            return;
        }
        let Reading { mut message, applied, conf, image, data } =
            self.sender.reading.take().expect("invariant: checked above");
        self.state.store.engine_mut().end_image(image);
        // A leader of a later term asks again for whoever still needs it.
        if self.raft.role() == Role::Leader && self.raft.term() == message.term {
            let meta = SnapshotMeta { index: applied.index, term: applied.term, conf };
            fx.trace.push(TraceEvent::SnapshotSent { to: message.to, index: meta.index });
            // Raft knows which snapshot it has; the store offers a newer one.
            message.body = Body::Snapshot(Box::new(Snapshot { meta, data: data.into() }));
            fx.messages.push(message);
        }
    }
}
