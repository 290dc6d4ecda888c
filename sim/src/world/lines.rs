//! The lines between clients and members on which watch streams run.
//!
//! A line keeps the order of what is said on it, in each direction, as TCP does; its latency is that of the clients'
//! network. It breaks in three ways:
//! - Nobody listens where it leads to: the client is refused.
//! - The member's process goes away: the client's connection is reset. What the member had sent before still arrives.
//! - The clients' network is cut. Nobody is told: the first words that are lost leave both ends waiting, until the
//!   keepalive of each finds out ([`KEEPALIVE`]). On a line on which nothing was said meanwhile nothing was lost, and it
//!   goes on afterwards.
//!
//! Left out: bandwidth of the clients' network, and a limit of streams on a connection.

use super::node::HoldKind;
use super::record::{NodeIndex, What};
use super::stream::{Saying, Told};
use super::tasks::CallError;
use super::{Event, World};
use seedbed::member::{Input, StreamInput};
use seedbed::mvcc::watch::StreamId;
use seedbed::pb::etcdserverpb::WatchResponse;
use seedbed::time::{Nanos, SECOND};

/// When an end of a dead line notices: gRPC's keepalive, as Kubernetes and etcd's own proxies set it, shortened from 30 s.
const KEEPALIVE: Nanos = 3 * SECOND;

/// A line.
#[derive(Debug)]
pub(super) struct Line {
    node: NodeIndex,
    state: State,
    /// When the last words arrive, of those that are on their way to the member.
    last_in: Nanos,
    /// The same, to the client.
    last_out: Nanos,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing has arrived at the member.
    Opening,
    /// It leads to the member's process of this life.
    Open { life: u32 },
    /// Nothing passes any more.
    Broken,
}

impl World {
    /// Sends what programs say on their streams.
    pub(super) fn send_sayings(&mut self, sayings: Vec<Saying>) {
        for Saying { stream, member: node, said } in sayings {
            let new = Line { node, state: State::Opening, last_in: 0, last_out: 0 };
            let line = self.lines.entry(stream).or_insert(new);
            if line.state == State::Broken {
                if said == StreamInput::Closed {
                    self.lines.remove(&stream);
                }
                continue;
            }
            let latency = self.stream_network.within(self.scenario.network.client_latency);
            line.last_in = line.last_in.max(self.now + latency);
            let at = line.last_in;
            self.push(at, Event::Said { node, stream, said: Box::new(said) });
        }
    }

    /// A client's words arrive at a member.
    pub(super) fn on_said(&mut self, index: NodeIndex, stream: StreamId, said: Box<StreamInput>) {
        let Some(line) = self.lines.get_mut(&stream).filter(|line| line.state != State::Broken) else { return };
        let node = &self.nodes[usize::from(index)];
        if node.hold(|kind| kind == HoldKind::ClientsCut).is_some() {
            self.sever(stream);
            return;
        }
        match line.state {
            State::Opening if node.is_up() => line.state = State::Open { life: node.life },
            State::Opening => {
                self.break_line(stream, CallError::Refused);
                return;
            }
            State::Open { life } if node.is_up() && life == node.life => {}
            State::Open { .. } | State::Broken => return,
        }
        if *said == StreamInput::Closed {
            self.lines.remove(&stream);
        }
        self.note(What::Request(index));
        self.input(index, Input::Stream(stream, said));
    }

    /// A member's words leave for a client.
    pub(super) fn say_to_client(&mut self, index: NodeIndex, leaves: Nanos, stream: StreamId, response: WatchResponse) {
        let is_cut = self.nodes[usize::from(index)].hold(|kind| kind == HoldKind::ClientsCut).is_some();
        let Some(line) = self.lines.get_mut(&stream) else { return };
        if is_cut && line.state != State::Broken {
            self.sever(stream);
        } else if line.state != State::Broken {
            let latency = self.stream_network.within(self.scenario.network.client_latency);
            line.last_out = line.last_out.max(leaves + latency);
            let at = line.last_out;
            self.push(at, Event::Told { stream, told: Box::new(Told::Response(response)) });
        }
    }

    /// Words come down a stream to a program.
    pub(super) fn on_told(&mut self, stream: StreamId, told: Told) {
        self.note(What::Client);
        self.tasks.tell(stream, told);
        self.poll_clients();
    }

    /// A member's process is gone, and with it its ends of all lines.
    pub(super) fn reset_lines(&mut self, index: NodeIndex) {
        let is_cut = self.nodes[usize::from(index)].hold(|kind| kind == HoldKind::ClientsCut).is_some();
        let open = self.lines.iter().filter(|(_, line)| line.node == index && matches!(line.state, State::Open { .. }));
        for stream in open.map(|(stream, _)| *stream).collect::<Vec<_>>() {
            if is_cut { self.sever(stream) } else { self.break_line(stream, CallError::Reset) }
        }
    }

    /// Nothing passes from now on, and the client hears of it.
    fn break_line(&mut self, stream: StreamId, error: CallError) {
        let latency = self.stream_network.within(self.scenario.network.client_latency);
        let Some(line) = self.lines.get_mut(&stream) else { return };
        line.state = State::Broken;
        let at = line.last_out.max(self.now + latency);
        self.push(at, Event::Told { stream, told: Box::new(Told::Broken(error)) });
    }

    /// Nothing passes from now on, and both ends find out by themselves.
    fn sever(&mut self, stream: StreamId) {
        let Some(line) = self.lines.get_mut(&stream) else { return };
        let (node, state) = (line.node, line.state);
        line.state = State::Broken;
        let at = self.now + KEEPALIVE;
        self.push(at, Event::Told { stream, told: Box::new(Told::Broken(CallError::TimedOut)) });
        if let State::Open { life } = state {
            self.push(at, Event::LineLost { node, life, stream });
        }
    }

    /// A member finds out that a line is dead.
    pub(super) fn on_line_lost(&mut self, index: NodeIndex, stream: StreamId) {
        self.note(What::Request(index));
        self.input(index, Input::Stream(stream, Box::new(StreamInput::Closed)));
    }
}
