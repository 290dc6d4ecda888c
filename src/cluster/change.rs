//! Changes: what an entry does to the cluster, and the records that say so.

use super::{Cluster, Member, REMOVED, VERSION, byte_of, hex, id_of_hex, is_version};
use crate::backend::{Bucket, Record};
use crate::bug::{Bug, BugSet};
use crate::pb::etcdserverpb::Request;
use crate::pb::ids::{AttributesJson, MemberJson};
use crate::pb::raftpb::{ConfChange, ConfChangeType};
use crate::raft::NodeId;
use bytes::Bytes;
use prost::Message as _;

/// Most learners at a time.
const MAX_LEARNERS: usize = 1;

/// One change, read from an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A member joins, as a voter or (`is_learner`) a learner.
    Add(Member),
    /// A learner becomes a voter.
    Promote(NodeId),
    /// A member leaves; its id never returns.
    Remove(NodeId),
    /// A member moves.
    Move {
        /// Who.
        id: NodeId,
        /// Where its peers reach it from now on.
        peer_urls: Vec<String>,
    },
    /// A member publishes what it is called and where it serves.
    Publish {
        /// Who.
        id: NodeId,
        /// Its name.
        name: String,
        /// Where clients reach it.
        client_urls: Vec<String>,
    },
    /// All members speak this version.
    Version(String),
}

/// Why a change is not made. Every member comes to the same answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// The entry's data is no change.
    #[error("expected {expected}, found other bytes")]
    Malformed {
        /// What should be there.
        expected: &'static str,
    },
    /// A JSON text breaks.
    #[error("expected {expected} as JSON, found a break at byte {offset}: {reason}")]
    Json {
        /// What should be there.
        expected: &'static str,
        /// Where, in bytes from the start of the text.
        offset: usize,
        /// How.
        reason: String,
    },
    /// The change names one member, its context another.
    #[error("expected a context for member {node_id:x}, found one for {found:x}")]
    Identity {
        /// The change's member.
        node_id: NodeId,
        /// The context's.
        found: NodeId,
    },
    /// The version is none.
    #[error("expected a version (major.minor.patch), found {found:?}")]
    Version {
        /// What stands there.
        found: String,
    },
    /// The id was a member's and was removed.
    #[error("member {id:x} was removed: an id never returns; add it anew, which gives it another id")]
    Removed {
        /// Whose.
        id: NodeId,
    },
    /// The id is a member's.
    #[error("member {id:x} is there already")]
    Exists {
        /// Whose.
        id: NodeId,
    },
    /// No member has the id.
    #[error("there is no member {id:x}")]
    NotFound {
        /// Whose.
        id: NodeId,
    },
    /// Another member has the address.
    #[error("the peer URL {url} is that of member {owner:x}")]
    UrlTaken {
        /// The address.
        url: String,
        /// Whose it is.
        owner: NodeId,
    },
    /// There is a learner already: each costs the leader as much as a voter does.
    #[error("there are {MAX_LEARNERS} learners already: promote one, or remove it")]
    TooManyLearners,
    /// Only a learner can be promoted.
    #[error("member {id:x} votes already: only a learner can be promoted")]
    NotLearner {
        /// Whose.
        id: NodeId,
    },
}

impl Change {
    /// Reads the data of a `ConfChange` entry.
    pub fn of_conf_change(data: &Bytes) -> Result<Change, ChangeError> {
        let malformed = ChangeError::Malformed { expected: "a raftpb.ConfChange (id, type, node id, context)" };
        let change = ConfChange::decode(data.clone()).map_err(|_| malformed.clone())?;
        let id = change.node_id;
        let kind = ConfChangeType::try_from(change.r#type).map_err(|_| malformed)?;
        if kind == ConfChangeType::ConfChangeRemoveNode {
            return Ok(Change::Remove(id));
        }
        let context = MemberJson::from_json(&change.context)
            .map_err(|error| json("a member as a change's context", &change.context, &error))?;
        if context.id != id {
            return Err(ChangeError::Identity { node_id: id, found: context.id });
        }
        Ok(match kind {
            ConfChangeType::ConfChangeUpdateNode => Change::Move { id, peer_urls: context.peer_urls },
            _ if context.is_promote == Some(true) => Change::Promote(id),
            // Raft goes by the type, etcd's records by the context; one who writes both writes them alike.
            _ => Change::Add(context.into()),
        })
    }

    /// Reads a request of the v2 store. `None`: it is about something else, of which nothing is kept here.
    pub fn of_v2(request: &Request) -> Result<Option<Change>, ChangeError> {
        if request.method != "PUT" {
            return Ok(None);
        }
        if request.path == "/0/version" {
            let found = request.val.clone();
            return if is_version(&found) {
                Ok(Some(Change::Version(found)))
            } else {
                Err(ChangeError::Version { found })
            };
        }
        let member = request.path.strip_prefix("/0/members/").and_then(|rest| rest.strip_suffix("/attributes"));
        let Some(id) = member.and_then(|text| id_of_hex(text.as_bytes())) else { return Ok(None) };
        let attributes = AttributesJson::from_json(request.val.as_bytes())
            .map_err(|error| json("a member's attributes", request.val.as_bytes(), &error))?;
        let AttributesJson { name, client_urls } = attributes;
        Ok(Some(Change::Publish { id, name, client_urls }))
    }
}

fn json(expected: &'static str, text: &[u8], error: &serde_json::Error) -> ChangeError {
    ChangeError::Json { expected, offset: byte_of(text, error), reason: error.to_string() }
}

impl Record {
    fn member(member: &Member) -> Record {
        Record { bucket: Bucket::Members, key: hex(member.id).into(), value: Some(member.to_json().into()) }
    }
}

impl Cluster {
    /// Makes the change. Returns the records to write; on an error nothing has changed.
    pub fn change(&mut self, change: Change, bugs: BugSet) -> Result<Vec<Record>, ChangeError> {
        match change {
            Change::Add(member) => self.add(member),
            Change::Promote(id) => {
                let member = self.member_mut(id)?;
                if !member.is_learner {
                    return Err(ChangeError::NotLearner { id });
                }
                member.is_learner = false;
                Ok(vec![Record::member(member)])
            }
            Change::Remove(id) => self.remove(id),
            Change::Move { id, peer_urls } => {
                self.member_mut(id)?;
                self.free_for(id, &peer_urls)?;
                let member = self.member_mut(id)?;
                member.peer_urls = peer_urls;
                // The bug (etcd #21694): everything that Raft's part says is replaced, and a move says nothing of this.
                member.is_learner &= !bugs.on(Bug::UpdateDropsLearner);
                Ok(vec![Record::member(member)])
            }
            Change::Publish { id, name, client_urls } => {
                let member = self.member_mut(id)?;
                (member.name, member.client_urls) = (name, client_urls);
                Ok(vec![Record::member(member)])
            }
            Change::Version(version) => {
                let value = Some(Bytes::from(version.clone()));
                self.version = Some(version);
                Ok(vec![Record { bucket: Bucket::Cluster, key: Bytes::from_static(VERSION), value }])
            }
        }
    }

    fn add(&mut self, member: Member) -> Result<Vec<Record>, ChangeError> {
        let id = member.id;
        if self.removed.contains(&id) {
            return Err(ChangeError::Removed { id });
        }
        if self.members.contains_key(&id) {
            return Err(ChangeError::Exists { id });
        }
        self.free_for(id, &member.peer_urls)?;
        let learners = self.members.values().filter(|member| member.is_learner).count();
        if member.is_learner && learners >= MAX_LEARNERS {
            return Err(ChangeError::TooManyLearners);
        }
        let record = Record::member(&member);
        self.members.insert(id, member);
        Ok(vec![record])
    }

    fn remove(&mut self, id: NodeId) -> Result<Vec<Record>, ChangeError> {
        self.member_mut(id)?;
        self.members.remove(&id);
        self.removed.insert(id);
        let key = Bytes::from(hex(id));
        Ok(vec![
            Record { bucket: Bucket::Members, key: key.clone(), value: None },
            Record { bucket: Bucket::MembersRemoved, key, value: Some(Bytes::from_static(REMOVED)) },
        ])
    }

    fn member_mut(&mut self, id: NodeId) -> Result<&mut Member, ChangeError> {
        if self.removed.contains(&id) {
            return Err(ChangeError::Removed { id });
        }
        self.members.get_mut(&id).ok_or(ChangeError::NotFound { id })
    }

    /// Two members must not have the same address.
    fn free_for(&self, id: NodeId, peer_urls: &[String]) -> Result<(), ChangeError> {
        let others = self.members.values().filter(|member| member.id != id);
        let taken = others.flat_map(|member| member.peer_urls.iter().map(move |url| (url, member.id)));
        match taken.into_iter().find(|(url, _)| peer_urls.contains(url)) {
            Some((url, owner)) => Err(ChangeError::UrlTaken { url: url.clone(), owner }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(kind: ConfChangeType, node_id: u64, context: &str) -> Result<Change, ChangeError> {
        let context = Bytes::copy_from_slice(context.as_bytes());
        let change = ConfChange { id: 0, r#type: kind.into(), node_id, context };
        Change::of_conf_change(&change.encode_to_vec().into())
    }

    fn put(path: &str, val: &str) -> Result<Option<Change>, ChangeError> {
        Change::of_v2(&Request { method: "PUT".into(), path: path.into(), val: val.into(), ..Request::default() })
    }

    use ConfChangeType::{
        ConfChangeAddLearnerNode as AddLearner, ConfChangeAddNode as Add, ConfChangeRemoveNode as Remove,
        ConfChangeUpdateNode as Update,
    };

    /// Contexts as etcd writes them, through a member's whole life.
    #[test]
    fn a_life_is_recorded_as_etcd_records_it() {
        let mut cluster = Cluster::default();
        let mut step = |change: Change| {
            let records = cluster.change(change, BugSet::NONE).unwrap();
            let text = |bytes: &Bytes| String::from_utf8(bytes.to_vec()).unwrap();
            records
                .iter()
                .map(|r| (r.bucket.name(), text(&r.key), r.value.as_ref().map_or("-".into(), text)))
                .collect::<Vec<_>>()
        };
        let one = |bucket, key: &str, value: &str| vec![(bucket, key.to_string(), value.to_string())];

        let joins = r#"{"id":10,"peerURLs":["http://a"],"isLearner":true,"isPromote":false}"#;
        let json = r#"{"id":10,"peerURLs":["http://a"],"isLearner":true}"#;
        assert_eq!(step(change(AddLearner, 10, joins).unwrap()), one("members", "a", json));
        let json = r#"{"id":10,"peerURLs":["http://a"],"isLearner":true,"name":"n\u003c","clientURLs":["http://c"]}"#;
        let publishes = put("/0/members/a/attributes", r#"{"name":"n<","clientURLs":["http://c"]}"#).unwrap().unwrap();
        assert_eq!(step(publishes), one("members", "a", json));
        let promotes = r#"{"id":10,"peerURLs":null,"isPromote":true}"#;
        let json = r#"{"id":10,"peerURLs":["http://a"],"name":"n\u003c","clientURLs":["http://c"]}"#;
        assert_eq!(step(change(Add, 10, promotes).unwrap()), one("members", "a", json));
        let json = r#"{"id":10,"peerURLs":["http://b"],"name":"n\u003c","clientURLs":["http://c"]}"#;
        assert_eq!(
            step(change(Update, 10, r#"{"id":10,"peerURLs":["http://b"]}"#).unwrap()),
            one("members", "a", json)
        );
        let removed = [one("members", "a", "-"), one("members_removed", "a", "removed")].concat();
        assert_eq!(step(change(Remove, 10, "").unwrap()), removed);
        let version = put("/0/version", "3.4.0").unwrap().unwrap();
        assert_eq!(step(version), one("cluster", "clusterVersion", "3.4.0"));
    }

    #[test]
    fn what_cannot_be_done_changes_nothing() {
        let member = |id, url: &str| Member { id, peer_urls: vec![url.into()], ..Member::default() };
        let mut cluster = Cluster::default();
        for id in 1..=3 {
            cluster.change(Change::Add(member(id, &format!("http://{id}"))), BugSet::NONE).unwrap();
        }
        cluster.change(Change::Remove(3), BugSet::NONE).unwrap();
        let before = cluster.clone();
        for (change, error) in [
            (Change::Add(member(3, "http://x")), ChangeError::Removed { id: 3 }),
            (Change::Add(member(1, "http://x")), ChangeError::Exists { id: 1 }),
            (Change::Add(member(4, "http://1")), ChangeError::UrlTaken { url: "http://1".into(), owner: 1 }),
            (Change::Promote(1), ChangeError::NotLearner { id: 1 }),
            (Change::Promote(9), ChangeError::NotFound { id: 9 }),
            (Change::Remove(3), ChangeError::Removed { id: 3 }),
            (
                Change::Move { id: 2, peer_urls: vec!["http://1".into()] },
                ChangeError::UrlTaken { url: "http://1".into(), owner: 1 },
            ),
            (Change::Publish { id: 9, name: "n".into(), client_urls: vec![] }, ChangeError::NotFound { id: 9 }),
        ] {
            assert_eq!(cluster.change(change, BugSet::NONE), Err(error));
            assert_eq!(cluster, before);
        }
        assert!(
            cluster.change(Change::Move { id: 2, peer_urls: vec!["http://2".into()] }, BugSet::NONE).is_ok(),
            "to where it is"
        );
    }

    #[test]
    fn garbled_changes_are_told_with_their_byte() {
        let cut = change(Add, 10, r#"{"id":10,"#).unwrap_err();
        assert!(matches!(cut, ChangeError::Json { offset: 8, .. }), "{cut:?}");
        assert_eq!(change(Add, 10, r#"{"id":11}"#), Err(ChangeError::Identity { node_id: 10, found: 11 }));
        assert!(matches!(Change::of_conf_change(&Bytes::from_static(b"\xff")), Err(ChangeError::Malformed { .. })));
        let cut = put("/0/members/a/attributes", r#"{"name":"n","clientURLs":[}"#).unwrap_err();
        assert!(matches!(cut, ChangeError::Json { offset: 26, .. }), "{cut:?}");
        assert_eq!(put("/0/version", "new"), Err(ChangeError::Version { found: "new".into() }));
        assert_eq!(put("/1/of/a/user", "x"), Ok(None));
        assert_eq!(put("/0/members/0a/attributes", "{}"), Ok(None), "no member's path");
        let delete = Request { method: "DELETE".into(), path: "/0/version".into(), ..Request::default() };
        assert_eq!(Change::of_v2(&delete), Ok(None));
    }
}
