//! What a user may say about a member, with etcd's defaults.

use super::identity::Identity;
use super::tls::{self, Acceptor, Connector, TlsError, TlsFiles};
use crate::backend::{BoltConfig, EngineConfig};
use crate::member::{AutoCompaction, Config, InitialClusterState};
use crate::time::{MILLISECOND, Nanos};
use std::collections::BTreeMap;
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
    /// `host:port` of each address at which peers are heard; `https://host:port`, where that is done by TLS.
    pub listen_peer: Vec<String>,
    /// Certificates for those, and for the calls to peers.
    pub peer_tls: Option<TlsFiles>,
    /// URLs at which its peers reach it: its id comes of them. What concerns the initial cluster counts only where there
    /// is no data yet.
    pub initial_advertise_peer_urls: Vec<String>,
    /// Names of the first members, this one included, and the URLs of each.
    pub initial_cluster: BTreeMap<String, Vec<String>>,
    /// Whether that cluster is there already.
    pub initial_cluster_state: InitialClusterState,
    /// Keeps clusters of the same addresses apart.
    pub initial_cluster_token: String,
    /// Refuse changes of the members that could cost the majority.
    pub strict_reconfig_check: bool,
    /// Entries between two snapshots.
    pub snapshot_count: u64,
    /// Entries kept behind a snapshot, for followers that lag a little.
    pub snapshot_catchup: u64,
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
            listen_peer: vec!["localhost:2380".to_owned()],
            peer_tls: None,
            initial_advertise_peer_urls: vec!["http://localhost:2380".to_owned()],
            initial_cluster: BTreeMap::from([("default".to_owned(), vec!["http://localhost:2380".to_owned()])]),
            initial_cluster_state: InitialClusterState::New,
            initial_cluster_token: "etcd-cluster".to_owned(),
            strict_reconfig_check: true,
            snapshot_count: 100_000,
            snapshot_catchup: 5_000,
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

    /// The same for peers. (Whoever sets the options sees to it that there are files where an address wants TLS.)
    pub(super) fn peer_acceptor<'a>(&self, address: &'a str) -> Result<(&'a str, Option<Acceptor>), TlsError> {
        let Some(plain) = address.strip_prefix("https://") else { return Ok((address, None)) };
        let files = self.peer_tls.clone().ok_or_else(|| TlsError::Missing { address: address.to_owned() })?;
        Ok((plain, Some(Acceptor::new(files)?)))
    }

    /// What calls peers by TLS, if there are certificates and an authority for that.
    pub(super) fn peer_connector(&self) -> Result<Option<Connector>, TlsError> {
        let files = self.peer_tls.clone().filter(|files| files.trusted_ca.is_some());
        files.map(Connector::new).transpose()
    }

    /// What the member is told. `seed` draws its election timeouts and its tokens.
    pub(super) fn config(&self, identity: Identity, seed: u64) -> Config {
        let Identity { id, cluster_id, initial_cluster } = identity;
        Config {
            name: self.name.clone(),
            initial_cluster_state: self.initial_cluster_state,
            cluster_token: self.initial_cluster_token.clone(),
            strict_reconfig: self.strict_reconfig_check,
            client_urls: self.advertise_client_urls.clone(),
            tick: self.heartbeat_interval,
            election_ticks: (self.election_timeout / self.heartbeat_interval).max(2) as u32,
            fast_forward: true,
            snapshot_count: self.snapshot_count,
            snapshot_catchup: self.snapshot_catchup,
            engine: EngineConfig::Bolt(BoltConfig::default()),
            auto_compaction: self.auto_compaction,
            quota: Some(self.quota_backend_bytes),
            max_request_bytes: self.max_request_bytes,
            max_txn_ops: self.max_txn_ops,
            seed,
            ..Config::new(id, cluster_id, initial_cluster)
        }
    }
}

/// Reads `--initial-cluster`: `n1=http://a:2380,n2=http://b:2380`. A member of several addresses is named several times.
/// An error says what was expected.
pub fn parse_cluster(text: &str) -> Result<BTreeMap<String, Vec<String>>, String> {
    let mut cluster: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for member in text.split(',').filter(|member| !member.is_empty()) {
        let Some((name, url)) = member.split_once('=') else {
            return Err(format!("{member}: a name and an address are expected, for example n1=http://localhost:2380"));
        };
        if cluster.values().flatten().any(|other| other == url) {
            return Err(format!("{url} stands there twice; each address belongs to one member"));
        }
        cluster.entry(name.to_owned()).or_default().push(url.to_owned());
    }
    Ok(cluster)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_is_names_and_addresses() {
        let cluster = parse_cluster("a=http://h:1,b=http://h:2,a=http://h:3").expect("it is well written");
        let urls = |name: &str| cluster[name].iter().map(String::as_str).collect::<Vec<_>>();
        assert_eq!((urls("a"), urls("b")), (vec!["http://h:1", "http://h:3"], vec!["http://h:2"]));
        assert!(parse_cluster("http://h:1").expect_err("no name").contains("a name and an address"));
        assert!(parse_cluster("a=http://h:1,b=http://h:1").expect_err("twice").contains("stands there twice"));
    }
}
