//! Who a member is: its id, and its cluster's.
//!
//! - **Where there is data**, it says so: the log begins with both ids. Settings of an initial cluster do not count any
//!   more, as with etcd.
//! - **In a new cluster** each member computes the ids of all from their addresses and the cluster's token.
//! - **In one that is there** the ids cannot be computed: who was added got one that depends on the time. So one of the
//!   others is asked, and this member is the one there that has its addresses.
//!
//! A member that lost its data and begins again as one of a new cluster would vote a second time where it voted before.
//! The others know that it had begun ([`IdentityError::Bootstrapped`]).

use super::options::Options;
use super::peers::dial::{Connection, DialError};
use super::tls::Connector;
use crate::disk::DiskRead;
use crate::member::{InitialClusterState, Peer, WAL_DIR};
use crate::pb::etcdserverpb::Metadata;
use crate::pb::ids::{self, MemberJson};
use crate::raft::NodeId;
use crate::wal;
use hyper::body::Body as _;
use prost::Message as _;
use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;
use tonic::body::Body;
use tonic::codegen::http;
use tower::Service as _;

/// How long one of the others may take to say who the members are.
const ANSWERS_WITHIN: Duration = Duration::from_secs(2);
/// No list of members is as long.
const MAX_LIST: usize = 1 << 20;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) id: NodeId,
    pub(super) cluster_id: u64,
    /// The first members; empty where there is data.
    pub(super) initial_cluster: Vec<Peer>,
}

/// Why a member cannot tell who it is.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The initial cluster does not have it.
    #[error("--initial-cluster has no member {name:?}, which is this one's --name; add {name}=ADDRESS")]
    Nameless {
        /// Its name.
        name: String,
    },
    /// The initial cluster has other addresses for it.
    #[error(
        "--initial-cluster has {name}={} but --initial-advertise-peer-urls is {}; they must be the same",
        .cluster.join(","),
        .own.join(",")
    )]
    Addresses {
        /// Its name.
        name: String,
        /// The addresses there.
        cluster: Vec<String>,
        /// Its own.
        own: Vec<String>,
    },
    /// None of the others says who the members are.
    #[error("cannot fetch the cluster's members from any of the others: {}", .reasons.join("; "))]
    NobodyTells {
        /// What each attempt came to.
        reasons: Vec<String>,
    },
    /// The cluster has other members than the initial cluster says.
    #[error(
        "--initial-cluster names {expected} members, the cluster at {url} has {found}: {members}; \
         add this one by `member add`, then name exactly these"
    )]
    Count {
        /// How many were expected.
        expected: usize,
        /// How many there are.
        found: usize,
        /// Who was asked.
        url: String,
        /// Their addresses.
        members: String,
    },
    /// No member there has these addresses.
    #[error("the cluster at {url} has no member at {}, as --initial-cluster says of {name}; its members: {members}", .urls.join(","))]
    Unmatched {
        /// Whose.
        name: String,
        /// The addresses.
        urls: Vec<String>,
        /// Who was asked.
        url: String,
        /// Their addresses.
        members: String,
    },
    /// It was part of the cluster before, and its data is gone.
    #[error(
        "member {id:x} has already been bootstrapped, and its data directory is empty; \
         remove it from the cluster, add it anew and start it with --initial-cluster-state existing"
    )]
    Bootstrapped {
        /// Its id.
        id: NodeId,
    },
}

/// What the data says, if there is some that says it. (Of damaged data the member tells what is wrong with it.)
pub(super) fn of_data(disk: &dyn DiskRead) -> Option<Identity> {
    let metadata = Metadata::decode(wal::metadata(disk, WAL_DIR)?).ok()?;
    Some(Identity { id: metadata.node_id, cluster_id: metadata.cluster_id, initial_cluster: Vec::new() })
}

/// What the settings say, and for a cluster that is there its members.
pub(super) async fn of_settings(options: &Options, tls: Option<&Connector>) -> Result<Identity, IdentityError> {
    let name = options.name.clone();
    let Some(own) = options.initial_cluster.get(&name) else { return Err(IdentityError::Nameless { name }) };
    if sorted(own) != sorted(&options.initial_advertise_peer_urls) {
        let (cluster, own) = (own.clone(), options.initial_advertise_peer_urls.clone());
        return Err(IdentityError::Addresses { name, cluster, own });
    }
    match options.initial_cluster_state {
        InitialClusterState::New => {
            let identity = computed(options);
            // Nobody to ask is the rule: the others begin as well.
            match ask_others(options, tls).await {
                Ok(told) if told.has_begun(&identity) => Err(IdentityError::Bootstrapped { id: identity.id }),
                _ => Ok(identity),
            }
        }
        InitialClusterState::Existing => {
            let told = ask_others(options, tls).await.map_err(|reasons| IdentityError::NobodyTells { reasons })?;
            matched(options, &told)
        }
    }
}

fn computed(options: &Options) -> Identity {
    let peer = |(name, urls): (&String, &Vec<String>)| {
        let id = ids::member_id(urls, &options.initial_cluster_token, None);
        Peer { id, name: name.clone(), peer_urls: sorted(urls) }
    };
    let initial_cluster: Vec<Peer> = options.initial_cluster.iter().map(peer).collect();
    let all: Vec<NodeId> = initial_cluster.iter().map(|peer| peer.id).collect();
    let own = initial_cluster.iter().find(|peer| peer.name == options.name);
    let id = own.expect("invariant: it was looked up").id;
    Identity { id, cluster_id: ids::cluster_id(&all), initial_cluster }
}

/// What another member told.
#[derive(Debug)]
struct Told {
    url: String,
    cluster_id: u64,
    members: Vec<MemberJson>,
}

impl Told {
    /// Whether that member told the others about itself: it has run before.
    fn has_begun(&self, identity: &Identity) -> bool {
        let begun = |member: &MemberJson| member.id == identity.id && !member.client_urls.is_empty();
        self.cluster_id == identity.cluster_id && self.members.iter().any(begun)
    }

    fn addresses(&self) -> String {
        let addresses = self.members.iter().map(|member| member.peer_urls.join(","));
        addresses.collect::<Vec<_>>().join(" ")
    }
}

/// Gives the members of the initial cluster the ids that those of the same addresses have.
fn matched(options: &Options, told: &Told) -> Result<Identity, IdentityError> {
    let (expected, found) = (options.initial_cluster.len(), told.members.len());
    let (url, members) = (told.url.clone(), told.addresses());
    if expected != found {
        return Err(IdentityError::Count { expected, found, url, members });
    }
    let mut initial_cluster = Vec::new();
    for (name, urls) in &options.initial_cluster {
        let same = told.members.iter().find(|member| sorted(&member.peer_urls) == sorted(urls));
        let Some(member) = same else {
            return Err(IdentityError::Unmatched { name: name.clone(), urls: urls.clone(), url, members });
        };
        initial_cluster.push(Peer { id: member.id, name: name.clone(), peer_urls: urls.clone() });
    }
    let own = initial_cluster.iter().find(|peer| peer.name == options.name);
    let id = own.expect("invariant: it was looked up").id;
    Ok(Identity { id, cluster_id: told.cluster_id, initial_cluster })
}

/// Asks one of the others after the other who the members are; the reasons, if none tells.
async fn ask_others(options: &Options, tls: Option<&Connector>) -> Result<Told, Vec<String>> {
    let mut reasons = Vec::new();
    let others = options.initial_cluster.iter().filter(|(name, _)| **name != options.name);
    for url in others.flat_map(|(_, urls)| urls) {
        match tokio::time::timeout(ANSWERS_WITHIN, ask(url, tls)).await {
            Ok(Ok(told)) => return Ok(told),
            Ok(Err(reason)) => reasons.push(reason),
            Err(_) => reasons.push(format!("{url}: no answer within {ANSWERS_WITHIN:?}")),
        }
    }
    if reasons.is_empty() {
        reasons.push("--initial-cluster names no others".to_owned());
    }
    Err(reasons)
}

async fn ask(url: &str, tls: Option<&Connector>) -> Result<Told, String> {
    let mut connection = Connection::dial(url, tls).await.map_err(|error: DialError| error.to_string())?;
    let wrong = |what: &dyn std::fmt::Display| format!("{url}: {what}");
    let uri = format!("{}members", connection.origin());
    let request = http::Request::get(uri).body(Body::empty()).map_err(|error| wrong(&error))?;
    let mut response = connection.call(request).await.map_err(|error| wrong(&error))?;
    let id = response.headers().get("x-etcd-cluster-id").and_then(|id| u64::from_str_radix(id.to_str().ok()?, 16).ok());
    let cluster_id = id.ok_or_else(|| wrong(&"a member's port for peers is expected; is it that of clients?"))?;
    let mut text = Vec::new();
    while let Some(frame) = poll_fn(|cx| Pin::new(response.body_mut()).poll_frame(cx)).await {
        let data = frame.map_err(|error| wrong(&error))?.into_data().unwrap_or_default();
        text.extend_from_slice(&data);
        if text.len() > MAX_LIST {
            return Err(wrong(&"a list of members is expected, not more than a megabyte"));
        }
    }
    let members: Vec<MemberJson> = serde_json::from_slice(&text).map_err(|error| wrong(&error))?;
    match members.is_empty() {
        true => Err(wrong(&"the member there does not know the cluster yet; try again in a moment")),
        false => Ok(Told { url: url.to_owned(), cluster_id, members }),
    }
}

fn sorted(urls: &[String]) -> Vec<String> {
    let mut urls = urls.to_vec();
    urls.sort_unstable();
    urls
}
