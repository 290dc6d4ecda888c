//! Members come and go: spares join when they are added, who was removed goes.
//!
//! A scenario's machines are n1, n2, …; a member is one of them under an id. Who is added is found by its peer URL,
//! `http://nK:2380`: whatever ran there ends, its data directory is emptied, and a new member starts under the id that
//! the cluster gave it. That is what an operator does, after a look at the list of members; so it happens whether the
//! answer to the request arrived or not.

use super::node::Process;
use super::record::{NodeIndex, What};
use super::{Event, World};
use crate::check::membership::Change;
use crate::check::serializable::Restart;
use crate::scenario::Unsynced;
use seedbed::raft::NodeId;
use seedbed::time::{MILLISECOND, Nanos};

/// How long it takes until a member that was added is started.
const JOINS_AFTER: Nanos = 200 * MILLISECOND;

/// What a machine is to the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// A member.
    Member,
    /// None, and no process of it runs: it was not added yet, or has stopped for good.
    Spare,
    /// None any more; its process may not know.
    Removed,
}

impl World {
    /// Someone was added or removed, as the first member to apply it tells.
    pub(super) fn membership_changed(&mut self, change: Change) {
        match change {
            Change::Added { id, peer_urls } => {
                let number = |url: &String| url.strip_prefix("http://n")?.split(':').next()?.parse::<NodeIndex>().ok();
                let machine = peer_urls.iter().find_map(number).and_then(|number| number.checked_sub(1));
                if let Some(node) = machine.filter(|node| usize::from(*node) < self.nodes.len()) {
                    self.push(self.now + JOINS_AFTER, Event::Joins { node, id });
                }
            }
            Change::Removed(id) => {
                if let Some(node) = self.nodes.iter_mut().find(|node| node.id == id) {
                    node.standing = Standing::Removed;
                }
            }
        }
    }

    /// A member that was added is started, on an empty disk.
    pub(super) fn join(&mut self, index: NodeIndex, id: NodeId) {
        let at = usize::from(index);
        if !self.membership_checker.is_member(id) {
            return;
        }
        self.kill(index, Unsynced::Kept);
        self.by_id.insert(id, index);
        self.replay_checker.on_wipe(at);
        self.raft_checker.on_new_identity(at);
        let node = &mut self.nodes[at];
        node.disk.get().wipe();
        node.id = id;
        node.standing = Standing::Member;
        (node.joined, node.fresh, node.damaged, node.commit_seen) = (true, true, false, 0);
        self.note(What::Turn(index));
        // To whoever reads there without asking the others, the machine begins anew.
        self.restarts.push(Restart { member: index, at: self.now });
        if self.nodes[at].hold(|kind| kind == super::node::HoldKind::Down).is_none() {
            self.start(index);
        }
    }

    /// Whether the machine is a member.
    pub(super) fn is_member(&self, index: NodeIndex) -> bool {
        self.nodes[usize::from(index)].standing == Standing::Member
    }

    /// Compares who a member thinks the members are with what the log makes.
    pub(super) fn look_at_members(&mut self, index: NodeIndex) {
        if !std::mem::take(&mut self.members_to_compare) {
            return;
        }
        let at = usize::from(index);
        let Process::Running(member) = &self.nodes[at].process else { return };
        let applied = member.raft().applied();
        if member.raft().first_index() > applied + 1 {
            // A snapshot waits for its turn: the configuration is already that of its index.
            return;
        }
        let result = self.membership_checker.compare(at, applied, member.raft().conf(), member.cluster());
        self.fail(result);
    }
}
