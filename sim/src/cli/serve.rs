//! `seedbed serve`: the member for real, with etcd's flags.

use super::serve_log::LogArgs;
use super::serve_tls::{PeerTlsArgs, TlsArgs};
use super::{BadInput, config_file, finish, terminal};
use clap::{Args as _, FromArgMatches as _};
use seedbed::member::{AutoCompaction, InitialClusterState};
use seedbed::serve::{self, Options};
use seedbed::time::{MILLISECOND, Nanos, SECOND};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Run the member for real, behind etcd's API
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = "\
Every flag may be given as a variable instead, as etcd has them: ETCD_DATA_DIR for --data-dir.

Examples:
  seedbed serve                                            a member on localhost, in default.etcd
  seedbed serve --data-dir /tmp/s --listen-client-urls http://127.0.0.1:12379
  seedbed serve --name n1 --listen-peer-urls http://10.0.0.1:2380 \\
    --initial-advertise-peer-urls http://10.0.0.1:2380 \\
    --initial-cluster n1=http://10.0.0.1:2380,n2=http://10.0.0.2:2380,n3=http://10.0.0.3:2380 …
                                                           the first of three members
  etcdctl put greeting hello                               from another terminal
  curl localhost:2379/health")]
pub(super) struct ServeArgs {
    /// The member's name
    #[arg(long, value_name = "NAME", env = "ETCD_NAME", hide_env = true, default_value = "default")]
    name: String,

    /// Where its data lies (NAME.etcd, if not given)
    #[arg(long, value_name = "DIR", env = "ETCD_DATA_DIR", hide_env = true)]
    data_dir: Option<PathBuf>,

    /// Where clients are served; several with commas between them
    #[arg(
        long,
        value_name = "URL",
        env = "ETCD_LISTEN_CLIENT_URLS",
        hide_env = true,
        value_delimiter = ',',
        default_value = "http://localhost:2379"
    )]
    listen_client_urls: Vec<String>,

    /// Where clients reach it, as it tells them
    #[arg(
        long,
        value_name = "URL",
        env = "ETCD_ADVERTISE_CLIENT_URLS",
        hide_env = true,
        value_delimiter = ',',
        default_value = "http://localhost:2379"
    )]
    advertise_client_urls: Vec<String>,

    /// Where peers are heard; several with commas between them
    #[arg(
        long,
        value_name = "URL",
        env = "ETCD_LISTEN_PEER_URLS",
        hide_env = true,
        value_delimiter = ',',
        default_value = "http://localhost:2380"
    )]
    listen_peer_urls: Vec<String>,

    /// Where its peers reach it: its id comes of these
    #[arg(
        long,
        value_name = "URL",
        env = "ETCD_INITIAL_ADVERTISE_PEER_URLS",
        hide_env = true,
        value_delimiter = ',',
        default_value = "http://localhost:2380"
    )]
    initial_advertise_peer_urls: Vec<String>,

    /// The first members and where their peers reach them, name=URL with commas between them (NAME=the URL above, if not
    /// given). Counts only where there is no data yet, as do the next two
    #[arg(long, value_name = "NAME=URL", env = "ETCD_INITIAL_CLUSTER", hide_env = true)]
    initial_cluster: Option<String>,

    /// Whether that cluster begins now, or is there and has added this member
    #[arg(long, value_name = "STATE", env = "ETCD_INITIAL_CLUSTER_STATE", hide_env = true, default_value = "new",
          value_parser = ["new", "existing"])]
    initial_cluster_state: String,

    /// Keeps clusters of the same addresses apart
    #[arg(
        long,
        value_name = "TOKEN",
        env = "ETCD_INITIAL_CLUSTER_TOKEN",
        hide_env = true,
        default_value = "etcd-cluster"
    )]
    initial_cluster_token: String,

    /// Refuse changes of the members that could cost the majority
    #[arg(long, value_name = "BOOL", env = "ETCD_STRICT_RECONFIG_CHECK", hide_env = true, default_value_t = true,
          num_args = 0..=1, require_equals = true, default_missing_value = "true", action = clap::ArgAction::Set)]
    strict_reconfig_check: bool,

    /// Entries between two snapshots
    #[arg(long, value_name = "N", env = "ETCD_SNAPSHOT_COUNT", hide_env = true, default_value_t = 100_000)]
    snapshot_count: u64,

    /// Entries kept behind a snapshot, for followers that lag a little
    #[arg(
        long,
        value_name = "N",
        env = "ETCD_EXPERIMENTAL_SNAPSHOT_CATCHUP_ENTRIES",
        hide_env = true,
        default_value_t = 5_000
    )]
    experimental_snapshot_catchup_entries: u64,

    /// Milliseconds between two heartbeats
    #[arg(long, value_name = "MS", env = "ETCD_HEARTBEAT_INTERVAL", hide_env = true, default_value_t = 100,
          value_parser = clap::value_parser!(u64).range(1..=60_000))]
    heartbeat_interval: u64,

    /// Milliseconds without a leader before an election
    #[arg(long, value_name = "MS", env = "ETCD_ELECTION_TIMEOUT", hide_env = true, default_value_t = 1_000,
          value_parser = clap::value_parser!(u64).range(1..=50_000))]
    election_timeout: u64,

    /// How large the database may become, in bytes; 0: 2 GiB
    #[arg(long, value_name = "BYTES", env = "ETCD_QUOTA_BACKEND_BYTES", hide_env = true, default_value_t = 0)]
    quota_backend_bytes: u64,

    /// What is compacted without being asked: revision, or periodic
    #[arg(long, value_name = "MODE", env = "ETCD_AUTO_COMPACTION_MODE", hide_env = true, default_value = "periodic",
          value_parser = ["periodic", "revision"])]
    auto_compaction_mode: String,

    /// What is kept of it: 1h, 30m, hours without a unit, or revisions; 0: everything
    #[arg(long, value_name = "SPAN", env = "ETCD_AUTO_COMPACTION_RETENTION", hide_env = true, default_value = "0")]
    auto_compaction_retention: String,

    /// Longest request, in bytes
    #[arg(long, value_name = "BYTES", env = "ETCD_MAX_REQUEST_BYTES", hide_env = true, default_value_t = 1_572_864)]
    max_request_bytes: usize,

    /// Most operations of a transaction
    #[arg(long, value_name = "N", env = "ETCD_MAX_TXN_OPS", hide_env = true, default_value_t = 128)]
    max_txn_ops: usize,

    #[command(flatten)]
    tls: TlsArgs,

    #[command(flatten)]
    peer_tls: PeerTlsArgs,

    #[command(flatten)]
    log: LogArgs,

    /// Read everything from a file of etcd's (YAML) instead: no other flag and no variable counts then
    #[arg(long, value_name = "FILE", env = "ETCD_CONFIG_FILE", hide_env = true)]
    config_file: Option<PathBuf>,
}

/// What TLS between members wants.
const PEER_FILES: &str = "--peer-cert-file, --peer-key-file and --peer-trusted-ca-file";

/// Runs the command; returns the exit code.
pub(super) fn run(args: &ServeArgs) -> u8 {
    finish(configured(args).and_then(|args| serve(&args)))
}

/// What the file says, if one is named.
fn configured(args: &ServeArgs) -> Result<ServeArgs, BadInput> {
    let Some(path) = &args.config_file else { return Ok(args.clone()) };
    let command = ServeArgs::augment_args(clap::Command::new("serve")).mut_args(|arg| arg.env(None::<&str>));
    let arguments = config_file::arguments(path, &command)?;
    Ok(ServeArgs::from_arg_matches(&command.try_get_matches_from(arguments)?)?)
}

fn serve(args: &ServeArgs) -> Result<u8, BadInput> {
    args.log.begin()?;
    let options = options(args)?;
    let told = format!(
        "{} serves clients at {} from {}; Ctrl-C stops it",
        options.name,
        args.listen_client_urls.join(", "),
        options.data_dir.display()
    );
    serve::run(options, || terminal::say(&told))?;
    Ok(0)
}

fn options(args: &ServeArgs) -> Result<Options, BadInput> {
    if args.heartbeat_interval * 5 > args.election_timeout {
        return Err(BadInput(format!(
            "--election-timeout {}: at least five heartbeats of {} ms are expected, so {} ms or more",
            args.election_timeout,
            args.heartbeat_interval,
            args.heartbeat_interval * 5
        )));
    }
    let (client_tls, auto_tls) = args.tls.files()?;
    let peer_tls = args.peer_tls.files()?;
    let (secure, peers_secure) = (client_tls.is_some() || auto_tls, peer_tls.is_some());
    let listen_client = args
        .listen_client_urls
        .iter()
        .map(|url| listening("--listen-client-urls", url, secure, "--cert-file and --key-file, or --auto-tls"));
    let listen_peer =
        args.listen_peer_urls.iter().map(|url| listening("--listen-peer-urls", url, peers_secure, PEER_FILES));
    for url in &args.initial_advertise_peer_urls {
        listening("--initial-advertise-peer-urls", url, peers_secure, PEER_FILES)?;
    }
    Ok(Options {
        name: args.name.clone(),
        data_dir: args.data_dir.clone().unwrap_or_else(|| format!("{}.etcd", args.name).into()),
        listen_client: listen_client.collect::<Result<_, _>>()?,
        client_tls,
        peer_tls,
        advertise_client_urls: args.advertise_client_urls.clone(),
        initial_advertise_peer_urls: args.initial_advertise_peer_urls.clone(),
        listen_peer: listen_peer.collect::<Result<_, _>>()?,
        initial_cluster: initial_cluster(args)?,
        initial_cluster_state: match &*args.initial_cluster_state {
            "existing" => InitialClusterState::Existing,
            _ => InitialClusterState::New,
        },
        strict_reconfig_check: args.strict_reconfig_check,
        initial_cluster_token: args.initial_cluster_token.clone(),
        snapshot_count: args.snapshot_count,
        snapshot_catchup: args.experimental_snapshot_catchup_entries,
        heartbeat_interval: args.heartbeat_interval * MILLISECOND,
        election_timeout: args.election_timeout * MILLISECOND,
        quota_backend_bytes: if args.quota_backend_bytes == 0 { 2 << 30 } else { args.quota_backend_bytes },
        auto_compaction: auto_compaction(&args.auto_compaction_mode, &args.auto_compaction_retention)?,
        max_request_bytes: args.max_request_bytes,
        max_txn_ops: args.max_txn_ops,
    })
}

fn initial_cluster(args: &ServeArgs) -> Result<BTreeMap<String, Vec<String>>, BadInput> {
    let Some(text) = &args.initial_cluster else {
        return Ok(BTreeMap::from([(args.name.clone(), args.initial_advertise_peer_urls.clone())]));
    };
    let flag = |error: String| BadInput(format!("--initial-cluster: {error}"));
    let cluster = serve::parse_cluster(text).map_err(flag)?;
    let secure = args.peer_tls.files()?.is_some();
    for url in cluster.values().flatten() {
        listening("--initial-cluster", url, secure, PEER_FILES)?;
    }
    Ok(cluster)
}

/// `http://host:port` → `host:port`; `https://host:port` as it is, where there is a certificate for it.
fn listening(flag: &str, url: &str, secure: bool, wanted: &str) -> Result<String, BadInput> {
    match url.strip_prefix("https://") {
        None => address(flag, url),
        Some(_) if !secure => Err(BadInput(format!("{flag} {url}: for https:// a certificate is expected: {wanted}"))),
        Some(rest) => Ok(format!("https://{}", address(flag, &format!("http://{rest}"))?)),
    }
}

/// `http://host:port` → `host:port`.
fn address(flag: &str, url: &str) -> Result<String, BadInput> {
    let expected = |what: &str| BadInput(format!("{flag} {url}: {what}, for example http://localhost:2379"));
    let Some(rest) = url.strip_prefix("http://") else {
        return Err(expected("an address that begins with http:// or https:// is expected"));
    };
    let address = rest.trim_end_matches('/');
    let port = address.rsplit_once(':').map(|(_, port)| port.parse::<u16>());
    match port {
        Some(Ok(_)) if !address.contains('/') => Ok(address.to_owned()),
        _ => Err(expected("a host and a port are expected")),
    }
}

fn auto_compaction(mode: &str, retention: &str) -> Result<Option<AutoCompaction>, BadInput> {
    if retention == "0" {
        return Ok(None);
    }
    if mode == "revision" {
        let revisions = retention.parse::<u32>().map_err(|_| {
            BadInput(format!(
                "--auto-compaction-retention {retention}: a number of revisions is expected, for example 1000"
            ))
        })?;
        return Ok(Some(AutoCompaction::Revisions(revisions)));
    }
    let span = span(retention).ok_or_else(|| {
        BadInput(format!(
            "--auto-compaction-retention {retention}: a span is expected, for example 1h, 30m, or 8 for 8 hours"
        ))
    })?;
    Ok(Some(AutoCompaction::Periodic(span)))
}

fn span(text: &str) -> Option<Nanos> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "" | "h" => 3600 * SECOND,
        "m" => 60 * SECOND,
        "s" => SECOND,
        "ms" => MILLISECOND,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_needs_a_scheme_and_a_port() {
        assert_eq!(address("--f", "http://127.0.0.1:2379/").ok().as_deref(), Some("127.0.0.1:2379"));
        for (url, expected) in [
            ("127.0.0.1:2379", "begins with http://"),
            ("ftp://localhost:2379", "begins with http://"),
            ("http://localhost", "a host and a port"),
            ("http://localhost:99999", "a host and a port"),
        ] {
            let BadInput(error) = address("--f", url).expect_err(url);
            assert!(error.starts_with("--f ") && error.contains(expected), "{error}");
        }
    }

    #[test]
    fn retention_is_etcds() {
        assert_eq!(span("8"), Some(8 * 3600 * SECOND));
        assert_eq!(span("30m"), Some(1800 * SECOND));
        assert_eq!((span("1w"), span("")), (None, None));
    }
}
