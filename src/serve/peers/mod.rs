//! Peers: what members say to each other, over HTTP/2.
//!
//! ```text
//!   driver ─▶ Peers ─┬─ prompt ────▶ connection 1 ─┐
//!                    ├─ log ───────▶ connection 2 ─┼─▶ incoming ─▶ driver of the other
//!                    └─ snapshots ─▶ one for each ─┘
//! ```
//!
//! A member dials each other one and only talks on what it dialled; answers come on what the other dialled. Each way
//! has a connection of its own, since streams of one connection share its bytes: a heartbeat behind a snapshot of a
//! gigabyte would come when nobody believes in the leader any more. **Prompt** are the small messages that elections and
//! reads wait for, and all answers. **Log** are appends and proposals, which may be large. **Snapshots** go one at a time,
//! in chunks, each on a connection that is closed behind it.
//!
//! # What may get lost
//! Anything; Raft asks again. A way has a queue with an end, by number and by bytes. What does not fit, or finds no
//! connection, is dropped, and the member is told that the other was [unreachable](Input::Unreachable). Nothing is ever
//! sent twice: a proposal that arrived twice would take effect twice. Of every snapshot the member hears whether it
//! arrived ([`Input::SnapshotSent`]).
//!
//! # Who may talk
//! A call says in its headers which cluster it is of, who calls, whom it means, how the caller can be reached, and the
//! version of this protocol ([`hello`]). A caller that means somebody else is refused, with a status that says why; so is
//! a removed one, whose member is told so ([`Input::Removed`]). A caller of this cluster that is no member *yet* is
//! heard: it may lead, and the one that lags must hear it to learn who it is. It is answered at the address that it gives.
//!
//! # Reading order
//! [`hello`] is what a call begins with, [`wire`] what it carries; [`dial`] connects; [`line`](mod@line) is a way out, [`snapshots`]
//! the third one; [`incoming`] hears; [`notes`] tells people, not too often.
//!
//! # Left out
//! TLS. A real etcd as peer: the messages are its own, but it frames them otherwise.

pub(super) mod dial;
mod hello;
pub(super) mod incoming;
mod line;
pub(super) mod notes;
mod snapshots;
mod wire;

use super::driver::Handle;
use crate::cluster::Cluster;
use crate::member::{Input, PeerMessage};
use crate::raft::{Body, Message, NodeId};
use line::{Line, Out};
use notes::Notes;
use snapshots::Snapshots;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tokio::runtime;
use tokio::sync::{Notify, watch};

/// So many that are no members are answered.
const MOST_STRANGERS: usize = 16;

/// What all ways know.
pub(super) struct Shared {
    pub(super) cluster_id: u64,
    pub(super) id: NodeId,
    pub(super) handle: Handle,
    pub(super) notes: Arc<Notes>,
    /// Where this member's peers reach it; what it tells those that it calls.
    own_urls: watch::Sender<Vec<String>>,
    /// Callers that the member would not hear, since they were removed.
    removed: watch::Sender<BTreeSet<NodeId>>,
}

impl Shared {
    pub(super) fn new(cluster_id: u64, id: NodeId, urls: Vec<String>, handle: Handle, notes: Arc<Notes>) -> Shared {
        let (own_urls, removed) = (watch::Sender::new(urls), watch::Sender::default());
        Shared { cluster_id, id, handle, notes, own_urls, removed }
    }
}

/// The driver's side of it.
pub(super) struct Peers {
    shared: Arc<Shared>,
    runtime: runtime::Handle,
    routes: BTreeMap<NodeId, Route>,
    /// Those of the routes that are no members, so far as this one knows.
    strangers: BTreeSet<NodeId>,
}

/// The ways to another member.
struct Route {
    /// Where it is, as the cluster's records say.
    recorded: Vec<String>,
    /// Where it is, as it says itself. It may have moved while this member was down.
    told: Vec<String>,
    prompt: Line,
    log: Line,
    snapshots: Snapshots,
    /// Told when the other was heard: whoever waits before it dials again need wait no longer.
    heard: Arc<Notify>,
}

/// Where another member is, as its ways out know it.
#[derive(Clone)]
struct Target {
    id: NodeId,
    urls: Vec<String>,
    heard: Arc<Notify>,
}

impl Peers {
    pub(super) fn new(shared: Arc<Shared>, runtime: runtime::Handle) -> Peers {
        Peers { shared, runtime, routes: BTreeMap::new(), strangers: BTreeSet::new() }
    }

    /// Lets the ways lead to those that are members now. What is under way to one that is none any more may still leave.
    pub(super) fn follow(&mut self, cluster: &Cluster) {
        let (own, removed) = (self.shared.id, &cluster.removed);
        self.strangers.retain(|id| !cluster.members.contains_key(id) && !removed.contains(id));
        let strangers = &self.strangers;
        self.routes.retain(|id, _| cluster.members.contains_key(id) || strangers.contains(id));
        for (id, member) in cluster.members.iter().filter(|(id, _)| **id != own) {
            let route = self.routes.get(id);
            if route.is_none_or(|route| route.recorded != member.peer_urls) {
                let told = route.map_or_else(Vec::new, |route| route.told.clone());
                self.open(*id, member.peer_urls.clone(), told);
            }
        }
        if let Some(member) = cluster.members.get(&own) {
            self.shared.own_urls.send_if_modified(|urls| {
                let moved = *urls != member.peer_urls;
                urls.clone_from(&member.peer_urls);
                moved
            });
        }
    }

    /// Somebody called, and said where it can be reached.
    pub(super) fn met(&mut self, id: NodeId, urls: Vec<String>) {
        match self.routes.get(&id) {
            Some(route) if urls.iter().all(|url| route.recorded.contains(url) || route.told.contains(url)) => {
                route.heard.notify_waiters();
            }
            Some(route) => self.open(id, route.recorded.clone(), urls),
            None if self.strangers.len() < MOST_STRANGERS => {
                self.strangers.insert(id);
                self.open(id, Vec::new(), urls);
            }
            None => self.shared.notes.line("strangers", format!("peer {id:x} is no member and one too many to answer")),
        }
    }

    /// Sends a message of Raft. What is said at once about its fate comes back.
    pub(super) fn send(&mut self, message: Message) -> Option<Input> {
        let to = message.to;
        let Some(route) = self.routes.get(&to) else { return Some(lost(&message)) };
        let unreachable = lost(&message);
        let taken = match &message.body {
            // What becomes of it is reported by the way itself, also when it cannot be taken.
            Body::Snapshot(_) => {
                route.snapshots.send(message);
                true
            }
            Body::Append { .. } | Body::Propose { .. } => route.log.send(Out::Raft(message)),
            _ => route.prompt.send(Out::Raft(message)),
        };
        (!taken).then_some(unreachable)
    }

    /// Sends what members ask each other besides Raft.
    pub(super) fn ask(&mut self, to: NodeId, message: PeerMessage) {
        if let Some(route) = self.routes.get(&to) {
            // Whoever asks does not wait for ever.
            route.log.send(Out::Other(message));
        }
    }

    /// The member would not hear that one, since it was removed: its calls are told so.
    pub(super) fn reject(&mut self, id: NodeId) {
        self.shared.removed.send_if_modified(|removed| removed.insert(id));
    }

    /// Whether what is sent to that one probably arrives.
    pub(super) fn reaches(&self, id: NodeId) -> bool {
        self.routes.get(&id).is_some_and(|route| route.prompt.is_up() && route.log.is_up())
    }

    fn open(&mut self, id: NodeId, recorded: Vec<String>, told: Vec<String>) {
        let heard = Arc::new(Notify::new());
        let mut urls = recorded.clone();
        urls.extend(told.iter().filter(|url| !recorded.contains(url)).cloned());
        let target = Target { id, urls, heard: heard.clone() };
        let _in_runtime = self.runtime.enter();
        let line = |name| Line::open(name, self.shared.clone(), target.clone());
        let (prompt, log) = (line("prompt"), line("log"));
        let snapshots = Snapshots::open(self.shared.clone(), target);
        self.routes.insert(id, Route { recorded, told, prompt, log, snapshots, heard });
    }
}

/// What the member hears of a message that does not arrive.
fn lost(message: &Message) -> Input {
    match message.body {
        Body::Snapshot(_) => Input::SnapshotSent(message.to, false),
        _ => Input::Unreachable(message.to),
    }
}
