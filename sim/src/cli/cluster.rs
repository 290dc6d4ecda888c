//! `seedbed cluster`: a cluster on this machine in one command, and how it is.
//!
//! On a terminal the state is redrawn in place; elsewhere a line is written when something has changed.

use super::{BadInput, finish, terminal};
use seedbed::member::InitialClusterState;
use seedbed::serve::{self, Options, Standing};
use seedbed::time::MILLISECOND;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{IsTerminal as _, stdout};
use std::path::PathBuf;
use std::time::Duration;

/// Between two looks at the members.
const EVERY: Duration = Duration::from_millis(500);

/// Run a cluster on this machine: three members on localhost, each with its own port for clients
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  seedbed cluster                                   members n1 n2 n3 in cluster.etcd; Ctrl-C stops all
  seedbed cluster --data-dir /tmp/c --client-ports 12379,12479,12579 --peer-ports 12380,12480,12580
  etcdctl --endpoints localhost:2379,localhost:22379,localhost:32379 endpoint status -w table
  etcdctl --endpoints localhost:2379 put greeting hello && etcdctl --endpoints localhost:32379 get greeting")]
pub(super) struct ClusterArgs {
    /// Where the members' data lies, a folder for each
    #[arg(long, value_name = "DIR", default_value = "cluster.etcd")]
    data_dir: PathBuf,

    /// Ports for clients: as many members are started
    #[arg(long, value_name = "PORTS", value_delimiter = ',', default_value = "2379,22379,32379")]
    client_ports: Vec<u16>,

    /// Ports on which the members hear each other
    #[arg(long, value_name = "PORTS", value_delimiter = ',', default_value = "12380,22380,32380")]
    peer_ports: Vec<u16>,

    /// Milliseconds between two heartbeats
    #[arg(long, value_name = "MS", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=60_000))]
    heartbeat_interval: u64,

    /// Milliseconds without a leader before an election
    #[arg(long, value_name = "MS", default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..=50_000))]
    election_timeout: u64,
}

/// Runs the command; returns the exit code.
pub(super) fn run(args: &ClusterArgs) -> u8 {
    finish(cluster(args))
}

fn cluster(args: &ClusterArgs) -> Result<u8, BadInput> {
    let all = options(args)?;
    terminal::say(&format!("{} members in {}; Ctrl-C stops them", all.len(), args.data_dir.display()));
    let mut screen = Screen { redraws: stdout().is_terminal(), shown: String::new() };
    serve::run_several(all, EVERY, |standings| screen.show(standings))?;
    Ok(0)
}

fn options(args: &ClusterArgs) -> Result<Vec<Options>, BadInput> {
    let (clients, peers) = (&args.client_ports, &args.peer_ports);
    if clients.len() != peers.len() {
        return Err(BadInput(format!(
            "--client-ports has {} ports, --peer-ports {}; one of each is expected for every member",
            clients.len(),
            peers.len()
        )));
    }
    if args.heartbeat_interval * 5 > args.election_timeout {
        return Err(BadInput(format!(
            "--election-timeout {}: at least five heartbeats of {} ms are expected",
            args.election_timeout, args.heartbeat_interval
        )));
    }
    let name = |n: usize| format!("n{}", n + 1);
    let initial_cluster: BTreeMap<String, Vec<String>> =
        peers.iter().enumerate().map(|(n, port)| (name(n), vec![format!("http://localhost:{port}")])).collect();
    let member = |(n, (client, peer)): (usize, (&u16, &u16))| Options {
        name: name(n),
        data_dir: args.data_dir.join(name(n)),
        listen_client: vec![format!("localhost:{client}")],
        advertise_client_urls: vec![format!("http://localhost:{client}")],
        listen_peer: vec![format!("localhost:{peer}")],
        initial_advertise_peer_urls: initial_cluster[&name(n)].clone(),
        initial_cluster: initial_cluster.clone(),
        initial_cluster_state: InitialClusterState::New,
        heartbeat_interval: args.heartbeat_interval * MILLISECOND,
        election_timeout: args.election_timeout * MILLISECOND,
        ..Options::default()
    };
    Ok(clients.iter().zip(peers).enumerate().map(member).collect())
}

/// Where the state is shown.
struct Screen {
    redraws: bool,
    shown: String,
}

impl Screen {
    fn show(&mut self, standings: &[Standing]) {
        let text = if self.redraws { table(standings) } else { line(standings) };
        if text == self.shown {
            return;
        }
        // To the first line of what stands there, and everything below it away.
        let up = if self.redraws { self.shown.lines().count() } else { 0 };
        let back = if up > 0 { format!("\x1b[{up}A\x1b[J") } else { String::new() };
        terminal::print(&format!("{back}{text}"));
        self.shown = text;
    }
}

fn table(standings: &[Standing]) -> String {
    let mut text =
        format!("{:<8}{:<26}{:<10}{:>6}{:>12}{:>12}\n", "member", "clients", "role", "term", "revision", "db size");
    for standing in standings {
        let _ = write!(text, "{:<8}{:<26}", standing.name, standing.client_urls.join(","));
        let _ = match &standing.status {
            Ok(status) => {
                let (revision, size) = (revision(standing), size(status.db_size));
                writeln!(text, "{:<10}{:>6}{revision:>12}{size:>12}", role(standing), status.raft_term)
            }
            Err(why) => writeln!(text, "{why}"),
        };
    }
    text
}

fn line(standings: &[Standing]) -> String {
    let members: Vec<String> = standings
        .iter()
        .map(|standing| match &standing.status {
            Ok(status) => format!("{} {}, {}", standing.name, role(standing), size(status.db_size)),
            Err(why) => format!("{} stopped: {why}", standing.name),
        })
        .collect();
    let running = || standings.iter().filter_map(|standing| standing.status.as_ref().ok());
    let term = running().map(|status| status.raft_term).max().unwrap_or(0);
    let revision = standings.iter().map(revision).max().unwrap_or(0);
    format!("term {term} · revision {revision} · {}\n", members.join(" · "))
}

fn revision(standing: &Standing) -> i64 {
    let header = standing.status.as_ref().ok().and_then(|status| status.header.as_ref());
    header.map_or(0, |header| header.revision)
}

fn role(standing: &Standing) -> &'static str {
    let Ok(status) = &standing.status else { return "stopped" };
    let own = status.header.as_ref().map_or(0, |header| header.member_id);
    match status.leader {
        0 => "no leader",
        leader if leader == own => "leads",
        _ if status.is_learner => "learns",
        _ => "follows",
    }
}

fn size(bytes: i64) -> String {
    match bytes {
        ..1_048_576 => format!("{} KiB", bytes / 1024),
        _ => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use seedbed::pb::etcdserverpb::{ResponseHeader, StatusResponse};

    fn standing(name: &str, status: Result<StatusResponse, String>) -> Standing {
        Standing { name: name.to_owned(), client_urls: vec!["http://localhost:2379".to_owned()], status }
    }

    #[test]
    fn a_line_and_a_table_say_who_leads_and_who_is_gone() {
        let header = Some(ResponseHeader { member_id: 7, revision: 12, ..ResponseHeader::default() });
        let status = StatusResponse { header, leader: 7, raft_term: 2, db_size: 20_480, ..StatusResponse::default() };
        let standings = [standing("n1", Ok(status)), standing("n2", Err("the disk failed".to_owned()))];
        assert_eq!(line(&standings), "term 2 · revision 12 · n1 leads, 20 KiB · n2 stopped: the disk failed\n");
        let table = table(&standings);
        let rows: Vec<Vec<&str>> = table.lines().map(|row| row.split_whitespace().collect()).collect();
        assert_eq!(rows[1], ["n1", "http://localhost:2379", "leads", "2", "12", "20", "KiB"]);
        assert_eq!(rows[2], ["n2", "http://localhost:2379", "the", "disk", "failed"]);
    }

    #[test]
    fn every_member_has_its_ports() {
        let args = ClusterArgs {
            data_dir: "d".into(),
            client_ports: vec![1, 2],
            peer_ports: vec![3, 4],
            heartbeat_interval: 100,
            election_timeout: 1_000,
        };
        let all = options(&args).expect("they fit");
        assert_eq!(all[1].listen_peer, ["localhost:4"]);
        assert_eq!(all[0].initial_cluster, all[1].initial_cluster);
        let BadInput(error) = options(&ClusterArgs { peer_ports: vec![3], ..args }).expect_err("one is missing");
        assert!(error.contains("2 ports, --peer-ports 1"), "{error}");
    }
}
