//! What a user may say about a member, with etcd's defaults.

use super::tls::{self, Acceptor, TlsError, TlsFiles};
use crate::backend::{BoltConfig, EngineConfig};
use crate::member::{AutoCompaction, Config, Peer};
use crate::pb::ids;
use crate::time::{MILLISECOND, Nanos};
use std::path::PathBuf;

/// See the module. The names are those of etcd's flags.
#[derive(Clone, Debug)]
pub struct Options {
    /// The member's name.
    pub name: String,
    /// Where its data lies.
    pub data_dir: PathBuf,
    /// `host:port` of each address at which clients are served; `https://host:port`, where that is done by TLS.
    pub listen_client: Vec<String>,
    /// Certificates for those. `None` with one of them: the member makes a certificate for itself.
    pub client_tls: Option<TlsFiles>,
    /// URLs at which clients reach it.
    pub advertise_client_urls: Vec<String>,
    /// URLs at which its peers would reach it: its id comes of them.
    pub initial_advertise_peer_urls: Vec<String>,
    /// Keeps clusters of the same addresses apart.
    pub initial_cluster_token: String,
    /// Entries between two snapshots.
    pub snapshot_count: u64,
    /// Between two heartbeats, in nanoseconds.
    pub heartbeat_interval: Nanos,
    /// Without a leader before an election, in nanoseconds.
    pub election_timeout: Nanos,
    /// How large the database may become, in bytes.
    pub quota_backend_bytes: u64,
    /// What is compacted without being asked.
    pub auto_compaction: Option<AutoCompaction>,
    /// Longest request, in bytes.
    pub max_request_bytes: usize,
    /// Most operations of a transaction.
    pub max_txn_ops: usize,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            name: "default".to_owned(),
            data_dir: "default.etcd".into(),
            listen_client: vec!["localhost:2379".to_owned()],
            client_tls: None,
            advertise_client_urls: vec!["http://localhost:2379".to_owned()],
            initial_advertise_peer_urls: vec!["http://localhost:2380".to_owned()],
            initial_cluster_token: "etcd-cluster".to_owned(),
            snapshot_count: 100_000,
            heartbeat_interval: 100 * MILLISECOND,
            election_timeout: 1_000 * MILLISECOND,
            quota_backend_bytes: 2 << 30,
            auto_compaction: None,
            max_request_bytes: 3 * 512 * 1024,
            max_txn_ops: 128,
        }
    }
}

impl Options {
    /// What takes clients in at an address: nothing besides, or TLS. Returns its `host:port` as well.
    pub(super) fn acceptor<'a>(&self, address: &'a str) -> Result<(&'a str, Option<Acceptor>), TlsError> {
        let Some(address) = address.strip_prefix("https://") else { return Ok((address, None)) };
        let files = match &self.client_tls {
            Some(files) => files.clone(),
            None => tls::own_certificate(&self.data_dir, vec![tls::host(address).to_owned()])?,
        };
        Ok((address, Some(Acceptor::new(files)?)))
    }

    /// What the member is told. `seed` draws its election timeouts and its tokens.
    pub(super) fn config(&self, seed: u64) -> Config {
        let peer_urls = self.initial_advertise_peer_urls.clone();
        let id = ids::member_id(&peer_urls, &self.initial_cluster_token, None);
        let peer = Peer { id, name: self.name.clone(), peer_urls };
        Config {
            cluster_token: self.initial_cluster_token.clone(),
            client_urls: self.advertise_client_urls.clone(),
            tick: self.heartbeat_interval,
            election_ticks: (self.election_timeout / self.heartbeat_interval).max(2) as u32,
            snapshot_count: self.snapshot_count,
            engine: EngineConfig::Bolt(BoltConfig::default()),
            auto_compaction: self.auto_compaction,
            quota: Some(self.quota_backend_bytes),
            max_request_bytes: self.max_request_bytes,
            max_txn_ops: self.max_txn_ops,
            seed,
            ..Config::new(id, ids::cluster_id(&[id]), vec![peer])
        }
    }
}
