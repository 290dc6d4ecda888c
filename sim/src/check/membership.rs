//! Membership: who the members are follows from the log, at every member alike (`membership`).
//!
//! **What.** The list of members and Raft's configuration are made by the same entries, by two parts of a member that know
//! nothing of each other: one writes down who is who, the other counts votes. After each change that a member applied,
//! after each of its starts and each snapshot
//! 1. its list must be what the entries up to there make of an empty one: who, at which addresses, with or without a vote;
//! 2. its configuration must have the same voters and the same learners;
//! 3. an id that was removed must be on neither; and a member may stop as a removed one only if it was removed.
//!
//! **How.** A model of its own, not the store's: the rules by which a change is made or refused, written down a second
//! time. It takes the committed entries in order and keeps what held from which index on.
//!
//! **Left out.** Names and client addresses, which members tell of themselves; guards, which refuse a change before it is an
//! entry: what they let through is made all the same.

use super::Failure;
use prost::Message as _;
use seedbed::cluster::Cluster;
use seedbed::pb::ids::MemberJson;
use seedbed::pb::raftpb::{ConfChange, ConfChangeType};
use seedbed::raft::{ConfState, Entry, EntryKind, NodeId};
use std::collections::{BTreeMap, BTreeSet};

/// Most learners at a time (etcd's --max-learners).
const MAX_LEARNERS: usize = 1;

/// See the module.
#[derive(Debug)]
pub struct MembershipChecker {
    /// How many the log begins with: up to there a configuration is known before its entries are applied.
    founders: u64,
    /// What held from which index on; never empty.
    states: Vec<(u64, Members)>,
    /// The last entry that is known.
    known: u64,
    changes: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Members {
    members: BTreeMap<NodeId, Known>,
    removed: BTreeSet<NodeId>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Known {
    peer_urls: Vec<String>,
    learner: bool,
}

/// Who came or went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A member that is to be started.
    Added {
        /// Its id.
        id: NodeId,
        /// Where its peers will look for it.
        peer_urls: Vec<String>,
    },
    /// A member that is to stop.
    Removed(NodeId),
}

impl MembershipChecker {
    /// For a cluster that begins with so many members.
    pub fn new(founders: u64) -> MembershipChecker {
        MembershipChecker { founders, states: vec![(0, Members::default())], known: 0, changes: 0 }
    }

    /// An entry was applied for the first time. Entries come in order. Says who came or went by it, but for the founders.
    pub fn on_entry(&mut self, entry: &Entry) -> Option<Change> {
        self.known = entry.index;
        if entry.kind != EntryKind::ConfChange {
            return None;
        }
        let mut members = self.newest().clone();
        let came = members.change(&ConfChange::decode(entry.data.clone()).ok()?)?;
        self.states.push((entry.index, members));
        if entry.index <= self.founders {
            return None;
        }
        self.changes += 1;
        came
    }

    /// A member has applied everything up to `applied`, and has come to this.
    pub fn compare(&self, member: usize, applied: u64, conf: &ConfState, cluster: &Cluster) -> Result<(), Failure> {
        if applied < self.founders || applied > self.known {
            return Ok(());
        }
        let state = self.states.iter().rev().find(|state| state.0 <= applied).unwrap_or(&self.states[0]);
        let wrong = |what: String| {
            let text = format!("n{} at applied index {applied}: {what}", member + 1);
            Err(Failure::new("membership", text))
        };
        let listed = |(id, record): (&NodeId, &seedbed::cluster::Member)| {
            (*id, Known { peer_urls: record.peer_urls.clone(), learner: record.is_learner })
        };
        let list: BTreeMap<NodeId, Known> = cluster.members.iter().map(listed).collect();
        if list != state.1.members {
            return wrong(format!("its list of members is {}, the log gives {}", text(&list), text(&state.1.members)));
        }
        if cluster.removed != state.1.removed {
            return wrong(format!(
                "it knows of {} removed members, the log of {}",
                cluster.removed.len(),
                state.1.removed.len()
            ));
        }
        let ids = |learner: bool| -> Vec<NodeId> {
            state.1.members.iter().filter(|member| member.1.learner == learner).map(|member| *member.0).collect()
        };
        if conf.voters != ids(false) || conf.learners != ids(true) || !conf.voters_outgoing.is_empty() {
            return wrong(format!(
                "its configuration has voters {:x?} and learners {:x?}, the log gives {:x?} and {:x?}",
                conf.voters,
                conf.learners,
                ids(false),
                ids(true)
            ));
        }
        Ok(())
    }

    /// A member stops because, it says, it was removed.
    pub fn on_removed_stops(&self, member: usize, id: NodeId) -> Result<(), Failure> {
        if self.newest().removed.contains(&id) {
            return Ok(());
        }
        Err(Failure::new("membership", format!("n{} stops as a removed member, and nobody removed it", member + 1)))
    }

    /// Whether the newest entries leave the id a member.
    pub fn is_member(&self, id: NodeId) -> bool {
        self.newest().members.contains_key(&id)
    }

    /// Whether it is one without a vote.
    pub fn is_learner(&self, id: NodeId) -> bool {
        self.newest().members.get(&id).is_some_and(|member| member.learner)
    }

    /// Changes that were made after the cluster began.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    fn newest(&self) -> &Members {
        &self.states.last().expect("invariant: there is a state").1
    }
}

fn text(members: &BTreeMap<NodeId, Known>) -> String {
    let member = |(id, known): (&NodeId, &Known)| {
        let learner = if known.learner { " (learner)" } else { "" };
        format!("{id:x}{learner} at {}", known.peer_urls.join(" "))
    };
    members.iter().map(member).collect::<Vec<_>>().join(", ")
}

impl Members {
    /// Makes a change; `None` if it is refused. The inner `None`: nobody came or went.
    fn change(&mut self, change: &ConfChange) -> Option<Option<Change>> {
        let id = change.node_id;
        if self.removed.contains(&id) {
            return None;
        }
        if change.r#type() == ConfChangeType::ConfChangeRemoveNode {
            self.members.remove(&id)?;
            self.removed.insert(id);
            return Some(Some(Change::Removed(id)));
        }
        let json = MemberJson::from_json(&change.context).ok().filter(|json| json.id == id)?;
        let others = self.members.iter().filter(|other| *other.0 != id);
        let taken = others.into_iter().any(|other| other.1.peer_urls.iter().any(|url| json.peer_urls.contains(url)));
        match change.r#type() {
            ConfChangeType::ConfChangeUpdateNode => {
                let member = self.members.get_mut(&id).filter(|_| !taken)?;
                member.peer_urls = json.peer_urls;
                Some(None)
            }
            _ if json.is_promote == Some(true) => {
                let member = self.members.get_mut(&id).filter(|member| member.learner)?;
                member.learner = false;
                Some(None)
            }
            _ => {
                let learners = self.members.values().filter(|member| member.learner).count();
                let full = json.is_learner && learners >= MAX_LEARNERS;
                if taken || full || self.members.contains_key(&id) {
                    return None;
                }
                let peer_urls = json.peer_urls;
                self.members.insert(id, Known { peer_urls: peer_urls.clone(), learner: json.is_learner });
                Some(Some(Change::Added { id, peer_urls }))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use seedbed::cluster::Member;

    fn entry(index: u64, kind: ConfChangeType, node_id: NodeId, context: &str) -> Entry {
        let change = ConfChange { id: 0, r#type: kind.into(), node_id, context: context.to_owned().into() };
        Entry { kind: EntryKind::ConfChange, term: 1, index, data: change.encode_to_vec().into() }
    }

    /// One founder, a learner that moves, is promoted, and goes.
    fn life() -> (MembershipChecker, Vec<Option<Change>>) {
        let mut checker = MembershipChecker::new(1);
        let entries = [
            entry(1, ConfChangeType::ConfChangeAddNode, 1, r#"{"id":1,"peerURLs":["http://a:1"]}"#),
            entry(
                2,
                ConfChangeType::ConfChangeAddLearnerNode,
                2,
                r#"{"id":2,"peerURLs":["http://b:1"],"isLearner":true,"isPromote":false}"#,
            ),
            entry(3, ConfChangeType::ConfChangeUpdateNode, 2, r#"{"id":2,"peerURLs":["http://c:1"]}"#),
            entry(4, ConfChangeType::ConfChangeAddNode, 2, r#"{"id":2,"peerURLs":null,"isPromote":true}"#),
            entry(5, ConfChangeType::ConfChangeRemoveNode, 2, ""),
            entry(6, ConfChangeType::ConfChangeAddNode, 2, r#"{"id":2,"peerURLs":["http://b:1"],"isPromote":false}"#),
        ];
        let came = entries.iter().map(|entry| checker.on_entry(entry)).collect();
        (checker, came)
    }

    fn cluster(members: &[(NodeId, &str, bool)], removed: &[NodeId]) -> Cluster {
        let member = |&(id, url, is_learner): &(NodeId, &str, bool)| {
            (id, Member { id, peer_urls: vec![url.to_owned()], is_learner, ..Member::default() })
        };
        Cluster {
            members: members.iter().map(member).collect(),
            removed: removed.iter().copied().collect(),
            version: None,
        }
    }

    fn conf(voters: &[NodeId], learners: &[NodeId]) -> ConfState {
        ConfState { voters: voters.to_vec(), learners: learners.to_vec(), ..ConfState::default() }
    }

    #[test]
    fn what_the_log_makes_passes() {
        let (checker, came) = life();
        assert_eq!(came[1], Some(Change::Added { id: 2, peer_urls: vec!["http://b:1".into()] }));
        assert_eq!(came[4..], [Some(Change::Removed(2)), None], "an id never returns");
        assert_eq!(checker.changes(), 4);
        let alone = cluster(&[(1, "http://a:1", false)], &[]);
        assert_eq!(checker.compare(0, 1, &conf(&[1], &[]), &alone), Ok(()));
        let learning = cluster(&[(1, "http://a:1", false), (2, "http://c:1", true)], &[]);
        assert_eq!(checker.compare(0, 3, &conf(&[1], &[2]), &learning), Ok(()));
        let gone = cluster(&[(1, "http://a:1", false)], &[2]);
        assert_eq!(checker.compare(0, 6, &conf(&[1], &[]), &gone), Ok(()));
        assert_eq!(checker.on_removed_stops(1, 2), Ok(()));
    }

    #[test]
    fn what_the_log_does_not_make_is_found() {
        let (checker, _) = life();
        let founder = (1, "http://a:1", false);
        for (applied, conf, cluster) in [
            // A learner whose move made a voter of it, in the list alone.
            (3, conf(&[1], &[2]), cluster(&[founder, (2, "http://c:1", false)], &[])),
            // A configuration that is late.
            (4, conf(&[1], &[2]), cluster(&[founder, (2, "http://c:1", false)], &[])),
            // An old address.
            (3, conf(&[1], &[2]), cluster(&[founder, (2, "http://b:1", true)], &[])),
            // A removed member that returned.
            (6, conf(&[1, 2], &[]), cluster(&[founder, (2, "http://b:1", false)], &[])),
            // A removal that is forgotten.
            (5, conf(&[1], &[]), cluster(&[founder], &[])),
        ] {
            let failure = checker.compare(0, applied, &conf, &cluster).unwrap_err();
            assert_eq!(failure.check, "membership", "{}", failure.text);
        }
        assert_eq!(checker.on_removed_stops(0, 1).unwrap_err().check, "membership");
    }
}
