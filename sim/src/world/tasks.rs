//! Client programs: async functions that the world itself polls.
//!
//! A program awaits replies, timers and whatever it builds from them; the world wakes it when one comes, first in first
//! out. madsim's own executor is not used for this: it would pick among ready tasks at random and charge time for each
//! poll (measured, see the book's chapter 01).

use super::stream::{Incoming, Saying, Told};
use seedbed::api::{Credentials, Error, Request, Response};
use seedbed::mvcc::watch::StreamId;
use seedbed::time::Nanos;
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

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
    calls: BTreeMap<u64, Slot<CallResult>>,
    timers: BTreeMap<u64, Slot<()>>,
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
    pub(crate) request: Request,
    /// The operation of the history that it belongs to.
    pub(crate) operation: u32,
}

#[derive(Debug)]
struct Slot<T> {
    value: Option<T>,
    waker: Option<Waker>,
}

impl<T> Slot<T> {
    fn empty() -> Slot<T> {
        Slot { value: None, waker: None }
    }

    fn fill(&mut self, value: T) {
        self.value = Some(value);
        if let Some(waker) = self.waker.take() {
            waker.wake();
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
    pub fn sleep_until(&self, at: Nanos) -> impl Future<Output = ()> + use<> {
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
            shared.outbox.push(Outgoing { call: id, member, who, request, operation });
            id
        };
        let reply = Reply { shared: self.shared.clone(), id };
        let timer = self.sleep_until(deadline);
        First { reply, timer: Box::pin(timer) }.await
    }
}

struct Timer {
    shared: Rc<RefCell<Shared>>,
    id: u64,
}

impl Future for Timer {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut shared = self.shared.borrow_mut();
        let slot = shared.timers.get_mut(&self.id).expect("invariant: a timer lives as long as its future");
        poll_slot(slot, cx)
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.shared.borrow_mut().timers.remove(&self.id);
    }
}

struct Reply {
    shared: Rc<RefCell<Shared>>,
    id: u64,
}

impl Drop for Reply {
    fn drop(&mut self) {
        self.shared.borrow_mut().calls.remove(&self.id);
    }
}

/// The reply, or the timeout, whichever comes first.
struct First<T> {
    reply: Reply,
    timer: Pin<Box<T>>,
}

impl<T: Future<Output = ()>> Future for First<T> {
    type Output = CallResult;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<CallResult> {
        let id = self.reply.id;
        let answered = {
            let mut shared = self.reply.shared.borrow_mut();
            let slot = shared.calls.get_mut(&id).expect("invariant: a call lives as long as its future");
            poll_slot(slot, cx)
        };
        if answered.is_ready() {
            return answered;
        }
        self.timer.as_mut().poll(cx).map(|()| Err(CallError::TimedOut))
    }
}

fn poll_slot<T>(slot: &mut Slot<T>, cx: &mut Context<'_>) -> Poll<T> {
    match slot.value.take() {
        Some(value) => Poll::Ready(value),
        None => {
            slot.waker = Some(cx.waker().clone());
            Poll::Pending
        }
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
        self.timers.contains_key(&alarm)
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
    ready: Arc<Mutex<VecDeque<TaskId>>>,
}

struct Task {
    /// It runs as long as there is something to see, and the end does not wait for it.
    watches: bool,
    program: Pin<Box<dyn Future<Output = ()>>>,
    waker: Waker,
}

struct WakeUp {
    task: TaskId,
    ready: Arc<Mutex<VecDeque<TaskId>>>,
}

impl Wake for WakeUp {
    fn wake(self: Arc<Self>) {
        let mut ready = self.ready.lock().expect("invariant: nobody panics while queueing a wake-up");
        if !ready.contains(&self.task) {
            ready.push_back(self.task);
        }
    }
}

impl Tasks {
    pub(crate) fn new() -> Tasks {
        Tasks { shared: Rc::default(), tasks: Vec::new(), running: 0, watching: 0, ready: Arc::default() }
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
        let waker: Waker = Arc::new(WakeUp { task, ready: self.ready.clone() }).into();
        waker.wake_by_ref();
        self.tasks.push(Some(Task { watches, program: Box::pin(program), waker }));
    }

    /// Hands in a reply. Returns whether someone still waits for it.
    pub(crate) fn reply(&mut self, call: u64, result: CallResult) -> bool {
        let mut shared = self.shared.borrow_mut();
        let slot = shared.calls.get_mut(&call);
        slot.map(|slot| slot.fill(result)).is_some()
    }

    /// Rings an alarm. Returns whether someone still waits for it.
    pub(crate) fn ring(&mut self, alarm: u64) -> bool {
        let mut shared = self.shared.borrow_mut();
        let slot = shared.timers.get_mut(&alarm);
        slot.map(|slot| slot.fill(())).is_some()
    }

    /// Hands in what came down a stream.
    pub(super) fn tell(&mut self, stream: StreamId, told: Told) {
        if let Some(incoming) = self.shared.borrow_mut().streams.get_mut(&stream) {
            incoming.push(told);
        }
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
            let next = self.ready.lock().expect("invariant: nobody panics while queueing a wake-up").pop_front();
            let Some(id) = next else { return };
            let Some(task) = &mut self.tasks[id as usize] else { continue };
            let done = task.program.as_mut().poll(&mut Context::from_waker(&task.waker)).is_ready();
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
