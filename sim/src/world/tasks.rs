//! Client programs: async functions that the world itself polls.
//!
//! A program awaits replies, timers, streams and whatever it builds from them, and nothing else; the world wakes it when
//! one comes, first in first out. What is awaited keeps the program's number instead of a waker: nothing here crosses
//! threads, and a waker would have to be able to. madsim's own executor is not used for this: it would pick among ready
//! tasks at random and charge time for each poll (measured, see the book's chapter 01).

use super::stream::{Incoming, Saying, Told};
use seedbed::api::{Credentials, Error, Request, Response};
use seedbed::mvcc::watch::StreamId;
use seedbed::time::Nanos;
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// A program's number.
pub type TaskId = u32;

/// How a call over the network ended, when not with the member's own reply.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum CallError {
    /// The member answered with an error.
    Member(Error),
    /// Nobody listens there: the request was not delivered.
    Refused,
    /// The connection broke after the request was sent.
    Reset,
    /// No answer in time.
    TimedOut,
}

/// What a call brings.
pub type CallResult = Result<Response, CallError>;

/// The programs' side of the world: what they await and what they ask for.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    now: Nanos,
    next_id: u64,
    calls: Waiting<Slot<Box<CallResult>>>,
    timers: Waiting<Slot<()>>,
    /// The program that is being polled.
    polled: TaskId,
    /// Programs to poll, each once.
    ready: VecDeque<TaskId>,
    /// For the world to send.
    pub(crate) outbox: Vec<Outgoing>,
    /// For the world to ring.
    pub(crate) alarms: Vec<(Nanos, u64)>,
    /// What came down watch streams.
    pub(super) streams: BTreeMap<StreamId, Incoming>,
    /// What is said on watch streams, for the world to send.
    pub(super) sayings: Vec<Saying>,
    /// Set when nothing more will happen: the revision up to which everybody should hear.
    pub(super) closing: Option<i64>,
}

/// A request on its way out.
#[derive(Debug)]
pub(crate) struct Outgoing {
    /// The call's number; the reply carries it back.
    pub(crate) call: u64,
    /// The member asked, from 0.
    pub(crate) member: u8,
    /// Who asks.
    pub(crate) who: Credentials,
    /// What is asked.
    pub(crate) request: Box<Request>,
    /// The operation of the history that it belongs to.
    pub(crate) operation: u32,
}

#[derive(Debug)]
struct Slot<T> {
    value: Option<T>,
    /// Who waits for it.
    waits: Option<TaskId>,
}

impl<T> Slot<T> {
    fn empty() -> Slot<T> {
        Slot { value: None, waits: None }
    }

    /// Says who is to be woken.
    fn fill(&mut self, value: T) -> Option<TaskId> {
        self.value = Some(value);
        self.waits.take()
    }

    fn poll(&mut self, polled: TaskId) -> Poll<T> {
        if self.value.is_none() {
            self.waits = Some(polled);
        }
        self.value.take().map_or(Poll::Pending, Poll::Ready)
    }
}

/// What is waited for, by numbers that only grow: few at once, and the oldest are done first.
#[derive(Debug)]
struct Waiting<T>(Vec<(u64, T)>);

impl<T> Default for Waiting<T> {
    fn default() -> Waiting<T> {
        Waiting(Vec::new())
    }
}

impl<T> Waiting<T> {
    fn insert(&mut self, id: u64, value: T) {
        assert!(self.0.last().is_none_or(|(last, _)| *last < id), "invariant: numbers grow");
        self.0.push((id, value));
    }

    fn place(&self, id: u64) -> Option<usize> {
        self.0.binary_search_by_key(&id, |(id, _)| *id).ok()
    }

    fn get_mut(&mut self, id: u64) -> Option<&mut T> {
        self.place(id).map(|at| &mut self.0[at].1)
    }

    fn remove(&mut self, id: u64) {
        if let Some(at) = self.place(id) {
            self.0.remove(at);
        }
    }
}

/// What a program holds of the world: its clock, its timers, its network.
#[derive(Clone, Debug)]
pub struct Handle {
    shared: Rc<RefCell<Shared>>,
}

impl Handle {
    /// The world's time.
    pub fn now(&self) -> Nanos {
        self.shared.borrow().now
    }

    /// The revision up to which watches should hear, once nothing more will happen.
    pub fn closing(&self) -> Option<i64> {
        self.shared.borrow().closing
    }

    pub(super) fn shared(&self) -> &Rc<RefCell<Shared>> {
        &self.shared
    }

    /// Waits until a moment.
    pub fn sleep_until(&self, at: Nanos) -> impl Future<Output = ()> + Unpin + use<> {
        let mut shared = self.shared.borrow_mut();
        let id = shared.number();
        shared.timers.insert(id, Slot::empty());
        shared.alarms.push((at, id));
        Timer { shared: self.shared.clone(), id }
    }

    /// Sends a request to a member and waits for what comes of it, at most until `deadline`.
    pub async fn call(&self, member: u8, request: Request, operation: u32, deadline: Nanos) -> CallResult {
        self.call_as(member, Credentials::None, request, operation, deadline).await
    }

    /// The same, saying who asks.
    pub async fn call_as(
        &self,
        member: u8,
        who: Credentials,
        request: Request,
        operation: u32,
        deadline: Nanos,
    ) -> CallResult {
        let id = {
            let mut shared = self.shared.borrow_mut();
            let id = shared.number();
            shared.calls.insert(id, Slot::empty());
            shared.outbox.push(Outgoing { call: id, member, who, request: Box::new(request), operation });
            id
        };
        let reply = Reply { shared: self.shared.clone(), id };
        let timer = self.sleep_until(deadline);
        First { reply, timer }.await
    }
}

struct Timer {
    shared: Rc<RefCell<Shared>>,
    id: u64,
}

impl Future for Timer {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        let shared = &mut *self.shared.borrow_mut();
        let slot = shared.timers.get_mut(self.id).expect("invariant: a timer lives as long as its future");
        slot.poll(shared.polled)
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.shared.borrow_mut().timers.remove(self.id);
    }
}

struct Reply {
    shared: Rc<RefCell<Shared>>,
    id: u64,
}

impl Drop for Reply {
    fn drop(&mut self) {
        self.shared.borrow_mut().calls.remove(self.id);
    }
}

/// The reply, or the timeout, whichever comes first.
struct First<T> {
    reply: Reply,
    timer: T,
}

impl<T: Future<Output = ()> + Unpin> Future for First<T> {
    type Output = CallResult;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<CallResult> {
        let id = self.reply.id;
        let answered = {
            let shared = &mut *self.reply.shared.borrow_mut();
            let slot = shared.calls.get_mut(id).expect("invariant: a call lives as long as its future");
            slot.poll(shared.polled)
        };
        if let Poll::Ready(result) = answered {
            return Poll::Ready(*result);
        }
        Pin::new(&mut self.timer).poll(cx).map(|()| Err(CallError::TimedOut))
    }
}

impl Shared {
    /// A number that nothing else has.
    pub(super) fn number(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id - 1
    }

    /// Whether someone still waits for an alarm.
    pub(crate) fn is_awaited(&self, alarm: u64) -> bool {
        self.timers.place(alarm).is_some()
    }

    /// The program that is being polled: what it awaits keeps its number.
    pub(super) fn polled(&self) -> TaskId {
        self.polled
    }

    fn wake(&mut self, task: Option<TaskId>) {
        if let Some(task) = task.filter(|task| !self.ready.contains(task)) {
            self.ready.push_back(task);
        }
    }
}

/// The programs and their executor.
pub(crate) struct Tasks {
    shared: Rc<RefCell<Shared>>,
    tasks: Vec<Option<Task>>,
    /// Programs that have not ended.
    running: usize,
    /// The same, of those that run as long as the others do.
    watching: usize,
}

struct Task {
    /// It runs as long as there is something to see, and the end does not wait for it.
    watches: bool,
    program: Pin<Box<dyn Future<Output = ()>>>,
}

impl Tasks {
    pub(crate) fn new() -> Tasks {
        Tasks { shared: Rc::default(), tasks: Vec::new(), running: 0, watching: 0 }
    }

    pub(crate) fn handle(&self) -> Handle {
        Handle { shared: self.shared.clone() }
    }

    pub(crate) fn shared(&self) -> std::cell::RefMut<'_, Shared> {
        self.shared.borrow_mut()
    }

    /// Adds a program; it is polled for the first time with the next [`Tasks::poll_ready`].
    pub(crate) fn spawn(&mut self, program: impl Future<Output = ()> + 'static) {
        self.running += 1;
        self.add(program, false);
    }

    /// Adds a program that watches what the others do, until [`Handle::closing`] says that there is nothing more to see.
    pub(crate) fn spawn_watching(&mut self, program: impl Future<Output = ()> + 'static) {
        self.watching += 1;
        self.add(program, true);
    }

    fn add(&mut self, program: impl Future<Output = ()> + 'static, watches: bool) {
        let task = TaskId::try_from(self.tasks.len()).expect("invariant: fewer than 2^32 programs");
        self.shared.borrow_mut().wake(Some(task));
        self.tasks.push(Some(Task { watches, program: Box::pin(program) }));
    }

    /// Hands in a reply. Returns whether someone still waits for it.
    pub(crate) fn reply(&mut self, call: u64, result: Box<CallResult>) -> bool {
        let mut shared = self.shared.borrow_mut();
        let Some(slot) = shared.calls.get_mut(call) else { return false };
        let waits = slot.fill(result);
        shared.wake(waits);
        true
    }

    /// Rings an alarm. Returns whether someone still waits for it.
    pub(crate) fn ring(&mut self, alarm: u64) -> bool {
        let mut shared = self.shared.borrow_mut();
        let Some(slot) = shared.timers.get_mut(alarm) else { return false };
        let waits = slot.fill(());
        shared.wake(waits);
        true
    }

    /// Hands in what came down a stream.
    pub(super) fn tell(&mut self, stream: StreamId, told: Told) {
        let mut shared = self.shared.borrow_mut();
        let waits = shared.streams.get_mut(&stream).and_then(|incoming| incoming.push(told));
        shared.wake(waits);
    }

    /// Whether every program has ended that does not watch the others.
    pub(crate) fn all_done(&self) -> bool {
        self.running == 0
    }

    /// Whether those have ended, too.
    pub(crate) fn nobody_watches(&self) -> bool {
        self.watching == 0
    }

    /// Polls every program that was woken, and those that they wake, until none is ready.
    pub(crate) fn poll_ready(&mut self, now: Nanos) {
        self.shared.borrow_mut().now = now;
        loop {
            let next = self.shared.borrow_mut().ready.pop_front();
            let Some(id) = next else { return };
            let Some(task) = &mut self.tasks[id as usize] else { continue };
            self.shared.borrow_mut().polled = id;
            let done = task.program.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready();
            if done {
                *if task.watches { &mut self.watching } else { &mut self.running } -= 1;
                self.tasks[id as usize] = None;
            }
        }
    }
}

impl std::fmt::Debug for Tasks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tasks").field("tasks", &self.tasks.len()).finish_non_exhaustive()
    }
}
