//! A watch stream, as a program holds it: what it says, what it hears, and how much it can take.
//!
//! ```text
//!   program ── create, cancel, progress? ──▶ outbox ──▶ the world ──▶ member
//!           ── room for so many more ──────▶
//!           ◀── queue: at most `window` responses ◀── the world ◀── member
//! ```
//!
//! The window is what HTTP/2 calls flow control: the member sends no more than the program has room for, and the program
//! makes room by taking. So one that is slow to take leaves its events with the member, which is what slow consumers do
//! to a server (lesson 08).

use super::tasks::{CallError, Handle, Shared, TaskId};
use seedbed::api::Credentials;
use seedbed::member::StreamInput;
use seedbed::mvcc::watch::StreamId;
use seedbed::pb::etcdserverpb::watch_request::RequestUnion;
use seedbed::pb::etcdserverpb::{WatchRequest, WatchResponse};
use seedbed::time::Nanos;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

/// What comes down a stream.
#[derive(Clone, Debug, PartialEq, Hash)]
pub enum Told {
    /// The member says something.
    Response(WatchResponse),
    /// The stream is gone, and its watches with it. Nothing follows.
    Broken(CallError),
}

/// What has come and was not taken yet.
#[derive(Debug, Default)]
pub(super) struct Incoming {
    queue: VecDeque<Told>,
    /// Who waits for more.
    waits: Option<TaskId>,
}

impl Incoming {
    /// Says who is to be woken.
    pub(super) fn push(&mut self, told: Told) -> Option<TaskId> {
        self.queue.push_back(told);
        self.waits.take()
    }

    fn poll(&mut self, polled: TaskId) -> Poll<Told> {
        match self.queue.pop_front() {
            Some(told) => Poll::Ready(told),
            None => {
                self.waits = Some(polled);
                Poll::Pending
            }
        }
    }
}

/// Something on its way to a member.
#[derive(Debug)]
pub(super) struct Saying {
    pub(super) stream: StreamId,
    /// The member at the other end, from 0.
    pub(super) member: u8,
    pub(super) said: StreamInput,
}

/// See the module. Dropping it closes the stream.
#[derive(Debug)]
pub struct WatchStream {
    shared: Rc<RefCell<Shared>>,
    id: StreamId,
    member: u8,
    window: usize,
    /// Responses taken for which no room was announced yet.
    taken: usize,
}

impl Handle {
    /// Opens a stream to a member, with room for `window` responses. Whether there is anybody shows later.
    pub fn open_stream(&self, member: u8, who: Credentials, window: usize) -> WatchStream {
        let shared = self.shared().clone();
        let id = StreamId(shared.borrow_mut().number());
        shared.borrow_mut().streams.insert(id, Incoming::default());
        let stream = WatchStream { shared, id, member, window: window.max(1), taken: 0 };
        if who != Credentials::None {
            stream.send(StreamInput::OpenedBy(who));
        }
        stream.send(StreamInput::Room(stream.window));
        stream
    }
}

impl WatchStream {
    /// Asks the member for something.
    pub fn say(&self, request: RequestUnion) {
        self.send(StreamInput::Request(WatchRequest { request_union: Some(request) }));
    }

    fn send(&self, said: StreamInput) {
        self.shared.borrow_mut().sayings.push(Saying { stream: self.id, member: self.member, said });
    }

    /// Waits for what comes next; `None`: nothing came until `deadline`.
    pub async fn next(&mut self, handle: &Handle, deadline: Nanos) -> Option<Told> {
        let waiting = self.shared.borrow().streams.get(&self.id).is_some_and(|incoming| incoming.queue.is_empty());
        let told = if waiting {
            let mut timer = pin!(handle.sleep_until(deadline));
            poll_fn(|cx| match self.poll() {
                Poll::Ready(told) => Poll::Ready(Some(told)),
                Poll::Pending => timer.as_mut().poll(cx).map(|()| None),
            })
            .await?
        } else {
            poll_fn(|_| self.poll()).await
        };
        self.make_room(&told);
        Some(told)
    }

    fn poll(&self) -> Poll<Told> {
        let mut shared = self.shared.borrow_mut();
        let polled = shared.polled();
        let incoming =
            shared.streams.get_mut(&self.id).expect("invariant: a stream's queue lives as long as the stream");
        incoming.poll(polled)
    }

    /// Announces room once half of the window is used up: a message for each response would double the traffic.
    fn make_room(&mut self, told: &Told) {
        let Told::Response(response) = told else { return };
        // Answers to create and cancel came without room; of the parts of a response the last one counts.
        let asked_for = response.created || response.canceled && response.compact_revision == 0;
        if asked_for || response.fragment {
            return;
        }
        self.taken += 1;
        if self.taken * 2 >= self.window {
            let taken = std::mem::take(&mut self.taken);
            self.send(StreamInput::Room(taken));
        }
    }
}

impl Drop for WatchStream {
    fn drop(&mut self) {
        self.shared.borrow_mut().streams.remove(&self.id);
        self.send(StreamInput::Closed);
    }
}
